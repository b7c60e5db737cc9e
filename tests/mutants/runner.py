"""Breaks a copy of the code in one place, and plays histories of it until the simulation notices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.domain.daily import from_closes
from core.domain.ensemble import Artefact
from tests import road
from tests.mutants.mutant import Mutant
from tests.simulation.world import TINY

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("core", "tests")
GRACE_S: Final = 120.0
RAISED: Final = "the tick raised"  # it was not silent, so nothing is proven


@dataclass(frozen=True)
class Limits:
    """How many histories of a mutant are played at most, and for how many seconds."""

    histories: int = 600
    seconds: float = 240.0


@dataclass(frozen=True)
class Seen:
    """What some histories of a mutant (None: of the code as it is) showed. `wrong`: (seed, sentence) of each that was
    not as it must be."""

    mutant: Mutant | None
    histories: int
    ticks: int
    seconds: float
    wrong: list[tuple[int, str]] = field(default_factory=list)

    @property
    def caught(self) -> bool:
        return bool(self.wrong) and not self.wrong[0][1].startswith(RAISED)

    @property
    def verdict(self) -> str:
        if not self.wrong:
            return f"NOT CAUGHT in {self.histories} histories, {self.ticks} ticks"
        seed, sentence = self.wrong[0]
        how = "caught" if self.caught else "NO PROOF (it was not silent)"
        return f"{how} at seed {seed} after {self.histories} histories, {self.ticks} ticks: {sentence}"


class Moved(LookupError):
    """The text that a mutant replaces is not in its file exactly once: the table must move with the code."""


def broken(text: str, mutant: Mutant) -> str:
    """`text`, the content of the mutant's file, with its change. Raises Moved."""
    count = text.count(mutant.old)
    if count != 1:
        raise Moved(f"{mutant.name}: its old text occurs {count} times in {mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


@contextmanager
def copied(mutant: Mutant | None) -> Iterator[Path]:
    """A folder with a copy of the code, broken in one place. Raises Moved."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        home = Path(name)
        for room in ROOMS:
            shutil.copytree(ROOT / room, home / room, ignore=shutil.ignore_patterns("test_*.py", "__pycache__"))
        if mutant is not None:
            file = home / mutant.file
            file.write_text(broken(file.read_text(), mutant))
        (home / "model").mkdir()
        for part, data in model().items():
            (home / "model" / part).write_bytes(data)
        yield home


@cache
def model() -> Artefact:
    """A small model, made by the code as it is."""
    nothing = from_closes(np.empty(0, np.int64), np.empty(0))
    return road.artefact(road.small_book(), road.drawn(), nothing, TINY)


def seen(mutant: Mutant | None, first: int, limits: Limits, skip: Iterable[int] = (), venue: str = "") -> Seen:
    """What histories from seed `first` on show: of a mutant until the first that shows something, else of all."""
    start = time.monotonic()
    asked = {
        "first": first,
        "count": limits.histories,
        "seconds": limits.seconds,
        "skip": sorted(skip),
        "stop": mutant is not None,
        "venue": venue or (mutant.venue if mutant else ""),
    }
    with copied(mutant) as home:
        told = play(home, asked)
    wrong = [(seed, sentence) for seed, sentence in told["wrong"]]
    return Seen(mutant, told["histories"], told["ticks"], time.monotonic() - start, wrong)


def play(home: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What tests.mutants.play tells of the code in `home`. Raises RuntimeError when it could not play."""
    command = [sys.executable, "-m", "tests.mutants.play"]
    environment = {**os.environ, "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        command,
        cwd=home,
        env=environment,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=asked.get("seconds", 0.0) + GRACE_S,  # one history that never ends is no proof either
    )
    if run.returncode:
        raise RuntimeError(f"the histories could not be played:\n{run.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def unbroken(count: int, workers: int) -> Seen:
    """What the first `count` histories of the code as it is show."""
    share, start = -(-count // workers), time.monotonic()
    model()  # before there are threads that would each make one
    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(lambda n: seen(None, n * share, Limits(share, 3600)), range(workers)))
    wrong = [each for part in parts for each in part.wrong]
    histories, ticks = sum(part.histories for part in parts), sum(part.ticks for part in parts)
    return Seen(None, histories, ticks, time.monotonic() - start, wrong)


def each_seen(mutants: Iterable[Mutant], limits: Limits, workers: int, skip: Iterable[int] = ()) -> Iterator[Seen]:
    """Each mutant with what became of it, as soon as that is known."""
    skip = tuple(skip)
    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(seen, mutant, 0, limits, skip) for mutant in mutants]
        for done in as_completed(running):
            yield done.result()


def shown(places: Iterable[tuple[int, str]]) -> dict[int, str]:
    """What the code as it is shows at each (seed, venue), if anything: then it was not the mutant that was caught."""
    wrong: dict[int, str] = {}
    for seed, venue in sorted(set(places)):
        wrong |= dict(seen(None, seed, Limits(1), venue=venue).wrong)
    return wrong
