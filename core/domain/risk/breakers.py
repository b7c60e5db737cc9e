"""Breakers: what went wrong often or badly enough to stop for a while, or until a person has looked. Pure.

A breaker remembers nothing. It holds once it has tripped because of what it looks at: the low of a day and the deepest
fall only deepen, and a streak, a window of results or an hour of calls that was bad once is found again among the facts
until its time is over, whatever came after it. Facts that get worse never end a trip, and neither does good news.

An equity that is not a finite number counts as 0, and what cannot be measured as too much: neither passes in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from core.domain.bars import Bars, Floats, moment
from core.domain.risk.account import Limits
from core.domain.risk.policy import Level, Policy
from core.domain.risk.words import money, percent

Scope = Literal["book", "account"]
SEVERITY: Final[tuple[Level, ...]] = ("reduce", "halt", "flatten")  # the last one is the most severe
ZERO, ONE = Decimal(0), Decimal(1)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
_NOT_LOW: Final = 1e-9  # sums of shares this far from a limit are so by any rounding
FOREVER: Final = datetime.max.replace(tzinfo=UTC)


class Trip(Struct, frozen=True, kw_only=True):
    """A breaker that has tripped: to `level`, until `until` (None: until a person resumes). `since`: when the newest
    fact that it rests on happened; one trip may move it on, but never its `until` back.

    `detail`: a sentence with the measured number and the limit. `scope` "account": it counts for every book.
    """

    breaker: str
    level: Level
    since: datetime
    until: datetime | None = None
    detail: str = ""
    scope: Scope = "book"


class Result(Struct, frozen=True, kw_only=True):
    """A closed round trip: `pnl` in quote currency after all costs; `share`: of the equity at its close."""

    closed: datetime
    pnl: Decimal
    share: float
    stopped: bool = False

    @property
    def lost(self) -> bool:
        """Break-even is no loss: it ends a streak and begins no cool-down. An unknown pnl is one."""
        return not self.pnl.is_finite() or self.pnl < 0


class Fall(Struct, frozen=True):
    """From one equity to a lower one, which was marked `at`."""

    top: Decimal
    bottom: Decimal
    at: datetime

    @property
    def share(self) -> Decimal:
        """What was lost, of the top. 1 where there was nothing to lose: no equity is no licence."""
        return max(ZERO, (self.top - self.bottom) / self.top) if self.top > 0 else ONE


class Marks(Struct, frozen=True, kw_only=True):
    """Equity as it was marked: at the first mark of the UTC day `day`, the least since then (marked `low_at`), the
    highest ever and the deepest fall from it (None: it never fell), both since a person resumed after a breaker."""

    day: datetime
    opened: Decimal
    low: Decimal
    peak: Decimal
    low_at: datetime | None = None
    deepest: Fall | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What the breakers of a book look at, at `now`. `results`: oldest first. `slippages`: of the newest market fills,
    oldest first, as fractions of the price that was decided on, positive when they cost. Both only since a person last
    resumed."""

    now: datetime
    equity: Decimal
    marks: Marks
    results: Sequence[Result] = ()
    slippages: Sequence[float] = ()


class Asked(Struct, frozen=True, kw_only=True):
    """Requests to the venue in one run, which ended `at`: how many, how many failed, the seconds that they took."""

    at: datetime
    made: int
    failed: int = 0
    took: Sequence[float] = ()


def mark(marks: Marks | None, equity: Decimal, now: datetime) -> Marks:
    """The marks once the equity of `now` is taken in; None: the first ever."""
    equity = equity if equity.is_finite() else ZERO
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    peak = max(marks.peak, equity) if marks else equity
    fall = Fall(peak, equity, now)
    deepest = marks.deepest if marks else None
    if fall.share > (deepest.share if deepest else ZERO):
        deepest = fall
    if marks is None or marks.day < day:
        return Marks(day=day, opened=equity, low=equity, peak=peak, low_at=now, deepest=deepest)
    if marks.low <= equity <= marks.peak and deepest is marks.deepest:
        return marks
    low, low_at = (equity, now) if equity < marks.low else (marks.low, marks.low_at)
    return replace(marks, low=low, low_at=low_at, peak=peak, deepest=deepest)


def resumed(marks: Marks, equity: Decimal, now: datetime) -> Marks:
    """The marks once a person has looked and resumed: loss and drawdown are measured anew, from `equity`."""
    anew = mark(None, equity, now)
    return replace(anew, day=max(anew.day, marks.day))


def trips(facts: Facts, policy: Policy) -> tuple[Trip, ...]:
    """Every breaker of the book's own that is tripped at `facts.now`, the most severe first."""
    found = [
        *_falls(mark(facts.marks, facts.equity, facts.now), policy, facts.now, "book"),
        *_newest(_losses(facts.results, policy, facts.now)),
        *_newest(_cooldown(facts.results, policy, facts.now)),
        *_newest(_stops(facts.results, policy, facts.now)),
        *_newest(_low_profit(facts.results, policy, facts.now)),
        *_slippage(facts, policy),
    ]
    return active(found, facts.now)


def account_trips(marks: Marks, equity: Decimal, limits: Limits, now: datetime) -> tuple[Trip, ...]:
    """Daily loss and drawdown of the whole account: `marks` and `equity` are those of the sum of its books."""
    return active(_falls(mark(marks, equity, now), limits, now, "account"), now)


def active(found: Iterable[Trip], now: datetime) -> tuple[Trip, ...]:
    """Those whose `until` is after `now`, the most severe first; of one level, the one that lasts longest first."""
    holding = [trip for trip in found if trip.until is None or now < trip.until]
    if len(holding) < 2:
        return tuple(holding)
    by_end = sorted(holding, key=lambda trip: trip.until or FOREVER, reverse=True)
    return tuple(sorted(by_end, key=lambda trip: SEVERITY.index(trip.level), reverse=True))


def level_of(found: Iterable[Trip], now: datetime) -> Level | None:
    """The most severe level of those that hold at `now`."""
    holding = active(found, now)
    return holding[0].level if holding else None


def _newest(found: Iterable[Trip]) -> Sequence[Trip]:
    """Of one breaker's trips, the one that holds longest."""
    trips = list(found)
    return sorted(trips, key=lambda trip: trip.until or FOREVER)[-1:] if len(trips) > 1 else trips


def _falls(marks: Marks, limits: Policy | Limits, now: datetime, scope: Scope) -> Iterator[Trip]:
    """daily_loss: Elder's rule for a month (Come Into My Trading Room, 2002), by the day. drawdown: from the highest
    equity (Grossman and Zhou, Optimal investment strategies for controlling drawdowns, 1993)."""
    lost = Fall(marks.opened, marks.low, marks.low_at or now)
    if limits.daily_loss > 0 and lost.share >= _exact(limits.daily_loss):
        detail = f"lost {percent(lost.share)} of the day's {money(lost.top)}; the limit is {percent(limits.daily_loss)}"
        yield Trip(
            breaker="daily_loss",
            level=limits.daily_loss_level,
            since=lost.at,
            until=marks.day + DAY,
            detail=detail,
            scope=scope,
        )
    fall = marks.deepest
    if fall and limits.drawdown > 0 and fall.share >= _exact(limits.drawdown):
        detail = (
            f"fell {percent(fall.share)} from the highest {money(fall.top)}; the limit is {percent(limits.drawdown)}"
        )
        yield Trip(breaker="drawdown", level=limits.drawdown_level, since=fall.at, detail=detail, scope=scope)


def _losses(results: Sequence[Result], policy: Policy, now: datetime) -> Iterator[Trip]:
    """`losses` results in a row that lost, whatever came after them (freqtrade's MaxDrawdown and StoplossGuard are kin:
    they count, and this one counts a streak)."""
    first = _first(results, policy.losses_hours, now)
    if not policy.losses or first == len(results):
        return
    run = next((age for age in range(first) if not results[first - 1 - age].lost), first)
    for result in results[first:]:
        run = run + 1 if result.lost else 0
        if policy.losses <= run:
            detail = f"{run} results in a row lost; the limit is {policy.losses}"
            yield _after(result, "losses", policy.losses_level, policy.losses_hours, detail)


def _cooldown(results: Sequence[Result], policy: Policy, now: datetime) -> Iterator[Trip]:
    """freqtrade's CooldownPeriod, after losses only."""
    for result in results[_first(results, policy.cooldown_hours, now) :]:
        if result.lost and policy.cooldown_hours > 0:
            detail = f"a trade lost {money(-result.pnl)}; no entry for {policy.cooldown_hours:g} hours after one"
            yield _after(result, "cooldown", policy.cooldown_level, policy.cooldown_hours, detail)


def _stops(results: Sequence[Result], policy: Policy, now: datetime) -> Iterator[Trip]:
    """freqtrade's StoplossGuard; here every result that was stopped counts, also one that made money."""
    if _first(results, policy.stops_hours, now) == len(results):
        return
    stopped, within = [result for result in results if result.stopped], timedelta(hours=policy.stops_within_hours)
    recent = now - timedelta(hours=policy.stops_hours)
    for first, last in zip(stopped, stopped[max(policy.stops, 1) - 1 :], strict=False):
        if policy.stops > 0 and last.closed > recent and last.closed - first.closed <= within:
            detail = f"{policy.stops} stops within {policy.stops_within_hours:g} hours; the limit is {policy.stops}"
            yield _after(last, "stops", policy.stops_level, policy.stops_hours, detail)


def _low_profit(results: Sequence[Result], policy: Policy, now: datetime) -> Iterator[Trip]:
    """freqtrade's LowProfitPairs: enough results, and together a loss of `low_profit` of the equity or more."""
    if not (policy.low_profit and policy.low_profit_trades):
        return
    within, first = timedelta(hours=policy.low_profit_within_hours), _first(results, policy.low_profit_hours, now)
    for index, last in enumerate(results[first:], first):
        window = [result for result in results[: index + 1] if last.closed - result.closed <= within]
        if len(window) < policy.low_profit_trades:
            continue
        if _NOT_LOW - policy.low_profit < sum([result.share for result in window]) < math.inf:
            continue
        made = sum((_share(result) for result in window), ZERO)
        if made <= -_exact(policy.low_profit):
            detail = (
                f"{len(window)} results within {policy.low_profit_within_hours:g} hours lost {percent(-made)}; "
                f"the limit is {percent(policy.low_profit)}"
            )
            yield _after(last, "low_profit", policy.low_profit_level, policy.low_profit_hours, detail)


def _slippage(facts: Facts, policy: Policy) -> Iterator[Trip]:
    """The mean of `slippage_fills` fills in a row (Perold, The implementation shortfall, 1988)."""
    count, half = policy.slippage_fills, policy.slippage / 2
    if not half or all(slipped <= half for slipped in facts.slippages):  # far from it, by any rounding; NaN is not
        return
    for end in range(count, len(facts.slippages) + 1):
        mean = _mean(facts.slippages[end - count : end])
        if not mean <= policy.slippage:  # NaN is too much
            detail = f"{count} fills slipped by {percent(mean)} on average; the limit is {percent(policy.slippage)}"
            yield Trip(breaker="slippage", level=policy.slippage_level, since=facts.now, detail=detail)
            return


def price_move(minutes: Bars, policy: Policy, now: datetime) -> Trip | None:
    """The newest minute in which the price moved by `price_move` or more, for as long as it counts.

    What moved: high, low or close, against the close of the minute before; where that minute is absent, against the
    minute's own open: what happens across a gap did not happen within a minute. A minute with a price that is not a
    positive number counts as absent. After Limit Up-Limit Down (SEC, 2012), whose bands are over five minutes.
    """
    if not policy.price_move or not len(minutes):
        return None
    prices = np.stack(minutes.columns()[1:5])
    seen = minutes[np.all((prices > 0) & (prices < np.inf), axis=0)]
    before, size = _moves(seen)
    for index in np.flatnonzero(size >= policy.price_move - 1e-12)[::-1]:
        opens = moment(seen.time[index])
        until = opens + MINUTE + timedelta(hours=policy.price_move_hours)
        if now >= until:
            return None
        detail = (
            f"the price moved {percent(size[index])} within the minute {opens:%Y-%m-%d %H:%M}, from "
            f"{money(before[index])}; the limit is {percent(policy.price_move)}"
        )
        since = opens + MINUTE
        return Trip(breaker="price_move", level=policy.price_move_level, since=since, until=until, detail=detail)
    return None


def _moves(minutes: Bars) -> tuple[Floats, Floats]:
    """For each minute the price that it began from, and the largest move away from it as a fraction."""
    before = minutes.open.copy()
    follows = np.flatnonzero(np.diff(minutes.time) == 60) + 1
    before[follows] = minutes.close[follows - 1]
    prices = np.stack(minutes.columns()[1:5])
    return before, np.abs(prices - before).max(axis=0, initial=0.0) / before


def calls(window: Sequence[Asked], policy: Policy, now: datetime) -> tuple[Trip, ...]:
    """error_rate and latency of the venue over an hour (Nygard, Release It!, 2007: the circuit breaker), looked at as
    each run ended. `window` must reach back two hours, so that an hour that was bad stays bad for an hour."""
    hours = [[asked for asked in window if timedelta(0) <= last.at - asked.at < HOUR] for last in window]
    failing = [trip for hour in hours for trip in _error_rate(hour, policy)]
    slow = [trip for hour in hours for trip in _latency(hour, policy)]
    return active([*_newest(failing), *_newest(slow)], now)


def _error_rate(hour: Sequence[Asked], policy: Policy) -> Iterator[Trip]:
    failed = sum(asked.failed for asked in hour)
    made = sum(max(asked.made, asked.failed) for asked in hour)
    if policy.error_rate > 0 and failed >= max(policy.errors, 1) and failed / made > policy.error_rate:
        at = max(asked.at for asked in hour if asked.failed)
        limits = f"{percent(policy.error_rate)}, from {policy.errors} on"
        detail = f"{failed} of {made} requests to the venue failed within an hour; the limit is {limits}"
        yield Trip(breaker="error_rate", level=policy.error_rate_level, since=at, until=at + HOUR, detail=detail)


def _latency(hour: Sequence[Asked], policy: Policy) -> Iterator[Trip]:
    took = [seconds for asked in hour for seconds in asked.took]
    mean = _mean(took)
    if took and policy.latency_s > 0 and not mean <= policy.latency_s:  # NaN is too much
        at = max(asked.at for asked in hour if asked.took)
        detail = f"the venue took {mean:.3g} s on average within an hour; the limit is {policy.latency_s:g} s"
        yield Trip(breaker="latency", level=policy.latency_level, since=at, until=at + HOUR, detail=detail)


def _first(results: Sequence[Result], hours: float, now: datetime) -> int:
    """The first of those at the end that closed less than `hours` ago: a trip of an older one is over."""
    since, index = now - timedelta(hours=hours), len(results)
    while index and results[index - 1].closed > since:
        index -= 1
    return index


def _after(result: Result, breaker: str, level: Level, hours: float, detail: str) -> Trip:
    until = result.closed + timedelta(hours=hours)
    return Trip(breaker=breaker, level=level, since=result.closed, until=until, detail=detail)


def _mean(numbers: Sequence[float]) -> float:
    """NaN when one of them is not finite, or there is none."""
    known = len(numbers) > 0 and all(map(math.isfinite, numbers))
    return math.fsum(numbers) / len(numbers) if known else math.nan


def _share(result: Result) -> Decimal:
    """Of the equity; all of it where that is unknown, so that no loss hides in it."""
    return _exact(result.share) if math.isfinite(result.share) else -ONE


def _exact(number: float) -> Decimal:
    return Decimal(repr(float(number)))
