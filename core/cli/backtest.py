"""`hourhand backtest`: what trading would have given, and how sure one may be of it."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace as with_
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from core.cli import Failed, WrongUse
from core.cli.ground import asked_of
from core.cli.operate import Answer, chosen, opened
from core.cli.research import progress
from core.domain.backtest import Result
from core.domain.bars import Bars, close_time, epoch, moment
from core.domain.daily import Daily
from core.domain.evidence import track
from core.domain.evidence.figures import figures
from core.domain.explain import worded
from core.domain.features import REGISTRY
from core.domain.forecast import Model, load
from core.domain.outside import Outside
from core.domain.proof import Proof
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
from core.flows.serving import Problem, fetch, live_model, pointer_key, version_of
from core.flows.trials import digest, note, tried
from core.ports import Document, Missing
from core.wiring import App

if TYPE_CHECKING:
    from core.domain.ensemble import Training

log = logging.getLogger("hourhand.research")
Maker = Callable[..., Forecasts]  # of a Ground


def backtest(arguments: Namespace) -> Answer:
    app = opened(arguments)
    books = chosen(app, arguments)
    if len(books) > 1:
        from core.cli.together import together

        return together(app, books, arguments)
    ground_ = asked_of(app, books[0], arguments)
    make = _source(app, ground_, arguments)
    forecasts = _within(make(ground_), ground_, arguments)
    ran = Ran(ground_, forecasts, trade(ground_, forecasts, app.settings.research.resume_hours))
    proof = proved(app, ground_, forecasts.kind, make, arguments) if arguments.prove else None
    if not arguments.quick:
        return weighed(app, ran, arguments, proof)
    noted(app, ran, arguments)
    said = summary(ran) | shown(proof)
    return said, told(said)


def forecasts_of(app: App, ground_: Ground, arguments: Namespace) -> Forecasts:
    """As the options say. Raises Failed or WrongUse."""
    return _within(_source(app, ground_, arguments)(ground_), ground_, arguments)


def _within(forecasts: Forecasts, ground_: Ground, arguments: Namespace) -> Forecasts:
    """Those from --from on. Raises Failed: none is left to trade on."""
    forecasts = since(forecasts, ground_, arguments.since)
    _some_left(ground_, forecasts)
    return forecasts


def _some_left(ground_: Ground, forecasts: Forecasts) -> None:
    bars = ground_.bars
    if forecasts.first < len(bars):
        return
    last = close_time(moment(bars.time[-1]), ground_.book.timeframe)
    known = f"{len(bars)} bars up to {last:%Y-%m-%dT%H:%MZ} leave none to trade on"
    if forecasts.kind == "model":
        raise Failed(f"{known}: {forecasts.told}; give later bars, or --walk")
    raise Failed(f"{known}: {forecasts.need - 1} come before the first; give more bars, or correct --from or --to")


def noted(app: App, ran: Ran, arguments: Namespace) -> str:
    """Counts the run as a trial, a quick one too: whoever sees its figures can choose by them. Returns its name."""
    book, research = ran.ground.book, app.settings.research
    strategy = replace(book, id="")  # two books with the same settings are one strategy
    chosen = (ran.forecasts.kind, ran.forecasts.chosen, research.resume_hours, arguments.since, arguments.until)
    name = digest(strategy, chosen)
    note(app.results, book, name, [sharpe(ran)])
    return name


def weighed(app: App, ran: Ran, arguments: Namespace, proof: Proof | None = None, name: str | None = None) -> Answer:
    """With evidence and report; noted as a trial before it is judged by their number, unless it has a `name` already:
    that of a trial that was counted elsewhere."""
    from core.cli.study import study
    from core.report import write

    said, book = summary(ran), ran.ground.book
    run = digest(name or noted(app, ran, arguments), said["data"])
    trials = tried(app.results, book)
    evidence = sure(ran, app.settings.research, trials.number, trials.variance)
    folder = arguments.out or Path(app.settings.research.path) / "runs" / f"{book.id}-{run[:12]}"
    made = study(ran, evidence, _provenance(ran, said, trials.number, run), proof)
    write(folder, made)
    said |= {"reasons": dict(made.reasons)}
    said |= {"verdict": evidence.verdict, "edge": evidence.edge, "trials": trials.number, "report": str(folder)}
    said |= {"evidence": _plain(evidence)} | shown(proof)
    return said, told(said)


def proved(app: App, ground_: Ground, kind: str, make: Maker, arguments: Namespace) -> Proof:
    """--prove: of features, labels, training and, where the forecasts need no training on the way, decisions."""
    from core.flows.prove import prove

    research, book = app.settings.research, ground_.book
    everywhere = partial(make, whole=True) if kind == "model" else make

    def run(bars: Bars, daily: Daily, outside: Outside) -> Result:
        cut = ground(book, bars, daily, outside)
        again = everywhere(cut)
        return trade(cut, with_(again, first=again.need - 1), research.resume_hours)

    try:
        with progress(arguments.json) as show:
            return prove(
                book, ground_.bars, ground_.daily, app.settings.training.learning(), ground_.outside,
                None if kind == "walk" else run, research.train_days, research.test_days,
                progress=lambda share: show("proofs", share),
            )  # fmt: skip
    except ValueError as failure:
        raise Failed(f"--prove: {failure}") from None


def shown(proof: Proof | None) -> Document:
    return {} if proof is None else {"proof": _plain(proof) | {"clean": proof.clean}}


def compare(arguments: Namespace) -> Answer:
    from core.report import compare as page
    from core.report import read

    try:
        text = page([read(run) for run in arguments.runs])
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    except (OSError, ValueError) as failure:
        raise Failed(str(failure)) from None
    return {"comparison": str(arguments.out)}, f"The comparison is in {arguments.out}"


def _provenance(ran: Ran, said: Document, trials: int, tried_: str) -> dict[str, str]:
    return {
        "bars": f"{said['bars']}, {said['from']} to {said['to']}",
        "data": said["data"],
        "forecasts": ran.forecasts.told,
        "features": ran.ground.book.features,
        "trials on this market": str(trials),
        "run": tried_[:12],
    }


def _source(app: App, ground_: Ground, arguments: Namespace) -> Maker:
    """As asked for; unasked, the live model where there are bars that it has not learnt from, else walking."""
    if arguments.signal is not None:
        if arguments.signal not in REGISTRY:
            raise WrongUse(f"--signal {arguments.signal}: there is no such feature; there are {', '.join(REGISTRY)}")
        return partial(by_signal, name=arguments.signal)
    if arguments.model is not None:
        return _by(_stored(app, ground_.book, arguments.model))
    live = None if arguments.walk else _live(app, ground_)
    return _by(live) if live else partial(walked, app, app.settings.training.learning(), arguments)


def _by(model: Model) -> Maker:
    return partial(by_model, model=model, version=version_of(model.manifest, model.version))


def walked(app: App, training: Training, arguments: Namespace, ground_: Ground) -> Forecasts:
    """By models that are trained on the way."""
    workers, research = app.workers(arguments.cluster), app.settings.research
    with progress(arguments.json) as show:
        return by_walk(ground_, training, research, workers, app.results, lambda share: show("windows", share))


def _stored(app: App, book: Book, version: str) -> Model:
    """The model that --model names. Raises Failed."""
    if version == "live":
        found = _pointed(app, book)
        if isinstance(found, Model):
            return found
        raise Failed(f"--model live: {found[1]}")
    try:
        return load(fetch(app.world(book.id, trading=False), book, version), None)
    except (Missing, ValueError) as failure:
        raise Failed(f"--model {version}: {failure}") from None


def _live(app: App, ground_: Ground) -> Model | None:
    """The live model; None when there is none of any use here."""
    found, book = _pointed(app, ground_.book), ground_.book
    if not isinstance(found, Model):
        if found[0] != "model_missing":
            log.warning("%s; models are trained on the way instead", found[1])
        return None
    made = found.manifest
    fits = (made.symbol, made.timeframe) == (book.symbol, book.timeframe)
    return found if fits and epoch(made.data_until) <= ground_.bars.time[-1] else None


def _pointed(app: App, book: Book) -> Model | Problem:
    world, key = app.world(book.id, trading=False), pointer_key(book.id)
    return live_model(world, book, world.state.read([key])[key].data)


def summary(ran: Ran) -> Document:
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


def _plain(value: Any) -> Document:
    """Amounts and times as they are, which --json writes exactly."""
    plain: Document = msgspec.to_builtins(value, builtin_types=(Decimal, datetime))
    return plain


def told(said: Document) -> str:
    run = said["figures"]
    lines = [
        f"{said['book']}, {said['bars']} bars, {said['from']} to {said['to']}; {said['forecasts']['said']}",
        f"{run['trades']} trades, return {run['total_return']:+.2%}, Sharpe ratio {ratio(run['sharpe_ratio'])}, "
        f"largest drawdown {run['max_drawdown']:.2%}, costs {run['costs']:,.2f}, equity {said['equity']['last']:,.2f}",
    ]
    if not run["trades"] and said.get("reasons"):
        reason, count = next(iter(said["reasons"].items()))
        lines.append(f"At {count:,} of the bars: {worded(reason)}.")
    if "proof" in said:
        lines.append(said["proof"]["summary"])
    if "verdict" in said:
        lines += [said["verdict"], f"The report is in {said['report']}/report.html"]
    return "\n".join(lines)


def ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
