from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain import features as f
from core.domain.bars import Bars, Floats, insane
from core.domain.daily import DAY, Daily, none
from core.domain.features import CONTEXT, REGISTRY, SETS, Feature, FeatureSet, compute, last_row
from core.domain.features.inputs import Inputs
from core.domain.outside import Outside
from tests.domain.surroundings import around, integers

DATA: Final = Path(__file__).parents[2] / "../shared/data"
MONDAY: Final = 1_704_067_200  # 2024-01-01 00:00 UTC
COLUMNS: Final = ("open", "high", "low", "close", "volume")
EVERY: Final = [*SETS.values(), CONTEXT]
ALL: Final = FeatureSet("all", tuple(REGISTRY.values()))
each = pytest.mark.parametrize("feature", REGISTRY.values(), ids=lambda feature: feature.name)
each_set = pytest.mark.parametrize("chosen", EVERY, ids=lambda chosen: chosen.name)


def synthetic(size: int = 1000) -> Bars:
    """A walk in exact arithmetic with a trend that turns, a stretch without movement and one without volume."""
    draws = np.array(integers(5 * size), np.float64).reshape(size, 5) / 2**32
    step = (draws[:, 0] - 0.5) * 0.03 + np.where(np.arange(size) // 90 % 2 == 0, 0.002, -0.002)
    step[size // 3 : size // 3 + 40] = 0.0
    close = np.round(30_000.0 * np.cumprod(1.0 + step), 1)
    opened = np.concatenate([[30_000.0], close[:-1]])
    wick = np.where(step == 0.0, 0.0, 0.01)
    high = np.maximum(opened, close) * (1.0 + draws[:, 1] * wick)
    low = np.minimum(opened, close) * (1.0 - draws[:, 2] * wick)
    volume = draws[:, 3] * 50.0
    volume[size // 2 : size // 2 + 30] = 0.0
    return Bars(MONDAY + 3600 * np.arange(size, dtype=np.int64), opened, high, low, close, volume)


def fear(size: int = 120) -> Daily:
    """One value a day from 60 days before the synthetic bars, from calm to panic and back."""
    draws = np.array(integers(size, seed=7), np.float64) / 2**32
    level = 12.0 + 30.0 * np.minimum(np.arange(size) % 50, 25) / 25.0
    return Daily(MONDAY + DAY * np.arange(-60, size - 60, dtype=np.int64), level * (0.85 + 0.3 * draws))


def real_bars() -> Bars:
    path = DATA / "bars/btcusdt_binance_perp_1h.parquet"
    if not path.exists():
        pytest.skip(f"the real prices are not here: {path.name}")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)[-1500:]
    times = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return Bars(times, *(table[name].to_numpy().astype(np.float64) for name in COLUMNS))


@pytest.fixture(scope="module", params=["synthetic", "real"])
def bars(request: pytest.FixtureRequest) -> Bars:
    return synthetic() if request.param == "synthetic" else real_bars()


@pytest.fixture(scope="module")
def vix(bars: Bars) -> Daily:
    known = fear()
    return Daily(known.published - known.published[60] + bars.time[0] // DAY * DAY, known.value)


@pytest.fixture(scope="module")
def outside(bars: Bars) -> Outside:
    return around(bars)


def other(bars: Bars, rows: slice, seed: int = 5) -> Bars:
    """The same bars, with quite different sane prices and volumes in `rows`."""
    factor = 0.3 + np.random.default_rng(seed).random(len(bars.time[rows]))
    changed = [column.copy() for column in bars.columns()[1:]]
    for column in changed:
        column[rows] *= factor
    changed[4][rows] += 1.0
    return Bars(bars.time, *changed)


def alone(feature: Feature) -> FeatureSet:
    return FeatureSet(feature.name, (feature,))


def same(left: Floats, right: Floats) -> None:
    """Bit for bit."""
    assert left.tobytes() == right.tobytes()


# what the sets are


def test_core12_is_4_basic_5_technical_and_3_calculated() -> None:
    categories = [feature.category for feature in SETS["core12"].features]
    assert categories == ["basic"] * 4 + ["technical"] * 5 + ["calculated"] * 3


def test_vix53_is_47_of_the_market_and_6_of_the_vix() -> None:
    categories = [feature.category for feature in SETS["vix53"].features]
    assert len(categories) == len(set(SETS["vix53"].names)) == 53
    assert categories.count("vix") == 6


def test_context_is_what_the_decision_reads_in_its_order() -> None:
    assert CONTEXT.names == (
        "atr_14", "atr_ratio_14", "volatility_ratio", "mochipoyo", "vix_level", "vix_change",
        "volatility_168", "roc_24", "adx_14",
        "var_99_historical", "var_99_parametric", "var_99_monte_carlo", "shortfall_99",
    )  # fmt: skip


def test_only_what_comes_from_outside_may_be_unknown() -> None:
    assert all(feature.nullable == bool(feature.needs) for feature in REGISTRY.values())
    assert all(feature.needs == (feature.category,) for feature in REGISTRY.values() if feature.nullable)


def test_digest_follows_order_names_versions_and_lookbacks() -> None:
    first, *rest = SETS["core12"].features
    variants = (
        (*rest, first),
        (replace(first, name="return_one"), *rest),
        (replace(first, version=2), *rest),
        (replace(first, lookback=3), *rest),
        tuple(rest),
    )
    digests = {FeatureSet("core12", chosen).digest for chosen in (SETS["core12"].features, *variants)}
    assert len(digests) == 6
    assert FeatureSet("by another name", SETS["core12"].features).digest == SETS["core12"].digest


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="no_such_feature"):
        f.feature_set("mine", "rsi_14", "no_such_feature")


# past only, from the lookback only, one row = its row in the batch


@each
def test_depends_on_the_past_only(feature: Feature, bars: Bars, vix: Daily, outside: Outside) -> None:
    whole = compute(alone(feature), bars, "1h", vix, outside=outside)
    for t in (feature.lookback - 1, 720, 850):
        changed = compute(alone(feature), other(bars, slice(t + 1, None)), "1h", vix, outside=outside)
        same(changed[: t + 1], whole[: t + 1])


@each
def test_lookback_suffices(feature: Feature, bars: Bars, vix: Daily, outside: Outside) -> None:
    whole = compute(alone(feature), bars, "1h", vix, outside=outside)
    for t in (feature.lookback - 1, 820, 850, 891):
        first = t - feature.lookback + 1
        same(compute(alone(feature), bars[first : t + 1], "1h", vix, outside=outside)[-1], whole[t])
        same(compute(alone(feature), other(bars, slice(0, first)), "1h", vix, outside=outside)[t], whole[t])


@each
def test_lookback_is_no_longer_than_it_must_be(feature: Feature, bars: Bars, vix: Daily, outside: Outside) -> None:
    """Where slower bars begin at the hour that is worst for them."""
    starts = range(24 if feature.lookback > 1 else 1)
    shorter = (bars[first : first + feature.lookback - 1] for first in starts)
    assert any(np.isnan(feature.function(Inputs(short, "1h", vix, outside=outside))).all() for short in shorter)


@each_set
def test_a_row_is_its_row_in_the_batch(chosen: FeatureSet, bars: Bars, vix: Daily, outside: Outside) -> None:
    whole = compute(chosen, bars, "1h", vix, outside=outside)
    for t in np.random.default_rng(2).integers(chosen.lookback - 1, len(bars), 25):
        same(last_row(chosen, bars[: t + 1], "1h", vix, outside=outside), whole[t])


def test_a_feature_is_the_same_in_every_set(bars: Bars, vix: Daily, outside: Outside) -> None:
    row = dict(zip(ALL.names, last_row(ALL, bars, "1h", vix, outside=outside), strict=True))
    for chosen in EVERY:
        same(last_row(chosen, bars, "1h", vix, outside=outside), np.array([row[name] for name in chosen.names]))


# rows that are not there


@each_set
def test_rows_with_a_gap_in_their_lookback_are_nan(chosen: FeatureSet, vix: Daily) -> None:
    bars = synthetic(2 * chosen.lookback + 50)
    cut = chosen.lookback + 10
    gapped = bars[np.flatnonzero(np.arange(len(bars)) != cut)]
    rows = compute(chosen, gapped, "1h", none())
    there = ~np.isnan(rows).all(axis=1)
    expected = np.arange(len(gapped)) >= chosen.lookback - 1
    expected[cut : cut + chosen.lookback - 1] = False
    np.testing.assert_array_equal(there, expected)
    same(rows[there], compute(chosen, bars, "1h", none())[np.flatnonzero(np.insert(there, cut, False))])


def test_too_few_bars_or_a_gap_make_the_last_row_nan() -> None:
    bars, need = synthetic(), SETS["vix53"].lookback
    assert np.isnan(last_row(SETS["vix53"], bars[: need - 1], "1h", fear())).all()
    assert np.isnan(last_row(SETS["vix53"], bars[:0], "1h", fear())).all()
    gapped = bars[np.flatnonzero(np.arange(len(bars)) != len(bars) - 50)]
    assert np.isnan(last_row(SETS["vix53"], gapped, "1h", fear())).all()
    assert compute(SETS["vix53"], bars[:0], "1h", fear()).shape == (0, 53)


# whatever sane bars


STRETCHES: Final = st.tuples(
    st.sampled_from([0.0, 1e-15, 1e-3, 0.9, 1e3]),  # the size of a step
    st.sampled_from([0.0, 1e-8, 1.0, 1e12]),  # the volume
    st.integers(0, 99),  # the seed of its directions
)


@st.composite
def awkward(draw: st.DrawFn) -> Bars:
    """Sane bars as no one would wish for: dead, jumping by orders of magnitude, one-tick, without volume."""
    stretches = draw(st.lists(STRETCHES, min_size=1, max_size=9))
    rows = draw(st.sampled_from([1, 7, 30, 400]))  # of all stretches but the first
    size = ALL.lookback + 3
    close, volume = [draw(st.sampled_from([1e-6, 0.1, 40_000.0, 1e9]))], [0.0]
    for k, (step, traded, seed) in enumerate(stretches):
        length = rows if k else size
        direction = np.random.default_rng(seed).choice([-1, 0, 1], length)
        close += np.clip(close[-1] * (1.0 + step) ** direction, 1e-8, 1e12).tolist()
        volume += [traded] * length
    last = np.array(close[-size:])
    opened = np.concatenate([last[:1], last[:-1]]) if draw(st.booleans()) else last
    time = MONDAY + 3600 * np.arange(size, dtype=np.int64)
    return Bars(time, opened, np.maximum(opened, last), np.minimum(opened, last), last, np.array(volume[-size:]))


@settings(max_examples=60)
@given(awkward())
def test_complete_rows_are_finite_on_any_sane_bars(bars: Bars) -> None:
    assert not insane(bars).any()
    rows = compute(ALL, bars, "1h", none())
    market = [k for k, feature in enumerate(ALL.features) if not feature.nullable]
    assert np.isfinite(rows[ALL.lookback - 1 :, market]).all()


@settings(max_examples=60)
@given(awkward())
def test_bounded_features_stay_within_their_bounds(bars: Bars) -> None:
    rows = compute(ALL, bars, "1h", none())[ALL.lookback - 1 :]
    bounds = {
        "rsi_14": (0, 100), "adx_14": (0, 100), "mfi_14": (0, 100), "stochastic_k_14": (0, 100),
        "williams_r_28": (-100, 0), "rci_9": (-1, 1), "rci_26": (-1, 1), "obv_change_20": (-1, 1),
        "candle_body": (-1, 1), "bollinger_position_20": (-1, 2), "zscore_20": (-4.5, 4.5), "mochipoyo": (-1, 1),
    }  # fmt: skip
    for name, (low, high) in bounds.items():
        column = rows[:, ALL.names.index(name)]
        assert (column >= low - 1e-9).all(), name
        assert (column <= high + 1e-9).all(), name


def test_dead_bars_read_as_neutral() -> None:
    size = ALL.lookback
    dead = np.full(size, 0.1)
    time = MONDAY + 3600 * np.arange(size, dtype=np.int64)
    bars = Bars(time, dead, dead, dead, dead, np.zeros(size))
    row = dict(zip(ALL.names, last_row(ALL, bars, "1h", none()), strict=True))
    expected = {
        "return_1": 0, "volume_ratio_20": 1, "volume_zscore_20": 0, "candle_body": 0, "rsi_14": 50, "adx_14": 0,
        "stochastic_k_14": 50, "williams_r_28": -50, "mfi_14": 50, "cci_20": 0, "rci_9": 0, "obv_change_20": 0,
        "bollinger_position_20": 0.5, "bollinger_width_20": 0, "zscore_20": 0, "volatility_ratio": 1,
        "true_range_ratio": 1, "plus_di_14": 0, "mochipoyo": 0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_no_zero_is_negative() -> None:
    """Equal rows would else have different bits."""
    zero = Feature("zero", "basic", 1, lambda inputs: inputs.bars.close * -0.0)
    assert not np.signbit(compute(alone(zero), synthetic(), "1h", none())).any()


# the VIX, point in time

VIX6: Final = FeatureSet("vix6", tuple(feature for feature in SETS["vix53"].features if feature.nullable))


def test_vix_published_after_the_close_changes_nothing() -> None:
    bars, vix = synthetic(), fear()
    t = 24 * 10 + 14  # closes at 15:00; the next value comes at midnight
    later = vix.published > bars.time[t] + 3600
    shifted = Daily(vix.published + np.where(later, 3600, 0), np.where(later, vix.value * 3.0, vix.value))
    same(compute(VIX6, bars[: t + 1], "1h", shifted)[t], compute(VIX6, bars[: t + 1], "1h", vix)[t])
    known = Daily(vix.published[~later], vix.value[~later])
    same(compute(VIX6, bars, "1h", known)[t], compute(VIX6, bars, "1h", vix)[t])


def test_vix_counts_from_its_publication_on() -> None:
    bars, vix = synthetic(), fear()
    level = compute(alone(REGISTRY["vix_level"]), bars, "1h", vix)[:, 0]
    assert level[22] == vix.value[60]  # closes at 23:00 of the first day
    assert level[23] == vix.value[61]  # closes at midnight, when the next value is published
    assert level[24] == vix.value[61]


def test_vix_older_than_the_limit_is_unknown() -> None:
    bars = synthetic()
    old = Daily(np.array([MONDAY - DAY, MONDAY], np.int64), np.array([20.0, 25.0]))
    level = compute(alone(REGISTRY["vix_level"]), bars, "1h", old, 2 * DAY)[:, 0]
    assert level[47] == 25.0  # closes exactly two days later
    assert np.isnan(level[48:]).all()
    assert np.isnan(compute(VIX6, bars, "1h", old, 2 * DAY)[48:]).all()
    assert np.isnan(compute(VIX6, bars, "1h", none())).all()


@each_set
def test_few_of_the_newest_vix_values_suffice(chosen: FeatureSet) -> None:
    bars, vix = synthetic(), fear()
    enough = 60 if chosen.name == "full101" else 21  # 60 are what a source promises
    index = int(np.searchsorted(vix.published, bars.time[-1] + 3600, side="right"))
    few = Daily(vix.published[index - enough : index], vix.value[index - enough : index])
    same(last_row(chosen, bars, "1h", few), last_row(chosen, bars, "1h", vix))


def test_vix_features_say_what_they_promise() -> None:
    calm = [14.0] * 20
    for tail, expected in {
        (14.0,): {"vix_level": 14, "vix_change": 0, "vix_zscore": 0, "vix_fear": 0, "vix_spike": 0, "vix_regime": 0},
        (28.0,): {"vix_level": 28, "vix_change": 1, "vix_fear": 3, "vix_spike": 1, "vix_regime": 1},
        (40.0, 40.0): {"vix_change": 0, "vix_fear": 4, "vix_spike": 0, "vix_regime": 1},
        (16.0,): {"vix_fear": 1, "vix_spike": 0},
        (10.0,) * 5: {"vix_fear": 0, "vix_regime": -1},
    }.items():
        values = np.array([*calm, *tail])
        published = MONDAY + DAY * np.arange(1 - len(values), 1, dtype=np.int64)
        row = dict(zip(VIX6.names, last_row(VIX6, synthetic()[:1], "1h", Daily(published, values)), strict=True))
        assert {name: row[name] for name in expected} == expected


def test_too_few_vix_values_leave_out_only_what_needs_them() -> None:
    one = Daily(np.array([MONDAY], np.int64), np.array([30.0]))
    row = dict(zip(VIX6.names, last_row(VIX6, synthetic()[:1], "1h", one), strict=True))
    assert {name for name, value in row.items() if not np.isnan(value)} == {"vix_level", "vix_fear"}


# single features


def test_hour_and_weekday_are_those_of_the_opening() -> None:
    rows = compute(FeatureSet("time", (REGISTRY["hour"], REGISTRY["weekday"])), synthetic(24 * 8), "1h", none())
    np.testing.assert_array_equal(rows[:, 0], np.tile(np.arange(24.0), 8))
    np.testing.assert_array_equal(rows[:, 1], np.repeat(np.arange(8.0) % 7, 24))


def test_the_gap_to_ema_50_follows_from_two_columns_of_core12() -> None:
    row = dict(zip(ALL.names, last_row(ALL, synthetic(), "1h", none()), strict=True))
    implied = (1.0 + row["ema_gap_20"]) * (1.0 + row["ema_cross_20_50"]) - 1.0
    assert implied == pytest.approx(row["ema_gap_50"], abs=1e-14)


def test_mochipoyo_is_trend_with_macd_and_rci_turning() -> None:
    bars = synthetic(3000)
    inputs = Inputs(bars, "1h", none())
    trend, histogram, rank = inputs.ema(20) - inputs.ema(50), inputs.macd()[2], inputs.rci(9)
    signal = compute(alone(REGISTRY["mochipoyo"]), bars, "1h", none())[:, 0]
    expected = np.zeros(len(bars))
    for t in range(1, len(bars)):
        turned = histogram[t] - histogram[t - 1], rank[t] - rank[t - 1]
        if trend[t] > 0 and min(turned) > 0 and rank[t - 1] < -0.5:
            expected[t] = 1.0
        if trend[t] < 0 and max(turned) < 0 and rank[t - 1] > 0.5:
            expected[t] = -1.0
    first = REGISTRY["mochipoyo"].lookback - 1
    np.testing.assert_array_equal(signal[first:], expected[first:])
    assert {-1.0, 0.0, 1.0} == set(signal[first:])


# what each feature was when its version was given: a changed formula needs a new version, and a new line here

PINNED: Final[Mapping[str, tuple[int, float]]] = {
    "return_1": (1, 4.12743950716355),
    "return_6": (1, 11.271065567151869),
    "volume_ratio_20": (1, 9018.323115597354),
    "ema_gap_20": (1, 5.4989496752844715),
    "return_1_lag_1": (1, 4.063972388214048),
    "return_1_lag_2": (1, 4.079521634083533),
    "return_1_lag_3": (1, 3.8812879931898387),
    "volume_zscore_20": (1, 112.15512234561449),
    "candle_body": (1, 69.27608729877119),
    "candle_upper_wick": (1, 2522.812807307667),
    "candle_lower_wick": (1, 2528.056317563758),
    "candle_range": (1, 152.00628449037848),
    "rsi_14": (1, 299383.6605692178),
    "macd_histogram": (1, -0.07226853290721491),
    "atr_ratio_14": (1, 97.05175196307384),
    "adx_14": (1, 81546.96946563304),
    "stochastic_k_14": (1, 454744.3882066896),
    "stochastic_d_14": (1, 455964.8125965862),
    "rsi_14_change_3": (1, 1454.6362824288058),
    "macd_line": (1, 3.9597037644153543),
    "macd_signal": (1, -3.668891402886374),
    "rci_9": (1, 397.8333333333333),
    "rci_26": (1, 444.1247863247863),
    "plus_di_14": (1, 103700.78134765028),
    "minus_di_14": (1, 94399.8077252772),
    "true_range_ratio": (1, 6087.516258533006),
    "mfi_14": (1, 436243.46412764705),
    "cci_20": (1, 59832.91105046582),
    "williams_r_28": (1, -409280.67495859193),
    "roc_12": (1, 25.748422863428356),
    "roc_24": (1, 54.53378113620062),
    "roc_72": (1, 122.56305746041855),
    "obv_change_20": (1, 196.74564883053705),
    "bollinger_width_20": (1, 584.9019279265591),
    "bollinger_position_20": (1, 4616.5819720504705),
    "ema_cross_20_50": (1, -12.812460864969262),
    "zscore_20": (1, 23.895259727457077),
    "ema_gap_12": (1, 6.452255689930922),
    "ema_gap_50": (1, -19.599307768264364),
    "sma_gap_20": (1, 19.656116890847983),
    "sma_gap_168": (1, 13.203460029377634),
    "volatility_24": (1, 75.03984790606758),
    "volatility_168": (1, 65.46026205330175),
    "volatility_ratio": (1, 7388.759862846232),
    "range_position_168": (1, 387509.6927683613),
    "hour": (1, 103322.0),
    "weekday": (1, 27009.0),
    "vix_level": (1, 334189.47647685226),
    "vix_change": (1, 16.48236271720283),
    "vix_zscore": (1, 4921.115256687758),
    "vix_fear": (1, 32102.0),
    "vix_spike": (1, 153.0),
    "vix_regime": (1, 4403.0),
    "atr_14": (1, 3360920.109171334),
    "mochipoyo": (1, 125.0),
    "var_99_historical": (1, 222.83540722293424),
    "var_99_parametric": (1, 724.7117111650149),
    "var_99_monte_carlo": (1, 707.8064706718604),
    "shortfall_99": (1, 565.1255503946875),
    "h4_return_1": (1, 6.949485400544227),
    "h4_return_6": (1, 52.2969442720204),
    "h4_rsi_14": (1, 438067.5078126748),
    "h4_sma_gap_20": (1, 32.82289929570896),
    "h4_bollinger_position_20": (1, 4431.291155764635),
    "h4_stochastic_14": (1, 446325.3272605454),
    "h4_range_ratio_14": (1, 265.04769493363045),
    "h4_volume_ratio_20": (1, 8371.788594701515),
    "h4_rci_9": (1, 429.825),
    "day_return_1": (1, 35.94469316215023),
    "day_return_7": (1, 1.689872104463205),
    "day_rsi_14": (1, 271535.8623679044),
    "day_sma_gap_20": (1, -46.47893789620676),
    "day_trend": (1, -33.06961026391741),
    "day_range_position_30": (1, 91670.43758742219),
    "day_range_ratio_14": (1, 453.60185009129907),
    "day_volume_ratio_20": (1, 4365.877032790281),
    "day_volatility_20": (1, 258.6746965437212),
    "other_spread_1": (1, 1.3734048497290914),
    "other_spread_24": (1, 26.075505157319032),
    "other_ratio_zscore_168": (1, 341.96905496086697),
    "other_correlation_24": (1, 7345.341940509651),
    "other_correlation_168": (1, 4605.587729575689),
    "other_beta_168": (1, 6052.249568688347),
    "other_leads_168": (1, 44.53669929166605),
    "other_follows_168": (1, -12.67964190398931),
    "dxy_change": (1, -3.6482398771230775),
    "dxy_zscore_20": (1, -4387.789616515014),
    "dxy_trend": (1, -15.786198643375496),
    "us10y_level": (1, 35395.71516759412),
    "us10y_change": (1, 112.54208734596659),
    "us10y_zscore_20": (1, 13042.172281644554),
    "us10y_trend": (1, 369.4496271389808),
    "usdjpy_change": (1, 1.6408016990403196),
    "usdjpy_zscore_20": (1, 4345.6160864355215),
    "usdjpy_trend": (1, 16.171101594900016),
    "fear_greed_level": (1, 369160.0),
    "fear_greed_change": (1, 4218.0),
    "fear_greed_extreme": (1, -1252.0),
    "funding_rate": (1, -10.150612633063878),
    "funding_mean_9": (1, -10.189645950835176),
    "funding_zscore_30": (1, 2810.9174094396594),
    "day_with_dxy": (1, 260.4344728758853),
    "day_with_vix": (1, -68.78885294229525),
    "day_with_us10y": (1, 101.19912226341022),
    "day_with_usdjpy": (1, -1.6077974093925143),
    "day_after_dxy": (1, 104.96261179596948),
    "day_after_vix": (1, 9.829804501827498),
}  # fmt: skip


def summary(feature: Feature) -> float:
    """One number that any change of any value moves."""
    bars = synthetic()
    column = compute(alone(feature), bars, "1h", fear(), outside=around(bars))[feature.lookback - 1 :, 0]
    return math.fsum(value * (1 + k * k % 17) for k, value in enumerate(column.tolist()) if not math.isnan(value))


@each
def test_a_changed_formula_has_a_new_version(feature: Feature) -> None:
    version, pinned = PINNED[feature.name]
    assert feature.version == version, "give its line in PINNED the new version and the new summary"
    assert summary(feature) == pytest.approx(pinned, rel=1e-12), f"{feature.name} changed: raise its version"


def test_every_pin_belongs_to_a_feature() -> None:
    assert set(PINNED) == set(REGISTRY)
