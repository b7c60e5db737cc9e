"""Risk: what the operator allows (Policy), the bar-by-bar threshold, and how much to hold."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Step = Annotated[float, Meta(ge=-0.2, le=0.2)]
Positive = Annotated[float, Meta(gt=0.0)]


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds and limits of a book. Each key is explained, with unit and safe range, in config/default.toml."""

    capital: Decimal = Decimal(10000)
    leverage: Decimal = Decimal(1)
    short: bool = True

    threshold: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.05
    threshold_min: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.01
    threshold_max: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.25
    exit_fraction: Share = 0.7
    minimum_confidence: Share = 0.0

    volatility_high: Positive = 1.5
    volatility_high_step: Step = 0.01
    volatility_low: Positive = 0.7
    volatility_low_step: Step = -0.005
    atr_high: Positive = 0.015
    atr_high_step: Step = 0.01

    performance_trades: Annotated[int, Meta(ge=1, le=30)] = 10
    performance_low: Share = 0.4
    performance_low_step: Step = 0.01
    performance_high: Share = 0.6
    performance_high_step: Step = -0.005

    vix_calm: Positive = 15.0
    vix_calm_step: Step = -0.01
    vix_risk_off: Positive = 25.0
    vix_risk_off_step: Step = 0.02
    vix_panic: Positive = 35.0
    vix_spike: Positive = 0.2
    vix_spike_step: Step = 0.03
    vix_unknown_step: Step = 0.02

    rule: Literal["off", "confirm"] = "off"
    rule_long: Annotated[float, Meta(ge=0.5, le=1.0)] = 0.52
    rule_short: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.48

    risk_per_trade: Decimal = Decimal("0.01")
    stop_atr: Annotated[float, Meta(ge=0.5, le=10.0)] = 2.0

    model_max_age_days: Annotated[float, Meta(ge=0.0)] = 21.0


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


def size(
    equity: Decimal, price: Decimal, distance: Decimal, risk_per_trade: Decimal, leverage: Decimal
) -> tuple[Decimal, str]:
    """Base coin to hold so that a stop `distance` away loses `risk_per_trade` of the equity, and which limit spoke.

    Fixed-fractional sizing (Vince, The Mathematics of Money Management, 1992; ATR stop distance: Wilder 1978), never
    more than `leverage` times the equity. 0 when there is no equity or no distance.
    """
    if equity <= 0 or price <= 0 or distance <= 0:
        return Decimal(0), "no_equity"
    by_risk, by_leverage = equity * risk_per_trade / distance, equity * leverage / price
    return (by_risk, "risk_per_trade") if by_risk <= by_leverage else (by_leverage, "leverage")
