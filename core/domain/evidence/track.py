"""Track: what a run made, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

from core.domain.bars import Floats, Times
from core.domain.state import Trade


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One value for each bar, at its close: `time` (epoch seconds), `price`, `equity` and `position` (base coin,
    signed). `trades`: the closed ones, in order. `bars_per_year`: what makes a Sharpe ratio a year's."""

    time: Times
    price: Floats
    equity: Floats
    position: Floats
    trades: tuple[Trade, ...]
    bars_per_year: float

    @property
    def returns(self) -> Floats:
        """(n - 1,): the equity's change from each bar to the next, as a fraction."""
        made: Floats = self.equity[1:] / self.equity[:-1] - 1.0
        return made
