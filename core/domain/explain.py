"""A decision in sentences that read well aloud."""

from __future__ import annotations

from decimal import Decimal

from core.domain.decide import Decision, Number, View

REASONS = {
    "switch_halt": "the switch says halt",
    "switch_flatten": "the switch says flatten",
    "switch_reduce": "the switch allows no new risk",
    "unsettled": "the outcome of an earlier order is not known yet",
    "signal_stands": "the signal that opened the position still stands",
    "long_signal": "the forecast is above the long threshold",
    "short_signal": "the forecast is below the short threshold",
    "long_confirmed_by_rule": "a weak long forecast is confirmed by the rule signal",
    "short_confirmed_by_rule": "a weak short forecast is confirmed by the rule signal",
    "long_faded": "the forecast no longer supports the long position",
    "short_faded": "the forecast no longer supports the short position",
    "stop_passed": "the market is beyond the stop that should have closed the position",
    "needs_a_person": "the book does not know how it stands, and a person must look",
    "no_signal": "the forecast lies between the thresholds",
    "short_not_allowed": "this book may not go short",
    "vix_panic": "the VIX says panic, so nothing new is opened",
    "held_long_enough": "it was held as long as it may be, and the forecast does not ask for it again",
    "edge_below_costs": "the move that the forecast promises does not pay for the costs",
    "confidence_low": "the forecast is not confident enough",
    "size_zero_lots": "the risk allowed buys less than the smallest order",
    "order_dropped": "an order was written down, and may not be sent any more",
    "order_unknown": "an order got no answer, and stays open until the venue tells",
    "order_refused": "the venue refused an order",
    "stop_impossible": "there is no sensible price for a protective stop",
    "margin_low": "the account's margin ratio is too low for new risk",
    "account_positions": "as many books hold a position as may at a time",
    "account_exposure": "the account's positions together may not be worth more",
    "account_correlated_exposure": "positions that move together may not be worth more",
    "account_no_equity": "the account's equity is not known, or gone",
    "size_regime": "the regime of the market or of the VIX allows nothing new",
    "size_no_equity": "there is no equity to size from",
    "size_capital_stage": "the capital stage allows nothing",
}
STEPS = {"volatility": "volatility", "atr": "range", "performance": "recent trades", "vix": "VIX", "spike": "VIX spike"}


def say(view: View, decision: Decision, symbol: str) -> str:
    """What was decided at this bar, for what reason, and with which numbers; one paragraph."""
    why = decision.note or worded(decision.reason)
    sentences = [f"{symbol}, bar of {view.bar:%Y-%m-%d %H:%M} UTC: {_headline(view, decision)}, because {why}."]
    if "th" in decision.numbers:
        sentences.append(_threshold(decision.numbers))
    if "entry" in decision.numbers:
        entry = str(decision.numbers["entry"])
        sentences.append(f"No new position is opened: {worded(entry)}.")
    if "amount" in decision.numbers:
        sentences.append(_sizing(decision.numbers))
    return " ".join(sentences)


def worded(code: str) -> str:
    """A reason in words; a code that is not known as it is."""
    kind, _, name = code.partition("_")
    if kind == "breaker":
        return f"the breaker {name.replace('_', ' ')} has tripped"
    if kind == "size" and code not in REASONS:
        return f"the limit {name.replace('_', ' ')} leaves nothing to be held"
    return REASONS.get(code, code)


def _headline(view: View, decision: Decision) -> str:
    held, wanted = _side(view.holding.position), _side(decision.target)
    match decision.action:
        case "enter":
            return f"go {wanted}"
        case "reverse":
            return f"close the {held} and go {wanted}"
        case "exit":
            return f"close the {held}"
        case "hold":
            return f"keep the {held}"
        case "stay_out":
            return "stay out"
        case "refuse":
            return f"take no new risk (position: {held})"
        case "halt":
            return f"do nothing (position: {held})"


def _side(position: Decimal) -> str:
    return f"{'long' if position > 0 else 'short'} {abs(position):f}" if position else "none"


def _threshold(numbers: dict[str, Number]) -> str:
    th = _number(numbers["th"])
    steps = [f"{_number(numbers[key]):+.3f} for {name}" for key, name in STEPS.items() if numbers.get(key)]
    base = f"base {_number(numbers['base']):.3f}" + (", " + ", ".join(steps) if steps else ", no adjustment")
    return f"p(up) is {_number(numbers['p_up']):.4f}; long above {0.5 + th:.3f}, short below {0.5 - th:.3f} ({base})."


def _sizing(numbers: dict[str, Number]) -> str:
    return (
        f"Size {numbers['amount']} at about {numbers['price']}, set by {str(numbers['size_limit']).replace('_', ' ')} "
        f"on an equity of {_number(numbers['equity']):,.2f}; the protective stop rests at {numbers['stop']}."
    )


def _number(value: Number) -> float:
    return float(value) if value is not None else float("nan")
