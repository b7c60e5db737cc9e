import math

import numpy as np
import pytest

from core.domain.metrics import auc, brier, calibration_error, log_loss


@pytest.mark.parametrize("seed", range(5))
def test_log_loss_brier_and_auc_equal_those_of_scikit_learn(seed: int) -> None:
    from sklearn import metrics

    random = np.random.default_rng(seed)
    y = np.concatenate([[0.0, 1.0], random.integers(0, 2, 50).astype(float)])
    p = random.choice([0.0, 0.1, 0.3, 0.5, 0.8, 1.0], len(y))  # certainties and many ties
    assert log_loss(y, p) == pytest.approx(metrics.log_loss(y, p))
    assert brier(y, p) == pytest.approx(metrics.brier_score_loss(y, p))
    assert auc(y, p) == pytest.approx(metrics.roc_auc_score(y, p))


def test_auc_of_one_class_is_not_a_number() -> None:
    assert math.isnan(auc(np.ones(3), np.array([0.1, 0.2, 0.3])))


def test_calibration_error_is_the_distance_of_forecast_and_frequency() -> None:
    y = np.tile([1.0, 0.0, 0.0, 0.0], 100)
    assert calibration_error(y, np.full(400, 0.25)) == pytest.approx(0)
    assert calibration_error(y, np.full(400, 0.35)) == pytest.approx(0.1)


def test_calibration_error_sees_what_cancels_out_on_the_whole() -> None:
    y = np.concatenate([np.zeros(100), np.ones(100)])
    p = np.concatenate([np.full(100, 0.4), np.full(100, 0.6)])
    assert calibration_error(y, p) == pytest.approx(0.4)
