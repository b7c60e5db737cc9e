"""One race: a real tick on Firestore, and somebody who flips the switch while it runs.

Between the flow and the store stands a recorder. It knows when each reading, commit and order comes, and lets the
operator (a thread with a line of its own to the store) flip before, beside or after the one that was drawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final, Literal, NamedTuple

from core.adapters.firestore_state import FirestoreState
from core.domain.bars import Bars, close_time
from core.domain.daily import Daily
from core.domain.decide import Foresight
from core.domain.features import CONTEXT
from core.domain.forecast import Model
from core.domain.risk import Trip
from core.domain.state import Book
from core.domain.switch import Mode
from core.flows.claim import breakers_key, switch_keys
from core.flows.gather import together
from core.flows.switches import flip, trips_document
from core.flows.tick import tick
from core.ports import Document, StateStore, Unavailable, World, Write
from tests.domain.drawn import BAR, HOUR
from tests.domain.model_venue import A, ModelVenue
from tests.fakes import FixedClock, MemoryModels
from tests.races.recorder import Aim, Careless, Desk, Forgetful, Kind, Log, Minute, Noting, Operator, Recorder
from tests.races.verdict import FAILED, Event, Verdict, judged
from tests.road import small_book

Start = Literal["flat", "held"]
SEEN: Final = {"atr_14": 400.0, "atr_ratio_14": 0.01, "volatility_ratio": 1.0, "mochipoyo": 0.0, "vix_level": 20.0}
# How many of each come in one tick: a flip is aimed at one of them.
MANY: Final[dict[Start, dict[Kind, int]]] = {
    "flat": {"reading": 5, "intent": 2, "submit": 2, "look": 3},
    "held": {"reading": 8, "intent": 3, "submit": 3, "look": 5, "cancel": 1},
}
WEIGHT: Final[dict[Kind, int]] = {"reading": 3, "intent": 4, "submit": 2, "look": 1, "cancel": 1}
UNREADABLE: Final[tuple[Document, ...]] = (
    {}, {"mode": "stop"}, {"mode": "HALT"}, {"mode": None}, {"mode": 2}, {"mode": ["halt"]}, {"Mode": "run"},
)  # fmt: skip


class Wish(NamedTuple):
    """`start`: what the book holds. `what`: a mode, or what is wrong with the document. `aim`: None: at `share` of the
    time that a tick takes."""

    seed: int
    start: Start
    scope: Literal["global", "book", "breakers"]
    what: Mode | Literal["unreadable", "unreachable"]
    aim: Aim | None
    share: float
    prior: bool

    @property
    def mode(self) -> Mode:
        return "halt" if self.what in ("unreadable", "unreachable") else self.what  # type: ignore[return-value]


def wish(seed: int) -> Wish:
    draw = Random(seed)
    start: Start = draw.choice(["flat", "held"])
    scope = draw.choice(["global", "book", "book", "breakers"])
    what = draw.choice(["halt", "halt", "reduce", "flatten", "unreadable", "unreachable"])
    kinds = MANY[start]
    (kind,) = draw.choices([*kinds], [WEIGHT[each] for each in kinds])
    aim = Aim(kind, draw.randrange(kinds[kind]), draw.choice(["before", "beside", "after"]))
    aimed = draw.random() < 0.6
    return Wish(seed, start, scope, what, aim if aimed else None, draw.random(), draw.random() < 0.5)  # type: ignore[arg-type]


@dataclass(eq=False)
class Track:
    """Where races are run. `took`: the seconds of the newest raced ticks."""

    emulator: str
    took: dict[Start, float] = field(default_factory=lambda: {"flat": 0.1, "held": 0.2})
    careless: Careless = ""


@dataclass(frozen=True)
class Told:
    """What came of a race. `came`: whether the flip came before the tick was over; `bare`: a position was left that
    has no stop at the venue; `answers`: of the raced tick and the next."""

    wish: Wish
    verdict: Verdict
    came: bool
    bare: bool
    answers: tuple[str, ...]
    seen: list[Event]


class Race:
    """One book of its own in a project of its own."""

    def __init__(self, wish: Wish, track: Track) -> None:
        self.wish, self._track, self.log = wish, track, Log()
        self.book = small_book()
        scope = {"global": switch_keys(self.book.id)[0], "book": switch_keys(self.book.id)[1]}
        self.target = scope.get(wish.scope, breakers_key(self.book.id))
        project = f"race-{wish.seed}{track.careless}"
        self.operators, its = (FirestoreState(project, emulator_host=track.emulator, timeout=60) for _ in range(2))
        self.recorder = Recorder(its, self.log, self.target)
        self.clock = FixedClock(BAR)
        self.desk = Desk(ModelVenue(A, Random(wish.seed)), self.log, self.clock)
        state: StateStore = Forgetful(self.recorder, track.careless) if track.careless else self.recorder
        self.world = World(
            clock=self.clock,
            market=Minute(),
            vix=[],
            exchange=self.desk,
            state=state,
            models=MemoryModels(),
            patience_s=0,
            foresee=self._foresee,
            together=together,
        )
        self.p_up = 0.9

    def run(self) -> Told:
        self._prepared()
        operator = Operator(self._flip, self.log, self.wish.aim, self.wish.share * self._track.took[self.wish.start])
        self.recorder.operator = self.desk.operator = operator
        operator.start()
        began = time.perf_counter()
        first = self._tick(1)
        took = time.perf_counter() - began
        came = operator.end()
        self.recorder.operator = self.desk.operator = None
        self._track.took[self.wish.start] += 0.1 * (took - self._track.took[self.wish.start])
        bare = self._bare()
        second = self._tick(2)
        verdict = judged(self.log.seen, self.wish.mode)
        verdict.wrong.extend(self._afterwards(bare))
        return Told(self.wish, verdict, came, bare, (first, second), self.log.seen)

    def _prepared(self) -> None:
        """The switch, where it is there before the flip; and a position with its stop, where one is held."""
        if self.wish.prior:
            harmless: Document = {"trips": []} if self.wish.scope == "breakers" else {"mode": "run", "by": "operator"}
            self.operators.commit([Write(self.target, harmless)])
        if self.wish.start == "held":
            self._tick(0)
            self.p_up = 0.1
        self.log.seen.clear()

    def _tick(self, hour: int) -> str:
        at = close_time(BAR + hour * HOUR, self.book.timeframe) + timedelta(seconds=5)
        self.clock.advance(max(at - self.clock.now(), timedelta(0)))
        try:
            return str(tick(self.world, self.book, at)["reason"])
        except Unavailable:
            return "unavailable"

    def _flip(self) -> str:
        what, now = self.wish.what, self.clock.now()
        if what == "unreachable":
            self.recorder.cut = True
            return FAILED
        if what == "unreadable":
            garbled = UNREADABLE[self.wish.seed % len(UNREADABLE)]
            document: Document = {"trips": [garbled]} if self.wish.scope == "breakers" else garbled
            return self.operators.commit([Write(self.target, document)])[self.target]
        if self.wish.scope == "breakers":
            level: Any = what
            trip = Trip(breaker="price_move", level=level, since=now, until=now + 9 * HOUR, detail="a race")
            return self.operators.commit([Write(self.target, trips_document([trip]))])[self.target]
        scope = self.target.removeprefix("switches/")
        noting = Noting(self.operators)
        flip(noting, scope, what, "operator", "a race", now)
        return noting.versions[self.target]

    def _bare(self) -> bool:
        stops = sum((each.intent.amount for each in self.desk.venue.stops), Decimal(0))
        return stops < abs(self.desk.venue.position)

    def _afterwards(self, bare: bool) -> Iterator[str]:
        """What must be so once the next tick has obeyed."""
        venue, what = self.desk.venue, self.wish.what
        if what == "flatten" and venue.position:
            yield f"flatten left a position of {venue.position}"
        if what not in ("unreachable", "flatten") and bare and self.wish.mode == "halt" and not self._told():
            yield "a position without its stop, and nobody was told"
        if self.wish.mode != "halt" and self._bare():
            yield "a position without its stop, though stops may be sent"
        if len(set(venue.submitted)) < len(venue.submitted):
            yield "an order was sent twice"

    def _told(self) -> bool:
        return any(document["event"] == "unprotected" for _, document in self.operators.scan("outbox"))

    def _foresee(
        self, book: Book, bars: Bars, model: Model | None, daily: Daily, problem: tuple[str, str] | None
    ) -> Foresight:
        """Always tempting, whatever the problem is."""
        return Foresight(p_up=self.p_up, context=tuple(SEEN.get(name, 0.0) for name in CONTEXT.names))
