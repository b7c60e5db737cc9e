"""Every benchmark, one after the other, and a table of what was wanted and what was found; those in ASKED by name only.

Ratios are to a named alternative in the same run, since no two machines, and no two minutes of one, are alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

BENCHMARKS = ("features", "forecast", "tick", "guard", "size")
ASKED = ("walk", "backtest", "cost")  # an hour, and other engines installed: `make bench ARGS="walk backtest"`
WANTED = (
    ("cold_cpu_ratio", 0.22, "cold tick, CPU, against the naive way"),
    ("cold_memory_ratio", 0.35, "cold tick, peak memory, against the naive way"),
    ("function_start_ratio", 0.30, "spawn of the function to its first 200, wall, against the naive way"),
    ("warm_tick_ms", 10.0, "warm tick, ms of CPU"),
    ("round_trips", 3, "round trips in sequence without an order"),
    ("round_trips_with_order", 6, "round trips in sequence with an order"),
    ("guard_cpu_ratio", 1.15, "cold guard, CPU, against a cold tick"),
    ("guard_memory_ratio", 1.0, "cold guard, peak memory, against a cold tick"),
    ("features_ratio", 3.0, "vix53 over 44,000 bars, against TA-Lib for the same columns"),
    ("member_difference", 0.0, "base models, largest difference to the trained libraries"),
    ("stacked_difference", 1e-12, "stacked probability, largest difference"),
    ("walk_cpu_ratio", 0.1, "walk-forward, CPU per window, against the naive way"),
    ("walk_series_worse", 1, "of five series, those with a worse log-loss than the naive way"),
    ("walk_minutes_two_cores", 10.0, "153 windows, minutes on two cores (CPU / 2)"),
    ("backtest_ratio", 1.0, "backtest, whole process, CPU, against the quickest other engine"),
    ("cost_1", 0.30, "USD a month, one book"),
    ("cost_10", 1.0, "USD a month, 10 books"),
    ("cost_100", 10.0, "USD a month, 100 books"),
    ("serving_mb", 300.0, "MB that a serving function installs"),
)


def figures(name: str) -> dict[str, Any]:
    """The JSON that a benchmark prints last; its other lines are passed on."""
    print(f"\n-- {name}", flush=True)
    run = subprocess.Popen([sys.executable, "-m", f"benchmarks.bench_{name}"], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    last = ""
    for line in run.stdout:
        if last:
            print(f"   {last}", flush=True)
        last = line.rstrip()
    if run.wait():
        raise SystemExit(f"benchmarks.bench_{name} failed")
    try:
        found: dict[str, Any] = json.loads(last)
    except json.JSONDecodeError:
        print(f"   {last}")
        return {}
    return found


def main() -> None:
    chosen = sys.argv[1:] or BENCHMARKS
    unknown = [name for name in chosen if name not in BENCHMARKS + ASKED]
    if unknown:
        raise SystemExit(f"there is no benchmark {unknown[0]!r}: choose among {', '.join(BENCHMARKS + ASKED)}")
    found: dict[str, Any] = {}
    for name in chosen:
        found |= figures(name)
    if "difference" in found:
        difference = found["difference"]
        found["stacked_difference"] = difference["stacked"]
        found["member_difference"] = max(difference[name] for name in ("lightgbm", "xgboost", "forest"))
    print(f"\n{'':4}{'found':>10}  {'at most':>8}")
    for name, most, what in WANTED:
        if name in found:
            print(f"{'ok' if found[name] <= most else 'MISS':4}{found[name]:10.3g}  {most:8g}  {what}")


if __name__ == "__main__":
    main()
