"""serve: every function on one port, as the cloud would call them, with a scheduler of its own."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.cli import Failed
from core.cli.operate import Answer, opened
from core.domain.bars import moment, seconds
from core.wiring import App

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAIN = Path(__file__).parents[2] / "main.py"
FUNCTIONS = ("tick", "guard", "train", "cleanup", "alert", "status")
AFTER_CLOSE = timedelta(seconds=5)
SUNDAY = 6
TRAINING = 9  # Sunday, hour in UTC: 18:00 in Japan
CLEANUP = 2  # the month's first Sunday, hour in Japan
JAPAN = timedelta(hours=9)
RETRIES = (30, 60, 120)  # seconds after a 503 or 500, like the scheduler in the cloud
MINUTE = 60
EVERY_MINUTE = ("/guard", "/alert")  # the next call comes soon enough: no retries, and no word when nothing was done


def serve(arguments: Namespace) -> Answer:
    """Runs until it is stopped. Raises Failed when the port is taken, or live may not begin."""
    from functions_framework import create_app
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import make_server

    app = opened(arguments)
    if said := app.no_go():
        raise Failed(f"NO-GO, so live does not start ({'; '.join(said)}): see hourhand check")
    if arguments.config:
        os.environ["HOURHAND_CONFIG"] = str(arguments.config)  # the functions read their own settings
    served = {f"/{name}": _at_its_root(create_app(name, str(MAIN))) for name in FUNCTIONS}
    host = app.settings.serve.host
    port = app.settings.serve.port if arguments.port is None else arguments.port
    try:
        server = make_server(host, port, DispatcherMiddleware(_nothing, served), threaded=True)
    except (OSError, SystemExit):  # werkzeug has said why in its own words
        raise Failed(f"cannot listen on {host}:{port}: when it is taken, give another one with --port") from None
    url = f"http://{host}:{server.port}"
    print(f"serving {', '.join(url + path for path in served)}; stop with Ctrl-C", file=sys.stderr, flush=True)
    threading.Thread(target=_schedule, args=(app, url), daemon=True).start()
    logging.getLogger("hourhand.metrics").setLevel(logging.WARNING)  # a terminal is told in sentences
    with redirect_stdout(sys.stderr):  # where the functions log: stdout is for the command's own answer
        server.serve_forever()
    return {"outcome": "done"}, ""


def _at_its_root(function: WSGIApplication) -> WSGIApplication:
    """`function` for exactly its path: a redirection from /tick to /tick/ would not be followed by a POST."""

    def called(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        return function({**environ, "PATH_INFO": environ["PATH_INFO"] or "/"}, start)

    return called


def _nothing(_: object, start: object) -> list[bytes]:
    start("404 Not Found", [("Content-Type", "text/plain")])  # type: ignore[operator]
    return [f"there are {', '.join('/' + name for name in FUNCTIONS)} here\n".encode()]


def _schedule(app: App, url: str) -> None:
    for due, path, book in jobs(app, app.clock.now()):
        time.sleep(max(0.0, (due - app.clock.now()).total_seconds()))
        threading.Thread(target=_call, args=(url + path, book, due), daemon=True).start()


def jobs(app: App, now: datetime) -> Iterator[tuple[datetime, str, str]]:
    """(time, path, book) of what is due after `now`, in order and without end."""
    while True:
        ahead = [(_next_close(now, book.timeframe), "/tick", book.id) for book in app.books]
        ahead += [(_next_training(now), "/train", book.id) for book in app.books]
        ahead += [(_next_minute(now, 30), "/guard", book.id) for book in app.books]  # well away from the tick
        ahead += [(_next_minute(now, 45), "/alert", ""), (_next_cleanup(now), "/cleanup", "")]
        soonest = min(due for due, _, _ in ahead)
        yield from (job for job in ahead if job[0] == soonest)
        now = soonest


def _next_close(now: datetime, timeframe: str) -> datetime:
    step = seconds(timeframe)
    return moment((int((now - AFTER_CLOSE).timestamp()) // step + 1) * step) + AFTER_CLOSE


def _next_minute(now: datetime, second: int) -> datetime:
    return moment((int(now.timestamp() - second) // MINUTE + 1) * MINUTE + second)


def _next_training(now: datetime) -> datetime:
    day = now.astimezone(UTC).replace(hour=TRAINING, minute=0, second=0, microsecond=0)
    due = day + timedelta(days=(SUNDAY - day.weekday()) % 7)
    return due if due > now else due + timedelta(days=7)


def _next_cleanup(now: datetime) -> datetime:
    there = (now + JAPAN).replace(hour=CLEANUP, minute=0, second=0, microsecond=0)
    for month in (there.replace(day=1), there.replace(day=1) + timedelta(days=31)):
        first = month.replace(day=1)
        due = first + timedelta(days=(SUNDAY - first.weekday()) % 7) - JAPAN
        if due > now:
            return due
    raise AssertionError("unreachable: the next month has a Sunday")


def _call(url: str, book: str, due: datetime) -> None:
    import urllib3

    headers = {"Content-Type": "application/json", "X-CloudScheduler-ScheduleTime": due.isoformat()}
    body = msgspec.json.encode({"book": book}) if book else b""
    often = url.endswith(EVERY_MINUTE)
    for wait in (0,) if often else (*RETRIES, 0):
        try:
            reply = urllib3.request("POST", url, body=body, headers=headers, timeout=1800, retries=False)
        except urllib3.exceptions.HTTPError as failure:
            print(f"{due:%Y-%m-%d %H:%M} {url}: {failure}", file=sys.stderr, flush=True)
            return
        if reply.status not in (500, 503) or not wait:
            break
        time.sleep(wait)
    if not (often and _idle(reply.status, reply.data)):
        print(
            f"{due:%Y-%m-%d %H:%M} {book or url.rpartition('/')[2]}: {_told(reply.status, reply.data)}",
            file=sys.stderr,
            flush=True,
        )


def _idle(status: int, data: bytes) -> bool:
    """Whether there was nothing to do, or somebody else was at it."""
    if status != 200:
        return status == 503
    said = msgspec.json.decode(data, type=dict[str, object])
    return said.get("reason") == "nothing_found" or said.get("told") == 0


def _told(status: int, data: bytes) -> str:
    try:
        said = msgspec.json.decode(data, type=dict[str, object])
        if isinstance(said.get("told"), int):
            return f"{said['outcome']}: {said['told']} told in {said.get('messages')} messages; {said['reason']}"
        return str(said.get("explanation") or f"{said['outcome']}: {said['reason']}")
    except (msgspec.MsgspecError, KeyError):
        return f"HTTP {status}, and not an answer of ours"
