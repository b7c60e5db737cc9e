"""Regime: what kind of market it is, and how much of the size it allows. Pure, and from closed bars only."""

from __future__ import annotations

import math
from typing import Literal

from core.domain.risk.policy import Policy

Market = Literal["normal", "volatile", "trending", "crisis"]
Vix = Literal["risk_on", "normal", "risk_off", "panic", "unknown"]


def market(volatility_ratio: float, fall: float, adx: float, policy: Policy) -> Market:
    """The most severe that holds, in the order crisis > volatile > trending > normal.

    volatility_ratio: realised volatility of 24 bars over that of 168 (at most the root of 7, as the 24 are among the
    168). fall: return over 24 bars, -0.1 is a fall by 10 %. adx: Wilder's ADX of 14 bars, 0 to 100 (New Concepts in
    Technical Trading Systems, 1978). What is no number counts as crisis: not knowing is no reason to be bold.

    That volatility clusters, so that a wild day tells of the next one: Mandelbrot, The Variation of Certain Speculative
    Prices (1963); Cont, Empirical Properties of Asset Returns (2001).
    """
    if not all(math.isfinite(number) for number in (volatility_ratio, fall, adx)):
        return "crisis"
    if fall <= -policy.crisis_fall or volatility_ratio >= policy.crisis_volatility:
        return "crisis"
    if volatility_ratio >= policy.volatility_high:
        return "volatile"
    return "trending" if adx >= policy.trend_adx else "normal"


def vix(level: float, policy: Policy) -> Vix:
    """What the VIX says, in points (Whaley, The Investor Fear Gauge, 2000). NaN, 0 and less are no level: unknown."""
    if not level > 0.0:
        return "unknown"
    if level >= policy.vix_panic:
        return "panic"
    if level >= policy.vix_risk_off:
        return "risk_off"
    return "risk_on" if level < policy.vix_calm else "normal"


def scale(market: Market, vix: Vix, policy: Policy) -> float:
    """What both leave of the size, 0 to 1: the product of their factors. Panic leaves nothing; an unknown VIX counts as
    risk_off."""
    markets: dict[Market, float] = {
        "normal": 1.0,
        "volatile": policy.regime_volatile,
        "trending": policy.regime_trending,
        "crisis": policy.regime_crisis,
    }
    worlds: dict[Vix, float] = {
        "risk_on": policy.vix_risk_on,
        "normal": 1.0,
        "risk_off": policy.vix_risk_off_scale,
        "panic": 0.0,
        "unknown": policy.vix_risk_off_scale,
    }
    return markets[market] * worlds[vix]
