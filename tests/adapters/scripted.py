"""An HTTP server on loopback that gives prepared answers and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class Answer(NamedTuple):
    status: int
    body: Any  # bytes, or something for JSON


class Script:
    """`asked` grows with every request. The last answer is repeated; None closes the connection without a word."""

    def __init__(self, answers: Sequence[Answer | None]) -> None:
        self.host = ""
        self.asked: list[Request] = []
        self._answers = list(answers)
        self._lock = threading.Lock()

    def next(self, request: Request) -> Answer | None:
        with self._lock:
            self.asked.append(request)
            return self._answers[min(len(self.asked), len(self._answers)) - 1]


@contextmanager
def scripted(*answers: Answer | None, kind: type[Script] = Script) -> Iterator[Script]:
    script = kind(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = script.next(Request(self.command, self.path, headers, body))
            if answer is None:
                self.close_connection = True
                return
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "text/plain" if isinstance(answer.body, bytes) else "application/json")
            self.send_header("Metadata-Flavor", "Google")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for verb in ("GET", "POST", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    script.host = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
