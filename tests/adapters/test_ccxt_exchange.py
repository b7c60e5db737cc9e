"""Orders through ccxt at a bybit that is simulated, from entry to exit and with everything that goes wrong on the way;
and what holds for every venue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.adapters.ccxt_exchange import CcxtExchange
from core.adapters.ccxt_exchange.venues import VENUES
from core.domain.bars import moment
from core.domain.orders import Answer, Listed, Order, Rules
from core.ports import Unavailable
from tests.adapters.ordering import BARS, ENTRY, EXIT, PERP, SPOT, STOP, YEN, D, RealTime, look, order, told, venue
from tests.adapters.test_ccxt_venues import OKX
from tests.venues.bybit import Bybit, answer
from tests.venues.engine import Engine, VenueClock
from tests.venues.faults import Fault
from tests.venues.server import Served, serving

RULES = Rules(lot=D("0.001"), tick=D("0.1"), minimum_amount=D("0.001"), minimum_notional=D(5), taker=D("0.001"))
CREATE = "POST /v5/order/create"
COIN = {"marketUnit": "baseCoin"}


class Simulated:
    """A bybit with 100,000 USDT, and an exchange that trades there."""

    def __init__(self, venue: Bybit, url: Served, symbol: str) -> None:
        self.venue, self.engine, self.url = venue, venue.engine, url
        self.exchange = CcxtExchange(
            "bybit", symbol, "key", "secret", "", RealTime(), {"public": url, "private": url}, rules=Rules()
        )

    def told(self, *orders: Order) -> list[Answer]:
        return told(self.exchange, *orders)

    def submit(self, *orders: Order) -> list[str]:
        return [each.outcome for each in self.told(*orders)]

    def look(self, *orders: Order) -> Any:
        return self.exchange.look("b", BARS, orders)

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.url.asked("POST", "/v5/order/create")]


@contextmanager
def bybit(symbol: str = PERP, **more: Any) -> Iterator[Simulated]:
    clock = VenueClock(moment(BARS.time[100]))
    kind: Any = "linear" if ":" in symbol else "spot"
    engine = Engine(BARS, clock, kind=kind, rules=RULES, cash=D(100_000), **more)
    venue = Bybit(engine)
    with serving(venue) as url:
        yield Simulated(venue, url, symbol)


# -- bybit: entry, fill, stop, cancel, exit


@pytest.mark.parametrize("symbol", [SPOT, PERP])
def test_an_order_is_placed_found_by_our_id_and_its_execution_and_position_are_seen(symbol: str) -> None:
    with bybit(symbol) as at:
        (placed,) = at.told(ENTRY)
        seen = at.look(ENTRY)
        price = at.engine.price()
        held = at.venue.held if symbol == SPOT else at.engine.position
    assert (placed.outcome, placed.intent) == ("placed", ENTRY.intent.id)
    (listed,) = seen.orders
    (done,) = seen.executions
    assert (listed.order_id, listed.tag, listed.amount) == (placed.order_id, ENTRY.intent.id, D("0.01"))
    assert (done.order_id, done.side, done.price) == (placed.order_id, "buy", price)
    assert seen.position == held == done.amount == listed.executed


def test_a_fee_in_base_coin_is_taken_off_the_amount_and_its_worth_is_the_fee() -> None:
    with bybit(SPOT) as at:
        at.submit(ENTRY)
        (done,) = at.look(ENTRY).executions
        price = at.engine.price()
    assert done.amount == D("0.01") * (1 - RULES.taker)
    assert done.fee == D("0.01") * RULES.taker * price
    assert done.amount * done.price + done.fee == D("0.01") * price  # the money that was spent


def test_a_spot_order_that_gave_less_than_asked_for_has_ended_and_says_how_much_came() -> None:
    with bybit(SPOT) as at:
        at.submit(ENTRY)
        (listed,) = at.look(ENTRY).orders
    assert (listed.status, listed.executed) == ("cancelled", D("0.00999"))


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (SPOT, [{**COIN}, {**COIN, "orderFilter": "StopOrder"}, {**COIN}]),
        (PERP, [{}, {"reduceOnly": True, "triggerDirection": 2}, {"reduceOnly": True}]),
    ],
)  # fmt: skip
def test_bybit_is_sent_our_id_the_amount_in_base_coin_and_what_may_only_close(
    symbol: str, expected: list[dict[str, Any]]
) -> None:
    with bybit(symbol, base=D(1) if symbol == SPOT else D(0)) as at:
        for each in (ENTRY, STOP, EXIT):
            assert at.submit(each) == ["placed"]
        sent = at.sent()
    category = "spot" if symbol == SPOT else "linear"
    for body, each, more in zip(sent, (ENTRY, STOP, EXIT), expected, strict=True):
        trigger = {"triggerPrice": "40000"} if each is STOP else {}
        assert body == {
            "symbol": "BTCUSDT", "category": category, "side": each.intent.side.capitalize(), "orderType": "Market",
            "qty": "0.01", "orderLinkId": each.intent.id, **trigger, **more,
        }  # fmt: skip


@pytest.mark.parametrize("symbol", [SPOT, PERP])
def test_a_stop_rests_until_it_is_taken_back(symbol: str) -> None:
    with bybit(symbol, base=D(1) if symbol == SPOT else D(0)) as at:
        at.submit(ENTRY)
        (placed,) = at.told(STOP)
        (resting,) = at.look().orders
        at.exchange.cancel("b", [order("stop", "sell", "0.01", "40000", name=placed.order_id)])
        (gone,) = at.look(STOP).orders
    assert resting == Listed(
        order_id=placed.order_id, side="sell", amount=D("0.01"), status="open", tag=STOP.intent.id, executed=D(0),
        stop=D(40_000), kind="stop",
    )  # fmt: skip
    assert (gone.order_id, gone.status) == (placed.order_id, "cancelled")


@pytest.mark.parametrize("symbol", [SPOT, PERP])
def test_a_triggered_stop_executes_under_its_own_name(symbol: str) -> None:
    with bybit(symbol, base=D(1) if symbol == SPOT else D(0)) as at:
        trigger = at.engine.price() - D(10)
        stop = order("stop", "sell", "0.01", str(trigger))
        at.submit(ENTRY)
        (placed,) = at.told(stop)
        at.engine.clock.advance(40 * 3600)
        seen = at.look(stop)
    (listed,) = [each for each in seen.orders if each.tag == stop.intent.id]
    assert (listed.status, listed.executed) == ("filled", D("0.01"))
    assert [done.amount for done in seen.executions if done.order_id == placed.order_id] == [D("0.01")]


def test_taking_back_what_is_gone_is_no_error() -> None:
    with bybit() as at:
        at.exchange.cancel("b", [order("stop", "sell", "0.01", "40000", name="f00")])
        assert len(at.url.asked("POST", "/v5/order/cancel")) == 1


# -- bybit: exactly once


@pytest.mark.parametrize("symbol", [SPOT, PERP])
def test_an_id_that_the_venue_has_already_is_placed_once_and_named(symbol: str) -> None:
    with bybit(symbol) as at:
        (first,) = at.told(ENTRY)
        (second,) = at.told(ENTRY)
        assert len(at.engine.accepted()) == 1
    assert (second.outcome, second.order_id) == ("placed", first.order_id)


DONE = ["drop_after", "error_after", "html_after"]


@pytest.mark.parametrize("kind", [*DONE, "drop_before", "error_before", "html", "maintenance"])
def test_without_an_answer_it_is_unknown_and_the_next_look_tells(kind: Any) -> None:
    with bybit() as at:
        at.look()
        at.url.faults.next(CREATE, Fault(kind))
        outcomes = at.submit(ENTRY, EXIT)
        at.url.faults.clear()
        seen = at.look(ENTRY)
        assert len(at.sent()) == 1
    assert outcomes == ["unknown", "refused"]
    assert [each.tag for each in seen.orders] == ([ENTRY.intent.id] if kind in DONE else [])
    assert seen.position == (D("0.01") if kind in DONE else D(0))


@pytest.mark.parametrize("code", [170007, 170146, 10016, 10000, 999999])
def test_a_code_that_does_not_prove_that_nothing_was_done_is_unknown(code: int) -> None:
    with bybit() as at:
        at.url.faults.next(CREATE, answer(code, "who knows"))
        assert at.submit(ENTRY) == ["unknown"]


@pytest.mark.parametrize("code", [110007, 170131, 10006, 10003])
def test_a_code_of_the_closed_list_is_a_refusal_and_nothing_more_is_sent(code: int) -> None:
    with bybit() as at:
        at.url.faults.next(CREATE, answer(code, "no"))
        answers = at.told(ENTRY, EXIT)
        assert len(at.sent()) == 1
    assert [each.outcome for each in answers] == ["refused", "refused"]
    assert str(code) in answers[0].detail
    assert answers[1].detail.startswith("not sent")


def test_the_venue_itself_lets_an_order_expire_by_the_time_at_which_it_was_written_down() -> None:
    with bybit() as at:
        at.look()
        at.url.faults.next(CREATE, Fault("skew", seconds=4))
        sent = datetime.now(UTC) - timedelta(seconds=2)
        (late,) = at.exchange.submit("b", [replace(ENTRY, sent=sent)])
        assert at.engine.accepted() == []
        (asked,) = at.url.asked("POST", "/v5/order/create")
        assert asked.headers["x-bapi-timestamp"] == str(round(sent.timestamp() * 1000))
        at.url.faults.next(CREATE, Fault("skew", seconds=2))
        assert at.submit(ENTRY) == ["placed"]
    assert (late.outcome, "10002" in late.detail) == ("refused", True)


@pytest.mark.parametrize("amount", ["0.0005", "0.0105"])
def test_what_is_no_whole_number_of_lots_is_not_sent(amount: str) -> None:
    with bybit() as at:
        (placed,) = at.told(order("entry", "buy", amount))
        assert at.sent() == []
    assert (placed.outcome, placed.detail.startswith("not_sent")) == ("refused", True)


# -- bybit: looking


def test_an_order_that_only_the_history_knows_is_found() -> None:
    with bybit() as at:
        at.submit(ENTRY)
        at.engine.clock.advance(60)
        at.venue.cleared = at.engine.clock.now()
        by_tag, by_name = at.look(ENTRY), at.look(order("entry", "buy", "0.01", name=at.look(ENTRY).orders[0].order_id))
    assert [each.status for each in by_tag.orders] == ["filled"]
    assert by_name.orders == by_tag.orders


def test_an_order_of_which_only_an_execution_tells_is_found() -> None:
    with bybit() as at:
        at.submit(ENTRY)
        at.engine.lag_orders_s = 60
        (listed,) = at.look(ENTRY).orders
        at.engine.lag_orders_s = 0
        assert [listed] == list(at.look(ENTRY).orders)


def test_an_order_that_nobody_knows_is_simply_not_there() -> None:
    with bybit() as at:
        assert at.look(ENTRY, STOP).orders == ()


def test_executions_that_left_the_page_are_asked_for_by_order() -> None:
    with bybit() as at:
        at.submit(ENTRY)
        at.engine.clock.advance(8 * 24 * 3600)
        seen = at.look(ENTRY)
    assert [done.amount for done in seen.executions] == [D("0.01")]


def test_what_is_filled_in_parts_is_open_until_the_rest_follows() -> None:
    with bybit() as at:
        at.engine.partial = D("0.4")
        at.submit(ENTRY)
        part = at.look(ENTRY)
        at.engine.clock.advance(5)
        whole = at.look(ENTRY)
    assert [(o.status, o.executed) for o in part.orders] == [("open", D("0.004"))]
    assert [(o.status, o.executed) for o in whole.orders] == [("filled", D("0.01"))]
    assert sum(done.amount for done in whole.executions) == whole.position == D("0.01")


def test_a_short_position_is_negative() -> None:
    with bybit() as at:
        at.submit(order("entry", "sell", "0.02"))
        assert at.look().position == D("-0.02")


@given(
    symbol=st.sampled_from([SPOT, PERP]),
    trades=st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 40)), min_size=1, max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_the_position_is_what_the_executions_made_it(symbol: str, trades: list[tuple[Any, int]]) -> None:
    with bybit(symbol, base=D(1) if symbol == SPOT else D(0)) as at:
        opened = at.look().position
        for number, (side, lots) in enumerate(trades):
            at.submit(order("entry", side, str(D(lots) * RULES.lot), attempt=number))
            at.engine.clock.advance(600)
        seen = at.look()
    assert len(seen.executions) == len(trades)
    assert seen.position - opened == sum(done.amount * (1 if done.side == "buy" else -1) for done in seen.executions)


@pytest.mark.parametrize("path", ["/v5/order/realtime", "/v5/execution/list", "/v5/position/list"])
def test_what_cannot_be_read_is_unavailable_and_never_taken_for_nothing(path: str) -> None:
    with bybit() as at:
        at.look()
        at.url.faults.always(path, Fault("html"))
        with pytest.raises(Unavailable, match="bybit"):
            at.look(ENTRY)


def test_lot_tick_and_minimums_are_the_venues() -> None:
    with bybit() as at:
        rules = at.look().rules
    assert (rules.lot, rules.tick, rules.minimum_amount) == (RULES.lot, RULES.tick, RULES.minimum_amount)
    assert (rules.minimum_notional, rules.taker) == (RULES.minimum_notional, Rules().taker)


# -- every venue


@pytest.mark.parametrize("venue_id", VENUES)
def test_numbers_are_as_the_venue_wrote_them(venue_id: str) -> None:
    with venue(venue_id, YEN if venue_id in {"bittrade", "bitflyer"} else SPOT, {}) as (_, at):
        ccxt = at._line.exchange
        assert ccxt.parse_json('{"a": 0.10000000000000000001}') == {"a": "0.10000000000000000001"}
        assert ccxt.parse_number("0.10000000000000000001") == "0.10000000000000000001"


@pytest.mark.parametrize(
    ("venue_id", "symbol", "more", "said"),
    [
        ("kraken", SPOT, {}, "bybit"),
        ("bittrade", YEN, {"sandbox": True}, "no testnet"),
        ("bitflyer", YEN, {"sandbox": True}, "no testnet"),
        ("bittrade", "BTC/JPY:JPY", {}, "only spot"),
        ("bybit", "BTC/USD:BTC", {}, "quote currency"),
    ],
)
def test_what_cannot_be_traded_is_said_at_start(venue_id: str, symbol: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CcxtExchange(venue_id, symbol, "key", "secret", "", RealTime(), {}, **more)


def test_a_symbol_that_the_venue_does_not_list_is_said() -> None:
    with venue("okx", "XYZ/USDT", OKX) as (_, at):
        with pytest.raises(Unavailable, match="does not list XYZ/USDT"):
            look(at)
        (refused,) = told(at, ENTRY)
    assert (refused.outcome, "does not list" in refused.detail) == ("refused", True)


@pytest.mark.parametrize("symbol", [SPOT, PERP])
def test_traits_ask_nobody_and_tell_what_cannot_be_done(symbol: str) -> None:
    for venue_id, known in VENUES.items():
        if symbol == SPOT or known.contracts:
            quoted = symbol.replace("USDT", "JPY") if venue_id == "bitflyer" else symbol
            traits = CcxtExchange(venue_id, quoted, "", "", "", RealTime(), {}).traits
            assert (traits.spot, traits.short) == (symbol == SPOT, symbol == PERP)
            assert (traits.stops == "none") == any("stop orders" in note for note in traits.notes)
            assert (traits.identity == "id") == (known.id_limit >= len(ENTRY.intent.id))
            assert traits.window_s > 0


def test_a_testnet_is_another_address() -> None:
    at = CcxtExchange("bybit", PERP, "", "", "", RealTime(), {}, sandbox=True)
    assert "testnet" in at._ccxt.urls["api"]["private"]
