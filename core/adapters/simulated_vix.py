"""A VIX that needs no network: a mean-reverting series of weekdays drawn from a seed, with spikes now and then."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import exp, log
from typing import Final

import numpy as np

from core.domain.bars import epoch
from core.domain.daily import DAY, Daily, from_closes
from core.ports import Unavailable

ORIGIN: Final = datetime(2018, 1, 1, tzinfo=UTC)  # a Monday, a year before the simulated market begins
BLOCK: Final = 52  # weeks that are drawn at once, from a random stream of their own
USUAL: Final = 16.5
KEEP: Final = 0.93  # the share of the distance to the usual level (in logs) that is left after a day
DAILY: Final = 0.055  # standard deviation of the ordinary daily change (in logs)
SPIKE_CHANCE, SPIKE_SIZE = 1 / 90, 0.4  # a sudden rise (in logs) every four months of weekdays
LOWEST, HIGHEST = 9.0, 85.0


class SimulatedVix:
    """ports.DailySource over a seeded path: closes of every weekday from 2018, two decimals, mostly 12 to 40.

    A value depends on the seed and its date only. Raises ValueError for a negative seed.
    """

    def __init__(self, seed: int = 7) -> None:
        if seed < 0:
            raise ValueError(f"simulated VIX: seed {seed} is negative; give 0 or more")
        self._seed = seed

    def history(self, now: datetime) -> Daily:
        """All values since 2018 that had been published by `now`. Raises Unavailable before the first."""
        at = epoch(now)
        weeks = max(0, (at - epoch(ORIGIN)) // (7 * DAY) + 1)
        days = np.arange(weeks * 5, dtype=np.int64)
        dates = epoch(ORIGIN) + (days // 5 * 7 + days % 5) * DAY
        closes = _closes(self._seed, -(-weeks // BLOCK))[: len(dates)]
        known = dates + DAY <= at
        if not known.any():
            raise Unavailable(f"simulated VIX: it begins with {ORIGIN.date()}, no value by {now.isoformat()}")
        return from_closes(dates[known], np.array(closes)[known])


@lru_cache(maxsize=16)
def _closes(seed: int, blocks: int) -> tuple[float, ...]:
    """The closes of the first `blocks` blocks, one a weekday."""
    level, closes = 0.0, []
    for block in range(blocks):
        rng = np.random.default_rng([seed, block])
        ordinary = DAILY * rng.standard_t(5, BLOCK * 5) / (5 / 3) ** 0.5
        spikes = np.where(rng.random(BLOCK * 5) < SPIKE_CHANCE, rng.exponential(SPIKE_SIZE, BLOCK * 5), 0.0)
        for change in (ordinary + spikes).tolist():
            level = KEEP * level + change
            closes.append(round(min(max(exp(log(USUAL) + level), LOWEST), HIGHEST), 2))
    return tuple(closes)
