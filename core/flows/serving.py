"""The live model of a book: found by its pointer, fetched, checked, and kept while the instance is warm."""

from __future__ import annotations

from datetime import datetime
from functools import cache, partial
from typing import Literal

from core.domain import forecast
from core.domain.bars import Bars, Floats, close_time
from core.domain.daily import Daily
from core.domain.decide import Foresight
from core.domain.features import CONTEXT, SETS, FeatureSet, feature_set, last_row
from core.domain.forecast import FILES, MANIFEST, BadModel, Meta, Model
from core.domain.outside import NOTHING, Outside
from core.domain.state import Book
from core.ports import Document, Missing, Unavailable, World

Problem = tuple[str, str]
Role = Literal["model", "challenger"]


def pointer_key(book: str) -> str:
    return f"models/{book}"


def folder(book: str, version: str) -> str:
    return f"models/{book}/{version}/"


def version_of(meta: Meta, manifest_sha256: str) -> str:
    """The name of a model: how far its data reach, and what it is."""
    return f"{meta.data_until:%Y%m%dT%H%M}-{manifest_sha256[:12]}"


def live_model(world: World, book: Book, pointer: Document | None) -> Model | Problem:
    """The model that the pointer names, or why there is none to trade on. Raises nothing of the store's."""
    if not pointer:
        return "model_missing", f"no model is live for {book.id}: train one"
    return stored_model(world, book, pointer)


def stored_model(world: World, book: Book, entry: Document, role: Role = "model") -> Model | Problem:
    """The model of `entry` (version and manifest_sha256), checked; the newest of each role stays in the cache."""
    called = "live model" if role == "model" else role
    version, digest = str(entry.get("version", "")), str(entry.get("manifest_sha256", ""))
    cached = world.cache.get(f"{role} {book.id}")
    if isinstance(cached, Model) and cached.version == digest:
        return cached
    try:
        model = forecast.load(fetch(world, book, version), digest)
        model.check_features(SETS[book.features].digest, SETS[book.features].names)
    except Missing as failure:
        return "model_missing", f"the {called} {version} has a file missing: {failure}"
    except Unavailable as failure:
        return "model_unavailable", f"the {called} {version} could not be fetched: {failure}"
    except BadModel as failure:
        return failure.reason, f"the {called} {version} is refused: {failure}"
    world.cache[f"{role} {book.id}"] = model
    return model


def fetch(world: World, book: Book, version: str) -> dict[str, bytes]:
    """Every file of a model, all at once. Raises Missing or Unavailable."""
    names = [MANIFEST, *FILES]
    files = world.together([partial(world.models.get, folder(book.id, version) + name) for name in names])
    return dict(zip(names, files, strict=True))


def mismatched(model: Model, book: Book, bar: datetime) -> Problem | None:
    """Why this model may not speak for this book at this bar: made for another market, or too old."""
    made = model.manifest
    if (made.symbol, made.timeframe) != (book.symbol, book.timeframe):
        return "model_mismatched", f"the live model is for {made.symbol} {made.timeframe}: train one for {book.symbol}"
    limit = book.policy.model_max_age_days
    age = (close_time(bar, book.timeframe) - made.data_until).total_seconds() / 86400
    if limit and age > limit:
        known = f"{made.data_until:%Y-%m-%d}"
        return "model_expired", f"the model knows prices up to {known}, {age:.0f} days ago; the limit is {limit:g}"
    return None


def unusable(model: Model, row: Floats) -> Problem | None:
    """Why this row may not be scored: a feature is missing that never was in training."""
    names = model.unusable(row)
    if not names:
        return None
    return "feature_unknown", f"{', '.join(names[:5])} could not be computed, and the model never learned without"


def foresee(
    book: Book,
    bars: Bars,
    model: Model | None,
    daily: Daily,
    problem: Problem | None,
    outside: Outside = NOTHING,
) -> Foresight:
    """ports.Foresee: one row of features, and what the model makes of it."""
    if problem or model is None:
        return Foresight(problem=problem)
    names, width = _looked_at(book.features), len(SETS[book.features].names)
    values = last_row(names, bars, book.timeframe, daily, book.vix_max_age_s, outside)
    known = dict(zip(names.names, values.tolist(), strict=True))
    row = dict(list(known.items())[:width])
    problem = unusable(model, values[:width])
    if problem:
        return Foresight(problem=problem, row=row)
    p_up, members = model.score(values[:width])
    return Foresight(p_up=p_up, row=row, members=members, context=tuple(known[name] for name in CONTEXT.names))


@cache
def _looked_at(name: str) -> FeatureSet:
    """The model's features, then what else the decision looks at: one pass, since they share most of their work."""
    return feature_set(name, *dict.fromkeys((*SETS[name].names, *CONTEXT.names)))
