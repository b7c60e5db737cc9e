"""From an HTTP request to a flow and back: one way for every function."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from core.ports import Document, Unavailable
from core.wiring import App, app_of_function

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.datastructures import Headers

log = logging.getLogger("hourhand.http")
STATUS = {"busy": 503, "failed": 500, "bad_request": 400}
SEVERITY = (
    "bad_request",
    "failed",
    "busy",
)  # of several books' answers, the first of these that occurs is the answer's
HEADERS = {"Content-Type": "application/json"}


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The optional JSON body of a request."""

    book: str | None = None
    at: datetime | None = None


class BadRequest(ValueError):
    """A request that can never succeed as it is."""


@cache
def app() -> App:
    return app_of_function()


def answer(request: Request, flow: Callable[[App, str, datetime], Document]) -> tuple[bytes, int, dict[str, str]]:
    """Runs `flow` for the book that the request names, or for all of them one after the other."""
    try:
        app_ = app()
        with app_.answering(request.headers):
            document = _run(app_, request, flow)
    except BadRequest as failure:
        document = {"outcome": "bad_request", "book": None, "bar": None, "reason": str(failure)}
    return msgspec.json.encode(document), STATUS.get(document["outcome"], 200), HEADERS


def _run(app_: App, request: Request, flow: Callable[[App, str, datetime], Document]) -> Document:
    body = _body(request)
    at = body.at or _scheduled(request.headers) or app_.clock.now()
    books = [book.id for book in app_.settings.books]
    if body.book is not None and body.book not in books:
        raise BadRequest(f"there is no book {body.book!r}: the settings have {', '.join(books)}")
    if body.book is not None or len(books) == 1:
        return _guarded(app_, flow, body.book or books[0], at)
    answers = [_guarded(app_, flow, book, at) for book in books]
    worst = next((said for outcome in SEVERITY for said in answers if said["outcome"] == outcome), answers[0])
    return {**worst, "books": answers}


def _guarded(app_: App, flow: Callable[[App, str, datetime], Document], book: str, at: datetime) -> Document:
    """A failure is an answer as well: what happened, and that it is worth another try."""
    try:
        return flow(app_, book, at)
    except Unavailable as failure:
        log.error("not done: %s", failure, extra={"book": book})
        reason = str(failure)
    except Exception as failure:
        log.exception("not done, for a reason that nobody foresaw", extra={"book": book})
        reason = f"{type(failure).__name__}: see the log"
    return {"outcome": "failed", "book": book, "bar": None, "reason": reason}


def _body(request: Request) -> Body:
    data = request.get_data()
    if not data.strip():
        return Body()
    try:
        body = msgspec.json.decode(data, type=Body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
        raise BadRequest(f"the body is not the JSON that is understood here ({failure}): {EXAMPLE}") from None
    if body.at is not None and body.at.tzinfo is None:
        raise BadRequest(f"`at` has no time zone: {EXAMPLE}")
    return body


EXAMPLE = 'give {"book": "btc-jpy-1h", "at": "2024-05-01T13:00:05Z"}, or nothing'


def _scheduled(headers: Headers) -> datetime | None:
    """The time that Cloud Scheduler meant: the same in every retry of a run."""
    text = headers.get("X-CloudScheduler-ScheduleTime")
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"the header X-CloudScheduler-ScheduleTime is no ISO 8601 time: {text[:40]!r}") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
