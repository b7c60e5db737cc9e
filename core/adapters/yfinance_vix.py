"""The VIX from Yahoo, through yfinance. Yahoo refuses many cloud addresses, so another source should follow it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from core.domain.bars import Floats, Times, epoch
from core.domain.daily import DAY, Daily, from_closes
from core.ports import Unavailable

Fetch = Callable[[date, date], Any]  # (first, last + 1) → a pandas DataFrame by day, with a column `Close`


class YfinanceVix:
    """ports.DailySource over Yahoo's `^VIX`, the last `days` calendar days of it before the time asked for.

    `fetch` stands in for the download; `timeout_s` bounds each of its requests.
    """

    def __init__(self, days: int = 200, timeout_s: float = 6.0, fetch: Fetch | None = None) -> None:
        self._days = days
        self._fetch = fetch or partial(_download, timeout_s)

    def history(self, now: datetime) -> Daily:
        """The values published by `now`. Raises Unavailable: no answer, an empty one, or one of another shape."""
        today = now.astimezone(UTC).date()
        try:
            frame = self._fetch(today - timedelta(days=self._days), today + timedelta(days=1))
        except Exception as error:  # yfinance lets through what its HTTP and data libraries raise
            raise Unavailable(f"VIX from yfinance: {type(error).__name__}: {error}") from error
        dates, closes = _columns(frame)
        known = dates + DAY <= epoch(now)  # today's row is not a close yet
        series = from_closes(dates[known], closes[known])
        if not len(series):
            raise Unavailable(f"VIX from yfinance: no value published by {now.isoformat()} in the answer")
        return series


def _columns(frame: Any) -> tuple[Times, Floats]:
    """Dates (00:00 UTC of the trading day, epoch seconds) and closes. Raises Unavailable for another shape."""
    try:
        days = [epoch(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in frame.index]
        closes = np.asarray(frame["Close"], np.float64)
        if closes.shape != (len(days),):
            raise ValueError(f"{len(days)} days with closes of shape {closes.shape}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"VIX from yfinance: not a table of daily closes ({error!r})") from error
    return np.array(days, np.int64), np.round(closes, 2)  # Yahoo sends single-precision floats: 15.550000190734863


def _download(timeout_s: float, first: date, until: date) -> Any:
    import yfinance

    yfinance.config.debug.hide_exceptions = False  # else the reason goes to a log, and the frame is just empty
    return yfinance.Ticker("^VIX").history(
        start=first.isoformat(), end=until.isoformat(), interval="1d", auto_adjust=False, timeout=timeout_s
    )
