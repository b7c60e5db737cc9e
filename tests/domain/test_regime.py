"""What kind of market it is, drawn and real, and what that leaves of the size."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.files_market import load
from core.domain.bars import Bars, moment
from core.domain.daily import from_closes
from core.domain.features import compute, feature_set
from core.domain.risk.policy import Policy
from core.domain.risk.regime import Market, Vix, market, scale, vix
from tests.road import DATA, HOUR, real

POLICY = Policy(crisis_fall=0.1, crisis_volatility=2.2)
SEEN = feature_set("regime", "volatility_ratio", "roc_24", "adx_14")
PERPS = ("btcusdt_binance_perp_1h", "ethusdt_binance_perp_1h", "solusdt_binance_perp_1h", "xrpusdt_binance_perp_1h")
SEVERITY: tuple[Market, ...] = ("normal", "trending", "volatile", "crisis")
BELOW_100 = math.nextafter(0.1, 0.0)


@pytest.mark.parametrize(
    ("ratio", "fall", "adx", "expected"),
    [
        (1.0, 0.0, 10.0, "normal"),
        (1.0, 0.0, 25.0, "trending"),
        (1.0, 0.0, math.nextafter(25.0, 0.0), "normal"),
        (1.5, 0.0, 10.0, "volatile"),
        (math.nextafter(1.5, 0.0), 0.0, 10.0, "normal"),
        (2.2, 0.0, 10.0, "crisis"),
        (math.nextafter(2.2, 0.0), 0.0, 10.0, "volatile"),
        (1.0, -0.1, 10.0, "crisis"),
        (1.0, -BELOW_100, 10.0, "normal"),
        (1.0, 0.5, 10.0, "normal"),
    ],
)
def test_each_market_begins_where_the_policy_says(ratio: float, fall: float, adx: float, expected: Market) -> None:
    assert market(ratio, fall, adx, POLICY) == expected


def test_the_most_severe_is_named() -> None:
    assert market(2.0, -0.2, 50.0, POLICY) == "crisis"
    assert market(3.0, 0.0, 50.0, POLICY) == "crisis"
    assert market(2.0, 0.0, 50.0, POLICY) == "volatile"


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_a_market_that_is_not_known_is_a_crisis(place: int, strange: float) -> None:
    ratio, fall, adx = (strange if place == i else known for i, known in enumerate((1.0, 0.0, 10.0)))
    assert market(ratio, fall, adx, POLICY) == "crisis"


ordinary = st.tuples(st.floats(0.0, 2.7), st.floats(-0.9, 2.0), st.floats(0.0, 100.0))  # as market takes them


@given(ordinary, ordinary)
def test_a_worse_market_is_never_named_a_milder_one(
    one: tuple[float, float, float], two: tuple[float, float, float]
) -> None:
    milder = (min(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]))
    worse = (max(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]))
    assert SEVERITY.index(market(*milder, POLICY)) <= SEVERITY.index(market(*worse, POLICY))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (9.0, "risk_on"),
        (math.nextafter(15.0, 0.0), "risk_on"),
        (15.0, "normal"),
        (math.nextafter(25.0, 0.0), "normal"),
        (25.0, "risk_off"),
        (math.nextafter(35.0, 0.0), "risk_off"),
        (35.0, "panic"),
        (82.7, "panic"),
        (math.inf, "panic"),
        (math.nan, "unknown"),
        (0.0, "unknown"),
        (-1.0, "unknown"),
        (-math.inf, "unknown"),
    ],
)
def test_the_vix_is_named_by_the_policys_levels(level: float, expected: Vix) -> None:
    assert vix(level, POLICY) == expected


def test_the_factors_of_market_and_vix_are_multiplied() -> None:
    policy = Policy(
        regime_volatile=0.5, regime_trending=0.9, regime_crisis=0.1, vix_risk_on=0.8, vix_risk_off_scale=0.4
    )
    assert scale("normal", "normal", policy) == 1.0
    assert scale("volatile", "normal", policy) == 0.5
    assert scale("trending", "risk_on", policy) == 0.9 * 0.8
    assert scale("volatile", "risk_off", policy) == 0.5 * 0.4
    assert scale("crisis", "normal", policy) == 0.1


def test_a_panic_leaves_nothing_whatever_the_market() -> None:
    bold = Policy(regime_volatile=1.0, regime_crisis=1.0)
    assert {scale(kind, "panic", bold) for kind in SEVERITY} == {0.0}


def test_a_crisis_leaves_nothing_unless_the_policy_says_otherwise() -> None:
    assert scale("crisis", "risk_on", Policy()) == 0.0


def test_an_unknown_vix_counts_as_risk_off() -> None:
    policy = Policy(vix_risk_off_scale=0.3)
    assert scale("normal", "unknown", policy) == scale("normal", "risk_off", policy) == 0.3


# Real markets


@cache
def history(name: str) -> Bars:
    return load(real(DATA / f"bars/{name}.parquet"), "1h").bars


def markets(bars: Bars) -> dict[datetime, Market]:
    """The market at every bar of which all is known, by the time that the bar opened."""
    rows = compute(SEEN, bars, "1h", from_closes(np.empty(0, np.int64), np.empty(0)))
    known = np.flatnonzero(~np.isnan(rows[:, 0]))
    return {moment(bars.time[i]): market(rows[i, 0], rows[i, 1], rows[i, 2], POLICY) for i in known}


def crash(stress: str, name: str) -> tuple[Bars, Bars]:
    """The hours of a crash, and the same with the 1500 hours before them."""
    hours, whole = load(real(DATA / f"stress/{stress}.parquet"), "1h").bars, history(name)
    end = int(np.searchsorted(whole.time, hours.time[-1])) + 1
    return hours, whole[end - len(hours) - 1500 : end]


def begun(hours: Bars) -> datetime:
    """The first hour that falls by 4 %."""
    return moment(hours.time[1:][np.argmax(np.diff(hours.close) / hours.close[:-1] <= -0.04)])


CRASHES = [
    ("crash_20200312_btcusd_kraken_1h", "btcusd_kraken_1h", 0),
    ("crash_20210519_btcusdt_binance_perp_1h", "btcusdt_binance_perp_1h", 1),
    ("crash_20210519_ethusdt_binance_perp_1h", "ethusdt_binance_perp_1h", 3),
]


@pytest.mark.parametrize(("stress", "name", "within"), CRASHES)
def test_a_crash_is_named_a_crisis_within_hours_and_not_before_it_began(stress: str, name: str, within: int) -> None:
    hours, bars = crash(stress, name)
    assert bars[-len(hours) :].close.tolist() == hours.close.tolist()
    crisis = [at for at, kind in markets(bars).items() if kind == "crisis" and at >= moment(hours.time[0])]
    assert begun(hours) <= crisis[0] <= begun(hours) + within * HOUR


@pytest.mark.parametrize(("stress", "name", "within"), CRASHES)
def test_the_crisis_is_named_before_the_worst_and_stands_at_the_low(stress: str, name: str, within: int) -> None:
    hours, bars = crash(stress, name)
    low = moment(hours.time[np.argmin(hours.low)])
    named = markets(bars)
    assert named[low] == named[low - 9 * HOUR] == "crisis"


def test_what_comes_later_changes_no_market_of_before() -> None:
    _, bars = crash("crash_20210519_btcusdt_binance_perp_1h", "btcusdt_binance_perp_1h")
    whole, part = markets(bars), markets(bars[:-20])
    assert part == {at: kind for at, kind in whole.items() if at in part}
    assert len(part) == len(whole) - 20


@pytest.mark.parametrize("name", PERPS)
def test_in_calm_months_a_crisis_is_hardly_ever_named(name: str) -> None:
    bars = history(name)
    months = [moment(at).strftime("%Y-%m") for at in bars.time]
    moves = dict[str, list[float]]()
    for month, change in zip(months[1:], np.diff(np.log(bars.close)), strict=True):
        moves.setdefault(month, []).append(change)
    calm = set(sorted(moves, key=lambda month: float(np.std(moves[month])))[: len(moves) // 2])
    kinds = Counter(kind for at, kind in markets(bars).items() if at.strftime("%Y-%m") in calm)
    assert kinds.total() > 15_000
    assert kinds["crisis"] / kinds.total() < 0.015
