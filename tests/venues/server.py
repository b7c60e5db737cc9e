"""A venue's HTTP on loopback: hands requests to a speaker, does to them what the fault plan says, and keeps a list."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

from tests.venues.faults import Fault, Faults
from tests.venues.path import VenueClock

SKEW, STALE = "x-skew-s", "x-stale-s"  # seconds; how a speaker is told of these two faults, never sent by a client
TARGET = "x-target"  # how it is told the path with its query, to the letter
PAGE = b"<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Speaker(Protocol):
    """Speaks one venue's HTTP. `headers` have lower-case names; `query` keeps the last of equal names. A speaker adds
    the float in header `x-skew-s` to the clock by which it judges a request's time, and takes that in `x-stale-s` off
    the time of its market data; `x-target` has the path and query as they were sent."""

    @property
    def clock(self) -> VenueClock: ...

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]: ...

    def trouble(self, kind: str) -> tuple[int, Mapping[str, str], bytes]:
        """How this venue says rate_limit, ban and maintenance."""
        ...


@dataclass
class Request:
    """`at`: the venue's time of arrival; `processed`: whether the speaker has been given it, `done` when; `status`: of
    the speaker's answer, whether or not anyone heard it (0: none yet)."""

    method: str
    path: str
    raw: str  # with the query
    headers: dict[str, str]
    body: bytes
    at: datetime
    fault: Fault | None = None
    processed: bool = False
    done: datetime | None = None
    status: int = 0
    answer: bytes = b""


class Served(str):
    """The URL of a venue that is being served, without a slash at its end.

    `requests`: all that arrived, in order; `faults`: its plan.
    """

    requests: list[Request]
    faults: Faults
    __slots__ = ("faults", "requests")

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if (request.method, request.path) == (method, path)]


class _Venue:
    def __init__(self, speaker: Speaker, faults: Faults, requests: list[Request]) -> None:
        self.speaker, self.faults, self.requests = speaker, faults, requests
        self._lock = threading.Lock()

    def receive(self, request: Request) -> Response | None:
        """The answer, or None for a closed connection."""
        request.at = self.speaker.clock.now()
        request.fault = self.faults.take(request.method, request.path)
        with self._lock:
            self.requests.append(request)
        fault = request.fault
        if fault is None:
            return self._process(request)
        if fault.kind == "late":
            due = request.at + timedelta(seconds=fault.seconds)
            self.speaker.clock.schedule(due, lambda: self._carry_out(request, time.monotonic(), request.at))
            return None
        return self._troubled(request, fault)

    def _troubled(self, request: Request, fault: Fault) -> Response | None:
        kind, _, when = fault.kind.partition("_")
        if fault.kind == "delay_before":
            time.sleep(fault.seconds)
        if kind not in {"delay", "skew", "stale"}:
            if when == "after":
                self._process(request)
            return self._unheard(kind, fault)
        told = {"skew": {SKEW: str(fault.seconds)}, "stale": {STALE: str(fault.seconds)}}
        answer = self._process(request, told.get(kind))
        if fault.kind == "delay_after":
            time.sleep(fault.seconds)
        return answer

    def _unheard(self, kind: str, fault: Fault) -> Response | None:
        if kind == "drop":
            return None
        if kind == "html":
            return Response(200, {"Content-Type": "text/html"}, PAGE if fault.body is None else fault.body)
        if kind == "error":
            page = f"<html><body><h1>{fault.status}</h1></body></html>".encode()
            return Response(fault.status, {"Content-Type": "text/html"}, page if fault.body is None else fault.body)
        return Response(*self.speaker.trouble(fault.kind))

    def _carry_out(self, request: Request, arrived: float, at: datetime) -> None:
        """A late one: as much later, to the clock that judges its time, as the venue's clock has moved since."""
        moved = (self.speaker.clock.now() - at).total_seconds()
        self._process(request, {SKEW: str(moved - (time.monotonic() - arrived))})

    def _process(self, request: Request, told: Mapping[str, str] | None = None) -> Response:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(request.raw).query, True).items()}
        headers = {**request.headers, TARGET: request.raw, **(told or {})}
        answer = Response(*self.speaker.handle(request.method, request.path, query, headers, request.body))
        request.processed, request.done = True, self.speaker.clock.now()
        request.status, request.answer = answer.status, answer.body
        return answer


class _Server(ThreadingHTTPServer):
    """`broken`: what the speaker raised; `connections`: those that are open."""

    daemon_threads, block_on_close = True, False

    def __init__(self, venue: _Venue, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.venue = venue
        self.broken: list[Exception] = []
        self.connections: set[socket.socket] = set()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):  # clients keep them
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        venue = self.server.venue
        request = Request(self.command, urlsplit(self.path).path, self.path, headers, body, venue.speaker.clock.now())
        try:
            response = venue.receive(request)
        except Exception as failure:  # the simulator's own fault: told when the block ends
            self.server.broken.append(failure)
            response = Response(500, {}, repr(failure).encode())
        with contextlib.suppress(OSError):  # the client may have gone
            self._send(response)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def _send(self, response: Response | None) -> None:
        if response is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response_only(response.status)
        told = {"Date": self.date_time_string(), "Content-Type": "application/json", **response.headers}
        for name, value in told.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(speaker: Speaker, faults: Faults | None = None, port: int = 0) -> Iterator[Served]:
    """Serves until the block ends. Gives the URL, which also carries `requests` and `faults`. Raises at the end what
    the speaker raised."""
    venue = _Venue(speaker, faults or Faults(), [])
    server = _Server(venue, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = Served(f"http://127.0.0.1:{server.server_address[1]}")
    url.requests, url.faults = venue.requests, venue.faults
    try:
        yield url
    finally:
        server.stop()
        thread.join()
    if server.broken:
        raise server.broken[0]
