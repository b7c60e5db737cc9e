"""The Crypto Fear & Greed Index from the public interface of its publisher, alternative.me."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import numpy as np

from core.adapters.web_page import page
from core.domain.bars import epoch
from core.domain.daily import DAY, Daily
from core.domain.outside import SERIES
from core.ports import Unavailable

URL: Final = "https://api.alternative.me/fng/"
LARGEST: Final = 4 * 2**20  # bytes; all days since 2018 are about 300 KiB


class AlternativeFearGreed:
    """ports.DailySource over alternative.me: the last `days` values up to today, 0 for all. `url` is for mirrors and
    tests; `timeout_s` bounds connecting and waiting."""

    def __init__(self, days: int = 120, url: str = URL, timeout_s: float = 6.0) -> None:
        self._days, self._url, self._timeout_s = days, url, timeout_s

    def history(self, now: datetime) -> Daily:
        """The values published by `now`. Raises Unavailable: no answer, or not the index."""
        rows = self._parsed(
            page(f"{self._url}?limit={self._days}&format=json", self._timeout_s, LARGEST, "fear_greed", "the index")
        )
        days = np.array([day // DAY * DAY for day, _ in rows], np.int64)
        found = SERIES["fear_greed"].series(days, np.array([value for _, value in rows], np.float64))
        known = found.published <= epoch(now)
        if not known.any():
            raise Unavailable(f"fear_greed from {self._url}: no value published by {now.isoformat()}")
        return Daily(found.published[known], found.value[known])

    def _parsed(self, text: str) -> list[tuple[int, float]]:
        """(epoch seconds of the day, value)."""
        try:
            rows = [_row(row) for row in json.loads(text)["data"]]
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"fear_greed from {self._url}: not the index ({error!r}): {text[:80]!r}") from None
        return rows


def _row(row: Any) -> tuple[int, float]:
    day, value = int(row["timestamp"]), float(row["value"])
    if not 0 <= value <= 100:
        raise ValueError(f"{value} is no value of the index")
    return day, value
