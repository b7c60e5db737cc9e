"""okx, bitget, bittrade and bitflyer through ccxt: what is asked of each, to the letter, and what is made of the
venues' own answers (from their documents, and from what ccxt and others recorded)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from core.ports import Unavailable
from tests.adapters.ordering import (
    ENTRY,
    EXIT,
    FX,
    PERP,
    SPOT,
    STOP,
    YEN,
    D,
    Found,
    look,
    order,
    query,
    submit,
    told,
    venue,
)
from tests.adapters.scripted import Answer, Request

# -- okx


def okx(*rows: Any) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": list(rows)}


def okx_said(code: str, message: str = "no") -> dict[str, Any]:
    return {"code": "1", "data": [{"clOrdId": "", "ordId": "", "sCode": code, "sMsg": message, "tag": ""}], "msg": ""}


OKX_ABSENT = {"code": "51603", "data": [], "msg": "Order does not exist"}
OKX_SWAP = {
    "instId": "BTC-USDT-SWAP", "instType": "SWAP", "baseCcy": "", "quoteCcy": "", "settleCcy": "USDT", "ctVal": "0.01",
    "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "uly": "BTC-USDT", "lotSz": "0.1", "minSz": "0.1",
    "tickSz": "0.1", "lever": "100", "state": "live", "listTime": "1606468572000", "expTime": "", "alias": "",
}  # fmt: skip
OKX_SPOT = {
    **OKX_SWAP, "instId": "BTC-USDT", "instType": "SPOT", "baseCcy": "BTC", "quoteCcy": "USDT", "settleCcy": "",
    "ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": "", "uly": "", "lotSz": "0.00000001", "minSz": "0.00001",
}  # fmt: skip
OKX_FILL = {
    "instType": "SPOT", "instId": "BTC-USDT", "tradeId": "123456789", "ordId": "987654321", "clOrdId": "",
    "billId": "456", "fillPx": "42000.5", "fillSz": "0.01", "side": "buy", "execType": "T", "feeCcy": "BTC",
    "fee": "-0.00001", "ts": "1625097600000",
}  # fmt: skip
OKX_STOP = {
    "algoId": "123", "algoClOrdId": STOP.intent.id, "clOrdId": "", "ordId": "", "instId": "BTC-USDT-SWAP",
    "instType": "SWAP", "ordType": "conditional", "state": "live", "side": "sell", "posSide": "net", "sz": "1",
    "slTriggerPx": "40000", "slOrdPx": "-1", "slTriggerPxType": "last", "tdMode": "cross", "reduceOnly": "true",
    "actualSz": "0", "actualPx": "", "triggerTime": "", "cTime": "1622559930237", "uTime": "1622559930237", "tag": "",
}  # fmt: skip
OKX_POSITION = {
    "instId": "BTC-USDT-SWAP", "instType": "SWAP", "mgnMode": "cross", "posSide": "net", "pos": "-1.5", "avgPx": "1",
    "ccy": "USDT", "lever": "2", "upl": "0", "cTime": "1622559930237", "uTime": "1622559930237", "posId": "1",
}  # fmt: skip
OKX: dict[str, Found] = {
    "GET /api/v5/public/instruments": lambda asked: okx(OKX_SWAP if query(asked)["instType"] == "SWAP" else OKX_SPOT),
    "GET /api/v5/account/positions": okx(),
    "GET /api/v5/account/balance": okx({"details": [{"ccy": "BTC", "eq": "0.5", "availBal": "0.4", "cashBal": "0.5"}]}),
    "GET /api/v5/trade/orders-pending": okx(),
    "GET /api/v5/trade/orders-algo-pending": okx(),
    "GET /api/v5/trade/order": OKX_ABSENT,
    "GET /api/v5/trade/order-algo": OKX_ABSENT,
    "GET /api/v5/trade/fills-history": okx(),
    "POST /api/v5/trade/order": okx({"ordId": "77", "clOrdId": "x", "tag": "", "sCode": "0", "sMsg": ""}),
    "POST /api/v5/trade/order-algo": okx({"algoId": "123", "algoClOrdId": "x", "sCode": "0", "sMsg": ""}),
    "POST /api/v5/trade/cancel-algos": okx({"algoId": "123", "sCode": "0", "sMsg": ""}),
}


def test_okx_contracts_are_counted_in_base_coin_and_only_our_id_is_sent() -> None:
    with venue("okx", PERP, OKX, sandbox=True) as (server, at):
        assert submit(at, ENTRY, STOP, EXIT) == [("placed", "77"), ("placed", "123"), ("placed", "77")]
        entry, close = server.sent("/api/v5/trade/order")
        (stop,) = server.sent("/api/v5/trade/order-algo")
        assert {asked.headers["x-simulated-trading"] for asked in server.asked} == {"1"}
    plain = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "sz": "1"}
    assert entry == plain | {"side": "buy", "ordType": "market", "clOrdId": ENTRY.intent.id}
    assert close == plain | {"side": "sell", "ordType": "market", "clOrdId": EXIT.intent.id, "reduceOnly": True}
    assert stop == plain | {
        "side": "sell", "ordType": "conditional", "clOrdId": STOP.intent.id, "algoClOrdId": STOP.intent.id,
        "reduceOnly": True, "slTriggerPx": "40000", "slOrdPx": "-1", "slTriggerPxType": "last",
    }  # fmt: skip


def test_okx_spot_is_bought_and_stopped_in_base_coin_from_cash() -> None:
    with venue("okx", SPOT, OKX) as (server, at):
        assert submit(at, ENTRY, STOP) == [("placed", "77"), ("placed", "123")]
        (entry,), (stop,) = server.sent("/api/v5/trade/order"), server.sent("/api/v5/trade/order-algo")
        assert "x-simulated-trading" not in server.asked[-1].headers
    plain = {"instId": "BTC-USDT", "tdMode": "cash", "tgtCcy": "base_ccy", "sz": "0.01"}
    assert entry == plain | {"side": "buy", "ordType": "market", "clOrdId": ENTRY.intent.id}
    ids = {"clOrdId": STOP.intent.id, "algoClOrdId": STOP.intent.id}
    assert stop == plain | ids | {"side": "sell", "ordType": "trigger", "triggerPx": "40000", "orderPx": "-1"}


@pytest.mark.parametrize(("code", "outcome"), [("51000", "refused"), ("51065", "placed"), ("50004", "unknown")])
def test_okx_refuses_a_stop_inside_of_an_answer_of_success(code: str, outcome: str) -> None:
    said = okx({"algoId": "", "algoClOrdId": "x", "sCode": code, "sMsg": "why not"})
    found = okx(OKX_STOP) if outcome == "placed" else okx()
    routes = {**OKX, "POST /api/v5/trade/order-algo": said, "GET /api/v5/trade/orders-algo-pending": found}
    with venue("okx", PERP, routes) as (_, at):
        (answer,) = told(at, STOP)
    assert (answer.outcome, answer.order_id) == (outcome, "123" if outcome == "placed" else "")
    assert "why not" in answer.detail


def test_okx_a_second_order_with_our_id_is_the_first_one() -> None:
    row = {**OKX_FILL, "ordId": "77", "clOrdId": ENTRY.intent.id, "ordType": "market", "state": "filled", "sz": "1"}
    row |= {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "accFillSz": "1", "avgPx": "42000.5", "cTime": "1"}
    routes = {**OKX, "POST /api/v5/trade/order": okx_said("51016", "dup"), "GET /api/v5/trade/order": okx(row)}
    with venue("okx", PERP, routes) as (server, at):
        assert submit(at, ENTRY) == [("placed", "77")]
        assert query(server.asked[-1]) == {"instId": "BTC-USDT-SWAP", "clOrdId": ENTRY.intent.id}


def test_okx_shows_position_and_stops_in_base_coin() -> None:
    routes = {
        **OKX,
        "GET /api/v5/account/positions": okx(OKX_POSITION),
        "GET /api/v5/trade/orders-algo-pending": okx(OKX_STOP),
    }
    with venue("okx", PERP, routes) as (server, at):
        seen = look(at, ENTRY, STOP)
        listed = [query(asked) for asked in server.asked if "algo-pending" in asked.path]
    assert seen.position == D("-0.015")
    assert [(o.order_id, o.tag, o.amount, o.stop, o.kind, o.status) for o in seen.orders] == [
        ("123", STOP.intent.id, D("0.01"), D(40_000), "stop", "open")
    ]
    assert [asked["ordType"] for asked in listed] == ["conditional"]


def test_okx_a_triggered_stops_executions_get_its_name() -> None:
    fill = OKX_FILL | {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "fillSz": "1", "side": "sell", "ordId": "900"}
    ended = OKX_STOP | {"state": "effective", "ordId": "900", "actualSz": "1", "actualPx": "39990"}
    routes = {
        **OKX,
        "GET /api/v5/trade/order-algo": okx(ended),
        "GET /api/v5/trade/fills-history": okx(fill | {"feeCcy": "USDT", "fee": "-0.2"}),
    }
    with venue("okx", PERP, routes) as (server, at):
        seen = look(at, STOP)
        (asked,) = [query(each) for each in server.asked if each.path.startswith("/api/v5/trade/order-algo")]
    assert asked == {"instId": "BTC-USDT-SWAP", "algoClOrdId": STOP.intent.id}
    assert [(o.order_id, o.status, o.executed) for o in seen.orders] == [("123", "filled", D("0.01"))]
    assert [(done.order_id, done.amount, done.fee) for done in seen.executions] == [("123", D("0.01"), D("0.2"))]


def test_okx_spot_has_its_balance_and_a_fee_in_coin_is_taken_off() -> None:
    with venue("okx", SPOT, {**OKX, "GET /api/v5/trade/fills-history": okx(OKX_FILL)}) as (_, at):
        seen = look(at)
    (done,) = seen.executions
    assert seen.position == D("0.5")
    assert (done.amount, done.fee, done.price) == (D("0.00999"), D("0.00001") * D("42000.5"), D("42000.5"))


def test_a_fee_in_a_third_coin_is_said_and_never_guessed() -> None:
    with (
        venue("okx", SPOT, {**OKX, "GET /api/v5/trade/fills-history": okx(OKX_FILL | {"feeCcy": "OKB"})}) as (_, at),
        pytest.raises(Unavailable, match=r"0\.00001 OKB.*neither BTC nor USDT.*switch"),
    ):
        look(at)


def test_hedge_mode_is_said() -> None:
    row = OKX_POSITION | {"posSide": "long", "pos": "1"}
    with (
        venue("okx", PERP, {**OKX, "GET /api/v5/account/positions": okx(row)}) as (_, at),
        pytest.raises(Unavailable, match="hedge mode"),
    ):
        look(at)


def test_too_many_open_orders_for_a_page_is_said() -> None:
    rows = [OKX_STOP | {"algoId": str(number)} for number in range(100)]
    with (
        venue("okx", PERP, {**OKX, "GET /api/v5/trade/orders-algo-pending": okx(*rows)}) as (_, at),
        pytest.raises(Unavailable, match="100 orders are open"),
    ):
        look(at)


@pytest.mark.parametrize("answer", [{"code": "0", "msg": "", "data": []}, {"code": "0", "data": [{}]}])
def test_an_answer_without_balances_is_not_an_empty_account(answer: Any) -> None:
    with venue("okx", SPOT, {**OKX, "GET /api/v5/account/balance": answer}) as (_, at), pytest.raises(Unavailable):
        look(at)


# -- bitget


def bitget(data: Any) -> dict[str, Any]:
    return {"code": "00000", "msg": "success", "requestTime": 1700719918781, "data": data}


BITGET_SPOT = {
    "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "minTradeAmount": "0", "maxTradeAmount": "1000",
    "takerFeeRate": "0.002", "makerFeeRate": "0.002", "pricePrecision": "2", "quantityPrecision": "6",
    "quotePrecision": "8", "status": "online", "minTradeUSDT": "1", "buyLimitPriceRatio": "0.05",
    "sellLimitPriceRatio": "0.05",
}  # fmt: skip
BITGET_PERP = {
    "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "supportMarginCoins": ["USDT"], "minTradeNum": "0.001",
    "priceEndStep": "1", "volumePlace": "3", "pricePlace": "1", "sizeMultiplier": "0.001", "symbolType": "perpetual",
    "minTradeUSDT": "5", "symbolStatus": "normal", "makerFeeRate": "0.0002", "takerFeeRate": "0.0006", "minLever": "1",
    "maxLever": "125", "deliveryTime": "", "launchTime": "",
}  # fmt: skip
BITGET_TICKER = {"symbol": "BTCUSDT", "askPr": "50000.00", "bidPr": "49999", "lastPr": "50000", "ts": "1700000000000"}
BITGET_PLAN = {
    "planType": "normal_plan", "symbol": "BTCUSDT", "size": "0.01", "orderId": "123", "clientOid": STOP.intent.id,
    "price": "", "executePrice": "", "callbackRatio": "", "triggerPrice": "40000", "triggerType": "fill_price",
    "planStatus": "live", "side": "sell", "posSide": "net", "marginCoin": "USDT", "marginMode": "crossed",
    "orderType": "market", "posMode": "one_way_mode", "reduceOnly": "YES", "cTime": "1700719887120", "uTime": "1",
}  # fmt: skip
BITGET_FILL = {
    "tradeId": "9", "symbol": "BTCUSDT", "orderId": "77", "price": "50000", "baseVolume": "0.01", "side": "buy",
    "feeDetail": [{"deduction": "no", "feeCoin": "USDT", "totalFee": "-0.3"}], "quoteVolume": "500",
    "posMode": "one_way_mode", "tradeScope": "taker", "cTime": "1700719887120",
}  # fmt: skip
BITGET_ORDER = {
    "symbol": "BTCUSDT", "size": "0.01", "orderId": "77", "clientOid": ENTRY.intent.id, "baseVolume": "0.01",
    "fee": "-0.3", "price": "", "priceAvg": "50000", "state": "filled", "side": "buy", "posSide": "net",
    "orderType": "market", "posMode": "one_way_mode", "reduceOnly": "NO", "cTime": "1700719887120", "uTime": "1",
}  # fmt: skip
BITGET_MONEY = {
    "marginCoin": "USDT", "locked": "0", "available": "900", "crossedMaxAvailable": "450.25",
    "isolatedMaxAvailable": "450.5", "maxTransferOut": "400", "accountEquity": "1000", "usdtEquity": "1000",
}  # fmt: skip
BITGET_ABSENT = Answer(400, {"code": "40109", "msg": "The data of the order cannot be found", "data": None})
MIX, BOUGHT = "/api/v2/mix/order", {"orderId": "77", "clientOid": "x"}
BITGET: dict[str, Found] = {
    "GET /api/v2/mix/market/contracts": lambda asked: bitget(
        [BITGET_PERP] if query(asked)["productType"] == "USDT-FUTURES" else []
    ),
    "GET /api/v2/spot/public/symbols": bitget([BITGET_SPOT]),
    "GET /api/v2/margin/currencies": bitget([]),
    "GET /api/v2/spot/market/tickers": bitget([BITGET_TICKER]),
    "GET /api/v2/mix/position/all-position": bitget([]),
    "GET /api/v2/mix/account/accounts": bitget([BITGET_MONEY]),
    "GET /api/v2/spot/account/assets": bitget([{"coin": "BTC", "available": "0.4", "frozen": "0.1", "locked": "0"}]),
    f"GET {MIX}/orders-pending": bitget({"entrustedList": None, "endId": None}),
    f"GET {MIX}/orders-plan-pending": bitget({"entrustedList": None, "endId": None}),
    f"GET {MIX}/orders-plan-history": bitget({"entrustedList": None, "endId": None}),
    f"GET {MIX}/detail": BITGET_ABSENT,
    f"GET {MIX}/fills": bitget({"fillList": [], "endId": "1"}),
    f"POST {MIX}/place-order": bitget(BOUGHT),
    f"POST {MIX}/place-plan-order": bitget({"orderId": "123", "clientOid": "x"}),
    f"POST {MIX}/cancel-plan-order": bitget({"successList": [{"orderId": "123", "clientOid": "x"}], "failureList": []}),
    "GET /api/v2/spot/trade/unfilled-orders": bitget([]),
    "GET /api/v2/spot/trade/current-plan-order": bitget({"nextFlag": False, "idLessThan": "1", "orderList": []}),
    "GET /api/v2/spot/trade/history-plan-order": bitget({"nextFlag": False, "idLessThan": "1", "orderList": []}),
    "GET /api/v2/spot/trade/orderInfo": bitget([]),
    "GET /api/v2/spot/trade/fills": bitget([]),
    "POST /api/v2/spot/trade/place-order": bitget(BOUGHT),
    "POST /api/v2/spot/trade/place-plan-order": bitget({"orderId": "123", "clientOid": "x"}),
}


def test_bitget_contracts_carry_our_id_and_close_only() -> None:
    with venue("bitget", PERP, BITGET, sandbox=True) as (server, at):
        assert submit(at, ENTRY, STOP, EXIT) == [("placed", "77"), ("placed", "123"), ("placed", "77")]
        entry, close = server.sent(f"{MIX}/place-order")
        (stop,) = server.sent(f"{MIX}/place-plan-order")
        assert {asked.headers.get("paptrading") for asked in server.asked[-3:]} == {"1"}
        assert len(server.asked) == 6 + 3  # lists of markets, and nothing in the middle of placing
    plain = {
        "symbol": "BTCUSDT", "productType": "USDT-FUTURES", "marginMode": "crossed", "marginCoin": "USDT",
        "size": "0.01", "orderType": "market",
    }  # fmt: skip
    assert _without(entry, "force") == plain | {"side": "buy", "clientOid": ENTRY.intent.id}
    assert _without(close, "force") == plain | {"side": "sell", "clientOid": EXIT.intent.id, "reduceOnly": "YES"}
    assert _without(stop, "force") == plain | {
        "side": "sell", "clientOid": STOP.intent.id, "reduceOnly": "YES", "planType": "normal_plan",
        "triggerPrice": "40000", "triggerType": "fill_price",
    }  # fmt: skip


def _without(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def test_bitget_spot_buys_the_amount_in_coin_at_a_bounded_price_and_at_once() -> None:
    with venue("bitget", SPOT, BITGET) as (server, at):
        assert submit(at, ENTRY, STOP, EXIT) == [("placed", "77"), ("placed", "123"), ("placed", "77")]
        entry, close = server.sent("/api/v2/spot/trade/place-order")
        (stop,) = server.sent("/api/v2/spot/trade/place-plan-order")
        assert all("paptrading" not in asked.headers for asked in server.asked)
    plain = {"symbol": "BTCUSDT", "size": "0.01"}
    at_once = {"orderType": "limit", "price": "50500", "force": "IOC"}
    assert entry == plain | at_once | {"side": "buy", "clientOid": ENTRY.intent.id}
    assert _without(close, "force") == plain | {"side": "sell", "orderType": "market", "clientOid": EXIT.intent.id}
    assert _without(stop, "force") == plain | {
        "side": "sell", "orderType": "market", "clientOid": STOP.intent.id, "planType": "amount",
        "triggerPrice": "40000", "triggerType": "fill_price",
    }  # fmt: skip


def test_bitget_shows_what_is_asked_for_by_our_ids() -> None:
    listed = bitget({"entrustedList": [BITGET_PLAN], "endId": "1"})
    position = {"marginCoin": "USDT", "symbol": "BTCUSDT", "holdSide": "short", "total": "0.02", "marginSize": "1"}
    routes = {
        **BITGET,
        f"GET {MIX}/orders-plan-pending": listed,
        f"GET {MIX}/detail": bitget(BITGET_ORDER),
        f"GET {MIX}/fills": bitget({"fillList": [BITGET_FILL], "endId": "1"}),
        "GET /api/v2/mix/position/all-position": bitget([position | {"posMode": "one_way_mode", "leverage": "2"}]),
    }
    with venue("bitget", PERP, routes) as (server, at):
        seen = look(at, ENTRY, STOP)
        (asked,) = [query(each) for each in server.asked if each.path.startswith(f"{MIX}/detail")]
    assert (asked["clientOid"], asked["symbol"]) == (ENTRY.intent.id, "BTCUSDT")
    assert [(o.order_id, o.tag, o.status, o.executed, o.stop) for o in seen.orders] == [
        ("123", STOP.intent.id, "open", None, D(40_000)),
        ("77", ENTRY.intent.id, "filled", D("0.01"), None),
    ]
    assert [(done.order_id, done.amount, done.fee) for done in seen.executions] == [("77", D("0.01"), D("0.3"))]
    assert seen.position == D("-0.02")


def test_bitget_a_triggered_stop_is_found_among_the_ended_ones_and_gets_its_executions() -> None:
    ended = bitget({"entrustedList": [BITGET_PLAN | {"planStatus": "executed", "executeOrderId": "900"}], "endId": "1"})
    fills = bitget({"fillList": [BITGET_FILL | {"orderId": "900", "side": "sell"}], "endId": "1"})
    routes = {**BITGET, f"GET {MIX}/orders-plan-history": ended, f"GET {MIX}/fills": fills}
    with venue("bitget", PERP, routes) as (_, at):
        seen = look(at, STOP)
    assert [(o.order_id, o.status, o.executed) for o in seen.orders] == [("123", "filled", D("0.01"))]
    assert [done.order_id for done in seen.executions] == ["123"]


@pytest.mark.parametrize("symbol", [SPOT, PERP])
def test_bitget_what_nobody_knows_is_not_there(symbol: str) -> None:
    with venue("bitget", symbol, BITGET) as (_, at):
        seen = look(at, ENTRY, STOP)
    assert (seen.orders, seen.executions, seen.position) == ((), (), D("0.5") if symbol == SPOT else D(0))


@pytest.mark.parametrize(
    ("code", "outcome"), [("40786", "placed"), ("43118", "placed"), ("40762", "refused"), ("40010", "unknown")]
)
def test_bitget_codes(code: str, outcome: str) -> None:
    said = Answer(400, {"code": code, "msg": "so", "data": None})
    routes = {**BITGET, f"POST {MIX}/place-order": said, f"GET {MIX}/detail": bitget(BITGET_ORDER)}
    with venue("bitget", PERP, routes) as (_, at):
        assert submit(at, ENTRY) == [(outcome, "77" if outcome == "placed" else "")]


# -- bittrade


def bittrade(data: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data}


BITTRADE_MARKET = {
    "base-currency": "btc", "quote-currency": "jpy", "price-precision": 0, "amount-precision": 6, "symbol": "btcjpy",
    "state": "online", "value-precision": 8, "min-order-amt": 0.0001, "max-order-amt": 30, "min-order-value": 2,
    "leverage-ratio": 1, "api-trading": "enabled",
}  # fmt: skip
BITTRADE_ORDER = {
    "id": 77, "symbol": "btcjpy", "account-id": 5, "client-order-id": ENTRY.intent.id, "amount": "0.010000",
    "price": "5050000", "created-at": 1545836976871, "type": "buy-ioc", "field-amount": "0.010000",
    "field-cash-amount": "50000", "field-fees": "0.00002", "finished-at": 1545837948214, "state": "filled",
    "canceled-at": 0,
}  # fmt: skip
BITTRADE_FILL = {
    "symbol": "btcjpy", "fee-currency": "btc", "filled-fees": "0.00002", "id": 83, "type": "buy-ioc", "order-id": 77,
    "filled-points": "0.0", "fee-deduct-currency": "", "filled-amount": "0.01", "price": "5000000", "role": "taker",
    "created-at": 1597933260729, "match-id": 1, "trade-id": 9,
}  # fmt: skip
BITTRADE: dict[str, Found] = {
    "GET /v1/common/symbols": bittrade([BITTRADE_MARKET]),
    "GET /v1/account/accounts": bittrade([{"id": 4, "type": "otc"}, {"id": 5, "type": "spot", "state": "working"}]),
    "GET /v1/account/accounts/5/balance": bittrade(
        {"list": [{"currency": "btc", "type": t, "balance": b} for t, b in (("trade", "0.4"), ("frozen", "0.1"))]}
    ),
    "GET /v1/order/openOrders": bittrade([]),
    "GET /v1/order/matchresults": bittrade([]),
    "GET /v1/order/orders/getClientOrder": {"status": "error", "err-code": "base-record-invalid", "err-msg": "no"},
    "GET /v1/order/orders/77": bittrade(BITTRADE_ORDER),
    "GET /v1/order/orders/77/matchresults": bittrade([BITTRADE_FILL]),
    "GET /market/detail/merged": {"status": "ok", "tick": {"ask": [5000000, 0.1], "bid": [4999999, 1], "close": 1}},
    "POST /v1/order/orders/place": bittrade("77"),
    "POST /v1/order/orders/77/submitcancel": bittrade("77"),
}  # fmt: skip


def test_bittrade_buys_in_coin_at_once_from_the_spot_account_with_our_id() -> None:
    with venue("bittrade", YEN, BITTRADE) as (server, at):
        assert submit(at, ENTRY, EXIT) == [("placed", "77"), ("placed", "77")]
        entry, close = server.sent("/v1/order/orders/place")
        (answer,) = told(at, STOP)
        at.cancel("b", [order("entry", "buy", "0.01", name="77")])
        assert server.asked[-1].path.startswith("/v1/order/orders/77/submitcancel")
        assert len(server.sent("/v1/order/orders/place")) == 2
    plain = {"account-id": 5, "symbol": "btcjpy", "amount": "0.01"}
    assert entry == plain | {"type": "buy-ioc", "price": "5050000", "client-order-id": ENTRY.intent.id}
    assert close == plain | {"type": "sell-market", "client-order-id": EXIT.intent.id}
    assert (answer.outcome, "no stop orders" in answer.detail) == ("refused", True)


@pytest.mark.parametrize("name", ["", "77"])
def test_bittrade_an_order_is_found_by_either_id_and_its_executions_by_order(name: str) -> None:
    routes = {**BITTRADE, "GET /v1/order/orders/getClientOrder": bittrade(BITTRADE_ORDER)}
    with venue("bittrade", YEN, routes) as (server, at):
        seen = look(at, order("entry", "buy", "0.01", name=name))
        asked = [query(each) for each in server.asked if "getClientOrder" in each.path]
    assert [each["clientOrderId"] for each in asked] == ([] if name else [ENTRY.intent.id])
    assert [(o.order_id, o.status, o.executed) for o in seen.orders] == [("77", "cancelled", D("0.00998"))]
    assert [(done.order_id, done.amount, done.fee) for done in seen.executions] == [("77", D("0.00998"), D(100))]
    assert seen.position == D("0.5")


def test_bittrade_what_nobody_knows_is_not_there() -> None:
    with venue("bittrade", YEN, BITTRADE) as (_, at):
        assert look(at, ENTRY).orders == ()


@pytest.mark.parametrize(
    ("code", "outcome"), [("account-frozen-balance-insufficient-error", "refused"), ("order-update-error", "unknown")]
)
def test_bittrade_codes(code: str, outcome: str) -> None:
    said = {"status": "error", "err-code": code, "err-msg": "so", "data": None}
    with venue("bittrade", YEN, {**BITTRADE, "POST /v1/order/orders/place": said}) as (_, at):
        assert submit(at, ENTRY) == [(outcome, "")]


# -- bitflyer

FLY_ORDER = {
    "id": 138398, "child_order_id": "JOR20240501-1", "product_code": "BTC_JPY", "side": "BUY", "price": 0,
    "child_order_type": "MARKET", "average_price": 30000, "size": 0.01, "child_order_state": "COMPLETED",
    "expire_date": "2024-05-01T12:01:00", "child_order_date": "2024-05-01T12:00:05", "outstanding_size": 0,
    "child_order_acceptance_id": "JRF20240501-1", "cancel_size": 0, "executed_size": 0.01, "total_commission": 0.00001,
}  # fmt: skip
FLY_FILL = {
    "id": 37233, "child_order_id": "JOR20240501-1", "side": "BUY", "price": 33470.5, "size": 0.01,
    "commission": 0.00001, "exec_date": "2024-05-01T12:00:06.397", "child_order_acceptance_id": "JRF20240501-1",
}  # fmt: skip
FLY: dict[str, Found] = {
    "GET /v1/getmarkets": [
        {"product_code": "BTC_JPY", "market_type": "Spot"}, {"product_code": "FX_BTC_JPY", "market_type": "FX"},
    ],
    "GET /v1/getmarkets/usa": [], "GET /v1/getmarkets/eu": [],
    "GET /v1/getboardstate": {"health": "NORMAL", "state": "RUNNING", "data": {}},
    "GET /v1/me/getchildorders": [], "GET /v1/me/getexecutions": [], "GET /v1/me/getpositions": [],
    "GET /v1/me/getbalance": [
        {"currency_code": "JPY", "amount": 1024078, "available": 508000},
        {"currency_code": "BTC", "amount": 10.24, "available": 4.12},
    ],
    "GET /v1/me/getcollateral": {
        "collateral": 100000, "open_position_pnl": -715, "require_collateral": 19857, "keep_rate": 5.0,
    },
    "POST /v1/me/sendchildorder": {"child_order_acceptance_id": "JRF20240501-1"},
    "POST /v1/me/cancelchildorder": Answer(200, b""),
}  # fmt: skip


@pytest.mark.parametrize(("symbol", "product"), [(YEN, "BTC_JPY"), (FX, "FX_BTC_JPY")])
def test_bitflyer_is_sent_a_market_order_that_expires(symbol: str, product: str) -> None:
    with venue("bitflyer", symbol, FLY) as (server, at):
        assert submit(at, ENTRY, EXIT) == [("placed", "JRF20240501-1")] * 2
        entry, close = server.sent("/v1/me/sendchildorder")
        at.cancel("b", [order("entry", "buy", "0.01", name="JRF20240501-1")])
        cancelled = server.sent("/v1/me/cancelchildorder")
    plain = {"product_code": product, "child_order_type": "MARKET", "size": 0.01, "minute_to_expire": 1, "price": None}
    assert [entry, close] == [plain | {"side": "BUY"}, plain | {"side": "SELL"}]
    assert cancelled == [{"product_code": product, "child_order_acceptance_id": "JRF20240501-1"}]


def test_bitflyer_shows_every_order_so_that_one_without_an_answer_can_be_told_by_its_like() -> None:
    states = ["COMPLETED", "CANCELED", "EXPIRED", "REJECTED", "ACTIVE"]
    rows = [FLY_ORDER | {"child_order_acceptance_id": name, "child_order_state": name} for name in states]
    rows = [row | ({} if number == 0 else {"executed_size": 0}) for number, row in enumerate(rows)]
    with venue("bitflyer", YEN, {**FLY, "GET /v1/me/getchildorders": rows}) as (_, at):
        seen = look(at, ENTRY)
        assert at.traits.identity == "listing"
    shown = {listed.order_id: listed.status for listed in seen.orders}
    assert shown == dict(zip(states, ["filled", "cancelled", "expired", "refused", "open"], strict=True))
    assert {(o.side, o.amount, o.kind) for o in seen.orders} == {("buy", D("0.01"), "market")}


def test_bitflyer_takes_its_fee_in_coin_from_buys_and_sells() -> None:
    fills = [FLY_FILL, FLY_FILL | {"id": 37234, "side": "SELL", "exec_date": "2024-05-01T12:00:07"}]
    with venue("bitflyer", YEN, {**FLY, "GET /v1/me/getexecutions": fills}) as (_, at):
        seen = look(at)
    assert [(done.side, done.amount) for done in seen.executions] == [("buy", D("0.00999")), ("sell", D("0.01001"))]
    assert {(done.price, done.fee, done.order_id) for done in seen.executions} == {
        (D("33470.5"), D("0.00001") * D("33470.5"), "JRF20240501-1")
    }
    assert seen.position == D("10.24")


def test_bitflyer_an_older_order_is_asked_for_by_its_name() -> None:
    def listed(asked: Request) -> list[Any]:
        return [FLY_ORDER] if "child_order_acceptance_id" in query(asked) else []

    with venue("bitflyer", YEN, {**FLY, "GET /v1/me/getchildorders": listed}) as (_, at):
        seen = look(at, order("entry", "buy", "0.01", name="JRF20240501-1"))
        assert look(at, ENTRY).orders == ()
    assert [o.order_id for o in seen.orders] == ["JRF20240501-1"]


def test_bitflyer_sums_its_open_positions() -> None:
    rows = [{"product_code": "FX_BTC_JPY", "side": side, "size": size} for side, size in (("SELL", 0.5), ("BUY", 0.1))]
    with venue("bitflyer", FX, {**FLY, "GET /v1/me/getpositions": rows}) as (server, at):
        assert look(at).position == D("-0.4")
        products = {query(asked).get("product_code") for asked in server.asked if "/me/" in asked.path}
        assert products == {"FX_BTC_JPY", None}, "but the money, which is of the account"


@pytest.mark.parametrize(
    ("status", "outcome"), [(-200, "refused"), (-205, "refused"), (-1, "unknown"), (-999, "unknown")]
)
def test_bitflyer_codes(status: int, outcome: str) -> None:
    said = Answer(400, {"status": status, "error_message": "so", "data": None})
    with venue("bitflyer", YEN, {**FLY, "POST /v1/me/sendchildorder": said}) as (_, at):
        assert submit(at, ENTRY) == [(outcome, "")]
