"""The challenge: two shadows that trade as the backtest does, and a verdict that needs evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.backtest import Result, backtest
from core.domain.bars import Bars, Floats, moment
from core.domain.challenge import (
    RESUMED,
    Challenge,
    Day,
    Terms,
    Verdict,
    began,
    figures,
    folded,
    moved,
    paired,
    verdict,
)
from core.domain.decide import Foresight
from core.domain.labels import direction
from core.domain.metrics import log_loss
from core.domain.risk import Trip
from core.domain.state import BookState
from tests.road import Road, road, small_book

START = datetime(2024, 3, 1, tzinfo=UTC)
TERMS = Terms()
COUNT = 400
LABEL = (6, 0.001)


@cache
def made() -> Road:
    return road(small_book())


@cache
def forecasts() -> tuple[Floats, Floats]:
    return made().forecasts()


def other() -> Floats:
    """Another model's forecasts: the first one's of an hour ago, and not always."""
    p_up = np.roll(forecasts()[0], 1).copy()
    p_up[::17] = np.nan
    return p_up


@dataclass(frozen=True)
class Run:
    """A challenge over bars, and the two shadows' equity after each."""

    last: Challenge
    champion: list[object]
    challenger: list[object]


def window(index: int) -> Bars:
    return made().bars[index - made().first + 1 : index + 1]


def seen(p_up: Floats, index: int) -> Foresight:
    return Foresight(p_up=float(p_up[index]), context=tuple(forecasts()[1][index].tolist()))


def challenged(one: Floats, two: Floats, indices: list[int], label: tuple[int, float] | None = LABEL) -> Run:
    book, bars = made().book, made().bars
    known = began(book, START, moment(bars.time[indices[0] - 1]))
    equities: list[tuple[object, object]] = []
    for i in indices:
        since = max(0, i - made().first + 1)
        known = folded(known, book, bars[since : i + 1], moment(bars.time[i]), seen(one, i), seen(two, i), label)
        equities.append((known.champion.state.equity, known.challenger.state.equity))
    return Run(known, [pair[0] for pair in equities], [pair[1] for pair in equities])


def indices(count: int = COUNT) -> list[int]:
    return list(range(1500, 1500 + count))


@cache
def usual() -> Run:
    return challenged(forecasts()[0], other(), indices())


def by_backtest(p_up: Floats, missed: list[int]) -> Result:
    bars, first = made().bars[: indices()[-1] + 1], indices()[0]
    absent = np.zeros(len(bars), bool)
    absent[missed] = True
    size, context = len(bars), forecasts()[1]
    return backtest(
        made().book, bars, p_up[:size], context[:size], made().first, first, missed=absent, resume_after=RESUMED
    )


# -- one bar


def test_each_shadow_trades_exactly_as_the_backtest_does_on_its_forecasts() -> None:
    ours = usual()
    for p_up, equity, state in (
        (forecasts()[0], ours.champion, ours.last.champion.state),
        (other(), ours.challenger, ours.last.challenger.state),
    ):
        result = by_backtest(p_up, [])
        assert list(result.equity) == equity
        assert state.closed == len(result.trades) > 5
        assert state.holding == result.state.holding


def test_missed_ticks_let_the_market_move_on_without_a_decision() -> None:
    missed = [i for i in indices() if i % 7 in (3, 4)]
    ours = challenged(forecasts()[0], other(), [i for i in indices() if i not in missed])
    assert list(by_backtest(forecasts()[0], missed).equity) == ours.champion
    assert list(by_backtest(other(), missed).equity) == ours.challenger


def test_the_same_forecasts_give_no_difference_at_all() -> None:
    last = challenged(forecasts()[0], forecasts()[0], indices(120)).last
    assert last.champion == last.challenger
    assert all((day.gained, day.spared) == (0.0, 0.0) for day in last.days)


def test_what_a_bar_gained_is_the_difference_of_both_returns() -> None:
    ours = usual()
    returns = [np.diff(np.array(e, float)) / np.array(e, float)[:-1] for e in (ours.champion, ours.challenger)]
    assert sum(day.gained for day in ours.last.days) == pytest.approx((returns[1] - returns[0]).sum(), abs=1e-12)
    assert sum(day.bars for day in ours.last.days) == COUNT - 1
    assert (
        len({day.day for day in ours.last.days})
        == len(ours.last.days)
        == len({f"{moment(made().bars.time[i]):%Y-%m-%d}" for i in indices()})
    )


def test_a_forecast_is_scored_once_and_only_when_its_label_is_known() -> None:
    last, at = usual().last, np.array(indices())
    labels, _ = direction(made().bars, *LABEL)
    one, two = forecasts()[0][at], other()[at]
    known = np.isfinite(labels[at]) & np.isfinite(one) & np.isfinite(two) & (at + LABEL[0] + 1 <= at[-1])
    y = labels[at][known]
    spared = known.sum() * (log_loss(y, one[known]) - log_loss(y, two[known]))
    assert sum(day.scored for day in last.days) == known.sum() > 100
    assert sum(day.spared for day in last.days) == pytest.approx(spared, rel=1e-9)
    assert [each.bar for each in last.awaited] == [
        moment(made().bars.time[i]) for i in indices()[-LABEL[0] - 1 :] if np.isfinite(other()[i])
    ]


def test_forecasts_of_different_things_are_not_scored() -> None:
    last = challenged(forecasts()[0], other(), indices(60), label=None).last
    assert last.awaited == ()
    assert sum(day.scored for day in last.days) == 0
    assert figures(last)["spared"] is None


def test_a_bar_that_was_folded_is_not_folded_again() -> None:
    last, i = usual().last, indices()[-1]
    for index in (i, i - 1, i - 50):
        two = seen(other(), index), seen(other(), index)
        again = folded(last, made().book, window(index), moment(made().bars.time[index]), *two, LABEL)
        assert again is last


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1500, 1540), min_size=1, max_size=30))
def test_whatever_comes_twice_or_late_each_bar_counts_once(order: list[int]) -> None:
    book, bars = made().book, made().bars
    known = began(book, START, moment(bars.time[1499]))
    newest, counted = -1, 0
    for i in order:
        known = folded(known, book, window(i), moment(bars.time[i]), seen(forecasts()[0], i), seen(other(), i), LABEL)
        counted += i > newest
        newest = max(newest, i)
    assert sum(day.bars for day in known.days) == counted - 1
    assert known.bar == moment(bars.time[newest])


def test_a_refusal_and_a_bar_that_did_not_come_harm_neither() -> None:
    book, bars, i = made().book, made().bars, indices()[0]
    refused = Foresight(problem=("market_unavailable", "no answer"))
    known = began(book, START, moment(bars.time[i - 1]))
    late = folded(known, book, bars[i - 100 : i], moment(bars.time[i]), refused, refused, LABEL)
    none = folded(late, book, bars[:0], moment(bars.time[i + 1]), refused, refused, LABEL)
    two = seen(forecasts()[0], i + 2), seen(other(), i + 2)
    after = folded(none, book, window(i + 2), moment(bars.time[i + 2]), *two, LABEL)
    assert after.bar == moment(bars.time[i + 2])
    assert after.champion.state.equity == book.policy.capital


def test_it_is_kept_as_a_document_and_read_back_the_same() -> None:
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(usual().last))
    assert msgspec.convert(stored, Challenge) == usual().last
    assert len(msgspec.msgpack.encode(usual().last)) < 40_000


# -- the verdict


def standing(gained: Floats, spared: Floats | None = None, trades: int = 50, looks: int = 0) -> Challenge:
    """A challenge of so many days, with these differences per day."""
    spared = np.zeros(len(gained)) if spared is None else spared
    known = began(small_book(), START, START)
    days = tuple(
        Day(day=f"{START + timedelta(days=i):%Y-%m-%d}", bars=24, gained=g, scored=20, spared=s)
        for i, (g, s) in enumerate(zip(gained.tolist(), spared.tolist(), strict=True))
    )
    state: BookState = replace(known.challenger.state, closed=trades)
    return replace(known, days=days, looks=looks, challenger=replace(known.challenger, state=state))


def noise(days: int, seed: int = 1, scale: float = 0.01) -> Floats:
    return np.random.default_rng(seed).standard_t(4, days) * scale


def said(known: Challenge, terms: Terms = TERMS) -> tuple[str, bool]:
    found: Verdict = verdict(known, terms)
    return found.outcome, found.looked


def test_no_look_is_taken_before_its_day_nor_twice() -> None:
    great = np.full(200, 0.01) + noise(200, scale=0.001)
    assert said(standing(great[:27])) == ("not_yet", False)
    assert said(standing(great[:28])) == ("promote", True)
    assert said(standing(great[:55], looks=1)) == ("not_yet", False)
    assert said(standing(great[:56], looks=1)) == ("promote", True)


def test_too_few_trades_are_no_evidence_and_at_the_end_the_challenger_is_dropped() -> None:
    great = np.full(112, 0.01) + noise(112, scale=0.001)
    assert said(standing(great[:28], trades=19)) == ("not_yet", False)
    assert said(standing(great[:111], trades=19)) == ("not_yet", False)
    assert said(standing(great, trades=19)) == ("drop", False)
    assert "19 trades" in verdict(standing(great, trades=19), TERMS).reason


@pytest.mark.parametrize(
    ("gained", "spared", "outcome"),
    [
        (0.02, 0.0, "promote"),  # better by its return
        (0.0, 2.0, "promote"),  # better by its log-loss
        (0.02, -0.1, "promote"),  # no more than chance speaks against it
        (0.02, -0.4, "not_yet"),  # better by its return, and somewhat worse by its log-loss
        (-0.006, 2.0, "not_yet"),
        (-0.02, 0.0, "drop"),
        (0.0, -2.0, "drop"),
        (0.0, 0.0, "not_yet"),
    ],
)
def test_better_in_one_thing_beyond_chance_and_not_worse_in_the_other(
    gained: float, spared: float, outcome: str
) -> None:
    ours, theirs = noise(28, 1), noise(28, 2, scale=1.0)
    known = standing(ours - ours.mean() + gained, theirs - theirs.mean() + spared)
    assert said(known) == (outcome, True)


def test_at_the_last_look_what_is_not_better_is_dropped() -> None:
    values = noise(112)
    assert said(standing(values - values.mean(), looks=2)) == ("not_yet", True)
    assert said(standing(values - values.mean(), looks=3)) == ("drop", True)


def test_without_scored_forecasts_the_returns_alone_decide() -> None:
    known = standing(np.full(28, 0.01) + noise(28, scale=0.001))
    blind = replace(known, days=tuple(replace(day, scored=0, spared=0.0) for day in known.days))
    assert verdict(blind, TERMS).outcome == "promote"
    assert figures(blind)["spared"] is None


def test_two_models_that_are_the_same_are_never_judged_different() -> None:
    assert said(standing(np.zeros(28))) == ("not_yet", True)
    assert paired(np.zeros(28), np.full(28, 24.0)) == (0.0, None, None)


def course(seed: int, gain: float) -> str:
    """The end of a challenge of which the days are drawn, judged each week as training does."""
    random = np.random.default_rng(seed)
    gained, spared = random.standard_t(4, (2, 112)) * np.array([[0.01], [1.0]])
    whole = known = standing(gained + gain, spared + 100 * gain)
    for days in range(7, 113, 7):
        known = replace(known, days=whole.days[:days])
        found = verdict(known, TERMS)
        if found.outcome != "not_yet":
            return found.outcome
        known = replace(known, looks=known.looks + found.looked)
    raise AssertionError("it never ended")


def test_over_all_looks_one_that_is_no_better_is_promoted_in_at_most_one_of_twenty() -> None:
    ends = [course(seed, 0.0) for seed in range(300)]
    assert set(ends) <= {"promote", "drop"}
    assert ends.count("promote") <= 300 * TERMS.level + 3 * (300 * 0.05 * 0.95) ** 0.5
    assert ends.count("promote") > 0  # else nothing could ever be


def test_one_that_is_clearly_better_is_nearly_always_promoted() -> None:
    ends = [course(seed, 0.008) for seed in range(100)]
    assert ends.count("promote") >= 90


def test_days_that_hang_together_make_it_less_sure() -> None:
    days = np.repeat(noise(28, 3), 4)[:112] + 0.002
    alone, together = (
        paired(np.sort(days)[np.random.default_rng(1).permutation(112)], np.full(112, 24.0)),
        paired(days, np.full(112, 24.0)),
    )
    assert alone[0] == pytest.approx(together[0])
    assert (together[1] or 0.0) > (alone[1] or 0.0)


@pytest.mark.parametrize(("days", "waits"), [(6.9, True), (7.0, False)])
def test_a_shadow_s_breaker_that_waits_for_a_person_is_resumed_after_a_week(days: float, waits: bool) -> None:
    i = indices()[0]
    book, bar = made().book, moment(made().bars.time[i])
    trip = Trip(breaker="drawdown", level="halt", since=bar + timedelta(hours=1) - timedelta(days=days), detail="far")
    known = began(book, START, moment(made().bars.time[i - 1])).champion
    tripped = replace(known, state=replace(known.state, tripped=(trip,)))
    assert bool(moved(tripped, book, window(i), bar, seen(forecasts()[0], i)).state.tripped) == waits
