"""Fills: what becomes of intents when the market moves on. The one fill model of backtest and paper exchange.

An intent decided at the close of a bar is filled at the next bar's open, moved by the slippage against us and rounded
to the tick against us, at the taker fee. All that a book does in one bar takes at most `volume_share` of its volume:
as of an immediate-or-cancel order, the rest is gone. A protective stop is taken pessimistically: it fires when the
bar's range touches it, even in the bar of entry, and fills at the stop or, when the bar opened beyond it, at the open,
with the stop's slippage on top; what the bar does not give stays protected by it. Where the bar passes the price at
which the venue closes a position by force, it is closed whole at the worst price of the bar. Margin interest and the
funding of perpetuals are charged when a position closes, with the share of it that does. docs/backtest.md tells why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
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
CENT = Decimal("1e-8")  # interest and funding are charged in whole ones of these, so that sums of money stay exact
FUNDING_S = 8 * 3600  # a perpetual's funding is settled at 00:00, 08:00 and 16:00 UTC
KEPT = 64  # fills: a stop may be filled in many bars, and ticks be missed meanwhile


class Costs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the market takes beside the venue's fees. Slippage in basis points of the price: of market orders, and of
    stops. `volume_share`: of a bar's volume, the most that a book's orders may take together; 0: all that they want.
    `funding_bps`: of the position's worth, paid by longs to shorts (negative: the other way) every eight hours."""

    slippage_bps: Decimal = Decimal(2)
    stop_slippage_bps: Decimal = Decimal(5)
    volume_share: Decimal = ZERO
    funding_bps: Decimal = ZERO


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


def advance(account: Account, bars: Bars, rules: Rules, costs: Costs) -> Account:
    """The account after those of `bars` that are newer than `account.bar`."""
    start = 0 if account.bar is None else int((bars.time <= epoch(account.bar)).sum())
    for i in range(start, len(bars)):
        bar, opened, high, low = moment(bars.time[i]), bars.open[i], bars.high[i], bars.low[i]
        account = through(account, bar, opened, high, low, rules, costs, bars.volume[i])
    return account


def through(
    account: Account,
    bar: datetime,
    opened: float,
    high: float,
    low: float,
    rules: Rules,
    costs: Costs,
    volume: float | None = None,
    funding: float | None = None,
) -> Account:
    """The account after one bar: funding of what was held into it, pending intents at the open (exit before entry),
    then the protective stop and the venue's own.

    An intent waits for a bar after the one that it was decided on. At prices that no market prints, nothing happens
    but funding. `volume`: of the bar, base coin; None: as much as is wanted. `funding`: what a long pays at this bar's
    open, a fraction of its worth; None or NaN: as `costs` say.
    """
    printed = math.isfinite(high) and 0.0 < low <= opened <= high
    owed = account.funding
    if account.holding.position:
        owed += _funding(account, bar, exact(opened) if printed else None, costs, funding)
    due = [intent for intent in account.pending if intent.bar < bar] if printed else []
    if not printed or not (due or account.holding.position):
        return replace(account, bar=bar, funding=owed)
    prices = exact(opened), exact(high), exact(low)
    passage = _Passage(account.holding, owed, _room(volume, costs), bar, *prices, rules, costs)
    for intent in sorted(due, key=lambda pending: pending.leg == "entry"):
        passage.execute(intent)
    passage.protect()
    if not passage.fills and not due:
        return replace(account, bar=bar, funding=owed)
    return replace(
        account,
        bar=bar,
        funding=passage.owed,
        holding=passage.holding,
        pending=tuple(intent for intent in account.pending if intent.bar >= bar),
        fills=(*account.fills, *passage.fills)[-KEPT:],
    )


def _funding(account: Account, bar: datetime, price: Decimal | None, costs: Costs, rate: float | None) -> Decimal:
    """What the position that was held into `bar` owes since the bar before; rounded against us."""
    if rate is not None and math.isfinite(rate):
        share = exact(rate)
    elif costs.funding_bps:
        before = account.bar or account.holding.opened or bar
        share = costs.funding_bps / BPS * (epoch(bar) // FUNDING_S - epoch(before) // FUNDING_S)
    else:
        return ZERO
    worth = account.holding.position * (account.holding.average_price if price is None else price)
    return (worth * share).quantize(CENT, ROUND_CEILING) if share else ZERO


def _room(volume: float | None, costs: Costs) -> Decimal | None:
    """Base coin that a bar of this volume gives; None: no limit. A volume that is not known gives nothing."""
    if volume is None or not costs.volume_share:
        return None
    return costs.volume_share * exact(volume) if 0.0 < volume < math.inf else ZERO


def liquidation(holding: Holding, rules: Rules, owed: Decimal = ZERO) -> Decimal | None:
    """The price at which the venue closes the position by force: equity less `owed` is `maintenance` times its worth.
    None: there is no such price, without a position or for a long one that is paid in full."""
    position = holding.position
    if not position:
        return None
    missing = position * holding.average_price - holding.cash + owed
    price = missing / (position - abs(position) * rules.maintenance)
    return None if position > 0 and price <= 0 else price


@dataclass(slots=True)
class _Passage:
    """One bar, as an account goes through it. `owed`: funding not yet charged; `room`: base coin that the bar still
    gives, None: no limit."""

    holding: Holding
    owed: Decimal
    room: Decimal | None
    bar: datetime
    opened: Decimal
    high: Decimal
    low: Decimal
    rules: Rules
    costs: Costs
    fills: list[Fill] = field(default_factory=list)

    def execute(self, intent: Intent) -> None:
        """At the open, as far as the order fits what is held, and the bar gives it."""
        if intent.leg == "entry":
            given = self._entered(intent)
        else:  # reduce only: a stop may have closed it first
            held = self.holding.position if intent.side == "sell" else -self.holding.position
            given = self._closed(min(intent.amount, max(held, ZERO)))
        if given:
            price = self._slipped(self.opened, intent.side, self.costs.slippage_bps)
            self._fill(intent.id, intent.side, given, price, intent.leg, intent.stop)

    def _entered(self, intent: Intent) -> Decimal:
        """Nothing while the other side is still held, nor where the venue would not lend as much."""
        held, wanted = self.holding.position, intent.amount
        if (held < 0 if intent.side == "buy" else held > 0) and not self.rules.dust(held):
            return ZERO
        worth = (abs(held) + wanted) * self._slipped(self.opened, intent.side, self.costs.slippage_bps)
        if worth + worth * self.rules.taker > self.holding.equity(self.opened) * self.rules.leverage:
            return ZERO
        return wanted if self.room is None or wanted <= self.room else self.rules.floor(self.room)

    def _closed(self, wanted: Decimal) -> Decimal:
        """In whole lots what the bar gives of it, and less where dust would be left of the position."""
        if self.room is None or wanted <= self.room:
            return wanted
        given, held = self.rules.floor(self.room), abs(self.holding.position)
        return self.rules.floor(held - self.rules.minimum_amount) if self.rules.dust(held - given) else given

    def protect(self) -> None:
        """The protective stop, and the venue's forced close: what the price meets first, first."""
        stop, forced = self.holding.stop, self._forced()
        if stop is not None and (forced is None or (stop - forced) * self.holding.position > 0):
            self._stop(stop)
            forced = self._forced()
        if forced is not None and self._touched(forced):
            worst = self.low if self.holding.position > 0 else self.high
            self._protected("forced", abs(self.holding.position), worst)

    def _forced(self) -> Decimal | None:
        amount = abs(self.holding.position)
        return liquidation(self.holding, self.rules, self._interest(amount)) if amount else None

    def _stop(self, stop: Decimal) -> None:
        if not self.holding.position or not self._touched(stop):
            return
        price = min(stop, self.opened) if self.holding.position > 0 else max(stop, self.opened)
        given = self._closed(abs(self.holding.position))
        if given:
            self._protected("stop", given, price)

    def _touched(self, price: Decimal) -> bool:
        return self.low <= price if self.holding.position > 0 else self.high >= price

    def _protected(self, name: str, amount: Decimal, price: Decimal) -> None:
        side: Side = "sell" if self.holding.position > 0 else "buy"
        entered = int((self.holding.opened or self.bar).timestamp())
        slipped = self._slipped(price, side, self.costs.stop_slippage_bps)
        self._fill(f"{name}{entered}", side, amount, slipped, "stop", None)

    def _slipped(self, price: Decimal, side: Side, bps: Decimal) -> Decimal:
        moved = price * (BPS + bps if side == "buy" else BPS - bps) / BPS
        return max(self.rules.worse(moved, side), self.rules.tick)

    def _interest(self, amount: Decimal) -> Decimal:
        """What is charged for closing so much of the position: margin interest by the time held, and funding."""
        if self.holding.opened is None:
            return self._owed(amount)
        held = Decimal(int((self.bar - self.holding.opened).total_seconds()))
        interest = amount * self.holding.average_price * self.rules.interest_per_day * held / DAY
        return interest.quantize(CENT, ROUND_CEILING) + self._owed(amount)

    def _owed(self, amount: Decimal) -> Decimal:
        held = abs(self.holding.position)
        return self.owed if amount == held else (self.owed * amount / held).quantize(CENT, ROUND_CEILING)

    def _fill(self, name: str, side: Side, amount: Decimal, price: Decimal, cause: Leg, stop: Decimal | None) -> None:
        fill = Fill(
            id=f"{name}-{int(self.bar.timestamp())}",
            bar=self.bar,
            side=side,
            amount=amount,
            price=price,
            fee=amount * price * self.rules.taker,
            interest=ZERO if cause == "entry" else self._interest(amount),
            cause=cause,
            stop=stop,
        )
        if cause != "entry":
            self.owed -= self._owed(amount)
        if self.room is not None:
            self.room = max(self.room - amount, ZERO)
        self.fills.append(fill)
        self.holding = apply(self.holding, fill)[0]


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
