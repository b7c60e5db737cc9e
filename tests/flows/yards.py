"""A deployment that has not been cleaned for long, in memory or in other stores, and ports that fail when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from core.domain.bars import pack
from core.domain.orders import Holding, Intent, Order
from core.domain.state import Book, BookState
from core.flows.archive import records
from core.flows.claim import book_key, plain, tick_key
from core.flows.serving import folder, pointer_key
from core.ports import Document, Leftover, ModelStore, Platform, StateStore, Write
from tests.fakes import FixedClock, MemoryModels, MemoryState
from tests.road import drawn

NOW = datetime(2026, 11, 1, 17, 0, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KINDS = ("account", "books", "breakers", "challengers", "guards", "models", "outbox", "paper", "series", "switches",
         "ticks", "windows")  # fmt: skip
Port = TypeVar("Port")


class Deployed:
    """A Platform. `refuses`: names of what it does not remove."""

    def __init__(self, found: Sequence[Leftover] = ()) -> None:
        self.found = list(found)
        self.refuses: dict[str, Exception] = {}

    def leftovers(self) -> Sequence[Leftover]:
        return list(self.found)

    def remove(self, leftover: Leftover) -> None:
        if leftover.name in self.refuses:
            raise self.refuses[leftover.name]
        assert not leftover.live
        self.found = [one for one in self.found if one != leftover]


@dataclass
class Yard:
    state: StateStore = field(default_factory=MemoryState)
    models: ModelStore = field(default_factory=lambda: MemoryModels(FixedClock(NOW - 30 * DAY)))
    archive: ModelStore = field(default_factory=lambda: MemoryModels(FixedClock(NOW - 30 * DAY)))
    platform: Platform | None = None
    books: Sequence[Book] = (Book(id="btc", symbol="BTC/JPY"), Book(id="eth", symbol="ETH/JPY"))
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))


def hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def ticked(book: str, bar: datetime, **more: Any) -> Write:
    """A record of every kind of value."""
    seen = {
        "price": 1.5e7,
        "p_up": 0.5,
        "vix": float("nan"),
        "none": None,
        "list": [1, -0.0, float("inf"), b"\x00\xff"],
    }
    record: Document = {"book": book, "bar": bar, "phase": "done", "view": seen, "$odd": {"$time": "no time"}}
    return Write(tick_key(book, bar), {**record, **more})


def state_of(bar: datetime, **more: Any) -> BookState:
    return replace(BookState(holding=Holding(cash=Decimal(10_000)), equity=Decimal(10_000), bar=bar), **more)


def stands(book: str, state: BookState) -> Write:
    return Write(book_key(book), {"state": plain(state), "last": {}, "lease": {"token": 9, "until": None}})


def order(status: Any = "unknown", leg: Any = "entry") -> Order:
    intent = Intent(id="x1", book="btc", bar=NOW - 3 * HOUR, leg=leg, side="buy", amount=Decimal("0.1"))
    return Order(intent=intent, status=status)


def bars_until(until: datetime) -> Document:
    """A window whose newest bar opens at that time."""
    bars = drawn()[:48]
    return {"bars": pack(replace_times(bars, until))}


def replace_times(bars: Any, until: datetime) -> Any:
    import dataclasses

    return dataclasses.replace(bars, time=bars.time - bars.time[-1] + int(until.timestamp()))


def neglected(yard: Yard, now: datetime = NOW) -> Yard:
    """Old and new records of two books, a third that is no more, models, caches, backups; all that must stay, too."""
    at = hour(now)
    writes = [ticked("btc", at - 120 * DAY + number * HOUR, number=number) for number in range(30)]
    writes += [ticked("btc", at - number * HOUR) for number in range(1, 6)]
    writes += [ticked("eth", at - 110 * DAY + number * HOUR) for number in range(5)]
    writes += [ticked("old", at - 150 * DAY + number * HOUR) for number in range(5)]
    writes += [
        stands("btc", state_of(at - HOUR)),
        stands("eth", state_of(at - HOUR, trouble="state and venue disagree")),
        stands("old", state_of(at - 60 * DAY, looked=at - 59 * DAY)),
        Write("windows/btc", bars_until(at - 90 * DAY)),
        Write("windows/btc.eth-jpy", bars_until(at - 90 * DAY)),
        Write("windows/old", bars_until(at - 60 * DAY)),
        Write("windows/old.btc-jpy", bars_until(at - 60 * DAY)),
        Write("series/vix", {"attempted_at": at - 90 * DAY}),
        Write("series/funding.old", {"attempted_at": at - 60 * DAY}),
        Write("guards/old", {"ran": at - 60 * DAY}),
        Write("guards/btc", {"ran": at - 60 * DAY}),
        Write("switches/global", {"mode": "run"}),
        Write("switches/old", {"mode": "halt", "at": at - 60 * DAY}),
        Write("breakers/old", {"trips": []}),
        Write("paper/old", {"cash": "1"}),
        Write("challengers/old", {"bar": at - 60 * DAY}),
        Write("account/entries", {"book": "old", "bar": at - 60 * DAY}),
        Write(pointer_key("btc"), {"version": "c", "previous": "b", "challenger": {"version": "d", "since": at}}),
        Write(pointer_key("eth"), {"version": ""}),
    ]
    for start in range(0, len(writes), 400):
        yard.state.commit(writes[start : start + 400])
    for book, versions in (("btc", "abcd"), ("eth", "ab"), ("new", "a")):
        for version in versions:
            yard.models.put(folder(book, version) + "manifest.json", b"{}")
            yard.models.put(folder(book, version) + "model.npz", version.encode() * 100)
    for days in range(1, 13):
        yard.archive.put(f"backups/{now - days * DAY:%Y-%m-%dT%H%M%SZ}.jsonl.gz", b"backup")
    yard.archive.put("backups/by-hand.jsonl.gz", b"mine")
    yard.archive.put("history/bars", b"bars")
    return yard


def leftovers(now: datetime = NOW) -> list[Leftover]:
    return [
        Leftover(kind, group, f"{kind}-{group}-{age}", now - age * 9 * DAY, 1000, live=age == 0)  # type: ignore[arg-type]
        for kind, group in (("image", "tick"), ("revision", "tick"), ("source", "serve"))
        for age in range(8)
    ]


# --- looking --------------------------------------------------------------------------------------------------------


def documents(state: StateStore) -> dict[str, bytes]:
    """Every document but the lease, as bytes that tell one content from another."""
    found = ((f"{kind}/{name}", data) for kind in KINDS for name, data in state.scan(kind))
    return {key: sealed(data) for key, data in found}


def files(store: ModelStore) -> dict[str, bytes]:
    return {name: store.get(name) for name in store.names("")}


def sealed(data: Document) -> bytes:
    return msgspec.msgpack.encode(data, order="sorted")


def archived(store: ModelStore, *books: str) -> dict[str, bytes]:
    return {key: sealed(data) for book in books for key, data in records(store, book)}


# --- ports that are watched -----------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is no more."""


class Calls:
    """Counts the calls of every port that it watches, and runs `before` and `after` with the number of each."""

    def __init__(self) -> None:
        self.count = 0
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None

    def watch(self, port: Port) -> Port:
        return cast(Port, _Watched(port, self))


class _Watched:
    def __init__(self, port: object, calls: Calls) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls.count += 1
            number = self._calls.count
            self._calls.before(number)
            answer = method(*args, **kwargs)
            answer = iter(list(answer)) if isinstance(answer, Iterator) else answer
            self._calls.after(number)
            return answer

        return call


def watched(yard: Yard, calls: Calls) -> Yard:
    """The same yard, with every call of a store or the platform counted."""
    platform = calls.watch(yard.platform) if yard.platform else None
    return Yard(
        calls.watch(yard.state), calls.watch(yard.models), calls.watch(yard.archive), platform, yard.books, yard.clock
    )
