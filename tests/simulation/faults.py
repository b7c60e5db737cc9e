"""What goes wrong at a call to the outside, drawn for each call; and who keeps count of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeVar

from core.ports import Conflict, Unavailable
from tests.simulation.turns import SECOND, Turns

T = TypeVar("T")
BEFORE: Final = ("crash before", "not done", "slow before")
AFTER: Final = ("crash after", "done, not answered", "slow after")
ANY_CALL: Final = (*BEFORE, *AFTER)
WEIGHTS: Final = {"crash before": 3, "crash after": 3, "slow before": 1, "slow after": 1}
SLOW: Final = (3, 20, 70, 125, 200)  # seconds; the lease is 120
ACTING: Final = frozenset(
    (
        "cancel",
        "commit claim",
        "commit guard",
        "commit guard trips",
        "commit release",
        "commit tick decided",
        "commit tick done",
        "read books",
        "read breakers+switches",
        "read ticks+windows",
    )
)
PATIENCE: Final = 10 * SECOND  # how long a request to the venue waits for its answer


class Crash(BaseException):
    """The process ends at this instruction."""


@dataclass
class Told:
    """What happened, in order, and how often each kind of it."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    points: Counter[tuple[str, str]] = field(default_factory=Counter)  # (call, fault)
    calls: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)  # of all that was drawn and happened, for shrinking


class Luck:
    """What befalls the calls of one invocation. `only`: the names of what may happen; None: all that is drawn."""

    def __init__(self, name: str, draw: Random, rate: float, turns: Turns, told: Told, only: frozenset[str] | None):
        self.name, self._draw, self._rate, self._turns, self._told, self._only = name, draw, rate, turns, told, only
        self.lost = 0.0  # the share of orders of which the sending goes wrong
        self.dozes = 0.0  # the share of commits and orders at which the process is put to sleep
        self._calls = 0
        self.struck = 0  # how many faults this invocation has met
        self.actor = ""  # who calls, before the name of the call: "" for a tick
        self.barred = ""  # what the venue said at the last look
        self.dead = False

    def tell(self, line: str) -> None:
        self._told.lines.append((self._turns.time.now, line))

    def strikes(self, label: str, kinds: Iterable[str], rate: float | None = None) -> str | None:
        """What goes wrong with this call, if anything."""
        self._calls += 1
        choice, plain, label = tuple(kinds), label, f"{self.actor}{label}"
        self._told.calls[label] += 1
        if self.dozes and plain.startswith(("submit", "commit tick")) and self._draw.random() < self.dozes:
            choice = ("slow before", "slow after")
        elif self._draw.random() >= (self._usual(plain) if rate is None else rate):
            return None
        kind = self._draw.choices(choice, [WEIGHTS.get(each, 2) for each in choice])[0]
        name = f"{self.name}.{self._calls}"
        if self._only is not None and name not in self._only:
            return None
        self._told.names.append(name)
        self._told.points[label, kind] += 1
        self._told.kinds[kind] += 1
        self.struck += 1
        self.tell(f"    {label}: {kind} [{name}]")
        return kind

    def _usual(self, label: str) -> float:
        """A guard seldom has anything to do: when it does, more goes wrong."""
        return min(5 * self._rate, 0.3) if self.actor and label in ACTING else self._rate

    def pause(self) -> None:
        """The time that half a call takes."""
        self._turns.wait(5 + int(195 * self._draw.random()))

    def slow(self, longest: int = 10**9) -> int:
        seconds = self._draw.choice([each for each in SLOW if each <= longest] or [1])
        self._turns.wait(seconds * SECOND)
        return seconds

    def die(self) -> None:
        self.dead = True
        raise Crash

    def call(self, label: str, act: Callable[[], T], more: Iterable[str] = ()) -> T:
        """The answer of `act`, if luck has it. `more`: faults of this call that it may meet besides."""
        kind = self.strikes(label, (*ANY_CALL, *more))
        self.pause()
        self.before(label, kind)
        answer = act()
        self.after(label, kind)
        return answer

    def before(self, label: str, kind: str | None) -> None:
        if kind == "crash before":
            self.die()
        if kind == "slow before":
            self.slow()
        if kind == "aborted":
            raise Conflict(f"{label}: too much contention")
        if kind == "not done":
            raise Unavailable(f"{label}: time-out")

    def after(self, label: str, kind: str | None) -> None:
        self.pause()
        if kind == "crash after":
            self.die()
        if kind == "slow after":
            self.slow()
        if kind == "done, not answered":
            raise Unavailable(f"{label}: the answer was lost")

    def together(self, calls: Any) -> list[Any]:
        """Independent calls: in any order, all of them carried out even if one raises. A crash ends it all."""
        order = list(range(len(calls)))
        self._draw.shuffle(order)
        results: list[Any] = [None] * len(order)
        failures: dict[int, Exception] = {}
        for place in order:
            try:
                results[place] = calls[place]()
            except Exception as failure:
                failures[place] = failure
        if failures:
            raise failures[min(failures)]
        return results
