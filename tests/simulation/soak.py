"""Many histories, on several processes; what was covered, and what was found."""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.history import History, Wish, played

BATCH = 10
# Every call of a tick to the outside: each must have been the last one of some invocation, before it was carried out
# and after.
TICKS = (
    "read books+models+series+ticks+windows",
    "read breakers+switches",
    "read books",
    "commit claim",
    "commit release",
    "commit tick decided",
    "commit tick done",
    "bars newest",
    "bars past",
    "look",
    "cancel",
    "submit entry",
    "submit exit",
    "submit stop",
    "sleep",
    "models get",
    "vix",
    "scan ticks",
    "read windows",
    "paper read paper",
    "paper commit paper",
)
# And every call of a guard.
GUARDS = (
    "read books+breakers+guards+switches",
    "read breakers+switches+ticks+windows",
    "read breakers+switches",
    "read books",
    "minutes",
    "look",
    "commit guard",
    "commit guard trips",
    "commit claim",
    "commit release",
    "commit tick decided",
    "commit tick done",
    "cancel",
    "submit entry",
    "submit exit",
    "submit stop",
    "sleep",
    "paper read paper",
    "paper commit paper",
)
CALLS = (*TICKS, *(f"guard {call}" for call in GUARDS))
RARE = ("guard submit entry", "guard paper read paper", "guard paper commit paper")  # it carries on a dead tick's bar
POINTS = tuple((call, f"crash {side}") for call in CALLS if call not in RARE for side in ("before", "after"))


@dataclass
class Tally:
    """What some histories came to."""

    histories: int = 0
    ticks: int = 0
    guards: int = 0
    switches: int = 0
    venues: Counter[str] = field(default_factory=Counter)
    points: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    halts: Counter[str] = field(default_factory=Counter)
    failing: list[tuple[Wish, str]] = field(default_factory=list)

    def take(self, history: History) -> None:
        quirks = history.setting.quirks
        self.histories += 1
        self.ticks += history.ticks
        self.guards += history.guards
        self.switches += history.scene.turns.switches
        self.venues[quirks.name + ("" if quirks.honest else ", lags for long")] += 1
        self.points += history.told.points
        self.kinds += history.told.kinds
        self.outcomes += history.outcomes
        for why, count in history.audit.troubles.items():
            self.halts[f"{why} [{_excuse(history)}]"] += count
        if history.audit.violations:
            self.failing.append((history.wish, history.audit.violations[0]))

    def add(self, other: Tally) -> None:
        self.histories += other.histories
        self.ticks += other.ticks
        self.guards += other.guards
        self.switches += other.switches
        self.venues += other.venues
        self.points += other.points
        self.kinds += other.kinds
        self.outcomes += other.outcomes
        self.halts += other.halts
        self.failing += other.failing

    @property
    def uncovered(self) -> list[tuple[str, str]]:
        return [point for point in POINTS if not self.points[point]]

    @property
    def unnamed(self) -> list[str]:
        """Calls that have crashed and stand in no table: the tick has learnt to make another one."""
        return sorted({call for call, fault in self.points if "crash" in fault} - set(CALLS))


def _excuse(history: History) -> str:
    if history.audit.strangers:
        return "somebody traded by hand"
    return "the venue told the truth" if history.setting.quirks.honest else "the venue lagged for long"


def batch(first: int, count: int, venue: str = "") -> Tally:
    logging.disable(logging.CRITICAL)
    gc.set_threshold(100_000, 20, 20)
    tally = Tally()
    for seed in range(first, first + count):
        tally.take(played(Wish(seed, venue)))
    return tally


def soak(seconds: float, workers: int, first: int, venue: str = "") -> Iterator[Tally]:
    """A tally of all so far, after each batch, until the time is over."""
    end, total = time.monotonic() + seconds, Tally()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(batch, first + n * BATCH, BATCH, venue) for n in range(2 * workers)}
        following = first + len(running) * BATCH
        while running:
            done = next(as_completed(running))
            running.remove(done)
            total.add(done.result())
            yield total
            if time.monotonic() < end:
                running.add(pool.submit(batch, following, BATCH, venue))
                following += BATCH
