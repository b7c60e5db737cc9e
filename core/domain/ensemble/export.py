"""Export: a fitted ensemble as an artefact of plain data, checked by loading it before it is handed out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from core.domain.bars import Floats
from core.domain.ensemble.fit import Fitted
from core.domain.ensemble.flatten import forest_trees, lightgbm_trees, no_trees, xgboost_trees
from core.domain.forecast import MEMBERS, Manifest, Meta, asked, digest, load
from core.domain.forecast.manifest import FORMAT, GOLDEN, MANIFEST, TREES, encode
from core.domain.forecast.trees import LAYOUT, Trees

Artefact = dict[str, bytes]
FLATTEN = (lightgbm_trees, xgboost_trees, forest_trees)
LIBRARIES = ("lightgbm", "xgboost", "sklearn")


def export(fitted: Fitted, meta: Meta) -> Artefact:
    """File name → content, `manifest.json` among them; equal models and `meta` have equal bytes.

    Raises BadModel when what was written does not give the trained libraries' scores on the golden rows.
    """
    places = asked(fitted.training.model)
    trees = [
        FLATTEN[place](getattr(fitted.members_, name)) if place in places else no_trees()
        for place, name in enumerate(MEMBERS)
    ]
    files = {name: _npz(_arrays(part)) for name, part in zip(TREES, trees, strict=True)}
    files[GOLDEN] = _npz(_golden(fitted, trees))
    manifest = Manifest(
        **{field: getattr(meta, field) for field in Meta.__struct_fields__},
        format=FORMAT,
        horizon=fitted.training.horizon,
        cost=fitted.training.cost,
        names=fitted.names,
        missing_ok=fitted.missing_ok,
        rows=fitted.rows,
        base_rate=fitted.base_rate,
        training=msgspec.to_builtins(fitted.training),
        libraries=_versions(places),
        model=fitted.training.model,
        stacking=fitted.stacking,
        files={name: digest(data) for name, data in files.items()},
        reference=fitted.reference,
    )
    artefact = {MANIFEST: encode(manifest), **files}
    load(artefact, None)
    return artefact


def _versions(places: Sequence[int]) -> dict[str, str]:
    modules = [np, *(import_module(LIBRARIES[place]) for place in places)]
    return {module.__name__: module.__version__ for module in modules}


def _arrays(trees: Trees) -> dict[str, Any]:
    return {key: getattr(trees, key) for key in LAYOUT}


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """An .npz whose bytes depend on its content only: stored, with one fixed time for all members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(arrays):
            part = zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0))
            part.create_system, part.external_attr = 3, 0o644 << 16
            archive.writestr(part, _npy(arrays[key]))
    return target.getvalue()


def _npy(array: Any) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return target.getvalue()


def _golden(fitted: Fitted, trees: Sequence[Trees]) -> dict[str, Floats]:
    """Real rows, and rows on and beside thresholds, with the trained libraries' scores."""
    edges = rows_on_thresholds(fitted.sample, trees, fitted.training.seed)
    rows = np.concatenate([fitted.sample, edges])
    raw, members, stacked = fitted.raw(rows), fitted.members(rows), fitted.predict(rows)
    return {"rows": rows, "raw": raw, "members": members, "stacked": stacked}


def rows_on_thresholds(rows: Floats, trees: Iterable[Trees], seed: int) -> Floats:
    """`rows`, five values in six replaced by one of the feature's thresholds or the nearest double or single beside it.

    Thresholds beyond float32, which only part NaN from the rest, are left out: no usable row is on them.
    """
    random = np.random.default_rng(seed)
    feature = np.concatenate([part.feature for part in trees])
    number = np.concatenate([part.number for part in trees])
    inside = (feature >= 0) & (np.abs(number) < np.finfo(np.float32).max)
    result = rows.copy()
    for column in np.unique(feature[inside]):
        picked = random.choice(number[inside & (feature == column)], len(rows))
        way = random.integers(0, 6, len(rows))
        result[:, column] = np.choose(way, [*_beside(picked), result[:, column]])
    return result


def _beside(value: Floats) -> list[Floats]:
    single = value.astype(np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    return [
        value,
        np.nextafter(value, np.inf),
        np.nextafter(value, -np.inf),
        np.nextafter(single, up).astype(np.float64),
        np.nextafter(single, down).astype(np.float64),
    ]
