"""The backtest: decide → fill → evolve, folded over bars. Ticks replayed over the same bars give the same, exactly."""

from core.domain.backtest.fold import Result
from core.domain.backtest.quick import backtest

__all__ = ["Result", "backtest"]
