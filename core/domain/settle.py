"""Settle: what became of the orders that are still open? The exchange is right about holdings. Pure.

An order that was sent and not answered is found again by the id or the text of ours that the venue keeps; where it
keeps neither, by elimination: an order that the venue did not show before ours was sent, and that equals ours. One that
cannot be found once its request would be refused for its age, in as many looks as the venue's traits ask for, never
arrived. Executions are taken in once each, by id; an order's own `executed` is never believed, only waited for. What
does not come to agree within a bounded number of looks is trouble: the book halts, and a person must look.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from core.domain.bars import epoch, moment, seconds
from core.domain.orders import NOTHING, ZERO, Execution, Fill, Holding, Listed, Order, Sight, Status, Traits, move
from core.domain.state import Book, BookState, Trade, book_fill, pruned

LOOKS = 6  # looks at which the venue may contradict itself, or us, before a person must look
APART = timedelta(seconds=2)  # two looks closer together than this are one: a listing lags as a whole
SKEW = timedelta(minutes=1)  # by which the venue's clock may be behind ours
BOOKED_KEPT = 256


class News(Struct, frozen=True, kw_only=True):
    """What settling brought: fills not booked before, the trades that they closed, orders that never arrived, and what
    a person must look at ("": nothing)."""

    fills: tuple[Fill, ...] = ()
    trades: tuple[Trade, ...] = ()
    lost: tuple[Order, ...] = ()
    trouble: str = ""


def settle(state: BookState, sight: Sight, book: Book, traits: Traits, now: datetime) -> tuple[BookState, News]:
    """The state once the venue's news is taken in. `now` is the real time of the look."""
    if state.outside is None:
        state = replace(state, outside=sight.position if traits.spot else ZERO)
    before = {order.intent.id for order in state.orders if not order.ended}
    found = _found(state.orders, sight, traits)
    state, fills, trades = _booked(replace(state, orders=found), sight, book)
    orders = tuple(_light(_now(order, state, sight, traits, now)) for order in state.orders)
    state = _reconciled(replace(state, orders=orders), sight, now)
    lost = tuple(order for order in orders if order.status == "never_placed" and order.intent.id in before)
    trouble = state.trouble or _trouble(state, sight)
    state = replace(state, orders=pruned(orders), trouble=trouble)
    return state, News(fills=tuple(fills), trades=tuple(trades), lost=lost, trouble=trouble)


def resumed(state: BookState, sight: Sight, traits: Traits) -> BookState:
    """The state after a person has looked at its trouble and said go on: everything is counted anew.

    Where the position agrees, or the venue holds nothing (then the book takes its word for it, at the last mark),
    orders that it does not list as open are taken to be over. What is still told of orders before a position that
    was given up is none of the book's business.
    """
    state = replace(state, trouble="", mismatches=0, looked=None, orders=_found(state.orders, sight, traits))
    orders = tuple(replace(order, looks=0, looked=None) for order in state.orders)
    flat = sight.position == (state.outside or ZERO) != expected(state)
    if not flat and sight.position != expected(state):
        return replace(state, orders=orders)
    still = {listed.order_id for listed in sight.orders if listed.status == "open"}
    orders = tuple(order if order.order_id in still else _given_up(order, flat) for order in orders)
    if not flat:
        return replace(state, orders=orders)
    told = tuple(execution.id for execution in sight.executions if execution.id not in state.booked)
    return replace(state, holding=Holding(cash=state.equity), booked=(*state.booked, *told), orders=orders)


def _given_up(order: Order, flat: bool) -> Order:
    order = replace(order, order_id="") if flat else order
    if order.ended or order.status == "planned":
        return order
    end: Status = "cancelled" if order.status in ("acknowledged", "partly_filled") else "never_placed"
    return move(order, end, detail="given up when a person resumed the book")


# -- which of the venue's orders is which of ours


def _found(orders: Sequence[Order], sight: Sight, traits: Traits) -> tuple[Order, ...]:
    """The orders, each with the venue's name for it as far as that is known now."""
    tags = {listed.tag: listed.order_id for listed in sight.orders if listed.tag}
    named = tuple(
        replace(order, order_id=tags[order.intent.id]) if _nameless(order) and order.intent.id in tags else order
        for order in orders
    )
    if traits.identity in ("id", "tag"):
        return named
    taken = {order.order_id for order in named}
    return tuple(_eliminated(order, sight, taken) if _nameless(order) else order for order in named)


def _nameless(order: Order) -> bool:
    return order.status in ("sent", "unknown") and not order.order_id


def _eliminated(order: Order, sight: Sight, taken: set[str]) -> Order:
    """`order` with the one id that came after it was written down, if there is exactly one and it equals the order."""
    strange = _strange(order, sight, taken)
    if len(strange) != 1 or not _equal(order, strange[0], sight):
        return order
    taken.add(strange[0])
    return replace(order, order_id=strange[0])


def _strange(order: Order, sight: Sight, taken: set[str]) -> list[str]:
    """Ids that the venue shows, and did neither show before `order` was sent nor are another order of ours.

    A later look may reach further back than the one before did: executions from before are nobody's news.
    """
    since = order.sent - SKEW if order.sent is not None else None
    names = [listed.order_id for listed in sight.orders]
    names += [done.order_id for done in sight.executions if since is None or done.at >= since]
    return [name for name in dict.fromkeys(names) if name not in order.before.ids and name not in taken]


def _equal(order: Order, name: str, sight: Sight) -> bool:
    intent = order.intent
    for listed in sight.orders:
        if listed.order_id == name:
            kind = "stop" if intent.leg == "stop" else "market"
            return (listed.side, listed.amount, listed.kind) == (intent.side, intent.amount, kind) and (
                kind == "market" or listed.stop == intent.stop
            )
    done = [execution for execution in sight.executions if execution.order_id == name]
    return all(each.side == intent.side for each in done) and sum(each.amount for each in done) == intent.amount


# -- what was executed


def _booked(state: BookState, sight: Sight, book: Book) -> tuple[BookState, list[Fill], list[Trade]]:
    fills: list[Fill] = []
    trades: list[Trade] = []
    for execution in sight.executions:
        order = next((o for o in state.orders if o.order_id and o.order_id == execution.order_id), None)
        if execution.id in state.booked or execution.amount <= 0 or (order is None and execution.cause is None):
            continue
        fill = _fill(execution, order, book.timeframe)
        state, closed = book_fill(state, fill, book.rules)
        fills.append(fill)
        trades += closed
        if order is not None:
            grown = replace(order, filled=order.filled + execution.amount)
            state = replace(state, orders=tuple(grown if o is order else o for o in state.orders))
    if fills:  # what the venue still lists is never forgotten, however long its list
        state = replace(state, booked=state.booked[-max(BOOKED_KEPT, len(sight.executions)) :])
    return state, fills, trades


def _fill(execution: Execution, order: Order | None, timeframe: str) -> Fill:
    step = seconds(timeframe)
    cause = execution.cause or (order.intent.leg if order else "exit")
    return Fill(
        id=execution.id,
        bar=moment(epoch(execution.at) // step * step),
        side=execution.side,
        amount=execution.amount,
        price=execution.price,
        fee=execution.fee,
        interest=execution.interest,
        cause=cause,
        stop=order.intent.stop if order and cause == "entry" else None,
    )


# -- where each order stands


def _now(order: Order, state: BookState, sight: Sight, traits: Traits, now: datetime) -> Order:
    if order.ended or order.status == "planned":
        return order
    if not order.order_id:
        return _absent(order, state, sight, traits, now)
    if order.filled >= order.intent.amount:
        return move(order, "filled")
    listed = next((each for each in sight.orders if each.order_id == order.order_id), None)
    if listed is None:
        return _looked(_taken(order), now)
    return _as_listed(order, listed, now)


def _light(order: Order) -> Order:
    """What the venue showed before an order was sent is of use only while it may have to be found by that."""
    return replace(order, before=NOTHING) if order.before != NOTHING and (order.ended or order.order_id) else order


def _taken(order: Order) -> Order:
    return move(order, "partly_filled" if order.filled else "acknowledged")


def _as_listed(order: Order, listed: Listed, now: datetime) -> Order:
    if listed.status == "open":
        return replace(_taken(order), looks=0)
    executed = order.intent.amount if listed.status == "filled" else listed.executed
    if executed is not None and executed > order.filled:  # its executions are not told yet
        return _looked(_taken(order), now)
    if listed.status == "refused" and order.status in ("sent", "unknown"):
        return move(order, "refused")
    return move(order, "expired" if listed.status == "expired" else "cancelled")


def _absent(order: Order, state: BookState, sight: Sight, traits: Traits, now: datetime) -> Order:
    """An order of which the venue shows nothing. While its request may still arrive, that means nothing."""
    order = order if order.status == "unknown" else move(order, "unknown")
    if order.sent is not None and now <= order.sent + timedelta(seconds=traits.window_s):
        return order
    order = _looked(order, now)
    if order.looks < traits.looks or (traits.identity == "none" and not _untouched(order, state, sight)):
        return order
    if traits.identity in ("listing", "none") and _strange(order, sight, {each.order_id for each in state.orders}):
        return order
    return move(order, "never_placed", detail=f"the venue showed nothing of it in {order.looks} looks")


def _untouched(order: Order, state: BookState, sight: Sight) -> bool:
    """Whether position and reserved money are as if `order` had never been."""
    ours = state.holding.position + (state.outside or ZERO)
    return sight.position == ours and sight.reserved == order.before.reserved


def _looked(order: Order, now: datetime) -> Order:
    if order.looked is not None and now < order.looked + APART:
        return order
    return replace(order, looks=order.looks + 1, looked=now)


# -- whether all of it agrees


def _reconciled(state: BookState, sight: Sight, now: datetime) -> BookState:
    if expected(state) == sight.position:
        return replace(state, mismatches=0, looked=None)
    if state.working or any(order.looks for order in state.open_orders):
        return state  # an order explains it, or will be the trouble
    if state.looked is not None and now < state.looked + APART:
        return state
    return replace(state, mismatches=state.mismatches + 1, looked=now)


def expected(state: BookState) -> Decimal:
    """The position that the venue should show."""
    return state.holding.position + (state.outside or ZERO)


def _trouble(state: BookState, sight: Sight) -> str:
    """What a person must look at, in a sentence; "" while all agrees, or may still come to."""
    for order in state.open_orders:
        if order.looks >= LOOKS:
            return f"{_named(order)}: {_unclear(order, state, sight)}"
    if state.mismatches >= LOOKS // 2:
        return f"the book holds {expected(state)}, the venue says {sight.position}, and no order of ours explains it"
    tags = {listed.tag for listed in sight.orders if listed.tag}
    for order in state.orders:
        if order.status == "never_placed" and order.looks and order.intent.id in tags:
            return f"{_named(order)} had never arrived, and now the venue lists it"
    return ""


def _named(order: Order) -> str:
    intent = order.intent
    name, bar = order.order_id or intent.id, f"{intent.bar:%Y-%m-%d %H:%M}"
    return f"order {name} ({intent.leg}, {intent.side} {intent.amount}, bar {bar})"


def _unclear(order: Order, state: BookState, sight: Sight) -> str:
    if order.order_id:
        return f"the venue does not tell what became of it; {order.filled} of it was executed as far as we know"
    strange = _strange(order, sight, {each.order_id for each in state.orders})
    if strange:
        return f"it was not answered, and orders that may be it or not have appeared: {', '.join(strange[:5])}"
    return (
        f"it was not answered; the venue shows no order, but its position is {sight.position} and not {expected(state)}"
    )
