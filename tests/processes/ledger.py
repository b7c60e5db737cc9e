"""What always holds: of each commit just when it is made, of each order just before it reaches the venue, and of book
and venue after each bar. What is wrong is noted, a sentence each."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from core.adapters.firestore_state import FirestoreState
from core.domain.orders import ZERO, Intent, Order, intent_id
from core.domain.state import Book, BookState, opening
from core.flows.claim import book_key, state_of, switch_keys
from core.flows.switches import flip
from core.ports import Document, Versioned
from tests.processes.passage import Reply, Request
from tests.processes.places import Place
from tests.venues.engine import Engine, VenueExecution
from tests.venues.server import Served

COMMITS: Final = ("claim", "decision", "step")
SEVERITY: Final = ("run", "reduce", "halt", "flatten")
OPERATOR: Final = "operator"
EXACT: Final = Decimal("1e-6")


@dataclass(eq=False)
class Ledger:
    """`announced`: orders that a commit said would be sent, by their id and the time of that commit in milliseconds;
    `booked`: numbers of the executions that the book took in; `written_off`: of those before a position that was given
    up when a person resumed the book."""

    book: Book
    place: Place
    engine: Engine
    served: Served
    store: FirestoreState
    wrong: list[str] = field(default_factory=list)
    announced: dict[tuple[str, int], Order] = field(default_factory=dict)
    booked: set[int] = field(default_factory=set)
    written_off: set[int] = field(default_factory=set)
    bare: Counter[str] = field(default_factory=Counter)
    halts: Counter[str] = field(default_factory=Counter)
    believed: BookState = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.believed = opening(self.book)

    def note(self, sentence: str) -> None:
        if sentence not in self.wrong:
            self.wrong.append(sentence)

    # -- on the way

    def carry(self, request: Request, send: Callable[[], Reply]) -> Reply:
        if request.kind == "order":
            self._arriving(request)
        if request.kind not in COMMITS:
            return send()
        with self._lock:
            reply = send()
            if reply.status == 200:
                self._committed()
            return reply

    def flip(self, scope: str, mode: str, reason: str = "a test") -> None:
        """By the operator; never in the middle of a commit, so that it is known which came first."""
        with self._lock:
            flip(self.store, scope, mode, OPERATOR, reason, self.engine.clock.now())

    def _arriving(self, request: Request) -> None:
        sent_at = self.place.sent_at(request.headers)
        same = [order for (_, at), order in self.announced.items() if at == sent_at]
        if not any(self.place.says(request, order.intent) for order in same):
            self.note(f"an order was sent that nobody had written down: {request.body.decode()}")

    def _committed(self) -> None:
        found = self._read()
        after, mode = state_of(found[book_key(self.book.id)].data, self.book), self._mode(found)
        for order in after.orders:
            key = (order.intent.id, _ms(order.sent))
            if order.status != "sent" or key in self.announced:
                continue
            self.announced[key] = order
            if not _named(order.intent):
                self.note(f"the id of an {order.intent.leg} does not follow from what it is for: {order.intent.id}")
            if mode == "halt" or (mode != "run" and order.intent.leg == "entry"):
                self.note(f"an {order.intent.leg} was about to be sent while the switch said {mode}")
        self._booked(after)
        self.believed = after

    def _booked(self, after: BookState) -> None:
        new = [self.place.number(name) for name in after.booked if name not in self.believed.booked]
        if len(set(after.booked)) < len(after.booked) or self.booked & set(new):
            self.note(f"an execution was booked twice: {sorted(new)}")
        real = {done.id: done for done in self.engine.executions}
        if made_up := set(new) - real.keys():
            self.note(f"executions were booked that never happened: {sorted(made_up)}")
            return
        self.booked |= set(new)
        if self.believed.trouble and not after.trouble and not after.holding.position:  # a person resumed the book
            self.written_off |= set(real)
            return
        moved = sum((_signed(real[number]) for number in new), ZERO)
        if after.holding.position - self.believed.holding.position != moved:
            self.note(f"the position went to {after.holding.position}, which the executions {new} do not make")

    # -- after a bar

    def state(self) -> BookState:
        return state_of(self._read()[book_key(self.book.id)].data, self.book)

    def mode(self) -> str:
        return self._mode(self._read())

    def unbooked(self) -> list[VenueExecution]:
        return [done for done in self.engine.executions if done.id not in self.booked | self.written_off]

    def audit(self, bar: datetime) -> BookState:
        """Book and venue side by side. `bar` was answered with 200 just now."""
        with self.engine.lock:
            state, unbooked = self.state(), self.unbooked()
            self._once_each()
            self._one_after_the_other()
            if state.trouble:
                return state
            if not state.working and not state.waiting:
                self._agrees(state, unbooked)
                self._protected(state, bar)
        return state

    def _intents(self) -> dict[int, Order]:
        """Ours among the venue's orders, by its number."""
        sent_at = {
            number: self.place.sent_at(request.headers)
            for request in self.served.requests
            if (number := self.place.placed(request)) is not None
        }
        by_time = {at: order for (_, at), order in self.announced.items()}
        return {number: by_time[at] for number, at in sent_at.items() if at in by_time}

    def _once_each(self) -> None:
        ours = self._intents()
        strange = [o.id for o in self.engine.accepted() if o.id not in ours and not o.client_id.startswith(OPERATOR)]
        if strange:
            self.note(f"the venue has orders of ours that nobody wrote down: {strange}")
        ids = Counter(order.intent.id for order in ours.values())
        entries = Counter(order.intent.bar for order in ours.values() if order.intent.leg == "entry")
        for name, count in ids.items():
            if count > 1:
                self.note(f"the venue took the order {name} {count} times")
        for bar, count in entries.items():
            if count > 1:
                self.note(f"the venue took {count} entries for the bar {bar:%d %H:%M}")

    def _one_after_the_other(self) -> None:
        """No entry on top of a position, and never two stops."""
        position, stops = ZERO, 0
        for entry in self.engine.log:
            order = entry.order
            if entry.what == "place" and not order.closing and position:
                self.note(f"the entry {order.id} came on top of a position of {position}")
            if entry.what == "fill":
                position += entry.amount * order.signed
            if order.kind == "stop":
                stops += {"place": 1, "fill": -1, "cancel": -1}.get(entry.what, 0)
                if stops > 1:
                    self.note(f"two stops rested at once: the second was {order.id}")

    def _agrees(self, state: BookState, unbooked: list[VenueExecution]) -> None:
        resting = {order.order_id for order in state.open_orders if order.intent.leg == "stop"}
        late = [done for done in unbooked if done.order_id in {self.place.number(name) for name in resting}]
        if len(late) < len(unbooked):
            self.note(f"executions were never booked: {[done.id for done in unbooked if done not in late]}")
        told = state.holding.position + sum((_signed(done) for done in late), ZERO)
        if told != self.engine.position:
            self.note(f"the book holds {told}, the venue {self.engine.position}, and nothing is open")

    def _protected(self, state: BookState, bar: datetime) -> None:
        held = self.book.rules.floor(abs(self.engine.position))
        stops = [order for order in self.engine.orders.values() if order.kind == "stop" and order.resting]
        right = all(order.signed * self.engine.position < 0 for order in stops)
        if sum((order.remaining for order in stops), ZERO) == held and right:
            return
        alert = f"outbox/{self.book.id}-{bar:%Y%m%dT%H%M}-unprotected"
        if self.store.read([alert])[alert].data is not None:
            self.bare["told"] += 1
        elif self.mode() in ("halt", "flatten"):
            self.bare["by the switch"] += 1
        else:
            stopped = [(order.id, str(order.remaining)) for order in stops]
            self.note(f"after {bar:%d %H:%M} a position of {self.engine.position} has the stops {stopped}, untold")

    # -- a halt, and the end

    def is_true(self, trouble: str) -> bool:
        """Whether what the book halted itself for is so."""
        position = self.engine.position
        if found := re.search(r"the book holds (\S+), the venue says (\S+),", trouble):
            return Decimal(found[1]) != Decimal(found[2]) == position
        if found := re.search(r"its position is (\S+) and not (\S+)$", trouble):
            return Decimal(found[1]) == position != Decimal(found[2])
        if found := re.search(r"have appeared: (.+)$", trouble):
            return all(self.place.number(name) in self.engine.orders for name in found[1].split(", "))
        return False

    def settled(self) -> None:
        """In the end, when nothing has gone wrong for some bars, everything is known, money included."""
        state = self.state()
        if state.trouble or state.unsettled or state.working or self.mode() != "run":
            orders = [(order.intent.leg, order.status) for order in state.working]
            self.note(f"it does not settle: {orders}, {self.mode()} {state.trouble}")
            return
        if self.written_off:
            return
        done = [each for each in self.engine.executions if each.id in self.booked]
        spent = sum((_signed(each) * each.price + each.fee + each.interest for each in done), ZERO)
        holding = state.holding
        money = holding.cash - holding.position * holding.average_price
        if abs(self.book.policy.capital - spent - money) > EXACT:
            self.note(f"the book has {money}, and should have {self.book.policy.capital - spent}")

    def _read(self) -> dict[str, Versioned]:
        return dict(self.store.read([book_key(self.book.id), *switch_keys(self.book.id)]))

    def _mode(self, found: dict[str, Versioned]) -> str:
        """What the switches say, read by another eye than the book's."""
        switches: list[Document | None] = [found[key].data for key in switch_keys(self.book.id)]
        return max(("run" if each is None else str(each.get("mode")) for each in switches), key=SEVERITY.index)


def _signed(done: VenueExecution) -> Decimal:
    return done.amount if done.side == "buy" else -done.amount


def _ms(at: datetime | None) -> int:
    return 0 if at is None else round(at.timestamp() * 1000)


def _named(intent: Intent) -> bool:
    """Whether its id follows from what it is for; sent again, an order may keep the id of its first attempt."""
    possible = {intent_id(intent.book, intent.bar, intent.leg, attempt) for attempt in range(intent.attempt + 1)}
    return intent.id in possible
