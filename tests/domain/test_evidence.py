"""Evidence: figures by hand, clear answers on what is empty or broken, and a verdict that tells the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.bars import Bars, Floats, moment
from core.domain.evidence import DELAYED, DOUBLED, Charges, Evidence, Paid, Track, track, weigh
from core.domain.evidence.capacity import capacity
from core.domain.evidence.figures import by_month, by_year, figures, parts
from core.domain.evidence.order import falls_of, shares, trade_order
from core.domain.evidence.rivals import hold
from core.domain.evidence.track import changes
from core.domain.evidence.weigh import certainty
from core.domain.orders import Fill
from core.domain.state import Trade

START = int(datetime(2023, 12, 31, tzinfo=UTC).timestamp())
YEAR_OF_HOURS = 8766.0


def trade(opened: int, closed: int, pnl: float, side: str = "long", amount: float = 1.0, **more: Any) -> Trade:
    """Opened and closed at the open of bars of these numbers."""
    told = {"entry": 100.0, "exit": 100.0, "fees": 0.0, **more}
    return Trade(
        opened=moment(START + 3600 * opened),
        closed=moment(START + 3600 * closed),
        side=side,
        amount=Decimal(repr(amount)),
        entry=Decimal(repr(told["entry"])),
        exit=Decimal(repr(told["exit"])),
        fees=Decimal(repr(told["fees"])),
        pnl=Decimal(repr(pnl)),
        cause=str(told.get("cause", "exit")),
    )


def made(
    equity: list[float] | Floats,
    price: list[float] | Floats | None = None,
    position: list[float] | Floats | None = None,
    trades: tuple[Trade, ...] = (),
    **more: Any,
) -> Track:
    size = len(equity)
    time = START + 3600 * (1 + np.arange(size, dtype=np.int64))  # closes
    price = np.full(size, 100.0) if price is None else np.array(price, float)
    position = np.zeros(size) if position is None else np.array(position, float)
    return Track(time, price, np.array(equity, float), position, trades, YEAR_OF_HOURS, **more)


def traded(seed: int, edge: float = 0.0, size: int = 6000, cost: float = 0.0, drift: float = 0.0) -> Track:
    """Trades of random length and side on noise with fat tails, into which `edge` is put while they are held, in units
    of a bar's deviation. The whole equity is in a position; `cost`: of a side."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric([[1 / 12, 1 / 12]], (size // 12, 2)).ravel()
    sides = np.where(np.arange(len(lengths)) % 2, rng.choice([-1.0, 1.0], len(lengths)), 0.0)
    side = np.repeat(sides, lengths)[:size]
    moves = np.concatenate([[0.0], 0.004 * (rng.standard_t(5, size - 1) * math.sqrt(3 / 5) + edge * side[1:] + drift)])
    turned = np.abs(np.diff(side, prepend=0.0))
    equity = 10_000.0 * np.cumprod(1.0 + side * moves - cost * turned)
    price = 100.0 * np.cumprod(1.0 + moves)
    before = np.concatenate([[1e4], equity[:-1]]) / np.concatenate([[100.0], price[:-1]])
    starts = np.flatnonzero((side != 0.0) & (turned > 0.0))
    ends = [int(a + np.argmax(np.append(side[a:] != side[a], True))) for a in starts]
    closed = [(int(a), b) for a, b in zip(starts, ends, strict=True) if b < size and a > 0]
    trades = tuple(
        trade(a, b, float(equity[b - 1] - equity[a - 1]), "long" if side[a] > 0 else "short", float(before[a]))
        for a, b in closed
    )
    return made(equity, price, side * before, trades)


def test_the_figures_of_five_bars_by_hand() -> None:
    """100 → 110 → 99 → 99 → 121: +10 %, -10 %, 0, +22.2 %: +21 % in all, and the largest fall is 10 % of 110."""
    trades = (trade(1, 2, 10.0, fees=1.0), trade(2, 3, -11.0, fees=1.0), trade(4, 6, 22.0, fees=2.0))
    run = figures(made([100, 110, 99, 99, 121], position=[0, 1, 1, 0, 1], trades=trades))
    made_ = np.array([0.1, -0.1, 0.0, 2 / 9])
    assert run.total_return == pytest.approx(0.21)
    assert run.max_drawdown == pytest.approx(0.1)
    assert run.drawdown_bars == 2
    assert run.sharpe_ratio == pytest.approx(made_.mean() / made_.std(ddof=1) * math.sqrt(YEAR_OF_HOURS))
    below = math.sqrt(np.mean(np.minimum(made_, 0) ** 2))
    assert run.sortino_ratio == pytest.approx(made_.mean() / below * math.sqrt(YEAR_OF_HOURS))
    assert run.annual_volatility == pytest.approx(made_.std(ddof=1) * math.sqrt(YEAR_OF_HOURS))
    assert (run.trades, run.win_rate, run.expectancy) == (3, pytest.approx(2 / 3), pytest.approx(7.0))
    assert run.profit_factor == pytest.approx(32 / 11)
    assert run.mean_holding_hours == pytest.approx(4 / 3)
    assert run.exposure == 0.75
    assert (run.fees, run.costs) == (4.0, 4.0)
    assert run.cost_share == pytest.approx(4 / 25)  # 21 made, 25 without costs
    assert run.annual_return is None  # four hours


def test_turnover_counts_what_is_bought_and_sold_over_the_equity_of_then() -> None:
    run = figures(made([1000.0] * 5, position=[0, 1, 1, -1, 0]))
    assert run.turnover == pytest.approx((0.1 + 0.0 + 0.2 + 0.1) / 4 * YEAR_OF_HOURS)


def test_a_year_of_one_per_cent_a_month_is_twelve_point_seven_per_cent_a_year() -> None:
    equity = 1.01 ** (np.arange(8767) / 730.5)
    run = figures(made(equity))
    assert run.annual_return == pytest.approx(1.01**12 - 1)
    assert run.years == pytest.approx(1.0)


def test_a_position_that_was_stopped_within_a_bar_was_held_in_it() -> None:
    """Bought at the open of bar 1 and stopped in bar 2, at whose close nothing is left; bar 3 sees both ends."""
    stops = (trade(1, 2, -10.0, cause="stop", amount=2.0), trade(3, 3, -9.0, "short", cause="stop", amount=3.0))
    run = made([1000.0] * 5, position=[0, 2, 0, 0, 0], trades=stops)
    assert run.exposure.tolist() == pytest.approx([0.2, 0.2, -0.3, 0.0])
    assert figures(run).turnover == pytest.approx((0.2 + 0.2 + 0.6) / 4 * YEAR_OF_HOURS)


def test_a_bar_that_closes_at_midnight_belongs_to_the_year_before() -> None:
    equity = [100.0] * 24 + [110.0] * 10  # the first bar of 2024 closes at 01:00
    run = made(equity, trades=(trade(2, 23, 5.0), trade(23, 24, 7.0)))
    assert [(part.name, part.bars, part.trades) for part in by_year(run)] == [("2023", 23, 1), ("2024", 10, 1)]
    assert [part.total_return for part in by_year(run)] == [0.0, pytest.approx(0.1)]
    assert [part.name for part in by_month(run)] == ["2023-12", "2024-01"]


def test_regimes_split_the_whole_return() -> None:
    run = traded(1)
    found = parts(run, ["calm", "wild", "crisis"] * 2000)
    assert math.prod(1 + part.total_return for part in found) - 1 == pytest.approx(figures(run).total_return)
    assert sum(part.trades for part in found) == len(run.trades)
    assert [part.name for part in found] == ["calm", "crisis", "wild"]
    with pytest.raises(ValueError, match="2 labels for 6000 bars"):
        parts(run, ["calm", "wild"])


def test_buy_and_hold_pays_at_both_ends() -> None:
    run = made([1.0, 1.0, 1.0], price=[100, 120, 110])
    held = hold(run, 1.0, Charges(fee=0.001, slippage=0.001))
    assert held.total_return == pytest.approx(0.1 - 0.002 - 0.002 * 1.1)
    short = hold(run, -0.5, Charges())
    assert short.total_return == pytest.approx(-0.05)
    assert short.max_drawdown == pytest.approx(0.1)
    lent = hold(run, -1.0, Charges(interest=0.24))
    assert lent.total_return == pytest.approx(-0.1 - 2 * 0.01)


def test_a_short_that_loses_everything_stays_lost() -> None:
    held = hold(made([1.0] * 3, price=[100, 250, 50]), -1.0, Charges())
    assert (held.total_return, held.max_drawdown) == (-1.0, 1.0)


def test_drawdowns_of_trade_order_lie_between_the_kindest_and_the_cruellest_order() -> None:
    run = traded(3)
    found, own = trade_order(run, np.random.default_rng(1)), np.sort(shares(run))
    assert found is not None
    cruel = float(falls_of(own[None, :])[0])
    assert 0 < found.drawdown_05 <= found.drawdown_50 <= found.drawdown_95 <= found.drawdown_99 <= cruel
    chances = [chance.probability for chance in found.losses]
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] == found.ruin


def test_the_chance_of_ruin_is_the_gamblers() -> None:
    """Ten fair bets of 30 %: half is lost as soon as losses lead by two. By the reflection principle the chance of
    that is P(S <= -2) + P(S < -2) at the tenth, here with steps of one; the logs of 1.3 and 0.7 alter it, so all 1,024
    paths are counted."""
    bets = np.array([[0.3 if code >> bit & 1 else -0.3 for bit in range(10)] for code in range(1024)])
    exact = float((np.cumprod(1 + bets, axis=1).min(axis=1) <= 0.5).mean())
    trades = tuple(trade(i + 1, i + 2, 300.0 * (-1) ** i) for i in range(10))
    found = trade_order(made([1000.0] * 12, trades=trades), np.random.default_rng(5), 20_000)
    assert found is not None
    assert found.ruin == pytest.approx(exact, abs=0.015)


def test_capacity_is_where_orders_exceed_a_share_of_the_volume() -> None:
    """One coin in a bar of 200 is half a per cent: twice the capital makes it 1 %."""
    run = made([1000.0, 1010, 1000, 1100], price=[100, 101, 100, 101], trades=(trade(1, 2, 50.0),))
    found = capacity(run, np.array([50.0, 200.0, 100.0, 10.0]))
    assert found.first == pytest.approx(1010.0)  # the exit: 1 of 100, at an equity of 1010
    assert capacity(run, np.array([50.0, 200.0, 200.0, 10.0])).first == pytest.approx(2000.0)
    assert found.edge_eaten is not None
    assert found.edge_eaten == pytest.approx(4 * (found.edge_halved or 0))
    with pytest.raises(ValueError, match="1 volumes for 4 bars"):
        capacity(run, np.ones(1))


def test_at_the_capital_where_impact_eats_the_edge_it_equals_the_profit() -> None:
    run = traded(4, edge=0.3)
    volume = np.full(6000, 5000.0)
    found = capacity(run, volume)
    assert found.edge_eaten is not None
    scale = found.edge_eaten / 1e4
    larger = tuple(msgspec.structs.replace(t, amount=t.amount * Decimal(scale)) for t in run.trades)
    big = replace(run, equity=run.equity * scale, trades=larger)
    again = capacity(big, volume)
    assert again.edge_eaten == pytest.approx(found.edge_eaten)  # where it is does not depend on where one starts
    assert again.edge_eaten == pytest.approx(again.own_capital)


def test_bars_without_volume_are_counted_and_left_out() -> None:
    run = made([1000.0] * 4, trades=(trade(1, 2, 5.0),))
    found = capacity(run, np.array([1.0, 0.0, math.nan, 1.0]))
    assert (found.dead, found.first, found.edge_eaten) == (2, None, None)


def test_what_fills_lost_to_slippage_is_told() -> None:
    """Bought at 101 when the bar opened at 100; stopped at 89 where the stop lay at 90; a gap below it: the open."""
    bars = Bars(START + 3600 * np.arange(3), *(np.array([100.0, 95.0, 85.0]) for _ in range(5)))
    now = [moment(time) for time in bars.time]

    def fill(bar: int, side: Any, price: str, cause: Any, stop: str | None = None) -> Fill:
        at = Decimal(stop) if stop else None
        told = {"amount": Decimal(2), "price": Decimal(price), "fee": Decimal("0.5"), "interest": Decimal("0.25")}
        return Fill(id=f"{bar}{side}", bar=now[bar], side=side, cause=cause, stop=at, **told)

    from core.domain.evidence.track import paid

    within = paid([fill(0, "buy", "101", "entry", "90"), fill(1, "sell", "89", "stop")], bars)
    assert within == Paid(fees=1.0, interest=0.5, slippage=4.0)
    beyond = paid([fill(0, "buy", "101", "entry", "90"), fill(2, "sell", "84", "stop")], bars)
    assert beyond.slippage == pytest.approx(2 * 1 + 2 * 1)


# clear answers on what is empty or broken

BROKEN: dict[str, Callable[[], Track]] = {
    "nothing": lambda: made([]),
    "one bar": lambda: made([1.0]),
    "two bars": lambda: made([1.0, 2.0]),
    "flat": lambda: made([1e4] * 500),
    "flat on a market": lambda: replace(traded(1), equity=np.full(6000, 1e4), position=np.zeros(6000), trades=()),
    "growing evenly": lambda: made(1.0001 ** np.arange(500)),
    "ruined": lambda: made([100.0] * 50 + [50.0, -3.0] + [20.0] * 50, trades=(trade(2, 5, -99.0), trade(7, 9, -1e9))),
    "zero": lambda: made([0.0] * 60, trades=(trade(2, 5, -99.0), trade(7, 9, 2.0))),
    "unknown": lambda: made([math.nan] * 60, price=[math.nan] * 60, position=[math.nan] * 60),
    "holes": lambda: replace(traded(2), equity=holed(traded(2).equity), price=holed(traded(2).price)),
    "infinite": lambda: made([1.0, math.inf, 3.0] * 20, price=[math.inf, 1.0, -math.inf] * 20, position=[1.0] * 60),
    "always in": lambda: replace(traded(2), position=np.ones(6000), trades=()),
    "a free coin": lambda: made(np.linspace(1, 2, 60), price=np.linspace(1, 0, 60), position=np.ones(60)),
    "explosion": lambda: made(10.0 ** np.arange(0, 300, 2), trades=(trade(1, 2, 1e30),)),
}


def holed(values: Floats) -> Floats:
    values = values.copy()
    values[[0, 17, 18, 400]] = math.nan
    return values


@pytest.mark.parametrize("name", BROKEN)
def test_there_is_a_clear_answer_without_a_warning(name: str) -> None:
    run = BROKEN[name]()
    volume = np.where(np.arange(len(run.time)) % 2, 0.0, 10.0)
    with np.errstate(all="raise", under="ignore"):
        found = weigh(run, trials=5, cash=0.02, volume=volume, resamples=20, random_runs=20, reruns={DOUBLED: run})
    assert not found.edge
    assert found.verdict.startswith("No evidence of an edge: it ")
    assert found.verdict.count(".") - sum(found.verdict.count(f".{digit}") for digit in range(10)) == 1
    assert msgspec.json.decode(msgspec.json.encode(found), type=Evidence) == found


def test_what_was_lost_stays_lost() -> None:
    assert changes(np.array([2.0, math.nan, 1.0, -1.0, 5.0])).tolist() == [0.0, -0.5, -1.0, 0.0]
    assert weigh(BROKEN["ruined"](), resamples=20, random_runs=20).figures.total_return == -1.0


def test_a_run_that_never_traded_says_so() -> None:
    found = weigh(made([1e4] * 500))
    assert found.verdict == "No evidence of an edge: it never traded in 500 bars."
    assert found.warnings == ["It never traded."]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=40), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_no_numbers_make_it_fail(equity: list[float], seed: int) -> None:
    price = np.roll(np.array(equity, float), seed)
    with np.errstate(all="raise", under="ignore", over="ignore"):
        found = weigh(made(equity, price=price, position=price[::-1]), resamples=5, random_runs=5)
    assert not found.edge
    msgspec.json.encode(found)


# the verdict


def test_the_same_seed_gives_the_same_evidence_and_another_one_the_same_figures() -> None:
    run = traded(5, size=1500)
    one, same, other = (weigh(run, resamples=50, random_runs=50, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.intervals != other.intervals
    assert one.figures == other.figures


def test_without_an_edge_the_verdict_is_no_at_least_19_times_in_20() -> None:
    """Without costs, which makes it hardest; what is traded drifts upwards in half of the seeds."""
    runs = [traded(seed, drift=0.02 * (seed % 2), size=1500) for seed in range(20)]
    wrong = [weigh(run, resamples=60, random_runs=60).edge for run in runs]
    assert sum(wrong) <= 1


def test_a_strong_edge_is_found_at_least_19_times_in_20() -> None:
    runs = [traded(seed, edge=0.3, size=1500) for seed in range(40, 60)]
    found = [weigh(run, trials=10, resamples=60, random_runs=60).edge for run in runs]
    assert sum(found) >= 19


def test_holding_a_rising_market_is_no_edge() -> None:
    rng = np.random.default_rng(1)
    price = 100 * np.cumprod(1 + 0.0004 + 0.004 * rng.standard_normal(9000))
    run = made(price * 100, price, np.full(9000, 100.0), tuple(trade(i, i + 1, 1.0) for i in range(1, 100)))
    found = weigh(run, resamples=50, random_runs=50)
    assert found.figures.sharpe_ratio is not None
    assert found.figures.sharpe_ratio > 3
    assert not found.edge
    assert [check.name for check in found.checks if not check.passed] == ["alpha", "random_entries"]


def test_each_check_alone_turns_the_verdict() -> None:
    run = traded(41, edge=0.4, size=1500)
    told: dict[str, Any] = {"resamples": 60, "random_runs": 60}
    assert weigh(run, **told).edge
    assert failed(weigh(run, **told, fewest_trades=10_000)) == ["trades"]
    assert failed(weigh(run, **told, trials=100, trial_variance=300.0)) == ["deflated_sharpe_ratio"]
    assert "mean_excess" in failed(weigh(run, **told, cash=50.0))
    poor = traded(41, edge=0.4, size=1500, cost=0.05)
    assert failed(weigh(run, **told, reruns={DOUBLED: poor, DELAYED: run, "costs_3": poor})) == [DOUBLED]
    assert failed(weigh(run, **told, reruns={DOUBLED: run, DELAYED: poor})) == [DELAYED]
    assert "does not survive one bar of delay" in weigh(run, **told, reruns={DELAYED: poor}).verdict


def failed(found: Evidence) -> list[str]:
    assert found.edge == all(check.passed for check in found.checks)
    assert found.verdict.startswith("Evidence" if found.edge else "No evidence")
    return [check.name for check in found.checks if not check.passed]


def test_one_trade_and_one_year_that_make_all_of_the_profit_are_warned_of() -> None:
    """The year 2024 begins at row 24."""
    equity = [1000.0] * 30 + [1500.0] * 20
    found = weigh(made(equity, trades=(trade(30, 31, 500.0, fees=800.0), trade(33, 34, -1.0))))
    said = " ".join(found.warnings)
    assert "One trade makes 100% of the profit." in said
    assert "One year makes all of the profit: 2024" in said
    assert "Costs take 62% of the profit before them." in said
    assert "Few trades: 2." in said
    assert "Buy and hold" not in said
    better = weigh(made(equity, price=np.linspace(1, 2, 50), trades=(trade(3, 4, 1.0),)), resamples=5)
    assert "Buy and hold made more: +100.0% against +50.0%." in better.warnings


def test_more_trials_make_it_less_sure() -> None:
    made_ = traded(6, edge=0.06).returns
    chances = [certainty(made_, trials).deflated or 0 for trials in (1, 2, 10, 100, 10**9)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.5 > chances[-1]


def test_a_track_of_a_real_run_has_its_equity_position_and_costs() -> None:
    from core.domain.backtest import backtest
    from tests.road import drawn, small_book

    book, bars = small_book(), drawn(900)
    p_up = 0.5 + 0.2 * np.sin(np.arange(900) / 9)
    calm = [100.0, 0.01, 1.0, 0.0, math.nan, math.nan, 0.004, 0.0, 20.0, 0.05, 0.05, 0.05, 0.06]
    result = backtest(book, bars, p_up, np.tile(calm, (900, 1)), 10, first=100)
    run = track(result, bars, "1h")
    assert len(run.time) == len(result.bars) > 700
    assert len(run.trades) > 10
    assert run.time[0] == bars.time[100] + 3600
    assert run.equity.tolist() == pytest.approx([float(equity) for equity in result.equity], rel=1e-12)
    assert run.paid is not None
    assert run.paid.fees == pytest.approx(float(sum(fill.fee for fill in result.fills)))
    assert run.paid.slippage > 0
    stopped = {trade.closed for trade in run.trades if trade.cause == "stop"}
    whole = np.array([moment(time - 3600) not in stopped for time in run.time[1:]])
    rest = (run.returns - run.exposure * run.market)[whole]  # costs, and what lies between a close and the next open
    assert np.abs(rest).max() < 0.004
    assert np.abs(run.returns[whole]).max() > 0.015
    with pytest.raises(KeyError):
        track(result, bars[:500], "1h")
