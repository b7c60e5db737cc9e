"""The quick fold gives what the plain one gives, to the last digit, whatever the market, the policy and the past."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.domain.backtest import Result, fold, quick
from core.domain.bars import Bars, epoch
from core.domain.fills import Costs
from core.domain.orders import Rules
from core.domain.risk import Policy
from core.domain.state import Book
from tests.domain.drawn import HOUR, RULES
from tests.domain.test_backtest import BOOK, COUNT, EAGER, START, bars_of, calm, drawn
from tests.policies import PLAIN
from tests.road import DATA, real

LONG = 250


@dataclass(frozen=True)
class Market:
    bars: Bars
    p_up: NDArray[np.float64]
    context: NDArray[np.float64]
    missed: NDArray[np.bool_] | None
    problems: dict[int, tuple[str, str]]
    funding: NDArray[np.float64] | None


def market(draw: Random, count: int = LONG) -> Market:
    """A walk with quiet and wild weeks, gaps, broken bars, missing forecasts, missed ticks."""
    rng = np.random.default_rng(draw.getrandbits(32))
    size = np.repeat(rng.choice([0.0005, 0.004, 0.02], -(-count // 40)), 40)[:count]
    close = np.round(40_000 * np.exp(np.cumsum(rng.normal(0, 1, count) * size)), draw.choice([0, 1, 8]))
    opened = np.concatenate([[40_000.0], close[:-1]])
    jump = rng.random(count) < 0.03
    opened[jump] = np.round(opened[jump] * np.exp(rng.normal(0, 0.02, int(jump.sum()))), 1)
    spread = np.abs(rng.normal(0, 1, count)) * size * 40_000
    high, low = np.maximum(opened, close) + np.round(spread, 1), np.minimum(opened, close) - np.round(spread, 1)
    skip = np.cumsum(np.where(rng.random(count) < 0.01, rng.integers(1, 50, count), 0))
    time = epoch(START) + 3600 * (np.arange(count, dtype=np.int64) + skip)
    bars = Bars(time, opened, high, low, close, rng.uniform(0.0, 20.0, count))
    for row in range(count):
        if draw.random() < 0.004:
            draw.choice([bars.close, bars.high, bars.low, bars.open, bars.volume])[row] = draw.choice([math.nan, -1.0])
    problems = {row: ("model_stale", "it is 30 days old") for row in range(count) if draw.random() < 0.01}
    missed = rng.random(count) < 0.1 if draw.random() < 0.5 else None
    funding = np.where(time % 28800 == 0, rng.normal(0, 1e-4, count), np.nan) if draw.random() < 0.2 else None
    return Market(bars, _forecast(draw, rng, count), _context(draw, rng, count), missed, problems, funding)


def _forecast(draw: Random, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    kind = draw.choice(["noise", "blocks", "signal", "edge"])
    if kind == "noise":
        p_up = rng.uniform(0.35, 0.65, count)
    elif kind == "blocks":
        p_up = np.repeat(rng.choice([0.4, 0.5, 0.5, 0.6], -(-count // 12)), 12)[:count]
    elif kind == "signal":
        p_up = np.repeat(rng.choice([0.0, 1.0], -(-count // 25)), 25)[:count]
    else:  # exactly on the thresholds
        p_up = rng.choice([0.45, 0.55, 0.465, 0.535, 0.5, 0.52, 0.48, 0.47, 0.53], count)
    p_up[rng.random(count) < 0.02] = math.nan
    p_up[rng.random(count) < 0.003] = 1.5
    return p_up


def _context(draw: Random, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    atr = np.round(rng.uniform(50, 900, count), 2)
    vix = np.repeat(rng.choice([12.0, 20.0, 25.0, 30.0, 35.0, math.nan], -(-count // 30)), 30)[:count]
    columns: list[Any] = [atr, rng.choice([0.005, 0.015, 0.02], count), rng.choice([0.7, 1.0, 1.5, 2.0, 2.3], count)]
    columns += [rng.choice([-1.0, 0.0, 1.0], count), vix, rng.choice([0.0, 0.1, 0.2, math.nan], count)]
    columns += [rng.uniform(0.001, 0.02, count), rng.normal(0, 0.04, count), rng.uniform(10, 50, count)]
    context = np.column_stack([*columns, *rng.uniform(0.01, 0.1, (4, count))])
    context[rng.random(context.shape) < 0.002] = math.nan
    return context


def book(draw: Random) -> Book:
    some: dict[str, Any] = {
        "threshold": draw.choice([0.0, 0.02, 0.05]),
        "threshold_min": draw.choice([0.0, 0.01]),
        "exit_fraction": draw.choice([0.0, 0.5, 0.7, 1.0]),
        "short": draw.random() < 0.7,
        "rule": draw.choice(["off", "confirm"]),
        "stop_atr": draw.choice([0.5, 2.0, 10.0]),
        "performance_trades": draw.choice([1, 3, 10]),
        "minimum_confidence": draw.choice([0.0, 0.0, 0.55]),
        "hold_bars": draw.choice([0, 0, 5]),
        "hold_most_bars": draw.choice([0, 0, 9]),
        "edge": draw.choice([0.0, 0.0, 1.0]),
        "leverage": draw.choice([Decimal(1), Decimal(1), Decimal(3)]),
        "risk_per_trade": draw.choice([Decimal("0.01"), Decimal("0.2")]),
        "kelly": draw.choice([0.0, 0.5, 0.5]),
        "kelly_days": draw.choice([0.9, 3.0, 90.0]),
    }
    limits: dict[str, Any] = {
        "daily_loss": draw.choice([0.0, 0.005, 0.02]),
        "daily_loss_level": draw.choice(["reduce", "halt", "flatten"]),
        "drawdown": draw.choice([0.0, 0.02, 0.05, 0.5]),
        "drawdown_level": draw.choice(["reduce", "halt", "flatten"]),
        "cooldown_hours": draw.choice([0.0, 2.0, 7.5]),
        "losses": draw.choice([0, 2, 5]),
        "losses_level": draw.choice(["reduce", "halt"]),
        "slippage": draw.choice([0.0, 0.0001, 0.005]),
    }
    strict = draw.random() < 0.7
    policy = Policy(**some, **limits) if strict else Policy(**{**PLAIN, **some})
    costs = Costs(
        volume_share=draw.choice([Decimal(0), Decimal(0), Decimal("0.02")]),
        funding_bps=draw.choice([Decimal(0), Decimal(0), Decimal(1), Decimal(-1)]),
    )
    lot = draw.choice([*[RULES.lot] * 4, Decimal("0.03"), Decimal("0.2")])  # the larger ones are often too large
    rules = Rules(
        lot=lot, tick=RULES.tick, minimum_notional=draw.choice([Decimal(0), Decimal(2000)]), leverage=Decimal(3)
    )
    return Book(id="btc", symbol="BTC/USDT", policy=policy, rules=rules, costs=costs)


def drawn_run(seed: int, run: Callable[..., Result]) -> Result:
    draw = Random(seed)
    made, of = market(draw), book(draw)
    resume = draw.choice([None, timedelta(hours=24), timedelta(hours=0.5)])
    need, first = draw.choice([1, 1, 30]), draw.choice([0, 0, 35])
    return run(of, made.bars, made.p_up, made.context, need, first, made.missed, resume, made.problems, made.funding)


def same(one: Result, other: Result) -> None:
    assert one.state == other.state
    assert one.fills == other.fills
    assert one.trades == other.trades
    assert list(one.bars) == other.bars
    assert list(one.decisions) == other.decisions
    assert [str(equity) for equity in one.equity] == [str(equity) for equity in other.equity]
    assert [str(position) for position in one.position] == [str(position) for position in other.position]
    assert str(one.state.marks) == str(other.state.marks)
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_array_equal(one.held, other.held)
    np.testing.assert_allclose(one.worth, other.worth, rtol=1e-12)


@given(st.integers(0, 2**32))
@settings(max_examples=25)
def test_it_gives_what_the_plain_fold_gives(seed: int) -> None:
    same(drawn_run(seed, quick.backtest), drawn_run(seed, fold.backtest))


def test_what_is_drawn_has_something_of_everything() -> None:
    results = [drawn_run(seed, quick.backtest) for seed in range(20)]
    decisions = [decision for result in results for decision in result.decisions]
    reasons = {decision.reason for decision in decisions}
    assert {decision.action for decision in decisions} >= {"enter", "exit", "reverse", "hold", "stay_out", "refuse"}
    assert reasons >= {"breaker_daily_loss", "breaker_cooldown", "size_zero_lots", "model_stale", "window_gap"}
    assert {fill.cause for result in results for fill in result.fills} == {"entry", "exit", "stop"}
    assert any(result.state.resumed for result in results)


def test_most_bars_are_passed_over() -> None:
    bars, p_up, context = drawn(1)
    p_up[:] = np.where(np.arange(COUNT) < 80, 0.9, 0.5)
    result = quick.backtest(EAGER, bars, p_up, context, need=1)
    assert result.decisions.make.__self__.starts  # type: ignore[attr-defined]
    parts = result.decisions.make.__self__.parts  # type: ignore[attr-defined]
    assert len(parts) < COUNT / 2


def test_it_gives_the_same_on_real_bars() -> None:
    """From April 2021 to June: up, and down by half."""
    from core.adapters.files_market import load
    from core.domain.daily import none
    from core.flows.backtest import by_signal, ground

    bars = load(real(DATA / "bars/btcusdt_binance_perp_1h.parquet"), "1h").bars[4000:5600]
    made = ground(Book(id="btc", symbol="BTC/USDT"), bars, none())
    said = by_signal(made, "ema_cross_20_50")
    runs = [
        run(made.book, bars, said.p_up, made.context, said.need, said.first, resume_after=48 * HOUR)
        for run in (quick.backtest, fold.backtest)
    ]
    same(runs[0], runs[1])
    assert len(runs[0].trades) > 5


# -- one by one: what a stretch must not pass over -----------------------------------------------------------------

FLAT = (10_000.0, 10_010.0, 9_990.0, 10_000.0)


def told(bars: Bars, p_up: list[float], of: Book = BOOK, **more: Any) -> Result:
    forecast, context = np.array(p_up + [0.55] * (len(bars) - len(p_up))), calm(len(bars))
    one = quick.backtest(of, bars, forecast, context, 1, **more)
    same(one, fold.backtest(of, bars, forecast, context, 1, **more))
    return one


def test_a_stop_that_is_only_just_touched_ends_a_stretch() -> None:
    bars = bars_of(*[FLAT] * 30, (10_000.0, 10_010.0, 9_800.0, 10_000.0), *[FLAT] * 5)
    result = told(bars, [0.6])
    assert [(fill.cause, fill.bar) for fill in result.fills][1:] == [("stop", START + 30 * HOUR)]


def test_who_cannot_buy_a_lot_is_passed_over_until_it_can() -> None:
    """The lot is 0.1, a hundredth of 10,000 buys one where the stop is 1,000 away at most."""
    policy = {**PLAIN, "vix_unknown_step": 0.0, "volatility_low": 0.1, "stop_atr": 10.0, "kelly": 0.0}
    rules = Rules(lot=Decimal("0.1"), minimum_amount=Decimal("0.1"))
    of = Book(id="btc", symbol="BTC/USDT", policy=Policy(**policy), rules=rules, costs=BOOK.costs)
    bars, context, p_up = bars_of(*[FLAT] * 100), calm(100), np.full(100, 0.6)
    context[:, 0] = 100.1
    context[70:, 0] = 100.0
    one = quick.backtest(of, bars, p_up, context, 1)
    same(one, fold.backtest(of, bars, p_up, context, 1))
    assert [decision.reason for decision in one.decisions[69:71]] == ["size_zero_lots", "long_signal"]
    assert one.decisions.make.__self__.starts == [0, 1, 70, 71, 72]  # type: ignore[attr-defined]


def test_a_loss_too_old_to_count_leaves_room_for_a_lot_again() -> None:
    policy = {**PLAIN, "vix_unknown_step": 0.0, "volatility_low": 0.1, "kelly": 0.5, "kelly_days": 2.0}
    policy |= {"kelly_trades": 1, "stop_atr": 10.0}
    rules = Rules(lot=Decimal("0.09"), minimum_amount=Decimal("0.09"))
    of = Book(id="btc", symbol="BTC/USDT", policy=Policy(**policy), rules=rules, costs=BOOK.costs)
    bars = bars_of(*[FLAT] * 3, (10_000.0, 10_010.0, 8_900.0, 10_000.0), *[FLAT] * 80)
    context = calm(84)
    context[:, 0] = 100.0
    one = quick.backtest(of, bars, np.full(84, 0.6), context, 1)
    same(one, fold.backtest(of, bars, np.full(84, 0.6), context, 1))
    assert [fill.bar for fill in one.fills] == [START + hours * HOUR for hours in (1, 3, 3 + 48 + 1)]
    assert len(one.decisions.make.__self__.starts) < 12  # type: ignore[attr-defined]


def test_a_stop_in_a_bar_without_a_close_is_marked_at_the_next() -> None:
    bars = bars_of(*[FLAT] * 3, (10_000.0, 10_010.0, 9_700.0, math.nan), *[FLAT] * 5)
    result = told(bars, [0.6])
    assert result.worth[3] == result.worth[2] > result.worth[4]


def test_no_touch_no_fill() -> None:
    bars = bars_of(*[FLAT] * 30, (10_000.0, 10_010.0, 9_800.5, 10_000.0), *[FLAT] * 5)
    assert len(told(bars, [0.6]).fills) == 1


def test_a_breaker_that_ends_at_midnight_lets_in_again_after_it() -> None:
    policy = {**PLAIN, "daily_loss": 0.01, "vix_unknown_step": 0.0, "volatility_low": 0.1}
    of = Book(id="btc", symbol="BTC/USDT", policy=Policy(**policy), rules=BOOK.rules, costs=BOOK.costs)
    bars = bars_of(*[FLAT] * 3, (10_000.0, 10_010.0, 9_700.0, 10_000.0), *[FLAT] * 60)
    result = told(bars, [0.6, *[0.6] * 63], of)
    entries = [fill.bar for fill in result.fills if fill.cause == "entry"]
    assert entries[1] == START + 24 * HOUR
    assert "breaker_daily_loss" in {decision.reason for decision in result.decisions}


def test_a_day_that_changes_in_a_stretch_begins_a_new_loss() -> None:
    policy = {**PLAIN, "daily_loss": 0.015, "vix_unknown_step": 0.0, "volatility_low": 0.1, "stop_atr": 10.0}
    policy |= {"risk_per_trade": Decimal("0.1")}
    of = Book(id="btc", symbol="BTC/USDT", policy=Policy(**policy), rules=BOOK.rules, costs=BOOK.costs)
    falling = [(10_000.0 - 5 * i, 10_005.0 - 5 * i, 9_990.0 - 5 * i, 9_995.0 - 5 * i) for i in range(70)]
    result = told(bars_of(*falling), [0.6], of)  # 1.2 % a day
    assert "breaker_daily_loss" not in {decision.reason for decision in result.decisions}
    assert result.state.marks is not None and result.state.marks.day == START + 48 * HOUR


def test_a_person_resumes_in_the_middle_of_a_stretch() -> None:
    policy = {**PLAIN, "drawdown": 0.01, "vix_unknown_step": 0.0, "volatility_low": 0.1}
    of = Book(id="btc", symbol="BTC/USDT", policy=Policy(**policy), rules=BOOK.rules, costs=BOOK.costs)
    bars = bars_of(*[FLAT] * 3, (10_000.0, 10_010.0, 9_700.0, 10_000.0), *[FLAT] * 60)
    result = told(bars, [0.6] * 64, of, resume_after=10 * HOUR)
    entries = [fill.bar for fill in result.fills if fill.cause == "entry"]
    assert entries[1] == START + (3 + 1 + 10) * HOUR


def test_columns_are_sequences() -> None:
    bars, p_up, context = drawn(2)
    one, other = (run(EAGER, bars, p_up, context, 1) for run in (quick.backtest, fold.backtest))
    assert one.decisions[-1] == other.decisions[-1]
    assert one.decisions[3:9:2] == other.decisions[3:9:2]
    assert one == other and other == one
    assert one.equity != [*other.equity[:-1], Decimal(1)]
    assert one.equity != other.equity[:-1]
    with pytest.raises(IndexError):
        one.bars[COUNT]
    assert copy.deepcopy(one) == other  # as one that came from another process
