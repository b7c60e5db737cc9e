"""Numbers and times as text, round ticks, and values as places on the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

DASH: Final = "\u2013"
MINUS: Final = "\u2212"
BUCKETS: Final = 720  # about one for each pixel of a laptop's chart, up to four points in each
BREAK: Final = 3  # a line is not drawn across a hole of more than this many bars
DAY: Final = 86400
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CLOCK_STEPS: Final = (60, 300, 900, 1800, 3600, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY)
MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
MOST_TICKS: Final = 8.5
WIDE: Final = 3.0  # how many times the lowest the highest may be on a linear scale


def number(value: float | Decimal, decimals: int, *, signed: bool = False) -> str:
    """'1,234.50', with a true minus sign when negative; a dash for what is not finite."""
    if not math.isfinite(value):
        return DASH
    rounded = round(float(value), decimals) + 0.0  # no negative zero
    return f"{rounded:{'+' if signed else ''},.{decimals}f}".replace("-", MINUS)


def share(value: float, decimals: int, *, signed: bool = False) -> str:
    """0.125 as '12.50%'."""
    text = number(value * 100, decimals, signed=signed)
    return text if text == DASH else text + "%"


def quantity(value: Decimal) -> str:
    """'0.0125': up to eight decimals, as many as it has."""
    text = f"{value:,.8f}"
    return text.rstrip("0").rstrip(".").replace("-", MINUS)


def decimals_for(size: float) -> int:
    """How many decimals amounts of this size deserve: five digits or so, and none from 100,000 on."""
    if not math.isfinite(size) or size <= 0:
        return 2
    return min(12, max(0 if size >= 1e5 else 2, 4 - math.floor(math.log10(size))))


def stamp(time: float | datetime) -> str:
    """'2024-03-01 13:00', in UTC."""
    moment = time.astimezone(UTC) if isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)
    return f"{moment:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """'3 d 4 h', '4 h 30 min': the two largest units."""
    parts = ((seconds // DAY, "d"), (seconds % DAY // 3600, "h"), (seconds % 3600 // 60, "min"))
    return " ".join([f"{int(count)} {unit}" for count, unit in parts if count][:2]) or "0 min"


def nice_ticks(low: float, high: float, count: int) -> tuple[float, list[float]]:
    """The round values in [low, high], at most `count` or so, and their distance: 1, 2 or 5 times a power of ten.

    After Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return step, [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """As many as there are up to eight: of round values, of 1, 2 and 5 times the powers of ten, or the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5, 7), (1, 2, 5), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= 8:
            break
    return inside


def _step_of(tick: float) -> float:
    """The step whose decimals show `tick`: 0.15 takes two, 15,000 none."""
    power: float = 10.0 ** math.floor(math.log10(tick) + 1e-9)
    return power if abs(tick / power - round(tick / power)) < 1e-6 else power / 10


def tick_labels(step: float, ticks: Sequence[float], *, percent: bool = False) -> list[str]:
    """With as many decimals as the step needs; from a hundred million on, in millions (M) or milliards (B)."""
    biggest = max(map(abs, ticks), default=0.0)
    unit, suffix = (1e9, "B") if biggest >= 1e11 else (1e6, "M") if biggest >= 1e8 else (1.0, "")
    if percent:
        unit, suffix = 0.01, "%"
    decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9))
    return [number(tick / unit, decimals) + suffix for tick in ticks]


@dataclass(frozen=True)
class Scale:
    """Values to pixels from the top; with `log`, equal ratios are equally far apart, and all values above 0."""

    low: float
    high: float
    height: int
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[Floats], height: int, air: float = 0.06) -> Scale:
        """Around all finite `values`, with a share of `air` above and below; flat values get a range of their own."""
        joined = np.concatenate(values)
        joined = joined[np.isfinite(joined)]
        low, high = (float(joined.min()), float(joined.max())) if len(joined) else (0.0, 1.0)
        pad = (high - low) * air
        if pad <= abs(high) * 1e-9:
            pad = abs(high) * 0.01 or 1.0
        return cls(low - pad, high + pad, height)

    @classmethod
    def of_equity(cls, values: Sequence[Floats], height: int) -> Scale:
        """Around all finite `values`; logarithmic when the highest is above WIDE times the lowest, and that above 0."""
        linear = cls.over(values, height)
        joined = np.concatenate(values)
        joined = joined[np.isfinite(joined)]
        if not len(joined) or joined.min() <= 0 or joined.max() <= WIDE * joined.min():
            return linear
        air = (joined.max() / joined.min()) ** 0.06
        return cls(float(joined.min() / air), float(joined.max() * air), height, log=True)

    def __call__(self, value: float) -> float:
        if self.log:
            return round(math.log(self.high / value) / math.log(self.high / self.low) * self.height, 1)
        return round((self.high - value) / (self.high - self.low) * self.height, 1)

    def ticks(self, *, percent: bool = False) -> list[tuple[float, str]]:
        if self.log:
            places = log_ticks(self.low, self.high)
            return [(self(tick), tick_labels(_step_of(tick), [tick], percent=percent)[0]) for tick in places]
        step, ticks = nice_ticks(self.low, self.high, max(3, self.height // 44))
        return list(zip(map(self, ticks), tick_labels(step, ticks, percent=percent), strict=True))


@dataclass(frozen=True, eq=False)
class Axis:
    """The shared time axis: from the first bar's open to the last one's close. Times in epoch seconds."""

    time: NDArray[np.int64]
    step: int

    @classmethod
    def over(cls, time: Sequence[int]) -> Axis:
        """Raises ValueError when there is no bar."""
        if not time:
            raise ValueError("report: there are no bars, and without bars there is no time axis")
        times = np.array(time, np.int64)
        return cls(times, int(np.median(np.diff(times))) if len(times) > 1 else 3600)

    @property
    def start(self) -> int:
        return int(self.time[0])

    @property
    def end(self) -> int:
        return int(self.time[-1]) + self.step

    def share(self, time: float) -> float:
        """Where in the width, in percent."""
        inside = min(max(time, self.start), self.end)
        return round((inside - self.start) / (self.end - self.start) * 100, 2)

    def runs(self, values: Floats, kept: Indices) -> list[Indices]:
        """`kept`, split wherever the line through `values` must break: at values that are not finite and at holes."""
        holes = np.concatenate([[False], np.diff(self.time) > BREAK * self.step])
        group = np.cumsum(~np.isfinite(values) | holes)[kept]
        return [run for run in np.split(kept, np.flatnonzero(np.diff(group)) + 1) if len(run)]

    def ticks(self) -> list[tuple[float, str]]:
        """Up to eight, on round UTC times, as (share, label)."""
        ticks = self._clock if (self.end - self.start) / CLOCK_STEPS[-1] <= MOST_TICKS else self._calendar
        return [(self.share(time), label) for time, label in ticks()]

    def _clock(self) -> Iterator[tuple[int, str]]:
        step = next(step for step in CLOCK_STEPS if (self.end - self.start) / step <= MOST_TICKS)
        monday = 4 * DAY if step > DAY else 0  # the epoch began on a Thursday
        for time in range(-((monday - self.start) // step) * step + monday, self.end + 1, step):
            moment = datetime.fromtimestamp(time, UTC)
            yield time, f"{moment.day} {MONTHS[moment.month - 1]}" if time % DAY == 0 else f"{moment:%H:%M}"

    def _calendar(self) -> Iterator[tuple[int, str]]:
        first, last = (moment.year * 12 + moment.month - 1 for moment in map(_utc, (self.start, self.end)))
        step = next((step for step in MONTH_STEPS if (last - first) / step <= MOST_TICKS), MONTH_STEPS[-1])
        for month in range(first + -first % step, last + 1, step):
            time = int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())
            if time >= self.start:
                yield time, MONTHS[month % 12] if month % 12 else str(month // 12)


def _utc(time: int) -> datetime:
    return datetime.fromtimestamp(time, UTC)


def thin(values: Floats, buckets: int = BUCKETS) -> Indices:
    """Which bars to draw: of each bucket the first, last, lowest and highest finite value, all when they are few.

    A line through them covers the same pixels as one through all: M4, Jugel et al., "M4: a visualization-oriented
    time series data aggregation", PVLDB 7(10), 2014.
    """
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) <= 4 * buckets:
        return finite
    parts = np.array_split(finite, buckets)
    return np.unique([part[[0, int(values[part].argmin()), int(values[part].argmax()), -1]] for part in parts])
