"""How good probabilities are. Each is a few lines of numpy, so that judging needs no ML library (importing
scikit-learn takes a second); the tests compare them with scikit-learn's.

Everywhere `y` holds 0.0 and 1.0, and `p` the forecast probability of 1.0, both of shape (n,).
"""

from __future__ import annotations

import numpy as np

from core.domain.bars import Floats

TINY = float(np.finfo(float).eps)


def log_loss(y: Floats, p: Floats) -> float:
    """Mean negative log-likelihood in nats, with p kept a machine epsilon away from 0 and 1."""
    p = np.clip(p, TINY, 1 - TINY)
    return float(-np.mean(np.where(y > 0.5, np.log(p), np.log1p(-p))))


def brier(y: Floats, p: Floats) -> float:
    """Mean squared difference of forecast and outcome (Brier 1950, for two classes: 0 best, 0.25 for always 0.5)."""
    return float(np.mean((p - y) ** 2))


def auc(y: Floats, p: Floats) -> float:
    """The share of (up, down) pairs that the forecast orders rightly, ties counting half (Mann-Whitney); NaN when
    one of the classes is absent."""
    ups, downs = p[y > 0.5], np.sort(p[y <= 0.5])
    if not len(ups) or not len(downs):
        return float("nan")
    below = np.searchsorted(downs, ups, "left") + np.searchsorted(downs, ups, "right")
    return float(below.mean() / 2 / len(downs))


def calibration_error(y: Floats, p: Floats, bins: int = 10) -> float:
    """Expected calibration error (Naeini 2015): mean of |forecast - frequency| over bins, weighted by their rows.

    The bins hold equally many rows, not equal widths of p: hourly forecasts crowd around 0.5.
    """
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return float(sum(abs(p[part].sum() - y[part].sum()) for part in parts) / len(p))
