"""A small ensemble trained on real bars, shared by the tests of forecast and ensemble."""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from core.domain.bars import Bars, Floats
from core.domain.ensemble import Artefact, Fitted, Training, export, fit
from core.domain.forecast import Meta
from core.domain.labels import direction

BARS = Path(__file__).parents[2] / "../shared/data/bars/btcusdt_binance_perp_1h.parquet"
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
META = Meta(
    symbol="BTC/USDT",
    timeframe="1h",
    created=MOMENT,
    feature_set="quick",
    feature_digest="ab12",
    data_from=MOMENT,
    data_until=MOMENT,
    data_digest="cd34",
    metrics={"auc": 0.54, "brier": None},
)
SMALL = Training(folds=1, trees=60, depth=6, leaves=24, leaf_rows=20, forest_trees=60, forest_leaf_rows=10, l2=1.0)


def real_bars() -> Bars:
    from pyarrow import parquet

    if not BARS.exists():
        pytest.skip(f"no real bars at {BARS}: this test compares over them")
    table = parquet.read_table(BARS)
    time = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return Bars(time, *(table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")))


def features(bars: Bars) -> tuple[tuple[str, ...], Floats]:
    """(names, rows): lagged returns, rolling statistics, hour; and two columns with NaN that stand for the VIX."""
    returns = np.concatenate([[0.0], np.diff(np.log(bars.close))])
    columns = {f"return_{lag}": np.roll(returns, lag) for lag in range(6)}
    for size in (6, 24, 72):
        window = np.lib.stride_tricks.sliding_window_view(bars.close, size)
        mean, deviation = (np.concatenate([np.full(size - 1, np.nan), x]) for x in (window.mean(1), window.std(1)))
        columns |= {f"gap_{size}": bars.close / mean - 1, f"z_{size}": (bars.close - mean) / deviation}
    columns["hour"] = bars.time // 3600 % 24.0
    columns["way"] = np.sign(np.trunc(150 * (bars.close / bars.open - 1)))  # -1, 0, 1: splits right beside zero
    random = np.random.default_rng(5)
    vix = np.repeat(random.normal(20, 5, len(bars) // 24 + 1), 24)[: len(bars)]
    vix[random.random(len(bars)) < 0.1] = np.nan
    columns |= {"vix": vix, "vix_fear": np.where(np.isnan(vix), np.nan, np.minimum(vix > 22, 1.0))}
    return tuple(columns), np.column_stack(list(columns.values()))[100:]


@lru_cache(maxsize=1)
def trained() -> tuple[Fitted, Artefact, Floats, Floats]:
    """(fitted, artefact, all real rows, their labels)."""
    bars = real_bars()
    names, rows = features(bars)
    y, ends = direction(bars, 6, 0.001)
    fitted = fit(rows[:5000], y[100:5100], ends[100:5100] - 100, names, SMALL)
    return fitted, export(fitted, META), rows, y[100:]
