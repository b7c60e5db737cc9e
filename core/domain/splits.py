"""Splits in order of time: a row is trained on only when its label was known before the test rows begin.

Purging and embargo after López de Prado, Advances in Financial Machine Learning (2018), section 7.4; never shuffled,
and never trained on the future of a test row, which is stricter than the book's purged k-fold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Bar = NDArray[np.int64]


def purged_folds(
    starts: Bar, ends: Bar, folds: int, embargo: int, window: int | None = None
) -> list[tuple[Rows, Rows]]:
    """(train rows, test rows) of `folds` tests that follow one another and cover all rows but the first share.

    `starts[i]` is the bar of row i, `ends[i]` the last bar that its label looks at. A row is in a fold's training part
    when `ends < (first start of the test) - embargo`, and, with `window`, when it starts at most so many bars before
    the test (rolling; expanding otherwise). Raises ValueError when rows are not in order of time, or too few.
    """
    if folds < 1:
        raise ValueError(f"{folds} folds: at least 1 is needed")
    edges = np.linspace(0, len(starts), folds + 2).astype(int)
    spans = zip(edges[1:-1].tolist(), edges[2:].tolist(), strict=True)
    return [_split(starts, ends, first, last, embargo, window) for first, last in spans]


def hold_out(starts: Bar, ends: Bar, share: float, embargo: int) -> tuple[Rows, Rows]:
    """(rows to train on, the newest `share` of the rows to judge by), purged as in `purged_folds`."""
    if not 0 < share < 1:
        raise ValueError(f"a holdout share of {share}: give a number between 0 and 1")
    return _split(starts, ends, round(len(starts) * (1 - share)), len(starts), embargo, None)


def _split(starts: Bar, ends: Bar, first: int, last: int, embargo: int, window: int | None) -> tuple[Rows, Rows]:
    _check(starts, ends, embargo)
    if first >= last:
        raise ValueError(f"{len(starts)} rows are too few for this split")
    begin = starts[first]
    train = ends[:first] < begin - embargo
    if window is not None:
        train &= starts[:first] >= begin - window
    if not train.any():
        raise ValueError(f"no row's label ends {embargo} bars before bar {begin}: give more rows or fewer folds")
    return np.flatnonzero(train), np.arange(first, last)


def _check(starts: Bar, ends: Bar, embargo: int) -> None:
    if len(starts) != len(ends) or embargo < 0:
        raise ValueError(f"{len(starts)} starts, {len(ends)} ends, embargo {embargo}: one end per start, no negative")
    if (np.diff(starts) < 0).any() or (ends < starts).any():
        raise ValueError("rows must be in order of time, and no label may end before it starts")
