"""Real mistakes as well, that no history shows yet: what they break is held twice, or does not occur there."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import ACT, CLAIM, PAPER, PLAN, SETTLE, Mutant

UNSEEN: Final = (
    Mutant(
        "late entry sent",
        "A decision made in time is carried out much too late, after a crash.",
        PLAN,
        'if intent.leg == "entry" and not scene.fresh:',
        'if intent.leg == "stop" and not scene.fresh:',
    ),
    Mutant(
        "entry judged before its exit",
        "The stop has closed a part, so the exit is dropped, and the entry goes. One in 30,000 histories shows it.",
        PLAN,
        "known = replace(state, orders=tuple(chain.from_iterable(revised)))",
        "known = state",
    ),
    Mutant(
        "never placed after one look",
        "One look without a trace is taken for proof, though listings lag.",
        SETTLE,
        "if order.looks < traits.looks or",
        "if order.looks < 1 or",
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
        "    answers = exchange.submit(book, orders)\n",
        "    now = standing.run.world.clock.now()\n"
        "    answers = exchange.submit(book, [msgspec.structs.replace(order, sent=now) for order in orders])\n",
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
        "paper account not conditional",
        "Two invocations write the paper account, and the later one forgets what the other did.",
        PAPER,
        "self._state.commit([Write(_key(book), document, version)])",
        "self._state.commit([Write(_key(book), document)])",
    ),
    # The next three: no audit of the simulation asks what the last reading showed. tests/races and tests/flows do.
    Mutant(
        "no last reading",
        "What was written down as sent goes, though the switch was flipped since.",
        ACT,
        "dropped = {order.intent.id for order in orders if not permits(mode, order.intent.leg)}",
        "dropped: set[str] = set()",
    ),
    Mutant(
        "sent after the lease",
        "Who slept through its lease sends all the same.",
        ACT,
        "    if standing.run.time_left() <= 0:\n",
        "    if standing.run.time_left() <= -1e9:\n",
    ),
    Mutant(
        "stop taken back while halted",
        "A position loses its stop for an exit that may not go any more.",
        ACT,
        'bare = standing.mode == "halt" and standing.state.holding.position',
        "bare = False",
    ),
)
