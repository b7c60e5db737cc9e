"""How the road uses an Exchange, at the desk of one process, and what holds for every look."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from core.domain.bars import moment
from core.domain.orders import (
    ZERO,
    Answer,
    Before,
    Execution,
    Intent,
    Leg,
    Listed,
    Order,
    Side,
    Sight,
    Traits,
    intent_id,
)
from tests.contracts.exchange_benches import RULES, Bench

LOW, HIGH = Decimal(39_000), Decimal(41_000)  # where stops are; the market begins at 40,000
AMOUNT = Decimal("0.1")


class Desk:
    """One process that uses an exchange as the road does: it looks, writes down, sends, and looks again."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.exchange = bench, bench.open()
        self.traits, self.before = self.exchange.traits, Before()

    def look(self, *orders: Order) -> Sight:
        sight = self.exchange.look("btc", self.bench.bars, orders)
        sound(sight, self)
        self.before = Before(ids=sight.ids, reserved=sight.reserved)
        return sight

    def order(
        self, leg: Leg = "entry", side: Side = "buy", amount: Decimal | str = AMOUNT, *, attempt: int = 0
    ) -> Order:
        """Written down after the last look, and not sent yet."""
        bar = moment(self.bench.bars.time[-1])
        protects_long = (side == "buy") == (leg == "entry")
        intent = Intent(
            id=intent_id("btc", bar, leg, attempt),
            book="btc",
            bar=bar,
            leg=leg,
            side=side,
            amount=Decimal(amount),
            stop=None if leg == "exit" else LOW if protects_long else HIGH,
            attempt=attempt,
        )
        return Order(intent=intent, status="sent", sent=self.bench.clock.now(), before=self.before)

    def submit(self, *orders: Order) -> list[Answer]:
        answers = list(self.exchange.submit("btc", orders))
        assert [answer.intent for answer in answers] == [order.intent.id for order in orders]
        assert all(answer.order_id if answer.outcome == "placed" else answer.detail for answer in answers)
        return answers

    def outcomes(self, *orders: Order) -> list[str]:
        return [answer.outcome for answer in self.submit(*orders)]

    def place(self, order: Order) -> Order:
        """Placed after a look, or the test ends here."""
        (answer,) = self.submit(order)
        assert answer.outcome == "placed", answer.detail
        return replace(order, status="acknowledged", order_id=answer.order_id)

    def trade(self, leg: Leg, side: Side, amount: Decimal | str = AMOUNT) -> Order:
        """Placed and executed."""
        self.look()
        order = self.place(self.order(leg, side, amount))
        self.execute()
        return order

    def execute(self) -> None:
        """What waits for the next bar's open gets it."""
        if not self.traits.instant:
            self.quiet()

    def quiet(self) -> None:
        self.bench.move(float(self.bench.bars.close[-1]))

    def held(self) -> Decimal:
        """Of the position, what is ours and can be traded: what is left of a fee in coins is dust."""
        position = self.look().position - self.bench.outside
        return RULES.floor(abs(position)) * (1 if position > 0 else -1)

    def guarded(self, side: Side = "buy") -> tuple[Order, Order]:
        """A position and the stop of its own that rests for it: both orders."""
        entry = self.trade("entry", side)
        return entry, self.place(self.order("stop", "sell" if side == "buy" else "buy", abs(self.held())))

    def lasting(self) -> Order:
        """Written down: an order that the venue will not have executed at once."""
        if not self.traits.instant:
            self.look()
            return self.order()
        self.trade("entry", "buy")
        return self.order("stop", "sell", self.held())


def sound(sight: Sight, desk: Desk) -> None:
    """What holds for every look: exact numbers, names that tell things apart, and executions that make the position."""
    names, ids = [order.order_id for order in sight.orders], [done.id for done in sight.executions]
    assert all([*names, *ids, *(done.order_id for done in sight.executions)])
    assert (len(set(names)), len(set(ids))) == (len(names), len(ids))
    numbers: list[Any] = [
        sight.position,
        sight.reserved,
        sight.free,
        sight.margin,
        sight.liquidation,
        *(n for o in sight.orders for n in (o.amount, o.executed, o.stop)),
    ]
    numbers += [n for done in sight.executions for n in (done.amount, done.price, done.fee, done.interest)]
    assert all(isinstance(number, Decimal) and number.is_finite() for number in numbers if number is not None)
    assert all(done.amount > 0 and done.price > 0 and done.interest >= 0 for done in sight.executions)
    times = [done.at for done in sight.executions]
    assert times == sorted(times)
    assert all(at.utcoffset() == timedelta() for at in times)
    assert sight.position - desk.bench.outside == signed(sight)
    assert sight.free is not None and 0 <= sight.free <= desk.bench.money
    assert all(number is None or number > 0 for number in (sight.margin, sight.liquidation))
    assert sight.reserved is not None or desk.traits.identity != "none"
    if sight.rules is not None:
        told = sight.rules.lot, sight.rules.tick, sight.rules.minimum_amount
        assert told == (RULES.lot, RULES.tick, RULES.minimum_amount)


def alike(sight: Sight, other: Sight) -> bool:
    """The same, but for the interest that some seconds cost."""
    pairs = ((sight.free, other.free, Decimal("0.01")), (sight.margin, other.margin, Decimal("0.001")))
    near = all(a is b if a is None or b is None else abs(a - b) < most for a, b, most in pairs)
    return near and replace(sight, free=other.free, margin=other.margin) == other


def signed(sight: Sight) -> Decimal:
    return sum((done.amount if done.side == "buy" else -done.amount for done in sight.executions), ZERO)


def of(order: Order, sight: Sight) -> tuple[Execution, ...]:
    return tuple(done for done in sight.executions if done.order_id == order.order_id)


def listed(order: Order, sight: Sight) -> Listed:
    (found,) = [each for each in sight.orders if each.order_id == order.order_id]
    return found


def opened(sight: Sight) -> list[Listed]:
    return [each for each in sight.orders if each.status == "open"]


def found(order: Order, sight: Sight, traits: Traits) -> str:
    """The venue's name of an order that was not answered, as the traits say that it is found; "" for none."""
    if traits.identity in ("id", "tag"):
        return next((each.order_id for each in sight.orders if each.tag == order.intent.id), "")
    (name, *others) = [name for name in sight.ids if name not in order.before.ids] or [""]
    assert not others
    return name
