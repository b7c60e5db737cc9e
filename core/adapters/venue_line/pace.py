"""How often a venue is asked, and when not at all."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timedelta
from typing import Final

from core.ports import Clock

FAILURES: Final = 5
COOL_S, COOLEST_S = 30.0, 300.0


class Bucket:
    """So many tokens; each comes back a span of time after it was taken. Thus no second ever sees more than `per_s`,
    and no minute more than `per_min`, where that is less than 60 such seconds (0: it is not)."""

    def __init__(self, clock: Clock, per_s: int, per_min: int = 0) -> None:
        self._clock, self._lock = clock, threading.Lock()
        spans = [(1, per_s), (60, per_min)] if per_min else [(1, per_s)]
        self._taken = [(timedelta(seconds=span), deque[datetime](maxlen=count)) for span, count in spans]

    def take(self) -> None:
        """Returns when there is a token; waits for the longest span at most, even if the clock was set back. Whoever
        comes meanwhile waits behind."""
        with self._lock:
            now = self._clock.now()
            full = [(span, taken[0]) for span, taken in self._taken if len(taken) == taken.maxlen]
            at = max([now, *(min(now, first) + span for span, first in full)])
            for _, taken in self._taken:
                taken.append(at)
            if at > now:
                self._clock.sleep((at - now).total_seconds())


class Breaker:
    """Opens after FAILURES failures in a row, for COOL_S, and for twice as long each time that the first request after
    that fails too; closes when the venue answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures, self._cool = 0, COOL_S
        self._since: datetime | None = None
        self._until: datetime | None = None

    def note(self, *, failed: bool) -> None:
        if not failed:
            self._failures, self._cool, self._since, self._until = 0, COOL_S, None, None
            return
        now = self._clock.now()
        self._failures, self._since = self._failures + 1, self._since or now
        if self._until is not None:
            self._cool = min(2 * self._cool, COOLEST_S)
        if self._failures >= FAILURES:
            self._until = now + timedelta(seconds=self._cool)

    def closed(self) -> bool:
        """Whether all is well: as far as is known, the venue answers."""
        return self._until is None

    def cooling(self) -> bool:
        return self._until is not None and self._clock.now() < self._until

    def said(self) -> str:
        if self._since is None or self._until is None:
            return ""
        return f"no answer since {self._since:%H:%M:%S} UTC, next try from {self._until:%H:%M:%S} UTC"
