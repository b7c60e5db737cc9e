"""Breakages of what is taken in, and of the paper exchange."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import FILLS, PAPER, PLAN, SETTLE, STATE, SWITCHES, Mutant

SETTLING: Final = (
    # -- settling
    Mutant(
        "never placed at the first look",
        "An order that the first look does not show is given up, while its request may still arrive.",
        SETTLE,
        "    if order.sent is not None and now <= order.sent + timedelta(seconds=traits.window_s):\n"
        "        return order\n"
        "    order = _looked(order, now)\n",
        "    order = replace(_looked(order, now), looks=traits.looks)\n",
    ),
    Mutant(
        "not listed means cancelled",
        "An order that is not among those shown is taken to be over.",
        SETTLE,
        "        return _looked(_taken(order), now)\n    return _as_listed",
        '        return move(order, "cancelled")\n    return _as_listed',
    ),
    Mutant(
        "any strange order adopted",
        "An order that came after ours is taken for ours, whatever it is.",
        SETTLE,
        "if len(strange) != 1 or not _equal(order, strange[0], sight):",
        "if not strange:",
    ),
    Mutant(
        "earlier orders adopted",
        "What stood at the venue before an order was sent may be taken for it.",
        SETTLE,
        "if name not in order.before.ids and name not in taken]",
        "if name not in taken]",
    ),
    Mutant(
        "fills counted twice",
        "Executions that were booked before are booked once more.",
        SETTLE,
        "if execution.id in state.booked or execution.amount <= 0",
        "if execution.amount <= 0",
    ),
    Mutant(
        "booked ids forgotten",
        "Ids of booked executions are dropped while the venue still lists them.",
        SETTLE,
        "state.booked[-max(BOOKED_KEPT, len(sight.executions)) :]",
        "state.booked[-8:]",
    ),
    Mutant(
        "foreign executions booked",
        "Executions of orders that are not ours are booked as ours.",
        SETTLE,
        "or (order is None and execution.cause is None):",
        "or execution.price <= 0:",
    ),
    Mutant(
        "executed believed",
        "An order that says it is over is let go before its executions are told.",
        SETTLE,
        "if executed is not None and executed > order.filled:",
        "if executed is not None and executed > order.intent.amount:",
    ),
    Mutant(
        "late executions dropped",
        "What is executed of an order that is over is not booked.",
        SETTLE,
        "order = next((o for o in state.orders if o.order_id",
        "order = next((o for o in state.open_orders if o.order_id",
    ),
    Mutant(
        "ended orders forgotten",
        "Orders that have ended are dropped at once.",
        STATE,
        "    if len(orders) <= ENDED_KEPT:\n        return tuple(orders)\n",
        "    return tuple(order for order in orders if not order.ended)\n",
    ),
    Mutant(
        "partly filled is filled",
        "The first execution of an order is taken for the whole of it.",
        SETTLE,
        "if order.filled >= order.intent.amount:",
        "if order.filled:",
    ),
    Mutant(
        "position mismatch adopted",
        "Where the venue's position is another one, it is taken over without a word.",
        SETTLE,
        "    return replace(state, mismatches=state.mismatches + 1, looked=now)\n",
        "    holding = replace(state.holding, position=sight.position)\n"
        "    return replace(state, mismatches=0, looked=None, holding=holding)\n",
    ),
    Mutant(
        "trouble does not halt",
        "A book that needs a person does not set its switch, and resumes itself at the next tick.",
        SWITCHES,
        'if trouble and scope == "book":',
        'if trouble and scope == "nobody":',
    ),
    Mutant(
        "book in trouble trades on",
        "What a person must look at does not keep the book from going on.",
        PLAN,
        "    if state.trouble:\n        return state, Step()\n",
        "",
    ),
    Mutant(
        "fees not booked",
        "Fees are not taken from the cash.",
        SETTLE,
        "fee=execution.fee,",
        "fee=ZERO,",
    ),
    Mutant(
        "interest not booked",
        "Margin interest is not taken from the cash.",
        SETTLE,
        "interest=execution.interest,",
        "interest=ZERO,",
    ),
    Mutant(
        "filled written over",
        "Of an order that executes in slices only the last one counts.",
        SETTLE,
        "filled=order.filled + execution.amount",
        "filled=execution.amount",
    ),
    Mutant(
        "average price of the last slice",
        "A position that was entered in slices is booked at the price of the last.",
        FILLS,
        "price = (abs(before) * holding.average_price + fill.amount * fill.price) / abs(after)",
        "price = fill.price",
    ),
    Mutant(
        "profit of shorts turned round",
        "What a short makes is booked as a loss.",
        FILLS,
        "profit = closed * (fill.price - holding.average_price) * (1 if before > 0 else -1)",
        "profit = closed * (fill.price - holding.average_price)",
    ),
    Mutant(
        "first mismatch halts",
        "A position that is shown a moment late is taken for one that needs a person.",
        SETTLE,
        "if state.mismatches >= LOOKS // 2:",
        "if state.mismatches:",
    ),
    # -- the paper exchange
    Mutant(
        "paper fills not remembered",
        "Fills are told before they are remembered, and come out otherwise when bars are missing the next time.",
        PAPER,
        "if doubted or account.fills != known.fills or _far(known, account):",
        "if doubted or _far(known, account):",
    ),
    Mutant(
        "position mismatch passed over",
        "The venue's position is not compared with the book's.",
        SETTLE,
        "    if expected(state) == sight.position:\n        return",
        "    if not state.trouble:\n        return",
    ),
)
