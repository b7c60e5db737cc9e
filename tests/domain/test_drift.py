"""Drift: the index by hand, what training leaves, what is found and what is not; and the figures on real bars."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.bars import Bars, Floats, epoch
from core.domain.drift import DAY, ENOUGH, WEEK, Drift, Reference, drifted, levels, other_units, references, stability
from core.domain.features import SETS, compute
from tests.road import DATA, drawn, perp, real, vix

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")
YEARS = 2 * 365 * DAY


def noise(count: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, len(NAMES)))


TRAINED = noise(6000)
KNOWN = references(TRAINED, NAMES)


def rows_of(values: Floats, names: tuple[str, ...] = NAMES) -> list[dict[str, float]]:
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


def found(values: Floats, known: dict[str, Reference] = KNOWN) -> Drift:
    drift = drifted(rows_of(values, tuple(known)), known)
    assert drift is not None
    return drift


def worst(drift: Drift) -> set[str]:
    return {name for name, _ in drift.worst}


# -- the index


def test_the_index_of_two_bins_is_what_a_hand_computes() -> None:
    # (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2) = 1/4 ln 3
    index = stability(np.array([0.25, 0.75]), np.array([0.5, 0.5]), 1000)
    assert index == pytest.approx(math.log(3) / 4)


def test_an_empty_bin_counts_as_half_a_row() -> None:
    # (0.005 - 1/2) ln(0.005 / 0.5) + (1 - 1/2) ln(1 / 0.5)
    index = stability(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 100)
    assert index == pytest.approx(0.495 * math.log(100) + 0.5 * math.log(2))


# -- what training leaves


def test_ten_values_in_turn_leave_nine_cuts_and_ten_equal_shares() -> None:
    values = np.arange(600.0) % 10
    known = references(values[:, None], ["turn"])["turn"]
    assert list(known.cuts) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert list(known.shares) == [0.1] * 10 + [0.0]
    assert (known.low, known.high) == (0, 9)
    assert known.usual < 0.01  # each week has 16 or 17 of each


def test_a_feature_that_is_nearly_always_zero_has_the_shares_that_there_were() -> None:
    values = np.where(np.arange(1000) % 25 == 0, 1.0, 0.0)
    values[::10] = np.nan
    known = references(values[:, None], ["rare"])["rare"]
    assert known.cuts == (0.0,)
    assert known.shares == pytest.approx((0.88, 0.02, 0.1))


def test_fewer_rows_than_two_weeks_leave_nothing() -> None:
    assert references(noise(2 * WEEK - 1), NAMES) == {}
    assert references(noise(2 * WEEK), NAMES).keys() == set(NAMES)


# -- what is found


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_more_of_the_same_is_no_drift(seed: int) -> None:
    drift = found(noise(WEEK, seed + 10))
    assert drift.shifted <= 1
    assert not drift.alarming


@given(st.permutations(range(WEEK - DAY)), st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_rows_does_not_matter_before_the_last_day(order: list[int], feature: int) -> None:
    values = noise(WEEK, 5)
    values[:, feature] += 1.0
    assert found(values[[*order, *range(WEEK - DAY, WEEK)]]) == found(values)
    assert found(values).shifted >= 1


@given(feature=st.integers(0, 7), factor=st.sampled_from([100.0, 0.01]), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_feature_in_another_unit_is_named_first(feature: int, factor: float, seed: int) -> None:
    values = noise(WEEK, seed + 10)
    values[:, feature] *= factor
    drift = found(values)
    assert drift.worst[0][0] == NAMES[feature]
    assert drift.worst[0][1] > 1.0


def test_the_one_that_is_furthest_off_is_named_first() -> None:
    values = noise(WEEK, 3)
    values[:, 1] += 1.0
    values[:, 4] += 4.0
    values[:, 6] += 2.0
    assert [name for name, _ in found(values).worst] == ["five", "seven", "two"]


def test_a_feature_that_is_suddenly_unknown_has_shifted() -> None:
    values = noise(WEEK, 3)
    values[:, 2] = np.nan
    drift = found(values)
    assert worst(drift) == {"three"}
    assert "three" not in drift.strange


def test_three_features_of_eight_alarm_and_two_do_not() -> None:
    values = noise(WEEK, 3)
    values[:, :2] *= 0.01
    assert (found(values).shifted, found(values).alarming) == (2, False)
    values[:, 2] *= 0.01
    assert (found(values).shifted, found(values).alarming) == (3, True)


def test_a_slow_feature_is_judged_by_its_own_weeks() -> None:
    """A wave of four weeks is far from all of training in each of them: that is usual. Above all its crests is not."""
    hours = np.arange(6000 + WEEK)
    wave = np.sin(2 * np.pi * hours / (4 * WEEK))[:, None]
    known = references(wave[:6000], ["wave"])
    assert known["wave"].usual > 1.0
    assert found(wave[-WEEK:], known).shifted == 0
    still = np.full((WEEK, 1), 0.99)
    assert found(still, known).shifted == 1


def test_one_strange_row_of_the_last_day_is_enough() -> None:
    values = np.clip(noise(WEEK, 3), -2, 2)
    assert found(values).outside == 0
    values[-5, :5] = 50.0, -50.0, 50.0, -50.0, 50.0
    drift = found(values)
    assert (drift.outside, drift.strange, drift.shifted, drift.alarming) == (5, NAMES[:5], 0, True)
    values[-5], values[-DAY - 1] = 0.0, values[-5]  # the day before was told of then
    assert not found(values).alarming


def test_too_few_rows_or_no_reference_is_unknown() -> None:
    assert drifted(rows_of(noise(ENOUGH - 1)), KNOWN) is None
    assert drifted(rows_of(noise(ENOUGH)), KNOWN) is not None
    assert drifted(rows_of(noise(WEEK)), {}) is None


def test_rows_of_another_model_are_left_out() -> None:
    others = [{"one": 99.0}] * 50
    drift = drifted([*others, *rows_of(noise(ENOUGH))], KNOWN)
    assert drift is not None
    assert drift.rows == ENOUGH


# -- units


def times(bars: Bars, price: float = 1.0, volume: float = 1.0) -> Bars:
    opened, high, low, close = (column * price for column in bars.columns()[1:5])
    return Bars(bars.time, opened, high, low, close, bars.volume * volume)


@pytest.mark.parametrize(
    ("price", "volume", "names"),
    [
        (1.0, 1.0, ()),
        (5.0, 5.0, ()),  # a coin may well
        (0.2, 0.2, ()),
        (1.0, 60.0, ()),  # its median above all but a bar in a thousand of training
        (150.0, 1.0, ("close",)),
        (1e-3, 1.0, ("close",)),
        (1.0, 1e3, ("volume",)),
        (1.0, 1e-4, ("volume",)),
        (150.0, 0.0, ("close", "volume")),
    ],
)
def test_other_units_are_told_from_a_market_that_moved(price: float, volume: float, names: tuple[str, ...]) -> None:
    known = levels(drawn()[:1500])
    assert other_units(times(drawn()[1500:1600], price, volume), known) == names


def test_one_wild_bar_is_no_unit_and_less_than_a_day_says_nothing() -> None:
    known, bars = levels(drawn()[:1500]), times(drawn()[1500:1600])
    bars.volume[-3:] *= 1e6
    assert other_units(bars, known) == ()
    assert other_units(times(bars[-DAY + 1 :], 150.0), known) == ()


# -- on real bars: the figures of docs/drift.md


def load(name: str) -> Bars:
    from core.adapters.files_market import load as load_bars

    return load_bars(real(DATA / f"bars/{name}.parquet"), "1h").bars


def alarms(bars: Bars, features: str, first: datetime, days: int, until: Bars | None = None) -> list[Drift]:
    """Of each midnight from `first` on, for a model that was trained on the two years before it. `until`: what the
    feed shows instead of `bars`."""
    shown, names = until or bars, SETS[features].names
    start = int(np.searchsorted(bars.time, epoch(first)))
    rows = compute(SETS[features], bars[start - YEARS : start], "1h", vix())
    known = references(rows[~np.isnan(rows).all(axis=1)], names)
    live = compute(SETS[features], shown[start - 1000 : start + days * DAY], "1h", vix())[1000 - WEEK :]
    told = [drifted(rows_of(live[day * DAY :][:WEEK], names), known) for day in range(1, days + 1)]
    return [drift for drift in told if drift and drift.alarming]


@pytest.mark.parametrize("features", ["core12", "vix53"])
def test_a_normal_month_is_silent(features: str) -> None:
    assert alarms(perp(), features, datetime(2024, 2, 1, tzinfo=UTC), 29) == []


@pytest.mark.parametrize("features", ["core12", "vix53"])
def test_the_crash_of_march_2020_is_told(features: str) -> None:
    kraken = load("btcusd_kraken_1h")
    assert 1 <= len(alarms(kraken, features, datetime(2020, 3, 5, tzinfo=UTC), 14)) <= 8


@pytest.mark.parametrize("features", ["core12", "vix53"])
def test_a_frozen_feed_is_told(features: str) -> None:
    bars, day = perp(), datetime(2024, 2, 10, tzinfo=UTC)
    at = int(np.searchsorted(bars.time, epoch(day)))
    before = np.arange(len(bars)) < at
    opened, high, low, close = (np.where(before, column, bars.close[at]) for column in bars.columns()[1:5])
    told = alarms(bars, features, day, 7, Bars(bars.time, opened, high, low, close, bars.volume))
    assert len(told) >= 4
    assert told[-1].shifted > 0.6 * told[-1].features
