"""The venue's time, which moves when it is told, and the price at every moment of it."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np

from core.domain.bars import Bars, epoch, moment
from core.domain.orders import exact

MICROSECOND = timedelta(microseconds=1)


class VenueClock:
    """Stands still until it is moved. With `real=True` it also runs on by itself, as real time does, from `start`.

    `schedule` makes something happen at a time: `advance` and `set` stop there on the way and call it, the clock
    showing that very time. A running clock calls it from a thread of its own.
    """

    def __init__(self, start: datetime, *, real: bool = False) -> None:
        epoch(start)  # refuses a time without zone
        self._at, self._real, self._born = start.astimezone(UTC), real, time.monotonic()
        self._lock = threading.RLock()
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._number = count()

    def now(self) -> datetime:
        with self._lock:
            return self._at + timedelta(seconds=time.monotonic() - self._born) if self._real else self._at

    def advance(self, seconds: float) -> None:
        self.set(self.now() + timedelta(seconds=seconds))

    def set(self, to: datetime) -> None:
        while (event := self._next(to)) is not None:
            self._move(event[0])
            event[1]()
        self._move(to)

    def schedule(self, at: datetime, what: Callable[[], None]) -> None:
        if self._real:
            timer = threading.Timer(max((at - self.now()).total_seconds(), 0.0), what)
            timer.daemon = True
            timer.start()
            return
        with self._lock:
            heapq.heappush(self._due, (at, next(self._number), what))

    def _next(self, until: datetime) -> tuple[datetime, Callable[[], None]] | None:
        with self._lock:
            if not self._due or self._due[0][0] > until:
                return None
            at, _, what = heapq.heappop(self._due)
            return at, what

    def _move(self, to: datetime) -> None:
        with self._lock:
            self._at, self._born = to, time.monotonic()


class Point(NamedTuple):
    """The price at a time; `jump`: it got there without trading in between (an open away from the last close)."""

    at: datetime
    price: Decimal
    jump: bool


class Candle(NamedTuple):
    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Path:
    """The price at every moment, from bars: open → low → high → close in straight lines of a third of the bar each when
    the bar rose, open → high → low → close when it fell. It jumps from a close to the next open. Before the first bar
    it is that bar's open, in a gap and after the last bar the last close. Times between are rounded to `tick`."""

    def __init__(self, bars: Bars, tick: Decimal, step: int = 3600) -> None:
        if not len(bars):
            raise ValueError("a market needs at least one bar")
        self.bars, self.tick, self.step = bars, tick, timedelta(seconds=step)
        self._known: dict[int, list[Point]] = {}

    def price(self, at: datetime) -> Decimal:
        index = self._index(at)
        if index < 0:
            return exact(self.bars.open[0])
        return self._along(index, at)

    def points(self, after: datetime, until: datetime) -> Iterator[Point]:
        """Every corner of the path in (after, until], and the price at `until`: between two points without a jump the
        price went through everything that lies between theirs."""
        for index in range(max(self._index(after), 0), self._index(until) + 1):
            yield from (point for point in self._corners(index) if after < point.at <= until)
        yield Point(until, self.price(until), False)

    def candles(self, since: datetime, now: datetime, *, forming: bool = True) -> list[Candle]:
        """The bars that open in [since, now], the last one as far as it has come, if `forming` bars are shown."""
        first = int(np.searchsorted(self.bars.time, epoch(since)))
        found = [self._candle(index, now) for index in range(first, self._index(now) + 1)]
        if found and not forming and found[-1].at + self.step > now:
            found.pop()
        return found

    def _index(self, at: datetime) -> int:
        return int(np.searchsorted(self.bars.time, epoch(at), side="right")) - 1

    def _corners(self, index: int) -> list[Point]:
        if index not in self._known:
            self._known[index] = self._bent(index)
        return self._known[index]

    def _bent(self, index: int) -> list[Point]:
        bar = self._whole(index)
        middle = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        prices = (bar.open, *middle, bar.close)
        return [Point(bar.at + self.step / 3 * i, price, i == 0) for i, price in enumerate(prices)]

    def _along(self, index: int, at: datetime) -> Decimal:
        corners = self._corners(index)
        for start, end in pairwise(corners):
            if at < end.at:
                share = Decimal((at - start.at) // MICROSECOND) / Decimal((end.at - start.at) // MICROSECOND)
                return self._rounded(start.price + (end.price - start.price) * share) if share else start.price
        return corners[-1].price

    def _rounded(self, price: Decimal) -> Decimal:
        return (price / self.tick).to_integral_value(ROUND_HALF_EVEN) * self.tick

    def _whole(self, index: int) -> Candle:
        row = (float(column[index]) for column in self.bars.columns()[1:])
        return Candle(moment(self.bars.time[index]), *(exact(value) for value in row))

    def _candle(self, index: int, now: datetime) -> Candle:
        bar = self._whole(index)
        if bar.at + self.step <= now:
            return bar
        close = self._along(index, now)
        been = [bar.open, close, *(point.price for point in self._corners(index) if point.at <= now)]
        share = Decimal((now - bar.at) // MICROSECOND) / Decimal(self.step // MICROSECOND)
        volume = (bar.volume * share).quantize(Decimal("0.0001"))
        return Candle(bar.at, bar.open, max(been), min(been), close, volume)


def bars_of(since: datetime, *rows: tuple[float, float, float, float], step: int = 3600) -> Bars:
    """Bars from (open, high, low, close), one after the other, with a volume of 1."""
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    time = epoch(since) + step * np.arange(len(rows), dtype=np.int64)
    o, h, low, c = (table[:, i].copy() for i in range(4))
    return Bars(time, o, h, low, c, np.ones(len(rows)))
