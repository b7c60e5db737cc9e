"""Daily outside series (the VIX), point in time: a value counts from the moment at which it was published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats, Times

DAY = 86400


@dataclass(frozen=True, slots=True, eq=False)
class Daily:
    """`published[i]`: epoch seconds (UTC) from which `value[i]` was known; strictly increasing."""

    published: Times
    value: Floats

    def __len__(self) -> int:
        return len(self.published)


def from_closes(dates: Times, closes: Floats) -> Daily:
    """Closes by date (00:00 UTC of the trading day). The VIX of day D closes at 16:15 in New York, so it is taken as
    known from 00:00 UTC of D+1. Rows that are not finite and positive are left out; later duplicates win."""
    keep = np.isfinite(closes) & (closes > 0)
    by_date = dict(zip(dates[keep].tolist(), closes[keep].tolist(), strict=True))
    days = sorted(by_date)
    return Daily(np.array(days, np.int64) + DAY, np.array([by_date[day] for day in days], np.float64))


def none() -> Daily:
    return Daily(np.empty(0, np.int64), np.empty(0))


def as_of(series: Daily, times: Times, max_age: int) -> NDArray[np.intp]:
    """For each of `times` (epoch seconds, ascending), the index of the newest value published at or before it; -1 when
    there is none or when it is older than `max_age` seconds."""
    # Daily values among hourly times: looking each value up among the times is a fraction of the other way round.
    starts = np.searchsorted(times, series.published)
    index = np.cumsum(np.bincount(starts, minlength=len(times) + 1)[: len(times)]) - 1
    if not len(series):
        return index
    old = times - series.published[np.maximum(index, 0)] > max_age
    return np.where(old, -1, index)
