"""guard: what cannot wait for the hour. It looks, tells, trips breakers, and acts where a tick would. docs/guard.md.

Round trips when nothing is wrong: 1 read · 2 look at the venue, beside the minutes · 3 write down what the next run
shall know, if there is anything. It acts under the book's lease, on the record of the book's last bar, with what the
tick acts with: an exit of the guard's is one more attempt of that bar.

The first of these is shared by several books (core/flows/rounds.py), and may be some seconds old at a book's turn.
Whatever is written rests on the versions that were read, and who acts reads the switches anew beside taking the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from core.domain.act import Scene
from core.domain.bars import Bars, bar_before, empty, unpack
from core.domain.decide import UNREADABLE
from core.domain.guarding import (
    Facts,
    Findings,
    Memory,
    Needs,
    find,
    leaving,
    mode,
    needs,
    ticks_turn,
)
from core.domain.orders import Sight
from core.domain.risk.breakers import Asked
from core.domain.settle import News, settle
from core.domain.state import Book, BookState
from core.domain.switch import mode_of
from core.flows import measures, outbox, window
from core.flows.act import Standing, cleared, go_on, late
from core.flows.claim import (
    Tick,
    book_key,
    breakers_key,
    claim,
    lease,
    plain,
    released,
    state_of,
    switch_keys,
    tick_key,
    watched,
)
from core.flows.gather import attempt
from core.flows.record import brief
from core.flows.rounds import Ahead, guard_key, keys, minutes
from core.flows.switches import allowed, found, trips_document
from core.ports import Calls, Conflict, Document, Unavailable, Versioned, Watch, World, Write

TOOK: Final = 16  # requests of one run whose duration is remembered


@dataclass(frozen=True, slots=True)
class Look:
    """What one run has read and seen. `held`: an invocation holds the book; `token`: that of the next claim. `state`
    and `news`: with what the venue showed taken in."""

    world: World
    book: Book
    at: datetime
    now: datetime
    found: Mapping[str, Versioned]
    memory: Memory
    before: BookState
    held: bool
    token: int
    state: BookState
    sight: Sight | None = None
    news: News = field(default_factory=News)
    failure: str = ""
    minutes: Bars | None = None

    @property
    def watch(self) -> Watch:
        return {key: self.found[key] for key in watched(self.book.id)}

    @property
    def venue(self) -> Book:
        """The book with the rules that the venue has today."""
        rules = self.sight.rules if self.sight else None
        return msgspec.structs.replace(self.book, rules=rules) if rules else self.book


def guard(world: World, book: Book, at: datetime, overdue_s: int = 900, ahead: Ahead | None = None) -> Document:
    """What was found and done at `at`: at least outcome (done, busy, failed), book, bar, reason. `ahead`: what has been
    asked for already. Raises Unavailable when the state store cannot be reached, or the venue in the middle of acting:
    the next call goes on."""
    look = _looked(_read(world, book, at, ahead), ahead)
    try:
        look, findings = _written(look, overdue_s)
    except Conflict:
        return brief("busy", book, _bar(look), "another invocation has moved what was read")
    needed = _needs(look)
    said = _said(look, findings, needed)
    if look.failure:
        if findings.memory.failing == 1:
            measures.source_failed(book.id, "look", "venue", look.failure)
        return {**said, "outcome": "failed", "reason": f"the venue does not answer: {look.failure}"}
    if not needed.why or look.before.bar is None:
        return said
    if look.held:
        return {**said, "outcome": "busy", "reason": "another invocation holds this book"}
    if ticks_turn(book, look.before.bar, look.now) and not needed.urgent:
        return {**said, "reason": "left to the tick, which is due"}
    try:
        return {**said, **_acted(look, look.before.bar)}
    except Conflict:
        return {**said, "outcome": "busy", "reason": "another invocation took this book over"}


# -- look


def _read(world: World, book: Book, at: datetime, ahead: Ahead | None) -> Look:
    now = world.clock.now()
    stored = ahead.found if ahead else world.state.read(keys(book))
    try:
        state = state_of(stored[book_key(book.id)].data, book)
    except msgspec.ValidationError as failure:
        raise Unavailable(f"the stored state books/{book.id} is damaged, a person must mend it: {failure}") from None
    bar = state.bar or bar_before(at, book.timeframe)
    asked = claim({**stored, tick_key(book.id, bar): Versioned(None, None)}, book.id, bar, world.clock.now())
    return Look(
        world, book, at, now, stored, _memory(stored[guard_key(book.id)]), state, asked.answer == "busy", asked.token,
        state,
    )  # fmt: skip


def _memory(stored: Versioned) -> Memory:
    """What is damaged is forgotten: it is rebuilt by what is seen."""
    try:
        return msgspec.convert(stored.data or {}, Memory)
    except msgspec.ValidationError:
        return Memory()


def _looked(look: Look, ahead: Ahead | None) -> Look:
    """With what the venue shows, where there is anything to look at and nobody else is about it; and the minutes."""
    world, now = look.world, look.world.clock.now()
    calls: list[Callable[[], Any]] = [partial(minutes, world, look.book, ahead)]
    if _worth_a_look(look):
        calls.append(partial(attempt, partial(world.exchange.look, look.book.id, empty(), _open(look)), Unavailable))
    newest, *seen = world.together(calls)
    look = replace(look, now=now, minutes=newest)
    if not seen:
        return look
    if isinstance(seen[0], Exception):
        return replace(look, failure=str(seen[0]))
    look = replace(look, sight=seen[0])
    state, news = settle(look.before, seen[0], look.venue, world.exchange.traits, now)
    return replace(look, state=state, news=news)


def _worth_a_look(look: Look) -> bool:
    """A market that moves by bars has nothing to show between them."""
    state, traits = look.before, look.world.exchange.traits
    return traits.instant and not look.held and bool(state.holding.position or _open(look) or state.trouble)


def _open(look: Look) -> tuple[Any, ...]:
    return look.before.open_orders


# -- write down what was found


def _written(look: Look, overdue_s: int) -> tuple[Look, Findings]:
    """What was found, committed with the alerts that tell of it. Raises Conflict."""
    book, key = look.book, breakers_key(look.book.id)
    known = found(book.id, look.watch, look.now)
    scopes = zip(("global", book.id), switch_keys(book.id), strict=True)
    facts = Facts(
        book=look.venue,
        at=look.at,
        now=look.now,
        state=look.state,
        switches={scope: look.found[switch].data for scope, switch in scopes},
        known=known,
        minutes=look.minutes,
        sight=look.sight,
        failure=look.failure,
        asked=_asked(look),
        overdue_s=overdue_s,
    )
    findings = find(facts, look.memory)
    readable = all(trip.breaker != UNREADABLE for trip in known)
    document, stored = trips_document(findings.trips), look.found[key]
    writes = [
        *([Write(key, document, stored.version)] if readable and document != (stored.data or NOTHING) else []),
        *(outbox.tripped_alert(book, _bar(look), trip) for trip in findings.new),
        *(outbox.alert(a.id, a.event, a.severity, a.at, a.title, a.text, a.book, a.fields) for a in findings.told),
    ]
    if not writes and findings.memory == look.memory:
        return look, findings
    mine = guard_key(book.id)
    versions = look.world.state.commit([Write(mine, plain(findings.memory), look.found[mine].version), *writes])
    _flips(look, facts, findings)
    after = {**look.found, mine: Versioned(plain(findings.memory), versions[mine])}
    if key in versions:
        after[key] = Versioned(document, versions[key])
    return replace(look, found=after, memory=findings.memory), findings


def _flips(look: Look, facts: Facts, findings: Findings) -> None:
    """Into the audit log. Of the switch that all books share, the first of them tells."""
    first = look.world.books[0].id if look.world.books else look.book.id
    for alert in findings.told:
        if alert.event == "switch" and (alert.book or look.book.id == first):
            scope = alert.book or "global"
            measures.flipped(scope, facts.switches[scope])


NOTHING: Final[Document] = {"trips": []}


def _asked(look: Look) -> Asked | None:
    """What this process has asked of the venue since the guard last ran in it."""
    name = f"guard calls {look.book.id}"
    known, calls = look.world.cache.get(name), look.world.exchange.calls()
    look.world.cache[name] = calls
    before = known if isinstance(known, Calls) and known.made <= calls.made else Calls()
    made = calls.made - before.made
    if not made:
        return None
    took = tuple(round(seconds, 3) for seconds in calls.took[-min(made, TOOK) :])
    return Asked(at=look.now, made=made, failed=calls.failed - before.failed, took=took)


# -- act


def _needs(look: Look) -> Needs:
    """What must be done, of what was seen: nothing but an exit is seen while another invocation holds the book."""
    state, bar = look.state, look.before.bar
    if bar is None or look.failure:
        return Needs()
    now, traits = look.world.clock.now(), look.world.exchange.traits
    may = allowed(look.book.id, look.watch, state.tripped, now)
    run = Tick(look.world, look.book, bar, look.at, {}, "")
    scene = Scene(book=look.venue, traits=traits, mode=may, bar=bar, now=now, fresh=not late(run))
    needed = needs(state, look.news, scene, look.before, mode(look.venue, state, may, now))
    if look.held or not traits.instant:
        urgent = needed.urgent and traits.instant
        needed = Needs(why=("the position must go",), urgent=True) if urgent else Needs()
    more = [*(["a tick died"] if _died(look) else []), *(["a person said go on"] if _resumed(look) else [])]
    return msgspec.structs.replace(needed, why=(*needed.why, *more))


def _died(look: Look) -> bool:
    """Whether whoever held the book last never gave it back, after it had decided on the book's last bar."""
    lease_ = (look.found[book_key(look.book.id)].data or {}).get("lease") or {}
    return not look.held and lease_.get("until") is not None and lease_.get("bar") == look.before.bar


def _resumed(look: Look) -> bool:
    own = look.found[switch_keys(look.book.id)[1]].data
    return bool(look.before.trouble) and mode_of(own) in ("run", "reduce")


def _acted(look: Look, bar: datetime) -> Document:
    """Takes the book, and does what is to be done on the record of its last bar. Raises Conflict and Unavailable."""
    world, book = look.world, look.book
    until = world.clock.now() + timedelta(seconds=world.lease_s)
    taken = lease(look.found, book.id, bar, look.token, world.owner(), until)
    wanted = [tick_key(book.id, bar), window.key(book), *watched(book.id)]
    versions, read = world.together([partial(world.state.commit, [taken]), partial(world.state.read, wanted)])
    run = Tick(world, book, bar, look.at, dict((taken.data or {})["lease"]), versions[book_key(book.id)])
    before = look.found[book_key(book.id)].data or {}
    try:
        standing, bars = _standing(look, run, read, before)
        standing = _leaving(cleared(standing, bars))
        said = go_on(standing, bars)
    except Exception:
        with suppress(Conflict, Unavailable):  # if nothing was written since, the book is given back as it was
            run.commit({**before, "lease": released(run.lease)}, [])
        raise
    return {"reason": "acted", "position": said.get("position"), "venue": said.get("venue", [])}


def _standing(look: Look, run: Tick, read: Mapping[str, Versioned], before: Document) -> tuple[Standing, Bars]:
    """Where the book stands, with the record of its last bar: one that the tick has answered keeps that answer."""
    stored = read[window.key(look.book)].data
    bars = unpack(stored["bars"]) if stored else empty()
    record = read[tick_key(look.book.id, run.bar)].data
    if record is None:  # it has been cleaned up
        record = {"answer": before.get("last") or {}, "phase": "done", "fills": [], "trades": []}
    if record.get("phase") == "done":
        record = {**record, "phase": "decided", "answered": True}
    exchange, sight = look.world.exchange, look.sight
    if sight is None:
        sight = exchange.look(look.book.id, bars, look.before.open_orders)
    watch = {key: read[key] for key in watched(look.book.id)}
    return replace(Standing.first(run, look.before, sight, watch, look.now), record=record), bars


def _leaving(standing: Standing) -> Standing:
    """With an exit planned where everything must go."""
    run, state = standing.run, standing.state
    now = run.world.clock.now()
    if mode(standing.book, state, standing.mode, now) != "flatten":
        return standing
    scene = Scene(book=standing.book, traits=run.world.exchange.traits, mode=standing.mode, bar=run.bar, now=now)
    return replace(standing, state=leaving(state, scene))


# -- say


def _bar(look: Look) -> datetime:
    return look.before.bar or bar_before(look.at, look.book.timeframe)


def _said(look: Look, findings: Findings, needed: Needs) -> Document:
    trips = [trip.breaker for trip in findings.trips]
    reason = "; ".join([*needed.why, *(f"breaker {trip.breaker}" for trip in findings.new)]) or "nothing_found"
    return {
        **brief("done", look.book, _bar(look), reason),
        "trips": trips,
        "needs": list(needed.why),
        "told": [alert.id for alert in findings.told] + [trip.breaker for trip in findings.new],
        "looked": look.sight is not None,
        "position": str(look.state.holding.position),
    }
