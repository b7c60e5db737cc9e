"""Runs side by side: their verdicts, figures with what differs, equity in one chart, and the settings that differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from core.report.charts import Chart, Line, drawdown, stroke
from core.report.course import columns, known
from core.report.pictures import months
from core.report.scales import DASH, Axis, Floats, Scale, share
from core.report.sheet import ANSWERS, DENSE, interval, period, text, worded
from core.report.study import Figure, Study, check
from core.report.template import hover, page

LETTERS: Final = "ABCDEF"


class Told(NamedTuple):
    """A figure of each run: (value, interval) or None; `change`: of the second run against the first; `apart`: their
    intervals share nothing. `look`: whether the second is "better", "worse" or neither."""

    label: str
    values: Sequence[tuple[str, str] | None]
    change: str
    apart: bool
    look: str


def compare(studies: Sequence[Study]) -> str:
    """The page of two to six runs. Equal studies give equal documents. Raises ValueError as `check` does, or for too
    few or too many runs."""
    if not 2 <= len(studies) <= len(LETTERS):
        raise ValueError(f"{len(studies)} runs to compare: give 2 to {len(LETTERS)}")
    for study in studies:
        check(study)
    axis = _axis(studies)
    drawn = _charts(studies, axis) if axis else []
    return page(
        "compare.html",
        ["report", "study"],
        runs=[(LETTERS[i], study, period(study), _answer(study)) for i, study in enumerate(studies)],
        told=_figures(studies),
        charts=drawn,
        ticks=axis.ticks() if axis else [],
        dense=axis is not None and len(axis.time) > DENSE,
        data=hover(axis, drawn) if axis else "{}",
        years=_years(studies),
        settings=differing([study.settings for study in studies]),
        origin=differing([dict(study.provenance) for study in studies]),
        same=sum(
            all(study.settings.get(key) == value for study in studies) for key, value in studies[0].settings.items()
        ),
        warnings=_warnings(studies),
    )


def _answer(study: Study) -> str:
    return ANSWERS[study.verdict.answer] if study.verdict else "No verdict"


def _axis(studies: Sequence[Study]) -> Axis | None:
    times = sorted({time for study in studies if study.course for time in study.course.time})
    return Axis.over(times) if times else None


def _charts(studies: Sequence[Study], axis: Axis) -> list[Chart]:
    grown = [_growth(study, axis) for study in studies]
    held = _held(studies, axis)
    lost = [drawdown(values) for values in grown]
    scale = Scale.of_equity([*grown, held], 320)
    deepest = min([-0.001, *(float(np.nanmin(values, initial=0.0)) for values in lost)])
    below = Scale(deepest * 1.08, 0.0, 140)
    lines = [Line(f"equity{i}", LETTERS[i], f"run{i}", values, 1, percent=True) for i, values in enumerate(grown)]
    if known(held):
        lines.append(Line("hold", f"Buy and hold ({LETTERS[0]})", "hold", held, 1, percent=True))
    losses = [Line(f"lost{i}", LETTERS[i], f"run{i}", values, 1, percent=True) for i, values in enumerate(lost)]
    return [
        _chart("equity", f"Equity, in percent of the start{', ratio scale' if scale.log else ''}", scale, lines, axis),
        _chart("drawdown", "Drawdown", below, losses, axis),
    ]


def _chart(key: str, title: str, scale: Scale, lines: Sequence[Line], axis: Axis) -> Chart:
    return Chart(
        key=key,
        title=title,
        scale=scale,
        lines=lines,
        paths=[(line.look, stroke(axis, line.values, scale)) for line in reversed(lines)],
        ticks=scale.ticks(percent=True),
        rule=scale(1.0) if key == "equity" and scale.low < 1.0 < scale.high else None,
    )


def _growth(study: Study, axis: Axis, column: str = "equity") -> Floats:
    """What the first value has grown to, at each time of the shared axis; between bars of its own, the last one."""
    if study.course is None or not study.course.time:
        return np.full(len(axis.time), np.nan)
    values = columns(study.course)[column]
    first = values[np.isfinite(values)][:1]
    own = np.array(study.course.time, np.int64)
    last = np.searchsorted(own, axis.time, side="right") - 1
    inside = (last >= 0) & (axis.time <= own[-1])
    if not len(first) or first[0] <= 0:
        return np.full(len(axis.time), np.nan)
    return np.where(inside, values[np.maximum(last, 0)] / first[0], np.nan)


def _held(studies: Sequence[Study], axis: Axis) -> Floats:
    return _growth(studies[0], axis, "hold")


def _figures(studies: Sequence[Study]) -> list[Told]:
    """Every figure that one of them has, in the order of the first that has it."""
    by_run = [{figure.key: figure for figure in study.figures} for study in studies]
    keys = dict.fromkeys(figure.key for study in studies for figure in study.figures)
    return [_told([run.get(key) for run in by_run]) for key in keys]


def _told(figures: Sequence[Figure | None]) -> Told:
    values = [None if figure is None else (worded(figure), interval(figure)) for figure in figures]
    label = next(figure.label for figure in figures if figure)
    first, second = figures[0], figures[1]
    if len(figures) > 2 or first is None or second is None or first.value is None or second.value is None:
        return Told(label, values, "", apart=False, look="")
    gap = second.value - first.value
    if not math.isfinite(gap):
        return Told(label, values, DASH, apart=False, look="")
    change = text(gap, first.unit, first.decimals, signed=True)
    if first.unit == "share":
        change = change.removesuffix("%") + " pp"
    up = (gap > 0) == (first.better == "high")
    look = ("better" if up else "worse") if gap and first.better else ""
    return Told(label, values, change, apart=_apart(first, second), look=look)


def _apart(one: Figure, other: Figure) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.high < other.low or other.high < one.low


def _years(studies: Sequence[Study]) -> list[tuple[int, list[str]]]:
    """The return of each year in each run."""
    by_run = [{year.year: year.total for year in months(study.course)} if study.course else {} for study in studies]
    return [
        (year, [DASH if (total := run.get(year)) is None else share(total, 1, signed=True) for run in by_run])
        for year in sorted({year for run in by_run for year in run})
    ]


def differing(runs: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """(name, value in each run) of what is not the same in all; a dash where a run does not have it."""
    names = dict.fromkeys(name for run in runs for name in run)
    rows = [(name, [run.get(name, DASH) for run in runs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _warnings(studies: Sequence[Study]) -> list[tuple[str, str]]:
    """(letters of the runs, text) of every warning."""
    texts = dict.fromkeys(warned.text for study in studies for warned in study.warnings)
    having = {
        text: [LETTERS[i] for i, study in enumerate(studies) if any(warned.text == text for warned in study.warnings)]
        for text in texts
    }
    return [(", ".join(letters), text) for text, letters in having.items()]
