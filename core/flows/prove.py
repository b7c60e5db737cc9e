"""prove: everything that can be proved of a book's features, labels, training and decisions, on the bars at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.domain import proof as p
from core.domain.backtest import Result
from core.domain.bars import Bars, Floats, epoch
from core.domain.daily import DAY, Daily, none
from core.domain.ensemble import Training
from core.domain.features import CONTEXT, SETS, Feature, FeatureSet, compute, last_row
from core.domain.features.inputs import MAX_AGE
from core.domain.labels import direction
from core.domain.outside import NOTHING, Outside
from core.domain.splits import Bar
from core.domain.state import Book
from core.domain.walk import learn, stitched, windows

Run = Callable[[Bars, Daily, Outside], Result]
Progress = Callable[[float], None]
SMALL: Final = {"trees": 12, "learning_rate": 0.2, "forest_trees": 12}  # at most: there are forty models to train


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried. `points`, `cuts`: of features, in windows and of the whole history; `decided`: cuts of the
    strategy, over its newest `stretch` bars; `runs`: on shuffled labels, in blocks of `block_days`, with as many days
    of training as a walk has and `judged_days` out of sample, at most."""

    points: int = 60
    cuts: int = 6
    decided: int = 4
    stretch: int = 1000
    runs: int = 19
    block_days: int = 10
    judged_days: int = 240
    seed: int = 1


def subject(features: FeatureSet, timeframe: str, vix_max_age: int = MAX_AGE, outside: Outside = NOTHING) -> p.Subject:
    """The features of a set as they are computed for trading; the sources are named as in `sources`."""

    def rows(chosen: FeatureSet, how: Callable[..., Floats], bars: Bars, sources: p.Sources) -> Floats:
        vix, others = _apart(sources, outside)
        return how(chosen, bars, timeframe, vix, vix_max_age, others)

    known = {feature.name: feature for feature in features.features}
    return p.Subject(
        timeframe,
        features.names,
        tuple(feature.lookback for feature in features.features),
        compute=partial(rows, features, compute),
        part=lambda names: partial(rows, FeatureSet("part", tuple(known[name] for name in names)), compute),
        last=partial(rows, features, last_row),
    )


def sources(vix: Daily, outside: Outside = NOTHING) -> dict[str, Daily | Bars]:
    """All that is known beside the bars, by name."""
    market = {} if outside.market is None else {"market": outside.market}
    return {"vix": vix, **outside.daily, **market}


def _apart(given: p.Sources, outside: Outside) -> tuple[Daily, Outside]:
    """The inverse of `sources`; age limits as in `outside`."""
    daily = {name: source for name, source in given.items() if isinstance(source, Daily)}
    market = given.get("market")
    vix = daily.pop("vix", none())
    return vix, Outside(daily, outside.max_age, market if isinstance(market, Bars) else None)


def prove(
    book: Book,
    bars: Bars,
    vix: Daily,
    training: Training,
    outside: Outside = NOTHING,
    run: Run | None = None,
    train_days: int = 180,
    test_days: int = 10,
    effort: Effort = Effort(),
    progress: Progress = lambda _: None,
) -> p.Proof:
    """Features of the book and of CONTEXT, labels, windows of training, shuffled labels and, with `run` (what trades
    on given bars as the strategy does), decisions. `progress` is told the share done.

    Raises ValueError when there are too few bars for one row of features, or for one window of training.
    """
    both = {feature.name: feature for feature in SETS[book.features].features + CONTEXT.features}
    checked = subject(_named(both), book.timeframe, book.vix_max_age_s, outside)
    around = sources(vix, outside)
    label = partial(direction, horizon=training.horizon, cost=training.cost)
    values = compute(SETS[book.features], bars, book.timeframe, vix, book.vix_max_age_s, outside)
    y, ends = label(bars)
    usable = _usable(values)
    walked = windows(bars.time, usable, y, ends, training, train_days, test_days)
    if not walked:
        raise ValueError(f"{len(bars)} bars hold no window of {train_days} days to learn from and a day to foresee")
    order = np.arange(len(bars), dtype=np.int64)
    steps: list[Callable[[], p.Part]] = [
        lambda: p.features(checked, bars, around, effort.points, effort.cuts, effort.seed),
        lambda: p.labels(label, bars, seed=effort.seed),
        lambda: p.purged(((each.learn, each.foresee) for each in walked), order, ends, training.embargo),
        lambda: _shuffled(bars.time, values, y, ends, training, train_days, effort),
    ]
    if run:
        steps.append(lambda: _decisions(book, bars, around, outside, run, checked.lookback, effort))
    return p.proof(list(_each(steps, progress)))


def _each(steps: list[Callable[[], p.Part]], progress: Progress) -> Iterator[p.Part]:
    for number, step in enumerate(steps):
        yield step()
        progress((number + 1) / len(steps))


def _named(features: Mapping[str, Feature]) -> FeatureSet:
    return FeatureSet("proved", tuple(features.values()))


def _usable(values: Floats) -> NDArray[np.bool_]:
    absent, endless = np.isnan(values), np.isinf(values)
    usable: NDArray[np.bool_] = np.logical_not(np.logical_or(absent.all(axis=1), endless.any(axis=1)))
    return usable


def _shuffled(
    time: Bar, values: Floats, y: Floats, ends: Bar, training: Training, train_days: int, effort: Effort
) -> p.Part:
    """The walk over the newest stretch with a smaller model of the same kind: on the labels, then on shuffled ones."""
    first = int(np.searchsorted(time, int(time[-1]) - (train_days + effort.judged_days) * DAY))
    time, values, y, ends = time[first:], values[first:], y[first:], ends[first:] - first
    small = replace(training, **{name: min(getattr(training, name), most) for name, most in SMALL.items()})
    small = replace(small, learning_rate=SMALL["learning_rate"], threads=1)
    usable = _usable(values)
    judged = max(1, effort.judged_days // 2)

    def refit(labels: Floats) -> Floats:
        found = windows(time, usable, labels, ends, small, train_days, judged)
        made = [learn(values, labels, small, window) for window in found]
        return stitched(time, labels, ends, small, found, made).p_up

    step = int(np.median(np.diff(time)))
    block = effort.block_days * DAY // step
    return p.shuffled(y, refit, block, small.horizon, effort.runs, effort.seed)


def _decisions(
    book: Book, bars: Bars, around: p.Sources, outside: Outside, run: Run, lookback: int, effort: Effort
) -> p.Part:
    """Over the newest stretch alone: the fold takes each bar in turn."""
    newest = bars[-(lookback + effort.stretch) :]
    chosen = p.spread(newest, lookback, effort.decided + 1)[1:]

    def decide_on(some: Bars, known: p.Sources) -> list[tuple[int, object]]:
        return decided(run(some, *_apart(known, outside)))

    return p.decisions(decide_on, newest, around, book.timeframe, chosen, effort.seed)


def decided(result: Result) -> list[tuple[int, object]]:
    """What a run decided at each bar, and what it held and was worth then."""
    rows = zip(result.bars, result.decisions, result.position, result.equity, strict=True)
    return [(epoch(bar), (made, held, worth)) for bar, made, held, worth in rows]
