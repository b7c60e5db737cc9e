"""Guarding: each thing that cannot wait is found, told once, and nothing is found where all is well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.act import Scene
from core.domain.bars import Bars
from core.domain.guarding import (
    BLIND,
    EXITS,
    Facts,
    Findings,
    Memory,
    Needs,
    exits,
    find,
    leaving,
    mode,
    needs,
    remembered,
    ticks_turn,
)
from core.domain.orders import Rules
from core.domain.risk import Trip
from core.domain.risk.breakers import Asked
from core.domain.settle import News
from core.domain.state import BookState, opening
from tests.domain.drawn import BAR, HOUR
from tests.domain.model_venue import BOOK, PRICE, STOP, A, done, holding, listed, order, sight
from tests.policies import plain_policy

MINUTE = timedelta(minutes=1)
AT = BAR + HOUR + 10 * MINUTE  # ten minutes after the close of the bar that was decided last
PLAIN = replace(BOOK, policy=plain_policy(liquidation_buffer=2.0))
LONG = holding(order("stop", "sell", "0.1", "acknowledged", order_id="s1"), position="0.1")
RESTING = listed("s1", "sell", "0.1", "open", stop=STOP, kind="stop")


def facts(state: BookState = LONG, **more: Any) -> Facts:
    given = {"book": PLAIN, "at": AT, "now": AT, "switches": {"global": None, "btc": None}, "state": state}
    return Facts(**given | more)


def found(memory: Memory | None = None, **more: Any) -> Findings:
    return find(facts(**more), memory or Memory())


def told(findings: Findings) -> list[tuple[str, str, str]]:
    return [(alert.event, alert.severity, alert.id) for alert in findings.told]


def tripped(findings: Findings) -> list[tuple[str, str]]:
    return [(trip.breaker, trip.level) for trip in findings.new]


def minutes(*closes: float, until: datetime = AT) -> Bars:
    close = np.array(closes)
    opened = np.concatenate([close[:1], close[:-1]])
    time = int(until.timestamp()) // 60 * 60 - 60 * np.arange(len(close), 0, -1, dtype=np.int64)
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    return Bars(time, opened, high, low, close, np.ones(len(close)))


def flipped(to: str, by: str = "ada", at: datetime = AT, **more: Any) -> dict[str, Any]:
    return {"global": None, "btc": {"mode": to, "by": by, "at": at, "reason": "why not", **more}}


def test_where_all_is_well_nothing_is_found_and_nothing_need_be_remembered() -> None:
    seen = sight("0.1", RESTING, margin=Decimal(3), liquidation=Decimal(30_000))
    findings = found(sight=seen, minutes=minutes(40_000, 40_010, 39_990))
    assert findings == Findings(trips=(), new=(), told=(), memory=Memory())


# -- what trips


def test_a_minute_that_moves_too_far_trips_for_an_hour_and_is_found_once() -> None:
    book = replace(PLAIN, policy=plain_policy(price_move=0.05, price_move_level="flatten"))
    moved = minutes(40_000, 40_000, 37_900, 37_900)
    first = found(book=book, minutes=moved)
    assert tripped(first) == [("price_move", "flatten")]
    assert first.trips[0].until == AT - MINUTE + HOUR
    again = found(book=book, minutes=moved, known=first.trips)
    assert (again.trips, again.new) == (first.trips, ())
    over = found(book=book, minutes=minutes(37_900, 37_900), known=first.trips, now=AT + HOUR)
    assert over.trips == ()
    assert found(book=book, minutes=minutes(40_000, 38_100)).trips == ()


def test_calls_that_fail_or_take_long_trip_over_several_runs() -> None:
    book = replace(PLAIN, policy=plain_policy(error_rate=0.1, errors=3, latency_s=5.0))
    memory = Memory()
    for run in range(3):
        now = AT + run * MINUTE
        asked = Asked(at=now, made=2, failed=1, took=(0.1, 30.0) if run == 2 else (0.1,))
        findings = found(memory, book=book, now=now, asked=asked)
        memory = findings.memory
        assert tripped(findings) == ([] if run < 2 else [("error_rate", "reduce"), ("latency", "reduce")])
    assert len(memory.asked) == 3
    later = found(memory, book=book, now=AT + 20 * HOUR, asked=Asked(at=AT + 20 * HOUR, made=1))
    assert later.trips == ()
    assert len(later.memory.asked) == 1, "what is older than the breakers look at is forgotten"


def test_calls_are_remembered_only_when_there_were_any() -> None:
    window = (Asked(at=AT - 5 * HOUR, made=1),)
    assert remembered(window, None, AT) == window
    assert remembered(window, Asked(at=AT, made=0), AT) == window


@pytest.mark.parametrize(
    ("liquidation", "trips"),
    [
        # In at 40,000 with the stop at 39,000: sized for 38,000, and half of what is beyond the stop may go.
        (Decimal(38_000), []),
        (Decimal(38_500), []),
        (Decimal(38_501), [("liquidation", "flatten")]),
        (Decimal(39_500), [("liquidation", "flatten")]),
        (None, []),
    ],
)
def test_a_liquidation_too_near_takes_the_position_off(liquidation: Decimal | None, trips: list[Any]) -> None:
    findings = found(sight=sight("0.1", RESTING, liquidation=liquidation))
    assert tripped(findings) == trips
    assert all(trip.until is None for trip in findings.trips), "until a person resumes"


def test_a_shorts_liquidation_is_above_it() -> None:
    short = holding(order("stop", "buy", "0.1", "acknowledged"), position="-0.1", stop=Decimal(41_000))
    assert found(state=short, sight=sight("-0.1", liquidation=Decimal(41_600))).trips == ()
    near = found(state=short, sight=sight("-0.1", liquidation=Decimal(41_400)))
    assert tripped(near) == [("liquidation", "flatten")]


def test_a_position_in_profit_is_in_no_danger() -> None:
    """However far the stop is from the price by then."""
    findings = found(sight=sight("0.1", RESTING, liquidation=Decimal(38_000)), minutes=minutes(60_000, 60_000))
    assert findings.trips == ()


@pytest.mark.parametrize(
    ("margin", "trips"),
    [
        ("1.0", []),
        ("0.99", [("margin", "reduce")]),
        ("0.375", [("margin", "reduce")]),
        ("0.37", [("liquidation", "flatten")]),
    ],
)
def test_a_margin_too_low_holds_entries_back_and_near_the_end_takes_all_off(margin: str, trips: list[Any]) -> None:
    book = replace(PLAIN, policy=plain_policy(liquidation_buffer=2.0, margin_least=1.0), rules=Rules())
    assert tripped(found(book=book, sight=sight("0.1", RESTING, margin=Decimal(margin)))) == trips
    flat = found(book=book, state=opening(book), sight=sight(margin=Decimal(margin)))
    assert flat.trips == (), "the margin of a book that holds nothing is somebody else's"


def test_a_person_who_resumes_after_a_trip_ends_it() -> None:
    trip = Trip(breaker="liquidation", level="flatten", since=AT, detail="near")
    assert found(known=(trip,), switches=flipped("run", at=AT - MINUTE)).trips == (trip,)
    assert found(known=(trip,), switches=flipped("reduce", at=AT + MINUTE)).trips == (trip,)
    assert found(known=(trip,), switches=flipped("run", by="hourhand", at=AT + MINUTE)).trips == (trip,)
    assert found(known=(trip,), switches=flipped("run", at=AT + MINUTE)).trips == ()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-90, 90) | st.none()), max_size=6))
def test_of_each_breaker_the_trip_that_lasts_longest_is_kept_while_it_lasts(drawn: list[Any]) -> None:
    known = tuple(
        Trip(breaker=name, level="reduce", since=AT, until=None if ends is None else AT + ends * MINUTE)
        for name, ends in drawn
    )
    trips = found(known=known).trips
    assert len({trip.breaker for trip in trips}) == len(trips)
    assert {trip.breaker for trip in trips} == {t.breaker for t in known if t.until is None or t.until > AT}
    for trip in trips:
        others = [each for each in known if each.breaker == trip.breaker]
        ends = [each.until for each in others if each.until is not None]
        assert trip.until is None or (len(ends) == len(others) and trip.until == max(ends))


# -- what is told


def test_a_flip_is_told_once_with_who_and_why() -> None:
    first = found(switches=flipped("halt"))
    assert told(first) == [("switch", "warning", f"switch-btc-{AT:%Y%m%dT%H%M%S}-halt")]
    assert first.told[0].title == "BTC/USDT: halt, by ada"
    assert (first.told[0].text, first.told[0].book) == ("why not", "btc")
    assert told(found(first.memory, switches=flipped("halt"))) == []
    back = found(first.memory, switches=flipped("run", by="bob", at=AT + MINUTE))
    assert back.told[0].title == "BTC/USDT: resumed, by bob"


def test_the_global_switch_is_told_of_under_one_name_by_every_book() -> None:
    document = {"mode": "halt", "by": "ada", "at": AT, "reason": ""}
    other = replace(PLAIN, id="eth", symbol="ETH/USDT")
    told_of = [found(book=book, switches={"global": document, book.id: None}).told[0].id for book in (PLAIN, other)]
    assert told_of[0] == told_of[1]
    assert found(switches={"global": document, "btc": None}).told[0].book == ""


def test_what_the_book_flipped_by_itself_is_remembered_and_not_told_again() -> None:
    findings = found(switches=flipped("halt", by="hourhand"))
    assert told(findings) == []
    assert findings.memory.switches


@pytest.mark.parametrize("data", ["halt", 3, {"mode": "what?"}, {"mode": "halt", "at": "noon"}, {}])
def test_a_switch_that_cannot_be_read_is_told_as_a_halt(data: Any) -> None:
    findings = found(switches={"global": data, "btc": None})
    assert [alert.title for alert in findings.told] == ["every book: halt, by nobody said"]
    assert told(found(findings.memory, switches={"global": data, "btc": None})) == []


def test_a_tick_that_is_overdue_is_told_for_each_bar_and_its_return_once() -> None:
    memory, events = Memory(), list[tuple[int, str]]()
    for minute in range(0, 190, 5):
        now = BAR + HOUR + minute * MINUTE
        last = BAR if minute < 150 else BAR + 2 * HOUR
        findings = found(memory, state=replace(LONG, bar=last), at=now, now=now)
        memory, events = findings.memory, [*events, *((minute, alert.event) for alert in findings.told)]
    assert events == [(75, "tick_overdue"), (135, "tick_overdue"), (150, "recovery")]
    assert found(state=opening(BOOK), at=AT + 50 * HOUR).told == (), "it has never ticked"


def test_a_venue_that_does_not_answer_is_told_at_the_third_run_and_its_return_once() -> None:
    memory, events = Memory(), list[tuple[int, str]]()
    answers = [False, False, True, False, False, False, False, True, True]
    for run, answering in enumerate(answers):
        more: dict[str, Any] = {"sight": sight("0.1", RESTING)} if answering else {"failure": "no route"}
        findings = found(memory, now=AT + run * MINUTE, **more)
        memory, events = findings.memory, [*events, *((run, alert.event) for alert in findings.told)]
    assert events == [(5, "monitoring"), (7, "recovery")]
    assert BLIND == 3


def test_a_position_that_no_exit_closes_is_told_of_once() -> None:
    tried = tuple(order("exit", "sell", "0.1", "refused", attempt=n) for n in range(EXITS))
    stuck = found(state=holding(*tried, position="0.1"))
    assert [(alert.event, alert.severity) for alert in stuck.told] == [("trouble", "critical")]
    assert found(stuck.memory, state=holding(*tried, position="0.1")).told == ()
    assert found(state=holding(*tried)).told == ()


# -- what must be done


def scene(**more: Any) -> Scene:
    return Scene(**{"book": PLAIN, "traits": A, "mode": "run", "bar": BAR, "now": AT, "fresh": False} | more)


def needed(state: BookState, wanted: str = "run", before: BookState | None = None, **more: Any) -> Needs:
    return needs(state, more.pop("news", News()), scene(**more), before or state, wanted)


def test_a_position_with_its_stop_and_a_flat_book_need_nothing() -> None:
    assert needed(LONG) == needed(holding()) == Needs()


@pytest.mark.parametrize(
    "stop", [[], [order("stop", "sell", "0.1", "cancelled")], [order("stop", "sell", "0.05", "acknowledged")]]
)
def test_a_stop_that_vanished_is_urgent(stop: list[Any]) -> None:
    assert needed(holding(*stop, position="0.1")).urgent
    assert needed(holding(*stop, position="0.1"), mode="halt") == Needs(), "halt sends nothing"
    assert needed(holding(*stop, position="0.1", trouble="look")) == Needs(), "a person must look first"


def test_what_is_to_be_flattened_is_urgent_until_as_many_exits_as_there_may_be() -> None:
    assert needed(LONG, "flatten", mode="flatten") == Needs(why=("the position must go",), urgent=True)
    assert needed(holding(), "flatten", mode="flatten") == Needs()
    assert needed(LONG, "halt", mode="halt") == Needs()
    tried = tuple(order("exit", "sell", "0.1", "refused", attempt=n) for n in range(EXITS))
    assert needed(replace(LONG, orders=(*LONG.orders, *tried)), "flatten", mode="flatten") == Needs()


def test_fills_and_orders_that_are_not_known_are_to_be_written_down() -> None:
    filled = News(fills=(done("e9", "s1", "sell"),))
    assert needed(holding(), news=filled) == Needs(why=("1 fills to be booked",))
    unknown = holding(order("entry", status="unknown"))
    assert "orders of which the outcome is not known" in needed(unknown).why
    assert "orders of which the outcome is not known" in needed(holding(), before=unknown).why
    assert needed(holding(trouble="look"), before=holding()).why == ("trouble",)


def test_an_entry_that_a_tick_left_goes_only_while_it_is_fresh_and_permitted() -> None:
    planned = holding(order("entry", status="planned"))
    assert needed(planned, fresh=True).why == ("send entry",)
    assert needed(planned, fresh=False) == needed(planned, fresh=True, mode="reduce") == Needs()


def test_an_exit_takes_the_next_attempt_of_the_bar_for_all_that_is_held() -> None:
    tried = order("exit", "sell", "0.1", "refused"), order("exit", "sell", "0.1", "never_placed", attempt=1)
    state = leaving(replace(LONG, orders=(*LONG.orders, *tried)), scene(mode="flatten"))
    intent = state.orders[-1].intent
    assert (intent.leg, intent.side, intent.amount, intent.attempt) == ("exit", "sell", Decimal("0.1"), 2)
    assert intent.id not in {each.intent.id for each in state.orders[:-1]}
    assert exits(state, BAR) == 3
    assert leaving(state, scene(mode="flatten")) == state, "one is under way"


@pytest.mark.parametrize(
    "state",
    [
        holding(),
        replace(LONG, trouble="look"),
        replace(LONG, mismatches=1),
        replace(LONG, orders=(*LONG.orders, order("entry", status="unknown"))),
        holding(position="0.0004"),
    ],
)
def test_no_exit_where_there_is_nothing_to_close_or_it_is_not_clear_what(state: BookState) -> None:
    book = replace(PLAIN, rules=replace(PLAIN.rules, minimum_amount=Decimal("0.001")))
    assert leaving(state, scene(mode="flatten", book=book)) == state
    assert leaving(LONG, scene(mode="flatten", traits=replace(A, instant=False))) == LONG


def test_a_breaker_of_the_books_own_that_lasts_for_a_time_counts() -> None:
    assert mode(PLAIN, LONG, "run", AT) == "run"
    kept = replace(LONG, tripped=(Trip(breaker="drawdown", level="flatten", since=AT),), marks=None)
    assert mode(PLAIN, kept, "reduce", AT) == "flatten"
    assert mode(PLAIN, LONG, "halt", AT) == "halt"


@pytest.mark.parametrize(
    ("seconds", "turn"), [(-16, False), (-15, True), (0, True), (44, True), (46, False), (1800, False)]
)
def test_around_a_close_the_book_is_the_ticks(seconds: int, turn: bool) -> None:
    close = BAR + 2 * HOUR
    assert ticks_turn(BOOK, BAR, close + timedelta(seconds=seconds)) is turn
    assert not ticks_turn(BOOK, BAR + HOUR, close + timedelta(seconds=seconds)), "it has ticked"


def test_times_are_those_that_these_tests_mean() -> None:
    assert (BAR.tzinfo, PRICE, STOP) == (UTC, Decimal(40_000), Decimal(39_000))
