"""EMA 20/50 cross with nautilus_trader: always in the market, market orders, the venue's own fee."""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.examples.strategies.ema_cross import EMACross, EMACrossConfig
from nautilus_trader.model import BarType, Money, TraderId, Venue
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider

frame = pd.read_parquet(sys.argv[1]).set_index("timestamp")
start = time.process_time()
symbol = TestInstrumentProvider.btcusdt_perp_binance()
kind = BarType.from_str(f"{symbol.id}-1-HOUR-LAST-EXTERNAL")
engine = BacktestEngine(BacktestEngineConfig(trader_id=TraderId("T-1"), logging=LoggingConfig(bypass_logging=True)))
engine.add_venue(Venue("BINANCE"), OmsType.NETTING, AccountType.MARGIN, starting_balances=[Money(100_000_000, USDT)])
engine.add_instrument(symbol)
engine.add_data(BarDataWrangler(kind, symbol).process(frame))
engine.add_strategy(EMACross(EMACrossConfig(symbol.id, kind, Decimal(1), fast_ema_period=20, slow_ema_period=50)))
engine.run()
trades = len(engine.trader.generate_order_fills_report())
print(json.dumps({"trades": trades, "engine_s": round(time.process_time() - start, 3)}))
