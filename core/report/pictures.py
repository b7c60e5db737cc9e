"""The drawings beside the time axis: calibration, importance, results of trades, intervals, costs, months."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np

from core.report.report import Trade
from core.report.scales import Axis, Floats, Scale, nice_ticks, number, share, tick_labels
from core.report.study import Bin, Calibration, Costs, Course, Figure, Importance, Numbers

LEVELS: Final = 9
SHOWN_FEATURES: Final = 15
HEAT_COLUMNS: Final = 160
BINS: Final = 36
Z95: Final = 1.959964
Place = tuple[float, str]


class Year(NamedTuple):
    """`months`: twelve returns, None where there was no bar; `total`: of the year."""

    year: int
    months: Numbers
    total: float | None


def months(course: Course) -> list[Year]:
    """The return of each calendar month (UTC), from the last equity before it, or the first one in the first month."""
    last: dict[tuple[int, int], float] = {}
    first: float | None = None
    for time, value in zip(course.time, course.equity, strict=True):
        if value is not None and math.isfinite(value):
            moment = datetime.fromtimestamp(time, UTC)
            last[moment.year, moment.month] = value
            first = value if first is None else first
    made: dict[int, Numbers] = {}
    ends: dict[int, tuple[float | None, float]] = {}
    before = first
    for (year, month), value in last.items():
        made.setdefault(year, [None] * 12)[month - 1] = _change(before, value)
        ends[year] = (ends[year][0] if year in ends else before, value)
        before = value
    return [Year(year, row, _change(*ends[year])) for year, row in made.items()]


def _change(before: float | None, after: float) -> float | None:
    return None if before is None or before <= 0 else after / before - 1


def heat(value: float | None, most: float) -> int:
    """How strongly a return is coloured, in percent."""
    return 0 if value is None or not most else round(8 + 52 * min(1.0, abs(value) / most)) if value else 0


def usual(years: Sequence[Year]) -> float:
    """The size of a return from which on the colour is full: what nine of ten months stay below."""
    sizes = [abs(value) for year in years for value in year.months if value is not None]
    return float(np.quantile(sizes, 0.9)) if sizes else 0.0


class Dot(NamedTuple):
    x: float
    y: float
    r: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Dots on predicted (x, percent of the width) and happened (y, pixels); bars of counts below."""

    dots: Sequence[Dot]
    diagonal: tuple[float, float, float, float]
    base: float | None
    ticks_x: Sequence[Place]
    ticks_y: Sequence[Place]
    counts: Sequence[tuple[float, float, str]]  # x, height in pixels, title
    height: int
    summary: str


def reliability(told: Calibration) -> Reliability | None:
    """None when no bin holds anything."""
    bins = [each for each in told.bins if each.count > 0 and math.isfinite(each.predicted + each.happened)]
    if not bins:
        return None
    total = sum(each.count for each in bins)
    heavy = [each for each in bins if each.count >= max(5, total * 0.002)] or bins
    base = told.base if told.base is not None and math.isfinite(told.base) else None
    left, right = _around([each.predicted for each in heavy])
    low, high = _around(
        [value for each in heavy for value in (each.predicted, each.happened)] + ([] if base is None else [base])
    )
    y = Scale(low, high, 300)
    most = max(each.count for each in bins)

    def across(value: float) -> float:
        return round((value - left) / (right - left) * 100, 2)

    shown = [each for each in bins if left <= each.predicted <= right]
    return Reliability(
        dots=[_dot(each, across(each.predicted), y, most) for each in shown],
        diagonal=(0.0, y(left), 100.0, y(right)),
        base=None if base is None else y(base),
        ticks_x=[(across(tick), label) for tick, label in _percents(left, right)],
        ticks_y=[(y(tick), label) for tick, label in _percents(low, high)],
        counts=[
            (across(each.predicted), max(1.0, round(each.count / most * 44, 1)), f"{each.count:,}") for each in shown
        ],
        height=y.height,
        summary="; ".join(
            f"forecast {share(each.predicted, 1)}: happened {share(each.happened, 1)} of {each.count:,}"
            for each in bins
        ),
    )


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A range of probabilities with some air around all `values`."""
    low, high = min(values), max(values)
    pad = max((high - low) * 0.08, 0.005)
    return max(0.0, low - pad), min(1.0, high + pad)


def _percents(low: float, high: float) -> list[tuple[float, str]]:
    step, ticks = nice_ticks(low, high, 5)
    return list(zip(ticks, tick_labels(step, ticks, percent=True), strict=True))


def wilson(happened: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share seen in `count` cases. Wilson, JASA 22, 1927."""
    z2 = Z95**2 / count
    middle = happened + z2 / 2
    half = Z95 * math.sqrt(max(0.0, happened * (1 - happened)) / count + z2 / count / 4)
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def _dot(each: Bin, x: float, y: Scale, most: int) -> Dot:
    low, high = wilson(each.happened, each.count)
    title = (
        f"forecast {share(each.predicted, 1)}, happened {share(each.happened, 1)} "
        f"(95 % interval {share(low, 1)} to {share(high, 1)}) of {each.count:,}"
    )

    def held(value: float) -> float:
        return y(min(max(value, y.low), y.high))

    radius = round(2.5 + 4.5 * math.sqrt(each.count / most), 1)
    return Dot(x, held(each.happened), radius, held(low), held(high), title)


class Strip(NamedTuple):
    """A feature's row: `paths` of (level, path data), x from 0 to 1000, y from 0 to 1; `mean`: its share of all."""

    feature: str
    mean: str
    paths: Sequence[tuple[int, str]]
    title: str


def strips(told: Importance) -> tuple[list[Strip], list[Place]]:
    """The strongest features over the windows, as shares of all features' importance in each, and the time's ticks."""
    values = np.array(told.values, np.float64).reshape(len(told.features), len(told.windows))
    values = np.where(np.isfinite(values), values, np.nan)
    if not values.size or not np.isfinite(values).any():
        return [], []
    totals = np.nansum(values, axis=0)
    shares = values / np.where(totals > 0, totals, np.nan)
    means = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else 0.0 for row in shares])
    order = np.argsort(-means, kind="stable")[:SHOWN_FEATURES].tolist()
    most = float(np.nanquantile(shares[order], 0.98)) if np.isfinite(shares[order]).any() else 0.0
    axis = Axis.over(told.windows)
    made = [_strip(told.features[i], means[i], shares[i], axis, most or 1.0) for i in order]
    return made, axis.ticks()


def _strip(name: str, mean: float, row: Floats, axis: Axis, most: float) -> Strip:
    edges = [axis.share(time) * 10 for time in axis.time.tolist()] + [1000.0]
    groups = np.array_split(np.arange(len(row)), min(len(row), HEAT_COLUMNS))
    paths: dict[int, list[str]] = {}
    for group in groups:
        part = row[group]
        if not np.isfinite(part).any():
            continue
        level = min(LEVELS, math.ceil(float(np.nanmean(part)) / most * LEVELS))
        x, x2 = edges[int(group[0])], edges[int(group[-1]) + 1]
        if level > 0:
            paths.setdefault(level, []).append(f"M{x:g} 0H{x2:g}V1H{x:g}z")
    finite = row[np.isfinite(row)]
    title = f"{name}: {share(mean, 1)} of the importance on average" + (
        f", from {share(float(finite.min()), 1)} to {share(float(finite.max()), 1)}" if len(finite) else ""
    )
    return Strip(name, share(mean, 1), [(level, "".join(paths[level])) for level in sorted(paths)], title)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Bars of results; x in percent of the width, y in pixels."""

    bars: Sequence[tuple[str, float, float, float, float, str]]  # look, x, width, y, height, title
    rules: Sequence[tuple[str, float, str]]  # look, x, label
    ticks_x: Sequence[Place]
    ticks_y: Sequence[Place]
    height: int
    summary: str


def results(trades: Sequence[Trade]) -> Floats:
    """What each closed trade made, as a share of what was paid for it."""
    worth = [(float(trade.pnl), float(abs(trade.amount * trade.entry))) for trade in trades if trade.closed]
    return np.array([pnl / paid for pnl, paid in worth if paid > 0], np.float64)


def histogram(values: Floats) -> Histogram | None:
    """Of the results of trades: what lies beyond 99 % of them on either side is counted in the outermost bars."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    low, high = np.quantile(values, [0.01, 0.99]).tolist()
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-12:
        low, high = low - 0.01, high + 0.01
    step, _ = nice_ticks(low, high, BINS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    bins = np.clip(np.floor(values / step + 1e-9).astype(int), first, last - 1) - first
    counts = np.bincount(bins, minlength=last - first)
    y = Scale(0.0, float(counts.max()) * 1.04, 200)
    width = 100 / len(counts)
    tick_step, ticks = nice_ticks(first * step, last * step, 6)

    def across(value: float) -> float:
        inside = min(max(value / step, first), last)
        return float(round((inside - first) / (last - first) * 100, 2))

    bars = [
        (
            "loss" if (first + i) * step < -1e-12 else "win",
            round(i * width, 2),
            round(width * 0.92, 2),
            y(float(count)),
            round(y.height - y(float(count)), 1),
            f"{share((first + i) * step, 2)} to {share((first + i + 1) * step, 2)}: {count:,}",
        )
        for i, count in enumerate(counts.tolist())
        if count
    ]
    mean, middle = float(values.mean()), float(np.median(values))
    return Histogram(
        bars=bars,
        rules=[
            ("mean", across(mean), f"mean {share(mean, 2, signed=True)}"),
            ("median", across(middle), f"median {share(middle, 2, signed=True)}"),
        ],
        ticks_x=list(zip(map(across, ticks), tick_labels(tick_step, ticks, percent=True), strict=True)),
        ticks_y=[(place, label) for place, label in y.ticks() if "." not in label],
        height=y.height,
        summary=f"{len(values):,} trades, mean {share(mean, 2)}, median {share(middle, 2)}, "
        f"worst {share(float(values.min()), 2)}, best {share(float(values.max()), 2)}, "
        f"{share(float((values > 0).mean()), 0)} of them won",
    )


class Whisker(NamedTuple):
    """An interval in percent of the width; `null`: where no edge is; `sure`: it leaves no edge out."""

    figure: Figure
    low: float
    high: float
    value: float
    null: float | None
    sure: str


def whiskers(figures: Sequence[Figure]) -> list[Whisker]:
    """Those with an interval. With a null, that is in the middle, and each row as wide as it needs."""
    return [_whisker(figure) for figure in figures if _has_interval(figure)]


def _has_interval(figure: Figure) -> bool:
    values = (figure.value, figure.low, figure.high)
    return all(value is not None and math.isfinite(value) for value in values)


def _whisker(figure: Figure) -> Whisker:
    value, low, high = (float(each or 0.0) for each in (figure.value, figure.low, figure.high))
    null = figure.null
    if null is None:
        left, right = min(low, value), max(high, value)
        pad = (right - left) * 0.25 or 1.0
        left, right = left - pad, right + pad
    else:
        reach = max(abs(edge - null) for edge in (low, high, value)) * 1.08 or 1.0
        left, right = null - reach, null + reach
    above, below = (low > null, high < null) if null is not None else (False, False)
    sure = "better" if (above, below)[figure.better == "low"] else "worse" if above or below else ""
    places = [round((edge - left) / (right - left) * 100, 2) for edge in (low, high, value)]
    return Whisker(
        figure, places[0], places[1], places[2], None if null is None else 50.0, sure if figure.better else ""
    )


class Step(NamedTuple):
    """One step from the gross to the net profit: a bar from `x`, `width` wide, in percent."""

    look: str
    label: str
    amount: str
    part: str
    x: float
    width: float


def steps(costs: Costs, decimals: int) -> list[Step]:
    """Gross, each cost as a share of the gross profit (when there is one), net."""
    levels = [costs.gross]
    for _, amount in costs.items:
        levels.append(levels[-1] - amount)
    low, high = min(0.0, *levels), max(0.0, *levels)
    width = high - low or 1.0

    def bar(look: str, label: str, one: float, other: float, amount: float) -> Step:
        left, right = min(one, other), max(one, other)
        part = share(amount / costs.gross, 0) if costs.gross > 0 else ""
        text = number(amount, decimals, signed=True)
        return Step(
            look, label, text, part, round((left - low) / width * 100, 2), round((right - left) / width * 100, 2)
        )

    made = [bar("gross", "Before costs", 0.0, costs.gross, costs.gross)]
    made += [
        bar("taken", label, before, after, -amount)
        for (label, amount), before, after in zip(costs.items, levels, levels[1:], strict=False)
    ]
    return [*made, bar("net", "After costs", 0.0, levels[-1], levels[-1])]
