"""What the venues of ccxt's tell of money, of liquidation, of keys and of time: each in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.ports import Unavailable
from tests.adapters.ordering import FX, PERP, SPOT, YEN, D, Found, look, query, venue
from tests.adapters.scripted import Answer
from tests.adapters.test_ccxt_exchange import bybit as simulated
from tests.adapters.test_ccxt_times import BYBIT, BYBIT_HELD, bybit
from tests.adapters.test_ccxt_venues import (
    BITGET,
    BITTRADE,
    FLY,
    OKX,
    OKX_POSITION,
    bitget,
    bittrade,
    okx,
    okx_said,
)
from tests.venues.faults import Fault

# --- money ----------------------------------------------------------------------------------------------------------

BYBIT_USDT = {
    "coin": "USDT", "walletBalance": "1000.5", "equity": "990.25", "locked": "10", "totalPositionIM": "500",
    "totalOrderIM": "20.125", "unrealisedPnl": "-10.25", "availableToWithdraw": "",
}  # fmt: skip
OKX_USDT = {"ccy": "USDT", "eq": "99.89", "availEq": "94.42612990333333", "availBal": "90.5", "cashBal": "94"}
BITGET_USDT = {"marginCoin": "USDT", "available": "900", "crossedMaxAvailable": "450.25", "accountEquity": "1000"}


def wallet(coin: Mapping[str, Any], whole: str = "") -> dict[str, Found]:
    account = {"accountType": "UNIFIED", "totalAvailableBalance": whole, "coin": [{"coin": "BTC"}, coin]}
    return {"GET /v5/account/wallet-balance": bybit({"list": [account]})}


def without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def yen(**balances: str) -> dict[str, Found]:
    rows = [{"currency": "jpy", "type": kind, "balance": balance} for kind, balance in balances.items()]
    rows += [{"currency": "btc", "type": kind, "balance": "0.4"} for kind in ("trade", "frozen")]
    return {"GET /v1/account/accounts/5/balance": bittrade({"list": rows})}


@pytest.mark.parametrize(
    ("venue_id", "symbol", "routes", "changes", "free"),
    [
        ("bybit", PERP, BYBIT, wallet(BYBIT_USDT), "460.125"),
        ("bybit", PERP, BYBIT, wallet(BYBIT_USDT, "300.5"), "300.5"),
        ("bybit", PERP, BYBIT, wallet(BYBIT_USDT, "5000"), "460.125"),
        ("bybit", PERP, BYBIT, wallet({**BYBIT_USDT, "equity": "400"}), "0"),
        ("bybit", PERP, BYBIT, wallet(without(BYBIT_USDT, "totalPositionIM")), None),
        ("bybit", PERP, BYBIT, wallet({**BYBIT_USDT, "totalOrderIM": ""}), None),
        ("bybit", PERP, BYBIT, wallet({"coin": "ETH"}), "0"),
        ("okx", PERP, OKX, {"GET /api/v5/account/balance": okx({"details": [OKX_USDT]})}, "94.42612990333333"),
        ("okx", SPOT, OKX, {"GET /api/v5/account/balance": okx({"details": [OKX_USDT]})}, "94.42612990333333"),
        ("okx", PERP, OKX, {"GET /api/v5/account/balance": okx({"details": [{**OKX_USDT, "availEq": ""}]})}, "90.5"),
        ("okx", PERP, OKX, {"GET /api/v5/account/balance": okx({"details": [{"ccy": "USDT", "eq": "1"}]})}, None),
        ("okx", SPOT, OKX, {}, "0"),
        ("bitget", PERP, BITGET, {}, "450.25"),
        ("bitget", PERP, BITGET, {"GET /api/v2/mix/account/accounts": bitget([BITGET_USDT])}, "450.25"),
        ("bitget", PERP, BITGET, {"GET /api/v2/mix/account/accounts": bitget([{"marginCoin": "USDT"}])}, None),
        ("bitget", SPOT, BITGET, {}, "0"),
        ("bittrade", YEN, BITTRADE, {}, "0"),
        ("bittrade", YEN, BITTRADE, yen(trade="5000.123456789"), "5000.123456789"),
        ("bittrade", YEN, BITTRADE, yen(frozen="7"), None),
        ("bitflyer", YEN, FLY, {}, "508000"),
        ("bitflyer", FX, FLY, {}, "79428"),
        ("bitflyer", FX, FLY, {"GET /v1/me/getcollateral": {"collateral": 5.5, "open_position_pnl": 0.25,
                                                            "require_collateral": 9}}, "0"),
    ],
)  # fmt: skip
def test_what_is_free_is_told_exactly_or_not_at_all(
    venue_id: str, symbol: str, routes: dict[str, Found], changes: dict[str, Found], free: str | None
) -> None:
    with venue(venue_id, symbol, {**routes, **changes}) as (_, at):
        seen = look(at)
    assert seen.free == (None if free is None else D(free))
    assert seen.margin is None


@pytest.mark.parametrize("answer", [okx({"details": [{**OKX_USDT, "availEq": "much"}]}), Answer(502, b"")])
def test_money_that_cannot_be_read_is_no_answer(answer: Found) -> None:
    with venue("okx", PERP, {**OKX, "GET /api/v5/account/balance": answer}) as (_, at), pytest.raises(Unavailable):
        look(at)


BITGET_HELD = {
    "marginCoin": "USDT", "symbol": "BTCUSDT", "holdSide": "long", "total": "0.02", "available": "0.02",
    "openPriceAvg": "50000", "marginMode": "isolated", "posMode": "one_way_mode", "unrealizedPL": "0",
    "markPrice": "50000", "leverage": "2",
    "keepMarginRate": "0.004", "marginRatio": "0.01", "marginSize": "500", "cTime": "1700719887120", "uTime": "1",
}  # fmt: skip


def held(venue_id: str, price: str) -> dict[str, Found]:
    rows: dict[str, dict[str, Any]] = {"bybit": BYBIT_HELD, "okx": OKX_POSITION, "bitget": BITGET_HELD}
    name = {"bybit": "liqPrice", "okx": "liqPx", "bitget": "liquidationPrice"}[venue_id]
    row = {**rows[venue_id], name: price}
    return {
        "bybit": {**BYBIT, "GET /v5/position/list": bybit({"category": "linear", "list": [row]})},
        "okx": {**OKX, "GET /api/v5/account/positions": okx(row)},
        "bitget": {**BITGET, "GET /api/v2/mix/position/all-position": bitget([row])},
    }[venue_id]


@pytest.mark.parametrize("venue_id", ["bybit", "okx", "bitget"])
@pytest.mark.parametrize(
    ("price", "told"), [("24875.6218905472", "24875.6218905472"), ("", None), ("0", None), ("-1", None)]
)
def test_the_price_of_liquidation_is_the_venues_own_or_none(venue_id: str, price: str, told: str | None) -> None:
    with venue(venue_id, PERP, held(venue_id, price)) as (_, at):
        seen = look(at)
    assert seen.position != 0
    assert seen.liquidation == (None if told is None else D(told))


COST = {
    ("bybit", PERP): 1, ("okx", PERP): 1, ("bitget", PERP): 1, ("bitflyer", FX): 1,
    ("okx", SPOT): 2, ("bitget", SPOT): 2, ("bittrade", YEN): 2, ("bitflyer", YEN): 2,
}  # fmt: skip


@pytest.mark.parametrize(("venue_id", "symbol"), COST)
def test_money_costs_a_look_at_contracts_one_request_and_any_other_none(venue_id: str, symbol: str) -> None:
    """A look at spot asks for what it holds before and after."""
    paths = ("wallet-balance", "/balance", "account/assets", "v2/mix/account/accounts", "getbalance", "getcollateral")
    routes = {"bybit": BYBIT, "okx": OKX, "bitget": BITGET, "bittrade": BITTRADE, "bitflyer": FLY}[venue_id]
    with venue(venue_id, symbol, routes) as (server, at):
        look(at)
        asked = len(server.asked)
        look(at)
        again = [request.path.split("?")[0] for request in server.asked[asked:]]
    assert sum(path.endswith(paths) for path in again) == COST[venue_id, symbol]


# --- keys and clock -------------------------------------------------------------------------------------------------


def now(offset_s: float = 0.0) -> int:
    return round((datetime.now(UTC) + timedelta(seconds=offset_s)).timestamp() * 1000)


def key(permission: str) -> dict[str, Found]:
    mine = {"accessKey": "key", "status": "normal", "permission": permission}
    other = {"accessKey": "other", "status": "normal", "permission": "readOnly,trade,withdraw"}
    return {"GET /v2/user/api-key": {"code": 200, "data": [other, mine]}}


def apis(*names: str) -> dict[str, Found]:
    return {"GET /v1/me/getpermissions": [f"/v1/me/{name}" for name in names]}


def perm(text: str) -> dict[str, Found]:
    return {"GET /api/v5/account/config": okx({"acctLv": "2", "perm": text, "posMode": "net_mode"})}


def authorities(*names: str) -> dict[str, Found]:
    return {"GET /api/v2/spot/account/info": bitget({"userId": "1", "authorities": list(names)})}


FLY_TICKER = {
    "product_code": "BTC_JPY", "timestamp": "2024-05-01T12:00:00.1", "best_bid": 1, "best_ask": 2, "ltp": 1,
    "volume": 1,
}  # fmt: skip
KEYS: dict[str, tuple[str, dict[str, Found]]] = {
    "okx": (PERP, {**OKX, "GET /api/v5/public/time": lambda _: okx({"ts": str(now())})}),
    "bitget": (PERP, {**BITGET, "GET /api/v2/public/time": lambda _: bitget({"serverTime": str(now())})}),
    "bittrade": (
        YEN,
        {
            **BITTRADE, "GET /v1/common/timestamp": lambda _: bittrade(now()),
            "GET /v2/user/uid": {"code": 200, "data": 63628520},
        },
    ),
    "bitflyer": (YEN, {**FLY, "GET /v1/getticker": FLY_TICKER}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("venue_id", "changes", "withdraw", "said"),
    [
        ("okx", perm("read_only,trade"), False, ()),
        ("okx", perm("read_only,withdraw,trade"), True, ("may withdraw",)),
        ("okx", perm("read_only"), False, ("may not trade",)),
        ("okx", perm(""), None, ("perm",)),
        ("okx", {"GET /api/v5/account/config": okx()}, None, ("not known",)),
        ("okx", {"GET /api/v5/account/config": Answer(404, okx_said("50000", "gone"))}, None, ("gone",)),
        ("bitget", authorities("spot_trade", "contract_trade", "readonly"), False, ()),
        ("bitget", authorities("spot_trade", "withdraw"), True, ("may withdraw",)),
        ("bitget", authorities("spot_trade", "wxow"), None, ("does not tell it all",)),
        ("bitget", authorities(), None, ("does not tell it all",)),
        ("bitget", {}, None, ("not known",)),
        ("bittrade", key("trade,readOnly"), False, ()),
        ("bittrade", key("readOnly,trade,withdraw"), True, ("may withdraw",)),
        ("bittrade", key("readOnly"), False, ("may not trade",)),
        ("bittrade", {"GET /v2/user/api-key": {"code": 2002, "message": "invalid"}}, None, ("2002 invalid",)),
        ("bittrade", {"GET /v2/user/api-key": {"code": 200, "data": []}}, None, ("permission",)),
        ("bittrade", {"GET /v2/user/uid": Answer(404, b"gone")}, None, ("not known",)),
        ("bitflyer", apis("getbalance", "sendchildorder", "getwithdrawals"), False, ("date of an HTTP answer",)),
        ("bitflyer", apis("getbalance", "sendchildorder", "withdraw"), True, ("date", "may withdraw")),
        ("bitflyer", apis("sendchildorder", "sendcoin"), True, ("date", "may withdraw")),
        ("bitflyer", apis("getbalance"), False, ("date", "may not trade")),
        ("bitflyer", {"GET /v1/me/getpermissions": {"no": "list"}}, None, ("date", "no list")),
    ],
)  # fmt: skip
def test_what_a_key_may_do_is_told_or_said_to_be_unknown(
    venue_id: str, changes: dict[str, Found], withdraw: bool | None, said: tuple[str, ...]
) -> None:
    symbol, routes = KEYS[venue_id]
    with venue(venue_id, symbol, {**routes, **changes}) as (server, at):
        vetted = at.vet()
        own = [query(asked) for asked in server.asked if asked.path.startswith("/v2/user/api-key")]
    assert vetted.withdraw is withdraw
    assert len(vetted.said) == len(said)
    assert all(part in sentence for part, sentence in zip(said, vetted.said, strict=True)), vetted.said
    assert vetted.skew_s is not None and abs(vetted.skew_s) < 5
    assert all((asked["uid"], asked["accessKey"]) == ("63628520", "key") for asked in own)


NO: dict[str, tuple[str, Found, str]] = {
    "okx": ("GET /api/v5/account/positions", Answer(401, {"code": "50111", "msg": "Invalid OK-ACCESS-KEY"}), "50111"),
    "bitget": ("GET /api/v2/mix/position/all-position", Answer(400, {"code": "40006", "msg": "Invalid key"}), "40006"),
    "bittrade": (
        "GET /v1/account/accounts", {"status": "error", "err-code": "api-signature-not-valid", "err-msg": "wrong"},
        "api-signature-not-valid",
    ),
    "bitflyer": ("GET /v1/me/getbalance", Answer(401, {"status": -500, "error_message": "Key not found"}), "-500"),
}  # fmt: skip


@pytest.mark.parametrize("venue_id", NO)
def test_keys_that_do_not_work_are_told_in_the_venues_own_words(venue_id: str) -> None:
    (symbol, routes), (path, answer, code) = KEYS[venue_id], NO[venue_id]
    with venue(venue_id, symbol, {**routes, path: answer}) as (_, at), pytest.raises(Unavailable, match=code):
        at.vet()


@pytest.mark.parametrize(
    ("venue_id", "path", "told"),
    [
        ("okx", "GET /api/v5/public/time", lambda ms: okx({"ts": str(ms)})),
        ("bitget", "GET /api/v2/public/time", lambda ms: bitget({"serverTime": str(ms)})),
        ("bittrade", "GET /v1/common/timestamp", bittrade),
    ],
)
@pytest.mark.parametrize("offset_s", [20.0, -20.0])
def test_a_clock_that_is_off_is_told_by_how_much(venue_id: str, path: str, told: Any, offset_s: float) -> None:
    symbol, routes = KEYS[venue_id]
    with venue(venue_id, symbol, {**routes, path: lambda _: told(now(offset_s))}) as (_, at):
        skew = at.vet().skew_s
    assert skew is not None and abs(skew + offset_s) < 5


@pytest.mark.parametrize("answer", [okx(), okx({"ts": ""}), Answer(502, b"")])
def test_a_time_that_is_not_told_is_unknown_and_the_rest_is_vetted(answer: Found) -> None:
    symbol, routes = KEYS["okx"]
    routes = {**routes, **perm("read_only,trade"), "GET /api/v5/public/time": answer}
    with venue("okx", symbol, routes) as (_, at):
        vetted = at.vet()
    assert (vetted.withdraw, vetted.skew_s) == (False, None)
    (said,) = vetted.said
    assert "clocks" in said


@pytest.mark.parametrize("symbol", [PERP, SPOT])
@pytest.mark.parametrize(
    ("granted", "read_only", "withdraw", "said"),
    [
        (["AccountTransfer"], False, False, ""),
        (["AccountTransfer", "Withdraw"], False, True, "may withdraw"),
        ([], True, False, "may not trade"),
    ],
)
def test_bybit_tells_what_a_key_may_do(
    symbol: str, granted: list[str], read_only: bool, withdraw: bool, said: str
) -> None:
    with simulated(symbol) as made:
        made.venue.granted, made.venue.read_only = granted, read_only
        vetted = made.exchange.vet()
        private = [request for request in made.url.requests if not request.path.startswith("/v5/market/")]
    assert vetted.withdraw is withdraw
    assert [said in sentence for sentence in vetted.said] == [True] * bool(said)
    assert len(private) == 2, "one proves the key, one tells of it"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_bybit_that_does_not_tell_what_a_key_may_do_is_no_crash(status: int) -> None:
    with simulated() as made:
        fault = Fault("html") if status == 200 else Fault("error_before", status=status)
        made.url.faults.always("GET /v5/user/query-api", fault)
        vetted = made.exchange.vet()
    assert vetted.withdraw is None
    (said,) = vetted.said
    assert "whether the key may withdraw is not known" in said
