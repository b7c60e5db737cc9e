"""One market and one account at a venue: orders, executions, positions and money, exact, and without any HTTP.

Time comes from a VenueClock; whatever is called first brings the market up to it. A market order executes at the price
of that moment, a stop at its trigger when the price goes through it (at the open when it jumps over it), a limit order
at its price. There is no slippage and no depth. Fees and interest are rounded to CENT (interest upwards, as in
core.domain.fills), everything else is exact.

What is read from attributes (`position`, `cash`, `orders`, `executions`, `log`) is the truth at once. What the venue
shows of it (`open_orders`, `order`, `shown_executions`, `shown_account`) comes `lag_…_s` seconds later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import wraps
from itertools import count
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

from msgspec.structs import replace

from core.domain.bars import Bars
from core.domain.orders import ZERO, Rules, Side
from tests.venues.account import Account, Kind, PositionSide
from tests.venues.memory import Memory
from tests.venues.orders import (
    Entry,
    OrderKind,
    Rejection,
    Status,
    VenueExecution,
    VenueOrder,
    What,
    due,
    level,
    misshapen,
    stopped,
)
from tests.venues.path import Candle, Path, VenueClock

__all__ = ["Account", "Candle", "Engine", "Entry", "Kind", "Rejection", "VenueClock", "VenueExecution", "VenueOrder"]

P = ParamSpec("P")
T = TypeVar("T")


def current(method: Callable[Concatenate[Engine, P], T]) -> Callable[Concatenate[Engine, P], T]:
    """Under the lock, and with the market brought up to the clock."""

    @wraps(method)
    def call(self: Engine, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            self._catch_up()
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[Engine, P], T]", call)


class Engine:
    """`remembers`: client ids are refused a second time among open orders, or for ever. `first_id`: of the orders; they
    grow by more than one, since others trade there too. `account` is the truth, but only as of the last call.

    What may be set at any time:

    lag_s, or lag_orders_s, lag_executions_s, lag_position_s: how late things are shown.
    lag_candles_s: candles are as they were so long ago; forming: whether the unfinished bar is shown.
    partial: the share of its amount that the next market order, or triggered stop, fills at once. The rest follows when
    the clock has moved on, or is cancelled then (`partial_rest`).
    circuit_break: anything but NONE: nothing is matched; market orders are refused, or wait (`market_waits`).
    stops: names of what is stopped, as bitbank's pairs name them: stop_order, stop_order_and_cancel, stop_market_order,
    stop_stop_order, stop_stop_limit_order, stop_margin_long_order, stop_margin_short_order, stop_buy_order,
    stop_sell_order.

    There is no margin call: a position is never closed by the venue.
    """

    def __init__(
        self,
        bars: Bars,
        clock: VenueClock,
        *,
        kind: Kind,
        rules: Rules,
        cash: Decimal,
        base: Decimal = ZERO,
        step: int = 3600,
        remembers: Literal["open", "all"] = "all",
        first_id: int = 1001,
        max_open: int = 30,
    ) -> None:
        self.clock, self.kind, self.rules, self.remembers, self.max_open = clock, kind, rules, remembers, max_open
        self.path = Path(bars, rules.tick, step)
        self.account = Account(kind, rules, cash, base)
        self.lock = threading.RLock()
        self.refusals: list[tuple[datetime, str]] = []
        self.lag_orders_s = self.lag_executions_s = self.lag_position_s = self.lag_candles_s = 0.0
        self.partial: Decimal | None = None
        self.partial_rest: Literal["fills", "cancelled"] = "fills"
        self._circuit_break = "NONE"
        self.market_waits = False
        self.stops: set[str] = set()
        self.forming = True
        self._at = clock.now()
        self._order_ids, self._trade_ids = count(first_id, 7), count(first_id * 10, 3)  # others trade here as well
        self._memory = Memory(self._at, self.account)

    @property
    def lag_s(self) -> float:
        """Of orders, executions and positions together."""
        return max(self.lag_orders_s, self.lag_executions_s, self.lag_position_s)

    @lag_s.setter
    def lag_s(self, seconds: float) -> None:
        self.lag_orders_s = self.lag_executions_s = self.lag_position_s = seconds

    @current
    def advance(self) -> None:
        """Brings the market up to the clock. Everything else does so too."""

    @current
    def price(self) -> Decimal:
        return self.path.price(self._at)

    @property
    @current
    def orders(self) -> dict[int, VenueOrder]:
        return dict(self._memory.orders)

    @property
    @current
    def executions(self) -> list[VenueExecution]:
        return list(self._memory.executions)

    @property
    @current
    def log(self) -> list[Entry]:
        return list(self._memory.log)

    @property
    def circuit_break(self) -> str:
        return self._circuit_break

    @circuit_break.setter
    def circuit_break(self, mode: str) -> None:
        self.advance()  # what happened before it happened without it
        self._circuit_break = mode

    @property
    @current
    def position(self) -> Decimal:
        """Net, signed, base coin (of a spot account: the coins that it has)."""
        return self.account.position

    @property
    @current
    def average_price(self) -> Decimal:
        return self.account.average_price

    @property
    @current
    def cash(self) -> Decimal:
        return self.account.cash

    @current
    def equity(self) -> Decimal:
        """What would be left if everything were closed at this price without a fee for it."""
        return self.account.equity(self.path.price(self._at), self._at)

    def accepted(self, **fields: Any) -> list[VenueOrder]:
        """Every order that was ever placed with these fields: `accepted(client_id="x")`, `accepted(kind="stop")`."""
        placed = [entry.order for entry in self.log if entry.what == "place"]
        return [order for order in placed if all(getattr(order, k) == v for k, v in fields.items())]

    @current
    def open_orders(self) -> list[VenueOrder]:
        return [order for order in self._memory.listed(self._ago(self.lag_orders_s)) if order.resting]

    @current
    def listed_orders(self) -> list[VenueOrder]:
        """Every order of whatever status that is shown by now, oldest first."""
        return self._memory.listed(self._ago(self.lag_orders_s))

    @current
    def order(self, id: int) -> VenueOrder:
        """Raises Rejection not_found."""
        found = self._memory.order(id, self._ago(self.lag_orders_s))
        if found is None:
            raise Rejection("not_found")
        return found

    @current
    def shown_executions(self) -> list[VenueExecution]:
        until = self._ago(self.lag_executions_s)
        return [done for done in self._memory.executions if done.at <= until]

    @current
    def shown_account(self) -> Account:
        """A copy of the account as it is shown: positions, cash, base."""
        return self._memory.account(self._ago(self.lag_position_s))

    @current
    def candles(self, since: datetime, stale_s: float = 0.0) -> list[Candle]:
        """What is shown of the bars that open at `since` or later, as they were `stale_s` ago, and oldest first."""
        return self.path.candles(since, self._ago(self.lag_candles_s + stale_s), forming=self.forming)

    @current
    def place(
        self,
        kind: OrderKind,
        side: Side,
        amount: Decimal,
        *,
        trigger: Decimal | None = None,
        price: Decimal | None = None,
        client_id: str = "",
        position_side: PositionSide = "",
        reduce_only: bool = False,
    ) -> VenueOrder:
        """Takes an order, and executes what executes at once. Raises Rejection; then nothing has happened."""
        order = VenueOrder(
            id=0, kind=kind, side=side, amount=amount, at=self._at, trigger=trigger, price=price, client_id=client_id,
            position_side=position_side, reduce_only=reduce_only, status="waiting" if "stop" in kind else "open",
        )  # fmt: skip
        try:
            self._check(order)
        except Rejection as rejection:
            self.refusals.append((self._at, rejection.reason))
            raise
        order = replace(order, id=next(self._order_ids))
        self._note("place", order, self._at)
        self._match_now()
        return self._memory.orders[order.id]

    @current
    def cancel(self, id: int) -> VenueOrder:
        """Takes an order back. Raises Rejection: not_found, already_filled, already_cancelled, suspended."""
        order = self._memory.orders.get(id)
        if order is None:
            raise Rejection("not_found")
        if not order.resting:
            raise Rejection("already_filled" if order.status == "filled" else "already_cancelled")
        if "stop_order_and_cancel" in self.stops:
            raise Rejection("suspended")
        return self._cancelled(order, self._at)

    def _check(self, order: VenueOrder) -> None:
        halted = self._circuit_break != "NONE" and not self.market_waits
        reason = stopped(order, self.stops, halted) or misshapen(order, self.rules, self.path.price(self._at))
        reason = reason or self._known(order) or self._unpaid(order)
        if reason:
            raise Rejection(reason)

    def _known(self, order: VenueOrder) -> str:
        if sum(other.resting for other in self._memory.orders.values()) >= self.max_open:
            return "too_many"
        same = [
            other for other in self._memory.orders.values() if order.client_id and other.client_id == order.client_id
        ]
        return "duplicate" if any(self.remembers == "all" or other.resting for other in same) else ""

    def _unpaid(self, order: VenueOrder) -> str:
        now = self.path.price(self._at)
        if self.kind == "linear" and order.reduce_only:
            return "" if self.account.position * order.signed < 0 else "close_exceeds_position"
        if self.kind == "margin" and order.closing:
            return "" if order.amount <= self.closable(order.position_side) else "close_exceeds_position"
        price = order.price or order.trigger or now
        return "" if self.account.can_open(order, price, now, self._memory.resting()) else "insufficient"

    def closable(self, position_side: PositionSide) -> Decimal:
        """What of a margin position is not locked by resting orders that close it."""
        lot = self.account.lots.get(position_side)
        locked = sum(
            (o.remaining for o in self._memory.resting() if o.closing and o.position_side == position_side), ZERO
        )
        return (lot.amount if lot else ZERO) - locked

    def _ago(self, seconds: float) -> datetime:
        return self._at - timedelta(seconds=seconds)

    def _catch_up(self) -> None:
        now = self.clock.now()
        if now <= self._at:
            self._match_now()
            return
        if not self._memory.resting() or self._circuit_break != "NONE":
            self._at = now
            return
        self._match_now()
        at, price = self._at, self.path.price(self._at)
        for point in self.path.points(at, now):
            self._cross(at, price, point.at, point.price, point.jump)
            at, price = point.at, point.price
        self._at = now
        self._match_now()

    def _match_now(self) -> None:
        """Orders that are due at the price of this moment: new ones, and those that could not be matched before."""
        price = self.path.price(self._at)
        if self._circuit_break == "NONE":
            self._cross(self._at, price, self._at, price, True)

    def _cross(self, since: datetime, start: Decimal, until: datetime, end: Decimal, jump: bool) -> None:
        """The price goes from `start` to `end`: what lies on the way is due, the nearest first."""
        levels = {order.id: level(order, start) for order in self._memory.resting()}
        for number, there in sorted(levels.items(), key=lambda item: abs(start - item[1])):
            order = self._memory.orders[number]
            if not order.resting or not due(order, there, end):
                continue
            passed = min(start, end) <= there <= max(start, end) and start != end and not jump
            share = float((there - start) / (end - start)) if passed else 1.0
            self._hit(order, since + (until - since) * share, there if passed else end)

    def _hit(self, order: VenueOrder, at: datetime, price: Decimal) -> None:
        if order.status == "waiting":
            order = replace(order, status="open", triggered=at)
            self._note("trigger", order, at)
            if order.kind == "stop_limit" and not due(order, order.price or price, price):
                return
        if "limit" not in order.kind and order.executed:
            if at <= (order.triggered or order.at):
                return  # the rest of a part comes later
            if self.partial_rest == "cancelled":
                self._cancelled(order, at)
                return
        self._execute(order, at, price)

    def _execute(self, order: VenueOrder, at: datetime, price: Decimal) -> None:
        maker = "limit" in order.kind and at > (order.triggered or order.at)
        if "limit" in order.kind and maker:
            price = order.price or price
        amount = self._share(order)
        if order.closing:  # a position may have gone meanwhile, by another order
            amount = min(amount, self.account.closes(order.side, order.position_side))
        if not amount:
            self._cancelled(order, at, "cancelled" if order.executed else "rejected")
            return
        booked = self.account.book(order.side, order.position_side, amount, price, maker, at)
        executed = order.executed + amount
        status: Status = "filled" if executed == order.amount else "partly_filled"
        order = replace(order, executed=executed, cost=order.cost + amount * price, status=status)
        self._note("fill", order, at, amount, price)
        done = VenueExecution(
            id=next(self._trade_ids), order_id=order.id, client_id=order.client_id, at=at, kind=order.kind,
            side=order.side, position_side=order.position_side, amount=amount, price=price, maker=maker,
            fee=booked.fee, charged=booked.charged, interest=booked.interest, profit=booked.profit,
        )  # fmt: skip
        self._memory.executed(done, self.account)

    def _share(self, order: VenueOrder) -> Decimal:
        if self.partial is None or order.kind not in {"market", "stop"} or order.executed:
            return order.remaining
        share, self.partial = self.rules.floor(order.amount * self.partial), None
        return share or order.remaining

    def _cancelled(self, order: VenueOrder, at: datetime, status: Status = "cancelled") -> VenueOrder:
        order = replace(order, status=status, cancelled=at)
        self._note("cancel", order, at)
        return order

    def _note(self, what: What, order: VenueOrder, at: datetime, amount: Decimal = ZERO, price: Decimal = ZERO) -> None:
        self._memory.note(Entry(at, what, order, amount, price))
