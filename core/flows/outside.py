"""What a book's features need from outside beside the VIX: series and another market, for a tick and for training.

A set that needs none of it asks for nothing. A series is refreshed as the VIX is (core.flows.vix), each in a document
of its own; the other market has a window of its own. What cannot be had is missing, and a tick goes on without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from core.domain.bars import Bars, close_time, moment, pack
from core.domain.daily import Daily
from core.domain.features import SETS
from core.domain.outside import NOTHING, SERIES, Outside
from core.domain.state import Book
from core.flows import measures, vix, window
from core.flows.gather import attempt
from core.flows.history import past
from core.ports import DailySource, Document, Unavailable, Versioned, World, Write

log = logging.getLogger("hourhand.outside")
Sources = Sequence[tuple[str, DailySource]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a tick knows of the outside. `writes`: what is to be stored; `said`: for the record, by input: where it came
    from, its newest publication, and what did not work."""

    outside: Outside = NOTHING
    writes: tuple[Write, ...] = ()
    said: Document | None = None


def series_of(book: Book) -> list[str]:
    """The series that the book's features are made from."""
    return [name for name in SERIES if name in SETS[book.features].needs]


def series_key(book: Book, name: str) -> str:
    """Funding is each market's own; the rest is the same for all."""
    return f"series/{name}.{book.id}" if name == "funding" else f"series/{name}"


def market_key(book: Book, symbol: str) -> str:
    plain = symbol.replace("/", "-").replace(":", "-").lower()
    return f"windows/{book.id}.{plain}"


def keys(world: World, book: Book) -> list[str]:
    """What a tick reads for `refresh`."""
    wanted = [series_key(book, name) for name in series_of(book)]
    if world.other and "market" in SETS[book.features].needs:
        wanted.append(market_key(book, world.other.symbol))
    return wanted


def refresh(world: World, book: Book, found: Mapping[str, Versioned], bar: datetime, at: datetime) -> Found:
    """All of it, at once; raises nothing of what fails outside. `found`: the documents `keys`."""
    if not SETS[book.features].needs - {"vix"}:
        return Found()
    names = series_of(book)
    calls: list[Callable[[], Any]] = [partial(_series, world, book, name, found, at) for name in names]
    *answers, (market, said, write) = world.together([*calls, partial(_market, world, book, found, bar)])
    series = dict(zip(names, answers, strict=True))
    for name, each in series.items():
        measures.sources_failed(book.id, name, each.failed)
    for failure in said["failures"]:
        measures.source_failed(book.id, "market", said["source"], failure)
    writes = [Write(series_key(book, name), each.document) for name, each in series.items() if each.document]
    told: Document = {name: _told(each) for name, each in series.items()} | {"market": said}
    outside = Outside({name: each.daily for name, each in series.items()}, world.outside_max_age, market)
    return Found(outside, (*writes, *write), told)


def _series(world: World, book: Book, name: str, found: Mapping[str, Versioned], at: datetime) -> vix.VixAnswer:
    stored = found[series_key(book, name)].data
    return vix.refresh(world.outside.get(name, ()), stored, at, world.vix_every_s, SERIES[name].newest)


def _told(answer: vix.VixAnswer) -> Document:
    newest = moment(answer.daily.published[-1]) if len(answer.daily) else None
    return {"source": answer.source, "published": newest, "failures": list(answer.failures)}


def _market(
    world: World, book: Book, found: Mapping[str, Versioned], bar: datetime
) -> tuple[Bars | None, Document, tuple[Write, ...]]:
    """The other market's bars up to `bar`, what is said of them, and its window to be stored."""
    other = world.other
    if other is None or "market" not in SETS[book.features].needs:
        return None, {"source": "", "published": None, "failures": []}, ()
    there, key = replace(world, market=other.market), market_key(book, other.symbol)
    stored, failures = found[key].data, list[str]()
    last = attempt(partial(window.newest, there, book, bar), Exception)
    seen = attempt(partial(window.window, there, book, bar, None, stored, last), Exception)
    if isinstance(seen, Exception):  # a symbol that the venue does not have
        return None, {"source": other.symbol, "published": None, "failures": [str(seen)]}, ()
    bars, problem = seen
    failures += [problem[1]] if problem else []
    newest = close_time(moment(bars.time[-1]), book.timeframe) if len(bars) else None
    write = (Write(key, {"bars": pack(bars[-window.needed(book) :])}),) if len(bars) else ()
    return bars, {"source": other.symbol, "published": newest, "failures": failures}, write


def history(world: World, book: Book, since: datetime, until: datetime) -> Outside:
    """All of the past that there is, for training and research: what is not there is missing in the rows.

    Raises Unavailable when the other market gives no answer: the weeks that it was asked for would be missing.
    """
    needs = SETS[book.features].needs
    sources = world.outside_past or world.outside
    daily = {name: _past(name, sources.get(name, ()), until) for name in series_of(book)}
    market = _past_of_market(world, book, since, until) if world.other and "market" in needs else None
    return Outside(daily, world.outside_max_age, market) if daily or market else NOTHING


def _past(name: str, sources: Sources, until: datetime) -> Daily:
    known = vix.daily_history(sources, until)
    if not len(known):
        log.warning("%s is missing: none of %s knows it", name, [source for source, _ in sources] or "no sources")
    return known


def _past_of_market(world: World, book: Book, since: datetime, until: datetime) -> Bars:
    assert world.other is not None
    beside = replace(world, market=world.other.market, history=world.other.history)
    try:
        return past(beside, book.timeframe, since, until)
    except ValueError as failure:
        raise Unavailable(f"the other market, {world.other.symbol}: {failure}") from failure
