"""The breakers on real crashes and in calm months; `python -m tests.domain.test_breakers_on_crashes` prints tables.

The reference account: 10,000 in quote currency, all of it in the coin at the first close (leverage 1, no stop),
marked at each bar's close. The reference strategy, for the breakers that count results: flat, it buys at each bar's
open with a stop 2 ATR (mean true range of 14 bars) below, risks 1 % of its equity but never holds more than it, pays
0.1 % a side, and sells after 6 bars. Neither is meant to make money. What is expected is computed anew, by plain loops.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from core.adapters.files_market import read_table
from core.domain.bars import Bars, moment
from core.domain.risk.account import Limits
from core.domain.risk.breakers import (
    Facts,
    Marks,
    Result,
    Trip,
    account_trips,
    level_of,
    mark,
    price_move,
    resumed,
    trips,
)
from core.domain.risk.policy import Policy
from core.domain.risk.room import Exposure, correlation, room
from tests.road import DATA, real

HOURS = {
    "Kraken ETH, May 2017": "crash_20170507_ethusd_kraken_1h",
    "Kraken BTC, March 2020": "crash_20200312_btcusd_kraken_1h",
    "Binance BTC, March 2020": "crash_20200312_btcusdt_binance_spot_1h",
    "Binance ETH, March 2020": "crash_20200312_ethusdt_binance_spot_1h",
    "Binance BTC perp, May 2021": "crash_20210519_btcusdt_binance_perp_1h",
    "Binance BTC spot, May 2021": "crash_20210519_btcusdt_binance_spot_1h",
    "Binance ETH perp, May 2021": "crash_20210519_ethusdt_binance_perp_1h",
}
MINUTES = {
    "bitbank BTC, January 2018": "crash_20180116_btcjpy_bitbank_1m",
    "bitbank BTC, February 2018": "crash_20180205_btcjpy_bitbank_1m",
    "BTC perp, January 2022": "btcperp_202201_1m",
}
CRASHES = HOURS | MINUTES
TRADED = [name for name in CRASHES if name != "BTC perp, January 2022"]
PERPS = ("btcusdt", "ethusdt", "solusdt", "xrpusdt")
STREAKS = ("losses", "cooldown", "stops", "low_profit")
FULL, ZERO = Decimal(10000), Decimal(0)
HOUR, INSTANT = timedelta(hours=1), timedelta(microseconds=1)
POLICY = Policy()
KEYS = ("daily_loss", "drawdown", "losses", "cooldown_hours", "stops", "low_profit", "slippage")


@cache
def only(*breakers: str) -> Policy:
    """The default policy with nothing on but these."""
    on = {"cooldown_hours" if name == "cooldown" else name for name in breakers}
    return Policy(**dict.fromkeys(set(KEYS) - on, 0))


def as_printed(file: str) -> Bars:
    """The bars of a file, unjudged: of January 2022 some outages were filled along straight lines, for which it is
    refused elsewhere (they move little); the others were judged, and that takes seconds."""
    table = read_table(real(DATA / f"{file}.parquet"))
    time = np.asarray(table["timestamp"]).astype("datetime64[s]").astype(np.int64)
    return Bars(time, *(np.asarray(table[key], np.float64) for key in ("open", "high", "low", "close", "volume")))


@cache
def crash(name: str) -> Bars:
    return as_printed(f"stress/{CRASHES[name]}")


def closes_at(name: str, index: int) -> datetime:
    return moment(crash(name).time[index]) + timedelta(seconds=60 if name in MINUTES else 3600)


def cents(value: float) -> Decimal:
    return Decimal(str(round(value, 2)))


# -- the reference account: held through


def held(bars: Bars, exposure: float = 1.0, capital: Decimal = FULL) -> list[Decimal]:
    """The equity at each close, with `exposure` of it in the coin since the first."""
    return [cents(float(capital) * (1 + exposure * (close / bars.close[0] - 1))) for close in bars.close]


def first_fall(equities: Sequence[Decimal], times: Sequence[datetime], limit: Decimal, daily: bool) -> int | None:
    """The first mark that is `limit` below the day's first (or, not `daily`, below the highest)."""
    top = equities[0]
    for i, equity in enumerate(equities):
        begins = i > 0 and times[i].date() != times[i - 1].date()
        top = equity if daily and begins else top if daily else max(top, equity)
        if equity <= top * (1 - limit):
            return i
    return None


class Stay(NamedTuple):
    """A breaker that tripped at the `mark`-th mark: equity then, at the worst low after, and at the end."""

    mark: int
    at: datetime
    equity: Decimal
    worst: Decimal
    end: Decimal


@cache
def stays(name: str) -> dict[str, Stay]:
    """For each breaker of profit and loss the mark at which it trips first."""
    bars, found, marks = crash(name), {}, None
    equities = held(bars)
    for index, equity in enumerate(equities):
        now = closes_at(name, index)
        marks = mark(marks, equity, now)
        for trip in trips(Facts(now=now, equity=equity, marks=marks), only("daily_loss", "drawdown")):
            if trip.breaker not in found:
                worst = cents(float(FULL) * bars.low[index + 1 :].min(initial=math.inf) / bars.close[0])
                found[trip.breaker] = Stay(index, now, equity, min(worst, equity), equities[-1])
        if len(found) == 2:
            break
    return found


@pytest.mark.parametrize("name", CRASHES)
@pytest.mark.parametrize("breaker", ["daily_loss", "drawdown"])
def test_a_loss_trips_at_the_first_bar_that_reaches_its_limit_and_not_before(name: str, breaker: str) -> None:
    equities, limit = held(crash(name)[:6000]), Decimal(str(getattr(POLICY, breaker)))
    times = [closes_at(name, index) for index in range(len(equities))]
    expected = first_fall(equities, times, limit, daily=breaker == "daily_loss")
    assert expected is not None, "every one of these is a crash"
    assert stays(name)[breaker].mark == expected


@pytest.mark.parametrize("name", HOURS)
def test_after_a_trip_staying_would_have_lost_more(name: str) -> None:
    for stay in stays(name).values():
        assert stay.worst < stay.equity < FULL


def books(*names: str) -> Iterator[tuple[datetime, Decimal]]:
    """An account of several books that began with equal parts of FULL, at each hour."""
    parts = [held(crash(name), capital=FULL / len(names)) for name in names]
    for index, equities in enumerate(zip(*parts, strict=True)):
        yield closes_at(names[0], index), sum(equities, ZERO)


ACCOUNTS = {
    "BTC + ETH, March 2020": ("Binance BTC, March 2020", "Binance ETH, March 2020"),
    "BTC + ETH, May 2021": ("Binance BTC perp, May 2021", "Binance ETH perp, May 2021"),
}


def account_stays(name: str) -> dict[str, tuple[datetime, Decimal]]:
    marks: Marks | None = None
    found: dict[str, tuple[datetime, Decimal]] = {}
    for now, equity in books(*ACCOUNTS[name]):
        marks = mark(marks, equity, now)
        for trip in account_trips(marks, equity, Limits(), now):
            found.setdefault(trip.breaker, (now, equity))
    return found


@pytest.mark.parametrize("name", ACCOUNTS)
def test_the_account_trips_when_the_sum_of_its_books_reaches_a_limit(name: str) -> None:
    times, equities = zip(*books(*ACCOUNTS[name]), strict=True)
    for breaker, limit in (("daily_loss", Limits().daily_loss), ("drawdown", Limits().drawdown)):
        expected = first_fall(equities, times, Decimal(str(limit)), daily=breaker == "daily_loss")
        assert expected is not None
        assert account_stays(name)[breaker] == (times[expected], equities[expected])


@pytest.mark.parametrize("name", ACCOUNTS)
def test_in_a_crash_two_coins_are_one_and_leave_little_room(name: str) -> None:
    one, other = (crash(part) for part in ACCOUNTS[name])
    together = correlation(one, other)
    assert together > Limits().correlation
    beside = [Exposure(symbol="ETH", notional=Decimal(6000), correlation=together)]
    found = room(beside, "buy", FULL, Limits())
    assert (found.quote, found.reason) == (Decimal(2000), "correlated_exposure")


# -- the market's minutes


def largest_move(bars: Bars) -> tuple[float, int]:
    """By plain loop: the largest move of any minute against the close before it, and the minute's index."""
    best, where = 0.0, 0
    for i in range(1, len(bars)):
        if bars.time[i] - bars.time[i - 1] == 60:
            before = bars.close[i - 1]
            move = max(
                abs(price - before) / before for price in (bars.open[i], bars.high[i], bars.low[i], bars.close[i])
            )
            best, where = (move, i) if move > best else (best, where)
    return float(best), where


def first_move(bars: Bars, limit: float) -> int | None:
    for i in range(1, len(bars)):
        if largest_move(bars[i - 1 : i + 1])[0] >= limit:
            return i
    return None


def seen_at(name: str, index: int, policy: Policy, late: timedelta = timedelta(0)) -> Trip | None:
    """What the last two hours of minutes say, `late` after minute `index` closed."""
    return price_move(crash(name)[max(0, index - 119) : index + 1], policy, closes_at(name, index) + late)


@pytest.mark.parametrize("name", MINUTES)
def test_the_largest_minute_of_a_crash_trips_a_limit_just_below_it_and_none_just_above(name: str) -> None:
    size, index = largest_move(crash(name))
    below, above = Policy(price_move=size * 0.9999), Policy(price_move=size * 1.0001)
    assert seen_at(name, index - 1, below) is None
    trip = seen_at(name, index, below)
    assert trip and trip.since == closes_at(name, index) and trip.until == trip.since + HOUR
    assert seen_at(name, index, below, HOUR - INSTANT) == trip
    assert seen_at(name, index, below, HOUR) is None
    assert price_move(crash(name), above, closes_at(name, index)) is None


def test_ten_percent_within_a_minute_really_happened_and_trips_at_once() -> None:
    name = "bitbank BTC, January 2018"
    expected = first_move(crash(name), 0.1)
    assert expected is not None
    tripped = [i for i in range(expected - 300, expected + 1) if seen_at(name, i, POLICY)]
    assert tripped == [expected]


# -- results: the reference strategy


def true_range(bars: Bars) -> Any:
    before = np.concatenate([bars.open[:1], bars.close[:-1]])
    return np.maximum(bars.high, before) - np.minimum(bars.low, before)


def traded(bars: Bars, step: timedelta, policy: Policy | None = None) -> tuple[list[Result], Decimal]:
    """Every result of the reference strategy, and its equity at the end. With a policy it enters only where no breaker
    of it has tripped."""
    atr = np.convolve(true_range(bars), np.ones(14) / 14)[: len(bars)]
    results: list[Result] = []
    equity, entry, stop, amount, since = FULL, 0.0, 0.0, 0.0, -1
    for i in range(14, len(bars)):
        opens = moment(bars.time[i])
        if since < 0:
            if policy and level_of(known(results, policy, opens), opens):
                continue
            entry, since, stop = bars.open[i], i, bars.open[i] - 2 * atr[i - 1]
            amount = float(equity) * min(0.01 / (entry - stop), 1 / entry)
        stopped = bool(bars.low[i] <= stop)
        if stopped or i - since == 5:
            leave = min(bars.open[i], stop) if stopped else bars.close[i]
            pnl = cents(amount * (leave - entry) - 0.001 * amount * (leave + entry))
            equity += pnl
            share = round(float(pnl / equity), 6)
            results.append(Result(closed=opens + step, pnl=pnl, share=share, stopped=stopped))
            since = -1
    return results, equity


def known(results: Sequence[Result], policy: Policy, now: datetime) -> tuple[Trip, ...]:
    return trips(Facts(now=now, equity=FULL, marks=mark(None, FULL, now), results=results[-30:]), policy)


def first_result(breaker: str, results: Sequence[Result]) -> int | None:
    """The first result with which `breaker` must trip, by plain counting."""
    for i, last in enumerate(results):
        so_far = results[: i + 1]
        week = [float(r.share) for r in so_far if (last.closed - r.closed).total_seconds() <= 7 * 86400]
        stops = [r for r in so_far if r.stopped and (last.closed - r.closed).total_seconds() <= 2 * 86400]
        if {
            "losses": len(so_far) >= 5 and all(r.pnl < 0 for r in so_far[-5:]),
            "cooldown": last.pnl < 0,
            "stops": last.stopped and len(stops) >= 3,
            "low_profit": len(week) >= 6 and round(math.fsum(week), 9) <= -0.01,
        }[breaker]:
            return i
    return None


@cache
def results_of(name: str) -> tuple[list[Result], Decimal]:
    return traded(crash(name), timedelta(seconds=60 if name in MINUTES else 3600))


def first_trip(name: str, breaker: str) -> tuple[int, Trip] | None:
    results = results_of(name)[0]
    for i, last in enumerate(results):
        found = known(results[: i + 1], only(breaker), last.closed)
        if found:
            return i, found[0]
    return None


HOLDS = {"losses": 24, "cooldown": 2, "stops": 24, "low_profit": 24}


@pytest.mark.parametrize("name", TRADED)
@pytest.mark.parametrize("breaker", STREAKS)
def test_results_trip_a_breaker_with_the_first_that_is_one_too_many(name: str, breaker: str) -> None:
    expected, found = first_result(breaker, results_of(name)[0]), first_trip(name, breaker)
    assert (found[0] if found else None) == expected
    if found:
        results, trip = results_of(name)[0][: found[0] + 1], found[1]
        assert trip.until == results[-1].closed + HOLDS[breaker] * HOUR
        assert known(results, only(breaker), trip.until - INSTANT) == (trip,)
        assert known(results, only(breaker), trip.until) == ()


def test_every_breaker_that_counts_results_trips_in_some_crash() -> None:
    assert all(any(first_trip(name, breaker) for name in TRADED) for breaker in STREAKS)


# -- slippage: an exit at each full hour that fills a minute late


def late_fills(name: str) -> list[float]:
    bars = crash(name)
    whole = [i for i in range(len(bars) - 1) if bars.time[i] % 3600 == 0 and bars.time[i + 1] - bars.time[i] == 60]
    return [float((bars.close[i] - bars.close[i + 1]) / bars.close[i]) for i in whole]


def worst_five(name: str) -> float:
    slips = late_fills(name)
    return max(sum(slips[i : i + 5]) / 5 for i in range(len(slips) - 4))


@pytest.mark.parametrize("name", MINUTES)
def test_late_exits_trip_slippage_only_beyond_what_they_really_cost(name: str) -> None:
    marks, now = mark(None, FULL, closes_at(name, 0)), closes_at(name, 0)
    facts = Facts(now=now, equity=FULL, marks=marks, slippages=late_fills(name))
    for factor, expected in ((0.9999, 1), (1.0001, 0)):
        policy = Policy(slippage=worst_five(name) * factor)
        assert len(trips(facts, policy)) == expected


# -- calm months


@cache
def perp(symbol: str) -> Bars:
    return as_printed(f"bars/{symbol}_binance_perp_1h")


def months(bars: Bars) -> dict[str, Bars]:
    """Calendar months, by name, that are not short of three days."""
    names = bars.time.astype("datetime64[s]").astype("datetime64[M]")
    parts = {str(name): bars[np.flatnonzero(names == name)] for name in np.unique(names)}
    return {name: part for name, part in parts.items() if part.time[-1] - part.time[0] > 27 * 86400}


@cache
def calm(symbol: str) -> dict[str, Bars]:
    """The third of its calendar months in which hourly log returns varied least."""
    parts = months(perp(symbol))
    ranked = sorted(parts, key=lambda name: float(np.std(np.diff(np.log(parts[name].close)))))
    return {name: parts[name] for name in ranked[: len(ranked) // 3]}


@cache
def falls_in(symbol: str, exposure: float) -> dict[str, list[str]]:
    """The month of each trip, by breaker: a day's loss once a day; after a drawdown a person resumes at once."""
    found: dict[str, list[str]] = {"daily_loss": [], "drawdown": []}
    for name, bars in calm(symbol).items():
        daily: Marks | None = None
        since: Marks | None = None  # a person resumed
        days: set[datetime] = set()
        for time, equity in zip(bars.time, held(bars, exposure), strict=True):
            now = moment(time) + HOUR
            daily, since = mark(daily, equity, now), mark(since, equity, now)
            if trips(Facts(now=now, equity=equity, marks=daily), only("daily_loss")):
                days.add(daily.day)
            if trips(Facts(now=now, equity=equity, marks=since), only("drawdown")):
                found["drawdown"].append(name)
                since = resumed(since, equity, now)
        found["daily_loss"] += [name] * len(days)
    return found


@cache
def streaks_in(symbol: str) -> dict[str, int]:
    """How often each breaker of results trips anew (was not tripped before that result) in the calm months."""
    counts = dict.fromkeys(STREAKS, 0)
    for bars in calm(symbol).values():
        results, ends = traded(bars, HOUR)[0], dict[str, datetime]()
        for i, last in enumerate(results):
            for trip in known(results[: i + 1], only(*STREAKS), last.closed):
                if trip.breaker not in ends or last.closed >= ends[trip.breaker]:
                    counts[trip.breaker] += 1
                assert trip.until
                ends[trip.breaker] = trip.until
    return counts


def days_lost(bars: Bars, exposure: float) -> int:
    """By plain loop: the UTC days with a mark 2 % or more below the day's first."""
    first: dict[Any, Decimal] = {}
    days = set()
    for time, equity in zip(bars.time, held(bars, exposure), strict=True):
        day = (moment(time) + HOUR).date()
        if equity <= first.setdefault(day, equity) * Decimal("0.98"):
            days.add(day)
    return len(days)


@pytest.mark.parametrize("symbol", PERPS)
def test_in_calm_months_a_loss_trips_on_the_days_on_which_the_price_really_fell(symbol: str) -> None:
    exposure = 0.25
    tripped = falls_in(symbol, exposure)["daily_loss"]
    assert {name: tripped.count(name) for name in calm(symbol)} == {
        name: days_lost(bars, exposure) for name, bars in calm(symbol).items()
    }


def test_at_a_quarter_of_exposure_bitcoin_lost_two_percent_on_one_day_of_fifteen_calm_months() -> None:
    assert len(calm("btcusdt")) == 15
    assert falls_in("btcusdt", 0.25)["daily_loss"] == ["2023-08"]


def moves_in(bars: Bars) -> int:
    """How many looks trip price_move, once every 30 minutes: a trip lasts an hour, so none is missed."""
    looks = (bars[max(0, end - 61) : end] for end in range(30, len(bars) + 30, 30))
    return sum(price_move(part, POLICY, moment(part.time[-1]) + INSTANT) is not None for part in looks)


def test_no_real_minute_of_the_calm_third_of_a_year_trips_a_price_move() -> None:
    parts = months(as_printed("bars/btcjpy_bitbank_1m_2018"))
    ranked = sorted(parts, key=lambda name: float(np.std(np.diff(np.log(parts[name].close)))))
    assert [moves_in(parts[name]) for name in ranked[: len(ranked) // 3]] == [0, 0, 0]
    assert moves_in(parts["2018-01"]) > 0, "the month of a crash is noticed"


# -- the tables of docs/breakers.md


def money(value: Decimal) -> str:
    return f"{value:,.0f}"


def crash_rows() -> Iterator[tuple[str, ...]]:
    for name in [*HOURS, *MINUTES]:
        for breaker, stay in sorted(stays(name).items()):
            yield name, breaker, f"{stay.at:%m-%d %H:%M}", *map(money, (stay.equity, stay.worst, stay.end))
    for name, parts in ACCOUNTS.items():
        equities = [equity for _, equity in books(*parts)]
        for breaker, (at, equity) in sorted(account_stays(name).items()):
            yield f"account: {name}", breaker, f"{at:%m-%d %H:%M}", *map(money, (equity, min(equities), equities[-1]))


def move_rows() -> Iterator[tuple[str, ...]]:
    for name in MINUTES:
        size, index = largest_move(crash(name))
        first, bars = first_move(crash(name), POLICY.price_move), crash(name)
        tripped = "silent"
        if first is not None:
            after = bars.low[first + 1 : first + 61].min() / bars.close[first] - 1
            tripped = f"{closes_at(name, first):%m-%d %H:%M}, then {after:+.1%} at worst in its hour"
        yield name, f"{size:.1%} at {moment(bars.time[index]):%m-%d %H:%M}", tripped, f"{worst_five(name):.2%}"


def streak_rows() -> Iterator[tuple[str, ...]]:
    for name in TRADED:
        step = timedelta(seconds=60 if name in MINUTES else 3600)
        results, end = results_of(name)
        row = []
        for breaker in STREAKS:
            found = first_trip(name, breaker)
            obeyed = traded(crash(name), step, only(breaker))[1]
            row.append(f"{found[1].since:%m-%d %H:%M} ({money(obeyed)})" if found else "silent")
        yield name, str(len(results)), money(end), *row


def calm_rows() -> Iterator[tuple[str, ...]]:
    for symbol in PERPS:
        quarter, whole = falls_in(symbol, 0.25), falls_in(symbol, 1.0)
        losses = [str(len(part[breaker])) for part in (quarter, whole) for breaker in ("daily_loss", "drawdown")]
        yield symbol, str(len(calm(symbol))), *losses, *(str(count) for count in streaks_in(symbol).values())


TABLES = {
    ("crash", "breaker", "tripped (UTC)", "equity then", "worst after", "at the end"): crash_rows,
    ("minutes", "largest minute", "price_move, 10 %", "5 exits a minute late, worst mean"): move_rows,
    ("crash", "results", "equity at the end", *STREAKS): streak_rows,
    ("perp", "calm months", "daily_loss", "drawdown", "same, all in", "same, all in", *STREAKS): calm_rows,
}


def report() -> Iterator[str]:
    for head, rows in TABLES.items():
        for row in (head, ("---",) * len(head), *rows()):
            yield f"| {' | '.join(row)} |\n"
        yield "\n"


if __name__ == "__main__":
    sys.stdout.writelines(report())
