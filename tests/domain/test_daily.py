"""Daily values, point in time: on real closes, and on long weekends."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.bars import epoch
from core.domain.daily import DAY, Daily, as_of, from_closes, none

REAL = Path(__file__).parents[2] / "../shared/data/macro/vix_daily.parquet"
MAX_AGE = 4 * DAY
needs_real = pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/macro/vix_daily.parquet")


@cache
def real() -> tuple[np.ndarray, np.ndarray]:
    """Dates (epoch seconds) and closes of the VIX, 1990 to 2024."""
    import pyarrow.parquet as pq

    table = pq.read_table(REAL)
    return table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64), table["close"].to_numpy()


def day(text: str) -> int:
    return epoch(datetime.fromisoformat(text).replace(tzinfo=UTC))


def used(series: Daily, times: np.ndarray) -> list[float]:
    """The value in use at each time, NaN where it is unknown."""
    values: list[float] = np.append(series.value, np.nan)[as_of(series, times, MAX_AGE)].tolist()
    return values


def shown(series: Daily, moment: str) -> float:
    return used(series, np.array([day(moment)]))[0]


@needs_real
@given(days=st.integers(200, 12_600), minutes=st.integers(0, 1439), seed=st.integers(0, 9), shift=st.booleans())
def test_what_is_published_later_changes_nothing(days: int, minutes: int, seed: int, shift: bool) -> None:
    dates, closes = real()
    moment = int(dates[0]) + days * DAY + minutes * 60
    future = dates + DAY > moment
    other = np.where(future, np.random.default_rng(seed).uniform(9, 80, len(closes)), closes)
    moved = dates + np.where(future, 3 * DAY, 0) if shift else dates
    times = np.arange(moment - 20 * DAY, moment + 1, 3600)
    before, after = used(from_closes(dates, closes), times), used(from_closes(moved, other), times)
    np.testing.assert_array_equal(before, after)


@needs_real
def test_every_real_close_is_used_from_the_next_midnight_and_not_earlier() -> None:
    dates, closes = real()
    series = from_closes(dates, closes)
    np.testing.assert_array_equal(as_of(series, dates + DAY, MAX_AGE), np.arange(len(dates)))
    assert (as_of(series, dates + DAY - 1, MAX_AGE) < np.arange(len(dates))).all()


def test_fridays_close_counts_from_saturday_midnight_utc() -> None:
    dates = np.array([day("2024-08-29"), day("2024-08-30")])
    series = from_closes(dates, np.array([15.65, 15.00]))
    assert shown(series, "2024-08-30T23:59:59") == 15.65
    assert shown(series, "2024-08-31T00:00:00") == 15.00


@needs_real
def test_an_ordinary_and_a_three_day_weekend_stay_known() -> None:
    series = from_closes(*real())
    times = np.arange(day("2024-03-26"), day("2024-04-03"), 3600)  # Good Friday is 2024-03-29
    assert np.isfinite(used(series, times)).all()


@needs_real
def test_after_four_days_without_a_value_it_is_unknown() -> None:
    series = from_closes(*real())  # closed on Monday and Tuesday, 2012-10-29 and 30; the close of the 26th is the last
    assert shown(series, "2012-10-31T00:00:00") == 17.81
    assert np.isnan(shown(series, "2012-10-31T00:00:01"))
    assert np.isnan(shown(series, "2012-10-31T23:59:59"))
    assert shown(series, "2012-11-01T00:00:00") == 18.60


def test_before_the_first_value_and_without_any_it_is_unknown() -> None:
    series = from_closes(np.array([day("2024-08-30")]), np.array([15.0]))
    assert as_of(series, np.array([day("2024-08-30T12:00:00")]), MAX_AGE).tolist() == [-1]
    assert as_of(none(), np.array([day("2024-08-30")]), MAX_AGE).tolist() == [-1]


@pytest.mark.parametrize("close", [float("nan"), float("inf"), 0.0, -12.0])
def test_closes_that_cannot_be_are_left_out(close: float) -> None:
    series = from_closes(np.array([day("2024-08-29"), day("2024-08-30")]), np.array([15.65, close]))
    assert series.value.tolist() == [15.65]


def test_disorder_is_put_right_and_the_later_of_two_rows_wins() -> None:
    dates = np.array([day("2024-08-30"), day("2024-08-29"), day("2024-08-30")])
    series = from_closes(dates, np.array([14.0, 15.65, 15.0]))
    assert series.published.tolist() == [day("2024-08-30"), day("2024-08-31")]
    assert series.value.tolist() == [15.65, 15.0]
