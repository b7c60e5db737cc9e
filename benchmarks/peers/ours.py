"""EMA 20/50 cross as Hourhand trades it: gates, limits, breakers and journal, over a stop so far off that it rarely has
a say, with a size that the limits leave. What `hourhand backtest --signal ema_cross_20_50` does, without settings."""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from core.adapters.files_market import load
from core.domain.daily import none
from core.domain.risk import Policy
from core.domain.state import Book
from core.flows.backtest import by_signal, ground, trade

POLICIES = {
    "as set": Policy(),  # every default
    "as peers": Policy(
        short=True, hold_bars=0, hold_most_bars=0, edge=0.0, stop_atr=10.0, drawdown=0.5, cooldown_hours=0.0,
        regime_crisis=0.5, risk_per_trade=Decimal("0.005"),
    ),
}  # fmt: skip
start = time.process_time()
cleaned = load(sys.argv[1], None)
began = time.process_time()
book = Book(id="bench", symbol="BTC/USDT", timeframe=cleaned.timeframe, policy=POLICIES[sys.argv[2]])
market = ground(book, cleaned.bars, none())
result = trade(market, by_signal(market, "ema_cross_20_50"), 168.0)
figures = {"trades": len(result.trades), "bars": len(result.bars), "equity": float(result.worth[-1])}
print(json.dumps(figures | {"engine_s": round(time.process_time() - began, 3), "load_s": round(began - start, 3)}))
