"""Act: carry out what is written down, one step at a time, and write down what came of it.

Every order is sent after a commit that says so, and that holds only if the book is still ours and the switches are as
they were read: whatever dies afterwards, the next invocation knows that the venue may have it. Right before it is sent
the switches are read once more: after a flip, only what is on the wire already can still arrive.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import msgspec

from core.domain.act import Scene, Step, answered, plan, sent, unprotected, withheld
from core.domain.bars import Bars
from core.domain.orders import Order, Sight
from core.domain.settle import News, expected, resumed, settle
from core.domain.state import Book, BookState, trusted
from core.domain.switch import Mode, mode_of, permits
from core.flows import measures, outbox
from core.flows.claim import Tick, plain, released, switch_keys, tick_key, watched
from core.flows.record import book_document, with_news
from core.flows.switches import allowed, lasting, lifted
from core.ports import Conflict, Document, Unavailable, Watch, Write

log = logging.getLogger("hourhand.act")
ROUNDS = 24  # steps of one tick: a reversal with every order lost on the way takes fewer
CLEARING = 7  # looks before the decision, while it is not clear what became of earlier orders


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a tick stands: what the book believes, what venue and switches showed last, the record so far, and the news
    and alerts that are to be written down with it. `known`: what the log has been told of (measures.troubled)."""

    run: Tick
    book: Book
    state: BookState
    sight: Sight
    watch: Watch
    record: Document = field(default_factory=dict)
    news: News = field(default_factory=News)
    told: tuple[Write, ...] = ()
    known: frozenset[str] = frozenset()

    @classmethod
    def first(cls, run: Tick, state: BookState, sight: Sight, watch: Watch, now: datetime) -> Standing:
        """After the first look. Where the book halted itself and its switch no longer says so, a person resumed it."""
        if state.trouble and mode_of(watch[switch_keys(run.book.id)[1]].data) in ("run", "reduce"):
            log.warning("resumed by a person after: %s", state.trouble)
            state = resumed(state, sight, run.world.exchange.traits)
        if over := lifted(run.book.id, watch, state.tripped):
            log.warning("resumed by a person after: %s", "; ".join(trip.detail for trip in over))
            state = trusted(state, over, now)
        return cls(run, run.book, state, sight, watch, known=measures.known(state)).seen(sight, watch, now)

    def seen(self, sight: Sight, watch: Watch, now: datetime) -> Standing:
        """With what the venue shows taken in. `now`: the real time before the look, which may have taken long."""
        run = self.run
        book = msgspec.structs.replace(run.book, rules=sight.rules) if sight.rules else run.book
        traits = run.world.exchange.traits
        state, news = settle(self.state, sight, book, traits, now)
        told = (
            outbox.news_alerts(book, run.bar, news)
            if news.trouble != self.state.trouble or news.fills or news.lost
            else []
        )
        news = News(
            fills=(*self.news.fills, *news.fills), trades=(*self.news.trades, *news.trades), trouble=news.trouble
        )
        return replace(self, book=book, state=state, sight=sight, watch=watch, news=news, told=(*self.told, *told))

    @property
    def mode(self) -> Mode:
        """What may be done now, by switches and breakers together."""
        return allowed(self.book.id, self.watch, self.state.tripped, self.run.world.clock.now())

    @property
    def blocked(self) -> tuple[str, str] | None:
        """Why nothing at all may be decided."""
        if self.state.trouble:
            return "needs_a_person", self.state.trouble
        if self.state.mismatches:
            ours, theirs = expected(self.state), self.sight.position
            return "position_mismatch", f"the book says {ours}, the exchange says {theirs}"
        return None

    def planned(self, state: BookState) -> tuple[BookState, Step]:
        """The state as it is to be written down, and the step that follows."""
        run, traits = self.run, self.run.world.exchange.traits
        now = run.world.clock.now()
        scene = Scene(book=self.book, traits=traits, mode=self.mode, bar=run.bar, now=now, fresh=not late(run))
        state, step = plan(state, scene)
        state = sent(state, step, self.sight, traits, now)
        names = {order.intent.id for order in step.orders}
        return state, msgspec.structs.replace(
            step, orders=tuple(order for order in state.open_orders if order.intent.id in names)
        )

    def written(
        self, state: BookState, step: Step, record: Document, writes: Sequence[Write] = (), new: bool = False
    ) -> Standing:
        """Commits where it stands, on condition that lease and switches are as they were. Raises Conflict."""
        run, watch = self.run, self.watch
        key = tick_key(run.book.id, run.bar)
        held = run.lease if step.act != "none" else released(run.lease)
        halted = lasting(self.book.id, watch, state.tripped, state.trouble, run.world.clock.now())
        record = with_news(record, self.news) if not new else record
        told = self.told if step.act != "none" else (*self.told, *self._exposed(state))
        run = run.commit(
            book_document(state, record["answer"], held),
            [Write(key, record, None) if new else Write(key, record), *writes, *told, *halted],
            {name: found for name, found in watch.items() if name not in {write.key for write in halted}},
        )
        measures.stands(state)
        known = measures.troubled(self.book.id, state, self.known, over=step.act == "none")
        return replace(self, run=run, state=state, record=record, news=News(), told=(), known=known)

    def _exposed(self, state: BookState) -> list[Write]:
        """What to say when nothing more is to be done and a position stands without its stop."""
        run = self.run
        if not unprotected(state, self.book, run.world.exchange.traits):
            return []
        return [outbox.unprotected(self.book, run.bar, state.holding.position)]


def late(run: Tick) -> bool:
    """Whether the bar is too old for new risk."""
    limit = run.book.max_lateness_s
    return bool(limit) and run.age() > limit


def cleared(standing: Standing, bars: Bars) -> Standing:
    """Looks again for a while, if it is not clear yet what became of earlier orders, or where the position stands."""
    for _ in range(CLEARING):
        state, traits = standing.state, standing.run.world.exchange.traits
        unclear = traits.instant and not state.trouble and (state.unsettled or state.waiting)
        if not unclear or standing.run.nearly_over():
            break
        _, step = standing.planned(state)
        standing = _look(standing, bars, step.wait_s or 2.5)
    return standing


def go_on(standing: Standing, bars: Bars) -> Document:
    """Carries out what an earlier invocation had written down for this bar."""
    standing = cleared(standing, bars)
    standing, step = _next(standing)
    return carry_out(standing, step, bars)


def carry_out(standing: Standing, step: Step, bars: Bars) -> Document:
    """Takes `step`, which is written down already, and those that follow from it, until nothing is left to be done.

    Raises Unavailable when the lease is nearly over before that: then the next call goes on.
    """
    for _ in range(ROUNDS):
        if step.act == "none":
            return _finish(standing)
        if standing.run.time_left() < step.wait_s:
            break
        standing = _done(standing, step)
        if not standing.run.world.exchange.traits.instant:
            return _finish(standing)
        try:
            standing = _look(standing, bars, step.wait_s)
        except Unavailable:
            _put_down(standing)
            raise
        if standing.run.nearly_over():
            break
        standing, step = _next(standing)
    if left := _left(standing):
        _put_down(standing)
        raise Unavailable(f"book {standing.book.id}: time was up with {left} left to be done; the next call goes on")
    return _finish(standing)


def _left(standing: Standing) -> str:
    """What of this bar has not been done, and can still be: "" if nothing."""
    state = standing.state
    if state.trouble:
        return ""
    unsent = [order.intent.leg for order in state.orders if order.status in ("planned", "sent")]
    bare = unprotected(state, standing.book, standing.run.world.exchange.traits) and permits(standing.mode, "stop")
    return ", ".join([*unsent, *(["a stop"] if bare else [])])


def _done(standing: Standing, step: Step) -> Standing:
    """`step` carried out after a last reading of the switches, with what was said to it at once. Raises Unavailable:
    who cannot read the switches sends nothing."""
    exchange, book = standing.run.world.exchange, standing.book.id
    if step.act not in ("cancel", "send"):
        return standing
    standing = replace(standing, watch=standing.run.world.state.read(watched(book)))
    if step.act == "cancel":
        if orders := _to_take_back(standing, step.orders):
            exchange.cancel(book, orders)
        return standing
    if standing.run.time_left() <= 0:
        raise Conflict("the lease ran out before anything was sent")
    standing, orders = _still_allowed(standing, step.orders)
    if not orders:
        return standing
    answers = exchange.submit(book, orders)
    said = [*standing.record.get("venue", ()), *(plain(answer) for answer in answers)]
    return replace(standing, state=answered(standing.state, answers), record={**standing.record, "venue": said})


def _still_allowed(standing: Standing, orders: Sequence[Order]) -> tuple[Standing, list[Order]]:
    """Those that may still go by the last reading of the switches; the others have never been placed."""
    mode = standing.mode
    dropped = {order.intent.id for order in orders if not permits(mode, order.intent.leg)}
    state = withheld(standing.state, dropped, f"the switch says {mode}") if dropped else standing.state
    return replace(standing, state=state), [order for order in orders if order.intent.id not in dropped]


def _to_take_back(standing: Standing, orders: Sequence[Order]) -> list[Order]:
    """Without the stop of a position, where nothing may be sent in its place."""
    bare = standing.mode == "halt" and standing.state.holding.position
    return [order for order in orders if not (bare and order.intent.leg == "stop")]


def _look(standing: Standing, bars: Bars, wait_s: float) -> Standing:
    world, book = standing.run.world, standing.book.id
    if wait_s:
        world.clock.sleep(wait_s)
    now = world.clock.now()
    sight, watch = world.together(
        [
            partial(world.exchange.look, book, bars, standing.state.open_orders),
            partial(world.state.read, watched(book)),
        ]
    )
    return standing.seen(sight, watch, now)


def _next(standing: Standing) -> tuple[Standing, Step]:
    """The next step; an order is written down before it is sent."""
    for attempts_left in (1, 0):
        state, step = standing.planned(standing.state)
        if step.act != "send":
            return replace(standing, state=state), step
        try:
            return standing.written(state, step, standing.record), step
        except Conflict:
            if not attempts_left or not standing.run.still_ours():
                raise
            standing = replace(standing, watch=standing.run.world.state.read(watched(standing.book.id)))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _put_down(standing: Standing) -> None:
    """Writes down what is known and gives the book back, so that the next call can go on at once."""
    with suppress(Conflict, Unavailable):
        standing.written(standing.state, Step(), standing.record)


def _finish(standing: Standing) -> Document:
    """Writes down how it ended."""
    state, run = standing.state, standing.run
    final = _answer(standing)
    record = {**standing.record, "phase": "done", "answer": final}
    try:
        standing.written(state, Step(), record)
    except Conflict:
        if not run.still_ours():
            raise
        watch = run.world.state.read(watched(standing.book.id))
        replace(standing, watch=watch).written(state, Step(), record)
    if final.get("venue"):
        log.info("acted", extra={name: final.get(name) for name in ("book", "bar", "venue")})
    return final


def _answer(standing: Standing) -> Document:
    if standing.record.get("answered"):  # the tick's own words stand; what came later is in fills, trades and venue
        return dict(standing.record["answer"])
    state, said = standing.state, dict(standing.record["answer"])
    mine = [order for order in state.orders if order.intent.bar == standing.run.bar and order.intent.leg != "stop"]
    dropped = [order for order in mine if order.status == "never_placed" and not _replaced(order, mine)]
    said |= {"position": str(state.holding.position), "venue": standing.record.get("venue", [])}
    if state.trouble:
        said |= {"outcome": "refused", "reason": "needs_a_person", "trouble": state.trouble}
    elif state.unsettled:
        said["reason"] = "order_unknown"
    elif any(order.status == "refused" for order in mine):
        said["reason"] = "order_refused"
    elif dropped:
        ids = [order.intent.id for order in dropped]
        said |= {"outcome": "refused", "reason": "order_dropped", "dropped": ids}
    return said


def _replaced(order: Order, others: Sequence[Order]) -> bool:
    return any(other.intent.leg == order.intent.leg and other.intent.attempt > order.intent.attempt for other in others)
