"""What goes wrong between us and a venue, request by request: planned, lasting, or drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Literal

from msgspec import Struct

FaultKind = Literal[
    "drop_before",  # the connection is closed, nothing was done
    "drop_after",  # it was done, then the connection is closed
    "error_before",  # HTTP `status`, nothing was done
    "error_after",  # it was done, then HTTP `status`
    "delay_before",  # sleeps `seconds` of real time, then does it and answers
    "delay_after",  # does it at once, answers after `seconds` of real time
    "late",  # the connection is closed at once; done `seconds` of the venue's time later, if still allowed then
    "html",  # nothing was done; a page with status 200
    "html_after",  # it was done; a page with status 200
    "rate_limit",  # nothing was done; the venue's own words
    "ban",
    "maintenance",
    "skew",  # it is judged by a clock that is `seconds` ahead of the venue's
    "stale",  # market data as they were `seconds` ago
]
KINDS: tuple[FaultKind, ...] = (
    "drop_before", "drop_after", "error_before", "error_after", "delay_before", "delay_after", "late", "html",
    "html_after", "rate_limit", "ban", "maintenance", "skew", "stale",
)  # fmt: skip
Where = str | Callable[[str, str], bool]  # a pattern for "POST /path" or "/path" (fnmatch), or of (method, path)


class Fault(Struct, frozen=True):
    kind: FaultKind
    seconds: float = 0.0
    status: int = 502
    body: bytes | None = None  # of an error or a page; None: a short one, as gateways send it


class Faults:
    """Each request takes at most one: the first planned one that is meant for it, else a lasting one, else a drawn one.

    `taken`: (method, path, fault) of all that were.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[tuple[Where, Fault]] = []
        self._lasting: list[tuple[Where, Fault]] = []
        self._drawn: tuple[Random, float, Sequence[Fault], Where] | None = None
        self.taken: list[tuple[str, str, Fault]] = []

    def next(self, where: Where, *faults: Fault) -> None:
        """The next requests `where` get these, one each, in order."""
        with self._lock:
            self._queue += [(where, fault) for fault in faults]

    def always(self, where: Where, fault: Fault) -> None:
        with self._lock:
            self._lasting.append((where, fault))

    def draw(self, rng: Random, rate: float, kinds: Sequence[Fault] = (), where: Where = "*") -> None:
        """From now on each request `where` gets, with probability `rate`, one of `kinds`, all equally likely."""
        chosen = kinds or [Fault(kind, 2.0 if kind in {"late", "skew"} else 0.0) for kind in KINDS if kind != "stale"]
        with self._lock:
            self._drawn = (rng, rate, chosen, where)

    def clear(self) -> None:
        with self._lock:
            self._queue, self._lasting, self._drawn = [], [], None

    @property
    def pending(self) -> int:
        """Planned faults that no request has taken yet."""
        return len(self._queue)

    def take(self, method: str, path: str) -> Fault | None:
        with self._lock:
            fault = self._find(method, path)
            if fault is not None:
                self.taken.append((method, path, fault))
            return fault

    def _find(self, method: str, path: str) -> Fault | None:
        for index, (where, fault) in enumerate(self._queue):
            if _meant(where, method, path):
                del self._queue[index]
                return fault
        for where, fault in self._lasting:
            if _meant(where, method, path):
                return fault
        if self._drawn is not None:
            rng, rate, kinds, where = self._drawn
            if _meant(where, method, path) and rng.random() < rate:
                return rng.choice(kinds)
        return None


def _meant(where: Where, method: str, path: str) -> bool:
    if callable(where):
        return where(method, path)
    return fnmatchcase(path, where) or fnmatchcase(f"{method} {path}", where)
