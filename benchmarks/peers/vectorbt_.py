"""EMA 20/50 cross with vectorbt: always in the market, at the next open, 0.1 % a side."""

from __future__ import annotations

import json
import sys
import time

import pandas as pd
import vectorbt as vbt

frame = pd.read_parquet(sys.argv[1]).set_index("timestamp")
start = time.process_time()
close = frame["close"]
up = close.ewm(span=20, adjust=False).mean() > close.ewm(span=50, adjust=False).mean()
cross = up.astype(int).diff().shift(1)
folio = vbt.Portfolio.from_signals(
    close, entries=cross > 0, short_entries=cross < 0, price=frame["open"], fees=0.001, size=1.0, init_cash=1e8,
    upon_opposite_entry="reverse", freq="1h",
)  # fmt: skip
folio.total_return()
print(json.dumps({"trades": int(folio.trades.count()), "engine_s": round(time.process_time() - start, 3)}))
