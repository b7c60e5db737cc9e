"""What was tested is what trades: ticks replayed over real bars give the backtest's decisions, fills and equity."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.adapters.sqlite_state import SqliteState
from core.domain.backtest import Result, backtest
from core.domain.decide import Decision
from core.domain.fills import Costs
from core.domain.orders import Fill
from core.domain.state import BookState
from core.flows.claim import book_key, state_of
from core.flows.tick import tick
from core.ports import Document, StateStore
from tests.fakes import MemoryState
from tests.road import Road, perp, road, small_book, vix

BARS = 3000
FROM = 20_000  # bar 20,000 of the series: February 2023


def real_road(state: StateStore, costs: Costs | None = None, count: int = BARS) -> Road:
    """`vix53` on real prices and the real VIX; the model knows nothing of the bars that are traded."""
    bars = perp()[FROM - 4000 : FROM + count]
    book = msgspec.structs.replace(small_book("vix53"), costs=costs or Costs())
    return road(book, bars, vix(), state, trained_on=4000)


def folded(made: Road, missed: np.ndarray | None = None) -> Result:
    p_up, context = made.forecasts()
    return backtest(made.book, made.bars, p_up, context, made.first, first=4000, missed=missed)


def recorded(made: Road) -> list[Document]:
    return [record for _, record in made.world.state.scan("ticks", f"{made.book.id}@", f"{made.book.id}@~")]


def same(made: Road, result: Result) -> None:
    records = recorded(made)
    assert [record["bar"] for record in records] == list(result.bars)
    assert [msgspec.convert(record["decision"], Decision) for record in records] == list(result.decisions)
    assert [msgspec.convert(fill, Fill) for record in records for fill in record["fills"]] == list(result.fills)
    assert [record["answer"]["equity"] for record in records] == [str(equity) for equity in result.equity]
    assert final(made) == plainly(result.state)
    assert len(result.fills) > 50, "nothing was traded: this run proves nothing"


def final(made: Road) -> BookState:
    """The state as the ticks left it, with its orders as the backtest tells them: sent at no time of ours."""
    document = made.world.state.read([book_key(made.book.id)])[book_key(made.book.id)].data
    return plainly(state_of(document, made.book))


def plainly(state: BookState) -> BookState:
    orders = tuple(msgspec.structs.replace(order, sent=None) for order in state.orders)
    return msgspec.structs.replace(state, orders=orders)


def late_and_repeated(made: Road, seed: int) -> Iterator[tuple[int, float]]:
    """(bar, seconds after its close): most in time, some up to 50 minutes late, some twice or after the next one."""
    draw = random.Random(seed)
    for index in range(4000, len(made.bars)):
        yield index, draw.choice([5.0, 5.0, 5.0, 1200.0, 3000.0])
        if draw.random() < 0.05:
            yield index, 3500.0
        if index > 4000 and draw.random() < 0.05:
            yield index - 1, 7000.0 - 3600.0


@pytest.mark.parametrize("count", [800, pytest.param(BARS, marks=pytest.mark.soak)])
def test_real_ticks_late_and_repeated_give_the_backtest(tmp_path: Path, count: int) -> None:
    made = real_road(SqliteState(tmp_path / "state.db"), count=count)
    for index, late in late_and_repeated(made, seed=1):
        tick(made.world, made.book, made.at(index, late))
    same(made, folded(made))


def in_part(result: Result) -> list[Fill]:
    """Fills of less than was ordered."""
    wanted = {intent.id: intent.amount for decision in result.decisions for intent in decision.intents}
    return [fill for fill in result.fills if fill.amount < wanted.get(fill.id.rpartition("-")[0], fill.amount)]


def test_ticks_missed_give_the_backtest_that_misses_the_same_ones() -> None:
    """Where the market gives little, too, and with the funding of a perpetual."""
    made = real_road(MemoryState(), Costs(volume_share=Decimal("0.00002"), funding_bps=Decimal(1)), BARS // 2)
    missed = np.random.default_rng(2).random(len(made.bars)) < 0.1
    missed[5000:5200] = True  # more than a week of nothing
    missed[-1] = False
    for index in np.flatnonzero(~missed[4000:]) + 4000:
        tick(made.world, made.book, made.at(int(index)))
    result = folded(made, missed)
    same(made, result)
    assert len(in_part(result)) > 10


def test_a_tick_that_sees_a_later_bar_is_not_the_backtest() -> None:
    """The comparison can fail: one bar more in the window, and the runs part."""
    made = road()
    shifted = replace(made, bars=made.bars[1:])
    for index in range(made.first, made.first + 50):
        tick(made.world, made.book, made.at(index))
    p_up, context = shifted.forecasts()
    result = backtest(made.book, shifted.bars, p_up, context, made.first, first=made.first)
    records = recorded(made)
    assert [msgspec.convert(record["decision"], Decision) for record in records] != result.decisions[:50]
