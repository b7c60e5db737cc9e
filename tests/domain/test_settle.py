"""Settling, rule by rule: which order is which, what was executed, what never arrived, and when a person must look."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from core.domain.orders import ZERO, Before, Fill, Holding, Listed, Order, Sight, Status, Traits
from core.domain.settle import LOOKS, News, expected, resumed, settle
from core.domain.state import BookState, Trade, opening
from tests.domain.drawn import BAR
from tests.domain.model_venue import BOOK, CLASSES, LOT, NOW, STOP, A, B, C, D, after, done, holding, intent, listed
from tests.domain.model_venue import order as order_of
from tests.domain.model_venue import sight as seen

LATER = A.window_s + 1  # seconds after which no request can arrive any more
STOP_SEEN = {"kind": "stop", "stop": STOP}


def settled(
    state: BookState, sight: Sight, traits: Traits = A, at: float = LATER, times: int = 1
) -> tuple[BookState, News]:
    """After so many looks at the same sight, from `at` seconds after NOW on, 3 s apart; with all of their news."""
    fills: list[Fill] = []
    trades: list[Trade] = []
    lost: list[Order] = []
    for i in range(times):
        state, news = settle(state, sight, BOOK, traits, after(at + 3 * i))
        fills, trades, lost = [*fills, *news.fills], [*trades, *news.trades], [*lost, *news.lost]
    return state, replace(news, fills=tuple(fills), trades=tuple(trades), lost=tuple(lost))


def only(state: BookState) -> Order:
    (order,) = state.orders
    return order


def unanswered(**more: object) -> Order:
    return order_of(status="unknown", before=Before(ids=("old",)), **more)


# --- found by our own id --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traits", [A, B])
@pytest.mark.parametrize("status", ["sent", "unknown"])
def test_an_order_is_found_by_the_tag_that_the_venue_keeps(traits: Traits, status: Status) -> None:
    state = holding(order_of(status=status))
    tagged = listed("o1", status="open", tag=intent().id)
    found = only(settled(state, seen(0, tagged), traits)[0])
    assert (found.order_id, found.status) == ("o1", "acknowledged")


@pytest.mark.parametrize("traits", [A, B])
def test_where_the_venue_keeps_tags_an_order_without_ours_is_never_taken(traits: Traits) -> None:
    state, news = settled(holding(unanswered()), seen(0, listed("o1", status="open")), traits, times=2)
    assert (only(state).status, only(state).order_id) == ("never_placed", "")
    assert news.lost == state.orders


def test_an_order_is_found_in_one_look_with_what_was_executed_of_it() -> None:
    tagged = listed("o1", tag=intent().id, executed=LOT)
    state, news = settled(holding(unanswered()), seen(LOT, tagged, done("e1", "o1")))
    assert (only(state).status, only(state).filled) == ("filled", LOT)
    assert [fill.id for fill in news.fills] == ["e1"]
    assert (state.holding.position, state.holding.stop) == (LOT, STOP)


# --- found by elimination -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traits", [C, D])
@pytest.mark.parametrize("status", ["open", "filled", "cancelled"])
def test_the_only_new_order_that_equals_ours_is_ours(traits: Traits, status: str) -> None:
    sight = seen(0, listed("old"), listed("new", status=status))
    assert only(settled(holding(unanswered()), sight, traits)[0]).order_id == "new"


def test_the_only_new_order_that_was_executed_already_is_ours() -> None:
    """Where only open orders are listed, what is filled shows in the executions alone."""
    sight = seen(LOT, done("e0", "old"), done("e1", "new", amount="0.06"), done("e2", "new", amount="0.04"))
    state, news = settled(holding(unanswered()), sight, D)
    assert (only(state).order_id, only(state).status) == ("new", "filled")
    assert [fill.id for fill in news.fills] == ["e1", "e2"]


@pytest.mark.parametrize("traits", [C, D])
@pytest.mark.parametrize(
    "strange",
    [
        [listed("a"), listed("b")],
        [listed("a"), listed("b", amount="0.2")],
        [listed("a", side="sell")],
        [listed("a", amount="0.2")],
        [listed("a", kind="stop", stop=STOP)],
        [listed("a", kind="other")],
        [done("e1", "a", side="sell")],
        [done("e1", "a", amount="0.06"), done("e2", "a", amount="0.06")],
    ],
    ids=["two", "two, one unequal", "side", "amount", "stop", "limit", "sold", "executed more"],
)
def test_two_new_orders_or_one_that_differs_are_never_taken_but_trouble(traits: Traits, strange: list[Listed]) -> None:
    state, _ = settled(holding(unanswered()), seen(0, *strange), traits, times=LOOKS - 1)
    assert (only(state).status, only(state).order_id, state.trouble) == ("unknown", "", "")
    state, news = settled(state, seen(0, *strange), traits, at=LATER + 100)
    assert (only(state).status, only(state).order_id) == ("unknown", "")
    assert "orders that may be it or not have appeared: a" in state.trouble == news.trouble


@pytest.mark.parametrize("trigger", [STOP, STOP - 1])
def test_a_stop_is_known_by_its_trigger_price(trigger: Decimal) -> None:
    stop = order_of("stop", "sell", status="unknown")
    sight = seen(LOT, listed("new", "sell", status="open", kind="stop", stop=trigger))
    state, _ = settled(holding(stop, position=LOT), sight, D)
    assert only(state).order_id == ("new" if trigger == STOP else "")


def test_an_order_of_ours_is_not_taken_for_another_of_ours() -> None:
    first = order_of(status="acknowledged", order_id="mine", attempt=0)
    second = order_of(status="unknown", attempt=1)
    state, _ = settled(holding(first, second), seen(0, listed("mine", status="open")), C, times=2)
    assert [order.order_id for order in state.orders] == ["mine", ""]
    assert state.orders[1].status == "never_placed"


def test_an_ended_order_of_ours_is_not_taken_for_another_of_ours() -> None:
    first = order_of(status="cancelled", order_id="mine", attempt=0)
    state, _ = settled(holding(first, order_of(status="unknown", attempt=1)), seen(0, listed("mine")), C, times=2)
    assert [order.status for order in state.orders] == ["cancelled", "never_placed"]


# --- never arrived --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("status", ["sent", "unknown"])
def test_seeing_nothing_while_a_request_may_still_arrive_means_nothing(traits: Traits, status: Status) -> None:
    state = holding(order_of(status=status))
    for second in (0, 3, 6, 9, traits.window_s):
        state, news = settled(state, seen(0), traits, at=second)
        assert (only(state).status, only(state).looks, news.lost, news.trouble) == ("unknown", 0, (), "")


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("looks", [1, 2, 4])
def test_what_so_many_looks_do_not_show_once_its_window_has_passed_never_arrived(traits: Traits, looks: int) -> None:
    traits = replace(traits, looks=looks)
    state, _ = settled(holding(unanswered()), seen(0), traits, times=looks - 1) if looks > 1 else (None, None)
    state = state or holding(unanswered())
    assert only(state).status == "unknown"
    state, news = settled(state, seen(0), traits, at=LATER + 100)
    assert only(state).status == "never_placed"
    assert (news.lost, news.trouble) == (state.orders, "")
    assert settled(state, seen(0), traits, at=LATER + 200)[1].lost == (), "told once"


def test_looks_in_quick_succession_are_one() -> None:
    """A listing lags as a whole: looking ten times within two seconds shows the same ten times."""
    state = holding(unanswered())
    for tenth in range(20):
        state, _ = settled(state, seen(0), A, at=LATER + tenth / 10)
    assert (only(state).status, only(state).looks) == ("unknown", 1)
    assert only(settled(state, seen(0), A, at=LATER + 2)[0]).status == "never_placed"


def test_orders_of_others_from_before_prove_nothing() -> None:
    state, _ = settled(holding(unanswered()), seen(0, listed("old"), done("e0", "old")), C, times=2)
    assert only(state).status == "never_placed"


@pytest.mark.parametrize(
    "sight",
    [seen(LOT, reserved=ZERO), seen(0, reserved=Decimal(4000)), seen(0, reserved=None)],
    ids=["position", "money", "silent"],
)
def test_where_position_or_money_moved_nothing_is_proven_but_a_person_must_look(sight: Sight) -> None:
    """The venue lists neither ended orders nor, yet, executions: but something has happened."""
    state = holding(replace(unanswered(), before=Before(reserved=ZERO)))
    state, _ = settled(state, sight, D, times=LOOKS - 1)
    assert (only(state).status, state.trouble) == ("unknown", "")
    state, news = settled(state, sight, D, at=LATER + 100)
    assert only(state).status == "unknown"
    assert "was not answered" in state.trouble == news.trouble


def test_money_that_was_held_back_before_is_no_sign() -> None:
    state = holding(replace(unanswered(), before=Before(reserved=Decimal(500))))
    assert only(settled(state, seen(0, reserved=Decimal(500)), D, times=2)[0]).status == "never_placed"


@pytest.mark.parametrize("traits", [A, B, C])
def test_where_every_order_is_listed_the_position_proves_nothing(traits: Traits) -> None:
    """Somebody else may have traded: that is a matter of its own."""
    state, _ = settled(holding(unanswered()), seen("0.7"), traits, times=2)
    assert only(state).status == "never_placed"


def test_what_is_planned_is_no_business_of_the_venue() -> None:
    state, news = settled(holding(order_of(status="planned")), seen(0), A, times=9)
    assert (only(state), news.lost) == (order_of(status="planned"), ())


@pytest.mark.parametrize("traits", [A, B])
@pytest.mark.parametrize("status", ["open", "filled", "cancelled"])
def test_an_order_that_had_never_arrived_and_is_listed_later_is_trouble(traits: Traits, status: str) -> None:
    state, _ = settled(holding(unanswered()), seen(0), traits, times=2)
    late = listed("o1", status=status, tag=intent().id)
    state, news = settled(state, seen(0, late), traits, at=LATER + 100)
    assert "had never arrived, and now the venue lists it" in state.trouble == news.trouble


@pytest.mark.parametrize("traits", [C, D])
def test_an_order_that_had_never_arrived_and_is_executed_later_is_trouble(traits: Traits) -> None:
    state, _ = settled(
        holding(replace(unanswered(), before=Before(reserved=ZERO))), seen(0, reserved=ZERO), traits, times=2
    )
    assert only(state).status == "never_placed"
    late = seen(LOT, listed("o1"), done("e1", "o1"), reserved=ZERO)
    state, news = settled(state, late, traits, at=LATER + 100, times=3)
    assert news.trouble and not news.fills


# --- executions -----------------------------------------------------------------------------------------------------


def test_an_execution_is_booked_once_however_often_it_is_listed() -> None:
    state = holding(order_of(status="acknowledged", order_id="o1"))
    one, two = done("e1", "o1", amount="0.04"), done("e2", "o1", amount="0.06")
    state, news = settled(state, seen("0.04", one, one, listed("o1", status="open")), times=3)
    assert ([fill.id for fill in news.fills], only(state).status) == (["e1"], "partly_filled")
    state, news = settled(state, seen(LOT, one, two, one), at=100, times=3)
    assert ([fill.id for fill in news.fills], only(state).status) == (["e2"], "filled")
    assert state.holding.position == LOT


def test_executions_of_others_are_not_ours() -> None:
    state, news = settled(holding(), seen("0.3", done("e1", "theirs", amount="0.3")))
    assert (news.fills, state.holding.position) == ((), 0)


def test_a_stop_that_came_with_its_entry_needs_no_order_of_ours() -> None:
    state, news = settled(holding(position=LOT), seen(0, done("e1", "stop1", "sell", price="39000", cause="stop")))
    assert [(fill.cause, trade.cause) for fill, trade in zip(news.fills, news.trades, strict=True)] == [
        ("stop", "stop")
    ]
    assert state.holding.position == 0


@pytest.mark.parametrize("leg", ["entry", "exit", "stop"])
def test_a_fill_has_its_orders_leg_for_a_cause_and_its_bar(leg: str) -> None:
    side = "buy" if leg == "entry" else "sell"
    held = holding(order_of(leg, side, status="acknowledged", order_id="o1"), position=0 if leg == "entry" else LOT)
    _, news = settled(held, seen(LOT if leg == "entry" else 0, done("e1", "o1", side)))
    (fill,) = news.fills
    assert (fill.cause, fill.bar, fill.stop) == (leg, BAR.replace(hour=13), STOP if leg == "entry" else None)


@pytest.mark.parametrize("executed", [LOT, ZERO, None])
def test_executions_that_lag_behind_a_filled_status_are_waited_for(executed: Decimal | None) -> None:
    """Whatever the listing itself says was executed: an order with `filled` 0 must not orphan a position."""
    state = holding(order_of(status="acknowledged", order_id="o1"))
    listing = listed("o1", executed=executed)
    state, news = settled(state, seen(LOT, listing), times=LOOKS - 1)
    assert (only(state).ended, news.trouble) == (False, "")
    state, news = settled(state, seen(LOT, listing, done("e1", "o1")), at=200)
    assert (only(state).status, state.holding.position, news.trouble) == ("filled", LOT, "")


def test_executions_that_never_come_are_trouble() -> None:
    state = holding(order_of(status="acknowledged", order_id="o1"))
    state, news = settled(state, seen(LOT, listed("o1")), times=LOOKS)
    assert "does not tell what became of it; 0 of it was executed" in state.trouble == news.trouble


def test_executions_of_a_stop_are_waited_for_as_long_as_those_of_an_entry() -> None:
    state = holding(order_of("stop", "sell", status="acknowledged", order_id="s"), position=LOT)
    listing = listed("s", "sell", executed=LOT, **STOP_SEEN)
    state, news = settled(state, seen(0, listing), times=LOOKS - 1)
    assert news.trouble == ""
    state, news = settled(state, seen(0, listing, done("e1", "s", "sell")), at=200)
    assert (state.holding.position, only(state).status, news.trouble) == (0, "filled", "")


@pytest.mark.parametrize("status", ["cancelled", "expired"])
@pytest.mark.parametrize("executed", [Decimal("0.04"), None])
def test_an_order_that_is_taken_back_in_the_middle_leaves_its_part(status: Status, executed: Decimal | None) -> None:
    state = holding(order_of(status="acknowledged", order_id="o1"))
    part = done("e1", "o1", amount="0.04")
    state, _ = settled(state, seen("0.04", part, listed("o1", status=status, executed=executed)))
    assert (only(state).status, only(state).filled) == (status, Decimal("0.04"))
    assert (state.holding.position, state.holding.stop, state.trouble) == (Decimal("0.04"), STOP, "")


def test_the_part_of_an_order_that_was_taken_back_is_waited_for_too() -> None:
    state = holding(order_of(status="acknowledged", order_id="o1"))
    listing = listed("o1", status="cancelled", executed=Decimal("0.04"))
    state, _ = settled(state, seen("0.04", listing), times=2)
    assert not only(state).ended
    state, _ = settled(state, seen("0.04", listing, done("e1", "o1", amount="0.04")), at=200)
    assert (only(state).status, state.holding.position) == ("cancelled", Decimal("0.04"))


def test_an_execution_told_after_its_order_had_ended_is_still_booked() -> None:
    state = holding(order_of(status="cancelled", order_id="o1"))
    state, _ = settled(state, seen("0.04", done("e1", "o1", amount="0.04")))
    assert (only(state).status, only(state).filled, state.holding.position) == ("cancelled", *[Decimal("0.04")] * 2)


def test_a_resting_stop_executes_by_itself() -> None:
    state = holding(order_of("stop", "sell", status="acknowledged", order_id="s"), position=LOT)
    state, news = settled(state, seen(LOT, listed("s", "sell", status="open", **STOP_SEEN)), times=9)
    assert (only(state).status, only(state).looks) == ("acknowledged", 0)
    sight = seen(0, listed("s", "sell", executed=LOT, **STOP_SEEN), done("e1", "s", "sell", price="39000"))
    state, news = settled(state, sight, at=200)
    assert (only(state).status, state.holding.position, news.trouble) == ("filled", 0, "")
    assert [(trade.cause, trade.pnl) for trade in news.trades] == [("stop", Decimal(-104))]


def test_what_is_left_as_dust_closes_the_trade() -> None:
    state = holding(order_of("exit", "sell", amount="0.1", status="acknowledged", order_id="x"), position="0.1004")
    state, news = settled(state, seen("0.0004", done("e1", "x", "sell")))
    assert [trade.amount for trade in news.trades] == [LOT]
    assert (state.holding.position, state.holding.stop, state.holding.opened) == (Decimal("0.0004"), None, None)
    assert settled(state, seen("0.0004", done("e1", "x", "sell")), at=100, times=9)[0].trouble == ""


def test_an_execution_of_nothing_is_passed_over() -> None:
    state = holding(order_of(status="acknowledged", order_id="o1"))
    state, _ = settled(state, seen(0, done("e1", "o1", amount="0"), listed("o1", status="open")))
    assert (state.holding, only(state).status) == (Holding(cash=Decimal(10000)), "acknowledged")


def test_an_order_that_the_venue_refused_later_is_refused() -> None:
    state = holding(unanswered())
    state, _ = settled(state, seen(0, listed("o1", status="refused", tag=intent().id)))
    assert only(state).status == "refused"


def test_an_order_that_the_venue_took_and_never_lists_is_trouble_in_the_end() -> None:
    state = holding(order_of(status="acknowledged", order_id="o1"))
    assert settled(state, seen(0), times=LOOKS - 1)[0].trouble == ""
    assert settled(state, seen(0), times=LOOKS)[0].trouble


# --- whether the position agrees ------------------------------------------------------------------------------------


def test_a_position_that_nothing_explains_is_counted_and_then_trouble() -> None:
    state = holding(position=LOT)
    counts = []
    for i in range(LOOKS // 2):
        assert state.trouble == ""
        state, news = settled(state, seen("0.3"), at=3 * i)
        counts.append(state.mismatches)
    assert counts == [1, 2, 3]
    assert "the book holds 0.1, the venue says 0.3" in state.trouble == news.trouble


def test_a_position_that_comes_to_agree_is_forgiven() -> None:
    state, _ = settled(holding(position=LOT), seen(0), times=2)
    state, _ = settled(state, seen(LOT), at=100)
    assert (state.mismatches, state.looked, state.trouble) == (0, None, "")
    assert settled(state, seen(0), at=200, times=2)[0].trouble == "", "counted anew"


def test_looks_in_quick_succession_count_one_mismatch() -> None:
    state = holding(position=LOT)
    for tenth in range(20):
        state, _ = settled(state, seen(0), at=tenth / 10)
    assert state.mismatches == 1


@pytest.mark.parametrize("status", ["sent", "unknown", "acknowledged", "partly_filled"])
def test_while_an_order_may_move_the_position_a_difference_is_no_mismatch(status: Status) -> None:
    name = "" if status in ("sent", "unknown") else "o1"
    filled = Decimal("0.05") if status == "partly_filled" else ZERO
    state = holding(order_of(status=status, order_id=name, filled=filled), position=filled)
    sight = seen("0.07", listed("o1", status="open")) if name else seen("0.07")
    assert settled(state, sight, at=0, times=3)[0].mismatches == 0


def test_trouble_stays_until_a_person_says_so() -> None:
    state, _ = settled(holding(position=LOT), seen(0), times=3)
    state, news = settled(state, seen(LOT), at=100)
    assert state.trouble == news.trouble != ""


def test_on_spot_what_was_there_before_the_first_look_is_not_ours() -> None:
    spot = replace(D, spot=True)
    state, _ = settled(opening(BOOK), seen("2.5"), spot, times=9)
    assert (state.outside, state.holding.position, state.mismatches) == (Decimal("2.5"), 0, 0)
    state = replace(state, orders=(order_of(status="acknowledged", order_id="o1"),))
    state, _ = settled(state, seen("2.6", done("e1", "o1")), spot, at=100, times=3)
    assert (state.outside, state.holding.position, expected(state)) == (Decimal("2.5"), LOT, Decimal("2.6"))
    assert settled(state, seen("0.1"), spot, at=200, times=3)[0].trouble


def test_elsewhere_a_position_before_the_first_look_is_a_mismatch() -> None:
    state, _ = settled(opening(BOOK), seen("2.5"), A)
    assert (state.outside, state.mismatches) == (0, 1)


# --- resumed by a person --------------------------------------------------------------------------------------------


def test_resumed_all_is_counted_anew() -> None:
    stop = order_of("stop", "sell", status="acknowledged", order_id="s")
    state, _ = settled(holding(replace(stop, looks=4), position=LOT), seen("0.3"), times=3)
    assert state.trouble
    resting = seen(LOT, listed("s", "sell", status="open", **STOP_SEEN))
    again = resumed(state, resting, A)
    assert (again.trouble, again.mismatches, only(again).looks) == ("", 0, 0)
    assert (again.holding, only(again).status) == (state.holding, "acknowledged")
    assert settled(again, resting, at=200)[0].trouble == ""


def test_resumed_what_has_no_name_at_the_venue_never_arrived() -> None:
    state = holding(unanswered(), trouble="a person must look")
    again = resumed(state, seen(0), D)
    assert only(again).status == "never_placed"
    assert settled(again, seen(0), D, at=200, times=3)[0].trouble == ""


def test_resumed_where_the_venue_holds_nothing_the_book_holds_nothing_at_its_last_mark() -> None:
    stop = order_of("stop", "sell", status="acknowledged", order_id="s")
    state = holding(stop, position=LOT, equity=Decimal(10123), trouble="a person must look")
    again = resumed(state, seen(0, done("e9", "s", "sell")), A)
    assert (again.holding, again.open_orders) == (Holding(cash=Decimal(10123)), ())
    again, news = settled(again, seen(0, done("e9", "s", "sell")), at=200, times=3)
    assert (again.holding.position, news.fills, again.trouble) == (0, (), "")


def test_resumed_where_the_venue_holds_something_else_it_halts_again() -> None:
    state, _ = settled(holding(position=LOT), seen("0.3"), times=3)
    assert settled(resumed(state, seen("0.3"), A), seen("0.3"), at=200, times=3)[0].trouble


def test_a_person_can_resume_after_an_order_that_appeared_late() -> None:
    """The person took it back; the venue lists it still."""
    state, _ = settled(holding(unanswered()), seen(0), B, times=2)
    late = seen(0, listed("o1", status="cancelled", tag=intent().id, executed=ZERO))
    state, _ = settled(state, late, B, at=100)
    assert state.trouble
    assert settled(resumed(state, late, B), late, B, at=200, times=LOOKS)[0].trouble == ""


@pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)
def test_a_person_can_resume_after_an_order_that_the_venue_has_forgotten(traits: Traits) -> None:
    state, _ = settled(holding(order_of(status="acknowledged", order_id="o1")), seen(0), traits, times=LOOKS)
    assert state.trouble
    assert settled(resumed(state, seen(0), traits), seen(0), traits, at=200, times=LOOKS)[0].trouble == ""


def test_an_order_that_is_listed_now_is_not_given_up() -> None:
    state = holding(unanswered(), trouble="a person must look")
    sight = seen(0, listed("o1", status="open", tag=intent().id))
    again, _ = settled(resumed(state, sight, A), sight, A, at=200)
    assert (only(again).status, again.trouble) == ("acknowledged", "")


def test_a_stop_that_still_rests_is_not_forgotten_when_a_person_resumes() -> None:
    """The person closed the position by hand: the stop would open one."""
    stop = order_of("stop", "sell", status="acknowledged", order_id="s")
    state = holding(stop, position=LOT, trouble="a person must look")
    sight = seen(0, listed("s", "sell", status="open", **STOP_SEEN))
    again, _ = settled(resumed(state, sight, A), sight, A, at=200)
    assert again.holding.position == 0
    assert [order.order_id for order in again.open_orders] == ["s"]


def test_nothing_new_is_no_change() -> None:
    state, news = settle(holding(position=LOT), seen(LOT), BOOK, A, NOW)
    assert (state, news) == (holding(position=LOT), News())
