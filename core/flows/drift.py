"""drift: once a UTC day, says so when what the live model was shown is no longer what it was trained on.

The rows are those that the ticks wrote down: what was really shown. It never makes a tick fail.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from core.domain.bars import Bars, close_time, empty, seconds, unpack
from core.domain.drift import WEEK, Drift, Levels, drifted, other_units
from core.domain.forecast import Manifest
from core.domain.state import Book
from core.flows import window
from core.flows.claim import tick_key
from core.flows.outbox import alert
from core.ports import Document, World, Write

log = logging.getLogger("hourhand.drift")


class Shown(NamedTuple):
    """The records of the last week's ticks, without the tick of this bar, and the bars that were kept."""

    records: list[Document]
    bars: Bars


def watch(world: World, book: Book, bar: datetime, manifest: Manifest | None) -> list[Write]:
    """An alert for the outbox when `bar` closes a UTC day and what the model was shown has drifted; else nothing."""
    return told(book, bar, shown(world, book, bar), manifest)


def shown(world: World, book: Book, bar: datetime) -> Shown | None:
    """What the ticks before that of `bar` wrote down; None, and nothing asked, unless `bar` closes a UTC day.

    Needs no model, so it can be read beside the rest. Raises nothing: no alert is worth a tick.
    """
    if not _closes_day(book, bar):
        return None
    try:
        step = timedelta(seconds=seconds(book.timeframe))
        since, until = (tick_key(book.id, edge).partition("/")[2] for edge in (bar - WEEK * step, bar))
        records = [record for _, record in world.state.scan("ticks", since, until)]
        stored = world.state.read([window.key(book)])[window.key(book)].data
        return Shown(records, unpack(stored["bars"]) if stored else empty())
    except Exception as failure:
        log.warning("drift is not known today: %s", failure, extra={"book": book.id})
        return None


def told(book: Book, bar: datetime, shown: Shown | None, manifest: Manifest | None) -> list[Write]:
    """The alert that `shown` calls for, if any. Raises nothing."""
    if shown is None or manifest is None:
        return []
    try:
        same = [each for each in shown.records if each["features"]["digest"] == manifest.feature_digest]
        drift = drifted([each["row"] for each in same], manifest.reference)
        units = other_units(shown.bars, manifest.levels)
        return [_alert(book, bar, drift, units, manifest.levels)] if units or (drift and drift.alarming) else []
    except Exception as failure:  # a damaged record is another's to report
        log.warning("drift is not known today: %r", failure, extra={"book": book.id})
        return []


def _closes_day(book: Book, bar: datetime) -> bool:
    closed = close_time(bar, book.timeframe)
    return closed.hour == closed.minute == closed.second == 0


def _alert(book: Book, bar: datetime, drift: Drift | None, units: tuple[str, ...], levels: Levels) -> Write:
    at = close_time(bar, book.timeframe)
    text = [f"The {name} is not in the units of training, which had {_range(*levels[name])}." for name in units]
    fields: dict[str, str] = {}
    if drift:
        text += _said(drift)
        of = f"of {drift.features}"
        fields = {"rows": str(drift.rows), "shifted": f"{drift.shifted} {of}", "outside": f"{drift.outside} {of}"}
        fields |= {name: f"PSI {psi:.2f}" for name, psi in drift.worst}
    title = "what the model is shown is not what it was trained on"
    advice = "Look at the feed; if it is right, the market has changed: train anew."
    return alert(f"drift-{at:%Y%m%d}", "drift", "warning", at, title, " ".join([*text, advice]), book.id, fields)


def _said(drift: Drift) -> list[str]:
    said = []
    if drift.worst:
        names = ", ".join(name for name, _ in drift.worst)
        said.append(f"{drift.shifted} of {drift.features} features shifted more than they usually do, most: {names}.")
    if drift.strange:
        names = ", ".join(drift.strange)
        said.append(f"Beyond all that training knew, in one row of the day: {drift.outside}, such as {names}.")
    return said


def _range(low: float, high: float) -> str:
    return f"{low:,.6g} to {high:,.6g}"
