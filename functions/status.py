"""Where every book stands, for whoever may ask. See core/flows/status.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.flows import status as flow
from core.ports import Document
from core.wiring import App
from functions.http import answer_once

if TYPE_CHECKING:
    from flask import Request


def status(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST, whatever the body: 200 with what `hourhand status --json` prints, 500 when it cannot be known."""
    return answer_once(request, _status)


def _status(app: App, _: bytes) -> Document:
    return {"outcome": "done", "book": None, "bar": None, "reason": "", **flow.status(app.state, app.books)}
