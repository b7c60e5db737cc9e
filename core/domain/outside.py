"""Outside series and another market, point in time: what a feature may know of the world beside its own bars and VIX.

A series has one rule for when its value of a date can have been known, whichever source gave it: the latest of them
all. A model that learnt from one source and trades on another thus sees equally old values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np

from core.domain.bars import Bars, Floats, Times
from core.domain.daily import DAY, Daily

HOUR: Final = 3600
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
FUNDING_STEP: Final = 8 * HOUR  # between settlements, on most venues
FUNDING_LAG: Final = 300


@dataclass(frozen=True, slots=True)
class Series:
    """`known(date)`: epoch seconds from which the value of a date (its 00:00 UTC) can be known, at the latest.

    `max_age`: seconds after its publication for which a value is believed. `weekends`: whether Saturdays and Sundays
    have values. `step`: seconds between two dates. `positive`: whether a value of 0 or less is no value.
    """

    name: str
    what: str
    known: Callable[[int], int]
    max_age: int = 4 * DAY
    weekends: bool = False
    step: int = DAY
    positive: bool = True

    def series(self, dates: Times, values: Floats) -> Daily:
        """Values by date (epoch seconds, ascending or not). Those that are none are left out; later duplicates win."""
        keep = np.isfinite(values) & ((values > 0) | (not self.positive))
        by_date = dict(zip(dates[keep].tolist(), values[keep].tolist(), strict=True))
        published = {self.known(at): by_date[at] for at in sorted(by_date)}
        return Daily(np.array(list(published), np.int64), np.array(list(published.values()), np.float64))

    def newest(self, at: int) -> int:
        """The newest publication that there can have been at `at`; what falls out on holidays is not known here."""
        last = at // self.step * self.step
        dates = (last - k * self.step for k in range(12 * DAY // self.step))
        return max(known for day in dates if self._has(day) and (known := self.known(day)) <= at)

    def _has(self, day: int) -> bool:
        return self.weekends or _weekday(day) < 5


def _weekday(day: int) -> int:
    """0: Monday; 1970-01-01 was a Thursday."""
    return (day // DAY + 3) % 7


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def federal_holidays(year: int) -> frozenset[date]:
    """The days, Mondays to Fridays, on which the Federal Reserve publishes nothing; where banks and the government
    differ (a holiday on a Saturday), the more cautious: Friday counts as well."""
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25), date(year + 1, 1, 1)]
    if year >= 2021:
        fixed.append(date(year, 6, 19))
    moved = (day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0)) for day in fixed)
    memorial = _nth(year, 5, 0, 5) if _nth(year, 5, 0, 5).month == 5 else _nth(year, 5, 0, 4)
    named = (_nth(year, 1, 0, 3), _nth(year, 2, 0, 3), _nth(year, 9, 0, 1), _nth(year, 10, 0, 2), _nth(year, 11, 3, 4))
    return frozenset(day for day in (*moved, memorial, *named) if day.year == year)


def _end_of_day(day: int) -> int:
    return day + DAY


def _next_business_day(day: int) -> int:
    """00:00 UTC after the next day on which the Federal Reserve works: its release H.15 with the yields of one day is
    posted at 16:15 in New York on the next."""
    following = date.fromordinal(EPOCH_DAY + day // DAY + 1)
    while following.weekday() > 4 or following in federal_holidays(following.year):
        following += timedelta(days=1)
    return (following.toordinal() - EPOCH_DAY + 1) * DAY


def _london_midnight(day: int) -> int:
    """An hour after the day's end: Yahoo's currency days end at midnight in London, 00:00 UTC in winter."""
    return day + DAY + HOUR


def _morning(day: int) -> int:
    """The index of a day is made at its 00:00 UTC, and counts here an hour later."""
    return day + HOUR


def _settled(at: int) -> int:
    """A settlement is stamped within its minute, and shown soon after."""
    return at // 60 * 60 + FUNDING_LAG


SERIES: Final[Mapping[str, Series]] = MappingProxyType(
    {
        series.name: series
        for series in (
            Series("dxy", "ICE's dollar index, at its close", _end_of_day),
            Series("us10y", "yield of ten-year US Treasuries, in percent (H.15)", _next_business_day, positive=False),
            Series("usdjpy", "yen for a dollar, at the day's end in London", _london_midnight),
            Series("fear_greed", "Crypto Fear & Greed Index, 0 to 100", _morning, 2 * DAY, weekends=True),
            Series(
                "funding", "funding rate of the perpetual future, a fraction", _settled, DAY,
                weekends=True, step=FUNDING_STEP, positive=False,
            ),
        )
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Outside:
    """`daily`: what had been published, by the names of SERIES; `max_age`: by the same, where it is not the default;
    `market`: bars of the other market on the same grid. All of it may hold what came later: a row sees none of that."""

    daily: Mapping[str, Daily] = field(default_factory=dict)
    max_age: Mapping[str, int] = field(default_factory=dict)
    market: Bars | None = None

    def age_limit(self, name: str) -> int:
        return self.max_age.get(name, SERIES[name].max_age)


NOTHING: Final = Outside()


def other_symbol(symbol: str) -> str:
    """The other market: BTC for ETH, ETH for BTC, BTC for any other coin; in the same quote: 'ETH/USDT:USDT'."""
    coin, slash, quote = symbol.partition("/")
    return f"{'ETH' if coin == 'BTC' else 'BTC'}{slash}{quote}"
