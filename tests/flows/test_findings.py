"""Findings: verdicts that are never better than what they rest on."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from core.domain.orders import Rules
from core.flows import findings

D = Decimal
LOTS = st.sampled_from([D("0.0001"), D("0.003"), D("0.1"), D(1)])
AMOUNTS = st.decimals("0", "2", places=3)


@given(lot=LOTS, least=AMOUNTS, notional=st.decimals("0", "5000", places=1), price=st.decimals("0.5", "9e6", places=1))
def test_the_smallest_order_is_one_that_the_venue_takes_and_a_lot_less_is_none(
    lot: Decimal, least: Decimal, notional: Decimal, price: Decimal
) -> None:
    rules = Rules(lot=lot, minimum_amount=least, minimum_notional=notional)
    amount = findings.smallest(rules, price)
    slack = D("1e-15")  # of a division
    assert rules.floor(amount) == amount > 0
    assert amount * price >= notional * (1 - slack)
    less = amount - lot
    assert not rules.floor(less) or less * price < notional


VERDICTS = st.sampled_from(findings.WORST)


@given(st.lists(VERDICTS))
def test_a_verdict_is_never_better_than_any_part_of_it(verdicts: list[findings.Verdict]) -> None:
    together = findings.worst(verdicts)
    assert together in verdicts or (together == "no_go" and not verdicts)
    assert all(findings.WORST.index(together) <= findings.WORST.index(one) for one in verdicts)


@given(st.lists(st.tuples(VERDICTS, st.uuids().map(str)), min_size=1))
def test_every_sentence_that_is_not_a_go_is_said(judged: list[findings.Judged]) -> None:
    verdict, said = findings.joined(judged)
    assert verdict == findings.worst(one for one, _ in judged)
    assert [sentence in said for _, sentence in judged] == [verdict == "go" or one != "go" for one, _ in judged]


@given(st.floats(), st.floats(0.0, 60.0))
def test_a_clock_is_a_go_within_a_second_and_never_beyond_what_the_venue_bears(ahead: float, window: float) -> None:
    verdict, _ = findings.skew(ahead, window)
    bears = min(5.0, window or 5.0)
    off = not abs(ahead) <= bears
    assert (verdict == "no_go") == off
    assert off or (verdict == "go") == (abs(ahead) <= 1.0)
