"""How bybit's v5 says things: refusals, instruments, orders, executions, positions and balances, as JSON rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from core.domain.orders import ZERO, Rules
from tests.venues.account import Account
from tests.venues.orders import VenueExecution, VenueOrder

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
MAINTENANCE = Decimal("0.005")  # of a position's worth, at the lowest risk limit of BTCUSDT
STATUSES = {
    "waiting": "Untriggered",
    "open": "New",
    "partly_filled": "PartiallyFilled",
    "filled": "Filled",
    "rejected": "Rejected",
}
# What an engine refuses, as (spot, linear): bybit's code and words.
REFUSALS: dict[str, tuple[tuple[int, str], tuple[int, str]]] = {
    "insufficient": ((170131, "Insufficient balance."), (110007, "ab not enough for new order")),
    "close_exceeds_position": (
        (170131, "Insufficient balance."),
        (110017, "current position is zero, cannot fix reduce-only order qty"),
    ),
    "too_small": (
        (170136, "Order quantity exceeded lower limit."),
        (10001, "The number of contracts exceeds minimum limit allowed"),
    ),
    "too_cheap": (
        (170140, "Order value exceeded lower limit."),
        (110094, "Order does not meet minimum order value 5USDT"),
    ),
    "bad_amount": ((170137, "Order quantity has too many decimals."), (10001, "Qty invalid")),
    "bad_price": ((170134, "Order price has too many decimals."), (10001, "params error: Price invalid")),
    "too_many": (
        (170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders."),
        (110009, "The number of stop orders exceeds maximum limit allowed"),
    ),
    "duplicate": ((170141, "Duplicate clientOrderId."), (110072, "OrderLinkedID is duplicate")),
    "not_found": ((170213, "Order does not exist."), (110001, "order not exists or too late to cancel")),
    "closed": ((170151, "The trading pair is not open yet."), (110066, "No trading is allowed at the current time")),
    "no_symbol": ((170121, "Invalid symbol."), (10001, "params error: symbol invalid")),
    "no_amount": ((170130, "Data sent for parameter 'qty' is not valid."), (10001, "Qty invalid")),
    "trigger_immediate": ((170210, "New order rejected."), (10001, "params error: TriggerPrice invalid")),
}
REFUSALS["already_filled"] = REFUSALS["already_cancelled"] = REFUSALS["not_found"]


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Words(Struct, frozen=True, kw_only=True):
    """`fee_coin`: in which coin a spot buy pays."""

    spot: bool
    base: str
    quote: str
    rules: Rules
    fee_coin: Literal["base", "quote"] = "base"

    @property
    def symbol(self) -> str:
        return self.base + self.quote

    @property
    def category(self) -> str:
        return "spot" if self.spot else "linear"

    def refusal(self, reason: str) -> Refused:
        return Refused(*REFUSALS[reason if reason in REFUSALS else "closed"][0 if self.spot else 1])

    def order_id(self, id: int) -> str:
        return str(1321003749386000000 + id) if self.spot else f"{id:08x}-7b52-4ca9-ac2c-37e31ac55c94"

    def trade_id(self, id: int) -> str:
        return str(2210000000000000000 + id) if self.spot else f"{id:08x}-0f18-5866-9415-cf319b5dab3b"

    def fee(self, done: VenueExecution) -> Decimal:
        """In the coin that pays it."""
        rate = self.rules.maker if done.maker else self.rules.taker
        return done.amount * rate if self._pays_in_base(done) else done.fee

    def _pays_in_base(self, done: VenueExecution) -> bool:
        return self.spot and done.side == "buy" and self.fee_coin == "base"

    def instrument(self, status: str) -> Row:
        rules = self.rules
        row = {"symbol": self.symbol, "baseCoin": self.base, "quoteCoin": self.quote, "status": status}
        lot = {"minOrderQty": text(rules.minimum_amount), "maxOrderQty": "1190.000"}
        if self.spot:
            lot |= {"basePrecision": text(rules.lot), "quotePrecision": "0.0000001", "maxOrderAmt": "8000000"}
            lot |= {"minOrderAmt": text(rules.minimum_notional)}
            more = {"innovation": "0", "marginTrading": "utaOnly", "priceFilter": {"tickSize": text(rules.tick)}}
            return {**row, **more, "lotSizeFilter": lot}
        lot |= {"qtyStep": text(rules.lot), "maxMktOrderQty": "500.000", "postOnlyMaxOrderQty": "1190.000"}
        lot |= {"minNotionalValue": text(rules.minimum_notional)}
        return {
            **row, "contractType": "LinearPerpetual", "launchTime": "1584230400000", "deliveryTime": "0",
            "deliveryFeeRate": "", "priceScale": "2", "settleCoin": self.quote, "fundingInterval": 480,
            "unifiedMarginTrade": True, "lotSizeFilter": lot,
            "leverageFilter": {"minLeverage": "1", "maxLeverage": text(rules.leverage), "leverageStep": "0.01"},
            "priceFilter": {"minPrice": text(rules.tick), "maxPrice": "1999999.80", "tickSize": text(rules.tick)},
        }  # fmt: skip

    def coin(self, coin: str, balance: Decimal, locked: Decimal) -> Row:
        row = {"coin": coin, "walletBalance": text(balance), "equity": text(balance), "locked": text(locked)}
        row |= dict.fromkeys(("borrowAmount", "accruedInterest", "totalPositionIM", "totalOrderIM"), "0")
        return {**row, "availableToWithdraw": "", "unrealisedPnl": "0"}  # bybit no longer says what is available

    def maintenance(self, account: Account, price: Decimal) -> Decimal:
        return ZERO if self.spot else account.exposure(price) * MAINTENANCE

    def liquidation(self, account: Account) -> str:
        """Where the money that is left, with open profit, is what the position needs; "" when that is nowhere."""
        size = account.position
        if self.spot or not size:
            return ""
        price = (size * account.average_price - account.cash) / (size - abs(size) * MAINTENANCE)
        step = self.rules.tick
        return text(price // step * step) if price > step else ""

    def position(self, account: Account, price: Decimal, at: datetime) -> Row:
        size, entry, leverage = account.position, account.average_price, account.rules.leverage
        profit = sum((lot.profit(price) for lot in account.lots.values()), ZERO)
        return {
            "symbol": self.symbol, "side": "Buy" if size > 0 else "Sell" if size else "", "size": text(abs(size)),
            "avgPrice": text(entry), "positionValue": text(abs(size) * entry), "markPrice": text(price),
            "leverage": text(leverage), "unrealisedPnl": text(profit), "positionIdx": 0, "positionStatus": "Normal",
            "positionBalance": "", "liqPrice": self.liquidation(account), "bustPrice": "",
            "tradeMode": 0, "takeProfit": "", "stopLoss": "",
            "positionIM": text(abs(size) * price / leverage), "positionMM": text(self.maintenance(account, price)),
            "riskId": 1, "tpslMode": "Full",
            "createdTime": "1676538056258", "updatedTime": ms(at),
        }  # fmt: skip

    def execution(self, done: VenueExecution, order: VenueOrder) -> Row:
        stop = "stop" in done.kind
        coin = self.base if self._pays_in_base(done) else self.quote
        row = {
            "symbol": self.symbol, "orderId": self.order_id(done.order_id), "orderLinkId": done.client_id,
            "side": done.side.capitalize(), "orderPrice": text(self._bound(order)), "orderQty": text(order.amount),
            "leavesQty": text(order.remaining), "orderType": "Limit" if "limit" in done.kind else "Market",
            "stopOrderType": "Stop" if stop else "", "execFee": text(self.fee(done)), "feeCurrency": coin,
            "feeRate": text(self.rules.maker if done.maker else self.rules.taker), "isMaker": done.maker,
            "execId": self.trade_id(done.id), "execPrice": text(done.price), "execQty": text(done.amount),
            "execType": "Trade", "execValue": text(done.amount * done.price), "execTime": ms(done.at), "seq": done.id,
            "closedSize": "", "markPrice": text(done.price), "blockTradeId": "", "extraFees": "",
        }  # fmt: skip
        return row if self.spot else {**row, "createType": "CreateByStopOrder" if stop else "CreateByUser"}

    def order(
        self, order: VenueOrder, executions: list[VenueExecution], *, quoted: Decimal | None, taken_back: bool
    ) -> Row:
        """`quoted`: what it was to spend or earn, if it was put so; `taken_back`: cancelled because we asked."""
        stop, left = "stop" in order.kind, order.remaining if order.resting else ZERO
        fees = text(sum((self.fee(done) for done in executions), ZERO))
        coin = self.quote if not executions or not self._pays_in_base(executions[0]) else self.base
        row = {
            "orderId": self.order_id(order.id), "orderLinkId": order.client_id, "blockTradeId": "",
            "symbol": self.symbol, "price": text(self._bound(order)), "qty": text(quoted or order.amount),
            "side": order.side.capitalize(), "isLeverage": "0" if self.spot else "", "positionIdx": 0,
            "orderStatus": self.status(order), "rejectReason": "EC_NoError",
            "cancelType": "CancelByUser" if taken_back else "UNKNOWN",
            "avgPrice": text(order.average_price) if order.executed else "",  # of a unified account
            "leavesQty": text(left), "leavesValue": text(left * self._bound(order)),
            "cumExecQty": text(order.executed), "cumExecValue": text(order.cost), "cumExecFee": fees,
            "cumFeeDetail": {coin: fees} if executions else {},
            "timeInForce": "GTC" if "limit" in order.kind else "IOC",
            "orderType": "Limit" if "limit" in order.kind else "Market", "stopOrderType": "Stop" if stop else "",
            "orderIv": "", "triggerPrice": text(order.trigger or ZERO) if stop else "", "takeProfit": "",
            "stopLoss": "", "tpTriggerBy": "", "slTriggerBy": "", "triggerBy": "LastPrice" if stop else "",
            "triggerDirection": 0 if self.spot or not stop else 1 if order.side == "buy" else 2,
            "lastPriceOnCreated": "", "reduceOnly": order.reduce_only, "closeOnTrigger": False, "smpType": "None",
            "smpGroup": 0, "smpOrderId": "", "tpLimitPrice": "", "slLimitPrice": "", "placeType": "",
            "createdTime": ms(order.at), "updatedTime": ms(updated(order, executions)),
        }  # fmt: skip
        if self.spot:
            return {**row, "marketUnit": "quoteCoin" if quoted else "baseCoin"}
        return {**row, "tpslMode": "", "createType": "CreateByStopOrder" if stop else "CreateByUser"}

    def status(self, order: VenueOrder) -> str:
        """PartiallyFilledCanceled is said of spot only; Deactivated, of a stop that was never triggered."""
        if order.status != "cancelled":
            return STATUSES[order.status]
        if "stop" in order.kind and not order.triggered:
            return "Deactivated"
        return "PartiallyFilledCanceled" if order.executed and self.spot else "Cancelled"

    def _bound(self, order: VenueOrder) -> Decimal:
        """The price of an order: of a linear one at the market the worst that it may get, which is not what it got."""
        reached = order.average_price or order.trigger
        if order.price or self.spot or not reached:
            return order.price or ZERO
        worst = reached * (1 + Decimal("0.05") * order.signed)
        return worst // self.rules.tick * self.rules.tick


def updated(order: VenueOrder, executions: list[VenueExecution]) -> datetime:
    """When it was last changed."""
    times = (order.at, order.triggered, order.cancelled, *(done.at for done in executions))
    return max(at for at in times if at is not None)


def text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def ms(at: datetime) -> str:
    return str((at - EPOCH) // MILLISECOND)
