"""The function that tells a person what waits in the outbox. See core/flows/alert.py."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.adapters import json_log
from core.flows import alert as flow
from core.ports import Document
from core.wiring import App
from functions.http import answer_once

if TYPE_CHECKING:
    from flask import Request


def alert(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST: 200 done, 503 busy or waiting, 500 failed; the last two are worth a retry.

    The body may be empty, an event of Firestore (not read: what waits in the outbox is told) or an incident of Cloud
    Monitoring (put into the outbox first).
    """
    return answer_once(request, _alert)


def _alert(app: App, body: bytes) -> Document:
    incident = flow.incident(body, app.clock.now())
    if incident is not None:
        flow.post(app.state, incident)
    repeat = timedelta(hours=app.settings.alerts.repeat_hours)
    return flow.deliver(app.state, app.notifier, app.clock, repeat, json_log.clean)
