import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.ensemble.export import _npz
from core.domain.forecast import BadModel, Model, digest, load
from core.domain.forecast.manifest import TREES
from tests.domain.forecasts import META, trained

MANIFEST = "manifest.json"
REFERENCE = {"cuts": [5.0], "shares": [0.5, 0.4, 0.1], "low": 0.0, "high": 23.0, "usual": 0.5}


@lru_cache(maxsize=1)
def model() -> Model:
    return load(artefact(), digest(artefact()[MANIFEST]))


def artefact() -> dict[str, bytes]:
    return trained()[1]


def resigned(**changes: Any) -> dict[str, bytes]:
    """The artefact with files or manifest fields changed, and every digest made right again: a forger's work."""
    files = {**artefact(), **{name: data for name, data in changes.items() if name.endswith(".npz")}}
    manifest = msgspec.json.decode(files[MANIFEST])
    manifest["files"] = {name: digest(files[name]) for name in manifest["files"]}
    manifest |= {key: value for key, value in changes.items() if not key.endswith(".npz")}
    return {**files, MANIFEST: msgspec.json.encode(manifest)}


def arrays(name: str) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(artefact()[name]), allow_pickle=False) as archive:
        return dict(archive)


def native_thresholds() -> dict[int, list[float]]:
    """column → every threshold of the three trained libraries, read from them and not from the artefact."""
    members = trained()[0].members_
    found: dict[int, list[float]] = {}
    for row in members.lightgbm.trees_to_dataframe().dropna(subset=["threshold"]).itertuples():
        found.setdefault(int(row.split_feature.split("_")[1]), []).append(row.threshold)
    boosted = members.xgboost.trees_to_dataframe().dropna(subset=["Split"])
    for name, value in zip(boosted["Feature"], boosted["Split"], strict=True):
        found.setdefault(int(name[1:]), []).append(np.float32(value))
    for tree in members.forest.estimators_:
        inner = tree.tree_.feature >= 0
        for column, value in zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True):
            found.setdefault(int(column), []).append(value)
    return found


def rows_on_thresholds() -> Floats:
    """Rows whose every value is a threshold of its column, or the double or single right above or below one."""
    random, rows = np.random.default_rng(3), trained()[2][5000:11000].copy()
    for column, values in native_thresholds().items():
        exact = np.array([value for value in values if abs(value) < 1e38], float)  # others part NaN from the rest
        single = exact.astype(np.float32)
        beside = [exact, *(np.nextafter(exact, way) for way in (np.inf, -np.inf)), single]
        beside += [np.nextafter(single, np.float32(way)) for way in (np.inf, -np.inf)]
        rows[:, column] = random.choice(np.concatenate([part.astype(float) for part in beside]), len(rows))
    return rows


def rows_with_holes() -> Floats:
    rows = trained()[2][5000:8000].copy()
    rows[np.random.default_rng(4).random(rows.shape) < 0.3] = np.nan
    return rows


def rows_about_zero() -> Floats:
    values = [
        0.0,
        -0.0,
        5e-36,
        -5e-36,
        1e-35,
        -1e-35,
        float(np.float32(1e-35)),
        -float(np.float32(1e-35)),
        2e-35,
        1e-45,
    ]
    values += [-2e-35, np.nextafter(float(np.float32(1e-35)), 1)]
    return np.random.default_rng(6).choice(np.array(values), (2000, trained()[2].shape[1]))


@pytest.mark.parametrize(
    "make",
    [lambda: trained()[2][-12000:], rows_with_holes, rows_on_thresholds, rows_about_zero],
    ids=["12,000 real rows", "NaN anywhere", "on thresholds", "about zero"],
)
def test_scores_equal_the_trained_libraries_bit_for_bit_and_the_stack_to_1e12(make: Callable[[], Floats]) -> None:
    rows, fitted = make(), trained()[0]
    np.testing.assert_array_equal(model().raw(rows), fitted.members_.raw(rows))
    np.testing.assert_array_equal(model().members(rows), fitted.members(rows))
    assert np.abs(model().predict(rows) - fitted.predict(rows)).max() <= 1e-12


def test_the_real_rows_put_the_claim_to_the_test() -> None:
    rows = trained()[2][-12000:]
    assert np.isnan(rows).any(axis=1).sum() > 500
    assert model().predict(rows).std() > 0.01
    assert (np.unique(model().members(rows), axis=0).shape[0]) > 10000
    assert -float(np.float32(1e-35)) in native_thresholds()[model().manifest.names.index("way")]


def test_a_row_alone_scores_the_same_bits_as_in_a_batch() -> None:
    rows = np.concatenate([trained()[2][-150:], rows_with_holes()[:50]])
    alone = [(model().members(row[None]), model().predict(row[None])) for row in rows]
    np.testing.assert_array_equal(np.concatenate([members for members, _ in alone]), model().members(rows))
    np.testing.assert_array_equal(np.concatenate([stacked for _, stacked in alone]), model().predict(rows))


def test_no_rows_give_no_scores_and_rows_of_another_width_are_refused() -> None:
    assert model().predict(np.empty((0, len(model().manifest.names)))).shape == (0,)
    with pytest.raises(ValueError, match=r"rows of shape \(1, 3\)"):
        model().predict(np.zeros((1, 3)))


def test_a_row_is_unusable_where_it_is_nan_without_precedent_or_not_finite() -> None:
    row = trained()[2][10].copy()
    row[list(model().manifest.names).index("vix")] = np.nan
    assert model().manifest.missing_ok == ("vix", "vix_fear")
    assert model().unusable(row) == []
    row[[0, 3, -2]] = [np.nan, 1e39, np.inf]
    assert model().unusable(row) == ["return_0", "return_3", "vix"]
    assert model().usable(np.stack([trained()[2][10], row])).tolist() == [True, False]


def test_features_must_be_those_of_training_in_that_order() -> None:
    names = list(model().manifest.names)
    model().check_features("ab12", names)
    with pytest.raises(BadModel, match="digest ff") as error:
        model().check_features("ff", names)
    assert error.value.reason == "model_features"
    with pytest.raises(BadModel, match="'return_0' where 'return_1'"):
        model().check_features("ab12", [names[1], names[0], *names[2:]])
    with pytest.raises(BadModel, match="'vix_fear' where 'nothing'"):
        model().check_features("ab12", names[:-1])


def test_the_manifest_tells_where_the_model_comes_from() -> None:
    manifest = model().manifest
    assert {field: getattr(manifest, field) for field in META.__struct_fields__} == msgspec.structs.asdict(META)
    assert set(manifest.libraries) == {"lightgbm", "numpy", "sklearn", "xgboost"}
    assert (manifest.horizon, manifest.cost, manifest.training["trees"]) == (12, 0.001, 60)
    assert model().version == digest(artefact()[MANIFEST])


def test_an_older_model_without_references_loads_and_its_drift_is_unknown() -> None:
    older = msgspec.json.decode(artefact()[MANIFEST])
    assert set(older["reference"]) == set(older["names"])
    older = {key: value for key, value in older.items() if key not in ("reference", "levels")} | {"format": 1}
    files = {**artefact(), MANIFEST: msgspec.json.encode(older)}
    found = load(files, digest(files[MANIFEST])).manifest
    assert (found.reference, found.levels, found.names) == ({}, {}, model().manifest.names)


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes flipped, the end cut off, or a piece doubled."""
    way, at = random.integers(3), random.integers(len(data))
    if way == 0:
        return data[:at] + bytes([data[at] ^ random.integers(1, 256)]) + data[at + 1 :]
    return data[:at] if way == 1 else data[:at] + data[at // 2 :]


def test_any_damage_to_any_file_is_a_bad_model() -> None:
    expected, random = digest(artefact()[MANIFEST]), np.random.default_rng(7)
    for name, data in artefact().items():
        for _ in range(50):
            with pytest.raises(BadModel) as error:
                load({**artefact(), name: damaged(data, random)}, expected)
            assert error.value.reason == "model_tampered"  # found by its digest, so not a byte of it was parsed


def test_damage_below_forged_digests_never_gets_past_the_golden_rows() -> None:
    random, rows = np.random.default_rng(8), trained()[2][:200]
    refused = 0
    for name in [*TREES, "golden.npz"] * 40:
        try:
            survivor = load(resigned(**{name: damaged(artefact()[name], random)}), None)
        except BadModel:
            refused += 1
        else:  # a time stamp of the archive, say
            np.testing.assert_array_equal(survivor.predict(rows), model().predict(rows))
    assert refused > 120


def test_a_damaged_manifest_without_an_expected_digest_is_refused_or_harmless() -> None:
    random, data = np.random.default_rng(9), artefact()[MANIFEST]
    for _ in range(100):
        try:
            load({**artefact(), MANIFEST: damaged(data, random)}, None)
        except BadModel:
            continue


def change(array: NDArray[Any], index: Any, value: Any) -> NDArray[Any]:
    result = array.copy()
    result[index] = value
    return result


FORGERIES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "a loop": lambda a: {"first": change(a["first"], 1, 1)},
    "a child outside": lambda a: {"first": change(a["first"], 0, 2**31 - 2)},
    "a negative child": lambda a: {"first": change(a["first"], 0, -5)},
    "two parents": lambda a: {"first": change(a["first"], 1, a["first"][0] + 1)},
    "a feature outside": lambda a: {"feature": change(a["feature"], 0, 99)},
    "a feature below": lambda a: {"feature": change(a["feature"], 0, -2)},
    "sizes that do not add up": lambda a: {"sizes": change(a["sizes"], 0, a["sizes"][0] + 1)},
    "an empty tree": lambda a: {"sizes": np.concatenate([a["sizes"], [0]]).astype("<i4")},
    "a negative size": lambda a: {"sizes": np.concatenate([a["sizes"], [5, -5]]).astype("<i4")},
    "no trees": lambda a: {key: a[key][:0] for key in ("sizes", "feature", "number", "first", "missing_left")},
    "arrays of different lengths": lambda a: {"number": a["number"][:-1]},
    "NaN for a threshold": lambda a: {"number": change(a["number"], 0, np.nan)},
    "another type": lambda a: {"number": np.zeros(len(a["number"]), "<f4")},
    "another shape": lambda a: {"number": a["number"][None]},
    "too deep": lambda a: deep_tree(200),
    "an array too many": lambda a: {"surplus": np.zeros(3)},
}


def deep_tree(levels: int) -> dict[str, Any]:
    inner = np.arange(2 * levels + 1) % 2 == 0
    inner[-1] = False
    return {
        "sizes": np.array([2 * levels + 1], "<i4"),
        "feature": np.where(inner, 0, -1).astype("<i2"),
        "number": np.zeros(2 * levels + 1),
        "first": np.where(inner, np.arange(2 * levels + 1) + 1, 0).astype("<i4"),
        "missing_left": np.ones(2 * levels + 1, bool),
    }


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("name", TREES)
def test_forged_trees_with_right_digests_are_refused_before_they_are_walked(name: str, forgery: str) -> None:
    content = arrays(name)
    data = _npz({**content, **FORGERIES[forgery](content)})
    with pytest.raises(BadModel) as error:
        load(resigned(**{name: data}), None)
    assert error.value.reason == "model_unreadable"
    assert name in str(error.value) or forgery == "too deep"


def test_a_pickle_in_an_array_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, archive.open("number.npy", "w") as part:
        np.lib.format.write_array(part, np.array([Bomb()], object), allow_pickle=True)
    for data in (target.getvalue(), b"\x80\x04cos\nsystem\n"):
        with pytest.raises(BadModel):
            load(resigned(**{"forest.npz": data}), None)
    assert not (tmp_path / "executed").exists()


def test_a_compressed_archive_is_refused_since_it_might_burst() -> None:
    target = io.BytesIO()
    np.savez_compressed(target, **arrays("forest.npz"))
    with pytest.raises(BadModel, match=r"forest\.npz cannot be read"):
        load(resigned(**{"forest.npz": target.getvalue()}), None)


def test_scores_that_differ_from_the_golden_ones_are_refused() -> None:
    golden = arrays("golden.npz")
    stacking = msgspec.json.decode(artefact()[MANIFEST])["stacking"]
    changed = {
        "the stack": resigned(stacking={**stacking, "intercept": stacking["intercept"] + 1e-9}),
        "a sum's last bit": resigned(
            **{
                "golden.npz": _npz(
                    {**golden, "raw": change(golden["raw"], (0, 0), np.nextafter(golden["raw"][0, 0], 9))}
                )
            }
        ),
        "a probability": resigned(**{"golden.npz": _npz({**golden, "members": golden["members"] + 1e-6})}),
        "nothing recorded": resigned(**{"golden.npz": _npz({**golden, "stacked": golden["stacked"][:0]})}),
    }
    for what, files in changed.items():
        with pytest.raises(BadModel) as error:
            load(files, None)
        assert error.value.reason == "model_golden", what


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"format": 4}, "model_format", "format 4"),
        ({"surprise": 1}, "model_manifest", "surprise"),
        ({"rows": "many"}, "model_manifest", "rows"),
        ({"names": ["a", "a"]}, "model_manifest", "double"),
        ({"missing_ok": ["nowhere"]}, "model_manifest", "missing_ok"),
        ({"files": {}}, "model_manifest", "lists"),
        ({"reference": {"nowhere": REFERENCE}}, "model_manifest", "other features"),
        ({"reference": {"hour": {**REFERENCE, "shares": [1.0]}}}, "model_manifest", "do not fit"),
        ({"reference": {"hour": {**REFERENCE, "cuts": [2.0, 1.0], "shares": [1.0] * 4}}}, "model_manifest", "not fit"),
        ({"reference": {"hour": {**REFERENCE, "low": None}}}, "model_manifest", "low"),
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused(changes: dict[str, Any], reason: str, words: str) -> None:
    with pytest.raises(BadModel, match=words) as error:
        load(resigned(**changes), None)
    assert error.value.reason == reason


def test_a_missing_file_and_a_wrong_manifest_are_named() -> None:
    for name in artefact():
        with pytest.raises(BadModel, match=name) as error:
            load({key: data for key, data in artefact().items() if key != name}, None)
        assert error.value.reason == "model_incomplete"
    with pytest.raises(BadModel, match="0000") as error:
        load(artefact(), "0000")
    assert error.value.reason == "model_tampered"


def test_serving_imports_no_ml_library() -> None:
    code = "import sys, core.domain.forecast; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"lightgbm", "xgboost", "sklearn", "scipy", "pandas", "pyarrow"} & set(loaded)
