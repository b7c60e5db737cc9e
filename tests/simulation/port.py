"""The Exchange port to a simulated venue, for one invocation: the road there and back, on which requests get lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from core.domain.bars import Bars
from core.domain.orders import Answer, Intent, Order, Sight, Traits
from core.ports import Calls, Vetting
from tests.simulation.faults import ANY_CALL, PATIENCE, Luck
from tests.simulation.turns import SECOND, Turns, moment
from tests.simulation.venue import Venue

SENDING = ("crash before", "crash after", "never arrives", "answer lost", "late", "slow before", "slow after")


class Port:
    """An Exchange. A request is signed when it is made; one that is older than the window when it arrives is not
    carried out. Whoever asked has given up waiting by then."""

    def __init__(self, venue: Venue, luck: Luck, turns: Turns) -> None:
        self._venue, self._luck, self._turns = venue, luck, turns

    @property
    def traits(self) -> Traits:
        return self._venue.quirks.traits

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        names = {order.order_id for order in orders if order.order_id} | {order.intent.id for order in orders}
        nameless = any(not order.order_id for order in orders)  # then what was executed is asked about by its id
        with self._counted():
            seen: Sight = self._luck.call("look", lambda: self._venue.show(frozenset(names), nameless))
        self._luck.barred = seen.barred
        return seen

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        answers = []
        for order in orders:
            start = self._turns.time.now
            answers.append(self._send(order))
            self._count(start, answers[-1].outcome == "unknown")
        return answers

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        for order in orders:
            with self._counted():
                self._luck.call("cancel", partial(self._venue.cancel, order.order_id))

    def calls(self) -> Calls:
        return self._venue.calls

    @contextmanager
    def _counted(self) -> Iterator[None]:
        start, failed = self._turns.time.now, 1
        try:
            yield
            failed = 0
        finally:
            self._count(start, failed)

    def _count(self, start: int, failed: int) -> None:
        calls, took = self._venue.calls, (self._turns.time.now - start) / SECOND
        self._venue.calls = Calls(calls.made + 1, calls.failed + failed, (*calls.took, took)[-64:])

    def vet(self) -> Vetting:
        return Vetting(withdraw=False, skew_s=0.0)

    def _send(self, order: Order) -> Answer:
        luck, intent, label = self._luck, order.intent, f"submit {order.intent.leg}"
        kind = luck.strikes(label, SENDING, luck.lost)
        if kind == "crash before":
            luck.die()
        if kind == "slow before":
            luck.slow()
        if kind == "late":
            self._late(order)
        if kind in ("late", "never arrives"):
            self._turns.wait(PATIENCE)
            return _unknown(intent)
        luck.pause()
        answer = self._arrive(order)
        luck.tell(f"    {label} {intent.side} {intent.amount}: {answer.outcome} {answer.order_id} {answer.detail}")
        luck.pause()
        if kind == "crash after":
            luck.die()
        if kind == "answer lost":
            self._turns.wait(PATIENCE)
            return _unknown(intent)
        if kind == "slow after":
            luck.slow()
        return answer

    def _arrive(self, order: Order) -> Answer:
        """The request reaches the venue now. It was signed with the time at which the order was written down."""
        window = timedelta(seconds=self.traits.window_s)
        if order.sent is None or moment(self._turns.time.now) > order.sent + window:
            return _unknown(order.intent)
        return self._venue.place(order.intent)

    def _late(self, order: Order) -> None:
        """It arrives when nobody waits for it any more, if its window has not passed by then."""
        venue, time = self._venue, self._turns.time
        window = int(venue.quirks.traits.window_s * SECOND)
        delay = venue.draw.randrange(SECOND, max(window + window // 4, 2 * SECOND))
        if order.sent is not None and venue.draw.random() < 0.4:  # at the last moment
            delay = round(order.sent.timestamp() * 1000) + window - venue.draw.randrange(2 * SECOND) - time.now

        def arrive() -> None:
            answer = self._arrive(order)
            venue.tell(f"the late {order.intent.leg} arrives: {answer.outcome} {answer.order_id} {answer.detail}")

        time.at(time.now + max(delay, 1), arrive)


def _unknown(intent: Intent) -> Answer:
    return Answer(intent=intent.id, outcome="unknown", detail="time-out")


ALL_KINDS = frozenset((*ANY_CALL, *SENDING, "aborted"))
