"""restore: what is put back and what is not, dying on the way, and that nothing is traded meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.adapters.paper_exchange import PaperExchange
from core.domain.orders import Holding
from core.flows.backup import RESTORING, backup, backups, opened
from core.flows.claim import book_key, state_of
from core.flows.guard import guard
from core.flows.restore import KEPT, Refused, restore
from core.flows.switches import flip
from core.flows.tick import tick
from core.ports import Document, ModelStore, StateStore, Unavailable, Write
from tests.fakes import MemoryModels, MemoryState
from tests.flows.test_backup import EAGER, NAME, NOW, everything, exact
from tests.road import HOUR, Road, road, small_book

LATER = NOW + timedelta(days=3)


# -- what is put back, and what is not


def book_at(bar: datetime, **state: Any) -> Document:
    lease = {"token": 3, "owner": "o", "bar": bar, "until": state.pop("until", None)}
    return {"state": {"bar": bar, "holding": {"position": "0.5"}, "odd": math.nan, **state}, "last": {}, "lease": lease}


def backed_up(documents: dict[str, Document]) -> MemoryModels:
    state, store = MemoryState(), MemoryModels()
    state.commit([Write(key, data) for key, data in documents.items()])
    backup(state, store, NOW)
    return store


def test_books_that_are_not_in_the_backup_or_have_gone_on_are_not_lost_unless_that_is_said() -> None:
    store = backed_up({"books/btc": book_at(NOW), "series/vix": {"v": 1}})
    state = MemoryState()
    state.commit([Write("books/btc", book_at(NOW + HOUR)), Write("books/eth", book_at(NOW))])
    before = everything(state)
    with pytest.raises(
        Refused, match=r"book btc stands at 2024-05-01T14:00Z, position 0\.5, in the backup at .*eth is"
    ):
        restore(state, store, NAME, LATER)
    assert everything(state).keys() == before.keys()
    told = restore(state, store, NAME, LATER, dry_run=True)
    assert len(told["replaces"]) == 2 and everything(state).keys() == before.keys()
    said = restore(state, store, NAME, LATER, replace=True)
    found = everything(state)
    assert found.keys() == {"books/btc", "series/vix", "switches/global"}
    assert found["books/btc"]["state"]["bar"] == NOW
    assert said["kept"] == "replaced/2024-05-04T130007Z.jsonl.gz"
    assert dict(opened(store, said["kept"]).documents())["books/eth"]["state"]["bar"] == NOW
    assert [each.name for each in backups(store)] == [NAME]  # what was replaced is not the newest backup


def test_without_replace_nothing_is_taken_away() -> None:
    store = backed_up({"books/btc": book_at(NOW)})
    state = MemoryState()
    state.commit([Write("models/btc", {"version": "new"}), Write("books/btc", book_at(NOW, until=NOW))])
    said = restore(state, store, NAME, LATER)
    assert (said["deleted"], said["kept"]) == (0, None)
    assert everything(state)["models/btc"] == {"version": "new"}


def test_leases_are_over_and_what_would_act_by_itself_is_quiet() -> None:
    trip = {"breaker": "drawdown", "level": "flatten", "since": NOW}
    orders = [{"status": status} for status in ("planned", "sent", "filled")]
    store = backed_up(
        {
            "books/btc": book_at(NOW, until=LATER + HOUR, tripped=[trip, {**trip, "level": "reduce"}], orders=orders),
            "breakers/btc": {"trips": [trip]},
            "switches/btc": {"mode": "flatten", "reason": "away"},
            "switches/eth": {"mode": "run"},
            "switches/global": {"mode": "run"},
        }
    )
    state = MemoryState()
    state.commit([Write("switches/eth", {"mode": "reduce"}), Write("switches/old", {"mode": "flatten"})])
    restore(state, store, NAME, LATER)
    found = everything(state)
    book = found["books/btc"]
    assert book["lease"] == {"token": 3, "owner": "o", "bar": NOW, "until": None}
    assert [each["level"] for each in book["state"]["tripped"]] == ["halt", "reduce"]
    assert [each["status"] for each in book["state"]["orders"]] == ["never_placed", "sent", "filled"]
    assert found["breakers/btc"]["trips"][0]["level"] == "halt"
    assert [found[f"switches/{name}"]["mode"] for name in ("btc", "eth", "old")] == ["halt", "reduce", "halt"]
    switch = found["switches/global"]
    assert (switch["mode"], switch["by"], switch["at"]) == ("halt", "restore", LATER)
    assert switch["reason"] == f"restored from {NAME}: compare with the venue, then resume"


def test_alerts_are_not_told_again_and_those_that_wait_stay() -> None:
    store = backed_up({"outbox/old": {"title": "then"}, "desk/alerts": {"owner": "then"}, "books/btc": book_at(NOW)})
    state = MemoryState()
    state.commit([Write("outbox/new", {"title": "now"}), Write("desk/alerts", {"owner": "now"})])
    restore(state, store, NAME, LATER, replace=True)
    found = everything(state)
    assert {key: found[key] for key in found if key.startswith(("outbox", "desk"))} == {
        "outbox/new": {"title": "now"},
        "desk/alerts": {"owner": "now"},
    }


def test_a_book_that_a_tick_holds_is_not_overwritten_and_everything_waits_halted() -> None:
    store = backed_up({"books/btc": book_at(NOW)})
    state = MemoryState()
    state.commit([Write("books/btc", book_at(NOW, until=LATER + HOUR)), Write("switches/global", {"mode": "run"})])
    with pytest.raises(Unavailable, match=r"book btc is held by a tick until 14:00:07 UTC"):
        restore(state, store, NAME, LATER)
    assert everything(state)["switches/global"]["mode"] == RESTORING
    with pytest.raises(Unavailable, match="half restored"):
        backup(state, store, LATER)
    restore(state, store, NAME, LATER + 2 * HOUR)
    assert everything(state)["switches/global"]["mode"] == "halt"


# -- dying on the way


class Dies(BaseException):
    """The process ends here."""


class Mortal:
    """Ports of one process, which ends at their call number `last`: before or after that was carried out."""

    def __init__(self, last: int, after: bool) -> None:
        self._left, self._after = last, after

    def port(self, port: Any) -> Any:
        mortal = self

        class Port:
            def __getattr__(self, name: str) -> Any:
                return lambda *args: mortal._call(getattr(port, name), args)

        return Port()

    def _call(self, method: Any, args: Any) -> Any:
        self._left -= 1
        if self._left >= 0:
            return method(*args)
        if self._after:
            method(*args)
        raise Dies


def standing() -> MemoryState:
    state = MemoryState()
    state.commit([Write("books/btc", book_at(NOW + HOUR)), Write("books/eth", book_at(NOW + HOUR))])
    state.commit([Write(f"ticks/btc@{n}", {"n": -n}) for n in range(5)])
    state.commit([Write("switches/btc", {"mode": "flatten"}), Write("switches/global", {"mode": "run"})])
    return state


def without_switch(state: StateStore) -> Any:
    return exact({key: data for key, data in everything(state).items() if key != "switches/global"})


@pytest.mark.parametrize("after", [False, True])
def test_a_restore_that_dies_anywhere_stays_halted_and_ends_the_same_when_it_is_run_again(after: bool) -> None:
    source = {f"ticks/btc@{n}": {"n": n} for n in range(250)} | {"books/btc": book_at(NOW), "paper/btc": {"p": 1}}
    whole, store = standing(), backed_up(source)
    restore(whole, store, NAME, LATER, replace=True)
    for last in range(100):
        state, store = standing(), backed_up(source)
        mortal = Mortal(last, after)
        try:
            restore(mortal.port(state), mortal.port(store), NAME, LATER, replace=True)
        except Dies:
            found = everything(state)
            untouched = exact(found) == exact(everything(standing()))
            assert untouched or found["switches/global"]["mode"] in (RESTORING, "halt")
            said = restore(state, store, NAME, LATER + HOUR, replace=untouched)
            assert everything(state)["switches/global"]["mode"] == "halt"
            assert without_switch(state) == without_switch(whole)
            if said["kept"]:  # what stood there at first, not what was half restored
                assert "books/eth" in dict(opened(store, said["kept"]).documents())
            continue
        assert last > 15
        return
    pytest.fail("it never ends")


# -- trading


class Counted(PaperExchange):
    """Counts the orders that it is sent."""

    sent = 0

    def submit(self, book: str, orders: Any) -> Any:
        self.sent += len(orders)
        return super().submit(book, orders)


def on(made_: Road, state: StateStore) -> Road:
    """The same road on another store."""
    exchange = Counted(state, Holding(cash=made_.book.policy.capital), made_.book.rules, made_.book.costs)
    return replace(made_, world=replace(made_.world, state=state, exchange=exchange, cache={}))


def position(made_: Road) -> Decimal:
    return held(made_.world.state, made_)


def held(state: StateStore, made_: Road) -> Decimal:
    return state_of(state.read([book_key("btc")])[book_key("btc")].data, made_.book).holding.position


def walked(made_: Road, start: int, end: int) -> list[tuple[str, Decimal]]:
    said = [tick(made_.world, made_.book, made_.at(index)) for index in range(start, end)]
    return [(str(each["action"]), Decimal(each["position"])) for each in said]


def in_a_position(made_: Road) -> int:
    """The bar after the first one at whose end the book holds something."""
    for index in range(made_.first, made_.first + 60):
        tick(made_.world, made_.book, made_.at(index))
        if position(made_):
            return index + 1
    pytest.fail("it never traded")


def test_a_restored_book_sends_nothing_until_it_is_resumed_and_then_trades_on_as_if_nothing_had_been() -> None:
    plain, store = road(small_book(**EAGER)), MemoryModels()
    start = in_a_position(plain)
    now = plain.clock.now()
    name = str(backup(plain.world.state, store, now)["name"])
    undisturbed = walked(plain, start, start + 30)

    state = MemoryState()
    restore(state, store, name, now)
    halted = on(plain, state)
    before = position(halted)
    assert before == held(restored_from(store, name), plain) != 0
    assert tick(halted.world, halted.book, halted.at(start))["outcome"] == "halted"
    guard(halted.world, halted.book, halted.at(start, 65.0))
    assert halted.world.exchange.sent == 0  # type: ignore[attr-defined]

    state = MemoryState()
    restore(state, store, name, now)
    flip(state, "global", "run", "me", "it agrees", now)
    again = on(plain, state)
    assert walked(again, start, start + 30) == undisturbed
    assert again.world.exchange.sent > 2  # type: ignore[attr-defined]
    assert len({each for _, each in undisturbed}) > 2


def test_what_the_venue_did_after_the_backup_is_found_out_by_the_next_look_and_nothing_is_sent_for_it() -> None:
    """The venue keeps its own account: it is not put back with the book."""
    made_, store, venue = road(small_book(**EAGER)), MemoryModels(), MemoryState()
    exchange = Counted(venue, Holding(cash=made_.book.policy.capital), made_.book.rules, made_.book.costs)
    made_ = replace(made_, world=replace(made_.world, exchange=exchange))
    now = made_.clock.now()
    tick(made_.world, made_.book, made_.at(made_.first))
    name = str(backup(made_.world.state, store, now)["name"])
    start = in_a_position(made_)
    there = position(made_)
    state, sent = MemoryState(), exchange.sent
    restore(state, store, name, now)
    again = replace(made_, world=replace(made_.world, state=state, cache={}))
    assert position(again) != there
    said = tick(again.world, again.book, again.at(start))
    assert exchange.sent == sent
    assert position(again) == there or "position_mismatch" in str(said)


def restored_from(store: ModelStore, name: str) -> StateStore:
    state = MemoryState()
    restore(state, store, name, NOW)
    return state


class Interrupted(MemoryState):
    """At each commit of a restore, a tick and a guard run first."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[], None] = lambda: None

    def commit(self, writes: Any, watch: Any = None) -> Any:
        if any(write.key == "switches/global" for write in writes) or len(writes) > 20:
            self.between()
        return super().commit(writes, watch)


def test_ticks_that_run_during_a_restore_send_nothing_even_of_a_flatten() -> None:
    state = Interrupted()
    made_, store = road(small_book(**EAGER), state=state), MemoryModels()
    made_ = on(made_, state)
    start = in_a_position(made_)
    now = made_.clock.now()
    name = str(backup(state, store, now)["name"])
    flip(state, "btc", "flatten", "me", "", now)
    state.commit([Write(f"ticks/old@{n}", {"n": n}) for n in range(30)])
    indices, counts = iter(range(start, start + 9)), []
    exchange: Any = made_.world.exchange

    def run() -> None:
        if state.read(["switches/global"])["switches/global"].data is None:
            return  # not begun yet
        sent, index = exchange.sent, next(indices)
        tick(made_.world, made_.book, made_.at(index))
        guard(made_.world, made_.book, made_.at(index, 65.0))
        counts.append(exchange.sent - sent)

    state.between = run
    restore(state, store, name, now, replace=True)
    state.between = lambda: None
    assert len(counts) >= 3 and not any(counts)
    index = next(indices)
    assert tick(made_.world, made_.book, made_.at(index))["outcome"] in ("halted", "done", "superseded")
    assert position(made_) and exchange.sent and counts == [0] * len(counts)
    assert KEPT in {each.partition("/")[0] for each in store.names("")}
