"""`hourhand backtest`: what trading would have given, and how sure one may be of it."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from core.cli import Failed, WrongUse
from core.cli.ground import asked
from core.cli.operate import Answer, opened
from core.cli.research import progress
from core.domain.backtest import Result
from core.domain.bars import Bars, close_time
from core.domain.daily import Daily
from core.domain.evidence import track
from core.domain.evidence.figures import figures
from core.domain.features import REGISTRY
from core.domain.forecast import BadModel, Model, load
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
from core.flows.serving import fetch, live_model, pointer_key, version_of
from core.flows.trials import Trials, digest, note, tried
from core.ports import Document, Missing
from core.wiring import App


def backtest(arguments: Namespace) -> Answer:
    app = opened(arguments)
    ground_ = asked(app, arguments)
    forecasts = since(_forecasts(app, ground_, arguments), ground_, arguments.since)
    ran = Ran(ground_, forecasts, trade(ground_, forecasts, app.settings.research.resume_hours))
    if not ran.result.bars:
        raise Failed(f"{len(ground_.bars)} bars leave none to trade on: {forecasts.need} come before the first")
    proof = proved(app, ground_, forecasts, arguments) if arguments.prove else None
    if arguments.quick:
        said = summary(ran) | shown(proof)
        return said, told(said)
    return weighed(app, ran, arguments, proof)


def weighed(
    app: App, ran: Ran, arguments: Namespace, proof: Proof | None = None, trials: Trials | None = None
) -> Answer:
    """With evidence and report; the run is noted as a trial before it is judged by their number (`trials`: by that)."""
    from core.cli.study import study
    from core.report import write

    said = summary(ran)
    book, run = ran.ground.book, digest(ran.ground.book, ran.forecasts.kind, ran.forecasts.told, said["data"])
    note(app.results, book, run, sharpe(ran))
    trials = trials or tried(app.results, book)
    evidence = sure(ran, app.settings.research, trials.number, trials.variance)
    folder = arguments.out or Path(app.settings.research.path) / "runs" / f"{book.id}-{run[:12]}"
    write(folder, study(ran, evidence, _provenance(ran, said, trials.number, run), proof))
    said |= {"verdict": evidence.verdict, "edge": evidence.edge, "trials": trials.number, "report": str(folder)}
    said |= {"evidence": _plain(evidence)} | shown(proof)
    return said, told(said)


def proved(app: App, ground_: Ground, forecasts: Forecasts, arguments: Namespace) -> Proof:
    """--prove: of features, labels, training and, where the forecasts need no training on the way, decisions."""
    from core.flows.prove import prove

    research, book = app.settings.research, ground_.book

    def run(bars: Bars, daily: Daily, outside: Outside) -> Result:
        cut = ground(book, bars, daily, outside)
        again = _forecasts(app, cut, arguments)
        return trade(cut, replace(again, first=again.need - 1), research.resume_hours)

    try:
        with progress(arguments.json) as show:
            return prove(
                book, ground_.bars, ground_.daily, app.settings.training.learning(), ground_.outside,
                None if forecasts.kind == "walk" else run, research.train_days, research.test_days,
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


def _plain(trade: Any) -> Document:
    plain: Document = msgspec.to_builtins(trade)
    return plain


def told(said: Document) -> str:
    run = said["figures"]
    lines = [
        f"{said['book']}, {said['bars']} bars, {said['from']} to {said['to']}; {said['forecasts']['said']}",
        f"{run['trades']} trades, return {run['total_return']:+.2%}, Sharpe ratio {_ratio(run['sharpe_ratio'])}, "
        f"largest drawdown {run['max_drawdown']:.2%}, costs {run['costs']:,.2f}, equity {said['equity']['last']:,.2f}",
    ]
    if "proof" in said:
        lines.append(said["proof"]["summary"])
    if "verdict" in said:
        lines += [said["verdict"], f"The report is in {said['report']}/report.html"]
    return "\n".join(lines)


def _ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
