"""The naive way to walk forward, for comparison: in each window a fresh stacking classifier of default models.

    python -m benchmarks.naive_walk [--folder FOLDER] [--each 8] [--series NAME ...]

`StackingClassifier(cv=5)` of LightGBM, XGBoost and a random forest, 300 trees each, with a logistic regression on top;
one thread per model. It learns and foresees exactly the rows of our own windows. A few windows, spread evenly over each
series, are enough; each goes into a file with its scores and its CPU seconds, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from core.adapters.file_vix import FileVix
from core.adapters.files_market import load
from core.domain.bars import Bars, Floats, moment
from core.domain.ensemble import Training
from core.domain.features import SETS, compute
from core.domain.labels import direction
from core.domain.splits import Bar
from core.domain.walk import Window, windows

DATA = Path(__file__).parents[1] / "../shared/data"
SERIES = (
    "btcusdt_binance_perp_1h",
    "ethusdt_binance_perp_1h",
    "solusdt_binance_perp_1h",
    "xrpusdt_binance_perp_1h",
    "btcusdt_binance_spot_1h",
)
FOLDER = Path(__file__).parents[1] / "var/bench/naive_walk"


@dataclass(frozen=True, eq=False)
class Series:
    """A real series with its features, labels and windows of 180 + 10 days."""

    bars: Bars
    values: Floats
    labels: Floats
    ends: Bar
    windows: list[Window]


@cache
def series(name: str) -> Series:
    bars = load(DATA / f"bars/{name}.parquet", "1h").bars
    daily = FileVix(DATA / "macro/vix_daily.parquet").history(moment(bars.time[-1] + 3600))
    values = compute(SETS["vix53"], bars, "1h", daily)
    training = Training()
    labels, ends = direction(bars, training.horizon, training.cost)
    usable = ~np.isnan(values).all(axis=1)
    return Series(bars, values, labels, ends, windows(bars.time, usable, labels, ends, training, 180, 10))


def spread(found: list[Window], each: int) -> list[Window]:
    """`each` of the windows, evenly, the first left out: its stacking has nothing to go on yet."""
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, each + 1).astype(int)[1:])]


def foreseen(one: Series, window: Window) -> Floats:
    """The naive way's probability of going up for the window's rows."""
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import RandomForestClassifier, StackingClassifier
    from sklearn.linear_model import LogisticRegression
    from xgboost import XGBClassifier

    members = [
        ("lightgbm", LGBMClassifier(n_estimators=300, n_jobs=1, random_state=1, verbosity=-1)),
        ("xgboost", XGBClassifier(n_estimators=300, n_jobs=1, random_state=1)),
        ("forest", RandomForestClassifier(n_estimators=300, n_jobs=1, random_state=1)),
    ]
    stacked = StackingClassifier(members, final_estimator=LogisticRegression(), cv=5, n_jobs=1)
    stacked.fit(one.values[window.learn], one.labels[window.learn].astype(int))
    scores: Floats = stacked.predict_proba(one.values[window.foresee])[:, 1]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--each", type=int, default=8, help="windows of each series")
    parser.add_argument("--series", nargs="*", default=SERIES)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    for turn in range(given.each):  # one window of every series, then the next: stopped early, all have some
        for name in given.series:
            one = series(name)
            window = spread(one.windows, given.each)[turn]
            file = given.folder / f"{name}-{window.number}.npz"
            if file.exists():
                continue
            begun = time.process_time()
            scores = foreseen(one, window)
            spent = time.process_time() - begun
            rest = file.with_suffix(".part")
            with rest.open("wb") as out:
                np.savez(out, rows=window.foresee, learnt=len(window.learn), scores=scores, cpu_s=spent)
            rest.replace(file)
            print(f"{name} window {window.number}: {spent:.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
