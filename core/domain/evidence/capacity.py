"""Capacity: with how much capital the orders become too large for the market.

Orders grow in proportion to the capital. Their impact is taken as the square-root law: an order of Q in a bar of volume
V moves the price against itself by the bar's volatility times √(Q / V). Almgren, Thum, Hauptmann & Li ("Direct
estimation of equity market impact", Risk, 2005) found a power of 3/5 and a coefficient well below 1 for shares; the
root with 1 is the cautious reading that is usual since.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from core.domain.bars import Floats, epoch
from core.domain.evidence.track import Track, bars_of, levels

MEMORY = 168  # bars over which the volatility of an order's bar is taken


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Capitals in quote currency; None when no order, or no profit, defines one.

    `first`, `tenth`, `half`: at which the first, a tenth and half of the orders exceed `share` of their bar's volume.
    `edge_halved`, `edge_eaten`: at which impact takes half of the run's profit, and all. `impact_bps`: of an order on
    the mean, at the run's own capital. `dead`: orders in bars without volume, which are left out of all else.
    """

    share: float
    orders: int
    dead: int
    own_capital: float
    first: float | None
    tenth: float | None
    half: float | None
    impact_bps: float | None
    edge_halved: float | None
    edge_eaten: float | None


def capacity(track: Track, volume: Floats, share: float = 0.01) -> Capacity:
    """`volume`: base coin, of each bar of the track. Raises ValueError when it is of another length."""
    if len(volume) != len(track.time):
        raise ValueError(f"{len(volume)} volumes for {len(track.time)} bars: give one for each bar")
    if not track.trades or not len(volume):
        return _nothing(track, share, 0, 0)
    rows = np.array([*_rows(track, "opened"), *_rows(track, "closed")])
    amount = np.array([float(trade.amount) for trade in track.trades] * 2)
    traded = np.where(np.isfinite(volume), np.maximum(volume, 0.0), 0.0)[rows]
    equity, price = levels(track.equity)[np.maximum(rows - 1, 0)], levels(track.price)[rows]
    sound = (traded > 0.0) & (equity > 0.0) & (amount > 0.0)
    if not sound.any():
        return _nothing(track, share, len(rows), int((traded <= 0.0).sum()))
    part = amount[sound] / traded[sound]
    limits = np.quantile(equity[sound] * share / part, [0.0, 0.1, 0.5]).tolist()
    moved = _volatility(track)[rows][sound] * np.sqrt(part)
    eaten = _eaten(track, float((moved * amount[sound] * price[sound]).sum()))
    return Capacity(
        share=share,
        orders=len(rows),
        dead=int((traded <= 0.0).sum()),
        own_capital=float(levels(track.equity)[0]),
        first=limits[0],
        tenth=limits[1],
        half=limits[2],
        impact_bps=float(moved.mean()) * 1e4,
        edge_halved=None if eaten is None else eaten / 4.0,
        edge_eaten=eaten,
    )


def _rows(track: Track, which: str) -> list[int]:
    return bars_of(track, [epoch(getattr(trade, which)) for trade in track.trades])


def _nothing(track: Track, share: float, orders: int, dead: int) -> Capacity:
    own = float(levels(track.equity)[0]) if len(track.equity) else 0.0
    names = ("first", "tenth", "half", "impact_bps", "edge_halved", "edge_eaten")
    return Capacity(share=share, orders=orders, dead=dead, own_capital=own, **dict.fromkeys(names))


def _eaten(track: Track, impact: float) -> float | None:
    """The profit grows with the capital, the impact with its power 3/2: they meet at (profit / impact)²."""
    equity = levels(track.equity)
    profit = float(equity[-1] - equity[0])
    if profit <= 0.0 or impact <= 0.0 or not math.isfinite(profit / impact):
        return None
    return float(equity[0]) * (profit / impact) ** 2


def _volatility(track: Track) -> Floats:
    """(n,): of a bar, over the last MEMORY bars."""
    squares = np.concatenate([[0.0, 0.0], np.cumsum(track.market**2)])
    index = np.arange(1, len(squares))
    before = np.maximum(index - MEMORY, 0)
    spread: Floats = np.sqrt(np.maximum(squares[index] - squares[before], 0.0) / (index - before))
    return spread
