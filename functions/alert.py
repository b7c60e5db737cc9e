"""The function that tells a person what waits in the outbox. See core/flows/alert.py."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from core.adapters import json_log
from core.flows import alert as flow
from core.ports import Document
from functions.http import HEADERS, SPOKEN, STATUS, app

if TYPE_CHECKING:
    from flask import Request

log = logging.getLogger("hourhand.http")


def alert(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST: 200 done, 503 busy or waiting, 500 failed; the last two are worth a retry.

    The body may be empty, an event of Firestore (not read: what waits in the outbox is told) or an incident of Cloud
    Monitoring (put into the outbox first).
    """
    headers = HEADERS
    if request.method == "POST":
        document = _guarded(request)
    else:
        document, headers = (
            _no("not_allowed", f"{request.method} does nothing here: POST"),
            {**HEADERS, "Allow": "POST"},
        )
    status = {**STATUS, "waiting": 503}.get(document["outcome"], 200)
    return msgspec.json.encode({**document, "reason": json_log.clean(document["reason"])}), status, headers


def _guarded(request: Request) -> Document:
    """A failure is an answer as well: what happened, and that it is worth another try."""
    try:
        app_: Any = app()
        with app_.answering(request.headers):
            return _told(app_, request.get_data())
    except SPOKEN as failure:
        log.error("not done: %s", failure)
        return _no("failed", str(failure))
    except Exception as failure:
        log.exception("not done, for a reason that nobody foresaw")
        return _no("failed", f"{type(failure).__name__}: see the log")


def _told(app_: Any, body: bytes) -> Document:
    incident = flow.incident(body, app_.clock.now())
    if incident is not None:
        flow.post(app_.state, incident)
    repeat = timedelta(hours=app_.settings.alerts.repeat_hours)
    return flow.deliver(app_.state, app_.notifier, app_.clock, repeat, json_log.clean)


def _no(outcome: str, reason: str) -> Document:
    return {"outcome": outcome, "book": None, "bar": None, "reason": reason}
