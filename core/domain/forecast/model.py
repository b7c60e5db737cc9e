"""A loaded model: its members' scores exactly as their libraries compute them, and the probability blended from them.

Sums run in the order of the trees and in each library's own precision, so that they equal the trained libraries' bit
for bit, and one row alone equals the same row in a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.forecast.blend import blend, probabilities
from core.domain.forecast.kinds import MEMBERS, asked
from core.domain.forecast.manifest import GOLDEN, TREES, BadModel, Manifest, digest, read_manifest, verified
from core.domain.forecast.manifest import MANIFEST as MANIFEST_FILE
from core.domain.forecast.trees import Grove, plant, read_arrays, read_no_trees, read_trees

SINGLE: Final = (False, True, True)  # whether a member reads its features as float32
GOLDEN_LAYOUT: Final = {"rows": ("<f8", 2), "raw": ("<f8", 2), "members": ("<f8", 2), "stacked": ("<f8", 1)}
# How far a golden probability may be off where another machine's exp rounds otherwise: a few units in the last place.
SLACK: Final = np.array([1e-15, 5e-7, 0.0])
STACKED_SLACK: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What `load` returns: a Forecaster. `version`: SHA-256 of the manifest, which names the model."""

    manifest: Manifest
    version: str
    _grove: Grove
    _base: tuple[float, ...]
    _counts: tuple[int, ...]

    def raw(self, rows: Floats) -> Floats:
        """(n, 3): the log-odds that LightGBM and XGBoost sum up, and the forest's probability, for (n, features); NaN
        of a member that is not asked."""
        rows = np.ascontiguousarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.manifest.names):
            raise ValueError(f"rows of shape {rows.shape}: this model takes (n, {len(self.manifest.names)})")
        scores = np.full((len(rows), len(MEMBERS)), np.nan)
        for chunk, leaves in self._grove.leaves(rows):
            ends = np.cumsum(self._counts)
            for place, part, base in zip(self.asked, np.split(leaves, ends[:-1]), self._base, strict=True):
                scores[chunk, place] = SUMS[place](part, base)
        return scores

    @property
    def asked(self) -> tuple[int, ...]:
        """Which of MEMBERS it has."""
        return asked(self.manifest.model)

    def members(self, rows: Floats) -> Floats:
        """(n, 3): each member's probability of going up, as its library's `predict_proba` gives it."""
        return probabilities(self.raw(rows))

    def predict(self, rows: Floats) -> Floats:
        """(n,): the probability of going up."""
        return blend(self.raw(rows), self.manifest.stacking)

    def score(self, row: Floats) -> tuple[float, dict[str, float]]:
        """The probability of one row (features,), and each asked member's own by name; the row is walked once."""
        raw = self.raw(row[None, :])
        own = probabilities(raw)[0].tolist()
        p_up = float(blend(raw, self.manifest.stacking)[0])
        return p_up, {MEMBERS[place]: own[place] for place in self.asked}

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


# How each member's score comes of its trees' leaves (trees, n), each in its library's own precision.
SUMS: Final = (
    _in_order,
    lambda leaves, base: _in_order(leaves.astype(np.float32), base),
    lambda leaves, base: _in_order(leaves, base) / len(leaves),
)


def load(files: Mapping[str, bytes], expected_manifest_sha256: str | None) -> Model:
    """The model in `files` (name → content), fully checked; what is wrong raises BadModel and nothing else.

    In this order: the manifest's digest against the expected one (None: no comparison), its format, the digest of
    each file, only then the arrays' shapes and bounds, and that the golden rows give the recorded scores: the members'
    sums bit for bit, the stacked probability within 1e-12. Golden probabilities of members may differ by a few units
    in the last place, since they pass through the exp of whichever machine this is.
    """
    manifest = read_manifest(files, expected_manifest_sha256)
    parts, width = verified(files, manifest), len(manifest.names)
    places = asked(manifest.model)
    for place in set(range(len(MEMBERS))) - set(places):
        read_no_trees(parts[TREES[place]], TREES[place])
    members = [read_trees(parts[TREES[place]], TREES[place], width) for place in places]
    model = Model(
        manifest,
        digest(files[MANIFEST_FILE]),
        plant(members, [SINGLE[place] for place in places], width),
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
    found, places = model.raw(rows), list(model.asked)
    same = (
        np.array_equal(found, raw, equal_nan=True)
        and np.array_equal(np.isnan(found), np.isnan(members))
        and (np.abs(probabilities(found) - members)[:, places] <= SLACK[places]).all()
        and stacked.shape == (len(rows),)
        and (np.abs(blend(found, model.manifest.stacking) - stacked) <= STACKED_SLACK).all()
    )
    if not same:
        raise BadModel("model_golden", "the golden rows do not give the scores that were recorded: train it anew")
