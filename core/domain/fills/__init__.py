"""Fills: what becomes of intents when the market moves on. The one fill model of backtest and paper exchange.

An intent decided at the close of a bar is filled at the next bar's open, moved by the slippage against us and rounded
to the tick against us, at the taker fee. All that a book does in one bar takes at most `volume_share` of its volume:
as of an immediate-or-cancel order, the rest is gone. A protective stop is taken pessimistically: it fires when the
bar's range touches it, even in the bar of entry, and fills at the stop or, when the bar opened beyond it, at the open,
with the stop's slippage on top; what the bar does not give stays protected by it. Where the bar passes the price at
which the venue closes a position by force, it is closed whole at the worst price of the bar. Margin interest and the
funding of perpetuals are charged when a position closes, with the share of it that does. docs/backtest.md tells why.
"""

from core.domain.fills.account import PAPER, Account, accept, sight
from core.domain.fills.booking import apply, liquidation
from core.domain.fills.costs import CENT, FUNDING_S, Costs
from core.domain.fills.passage import DAY, advance, through

__all__ = [
    "CENT",
    "DAY",
    "FUNDING_S",
    "PAPER",
    "Account",
    "Costs",
    "accept",
    "advance",
    "apply",
    "liquidation",
    "sight",
    "through",
]
