"""The function of every minute: what cannot wait for the hour. See core/flows/guard.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from core.flows import guard as flow
from core.flows import rounds
from core.flows.gather import attempt
from core.ports import Document, World
from core.wiring import App
from functions.http import Flow, answer_round

if TYPE_CHECKING:
    from flask import Request


def guard(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST, optional body {"book", "at"}. 200 done, 503 busy, 500 the venue or the store does not answer, 400 bad
    request."""
    return answer_round(request, _begin)


def _begin(app: App, books: Sequence[str]) -> Flow:
    """Of a book whose ports cannot be made its own turn tells."""
    made = [(attempt(partial(app.world, book), Exception), app.book(book)) for book in books]
    places = [(world, book) for world, book in made if isinstance(world, World)]
    return partial(_guard, rounds.begin(places) if places else None)


def _guard(round_: rounds.Round | None, app: App, book: str, at: datetime) -> Document:
    world, chosen = app.world(book), app.book(book)
    ahead = round_.ahead(chosen) if round_ else None
    return flow.guard(world, chosen, at, app.settings.guard.overdue_s, ahead)
