"""A venue on loopback that serves candles as bitbank does: a file for each UTC day."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from core.domain.bars import Bars, moment


@contextmanager
def bitbank_files(bars: Bars) -> Iterator[str]:
    """Its address while it serves."""
    days: dict[str, list[list[object]]] = {}
    columns = zip(*(column.tolist() for column in bars.columns()), strict=True)
    for at, *values in columns:
        days.setdefault(f"{moment(at):%Y%m%d}", []).append([*map(repr, values), at * 1000])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            rows = days.get(self.path.rpartition("/")[2], [])
            data = {"candlestick": [{"type": "1hour", "ohlcv": rows}], "timestamp": rows[-1][5] if rows else 0}
            body = json.dumps({"success": 1, "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
