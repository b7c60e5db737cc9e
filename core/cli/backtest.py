"""`hourhand backtest`: what trading would have given, and how sure one may be of it."""

from __future__ import annotations

from argparse import Namespace
from datetime import timedelta
from typing import Any

import msgspec

from core.cli import Failed, WrongUse
from core.cli.operate import Answer, chosen, opened
from core.cli.research import progress
from core.domain.backtest import Result
from core.domain.bars import Bars, bar_before, close_time, moment
from core.domain.daily import Daily
from core.domain.features import REGISTRY
from core.domain.forecast import BadModel, Model, load
from core.domain.state import Book
from core.flows.backtest import Forecasts, Ground, by_model, by_signal, ground, since, trade
from core.flows.serving import fetch, live_model, pointer_key, version_of
from core.ports import Document, Missing
from core.wiring import App


def backtest(arguments: Namespace) -> Answer:
    app = opened(arguments)
    book = _one(app, arguments)
    bars = _bars(app, book, arguments)
    ground_ = ground(book, bars, _vix(app, book, arguments, bars))
    forecasts = since(_forecasts(app, ground_, arguments), ground_, arguments.since)
    result = trade(ground_, forecasts, app.settings.research.resume_hours)
    if not result.bars:
        raise Failed(
            f"{len(bars)} bars leave none to trade on: {forecasts.told} takes {forecasts.need} before the first"
        )
    said = _summary(book, ground_, forecasts, result)
    return said, _told(said)


def _one(app: App, arguments: Namespace) -> Book:
    books = chosen(app, arguments)
    if len(books) > 1:
        raise WrongUse(f"--book says which: the settings have {', '.join(book.id for book in books)}")
    return books[0]


def _bars(app: App, book: Book, arguments: Namespace) -> Bars:
    """The believable bars of --bars, or the market's past; up to --to."""
    if arguments.bars is not None:
        from core.adapters.files_market import FilesMarket

        bars = FilesMarket(arguments.bars, book.timeframe).cleaned.bars
    else:
        from core.flows.history import past

        until = close_time(bar_before(app.clock.now(), book.timeframe), book.timeframe)
        first = until - timedelta(days=app.settings.training.history_days)
        with progress(arguments.json) as show:
            bars = past(app.world(book.id), book.timeframe, first, until, lambda share: show("history", share))
    if arguments.until is not None:
        bars = bars.between(moment(bars.time[0]), arguments.until)
    return bars


def _vix(app: App, book: Book, arguments: Namespace, bars: Bars) -> Daily:
    from core.flows.vix import daily_history

    until = close_time(moment(bars.time[-1]), book.timeframe)
    if arguments.vix is not None:
        from core.adapters.file_vix import FileVix

        return FileVix(arguments.vix).history(until)
    return daily_history(app.world(book.id).vix, until)


def _forecasts(app: App, ground_: Ground, arguments: Namespace) -> Forecasts:
    if arguments.signal is not None:
        if arguments.signal not in REGISTRY:
            raise WrongUse(f"--signal {arguments.signal}: there is no such feature; there are {', '.join(REGISTRY)}")
        return by_signal(ground_, arguments.signal)
    stored = _stored(app, ground_.book, arguments.model)
    if isinstance(stored, Model):
        return by_model(ground_, stored, version_of(stored.manifest, stored.version))
    raise Failed(stored)


def _stored(app: App, book: Book, version: str | None) -> Model | str:
    """The model that --model names, the live one without it, or why there is none."""
    world = app.world(book.id)
    if version is not None and version != "live":
        try:
            return load(fetch(world, book, version), None)
        except (Missing, BadModel) as failure:
            return f"--model {version}: {failure}"
    found = live_model(world, book, world.state.read([pointer_key(book.id)])[pointer_key(book.id)].data)
    return found if isinstance(found, Model) else found[1]


def _summary(book: Book, ground_: Ground, forecasts: Forecasts, result: Result) -> Document:
    first, last = result.bars[0], close_time(result.bars[-1], book.timeframe)
    return {
        "book": book.id,
        "symbol": book.symbol,
        "from": f"{first:%Y-%m-%dT%H:%M:%SZ}",
        "to": f"{last:%Y-%m-%dT%H:%M:%SZ}",
        "bars": len(result.bars),
        "forecasts": {"kind": forecasts.kind, "said": forecasts.told},
        "equity": {"first": book.policy.capital, "last": result.equity[-1]},
        "fills": len(result.fills),
        "trades": [_plain(trade) for trade in result.trades],
    }


def _plain(trade: Any) -> Document:
    plain: Document = msgspec.to_builtins(trade)
    return plain


def _told(said: Document) -> str:
    return f"{said['book']}: {said['bars']} bars, {len(said['trades'])} trades, equity {said['equity']['last']}"
