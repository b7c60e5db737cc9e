"""Indicators as whole-array arithmetic that does not depend on where in an array a value stands.

A value at t is made by the same IEEE operations in the same order from a fixed number of past values, however long the
array is: a row computed from its lookback alone equals its row in a batch bit for bit, on every machine. Hence no
running sums, no BLAS, no logarithms or powers. Windows are built by recursive doubling (Kogge & Stone 1973, "A parallel
algorithm for the efficient solution of a general class of recurrence equations"): a window of 2m values is the window
of m values at t joined with the one at t - m, so that n values cost about log2(n) additions of whole arrays.

All arrays are float64 of shape (bars,) unless said otherwise; rows without enough past are NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np

from core.domain.bars import Floats

T = TypeVar("T")
TAIL: Final = 1e-11  # the weight at which an exponential average stops remembering


def lagged(x: Floats, n: int) -> Floats:
    """x[t - n]."""
    out = np.empty_like(x)
    out[:n] = np.nan
    out[n:] = x[:-n]
    return out


def change(x: Floats, n: int = 1) -> Floats:
    """x[t] - x[t - n]."""
    out = np.empty_like(x)
    out[:n] = np.nan
    np.subtract(x[n:], x[:-n], out=out[n:])
    return out


def rate(x: Floats, n: int = 1) -> Floats:
    """x[t] / x[t - n] - 1, of positive values: the simple return over n bars (ROC as a fraction)."""
    out = np.empty_like(x)
    out[:n] = np.nan
    np.divide(x[n:], x[:-n], out=out[n:])
    out -= 1.0
    return out


def ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    """part / whole, and `otherwise` where `whole` is zero."""
    zero = whole == 0.0
    if not zero.any():
        return part / whole
    out = part / np.where(zero, 1.0, whole)
    out[zero] = otherwise
    return out


def _padded(tail: Floats, n: int, scale: float = 1.0) -> Floats:
    """scale * `tail` at the end of n rows, NaN before it."""
    out = np.empty(n)
    out[: n - len(tail)] = np.nan
    np.multiply(tail, scale, out=out[n - len(tail) :])
    return out


def _doubled(part: T, n: int, join: Callable[[T, int, T, int], T]) -> T:
    """A window of n values, by doubling along the binary digits of n, from windows of one value.

    `join(recent, n, older, m)` makes the window of n + m values at t from that of n values at t and that of m values
    at t - n. Arrays begin with their first full window, so that `recent` is cut at m and `older` ends n early.
    """
    total, covered, size = part, 0, 1
    while True:
        if n & size:
            total = join(total, covered, part, size) if covered else part
            covered += size
        if covered == n:
            return total
        part = join(part, size, part, size)
        size *= 2


@functools.cache
def _power(r: float, n: int) -> float:
    """r**n by squaring: the same bits whatever the mathematics library."""
    power = 1.0
    while n:
        power, r, n = power * r if n & 1 else power, r * r, n >> 1
    return power


def weighted_sum(x: Floats, n: int, r: float = 1.0, scale: float = 1.0) -> Floats:
    """scale * the sum over j < n of r**j * x[t - j]."""

    def join(recent: Floats, n: int, older: Floats, m: int) -> Floats:
        if r == 1.0:
            return older[:-n] + recent[m:]
        out = older[:-n] * _power(r, n)
        out += recent[m:]
        return out

    return _padded(_doubled(x, n, join), len(x), scale) if len(x) >= n else np.full(len(x), np.nan)


def rolling_mean(x: Floats, n: int) -> Floats:
    return weighted_sum(x, n, scale=1.0 / n)


def _extreme(x: Floats, n: int, pick: Callable[[Floats, Floats], Floats], size: int) -> Floats:
    """Doubling, with overlapping windows at the end: a maximum counts nothing twice."""
    if len(x) < n:
        return np.full(len(x), np.nan)
    part = x[size - 1 :]
    while size < n:
        step = min(size, n - size)
        part, size = pick(part[step:], part[:-step]), size + step
    return _padded(part, len(x))


def rolling_max(x: Floats, n: int, size: int = 1) -> Floats:
    """Of the last n values, where x holds the maxima of `size` values already."""
    return _extreme(x, n, np.maximum, size)


def rolling_min(x: Floats, n: int, size: int = 1) -> Floats:
    """Of the last n values, where x holds the minima of `size` values already."""
    return _extreme(x, n, np.minimum, size)


def _mean(recent: Floats, n: int, older: Floats, m: int) -> Floats:
    """Joins means, not sums: equal values have exactly their own value as mean."""
    if n == m:
        out = older[:-n] + recent[m:]
        out *= 0.5
        return out
    out = older[:-n] - recent[m:]
    out *= m / (n + m)
    out += recent[m:]
    return out


Moments = tuple[Floats, Floats]  # the mean of a window, and its standard deviation
_Squares = tuple[Floats, Floats | None]  # the mean, and the sum of squared deviations from it (None: all are 0)


def _merge(recent: _Squares, n: int, older: _Squares, m: int) -> _Squares:
    squares = older[0][:-n] - recent[0][m:]
    squares *= squares
    squares *= n * m / (n + m)
    for part in (None if older[1] is None else older[1][:-n], None if recent[1] is None else recent[1][m:]):
        if part is not None:
            squares += part
    return _mean(recent[0], n, older[0], m), squares


def moments(x: Floats, n: int) -> Moments:
    """Mean and population standard deviation of the last n values, n at least 2.

    Windows are merged by the formula of Chan, Golub & LeVeque (1979), which loses no digits however large the mean is
    against the deviation, and gives exactly 0 for equal values.
    """
    if len(x) < n:
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    start: _Squares = x, None
    mean, squares = _doubled(start, n, _merge)
    assert squares is not None
    return _padded(mean, len(x)), np.sqrt(_padded(squares, len(x), 1.0 / n))


def zscore(x: Floats, of: Moments) -> Floats:
    """How many standard deviations x lies above the mean of its window; 0 when all values there are equal."""
    mean, deviation = of
    return ratio(x - mean, deviation, 0.0)


@functools.cache
def _terms(r: float) -> int:
    """How many terms until r**n <= TAIL, rounded up to at most three binary digits, which is what joining costs."""
    n, weight = 0, 1.0
    while weight > TAIL:
        n, weight = n + 1, weight * r
    while n.bit_count() > 3:
        n += n & -n
    return n


@functools.cache
def _scale(r: float) -> float:
    """One over the sum of all weights."""
    n = _terms(r)
    return 1.0 / float(weighted_sum(np.ones(n), n, r)[-1])


def _fading(x: Floats, r: float) -> Floats:
    return weighted_sum(x, _terms(r), r, _scale(r))


def ema_terms(period: int) -> int:
    """How many values `ema` looks at."""
    return _terms((period - 1) / (period + 1))


def ema(x: Floats, period: int) -> Floats:
    """Exponential moving average with alpha = 2 / (period + 1) and a finite memory.

    The weights r**j, r = 1 - alpha, end after `ema_terms(period)` values (at most TAIL is left) and sum to one. It
    equals the endless recursion, whatever that was seeded with, to better than 1e-9.
    """
    return _fading(x, (period - 1) / (period + 1))


def wilder_terms(period: int) -> int:
    """How many values `wilder` looks at."""
    return _terms((period - 1) / period)


def wilder(x: Floats, period: int) -> Floats:
    """Wilder's smoothing (New Concepts in Technical Trading Systems, 1978): alpha = 1 / period, finite as in `ema`."""
    return _fading(x, (period - 1) / period)


def rsi(x: Floats, period: int) -> Floats:
    """Relative strength index, 0..100 (Wilder 1978); 50 when nothing moved."""
    step = change(x)
    gain, loss = wilder(np.maximum(step, 0.0), period), wilder(np.minimum(step, 0.0), period)
    return ratio(gain, gain - loss, 0.5) * 100.0


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """The day's range, extended to the previous close (Wilder 1978), in quote currency."""
    before = lagged(close, 1)
    return np.maximum(high, before) - np.minimum(low, before)


def directional(high: Floats, low: Floats, period: int, atr: Floats) -> tuple[Floats, Floats]:
    """+DI and -DI, 0..100 (Wilder 1978); 0 when the average true range is 0."""
    up, down = change(high), -change(low)
    plus = np.maximum(up, 0.0) * (up > down)  # a product, not a choice: NaN stays NaN
    minus = np.maximum(down, 0.0) * (down > up)
    percent = atr * 0.01
    return ratio(wilder(plus, period), percent, 0.0), ratio(wilder(minus, period), percent, 0.0)


def adx(plus: Floats, minus: Floats, period: int) -> Floats:
    """Average directional index, 0..100, of +DI and -DI (Wilder 1978); a bar with both at 0 counts as 0."""
    return wilder(ratio(np.abs(plus - minus), plus + minus, 0.0), period) * 100.0


def macd(fast: Floats, slow: Floats, signal: int) -> tuple[Floats, Floats, Floats]:
    """Line, signal line and histogram, in quote currency, of a fast and a slow EMA (Appel 1979)."""
    line = fast - slow
    smooth = ema(line, signal)
    return line, smooth, line - smooth


def stochastic(close: Floats, top: Floats, bottom: Floats) -> Floats:
    """Lane's fast %K, 0..100: where the close stands between the highest high and the lowest low of n bars; 50 when
    they are equal. Williams' %R is %K - 100."""
    return ratio(close - bottom, top - bottom, 0.5) * 100.0


def cci(typical: Floats, n: int) -> Floats:
    """Commodity channel index (Lambert 1980): distance from the mean over 0.015 mean absolute deviations; 0 when all
    of the n typical prices are equal."""
    if len(typical) < n:
        return np.full(len(typical), np.nan)
    mean = _doubled(typical, n, _mean)
    spread, step = np.zeros_like(mean), np.empty_like(mean)
    for j in range(n):
        np.subtract(typical[j : j + len(mean)], mean, out=step)
        np.abs(step, out=step)
        spread += step
    spread *= 0.015 / n
    return _padded(ratio(typical[n - 1 :] - mean, spread, 0.0), len(typical))


def mfi(typical: Floats, volume: Floats, n: int) -> Floats:
    """Money flow index, 0..100 (Quong & Soudack 1989): the share of rising bars in typical price x volume; 50 when
    no money flowed on a bar that moved. A typical price is a rounded mean, so 1e-13 of it is no move."""
    step, noise = change(typical), typical * 1e-13
    flow = typical * volume
    rising, falling = flow * (step > noise), flow * (step < -noise)
    rising[:1] = falling[:1] = np.nan
    up, down = weighted_sum(rising, n), weighted_sum(falling, n)
    return ratio(up, up + down, 0.5) * 100.0


def obv_change(close: Floats, volume: Floats, n: int) -> Floats:
    """Change of Granville's on-balance volume (1963) over n bars as a share of their volume, -1..1; 0 without any."""
    return ratio(weighted_sum(np.sign(change(close)) * volume, n), weighted_sum(volume, n), 0.0)


def rci(x: Floats, n: int) -> Floats:
    """Rank correlation index, -1..1: Spearman's rank correlation of the last n values with time; n at most 58.

    Equal values share the mean of their ranks. With average ranks, the covariance of ranks is half the sum over pairs
    of (i - j) * sign(x[i] - x[j]), so no sorting is needed: for each age of the later value of a pair, the lags that
    fit into the window are summed up, in exact integers. The divisor is the one without ties, as in Spearman's
    1 - 6 * sum(d**2) / (n * (n**2 - 1)).
    """
    size = len(x)
    out = np.full(size, np.nan)
    if size < n:
        return out
    by_lag = np.zeros(size, np.int16)
    total = np.zeros(size - n + 1, np.int16)
    for lag in range(1, n):
        now, before = x[lag:], x[:-lag]
        sign = (now > before).view(np.int8) - (now < before).view(np.int8)
        sign *= np.int8(lag)
        by_lag[lag:] += sign
        total += by_lag[lag : lag + len(total)]
    np.multiply(total, 6.0 / (n * (n * n - 1)), out=out[n - 1 :])
    return out
