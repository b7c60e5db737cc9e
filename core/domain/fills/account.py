"""The account of one book as the fill model keeps it, and what such a venue shows of itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core.domain.orders import ZERO, Execution, Fill, Holding, Intent, Listed, Order, Sight, Traits

# Of the fill model: it knows each order by our id, at once and for good, and holds each entry's stop itself.
PAPER: Final = Traits(identity="id", lasting_ids=True, window_s=0.0, looks=1, instant=False, stops="attached")


class Account(Struct, frozen=True, kw_only=True):
    """What a venue knows of one book: its holding, the orders not yet filled, and its newest fills, oldest first.

    `bar`: the last bar of the market that it went through (paper); None before the first.
    `known`: ids of every intent that it has taken and still remembers. `asked`: how often it was asked about one that
    it had not got: whoever sends that one on an older sight of the account is too late. `funding`: what the open
    position owes (negative: is owed) and has not been charged.
    """

    holding: Holding
    bar: datetime | None = None
    funding: Decimal = ZERO
    pending: tuple[Intent, ...] = ()
    fills: tuple[Fill, ...] = ()
    known: tuple[str, ...] = ()
    asked: int = 0


def accept(account: Account, intent: Intent) -> Account:
    """The account with `intent` waiting for the next bar; unchanged when it already knows this intent."""
    if intent.id in account.known:
        return account
    return replace(account, pending=(*account.pending, intent), known=(*account.known, intent.id)[-32:])


def sight(account: Account, orders: Sequence[Order] = (), price: Decimal | None = None) -> Sight:
    """What a venue with this account shows of itself and of `orders`. It calls each order by our own id.

    `price`: the last known one. Nothing is lent here: `free` is what the equity at it leaves once the position, worth
    that price, is paid in full; orders that wait are not counted. Without a price only a flat account can tell.
    """
    listed = tuple(_listed(account, order.intent) for order in orders if order.intent.id in account.known)
    return Sight(
        position=account.holding.position,
        orders=listed,
        executions=tuple(_execution(fill) for fill in account.fills),
        free=_free(account.holding, price),
    )


def _free(holding: Holding, price: Decimal | None) -> Decimal | None:
    if price is None:
        return None if holding.position else max(holding.cash, ZERO)
    return max(holding.equity(price) - abs(holding.position) * price, ZERO)


def _listed(account: Account, intent: Intent) -> Listed:
    executed = sum((fill.amount for fill in account.fills if _order_of(fill) == intent.id), ZERO)
    waiting = any(pending.id == intent.id for pending in account.pending)
    return Listed(
        order_id=intent.id,
        tag=intent.id,
        side=intent.side,
        amount=intent.amount,
        status="open" if waiting else "filled" if executed == intent.amount else "cancelled",
        executed=executed,
    )


def _execution(fill: Fill) -> Execution:
    return Execution(
        id=fill.id,
        order_id=_order_of(fill),
        at=fill.bar,
        side=fill.side,
        amount=fill.amount,
        price=fill.price,
        fee=fill.fee,
        interest=fill.interest,
        cause=fill.cause if fill.cause == "stop" else None,
    )


def _order_of(fill: Fill) -> str:
    return fill.id.rpartition("-")[0]
