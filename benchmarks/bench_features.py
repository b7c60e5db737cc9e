"""How long vix53 takes over 44,000 real hourly bars, against TA-Lib for the same indicators in the same run.

TA-Lib's side is measured twice: `features_ratio` is against the same columns made with it, as far as it goes (its calls
and the arithmetic that makes features of them: ratios to the price, lags, gaps; not RCI, calendar and VIX, which are in
ours, nor one table of them all, which ours is); `calls_ratio` is against its bare calls. CPU time; the sides take
turns, since a machine is never quiet for long, and the best round of each counts.

    python benchmarks/bench_features.py
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.domain import daily, features  # noqa: E402
from core.domain.bars import Bars, Floats  # noqa: E402

DATA: Final = ROOT / "../shared/data"
SERIES: Final = DATA / "bars/btcusdt_binance_spot_1h.parquet"
VIX: Final = DATA / "macro/vix_daily.parquet"
ROWS: Final = 44_000
ROUNDS: Final = 25


def read(path: Path, *names: str) -> list[Any]:
    """Open times as epoch seconds, then the named columns."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    times = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return [times, *(table[name].to_numpy().astype(np.float64) for name in names)]


def real_bars() -> Bars:
    """The newest ROWS bars. Set on an unbroken grid, so that every row is computed and kept."""
    bars = Bars(*read(SERIES, "open", "high", "low", "close", "volume"))[-ROWS:]
    return Bars(bars.time[-1] - 3600 * np.arange(ROWS, dtype=np.int64)[::-1], *bars.columns()[1:])


def library_calls(bars: Bars) -> dict[str, Any]:
    """What TA-Lib is asked for, to make vix53 with it."""
    import talib

    o, h, low, c, v = bars.columns()[1:]
    made: dict[str, Any] = {f"rate_{n}": talib.ROCP(c, n) for n in (1, 6, 12, 24, 72)}
    made |= {f"ema_{n}": talib.EMA(c, n) for n in (12, 20, 50)}
    returns = np.nan_to_num(made["rate_1"])
    made |= {f"deviation_{n}": talib.STDDEV(returns, n) for n in (20, 24, 168)}
    made |= {f.__name__: f(h, low, c, 14) for f in (talib.ATR, talib.ADX, talib.PLUS_DI, talib.MINUS_DI)}
    made["volume"], made["volume_deviation"] = talib.SMA(v, 20), talib.STDDEV(v, 20)
    made["body"], made["range"], made["rsi"] = talib.BOP(o, h, low, c), talib.TRANGE(h, low, c), talib.RSI(c, 14)
    made["macd"], made["bands"] = talib.MACD(c, 12, 26, 9), talib.BBANDS(c, 20, 2.0, 2.0)
    made["stochastic"], made["week"] = talib.STOCHF(h, low, c, 14, 3), talib.STOCHF(h, low, c, 168, 1)
    made["williams"], made["mfi"] = talib.WILLR(h, low, c, 28), talib.MFI(h, low, c, v, 14)
    made["cci"], made["obv"], made["sma_168"] = talib.CCI(h, low, c, 20), talib.OBV(c, v), talib.SMA(c, 168)
    return made


def behind(x: Floats, n: int) -> Floats:
    return np.concatenate([np.full(n, np.nan), x[:-n]])


def library_columns(bars: Bars) -> list[Any]:
    """The columns of vix53 that can be made with TA-Lib: 43 of 53."""
    o, h, low, c, v = bars.columns()[1:]
    made = library_calls(bars)
    upper, middle, lower = made["bands"]
    span, top, bottom = h - low, np.maximum(o, c), np.minimum(o, c)
    with np.errstate(divide="ignore", invalid="ignore"):
        return [
            made,
            *(behind(made["rate_1"], n) for n in (1, 2, 3)),
            *(c / mean - 1.0 for mean in (made["ema_12"], made["ema_20"], made["ema_50"], middle, made["sma_168"])),
            *(part / c for part in (*made["macd"], made["ATR"], span)),
            *(part / span for part in (h - top, bottom - low)),
            made["ema_20"] / made["ema_50"] - 1.0,
            v / made["volume"],
            (v - made["volume"]) / made["volume_deviation"],
            made["rsi"] - behind(made["rsi"], 3),
            made["range"] / made["ATR"],
            (made["obv"] - behind(made["obv"], 20)) / (made["volume"] * 20.0),
            (upper - lower) / middle,
            (c - lower) / (upper - lower),
            made["rate_1"] / made["deviation_20"],
            made["deviation_24"] / made["deviation_168"],
        ]


def milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    kept = work()
    spent = time.process_time() - start
    del kept
    return spent * 1e3


def batch(bars: Bars, vix: daily.Daily) -> dict[str, list[float]]:
    """Milliseconds of each round, by side."""
    sides: dict[str, Callable[[], object]] = {
        "vix53": lambda: features.compute(features.SETS["vix53"], bars, "1h", vix),
        "TA-Lib, the same columns": lambda: library_columns(bars),
        "TA-Lib, its calls alone": lambda: library_calls(bars),
    }
    spent: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, work in sides.items():
            spent[side].append(milliseconds(work))
    return spent


def row(chosen: features.FeatureSet, bars: Bars, vix: daily.Daily) -> list[float]:
    """As in a tick: the newest bars and the last 60 values of the VIX."""
    few = daily.Daily(vix.published[-60:], vix.value[-60:])
    return [milliseconds(lambda: features.last_row(chosen, bars, "1h", few)) for _ in range(300)]


def main() -> int:
    if not (SERIES.exists() and VIX.exists()):
        print(f"bench_features: skipped, there are no real bars at {SERIES}")
        return 0
    bars, vix = real_bars(), daily.from_closes(*read(VIX, "close"))
    spent = batch(bars, vix)
    for side, taken in spent.items():
        print(f"{side}, {ROWS} bars: {min(taken):.1f} ms (median {statistics.median(taken):.1f})")
    ours, same, calls = (min(taken) for taken in spent.values())
    best = {}
    for chosen in (*features.SETS.values(), features.CONTEXT):
        taken = row(chosen, bars, vix)
        best[chosen.name] = min(taken)
        print(f"one row of {chosen.name}: {min(taken):.2f} ms (median {statistics.median(taken):.2f})")
    figures = {"features_ratio": ours / same, "calls_ratio": ours / calls, "row_ms": best["vix53"]}
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
