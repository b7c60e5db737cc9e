"""The simulated VIX: the same for ever, and of a VIX's shape."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from core.adapters.simulated_vix import SimulatedVix, _closes

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_asking_further_first_changes_nothing() -> None:
    short = SimulatedVix(seed=7).history(datetime(2020, 3, 4, tzinfo=UTC))
    _closes.cache_clear()
    long = SimulatedVix(seed=7).history(NOW)
    assert long.value[: len(short)].tolist() == short.value.tolist()
    assert long.published[: len(short)].tolist() == short.published.tolist()


def test_it_has_a_value_for_each_weekday_and_none_for_a_weekend() -> None:
    dates = SimulatedVix().history(NOW).published // 86400 - 1
    assert sorted(set(((dates + 3) % 7).tolist())) == [0, 1, 2, 3, 4]
    assert set(np.diff(dates).tolist()) == {1, 3}


def test_each_seed_has_another_path() -> None:
    assert SimulatedVix(seed=1).history(NOW).value.tolist() != SimulatedVix(seed=2).history(NOW).value.tolist()


@pytest.mark.parametrize("seed", [1, 7, 8])
def test_it_lies_where_a_vix_lies_and_spikes_now_and_then(seed: int) -> None:
    value = SimulatedVix(seed).history(NOW).value
    assert 14 < np.median(value) < 20
    assert ((value > 12) & (value < 40)).mean() > 0.95
    assert value.max() > 35
    assert (value[1:] / value[:-1]).max() > 1.3


def test_it_reverts_to_its_mean() -> None:
    logs = np.log(SimulatedVix().history(NOW).value)
    high = logs[:-20] > np.log(25)
    assert (logs[20:] < logs[:-20])[high].mean() > 0.8


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed -1 is negative"):
        SimulatedVix(seed=-1)
