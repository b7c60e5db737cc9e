"""What the report of a research run tells: one Study. What is not given is left out of the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

from core.report.report import Trade

Numbers = list[float | None]  # None, and whatever is not finite, leaves a hole
Unit = Literal["text", "share", "number", "money", "count"]
COLUMNS: Final = (
    "price",
    "equity",
    "hold",
    "random_low",
    "random_mid",
    "random_high",
    "probability",
    "threshold_long",
    "threshold_short",
    "vix",
)


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether there is evidence of an edge: one plain sentence, and what it rests on."""

    answer: Literal["yes", "no", "unclear"]
    sentence: str
    because: list[str] = []


class Figure(Struct, frozen=True, kw_only=True):
    """One key figure, with its confidence interval where there is one.

    `unit` "share": a fraction, shown in percent. `null`: what it would be without any edge; the intervals are drawn
    against it. `better`: which direction is, "" for neither.
    """

    key: str
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: Unit = "number"
    decimals: int = 2
    signed: bool = False
    null: float | None = None
    better: Literal["high", "low", ""] = "high"
    note: str = ""


class Warned(Struct, frozen=True, kw_only=True):
    """One thing that the reader must know before believing the figures."""

    text: str
    level: Literal["serious", "note"] = "note"


class Course(Struct, frozen=True, kw_only=True):
    """One value for each bar of `time` (epoch seconds of the open, increasing); a column that is empty is not known.

    `price`: the close. `hold`: buy and hold, `random_*`: the band of random entries, both with the same capital.
    `threshold_*`: levels of p(up) beyond which the book enters.
    """

    time: list[int]
    equity: Numbers
    price: Numbers = []
    hold: Numbers = []
    random_low: Numbers = []
    random_mid: Numbers = []
    random_high: Numbers = []
    probability: Numbers = []
    threshold_long: Numbers = []
    threshold_short: Numbers = []
    vix: Numbers = []


class Span(Struct, frozen=True):
    """A stretch of time (epoch seconds) and the regime in it."""

    since: int
    until: int
    name: str


class Bin(Struct, frozen=True, kw_only=True):
    """Forecasts of about the same p(up): their mean, the share of them after which the price rose, and how many."""

    predicted: float
    happened: float
    count: int


class Calibration(Struct, frozen=True, kw_only=True):
    """`base`: the share of rises in all; `scores`: Brier, ECE, log-loss, AUC and the like, as (name, text)."""

    bins: list[Bin]
    base: float | None = None
    scores: list[tuple[str, str]] = []


class Importance(Struct, frozen=True, kw_only=True):
    """`values[f][w]`: what feature f did in the model of window w, none of them negative; `windows`: epoch seconds at
    which each was first traded on."""

    features: list[str]
    windows: list[int]
    values: list[Numbers]


class Costs(Struct, frozen=True, kw_only=True):
    """`gross`: the profit before all costs; `items`: what each of them took, positive."""

    gross: float
    items: list[tuple[str, float]]

    @property
    def net(self) -> float:
        return self.gross - sum(amount for _, amount in self.items)


class Column(Struct, frozen=True, kw_only=True):
    """`bar`: draw the value behind its text."""

    label: str
    unit: Unit = "number"
    decimals: int = 2
    signed: bool = False
    bar: bool = False


class Row(Struct, frozen=True, kw_only=True):
    """`strong`: the row that the others are compared with."""

    label: str
    values: list[float | str | None]
    strong: bool = False


class Table(Struct, frozen=True, kw_only=True):
    """`first`: the heading of the rows' labels."""

    first: str
    columns: list[Column]
    rows: list[Row]
    note: str = ""


class Proof(Struct, frozen=True, kw_only=True):
    """`passed` None: it was not run."""

    name: str
    passed: bool | None
    detail: str = ""


class Study(Struct, frozen=True, kw_only=True):
    """A run of research. The months, the drawdown and the results of trades are made from `course` and `trades`.

    `reasons`: what was decided, and how often. `settings`: every setting by its dotted name, for the comparison.
    """

    title: str
    format: Literal[1] = 1
    subtitle: str = ""
    currency: str = ""
    verdict: Verdict | None = None
    figures: list[Figure] = []
    warnings: list[Warned] = []
    course: Course | None = None
    regimes: list[Span] = []
    trades: list[Trade] | None = None
    calibration: Calibration | None = None
    importance: Importance | None = None
    costs: Costs | None = None
    by_year: Table | None = None
    by_regime: Table | None = None
    benchmarks: Table | None = None
    sensitivity: Table | None = None
    capacity: Table | None = None
    reasons: list[tuple[str, int]] = []
    proofs: list[Proof] = []
    provenance: list[tuple[str, str]] = []
    settings: dict[str, str] = {}


TABLES: Final = ("by_year", "by_regime", "benchmarks", "sensitivity", "capacity")


def spans(time: Sequence[int], names: Sequence[str], step: int) -> list[Span]:
    """The stretches of equal names among bars of `step` seconds that open at `time`; "" is a hole."""
    edges = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    return [
        Span(time[first], time[last - 1] + step, names[first])
        for first, last in pairwise([*edges, len(names)])
        if names[first]
    ]


def check(study: Study) -> None:
    """Raises ValueError when columns, rows or windows do not fit together, or times do not increase or have no zone."""
    _check_course(study.course)
    for name in TABLES:
        table: Table | None = getattr(study, name)
        for row in table.rows if table else ():
            if table and len(row.values) != len(table.columns):
                raise ValueError(
                    f"study: {name} has {len(table.columns)} columns, its row {row.label!r} {len(row.values)}"
                )
    if what := study.importance:
        if len(what.values) != len(what.features) or any(len(row) != len(what.windows) for row in what.values):
            raise ValueError("study: importance needs a row for each feature and in it a value for each window")
        _check_increasing(what.windows, "windows")
    for trade in study.trades or ():
        for moment in (trade.opened, trade.closed):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"study: the trade at {moment.isoformat()} has no time zone; give times in UTC")


def _check_course(course: Course | None) -> None:
    if course is None:
        return
    for name in COLUMNS:
        count = len(getattr(course, name))
        if count != len(course.time) and (count or name == "equity"):
            raise ValueError(
                f"study: {name} has {count} values for {len(course.time)} bars; give one for each, or none"
            )
    _check_increasing(course.time, "time")


def _check_increasing(times: Sequence[int], name: str) -> None:
    for earlier, later in pairwise(times):
        if later <= earlier:
            raise ValueError(f"study: {name} goes from {earlier} to {later}; sort them and leave out repeated ones")
