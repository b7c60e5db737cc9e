"""One history: a book, a venue, a scheduler that delivers as badly as it may, an operator, and all that fails."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import numpy as np

from core.domain.bars import Bars
from core.domain.daily import Daily
from core.domain.decide import Foresight
from core.domain.forecast import Model
from core.domain.orders import ZERO, Side
from core.domain.state import Book
from core.flows.guard import guard
from core.flows.tick import tick
from core.flows.window import needed
from core.ports import Document, Unavailable, World, Write
from tests.simulation import market
from tests.simulation.faults import Crash, Luck, Told
from tests.simulation.invariants import Audit
from tests.simulation.setting import Delivery, Flip, Stranger, Watch, drawn
from tests.simulation.store import Documents
from tests.simulation.turns import HOUR, SECOND, Time, Turns, moment
from tests.simulation.venue import Venue
from tests.simulation.world import Scene, go_live, world

QUIET = 6  # bars at the end during which nothing fails
RETRIES = 3
ALONE = 6  # runs within which a guard by itself closes a position
CALM = (0.008, 1.0, 0.0, 18.0, 0.0, 0.004, 0.0, 20.0, 0.05, 0.05, 0.05, 0.06)  # the rest of CONTEXT


@dataclass(frozen=True)
class Wish:
    """Which history: `only` names the faults, flips and extra deliveries that may happen in it (None: all)."""

    seed: int
    venue: str = ""
    bars: int = 0
    only: frozenset[str] | None = None


class History:
    """The history of a wish. `run` plays it; `audit.violations` says what was wrong, `told` what happened."""

    def __init__(self, wish: Wish) -> None:
        self.wish, self.setting = wish, drawn(wish.seed, wish.venue, wish.bars)
        self.told, self.ticks, self.guards, self.outcomes = Told(), 0, 0, Counter[str]()
        time, documents = Time(market.opens(self.setting.first)), Documents()
        book = self.setting.book
        venue = Venue(time, self.setting.quirks, book.rules, book.policy.capital, Random(wish.seed ^ 7))
        self.venue = venue
        self.scene = Scene(self.setting, time, Turns(time), documents, venue)
        self.audit = Audit(self.setting.book, venue, documents)
        go_live(self.scene)
        documents.watcher, venue.accepting, venue.tell = self._committed, self.audit.accepting, self._venue_tells
        self._claims, self._disturbed, self._commits = 0, 0, 0
        self._quiet = False

    def run(self) -> History:
        for flip in self.setting.flips:
            if self._wanted(flip.name):
                self.scene.time.at(flip.at, lambda flip=flip: self._flip(flip))  # type: ignore[misc]
        for stranger in self.setting.strangers:
            if self._wanted(stranger.name):
                self._trades(stranger)
        called: list[Delivery | Watch] = [each for each in self.setting.deliveries if self._delivered(each)]
        called += [each for each in self.setting.watches if self._wanted(each.name)]
        due = [(each.at, n, each) for n, each in enumerate(called)]
        heapq.heapify(due)
        count = len(due)
        while due and not self.audit.violations:
            at, _, delivery = heapq.heappop(due)
            self.scene.time.until(at)
            if isinstance(delivery, Watch):
                self._watch(delivery)
                continue
            for again in self._deliver(delivery):
                count += 1
                heapq.heappush(due, (again.at, count, again))
        if not self.audit.violations:
            self._settle()
        return self

    def _wanted(self, name: str) -> bool:
        self.told.names.append(name)
        return self.wish.only is None or name in self.wish.only

    def _trades(self, stranger: Stranger) -> None:
        """Until nothing goes wrong any more."""
        self.audit.strangers = True
        turned: Side = "sell" if stranger.side == "buy" else "buy"

        def there() -> None:
            if not self._quiet:
                self.scene.venue.by_hand(stranger.side, stranger.amount)
                self.scene.time.at(stranger.back, lambda: self.scene.venue.by_hand(turned, stranger.amount))

        self.scene.time.at(stranger.at, there)

    def _delivered(self, delivery: Delivery) -> bool:
        return not delivery.name.endswith("b") or self._wanted(delivery.name)

    # -- the scheduler

    def _deliver(self, delivery: Delivery) -> list[Delivery]:
        """Calls the tick, in one region or in two at once. What failed is delivered again, as schedulers do."""
        name, index = delivery.name, delivery.index
        answers: list[Document] = []
        also = delivery.also if delivery.also is not None and self._wanted(f"{name}r") else None
        beside = delivery.beside if delivery.beside is not None and self._wanted(f"{name}g") else None
        self._tell(f"{name}: the scheduler calls for the bar of {moment(market.opens(index)):%d %H:%M}")
        start = self.scene.time.now + max(-(beside or 0), 0)
        jobs: list[tuple[int, Callable[[], None]]] = [(start, lambda: answers.append(self._invoke(name, index)))]
        if also is not None:
            self._tell(f"  and in another region as well, {also} ms later [{name}r]")
            jobs.append((start + also, lambda: answers.append(self._insist(f"{name}r", index))))
        if beside is not None:
            self._tell(f"  and a guard runs {beside} ms later [{name}g]")
            jobs.append((start + beside, lambda: self._guard(f"{name}g")))
        self._at_once(jobs)
        failed = all(answer["outcome"] in ("busy", "crashed", "500") for answer in answers)
        return self._again(delivery) if failed else []

    def _at_once(self, jobs: Sequence[tuple[int, Callable[[], None]]]) -> None:
        if len(jobs) == 1:
            jobs[0][1]()
        else:
            self.scene.turns.run(jobs)

    def _watch(self, watch: Watch) -> None:
        """Calls the guard, or two at once."""
        name = watch.name
        if watch.vanish and self._wanted(f"{name}v"):
            self._tell(f"somebody takes back every stop [{name}v]")
            self.scene.venue.vanish()
            self.scene.time.until(self.scene.time.now + 30 * SECOND)
        self._tell(f"{name}: the guard is called")
        start = self.scene.time.now
        jobs: list[tuple[int, Callable[[], None]]] = [(start, lambda: self._guard(name))]
        if watch.also is not None and self._wanted(f"{name}r"):
            self._tell(f"  and another one, {watch.also} ms later [{name}r]")
            jobs.append((start + watch.also, lambda: self._guard(f"{name}r")))
        self._at_once(jobs)

    def _insist(self, name: str, index: int) -> Document:
        """While another one holds the book, it is called again, and may find that one asleep."""
        draw = Random(f"{self.wish.seed} {name}")
        answer = self._invoke(name, index)
        for turn in range(RETRIES):
            if answer["outcome"] != "busy":
                break
            self.scene.turns.wait(draw.choice([10, 40, 130]) * SECOND)
            answer = self._invoke(f"{name}{'+' * (turn + 1)}", index)
        return answer

    def _again(self, delivery: Delivery) -> list[Delivery]:
        tries = delivery.name.count("+")
        draw = Random(f"{self.wish.seed} {delivery.name}")
        if tries >= RETRIES or draw.random() < 0.2:
            return []
        at = self.scene.time.now + draw.choice([10, 40, 130]) * SECOND
        return [Delivery(f"{delivery.name}+", at, delivery.index)]

    # -- one invocation

    def _invoke(self, name: str, index: int) -> Document:
        at = moment(market.opens(index + 1) + 5 * SECOND)
        self.ticks += 1
        answer = self._called(name, "", lambda world: tick(world, self.setting.book, at))
        reason = answer["reason"] if len(answer["reason"]) < 30 else "…"
        self.outcomes[f"{answer['outcome']} {reason}"] += 1
        self._tell(f"  → {answer['outcome']}: {answer['reason']}, {answer.get('orders') or 'no orders'} ({name})")
        if not self.scene.turns.several:
            self._check(answer)
        return answer

    def _guard(self, name: str) -> None:
        at = moment(self.scene.time.now)
        self.guards += 1
        answer = self._called(name, "guard ", lambda world: guard(world, self.setting.book, at))
        needs = ", ".join(dict.fromkeys(need.partition(" ")[0] for need in answer.get("needs", ())))
        self.outcomes[f"guard {answer['outcome']} {needs}"] += 1
        self._tell(f"  → guard {answer['outcome']}: {answer['reason']} ({name})")
        if not self.scene.turns.several and "left to" not in answer["reason"]:
            self._check(answer)

    def _called(self, name: str, actor: str, flow: Callable[[World], Document]) -> Document:
        """What one invocation answers, whatever befalls it."""
        draw = Random(f"{self.wish.seed} {name}")
        rate = 0.0 if self._quiet else self.setting.rate
        luck = Luck(name, draw, rate, self.scene.turns, self.told, self.wish.only)
        luck.lost, luck.dozes = (0.0, 0.0) if self._quiet else (self.setting.lost, self.setting.dozes)
        luck.actor = actor
        warm = draw.random() < 0.99
        self._disturbed, self._commits = 0, 0
        try:
            answer = flow(world(self.scene, luck, partial(self._foresee, luck), warm, self._owner))
        except Crash:
            answer = {"outcome": "crashed", "reason": "the process died"}
        except Unavailable as failure:
            answer = {"outcome": "500", "reason": str(failure)}
        except Exception as bug:
            answer = {"outcome": "500", "reason": repr(bug)}
            self.audit.wrong(f"the {actor or 'tick '}raised {bug!r}")
        self._disturbed += luck.struck
        return answer

    def _committed(self, writes: Sequence[Write]) -> None:
        self._commits += any(write.key.startswith("ticks/") for write in writes)
        self.audit.committed(writes)

    def _owner(self) -> str:
        self._claims += 1
        return f"claim {self._claims}"

    def _foresee(
        self, luck: Luck, book: Book, bars: Bars, model: Model | None, daily: Daily, problem: tuple[str, str] | None
    ) -> Foresight:
        """What the models of this history say: tempting, whatever the problem is; now and then no number at all."""
        index = (self.scene.time.now - market.START) // HOUR if not len(bars) else _index(bars)
        draw = Random(self.wish.seed * 100_003 + index)
        p_up = draw.choice([0.1, 0.3, 0.49, 0.51, 0.7, 0.9, math.nan if draw.random() < 0.2 else 0.8])
        price = float(bars.close[-1]) if len(bars) else math.nan
        fit = problem is None and _true(bars, needed(book)) and p_up == p_up
        self.audit.fit[moment(market.opens(index))] = fit and not luck.barred
        return Foresight(problem=problem, p_up=p_up, context=(0.008 * price, *CALM))

    # -- what is seen afterwards

    def _check(self, answer: Document) -> None:
        """After an invocation that did a tick's work and met with nothing, book and venue must agree."""
        scene, quirks = self.scene, self.setting.quirks
        looked = self._commits or answer.get("looked")
        if self._disturbed or not looked or not quirks.honest or not quirks.traits.instant:
            return
        if answer["outcome"] in ("busy", "crashed", "500", "superseded", "failed"):
            return
        shown = scene.time.now - 6 * SECOND  # what the last look may have shown
        before = [position for at, position in scene.venue.positions if at <= shown][-1:]
        self.audit.undisturbed([*before, *(position for at, position in scene.venue.positions if at > shown)])

    def _settle(self) -> None:
        """From here on nothing fails: the switches say run, the venue is open, and every bar is delivered once."""
        scene = self.scene
        scene.time.until(max([scene.time.now, *(stranger.back for stranger in self.setting.strangers)]) + 240 * SECOND)
        self._quiet = scene.venue.quiet = True
        if self.audit.believed.trouble and Random(self.wish.seed).random() < 0.6:
            self._mend()
        last = (scene.time.now - market.START) // HOUR
        halted = self.audit.believed.trouble and not self.audit.vouched
        for scope in ("global", "btc"):
            if not halted or scope == "global":
                self._flip(Flip("", 0, scope, "run"))
        answers = []
        for index in range(last, last + QUIET):
            scene.time.until(market.opens(index + 1) + 5 * SECOND)
            self._tell(f"quiet: the scheduler calls for the bar of {moment(market.opens(index)):%d %H:%M}")
            answers.append(self._invoke(f"q{index}", index))
            if self.audit.violations:
                return
        self.audit.settled(answers[2:])
        if not self.audit.violations:
            self._flatten(last + QUIET)

    def _mend(self) -> None:
        """A person looks: takes back what rests at the venue, brings its position to what the book says or to nothing,
        waits until all of that is to be seen, and says go on."""
        venue, held = self.scene.venue, self.audit.believed.holding.position
        self._tell("a person looks at the venue")
        for record in venue.records:
            venue.cancel(record.number)
        wanted = held if Random(self.wish.seed ^ 3).random() < 0.3 else ZERO
        if off := venue.position - wanted:
            venue.by_hand("sell" if off > 0 else "buy", abs(off))
        self.scene.time.until(self.scene.time.now + 240 * SECOND)
        self._flip(Flip("", 0, "btc", "run"))

    def _flatten(self, following: int) -> None:
        """At the very end the operator flattens: within two bars nothing is left; or within a few runs of a guard."""
        self._flip(Flip("", 0, "global", "flatten"))
        alone = self.setting.quirks.traits.instant and Random(self.wish.seed ^ 5).random() < 0.5
        if alone:
            for minute in range(ALONE):
                self.scene.time.until(market.opens(following) + (10 + minute) * 60 * SECOND)
                self._guard(f"q{following}g{minute}")
        for index in (following, following + 1)[: 0 if alone else 2]:
            self.scene.time.until(market.opens(index + 1) + 5 * SECOND)
            self._tell(f"quiet: the scheduler calls for the bar of {moment(market.opens(index)):%d %H:%M}")
            self._invoke(f"q{index}", index)
        if not self.audit.believed.trouble and self.setting.quirks.honest:
            self.audit.flat()

    def _flip(self, flip: Flip) -> None:
        if flip.name and (self._quiet or self.audit.believed.trouble):
            return  # trouble takes a person who has looked
        document = {"mode": flip.mode, "reason": "", "by": "operator", "at": moment(self.scene.time.now)}
        self.scene.documents.commit([Write(f"switches/{flip.scope}", document)])
        self._disturbed += 1
        self._tell(f"  the operator flips the switch of {flip.scope} to {flip.mode} [{flip.name}]")

    def _tell(self, line: str) -> None:
        self.told.lines.append((self.scene.time.now, line))

    def _venue_tells(self, line: str) -> None:
        self._tell(f"      venue: {line}")


def _index(bars: Bars) -> int:
    return int((int(bars.time[-1]) * 1000 - market.START) // HOUR)


def _true(bars: Bars, need: int) -> bool:
    """Whether the last bars are those of the market, all of them."""
    last = _index(bars) if len(bars) else -1
    if last < need or len(bars) < need:
        return False
    every = market.bars()
    return bool(
        np.array_equal(bars.close[-need:], every.close[last + 1 - need : last + 1])
        and np.array_equal(bars.time[-need:], every.time[last + 1 - need : last + 1])
    )


def played(wish: Wish) -> History:
    return History(wish).run()


def fingerprint(history: History) -> tuple[Any, ...]:
    """All that happened and all that was written."""
    return tuple(history.told.lines), tuple(sorted(history.scene.documents.packed().items())), history.ticks
