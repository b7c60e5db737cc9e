"""The 48 features that make full101 of vix53: slower bars, another market, and series from outside.

A slower bar is made of 4 or 24 bars on the grid of UTC (four hours and a day, on hourly bars), and counts from its
close on; until the next one has closed, its value stands. What is from outside is missing (NaN) where it had not been
published or is too old, and is never filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.domain import indicators as ind
from core.domain.bars import Bars, Floats, seconds
from core.domain.daily import as_of
from core.domain.features.feature import Feature
from core.domain.features.inputs import Inputs, shared

FOUR_HOURS, DAY_LONG = 4, 24  # bars
MONTH: Final = 30  # days over which a coin is compared with a series
WEEK: Final = 168  # bars over which it is compared with the other market
TREND: Final = (5, 20)  # values of the fast and the slow mean
FUNDED: Final = 9  # settlements: three days
FEARFUL, GREEDY = 25.0, 75.0  # "extreme fear" below the one, "extreme greed" from the other on
DULL: Final = 1e-9  # a variance smaller than this share of the mean square is rounding


def trend(x: Floats) -> Floats:
    """How far the mean of 5 values lies above the mean of 20, as a fraction."""
    fast, slow = TREND
    return ind.rolling_mean(x, fast) / ind.rolling_mean(x, slow) - 1.0


def gains(close: Floats, n: int) -> Floats:
    """Relative strength by plain means (Cutler), 0..100; 50 when nothing moved. It remembers n + 1 values."""
    step = ind.change(close)
    up, down = ind.weighted_sum(np.maximum(step, 0.0), n), ind.weighted_sum(np.minimum(step, 0.0), n)
    return ind.ratio(up, up - down, 0.5) * 100.0


def _variance(x: Floats, n: int) -> tuple[Floats, Floats]:
    """Mean and variance of n values near zero, such as returns; exactly 0 where all that there is, is rounding."""
    mean, square = ind.rolling_mean(x, n), ind.rolling_mean(x * x, n)
    variance = square - mean * mean
    return mean, variance * (variance > DULL * square)


def _covariance(x: Floats, y: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """The covariance of n pairs, and both variances."""
    (mean_x, var_x), (mean_y, var_y) = _variance(x, n), _variance(y, n)
    return ind.rolling_mean(x * y, n) - mean_x * mean_y, var_x, var_y


def correlation(x: Floats, y: Floats, n: int) -> Floats:
    """Pearson's, of the last n pairs of values near zero; 0 where one of the two stood still."""
    both, var_x, var_y = _covariance(x, y, n)
    return np.clip(ind.ratio(both, np.sqrt(var_x) * np.sqrt(var_y), 0.0), -1.0, 1.0)


# slower bars


@dataclass(frozen=True, slots=True, eq=False)
class Slow:
    """Closed bars of several bars each (`time`: of opening), and for each bar the newest that had closed with it."""

    bars: Bars
    newest: NDArray[np.intp]
    closed: NDArray[np.int64]

    def seen(self, values: Floats) -> Floats:
        """A value per slow bar → the one of the newest that had closed with each bar; NaN before the first."""
        padded: Floats = np.append(values, np.nan)
        return padded[self.newest]


@shared
def slow(i: Inputs, n: int) -> Slow:
    """Bars of n bars, whose last one closes on the grid of UTC."""
    step = seconds(i.timeframe)
    closes = i.bars.time + step
    ends = np.flatnonzero(closes % (n * step) == 0)
    ends = ends[ends >= n - 1]
    starts, bars = ends - (n - 1), i.bars
    top, bottom = ind.rolling_max(bars.high, n)[ends], ind.rolling_min(bars.low, n)[ends]
    volume = ind.weighted_sum(bars.volume, n)[ends]
    made = Bars(bars.time[starts], bars.open[starts], top, bottom, bars.close[ends], volume)
    newest = np.searchsorted(ends, np.arange(len(bars)), side="right") - 1
    return Slow(made, np.where(newest < 0, len(ends), newest), closes[ends])


@shared
def slow_rate(i: Inputs, n: int) -> Floats:
    """The return of each slow bar against the one before."""
    return ind.rate(slow(i, n).bars.close)


def _slow_gap(i: Inputs, n: int) -> Floats:
    close = slow(i, n).bars.close
    return slow(i, n).seen(close / ind.rolling_mean(close, 20) - 1.0)


def _slow_band(i: Inputs, n: int) -> Floats:
    """0 on the lower Bollinger band, 1 on the upper."""
    close = slow(i, n).bars.close
    return slow(i, n).seen(ind.zscore(close, ind.moments(close, 20)) * 0.25 + 0.5)


def _slow_place(i: Inputs, n: int, k: int) -> Floats:
    """Where the slow close stands in the range of k slow bars, 0..100."""
    bars = slow(i, n).bars
    return slow(i, n).seen(ind.stochastic(bars.close, ind.rolling_max(bars.high, k), ind.rolling_min(bars.low, k)))


def _slow_range(i: Inputs, n: int) -> Floats:
    """The mean true range of 14 slow bars, as a fraction of the price."""
    bars = slow(i, n).bars
    spans = ind.true_range(bars.high, bars.low, bars.close)
    return slow(i, n).seen(ind.rolling_mean(spans, 14) / bars.close)


def _slow_volume(i: Inputs, n: int) -> Floats:
    volume = slow(i, n).bars.volume
    return slow(i, n).seen(ind.ratio(volume, ind.rolling_mean(volume, 20), 1.0))


def _slow_volatility(i: Inputs, n: int) -> Floats:
    rate = slow_rate(i, n)
    return slow(i, n).seen(np.sqrt(ind.rolling_mean(rate * rate, 20)))


def reach(n: int, count: int) -> int:
    """Bars in which `count` whole slow bars of n lie, wherever they begin: up to n - 1 are of one that has not closed,
    and up to n - 1 of one that began before."""
    return (count + 1) * n - 1


# the other market


@shared
def other_close(i: Inputs) -> Floats:
    """The other market's close of the same bar; NaN where it has none."""
    market = i.outside.market
    if market is None or not len(market):
        return np.full(len(i.bars), np.nan)
    index = np.minimum(np.searchsorted(market.time, i.bars.time), len(market) - 1)
    close = market.close[index]
    there = (market.time[index] == i.bars.time) & np.isfinite(close) & (close > 0)
    return np.where(there, close, np.nan)


@shared
def other_rate(i: Inputs, n: int = 1) -> Floats:
    return ind.rate(other_close(i), n)


def _ratio_zscore(i: Inputs) -> Floats:
    quotient = i.bars.close / other_close(i)
    return ind.zscore(quotient, ind.moments(quotient, WEEK))


@shared
def _beside(i: Inputs, n: int) -> Floats:
    return correlation(i.rate(1), other_rate(i), n)


def _beta(i: Inputs) -> Floats:
    """By how much the coin moves when the other does by one, by least squares; 0 when the other stands still."""
    both, _, other = _covariance(i.rate(1), other_rate(i), WEEK)
    return ind.ratio(both, other, 0.0)


def _led(i: Inputs) -> Floats:
    """The coin's return with the other's of the bar before: the other leads."""
    return correlation(i.rate(1), ind.lagged(other_rate(i), 1), WEEK)


def _leads(i: Inputs) -> Floats:
    """The other's return with the coin's of the bar before: the coin leads."""
    return correlation(ind.lagged(i.rate(1), 1), other_rate(i), WEEK)


# series from outside


def _level(i: Inputs, name: str) -> Floats:
    return i.seen(name, i.series(name).value)


def _moved(i: Inputs, name: str) -> Floats:
    """The last change, as a fraction."""
    return i.seen(name, ind.rate(i.series(name).value))


def _stepped(i: Inputs, name: str) -> Floats:
    """The last change, in points."""
    return i.seen(name, ind.change(i.series(name).value))


def _unusual(i: Inputs, name: str, n: int = 20) -> Floats:
    value = i.series(name).value
    return i.seen(name, ind.zscore(value, ind.moments(value, n)))


def _trend(i: Inputs, name: str) -> Floats:
    return i.seen(name, trend(i.series(name).value))


def _yield_trend(i: Inputs) -> Floats:
    """In points, since a yield may be near 0: the mean of 5 values less that of 20."""
    value = i.series("us10y").value
    return i.seen("us10y", ind.rolling_mean(value, TREND[0]) - ind.rolling_mean(value, TREND[1]))


def _extreme(i: Inputs) -> Floats:
    """-1 in extreme fear, 1 in extreme greed, else 0."""
    value = i.series("fear_greed").value
    return i.seen("fear_greed", (value >= GREEDY).astype(np.float64) - (value < FEARFUL))


@shared
def day_change(i: Inputs, name: str) -> Floats:
    """For each day of the coin: by how much what was known of the series at its end differs from a day before. A
    weekend's day counts as a day without change: nothing was known that was new."""
    series = i.vix if name == "vix" else i.series(name)
    limit = i.vix_max_age if name == "vix" else i.outside.age_limit(name)
    index = as_of(series, slow(i, DAY_LONG).closed, limit)
    known = np.append(series.value, np.nan)[np.where(index < 0, len(series), index)]
    return ind.change(known) if name == "us10y" else ind.rate(known)


def _with(i: Inputs, name: str) -> Floats:
    """The coin's daily returns with the series' changes of the same days, over 30 days."""
    return slow(i, DAY_LONG).seen(correlation(slow_rate(i, DAY_LONG), day_change(i, name), MONTH))


def _after(i: Inputs, name: str) -> Floats:
    """The coin's daily returns with the series' changes of the days before: the series leads."""
    before = ind.lagged(day_change(i, name), 1)
    return slow(i, DAY_LONG).seen(correlation(slow_rate(i, DAY_LONG), before, MONTH))


H4, D1 = FOUR_HOURS, DAY_LONG
SLOW: Final = (
    Feature("h4_return_1", "slow", reach(H4, 2), lambda i: slow(i, H4).seen(slow_rate(i, H4))),
    Feature("h4_return_6", "slow", reach(H4, 7), lambda i: slow(i, H4).seen(ind.rate(slow(i, H4).bars.close, 6))),
    Feature("h4_rsi_14", "slow", reach(H4, 15), lambda i: slow(i, H4).seen(gains(slow(i, H4).bars.close, 14))),
    Feature("h4_sma_gap_20", "slow", reach(H4, 20), lambda i: _slow_gap(i, H4)),
    Feature("h4_bollinger_position_20", "slow", reach(H4, 20), lambda i: _slow_band(i, H4)),
    Feature("h4_stochastic_14", "slow", reach(H4, 14), lambda i: _slow_place(i, H4, 14)),
    Feature("h4_range_ratio_14", "slow", reach(H4, 15), lambda i: _slow_range(i, H4)),
    Feature("h4_volume_ratio_20", "slow", reach(H4, 20), lambda i: _slow_volume(i, H4)),
    Feature("h4_rci_9", "slow", reach(H4, 9), lambda i: slow(i, H4).seen(ind.rci(slow(i, H4).bars.close, 9))),
    Feature("day_return_1", "slow", reach(D1, 2), lambda i: slow(i, D1).seen(slow_rate(i, D1))),
    Feature("day_return_7", "slow", reach(D1, 8), lambda i: slow(i, D1).seen(ind.rate(slow(i, D1).bars.close, 7))),
    Feature("day_rsi_14", "slow", reach(D1, 15), lambda i: slow(i, D1).seen(gains(slow(i, D1).bars.close, 14))),
    Feature("day_sma_gap_20", "slow", reach(D1, 20), lambda i: _slow_gap(i, D1)),
    Feature("day_trend", "slow", reach(D1, 20), lambda i: slow(i, D1).seen(trend(slow(i, D1).bars.close))),
    Feature("day_range_position_30", "slow", reach(D1, 30), lambda i: _slow_place(i, D1, 30)),
    Feature("day_range_ratio_14", "slow", reach(D1, 15), lambda i: _slow_range(i, D1)),
    Feature("day_volume_ratio_20", "slow", reach(D1, 20), lambda i: _slow_volume(i, D1)),
    Feature("day_volatility_20", "slow", reach(D1, 21), lambda i: _slow_volatility(i, D1)),
)
OTHER: Final = tuple(
    Feature(name, "market", lookback, function, nullable=True, needs=("market",))
    for name, lookback, function in (
        ("other_spread_1", 2, lambda i: i.rate(1) - other_rate(i)),
        ("other_spread_24", 25, lambda i: i.rate(24) - other_rate(i, 24)),
        ("other_ratio_zscore_168", WEEK, _ratio_zscore),
        ("other_correlation_24", 25, lambda i: _beside(i, 24)),
        ("other_correlation_168", WEEK + 1, lambda i: _beside(i, WEEK)),
        ("other_beta_168", WEEK + 1, _beta),
        ("other_leads_168", WEEK + 2, _led),
        ("other_follows_168", WEEK + 2, _leads),
    )
)
SERIES_OF_THEIR_OWN: Final = tuple(
    Feature(name, series, 1, function, nullable=True, needs=(series,))
    for name, series, function in (
        ("dxy_change", "dxy", lambda i: _moved(i, "dxy")),
        ("dxy_zscore_20", "dxy", lambda i: _unusual(i, "dxy")),
        ("dxy_trend", "dxy", lambda i: _trend(i, "dxy")),
        ("us10y_level", "us10y", lambda i: _level(i, "us10y")),
        ("us10y_change", "us10y", lambda i: _stepped(i, "us10y")),
        ("us10y_zscore_20", "us10y", lambda i: _unusual(i, "us10y")),
        ("us10y_trend", "us10y", _yield_trend),
        ("usdjpy_change", "usdjpy", lambda i: _moved(i, "usdjpy")),
        ("usdjpy_zscore_20", "usdjpy", lambda i: _unusual(i, "usdjpy")),
        ("usdjpy_trend", "usdjpy", lambda i: _trend(i, "usdjpy")),
        ("fear_greed_level", "fear_greed", lambda i: _level(i, "fear_greed")),
        ("fear_greed_change", "fear_greed", lambda i: _stepped(i, "fear_greed")),
        ("fear_greed_extreme", "fear_greed", _extreme),
        ("funding_rate", "funding", lambda i: _level(i, "funding")),
        ("funding_mean_9", "funding", lambda i: i.seen("funding", ind.rolling_mean(i.series("funding").value, FUNDED))),
        ("funding_zscore_30", "funding", lambda i: _unusual(i, "funding", 30)),
    )
)
TOGETHER: Final = (
    Feature("day_with_dxy", "dxy", reach(D1, MONTH + 1), lambda i: _with(i, "dxy"), nullable=True, needs=("dxy",)),
    Feature("day_with_vix", "vix", reach(D1, MONTH + 1), lambda i: _with(i, "vix"), nullable=True, needs=("vix",)),
    Feature(
        "day_with_us10y", "us10y", reach(D1, MONTH + 1), lambda i: _with(i, "us10y"), nullable=True, needs=("us10y",)
    ),
    Feature(
        "day_with_usdjpy", "usdjpy", reach(D1, MONTH + 1), lambda i: _with(i, "usdjpy"), nullable=True,
        needs=("usdjpy",),
    ),
    Feature("day_after_dxy", "dxy", reach(D1, MONTH + 2), lambda i: _after(i, "dxy"), nullable=True, needs=("dxy",)),
    Feature("day_after_vix", "vix", reach(D1, MONTH + 2), lambda i: _after(i, "vix"), nullable=True, needs=("vix",)),
)  # fmt: skip
WIDE: Final = SLOW + OTHER + SERIES_OF_THEIR_OWN + TOGETHER
