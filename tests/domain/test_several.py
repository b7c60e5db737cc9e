"""Several books on one account: by hand, as each alone where nothing is shared, and stopped together."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.backtest import Result, backtest
from core.domain.backtest.several import Series, several
from core.domain.bars import Bars, Floats, epoch
from core.domain.fills import Costs
from core.domain.orders import Rules
from core.domain.risk import Limits
from core.domain.state import Book
from tests.domain.drawn import BAR, HOUR
from tests.policies import plain_policy

OFF = Limits(positions=0, exposure=0.0, correlated_exposure=0.0, daily_loss=0.0, drawdown=0.0)
RULES = Rules(lot=Decimal("0.001"), tick=Decimal("0.5"), minimum_amount=Decimal("0.001"), taker=Decimal("0.001"))
BOOK = Book(
    id="a",
    symbol="BTC/USDT",
    policy=plain_policy(vix_unknown_step=0.0, volatility_low=0.1),
    rules=RULES,
    costs=Costs(slippage_bps=Decimal(1), stop_slippage_bps=Decimal(10), volume_share=Decimal(0)),
)


def named(name: str, book: Book = BOOK) -> Book:
    return replace(book, id=name)


def calm(count: int, atr: float = 100.0) -> Floats:
    """Rows of CONTEXT in which nothing moves the threshold; the VIX is unknown."""
    return np.tile([atr, 0.01, 1.0, 0.0, np.nan, np.nan, 0.004, 0.0, 20.0, 0.05, 0.05, 0.05, 0.06], (count, 1))


def at_closes(*closes: float) -> Bars:
    """Bars that open where the one before closed, and go nowhere else."""
    close = np.array(closes)
    opened = np.concatenate([close[:1], close[:-1]])
    time = epoch(BAR) + 3600 * np.arange(len(close), dtype=np.int64)
    return Bars(time, opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(len(close)))


def two(bars: Bars, p_up: Floats, limits: Limits, resume_after: timedelta | None = None) -> dict[str, Result]:
    series = [Series(named(name), bars, p_up, calm(len(bars)), need=1) for name in ("b", "a")]
    return several(series, limits, resume_after)


def said(result: Result) -> list[str]:
    return [f"{decision.action} {decision.reason}" for decision in result.decisions]


STANDS = np.array([0.6, 0.6, 0.6, 0.6, 0.6])
FALLS = at_closes(10_000.0, 10_000.0, 9_850.0, 9_850.0, 9_850.0)


def test_two_books_share_the_room_of_an_account_by_hand() -> None:
    """Both want 0.5: 1 % of 10,000 over a stop of 200. Together they may hold 0.4 x 20,000 = 8,000.

    a comes first: 0.5, worth 5,000, which count from when they are ordered. That leaves 3,000 to b: 0.3.
    Filled at 10,000 x 1.0001 = 10,001: a has 10,000 - 5.0005 = 9,994.9995 and at 10,000 lost 0.5; b has 10,000 -
    3.0003 = 9,996.9997 and lost 0.3.
    """
    found = two(FALLS, STANDS, replace(OFF, exposure=0.4))
    assert [(fill.amount, fill.price) for fill in found["a"].fills] == [(Decimal("0.5"), Decimal(10001))]
    assert [(fill.amount, fill.price) for fill in found["b"].fills] == [(Decimal("0.3"), Decimal(10001))]
    assert found["a"].equity[1] == Decimal("9994.4995")
    assert found["b"].equity[1] == Decimal("9996.6997")


def test_the_last_place_goes_to_the_book_that_ticks_first() -> None:
    found = two(FALLS, STANDS, replace(OFF, positions=1))
    assert said(found["a"])[:2] == ["enter long_signal", "hold signal_stands"]
    assert said(found["b"])[:2] == ["stay_out account_positions", "stay_out account_positions"]


def test_a_drawdown_of_the_account_ends_every_position_by_hand() -> None:
    """At 9,850 a is worth 9,994.9995 - 75.5 = 9,919.4995 and knows b by its last close, 9,994.4995: the account fell by
    0.43 % of 20,000. b comes next and knows better: twice 9,919.4995 is a fall of 0.805 %, and the limit is 0.5 %. a
    sees at its next tick what b has written down."""
    found = two(FALLS, STANDS, replace(OFF, drawdown=0.005))
    assert said(found["a"])[2:] == ["hold signal_stands", "exit breaker_drawdown", "halt breaker_drawdown"]
    assert said(found["b"])[2:] == ["exit breaker_drawdown", "halt breaker_drawdown", "halt breaker_drawdown"]
    assert [trip.scope for trip in found["a"].state.tripped] == ["account"]


def test_all_books_begin_again_once_a_person_has_resumed_them() -> None:
    bars = at_closes(*(10_000.0,) * 2, *(9_850.0,) * 10)
    stopped = two(bars, np.full(12, 0.6), replace(OFF, drawdown=0.005))
    again = two(bars, np.full(12, 0.6), replace(OFF, drawdown=0.005), resume_after=4 * HOUR)
    for name in ("a", "b"):
        assert said(stopped[name])[-1] == "halt breaker_drawdown"
        assert "enter long_signal" in said(again[name])[5:]
        assert said(again[name])[-1] == "hold signal_stands"
        assert again[name].state.tripped == ()


def test_two_books_of_one_name_are_refused() -> None:
    one = Series(BOOK, FALLS, STANDS, calm(5), need=1)
    with pytest.raises(ValueError, match="same id"):
        several([one, one], OFF)


def drawn(seed: int, count: int = 60) -> tuple[Bars, Floats, Floats]:
    """A wild market, forecasts that change their mind, and a volume that is sometimes short."""
    rng = np.random.default_rng(seed)
    close = np.round(10_000 * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 1)
    opened = np.round(close * np.exp(rng.normal(0, 0.002, count)), 1)
    spread = np.abs(rng.normal(0, 60, count))
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    time = epoch(BAR) + 3600 * np.arange(count, dtype=np.int64)
    bars = Bars(time, opened, np.round(high, 1), np.round(low, 1), close, np.round(rng.lognormal(1, 1, count), 3))
    return bars, np.clip(rng.normal(0.5, 0.15, count), 0, 1), calm(count)


def thin(name: str, **policy: object) -> Book:
    costs = Costs(volume_share=Decimal("0.1"), funding_bps=Decimal(2))
    book = replace(BOOK, id=name, costs=costs)
    return replace(book, policy=replace(book.policy, **policy)) if policy else book


def alike(one: Result, other: Result) -> None:
    assert list(one.bars) == list(other.bars)
    assert list(one.decisions) == list(other.decisions)
    assert list(one.equity) == list(other.equity)
    assert list(one.fills) == list(other.fills)
    assert list(one.trades) == list(other.trades)
    assert one.state == other.state


seeds = st.integers(0, 2**20)


@given(seeds, st.booleans())
@settings(max_examples=5, deadline=None)
def test_one_book_alone_gives_the_backtest(seed: int, resumed: bool) -> None:
    bars, p_up, context = drawn(seed)
    missed = np.random.default_rng(seed).random(len(bars)) < 0.1
    funding = np.random.default_rng(seed).normal(0, 1e-4, len(bars))
    after = 5 * HOUR if resumed else None
    book = thin("a", drawdown=0.03, losses=2)
    (found,) = several([Series(book, bars, p_up, context, 3, 2, missed, {9: ("x", "y")}, funding)], OFF, after).values()
    alike(found, backtest(book, bars, p_up, context, 3, 2, missed, after, {9: ("x", "y")}, funding))


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_without_limits_each_book_is_as_if_it_were_alone(seed: int) -> None:
    """But for the marks of the account, which are taken and bind nobody."""
    each = {name: drawn(seed + n) for n, name in enumerate(("b", "a", "c"))}
    found = several([Series(thin(name), *series, need=1) for name, series in each.items()], OFF)
    assert list(found) == ["b", "a", "c"]
    for name, series in each.items():
        state = msgspec.structs.replace(found[name].state, account=None)
        alone = backtest(thin(name), *series, need=1)
        assert (list(found[name].fills), list(found[name].equity), state) == (
            list(alone.fills),
            list(alone.equity),
            alone.state,
        )


@given(seeds, st.sampled_from([1, 2]))
@settings(max_examples=5, deadline=None)
def test_no_more_books_hold_a_position_than_the_account_allows(seed: int, positions: int) -> None:
    series = [Series(thin(name), *drawn(seed + n), need=1) for n, name in enumerate(("a", "b", "c"))]
    found = several(series, replace(OFF, positions=positions))
    held = np.array([[position != 0 for position in result.position] for result in found.values()])
    assert held.any(axis=1).any()
    assert held.sum(axis=0).max() <= positions


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_a_book_that_may_not_go_short_never_does(seed: int) -> None:
    """As on spot. The same forecasts go short where that is allowed."""
    bars, p_up, context = drawn(seed)
    spot = replace(thin("a", short=False), rules=replace(RULES, leverage=Decimal(1), maintenance=Decimal(0)))
    found = backtest(spot, bars, p_up, context, need=1)
    assert min(found.position) >= 0
    assert min(backtest(thin("a"), bars, p_up, context, need=1).position) < 0


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_money_is_conserved_in_every_book(seed: int) -> None:
    """Start + profit - fees - interest and funding is the cash, to the last digit of its sums."""
    series = [Series(thin(name), *drawn(seed + n), need=1) for n, name in enumerate(("a", "b"))]
    for result in several(series, replace(OFF, exposure=0.5)).values():
        holding = result.state.holding
        paid = sum((fill.signed * fill.price + fill.fee + fill.interest for fill in result.fills), Decimal(0))
        assert abs(holding.cash - holding.position * holding.average_price + paid - 10_000) < Decimal("1e-15")
        assert any(fill.interest for fill in result.fills)
