"""Every kind of model, fitted or loaded, keeps the same promises: the battery of core.domain.forecast.Forecaster."""

from __future__ import annotations

import io
from functools import cache

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from core.domain.bars import Floats
from core.domain.ensemble import Artefact, Fitted, Training, even, export, fit, judge, verdict
from core.domain.forecast import KINDS, MANIFEST, MEMBERS, BadModel, Forecaster, Kind, Model, asked, digest, load
from core.domain.forecast.manifest import FILES, TREES
from tests.domain.forecasts import META

TINY = Training(folds=2, trees=15, learning_rate=0.1, leaf_rows=20, forest_trees=15, forest_leaf_rows=5, embargo=5)
NAMES = [f"f{i}" for i in range(6)]
SIDES = ("fitted", "loaded")
each_kind = pytest.mark.parametrize("kind", KINDS)
each_side = pytest.mark.parametrize("side", SIDES)


@cache
def rows() -> tuple[Floats, Floats]:
    """(rows, labels): six features, two of which foresee a little; every tenth value of the last is absent."""
    random = np.random.default_rng(4)
    values = random.normal(size=(900, 6))
    y = (values[:, 0] - 0.5 * values[:, 1] + random.normal(0, 2, len(values)) > 0).astype(float)
    values[::10, 5] = np.nan
    return values, y


@cache
def fitted(kind: Kind) -> Fitted:
    values, y = rows()
    return fit(values[:600], y[:600], np.arange(600) + 3, NAMES, replace(TINY, model=kind))


@cache
def artefact(kind: Kind) -> Artefact:
    return export(fitted(kind), META)


@cache
def loaded(kind: Kind) -> Model:
    return load(artefact(kind), digest(artefact(kind)[MANIFEST]))


def forecaster(kind: Kind, side: str) -> Forecaster:
    return fitted(kind) if side == "fitted" else loaded(kind)


def others(kind: Kind) -> list[int]:
    return [place for place in range(len(MEMBERS)) if place not in asked(kind)]


def extremes() -> Floats:
    """Rows at the ends of what may be asked, and beside nothing."""
    random = np.random.default_rng(5)
    values = random.choice([0.0, -0.0, 1e-36, -1e30, 1e30, 3e38, -3e38, 5.0, -5.0], (200, 6))
    values[random.random(200) < 0.5, 5] = np.nan
    return values


@each_kind
@each_side
def test_a_probability_is_between_0_and_1_whatever_the_row(kind: Kind, side: str) -> None:
    for asked_of in (rows()[0], extremes()):
        p = forecaster(kind, side).predict(asked_of)
        assert p.shape == (len(asked_of),)
        assert ((p >= 0.0) & (p <= 1.0)).all()
    assert forecaster(kind, side).predict(rows()[0]).std() > 0.01


@each_kind
@each_side
def test_a_row_alone_gives_the_bits_that_it_gives_in_a_batch(kind: Kind, side: str) -> None:
    found = forecaster(kind, side)
    some = np.concatenate([rows()[0][:40], extremes()[:20]])
    alone = [(found.raw(row[None]), found.members(row[None]), found.predict(row[None])) for row in some]
    for i, batch in enumerate((found.raw(some), found.members(some), found.predict(some))):
        np.testing.assert_array_equal(np.concatenate([parts[i] for parts in alone]), batch)


@each_kind
@each_side
def test_the_members_that_a_kind_does_not_ask_are_nan_and_no_other(kind: Kind, side: str) -> None:
    for scores in (forecaster(kind, side).raw(rows()[0]), forecaster(kind, side).members(rows()[0])):
        assert np.isnan(scores[:, others(kind)]).all()
        assert np.isfinite(scores[:, list(asked(kind))]).all()


@each_kind
def test_loaded_and_trained_agree_bit_for_bit(kind: Kind) -> None:
    for some in (rows()[0], extremes()):
        np.testing.assert_array_equal(loaded(kind).raw(some), fitted(kind).raw(some))
        np.testing.assert_array_equal(loaded(kind).members(some), fitted(kind).members(some))
        np.testing.assert_array_equal(loaded(kind).predict(some), fitted(kind).predict(some))


@each_kind
def test_a_member_is_the_same_in_every_kind_that_asks_it(kind: Kind) -> None:
    places = list(asked(kind))
    np.testing.assert_array_equal(
        loaded(kind).members(rows()[0])[:, places], loaded("stacking").members(rows()[0])[:, places]
    )


@each_kind
def test_one_row_is_scored_with_the_members_that_are_asked_by_name(kind: Kind) -> None:
    row = rows()[0][3]
    p_up, members = loaded(kind).score(row)
    assert p_up == loaded(kind).predict(row[None])[0]
    assert list(members) == [MEMBERS[place] for place in asked(kind)]
    assert list(members.values()) == loaded(kind).members(row[None])[0, list(asked(kind))].tolist()


def test_the_average_is_the_plain_mean_of_the_members_probabilities() -> None:
    found = fitted("average")
    assert found.stacking is None
    np.testing.assert_allclose(found.predict(rows()[0]), found.members(rows()[0]).mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_member_alone_is_calibrated_by_one_weight_and_keeps_its_order(kind: Kind) -> None:
    found, place = fitted(kind), MEMBERS.index(kind)
    assert found.stacking is not None
    assert found.stacking.weights[place] > 0.0
    assert [found.stacking.weights[other] for other in others(kind)] == [0.0, 0.0]
    own, p = found.members(rows()[0])[:, place], found.predict(rows()[0])
    order = np.argsort(own, kind="stable")
    assert (np.diff(p[order]) >= -1e-7).all()
    assert np.abs(p - own).max() > 1e-4  # it is not left as it was


@each_kind
def test_before_there_are_rows_to_learn_from_the_members_have_equal_weights(kind: Kind) -> None:
    stacking = even(kind)
    if stacking is None:
        assert kind == "average"
        return
    assert stacking.intercept == 0.0
    assert sum(stacking.weights) == pytest.approx(1.0)
    assert [bool(weight) for weight in stacking.weights] == [place in asked(kind) for place in range(3)]


@each_kind
def test_what_is_not_asked_is_neither_trained_nor_exported_nor_walked(kind: Kind) -> None:
    members = fitted(kind).members_
    trained = [place for place, name in enumerate(MEMBERS) if getattr(members, name) is not None]
    assert trained == list(asked(kind))
    assert set(artefact(kind)) == {MANIFEST, *FILES}
    for place, name in enumerate(TREES):
        with np.load(io.BytesIO(artefact(kind)[name]), allow_pickle=False) as trees:
            assert bool(len(trees["sizes"])) == (place in asked(kind))
    assert len(loaded(kind)._grove.roots) == 15 * len(asked(kind))


@each_kind
def test_the_manifest_says_what_it_is(kind: Kind) -> None:
    manifest = loaded(kind).manifest
    assert (manifest.model, manifest.training["model"]) == (kind, kind)
    assert (manifest.stacking is None) == (kind == "average")
    libraries = {"numpy", *(("lightgbm", "xgboost", "sklearn")[place] for place in asked(kind))}
    assert set(manifest.libraries) == libraries


@each_kind
def test_the_same_rows_make_the_same_bytes_and_each_kind_its_own(kind: Kind) -> None:
    assert export(fit(*arguments(kind)), META) == artefact(kind)
    assert len({digest(artefact(other)[MANIFEST]) for other in KINDS}) == len(KINDS)


def arguments(kind: Kind) -> tuple[Floats, Floats, np.ndarray, list[str], Training]:
    values, y = rows()
    return values[:600], y[:600], np.arange(600) + 3, NAMES, replace(TINY, model=kind)


@each_kind
def test_any_damage_is_refused_by_its_digest(kind: Kind) -> None:
    random, expected = np.random.default_rng(6), digest(artefact(kind)[MANIFEST])
    for name, data in artefact(kind).items():
        for at in random.integers(0, len(data), 8).tolist():
            damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            with pytest.raises(BadModel) as error:
                load({**artefact(kind), name: damaged}, expected)
            assert error.value.reason == "model_tampered"


def forged(kind: Kind, files: Artefact | None = None, **fields: object) -> Artefact:
    """The artefact with files and fields of its manifest changed, and every digest made right again."""
    made = {**artefact(kind), **(files or {})}
    manifest = msgspec.json.decode(made[MANIFEST]) | fields
    manifest["files"] = {name: digest(made[name]) for name in FILES}
    return {**made, MANIFEST: msgspec.json.encode(manifest)}


@each_kind
@pytest.mark.parametrize("other", KINDS)
def test_a_model_that_says_it_is_of_another_kind_is_refused(kind: Kind, other: Kind) -> None:
    if kind == other:
        load(forged(kind), None)
        return
    with pytest.raises(BadModel) as error:
        load(forged(kind, model=other), None)
    assert error.value.reason in ("model_manifest", "model_unreadable")


@each_kind
def test_weights_that_do_not_belong_to_the_kind_are_refused(kind: Kind) -> None:
    whole = msgspec.to_builtins(fitted("stacking").stacking)
    foreign = None if kind != "average" else whole
    with pytest.raises(BadModel, match="weights are not those"):
        load(forged(kind, stacking=foreign), None)
    if kind in MEMBERS:
        with pytest.raises(BadModel, match="weights are not those"):
            load(forged(kind, stacking={**whole, "weights": [0.5, 0.5, 0.5]}), None)


@pytest.mark.parametrize("kind", MEMBERS)
def test_trees_hidden_in_the_file_of_a_member_that_is_not_asked_are_refused(kind: Kind) -> None:
    name = TREES[others(kind)[0]]
    with pytest.raises(BadModel, match="does not ask") as error:
        load(forged(kind, {name: artefact("stacking")[name]}), None)
    assert error.value.reason == "model_unreadable"


@each_kind
def test_golden_scores_that_are_not_its_own_are_refused(kind: Kind) -> None:
    with np.load(io.BytesIO(artefact(kind)["golden.npz"]), allow_pickle=False) as golden:
        arrays = dict(golden)
    from core.domain.ensemble.export import _npz

    for key in ("raw", "members", "stacked"):
        changed = {**arrays, key: arrays[key] + 1e-6}
        with pytest.raises(BadModel) as error:
            load(forged(kind, {"golden.npz": _npz(changed)}), None)
        assert error.value.reason == "model_golden", key
    if others(kind):  # a member that is not asked has no scores to compare with
        for key in ("raw", "members"):
            with pytest.raises(BadModel):
                load(forged(kind, {"golden.npz": _npz({**arrays, key: np.nan_to_num(arrays[key])})}), None)


@each_kind
@each_side
def test_every_kind_can_be_judged_and_is_not_refused_for_what_it_has_not(kind: Kind, side: str) -> None:
    values, y = rows()
    judgement = judge(forecaster(kind, side), values[610:], y[610:], fitted(kind).base_rate)
    told = judgement.metrics()
    assert [told[f"{name}_log_loss"] is None for name in MEMBERS] == [place in others(kind) for place in range(3)]
    assert judgement.odd == []
    assert not any("not a number" in reason for reason in verdict(judgement))
    if kind == "average":
        assert judgement.log_loss == pytest.approx(judgement.mean_log_loss, abs=1e-7)


def test_a_stacking_of_the_format_before_kinds_is_still_read() -> None:
    older = msgspec.json.decode(artefact("stacking")[MANIFEST])
    del older["model"], older["training"]["model"]
    files = {**artefact("stacking"), MANIFEST: msgspec.json.encode(older | {"format": 2})}
    found = load(files, digest(files[MANIFEST]))
    assert found.manifest.model == "stacking"
    np.testing.assert_array_equal(found.predict(rows()[0]), loaded("stacking").predict(rows()[0]))
