"""All that a process asks of the outside goes through a passage, which may be its last."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

OWN: Final = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}  # of each connection
PATIENCE_S: Final = 60.0
WRITES: Final = {"order/create": "order", "spot/order": "order", "order/cancel": "cancel", "cancel_order": "cancel"}


class Request(NamedTuple):
    """`kind`: what it is for, in a word or two; header names are in lower case."""

    kind: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


# Gives what becomes of a request; None: nobody hears of it any more.
Carry = Callable[[Request, Callable[[], Reply]], Reply | None]


def of_venue(method: str, path: str, body: bytes) -> str:
    if method == "POST":
        return next((kind for end, kind in WRITES.items() if path.endswith(end)), "look")
    return "look" if "/user/" in path or "/v5/position" in path or "/v5/order" in path or "/exec" in path else "market"


def of_firestore(method: str, path: str, body: bytes) -> str:
    """A commit is the claim (or the book given back), the decision, or a step after it."""
    if not path.endswith(":commit"):
        return "read"
    for write in json.loads(body)["writes"]:
        name = write.get("update", {}).get("name", "")
        if "/ticks/" in name:
            return "decision" if write.get("currentDocument") == {"exists": False} else "step"
    return "claim"


@contextmanager
def passage(upstream: str, name: Callable[[str, str, bytes], str], carry: Carry) -> Iterator[str]:
    """'127.0.0.1:port' of a proxy in front of `upstream`, an address like it. `name`: the kind of a request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def pass_on(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # its sender died in the middle of it
                self.close_connection = True
                return
            headers = {key.lower(): value for key, value in self.headers.items()}
            kind = name(self.command, urlsplit(self.path).path, body)
            request = Request(kind, self.command, self.path, headers, body)
            try:
                reply = carry(request, lambda: _sent(upstream, request))
            except (OSError, http.client.HTTPException):  # as the other side did to us
                reply = None
            with suppress(OSError):
                self._hand_back(reply)

        def _hand_back(self, reply: Reply | None) -> None:
            if reply is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response_only(reply.status)
            for key, value in reply.headers:
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for verb in ("GET", "POST"):
        setattr(Handler, f"do_{verb}", Handler.pass_on)
    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who was on the other side of this connection has died: that is what it is here for."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _sent(upstream: str, request: Request) -> Reply:
    line = http.client.HTTPConnection(upstream, timeout=PATIENCE_S)
    try:
        headers = {key: value for key, value in request.headers.items() if key not in OWN}
        line.request(request.method, request.path, request.body, headers)
        answer = line.getresponse()
        kept = [(key, value) for key, value in answer.getheaders() if key.lower() not in OWN]
        return Reply(answer.status, kept, answer.read())
    finally:
        line.close()
