"""Fit: out-of-fold scores in order of time, a logistic on them that stacks and calibrates, then the members anew on
everything. The plain mean has nothing to learn from folds, and takes none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.drift import Reference, references
from core.domain.ensemble.members import Members, Training, train
from core.domain.features import REGISTRY
from core.domain.forecast import MEMBERS, Kind, Stacking, asked, blend, log_odds
from core.domain.splits import purged_folds

CLIP = 1e-3
ENDLESS = 500.0  # log-odds beyond which exp would overflow
Bar = NDArray[np.int64]


def _quiet(_: float) -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What training made: a Forecaster. `stacking`: None for the plain mean. `missing_ok`: the features that had NaN;
    `base_rate`: the share of ups among the rows; `sample`: some of the rows, spread over all of them, from which the
    golden rows are made; `reference`: how each feature was in them."""

    members_: Members
    stacking: Stacking | None
    names: tuple[str, ...]
    missing_ok: tuple[str, ...]
    training: Training
    rows: int
    base_rate: float
    sample: Floats
    reference: dict[str, Reference]

    def raw(self, rows: Floats) -> Floats:
        """(n, 3): the trained libraries' own scores for rows (n, features); NaN of a member that is not asked."""
        return self.members_.raw(rows)

    def members(self, rows: Floats) -> Floats:
        """(n, 3): the trained libraries' own probabilities for rows (n, features)."""
        return self.members_.probabilities(rows)

    def predict(self, rows: Floats) -> Floats:
        """(n,): the probability of going up."""
        return blend(self.raw(rows), self.stacking)


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
    when rows hold infinities, a feature has no value (one of the outside may be missing all the time), or there are too
    few rows or outcomes for the folds.
    """
    starts = np.arange(len(rows), dtype=np.int64) if starts is None else starts
    _check(rows, y, ends, starts, names)
    keep = np.isfinite(y)
    rows, y, starts, ends = np.ascontiguousarray(rows[keep], np.float64), y[keep], starts[keep], ends[keep]
    _check_rows(rows, names)
    _check_outcomes(y)
    stacking = None if training.model == "average" else _stacked(rows, y, starts, ends, training, progress)
    members, there = train(rows, y, training), ~_absent(rows)
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
        reference=references(rows[:, there], [name for name, known in zip(names, there, strict=True) if known]),
    )


def _stacked(
    rows: Floats, y: Floats, starts: Bar, ends: Bar, training: Training, progress: Callable[[float], None]
) -> Stacking | None:
    """The weights, learnt on scores of rows that the members had not seen."""
    splits = purged_folds(starts, ends, training.folds, training.embargo)
    scores = []
    for number, (before, test) in enumerate(splits):
        _check_outcomes(y[before])
        scores.append(train(rows[before], y[before], training).raw(rows[test]))
        progress((number + 1) / (len(splits) + 1))
    tested = np.concatenate([test for _, test in splits])
    return weigh(np.concatenate(scores), y[tested], training)


def _check(rows: Floats, y: Floats, ends: Bar, starts: Bar, names: Sequence[str]) -> None:
    if rows.ndim != 2 or rows.shape[1] != len(names) or not len(rows) == len(y) == len(ends) == len(starts):
        raise ValueError(
            f"rows {rows.shape}, {len(y)} labels, {len(ends)} ends, {len(starts)} starts, {len(names)} names: "
            "give one label, end and start per row and one name per column"
        )


def _check_rows(rows: Floats, names: Sequence[str]) -> None:
    with np.errstate(over="ignore"):
        endless = np.isinf(rows.astype(np.float32)).any(axis=0)
    absent = _absent(rows) & ~np.array([_beyond(name) for name in names])
    bad = [names[i] for i in np.flatnonzero(endless | absent).tolist()]
    if bad:
        raise ValueError(f"features {bad} are infinite or have no value at all in the {len(rows)} rows with a label")


def _beyond(name: str) -> bool:
    """Whether a feature is of the outside beyond the VIX, which a set may have to do without."""
    return name in REGISTRY and bool({*REGISTRY[name].needs} - {"vix"})


def _absent(rows: Floats) -> NDArray[np.bool_]:
    """(k,): the columns without a single value."""
    absent: NDArray[np.bool_] = np.logical_and.reduce(np.isnan(rows), axis=0)
    return absent


def _check_outcomes(y: Floats) -> None:
    if y.min() == y.max():
        raise ValueError(f"all {len(y)} rows to learn from went the same way: give more rows or fewer folds")


def _sample(rows: Floats) -> Floats:
    """32 rows spread evenly, and 16 of those that have NaN: few, since every cold start scores them."""
    holes = np.flatnonzero(np.isnan(rows).any(axis=1))
    spread = np.linspace(0, len(rows) - 1, 32).astype(int)
    some = holes[np.linspace(0, len(holes) - 1, 16).astype(int)] if len(holes) else holes
    picked: Floats = rows[np.concatenate([spread, some])]
    return picked


def weigh(raw: Floats, y: Floats, training: Training) -> Stacking | None:
    """The weights for raw scores (n, 3) of rows that their members had not seen; None for the plain mean, which has
    none. A member alone is calibrated the same way (Platt 1999), pulled to stay as it is."""
    if training.model == "average":
        return None
    pull = training.prior * training.horizon / len(y)  # labels overlap: only one row in `horizon` is news
    places = asked(training.model)
    return stack(log_odds(raw, CLIP)[:, places], y, pull, places)


def even(model: Kind) -> Stacking | None:
    """The weights before there is any row to learn them from: the mean of the log-odds of what the kind asks."""
    if model == "average":
        return None
    places = asked(model)
    one, two, three = (1 / len(places) if place in places else 0.0 for place in range(len(MEMBERS)))
    return Stacking(intercept=0.0, weights=(one, two, three), clip=CLIP)


def stack(odds: Floats, y: Floats, pull: float, places: Sequence[int] = (0, 1, 2)) -> Stacking:
    """The logistic regression of y on log-odds (n, k) of the members at `places`, which stacks and calibrates at once.

    It minimises the mean log-loss plus `pull` times the squared distances of the weights from 1/k, with no weight
    below 0: the members are nearly alike, so their plain mean stands until the rows say otherwise, and none is ever
    turned around.
    """
    from scipy.optimize import minimize

    even = 1 / len(places)

    def loss(x: Floats) -> tuple[float, Floats]:
        total, off = x[0] + odds @ x[1:], x[1:] - even
        error = _sigmoid(total) - y
        gradient = np.concatenate([[error.mean()], odds.T @ error / len(y) + 2 * pull * off])
        return float(np.mean(np.logaddexp(0, total) - y * total) + pull * (off @ off)), gradient

    start, bounds = np.array([0.0] + [even] * len(places)), [(None, None)] + [(0.0, None)] * len(places)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-9, "ftol": 1e-14})
    weights = dict(zip(places, best.x[1:].tolist(), strict=True))
    one, two, three = (max(0.0, weights.get(place, 0.0)) for place in range(len(MEMBERS)))
    return Stacking(intercept=float(best.x[0]), weights=(one, two, three), clip=CLIP)


def _sigmoid(odds: Floats) -> Floats:
    """Quick and good enough to learn with; what is served takes libm's exp."""
    p: Floats = 1 / (1 + np.exp(-np.clip(odds, -ENDLESS, ENDLESS)))
    return p
