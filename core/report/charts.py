"""The charts of a report, as places on the page: paths, marks and ticks. No markup here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from core.report.report import SERIES, Report, Trade
from core.report.scales import (
    Axis,
    Floats,
    Indices,
    Scale,
    decimals_for,
    number,
    quantity,
    share,
    stamp,
    thin,
)

MARKED_TRADES = 400  # more than that no eye tells apart, and a browser draws them slowly
SYMBOLS = (*((name, name) for name in ("long", "short", "exit", "stop")), ("win", "won"), ("loss", "lost"))
Columns = dict[str, Floats]


class Line(NamedTuple):
    """One series: `look` names its colour and dash, in the drawing and in the legend."""

    key: str
    label: str
    look: str
    values: Floats
    decimals: int
    percent: bool = False

    def text(self, index: int) -> str:
        value = float(self.values[index])
        return share(value, self.decimals) if self.percent else number(value, self.decimals)


class Mark(NamedTuple):
    """One trade on the price: from (x, y) to (x2, y2), x in percent of the width, y in pixels."""

    side: str
    result: str
    end: str
    x: float
    y: float
    x2: float
    y2: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    key: str
    title: str
    scale: Scale
    lines: Sequence[Line]
    paths: Sequence[tuple[str, str]]  # (look, path data): x from 0 to 1000 over the width, y in pixels
    ticks: Sequence[tuple[float, str]]
    rule: float | None = None  # a level to compare with
    marks: Sequence[Mark] = field(default=())
    symbols: Sequence[tuple[str, str]] = field(default=())
    lane: bool = False  # a strip below it tells when there was a position

    @property
    def height(self) -> int:
        return self.scale.height

    @property
    def summary(self) -> str:
        """What the drawing shows, for those who do not see it."""
        return f"{self.title}. " + " ".join(filter(None, map(_summary, self.lines)))


def _summary(line: Line) -> str:
    finite = np.flatnonzero(np.isfinite(line.values))
    if not len(finite):
        return ""
    low, high = finite[line.values[finite].argmin()], finite[line.values[finite].argmax()]
    ends = f"{line.label}: from {line.text(finite[0])} to {line.text(finite[-1])}"
    return f"{ends}, lowest {line.text(low)}, highest {line.text(high)}."


def charts(report: Report, axis: Axis) -> list[Chart]:
    """Every chart that has something to show, from top to bottom."""
    data = {name: or_nan(np.array(getattr(report, name), np.float64)) for name in SERIES}
    drawn = [
        _equity(report, data, axis),
        _drawdown(data, axis),
        _price(report, data, axis),
        _probability(data, axis) if np.isfinite(data["probability"]).any() else None,
        _vix(data, axis) if np.isfinite(data["vix"]).any() else None,
    ]
    return [chart for chart in drawn if chart]


def or_nan(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _equity(report: Report, data: Columns, axis: Axis) -> Chart:
    scale = Scale.over([data["equity"], data["hold"]], 250)
    decimals = decimals_for(float(np.nanmax(np.abs(data["equity"]), initial=0.0)))
    lines = [
        Line("equity", "Strategy", "equity", data["equity"], decimals),
        Line("hold", "Buy and hold", "hold", data["hold"], decimals),
    ]
    return Chart(
        key="equity",
        title=f"Equity, {report.currency}",
        scale=scale,
        lines=lines,
        paths=[(line.look, stroke(axis, line.values, scale)) for line in reversed(lines)],
        ticks=scale.ticks(),
        rule=scale(float(data["equity"][0])) if np.isfinite(data["equity"][0]) else None,
    )


def drawdown(equity: Floats) -> Floats:
    """The loss since the highest value so far, as a share of that (0 or negative); nan where there was none above 0."""
    peak = np.fmax.accumulate(equity)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(peak > 0, equity / peak - 1, np.nan)


def _drawdown(data: Columns, axis: Axis) -> Chart:
    return drawdown_chart(axis, drawdown(data["equity"]), drawdown(data["hold"]))


def drawdown_chart(axis: Axis, own: Floats, held: Floats | None) -> Chart:
    beside = [] if held is None else [held]
    lowest = float(np.nanmin(np.concatenate([own, *beside]), initial=-0.001))
    scale = Scale(lowest * 1.08, 0.0, 110)
    lines = [Line("drawdown", "Strategy", "loss", own, 2, percent=True)]
    lines += [Line("held", "Buy and hold", "hold", values, 2, percent=True) for values in beside]
    return Chart(
        key="drawdown",
        title="Drawdown",
        scale=scale,
        lines=lines,
        paths=[
            *[("hold", stroke(axis, values, scale)) for values in beside],
            ("loss area", area(axis, own, np.zeros(len(own)), scale)),
            ("loss", stroke(axis, own, scale)),
        ],
        ticks=scale.ticks(percent=True),
    )


def _price(report: Report, data: Columns, axis: Axis) -> Chart:
    inside = [trade for trade in report.trades if axis.start <= trade.opened.timestamp() <= axis.end]
    trades = inside[-MARKED_TRADES:]
    title = f"Price, {report.currency}"
    if len(trades) < len(report.trades):
        title += f" (the latest {len(trades):,} of {len(report.trades):,} trades marked)"
    return marked(title, trades, data["price"], axis)


def marked(title: str, trades: Sequence[Trade], price: Floats, axis: Axis, key: str = "price") -> Chart:
    """The price, and each of `trades` on it from entry to exit."""
    paid = [float(price) for trade in trades for price in (trade.entry, trade.exit) if price is not None]
    scale = Scale.over([price, np.array(paid)], 300)
    line = Line(key, "Close", "price", price, decimals_for(float(np.nanmax(price, initial=0.0))))
    return Chart(
        key=key,
        title=title,
        scale=scale,
        lines=[line],
        paths=[("price", stroke(axis, price, scale))],
        ticks=scale.ticks(),
        marks=[_mark(trade, price, axis, scale, line.decimals) for trade in trades],
        symbols=SYMBOLS if trades else (),
        lane=bool(trades),
    )


def _mark(trade: Trade, price: Floats, axis: Axis, scale: Scale, decimals: int) -> Mark:
    still = trade.closed is None or trade.exit is None
    finite = price[np.isfinite(price)]
    last = float(trade.exit) if trade.exit is not None else float(finite[-1]) if len(finite) else float(trade.entry)
    parts = (
        f"{trade.side} {quantity(trade.amount)} at {number(trade.entry, decimals)}, {stamp(trade.opened)}",
        "still open" if still else f"{trade.cause} at {number(last, decimals)}, {stamp(trade.closed or trade.opened)}",
        f"P&L {number(trade.pnl, 2, signed=True)}",
    )
    return Mark(
        side=trade.side,
        result="loss" if trade.pnl < 0 else "win",
        end="open" if still else "stop" if trade.cause == "stop" else "exit",
        x=axis.share(trade.opened.timestamp()),
        y=scale(float(trade.entry)),
        x2=axis.share(trade.closed.timestamp() if trade.closed else axis.end),
        y2=scale(last),
        title="; ".join(parts),
    )


def _probability(data: Columns, axis: Axis) -> Chart:
    p, above, below = data["probability"], data["threshold_long"], data["threshold_short"]
    scale = Scale.over([p, above, below, np.array([0.5])], 150)
    return Chart(
        key="probability",
        title="Probability that the price rises",
        scale=scale,
        lines=[
            Line("probability", "p(up)", "forecast", p, 3),
            Line("threshold_long", "long above", "band", above, 3),
            Line("threshold_short", "short below", "band", below, 3),
        ],
        paths=[
            ("band area", area(axis, above, below, scale)),
            ("forecast", stroke(axis, p, scale)),
            ("edge", stroke(axis, above, scale)),
            ("edge", stroke(axis, below, scale)),
        ],
        ticks=scale.ticks(),
        rule=scale(0.5),
    )


def _vix(data: Columns, axis: Axis) -> Chart:
    scale = Scale.over([data["vix"]], 70, 0.1)
    return Chart(
        key="vix",
        title="VIX, as it was known",
        scale=scale,
        lines=[Line("vix", "VIX", "vix", data["vix"], 2)],
        paths=[("vix", stroke(axis, data["vix"], scale))],
        ticks=scale.ticks(),
    )


def stroke(axis: Axis, values: Floats, scale: Scale) -> str:
    """The line through `values`, thinned; a value that stands alone becomes a dot."""
    runs = axis.runs(values, thin(values))
    return "".join(f"M{_points(axis, run, values, scale)}{'h0' if len(run) == 1 else ''}" for run in runs)


def area(axis: Axis, upper: Floats, lower: Floats, scale: Scale) -> str:
    """What lies between two series where both are finite, thinned to the bars that either of them needs."""
    both = np.where(np.isfinite(upper) & np.isfinite(lower), upper + lower, np.nan)
    kept = np.union1d(*(thin(np.where(np.isfinite(both), edge, np.nan)) for edge in (upper, lower)))
    return "".join(
        f"M{_points(axis, run, upper, scale)}L{_points(axis, run[::-1], lower, scale)}Z"
        for run in axis.runs(both, kept)
    )


def _points(axis: Axis, bars: Indices, values: Floats, scale: Scale) -> str:
    shares = (axis.time[bars] - axis.start) / (axis.end - axis.start) * 1000
    points = zip(shares.tolist(), values[bars].tolist(), strict=True)
    return " ".join(f"{round(x, 1):g} {scale(y):g}" for x, y in points)
