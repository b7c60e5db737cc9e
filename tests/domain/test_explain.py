"""Decisions in sentences: a few to the letter, and some sentence for every decision there can be."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.decide import Decision, decide
from core.domain.explain import REASONS, say, worded
from core.domain.orders import ZERO, Rules
from core.domain.risk import Policy
from tests.domain.drawn import LONG, POLICY, RULES, SHORT, Case, cases, seen

HEAD = "BTC/JPY, bar of 2024-05-01 12:00 UTC: "


def said(policy: Policy = POLICY, rules: Rules = RULES, **changes: Any) -> str:
    view = seen(**changes)
    text = say(view, decide(view, policy, rules), "BTC/JPY")
    assert text.startswith(HEAD)
    return text.removeprefix(HEAD)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"p_up": 0.6123},
            "go long 0.125, because the forecast is above the long threshold. "
            "p(up) is 0.6123; long above 0.550, short below 0.450 (base 0.050, no adjustment). "
            "Size 0.125 at about 40000.0, set by risk per trade on an equity of 10,000.00; "
            "the protective stop rests at 39200.0.",
        ),
        (
            {"p_up": 0.5, "vix": 30.0, "vix_change": 0.5, "win_rate": 0.7},
            "stay out, because the forecast lies between the thresholds. p(up) is 0.5000; long above 0.595, "
            "short below 0.405 (base 0.050, -0.005 for recent trades, +0.020 for VIX, +0.030 for VIX spike).",
        ),
        (
            {"holding": SHORT, "p_up": 0.54},
            "close the short 0.1, because the forecast no longer supports the short position. "
            "p(up) is 0.5400; long above 0.550, short below 0.450 (base 0.050, no adjustment). "
            "No new position is opened: the forecast lies between the thresholds.",
        ),
        (
            {"holding": LONG, "p_up": 0.55},
            "keep the long 0.1, because the signal that opened the position still stands. "
            "p(up) is 0.5500; long above 0.550, short below 0.450 (base 0.050, no adjustment).",
        ),
        (
            {"holding": LONG, "p_up": 0.9, "problem": ("window_gap", "bars are missing before noon")},
            "take no new risk (position: long 0.1), because bars are missing before noon.",
        ),
        ({"mode": "halt"}, "do nothing (position: none), because the switch says halt."),
        ({"mode": "flatten", "holding": LONG}, "close the long 0.1, because the switch says flatten."),
        ({"p_up": math.nan}, "take no new risk (position: none), because p_up is not a number."),
        (
            {"unsettled": 1, "holding": SHORT},
            "take no new risk (position: short 0.1), because the outcome of an earlier order is not known yet.",
        ),
        (
            {"blocked": ("needs_a_person", "the venue says 0.2, and no order explains it"), "holding": LONG},
            "take no new risk (position: long 0.1), because the venue says 0.2, and no order explains it.",
        ),
    ],
)
def test_it_reads_well(changes: dict[str, Any], text: str) -> None:
    assert said(**changes) == text


def test_a_reversal_says_both() -> None:
    assert said(holding=LONG, p_up=0.4).startswith(
        "close the long 0.1 and go short 0.125, because the forecast is below the short threshold."
    )


def test_a_stop_that_was_passed_has_its_words_as_a_reason_and_as_an_objection() -> None:
    text = said(holding=LONG, p_up=0.9, price=37_900.0)
    assert text.startswith(f"close the long 0.1, because {REASONS['stop_passed']}.")
    assert f"No new position is opened: {REASONS['stop_passed']}." in text


def test_tiny_amounts_are_written_out() -> None:
    rules = Rules(lot=Decimal("1e-8"), minimum_amount=Decimal("1e-8"), tick=Decimal("0.1"))
    text = said(replace(POLICY, risk_per_trade=Decimal("1e-9")), rules, p_up=0.6)
    assert text.startswith("go long 0.00000001,")
    assert "Size 0.00000001 at" in text


@given(cases, st.sampled_from(["BTC/JPY", "", "{}"]))
@settings(max_examples=200)
def test_there_is_a_sentence_for_every_decision(case: Case, symbol: str) -> None:
    text = say(case.view, case.decision, symbol)
    assert text.startswith(f"{symbol}, bar of ") and text.endswith(".")
    assert "None" not in text and "_" not in text.replace("_up", "").replace("_ratio", "")


@given(cases, st.sampled_from(["enter", "exit", "reverse", "hold", "stay_out", "refuse", "halt"]), st.text(max_size=9))
@settings(max_examples=100)
def test_a_decision_of_an_older_version_is_told_as_well(case: Case, action: Any, reason: str) -> None:
    for target in (ZERO, Decimal("-1E-8"), Decimal(3)):
        text = say(case.view, Decision(action=action, reason=reason, target=target), "BTC/JPY")
        assert worded(reason) in text


@given(cases)
@settings(max_examples=200)
def test_every_reason_has_its_words(case: Case) -> None:
    entry = str(case.decision.numbers.get("entry", ""))
    assert case.decision.note or worded(case.decision.reason) != case.decision.reason
    assert not entry or worded(entry) != entry
