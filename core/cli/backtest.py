"""`hourhand backtest`: what trading would have given, and how sure one may be of it."""

from __future__ import annotations

import statistics
from argparse import Namespace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from core.cli import Failed, WrongUse
from core.cli.operate import Answer, chosen, opened
from core.cli.research import progress
from core.domain.bars import Bars, bar_before, close_time, moment
from core.domain.daily import Daily
from core.domain.evidence import track
from core.domain.evidence.figures import figures
from core.domain.features import REGISTRY
from core.domain.forecast import BadModel, Model, load
from core.domain.state import Book
from core.flows.backtest import (
    Forecasts,
    Ground,
    Ran,
    by_model,
    by_signal,
    by_walk,
    charges,
    ground,
    sharpe,
    since,
    sure,
    trade,
)
from core.flows.serving import fetch, live_model, pointer_key, version_of
from core.flows.trials import digest, note, tried
from core.ports import Document, Missing
from core.wiring import App


def backtest(arguments: Namespace) -> Answer:
    app = opened(arguments)
    book = _one(app, arguments)
    bars = _bars(app, book, arguments)
    ground_ = ground(book, bars, _vix(app, book, arguments, bars))
    forecasts = since(_forecasts(app, ground_, arguments), ground_, arguments.since)
    ran = Ran(ground_, forecasts, trade(ground_, forecasts, app.settings.research.resume_hours))
    if not ran.result.bars:
        raise Failed(f"{len(bars)} bars leave none to trade on: {forecasts.need} come before the first")
    said = _summary(ran)
    if arguments.quick:
        return said, _told(said)
    return _weighed(app, ran, said, arguments)


def _weighed(app: App, ran: Ran, said: Document, arguments: Namespace) -> Answer:
    """With evidence and report; the run is noted as a trial before it is judged by their number."""
    from core.cli.study import study
    from core.report import write

    book, tried_ = ran.ground.book, digest(ran.ground.book, ran.forecasts.kind, ran.forecasts.told, said["data"])
    note(app.results, book, tried_, sharpe(ran))
    sharpes = list(tried(app.results, book).values())
    variance = statistics.variance(sharpes) if len(sharpes) > 1 else None
    evidence = sure(ran, app.settings.research, len(sharpes), variance)
    folder = arguments.out or Path(app.settings.research.path) / "runs" / f"{book.id}-{tried_[:12]}"
    write(folder, study(ran, evidence, _provenance(ran, said, len(sharpes), tried_)))
    said |= {"verdict": evidence.verdict, "edge": evidence.edge, "trials": len(sharpes), "report": str(folder)}
    said["evidence"] = msgspec.to_builtins(evidence)
    return said, _told(said)


def _provenance(ran: Ran, said: Document, trials: int, tried_: str) -> dict[str, str]:
    return {
        "bars": f"{said['bars']}, {said['from']} to {said['to']}",
        "data": said["data"],
        "forecasts": ran.forecasts.told,
        "features": ran.ground.book.features,
        "trials on this market": str(trials),
        "run": tried_[:12],
    }


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
    """As asked for; unasked, the live model where there are bars that it has not learnt from, else by walking."""
    if arguments.signal is not None:
        if arguments.signal not in REGISTRY:
            raise WrongUse(f"--signal {arguments.signal}: there is no such feature; there are {', '.join(REGISTRY)}")
        return by_signal(ground_, arguments.signal)
    stored = "" if arguments.walk else _stored(app, ground_.book, arguments.model)
    if isinstance(stored, Model):
        found = by_model(ground_, stored, version_of(stored.manifest, stored.version))
        if found.first < len(ground_.bars) or arguments.model is not None:
            return found
    if arguments.model is not None and isinstance(stored, str):
        raise Failed(stored)
    research, workers = app.settings.research, app.workers(arguments.cluster)
    training = app.settings.training.learning()
    with progress(arguments.json) as show:
        try:
            return by_walk(ground_, training, research, workers, app.results, lambda share: show("windows", share))
        except ValueError as failure:
            raise Failed(str(failure)) from None


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


def _summary(ran: Ran) -> Document:
    book, bars, result = ran.ground.book, ran.ground.bars, ran.result
    first, last = result.bars[0], close_time(result.bars[-1], book.timeframe)
    return {
        "book": book.id,
        "symbol": book.symbol,
        "from": f"{first:%Y-%m-%dT%H:%M:%SZ}",
        "to": f"{last:%Y-%m-%dT%H:%M:%SZ}",
        "bars": len(result.bars),
        "data": bars.digest(),
        "forecasts": {"kind": ran.forecasts.kind, "said": ran.forecasts.told},
        "equity": {"first": book.policy.capital, "last": result.equity[-1]},
        "fills": len(result.fills),
        "trades": [_plain(trade) for trade in result.trades],
        "figures": _plain(figures(track(result, bars, book.timeframe), charges(book))),
    }


def _plain(trade: Any) -> Document:
    plain: Document = msgspec.to_builtins(trade)
    return plain


def _told(said: Document) -> str:
    run = said["figures"]
    lines = [
        f"{said['book']}, {said['bars']} bars, {said['from']} to {said['to']}; {said['forecasts']['said']}",
        f"{run['trades']} trades, return {run['total_return']:+.2%}, Sharpe ratio {_ratio(run['sharpe_ratio'])}, "
        f"largest drawdown {run['max_drawdown']:.2%}, costs {run['costs']:,.2f}, equity {said['equity']['last']:,.2f}",
    ]
    if "verdict" in said:
        lines += [said["verdict"], f"The report is in {said['report']}/report.html"]
    return "\n".join(lines)


def _ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
