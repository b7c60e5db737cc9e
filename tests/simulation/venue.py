"""Simulated venues of every class, over one small market and account. This is what the venue knows: the truth.

Orders arrive, execute at the price of the moment in one slice or several, rest as stops until the price reaches them,
and are refused by the venue's rules. What it *shows* of that lags behind; how it is spoken to is tests.simulation.port.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from random import Random
from typing import Literal

from core.domain.orders import ZERO, Answer, Execution, Intent, Listed, Rules, Side, Sight, Traits
from core.ports import Calls
from tests.simulation import market
from tests.simulation.turns import SECOND, Time, moment

DAY_MS = Decimal(86_400_000)
CENT = Decimal("1e-8")
SHOWN = 60  # the newest executions, and orders, that a look is told of
Life = Literal["open", "filled", "cancelled", "expired", "refused"]


@dataclass(frozen=True)
class Quirks:
    """What one venue is like. Lags in milliseconds, at most (if it `jitters`) or always; shares from 0 to 1.

    `duplicates`: which ids it refuses to take again. `locks`: a resting stop holds the position back from other orders.
    `sweeps`: it takes back the stops of a position that is gone. `crossed`: what becomes of a stop that the price has
    passed already. `closed`: times during which it is suspended, or takes no new risk.
    """

    name: str
    traits: Traits
    duplicates: Literal["open", "ever", "none"] = "none"
    locks: bool = False
    sweeps: bool = False
    crossed: Literal["refuse", "trigger"] = "refuse"
    lag_orders: int = 0
    lag_executions: int = 0
    lag_position: int = 0
    jitters: bool = False
    sliced: float = 0.0
    torn: float = 0.0
    refusing: float = 0.0
    tells_executed: bool = True
    closed: tuple[tuple[int, int, Literal["suspended", "restricted"]], ...] = ()

    @property
    def honest(self) -> bool:
        """Whether what it shows is whole by the second of two looks that are apart."""
        return max(self.lag_orders, self.lag_executions, self.lag_position) <= 2 * SECOND

    @property
    def forgetful(self) -> bool:
        """Whether it takes an id again that it does not show yet: no way of asking first helps against that."""
        return self.duplicates == "open" and not self.honest


@dataclass(eq=False)
class Record:
    """An order that the venue took. `life`: (time, status, executed so far), oldest first."""

    number: str
    intent: Intent
    at: int
    life: list[tuple[int, Life, Decimal]]
    triggered: bool = False

    @property
    def status(self) -> Life:
        return self.life[-1][1]

    @property
    def executed(self) -> Decimal:
        return self.life[-1][2]

    @property
    def rests(self) -> bool:
        return self.intent.leg == "stop" and self.status == "open" and not self.triggered


@dataclass(eq=False)
class Venue:
    """One account in one market."""

    time: Time
    quirks: Quirks
    rules: Rules
    capital: Decimal
    draw: Random
    watched: bool = False  # somebody waits for the next move of the price
    records: list[Record] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    refused: list[tuple[Intent, str]] = field(default_factory=list)
    position: Decimal = ZERO
    average: Decimal = ZERO
    cash: Decimal = ZERO
    opened: int = 0
    quiet: bool = False  # nothing unusual any more
    positions: list[tuple[int, Decimal]] = field(default_factory=list)
    tell: Callable[[str], None] = lambda line: None
    accepting: Callable[[Intent], None] = lambda intent: None  # told of an order just before it is taken
    strangers: set[str] = field(default_factory=set)  # numbers of orders that were placed by hand
    calls: Calls = field(default_factory=Calls)  # what was asked of it

    def __post_init__(self) -> None:
        self.cash = self.capital
        self.positions.append((0, ZERO))

    def vanish(self) -> None:
        """Somebody takes back every resting stop at the venue's own page."""
        for record in self.records[-20:]:
            if record.rests:
                self._live(record, "cancelled")

    # -- what arrives

    def place(self, intent: Intent) -> Answer:
        """The order arrives now."""
        known = self._known(intent)
        if known is not None:
            return Answer(intent=intent.id, outcome="placed", order_id=known.number, detail="duplicate id")
        why = self._refusal(intent)
        if why:
            self.refused.append((intent, why))
            return Answer(intent=intent.id, outcome="refused", detail=why)
        self.accepting(intent)
        record = Record(str(1001 + 7 * len(self.records)), intent, self.time.now, [(self.time.now, "open", ZERO)])
        self.records.append(record)
        if intent.leg == "stop" and not self._passed(record):
            self._watch()
        else:
            record.triggered = True
            self._execute(record)
        return Answer(intent=intent.id, outcome="placed", order_id=record.number)

    def by_hand(self, side: Side, amount: Decimal) -> None:
        """Somebody trades at the venue's own page."""
        name = f"by hand {len(self.records)}"
        intent = Intent(id=name, book="", bar=moment(self.time.now), leg="entry", side=side, amount=amount)
        record = Record(str(1001 + 7 * len(self.records)), intent, self.time.now, [(self.time.now, "open", ZERO)])
        self.records.append(record)
        self.strangers.add(record.number)
        self._fill(record, amount)
        self._live(record, "filled", amount)

    def cancel(self, number: str) -> None:
        for record in self.records:
            if record.number == number and record.status == "open":
                self._live(record, "cancelled")

    def _known(self, intent: Intent) -> Record | None:
        if self.quirks.duplicates == "none":
            return None
        for record in self.records:
            if record.intent.id == intent.id and (self.quirks.duplicates == "ever" or record.status == "open"):
                return record
        return None

    def _refusal(self, intent: Intent) -> str:
        now, amount = market.price(self.time.now), intent.amount
        if self.rules.floor(amount) != amount or not amount:
            return "the amount is not one that may be traded"
        closed = self.barred()
        if closed and (closed == "suspended" or intent.leg == "entry"):
            return closed
        if not self.quiet and self.draw.random() < self.quirks.refusing:
            return "insufficient"
        if intent.leg == "entry":
            worth = self.cash + self.position * (now - self.average)
            return "" if amount * now <= worth * self.rules.leverage else "insufficient"
        if self.free(intent) < (amount if self.quirks.locks else self.rules.minimum_amount):
            return "there is not that much to close"
        passed = intent.stop is not None and (now <= intent.stop if intent.side == "sell" else now >= intent.stop)
        return "the stop would trigger at once" if passed and self.quirks.crossed == "refuse" else ""

    def free(self, intent: Intent) -> Decimal:
        """How much of the position an order on this side may still close."""
        held = max(self.position if intent.side == "sell" else -self.position, ZERO)
        locked = sum((r.intent.amount for r in self.records[-20:] if r.rests), ZERO) if self.quirks.locks else ZERO
        return held - locked

    def barred(self) -> str:
        if self.quiet:
            return ""
        return next((why for start, end, why in self.quirks.closed if start <= self.time.now < end), "")

    # -- what happens then

    def _passed(self, record: Record) -> bool:
        now, trigger = market.price(self.time.now), record.intent.stop
        return trigger is not None and (now <= trigger if record.intent.side == "sell" else now >= trigger)

    def _watch(self) -> None:
        """While a stop rests, the market is followed."""
        if not self.watched:
            self.watched = True
            self.time.at(market.next_move(self.time.now), self._moved)

    def _moved(self) -> None:
        self.watched = False
        for record in [record for record in self.records[-20:] if record.rests]:
            if self._passed(record):
                record.triggered = True
                self.tell(f"the price reaches the stop {record.number}")
                self._execute(record)
        if any(record.rests for record in self.records[-20:]):
            self._watch()

    def _execute(self, record: Record) -> None:
        """Executes the next slice of an order that is at the market; what cannot be executed is taken back."""
        if record.status != "open":
            return
        left = record.intent.amount - record.executed
        amount = left if record.intent.leg == "entry" else min(left, self._closable(record))
        if amount < self.rules.lot:  # what is left over is closed with the rest, if the rest may be traded
            self._live(record, "expired" if record.intent.leg == "stop" else "cancelled")
            return
        usual = self.quiet or amount <= self.rules.lot
        sliced, torn = self.draw.random(), self.draw.random()
        slice_ = amount if usual or sliced >= self.quirks.sliced else self._part(amount)
        self._fill(record, slice_)
        done = record.executed + slice_
        if done == record.intent.amount:
            self._live(record, "filled", done)
        elif slice_ == amount or torn < self.quirks.torn:
            self._live(record, "cancelled", done)  # closed as much as there was, or the market was too thin
        else:
            self._live(record, "open", done)
            wait = self.draw.randrange(SECOND // 2, 30 * SECOND)
            self.time.at(self.time.now + wait, lambda: self._execute(record))

    def _closable(self, record: Record) -> Decimal:
        return max(self.position if record.intent.side == "sell" else -self.position, ZERO)

    def _part(self, amount: Decimal) -> Decimal:
        lots = int(amount / self.rules.lot)
        if lots > 2 and self.draw.random() < 0.3:  # nearly all: what is left may be dust
            return amount - self.rules.lot * self.draw.randrange(1, 3)
        return self.rules.lot * self.draw.randrange(1, lots + 1)

    def _live(self, record: Record, status: Life, executed: Decimal | None = None) -> None:
        record.life.append((self.time.now, status, record.executed if executed is None else executed))

    def _fill(self, record: Record, amount: Decimal) -> None:
        intent, now = record.intent, market.price(self.time.now)
        slip = Decimal(self.draw.randrange(0, 500))
        price = now + slip if intent.side == "buy" else now - slip
        signed = amount if intent.side == "buy" else -amount
        interest = ZERO
        if self.position * signed < 0:
            held = Decimal(self.time.now - self.opened)
            interest = (amount * self.average * self.rules.interest_per_day * held / DAY_MS).quantize(
                CENT, ROUND_CEILING
            )
        fee = amount * price * self.rules.taker
        name = f"e{len(self.executions) + 1}"
        self.executions.append(
            Execution(
                id=name,
                order_id=record.number,
                at=moment(self.time.now),
                side=intent.side,
                amount=amount,
                price=price,
                fee=fee,
                interest=interest,
            )
        )
        self._account(signed, price, fee + interest)
        self.tell(f"{record.number}: {intent.side} {amount} of {intent.leg} at {price} [{name}]")

    def _account(self, signed: Decimal, price: Decimal, charged: Decimal) -> None:
        """The venue's own books, kept in another way than ours: profit is what was paid less what was got."""
        before, after = self.position, self.position + signed
        self.cash -= charged
        if before * signed >= 0:
            self.average = (abs(before) * self.average + abs(signed) * price) / abs(after)
            self.opened = self.opened if before else self.time.now
        else:
            closed = min(abs(before), abs(signed))
            self.cash += closed * (price - self.average if before > 0 else self.average - price)
            if before * after < 0:
                self.average, self.opened = price, self.time.now
        self.position = after
        self.positions.append((self.time.now, after))
        if not after and self.quirks.sweeps:
            for record in self.records[-20:]:
                if record.rests:
                    self._live(record, "cancelled")

    # -- what it shows

    def show(self, asked: frozenset[str], executed: bool = False) -> Sight:
        """`asked`: order ids and tags that are asked about; `executed`: and every id of which executions are shown."""
        q, now = self.quirks, self.time.now
        as_of = now - self._lag(q.lag_orders)
        told = moment(now - self._lag(q.lag_executions))
        executions = tuple(done for done in self.executions[-SHOWN:] if done.at <= told)
        asked = asked.union(done.order_id for done in executions) if executed else asked
        orders = tuple(listed for record in self.records[-SHOWN:] if (listed := self._listed(record, asked, as_of)))
        until = now - self._lag(q.lag_position)
        seen = next(position for at, position in reversed(self.positions) if at <= until)
        reserved = sum(
            (
                (record.intent.amount - record.executed) * self.average
                for record in self.records[-20:]
                if record.intent.leg == "entry" and record.status == "open"
            ),
            ZERO,
        )
        return Sight(
            position=seen,
            orders=orders,
            executions=executions,
            reserved=reserved if q.traits.identity == "none" else None,
            barred=self.barred(),
        )

    def _lag(self, lag: int) -> int:
        return int(lag * self.draw.random()) if self.quirks.jitters else lag

    def _listed(self, record: Record, asked: frozenset[str], until: int) -> Listed | None:
        identity, intent = self.quirks.traits.identity, record.intent
        tag = intent.id if identity in ("id", "tag") and record.number not in self.strangers else ""
        named = identity == "listing" or record.number in asked or tag in asked
        if not named and record.status != "open" and record.life[-1][0] <= until:
            return None
        seen = next(((status, done) for at, status, done in reversed(record.life) if at <= until), None)
        if seen is None:
            return None
        if seen[0] != "open" and not named:
            return None
        return Listed(
            order_id=record.number,
            tag=tag,
            side=intent.side,
            amount=intent.amount,
            status=seen[0],
            executed=seen[1] if self.quirks.tells_executed else None,
            stop=intent.stop if intent.leg == "stop" else None,
            kind="stop" if intent.leg == "stop" else "market",
        )
