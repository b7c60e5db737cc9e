"""backtest: forecasts for the past of a market, what trading on them would have given, and how sure that is.

Forecasts come from a stored model, from the sign of a feature, or from models that are trained on the way (walk).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as with_
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.domain.backtest import Result, backtest
from core.domain.bars import Bars, Floats, epoch, moment, seconds
from core.domain.daily import Daily
from core.domain.evidence import Charges, Evidence, track, weigh
from core.domain.evidence.figures import ratios
from core.domain.features import CONTEXT, REGISTRY, SETS, FeatureSet, compute, feature_set
from core.domain.forecast import BadModel, Model
from core.domain.outside import NOTHING, Outside
from core.domain.risk import regime
from core.domain.state import Book
from core.flows.serving import Problem, mismatched, unusable
from core.ports import ModelStore, Workers

if TYPE_CHECKING:
    from core.domain.ensemble import Training
    from core.domain.walk import Walked


class Research(Protocol):
    """[research], as far as it is of interest here."""

    @property
    def train_days(self) -> int: ...
    @property
    def test_days(self) -> int: ...
    @property
    def resume_hours(self) -> float: ...
    @property
    def resamples(self) -> int: ...
    @property
    def random_runs(self) -> int: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What a book is tested on: its bars, the VIX, what else is known, and one row of CONTEXT for each bar, (n, 13)."""

    book: Book
    bars: Bars
    daily: Daily
    outside: Outside
    context: Floats

    def rows(self, features: FeatureSet) -> Floats:
        """The features of every bar, (n, k)."""
        return compute(features, self.bars, self.book.timeframe, self.daily, self.book.vix_max_age_s, self.outside)

    def before(self, end: int) -> Ground:
        """The same, as if nothing had come after the first `end` bars."""
        return with_(self, bars=self.bars[:end], context=self.context[:end])


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """p(up) of every bar, NaN where there is none; `need`: bars without a gap that each takes; `first`: index of the
    first bar to trade on; `problems`: why there is none, by index. `kind` and `told`: where they come from; `chosen`:
    all that was chosen about them; `walked`: how, when models were trained on the way."""

    p_up: Floats
    need: int
    first: int
    kind: str
    told: str
    chosen: tuple[object, ...] = ()
    problems: Mapping[int, Problem] = field(default_factory=dict)
    walked: Walked | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """A run, with what it was made on. `rows`: the bars that it decided on."""

    ground: Ground
    forecasts: Forecasts
    result: Result

    @property
    def rows(self) -> NDArray[np.intp]:
        return np.searchsorted(self.ground.bars.time, self.result.time)


def ground(book: Book, bars: Bars, daily: Daily, outside: Outside = NOTHING) -> Ground:
    context = compute(CONTEXT, bars, book.timeframe, daily, book.vix_max_age_s)
    return Ground(book, bars, daily, outside, context)


def by_signal(ground: Ground, name: str) -> Forecasts:
    """As if it were certain that the price goes the way of a feature's sign. Raises KeyError for an unknown one,
    ValueError for one that is missing at every bar."""
    value, need = ground.rows(feature_set(name, name))[:, 0], max(CONTEXT.lookback, REGISTRY[name].lookback)
    if np.isnan(value).all():
        raise ValueError(
            f"{name} is missing at all of {len(value)} bars: it takes {REGISTRY[name].lookback} of them, or what "
            f"[features] set = {ground.book.features} does not ask for"
        )
    p_up = np.where(np.isnan(value), np.nan, np.where(value > 0, 1.0, 0.0))
    return Forecasts(p_up, need, need - 1, "signal", f"up where {name} is above 0, down elsewhere", (name,))


def by_model(ground: Ground, model: Model, version: str, whole: bool = False) -> Forecasts:
    """What a stored model says, as a tick would ask it; from the first bar on that it has not learnt from. `whole`: of
    the bars before that, too. Raises BadModel: it was made for another market, or of other features."""
    book, bars, features = ground.book, ground.bars, SETS[ground.book.features]
    model.check_features(features.digest, features.names)
    wrong = mismatched(model, book, moment(bars.time[0]))
    if wrong and wrong[0] == "model_mismatched":
        raise BadModel(*wrong)
    need = max(features.lookback, CONTEXT.lookback)
    first = max(int(np.searchsorted(bars.time, epoch(model.manifest.data_until))), need - 1)
    rows = ground.rows(features)
    usable = model.usable(rows)
    asked = np.flatnonzero(usable[0 if whole else first :]) + (0 if whole else first)
    p_up = np.full(len(bars), np.nan)
    p_up[asked] = model.predict(rows[asked])
    told = f"the model {version}, on bars that it has not learnt from"
    return Forecasts(p_up, need, first, "model", told, (version,), _problems(ground, model, rows, usable))


def _problems(ground: Ground, model: Model, rows: Floats, usable: NDArray[np.bool_]) -> dict[int, Problem]:
    """Why there is no forecast, by index, as a tick says it. Asked only where there may be a reason: bars are many."""
    book, bars = ground.book, ground.bars
    age = bars.time + seconds(book.timeframe) - model.manifest.data_until.timestamp()
    suspect = ~usable
    if book.policy.model_max_age_days:
        suspect |= age > book.policy.model_max_age_days * 86400 - 1
    found = {}
    for i in np.flatnonzero(suspect).tolist():
        old = mismatched(model, book, moment(bars.time[i]))
        if why := old or (None if usable[i] else unusable(model, rows[i])):
            found[i] = why
    return found


def by_walk(
    ground: Ground,
    training: Training,
    research: Research,
    workers: Workers,
    store: ModelStore,
    progress: Callable[[float], None] = lambda _: None,
) -> Forecasts:
    """What models say that are trained every `test_days` on the `train_days` before. Raises ValueError: too few bars,
    Unavailable: the workers cannot be reached."""
    from core.domain.labels import direction
    from core.flows.walk import forward

    bars, features = ground.bars, SETS[ground.book.features]
    labels, ends = direction(bars, training.horizon, training.cost)
    walked = forward(
        bars.time, ground.rows(features), labels, ends, training, workers, store,
        research.train_days, research.test_days, progress,
    )  # fmt: skip
    need = max(features.lookback, CONTEXT.lookback)
    first = max(int(walked.steps[0].window.foresee[0]), need - 1)
    told = f"{len(walked.steps)} models, each trained on {research.train_days} days and used for {research.test_days}"
    chosen = (replace(training, threads=1), research.train_days, research.test_days)
    return Forecasts(walked.p_up, need, first, "walk", told, chosen, walked=walked)


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
            costs,
            slippage_bps=costs.slippage_bps * factor,
            stop_slippage_bps=costs.stop_slippage_bps * factor,
            funding_bps=costs.funding_bps * factor,
        ),
    )
    return with_(ground, book=dearer)


def since(forecasts: Forecasts, ground: Ground, first: datetime | None) -> Forecasts:
    """The same from `first` on, where that is later."""
    if first is None:
        return forecasts
    index = max(forecasts.first, int(np.searchsorted(ground.bars.time, epoch(first))))
    return with_(forecasts, first=index)


def sharpe(ran: Ran) -> float:
    """Of a year; 0 where nothing varies."""
    made = track(ran.result, ran.ground.bars, ran.ground.book.timeframe)
    return ratios(made.returns, 0.0, made.bars_per_year)[0] or 0.0


def sure(ran: Ran, research: Research, trials: int = 1, variance: float | None = None) -> Evidence:
    """How sure one may be of a run: beside it the same with costs taken 0, 2 and 3 times, and with each forecast a bar
    late. `trials` and `variance` (of their yearly Sharpe ratios): what was tried until this one."""
    ground, forecasts = ran.ground, ran.forecasts
    book, bars = ground.book, ground.bars
    again = {f"costs_{times}": trade(costing(ground, times), forecasts, research.resume_hours) for times in (0, 2, 3)}
    again["delay_1"] = trade(ground, forecasts, research.resume_hours, late=1)
    return weigh(
        track(ran.result, bars, book.timeframe),
        charges=charges(book),
        trials=trials,
        trial_variance=variance,
        regimes=regimes(ground, ran.rows),
        reruns={name: track(run, bars, book.timeframe) for name, run in again.items()},
        volume=bars.volume[ran.rows],
        resamples=research.resamples,
        random_runs=research.random_runs,
        seed=research.seed,
    )


def charges(book: Book) -> Charges:
    return Charges(
        fee=float(book.rules.taker),
        slippage=float(book.costs.slippage_bps) / 10_000,
        interest=float(book.rules.interest_per_day),
    )


def regimes(ground: Ground, rows: NDArray[np.intp]) -> dict[str, list[str]]:
    """The regime of the market and of the VIX at each of `rows`, as a decision sees it."""
    column = dict(zip(CONTEXT.names, ground.context[rows].T.tolist(), strict=True))
    policy = ground.book.policy
    seen = zip(column["volatility_ratio"], column["roc_24"], column["adx_14"], strict=True)
    return {
        "market": [regime.market(ratio, fall, adx, policy) for ratio, fall, adx in seen],
        "vix": [regime.vix(level, policy) for level in column["vix_level"]],
    }
