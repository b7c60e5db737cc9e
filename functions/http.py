"""From an HTTP request to a flow and back: one way for every function.

Each answer, of each book, is one line of the log as well (core/flows/measures.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from core.adapters import json_log
from core.domain.bars import BadBars
from core.flows import measures
from core.flows.gather import attempt
from core.ports import Conflict, Document, Missing, Unavailable
from core.settings import SettingsError
from core.wiring import SKEW, App, BadTime, app_of_function

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.datastructures import Headers

log = logging.getLogger("hourhand.http")
STATUS = {"busy": 503, "waiting": 503, "failed": 500, "bad_request": 400, "not_allowed": 405}
SEVERITY = ("failed", "busy")  # of several books' answers, the first of these that occurs is the answer's
EXAMPLE = 'give {"book": "btc-jpy-1h", "at": "2024-05-01T13:00:05Z"}, or nothing'
HEADERS = {"Content-Type": "application/json"}
NEXT = timedelta(days=32)  # within which the next run of any schedule lies
Flow = Callable[[App, str, datetime], Document]  # of one book
CUT_OFF = ("tick", "guard")  # functions whose time-out is the lease's length
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


def answer(request: Request, flow: Flow) -> tuple[bytes, int, dict[str, str]]:
    """Runs `flow` for the book that the request names, or for all of them one after the other."""
    return _reply(request, _name(flow), partial(_run, _name(flow), lambda *_: flow))


def answer_round(request: Request, begin: Callable[[App, Sequence[str]], Flow]) -> tuple[bytes, int, dict[str, str]]:
    """As `answer`, with the flow that `begin` makes for those books, of what they share."""
    return _reply(request, _name(begin), partial(_run, _name(begin), begin))


def answer_once(request: Request, flow: Callable[[App, bytes], Document]) -> tuple[bytes, int, dict[str, str]]:
    """Runs `flow` once for the whole deployment, with the body as it came."""
    return _reply(request, _name(flow), partial(_once, flow))


def _once(flow: Callable[[App, bytes], Document], app_: App, request: Request) -> Document:
    return _served(app_, _name(flow), "", partial(flow, app_, request.get_data()), time.monotonic())


def _name(of: Callable[..., Any]) -> str:
    """Which function this is, by the file that `of` stands in: functions/tick.py is tick's."""
    return of.__module__.rpartition(".")[2]


def _reply(request: Request, name: str, run: Callable[[App, Request], Document]) -> tuple[bytes, int, dict[str, str]]:
    headers, start = HEADERS, time.monotonic()
    try:
        document = _answered(request, run)
    except NotAllowed as failure:
        document, headers = _unserved(name, "not_allowed", str(failure), start), {**HEADERS, "Allow": "POST"}
    except BadRequest as failure:
        log.warning("bad request: %s", failure)
        document = _unserved(name, "bad_request", str(failure), start)
    except SettingsError as failure:
        log.error("the settings cannot be used: %s", failure)
        document = _unserved(name, "failed", f"the settings cannot be used: {failure}", start)
    return ENCODER.encode(_spoken(document)), STATUS.get(document["outcome"], 200), headers


def _unserved(name: str, outcome: str, reason: str, start: float) -> Document:
    document = _no(outcome, reason)
    measures.answered(measures.Measure(event=name, book=""), document, time.monotonic() - start)
    return document


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


def _run(name: str, begin: Callable[[App, Sequence[str]], Flow], app_: App, request: Request) -> Document:
    body = _body(request)
    try:
        at = app_.time(body.at or _scheduled(request.headers, app_.clock.now()))
    except BadTime as failure:
        raise BadRequest(str(failure)) from None
    books = [book.id for book in app_.books]
    if body.book is not None and body.book not in books:
        raise BadRequest(f"there is no book {body.book[:60]!r}: the settings have {', '.join(books)}")
    if body.book is not None or len(books) == 1:
        return _each(name, begin, app_, [body.book or books[0]], at)[0]
    answers = _each(name, begin, app_, books, at)
    worst = next((said for outcome in SEVERITY for said in answers if said["outcome"] == outcome), answers[0])
    return {**worst, "books": answers}


def _each(
    name: str, begin: Callable[[App, Sequence[str]], Flow], app_: App, books: Sequence[str], at: datetime
) -> list[Document]:
    """What each book answers, in turn. What they share counts as the first one's time."""
    start, answers = time.monotonic(), []
    flow = attempt(partial(begin, app_, books), Exception)
    for book in books:
        answers.append(_served(app_, name, book, partial(_flown, flow, app_, book, at), start))
        start = time.monotonic()
    return answers


def _flown(flow: Flow | Exception, app_: App, book: str, at: datetime) -> Document:
    if isinstance(flow, Exception):
        raise flow
    return flow(app_, book, at)


def _served(app_: App, name: str, book: str, flow: Callable[[], Document], start: float) -> Document:
    """What `flow` answers, and its line in the log."""
    with measures.collected(name, book) as measure:
        said = _guarded(flow, book)
    limit_s = float(app_.settings.tick.lease_s) if name in CUT_OFF else None
    measures.answered(measure, said, time.monotonic() - start, limit_s)
    return said


def _guarded(flow: Callable[[], Document], book: str) -> Document:
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
    return _no("failed", reason, book or None)


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


def _scheduled(headers: Headers, now: datetime) -> datetime | None:
    """The time that Cloud Scheduler meant: the same in every retry of a run. A person's run out of turn may carry the
    time of the next one, and means now: None."""
    text = headers.get("X-CloudScheduler-ScheduleTime")
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"the header X-CloudScheduler-ScheduleTime is no ISO 8601 time: {text[:40]!r}") from None
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return None if now + SKEW < aware <= now + NEXT else aware
