"""What others would have made of the same bars at the same costs: buy and hold, and entries at random.

Random entries hold what the run held (the same positions over equity, holding times, number of trades, long and short,
and so the same costs), at other times: the stretches with a position and the gaps between them are each put in a random
order, and all is turned around the end by a random number of bars. What they earn is the position times the price's
move, less the costs of the run's own trading. Aronson, *Evidence-Based Technical Analysis* (2006), chapter 5, calls it
Monte Carlo permutation of the positions.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.domain.bars import YEAR, Floats
from core.domain.evidence.figures import Charges, annual, ratios, traded
from core.domain.evidence.resample import Interval, drawdown, interval
from core.domain.evidence.sharpe import lags_for
from core.domain.evidence.track import Track


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Bought on the first bar, held to the last: `share` of the capital, below 0 for a short position."""

    share: float
    total_return: float
    annual_return: float | None
    sharpe_ratio: float | None
    max_drawdown: float


class RandomEntries(msgspec.Struct, frozen=True, kw_only=True):
    """`p_value`: the share of runs at least as good, the run itself counted as one of them; `mean_return`: what they
    made in a year on the mean, without compounding; `own_return`: what the run made, counted likewise."""

    runs: int
    p_value: float
    own_return: float
    mean_return: float
    between: Interval | None


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """Regression of the returns over cash on the price's: `alpha` a year's; `t_alpha` with the errors of Newey and West
    (1987). None where nothing varies."""

    alpha: float | None
    beta: float | None
    t_alpha: float | None
    correlation: float | None


def hold(track: Track, share: float, charges: Charges, cash: float = 0.0) -> Holder:
    """With the costs of a side at both ends, and interest for what is short or beyond the capital."""
    market = track.market
    level = np.concatenate([[1.0], np.cumprod(1.0 + market)])
    lent = (max(share - 1.0, 0.0) + max(-share, 0.0)) * charges.interest * YEAR / 86400.0 / track.bars_per_year
    value = 1.0 + share * (level - 1.0) - abs(share) * charges.side - lent * np.arange(len(level))
    value[-1] -= abs(share) * charges.side * level[-1]
    if len(value) > 1:
        value[0] = 1.0
    alive = np.minimum.accumulate(value) > 0.0
    value = np.where(alive, value, 0.0)
    before = np.where(value[:-1] > 0.0, value[:-1], 1.0)
    made = np.where(value[:-1] > 0.0, value[1:] / before - 1.0, 0.0)
    total = float(value[-1]) - 1.0
    return Holder(
        share=share,
        total_return=total if len(made) else 0.0,
        annual_return=annual(total, len(made) / track.bars_per_year),
        sharpe_ratio=ratios(made, cash, track.bars_per_year)[0],
        max_drawdown=drawdown(made),
    )


def segments(exposure: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(start, length, held) of the stretches of one side, or of none, in order."""
    side = np.sign(exposure)
    start = np.flatnonzero(np.concatenate([[True], side[1:] != side[:-1]])).astype(np.int64)
    length = np.diff(np.concatenate([start, [len(side)]])).astype(np.int64)
    return start, length, side[start] != 0.0


def shuffled(exposure: Floats, rng: np.random.Generator) -> Floats:
    """The same stretches and gaps in another order, turned around the end."""
    start, length, held = segments(exposure)
    order = np.arange(len(start))
    order[held] = rng.permutation(order[held])
    order[~held] = rng.permutation(order[~held])
    begin = np.concatenate([[0], np.cumsum(length[order])[:-1]])
    index = np.repeat(start[order] - begin, length[order]) + np.arange(len(exposure))
    return np.roll(exposure[index], int(rng.integers(len(exposure))))


def charged(track: Track, charges: Charges) -> float:
    """What trading as the run did costs at these charges: the sum over all bars, as fractions of the equity."""
    day = 86400.0 * track.bars_per_year / YEAR
    held = track.exposure
    lent = np.abs(held).sum() * charges.interest / day if day else 0.0
    return float(traded(track).sum() * charges.side + lent)


def random_entries(track: Track, charges: Charges, rng: np.random.Generator, runs: int = 200) -> RandomEntries | None:
    """None when there is nothing to shuffle: no position, or the same one throughout."""
    held, market, own = track.exposure, track.market, track.returns
    if runs < 1 or not len(held) or not np.ptp(held) > 0.0:
        return None
    cost = charged(track, charges)
    scale = track.bars_per_year / len(held)
    made = np.array([float(shuffled(held, rng) @ market) for _ in range(runs)])
    drawn = (made - cost) * scale
    mine = float(own.sum()) * scale
    return RandomEntries(
        runs=runs,
        p_value=(1.0 + float((drawn >= mine).sum())) / (runs + 1.0),
        own_return=mine,
        mean_return=float(drawn.mean()),
        between=interval(drawn),
    )


def regression(returns: Floats, market: Floats, per_year: float) -> Market:
    """`returns`: over cash."""
    if len(returns) < 3 or not np.ptp(market) > 0.0 or not np.ptp(returns) > 0.0:
        return Market(alpha=None, beta=None, t_alpha=None, correlation=None)
    moved, away = market - market.mean(), returns - returns.mean()
    spread = float(moved @ moved)
    beta = float(moved @ away) / spread
    alpha = float(returns.mean() - beta * market.mean())
    rest = away - beta * moved
    weight = 1.0 / len(returns) - market.mean() * moved / spread  # of each return in alpha
    error = math.sqrt(max(_long_run(weight * rest), 0.0))
    return Market(
        alpha=alpha * per_year,
        beta=beta,
        t_alpha=alpha / error if error > 0.0 else None,
        correlation=float(moved @ away) / math.sqrt(spread * float(away @ away)),
    )


def _long_run(values: Floats) -> float:
    """The variance of their sum, with Bartlett's weights."""
    lags = min(lags_for(len(values)), len(values) - 1)
    later = [(1.0 - lag / (lags + 1.0)) * float(values[lag:] @ values[:-lag]) for lag in range(1, lags + 1)]
    return float(values @ values) + 2.0 * math.fsum(later)
