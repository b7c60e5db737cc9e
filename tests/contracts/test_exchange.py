"""What every Exchange promises, as far as its traits go: orders placed once, whatever is repeated or lost, and looks
that tell it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.domain.orders import Execution, Order, Side, Sight, Traits
from core.domain.risk import Policy
from core.domain.settle import settle
from core.domain.state import Book, BookState, opening
from core.ports import Unavailable
from tests.contracts.exchange_benches import CASES, RULES, Case
from tests.contracts.exchange_desk import AMOUNT, HIGH, LOW, Desk, alike, found, listed, of, opened, signed

BOOK = Book(id="btc", symbol="BTC", policy=Policy(capital=Decimal(10_000)), rules=RULES)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    case: Case = request.param
    with case.bench(tmp_path) as bench:
        yield Desk(bench)


def where(holds: Callable[[Traits], bool]) -> pytest.MarkDecorator:
    """Only the venues that can, or cannot, do something."""
    cases = [case for case in CASES if holds(case.traits)]
    assert cases
    return pytest.mark.parametrize("desk", cases, indirect=True, ids=lambda case: case.name)


# --- looking and placing --------------------------------------------------------------------------------------------


def test_a_new_account_has_no_orders_and_no_executions(desk: Desk) -> None:
    sight = desk.look()
    assert (sight.position, sight.orders, sight.executions, sight.barred) == (desk.bench.outside, (), (), "")


def test_traits_are_fixed_and_ask_nobody(desk: Desk) -> None:
    desk.look()
    desk.bench.cut()
    assert desk.exchange.traits == desk.traits == desk.bench.open().traits


def test_an_order_is_shown_from_the_moment_it_is_placed(desk: Desk) -> None:
    desk.look()
    order = desk.place(desk.order())
    sight = desk.look(order)
    shown = listed(order, sight)
    assert (shown.side, shown.amount, shown.kind, shown.stop) == ("buy", AMOUNT, "market", None)
    assert (shown.status == "open", sight.executions == ()) == (not desk.traits.instant, not desk.traits.instant)
    assert found(order, sight, desk.traits) == order.order_id


def test_an_entry_becomes_executions_of_its_order_and_a_position(desk: Desk) -> None:
    order = desk.trade("entry", "buy")
    sight = desk.look(order)
    done, shown = of(order, sight), listed(order, sight)
    assert done == sight.executions and {each.side for each in done} == {"buy"}
    assert AMOUNT * (1 - RULES.taker) <= signed(sight) <= AMOUNT
    assert shown.executed == signed(sight)
    assert shown.status == ("filled" if signed(sight) == AMOUNT else "cancelled")


def test_an_exit_leaves_nothing(desk: Desk) -> None:
    entry = desk.trade("entry", "buy")
    leave = desk.trade("exit", "sell", desk.held())
    assert desk.held() == 0
    sight = desk.look()
    assert [done.order_id for done in sight.executions] == [entry.order_id, leave.order_id]
    assert sight.barred == ""


@where(lambda traits: traits.short)
def test_a_short_is_a_position_below_zero(desk: Desk) -> None:
    desk.trade("entry", "sell")
    assert desk.look().position == -AMOUNT
    desk.trade("exit", "buy")
    sight = desk.look()
    assert [done.side for done in sight.executions] == ["sell", "buy"]
    assert (sight.position, sight.barred) == (0, "")


@where(lambda traits: not traits.short)
def test_nobody_sells_what_they_do_not_have(desk: Desk) -> None:
    desk.look()
    assert desk.outcomes(desk.order("entry", "sell", desk.bench.outside + AMOUNT)) == ["refused"]
    assert desk.bench.taken() == 0


@pytest.mark.parametrize("amount", ["0.0005", "500"], ids=["less than the least", "more than the money"])
def test_an_order_that_cannot_be_is_refused_and_not_unknown(desk: Desk, amount: str) -> None:
    desk.look()
    refused = desk.bench.judges
    assert desk.outcomes(desk.order(amount=amount)) == ["refused" if refused else "placed"]
    assert desk.bench.taken() == (0 if refused else 1)


def test_answers_come_in_the_order_of_the_orders(desk: Desk) -> None:
    desk.look()
    orders = [desk.order(amount=amount, attempt=attempt) for attempt, amount in enumerate(("0.3", "0.1", "0.2"))]
    answers = desk.submit(*orders)
    placed = [replace(order, order_id=answer.order_id) for order, answer in zip(orders, answers, strict=True)]
    sight = desk.look(*placed)
    assert [listed(order, sight).amount for order in placed] == [order.intent.amount for order in orders]


def test_nothing_to_submit_is_nothing(desk: Desk) -> None:
    before = desk.look()
    assert desk.submit() == []
    assert desk.look() == before


def test_what_is_charged_is_told_exactly(desk: Desk) -> None:
    orders = [desk.trade("entry", "buy"), desk.trade("exit", "sell", "0.099")]
    sight = desk.look()
    for order in orders:
        (done,) = of(order, sight)
        assert done.fee == order.intent.amount * done.price * RULES.taker


# --- once -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["in one call", "in the same process", "in another process"])
@where(lambda traits: traits.identity == "id")
def test_an_open_order_sent_again_is_placed_and_not_doubled(desk: Desk, again: str) -> None:
    order = desk.lasting()
    before = desk.bench.taken()
    if again == "in one call":
        answers = desk.submit(order, order)
    else:
        answers = desk.submit(order)
        other = desk if again == "in the same process" else Desk(desk.bench)
        other.look()
        answers += other.submit(order)
    assert [answer.outcome for answer in answers] == ["placed", "placed"]
    assert len({answer.order_id for answer in answers}) == 1
    assert desk.bench.taken() == before + 1


@where(lambda traits: traits.lasting_ids)
def test_an_order_that_is_over_sent_again_is_placed_and_not_doubled(desk: Desk) -> None:
    order = desk.trade("entry", "buy")
    before = desk.look(order)
    assert desk.outcomes(order) == ["placed"]
    desk.execute()
    assert desk.look(order) == before
    assert desk.bench.taken() == 1


@where(lambda traits: traits.identity != "id")
def test_an_order_sent_twice_is_seen_twice(desk: Desk) -> None:
    desk.look()
    order = desk.order()
    answers = desk.submit(order, order)
    desk.execute()
    assert set(desk.look().ids) == {answer.order_id for answer in answers}
    assert len(answers) == desk.bench.taken() == 2


def test_every_look_of_every_process_shows_the_same(desk: Desk) -> None:
    order = desk.trade("entry", "buy")
    first = desk.look(order)
    assert alike(desk.look(order), first) and alike(Desk(desk.bench).look(order), first)


def test_what_was_placed_is_not_lost_to_another_process(desk: Desk) -> None:
    """Both looked before either sent: the second may learn that it was overtaken, and the first need not care."""
    other = Desk(desk.bench)
    desk.look()
    other.look()
    answers = [*desk.submit(desk.order()), *other.submit(other.order(attempt=1))]
    desk.execute()
    placed = {answer.order_id for answer in answers if answer.outcome == "placed"}
    assert answers[0].order_id in placed
    assert set(Desk(desk.bench).look().ids) == placed


def test_what_was_executed_stays_as_it_was_told(desk: Desk) -> None:
    told: list[tuple[Execution, ...]] = []
    for leg, side in (("entry", "buy"), ("exit", "sell"), ("entry", "buy"), ("exit", "sell")):
        desk.trade(leg, side, "0.09")  # type: ignore[arg-type]
        desk.quiet()
        told.append(desk.look().executions)
    assert [len(each) for each in told] == [1, 2, 3, 4]
    assert all(told[-1][: len(each)] == each for each in told)


# --- stops ----------------------------------------------------------------------------------------------------------


def test_an_entry_brings_its_stop_along_only_where_the_traits_say_so(desk: Desk) -> None:
    desk.trade("entry", "buy")
    assert opened(desk.look()) == []
    desk.bench.move(float(LOW) - 500)
    assert (desk.held() == 0) == (desk.traits.stops == "attached")


@where(lambda traits: traits.stops == "resting")
def test_a_stop_rests_with_its_trigger_and_does_nothing(desk: Desk) -> None:
    entry, stop = desk.guarded()
    sight = desk.look()
    (shown,) = opened(sight)
    assert (shown.order_id, shown.kind, shown.stop) == (stop.order_id, "stop", LOW)
    assert (shown.side, shown.amount, shown.executed) == ("sell", stop.intent.amount, 0)
    assert sight.executions == of(entry, sight)


@where(lambda traits: traits.stops == "resting")
def test_a_cancelled_stop_is_gone(desk: Desk) -> None:
    entry, stop = desk.guarded()
    desk.exchange.cancel("btc", [stop])
    sight = desk.look(entry, stop)
    assert (listed(stop, sight).status, opened(sight)) == ("cancelled", [])
    desk.bench.move(float(LOW) - 500)
    assert desk.look(entry, stop).executions == sight.executions


@where(lambda traits: traits.stops == "resting")
def test_cancelling_what_is_gone_changes_nothing(desk: Desk) -> None:
    entry, stop = desk.guarded()
    desk.exchange.cancel("btc", [stop])
    before = desk.look(entry, stop)
    desk.exchange.cancel("btc", [stop, entry, replace(stop, order_id="424242")])
    assert alike(desk.look(entry, stop), before)


def hit(desk: Desk, side: Side) -> Execution:
    """The execution of a stop that the market went through; nothing but dust is left."""
    entry, *stops = [desk.trade("entry", side)] if desk.traits.stops == "attached" else desk.guarded(side)
    desk.bench.move(float(LOW) - 500 if side == "buy" else float(HIGH) + 500)
    sight = desk.look(entry, *stops)
    (done,) = [each for each in sight.executions if each.order_id != entry.order_id]
    assert desk.held() == 0
    assert done.cause == "stop" or done.order_id in {stop.order_id for stop in stops}
    desk.quiet()
    assert desk.look().executions == sight.executions
    return done


@where(lambda traits: traits.stops != "none")
def test_a_stop_that_is_hit_closes_a_long(desk: Desk) -> None:
    done = hit(desk, "buy")
    assert done.side == "sell" and LOW * Decimal("0.99") < done.price <= LOW


@where(lambda traits: traits.stops != "none" and traits.short)
def test_a_stop_that_is_hit_closes_a_short(desk: Desk) -> None:
    done = hit(desk, "sell")
    assert done.side == "buy" and HIGH <= done.price < HIGH * Decimal("1.01")


@where(lambda traits: traits.stops != "none" and not traits.spot)
def test_an_exit_that_comes_after_the_stop_opens_nothing(desk: Desk) -> None:
    hit(desk, "buy")
    desk.submit(desk.order("exit", "sell"))
    desk.execute()
    assert desk.look().position == 0


# --- when it does not answer ----------------------------------------------------------------------------------------


def test_a_venue_that_cannot_be_reached_is_unavailable(desk: Desk) -> None:
    desk.look()
    desk.bench.cut()
    for each in (desk, Desk(desk.bench)):
        with pytest.raises(Unavailable):
            each.look()


@pytest.mark.parametrize("asked_about", [0, 1], ids=["any orders", "an order"])
def test_a_look_of_which_a_part_cannot_be_read_tells_the_truth_or_nothing(desk: Desk, asked_about: int) -> None:
    """It may take the part for a reason against new risk."""
    orders = [desk.trade("entry", "buy")][:asked_about]
    truth = desk.look(*orders)
    seen = [with_a_part_garbled(desk, part, *orders) for part in desk.bench.asked()]
    assert None in seen
    assert all(sight is None or alike(replace(sight, barred=""), truth) for sight in seen)


def with_a_part_garbled(desk: Desk, part: str, *orders: Order) -> Sight | None:
    """What another process sees then; None: it is told that the venue is unavailable."""
    desk.bench.garble(part)
    try:
        return Desk(desk.bench).look(*orders)
    except Unavailable:
        return None
    finally:
        desk.bench.mend()


def test_an_order_to_a_venue_that_cannot_be_reached_is_never_placed(desk: Desk) -> None:
    desk.look()
    desk.bench.cut()
    for attempt in range(3):
        orders = desk.order("exit", "sell", attempt=attempt), desk.order(attempt=attempt)
        assert "placed" not in desk.outcomes(*orders)
    desk.bench.mend()
    assert desk.bench.taken() == 0
    assert Desk(desk.bench).look(*orders).ids == ()


@where(lambda traits: traits.stops == "resting")
def test_cancelling_at_a_venue_that_cannot_be_reached_is_told_by_the_next_look(desk: Desk) -> None:
    _, stop = desk.guarded()
    desk.look(stop)
    desk.bench.cut()
    desk.exchange.cancel("btc", [stop])
    desk.bench.mend()
    assert [each.order_id for each in opened(desk.look(stop))] == [stop.order_id]


LOST = [("lose_request", False), ("lose_answer", True)]


def unanswered(desk: Desk, fault: str, order: Order) -> Order:
    """`order`, sent and not answered."""
    getattr(desk.bench, fault)()
    assert desk.outcomes(order) == ["unknown"]
    return replace(order, status="unknown")


@pytest.mark.parametrize(("fault", "arrived"), LOST)
def test_without_an_answer_it_is_unknown_and_the_next_look_tells(desk: Desk, fault: str, arrived: bool) -> None:
    desk.look()
    order = unanswered(desk, fault, desk.order())
    sight = desk.look(order)
    name = found(order, sight, desk.traits)
    assert (bool(name), bool(sight.ids), desk.bench.taken()) == (arrived, arrived, int(arrived))
    desk.execute()
    done = Desk(desk.bench).look(order).executions
    assert {each.order_id for each in done} == ({name} if arrived else set())


@pytest.mark.parametrize(("fault", "arrived"), LOST)
def test_the_road_settles_what_was_not_answered(desk: Desk, fault: str, arrived: bool) -> None:
    state = settled(desk, opening(BOOK))
    order = unanswered(desk, fault, desk.order())
    state = replace(state, orders=(order,))
    desk.execute()
    for _ in range(desk.traits.looks):
        desk.bench.clock.sleep(desk.traits.window_s + 3)
        state = settled(desk, state)
    assert (state.trouble, state.open_orders) == ("", ())
    assert (state.orders[0].status == "never_placed") == (not arrived)
    assert state.holding.position == desk.look().position - desk.bench.outside
    assert bool(state.holding.position) == arrived


def settled(desk: Desk, state: BookState) -> BookState:
    now = desk.bench.clock.now()
    return settle(state, desk.look(*state.open_orders), BOOK, desk.traits, now)[0]


def test_nothing_is_sent_after_an_order_that_may_be_lost(desk: Desk) -> None:
    desk.look()
    desk.bench.lose_request()
    outcomes = desk.outcomes(desk.order("exit", "sell"), desk.order())
    assert outcomes[0] == "unknown" and outcomes[1] != "placed"
    assert desk.bench.taken() == 0


@pytest.mark.parametrize("again", ["in the same process", "in another process"])
@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
@where(lambda traits: traits.identity == "id")
def test_an_unknown_order_sent_again_is_there_once(desk: Desk, fault: str, again: str) -> None:
    order = desk.lasting()
    before = desk.bench.taken()
    unanswered(desk, fault, order)
    other = desk if again == "in the same process" else Desk(desk.bench)
    other.look(order)
    placed = other.place(order)
    assert desk.bench.taken() == before + 1
    assert found(order, other.look(order), desk.traits) == placed.order_id


# --- requests that are too old --------------------------------------------------------------------------------------


@where(lambda traits: traits.window_s > 0)
def test_an_order_that_was_written_down_too_long_ago_is_not_carried_out(desk: Desk) -> None:
    desk.look()
    order = desk.order()
    desk.bench.clock.sleep(desk.traits.window_s + 1)
    assert desk.outcomes(order) != ["placed"]
    desk.quiet()
    assert (desk.bench.taken(), desk.look(order).ids) == (0, ())


@pytest.mark.parametrize("in_time", [True, False])
@where(lambda traits: traits.window_s > 0)
def test_what_has_not_arrived_when_its_window_is_over_never_will(desk: Desk, in_time: bool) -> None:
    desk.look()
    order = desk.order()
    desk.bench.delay_request(1 if in_time else desk.traits.window_s + 1)
    assert desk.outcomes(order) == ["unknown"]
    desk.bench.clock.sleep(desk.traits.window_s)
    shown = desk.look(order).ids
    assert len(shown) == int(in_time)
    desk.quiet()
    assert (desk.bench.taken(), desk.look(order).ids) == (int(in_time), shown)
