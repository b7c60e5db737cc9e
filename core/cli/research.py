"""Commands for learning: download and train."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from msgspec.structs import replace as with_

from core.cli.operate import Answer, chosen, each, opened, several, when
from core.domain.bars import bar_before, close_time, moment, unbroken
from core.domain.state import Book
from core.flows.history import past
from core.ports import Document


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on a terminal, and nothing elsewhere. Called with what is being done, and the share done."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, disable=True if quiet else None, file=sys.stderr, bar_format=form) as bar:

        def told(what: str, share: float) -> None:
            if bar.disable:
                return
            if bar.desc != what:
                bar.reset(total=1.0)
                bar.set_description_str(what)
            bar.update(share - bar.n)

        yield told


def download(arguments: Namespace) -> Answer:
    app = opened(arguments)
    days = arguments.days or app.settings.training.history_days
    told, lines = [], []
    for book in chosen(app, arguments):
        until = close_time(bar_before(app.clock.now(), book.timeframe), book.timeframe)
        with progress(arguments.json) as show:
            bars = past(
                app.world(book.id, trading=False),
                book.timeframe,
                until - timedelta(days=days),
                until,
                lambda s: show("history", s),
            )
        gaps = int((unbroken(bars, book.timeframe)[1:] == 1).sum())
        first, last = (moment(bars.time[i]).isoformat() if len(bars) else None for i in (0, -1))
        told.append({"book": book.id, "bars": len(bars), "first": first, "last": last, "gaps": gaps})
        lines.append(f"{book.id}: {len(bars)} bars from {first} to {last}, {gaps} gaps")
    return {"books": told}, "\n".join(lines)


def train(arguments: Namespace) -> Answer:
    from core.flows.train import train as flow

    app = opened(arguments)
    at, plan = when(app, arguments), app.plan()
    if arguments.model:
        plan = replace(plan, training=with_(plan.training, model=arguments.model))
    plan = replace(plan, challenger=arguments.challenger, judge_only=arguments.promote, follow=not arguments.model)

    def one(book: Book) -> Document:
        with progress(arguments.json) as show:
            return flow(app.world(book.id, trading=False), book, plan, at, show)

    answers = each(chosen(app, arguments), one)
    return several(answers), "\n".join(_told(said) for said in answers)


def _told(said: dict[str, object]) -> str:
    metrics = said.get("metrics")
    numbers = ""
    if isinstance(metrics, dict):
        numbers = (
            f" On {metrics['rows']} newest rows that it had not seen: log-loss {metrics['log_loss']:.5f} against "
            f"{metrics['base_log_loss']:.5f} of always saying the base rate, AUC {metrics['auc']:.4f}."
        )
    version = f" as {said['version']}" if "version" in said else ""
    return f"{said['book']}: {said['outcome']}{version} ({said['reason']}).{numbers}"
