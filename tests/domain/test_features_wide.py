"""full101: slower bars count once they have closed, what is outside once it was published, and nothing is filled in."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.bars import Bars, Floats
from core.domain.daily import Daily, none
from core.domain.features import SETS, FeatureSet, compute, last_row
from core.domain.features.wide import OTHER, SERIES_OF_THEIR_OWN, SLOW, TOGETHER, WIDE, correlation
from core.domain.outside import NOTHING, SERIES, Outside
from tests import road
from tests.domain.surroundings import around
from tests.domain.test_features import COLUMNS, MONDAY, fear, other, same, synthetic

FULL = SETS["full101"]
SLOWER = FeatureSet("slower", SLOW)
WIDER = FeatureSet("wider", WIDE)
OF_SERIES = FeatureSet("series", (*SERIES_OF_THEIR_OWN, *TOGETHER))
each_series = pytest.mark.parametrize("name", list(SERIES))
ROWS = st.integers(FULL.lookback - 1, 999)


@cache
def bars() -> Bars:
    return synthetic()


@cache
def outside() -> Outside:
    return around(bars())


@cache
def whole() -> Floats:
    return compute(WIDER, bars(), "1h", fear(), outside=outside())


def known(daily: Daily, until: int) -> Daily:
    kept = daily.published <= until
    return Daily(daily.published[kept], daily.value[kept])


def test_full101_is_vix53_and_48_more() -> None:
    assert len(FULL.names) == len(set(FULL.names)) == 101
    assert FULL.names[:53] == SETS["vix53"].names
    assert FULL.names[53:] == WIDER.names
    assert FULL.needs == {"vix", "market", *SERIES}


def test_the_digest_of_full101_is_pinned() -> None:
    """Whoever changes it makes every model that was trained on it refuse to score: raise a version on purpose."""
    assert FULL.digest == "2332220a8a9d72773b27cfaa59c9fe43de6b9cf2cf61a46c7d13a95edfc06885"


def test_its_window_fits_one_document() -> None:
    assert FULL.lookback == 791
    assert FULL.lookback * 48 < 2**20 / 10


# closed bars only


@settings(max_examples=40)
@given(ROWS, st.integers(0, 99))
def test_a_slower_bar_that_has_not_closed_changes_nothing(t: int, seed: int) -> None:
    """Not even its first bars, which have closed themselves."""
    for features, span in ((SLOW[:9], 4), (SLOW[9:], 24)):
        chosen = FeatureSet("slow", features)
        first = (t + 1) // span * span  # the first bar of the slower one that is still open when bar t closes
        changed = other(bars(), slice(first, None), seed)
        now, then = compute(chosen, changed, "1h", none()), compute(chosen, bars(), "1h", none())
        same(now[t], then[t])


def test_a_slower_bar_counts_from_the_close_of_its_last_bar() -> None:
    h4, day = (compute(FeatureSet(name, (feature,)), bars(), "1h", none())[:, 0] for name, feature in
               (("h4", SLOW[0]), ("day", SLOW[9])))  # fmt: skip
    close = bars().close
    assert h4[802] != h4[803] == close[803] / close[799] - 1.0  # the bar of 11:00, which closes at noon
    assert np.unique(h4[803:807]).size == 1
    assert day[814] != day[815] == close[815] / close[791] - 1.0  # the bar of 23:00
    assert np.unique(day[815:839]).size == 1


def test_slower_bars_are_on_the_grid_of_utc_wherever_the_window_begins() -> None:
    for first in (0, 1, 2, 3, 23):
        same(last_row(SLOWER, bars()[first:], "1h", none()), last_row(SLOWER, bars(), "1h", none()))


def test_a_slower_bar_is_made_of_all_its_bars() -> None:
    """By the plain book: of each day's first open, highest, lowest, last close and sum."""
    b, t = bars(), 959
    days = [b[k : k + 24] for k in range(0, 960, 24)]
    closes = np.array([day.close[-1] for day in days])
    volume = np.array([day.volume.sum() for day in days])
    high, low = (np.array([pick(getattr(day, side)) for day in days]) for pick, side in ((max, "high"), (min, "low")))
    true = np.maximum(high[1:], closes[:-1]) - np.minimum(low[1:], closes[:-1])
    rate, step = closes[1:] / closes[:-1] - 1.0, np.diff(closes)[-14:]
    expected = {
        "day_return_7": closes[-1] / closes[-8] - 1.0,
        "day_rsi_14": 100.0 * step[step > 0].sum() / np.abs(step).sum(),
        "day_sma_gap_20": closes[-1] / closes[-20:].mean() - 1.0,
        "day_trend": closes[-5:].mean() / closes[-20:].mean() - 1.0,
        "day_range_position_30": 100.0 * (closes[-1] - low[-30:].min()) / (high[-30:].max() - low[-30:].min()),
        "day_range_ratio_14": true[-14:].mean() / closes[-1],
        "day_volume_ratio_20": volume[-1] / volume[-20:].mean(),
        "day_volatility_20": np.sqrt((rate[-20:] ** 2).mean()),
    }
    row = dict(zip(SLOWER.names, compute(SLOWER, b, "1h", none())[t], strict=True))
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)


# what is outside: when it was published, and how old it may be


@settings(max_examples=40)
@given(ROWS, st.integers(0, 99))
def test_what_was_published_or_closed_after_the_bar_changes_nothing(t: int, seed: int) -> None:
    """Left out, or quite different."""
    close, rng = int(bars().time[t]) + 3600, np.random.default_rng(seed)
    given_, market = outside(), outside().market
    assert market is not None
    short = Outside(
        {name: known(daily, close) for name, daily in given_.daily.items()}, market=market[market.time < close]
    )
    wild = Outside(
        {name: Daily(d.published, np.where(d.published > close, d.value * rng.random(len(d)) * 9, d.value))
         for name, d in given_.daily.items()},
        market=other(market, slice(int(np.searchsorted(market.time, close)), None), seed),
    )  # fmt: skip
    for changed in (short, wild):
        same(compute(WIDER, bars(), "1h", known(fear(), close), outside=changed)[t], whole()[t])


@each_series
def test_a_value_is_seen_from_its_publication_on(name: str) -> None:
    """The bar that closes then is the first; the one before sees the value before."""
    daily = outside().daily[name]
    of_it = FeatureSet(name, tuple(feature for feature in SERIES_OF_THEIR_OWN if feature.category == name))
    closes = bars().time + 3600
    for index in np.flatnonzero((daily.published > closes[700]) & (daily.published <= closes[-1]))[:20]:
        first = int(np.searchsorted(closes, daily.published[index]))
        raised = daily.value.copy()
        raised[index] *= 1.5
        changed = Outside({**outside().daily, name: Daily(daily.published, raised)})
        now = compute(of_it, bars(), "1h", none(), outside=changed)
        then = compute(of_it, bars(), "1h", none(), outside=outside())
        same(now[:first], then[:first])
        assert (now[first] != then[first]).any()


@each_series
def test_a_value_older_than_its_limit_is_missing_and_never_filled_in(name: str) -> None:
    daily, limit = outside().daily[name], SERIES[name].max_age
    end = int(daily.published[daily.published <= bars().time[700]][-1])
    cut = Outside({name: known(daily, end)})
    of_it = FeatureSet(name, tuple(feature for feature in SERIES_OF_THEIR_OWN if feature.category == name))
    rows = compute(of_it, bars(), "1h", none(), outside=cut)
    old = bars().time + 3600 - end > limit
    assert np.isnan(rows[old]).all()
    assert not np.isnan(rows[~old]).any()
    shorter = compute(of_it, bars(), "1h", none(), outside=Outside(cut.daily, {name: 3600}))
    assert np.isnan(shorter[bars().time > end]).all()


def test_without_the_outside_only_what_needs_it_is_missing() -> None:
    row = dict(zip(WIDER.names, last_row(WIDER, bars(), "1h", none(), outside=NOTHING), strict=True))
    assert {name for name, value in row.items() if np.isnan(value)} == {f.name for f in WIDE if f.nullable}
    same(last_row(WIDER, bars(), "1h", none()), last_row(WIDER, bars(), "1h", none(), outside=NOTHING))


@pytest.mark.parametrize("absent", [*SERIES, "market", "vix"])
def test_what_is_missing_takes_nothing_else_with_it(absent: str) -> None:
    daily = {name: daily for name, daily in outside().daily.items() if name != absent}
    rest = Outside(daily, market=None if absent == "market" else outside().market)
    row = last_row(WIDER, bars()[:891], "1h", none() if absent == "vix" else fear(), outside=rest)
    missing = {name for name, value in zip(WIDER.names, row, strict=True) if np.isnan(value)}
    assert missing == {feature.name for feature in WIDE if absent in feature.needs}


def test_a_bar_that_the_other_market_lacks_leaves_out_each_window_with_it() -> None:
    market, t = outside().market, 960
    assert market is not None
    gap = Outside(market=market[market.time != bars().time[t]])
    rows = compute(FeatureSet("other", OTHER), bars(), "1h", none(), outside=gap)
    spread, correlated = rows[:, 0], rows[:, 3]
    assert np.isnan(spread[[t, t + 1]]).all() and not np.isnan(spread[[t - 1, t + 2]]).any()
    assert np.isnan(correlated[t : t + 25]).all() and not np.isnan(correlated[[t - 1, t + 25]]).any()


def test_a_price_that_no_market_prints_is_a_bar_that_is_lacking() -> None:
    market = outside().market
    assert market is not None
    for price in (0.0, -1.0, np.nan, np.inf):
        close = market.close.copy()
        close[-1] = price
        bad = Bars(market.time, market.open, market.high, market.low, close, market.volume)
        t = int(np.searchsorted(bars().time, market.time[-1]))
        assert np.isnan(compute(FeatureSet("o", OTHER), bars(), "1h", none(), outside=Outside(market=bad))[t]).all()


def test_the_newest_120_values_and_the_windows_own_bars_suffice() -> None:
    """As a tick has them."""
    close = int(bars().time[-1]) + 3600
    few = {name: known(daily, close) for name, daily in outside().daily.items()}
    few = {name: Daily(daily.published[-120:], daily.value[-120:]) for name, daily in few.items()}
    market = outside().market
    assert market is not None
    tail = market[market.time >= bars().time[-FULL.lookback]]
    same(last_row(FULL, bars(), "1h", fear(), outside=Outside(few, market=tail)),
         last_row(FULL, bars(), "1h", fear(), outside=outside()))  # fmt: skip


# what they say


def test_a_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0, 0.01, 200)
    y = 0.5 * x + rng.normal(0, 0.01, 200)
    assert correlation(x, y, 30)[-1] == pytest.approx(np.corrcoef(x[-30:], y[-30:])[0, 1], abs=1e-9)
    assert correlation(x, x, 30)[-1] == pytest.approx(1.0)
    assert correlation(x, np.full(200, 1e-3), 30)[-1] == 0.0  # what stands still goes with nothing


def test_who_leads_is_told_apart() -> None:
    """The other market does an hour later what the coin does."""
    late = np.concatenate([bars().close[:1], bars().close[:-1]])
    market = Bars(bars().time, late, late, late, late, np.ones(len(late)))
    row = dict(zip(WIDER.names, last_row(WIDER, bars(), "1h", none(), outside=Outside(market=market)), strict=True))
    assert row["other_follows_168"] == pytest.approx(1.0)
    assert abs(row["other_leads_168"]) < 0.5
    same_market = Outside(market=bars())
    row = dict(zip(WIDER.names, last_row(WIDER, bars(), "1h", none(), outside=same_market), strict=True))
    assert (row["other_spread_1"], row["other_ratio_zscore_168"]) == (0.0, 0.0)
    assert (row["other_correlation_168"], row["other_beta_168"]) == pytest.approx((1.0, 1.0))


def test_a_day_is_compared_with_what_was_new_by_its_end() -> None:
    """A dollar index that moves as the coin did on the same UTC day, published when the day is over."""
    closes = bars().close[23::24]
    daily = Daily(bars().time[23::24] + 3600, closes.copy())
    rows = compute(OF_SERIES, bars(), "1h", none(), outside=Outside({"dxy": daily}))
    row = dict(zip(OF_SERIES.names, rows[983], strict=True))
    assert row["day_with_dxy"] == pytest.approx(1.0)
    before = Daily(daily.published[:-1], closes[1:].copy())  # it moves a day ahead of the coin
    row = dict(zip(OF_SERIES.names, compute(OF_SERIES, bars(), "1h", none(), outside=Outside({"dxy": before}))[959],
                   strict=True))  # fmt: skip
    assert row["day_after_dxy"] == pytest.approx(1.0)


def test_extreme_fear_is_below_25_and_extreme_greed_from_75_on() -> None:
    for level, expected in {24.0: -1.0, 25.0: 0.0, 74.0: 0.0, 75.0: 1.0}.items():
        daily = Daily(np.array([MONDAY], np.int64), np.array([level]))
        row = last_row(OF_SERIES, bars()[:1], "1h", none(), outside=Outside({"fear_greed": daily}))
        assert np.isnan(row).all()  # too few bars for the others
        chosen = FeatureSet("extreme", tuple(f for f in SERIES_OF_THEIR_OWN if f.name == "fear_greed_extreme"))
        assert last_row(chosen, bars()[:1], "1h", none(), outside=Outside({"fear_greed": daily}))[0] == expected


# on real bars


@cache
def real() -> Floats:
    """full101 over fifteen thousand real hours with everything that is at hand; without funding, which is not."""
    import pyarrow.parquet

    def table(path: str) -> tuple[Floats, pyarrow.Table]:
        read = pyarrow.parquet.read_table(road.real(road.DATA / path))
        return read["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64), read

    def market(name: str) -> Bars:
        times, read = table(f"bars/{name}usdt_binance_perp_1h.parquet")
        return Bars(times, *(read[column].to_numpy().astype(np.float64) for column in COLUMNS))[10_000:25_000]

    files = {"dxy": "dxy", "us10y": "us10y_dgs10", "usdjpy": "usdjpy", "fear_greed": "fear_greed"}
    daily = {}
    for name, file in files.items():
        times, read = table(f"macro/{file}_daily.parquet")
        column = "value" if name == "fear_greed" else "close"
        daily[name] = SERIES[name].series(times, read[column].to_numpy().astype(np.float64))
    return compute(FULL, market("btc"), "1h", road.vix(), outside=Outside(daily, market=market("eth")))[FULL.lookback :]


def columns() -> dict[str, Floats]:
    return {name: real()[:, k] for k, name in enumerate(FULL.names) if not name.startswith("funding")}


def test_on_real_bars_all_is_there_but_the_funding_that_was_not_given() -> None:
    there = ~np.isnan(real())
    assert not there[:, [name.startswith("funding") for name in FULL.names]].any()
    assert {name for name, column in columns().items() if np.isfinite(column).mean() < 0.98} == set()


def test_on_real_bars_no_two_features_are_the_same() -> None:
    names, rows = list(columns()), np.array(list(columns().values()))
    complete = rows[:, ~np.isnan(rows).any(axis=0)]
    assert complete.shape[1] > 10_000
    alike = np.abs(np.corrcoef(complete)) - np.eye(len(names))
    first, second = np.unravel_index(int(alike.argmax()), alike.shape)
    assert alike.max() < 0.999, (names[int(first)], names[int(second)])


def test_on_real_bars_the_values_are_sane() -> None:
    bounds = {
        "h4_rsi_14": (0, 100), "day_rsi_14": (0, 100), "day_range_position_30": (0, 100), "h4_stochastic_14": (0, 100),
        "day_return_1": (-0.5, 0.5), "day_volatility_20": (0.005, 0.1), "other_correlation_168": (0.2, 1.0),
        "other_beta_168": (0.1, 1.5), "other_spread_1": (-0.1, 0.1), "dxy_change": (-0.03, 0.03),
        "usdjpy_change": (-0.05, 0.05), "us10y_level": (0.3, 6.0), "us10y_change": (-0.5, 0.5),
        "fear_greed_level": (1, 100), "day_with_vix": (-0.9, 0.6), "day_after_dxy": (-0.7, 0.7),
    }  # fmt: skip
    for name, (low, high) in bounds.items():
        assert np.nanmin(columns()[name]) >= low, name
        assert np.nanmax(columns()[name]) <= high, name
    assert np.nanmean(columns()["day_with_vix"]) < -0.1  # fear and coins go opposite ways
    assert np.nanmean(columns()["other_correlation_168"]) > 0.7
