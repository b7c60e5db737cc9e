"""Real mistakes as well, that no history shows yet: what they break is held twice, or does not occur there."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import ACT, CLAIM, DECIDE, PAPER, PLAN, SETTLE, Mutant

UNSEEN: Final = (
    Mutant(
        "late entry sent",
        "A decision made in time is carried out much too late, after a crash.",
        PLAN,
        'if intent.leg == "entry" and not scene.fresh:',
        'if intent.leg == "stop" and not scene.fresh:',
    ),
    Mutant(
        "never placed after one look",
        "One look without a trace is taken for proof, though listings lag.",
        SETTLE,
        "if order.looks < traits.looks or",
        "if order.looks < 1 or",
    ),
    Mutant(
        "dust treated as a position",
        "What is too small to be traded is held for ever.",
        DECIDE,
        "return ZERO if rules.dust(position) else position",
        "return position",
    ),
    Mutant(
        "stop of the wrong size",
        "After a partial fill, or an exit in parts, the stop is left as it was.",
        PLAN,
        "return (intent.side, left, intent.stop) == (wanted.side, wanted.amount, wanted.stop)",
        "return (intent.side, bool(left), intent.stop) == (wanted.side, True, wanted.stop)",
    ),
    Mutant(
        "stale signature",
        "An order is not signed with the time of its commit but with a later one: it may arrive after we have looked.",
        ACT,
        "    answers = exchange.submit(book, step.orders)\n",
        "    now = standing.run.world.clock.now()\n"
        "    answers = exchange.submit(book, [msgspec.structs.replace(order, sent=now) for order in step.orders])\n",
    ),
    Mutant(
        "second stop beside the first",
        "A stop of another size is sent before the old one is taken back.",
        PLAN,
        "    if resting:\n        return state, _take_back(resting)\n    return replace",
        "    return replace",
    ),
    Mutant(
        "stop left behind",
        "A stop goes on resting when its position is closed.",
        PLAN,
        "return state, _take_back(resting) if resting else Step()",
        "return state, Step()",
    ),
    Mutant(
        "lease not looked at",
        "A book that another invocation holds is taken from it at once.",
        CLAIM,
        "if until is not None and until > now:",
        "if until is not None and until > now and not now:",
    ),
    Mutant(
        "decided bars decided again",
        "A late call for an earlier bar decides on it, after a newer one.",
        CLAIM,
        "if last is not None and (last > bar or (last == bar and not record)):",
        "if last is not None and last == bar and not record:",
    ),
    Mutant(
        "stop on the wrong side",
        "The stop of a short sells.",
        PLAN,
        'side: Side = "sell" if held.position > 0 else "buy"',
        'side: Side = "sell"',
    ),
    Mutant(
        "paper account not conditional",
        "Two invocations write the paper account, and the later one forgets what the other did.",
        PAPER,
        "self._state.commit([Write(_key(book), document, version)])",
        "self._state.commit([Write(_key(book), document)])",
    ),
    Mutant(
        "position mismatch passed over",
        "The venue's position is not compared with the book's.",
        SETTLE,
        "    if expected(state) == sight.position:\n        return",
        "    if not state.trouble:\n        return",
    ),
)
