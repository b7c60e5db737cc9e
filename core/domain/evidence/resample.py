"""The stationary bootstrap (Politis & Romano, JASA 89, 1994): blocks of geometric length, wrapped around the end.

Sums over a block are differences of running sums, so a resample costs its number of blocks, not its bars; only what
depends on the path (drawdown) is laid out bar by bar, one resample at a time.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats

Rows = NDArray[np.int64]
LEVEL: Final = 0.95
FEWEST: Final = 20  # returns below which nothing is resampled


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Of the resamples: the middle, and what `level` of them lie between, as much above as below."""

    low: float
    middle: float
    high: float
    level: float = LEVEL


class Blocks(NamedTuple):
    """One resample: where each block starts, and how long it is; the lengths add up to the series'."""

    start: Rows
    length: Rows


def block_length(values: Floats) -> float:
    """The mean block for the stationary bootstrap of a mean, after Politis & White (Econometric Reviews 23, 2004) with
    Patton's correction (28, 2009). Between 1 and min(3 √n, n / 3), their cap."""
    size = len(values)
    longest = max(1.0, min(3.0 * math.sqrt(size), size / 3.0))
    if size < FEWEST or not np.ptp(values) > 0.0:
        return 1.0
    near = max(5, math.ceil(math.sqrt(math.log10(size))))
    most = min(math.ceil(math.sqrt(size)) + near, size - 1)
    cover = _autocovariance(values, most)
    if cover[0] <= 0.0:
        return 1.0
    reach = min(2 * max(_last_that_counts(cover[1:] / cover[0], near, size), 1), most)
    lag = np.arange(1, reach + 1)
    weight = np.clip(2.0 * (1.0 - lag / reach), 0.0, 1.0)  # flat, then falling: Politis & Romano's window
    slope = 2.0 * float(weight * lag @ cover[1 : reach + 1])
    level = float(cover[0]) + 2.0 * float(weight @ cover[1 : reach + 1])
    if level <= 0.0:
        return 1.0
    best = math.exp((2.0 * math.log(max(abs(slope), 1e-300) / level) + math.log(size)) / 3.0)
    return min(max(best, 1.0), longest)


def _autocovariance(values: Floats, most: int) -> Floats:
    away = values - values.mean()
    power = np.fft.rfft(away, 2 * len(away))
    cover: Floats = np.fft.irfft(power * power.conj())[: most + 1] / len(away)
    return cover


def _last_that_counts(correlation: Floats, near: int, size: int) -> int:
    """The lag after which `near` autocorrelations in a row are within what chance gives."""
    large = np.abs(correlation) > 2.0 * math.sqrt(math.log10(size) / size)
    quiet = 0
    for lag, counts in enumerate(large.tolist(), 1):
        quiet = 0 if counts else quiet + 1
        if quiet == near:
            return lag - near
    return int(np.flatnonzero(large)[-1]) + 1 if large.any() else 0


def draw(rng: np.random.Generator, size: int, length: float) -> Blocks:
    """One resample of a series of `size` with blocks of this mean length."""
    if length >= size:
        return Blocks(rng.integers(size, size=1), np.array([size], np.int64))
    chance = 1.0 / max(length, 1.0)
    count = int(size * chance + 4.0 * math.sqrt(size * chance) + 8.0)
    lengths = rng.geometric(chance, count)
    while lengths.sum() < size:
        lengths = np.concatenate([lengths, rng.geometric(chance, count)])
    ends = np.cumsum(lengths)
    used = int(np.searchsorted(ends, size)) + 1
    lengths = np.minimum(lengths[:used], size)
    lengths[-1] = size - (int(ends[used - 2]) if used > 1 else 0)
    return Blocks(rng.integers(size, size=used), lengths.astype(np.int64))


def rows(blocks: Blocks, size: int) -> Rows:
    """(size,): which row of the series stands where in the resample."""
    begin = np.concatenate([[0], np.cumsum(blocks.length)[:-1]])
    laid: Rows = (np.repeat(blocks.start - begin, blocks.length) + np.arange(size)) % size
    return laid


def running(columns: Floats) -> Floats:
    """Running sums of (n, k) columns, twice around, for `sums`."""
    return np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(np.concatenate([columns, columns]), axis=0)])


def sums(total: Floats, blocks: Blocks) -> Floats:
    """(k,): the sums over a resample of the columns whose `running` sums these are."""
    begin = blocks.start.astype(np.int64)
    summed: Floats = (total[begin + blocks.length] - total[begin]).sum(axis=0)
    return summed


def interval(drawn: Floats, level: float = LEVEL) -> Interval | None:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None
    low, middle, high = np.quantile(drawn, [(1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0]).tolist()
    return Interval(low=low, middle=middle, high=high, level=level)


class Resampled(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of the stationary bootstrap; `mean_excess` and `alpha` are a year's, as fractions of the equity: the
    mean return over cash, and what of it the mean exposure to the market does not explain (regression on the price's
    returns). None where too little is there to say."""

    block_bars: float
    resamples: int
    sharpe_ratio: Interval | None = None
    annual_return: Interval | None = None
    max_drawdown: Interval | None = None
    mean_excess: Interval | None = None
    alpha: Interval | None = None


def drawdown(returns: Floats) -> float:
    """The largest fall from a high, as a fraction of the high; the start counts as one."""
    if not len(returns):
        return 0.0
    level = np.cumprod(1.0 + returns)
    return float(np.max(1.0 - level / np.maximum(np.maximum.accumulate(level), 1.0)))


def bootstrap(
    returns: Floats,
    market: Floats,
    cash: float,
    bars_per_year: float,
    rng: np.random.Generator,
    resamples: int = 1000,
    least_block: float = 1.0,
) -> Resampled:
    """`returns`, `market`: of each bar, (n,); `cash`: what it earns in a bar. The blocks are as long as `block_length`
    says for the returns or for their squares (clusters of volatility), or `least_block` (the mean holding time), which
    is longest, up to the cap."""
    size = len(returns)
    length = max(block_length(returns), block_length(returns**2), least_block)
    length = min(length, max(1.0, min(3.0 * math.sqrt(size), size / 3.0)))
    if size < FEWEST or not np.ptp(returns) > 0.0 or resamples < 1:
        return Resampled(block_bars=length, resamples=0)
    excess, moved = returns - cash, market - market.mean()
    middle = float(excess.mean())
    away = excess - middle
    grown = np.log1p(np.maximum(returns, -1.0 + 1e-12))
    total = running(np.stack([away, away**2, moved, moved**2, away * moved, grown], axis=1))
    drawn, falls = np.empty((resamples, 6)), np.empty(resamples)
    for i in range(resamples):
        blocks = draw(rng, size, length)
        drawn[i] = sums(total, blocks) / size
        falls[i] = drawdown(returns[rows(blocks, size)])
    return _resampled(drawn, falls, (middle, float(market.mean())), length, bars_per_year)


def _resampled(drawn: Floats, falls: Floats, means: tuple[float, float], length: float, per_year: float) -> Resampled:
    """`drawn`: means over each resample of what was summed; returns and market are without `means`, their own."""
    middle, drift = means
    y, yy, x, xx, xy, grown = drawn.T
    variance, spread = yy - y * y, xx - x * x
    beta = np.where(spread > 0.0, (xy - x * y) / np.where(spread > 0.0, spread, 1.0), 0.0)
    varies = variance > 1e-24
    sharpe = np.where(varies, (y + middle) / np.sqrt(np.where(varies, variance, 1.0)), np.nan)
    return Resampled(
        block_bars=length,
        resamples=len(drawn),
        sharpe_ratio=interval(sharpe * math.sqrt(per_year)),
        annual_return=interval(np.expm1(np.clip(grown * per_year, -700.0, 700.0))),
        max_drawdown=interval(falls),
        mean_excess=interval((y + middle) * per_year),
        alpha=interval((y + middle - beta * (x + drift)) * per_year),
    )
