"""The fill model: next open, costs against us, pessimistic stops, and money that is conserved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from functools import reduce
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.bars import Bars, epoch, moment
from core.domain.fills import PAPER, Account, Costs, accept, advance, apply, sight, through
from core.domain.orders import ZERO, Execution, Fill, Holding, Intent, Leg, Listed, Order, Rules, Side, intent_id
from tests.domain.drawn import BAR, FLAT, HOUR, LONG, RULES, SHORT

FREE = Costs(slippage_bps=ZERO, stop_slippage_bps=ZERO, volume_share=ZERO)
COSTS = Costs(slippage_bps=Decimal(2), stop_slippage_bps=Decimal(5), volume_share=ZERO)
THIN = Costs(volume_share=Decimal("0.04"), funding_bps=Decimal(1))
NEXT = BAR + HOUR
DUST = Decimal("1e-15")  # interest by the second is no whole number of anything


def intent(leg: Leg, side: Side, amount: str, stop: str | None = None) -> Intent:
    return Intent(
        id=intent_id("btc", BAR, leg),
        book="btc",
        bar=BAR,
        leg=leg,
        side=side,
        amount=Decimal(amount),
        stop=None if stop is None else Decimal(stop),
    )


def account(holding: Holding = FLAT, *intents: Intent) -> Account:
    return reduce(accept, intents, Account(holding=holding, bar=BAR))


def after(
    before: Account, opened: float, high: float, low: float, costs: Costs = FREE, rules: Rules = RULES, **kwargs: Any
) -> Account:
    return through(before, kwargs.get("bar", NEXT), opened, high, low, rules, costs)


ENTRY = intent("entry", "buy", "0.1", "39000")
SHORT_ENTRY = intent("entry", "sell", "0.1", "41000")


# --- at the open ----------------------------------------------------------------------------------------------------


def test_an_entry_is_filled_at_the_next_open_with_costs_against_us() -> None:
    """40,000 x 1.0002 = 40,008, and 0.1 of it costs 4.0008."""
    found = after(account(FLAT, ENTRY), 40_000.0, 40_500.0, 39_500.0, COSTS)
    fill = Fill(
        id=f"{ENTRY.id}-{epoch(NEXT)}",
        bar=NEXT,
        side="buy",
        amount=Decimal("0.1"),
        price=Decimal(40008),
        fee=Decimal("4.0008"),
        cause="entry",
        stop=Decimal(39000),
    )
    assert found.fills == (fill,)
    assert found.pending == ()
    assert found.bar == NEXT
    assert found.holding == Holding(
        cash=Decimal("9995.9992"),
        position=Decimal("0.1"),
        average_price=Decimal(40008),
        stop=Decimal(39000),
        opened=NEXT,
        fees=Decimal("4.0008"),
    )


def test_an_exit_takes_profit_fee_and_interest_by_the_time_held() -> None:
    """Bought 0.1 at 39,000; sold at 40,000 x 0.9998; six hours of interest on what it was worth at entry."""
    found = after(account(LONG, intent("exit", "sell", "0.1")), 40_000.0, 40_500.0, 39_500.0, COSTS)
    (fill,) = found.fills
    assert (fill.price, fill.fee) == (Decimal(39992), Decimal("3.9992"))
    assert fill.interest == Decimal("0.1") * 39000 * Decimal("0.0004") * 6 / 24 == Decimal("0.39")
    assert found.holding == Holding(cash=Decimal(9990) + Decimal("99.2") - Decimal("3.9992") - Decimal("0.39"))


def test_a_short_earns_when_the_price_falls() -> None:
    found = after(account(SHORT, intent("exit", "buy", "0.1")), 40_000.0, 40_500.0, 39_500.0)
    assert found.holding.cash == Decimal(9990) + 100 - 4 - Decimal("0.41")


def test_a_price_that_is_not_on_the_tick_is_rounded_against_us() -> None:
    bought = after(account(FLAT, ENTRY), 40_000.05, 40_500.0, 39_500.0)
    sold = after(account(FLAT, SHORT_ENTRY), 40_000.05, 40_500.0, 39_500.0)
    assert bought.fills[0].price == Decimal("40000.1")
    assert sold.fills[0].price == Decimal("40000.0")


def test_a_reversal_exits_first_however_the_orders_came() -> None:
    legs = intent("entry", "sell", "0.2", "41000"), intent("exit", "sell", "0.1")
    found = after(account(LONG, *legs), 40_000.0, 40_500.0, 39_500.0)
    assert [(fill.cause, fill.amount) for fill in found.fills] == [("exit", Decimal("0.1")), ("entry", Decimal("0.2"))]
    assert (found.holding.position, found.holding.average_price) == (Decimal("-0.2"), Decimal(40000))
    assert (found.holding.opened, found.holding.stop, found.holding.fees) == (NEXT, Decimal(41000), Decimal(8))


@pytest.mark.parametrize(("holding", "side"), [(FLAT, "sell"), (SHORT, "sell"), (FLAT, "buy"), (LONG, "buy")])
def test_an_exit_whose_position_is_gone_does_nothing(holding: Holding, side: Side) -> None:
    found = after(account(holding, intent("exit", side, "0.1")), 40_000.0, 40_500.0, 39_500.0)
    assert (found.fills, found.pending, found.holding) == ((), (), holding)


def test_an_exit_never_opens_the_other_side() -> None:
    found = after(account(LONG, intent("exit", "sell", "0.5")), 40_000.0, 40_500.0, 39_500.0)
    assert [fill.amount for fill in found.fills] == [Decimal("0.1")]
    assert found.holding.position == 0


def test_an_order_waits_for_a_bar_after_the_one_it_was_decided_on() -> None:
    """Bars may come late: an order decided on stale bars is not filled in the past."""
    for bar in (BAR - HOUR, BAR):
        early = after(account(FLAT, ENTRY), 30_000.0, 30_500.0, 29_500.0, bar=bar)
        assert (early.fills, early.pending) == ((), (ENTRY,))
    assert after(early, 40_000.0, 40_500.0, 39_500.0).fills[0].price == 40_000


@pytest.mark.parametrize(
    "prices",
    [
        (math.nan, 40_500.0, 39_500.0),
        (40_000.0, math.nan, 39_500.0),
        (40_000.0, 40_500.0, math.nan),
        (40_000.0, math.inf, 39_500.0),
        (0.0, 0.0, 0.0),
        (40_000.0, 40_500.0, -1.0),
        (40_000.0, 39_900.0, 39_500.0),
        (40_000.0, 40_500.0, 40_100.0),
    ],
)
@pytest.mark.parametrize("holding", [LONG, SHORT, FLAT])
def test_at_prices_that_no_market_prints_nothing_happens(prices: tuple[float, float, float], holding: Holding) -> None:
    before = account(holding, ENTRY)
    assert after(before, *prices) == replace(before, bar=NEXT)


# --- the protective stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holding", "high", "low", "price"),
    [(LONG, 39_500.0, 38_000.0, 38_000), (LONG, 39_500.0, 37_000.0, 38_000), (SHORT, 42_000.0, 41_000.0, 42_000)],
)
def test_a_stop_fires_when_it_is_touched_at_its_price(holding: Holding, high: float, low: float, price: int) -> None:
    (fill,) = after(account(holding), (high + low) / 2, high, low).fills
    assert (fill.cause, fill.price, fill.amount) == ("stop", price, Decimal("0.1"))


@pytest.mark.parametrize(("holding", "high", "low"), [(LONG, 45_000.0, 38_000.1), (SHORT, 41_999.9, 35_000.0)])
def test_a_stop_that_is_not_touched_rests(holding: Holding, high: float, low: float) -> None:
    assert after(account(holding), (high + low) / 2, high, low).fills == ()


@pytest.mark.parametrize(("holding", "opened", "price"), [(LONG, 37_000.0, "36981.5"), (SHORT, 43_000.0, "43021.5")])
def test_a_gap_through_the_stop_is_filled_at_the_open_and_worse(holding: Holding, opened: float, price: str) -> None:
    """37,000 x 0.9995 and 43,000 x 1.0005."""
    (fill,) = after(account(holding), opened, opened + 100, opened - 100, COSTS).fills
    assert fill.price == Decimal(price)


@pytest.mark.parametrize(
    ("order", "high", "low", "price"), [(ENTRY, 40_100.0, 38_900.0, 39_000), (SHORT_ENTRY, 41_100.0, 39_900.0, 41_000)]
)
def test_a_stop_may_fire_in_the_bar_of_entry(order: Intent, high: float, low: float, price: int) -> None:
    found = after(account(FLAT, order), 40_000.0, high, low)
    assert [(fill.cause, fill.price) for fill in found.fills] == [("entry", 40_000), ("stop", price)]
    assert found.holding == Holding(cash=Decimal(10000) - 100 - 4 - price * Decimal("0.0001"))


def test_a_market_that_opens_beyond_the_stop_of_a_new_entry_costs_both_ways() -> None:
    """The entry is filled at the open, and the stop at that same open: never at a price that was not there."""
    found = after(account(FLAT, ENTRY), 38_500.0, 38_900.0, 38_400.0, COSTS)
    assert [(fill.cause, fill.price) for fill in found.fills] == [
        ("entry", Decimal("38507.7")),
        ("stop", Decimal("38480.7")),
    ]


def test_an_exit_at_the_open_goes_before_the_stop() -> None:
    found = after(account(LONG, intent("exit", "sell", "0.1")), 39_000.0, 39_500.0, 37_000.0)
    assert [fill.cause for fill in found.fills] == ["exit"]


def test_in_a_reversal_the_old_stop_is_gone_and_the_new_one_counts() -> None:
    legs = intent("exit", "sell", "0.1"), intent("entry", "sell", "0.1", "41000")
    quiet = after(account(LONG, *legs), 39_000.0, 39_500.0, 37_000.0)
    wild = after(account(LONG, *legs), 39_000.0, 41_500.0, 37_000.0)
    assert [fill.cause for fill in quiet.fills] == ["exit", "entry"]
    assert [fill.cause for fill in wild.fills] == ["exit", "entry", "stop"]


def test_interest_of_a_stop_runs_until_its_bar() -> None:
    (fill,) = after(account(LONG), 38_500.0, 39_000.0, 37_000.0).fills
    assert fill.interest == Decimal("0.39")
    (_, stopped) = after(account(FLAT, ENTRY), 40_000.0, 40_100.0, 38_900.0).fills
    assert stopped.interest == 0


def test_adding_to_a_position_pays_no_interest_yet() -> None:
    (fill,) = after(account(LONG, ENTRY), 40_000.0, 40_500.0, 39_500.0).fills
    assert (fill.cause, fill.interest) == ("entry", 0)


def test_a_stop_fires_once() -> None:
    found = after(account(LONG), 38_500.0, 39_000.0, 37_000.0)
    assert after(found, 38_500.0, 39_000.0, 37_000.0, bar=NEXT + HOUR).fills == found.fills


# --- accept ---------------------------------------------------------------------------------------------------------


def test_an_order_is_accepted_once() -> None:
    once = account(FLAT, ENTRY)
    assert accept(once, ENTRY) == once
    filled = after(once, 40_000.0, 40_500.0, 39_500.0)
    assert accept(filled, ENTRY) == filled, "also after it was filled"


def test_it_remembers_at_least_the_last_sixteen_bars_orders() -> None:
    found = Account(holding=FLAT)
    orders = [replace(ENTRY, id=f"order{i}") for i in range(200)]
    for i, order in enumerate(orders):
        found = replace(accept(found, order), pending=())
        assert found.known == tuple(known.id for known in orders[max(0, i - 31) : i + 1])


# --- over many bars -------------------------------------------------------------------------------------------------


def drawn_bars(seed: int, count: int) -> Bars:
    """A wild market, so that stops fire and are jumped over."""
    rng = np.random.default_rng(seed)
    close = 40_000 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    opened = np.round(close * np.exp(rng.normal(0, 0.01, count)), 2)
    close = np.round(close, 2)
    spread = np.abs(rng.normal(0, 400, count))
    high, low = np.round(np.maximum(opened, close) + spread, 2), np.round(np.minimum(opened, close) - spread, 2)
    time = epoch(BAR) + 3600 * np.arange(count, dtype=np.int64)
    return Bars(time, opened, high, low, close, np.ones(count))


def orders_after(draw: Random, found: Account, bars: Bars, i: int) -> list[Intent]:
    """What a strategy without sense might want after bar i: to enter, to exit, to reverse or nothing."""
    bar, price, held = moment(bars.time[i]), Decimal(str(bars.close[i])), found.holding.position
    amount = Decimal(draw.randint(1, 300)) / 1000
    side: Side = draw.choice(["buy", "sell"])
    if held:
        side = "sell" if held > 0 else "buy"
    stop = price * Decimal(draw.choice(["0.97", "0.995"]) if side == "buy" else draw.choice(["1.03", "1.005"]))
    stop = RULES.worse(stop, side)
    exits = [Intent(id=intent_id("b", bar, "exit"), book="b", bar=bar, leg="exit", side=side, amount=abs(held))]
    entries = [
        Intent(id=intent_id("b", bar, "entry"), book="b", bar=bar, leg="entry", side=side, amount=amount, stop=stop)
    ]
    wish = draw.random()
    return [*(exits if held and wish < 0.3 else []), *(entries if (not held and wish < 0.5) or wish < 0.15 else [])]


def walked(seed: int, costs: Costs = COSTS) -> tuple[Bars, list[Account]]:
    """The account after each of 60 bars, with orders of any kind on the way. All fills are kept in order."""
    draw, bars = Random(seed), drawn_bars(seed, 60)
    found, states = Account(holding=FLAT), []
    for i in range(len(bars)):
        found = advance(found, bars[i : i + 1], RULES, costs)
        states.append(found)
        found = reduce(accept, orders_after(draw, found, bars, i), found)
    return bars, states


def every_fill(states: Iterable[Account]) -> dict[str, Fill]:
    return {fill.id: fill for state in states for fill in state.fills}


seeds = st.integers(0, 2**20)


@given(seeds)
@settings(max_examples=25)
def test_equity_is_what_the_fills_alone_say(seed: int) -> None:
    """Told without averages or stops: what was paid, what was received, and what is left at today's price."""
    bars, states = walked(seed)
    for i, state in enumerate(states):
        fills = list(every_fill(states[: i + 1]).values())
        price = Decimal(str(bars.close[i]))
        position = sum((fill.signed for fill in fills), ZERO)
        money = FLAT.cash - sum((fill.signed * fill.price + fill.fee + fill.interest for fill in fills), ZERO)
        assert state.holding.position == position
        assert abs(state.holding.equity(price) - (money + position * price)) < DUST


@given(seeds)
@settings(max_examples=25)
def test_cash_is_capital_and_realised_profit_less_costs(seed: int) -> None:
    _, states = walked(seed)
    holding, realised, costs = FLAT, ZERO, ZERO
    for fill in every_fill(states).values():
        holding, profit = apply(holding, fill)
        realised, costs = realised + profit, costs + fill.fee + fill.interest
    assert holding == states[-1].holding
    assert abs(holding.cash - (FLAT.cash + realised - costs)) < DUST


@given(seeds)
@settings(max_examples=25)
def test_every_fill_is_at_a_price_against_us_on_the_tick_and_in_lots(seed: int) -> None:
    bars, states = walked(seed)
    for fill in every_fill(states).values():
        opened = Decimal(str(bars.open[int(np.searchsorted(bars.time, epoch(fill.bar)))]))
        assert fill.price % RULES.tick == 0
        assert fill.amount % RULES.lot == 0 and fill.amount > 0
        assert fill.price > opened if fill.side == "buy" else fill.price < opened or fill.cause == "stop"
        assert fill.fee == fill.amount * fill.price * RULES.taker
        assert fill.interest >= 0


@given(seeds)
@settings(max_examples=25)
def test_a_stop_is_never_filled_better_than_its_price_or_the_open(seed: int) -> None:
    bars, states = walked(seed)
    resting = None
    for fill in every_fill(states).values():
        if fill.cause == "entry":
            resting = fill.stop
        if fill.cause == "stop":
            assert resting is not None
            opened = Decimal(str(bars.open[int(np.searchsorted(bars.time, epoch(fill.bar)))]))
            assert fill.price < min(resting, opened) if fill.side == "sell" else fill.price > max(resting, opened)


def test_these_walks_hold_everything_that_can_happen() -> None:
    fills = [fill for seed in range(40) for fill in every_fill(walked(seed)[1]).values()]
    kinds = {(fill.cause, fill.side) for fill in fills}
    assert kinds == {(cause, side) for cause in ("entry", "exit", "stop") for side in ("buy", "sell")}
    assert any(fill.interest for fill in fills)


@given(seeds, st.integers(0, 59))
@settings(max_examples=25)
def test_advance_is_through_bar_by_bar_and_the_second_time_nothing(seed: int, cut: int) -> None:
    bars = drawn_bars(seed, 60)
    start = accept(Account(holding=FLAT, bar=BAR - HOUR), replace(ENTRY, bar=BAR - HOUR))
    whole = advance(start, bars, RULES, THIN)
    by_bar = start
    for i in range(len(bars)):
        prices = bars.open[i], bars.high[i], bars.low[i]
        by_bar = through(by_bar, moment(bars.time[i]), *prices, RULES, THIN, bars.volume[i])
    assert whole == by_bar
    assert advance(whole, bars, RULES, THIN) == whole
    assert advance(advance(start, bars[:cut], RULES, THIN), bars[max(0, cut - 5) :], RULES, THIN) == whole


@given(seeds)
@settings(max_examples=20)
def test_money_is_decimal_and_survives_being_written_down(seed: int) -> None:
    found = walked(seed)[1][-1]
    values = [found.holding.cash, found.holding.position, found.holding.fees, found.holding.average_price]
    values += [value for fill in found.fills for value in (fill.amount, fill.price, fill.fee, fill.interest)]
    assert {type(value) for value in values} == {Decimal}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Account) == found


# --- apply, also for venues that fill in parts ----------------------------------------------------------------------


def fill_of(side: Side, amount: str, price: str, fee: str = "1", stop: str | None = None) -> Fill:
    return Fill(
        id="x",
        bar=NEXT,
        side=side,
        amount=Decimal(amount),
        price=Decimal(price),
        fee=Decimal(fee),
        cause="entry",
        stop=None if stop is None else Decimal(stop),
    )


def test_an_entry_in_parts_has_the_average_price_and_all_fees() -> None:
    first, _ = apply(FLAT, fill_of("buy", "1", "100", stop="90"))
    both, profit = apply(first, fill_of("buy", "3", "120"))
    assert (both.position, both.average_price, both.fees, both.stop) == (4, Decimal(115), 2, Decimal(90))
    assert (both.cash, profit) == (Decimal(9998), 0)


def test_an_exit_in_parts_realises_its_share() -> None:
    held, _ = apply(FLAT, fill_of("sell", "4", "100", stop="110"))
    part, profit = apply(held, fill_of("buy", "1", "90"))
    assert (part.position, part.average_price, part.stop) == (-3, Decimal(100), Decimal(110))
    assert (part.cash, profit) == (Decimal(10008), Decimal(10))


def test_a_fill_through_zero_closes_and_opens() -> None:
    held, _ = apply(FLAT, fill_of("buy", "1", "100", stop="90"))
    turned, profit = apply(held, fill_of("sell", "3", "110", stop="120"))
    assert (turned.position, turned.average_price, turned.stop) == (-2, Decimal(110), Decimal(120))
    assert (turned.cash, profit) == (Decimal(10008), Decimal(10))


def test_what_is_closed_in_parts_is_kept_until_the_last_of_it() -> None:
    held, _ = apply(FLAT, fill_of("buy", "4", "100", stop="90"))
    first, _ = apply(held, fill_of("sell", "1", "110"))
    assert (first.realised, first.closed, first.proceeds, first.fees) == (10, 1, 110, 2)
    second, _ = apply(first, fill_of("sell", "2", "90"))
    assert (second.realised, second.closed, second.proceeds, second.fees) == (-10, 3, 290, 3)
    assert (second.opened, second.cash) == (held.opened, FLAT.cash - 3 - 10)
    over, _ = apply(second, fill_of("sell", "1", "100"))
    assert over == Holding(cash=FLAT.cash - 14)


def test_a_short_closed_in_parts_counts_the_same_way() -> None:
    held, _ = apply(FLAT, fill_of("sell", "4", "100", stop="110"))
    part, _ = apply(held, fill_of("buy", "1", "90"))
    assert (part.realised, part.closed, part.proceeds) == (10, 1, 90)


def test_what_is_added_in_between_keeps_what_was_closed() -> None:
    held, _ = apply(FLAT, fill_of("buy", "4", "100", stop="90"))
    part, _ = apply(held, fill_of("sell", "1", "110"))
    more, _ = apply(part, fill_of("buy", "1", "100"))
    assert (more.realised, more.closed, more.proceeds) == (10, 1, 110)


# --- what such a venue shows ----------------------------------------------------------------------------------------


def shown(found: Account, *intents: Intent) -> dict[str, Listed]:
    """What it lists of these orders, by their ids."""
    listed = sight(found, [Order(intent=each, status="sent") for each in intents]).orders
    assert all(each.order_id == each.tag for each in listed), "it calls an order by our own id"
    return {each.order_id: each for each in listed}


def test_an_order_that_waits_is_open_and_one_that_is_not_known_is_not_shown() -> None:
    listed = Listed(order_id=ENTRY.id, tag=ENTRY.id, side="buy", amount=Decimal("0.1"), status="open", executed=ZERO)
    assert shown(account(FLAT, ENTRY), ENTRY, intent("exit", "sell", "0.1")) == {ENTRY.id: listed}
    assert shown(account(FLAT), ENTRY) == {}
    assert sight(account(FLAT, ENTRY)).orders == (), "only what is asked about"


def test_an_order_that_was_executed_is_filled_and_says_so_twice() -> None:
    found = after(account(FLAT, ENTRY), 40_000.0, 40_500.0, 39_500.0, COSTS)
    listed = shown(found, ENTRY)[ENTRY.id]
    assert (listed.status, listed.executed) == ("filled", Decimal("0.1"))
    (fill,) = found.fills
    assert sight(found).executions == (
        Execution(
            id=fill.id,
            order_id=ENTRY.id,
            at=NEXT,
            side="buy",
            amount=fill.amount,
            price=fill.price,
            fee=fill.fee,
            interest=fill.interest,
        ),
    )
    assert sight(found).position == Decimal("0.1")


@pytest.mark.parametrize(("holding", "executed"), [(FLAT, ZERO), (LONG, Decimal("0.1"))])
def test_an_exit_of_more_than_is_held_is_taken_back_after_its_part(holding: Holding, executed: Decimal) -> None:
    leave = intent("exit", "sell", "0.5")
    listed = shown(after(account(holding, leave), 40_000.0, 40_500.0, 39_500.0), leave)[leave.id]
    assert (listed.status, listed.executed) == ("cancelled", executed)


def test_a_stop_that_came_with_its_entry_says_what_it_was() -> None:
    found = after(account(LONG), 38_500.0, 39_000.0, 37_000.0)
    (done,) = sight(found).executions
    assert (done.cause, done.side, done.amount) == ("stop", "sell", Decimal("0.1"))
    assert sight(found).position == 0


@given(seeds)
@settings(max_examples=25)
def test_all_that_was_filled_is_told_once_and_adds_up(seed: int) -> None:
    told: dict[str, Execution] = {}
    for found in walked(seed)[1]:
        seen = sight(found)
        assert len({done.id for done in seen.executions}) == len(seen.executions)
        told |= {done.id: done for done in seen.executions}
        moved = sum((done.amount if done.side == "buy" else -done.amount for done in told.values()), ZERO)
        assert moved == seen.position == found.holding.position
        assert (seen.reserved, seen.rules, seen.barred) == (None, None, "")


def test_it_says_of_itself_what_it_does() -> None:
    """What it does stands in the tests above: it fills at the next open, and holds each entry's stop itself."""
    assert (PAPER.identity, PAPER.lasting_ids, PAPER.instant, PAPER.stops, PAPER.spot) == (
        "id",
        True,
        False,
        "attached",
        False,
    )
