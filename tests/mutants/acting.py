"""Breakages of what is written down and sent."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import ACT, BARS, CLAIM, DECIDE, ORDERS, OUTBOX, PLAN, SETTLE, SWITCH, TICK, Mutant

ACTING: Final = (
    # -- writing down
    Mutant(
        "no write-ahead",
        "An order is sent without having been written down: a crash forgets it.",
        ACT,
        "return standing.written(state, step, standing.record), step\n",
        "return replace(standing, state=state), step\n",
    ),
    Mutant(
        "sent before commit",
        "The commit follows the order in place of preceding it.",
        ACT,
        "            return standing.written(state, step, standing.record), step\n",
        "            standing.run.world.exchange.submit(standing.book.id, step.orders)\n"
        '            return standing.written(state, step, standing.record), Step(act="look")\n',
    ),
    Mutant(
        "refused commit passed over",
        "The store refuses the commit, and the order is sent all the same.",
        ACT,
        "            if not attempts_left or not standing.run.still_ours():\n                raise\n",
        "            return replace(standing, state=state), step\n",
    ),
    Mutant(
        "sent orders forgotten",
        "Orders that were about to be sent when the process died are dropped when the state is read.",
        CLAIM,
        "    return msgspec.convert(data, BookState) if data else opening(book)\n",
        "    state = msgspec.convert(data, BookState) if data else opening(book)\n"
        '    kept = tuple(order for order in state.orders if order.status != "sent")\n'
        "    return msgspec.structs.replace(state, orders=kept)\n",
    ),
    Mutant(
        "sent orders begun anew",
        "After a crash the orders that were about to be sent are taken not to have been: at least once, not exactly.",
        CLAIM,
        "    return msgspec.convert(data, BookState) if data else opening(book)\n",
        "    state = msgspec.convert(data, BookState) if data else opening(book)\n"
        "    orders = tuple(\n"
        '        msgspec.structs.replace(order, status="planned") if order.status == "sent" else order\n'
        "        for order in state.orders\n"
        "    )\n"
        "    return msgspec.structs.replace(state, orders=orders)\n",
    ),
    Mutant(
        "no fencing",
        "A tick writes without asking whether the book is still its own.",
        CLAIM,
        "Write(self.key, document, self.held)",
        "Write(self.key, document)",
    ),
    Mutant(
        "claim is not conditional",
        "Two regions that read the same document may both take the book, the later one with what it was before.",
        CLAIM,
        "return Write(book_key(book), document, before.version)",
        "return Write(book_key(book), document)",
    ),
    Mutant(
        "done before it is",
        "The record says done before its orders are sent: nobody goes on after a crash.",
        TICK,
        '"phase": "done" if step.act == "none" else "decided",',
        '"phase": "done",',
    ),
    Mutant(
        "alerts outside the commit",
        "What a person must hear is written after the commit that it tells of, and lost by a crash between.",
        ACT,
        "[Write(key, record, None) if new else Write(key, record), *writes, *told, *halted],\n",
        "[Write(key, record, None) if new else Write(key, record), *writes, *halted],\n",
    ),
    Mutant(
        "fills not told",
        "A fill is booked without a word to anybody.",
        OUTBOX,
        "for trade in news.trades]\n",
        'for trade in news.trades if trade.cause != "stop"]\n',
    ),
    # -- sending
    Mutant(
        "resend on unknown",
        "A time-out is taken for a failure, and the order sent once more at once.",
        ACT,
        "    answers = exchange.submit(book, orders)\n",
        "    answers = exchange.submit(book, orders)\n"
        '    if any(answer.outcome == "unknown" for answer in answers):\n'
        "        answers = exchange.submit(book, orders)\n",
    ),
    Mutant(
        "time-out taken for refusal",
        "An order that was not answered counts as refused.",
        PLAN,
        'return move(order, "unknown", detail=answer.detail)',
        'return move(order, "refused", detail=answer.detail)',
    ),
    Mutant(
        "entry tried again on any venue",
        "An entry that seems never to have arrived is sent again where the venue may take it twice.",
        PLAN,
        'if intent.leg == "entry" and not scene.traits.lasting_ids:',
        'if intent.leg == "entry" and scene.traits.window_s < 0:',
    ),
    Mutant(
        "retry under a new id",
        "What is sent once more gets an id of its own, so the venue cannot tell that it has it.",
        PLAN,
        '(_retry(order),) if scene.traits.identity == "id" else (order, _retry(order, other=True))',
        "(order, _retry(order, other=True))",
        venue="A: takes an id once",
    ),
    Mutant(
        "each loss tried again for ever",
        "Every lost attempt of a leg is tried again, also those that have been already.",
        PLAN,
        "return intent.attempt == _attempts(state, intent.leg, intent.bar) - 1 and not _pointless(order, state, scene)",
        "return not _pointless(order, state, scene)",
    ),
    Mutant(
        "ids without the leg",
        "Exit and entry of one bar share an id: the venue takes the second for the first.",
        ORDERS,
        'name = f"{book}|{bar.isoformat()}|{leg}|{attempt}"',
        'name = f"{book}|{bar.isoformat()}|{attempt}"',
    ),
    Mutant(
        "ids without the bar",
        "The entries of two bars share an id.",
        ORDERS,
        'name = f"{book}|{bar.isoformat()}|{leg}|{attempt}"',
        'name = f"{book}|{leg}|{attempt}"',
    ),
    Mutant(
        "ids without the attempt",
        "The second order of a leg has the id of the first, which the venue has had already.",
        ORDERS,
        'name = f"{book}|{bar.isoformat()}|{leg}|{attempt}"',
        'name = f"{book}|{bar.isoformat()}|{leg}"',
    ),
    Mutant(
        "all sent at once",
        "Exit and entry go out together: the entry does not wait for what becomes of the exit.",
        PLAN,
        'return Step(act="send", orders=(first,))\n',
        'return Step(act="send", orders=tuple(planned))\n',
    ),
    Mutant(
        "entry before exit",
        "A reversal opens before it closes.",
        PLAN,
        '("exit", "entry", "stop").index(order.intent.leg)',
        '("entry", "exit", "stop").index(order.intent.leg)',
    ),
    Mutant(
        "entry though the exit failed",
        "An entry is sent on top of a position that the exit before it did not close.",
        PLAN,
        'return "" if leaving or not floor(abs(held)) else "the exit before it did not close the position"',
        'return ""',
    ),
    Mutant(
        "orders of an earlier bar",
        "What an earlier bar had planned is sent when its time is over.",
        PLAN,
        "if intent.bar != scene.bar:\n        return",
        "if intent.bar > scene.bar:\n        return",
    ),
    # -- switches
    Mutant(
        "switch not in the commit",
        "A switch that moves between reading and writing is not noticed.",
        ACT,
        "{name: found for name, found in watch.items() if name not in {write.key for write in halted}},\n",
        "None,\n",
    ),
    Mutant(
        "unknown switch means run",
        "A switch document that cannot be understood is passed over.",
        SWITCH,
        "    documents = tuple(switches)\n",
        "    documents = tuple(document for document in switches if not _unreadable(document))\n",
    ),
    Mutant(
        "milder switch counts",
        "Of two switches the milder one counts.",
        SWITCH,
        'return max(modes, key=MODES.index, default="run")',
        'return min(modes, key=MODES.index, default="run")',
    ),
    Mutant(
        "reduce lets entries go",
        "A planned entry is sent though the switch has gone to reduce since.",
        SWITCH,
        'return mode == "run" if leg == "entry" else mode != "halt"',
        'return mode in ("run", "reduce") if leg == "entry" else mode != "halt"',
    ),
    Mutant(
        "halt blocks entries only",
        "While the switch says halt, exits and stops still go.",
        SWITCH,
        'return mode == "run" if leg == "entry" else mode != "halt"',
        'return mode == "run" or leg != "entry"',
    ),
    Mutant(
        "flatten does not exit",
        "The operator flattens, and nothing is closed.",
        DECIDE,
        "    if not _held(view, rules):\n        return Decision",
        "    if view.mode:\n        return Decision",
    ),
    # -- input
    Mutant(
        "insane bars traded on",
        "Bars that no market prints are decided on.",
        BARS,
        "    if len(bad):\n",
        "    if len(bad) == len(tail):\n",
    ),
    Mutant(
        "late tick takes new risk",
        "A tick that comes far too late decides on its old bar as if it were young.",
        ACT,
        "return bool(limit) and run.age() > limit",
        "return bool(limit) and run.age() < 0",
    ),
    Mutant(
        "barred venue not noticed",
        "New risk is taken while the venue takes none.",
        TICK,
        'return ("venue_barred", sight.barred) if sight.barred else None',
        "return None",
    ),
    # -- stops
    Mutant(
        "stop not removed before the exit",
        "The exit is sent while the stop that it would meet still rests.",
        PLAN,
        'if resting and first.intent.leg != "stop":',
        'if resting and first.intent.leg == "stop":',
    ),
    Mutant(
        "cancelled when asked to be",
        "An order that the venue was asked to take back counts as taken back.",
        PLAN,
        "            replace(order, recalled=now) if not order.ended and order.intent.id in ids else order\n",
        '            move(order, "cancelled") if not order.ended and order.intent.id in ids else order\n',
    ),
    Mutant(
        "stop not put back",
        "The stop was taken back for an exit; that failed, or filled in part, and what is left stays without.",
        PLAN,
        "    if wanted is None:\n",
        '    if wanted is None or _attempts(state, "exit", scene.bar) > _attempts(state, "entry", scene.bar):\n',
    ),
    Mutant(
        "entry without its stop",
        "A filled entry does not say where its stop belongs: the position stays without.",
        SETTLE,
        'stop=order.intent.stop if order and cause == "entry" else None,',
        "stop=None,",
    ),
    Mutant(
        "stop given up when refused",
        "Where the venue takes no stop the position stays without, in place of being closed.",
        PLAN,
        '    name = intent_id(wanted.book, wanted.bar, "exit", attempt)\n',
        "    return None\n",
    ),
    Mutant(
        "dust treated as a position",
        "What is too small to be traded is held for ever.",
        DECIDE,
        "return ZERO if rules.dust(position) else position",
        "return position",
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
)
