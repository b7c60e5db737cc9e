"""What a tick writes down: its record, the book's document, and the alerts that go with them."""

from __future__ import annotations

from datetime import datetime

from core.domain.decide import Decision, View
from core.domain.explain import say
from core.domain.features import SETS
from core.domain.settle import News
from core.domain.state import Book, BookState
from core.flows.claim import plain
from core.ports import Document

OUTCOMES = {
    "enter": "traded",
    "exit": "traded",
    "reverse": "traded",
    "hold": "held",
    "stay_out": "stayed_out",
    "refuse": "refused",
    "halt": "halted",
}


def brief(outcome: str, book: Book, bar: datetime, reason: str) -> Document:
    """The least that every answer holds."""
    return {"outcome": outcome, "book": book.id, "bar": f"{bar:%Y-%m-%dT%H:%M:%SZ}", "reason": reason}


def answer(book: Book, view: View, decision: Decision, state: BookState, model: str | None) -> Document:
    return {
        **brief(OUTCOMES[decision.action], book, view.bar, decision.reason),
        "action": decision.action,
        "mode": view.mode,
        "position": str(state.holding.position),
        "equity": str(state.equity),
        "model": model,
        "orders": [f"{intent.leg} {intent.side} {intent.amount}" for intent in decision.intents],
        "explanation": say(view, decision, book.symbol),
    }


def record_of(book: Book, said: Document, view: View, decision: Decision, news: News) -> Document:
    """What the decision was made from and what it was, so that it can be made again: documents `ticks/{book}@{bar}`."""
    features = SETS[book.features]
    record = {
        "book": book.id,
        "bar": view.bar,
        "answer": said,
        "view": plain(view),
        "decision": plain(decision),
        "policy": plain(book.policy),
        "rules": plain(book.rules),
        "features": {"set": features.name, "digest": features.digest},
        "fills": [],
        "trades": [],
    }
    return with_news(record, news)


def with_news(record: Document, news: News) -> Document:
    """The record with what was filled since."""
    fills = [*record["fills"], *(plain(fill) for fill in news.fills)]
    return {**record, "fills": fills, "trades": [*record["trades"], *(plain(trade) for trade in news.trades)]}


def book_document(state: BookState, last: Document, lease: Document) -> Document:
    return {"state": plain(state), "last": last, "lease": lease}
