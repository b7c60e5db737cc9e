"""Each breaker just below its limit, at it and beyond; that a trip holds for its time, whatever comes after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.risk.account import Limits
from core.domain.risk.breakers import (
    Facts,
    Marks,
    Result,
    Trip,
    account_trips,
    active,
    level_of,
    mark,
    resumed,
    trips,
)
from core.domain.risk.policy import Level, Policy

DAY = datetime(2024, 5, 1, tzinfo=UTC)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)
FULL = Decimal(10000)
KEYS = "daily_loss drawdown losses cooldown_hours stops low_profit slippage price_move error_rate latency_s"
OFF: dict[str, Any] = dict.fromkeys(KEYS.split(), 0)


def only(**keys: Any) -> Policy:
    """A policy with nothing on but what is named."""
    return Policy(**OFF | keys)


def marked(*equities: object, since: datetime = NOON - 2 * HOUR, every: timedelta = timedelta(minutes=1)) -> Marks:
    marks = None
    for index, equity in enumerate(equities):
        marks = mark(marks, Decimal(str(equity)), since + index * every)
    assert marks
    return marks


def lost(hours_ago: float, pnl: object = -10, share: float = -0.001, stopped: bool = False) -> Result:
    return Result(closed=NOON - hours_ago * HOUR, pnl=Decimal(str(pnl)), share=share, stopped=stopped)


def won(hours_ago: float, share: float = 0.001) -> Result:
    return lost(hours_ago, pnl=10, share=share)


def after(*equities: object, policy: Policy, now: datetime = NOON) -> list[str]:
    """The breakers that are tripped when these equities have been marked."""
    return names(trips(Facts(now=now, equity=Decimal(str(equities[-1])), marks=marked(*equities)), policy))


def told(results: Sequence[Result], policy: Policy, now: datetime = NOON) -> tuple[Trip, ...]:
    return trips(Facts(now=now, equity=FULL, marks=marked(FULL), results=results), policy)


def names(found: Sequence[Trip]) -> list[str]:
    return [trip.breaker for trip in found]


# -- marks


def test_the_first_mark_of_a_utc_day_begins_the_day_and_keeps_the_peak() -> None:
    yesterday = marked(10000, 9000, 11000, since=DAY - HOUR)
    today = mark(yesterday, Decimal(10500), DAY)
    assert (today.day, today.opened, today.low, today.peak) == (DAY, Decimal(10500), Decimal(10500), Decimal(11000))
    just_before = mark(yesterday, Decimal(10500), DAY - INSTANT)
    assert (just_before.opened, just_before.low) == (Decimal(10000), Decimal(9000))


def test_a_day_is_a_day_of_utc_whatever_zone_the_time_is_given_in() -> None:
    tokyo = DAY.astimezone(timezone(9 * HOUR))
    assert mark(None, FULL, tokyo).day == DAY


def test_low_and_peak_are_kept_within_a_day() -> None:
    marks = marked(10000, 9900, 10100, 10050)
    assert (marks.opened, marks.low, marks.peak) == (Decimal(10000), Decimal(9900), Decimal(10100))


def test_marking_the_same_equity_again_changes_nothing() -> None:
    marks = marked(10000, 9900, 10100, 9950)
    assert mark(marks, Decimal(9950), NOON) == marks


def test_a_clock_that_steps_back_does_not_begin_a_day_anew() -> None:
    marks = marked(10000, 9000, since=DAY)
    assert mark(marks, Decimal(9500), DAY - HOUR) == marks


@given(st.lists(st.decimals(-100, 20000, places=2), min_size=1, max_size=30), st.integers(1, 600))
def test_the_peak_is_the_highest_and_the_deepest_fall_the_deepest_ever_marked(
    equities: list[Decimal], step: int
) -> None:
    marks = marked(*equities, every=timedelta(minutes=step))
    assert marks.peak == max(equities)
    highs = np.maximum.accumulate([float(equity) for equity in equities])
    falls = [(1 - float(e) / high if high > 0 else 1.0) for e, high in zip(equities, highs, strict=True)]
    assert float(marks.deepest.share if marks.deepest else 0) == pytest.approx(max(falls), abs=1e-9)


# -- daily loss


@pytest.mark.parametrize(("low", "tripped"), [("9800.01", []), ("9800", ["daily_loss"]), ("9799.99", ["daily_loss"])])
def test_a_days_loss_trips_at_its_limit_and_not_before(low: str, tripped: list[str]) -> None:
    assert after(10000, low, policy=only(daily_loss=0.02)) == tripped


def test_a_days_loss_is_measured_from_the_days_first_mark_not_from_its_peak() -> None:
    assert after(10000, 12000, 9900, policy=only(daily_loss=0.02)) == []


def test_a_days_loss_holds_until_midnight_even_when_it_is_made_good() -> None:
    policy, marks = only(daily_loss=0.02), marked(10000, 9700, 10500)
    (trip,) = trips(Facts(now=NOON, equity=Decimal(10500), marks=marks), policy)
    assert trip.until == DAY + 24 * HOUR and trip.level == "reduce" and trip.scope == "book"
    assert trip.detail == "lost 3 % of the day's 10,000; the limit is 2 %"
    last = Facts(now=trip.until - INSTANT, equity=Decimal(10500), marks=marks)
    assert names(trips(last, policy)) == ["daily_loss"]
    assert trips(replace(last, now=trip.until), policy) == ()


def test_an_equity_that_was_not_marked_yet_counts_all_the_same() -> None:
    facts = Facts(now=NOON, equity=Decimal(9000), marks=marked(10000))
    assert names(trips(facts, only(daily_loss=0.02, drawdown=0.05))) == ["drawdown", "daily_loss"]


# -- drawdown


@pytest.mark.parametrize(("low", "tripped"), [("11400.01", []), ("11400", ["drawdown"]), ("11399.99", ["drawdown"])])
def test_a_drawdown_trips_at_its_limit_from_the_peak(low: str, tripped: list[str]) -> None:
    assert after(10000, 12000, low, policy=only(drawdown=0.05)) == tripped


def test_a_drawdown_holds_over_days_and_new_peaks_until_a_person_resumes() -> None:
    policy, marks = only(drawdown=0.05), marked(12000, 11000, 13000)
    later, equity = NOON + 90 * 24 * HOUR, Decimal(13000)
    (trip,) = trips(Facts(now=later, equity=equity, marks=marks), policy)
    assert (trip.level, trip.until) == ("flatten", None)
    assert trip.detail == "fell 8.33 % from the highest 12,000; the limit is 5 %"
    assert trips(Facts(now=later, equity=equity, marks=resumed(marks, equity, later)), policy) == ()


def test_resuming_forgives_the_past_and_nothing_that_comes_after() -> None:
    anew = resumed(marked(12000, 9000), Decimal(9000), NOON)
    assert (anew.peak, anew.opened, anew.low, anew.deepest) == (Decimal(9000), Decimal(9000), Decimal(9000), None)
    policy = only(daily_loss=0.02, drawdown=0.05)
    facts = Facts(now=NOON, equity=Decimal(9000), marks=anew)
    assert trips(facts, policy) == ()
    assert names(trips(replace(facts, equity=Decimal(8820)), policy)) == ["daily_loss"]
    assert names(trips(replace(facts, equity=Decimal(8550)), policy)) == ["drawdown", "daily_loss"]


@given(st.decimals(1, 10**9, places=2), st.sampled_from(["NaN", "sNaN", "Infinity", "-Infinity", "0", "-1"]))
def test_an_equity_that_is_unknown_or_gone_trips_whatever_measures_losses(equity: Decimal, bad: str) -> None:
    policy, now = only(daily_loss=1.0, drawdown=1.0), NOON
    for marks in (
        mark(None, equity, now),
        mark(mark(None, equity, now), Decimal(bad), now),
        mark(None, Decimal(bad), now),
    ):
        facts = Facts(now=now, equity=Decimal(bad), marks=marks)
        assert names(trips(facts, policy)) == ["drawdown", "daily_loss"]
        assert names(trips(replace(facts, equity=equity), policy)) == (
            [] if marks.low == equity else names(trips(facts, policy))
        )


def test_a_peak_is_never_a_number_that_no_equity_can_reach() -> None:
    assert mark(marked(10000), Decimal("Infinity"), NOON).peak == FULL


# -- losses in a row


def test_a_streak_of_losses_trips_with_its_last_one_for_its_hours() -> None:
    policy = only(losses=3, losses_hours=24.0)
    assert told([lost(3), lost(2)], policy) == ()
    (trip,) = told([lost(3), lost(2), lost(1)], policy)
    assert (trip.breaker, trip.since, trip.until) == ("losses", NOON - HOUR, NOON + 23 * HOUR)
    assert trip.detail == "3 results in a row lost; the limit is 3"


def test_a_gain_or_a_break_even_ends_a_streak_that_was_not_full() -> None:
    policy = only(losses=3)
    assert told([lost(4), lost(3), won(2), lost(1)], policy) == ()
    assert told([lost(4), lost(3), lost(2, pnl=0), lost(1)], policy) == ()


def test_a_gain_after_a_full_streak_does_not_end_its_trip() -> None:
    policy = only(losses=3, losses_hours=24.0)
    results = [lost(5), lost(4), lost(3), won(2), won(1)]
    (trip,) = told(results, policy)
    assert trip.until == NOON + 21 * HOUR
    assert told(results, policy, trip.until - INSTANT) == (trip,)
    assert told(results, policy, trip.until) == ()


def test_one_more_loss_after_the_hours_are_over_trips_again() -> None:
    policy = only(losses=3, losses_hours=1.0)
    assert told([lost(9), lost(8), lost(7)], policy) == ()
    (trip,) = told([lost(9), lost(8), lost(7), lost(0.5)], policy)
    assert trip.until == NOON + HOUR / 2


def test_a_result_of_which_the_gain_is_unknown_counts_as_a_loss() -> None:
    assert names(told([lost(2), lost(1, pnl="NaN")], only(losses=2, cooldown_hours=2.0))) == ["losses", "cooldown"]


# -- cool-down


def test_a_loss_cools_down_for_its_hours_and_a_gain_or_break_even_does_not() -> None:
    policy = only(cooldown_hours=2.0)
    (trip,) = told([won(3), lost(1)], policy)
    assert (trip.since, trip.until) == (NOON - HOUR, NOON + HOUR)
    assert trip.detail == "a trade lost 10; no entry for 2 hours after one"
    assert told([lost(1)], policy, NOON + HOUR - INSTANT) == (trip,)
    assert told([lost(1)], policy, NOON + HOUR) == ()
    assert told([won(1)], policy) == told([lost(1, pnl=0)], policy) == ()


def test_a_gain_within_the_hours_does_not_end_a_cool_down_and_a_loss_begins_it_anew() -> None:
    policy = only(cooldown_hours=2.0)
    assert [trip.until for trip in told([lost(1), won(0.5)], policy)] == [NOON + HOUR]
    assert [trip.until for trip in told([lost(1), lost(0.5)], policy)] == [NOON + 1.5 * HOUR]


# -- stops


def test_stops_trip_when_enough_of_them_fall_within_their_hours() -> None:
    policy = only(stops=3, stops_within_hours=48.0, stops_hours=24.0)
    inside = [lost(48, stopped=True), lost(30, stopped=True), won(20), lost(0, stopped=True)]
    (trip,) = told(inside, policy)
    assert (trip.breaker, trip.until) == ("stops", NOON + 24 * HOUR)
    assert trip.detail == "3 stops within 48 hours; the limit is 3"
    assert told([lost(48.001, stopped=True), *inside[1:]], policy) == ()
    assert told(inside[1:], policy) == ()
    assert told([lost(48), *inside[1:]], policy) == ()  # a loss, but not a stop


def test_stops_stay_tripped_for_their_hours_also_when_the_first_has_left_the_window() -> None:
    policy = only(stops=2, stops_within_hours=2.0, stops_hours=24.0)
    results = [lost(24, stopped=True), lost(23, stopped=True), won(10), lost(1, stopped=True)]
    assert [trip.until for trip in told(results, policy)] == [NOON + HOUR]


# -- low profit


@pytest.mark.parametrize(
    ("shares", "tripped"),
    [
        ([-0.002] * 5, ["low_profit"]),
        ([-0.002] * 4 + [-0.001999], []),
        ([-0.0012] * 4 + [-0.0052], ["low_profit"]),  # exactly, as decimals
        ([-0.02] * 4, []),
        ([-0.02, 0.002, 0.002, 0.002, 0.004], ["low_profit"]),
        ([-0.02, 0.002, 0.002, 0.002, 0.0041], []),
        ([-0.1, math.nan, 0.1, 0.1, 0.1], ["low_profit"]),
        ([0.1, 0.1, 0.1, 0.1, math.nan], ["low_profit"]),
    ],
)
def test_enough_results_trip_when_together_they_lost_the_limit(shares: list[float], tripped: list[str]) -> None:
    results = [lost(len(shares) - i, share=share) for i, share in enumerate(shares)]
    assert names(told(results, only(low_profit=0.01, low_profit_trades=5))) == tripped


def test_a_result_counts_for_low_profit_as_long_as_it_is_within_the_hours_of_the_last_one() -> None:
    policy = only(low_profit=0.01, low_profit_trades=3, low_profit_within_hours=10.0, low_profit_hours=24.0)
    (trip,) = told([lost(11, share=-0.004), lost(5, share=-0.004), lost(1, share=-0.004)], policy)
    assert trip.until == NOON + 23 * HOUR
    assert trip.detail == "3 results within 10 hours lost 1.2 %; the limit is 1 %"
    assert told([lost(11.001, share=-0.004), lost(5, share=-0.004), lost(1, share=-0.004)], policy) == ()


def test_a_large_gain_afterwards_does_not_end_low_profit() -> None:
    policy = only(low_profit=0.01, low_profit_trades=2)
    assert names(told([lost(3, share=-0.01), lost(2, share=-0.01), won(1, share=0.5)], policy)) == ["low_profit"]


# -- slippage


@pytest.mark.parametrize(
    ("slippages", "tripped"),
    [
        ([0.5, 0.5], []),  # too few to judge
        ([0.004, 0.005, 0.006], []),
        ([0.004, 0.005, 0.0061], ["slippage"]),
        ([-0.5, 0.004, 0.005, 0.0061], ["slippage"]),
        ([0.004, 0.005, 0.0061, -0.5], ["slippage"]),  # a fill that was lucky afterwards excuses nothing
        ([0.001, math.nan, 0.001], ["slippage"]),
        ([-math.inf, math.inf, 0.0], ["slippage"]),
    ],
)
def test_slippage_trips_beyond_its_limit_on_average_over_enough_fills(
    slippages: list[float], tripped: list[str]
) -> None:
    facts = Facts(now=NOON, equity=FULL, marks=marked(FULL), slippages=slippages)
    found = trips(facts, only(slippage=0.005, slippage_fills=3))
    assert names(found) == tripped
    assert all(trip.until is None for trip in found)


# -- what all of them share


def test_zero_turns_each_breaker_off() -> None:
    results = [lost(hours / 10, share=-0.5, stopped=True) for hours in range(30, 0, -1)]
    worst = Facts(now=NOON, equity=Decimal(1), marks=marked(10000, 1), results=results, slippages=[1.0] * 30)
    assert trips(worst, only()) == ()
    assert len(trips(worst, Policy())) == 7
    assert trips(worst, only(low_profit_trades=0, low_profit=0.01)) == ()
    assert account_trips(worst.marks, worst.equity, Limits(daily_loss=0.0, drawdown=0.0), NOON) == ()


def test_the_most_severe_trip_is_told_first_and_of_one_level_the_longest() -> None:
    policy = Policy(losses=2, losses_level="halt", stops=0, low_profit=0.0)
    marks = marked(10000, 9000)
    found = trips(Facts(now=NOON, equity=Decimal(9000), marks=marks, results=[lost(2), lost(1)]), policy)
    assert [(trip.level, trip.breaker) for trip in found] == [
        ("flatten", "drawdown"),
        ("halt", "losses"),
        ("reduce", "daily_loss"),
        ("reduce", "cooldown"),
    ]


def test_every_breaker_trips_to_the_level_that_its_own_key_names() -> None:
    results = [lost(hours / 10, share=-0.5, stopped=True) for hours in range(30, 0, -1)]
    facts = Facts(now=NOON, equity=Decimal(1), marks=marked(10000, 1), results=results, slippages=[1.0] * 30)
    found = names(trips(facts, Policy()))
    for breaker in found:
        for level in ("reduce", "halt", "flatten"):
            others = {f"{name}_level": "reduce" for name in found}
            policy = Policy(**others | {f"{breaker}_level": level})
            assert {t.breaker: t.level for t in trips(facts, policy)} == dict.fromkeys(found, "reduce") | {
                breaker: level
            }


def test_a_trip_that_is_over_says_nothing() -> None:
    def trip(level: Level, until: datetime | None) -> Trip:
        return Trip(breaker="losses", level=level, since=NOON - HOUR, until=until)

    over, holding, person = trip("flatten", NOON), trip("reduce", NOON + INSTANT), trip("halt", None)
    assert active([over], NOON) == () and level_of([over], NOON) is None
    assert level_of([over, holding], NOON) == "reduce"
    assert active([holding, over, person], NOON) == (person, holding)
    assert level_of([holding, person], NOON + 1000 * HOUR) == "halt"


def test_the_account_trips_on_the_sum_of_its_books_for_all_of_them() -> None:
    marks = marked(30000, 28600)
    found = account_trips(marks, Decimal(28600), Limits(daily_loss=0.02, drawdown=0.05, daily_loss_level="halt"), NOON)
    assert [(trip.breaker, trip.level, trip.scope) for trip in found] == [("daily_loss", "halt", "account")]
    assert names(account_trips(marks, Decimal(28500), Limits(), NOON)) == ["drawdown", "daily_loss"]
    assert names(account_trips(marks, Decimal("NaN"), Limits(), NOON)) == ["drawdown", "daily_loss"]


shares = st.floats(-0.05, 0.05).map(lambda share: round(share, 4))
Rows = list[tuple[int, float, bool]]  # hours after DAY, share, stopped
histories = st.lists(st.tuples(st.integers(0, 200), shares, st.booleans()), max_size=15)
policies = st.builds(
    Policy,
    losses=st.integers(0, 4),
    losses_hours=st.floats(0.5, 60),
    cooldown_hours=st.floats(0, 30),
    stops=st.integers(0, 4),
    stops_within_hours=st.floats(0.5, 100),
    stops_hours=st.floats(0.5, 60),
    low_profit=st.sampled_from([0.0, 0.01, 0.05]),
    low_profit_trades=st.integers(0, 5),
    low_profit_within_hours=st.floats(1, 200),
    low_profit_hours=st.floats(0.5, 60),
    slippage_fills=st.integers(1, 4),
)


def past(drawn: Rows) -> list[Result]:
    """Results at whole hours after DAY, oldest first."""
    rows = sorted(drawn, key=lambda row: row[0])
    return [Result(closed=DAY + h * HOUR, pnl=Decimal(str(s * 1e4)), share=s, stopped=x) for h, s, x in rows]


@given(histories, histories, policies, st.integers(0, 300))
def test_a_trip_never_ends_early_whatever_comes_after_it(before: Rows, later: Rows, policy: Policy, hours: int) -> None:
    """Facts are known as they happen: what had tripped before a later fact still holds with it, until its own end."""
    now = DAY + hours * HOUR
    known = [result for result in past(before) if result.closed <= now]
    grown = known + [replace(result, closed=now + (result.closed - DAY)) for result in past(later)]
    for trip in told(known, policy, now):
        end = trip.until or now + 1000 * HOUR
        for moment in (now, end - INSTANT):
            held = {found.breaker: found.until for found in told(grown, policy, moment)}
            assert (held[trip.breaker] or end) >= end


@given(histories, policies, st.integers(0, 300), st.integers(0, 300))
def test_as_time_passes_and_nothing_happens_trips_only_end(drawn: Rows, policy: Policy, hours: int, more: int) -> None:
    results, now = past(drawn), DAY + 200 * HOUR + hours * HOUR
    first, second = told(results, policy, now), told(results, policy, now + more * HOUR)
    assert set(names(second)) <= set(names(first))
    assert [trip for trip in first if trip.until and trip.until > now + more * HOUR] == list(second)


@given(histories, policies, st.integers(0, 300), st.data())
def test_worse_results_never_end_a_trip(drawn: Rows, policy: Policy, hours: int, data: st.DataObject) -> None:
    results, now = past(drawn), DAY + hours * HOUR
    worse = [
        replace(r, pnl=r.pnl - 1000 * d, share=r.share - float(d) / 10, stopped=r.stopped or s)
        for r, d, s in ((r, data.draw(st.integers(0, 2)), data.draw(st.booleans())) for r in results)
    ]
    assert set(names(told(results, policy, now))) <= set(names(told(worse, policy, now)))


@given(
    st.lists(st.tuples(st.integers(0, 90), st.decimals(5000, 15000, places=2)), min_size=1, max_size=20),
    st.decimals(0, 20000, places=2),
)
def test_a_better_equity_never_ends_a_loss_that_had_tripped(path: list[tuple[int, Decimal]], later: Decimal) -> None:
    policy, marks = only(daily_loss=0.02, drawdown=0.05), None
    for hours, equity in sorted(path):
        now = DAY + hours * HOUR
        marks = mark(marks, equity, now)
        found = trips(Facts(now=now, equity=equity, marks=marks), policy)
        again = trips(Facts(now=now, equity=later, marks=marks), policy)
        assert set(names(found)) <= set(names(again))
        tomorrow = Facts(now=now + 24 * HOUR, equity=later, marks=mark(marks, later, now + 24 * HOUR))
        assert ("drawdown" in names(found)) <= ("drawdown" in names(trips(tomorrow, policy)))


@given(
    st.lists(st.decimals(5000, 15000, places=2), min_size=1, max_size=20),
    st.lists(st.decimals(0, 3000, places=2), min_size=20, max_size=20),
)
def test_falls_that_are_deeper_trip_as_well(path: list[Decimal], down: list[Decimal]) -> None:
    """From the same first equity and peak, every equity the same or lower."""
    start, policy = Decimal(15000), only(daily_loss=0.02, drawdown=0.05)
    deeper = [equity - less for equity, less in zip(path, down, strict=False)]
    assert set(after(start, *path, policy=policy)) <= set(after(start, *deeper, policy=policy))
