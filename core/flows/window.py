"""The window of bars that a tick decides on: kept in the state store, completed from the venue by what is missing."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from core.domain.bars import (
    BadBars,
    Bars,
    close_time,
    empty,
    gaps,
    insane,
    merge,
    moment,
    pack,
    refusal,
    seconds,
    unpack,
)
from core.domain.features import CONTEXT, SETS
from core.domain.state import Book
from core.flows.gather import attempt
from core.ports import Document, Unavailable, World, Write

Problem = tuple[str, str]
POLL_S = 2.0


def needed(book: Book) -> int:
    """Bars without a gap that a decision takes."""
    return max(SETS[book.features].lookback, CONTEXT.lookback)


def key(book: Book) -> str:
    return f"windows/{book.id}"


def newest(world: World, book: Book, bar: datetime) -> Bars | Exception:
    """The bar of this tick, nearly always the only one that is not stored yet; or what went wrong.

    Asked for again for a few seconds after its close: venues print a bar a little late.
    """
    until = close_time(bar, book.timeframe)
    patience = until + timedelta(seconds=world.patience_s)
    while True:
        bars: Bars | Exception = attempt(partial(world.market.bars, bar, until), Unavailable, BadBars)
        if isinstance(bars, Bars) and len(bars):
            return bars
        if not until <= world.clock.now() < patience:
            return bars
        world.clock.sleep(POLL_S)


def window(
    world: World, book: Book, bar: datetime, decided: datetime | None, stored: Document | None, last: Bars | Exception
) -> tuple[Bars, Problem | None]:
    """The bars up to `bar` from the first that is needed, or from the one after `decided` (the book's last bar) when
    that is earlier; and why they may not be traded on, if so."""
    step = timedelta(seconds=seconds(book.timeframe))
    since = bar - (needed(book) - 1) * step
    since = since if decided is None else min(since, decided + step)
    try:
        bars = unpack(stored["bars"]) if stored else empty()
    except (BadBars, KeyError, TypeError):
        bars = empty()  # damaged: asked for anew
    bars = bars.between(since, bar + step)
    bad = insane(bars)
    bars = bars[~bad] if bad.any() else bars  # what the venue printed wrong once it may have mended since
    try:
        if isinstance(last, Exception):
            raise last
        absent = _first_absent(bars, since, book.timeframe)
        if absent < bar:
            bars = merge(bars, world.market.bars(absent, bar))
        bars = merge(bars, last).between(since, bar + step)
    except Unavailable as failure:
        return bars, ("market_unavailable", str(failure))
    except BadBars as failure:
        return bars, (failure.reason, str(failure))
    return bars, refusal(bars, bar, needed(book), book.timeframe)


def _first_absent(bars: Bars, since: datetime, timeframe: str) -> datetime:
    """The first bar from `since` on that is not stored: what the venue lacked an hour ago it may have by now."""
    if not len(bars) or moment(bars.time[0]) > since:
        return since
    behind = gaps(bars, timeframe)
    last = int(behind[0]) if len(behind) else -1
    return moment(bars.time[last]) + timedelta(seconds=seconds(timeframe))


def kept(book: Book, bars: Bars) -> Write:
    return Write(key(book), {"bars": pack(bars[-needed(book) :])})
