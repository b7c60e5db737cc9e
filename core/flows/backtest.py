"""backtest: forecasts for the past of a market, and what trading on them would have given.

Forecasts come from a stored model, from the sign of a feature, or from models that are trained on the way (walk).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from msgspec.structs import replace

from core.domain.backtest import Result, backtest
from core.domain.bars import Bars, Floats, epoch, moment
from core.domain.daily import Daily
from core.domain.features import CONTEXT, REGISTRY, SETS, compute, feature_set
from core.domain.forecast import Model
from core.domain.state import Book
from core.flows.serving import Problem, mismatched, unusable


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What a book is tested on: its bars, the VIX, and one row of CONTEXT for each bar, (n, 13)."""

    book: Book
    bars: Bars
    daily: Daily
    context: Floats

    def rows(self, *names: str) -> Floats:
        """The named features of every bar, (n, len(names))."""
        wanted = feature_set("asked", *names)
        return compute(wanted, self.bars, self.book.timeframe, self.daily, self.book.vix_max_age_s)


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """p(up) of every bar, NaN where there is none; `need`: bars without a gap that each takes; `first`: index of the
    first bar to trade on; `problems`: why there is none, by index. `kind` and `told`: where they come from."""

    p_up: Floats
    need: int
    first: int
    kind: str
    told: str
    problems: Mapping[int, Problem] = field(default_factory=dict)


def ground(book: Book, bars: Bars, daily: Daily) -> Ground:
    return Ground(book, bars, daily, compute(CONTEXT, bars, book.timeframe, daily, book.vix_max_age_s))


def by_signal(ground: Ground, name: str) -> Forecasts:
    """As if it were certain that the price goes the way of a feature's sign. Raises KeyError for an unknown one."""
    value, need = ground.rows(name)[:, 0], max(CONTEXT.lookback, REGISTRY[name].lookback)
    p_up = np.where(np.isnan(value), np.nan, np.where(value > 0, 1.0, 0.0))
    return Forecasts(p_up, need, need - 1, "signal", f"up where {name} is above 0, down elsewhere")


def by_model(ground: Ground, model: Model, version: str) -> Forecasts:
    """What a stored model says, as a tick would ask it; from the first bar on that it has not learnt from."""
    book, bars, features = ground.book, ground.bars, SETS[ground.book.features]
    rows = compute(features, bars, book.timeframe, ground.daily, book.vix_max_age_s)
    usable = model.usable(rows)
    p_up = np.full(len(bars), np.nan)
    p_up[usable] = model.predict(rows[usable])
    need = max(features.lookback, CONTEXT.lookback)
    first = max(int(np.searchsorted(bars.time, epoch(model.manifest.data_until))), need - 1)
    problems = {
        i: why for i in range(first, len(bars)) if (why := _problem(ground, model, rows[i], bool(usable[i]), i))
    }
    return Forecasts(p_up, need, first, "model", f"the model {version}, on bars that it has not learnt from", problems)


def _problem(ground: Ground, model: Model, row: Floats, usable: bool, index: int) -> Problem | None:
    found = mismatched(model, ground.book, moment(ground.bars.time[index]))
    return found or (None if usable else unusable(model, row))


def trade(ground: Ground, forecasts: Forecasts, resume_hours: float, late: int = 0) -> Result:
    """The book's decisions and fills over the bars. `resume_hours`: [research]; `late`: bars by which each forecast is
    older than it should be."""
    p_up = np.concatenate([np.full(late, np.nan), forecasts.p_up[: len(forecasts.p_up) - late]])
    resume = timedelta(hours=resume_hours) if resume_hours else None
    return backtest(
        ground.book, ground.bars, p_up, ground.context, forecasts.need, forecasts.first,
        resume_after=resume, problems=forecasts.problems,
    )  # fmt: skip


def costing(ground: Ground, times: int) -> Ground:
    """The same with every cost so many times as high."""
    book, factor = ground.book, Decimal(times)
    rules, costs = book.rules, book.costs
    dearer = replace(
        book,
        rules=replace(
            rules,
            taker=rules.taker * factor,
            maker=rules.maker * factor,
            interest_per_day=rules.interest_per_day * factor,
        ),
        costs=replace(
            costs, slippage_bps=costs.slippage_bps * factor, stop_slippage_bps=costs.stop_slippage_bps * factor
        ),
    )
    return Ground(dearer, ground.bars, ground.daily, ground.context)


def since(forecasts: Forecasts, ground: Ground, first: datetime | None) -> Forecasts:
    """The same from `first` on, where that is later."""
    if first is None:
        return forecasts
    index = max(forecasts.first, int(np.searchsorted(ground.bars.time, epoch(first))))
    return Forecasts(forecasts.p_up, forecasts.need, index, forecasts.kind, forecasts.told, forecasts.problems)
