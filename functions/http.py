"""From an HTTP request to a flow and back: one way for every function."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from core.adapters import json_log
from core.domain.bars import BadBars
from core.ports import Conflict, Document, Missing, Unavailable
from core.settings import SettingsError
from core.wiring import App, BadTime, app_of_function

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.datastructures import Headers

log = logging.getLogger("hourhand.http")
STATUS = {"busy": 503, "waiting": 503, "failed": 500, "bad_request": 400, "not_allowed": 405}
SEVERITY = ("failed", "busy")  # of several books' answers, the first of these that occurs is the answer's
EXAMPLE = 'give {"book": "btc-jpy-1h", "at": "2024-05-01T13:00:05Z"}, or nothing'
HEADERS = {"Content-Type": "application/json"}
ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
SPOKEN = (Unavailable, Conflict, Missing, BadBars, SettingsError)  # their text is a sentence for whoever asked


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The optional JSON body of a request."""

    book: str | None = None
    at: datetime | None = None


class BadRequest(ValueError):
    """A request that can never succeed as it is."""


class NotAllowed(ValueError):
    """Another method than POST: a browser or a health check that looks must not trade."""


@cache
def app() -> App:
    """The settings and ports of this process. A failure is not kept: the next request tries again."""
    return app_of_function()


def answer(request: Request, flow: Callable[[App, str, datetime], Document]) -> tuple[bytes, int, dict[str, str]]:
    """Runs `flow` for the book that the request names, or for all of them one after the other."""
    return _reply(request, partial(_run, flow))


def answer_once(request: Request, flow: Callable[[App, bytes], Document]) -> tuple[bytes, int, dict[str, str]]:
    """Runs `flow` once for the whole deployment, with the body as it came."""
    return _reply(request, lambda app_, request: _guarded(partial(flow, app_, request.get_data())))


def _reply(request: Request, run: Callable[[App, Request], Document]) -> tuple[bytes, int, dict[str, str]]:
    headers = HEADERS
    try:
        document = _answered(request, run)
    except NotAllowed as failure:
        document, headers = _no("not_allowed", str(failure)), {**HEADERS, "Allow": "POST"}
    except BadRequest as failure:
        log.warning("bad request: %s", failure)
        document = _no("bad_request", str(failure))
    except SettingsError as failure:
        log.error("the settings cannot be used: %s", failure)
        document = _no("failed", f"the settings cannot be used: {failure}")
    return ENCODER.encode(_spoken(document)), STATUS.get(document["outcome"], 200), headers


def _no(outcome: str, reason: str, book: str | None = None) -> Document:
    """The answer of a request that was not served."""
    return {"outcome": outcome, "book": book, "bar": None, "reason": reason}


def _spoken(document: Document) -> Document:
    """The same with nothing secret in its sentences, such as an address that holds a password."""
    told = {name: json_log.clean(document[name]) for name in ("reason", "explanation") if document.get(name)}
    books = {"books": [_spoken(said) for said in document["books"]]} if "books" in document else {}
    return {**document, **told, **books}


def _answered(request: Request, run: Callable[[App, Request], Document]) -> Document:
    if request.method != "POST":
        raise NotAllowed(f"{request.method} does nothing here: POST, {EXAMPLE}")
    app_ = app()
    with app_.answering(request.headers):
        return run(app_, request)


def _run(flow: Callable[[App, str, datetime], Document], app_: App, request: Request) -> Document:
    body = _body(request)
    try:
        at = app_.time(body.at or _scheduled(request.headers))
    except BadTime as failure:
        raise BadRequest(str(failure)) from None
    books = [book.id for book in app_.books]
    if body.book is not None and body.book not in books:
        raise BadRequest(f"there is no book {body.book[:60]!r}: the settings have {', '.join(books)}")
    if body.book is not None or len(books) == 1:
        book = body.book or books[0]
        return _guarded(partial(flow, app_, book, at), book)
    answers = [_guarded(partial(flow, app_, book, at), book) for book in books]
    worst = next((said for outcome in SEVERITY for said in answers if said["outcome"] == outcome), answers[0])
    return {**worst, "books": answers}


def _guarded(flow: Callable[[], Document], book: str | None = None) -> Document:
    """A failure is an answer as well: what happened, and that it is worth another try."""
    whose = {"book": book} if book else {}
    try:
        return flow()
    except SPOKEN as failure:
        log.error("not done: %s", failure, extra=whose)
        reason = str(failure)
    except Exception as failure:
        log.exception("not done, for a reason that nobody foresaw", extra=whose)
        reason = f"{type(failure).__name__}: see the log"
    return _no("failed", reason, book)


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
