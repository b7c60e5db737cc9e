"""Several books on one account: the fold over all of them, in the order in which their ticks would run.

Bars are taken by the time at which they close, and those that close together by their book's id, one after the other:
each book sees the others as their newest ticks left them, orders that were only sent included. What they share is what
core/flows/account.py makes them share: positions, exposure and correlated exposure, the account's daily loss and its
drawdown, which stops all of them until a person resumes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from core.domain.backtest.fold import (
    ENDLESS,
    Course,
    Problem,
    Result,
    Rooms,
    Stand,
    arrive,
    choose,
    course,
    look,
    order,
    start,
)
from core.domain.bars import Bars, Floats, close_time, epoch, moment, seconds
from core.domain.decide import Decision
from core.domain.orders import ZERO, Fill
from core.domain.risk import Limits, Trip
from core.domain.risk.room import Exposure, correlation, room
from core.domain.state import Book, BookState, Trade, exposed, judged, trusted, warned
from core.domain.switch import MODES, Mode, severest


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One book, and what it goes over: see `backtest` for each."""

    book: Book
    bars: Bars
    p_up: Floats
    context: Floats
    need: int
    first: int = 0
    missed: NDArray[np.bool_] | None = None
    problems: Mapping[int, Problem] = field(default_factory=dict)
    funding: Floats | None = None


@dataclass(slots=True)
class _Walk:
    """One book on its way. `window`: which bars its newest tick saw, from and up to."""

    over: Course
    stand: Stand
    window: tuple[int, int] = (0, 0)
    bars: list[datetime] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    equity: list[Decimal] = field(default_factory=list)
    position: list[Decimal] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)

    def result(self) -> Result:
        made = self.bars, self.decisions, self.equity, self.position, self.fills, self.trades
        return Result(*made, self.stand.state)


@dataclass(slots=True)
class _Account:
    """What the books share. `mode`: of the switch over all books, which the account's breakers flip; `since`: when."""

    limits: Limits
    walks: Mapping[str, _Walk]
    resume_after: timedelta | None
    mode: Mode = "run"
    since: datetime | None = None

    def others(self, walk: _Walk) -> list[_Walk]:
        return [other for other in self.walks.values() if other is not walk]

    def lifted(self, state: BookState, now: datetime) -> BookState:
        """The state once a person has resumed all books, if that is so."""
        if self.since is not None and self.resume_after is not None and now - self.since >= self.resume_after:
            self.mode, self.since = "run", None
        mine = [trip for trip in state.tripped if trip.scope == "account"]
        below = MODES.index(self.mode) < MODES.index(_severest(mine))
        return trusted(state, mine, now) if below else state

    def judged(self, walk: _Walk, state: BookState, now: datetime) -> tuple[BookState, tuple[Trip, ...]]:
        """The state with the account's equity marked, and the account's breakers that are tripped."""
        others = self.others(walk)
        if not others:
            return state, ()
        return judged(state, self.equity(walk, state), self.limits, now)

    def equity(self, walk: _Walk, own: BookState) -> Decimal:
        return own.equity + sum((other.stand.state.equity for other in self.others(walk)), ZERO)

    def rooms(self, walk: _Walk, state: BookState) -> Rooms:
        """What the other books leave, for a long and for a short position."""
        others = self.others(walk)
        if not others:
            return ENDLESS
        held = [_exposure(other, walk) for other in others]
        equity = self.equity(walk, state)
        return room(held, "buy", equity, self.limits), room(held, "sell", equity, self.limits)

    def flip(self, state: BookState) -> None:
        """What the account's breakers make of the switch over all books."""
        mine = [trip for trip in state.tripped if trip.scope == "account"]
        if MODES.index(self.mode) < MODES.index(_severest(mine)):
            self.mode, self.since = _severest(mine), self.since or min(trip.since for trip in mine)


def several(series: Sequence[Series], limits: Limits, resume_after: timedelta | None = None) -> dict[str, Result]:
    """Fold every book over its bars, on one account under `limits`; results by book id.

    `series` in the order of the deployment's books. `resume_after`: a person is taken to resume breakers that wait for
    one so long after they tripped, the account's for all books at once; None: nobody ever does. One book alone gives
    what `backtest` gives. Raises ValueError when two books have one id.
    """
    walks = {one.book.id: _walk(one, resume_after) for one in series}
    if len(walks) < len(series):
        raise ValueError("two books have the same id")
    account = _Account(limits, walks, resume_after)
    for _, name, i in sorted(turn for one in series for turn in _turns(one)):
        _step(account, walks[name], i)
    return {name: walk.result() for name, walk in walks.items()}


def _walk(one: Series, resume_after: timedelta | None) -> _Walk:
    over = course(
        one.book, one.bars, one.p_up, one.context, one.need, one.missed, resume_after, one.problems, one.funding
    )
    return _Walk(over, start(one.book))


def _turns(one: Series) -> list[tuple[int, str, int]]:
    """When each bar of a book closes, whose it is, and which."""
    step = seconds(one.book.timeframe)
    return [(int(one.bars.time[i]) + step, one.book.id, i) for i in range(one.first, len(one.bars))]


def _step(account: _Account, walk: _Walk, i: int) -> None:
    """One book through bar i, as fold.step takes it, beside the others."""
    over, stand = walk.over, walk.stand
    shown = arrive(over, stand, i)
    if shown is None:
        return
    now = close_time(moment(over.bars.time[i]), over.book.timeframe)
    walk.window = _window(over, stand.state.bar, i)
    stand.state = account.lifted(stand.state, now)
    news = look(over, stand, i, shown)
    state, shared = account.judged(walk, stand.state, now)
    stand.trips = (*stand.trips, *shared)
    stand.state = warned(state, stand.trips)
    decision = choose(over, stand, i, shown, account.mode, account.rooms(walk, stand.state))
    account.flip(stand.state)
    order(over, stand, i, shown, account.mode)
    walk.bars.append(moment(over.bars.time[i]))
    walk.decisions.append(decision)
    walk.equity.append(stand.state.equity)
    walk.position.append(stand.state.holding.position)
    walk.fills.extend(news.fills)
    walk.trades.extend(news.trades)


def _severest(trips: Sequence[Trip]) -> Mode:
    return severest(tuple(trip.level for trip in trips))


def _window(over: Course, decided: datetime | None, i: int) -> tuple[int, int]:
    """Which bars a tick for bar i looks at: as many as it needs, and those since the last one that was decided on."""
    step, bar = seconds(over.book.timeframe), int(over.bars.time[i])
    since = bar - (over.need - 1) * step
    since = since if decided is None else min(since, epoch(decided) + step)
    return int(np.searchsorted(over.bars.time, since)), i + 1


def _exposure(other: _Walk, walk: _Walk) -> Exposure:
    """What another book holds, and how its market moves with that of the book that asks."""
    notional, book = exposed(other.stand.state), other.over.book
    together = math.nan
    if notional != 0:
        begin, end = other.window
        begin = max(begin, end - other.over.need)  # as many as its tick has kept
        together = correlation(walk.over.bars[slice(*walk.window)], other.over.bars[begin:end])
    return Exposure(symbol=book.symbol, notional=notional, correlation=together)
