"""Monte Carlo of trade order: what the same trades could have looked like in another order, or drawn anew."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from core.domain.bars import Floats, epoch
from core.domain.evidence.track import Track, bars_of, levels

LOSSES: Final = (0.1, 0.2, 0.3, 0.5)
ROWS: Final = 1_000_000  # numbers laid out at a time, to bound the memory
QUANTILES: Final = (0.05, 0.5, 0.95, 0.99)


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """How likely the equity is to fall by `loss` of its start at some time, over as many trades again."""

    loss: float
    probability: float


class TradeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`drawdown_*`: between closes of trades, over the trades in random order (the end is the same in each), by
    quantile; `own_drawdown`: in their own order. `losses`, `ruin` (a loss of half) and `losing` (ending below the
    start): trades drawn anew with replacement, as many as there were."""

    runs: int
    own_drawdown: float
    drawdown_05: float
    drawdown_50: float
    drawdown_95: float
    drawdown_99: float
    losses: list[Chance]
    ruin: float
    losing: float


def shares(track: Track) -> Floats:
    """What each trade made, over the equity at the close before it opened; at worst all of it."""
    if not track.trades:
        return np.zeros(0)
    rows = np.maximum(np.array(bars_of(track, [epoch(trade.opened) for trade in track.trades])) - 1, 0)
    equity = levels(track.equity)[rows]
    made = np.array([float(trade.pnl) for trade in track.trades])
    share: Floats = np.maximum(np.where(equity > 0.0, made / np.where(equity > 0.0, equity, 1.0), 0.0), -1.0)
    return share


def trade_order(track: Track, rng: np.random.Generator, runs: int = 1000) -> TradeOrder | None:
    """None with less than two trades."""
    made = shares(track)
    if len(made) < 2 or runs < 1:
        return None
    falls, lows, ends = np.empty(runs), np.empty(runs), np.empty(runs)
    step = max(1, ROWS // len(made))
    for first in range(0, runs, step):
        some = slice(first, min(first + step, runs))
        count = some.stop - first
        falls[some] = falls_of(rng.permuted(np.tile(made, (count, 1)), axis=1))
        level = np.cumprod(1.0 + made[rng.integers(len(made), size=(count, len(made)))], axis=1)
        lows[some], ends[some] = level.min(axis=1), level[:, -1]
    low, middle, high, worst = np.quantile(falls, QUANTILES).tolist()
    return TradeOrder(
        runs=runs,
        own_drawdown=float(falls_of(made[None, :])[0]),
        drawdown_05=low,
        drawdown_50=middle,
        drawdown_95=high,
        drawdown_99=worst,
        losses=[Chance(loss=loss, probability=float((lows <= 1.0 - loss).mean())) for loss in LOSSES],
        ruin=float((lows <= 0.5).mean()),
        losing=float((ends < 1.0).mean()),
    )


def falls_of(made: Floats) -> Floats:
    """(runs,): the largest drawdown of each row of shares."""
    level = np.cumprod(1.0 + made, axis=1)
    high = np.maximum(np.maximum.accumulate(level, axis=1), 1.0)
    fall: Floats = np.max(1.0 - level / high, axis=1)
    return np.maximum(fall, 0.0)
