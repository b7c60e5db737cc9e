"""The unmodified ccxt class against the simulated bitbank: each endpoint we use, and what each fault looks like."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

import ccxt
import pytest

from core.domain.orders import Rules
from tests.venues.bitbank import Bitbank, answer
from tests.venues.engine import Engine, VenueClock
from tests.venues.faults import KINDS, Fault, Faults
from tests.venues.path import bars_of
from tests.venues.server import Served, serving

DAY = datetime(2024, 5, 1, tzinfo=UTC)
NOW = datetime(2024, 5, 2, 1, 0, 5, tzinfo=UTC)  # five seconds into the bar of one o'clock
SYMBOL = "BTC/JPY"
LONG = {"position_side": "long"}
ORDER = "POST /v1/user/spot/order"
FLAT = (1_000_000.0, 1_000_000.0, 1_000_000.0, 1_000_000.0)
DIP = (1_000_000.0, 1_006_000.0, 970_000.0, 1_003_000.0)  # the low comes first, after twenty minutes


class Venue(NamedTuple):
    url: Served
    engine: Engine
    speaker: Bitbank
    clock: VenueClock
    faults: Faults
    client: Any

    def buy(self, size: float = 0.01, **params: Any) -> Any:
        return self.client.create_order(SYMBOL, "market", "buy", size, None, LONG | params)

    def stop(self, trigger: str, amount: float = 0.01) -> Any:
        return self.client.create_order(SYMBOL, "stop", "sell", amount, None, LONG | {"trigger_price": trigger})

    def sell(self, amount: float = 0.01) -> Any:
        return self.client.create_order(SYMBOL, "market", "sell", amount, None, LONG)


def client(url: str, **settings: Any) -> Any:
    made = ccxt.bitbank(
        {"apiKey": "key", "secret": "secret", "timeout": 5000, "enableRateLimit": False, "options": {}} | settings
    )
    made.urls["api"] = {"public": str(url), "private": str(url), "markets": str(url)}
    return made


@pytest.fixture
def venue() -> Iterator[Venue]:
    clock = VenueClock(NOW)
    bars = bars_of(DAY, *[FLAT] * 25, DIP, DIP)
    engine = Engine(bars, clock, kind="margin", rules=Rules(), cash=Decimal(100_000))
    speaker, faults = Bitbank(engine), Faults()
    with serving(speaker, faults) as url:
        yield Venue(url, engine, speaker, clock, faults, client(url))


def code(caught: pytest.ExceptionInfo[BaseException]) -> int:
    """Of an error that ccxt has no class for."""
    found: int = json.loads(str(caught.value).removeprefix("bitbank "))["data"]["code"]
    return found


# ---- the market


def test_markets_are_read_as_ccxt_reads_them(venue):
    market = venue.client.load_markets()[SYMBOL]
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.0001, 1)
    assert (market["limits"]["amount"]["min"], market["taker"], market["active"]) == (0.0001, 0.0012, True)
    assert market["info"]["margin_long_interest"] == "0.0004"
    assert market["info"]["stop_market_order"] is False


def test_a_day_of_candles_ends_with_the_forming_bar(venue):
    since = int(DAY.timestamp() * 1000)
    assert len(venue.client.fetch_ohlcv(SYMBOL, "1h", since=since)) == 24
    today = venue.client.fetch_ohlcv(SYMBOL, "1h", since=since + 86_400_000)
    assert [row[0] for row in today] == [since + 86_400_000, since + 90_000_000]
    assert today[-1][3] == 999_875  # five seconds on the way to the low


def test_the_forming_bar_can_be_missing_and_the_candles_stale(venue):
    since = int((DAY + timedelta(days=1)).timestamp() * 1000)
    venue.engine.forming = False
    assert len(venue.client.fetch_ohlcv(SYMBOL, "1h", since=since)) == 1
    venue.engine.forming = True
    venue.faults.next("*/candlestick/*", Fault("stale", 10))
    assert len(venue.client.fetch_ohlcv(SYMBOL, "1h", since=since)) == 1
    assert len(venue.client.fetch_ohlcv(SYMBOL, "1h", since=since)) == 2


def test_a_day_without_candles_is_an_error_not_an_empty_list(venue):
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.client.fetch_ohlcv(SYMBOL, "1h", since=int((DAY - timedelta(days=9)).timestamp() * 1000))
    assert code(caught) == 10000


def test_ticker_depth_status_and_circuit_break_are_told(venue):
    assert venue.client.fetch_ticker(SYMBOL)["last"] == 999_875
    assert venue.client.fetch_order_book(SYMBOL)["bids"][0] == [999_875, 1]
    asked = {"pair": "btc_jpy"}
    assert venue.client.publicGetPairCircuitBreakInfo(asked)["data"]["mode"] == "NONE"
    assert venue.client.privateGetSpotStatus()["data"]["statuses"][0]["status"] == "NORMAL"
    venue.engine.circuit_break = "CIRCUIT_BREAK"
    venue.engine.stops.add("stop_order")
    assert venue.client.publicGetPairCircuitBreakInfo(asked)["data"]["mode"] == "CIRCUIT_BREAK"
    assert venue.client.privateGetSpotStatus()["data"]["statuses"][0]["status"] == "HALT"


# ---- orders


def test_a_market_order_on_margin_is_filled_and_told_in_full(venue):
    order = venue.buy()
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.01, 999_875)
    told = order["info"]
    assert (told["order_id"], told["status"], told["position_side"]) == (1001, "FULLY_FILLED", "long")
    assert (told["start_amount"], told["remaining_amount"], told["executed_amount"]) == ("0.0100", "0.0000", "0.0100")
    assert venue.engine.position == Decimal("0.01")
    assert venue.client.fetch_order("1001", SYMBOL)["info"] == told


def test_a_stop_rests_as_inactive_which_ccxt_does_not_translate(venue):
    venue.buy()
    placed = venue.stop("980000")
    assert (placed["status"], placed["info"]["trigger_price"]) == ("INACTIVE", "980000")
    (found,) = venue.client.fetch_open_orders(SYMBOL)
    assert (found["id"], found["status"], found["triggerPrice"]) == (placed["id"], "INACTIVE", None)


def test_a_stop_triggers_inside_the_bar(venue):
    venue.buy()
    placed = venue.stop("985000")
    venue.clock.advance(600)
    assert venue.client.fetch_open_orders(SYMBOL) == []
    done = venue.client.fetch_order(placed["id"], SYMBOL)
    assert (done["status"], done["average"]) == ("closed", 985_000)
    assert done["info"]["triggered_at"] == int(datetime(2024, 5, 2, 1, 10, tzinfo=UTC).timestamp() * 1000)
    trades = venue.client.fetch_my_trades(SYMBOL)
    assert [(trade["order"], trade["type"]) for trade in trades] == [("1001", "market"), (placed["id"], "stop")]


def test_a_stop_limit_needs_its_price_in_the_params_too(venue):
    venue.buy()
    params = LONG | {"trigger_price": "980000"}
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.client.create_order(SYMBOL, "stop_limit", "sell", 0.01, 979_000, params)
    assert code(caught) == 30012
    order = venue.client.create_order(SYMBOL, "stop_limit", "sell", 0.01, None, params | {"price": "979000"})
    assert order["info"]["price"] == "979000"


def test_a_limit_order_rests_and_is_cancelled(venue):
    placed = venue.client.create_order(SYMBOL, "limit", "buy", 0.01, 950_000, LONG)
    assert (placed["status"], placed["info"]["status"], placed["info"]["post_only"]) == ("open", "UNFILLED", False)
    status = venue.client.privateGetUserMarginStatus()["data"]
    assert status["open_margin_order_product"] == "9500.0000"
    gone = venue.client.cancel_order(placed["id"], SYMBOL)
    assert (gone["status"], gone["info"]["status"]) == ("canceled", "CANCELED_UNFILLED")
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.client.cancel_order(placed["id"], SYMBOL)
    assert code(caught) == 50026


def test_cancelling_what_was_filled_or_never_was(venue):
    order = venue.buy()
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.client.cancel_order(order["id"], SYMBOL)
    assert code(caught) == 50027
    with pytest.raises(ccxt.OrderNotFound):
        venue.client.cancel_order("5", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        venue.client.fetch_order("5", SYMBOL)


def test_several_orders_at_once(venue):
    placed = [venue.client.create_order(SYMBOL, "limit", "buy", 0.001, 900_000, LONG)["id"] for _ in range(2)]
    asked = {"pair": "btc_jpy", "order_ids": [*map(int, placed), 5]}
    told = venue.client.privatePostUserSpotOrdersInfo(asked)["data"]["orders"]
    assert [str(order["order_id"]) for order in told] == placed
    gone = venue.client.privatePostUserSpotCancelOrders(asked)["data"]["orders"]
    assert [order["status"] for order in gone] == ["CANCELED_UNFILLED"] * 2


def test_a_resting_stop_locks_the_position(venue):
    venue.buy()
    placed = venue.stop("980000")
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.sell()
    assert code(caught) == 50062
    venue.client.cancel_order(placed["id"], SYMBOL)
    venue.sell()
    assert venue.engine.position == 0


def test_a_partly_filled_market_order_is_open_until_the_rest_comes(venue):
    venue.engine.partial = Decimal("0.4")
    order = venue.buy()
    assert (order["status"], order["info"]["status"], order["filled"]) == ("open", "PARTIALLY_FILLED", 0.004)
    assert [found["id"] for found in venue.client.fetch_open_orders(SYMBOL)] == [order["id"]]
    venue.clock.advance(1)
    assert venue.client.fetch_order(order["id"], SYMBOL)["status"] == "closed"
    assert [trade["amount"] for trade in venue.client.fetch_my_trades(SYMBOL)] == [0.004, 0.006]


@pytest.mark.parametrize(
    ("size", "params", "expected"),
    [
        (0.3, {}, 50061),
        (0.01, {"amount": "0.00001"}, 60004),
        (0.01, {"amount": "0.00015"}, 40001),
        (0.01, {"amount": 0.01}, 40001),
        (0.01, {"position_side": "both"}, 40164),
        (0.01, {"pair": "eth_jpy"}, 40017),
        (0.01, {"type": "trailing"}, 40024),
        (0.01, {"type": "stop"}, 30101),
        (0.01, {"type": "stop", "trigger_price": "990000"}, 60018),
        (0.01, {"type": "stop", "trigger_price": 1100000}, 40112),
    ],
)
def test_a_refusal_has_its_code_and_places_nothing(venue, size, params, expected):
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.buy(size, **params)
    assert code(caught) == expected
    assert venue.engine.log == []


def test_a_spot_order_without_money_or_coins_is_insufficient_funds(venue):
    for side in ("buy", "sell"):
        with pytest.raises(ccxt.InsufficientFunds):
            venue.client.create_order(SYMBOL, "market", side, 0.5)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("stop_order", 70004),
        ("stop_buy_order", 70005),
        ("stop_market_order", 70020),
        ("stop_margin_long_order", 70024),
    ],
)
def test_what_is_stopped_says_so_in_the_pairs_and_in_the_refusal(venue, flag, expected):
    venue.engine.stops.add(flag)
    assert venue.client.load_markets()[SYMBOL]["info"][flag] is True
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.buy()
    assert code(caught) == expected


# ---- the account


def test_fees_and_interest_are_told_exactly_and_collected_at_the_close(venue):
    venue.buy()
    venue.clock.set(DAY + timedelta(hours=50))  # the price stands at 1003000 by then
    held = venue.client.privateGetUserMarginPositions()["data"]["positions"]
    (position,) = held
    assert (position["position_side"], position["open_amount"]) == ("long", "0.0100")
    assert (position["product"], position["average_price"]) == ("9998.7500", "999875")
    assert position["unrealized_fee_amount"] == "11.9985"
    seconds = int((DAY + timedelta(hours=50) - NOW).total_seconds())
    interest = Decimal("9998.75") * Decimal("0.0004") * seconds / 86_400
    assert abs(Decimal(position["unrealized_interest_amount"]) - interest) < Decimal("1e-8")
    venue.sell()
    opened, closed = (trade["info"] for trade in venue.client.fetch_my_trades(SYMBOL))
    assert (opened["fee_amount_quote"], opened["fee_occurred_amount_quote"]) == ("0.0000", "11.9985")
    assert (closed["fee_amount_quote"], closed["fee_occurred_amount_quote"]) == ("24.0345", "12.0360")
    assert Decimal(closed["interest"]) == Decimal(position["unrealized_interest_amount"])
    net = Decimal("31.25") - Decimal("24.0345") - Decimal(closed["interest"])
    assert Decimal(closed["profit_loss"]) == net
    (money, _) = venue.client.privateGetUserAssets()["data"]["assets"]
    assert Decimal(money["onhand_amount"]) == 100_000 + net
    assert venue.client.privateGetUserMarginPositions()["data"]["positions"] == []


def test_the_margin_status_says_what_may_still_be_opened(venue):
    before = venue.client.privateGetUserMarginStatus()["data"]
    assert before["available_balances"][0] == {"pair": "btc_jpy", "long": "200000.0000", "short": "200000.0000"}
    assert before["total_margin_balance_percentage"] is None
    venue.buy()
    after = venue.client.privateGetUserMarginStatus()["data"]
    assert after["total_margin_position_product"] == "9998.7500"
    assert Decimal(after["available_balances"][0]["long"]) == 200_000 - Decimal("9998.75") - 2 * Decimal("11.9985")


def test_trades_are_limited_newest_first_and_since_is_in_milliseconds(venue):
    ids = []
    for _ in range(3):
        ids.append(venue.buy(0.001)["id"])
        venue.clock.advance(1)
    newest = venue.client.fetch_my_trades(SYMBOL, limit=2)
    assert [trade["order"] for trade in newest] == ids[1:]  # ccxt turns them round
    since = int((NOW + timedelta(seconds=1)).timestamp() * 1000)
    assert len(venue.client.privateGetUserSpotTradeHistory({"pair": "btc_jpy", "since": since})["data"]["trades"]) == 2
    assert len(venue.client.fetch_my_trades(SYMBOL, since=since)) == 2  # sent as seconds; ccxt sifts them itself
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.client.fetch_my_trades(SYMBOL, limit=1001)
    assert code(caught) == 40006


def test_listings_may_lag_behind(venue):
    venue.engine.lag_s = 5
    order = venue.buy()
    assert (venue.client.fetch_my_trades(SYMBOL), venue.client.fetch_open_orders(SYMBOL)) == ([], [])
    assert venue.client.privateGetUserMarginPositions()["data"]["positions"] == []
    with pytest.raises(ccxt.OrderNotFound):
        venue.client.fetch_order(order["id"], SYMBOL)
    venue.clock.advance(5)
    assert [trade["order"] for trade in venue.client.fetch_my_trades(SYMBOL)] == [order["id"]]
    assert len(venue.client.privateGetUserMarginPositions()["data"]["positions"]) == 1


# ---- who asks, and when


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"secret": "other"}, ccxt.AuthenticationError),
        ({"apiKey": "other"}, ccxt.AuthenticationError),
        ({"options": {"timeWindow": "60001"}}, ccxt.ExchangeError),
    ],
)
def test_a_stranger_is_refused(venue, changes, kind):
    stranger = client(venue.url, **changes)
    with pytest.raises(kind):
        stranger.create_order(SYMBOL, "market", "buy", 0.01, None, LONG)
    assert venue.engine.log == []


@pytest.mark.parametrize(("offset", "expected"), [(5.5, 20035), (-1.5, 20034)])
def test_a_request_outside_of_its_window_is_refused(venue, offset, expected):
    venue.speaker.offset_s = offset
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.buy()
    assert code(caught) == expected
    assert venue.engine.log == []


@pytest.mark.parametrize("offset", [4.0, -0.5])
def test_a_clock_that_is_a_little_off_does_no_harm(venue, offset):
    venue.speaker.offset_s = offset
    assert venue.buy()["status"] == "closed"


def test_a_changed_body_or_query_does_not_carry_its_signature(venue):
    venue.client.load_markets()
    signed = venue.client.sign("user/spot/order", ["private"], "POST", {"pair": "btc_jpy", "amount": "1"})
    changed = signed["body"].replace('"1"', '"2"')
    with pytest.raises(ccxt.AuthenticationError):
        venue.client.fetch(signed["url"], "POST", signed["headers"], changed)
    signed = venue.client.sign("user/spot/active_orders", ["private"], "GET", {"pair": "btc_jpy"})
    with pytest.raises(ccxt.AuthenticationError):
        venue.client.fetch(signed["url"] + "&count=1", "GET", signed["headers"], None)


def test_nonces_are_taken_as_long_as_they_rise(venue):
    old = client(venue.url, options={"authMethod": "nonce"})
    old.load_markets()
    assert old.fetch_open_orders(SYMBOL) == []
    signed = old.sign("user/assets", ["private"], "GET", {})
    old.fetch(signed["url"], "GET", signed["headers"], None)
    with pytest.raises(ccxt.AuthenticationError):
        old.fetch(signed["url"], "GET", signed["headers"], None)


# ---- what goes wrong on the way

SLOW = {"delay_before": 0.4, "delay_after": 0.4, "late": 3.0, "skew": 90.0}
SEEN: dict[str, tuple[type[Exception], bool]] = {  # what ccxt raises, and whether the order is on the venue
    "drop_before": (ccxt.NetworkError, False),
    "drop_after": (ccxt.NetworkError, True),
    "error_before": (ccxt.ExchangeNotAvailable, False),
    "error_after": (ccxt.ExchangeNotAvailable, True),
    "delay_before": (ccxt.RequestTimeout, True),
    "delay_after": (ccxt.RequestTimeout, True),
    "late": (ccxt.NetworkError, True),
    "rate_limit": (ccxt.ExchangeError, False),  # bitbank's own words hide the 429 from ccxt
    "ban": (ccxt.ExchangeError, False),
    "maintenance": (ccxt.ExchangeError, False),
    "skew": (ccxt.ExchangeError, False),
}


@pytest.mark.parametrize("kind", SEEN)
def test_each_fault_of_an_order_is_seen_as_this_exception(venue, kind):
    venue.client.load_markets()
    venue.client.timeout = 200
    venue.faults.next(ORDER, Fault(kind, SLOW.get(kind, 0.0)))
    expected, placed = SEEN[kind]
    with pytest.raises(ccxt.BaseError) as caught:
        venue.buy()
    assert caught.type is expected
    venue.clock.advance(5)
    _until_processed(venue, kind)
    assert len(venue.engine.accepted(kind="market")) == placed
    assert len(venue.url.asked("POST", "/v1/user/spot/order")) == 1


def _until_processed(venue: Venue, kind: str) -> None:
    """A delayed request is carried out after its client has gone."""
    for _ in range(200):
        if kind not in {"delay_before", "delay_after"} or venue.url.requests[-1].processed:
            return
        time.sleep(0.01)


@pytest.mark.parametrize(("kind", "placed"), [("html", False), ("html_after", True)])
def test_a_page_with_status_200_becomes_an_order_of_nothing_and_an_empty_list(venue, kind, placed):
    venue.client.load_markets()
    venue.faults.next("*", Fault(kind))
    order = venue.buy()
    assert (order["id"], order["status"], order["info"]) == (None, None, None)
    assert len(venue.engine.log) == 2 * placed
    venue.faults.always("*", Fault("html"))
    assert venue.client.fetch_open_orders(SYMBOL) == [] == venue.client.fetch_my_trades(SYMBOL)
    assert isinstance(venue.client.privateGetUserSpotActiveOrders({"pair": "btc_jpy"}), str)


def test_a_page_instead_of_the_markets_leaves_a_client_that_knows_no_market_for_ever(venue):
    venue.faults.next("*/spot/pairs", Fault("html"))
    assert venue.client.load_markets() == {}
    with pytest.raises(ccxt.BadSymbol):
        venue.buy()
    assert venue.client.load_markets(True)[SYMBOL]


@pytest.mark.parametrize("body", [b"", b"null", b'{"success": 1, "data": {}}', b'{"success":1,"data":{"orders":[{"ord'])
def test_an_answer_without_content_passes_for_an_empty_list(venue, body):
    venue.client.load_markets()
    venue.faults.next("*", Fault("html", body=body))
    assert venue.client.fetch_open_orders(SYMBOL) == []
    assert venue.client.last_http_response == body.decode()


def test_a_venue_that_is_gone_is_a_network_error(venue):
    with serving(venue.speaker) as url:
        other = client(url)
        other.load_markets()
    with pytest.raises(ccxt.NetworkError):
        other.create_order(SYMBOL, "market", "buy", 0.01, None, LONG)
    assert venue.engine.log == []


def test_an_amount_under_one_lot_never_leaves_the_client_and_the_rest_of_a_lot_is_cut_off(venue):
    venue.client.load_markets()
    with pytest.raises(ccxt.InvalidOrder):
        venue.buy(0.00001)
    assert venue.url.asked("POST", "/v1/user/spot/order") == []
    assert venue.buy(0.00019)["amount"] == 0.0001


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, ccxt.RateLimitExceeded), (403, ccxt.ExchangeNotAvailable), (504, ccxt.RequestTimeout)],
)
def test_a_gateways_own_page_is_seen_by_its_status(venue, status, expected):
    venue.client.load_markets()
    venue.faults.next("*", Fault("error_before", status=status))
    with pytest.raises(ccxt.BaseError) as caught:
        venue.buy()
    assert caught.type is expected


def test_a_late_order_is_carried_out_when_its_time_comes_and_at_that_price(venue):
    venue.client.load_markets()
    venue.faults.next(ORDER, Fault("late", 4.0))
    with pytest.raises(ccxt.NetworkError):
        venue.buy()
    venue.clock.advance(3)
    assert venue.engine.log == []
    venue.clock.advance(600)
    (placed, _) = venue.engine.log
    assert placed.at == NOW + timedelta(seconds=4)
    assert venue.url.requests[-1].done == placed.at


def test_a_late_order_is_refused_once_its_window_has_passed(venue):
    venue.client.load_markets()
    venue.faults.next(ORDER, Fault("late", 6.0))
    with pytest.raises(ccxt.NetworkError):
        venue.buy()
    venue.clock.advance(600)
    assert venue.engine.log == []
    assert b"20035" in venue.url.requests[-1].answer


def test_a_planned_code_is_answered_once(venue):
    venue.client.load_markets()
    venue.faults.next(ORDER, answer(70011))
    with pytest.raises(ccxt.ExchangeError) as caught:
        venue.buy()
    assert code(caught) == 70011
    assert venue.buy()["status"] == "closed"


def test_drawn_faults_hit_about_as_often_as_asked_and_the_same_with_the_same_seed():
    def taken(seed: int) -> list[str]:
        faults = Faults()
        faults.draw(Random(seed), 0.3, where="POST *")
        drawn = [faults.take(method, "/v1/x") for method in ("POST", "GET") for _ in range(500)]
        assert not any(drawn[500:])
        return [fault.kind for fault in drawn if fault]

    assert taken(1) == taken(1) != taken(2)
    assert 100 < len(taken(1)) < 200
    assert set(taken(1)) == set(KINDS) - {"stale"}


def test_requests_are_listed_with_what_became_of_them(venue):
    venue.client.load_markets()
    venue.faults.next(ORDER, Fault("drop_before"))
    with pytest.raises(ccxt.NetworkError):
        venue.buy()
    venue.buy()
    lost, done = venue.url.asked("POST", "/v1/user/spot/order")
    assert (lost.processed, lost.status, lost.fault) == (False, 0, Fault("drop_before"))
    assert (done.processed, done.status, done.fault) == (True, 200, None)
    assert json.loads(done.body)["side"] == "buy"


@pytest.mark.parametrize("seed", range(3))
def test_under_any_faults_ccxt_sends_each_order_once_and_the_venue_takes_it_at_most_once(venue, seed):
    venue.client.load_markets()
    quick = [Fault(kind, 3.0) for kind in KINDS if not kind.startswith("delay")]
    venue.faults.draw(Random(seed), 0.7, quick, ORDER)
    for _ in range(60):
        with contextlib.suppress(ccxt.BaseError):
            venue.buy(0.0001)
        venue.clock.advance(2)
    venue.clock.advance(3)
    sent = venue.url.asked("POST", "/v1/user/spot/order")
    assert len(sent) == 60
    taken = [request for request in sent if b'"success": 1' in request.answer]
    assert len(venue.engine.accepted()) == len(taken)
    assert venue.engine.position == len(taken) * Decimal("0.0001")
    assert {request.fault.kind for request in taken if request.fault} >= {"drop_after", "error_after", "late"}
