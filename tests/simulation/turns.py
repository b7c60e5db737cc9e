"""Virtual time, and whose turn it is: one process, and the same order of events for the same seed.

Time is in whole milliseconds. What is due happens on the way to a later time. Two invocations that run at once are two
threads of which exactly one ever runs: each waits, at every call to the outside, until its time has come.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = 1000
HOUR: Final = 3_600_000


def moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


class Time:
    """The one clock of a history, and what is to happen at which time."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: int, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (max(when, self.now), self._count, act))

    def until(self, when: int) -> None:
        """Goes on to `when`, through all that is due before. Time never goes back."""
        while self._due and self._due[0][0] <= when:
            due, _, act = heapq.heappop(self._due)
            self.now = max(self.now, due)
            act()
        self.now = max(self.now, when)


@dataclass(eq=False)
class _Runner:
    wake: int
    job: Callable[[], None]
    go: threading.Lock = field(default_factory=threading.Lock)


class Turns:
    """Lets time pass for whoever runs, and runs several jobs at once, always the one whose time comes first."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.switches = 0
        self._runners: list[_Runner] = []
        self._running: _Runner | None = None
        self._ended = threading.Lock()

    @property
    def several(self) -> bool:
        """Whether jobs run at once."""
        return bool(self._runners)

    def wait(self, ms: int) -> None:
        me = self._running
        if me is None:
            self.time.until(self.time.now + ms)
            return
        me.wake = self.time.now + ms
        following = min(self._runners, key=lambda runner: runner.wake)
        if following is me:
            self.time.until(me.wake)
            return
        self._resume(following)
        me.go.acquire()

    def run(self, jobs: Sequence[tuple[int, Callable[[], None]]]) -> None:
        """Runs (start, job) for each of `jobs`, and returns when all have ended. Jobs raise nothing."""
        self._runners = [_Runner(start, job) for start, job in jobs]
        self._ended.acquire()
        for runner in self._runners:
            runner.go.acquire()
            threading.Thread(target=self._carry_out, args=(runner,), daemon=True).start()
        self._resume(min(self._runners, key=lambda runner: runner.wake))
        self._ended.acquire()
        self._ended.release()

    def _resume(self, runner: _Runner) -> None:
        self.switches += 1
        self._running = runner
        self.time.until(runner.wake)
        runner.go.release()

    def _carry_out(self, runner: _Runner) -> None:
        runner.go.acquire()
        try:
            runner.job()
        finally:
            self._runners.remove(runner)
            self._running = None
            if self._runners:
                self._resume(min(self._runners, key=lambda other: other.wake))
            else:
                self._ended.release()
