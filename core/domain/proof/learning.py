"""Labels, windows of training, and targets that are shuffled: what the judgement of a model rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats, moment
from core.domain.metrics import auc
from core.domain.proof.findings import Finding, Part, Shuffled, unequal
from core.domain.proof.points import MANNERS, changed, spread
from core.domain.splits import Bar, Rows

Label = Callable[[Bars], tuple[Floats, Bar]]  # bars → (label, last bar that it looks at), one of each per bar
Refit = Callable[[Floats], Floats]  # labels, one per bar → p(up) out of sample, one per bar, NaN where none was made
SURE: Final = 4.0  # standard errors by which the mean of the shuffled runs may exceed 0.5
LEAST: Final = 0.01  # of AUC, so that a tiny error is not taken for a leak when there are many rows


def labels(label: Label, bars: Bars, count: int = 12, seed: int = 1) -> Part:
    """Each label must be known when the bar that it names as its `end` has closed, and not before its own bar has.

    Bars after a point are cut and replaced: labels that end up to there stay. Then at least one label that begins there
    must change: one that does not depend on the future is no forecast.
    """
    rng, chosen = np.random.default_rng(seed), spread(bars, 1, count)
    y, end = label(bars)
    early: list[tuple[int, int]] = []
    moved = 0
    for number, e in enumerate(chosen):
        for manner in ("cut", MANNERS[number % len(MANNERS)]):
            other, _ = label(changed(bars, slice(e + 1, None), manner, rng))
            ended = np.flatnonzero(end[: e + 1] <= e)
            bad = ended[unequal(y[ended], other[ended])]
            early += [(int(i), e) for i in bad]
            begun = np.flatnonzero(end[: e + 1] > e)
            moved += int(unequal(y[begun], other[begun]).sum())
    findings = [_early(bars, early, end)] if early else []
    if not moved and chosen:
        said = "the labels do not depend on what comes after their bar: they are no forecast"
        findings.append(Finding(kind="label", name="labels", said=said))
    return Part(tuple(findings), f"labels of {len(bars)} bars at {len(chosen)} cuts")


def _early(bars: Bars, bad: Sequence[tuple[int, int]], end: Bar) -> Finding:
    row, cut = max(bad, key=lambda each: each[1] - each[0])
    bar = moment(bars.time[row])
    said = (
        f"the label of {bar:%Y-%m-%dT%H:%MZ} says that it is known after {int(end[row]) - row} bars, "
        f"and depends on bars more than {cut - row} bars after its own"
    )
    return Finding(kind="label", name="labels", said=said, bar=bar, ahead=cut - row + 1, points=len(bad))


def purged(windows: Iterable[tuple[Rows, Rows]], starts: Bar, ends: Bar, embargo: int) -> Part:
    """Windows of (rows to train on, rows to test on): no label that is learnt ends later than `embargo` bars before the
    first row of the test, no row is in both, and no row is tested twice.

    `starts[i]` is the bar of row i and `ends[i]` the last bar that its label looks at.
    """
    findings: dict[str, Finding] = {}
    tested: set[int] = set()
    number = -1
    for number, (train, test) in enumerate(windows):
        for what in _faults(train, test, starts, ends, embargo, tested):
            first = findings.get(what)
            said = first.said if first else f"window {number} {what}"
            findings[what] = Finding(kind="purge", name="windows", said=said, points=first.points + 1 if first else 1)
        tested.update(test.tolist())
    return Part(tuple(findings.values()), f"{number + 1} windows of training")


def _faults(train: Rows, test: Rows, starts: Bar, ends: Bar, embargo: int, tested: set[int]) -> list[str]:
    if not len(train) or not len(test):
        return []
    faults, first = [], int(starts[test].min())
    if np.isin(train, test).any():
        faults.append("learns from rows that it is tested on")
    elif (starts[train] >= first).any():
        faults.append("learns from rows that come after the first one of its test")
    elif (ends[train] >= first).any():
        faults.append("learns from labels that end within its test: they are not purged")
    elif (ends[train] >= first - embargo).any():
        faults.append(f"learns from labels that end less than the embargo of {embargo} bars before its test")
    if not tested.isdisjoint(test.tolist()):
        faults.append("tests rows that another one has tested")
    return faults


def shuffled(y: Floats, refit: Refit, block: int, overlap: int, runs: int = 10, seed: int = 1) -> Part:
    """Train and judge again on labels that were shuffled in blocks of `block` rows: their edge must be none.

    `y`: labels, one per bar, NaN where there is none (they stay where they are). `overlap`: bars that a label spans:
    only one in so many is news. Models that foresee shuffled labels have seen them: through windows that are not
    purged, features made from labels, or a judgement on rows that were learnt. Raises ValueError when there are fewer
    than 4 blocks, or no row is foreseen.
    """
    rng, keep = np.random.default_rng(seed), np.flatnonzero(np.isfinite(y))
    if len(keep) < 4 * block or runs < 2:
        raise ValueError(f"{len(keep)} labels and {runs} runs: give at least 4 blocks of {block} labels and 2 runs")
    real, _ = _judged(y, refit(y.copy()))
    scores, rows = [], 0
    for _ in range(runs):
        drawn = y.copy()
        drawn[keep] = _in_blocks(y[keep], block, rng)
        score, rows = _judged(drawn, refit(drawn.copy()))
        scores.append(score)
    if not rows or not all(map(math.isfinite, scores)):
        raise ValueError("no row is foreseen, or all that are went the same way: give more bars")
    told = _against(real, scores, rows / overlap)
    return Part(_edges(told), f"{runs} runs on shuffled labels {_compared(told)}", told)


def _judged(y: Floats, p_up: Floats) -> tuple[float, int]:
    both = np.isfinite(y) & np.isfinite(p_up)
    return auc(y[both], p_up[both]), int(both.sum())


def _in_blocks(y: Floats, block: int, rng: np.random.Generator) -> Floats:
    """The same values, blocks of them in another order: what follows one another mostly still does."""
    turned = np.roll(y, int(rng.integers(len(y))))
    parts = np.array_split(turned, max(2, round(len(y) / block)))
    return np.concatenate([parts[i] for i in rng.permutation(len(parts))])


def _against(real: float, scores: Sequence[float], news: float) -> Shuffled:
    """`news`: rows that say something of their own. AUC of as many: a standard error of sqrt(1 / (3 n)) (Mann-Whitney,
    both outcomes equally often), or what the runs themselves scatter by, when that is more."""
    runs: NDArray[np.float64] = np.array(scores)
    spread = max(float(runs.std(ddof=1)), math.sqrt(1.0 / (3.0 * news)))
    bound = 0.5 + max(LEAST, SURE * spread / math.sqrt(len(runs)))
    at_least = int((runs >= real).sum())
    return Shuffled(
        real=real if math.isfinite(real) else None,
        runs=tuple(scores),
        mean=float(runs.mean()),
        bound=bound,
        p_value=(1 + at_least) / (1 + len(runs)),
    )


def _edges(told: Shuffled) -> tuple[Finding, ...]:
    if told.mean <= told.bound:
        return ()
    said = (
        f"the evaluation finds an edge where there is none: AUC {told.mean:.3f} on shuffled labels, and chance does "
        f"not reach {told.bound:.3f}"
    )
    return (Finding(kind="shuffled", name="evaluation", said=said, off=told.mean - 0.5, points=len(told.runs)),)


def _compared(told: Shuffled) -> str:
    real = "none" if told.real is None else f"{told.real:.3f}"
    return (
        f"(AUC {real} on the real ones, {told.mean:.3f} on the shuffled, {min(told.runs):.3f} to {max(told.runs):.3f}; "
        f"p {told.p_value:.2f})"
    )
