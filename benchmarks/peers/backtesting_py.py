"""EMA 20/50 cross with backtesting.py: always in the market, at the next open, 0.1 % a side."""

from __future__ import annotations

import json
import sys
import time

import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover


def ema(values: object, span: int) -> object:
    return pd.Series(values).ewm(span=span, adjust=False).mean()


class Cross(Strategy):
    def init(self) -> None:
        self.fast, self.slow = self.I(ema, self.data.Close, 20), self.I(ema, self.data.Close, 50)

    def next(self) -> None:
        if crossover(self.fast, self.slow):
            self.position.close()
            self.buy(size=0.2)
        elif crossover(self.slow, self.fast):
            self.position.close()
            self.sell(size=0.2)


frame = pd.read_parquet(sys.argv[1]).set_index("timestamp").rename(columns=str.title)
start = time.process_time()
stats = Backtest(frame, Cross, cash=1e8, commission=0.001, finalize_trades=True).run()
print(json.dumps({"trades": int(stats["# Trades"]), "engine_s": round(time.process_time() - start, 3)}))
