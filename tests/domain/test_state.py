"""What a book believes: each fill booked once, trades that add up to the money, and marks that are prices."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.decide import Decision
from core.domain.fills import Account
from core.domain.orders import ZERO, Fill, Holding, Intent, Side, intent_id
from core.domain.risk import Policy
from core.domain.state import (
    FILLS_KEPT,
    RESULTS_KEPT,
    Book,
    BookState,
    Trade,
    conclude,
    opening,
    settle,
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


def told(state: BookState, *fills: Fill, known: tuple[str, ...] = ()) -> Account:
    return Account(holding=state.holding, fills=fills, known=known)


def round_trips(count: int) -> list[Fill]:
    """So many pairs of a long and its exit, each with 91 to lose or to gain."""
    fills = []
    for i in range(count):
        price = "41005" if i % 2 else "39190"
        fills += [entered(f"in{i}", "buy", "40000", 2 * i), left(f"out{i}", "sell", price, 2 * i + 1)]
    return fills


def test_a_book_begins_with_its_capital() -> None:
    assert opening(BOOK) == BookState(holding=Holding(cash=Decimal(10000)), equity=Decimal(10000), peak=Decimal(10000))


# --- settle ---------------------------------------------------------------------------------------------------------


def test_a_round_trip_becomes_a_trade_with_all_of_its_costs() -> None:
    fills = entered("in", "buy", "40000"), left("out", "sell", "41000")
    state, news = settle(opening(BOOK), told(opening(BOOK), *fills))
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
    assert news.trades == (trade,)
    assert (state.closed, state.results) == (1, (trade.pnl,))
    assert news.fills == fills
    assert state.holding == Holding(cash=Decimal("10090.5"))


def test_a_short_trade_is_told_as_one() -> None:
    fills = entered("in", "sell", "40000"), left("out", "buy", "41000")
    _, news = settle(opening(BOOK), told(opening(BOOK), *fills))
    assert [(trade.side, trade.pnl) for trade in news.trades] == [("short", Decimal("-109.5"))]


def test_a_fill_is_booked_once_however_often_it_is_listed() -> None:
    first, second = entered("in", "buy", "40000"), left("out", "sell", "41000")
    once, _ = settle(opening(BOOK), told(opening(BOOK), first))
    twice, news = settle(once, told(once, first, second))
    thrice, nothing = settle(twice, told(twice, first, second))
    assert news.fills == (second,)
    assert (thrice, nothing.fills, nothing.trades) == (twice, (), ())


@pytest.mark.parametrize("count", [20, 200])
def test_a_venue_that_lists_its_whole_past_each_time_changes_nothing(count: int) -> None:
    fills, state = round_trips(count), opening(BOOK)
    for end in range(0, len(fills) + 1, 10):
        state, _ = settle(state, told(state, *fills[:end]))
    again, news = settle(state, told(state, *fills))
    assert (again, news.fills) == (state, ())
    _, all_at_once = settle(opening(BOOK), told(state, *fills))
    assert state.holding.cash == 10000 + sum(trade.pnl for trade in all_at_once.trades)


def test_what_it_remembers_of_fills_and_trades_is_limited() -> None:
    fills, state = round_trips(300), opening(BOOK)
    for i in range(0, len(fills), 2):
        state, _ = settle(state, told(state, *fills[max(0, i - 14) : i + 2]))
    assert (state.closed, len(state.results)) == (300, RESULTS_KEPT)
    assert len(state.booked) == FILLS_KEPT
    assert state.booked[-1] == fills[-1].id


@given(st.integers(0, 2**20), st.integers(1, 7))
@settings(max_examples=25)
def test_the_trades_are_the_change_of_cash_whenever_the_book_is_flat(seed: int, often: int) -> None:
    """Settled after every few bars, or one, over an account that trades without sense."""
    _, accounts = walked(seed)
    state, pnl = opening(BOOK), ZERO
    for account in accounts[::often]:
        state, news = settle(state, account)
        pnl += sum((trade.pnl for trade in news.trades), ZERO)
        assert state.holding == account.holding
        if not state.holding.position:
            assert abs(state.holding.cash - BOOK.policy.capital - pnl) < Decimal("1e-15")


def test_an_order_that_the_venue_knows_is_settled_and_one_that_it_does_not_is_lost() -> None:
    other = replace(ENTRY, id="hhother")
    state = replace(opening(BOOK), unsettled=(ENTRY, other))
    after, news = settle(state, told(state, known=("hhother",)))
    assert after.unsettled == ()
    assert news.lost == (ENTRY,)
    assert after.holding == state.holding


def test_nothing_new_is_no_change() -> None:
    state = opening(BOOK)
    after, news = settle(state, told(state))
    assert (after, news.fills, news.trades, news.lost) == (state, (), (), ())


# --- what the decision looks at -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "count", "rate"),
    [((), 1, None), ((1, 1), 3, None), ((1, -1), 2, 0.5), ((1, 1, -1, 0), 2, 0.0), ((-1, 1, 0, 0), 4, 0.25)],
)
def test_the_win_rate_is_of_the_last_trades_only_and_unknown_of_too_few(
    gains: tuple[int, ...], count: int, rate: float | None
) -> None:
    assert win_rate([Decimal(gain) for gain in gains], count) == rate


def test_a_view_holds_the_context_by_its_names() -> None:
    book = replace(BOOK, policy=Policy(performance_trades=2))
    state = replace(opening(BOOK), results=(Decimal(1), Decimal(1), Decimal(-1)), unsettled=(ENTRY,))
    seen = view(book, state, BAR, "reduce", ("window_gap", "why"), 40.0, 0.6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert (seen.atr, seen.atr_ratio, seen.volatility_ratio, seen.rule, seen.vix, seen.vix_change) == (1, 2, 3, 4, 5, 6)
    assert (seen.book, seen.bar, seen.mode, seen.problem) == ("btc", BAR, "reduce", ("window_gap", "why"))
    assert (seen.price, seen.p_up, seen.win_rate, seen.unsettled) == (40.0, 0.6, 0.5, 1)
    assert seen.holding is state.holding


def test_the_context_stands_in_the_order_of_the_feature_set() -> None:
    from core.domain.features import CONTEXT

    assert CONTEXT.names == ("atr_14", "atr_ratio_14", "volatility_ratio", "mochipoyo", "vix_level", "vix_change")


# --- conclude -------------------------------------------------------------------------------------------------------

HELD = BookState(
    holding=Holding(cash=Decimal(10000), position=Decimal("0.1"), average_price=Decimal(40000)),
    equity=Decimal(10050),
    peak=Decimal(10060),
)


@pytest.mark.parametrize(("price", "equity", "peak"), [(41_000.0, "10100", "10100"), (39_000.0, "9900", "10060")])
def test_equity_is_marked_at_the_close_and_the_peak_is_the_most_so_far(price: float, equity: str, peak: str) -> None:
    state = conclude(HELD, BAR, price, STAY)
    assert (state.bar, state.equity, state.peak) == (BAR, Decimal(equity), Decimal(peak))


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("before", [HELD, opening(BOOK)])
def test_without_a_price_the_last_mark_stands(price: float, before: BookState) -> None:
    state = conclude(before, BAR, price, STAY)
    assert (state.bar, state.equity, state.peak) == (BAR, before.equity, before.peak)


def test_what_was_decided_is_unsettled_until_it_is_known() -> None:
    decision = Decision(action="enter", reason="long_signal", target=Decimal("0.1"), intents=(ENTRY,))
    assert conclude(HELD, BAR, 1.0, decision).unsettled == (ENTRY,)
    waiting = replace(HELD, unsettled=(ENTRY,))
    assert conclude(waiting, BAR, 1.0, STAY).unsettled == (ENTRY,), "a decision without orders forgets none"


@given(st.integers(0, 2**20))
@settings(max_examples=20)
def test_a_state_survives_being_written_down(seed: int) -> None:
    state = opening(BOOK)
    for account in walked(seed)[1]:
        state, _ = settle(state, account)
    state = replace(conclude(state, BAR + timedelta(days=9), 40_123.4, STAY), unsettled=(ENTRY,))
    assert msgspec.convert(plain(state), BookState) == state
