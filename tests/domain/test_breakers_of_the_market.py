"""The breakers that look at the market and the venue: a price that jumps within a minute, requests that fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.bars import Bars, epoch
from core.domain.risk.breakers import Asked, Trip, calls, price_move
from core.domain.risk.policy import Policy

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
OFF: dict[str, Any] = dict.fromkeys(["price_move", "error_rate", "latency_s"], 0)


def only(**keys: Any) -> Policy:
    """A policy with none of these breakers on but what is named."""
    return Policy(**OFF | keys)


def names(found: Sequence[Trip]) -> list[str]:
    return [trip.breaker for trip in found]


# -- the market's minutes


Row = tuple[float, ...]  # open, high, low, close


def minutes(rows: Sequence[Row], at: Sequence[int] | None = None) -> Bars:
    """One-minute bars, `at` these minutes after NOON."""
    offsets = np.array(at if at is not None else range(len(rows)), np.int64)
    o, h, low, c = np.array(rows, np.float64).reshape(-1, 4).T
    return Bars(epoch(NOON) + 60 * offsets, o, h, low, c, np.ones(len(rows)))


FLAT: Row = (100.0, 100.0, 100.0, 100.0)
JUST = timedelta(minutes=3)


@pytest.mark.parametrize(
    ("row", "tripped"),
    [
        ((100, 100, 90.01, 100), False),
        ((100, 100, 90, 100), True),
        ((100, 110, 100, 100), True),
        ((100, 109.99, 100, 100), False),
        ((90, 90, 90, 90), True),  # from close to close
        ((110, 110, 110, 110), True),
        ((100, 105, 95, 100), False),  # 10 % from top to bottom, and 5 % from where it was
    ],
)
def test_a_price_move_is_measured_against_the_close_of_the_minute_before(row: Any, tripped: bool) -> None:
    assert bool(price_move(minutes([FLAT, row]), only(price_move=0.1), NOON + JUST)) is tripped


def test_a_price_move_holds_for_its_hours_after_its_minute() -> None:
    bars, policy = minutes([FLAT, (100, 100, 88, 99), (99, 99, 99, 99)]), only(price_move=0.1, price_move_hours=1.0)
    end = NOON + timedelta(minutes=62)
    trip = price_move(bars, policy, NOON + JUST)
    assert trip == price_move(bars, policy, end - INSTANT)
    assert trip and (trip.breaker, trip.since, trip.until) == ("price_move", NOON + timedelta(minutes=2), end)
    assert trip.detail == "the price moved 12 % within the minute 2024-05-01 12:01, from 100; the limit is 10 %"
    assert price_move(bars, policy, end) is None


def test_the_newest_of_several_moves_counts() -> None:
    bars = minutes([FLAT, (100, 100, 80, 100), FLAT, (100, 100, 90, 90), (90, 90, 90, 90)])
    trip = price_move(bars, only(price_move=0.1), NOON + timedelta(minutes=5))
    assert trip and trip.since == NOON + timedelta(minutes=4)


def test_what_happens_across_a_gap_did_not_happen_within_a_minute() -> None:
    low = (80.0, 80.0, 80.0, 80.0)
    policy = only(price_move=0.1)
    assert price_move(minutes([FLAT, low], at=[0, 2]), policy, NOON + JUST) is None
    assert price_move(minutes([FLAT, low], at=[0, 0]), policy, NOON + JUST) is None
    after_the_gap = minutes([FLAT, (80, 80, 70, 80)], at=[0, 5])
    assert price_move(after_the_gap, policy, NOON + 2 * JUST), "within the minute itself it moved 12.5 %"


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("place", range(4))
def test_a_minute_without_a_real_price_is_absent(bad: float, place: int) -> None:
    broken = list(FLAT)
    broken[place] = bad
    policy = only(price_move=0.1)
    assert price_move(minutes([FLAT, tuple(broken), FLAT]), policy, NOON + JUST) is None
    crash = minutes([FLAT, tuple(broken), FLAT, (100, 100, 85, 100)])
    assert price_move(crash, policy, NOON + JUST), "and does not hide the next one"


def test_no_minutes_and_no_limit_say_nothing() -> None:
    assert price_move(minutes([]), only(price_move=0.1), NOON) is None
    assert price_move(minutes([FLAT, (100, 100, 1, 1)]), only(), NOON + JUST) is None


# -- calls to the venue


def asked(minutes_ago: float, made: int = 10, failed: int = 0, took: Sequence[float] = ()) -> Asked:
    return Asked(at=NOON - timedelta(minutes=minutes_ago), made=made, failed=failed, took=took)


@pytest.mark.parametrize(
    ("made", "failed", "tripped"),
    [(300, 3, False), (299, 3, True), (10, 2, False), (10, 3, True), (0, 3, True), (0, 0, False)],
)
def test_failed_requests_trip_beyond_the_rate_and_from_a_few_on(made: int, failed: int, tripped: bool) -> None:
    found = calls([asked(5, made=made, failed=failed)], only(error_rate=0.01, errors=3), NOON)
    assert names(found) == (["error_rate"] if tripped else [])


def test_failures_are_summed_over_an_hour_and_hold_for_one_after_the_newest() -> None:
    policy = only(error_rate=0.09, errors=3)
    spread = [asked(60, failed=1), asked(30, failed=1), asked(1, failed=1), asked(0)]
    (trip,) = calls(spread, policy, NOON)
    assert (trip.since, trip.until) == (NOON - timedelta(minutes=1), NOON + timedelta(minutes=59))
    assert trip.detail == "3 of 30 requests to the venue failed within an hour; the limit is 9 %, from 3 on"
    assert calls([asked(61, failed=1), *spread[1:]], policy, NOON) == ()


def test_good_requests_afterwards_do_not_end_an_hour_that_was_bad() -> None:
    policy, window = only(error_rate=0.01, errors=3), [asked(59, failed=5), asked(10, made=10_000)]
    assert names(calls(window, policy, NOON)) == ["error_rate"]
    assert calls(window, policy, NOON + timedelta(minutes=1)) == ()


@pytest.mark.parametrize(
    ("took", "tripped"), [([4.0, 6.0], False), ([4.0, 6.1], True), ([0.1, math.nan], True), ([], False)]
)
def test_a_slow_venue_trips_beyond_the_limit_on_average(took: list[float], tripped: bool) -> None:
    found = calls([asked(5, took=took)], only(latency_s=5.0), NOON)
    assert names(found) == (["latency"] if tripped else [])
    assert all(trip.until == NOON + timedelta(minutes=55) for trip in found)


def test_calls_say_nothing_when_turned_off_or_never_made() -> None:
    worst = [asked(1, made=9, failed=9, took=[99.0])]
    assert calls(worst, only(), NOON) == calls([], Policy(), NOON) == ()
    assert set(names(calls(worst, Policy(), NOON))) == {"error_rate", "latency"}


runs = st.lists(
    st.tuples(st.integers(0, 180), st.integers(0, 50), st.integers(0, 4), st.lists(st.floats(0, 20), max_size=3)),
    max_size=12,
)


@given(runs, runs, st.integers(0, 60))
def test_a_bad_hour_of_calls_never_ends_early(before: list[Any], later: list[Any], more: int) -> None:
    """`before`: up to three hours ago; `later`: what is asked after it."""
    known = [asked(ago, made, failed, took) for ago, made, failed, took in before]
    then = NOON + timedelta(minutes=more)
    fresh = [asked(ago / 3 - more, made, failed, took) for ago, made, failed, took in later if ago / 3 < more]
    policy = only(error_rate=0.05, errors=2, latency_s=5.0)
    for trip in calls(known, policy, NOON):
        held = {found.breaker: found.until for found in calls(known + fresh, policy, then)}
        assert trip.until is not None
        assert then >= trip.until or (held[trip.breaker] or NOON) >= trip.until
