"""The VIX from the public CSV file of its publisher, CBOE: all closes since 1990."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

import numpy as np

from core.adapters.web_page import page
from core.domain.bars import epoch
from core.domain.daily import DAY, Daily, from_closes
from core.ports import Unavailable

URL: Final = "https://cdn.cboe.com/api/global/us_indices/daily_prices/VIX_History.csv"
LARGEST: Final = 16 * 2**20  # bytes; the file has about half a MiB
HEADER: Final = "DATE,OPEN,HIGH,LOW,CLOSE"
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class CboeVix:
    """ports.DailySource over CBOE's file. `url` is for mirrors and tests; `timeout_s` bounds connecting and waiting."""

    def __init__(self, url: str = URL, timeout_s: float = 6.0) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def history(self, now: datetime) -> Daily:
        """All values that had been published by `now`. Raises Unavailable: no answer, or not CBOE's file."""
        rows = self._parsed(page(self._url, self._timeout_s, LARGEST, "VIX", "CBOE's file"))
        dates = (np.array([day for day, _ in rows], np.int64) - EPOCH_DAY) * DAY
        closes = np.array([close for _, close in rows], np.float64)
        known = dates + DAY <= epoch(now)
        series = from_closes(dates[known], closes[known])
        if not len(series):
            raise Unavailable(f"VIX from {self._url}: the file holds no value published by {now.isoformat()}")
        return series

    def _parsed(self, text: str) -> list[tuple[int, float]]:
        """(day number, close) of every row."""
        lines = text.splitlines()
        if not lines or lines[0].strip().upper() != HEADER:
            raise Unavailable(f"VIX from {self._url}: not CBOE's file, it begins with {text[:40]!r} and not {HEADER}")
        rows = [self._row(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
        if rows and not text.endswith("\n") and _decimals(lines[-1]) != _decimals(lines[-2]):
            raise Unavailable(f"VIX from {self._url}: the file breaks off in its last line, {lines[-1]!r}")
        return rows

    def _row(self, number: int, line: str) -> tuple[int, float]:
        try:
            day, _, _, _, close = line.split(",")
            month, dom, year = day.split("/")
            ordinal = date(int(year), int(month), int(dom)).toordinal()
            return ordinal, round(float(close), 2)  # some are printed as single-precision floats: 82.690002
        except ValueError:
            raise Unavailable(f"VIX from {self._url}: line {number} is not a row: {line[:80]!r}") from None


def _decimals(line: str) -> int:
    return len(line.rpartition(".")[2].strip())
