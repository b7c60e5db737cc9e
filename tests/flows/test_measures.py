"""measures: a line of the log for each answer and each failure, that says what was decided on and nothing twice."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters import json_log
from core.domain.bars import Bars
from core.domain.orders import Answer, Order
from core.domain.state import opening
from core.flows import measures
from core.flows.guard import guard
from core.flows.measures import AUDIT, FIELDS, LOGGER, REPEATED, Measure
from core.flows.switches import flip
from core.ports import Conflict, Document, StateStore, Unavailable, Watch, World, Write
from tests.domain.model_venue import NOW, holding, order
from tests.flows.test_guard import MINUTE, Place, minutes, place
from tests.flows.test_outside import ground
from tests.flows.test_outside import record as outside_record
from tests.flows.test_tick import EAGER, entered, record, run
from tests.road import ArrayVix, Road, road, small_book, vix

Lines = Callable[[str], list[dict[str, Any]]]
DECISION = ("mode", "action", "price", "p_up", "vix", "vix_regime", "model", "model_age_days", "lateness_s")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The lines of one event so far, as fields; none of them has any that FIELDS does not name."""
    caplog.set_level(logging.INFO, LOGGER)
    caplog.set_level(logging.INFO, AUDIT)
    plain = vars(logging.makeLogRecord({})).keys() | {"message"}

    def told(event: str) -> list[dict[str, Any]]:
        fields = [
            {name: value for name, value in vars(line).items() if name not in plain}
            for line in caplog.records
            if line.name in (LOGGER, AUDIT)
        ]
        assert [each for each in fields if set(each) - set(FIELDS[each["event"]])] == []
        return [each for each in fields if each["event"] == event]

    return told


def measured(made: Road, index: int, world: World | None = None) -> tuple[Document, dict[str, Any]]:
    """What a tick answers, and what its line would hold."""
    with measures.collected("tick", made.book.id) as measure:
        said = run(made, index, world)
    return said, msgspec.to_builtins(measure)


# -- an answer


def test_a_tick_measures_what_it_decided_on() -> None:
    made, index = entered()
    said, measure = measured(made, index)
    seen = record(made, index)["view"]
    assert {name: measure[name] for name in ("mode", "action", "model")} == {
        name: said[name] for name in ("mode", "action", "model")
    }
    assert (measure["price"], measure["p_up"]) == (seen["price"], seen["p_up"])
    assert (measure["equity"], measure["position"]) == (float(said["equity"]), float(said["position"]))
    worth = abs(measure["position"]) * measure["price"] / measure["equity"]
    assert measure["exposure"] == pytest.approx(worth) and worth > 0
    age = made.at(index, 0.0) - made.model.manifest.data_until
    assert measure["model_age_days"] == age / timedelta(days=1)
    assert measure["lateness_s"] == (made.clock.now() - made.at(index, 0.0)).total_seconds()
    assert (measure["unsettled"], measure["trouble"]) == (0, False)


def test_the_vix_and_what_it_is_taken_for() -> None:
    made = road(small_book("vix53", vix_calm=15.0), daily=vix())
    _, measure = measured(made, made.first)
    assert measure["vix"] == record(made, made.first)["view"]["vix"] < 15.0
    assert measure["vix_regime"] == "risk_on"


def test_what_is_not_known_is_absent() -> None:
    made = road(small_book(**EAGER))
    made.world.state.commit([Write("models/btc", None)])
    said, measure = measured(made, made.first)
    assert said["reason"] == "model_missing"
    assert {"p_up", "vix", "model", "model_age_days"} & measure.keys() == set()
    assert (measure["vix_regime"], measure["position"], measure["exposure"]) == ("unknown", 0.0, 0.0)


def test_a_call_for_a_decided_bar_is_no_second_tick() -> None:
    made, index = entered()
    said, measure = measured(made, index - 1)
    assert said["outcome"] == "traded", "the answer stays what it was"
    assert measure == {"event": "tick", "book": "btc", "outcome": REPEATED}


def test_neither_is_one_that_another_invocation_keeps_from_the_book() -> None:
    made, index = entered()
    run(made, index + 3)
    _, measure = measured(made, index)
    assert measure == {"event": "tick", "book": "btc"}


def test_a_tick_that_carries_on_measures_what_had_been_decided() -> None:
    class Dying:
        """Dies after it has decided."""

        def __init__(self, store: StateStore) -> None:
            self.store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
            versions = self.store.commit(writes, watch)
            if watch is not None:
                raise KeyboardInterrupt
            return versions

    made = road(small_book(**EAGER))
    with pytest.raises(KeyboardInterrupt):
        run(made, made.first, replace(made.world, state=Dying(made.world.state)))
    made.clock.advance(timedelta(seconds=made.world.lease_s + 1))
    said, measure = measured(made, made.first)
    assert said["outcome"] == "traded"
    assert measure["price"] == record(made, made.first)["view"]["price"]
    assert set(DECISION) - measure.keys() == {"model_age_days", "vix"}


def test_where_nobody_asks_nothing_is_measured_and_a_flow_runs_as_it_did() -> None:
    made = road(small_book(**EAGER))
    assert run(made, made.first)["outcome"] == "traded"


def test_every_field_reaches_the_line_as_the_number_or_text_that_it_is() -> None:
    whole = {
        field.name: {"int": 3, "float": 1.5, "bool": True}.get(str(field.type).partition(" ")[0], f"of {field.name}")
        for field in msgspec.structs.fields(Measure)
    }
    before, out = [*logging.getLogger().handlers], io.StringIO()
    json_log.setup("INFO", stream=out)
    try:
        measures.answered(
            Measure(**whole), {"outcome": "held", "bar": "2024", "reason": "why", "explanation": "so"}, 0.25, 120.0
        )
    finally:
        logging.getLogger().handlers[:] = before
    line = json.loads(out.getvalue())
    assert {"severity": "INFO", "logger": LOGGER, "message": whole["event"]}.items() <= line.items()
    told = {"outcome": "held", "bar": "2024", "reason": "why", "explanation": "so", "seconds": 0.25, "limit_s": 120.0}
    assert {name: line.get(name) for name in FIELDS["tick"]} == {**whole, **told}


@given(
    equity=st.decimals(-10, 10, places=2) | st.just(Decimal("NaN")) | st.just(Decimal("Infinity")),
    price=st.none() | st.decimals(0, 10, places=2) | st.just(Decimal("NaN")),
)
def test_whatever_the_state_a_line_holds_only_numbers_that_json_has(equity: Decimal, price: Decimal | None) -> None:
    state = msgspec.structs.replace(opening(small_book()), equity=equity, price=price)
    with measures.collected("tick", "btc") as measure:
        measures.stands(state)
    told = msgspec.to_builtins(measure)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert ("exposure" in told) == bool(price is not None and price.is_finite() and equity.is_finite() and equity > 0)


# -- sources


class Down:
    def history(self, now: datetime) -> Any:
        raise Unavailable("the source: no route")


def test_a_vix_source_that_fails_is_told_at_its_attempt_and_not_while_it_is_remembered(lines: Lines) -> None:
    made = road(small_book("vix53"), daily=vix())
    sources = [("first", Down()), ("second", ArrayVix(vix()))]
    world = replace(made.world, vix=sources, vix_every_s=6 * 3600)
    run(made, made.first, world)
    failed = {"event": "source", "book": "btc", "series": "vix", "source": "first", "reason": "the source: no route"}
    assert lines("source") == [failed]
    run(made, made.first + 1, world)
    assert lines("source") == [failed], "the VIX of the hour before serves, and nobody was asked"


def test_bars_that_do_not_come_are_told(lines: Lines) -> None:
    class Silent:
        def bars(self, since: datetime, until: datetime) -> Bars:
            raise Unavailable("the venue answered 503")

    made = road(small_book(**EAGER))
    run(made, made.first, replace(made.world, market=Silent()))
    (line,) = lines("source")
    assert (line["series"], line["reason"]) == ("bars", "market_unavailable: the venue answered 503")


def test_a_series_and_the_other_market_are_told_by_name(lines: Lines) -> None:
    made = ground(funding="it is down", market="no route")
    outside_record(made, 1600)
    assert {(line["series"], line["source"], line["reason"]) for line in lines("source")} == {
        ("funding", "array", "it is down"),
        ("market", "ETH/USDT", "no route"),
    }


def test_minutes_that_fail_are_told_at_the_first_run_of_a_row(lines: Lines) -> None:
    class Flaky:
        down = True

        def bars(self, since: datetime, until: datetime) -> Bars:
            if self.down:
                raise Unavailable("no route")
            return minutes(40_000, 40_000)

    made, market = place(), Flaky()
    world = replace(made.world, minutes=market)
    for _ in range(3):
        made.guard(world)
    assert [(line["series"], line["book"]) for line in lines("source")] == [("minutes", "btc")]
    market.down = False
    made.guard(world)
    market.down = True
    made.guard(world)
    assert len(lines("source")) == 2


def test_a_venue_that_does_not_answer_the_guard_is_told_at_the_first_run_of_a_row(lines: Lines) -> None:
    made = place()
    made.port.down = True
    for _ in range(5):
        made.guard()
        made.later()
    assert [(line["series"], line["reason"]) for line in lines("source")] == [("look", "the venue: no route")]


# -- trouble


def test_a_book_that_halts_itself_is_told_once(lines: Lines) -> None:
    made = place()
    made.port.sight = {"position": Decimal(7)}
    for _ in range(6):
        made.guard()
        made.later()
    assert made.state.trouble
    told = [{"event": "trouble", "book": "btc", "kind": "halted", "reason": made.state.trouble}]
    assert lines("trouble") == told
    measures.troubled("btc", made.state, measures.known(made.state), over=True)
    assert lines("trouble") == told, "nor by whoever finds it written down"


def test_trouble_that_could_not_be_written_down_is_not_told_yet(lines: Lines) -> None:
    class Refusing:
        def __init__(self, made: Place) -> None:
            self.made = made

        def __getattr__(self, name: str) -> Any:
            return getattr(self.made.store, name)

        def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
            if watch is not None:
                raise Conflict("another one was faster")
            return self.made.store.commit(writes, watch)

    made = place()
    made.port.sight = {"position": Decimal(7)}
    for _ in range(6):
        made.guard(replace(made.world, state=Refusing(made)))
        made.later()
    assert lines("trouble") == []


class Deaf:
    """A venue that is gone from the moment an order is sent."""

    def __init__(self, made: Place) -> None:
        self.made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self.made.port, name)

    def submit(self, book: str, orders: Sequence[Order]) -> list[Answer]:
        self.made.port.down = True
        return [Answer(intent=order.intent.id, outcome="unknown", detail="no answer in 10 s") for order in orders]


def test_an_order_that_nobody_knows_of_is_told_once(lines: Lines) -> None:
    made = place()
    made.flip("flatten")
    world = replace(made.world, exchange=Deaf(made))
    with pytest.raises(Unavailable):
        made.guard(world)
    (line,) = lines("trouble")
    assert (line["kind"], line["book"]) == ("unknown_order", "btc")
    assert line["reason"].startswith("exit sell 0.100 (") and line["reason"].endswith(": no answer in 10 s")
    for _ in range(3):
        made.later()
        made.guard(world)
    made.port.down = False
    made.later()
    made.guard()
    assert made.state.holding.position == 0
    assert len(lines("trouble")) == 1


def test_one_that_a_dead_process_left_is_told_by_who_comes_after_it(lines: Lines) -> None:
    """The paper exchange looks at nothing between two bars, so that it is not settled at once."""
    state = holding(order("entry", status="sent", sent=NOW))
    first = measures.troubled("btc", state, measures.known(state), over=True)
    assert [line["kind"] for line in lines("trouble")] == ["unknown_order"]
    looked = msgspec.structs.replace(state, orders=(order("entry", status="unknown", sent=NOW),))
    assert measures.troubled("btc", looked, measures.known(looked), over=True) >= measures.known(looked)
    assert measures.troubled("btc", state, first, over=True) == first
    assert len(lines("trouble")) == 1


def test_an_order_that_is_found_in_the_end_is_no_trouble(lines: Lines) -> None:
    made = place(state=holding(order("entry", status="sent", sent=NOW)))
    made.venue.now = NOW
    made.venue.submit(made.state.orders[0].intent)
    made.put(made.state, "decided", NOW + 2 * MINUTE)
    made.guard()
    assert made.state.unsettled == ()
    assert lines("trouble") == []


def test_the_guard_measures_where_it_left_the_book() -> None:
    made = place()
    made.flip("flatten")
    with measures.collected("guard", "btc") as measure:
        made.guard()
    assert (measure.position, measure.trouble, measure.mode) == (0.0, False, None)


def test_the_names_are_free_for_a_line_of_the_log() -> None:
    taken = vars(logging.makeLogRecord({})).keys() | {"message", "severity", "time", "logger", "exception"}
    assert [name for fields in FIELDS.values() for name in fields if name in taken] == []


def test_the_audit_log_holds_each_flip_of_a_switch_once(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    made = place()
    made.guard()
    made.flip("reduce")
    made.guard()
    made.guard()
    made.store.commit([Write("switches/btc", None)])
    made.guard()
    told = [{"event": "switch", "book": "btc", "mode": "reduce", "by": "ada", "reason": ""}]
    told.append({"event": "switch", "book": "btc", "mode": "run", "by": "nobody said", "reason": ""})
    assert lines("switch") == told
    assert {line.name for line in caplog.records if line.getMessage() == "switch"} == {AUDIT}


def test_of_the_switch_that_books_share_the_first_one_tells(lines: Lines) -> None:
    made = place()
    flip(made.store, "global", "halt", "ada", "", made.clock.now())
    other = msgspec.structs.replace(made.book, id="abc")
    guard(replace(made.world, books=(other, made.book)), made.book, made.clock.now())
    assert lines("switch") == []
    guard(replace(made.world, books=(other, made.book)), other, made.clock.now())
    assert [line["book"] for line in lines("switch")] == ["global"]
