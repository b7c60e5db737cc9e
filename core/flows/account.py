"""The account: what the other books of a deployment hold, and what that leaves to this one.

Two books that decide at once could each take the last room there is. So an entry is committed on condition that no
other book has entered since the others were read: a document that every entry replaces is the turnstile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from core.domain.bars import BadBars, Bars, unpack
from core.domain.orders import ZERO
from core.domain.risk import Limits, Room, Trip
from core.domain.risk.room import Exposure, correlation, room
from core.domain.state import UNKNOWN, Book, BookState, exposed
from core.domain.state import judged as state_judged
from core.flows import window
from core.flows.claim import book_key, state_of
from core.ports import Versioned, World, Write

TURNSTILE = "account/entries"


@dataclass(frozen=True, slots=True)
class Account:
    """The other books as they were read: their states (None: damaged), bars of those that hold something, and the
    turnstile."""

    limits: Limits
    states: Mapping[str, BookState | None]
    symbols: Mapping[str, str]
    bars: Mapping[str, Bars]
    turnstile: str | None

    def entered(self, book: Book, bar: datetime) -> Write:
        """What goes with an entry: nobody else may have entered since."""
        return Write(TURNSTILE, {"book": book.id, "bar": bar}, self.turnstile)

    def equity(self, own: BookState) -> Decimal:
        return own.equity + sum((state.equity for state in self.states.values() if state), ZERO)

    def rooms(self, own: BookState, bars: Bars) -> tuple[Room, Room]:
        """What is left to this book, for a long and for a short position."""
        held = [self._exposure(name, state, bars) for name, state in self.states.items()]
        equity = self.equity(own)
        return room(held, "buy", equity, self.limits), room(held, "sell", equity, self.limits)

    def _exposure(self, name: str, state: BookState | None, bars: Bars) -> Exposure:
        notional = UNKNOWN if state is None else exposed(state)
        together = correlation(bars, self.bars[name]) if name in self.bars else math.nan
        return Exposure(symbol=self.symbols[name], notional=notional, correlation=together)


def others(world: World, book: Book) -> list[Book]:
    return [other for other in world.books if other.id != book.id]


def keys(world: World, book: Book) -> list[str]:
    """What is read of the account; nothing where the book is alone."""
    its = others(world, book)
    return [*(book_key(other.id) for other in its), TURNSTILE] if its else []


def beside(world: World, book: Book, found: Mapping[str, Versioned]) -> Account | None:
    """What the documents say; bars are asked for where somebody holds something. Raises Unavailable."""
    its = others(world, book)
    if not its:
        return None
    states = {other.id: _state(found, other) for other in its}
    holding = [other for other in its if (state := states[other.id]) is None or exposed(state)]
    stored = world.state.read([window.key(other) for other in holding]) if holding else {}
    bars = {other.id: unpacked for other in holding if (unpacked := _bars(stored[window.key(other)])) is not None}
    symbols = {other.id: other.symbol for other in its}
    return Account(world.limits, states, symbols, bars, found[TURNSTILE].version)


def judged(state: BookState, account: Account | None, now: datetime) -> tuple[BookState, tuple[Trip, ...]]:
    """The state with the account's equity marked, and the account's breakers that are tripped."""
    if account is None or None in account.states.values():  # what a damaged book holds is not known
        return state, ()
    return state_judged(state, account.equity(state), account.limits, now)


def _state(found: Mapping[str, Versioned], book: Book) -> BookState | None:
    try:
        return state_of(found[book_key(book.id)].data, book)
    except msgspec.ValidationError:
        return None


def _bars(stored: Versioned) -> Bars | None:
    try:
        return unpack(stored.data["bars"]) if stored.data else None
    except (BadBars, KeyError, TypeError, ValueError):
        return None
