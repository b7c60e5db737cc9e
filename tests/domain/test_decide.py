"""The decision: every gate, every bound, and what must hold whatever is seen."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.decide import Decision, View, decide
from core.domain.orders import ZERO, Intent, Rules, exact, intent_id
from core.domain.risk import Policy
from core.domain.switch import MODES, Mode, effective, mode_of, severest
from core.flows.claim import plain
from tests.domain.drawn import BAR, DUST, FLAT, LONG, POLICY, RULES, SHORT, Case, cases, entries, seen
from tests.policies import EAGER

TH = 0.05


def eager(**changes: Any) -> Policy:
    return Policy(**EAGER | changes)


def decided(policy: Policy | None = None, rules: Rules = RULES, **changes: Any) -> Decision:
    return decide(seen(**changes), policy or POLICY, rules)


def above(value: float) -> float:
    return math.nextafter(value, 1.0)


def below(value: float) -> float:
    return math.nextafter(value, 0.0)


# --- entries --------------------------------------------------------------------------------------------------------


def test_long_strictly_above_the_threshold() -> None:
    assert decided(p_up=above(0.5 + TH)).reason == "long_signal"
    assert decided(p_up=0.5 + TH).reason == "no_signal"


def test_short_strictly_below_the_threshold() -> None:
    assert decided(p_up=below(0.5 - TH)).reason == "short_signal"
    assert decided(p_up=0.5 - TH).reason == "no_signal"


def test_an_entry_in_full() -> None:
    """1 % of 10,000 over a stop 2 x 400 away: 0.125 BTC."""
    decision, view = decided(p_up=0.6), seen()
    assert decision == Decision(
        action="enter",
        reason="long_signal",
        target=Decimal("0.125"),
        intents=(
            Intent(
                id=intent_id("btc", BAR, "entry"),
                book="btc",
                bar=BAR,
                leg="entry",
                side="buy",
                amount=Decimal("0.125"),
                stop=Decimal(39200),
            ),
        ),
        numbers={
            "p_up": 0.6,
            "price": 40_000.0,
            "volatility_ratio": view.volatility_ratio,
            "atr_ratio": view.atr_ratio,
            "win_rate": None,
            "rule": 0.0,
            "market_regime": "normal",
            "vix_regime": "normal",
            "expected_move": decision.numbers["expected_move"],
            "cost": 0.0,
            "vix_level": view.vix,
            "vix_change": view.vix_change,
            "value_at_risk": 0.05,
            "shortfall": 0.06,
            "volatility_168": 0.004,
            "fall": 0.0,
            "adx": 20.0,
            "base": 0.05,
            "volatility": 0.0,
            "atr": 0.0,
            "performance": 0.0,
            "vix": 0.0,
            "spike": 0.0,
            "th": 0.05,
            "equity": "10000.0",
            "capital": "10000",
            "atr_14": 400.0,
            "size_wanted": 0.125,
            "size_limit": "risk_per_trade",
            "size_scale": 1.0,
            "size_by_risk_per_trade": 0.125,
            "size_by_kelly": 0.125,
            "size_by_volatility_target": decision.numbers["size_by_volatility_target"],
            "size_by_value_at_risk": 0.5,
            "size_by_leverage": 0.25,
            "size_by_liquidation": decision.numbers["size_by_liquidation"],
            "amount": "0.125",
            "stop": "39200.0",
        },
    )


def test_a_short_entry_has_its_stop_above() -> None:
    decision = decided(p_up=0.4)
    assert decision.target == Decimal("-0.125")
    assert [(i.leg, i.side, i.amount, i.stop) for i in decision.intents] == [
        ("entry", "sell", Decimal("0.125"), Decimal(40800))
    ]


def test_a_book_that_may_not_short_stays_out() -> None:
    decision = decided(eager(short=False), p_up=0.4)
    assert (decision.action, decision.reason, decision.intents) == ("stay_out", "short_not_allowed", ())


@pytest.mark.parametrize("p_up", [0.64, 0.36])
def test_minimum_confidence_counts_both_ways(p_up: float) -> None:
    assert decided(eager(minimum_confidence=0.65), p_up=p_up).reason == "confidence_low"
    assert decided(eager(minimum_confidence=max(p_up, 1 - p_up)), p_up=p_up).action == "enter"


def test_zero_lots_is_a_recorded_decision() -> None:
    decision = decided(rules=Rules(lot=Decimal(1)), p_up=0.6)
    assert (decision.action, decision.reason, decision.intents) == ("stay_out", "size_zero_lots", ())
    assert decision.numbers["size_wanted"] == 0.125
    assert decision.numbers["equity"] == "10000.0"


@pytest.mark.parametrize(("least", "action"), [("5000", "enter"), ("5000.1", "stay_out")])
def test_an_entry_is_worth_at_least_what_the_venue_demands(least: str, action: str) -> None:
    rules = msgspec.structs.replace(RULES, minimum_notional=Decimal(least))
    assert decided(rules=rules, p_up=0.6).action == action


def test_no_entry_where_no_stop_fits() -> None:
    assert decided(p_up=0.6, price=3.0, atr=2.0).reason == "stop_impossible"  # it would lie below zero
    rules = msgspec.structs.replace(RULES, tick=Decimal(1000))
    assert decided(rules=rules, p_up=0.6).reason == "stop_impossible"  # the next tick is the price itself


def test_the_venues_leverage_counts_where_it_is_lower() -> None:
    rules = msgspec.structs.replace(RULES, leverage=Decimal(1))
    assert decided(eager(leverage=Decimal(2)), rules, p_up=0.6, atr=10.0).target == Decimal("0.25")
    assert decided(eager(leverage=Decimal("0.5")), rules, p_up=0.6, atr=10.0).target == Decimal("0.125")


# --- the rule signal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_up", "rule", "reason"),
    [
        (above(0.52), 1.0, "long_confirmed_by_rule"),
        (0.52, 1.0, "no_signal"),
        (above(0.52), 0.0, "no_signal"),
        (above(0.52), -1.0, "no_signal"),
        (below(0.48), -1.0, "short_confirmed_by_rule"),
        (0.48, -1.0, "no_signal"),
        (below(0.48), 1.0, "no_signal"),
        (0.6, -1.0, "long_signal"),
    ],
)
def test_the_rule_confirms_weak_signals_of_its_own_direction(p_up: float, rule: float, reason: str) -> None:
    assert decided(eager(rule="confirm"), p_up=p_up, rule=rule).reason == reason


def test_the_rule_has_no_say_unless_configured() -> None:
    assert decided(p_up=0.53, rule=1.0).reason == "no_signal"


def test_a_confirmed_signal_passes_the_same_gates() -> None:
    weak = {"p_up": 0.53, "rule": 1.0}
    assert decided(eager(rule="confirm"), vix=35.0, **weak).reason == "vix_panic"
    assert decided(eager(rule="confirm"), mode="reduce", **weak).reason == "switch_reduce"
    assert decided(eager(rule="confirm", minimum_confidence=0.65), **weak).reason == "confidence_low"
    assert decided(eager(rule="confirm", short=False), p_up=0.47, rule=-1.0).reason == "short_not_allowed"


# --- what a forecast is worth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edge", "reason"), [(0.0, "long_signal"), (0.99, "long_signal"), (1.01, "edge_below_costs")])
def test_an_entry_must_promise_a_multiple_of_what_it_costs(edge: float, reason: str) -> None:
    """0.2 x 0.004 x sqrt(12 / pi), six bars ahead: 0.1564 %."""
    assert decided(eager(edge=edge, hold_bars=6), p_up=0.6, cost=0.001564).reason == reason


def test_where_the_volatility_is_not_known_no_promise_is_believed() -> None:
    assert decided(eager(edge=0.1), p_up=0.9, cost=0.001, volatility=math.nan).reason == "edge_below_costs"


def test_an_uncertain_forecast_earns_a_part_of_the_position() -> None:
    def wanted(p_up: float) -> Any:
        return decided(eager(certainty=0.2), p_up=p_up).numbers["size_scale"]

    assert (wanted(0.7), wanted(0.8), wanted(0.3)) == (1.0, 1.0, pytest.approx(1.0))
    assert wanted(0.6) == wanted(0.4) == pytest.approx(0.1 / 0.24**0.5 / (0.2 / 0.21**0.5))


def test_a_position_is_held_for_its_bars_unless_its_stop_is_passed() -> None:
    """LONG was opened five bars ago, so that this is its sixth."""
    faded: dict[str, Any] = {"holding": LONG, "p_up": 0.3}
    assert decided(eager(hold_bars=6), **faded).action == "reverse"
    assert decided(eager(hold_bars=7), **faded).action == "hold"
    assert decided(eager(hold_bars=7), **faded | {"price": 37_000.0}).action == "reverse"


def test_with_nothing_to_hold_for_a_fill_dated_after_the_bar_is_left_as_any_other() -> None:
    holding = msgspec.structs.replace(LONG, opened=BAR + timedelta(days=900))
    assert decided(eager(hold_bars=0), holding=holding, p_up=0.3).action == "reverse"
    assert decided(eager(hold_bars=1), holding=holding, p_up=0.3).action == "hold"


@pytest.mark.parametrize(
    ("most", "p_up", "reason"),
    [
        (6, 0.52, "held_long_enough"),
        (6, 0.56, "signal_stands"),
        (6, 0.3, "short_signal"),
        (7, 0.52, "signal_stands"),
        (0, 0.52, "signal_stands"),
    ],
)
def test_a_position_that_was_held_long_enough_needs_its_signal_again(most: int, p_up: float, reason: str) -> None:
    assert decided(eager(hold_most_bars=most), holding=LONG, p_up=p_up).reason == reason


# --- exits ----------------------------------------------------------------------------------------------------------

SOFT = 0.7 * TH


def test_a_long_is_left_strictly_below_the_softer_bound() -> None:
    kept, left = decided(holding=LONG, p_up=0.5 - SOFT), decided(holding=LONG, p_up=below(0.5 - SOFT))
    assert (kept.action, kept.reason, kept.target, kept.intents) == ("hold", "signal_stands", LONG.position, ())
    assert (left.action, left.reason, left.target) == ("exit", "long_faded", ZERO)


def test_a_short_is_left_strictly_above_the_softer_bound() -> None:
    kept, left = decided(holding=SHORT, p_up=0.5 + SOFT), decided(holding=SHORT, p_up=above(0.5 + SOFT))
    assert (kept.action, kept.target, kept.intents) == ("hold", SHORT.position, ())
    assert (left.action, left.reason, left.target) == ("exit", "short_faded", ZERO)


def test_an_exit_in_full_says_why_nothing_new_is_opened() -> None:
    decision = decided(holding=LONG, p_up=0.46)
    assert [(i.leg, i.side, i.amount, i.stop) for i in decision.intents] == [("exit", "sell", Decimal("0.1"), None)]
    assert decision.numbers["entry"] == "no_signal"


def test_the_softer_bound_follows_the_bars_threshold() -> None:
    assert decided(holding=LONG, p_up=0.46, vix=30.0).action == "hold"  # 0.5 - 0.7 x 0.07
    assert decided(holding=LONG, p_up=0.45, vix=30.0).action == "exit"


def test_a_reversal_is_an_exit_and_an_entry_of_the_new_size() -> None:
    decision = decided(holding=LONG, p_up=0.4)
    equity = min(LONG.equity(Decimal(40000)), POLICY.capital_stages[0])
    assert (decision.action, decision.reason) == ("reverse", "short_signal")
    assert [(i.leg, i.side) for i in decision.intents] == [("exit", "sell"), ("entry", "sell")]
    assert decision.intents[0].amount == Decimal("0.1")
    assert decision.intents[1].amount == -decision.target == RULES.floor(equity / 100 / 800)
    assert len({intent.id for intent in decision.intents}) == 2


@pytest.mark.parametrize("p_up", [0.4, 0.45 - 1e-9])
def test_where_the_new_side_is_barred_a_reversal_is_an_exit(p_up: float) -> None:
    assert decided(eager(short=False), holding=LONG, p_up=p_up).numbers["entry"] == "short_not_allowed"
    assert decided(eager(risk_per_trade=Decimal("1e-6")), holding=LONG, p_up=p_up).numbers["entry"] == "size_zero_lots"
    assert decided(eager(minimum_confidence=0.65), holding=LONG, p_up=p_up).action == "exit"


def test_an_exit_needs_no_confidence() -> None:
    assert decided(eager(minimum_confidence=0.99), holding=LONG, p_up=0.46).action == "exit"


# --- a stop that should have fired ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holding", "price", "leaves"),
    [
        (LONG, 38_000.1, False),
        (LONG, 38_000.0, True),
        (LONG, 30_000.0, True),
        (SHORT, 41_999.9, False),
        (SHORT, 42_000.0, True),
        (SHORT, 50_000.0, True),
    ],
)
def test_a_position_beyond_its_stop_is_left_whatever_the_forecast(holding: Any, price: float, leaves: bool) -> None:
    decision = decided(holding=holding, p_up=0.5, price=price)
    assert (decision.action, decision.reason) == (("exit", "stop_passed") if leaves else ("hold", "signal_stands"))
    assert [intent.leg for intent in decision.intents] == (["exit"] if leaves else [])


@pytest.mark.parametrize("mode", ["run", "reduce"])
def test_it_is_left_in_panic_and_under_reduce_too(mode: Mode) -> None:
    assert decided(mode=mode, holding=LONG, p_up=0.5, price=37_000.0, vix=80.0).reason == "stop_passed"


@pytest.mark.parametrize(("holding", "p_up", "price"), [(LONG, 0.9, 37_900.0), (SHORT, 0.1, 42_100.0)])
def test_a_position_that_its_stop_should_have_closed_is_not_opened_again_at_once(
    holding: Any, p_up: float, price: float
) -> None:
    decision = decided(holding=holding, p_up=p_up, price=price)
    assert (decision.action, decision.reason, decision.target) == ("exit", "stop_passed", ZERO)
    assert decision.numbers["entry"] == "stop_passed"


def test_it_may_be_turned_at_once() -> None:
    decision = decided(holding=LONG, p_up=0.1, price=37_900.0)
    assert (decision.action, [intent.side for intent in decision.intents]) == ("reverse", ["sell", "sell"])


def test_a_position_without_a_stop_has_none_to_pass() -> None:
    bare = msgspec.structs.replace(LONG, stop=None)
    assert decided(holding=bare, p_up=0.5, price=1.0).action == "hold"


# --- dust -----------------------------------------------------------------------------------------------------------


def dusty(position: Decimal = DUST) -> Any:
    return msgspec.structs.replace(FLAT, position=position, average_price=Decimal(40_000))


@pytest.mark.parametrize("position", [DUST, -DUST])
@pytest.mark.parametrize("p_up", [0.1, 0.5, 0.9])
def test_dust_is_no_position(position: Decimal, p_up: float) -> None:
    """It is decided as if nothing were held."""
    decision, flat = decided(holding=dusty(position), p_up=p_up), decided(p_up=p_up)
    assert (decision.action, decision.reason, decision.target) == (flat.action, flat.reason, flat.target)
    assert decision.intents == flat.intents


def test_flatten_of_dust_is_a_halt() -> None:
    assert decided(mode="flatten", holding=dusty()) == decided(mode="flatten")


def test_an_exit_leaves_the_part_of_a_lot_that_cannot_be_sold() -> None:
    held = msgspec.structs.replace(LONG, position=Decimal("0.1") + DUST)
    for decision in (decided(holding=held, p_up=0.46), decided(holding=held, mode="flatten")):
        assert [(intent.leg, intent.amount) for intent in decision.intents] == [("exit", Decimal("0.1"))]
        assert decision.target == ZERO


# --- the VIX --------------------------------------------------------------------------------------------------------


def test_panic_from_35_opens_nothing() -> None:
    assert decided(p_up=0.9, vix=35.0).reason == "vix_panic"
    assert decided(p_up=0.9, vix=math.nextafter(35.0, 0.0)).action == "enter"


def test_exits_go_on_in_panic() -> None:
    decision = decided(holding=LONG, p_up=0.1, vix=80.0)
    assert (decision.action, decision.reason, decision.numbers["entry"]) == ("exit", "long_faded", "vix_panic")
    assert [intent.leg for intent in decision.intents] == ["exit"]


@pytest.mark.parametrize(
    ("vix", "change", "th"),
    [(14.99, 0.0, 0.04), (15.0, 0.0, 0.05), (25.0, 0.0, 0.07), (20.0, 0.2, 0.08), (math.nan, math.nan, 0.07)],
)
def test_the_vix_moves_the_threshold(vix: float, change: float, th: float) -> None:
    assert decided(vix=vix, vix_change=change, p_up=0.5 + th + 1e-9).action == "enter"
    assert decided(vix=vix, vix_change=change, p_up=0.5 + th - 1e-9).action == "stay_out"


# --- the switch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holding", [FLAT, LONG, SHORT])
@pytest.mark.parametrize("p_up", [0.1, 0.5, 0.9, math.nan])
def test_halt_does_nothing_at_all(holding: Any, p_up: float) -> None:
    decision = decided(mode="halt", holding=holding, p_up=p_up)
    assert decision == Decision(action="halt", reason="switch_halt", target=holding.position)


def test_halt_goes_before_everything() -> None:
    assert decided(mode="halt", unsettled=1, problem=("window_gap", "x")).reason == "switch_halt"


def test_reduce_opens_nothing_and_exits_go_on() -> None:
    assert decided(mode="reduce", p_up=0.9).reason == "switch_reduce"
    decision = decided(mode="reduce", holding=LONG, p_up=0.1)
    assert (decision.action, [intent.leg for intent in decision.intents]) == ("exit", ["exit"])
    assert decided(mode="reduce", holding=LONG, p_up=0.9).action == "hold"


def test_flatten_closes_what_is_held_even_on_bad_input() -> None:
    decision = decided(mode="flatten", holding=SHORT, p_up=math.nan, problem=("window_stale", "x"))
    assert (decision.action, decision.reason, decision.target) == ("exit", "switch_flatten", ZERO)
    assert [(i.leg, i.side, i.amount) for i in decision.intents] == [("exit", "buy", Decimal("0.1"))]


def test_flatten_of_nothing_is_a_halt() -> None:
    assert decided(mode="flatten", p_up=0.9) == Decision(action="halt", reason="switch_flatten", target=ZERO)


def test_run_trades() -> None:
    assert decided(mode="run", p_up=0.9).action == "enter"


@pytest.mark.parametrize("modes", list(permutations(MODES)))
def test_the_severest_switch_counts_in_whatever_order(modes: tuple[Mode, ...]) -> None:
    for count in range(1, len(modes) + 1):
        order: list[Mode] = ["run", "reduce", "halt", "flatten"]
        assert severest(modes[:count]) == max(modes[:count], key=order.index)
    assert severest(()) == "run"


def test_a_missing_switch_means_run_and_a_known_one_what_it_says() -> None:
    assert mode_of(None) == "run"
    assert [mode_of({"mode": mode, "by": "me"}) for mode in MODES] == list(MODES)


@pytest.mark.parametrize(
    "document",
    [{"mode": mode} for mode in (None, "Run", "run ", "off", ["run"], {"run": 1}, 1, True, b"run")],
)
def test_a_switch_with_an_unknown_mode_means_halt(document: object) -> None:
    assert mode_of(document) == "halt"


@pytest.mark.parametrize("document", [{}, {"Mode": "run"}, "run", ["run"], 0, False, ""])
def test_a_switch_that_is_no_switch_means_halt(document: object) -> None:
    assert mode_of(document) == "halt"


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holding", [FLAT, LONG, SHORT])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["p_up", "price", "atr", "atr_ratio", "volatility_ratio", "rule"])
def test_what_is_no_number_is_refused_by_name_and_the_position_kept(name: str, wrong: float, holding: Any) -> None:
    decision = decided(holding=holding, **{"p_up": 0.9, name: wrong})
    assert (decision.action, decision.reason) == ("refuse", f"{name}_unknown")
    assert (decision.target, decision.intents) == (holding.position, ())
    assert name in decision.note


@pytest.mark.parametrize("p_up", [-1e-9, 1.0 + 1e-9, 55.0])
def test_what_is_no_probability_is_refused(p_up: float) -> None:
    decision = decided(holding=LONG, p_up=p_up)
    assert (decision.action, decision.reason, decision.target) == ("refuse", "p_up_unknown", LONG.position)


def test_a_problem_is_refused_with_its_reason_and_the_position_kept() -> None:
    decision = decided(holding=LONG, p_up=0.1, problem=("window_gap", "bars are missing before noon"))
    assert decision == Decision(
        action="refuse", reason="window_gap", target=LONG.position, note="bars are missing before noon"
    )


@pytest.mark.parametrize("mode", ["run", "reduce", "flatten"])
@pytest.mark.parametrize("unsettled", [0, 1])
def test_a_blocked_book_sends_nothing_not_even_to_flatten(mode: Mode, unsettled: int) -> None:
    why = ("position_mismatch", "the book says 0.1, the exchange says 0.2")
    decision = decided(mode=mode, holding=LONG, p_up=0.1, blocked=why, unsettled=unsettled)
    assert decision == Decision(action="refuse", reason=why[0], target=LONG.position, note=why[1])


def test_a_blocked_book_that_is_halted_is_halted() -> None:
    assert decided(mode="halt", holding=LONG, blocked=("needs_a_person", "x")).reason == "switch_halt"


@pytest.mark.parametrize("mode", ["run", "reduce", "flatten"])
def test_nothing_is_sent_while_an_order_is_unsettled(mode: Mode) -> None:
    decision = decided(mode=mode, holding=LONG, p_up=0.1, unsettled=2)
    assert (decision.action, decision.reason, decision.intents) == ("refuse", "unsettled", ())
    assert (decision.target, decision.numbers) == (LONG.position, {"unsettled": 2})


# --- whatever is seen -----------------------------------------------------------------------------------------------


@given(cases)
@settings(max_examples=200)
def test_the_intents_lead_to_the_target(case: Case) -> None:
    """But for what is less than the venue trades."""
    decision = case.decision
    moved = sum((i.amount if i.side == "buy" else -i.amount for i in decision.intents), ZERO)
    left = case.view.holding.position + moved - decision.target
    assert not left or case.rules.dust(left)
    assert [i.leg for i in decision.intents] in ([], ["exit"], ["entry"], ["exit", "entry"])
    assert bool(decision.intents) == (decision.action in ("enter", "exit", "reverse"))
    assert all(intent.bar == case.view.bar and intent.book == case.view.book for intent in decision.intents)


@given(cases)
@settings(max_examples=200)
def test_an_exit_closes_all_that_can_be_closed_and_no_more(case: Case) -> None:
    held = case.view.holding.position
    for intent in case.decision.intents:
        if intent.leg == "exit":
            assert intent.amount == case.rules.floor(abs(held)) > 0
            assert (intent.side == "sell") == (held > 0)
            assert intent.stop is None


@given(cases)
@settings(max_examples=200)
def test_a_reversal_turns_the_side(case: Case) -> None:
    if case.decision.action == "reverse":
        leave, enter = case.decision.intents
        assert leave.side == enter.side
        assert case.decision.target * case.view.holding.position < 0


@given(entries)
@settings(max_examples=200)
def test_an_entry_keeps_to_lots_limits_and_risk(case: Case) -> None:
    (intent,) = (intent for intent in case.decision.intents if intent.leg == "entry")
    view, rules = case.view, case.rules
    assert intent.stop is not None
    price = exact(view.price)
    equity = view.holding.equity(price)
    little = 1 + Decimal("1e-20")  # decimal division is good to 28 digits
    assert intent.amount % rules.lot == 0
    assert intent.amount >= max(rules.minimum_amount, rules.lot)
    assert intent.amount * price >= rules.minimum_notional
    assert intent.amount * price <= min(case.policy.leverage, rules.leverage) * equity * little
    assert intent.stop % rules.tick == 0
    assert 0 < intent.stop < price if intent.side == "buy" else intent.stop > price
    assert intent.amount * abs(price - intent.stop) <= case.policy.risk_per_trade * equity * little


@given(entries)
@settings(max_examples=200)
def test_no_entry_but_for_a_clean_run(case: Case) -> None:
    view = case.view
    assert view.mode == "run"
    assert not view.unsettled
    assert view.blocked is None
    assert view.problem is None
    assert not view.vix >= case.policy.vix_panic
    assert max(view.p_up, 1 - view.p_up) >= case.policy.minimum_confidence
    assert case.policy.short or case.decision.target > 0
    assert all(map(math.isfinite, (view.p_up, view.price, view.atr, view.atr_ratio, view.volatility_ratio, view.rule)))


@given(cases, st.sampled_from(["reduce", "halt", "flatten"]))
@settings(max_examples=200)
def test_no_switch_but_run_ever_adds_risk(case: Case, mode: Mode) -> None:
    view = msgspec.structs.replace(case.view, mode=mode)
    decision = decide(view, case.policy, case.rules)
    assert abs(decision.target) <= abs(view.holding.position)
    assert decision.target * view.holding.position >= 0
    assert all(intent.leg == "exit" for intent in decision.intents)
    assert mode != "halt" or not decision.intents
    assert mode != "flatten" or view.unsettled or view.blocked or decision.target == 0


@given(cases)
@settings(max_examples=200)
def test_a_recorded_decision_is_made_again_from_its_record(case: Case) -> None:
    """View, policy and rules, written down as a tick does and read back, NaN included."""
    view = msgspec.convert(plain(case.view), View)
    policy, rules = msgspec.convert(plain(case.policy), Policy), msgspec.convert(plain(case.rules), Rules)
    assert decide(view, policy, rules) == case.decision
    assert msgspec.convert(plain(case.decision), Decision) == case.decision


def test_nan_in_a_view_survives_the_record() -> None:
    view = msgspec.convert(plain(seen(vix=math.nan, p_up=math.nan)), View)
    assert math.isnan(view.vix) and math.isnan(view.p_up)


@given(cases)
@settings(max_examples=200)
def test_the_numbers_can_be_stored_and_printed(case: Case) -> None:
    msgspec.json.encode(case.decision)
    assert all(number is None or isinstance(number, float | str | int) for number in case.decision.numbers.values())


@pytest.mark.parametrize("unreadable", [{"mode": "stop"}, {}, {"mode": None}, [], "halt", 3])
@pytest.mark.parametrize("other", [None, {"mode": "run"}, {"mode": "reduce"}, {"mode": "halt"}, {"mode": "flatten"}])
def test_a_switch_that_cannot_be_read_halts_whatever_the_other_says(unreadable: object, other: object) -> None:
    assert effective([unreadable, other]) == effective([other, unreadable]) == "halt"
    assert effective([other, None]) == mode_of(other)
