"""Bars: the closed candles of one symbol, and whether a window of them may be traded on.

A bar is named by its open time. Arrays hold open times as int64 epoch seconds (UTC); outside of arrays a time is an
aware `datetime`. Prices are in quote currency, volume in base coin.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

YEAR: Final = 365.25 * 86400  # seconds
UNITS: Final = {"m": 60, "h": 3600, "d": 86400}
PRICES: Final = ("open", "high", "low", "close")


class BadBars(ValueError):
    """Bars that cannot be believed. `reason` is a stable code; the message says what, where and what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Closed bars in order of time: six arrays of one length."""

    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, index: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Bars:
        t, o, h, low, c, v = self.columns()
        return Bars(t[index], o[index], h[index], low[index], c[index], v[index])

    def columns(self) -> tuple[Times, Floats, Floats, Floats, Floats, Floats]:
        return self.time, self.open, self.high, self.low, self.close, self.volume

    def between(self, since: datetime, until: datetime) -> Bars:
        """The bars that open in [since, until)."""
        first, last = np.searchsorted(self.time, [epoch(since), epoch(until)])
        return self[int(first) : int(last)]

    def digest(self) -> str:
        """SHA-256 of the packed content: equal bars have equal digests on every machine."""
        return hashlib.sha256(pack(self)).hexdigest()


def seconds(timeframe: str) -> int:
    """'1h' → 3600. Raises ValueError for what is not a count and one of m, h, d."""
    count, unit = timeframe[:-1], timeframe[-1:]
    if unit not in UNITS or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"timeframe {timeframe!r}: give a count and one of m, h, d, such as '1h'")
    return int(count) * UNITS[unit]


def epoch(time: datetime) -> int:
    """Whole epoch seconds of an aware datetime. Raises ValueError when it carries no time zone."""
    if time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone: give UTC, such as 2024-05-01T13:00:05Z")
    return int(time.timestamp())


def moment(time: int | np.int64) -> datetime:
    return datetime.fromtimestamp(int(time), UTC)


def bar_before(at: datetime, timeframe: str) -> datetime:
    """The bar that had just closed at `at`: at 13:00:05 on '1h' it is the one that opened at 12:00."""
    step = seconds(timeframe)
    return moment(epoch(at) // step * step - step)


def close_time(bar: datetime, timeframe: str) -> datetime:
    return bar + timedelta(seconds=seconds(timeframe))


def empty() -> Bars:
    none = np.empty(0)
    return Bars(np.empty(0, np.int64), none, none, none, none, none)


def pack(bars: Bars) -> bytes:
    """Six little-endian columns, one after the other: 48 bytes a bar."""
    return b"".join(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes() for column in bars.columns())


def unpack(data: bytes) -> Bars:
    """The inverse of `pack`. Raises BadBars when the length is not that of whole bars."""
    if len(data) % 48:
        raise BadBars("window_damaged", f"the stored window has {len(data)} bytes, which is no whole number of bars")
    size = len(data) // 6
    parts = [data[i * size : (i + 1) * size] for i in range(6)]
    return Bars(np.frombuffer(parts[0], "<i8"), *(np.frombuffer(part, "<f8") for part in parts[1:]))


def merge(old: Bars, new: Bars) -> Bars:
    """Both in order of time; where both have a bar, the new one stands (venues correct recent bars)."""
    if not len(new):
        return old
    follows = not len(old) or new.time[0] > old.time[-1]  # as at every tick, where nothing need be looked for
    kept = old if follows else old[~np.isin(old.time, new.time)]
    joined = Bars(*(np.concatenate(pair) for pair in zip(kept.columns(), new.columns(), strict=True)))
    return joined if follows else joined[np.argsort(joined.time, kind="stable")]


def gaps(bars: Bars, timeframe: str) -> NDArray[np.intp]:
    """The index of each bar behind which the next one on the grid is missing."""
    return np.flatnonzero(bars.time[1:] - bars.time[:-1] != seconds(timeframe))


def unbroken(bars: Bars, timeframe: str) -> NDArray[np.int64]:
    """For each bar, how many bars up to and with it follow one another on the grid without a gap."""
    if not len(bars):
        return np.empty(0, np.int64)
    index = np.arange(len(bars))
    first = np.zeros(len(bars), np.int64)
    after = gaps(bars, timeframe) + 1
    first[after] = after
    return index - np.maximum.accumulate(first) + 1


def insane(bars: Bars) -> NDArray[np.bool_]:
    """Rows that no honest venue prints: not finite, price not positive, volume negative, high and low not around."""
    o, h, low, c, v = bars.columns()[1:]
    # No comparison with NaN is true.
    sane = (low > 0) & (low <= np.minimum(o, c)) & (h >= np.maximum(o, c)) & (h < np.inf) & (v >= 0) & (v < np.inf)
    return ~sane


def refusal(window: Bars, bar: datetime, need: int, timeframe: str) -> tuple[str, str] | None:
    """Why `window` may not be traded on at `bar`, as (reason, sentence), or None when it may.

    It may when the `need` bars up to and with `bar` are all there, on the grid and sane, and `bar` is the newest.
    """
    wanted = epoch(bar)
    if not len(window):
        return "window_empty", f"there are no bars up to {bar.isoformat()}"
    last = int(window.time[-1])
    if last < wanted:
        return "window_stale", f"the newest bar is {moment(last).isoformat()}, not {bar.isoformat()}"
    if last > wanted:
        return "window_ahead", f"the newest bar is {moment(last).isoformat()}, which had not closed at this tick"
    step = seconds(timeframe)
    tail = window[int(np.searchsorted(window.time, wanted - (need - 1) * step)) :]
    off = np.flatnonzero(tail.time % step)
    if len(off):
        return "window_off_grid", f"the bar {moment(tail.time[off[0]]).isoformat()} is not on the {timeframe} grid"
    bad = np.flatnonzero(insane(tail))
    if len(bad):
        return "window_insane", f"the bar {moment(tail.time[bad[0]]).isoformat()} holds values that no market prints"
    behind = gaps(tail, timeframe)
    run = len(tail) - 1 - int(behind[-1]) if len(behind) else len(tail)
    if run < len(tail):
        return "window_gap", f"bars are missing before {moment(tail.time[len(tail) - run]).isoformat()}"
    if run < need:
        return "window_short", f"{run} bars without a gap, {need} are needed"
    return None
