"""Time that is too short: what is left of a bar is left to the next call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from core.domain.bars import Bars, moment
from core.domain.orders import Answer, Execution, Listed, Order, Sight, Traits
from core.flows.claim import tick_key
from core.flows.tick import tick
from core.ports import Calls, Unavailable, Vetting
from tests.road import Road, road, small_book


class Swift:
    """A venue that executes at once, and where stops rest. `slow`: how long its first answer takes, in seconds."""

    traits = Traits(identity="id", window_s=5.0)

    def __init__(self, made: Road, slow: float) -> None:
        self.made, self.slow = made, slow
        self.taken: list[Order] = []

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        done = [
            Execution(
                id=f"e{number}", order_id=order.intent.id, at=self.made.clock.now(), side=order.intent.side,
                amount=order.intent.amount, price=Decimal(100), fee=Decimal(0),
            )
            for number, order in enumerate(self.taken) if order.intent.leg != "stop"
        ]  # fmt: skip
        resting = [
            Listed(
                order_id=order.intent.id, side=order.intent.side, amount=order.intent.amount, status="open",
                tag=order.intent.id, stop=order.intent.stop, kind="stop",
            )
            for order in self.taken if order.intent.leg == "stop"
        ]  # fmt: skip
        position = sum((each.amount if each.side == "buy" else -each.amount for each in done), Decimal(0))
        return Sight(position=position, executions=tuple(done), orders=tuple(resting))

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        self.made.clock.advance(timedelta(seconds=self.slow))
        self.slow = 0.0
        self.taken += orders
        return [Answer(intent=each.intent.id, outcome="placed", order_id=each.intent.id) for each in orders]

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        raise AssertionError("nothing need be taken back")

    def calls(self) -> Calls:
        return Calls()

    def vet(self) -> Vetting:
        return Vetting()


def phase(made: Road) -> object:
    key = tick_key("btc", moment(made.bars.time[made.first]))
    return (made.world.state.read([key])[key].data or {}).get("phase")


def test_what_time_was_too_short_for_is_left_to_the_next_call() -> None:
    made = road(small_book(threshold=0.0, threshold_max=0.0))
    venue = Swift(made, made.world.lease_s * 0.95)
    world = replace(made.world, exchange=venue)
    with pytest.raises(Unavailable, match="time was up with a stop left to be done"):
        tick(world, made.book, made.at(made.first))
    assert [order.intent.leg for order in venue.taken] == ["entry"]
    assert phase(made) == "decided"
    assert tick(world, made.book, made.at(made.first))["outcome"] == "traded", (
        "the book was given back: nobody waits for the lease"
    )
    assert [order.intent.leg for order in venue.taken] == ["entry", "stop"]
    assert phase(made) == "done"
