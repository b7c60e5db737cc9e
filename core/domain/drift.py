"""Drift: is what the live model is shown still what it was trained on? Pure.

Of each feature the training rows leave a Reference: their deciles and tails, and how far a week of them usually is from
all of them. A week is far by the population stability index (Siddiqi, Credit Risk Scorecards, 2006: above 0.25 the
population has shifted). That rule is for independent rows; the hours of a week are not, and half of all features pass
0.25 in any week. So a feature has shifted when it passes 0.25 and what one training week in a hundred passed.

Features have no units, so they cannot show wrong ones: of close and volume the training bars leave their levels.
docs/drift.md tells what was measured. A week stands for 168 bars here, and a day for 24, whatever the timeframe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats

WEEK: Final = 168  # rows that are compared
ENOUGH: Final = 120  # the fewest of them that say something
DAY: Final = 24
SHIFTED: Final = 0.25  # PSI above which a population has shifted (Siddiqi)
USUAL: Final = 0.99  # of the training's weeks
TAILS: Final = (0.001, 0.999)
# From which a person should look: a share of the features and, for small sets, a count of them.
MANY: Final = (0.15, 3)  # that shifted
STRANGE: Final = (0.25, 5)  # that are beyond the training's tails, in one row
FAR: Final = 10.0  # times beyond the training's levels: other units
WORST: Final = 5  # features that are named


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A feature in the training rows. `cuts`: deciles, ascending, each once; `shares`: of the rows up to the first cut,
    between two, above the last, and NaN; `low`, `high`: the tails; `usual`: the PSI that one week in a hundred passed.
    """

    cuts: tuple[float, ...]
    shares: tuple[float, ...]
    low: float
    high: float
    usual: float

    @property
    def consistent(self) -> bool:
        ascending = all(one < other for one, other in zip(self.cuts, self.cuts[1:], strict=False))
        return ascending and len(self.shares) == len(self.cuts) + 2 and min(self.shares) >= 0.0


Levels = Mapping[str, tuple[float, float]]  # close, volume → low and high tail of the training bars


class Drift(Struct, frozen=True, kw_only=True):
    """`rows` and `features` that were compared; how many features `shifted`, the `worst` of them with their PSI; how
    many were `outside` of the training's tails in that row of the last day in which most were, and some of them."""

    rows: int
    features: int
    shifted: int
    worst: tuple[tuple[str, float], ...]
    outside: int
    strange: tuple[str, ...]

    @property
    def alarming(self) -> bool:
        return self._many(self.shifted, *MANY) or self._many(self.outside, *STRANGE)

    def _many(self, count: int, share: float, few: int) -> bool:
        return count >= max(share * self.features, min(few, self.features))


# -- what training leaves


def references(rows: Floats, names: Sequence[str]) -> dict[str, Reference]:
    """What the training rows (n, features), in order of time, leave; nothing when they are fewer than two weeks."""
    if len(rows) < 2 * WEEK:
        return {}
    return {name: _reference(column) for name, column in zip(names, rows.T, strict=True)}


def _reference(values: Floats) -> Reference:
    known = values[~np.isnan(values)]
    deciles = np.quantile(known, np.arange(1, 10) / 10, method="inverted_cdf")  # values that there are
    cuts = np.unique([_short(value) for value in deciles])
    bins = _bins(values, cuts)
    shares = np.round(np.bincount(bins, minlength=len(cuts) + 2) / len(bins), 6)
    low, high = (_short(value) for value in np.quantile(known, TAILS))
    usual = _short(float(np.quantile(_weeks(bins, shares), USUAL)))
    return Reference(cuts=tuple(cuts.tolist()), shares=tuple(shares.tolist()), low=low, high=high, usual=usual)


def _short(value: float) -> float:
    """Six digits are enough, and keep the manifest small."""
    return float(f"{value:.6g}")


def _bins(values: Floats, cuts: Floats) -> NDArray[np.intp]:
    """The bin of each value: up to its cut, above the last one, or NaN."""
    return np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values))


def _weeks(bins: NDArray[np.intp], expected: Floats) -> Floats:
    """The PSI of the training's weeks, each a day after the one before."""
    days, kinds = len(bins) // DAY, len(expected)
    placed = bins[: days * DAY] + np.repeat(np.arange(days) * kinds, DAY)
    counts = np.zeros((days + 1, kinds))
    counts[1:] = np.bincount(placed, minlength=days * kinds).reshape(days, kinds).cumsum(axis=0)
    return stability((counts[WEEK // DAY :] - counts[: -(WEEK // DAY)]) / WEEK, expected, WEEK)


def levels(bars: Bars) -> dict[str, tuple[float, float]]:
    """The tails of close and volume, by which wrong units are known."""
    columns = {"close": bars.close, "volume": bars.volume}
    tails = {name: np.quantile(values, TAILS).tolist() for name, values in columns.items()}
    return {name: (_short(low), _short(high)) for name, (low, high) in tails.items()}


# -- what is shown now


def stability(found: Floats, expected: Floats, rows: int) -> Floats:
    """The population stability index, Σ (found - expected) · ln(found / expected), along the last axis.

    A share is taken as half a row of `rows` at least: an empty bin would be endlessly far.
    """
    found, expected = np.maximum(found, 0.5 / rows), np.maximum(expected, 0.5 / rows)
    total: Floats = ((found - expected) * np.log(found / expected)).sum(axis=-1)
    return total


def drifted(rows: Sequence[Mapping[str, float]], reference: Mapping[str, Reference]) -> Drift | None:
    """How far `rows`, features by name and the newest last, are from the training's; None when that is unknown.

    Rows that lack a feature of `reference` (another model's) are left out.
    """
    names = list(reference)
    known = [row for row in rows if reference.keys() <= row.keys()]
    if len(known) < ENOUGH or not names:
        return None
    values = np.array([[row[name] for name in names] for row in known], np.float64)
    index = {name: _index(column, reference[name]) for name, column in zip(names, values.T, strict=True)}
    shifted = {name: psi for name, psi in index.items() if psi > _bound(reference[name])}
    worst = sorted(shifted, key=lambda name: (-index[name] / _bound(reference[name]), name))
    beyond = _beyond(values[-DAY:], list(reference.values()))
    strangest = beyond[int(np.argmax(beyond.sum(axis=1)))]
    return Drift(
        rows=len(known),
        features=len(names),
        shifted=len(shifted),
        worst=tuple((name, shifted[name]) for name in worst[:WORST]),
        outside=int(strangest.sum()),
        strange=tuple(names[i] for i in np.flatnonzero(strangest)[:WORST]),
    )


def _bound(reference: Reference) -> float:
    return max(SHIFTED, reference.usual)


def _index(values: Floats, reference: Reference) -> float:
    bins = _bins(values, np.array(reference.cuts))
    found = np.bincount(bins, minlength=len(reference.shares)) / len(bins)
    return float(stability(found, np.array(reference.shares), len(bins)))


def _beyond(values: Floats, references: Sequence[Reference]) -> NDArray[np.bool_]:
    """Which values are beyond the tails. NaN is not: it has a bin of its own."""
    low, high = np.array([[each.low, each.high] for each in references]).T
    beyond: NDArray[np.bool_] = (values < low) | (values > high)
    return beyond


def other_units(bars: Bars, known: Levels) -> tuple[str, ...]:
    """Which of close and volume are, in the median of the last day's bars, far beyond what the training bars had."""
    if len(bars) < DAY:
        return ()
    middle = {"close": float(np.median(bars.close[-DAY:])), "volume": float(np.median(bars.volume[-DAY:]))}
    found = [(name, middle[name], *known[name]) for name in middle if name in known]
    return tuple(name for name, value, low, high in found if not low / FAR <= value <= high * FAR)
