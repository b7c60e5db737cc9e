"""What may be done now: the operator's switches, and the breakers beside them.

The switches are documents that are flipped by command, or by hand in the Firestore console.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.domain.decide import UNREADABLE
from core.domain.risk import Trip, breakers
from core.domain.switch import MODES, Mode, effective, mode_of, readable, severest
from core.flows.claim import breakers_key, plain, switch_keys
from core.ports import Document, StateStore, Watch, Write


class _Found(msgspec.Struct, frozen=True):
    trips: tuple[Trip, ...] = ()


def flip(state: StateStore, scope: str, mode: Mode, by: str, reason: str, now: datetime) -> Document:
    """Sets the switch of a book, or of all ('global'). The more severe of a book's switch and the global one counts."""
    document: Document = {"mode": mode, "reason": reason, "by": by, "at": now}
    state.commit([Write(f"switches/{scope}", document)])
    return {"switch": scope, **document}


def switched(book: str, watch: Watch) -> Mode:
    """What the switches say together."""
    return effective(watch[key].data for key in switch_keys(book))


def allowed(book: str, watch: Watch, tripped: Sequence[Trip], now: datetime) -> Mode:
    """What switches and breakers say together: `tripped` of the book itself, and what the guard found. A document that
    cannot be read means halt, whatever the others say."""
    trips = (*tripped, *found(book, watch, now))
    unknown = any(trip.breaker == UNREADABLE for trip in trips) or not all(
        readable(watch[key].data) for key in switch_keys(book)
    )
    return "halt" if unknown else severest((switched(book, watch), *(trip.level for trip in trips)))


def found(book: str, watch: Watch, now: datetime) -> tuple[Trip, ...]:
    """What the guard found of this book, as far as it counts at `now`. What cannot be read means halt."""
    try:
        document = msgspec.convert(watch[breakers_key(book)].data or {}, _Found)
    except msgspec.ValidationError as failure:
        why = f"the document {breakers_key(book)} cannot be read, mend or delete it: {failure}"
        return (Trip(breaker=UNREADABLE, level="halt", since=now, detail=why),)
    return breakers.active(document.trips, now)


def lasting(book: str, watch: Watch, tripped: Sequence[Trip], trouble: str, now: datetime) -> list[Write]:
    """Switches that a book flips by itself, where a person finds them and flips them back: its own in trouble and for
    its own breakers, the global one for the account's."""
    writes = []
    for scope, key in zip(("account", "book"), switch_keys(book), strict=True):
        mine = [trip for trip in tripped if trip.scope == scope]
        levels: list[Mode] = [trip.level for trip in mine]
        reasons = [trip.detail for trip in mine]
        if trouble and scope == "book":
            levels, reasons = [*levels, "halt"], [trouble, *reasons]
        if MODES.index(mode_of(watch[key].data)) < MODES.index(severest(tuple(levels))):
            document = {"mode": severest(tuple(levels)), "reason": "; ".join(reasons), "by": "hourhand", "at": now}
            writes.append(Write(key, document, watch[key].version))
    return writes


def lifted(book: str, watch: Watch, tripped: Sequence[Trip]) -> tuple[Trip, ...]:
    """Those of `tripped` that a person has resumed after: their switch says less than they do."""
    gone: list[Trip] = []
    for scope, key in zip(("account", "book"), switch_keys(book), strict=True):
        mine = [trip for trip in tripped if trip.scope == scope]
        if mine and MODES.index(mode_of(watch[key].data)) < MODES.index(severest(tuple(trip.level for trip in mine))):
            gone += mine
    return tuple(gone)


def trips_document(trips: Sequence[Trip]) -> Document:
    """What the guard writes down of what it found."""
    return {"trips": [plain(trip) for trip in trips]}
