import io
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from core.domain.bars import Floats
from core.domain.ensemble import Fitted, Gate, Judgement, Training, export, fit, judge, verdict
from core.domain.ensemble.fit import stack
from core.domain.forecast import MEMBERS, digest, load
from core.domain.forecast.manifest import TREES
from core.domain.metrics import auc, log_loss
from tests.domain.forecasts import META, trained

TINY = Training(folds=3, trees=25, learning_rate=0.1, leaf_rows=20, forest_trees=25, forest_leaf_rows=5, embargo=5)


def synthetic(size: int, seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """(rows, y, ends) of the first `size` bars of a series: eight persistent features, on one of which the direction
    of the next six bars leans a little; labels overlap, as the real ones do."""
    random = np.random.default_rng(seed)
    rows = 0.2 * random.normal(size=(2600, 8))
    for t in range(1, len(rows)):
        rows[t] += 0.98 * rows[t - 1]
    price = np.cumsum(0.25 * np.tanh(rows[:, 0]) + random.normal(size=len(rows)))
    at = np.arange(size)
    y = np.where(at + 7 < size, price[at + 7] > price[at + 1], np.nan).astype(float)
    return rows[:size], y, np.minimum(at + 7, size - 1)


@lru_cache
def fitted_on(size: int = 800, seed: int = 1, training: Training = TINY) -> Fitted:
    rows, y, ends = synthetic(size, seed)
    return fit(rows, y, ends, [f"f{i}" for i in range(8)], training)


def test_the_same_data_and_seed_give_the_same_manifest_and_another_seed_another() -> None:
    fitted_anew = fitted_on.__wrapped__
    first, second = (digest(export(make(), META)["manifest.json"]) for make in (fitted_on, fitted_anew))
    other = digest(export(fitted_on(training=msgspec.structs.replace(TINY, seed=2)), META)["manifest.json"])
    assert first == second != other


def test_stacking_does_not_invert_the_signal_on_persistent_features() -> None:
    parts: list[list[Floats]] = []
    for seed in range(4):
        rows, labels, _ = synthetic(2400, seed)
        known = slice(1800, 2390)
        fitted = fitted_on(1780, seed)  # the first rows of the same series
        parts.append([labels[known], fitted.predict(rows[known]), fitted.members(rows[known]).mean(axis=1)])
    y, stacked, mean = np.concatenate(parts, axis=1)
    assert auc(y, stacked) > 0.55
    assert auc(y, stacked) > auc(y, mean) - 0.01
    assert log_loss(y, stacked) < log_loss(y, mean)


def odds_and_labels(size: int = 4000, scale: float = 1.0) -> tuple[Floats, Floats]:
    random = np.random.default_rng(2)
    true = random.normal(0, 0.7, size)
    y = (random.random(size) < 1 / (1 + np.exp(-true))).astype(float)
    return scale * (true[:, None] + random.normal(0, 0.2, (size, 3))), y


def test_no_member_is_turned_around() -> None:
    odds, y = odds_and_labels()
    odds[:, 1] *= -1
    weights = stack(odds, y, 0.0).weights
    assert weights[1] == 0.0
    assert min(weights[0], weights[2]) > 0.3


def test_overconfident_members_are_calibrated() -> None:
    odds, y = odds_and_labels(scale=4.0)
    stacking = stack(odds, y, 16 / len(y))
    p = 1 / (1 + np.exp(-(stacking.intercept + odds @ np.array(stacking.weights))))
    assert sum(stacking.weights) == pytest.approx(0.25, abs=0.04)
    assert p.mean() == pytest.approx(y.mean(), abs=1e-4)


def test_without_evidence_the_plain_mean_stands() -> None:
    odds, y = odds_and_labels(size=30)
    assert stack(odds, y, 1000.0).weights == pytest.approx((1 / 3,) * 3, abs=1e-3)


def test_rows_without_a_label_play_no_part() -> None:
    rows, y, ends = synthetic(800, 1)
    rows[np.isnan(y)] = 1e6
    again = fit(rows, y, ends, [f"f{i}" for i in range(8)], TINY)
    assert again.rows == int(np.isfinite(y).sum())
    assert again.base_rate == pytest.approx(np.nanmean(y))
    assert export(again, META) == export(fitted_on(), META)


def test_only_what_was_known_before_each_fold_is_learnt_for_it() -> None:
    """Labels that all end after the last fold began leave nothing to train on: the fit must say so, not go on."""
    rows, y, _ = synthetic(300, 1)
    ends = np.full(300, 299)
    with pytest.raises(ValueError, match="label ends"):
        fit(rows[:290], y[:290], ends[:290], [f"f{i}" for i in range(8)], TINY)


def test_progress_is_told_to_the_end() -> None:
    rows, y, ends = synthetic(300, 1)
    told: list[float] = []
    fit(rows, y, ends, [f"f{i}" for i in range(8)], TINY, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def with_value(rows: Floats, value: float) -> Floats:
    rows = rows.copy()
    rows[7 if np.isinf(value) else slice(None), 2] = value
    return rows


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows, y, ends: (with_value(rows, np.inf), y, ends), r"\['f2'\] are infinite"),
        (lambda rows, y, ends: (with_value(rows, np.nan), y, ends), r"\['f2'\] are infinite or have no value"),
        (lambda rows, y, ends: (rows, np.ones(len(y)), ends), "the same way"),
        (lambda rows, y, ends: (rows, y[:-1], ends), "one label"),
        (lambda rows, y, ends: (rows[:, :5], y, ends), "one name per column"),
        (lambda rows, y, ends: (rows[:9], y[:9], ends[:9]), "label ends"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_the_reason(change: Any, words: str) -> None:
    rows, y, ends = change(*synthetic(600, 1))
    with pytest.raises(ValueError, match=words):
        fit(rows, y, ends, [f"f{i}" for i in range(8)], TINY)


def test_golden_rows_hold_nan_and_thresholds_and_the_trained_libraries_scores() -> None:
    fitted, artefact, _, _ = trained()
    with np.load(io.BytesIO(artefact["golden.npz"]), allow_pickle=False) as golden:
        rows = golden["rows"]
        np.testing.assert_array_equal(golden["members"], fitted.members(rows))
        np.testing.assert_array_equal(golden["stacked"], fitted.predict(rows))
    assert len(rows) >= 64
    assert np.isnan(rows).any(axis=1).sum() >= 16
    for name in TREES:
        with np.load(io.BytesIO(artefact[name]), allow_pickle=False) as trees:
            feature, number = trees["feature"], trees["number"]
        on = [np.isin(rows[:, column], number[feature == column]).sum() for column in range(rows.shape[1])]
        assert sum(on) >= 30


def test_a_loaded_model_is_judged_as_the_fitted_one() -> None:
    fitted, artefact, rows, y = trained()
    unseen = slice(6000, 9000)
    judgement = judge(load(artefact, None), rows[unseen], y[unseen], fitted.base_rate)
    native = judge(fitted, rows[unseen], y[unseen], fitted.base_rate)
    assert judgement.metrics() == pytest.approx(native.metrics(), abs=1e-12)
    assert judgement.rows == int(np.isfinite(y[unseen]).sum())


class Says:
    """A scorer with fixed probabilities."""

    def __init__(self, stacked: Floats, members: Floats) -> None:
        self.stacked, self.given = stacked, members

    def predict(self, rows: Floats) -> Floats:
        return self.stacked.take(rows[:, 0].astype(int))

    def members(self, rows: Floats) -> Floats:
        return self.given.take(rows[:, 0].astype(int), axis=0)


def test_a_judgement_compares_with_the_base_rate_and_the_plain_mean() -> None:
    y = np.array([1.0, 0.0, np.nan, 1.0])
    members = np.array([[0.6, 0.7, 0.8], [0.5, 0.4, 0.3], [0.1, 0.1, 0.1], [0.9, 0.8, 0.7]])
    stacked = np.array([0.7, 0.4, 0.1, 0.8])
    j = judge(Says(stacked, members), np.arange(4.0)[:, None], y, 0.6)
    assert (j.rows, j.ups, j.auc, j.base_rate) == (3, 2, 1.0, 0.6)
    assert j.log_loss == pytest.approx(-np.log([0.7, 0.6, 0.8]).mean())
    assert j.base_log_loss == pytest.approx(-np.log([0.6, 0.4, 0.6]).mean())
    assert j.mean_log_loss == pytest.approx(-np.log([0.7, 0.6, 0.8]).mean())
    assert j.xgboost_log_loss == pytest.approx(-np.log([0.7, 0.6, 0.8]).mean())
    assert j.forest_log_loss == pytest.approx(-np.log([0.8, 0.7, 0.7]).mean())
    with pytest.raises(ValueError, match="holdout"):
        judge(Says(stacked, members), np.zeros((1, 1)), np.array([np.nan]), 0.5)


GOOD = Judgement(
    rows=1000,
    ups=510,
    base_rate=0.5,
    auc=0.56,
    log_loss=0.685,
    base_log_loss=0.693,
    mean_log_loss=0.684,
    **{f"{name}_log_loss": 0.69 for name in MEMBERS},
    brier=0.246,
    calibration_error=0.02,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log_loss": 0.693, "mean_log_loss": 0.693}, "no better than 0.69300"),
        ({"mean_log_loss": 0.6819}, "worse than 0.68190"),
        ({"auc": 0.51}, "AUC 0.5100"),
        ({"rows": 299}, "299 rows"),
        ({"brier": float("nan")}, "brier: not a number"),
        ({"log_loss": float("nan")}, "log_loss: not a number"),
    ],
)
def test_a_model_is_refused_for_each_reason_alone(changes: dict[str, Any], words: str) -> None:
    reasons = verdict(msgspec.structs.replace(GOOD, **changes))
    assert any(words in reason for reason in reasons)
    assert len(reasons) == 1 or "log_loss" in words


def test_a_good_model_passes_and_the_gate_can_be_narrowed() -> None:
    assert verdict(GOOD) == []
    assert len(verdict(GOOD, Gate(rows=2000, auc_margin=0.1, mean_tolerance=0.0))) == 3


def test_what_the_outside_never_told_is_learnt_without_and_a_price_that_was_never_there_refused() -> None:
    rows, y, ends = synthetic(800, 1)
    names = ["funding_rate", *(f"f{i}" for i in range(1, 8))]
    rows[:, 0] = np.nan
    made = fit(rows, y, ends, names, TINY)
    assert made.missing_ok == ("funding_rate",)
    assert "funding_rate" not in made.reference
    assert len(made.reference) == 7
    with pytest.raises(ValueError, match="return_1.* no value"):
        fit(rows, y, ends, ["return_1", *names[1:]], TINY)
