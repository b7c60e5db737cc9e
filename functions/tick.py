"""The hourly function: one bar, one decision. See core/flows/tick.py."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from core.flows import tick as flow
from core.ports import Document
from core.wiring import App
from functions.http import answer

if TYPE_CHECKING:
    from flask import Request


def tick(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST, optional body {"book", "at"}. 200 done, 503 busy, 500 failed and worth a retry, 400 bad request."""
    return answer(request, _tick)


def _tick(app: App, book: str, at: datetime) -> Document:
    return flow.tick(app.world(book), app.book(book), at)
