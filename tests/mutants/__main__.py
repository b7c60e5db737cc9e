"""python -m tests.mutants: breaks the code in one place after the other, and demands that the simulation notices each.

    python -m tests.mutants [--only WORDS] [--unseen] [--histories 600] [--seconds 240] [--workers 2]

First the code as it is has to come out clean. Exit 1 when it does not, or when a mutant was not caught.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.mutants.mutant import Mutant
from tests.mutants.runner import Limits, Seen, each_seen, shown, unbroken
from tests.mutants.table import MUTANTS
from tests.mutants.unseen import UNSEEN

CLEAN = 200  # histories of the code as it is


def main() -> int:
    chosen, start = _chosen(), time.monotonic()
    mutants = [mutant for mutant in (UNSEEN if chosen.unseen else MUTANTS) if chosen.only in mutant.name]
    base = unbroken(CLEAN, chosen.workers)
    _say(f"the code as it is: {base.histories} histories, {base.ticks} ticks, {len(base.wrong)} of them wrong")
    for seed, sentence in base.wrong:
        _say(f"  seed {seed}: {sentence}")
    limits = Limits(chosen.histories, chosen.seconds)
    results = []
    for seen in each_seen(mutants, limits, chosen.workers, [seed for seed, _ in base.wrong]):
        results.append(seen)
        _say(f"{_name(seen.mutant)}: {seen.verdict}")
    doubtful = shown(place for seen in results for place in _unproven(seen))
    _say(report(results, doubtful, time.monotonic() - start))
    return 0 if results and not base.wrong and not doubtful and all(seen.caught for seen in results) else 1


def report(results: list[Seen], doubtful: dict[int, str], seconds: float) -> str:
    """How many were caught, which were not, and what the code as it is shows at a seed that caught one."""
    caught = sum(seen.caught for seen in results)
    lines = [f"{caught} of {len(results)} mutants caught in {seconds:.0f} s"]
    lines += [f"  not caught: {_name(seen.mutant)}. {_bug(seen.mutant)}" for seen in results if not seen.caught]
    lines += [f"  seed {seed} is wrong without any mutant: {sentence}" for seed, sentence in doubtful.items()]
    return "\n".join(lines)


def _unproven(seen: Seen) -> list[tuple[int, str]]:
    """(seed, venue) of what was caught where the code as it is has not been played yet."""
    venue = seen.mutant.venue if seen.mutant else ""
    return [(seed, venue) for seed, _ in seen.wrong if seed >= CLEAN or venue]


def _name(mutant: Mutant | None) -> str:
    return mutant.name if mutant else "the code as it is"


def _bug(mutant: Mutant | None) -> str:
    return mutant.bug if mutant else ""


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Breaks the code, to see it noticed.")
    parser.add_argument("--only", default="", help="a part of the name of those to be tried")
    parser.add_argument("--unseen", action="store_true", help="those that no history shows yet, in place of the rest")
    parser.add_argument("--histories", type=int, default=600, help="of each mutant, at most")
    parser.add_argument("--seconds", type=float, default=240, help="for each mutant, at most")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
