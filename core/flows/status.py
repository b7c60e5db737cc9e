"""status: where every book stands, by what is written down. Reads only the state store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from core.domain.orders import Order
from core.domain.state import Book, BookState
from core.domain.switch import effective
from core.flows.claim import book_key, state_of, switch_keys
from core.flows.serving import pointer_key
from core.ports import Document, StateStore, Versioned

# What is not known of a damaged state.
HELD = ("bar", "position", "average_price", "stop", "equity", "cash", "trades")
UNKNOWN = (*HELD, "unsettled", "orders", "trouble", "breakers")


def status(state: StateStore, books: Sequence[Book]) -> Document:
    """{"books": [...]}, amounts and money as Decimals: one round trip. Raises Unavailable."""
    keys = [key for book in books for key in (book_key(book.id), pointer_key(book.id), *switch_keys(book.id))]
    found = state.read(list(dict.fromkeys(keys)))
    return {"books": [_book(found, book) for book in books]}


def _book(found: Mapping[str, Versioned], book: Book) -> Document:
    documents = {key: versioned.data for key, versioned in found.items()}
    document, pointer = documents[book_key(book.id)] or {}, documents[pointer_key(book.id)]
    switches = [documents[key] for key in switch_keys(book.id)]
    last = document.get("last") or {}
    entry: Document = {
        "id": book.id,
        "symbol": book.symbol,
        "mode": effective(switches),
        "switches": dict(zip(("global", "book"), switches, strict=True)),
        "model": pointer and pointer.get("version"),
        "outcome": last.get("outcome"),
        "reason": last.get("reason"),
        "explanation": last.get("explanation"),
    }
    try:
        return entry | _holding(state_of(document, book))
    except msgspec.ValidationError as failure:
        damage = {"outcome": "damaged", "reason": f"the stored state cannot be read: {failure}", "explanation": None}
        return entry | dict.fromkeys(UNKNOWN) | damage


def _holding(state: BookState) -> Document:
    held = state.holding
    return {
        "bar": state.bar and f"{state.bar:%Y-%m-%dT%H:%M:%SZ}",
        "position": held.position,
        "average_price": held.average_price,
        "stop": held.stop,
        "equity": state.equity,
        "cash": held.cash,
        "trades": state.closed,
        "unsettled": [_told(order) for order in state.unsettled],
        "orders": [f"{_told(order)}: {order.status}" for order in state.open_orders],
        "trouble": state.trouble or None,
        "breakers": list(state.warned),
    }


def _told(order: Order) -> str:
    intent = order.intent
    return f"{intent.leg} {intent.side} {intent.amount} ({intent.id})"
