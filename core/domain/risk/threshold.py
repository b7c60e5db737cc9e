"""The bar-by-bar threshold: how far from 0.5 a forecast must be."""

from __future__ import annotations

from core.domain.risk.policy import Policy


def threshold(
    policy: Policy, volatility_ratio: float, atr_ratio: float, win_rate: float | None, vix: float, vix_change: float
) -> dict[str, float]:
    """The distance from 0.5 that p(up) must exceed at this bar, and every step that made it, by name.

    `base` plus steps for volatility (24 bars over 168), ATR over price, the share of recent trades won (None: too few
    to judge), the VIX level and its daily change (NaN: unknown), held within [threshold_min, threshold_max] as `th`.
    """
    steps = {
        "base": policy.threshold,
        "volatility": policy.volatility_high_step
        if volatility_ratio >= policy.volatility_high
        else policy.volatility_low_step
        if volatility_ratio <= policy.volatility_low
        else 0.0,
        "atr": policy.atr_high_step if atr_ratio >= policy.atr_high else 0.0,
        "performance": _performance_step(policy, win_rate),
        "vix": _vix_step(policy, vix),
        "spike": policy.vix_spike_step if vix_change >= policy.vix_spike else 0.0,
    }
    steps["th"] = min(max(sum(steps.values()), policy.threshold_min), policy.threshold_max)
    return steps


def _performance_step(policy: Policy, win_rate: float | None) -> float:
    if win_rate is None:
        return 0.0
    if win_rate <= policy.performance_low:
        return policy.performance_low_step
    return policy.performance_high_step if win_rate >= policy.performance_high else 0.0


def _vix_step(policy: Policy, vix: float) -> float:
    if vix != vix:  # NaN: unknown
        return policy.vix_unknown_step
    if vix < policy.vix_calm:
        return policy.vix_calm_step
    return policy.vix_risk_off_step if vix >= policy.vix_risk_off else 0.0
