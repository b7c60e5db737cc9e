"""The manifest of a model: what it is, what it was made from, and the digest of every other file of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import msgspec

from core.domain.drift import Reference
from core.domain.forecast.kinds import Kind, asked

FORMAT: Final = 3  # what is written; 2 knew stacking only; 1 had no levels and references, by which drift is known
FORMATS: Final = (1, 2, FORMAT)  # what is read
MANIFEST: Final = "manifest.json"
GOLDEN: Final = "golden.npz"
TREES: Final = ("lightgbm.npz", "xgboost.npz", "forest.npz")
FILES: Final = (*TREES, GOLDEN)

Metrics = dict[str, float | None]  # None: not a number
Weight = Annotated[float, msgspec.Meta(ge=0.0)]


class BadModel(ValueError):
    """A model that cannot be used. `reason` is a stable code; the message says what, where and what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Meta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model comes from, as the training flow knows it. Times are UTC; `data_*` tell of the bars trained on, and
    `levels` of their close and volume (core.domain.drift); `missing`: of each input from outside, the stretches for
    which nothing was known of it."""

    symbol: str
    timeframe: str
    created: datetime
    feature_set: str
    feature_digest: str
    data_from: datetime
    data_until: datetime
    data_digest: str
    git_commit: str = "unknown"
    metrics: Metrics = {}
    warnings: tuple[str, ...] = ()
    levels: dict[str, tuple[float, float]] = {}
    missing: dict[str, tuple[tuple[datetime, datetime], ...]] = {}


class Stacking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """p(up) = 1 / (1 + exp(-(intercept + weights · log-odds of the members))).

    The forest's probability is kept `clip` away from 0 and 1 before its log-odds are taken; the boosters' sums are
    log-odds already. Weights are in the order of MEMBERS and not negative, so no member is ever turned around. A model
    of one member has that one's weight alone: Platt's scaling (1999).
    """

    intercept: float
    weights: tuple[Weight, Weight, Weight]
    clip: Annotated[float, msgspec.Meta(gt=0.0, lt=0.5)]


class Manifest(Meta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of a model. `model`: its kind; `stacking`: None for the plain mean. `missing_ok`: the features
    that may be NaN, because some were in training; `reference`: how each feature was in training, or nothing: drift is
    then unknown."""

    format: int
    horizon: int
    cost: float
    names: tuple[str, ...]
    missing_ok: tuple[str, ...]
    rows: int
    base_rate: float
    training: dict[str, float | str]
    libraries: dict[str, str]
    model: Kind = "stacking"
    stacking: Stacking | None
    files: dict[str, str]
    reference: dict[str, Reference] = {}


class _Format(msgspec.Struct):
    format: int


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """The one way to write a manifest: sorted keys, so that equal models have equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def decode(data: bytes) -> Manifest:
    """Raises BadModel: `model_manifest` when it cannot be understood, `model_format` when it is of another format."""
    try:
        version = msgspec.json.decode(data, type=_Format).format
        if version not in FORMATS:
            raise BadModel("model_format", f"the model has format {version}, this program reads {FORMATS}: train anew")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadModel("model_manifest", f"{MANIFEST} cannot be understood ({error}): publish it again") from None
    _consistent(manifest)
    return manifest


def _consistent(manifest: Manifest) -> None:
    names = set(manifest.names)
    if not names or len(names) != len(manifest.names) or not names.issuperset(manifest.missing_ok):
        raise BadModel("model_manifest", f"{MANIFEST}: feature names are absent, double, or missing_ok is not of them")
    known = manifest.reference
    if not names.issuperset(known) or not all(each.consistent for each in known.values()):
        raise BadModel("model_manifest", f"{MANIFEST}: the reference is of other features, or its bins do not fit")
    if not _weighted(manifest):
        raise BadModel("model_manifest", f"{MANIFEST}: the weights are not those of a model of kind {manifest.model}")
    if set(manifest.files) != set(FILES):
        raise BadModel("model_manifest", f"{MANIFEST} lists {sorted(manifest.files)}, not {sorted(FILES)}")


def _weighted(manifest: Manifest) -> bool:
    """Whether no member that is not asked has a weight, and the plain mean has none at all."""
    stacking, places = manifest.stacking, asked(manifest.model)
    if stacking is None or manifest.model == "average":
        return stacking is None and manifest.model == "average"
    return not any(weight for place, weight in enumerate(stacking.weights) if place not in places)


def read_manifest(files: Mapping[str, bytes], expected: str | None) -> Manifest:
    """The manifest, after its SHA-256 was compared with `expected`. Raises BadModel."""
    if MANIFEST not in files:
        raise BadModel("model_incomplete", f"the model has no {MANIFEST}: publish it again")
    found = digest(files[MANIFEST])
    if expected is not None and found != expected.lower():
        raise BadModel("model_tampered", f"{MANIFEST} has SHA-256 {found}, {expected} is published: publish it again")
    return decode(files[MANIFEST])


def verified(files: Mapping[str, bytes], manifest: Manifest) -> dict[str, bytes]:
    """The other files, each with the digest that the manifest states. Raises BadModel."""
    for name, expected in manifest.files.items():
        if name not in files:
            raise BadModel("model_incomplete", f"the model has no {name}: publish it again")
        found = digest(files[name])
        if found != expected:
            raise BadModel("model_tampered", f"{name} has SHA-256 {found}, its manifest says {expected}: publish again")
    return {name: files[name] for name in manifest.files}
