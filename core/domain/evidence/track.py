"""Track: what a run made, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from core.domain.backtest import Result
from core.domain.bars import YEAR, Bars, Floats, Times, epoch, seconds
from core.domain.orders import Fill
from core.domain.state import Trade


@dataclass(frozen=True, slots=True)
class Paid:
    """What a run paid, in quote currency. `slippage`: what fills lost against the open, or against their stop."""

    fees: float = 0.0
    interest: float = 0.0
    slippage: float = 0.0

    @property
    def total(self) -> float:
        return self.fees + self.interest + self.slippage


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One value for each bar, at its close: `time` (epoch seconds), `price`, `equity` and `position` (base coin,
    signed). `trades`: the closed ones, in order. `bars_per_year`: what makes a Sharpe ratio a year's. `paid`: None
    when only the trades tell what was paid."""

    time: Times
    price: Floats
    equity: Floats
    position: Floats
    trades: tuple[Trade, ...]
    bars_per_year: float
    paid: Paid | None = None

    @property
    def returns(self) -> Floats:
        """(n - 1,): the equity's change from each bar to the next, as a fraction. An equity that is not known is the
        one before it; once nothing is left, nothing changes any more."""
        return changes(self.equity)

    @property
    def market(self) -> Floats:
        """(n - 1,): the price's change, likewise."""
        return changes(self.price)

    @property
    def exposure(self) -> Floats:
        """(n - 1,): what was held during the bar that made `returns`, as a signed share of the equity before it.

        What is held at a close was bought at the open of the same bar. A stop takes a position away within a bar: it
        was held in that bar all the same.
        """
        if len(self.equity) < 2:
            return np.zeros(0)
        held = carried(self.position)
        stops = [trade for trade in self.trades if trade.cause == "stop"]
        for row, trade in zip(bars_of(self, [epoch(trade.closed) for trade in stops]), stops, strict=True):
            held[row] = float(trade.amount) * (1.0 if trade.side in LONG else -1.0)
        equity, price = levels(self.equity)[:-1], carried(self.price)[:-1]
        share: Floats = np.where(equity > 0.0, held[1:] * price / np.where(equity > 0.0, equity, 1.0), 0.0)
        return share


LONG = ("long", "buy")


def bars_of(track: Track, times: Sequence[int]) -> list[int]:
    """For each time (epoch seconds), the row of the bar in which it lies, a bar's open being within it."""
    rows = np.searchsorted(track.time, np.asarray(times, np.int64), "right")
    return np.minimum(rows, len(track.time) - 1).tolist() if len(track.time) else []


def carried(values: Floats) -> Floats:
    """A copy in which what is not finite is the last that was, and 0 before the first."""
    values = np.array(values, np.float64)
    known = np.isfinite(values)
    if known.all():
        return values
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], 0.0)


def levels(values: Floats) -> Floats:
    """Prices or equities: what is not known carried on, the first known one also before it, and 0 for good once it was
    0 or less."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.zeros(len(values))
    filled = carried(values)
    filled[: known[0]] = values[known[0]]
    return np.where(np.minimum.accumulate(filled) > 0.0, filled, 0.0)


def changes(values: Floats) -> Floats:
    """(n - 1,): from each level to the next, as fractions; -1 when it falls to 0, and 0 from there on."""
    level = levels(values)
    before = np.where(level[:-1] > 0.0, level[:-1], 1.0)
    made: Floats = np.where(level[:-1] > 0.0, level[1:] / before - 1.0, 0.0)
    return made


def track(result: Result, bars: Bars, timeframe: str) -> Track:
    """Of a backtest over (some of) these bars. Raises KeyError when a bar of the result is not among them."""
    opened = result.time
    rows = np.searchsorted(bars.time, opened)
    if len(rows) and (rows[-1] >= len(bars) or (bars.time[rows] != opened).any()):
        raise KeyError("the result has bars that are not among the given ones")
    step = seconds(timeframe)
    return Track(
        time=opened + step,
        price=bars.close[rows],
        equity=result.worth,
        position=result.held,
        trades=tuple(result.trades),
        bars_per_year=YEAR / step,
        paid=paid(result.fills, bars),
    )


def paid(fills: Sequence[Fill], bars: Bars) -> Paid:
    fees = sum((fill.fee for fill in fills), Decimal(0))
    interest = sum((fill.interest for fill in fills), Decimal(0))
    return Paid(float(fees), float(interest), _slipped(fills, bars))


def _slipped(fills: Sequence[Fill], bars: Bars) -> float:
    """Against the open of the bar; of a stop, against the stop, or the open when that was beyond it."""
    lost, stop = 0.0, None
    for fill in fills:
        row = int(np.searchsorted(bars.time, epoch(fill.bar)))
        expected = float(bars.open[row]) if row < len(bars) else float(fill.price)
        sign = 1.0 if fill.side == "buy" else -1.0
        if fill.cause == "stop" and stop is not None:
            expected = sign * max(sign * expected, sign * float(stop))
        stop = fill.stop if fill.stop is not None else stop
        lost += float(fill.amount) * sign * (float(fill.price) - expected)
    return lost
