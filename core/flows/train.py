"""train: fetch the past, fit, judge on what is newest and unseen, then publish or refuse, with the reason.

What was judged is what is published. A promotion is one write: the document `models/{book}` names the live model, and
the one before it stays where it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats, bar_before, close_time, moment
from core.domain.drift import levels
from core.domain.ensemble import Artefact, Fitted, Gate, Judgement, Training, export, fit, judge, verdict
from core.domain.features import SETS, compute
from core.domain.forecast import MANIFEST, Meta, digest
from core.domain.labels import direction
from core.domain.splits import hold_out
from core.domain.state import Book
from core.flows.history import past
from core.flows.outbox import model_alert
from core.flows.serving import folder, pointer_key, version_of
from core.flows.vix import daily_history
from core.ports import Conflict, Document, Versioned, World, Write

log = logging.getLogger("hourhand.train")
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train one book. `publish_anyway`: a refused model goes live all the same, with a warning (paper only)."""

    training: Training
    history_days: int
    publish_anyway: bool = False
    git_commit: str = "unknown"
    gate: Gate = Gate()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Labelled rows in order of time: features (n, k), labels, the bar of each row and the last bar of its label."""

    values: Floats
    labels: Floats
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __getitem__(self, index: NDArray[np.intp]) -> Rows:
        return Rows(self.values[index], self.labels[index], self.starts[index], self.ends[index])


def train(world: World, book: Book, plan: Plan, at: datetime, progress: Progress = lambda *_: None) -> Document:
    """The answer: outcome `published` or `refused`, the reasons, the version and the metrics.

    Raises Unavailable when the market or a store cannot be reached; the live model then stays as it is.
    """
    pointer = world.state.read([pointer_key(book.id)])[pointer_key(book.id)]
    until = close_time(bar_before(at, book.timeframe), book.timeframe)
    since = until - timedelta(days=plan.history_days)
    bars = past(world, book.timeframe, since, until, partial(progress, "history"))
    try:
        fitted, judgement = _fit_and_judge(world, book, plan, bars, at, progress)
    except ValueError as failure:  # too little history, no outcomes, no holdout: the sentence says which
        return _refused(world, book, until, [str(failure)], {})
    reasons = verdict(judgement, plan.gate)
    if reasons and not plan.publish_anyway:
        return _refused(world, book, until, reasons, {"metrics": judgement.metrics()})
    meta = _meta(book, plan, bars, at, judgement, reasons)
    return _publish(world, book, pointer, export(fitted, meta), meta)


def _fit_and_judge(
    world: World, book: Book, plan: Plan, bars: Bars, at: datetime, progress: Progress
) -> tuple[Fitted, Judgement]:
    rows = _rows(world, book, plan.training, bars, at)
    before, newest = hold_out(rows.starts, rows.ends, plan.training.holdout, plan.training.embargo)
    learnt = rows[before]
    names = SETS[book.features].names
    fitted = fit(
        learnt.values, learnt.labels, learnt.ends, names, plan.training, learnt.starts, partial(progress, "training")
    )
    progress("training", 1.0)
    unseen = rows[newest]
    return fitted, judge(fitted, unseen.values, unseen.labels, fitted.base_rate)


def _rows(world: World, book: Book, training: Training, bars: Bars, at: datetime) -> Rows:
    features = SETS[book.features]
    if len(bars) <= features.lookback:
        raise ValueError(
            f"{len(bars)} bars of history are too few: one row of {features.name} takes {features.lookback}"
        )
    vix = daily_history(world.vix, at)
    values = compute(features, bars, book.timeframe, vix, book.vix_max_age_s)
    labels, ends = direction(bars, training.horizon, training.cost)
    keep = np.flatnonzero(np.isfinite(labels) & ~np.isnan(values).all(axis=1))
    return Rows(values[keep], labels[keep], keep.astype(np.int64), ends[keep])


def _meta(book: Book, plan: Plan, bars: Bars, at: datetime, judgement: Judgement, reasons: list[str]) -> Meta:
    features = SETS[book.features]
    return Meta(
        symbol=book.symbol,
        timeframe=book.timeframe,
        created=at,
        feature_set=features.name,
        feature_digest=features.digest,
        data_from=moment(bars.time[0]),
        data_until=close_time(moment(bars.time[-1]), book.timeframe),
        data_digest=bars.digest(),
        git_commit=plan.git_commit,
        metrics=judgement.metrics(),
        warnings=tuple(reasons),
        levels=levels(bars),
    )


def _publish(world: World, book: Book, before: Versioned, artefact: Artefact, meta: Meta) -> Document:
    """Files first, under a name of their own; then the pointer. Dying in between leaves the old model live."""
    sha256, warnings = digest(artefact[MANIFEST]), list(meta.warnings)
    version = version_of(meta, sha256)
    world.together(
        [partial(world.models.put, folder(book.id, version) + name, data) for name, data in artefact.items()]
    )
    old = before.data or {}
    pointer: Document = {
        "version": version,
        "manifest_sha256": sha256,
        "previous": old.get("version") if old.get("version") != version else old.get("previous"),
        "promoted_at": meta.created,
        "metrics": meta.metrics,
        "warnings": warnings,
    }
    told = model_alert(book, version, meta.data_until, warnings, live=True)
    try:
        world.state.commit([Write(pointer_key(book.id), pointer, before.version), told])
    except Conflict:
        return _answer(book, meta.data_until, "busy", ["another training has promoted a model meanwhile"], {})
    return _answer(book, meta.data_until, "published", warnings, {"version": version, "metrics": meta.metrics})


def _refused(world: World, book: Book, until: datetime, reasons: list[str], more: Document) -> Document:
    world.state.commit([model_alert(book, "", until, reasons, live=False)])
    return _answer(book, until, "refused", reasons, more)


def _answer(book: Book, until: datetime, outcome: str, reasons: list[str], more: Document) -> Document:
    log.info("%s: %s", outcome, "; ".join(reasons) or "it passed the gate", extra={"book": book.id})
    return {
        "outcome": outcome,
        "book": book.id,
        "bar": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "reason": "; ".join(reasons) or "passed",
        "warnings": reasons if outcome == "published" else [],
        **more,
    }
