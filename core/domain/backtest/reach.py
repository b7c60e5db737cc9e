"""Reach: what a flat book needs to hold so that the limits leave it anything to enter with, bar by bar.

Only an upper bound of core.domain.risk.sizing, in floats and with a margin: whoever is below it gets no lot for sure.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import YEAR, Bars, Floats, Times, epoch, seconds
from core.domain.risk import Policy, Result
from core.domain.risk.sizing import staged_capital, stake
from core.domain.state import Book, BookState

MARGIN: Final = 1.0 + 1e-6


class Reach:
    """`capital`: what a book needs at each bar by the limits that look at the market alone; `risked`: what it must be
    allowed to lose at the stop. 0 where that is not known. `scale`: what the regimes leave of a size."""

    def __init__(self, book: Book, bars: Bars, context: Floats, scale: Floats, known: NDArray[np.bool_]) -> None:
        self.policy, self.time = book.policy, bars.time
        distance = context[:, 0] * self.policy.stop_atr
        with np.errstate(divide="ignore", invalid="ignore"):
            wanted = _smallest(book, bars.close) / np.minimum(scale, 1.0)
            capital, risked = wanted * _worst(book, bars.close, context, distance), wanted * distance
        known = known & np.isfinite(capital) & np.isfinite(risked)
        self.capital, self.risked = np.where(known, capital, 0.0), np.where(known, risked, 0.0)
        self._stakes = _Stakes((), self.policy)

    def gives(self, state: BookState, i: int) -> bool:
        """Whether a lot may be had at bar i."""
        capital = float(staged_capital(state.equity, self.policy)) * MARGIN
        if self.capital[i] > capital:
            return False
        surely = self.policy.kelly_floor if self.policy.kelly else math.inf
        return bool(self.risked[i] <= capital * surely) or self.first(state, np.array([i])) == 0

    def first(self, state: BookState, found: NDArray[np.intp]) -> int:
        """The first of `found` (indices of bars) at which a lot may be had; their number if there is none."""
        capital = float(staged_capital(state.equity, self.policy)) * MARGIN
        given = self.capital[found] <= capital
        if self.policy.kelly:
            if state.results is not self._stakes.results:
                self._stakes = _Stakes(state.results, self.policy)
            given &= self.risked[found] <= capital * self._stakes.at(self.time[found])
        return int(given.argmax()) if given.any() else len(found)


class _Stakes:
    """The share of the capital to lose at the stop that Kelly's rule gives by `results`, while nothing new closes."""

    def __init__(self, results: tuple[Result, ...], policy: Policy) -> None:
        self.results, self.policy = results, policy
        ordered = sorted(results, key=lambda result: result.closed)
        self.shares = [result.share for result in ordered]
        self.ends = np.array([epoch(result.closed) for result in ordered]) + policy.kelly_days * 86400.0
        self._known: dict[int, float] = {}

    def at(self, times: Times) -> Floats:
        """By epoch seconds, ascending."""
        first, last = (self.ends.searchsorted(times + off) for off in (-1, 1))  # off by a rounding, not by a second
        stakes = np.zeros(len(self.shares) + 1)
        for over in {*first.tolist(), *last.tolist()}:
            stakes[over] = self._of(over)
        most: Floats = np.maximum(stakes[first], stakes[last])
        return most

    def _of(self, over: int) -> float:
        """Once so many of them are too old to count."""
        if over not in self._known:
            self._known[over] = float(stake(self.shares[over:], self.policy))
        return self._known[over]


def _smallest(book: Book, close: Floats) -> Floats:
    """The least amount that is an order."""
    rules = book.rules
    least: Floats = np.maximum(float(rules.minimum_notional) / close, float(max(rules.lot, rules.minimum_amount)))
    return least


def _worst(book: Book, close: Floats, context: Floats, distance: Floats) -> Floats:
    """Capital for one base coin, by the limit that asks for most."""
    policy, maintenance = book.policy, float(book.rules.maintenance)
    worst: Floats = np.maximum(
        distance / float(policy.risk_per_trade) if policy.risk_per_trade > 0 else np.zeros(len(close)),
        close / float(min(policy.leverage, book.rules.leverage)),
    )
    move = distance * policy.liquidation_buffer
    worst = np.fmax(worst, move + maintenance * (close + move))
    if policy.volatility_target:
        annual = context[:, 6] * math.sqrt(YEAR / seconds(book.timeframe))
        worst = np.fmax(worst, annual * close / policy.volatility_target)
    if policy.value_at_risk:
        worst = np.fmax(worst, context[:, 9:12].max(axis=1) * close / policy.value_at_risk)
    return worst
