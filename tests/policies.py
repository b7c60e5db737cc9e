"""Policies for tests of something else: nothing but the threshold and the risk of a trade has a say."""

from __future__ import annotations

from typing import Any, Final

from core.domain.risk import Policy

# At every signal, both ways, for as long as it stands, with a stop near enough to be hit.
EAGER: Final[dict[str, Any]] = {"short": True, "edge": 0.0, "hold_bars": 0, "hold_most_bars": 0, "stop_atr": 2.0}
# And every breaker, every further limit of the size and every regime is off.
PLAIN: Final[dict[str, Any]] = {
    **EAGER,
    "capital_stages": (),
    "kelly": 0.0,
    "volatility_target": 0.0,
    "value_at_risk": 0.0,
    "liquidation_buffer": 1.0,
    "margin_least": 0.0,
    "regime_volatile": 1.0,
    "regime_crisis": 1.0,
    "vix_risk_off_scale": 1.0,
    **dict.fromkeys(("daily_loss", "drawdown", "cooldown_hours", "low_profit", "slippage"), 0.0),
    **dict.fromkeys(("price_move", "error_rate", "latency_s"), 0.0),
    **dict.fromkeys(("losses", "stops"), 0),
}


def plain_policy(**changes: Any) -> Policy:
    return Policy(**{**PLAIN, **changes})
