"""Passage: an account goes through a bar."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Final

from msgspec.structs import replace

from core.domain.bars import Bars, epoch, moment
from core.domain.fills.account import Account
from core.domain.fills.booking import apply, liquidation
from core.domain.fills.costs import BPS, CENT, Costs, owing, room
from core.domain.orders import ZERO, Fill, Holding, Intent, Leg, Rules, Side, exact

DAY: Final = Decimal(86400)
KEPT: Final = 64  # fills: a stop may be filled in many bars, and ticks be missed meanwhile


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
        price = exact(opened) if printed else None
        owed += owing(account.holding, account.bar, bar, price, costs, funding)
    due = [intent for intent in account.pending if intent.bar < bar] if printed else []
    if not printed or not (due or account.holding.position):
        return replace(account, bar=bar, funding=owed)
    prices = exact(opened), exact(high), exact(low)
    passage = _Passage(account.holding, owed, room(volume, costs), bar, *prices, rules, costs)
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
