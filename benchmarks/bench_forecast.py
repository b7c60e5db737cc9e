"""Serving against the trained libraries: differences over real rows, time of a row and of a batch, cold load.

    python -m benchmarks.bench_forecast [--bars FILE.parquet] [--rows 10000] [--train 4320]

The features are quick stand-ins (lagged returns, rolling statistics, a VIX with holes); all members have their full
300 trees. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.domain.bars import Bars, Floats
from core.domain.ensemble import Fitted, Training, export, fit
from core.domain.forecast import MEMBERS, Meta, Model, load
from core.domain.labels import direction

BARS = Path(__file__).parents[1] / "../shared/data/bars/btcusdt_binance_perp_1h.parquet"
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
META = Meta(
    symbol="BTC/USDT",
    timeframe="1h",
    created=MOMENT,
    feature_set="bench",
    feature_digest="bench",
    data_from=MOMENT,
    data_until=MOMENT,
    data_digest="bench",
)
HISTORY = 200


def read(path: Path) -> Bars:
    from pyarrow import parquet

    table = parquet.read_table(path)
    opened = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return Bars(opened, *(table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")))


def features(bars: Bars) -> Floats:
    """(bars, 53)"""
    returns = np.concatenate([[0.0], np.diff(np.log(bars.close))])
    columns = [np.roll(returns, lag) for lag in range(15)]
    for size in (3, 6, 12, 24, 48, 96, 168):
        columns += [rolling(bars.close, size, how) for how in (relative, scaled)]
        columns += [rolling(returns, size, how) for how in (deviation, relative_range)]
        columns += [rolling(bars.volume, size, scaled)]
    vix = np.repeat(np.random.default_rng(5).normal(20, 5, len(bars) // 24 + 1), 24)[: len(bars)]
    vix[np.random.default_rng(6).random(len(bars)) < 0.1] = np.nan
    return np.column_stack([*columns, bars.time // 3600 % 24, vix, np.where(np.isnan(vix), np.nan, vix > 25)])


def rolling(series: Floats, size: int, how: Callable[[Floats], Floats]) -> Floats:
    window = np.lib.stride_tricks.sliding_window_view(series, size)
    return np.concatenate([np.full(size - 1, np.nan), how(window)])


def relative(window: Floats) -> Floats:
    return np.asarray(window[:, -1] / window.mean(axis=1) - 1)


def scaled(window: Floats) -> Floats:
    return np.asarray((window[:, -1] - window.mean(axis=1)) / (window.std(axis=1) + 1e-12))


def deviation(window: Floats) -> Floats:
    return np.asarray(window.std(axis=1))


def relative_range(window: Floats) -> Floats:
    return np.asarray(window[:, -1] - window.min(axis=1))


def milliseconds(call: Callable[[], Any], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return 1000 * statistics.median(spent)


def differences(fitted: Fitted, model: Model, rows: Floats) -> dict[str, float]:
    members = np.abs(model.members(rows) - fitted.members(rows)).max(axis=0)
    stacked = np.abs(model.predict(rows) - fitted.predict(rows)).max()
    alone = np.array([model.predict(row[None])[0] for row in rows[:500]])
    row_to_batch = np.abs(alone - model.predict(rows[:500])).max()
    return {
        **dict(zip(MEMBERS, members.tolist(), strict=True)),
        "stacked": float(stacked),
        "row_to_batch": float(row_to_batch),
    }


def times(fitted: Fitted, files: dict[str, bytes], model: Model, rows: Floats) -> dict[str, float]:
    return {
        "load_ms": milliseconds(lambda: load(files, None), 9),
        "row_ms": milliseconds(lambda: model.predict(rows[:1]), 300),
        "native_row_ms": milliseconds(lambda: fitted.predict(rows[:1]), 15),
        "batch_ms": milliseconds(lambda: model.predict(rows), 3),
        "native_batch_ms": milliseconds(lambda: fitted.predict(rows), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=Path, default=BARS)
    parser.add_argument("--rows", type=int, default=10000, help="rows to compare over")
    parser.add_argument("--train", type=int, default=4320, help="rows to train on")
    given = parser.parse_args()
    if not given.bars.exists():
        raise SystemExit(f"no bars at {given.bars}: give a parquet file of hourly bars with --bars")
    bars = read(given.bars)
    training = Training()
    y, ends = direction(bars, training.horizon, training.cost)
    rows, known = features(bars), slice(HISTORY, HISTORY + given.train)
    start = time.process_time()
    names = [f"f{i}" for i in range(rows.shape[1])]
    fitted = fit(rows[known], y[known], ends[known] - HISTORY, names, training)
    trained = time.process_time() - start
    files = export(fitted, META)
    model = load(files, None)
    result = {
        "rows": len(rows[-given.rows :]),
        "rows_with_nan": int(np.isnan(rows[-given.rows :]).any(axis=1).sum()),
        "train_rows": fitted.rows,
        "train_cpu_s": round(trained, 2),
        "artefact_kb": round(sum(map(len, files.values())) / 1024, 1),
        "difference": differences(fitted, model, rows[-given.rows :]),
        **{name: round(value, 3) for name, value in times(fitted, files, model, rows[-given.rows :]).items()},
    }
    for name, value in result.items():
        print(f"{name:16} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
