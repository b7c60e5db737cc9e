from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.bars import epoch, moment
from core.domain.daily import DAY
from core.domain.outside import SERIES, Outside, federal_holidays, other_symbol
from tests.domain.surroundings import published

each = pytest.mark.parametrize("series", SERIES.values(), ids=lambda series: series.name)


def at(text: str) -> int:
    return epoch(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "of", "known"),
    [
        ("dxy", "2024-05-06", "2024-05-07T00:00"),  # New York closes at 17:00
        ("usdjpy", "2024-01-08", "2024-01-09T01:00"),  # London's midnight is 00:00 UTC in winter; and an hour
        ("fear_greed", "2024-05-06", "2024-05-06T01:00"),  # made at 00:00 UTC of its own date; and an hour
        ("funding", "2024-05-06T08:00", "2024-05-06T08:05"),
        ("us10y", "2024-05-06", "2024-05-08T00:00"),  # Monday's yield: on Tuesday at 16:15 in New York
        ("us10y", "2024-05-10", "2024-05-14T00:00"),  # Friday's: on Monday
        ("us10y", "2024-05-24", "2024-05-29T00:00"),  # before Memorial Day: on Tuesday
        ("us10y", "2024-12-31", "2025-01-03T00:00"),  # before New Year: on 2 January
        ("us10y", "2021-12-30", "2022-01-04T00:00"),  # New Year 2022 was a Saturday: Friday may be a holiday
    ],
)
def test_a_value_is_known_from(name: str, of: str, known: str) -> None:
    series = SERIES[name].series(np.array([at(of)], np.int64), np.array([50.0]))
    assert moment(series.published[0]) == moment(at(known))


def test_a_settlement_stamped_some_milliseconds_late_is_known_from_the_same_moment() -> None:
    assert SERIES["funding"].known(at("2024-05-06T08:00") + 7) == at("2024-05-06T08:05")


@each
@given(day=st.dates(date(2000, 1, 1), date(2035, 12, 31)))
def test_nothing_is_known_before_its_own_date_is_over_but_what_is_made_at_its_start(series: object, day: date) -> None:
    start = at(day.isoformat())
    known = series.known(start)  # type: ignore[attr-defined]
    early = series.name in ("fear_greed", "funding")  # type: ignore[attr-defined]
    assert known >= start + (300 if early else DAY)
    assert known <= start + 7 * DAY


@each
def test_later_dates_are_known_later(series: object) -> None:
    made = published(series.name, at("2019-12-01"), at("2025-02-01"), 1)  # type: ignore[attr-defined]
    assert (np.diff(made.published) > 0).all()


@each
@given(now=st.datetimes(datetime(2020, 3, 1), datetime(2024, 12, 30)))
def test_the_newest_publication_is_that_of_the_newest_known_value(series: object, now: datetime) -> None:
    when = epoch(now.replace(tzinfo=UTC))
    made = published(series.name, when - 40 * DAY, when + DAY, 1).published  # type: ignore[attr-defined]
    assert series.newest(when) == made[made <= when][-1]  # type: ignore[attr-defined]


def test_what_is_no_value_is_left_out_and_later_duplicates_win() -> None:
    dates = at("2024-05-06") + DAY * np.array([1, 0, 0, 2, 3], np.int64)
    values = np.array([2.0, 9.0, 1.0, np.nan, -1.0])
    assert SERIES["dxy"].series(dates, values).value.tolist() == [1.0, 2.0]
    assert SERIES["us10y"].series(dates, values).value.tolist() == [1.0, 2.0, -1.0]  # a yield may be negative
    assert SERIES["funding"].series(dates, values).value.tolist() == [1.0, 2.0, -1.0]


def test_the_holidays_of_2024_are_those_of_the_federal_reserve() -> None:
    days = ["01-01", "01-15", "02-19", "05-27", "06-19", "07-04", "09-02", "10-14", "11-11", "11-28", "12-25"]
    assert sorted(federal_holidays(2024)) == [date.fromisoformat(f"2024-{day}") for day in days]


@given(st.integers(1990, 2060))
def test_a_holiday_is_a_weekday_of_its_year(year: int) -> None:
    assert all(day.weekday() < 5 and day.year == year for day in federal_holidays(year))


def test_an_age_limit_is_the_series_own_unless_it_is_set() -> None:
    assert Outside().age_limit("dxy") == 4 * DAY
    assert Outside(max_age={"dxy": 60}).age_limit("dxy") == 60
    assert timedelta(seconds=Outside(max_age={"dxy": 60}).age_limit("funding")) == timedelta(days=1)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("BTC/JPY", "ETH/JPY"), ("ETH/JPY", "BTC/JPY"), ("SOL/USDT", "BTC/USDT"), ("BTC/USDT:USDT", "ETH/USDT:USDT"),
    ],
)  # fmt: skip
def test_the_other_market_is_ether_for_bitcoin_and_bitcoin_for_anything_else(own: str, other: str) -> None:
    assert other_symbol(own) == other
