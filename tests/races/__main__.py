"""python -m tests.races: flips the switch while ticks run on the Firestore emulator, and counts what came too late.

    python -m tests.races --races 5000 [--seed 1] [--workers 3]

Each race is in a project of its own. Exit 1 when something was done that the flip forbids.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.ports import Unavailable
from tests.emulators import firestore
from tests.races.race import Race, Told, Track, Wish, wish

LAP = 500  # races of one emulator: it forgets nothing, and its memory is small
TELL = 3  # races that are told


def main() -> int:
    chosen = _chosen()
    logging.disable(logging.WARNING)
    told: list[Told | None] = []
    seeds, start = range(chosen.seed, chosen.seed + chosen.races), time.monotonic()
    try:
        for lap in range(0, len(seeds), LAP):
            with firestore() as emulator:
                told += raced([wish(seed) for seed in seeds[lap : lap + LAP]], Track(emulator), chosen.workers)
            _say("\n".join(figures(told, time.monotonic() - start)) + "\n")
    except pytest.skip.Exception as missing:
        _say(str(missing))
        return 2
    _say(report(told, time.monotonic() - start))
    return 1 if any(each.verdict.wrong for each in told if each) else 0


def raced(wishes: Iterable[Wish], track: Track, workers: int) -> list[Told | None]:
    """None: no race, since the emulator did not answer."""
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(lambda each: _run(Race(each, track)), wishes))


def _run(race: Race) -> Told | None:
    try:
        return race.run()
    except Unavailable:
        return None


def figures(raced: Sequence[Told | None], seconds: float) -> list[str]:
    told = [each for each in raced if each]
    counts: Counter[str] = sum((each.verdict.counts for each in told), Counter())
    said = [sentence for each in told for sentence in each.verdict.wrong]
    intents, orders = (sum(sentence.startswith(kind) for sentence in said) for kind in ("intent:", "order:"))
    rows = {
        "races in which the flip came during the tick": sum(each.came for each in told),
        "close: between an order's deciding reading and its sending": sum(each.verdict.close for each in told),
        **{name: counts[name] for name in ("intents committed", "orders sent")},
        **{f"orders {name}": counts[name] for name in STOPPED},
        "positions without a stop when the raced tick was over": sum(each.bare for each in told),
        "intents committed after the flip, or against it": intents,
        "orders sent after a last reading that forbade them, or without one": orders,
        "other violations": len(said) - intents - orders,
    }
    head = f"{len(told)} races in {seconds:.0f} s ({len(told) / seconds:.1f}/s), {len(raced) - len(told)} void"
    return [head, *(f"  {number:>6}  {name}" for name, number in rows.items())]


def report(raced: Sequence[Told | None], seconds: float) -> str:
    told = [each for each in raced if each]
    lost = [each for each in told if each.verdict.wrong]
    lines = [
        *figures(raced, seconds),
        *_table("flipped to", Counter(f"{each.wish.what} ({each.wish.scope})" for each in told)),
        *_table("ticks ended (raced, next)", Counter(", ".join(each.answers) for each in told)),
    ]
    for each in lost[:TELL]:
        lines += [f"--seed {each.wish.seed} --races 1: {each.wish}", *each.verdict.wrong, *map(str, each.seen)]
    return "\n".join(lines)


STOPPED = ("caught by the commit", "caught by the last reading", "on the wire")


def _table(title: str, counts: Counter[str]) -> list[str]:
    return [f"{title}:", *(f"  {count:>6}  {name}" for name, count in counts.most_common())]


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.races", description="The operator against the tick.")
    parser.add_argument("--races", type=int, default=500, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first one's; each has the next")
    parser.add_argument("--workers", type=int, default=3, help="races at a time")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
