"""Walk-forward against the naive way: CPU per window, and log-loss out of sample on the same rows of real bars.

    python -m benchmarks.bench_walk [--naive FOLDER] [--store FOLDER] [--each 8] [--series NAME ...] [--whole]

The naive way (benchmarks.naive_walk) does `--each` windows of every series first, unless its files are there; so much
takes an hour. Ours walks each series up to the last window that is compared, or all of it with `--whole`, in one
process; finished windows are kept in `--store`. CPU is measured on the compared windows, learnt anew here and now, and
includes features, digests and stacking as their share of the whole walk. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.naive_walk import FOLDER, SERIES, Series, series
from core.adapters.dir_models import DirModels
from core.adapters.joblib_workers import JoblibWorkers
from core.domain import metrics
from core.domain.bars import Floats
from core.domain.ensemble import Training
from core.domain.forecast import MEMBERS
from core.domain.splits import Rows
from core.domain.walk import Walked, Window, learn
from core.flows.walk import forward

STANDARD = 153  # windows that the standard run is spoken of with
TRAINING = Training()


@dataclass(frozen=True, eq=False)
class Naive:
    """What the naive way made of one series: rows, their scores, CPU seconds of each window."""

    windows: list[Window]
    rows: Rows
    scores: Floats
    cpu_s: list[float]


def naive(folder: Path, name: str, one: Series) -> Naive:
    rows, scores, spent, done = [], [], [], []
    for window in one.windows:
        file = folder / f"{name}-{window.number}.npz"
        if not file.exists():
            continue
        with np.load(file, allow_pickle=False) as kept:
            if not np.array_equal(kept["rows"], window.foresee) or int(kept["learnt"]) != len(window.learn):
                raise SystemExit(f"{file} was made with other windows or labels: remove it")
            rows.append(kept["rows"])
            scores.append(kept["scores"])
            spent.append(float(kept["cpu_s"]))
            done.append(window)
    empty = np.empty(0)
    return Naive(done, np.concatenate([*rows, empty.astype(int)]), np.concatenate([*scores, empty]), spent)


def walked(one: Series, bars: int, store: Path) -> tuple[Walked, float]:
    """The walk over the first `bars`, and the CPU seconds of all but the learning per window: it is done twice, the
    second time from the store."""
    parts = (one.bars.time[:bars], one.values[:bars], one.labels[:bars], one.ends[:bars])
    workers, kept = JoblibWorkers(1), DirModels(store)
    forward(*parts, TRAINING, workers, kept, progress=told)
    begun = time.process_time()
    made = forward(*parts, TRAINING, workers, kept)
    return made, (time.process_time() - begun) / len(made.steps)


def told(share: float) -> None:
    if sys.stderr.isatty():
        print(f"\r   {share:6.1%}", end="", file=sys.stderr, flush=True)


def learning(one: Series, found: list[Window]) -> list[float]:
    """CPU seconds of each window, learnt anew; the libraries have been imported by then."""
    spent: list[float] = []
    if found:
        learn(one.values, one.labels, TRAINING, found[0])
    for window in found:
        begun = time.process_time()
        learn(one.values, one.labels, TRAINING, window)
        spent.append(time.process_time() - begun)
    return spent


def losses(y: Floats, forecasts: dict[str, Floats]) -> dict[str, float]:
    return {name: round(metrics.log_loss(y, p), 5) for name, p in forecasts.items()}


def forecasts(made: Walked, rows: Rows) -> dict[str, Floats]:
    alone = {name: made.members[rows, i] for i, name in enumerate(MEMBERS)}
    return {"ours": made.p_up[rows], "mean": made.mean[rows], **alone, "base_rate": made.base[rows]}


def compared(name: str, given: argparse.Namespace) -> dict[str, Any]:
    one = series(name)
    other = naive(given.naive, name, one)
    last = int(other.rows.max()) + 1 if len(other.rows) else 0
    bars = len(one.bars) if given.whole else last
    if not bars:
        return {}
    made, rest = walked(one, bars, given.store)
    known = np.isfinite(one.labels[other.rows]) & np.isfinite(made.p_up[other.rows])
    rows = other.rows[known]
    every = np.flatnonzero(np.isfinite(made.p_up) & np.isfinite(one.labels[:bars]))
    ours = learning(one, other.windows)
    return {
        "windows": len(made.steps),
        "compared": {"windows": len(other.windows), "rows": len(rows)}
        | losses(one.labels[rows], {"naive": other.scores[known], **forecasts(made, rows)}),
        "all": {"rows": len(every), "auc": round(metrics.auc(one.labels[every], made.p_up[every]), 4)}
        | losses(one.labels[every], forecasts(made, every)),
        "naive_cpu_s": other.cpu_s,
        "cpu_s": [each + rest for each in ours],
        "rest_cpu_s": rest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--naive", type=Path, default=FOLDER)
    parser.add_argument("--store", type=Path, default=FOLDER.parent / "walk")
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--series", nargs="*", default=SERIES)
    parser.add_argument("--whole", action="store_true", help="walk the whole of each series")
    parser.add_argument("--as-is", action="store_true", help="compare with the naive windows that are there")
    given = parser.parse_args()
    if not given.as_is:
        order = [sys.executable, "-m", "benchmarks.naive_walk", "--folder", str(given.naive), "--each", str(given.each)]
        subprocess.run([*order, "--series", *given.series], check=True)
    found = {}
    for name in given.series:
        result = compared(name, given)
        if result:
            found[name] = result
            print(f"{name}: {result['windows']} windows\n   compared {result['compared']}\n   all {result['all']}")
    slow = statistics.mean(s for one in found.values() for s in one["naive_cpu_s"])
    quick = statistics.mean(s for one in found.values() for s in one["cpu_s"])
    worse = [name for name, one in found.items() if one["compared"]["ours"] > one["compared"]["naive"]]
    print(f"CPU s per window: naive {slow:.2f}, ours {quick:.2f}: {slow / quick:.1f} times less")
    print(
        json.dumps(
            {
                "walk_cpu_ratio": round(quick / slow, 4),
                "walk_window_cpu_s": round(quick, 3),
                "naive_window_cpu_s": round(slow, 3),
                "walk_minutes_two_cores": round(STANDARD * quick / 2 / 60, 2),
                "walk_series_worse": len(worse),
                "series": len(found),
            }
        )
    )


if __name__ == "__main__":
    main()
