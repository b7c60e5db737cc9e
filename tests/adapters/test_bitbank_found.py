"""An order whose answer was lost has no id: what a look shows of it, and that settling finds exactly it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from core.adapters.bitbank_exchange import STRANGERS
from core.domain.orders import Before, Leg, Order, Side, Sight
from core.domain.settle import SKEW, settle
from core.domain.state import Book, BookState, opening
from core.ports import Unavailable
from tests.adapters.bitbank_bench import ORDER, RULES, Bench, bench
from tests.venues.bitbank import answer
from tests.venues.faults import Fault
from tests.venues.orders import OrderKind

D = Decimal
BOOK = Book(id="btc", symbol="BTC/JPY", rules=RULES)


@pytest.fixture
def on_margin() -> Iterator[Bench]:
    with bench() as made:
        yield made


def lost(
    made: Bench, leg: Leg = "entry", side: Side = "buy", amount: str = "0.1", stop: Decimal | None = None
) -> Order:
    """Sent after a look, and carried out, but the answer never came."""
    sight = made.look()
    order = replace(made.order(leg, side, amount, stop), before=Before(ids=sight.ids, reserved=sight.reserved))
    made.url.faults.next(f"POST {ORDER}", Fault("drop_after"))
    (told,) = made.exchange.submit("btc", [order])
    assert told.outcome == "unknown"
    return replace(order, status="unknown")


def stranger(made: Bench, amount: str = "0.01") -> str:
    """Somebody else's order, which executes at once."""
    placed = made.engine.place("market", "buy", D(amount), position_side="long")
    made.engine.clock.advance(1)
    return str(placed.id)


def settled(made: Bench, order: Order, looks: int = 1) -> tuple[BookState, Sight]:
    state = replace(opening(BOOK), orders=(order,))
    for _ in range(looks):
        made.engine.clock.advance(made.exchange.traits.window_s + 1)
        sight = made.look(*state.open_orders)
        state, _ = settle(state, sight, BOOK, made.exchange.traits, made.clock.now())
    return state, sight


def asked_by_id(made: Bench) -> list[str]:
    return [request.raw.rpartition("order_id=")[2] for request in made.url.asked("GET", ORDER)]


def test_an_order_without_an_id_of_which_only_executions_tell_is_listed_as_it_is(on_margin: Bench) -> None:
    order = lost(on_margin)
    (listed,) = on_margin.look(order).orders
    (placed,) = on_margin.engine.accepted()
    assert (listed.order_id, listed.side, listed.amount, listed.executed) == (str(placed.id), "buy", D("0.1"), D("0.1"))
    assert (listed.kind, listed.status, listed.stop) == ("market", "filled", None)


def test_an_order_that_was_filled_in_part_and_then_cancelled_is_found(on_margin: Bench) -> None:
    on_margin.engine.partial, on_margin.engine.partial_rest = D("0.4"), "cancelled"
    state, sight = settled(on_margin, lost(on_margin))
    assert [(one.amount, one.executed, one.status) for one in sight.orders] == [(D("0.1"), D("0.04"), "cancelled")]
    (order,) = state.orders
    assert (order.status, order.filled, state.trouble) == ("cancelled", D("0.04"), "")
    assert state.holding.position == sight.position == D("0.04")


def test_a_stop_that_was_hit_before_anyone_knew_its_id_is_found_by_its_trigger(on_margin: Bench) -> None:
    entry = on_margin.place()
    order = lost(on_margin, "stop", "sell", stop=on_margin.engine.price() - 100)
    on_margin.engine.clock.advance(100 * 3600)
    (listed,) = [one for one in on_margin.look(order).orders if one.order_id != entry.order_id]
    assert (listed.kind, listed.stop, listed.status) == ("stop", order.intent.stop, "filled")


@pytest.mark.parametrize(("kind", "amount", "part"), [("limit", "0.04", None), ("market", "0.1", D("0.4"))])
def test_an_order_of_somebody_else_that_executed_like_ours_but_was_another_is_not_adopted(
    on_margin: Bench, kind: OrderKind, amount: str, part: Decimal | None
) -> None:
    """A limit order over the same amount; or a larger one, of which as much was executed."""
    sight = on_margin.look()
    order = replace(on_margin.order(amount="0.04"), before=Before(ids=sight.ids, reserved=sight.reserved))
    on_margin.engine.partial, on_margin.engine.partial_rest = part, "cancelled"
    price = on_margin.engine.price() + 1000 if kind == "limit" else None
    on_margin.engine.place(kind, "buy", D(amount), price=price, position_side="long")
    assert on_margin.engine.position == D("0.04")
    state, _ = settled(on_margin, replace(order, status="unknown"), 6)
    assert state.orders[0].order_id == ""
    assert "orders that may be it or not have appeared" in state.trouble


@pytest.mark.parametrize("rests", [False, True])
def test_an_order_about_the_other_position_is_not_adopted(on_margin: Bench, rests: bool) -> None:
    """Ours would close a long position; somebody else opens a short one, over the same amount."""
    on_margin.place()
    sight = on_margin.look()
    order = replace(on_margin.order("exit", "sell"), before=Before(ids=sight.ids, reserved=sight.reserved))
    on_margin.engine.circuit_break, on_margin.engine.market_waits = ("CIRCUIT_BREAK" if rests else "NONE"), rests
    on_margin.engine.place("market", "sell", D("0.1"), position_side="short")
    state, sight = settled(on_margin, replace(order, status="unknown"), 6)
    assert [one.status for one in sight.orders if one.kind == "other"] == ["open" if rests else "filled"]
    assert state.orders[0].order_id == ""
    assert "orders that may be it or not" in state.trouble


def test_what_was_shown_before_or_has_an_id_is_not_asked_for_again(on_margin: Bench) -> None:
    old = stranger(on_margin)
    entry = on_margin.place()
    order = lost(on_margin, "exit", "sell")
    assert old in order.before.ids and entry.order_id in order.before.ids
    on_margin.look(entry, order)
    (exit_id,) = {str(one.id) for one in on_margin.engine.accepted()} - {old, entry.order_id}
    assert sorted(asked_by_id(on_margin)) == sorted([entry.order_id, exit_id])


def test_without_an_order_that_lacks_its_id_nothing_is_asked_for(on_margin: Bench) -> None:
    stranger(on_margin)
    planned = replace(on_margin.order(), status="planned", sent=None)
    on_margin.look(planned)
    assert asked_by_id(on_margin) == []


def test_what_executed_long_before_an_order_was_sent_is_not_asked_for(on_margin: Bench) -> None:
    stranger(on_margin)
    on_margin.engine.clock.advance(SKEW / timedelta(seconds=1))
    on_margin.look(on_margin.order())
    assert asked_by_id(on_margin) == []


def test_however_many_strangers_there_are_a_few_are_asked_for_and_none_is_adopted(on_margin: Bench) -> None:
    order = lost(on_margin)
    ids = [stranger(on_margin) for _ in range(3 * STRANGERS)]
    on_margin.look(order)
    assert asked_by_id(on_margin) == ids[::-1][:STRANGERS]
    state, _ = settled(on_margin, order, 6)
    assert "orders that may be it or not" in state.trouble


def test_a_stranger_that_cannot_be_read_makes_the_look_fail_and_one_that_is_gone_does_not(on_margin: Bench) -> None:
    order = lost(on_margin)
    on_margin.url.faults.always(f"GET {ORDER}", answer(50009))
    assert on_margin.look(order).orders == ()
    on_margin.url.faults.clear()
    on_margin.url.faults.always(f"GET {ORDER}", Fault("html"))
    with pytest.raises(Unavailable):
        on_margin.look(order)


def test_an_order_that_never_arrived_is_proven_so(on_margin: Bench) -> None:
    sight = on_margin.look()
    order = replace(on_margin.order(), before=Before(ids=sight.ids, reserved=sight.reserved))
    on_margin.url.faults.next(f"POST {ORDER}", Fault("drop_before"))
    on_margin.exchange.submit("btc", [order])
    state, _ = settled(on_margin, replace(order, status="unknown"), 2)
    assert (state.orders[0].status, state.trouble) == ("never_placed", "")
