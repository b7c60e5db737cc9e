"""The fold of decide, fill and evolve: by hand to the last digit, refusals like the tick's, and blind to the future."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.backtest import Result, backtest
from core.domain.bars import Bars, epoch, merge, moment, refusal
from core.domain.fills import Costs
from core.domain.orders import ZERO, Rules
from core.domain.state import Book
from tests.domain.drawn import HOUR, RULES
from tests.policies import plain_policy

START = datetime(2024, 5, 1, tzinfo=UTC)
BOOK = Book(
    id="btc",
    symbol="BTC/USDT",
    policy=plain_policy(vix_unknown_step=0.0, volatility_low=0.1),
    rules=Rules(
        lot=Decimal("0.001"),
        tick=Decimal("0.5"),
        minimum_amount=Decimal("0.001"),
        taker=Decimal("0.001"),
        interest_per_day=Decimal("0.0024"),
    ),
    costs=Costs(slippage_bps=Decimal(1), stop_slippage_bps=Decimal(10), volume_share=Decimal(0)),
)


def bars_of(*prices: tuple[float, float, float, float]) -> Bars:
    time = epoch(START) + 3600 * np.arange(len(prices), dtype=np.int64)
    opened, high, low, close = np.array(prices, np.float64).T.copy()
    return Bars(time, opened, high, low, close, np.ones(len(prices)))


def calm(count: int, atr: float = 100.0) -> np.ndarray:
    """Rows of CONTEXT in which nothing moves the threshold; the VIX is unknown."""
    return np.tile([atr, 0.01, 1.0, 0.0, math.nan, math.nan, 0.004, 0.0, 20.0, 0.05, 0.05, 0.05, 0.06], (count, 1))


def test_by_hand() -> None:
    """Six hours, on paper.

    0  p 0.60  long: 1 % of 10,000 over 200 is 0.5, but 1 x equity buys 1: 0.5. Stop 10,000 - 200 = 9,800.
    1  opens 10,000: bought at 10,000 x 1.0001 = 10,001; fee 0.5 x 10,001 / 1000 = 5.0005.
       closes 10,100: 9,994.9995 + 0.5 x 99 = 10,044.4995.
    2  p 0.40  short. 10,200 at the close: equity 9,994.9995 + 0.5 x 199 = 10,094.4995; / 100 / 200 = 0.504 lots.
       Stop 10,400.
    3  opens 10,190: sold at 10,190 x 0.9999 = 10,188.981 -> 10,188.5; profit 0.5 x 187.5 = 93.75; fee 5.09425; interest
       0.5 x 10,001 x 0.0024 x 2 / 24 = 1.0001. Sold 0.504 more at 10,188.5: fee 5.135004.
       Cash 9,994.9995 + 93.75 - 5.09425 - 1.0001 - 5.135004 = 10,077.520146. Close 10,250: - 0.504 x 61.5 = 30.996.
    4  opens 10,300, high 10,450 touches 10,400: bought at 10,400 x 1.001 = 10,410.4 -> 10,410.5: loss 0.504 x 222 =
       111.888; fee 5.246892; interest 0.504 x 10,188.5 x 0.0024 / 24 = 0.5135004. Cash 9,959.8717536.
    5  nothing.
    """
    bars = bars_of(
        (10_000, 10_050, 9_950, 10_000),
        (10_000, 10_150, 9_900, 10_100),
        (10_100, 10_250, 10_050, 10_200),
        (10_190, 10_300, 10_100, 10_250),
        (10_300, 10_450, 10_200, 10_350),
        (10_350, 10_400, 10_300, 10_380),
    )
    result = backtest(BOOK, bars, np.array([0.6, 0.55, 0.4, 0.5, 0.5, 0.5]), calm(6), need=1)

    assert [d.action for d in result.decisions] == ["enter", "hold", "reverse", "hold", "stay_out", "stay_out"]
    assert [(f.bar, f.cause, f.side, f.amount, f.price, f.fee, f.interest) for f in result.fills] == [
        (START + 1 * HOUR, "entry", "buy", Decimal("0.5"), Decimal(10001), Decimal("5.0005"), ZERO),
        (START + 3 * HOUR, "exit", "sell", Decimal("0.5"), Decimal("10188.5"), Decimal("5.09425"), Decimal("1.0001")),
        (START + 3 * HOUR, "entry", "sell", Decimal("0.504"), Decimal("10188.5"), Decimal("5.135004"), ZERO),
        (
            START + 4 * HOUR,
            "stop",
            "buy",
            Decimal("0.504"),
            Decimal("10410.5"),
            Decimal("5.246892"),
            Decimal("0.5135004"),
        ),
    ]
    assert result.equity == [
        Decimal(10000),
        Decimal("10044.4995"),
        Decimal("10094.4995"),
        Decimal("10046.524146"),
        Decimal("9959.8717536"),
        Decimal("9959.8717536"),
    ]
    assert tuple(each.pnl for each in result.state.results) == (
        Decimal("93.75") - Decimal("5.0005") - Decimal("5.09425") - Decimal("1.0001"),
        -Decimal("111.888") - Decimal("5.135004") - Decimal("5.246892") - Decimal("0.5135004"),
    )
    assert result.state.marks is not None and result.state.marks.peak == Decimal("10094.4995")
    assert result.bars == [START + i * HOUR for i in range(6)]


# --- a longer run ---------------------------------------------------------------------------------------------------

COUNT = 160
EAGER = Book(
    id="btc",
    symbol="BTC/USDT",
    policy=plain_policy(
        threshold=0.02, threshold_min=0.0, vix_unknown_step=0.0, exit_fraction=0.5, performance_trades=3
    ),
    rules=RULES,
)


def drawn(seed: int, count: int = COUNT) -> tuple[Bars, np.ndarray, np.ndarray]:
    """Bars, a forecast without sense, and a context that moves."""
    rng = np.random.default_rng(seed)
    close = np.round(40_000 * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 1)
    opened = np.round(np.concatenate([[40_000.0], close[:-1]]) * np.exp(rng.normal(0, 0.002, count)), 1)
    spread = np.abs(rng.normal(0, 150, count))
    high, low = np.round(np.maximum(opened, close) + spread, 1), np.round(np.minimum(opened, close) - spread, 1)
    time = epoch(START) + 3600 * np.arange(count, dtype=np.int64)
    context = np.column_stack(
        [
            rng.uniform(100, 600, count),
            rng.uniform(0.005, 0.02, count),
            rng.uniform(0.5, 2, count),
            rng.choice([-1.0, 0.0, 1.0], count),
            rng.uniform(10, 40, count),
            rng.normal(0, 0.1, count),
        ]
    )
    p_up = rng.uniform(0.4, 0.6, count)
    volatility, fall, adx = rng.uniform(0.001, 0.02, count), rng.normal(0, 0.03, count), rng.uniform(10, 50, count)
    context = np.column_stack([context, volatility, fall, adx, *rng.uniform(0.01, 0.1, (4, count))])
    return Bars(time, opened, high, low, close, np.ones(count)), p_up, context


def run(seed: int = 1, missed: np.ndarray | None = None, book: Book = EAGER, first: int = 0) -> Result:
    return backtest(book, *drawn(seed), need=1, first=first, missed=missed)


def test_the_run_has_something_of_everything() -> None:
    result = run()
    assert {decision.action for decision in result.decisions} == {"enter", "exit", "reverse", "hold", "stay_out"}
    assert {fill.cause for fill in result.fills} == {"entry", "exit", "stop"}


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_equity_is_what_the_fills_alone_say(seed: int) -> None:
    result, closes = run(seed), drawn(seed)[0].close
    for i, (bar, equity) in enumerate(zip(result.bars, result.equity, strict=True)):
        fills = [fill for fill in result.fills if fill.bar <= bar]
        position = sum((fill.signed for fill in fills), ZERO)
        paid = sum((fill.signed * fill.price + fill.fee + fill.interest for fill in fills), ZERO)
        assert abs(equity - (EAGER.policy.capital - paid + position * Decimal(str(closes[i])))) < Decimal("1e-15")
    assert result.state.marks is not None
    assert result.state.marks.peak == max([*result.equity, EAGER.policy.capital])


@given(st.integers(0, 10_000), st.integers(1, COUNT - 1))
@settings(max_examples=15)
def test_another_future_changes_nothing_that_was_decided_before(seed: int, cut: int) -> None:
    bars, p_up, context = drawn(seed)
    other, other_p, other_context = drawn(seed + 1)
    later = merge(bars[:cut], other[cut:])
    p_later, context_later = p_up.copy(), context.copy()
    p_later[cut:], context_later[cut:] = other_p[cut:], other_context[cut:]
    was = backtest(EAGER, bars, p_up, context, need=5)
    now = backtest(EAGER, later, p_later, context_later, need=5)
    assert was.decisions[:cut] == now.decisions[:cut]
    assert was.equity[:cut] == now.equity[:cut]
    assert [f for f in was.fills if f.bar < moment(bars.time[cut])] == [
        f for f in now.fills if f.bar < moment(bars.time[cut])
    ]


def test_the_same_twice() -> None:
    assert run() == run()


def test_it_begins_at_first_without_a_past() -> None:
    bars, p_up, context = drawn(1)
    late = run(first=40)
    alone = backtest(EAGER, bars[40:], p_up[40:], context[40:], need=1)
    assert late == alone
    assert late.bars[0] == moment(bars.time[40])


# --- refusals -------------------------------------------------------------------------------------------------------

NEED = 10


def broken(kind: str) -> Bars:
    bars, _, _ = drawn(1)
    if kind == "gap":
        return bars[np.r_[0:50, 53:COUNT]]
    spoilt = Bars(*(column.copy() for column in bars.columns()))
    if kind == "grid":
        spoilt.time[50:] += 60
    elif kind == "nan":
        spoilt.close[50] = math.nan
    elif kind == "infinite":
        spoilt.high[50] = math.inf
    elif kind == "volume":
        spoilt.volume[50] = -1.0
    elif kind == "nan_open":
        spoilt.open[50] = spoilt.low[50] = math.nan
    else:
        spoilt.high[50] = spoilt.low[50] - 1
    return spoilt


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("gap", "window_gap"),
        ("grid", "window_off_grid"),
        ("nan", "window_insane"),
        ("nan_open", "window_insane"),
        ("infinite", "window_insane"),
        ("volume", "window_insane"),
        ("upside_down", "window_insane"),
    ],
)
def test_it_refuses_what_a_tick_refuses_for_the_same_reason(kind: str, reason: str) -> None:
    """Each bar's refusal by core.domain.bars, asked as a tick asks it: with the bars that it would have by then."""
    bars, (_, p_up, context) = broken(kind), drawn(1)
    result = backtest(EAGER, bars, p_up[: len(bars)], context[: len(bars)], need=NEED)
    for i, decision in enumerate(result.decisions):
        problem = refusal(bars[: i + 1], moment(bars.time[i]), NEED, "1h")
        found = (decision.reason, decision.note) if decision.action == "refuse" else None
        assert found == problem
    reasons = [decision.reason for decision in result.decisions]
    assert reasons[0] == "window_short"
    assert reasons[50] == reason
    assert reasons[49] not in (reason, "window_short")
    assert (result.decisions[-1].action == "refuse") == (kind == "grid")


def test_a_position_is_kept_and_its_stop_works_through_a_refusal() -> None:
    quiet = (10_000, 10_050, 9_950, 10_000)
    bars = bars_of(quiet, quiet, (10_000, 10_050, 9_700, 9_750))
    bars.volume[2] = -1.0
    result = backtest(BOOK, bars, np.array([0.6, 0.5, 0.1]), calm(3), need=1)
    assert (result.decisions[2].reason, result.fills[-1].cause) == ("window_insane", "stop")


@pytest.mark.parametrize("name", ["p_up", "context"])
def test_nan_where_the_model_gave_nothing_is_refused_and_the_position_kept(name: str) -> None:
    bars, p_up, context = drawn(1)
    where = 60
    (p_up if name == "p_up" else context[:, 0])[where] = math.nan
    result = backtest(EAGER, bars, p_up, context, need=1)
    decision = result.decisions[where]
    assert (decision.action, decision.reason) == ("refuse", "p_up_unknown" if name == "p_up" else "atr_unknown")
    assert decision.intents == ()


# --- ticks that never ran -------------------------------------------------------------------------------------------


def test_a_missed_tick_decides_nothing_while_orders_and_stops_work_on() -> None:
    bars = bars_of(
        (10_000, 10_050, 9_950, 10_000),
        (10_000, 10_050, 9_950, 10_000),
        (10_000, 10_050, 9_700, 9_750),
        (9_750, 9_800, 9_700, 9_750),
    )
    missed = np.array([False, True, True, False])
    result = backtest(BOOK, bars, np.array([0.6, 0.1, 0.1, 0.5]), calm(4), need=1, missed=missed)
    assert result.bars == [START, START + 3 * HOUR]
    assert [(fill.bar, fill.cause) for fill in result.fills] == [(START + HOUR, "entry"), (START + 2 * HOUR, "stop")]
    assert result.equity[1] == result.state.holding.cash < 10_000


def test_what_was_missed_is_not_made_up_for() -> None:
    missed = np.random.default_rng(3).random(COUNT) < 0.3
    result = run(missed=missed)
    assert result.bars == [bar for bar, gone in zip(run().bars, missed, strict=True) if not gone]
    assert run(missed=np.zeros(COUNT, bool)) == run()
    assert result.decisions != [d for d, gone in zip(run().decisions, missed, strict=True) if not gone]
