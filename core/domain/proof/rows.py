"""Features: a row may depend on the bars of its lookback and on what had been published when its bar closed.

Changes of the future are compared in two ways: many in windows of bars around a point, which is quick, and a few in the
whole history, which sees what was scaled, ranked or smoothed over all of it. All rows up to the point are compared, so
how far before the change rows differ tells how far ahead a feature looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, Literal

import numpy as np
from msgspec.structs import replace as with_said

from core.domain.bars import Bars, Floats, moment
from core.domain.proof.findings import Finding, Part, larger, largest, shown, unequal
from core.domain.proof.points import MANNERS, Manner, Sources, changed, close, later, points, spread, unknown

Compute = Callable[[Bars, Sources], Floats]
AHEAD: Final = 240  # bars of future in a window
SLACK: Final = 64  # bars of a window beyond the lookback
DEEP: Final = 200  # bars before the lookback that are perturbed
FEW: Final = 12  # points at which the deep past is perturbed, and at which one row is made alone


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """The features under proof. `compute`: bars and outside series by name → (bars, names). `lookbacks`: bars that each
    declares. `part`: the same for some of the names, so that each can be given its own lookback (None: all are given
    the longest). `last`: the newest row alone (None: there is no such way)."""

    timeframe: str
    names: tuple[str, ...]
    lookbacks: tuple[int, ...]
    compute: Compute
    part: Callable[[tuple[str, ...]], Compute] | None = None
    last: Compute | None = None

    @property
    def lookback(self) -> int:
        return max(self.lookbacks)

    def groups(self) -> dict[int, tuple[str, ...]]:
        """Names by declared lookback, or all of them by the longest."""
        if self.part is None:
            return {self.lookback: self.names}
        pairs = list(zip(self.names, self.lookbacks, strict=True))
        return {n: tuple(name for name, own in pairs if own == n) for n in sorted(set(self.lookbacks))}


@dataclass(slots=True)
class Seen:
    """What was found so far, one finding for each kind and name."""

    bars: Bars
    found: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def note(self, finding: Finding) -> None:
        key = finding.kind, finding.name
        old = self.found.get(key, finding)
        whole = old.whole or finding.whole
        ahead = larger(old.ahead, finding.ahead)
        self.found[key] = with_said(
            old,
            off=larger(old.off, finding.off),
            ahead=None if whole or ahead is None else int(ahead),
            whole=whole,
            points=old.points + (key in self.found),
        )

    def told(self) -> tuple[Finding, ...]:
        return tuple(with_said(each, said=_sentence(each)) for each in self.found.values())


def _sentence(found: Finding) -> str:
    if found.kind == "warm_up":
        return found.said + f" ({shown(found.off)})"
    reach = "depends on the whole series" if found.whole else f"looks at least {found.ahead} bars ahead"
    what = {
        "future": reach,
        "outside": f"{reach} in an outside series{found.said}",
        "alone": "is another one in a row made alone than in a batch",
        "unsteady": "differs from one computation to the next",
    }[found.kind]
    at = f", as at {found.bar:%Y-%m-%dT%H:%MZ}" if found.bar else ""
    return f"{found.name} {what}{at} ({shown(found.off)})"


def features(subject: Subject, bars: Bars, sources: Sources, count: int = 60, whole: int = 8, seed: int = 1) -> Part:
    """Everything that is proved of features: at about `count` points in windows, at `whole` in the whole history.

    Raises ValueError when there are not more bars than the lookback.
    """
    if len(bars) <= subject.lookback + 1:
        raise ValueError(f"{len(bars)} bars are too few: these features look back {subject.lookback}")
    with np.errstate(all="ignore"):  # NaN is among what is put in
        return _features(subject, bars, sources, count, whole, seed)


def _features(subject: Subject, bars: Bars, sources: Sources, count: int, whole: int, seed: int) -> Part:
    seen, rng = Seen(bars), np.random.default_rng(seed)
    base = subject.compute(bars, sources)
    steady = unsteady(subject, bars, sources, base, seen)
    chosen = points(bars, subject.timeframe, subject.lookback, count, seed)
    manners = cycle(MANNERS)
    for t in chosen:
        start = max(0, t + 1 - subject.lookback - SLACK)
        future(subject, bars, sources, (start, t, t + 1 + AHEAD), None, (next(manners), next(manners)), rng, seen)
    wide = spread(bars, subject.lookback, whole)
    for t in wide:
        future(subject, bars, sources, (0, t, len(bars)), base, (next(manners),), rng, seen)
    warm_up(subject, bars, sources, chosen, rng, seen)
    alone(subject, bars, sources, chosen, seen)
    findings = tuple(each for each in seen.told() if each.kind == "unsteady" or each.name in steady)
    tried = f"{len(subject.names)} features at {len(chosen)} points and {len(wide)} cuts of all {len(bars)} bars"
    return Part(findings, tried)


def unsteady(subject: Subject, bars: Bars, sources: Sources, base: Floats, seen: Seen) -> set[str]:
    """The names that give the same twice; of the others nothing more can be said."""
    again = subject.compute(bars, sources)
    differ = unequal(base, again)
    for j in np.flatnonzero(differ.any(axis=0)).tolist():
        _note(seen, "unsteady", subject.names[j], int(np.argmax(differ[:, j])), base[:, j], again[:, j])
    return {subject.names[j] for j in np.flatnonzero(~differ.any(axis=0)).tolist()}


def future(
    subject: Subject,
    bars: Bars,
    sources: Sources,
    span: tuple[int, int, int],
    base: Floats | None,
    manners: Sequence[Manner],
    rng: np.random.Generator,
    seen: Seen,
) -> None:
    """Rows up to t, with the bars start:end and with what comes after t cut or replaced; span: (start, t, end)."""
    start, t, end = span
    window, here = bars[start:end], t - start
    rows = subject.compute(window, sources) if base is None else base
    after = close(bars, t, subject.timeframe)
    for manner in ("cut", *manners):
        other = subject.compute(changed(window, slice(here + 1, None), manner, rng), sources)
        _compare(subject, "future", rows, other, start, here, seen)
        if not later(sources, after, subject.timeframe):
            continue
        other = subject.compute(window, unknown(sources, after, subject.timeframe, manner, rng))
        if unequal(rows[: here + 1], other[: here + 1]).any():
            _which(subject, window, sources, rows, (start, here, after), manner, rng, seen)


def _which(
    subject: Subject,
    window: Bars,
    sources: Sources,
    rows: Floats,
    at: tuple[int, int, int],
    manner: Manner,
    rng: np.random.Generator,
    seen: Seen,
) -> None:
    """Which of the outside series it is."""
    start, here, after = at
    for name in sources:
        other = subject.compute(window, unknown(sources, after, subject.timeframe, manner, rng, name))
        _compare(subject, "outside", rows, other, start, here, seen, f" ({name})")


def _compare(
    subject: Subject,
    kind: Literal["future", "outside"],
    rows: Floats,
    other: Floats,
    start: int,
    here: int,
    seen: Seen,
    said: str = "",
) -> None:
    """Notes each feature of which a row up to `here` differs, and from which row on."""
    left, right = rows[: here + 1], other[: here + 1]
    differ = unequal(left, right)
    for j in np.flatnonzero(differ.any(axis=0)).tolist():
        bad = np.flatnonzero(differ[:, j])
        reach = here + 1 - int(bad[0])
        there = np.flatnonzero(~np.isnan(left[:, j]))  # the first bars may have no row at all
        held = here + 1 - int(there[0]) if len(there) else 0
        far = reach > AHEAD and 2 * reach > held
        _note(
            seen, kind, subject.names[j], start + int(bad[-1]), left[:, j], right[:, j], reach, far and not start, said
        )


def _note(
    seen: Seen,
    kind: Literal["future", "outside", "alone", "unsteady"],
    name: str,
    row: int,
    left: Floats,
    right: Floats,
    ahead: int | None = None,
    whole: bool = False,
    said: str = "",
) -> None:
    off, bar = largest(left, right), moment(seen.bars.time[row])
    off = None if off == 0 else off
    seen.note(Finding(kind=kind, name=name, said=said, bar=bar, off=off, ahead=ahead, whole=whole))


def warm_up(
    subject: Subject, bars: Bars, sources: Sources, chosen: Sequence[int], rng: np.random.Generator, seen: Seen
) -> None:
    """Each feature from exactly the bars that it declares against the whole history, and with another deep past."""
    for lookback, names in subject.groups().items():
        compute = subject.part(names) if subject.part else subject.compute
        base = compute(bars, sources)
        enough = [t for t in chosen if t + 1 >= lookback]
        for t in enough:
            row = compute(bars[t + 1 - lookback : t + 1], sources)[-1]
            _needs(names, compute, bars, sources, t, lookback, base[t], row, seen)
        for t, manner in zip(enough[:: max(1, len(enough) // FEW)], cycle(MANNERS), strict=False):
            start = max(0, t + 1 - lookback - DEEP)
            deep = slice(0, t + 1 - lookback - start)
            row = compute(changed(bars[start : t + 1], deep, manner, rng), sources)[-1]
            _needs(names, compute, bars, sources, t, lookback, base[t], row, seen)


def _needs(
    names: tuple[str, ...],
    compute: Compute,
    bars: Bars,
    sources: Sources,
    t: int,
    lookback: int,
    base: Floats,
    row: Floats,
    seen: Seen,
) -> None:
    """Notes the features of which `row` differs from that of the whole history. One that looks ahead differs because of
    what comes after the row: its past is proved once that is mended."""
    for j in np.flatnonzero(unequal(base, row)).tolist():
        if ("future", names[j]) in seen.found:
            continue
        known = seen.found.get(("warm_up", names[j]))
        needs = known.needs if known else _settled(compute, bars, sources, t, lookback, base, j)
        off = largest(base[j : j + 1], row[j : j + 1])
        much = f"more than {t + 1}" if needs is None else f"about {needs}"
        said = f"{names[j]} declares {lookback} bars and needs {much}, as at {moment(bars.time[t]):%Y-%m-%dT%H:%MZ}"
        seen.note(Finding(kind="warm_up", name=names[j], said=said, bar=moment(bars.time[t]), off=off, needs=needs))


def _settled(
    compute: Compute, bars: Bars, sources: Sources, t: int, lookback: int, base: Floats, column: int
) -> int | None:
    """How many bars, by doubling, until the row is that of the whole history; None: not before it begins."""
    size = lookback
    while size < (t + 1) // 2:
        size *= 2
        row = compute(bars[t + 1 - size : t + 1], sources)[-1]
        if not unequal(base[column : column + 1], row[column : column + 1]).any():
            return size
    return None


def alone(subject: Subject, bars: Bars, sources: Sources, chosen: Sequence[int], seen: Seen) -> None:
    """The newest row made alone against the last one of a batch from the same bars."""
    if subject.last is None:
        return
    enough = [t for t in chosen if t + 1 >= subject.lookback]
    for t in enough[:: max(1, len(enough) // FEW)]:
        window = bars[t + 1 - subject.lookback : t + 1]
        batch, row = subject.compute(window, sources)[-1], subject.last(window, sources)
        for j in np.flatnonzero(unequal(batch, row)).tolist():
            _note(seen, "alone", subject.names[j], t, batch[j : j + 1], row[j : j + 1])
