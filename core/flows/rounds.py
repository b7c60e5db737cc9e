"""rounds: the guards of several books, one after the other, and what they ask for together.

A store that is paid by the document sends `switches/global` once for some books, in one round trip, and is not asked
for switches and breakers that most books do not have; a market that several books trade is asked for its minutes once.
Books take turns at the venue: what it allows in a second is counted by account and address, and each book's line to it
keeps only its own count. So a few markets at a time, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from core.domain.bars import BadBars, Bars
from core.domain.state import Book
from core.flows import measures
from core.flows.claim import book_key, watched
from core.flows.gather import attempt
from core.ports import Unavailable, Versioned, World

BOOKS: Final = 8  # whose documents are read together
FEW: Final = 3  # books whose documents are asked for by name, whether they exist or not
SPARSE: Final = ("switches", "breakers")  # most books have none
FRESH: Final = timedelta(seconds=5)  # how old they may be when a book's turn comes
MARKETS: Final = 4  # that are asked at a time
MINUTES: Final = timedelta(minutes=15)  # of a market that are looked at: runs may have been missed
Newest = Bars | Exception | None  # minutes; why they cannot be had; or there are none


class Present(NamedTuple):
    """Which documents of the sparse collections there were, `at` by the real clock; None: nobody asked."""

    at: datetime
    keys: frozenset[str] | None


class Ahead(NamedTuple):
    """What a book's guard begins with: its documents `keys`, and its market's newest minutes."""

    found: Mapping[str, Versioned]
    newest: Newest


@dataclass(slots=True)
class Round:
    """The books in the order of their turns, the minutes of their markets by symbol, and the documents that were read
    last, `at` by the real clock."""

    places: Sequence[tuple[World, Book]]
    newest: Mapping[str, Newest]
    at: datetime
    found: Mapping[str, Versioned]
    present: Present

    def ahead(self, book: Book) -> Ahead:
        """For `book`, whose turn it is: its documents are read with those of the next ones, unless they were just now.
        Raises Unavailable."""
        index = next(number for number, (_, other) in enumerate(self.places) if other.id == book.id)
        now = self.places[index][0].clock.now()
        if now - self.present.at > FRESH:
            self.present = _present(self.places)
        if book_key(book.id) not in self.found or now - self.at > FRESH:
            self.at, self.found = now, _read(self.places[index:], self.present)
        return Ahead(self.found, self.newest[book.symbol])


def guard_key(book: str) -> str:
    return f"guards/{book}"


def keys(book: Book) -> list[str]:
    """What a guard reads first."""
    return [book_key(book.id), guard_key(book.id), *watched(book.id)]


def begin(places: Sequence[tuple[World, Book]]) -> Round:
    """A round over at least one book of a deployment. Raises Unavailable."""
    first, _ = places[0]
    markets = {book.symbol: partial(_asked, world) for world, book in places}
    calls, at = list(markets.values()), first.clock.now()
    present = _present(places)
    found, *newest = first.together([partial(_read, places, present), *calls[:MARKETS]])
    while len(newest) < len(calls):
        group = newest[-MARKETS:]
        if all(isinstance(answer, Unavailable) for answer in group):  # nor would it answer the others, as slowly
            newest += [group[0]] * (len(calls) - len(newest))
        else:
            newest += first.together(calls[len(newest) : len(newest) + MARKETS])
    return Round(places, dict(zip(markets, newest, strict=True)), at, found, present)


def _present(places: Sequence[tuple[World, Book]]) -> Present:
    """One more round trip, where it spares paying for many documents that do not exist."""
    world, _ = places[0]
    at = world.clock.now()
    if len(places) <= FEW:
        return Present(at, None)
    found = frozenset(f"{collection}/{name}" for collection in SPARSE for name, _ in world.state.scan(collection))
    return Present(at, found)


def _read(places: Sequence[tuple[World, Book]], present: Present) -> Mapping[str, Versioned]:
    """What was absent when it was asked for is taken to be so still: who writes it or acts on it finds out."""
    wanted = dict.fromkeys(key for _, book in places[:BOOKS] for key in keys(book))
    known = present.keys
    absent = [key for key in wanted if known is not None and key.startswith(SPARSE) and key not in known]
    found = places[0][0].state.read([key for key in wanted if key not in absent])
    return {**dict.fromkeys(absent, Versioned(None, None)), **found}


def _asked(world: World) -> Newest:
    if world.minutes is None:
        return None
    until = world.clock.now().replace(second=0, microsecond=0)
    bars: Newest = attempt(partial(world.minutes.bars, until - MINUTES, until), Exception)
    return bars


def minutes(world: World, book: Book, ahead: Ahead | None) -> Bars | None:
    """The newest minutes. A market that does not answer is told to the log, at the first such run in a row: a tick has
    its own eye on it. Raises what is no answer of a market."""
    newest, name = ahead.newest if ahead else _asked(world), f"guard minutes {book.id}"
    if not isinstance(newest, Exception):
        world.cache.pop(name, None)
        return newest
    if not isinstance(newest, Unavailable | BadBars):
        raise newest
    if name not in world.cache:
        measures.source_failed(book.id, "minutes", "venue", str(newest))
    world.cache[name] = str(newest)
    return None
