"""The quick fold: bars at which nothing can happen are passed over, the others taken as in core.domain.backtest.fold.

It gives the same, to the last digit of every decision, fill, mark and state; tests/domain/test_quick.py holds it to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.domain.backtest.ahead import SLACK, Ahead, day_of
from core.domain.backtest.columns import Journal
from core.domain.backtest.fold import NONE, Problem, Result, Stand, act, arrive, course, look, start
from core.domain.bars import Bars, Floats, close_time, moment
from core.domain.orders import Fill, exact
from core.domain.risk import Marks
from core.domain.risk.breakers import Fall
from core.domain.settle import News
from core.domain.state import Book, Trade


def backtest(
    book: Book,
    bars: Bars,
    p_up: Floats,
    context: Floats,
    need: int,
    first: int = 0,
    missed: NDArray[np.bool_] | None = None,
    resume_after: timedelta | None = None,
    problems: Mapping[int, Problem] = NONE,
    funding: Floats | None = None,
) -> Result:
    """What core.domain.backtest.fold.backtest gives, of the same arguments. Decisions, equity and position of quiet
    bars are made when they are looked at."""
    over = course(book, bars, p_up, context, need, missed, resume_after, problems, funding)
    ahead, stand = Ahead(over, first), start(book)
    journal = Journal(over, ahead.rows)
    fills: list[Fill] = []
    trades: list[Trade] = []
    i = first
    while i < len(bars):
        end = ahead.until(stand, i) if ahead.quiet(stand) else i
        if end > i:
            _pass(ahead, stand, journal, i, end)
            i = end
            continue
        if (news := _take(ahead, stand, journal, i)) is not None:
            fills.extend(news.fills)
            trades.extend(news.trades)
        i += 1
    return Result(*journal.columns(), fills, trades, stand.state)


def _take(ahead: Ahead, stand: Stand, journal: Journal, i: int) -> News | None:
    """Take `stand` through bar i as a tick does; a decision that cannot ask for anything is left for later."""
    over, row = ahead.over, int(ahead.row[i])
    shown = arrive(over, stand, i)
    if shown is None:
        return None
    news = look(over, stand, i, shown)
    if ahead.idle(stand, i):
        journal.stretch(row, row + 1, stand, float(stand.state.equity))
        stand.state = replace(stand.state, bar=moment(over.bars.time[i]))
    else:
        journal.event(row, act(over, stand, i, shown), stand)
    return news


def _pass(ahead: Ahead, stand: Stand, journal: Journal, i: int, end: int) -> None:
    """Take `stand` through bars i:end, in which only the marks move."""
    first, last = int(ahead.row[i]), int(ahead.row[end])
    bars, state = ahead.over.bars, stand.state
    if first < last:
        worth = ahead.equity(state, first, last) if state.holding.position else float(state.equity)
        journal.stretch(first, last, stand, worth)
        price, bar = exact(ahead.close[last - 1]), moment(bars.time[ahead.rows[last - 1]])
        marks = _Marking(ahead, stand, first, last, worth).marks()
        stand.state = replace(state, bar=bar, price=price, equity=state.holding.equity(price), marks=marks)
        stand.price = price
    stand.account = replace(stand.account, bar=moment(bars.time[end - 1]))


class _Marking:
    """The marks after the rows first:last of a quiet stretch: as breakers.mark makes them, one row after the other."""

    def __init__(self, ahead: Ahead, stand: Stand, first: int, last: int, worth: Floats | float) -> None:
        marks = stand.state.marks
        assert marks is not None
        self.ahead, self.stand, self.holding, self.before = ahead, stand.state, stand.state.holding, marks
        self.first, self.last, self.worth = first, last, worth

    def marks(self) -> Marks:
        return self._held() if self.holding.position else self._flat()

    def _flat(self) -> Marks:
        """The equity stands still: nothing but a new day is of note."""
        row = self._dawn()
        if row is None:
            return self.before
        opened = self._worth(row)
        return Marks(
            day=self._day(row), opened=opened, low=opened, peak=self.before.peak, low_at=self._now(row),
            deepest=self.before.deepest,
        )  # fmt: skip

    def _held(self) -> Marks:
        before, equity = self.before, np.asarray(self.worth)
        peak, deepest, row = self._peak(equity, self.last), self._deepest(equity), self._dawn()
        if row is None:
            low, low_at = before.low, before.low_at
            if float(equity.min()) < float(low) * (1.0 + SLACK):
                found = self._least(equity, self.first)
                if self._worth(found) < low:
                    low, low_at = self._worth(found), self._now(found)
            return replace(before, low=low, low_at=low_at, peak=peak, deepest=deepest)
        found = self._least(equity, row)
        return Marks(
            day=self._day(row), opened=self._worth(row), low=self._worth(found), peak=peak, low_at=self._now(found),
            deepest=deepest,
        )  # fmt: skip

    def _dawn(self) -> int | None:
        """The first row of the last day; None when it is the day that the marks know."""
        day = int(self.ahead.day[self.last - 1])
        return None if day <= day_of(self.before.day) else max(int(self.ahead.dawn[self.last - 1]), self.first)

    def _peak(self, equity: Floats, last: int) -> Decimal:
        """The highest equity up to row `last`, exclusive."""
        equity = equity[: last - self.first]
        most = float(equity.max())
        if most < float(self.before.peak) * (1.0 - SLACK):
            return self.before.peak
        near = np.flatnonzero(equity >= most - abs(most) * SLACK) + self.first
        return max([self.before.peak, *(self._worth(int(row)) for row in near)])

    def _least(self, equity: Floats, row: int) -> int:
        """The first row from `row` on with the least equity."""
        part = equity[row - self.first :]
        least = float(part.min())
        near = np.flatnonzero(part <= least + abs(least) * SLACK) + row
        return min((int(each) for each in near), key=self._worth)

    def _deepest(self, equity: Floats) -> Fall | None:
        deepest = self.before.deepest
        known = float(deepest.share) if deepest else 0.0
        peak = np.maximum(np.maximum.accumulate(equity), float(self.before.peak))
        share = (peak - equity) / peak
        least = max(float(share.max()), known) - SLACK
        for row in np.flatnonzero(share >= least) + self.first:
            fall = Fall(self._peak(equity, int(row) + 1), self._worth(int(row)), self._now(int(row)))
            if fall.share > (deepest.share if deepest else 0):
                deepest = fall
        return deepest

    def _worth(self, row: int) -> Decimal:
        return self.holding.equity(exact(self.ahead.close[row]))

    def _now(self, row: int) -> datetime:
        return close_time(moment(self.ahead.over.bars.time[self.ahead.rows[row]]), self.ahead.over.book.timeframe)

    def _day(self, row: int) -> datetime:
        return moment(int(self.ahead.day[row]) * 86400)
