"""Lots, ticks, names of orders, and exact money."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.orders import ZERO, Fill, Holding, Rules, Side, exact, intent_id
from tests.domain.drawn import BAR, HOUR, RULES, decimals, venues


@pytest.mark.parametrize(
    ("amount", "lots"),
    [("0.0019999", "0.001"), ("0.002", "0.002"), ("0.00099", "0"), ("0", "0"), ("12.3456", "12.345")],
)
def test_an_amount_is_floored_to_whole_lots(amount: str, lots: str) -> None:
    assert RULES.floor(Decimal(amount)) == Decimal(lots)


def test_less_than_the_least_amount_is_nothing() -> None:
    rules = Rules(lot=Decimal("0.001"), minimum_amount=Decimal("0.005"))
    assert rules.floor(Decimal("0.0049")) == ZERO
    assert rules.floor(Decimal("0.005")) == Decimal("0.005")


@given(venues, decimals("0", "1000"))
def test_floor_never_rounds_up_and_never_loses_a_whole_lot(rules: Rules, amount: Decimal) -> None:
    lots = rules.floor(amount)
    assert lots % rules.lot == 0
    assert lots <= amount
    assert lots > amount - rules.lot or amount < max(rules.minimum_amount, rules.lot)
    assert lots == 0 or lots >= rules.minimum_amount


@pytest.mark.parametrize(("side", "price"), [("buy", "100.1"), ("sell", "100.0")])
def test_a_price_is_rounded_to_the_tick_against_whoever_trades(side: Side, price: str) -> None:
    assert RULES.worse(Decimal("100.05"), side) == Decimal(price)
    assert RULES.worse(Decimal(price), side) == Decimal(price)


@given(venues, decimals("0", "90000"))
def test_a_rounded_price_is_on_the_tick_and_less_than_one_away(rules: Rules, price: Decimal) -> None:
    dear, cheap = rules.worse(price, "buy"), rules.worse(price, "sell")
    assert dear % rules.tick == cheap % rules.tick == 0
    assert price <= dear < price + rules.tick
    assert price - rules.tick < cheap <= price


@given(st.floats(1e-8, 1e9))
def test_exact_is_what_was_printed_and_reads_back_as_the_same(price: float) -> None:
    assert float(exact(price)) == price
    assert len(exact(price).as_tuple().digits) <= 17


def test_exact_has_no_digits_that_nobody_printed() -> None:
    assert exact(0.1) == Decimal("0.1")
    assert str(exact(41234.7)) == "41234.7"


@pytest.mark.parametrize(("position", "equity"), [("0.5", "10050"), ("-0.5", "9950"), ("0", "10000")])
def test_equity_is_cash_and_open_profit(position: str, equity: str) -> None:
    held = Holding(cash=Decimal(10000), position=Decimal(position), average_price=Decimal(100))
    assert held.equity(Decimal(200)) == Decimal(equity)


@pytest.mark.parametrize(("side", "signed"), [("buy", "0.5"), ("sell", "-0.5")])
def test_a_fill_is_signed_by_its_side(side: Side, signed: str) -> None:
    fill = Fill(id="a", bar=BAR, side=side, amount=Decimal("0.5"), price=Decimal(1), fee=ZERO, cause="entry")
    assert fill.signed == Decimal(signed)


def test_an_order_has_one_name_for_good() -> None:
    """The name itself is a promise: it must be the same in every version, or a retry would be a second order."""
    name = intent_id("btc-jpy-1h", BAR, "entry")
    assert name == "hh9a7a02e7cf18ba4947250998ef20"
    assert len(name) == 30
    assert name.isalnum() and name.isascii()


def test_every_order_has_a_name_of_its_own() -> None:
    whats = list(product(("btc", "eth"), (BAR, BAR + HOUR), ("exit", "entry"), (0, 1)))
    assert len({intent_id(book, bar, leg, attempt) for book, bar, leg, attempt in whats}) == len(whats)  # type: ignore[arg-type]
