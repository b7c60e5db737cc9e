"""`hourhand optimise`: looks for a policy on all but the newest days, and opens those when it is told to."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace as with_
from pathlib import Path

import msgspec
from msgspec.structs import replace

from core.cli import Failed, WrongUse
from core.cli.backtest import weighed
from core.cli.ground import asked
from core.cli.operate import Answer, opened
from core.cli.research import progress
from core.domain.bars import moment
from core.domain.ensemble import Training
from core.flows import optimise as flow
from core.flows.backtest import Forecasts, Ground, Ran, by_walk, trade
from core.flows.trials import Trials
from core.ports import Document
from core.wiring import App


def optimise(arguments: Namespace) -> Answer:
    app = opened(arguments)
    research, whole, ways = app.settings.research, asked(app, arguments), _ways(app, arguments)
    try:
        until = flow.split(whole, research.untouched_days)
        seen = whole.before(until)
        walked = {name: _walked(app, seen, training, arguments) for name, training in ways.items()}
        varied = arguments.vary or flow.VARIED
        search = flow.Search(seen, walked, until, varied, research.resume_hours, research.seed)
        with progress(arguments.json) as show:
            found = flow.optimise(
                search, _storage(app), arguments.trials, app.workers(arguments.cluster), arguments.jobs,
                lambda share: show("trials", share),
            )  # fmt: skip
    except ValueError as failure:
        raise WrongUse(str(failure)) from None
    said: Document = {"study": search.name(), "untouched_from": moment(whole.bars.time[until - 1] + 1)}
    said |= msgspec.to_builtins(found)
    if not arguments.open:
        return said, _told(said)
    return _opened(app, arguments, whole, search, found, ways[str(found.chosen["forecasts"])], said)


def _ways(app: App, arguments: Namespace) -> dict[str, Training]:
    """How models may be trained, by name: each horizon with each kind of model."""
    usual = app.settings.training.learning()
    horizons, models = arguments.horizons or [usual.horizon], arguments.models or [usual.model]
    return {
        f"{model}, {horizon} bars ahead": replace(usual, horizon=horizon, model=model)
        for horizon in horizons
        for model in models
    }


def _walked(app: App, ground: Ground, training: Training, arguments: Namespace) -> Forecasts:
    workers, research = app.workers(arguments.cluster), app.settings.research
    with progress(arguments.json) as show:
        return by_walk(ground, training, research, workers, app.results, lambda share: show("windows", share))


def _storage(app: App) -> str:
    path = Path(app.settings.research.path)
    path.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path / 'studies.db'}"


def _opened(
    app: App, arguments: Namespace, whole: Ground, search: flow.Search, found: flow.Found, training: Training,
    said: Document,
) -> Answer:  # fmt: skip
    """What the best makes of the untouched days. Each time that they were opened before is one trial more."""
    times = flow.opened(app.results, whole, search)
    book = replace(whole.book, policy=flow.policy(whole.book.policy, found.chosen))
    ground = with_(whole, book=book)
    forecasts = with_(_walked(app, ground, training, arguments), first=search.until)
    ran = Ran(ground, forecasts, trade(ground, forecasts, app.settings.research.resume_hours))
    if not ran.result.bars:
        raise Failed("there are no untouched days to open: set [research] untouched_days")
    made, text = weighed(app, ran, arguments, trials=Trials(found.trials + times - 1, found.variance))
    warning = "" if times == 1 else f"\nThese days were opened {times} times: they are not untouched any more."
    return said | {"opened": times, "untouched": made}, f"{_told(said)}\nOn the untouched days:\n{text}{warning}"


def _told(said: Document) -> str:
    chosen = ", ".join(f"{key} = {_short(value)}" for key, value in said["chosen"].items())
    return (
        f"The best of {said['trials']} trials ({said['finished']} ran to their end) is worth {said['worth']:.2f}, the "
        f"mean of its folds' Sharpe ratios less its standard error:\n{chosen}\n"
        f"No trial has seen anything from {said['untouched_from']:%Y-%m-%d} on."
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
