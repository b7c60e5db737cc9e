"""How long vix53 takes over 44,000 real hourly bars, against TA-Lib for the same indicators in the same run.

TA-Lib's side is its calls alone, one for each of its functions that the set needs: nothing of what makes features of
them (ratios to the price, lags, gaps), and neither RCI, calendar nor VIX, all of which are in ours. Both sides keep
what they made until the round ends. CPU time; rounds alternate, since a machine is never quiet, and the best counts.

    python benchmarks/bench_features.py
"""

from __future__ import annotations

import json
import operator
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
from core.domain.bars import Bars  # noqa: E402

DATA: Final = ROOT / "../shared/data"
SERIES: Final = DATA / "bars/btcusdt_binance_spot_1h.parquet"
VIX: Final = DATA / "macro/vix_daily.parquet"
ROWS: Final = 44_000
ROUNDS: Final = 25


def columns(path: Path, *names: str) -> list[Any]:
    """Open times as epoch seconds, then the named columns."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    times = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return [times, *(table[name].to_numpy().astype(np.float64) for name in names)]


def real_bars() -> Bars:
    """The newest ROWS bars. Set on an unbroken grid, so that every row is computed and kept."""
    bars = Bars(*columns(SERIES, "open", "high", "low", "close", "volume"))[-ROWS:]
    return Bars(bars.time[-1] - 3600 * np.arange(ROWS, dtype=np.int64)[::-1], *bars.columns()[1:])


def library_calls(bars: Bars) -> list[Callable[[], object]]:
    """What TA-Lib would be asked for, to make vix53 with it."""
    import talib

    o, h, low, c, v = bars.columns()[1:]
    returns = np.nan_to_num(talib.ROCP(c, 1))
    return [
        *((lambda n=n: talib.ROCP(c, n)) for n in (1, 6, 12, 24, 72)),
        *((lambda n=n: talib.EMA(c, n)) for n in (12, 20, 50)),
        *((lambda n=n: talib.SMA(c, n)) for n in (50, 168)),
        *((lambda n=n: talib.STDDEV(returns, n)) for n in (20, 24, 168)),
        *((lambda f=f: f(h, low, c, 14)) for f in (talib.ATR, talib.ADX, talib.PLUS_DI, talib.MINUS_DI)),
        lambda: talib.SMA(v, 20),
        lambda: talib.STDDEV(v, 20),
        lambda: talib.BOP(o, h, low, c),
        lambda: talib.RSI(c, 14),
        lambda: talib.MACD(c, 12, 26, 9),
        lambda: talib.STOCHF(h, low, c, 14, 3),
        lambda: talib.STOCHF(h, low, c, 168, 1),
        lambda: talib.WILLR(h, low, c, 28),
        lambda: talib.TRANGE(h, low, c),
        lambda: talib.MFI(h, low, c, v, 14),
        lambda: talib.CCI(h, low, c, 20),
        lambda: talib.OBV(c, v),
        lambda: talib.BBANDS(c, 20, 2.0, 2.0),
    ]


def milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    kept = work()
    spent = time.process_time() - start
    del kept
    return spent * 1e3


def batch(bars: Bars, vix: daily.Daily) -> tuple[list[float], list[float]]:
    """Milliseconds of each round: ours, TA-Lib's."""
    calls, ours, theirs = library_calls(bars), [], []
    for _ in range(ROUNDS):
        theirs.append(milliseconds(lambda: [call() for call in calls]))
        ours.append(milliseconds(lambda: features.compute(features.SETS["vix53"], bars, "1h", vix)))
    return ours, theirs


def row(chosen: features.FeatureSet, bars: Bars, vix: daily.Daily) -> list[float]:
    """As in a tick: the newest bars and the last 60 values of the VIX."""
    few = daily.Daily(vix.published[-60:], vix.value[-60:])
    return [milliseconds(lambda: features.last_row(chosen, bars, "1h", few)) for _ in range(300)]


def main() -> int:
    if not (SERIES.exists() and VIX.exists()):
        print(f"bench_features: skipped, there are no real bars at {SERIES}")
        return 0
    bars, vix = real_bars(), daily.from_closes(*columns(VIX, "close"))
    ours, theirs = batch(bars, vix)
    ratio = min(ours) / min(theirs)
    print(f"vix53 over {ROWS} bars: {min(ours):.1f} ms (median {statistics.median(ours):.1f})")
    print(f"TA-Lib, the same indicators: {min(theirs):.1f} ms (median {statistics.median(theirs):.1f})")
    print(f"ratio {ratio:.2f} (median of rounds {statistics.median(map(operator.truediv, ours, theirs)):.2f})")
    best = {}
    for chosen in (*features.SETS.values(), features.CONTEXT):
        taken = row(chosen, bars, vix)
        best[chosen.name] = min(taken)
        print(f"one row of {chosen.name}: {min(taken):.2f} ms (median {statistics.median(taken):.2f})")
    print(json.dumps({"features_ratio": round(ratio, 3), "row_ms": round(best["vix53"], 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
