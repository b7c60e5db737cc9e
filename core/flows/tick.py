"""tick: a bar closed; look, decide, write down, act, exit. docs/the_way_of_a_bar.md tells the same in prose.

Round trips, one after the other, when nothing is wrong: 1 read · 2 claim, beside model, exchange, VIX and switch ·
3 write down; and with an order: 4 submit · 5 finish.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import msgspec

from core.domain.bars import Bars, bar_before, close_time, empty, moment, unpack
from core.domain.daily import Daily
from core.domain.decide import Decision, Mode, View, decide, effective, permits
from core.domain.features import CONTEXT, SETS, FeatureSet, feature_set, last_row
from core.domain.fills import Account
from core.domain.forecast import Model
from core.domain.orders import Intent
from core.domain.state import Book, BookState, News, conclude, settle, view
from core.flows import vix, window
from core.flows.claim import book_key, claim, lease, plain, released, state_of, switch_keys, tick_key
from core.flows.gather import attempt
from core.flows.record import alerts, answer, book_document, brief, record_of
from core.flows.serving import Problem, live_model, mismatched, pointer_key, unusable, version_of
from core.ports import Conflict, Document, Unavailable, Versioned, Watch, World, Write

log = logging.getLogger("hourhand.tick")
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Tick:
    """One bar of one book, held under a lease. `held`: the version of the book's document that we wrote last."""

    world: World
    book: Book
    bar: datetime
    at: datetime
    lease: Document
    held: str

    @property
    def key(self) -> str:
        return book_key(self.book.id)

    def commit(self, document: Document, writes: list[Write], watch: Watch | None = None) -> Tick:
        """Writes the book's document and `writes`, if the lease is still ours."""
        versions = self.world.state.commit([Write(self.key, document, self.held), *writes], watch)
        return replace(self, held=versions[self.key])

    def still_ours(self) -> bool:
        return self.world.state.read([self.key])[self.key].version == self.held


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a tick found before it decided. `state` has the `news` booked already."""

    state: BookState
    news: News
    bars: Bars
    problem: Problem | None
    model: Model | None
    daily: Daily
    vix_document: Document | None
    watch: Watch


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with what it was made from."""

    view: View
    decision: Decision
    row: dict[str, float]
    members: dict[str, float]


def tick(world: World, book: Book, at: datetime) -> Document:
    """The answer for the bar that had just closed at `at`: at least outcome, book, bar and reason.

    `at` sets the bar and the decision's clock; leases and waiting use the real one. Raises Unavailable when the state
    store or the exchange cannot be reached (nothing is half done: the next call goes on from what is written down).
    """
    bar = bar_before(at, book.timeframe)
    keys = [tick_key(book.id, bar), book_key(book.id), window.key(book), vix.KEY, pointer_key(book.id)]
    found, last = world.together([partial(world.state.read, keys), partial(window.newest, world, book, bar)])
    mine = claim(found, book.id, bar, world.clock.now())
    if mine.answer == "done" and mine.record:
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
    calls: list[Callable[[], Any]] = [
        partial(world.state.commit, [taken]),
        partial(world.state.read, switch_keys(book.id)),
        partial(world.exchange.look, book.id, bars),
        partial(live_model, world, book, found[pointer_key(book.id)].data),
        partial(vix.refresh, world.vix, found[vix.KEY].data, at, world.vix_every_s),
    ]
    versions, watch, account, model, daily = results = world.together(
        [partial(attempt, call, Exception) for call in calls]
    )
    failures = [result for result in results if isinstance(result, Exception)]
    if isinstance(versions, Exception):
        raise versions
    run = Tick(world, book, bar, at, dict((taken.data or {})["lease"]), versions[book_key(book.id)])
    if failures:
        _release(run, found[book_key(book.id)].data)
        raise failures[0]
    settled, news = settle(state, account)
    problem = _late(run) or problem or _mismatch(settled, account)
    problem, model = _usable(model, run, problem)
    gathered = Gathered(settled, news, bars, problem, model, daily.daily, daily.document, watch)
    try:
        run, state, record = _decide_and_write_down(run, gathered)
    except Exception:
        _release(run, found[book_key(book.id)].data)
        raise
    return dict(record["answer"]) if record["phase"] == "done" else _act(run, state, record)


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
    late, limit = (
        (run.world.clock.now() - close_time(run.bar, run.book.timeframe)).total_seconds(),
        run.book.max_lateness_s,
    )
    return ("too_late", f"the bar closed {late:.0f} s ago; the limit is {limit} s") if limit and late > limit else None


def _mismatch(state: BookState, account: Account) -> Problem | None:
    ours, theirs = state.holding.position, account.holding.position
    if ours == theirs:
        return None
    return "position_mismatch", f"the book says {ours}, the exchange says {theirs}: a person must look"


def _usable(model: Model | Problem, run: Tick, problem: Problem | None) -> tuple[Problem | None, Model | None]:
    if isinstance(model, Model):
        return problem or mismatched(model, run.book, run.bar), model
    return problem or model, None


# -- decide, and write down


def _decide_and_write_down(run: Tick, gathered: Gathered) -> tuple[Tick, BookState, Document]:
    """The decision, committed with its inputs and intents on condition that the switch is still as it was read."""
    for attempts_left in reversed(range(ATTEMPTS)):
        decided = _decide(run, gathered)
        state = conclude(gathered.state, run.bar, decided.view.price, decided.decision)
        model = version_of(gathered.model.manifest, gathered.model.version) if gathered.model else None
        said = answer(run.book, decided.view, decided.decision, state, model)
        record = record_of(run.book, said, decided.view, decided.decision, gathered.news) | {
            "at": run.at,
            "token": run.lease["token"],
            "row": decided.row,
            "members": decided.members,
            "window": {"bars": len(gathered.bars), "sha256": gathered.bars.digest()},
        }
        done = record["phase"] == "done"
        writes = [
            Write(tick_key(run.book.id, run.bar), record, None),
            window.kept(run.book, gathered.bars),
            *([Write(vix.KEY, gathered.vix_document)] if gathered.vix_document else []),
            *alerts(run.book, run.bar, said, gathered.news),
        ]
        try:
            run = run.commit(
                book_document(state, said, released(run.lease) if done else run.lease), writes, gathered.watch
            )
        except Conflict:
            if not attempts_left or not run.still_ours():
                raise
            log.info("the switch moved while deciding: deciding again")
            gathered = replace(gathered, watch=run.world.state.read(switch_keys(run.book.id)))
            continue
        log.info("decided", extra={"tick": said})
        return run, state, record
    raise AssertionError("unreachable: the last attempt returns or raises")


def _decide(run: Tick, gathered: Gathered) -> Decided:
    book, bars, model = run.book, gathered.bars, gathered.model
    problem, p_up = gathered.problem, math.nan
    row: dict[str, float] = {}
    members: dict[str, float] = {}
    context = [math.nan] * len(CONTEXT.names)
    if problem is None and model is not None:
        names, width = _looked_at(book.features), len(SETS[book.features].names)
        values = last_row(names, bars, book.timeframe, gathered.daily, book.vix_max_age_s)
        known = dict(zip(names.names, values.tolist(), strict=True))
        row = dict(list(known.items())[:width])
        problem = unusable(model, values[:width])
        if problem is None:
            p_up, members = model.score(values[:width])
            context = [known[name] for name in CONTEXT.names]
    price = float(bars.close[-1]) if len(bars) and moment(bars.time[-1]) == run.bar else math.nan
    seen = view(book, gathered.state, run.bar, _mode(gathered.watch), problem, price, p_up, context)
    return Decided(seen, decide(seen, book.policy, book.rules), row, members)


@cache
def _looked_at(name: str) -> FeatureSet:
    """The model's features, then what else the decision looks at: one pass, since they share most of their work."""
    return feature_set(name, *dict.fromkeys((*SETS[name].names, *CONTEXT.names)))


def _mode(watch: Watch) -> Mode:
    return effective(found.data for found in watch.values())


# -- act


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
        partial(world.exchange.look, book.id, bars),
        partial(world.state.read, switch_keys(book.id)),
    ]
    versions, account, watch = world.together(calls)
    run = Tick(world, book, bar, at, dict((taken.data or {})["lease"]), versions[book_key(book.id)])
    log.warning("going on with a decision that an earlier invocation wrote down")
    kept = tuple(intent for intent in state.unsettled if intent.id in account.known or _may_go(run, watch, intent))
    dropped = tuple(intent for intent in state.unsettled if intent not in kept)
    return _act(run, msgspec.structs.replace(state, unsettled=kept), record, dropped)


def _may_go(run: Tick, watch: Watch, intent: Intent) -> bool:
    """Whether an order that was written down a while ago may be sent now."""
    late = intent.leg == "entry" and _late(run) is not None
    return permits(_mode(watch), intent.leg) and not late


def _act(run: Tick, state: BookState, record: Document, dropped: tuple[Intent, ...] = ()) -> Document:
    """Places what is written down, and writes down what the venue said. `dropped`: intents that shall not go now."""
    answers = run.world.exchange.submit(run.book.id, state.unsettled) if state.unsettled else []
    unknown = {said.intent for said in answers if said.outcome == "unknown"}
    refused = any(said.outcome == "refused" for said in answers)
    final = {**record["answer"], "venue": [plain(said) for said in answers]}
    if unknown or refused:
        final["reason"] = "order_unknown" if unknown else "order_refused"
    elif dropped:
        final |= {"outcome": "refused", "reason": "order_dropped", "dropped": [intent.id for intent in dropped]}
    state = msgspec.structs.replace(state, unsettled=tuple(i for i in state.unsettled if i.id in unknown))
    finished = Write(tick_key(run.book.id, run.bar), {**record, "phase": "done", "answer": final})
    run.commit(book_document(state, final, released(run.lease)), [finished])
    log.info("acted", extra={"tick": final})
    return final
