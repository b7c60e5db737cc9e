"""Act: what has to be done at the venue next, one step at a time, until the book stands as decided. Pure.

Where a market order executes at once, the order of things is: what is not clear is looked for; a market order that
waits too long is taken back; the stop is taken back before the exit that it would stand in the way of; the exit is sent
before the entry; and a position that is left has its stop resting, the whole of it, and no other. Where orders wait for
the next bar and stops come with their entry (the paper exchange), all that was decided is sent in one go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from core.domain.orders import Answer, Before, Intent, Leg, Order, Side, Sight, Traits, intent_id, move
from core.domain.state import Book, BookState
from core.domain.switch import Mode, permits

ATTEMPTS = 3  # orders that one leg of one bar may take; each only once the one before it is known to have failed
UNFILLED = timedelta(seconds=20)  # a market order that still waits after this is taken back
PAUSE_S = 2.5  # between two looks at the same thing


class Step(Struct, frozen=True, kw_only=True):
    """`orders`: those to be sent or cancelled; `wait_s`: for how long to wait before a look."""

    act: Literal["none", "look", "cancel", "send"] = "none"
    orders: tuple[Order, ...] = ()
    wait_s: float = 0.0


class Scene(Struct, frozen=True, kw_only=True):
    """What a plan is made for. `bar`: the one of this tick; `now`: the real time; `fresh`: whether the bar is young
    enough for an entry."""

    book: Book
    traits: Traits
    mode: Mode
    bar: datetime
    now: datetime
    fresh: bool = True


def plan(state: BookState, scene: Scene) -> tuple[BookState, Step]:
    """The state with what has become pointless dropped and what is missing planned, and the step to take next."""
    if state.trouble:
        return state, Step()
    state = _revised(state, scene)
    planned = tuple(order for order in state.orders if order.status == "planned")
    if not scene.traits.instant:
        return state, Step(act="send", orders=planned) if planned else Step()
    if state.unsettled:
        return state, _look_for(state.unsettled, scene)
    if state.working:
        return state, _overdue(state, scene.now)
    if state.waiting:
        return state, Step(act="look", wait_s=PAUSE_S)
    if planned:
        return state, _send(planned, state)
    return _protected(state, scene)


def _revised(state: BookState, scene: Scene) -> BookState:
    """Planned orders that may not go any more have never been placed; what was lost on the way is planned again. An
    entry is judged by what has become of its exit just now."""
    revised: list[tuple[Order, ...]] = [(order,) for order in state.orders]
    for index in sorted(range(len(revised)), key=lambda each: state.orders[each].intent.leg == "entry"):
        order = state.orders[index]
        if order.status not in ("planned", "never_placed"):
            continue
        known = replace(state, orders=tuple(chain.from_iterable(revised)))
        why = _pointless(order, known, scene) if order.status == "planned" else ""
        if why:
            revised[index] = (move(order, "never_placed", detail=why),)
        elif _again(order, known, scene):
            revised[index] = (_retry(order),) if scene.traits.identity == "id" else (order, _retry(order, other=True))
    return replace(state, orders=tuple(chain.from_iterable(revised)))


def _pointless(order: Order, state: BookState, scene: Scene) -> str:
    """Why a planned order shall not be sent; "" if it shall."""
    intent, held, floor = order.intent, state.holding.position, scene.book.rules.floor
    if intent.bar != scene.bar:
        return "its bar is over"
    if not permits(scene.mode, intent.leg):
        return f"the switch says {scene.mode}"
    if intent.leg == "entry" and not scene.fresh:
        return "it is too late for an entry"
    if not scene.traits.instant:
        return ""
    if intent.leg != "entry":
        closes = held if intent.side == "sell" else -held
        return "" if closes > 0 and intent.amount == floor(closes) else "the position has changed since"
    leaving = any(each.intent.leg == "exit" and (not each.ended or _again(each, state, scene)) for each in state.orders)
    return "" if leaving or not floor(abs(held)) else "the exit before it did not close the position"


def _again(order: Order, state: BookState, scene: Scene) -> bool:
    """Whether an order of this bar that was sent and never arrived is to be sent once more."""
    intent = order.intent
    if order.status != "never_placed" or not order.looks or intent.bar != scene.bar or intent.attempt + 1 >= ATTEMPTS:
        return False
    if intent.leg == "entry" and not scene.traits.lasting_ids:
        return False  # a venue that may take an order twice is asked to close twice, never to open twice
    return intent.attempt == _attempts(state, intent.leg, intent.bar) - 1 and not _pointless(order, state, scene)


def _attempts(state: BookState, leg: Leg, bar: datetime) -> int:
    made = [each.intent.attempt for each in state.orders if (each.intent.leg, each.intent.bar) == (leg, bar)]
    return max(made, default=-1) + 1


def _retry(order: Order, other: bool = False) -> Order:
    """The order once more. Where the venue takes an id only once it keeps its id, so that even a wrong proof of its
    absence doubles nothing."""
    intent = replace(order.intent, attempt=order.intent.attempt + 1)
    if other:
        intent = replace(intent, id=intent_id(intent.book, intent.bar, intent.leg, intent.attempt))
    return Order(intent=intent)


def _look_for(unsettled: Sequence[Order], scene: Scene) -> Step:
    """Look once the last of the requests can no longer arrive."""
    sent = max((order.sent for order in unsettled if order.sent is not None), default=scene.now)
    left = (sent - scene.now).total_seconds() + scene.traits.window_s
    return Step(act="look", wait_s=max(left + 0.1, 0.0) if left >= 0 else PAUSE_S)


def _overdue(state: BookState, now: datetime) -> Step:
    """Market orders that the venue has and has not executed whole."""
    waiting = tuple(order for order in state.working if order.order_id)
    overdue = tuple(order for order in waiting if order.sent is not None and now > order.sent + UNFILLED)
    if overdue:
        return _take_back(overdue)
    return Step(act="look", wait_s=PAUSE_S)


def _send(planned: Sequence[Order], state: BookState) -> Step:
    """One order: the stop that the exit would meet is taken back first, and an exit goes before an entry."""
    first = min(planned, key=lambda order: ("exit", "entry", "stop").index(order.intent.leg))
    resting = _resting(state)
    if resting and first.intent.leg != "stop":
        return _take_back(resting)
    return Step(act="send", orders=(first,))


def _take_back(orders: tuple[Order, ...]) -> Step:
    """At once; and again after a pause, while the venue still lists them."""
    again = any(order.recalled is not None for order in orders)
    return Step(act="cancel", orders=orders, wait_s=PAUSE_S if again else 0.0)


def _resting(state: BookState) -> tuple[Order, ...]:
    return tuple(o for o in state.open_orders if o.intent.leg == "stop" and o.status != "planned")


def _protected(state: BookState, scene: Scene) -> tuple[BookState, Step]:
    """A position has its stop at the venue, of its whole size, and no other; without a position there is none."""
    if scene.traits.stops != "resting":
        return state, Step()
    wanted, resting = _wanted(state, scene.book, scene.bar), _resting(state)
    if wanted is not None and len(resting) == 1 and _protects(resting[0], wanted):
        return state, Step()
    if wanted is None:
        return state, _take_back(resting) if resting else Step()
    order = _next(state, wanted) if permits(scene.mode, "stop") else None
    if order is None:
        return state, Step()  # a stop that does not fit is better than none
    if resting:
        return state, _take_back(resting)
    return replace(state, orders=(*state.orders, order)), Step(act="send", orders=(order,))


def _wanted(state: BookState, book: Book, bar: datetime) -> Intent | None:
    held = state.holding
    amount = book.rules.floor(abs(held.position))
    if not amount or held.stop is None:
        return None
    side: Side = "sell" if held.position > 0 else "buy"
    name = intent_id(book.id, bar, "stop")
    return Intent(id=name, book=book.id, bar=bar, leg="stop", side=side, amount=amount, stop=held.stop)


def _protects(order: Order, wanted: Intent) -> bool:
    intent = order.intent
    left = intent.amount - order.filled
    return (intent.side, left, intent.stop) == (wanted.side, wanted.amount, wanted.stop)


def _next(state: BookState, wanted: Intent) -> Order | None:
    """The stop to send; where the venue takes none, the exit: no position stays without either."""
    made = [order for order in state.orders if (order.intent.leg, order.intent.bar) == ("stop", wanted.bar)]
    if sum(order.status in ("refused", "never_placed") for order in made) < ATTEMPTS - 1:
        attempt = _attempts(state, "stop", wanted.bar)
        return Order(intent=replace(wanted, id=intent_id(wanted.book, wanted.bar, "stop", attempt), attempt=attempt))
    exits = [order for order in state.orders if (order.intent.leg, order.intent.bar) == ("exit", wanted.bar)]
    attempt = _attempts(state, "exit", wanted.bar)
    if sum(order.status == "refused" for order in exits) >= ATTEMPTS:  # what only got lost may be tried again
        return None
    name = intent_id(wanted.book, wanted.bar, "exit", attempt)
    return Order(intent=replace(wanted, id=name, leg="exit", attempt=attempt, stop=None))


def unprotected(state: BookState, book: Book, traits: Traits) -> bool:
    """Whether a position stands without the stop that should rest at the venue."""
    if traits.stops != "resting" or state.bar is None:
        return False
    wanted = _wanted(state, book, state.bar)
    return wanted is not None and not any(_protects(order, wanted) for order in _resting(state))


# -- what is written down before and after


def sent(state: BookState, step: Step, sight: Sight, traits: Traits, now: datetime) -> BookState:
    """The state as it must be written down before `step` is carried out at the real time `now`."""
    ids = {order.intent.id for order in step.orders}
    if step.act == "cancel":
        recalled = tuple(
            replace(order, recalled=now) if not order.ended and order.intent.id in ids else order
            for order in state.orders
        )
        return replace(state, orders=recalled)
    if step.act != "send":
        return state
    before = Before() if traits.identity in ("id", "tag") else Before(ids=sight.ids, reserved=sight.reserved)
    orders = tuple(
        move(order, "sent", sent=now, before=before) if order.status == "planned" and order.intent.id in ids else order
        for order in state.orders
    )
    return replace(state, orders=orders)


def answered(state: BookState, answers: Sequence[Answer]) -> BookState:
    """The state with what the venue said at once. A venue that took an order and did not name it says it later."""
    said = {answer.intent: answer for answer in answers}
    orders = tuple(
        _answered(order, said[order.intent.id]) if order.status == "sent" and order.intent.id in said else order
        for order in state.orders
    )
    return replace(state, orders=orders)


def _answered(order: Order, answer: Answer) -> Order:
    if answer.outcome == "refused":
        return move(order, "refused", detail=answer.detail)
    if answer.outcome == "placed" and answer.order_id:
        return move(order, "acknowledged", order_id=answer.order_id)
    return move(order, "unknown", detail=answer.detail)


def withheld(state: BookState, ids: Collection[str], why: str) -> BookState:
    """The state with orders that were written down as sent, and were not: the switch was flipped just before."""
    orders = tuple(
        move(order, "never_placed", detail=why) if order.status == "sent" and order.intent.id in ids else order
        for order in state.orders
    )
    return replace(state, orders=orders)
