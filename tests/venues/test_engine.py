"""The simulated market itself: what it fills, at which price, and what that costs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.orders import ZERO, Rules
from tests.venues.engine import Engine, Rejection, VenueClock
from tests.venues.path import Path, bars_of

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = Rules(taker=Decimal("0.001"), maker=Decimal("-0.0002"), interest_per_day=Decimal("0.0004"))
RISE = (1000.0, 1060.0, 970.0, 1030.0)  # the low comes first: 1000 → 970 → 1060 → 1030, twenty minutes each
FALL = (1000.0, 1030.0, 940.0, 970.0)  # 1000 → 1030 → 940 → 970
MINUTE = 60.0


def market(*rows: tuple[float, float, float, float], kind: Any = "margin", **more: Any) -> Engine:
    clock = VenueClock(START)
    plain: dict[str, Any] = {"rules": RULES, "cash": Decimal(10_000)}
    return Engine(bars_of(START, *rows), clock, kind=kind, **plain | more)


def dec(value: float | str) -> Decimal:
    return Decimal(str(value))


def long(engine: Engine, amount: str = "1", **more: Any) -> Any:
    return engine.place("market", "buy", dec(amount), position_side="long", **more)


def stop(engine: Engine, trigger: float, amount: str = "1", **more: Any) -> Any:
    more.setdefault("position_side", "long")
    return engine.place("stop", "sell", dec(amount), trigger=dec(trigger), **more)


def refused(reason: str, engine: Engine, *args: Any, **kwargs: Any) -> None:
    before = (len(engine.log), engine.cash, engine.position)
    with pytest.raises(Rejection) as caught:
        engine.place(*args, **kwargs)
    assert caught.value.reason == reason
    assert (len(engine.log), engine.cash, engine.position) == before
    assert engine.refusals[-1][1] == reason


# ---- the path of the price


def test_a_rising_bar_goes_by_its_low_first_and_a_falling_one_by_its_high():
    path = Path(bars_of(START, RISE, FALL), Decimal(1))
    corners = [path.price(START + timedelta(minutes=minutes)) for minutes in (0, 10, 20, 30, 40, 50)]
    assert corners == [1000, 985, 970, 1015, 1060, 1045]
    assert [path.price(START + HOUR + timedelta(minutes=minutes)) for minutes in (0, 20, 40)] == [1000, 1030, 940]


def test_the_price_stands_still_in_a_gap_and_outside_of_the_bars():
    bars = bars_of(START, RISE, FALL, RISE)
    path = Path(bars[np.array([True, False, True])], Decimal(1))
    assert path.price(START - HOUR) == 1000
    assert path.price(START + HOUR + timedelta(minutes=20)) == 1030
    assert path.price(START + 9 * HOUR) == 1030


def test_a_forming_candle_shows_how_far_the_bar_has_come():
    engine = market(RISE)
    engine.clock.advance(30 * MINUTE)
    (bar,) = engine.candles(START)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (1000, 1015, 970, 1015, Decimal("0.5"))
    engine.forming = False
    assert engine.candles(START) == []


def test_candles_lag_and_the_last_one_is_then_still_forming():
    engine = market(RISE, FALL)
    engine.clock.advance(61 * MINUTE)
    assert next(bar.close for bar in engine.candles(START)) == 1030
    engine.lag_candles_s = 120
    (bar,) = engine.candles(START)
    assert bar.close == 1032  # a minute before it closes


# ---- orders


def test_a_market_order_fills_at_the_price_of_the_moment():
    engine = market(RISE)
    engine.clock.advance(30 * MINUTE)
    order = long(engine)
    assert (order.status, order.average_price, order.executed) == ("filled", 1015, 1)
    assert engine.position == 1
    assert [entry.what for entry in engine.log] == ["place", "fill"]


def test_a_stop_inside_the_bar_fills_at_its_trigger_when_the_price_passes():
    engine = market(RISE)
    long(engine)
    placed = stop(engine, 985)
    engine.clock.advance(9 * MINUTE)
    assert engine.order(placed.id).status == "waiting"
    engine.clock.advance(2 * MINUTE)
    done = engine.order(placed.id)
    assert (done.status, done.average_price, done.triggered) == ("filled", 985, START + timedelta(minutes=10))
    assert engine.position == 0


@pytest.mark.parametrize("seconds", [3600, 7200])
def test_a_stop_that_the_open_jumps_over_fills_at_the_open(seconds):
    engine = market((1000, 1000, 990, 1000), (900, 950, 890, 940))
    long(engine)
    placed = stop(engine, 950)
    engine.clock.advance(seconds)
    assert engine.order(placed.id).average_price == 900
    assert engine.order(placed.id).triggered == START + HOUR


def test_a_short_is_stopped_when_the_price_rises():
    engine = market(FALL)
    engine.place("market", "sell", Decimal(1), position_side="short")
    engine.place("stop", "buy", Decimal(1), trigger=Decimal(1015), position_side="short")
    assert engine.position == -1
    engine.clock.advance(3600)
    assert engine.position == 0
    assert engine.executions[-1].profit == -15


def test_of_two_stops_the_nearer_one_goes_first():
    engine = market(RISE)
    long(engine, "2")
    far, near = stop(engine, 975), stop(engine, 990)
    engine.clock.advance(3600)
    assert [done.order_id for done in engine.executions[1:]] == [near.id, far.id]


def test_a_limit_order_waits_for_its_price_and_pays_the_maker_fee():
    engine = market(RISE)
    order = engine.place("limit", "buy", Decimal(1), price=Decimal(980), position_side="long")
    assert order.status == "open"
    engine.clock.advance(3600)
    (done,) = engine.executions
    assert (done.price, done.maker, done.fee) == (980, True, Decimal("-0.196"))


def test_a_limit_order_that_the_open_jumps_over_fills_at_its_own_price():
    engine = market((1000, 1000, 990, 1000), (900, 950, 890, 940))
    engine.place("limit", "buy", Decimal(1), price=Decimal(960), position_side="long")
    engine.clock.advance(3600)
    assert engine.executions[0].price == 960


def test_a_limit_order_beyond_the_market_fills_at_once_at_the_market():
    engine = market(RISE)
    order = engine.place("limit", "buy", Decimal(1), price=Decimal(1100), position_side="long")
    assert (order.status, order.average_price, engine.executions[0].maker) == ("filled", 1000, False)


def test_a_stop_limit_rests_at_its_limit_once_triggered():
    engine = market(RISE)
    long(engine)
    placed = engine.place(
        "stop_limit", "sell", Decimal(1), trigger=Decimal(980), price=Decimal(1040), position_side="long"
    )
    engine.clock.advance(25 * MINUTE)
    assert engine.order(placed.id).status == "open"
    engine.clock.advance(35 * MINUTE)
    assert engine.order(placed.id).average_price == 1040


@pytest.mark.parametrize(
    ("reason", "args", "kwargs"),
    [
        ("too_small", ("market", "buy", Decimal("0.00001")), {"position_side": "long"}),
        ("bad_amount", ("market", "buy", Decimal("0.00015")), {"position_side": "long"}),
        ("bad_price", ("limit", "buy", Decimal(1)), {"position_side": "long", "price": Decimal("900.5")}),
        ("bad_price", ("limit", "buy", Decimal(1)), {"position_side": "long"}),
        ("no_trigger", ("stop", "buy", Decimal(1)), {"position_side": "long"}),
        ("trigger_immediate", ("stop", "buy", Decimal(1)), {"position_side": "long", "trigger": Decimal(1000)}),
        ("trigger_immediate", ("stop", "sell", Decimal(1)), {"position_side": "short", "trigger": Decimal(1001)}),
        ("insufficient", ("market", "buy", Decimal(21)), {"position_side": "long"}),
        ("close_exceeds_position", ("market", "sell", Decimal(1)), {"position_side": "long"}),
        ("insufficient", ("market", "sell", Decimal(1)), {}),
    ],
)
def test_what_a_venue_does_not_take_changes_nothing(reason, args, kwargs):
    refused(reason, market(RISE), *args, **kwargs)


def test_a_resting_stop_locks_the_position_that_it_would_close():
    engine = market(RISE)
    long(engine)
    placed = stop(engine, 950, "0.6")
    refused("close_exceeds_position", engine, "market", "sell", Decimal("0.5"), position_side="long")
    engine.place("market", "sell", Decimal("0.4"), position_side="long")
    engine.cancel(placed.id)
    engine.place("market", "sell", Decimal("0.6"), position_side="long")
    assert engine.position == 0


def test_a_cancelled_or_filled_order_cannot_be_cancelled():
    engine = market(RISE)
    filled, resting = long(engine), stop(engine, 950)
    assert engine.cancel(resting.id).status == "cancelled"
    for number, reason in ((filled.id, "already_filled"), (resting.id, "already_cancelled"), (5, "not_found")):
        with pytest.raises(Rejection, match=reason):
            engine.cancel(number)


@pytest.mark.parametrize(("remembers", "again"), [("all", False), ("open", True)])
def test_a_client_id_is_refused_for_ever_or_while_its_order_rests(remembers, again):
    engine = market(RISE, kind="linear", remembers=remembers)
    first = engine.place("stop", "buy", Decimal(1), trigger=Decimal(1050), client_id="x")
    refused("duplicate", engine, "market", "buy", Decimal(1), client_id="x")
    engine.cancel(first.id)
    if again:
        engine.place("market", "buy", Decimal(1), client_id="x")
    else:
        refused("duplicate", engine, "market", "buy", Decimal(1), client_id="x")
    assert len(engine.accepted(client_id="x")) == 1 + again


def test_a_partial_fill_rests_until_the_clock_moves_on():
    engine = market(RISE)
    engine.partial = Decimal("0.4")
    order = long(engine)
    assert (order.status, order.executed) == ("partly_filled", Decimal("0.4"))
    assert [found.id for found in engine.open_orders()] == [order.id]
    engine.clock.advance(600)
    assert engine.order(order.id).status == "filled"
    assert [(done.amount, done.price) for done in engine.executions] == [(Decimal("0.4"), 1000), (Decimal("0.6"), 985)]


def test_the_rest_of_a_partial_fill_may_be_cancelled_instead():
    engine = market(RISE)
    engine.partial, engine.partial_rest = Decimal("0.4"), "cancelled"
    order = long(engine)
    engine.clock.advance(1)
    found = engine.order(order.id)
    assert (found.status, found.executed, engine.position) == ("cancelled", Decimal("0.4"), Decimal("0.4"))


def test_a_circuit_break_refuses_market_orders_and_holds_stops_until_it_ends():
    engine = market(RISE)
    long(engine)
    placed = stop(engine, 985)
    engine.circuit_break = "CIRCUIT_BREAK"
    refused("market_restricted", engine, "market", "buy", Decimal(1), position_side="long")
    engine.clock.advance(20 * MINUTE)
    assert engine.order(placed.id).status == "waiting"
    engine.circuit_break = "NONE"
    assert engine.order(placed.id).average_price == 970  # the price at which matching began again


def test_a_market_order_may_wait_for_a_circuit_break_to_end():
    engine = market(RISE)
    engine.circuit_break, engine.market_waits = "CIRCUIT_BREAK", True
    order = long(engine)
    assert order.status == "open"
    engine.clock.advance(20 * MINUTE)
    engine.circuit_break = "NONE"
    assert engine.order(order.id).average_price == 970


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("stop_order", "suspended"),
        ("stop_order_and_cancel", "suspended"),
        ("stop_market_order", "market_restricted"),
        ("stop_buy_order", "buy_restricted"),
        ("stop_margin_long_order", "long_restricted"),
    ],
)
def test_what_is_stopped_is_refused(flag, reason):
    engine = market(RISE)
    engine.stops.add(flag)
    refused(reason, engine, "market", "buy", Decimal(1), position_side="long")


def test_a_stopped_long_may_still_be_closed():
    engine = market(RISE)
    long(engine)
    engine.stops.add("stop_margin_long_order")
    engine.place("market", "sell", Decimal(1), position_side="long")
    assert engine.position == 0


# ---- money


def test_fees_and_interest_of_a_margin_account_are_paid_exactly_and_at_the_close():
    engine = market((1000, 1000, 1000, 1000), (1000, 1100, 1000, 1100))
    long(engine)
    assert (engine.cash, engine.executions[0].fee, engine.executions[0].charged) == (10_000, 1, 0)
    assert engine.equity() == 9999
    engine.clock.advance(2 * 3600)
    engine.place("market", "sell", Decimal(1), position_side="long")
    done = engine.executions[-1]
    interest = Decimal("0.03333334")  # 1000 x 0.0004 / 12, rounded up
    assert (done.fee, done.charged, done.interest, done.profit) == (Decimal("1.1"), Decimal("2.1"), interest, 100)
    assert engine.cash == 10_000 + 100 - Decimal("2.1") - interest


def test_a_position_closed_in_parts_pays_its_fees_and_interest_once():
    engine = market((1000, 1000, 1000, 1000))
    long(engine, "3")
    for hours in (1, 2, 3):
        engine.clock.set(START + hours * HOUR)
        engine.place("market", "sell", Decimal(1), position_side="long")
    owed = sum((Decimal(1000) * Decimal("0.0004") * hours / 24 for hours in (1, 2, 3)), ZERO)
    paid = sum((done.interest for done in engine.executions), ZERO)
    assert 0 <= paid - owed < Decimal("3e-8")
    assert sum(done.charged for done in engine.executions) == 6
    assert engine.cash == 10_000 - 6 - paid


def test_a_linear_account_pays_its_fees_at_once_and_may_turn_round():
    engine = market(RISE, kind="linear")
    engine.place("market", "buy", Decimal(1))
    assert engine.cash == 9999
    engine.clock.advance(20 * MINUTE)
    engine.place("market", "sell", Decimal(3))
    assert (engine.position, engine.average_price) == (-2, 970)
    assert engine.cash == 9999 - 30 - Decimal("2.91")


def test_reduce_only_never_turns_a_position_round():
    engine = market(RISE, kind="linear")
    refused("close_exceeds_position", engine, "market", "sell", Decimal(1), reduce_only=True)
    engine.place("market", "buy", Decimal(1))
    engine.place("market", "sell", Decimal(3), reduce_only=True)
    assert engine.position == 0


def test_a_reduce_only_stop_whose_position_has_gone_is_rejected_when_it_triggers():
    engine = market(RISE, kind="linear")
    engine.place("market", "buy", Decimal(1))
    placed = engine.place("stop", "sell", Decimal(1), trigger=Decimal(990), reduce_only=True)
    engine.place("market", "sell", Decimal(1))
    engine.clock.advance(3600)
    assert engine.order(placed.id).status == "rejected"
    assert engine.position == 0


def test_a_spot_account_trades_coins_for_money():
    engine = market(RISE, kind="spot")
    engine.place("market", "buy", Decimal(2))
    assert (engine.position, engine.cash) == (2, Decimal(7998))
    engine.place("stop", "sell", Decimal("1.5"), trigger=Decimal(900))
    refused("insufficient", engine, "market", "sell", Decimal(1))
    refused("insufficient", engine, "market", "buy", Decimal(8))


# ---- what is shown, and when


def test_listings_lag_behind_what_is_true():
    engine = market(RISE)
    engine.lag_s = 5
    order = long(engine)
    placed = stop(engine, 950)
    assert engine.position == 1 and len(engine.executions) == 1
    assert (engine.open_orders(), engine.shown_executions(), engine.shown_account().position) == ([], [], 0)
    with pytest.raises(Rejection, match="not_found"):
        engine.order(order.id)
    engine.clock.advance(5)
    assert [found.id for found in engine.open_orders()] == [placed.id]
    assert len(engine.shown_executions()) == 1 and engine.shown_account().position == 1
    engine.cancel(placed.id)
    assert [found.id for found in engine.open_orders()] == [placed.id]
    engine.clock.advance(5)
    assert engine.open_orders() == []


def test_each_listing_has_a_lag_of_its_own():
    engine = market(RISE)
    engine.lag_orders_s, engine.lag_executions_s = 10, 5
    order = long(engine)
    engine.clock.advance(5)
    assert engine.shown_account().position == 1 and engine.shown_executions()[0].order_id == order.id
    assert engine.listed_orders() == []


def test_the_account_is_shown_as_it_was_then():
    engine = market(RISE)
    engine.lag_position_s = 5
    for _ in range(2):
        long(engine)
        engine.clock.advance(3)
    assert (engine.position, engine.shown_account().position) == (2, 1)


def test_the_clock_stops_on_its_way_for_what_is_scheduled():
    clock, seen = VenueClock(START), []
    for seconds in (30, 10, 90):
        clock.schedule(START + timedelta(seconds=seconds), lambda: seen.append(clock.now() - START))
    clock.advance(60)
    assert seen == [timedelta(seconds=10), timedelta(seconds=30)]
    assert clock.now() == START + timedelta(seconds=60)


def test_a_running_clock_goes_on_by_itself_and_calls_what_is_scheduled():
    clock, called = VenueClock(START, real=True), threading.Event()
    clock.schedule(START + timedelta(seconds=0.05), called.set)
    assert called.wait(30)
    assert clock.now() > START
    clock.advance(3600)
    assert clock.now() > START + HOUR


# ---- whatever happens

PRICES = st.integers(900, 1100)
ROWS = st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES), min_size=1, max_size=6).map(
    lambda rows: [(float(o), float(max(o, h, lo, c)), float(min(o, h, lo, c)), float(c)) for o, h, lo, c in rows]
)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["market", "stop", "limit", "cancel"]),
        st.sampled_from([("buy", "long"), ("sell", "long"), ("sell", "short"), ("buy", "short")]),
        st.integers(1, 40),
        PRICES,
        st.integers(0, 4000),
    ),
    max_size=14,
)


def play(engine: Engine, acts: list[Any], pieces: int) -> None:
    """Each act, then some time, in as many pieces."""
    for kind, (side, position_side), lots, price, seconds in acts:
        try:
            if kind == "cancel":
                engine.cancel(1001 + 7 * (lots % 9))
            else:
                where = {"stop": {"trigger": Decimal(price)}, "limit": {"price": Decimal(price)}}.get(kind, {})
                engine.place(kind, side, lots * Decimal("0.1"), position_side=position_side, **where)
        except Rejection:
            pass
        until = engine.clock.now() + timedelta(seconds=seconds)
        for piece in range(1, pieces):
            engine.clock.set(until - timedelta(seconds=seconds) * (1 - piece / pieces))
            engine.advance()
        engine.clock.set(until)
        engine.advance()


@given(ROWS, ACTS)
def test_time_in_one_piece_does_what_time_in_many_pieces_does(rows, acts):
    once, often = market(*rows), market(*rows)
    play(once, acts, 1)
    play(often, acts, 5)
    assert [(d.order_id, d.price, d.amount) for d in once.executions] == [
        (d.order_id, d.price, d.amount) for d in often.executions
    ]
    assert once.position == often.position


@given(ROWS, ACTS)
def test_money_and_positions_follow_from_the_executions(rows, acts):
    engine = market(*rows)
    play(engine, acts, 1)
    signed = [done.amount if done.side == "buy" else -done.amount for done in engine.executions]
    assert engine.position == sum(signed, ZERO)
    earned = sum((done.profit - done.charged - done.interest for done in engine.executions), ZERO)
    assert abs(engine.cash - 10_000 - earned) < Decimal("1e-18")  # a third of a lot's cost has no end
    fees = sum((done.fee for done in engine.executions), ZERO)
    unpaid = sum((lot.fees for lot in engine.account.lots.values()), ZERO)
    assert fees == sum((done.charged for done in engine.executions), ZERO) + unpaid


@given(ROWS, ACTS)
def test_no_position_is_ever_negative_and_none_is_promised_twice(rows, acts):
    engine = market(*rows)
    play(engine, acts, 1)
    for side in ("long", "short"):
        assert engine.closable(side) >= 0
        assert engine.account.lots[side].amount >= 0
    for order in engine.orders.values():
        assert 0 <= order.executed <= order.amount
        assert (order.executed == order.amount) == (order.status == "filled")


@given(ROWS, st.integers(0, 6 * 3600))
def test_the_price_stays_inside_of_its_bar(rows, second):
    path = Path(bars_of(START, *rows), Decimal(1))
    _, high, low, _ = rows[min(second // 3600, len(rows) - 1)]
    assert low <= path.price(START + timedelta(seconds=second)) <= high
