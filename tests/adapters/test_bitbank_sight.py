from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from core.adapters.bitbank_exchange import PAGE, PAGE_LIMIT
from core.domain.bars import moment
from core.domain.orders import Order, Rules
from core.ports import Unavailable
from tests.adapters.bitbank_bench import BARS, ORDER, Bench, bench
from tests.venues.account import PositionSide
from tests.venues.bitbank import answer
from tests.venues.faults import Fault


@pytest.fixture
def on_margin() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture
def on_spot() -> Iterator[Bench]:
    with bench(margin=False, base="0.5") as made:
        yield made


def scene(made: Bench) -> tuple[Order, Order]:
    """A position, a resting stop, and something in every list."""
    return made.place("entry", "buy"), made.place("stop", "sell")


QUESTIONS = {
    True: ["/spot/pairs", "/circuit_break_info", "/margin/positions", "/margin/status", "/active_orders",
           "/trade_history", ORDER],
    False: ["/spot/pairs", "/circuit_break_info", "/user/assets", "/active_orders", "/trade_history", ORDER],
}  # fmt: skip
PAGES = [Fault("html"), Fault("error_before", status=200, body=b""), Fault("error_before", status=200, body=b"[]"),
         Fault("error_before", status=200, body=b'{"success": 1}'), Fault("drop_before")]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=["html", "empty", "list", "no data", "dropped"])
@pytest.mark.parametrize(("margin", "end"), [(margin, end) for margin, ends in QUESTIONS.items() for end in ends])
def test_a_page_that_is_no_answer_is_never_taken_for_no_orders_and_no_position(
    margin: bool, end: str, page: Fault
) -> None:
    with bench(margin=margin, base="1") as made:
        orders = scene(made)
        made.url.faults.always(f"GET *{end}", page)
        with pytest.raises(Unavailable, match="bitbank"):
            made.look(*orders)


NEEDED = {
    "/spot/pairs": "pairs name unit_amount amount_digits price_digits is_enabled maker_fee_rate_base stop_order "
    "taker_fee_rate_base stop_order_and_cancel stop_market_order stop_stop_order stop_buy_order stop_sell_order "
    "stop_margin_long_order stop_margin_short_order margin_open_taker_fee_rate_quote margin_close_taker_fee_rate_quote "
    "margin_open_maker_fee_rate_quote margin_long_interest margin_short_interest margin_current_individual_ratio",
    "/circuit_break_info": "mode",
    "/margin/positions": "positions pair position_side open_amount",
    "/margin/status": "status open_margin_order_product",
    "/active_orders": "orders order_id pair side type start_amount executed_amount status trigger_price",
    ORDER: "order_id pair side type start_amount executed_amount status",
    "/trade_history": "trades trade_id order_id pair side amount price fee_amount_base executed_at",
}
NEEDED_SPOT = {
    "/spot/pairs": "taker_fee_rate_quote maker_fee_rate_quote",
    "/user/assets": "assets asset onhand_amount locked_amount",
}
FIELDS = [(True, end, name) for end, names in NEEDED.items() for name in names.split()]
FIELDS += [(False, end, name) for end, names in NEEDED_SPOT.items() for name in names.split()]


def without(name: str, data: Any) -> Any:
    """`data` without the fields `name`, however deep."""
    if isinstance(data, list):
        return [without(name, row) for row in data]
    return {key: without(name, row) for key, row in data.items() if key != name} if isinstance(data, dict) else data


def swapped(name: str, value: Any, data: Any) -> Any:
    """`data` with `value` in every field `name`, however deep."""
    if isinstance(data, list):
        return [swapped(name, value, row) for row in data]
    if not isinstance(data, dict):
        return data
    return {key: value if key == name else swapped(name, value, row) for key, row in data.items()}


def instead(rows: list[Any], data: Any) -> Any:
    """`data` with other rows in its one list."""
    (name,) = (key for key, value in data.items() if isinstance(value, list))
    return {**data, name: rows}


@pytest.mark.parametrize(("margin", "end", "name"), FIELDS)
def test_a_field_that_is_missing_or_nonsense_is_no_answer(margin: bool, end: str, name: str) -> None:
    with bench(margin=margin, base="1") as made:
        orders = scene(made)
        made.look(*orders)
        made.engine.clock.advance(900)  # the rules are asked for anew
        nothing: tuple[Any, ...] = (None, "", {})
        for edit in (partial(without, name), *(partial(swapped, name, value) for value in nothing)):
            made.venue.edits = {end: edit}
            with pytest.raises(Unavailable, match="bitbank"):
                made.look(*orders)
        made.venue.edits = {}
        made.look(*orders)


@pytest.mark.parametrize(
    ("end", "name", "value"),
    [
        ("/active_orders", "status", "SLEEPING"),
        ("/active_orders", "side", "long"),
        ("/active_orders", "pair", "eth_jpy"),
        ("/active_orders", "start_amount", "NaN"),
        ("/active_orders", "executed_amount", "Infinity"),
        ("/trade_history", "pair", "eth_jpy"),
        ("/trade_history", "amount", "a lot"),
        ("/trade_history", "interest", "some"),
        ("/trade_history", "executed_at", -1),
        ("/trade_history", "trade_id", "x1"),
        ("/margin/positions", "position_side", "both"),
        ("/margin/positions", "open_amount", True),
        ("/spot/pairs", "price_digits", "0"),
        ("/spot/pairs", "is_enabled", "true"),
    ],
)
def test_a_value_that_cannot_be_is_no_answer(on_margin: Bench, end: str, name: str, value: Any) -> None:
    orders = scene(on_margin)
    on_margin.venue.edits = {end: partial(swapped, name, value)}
    with pytest.raises(Unavailable, match="bitbank"):
        on_margin.look(*orders)


@pytest.mark.parametrize("end", ["/active_orders", "/trade_history", "/margin/positions"])
def test_a_list_of_something_else_is_no_answer(on_margin: Bench, end: str) -> None:
    rows: tuple[Any, ...] = (None, [], "row", 7)
    for row in rows:
        on_margin.venue.edits = {end: partial(instead, [row])}
        with pytest.raises(Unavailable, match="bitbank"):
            on_margin.look()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("INACTIVE", "open"), ("UNFILLED", "open"), ("PARTIALLY_FILLED", "open"), ("FULLY_FILLED", "filled"),
        ("CANCELED_UNFILLED", "cancelled"), ("CANCELED_PARTIALLY_FILLED", "cancelled"), ("REJECTED", "refused"),
    ],
)  # fmt: skip
def test_what_became_of_an_order_is_told_in_our_words(on_margin: Bench, status: str, told: str) -> None:
    entry = on_margin.place()
    on_margin.venue.edits = {ORDER: lambda data: {**data, "status": status}}
    (listed,) = on_margin.look(entry).orders
    assert (listed.order_id, listed.status) == (entry.order_id, told)


def test_an_order_that_the_venue_does_not_know_is_absent(on_margin: Bench) -> None:
    entry = on_margin.place()
    gone = replace(entry, order_id="424242")
    assert [one.order_id for one in on_margin.look(entry, gone).orders] == [entry.order_id]


@pytest.mark.parametrize("code", [50009, 20001, 10001, 10007])
def test_only_no_such_order_makes_an_order_absent(on_margin: Bench, code: int) -> None:
    entry = on_margin.place()
    on_margin.url.faults.always(f"GET {ORDER}", answer(code))
    if code == 50009:
        assert on_margin.look(entry).orders == ()
    else:
        with pytest.raises(Unavailable):
            on_margin.look(entry)


def test_orders_and_executions_of_the_other_kind_are_not_ours(on_margin: Bench) -> None:
    on_margin.place()
    on_margin.place("stop", "sell")
    for end in ("/active_orders", "/trade_history"):
        on_margin.venue.edits[end] = partial(without, "position_side")
    sight = on_margin.look()
    assert (sight.orders, sight.executions, sight.position) == ((), (), Decimal("0.1"))


@pytest.mark.parametrize(
    ("kind", "told"),
    [("limit", "other"), ("stop_limit", "other"), ("losscut", "other"), ("take_profit", "other"), ("stop", "stop")],
)
def test_an_open_order_that_is_not_of_our_kinds_is_listed_as_another(on_margin: Bench, kind: str, told: str) -> None:
    on_margin.place()
    stop = on_margin.place("stop", "sell")
    amounts = {"start_amount": None} if kind == "take_profit" else {}
    on_margin.venue.edits["/active_orders"] = lambda data: {"orders": [{**data["orders"][0], "type": kind, **amounts}]}
    (listed,) = on_margin.look(stop).orders
    assert (listed.kind, listed.stop is not None) == (told, told == "stop")


# Executions


def test_part_of_an_order_is_told_as_part(on_margin: Bench) -> None:
    on_margin.engine.partial = Decimal("0.4")
    entry = on_margin.place("entry", "buy", "0.1")
    sight = on_margin.look(entry)
    assert (sight.position, sight.orders[0].status, sight.orders[0].executed) == (
        Decimal("0.04"), "open", Decimal("0.04"),
    )  # fmt: skip
    on_margin.engine.clock.advance(60)
    sight = on_margin.look(entry)
    assert [one.amount for one in sight.executions] == [Decimal("0.04"), Decimal("0.06")]
    assert {one.order_id for one in sight.executions} == {entry.order_id}


def traded(made: Bench, times: int) -> None:
    """`times` executions of someone else on this account, a second apart."""
    for count in range(times):
        made.engine.place("market", "buy" if count % 2 == 0 else "sell", Decimal("0.01"), position_side="long")
        made.engine.clock.advance(1)


def test_executions_are_told_oldest_first(on_margin: Bench) -> None:
    traded(on_margin, 6)
    times = [one.at for one in on_margin.look().executions]
    assert len(times) == 6
    assert times == sorted(times)


def test_an_order_that_executed_before_the_newest_page_is_told_in_full(on_margin: Bench) -> None:
    entry = on_margin.place()
    traded(on_margin, PAGE + 4)
    sight = on_margin.look(entry)
    assert sight.executions[0].order_id == entry.order_id
    assert len(sight.executions) == PAGE + 1


def test_an_order_without_an_id_makes_us_look_back_to_when_it_was_sent(on_margin: Bench) -> None:
    on_margin.url.faults.next(f"POST {ORDER}", Fault("drop_after"))
    lost = on_margin.order()
    on_margin.exchange.submit("btc", [lost])
    traded(on_margin, PAGE + 80)
    assert len(on_margin.look().executions) == PAGE
    assert len(on_margin.look(lost).executions) == PAGE + 81


def test_looking_further_back_shows_nothing_old_that_would_pass_for_new(on_margin: Bench) -> None:
    traded(on_margin, PAGE + 50)
    before = on_margin.look().ids
    lost = on_margin.order()
    traded(on_margin, PAGE + 30)
    new = {str(done.order_id) for done in on_margin.engine.executions[PAGE + 50 :]}
    assert set(on_margin.look(lost).ids) - set(before) == new


def test_more_executions_than_the_venue_shows_are_never_taken_for_all(on_margin: Bench) -> None:
    traded(on_margin, PAGE)
    lost = replace(on_margin.order(), sent=moment(BARS.time[50]))
    on_margin.venue.edits["/trade_history"] = lambda data: {"trades": data["trades"] * (PAGE_LIMIT // PAGE)}
    with pytest.raises(Unavailable, match="over 1000 executions"):
        on_margin.look(lost)


def test_a_fee_taken_in_coins_is_told_in_money(on_margin: Bench) -> None:
    on_margin.place()
    fees = {"fee_amount_base": "0.00012", "fee_occurred_amount_quote": "1.5"}
    on_margin.venue.edits["/trade_history"] = lambda data: {"trades": [{**row, **fees} for row in data["trades"]]}
    (done,) = on_margin.look().executions
    assert done.fee == Decimal("1.5") + Decimal("0.00012") * done.price


def test_a_fee_that_is_not_told_when_it_arises_is_the_one_that_is_taken(on_margin: Bench) -> None:
    on_margin.place()
    on_margin.venue.edits["/trade_history"] = lambda data: without(
        "fee_occurred_amount_quote", swapped("fee_amount_quote", "-0.2", data)
    )
    (done,) = on_margin.look().executions
    assert done.fee == Decimal("-0.2")


def test_what_executes_while_we_look_is_seen_whole(on_margin: Bench) -> None:
    entry, stop = on_margin.place(), on_margin.place("stop", "sell")

    def fill(data: Any) -> Any:
        on_margin.venue.edits = {}
        on_margin.engine.clock.advance(60)
        on_margin.engine.cancel(int(stop.order_id))
        on_margin.engine.place("market", "sell", Decimal("0.1"), position_side="long")
        return data

    on_margin.venue.edits["/trade_history"] = fill
    sight = on_margin.look(entry, stop)
    assert (sight.position, len(sight.executions)) == (0, 2)
    assert {one.status for one in sight.orders} == {"filled", "cancelled"}


def test_a_position_that_never_stands_still_is_not_told(on_margin: Bench) -> None:
    def fill(data: Any) -> Any:
        on_margin.engine.place("market", "buy", Decimal("0.01"), position_side="long")
        return data

    on_margin.venue.edits["/trade_history"] = fill
    with pytest.raises(Unavailable, match="look again"):
        on_margin.look()


# Rules, and what bars new risk


def test_the_rules_are_the_pairs_own_the_dearer_rate_of_two(on_margin: Bench) -> None:
    own = {
        "unit_amount": "0.001", "amount_digits": 4, "price_digits": 0, "margin_open_taker_fee_rate_quote": "0.0012",
        "margin_close_taker_fee_rate_quote": "0.0015", "margin_open_maker_fee_rate_quote": "-0.0002",
        "margin_long_interest": "0.0004", "margin_short_interest": "0.0006", "margin_current_individual_ratio": "0.8",
    }  # fmt: skip
    on_margin.venue.edits["/spot/pairs"] = lambda data: {"pairs": [{**data["pairs"][0], **own}]}
    assert on_margin.look().rules == Rules(
        lot=Decimal("0.001"), tick=Decimal(1), minimum_amount=Decimal("0.001"), taker=Decimal("0.0015"),
        maker=Decimal("-0.0002"), interest_per_day=Decimal("0.0006"), leverage=Decimal("1.25"),
    )  # fmt: skip


def test_leverage_is_never_more_than_the_law_allows(on_margin: Bench) -> None:
    on_margin.venue.edits["/spot/pairs"] = partial(swapped, "margin_current_individual_ratio", "0.25")
    rules = on_margin.look().rules
    assert rules is not None and rules.leverage == 2


def test_a_pair_without_margin_trading_says_so(on_margin: Bench) -> None:
    on_margin.venue.edits["/spot/pairs"] = partial(swapped, "margin_current_individual_ratio", None)
    with pytest.raises(Unavailable, match="no margin trading in this pair"):
        on_margin.look()


def test_a_pair_that_is_not_there_says_so(on_margin: Bench) -> None:
    on_margin.venue.edits["/spot/pairs"] = lambda data: {"pairs": []}
    with pytest.raises(Unavailable, match="does not trade BTC/JPY"):
        on_margin.look()


FLAGS = ["stop_order", "stop_order_and_cancel", "stop_market_order", "stop_stop_order", "stop_buy_order",
         "stop_sell_order", "stop_margin_long_order", "stop_margin_short_order"]  # fmt: skip


@pytest.mark.parametrize("flag", FLAGS)
def test_a_suspension_bars_new_risk(on_margin: Bench, on_spot: Bench, flag: str) -> None:
    for made in (on_margin, on_spot):
        assert made.look().barred == ""
        made.engine.stops = {flag}
        made.engine.clock.advance(3600)
        assert ("suspended" in made.look().barred) == (made is on_margin or "margin" not in flag)


@pytest.mark.parametrize(
    ("end", "name", "value", "said"),
    [
        ("/circuit_break_info", "mode", "CIRCUIT_BREAK", "circuit breaker is on (CIRCUIT_BREAK)"),
        ("/spot/pairs", "is_enabled", False, "not traded"),
        ("/spot/pairs", "taker_fee_rate_base", "0.001", "fees are taken in coins"),
        ("/margin/status", "status", "CALL", "margin call"),
        ("/margin/status", "status", "LOSSCUT", "liquidating"),
        ("/margin/status", "status", "DEBT", "owes money"),
        ("/margin/status", "status", "SOMETHING", "state SOMETHING"),
    ],
)
def test_the_state_of_market_and_account_bars_new_risk(
    on_margin: Bench, end: str, name: str, value: Any, said: str
) -> None:
    on_margin.venue.edits[end] = partial(swapped, name, value)
    assert said in on_margin.look().barred


STATE = "/spot/status"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"status": "HALT"}, "halted this pair"),
        ({"status": "VERY_BUSY", "min_amount": "0.5"}, "VERY_BUSY and takes no orders under 0.5"),
        ({"status": "BUSY"}, ""),
        ({"pair": "eth_jpy"}, "how the exchange stands is not known"),
        ({"min_amount": "some"}, "how the exchange stands is not known"),
    ],
)
def test_the_state_of_the_exchange_bars_new_risk(on_margin: Bench, row: dict[str, str], said: str) -> None:
    on_margin.venue.edits[STATE] = lambda data: {"statuses": [{**data["statuses"][0], **row}]}
    barred = on_margin.look().barred
    assert said in barred if said else barred == ""


@pytest.mark.parametrize("page", PAGES, ids=["html", "empty", "list", "no data", "dropped"])
def test_where_the_state_of_the_exchange_cannot_be_read_new_risk_is_barred_and_the_rest_is_seen(
    on_margin: Bench, page: Fault
) -> None:
    entry = on_margin.place()
    on_margin.url.faults.always(f"GET *{STATE}", page)
    sight = on_margin.look(entry)
    assert (sight.position, len(sight.executions)) == (Decimal("0.1"), 1)
    assert "how the exchange stands is not known" in sight.barred


def test_maintenance_is_told_by_name_and_no_position_is_made_up(on_margin: Bench) -> None:
    on_margin.url.faults.always("GET /v1/user/*", Fault("maintenance"))
    with pytest.raises(Unavailable, match="under maintenance"):
        on_margin.look()
    assert sum(request.path.startswith("/v1/user/") for request in on_margin.url.requests) == 1


def test_long_and_short_at_once_are_netted_and_bar_new_risk(on_margin: Bench) -> None:
    on_margin.place("entry", "buy", "0.3")
    on_margin.place("entry", "sell", "0.1")
    sight = on_margin.look()
    assert sight.position == Decimal("0.2")
    assert "both long and short" in sight.barred


def test_positions_in_other_pairs_are_not_ours(on_margin: Bench) -> None:
    on_margin.place()
    on_margin.venue.edits["/margin/positions"] = partial(swapped, "pair", "eth_jpy")
    assert on_margin.look().position == 0


def test_money_held_back_for_open_orders_is_told(on_margin: Bench, on_spot: Bench) -> None:
    held: list[tuple[Bench, PositionSide, str]] = [(on_margin, "long", "4000"), (on_spot, "", "4004.8")]  # with its fee
    for made, position_side, reserved in held:
        made.engine.place("limit", "buy", Decimal("0.1"), price=Decimal(40000), position_side=position_side)
        assert made.look().reserved == Decimal(reserved)


# What is free, and how much the position is covered


def status(**changes: Any) -> Any:
    return lambda data: {**data, **changes}


def test_what_positions_and_open_orders_need_is_not_free(on_margin: Bench, on_spot: Bench) -> None:
    for made, position_side, used in ((on_margin, "long", "2000"), (on_spot, "", "4004.8")):
        money = made.engine.cash
        assert made.look().free == money
        made.engine.place("limit", "buy", Decimal("0.1"), price=Decimal(40000), position_side=position_side)  # type: ignore[arg-type]
        assert made.look().free == money - Decimal(used)


def test_what_positions_in_other_pairs_need_is_not_free_either(on_margin: Bench) -> None:
    free = on_margin.look().free
    assert free is not None
    on_margin.venue.edits["/margin/status"] = status(total_position_maintenance_margin="1234.5000")
    assert on_margin.look().free == free - Decimal("1234.5")


@pytest.mark.parametrize("side", ["long", "short"])
def test_no_more_is_free_than_is_available_to_open_a_position(on_margin: Bench, side: str) -> None:
    row = {"pair": "btc_jpy", "long": "9000.0000", "short": "9000.0000"} | {side: "777.5000"}
    on_margin.venue.edits["/margin/status"] = status(available_balances=[{**row, "pair": "eth_jpy", side: "1"}, row])
    assert on_margin.look().free == Decimal("777.5")


def test_debts_leave_nothing_free(on_margin: Bench) -> None:
    on_margin.venue.edits["/margin/status"] = status(total_margin_balance="-5.0000")
    assert on_margin.look().free == 0


def test_the_margin_ratio_and_where_positions_are_closed_are_the_venues_own(on_margin: Bench) -> None:
    on_margin.venue.edits["/margin/status"] = status(total_margin_balance_percentage="151.23", losscut_percentage="30")
    seen = on_margin.look()
    assert seen.margin == Decimal("1.5123")
    assert seen.rules is not None and seen.rules.maintenance == Decimal("0.3")
    assert seen.liquidation is None, "it tells no price"


@pytest.mark.parametrize("name", ["total_margin_balance", "total_position_maintenance_margin"])
def test_what_bitbank_does_not_say_is_not_made_up(on_margin: Bench, name: str) -> None:
    def without(data: Any) -> Any:
        return {key: value for key, value in data.items() if key != name}

    on_margin.venue.edits["/margin/status"] = without
    assert on_margin.look().free is None


def test_an_available_balance_that_is_no_number_is_no_answer(on_margin: Bench) -> None:
    row = {"pair": "btc_jpy", "long": "much", "short": "1"}
    on_margin.venue.edits["/margin/status"] = status(available_balances=[row])
    with pytest.raises(Unavailable, match="long"):
        on_margin.look()


def test_what_the_account_has_costs_no_request_more(on_margin: Bench, on_spot: Bench) -> None:
    for made, count in ((on_margin, 8), (on_spot, 7)):
        made.look()
        before = made.exchange.calls().made
        made.look()
        asked = [request.path for request in made.url.requests[before:]]
        assert len(asked) == made.exchange.calls().made - before <= count, asked
