"""python -m tests.day: a day of the whole deployment, told as it passes; then whether all that must hold does.

    python -m tests.day [--exchange paper|live] [--hours 24] [--short] [--seed 1]

Without --exchange both are played, side by side. Exit 1 when something that must hold did not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.day.deployment import Emulators, Exchange, deployed
from tests.day.script import ATTEMPTS, HOURS, SHORT, WHOLE
from tests.day.story import Day
from tests.day.verdict import judged
from tests.emulators import firestore, pubsub, storage

STORE_MB = 512  # the emulator keeps every old version of a document, and is silent when it is full


@dataclass
class Played:
    """`figures`: lines, what was wrong among them."""

    exchange: Exchange
    figures: list[str]
    right: bool


class Run(NamedTuple):
    exchange: Exchange
    emulators: Emulators
    folder: Path
    chosen: argparse.Namespace


def played(run: Run) -> Played:
    """Plays a day, tells it, and judges it."""
    start, exchange, chosen = time.monotonic(), run.exchange, run.chosen

    def say(text: str) -> None:
        _say(f"{exchange:5} {time.monotonic() - start:4.0f} s  {text}")

    happens, hours, attempts = (SHORT, HOURS, 20) if chosen.short else (WHOLE, chosen.hours, ATTEMPTS)
    with deployed(run.emulators, run.folder, exchange, chosen.seed, attempts) as made:
        day = Day(made, hours, happens, say, Random(chosen.seed))
        day.run()
        seconds = time.monotonic() - start
        wrong = judged(day)
        return Played(exchange, [*figures(day, seconds), f"wrong: {len(wrong)}", *wrong], not wrong)


def main() -> int:
    chosen = _chosen()
    exchanges: list[Exchange] = [chosen.exchange] if chosen.exchange else ["paper", "live"]
    start = time.monotonic()
    try:
        with ExitStack() as stack:
            files, topics = (stack.enter_context(one()) for one in (storage, pubsub))
            stack.enter_context(redirect_stderr(StringIO()))  # where the storage emulator tells of what is not there
            stores = [stack.enter_context(firestore(STORE_MB)) for _ in exchanges]
            folders = [Path(stack.enter_context(TemporaryDirectory())) for _ in exchanges]
            runs = [
                Run(exchange, Emulators(store, files, topics), folder, chosen)
                for exchange, store, folder in zip(exchanges, stores, folders, strict=True)
            ]
            with ThreadPoolExecutor(len(runs)) as threads:
                told = list(threads.map(played, runs))
    except pytest.skip.Exception as missing:
        _say(str(missing))
        return 2
    for each in told:
        _say("\n".join(["", f"{each.exchange}:", *each.figures]))
    _say(f"\n{time.monotonic() - start:.0f} s in all")
    return 0 if all(each.right for each in told) else 1


def figures(day: Day, seconds: float) -> Iterator[str]:
    at = day.at
    calls = Counter(heard.function for heard in at.ingress.heard)
    by = Counter(heard.by for heard in at.ingress.heard)
    outcomes = Counter(f"{heard.function} {heard.outcome or 'no answer'}" for heard in at.ingress.heard)
    instances = at.ingress.instances.values()
    yield f"{seconds:.0f} s; {sum(calls.values())} calls: {_counted(calls)}; by {_counted(by)}"
    yield f"answers: {_counted(outcomes)}"
    yield (
        f"instances: {sum(each.starts for each in instances)} started, {sum(each.kills for each in instances)} killed; "
        f"{at.journal.requests} requests to store, files and venue"
    )
    yield (
        f"retries: scheduler {_counted(at.scheduler.retried) or 'none'}; events {at.events.retried}, of which "
        f"{at.events.twice} came twice and {at.events.late} late; ticks fired twice: {day.twice}"
    )
    yield (
        f"alerts: {len(at.journal.alerts)} written, shown in {len(at.discord.embeds)} embeds of "
        f"{len(at.discord.shown)} messages; dead letters: {len(day.dead)}"
    )
    if at.live:
        engine = at.ledger.engine
        yield f"venue: {len(engine.accepted())} orders, {len(engine.executions)} executions"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.day", description="A day of the whole deployment.")
    parser.add_argument("--exchange", choices=["paper", "live"], default="", help="only this one")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--short", action="store_true", help="the few hours that `make test` plays")
    parser.add_argument("--seed", type=int, default=1, help="of what fires twice, and comes twice or late")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
