"""Value at risk: the loss over the next 24 bars that a position exceeds in one of a hundred such windows, three ways.

A loss is a fraction of the position's notional. A position may be long or short, so the value at risk is the larger of
the long side's and the short side's, each at `LEVEL`; the expected shortfall (Acerbi & Tasche, "On the coherence of
expected shortfall", 2002; Basel Committee, d352, 2016) is the mean loss in those worst windows.

All arrays are float64 of shape (bars,): `returns` are simple, of one bar, NaN in the first row only; `volatility` is
RiskMetrics' (J.P. Morgan, Technical Document, 1996): the root of the mean of `MEMORY` squared returns with weights
DECAY**j; rows without enough past are NaN. All methods are multiples of volatility * sqrt(HORIZON).
What was chosen on which data, and how often losses were larger: docs/value_at_risk.md.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from core.domain.bars import Floats

HORIZON: Final = 24  # bars
LEVEL: Final = 0.99
DECAY: Final = 0.99  # of the volatility, per bar
MEMORY: Final = 400  # returns; what is older has 2 % of the weight, and gets none
WINDOW: Final = 299  # filtered returns: the third worst is exceeded in 3 of 300
LOOKBACK: Final = MEMORY + 1  # bars that parametric and Monte Carlo look at
LOOKBACK_HISTORICAL: Final = MEMORY + WINDOW + 1
ROWS: Final = 64 * WINDOW  # windows at a time, to save memory

STUDENT: Final = 0.69  # the scale of Student's t (3 degrees of freedom) against volatility * sqrt(HORIZON)
CLUSTER: Final = 0.91  # the decay of the variance within simulated paths
FREEDOM: Final = 3.5  # degrees of freedom of their innovations
SEED: Final = 20_260_101
PATHS: Final = 20_000


class Tail(NamedTuple):
    """`loss`: the value at risk; `shortfall`: the mean loss beyond it. Fractions of the notional, never below 0."""

    loss: Floats
    shortfall: Floats


class Multiple(NamedTuple):
    """As `Tail`, in units of volatility * sqrt(HORIZON)."""

    loss: float
    shortfall: float

    def of(self, volatility: Floats) -> Tail:
        root = math.sqrt(HORIZON)
        return Tail(volatility * (self.loss * root), volatility * (self.shortfall * root))


MONTE_CARLO: Final = Multiple(3.06, 4.51)  # multiple(simulate(), LEVEL), rounded; the tests derive it again


def _scale() -> float:
    """One over the sum of all weights, without a power: the same bits on every machine."""
    total, weight = 0.0, 1.0
    for _ in range(MEMORY):
        total, weight = total + weight, weight * DECAY
    return 1.0 / total


SCALE: Final = _scale()


def filtered(returns: Floats, volatility: Floats) -> Floats:
    """Each return over the volatility known before it, from row MEMORY + 1 on; 0 where that was 0."""
    before = volatility[MEMORY:-1]
    dead = before == 0.0
    return np.where(dead, 0.0, returns[MEMORY + 1 :] / np.where(dead, 1.0, before))


def historical(returns: Floats, volatility: Floats, level: float = LEVEL) -> Tail:
    """Filtered historical simulation: the worst of the last WINDOW returns, each scaled by the volatility of now over
    the one of then (Hull & White 1998; Barone-Adesi, Giannopoulos & Vosper 1999), and by the root of time.

    With k = (WINDOW + 1) * (1 - level), at least 1, the loss is the k-th worst of a side (a next return of the same
    distribution exceeds it with chance k / (WINDOW + 1)), the shortfall the mean of the k worst.
    """
    worst = max(1, math.floor((WINDOW + 1) * (1.0 - level) + 1e-9))
    loss, shortfall = np.full(len(returns), np.nan), np.full(len(returns), np.nan)
    if len(returns) >= LOOKBACK_HISTORICAL:
        values = filtered(returns, volatility)
        for first in range(0, len(values) - WINDOW + 1, ROWS):
            rows = slice(first + LOOKBACK_HISTORICAL - 1, first + LOOKBACK_HISTORICAL - 1 + ROWS)
            loss[rows], shortfall[rows] = _worst(values[first : first + ROWS + WINDOW - 1], worst)
    now = volatility * math.sqrt(HORIZON)
    return Tail(loss * now, shortfall * now)


def _worst(values: Floats, k: int) -> Tail:
    """Of each window, and of its larger side: the k-th worst, and the mean of the k worst."""
    few = len(values) < 2 * WINDOW or bool(np.isnan(values).any())
    ends = _sorted(values, k) if few else [-_scanned(values, k)[::-1], -_scanned(-values, k)[::-1]]
    means = [functools.reduce(np.add, end) / k for end in ends]  # in one order, as numpy's own sums need not be
    return Tail(np.maximum(ends[0][0], ends[1][0]), np.maximum(*means))


def _sorted(values: Floats, k: int) -> list[Floats]:
    """Of each window the k smallest, with the sign changed, and the k largest, both ascending; shape (k, windows)."""
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
    parted = np.partition(windows, (k - 1, WINDOW - k), axis=1)
    return [np.sort(-parted[:, :k], axis=1).T, np.sort(parted[:, WINDOW - k :], axis=1).T]


def _scanned(values: Floats, k: int) -> Floats:
    """The k smallest of each window, ascending; shape (k, windows). Quick over many windows: each is the end of one
    block of WINDOW values and the beginning of the next (van Herk, "A fast algorithm for local minimum and maximum
    filters", 1992). None of the values is NaN."""
    count = len(values) - WINDOW + 1
    blocks = np.full((-(-len(values) // WINDOW) + 1) * WINDOW, np.inf)
    blocks[: len(values)] = values
    table = np.ascontiguousarray(blocks.reshape(-1, WINDOW).T)
    ends, begins = _running(table[::-1], k)[::-1], _running(table, k)
    found = np.empty((WINDOW, k, table.shape[1] - 1))
    found[0] = ends[0, :, :-1]
    one, other = ends[1:, :, :-1], begins[:-1, :, 1:]
    for rank in range(k):  # the least that so many of both sides, taken from each as it comes, stay below
        mixed = [np.maximum(one[:, i], other[:, rank - 1 - i]) for i in range(rank)]
        found[1:, rank] = functools.reduce(np.minimum, mixed, np.minimum(one[:, rank], other[:, rank]))
    return found.transpose(1, 2, 0).reshape(k, -1)[:, :count]


def _running(table: Floats, k: int) -> Floats:
    """The k smallest of each column's rows up to each row, ascending; shape (rows, k, columns)."""
    found = np.full((len(table), k, table.shape[1]), np.inf)
    found[0, 0] = table[0]
    for row in range(1, len(table)):
        left = table[row]
        for rank in range(k):
            np.minimum(found[row - 1, rank], left, out=found[row, rank])
            left = np.maximum(found[row - 1, rank], left)
    return found


@functools.cache
def student(level: float) -> Multiple:
    """Of Student's t with 3 degrees of freedom and scale STUDENT; by bisection, rounded to the same bits everywhere."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2.0
        x = middle / math.sqrt(3.0)
        chance = 0.5 + (x / (1.0 + x * x) + math.atan(x)) / math.pi
        low, high = (middle, high) if chance < level else (low, middle)
    mean = 3.0 * math.sqrt(3.0) / (math.pi * (3.0 + low * low) * (1.0 - level))
    return Multiple(round(STUDENT * low, 6), round(STUDENT * mean, 6))


def parametric(volatility: Floats, level: float = LEVEL) -> Tail:
    """RiskMetrics' (1996), with the tails of Student's t in place of the normal's (Zumbach, "The RiskMetrics 2006
    methodology", 2007). It is symmetric: both sides are equal."""
    return student(level).of(volatility)


def simulate(paths: int = PATHS, seed: int = SEED) -> Floats:
    """Shape (paths,): the move over HORIZON bars, over the volatility estimated at its start * sqrt(HORIZON).

    An integrated GARCH(1, 1) (Engle & Bollerslev 1986; strictly stationary by Nelson 1990), that is, RiskMetrics' own
    recursion with a level that it returns to, and t innovations (Bollerslev 1987). Each path runs MEMORY bars to forget
    its start and MEMORY bars from which the volatility is estimated as in reality, with the error that this has. The
    level only sets the unit, so the result holds at any volatility.
    """
    rng, unit = np.random.default_rng(seed), math.sqrt((FREEDOM - 2.0) / FREEDOM)
    variance, squares, move = np.ones(paths), np.zeros(paths), np.zeros(paths)
    for bar in range(2 * MEMORY + HORIZON):
        step = np.sqrt(variance) * rng.standard_t(FREEDOM, paths) * unit
        variance = 0.01 + CLUSTER * variance + (1.0 - CLUSTER) * step * step
        if bar >= 2 * MEMORY:
            move += step
        elif bar >= MEMORY:
            squares = DECAY * squares + step * step
    return move / np.sqrt(squares * (SCALE * HORIZON))


def multiple(moves: Floats, level: float) -> Multiple:
    """Of simulated moves, which are symmetric: both tails are taken together."""
    worst = np.sort(np.abs(moves))[-max(1, round(2.0 * (1.0 - level) * len(moves))) :]
    return Multiple(float(worst[0]), float(worst.mean()))


def monte_carlo(volatility: Floats) -> Tail:
    """At LEVEL, from one simulation whose result is a constant, since it does not depend on the volatility of now."""
    return MONTE_CARLO.of(volatility)


def shortfall(historical: Tail, volatility: Floats) -> Floats:
    """The largest expected shortfall of the three methods, at LEVEL."""
    symmetric = np.maximum(parametric(volatility).shortfall, monte_carlo(volatility).shortfall)
    return np.maximum(historical.shortfall, symmetric)


class LikelihoodRatio(NamedTuple):
    """Of a test, and the chance of one as large or larger if what is tested is true."""

    statistic: float
    p: float


class Christoffersen(NamedTuple):
    independence: LikelihoodRatio
    conditional: LikelihoodRatio


def _log_likelihood(breaks: int, others: int, chance: float) -> float:
    return (breaks * math.log(chance) if breaks else 0.0) + (others * math.log(1.0 - chance) if others else 0.0)


def _chi_square(statistic: float, freedom: int) -> LikelihoodRatio:
    """With 1 or 2 degrees of freedom."""
    half = max(statistic, 0.0) / 2.0  # less only by rounding
    return LikelihoodRatio(2.0 * half, math.erfc(math.sqrt(half)) if freedom == 1 else math.exp(-half))


def kupiec(breaks: int, count: int, level: float = LEVEL) -> LikelihoodRatio:
    """Kupiec's (1995) proportion of failures: are `breaks` in `count` windows too many, or too few, for `level`?"""
    if not 0 <= breaks <= count or count == 0:
        raise ValueError(f"{breaks} breaks in {count} windows: give a window at least, and no more breaks than windows")
    found = _log_likelihood(breaks, count - breaks, breaks / count)
    return _chi_square(2.0 * (found - _log_likelihood(breaks, count - breaks, 1.0 - level)), 1)


def christoffersen(hits: Sequence[bool], level: float = LEVEL) -> Christoffersen:
    """Christoffersen's (1998) tests of windows in order of time, true where the loss was larger: does a break make the
    next one likelier (independence, 1 degree of freedom); and is it that or the rate (conditional coverage, 2)?
    The first window is only what the second one follows. Raises ValueError with less than two windows."""
    if len(hits) < 2:
        raise ValueError(f"{len(hits)} windows: at least two are needed to see one follow the other")
    pairs = [[0, 0], [0, 0]]
    for before, after in itertools.pairwise(hits):
        pairs[before][after] += 1
    apart = sum(_log_likelihood(hit, calm, hit / max(calm + hit, 1)) for calm, hit in pairs)
    calm, hit = pairs[0][0] + pairs[1][0], pairs[0][1] + pairs[1][1]
    together = _log_likelihood(hit, calm, hit / (calm + hit))
    expected = _log_likelihood(hit, calm, 1.0 - level)
    return Christoffersen(_chi_square(2.0 * (apart - together), 1), _chi_square(2.0 * (apart - expected), 2))
