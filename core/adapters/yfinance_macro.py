"""The dollar index, the ten-year yield and the yen from Yahoo, through yfinance, which many cloud addresses cannot
reach."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final

import numpy as np

from core.domain.bars import Floats, Times, epoch
from core.domain.daily import Daily
from core.domain.outside import SERIES
from core.ports import Unavailable

TICKERS: Final = {"dxy": "DX-Y.NYB", "us10y": "^TNX", "usdjpy": "JPY=X"}
Fetch = Callable[[str, date, date], Any]  # (ticker, first, last + 1) → a pandas DataFrame by day, with a column `Close`


class YfinanceMacro:
    """ports.DailySource over Yahoo's daily closes of `series`, the last `days` calendar days before the time asked for.

    `fetch` stands in for the download; `timeout_s` bounds each of its requests.
    """

    def __init__(self, series: str, days: int = 120, timeout_s: float = 6.0, fetch: Fetch | None = None) -> None:
        self._series, self._ticker, self._days = SERIES[series], TICKERS[series], days
        self._fetch = fetch or partial(_download, timeout_s)

    def history(self, now: datetime) -> Daily:
        """The values published by `now`. Raises Unavailable: no answer, an empty one, or one of another shape."""
        today, said = now.astimezone(UTC).date(), f"{self._series.name} from yfinance"
        try:
            frame = self._fetch(self._ticker, today - timedelta(days=self._days), today + timedelta(days=1))
        except Exception as error:  # yfinance lets through what its HTTP and data libraries raise
            raise Unavailable(f"{said}: {type(error).__name__}: {error}") from error
        found = self._series.series(*_columns(frame, said))
        known = found.published <= epoch(now)  # today's row is not a close yet
        if not known.any():
            raise Unavailable(f"{said}: no value published by {now.isoformat()} in the answer")
        return Daily(found.published[known], found.value[known])


def _columns(frame: Any, said: str) -> tuple[Times, Floats]:
    """Dates (00:00 UTC of the market's own day, epoch seconds) and closes. Raises Unavailable for another shape."""
    try:
        days = [epoch(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in frame.index]
        closes = np.asarray(frame["Close"], np.float64)
        if closes.shape != (len(days),):
            raise ValueError(f"{len(days)} days with closes of shape {closes.shape}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"{said}: not a table of daily closes ({error!r})") from error
    return np.array(days, np.int64), np.round(closes, 3)  # Yahoo sends single-precision floats


def _download(timeout_s: float, ticker: str, first: date, until: date) -> Any:
    import yfinance

    yfinance.config.debug.hide_exceptions = False  # else the reason goes to a log, and the frame is just empty
    return yfinance.Ticker(ticker).history(
        start=first.isoformat(), end=until.isoformat(), interval="1d", auto_adjust=False, timeout=timeout_s
    )
