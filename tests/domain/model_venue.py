"""A venue of a few lines, for the tests of settling and acting: truthful, instant, and slow to show what it did.

What it knows of an order is exact; what it shows lags by so many seconds. By chance a request is lost, an answer is
lost, an order is refused, or executed in part and the rest taken back. Also the small values both tests are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Literal

from msgspec.structs import replace

from core.domain.act import Scene, Step, answered, plan, sent
from core.domain.orders import (
    ZERO,
    Answer,
    Execution,
    Holding,
    Intent,
    Leg,
    Listed,
    Order,
    Side,
    Sight,
    Status,
    Traits,
    intent_id,
)
from core.domain.risk import Policy
from core.domain.settle import News, settle
from core.domain.state import Book, BookState, opening
from core.domain.switch import Mode
from tests.domain.drawn import BAR, HOUR, RULES

BOOK = Book(id="btc", symbol="BTC/USDT", policy=Policy(capital=Decimal(10000)), rules=RULES)
NOW = BAR + HOUR + timedelta(seconds=5)
LOT = Decimal("0.1")
STOP = Decimal(39000)
PRICE = Decimal(40000)
A = Traits(identity="id", lasting_ids=True, window_s=10, looks=2)
OPEN = replace(A, lasting_ids=False)  # refuses an id only while the order with it is open
B = replace(A, identity="tag", lasting_ids=False)
C = replace(B, identity="listing")
D = replace(B, identity="none")
CLASSES = {"A": A, "A, open only": OPEN, "B": B, "C": C, "D": D}


def intent(
    leg: Leg = "entry", side: Side = "buy", amount: Decimal | str = LOT, attempt: int = 0, **more: Any
) -> Intent:
    stop = None if leg == "exit" else STOP if side == ("buy" if leg == "entry" else "sell") else Decimal(41000)
    bar = more.pop("bar", BAR)
    plain = {"id": intent_id("btc", bar, leg, attempt), "book": "btc", "bar": bar, "leg": leg, "side": side}
    return Intent(**plain | {"amount": Decimal(amount), "stop": stop, "attempt": attempt} | more)


def order(
    leg: Leg = "entry", side: Side = "buy", amount: Decimal | str = LOT, status: Status = "sent", **more: Any
) -> Order:
    """One that was sent at NOW, if it was sent; `order_id` is "" unless told."""
    of = {name: more.pop(name) for name in ("attempt", "bar", "stop", "id") if name in more}
    when = {} if status == "planned" else {"sent": NOW}
    return Order(intent=intent(leg, side, amount, **of), status=status, **when | more)


def listed(
    order_id: str, side: Side = "buy", amount: Decimal | str = LOT, status: str = "filled", **more: Any
) -> Listed:
    return Listed(order_id=order_id, side=side, amount=Decimal(amount), status=status, **more)


def done(
    id: str, order_id: str, side: Side = "buy", amount: Decimal | str = LOT, price: Decimal | str = PRICE, **more: Any
) -> Execution:
    return Execution(
        id=id,
        order_id=order_id,
        at=more.pop("at", NOW),
        side=side,
        amount=Decimal(amount),
        price=Decimal(price),
        fee=more.pop("fee", Decimal(4)),
        **more,
    )


def sight(position: Decimal | str = ZERO, *seen: Listed | Execution, **more: Any) -> Sight:
    orders = tuple(each for each in seen if isinstance(each, Listed))
    executions = tuple(each for each in seen if isinstance(each, Execution))
    return Sight(position=Decimal(position), orders=orders, executions=executions, **more)


def holding(*orders: Order, position: Decimal | str = ZERO, stop: Decimal | None = STOP, **more: Any) -> BookState:
    """A book that holds `position`, in at PRICE, with these orders."""
    state = replace(opening(BOOK), bar=BAR, outside=ZERO, orders=orders)
    if Decimal(position):
        held = Holding(
            cash=Decimal(10000), position=Decimal(position), average_price=PRICE, stop=stop, opened=BAR - 5 * HOUR
        )
        state = replace(state, holding=held)
    return replace(state, **more)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# -- the venue

Life = Literal["open", "filled", "cancelled", "expired", "refused"]


@dataclass(eq=False)
class Placed:
    """An order that the venue has; `life`: (time, status, executed so far)."""

    order_id: str
    intent: Intent
    life: list[tuple[datetime, Life, Decimal]]

    def at(self, time: datetime) -> tuple[Life, Decimal] | None:
        return next(((status, did) for when, status, did in reversed(self.life) if when <= time), None)


@dataclass(eq=False)
class ModelVenue:
    """`lag`, `lag_position`: seconds after which orders and executions, and the position, are shown. `lost`, `mute`,
    `refusing`, `thin`: shares of requests that are lost, answers that are lost, refusals, and partial executions."""

    traits: Traits
    draw: Random
    now: datetime = NOW
    lag: float = 0.0
    lag_position: float = 0.0
    lost: float = 0.0
    mute: float = 0.0
    refusing: float = 0.0
    thin: float = 0.0
    orders: list[Placed] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    positions: list[tuple[datetime, Decimal]] = field(default_factory=lambda: [(BAR - HOUR, ZERO)])
    submitted: list[Intent] = field(default_factory=list)

    @property
    def position(self) -> Decimal:
        return self.positions[-1][1]

    @property
    def stops(self) -> list[Placed]:
        """Those that rest."""
        return [each for each in self.orders if each.intent.leg == "stop" and each.life[-1][1] == "open"]

    def submit(self, intent: Intent) -> Answer:
        self.submitted.append(intent)
        luck = self.draw.random()
        if luck < self.lost:
            return Answer(intent=intent.id, outcome="unknown", detail="time-out")
        known = [each for each in self.orders if each.intent.id == intent.id and self._refuses(each)]
        if not known and luck < self.lost + self.refusing:
            return Answer(intent=intent.id, outcome="refused", detail="no")
        placed = known[0] if known else self._take(intent)
        if luck > 1 - self.mute:
            return Answer(intent=intent.id, outcome="unknown", detail="time-out")
        return Answer(intent=intent.id, outcome="placed", order_id=placed.order_id)

    def cancel(self, order_id: str) -> None:
        for each in self.orders:
            if each.order_id == order_id and each.life[-1][1] == "open":
                each.life.append((self.now, "cancelled", each.life[-1][2]))

    def trigger(self) -> None:
        """The price reaches every resting stop."""
        for each in self.stops:
            self._execute(each)

    def look(self) -> Sight:
        then = self.now - timedelta(seconds=self.lag)
        when = self.now - timedelta(seconds=self.lag_position)
        return Sight(
            position=next(position for at, position in reversed(self.positions) if at <= when),
            orders=tuple(seen for each in self.orders if (seen := self._listed(each, then))),
            executions=tuple(each for each in self.executions if each.at <= then),
            reserved=ZERO if self.traits.identity == "none" else None,
        )

    def _refuses(self, placed: Placed) -> bool:
        """Whether its id is not taken again."""
        return self.traits.lasting_ids or (self.traits.identity == "id" and placed.life[-1][1] == "open")

    def _take(self, intent: Intent) -> Placed:
        placed = Placed(f"o{len(self.orders) + 1}", intent, [(self.now, "open", ZERO)])
        self.orders.append(placed)
        if intent.leg != "stop":
            self._execute(placed)
        return placed

    def _execute(self, placed: Placed) -> None:
        intent = placed.intent
        amount = intent.amount
        if intent.leg != "entry":  # reduce only
            amount = min(amount, max(self.position if intent.side == "sell" else -self.position, ZERO))
        torn = self.draw.random() < self.thin
        if torn:
            amount = RULES.floor(amount * Decimal(self.draw.randrange(100)) / 100)
        parts = [amount] if not amount or self.draw.random() < 0.5 else [RULES.lot, amount - RULES.lot]
        for part in parts:
            if part:
                self._fill(placed, part)
        self._live(placed, "filled" if amount == intent.amount else "cancelled", amount)

    def _fill(self, placed: Placed, amount: Decimal) -> None:
        name = f"e{len(self.executions) + 1}"
        self.executions.append(done(name, placed.order_id, placed.intent.side, amount, at=self.now))
        signed = amount if placed.intent.side == "buy" else -amount
        self.positions.append((self.now, self.position + signed))

    def _live(self, placed: Placed, status: Life, executed: Decimal) -> None:
        placed.life.append((self.now, status, executed))

    def _listed(self, placed: Placed, then: datetime) -> Listed | None:
        seen, identity, intent = placed.at(then), self.traits.identity, placed.intent
        if seen is None:
            return None
        return Listed(
            order_id=placed.order_id,
            tag=intent.id if identity in ("id", "tag") else "",
            side=intent.side,
            amount=intent.amount,
            status=seen[0],
            executed=seen[1],
            stop=intent.stop if intent.leg == "stop" else None,
            kind="stop" if intent.leg == "stop" else "market",
        )


@dataclass(eq=False)
class Drive:
    """One tick's acting against the venue, as the flow does it. `each`: called with every state and its news."""

    venue: ModelVenue
    state: BookState
    mode: Mode = "run"
    latency: float = 0.1
    each: Callable[[BookState, News], None] = lambda state, news: None
    steps: list[Step] = field(default_factory=list)

    def look(self) -> Sight:
        self.venue.now += timedelta(seconds=self.latency)
        seen = self.venue.look()
        self.state, news = settle(self.state, seen, BOOK, self.venue.traits, self.venue.now)
        self.each(self.state, news)
        return seen

    def run(self, bar: datetime = BAR, rounds: int = 40) -> bool:
        """Whether nothing was left to be done before the rounds were over."""
        seen = self.look()
        for _ in range(rounds):
            scene = Scene(book=BOOK, traits=self.venue.traits, mode=self.mode, bar=bar, now=self.venue.now)
            self.state, step = plan(self.state, scene)
            self.state = sent(self.state, step, seen, self.venue.traits, self.venue.now)
            self.steps.append(step)
            if step.act == "none":
                return True
            self._carry_out(step)
            self.venue.now += timedelta(seconds=step.wait_s)
            seen = self.look()
        return False

    def _carry_out(self, step: Step) -> None:
        self.venue.now += timedelta(seconds=self.latency)
        if step.act == "cancel":
            for order in step.orders:
                self.venue.cancel(order.order_id)
        if step.act == "send":
            answers = [self.venue.submit(order.intent) for order in step.orders]
            self.state = answered(self.state, answers)


def acts(steps: Sequence[Step]) -> list[str]:
    """What was done, without the looks: 'send exit', 'cancel stop'."""
    return [f"{step.act} {order.intent.leg}" for step in steps for order in step.orders if step.act != "look"]
