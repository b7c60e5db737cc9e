"""Weigh: everything that tells how sure one may be of a run, in one struct that is plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from core.domain.bars import Floats
from core.domain.evidence.capacity import Capacity, capacity
from core.domain.evidence.figures import Charges, Figures, Part, by_month, by_year, figures, parts, ratios
from core.domain.evidence.order import TradeOrder, trade_order
from core.domain.evidence.resample import Resampled, bootstrap
from core.domain.evidence.rivals import Holder, Market, RandomEntries, hold, random_entries, regression, segments
from core.domain.evidence.sharpe import best_of, deflated, inflation, lags_for, least_length, moments, probabilistic
from core.domain.evidence.track import Track
from core.domain.evidence.verdict import FEWEST_TRADES, Certainty, Check, Rerun, checks, verdict, warnings


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """`edge`: whether every one of `checks` passed; `verdict` says it in one sentence. None: not known, or not asked
    for."""

    edge: bool
    verdict: str
    warnings: list[str]
    checks: list[Check]
    figures: Figures
    certainty: Certainty
    intervals: Resampled
    market: Market
    trade_order: TradeOrder | None
    buy_and_hold: Holder
    same_exposure: Holder
    random_entries: RandomEntries | None
    years: list[Part]
    months: list[Part]
    regimes: dict[str, list[Part]]
    reruns: list[Rerun]
    capacity: Capacity | None


def weigh(
    track: Track,
    *,
    charges: Charges | None = None,
    trials: int = 1,
    trial_variance: float | None = None,
    cash: float = 0.0,
    regimes: Mapping[str, Sequence[object]] | None = None,
    reruns: Mapping[str, Track] | None = None,
    volume: Floats | None = None,
    resamples: int = 1000,
    random_runs: int = 200,
    fewest_trades: int = FEWEST_TRADES,
    seed: int = 1,
) -> Evidence:
    """How sure one may be of `track`.

    `charges`: what benchmarks pay; None: what the run paid, as far as the track tells. `trials`: how many strategies
    were tried until this one, it included; `trial_variance`: of their yearly Sharpe ratios. `cash`: what it earns in a
    year. `regimes`: by name, a label for each bar. `reruns`: tracks by name; `costs_2` and `delay_1` must earn
    something for a verdict of yes. `volume`: of each bar, for the capacity. The same seed gives the same evidence.
    """
    rng = np.random.default_rng(seed)
    charges = charges or paid_rates(track)
    returns, market = track.returns, track.market
    run = figures(track, charges, cash)
    sure = certainty(returns, trials, trial_variance, cash, track.bars_per_year)
    free = cash / track.bars_per_year
    drawn = bootstrap(returns, market, free, track.bars_per_year, rng, resamples, _holding(track))
    luck = random_entries(track, charges, rng, random_runs)
    order = trade_order(track, rng, resamples)
    again = [rerun(name, other, cash) for name, other in (reruns or {}).items()]
    held, years = hold(track, 1.0, charges, cash), by_year(track)
    found = checks(run, sure, drawn, luck, again, fewest_trades)
    return Evidence(
        edge=all(check.passed for check in found),
        verdict=verdict(found, run),
        warnings=[*_unknown(track), *warnings(run, sure, years, order, held)],
        checks=found,
        figures=run,
        certainty=sure,
        intervals=drawn,
        market=regression(returns - free, market, track.bars_per_year),
        trade_order=order,
        buy_and_hold=held,
        same_exposure=hold(track, run.mean_exposure, charges, cash),
        random_entries=luck,
        years=years,
        months=by_month(track),
        regimes={name: parts(track, labels) for name, labels in (regimes or {}).items()},
        reruns=again,
        capacity=None if volume is None else capacity(track, volume),
    )


def certainty(
    returns: Floats, trials: int = 1, trial_variance: float | None = None, cash: float = 0.0, per_year: float = 8766.0
) -> Certainty:
    """Of the Sharpe ratio over cash; `trial_variance` is of yearly ones."""
    shape, size = moments(returns - cash / per_year), len(returns)
    sharpe = shape.sharpe
    if sharpe is None:
        unknown = ("probabilistic", "deflated", "best_by_luck", "skew", "kurtosis", "least_bars", "least_years")
        return Certainty(
            trials=trials, trial_variance=trial_variance, effective_bars=float(size), **dict.fromkeys(unknown)
        )
    wide = inflation(returns, lags_for(size))
    bars = max(size / wide, 1.0)
    variance = 1.0 / max(bars - 1.0, 1.0) if trial_variance is None else trial_variance / per_year
    least = least_length(sharpe, 0.0, shape.skew, shape.kurtosis)
    return Certainty(
        trials=trials,
        trial_variance=trial_variance,
        probabilistic=probabilistic(sharpe, 0.0, bars, shape.skew, shape.kurtosis),
        deflated=deflated(sharpe, trials, variance, bars, shape.skew, shape.kurtosis),
        best_by_luck=best_of(trials, variance) * math.sqrt(per_year),
        skew=shape.skew,
        kurtosis=shape.kurtosis,
        effective_bars=bars,
        least_bars=None if least is None else least * wide,
        least_years=None if least is None else least * wide / per_year,
    )


def rerun(name: str, track: Track, cash: float = 0.0) -> Rerun:
    run, returns = figures(track, None, cash), track.returns
    return Rerun(
        name=name,
        total_return=run.total_return,
        annual_return=run.annual_return,
        mean_excess=float(returns.mean()) * track.bars_per_year - cash if len(returns) else 0.0,
        sharpe_ratio=ratios(returns, cash, track.bars_per_year)[0],
        max_drawdown=run.max_drawdown,
        trades=run.trades,
    )


def paid_rates(track: Track) -> Charges:
    """What the run paid, as fractions of what it traded; interest counts as a fee when only the trades tell."""
    traded = sum(float(trade.amount) * (float(trade.entry) + float(trade.exit)) for trade in track.trades)
    if traded <= 0.0:
        return Charges()
    if track.paid is None:
        return Charges(fee=sum(float(trade.fees) for trade in track.trades) / traded)
    return Charges(fee=(track.paid.fees + track.paid.interest) / traded, slippage=track.paid.slippage / traded)


def _holding(track: Track) -> float:
    """Bars that a position lasts on the mean: returns within one hang together."""
    _, length, held = segments(track.exposure) if len(track.exposure) else (None, np.zeros(0), np.zeros(0, bool))
    return float(length[held].mean()) if held.any() else 1.0


def _unknown(track: Track) -> list[str]:
    found = []
    for name, values in (("equity", track.equity), ("price", track.price)):
        count = int((~np.isfinite(values)).sum())
        if count:
            found.append(f"The {name} of {count:,} of {len(values):,} bars is not known: taken as the one before.")
    if len(track.position) and track.position[-1] != 0.0:
        found.append("It ends with an open position, which is in its equity but not among its trades.")
    return found
