"""Acting: one step at a time, in an order that never doubles an order and never leaves a position naked for long."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from core.domain.act import ATTEMPTS, PAUSE_S, UNFILLED, Scene, Step, answered, plan, sent, unprotected
from core.domain.fills import PAPER
from core.domain.orders import ZERO, Answer, Before, Leg, Order, Traits, intent_id
from core.domain.state import BookState
from core.domain.switch import Mode
from tests.domain.drawn import BAR, HOUR
from tests.domain.model_venue import (
    BOOK,
    CLASSES,
    LOT,
    NOW,
    OPEN,
    STOP,
    A,
    B,
    C,
    D,
    Drive,
    ModelVenue,
    acts,
    after,
    done,
    holding,
    intent,
    listed,
)
from tests.domain.model_venue import order as order_of
from tests.domain.model_venue import sight as seen

EXIT = order_of("exit", "sell", status="planned")
ENTRY = order_of("entry", "sell", status="planned")
RESTING = order_of("stop", "sell", status="acknowledged", order_id="s")


def planned(
    state: BookState, traits: Traits = A, mode: Mode = "run", at: float = 0.0, **more: Any
) -> tuple[BookState, Step]:
    return plan(state, Scene(book=BOOK, traits=traits, mode=mode, bar=more.pop("bar", BAR), now=after(at), **more))


def next_step(state: BookState, traits: Traits = A, mode: Mode = "run", **more: Any) -> Step:
    return planned(state, traits, mode, **more)[1]


def legs(step: Step) -> tuple[str, list[Leg]]:
    return step.act, [order.intent.leg for order in step.orders]


def ways(state: BookState) -> list[tuple[Leg, str]]:
    return [(order.intent.leg, order.status) for order in state.orders]


def drive(state: BookState, traits: Traits = A, seed: int = 1, **venue: Any) -> Drive:
    """One that has acted until nothing was left, or long enough."""
    position = state.holding.position
    made = ModelVenue(traits, Random(seed), **venue)
    made.positions = [(BAR - HOUR, position)]
    driven = Drive(made, state)
    driven.run()
    return driven


# --- what goes first ------------------------------------------------------------------------------------------------


def test_nothing_decided_and_nothing_held_is_nothing_to_do() -> None:
    assert planned(holding()) == (holding(), Step())


@pytest.mark.parametrize("status", ["sent", "unknown"])
def test_before_anything_else_what_is_not_clear_is_looked_for(status: str) -> None:
    """Also for an order of an earlier bar, and also before the exit."""
    lost = order_of("entry", status=status, bar=BAR - HOUR)
    step = next_step(holding(lost, EXIT, position=LOT), at=60)
    assert (step.act, step.orders, step.wait_s) == ("look", (), PAUSE_S)


def test_it_is_looked_for_only_once_its_request_can_no_longer_arrive() -> None:
    step = next_step(holding(order_of(status="unknown")), at=4)
    assert (step.act, step.wait_s) == ("look", pytest.approx(A.window_s - 4 + 0.1))
    two = order_of(status="unknown"), order_of("stop", "sell", status="unknown", sent=after(3))
    assert next_step(holding(*two), at=4).wait_s == pytest.approx(A.window_s - 1 + 0.1), "the last of them counts"


def test_the_stop_is_taken_back_before_the_exit_that_it_would_stand_in_the_way_of() -> None:
    state, step = planned(holding(RESTING, EXIT, ENTRY, position=LOT))
    assert step == Step(act="cancel", orders=(RESTING,))
    cancelled = replace(RESTING, status="cancelled")
    assert legs(next_step(holding(cancelled, EXIT, ENTRY, position=LOT))) == ("send", ["exit"])
    assert ways(state) == [("stop", "acknowledged"), ("exit", "planned"), ("entry", "planned")]


def test_the_exit_goes_before_the_entry_however_they_were_decided() -> None:
    assert legs(next_step(holding(ENTRY, EXIT, position=LOT))) == ("send", ["exit"])
    left = replace(EXIT, status="filled", order_id="x", filled=LOT)
    assert legs(next_step(holding(ENTRY, left))) == ("send", ["entry"])


@pytest.mark.parametrize("status", ["refused", "cancelled", "expired"])
def test_an_entry_whose_exit_did_not_close_is_dropped(status: str) -> None:
    left = replace(EXIT, status=status, order_id="x")
    state, step = planned(holding(left, ENTRY, position=LOT))
    assert ways(state)[:2] == [("exit", status), ("entry", "never_placed")]
    assert state.orders[1].detail == "the exit before it did not close the position"
    assert legs(step) == ("send", ["stop"]), "what is left is protected"


def test_an_entry_waits_for_its_exit_to_be_executed() -> None:
    working = replace(EXIT, status="acknowledged", order_id="x", sent=NOW)
    state, step = planned(holding(working, ENTRY, position=LOT), at=5)
    assert (step, ways(state)[1]) == (Step(act="look", wait_s=PAUSE_S), ("entry", "planned"))


def test_dust_does_not_stand_in_the_way_of_an_entry() -> None:
    assert legs(next_step(holding(ENTRY, position="0.0004", stop=None))) == ("send", ["entry"])


def test_a_market_order_that_waits_too_long_is_taken_back() -> None:
    working = order_of(status="acknowledged", order_id="o1")
    limit = UNFILLED.total_seconds()
    assert next_step(holding(working), at=limit) == Step(act="look", wait_s=PAUSE_S)
    assert legs(next_step(holding(working), at=limit + 1)) == ("cancel", ["entry"])


def test_a_stop_may_wait_for_ever() -> None:
    assert next_step(holding(RESTING, position=LOT), at=1e6) == Step()


def test_while_the_position_does_not_agree_it_only_looks() -> None:
    for orders in ((EXIT,), (ENTRY, EXIT), (RESTING, EXIT), ()):
        step = next_step(holding(*orders, position=LOT, mismatches=1))
        assert step == Step(act="look", wait_s=PAUSE_S)


def test_in_trouble_nothing_is_done_at_all() -> None:
    state = holding(RESTING, EXIT, order_of(status="unknown", attempt=1), position=LOT, trouble="look at it")
    assert planned(state) == (state, Step())


# --- the protective stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("position", "side"), [("0.1", "sell"), ("-0.1", "buy")])
def test_a_position_has_its_whole_size_protected(position: str, side: str) -> None:
    state, step = planned(holding(position=position))
    (stop,) = step.orders
    assert (step.act, stop.status, stop in state.orders) == ("send", "planned", True)
    assert stop.intent == intent("stop", side, id=intent_id("btc", BAR, "stop"), stop=STOP)


def test_where_it_rests_already_nothing_is_done() -> None:
    assert planned(holding(RESTING, position=LOT)) == (holding(RESTING, position=LOT), Step())


def test_a_position_is_protected_as_far_as_it_can_be_traded() -> None:
    (stop,) = next_step(holding(position="0.1004")).orders
    assert stop.intent.amount == LOT
    assert next_step(holding(position="0.0004")) == Step()


@pytest.mark.parametrize(
    "wrong",
    [{"amount": "0.05"}, {"amount": "0.2"}, {"stop": STOP - 1}, {"side": "buy"}],
    ids=["too small", "too large", "elsewhere", "other side"],
)
def test_a_stop_that_does_not_fit_is_taken_back_and_then_armed_anew(wrong: Any) -> None:
    stop = order_of(**{"leg": "stop", "side": "sell", "status": "acknowledged", "order_id": "s"} | wrong)
    assert next_step(holding(stop, position=LOT)) == Step(act="cancel", orders=(stop,))
    gone = replace(stop, status="cancelled")
    state, step = planned(holding(gone, position=LOT))
    assert legs(step) == ("send", ["stop"])
    assert [order.intent.attempt for order in state.orders] == [0, 1], "under a name of its own"
    assert len({order.intent.id for order in state.orders}) == 2


def test_a_stop_that_was_executed_in_part_protects_what_is_left() -> None:
    part = replace(RESTING, status="partly_filled", filled=Decimal("0.04"))
    assert next_step(holding(part, position="0.06")) == Step()


def test_after_more_was_filled_the_stop_is_for_all_of_it() -> None:
    """The rest of an entry was executed while its cancel was on the way."""
    state = holding(RESTING, position="0.15")
    assert next_step(state) == Step(act="cancel", orders=(RESTING,))
    (stop,) = next_step(holding(replace(RESTING, status="cancelled"), position="0.15")).orders
    assert stop.intent.amount == Decimal("0.15")


def test_there_is_only_one_stop() -> None:
    second = replace(order_of("stop", "sell", status="acknowledged", attempt=1), order_id="s2")
    step = next_step(holding(RESTING, second, position=LOT))
    assert legs(step) == ("cancel", ["stop", "stop"])


@pytest.mark.parametrize("status", ["acknowledged", "partly_filled"])
def test_without_a_position_the_stop_is_taken_back(status: str) -> None:
    stop = replace(RESTING, status=status, filled=LOT / 2 if status == "partly_filled" else ZERO)
    assert next_step(holding(stop)) == Step(act="cancel", orders=(stop,))


@pytest.mark.parametrize("stops", ["attached", "none"])
def test_where_stops_do_not_rest_none_is_sent(stops: str) -> None:
    traits = replace(A, stops=stops)
    assert next_step(holding(position=LOT), traits) == Step()
    assert not unprotected(holding(position=LOT), BOOK, traits)


def test_a_stop_that_the_venue_refuses_twice_is_an_exit() -> None:
    refused = [order_of("stop", "sell", status="refused", attempt=i) for i in range(2)]
    assert legs(next_step(holding(refused[0], position=LOT))) == ("send", ["stop"])
    state, step = planned(holding(*refused, position=LOT))
    assert legs(step) == ("send", ["exit"])
    assert (step.orders[0].intent.amount, step.orders[0].intent.side) == (LOT, "sell")
    assert step.orders[0].intent == intent("exit", "sell")
    assert state.orders[-1] == step.orders[0]


def test_where_neither_stop_nor_exit_is_taken_it_ends_and_says_so() -> None:
    stops = [order_of("stop", "sell", status="refused", attempt=i) for i in range(2)]
    exits = [order_of("exit", "sell", status="refused", attempt=i) for i in range(ATTEMPTS)]
    state = holding(*stops, *exits, position=LOT)
    assert planned(state) == (state, Step())
    assert unprotected(state, BOOK, A)
    fresh = holding(*stops, *exits, position=LOT, bar=BAR + HOUR)
    assert legs(next_step(fresh, bar=BAR + HOUR)) == ("send", ["stop"]), "the next bar tries anew"


def test_refusals_of_an_earlier_bar_do_not_count() -> None:
    refused = [order_of("stop", "sell", status="refused", attempt=i, bar=BAR - HOUR) for i in range(2)]
    assert legs(next_step(holding(*refused, position=LOT))) == ("send", ["stop"])


@pytest.mark.parametrize(
    ("orders", "position", "naked"),
    [
        ((), LOT, True),
        ((RESTING,), LOT, False),
        ((RESTING,), "0.2", True),
        ((replace(RESTING, status="cancelled"),), LOT, True),
        ((), 0, False),
        ((), "0.0004", False),
    ],
)
def test_a_position_without_its_stop_is_said_to_be_so(orders: tuple[Order, ...], position: Any, naked: bool) -> None:
    assert unprotected(holding(*orders, position=position), BOOK, A) == naked


# --- what is lost on the way ----------------------------------------------------------------------------------------


def lost(leg: Leg, attempt: int = 0, **more: Any) -> Order:
    side = "buy" if leg == "entry" else "sell"
    return order_of(leg, side, status="never_placed", attempt=attempt, looks=2, **more)


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("leg", ["exit", "stop"])
def test_a_lost_exit_or_stop_is_sent_again(traits: Traits, leg: Leg) -> None:
    state, step = planned(holding(lost(leg), position=LOT), traits)
    assert legs(step) == ("send", [leg])
    (again,) = step.orders
    assert (again.status, again.intent.attempt, again.intent.amount) == ("planned", 1, LOT)
    assert (again.intent.id == lost(leg).intent.id) == (traits.identity == "id")
    assert len({order.intent.id for order in state.orders}) == len(state.orders)


def test_a_lost_entry_is_sent_again_under_the_same_id_where_the_venue_takes_that_once() -> None:
    state, step = planned(holding(lost("entry")), A)
    assert legs(step) == ("send", ["entry"])
    assert step.orders[0].intent == replace(intent(), attempt=1)
    assert len(state.orders) == 1


@pytest.mark.parametrize("traits", [OPEN, B, C, D], ids=["open only", "B", "C", "D"])
def test_a_lost_entry_is_not_sent_again_where_it_might_be_doubled(traits: Traits) -> None:
    state = holding(lost("entry"))
    assert planned(state, traits) == (state, Step())


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("leg", ["entry", "exit"])
def test_the_last_attempt_is_the_last(traits: Traits, leg: Leg) -> None:
    made = [lost(leg, i) for i in range(ATTEMPTS)] if traits.identity != "id" else [lost(leg, ATTEMPTS - 1)]
    held = LOT if leg == "exit" else 0
    assert leg not in legs(next_step(holding(*made, position=held), traits))[1]


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
def test_what_was_sent_again_once_is_not_sent_again_for_the_one_before(traits: Traits) -> None:
    state, _ = planned(holding(lost("exit"), position=LOT), traits)
    retried = tuple(replace(o, status="filled", order_id="x") if not o.ended else o for o in state.orders)
    again, step = planned(replace(holding(position=0), orders=retried), traits)
    assert (step, again.orders) == (Step(), retried)


def test_what_was_never_sent_or_is_of_another_bar_is_not_sent_again() -> None:
    dropped = order_of(status="never_placed")
    old = lost("exit", bar=BAR - HOUR)
    state, step = planned(holding(dropped, old, position=LOT))
    assert (state.orders[:2], legs(step)) == ((dropped, old), ("send", ["stop"]))


def test_a_refused_order_is_not_sent_again() -> None:
    refused = order_of(status="refused")
    assert next_step(holding(refused)) == Step()


@pytest.mark.parametrize(("mode", "fresh"), [("reduce", True), ("halt", True), ("flatten", True), ("run", False)])
def test_a_lost_entry_is_not_sent_again_once_it_may_not_be(mode: Mode, fresh: bool) -> None:
    assert next_step(holding(lost("entry")), A, mode, fresh=fresh) == Step()


def test_a_reversal_goes_on_after_its_exit_was_lost_and_sent_again() -> None:
    state, step = planned(holding(lost("exit"), ENTRY, position=LOT))
    assert (legs(step), ways(state)[-1]) == (("send", ["exit"]), ("entry", "planned"))


# --- what has become pointless --------------------------------------------------------------------------------------


@pytest.mark.parametrize("traits", [A, PAPER], ids=["live", "paper"])
@pytest.mark.parametrize(
    ("order", "mode", "fresh", "why"),
    [
        (replace(ENTRY, intent=intent(bar=BAR - HOUR)), "run", True, "its bar is over"),
        (ENTRY, "reduce", True, "the switch says reduce"),
        (ENTRY, "flatten", True, "the switch says flatten"),
        (ENTRY, "halt", True, "the switch says halt"),
        (EXIT, "halt", True, "the switch says halt"),
        (ENTRY, "run", False, "it is too late for an entry"),
    ],
)
def test_what_may_not_go_any_more_is_dropped_with_its_reason(
    traits: Traits, order: Order, mode: Mode, fresh: bool, why: str
) -> None:
    held = LOT if order is EXIT else 0
    state, step = planned(holding(order, position=held), traits, mode, fresh=fresh)
    assert (state.orders[0].status, state.orders[0].detail) == ("never_placed", why)
    assert "entry" not in legs(step)[1] and "exit" not in legs(step)[1]


@pytest.mark.parametrize("mode", ["run", "reduce", "flatten"])
def test_an_exit_goes_late_and_under_every_switch_but_halt(mode: Mode) -> None:
    assert legs(next_step(holding(EXIT, position=LOT), A, mode, fresh=False)) == ("send", ["exit"])


@pytest.mark.parametrize("orders", [(EXIT, ENTRY), (ENTRY, EXIT)])
def test_an_entry_is_dropped_with_the_exit_before_it_that_no_longer_fits(orders: tuple[Order, Order]) -> None:
    # As when the stop has closed a part while nobody ran.
    state, step = planned(holding(*orders, position="0.05"))
    assert {status for _, status in ways(state)[:2]} == {"never_placed"}
    assert "entry" not in legs(step)[1]


@pytest.mark.parametrize("position", [0, "0.05", "0.2", "-0.1"])
def test_an_exit_whose_position_has_changed_is_dropped(position: Any) -> None:
    state, _ = planned(holding(EXIT, position=position))
    assert (state.orders[0].status, state.orders[0].detail) == ("never_placed", "the position has changed since")


def test_an_exit_of_all_but_dust_stands() -> None:
    assert legs(next_step(holding(EXIT, position="0.1004"))) == ("send", ["exit"])


@pytest.mark.parametrize("orders", [(EXIT, ENTRY), (ENTRY,), (lost("exit"),), (lost("stop"),), ()])
def test_halt_sends_nothing(orders: tuple[Order, ...]) -> None:
    state = holding(*orders, position=LOT)
    for _ in range(3):
        state, step = planned(state, A, "halt")
        assert step == Step()


def test_halt_leaves_the_stop_that_rests() -> None:
    assert next_step(holding(RESTING, EXIT, position=LOT), A, "halt") == Step()


def test_halt_takes_no_stop_back_from_a_position_that_it_could_not_give_back() -> None:
    small = order_of("stop", "sell", "0.05", status="acknowledged", order_id="s")
    assert next_step(holding(small, position=LOT), A, "halt") == Step()


def test_halt_goes_on_looking_for_what_is_not_clear() -> None:
    assert next_step(holding(order_of(status="unknown")), A, "halt", at=60).act == "look"


# --- the paper exchange ---------------------------------------------------------------------------------------------


def test_on_paper_all_that_was_decided_goes_at_once() -> None:
    state, step = planned(holding(EXIT, ENTRY, position=LOT), PAPER)
    assert step == Step(act="send", orders=(EXIT, ENTRY))
    assert state.orders == (EXIT, ENTRY)


def test_on_paper_nothing_else_is_ever_done() -> None:
    for orders in ((order_of(status="unknown"),), (order_of(status="acknowledged", order_id="o"),), (RESTING,), ()):
        assert next_step(holding(*orders, position=LOT), PAPER, at=1000) == Step()


# --- what is written down -------------------------------------------------------------------------------------------


def test_an_order_is_written_down_as_sent_before_it_is() -> None:
    before, step = planned(holding(EXIT, ENTRY, position=LOT))
    state = sent(before, step, seen(LOT, listed("o9")), A, after(7))
    assert ways(state) == [("exit", "sent"), ("entry", "planned")]
    assert (state.orders[0].sent, state.orders[0].before) == (after(7), Before())


@pytest.mark.parametrize("traits", [C, D], ids=lambda traits: traits.identity)
def test_where_it_is_found_by_elimination_what_was_there_before_is_written_down(traits: Traits) -> None:
    before, step = planned(holding(EXIT, position=LOT), traits)
    sight = seen(LOT, listed("o9"), done("e1", "o8"), done("e2", "o9"), reserved=Decimal(7))
    (order,) = sent(before, step, sight, traits, NOW).orders
    assert order.before == Before(ids=("o9", "o8"), reserved=Decimal(7))


@pytest.mark.parametrize("step", [Step(), Step(act="look")])
def test_a_look_writes_nothing_down(step: Step) -> None:
    state = holding(EXIT, RESTING, position=LOT)
    assert sent(state, step, seen(LOT), A, NOW) == state


@pytest.mark.parametrize(
    ("answer", "status", "order_id"),
    [
        (Answer(intent=EXIT.intent.id, outcome="placed", order_id="o1"), "acknowledged", "o1"),
        (Answer(intent=EXIT.intent.id, outcome="placed"), "unknown", ""),
        (Answer(intent=EXIT.intent.id, outcome="refused", detail="no money"), "refused", ""),
        (Answer(intent=EXIT.intent.id, outcome="unknown", detail="time-out"), "unknown", ""),
        (Answer(intent="another", outcome="placed", order_id="o1"), "sent", ""),
    ],
)
def test_what_the_venue_says_is_taken_at_its_word(answer: Answer, status: str, order_id: str) -> None:
    state = holding(replace(EXIT, status="sent", sent=NOW), ENTRY, position=LOT)
    state = answered(state, [answer])
    assert (state.orders[0].status, state.orders[0].order_id) == (status, order_id)
    assert state.orders[1] == ENTRY
    assert not answer.detail or state.orders[0].detail == answer.detail


@pytest.mark.parametrize("status", ["planned", "acknowledged", "partly_filled", "filled", "cancelled", "never_placed"])
@pytest.mark.parametrize("outcome", ["placed", "refused", "unknown"])
def test_an_answer_to_what_was_not_asked_changes_nothing(status: str, outcome: str) -> None:
    state = holding(order_of(status=status, order_id="o1"))
    assert answered(state, [Answer(intent=intent().id, outcome=outcome, order_id="o2")]) == state


# --- all of it, against a venue -------------------------------------------------------------------------------------


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("lag", [0.0, 1.0, 3.0])
def test_an_entry_and_its_stop(traits: Traits, lag: float) -> None:
    driven = drive(holding(order_of(status="planned")), traits, lag=lag, lag_position=lag)
    assert acts(driven.steps) == ["send entry", "send stop"]
    assert driven.steps[-1].act == "none"
    assert [each.intent.amount for each in driven.venue.stops] == [LOT]


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("lag", [0.0, 1.0, 3.0])
def test_a_reversal_in_full(traits: Traits, lag: float) -> None:
    driven = drive(holding(order_of(status="planned")), traits, lag=lag, lag_position=lag)
    bar, state = BAR + HOUR, driven.state
    reversal = order_of("exit", "sell", status="planned", bar=bar), order_of("entry", "sell", status="planned", bar=bar)
    driven.venue.now += timedelta(hours=1)
    again = Drive(driven.venue, replace(state, bar=bar, orders=(*state.orders, *reversal)))
    assert again.run(bar)
    done_at_the_venue = list(dict.fromkeys(acts(again.steps)))
    assert done_at_the_venue == ["cancel stop", "send exit", "send entry", "send stop"]
    assert (driven.venue.position, again.state.trouble) == (-LOT, "")
    assert [(each.intent.side, each.intent.stop) for each in driven.venue.stops] == [("buy", Decimal(41000))]


def test_a_cancel_is_not_repeated_faster_than_a_listing_lags() -> None:
    """A venue counts each request against a limit, and a tick has only so many rounds."""
    driven = drive(holding(order_of(status="planned")), A, lag=3.0, lag_position=3.0)
    bar = BAR + HOUR
    leave = order_of("exit", "sell", status="planned", bar=bar)
    driven.venue.now += timedelta(hours=1)
    again = Drive(driven.venue, replace(driven.state, bar=bar, orders=(*driven.state.orders, leave)), latency=0.01)
    again.run(bar)
    assert acts(again.steps).count("cancel stop") <= 3
    assert again.venue.position == 0
