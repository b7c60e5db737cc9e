"""Walk-forward: learn from a rolling window, foresee the days after it, move on; each window stands alone.

The windows' members are trained independently, so their order does not matter and they can be done anywhere. The
stacking on top is carried forward: that of a window is fitted on the scores that earlier windows gave to rows which
they had not seen, as far as those rows' labels were known when the window began. So it costs next to nothing, and
nothing in it has seen its own future. Purging and embargo as in core.domain.splits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.domain import metrics
from core.domain.bars import Floats, Times
from core.domain.daily import DAY
from core.domain.ensemble import Training
from core.domain.ensemble.fit import CLIP, weigh
from core.domain.ensemble.members import Members, train
from core.domain.forecast import Stacking, asked, blend, probabilities
from core.domain.splits import Bar, Rows

ENOUGH: Final = 1000  # labelled rows of earlier windows from which the stacking is fitted
PROBED: Final = 500  # rows of training, spread over all, on which its own log-loss is told


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Learns from bars that open in [since, begins), foresees those in [begins, until), in epoch seconds. `learn` and
    `foresee`: the rows that serve, in order of time."""

    number: int
    since: int
    begins: int
    until: int
    learn: Rows
    foresee: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What one window made. `raw` (foreseen rows, 3): the members' scores, as Members.raw, NaN where a row lacks what
    training had; `importance` (features,): shares of the gain, the mean over the members; `rows`: learnt from;
    `base_rate`: the share of ups among them; `train_loss`: the plain mean's log-loss on them."""

    raw: Floats
    importance: Floats
    rows: int
    base_rate: float
    train_loss: float


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One window, for a report. Log-losses in nats over the `judged` rows that have a label (NaN: there is none):
    of the forecast, of the plain mean, of each member, of always saying the base rate. `pool`: rows that its stacking
    was fitted on, 0 while the plain mean stands (`stacking` None) or a member alone as it is."""

    window: Window
    rows: int
    judged: int
    pool: int
    stacking: Stacking | None
    importance: Floats
    base_rate: float
    train_loss: float
    log_loss: float
    mean_log_loss: float
    base_log_loss: float
    member_log_loss: tuple[float, ...]
    auc: float


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """One value per bar: `p_up` and the `members`' probabilities (n, 3), their plain `mean`, and the base rate of the
    window that foresaw the bar, all NaN where none did; `labels` as labels.direction gave them."""

    time: Times
    p_up: Floats
    members: Floats
    mean: Floats
    base: Floats
    labels: Floats
    steps: tuple[Step, ...]


def windows(
    time: Times,
    usable: NDArray[np.bool_],
    labels: Floats,
    ends: Bar,
    training: Training,
    train_days: int,
    test_days: int,
) -> list[Window]:
    """Those that follow one another over `time` (open times of bars), the last as short as it must be.

    The first begins `train_days` after the first usable row. A row is learnt from when it is `usable`, has a label, and
    the label's last bar (`ends`) lies before the first foreseen bar by more than the embargo. A window that has no row
    to foresee, fewer rows to learn from than two leaves take, or only one outcome among them is left out.
    """
    if train_days < 1 or test_days < 1:
        raise ValueError(f"{train_days} days to learn from and {test_days} to foresee: give at least 1 of each")
    if not usable.any():
        return []
    origin, last = int(time[np.argmax(usable)]) + train_days * DAY, int(time[-1])
    known = usable & np.isfinite(labels)
    found = []
    for number, begins in enumerate(range(origin, last + 1, test_days * DAY)):
        since, until = begins - train_days * DAY, begins + test_days * DAY
        first, start, end = np.searchsorted(time, [since, begins, until]).tolist()
        learn = first + np.flatnonzero(known[first:start] & (ends[first:start] < start - training.embargo))
        foresee = start + np.flatnonzero(usable[start:end])
        if len(foresee) and len(learn) >= 2 * training.leaf_rows and np.ptp(labels[learn]):
            found.append(Window(number, since, begins, min(until, last + 1), learn, foresee))
    return found


def learn(values: Floats, labels: Floats, training: Training, window: Window) -> Learnt:
    """The work of one window on the features (n, k) and labels (n,) of all bars: the same result wherever it is done.

    A feature without any value among the rows to learn from is left out of this window.
    """
    rows, y = np.ascontiguousarray(values[window.learn]), labels[window.learn]
    ahead = np.ascontiguousarray(values[window.foresee])
    holes = np.isnan(rows)
    there = ~holes.all(axis=0)
    members = train(np.ascontiguousarray(rows[:, there]), y, training)
    raw = members.raw(np.ascontiguousarray(ahead[:, there]))
    raw[(np.isnan(ahead) & ~holes.any(axis=0)).any(axis=1)] = np.nan  # as trading refuses such a row
    importance = np.zeros(values.shape[1])
    importance[there] = gains(members)
    probe = np.linspace(0, len(rows) - 1, min(PROBED, len(rows))).astype(int)
    own = blend(members.raw(np.ascontiguousarray(rows[probe][:, there])), plain(training))
    return Learnt(raw, importance, len(rows), float(y.mean()), metrics.log_loss(y[probe], own))


def plain(training: Training) -> Stacking | None:
    """How scores become a probability while nothing is known of them: the members' mean, a member alone as it is."""
    places = asked(training.model)
    if len(places) > 1:
        return None
    one, two, three = (float(place in places) for place in range(3))
    return Stacking(intercept=0.0, weights=(one, two, three), clip=CLIP)


def gains(members: Members) -> Floats:
    """(features,): each member's split gains as shares of their sum, and the mean of these over the members."""
    parts: list[Any] = []
    if members.lightgbm is not None:
        parts.append(members.lightgbm.feature_importance("gain"))
    if members.xgboost is not None:
        scored = members.xgboost.get_score(importance_type="total_gain")
        parts.append(np.array([scored.get(f"f{i}", 0.0) for i in range(members.xgboost.num_features())]))
    if members.forest is not None:
        parts.append(members.forest.feature_importances_)
    shares: Floats = np.mean([part / part.sum() if part.sum() > 0 else part for part in parts], axis=0)
    return shares


def stitched(
    time: Times, labels: Floats, ends: Bar, training: Training, found: Sequence[Window], made: Sequence[Learnt]
) -> Walked:
    """All windows' scores in order of time, each window's combined as what was known before it says."""
    size = len(time)
    raw, p_up, mean, base = np.full((size, 3), np.nan), *(np.full(size, np.nan) for _ in range(3))
    steps = []
    for window, learnt in zip(found, made, strict=True):
        pool = _pool(p_up, labels, ends, window, training)
        stacking = weigh(raw[pool], labels[pool], training) if len(pool) else plain(training)
        at = window.foresee
        raw[at] = learnt.raw
        p_up[at], mean[at] = blend(learnt.raw, stacking), blend(learnt.raw, plain(training))
        base[at] = np.where(np.isfinite(p_up[at]), learnt.base_rate, np.nan)
        steps.append(_step(window, learnt, labels, len(pool), stacking, p_up[at], mean[at]))
    return Walked(time, p_up, probabilities(raw), mean, base, labels, tuple(steps))


def _pool(p_up: Floats, labels: Floats, ends: Bar, window: Window, training: Training) -> Rows:
    """The rows that earlier windows foresaw, whose labels were known before this one begins; none if too few."""
    start = int(window.foresee[0])
    known = np.isfinite(p_up[:start]) & np.isfinite(labels[:start]) & (ends[:start] < start - training.embargo)
    pool = np.flatnonzero(known)
    enough = len(pool) >= ENOUGH and np.ptp(labels[pool]) and training.model != "average"
    return pool if enough else pool[:0]


def _step(
    window: Window, learnt: Learnt, labels: Floats, pool: int, stacking: Stacking | None, p_up: Floats, mean: Floats
) -> Step:
    y = labels[window.foresee]
    keep = np.isfinite(y) & np.isfinite(p_up)
    y, p_up, mean, members = y[keep], p_up[keep], mean[keep], probabilities(learnt.raw[keep])
    each = [p_up, mean, np.full(len(y), learnt.base_rate), *members.T]
    losses = [metrics.log_loss(y, p) if len(y) else math.nan for p in each]
    return Step(
        window=window,
        rows=learnt.rows,
        judged=len(y),
        pool=pool,
        stacking=stacking,
        importance=learnt.importance,
        base_rate=learnt.base_rate,
        train_loss=learnt.train_loss,
        log_loss=losses[0],
        mean_log_loss=losses[1],
        base_log_loss=losses[2],
        member_log_loss=tuple(losses[3:]),
        auc=metrics.auc(y, p_up),
    )
