"""The market of all histories: one long walk of prices, four in each hour, of which each history sees a stretch."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Final

import numpy as np

from core.domain.bars import Bars
from tests.simulation.turns import HOUR

BARS: Final = 6000
START: Final = 1_704_067_200_000  # 2024-01-01, in milliseconds
QUARTER: Final = HOUR // 4


@cache
def walk() -> tuple[int, ...]:
    """Prices in whole ticks: of each bar the open, two on the way, and the close."""
    rng = np.random.default_rng(11)
    steps = rng.standard_t(4, 4 * BARS) * 0.0025
    steps[::4] *= 0.1  # a bar opens near the close of the one before it
    steps[rng.integers(0, 4 * BARS, 60)] *= 8
    steps -= 0.0002 * np.log(np.cumprod(1 + steps))  # comes back, slowly
    return tuple(int(price) for price in np.round(5_000_000 * np.cumprod(1 + steps)))


@cache
def bars() -> Bars:
    points = np.array(walk(), np.float64).reshape(-1, 4)
    time = START // 1000 + 3600 * np.arange(BARS, dtype=np.int64)
    return Bars(time, points[:, 0], points.max(1), points.min(1), points[:, 3], np.full(BARS, 7.5))


def opens(index: int) -> int:
    """When bar `index` opens, in milliseconds."""
    return START + index * HOUR


def price(now: int) -> Decimal:
    return Decimal(walk()[(now - START) // QUARTER])


def next_move(now: int) -> int:
    """When the price moves next."""
    return now - now % QUARTER + QUARTER
