"""What a venue keeps of orders and executions, what it refuses, and its journal."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec import Struct

from core.domain.orders import ZERO, Rules, Side
from tests.venues.account import PositionSide

OrderKind = Literal["market", "limit", "stop", "stop_limit"]
# waiting: a stop that was not triggered; rejected: it was, and there was nothing left to close
Status = Literal["waiting", "open", "partly_filled", "filled", "cancelled", "rejected"]
RESTING: tuple[Status, ...] = ("waiting", "open", "partly_filled")


class Rejection(Exception):
    """The venue takes no such order. `reason` is one word: insufficient, close_exceeds_position, too_small, bad_amount,
    bad_price, no_trigger, trigger_immediate, too_many, duplicate, not_found, already_filled, already_cancelled,
    suspended, and {buy,sell,market,stop,stop_limit,long,short}_restricted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class VenueOrder(Struct, frozen=True, kw_only=True):
    """An order as it is at one moment. `cost`: sum of amount x price of what was executed."""

    id: int
    kind: OrderKind
    side: Side
    amount: Decimal
    at: datetime
    status: Status
    trigger: Decimal | None = None
    price: Decimal | None = None
    client_id: str = ""
    position_side: PositionSide = ""
    reduce_only: bool = False
    executed: Decimal = ZERO
    cost: Decimal = ZERO
    triggered: datetime | None = None
    cancelled: datetime | None = None

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.executed

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.executed if self.executed else ZERO

    @property
    def resting(self) -> bool:
        return self.status in RESTING

    @property
    def signed(self) -> int:
        return 1 if self.side == "buy" else -1

    @property
    def closing(self) -> bool:
        """Whether it can only make a position smaller."""
        return self.reduce_only or (self.position_side, self.side) in {("long", "sell"), ("short", "buy")}


class VenueExecution(Struct, frozen=True, kw_only=True):
    """`fee`: what this execution costs; `charged`: what was taken for fees when it happened (a margin account pays the
    fee of the entry when it closes); `profit`: the price difference realised, before fees and interest."""

    id: int
    order_id: int
    client_id: str
    at: datetime
    kind: OrderKind
    side: Side
    position_side: PositionSide
    amount: Decimal
    price: Decimal
    maker: bool
    fee: Decimal
    charged: Decimal
    interest: Decimal
    profit: Decimal


What = Literal["place", "trigger", "fill", "cancel"]


class Entry(NamedTuple):
    """A line of the journal: something that was accepted or happened, and the order as it was then."""

    at: datetime
    what: What
    order: VenueOrder
    amount: Decimal = ZERO  # of a fill
    price: Decimal = ZERO


def stopped(order: VenueOrder, stops: set[str], circuit_break: bool) -> str:
    """Why the venue takes no such order now, or ""."""
    rows = (
        ("suspended", bool(stops & {"stop_order", "stop_order_and_cancel"})),
        (f"{order.side}_restricted", f"stop_{order.side}_order" in stops),
        (f"{order.kind}_restricted", f"stop_{order.kind}_order" in stops),
        (
            f"{order.position_side}_restricted",
            not order.closing and f"stop_margin_{order.position_side}_order" in stops,
        ),
        ("market_restricted", order.kind == "market" and circuit_break),
    )
    return next((reason for reason, holds in rows if holds), "")


def misshapen(order: VenueOrder, rules: Rules, now: Decimal) -> str:
    """What is wrong with its numbers at the price of now, or ""."""
    trigger = order.trigger
    rows = (
        ("too_small", order.amount < rules.minimum_amount or order.amount * now < rules.minimum_notional),
        ("bad_amount", bool(order.amount % rules.lot)),
        ("bad_price", "limit" in order.kind and (order.price is None or order.price <= 0)),
        ("bad_price", any(price is not None and bool(price % rules.tick) for price in (order.price, trigger))),
        ("no_trigger", "stop" in order.kind and trigger is None),
        ("trigger_immediate", trigger is not None and (trigger - now) * order.signed <= 0),
    )
    return next((reason for reason, holds in rows if holds), "")


def level(order: VenueOrder, now: Decimal) -> Decimal:
    """The price at which something happens to it."""
    if order.status == "waiting":
        return order.trigger or now
    return order.price or now if "limit" in order.kind else now


def due(order: VenueOrder, at: Decimal, price: Decimal) -> bool:
    """Whether something happens to it, whose level is `at`, when the price is `price`."""
    if order.status == "waiting":
        return (price - at) * order.signed >= 0
    return "limit" not in order.kind or (at - price) * order.signed >= 0
