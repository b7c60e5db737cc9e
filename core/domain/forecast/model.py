"""A loaded model: the members' scores exactly as their libraries compute them, and the stacked probability.

Sums run in the order of the trees and in each library's own precision, so that they equal the trained libraries' bit
for bit, and one row alone equals the same row in a batch.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.forecast.manifest import GOLDEN, TREES, BadModel, Manifest, digest, read_manifest, verified
from core.domain.forecast.manifest import MANIFEST as MANIFEST_FILE
from core.domain.forecast.trees import Grove, plant, read_arrays, read_trees

MEMBERS: Final = ("lightgbm", "xgboost", "forest")
SINGLE: Final = (False, True, True)  # whether a member reads its features as float32
GOLDEN_LAYOUT: Final = {"rows": ("<f8", 2), "raw": ("<f8", 2), "members": ("<f8", 2), "stacked": ("<f8", 1)}
# How far a golden probability may be off where another machine's exp rounds otherwise: a few units in the last place.
SLACK: Final = np.array([1e-15, 5e-7, 0.0])
STACKED_SLACK: Final = 1e-12
LIBM: Final = (None, "libm.so.6", "libm.dylib", "ucrtbase")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What `load` returns. `version`: SHA-256 of the manifest, which names the model."""

    manifest: Manifest
    version: str
    _grove: Grove
    _base: tuple[float, ...]
    _counts: tuple[int, ...]

    def raw(self, rows: Floats) -> Floats:
        """(n, 3): the log-odds that LightGBM and XGBoost sum up, and the forest's probability, for (n, features)."""
        rows = np.ascontiguousarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.manifest.names):
            raise ValueError(f"rows of shape {rows.shape}: this model takes (n, {len(self.manifest.names)})")
        scores = np.empty((len(rows), len(MEMBERS)))
        for chunk, leaves in self._grove.leaves(rows):
            scores[chunk] = self._sums(leaves)
        return scores

    def _sums(self, leaves: Floats) -> Floats:
        lightgbm, xgboost, forest = np.split(leaves, np.cumsum(self._counts)[:-1])
        return np.stack(
            [
                _in_order(lightgbm, self._base[0]),
                _in_order(xgboost.astype(np.float32), self._base[1]),
                _in_order(forest, self._base[2]) / self._counts[2],
            ],
            axis=1,
        )

    def members(self, rows: Floats) -> Floats:
        """(n, 3): each member's probability of going up, as its library's `predict_proba` gives it."""
        return _probabilities(self.raw(rows))

    def predict(self, rows: Floats) -> Floats:
        """(n,): the stacked probability of going up."""
        return self._stacked(self.raw(rows))

    def score(self, row: Floats) -> tuple[float, dict[str, float]]:
        """The stacked probability of one row (features,), and each member's own by name; the row is walked once."""
        raw = self.raw(row[None, :])
        return float(self._stacked(raw)[0]), dict(zip(MEMBERS, _probabilities(raw)[0].tolist(), strict=True))

    def _stacked(self, raw: Floats) -> Floats:
        stacking = self.manifest.stacking
        forest = np.clip(raw[:, 2], stacking.clip, 1 - stacking.clip)
        odds = np.array([math.log(p / (1 - p)) for p in forest.tolist()])
        weights = stacking.weights
        return _sigmoid(stacking.intercept + weights[0] * raw[:, 0] + weights[1] * raw[:, 1] + weights[2] * odds)

    def check_features(self, feature_digest: str, names: Sequence[str]) -> None:
        """Raises BadModel unless these are the features, in the order, that the model was trained on."""
        own = self.manifest.names
        if tuple(names) != own:
            pairs = zip([*names, "nothing"], [*own, "nothing"], strict=False)
            found, wanted = next(pair for pair in pairs if pair[0] != pair[1])
            raise BadModel(
                "model_features", f"the model was trained on {wanted!r} where {found!r} is computed: train it anew"
            )
        if feature_digest != self.manifest.feature_digest:
            raise BadModel(
                "model_features",
                f"the features have digest {feature_digest}, the model was trained on "
                f"{self.manifest.feature_set} {self.manifest.feature_digest}: train it anew",
            )

    def usable(self, rows: Floats) -> NDArray[np.bool_]:
        """(n,): whether each row holds nothing that the model never saw: see `unusable`."""
        fine: NDArray[np.bool_] = np.logical_and.reduce(~_unusable(rows, self.manifest), axis=1)
        return fine

    def unusable(self, row: Floats) -> list[str]:
        """The features of one row (features,) that forbid a forecast: infinite, too large for float32, or NaN where
        training had none."""
        return [self.manifest.names[i] for i in np.flatnonzero(_unusable(row[None, :], self.manifest)[0])]


def _unusable(rows: Floats, manifest: Manifest) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):
        fine = np.isfinite(rows.astype(np.float32))
    may_miss = np.array([name in manifest.missing_ok for name in manifest.names])
    unusable: NDArray[np.bool_] = ~(fine | (np.isnan(rows) & may_miss))
    return unusable


def _in_order(leaves: NDArray[Any], base: float) -> NDArray[Any]:
    """Sum over axis 0, one after the other; `add.reduce` would pair the terms of a single row differently."""
    first = np.full((1, leaves.shape[1]), base, leaves.dtype)
    total: NDArray[Any] = np.add.accumulate(np.concatenate([first, leaves]), axis=0)[-1]
    return total


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf


def _sigmoid(odds: Floats) -> Floats:
    """1 / (1 + exp(-x)) in double with libm's exp (numpy's own may differ in the last bit), as LightGBM does."""
    return np.array([1.0 / (1.0 + _exp(-x)) for x in odds.tolist()], np.float64)


def _sigmoid_single(odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """XGBoost's sigmoid (src/common/math.h): float32 throughout, -x at most 88.7, 1e-16 added to the denominator."""
    expf, single = libm("expf"), np.float32
    powers = np.array([expf(x) for x in np.minimum(-odds, single(88.7)).tolist()], single)
    return single(1) / (powers + single(1) + single(1e-16))


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


def _probabilities(raw: Floats) -> Floats:
    return np.stack(
        [_sigmoid(raw[:, 0]), _sigmoid_single(raw[:, 1].astype(np.float32)).astype(np.float64), raw[:, 2]], axis=1
    )


def load(files: Mapping[str, bytes], expected_manifest_sha256: str | None) -> Model:
    """The model in `files` (name → content), fully checked; what is wrong raises BadModel and nothing else.

    In this order: the manifest's digest against the expected one (None: no comparison), its format, the digest of
    each file, only then the arrays' shapes and bounds, and that the golden rows give the recorded scores: the members'
    sums bit for bit, the stacked probability within 1e-12. Golden probabilities of members may differ by a few units
    in the last place, since they pass through the exp of whichever machine this is.
    """
    manifest = read_manifest(files, expected_manifest_sha256)
    parts = verified(files, manifest)
    members = [read_trees(parts[name], name, len(manifest.names)) for name in TREES]
    model = Model(
        manifest,
        digest(files[MANIFEST_FILE]),
        plant(members, SINGLE, len(manifest.names)),
        tuple(float(trees.base) for trees in members),
        tuple(len(trees.sizes) for trees in members),
    )
    _check_golden(model, read_arrays(parts[GOLDEN], GOLDEN, GOLDEN_LAYOUT))
    return model


def _check_golden(model: Model, golden: Mapping[str, NDArray[Any]]) -> None:
    rows, raw, members, stacked = (golden[key] for key in GOLDEN_LAYOUT)
    size = (len(rows), len(MEMBERS))
    if not len(rows) or rows.shape[1] != len(model.manifest.names) or raw.shape != size or members.shape != size:
        raise BadModel("model_unreadable", f"{GOLDEN} does not fit the manifest: publish the model again")
    found = model.raw(rows)
    same = (
        np.array_equal(found, raw)
        and (np.abs(_probabilities(found) - members) <= SLACK).all()
        and stacked.shape == (len(rows),)
        and (np.abs(model._stacked(found) - stacked) <= STACKED_SLACK).all()
    )
    if not same:
        raise BadModel("model_golden", "the golden rows do not give the scores that were recorded: train it anew")
