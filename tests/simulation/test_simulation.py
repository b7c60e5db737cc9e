"""A slice of the simulation that every run of the tests plays; `python -m tests.simulation` plays on for as long as it
is told to. And proof that the audit sees what it is there to see: a doctored world for each thing that always holds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from decimal import Decimal
from functools import cache
from multiprocessing import get_context
from typing import Any

import pytest
from msgspec.structs import replace

from core.domain.orders import ZERO, Intent
from core.domain.state import BookState
from core.flows.claim import plain
from core.ports import Write
from tests.simulation import story
from tests.simulation.faults import ANY_CALL
from tests.simulation.history import History, Wish, fingerprint, played
from tests.simulation.port import SENDING
from tests.simulation.setting import CLASSES
from tests.simulation.soak import CALLS, POINTS, Tally, batch
from tests.simulation.world import BAD_BARS

SEEDS = 200
pytestmark = pytest.mark.timeout(1200)  # the slice takes half a minute, on a machine that is not throttled
WORKERS = max(len(os.sched_getaffinity(0)), 1) if hasattr(os, "sched_getaffinity") else 1


@cache
def slice_() -> Tally:
    total = Tally()
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for tally in pool.map(batch, range(0, SEEDS, 20), [20] * (SEEDS // 20)):
            total.add(tally)
    return total


def test_whatever_fails_what_always_holds_still_holds() -> None:
    failing = slice_().failing
    if failing:
        pytest.fail(story.told(story.shrunk(played(failing[0][0]))), pytrace=False)


def test_every_call_was_the_last_of_some_invocation_before_and_after_it_was_carried_out() -> None:
    # The rarest points are left to the longer runs; the soak asks for all of them.
    rare = {"read books", "commit release", "models get", "vix", "bars past", "paper read paper", "paper commit paper"}
    rare |= {"scan ticks", "read windows"}  # once a day
    rare |= {call for call in CALLS if call.startswith("guard ")}
    assert [point for point in slice_().uncovered if point[0] not in rare] == []
    assert slice_().unnamed == [], "a call has appeared that stands in no table"


def test_guards_die_at_most_of_their_calls() -> None:
    """At all of them only in the longer runs: a guard seldom has anything to do."""
    died = {call for call, fault in slice_().points if call.startswith("guard ") and "crash" in fault}
    assert len(died) > 8, died


def test_every_kind_of_venue_and_of_fault_occurred() -> None:
    tally = slice_()
    assert all(tally.venues[name] for name in CLASSES)
    assert all(tally.kinds[kind] for kind in (*ANY_CALL, *SENDING, *BAD_BARS, "aborted"))
    assert tally.switches > 1000, "hardly any invocations ran at once"
    assert tally.outcomes["halted switch_halt"] and tally.outcomes["traded switch_flatten"]
    assert tally.outcomes["guard done the"] > 20, "hardly any position was taken off by a guard"
    assert tally.outcomes["guard done send"] > 10, "hardly any stop was put back by a guard"


@pytest.mark.parametrize("seed", [3, 16])
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    assert fingerprint(played(Wish(seed))) == fingerprint(played(Wish(seed)))


def test_two_invocations_at_once_give_the_same_history_again() -> None:
    seed = next(seed for seed in range(100) if played(Wish(seed)).scene.turns.switches > 50)
    assert fingerprint(played(Wish(seed))) == fingerprint(played(Wish(seed)))


# -- a failing history is told, and made short


class Blind(History):
    """A history in which it is held against the book that it sends a stop."""

    def _venue_tells(self, line: str) -> None:
        super()._venue_tells(line)
        if "of entry" in line and self.told.points:
            self.audit.wrong("it traded, after something had gone wrong")


def test_a_failing_seed_is_shrunk_and_its_command_plays_it_again() -> None:
    def play(wish: Wish) -> History:
        return Blind(wish).run()

    failing = next(history for seed in range(50) if (history := play(Wish(seed))).audit.violations)
    short = story.shrunk(failing, play)
    assert short.audit.violations
    assert short.setting.bars <= failing.setting.bars
    assert short.wish.only is not None and len(short.wish.only) <= 2, (
        "one thing that goes wrong is enough, in one call of a guard"
    )
    assert story.command(short.wish) in story.told(short)
    assert play(short.wish).audit.violations == short.audit.violations


# -- the audit can fail


class Unfinished(History):
    """A history in which nobody flattens in the end."""

    def _flatten(self, following: int) -> None:
        pass


@cache
def _quiet_seed(venue: str) -> int:
    """A history in which nothing fails, and which ends with a position and its stop."""
    for seed in range(400):
        history = Unfinished(Wish(seed, venue, 0, frozenset())).run()
        held = history.venue.position and history.setting.quirks.honest and not history.audit.violations
        if held and history.audit.mode() == "run" and not history.audit.believed.working:
            return seed
    raise AssertionError("no such history")


def standing(venue: str = "D") -> History:
    """A history that has just been played, in which nothing was wrong."""
    history = Unfinished(Wish(_quiet_seed(venue), venue, 0, frozenset())).run()
    assert history.audit.violations == []
    return history


def commit(history: History, state: BookState, **others: Any) -> None:
    lease = {"until": history.setting.book.id}
    writes = [Write("books/btc", {"state": plain(state), "lease": lease})]
    history.audit.committed([*writes, *(Write(f"outbox/{name}", {}) for name in others.get("told", ()))])


def again(history: History, leg: str) -> Intent:
    return next(r.intent for r in reversed(history.venue.records) if r.intent.leg == leg)


def double(history: History) -> None:
    history.audit.accepting(again(history, "entry"))


def second(history: History) -> None:
    intent = again(history, "entry")
    history.audit.written["other"] = intent
    history.audit.accepting(replace(intent, id="other"))


def on_top(history: History) -> None:
    intent = again(history, "entry")
    history.audit.written["other"] = intent
    history.audit.accepting(replace(intent, id="other", bar=intent.bar + timedelta(days=1)))


def unwritten(history: History) -> None:
    history.audit.accepting(replace(again(history, "exit"), id="other"))


def booked_twice(history: History) -> None:
    state = history.audit.believed
    history.audit.believed = replace(state, booked=state.booked[:-1])
    commit(history, state)


def made_up(history: History) -> None:
    state = history.audit.believed
    commit(history, replace(state, booked=(*state.booked, "e999")))


def untold(history: History) -> None:
    state, legs = history.audit.believed, {o.order_id: o.intent.leg for o in history.audit.believed.orders}
    entry = next(e.id for e in reversed(history.venue.executions) if legs.get(e.order_id) == "entry")
    history.audit.booked.discard(entry)
    history.audit.believed = replace(state, booked=tuple(name for name in state.booked if name != entry))
    commit(history, state)


def closed_in_silence(history: History) -> None:
    state = history.audit.believed
    commit(history, replace(state, closed=state.closed + 1))


def record_of(history: History) -> tuple[str, Any]:
    documents = history.scene.documents.all()
    key = max(key for key in documents if key.startswith("ticks/"))
    return key, documents[key].data


def decided_otherwise(history: History) -> None:
    key, record = record_of(history)
    history.audit.committed([Write(key, {**record, "decision": {}})])


def answered_otherwise(history: History) -> None:
    key, record = record_of(history)
    history.audit.committed([Write(key, {**record, "answer": {}})])


def tripped_in_silence(history: History) -> None:
    history.audit.committed([Write("breakers/btc", {"trips": [{"breaker": "price_move"}]})])


def against_a_breaker(history: History) -> None:
    document = {"trips": [{"breaker": "price_move", "level": "reduce", "until": None}]}
    history.scene.documents.commit([Write("breakers/btc", document), Write("outbox/btc-breaker-book-price_move-", {})])
    commit(history, resent(history))


def moved(history: History) -> None:
    state = history.audit.believed
    commit(history, replace(state, holding=replace(state.holding, position=state.holding.position * 2)))


def lost_money(history: History) -> None:
    state = history.audit.believed
    commit(history, replace(state, holding=replace(state.holding, cash=state.holding.cash - Decimal("0.01"))))


def resent(history: History) -> BookState:
    state = history.audit.believed
    entry = next(order for order in state.orders if order.intent.leg == "entry")
    assert entry.sent is not None
    renewed = replace(entry, status="sent", sent=entry.sent + timedelta(days=1))
    return replace(state, orders=(*state.orders, renewed))


def against_the_switch(history: History) -> None:
    history.scene.documents.commit([Write("switches/global", {"mode": "halt"})])
    commit(history, resent(history))


def unfit(history: History) -> None:
    history.audit.fit.clear()
    commit(history, resent(history))


def late(history: History) -> None:
    history.scene.time.until(history.scene.time.now + 86_400_000)
    history.audit.book = replace(history.audit.book, max_lateness_s=60)
    commit(history, resent(history))


def sent_again(history: History, **changes: Any) -> None:
    state = resent(history)
    last = state.orders[-1]
    commit(history, replace(state, orders=(*state.orders[:-1], replace(last, intent=replace(last.intent, **changes)))))


def of_another_bar(history: History) -> None:
    sent_again(history, leg="exit")


def opening_exit(history: History) -> None:
    side = "buy" if history.audit.believed.holding.position > 0 else "sell"
    sent_again(history, leg="stop", side=side)


def of_nothing(history: History) -> None:
    sent_again(history, amount=ZERO)


def elsewhere_for_long(history: History) -> None:
    history.venue.by_hand("buy", Decimal("0.0077"))
    history.scene.time.until(history.scene.time.now + 600_000)
    commit(history, resent(history))


def in_trouble(history: History) -> None:
    commit(history, replace(resent(history), trouble="something"))


def not_halted(history: History) -> None:
    commit(history, replace(history.audit.believed, trouble="something"))


def went_on_by_itself(history: History) -> None:
    history.audit.believed = replace(history.audit.believed, trouble="something")
    commit(history, replace(history.audit.believed, trouble=""))


def went_back(history: History) -> None:
    bar = history.audit.believed.bar
    assert bar is not None
    commit(history, replace(history.audit.believed, bar=bar - timedelta(hours=1)))


def done_too_early(history: History) -> None:
    state = plain(resent(history))
    history.audit.committed([Write("books/btc", {"state": state}), Write("ticks/btc@x", {"phase": "done"})])


def of_a_stranger(history: History) -> None:
    state = history.audit.believed
    history.venue.by_hand("buy", Decimal("0.0077"))
    commit(history, replace(state, booked=(*state.booked, history.venue.executions[-1].id)))


def silent_trouble(history: History) -> None:
    commit(history, replace(history.audit.believed, trouble="something"))


def elsewhere(history: History) -> None:
    history.audit.undisturbed([history.venue.position * 2])


def unprotected(history: History) -> None:
    for record in history.venue.records:
        if record.rests:
            history.venue.cancel(record.number)
    history.audit.undisturbed([history.venue.position])


def two_stops(history: History) -> None:
    stop = next(record for record in history.venue.records if record.rests)
    history.venue.records.append(stop)
    history.audit.undisturbed([history.venue.position])


def left_over(history: History) -> None:
    state = history.audit.believed
    history.venue.position = ZERO
    history.audit.believed = replace(state, holding=replace(state.holding, position=ZERO))
    history.audit.undisturbed([ZERO])


def halted_for_nothing(history: History) -> None:
    history.audit.believed = replace(history.audit.believed, trouble="something")
    history.audit.settled([])


def never_known(history: History) -> None:
    history.audit.believed = resent(history)
    history.audit.settled([])


def always_refusing(history: History) -> None:
    history.audit.settled([{"outcome": "refused", "reason": "window_insane"}])


def always_busy(history: History) -> None:
    history.audit.settled([{"outcome": "busy", "reason": ""}])


def short_of_money(history: History) -> None:
    history.venue.cash += Decimal("0.01")
    history.audit.settled([])


def not_flat(history: History) -> None:
    history.audit.flat()


def disagreeing(history: History) -> None:
    history.venue.position += Decimal("0.0001")
    history.audit.settled([])


@pytest.mark.parametrize(
    ("doctor", "what"),
    [
        (double, "twice"),
        (second, "has two orders for the entry"),
        (on_top, "came on top of a position"),
        (unwritten, "was not written down"),
        (booked_twice, "a fill was booked twice"),
        (made_up, "never happened"),
        (untold, "nobody is told of"),
        (closed_in_silence, "1 trades closed, and nobody is told of it"),
        (decided_otherwise, "a decision was written over"),
        (answered_otherwise, "an answer that had been given was written over"),
        (tripped_in_silence, "nobody is told of it: ['price_move']"),
        (against_a_breaker, "while the switch said reduce"),
        (moved, "which the fills"),
        (lost_money, "money went from"),
        (against_the_switch, "while the switch said halt"),
        (unfit, "not fit for it"),
        (late, "s after its bar"),
        (of_another_bar, "was about to be sent at the bar"),
        (opening_exit, "would not close"),
        (of_nothing, "of 0 was about to be sent"),
        (elsewhere_for_long, "long after the venue had another position"),
        (in_trouble, "by a book that needs a person"),
        (not_halted, "has not halted itself"),
        (went_on_by_itself, "went on by itself"),
        (went_back, "the book went back"),
        (done_too_early, "with orders left"),
        (of_a_stranger, "somebody else's"),
        (silent_trouble, "told nobody"),
        (elsewhere, "and nothing is open"),
        (unprotected, "has stops of 0"),
        (two_stops, "rest at the venue, for a position of"),
        (left_over, "for a position of 0"),
        (halted_for_nothing, "though the venue told the truth"),
        (never_known, "stay unsettled for ever"),
        (always_refusing, "never comes back"),
        (always_busy, "with nothing failing any more"),
        (short_of_money, "in the end the book has"),
        (disagreeing, "in the end the book holds"),
        (not_flat, "still holds"),
        (not_flat, "a stop rests"),
    ],
)
def test_the_audit_sees_a_doctored_world(doctor: Callable[[History], None], what: str) -> None:
    history = standing()
    doctor(history)
    assert any(what in violation for violation in history.audit.violations), history.audit.violations


def test_lots_of_things_happen_in_the_slice() -> None:
    tally = slice_()
    traded = sum(count for name, count in tally.outcomes.items() if name.startswith("traded"))
    assert traded > 500
    assert Counter(call for call, _ in tally.points)["look"]
    assert len(POINTS) == 2 * len({call for call, _ in POINTS})
