"""The charts of a study's course: equity with its benchmarks, drawdown, price with every trade, forecast, VIX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from core.report.charts import Chart, Columns, Line, area, drawdown, drawdown_chart, marked, or_nan, stroke
from core.report.report import Trade
from core.report.scales import Axis, Floats, Scale, decimals_for
from core.report.study import COLUMNS, Course, Span, Study

CLOSE_TRADES = 60  # as many as a close look marks one by one
CLOSE_BARS = 3000
CROWD = 800
LANE = 306  # where the strip of positions begins, below the price


def course_charts(study: Study, axis: Axis) -> list[Chart]:
    """Every chart that has something to show, from top to bottom."""
    data = columns(study.course or Course(time=[], equity=[]))
    drawn = [_equity(study, data, axis), _drawdown(data, axis)]
    if known(data["price"]):
        drawn.append(_price(study, data, axis))
    if known(data["probability"]):
        drawn.append(_probability(data, axis))
    if known(data["vix"]):
        drawn.append(_vix(study.regimes, data, axis))
    return drawn


def columns(course: Course) -> Columns:
    """Every column as an array with nan for what is not finite; one that was not given is all nan."""
    empty = np.full(len(course.time), np.nan)
    given = {name: getattr(course, name) for name in COLUMNS}
    return {name: or_nan(np.array(values, np.float64)) if values else empty for name, values in given.items()}


def known(values: Floats) -> bool:
    return bool(np.isfinite(values).any())


def _lines(candidates: Iterable[Line]) -> list[Line]:
    return [line for line in candidates if known(line.values)]


def _equity(study: Study, data: Columns, axis: Axis) -> Chart:
    decimals = decimals_for(float(np.nanmax(np.abs(data["equity"]), initial=0.0)))
    lines = _lines(
        [
            Line("equity", "Strategy", "equity", data["equity"], decimals),
            Line("hold", "Buy and hold", "hold", data["hold"], decimals),
            Line("random_low", "Random entries, low", "random", data["random_low"], decimals),
            Line("random_high", "high", "random", data["random_high"], decimals),
        ]
    )
    scale = Scale.of_equity([*(line.values for line in lines), data["random_mid"]], 280)
    paths = [("random area", area(axis, data["random_high"], data["random_low"], scale))]
    paths.append(("middle", stroke(axis, data["random_mid"], scale)))
    paths += [(line.look, stroke(axis, line.values, scale)) for line in reversed(lines) if line.look != "random"]
    first = data["equity"][np.isfinite(data["equity"])][:1].tolist()
    return Chart(
        key="equity",
        title=f"Equity{f', {study.currency}' if study.currency else ''}{', ratio scale' if scale.log else ''}",
        scale=scale,
        lines=lines,
        paths=[(look, path) for look, path in paths if path],
        ticks=scale.ticks(),
        rule=scale(first[0]) if first else None,
    )


def _drawdown(data: Columns, axis: Axis) -> Chart:
    held = drawdown(data["hold"])
    return drawdown_chart(axis, drawdown(data["equity"]), held if known(held) else None)


def _price(study: Study, data: Columns, axis: Axis) -> Chart:
    trades = inside(study.trades or (), axis)
    paid = [float(price) for trade in trades for price in (trade.entry, trade.exit) if price is not None]
    scale = Scale.of_equity([data["price"], np.array([price for price in paid if price > 0])], 300)
    decimals = decimals_for(float(np.nanmax(data["price"], initial=0.0)))
    crowded = len(trades) > CROWD  # then the price lies above the marks, or nobody would see it
    dots = _dots(trades, axis, scale)
    return Chart(
        key="price",
        title=f"Price{f', {study.currency}' if study.currency else ''}"
        + (f", and {len(trades):,} trade{'s' if len(trades) > 1 else ''}" if trades else ""),
        scale=scale,
        lines=[Line("price", "Close", "price", data["price"], decimals)],
        paths=[*(dots if crowded else ()), ("price", stroke(axis, data["price"], scale)), *(() if crowded else dots)],
        ticks=scale.ticks(),
        symbols=[("tick-long", "long"), ("tick-short", "short"), ("tick-exit", "exit"), ("tick-stop", "stop")]
        if trades
        else (),
        lane=bool(trades),
    )


def inside(trades: Sequence[Trade], axis: Axis) -> list[Trade]:
    return [
        trade
        for trade in trades
        if trade.opened.timestamp() <= axis.end and (trade.closed is None or trade.closed.timestamp() >= axis.start)
    ]


def _dots(trades: Sequence[Trade], axis: Axis, scale: Scale) -> list[tuple[str, str]]:
    """All trades as one path for each kind of mark: bars in the strip below, entries below or above the price, ends."""
    paths: dict[str, list[str]] = {}
    for trade in trades:
        x = axis.share(trade.opened.timestamp()) * 10
        x2 = axis.share(trade.closed.timestamp() if trade.closed else axis.end) * 10
        long = trade.side == "long"
        top = LANE if long else LANE + 5
        paths.setdefault(f"lane {trade.side}", []).append(f"M{x:g} {top}H{max(x2, x + 0.5):g}v4H{x:g}z")
        if _on(scale, float(trade.entry)):
            y = scale(float(trade.entry))
            paths.setdefault(f"tick-{trade.side}", []).append(f"M{x:g} {y + (3 if long else -3):g}v{6 if long else -6}")
        if trade.exit is not None and _on(scale, float(trade.exit)):
            end = "tick-stop" if trade.cause == "stop" else "tick-exit"
            paths.setdefault(end, []).append(f"M{x2:g} {scale(float(trade.exit)):g}h0")
    order = ("lane long", "lane short", "tick-long", "tick-short", "tick-exit", "tick-stop")
    return [(look, "".join(paths[look])) for look in order if look in paths]


def _on(scale: Scale, price: float) -> bool:
    return scale.low <= price <= scale.high and (price > 0 or not scale.log)


def _probability(data: Columns, axis: Axis) -> Chart:
    p, above, below = data["probability"], data["threshold_long"], data["threshold_short"]
    given = [column for column in (p, above, below) if known(column)]
    scale = Scale.over([*given, np.array([0.5])], 160)
    paths = [
        ("band area", area(axis, above, below, scale)),
        ("forecast", stroke(axis, p, scale)),
        ("edge", stroke(axis, above, scale)),
        ("edge", stroke(axis, below, scale)),
    ]
    return Chart(
        key="probability",
        title="Probability that the price rises, and the threshold",
        scale=scale,
        lines=_lines(
            [
                Line("probability", "p(up)", "forecast", p, 3),
                Line("threshold_long", "long above", "band", above, 3),
                Line("threshold_short", "short below", "band", below, 3),
            ]
        ),
        paths=[(look, path) for look, path in paths if path],
        ticks=scale.ticks(),
        rule=scale(0.5),
    )


def _vix(regimes: Sequence[Span], data: Columns, axis: Axis) -> Chart:
    scale = Scale.over([data["vix"]], 110, 0.1)
    names = _by_length(regimes)
    shades = [(f"shade s{min(i, 5)}", _shade(regimes, name, axis, scale.height)) for i, name in enumerate(names)]
    return Chart(
        key="vix",
        title="VIX, as it was known" + (", and its regime" if names else ""),
        scale=scale,
        lines=[Line("vix", "VIX", "vix", data["vix"], 2)],
        paths=[*[(look, path) for look, path in shades if path], ("vix", stroke(axis, data["vix"], scale))],
        ticks=scale.ticks(),
        symbols=[(f"shade s{min(i, 5)}", name.replace("_", " ")) for i, name in enumerate(names)],
    )


def _by_length(regimes: Sequence[Span]) -> list[str]:
    """Their names; the commonest, which stays without a shade, first."""
    length: dict[str, int] = {}
    for span in regimes:
        length[span.name] = length.get(span.name, 0) + span.until - span.since
    return sorted(length, key=lambda name: -length[name])


def _shade(regimes: Sequence[Span], name: str, axis: Axis, height: int) -> str:
    """The stretches of one regime; those narrower than half a pixel are widened, and what then touches is joined."""
    made: list[list[float]] = []
    for span in regimes:
        if span.name != name or span.until < axis.start or span.since > axis.end:
            continue
        x, x2 = axis.share(span.since) * 10, axis.share(span.until) * 10
        if made and x - made[-1][1] < 0.4:
            made[-1][1] = max(x2, made[-1][1])
        else:
            made.append([x, max(x2, x + 0.4)])
    return "".join(f"M{x:g} 0H{x2:g}V{height}H{x:g}z" for x, x2 in made)


def close_look(study: Study) -> tuple[Axis, list[Chart]] | None:
    """The newest trades one by one, on the bars around them; None when there are none, or the whole is as close."""
    course = study.course
    if not course or not course.price or not study.trades or len(course.time) < 3:
        return None
    whole = Axis.over(course.time)
    newest = inside(study.trades, whole)[-CLOSE_TRADES:]
    if not newest:
        return None
    since = newest[0].opened.timestamp() - 12 * whole.step
    first = max(int(np.searchsorted(whole.time, since)), len(course.time) - CLOSE_BARS)
    if len(course.time) - first < 3:
        return None
    axis = Axis.over(course.time[first:])
    price = columns(course)["price"][first:]
    if not known(price):
        return None
    trades = [trade for trade in newest if trade.opened.timestamp() >= axis.start]
    chart = marked(f"The newest {len(trades)} trade{'s' if len(trades) != 1 else ''}", trades, price, axis, key="close")
    return (axis, [chart]) if trades else None
