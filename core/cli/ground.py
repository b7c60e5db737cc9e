"""What research is asked to run on: the book, its bars, and what else was known."""

from __future__ import annotations

import logging
from argparse import Namespace
from datetime import timedelta
from pathlib import Path

from core.cli import Failed, WrongUse
from core.cli.operate import chosen
from core.cli.research import progress
from core.domain.bars import Bars, bar_before, close_time, moment
from core.domain.daily import Daily
from core.domain.outside import Outside
from core.domain.state import Book
from core.flows.backtest import Ground, ground
from core.wiring import App

log = logging.getLogger("hourhand.research")


def asked(app: App, arguments: Namespace) -> Ground:
    """As --book, --bars, --vix and --to say. Raises WrongUse, Failed (no bars), BadBars, Missing or Unavailable."""
    return asked_of(app, one(app, arguments), arguments)


def asked_of(app: App, book: Book, arguments: Namespace) -> Ground:
    """The same of one of several books."""
    bars = _bars(app, book, arguments)
    if not len(bars):
        raise Failed("there are no bars to run on: see --bars and --to")
    return ground(book, bars, _vix(app, book, arguments, bars), _outside(app, book, bars))


def one(app: App, arguments: Namespace) -> Book:
    """The book that is asked about. Raises WrongUse."""
    books = chosen(app, arguments)
    if len(books) > 1:
        raise WrongUse(f"--book says which: the settings have {', '.join(book.id for book in books)}")
    return books[0]


def _bars(app: App, book: Book, arguments: Namespace) -> Bars:
    """The believable bars of --bars, or of all of [market] path, or else the market's past; up to --to."""
    market = app.settings.market
    path = _file(app, book, arguments) or (Path(market.path) if market.source == "files" else None)
    if path is not None:
        from core.adapters.files_market import load

        found = load(path, book.timeframe)
        for said in (*found.repairs, *found.warnings):
            log.warning("%s: %s", path, said)
        bars = found.bars
    else:
        from core.flows.history import past

        until = close_time(bar_before(app.clock.now(), book.timeframe), book.timeframe)
        first = until - timedelta(days=app.settings.training.history_days)
        with progress(arguments.json) as show:
            bars = past(
                app.world(book.id, trading=False), book.timeframe, first, until, lambda share: show("history", share)
            )
    if arguments.until is not None and len(bars):
        bars = bars.between(moment(bars.time[0]), arguments.until)
    return bars


def _file(app: App, book: Book, arguments: Namespace) -> Path | None:
    """Of --bars the one that is named for this book, else the one that names none. Raises WrongUse."""
    known = {other.id for other in app.books}
    named = {book_: path for text in arguments.bars or () for book_, _, path in [text.partition("=")] if book_ in known}
    plain = [text for text in arguments.bars or () if text.partition("=")[0] not in known]
    if book.id in named:
        return Path(named[book.id])
    if len(plain) > 1 or (plain and len(chosen(app, arguments)) > 1):
        raise WrongUse(f"--bars {plain[-1]}: which book are they of? Give --bars {book.id}=FILE for each, or --book")
    return Path(plain[0]) if plain else None


def _vix(app: App, book: Book, arguments: Namespace, bars: Bars) -> Daily:
    from core.flows.vix import daily_history

    until = close_time(moment(bars.time[-1]), book.timeframe)
    if arguments.vix is not None:
        from core.adapters.file_vix import FileVix

        return FileVix(arguments.vix).history(until)
    sources = app.world(book.id, trading=False).vix
    daily = daily_history(sources, until)
    if sources and not len(daily):
        log.warning("the VIX is missing: none of %s knows it", ", ".join(name for name, _ in sources))
    return daily


def _outside(app: App, book: Book, bars: Bars) -> Outside:
    from core.flows.outside import history

    return history(
        app.world(book.id, trading=False), book, moment(bars.time[0]), close_time(moment(bars.time[-1]), book.timeframe)
    )
