"""From the members' raw scores to one probability, the same bits wherever it is done: training, research, serving."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.forecast.manifest import Stacking

LIBM: Final = (None, "libm.so.6", "libm.dylib", "ucrtbase")


def blend(raw: Floats, stacking: Stacking | None) -> Floats:
    """(n,): the probability of going up from raw scores (n, 3). Without `stacking`, the plain mean of the members'.

    A member without a weight has no say, and may be NaN.
    """
    if stacking is None:
        return (sigmoid(raw[:, 0]) + sigmoid(raw[:, 1]) + raw[:, 2]) / 3
    odds = log_odds(raw, stacking.clip)
    total = np.full(len(raw), stacking.intercept)
    for i, weight in enumerate(stacking.weights):
        if weight:
            total = total + weight * odds[:, i]
    return sigmoid(total)


def log_odds(raw: Floats, clip: float) -> Floats:
    """(n, 3): the boosters' sums as they are, the forest's probability kept `clip` off 0 and 1."""
    forest = np.clip(raw[:, 2], clip, 1 - clip)
    odds = np.array([math.log(p / (1 - p)) for p in forest.tolist()], np.float64)
    return np.stack([raw[:, 0], raw[:, 1], odds], axis=1)


def probabilities(raw: Floats) -> Floats:
    """(n, 3): each member's own probability, as its library's `predict_proba` gives it."""
    return np.stack(
        [sigmoid(raw[:, 0]), sigmoid_single(raw[:, 1].astype(np.float32)).astype(np.float64), raw[:, 2]], axis=1
    )


def sigmoid(odds: Floats) -> Floats:
    """1 / (1 + exp(-x)) in double with libm's exp (numpy's own may differ in the last bit), as LightGBM does."""
    return np.array([1.0 / (1.0 + _exp(-x)) for x in odds.tolist()], np.float64)


def _exp(x: float) -> float:
    return math.inf if x >= 709.0 else math.exp(x)


def sigmoid_single(odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """XGBoost's sigmoid (src/common/math.h): float32 throughout, -x at most 88.7, 1e-16 added to the denominator."""
    expf, single = libm("expf"), np.float32
    powers = np.array([expf(x) for x in np.minimum(-odds, single(88.7)).tolist()], single)
    result: NDArray[Any] = single(1) / (powers + single(1) + single(1e-16))
    return result


def libm(name: str) -> Callable[[float], float]:
    """The C library's own float32 function of that name, which numpy's may differ from in the last bit."""
    for library in LIBM:
        try:
            function = getattr(ctypes.CDLL(library), name)
        except (OSError, AttributeError, TypeError):
            continue
        function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
        found: Callable[[float], float] = function
        return found
    raise OSError(f"the C library's {name} was not found: XGBoost's scores cannot be computed on this system")
