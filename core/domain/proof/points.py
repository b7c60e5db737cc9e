"""Where to look, and what is done to bars and outside values that nobody could know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats, gaps, seconds
from core.domain.daily import DAY, Daily

Sources = Mapping[str, Daily | Bars]  # by name: outside series, other markets on the same grid
Manner = Literal["cut", "noise", "scaled", "nan", "reversed", "swapped"]
MANNERS: Final[tuple[Manner, ...]] = ("noise", "nan", "swapped", "scaled", "reversed")
Index = NDArray[np.intp]


def points(bars: Bars, timeframe: str, need: int, count: int, seed: int = 1) -> list[int]:
    """About `count` bars, in order: the first rows and those around the first whole one, the last but one, both sides
    of gaps, of ends of days, weeks and months, bars without movement or volume, and at random. `need`: bars that a
    whole row takes."""
    size = len(bars)
    if size < 2:
        return []
    rng = np.random.default_rng(seed)
    behind = gaps(bars, timeframe)
    fixed = [0, 1, need - 2, need - 1, need, size - 3, size - 2]
    kinds = [
        np.concatenate([behind, behind + 1, behind + need]),
        _turns(bars.time // DAY),
        _turns((bars.time // DAY + 3) // 7),  # the epoch began on a Thursday
        _turns(bars.time.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)),
        np.flatnonzero((bars.volume <= 0) | (bars.high <= bars.low)),
    ]
    share = max(1, count // 8)
    chosen = {int(i) for kind in kinds for i in rng.permutation(kind)[:share]} | set(fixed)
    chosen = {i for i in chosen if 0 <= i < size - 1}
    rest = rng.permutation(np.setdiff1d(np.arange(size - 1), sorted(chosen)))
    chosen.update(rest[: max(0, count - len(chosen))].tolist())
    return sorted(chosen)


def spread(bars: Bars, need: int, count: int) -> list[int]:
    """`count` bars from the first whole row to the last but one, for cuts of the whole history."""
    size = len(bars)
    if size < 2:
        return []
    return sorted({int(i) for i in np.linspace(min(need + 1, size - 2), size - 2, count)})


def _turns(unit: NDArray[np.int64]) -> Index:
    """The last bar before each change of `unit` and the first after it."""
    last = np.flatnonzero(np.diff(unit))
    return np.concatenate([last, last + 1])


def close(bars: Bars, index: int, timeframe: str) -> int:
    """Epoch seconds at which the bar closes."""
    return int(bars.time[index]) + seconds(timeframe)


def changed(bars: Bars, rows: slice, manner: Manner, rng: np.random.Generator) -> Bars:
    """The same bars with other values in `rows`; "cut" leaves out all from there on. The times stay."""
    if manner == "cut":
        return bars[: rows.start]
    columns = [column.copy() for column in bars.columns()[1:]]
    size = len(columns[0][rows])
    order = rng.permutation(size)
    for factor, column in zip(_factors(size, rng), columns, strict=True):
        column[rows] = _altered(column[rows], manner, factor, order)
    return Bars(bars.time, *columns)


def _factors(size: int, rng: np.random.Generator) -> list[Floats]:
    """One for the four prices of a bar, so that they stay sane, and one for its volume."""
    price, volume = rng.uniform(0.5, 1.5, size), rng.uniform(0.2, 5.0, size)
    return [price, price, price, price, volume]


def _altered(values: Floats, manner: Manner, factor: Floats, order: Index) -> Floats:
    if manner == "nan":
        return np.full(len(values), np.nan)
    if manner == "scaled":
        return values * 7.0 + 1.0
    if manner == "reversed":
        return values[::-1]
    return values[order] if manner == "swapped" else values * factor


def unknown(
    sources: Sources, after: int, timeframe: str, manner: Manner, rng: np.random.Generator, only: str = ""
) -> dict[str, Daily | Bars]:
    """The same sources with other values (none, when "cut") where they were published, or their bars closed, later than
    `after`, epoch seconds. `only`: in this one alone."""
    return {
        name: _later(source, _first(source, after, timeframe), manner, rng) if only in {"", name} else source
        for name, source in sources.items()
    }


def later(sources: Sources, after: int, timeframe: str) -> bool:
    """Whether there is anything in them that was not known at `after`."""
    return any(_first(source, after, timeframe) < len(source) for source in sources.values())


def _first(source: Daily | Bars, after: int, timeframe: str) -> int:
    times = source.time + seconds(timeframe) if isinstance(source, Bars) else source.published
    return int(np.searchsorted(times, after, side="right"))


def _later(source: Daily | Bars, first: int, manner: Manner, rng: np.random.Generator) -> Daily | Bars:
    if isinstance(source, Bars):
        return changed(source, slice(first, None), manner, rng)
    if manner == "cut":
        return replace(source, published=source.published[:first], value=source.value[:first])
    value, size = source.value.copy(), len(source) - first
    value[first:] = _altered(value[first:], manner, rng.uniform(0.2, 3.0, size), rng.permutation(size))
    return replace(source, value=value)
