"""EMA 20/50 cross with backtrader: always in the market, at the next open, 0.1 % a side."""

from __future__ import annotations

import json
import sys
import time

import backtrader as bt
import pandas as pd


class Cross(bt.Strategy):
    def __init__(self) -> None:
        self.cross = bt.ind.CrossOver(bt.ind.EMA(period=20), bt.ind.EMA(period=50))
        self.trades = 0

    def next(self) -> None:
        if self.cross[0]:
            self.close()
            (self.buy if self.cross[0] > 0 else self.sell)(size=1)

    def notify_trade(self, trade: object) -> None:
        self.trades += bool(trade.isclosed)  # type: ignore[attr-defined]


frame = pd.read_parquet(sys.argv[1]).set_index("timestamp").tz_localize(None)
start = time.process_time()
cerebro = bt.Cerebro(stdstats=False)
cerebro.adddata(bt.feeds.PandasData(dataname=frame, openinterest=None))
cerebro.addstrategy(Cross)
cerebro.broker.setcash(1e8)
cerebro.broker.setcommission(0.001)
run = cerebro.run()[0]
print(json.dumps({"trades": run.trades, "engine_s": round(time.process_time() - start, 3)}))
