"""The world around drawn bars, the same for ever: another market, and every outside series."""

from __future__ import annotations

import numpy as np

from core.domain.bars import Bars
from core.domain.daily import DAY, Daily
from core.domain.outside import SERIES, Outside


def integers(count: int, seed: int = 1) -> list[int]:
    """Knuth's MMIX generator, so that the pinned series is the same for ever: 0 .. 2**32 - 1."""
    drawn, state = [], seed
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        drawn.append(state >> 32)
    return drawn


def uniform(count: int, seed: int) -> np.ndarray:
    return np.array(integers(count, seed), np.float64) / 2**32


def market(bars: Bars, seed: int = 11, lacks: int = 450) -> Bars:
    """A market that follows the given one in part, and is without one of so many bars."""
    own = bars.close[1:] / bars.close[:-1] - 1.0
    noise = (uniform(len(bars), seed) - 0.5) * 0.01
    close = 2_000.0 * np.cumprod(1.0 + noise + 0.7 * np.concatenate([[0.0], own]))
    made = Bars(bars.time, close, close * 1.01, close * 0.99, close, np.ones(len(bars)))
    return made[np.flatnonzero(np.arange(len(bars)) % lacks != lacks - 1)]


def published(name: str, first: int, last: int, seed: int) -> Daily:
    """Values of every date on which the series can have one, from `first` to `last` (epoch seconds)."""
    series = SERIES[name]
    dates = np.arange(first // series.step * series.step, last, series.step, dtype=np.int64)
    dates = dates[series.weekends | ((dates // DAY + 3) % 7 < 5)]
    walk = np.cumsum(uniform(len(dates), seed) - 0.5)
    values = {
        "dxy": 100.0 + walk, "us10y": 4.0 + 0.1 * walk, "usdjpy": 140.0 + walk,
        "fear_greed": np.floor(uniform(len(dates), seed) * 100.0) + 1.0, "funding": 1e-4 * walk,
    }[name]  # fmt: skip
    return series.series(dates, values)


def around(bars: Bars) -> Outside:
    """Everything, from 90 days before the first bar to the day after the last."""
    first, last = int(bars.time[0]) - 90 * DAY, int(bars.time[-1]) + DAY
    daily = {name: published(name, first, last, seed) for seed, name in enumerate(SERIES, 21)}
    return Outside(daily, market=market(bars))
