"""The pictures beside the page, for slides and mails, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from core.report.charts import drawdown
from core.report.course import columns, known
from core.report.pictures import months, usual, wilson
from core.report.scales import BUCKETS, MONTHS, WIDE, log_ticks, thin
from core.report.study import Course, Study

BLUE: Final = "#1d5fd1"
SOFT: Final = "#8b929b"
LOSS: Final = "#c8430f"
WIN: Final = "#00796b"
GOLD: Final = "#8a6a00"
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#ecece7",
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "svg.hashsalt": "study",
}


def plates(study: Study) -> Iterator[tuple[str, bytes]]:
    """(name, PNG) of each picture that has something to show; equal studies give equal pictures."""
    if study.course is not None and known(columns(study.course)["equity"]):
        yield "equity.png", _drawn(_equity, study, (10, 6))
        yield "months.png", _drawn(_months, study, (10, 1.4 + 0.38 * len(months(study.course))))
    if study.calibration and any(each.count > 0 for each in study.calibration.bins):
        yield "calibration.png", _drawn(_calibration, study, (6, 6))


def _drawn(draw: Any, study: Study, size: tuple[float, float]) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        figure = Figure(figsize=size, dpi=120)
        FigureCanvasAgg(figure)
        figure.subplots_adjust(**_margins(*size))
        draw(figure, study)
        data = io.BytesIO()
        figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def _margins(width: float, height: float) -> dict[str, float]:
    """Fixed ones, in inches: to find the least that fit, matplotlib draws everything several times."""
    return {
        "left": 1.1 / width,
        "right": 1 - 0.2 / width,
        "bottom": 0.5 / height,
        "top": 1 - 0.4 / height,
        "hspace": 0.12,
    }


def _title(study: Study) -> str:
    """Without what matplotlib would read as a formula."""
    return study.title.replace("$", r"\$")


def _equity(figure: Any, study: Study) -> None:
    course = study.course or Course(time=[], equity=[])
    data, time = columns(course), np.array(course.time, "datetime64[s]")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    low, high = data["random_low"], data["random_high"]
    kept = np.union1d(thin(low, BUCKETS), thin(high, BUCKETS))
    if len(kept):
        upper.fill_between(time[kept], low[kept], high[kept], color=GOLD, alpha=0.15, lw=0, label="Random entries")
    for name, label, colour, width in (("hold", "Buy and hold", SOFT, 0.9), ("equity", "Strategy", BLUE, 1.5)):
        if len(kept := thin(data[name], BUCKETS)):
            upper.plot(time[kept], data[name][kept], color=colour, lw=width, label=label)
    values = np.concatenate([column[np.isfinite(column)] for column in (data["equity"], data["hold"], low, high)])
    if values.min() > 0 and values.max() > WIDE * values.min():
        from matplotlib.ticker import NullLocator

        upper.set_yscale("log")
        upper.yaxis.set_minor_locator(NullLocator())
        ticks = log_ticks(float(values.min()), float(values.max()))
        upper.set_yticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    upper.set_title(_title(study), loc="left", fontweight="bold")
    upper.set_ylabel(f"Equity, {study.currency}" if study.currency else "Equity")
    upper.legend(frameon=False, loc="upper left")
    lost = drawdown(data["equity"]) * 100
    kept = thin(lost, BUCKETS)
    lower.fill_between(time[kept], lost[kept], 0, color=LOSS, alpha=0.3, lw=0)
    lower.plot(time[kept], lost[kept], color=LOSS, lw=0.8)
    lower.set_ylabel("Drawdown, %")


def _months(figure: Any, study: Study) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    years = months(study.course) if study.course else []
    table = np.array([[np.nan if v is None else v for v in year.months] for year in years], np.float64)
    axes = figure.subplots()
    most = usual(years) or 0.01
    colours = LinearSegmentedColormap.from_list("heat", [LOSS, "white", WIN])
    axes.imshow(np.clip(table, -most, most), cmap=colours, vmin=-most * 1.5, vmax=most * 1.5, aspect="auto")
    for row, column in np.argwhere(np.isfinite(table)).tolist():
        axes.text(column, row, f"{table[row, column] * 100:+.1f}", ha="center", va="center")
    axes.set_xticks(range(12), MONTHS)
    axes.set_yticks(
        range(len(years)),
        [f"{year.year}   {'' if year.total is None else f'{year.total * 100:+.1f}'}" for year in years],
    )
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Return of each month, %; beside the year: its total", loc="left", fontweight="bold")


def _calibration(figure: Any, study: Study) -> None:
    bins = [each for each in study.calibration.bins if each.count > 0] if study.calibration else []
    predicted, happened = (np.array([getattr(each, name) for each in bins]) for name in ("predicted", "happened"))
    ends = np.array([wilson(each.happened, each.count) for each in bins])
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    low, high = predicted.min() - 0.005, predicted.max() + 0.005
    axes.plot([low, high], [low, high], color=SOFT, ls="--", lw=1, label="perfect")
    axes.errorbar(
        predicted,
        happened,
        np.abs(ends.T - happened),
        fmt="o",
        color=BLUE,
        ecolor=BLUE,
        elinewidth=0.8,
        ms=5,
        label="forecasts, 95 % interval",
    )
    axes.set_title(f"Calibration: {_title(study)}", loc="left", fontweight="bold")
    axes.set_ylabel("How often the price rose")
    axes.legend(frameon=False)
    below.bar(predicted, [each.count for each in bins], width=(high - low) / 60, color=BLUE, alpha=0.5)
    below.set_xlabel("Forecast p(up)")
    below.set_ylabel("Forecasts")
