"""How sure a Sharpe ratio is: probabilistic and deflated Sharpe ratio, minimum track record length.

Bailey & López de Prado, "The Sharpe ratio efficient frontier", Journal of Risk 15 (2012), and "The deflated Sharpe
ratio", Journal of Portfolio Management 40 (2014). Every Sharpe ratio here is that of one bar, not of a year; kurtosis
is 3 for the normal distribution.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from core.domain.bars import Floats

EULER: Final = 0.5772156649015329
NORMAL: Final = NormalDist()


class Moments(NamedTuple):
    mean: float
    deviation: float  # with n - 1, as empyrical's
    skew: float
    kurtosis: float

    @property
    def sharpe(self) -> float | None:
        """None when nothing varies."""
        return self.mean / self.deviation if self.deviation > 0.0 else None


def moments(returns: Floats) -> Moments:
    """Of at least two finite values; a deviation within rounding of 0 is 0."""
    if len(returns) < 2:
        return Moments(float(returns.sum()), 0.0, 0.0, 3.0)
    mean = float(returns.mean())
    away = returns - mean
    deviation = math.sqrt(float(away @ away) / (len(returns) - 1))
    if deviation <= 1e-12 * max(abs(mean), 1e-6):
        return Moments(mean, 0.0, 0.0, 3.0)
    unit = away / math.sqrt(float(away @ away) / len(returns))
    return Moments(mean, deviation, float((unit**3).mean()), float((unit**4).mean()))


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    """Variance of an estimated Sharpe ratio times (bars - 1) (Mertens 2002)."""
    return max(1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe, 1e-12)


def probabilistic(sharpe: float, benchmark: float, bars: float, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """The probability that the true Sharpe ratio is above `benchmark`."""
    if bars <= 1.0:
        return 0.5
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(bars - 1.0) / math.sqrt(_spread(sharpe, skew, kurtosis)))


def best_of(trials: float, variance: float) -> float:
    """The Sharpe ratio that the best of so many trials without any skill is expected to show."""
    if trials <= 1.0:
        return 0.0
    usual = NORMAL.inv_cdf(1.0 - 1.0 / trials)
    rare = NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(max(variance, 0.0)) * max((1.0 - EULER) * usual + EULER * rare, 0.0)


def deflated(
    sharpe: float, trials: float, variance: float | None, bars: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """The probability that the true Sharpe ratio is above what the best of `trials` makes by luck.

    `variance`: of the trials' Sharpe ratios; None when unknown: 1 / (bars - 1), what chance alone gives independent
    trials without skill.
    """
    spread = variance if variance is not None else 1.0 / max(bars - 1.0, 1.0)
    return probabilistic(sharpe, best_of(trials, spread), bars, skew, kurtosis)


def least_length(
    sharpe: float, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, level: float = 0.95
) -> float | None:
    """Bars that a track must have for `probabilistic` to reach `level`; None when no length is enough."""
    if sharpe <= benchmark:
        return None
    return 1.0 + _spread(sharpe, skew, kurtosis) * (NORMAL.inv_cdf(level) / (sharpe - benchmark)) ** 2


def inflation(returns: Floats, lags: int) -> float:
    """By how much autocorrelation widens the variance of the mean, at least 1 (Newey & West 1987, Bartlett weights)."""
    away = returns - returns.mean()
    own = float(away @ away)
    if own <= 0.0:
        return 1.0
    sums = [
        (1.0 - lag / (lags + 1.0)) * float(away[lag:] @ away[:-lag]) for lag in range(1, min(lags, len(away) - 1) + 1)
    ]
    return max(1.0, 1.0 + 2.0 * float(np.sum(sums)) / own)


def lags_for(count: int) -> int:
    """Newey and West's (1994) rule of thumb for how many lags are looked at."""
    return int(4.0 * (count / 100.0) ** (2.0 / 9.0))
