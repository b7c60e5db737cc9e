"""The report of a research run: every section when it was given, nothing outside of the file, and what was written can
be read back."""

from __future__ import annotations

import csv
import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.report import Study, Trade, compare, read, render, write
from core.report.course import close_look, course_charts
from core.report.pictures import heat, histogram, months, reliability, results, steps, strips, usual, whiskers, wilson
from core.report.scales import BUCKETS, Axis, Scale, log_ticks
from core.report.sheet import cells, interval, worded
from core.report.study import (
    COLUMNS,
    Bin,
    Calibration,
    Column,
    Costs,
    Course,
    Figure,
    Importance,
    Proof,
    Row,
    Span,
    Table,
    Verdict,
    Warned,
    spans,
)
from tests.test_report import PLACES, Page, trade

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600
TABLE = Table(
    first="What",
    columns=[
        Column(label="Return", unit="share", decimals=1, signed=True, bar=True),
        Column(label="Word", unit="text"),
    ],
    rows=[Row(label="This run", values=[-0.1, "x"], strong=True), Row(label="Hold", values=[0.3, None])],
    note="A note.",
)
SECTIONS = {
    "verdict": "verdict",
    "figures": "figures",
    "warnings": "warnings",
    "course": "course",
    "trades": "trades",
    "calibration": "calibration",
    "importance": "importance",
    "costs": "costs",
    "by_year": "periods",
    "by_regime": "periods",
    "benchmarks": "benchmarks",
    "sensitivity": "sensitivity",
    "capacity": "capacity",
    "reasons": "reasons",
    "proofs": "proofs",
    "provenance": "provenance",
    "settings": "provenance",
}


def course(bars: int = 2000, **changes: Any) -> Course:
    walk = np.cumsum(np.random.default_rng(7).normal(0, 1, bars))
    fields: dict[str, Any] = {
        "time": [int(START.timestamp()) + HOUR * i for i in range(bars)],
        "equity": (10000 + walk).tolist(),
        "price": (42000 + 50 * walk).tolist(),
        "hold": (10000 + 12 * walk).tolist(),
        "random_low": (9000 + walk).tolist(),
        "random_mid": [10000.0] * bars,
        "random_high": (11000 + walk).tolist(),
        "probability": (0.5 + 0.05 * np.sin(walk)).tolist(),
        "threshold_long": [0.55] * bars,
        "threshold_short": [0.45] * bars,
        "vix": [14.0] * bars,
    }
    return Course(**{**fields, **changes})


def figure(key: str = "sharpe", value: float | None = 0.2, **changes: Any) -> Figure:
    return Figure(**{"key": key, "label": key.title(), "value": value, **changes})


def study(bars: int = 2000, **changes: Any) -> Study:
    fields: dict[str, Any] = {
        "title": "BTC/USDT, vix53",
        "subtitle": "Walk-forward",
        "currency": "USDT",
        "verdict": Verdict(answer="no", sentence="There is no evidence of an edge.", because=["It lost."]),
        "figures": [figure(low=-0.4, high=0.9, null=0.0), figure("trades", 2.0, unit="count", better="")],
        "warnings": [Warned(text="A small matter."), Warned(text="A grave matter.", level="serious")],
        "course": course(bars),
        "regimes": [Span(int(START.timestamp()), int(START.timestamp()) + 50 * HOUR, "panic")],
        "trades": [trade(10), trade(40, pnl="-3", side="short", cause="stop"), trade(90, None)],
        "calibration": Calibration(bins=[Bin(predicted=0.48, happened=0.4, count=90)], scores=[("Brier", "0.25")]),
        "importance": Importance(features=["rsi", "vix"], windows=[0, 864000], values=[[1.0, 3.0], [3.0, math.nan]]),
        "costs": Costs(gross=100.0, items=[("Fees", 60.0), ("Slippage", 50.0)]),
        **dict.fromkeys(("by_year", "by_regime", "benchmarks", "sensitivity", "capacity"), TABLE),
        "reasons": [("inside the band", 1990), ("enter long", 10)],
        "proofs": [
            Proof(name="No leak", passed=True),
            Proof(name="Replay", passed=None),
            Proof(name="W", passed=False),
        ],
        "provenance": [("Data digest", "abc")],
        "settings": {"policy.threshold": "0.02"},
    }
    return Study(**{**fields, **changes})


EMPTY = Study(title="Nothing")


def ids(page: str) -> set[str]:
    return {attrs["id"] or "" for _, attrs in Page(page).elements if "id" in attrs}


def test_every_section_is_there_when_given_and_all_are_well_formed() -> None:
    page = render(study())
    parsed = Page(page)
    assert set(SECTIONS.values()) | {"months", "intervals", "closer", "results"} <= ids(page)
    assert [len(parsed.all(tag)) for tag in ("html", "head", "body", "main", "h1")] == [1, 1, 1, 1, 1]
    found = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_stands_alone_and_is_left_out_when_missing(name: str) -> None:
    whole = study()
    alone = ids(render(msgspec.structs.replace(EMPTY, **{name: getattr(whole, name)})))
    assert alone & set(SECTIONS.values()) == {SECTIONS[name]}
    assert not ids(render(EMPTY)) & set(SECTIONS.values())


def test_verdict_comes_first_and_no_is_shown_like_yes() -> None:
    answers: tuple[Any, ...] = ("yes", "no")
    pages = [render(study(verdict=Verdict(answer=answer, sentence="Same words."))) for answer in answers]
    assert pages[0].index('id="verdict"') < pages[0].index('id="figures"') < pages[0].index('id="warnings"')
    assert ".verdict.no" not in pages[0]
    assert ".verdict.yes" not in pages[0]


def test_serious_warnings_come_first() -> None:
    page = render(study())
    assert page.index("A grave matter.") < page.index("A small matter.")


def test_headings_leave_out_no_level() -> None:
    levels = [int(tag[1]) for tag, _ in Page(render(study())).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_drawings_tell_in_words_what_they_show() -> None:
    svgs = [attrs for tag, attrs in Page(render(study())).elements if tag == "svg" and "role" in attrs]
    assert len(svgs) >= 10
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in svgs)


@pytest.mark.parametrize("page", [render(study()), compare([study(), study(title="Other")])], ids=["one", "two"])
def test_page_asks_for_nothing_outside_itself(page: str) -> None:
    for tag, attrs in Page(page).elements:
        assert "src" not in attrs, tag
        assert (attrs.get("href") or "#").startswith(("#", "data:,")), tag
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest", page)
    assert "default-src 'none'" in page


EVIL = "</title></script>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def evil() -> Study:
    table = Table(
        first=EVIL, columns=[Column(label=EVIL, unit="text")], rows=[Row(label=EVIL, values=[EVIL])], note=EVIL
    )
    return study(
        **dict.fromkeys(("title", "subtitle", "currency"), EVIL),
        **dict.fromkeys(("by_year", "by_regime", "benchmarks", "sensitivity", "capacity"), table),
        verdict=Verdict(answer="no", sentence=EVIL, because=[EVIL]),
        figures=[figure(EVIL, low=0.1, high=0.3, label=EVIL, note=EVIL)],
        warnings=[Warned(text=EVIL)],
        regimes=[Span(int(START.timestamp()), int(START.timestamp()) + 50 * HOUR, EVIL)],
        trades=[trade(10, cause=EVIL)],
        calibration=Calibration(bins=[], scores=[(EVIL, EVIL)]),
        importance=Importance(features=[EVIL], windows=[0, 9], values=[[1.0, 1.0]]),
        costs=Costs(gross=1.0, items=[(EVIL, 0.5)]),
        reasons=[(EVIL, 3)],
        proofs=[Proof(name=EVIL, passed=False, detail=EVIL)],
        provenance=[(EVIL, EVIL)],
        settings={EVIL: EVIL},
    )


def test_no_text_becomes_markup() -> None:
    other = msgspec.structs.replace(evil(), settings={EVIL: EVIL + "2"}, provenance=[(EVIL, EVIL + "2")])
    harmless = (render(study()), compare([study(), study()]))
    for page, plain in zip((render(evil()), compare([evil(), other])), harmless, strict=True):
        parsed = Page(page)
        assert len(parsed.all("script")) == len(Page(plain).all("script"))
        assert not parsed.all("img")
        assert not [attrs for _, attrs in parsed.elements if any(name.startswith("on") for name in attrs)]


NAN = [math.nan] * 200


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(EMPTY, id="nothing"),
        pytest.param(study(0, trades=[]), id="no bars"),
        pytest.param(study(1, trades=[]), id="one bar"),
        pytest.param(study(2), id="two bars, trades beyond them"),
        pytest.param(study(trades=[]), id="no trades"),
        pytest.param(study(trades=[trade(5)]), id="one trade"),
        pytest.param(study(trades=[trade(10, entry=Decimal(0), amount=Decimal(0))]), id="empty trade"),
        pytest.param(study(course=Course(time=[0, HOUR], equity=[1.0, 2.0])), id="equity alone"),
        pytest.param(study(course=course(200, **dict.fromkeys(COLUMNS, NAN))), id="nothing known"),
        pytest.param(study(course=course(200, **dict.fromkeys(COLUMNS, [None] * 200))), id="nothing given"),
        pytest.param(study(course=course(200, equity=[1000.0 - 20 * i for i in range(200)])), id="negative equity"),
        pytest.param(study(course=course(200, price=[10.0**i for i in range(-100, 100)])), id="wide prices"),
        pytest.param(study(course=course(200, equity=[math.inf] * 200)), id="infinite"),
        pytest.param(study(figures=[figure(value=None), figure("b", math.nan, low=math.nan, high=1.0)]), id="unknown"),
        pytest.param(study(figures=[figure(value=0.0, low=0.0, high=0.0, null=0.0)]), id="no width"),
        pytest.param(study(costs=Costs(gross=-5.0, items=[])), id="loss before costs"),
        pytest.param(study(costs=Costs(gross=0.0, items=[("Fees", 0.0)])), id="nothing gained or paid"),
        pytest.param(study(calibration=Calibration(bins=[], scores=[])), id="no forecasts"),
        pytest.param(
            study(calibration=Calibration(bins=[Bin(predicted=0.5, happened=1.0, count=1)])), id="one forecast"
        ),
        pytest.param(study(importance=Importance(features=[], windows=[], values=[])), id="no features"),
        pytest.param(study(importance=Importance(features=["a"], windows=[0], values=[[None]])), id="no importance"),
        pytest.param(study(importance=Importance(features=["a"], windows=[0], values=[[0.0]])), id="all zero"),
        pytest.param(study(reasons=[("nothing", 0)]), id="no decision"),
    ],
)
def test_odd_studies_are_drawn_without_a_value_that_is_none(told: Study) -> None:
    for page in (render(told), compare([told, study()])):
        elements = Page(page).elements
        places = " ".join(value or "" for _, attrs in elements for name, value in attrs.items() if name in PLACES)
        assert not re.search(r"nan|inf|None", places)


def test_studies_that_do_not_fit_together_are_refused_with_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="vix has 1 values for 3 bars"):
        render(study(course=course(3, vix=[1.0])))
    with pytest.raises(ValueError, match="time goes from"):
        render(study(course=course(2, time=[5, 5])))
    with pytest.raises(ValueError, match="by_year has 2 columns, its row 'X' 1"):
        render(study(by_year=msgspec.structs.replace(TABLE, rows=[Row(label="X", values=[1.0])])))
    with pytest.raises(ValueError, match="importance needs a row"):
        render(study(importance=Importance(features=["a"], windows=[1, 2], values=[[1.0]])))
    with pytest.raises(ValueError, match="no time zone"):
        render(study(trades=[trade(1, opened=datetime(2024, 1, 1))]))
    with pytest.raises(ValueError, match="1 runs to compare"):
        compare([study()])


def test_five_years_of_hours_with_three_thousand_trades_stay_below_three_megabytes() -> None:
    bars, rng = 44_000, np.random.default_rng(3)
    noise = {name: rng.normal(1000, 100, bars).tolist() for name in COLUMNS}
    windows = list(range(0, 153 * 864000, 864000))
    names = [f"feature{i}" for i in range(101)]
    importance = Importance(features=names, windows=windows, values=rng.random((101, 153)).tolist())
    start = int(START.timestamp())
    regimes = spans([start + HOUR * i for i in range(bars)], rng.choice(["a", "b"], bars).tolist(), HOUR)
    trades = [trade(hour) for hour in range(0, bars - 20, 14)]
    page = render(study(course=course(bars, **noise), trades=trades, importance=importance, regimes=regimes))
    assert len(page.encode()) < 3_000_000
    points = max(page.count(" ", *found.span()) for found in re.finditer(r' d="[^"]*"', page)) // 2
    assert points <= 4 * 4 * BUCKETS  # the band: two edges, each with the bars that either needs


def test_equal_studies_give_equal_files(tmp_path: Path) -> None:
    made = [[path.read_bytes() for path in write(tmp_path / name, study(300))] for name in ("a", "b")]
    assert len(made[0]) == 8
    assert made[0] == made[1]
    assert compare([study(), study(100)]) == compare([study(), study(100)])


def test_a_written_study_is_read_back_whole(tmp_path: Path) -> None:
    told = study(300, course=course(300, equity=[None] * 300, price=[0.1 + 0.2 * i for i in range(300)]))
    told = msgspec.structs.replace(
        told, calibration=Calibration(bins=[]), importance=Importance(features=["a"], windows=[0], values=[[None]])
    )
    write(tmp_path, told)
    assert read(tmp_path) == told
    assert read(tmp_path / "study.json") == told


def test_what_is_not_finite_is_read_back_as_unknown(tmp_path: Path) -> None:
    write(tmp_path, Study(title="X", course=Course(time=[0, 1], equity=[None, None], vix=[math.nan, math.inf])))
    again = read(tmp_path).course
    assert again is not None
    assert again.vix == [None, None]


def test_what_is_no_study_is_refused_by_name(tmp_path: Path) -> None:
    for text in ("{", '{"title": 5}', '{"title": "x", "format": 2}'):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(ValueError, match="not a study"):
            read(tmp_path)


def test_folder_holds_page_pictures_tables_and_nothing_half_made(tmp_path: Path) -> None:
    write(tmp_path, study(800))
    names = {"report.html", "equity.png", "months.png", "calibration.png"}
    names |= {"equity.csv", "monthly.csv", "trades.csv", "study.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names if name.endswith("png"))
    write(tmp_path, EMPTY)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "study.json"}


def test_a_file_that_cannot_be_replaced_leaves_the_old_one_and_no_scraps(tmp_path: Path) -> None:
    write(tmp_path, EMPTY)
    before = (tmp_path / "study.json").read_bytes()
    (tmp_path / "equity.csv").mkdir()
    with pytest.raises(OSError, match="equity.csv"):
        write(tmp_path, Study(title="Other", course=Course(time=[0], equity=[None])))
    assert (tmp_path / "study.json").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_tables_hold_every_bar_every_month_and_every_trade(tmp_path: Path) -> None:
    told = study(800, trades=[trade(1), trade(30, None)])
    write(tmp_path, msgspec.structs.replace(told, calibration=None))
    bars, monthly, trades = (
        list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("equity", "monthly", "trades")
    )
    assert told.course is not None
    assert [float(row["equity"]) for row in bars] == told.course.equity
    assert bars[1]["time"] == "2024-01-01T01:00:00+00:00"
    assert [row["month"] for row in monthly] == ["2024-01", "2024-02"]
    assert math.prod(1 + float(row["return"]) for row in monthly) == pytest.approx(
        float(bars[-1]["equity"]) / float(bars[0]["equity"])
    )
    assert (trades[0]["opened"], trades[0]["entry"], trades[1]["closed"]) == (
        "2024-01-01T01:00:00+00:00",
        "42000.5",
        "",
    )


@settings(max_examples=50)
@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=40), st.integers(1, 60))
def test_months_and_years_multiply_to_the_whole(values: list[float], days: int) -> None:
    begin = datetime(2023, 11, 15, tzinfo=UTC)
    time = [int((begin + timedelta(days=days * i)).timestamp()) for i in range(len(values))]
    years = months(Course(time=time, equity=list(values)))
    whole = values[-1] / values[0]
    assert math.prod(1 + m for year in years for m in year.months if m is not None) == pytest.approx(whole)
    assert math.prod(1 + (year.total or 0.0) for year in years) == pytest.approx(whole)


def test_a_month_begins_at_the_last_equity_of_the_month_before() -> None:
    days = [datetime(2023, 12, 30, tzinfo=UTC), datetime(2023, 12, 31, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    (first, second) = months(Course(time=[int(day.timestamp()) for day in days], equity=[100.0, 110.0, 99.0]))
    assert (first.year, first.months[11], first.total) == (2023, pytest.approx(0.1), pytest.approx(0.1))
    assert (second.year, second.months[0], second.months[1]) == (2024, pytest.approx(-0.1), None)
    assert heat(0.0, usual([first, second])) == 0
    assert 0 < heat(0.01, 0.1) < heat(-0.1, 0.1) == heat(5.0, 0.1)


def test_every_trade_is_on_the_price_in_time_and_at_its_price() -> None:
    told = study(
        100, course=course(100, price=[100.0] * 100), trades=[trade(25, 50, entry=Decimal(90), exit=Decimal(110))]
    )
    assert told.course is not None
    chart = next(c for c in course_charts(told, Axis.over(told.course.time)) if c.key == "price")
    paths = dict(chart.paths)
    assert paths["tick-long"] == f"M250 {chart.scale(90) + 3:g}v6"
    assert paths["tick-exit"] == f"M750 {chart.scale(110):g}h0"
    assert paths["lane long"].startswith("M250 306H750")


def test_three_thousand_trades_are_all_marked() -> None:
    told = study(9100, trades=[trade(3 * i, 1) for i in range(3000)])
    assert told.course is not None
    chart = next(c for c in course_charts(told, Axis.over(told.course.time)) if c.key == "price")
    assert dict(chart.paths)["tick-long"].count("M") == 3000
    assert not chart.marks
    looked = close_look(told)
    assert looked is not None
    assert len(looked[1][0].marks) == 60


def test_wide_equity_is_drawn_on_a_ratio_scale_and_none_that_touches_zero() -> None:
    scale = Scale.of_equity([np.array([100.0, 1000.0])], 100)
    assert scale.log
    assert scale(math.sqrt(100.0 * 1000.0)) == pytest.approx(50.0, abs=0.1)
    assert not Scale.of_equity([np.array([0.0, 1000.0])], 100).log
    assert not Scale.of_equity([np.array([100.0, 120.0])], 100).log
    assert log_ticks(90, 1100) == [100, 200, 300, 500, 700, 1000]


def test_read_out_on_a_ratio_scale_says_so_to_the_script() -> None:
    told = study(300, course=course(300, price=np.linspace(1, 100, 300).tolist()))
    data = json.loads(re.findall(r'id="whole">(.*?)</script>', render(told))[0])
    assert [data["lines"][name]["log"] for name in ("price", "vix")] == [True, False]


def test_calibration_shows_each_bin_with_wilsons_interval_and_its_count() -> None:
    bins = [Bin(predicted=0.4, happened=0.45, count=100), Bin(predicted=0.6, happened=0.55, count=25)]
    told = reliability(Calibration(bins=[*bins, Bin(predicted=0.9, happened=1.0, count=0)]))
    assert told is not None
    assert [title for _, _, title in told.counts] == ["100", "25"]
    assert [height for _, height, _ in told.counts] == [44.0, 11.0]
    assert told.dots[0].x < told.dots[1].x
    assert told.dots[0].high < told.dots[0].y < told.dots[0].low
    assert wilson(0.5, 100) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def test_importance_shows_the_strongest_features_first_as_shares() -> None:
    values: list[list[float | None]] = [[1.0, 1.0], [3.0, 3.0]]
    rows, _ = strips(Importance(features=["weak", "strong"], windows=[0, 864000], values=values))
    assert [(row.feature, row.mean) for row in rows] == [("strong", "75.0%"), ("weak", "25.0%")]
    assert rows[0].paths[0][0] > rows[1].paths[0][0]
    many = Importance(features=[str(i) for i in range(40)], windows=[0, 9], values=[[1.0, 2.0]] * 40)
    assert len(strips(many)[0]) == 15


def test_results_of_trades_are_all_counted_also_beyond_the_edges() -> None:
    values = np.concatenate([np.linspace(-0.02, 0.03, 500), [5.0, -0.9]])
    told = histogram(values)
    assert told is not None
    assert sum(int(title.rsplit(": ")[1].replace(",", "")) for *_, title in told.bars) == 502
    for look, *_, title in told.bars:
        assert (look == "loss") == title.startswith("\u2212")
    assert results([trade(1), trade(2, None)]) == pytest.approx([12.5 / (0.025 * 42000.5)])


def test_an_interval_is_sure_only_when_it_leaves_no_edge_out() -> None:
    cases = [(-0.1, 0.3, "high", ""), (0.1, 0.3, "high", "better"), (-0.3, -0.1, "high", "worse")]
    cases += [(0.1, 0.3, "low", "worse"), (0.1, 0.3, "", ""), (-0.3, -0.1, "low", "better")]
    for low, high, better, sure in cases:
        (row,) = whiskers([figure(value=(low + high) / 2, low=low, high=high, null=0.0, better=better)])
        assert (row.sure, row.null) == (sure, 50.0)
        assert row.low < row.value < row.high
    assert whiskers([figure(low=None, high=1.0), figure(low=0.0, high=math.nan)]) == []


def test_costs_step_from_gross_to_net_and_are_told_as_shares_of_the_gross() -> None:
    told = steps(Costs(gross=100.0, items=[("Fees", 60.0), ("Slippage", 50.0)]), 0)
    assert [(s.label, s.amount, s.part) for s in told] == [
        ("Before costs", "+100", "100%"),
        ("Fees", "\u221260", "\u221260%"),
        ("Slippage", "\u221250", "\u221250%"),
        ("After costs", "\u221210", "\u221210%"),
    ]
    assert [(s.x, s.width) for s in told] == [(9.09, 90.91), (45.45, 54.55), (0.0, 45.45), (0.0, 9.09)]
    assert {s.part for s in steps(Costs(gross=-1.0, items=[("Fees", 1.0)]), 0)} == {""}


def test_figures_are_worded_by_their_unit() -> None:
    told = figure(value=-0.1234, low=-0.2, high=0.05, unit="share", decimals=1, signed=True)
    assert (worded(told), interval(told)) == ("\u221212.3%", "\u221220.0% to +5.0%")
    assert worded(figure(value=1234.0, unit="count")) == "1,234"
    assert worded(figure(value=None)) == worded(figure(value=math.nan)) == "\u2013"
    assert interval(figure(low=0.0)) == ""


def test_cells_of_a_table_have_bars_from_a_common_zero() -> None:
    (label, strong, first), (_, _, second) = cells(TABLE)
    assert (label, strong) == ("This run", True)
    assert (first[0].text, first[0].bar) == ("\u221210.0%", (0.0, 25.0))
    assert (second[0].bar, second[1].text) == ((25.0, 75.0), "\u2013")


def test_spans_join_equal_names_and_leave_holes_out() -> None:
    assert spans([0, 10, 20, 30, 40], ["a", "a", "", "b", "a"], 10) == [
        Span(0, 20, "a"),
        Span(30, 40, "b"),
        Span(40, 50, "a"),
    ]
    assert spans([], [], 10) == []


def test_comparison_marks_what_differs_and_what_is_clear() -> None:
    one = study(figures=[figure(value=0.1, low=-0.1, high=0.3), figure("drawdown", -0.2, unit="share")])
    other = study(
        title="Other",
        figures=[figure(value=0.9, low=0.5, high=1.2), figure("drawdown", -0.3, unit="share"), figure("auc", 0.5)],
        settings={"policy.threshold": "0.03", "only.here": "1"},
        warnings=[],
    )
    page = compare([one, other])
    assert re.search(r'change better apart"[^>]*>\+0\.80<', page)
    assert re.search(r'change worse"[^>]*>\u221210\.00 pp<', page)
    assert "policy.threshold" in page
    assert "only.here" in page
    assert '<strong class="who">A</strong> A grave matter.' in page
    same = compare([one, one])
    assert "policy.threshold" not in same
    assert "1 others are the same" in same


def test_comparison_draws_each_run_from_the_same_start_over_its_own_time() -> None:
    early = study(course=Course(time=[0, HOUR, 2 * HOUR], equity=[100.0, 110.0, 120.0]))
    late = study(course=Course(time=[HOUR, 3 * HOUR], equity=[5.0, 10.0]))
    data = json.loads(re.findall(r'id="whole">(.*?)</script>', compare([early, late]))[0])
    assert data["time"] == [0, HOUR, 2 * HOUR, 3 * HOUR]
    assert data["lines"]["equity0"]["values"] == [100.0, 110.0, 120.0, None]
    assert data["lines"]["equity1"]["values"] == [None, 100.0, 100.0, 200.0]


def test_three_runs_stand_side_by_side_without_a_difference_column() -> None:
    page = compare([study(), study(), study(title="Third")])
    assert "B against A" not in page
    assert page.count('class="letter') == 3


def test_trades_of_a_report_still_need_no_fees() -> None:
    assert Trade(**{name: getattr(trade(1), name) for name in Trade.__struct_fields__ if name != "fees"}).fees == 0
