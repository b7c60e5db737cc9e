"""Speaks bybit's v5 HTTP for an Engine: one unified account in one-way mode that trades one symbol, spot or linear, as
the engine is.

Two clocks. The market, and every time in a row, goes by `engine.clock`. Whether a request's time is within its window
is judged by the request clock: real time plus `offset_s`, since clients sign with real time; or whatever
`request_clock` gives. `/v5/market/time` and the `time` of every answer tell the request clock.

A spot buy pays its fee in the coin that it bought, so less arrives than was ordered: `held` is what is there then, and
all that may be sold. With `fee_coin="quote"` everything is as the engine books it.

Not known from documents, and chosen here: what `openOnly=1` lists (closed orders only); which page comes first when
`start` is given to candles without `end` (the oldest); that a reduce-only market order larger than the position becomes
as large as it; the codes while a market is stopped. Not as on bybit: a spot stop locks its coins while it
waits; and one on the far side of the price is refused (170210), where bybit takes it, to wait for the price to come
back. Not spoken: take-profits, attached stops, post-only, IOC limits, amendments, hedge mode, borrowing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from core.domain.orders import ZERO, Side
from tests.venues.account import Account
from tests.venues.bybit_asked import Door, decimal_of, limit_of, moment_of, read
from tests.venues.bybit_listings import Asked, Listings
from tests.venues.bybit_words import EPOCH, MILLISECOND, Refused, Row, Words, ms, text
from tests.venues.engine import Engine, Rejection, VenueClock, VenueExecution
from tests.venues.faults import Fault
from tests.venues.orders import OrderKind
from tests.venues.server import STALE

Answer = tuple[int, dict[str, str], bytes]
LINK_ID = re.compile(r"[A-Za-z0-9_-]{0,36}")
TROUBLE = {
    "rate_limit": (10006, "Too many visits. Exceeded the API Rate Limit."),
    "maintenance": (10016, "Service is restarting. Please try again later."),
}
BANNED = b"<html><body><h1>403 Forbidden</h1>access too frequent</body></html>"


def answer(code: int, message: str = "", status: int = 200) -> Fault:
    """A fault plan's entry: nothing is done, and the venue says `code`."""
    return Fault("error_before", status=status, body=_packed({}, EPOCH, code, message))


class Bybit(Door, Listings):
    """A Speaker. `status`, of the instrument, may be set at any time, and so may what Listings has; and of the key, if
    it is `read_only`, and what of the wallet it is `granted`."""

    def __init__(
        self,
        engine: Engine,
        *,
        key: str = "key",
        secret: str = "secret",
        base: str = "BTC",
        quote: str = "USDT",
        fee_coin: Literal["base", "quote"] = "base",
        request_clock: Callable[[], datetime] | None = None,
        offset_s: float = 0.0,
    ) -> None:
        Door.__init__(self, key, secret, request_clock, offset_s)
        spot = engine.kind == "spot"
        Listings.__init__(self, engine, Words(spot=spot, base=base, quote=quote, rules=engine.rules, fee_coin=fee_coin))
        self.status, self.read_only, self.granted = "Trading", False, ["AccountTransfer"]
        self._routes: dict[str, Callable[[Asked], Row]] = {
            "GET /v5/market/instruments-info": self._instruments,
            "GET /v5/market/kline": self._kline,
            "GET /v5/market/tickers": self._tickers,
            "GET /v5/asset/coin/query-info": self._coins,
            "GET /v5/user/query-api": self._api_key,
            "GET /v5/account/info": lambda _: {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6},
            "GET /v5/account/fee-rate": self._fee_rate,
            "GET /v5/account/wallet-balance": self._wallet,
            "GET /v5/position/list": self._positions,
            "GET /v5/order/realtime": self.realtime,
            "GET /v5/order/history": self.history,
            "GET /v5/execution/list": self.executions,
            "POST /v5/order/create": self._create,
            "POST /v5/order/cancel": self._cancel,
        }

    @property
    def clock(self) -> VenueClock:
        return self.engine.clock

    @property
    def held(self) -> Decimal:
        """What a spot account has of the base coin, after fees."""
        return self.engine.position - self._paid_in_base(self.engine.executions)[0]

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        now = self.judged(headers)
        if (method, path) == ("GET", "/v5/market/time"):
            nanos = (now - EPOCH) // timedelta(microseconds=1) * 1000
            return 200, {}, _packed({"timeSecond": str(nanos // 10**9), "timeNano": str(nanos)}, now)
        route = self._routes.get(f"{method} {path}")
        if route is None:
            return 404, {"Content-Type": "text/plain"}, b"404 page not found"
        try:
            if not path.startswith("/v5/market/"):
                self.authenticate(method, headers, body)
            asked = read(body) if method == "POST" else {**query, STALE: headers.get(STALE, 0)}
            return 200, {}, _packed(route(asked), now)
        except Refused as refused:
            return 200, {}, _packed({}, now, refused.code, refused.message)

    def trouble(self, kind: str) -> Answer:
        if kind == "ban":
            return 403, {"Content-Type": "text/html"}, BANNED
        return 200, {}, _packed({}, self.judged({}), *TROUBLE[kind])

    def _instruments(self, asked: Asked) -> Row:
        wanted = (self.words.category, self.words.symbol, self.status)
        told = (asked.get("category"), asked.get("symbol", wanted[1]), asked.get("status", wanted[2]))
        rows = [self.words.instrument(self.status)] if told == wanted else []
        return {"category": asked.get("category"), "list": rows, "nextPageCursor": ""}

    def _kline(self, asked: Asked) -> Row:
        """Newest first, the forming bar included: with `start` alone the first ones from there on, else the last."""
        self.meant(asked)
        step, limit = self.engine.path.step, limit_of(asked, 200, 1000)
        if asked.get("interval") != str(step // timedelta(minutes=1)):
            raise Refused(10001, "Invalid period!")
        start, end = moment_of(asked, "start"), moment_of(asked, "end")
        stale_s = float(asked[STALE])
        since = start or (end or self.clock.now() - timedelta(seconds=stale_s)) - step * limit
        bars = [bar for bar in self.engine.candles(since, stale_s) if end is None or bar.at <= end]
        bars = bars[:limit] if start and end is None else bars[-limit:]
        rows = [[ms(bar.at), *map(text, (*bar[1:], bar.volume * bar.close))] for bar in reversed(bars)]
        return {"category": self.words.category, "symbol": self.words.symbol, "list": rows}

    def _tickers(self, asked: Asked) -> Row:
        self.meant(asked)
        price = text(self.engine.path.price(self.clock.now() - timedelta(seconds=float(asked[STALE]))))
        row = {"symbol": self.words.symbol, "lastPrice": price, "bid1Price": price, "ask1Price": price}
        row |= {"bid1Size": "1", "ask1Size": "1", "prevPrice24h": price, "volume24h": "1000", "turnover24h": "1000000"}
        return {"category": self.words.category, "list": [{**row, "markPrice": price, "indexPrice": price}]}

    def _coins(self, asked: Asked) -> Row:
        chain = {"chain": "BTC", "chainType": "BTC", "chainDeposit": "1", "chainWithdraw": "1", "minAccuracy": "8"}
        return {"rows": [{"name": c, "coin": c, "chains": [chain]} for c in (self.words.base, self.words.quote)]}

    def _api_key(self, asked: Asked) -> Row:
        allowed = {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": self.granted, "Options": []}
        row = {"id": "2208369", "apiKey": self.key, "readOnly": int(self.read_only), "secret": "", "unified": 0}
        return {**row, "permissions": allowed, "uta": 1}

    def _fee_rate(self, asked: Asked) -> Row:
        self.meant(asked)
        rules = self.engine.rules
        rates = {"takerFeeRate": text(rules.taker), "makerFeeRate": text(rules.maker)}
        return {"list": [{"symbol": self.words.symbol, **rates, "baseCoin": ""}]}

    def _wallet(self, asked: Asked) -> Row:
        if asked.get("accountType") != "UNIFIED":
            raise Refused(10001, "accountType only support UNIFIED.")
        account, price, resting = self.engine.shown_account(), self.engine.price(), self.engine.open_orders()
        until = self.clock.now() - timedelta(seconds=self.engine.lag_position_s)
        coins, money = self._paid_in_base(done for done in self.engine.executions if done.at <= until)
        held = account.reserved(resting, price)
        rows = [self.words.coin(self.words.quote, account.cash + money, held if self.words.spot else ZERO)]
        if self.words.spot:
            rows.append(self.words.coin(self.words.base, account.base - coins, account.locked_base(resting)))
        else:
            margin = {"totalPositionIM": account.exposure(price), "totalOrderIM": held}
            profit = sum((lot.profit(price) for lot in account.lots.values()), ZERO)
            rows[0] |= {name: text(value / account.rules.leverage) for name, value in margin.items()}
            rows[0] |= {"unrealisedPnl": text(profit), "equity": text(account.cash + profit)}
        return {"list": [{"accountType": "UNIFIED", **self._totals(rows, account, price), "coin": rows}]}

    def _totals(self, rows: list[Row], account: Account, price: Decimal) -> Row:
        """Of all coins together: what they are worth, and what of it neither positions nor orders use."""
        worth = {self.words.quote: Decimal(1), self.words.base: price}
        have = sum((Decimal(row["equity"]) * worth[row["coin"]] for row in rows), ZERO)
        used = sum((Decimal(row[name]) for row in rows for name in ("totalPositionIM", "totalOrderIM")), ZERO)
        locked = sum((Decimal(row["locked"]) * worth[row["coin"]] for row in rows), ZERO)
        told = {"totalEquity": have, "totalMarginBalance": have, "totalInitialMargin": used}
        told |= {"totalAvailableBalance": max(have - used - locked, ZERO)}
        told |= {"totalMaintenanceMargin": self.words.maintenance(account, price)}
        return {name: text(value) for name, value in told.items()}

    def _paid_in_base(self, executions: Iterable[VenueExecution]) -> tuple[Decimal, Decimal]:
        """What buys have paid in the base coin, and what the engine took in quote currency instead."""
        if not self.words.spot or self.words.fee_coin == "quote":
            return ZERO, ZERO
        buys = [done for done in executions if done.side == "buy"]
        return sum((self.words.fee(done) for done in buys), ZERO), sum((done.fee for done in buys), ZERO)

    def _positions(self, asked: Asked) -> Row:
        """With a symbol its position even if there is none; with a coin only what is open."""
        self.meant(asked)
        if self.words.spot or not asked.keys() & {"symbol", "settleCoin", "baseCoin"}:
            raise Refused(10001, "params error: symbol or settleCoin is required")
        account = self.engine.shown_account()
        row = self.words.position(account, self.engine.price(), self.clock.now())
        rows = [row] if account.position or "symbol" in asked else []
        return {"category": self.words.category, "list": rows, "nextPageCursor": ""}

    def _create(self, asked: Asked) -> Row:
        self.meant(asked)
        link, side = str(asked.get("orderLinkId") or ""), self._side(asked)
        if not LINK_ID.fullmatch(link):
            raise Refused(10001, "params error: OrderLinkId must be at most 36 letters, digits, dashes and underscores")
        if asked.get("positionIdx", 0) != 0:
            raise Refused(10001, "position idx not match position mode")
        kind, price, trigger = self._kind(asked)
        amount, spent = self._amount(asked, side, kind)
        closing = bool(asked.get("reduceOnly")) and not self.words.spot
        with self.engine.lock:
            self.engine.advance()
            self._check_coins(side, amount)
            if closing and kind == "market":
                amount = min(amount, self.engine.account.closes(side, "") or amount)
            try:
                order = self.engine.place(
                    kind, side, amount, trigger=trigger, price=price, client_id=link, reduce_only=closing
                )
            except Rejection as rejection:
                cheap = rejection.reason == "too_small" and amount >= self.engine.rules.minimum_amount
                raise self.words.refusal("too_cheap" if cheap else rejection.reason) from None
            if spent is not None:
                self.quoted[order.id] = spent
        return {"orderId": self.words.order_id(order.id), "orderLinkId": link}

    def _side(self, asked: Asked) -> Side:
        if asked.get("side") not in {"Buy", "Sell"}:
            raise Refused(10001, "Side invalid")
        return "buy" if asked["side"] == "Buy" else "sell"

    def _kind(self, asked: Asked) -> tuple[OrderKind, Decimal | None, Decimal | None]:
        """And price and trigger, where they count."""
        limit = asked.get("orderType") == "Limit"
        price = decimal_of(asked, "price") if limit else None
        if not limit and asked.get("orderType") != "Market":
            raise Refused(10001, "OrderType invalid")
        if limit and price is None:
            raise self.words.refusal("bad_price")
        trigger = decimal_of(asked, "triggerPrice")
        if self.words.spot and asked.get("orderFilter", "Order") == "Order":
            trigger = None  # without the filter a trigger is ignored, and the order executes at once
        elif trigger is not None and not self.words.spot:
            self._check_direction(asked, trigger)
        if trigger is None:
            return "limit" if limit else "market", price, None
        return "stop_limit" if limit else "stop", price, trigger

    def _check_direction(self, asked: Asked, trigger: Decimal) -> None:
        direction, now = asked.get("triggerDirection"), self.engine.price()
        if direction not in {1, 2}:
            raise Refused(10001, "params error: TriggerDirection invalid")
        if direction == 1 and trigger <= now:
            raise Refused(110092, f"expect Rising, but trigger_price[{trigger}] <= current[{now}]??LastPrice")
        if direction == 2 and trigger >= now:
            raise Refused(110093, f"expect Falling, but trigger_price[{trigger}] >= current[{now}]??LastPrice")

    def _amount(self, asked: Asked, side: Side, kind: OrderKind) -> tuple[Decimal, Decimal | None]:
        """In base coin; and in quote currency if it was put so, as a spot buy at the market is unless it says other."""
        amount = decimal_of(asked, "qty")
        if amount is None:
            raise self.words.refusal("no_amount")
        unit = asked.get("marketUnit") or ("quoteCoin" if side == "buy" else "baseCoin")
        if not self.words.spot or "limit" in kind or unit == "baseCoin":
            return amount, None
        lot = self.engine.rules.lot
        return amount / self.engine.price() // lot * lot, amount

    def _check_coins(self, side: Side, amount: Decimal) -> None:
        """What was paid in coins cannot be sold; the engine does not know of that."""
        if self.words.spot and side == "sell":
            locked = self.engine.account.locked_base([o for o in self.engine.orders.values() if o.resting])
            if amount > self.held - locked:
                raise self.words.refusal("insufficient")

    def _cancel(self, asked: Asked) -> Row:
        self.meant(asked)
        self.engine.advance()
        mine = [order for order in self.engine.orders.values() if self.named(order, asked)]
        order = next((order for order in mine if order.resting), None)
        if order is None or (self.words.spot and not self.filtered(order, asked.get("orderFilter", "Order"))):
            raise self.words.refusal("not_found")
        try:
            self.engine.cancel(order.id)
        except Rejection as rejection:
            raise self.words.refusal(rejection.reason) from None
        self.taken_back.add(order.id)
        return {"orderId": self.words.order_id(order.id), "orderLinkId": order.client_id}


def _packed(result: Row, at: datetime, code: int = 0, message: str = "OK") -> bytes:
    told = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": (at - EPOCH) // MILLISECOND}
    return json.dumps(told, separators=(",", ":")).encode()
