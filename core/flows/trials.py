"""Trials: what has been tried on a market, and how well each did. Who tries often enough finds an edge by chance, so
the deflated Sharpe ratio asks how many there were (Bailey and López de Prado, The Deflated Sharpe Ratio, 2014).

A market is a symbol and a timeframe: all books on it share its trials. A trial is what was chosen, not the bars that it
was tried on: the same strategy on a day more of them is not another one.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from core.domain.state import Book
from core.ports import ModelStore


class Trials(NamedTuple):
    """How many there were, and the variance of their yearly Sharpe ratios; None: not known."""

    number: int
    variance: float | None


def note(store: ModelStore, book: Book, name: str, sharpes: Sequence[float]) -> None:
    """Remembers what each of the trials under `name` made, as a year's Sharpe ratio. The same name counts once."""
    store.put(f"trials/{market(book)}/{name}", msgspec.json.encode(list(sharpes)))


def tried(store: ModelStore, book: Book) -> Trials:
    """Everything that was ever tried on this book's market. Raises ValueError: what was noted is damaged."""
    sharpes = [sharpe for name in store.names(f"trials/{market(book)}/") for sharpe in _read(store, name)]
    return Trials(len(sharpes), statistics.variance(sharpes) if len(sharpes) > 1 else None)


def _read(store: ModelStore, name: str) -> list[float]:
    try:
        return msgspec.json.decode(store.get(name), type=list[float])
    except msgspec.MsgspecError as failure:
        raise ValueError(f"{name}, where trials are counted, is damaged ({failure}): put it back, or [1.0]") from None


def digest(*chosen: object) -> str:
    """SHA-256 of everything that was chosen."""
    return hashlib.sha256(msgspec.json.encode(chosen, order="sorted")).hexdigest()


def market(book: Book) -> str:
    """As part of a file's name."""
    return f"{book.symbol.replace('/', '-').replace(':', '-').lower()}-{book.timeframe}"
