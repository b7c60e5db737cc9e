"""The document: what the template is given, and its rendering."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from core.report.charts import Chart, charts
from core.report.report import Report, Trade, check
from core.report.scales import DASH, Axis, decimals_for, duration, number, quantity, share, stamp

HOVER_POINTS = 1500
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
    from jinja2 import Environment, StrictUndefined

    check(report)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["sha256"] = _sha256
    axis = Axis.over(report.time) if report.time else None
    drawn = charts(report, axis) if axis else []
    return environment.from_string(_part("html")).render(
        style=_part("css"),
        script=_part("js"),
        report=report,
        period=_period(report),
        charts=drawn,
        ticks=axis.ticks() if axis else [],
        hover=_hover(axis, drawn) if axis else "{}",
        columns=COLUMNS,
        rows=_rows(report),
        reasons=_reasons(report),
    )


def _part(kind: str) -> str:
    return Path(__file__).with_name(f"report.{kind}").read_text("utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _period(report: Report) -> str:
    if not report.time:
        return "No bars"
    bars = f"{len(report.time):,} bar{'s' if len(report.time) > 1 else ''}"
    return f"{stamp(report.time[0])} to {stamp(report.time[-1])} {report.timezone}, {bars}"


def _reasons(report: Report) -> list[tuple[str, str, str, float]]:
    """(reason, count, share of all, width of its bar in percent), the most frequent first."""
    ranked = sorted(report.reasons, key=lambda reason: (-reason[1], reason[0]))
    total = sum(count for _, count in ranked) or 1
    most = max((count for _, count in ranked), default=0) or 1
    return [(why, f"{n:,}", share(n / total, 1), round(n / most * 100, 2)) for why, n in ranked]


def _hover(axis: Axis, drawn: list[Chart]) -> str:
    """JSON for the read-out: the values of up to HOVER_POINTS bars, evenly spread, exact for the bar that they name.

    What is not finite becomes null.
    """
    shown = np.unique(np.linspace(0, len(axis.time) - 1, min(len(axis.time), HOVER_POINTS)).round().astype(np.intp))
    lines = {
        line.key: {
            "decimals": line.decimals,
            "percent": line.percent,
            "low": chart.scale.low,
            "high": chart.scale.high,
            "values": [round(v * (100 if line.percent else 1), line.decimals) for v in line.values[shown].tolist()],
        }
        for chart in drawn
        for line in chart.lines
    }
    data = {"start": axis.start, "end": axis.end, "time": axis.time[shown].tolist(), "lines": lines}
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def _rows(report: Report) -> list[list[Cell]]:
    """The newest trades first."""
    entries = [float(trade.entry) for trade in report.trades]
    prices = decimals_for(max(entries, default=0.0))
    money = decimals_for(max(map(abs, report.equity), default=0.0))
    return [_row(trade, prices, money) for trade in report.trades[: -LISTED_TRADES - 1 : -1]]


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
