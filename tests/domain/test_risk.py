"""The threshold of a bar, step by step, and how much to hold."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.risk import Policy, threshold
from tests.domain.drawn import policies

NAN = math.nan
BELOW_15, BELOW_25 = math.nextafter(15.0, 0.0), math.nextafter(25.0, 0.0)


def steps(
    volatility: float = 1.0,
    atr: float = 0.01,
    won: float | None = None,
    vix: float = 20.0,
    change: float = 0.0,
    policy: Policy | None = None,
) -> dict[str, float]:
    return threshold(policy or Policy(), volatility, atr, won, vix, change)


def test_the_base_is_five_hundredths_when_nothing_moves_it() -> None:
    assert steps() == {
        "base": 0.05,
        "volatility": 0.0,
        "atr": 0.0,
        "performance": 0.0,
        "vix": 0.0,
        "spike": 0.0,
        "th": 0.05,
    }


@pytest.mark.parametrize(
    ("ratio", "step"), [(1.5, 0.01), (math.nextafter(1.5, 0), 0.0), (0.7, -0.005), (math.nextafter(0.7, 1), 0.0)]
)
def test_volatility_makes_it_careful_when_high_and_bold_when_low(ratio: float, step: float) -> None:
    assert steps(volatility=ratio)["volatility"] == step


@pytest.mark.parametrize(("ratio", "step"), [(0.015, 0.01), (math.nextafter(0.015, 0), 0.0)])
def test_wide_bars_make_it_careful(ratio: float, step: float) -> None:
    assert steps(atr=ratio)["atr"] == step


@pytest.mark.parametrize(("won", "step"), [(None, 0.0), (0.4, 0.01), (0.41, 0.0), (0.59, 0.0), (0.6, -0.005)])
def test_recent_losses_make_it_careful_and_recent_gains_bold(won: float | None, step: float) -> None:
    assert steps(won=won)["performance"] == step


@pytest.mark.parametrize(
    ("vix", "step"), [(BELOW_15, -0.01), (15.0, 0.0), (BELOW_25, 0.0), (25.0, 0.02), (50.0, 0.02), (NAN, 0.02)]
)
def test_the_vix_is_calm_below_15_and_risk_off_from_25_and_unknown_is_no_calm(vix: float, step: float) -> None:
    assert steps(vix=vix)["vix"] == step


@pytest.mark.parametrize(("change", "step"), [(0.2, 0.03), (math.nextafter(0.2, 0), 0.0), (NAN, 0.0), (-0.5, 0.0)])
def test_a_spike_of_the_vix_makes_it_careful(change: float, step: float) -> None:
    assert steps(change=change)["spike"] == step


def test_all_steps_add_up() -> None:
    found = steps(volatility=2.0, atr=0.05, won=0.1, vix=30.0, change=0.5)
    assert found["th"] == pytest.approx(0.05 + 0.01 + 0.01 + 0.01 + 0.02 + 0.03, abs=1e-15)


def test_it_stays_between_its_least_and_its_most() -> None:
    narrow = Policy(threshold_min=0.045, threshold_max=0.06)
    assert steps(vix=10.0, policy=narrow)["th"] == 0.045
    assert steps(vix=30.0, policy=narrow)["th"] == 0.06


@given(policies, st.floats(0, 5), st.floats(0, 1), st.none() | st.floats(0, 1), st.floats(5, 90), st.floats(-1, 2))
def test_the_threshold_is_its_steps_held_within_the_limits(
    policy: Policy, volatility: float, atr: float, won: float | None, vix: float, change: float
) -> None:
    found = threshold(policy, volatility, atr, won, vix, change)
    th = found.pop("th")
    assert th == min(max(sum(found.values()), policy.threshold_min), policy.threshold_max)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.5},
        {"minimum_confidence": 1.1},
        {"rule": "maybe"},
        {"rule_long": 0.4},
        {"stop_atr": 0},
        {"th": 1},
    ],
)
def test_a_policy_out_of_range_is_refused_when_it_is_read(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(wrong))):
        msgspec.convert(wrong, Policy)
