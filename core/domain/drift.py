"""Drift: is what the live model is shown still what it was trained on? Pure.

Of each feature the training rows leave a Reference: their deciles and tails, and how far a week of them usually is from
all of them. A week is far by the population stability index (Siddiqi, Credit Risk Scorecards, 2006: above 0.25 the
population has shifted). That rule is for independent rows; a week of hours is not, and half of all features pass 0.25
in any week. So a feature has shifted when it passes 0.25 and what one training week in a hundred passed.

Features have no units, so they cannot show wrong ones: of close and volume the training bars leave their levels.
docs/drift.md tells what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats

WINDOW: Final = 168  # rows that are compared: a week of hours
ENOUGH: Final = 120  # the fewest of them that say something
SHIFTED: Final = 0.25  # PSI above which a population has shifted (Siddiqi)
USUAL: Final = 0.99  # of the training's weeks
TAILS: Final = (0.001, 0.999)
MANY: Final = 0.2  # share of features that shifted, or that are in no tail of the training's: a person should look
FAR: Final = 10.0  # times beyond the training's levels: other units
DAY: Final = 24  # bars between two weeks of training; bars whose median is a level
WORST: Final = 5  # features that are named


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A feature in the training rows. `cuts`: deciles, ascending, each once; `shares`: of rows up to the first cut,
    between two, above the last, and NaN; `low`, `high`: the tails; `usual`: the PSI that one week in a hundred passed.
    """

    cuts: tuple[float, ...]
    shares: tuple[float, ...]
    low: float
    high: float
    usual: float


Levels = Mapping[str, tuple[float, float]]  # close, volume → low and high tail of the training bars


class Drift(Struct, frozen=True, kw_only=True):
    """`rows` that were compared; `share` of the features that shifted; `outside`: share of the newest row's features
    beyond the training's tails; `worst`: the features that shifted most, or are outside, with their PSI."""

    rows: int
    share: float
    outside: float
    worst: tuple[tuple[str, float], ...]

    @property
    def alarming(self) -> bool:
        return max(self.share, self.outside) >= MANY


def references(rows: Floats, names: Sequence[str]) -> dict[str, Reference]:
    """What the training rows (n, features) leave, in order of time; nothing when there are fewer than two weeks."""
    if len(rows) < 2 * WINDOW:
        return {}
    return {name: _reference(column) for name, column in zip(names, rows.T, strict=True)}


def _reference(values: Floats) -> Reference:
    known = values[~np.isnan(values)]
    deciles = np.quantile(known, np.arange(1, 10) / 10, method="inverted_cdf")  # values that there are
    cuts = np.unique([_short(value) for value in deciles])
    bins = _bins(values, cuts)
    shares = np.round(np.bincount(bins, minlength=len(cuts) + 2) / len(bins), 6)
    low, high = (_short(value) for value in np.quantile(known, TAILS))
    usual = _short(np.quantile(_weeks(bins, shares), USUAL))
    return Reference(cuts=tuple(cuts.tolist()), shares=tuple(shares.tolist()), low=low, high=high, usual=usual)


def _short(value: float) -> float:
    """Six digits are enough, and keep the manifest small."""
    return float(f"{value:.6g}")


def _bins(values: Floats, cuts: Floats) -> NDArray[np.intp]:
    """The bin of each value: up to its cut, above the last one, or NaN."""
    return np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values))


def _weeks(bins: NDArray[np.intp], expected: Floats) -> Floats:
    """The PSI of every week of training, a day apart."""
    each = bins[:, None] == np.arange(len(expected))
    counts = np.concatenate([np.zeros((1, len(expected)), np.int64), each.cumsum(axis=0)])
    return stability(((counts[WINDOW:] - counts[:-WINDOW])[::DAY]) / WINDOW, expected, WINDOW)


def stability(found: Floats, expected: Floats, rows: int) -> Floats:
    """The population stability index, Σ (found - expected) · ln(found / expected), along the last axis.

    Shares are taken as at least half a row of `rows`, since an empty bin would be endlessly far.
    """
    found, expected = np.maximum(found, 0.5 / rows), np.maximum(expected, 0.5 / rows)
    total: Floats = ((found - expected) * np.log(found / expected)).sum(axis=-1)
    return total


def drifted(rows: Sequence[Mapping[str, float]], reference: Mapping[str, Reference]) -> Drift | None:
    """How far `rows`, features by name and the newest last, are from the training's; None when that is unknown.

    Rows without a feature of `reference` (another model's) are left out.
    """
    known = [row for row in rows if reference.keys() <= row.keys()]
    if len(known) < ENOUGH or not reference:
        return None
    columns = {name: np.array([row[name] for row in known], np.float64) for name in reference}
    index = {name: _index(columns[name], reference[name]) for name in reference}
    shifted = [name for name, value in index.items() if value > max(SHIFTED, reference[name].usual)]
    outside = [name for name in reference if not _within(float(columns[name][-1]), reference[name])]
    named = sorted({*shifted, *outside}, key=lambda name: (-index[name] / max(SHIFTED, reference[name].usual), name))
    return Drift(
        rows=len(known),
        share=len(shifted) / len(reference),
        outside=len(outside) / len(reference),
        worst=tuple((name, index[name]) for name in named[:WORST]),
    )


def _index(values: Floats, reference: Reference) -> float:
    bins = _bins(values, np.array(reference.cuts))
    found = np.bincount(bins, minlength=len(reference.shares)) / len(bins)
    return float(stability(found, np.array(reference.shares), len(bins)))


def _within(value: float, reference: Reference) -> bool:
    return value != value or reference.low <= value <= reference.high


def levels(bars: Bars) -> dict[str, tuple[float, float]]:
    """The tails of close and volume, by which wrong units are known."""
    low, high = TAILS
    columns = {"close": bars.close, "volume": bars.volume}
    return {
        name: (_short(np.quantile(values, low)), _short(np.quantile(values, high))) for name, values in columns.items()
    }


def other_units(bars: Bars, known: Levels) -> tuple[str, ...]:
    """Which of close and volume were, in the median of the last day's bars, far beyond what the training bars had."""
    if len(bars) < DAY:
        return ()
    columns = {"close": bars.close[-DAY:], "volume": bars.volume[-DAY:]}
    middle = {name: float(np.median(values)) for name, values in columns.items()}
    return tuple(
        name for name, (low, high) in known.items() if name in middle and not low / FAR <= middle[name] <= high * FAR
    )
