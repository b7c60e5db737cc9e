"""tick: a bar closed; look, decide, write down, act, exit. docs/the_way_of_a_bar.md tells the same in prose.

Round trips, one after the other, when nothing is wrong: 1 read · 2 claim, beside model, exchange, VIX and switch ·
3 write down; and with an order: 4 the switch once more · 5 submit · 6 finish.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from core.domain.act import Step
from core.domain.bars import Bars, bar_before, close_time, empty, moment, unpack
from core.domain.daily import Daily
from core.domain.decide import Decision, Foresight, View, decide
from core.domain.forecast import Model
from core.domain.orders import Sight
from core.domain.risk import Trip
from core.domain.state import Book, BookState, conclude, marked, trip_name, tripped, view, warned
from core.flows import account, drift, measures, outside, vix, window
from core.flows.account import Account
from core.flows.act import Standing, carry_out, cleared, go_on, late
from core.flows.check import starting
from core.flows.claim import Tick, book_key, claim, lease, released, state_of, tick_key, watched
from core.flows.gather import attempt
from core.flows.outbox import refusal, tripped_alert
from core.flows.record import answer, brief, record_of
from core.flows.serving import Problem, foresee, live_model, mismatched, pointer_key, version_of
from core.flows.switches import found as found_trips
from core.flows.switches import switched
from core.ports import Conflict, Document, Unavailable, Versioned, World, Write

log = logging.getLogger("hourhand.tick")
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a tick found before it decided."""

    standing: Standing
    bars: Bars
    problem: Problem | None
    model: Model | None
    daily: Daily
    vix_document: Document | None
    account: Account | None
    no_go: Problem | None  # why live may take no new risk at all
    shown: drift.Shown | None  # what the model was shown of late, once a day
    beyond: outside.Found  # of other markets and series


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with what it was made from."""

    view: View
    decision: Decision
    foresight: Foresight
    state: BookState


def tick(world: World, book: Book, at: datetime) -> Document:
    """The answer for the bar that had just closed at `at`: at least outcome, book, bar and reason.

    `at` sets the bar and the decision's clock; leases and waiting use the real one. Raises Unavailable when the state
    store or the exchange cannot be reached (nothing is half done: the next call goes on from what is written down).
    """
    bar = bar_before(at, book.timeframe)
    keys = [tick_key(book.id, bar), book_key(book.id), window.key(book), vix.KEY, pointer_key(book.id)]
    keys += [*account.keys(world, book), *outside.keys(world, book)]
    found, last = world.together([partial(world.state.read, keys), partial(window.newest, world, book, bar)])
    mine = claim(found, book.id, bar, world.clock.now())
    if mine.answer == "done" and mine.record:
        measures.repeated()
        return dict(mine.record["answer"])
    if mine.answer != "mine":
        return brief("busy" if mine.answer == "busy" else "superseded", book, bar, mine.reason)
    until = world.clock.now() + timedelta(seconds=world.lease_s)
    taken = lease(found, book.id, bar, mine.token, world.owner(), until)
    try:
        if mine.record:
            return _resume(world, book, bar, at, found, mine.record, taken)
        return _fresh(world, book, bar, at, found, last, taken)
    except Conflict:
        return brief("busy", book, bar, "another invocation took this book over")


def _fresh(
    world: World,
    book: Book,
    bar: datetime,
    at: datetime,
    found: Mapping[str, Versioned],
    last: Bars | Exception,
    taken: Write,
) -> Document:
    state = _state(found, book)
    bars, problem = window.window(world, book, bar, state.bar, found[window.key(book)].data, last)
    if problem:
        measures.source_failed(book.id, "bars", "venue", ": ".join(problem))
    calls: list[Callable[[], Any]] = [
        partial(world.state.commit, [taken]),
        partial(world.state.read, watched(book.id)),
        partial(world.exchange.look, book.id, bars, state.open_orders),
        partial(live_model, world, book, found[pointer_key(book.id)].data),
        partial(vix.refresh, world.vix, found[vix.KEY].data, at, world.vix_every_s),
        partial(account.beside, world, book, found),
        partial(starting, world, book),
        partial(drift.shown, world, book, bar),
        partial(outside.refresh, world, book, found, bar, at),
    ]
    now = world.clock.now()
    versions, watch, sight, model, daily, beside, no_go, shown, beyond = results = world.together(
        [partial(attempt, call, Exception) for call in calls]
    )
    failures = [result for result in results if isinstance(result, Exception)]
    if isinstance(versions, Exception):
        raise versions
    run = Tick(world, book, bar, at, dict((taken.data or {})["lease"]), versions[book_key(book.id)])
    try:
        if failures:
            raise failures[0]
        measures.sources_failed(book.id, "vix", daily.failed)
        standing = cleared(Standing.first(run, state, sight, watch, now), bars)
        problem = _late(run) or problem or _barred(standing.sight)
        shared, (problem, model) = problem, _usable(model, run, problem)
        gathered = Gathered(standing, bars, problem, model, daily.daily, daily.document, beside, no_go, shown, beyond)
        standing, step, seen = _decide_and_write_down(gathered)
    except Exception:
        _release(run, found[book_key(book.id)].data)
        raise
    said = dict(standing.record["answer"]) if step.act == "none" else carry_out(standing, step, bars)
    _challenged(gathered, shared, seen, found[pointer_key(book.id)])
    return said


def _challenged(gathered: Gathered, problem: Problem | None, seen: Foresight, pointer: Versioned) -> None:
    """Lets the challenger trade on paper at this bar, if there is one. Raises nothing: the tick's work is done."""
    if not (pointer.data or {}).get("challenger"):
        return
    try:
        from core.flows.challenge import Seen, shadow

        run, bars = gathered.standing.run, gathered.bars
        ask = partial(_seen, run, gathered)
        shadow(run, gathered.standing.book, pointer, Seen(bars, problem, gathered.model, seen, ask))
    except Exception:
        log.warning("the challenger missed this bar", exc_info=True)


def _release(run: Tick, before: Document | None) -> None:
    """Gives the book back as it was, so that the next call need not wait for the lease to run out."""
    with suppress(Conflict, Unavailable):
        run.commit({**(before or {}), "lease": released(run.lease)}, [])


def _state(found: Mapping[str, Versioned], book: Book) -> BookState:
    try:
        return state_of(found[book_key(book.id)].data, book)
    except msgspec.ValidationError as failure:
        raise Unavailable(f"the stored state books/{book.id} is damaged, a person must mend it: {failure}") from None


def _late(run: Tick) -> Problem | None:
    if not late(run):
        return None
    limit, age = run.book.max_lateness_s, run.age()
    return "too_late", f"the bar closed {age:.0f} s ago; the limit is {limit} s"


def _barred(sight: Sight) -> Problem | None:
    return ("venue_barred", sight.barred) if sight.barred else None


def _usable(model: Model | Problem, run: Tick, problem: Problem | None) -> tuple[Problem | None, Model | None]:
    if isinstance(model, Model):
        return problem or mismatched(model, run.book, run.bar), model
    return problem or model, None


# -- decide, and write down


def _decide_and_write_down(gathered: Gathered) -> tuple[Standing, Step, Foresight]:
    """The decision, committed with its inputs and intents if the switches are still as they were read."""
    standing = gathered.standing
    for attempts_left in reversed(range(ATTEMPTS)):
        run, book = standing.run, standing.book
        decided = _decide(standing, gathered)
        state, step = standing.planned(conclude(decided.state, run.bar, decided.decision))
        model = version_of(gathered.model.manifest, gathered.model.version) if gathered.model else None
        said = answer(book, decided.view, decided.decision, state, model)
        record = record_of(book, said, decided.view, decided.decision, standing.news) | {
            "phase": "done" if step.act == "none" else "decided",
            "at": run.at,
            "token": run.lease["token"],
            "row": decided.foresight.row,
            "members": decided.foresight.members,
            "window": {"bars": len(gathered.bars), "sha256": gathered.bars.digest()},
            **({"outside": gathered.beyond.said} if gathered.beyond.said else {}),
        }
        writes = [
            window.kept(book, gathered.bars),
            *([Write(vix.KEY, gathered.vix_document)] if gathered.vix_document else []),
            *gathered.beyond.writes,
            *refusal(book, run.bar, said),
            *_breakers(standing, decided),
            *drift.told(book, run.bar, gathered.shown, gathered.model.manifest if gathered.model else None),
            *_entered(gathered, decided),
        ]
        try:
            standing = standing.written(state, step, record, writes, new=True)
        except Conflict:
            if not attempts_left or not run.still_ours():
                raise
            log.info("the switch moved while deciding, or another book entered: deciding again")
            standing = replace(standing, watch=run.world.state.read(watched(book.id)))
            gathered = replace(gathered, account=_account_again(run))
            continue
        measures.decided(record, book.policy, run.age(), _age(gathered.model, run))
        return standing, step, decided.foresight
    raise AssertionError("unreachable: the last attempt returns or raises")


def _age(model: Model | None, run: Tick) -> float | None:
    """Days from what the model knows of to this bar's close."""
    if model is None:
        return None
    return (close_time(run.bar, run.book.timeframe) - model.manifest.data_until).total_seconds() / 86400


def _decide(standing: Standing, gathered: Gathered) -> Decided:
    run, book, bars, beside = standing.run, standing.book, gathered.bars, gathered.account
    seen = _seen(run, gathered, gathered.model, gathered.problem)
    price = float(bars.close[-1]) if len(bars) and moment(bars.time[-1]) == run.bar else math.nan
    closed = close_time(run.bar, book.timeframe)
    state, own = tripped(marked(standing.state, price, closed), book.policy, closed)
    state, all_books = account.judged(state, beside, closed)
    found = found_trips(book.id, standing.watch, run.world.clock.now())
    trips = (*own, *all_books, *found, *_kept_from_risk(gathered.no_go, closed))
    looked = view(
        book, state, run.bar, switched(book.id, standing.watch), standing.blocked, seen.problem, price, seen.p_up,
        list(seen.context), trips, standing.sight, beside.rooms(state, bars) if beside else (None, None),
    )  # fmt: skip
    return Decided(looked, decide(looked, book.policy, book.rules), seen, warned(state, trips))


def _seen(run: Tick, gathered: Gathered, model: Model | None, problem: Problem | None) -> Foresight:
    look = run.world.foresee or partial(foresee, outside=gathered.beyond.outside)
    return look(gathered.standing.book, gathered.bars, model, gathered.daily, problem)


def _kept_from_risk(no_go: Problem | None, now: datetime) -> list[Trip]:
    """A live process that may not begin opens nothing; what is open it may leave."""
    if no_go is None:
        return []
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return [Trip(breaker=no_go[0], level="reduce", since=now, until=tomorrow, detail=no_go[1])]


def _breakers(standing: Standing, decided: Decided) -> list[Write]:
    """What a person is told of breakers that had not tripped at the last bar."""
    told, run = standing.state.warned, standing.run
    return [tripped_alert(run.book, run.bar, trip) for trip in decided.view.trips if trip_name(trip) not in told]


def _entered(gathered: Gathered, decided: Decided) -> list[Write]:
    entering = any(intent.leg == "entry" for intent in decided.decision.intents)
    run = gathered.standing.run
    return [gathered.account.entered(run.book, run.bar)] if gathered.account and entering else []


def _account_again(run: Tick) -> Account | None:
    keys = account.keys(run.world, run.book)
    return account.beside(run.world, run.book, run.world.state.read(keys)) if keys else None


# -- go on


def _resume(
    world: World,
    book: Book,
    bar: datetime,
    at: datetime,
    found: Mapping[str, Versioned],
    record: Document,
    taken: Write,
) -> Document:
    """A tick for this bar died after it had decided: what it wrote down is carried out, as far as that may still be."""
    state, stored = _state(found, book), found[window.key(book)].data
    bars = unpack(stored["bars"]) if stored else empty()
    calls: list[Callable[[], Any]] = [
        partial(world.state.commit, [taken]),
        partial(world.exchange.look, book.id, bars, state.open_orders),
        partial(world.state.read, watched(book.id)),
    ]
    now = world.clock.now()
    versions, sight, watch = world.together(calls)
    run = Tick(world, book, bar, at, dict((taken.data or {})["lease"]), versions[book_key(book.id)])
    log.warning("going on with a decision that an earlier invocation wrote down")
    standing = replace(Standing.first(run, state, sight, watch, now), record=record)
    measures.decided(record, book.policy, run.age())
    return go_on(standing, bars)
