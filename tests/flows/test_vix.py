"""The chain of VIX sources: when it asks, whom, what it falls back to, and that no time sees a later value."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.bars import epoch, moment
from core.domain.daily import DAY, Daily, as_of, from_closes, none
from core.flows.vix import KEPT, Damaged, VixAnswer, due, pack, refresh, unpack
from core.ports import Document, Unavailable

ROOT = Path(__file__).parents[2]
REAL = ROOT / "../shared/data/macro/vix_daily.parquet"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/macro/vix_daily.parquet")
TUESDAY = datetime(2024, 5, 7, 13, 0, 5, tzinfo=UTC)
MIDNIGHT = datetime(2024, 5, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAX_AGE = 4 * DAY


@cache
def weekdays() -> Daily:
    """A value for each weekday of 2023 and 2024: the day of the year, and a hundredth for the year."""
    days = [datetime(2023, 1, 2, tzinfo=UTC) + timedelta(days=i) for i in range(725)]
    days = [day for day in days if day.weekday() < 5]
    values = [day.timetuple().tm_yday + (day.year - 2020) / 100 for day in days]
    return from_closes(np.array([epoch(day) for day in days]), np.array(values))


@cache
def real() -> Daily:
    import pyarrow.parquet as pq

    table = pq.read_table(REAL)
    return from_closes(
        table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64), table["close"].to_numpy()
    )


def until(series: Daily, now: datetime) -> Daily:
    kept = series.published <= epoch(now)
    return Daily(series.published[kept], series.value[kept])


@dataclass
class Source:
    """Publishes a series, `lag` late; or fails with a sentence while `down`. Counts how often it is asked."""

    series: Daily = field(default_factory=weekdays)
    down: str = ""
    lag: timedelta = timedelta(0)
    honest: bool = True
    asked: list[datetime] = field(default_factory=list)

    def history(self, now: datetime) -> Daily:
        self.asked.append(now)
        if self.down:
            raise Unavailable(self.down)
        return until(self.series, now - self.lag) if self.honest else self.series


def held(answer: VixAnswer) -> Document:
    assert answer.document is not None
    return answer.document


def last(answer: VixAnswer) -> datetime:
    """The day whose close is the newest in the answer."""
    return moment(answer.daily.published[-1] - DAY)


def stored_at(now: datetime = TUESDAY, source: Source | None = None) -> Document:
    return held(refresh([("first", source or Source())], None, now))


# --- whom it asks


def test_the_first_source_that_answers_is_used_and_stored() -> None:
    first, second = Source(), Source()
    answer = refresh([("first", first), ("second", second)], None, TUESDAY)
    assert (answer.source, answer.stored, answer.failures) == ("first", False, ())
    assert last(answer) == datetime(2024, 5, 6, tzinfo=UTC)
    assert second.asked == []
    document = held(answer)
    assert (document["fetched_at"], document["source"], document["failures"]) == (TUESDAY, "first", [])
    assert unpack(document["series"]).value.tolist() == answer.daily.value[-KEPT:].tolist()


def test_when_it_fails_the_next_is_asked_and_the_failure_is_told() -> None:
    sources = [("first", Source(down="refused from here")), ("second", Source())]
    answer = refresh(sources, None, TUESDAY)
    assert (answer.source, answer.failures) == ("second", ("first: refused from here",))
    assert held(answer)["failures"] == ["first: refused from here"]


def test_when_all_fail_the_stored_values_are_used_and_each_failure_is_told() -> None:
    sources = [("first", Source(down="refused")), ("second", Source(down="silent"))]
    answer = refresh(sources, stored_at(), MIDNIGHT)
    assert (answer.source, answer.stored) == ("first", True)
    assert answer.failures == ("first: refused", "second: silent")
    assert last(answer) == datetime(2024, 5, 6, tzinfo=UTC)
    document = held(answer)
    assert (document["fetched_at"], document["attempted_at"]) == (TUESDAY, MIDNIGHT)


def test_when_all_fail_and_nothing_is_stored_it_is_unknown() -> None:
    answer = refresh([("first", Source(down="refused"))], None, TUESDAY)
    assert (len(answer.daily), answer.source, answer.failures) == (0, "", ("first: refused",))


def test_an_empty_answer_is_a_failure() -> None:
    answer = refresh([("first", Source(series=none())), ("second", Source())], None, TUESDAY)
    assert answer.source == "second"
    assert answer.failures[0].startswith("first: no value published by 2024-05-07")


def test_an_answer_that_ends_before_the_stored_values_is_refused() -> None:
    late = Source(lag=timedelta(days=5))
    answer = refresh([("first", late)], stored_at(), MIDNIGHT)
    assert (answer.stored, last(answer)) == (True, datetime(2024, 5, 6, tzinfo=UTC))
    assert answer.failures == ("first: ends with 2024-05-02, while 2024-05-06 is known already",)


def test_without_sources_what_is_stored_is_used_and_nothing_is_written() -> None:
    answer = refresh([], stored_at(), MIDNIGHT)
    assert (last(answer), answer.document) == (datetime(2024, 5, 6, tzinfo=UTC), None)
    assert refresh([], None, MIDNIGHT).document is None


def test_stored_values_of_a_source_that_was_removed_are_left_out() -> None:
    other = Source(series=Daily(weekdays().published, weekdays().value + 1000))
    answer = refresh([("second", other)], stored_at(), TUESDAY)
    assert (answer.source, answer.daily.value.min() > 1000) == ("second", True)
    assert "they are from first" in answer.failures[0]


# --- when it asks


def walk(source: Source, start: datetime, hours: int) -> list[VixAnswer]:
    """Hourly ticks, each with the document that the ones before it left."""
    document, answers = None, []
    for hour in range(hours):
        answers.append(refresh([("only", source)], document, start + hour * HOUR))
        document = answers[-1].document or document
    return answers


def test_it_asks_once_on_an_ordinary_day_at_midnight_and_never_on_a_weekend() -> None:
    source = Source()
    walk(source, datetime(2024, 5, 6, 0, 0, 5, tzinfo=UTC), 14 * 24)
    asked = [(now.day, now.hour) for now in source.asked]
    assert asked == [(day, 0) for day in (6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18)]


def test_a_source_that_publishes_late_is_asked_a_few_times_a_day() -> None:
    source = Source(lag=timedelta(hours=7))
    answers = walk(source, datetime(2024, 5, 8, 0, 0, 5, tzinfo=UTC), 24)
    assert [now.hour for now in source.asked] == [0, 6, 12]
    assert last(answers[-1]) == datetime(2024, 5, 7, tzinfo=UTC)


def test_after_a_failure_it_asks_again_an_hour_later_and_not_sooner() -> None:
    source = Source(down="refused")
    document = held(refresh([("first", source)], stored_at(), MIDNIGHT))
    assert not due(document, MIDNIGHT + timedelta(minutes=30))
    again = refresh([("first", source)], document, MIDNIGHT + timedelta(minutes=30))
    assert (len(source.asked), again.document, again.failures) == (1, None, ("first: refused",))
    assert due(document, MIDNIGHT + HOUR - timedelta(seconds=9))
    source.down = ""
    assert last(refresh([("first", source)], document, MIDNIGHT + HOUR)) == datetime(2024, 5, 7, tzinfo=UTC)


def test_a_first_attempt_that_failed_waits_as_well() -> None:
    document = held(refresh([("first", Source(down="refused"))], None, TUESDAY))
    assert not due(document, TUESDAY + timedelta(minutes=10))
    assert due(document, TUESDAY + HOUR)


def test_a_fallback_that_answered_shortly_before_midnight_holds_nothing_back() -> None:
    sources = [("first", Source(down="refused")), ("second", Source())]
    document = held(refresh(sources, None, MIDNIGHT - timedelta(minutes=10)))
    assert due(document, MIDNIGHT)


def test_how_often_it_asks_is_a_setting() -> None:
    document = stored_at(MIDNIGHT, Source(lag=timedelta(hours=30)))
    assert not due(document, MIDNIGHT + 2 * HOUR, every_s=3 * 3600)
    assert due(document, MIDNIGHT + 3 * HOUR, every_s=3 * 3600)


def test_without_a_document_it_is_due() -> None:
    assert due(None, TUESDAY)


# --- point in time


def test_fridays_close_is_used_from_saturday_midnight_and_not_earlier() -> None:
    answers = walk(Source(), datetime(2024, 5, 10, 22, 59, 59, tzinfo=UTC), 2)
    assert [last(answer).day for answer in answers] == [9, 9]
    answers = walk(Source(), datetime(2024, 5, 10, 23, 0, 0, tzinfo=UTC), 2)
    assert [last(answer).day for answer in answers] == [9, 10]


def test_a_source_that_tells_the_future_is_cut() -> None:
    answer = refresh([("first", Source(honest=False))], None, TUESDAY)
    assert last(answer) == datetime(2024, 5, 6, tzinfo=UTC)
    assert unpack(held(answer)["series"]).published[-1] <= epoch(TUESDAY)


def test_a_replay_of_the_past_uses_no_stored_value_of_its_future() -> None:
    source = Source()
    document = stored_at(datetime(2024, 5, 7, tzinfo=UTC))
    answer = refresh([("first", source)], document, datetime(2024, 4, 5, 12, tzinfo=UTC))
    assert (last(answer), source.asked) == (datetime(2024, 4, 4, tzinfo=UTC), [])
    assert len(answer.daily) >= 60


def test_a_replay_from_before_the_stored_values_asks() -> None:
    source, long_ago = Source(), datetime(2023, 9, 6, 12, tzinfo=UTC)
    answer = refresh([("first", source)], stored_at(), long_ago)
    assert (last(answer), source.asked) == (datetime(2023, 9, 5, tzinfo=UTC), [long_ago])


def test_a_replay_of_the_past_without_a_source_knows_nothing_of_the_future() -> None:
    source = Source(down="refused")
    answer = refresh([("first", source)], stored_at(), datetime(2023, 9, 6, 12, tzinfo=UTC))
    assert (len(answer.daily), len(source.asked)) == (0, 1)
    back = refresh([("first", source)], held(answer), TUESDAY)
    assert last(back) == datetime(2024, 5, 6, tzinfo=UTC)  # and what is stored was not lost


def same(answer: VixAnswer, series: Daily, now: datetime) -> None:
    """The answer at `now` is what the whole series has by then, at least for its last 60 values."""
    truth = until(series, now)
    assert len(answer.daily) >= min(60, len(truth))
    assert answer.daily.published[-60:].tolist() == truth.published[-60:].tolist()
    assert answer.daily.value[-60:].tolist() == truth.value[-60:].tolist()


@needs_real
@settings(max_examples=40, deadline=None)
@given(ticks=st.lists(st.integers(0, 24 * 1200), min_size=2, max_size=12), seed=st.integers(0, 9))
def test_in_any_order_of_ticks_a_different_future_changes_nothing(ticks: list[int], seed: int) -> None:
    series = real()
    start = datetime(2021, 1, 1, 0, 0, 5, tzinfo=UTC)
    document: Document | None = None
    for hour in ticks:
        now = start + hour * HOUR
        noise = np.random.default_rng(seed).uniform(9, 80, len(series))
        other = Daily(series.published, np.where(series.published > epoch(now), noise, series.value))
        same(refresh([("only", Source(series=other))], None, now), series, now)
        answer = refresh([("only", Source(series=series))], document, now)
        same(answer, series, now)
        document = answer.document or document


@needs_real
def test_hourly_ticks_over_real_months_use_what_a_backtest_uses() -> None:
    source, start = Source(series=real()), datetime(2012, 9, 1, 0, 0, 0, tzinfo=UTC)
    answers = walk(source, start, 24 * 91)
    times = [epoch(start + hour * HOUR) for hour in range(len(answers))]
    for time, answer in zip(times, answers, strict=True):
        moments = np.array([time])
        ticked = np.append(answer.daily.value, np.nan)[as_of(answer.daily, moments, MAX_AGE)]
        tested = np.append(real().value, np.nan)[as_of(real(), moments, MAX_AGE)]
        np.testing.assert_array_equal(ticked, tested)
    per_day = np.bincount([(now - start).days for now in source.asked])
    assert per_day.max() <= 4
    assert per_day.mean() < 1.2


# --- what is stored


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(1e-3, 1e6)), max_size=9))
def test_pack_and_unpack_are_inverse(rows: list[tuple[int, float]]) -> None:
    series = Daily(np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64))
    again = unpack(pack(series))
    assert again.published.tolist() == series.published.tolist()
    assert again.value.tolist() == series.value.tolist()


@given(data=st.data())
def test_any_damage_to_a_packed_series_is_noticed(data: st.DataObject) -> None:
    packed = bytearray(pack(until(weekdays(), datetime(2023, 2, 1, tzinfo=UTC))))
    if data.draw(st.booleans()):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    with pytest.raises(Damaged):
        unpack(bytes(packed))


@pytest.mark.parametrize(
    "change",
    [
        {"series": b""},
        {"series": b"\x00" * 40},
        {"series": "text"},
        {"series": None},
        {"attempted_at": None},
        {"fetched_at": "2024-05-07"},
        {"fetched_at": datetime(2024, 5, 7)},
        {"failures": None},
    ],
    ids=str,
)
def test_a_damaged_document_counts_as_absent_and_is_told(change: Document) -> None:
    document = {**stored_at(), **change}
    assert due(document, TUESDAY)
    answer = refresh([("first", Source())], document, TUESDAY)
    assert (answer.source, last(answer)) == ("first", datetime(2024, 5, 6, tzinfo=UTC))
    assert answer.failures[0].startswith("stored values: damaged")
    alone = refresh([("first", Source(down="refused"))], document, TUESDAY)
    assert (len(alone.daily), len(alone.failures)) == (0, 2)


def test_a_document_without_its_fields_counts_as_absent() -> None:
    assert refresh([("first", Source())], {}, TUESDAY).failures[0].startswith("stored values: damaged")


def test_the_document_stays_small() -> None:
    document = stored_at(datetime(2024, 12, 20, tzinfo=UTC))
    assert len(unpack(document["series"])) == KEPT
    assert len(document["series"]) < 2000


def test_importing_the_chain_loads_nothing_heavy() -> None:
    program = "import core.flows.vix, sys; print({'yfinance', 'pandas', 'urllib3', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
