"""The function of every minute: what cannot wait for the hour. See core/flows/guard.py."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from core.flows import guard as flow
from core.ports import Document
from core.wiring import App
from functions.http import answer

if TYPE_CHECKING:
    from flask import Request


def guard(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST, optional body {"book", "at"}. 200 done, 503 busy, 500 the venue or the store does not answer, 400 bad
    request."""
    return answer(request, _guard)


def _guard(app: App, book: str, at: datetime) -> Document:
    return flow.guard(app.world(book), app.book(book), at, app.settings.guard.overdue_s)
