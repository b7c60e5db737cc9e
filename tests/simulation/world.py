"""The world of one invocation: the ports of core.ports, each of which may fail at every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any

import numpy as np

from core.adapters.paper_exchange import PaperExchange
from core.domain.bars import Bars, epoch, moment
from core.domain.daily import DAY, Daily, from_closes
from core.domain.ensemble import Training
from core.domain.forecast import Model
from core.domain.orders import Holding
from core.ports import ModelStore, StateStore, World, Write
from tests import road
from tests.fakes import MemoryModels
from tests.simulation import market
from tests.simulation.faults import ANY_CALL, Luck
from tests.simulation.port import Port
from tests.simulation.setting import Setting
from tests.simulation.store import Documents, Store
from tests.simulation.turns import SECOND, Time, Turns
from tests.simulation.turns import moment as instant
from tests.simulation.venue import Venue

TINY = Training(trees=2, learning_rate=0.2, forest_trees=2, depth=2, leaves=3, folds=2, forest_depth=2)
BAD_BARS = ("missing", "gap", "insane", "stale")


@dataclass(eq=False)
class Scene:
    """What outlives an invocation."""

    setting: Setting
    time: Time
    turns: Turns
    documents: Documents
    venue: Venue
    models: MemoryModels = field(default_factory=MemoryModels)
    warm: dict[str, object] = field(default_factory=dict)


class VirtualClock:
    def __init__(self, turns: Turns, luck: Luck) -> None:
        self._turns, self._luck = turns, luck

    def now(self) -> datetime:
        return instant(self._turns.time.now)

    def sleep(self, seconds: float) -> None:
        kind = self._luck.strikes("sleep", ("crash before", "crash after"))
        self._luck.before("sleep", kind)
        self._turns.wait(int(seconds * SECOND))
        self._luck.after("sleep", kind)


class Candles:
    """The Market: the walk's bars, once they are printed; sometimes fewer, old ones, or nonsense."""

    def __init__(self, turns: Turns, luck: Luck) -> None:
        self._turns, self._luck = turns, luck

    def bars(self, since: datetime, until: datetime) -> Bars:
        label = "bars newest" if (until - since).total_seconds() == 3600 else "bars past"
        kind = self._luck.strikes(label, (*ANY_CALL, *BAD_BARS))
        self._luck.pause()
        self._luck.before(label, kind)
        printed = moment((self._turns.time.now - 3 * SECOND) // SECOND // 3600 * 3600)
        found = market.bars().between(since, min(until, printed))
        found = _spoilt(found, kind) if kind in BAD_BARS and len(found) else found
        self._luck.after(label, kind)
        return found


class Minutes:
    """The Market of one-minute bars: the price stands still between its moves."""

    def __init__(self, turns: Turns, luck: Luck) -> None:
        self._turns, self._luck = turns, luck

    def bars(self, since: datetime, until: datetime) -> Bars:
        return self._luck.call("minutes", lambda: self._printed(epoch(since), epoch(until)))

    def _printed(self, since: int, until: int) -> Bars:
        last = min(until, self._turns.time.now // SECOND // 60 * 60)
        time = np.arange(since, last, 60, dtype=np.int64)
        price = np.array([float(market.price(int(each) * SECOND)) for each in time])
        return Bars(time, price, price, price, price, np.full(len(time), 0.1))


def _spoilt(bars: Bars, kind: str | None) -> Bars:
    if kind in ("missing", "stale"):
        return bars[:-1]
    middle = len(bars) // 2
    if kind == "gap":
        return bars[np.arange(len(bars)) != middle]
    close = bars.close.copy()
    close[middle] = np.nan
    return Bars(bars.time, bars.open, bars.high, bars.low, close, bars.volume)


class Failing:
    """A port whose calls fail: those named, each as `label`."""

    def __init__(self, port: object, luck: Luck, **labels: str) -> None:
        self._port, self._luck, self._labels = port, luck, labels

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._labels:
            return found
        return lambda *args, **kwargs: self._luck.call(self._labels[name], partial(found, *args, **kwargs))


class Vix:
    def history(self, now: datetime) -> Daily:
        days = epoch(now) // DAY
        return from_closes(np.arange(days - 80, days) * DAY, np.full(80, 18.0))


@cache
def _live() -> tuple[Documents, MemoryModels, Model]:
    """A small model that is live, as it is stored; made once in a process."""
    book, documents, models = road.small_book(), Documents(), MemoryModels()
    files = road.artefact(book, road.drawn(), from_closes(np.empty(0, np.int64), np.empty(0)), TINY)
    return documents, models, road.go_live(documents, models, book, files)


def go_live(scene: Scene) -> None:
    documents, scene.models, model = _live()
    scene.documents.commit([Write(key, found.data) for key, found in documents.all().items()])
    scene.warm[f"model {scene.setting.book.id}"] = model


def world(scene: Scene, luck: Luck, foresee: Any, warm: bool, owner: Callable[[], str]) -> World:
    state: StateStore = Store(scene.documents, luck)
    models: ModelStore = Failing(scene.models, luck, get="models get")  # type: ignore[assignment]
    return World(
        clock=VirtualClock(scene.turns, luck),
        market=Candles(scene.turns, luck),
        vix=[("vix", Failing(Vix(), luck, history="vix"))],  # type: ignore[list-item]
        exchange=exchange(scene, luck),
        state=state,
        models=models,
        owner=owner,
        foresee=foresee,
        together=luck.together,
        cache=scene.warm if warm else {},
        minutes=Minutes(scene.turns, luck),
    )


def exchange(scene: Scene, luck: Luck) -> Any:
    book = scene.setting.book
    if scene.setting.quirks.traits.instant:
        return Port(scene.venue, luck, scene.turns)
    store = Store(scene.documents, luck, "paper ")
    return PaperExchange(store, Holding(cash=book.policy.capital), book.rules, book.costs)
