"""Policy: what the operator allows."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

Level = Literal["reduce", "halt", "flatten"]  # what a breaker trips to

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Step = Annotated[float, Meta(ge=-0.2, le=0.2)]
Positive = Annotated[float, Meta(gt=0.0)]
Amount = Annotated[float, Meta(ge=0.0)]  # 0: off
Count = Annotated[int, Meta(ge=0, le=30)]  # 0: off
Hours = Annotated[float, Meta(gt=0.0, le=8760.0)]


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds and limits of a book. Each key is explained, with unit and safe range, in config/default.toml."""

    capital: Decimal = Decimal(10000)
    capital_stages: tuple[Decimal, ...] = (Decimal(10000), Decimal(50000), Decimal(500000))
    stage: Annotated[int, Meta(ge=1, le=20)] = 1
    leverage: Decimal = Decimal(1)
    short: bool = False

    threshold: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.05
    threshold_min: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.01
    threshold_max: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.25
    exit_fraction: Share = 0.7
    minimum_confidence: Share = 0.0
    edge: Annotated[float, Meta(ge=0.0, le=10.0)] = 3.0
    hold_bars: Annotated[int, Meta(ge=0, le=1000)] = 12
    hold_most_bars: Annotated[int, Meta(ge=0, le=1000)] = 12
    certainty: Annotated[float, Meta(ge=0.0, le=0.45)] = 0.0

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
    stop_atr: Annotated[float, Meta(ge=0.5, le=10.0)] = 4.0
    kelly: Share = 0.5
    kelly_cap: Share = 0.25
    kelly_trades: Annotated[int, Meta(ge=1, le=1000)] = 10
    kelly_days: Positive = 90.0
    kelly_floor: Share = 0.0025
    volatility_target: Amount = 0.6
    value_at_risk: Share = 0.1
    liquidation_buffer: Annotated[float, Meta(ge=1.0, le=20.0)] = 2.0
    margin_least: Amount = 1.0

    regime_volatile: Share = 0.5
    regime_trending: Share = 1.0
    regime_crisis: Share = 0.0
    crisis_fall: Share = 0.1
    crisis_volatility: Annotated[float, Meta(gt=0.0, le=2.6)] = 2.2
    trend_adx: Annotated[float, Meta(gt=0.0, le=100.0)] = 25.0
    vix_risk_on: Share = 1.0
    vix_risk_off_scale: Share = 0.5

    daily_loss: Share = 0.02
    daily_loss_level: Level = "reduce"
    drawdown: Share = 0.05
    drawdown_level: Level = "flatten"
    losses: Count = 5
    losses_level: Level = "reduce"
    losses_hours: Hours = 24.0
    cooldown_hours: Amount = 2.0
    cooldown_level: Level = "reduce"
    stops: Count = 3
    stops_level: Level = "reduce"
    stops_within_hours: Hours = 48.0
    stops_hours: Hours = 24.0
    low_profit: Share = 0.01
    low_profit_level: Level = "reduce"
    low_profit_trades: Count = 6
    low_profit_within_hours: Hours = 168.0
    low_profit_hours: Hours = 24.0
    slippage: Share = 0.005
    slippage_level: Level = "reduce"
    slippage_fills: Annotated[int, Meta(ge=1, le=30)] = 5
    price_move: Share = 0.1
    price_move_level: Level = "reduce"
    price_move_hours: Hours = 1.0
    error_rate: Share = 0.01
    error_rate_level: Level = "reduce"
    errors: Annotated[int, Meta(ge=1)] = 3
    latency_s: Amount = 5.0
    latency_level: Level = "reduce"

    model_max_age_days: Annotated[float, Meta(ge=0.0)] = 21.0
