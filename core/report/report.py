"""What a report tells."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec

SERIES: Final = ("price", "equity", "hold", "probability", "threshold_long", "threshold_short", "vix")


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One position from entry to exit. Prices in quote currency, amount in base coin, pnl after fees
    (and interest), which `fees` are the sum of.

    `cause` is why it ended: "exit", "stop", or "open" when it has not; then `closed` and `exit` are None.
    """

    opened: datetime
    closed: datetime | None
    side: Literal["long", "short"]
    amount: Decimal
    entry: Decimal
    exit: Decimal | None
    pnl: Decimal
    cause: str
    fees: Decimal = Decimal(0)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `render` shows. All series have one value for each bar of `time` (epoch seconds of the open, increasing).

    `facts` are the figures at the top, most important first. `price` is the close; `hold` is buy-and-hold with the
    same capital; `threshold_long` and `threshold_short` are the levels of p(up) beyond which the book enters. A value
    that is None or not finite leaves a hole in its line. `reasons` counts the outcomes of all decisions.
    """

    title: str
    subtitle: str
    facts: list[tuple[str, str]]
    time: list[int]
    price: list[float]
    equity: list[float]
    hold: list[float]
    probability: list[float | None]
    threshold_long: list[float | None]
    threshold_short: list[float | None]
    vix: list[float | None]
    trades: list[Trade]
    last_decision: str
    numbers: list[tuple[str, str]]
    model: list[tuple[str, str]]
    notes: list[str]
    reasons: list[tuple[str, int]]
    currency: str
    timezone: Literal["UTC"] = "UTC"


def check(report: Report) -> None:
    """Raises ValueError when a series is not as long as `time`, when `time` does not increase, or when the time of a
    trade has no time zone."""
    bars = len(report.time)
    for name in SERIES:
        if (count := len(getattr(report, name))) != bars:
            raise ValueError(f"report: {name} has {count} values for {bars} bars; give one for each bar")
    for earlier, later in zip(report.time, report.time[1:], strict=False):
        if later <= earlier:
            raise ValueError(f"report: time goes from {earlier} to {later}; sort the bars and leave out repeated ones")
    for trade in report.trades:
        for moment in (trade.opened, trade.closed):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"report: the trade at {moment.isoformat()} has no time zone; give times in UTC")
