"""Every venue of ccxt's: with which time a request is signed, how old an order may be when it is sent, for how long an
id of ours is good, and when a market takes no orders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from core.adapters.ccxt_exchange import MARKETS_FOR, CcxtExchange
from core.adapters.ccxt_exchange.venues import VENUES
from core.ports import Unavailable
from tests.adapters.ordering import BARS, ENTRY, FX, PERP, SPOT, YEN, D, Found, RealTime, look, order, query, venue
from tests.adapters.scripted import Answer, Request
from tests.adapters.test_ccxt_venues import (
    BITGET,
    BITGET_PERP,
    BITGET_SPOT,
    BITTRADE,
    BITTRADE_MARKET,
    FLY,
    OKX,
    OKX_SWAP,
    bitget,
    bittrade,
    okx,
)
from tests.fakes import FixedClock


def bybit(result: Any) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1700000000000}


BYBIT_PERP = {
    "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT",
    "launchTime": "1584230400000", "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2", "settleCoin": "USDT",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "199999.80", "tickSize": "0.10"},
    "lotSizeFilter": {"maxOrderQty": "100", "minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"},
}  # fmt: skip
BYBIT_HELD = {
    "symbol": "BTCUSDT", "side": "Buy", "size": "0.02", "avgPrice": "50000", "positionValue": "1000", "positionIdx": 0,
    "markPrice": "50000", "leverage": "2", "unrealisedPnl": "0", "positionIM": "500", "positionMM": "0", "tradeMode": 0,
    "createdTime": "1676538056258", "updatedTime": "1676538056258",
}  # fmt: skip
BYBIT: dict[str, Found] = {
    "GET /v5/market/instruments-info": bybit({"category": "linear", "list": [BYBIT_PERP], "nextPageCursor": ""}),
    "GET /v5/position/list": bybit({"category": "linear", "list": []}),
    "GET /v5/account/wallet-balance": bybit({"list": [{"accountType": "UNIFIED", "coin": []}]}),
    "GET /v5/order/realtime": bybit({"category": "linear", "list": []}),
    "GET /v5/order/history": bybit({"category": "linear", "list": []}),
    "GET /v5/execution/list": bybit({"category": "linear", "list": []}),
    "POST /v5/order/create": bybit({"orderId": "77", "orderLinkId": "x"}),
}
BOARD = {"health": "NORMAL", "state": "RUNNING", "data": {}}
Told = Callable[[Request], str]


def ms(at: datetime) -> str:
    return str(round(at.timestamp() * 1000))


def seconds(at: datetime) -> str:
    return str(int(at.timestamp()))


def iso(at: datetime) -> str:
    return f"{datetime.fromtimestamp(int(ms(at)) / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def header(name: str) -> Told:
    return lambda asked: asked.headers[name]


# Of each venue: a symbol, its answers, where an order is sent to, where its time is on the wire, and how it is written.
WIRE: dict[str, tuple[str, dict[str, Found], str, Told, Callable[[datetime], str]]] = {
    "bybit": (PERP, BYBIT, "/v5/order/create", header("x-bapi-timestamp"), ms),
    "okx": (PERP, OKX, "/api/v5/trade/order", header("ok-access-timestamp"), iso),
    "bitget": (PERP, BITGET, "/api/v2/mix/order/place-order", header("access-timestamp"), ms),
    "bittrade": (
        YEN, BITTRADE, "/v1/order/orders/place", lambda asked: query(asked)["Timestamp"],
        lambda at: f"{at + timedelta(seconds=0.5):%Y-%m-%dT%H:%M:%S}",
    ),
    "bitflyer": (YEN, FLY, "/v1/me/sendchildorder", header("access-timestamp"), seconds),
}  # fmt: skip
NOW = datetime(2024, 5, 1, 12, 0, 7, 654_000, tzinfo=UTC)


def test_every_venue_is_looked_at() -> None:
    assert set(WIRE) == set(VENUES)


class Stopped(FixedClock):
    def sleep(self, seconds: float) -> None:
        pass


def told(at: CcxtExchange, sent: datetime) -> Any:
    at._clock = Stopped(NOW)
    (answer,) = at.submit("b", [replace(ENTRY, sent=sent)])
    return answer


@pytest.mark.parametrize("venue_id", WIRE)
def test_on_the_wire_an_order_has_the_time_at_which_it_was_written_down(venue_id: str) -> None:
    symbol, routes, path, where, written = WIRE[venue_id]
    sent = NOW - timedelta(seconds=3.2)
    with venue(venue_id, symbol, routes) as (server, at):
        assert told(at, sent).outcome == "placed"
        (posted,) = [asked for asked in server.asked if (asked.method, urlsplit(asked.path).path) == ("POST", path)]
        assert where(posted) == written(sent) != written(NOW)
        look(at)
        signed = [asked for asked in server.asked if asked.method == "GET" and _signed(where, asked)]
        assert where(signed[-1]) == written(NOW)


def _signed(where: Told, asked: Request) -> bool:
    try:
        return bool(where(asked))
    except KeyError:
        return False


@pytest.mark.parametrize("venue_id", WIRE)
def test_an_order_that_was_written_down_too_long_ago_is_not_sent(venue_id: str) -> None:
    symbol, routes, path, _, _ = WIRE[venue_id]
    age = timedelta(seconds=VENUES[venue_id].age_s)
    with venue(venue_id, symbol, routes) as (server, at):
        assert told(at, NOW - age).outcome == "placed"
        late = told(at, NOW - age - timedelta(seconds=0.1))
        assert (late.outcome, "written down over" in late.detail) == ("refused", True)
        assert sum(urlsplit(asked.path).path == path for asked in server.asked if asked.method == "POST") == 1


@pytest.mark.parametrize("venue_id", WIRE)
def test_an_order_is_looked_for_only_when_it_can_neither_be_sent_nor_arrive_any_more(venue_id: str) -> None:
    at = CcxtExchange(venue_id, WIRE[venue_id][0], "", "", "", RealTime(), {})
    assert at.traits.window_s >= VENUES[venue_id].age_s + 1


def test_an_entry_is_sent_again_only_where_its_id_is_refused_for_good() -> None:
    lasting = {
        name
        for name, (symbol, *_) in WIRE.items()
        if CcxtExchange(name, symbol, "", "", "", RealTime(), {}).traits.lasting_ids
    }
    assert lasting == {"bybit"}


# When a market takes no orders

SHUT: list[tuple[str, str, dict[str, Found], str]] = [
    ("bybit", PERP, {"GET /v5/market/instruments-info": bybit({"list": [{**BYBIT_PERP, "status": "Closed"}]})}, "list"),
    ("okx", PERP, {"GET /api/v5/public/instruments": okx({**OKX_SWAP, "state": "suspend"})}, "list"),
    ("bitget", SPOT, {"GET /api/v2/spot/public/symbols": bitget([{**BITGET_SPOT, "status": "halt"}])}, "list"),
    (
        "bitget",
        PERP,
        {"GET /api/v2/mix/market/contracts": bitget([{**BITGET_PERP, "symbolStatus": "maintain"}])},
        "symbolStatus is maintain",
    ),
    ("bittrade", YEN, {"GET /v1/common/symbols": bittrade([{**BITTRADE_MARKET, "state": "offline"}])}, "list"),
    (
        "bittrade",
        YEN,
        {"GET /v1/common/symbols": bittrade([{**BITTRADE_MARKET, "api-trading": "disabled"}])},
        "api-trading is disabled",
    ),
    *(
        ("bitflyer", symbol, {"GET /v1/getboardstate": {**BOARD, **wrong}}, said)
        for symbol in (YEN, FX)
        for wrong, said in (
            ({"state": "CIRCUIT BREAK"}, "CIRCUIT BREAK"),
            ({"state": "CLOSED"}, "CLOSED"),
            ({"health": "STOP"}, "STOP"),
            ({"health": "NO ORDER"}, "NO ORDER"),
        )
    ),
]


@pytest.mark.parametrize(("venue_id", "symbol", "shut", "said"), SHUT)
def test_a_market_that_takes_no_orders_bars_new_risk_and_says_why(
    venue_id: str, symbol: str, shut: dict[str, Found], said: str
) -> None:
    routes = WIRE[venue_id][1]
    with venue(venue_id, symbol, routes) as (_, at):
        assert look(at).barred == ""
    with venue(venue_id, symbol, {**routes, **shut}) as (_, at):
        barred = look(at).barred
    assert said in barred
    assert venue_id in barred


def test_a_market_is_looked_up_anew_for_each_tick() -> None:
    routes = dict(BYBIT)
    with venue("bybit", PERP, routes) as (server, at):
        clock = Stopped(datetime.now(UTC))
        at._clock = clock
        for _ in range(2):
            assert at.look("b", BARS).barred == ""
            assert sum("instruments-info" in asked.path for asked in server.asked) == 2  # also what is not launched yet
        server.found |= SHUT[0][2]
        clock.advance(MARKETS_FOR + timedelta(seconds=1))
        assert at.look("b", BARS).barred != ""


def test_where_the_list_of_markets_cannot_be_had_anew_the_rest_is_seen_and_new_risk_is_barred() -> None:
    held = {**BYBIT, "GET /v5/position/list": bybit({"list": [BYBIT_HELD]})}
    with venue("bybit", PERP, held) as (server, at):
        at._clock = clock = Stopped(datetime.now(UTC))
        assert at.look("b", BARS).barred == ""
        server.found["GET /v5/market/instruments-info"] = Answer(502, b"")
        clock.advance(MARKETS_FOR + timedelta(seconds=1))
        seen = at.look("b", BARS)
        assert (seen.position, bool(seen.barred)) == (D("0.02"), True)
        server.found["GET /v5/market/instruments-info"] = BYBIT["GET /v5/market/instruments-info"]
        assert at.look("b", BARS).barred == ""


def test_a_market_that_is_not_listed_any_more_says_so_until_it_is_again() -> None:
    with venue("bybit", PERP, dict(BYBIT)) as (server, at):
        at._clock = clock = Stopped(datetime.now(UTC))
        at.look("b", BARS)
        server.found["GET /v5/market/instruments-info"] = bybit({"list": []})
        clock.advance(MARKETS_FOR + timedelta(seconds=1))
        for _ in range(2):
            with pytest.raises(Unavailable, match="does not list"):
                at.look("b", BARS)
        server.found["GET /v5/market/instruments-info"] = BYBIT["GET /v5/market/instruments-info"]
        assert at.look("b", BARS).barred == ""


def test_placing_never_waits_for_a_newer_list_of_markets() -> None:
    with venue("bybit", PERP, BYBIT) as (server, at):
        at.look("b", BARS)
        at._clock = Stopped(datetime.now(UTC) + 2 * MARKETS_FOR)
        count = len(server.asked)
        at.submit("b", [replace(ENTRY, sent=at._clock.now())])
        assert [asked.method for asked in server.asked[count:]] == ["POST"]


# When the venue is down for maintenance

MAINTENANCE: dict[str, Found] = {
    "okx": {"code": "50001", "msg": "Service temporarily unavailable", "data": []},
    "bitget": Answer(400, {"code": "41114", "msg": "The system is under maintenance", "data": None}),
    "bittrade": {"status": "error", "err-code": "system-maintenance", "err-msg": "maintained", "data": None},
    "bitflyer": {"status": -2, "error_message": "Under maintenance", "data": None},
}


@pytest.mark.parametrize("venue_id", MAINTENANCE)
def test_maintenance_is_told_by_name_and_no_position_is_made_up(venue_id: str) -> None:
    symbol, routes, *_ = WIRE[venue_id]
    private = {name: MAINTENANCE[venue_id] for name in routes if _private(name)}
    with venue(venue_id, symbol, {**routes, **private}) as (server, at):
        with pytest.raises(Unavailable, match="under maintenance"):
            look(at)
        assert sum(_private(f"{asked.method} {urlsplit(asked.path).path}") for asked in server.asked) == 1


def _private(name: str) -> bool:
    return any(part in name for part in ("/account/", "/trade/", "/order", "/position", "/me/"))


def test_an_amount_that_a_number_cannot_carry_is_not_sent() -> None:
    amount = "0.12345678901234567891"
    with venue("bitflyer", YEN, FLY) as (server, at):
        (answer,) = at.submit("b", [replace(order("entry", "buy", amount), sent=datetime.now(UTC))])
        assert server.sent("/v1/me/sendchildorder") == []
    assert (answer.outcome, D(amount) != D(repr(float(amount)))) == ("refused", True)
