"""The whole strategy: what it decides up to a bar may not depend on what comes after that bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final

import numpy as np

from core.domain.bars import Bars, moment
from core.domain.proof.findings import Finding, Part
from core.domain.proof.points import Manner, Sources, changed, close, unknown

Decided = Sequence[tuple[int, object]]  # (open time of the bar, epoch seconds; what was decided), in order of time
DecideOn = Callable[[Bars, Sources], Decided]
SANE: Final[tuple[Manner, ...]] = ("noise", "swapped", "scaled", "reversed")  # what a fold of money can be fed with
LONG: Final = 160  # characters of a decision that are shown


def decisions(
    decide_on: DecideOn, bars: Bars, sources: Sources, timeframe: str, chosen: Sequence[int], seed: int = 1
) -> Part:
    """`decide_on` is run on all bars and, for each of the `chosen` indices, on those up to it with what was published
    when it closed, and on all of them with another future; up to that bar it must decide the same."""
    rng, found = np.random.default_rng(seed), []
    base = decide_on(bars, sources)
    for t, manner in zip(chosen, cycle(SANE), strict=False):
        after, future = close(bars, t, timeframe), slice(t + 1, None)
        for how in ("cut", manner):
            other = decide_on(changed(bars, future, how, rng), unknown(sources, after, timeframe, how, rng))
            parted = _parted(base, other, int(bars.time[t]))
            if parted:
                found.append(parted)
    findings = (_told(found),) if found else ()
    return Part(findings, f"{len(base)} decisions, cut and with another future at {len(chosen)} bars")


def _parted(base: Decided, other: Decided, until: int) -> tuple[int, object, object] | None:
    """The first bar up to `until` at which they part, and what each decided there (None: nothing)."""
    left, right = ({time: what for time, what in each if time <= until} for each in (base, other))
    for time in sorted(left.keys() | right.keys()):
        one, two = left.get(time), right.get(time)
        if one != two and repr(one) != repr(two):  # NaN is not itself, but reads the same
            return time, one, two
    return None


def _told(found: Sequence[tuple[int, object, object]]) -> Finding:
    time, one, two = min(found, key=lambda each: each[0])
    bar = moment(time)
    said = (
        f"the strategy decides otherwise when the future is another one: at {bar:%Y-%m-%dT%H:%MZ} "
        f"{_short(one)} and {_short(two)}"
    )
    return Finding(kind="decision", name="strategy", said=said, bar=bar, points=len(found))


def _short(what: object) -> str:
    text = "nothing" if what is None else repr(what)
    return text if len(text) <= LONG else text[: LONG - 1] + "…"
