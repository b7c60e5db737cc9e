"""Speaks bitbank's HTTP for an Engine: public and private REST, signatures, error codes, and all its poverty: no client
order ids, no listing of closed orders, no server time.

Two clocks. The market, and every time in an answer, goes by `engine.clock`. Whether a request's time is within its
window is judged by the request clock: real time plus `offset_s`, since clients sign with real time; or whatever
`request_clock` gives; the Date of every answer tells it. `offset_s` may be set at any time: 2.0 makes the venue's clock
two seconds fast.

Not known from documents, and chosen here: the HTTP status of a refusal (200), the default length of the trade history
(100), the order of checks, the code while a market is suspended, and what a batch does with orders that it cannot
cancel (leaves them out). `stop_loss` and `take_profit` orders are refused as 40024.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import ClassVar

from core.domain.orders import ZERO
from tests.venues import bitbank_words as words
from tests.venues.bitbank_asked import Door, Refused, count_of, decimal_of, order_id, order_ids, read, within
from tests.venues.bitbank_words import Json, milliseconds, text
from tests.venues.engine import Engine, Rejection, VenueClock, VenueOrder
from tests.venues.faults import Fault
from tests.venues.server import STALE

Answer = tuple[int, dict[str, str], bytes]
CODES = {
    "insufficient": 60001,
    "insufficient_margin": 50061,
    "close_exceeds_position": 50062,
    "too_small": 60004,
    "bad_amount": 40001,
    "bad_price": 40020,
    "no_trigger": 30101,
    "trigger_immediate": 60018,
    "too_many": 60011,
    "not_found": 50009,
    "already_filled": 50027,
    "already_cancelled": 50026,
    "suspended": 70004,
    "buy_restricted": 70005,
    "sell_restricted": 70006,
    "market_restricted": 70020,
    "limit_restricted": 70026,
    "stop_restricted": 70023,
    "stop_limit_restricted": 70022,
    "long_restricted": 70024,
    "short_restricted": 70025,
}
TROUBLE = {"rate_limit": (429, 10009), "ban": (403, 10009), "maintenance": (503, 10007)}
TYPES = {60: "1min", 300: "5min", 900: "15min", 1800: "30min", 3600: "1hour"}


def answer(code: int, status: int = 200) -> Fault:
    """A fault plan's entry: nothing is done, and the venue says `code`."""
    return Fault("error_before", status=status, body=_packed({"success": 0, "data": {"code": code}}))


class Bitbank(Door):
    """A Speaker. `codes` may be changed: which code each reason of the engine becomes."""

    def __init__(
        self,
        engine: Engine,
        *,
        key: str = "key",
        secret: str = "secret",
        pair: str = "btc_jpy",
        request_clock: Callable[[], datetime] | None = None,
        offset_s: float = 0.0,
    ) -> None:
        super().__init__(key, secret, request_clock, offset_s)
        self.engine, self.pair, self.codes = engine, pair, dict(CODES)

    @property
    def clock(self) -> VenueClock:
        return self.engine.clock

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        told = {"Date": format_datetime(self.judged(headers), usegmt=True)}
        try:
            data = self._data(method, path, query, headers, body)
        except Refused as refused:
            return refused.status, told, _packed({"success": 0, "data": {"code": refused.code}})
        return 200, told, _packed({"success": 1, "data": data})

    def trouble(self, kind: str) -> Answer:
        status, code = TROUBLE[kind]
        return status, {}, _packed({"success": 0, "data": {"code": code}})

    def _data(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Json:
        route = f"{method} {path.removeprefix('/v1')}"
        if route == "GET /spot/pairs":  # ccxt asks for it without the version, which the venue also answers
            engine = self.engine
            return {"pairs": [words.pair_info(self.pair, engine.rules, engine.stops, engine.clock.now())]}
        if route == "GET /spot/status":
            return self._status()
        if path.startswith(("/v1/", "/user/")):
            private = self._routes.get(route)
            if private is None:
                raise Refused(10000, 404)
            if not path.startswith("/v1/"):
                raise Refused(20018)
            self.authenticate(method, headers, body)
            return private(self, dict(query) if method == "GET" else read(body))
        return self._public(path, float(headers.get(STALE, 0)))

    def _public(self, path: str, stale_s: float) -> Json:
        pair, _, rest = path.strip("/").partition("/")
        if pair != self.pair:
            raise Refused(10000, 404)
        if rest.startswith("candlestick/"):
            return self._candles(rest.split("/")[1:], stale_s)
        if rest not in {"ticker", "depth", "circuit_break_info"}:
            raise Refused(10000, 404)
        now, price = self.engine.clock.now(), self.engine.price()
        if rest == "circuit_break_info":
            return words.circuit_break(self.engine.circuit_break, price, now, self.engine.rules)
        return self._ticker(stale_s) if rest == "ticker" else self._depth(price, now)

    def _candles(self, asked: list[str], stale_s: float) -> Json:
        step = int(self.engine.path.step.total_seconds())
        try:
            kind, day = asked
            since = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            raise Refused(10000, 404) from None
        shown = self.engine.candles(since, stale_s)
        found = [words.candle(bar) for bar in shown if bar.at < since + timedelta(days=1)]
        if kind != TYPES.get(step) or not found:
            raise Refused(10000, 404)
        return {"candlestick": [{"type": kind, "ohlcv": found}], "timestamp": milliseconds(self.engine.clock.now())}

    def _ticker(self, stale_s: float) -> Json:
        now, tick = self.engine.clock.now() - timedelta(seconds=stale_s), self.engine.rules.tick
        price = self.engine.path.price(now)
        day = self.engine.path.candles(now - timedelta(days=1), now)
        return {
            "sell": text(price + tick),
            "buy": text(price),
            "high": text(max((bar.high for bar in day), default=price)),
            "low": text(min((bar.low for bar in day), default=price)),
            "open": text(day[0].open if day else price),
            "last": text(price),
            "vol": text(sum((bar.volume for bar in day), ZERO), 4),
            "timestamp": milliseconds(now),
        }

    def _depth(self, price: Decimal, now: datetime) -> Json:
        tick = self.engine.rules.tick
        quiet = {"asks_over": "0", "bids_under": "0", "asks_under": "0", "bids_over": "0"}
        return {
            "asks": [[text(price + tick * i), "1.0000"] for i in range(1, 6)],
            "bids": [[text(price - tick * i), "1.0000"] for i in range(5)],
            **quiet,
            "ask_market": "0",
            "bid_market": "0",
            "timestamp": milliseconds(now),
            "sequenceId": str(milliseconds(now)),
        }

    def _status(self) -> Json:
        halted = self.engine.stops & {"stop_order", "stop_order_and_cancel"}
        smallest = text(self.engine.rules.minimum_amount)
        return {"statuses": [{"pair": self.pair, "status": "HALT" if halted else "NORMAL", "min_amount": smallest}]}

    def _assets(self, asked: Json) -> Json:
        engine, account, now = self.engine, self.engine.shown_account(), self.engine.price()
        coins = [order for order in engine.open_orders() if not order.position_side]
        return {"assets": words.assets(self.pair, account, account.reserved(coins, now), account.locked_base(coins))}

    def _margin_status(self, asked: Json) -> Json:
        account, orders, now = self.engine.shown_account(), self.engine.open_orders(), self.engine.price()
        ordered = account.reserved([order for order in orders if order.position_side], now)
        free = account.available(now, orders)
        return words.margin_status(self.pair, account, now, ordered, free, self.engine.clock.now())

    def _positions(self, asked: Json) -> Json:
        return words.positions(self.pair, self.engine.shown_account(), self.engine.clock.now())

    def _trades(self, asked: Json) -> Json:
        self._mine(asked, needed=False)
        done = [trade for trade in self.engine.shown_executions() if within(asked, milliseconds(trade.at))]
        if "order_id" in asked:
            done = [trade for trade in done if trade.order_id == order_id(asked)]
        done.sort(key=lambda trade: (trade.at, trade.id), reverse=asked.get("order", "desc") == "desc")
        rules = self.engine.rules
        return {"trades": [words.trade(trade, self.pair, rules) for trade in done[: count_of(asked, 100)]]}

    def _shown(self, order: VenueOrder) -> Json:
        return words.order(order, self.pair, self.engine.rules)

    def _order(self, asked: Json) -> Json:
        self._mine(asked)
        return self._shown(self._try(lambda: self.engine.order(order_id(asked))))

    def _active(self, asked: Json) -> Json:
        self._mine(asked, needed=False)
        orders = [order for order in self.engine.open_orders() if within(asked, milliseconds(order.at))]
        first, last = int(asked.get("from_id", 0)), int(asked.get("end_id", 2**62))
        orders = [order for order in orders if first <= order.id <= last]
        return {"orders": [self._shown(order) for order in orders[::-1][: count_of(asked, 1000)]]}

    def _orders_info(self, asked: Json) -> Json:
        self._mine(asked)
        listed = {order.id: order for order in self.engine.listed_orders()}
        return {"orders": [self._shown(listed[number]) for number in order_ids(asked) if number in listed]}

    def _place(self, asked: Json) -> Json:
        self._mine(asked)
        kind, side, position_side = asked.get("type"), asked.get("side"), asked.get("position_side") or ""
        amount = decimal_of(asked, "amount", 30001, 40001)
        if kind not in {"market", "limit", "stop", "stop_limit"}:
            raise Refused(40024 if kind else 30015)
        if side not in {"buy", "sell"}:
            raise Refused(40021 if side else 30013)
        if position_side not in {"", "long", "short"}:
            raise Refused(40164)
        if position_side and self.engine.kind != "margin":
            raise Refused(50058)
        price = decimal_of(asked, "price", 30012, 40020) if "limit" in kind else None
        trigger = decimal_of(asked, "trigger_price", 30101, 40112) if "stop" in kind else None
        more = {"trigger": trigger, "price": price, "position_side": position_side}
        return self._shown(self._try(lambda: self.engine.place(kind, side, amount, **more), bool(position_side)))

    def _cancel(self, asked: Json) -> Json:
        self._mine(asked)
        return self._shown(self._try(lambda: self.engine.cancel(order_id(asked))))

    def _cancel_many(self, asked: Json) -> Json:
        self._mine(asked)
        done = []
        for number in order_ids(asked):
            try:
                done.append(self.engine.cancel(number))
            except Rejection:
                continue
        return {"orders": [self._shown(order) for order in done]}

    def _try(self, action: Callable[[], VenueOrder], margin: bool = False) -> VenueOrder:
        try:
            return action()
        except Rejection as rejection:
            reason = rejection.reason
            raise Refused(
                self.codes["insufficient_margin" if margin and reason == "insufficient" else reason]
            ) from None

    def _mine(self, asked: Json, needed: bool = True) -> None:
        pair = asked.get("pair")
        if (needed or pair is not None) and pair != self.pair:
            raise Refused(40017 if pair else 30009)

    _routes: ClassVar[dict[str, Callable[[Bitbank, Json], Json]]] = {
        "GET /user/assets": _assets,
        "GET /user/spot/order": _order,
        "GET /user/spot/active_orders": _active,
        "GET /user/spot/trade_history": _trades,
        "GET /user/margin/status": _margin_status,
        "GET /user/margin/positions": _positions,
        "POST /user/spot/order": _place,
        "POST /user/spot/cancel_order": _cancel,
        "POST /user/spot/cancel_orders": _cancel_many,
        "POST /user/spot/orders_info": _orders_info,
    }


def _packed(content: Json) -> bytes:
    return json.dumps(content).encode()
