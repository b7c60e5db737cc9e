"""The document: what the template is given, and its rendering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.report.charts import charts
from core.report.report import Report, Trade, check
from core.report.scales import DASH, Axis, decimals_for, duration, number, quantity, share, stamp
from core.report.template import hover, page

LISTED_TRADES = 200
STILL_OPEN = 1e15  # sorts after every time and every duration


class Cell(NamedTuple):
    """`value` is what the column sorts by."""

    text: str
    value: float | str
    look: str = ""


class Column(NamedTuple):
    label: str
    look: str = ""


COLUMNS = (
    Column("Opened"),
    Column("Closed", "wide"),
    Column("Held", "num wide"),
    Column("Side"),
    Column("Amount", "num wide"),
    Column("Entry", "num wide"),
    Column("Exit", "num wide"),
    Column("P&L", "num"),
    Column("Return", "num"),
    Column("Ended by"),
)


def render(report: Report) -> str:
    """The whole document; equal reports give equal documents.

    Raises ValueError when a series is not as long as `time`, when `time` does not increase, or when the time of a
    trade has no time zone.
    """
    check(report)
    axis = Axis.over(report.time) if report.time else None
    drawn = charts(report, axis) if axis else []
    return page(
        "report.html",
        ["report"],
        report=report,
        period=_period(report),
        charts=drawn,
        ticks=axis.ticks() if axis else [],
        hover=hover(axis, drawn) if axis else "{}",
        columns=COLUMNS,
        rows=rows(report.trades, report.equity),
        reasons=ranked(report.reasons),
    )


def _period(report: Report) -> str:
    if not report.time:
        return "No bars"
    bars = f"{len(report.time):,} bar{'s' if len(report.time) > 1 else ''}"
    return f"{stamp(report.time[0])} to {stamp(report.time[-1])} {report.timezone}, {bars}"


def ranked(reasons: Sequence[tuple[str, int]]) -> list[tuple[str, str, str, float]]:
    """(reason, count, share of all, width of its bar in percent), the most frequent first."""
    ordered = sorted(reasons, key=lambda reason: (-reason[1], reason[0]))
    total = sum(count for _, count in ordered) or 1
    most = max((count for _, count in ordered), default=0) or 1
    return [(why, f"{n:,}", share(n / total, 1), round(n / most * 100, 2)) for why, n in ordered]


def rows(trades: Sequence[Trade], equity: Sequence[float | None], most: int = LISTED_TRADES) -> list[list[Cell]]:
    """The newest trades first."""
    prices = decimals_for(max((float(trade.entry) for trade in trades), default=0.0))
    money = decimals_for(max((abs(value) for value in equity if value is not None), default=0.0))
    return [_row(trade, prices, money) for trade in trades[: -most - 1 : -1]]


def _row(trade: Trade, prices: int, money: int) -> list[Cell]:
    sign = "loss" if trade.pnl < 0 else "win" if trade.pnl > 0 else ""
    held = (trade.closed - trade.opened).total_seconds() if trade.closed else STILL_OPEN
    paid = abs(trade.amount * trade.entry)
    gain = float(trade.pnl / paid) if paid else 0.0
    cells = [
        Cell(stamp(trade.opened), trade.opened.timestamp()),
        Cell(stamp(trade.closed) if trade.closed else DASH, trade.closed.timestamp() if trade.closed else STILL_OPEN),
        Cell(duration(held) if trade.closed else DASH, held),
        Cell(trade.side, trade.side, trade.side),
        Cell(quantity(trade.amount), float(trade.amount)),
        Cell(number(trade.entry, prices), float(trade.entry)),
        Cell(DASH if trade.exit is None else number(trade.exit, prices), float(trade.exit or 0)),
        Cell(number(trade.pnl, money, signed=True), float(trade.pnl), sign),
        Cell(share(gain, 2, signed=True), gain, sign),
        Cell(trade.cause, trade.cause, trade.cause if trade.cause in ("stop", "exit", "open") else "exit"),
    ]
    return [
        Cell(cell.text, cell.value, f"{column.look} {cell.look}".strip())
        for cell, column in zip(cells, COLUMNS, strict=True)
    ]
