"""Labels: what a forecast should have said, and the last bar that was needed to know it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats


def direction(bars: Bars, horizon: int, cost: float) -> tuple[Floats, NDArray[np.int64]]:
    """Which way the price went beyond costs, for a decision made when bar t has closed.

    The trade is entered at the open of bar t + 1 and left at the open of bar t + 1 + `horizon`. `y[t]` is 1.0 when its
    return exceeds +`cost` (a fraction), 0.0 when it is below -`cost`, and NaN when it is neither, or when the label
    runs past the last bar or across a gap. The grid's step is the smallest difference between two open times.
    `end[t]` is the index of the last bar that the label looks at, for purging (López de Prado, Advances in Financial
    Machine Learning, 2018, chapters 3 and 7). Both have one value per bar. Raises ValueError for a horizon below 1 or
    a negative cost.
    """
    if horizon < 1 or cost < 0:
        raise ValueError(f"horizon {horizon} and cost {cost}: the horizon is at least 1 bar, the cost not negative")
    size, reach = len(bars), horizon + 1
    y = np.full(size, np.nan)
    end = np.minimum(np.arange(size, dtype=np.int64) + reach, size - 1)
    if size <= reach:
        return y, end
    step = np.diff(bars.time).min()
    whole = bars.time[reach:] - bars.time[:-reach] == reach * step
    gain = bars.open[reach:] / bars.open[1:-horizon] - 1
    y[:-reach][whole & (gain > cost)] = 1.0
    y[:-reach][whole & (gain < -cost)] = 0.0
    return y, end
