"""The page of a study: what its template is given, section by section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from core.report.charts import Chart
from core.report.course import close_look, course_charts
from core.report.page import COLUMNS, ranked, rows
from core.report.pictures import heat, histogram, months, reliability, results, steps, strips, usual, whiskers
from core.report.scales import DASH, MONTHS, Axis, decimals_for, number, share, stamp
from core.report.study import Figure, Study, Table, Unit, check
from core.report.template import hover, page

DENSE: Final = 3000  # bars, from which on lines are drawn thinner
CLOSE_POINTS: Final = 500
LISTED: Final = 100  # trades in the table; all of them are in trades.csv
ANSWERS: Final = {
    "yes": "Evidence of an edge",
    "no": "No evidence of an edge",
    "unclear": "Too little to tell",
}


class Stack(NamedTuple):
    charts: Sequence[Chart]
    ticks: Sequence[tuple[float, str]]
    source: str
    dense: bool
    data: str


class Cell(NamedTuple):
    """`bar`: (x, width) in percent of the cell, drawn behind the text."""

    label: str
    text: str
    look: str
    bar: tuple[float, float] | None


def render_study(study: Study) -> str:
    """The whole document; equal studies give equal documents. Raises ValueError as `check` does."""
    check(study)
    course = study.course if study.course and study.course.time else None
    calibrated = reliability(study.calibration) if study.calibration else None
    features, feature_ticks = strips(study.importance) if study.importance else ([], [])
    years = months(course) if course else []
    trades = study.trades or []
    return page(
        "study.html",
        ["report", "study"],
        study=study,
        answer=_answer(study),
        period=period(study),
        facts=[(figure, worded(figure), interval(figure)) for figure in study.figures],
        stack=_whole(study),
        close=_close(study),
        years=years,
        months=MONTHS,
        heat=_heat(years),
        whiskers=[(row, worded(row.figure), interval(row.figure)) for row in whiskers(study.figures)],
        tables={name: cells(table) for name in TABLE_NAMES if (table := getattr(study, name))},
        results=histogram(results(trades)),
        steps=steps(study.costs, money(abs(study.costs.gross))) if study.costs else [],
        reliability=calibrated,
        strips=features,
        feature_ticks=feature_ticks,
        reasons=ranked(study.reasons),
        columns=COLUMNS,
        rows=rows(trades, course.equity if course else [], LISTED),
    )


def _answer(study: Study) -> str:
    """The answer in a word or two; "Verdict" where the sentence says as much."""
    if study.verdict is None:
        return ""
    short = ANSWERS[study.verdict.answer]
    return "Verdict" if short.lower() in study.verdict.sentence.lower() else short


TABLE_NAMES: Final = ("by_year", "by_regime", "benchmarks", "sensitivity", "capacity")


def money(size: float) -> int:
    return min(2, decimals_for(size))


def period(study: Study) -> str:
    course = study.course
    if course is None or not course.time:
        return "No bars"
    bars = f"{len(course.time):,} bar{'s' if len(course.time) > 1 else ''}"
    return f"{stamp(course.time[0])} to {stamp(course.time[-1])} UTC, {bars}"


def _whole(study: Study) -> Stack | None:
    if study.course is None or not study.course.time:
        return None
    axis = Axis.over(study.course.time)
    drawn = course_charts(study, axis)
    return Stack(drawn, axis.ticks(), "whole", len(axis.time) > DENSE, hover(axis, drawn))


def _close(study: Study) -> Stack | None:
    looked = close_look(study)
    if looked is None:
        return None
    axis, drawn = looked
    return Stack(drawn, axis.ticks(), "near", False, hover(axis, drawn, CLOSE_POINTS))


def _heat(years: Sequence[Any]) -> Any:
    most = usual(years)
    return lambda value: heat(value, most)


def text(value: float | str | None, unit: Unit, decimals: int, *, signed: bool = False) -> str:
    """`value` as `unit` says; a dash for what is not known."""
    if value is None or isinstance(value, str):
        return DASH if value is None else value
    if not math.isfinite(value):
        return DASH
    if unit == "share":
        return share(value, decimals, signed=signed)
    return number(value, 0 if unit == "count" else decimals, signed=signed)


def worded(figure: Figure) -> str:
    return text(figure.value, figure.unit, figure.decimals, signed=figure.signed)


def interval(figure: Figure) -> str:
    """'−0.41 to 1.20'; '' when it has none."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (text(end, figure.unit, figure.decimals, signed=figure.signed) for end in (figure.low, figure.high))
    return "" if DASH in (low, high) else f"{low} to {high}"


def cells(table: Table) -> list[tuple[str, bool, list[Cell]]]:
    """(label, strong, cells) of each row."""
    spreads = [_spread([row.values[i] for row in table.rows]) for i in range(len(table.columns))]
    made = []
    for row in table.rows:
        line = []
        for column, value, (low, high) in zip(table.columns, row.values, spreads, strict=True):
            negative = isinstance(value, float | int) and column.signed and value < 0
            bar = _bar(value, low, high) if column.bar else None
            look = "text" if column.unit == "text" else "num loss" if negative else "num"
            shown = text(value, column.unit, column.decimals, signed=column.signed)
            line.append(Cell(column.label, shown, look, bar))
        made.append((row.label, row.strong, line))
    return made


def _spread(values: Sequence[float | str | None]) -> tuple[float, float]:
    known = [value for value in values if isinstance(value, float | int) and math.isfinite(value)]
    return min([0.0, *known]), max([0.0, *known])


def _bar(value: float | str | None, low: float, high: float) -> tuple[float, float] | None:
    if not isinstance(value, float | int) or not math.isfinite(value) or high <= low:
        return None
    left, right = min(value, 0.0), max(value, 0.0)
    return round((left - low) / (high - low) * 100, 2), round((right - left) / (high - low) * 100, 2)
