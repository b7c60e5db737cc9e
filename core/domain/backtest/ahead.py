"""Ahead: the next bar at which something may happen. In doubt it may: such a bar is taken as a tick takes it.

Nothing happens at a bar where no order waits, no stop is touched, no breaker trips or ends, and the forecast asks for
nothing that the gates would not refuse. Floats are compared with a margin, so that no rounding hides an event.
"""

from __future__ import annotations

import functools
import math
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain.backtest.fold import Course, Stand
from core.domain.backtest.reach import Reach
from core.domain.bars import Floats, Times, insane, seconds
from core.domain.fills import CENT, DAY, FUNDING_S, liquidation
from core.domain.risk import Policy, expected, threshold
from core.domain.state import BookState, win_rate
from core.domain.switch import MODES, Mode

Mask = NDArray[np.bool_]
Side = Literal["flat", "long", "short"]
SLACK: Final = 1e-9  # of numbers around 1
LENGTH: Final = 512  # bars that are looked at together while a position is held


class Ahead:
    """What is known of every bar before the run. Rows are those bars for which a tick runs.

    `hard`: bars that are never skipped; `rows`: index of each row's bar; `row`: how many rows stand before each bar;
    `close`, `day` (of the close, UTC) and `dawn` (the first row of that day) by row.
    """

    def __init__(self, over: Course, first: int) -> None:
        bars, count = over.bars, len(over.bars)
        self.over, self.step = over, seconds(over.book.timeframe)
        ran = np.ones(count, np.bool_) if over.missed is None else ~over.missed
        ran[:first] = False
        self.ran: Mask = ran
        self.rows: NDArray[np.intp] = np.flatnonzero(ran)
        self.row: NDArray[np.intp] = np.concatenate([[0], np.cumsum(ran)])
        self.hard: Mask = insane(bars)
        self.close: Floats = bars.close[self.rows]
        self.day: Times = (bars.time[self.rows] + self.step) // 86400
        self.dawn: NDArray[np.intp] = np.searchsorted(self.day, self.day)
        self._steps: dict[float | None, float] = {}
        self._known: dict[tuple[Side | None, float], NDArray[np.intp]] = {}
        self._outlived: dict[tuple[bool, float], NDArray[np.intp]] = {}

    def static(self, side: Side | None, state: BookState) -> NDArray[np.intp]:
        """Indices of the bars at which the forecast may bring about something for who holds `side`; None: whatever it
        says, it may not."""
        won = win_rate(state.results, self.over.book.policy.performance_trades)
        key = (side, self._step(won) if side else 0.0)
        if key not in self._known:
            happens: Mask = self.hard | self._paid(side) | (self.ran & self._asked(*key))
            self._known[key] = np.flatnonzero(happens)
        return self._known[key]

    def _over(self, stand: Stand, i: int) -> int:
        """The first bar from i on at which a position that has been held long enough may not be entered again."""
        policy, holding = self.over.book.policy, stand.state.holding
        if not policy.hold_most_bars:
            return len(self.ran)
        opened = holding.opened.timestamp() if holding.opened else 0.0
        due = int(self.over.bars.time.searchsorted(int(opened + (policy.hold_most_bars - 1.5) * self.step)))
        step = self._step(win_rate(stand.state.results, policy.performance_trades))
        key = (holding.position > 0, step)
        if key not in self._outlived:
            p_up, th = self.over.p_up, self._threshold(step)
            renewed = p_up > 0.5 + th + SLACK if key[0] else p_up < 0.5 - th - SLACK
            self._outlived[key] = np.flatnonzero(self.ran & self._open & ~renewed)
        return _first(self._outlived[key], max(i, due), len(self.ran))

    def _step(self, won: float | None) -> float:
        """What the share of recent trades won adds to the threshold."""
        if won not in self._steps:
            steps = threshold(self.over.book.policy, 1.0, 0.0, won, math.nan, math.nan)
            self._steps[won] = steps["performance"]
        return self._steps[won]

    def _asked(self, side: Side | None, performance: float) -> Mask:
        if side is None:
            return np.zeros(len(self.ran), np.bool_)
        policy, p_up, th = self.over.book.policy, self.over.p_up, self._threshold(performance)
        if side == "flat":
            return self._open & self._entry(th)
        soft = policy.exit_fraction * th - SLACK
        faded = p_up < 0.5 - soft if side == "long" else p_up > 0.5 + soft
        return self._open & faded

    @functools.cached_property
    def _open(self) -> Mask:
        """Where a forecast counts: it is there, and the window is sound. What could not be believed is refused."""
        over = self.over
        known = np.all(np.isfinite(over.context[:, :4]), axis=1) & (over.p_up >= 0.0) & (over.p_up <= 1.0)
        known &= over.sound >= over.need
        known[[i for i in over.problems if 0 <= i < len(known)]] = False
        sound: Mask = known
        return sound

    def _entry(self, th: Floats) -> Mask:
        """Where an entry may be made: the signal is there, and none of the gates that need nothing but the market says
        no. As in core.domain.decide, with a margin."""
        policy, p_up = self.over.book.policy, self.over.p_up
        buy, sell = p_up > 0.5 + th - SLACK, p_up < 0.5 - th + SLACK
        if policy.rule == "confirm":
            rule = self.over.context[:, 3]
            buy = buy | ((rule > 0) & (p_up > policy.rule_long))
            sell = sell | ((rule < 0) & (p_up < policy.rule_short))
        asked = buy | (sell & policy.short)
        asked &= ~(self.over.context[:, 4] >= policy.vix_panic)
        asked &= np.maximum(p_up, 1.0 - p_up) >= policy.minimum_confidence - SLACK
        left: Mask = self._scale != 0.0
        return asked & left & self._worth_it

    @functools.cached_property
    def _scale(self) -> Floats:
        """What the regimes leave of the size. As in core.domain.risk.regime."""
        policy = self.over.book.policy
        volatile, vix, fall, adx = (self.over.context[:, column] for column in (2, 4, 7, 8))
        crisis = ~(np.isfinite(volatile) & np.isfinite(fall) & np.isfinite(adx))
        crisis |= (fall <= -policy.crisis_fall) | (volatile >= policy.crisis_volatility)
        wild = volatile >= policy.volatility_high
        trend = adx >= policy.trend_adx
        market = np.select([crisis, wild, trend], [*_left(policy)], 1.0)
        unknown = ~(vix > 0.0)
        conditions = [unknown, vix >= policy.vix_panic, vix >= policy.vix_risk_off, vix < policy.vix_calm]
        scales = [policy.vix_risk_off_scale, 0.0, policy.vix_risk_off_scale, policy.vix_risk_on]
        left: Floats = market * np.select(conditions, scales, 1.0)
        return left

    @functools.cached_property
    def _reach(self) -> Reach:
        return Reach(self.over.book, self.over.bars, self.over.context, self._scale, ~self.hard)

    @functools.cached_property
    def _worth_it(self) -> Mask | bool:
        """Where the forecast promises more than a round trip costs."""
        policy, book = self.over.book.policy, self.over.book
        if not policy.edge:
            return True
        cost = 2.0 * (float(book.rules.taker) + float(book.costs.slippage_bps) / 10_000)
        sure = np.abs(2.0 * self.over.p_up - 1.0) * self.over.context[:, 6] * expected(1.0, 1.0, policy.hold_bars)
        enough: Mask = sure >= policy.edge * cost * (1.0 - SLACK)
        return enough

    def _threshold(self, performance: float) -> Floats:
        """The threshold of every bar, but for the last bits. As in core.domain.risk.threshold."""
        policy, context = self.over.book.policy, self.over.context
        atr_ratio, volatile, vix, change = (context[:, column] for column in (1, 2, 4, 5))
        high = np.where(volatile <= policy.volatility_low, policy.volatility_low_step, 0.0)
        th = policy.threshold + np.where(volatile >= policy.volatility_high, policy.volatility_high_step, high)
        th += np.where(atr_ratio >= policy.atr_high, policy.atr_high_step, 0.0) + performance
        risk_off = np.where(vix >= policy.vix_risk_off, policy.vix_risk_off_step, 0.0)
        known = np.where(vix < policy.vix_calm, policy.vix_calm_step, risk_off)
        th += np.where(np.isnan(vix), policy.vix_unknown_step, known)
        th += np.where(change >= policy.vix_spike, policy.vix_spike_step, 0.0)
        return np.minimum(np.maximum(th, policy.threshold_min), policy.threshold_max)

    def _paid(self, side: Side | None) -> Mask:
        """Bars at which a position that is held pays funding."""
        paid = np.zeros(len(self.ran), np.bool_)
        if side == "flat":
            return paid
        if self.over.funding is not None:
            paid |= np.isfinite(self.over.funding)
        if self.over.book.costs.funding_bps:
            paid[1:] |= np.diff(self.over.bars.time // FUNDING_S) != 0
        return paid

    # -- from where a run stands

    def quiet(self, stand: Stand) -> bool:
        """Whether nothing waits that the next bar alone could bring about."""
        state, account = stand.state, stand.account
        if account.pending or state.open_orders or state.marks is None or state.holding != account.holding:
            return False
        if state.mismatches or state.looked is not None or state.trouble or state.outside is None:
            return False
        if state.equity <= 0 or state.marks.peak <= 0 or state.marks.opened <= 0:
            return False
        position, rules = state.holding.position, self.over.book.rules
        if not position:
            return state.equity == state.holding.cash  # else it closed in a bar without a price, and is not marked yet
        return not rules.dust(position) and mode(stand) != "flatten" and rules.maintenance < 1

    def idle(self, stand: Stand, i: int) -> bool:
        """Whether the decision at bar i, which has been looked at, cannot ask for an order."""
        if not self.quiet(stand):
            return False
        found = self._static(stand)
        place = int(found.searchsorted(i))
        if place == len(found) or found[place] != i:
            held = bool(stand.state.holding.position)
            return not held or (self._over(stand, i) > i and self._untouched(stand, i, i + 1) > i)
        return not stand.state.holding.position and not self._reach.gives(stand.state, i)

    def until(self, stand: Stand, i: int) -> int:
        """The first bar from i on that is to be taken as a tick takes it; or a bar before it, where a quiet stretch
        may as well be cut."""
        found, end = self._static(stand), self._timed(stand)
        if not stand.state.holding.position:
            return self._reached(stand.state, found, i, end)
        end = min(_first(found, i, end), self._over(stand, i))
        end = self._untouched(stand, i, min(end, i + LENGTH))
        return self._unbroken(stand, i, end) if end > i else i

    def _static(self, stand: Stand) -> NDArray[np.intp]:
        position, allowed = stand.state.holding.position, mode(stand)
        if not position:
            return self.static("flat" if allowed == "run" else None, stand.state)
        side: Side = "long" if position > 0 else "short"
        return self.static(None if allowed == "halt" else side, stand.state)

    def _reached(self, state: BookState, found: NDArray[np.intp], i: int, end: int) -> int:
        """The first of the bars `found` from i on at which a flat book gets a lot, at most `end`."""
        place = int(found.searchsorted(i))
        while place < len(found) and found[place] < end and not self._reach.gives(state, int(found[place])):
            place += self._reach.first(state, found[place : place + LENGTH])
        return max(i, min(int(found[place]), end) if place < len(found) else end)

    def _timed(self, stand: Stand) -> int:
        """The first bar at whose close a breaker ends, or a person resumes one."""
        ends = [trip.until for trip in stand.trips if trip.until is not None]
        if self.over.resume_after is not None:
            ends += [trip.since + self.over.resume_after for trip in stand.state.tripped]
        return self._index(min(ends), self.step) if ends else len(self.ran)

    def _index(self, time: datetime, before: int) -> int:
        return int(self.over.bars.time.searchsorted(math.floor(time.timestamp()) - before))

    def _untouched(self, stand: Stand, i: int, end: int) -> int:
        """The first bar that touches the stop, or comes near the price at which the venue closes by force."""
        holding, bars = stand.state.holding, self.over.bars
        if end <= i or not holding.position:
            return end
        prices = [holding.stop, self._forced(stand, int(bars.time[end - 1]))]
        bounds = [float(price) for price in prices if price is not None]
        if not bounds:
            return end
        if holding.position > 0:
            touched = bars.low[i:end] <= max(bounds) * (1.0 + SLACK)
        else:
            touched = bars.high[i:end] >= min(bounds) * (1.0 - SLACK)
        return _until(touched, i, end)

    def _forced(self, stand: Stand, last: int) -> Decimal | None:
        """That price at the bar that opens at `last`, by when the interest owed is most."""
        holding, rules = stand.state.holding, self.over.book.rules
        opened = holding.opened
        seconds_held = Decimal(last - int(opened.timestamp())) if opened is not None else Decimal(0)
        worth = abs(holding.position) * holding.average_price
        interest = worth * rules.interest_per_day * seconds_held / DAY + CENT
        return liquidation(holding, rules, interest + stand.account.funding)

    def _unbroken(self, stand: Stand, i: int, end: int) -> int:
        """The first bar at whose close a daily loss or a drawdown may trip, or tell of more than it did."""
        first, last = int(self.row[i]), int(self.row[end])
        if first == last:
            return end
        broken = self._fallen(stand, first, self.equity(stand.state, first, last))
        found = int(broken.argmax())
        return int(self.rows[first + found]) if broken[found] else end

    def _fallen(self, stand: Stand, first: int, equity: Floats) -> Mask:
        marks, policy, last = stand.state.marks, self.over.book.policy, first + len(equity)
        assert marks is not None
        fallen: Mask = equity <= 0.0
        if policy.daily_loss > 0:
            if any(trip.breaker == "daily_loss" for trip in stand.trips):
                fallen |= equity < float(marks.low) * (1.0 + SLACK)
            else:
                opened = equity[np.maximum(self.dawn[first:last] - first, 0)]
                opened[self.day[first:last] == day_of(marks.day)] = float(marks.opened)
                fallen |= opened - equity >= opened * (policy.daily_loss * (1.0 - SLACK))
        if policy.drawdown > 0 and all(trip.breaker != "drawdown" for trip in stand.state.tripped):
            peak = np.maximum(np.maximum.accumulate(equity), float(marks.peak))
            fallen |= peak - equity >= peak * (policy.drawdown * (1.0 - SLACK))
        return fallen

    def equity(self, state: BookState, first: int, last: int) -> Floats:
        """Of rows first:last, but for the last bits."""
        holding = state.holding
        gained = (self.close[first:last] - float(holding.average_price)) * float(holding.position)
        gained += float(holding.cash)
        return gained


def day_of(day: datetime) -> int:
    return int(day.timestamp()) // 86400


def mode(stand: Stand) -> Mode:
    """What the breakers allow."""
    return max((trip.level for trip in stand.trips), key=MODES.index, default="run")


def _left(policy: Policy) -> tuple[float, float, float]:
    return policy.regime_crisis, policy.regime_volatile, policy.regime_trending


def _first(found: NDArray[np.intp], i: int, end: int) -> int:
    """The first of `found` from i on, at most `end`."""
    place = int(found.searchsorted(i))
    return max(i, min(int(found[place]) if place < len(found) else end, end))


def _until(mask: Mask, i: int, end: int) -> int:
    found = int(mask.argmax())
    return i + found if mask[found] else end
