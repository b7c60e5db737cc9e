"""Hourly bars that swing round one level: so wide that a near stop is hit every few bars, and a model soon knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from core.domain.bars import Bars, epoch, moment
from core.domain.daily import Daily, from_closes
from core.domain.ensemble import Artefact
from core.domain.state import Book
from tests.road import HOUR, trained

START = datetime(2024, 1, 1, tzinfo=UTC)
TRAINED_ON = 1500  # bars
FIRST = 1600  # the first that is traded


@cache
def bars(count: int = 4000, seed: int = 5) -> Bars:
    rng = np.random.default_rng(seed)
    level = np.zeros(count)
    for index in range(1, count):
        level[index] = 0.3 * level[index - 1] + rng.normal(0, 0.006)
    close = 40_000 * np.exp(level)
    opened = np.concatenate([[40_000.0], close[:-1]])
    spread = np.abs(rng.normal(0, 0.006, count)) * close
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    opened, high, low, close = (np.round(column, 1) for column in (opened, high, low, close))
    time = epoch(START) + 3600 * np.arange(count, dtype=np.int64)
    return Bars(time, opened, high, low, close, np.round(rng.lognormal(3, 1, count), 3))


def opens(index: int) -> datetime:
    return moment(bars().time[index])


def due(index: int) -> datetime:
    """When the tick for bar `index` is due."""
    return opens(index) + HOUR + timedelta(seconds=5)


def no_vix() -> Daily:
    return from_closes(np.empty(0, np.int64), np.empty(0))


def model(book: Book) -> Artefact:
    return trained(book, bars(), no_vix(), TRAINED_ON)
