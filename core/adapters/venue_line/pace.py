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
    """So many tokens; each comes back one second after it was taken. Thus no second ever sees more than `per_s`."""

    def __init__(self, clock: Clock, per_s: int) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._taken: deque[datetime] = deque(maxlen=per_s)

    def take(self) -> None:
        """Returns when there is a token; waits for a second at most, even if the clock was set back."""
        with self._lock:
            now = at = self._clock.now()
            if len(self._taken) == self._taken.maxlen:
                at = max(now, min(now, self._taken[0]) + timedelta(seconds=1))
            self._taken.append(at)
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
