"""Account: what all books of a deployment may do together."""

from __future__ import annotations

from msgspec import Struct

from core.domain.risk.policy import Amount, Count, Level, Share


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits over all books. Each key is explained, with unit and safe range, in config/default.toml; 0: off."""

    positions: Count = 3
    exposure: Amount = 1.0
    correlated_exposure: Amount = 0.8
    correlation: Share = 0.7
    daily_loss: Share = 0.02
    daily_loss_level: Level = "reduce"
    drawdown: Share = 0.05
    drawdown_level: Level = "flatten"
