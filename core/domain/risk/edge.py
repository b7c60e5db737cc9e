"""Edge: what a forecast is worth, against what acting on it costs."""

from __future__ import annotations

import math


def expected(p_up: float, volatility: float, bars: int) -> float:
    """The return that a forecast promises over `bars`, as a fraction, whichever way it points: |2p - 1| E|r|.

    With returns of `volatility` per bar, the mean size of a move is volatility sqrt(2 bars / pi) (half-normal; the root
    of time: Bachelier, Théorie de la spéculation, 1900). NaN where the volatility is not known.
    """
    return abs(2.0 * p_up - 1.0) * volatility * math.sqrt(2.0 * max(bars, 1) / math.pi)


def certainty(p_up: float, full: float) -> float:
    """The share of a full position that a forecast earns, 0 to 1: z = (p - 0.5) / sqrt(p (1 - p)) against that of
    0.5 + `full` (bet sizing from probabilities: López de Prado, Advances in Financial Machine Learning, 2018, section
    10.3, to first order). 1 where `full` is 0: off."""
    if full <= 0.0:
        return 1.0
    return min(_z(p_up) / _z(0.5 + full), 1.0)


def _z(p: float) -> float:
    return abs(p - 0.5) / math.sqrt(p * (1.0 - p)) if 0.0 < p < 1.0 else math.inf
