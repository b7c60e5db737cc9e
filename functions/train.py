"""The weekly function: train, judge, and publish or refuse. See core/flows/train.py."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from core.flows import train as flow
from core.ports import Document
from core.wiring import App
from functions.http import answer

if TYPE_CHECKING:
    from flask import Request


def train(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST, optional body {"book", "at"}. 200 done (published or refused), 500 failed, 400 bad request."""
    return answer(request, _train)


def _train(app: App, book: str, at: datetime) -> Document:
    return flow.train(app.world(book, trading=False), app.book(book), app.plan(), at)
