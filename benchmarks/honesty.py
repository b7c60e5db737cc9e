"""Does the verdict tell the truth? Simulated markets without anything to foresee, and with a strong structure: each
seed walked forward by a plain model, traded by the backtest at full costs, and weighed.

    python -m benchmarks.honesty [SEEDS [FIRST]]

One process; a seed takes about two seconds of CPU. The rules of the verdict were looked at on seeds below 1,000 only;
what is reported starts there.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace as with_fields
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np

from core.adapters.simulated_market import ORIGIN, SimulatedMarket
from core.domain.backtest import backtest
from core.domain.bars import Bars, Floats
from core.domain.daily import from_closes
from core.domain.evidence import Charges, Evidence, Track, track, weigh
from core.domain.features import CONTEXT, SETS, compute
from core.domain.fills import Costs
from core.domain.labels import direction
from core.domain.orders import Rules
from core.domain.risk import Policy
from core.domain.state import Book
from tests.policies import PLAIN

BARS: Final = 7000
TRAIN, TEST, HORIZON = 2000, 500, 6
STRONG: Final = 3.0
TRIALS: Final = 10
WANTED: Final = 95
RULES: Final = Rules(
    lot=Decimal("0.0001"), tick=Decimal(1), minimum_amount=Decimal("0.0001"), taker=Decimal("0.0005")
)


def logistic(rows: Floats, labels: Floats, penalty: float = 10.0) -> Floats:
    """Weights, the last one without a column, by four steps of Newton's; columns are standardised."""
    rows = np.column_stack([rows, np.ones(len(rows))])
    weights = np.zeros(rows.shape[1])
    for _ in range(4):
        chance = 1.0 / (1.0 + np.exp(-rows @ weights))
        curve = (rows * (chance * (1.0 - chance))[:, None]).T @ rows + penalty * np.eye(len(weights))
        weights += np.linalg.solve(curve, rows.T @ (labels - chance) - penalty * weights)
    return weights


def walked(bars: Bars, rows: Floats) -> Floats:
    """p(up) of each bar, by models of the bars before it only; NaN before the first."""
    labels, ends = direction(bars, HORIZON, 0.0)
    sound = ~np.isnan(rows).any(axis=1)
    forecast = np.full(len(bars), np.nan)
    for first in range(TRAIN + 400, len(bars), TEST):
        part = np.arange(first - TRAIN, first)
        part = part[sound[part] & np.isfinite(labels[part]) & (ends[part] < first)]
        middle, spread = rows[part].mean(axis=0), rows[part].std(axis=0) + 1e-12
        weights = logistic((rows[part] - middle) / spread, labels[part])
        ahead = np.clip((rows[first : first + TEST] - middle) / spread, -5.0, 5.0)
        forecast[first : first + TEST] = 1.0 / (1.0 + np.exp(-(ahead @ weights[:-1] + weights[-1])))
    return forecast


def book() -> Book:
    policy = Policy(**{**PLAIN, "model_max_age_days": 0.0, "threshold": 0.08, "threshold_min": 0.0})
    return Book(id="btc", symbol="BTC/JPY", features="core12", policy=policy, rules=RULES)


def run(seed: int, structure: float) -> Evidence:
    """Of one market, with re-runs at doubled costs and one bar late."""
    market = SimulatedMarket(seed=seed, structure=structure)
    bars = market.bars(ORIGIN, ORIGIN + timedelta(hours=BARS))
    traded, daily = book(), from_closes(np.empty(0, np.int64), np.empty(0))
    rows, context = (
        compute(features, bars, traded.timeframe, daily, traded.vix_max_age_s)
        for features in (SETS[traded.features], CONTEXT)
    )
    p_up, need = walked(bars, rows), SETS[traded.features].lookback
    late = np.concatenate([[np.nan], p_up[:-1]])
    own = made(traded, bars, p_up, context, need)
    again = {"costs_2": made(doubled(traded), bars, p_up, context, need), "delay_1": made(traded, bars, late, context, need)}
    return weigh(own, charges=charges(traded), trials=TRIALS, reruns=again, resamples=500, seed=seed)


def made(traded: Book, bars: Bars, p_up: Floats, context: Floats, need: int) -> Track:
    result = backtest(traded, bars, p_up, context, need, first=TRAIN + 400)
    return track(result, bars, traded.timeframe)


def charges(traded: Book) -> Charges:
    slippage = float(traded.costs.slippage_bps) / 1e4
    return Charges(float(traded.rules.taker), slippage, float(traded.rules.interest_per_day))


def doubled(traded: Book) -> Book:
    from msgspec.structs import replace

    rules = replace(traded.rules, taker=traded.rules.taker * 2, interest_per_day=traded.rules.interest_per_day * 2)
    costs = Costs(
        slippage_bps=traded.costs.slippage_bps * 2, stop_slippage_bps=traded.costs.stop_slippage_bps * 2
    )
    return replace(traded, rules=rules, costs=costs)
