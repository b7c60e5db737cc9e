"""Fit: out-of-fold scores in order of time, a stacking logistic on them, then the members anew on everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.drift import Reference, references
from core.domain.ensemble.members import Members, Training, train
from core.domain.forecast import Stacking
from core.domain.splits import purged_folds

CLIP = 1e-3
ENDLESS = 500.0  # log-odds beyond which exp would overflow
Bar = NDArray[np.int64]


def _quiet(_: float) -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What training made. `missing_ok`: the features that had NaN; `base_rate`: the share of ups among the rows;
    `sample`: some of the rows, spread over all of them, from which the golden rows are made; `reference`: how each
    feature was in them."""

    members_: Members
    stacking: Stacking
    names: tuple[str, ...]
    missing_ok: tuple[str, ...]
    training: Training
    rows: int
    base_rate: float
    sample: Floats
    reference: dict[str, Reference]

    def members(self, rows: Floats) -> Floats:
        """(n, 3): the trained libraries' own probabilities for rows (n, features)."""
        return self.members_.probabilities(rows)

    def predict(self, rows: Floats) -> Floats:
        """(n,): the stacked probability of going up."""
        return _logistic(_odds(self.members_.raw(rows)), self.stacking)


def fit(
    rows: Floats,
    y: Floats,
    ends: Bar,
    names: Sequence[str],
    training: Training,
    starts: Bar | None = None,
    progress: Callable[[float], None] = _quiet,
) -> Fitted:
    """Train on rows (n, features) with labels `y` (1.0 up, 0.0 down, NaN: the row is left out), in order of time.

    `starts[i]` is the index of the bar of row i (None: row i is bar i) and `ends[i]` the last bar that its label looks
    at; both serve to purge. `progress` is told the share done. The same input gives the same model. Raises ValueError
    when rows hold infinities, a feature has no value, or there are too few rows or outcomes for the folds.
    """
    starts = np.arange(len(rows), dtype=np.int64) if starts is None else starts
    _check(rows, y, ends, starts, names)
    keep = np.isfinite(y)
    rows, y, starts, ends = np.ascontiguousarray(rows[keep], np.float64), y[keep], starts[keep], ends[keep]
    _check_rows(rows, names)
    splits = purged_folds(starts, ends, training.folds, training.embargo)
    scores = []
    for number, (before, test) in enumerate(splits):
        _check_outcomes(y[before])
        scores.append(train(rows[before], y[before], training).raw(rows[test]))
        progress((number + 1) / (len(splits) + 1))
    tested = np.concatenate([test for _, test in splits])
    pull = training.prior * training.horizon / len(tested)  # labels overlap: only one row in `horizon` is news
    stacking = stack(_odds(np.concatenate(scores)), y[tested], pull)
    members = train(rows, y, training)
    progress(1.0)
    return Fitted(
        members_=members,
        stacking=stacking,
        names=tuple(names),
        missing_ok=tuple(np.array(names)[np.isnan(rows).any(axis=0)].tolist()),
        training=training,
        rows=len(rows),
        base_rate=float(y.mean()),
        sample=_sample(rows),
        reference=references(rows, names),
    )


def _check(rows: Floats, y: Floats, ends: Bar, starts: Bar, names: Sequence[str]) -> None:
    if rows.ndim != 2 or rows.shape[1] != len(names) or not len(rows) == len(y) == len(ends) == len(starts):
        raise ValueError(
            f"rows {rows.shape}, {len(y)} labels, {len(ends)} ends, {len(starts)} starts, {len(names)} names: "
            "give one label, end and start per row and one name per column"
        )


def _check_rows(rows: Floats, names: Sequence[str]) -> None:
    with np.errstate(over="ignore"):
        endless = np.isinf(rows.astype(np.float32)).any(axis=0)
    absent = np.isnan(rows).all(axis=0)
    bad = [names[i] for i in np.flatnonzero(endless | absent).tolist()]
    if bad:
        raise ValueError(f"features {bad} are infinite or have no value at all in the {len(rows)} rows with a label")


def _check_outcomes(y: Floats) -> None:
    if y.min() == y.max():
        raise ValueError(f"all {len(y)} rows of a fold went the same way: give more rows or fewer folds")


def _sample(rows: Floats) -> Floats:
    """32 rows spread evenly, and 16 of those that have NaN: few, since every cold start scores them."""
    holes = np.flatnonzero(np.isnan(rows).any(axis=1))
    spread = np.linspace(0, len(rows) - 1, 32).astype(int)
    some = holes[np.linspace(0, len(holes) - 1, 16).astype(int)] if len(holes) else holes
    picked: Floats = rows[np.concatenate([spread, some])]
    return picked


def _odds(raw: Floats) -> Floats:
    """The members' log-odds: sums of the boosters as they are, the forest's probability kept CLIP off 0 and 1."""
    forest = np.clip(raw[:, 2], CLIP, 1 - CLIP)
    return np.stack([raw[:, 0], raw[:, 1], np.log(forest / (1 - forest))], axis=1)


def _logistic(odds: Floats, stacking: Stacking) -> Floats:
    total = stacking.intercept + odds @ np.array(stacking.weights)
    return _sigmoid(total)


def _sigmoid(odds: Floats) -> Floats:
    p: Floats = 1 / (1 + np.exp(-np.clip(odds, -ENDLESS, ENDLESS)))
    return p


def stack(odds: Floats, y: Floats, pull: float) -> Stacking:
    """The logistic regression of y on the members' log-odds (n, 3), which stacks and calibrates (Platt 1999) at once.

    It minimises the mean log-loss plus `pull` times the squared distances of the weights from 1/3, with no weight
    below 0: the members are nearly alike, so their plain mean stands until the rows say otherwise, and none is ever
    turned around.
    """
    from scipy.optimize import minimize

    def loss(x: Floats) -> tuple[float, Floats]:
        total, off = x[0] + odds @ x[1:], x[1:] - 1 / 3
        error = _sigmoid(total) - y
        gradient = np.concatenate([[error.mean()], odds.T @ error / len(y) + 2 * pull * off])
        return float(np.mean(np.logaddexp(0, total) - y * total) + pull * (off @ off)), gradient

    start, bounds = np.array([0.0, 1 / 3, 1 / 3, 1 / 3]), [(None, None)] + [(0.0, None)] * 3
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-9, "ftol": 1e-14})
    one, two, three = (max(0.0, float(weight)) for weight in best.x[1:])
    return Stacking(intercept=float(best.x[0]), weights=(one, two, three), clip=CLIP)
