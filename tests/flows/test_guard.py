"""guard: what it finds is written down and told once, and what must be done it does as a tick would."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.bars import Bars
from core.domain.guarding import EXITS
from core.domain.orders import Answer, Order, Sight, Traits
from core.domain.risk import Trip
from core.domain.state import Book, BookState
from core.flows.claim import book_key, breakers_key, plain, state_of, tick_key
from core.flows.guard import guard
from core.flows.record import book_document
from core.flows.rounds import guard_key
from core.flows.switches import flip, trips_document
from core.ports import Calls, Document, Unavailable, Versioned, Vetting, Watch, World, Write
from tests.domain.drawn import BAR, HOUR
from tests.domain.model_venue import BOOK, CLASSES, NOW, A, Drive, ModelVenue, holding, order
from tests.fakes import FixedClock, MemoryModels, MemoryState
from tests.policies import plain_policy
from tests.road import ArrayMarket

MINUTE = timedelta(minutes=1)
PLAIN = msgspec.structs.replace(BOOK, policy=plain_policy(liquidation_buffer=2.0))
SAID = {"outcome": "traded", "reason": "long_signal", "orders": ["entry buy 0.1"]}
EVERY = pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)


@dataclass
class Port:
    """An Exchange to a ModelVenue, on the clock of the test."""

    venue: ModelVenue
    clock: FixedClock
    down: bool = False
    looks: int = 0
    lasts: int = 1000  # looks that are answered
    sight: dict[str, Any] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None  # called before each order is sent

    @property
    def traits(self) -> Traits:
        return self.venue.traits

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        self.looks += 1
        self.venue.now = self.clock.now()
        if self.down or self.looks > self.lasts:
            raise Unavailable("the venue: no route")
        return msgspec.structs.replace(self.venue.look(), **self.sight)

    def submit(self, book: str, orders: Sequence[Order]) -> list[Answer]:
        self.before()
        self.venue.now = self.clock.now()
        return [self.venue.submit(order.intent) for order in orders]

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        self.venue.now = self.clock.now()
        for each in orders:
            self.venue.cancel(each.order_id)

    def calls(self) -> Calls:
        return Calls(self.looks, self.looks if self.down else 0, (0.1,) * min(self.looks, 64))

    def vet(self) -> Vetting:
        return Vetting()


@dataclass
class Place:
    """A book that ticked at BAR, ten minutes ago, and how it stands at the venue."""

    book: Book
    venue: ModelVenue
    port: Port
    clock: FixedClock
    store: MemoryState
    world: World

    def guard(self, world: World | None = None) -> Document:
        return guard(world or self.world, self.book, self.clock.now())

    def document(self, key: str) -> Document:
        return self.store.read([key])[key].data or {}

    @property
    def state(self) -> BookState:
        return state_of(self.document(book_key("btc")), self.book)

    @property
    def record(self) -> Document:
        return self.document(tick_key("btc", BAR))

    @property
    def told(self) -> list[str]:
        return [document["event"] for _, document in self.store.scan("outbox")]

    def later(self, step: timedelta = MINUTE) -> None:
        self.clock.advance(step)

    def flip(self, mode: Any) -> None:
        flip(self.store, "btc", mode, "ada", "", self.clock.now())

    def put(self, state: BookState, phase: str = "done", until: datetime | None = None) -> None:
        lease = {"token": 3, "owner": "tick", "bar": BAR, "until": until}
        record = {"phase": phase, "answer": SAID, "decision": {"action": "enter"}, "fills": [], "trades": []}
        writes = [Write(book_key("btc"), book_document(state, SAID, lease)), Write(tick_key("btc", BAR), record)]
        self.store.commit(writes)


def place(traits: Traits = A, state: BookState | None = None, seed: int = 1, **policy: Any) -> Place:
    """With a long position and its stop, as a tick left it; or with `state`, and nothing at the venue."""
    venue = ModelVenue(traits, Random(seed))
    if state is None:
        drive = Drive(venue, holding(order("entry", status="planned")))
        assert drive.run()
        state = drive.state
    clock = FixedClock(NOW + 10 * MINUTE)
    store, port = MemoryState(), Port(venue, clock)
    book = msgspec.structs.replace(PLAIN, policy=plain_policy(liquidation_buffer=2.0, **policy))
    flat = ArrayMarket(minutes(40_000, 40_000))
    world = World(clock, flat, [], port, store, MemoryModels(), minutes=flat)
    made = Place(book, venue, port, clock, store, world)
    made.put(state)
    return made


def minutes(*closes: float) -> Bars:
    close = np.array(closes)
    opened = np.concatenate([close[:1], close[:-1]])
    until = int((NOW + 10 * MINUTE).timestamp()) // 60 * 60
    time = until - 60 * np.arange(len(close), 0, -1, dtype=np.int64)
    return Bars(time, opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(len(close)))


def once(made: Place) -> None:
    """No order of one leg, bar and attempt went out twice, and no exit closed more than there was."""
    names = [(i.bar, i.leg, i.attempt) for i in made.venue.submitted]
    assert len(set(names)) == len(names)


# -- nothing to do


def test_where_all_is_well_it_looks_and_touches_nothing() -> None:
    made = place()
    before = made.store.read([book_key("btc"), tick_key("btc", BAR)])
    said = made.guard()
    assert {"outcome": "done", "book": "btc", "reason": "nothing_found", "looked": True}.items() <= said.items()
    assert made.store.read([book_key("btc"), tick_key("btc", BAR)]) == before
    assert made.told == []


def test_a_flat_book_is_not_looked_at_and_writes_nothing() -> None:
    made = place(state=holding())
    said = made.guard()
    assert (said["outcome"], said["looked"], made.port.looks) == ("done", False, 0)
    assert made.document(guard_key("btc")) == {}


def test_a_book_that_never_ticked_has_nothing_to_guard() -> None:
    made = place(state=holding())
    made.store.commit([Write(book_key("btc"), None), Write(tick_key("btc", BAR), None)])
    made.flip("flatten")
    assert made.guard()["outcome"] == "done"
    assert made.port.looks == 0


# -- trips


def test_a_price_that_jumps_is_written_down_for_the_ticks_and_told_once() -> None:
    made = place(price_move=0.05, price_move_hours=1.0)
    jumped = replace(made.world, minutes=ArrayMarket(minutes(40_000, 37_000)))
    assert made.guard(jumped)["trips"] == ["price_move"]
    first = made.store.read([breakers_key("btc")])
    assert made.told == ["breaker"]
    made.later()
    made.guard(jumped)
    assert made.store.read([breakers_key("btc")]) == first, "a tick that watches it is not disturbed"
    assert made.told == ["breaker"]
    made.later(HOUR)
    assert made.guard(replace(made.world, minutes=None))["trips"] == []
    assert made.document(breakers_key("btc")) == {"trips": []}


def test_minutes_that_cannot_be_had_are_no_news() -> None:
    class Down:
        def bars(self, since: datetime, until: datetime) -> Bars:
            raise Unavailable("no minutes")

    made = place(price_move=0.05)
    assert made.guard(replace(made.world, minutes=Down()))["outcome"] == "done"


def test_breakers_that_cannot_be_read_are_left_for_a_person() -> None:
    made = place()
    made.store.commit([Write(breakers_key("btc"), {"trips": "all of them"})])
    assert made.guard()["outcome"] == "done"
    assert made.document(breakers_key("btc")) == {"trips": "all of them"}


def test_what_the_guard_remembered_may_be_damaged() -> None:
    made = place()
    made.store.commit([Write(guard_key("btc"), {"asked": 3})])
    assert made.guard()["outcome"] == "done"


# -- what is acted on


@EVERY
def test_a_flatten_is_done_within_one_run(traits: Traits) -> None:
    made = place(traits)
    made.flip("flatten")
    said = made.guard()
    assert (said["outcome"], said["reason"]) == ("done", "acted")
    assert (made.venue.position, made.state.holding.position) == (0, 0)
    assert made.venue.stops == []
    assert [fill["cause"] for fill in made.record["fills"]][-1] == "exit"
    assert {"switch", "trade_closed"} <= set(made.told)
    once(made)
    made.later()
    assert made.guard()["reason"] == "nothing_found"


def test_a_trip_of_its_own_is_acted_on_in_the_same_run() -> None:
    made = place()
    made.port.sight = {"liquidation": Decimal(39_500)}
    assert made.guard()["reason"] == "acted"
    assert made.venue.position == 0
    assert made.document(breakers_key("btc"))["trips"][0]["breaker"] == "liquidation"


def test_halt_sends_nothing() -> None:
    made = place()
    made.store.commit([Write(breakers_key("btc"), trips_document([Trip(breaker="x", level="flatten", since=NOW)]))])
    made.flip("halt")
    assert made.guard()["reason"] == "acted", "of halt and flatten the more severe counts"
    other = place()
    other.flip("halt")
    for stop in other.venue.stops:
        other.venue.cancel(stop.order_id)
    sent = len(other.venue.submitted)
    other.guard()
    assert len(other.venue.submitted) == sent


@EVERY
def test_a_stop_that_vanished_is_put_back(traits: Traits) -> None:
    made = place(traits)
    made.venue.now = made.clock.now() - MINUTE
    for stop in made.venue.stops:
        made.venue.cancel(stop.order_id)
    assert made.guard()["reason"] == "acted"
    (stop,) = made.venue.stops
    assert stop.intent.amount == made.venue.position
    once(made)


def test_a_stop_that_was_executed_is_booked_and_told_of_at_once() -> None:
    made = place()
    made.venue.now = made.clock.now() - MINUTE
    made.venue.trigger()
    assert made.guard()["reason"] == "acted"
    assert made.state.holding.position == 0
    assert [(trade["cause"]) for trade in made.record["trades"]] == ["stop"]
    assert "trade_closed" in made.told


@EVERY
def test_an_order_that_a_dead_tick_left_unknown_is_found(traits: Traits) -> None:
    """It had been taken, and the process died before it heard so: the position gets its stop."""
    made = place(traits, holding(order("entry", status="sent", sent=NOW)))
    made.venue.now = NOW
    made.venue.submit(made.state.orders[0].intent)
    made.put(made.state, "decided", NOW + 2 * MINUTE)
    assert made.guard()["outcome"] == "done"
    assert made.state.holding.position == made.venue.position == Decimal("0.1")
    assert len(made.venue.stops) == 1
    assert made.record["phase"] == "done"
    once(made)


def test_a_decision_that_a_dead_tick_left_goes_on_as_the_tick_would() -> None:
    fresh = place(state=holding(order("entry", status="planned")))
    fresh.put(fresh.state, "decided", NOW + 2 * MINUTE)
    assert fresh.guard()["reason"] == "acted"
    assert fresh.venue.position == Decimal("0.1")
    late = place(state=holding(order("entry", status="planned")))
    late.put(late.state, "decided", NOW + 2 * MINUTE)
    late.book = msgspec.structs.replace(late.book, max_lateness_s=60)
    assert late.guard()["reason"] == "acted"
    assert late.venue.submitted == []
    assert late.record["answer"]["reason"] == "order_dropped"


def test_the_record_keeps_its_answer_and_decision_and_gains_what_came_later() -> None:
    made = place()
    before = made.record
    made.flip("flatten")
    made.venue.refusing = 1.0
    made.guard()
    made.venue.refusing = 0.0
    made.later()
    made.guard()
    after = made.record
    assert made.venue.position == 0
    assert (after["answer"], after["decision"]) == (before["answer"], before["decision"])
    assert after["phase"] == "done"
    outcomes = [answer["outcome"] for answer in after["venue"]]
    assert "refused" in outcomes and "placed" in outcomes
    assert made.document(book_key("btc"))["last"] == SAID
    once(made)


def test_exits_end_when_the_venue_takes_none_and_a_person_is_told_once() -> None:
    made = place()
    made.flip("flatten")
    made.venue.refusing = 1.0
    for _ in range(2 * EXITS):
        made.guard()
        made.later()
    tried = [intent for intent in made.venue.submitted if intent.leg == "exit"]
    assert len(tried) <= EXITS + 3
    assert made.told.count("trouble") == 1
    once(made)


def test_a_person_who_resumes_a_book_in_trouble_need_not_wait_for_the_bar() -> None:
    made = place()
    made.put(msgspec.structs.replace(made.state, trouble="the book says one thing, the venue another"))
    flip(made.store, "btc", "halt", "hourhand", "", made.clock.now())
    made.guard()
    assert made.state.trouble
    made.flip("run")
    assert made.guard()["reason"] == "acted"
    assert made.state.trouble == ""


def test_a_flip_between_writing_down_and_sending_stops_the_exit() -> None:
    made = place()
    made.flip("flatten")
    reads: list[str] = []

    class Flipping(MemoryState):
        def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
            reads.append("+".join(keys))
            return made.store.read(keys)

        def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
            versions = made.store.commit(writes, watch)
            sending = any(
                each["status"] == "sent"
                for write in writes
                if write.key == book_key("btc")
                for each in ((write.data or {}).get("state") or {}).get("orders", [])
            )
            if sending:
                made.flip("halt")
            return versions

    made.guard(replace(made.world, state=Flipping()))
    assert [intent.leg for intent in made.venue.submitted] == ["entry", "stop"], "as the tick had left it"
    assert reads


# -- beside a tick


def test_while_another_invocation_holds_the_book_it_is_left_alone() -> None:
    made = place()
    made.put(made.state, "decided", made.clock.now() + MINUTE)
    assert (made.guard()["outcome"], made.port.looks) == ("done", 0)
    made.flip("flatten")
    assert made.guard()["outcome"] == "busy"
    assert made.port.looks == 0
    made.later(2 * MINUTE)
    assert made.guard()["reason"] == "acted"
    assert made.venue.position == 0


def test_what_can_wait_is_left_to_a_tick_that_is_due() -> None:
    made = place()
    made.venue.now = made.clock.now()
    made.venue.trigger()
    made.later(50 * MINUTE - timedelta(seconds=4))
    assert made.guard()["reason"] == "left to the tick, which is due"
    made.later()
    assert made.guard()["reason"] == "acted", "it did not come"


def test_what_is_urgent_is_not() -> None:
    made = place()
    made.flip("flatten")
    made.later(50 * MINUTE - timedelta(seconds=4))
    assert made.guard()["reason"] == "acted"


def test_a_venue_that_does_not_answer_is_a_failure_and_told_after_a_while() -> None:
    made = place()
    made.port.down = True
    for _ in range(3):
        assert made.guard()["outcome"] == "failed"
        made.later()
    assert made.told == ["monitoring"]
    made.port.down = False
    assert made.guard()["outcome"] == "done"
    assert sorted(made.told) == ["monitoring", "recovery"]


def test_a_venue_that_goes_away_while_it_acts_leaves_the_book_to_the_next_run() -> None:
    made = place()
    made.flip("flatten")

    def gone() -> None:
        made.port.down = True

    made.port.before = gone
    with pytest.raises(Unavailable):
        made.guard()
    made.port.before, made.port.down = lambda: None, False
    made.later()
    assert made.guard()["outcome"] == "done"
    assert (made.venue.position, made.state.holding.position) == (0, 0)
    once(made)


def test_a_book_that_was_taken_for_nothing_is_given_back_at_once() -> None:
    made = place(state=holding(order("entry", status="sent", sent=NOW)))
    made.port.lasts = 1
    with pytest.raises(Unavailable):
        made.guard()
    assert made.document(book_key("btc"))["lease"]["until"] is None
    made.port.lasts = 1000
    assert made.guard()["outcome"] == "done"


# -- whatever dies


class Died(BaseException):
    pass


@dataclass
class Fuse:
    """Ends the process at a given call, before it is carried out or after."""

    left: int
    after: bool

    def call(self, act: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Died
        done = act()
        if self.left == 0:
            raise Died
        return done


class Fused:
    """A port whose calls burn the fuse."""

    def __init__(self, port: object, fuse: Fuse) -> None:
        self._port, self._fuse = port, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in ("look", "submit", "cancel", "read", "commit"):
            return found
        return lambda *args, **kwargs: self._fuse.call(lambda: found(*args, **kwargs))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@EVERY
def test_a_flatten_that_dies_anywhere_is_ended_by_the_next_runs(traits: Traits, after: bool) -> None:
    for crash in range(1, 40):
        made = place(traits)
        made.flip("flatten")
        fuse = Fuse(crash, after)
        fused: Any = replace(made.world, state=Fused(made.store, fuse), exchange=Fused(made.port, fuse))  # type: ignore[arg-type]
        try:
            made.guard(fused)
        except Died:
            pass
        else:
            assert crash > 10, "hardly any call was the last"
            return
        for _ in range(4):
            made.later(2 * MINUTE + timedelta(seconds=1))
            made.guard()
        assert (made.venue.position, made.state.holding.position) == (0, 0), crash
        assert made.venue.stops == []
        assert sum(fill["cause"] == "exit" for fill in made.record["fills"]) in (1, 2), crash
        assert made.told.count("trade_closed") == 1
        once(made)
    raise AssertionError("it never ended")


def test_nothing_is_logged_that_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    made = place()
    made.flip("flatten")
    with caplog.at_level(logging.ERROR):
        made.guard()
    assert caplog.records == []


def test_documents_are_plain() -> None:
    made = place()
    made.guard()
    assert made.document(guard_key("btc")) == plain(made.document(guard_key("btc")))
