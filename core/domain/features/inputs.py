"""Inputs: what the features of one window are computed from, each shared part once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from core.domain import indicators as ind
from core.domain import value_at_risk as var
from core.domain.bars import Bars, Floats, seconds
from core.domain.daily import DAY, Daily, as_of, none
from core.domain.outside import NOTHING, Outside

P = ParamSpec("P")
T = TypeVar("T")
MAX_AGE: Final = 4 * DAY
WITHIN: Final = {28: 14, 168: 28}  # windows whose extremes are made from those of a smaller one
VIX_WINDOW: Final = 20  # published values
WINDOW: Final = 30  # published values of any other series
FEAR: Final = (15.0, 20.0, 25.0, 35.0)  # the VIX from which fear is mild, raised, high, panic
SPIKE: Final = 0.2  # a rise of the VIX by this fraction within one value
REGIME: Final = 0.05  # how far the mean of 5 values stands off the mean of 20 before it is a trend
OVERSOLD: Final = -0.5  # RCI from which a turn upwards counts; mirrored for a turn downwards


def shared(method: Callable[Concatenate[Inputs, P], T]) -> Callable[Concatenate[Inputs, P], T]:
    """Computed once per Inputs and arguments, however many features ask."""

    def once(self: Inputs, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (method, *args)
        if key not in self._known:
            self._known[key] = method(self, *args, **kwargs)
        return cast(T, self._known[key])

    return once


def _recent(series: Daily, bars: Bars, max_age: int, window: int = VIX_WINDOW) -> Daily:
    """Those that a feature of any of `bars` can look at."""
    if not len(bars):
        return series
    first = int(np.searchsorted(series.published, bars.time[0] - max_age)) - window
    return Daily(series.published[max(first, 0) :], series.value[max(first, 0) :])


class Inputs:
    """What features are computed from: the bars, what was known outside at each bar's close, and what several share.

    All arrays have shape (bars,); none may be changed by who receives it.
    """

    def __init__(
        self, bars: Bars, timeframe: str, vix: Daily, vix_max_age: int = MAX_AGE, outside: Outside = NOTHING
    ) -> None:
        self.bars, self.timeframe, self.vix_max_age, self.outside = bars, timeframe, vix_max_age, outside
        self.vix = _recent(vix, bars, vix_max_age)
        self._known: dict[tuple[object, ...], object] = {}

    @shared
    def rate(self, n: int) -> Floats:
        return ind.rate(self.bars.close, n)

    @shared
    def ema(self, period: int) -> Floats:
        return ind.ema(self.bars.close, period)

    def ema_gap(self, period: int) -> Floats:
        return self.bars.close / self.ema(period) - 1.0

    @shared
    def rsi(self) -> Floats:
        return ind.rsi(self.bars.close, 14)

    @shared
    def macd(self) -> tuple[Floats, Floats, Floats]:
        return ind.macd(self.ema(12), self.ema(26), 9)

    @shared
    def true_range(self) -> Floats:
        return ind.true_range(self.bars.high, self.bars.low, self.bars.close)

    @shared
    def atr(self) -> Floats:
        return ind.wilder(self.true_range(), 14)

    @shared
    def directional(self) -> tuple[Floats, Floats]:
        return ind.directional(self.bars.high, self.bars.low, 14, self.atr())

    @shared
    def extremes(self, n: int) -> tuple[Floats, Floats]:
        """Highest high and lowest low of n bars."""
        within = WITHIN.get(n, 1)
        top, bottom = self.extremes(within) if within > 1 else (self.bars.high, self.bars.low)
        return ind.rolling_max(top, n, within), ind.rolling_min(bottom, n, within)

    @shared
    def stochastic(self, n: int) -> Floats:
        return ind.stochastic(self.bars.close, *self.extremes(n))

    @shared
    def rci(self, n: int) -> Floats:
        return ind.rci(self.bars.close, n)

    @shared
    def moments(self) -> ind.Moments:
        """Bollinger's (2001) middle and standard deviation of 20 closes."""
        return ind.moments(self.bars.close, 20)

    @shared
    def volume_moments(self) -> ind.Moments:
        return ind.moments(self.bars.volume, 20)

    def bollinger_position(self) -> Floats:
        """0 on the lower band (two deviations), 1 on the upper; 0.5 when the bands coincide."""
        return ind.zscore(self.bars.close, self.moments()) * 0.25 + 0.5

    @shared
    def volatility(self, n: int) -> Floats:
        """Realised volatility of n bars, per bar: the root of the mean squared return (no mean taken off)."""
        return np.sqrt(ind.rolling_mean(self.rate(1) * self.rate(1), n))

    def zscore(self) -> Floats:
        """The last return in units of the realised volatility of 20 bars; 0 when there was none. Of the return, since
        that of the price is the Bollinger position over again."""
        return ind.ratio(self.rate(1), self.volatility(20), 0.0)

    @shared
    def typical(self) -> Floats:
        return (self.bars.high + self.bars.low + self.bars.close) / 3.0

    @shared
    def span(self) -> Floats:
        return self.bars.high - self.bars.low

    def candle(self, part: Floats) -> Floats:
        """A part of the bar as a share of its range; 0 when it has none."""
        return ind.ratio(part, self.span(), 0.0)

    def mochipoyo(self) -> Floats:
        """+1: EMA 20 above EMA 50, the MACD histogram higher than a bar ago, and RCI 9 higher than a bar ago, when it
        was below -0.5. -1: all of it mirrored. Else 0."""
        trend, turn = self.ema(20) - self.ema(50), ind.change(self.macd()[2])
        rank, swing = ind.lagged(self.rci(9), 1), ind.change(self.rci(9))
        up = (trend > 0) & (turn > 0) & (swing > 0) & (rank < OVERSOLD)
        down = (trend < 0) & (turn < 0) & (swing < 0) & (rank > -OVERSOLD)
        known = (trend + turn + swing) * 0.0  # NaN until all three are there
        return known + up - down

    @shared
    def _day(self) -> Floats:
        day: Floats = np.floor(self.bars.time / DAY)  # in floats: numpy divides integers slowly
        return day

    @shared
    def ewma_volatility(self) -> Floats:
        """Of one bar, as RiskMetrics (1996) takes it: what the value at risk is a multiple of."""
        return np.sqrt(ind.weighted_sum(self.rate(1) * self.rate(1), var.MEMORY, var.DECAY, var.SCALE))

    @shared
    def historical(self) -> var.Tail:
        return var.historical(self.rate(1), self.ewma_volatility())

    def hour(self) -> Floats:
        """Of the bar's opening, UTC: 0..23."""
        hour: Floats = np.floor((self.bars.time - self._day() * DAY) / 3600.0)
        return hour

    def weekday(self) -> Floats:
        day = self._day() + 3.0  # the epoch began on a Thursday; 0 is Monday
        return day - np.floor(day / 7.0) * 7.0

    @shared
    def _vix_index(self) -> NDArray[np.intp]:
        index = as_of(self.vix, self.bars.time + seconds(self.timeframe), self.vix_max_age)
        return np.where(index < 0, len(self.vix), index)

    def known(self, daily: Floats) -> Floats:
        """A value per published VIX → the one known when each bar closed; NaN while unknown."""
        padded: Floats = np.append(daily, np.nan)
        return padded.take(self._vix_index(), mode="clip")

    @shared
    def series(self, name: str) -> Daily:
        """An outside series (core.domain.outside.SERIES), as far as it can matter; empty when there is none."""
        return _recent(self.outside.daily.get(name, none()), self.bars, self.outside.age_limit(name), WINDOW)

    @shared
    def _series_index(self, name: str) -> NDArray[np.intp]:
        series = self.series(name)
        index = as_of(series, self.bars.time + seconds(self.timeframe), self.outside.age_limit(name))
        return np.where(index < 0, len(series), index)

    def seen(self, name: str, values: Floats) -> Floats:
        """A value per published one of a series → the one known when each bar closed; NaN while unknown."""
        padded: Floats = np.append(values, np.nan)
        return padded.take(self._series_index(name), mode="clip")

    def vix_zscore(self) -> Floats:
        return self.known(ind.zscore(self.vix.value, ind.moments(self.vix.value, VIX_WINDOW)))

    def vix_fear(self) -> Floats:
        """0 calm (below 15), 1 mild, 2 raised (from 20), 3 high (from 25), 4 panic (from 35)."""
        return self.known(np.searchsorted(FEAR, self.vix.value, side="right").astype(np.float64))

    def vix_spike(self) -> Floats:
        """1 when the VIX rose by a fifth or more within one value, else 0."""
        change = ind.rate(self.vix.value)
        return self.known(change * 0.0 + (change >= SPIKE))

    def vix_regime(self) -> Floats:
        """1 while fear grows (the mean of 5 values 5 % above the mean of 20), -1 while it fades, else 0."""
        gap = ind.rolling_mean(self.vix.value, 5) / ind.rolling_mean(self.vix.value, VIX_WINDOW) - 1.0
        return self.known(gap * 0.0 + (gap > REGIME) - (gap < -REGIME))
