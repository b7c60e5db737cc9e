"""python -m tests.day: a day of the whole deployment, told as it passes; then whether all that must hold does.

    python -m tests.day [--exchange paper|live] [--hours 24] [--short] [--seed 1]

Without --exchange both are played, one after the other. Exit 1 when something that must hold did not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from tests.day.deployment import Emulators, Exchange, deployed
from tests.day.script import SHORT, WHOLE
from tests.day.story import Day, Happening
from tests.day.verdict import judged
from tests.emulators import firestore, pubsub, storage

SHORT_HOURS = 4
Say = Callable[[str], None]


@dataclass
class Played:
    """`wrong`: sentences; `figures`: lines."""

    day: Day
    wrong: list[str]
    figures: list[str]


def played(
    emulators: Emulators,
    folder: Path,
    exchange: Exchange,
    happens: dict[str, Happening],
    hours: int,
    seed: int = 1,
    say: Say | None = None,
) -> Played:
    """Plays a day and judges it."""
    start = time.monotonic()
    with deployed(emulators, folder, exchange, seed) as made:
        day = Day(made, hours, happens, say or _clocked(), Random(seed))
        day.run()
        seconds = time.monotonic() - start
        return Played(day, judged(day), list(figures(day, seconds)))


def main() -> int:
    chosen = _chosen()
    happens, hours = (SHORT, SHORT_HOURS) if chosen.short else (WHOLE, chosen.hours)
    wrong: list[str] = []
    try:
        with ExitStack() as stack:
            emulators = Emulators(*(stack.enter_context(one()) for one in (firestore, storage, pubsub)))
            stack.enter_context(
                redirect_stderr(StringIO())
            )  # the storage emulator tells of each file that is not there
            for exchange in [chosen.exchange] if chosen.exchange else ["paper", "live"]:
                folder = stack.enter_context(TemporaryDirectory())
                _say(f"\n{exchange}: {hours} hours of a deployment")
                told = played(emulators, Path(folder), exchange, happens, hours, chosen.seed)
                _say("\n".join(["", *told.figures, f"wrong: {len(told.wrong)}", *told.wrong]))
                wrong += told.wrong
    except pytest.skip.Exception as missing:
        _say(str(missing))
        return 2
    return 1 if wrong else 0


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
        f"alerts: {len(at.journal.alerts)} written, {len(at.discord.embeds)} embeds in {len(at.discord.shown)} messages; "
        f"dead letters: {len(day.dead)}"
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


def _clocked() -> Callable[[str], None]:
    """Says with the seconds that have passed."""
    start = time.monotonic()
    return lambda text: _say(f"{time.monotonic() - start:5.0f} s  {text}")


if __name__ == "__main__":
    raise SystemExit(main())
