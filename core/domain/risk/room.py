"""Room: how much one book may still take on beside the other books of the account. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from core.domain.bars import Bars
from core.domain.risk.account import Limits

ZERO: Final = Decimal(0)
COMMON_BARS: Final = 48  # two days of hours; fewer tell nothing


class Exposure(Struct, frozen=True, kw_only=True):
    """What another book holds, or has ordered: `notional` signed, in quote currency; `correlation` of its symbol to
    that of the book that asks, NaN: unknown."""

    symbol: str
    notional: Decimal
    correlation: float = math.nan


class Room(Struct, frozen=True, kw_only=True):
    """The most that a position may be worth, in quote currency, and how many more books may hold one. None: no limit.

    `reason`: which limit speaks ("positions", "exposure", "correlated_exposure", "no_equity"), "": none. 0 positions
    left is a `quote` of 0 as well.
    """

    quote: Decimal | None = None
    positions_left: int | None = None
    reason: str = ""


def room(others: Sequence[Exposure], side: Literal["buy", "sell"], equity: Decimal, limits: Limits) -> Room:
    """Room for a position of `side`; `equity`: of the account; `others`: every book but the one that asks.

    Of correlated books only those count that would lose together with this one: the rest is no hedge that makes room,
    since correlations rise just when it matters (Longin and Solnik, Extreme correlation of international equity
    markets, 2001). What others hold is counted whole, long or short, in `exposure`.
    """
    held = [other for other in others if other.notional != 0]
    left = max(limits.positions - len(held), 0) if limits.positions else None
    if left == 0:
        return Room(quote=ZERO, positions_left=0, reason="positions")
    quotes = {}
    if limits.exposure:
        quotes["exposure"] = _left(limits.exposure, equity, held)
    if limits.correlated_exposure:
        beside = [other for other in held if _adds_up(other, side, limits.correlation)]
        quotes["correlated_exposure"] = _left(limits.correlated_exposure, equity, beside)
    if quotes and not (equity.is_finite() and equity > 0):
        return Room(quote=ZERO, positions_left=left, reason="no_equity")
    if not quotes:
        return Room(positions_left=left)
    reason = min(quotes, key=lambda name: quotes[name])
    return Room(quote=quotes[reason], positions_left=left, reason=reason)


def _left(limit: float, equity: Decimal, held: Sequence[Exposure]) -> Decimal:
    """What `limit` leaves beside `held`; 0 when something of it is not known."""
    if not equity.is_finite() or not all(other.notional.is_finite() for other in held):
        return ZERO
    return max(ZERO, Decimal(repr(float(limit))) * equity - sum((abs(other.notional) for other in held), ZERO))


def _adds_up(other: Exposure, side: str, least: float) -> bool:
    """Whether `other` loses when a position of `side` does; it is taken to where that is unknown."""
    if not math.isfinite(other.correlation) or not other.notional.is_finite():
        return True
    same = (other.notional > 0) == (other.correlation >= 0)  # as a long position in this book's symbol
    return abs(other.correlation) >= least and same == (side == "buy")


def correlation(one: Bars, other: Bars) -> float:
    """Pearson's correlation of the log returns between the bars that both have. 1 where it is unknown: fewer than
    COMMON_BARS of them, or a price that never moves (Markowitz, Portfolio selection, 1952)."""
    _, first, second = np.intersect1d(one.time, other.time, return_indices=True)
    closes = np.stack([one.close[first], other.close[second]])
    closes = closes[:, np.all((closes > 0) & (closes < np.inf), axis=0)]
    if closes.shape[1] < COMMON_BARS:
        return 1.0
    moves = np.diff(np.log(closes), axis=1)
    if np.any(np.ptp(moves, axis=1) < 1e-12):
        return 1.0
    value = float(np.corrcoef(moves)[0, 1])
    return min(max(value, -1.0), 1.0) if math.isfinite(value) else 1.0
