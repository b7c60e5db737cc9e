"""Several books in one call of the guard: read together, and each served as exactly as if it were alone."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from functions_framework import create_app

from core.domain.bars import BadBars, Bars
from core.domain.state import Book, BookState
from core.flows.claim import book_key, state_of, tick_key, watched
from core.flows.gather import attempt, together
from core.flows.guard import guard
from core.flows.record import book_document
from core.flows.rounds import BOOKS, FEW, FRESH, MARKETS, begin, guard_key
from core.flows.switches import flip
from core.ports import Document, StateStore, Unavailable, Versioned, Watch, World, Write
from functions import http
from tests.cli.command import ROOT, closed, of_files, surrounded
from tests.domain.drawn import BAR
from tests.domain.model_venue import NOW, ModelVenue, holding
from tests.fakes import FixedClock, MemoryModels, MemoryState
from tests.flows.test_guard import MINUTE, SAID, Port, minutes, place
from tests.road import ArrayMarket


class Counting:
    """A StateStore that counts what is paid for; `after` is called after each reading, with its keys."""

    def __init__(self, store: StateStore) -> None:
        self.store, self.read_documents, self.commits, self.written = store, 0, 0, 0
        self.readings: list[tuple[str, ...]] = []
        self.after: Callable[[Sequence[str]], object] = lambda keys: None

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        found = self.store.read(keys)
        self.read_documents += len(keys)
        self.readings.append(tuple(keys))
        self.after(keys)
        return found

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        versions = self.store.commit(writes, watch)
        self.commits, self.written = self.commits + 1, self.written + len(writes)
        return versions

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        rows = list(self.store.scan(collection, since, until))
        self.read_documents += max(1, len(rows))  # a query that finds nothing is paid as one document
        self.readings.append((collection,))
        self.after([collection])
        return iter(rows)


@dataclass
class Stand:
    """One book of the deployment and its venue."""

    book: Book
    port: Port
    world: World

    @property
    def venue(self) -> ModelVenue:
        return self.port.venue


@dataclass
class Deployment:
    clock: FixedClock
    store: MemoryState
    counting: Counting
    stands: list[Stand] = field(default_factory=list)

    def round(self) -> list[Any]:
        """One call over all books, as functions/guard.py makes it: what each answers, or raises."""
        made = begin([(each.world, each.book) for each in self.stands])

        def turn(stand: Stand) -> Document:
            return guard(stand.world, stand.book, self.clock.now(), 900, made.ahead(stand.book))

        return [attempt(partial(turn, stand), ValueError) for stand in self.stands]

    def one_by_one(self) -> list[Document]:
        return [guard(each.world, each.book, self.clock.now()) for each in self.stands]

    def flip(self, scope: str, mode: Any) -> None:
        flip(self.store, scope, mode, "ada", "", self.clock.now())

    def state(self, stand: Stand) -> BookState:
        found = self.store.read([book_key(stand.book.id)])[book_key(stand.book.id)]
        return state_of(found.data, stand.book)

    def sent(self) -> list[int]:
        """Of each book, how many orders its venue was sent since it was opened with a position."""
        return [len(each.venue.submitted) - (2 if self.opened(each) else 0) for each in self.stands]

    def opened(self, stand: Stand) -> bool:
        return stand.book.id.startswith("held")

    def documents(self) -> dict[str, Any]:
        kinds = ("books", "guards", "breakers", "outbox", "ticks", "switches")
        return {f"{kind}/{name}": data for kind in kinds for name, data in self.store.scan(kind)}


def deployment(*kinds: str, **policy: Any) -> Deployment:
    """A book of each kind, flat or held, that ticked at BAR, ten minutes ago; each on a market of its own."""
    clock, store = FixedClock(NOW + 10 * MINUTE), MemoryState()
    made = Deployment(clock, store, Counting(store))
    for number, kind in enumerate(kinds):
        drawn = place(**policy) if kind == "held" else place(state=holding(), **policy)
        name = f"{kind}-{number}"
        book = msgspec.structs.replace(drawn.book, id=name, symbol=f"C{number}/USDT")
        port = Port(drawn.venue, clock)
        market = ArrayMarket(minutes(40_000, 40_000))
        owner = partial(next, iter(f"{name}-{claim}" for claim in range(1000)))
        world = World(
            clock, market, [], port, made.counting, MemoryModels(), minutes=market, together=together, owner=owner
        )
        lease = {"token": 3, "owner": "tick", "bar": BAR, "until": None}
        record = {"phase": "done", "answer": SAID, "decision": {"action": "enter"}, "fills": [], "trades": []}
        document = book_document(drawn.state, SAID, lease)
        store.commit([Write(book_key(name), document), Write(tick_key(name, BAR), record)])
        made.stands.append(Stand(book, port, world))
    return made


# -- what it costs


@pytest.mark.parametrize(("count", "documents"), [(1, 5), (3, 13), (10, 22), (100, 202)])
def test_of_many_flat_books_only_documents_that_exist_are_paid(count: int, documents: int) -> None:
    made = deployment(*["flat"] * count)
    assert {said["outcome"] for said in made.round()} == {"done"}
    assert (made.counting.read_documents, made.counting.commits) == (documents, 0)
    assert len(made.counting.readings) == -(-count // BOOKS) + (2 if count > FEW else 0)


def test_a_market_that_several_books_trade_is_asked_once_and_a_few_markets_at_a_time() -> None:
    asked, lock, at_once, most = Counter[str](), threading.Lock(), 0, 0

    @dataclass
    class Slow:
        symbol: str

        def bars(self, since: datetime, until: datetime) -> Bars:
            nonlocal at_once, most
            with lock:
                asked[self.symbol] += 1
                at_once += 1
                most = max(most, at_once)
            threading.Event().wait(0.02)
            with lock:
                at_once -= 1
            return minutes(40_000, 40_000)

    made = deployment(*["flat"] * 18)
    for number, stand in enumerate(made.stands):
        symbol = f"C{number % 9}/USDT"
        stand.book = msgspec.structs.replace(stand.book, symbol=symbol)
        stand.world = replace(stand.world, minutes=Slow(symbol))
    made.round()
    assert set(asked.values()) == {1} and len(asked) == 9
    assert 2 <= most <= MARKETS


def test_where_no_market_answers_the_others_are_not_waited_for_and_every_book_is_guarded() -> None:
    class Silent:
        asked = 0

        def bars(self, since: datetime, until: datetime) -> Bars:
            Silent.asked += 1
            raise Unavailable("no route")

    made = deployment(*["flat"] * 11, "held")
    for stand in made.stands:
        stand.world = replace(stand.world, minutes=Silent())
    made.flip("global", "flatten")
    answers = made.round()
    assert Silent.asked == MARKETS
    assert [said["outcome"] for said in answers] == ["done"] * 12
    assert made.stands[-1].venue.position == 0


@pytest.mark.parametrize(
    ("failure", "raised"), [(BadBars("window_insane", "not a market's"), 0), (ValueError("no such symbol"), 1)]
)
def test_one_markets_nonsense_is_that_books_own_affair(failure: Exception, raised: int) -> None:
    class Wrong:
        def bars(self, since: datetime, until: datetime) -> Bars:
            raise failure

    made = deployment("flat", "flat", "held")
    made.stands[1].world = replace(made.stands[1].world, minutes=Wrong())
    first, second, third = made.round()
    assert (first["outcome"], third["outcome"]) == ("done", "done")
    assert second is failure if raised else second["outcome"] == "done"


# -- as exact as alone


def stirred(made: Deployment) -> Deployment:
    """Something is the matter with each kind of book."""
    made.flip("global", "reduce")
    made.flip("held-1", "flatten")
    jumped = ArrayMarket(minutes(40_000, 30_000))
    made.stands[2].world = replace(made.stands[2].world, minutes=jumped)
    made.stands[3].port.sight = {"liquidation": Decimal(39_500)}
    made.stands[4].port.down = True
    return made


def test_in_a_round_each_book_says_and_does_what_it_would_alone() -> None:
    kinds = ("flat", "held", "flat", "held", "held", "flat", "held", "flat", "flat", "held")
    alone = stirred(deployment(*kinds, price_move=0.05, price_move_hours=1.0))
    beside = stirred(deployment(*kinds, price_move=0.05, price_move_hours=1.0))
    for _ in range(3):
        assert beside.round() == alone.one_by_one()
        beside.clock.advance(MINUTE)
        alone.clock.advance(MINUTE)
    assert beside.documents() == alone.documents()
    assert beside.sent() == alone.sent()
    assert [each.venue.position for each in beside.stands] == [each.venue.position for each in alone.stands]


def after_the_reading(made: Deployment, happens: Callable[[], object], nth: int = 1) -> None:
    """`happens` after the nth of the readings that several books share."""
    left = [nth]

    def after(keys: Sequence[str]) -> None:
        if sum(key.startswith("guards/") for key in keys) > 1:
            left[0] -= 1
            if left[0] == 0:
                happens()

    made.counting.after = after


@pytest.mark.parametrize("scope", ["global", "held-7"])
@pytest.mark.parametrize("mode", ["halt", "run", "reduce"])
def test_an_exit_that_was_revoked_after_the_shared_reading_is_not_sent(scope: str, mode: Any) -> None:
    """The last book of the reading was told to flatten; before its turn comes a person says otherwise."""
    made = deployment(*["flat"] * 7, "held")
    made.flip(scope, "flatten")
    after_the_reading(made, lambda: made.flip(scope, mode))
    made.round()
    assert made.sent() == [0] * 8
    assert made.stands[-1].venue.position > 0 and len(made.stands[-1].venue.stops) == 1


@pytest.mark.parametrize("scope", ["global", "held-7"])
def test_a_stop_is_not_put_back_under_a_halt_that_came_after_the_shared_reading(scope: str) -> None:
    made = deployment(*["flat"] * 7, "held")
    held = made.stands[-1]
    held.venue.now = made.clock.now() - MINUTE
    for stop in held.venue.stops:
        held.venue.cancel(stop.order_id)
    after_the_reading(made, lambda: made.flip(scope, "halt"))
    made.round()
    assert made.sent() == [0] * 8
    made.flip(scope, "run")
    made.clock.advance(MINUTE)
    made.round()
    assert made.sent() == [0] * 7 + [1], "the next round puts it back"


def sent_after_a_halt(books: int, moment: int) -> tuple[int, bool] | None:
    """A round that flattens all books, and a halt that comes right after its nth reading: how many orders were sent
    after it, and whether that reading was the last one before an order goes. None: there are fewer readings."""
    made, halted = deployment(*["held"] * books), list[int]()
    made.flip("global", "flatten")

    def after(keys: Sequence[str]) -> None:
        if len(made.counting.readings) == moment:
            made.flip("global", "halt")
            halted.append(sum(made.sent()))

    made.counting.after = after
    made.round()
    if not halted:
        return None
    last = [set(watched(each.book.id)) for each in made.stands]
    return sum(made.sent()) - halted[0], set(made.counting.readings[moment - 1]) in last


@pytest.mark.parametrize("books", [3, FEW + 2])
def test_after_a_halt_at_any_moment_of_a_round_only_what_is_on_the_wire_arrives(books: int) -> None:
    seen = []
    for moment in count(1):
        found = sent_after_a_halt(books, moment)
        if found is None:
            break
        sent, last = found
        assert sent <= int(last), moment
        seen.append(sent)
    assert len(seen) > 10 and 1 in seen, "each reading was followed by a halt, also the last one before an order"


def test_a_book_that_a_tick_took_after_the_shared_reading_is_left_to_it() -> None:
    made = deployment(*["flat"] * 7, "held")
    made.flip("global", "flatten")
    held = made.stands[-1]
    document = made.store.read([book_key(held.book.id)])[book_key(held.book.id)].data or {}
    lease = {"token": 4, "owner": "a tick", "bar": BAR, "until": made.clock.now() + MINUTE}
    after_the_reading(made, lambda: made.store.commit([Write(book_key(held.book.id), {**document, "lease": lease})]))
    *_, said = made.round()
    assert (said["outcome"], made.sent()) == ("busy", [0] * 8)
    assert (made.store.read([book_key(held.book.id)])[book_key(held.book.id)].data or {})["lease"] == lease


def test_a_guards_memory_that_another_region_wrote_after_the_reading_is_not_overwritten() -> None:
    made = deployment("flat", "held")
    other = {"ran": made.clock.now(), "failing": 2}
    after_the_reading(made, lambda: made.store.commit([Write(guard_key("held-1"), other)]))
    made.stands[1].port.sight = {"liquidation": Decimal(39_500)}
    *_, said = made.round()
    assert (said["outcome"], made.sent()) == ("busy", [0, 0])
    assert made.store.read([guard_key("held-1")])[guard_key("held-1")].data == other


def test_a_reading_that_has_grown_old_is_read_again_for_those_whose_turn_is_still_to_come() -> None:
    made = deployment("held", "flat", "held")
    made.flip("held-0", "flatten")

    def slow() -> None:
        made.clock.advance(FRESH + timedelta(seconds=1))
        made.flip("held-2", "flatten")

    made.stands[0].port.before = slow
    made.round()
    assert [each.venue.position for each in made.stands] == [0, 0, 0], "the flip was seen in the same round"
    shared = [keys for keys in made.counting.readings if guard_key("held-2") in keys]
    assert [sum(key.startswith("guards/") for key in keys) for keys in shared] == [3, 2]


# -- through the function


SOURCE = ROOT / "functions" / "guard.py"
AT = closed(1600) + timedelta(seconds=5)


@contextmanager
def served(folder: Path, symbols: Mapping[str, str], **more: str) -> Iterator[tuple[Any, Counting]]:
    books = ", ".join(f'{{id = "{name}", symbol = "{symbol}"}}' for name, symbol in symbols.items())
    environ = {**of_files(folder), "HOURHAND__BOOKS": f"[{books}]", **more}
    with surrounded(environ):
        client = create_app("guard", str(SOURCE)).test_client()
        counting = Counting(MemoryState())
        http.app().__dict__["state"] = counting
        yield client, counting


THREE = dict.fromkeys(("b0", "b1", "b2"), "BTC/USDT")


def post(client: Any, **body: Any) -> tuple[int, dict[str, Any]]:
    reply = client.post("/", data=json.dumps({"at": AT.isoformat(), **body}))
    return reply.status_code, json.loads(reply.data)


def test_without_a_book_all_are_served_and_with_one_only_that(tmp_path: Path) -> None:
    with served(tmp_path, THREE) as (client, counting):
        status, said = post(client)
        assert (status, [each["book"] for each in said["books"]]) == (200, ["b0", "b1", "b2"])
        assert counting.read_documents == 13
        counting.readings.clear()
        status, said = post(client, book="b1")
        assert (status, said["book"], "books" in said) == (200, "b1", False)
        assert [set(keys) for keys in counting.readings] == [
            {"books/b1", "guards/b1", "switches/global", "switches/b1", "breakers/b1"}
        ]


def test_one_damaged_book_fails_alone_and_is_the_answer(tmp_path: Path) -> None:
    with served(tmp_path, THREE) as (client, counting):
        counting.store.commit([Write(book_key("b1"), {"state": {"holding": "lost"}})])
        status, said = post(client)
    assert (status, said["outcome"], said["book"]) == (500, "failed", "b1")
    assert [each["outcome"] for each in said["books"]] == ["done", "failed", "done"]


def test_a_store_that_does_not_answer_fails_each_book_with_its_own_sentence(tmp_path: Path) -> None:
    with served(tmp_path, THREE) as (client, counting):

        def gone(keys: Sequence[str]) -> None:
            raise Unavailable("Firestore did not answer")

        counting.after = gone
        status, said = post(client)
        assert (status, len(counting.readings)) == (500, 1), "and is not asked again for each"
    assert [(each["book"], each["outcome"], each["reason"]) for each in said["books"]] == [
        ("b0", "failed", "Firestore did not answer"),
        ("b1", "failed", "Firestore did not answer"),
        ("b2", "failed", "Firestore did not answer"),
    ]


def test_a_book_whose_ports_cannot_be_made_fails_alone(tmp_path: Path) -> None:
    """bitbank has no perpetuals."""
    venue = {"HOURHAND__MARKET__SOURCE": "venue", "HOURHAND__VENUE__URLS": '{public = "http://127.0.0.1:1"}'}
    with served(tmp_path, {"b0": "BTC/USDT", "b1": "BTC/USDT:USDT"}, **venue) as (client, _):
        status, said = post(client)
    assert status == 500
    assert [each["outcome"] for each in said["books"]] == ["done", "failed"]
    assert "b1" in said["books"][1]["reason"]
