"""A cold guard beside a cold tick: the same emulators, in turn, the same run. CPU time and peak memory as ratios."""

from __future__ import annotations

import json
import statistics
import sys

from benchmarks.bench_tick import _at, _process, place

RUNS = 7


def main() -> dict[str, float]:
    with place() as made:
        ticks, guards = [], []
        for number in range(RUNS):
            ticks.append(_process(["-m", "benchmarks.cold_tick", _at(number)], made.environ))
            guards.append(_process(["-m", "benchmarks.cold_guard", _at(number)], made.environ))
    (tick_s, tick_mib), (guard_s, guard_mib) = (
        [statistics.median(kind) for kind in zip(*each, strict=True)] for each in (ticks, guards)
    )
    print(
        f"cold guard     {guard_s:6.3f} s CPU, {guard_mib:4.0f} MiB   tick {tick_s:6.3f} s, {tick_mib:4.0f} MiB",
        file=sys.stderr,
    )
    return {
        "guard_cpu_ratio": statistics.median(g[0] / t[0] for g, t in zip(guards, ticks, strict=True)),
        "guard_memory_ratio": guard_mib / tick_mib,
    }


if __name__ == "__main__":
    print(json.dumps(main()))
