"""`hourhand optimise`: looks for a policy on all but the newest days, and opens those when it is told to."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace as with_
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from core.cli import WrongUse
from core.cli.backtest import walked, weighed
from core.cli.ground import asked, one
from core.cli.operate import Answer, opened
from core.cli.research import progress
from core.domain.bars import moment
from core.flows import optimise as flow
from core.flows.backtest import Ground, Ran, sharpe, trade
from core.flows.trials import note
from core.ports import Document
from core.wiring import App

if TYPE_CHECKING:
    from core.domain.ensemble import Training


def optimise(arguments: Namespace) -> Answer:
    app = opened(arguments)
    research, ways = app.settings.research, _ways(app, arguments)
    if arguments.open and not research.untouched_days:
        raise WrongUse("--open: there are no untouched days: set [research] untouched_days")
    try:
        varied = flow.keys(one(app, arguments), arguments.vary)
    except ValueError as failure:
        raise WrongUse(f"--vary {failure}") from None
    whole = asked(app, arguments)
    until = flow.split(whole, research.untouched_days)
    seen = whole.before(until)
    forecasts = {name: walked(app, training, arguments, seen) for name, training in ways.items()}
    search = flow.Search(seen, forecasts, varied, research.resume_hours, research.seed)
    with progress(arguments.json) as show:
        found = flow.optimise(
            search, _storage(app), arguments.trials, app.workers(arguments.cluster, arguments.jobs), arguments.jobs,
            lambda share: show("trials", share),
        )  # fmt: skip
    note(app.results, whole.book, f"study-{found.study}", found.sharpes)
    untouched = moment(whole.bars.time[until]) if until < len(whole.bars) else None
    said = msgspec.to_builtins(found) | {"untouched_from": untouched and f"{untouched:%Y-%m-%dT%H:%M:%SZ}"}
    if not arguments.open:
        return said, _told(said)
    return _opened(app, arguments, whole, until, found, ways[str(found.chosen["forecasts"])], said)


def _ways(app: App, arguments: Namespace) -> dict[str, Training]:
    """How models may be trained, by name: every combination of what --training gives. Raises WrongUse."""
    from core.domain.ensemble import Training

    usual = msgspec.to_builtins(app.settings.training.learning())
    named: dict[str, list[str]] = dict(arguments.training)
    unknown = [key for key in named if key not in usual or key in ("threads", "seed")]
    if unknown:
        raise WrongUse(f"--training {', '.join(unknown)}: cannot be varied; choose among {', '.join(usual)}")
    ways = {}
    for values in product(*named.values()):
        chosen = dict(zip(named, values, strict=True))
        name = ", ".join(f"{key} = {value}" for key, value in chosen.items()) or "as set"
        try:
            ways[name] = msgspec.convert(usual | chosen, Training, strict=False)
        except msgspec.ValidationError as failure:
            raise WrongUse(f"--training {name}: {failure}") from None
    return ways


def _storage(app: App) -> str:
    path = Path(app.settings.research.path).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path / 'studies.db'}"


def _opened(
    app: App, arguments: Namespace, whole: Ground, until: int, found: flow.Found, training: Training, said: Document
) -> Answer:
    """What the best makes of the untouched days. It is one of the trials that were counted; each time that the days
    were opened before is one trial more."""
    times, name = flow.opened(app.results, whole, until), f"{found.study}-opened-{until}"
    ground = with_(whole, book=replace(whole.book, policy=flow.policy(whole.book.policy, found.chosen)))
    forecasts = with_(walked(app, training, arguments, ground), first=until)
    ran = Ran(ground, forecasts, trade(ground, forecasts, app.settings.research.resume_hours))
    if times > 1:
        note(app.results, whole.book, f"opened-{found.study}-{times}", [sharpe(ran)])
    made, text = weighed(app, ran, arguments, name=name)
    warning = "" if times == 1 else f"These days were opened {times} times: they are not untouched any more."
    said |= {"opened": times, "warning": warning or None, "untouched": made}
    return said, "\n".join(filter(None, [_told(said), "On the untouched days:", text, warning]))


def _told(said: Document) -> str:
    chosen = dict(said["chosen"])
    way = chosen.pop("forecasts")
    lines = [
        f"The best of {said['trials']} trials ({said['finished']} ran to their end) is worth {said['worth']:.2f}, the "
        f"mean of its folds' Sharpe ratios less its standard error:",
        "[policy]",
        *(f"{key} = {_plain(value)}" for key, value in chosen.items()),
        *([] if way == "as set" else ["[training]", *(_way(part) for part in way.split(", "))]),
    ]
    if said["untouched_from"]:
        lines.append(f"No trial has seen anything from {said['untouched_from'][:10]} on.")
    return "\n".join(lines)


def _way(part: str) -> str:
    key, _, value = part.partition(" = ")
    return f'{key} = "{value}"' if value.isalpha() else part


def _plain(value: object) -> str:
    """As in a settings file."""
    return str(value).lower()
