"""What was tested is what trades, also with several books on one account: ticks replayed one after the other give the
backtest of several, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.backtest import Result
from core.domain.backtest.several import Series, several
from core.domain.bars import Bars, Floats, seconds
from core.domain.daily import from_closes
from core.domain.decide import Decision, Foresight
from core.domain.features import CONTEXT, compute
from core.domain.fills import Costs
from core.domain.orders import Fill
from core.domain.risk import Limits
from core.domain.state import Book, BookState
from core.flows.claim import book_key, state_of, switch_keys
from core.flows.tick import tick
from core.ports import Document
from tests.fakes import MemoryState
from tests.road import Road, drawn, road, small_book

HOURS = 120
FROM = 1500  # the first bar that is traded
OFF = Limits(positions=0, exposure=0.0, correlated_exposure=0.0, daily_loss=0.0, drawdown=0.0)
DAILY = from_closes(np.empty(0, np.int64), np.empty(0))
THIN = Costs(volume_share=Decimal("0.004"), funding_bps=Decimal(3))


def beside(one: Bars, other: Bars, share: float) -> Bars:
    """A market that moves with `one` in so much of what it does."""
    opened, high, low, close = (
        np.round(np.exp(share * np.log(a) + (1 - share) * np.log(b)), 1)
        for a, b in zip(one.columns()[1:5], other.columns()[1:5], strict=True)
    )
    return Bars(one.time, opened, high, low, close, other.volume)


def by_two_hours(bars: Bars) -> Bars:
    """Ends when one of half as many hours would."""
    first, last = slice(0, None, 2), slice(1, None, 2)
    high, low = np.maximum(bars.high[first], bars.high[last]), np.minimum(bars.low[first], bars.low[last])
    time = bars.time[first] - 3600 * FROM
    return Bars(time, bars.open[first], high, low, bars.close[last], bars.volume[first] + bars.volume[last])


def book(name: str, timeframe: str = "1h", **policy: Any) -> Book:
    symbol = f"{name.upper()}/USDT"
    made = small_book(**{"volatility_target": 0.0, "value_at_risk": 0.0, **policy})
    return msgspec.structs.replace(made, id=name, symbol=symbol, timeframe=timeframe, costs=THIN)


@cache
def signals(name: str, bars: Bars, timeframe: str) -> tuple[Floats, Floats]:
    """(p(up), rows of CONTEXT): a forecast that stands for some hours, and knows nothing."""
    draw = np.random.default_rng(sum(map(ord, name)))
    p_up = np.clip(0.5 + np.repeat(draw.normal(0, 0.1, len(bars) // 5 + 1), 5)[: len(bars)], 0.0, 1.0)
    return p_up, compute(CONTEXT, bars, timeframe, DAILY, 0)


@cache
def markets() -> dict[str, Bars]:
    """Two by the hour that move together, and one by two hours; in no order of their names."""
    btc = drawn(FROM + HOURS)
    slow = by_two_hours(drawn(2 * FROM + HOURS, seed=5))
    return {"sol": slow, "btc": btc, "eth": beside(btc, drawn(FROM + HOURS, seed=4), 0.8)}


def three(limits: Limits, **policy: Any) -> list[Road]:
    """A book in each market, on one account; the forecasts are drawn, in place of a model's."""
    state, roads = MemoryState(), []
    for name, bars in markets().items():
        made = road(book(name, "2h" if name == "sol" else "1h", **policy), bars, state=state, trained_on=FROM)
        roads.append(replace(made, world=replace(made.world, foresee=foreseen)))
    books = tuple(made.book for made in roads)
    return [replace(made, world=replace(made.world, books=books, limits=limits)) for made in roads]


def foreseen(book: Book, bars: Bars, model: object, daily: object, problem: tuple[str, str] | None) -> Foresight:
    p_up, context = signals(book.id, markets()[book.id], book.timeframe)
    i = int(np.searchsorted(markets()[book.id].time, bars.time[-1]))
    return Foresight(p_up=float(p_up[i]), context=tuple(context[i].tolist()), problem=problem)


def replayed(roads: list[Road], backwards: bool = False) -> None:
    """Every tick, by the time at which its bar closes, then by the book's id, or that backwards."""
    turns = [
        (int(made.bars.time[i]) + seconds(made.book.timeframe), made.book.id, i, made)
        for made in roads
        for i in range(FROM, len(made.bars))
    ]
    turns.sort(key=lambda turn: turn[1], reverse=backwards)
    for _, _, i, made in sorted(turns, key=lambda turn: turn[0]):
        tick(made.world, made.book, made.at(i))


def folded(roads: list[Road], limits: Limits) -> dict[str, Result]:
    series = [
        Series(made.book, made.bars, *signals(made.book.id, made.bars, made.book.timeframe), made.first, FROM)
        for made in roads
    ]
    return several(series, limits)


def recorded(made: Road) -> list[Document]:
    return [record for _, record in made.world.state.scan("ticks", f"{made.book.id}@", f"{made.book.id}@~")]


def final(made: Road) -> BookState:
    """The state as the ticks left it, with its orders as the backtest tells them: sent at no time of ours."""
    document = made.world.state.read([book_key(made.book.id)])[book_key(made.book.id)].data
    return plainly(state_of(document, made.book))


def plainly(state: BookState) -> BookState:
    orders = tuple(msgspec.structs.replace(order, sent=None) for order in state.orders)
    return msgspec.structs.replace(state, orders=orders)


def same(roads: list[Road], results: Mapping[str, Result]) -> None:
    for made in roads:
        records, result = recorded(made), results[made.book.id]
        assert [record["bar"] for record in records] == list(result.bars)
        decisions = [msgspec.convert(record["decision"], Decision) for record in records]
        assert decisions == list(result.decisions)
        assert [msgspec.convert(fill, Fill) for record in records for fill in record["fills"]] == list(result.fills)
        assert [record["answer"]["equity"] for record in records] == [str(equity) for equity in result.equity]
        assert final(made) == plainly(result.state)
        assert result.fills, "nothing was traded: this run proves nothing"


def reasons(results: Mapping[str, Result]) -> set[str]:
    return {decision.reason for result in results.values() for decision in result.decisions}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"positions": 2}, "account_positions"),
        ({"exposure": 0.1}, "account_exposure"),
        ({"correlated_exposure": 0.05, "correlation": 0.7}, "account_correlated_exposure"),
        ({"daily_loss": 0.004}, "breaker_daily_loss"),
        ({"drawdown": 0.005}, "breaker_drawdown"),
    ],
)
def test_ticks_of_three_books_give_the_backtest_of_several(limits: dict[str, Any], said: str) -> None:
    """Entries filled in part, funding and limits included."""
    bound = msgspec.structs.replace(OFF, **limits)
    roads = three(bound)
    replayed(roads)
    results = folded(roads, bound)
    same(roads, results)
    assert said in reasons(results), sorted(reasons(results))


def test_books_that_tick_in_another_order_are_not_the_backtest() -> None:
    """The comparison can fail: the last book first, and the last place goes to another one."""
    bound = msgspec.structs.replace(OFF, positions=1)
    roads = three(bound)
    replayed(roads, backwards=True)
    results = folded(roads, bound)
    made = {each.book.id: [msgspec.convert(one["decision"], Decision) for one in recorded(each)] for each in roads}
    assert any(made[name] != list(results[name].decisions) for name in made)


def test_a_fall_of_the_account_flips_the_switch_over_all_books_in_both() -> None:
    bound = msgspec.structs.replace(OFF, drawdown=0.005)
    roads = three(bound)
    replayed(roads)
    key = switch_keys("btc")[0]
    flipped = roads[0].world.state.read([key])[key].data
    assert flipped is not None
    assert flipped["mode"] == "flatten"
    assert all(result.position[-1] == 0 for result in folded(roads, bound).values())
