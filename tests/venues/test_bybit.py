"""The unmodified ccxt class `bybit` against the speaker, spot and linear."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import ccxt
import pytest

from core.domain.orders import Rules
from tests.adapters.candle_venues import walk
from tests.venues.bybit import Bybit, answer
from tests.venues.engine import Engine, VenueClock
from tests.venues.faults import Fault
from tests.venues.server import Served, serving

D = Decimal
OPENS = datetime(2024, 3, 10, 10, tzinfo=UTC)
BARS = walk(300, since=OPENS - timedelta(hours=200))
CREATE, MINUTES = "POST /v5/order/create", timedelta(minutes=1)
RULES = {
    "linear": Rules(
        lot=D("0.001"), tick=D("0.1"), minimum_amount=D("0.001"), minimum_notional=D(100), taker=D("0.00055"),
        maker=D("0.0002"), interest_per_day=D(0), leverage=D(10),
    ),
    "spot": Rules(
        lot=D("0.000001"), tick=D("0.1"), minimum_amount=D("0.000048"), minimum_notional=D(5), taker=D("0.001"),
        maker=D("0.001"), interest_per_day=D(0), leverage=D(1),
    ),
}  # fmt: skip
APIS = ("spot", "futures", "v2", "public", "private")


def client(url: str, *kinds: str, **changes: Any) -> Any:
    settings = {"apiKey": "key", "secret": "secret", "enableRateLimit": False, **changes}
    options = {"fetchMarkets": {"types": list(kinds)}} if kinds else {}
    return ccxt.bybit({**settings, "urls": {"api": dict.fromkeys(APIS, str(url))}, "options": options})


class Desk(NamedTuple):
    kind: str
    symbol: str
    engine: Engine
    speaker: Bybit
    url: Served
    ccxt: Any

    def market(self, side: str, amount: float, link: str = "", **params: Any) -> Any:
        return self.ccxt.create_order(self.symbol, "market", side, amount, None, {"clientOrderId": link, **params})

    def stop(self, amount: float, trigger: Decimal, link: str) -> Any:
        """A stop that sells."""
        more = {"triggerDirection": "descending", "reduceOnly": True} if self.kind == "linear" else {}
        return self.market("sell", amount, link, triggerPrice=float(trigger), **more)

    def below(self, share: str = "0.98") -> Decimal:
        return (self.engine.price() * D(share)).quantize(D("0.1"))

    def open(self, **params: Any) -> Any:
        return self.ccxt.fetch_open_orders(self.symbol, params=params)

    def closed(self, **params: Any) -> Any:
        return self.ccxt.fetch_canceled_and_closed_orders(self.symbol, params=params)

    def refused(self, error: type[Exception], what: Callable[[], Any]) -> int:
        """bybit's code for what ccxt raises as exactly `error`."""
        with pytest.raises(error) as raised:
            what()
        assert type(raised.value) is error
        return int(json.loads(str(raised.value).removeprefix("bybit "))["retCode"])


def desk_of(kind: str, cash: str = "10000", **speaker: Any) -> Iterator[Desk]:
    engine = Engine(
        BARS, VenueClock(OPENS + 10 * MINUTES), kind="spot" if kind == "spot" else "linear", rules=RULES[kind],
        cash=D(cash),
    )  # fmt: skip
    voice = Bybit(engine, **speaker)
    with serving(voice) as url:
        symbol = "BTC/USDT" if kind == "spot" else "BTC/USDT:USDT"
        yield Desk(kind, symbol, engine, voice, url, client(url, kind))


@pytest.fixture(params=["spot", "linear"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from desk_of(request.param)


@pytest.fixture
def spot() -> Iterator[Desk]:
    yield from desk_of("spot")


@pytest.fixture
def linear() -> Iterator[Desk]:
    yield from desk_of("linear")


def test_a_start_without_options_asks_twelve_things_and_two_more_before_the_first_order(desk: Desk) -> None:
    plain = client(desk.url)
    plain.load_markets()
    asked = [request.path for request in desk.url.requests]
    assert asked == ["/v5/asset/coin/query-info"] + ["/v5/market/instruments-info"] * 11
    plain.create_order(desk.symbol, "market", "buy", 0.01)
    assert [r.path for r in desk.url.requests[12:]] == ["/v5/user/query-api", "/v5/account/info", "/v5/order/create"]


def test_the_start_can_be_cut_down_to_the_instruments(desk: Desk) -> None:
    short = client(desk.url, desk.kind, has={"fetchCurrencies": False})
    short.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": True, "unifiedMarginStatus": 6}
    short.create_order(desk.symbol, "market", "buy", 0.01)
    paths = [request.path.rpartition("/")[2] for request in desk.url.requests]
    assert paths == ["instruments-info"] * (1 if desk.kind == "spot" else 2) + ["create"]


def test_instruments_tell_the_rules(desk: Desk) -> None:
    market, rules = desk.ccxt.load_markets()[desk.symbol], RULES[desk.kind]
    assert market["active"]
    assert D(str(market["precision"]["amount"])) == rules.lot
    assert D(str(market["precision"]["price"])) == rules.tick
    assert D(str(market["limits"]["amount"]["min"])) == rules.minimum_amount
    assert D(str(market["limits"]["cost"]["min"])) == rules.minimum_notional
    assert D(str(desk.ccxt.fetch_trading_fee(desk.symbol)["taker"])) == rules.taker


def test_candles_end_with_the_forming_bar_and_begin_where_they_are_asked_to(desk: Desk) -> None:
    hour = 3_600_000
    last, start = int(OPENS.timestamp()) * 1000, int(BARS.time[0]) * 1000
    assert [bar[0] for bar in desk.ccxt.fetch_ohlcv(desk.symbol, "1h", limit=3)] == [last - 2 * hour, last - hour, last]
    assert [bar[0] for bar in desk.ccxt.fetch_ohlcv(desk.symbol, "1h", start, 2)] == [start, start + hour]
    shown = desk.ccxt.fetch_ohlcv(desk.symbol, "1h", start, 1)[0]
    assert shown[1:] == [float(column[0]) for column in BARS.columns()[1:]]
    raw = desk.ccxt.publicGetV5MarketKline({"category": desk.kind, "symbol": "BTCUSDT", "interval": "60"})
    assert [row[0] for row in raw["result"]["list"][:2]] == [str(last), str(last - hour)]
    desk.url.faults.next("*/kline", Fault("stale", 7200))
    assert desk.ccxt.fetch_ohlcv(desk.symbol, "1h", limit=1)[0][0] == last - 2 * hour


def test_the_ticker_and_the_time_are_told(desk: Desk) -> None:
    assert D(str(desk.ccxt.fetch_ticker(desk.symbol)["last"])) == desk.engine.price()
    desk.speaker.offset_s = 60
    assert 55_000 < desk.ccxt.fetch_time() - desk.ccxt.milliseconds() < 65_000


def test_a_market_order_executes_and_is_found_by_our_id(desk: Desk) -> None:
    placed = desk.market("buy", 0.02, "hh1")
    desk.market("buy", 0.01, "hh2")
    assert placed["clientOrderId"] == "hh1"
    assert desk.engine.accepted(client_id="hh1")[0].amount == D("0.02")
    for found in (desk.open(orderLinkId="hh1"), desk.closed(orderLinkId="hh1")):  # by an id, closed ones are told too
        assert [order["id"] for order in found] == [placed["id"]]
        assert (found[0]["status"], found[0]["filled"], found[0]["info"]["orderStatus"]) == ("closed", 0.02, "Filled")
        assert D(str(found[0]["average"])) == desk.engine.price()
    assert desk.open() == []
    assert len(desk.closed()) == len(desk.open(openOnly=1)) == 2
    assert desk.open(orderLinkId="hh3") == desk.closed(orderLinkId="hh3") == []


def test_trades_tell_their_order_amount_price_and_fee(desk: Desk) -> None:
    placed = desk.market("buy", 0.02, "hh1")
    desk.engine.clock.advance(60)
    desk.market("sell", 0.01, "hh2")
    (trade,) = desk.ccxt.fetch_my_trades(desk.symbol, params={"orderLinkId": "hh1"})
    done = desk.engine.executions[0]
    assert (trade["order"], trade["side"], trade["amount"]) == (placed["id"], "buy", 0.02)
    assert D(str(trade["price"])) == done.price
    fee = (0.02 * 0.001, "BTC") if desk.kind == "spot" else (float(done.fee), "USDT")
    assert (trade["fee"]["cost"], trade["fee"]["currency"]) == (pytest.approx(fee[0]), fee[1])
    assert trade["info"]["feeCurrency"] == fee[1]
    assert [t["side"] for t in desk.ccxt.fetch_my_trades(desk.symbol)] == ["buy", "sell"]


def test_a_stop_waits_and_executes_at_its_trigger(desk: Desk) -> None:
    desk.market("buy", 0.02, "entry")
    trigger = D(str(min(BARS.low[200:290]) + 1)).quantize(D("0.1"))
    desk.stop(0.01, trigger, "stop")
    (waiting,) = desk.open()
    assert (waiting["clientOrderId"], waiting["info"]["orderStatus"]) == ("stop", "Untriggered")
    assert D(str(waiting["triggerPrice"])) == trigger
    assert [o["id"] for o in desk.open(trigger=True)] == [waiting["id"]]
    assert desk.open(orderFilter="Order") == []
    desk.engine.clock.advance(90 * 3600)
    assert desk.open() == []
    (done,) = desk.closed(orderLinkId="stop")
    assert (done["id"], done["status"], done["filled"]) == (waiting["id"], "closed", 0.01)
    assert D(str(done["average"])) == trigger


def test_a_cancelled_stop_is_forgotten_after_a_day(desk: Desk) -> None:
    desk.market("buy", 0.02, "entry")
    placed = desk.stop(0.01, desk.below("0.5"), "stop")
    desk.ccxt.cancel_order(placed["id"], desk.symbol, {"trigger": True})
    (cancelled,) = desk.closed(orderLinkId="stop")
    assert (cancelled["status"], cancelled["info"]["orderStatus"]) == ("canceled", "Deactivated")
    assert desk.open(orderLinkId="stop")
    desk.speaker.cleared = desk.engine.clock.now()
    assert desk.open(orderLinkId="stop") == []
    desk.engine.clock.advance(25 * 3600)
    assert [order["clientOrderId"] for order in desk.closed()] == ["entry"]


def test_a_spot_stop_is_cancelled_as_a_stop_only(spot: Desk) -> None:
    spot.market("buy", 0.02)
    placed = spot.stop(0.01, spot.below(), "stop")
    assert spot.refused(ccxt.OrderNotFound, lambda: spot.ccxt.cancel_order(placed["id"], spot.symbol)) == 170213
    spot.ccxt.cancel_order(None, spot.symbol, {"orderLinkId": "stop", "trigger": True})
    assert spot.engine.open_orders() == []


def test_what_is_closed_cannot_be_cancelled(desk: Desk) -> None:
    placed = desk.market("buy", 0.02)
    code = 170213 if desk.kind == "spot" else 110001
    assert desk.refused(ccxt.OrderNotFound, lambda: desk.ccxt.cancel_order(placed["id"], desk.symbol)) == code
    assert desk.refused(ccxt.OrderNotFound, lambda: desk.ccxt.cancel_order("nonsense", desk.symbol)) == code


def test_an_id_is_taken_once(desk: Desk) -> None:
    desk.market("buy", 0.02, "hh1")
    code = 170141 if desk.kind == "spot" else 110072
    assert desk.refused(ccxt.InvalidOrder, lambda: desk.market("buy", 0.02, "hh1")) == code
    desk.engine.remembers = "open"  # as where only recent orders are compared
    desk.market("buy", 0.02, "hh1")
    assert len(desk.engine.accepted(client_id="hh1")) == len(desk.closed(orderLinkId="hh1")) == 2


def test_refusals_have_their_codes(desk: Desk) -> None:
    def code(error: type[Exception], side: str, amount: float, link: str = "", **params: Any) -> int:
        return desk.refused(error, lambda: desk.market(side, amount, link, **params))

    here = 0 if desk.kind == "spot" else 1
    assert code(ccxt.InsufficientFunds, "buy", 50) == (170131, 110007)[here]
    assert code(ccxt.InvalidOrder, "buy", (0.0001, 0.002)[here]) == (170140, 110094)[here]
    assert code(ccxt.BadRequest, "buy", 0.02, "h" * 37) == 10001
    raw = {"category": desk.kind, "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "marketUnit": "baseCoin"}
    send, wrong = desk.ccxt.privatePostV5OrderCreate, (ccxt.InvalidOrder, ccxt.BadRequest)[here]
    assert desk.refused(wrong, lambda: send({**raw, "qty": "0.00001"})) == (170136, 10001)[here]
    assert desk.refused(wrong, lambda: send({**raw, "qty": "0.0200001"})) == (170137, 10001)[here]
    desk.engine.stops.add("stop_order")
    assert code((ccxt.InvalidOrder, ccxt.ExchangeError)[here], "buy", 0.02) == (170151, 110066)[here]
    assert desk.engine.orders == {}


def test_reduce_only_never_opens_nor_turns_a_position(linear: Desk) -> None:
    assert linear.refused(ccxt.InvalidOrder, lambda: linear.market("sell", 0.02, reduceOnly=True)) == 110017
    linear.market("buy", 0.02)
    linear.market("sell", 0.05, "out", reduceOnly=True)
    assert linear.engine.position == 0
    assert linear.closed(orderLinkId="out")[0]["filled"] == 0.02


def test_a_trigger_must_be_on_its_side(linear: Desk) -> None:
    linear.market("buy", 0.02)
    above = linear.below("1.02")
    assert linear.refused(ccxt.InvalidOrder, lambda: linear.stop(0.02, above, "stop")) == 110093


def test_positions_are_told_with_their_sign(linear: Desk) -> None:
    (flat,) = linear.ccxt.fetch_positions([linear.symbol])
    assert (flat["contracts"], flat["side"]) == (0, None)
    assert linear.ccxt.fetch_positions() == []
    linear.market("sell", 0.03)
    (short,) = linear.ccxt.fetch_positions([linear.symbol])
    assert (short["contracts"], short["side"]) == (0.03, "short")
    assert short["initialMargin"] == pytest.approx(0.003 * float(linear.engine.price()))
    assert D(str(short["entryPrice"])) == linear.engine.average_price
    balance = linear.ccxt.fetch_balance()["USDT"]
    assert balance["total"] == pytest.approx(float(linear.engine.cash))
    assert balance["used"] == pytest.approx(0.003 * float(linear.engine.price()))


def test_a_spot_buy_pays_its_fee_in_coins_and_what_is_gone_cannot_be_sold(spot: Desk) -> None:
    spot.market("buy", 0.02)
    balance = spot.ccxt.fetch_balance()
    assert balance["BTC"]["total"] == float(spot.speaker.held) == 0.01998
    assert balance["USDT"]["total"] == pytest.approx(10000 - 0.02 * float(spot.engine.price()))
    assert spot.refused(ccxt.InsufficientFunds, lambda: spot.market("sell", 0.02)) == 170131
    spot.market("sell", 0.01998)
    assert spot.speaker.held == 0


def test_with_fees_in_quote_everything_is_as_the_engine_books_it() -> None:
    for spot in desk_of("spot", fee_coin="quote"):
        spot.market("buy", 0.02)
        balance = spot.ccxt.fetch_balance()
        assert (D(str(balance["BTC"]["total"])), D(str(balance["USDT"]["total"]))) == (D("0.02"), spot.engine.cash)
        (trade,) = spot.ccxt.fetch_my_trades(spot.symbol)
        assert (trade["info"]["feeCurrency"], trade["fee"]["currency"]) == ("USDT", "BTC")  # ccxt does not read it


def test_a_spot_buy_at_the_market_is_by_value_unless_it_says_other(spot: Desk) -> None:
    spot.ccxt.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": False}  # ccxt then leaves the unit out
    spot.market("buy", 100, "value")
    assert spot.engine.accepted(client_id="value")[0].amount < D("0.003")
    (order,) = spot.closed(orderLinkId="value")
    assert (order["info"]["qty"], order["info"]["marketUnit"]) == ("100", "quoteCoin")


def test_a_spot_trigger_counts_only_with_its_filter(spot: Desk) -> None:
    raw = {"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "marketUnit": "baseCoin"}
    spot.ccxt.privatePostV5OrderCreate({**raw, "qty": "0.01", "triggerPrice": "90000"})
    assert spot.engine.position == D("0.01")
    spot.ccxt.privatePostV5OrderCreate({**raw, "qty": "0.01", "triggerPrice": "90000", "orderFilter": "StopOrder"})
    assert spot.engine.position == D("0.01")
    assert spot.open()[0]["info"]["orderStatus"] == "Untriggered"


def test_a_stop_that_finds_nothing_to_close_is_rejected(linear: Desk) -> None:
    linear.market("buy", 0.02)
    linear.stop(0.02, D(str(min(BARS.low[200:290]) + 1)).quantize(D("0.1")), "stop")
    linear.market("sell", 0.02)
    linear.engine.clock.advance(90 * 3600)
    (order,) = linear.closed(orderLinkId="stop", startTime=int(OPENS.timestamp()) * 1000)
    assert (order["status"], order["info"]["orderStatus"], order["filled"]) == ("rejected", "Rejected", 0)
    assert linear.engine.position == 0


def test_half_an_order_cancelled_is_closed_to_ccxt_on_spot_and_cancelled_on_linear(desk: Desk) -> None:
    desk.engine.partial, desk.engine.partial_rest = D("0.5"), "cancelled"
    desk.market("buy", 0.02, "hh1")
    (part,) = desk.open()
    assert (part["info"]["orderStatus"], part["filled"], part["remaining"]) == ("PartiallyFilled", 0.01, 0.01)
    desk.engine.clock.advance(1)
    (half,) = desk.closed(orderLinkId="hh1")
    told = ("PartiallyFilledCanceled", "closed") if desk.kind == "spot" else ("Cancelled", "canceled")
    assert (half["info"]["orderStatus"], half["status"], half["filled"]) == (*told, 0.01)
    assert half["info"]["leavesQty"] == "0"


def test_listings_lag_as_they_are_told_to(desk: Desk) -> None:
    desk.engine.lag_s, desk.speaker.history_lag_s = 5, 20
    desk.market("buy", 0.02, "hh1")
    assert desk.open(orderLinkId="hh1") == desk.ccxt.fetch_my_trades(desk.symbol) == []
    desk.engine.clock.advance(6)
    assert desk.open(orderLinkId="hh1") and desk.ccxt.fetch_my_trades(desk.symbol)
    assert desk.closed(orderLinkId="hh1") == []
    desk.engine.clock.advance(15)
    assert desk.closed(orderLinkId="hh1")


def test_listings_come_in_pages_newest_first_and_a_week_at_a_time(desk: Desk) -> None:
    for number in range(22):
        desk.engine.clock.advance(1)
        desk.market("buy", 0.004, f"hh{number}")
    page = desk.ccxt.privateGetV5OrderHistory({"category": desk.kind, "symbol": "BTCUSDT"})["result"]
    assert [order["orderLinkId"] for order in page["list"]] == [f"hh{number}" for number in range(21, 1, -1)]
    more = desk.ccxt.privateGetV5OrderHistory({"category": desk.kind, "cursor": page["nextPageCursor"]})["result"]
    assert [order["orderLinkId"] for order in more["list"]] == ["hh1", "hh0"]
    assert more["nextPageCursor"] == ""
    assert len(desk.ccxt.fetch_my_trades(desk.symbol)) == 22
    done = desk.ccxt.privateGetV5ExecutionList({"category": desk.kind})["result"]["list"]
    assert [row["orderLinkId"] for row in done[:2]] == ["hh21", "hh20"]
    late = desk.ccxt.milliseconds()
    week = {"startTime": late - 8 * 86_400_000, "endTime": late}
    assert desk.refused(ccxt.BadRequest, lambda: desk.ccxt.fetch_my_trades(desk.symbol, params=week)) == 10001
    desk.engine.clock.advance(8 * 86400)
    assert desk.closed() == desk.ccxt.fetch_my_trades(desk.symbol) == []


def test_key_signature_and_time_are_checked(desk: Desk) -> None:
    def code(error: type[Exception], **changes: Any) -> int:
        return desk.refused(error, lambda: client(desk.url, desk.kind, **changes).fetch_open_orders(desk.symbol))

    desk.ccxt.load_markets()
    assert code(ccxt.AuthenticationError, apiKey="other") == 10003
    assert code(ccxt.AuthenticationError, secret="other") == 10004
    for seconds in (6, -6):
        desk.speaker.offset_s = seconds
        assert desk.refused(ccxt.InvalidNonce, desk.open) == 10002
        assert desk.refused(ccxt.InvalidNonce, lambda: desk.market("buy", 0.02)) == 10002
    desk.ccxt.load_time_difference()
    assert desk.open() == []
    assert desk.engine.orders == {}


@pytest.mark.parametrize(
    ("fault", "error", "placed"),
    [
        (Fault("drop_before"), ccxt.NetworkError, 0),
        (Fault("drop_after"), ccxt.NetworkError, 1),
        (Fault("error_before", status=503), ccxt.ExchangeNotAvailable, 0),
        (Fault("error_after"), ccxt.ExchangeNotAvailable, 1),
        (Fault("delay_after", 1), ccxt.RequestTimeout, 1),
        (Fault("late", 3), ccxt.NetworkError, 1),
        (Fault("late", 6), ccxt.NetworkError, 0),
        (Fault("rate_limit"), ccxt.RateLimitExceeded, 0),
        (Fault("ban"), ccxt.RateLimitExceeded, 0),
        (Fault("maintenance"), ccxt.ExchangeError, 0),
        (Fault("skew", 6), ccxt.InvalidNonce, 0),
        (answer(10000, "Server Timeout"), ccxt.ExchangeError, 0),
        (answer(170007, "Timeout waiting for response from backend server."), ccxt.RequestTimeout, 0),
        (answer(170146, "Order creation timeout."), ccxt.InvalidOrder, 0),  # which is no refusal
        (answer(10014, "Request is duplicate"), ccxt.BadRequest, 0),
    ],
    ids=lambda value: f"{value.kind}-{value.seconds:g}-{value.status}" if isinstance(value, Fault) else None,
)
def test_faults_reach_ccxt_as_these_errors(linear: Desk, fault: Fault, error: type[Exception], placed: int) -> None:
    linear.ccxt.load_markets()
    linear.url.faults.next(CREATE, fault)
    linear.ccxt.timeout = 500 if fault.kind == "delay_after" else 10_000
    with pytest.raises(error) as raised:
        linear.market("buy", 0.02, "hh1")
    assert type(raised.value) is error
    linear.engine.clock.advance(10)
    assert len(linear.engine.accepted(client_id="hh1")) == placed
    assert len(linear.url.asked("POST", "/v5/order/create")) == 1


@pytest.mark.parametrize(("kind", "placed"), [("html", 0), ("html_after", 1)])
def test_ccxt_takes_a_page_with_status_200_for_an_order_without_id(linear: Desk, kind: Any, placed: int) -> None:
    linear.ccxt.load_markets()
    linear.url.faults.next(CREATE, Fault(kind))
    assert linear.market("buy", 0.02, "hh1")["id"] is None
    assert len(linear.engine.accepted(client_id="hh1")) == placed


def test_ccxt_takes_a_page_with_status_200_for_an_empty_listing(linear: Desk) -> None:
    linear.market("buy", 0.02, "hh1")
    linear.url.faults.always("GET /v5/*", Fault("html"))
    assert linear.open(orderLinkId="hh1") == linear.closed(orderLinkId="hh1") == []
    assert linear.ccxt.fetch_my_trades(linear.symbol) == linear.ccxt.fetch_positions([linear.symbol]) == []
