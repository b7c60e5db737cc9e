"""train: fetch the past, fit, judge on what is newest and unseen, then publish or refuse, with the reason.

What was judged is what is published. A promotion is one write: the document `models/{book}` names the live model, and
the one before it stays where it is. A challenger is named there beside it, and what is to become of it is decided
before anything is trained (core/flows/challenge.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Bars, Floats, bar_before, close_time, moment
from core.domain.challenge import Terms, Verdict
from core.domain.drift import levels
from core.domain.ensemble import Artefact, Fitted, Gate, Judgement, Training, export, fit, judge, verdict
from core.domain.features import SETS, compute
from core.domain.features.missing import Span, missing
from core.domain.forecast import MANIFEST, Meta, digest
from core.domain.labels import direction
from core.domain.splits import hold_out
from core.domain.state import Book
from core.flows import outside
from core.flows.challenge import decided, entry_of
from core.flows.history import past
from core.flows.outbox import model_alert
from core.flows.serving import folder, pointer_key, version_of
from core.flows.vix import daily_history
from core.ports import Conflict, Document, Versioned, World, Write

log = logging.getLogger("hourhand.train")
Progress = Callable[[str, float], None]
Gone = dict[str, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train one book. `publish_anyway`: a refused model goes live all the same, with a warning (paper only).

    `challenger`: the model does not go live, but on trial beside the live one. `judge_only`: nothing is trained, only
    the challenger judged. `follow`: after a challenger was promoted, go on with its settings instead of `training`.
    """

    training: Training
    history_days: int
    publish_anyway: bool = False
    git_commit: str = "unknown"
    gate: Gate = Gate()
    challenger: bool = False
    judge_only: bool = False
    follow: bool = True
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Labelled rows in order of time: features (n, k), labels, the bar of each row and the last bar of its label;
    `gone`: what of the outside was missing in the rows, from when to when."""

    values: Floats
    labels: Floats
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    gone: Gone = field(default_factory=dict)

    def __getitem__(self, index: NDArray[np.intp]) -> Rows:
        return Rows(self.values[index], self.labels[index], self.starts[index], self.ends[index], self.gone)


def train(world: World, book: Book, plan: Plan, at: datetime, progress: Progress = lambda *_: None) -> Document:
    """The answer: outcome `published` (with the role), `refused`, `promoted` or `judged`, the reasons, the version and
    the metrics.

    Raises Unavailable when the market or a store cannot be reached; the live model then stays as it is.
    """
    until = close_time(bar_before(at, book.timeframe), book.timeframe)
    judged = decided(world, book, plan.terms, at)
    trial = _trial(judged)
    if plan.judge_only or (judged and judged[0].outcome == "promote"):
        return _judged(book, until, judged)
    pointer = world.state.read([pointer_key(book.id)])[pointer_key(book.id)]
    if plan.challenger and not (pointer.data or {}).get("version"):
        return _refused(world, book, until, ["there is no live model to challenge: train one first"], trial)
    plan = _followed(plan, pointer.data)
    since = until - timedelta(days=plan.history_days)
    bars = past(world, book.timeframe, since, until, partial(progress, "history"))
    try:
        fitted, judgement, gone = _fit_and_judge(world, book, plan, bars, at, progress)
    except ValueError as failure:  # too little history, no outcomes, no holdout: the sentence says which
        return _refused(world, book, until, [str(failure)], trial)
    reasons = verdict(judgement, plan.gate)
    if reasons and not (plan.publish_anyway and not plan.challenger):
        return _refused(world, book, until, reasons, trial | {"metrics": judgement.metrics()})
    meta = _meta(book, plan, bars, at, judgement, reasons, gone)
    return trial | _publish(world, book, plan, pointer, export(fitted, meta), meta)


def _trial(judged: tuple[Verdict, Document] | None) -> Document:
    """What the answer tells of the challenger."""
    return (
        {"challenge": {"outcome": judged[0].outcome, "reason": judged[0].reason, **judged[0].numbers}} if judged else {}
    )


def _judged(book: Book, until: datetime, judged: tuple[Verdict, Document] | None) -> Document:
    if judged is None:
        return _answer(book, until, "judged", ["there is no challenger"], {})
    said, pointer = judged
    outcome = "promoted" if said.outcome == "promote" else "judged"
    return _answer(book, until, outcome, [said.reason], {"version": pointer.get("version"), **_trial(judged)})


def _followed(plan: Plan, pointer: Document | None) -> Plan:
    """The plan with the settings of the challenger that was promoted last, if any: it was shown that they are better.
    Else the next training would undo the promotion."""
    recipe = (pointer or {}).get("recipe")
    if not recipe or plan.challenger or not plan.follow:
        return plan
    try:
        return replace(plan, training=msgspec.convert(recipe, Training))
    except msgspec.ValidationError as failure:
        log.warning(
            "the settings of the promoted model cannot be read any more, those of [training] serve: %s", failure
        )
        return plan


def _fit_and_judge(
    world: World, book: Book, plan: Plan, bars: Bars, at: datetime, progress: Progress
) -> tuple[Fitted, Judgement, Gone]:
    rows = _rows(world, book, plan.training, bars, at)
    before, newest = hold_out(rows.starts, rows.ends, plan.training.holdout, plan.training.embargo)
    learnt = rows[before]
    names = SETS[book.features].names
    fitted = fit(
        learnt.values, learnt.labels, learnt.ends, names, plan.training, learnt.starts, partial(progress, "training")
    )
    progress("training", 1.0)
    unseen = rows[newest]
    return fitted, judge(fitted, unseen.values, unseen.labels, fitted.base_rate), rows.gone


def _rows(world: World, book: Book, training: Training, bars: Bars, at: datetime) -> Rows:
    features = SETS[book.features]
    if len(bars) <= features.lookback:
        raise ValueError(
            f"{len(bars)} bars of history are too few: one row of {features.name} takes {features.lookback}"
        )
    vix = daily_history(world.vix, at)
    beyond = outside.history(world, book, moment(bars.time[0]), close_time(moment(bars.time[-1]), book.timeframe))
    values = compute(features, bars, book.timeframe, vix, book.vix_max_age_s, beyond)
    labels, ends = direction(bars, training.horizon, training.cost)
    keep = np.flatnonzero(np.isfinite(labels) & ~np.isnan(values).all(axis=1))
    gone = missing(features, values, bars, book.timeframe)
    return Rows(values[keep], labels[keep], keep.astype(np.int64), ends[keep], gone)


def _meta(
    book: Book, plan: Plan, bars: Bars, at: datetime, judgement: Judgement, reasons: list[str], gone: Gone
) -> Meta:
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
        missing=gone,
    )


def _publish(world: World, book: Book, plan: Plan, before: Versioned, artefact: Artefact, meta: Meta) -> Document:
    """Files first, under a name of their own; then the pointer. Dying in between leaves the old model live."""
    sha256 = digest(artefact[MANIFEST])
    version = version_of(meta, sha256)
    world.together(
        [partial(world.models.put, folder(book.id, version) + name, data) for name, data in artefact.items()]
    )
    entry: Document = {"version": version, "manifest_sha256": sha256, "metrics": meta.metrics}
    old, warnings = before.data or {}, list(meta.warnings)
    pointer = _beside(old, entry, plan, meta) if plan.challenger else _live(old, entry, plan, meta)
    told = [] if plan.challenger else [model_alert(book, version, meta.data_until, warnings, live=True)]
    try:
        world.state.commit([Write(pointer_key(book.id), pointer, before.version), *told])
    except Conflict:
        return _answer(book, meta.data_until, "busy", ["another training has promoted a model meanwhile"], {})
    role = "challenger" if plan.challenger else "live"
    more = {"version": version, "role": role, "metrics": meta.metrics}
    return _answer(book, meta.data_until, "published", warnings, more)


def _live(old: Document, entry: Document, plan: Plan, meta: Meta) -> Document:
    """The pointer with a new live model; a challenger stays on trial, and the recipe is kept while it is followed."""
    same = old.get("version") == entry["version"]
    kept = [*(["challenger"] if entry_of(old) else []), *(["recipe", "evidence"] if plan.follow else [])]
    return {
        **entry,
        "previous": old.get("previous") if same else old.get("version"),
        "promoted_at": meta.created,
        "warnings": list(meta.warnings),
        **{name: old[name] for name in kept if name in old},
    }


def _beside(old: Document, entry: Document, plan: Plan, meta: Meta) -> Document:
    """The pointer with a challenger. One of the same settings takes over the trial of the one before it."""
    recipe, now = msgspec.to_builtins(plan.training), entry_of(old) or {}
    since = now["since"] if now.get("recipe") == recipe else meta.created
    return {**old, "challenger": {**entry, "recipe": recipe, "since": since}}


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
