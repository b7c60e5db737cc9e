"""What the flows need of the world. Adapters satisfy these protocols; flows know nothing else of the outside.

Every adapter of a port passes the battery of that name in tests/contracts. Times are aware UTC datetimes. What goes
wrong outside is raised as one of the exceptions here, with a sentence that says what, where and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar
from uuid import uuid4

from core.domain.alerts import Message
from core.domain.bars import Bars
from core.domain.daily import Daily
from core.domain.decide import Foresight
from core.domain.forecast import Model
from core.domain.orders import Answer, Order, Sight, Traits
from core.domain.risk import Limits
from core.domain.state import Book

Item = TypeVar("Item")
Made = TypeVar("Made")


class Unavailable(Exception):
    """Something outside did not answer, or answered nonsense; worth another try.

    What was to be written may have been written all the same: read again before writing again.
    """


class Conflict(Exception):
    """A commit found that a document was no longer as its writer had read it. Nothing was written."""


class Missing(LookupError):
    """A named file or object does not exist."""


class Later(Unavailable):
    """Whoever was asked did certainly not do it, and said when to come back: `seconds` from now (0: did not say)."""

    def __init__(self, said: str, seconds: float) -> None:
        super().__init__(said)
        self.seconds = seconds


class Clock(Protocol):
    """Real time: for leases, signatures and waiting. The decision's own clock is an argument."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class Market(Protocol):
    def bars(self, since: datetime, until: datetime) -> Bars:
        """The closed bars of this market that open in [since, until), in order; absent bars are absent.

        May return fewer than asked for. Raises Unavailable (no answer, or not a market's answer) or BadBars.
        """
        ...


class History(Protocol):
    """All closed bars of one market that were ever fetched, for training."""

    def load(self, since: datetime, until: datetime) -> Bars:
        """What is stored of [since, until). Raises Unavailable or BadBars."""
        ...

    def save(self, bars: Bars) -> None:
        """Adds `bars` to what is stored; where both have a bar, the new one stands. Raises Unavailable."""
        ...


class DailySource(Protocol):
    def history(self, now: datetime) -> Daily:
        """What had been published by `now`, at least the last 60 values where there are as many. Raises Unavailable."""
        ...


class Calls(NamedTuple):
    """Requests to the venue since this process began: how many, how many failed, the seconds that the newest took."""

    made: int = 0
    failed: int = 0
    took: tuple[float, ...] = ()


class Vetting(NamedTuple):
    """What a venue tells of a key and of time. withdraw: whether the key may withdraw; skew_s: by how much our clock is
    ahead of the venue's; None: it does not tell. said: a sentence for each thing that it does not tell, or that is
    wrong."""

    withdraw: bool | None = None
    skew_s: float | None = None
    said: tuple[str, ...] = ()


class Exchange(Protocol):
    @property
    def traits(self) -> Traits:
        """What the venue can do. Fixed; asks nobody."""
        ...

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        """What the venue shows now. `orders`: those of ours that are still open, each looked for by its ids.

        `bars` are the closed bars up to the tick's: the paper exchange moves its market along them. Raises Unavailable.
        """
        ...

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        """Sends each order, one after the other, and never again: an answer for each, whatever happens, once this
        process has looked. Where the venue knows an id already, the answer is `placed`. After one that is not placed
        the others are not sent: what follows may rest on it.

        A request is signed with its order's `sent`, where the venue checks that time: written down an instant before,
        it expires there `traits.window_s` later, however long this process was paused in between.
        """
        ...

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        """Asks the venue to take back orders whose `order_id` is known. Whether it did, the next look tells: that an
        order is gone already is no failure."""
        ...

    def calls(self) -> Calls:
        """What this object has asked of the venue so far. Asks nobody."""
        ...

    def vet(self) -> Vetting:
        """What must be true of key and clock before real money is traded. Raises Unavailable: the keys do not work, or
        it cannot be told."""
        ...


class Notifier(Protocol):
    """A channel on which a person is told."""

    def send(self, messages: Sequence[Message]) -> None:
        """Shows `messages` (at most `most`) together, once. Raises Later when the channel says when to come back, else
        Unavailable: then nothing of them was shown, as far as the channel tells."""
        ...

    @property
    def most(self) -> int:
        """How many messages one call may carry."""
        ...


Document = dict[str, Any]  # None, bool, int, float, str, bytes, aware datetime, lists and str-keyed dicts of these


class Versioned(NamedTuple):
    data: Document | None  # None: there is no such document
    version: str | None  # opaque; changes whenever the content does; None: there is no such document


ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Write:
    """Put `data` (None deletes) at `key`, if the document's version is still `version`.

    `version=None`: it must not exist yet; `version=ANY`: whatever is there.
    """

    key: str
    data: Document | None
    version: str | None = ANY


# Documents as they were read, which must still be so when a decision made on them is committed.
Watch = Mapping[str, Versioned]


class StateStore(Protocol):
    """Documents by key ('collection/id'), with optimistic versions and atomic commits. Each call is one round trip.

    All methods raise Unavailable when the store cannot be reached, is full or is damaged.
    """

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        """All of `keys` at one moment; an absent document is Versioned(None, None)."""
        ...

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        """All writes or none; returns the new version of each key that was put. Raises Conflict, also when a document
        of `watch` is no longer as it was read there."""
        ...

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        """(id, data) of a collection's documents with since <= id < until, in order of id."""
        ...


class ModelStore(Protocol):
    """Immutable files by name ('a/b/c'). Used for model artefacts and for price history."""

    def get(self, name: str) -> bytes:
        """Raises Missing, or Unavailable."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Whole or not at all; the same name may be put again. Raises Unavailable."""
        ...

    def names(self, prefix: str) -> Sequence[str]:
        """Every name that starts with `prefix`, in order."""
        ...

    def stored(self, prefix: str) -> Sequence[Stored]:
        """The same with size and time. Raises Unavailable."""
        ...

    def delete(self, name: str) -> None:
        """Absent is fine. Raises Unavailable."""
        ...


class Stored(NamedTuple):
    """A file as its store lists it. at: when it was put."""

    name: str
    size: int  # bytes
    at: datetime


class Leftover(NamedTuple):
    """What deploying leaves behind: a container image, a function's revision, a source archive.

    group: what it is one version of; newest versions of a group are counted together. live: it serves, or what serves
    was made from it. size: bytes; 0 where the platform does not tell.
    """

    kind: Literal["image", "revision", "source"]
    group: str
    name: str
    at: datetime
    size: int = 0
    live: bool = False


class Platform(Protocol):
    """Where the functions are deployed."""

    def leftovers(self) -> Sequence[Leftover]:
        """All of them, live ones too. Raises Unavailable."""
        ...

    def remove(self, leftover: Leftover) -> None:
        """Absent is fine. Raises Unavailable: also when it may not be removed, because it serves."""
        ...


class Secrets(Protocol):
    def get(self, name: str) -> str:
        """The secret's value. Raises Missing (nobody set it) or Unavailable."""
        ...


class Workers(Protocol):
    """Where independent work is done: this machine's cores, or a cluster's."""

    def run(self, job: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[tuple[int, Made]]:
        """(index, job(item)) of each item, each once, as they are done: in any order. A worker that dies loses nothing:
        its items are done again elsewhere. What `job` raises is raised here. `job` and items can be pickled."""
        ...


NO_OTHERS: Final = Limits()


class Other(NamedTuple):
    """A market that features compare the book's own with."""

    symbol: str
    market: Market
    history: History | None = None


# From (book, bars, live model or None, VIX, why no forecast shall be made or None).
Foresee = Callable[[Book, Bars, Model | None, Daily, tuple[str, str] | None], Foresight]


@dataclass(frozen=True, slots=True)
class World:
    """The ports, bound for one book. `vix`: sources by name, in order of trust. `owner` gives a name that no other
    claim has. `together` makes independent calls to the outside, one after the other unless it is told better. `cache`
    outlives a tick while the instance is warm, and may be lost at any time."""

    clock: Clock
    market: Market
    vix: Sequence[tuple[str, DailySource]]
    exchange: Exchange
    state: StateStore
    models: ModelStore
    history: History | None = None  # None: the market itself holds all of its past
    lease_s: int = 120
    patience_s: int = 20
    vix_every_s: int = 6 * 3600
    owner: Callable[[], str] = lambda: uuid4().hex
    minutes: Market | None = None  # of one-minute bars, for the guard; None: there are none
    books: Sequence[Book] = ()  # of the whole deployment, which share the account; empty: this book alone
    limits: Limits = NO_OTHERS
    other: Other | None = None  # what features compare the market with; None: they do without
    outside: Mapping[str, Sequence[tuple[str, DailySource]]] = field(default_factory=dict)  # by series, as `vix`
    outside_past: Mapping[str, Sequence[tuple[str, DailySource]]] = field(
        default_factory=dict
    )  # for training; empty: ^
    outside_max_age: Mapping[str, int] = field(default_factory=dict)  # seconds, by series, where not the default
    foresee: Foresee | None = None  # in place of features and model, where only what comes after them is of interest
    together: Callable[[Sequence[Callable[[], Any]]], list[Any]] = lambda calls: [call() for call in calls]
    cache: dict[str, object] = field(default_factory=dict)
