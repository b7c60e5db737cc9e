"""A small world for tests of the road of a bar: real or drawn bars, a small model that was really trained, fakes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.paper_exchange import PaperExchange
from core.domain.bars import Bars, Floats, close_time, moment, seconds
from core.domain.daily import Daily, from_closes
from core.domain.drift import levels
from core.domain.ensemble import Artefact, Training, export, fit
from core.domain.features import CONTEXT, SETS, compute
from core.domain.forecast import MANIFEST, Meta, Model, digest, load
from core.domain.labels import direction
from core.domain.orders import Holding, Rules
from core.domain.risk import Policy
from core.domain.state import Book
from core.flows.serving import folder, pointer_key, version_of
from core.flows.window import needed
from core.ports import ModelStore, StateStore, World, Write
from tests.fakes import FixedClock, MemoryModels, MemoryState
from tests.policies import PLAIN

DATA = Path(__file__).parents[1] / "../shared/data"
PERP = DATA / "bars/btcusdt_binance_perp_1h.parquet"
VIX = DATA / "macro/vix_daily.parquet"
SMALL = Training(horizon=6, trees=20, learning_rate=0.2, forest_trees=20, depth=3, leaves=6, folds=2, forest_depth=4)
HOUR = timedelta(hours=1)
RULES = Rules(lot=Decimal("0.001"), tick=Decimal("0.1"), minimum_amount=Decimal("0.001"))


def real(path: Path) -> Path:
    """`path`, or a skip that says what is missing."""
    if not path.exists():
        pytest.skip(f"the real prices are not here: {path.name}")
    return path


class ArrayMarket:
    """A Market of bars that are at hand."""

    def __init__(self, bars: Bars) -> None:
        self.all = bars

    def bars(self, since: datetime, until: datetime) -> Bars:
        return self.all.between(since, until)


class ArrayVix:
    """A DailySource of values that are at hand."""

    def __init__(self, daily: Daily) -> None:
        self.daily = daily

    def history(self, now: datetime) -> Daily:
        known = self.daily.published <= now.timestamp()
        return Daily(self.daily.published[known], self.daily.value[known])


@cache
def perp() -> Bars:
    from core.adapters.files_market import load as load_bars

    return load_bars(real(PERP), "1h").bars


@cache
def vix() -> Daily:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(real(VIX))
    days = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return from_closes(days, table["close"].to_numpy().astype(np.float64))


@cache
def drawn(count: int = 2600, seed: int = 3) -> Bars:
    """Hourly bars from 2024-01-01 with a little momentum, so that there is something to trade on."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(4, count) * 0.004
    drift = np.convolve(rng.normal(0, 0.004, count), 0.9 ** np.arange(40))[:count]
    close = 40_000 * np.cumprod(1 + noise + drift)
    opened = np.concatenate([[40_000.0], close[:-1]])
    spread = np.abs(rng.normal(0, 0.003, count)) * close
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    opened, high, low, close = (np.round(column, 1) for column in (opened, high, low, close))
    volume = np.round(rng.lognormal(3, 1, count), 3)
    return Bars(start + 3600 * np.arange(count, dtype=np.int64), opened, high, low, close, volume)


def small_book(features: str = "core12", **policy: Any) -> Book:
    """Trades often; no breaker and no further limit of the size has a say, unless `policy` says so."""
    defaults: dict[str, Any] = {**PLAIN, "model_max_age_days": 0.0, "threshold": 0.02, "threshold_min": 0.0}
    return Book(id="btc", symbol="BTC/USDT", features=features, policy=Policy(**{**defaults, **policy}), rules=RULES)


def artefact(book: Book, bars: Bars, daily: Daily, training: Training = SMALL) -> Artefact:
    """A model of `book` that was trained on `bars`."""
    features = SETS[book.features]
    values = compute(features, bars, book.timeframe, daily, book.vix_max_age_s)
    labels, ends = direction(bars, training.horizon, training.cost)
    keep = np.flatnonzero(np.isfinite(labels) & ~np.isnan(values).all(axis=1))
    fitted = fit(values[keep], labels[keep], ends[keep], features.names, training, keep.astype(np.int64))
    until = close_time(moment(bars.time[-1]), book.timeframe)
    meta = Meta(
        symbol=book.symbol,
        timeframe=book.timeframe,
        created=until,
        feature_set=features.name,
        feature_digest=features.digest,
        data_from=moment(bars.time[0]),
        data_until=until,
        data_digest=bars.digest(),
        levels=levels(bars),
    )
    return export(fitted, meta)


def go_live(state: StateStore, models: ModelStore, book: Book, files: Artefact) -> Model:
    """Makes `files` the live model of `book`."""
    model = load(files, digest(files[MANIFEST]))
    version = version_of(model.manifest, model.version)
    for name, data in files.items():
        models.put(folder(book.id, version) + name, data)
    state.commit([Write(pointer_key(book.id), {"version": version, "manifest_sha256": model.version})])
    return model


@dataclass(frozen=True)
class Road:
    """One book in its world, with the live model's forecast for every bar of the market."""

    book: Book
    bars: Bars
    daily: Daily
    world: World
    clock: FixedClock
    model: Model

    def forecasts(self) -> tuple[Floats, Floats]:
        """(p(up), rows of CONTEXT) of every bar, computed in one batch."""
        arguments = (self.bars, self.book.timeframe, self.daily, self.book.vix_max_age_s)
        rows, context = compute(SETS[self.book.features], *arguments), compute(CONTEXT, *arguments)
        p_up = np.full(len(rows), np.nan)
        usable = self.model.usable(rows)
        p_up[usable] = self.model.predict(rows[usable])
        return p_up, context

    def at(self, index: int, late: float = 5.0) -> datetime:
        """The time of the tick for bar `index`."""
        return moment(self.bars.time[index]) + timedelta(seconds=seconds(self.book.timeframe) + late)

    @property
    def first(self) -> int:
        """The first bar that may be traded on."""
        return needed(self.book)


def road(
    book: Book | None = None,
    bars: Bars | None = None,
    daily: Daily | None = None,
    state: StateStore | None = None,
    trained_on: int = 1500,
    files: Artefact | None = None,
) -> Road:
    book = book or small_book()
    bars = bars if bars is not None else drawn()
    daily = daily or from_closes(np.empty(0, np.int64), np.empty(0))
    state, models = state or MemoryState(), MemoryModels()
    model = go_live(state, models, book, files or trained(book, bars, daily, trained_on))
    clock = FixedClock(moment(bars.time[-1]) + HOUR)
    exchange = PaperExchange(state, Holding(cash=book.policy.capital), book.rules, book.costs)
    sources = [("array", ArrayVix(daily))] if len(daily) else []
    world = World(clock, ArrayMarket(bars), sources, exchange, state, models, vix_every_s=0, patience_s=0)
    return Road(book, bars, daily, world, clock, model)


_known: dict[tuple[object, ...], Artefact] = {}


def trained(book: Book, bars: Bars, daily: Daily, count: int = 1500) -> Artefact:
    """The artefact of `book` from its first `count` bars; made once in a process."""
    key = (book.features, book.symbol, bars.digest(), len(daily), count)
    if key not in _known:
        _known[key] = artefact(book, bars[:count], daily)
    return _known[key]
