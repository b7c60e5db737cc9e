from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.domain import bars as b
from core.domain.bars import BadBars, Bars
from tests.adapters.candle_venues import walk, without

BARS = walk(1000)
FIRST = b.moment(BARS.time[0])
LAST = b.moment(BARS.time[-1])
HOUR = timedelta(hours=1)


def changed(bars: Bars, column: str, row: int, value: float) -> Bars:
    copies = {name: getattr(bars, name).copy() for name in ("time", "open", "high", "low", "close", "volume")}
    copies[column][row] = value
    return Bars(**copies)


@st.composite
def any_bars(draw: st.DrawFn) -> Bars:
    size = draw(st.integers(0, 30))
    values = [draw(arrays(np.float64, size, elements=st.floats(allow_nan=True))) for _ in range(5)]
    return Bars(draw(arrays(np.int64, size, elements=st.integers(-(2**62), 2**62))), *values)


@st.composite
def some_hours(draw: st.DrawFn) -> Bars:
    rows = sorted(draw(st.sets(st.integers(0, 60))))
    return walk(61, seed=draw(st.integers(1, 3)))[np.array(rows, np.intp)]


@given(any_bars())
def test_pack_and_unpack_are_inverse_to_the_bit(bars: Bars) -> None:
    back = b.unpack(b.pack(bars))
    assert b.pack(back) == b.pack(bars)
    assert [column.dtype for column in back.columns()] == [np.int64, *[np.float64] * 5]
    assert len(back) == len(bars)


def test_a_packed_window_fits_into_a_document() -> None:
    assert len(b.pack(BARS)) < 100_000


def test_a_window_cut_off_is_refused() -> None:
    with pytest.raises(BadBars) as refused:
        b.unpack(b.pack(BARS)[:-8])
    assert refused.value.reason == "window_damaged"


def test_digest_depends_on_every_value() -> None:
    for name in ("time", "open", "high", "low", "close", "volume"):
        assert changed(BARS, name, 500, 1).digest() != BARS.digest()
    assert walk(1000).digest() == BARS.digest()


@given(some_hours(), some_hours())
def test_merge_has_every_hour_once_in_order_and_the_new_values(old: Bars, new: Bars) -> None:
    both = b.merge(old, new)
    assert both.time.tolist() == sorted({*old.time.tolist(), *new.time.tolist()})
    truth = dict(zip(old.time.tolist(), old.close, strict=True)) | dict(zip(new.time.tolist(), new.close, strict=True))
    assert both.close.tolist() == [truth[at] for at in both.time.tolist()]


def test_between_takes_since_and_leaves_until() -> None:
    assert BARS.between(FIRST + HOUR, FIRST + 3 * HOUR).digest() == BARS[1:3].digest()
    assert len(BARS.between(LAST + HOUR, LAST + 9 * HOUR)) == 0


def test_unbroken_counts_from_the_last_gap() -> None:
    gapped = without(BARS[:10], 4, 6)
    assert b.unbroken(gapped, "1h").tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
    assert b.unbroken(BARS[:0], "1h").tolist() == []


@given(some_hours().filter(len))
def test_unbroken_is_the_longest_stretch_that_ends_there(bars: Bars) -> None:
    present = set(bars.time.tolist())
    for at, run in zip(bars.time.tolist(), b.unbroken(bars, "1h").tolist(), strict=True):
        assert all(at - k * 3600 in present for k in range(run))
        assert at - run * 3600 not in present


@pytest.mark.parametrize(
    ("at", "bar"),
    [("13:00:00", "12:00"), ("13:00:05", "12:00"), ("13:59:59.999999", "12:00"), ("12:59:59", "11:00")],
)
def test_bar_before_at_the_boundary(at: str, bar: str) -> None:
    moment = datetime.fromisoformat(f"2024-05-01T{at}+00:00")
    assert b.bar_before(moment, "1h") == datetime.fromisoformat(f"2024-05-01T{bar}:00+00:00")


@given(st.datetimes(datetime(2010, 1, 1), datetime(2099, 1, 1)), st.sampled_from(["1m", "15m", "1h", "4h", "1d"]))
def test_bar_before_is_the_youngest_closed_bar_in_any_time_zone(naive: datetime, timeframe: str) -> None:
    at = naive.replace(tzinfo=timezone(timedelta(hours=9)))
    bar = b.bar_before(at, timeframe)
    assert b.close_time(bar, timeframe) <= at < b.close_time(bar, timeframe) + timedelta(seconds=b.seconds(timeframe))
    assert b.epoch(bar) % b.seconds(timeframe) == 0
    assert bar.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2024, 5, 1, 13)
    for ask in (lambda: b.epoch(naive), lambda: b.bar_before(naive, "1h"), lambda: BARS.between(naive, naive)):
        with pytest.raises(ValueError, match="has no time zone"):
            ask()


@pytest.mark.parametrize(("text", "value"), [("1m", 60), ("15m", 900), ("1h", 3600), ("4h", 14400), ("1d", 86400)])
def test_timeframes(text: str, value: int) -> None:
    assert b.seconds(text) == value


@pytest.mark.parametrize("text", ["", "h", "1", "0h", "-1h", "1.5h", "1H", "1w", "1hour", " 1h"])
def test_what_is_no_timeframe(text: str) -> None:
    with pytest.raises(ValueError, match="such as '1h'"):
        b.seconds(text)


def refused(window: Bars, bar: datetime = LAST, need: int = 300) -> str:
    answer = b.refusal(window, bar, need, "1h")
    assert answer is not None
    assert len(answer[1]) > 10
    return answer[0]


def test_a_whole_window_may_be_traded_on() -> None:
    assert b.refusal(BARS, LAST, 300, "1h") is None
    assert b.refusal(BARS[-300:], LAST, 300, "1h") is None


def test_each_fault_of_a_window_has_its_reason() -> None:
    assert refused(BARS[:0]) == "window_empty"
    assert refused(BARS[:-1]) == "window_stale"
    assert refused(BARS, LAST - HOUR) == "window_ahead"
    assert refused(without(BARS, 900, 901)) == "window_gap"
    assert refused(BARS[-299:]) == "window_short"
    assert refused(changed(BARS, "time", 900, BARS.time[900] + 1)) == "window_off_grid"


def test_repeated_and_disordered_bars_are_refused() -> None:
    rows = np.arange(1000)
    assert refused(BARS[np.insert(rows, 900, 900)]) == "window_gap"
    rows[[900, 901]] = rows[[901, 900]]
    assert refused(BARS[rows]) == "window_gap"


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
def test_a_value_that_no_market_prints_is_refused(column: str, value: float) -> None:
    assert refused(changed(BARS, column, 999, value)) == "window_insane"


@pytest.mark.parametrize(
    ("column", "factor"), [("high", 0.5), ("low", 2.0), ("open", 2.0), ("close", 0.5), ("low", 0.0)]
)
def test_a_bar_whose_range_does_not_hold_its_prices_is_refused(column: str, factor: float) -> None:
    assert refused(changed(BARS, column, 800, getattr(BARS, column)[800] * factor)) == "window_insane"


def test_a_bar_without_a_trade_is_sane() -> None:
    assert b.refusal(changed(BARS, "volume", 990, 0.0), LAST, 300, "1h") is None


def test_faults_before_the_needed_bars_do_not_count() -> None:
    older = changed(BARS, "close", 5, np.nan)
    assert b.refusal(older, LAST, 994, "1h") is None
    assert refused(older, need=995) == "window_insane"
    assert b.refusal(without(BARS, 100, 200), LAST, 800, "1h") is None
