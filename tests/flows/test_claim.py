"""One writer at a time: three answers, one winner, and a tick that lost its lease can write no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import msgspec
import pytest

from core.adapters.sqlite_state import SqliteState
from core.domain.orders import Holding, Intent, Order, intent_id
from core.domain.risk import Marks, Policy, Result, Trip
from core.domain.state import Book, BookState, opening
from core.flows.claim import Claim, book_key, claim, lease, plain, released, state_of, switch_keys, tick_key
from core.ports import Conflict, Document, StateStore, Versioned, Write
from tests.fakes import MemoryState

BAR = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = BAR + HOUR + timedelta(seconds=5)
LEASE = timedelta(seconds=120)
RACERS = 16
KEYS = [tick_key("btc", BAR), book_key("btc")]

Open = Callable[[], StateStore]


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """The same store once more, as another process would open it."""
    if request.param == "memory":
        memory = MemoryState()
        return lambda: memory
    return lambda: SqliteState(tmp_path / "state.db", patience=30.0)


@pytest.fixture
def store(open_store: Open) -> StateStore:
    return open_store()


def put(store: StateStore, key: str, data: Document) -> None:
    store.commit([Write(key, data)])


def asked(store: StateStore, now: datetime = NOW, bar: datetime = BAR) -> Claim:
    return claim(store.read([tick_key("btc", bar), book_key("btc")]), "btc", bar, now)


def took(store: StateStore, now: datetime = NOW, bar: datetime = BAR, owner: str = "") -> tuple[str, str]:
    """Claims and takes the book as a tick does: (the answer, the version that we hold it by)."""
    found = store.read([tick_key("btc", bar), book_key("btc")])
    mine = claim(found, "btc", bar, now)
    if mine.answer != "mine":
        return mine.answer, ""
    try:
        versions = store.commit([lease(found, "btc", bar, mine.token, owner or uuid4().hex, now + LEASE)])
    except Conflict:
        return "busy", ""
    return "mine", versions[book_key("btc")]


def document(store: StateStore) -> Document:
    return store.read([book_key("btc")])[book_key("btc")].data or {}


# --- the three answers ----------------------------------------------------------------------------------------------


def test_a_book_that_nobody_has_is_mine(store: StateStore) -> None:
    assert asked(store) == Claim("mine", 1, None)


def test_while_another_has_it_it_is_busy_until_the_lease_runs_out(store: StateStore) -> None:
    assert took(store)[0] == "mine"
    almost = NOW + LEASE - timedelta(microseconds=1)
    busy = asked(store, almost)
    assert busy.answer == "busy"
    assert (NOW + LEASE).isoformat() in busy.reason
    assert asked(store, NOW + LEASE).answer == "mine"


def test_another_bar_of_the_same_book_is_busy_as_well(store: StateStore) -> None:
    took(store)
    assert asked(store, bar=BAR + HOUR).answer == "busy"


def test_a_bar_that_was_decided_is_done_with_its_record_even_while_the_book_is_leased(store: StateStore) -> None:
    record = {"phase": "done", "answer": {"outcome": "held"}}
    put(store, tick_key("btc", BAR), record)
    took(store, bar=BAR + HOUR)
    found = asked(store)
    assert (found.answer, found.record) == ("done", record)


def test_a_bar_older_than_the_books_last_is_done_without_a_record(store: StateStore) -> None:
    put(store, book_key("btc"), {"state": {"bar": BAR + HOUR}})
    found = asked(store)
    assert (found.answer, found.record) == ("done", None)
    assert (BAR + HOUR).isoformat() in found.reason


def test_a_bar_whose_record_was_cleaned_up_is_not_decided_again(store: StateStore) -> None:
    put(store, book_key("btc"), {"state": {"bar": BAR}})
    assert asked(store).answer == "done"
    assert asked(store, bar=BAR + HOUR).answer == "mine"


def test_a_tick_that_died_after_deciding_is_mine_to_finish_once_its_lease_ran_out(store: StateStore) -> None:
    record = {"phase": "decided", "decision": {"action": "enter"}}
    took(store)
    put(store, tick_key("btc", BAR), record)
    put(store, book_key("btc"), {**document(store), "state": {"bar": BAR}})
    assert asked(store).answer == "busy"
    found = asked(store, NOW + LEASE)
    assert (found.answer, found.record, found.token) == ("mine", record, 2)


def test_what_an_older_tick_left_undone_is_superseded(store: StateStore) -> None:
    put(store, tick_key("btc", BAR), {"phase": "decided"})
    put(store, book_key("btc"), {"state": {"bar": BAR + HOUR}})
    found = asked(store)
    assert (found.answer, found.record) == ("done", None)


# --- leases ---------------------------------------------------------------------------------------------------------


def test_a_lease_keeps_all_else_that_the_book_says(store: StateStore) -> None:
    put(store, book_key("btc"), {"state": {"bar": BAR - HOUR}, "last": {"outcome": "held"}})
    took(store, owner="me")
    assert document(store) == {
        "state": {"bar": BAR - HOUR},
        "last": {"outcome": "held"},
        "lease": {"token": 1, "owner": "me", "bar": BAR, "until": NOW + LEASE},
    }


def test_a_released_book_is_free_at_once_and_its_token_counts_on(store: StateStore) -> None:
    took(store)
    held = document(store)
    put(store, book_key("btc"), {**held, "lease": released(held["lease"])})
    found = asked(store, bar=BAR + HOUR)
    assert (found.answer, found.token) == ("mine", 2)


def test_tokens_only_grow(store: StateStore) -> None:
    tokens = []
    for i in range(5):
        now = NOW + i * LEASE
        assert took(store, now)[0] == "mine"
        tokens.append(document(store)["lease"]["token"])
    assert tokens == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("known", [False, True], ids=["first tick ever", "a known book"])
def test_of_sixteen_that_race_for_a_bar_one_wins(open_store: Open, known: bool) -> None:
    stores: Sequence[StateStore] = [open_store() for _ in range(RACERS)]
    if known:
        put(stores[0], book_key("btc"), {"state": {"bar": BAR - HOUR}})
    together = Barrier(RACERS, timeout=60)

    def race(store: StateStore) -> str:
        store.read(KEYS)
        together.wait()
        return took(store)[0]

    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(race, stores))
    assert sorted(answers) == ["busy"] * (RACERS - 1) + ["mine"]


def test_all_sixteen_that_read_before_any_wrote_have_one_winner(open_store: Open) -> None:
    """The worst of races: each believes that the book is free."""
    stores: Sequence[StateStore] = [open_store() for _ in range(RACERS)]
    together = Barrier(RACERS, timeout=60)

    def race(store: StateStore) -> str:
        found = store.read(KEYS)
        mine = claim(found, "btc", BAR, NOW)
        together.wait()
        try:
            store.commit([lease(found, "btc", BAR, mine.token, uuid4().hex, NOW + LEASE)])
        except Conflict:
            return f"{mine.answer}, conflict"
        return mine.answer

    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(race, stores))
    assert sorted(answers) == ["mine"] + ["mine, conflict"] * (RACERS - 1)


def test_a_tick_whose_lease_was_taken_over_can_write_no_more(open_store: Open) -> None:
    slow, quick = open_store(), open_store()
    _, old = took(slow)
    _, new = took(quick, NOW + LEASE)
    writes = [Write(book_key("btc"), {"state": "of the slow"}, old), Write(tick_key("btc", BAR), {"by": "slow"})]
    with pytest.raises(Conflict):
        slow.commit(writes)
    assert slow.read(KEYS)[tick_key("btc", BAR)].data is None, "nothing of it was written"
    quick.commit([Write(book_key("btc"), {"state": "of the quick"}, new)])
    assert document(slow) == {"state": "of the quick"}


def test_a_lease_that_ran_out_is_still_good_while_nobody_else_took_the_book(store: StateStore) -> None:
    """The version is the fence, not the clock: a slow tick that nobody overtook may finish."""
    _, held = took(store)
    store.commit([Write(book_key("btc"), {"state": "finished late"}, held)])
    assert document(store) == {"state": "finished late"}


# --- names and documents --------------------------------------------------------------------------------------------


def test_the_names_of_documents_are_the_contracts() -> None:
    assert book_key("btc") == "books/btc"
    assert tick_key("btc", BAR) == "ticks/btc@2024-05-01T12:00Z"
    assert switch_keys("btc") == ("switches/global", "switches/btc")


def test_records_are_in_order_of_time_by_their_names() -> None:
    keys = [tick_key("btc", BAR + i * timedelta(minutes=7)) for i in range(3000)]
    assert keys == sorted(set(keys))


BOOK = Book(id="btc", symbol="BTC/USDT", policy=Policy(capital=Decimal(5000)))


@pytest.mark.parametrize("data", [None, {}, {"lease": {"token": 3}}])
def test_a_book_without_a_state_opens_with_its_capital(data: Document | None) -> None:
    assert state_of(data, BOOK) == opening(BOOK)
    assert state_of(data, BOOK).holding.cash == 5000


def test_a_state_is_read_back_exactly(store: StateStore) -> None:
    intent = Intent(
        id=intent_id("btc", BAR, "entry"), book="btc", bar=BAR, leg="entry", side="buy", amount=Decimal("0.10")
    )
    holding = Holding(cash=Decimal("0.1000000000000000000000000001"), position=Decimal("-1E-8"), opened=BAR)
    state = BookState(
        holding=holding,
        equity=Decimal(1),
        marks=Marks(day=BAR, opened=Decimal("0.1"), low=Decimal("1e-7"), peak=Decimal(2)),
        tripped=(Trip(breaker="drawdown", level="flatten", since=BAR, detail="fell"),),
        results=(Result(closed=BAR, pnl=Decimal("-1.10"), share=-0.1),),
        bar=BAR,
        booked=("a",),
        orders=(Order(intent=intent),),
    )
    put(store, book_key("btc"), {"state": plain(state)})
    assert state_of(document(store), BOOK) == state


@pytest.mark.parametrize("damage", [{"holding": None}, {"equity": "much"}, {"results": [{}]}, {"bar": "noon"}])
def test_a_damaged_state_is_an_error_and_never_the_opening_one(damage: Document) -> None:
    with pytest.raises(msgspec.ValidationError):
        state_of({"state": {**plain(opening(BOOK)), **damage}}, BOOK)


def test_a_plain_document_is_one_that_every_store_keeps(store: StateStore) -> None:
    put(store, "books/x", plain(opening(BOOK)))
    put(store, "books/y", plain(BOOK))
    assert store.read(["books/y"])["books/y"].data == plain(BOOK)


def test_claim_asks_for_nothing_but_what_was_read() -> None:
    absent = Versioned(None, None)
    assert claim(dict.fromkeys(KEYS, absent), "btc", BAR, NOW).answer == "mine"
