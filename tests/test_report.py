"""The report is one file that needs nothing else, shows what it was given, and lets no text become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.report import Report, Trade, render
from core.report.charts import MARKED_TRADES, Chart, area, charts, drawdown, stroke
from core.report.page import LISTED_TRADES
from core.report.scales import BUCKETS, Axis, Scale, nice_ticks, number, thin, tick_labels
from core.report.template import HOVER_POINTS

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600
SERIES = ("price", "equity", "hold", "probability", "threshold_long", "threshold_short", "vix")
PLACES = {"d", "x", "y", "x1", "x2", "y1", "y2", "width", "height"}
VOID = {"meta", "link", "br", "hr", "img", "input"}


def trade(hour: int, hours: int | None = 5, pnl: str = "12.50", **changes: Any) -> Trade:
    opened = START + timedelta(hours=hour)
    fields: dict[str, Any] = {
        "opened": opened,
        "closed": None if hours is None else opened + timedelta(hours=hours),
        "side": "long",
        "amount": Decimal("0.0250"),
        "entry": Decimal("42000.5"),
        "exit": None if hours is None else Decimal("42500.5"),
        "pnl": Decimal(pnl),
        "cause": "open" if hours is None else "exit",
    }
    return Trade(**{**fields, **changes})


def report(bars: int = 300, **changes: Any) -> Report:
    walk = np.cumsum(np.random.default_rng(7).normal(0, 1, bars))
    fields: dict[str, Any] = {
        "title": "BTC/USDT on paper",
        "subtitle": "A quarter of ticks",
        "facts": [("Return", "+1.20%"), ("Trades", "2")],
        "time": [int(START.timestamp()) + HOUR * i for i in range(bars)],
        "price": (42000 + 50 * walk).tolist(),
        "equity": (10000 + walk).tolist(),
        "hold": (10000 + 12 * walk).tolist(),
        "probability": (0.5 + 0.05 * np.sin(walk)).tolist(),
        "threshold_long": [0.55] * bars,
        "threshold_short": [0.45] * bars,
        "vix": [14.0] * bars,
        "trades": [trade(10), trade(40, pnl="-3", side="short", cause="stop")],
        "last_decision": "The chance to rise is 53.1 %, and 55 % would be needed: the book stays flat.",
        "numbers": [("p(up)", "0.531")],
        "model": [("Verdict", "published with a warning")],
        "notes": ["Fills are made on paper."],
        "reasons": [("enter long", 1), ("inside the band", 297), ("stopped", 1)],
        "currency": "USDT",
    }
    return Report(**{**fields, **changes})


def flat(bars: int, **changes: Any) -> Report:
    return report(bars, **{name: [1.0] * bars for name in SERIES}, **changes)


class Page(HTMLParser):
    """Every element with its attributes; fails on a tag that is not closed, or closed in the wrong order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, look: str = "") -> list[dict[str, str | None]]:
        looks = set(look.split())
        return [
            attrs for name, attrs in self.elements if name == tag and looks <= set((attrs.get("class") or "").split())
        ]


def drawn(told: Report, key: str) -> Chart:
    return next(chart for chart in charts(told, Axis.over(told.time)) if chart.key == key)


def heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r"[\d.e-]+ (-?[\d.e-]+)", path)]


def path_of(chart: Chart, look: str) -> str:
    return next(path for name, path in chart.paths if name == look)


def test_page_is_one_document_with_balanced_tags() -> None:
    page = render(report())
    assert page.startswith("<!doctype html>")
    parsed = Page(page)
    assert [len(parsed.all(tag)) for tag in ("html", "head", "title", "body", "main", "h1")] == [1, 1, 3, 1, 1, 1]
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_page_asks_for_nothing_outside_itself() -> None:
    page = render(report())
    for tag, attrs in Page(page).elements:
        assert "src" not in attrs, tag
        assert (attrs.get("href") or "#").startswith(("#", "data:,")), tag
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest", page)


def test_policy_admits_exactly_the_script_of_the_page() -> None:
    page = render(report())
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for a in Page(page).all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}';" in policy


def test_no_text_becomes_markup() -> None:
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    pair = [(evil, evil)]
    texts: dict[str, Any] = dict.fromkeys(("title", "subtitle", "last_decision", "currency"), evil)
    lists: dict[str, Any] = dict.fromkeys(("facts", "numbers", "model"), pair)
    cruel = trade(10, cause=evil, side=evil)
    told = report(**texts, **lists, notes=[evil], reasons=[(evil, 3)], trades=[cruel], timezone=evil)
    parsed = Page(render(told))
    plain = Page(render(report(trades=[trade(10)])))
    assert len(parsed.all("script")) == len(plain.all("script")) == 2
    assert not parsed.all("img")
    assert not [attrs for _, attrs in parsed.elements if any(name.startswith("on") for name in attrs)]
    assert "".join(parsed.text).count(evil) >= 16
    assert "49" not in "".join(parsed.text).split(evil)


def test_size_stays_bounded_for_five_years_of_hours_and_thousands_of_trades() -> None:
    rng = np.random.default_rng(3)
    bars = 44_000
    noise = {name: rng.normal(1000, 100, bars).tolist() for name in SERIES}
    page = render(report(bars, **noise, trades=[trade(hour) for hour in range(0, bars - 20, 10)]))
    assert len(page.encode()) < 3_000_000


def test_equal_reports_give_equal_pages() -> None:
    assert render(report()) == render(report())


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(report(0, trades=[], facts=[], numbers=[], model=[], notes=[], reasons=[]), id="nothing at all"),
        pytest.param(report(1, trades=[]), id="one bar"),
        pytest.param(report(2), id="two bars, trades beyond them"),
        pytest.param(flat(200), id="everything flat"),
        pytest.param(report(200, probability=[None] * 200, vix=[math.nan] * 200), id="no forecast"),
        pytest.param(report(200, threshold_long=[None] * 200), id="no threshold"),
        pytest.param(report(200, equity=[1000.0 - 20 * i for i in range(200)]), id="negative equity"),
        pytest.param(report(200, equity=[-1.0] * 200), id="never above zero"),
        pytest.param(
            report(200, price=[math.nan] * 200, equity=[math.inf] * 200, hold=[-math.inf] * 200), id="no value"
        ),
        pytest.param(
            report(200, equity=[1000.0] * 100 + [-math.inf] * 100, price=[math.inf] + [1.0] * 199), id="infinite"
        ),
        pytest.param(report(200, price=[1e-9 * i for i in range(200)]), id="tiny prices"),
        pytest.param(report(200, equity=[1e15 + 1e12 * i for i in range(200)]), id="huge equity"),
        pytest.param(report(trades=[trade(10, entry=Decimal(0), amount=Decimal(0))]), id="empty trade"),
        pytest.param(report(reasons=[("nothing", 0)]), id="no decision"),
    ],
)
def test_odd_reports_are_drawn_without_a_value_that_is_none(told: Report) -> None:
    parsed = Page(render(told))
    places = " ".join(value or "" for _, attrs in parsed.elements for name, value in attrs.items() if name in PLACES)
    assert not re.search(r"nan|inf|None", places)


def test_no_bars_and_no_trades_are_said_in_words() -> None:
    text = " ".join(Page(render(report(0, trades=[]))).text)
    assert "There are no bars" in text
    assert "There was no trade." in text


def test_charts_that_have_nothing_to_show_are_left_out() -> None:
    told = report(50, probability=[None] * 50, vix=[None] * 50, trades=[])
    assert [chart.key for chart in charts(told, Axis.over(told.time))] == ["equity", "drawdown", "price"]


def test_every_trade_is_marked_with_its_side_its_result_and_its_end() -> None:
    told = report(
        trades=[trade(5), trade(20, side="short", cause="stop", pnl="-9"), trade(40, pnl="-1"), trade(290, None)]
    )
    parsed = Page(render(told))
    assert [mark["class"] for mark in parsed.all("g", "trade")] == [
        "trade win",
        "trade loss",
        "trade loss",
        "trade win",
    ]
    marks = [use["href"] for use in parsed.all("use") if (use["href"] or "").startswith("#data-mark-")]
    names = ["exit", "long", "stop", "short", "exit", "long", "long"]
    assert marks == [f"#data-mark-{name}" for name in names]


def test_marks_stand_at_the_time_and_price_of_entry_and_exit() -> None:
    told = report(100, price=[100.0] * 100, trades=[trade(25, 50, entry=Decimal(90), exit=Decimal(110))])
    chart = drawn(told, "price")
    (mark,) = chart.marks
    assert (mark.x, mark.x2) == (25.0, 75.0)
    assert (mark.y, mark.y2) == (chart.scale(90), chart.scale(110))
    assert 0 < mark.y2 < mark.y < chart.height


def test_an_open_trade_reaches_to_the_last_bar_and_its_close() -> None:
    told = report(100, trades=[trade(25, None)])
    chart = drawn(told, "price")
    assert (chart.marks[0].x2, chart.marks[0].y2) == (100.0, chart.scale(told.price[-1]))


def test_too_many_trades_are_cut_to_the_latest_and_the_page_says_so() -> None:
    many = [trade(hour) for hour in range(MARKED_TRADES + 50)]
    page = render(report(MARKED_TRADES + 100, trades=many))
    parsed = Page(page)
    assert len(parsed.all("g", "trade")) == MARKED_TRADES
    first, last = (f"42,000.50, {many[i].opened:%Y-%m-%d %H:%M};" for i in (49, 50))
    assert first not in page
    assert last in page
    assert len(parsed.all("tr")) - 1 - 3 == LISTED_TRADES
    assert f"the latest {MARKED_TRADES} of {len(many)} trades marked" in page
    assert f"The latest {LISTED_TRADES} of {len(many)} trades." in page


def test_table_lists_the_newest_trade_first_with_signed_result() -> None:
    page = render(report(trades=[trade(1, pnl="1234.5"), trade(30, hours=28, pnl="-7.25", cause="stop")]))
    rows = re.findall(r"<tr>(<td.*?)</tr>", page[page.index('<table class="trades">') :])
    cells = [re.findall(r">([^<]*)</td>", row) for row in rows]
    assert cells[0][:3] == ["2024-01-02 06:00", "2024-01-03 10:00", "1 d 4 h"]
    assert cells[0][4:] == ["0.025", "42,000.50", "42,500.50", "\u22127.25", "\u22120.69%", "stop"]
    assert cells[1][7] == "+1,234.50"


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), max_size=400), st.integers(1, 12))
def test_thinning_keeps_the_ends_and_the_extremes_of_every_series(values: list[float], buckets: int) -> None:
    series = np.array(values, np.float64)
    kept = thin(series, buckets)
    finite = np.flatnonzero(np.isfinite(series))
    assert set(kept) <= set(finite)
    assert len(kept) <= 4 * buckets
    if len(finite):
        assert {finite[0], finite[-1]} <= set(kept)
        assert series[kept].min() == series[finite].min()
        assert series[kept].max() == series[finite].max()


def test_extremes_of_equity_and_the_deepest_drawdown_are_drawn() -> None:
    bars = 12_000
    equity = 10000 + np.cumsum(np.random.default_rng(5).normal(0, 1, bars))
    equity[5_171], equity[9_313] = 20_000.0, 500.0  # one bar each: what a sampled line would lose
    told = report(bars, equity=equity.tolist(), trades=[])
    curve, loss = drawn(told, "equity"), drawn(told, "drawdown")
    ys = heights(path_of(curve, "equity"))
    assert len(ys) <= 4 * BUCKETS
    assert (min(ys), max(ys)) == (curve.scale(20_000.0), curve.scale(500.0))
    for look in ("loss", "loss area"):
        assert max(heights(path_of(loss, look))) == loss.scale(500.0 / 20_000.0 - 1)


def test_drawdown_is_the_loss_since_the_highest_value() -> None:
    got = drawdown(np.array([100.0, 120.0, 90.0, math.nan, 150.0, -30.0]))
    np.testing.assert_allclose(got, [0, 0, -0.25, math.nan, 0, -1.2])
    assert np.isnan(drawdown(np.array([-5.0, 0.0]))).all()


def test_nothing_is_drawn_outside_of_its_chart() -> None:
    told = report(
        200, equity=[1000.0 - 20 * i for i in range(200)], trades=[trade(10, entry=Decimal(1), exit=Decimal(9))]
    )
    for chart in charts(told, Axis.over(told.time)):
        ys = [y for _, path in chart.paths for y in heights(path)] + [y for y, _ in chart.ticks]
        ys += [y for mark in chart.marks for y in (mark.y, mark.y2)]
        assert 0 <= min(ys) <= max(ys) <= chart.height, chart.key


def test_lines_break_at_values_that_are_not_there_and_single_ones_become_dots() -> None:
    axis = Axis.over([HOUR * i for i in range(8)])
    values = np.array([1, 2, math.nan, 3, math.nan, math.nan, 4, 5])
    path = stroke(axis, values, Scale(0, 10, 100))
    assert path == "M0 90 125 80M375 70h0M750 60 875 50"


def test_lines_break_where_bars_are_missing() -> None:
    times = [HOUR * i for i in (0, 1, 2, 3, 20, 21, 22)]
    assert stroke(Axis.over(times), np.ones(7), Scale(0, 2, 100)).count("M") == 2


def test_band_lies_between_both_series_where_both_are_there() -> None:
    axis = Axis.over([HOUR * i for i in range(4)])
    upper, lower = np.array([8, 9, math.nan, 8]), np.array([2, 1, 2, 2])
    assert area(axis, upper, lower, Scale(0, 10, 100)) == "M0 20 250 10L250 90 0 80ZM750 20L750 80Z"


def test_read_out_holds_exact_values_of_the_bars_that_it_names() -> None:
    told = report(5000, trades=[], probability=[None] + [0.5] * 4999)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', render(told))[0])
    index = {time: i for i, time in enumerate(told.time)}
    bars = [index[time] for time in data["time"]]
    assert len(bars) == HOVER_POINTS
    assert (bars[0], bars[-1]) == (0, 4999)
    assert data["lines"]["probability"]["values"][0] is None
    assert data["lines"]["equity"]["values"] == [round(told.equity[i], 2) for i in bars]


def test_legends_show_the_last_values_without_any_script() -> None:
    told = report(50, equity=[10000.0] * 49 + [12345.678], vix=[None] * 49 + [13.01])
    page = render(told)
    assert '<b data-line="equity">12,345.68</b>' in page
    assert '<b data-line="vix">13.01</b>' in page


def test_each_chart_tells_in_words_what_it_shows() -> None:
    told = report(3, equity=[100.0, 50.0, 80.0], trades=[])
    assert (
        "Strategy: from 0.00% to \u221220.00%, lowest \u221250.00%, highest 0.00%." in drawn(told, "drawdown").summary
    )
    svgs = Page(render(told)).all("svg", "plot")
    assert len(svgs) == 5
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in svgs)


def test_reasons_are_ranked_with_bars_in_proportion() -> None:
    page = render(report(reasons=[("rare", 25), ("often", 100), ("never", 0)]))
    rows = re.findall(r"<tr><td>(\w+)</td>.*?(?:width:([\d.]+)%.*?)?</td><td class=\"num\">([\d,]+)</td>", page)
    assert [(why, float(width or 0), count) for why, width, count in rows] == [
        ("often", 100.0, "100"),
        ("rare", 25.0, "25"),
        ("never", 0.0, "0"),
    ]


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_ticks_are_round_and_inside(low: float, span: float, count: int) -> None:
    high = low + span
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        return
    step, ticks = nice_ticks(low, high, count)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-6
    assert 0 < len(ticks) <= count + 1 or step > span
    assert all(low - step * 1e-6 <= tick <= high + step * 1e-6 for tick in ticks)


def test_tick_labels_separate_thousands_and_carry_just_enough_decimals() -> None:
    assert tick_labels(20_000, [-20_000, 0, 20_000]) == ["\u221220,000", "0", "20,000"]
    assert tick_labels(0.05, [0.45, 0.5]) == ["0.45", "0.50"]
    assert tick_labels(0.005, [0.025], percent=True) == ["2.5%"]
    assert tick_labels(5e8, [5e8, 1e9]) == ["500M", "1,000M"]


def test_numbers_have_no_negative_zero_and_a_true_minus() -> None:
    assert number(-0.001, 2) == "0.00"
    assert number(-1234.5, 1) == "\u22121,234.5"
    assert number(0.0, 2, signed=True) == "+0.00"
    assert number(math.nan, 2) == "\u2013"


@pytest.mark.parametrize(
    ("hours", "labels"),
    [
        (8, ["1 Jan", "01:00"]),
        (24 * 6, ["1 Jan", "2 Jan"]),
        (24 * 91, ["8 Jan", "22 Jan"]),
        (24 * 365, ["2024", "Mar"]),
        (24 * 365 * 4, ["2024", "Jul"]),
    ],
)
def test_time_ticks_fall_on_round_times_of_the_calendar(hours: int, labels: list[str]) -> None:
    start = int(START.timestamp())
    ticks = Axis.over([start + HOUR * i for i in range(hours)]).ticks()
    assert ticks[0][0] == (pytest.approx(100 * 7 / 91, abs=0.01) if labels[0] == "8 Jan" else 0.0)
    assert [label for _, label in ticks[:2]] == labels
    assert 2 <= len(ticks) <= 9


def test_wrong_reports_are_refused_with_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="equity has 2 values for 3 bars"):
        render(report(3, equity=[1.0, 2.0], trades=[]))
    with pytest.raises(ValueError, match="sort the bars"):
        render(report(3, time=[3600, 0, 7200], trades=[]))
    with pytest.raises(ValueError, match="has no time zone"):
        render(report(trades=[msgspec.structs.replace(trade(1), opened=datetime(2024, 1, 1))]))
