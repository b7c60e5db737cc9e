"""The monthly function: what nobody needs any more goes. See core/flows/cleanup.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from core.domain.retention import Level
from core.flows import cleanup as flow
from core.ports import Document
from core.wiring import App
from functions.http import answer_once

if TYPE_CHECKING:
    from flask import Request

EXAMPLE = 'give {"dry_run": true, "level": "moderate"}, a part of it, or nothing'


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The optional JSON body. `level`: in place of the one in the settings."""

    dry_run: bool = False
    level: Level | None = None


def cleanup(request: Request) -> tuple[bytes, int, dict[str, str]]:
    """POST, optional body {"dry_run", "level"}. 200 done, 503 busy, 500 a part of it was not done, 400 bad request."""
    return answer_once(request, _cleanup)


def _cleanup(app: App, data: bytes) -> Document:
    try:
        body = msgspec.json.decode(data, type=Body) if data.strip() else Body()
    except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
        reason = f"the body is not the JSON that is understood here ({failure}): {EXAMPLE}"
        return {"outcome": "bad_request", "book": None, "bar": None, "reason": reason}
    table, commit = app.settings.cleanup.table(body.level), app.settings.deployment.commit
    return flow.cleanup(app, table, dry_run=body.dry_run, code=commit)
