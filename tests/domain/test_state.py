"""What a book believes: each fill booked once, trades that add up to the money, and marks that are prices."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.decide import Decision
from core.domain.orders import ZERO, Fill, Holding, Intent, Order, Rules, Side, Status, intent_id
from core.domain.risk import Marks, Policy, Result
from core.domain.state import (
    ENDED_KEPT,
    RESULTS_KEPT,
    Book,
    BookState,
    Trade,
    book_fill,
    conclude,
    marked,
    opening,
    pruned,
    view,
    win_rate,
)
from core.flows.claim import plain
from tests.domain.drawn import BAR, HOUR, RULES
from tests.domain.test_fills import walked

BOOK = Book(id="btc", symbol="BTC/USDT", policy=Policy(capital=Decimal(10000)), rules=RULES)
ENTRY = Intent(
    id=intent_id("btc", BAR, "entry"),
    book="btc",
    bar=BAR,
    leg="entry",
    side="buy",
    amount=Decimal("0.1"),
    stop=Decimal(39000),
)
STAY = Decision(action="stay_out", reason="no_signal", target=ZERO)


def entered(name: str, side: Side, price: str, hours: int = 1) -> Fill:
    return Fill(
        id=name,
        bar=BAR + hours * HOUR,
        side=side,
        amount=Decimal("0.1"),
        price=Decimal(price),
        fee=Decimal(4),
        cause="entry",
        stop=Decimal(39000) if side == "buy" else Decimal(41000),
    )


def left(name: str, side: Side, price: str, hours: int = 5) -> Fill:
    return Fill(
        id=name,
        bar=BAR + hours * HOUR,
        side=side,
        amount=Decimal("0.1"),
        price=Decimal(price),
        fee=Decimal(5),
        interest=Decimal("0.5"),
        cause="exit",
    )


def booked(state: BookState, *fills: Fill, rules: Rules = RULES) -> tuple[BookState, list[Trade]]:
    trades = []
    for fill in fills:
        state, closed = book_fill(state, fill, rules)
        trades += closed
    return state, trades


def part(name: str, side: Side, amount: str, price: str = "40000", leg: str = "exit") -> Fill:
    return replace(left(name, side, price), amount=Decimal(amount), cause=leg)


def order(status: Status, name: str = "hh1", leg: str = "entry") -> Order:
    return Order(intent=replace(ENTRY, id=name, leg=leg), status=status)


def round_trips(count: int) -> list[Fill]:
    """So many pairs of a long and its exit, each with 91 to lose or to gain."""
    fills = []
    for i in range(count):
        price = "41005" if i % 2 else "39190"
        fills += [entered(f"in{i}", "buy", "40000", 2 * i), left(f"out{i}", "sell", price, 2 * i + 1)]
    return fills


def test_a_book_begins_with_its_capital() -> None:
    assert opening(BOOK) == BookState(holding=Holding(cash=Decimal(10000)), equity=Decimal(10000))


# --- book_fill ------------------------------------------------------------------------------------------------------


def test_a_round_trip_becomes_a_trade_with_all_of_its_costs() -> None:
    state, trades = booked(opening(BOOK), entered("in", "buy", "40000"), left("out", "sell", "41000"))
    trade = Trade(
        opened=BAR + HOUR,
        closed=BAR + 5 * HOUR,
        side="long",
        amount=Decimal("0.1"),
        entry=Decimal(40000),
        exit=Decimal(41000),
        fees=Decimal("9.5"),
        pnl=Decimal("90.5"),
        cause="exit",
    )
    assert trades == [trade]
    assert (state.closed, [result.pnl for result in state.results]) == (1, [trade.pnl])
    assert state.booked == ("in", "out")
    assert state.holding == Holding(cash=Decimal("10090.5"))


def test_a_short_trade_is_told_as_one() -> None:
    _, trades = booked(opening(BOOK), entered("in", "sell", "40000"), left("out", "buy", "41000"))
    assert [(trade.side, trade.pnl) for trade in trades] == [("short", Decimal("-109.5"))]


def test_a_trade_that_is_closed_in_parts_is_one_trade_of_all_of_them() -> None:
    """0.04 sold at 41,000 and 0.06 at 42,000: at 41,600 on the average, for 160 before costs."""
    parts = part("a", "sell", "0.04", "41000"), part("b", "sell", "0.06", "42000")
    state, trades = booked(opening(BOOK), entered("in", "buy", "40000"), *parts)
    (trade,) = trades
    assert (trade.amount, trade.entry, trade.exit) == (Decimal("0.1"), Decimal(40000), Decimal(41600))
    assert (trade.fees, trade.pnl) == (Decimal(15), Decimal(145))
    assert state.holding == Holding(cash=Decimal(10145))


def test_what_is_left_as_dust_closes_the_trade_and_stays() -> None:
    state, trades = booked(opening(BOOK), entered("in", "buy", "40000"), part("a", "sell", "0.0996", "41000"))
    assert [trade.amount for trade in trades] == [Decimal("0.0996")]
    assert state.holding == Holding(
        cash=state.holding.cash, position=Decimal("0.0004"), average_price=Decimal(40000)
    ), "neither stop, nor time, nor fees of a trade that is over"
    assert [result.pnl for result in state.results] == [state.holding.cash - 10000]


def test_dust_opens_no_trade_and_the_next_entry_goes_on_top() -> None:
    state, _ = booked(opening(BOOK), entered("in", "buy", "40000"), part("a", "sell", "0.0996"))
    state, trades = booked(state, entered("again", "buy", "40000", 9))
    assert (trades, state.closed) == ([], 1)
    assert (state.holding.position, state.holding.stop) == (Decimal("0.1004"), Decimal(39000))
    assert state.holding.opened == BAR + 9 * HOUR


def test_an_entry_against_the_dust_opens_its_own_side() -> None:
    state, _ = booked(opening(BOOK), entered("in", "buy", "40000"), part("a", "sell", "0.0996"))
    state, trades = booked(state, entered("again", "sell", "40000", 9))
    assert (trades, state.closed) == ([], 1)
    assert (state.holding.position, state.holding.stop) == (Decimal("-0.0996"), Decimal(41000))


def test_an_entry_in_slices_smaller_than_the_least_amount_closes_nothing() -> None:
    rules = replace(RULES, minimum_amount=Decimal("0.01"))
    slices = [replace(entered(name, "buy", "40000"), amount=Decimal("0.004")) for name in "abc"]
    state, trades = booked(opening(BOOK), *slices, rules=rules)
    assert (trades, state.closed) == ([], 0)
    assert (state.holding.position, state.holding.opened, state.holding.fees) == (Decimal("0.012"), BAR + HOUR, 12)


def test_a_fill_through_zero_closes_one_trade_and_opens_the_other_side() -> None:
    state, trades = booked(opening(BOOK), entered("in", "buy", "40000"), part("out", "sell", "0.3", "41000"))
    assert [(trade.side, trade.amount) for trade in trades] == [("long", Decimal("0.1"))]
    assert (state.holding.position, state.holding.opened) == (Decimal("-0.2"), BAR + 5 * HOUR)


def test_the_results_that_are_kept_are_limited_and_the_count_is_not() -> None:
    state, trades = booked(opening(BOOK), *round_trips(100))
    assert (state.closed, len(trades), len(state.results)) == (100, 100, RESULTS_KEPT)
    assert [result.pnl for result in state.results] == [trade.pnl for trade in trades[-RESULTS_KEPT:]]


@given(st.integers(0, 2**20))
@settings(max_examples=25)
def test_the_trades_are_the_change_of_cash_whenever_the_book_is_flat(seed: int) -> None:
    """Over an account that trades without sense."""
    _, accounts = walked(seed)
    state, pnl = opening(BOOK), ZERO
    for account in accounts:
        fresh = [fill for fill in account.fills if fill.id not in state.booked]
        state, trades = booked(state, *fresh)
        pnl += sum((trade.pnl for trade in trades), ZERO)
        assert state.holding == account.holding
        if not state.holding.position:
            assert abs(state.holding.cash - BOOK.policy.capital - pnl) < Decimal("1e-15")


# --- orders ---------------------------------------------------------------------------------------------------------

OPEN: list[Status] = ["planned", "sent", "unknown", "acknowledged", "partly_filled"]
ENDED: list[Status] = ["refused", "filled", "cancelled", "expired", "never_placed"]


@pytest.mark.parametrize("leg", ["entry", "exit", "stop"])
@pytest.mark.parametrize("status", [*OPEN, *ENDED])
def test_which_orders_are_open_unsettled_and_working(status: Status, leg: str) -> None:
    """A stop that rests is open, and works only while it is not known whether it is there."""
    state = replace(opening(BOOK), orders=(order(status, leg=leg),))
    unsettled = status in ("sent", "unknown")
    taken = status in ("acknowledged", "partly_filled")
    assert bool(state.open_orders) == (status in OPEN)
    assert bool(state.unsettled) == unsettled
    assert bool(state.working) == (unsettled or (taken and leg != "stop"))


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, False),
        ({"mismatches": 1}, True),
        ({"orders": (replace(order("acknowledged"), looks=1),)}, True),
        ({"orders": (replace(order("never_placed"), looks=2),)}, False),
    ],
)
def test_it_waits_for_what_should_have_been_clear(changes: dict[str, Any], waits: bool) -> None:
    state = replace(opening(BOOK), **changes)
    assert state.waiting == waits


def test_of_the_orders_that_ended_the_last_are_kept_and_of_the_others_all() -> None:
    orders = [order("filled", f"f{i}", leg="stop") for i in range(20)]
    orders[3:3] = [order("acknowledged", "open", leg="stop")]
    kept = [each.intent.id for each in pruned(orders)]
    assert kept == ["open", *(f"f{i}" for i in range(20 - ENDED_KEPT, 20))]
    many_open = [order("unknown", f"u{i}") for i in range(20)]
    assert pruned(many_open) == tuple(many_open)
    assert pruned(()) == ()


def made(gain: int) -> Result:
    return Result(closed=BAR, pnl=Decimal(gain), share=gain / 10000)


def test_how_often_a_bar_was_left_is_never_forgotten_while_it_is_the_newest() -> None:
    """Else an exit of it could get an id that was used already."""
    exits = [order("refused", f"e{i}", leg="exit") for i in range(3)]
    stops = [order("cancelled", f"s{i}", leg="stop") for i in range(40)]
    assert [each.intent.id for each in pruned([*exits, *stops])][:4] == ["e0", "e1", "e2", "s32"]


# --- what the decision looks at -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "count", "rate"),
    [((), 1, None), ((1, 1), 3, None), ((1, -1), 2, 0.5), ((1, 1, -1, 0), 2, 0.0), ((-1, 1, 0, 0), 4, 0.25)],
)
def test_the_win_rate_is_of_the_last_trades_only_and_unknown_of_too_few(
    gains: tuple[int, ...], count: int, rate: float | None
) -> None:
    assert win_rate([made(gain) for gain in gains], count) == rate


def test_a_view_holds_the_context_by_its_names() -> None:
    book = replace(BOOK, policy=Policy(performance_trades=2))
    state = replace(opening(BOOK), results=(made(1), made(1), made(-1)), orders=(order("sent"),))
    why = ("needs_a_person", "look")
    seen = view(book, state, BAR, "reduce", why, ("window_gap", "why"), 40.0, 0.6, [float(i) for i in range(1, 14)])
    assert (seen.volatility, seen.fall, seen.adx, seen.value_at_risk, seen.shortfall) == (7, 8, 9, 12, 13)
    assert (seen.atr, seen.atr_ratio, seen.volatility_ratio, seen.rule, seen.vix, seen.vix_change) == (1, 2, 3, 4, 5, 6)
    assert (seen.book, seen.bar, seen.mode, seen.problem) == ("btc", BAR, "reduce", ("window_gap", "why"))
    assert seen.blocked == why
    assert (seen.price, seen.p_up, seen.win_rate, seen.unsettled) == (40.0, 0.6, 0.5, 1)
    assert seen.holding is state.holding


@pytest.mark.parametrize(
    ("changes", "unsettled"),
    [
        ({"orders": (order("acknowledged"), order("unknown"))}, 2),
        ({"orders": (order("acknowledged", leg="stop"),)}, 0),
        ({"orders": (order("filled"), order("never_placed"))}, 0),
        ({"mismatches": 1}, 1),
    ],
)
def test_a_view_counts_what_is_not_settled(changes: dict[str, Any], unsettled: int) -> None:
    state = replace(opening(BOOK), **changes)
    assert view(BOOK, state, BAR, "run", None, None, 40.0, 0.6, [1.0] * 13).unsettled == unsettled


def test_the_context_stands_in_the_order_of_the_feature_set() -> None:
    from core.domain.features import CONTEXT

    assert CONTEXT.names == (
        *("atr_14", "atr_ratio_14", "volatility_ratio", "mochipoyo", "vix_level", "vix_change"),
        *("volatility_168", "roc_24", "adx_14"),
        *("var_99_historical", "var_99_parametric", "var_99_monte_carlo", "shortfall_99"),
    )


# --- conclude -------------------------------------------------------------------------------------------------------

HELD = BookState(
    holding=Holding(cash=Decimal(10000), position=Decimal("0.1"), average_price=Decimal(40000)),
    equity=Decimal(10050),
    marks=Marks(day=BAR.replace(hour=0), opened=Decimal(10050), low=Decimal(10050), peak=Decimal(10060)),
)


@pytest.mark.parametrize(("price", "equity", "peak"), [(41_000.0, "10100", "10100"), (39_000.0, "9900", "10060")])
def test_equity_is_marked_at_the_close_and_the_peak_is_the_most_so_far(price: float, equity: str, peak: str) -> None:
    state = marked(HELD, price, BAR + timedelta(hours=1))
    assert state.marks is not None
    assert (state.equity, state.marks.peak, state.price) == (Decimal(equity), Decimal(peak), Decimal(str(price)))


def test_the_first_mark_of_a_book_counts_from_its_capital() -> None:
    state = replace(opening(BOOK), holding=replace(HELD.holding, cash=Decimal(9000)))
    marks = marked(state, 40_000.0, BAR).marks
    assert marks is not None
    assert (marks.opened, marks.low, marks.peak) == (Decimal(10000), Decimal(9000), Decimal(10000))


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("before", [HELD, opening(BOOK)])
def test_without_a_price_the_last_mark_stands(price: float, before: BookState) -> None:
    assert marked(before, price, BAR) == before


def test_what_was_decided_is_planned() -> None:
    decision = Decision(action="enter", reason="long_signal", target=Decimal("0.1"), intents=(ENTRY,))
    assert conclude(HELD, BAR, decision).orders == (Order(intent=ENTRY),)


@pytest.mark.parametrize("decision", [STAY, Decision(action="enter", reason="x", target=ZERO, intents=(ENTRY,))])
def test_a_decision_forgets_no_order_that_is_open(decision: Decision) -> None:
    waiting = tuple(order(status, f"hh{i}") for i, status in enumerate(OPEN * 4))
    state = conclude(replace(HELD, orders=waiting), BAR, decision)
    assert state.orders[: len(waiting)] == waiting


@given(st.integers(0, 2**20))
@settings(max_examples=20)
def test_a_state_survives_being_written_down(seed: int) -> None:
    state = opening(BOOK)
    for account in walked(seed)[1]:
        state, _ = booked(state, *(fill for fill in account.fills if fill.id not in state.booked))
    decision = Decision(action="enter", reason="x", target=ZERO, intents=(ENTRY,))
    state = conclude(state, BAR + timedelta(days=9), decision)
    assert msgspec.convert(plain(state), BookState) == state
