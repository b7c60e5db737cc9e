"""How much a book may take on beside the others."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.bars import Bars
from core.domain.risk.account import Limits
from core.domain.risk.room import COMMON_BARS, Exposure, Room, correlation, room

EQUITY = Decimal(10000)


def other(notional: object, correlation: float = 0.0) -> Exposure:
    return Exposure(symbol="ETH/USDT", notional=Decimal(str(notional)), correlation=correlation)


def limits(**keys: Any) -> Limits:
    return Limits(**{"positions": 0, "exposure": 0.0, "correlated_exposure": 0.0} | keys)


def test_books_that_hold_something_use_up_the_positions() -> None:
    three = limits(positions=3)
    assert room([], "buy", EQUITY, three) == Room(positions_left=3)
    assert room([other(5), other(-5), other(0)], "buy", EQUITY, three) == Room(positions_left=1)
    full = Room(quote=Decimal(0), positions_left=0, reason="positions")
    assert room([other(5)] * 3, "buy", EQUITY, three) == full
    assert room([other(5)] * 4, "buy", EQUITY, three) == full


def test_long_and_short_alike_use_up_the_exposure() -> None:
    found = room([other(4000), other(-5000)], "sell", EQUITY, limits(exposure=1.0))
    assert found == Room(quote=Decimal(1000), reason="exposure")
    assert room([other(-10001)], "buy", EQUITY, limits(exposure=1.0)).quote == 0


@pytest.mark.parametrize(
    ("notional", "known", "side", "left"),
    [
        (3000, 0.9, "buy", 5000),
        (3000, 0.7, "buy", 5000),  # at the limit it counts
        (3000, 0.69, "buy", 8000),
        (3000, 0.9, "sell", 8000),  # a hedge makes no room
        (-3000, 0.9, "sell", 5000),
        (-3000, 0.9, "buy", 8000),
        (3000, -0.9, "sell", 5000),  # what falls when this one rises
        (3000, -0.9, "buy", 8000),
        (-3000, -0.9, "buy", 5000),
        (3000, math.nan, "buy", 5000),  # unknown counts as together
        (3000, math.nan, "sell", 5000),
    ],
)
def test_only_what_would_lose_together_uses_up_the_correlated_exposure(
    notional: int, known: float, side: Literal["buy", "sell"], left: int
) -> None:
    found = room([other(notional, known)], side, EQUITY, limits(correlated_exposure=0.8, correlation=0.7))
    assert found == Room(quote=Decimal(left), reason="correlated_exposure")


def test_the_tighter_of_two_limits_speaks() -> None:
    both = limits(exposure=1.0, correlated_exposure=0.8)
    assert room([other(1000, 0.0)], "buy", EQUITY, both) == Room(quote=Decimal(8000), reason="correlated_exposure")
    assert room([other(3000, 0.0)], "buy", EQUITY, both) == Room(quote=Decimal(7000), reason="exposure")


def test_without_limits_there_is_room() -> None:
    assert room([other(10**9, 1.0)] * 9, "buy", EQUITY, limits()) == Room()


@pytest.mark.parametrize("equity", ["0", "-1", "NaN", "Infinity"])
def test_without_equity_there_is_none(equity: str) -> None:
    assert room([], "buy", Decimal(equity), Limits()) == Room(quote=Decimal(0), positions_left=3, reason="no_equity")


def test_what_another_book_holds_but_does_not_know_leaves_no_room() -> None:
    assert room([other("NaN")], "buy", EQUITY, Limits()).quote == 0
    assert room([other("NaN")], "buy", EQUITY, limits(correlated_exposure=1.0)).quote == 0


exposures = st.lists(
    st.builds(
        Exposure,
        symbol=st.just("X"),
        notional=st.decimals(-5000, 5000, places=2),
        correlation=st.one_of(st.floats(-1, 1), st.just(math.nan)),
    ),
    max_size=5,
)


@given(exposures, exposures, st.sampled_from(["buy", "sell"]))
def test_another_position_never_makes_room(
    some: list[Exposure], more: list[Exposure], side: Literal["buy", "sell"]
) -> None:
    few, many = room(some, side, EQUITY, Limits()), room(some + more, side, EQUITY, Limits())
    assert few.quote is not None and many.quote is not None
    assert 0 <= many.quote <= few.quote
    assert few.positions_left is not None and many.positions_left is not None
    assert 0 <= many.positions_left <= few.positions_left


# -- correlation


def bars(closes: Any, hours: Any = None) -> Bars:
    c = np.asarray(closes, np.float64)
    return Bars(3600 * np.asarray(hours if hours is not None else range(len(c)), np.int64), c, c, c, c, c)


def walk(seed: int, count: int = 200) -> Any:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))


def test_a_market_moves_with_itself_and_against_its_inverse() -> None:
    prices = walk(1)
    assert correlation(bars(prices), bars(7 * prices)) == pytest.approx(1.0)
    assert correlation(bars(prices), bars(1 / prices)) == pytest.approx(-1.0)
    assert abs(correlation(bars(prices), bars(walk(2)))) < 0.25


def test_returns_are_compared_at_the_same_times() -> None:
    prices, hours = walk(1), np.arange(200)
    keep = np.random.default_rng(3).random(200) < 0.7
    ahead = bars(prices[5:], hours[5:])
    assert correlation(bars(prices[:-9], hours[:-9]), ahead) == pytest.approx(1.0)
    assert correlation(bars(prices[keep], hours[keep]), ahead) == pytest.approx(1.0)


def test_unknown_is_fully_correlated() -> None:
    prices, others = walk(1, COMMON_BARS), walk(2, COMMON_BARS)
    assert correlation(bars(prices), bars(others)) < 0.9
    assert correlation(bars(prices[1:]), bars(others)) == 1.0
    assert correlation(bars(prices), bars(np.full(COMMON_BARS, 5.0))) == 1.0
    assert correlation(bars(prices), bars(others, range(1000, 1000 + COMMON_BARS))) == 1.0
    assert correlation(bars([]), bars([])) == 1.0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_bar_without_a_real_price_is_left_out(bad: float) -> None:
    prices = walk(1)
    broken = prices.copy()
    broken[50] = bad
    assert correlation(bars(broken), bars(prices)) == pytest.approx(1.0)
    few = prices[:COMMON_BARS].copy()
    few[3] = bad
    assert correlation(bars(few), bars(walk(2, COMMON_BARS))) == 1.0
