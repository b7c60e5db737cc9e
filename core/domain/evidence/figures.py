"""The standard figures of a run, named as Freqtrade, LEAN and empyrical name them; by year, month and regime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.domain.bars import YEAR, Floats, Times, epoch
from core.domain.evidence.resample import drawdown
from core.domain.evidence.sharpe import moments
from core.domain.evidence.track import Paid, Track, bars_of, carried, levels
from core.domain.state import Trade


@dataclass(frozen=True, slots=True)
class Charges:
    """What trading costs: `fee` and `slippage` as fractions of what is bought or sold, `interest` of what is held, a
    day."""

    fee: float = 0.0
    slippage: float = 0.0
    interest: float = 0.0

    @property
    def side(self) -> float:
        return self.fee + self.slippage


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of a whole run. Fractions, not per cent; None where nothing defines a figure (no trade, nothing varies).

    `annual_*`: of a year; ratios are over cash and a year's (all returns of bars, n - 1). `max_drawdown`: the
    largest fall from a high, as a positive fraction; `drawdown_bars`: the longest time below a high. `exposure`: share
    of bars with a position; `mean_exposure`: the mean position over equity, signed; `gross_exposure`: unsigned.
    `turnover`: bought and sold in a year, over the equity. `expectancy`: mean profit of a trade, `payoff_ratio`: the
    mean win over the mean loss. `costs`: fees, interest and slippage together (slippage 0 when not known);
    `cost_share`: of the profit that there would be without them; None when there would be none.
    """

    bars: int
    years: float
    total_return: float
    annual_return: float | None
    annual_volatility: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    max_drawdown: float
    drawdown_bars: int
    drawdown_days: float
    exposure: float
    mean_exposure: float
    gross_exposure: float
    turnover: float
    trades: int
    win_rate: float | None
    profit_factor: float | None
    expectancy: float | None
    payoff_ratio: float | None
    best_trade: float | None
    worst_trade: float | None
    mean_holding_hours: float | None
    profit: float
    fees: float
    interest: float
    slippage: float
    costs: float
    cost_share: float | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a run, or all bars of a regime; `trades`: those that closed in it, `profit`: what they made."""

    name: str
    bars: int
    total_return: float
    market_return: float
    sharpe_ratio: float | None
    max_drawdown: float
    exposure: float
    trades: int
    profit: float


def figures(track: Track, charges: Charges | None = None, cash: float = 0.0) -> Figures:
    """`cash`: what it earns in a year. `charges` tell the slippage when the track does not."""
    returns, exposure = track.returns, track.exposure
    sharpe, sortino, volatility = ratios(returns, cash, track.bars_per_year)
    total = float(np.prod(1.0 + returns)) - 1.0
    yearly = annual(total, len(returns) / track.bars_per_year)
    fall, under = drawdown(returns), longest_below(returns)
    cost = costs(track, charges or Charges())
    made = _profit(track)
    return Figures(
        bars=len(track.time),
        years=len(returns) / track.bars_per_year,
        total_return=total,
        annual_return=yearly,
        annual_volatility=volatility,
        sharpe_ratio=sharpe,
        sortino_ratio=sortino,
        calmar_ratio=yearly / fall if yearly is not None and fall > 0.0 else None,
        max_drawdown=fall,
        drawdown_bars=under,
        drawdown_days=under * YEAR / track.bars_per_year / 86400.0,
        exposure=_mean((exposure != 0.0).astype(np.float64)),
        mean_exposure=_mean(exposure),
        gross_exposure=_mean(np.abs(exposure)),
        turnover=_mean(traded(track)) * track.bars_per_year,
        trades=len(track.trades),
        **_of_trades(track.trades),
        profit=made,
        fees=cost.fees,
        interest=cost.interest,
        slippage=cost.slippage,
        costs=cost.total,
        cost_share=cost.total / (made + cost.total) if made + cost.total > 0.0 else None,
    )


def ratios(returns: Floats, cash: float, per_year: float) -> tuple[float | None, float | None, float | None]:
    """(Sharpe ratio, Sortino ratio, volatility), each a year's."""
    if len(returns) < 2:
        return None, None, None
    excess = returns - cash / per_year
    shape, root = moments(excess), math.sqrt(per_year)
    below = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    sharpe = None if shape.sharpe is None else shape.sharpe * root
    return sharpe, shape.mean / below * root if below > 0.0 else None, shape.deviation * root


def annual(total: float, years: float) -> float | None:
    """The yearly growth that makes `total` in so many years; None under a day, where it would say nothing."""
    if years < 1.0 / 366.0 or total <= -1.0:
        return None if years < 1.0 / 366.0 else -1.0
    return math.expm1(min(math.log1p(total) / years, 700.0))


def longest_below(returns: Floats) -> int:
    """The most bars from a high until it is reached again, or the end."""
    level = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    index = np.arange(len(level))
    high = np.maximum.accumulate(np.where(level >= np.maximum.accumulate(level), index, 0))
    return int((index - high).max())


def traded(track: Track) -> Floats:
    """(n - 1,): what was bought and sold in the bar, over the equity before it. What was opened and stopped within one
    bar counts on both sides."""
    if len(track.time) < 2:
        return np.zeros(0)
    equity, price = levels(track.equity), levels(track.price)
    moved = np.abs(np.diff(carried(track.position)))
    for opened, closed, amount in _flashes(track):
        if opened == closed and opened > 0:
            moved[opened - 1] += 2.0 * amount
    share: Floats = np.where(equity[:-1] > 0.0, moved * price[1:] / np.where(equity[:-1] > 0.0, equity[:-1], 1.0), 0.0)
    return share


def _flashes(track: Track) -> list[tuple[int, int, float]]:
    stops = [trade for trade in track.trades if trade.cause == "stop"]
    opened = bars_of(track, [epoch(trade.opened) for trade in stops])
    closed = bars_of(track, [epoch(trade.closed) for trade in stops])
    amounts = [float(trade.amount) for trade in stops]
    return list(zip(opened, closed, amounts, strict=True))


def costs(track: Track, charges: Charges) -> Paid:
    if track.paid is not None:
        return track.paid
    fees = sum(float(trade.fees) for trade in track.trades)  # interest is among them
    equity = levels(track.equity)[:-1]
    return Paid(fees=fees, slippage=charges.slippage * float((traded(track) * equity).sum()))


def _profit(track: Track) -> float:
    equity = levels(track.equity)
    return float(equity[-1] - equity[0]) if len(equity) else 0.0


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _of_trades(trades: Sequence[Trade]) -> dict[str, float | None]:
    if not trades:
        names = ("win_rate", "profit_factor", "expectancy", "payoff_ratio", "best_trade", "worst_trade")
        return {**dict.fromkeys(names), "mean_holding_hours": None}
    made = np.array([float(trade.pnl) for trade in trades])
    won, lost = made[made > 0.0], -made[made < 0.0]
    both = bool(len(won) and len(lost))
    return {
        "win_rate": len(won) / len(made),
        "profit_factor": float(won.sum() / lost.sum()) if len(lost) else None,
        "expectancy": float(made.mean()),
        "payoff_ratio": float(won.mean() / lost.mean()) if both else None,
        "best_trade": float(made.max()),
        "worst_trade": float(made.min()),
        "mean_holding_hours": float(np.mean([(t.closed - t.opened).total_seconds() for t in trades])) / 3600.0,
    }


def by_year(track: Track) -> list[Part]:
    return parts(track, _dates(track.time, 4))


def by_month(track: Track) -> list[Part]:
    """Named as 2024-05."""
    return parts(track, _dates(track.time, 7))


def _dates(time: Times, letters: int) -> NDArray[np.str_]:
    """A bar that closes at midnight belongs to the day before."""
    unit = {4: "Y", 7: "M"}[letters]
    return (time - 1).astype("datetime64[s]").astype(f"datetime64[{unit}]").astype("U10")


def parts(track: Track, labels: NDArray[np.generic] | Sequence[object]) -> list[Part]:
    """By label, in the order of their names; one label for each bar. The first bar made no return."""
    names = np.asarray(labels).astype(str)
    if len(names) != len(track.time):
        raise ValueError(f"{len(names)} labels for {len(track.time)} bars: give one for each bar")
    returns, market, held = track.returns, track.market, track.exposure
    closed = names[bars_of(track, [epoch(trade.closed) for trade in track.trades])] if len(names) else names
    pnl = np.array([float(trade.pnl) for trade in track.trades])
    return [
        _part(name, names[1:] == name, returns, market, held, pnl[closed == name], track.bars_per_year)
        for name in sorted(set(names[1:].tolist()))
    ]


def _part(
    name: str, of: NDArray[np.bool_], returns: Floats, market: Floats, held: Floats, pnl: Floats, per_year: float
) -> Part:
    made = returns[of]
    return Part(
        name=name,
        bars=len(made),
        total_return=float(np.prod(1.0 + made)) - 1.0,
        market_return=float(np.prod(1.0 + market[of])) - 1.0,
        sharpe_ratio=ratios(made, 0.0, per_year)[0],
        max_drawdown=drawdown(made),
        exposure=_mean((held[of] != 0.0).astype(np.float64)),
        trades=len(pnl),
        profit=float(pnl.sum()),
    )


def day(time: int | np.int64) -> str:
    return datetime.fromtimestamp(int(time), UTC).strftime("%Y-%m-%d")
