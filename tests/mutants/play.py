"""python -m tests.mutants.play: plays histories of the code that it stands beside until one shows something wrong.

Reads one JSON object from stdin: the first seed, how many, for how many seconds at most, seeds to leave out, and where.
Prints one: how many histories and ticks, and of those in which something was wrong the seed and the first sentence.
The model of the histories lies ready in the folder `model`: to train it takes longer than to play many of them.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import core
from core.domain.bars import Bars
from core.domain.daily import Daily
from core.domain.ensemble import Artefact, Training
from core.domain.state import Book
from tests import road
from tests.simulation.history import Wish, played


def found(first: int, count: int, seconds: float, skip: list[int], stop: bool, venue: str) -> dict[str, Any]:
    """What `count` histories show. `stop`: at the first that shows something wrong."""
    end = time.monotonic() + seconds
    histories = ticks = 0
    wrong: list[tuple[int, str]] = []
    for seed in range(first, first + count):
        if seed in skip:
            continue
        if time.monotonic() > end or (wrong and stop):
            break
        history = played(Wish(seed, venue))
        histories, ticks = histories + 1, ticks + history.ticks
        wrong += [(seed, sentence) for sentence in history.audit.violations[:1]]
    return {"histories": histories, "ticks": ticks, "wrong": wrong}


def at_hand(book: Book, bars: Bars, daily: Daily, training: Training = road.SMALL) -> Artefact:
    """In the place of road.artefact: what was made already."""
    return {file.name: file.read_bytes() for file in Path("model").iterdir()}


def main() -> int:
    home = Path(core.__file__).resolve().parents[1]
    if home != Path.cwd().resolve():
        raise SystemExit(f"the code under test is that of {home}, not that of this folder")
    logging.disable(logging.CRITICAL)
    gc.set_threshold(100_000, 20, 20)
    road.artefact = at_hand
    sys.stdout.write(json.dumps(found(**json.load(sys.stdin))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
