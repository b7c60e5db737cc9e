"""Trials: what has been tried on a market, and how well each did. Who tries often enough finds an edge by chance, so
the deflated Sharpe ratio asks how many there were (Bailey and López de Prado, The Deflated Sharpe Ratio, 2014)."""

from __future__ import annotations

import hashlib
import statistics
from typing import NamedTuple

import msgspec

from core.domain.state import Book
from core.ports import ModelStore


class Trials(NamedTuple):
    """How many there were, and the variance of their yearly Sharpe ratios; None: not known."""

    number: int
    variance: float | None


def note(store: ModelStore, book: Book, tried: str, sharpe: float) -> None:
    """Remembers that `tried` (a digest of all that was chosen) made `sharpe` (a year's). The same one counts once."""
    store.put(_folder(book) + tried, msgspec.json.encode({"sharpe": sharpe}))


def tried(store: ModelStore, book: Book) -> Trials:
    """Everything that was ever tried on this book's market."""
    sharpes = [msgspec.json.decode(store.get(name))["sharpe"] for name in store.names(_folder(book))]
    return Trials(len(sharpes), statistics.variance(sharpes) if len(sharpes) > 1 else None)


def digest(*chosen: object) -> str:
    """SHA-256 of everything that a run follows from."""
    return hashlib.sha256(msgspec.json.encode(chosen, order="sorted")).hexdigest()


def _folder(book: Book) -> str:
    return f"trials/{book.symbol.replace('/', '-').replace(':', '-').lower()}-{book.timeframe}/"
