"""python -m tests.processes: kills real processes at real requests, for as long as it takes.

    python -m tests.processes --kills 200 [--venue bitbank|bybit] [--seed 1] [--workers 4]

Several deployments at a time, each of which lives for some kills. Exit 1 when something that must hold did not.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from tests.emulators import firestore
from tests.processes import market
from tests.processes.deployment import book_of
from tests.processes.places import PLACES
from tests.processes.rounds import Told, Wish, played

EACH = 12  # kills of one round
TELL = 3  # stories that are told


def main() -> int:
    chosen = _chosen()
    wishes = list(_wishes(chosen))
    for venue in {wish.venue for wish in wishes}:  # trained before the threads start
        market.model(book_of(PLACES[venue]))
    try:
        with firestore() as emulator:
            start = time.monotonic()
            told = list(_told(wishes, emulator, chosen.workers))
    except pytest.skip.Exception as missing:
        _say(str(missing))
        return 2
    _say(report(told, time.monotonic() - start))
    for story in [story for each in told for story in each.stories][:TELL]:
        _say("\n" + story)
    return 1 if any(each.wrong for each in told) else 0


def _wishes(chosen: argparse.Namespace) -> Iterator[Wish]:
    venues = [chosen.venue] if chosen.venue else list(PLACES)
    left, number = chosen.kills, 0
    while left > 0:
        yield Wish(venues[number % len(venues)], chosen.seed + number, min(EACH, left))
        left, number = left - EACH, number + 1


def _told(wishes: list[Wish], emulator: str, workers: int) -> Iterator[Told]:
    """Each round when it has ended."""
    killed: Counter[Wish] = Counter()

    def counted(wish: Wish) -> Callable[[int], None]:
        return lambda count: killed.update({wish: count - killed[wish]})

    with ThreadPoolExecutor(workers) as threads:
        running = {threads.submit(_safely, wish, emulator, counted(wish)): wish for wish in wishes}
        for done in as_completed(running):
            told, wish = done.result(), running[done]
            _say(
                f"{wish.venue}, seed {wish.seed}: {sum(told.died.values())} kills in {told.tally.bars} bars, "
                f"{told.orders} orders, {sum(told.halts.values())} halts, {len(told.wrong)} violations; "
                f"{sum(killed.values())} kills in all"
            )
            yield told


def _safely(wish: Wish, emulator: str, killed: Callable[[int], None]) -> Told:
    try:
        return played(wish, emulator, killed)
    except Exception as failure:  # the other rounds go on
        return Told(wish, wrong=[f"the round itself broke: {failure!r}"], stories=[traceback.format_exc()])


def report(told: list[Told], seconds: float) -> str:
    tallies = [each.tally for each in told]
    kills = sum(sum(each.died.values()) for each in told)
    wrong = [(each.wish, sentence) for each in told for sentence in each.wrong]
    lines = [
        f"{kills} processes killed in {seconds:.0f} s, over {len(told)} deployments: "
        f"{sum(each.bars for each in tallies)} bars, {sum(each.calls for each in tallies)} calls, "
        f"{sum(each.orders for each in told)} orders, {sum(each.executions for each in told)} executions",
        _table("killed at", _sum(_worded(each.died) for each in told)),
        _table("stood still at", _sum(_worded(each.frozen) for each in told)),
        _table("calls were answered", _sum(each.statuses for each in tallies)),
        _table("calls at once", _sum(each.together for each in tallies)),
        f"calls for a bar that was done: {sum(each.twice for each in tallies)}; "
        f"bars never called for: {sum(each.missed for each in tallies)}",
        _table("the venue's faults", _sum(each.faults for each in told)),
        _table("the venue was slow", _sum(each.slow for each in tallies)),
        _table("switches flipped", _sum(each.flips for each in tallies)),
        _table("bars ended", _sum(each.reasons for each in tallies)),
        _table("positions without a stop", _sum(each.bare for each in told)),
        _table("books that halted themselves", _sum(each.halts for each in told)),
        f"violations: {len(wrong)}",
        *(f"  --venue {wish.venue} --seed {wish.seed} --kills {wish.kills}: {sentence}" for wish, sentence in wrong),
    ]
    return "\n".join(lines)


def _worded(died: Counter[tuple[str, str]]) -> Counter[str]:
    return Counter({f"{kind}, {side}": count for (kind, side), count in died.items()})


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())


def _table(title: str, counts: Counter[str]) -> str:
    return "\n".join((f"{title}:", *(f"  {count:>6}  {name}" for name, count in counts.most_common())))


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.processes", description="Real processes, really killed.")
    parser.add_argument("--kills", type=int, default=40, help="how many, at least")
    parser.add_argument("--venue", choices=list(PLACES), default="", help="only this one")
    parser.add_argument("--seed", type=int, default=1, help="the first round's; each has the next")
    parser.add_argument("--workers", type=int, default=4, help="deployments at a time")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
