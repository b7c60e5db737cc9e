"""Bar after bar: the scheduler calls until it hears 200, whatever is killed, frozen, flipped or dropped meanwhile; then
book and venue are compared."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from random import Random
from typing import Final

from core.domain.orders import Side
from core.domain.state import BookState
from core.ports import Document
from tests.processes import market
from tests.processes.deployment import Deployment
from tests.processes.ledger import OPERATOR
from tests.processes.region import Answer, Death, Region
from tests.processes.trouble import FAULTS, LAGS, PARTS, Manners, death
from tests.venues.account import PositionSide

PATIENCE_S: Final = 240.0
PAUSE_S: Final = 0.7
SCOPES: Final = ("global", "btc")
TOLD: Final = 120  # lines of a story


@dataclass
class Tally:
    """What was done and what came of it. `together`: how many calls for one bar were made at once; `slow`: bars during
    which the venue was."""

    bars: int = 0
    calls: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    flips: Counter[str] = field(default_factory=Counter)
    together: Counter[str] = field(default_factory=Counter)
    slow: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    missed: int = 0


class Stuck(AssertionError):
    """A bar is never answered."""


@dataclass
class Play:
    """One deployment, traded from bar `index` on. `planned`: deaths that come before any that are drawn, one by one;
    `stories`: what led to what was wrong, bar by bar."""

    at: Deployment
    draw: Random
    index: int
    manners: Manners = field(default_factory=Manners)
    tally: Tally = field(default_factory=Tally)
    planned: list[Death] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)
    _timers: list[threading.Timer] = field(default_factory=list)

    def bar(self, quiet: bool = False) -> None:
        """The next bar. `quiet`: nothing goes wrong any more."""
        index, wrong, lines = self.index, len(self.at.ledger.wrong), len(self.at.diary)
        logs = [region.log.stat().st_size for region in self.at.regions]
        self.index += 1
        self.at.served.faults.clear()
        self.at.elapsed.jump(market.due(index))
        try:
            self._played(index, quiet)
        except Stuck as stuck:
            self.at.ledger.note(str(stuck))
        if len(self.at.ledger.wrong) > wrong:
            self.stories.append(self._story(index, wrong, lines, logs))

    def settle(self, bars: int = 2) -> None:
        """In the end nothing goes wrong any more for some bars, and all is accounted for."""
        self._calm()
        for _ in range(bars):
            self.bar(quiet=True)
        wrong, lines = len(self.at.ledger.wrong), len(self.at.diary) - TOLD
        self.at.ledger.settled()
        if len(self.at.ledger.wrong) > wrong:
            self.stories.append(self._story(self.index - 1, wrong, max(lines, 0), [0] * len(self.at.regions)))

    def _played(self, index: int, quiet: bool) -> None:
        if quiet:
            self.at.ledger.engine.lag_s, self.at.ledger.engine.partial = 0.0, None
            self._operate()
        elif self.draw.random() < self.manners.missed:
            self.tally.missed += 1
            return
        else:
            self._trouble()
        answer = self._delivered(index, quiet)
        if not quiet and self.draw.random() < self.manners.twice:
            self._once_more(index, answer)
        self._looked_at(index, answer)

    def _calm(self) -> None:
        for timer in self._timers:
            timer.join()
        for region in self.at.regions:
            region.deaths.clear()
            while region.frozen.is_set():
                time.sleep(0.1)

    def _story(self, index: int, wrong: int, lines: int, logs: list[int]) -> str:
        """What was wrong after bar `index`, the requests that led to it, and what the processes said."""
        said = [f"bar {index}, {market.opens(index):%Y-%m-%d %H:%M}, at {self.at.ledger.place.id}:"]
        said += [f"  WRONG: {sentence}" for sentence in self.at.ledger.wrong[wrong:]]
        said += [f"  {line}" for line in self.at.diary[lines:][-TOLD:]]
        for region, start in zip(self.at.regions, logs, strict=True):
            text = region.log.read_bytes()[start:].decode(errors="replace").splitlines()
            said += [f"  {region.name}: {line[:600]}" for line in text[-TOLD:]]
        for at, what, order, *_ in self.at.ledger.engine.log[-12:]:
            told = f"{order.kind} {order.side} {order.amount}, {order.status}"
            said.append(f"  venue, {at:%d %H:%M:%S.%f}: {what} {order.id}, {told}")
        said.append(f"  book: {self.at.ledger.state()}")
        return "\n".join(said)

    # -- what goes wrong

    def _trouble(self) -> None:
        """What is to go wrong during this bar."""
        draw, manners, faults = self.draw, self.manners, self.at.served.faults
        if not any(region.deaths for region in self.at.regions):
            if self.planned:
                self._doomed(self.planned.pop(0))
            elif draw.random() < manners.death:
                self._doomed(death(draw, manners))
        if manners.faults:
            faults.draw(Random(draw.random()), manners.faults, FAULTS)
        if draw.random() < manners.fault:
            faults.next("POST *order*", draw.choice(FAULTS))
        engine = self.at.ledger.engine
        engine.lag_s = draw.choice(LAGS) if draw.random() < manners.lag else 0.0
        engine.partial = draw.choice(PARTS) if draw.random() < manners.partial else None
        self.tally.slow["lag"] += bool(engine.lag_s)
        self.tally.slow["in parts"] += engine.partial is not None
        if self.at.ledger.mode() != "run":
            if draw.random() < 0.7:
                self._operate()
        elif draw.random() < manners.flip:
            self._flipped()

    def _flipped(self) -> None:
        scope, mode = self.draw.choice(SCOPES), self.draw.choice(["reduce", "halt", "flatten"])
        self.tally.flips[mode] += 1
        if self.draw.random() < 0.3:
            self.at.ledger.flip(scope, mode)
            return
        self._later(self.draw.uniform(0, 1.0), lambda: self.at.ledger.flip(scope, mode))  # in the middle of the tick

    def _later(self, seconds: float, what: Callable[[], None]) -> threading.Timer:
        timer = threading.Timer(seconds, what)
        timer.daemon = True
        timer.start()
        self._timers = [each for each in self._timers if each.is_alive()] + [timer]
        return timer

    # -- the operator

    def _operate(self) -> None:
        """Whatever said halt, go on; first, what the book holds and the venue does not, or the reverse, is closed."""
        ledger = self.at.ledger
        if ledger.state().trouble:
            self._closed_by_hand()
        if ledger.mode() != "run":
            for scope in SCOPES:
                ledger.flip(scope, "run")

    def _closed_by_hand(self) -> None:
        ledger, engine = self.at.ledger, self.at.ledger.engine
        with engine.lock:
            for order in [order for order in engine.orders.values() if order.resting]:
                engine.cancel(order.id)
            held = engine.position
            if not held or held == ledger.state().holding.position:
                return
            side: Side = "sell" if held > 0 else "buy"
            named: PositionSide = ("long" if held > 0 else "short") if ledger.place.kind == "margin" else ""
            name = f"{OPERATOR}-{len(engine.log)}"
            engine.place("market", side, abs(held), client_id=name, position_side=named, reduce_only=not named)

    # -- the scheduler

    def _delivered(self, index: int, quiet: bool) -> Document:
        """The first answer of 200; by then nobody is at work on the bar any more."""
        until = time.monotonic() + PATIENCE_S
        body = {"book": "btc", "at": market.due(index)}
        with ThreadPoolExecutor(6) as threads:
            running: list[Future[Answer | None]] = []
            while time.monotonic() < until:
                running += [threads.submit(self._call, region, body, quiet) for region in self._called()]
                answer = self._heard(running)
                if answer is not None:
                    wait_for(running)
                    return answer
                time.sleep(PAUSE_S)
        raise Stuck(f"the bar {market.opens(index):%d %H:%M} was never answered with 200")

    def _called(self) -> list[Region]:
        """Mostly one region; sometimes both at once, or one twice. One that stands still is not waited for."""
        regions = [region for region in self.at.regions if not region.frozen.is_set()]
        lot = self.draw.random()
        if len(regions) > 1 and lot < 0.25:
            self.tally.together["two regions"] += 1
            return regions
        called = [self.draw.choice(regions)] if regions else []
        if lot > 0.8:
            self.tally.together["one region twice"] += bool(called)
            return called * 2
        return called

    def _heard(self, running: list[Future[Answer | None]]) -> Document | None:
        """Waits until nobody is at work, but those who stand still; the 200 among the answers, if there is one."""
        while True:
            done, _ = wait_for(running, timeout=0.1)
            if len(running) == len(done) or any(region.frozen.is_set() for region in self.at.regions):
                break
        running[:] = [future for future in running if future not in done]
        answers = [future.result() for future in done]
        good = [answer.said for answer in answers if answer is not None and answer.status == 200]
        return good[0] if good else None

    def _call(self, region: Region, body: Document, quiet: bool) -> Answer | None:
        timer = None
        if not quiet and self.draw.random() < self.manners.timer:
            timer = self._later(self.draw.uniform(0, 0.8), lambda: region.kill(("timer", "before")))
        answer = region.post(body)
        if timer is not None:
            timer.cancel()
        self.tally.calls += 1
        self.tally.statuses[str(answer.status if answer else "died")] += 1
        if answer is None and not quiet and self.draw.random() < self.manners.again:
            self._doomed(death(self.draw, self.manners))
        return answer

    def _doomed(self, doom: Death) -> None:
        """Whichever region is called first; the other one later, perhaps."""
        for region in self.at.regions:
            region.deaths.append(doom)

    def _once_more(self, index: int, answer: Document) -> None:
        """The scheduler calls again for a bar that is done: nothing comes of it."""
        self.tally.twice += 1
        for region in self.at.regions:
            region.deaths.clear()
        orders = len(self.at.ledger.engine.accepted())
        again = self._delivered(index, quiet=True)
        if len(self.at.ledger.engine.accepted()) != orders or again.get("position") != answer.get("position"):
            self.at.ledger.note(f"the second call for one bar did something: {again}, and before {answer}")

    # -- what came of it

    def _looked_at(self, index: int, answer: Document) -> None:
        ledger, self.tally.bars = self.at.ledger, self.tally.bars + 1
        self.tally.reasons[f"{answer['outcome']}: {answer['reason']}"] += 1
        state = ledger.audit(market.opens(index))
        if state.trouble:
            self._halted(state)

    def _halted(self, state: BookState) -> None:
        ledger = self.at.ledger
        words = re.sub(r"-?\d[\d.]*", "#", state.trouble.split("): ", 1)[-1])[:80]
        true = ledger.is_true(state.trouble)
        ledger.halts[f"{'true' if true else 'FALSE'}: {words}"] += 1
        if not true:
            ledger.note(f"the book halted itself for what is not so: {state.trouble}")
        self._operate()
