"""The yield of ten-year US Treasuries from FRED's public CSV: DGS10, of the Federal Reserve's release H.15."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import numpy as np

from core.adapters.web_page import page
from core.domain.bars import epoch
from core.domain.daily import DAY, Daily
from core.domain.outside import EPOCH_DAY, SERIES
from core.ports import Unavailable

URL: Final = "https://fred.stlouisfed.org/graph/fredgraph.csv"
LARGEST: Final = 4 * 2**20  # bytes; the whole file has about 300 KiB
HEADERS: Final = ("observation_date,DGS10", "DATE,DGS10")


class FredUs10y:
    """ports.DailySource over FRED, the last `days` calendar days. `url` is for mirrors and tests; `timeout_s` bounds
    connecting and waiting."""

    def __init__(self, days: int = 120, url: str = URL, timeout_s: float = 6.0) -> None:
        self._days, self._url, self._timeout_s = days, url, timeout_s

    def history(self, now: datetime) -> Daily:
        """The values published by `now`. Raises Unavailable: no answer, or not FRED's file."""
        first = now.astimezone(UTC).date() - timedelta(days=self._days)
        asked = urlencode({"id": "DGS10", "cosd": first.isoformat()})
        rows = self._parsed(page(f"{self._url}?{asked}", self._timeout_s, LARGEST, "us10y", "FRED's file"))
        days = np.array([(day.toordinal() - EPOCH_DAY) * DAY for day, _ in rows], np.int64)
        found = SERIES["us10y"].series(days, np.array([value for _, value in rows], np.float64))
        known = found.published <= epoch(now)
        if not known.any():
            raise Unavailable(f"us10y from {self._url}: no value published by {now.isoformat()}")
        return Daily(found.published[known], found.value[known])

    def _parsed(self, text: str) -> list[tuple[date, float]]:
        lines = text.splitlines()
        if not lines or lines[0].strip() not in HEADERS:
            raise Unavailable(f"us10y from {self._url}: not FRED's file, it begins with {text[:40]!r}")
        if not text.endswith("\n"):
            raise Unavailable(f"us10y from {self._url}: the file breaks off in its last line, {lines[-1]!r}")
        return [self._row(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]

    def _row(self, number: int, line: str) -> tuple[date, float]:
        """A holiday is a row without a value, or with a full stop for one."""
        try:
            day, value = line.strip().split(",")
            return date.fromisoformat(day), float("nan") if value in ("", ".") else float(value)
        except ValueError:
            raise Unavailable(f"us10y from {self._url}: line {number} is not a row: {line[:80]!r}") from None
