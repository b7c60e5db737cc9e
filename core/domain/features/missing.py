"""What was missing when: from the rows of a feature set, each outside input whose first feature was unknown, which is
the one that looks least far back."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from core.domain.bars import Bars, Floats, moment, seconds
from core.domain.features.feature import FeatureSet

Span = tuple[datetime, datetime]


def missing(features: FeatureSet, rows: Floats, bars: Bars, timeframe: str) -> dict[str, tuple[Span, ...]]:
    """By input, the stretches [open of the first bar, close of the last) in whose rows it was missing; inputs that
    never were are left out. `rows`: what `compute` gave for `bars`. Rows that are not there themselves say nothing."""
    there = np.flatnonzero(~np.isnan(rows).all(axis=1))
    times, known = bars.time[there], ~np.isnan(rows[there])
    found: dict[str, tuple[Span, ...]] = {}
    for need in sorted(features.needs):
        first = next(k for k, feature in enumerate(features.features) if need in feature.needs)
        gone = ~known[:, first]
        edges = np.flatnonzero(np.diff(gone, prepend=False, append=False)).reshape(-1, 2)
        spans = [(moment(times[start]), moment(times[end - 1] + seconds(timeframe))) for start, end in edges]
        if spans:
            found[need] = tuple(spans)
    return found
