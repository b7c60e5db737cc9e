"""Does the verdict tell the truth? Simulated markets without anything to foresee, and with a strong structure: each
seed walked forward by a plain model, traded by the backtest at full costs, and weighed.

    python -m benchmarks.honesty [SEEDS [FIRST]] [plain]

`plain` trades by a loop of its own, about a second of CPU for each seed, in place of the backtest. One process.
The rules of the verdict were looked at on seeds below 2,000 only; what is reported starts there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

import numpy as np
from msgspec.structs import replace

from core.adapters.simulated_market import ORIGIN, SimulatedMarket
from core.domain.backtest import backtest
from core.domain.bars import YEAR, Bars, Floats, moment
from core.domain.daily import from_closes
from core.domain.evidence import DELAYED, DOUBLED, Charges, Evidence, Track, track, weigh
from core.domain.features import CONTEXT, SETS, FeatureSet, compute
from core.domain.fills import Costs
from core.domain.labels import direction
from core.domain.orders import Rules, exact
from core.domain.risk import Policy
from core.domain.state import Book, Trade
from tests.policies import PLAIN

BARS: Final = 12_000
TRAIN, TEST, HORIZON = 2000, 500, 6
FIRST: Final = TRAIN + 400  # bar that may be traded on: its model has its rows
THRESHOLD: Final = 0.08
STRONG: Final = 3.0
TRIALS: Final = 10
RESAMPLES: Final = 200
WANTED: Final = 95
RULES: Final = Rules(lot=Decimal("0.0001"), tick=Decimal(1), minimum_amount=Decimal("0.0001"), taker=Decimal("0.0005"))


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
    sound = np.isfinite(rows.sum(axis=1))
    forecast = np.full(len(bars), np.nan)
    for first in range(FIRST, len(bars), TEST):
        part = np.arange(first - TRAIN, first)
        part = part[sound[part] & np.isfinite(labels[part]) & (ends[part] < first)]
        middle, spread = rows[part].mean(axis=0), rows[part].std(axis=0) + 1e-12
        weights = logistic((rows[part] - middle) / spread, labels[part])
        ahead = np.clip((rows[first : first + TEST] - middle) / spread, -5.0, 5.0)
        forecast[first : first + TEST] = 1.0 / (1.0 + np.exp(-(ahead @ weights[:-1] + weights[-1])))
    return forecast


def book() -> Book:
    policy = Policy(**{**PLAIN, "model_max_age_days": 0.0, "threshold": THRESHOLD, "threshold_min": 0.0})
    return Book(id="btc", symbol="BTC/JPY", features="core12", policy=policy, rules=RULES)


class Real:
    """Trades as the product does, by the backtest."""

    def __init__(self, bars: Bars, p_up: Floats) -> None:
        self.bars, self.p_up, self.book = bars, p_up, book()
        self.context = features(CONTEXT, bars)

    def made(self, costs: int = 1, late: int = 0) -> Track:
        traded = dearer(self.book, costs)
        need = SETS[traded.features].lookback
        result = backtest(traded, self.bars, delayed(self.p_up, late), self.context, need, first=FIRST)
        return track(result, self.bars, traded.timeframe)


class Plain:
    """Trades by the plainest loop: in at the next open beyond the threshold, with half of the equity; out when the
    forecast is on the other side; the same fees and slippage, no interest."""

    def __init__(self, bars: Bars, p_up: Floats) -> None:
        self.bars, self.p_up = bars, p_up

    def made(self, costs: int = 1, late: int = 0) -> Track:
        side = sides(delayed(self.p_up, late))[FIRST - 1 : -1]  # decided at the close before
        return traded(self.bars[FIRST:], side, charges(book()).side * costs)


def sides(p_up: Floats) -> Floats:
    """(n,): 1, -1 or 0 after each bar."""
    wanted, now = np.zeros(len(p_up)), 0.0
    for i, p in enumerate((p_up - 0.5).tolist()):
        now = np.sign(p) if abs(p) > THRESHOLD else now if p * now > 0.0 else 0.0
        wanted[i] = now
    return wanted


def traded(bars: Bars, side: Floats, rate: float) -> Track:
    cash, held, entry, opened, paid = 10_000.0, 0.0, 0.0, 0, 0.0
    equity, position, trades = np.empty(len(bars)), np.empty(len(bars)), []
    before, rows = 0.0, zip(side.tolist(), bars.open.tolist(), bars.close.tolist(), strict=True)
    for i, (wanted, price, close) in enumerate(rows):
        if wanted != before and held:
            cash, paid = cash + held * price - abs(held) * price * rate, paid + abs(held) * price * rate
            trades.append(_trade(bars, opened, i, held, entry, price, paid))
            held = 0.0
        if wanted != before and wanted:
            held, entry, opened = wanted * 0.5 * cash / price, price, i
            paid = abs(held) * price * rate
            cash -= held * price + paid
        before = wanted
        equity[i], position[i] = cash + held * close, held
    step = int(bars.time[1] - bars.time[0])
    return Track(bars.time + step, bars.close, equity, position, tuple(trades), YEAR / step)


def _trade(bars: Bars, opened: int, closed: int, held: float, entry: float, price: float, paid: float) -> Trade:
    return Trade(
        opened=moment(bars.time[opened]),
        closed=moment(bars.time[closed]),
        side="long" if held > 0 else "short",
        amount=exact(abs(held)),
        entry=exact(entry),
        exit=exact(price),
        fees=exact(paid),
        pnl=exact(held * (price - entry) - paid),
        cause="exit",
    )


def features(of: FeatureSet, bars: Bars) -> Floats:
    return compute(of, bars, "1h", from_closes(np.empty(0, np.int64), np.empty(0)))


def delayed(p_up: Floats, late: int) -> Floats:
    return np.concatenate([np.full(late, np.nan), p_up[: len(p_up) - late]])


def run(seed: int, structure: float, way: type[Real | Plain] = Real) -> Evidence:
    """Of one market; what passes is run again at doubled costs and one bar late."""
    market = SimulatedMarket(seed=seed, structure=structure)
    bars = market.bars(ORIGIN, ORIGIN + timedelta(hours=BARS))
    trader = way(bars, walked(bars, features(SETS["core12"], bars)))
    own = trader.made()
    first = weighed(own, seed)
    if not first.edge:  # re-runs, which are the dearest part, could only say no once more
        return first
    return weighed(own, seed, {DOUBLED: trader.made(costs=2), DELAYED: trader.made(late=1)})


def weighed(own: Track, seed: int, again: Mapping[str, Track] | None = None) -> Evidence:
    return weigh(
        own, charges=charges(book()), trials=TRIALS, reruns=again, resamples=RESAMPLES, random_runs=100, seed=seed
    )


def charges(traded: Book) -> Charges:
    slippage = float(traded.costs.slippage_bps) / 1e4
    return Charges(float(traded.rules.taker), slippage, float(traded.rules.interest_per_day))


def dearer(traded: Book, times: int) -> Book:
    rules = replace(
        traded.rules, taker=traded.rules.taker * times, interest_per_day=traded.rules.interest_per_day * times
    )
    costs = Costs(
        slippage_bps=traded.costs.slippage_bps * times, stop_slippage_bps=traded.costs.stop_slippage_bps * times
    )
    return replace(traded, rules=rules, costs=costs)


def share(name: str, structure: float, seeds: range, right: bool, way: type[Real | Plain]) -> int:
    """How many of the seeds' verdicts are right; the others are printed."""
    found, began = 0, time.process_time()
    for count, seed in enumerate(seeds, 1):
        told = run(seed, structure, way)
        found += told.edge is right
        if told.edge is not right:
            print(f"   {name}, seed {seed}: {told.verdict}", flush=True)
        if count % 10 == 0:
            spent = time.process_time() - began
            print(f"   {name}: {found} of {count} right, {spent:.0f} s of CPU", flush=True)
    return found


def main() -> None:
    way = Plain if "plain" in sys.argv else Real
    asked = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    count, first = (asked + [100, 2000][len(asked) :])[:2]
    seeds = range(first, first + count)
    honest = share("nothing to foresee", 0.0, seeds, right=False, way=way)
    keen = share("strong structure", STRONG, seeds, right=True, way=way)
    least = WANTED * count / 100
    for name, found in (("says no when there is nothing", honest), ("finds what is strong", keen)):
        print(f"{'ok' if found >= least else 'MISS':4} {name}: {found} of {count}, at least {least:g} wanted")
    print(json.dumps({"honest_no": honest, "honest_yes": keen, "seeds": count}))


if __name__ == "__main__":
    main()
