"""python -m tests.simulation: plays histories for a while on all cores, or one again.

    python -m tests.simulation --seconds 600 --workers 2
    python -m tests.simulation --seed 123 [--venue D] [--bars 5] [--only d3.7,s2]

Exit 1 when something that must hold did not.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from tests.simulation import story
from tests.simulation.history import Wish, played
from tests.simulation.soak import POINTS, Tally, soak

EVERY_S = 30.0
TOLD = 3  # failing seeds whose story is told


def main() -> int:
    chosen = _chosen()
    logging.disable(logging.CRITICAL)
    if chosen.seed is not None:
        return _replay(chosen)
    start = shown = time.monotonic()
    total = Tally()
    for total in soak(chosen.seconds, chosen.workers, chosen.first, chosen.venue):
        if time.monotonic() > shown + EVERY_S:
            shown = time.monotonic()
            _say(f"{total.histories} histories, {total.ticks} ticks, {len(total.failing)} failing")
    _say(report(total, time.monotonic() - start))
    for wish, _ in total.failing[:TOLD]:
        _say("\n" + story.told(story.shrunk(played(wish))))
    whole = total.ticks < 20_000 or chosen.venue or not (total.uncovered or total.unnamed)
    return 1 if total.failing or not whole else 0


def report(total: Tally, seconds: float) -> str:
    covered = len(POINTS) - len(total.uncovered)
    lines = [
        f"{total.histories} histories, {total.ticks} ticks in {seconds:.0f} s: {total.ticks / seconds:.0f} ticks/s; "
        f"{total.guards} guards between them, {total.switches} turns of two invocations at once",
        f"one core here adds {_additions():.1f} million integers a second in a plain loop",
        f"crash points: {covered} of {len(POINTS)} covered",
        *(f"  not covered: {call}, {fault}" for call, fault in total.uncovered),
        *(f"  in no table: {call}" for call in total.unnamed),
        _table("venues", total.venues),
        _table("faults", total.kinds),
        _table("answers", total.outcomes),
        _table("books that halted themselves", total.halts),
        f"violations: {len(total.failing)}",
        *(f"  {story.command(wish)}: {what}" for wish, what in total.failing[:20]),
    ]
    return "\n".join(lines)


def _additions() -> float:
    """How quick this machine is just now, in millions a second: what ticks/s are to be held against."""
    start, count, total = time.perf_counter(), 2_000_000, 0
    for number in range(count):
        total += number
    return count / (time.perf_counter() - start) / 1e6


def _table(title: str, counts: object) -> str:
    rows = counts.most_common(25)  # type: ignore[attr-defined]
    return "\n".join((f"{title}:", *(f"  {count:>8}  {name}" for name, count in rows)))


def _replay(chosen: argparse.Namespace) -> int:
    only = None if chosen.only is None else frozenset(chosen.only.split(","))
    history = played(Wish(chosen.seed, chosen.venue, chosen.bars, only))
    if history.audit.violations and only is None:
        history = story.shrunk(history)
    _say(story.told(history))
    return 1 if history.audit.violations else 0


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Whole ticks, simulated.")
    parser.add_argument("--seconds", type=float, default=60, help="for how long")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play this one, and tell its story")
    parser.add_argument("--venue", default="", help="a class of venue: A, B, C, D, paper")
    parser.add_argument("--bars", type=int, default=0, help="stop after so many bars")
    parser.add_argument("--only", help="names of all that may go wrong, with commas; 'nothing': none")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
