"""Lots, ticks, names of orders, and exact money."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise, product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.orders import (
    ENDS,
    MOVES,
    ZERO,
    Execution,
    Fill,
    Holding,
    IllegalMove,
    Intent,
    Leg,
    Listed,
    Order,
    Rules,
    Side,
    Sight,
    Status,
    exact,
    intent_id,
    move,
)
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
    whats = list(product(("btc", "eth"), (BAR, BAR + HOUR), ("exit", "entry", "stop"), (0, 1, 2)))
    assert len({intent_id(book, bar, leg, attempt) for book, bar, leg, attempt in whats}) == len(whats)  # type: ignore[arg-type]


def test_the_first_attempt_is_the_order_itself() -> None:
    assert intent_id("btc", BAR, "stop", 0) == intent_id("btc", BAR, "stop")


@given(st.text(max_size=30), st.sampled_from(get_args(Leg)), st.integers(0, 10**6))
def test_every_name_fits_every_venue(book: str, leg: Leg, attempt: int) -> None:
    name = intent_id(book, BAR, leg, attempt)
    assert len(name) == 30 and name.isalnum() and name.isascii()


# --- lots that are left over ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "dust"), [("0", False), ("0.001", False), ("-0.001", False), ("0.0009", True), ("-0.0009", True)]
)
def test_dust_is_neither_flat_nor_a_position(position: str, dust: bool) -> None:
    assert RULES.dust(Decimal(position)) == dust


@given(venues, decimals("-10", "10", 6))
def test_a_position_is_nothing_or_dust_or_can_be_closed(rules: Rules, position: Decimal) -> None:
    assert [not position, rules.dust(position), bool(rules.floor(abs(position)))].count(True) == 1


# --- what becomes of an order ---------------------------------------------------------------------------------------

STATUSES: tuple[Status, ...] = get_args(Status)
LEGAL = {
    ("planned", "sent"),
    ("planned", "never_placed"),
    *product(
        ("sent", "unknown"),
        ("acknowledged", "partly_filled", "filled", "cancelled", "expired", "refused", "never_placed"),
    ),
    ("sent", "unknown"),
    ("unknown", "sent"),
    *product(("acknowledged",), ("partly_filled", "filled", "cancelled", "expired")),
    *product(("partly_filled",), ("filled", "cancelled", "expired")),
}


def order_in(status: Status) -> Order:
    intent = Intent(id="hh1", book="btc", bar=BAR, leg="entry", side="buy", amount=Decimal(1))
    return Order(intent=intent, status=status, filled=Decimal("0.5"))


@pytest.mark.parametrize(("start", "end"), sorted(LEGAL))
def test_every_legal_move_works_and_changes_what_it_is_told_to(start: Status, end: Status) -> None:
    moved = move(order_in(start), end, order_id="o1", detail="so")
    assert (moved.status, moved.order_id, moved.detail) == (end, "o1", "so")
    assert (moved.intent, moved.filled) == (order_in(start).intent, order_in(start).filled)


ILLEGAL = {(start, end) for start, end in product(STATUSES, STATUSES) if start != end} - LEGAL


@pytest.mark.parametrize(("start", "end"), sorted(ILLEGAL))
def test_every_other_move_is_an_error_that_names_the_order(start: Status, end: Status) -> None:
    with pytest.raises(IllegalMove, match=f"order hh1: from {start} to {end}"):
        move(order_in(start), end)


@pytest.mark.parametrize("status", STATUSES)
def test_to_stay_is_no_move(status: Status) -> None:
    assert move(order_in(status), status) == order_in(status)
    assert move(order_in(status), status, detail="still").detail == "still"


@pytest.mark.parametrize("status", STATUSES)
def test_ends_are_ends_and_the_rest_is_not(status: Status) -> None:
    assert order_in(status).ended == (status in ENDS) == (not MOVES[status])


def test_every_status_has_its_moves_and_leads_to_an_end() -> None:
    assert set(MOVES) == set(STATUSES)
    ways: list[list[Status]] = [["planned"]]
    for way in ways:
        ways += [[*way, status] for status in MOVES[way[-1]] if status not in way]
    assert {way[-1] for way in ways} == set(STATUSES)
    assert all(pair in LEGAL for way in ways for pair in pairwise(way))
    assert all(any(end in ENDS for end in MOVES[status]) for status in STATUSES if status not in ENDS)


def test_a_sight_names_every_order_that_it_shows_once() -> None:
    listed = [Listed(order_id=name, side="buy", amount=Decimal(1), status="open") for name in ("b", "a")]
    plain = {"at": BAR, "side": "buy", "amount": Decimal(1), "price": Decimal(1), "fee": ZERO}
    done = [Execution(id=f"e{i}", order_id=name, **plain) for i, name in enumerate("cacb")]
    assert Sight(position=ZERO, orders=tuple(listed), executions=tuple(done)).ids == ("b", "a", "c")
    assert Sight(position=ZERO).ids == ()
