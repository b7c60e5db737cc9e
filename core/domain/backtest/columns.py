"""Columns of a run that are made when they are looked at: what stood in a quiet stretch gives every bar of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from core.domain.backtest.fold import Course, Stand, seen
from core.domain.bars import Floats, Times, moment
from core.domain.decide import Decision, decide
from core.domain.fills import Account, sight
from core.domain.orders import exact
from core.domain.risk import Trip
from core.domain.state import BookState

T = TypeVar("T")


class Column(Sequence[T], Generic[T]):
    """`make(row)` for each of `size` rows; `numbers`: the whole column as an array, where there is one."""

    def __init__(self, size: int, make: Callable[[int], T], numbers: NDArray[Any] | None = None) -> None:
        self.size, self.make, self.numbers = size, make, numbers

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self.make(row) for row in range(*index.indices(self.size))]
        row = index + self.size if index < 0 else index
        if not 0 <= row < self.size:
            raise IndexError(f"row {index} of {self.size}")
        return self.make(row)

    def __iter__(self) -> Iterator[T]:
        return map(self.make, range(self.size))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(other) != self.size:
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if self.numbers is None:
            made = np.empty(self.size, object)
            made[:] = list(self)
            return made
        return np.array(self.numbers, dtype, copy=True) if copy else np.asarray(self.numbers, dtype)

    def __repr__(self) -> str:
        return f"<{self.size} rows, made when they are looked at>"


class Event(NamedTuple):
    """One bar that was taken as a tick takes it."""

    decision: Decision
    equity: Decimal
    position: Decimal


class Stretch(NamedTuple):
    """Bars over which nothing changed but the market: what stood before them."""

    state: BookState
    account: Account
    trips: tuple[Trip, ...]


class Journal:
    """What a run did, row by row; `rows`: the index of each row's bar. `worth`, `held`: equity and position."""

    def __init__(self, over: Course, rows: NDArray[np.intp]) -> None:
        self.over, self.rows = over, rows
        self.starts: list[int] = []
        self.parts: list[Event | Stretch] = []
        self.worth: Floats = np.empty(len(rows))
        self.held: Floats = np.empty(len(rows))

    def event(self, row: int, decision: Decision, stand: Stand) -> None:
        equity, position = stand.state.equity, stand.state.holding.position
        self.starts.append(row)
        self.parts.append(Event(decision, equity, position))
        self.worth[row], self.held[row] = float(equity), float(position)

    def stretch(self, row: int, end: int, stand: Stand, worth: Floats | float) -> None:
        self.starts.append(row)
        self.parts.append(Stretch(stand.state, stand.account, stand.trips))
        self.worth[row:end], self.held[row:end] = worth, float(stand.state.holding.position)

    def columns(self) -> tuple[Column[datetime], Column[Decision], Column[Decimal], Column[Decimal]]:
        size, time = len(self.rows), self.over.bars.time[self.rows]
        return (
            Column(size, self.bar, time),
            Column(size, self.decision),
            Column(size, self.equity, self.worth),
            Column(size, self.position, self.held),
        )

    def bar(self, row: int) -> datetime:
        times: Times = self.over.bars.time
        return moment(times[self.rows[row]])

    def decision(self, row: int) -> Decision:
        part, i = self._part(row), int(self.rows[row])
        if isinstance(part, Event):
            return part.decision
        shown = sight(part.account, (), exact(self.over.bars.close[i]))
        view = seen(self.over, i, part.state, part.trips, shown)
        return decide(view, self.over.book.policy, self.over.book.rules)

    def equity(self, row: int) -> Decimal:
        part = self._part(row)
        if isinstance(part, Event):
            return part.equity
        return part.state.holding.equity(exact(self.over.bars.close[self.rows[row]]))

    def position(self, row: int) -> Decimal:
        part = self._part(row)
        return part.position if isinstance(part, Event) else part.state.holding.position

    def _part(self, row: int) -> Event | Stretch:
        return self.parts[bisect_right(self.starts, row) - 1]
