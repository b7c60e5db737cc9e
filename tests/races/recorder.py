"""Between the flow and the outside in a race: it tells what comes, and lets the operator in at his moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from core.domain.bars import Bars, epoch
from core.domain.orders import Answer, Leg, Order, Sight, Traits
from core.flows.claim import switch_keys
from core.ports import Calls, Conflict, Document, StateStore, Unavailable, Versioned, Vetting, Watch, Write
from tests.domain.drawn import HOUR
from tests.domain.model_venue import PRICE, A, ModelVenue
from tests.fakes import FixedClock
from tests.races.verdict import FAILED, Cancelled, Committed, Event, Flipped, Named, Reading, Submitted

Kind = Literal["reading", "intent", "submit", "look", "cancel"]
Side = Literal["before", "beside", "after"]
Careless = Literal["", "commit", "reading"]
PATIENCE_S: Final = 60.0


class Aim(NamedTuple):
    """The flip's moment: at the `number`th call of a kind in the raced tick."""

    kind: Kind
    number: int
    side: Side


@dataclass(eq=False)
class Log:
    """What was seen, in order, by both threads."""

    seen: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.seen)

    def tell(self, event: Event) -> None:
        with self._lock:
            self.seen.append(event)


class Operator:
    """Flips once: when a call that it aims at comes, or when its time has come."""

    def __init__(self, act: Callable[[], str], log: Log, aim: Aim | None, delay: float) -> None:
        self._act, self._log, self._aim, self._delay = act, log, aim, delay
        self._come: Counter[Kind] = Counter()
        self._go, self._lock = threading.Event(), threading.Lock()
        self.acting, self.done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._flip, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _flip(self) -> None:
        self._go.wait(self._delay if self._aim is None else PATIENCE_S)
        self.acting.set()
        self._log.tell(Flipped(self._act()))
        self.done.set()

    def end(self) -> bool:
        """Whether the flip had begun by itself; if it had not, it comes now."""
        came = self.acting.is_set()
        self._go.set()
        self._wait()
        return came

    def passing(self, kind: Kind, call: Callable[[], Any]) -> Any:
        """`call`, with the flip before, beside or after it, where it is the one that is aimed at."""
        with self._lock:
            number = self._come[kind]
            self._come[kind] += 1
        if self._aim is None or self._aim[:2] != (kind, number):
            return call()
        if self._aim.side != "after":
            self._go.set()
        if self._aim.side == "before":
            self._wait()
        try:
            return call()
        finally:
            self._go.set()
            if self._aim.side == "after":
                self._wait()

    def _wait(self) -> None:
        if not self.done.wait(PATIENCE_S):
            raise Unavailable("the flip was not acknowledged")


class Recorder:
    """The StateStore, told of. `target`: the document that is flipped."""

    def __init__(self, state: StateStore, log: Log, target: str) -> None:
        self._state, self._log, self._target = state, log, target
        self._known: set[tuple[str, int, object]] = set()
        self.operator: Operator | None = None
        self.cut = False

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        if self._target not in keys:
            return self._state.read(keys)
        return self._passing("reading", lambda: self._reading(keys))  # type: ignore[no-any-return]

    def _reading(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        began, cut = len(self._log), self.cut
        try:
            if cut:
                raise Unavailable("the switches cannot be read")
            found = self._state.read(keys)
        except Unavailable:
            self._log.tell(Reading(FAILED, began))
            raise
        self._log.tell(Reading(found[self._target].version, began))
        return found

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        orders = {order for write in writes for order in _about_to_be_sent(write)} - self._known
        if not orders:
            return self._state.commit(writes, watch)
        named = tuple(Named(name, attempt, leg) for name, attempt, _, leg in sorted(orders, key=str))
        return self._passing("intent", lambda: self._committed(writes, watch, named, orders))  # type: ignore[no-any-return]

    def _committed(
        self, writes: Sequence[Write], watch: Watch | None, named: tuple[Named, ...], orders: set[Any]
    ) -> Mapping[str, str]:
        try:
            versions = self._state.commit(writes, watch)
        except Conflict:
            self._log.tell(Committed(named, None))
            raise
        self._known |= orders
        self._log.tell(
            Committed(named, next(versions[write.key] for write in writes if write.key.startswith("books/")))
        )
        return versions

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        return self._state.scan(collection, since, until)

    def _passing(self, kind: Kind, call: Callable[[], Any]) -> Any:
        return self.operator.passing(kind, call) if self.operator else call()


def _about_to_be_sent(write: Write) -> Iterator[tuple[str, int, object, Leg]]:
    """(id, attempt, when, leg) of the orders that a book's document says are sent."""
    if write.key.startswith("books/") and write.data and write.data.get("state"):
        for order in write.data["state"]["orders"]:
            intent = order["intent"]
            if order["status"] == "sent":
                yield intent["id"], intent["attempt"], order["sent"], intent["leg"]


class Forgetful:
    """A store as a careless flow would use it. "commit": the watch is dropped; "reading": what right before an order
    is sent is taken for the switches is what they said before."""

    def __init__(self, state: Recorder, careless: Careless) -> None:
        self._state, self._careless = state, careless
        self._said: Mapping[str, Versioned] = {}
        self._hurried = False

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        found = self._state.read(keys)
        hurried, self._hurried = self._hurried, False
        if hurried and self._said.keys() == found.keys():
            return self._said
        if switch_keys("")[0] in keys:
            self._said = found
        return found

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        versions = self._state.commit(writes, None if self._careless == "commit" else watch)
        self._hurried = self._careless == "reading" and any(any(_about_to_be_sent(write)) for write in writes)
        return versions

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        return self._state.scan(collection, since, until)


class Desk:
    """The Exchange: a venue that fills at once, and says when each order came."""

    def __init__(self, venue: ModelVenue, log: Log, clock: FixedClock) -> None:
        self.venue, self._log, self._clock = venue, log, clock
        self.operator: Operator | None = None

    @property
    def traits(self) -> Traits:
        return A

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        return self._passing("look", self._look)  # type: ignore[no-any-return]

    def _look(self) -> Sight:
        self.venue.now = self._clock.now()
        return self.venue.look()

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        return self._passing("submit", lambda: self._submit(orders))  # type: ignore[no-any-return]

    def _submit(self, orders: Sequence[Order]) -> Sequence[Answer]:
        named = tuple(Named(order.intent.id, order.intent.attempt, order.intent.leg) for order in orders)
        self._log.tell(Submitted(named, f"{datetime.now(UTC).replace(tzinfo=None).isoformat()}Z"))
        self.venue.now = self._clock.now()
        return [self.venue.submit(order.intent) for order in orders]

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        self._passing("cancel", lambda: self._cancel(orders))

    def _cancel(self, orders: Sequence[Order]) -> None:
        stops = [order for order in orders if order.intent.leg == "stop" and self.venue.position]
        self._log.tell(Cancelled(len(stops)))
        for order in orders:
            self.venue.cancel(order.order_id)

    def calls(self) -> Calls:
        return Calls()

    def vet(self) -> Vetting:
        return Vetting(withdraw=False, skew_s=0.0)

    def _passing(self, kind: Kind, call: Callable[[], Any]) -> Any:
        return self.operator.passing(kind, call) if self.operator else call()


class Minute:
    """A Market that shows one bar: what is foreseen here needs no past."""

    def bars(self, since: datetime, until: datetime) -> Bars:
        price = np.array([float(PRICE)])
        newest = until - HOUR
        return Bars(np.array([epoch(newest)]), price, price + 10, price - 10, price, np.ones(1))


class Noting:
    """The operator's store: `flip` says what it wrote, not at which version."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self.versions: dict[str, str] = {}

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        return self._state.read(keys)

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        self.versions |= self._state.commit(writes, watch)
        return self.versions

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        return self._state.scan(collection, since, until)
