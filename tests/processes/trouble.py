"""What goes wrong, and how often: drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from tests.processes.region import Death
from tests.venues.faults import Fault

# What a process may die at, and how often each is drawn: most often where an order hangs in the air.
KINDS: Final = {"order": 8, "decision": 4, "step": 5, "cancel": 4, "look": 2, "claim": 2, "read": 1, "market": 1}
MANY: Final = {"order": 2, "step": 3, "look": 8, "read": 2, "claim": 1}  # how many of a kind one bar has, about
FREEZES: Final = ("order", "decision", "step", "claim")
FAULTS: Final = (
    Fault("drop_before"),
    Fault("drop_after"),
    Fault("error_before", status=502),
    Fault("error_after", status=504),
    Fault("html"),
    Fault("html_after"),
    Fault("delay_before", 0.3),
    Fault("delay_after", 0.3),
    Fault("late", 1.5),
    Fault("rate_limit"),
)


@dataclass(frozen=True)
class Manners:
    """How often what happens. Of each bar: `death`, at one of its requests; `fault`, to an order; `flip` of a switch;
    `missed`, no call at all; `twice`, a call once all is done. `again`: that a process dies which goes on from where
    another one died; `freeze`: of a death, that it only stands still; `timer`: of each call, that its process is killed
    somewhere on the way; `faults`: of each request to the venue. Of each bar again: `lag`, that the venue shows what
    happened later than it did; `partial`, that it executes orders in two parts."""

    death: float = 0.9
    again: float = 0.3
    freeze: float = 0.1
    fault: float = 0.15
    faults: float = 0.01
    flip: float = 0.06
    missed: float = 0.04
    twice: float = 0.08
    timer: float = 0.03
    lag: float = 0.15
    partial: float = 0.15


LAGS: Final = (0.2, 1.0, 2.0)  # seconds
PARTS: Final = (Decimal("0.3"), Decimal("0.75"))


def death(draw: Random, manners: Manners) -> Death:
    (kind,) = draw.choices([*KINDS], [*KINDS.values()])
    spared = draw.randrange(MANY.get(kind, 0) + 1)
    if kind in FREEZES and draw.random() < manners.freeze:
        # until another one has taken over, or until just before it may
        return Death(kind, "after" if kind != "order" else "before", spared, draw.choice([4.0, 11.0, 18.0]))
    return Death(kind, draw.choice(["before", "after"]), spared)
