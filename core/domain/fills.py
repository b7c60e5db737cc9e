"""Fills: what becomes of intents when the market moves on. The one fill model of backtest and paper exchange.

An intent decided at the close of a bar is filled at the next bar's open, whole, at the open moved by the slippage
against us and rounded to the tick against us, at the taker fee. A protective stop is taken pessimistically: it fires
when the bar's range touches it, even in the bar of entry, and fills at the stop or, when the bar opened beyond it, at
the open, with the stop's slippage on top. Margin interest is charged when a position closes, by time held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from msgspec import Struct
from msgspec.structs import replace

from core.domain.bars import Bars, epoch, moment
from core.domain.orders import (
    ZERO,
    Execution,
    Fill,
    Holding,
    Intent,
    Leg,
    Listed,
    Order,
    Rules,
    Side,
    Sight,
    Traits,
    exact,
)

# Of the fill model: it knows each order by our id, at once and for good, and holds each entry's stop itself.
PAPER = Traits(identity="id", lasting_ids=True, window_s=0.0, looks=1, instant=False, stops="attached")
DAY = Decimal(86400)
BPS = Decimal(10_000)
CENT = Decimal("1e-8")  # interest is charged in whole ones of these, so that sums of money stay exact


class Costs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Slippage of the fill model, in basis points of the price: of market orders, and of stops."""

    slippage_bps: Decimal = Decimal(2)
    stop_slippage_bps: Decimal = Decimal(5)


class Account(Struct, frozen=True, kw_only=True):
    """What a venue knows of one book: its holding, the orders not yet filled, and its newest fills, oldest first.

    `bar`: the last bar of the market that it went through (paper); None before the first.
    `known`: ids of every intent that it has taken and still remembers. `asked`: how often it was asked about one that
    it had not got: whoever sends that one on an older sight of the account is too late.
    """

    holding: Holding
    bar: datetime | None = None
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


def advance(account: Account, bars: Bars, rules: Rules, costs: Costs) -> Account:
    """The account after those of `bars` that are newer than `account.bar`."""
    start = 0 if account.bar is None else int((bars.time <= epoch(account.bar)).sum())
    for i in range(start, len(bars)):
        account = through(account, moment(bars.time[i]), bars.open[i], bars.high[i], bars.low[i], rules, costs)
    return account


def through(
    account: Account, bar: datetime, opened: float, high: float, low: float, rules: Rules, costs: Costs
) -> Account:
    """The account after one bar: pending intents at the open (exit before entry), then the protective stop.

    An intent waits for a bar after the one that it was decided on. At prices that no market prints, nothing happens.
    """
    if not (math.isfinite(high) and 0.0 < low <= opened <= high):
        return replace(account, bar=bar)
    holding, fills = account.holding, []
    due = [intent for intent in account.pending if intent.bar < bar]
    for intent in sorted(due, key=lambda pending: pending.leg == "entry"):
        fill = _at_open(holding, intent, bar, exact(opened), rules, costs)
        if fill:
            fills.append(fill)
            holding = apply(holding, fill)[0]
    stop = _stopped(holding, bar, opened, high, low, rules, costs)
    if stop:
        fills.append(stop)
        holding = apply(holding, stop)[0]
    if not fills and not due:
        return replace(account, bar=bar)
    waiting = tuple(intent for intent in account.pending if intent.bar >= bar)
    return replace(account, bar=bar, holding=holding, pending=waiting, fills=(*account.fills, *fills)[-16:])


def _at_open(
    holding: Holding, intent: Intent, bar: datetime, opened: Decimal, rules: Rules, costs: Costs
) -> Fill | None:
    amount = intent.amount
    if intent.leg == "exit":  # reduce only: a stop may have closed it first
        held = holding.position if intent.side == "sell" else -holding.position
        amount = min(amount, max(held, ZERO))
    if not amount:
        return None
    return _fill(
        holding, intent.id, bar, intent.side, amount, opened, costs.slippage_bps, rules, intent.leg, intent.stop
    )


def _stopped(
    holding: Holding, bar: datetime, opened: float, high: float, low: float, rules: Rules, costs: Costs
) -> Fill | None:
    if holding.stop is None or not holding.position:
        return None
    long = holding.position > 0
    if exact(low) > holding.stop if long else exact(high) < holding.stop:
        return None
    price = min(holding.stop, exact(opened)) if long else max(holding.stop, exact(opened))
    side: Side = "sell" if long else "buy"
    entered = int((holding.opened or bar).timestamp())
    return _fill(
        holding,
        f"stop{entered}",
        bar,
        side,
        abs(holding.position),
        price,
        costs.stop_slippage_bps,
        rules,
        "stop",
        None,
    )


def _fill(
    holding: Holding,
    name: str,
    bar: datetime,
    side: Side,
    amount: Decimal,
    price: Decimal,
    bps: Decimal,
    rules: Rules,
    cause: Leg,
    stop: Decimal | None,
) -> Fill:
    slipped = price * (BPS + bps if side == "buy" else BPS - bps) / BPS
    price = max(rules.worse(slipped, side), rules.tick)
    interest = ZERO
    if cause != "entry" and holding.opened is not None:
        held = Decimal(int((bar - holding.opened).total_seconds()))
        interest = (amount * holding.average_price * rules.interest_per_day * held / DAY).quantize(CENT, ROUND_CEILING)
    return Fill(
        id=f"{name}-{int(bar.timestamp())}",
        bar=bar,
        side=side,
        amount=amount,
        price=price,
        fee=amount * price * rules.taker,
        interest=interest,
        cause=cause,
        stop=stop,
    )


def apply(holding: Holding, fill: Fill) -> tuple[Holding, Decimal]:
    """The holding after `fill`, and the profit that it realised before fees and interest (0 for an entry)."""
    charged = fill.fee + fill.interest
    before, after = holding.position, holding.position + fill.signed
    if before * fill.signed >= 0:
        price = (abs(before) * holding.average_price + fill.amount * fill.price) / abs(after)
        return replace(
            holding,
            cash=holding.cash - charged,
            position=after,
            average_price=price,
            stop=fill.stop if fill.stop is not None else holding.stop,
            opened=holding.opened or fill.bar,
            fees=holding.fees + charged,
        ), ZERO
    closed = min(abs(before), fill.amount)
    profit = closed * (fill.price - holding.average_price) * (1 if before > 0 else -1)
    cash = holding.cash + profit - charged
    if not after:
        return Holding(cash=cash), profit
    if before * after > 0:
        return replace(
            holding,
            cash=cash,
            position=after,
            fees=holding.fees + charged,
            realised=holding.realised + profit,
            closed=holding.closed + closed,
            proceeds=holding.proceeds + closed * fill.price,
        ), profit
    return Holding(cash=cash, position=after, average_price=fill.price, stop=fill.stop, opened=fill.bar), profit
