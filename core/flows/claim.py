"""Claim: one writer at a time for a book, by a lease with a fencing token in the book's own document.

Three answers: *mine* (go on), *busy* (another invocation has it), *done* (this bar was decided; here is the record).
The claim is a write that succeeds only if the book's document is still the one that was read: of many racers, one wins.
Every later write of this tick names the version that the claim made, so that a tick whose lease was taken over cannot
write any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from core.domain.bars import close_time
from core.domain.state import Book, BookState, opening
from core.ports import Document, Unavailable, Versioned, Watch, World, Write


class Claim(NamedTuple):
    """`record`: what is written down for this bar already, if anything (of *mine*: a tick that died after deciding)."""

    answer: Literal["mine", "busy", "done"]
    token: int
    record: Document | None
    reason: str = ""


def book_key(book: str) -> str:
    return f"books/{book}"


def tick_key(book: str, bar: datetime) -> str:
    return f"ticks/{book}@{bar:%Y-%m-%dT%H:%MZ}"


def switch_keys(book: str) -> tuple[str, str]:
    return "switches/global", f"switches/{book}"


def breakers_key(book: str) -> str:
    """What the guard found: breakers of this book that are tripped for a time."""
    return f"breakers/{book}"


def watched(book: str) -> tuple[str, ...]:
    """What a decision to send rests on, beside the lease: the switches, and what the guard found."""
    return *switch_keys(book), breakers_key(book)


class Lease(msgspec.Struct, frozen=True):
    """Who holds a book, until when. `token` counts the claims of the book; None: it was given back."""

    token: int = 0
    owner: str = ""
    bar: datetime | None = None
    until: datetime | None = None


class _Decided(msgspec.Struct, frozen=True):
    bar: datetime | None = None


class _Document(msgspec.Struct, frozen=True):
    lease: Lease = Lease()
    state: _Decided | None = None


def claim(found: Mapping[str, Versioned], book: str, bar: datetime, now: datetime) -> Claim:
    """What the documents that were read say about (book, bar) at the real time `now`. Pure.

    Raises Unavailable when the book's document cannot be understood.
    """
    record = found[tick_key(book, bar)].data
    try:
        document = msgspec.convert(found[book_key(book)].data or {}, _Document)
    except msgspec.ValidationError as failure:
        raise Unavailable(f"the document {book_key(book)} is damaged, a person must mend it: {failure}") from None
    token, until = document.lease.token + 1, document.lease.until
    if record and record.get("phase") == "done":
        return Claim("done", token, record)
    if until is not None and until > now:
        return Claim("busy", token, record, f"another invocation holds this book until {until.isoformat()}")
    last = document.state.bar if document.state else None
    if last is not None and (last > bar or (last == bar and not record)):  # its record may have been cleaned up
        return Claim("done", token, None, f"the book has already gone on to {last.isoformat()}")
    return Claim("mine", token, record)


def lease(found: Mapping[str, Versioned], book: str, bar: datetime, token: int, owner: str, until: datetime) -> Write:
    """The write that takes the book until `until`, if nobody else has taken it since it was read.

    `owner` is unlike any other claim's: a store may take two writes of the same content for one.
    """
    before = found[book_key(book)]
    document = {**(before.data or {}), "lease": {"token": token, "owner": owner, "bar": bar, "until": until}}
    return Write(book_key(book), document, before.version)


def released(lease: Document) -> Document:
    return {**lease, "until": None}


def state_of(document: Document | None, book: Book) -> BookState:
    """The book's state, or the opening one. Raises msgspec.ValidationError when the document is damaged."""
    data = (document or {}).get("state")
    return msgspec.convert(data, BookState) if data else opening(book)


def plain(value: object) -> Document:
    """A struct as a document: decimals as text, times as times, tuples as lists."""
    document: Document = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    return document


@dataclass(frozen=True, slots=True)
class Tick:
    """One bar of one book, held under a lease. `held`: the version of the book's document that we wrote last."""

    world: World
    book: Book
    bar: datetime
    at: datetime
    lease: Document
    held: str

    @property
    def key(self) -> str:
        return book_key(self.book.id)

    def commit(self, document: Document, writes: list[Write], watch: Watch | None = None) -> Tick:
        """Writes the book's document and `writes`, if the lease is still ours."""
        versions = self.world.state.commit([Write(self.key, document, self.held), *writes], watch)
        return replace(self, held=versions[self.key])

    def still_ours(self) -> bool:
        return self.world.state.read([self.key])[self.key].version == self.held

    def time_left(self) -> float:
        """Seconds until another invocation may take the book over."""
        until: datetime = self.lease["until"]
        return (until - self.world.clock.now()).total_seconds()

    def nearly_over(self) -> bool:
        """Whether what is left of the lease is too little to begin another step."""
        return self.time_left() < 0.1 * self.world.lease_s

    def age(self) -> float:
        """Seconds of real time since the bar closed."""
        return (self.world.clock.now() - close_time(self.bar, self.book.timeframe)).total_seconds()
