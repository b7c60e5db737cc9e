"""CBOE's CSV file over loopback: what it holds, and all that it might be instead."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.adapters.cboe_vix import CboeVix
from core.domain.bars import epoch
from core.ports import Unavailable

NOW = datetime(2024, 8, 31, 0, 0, 5, tzinfo=UTC)
TEXT = (
    "DATE,OPEN,HIGH,LOW,CLOSE\r\n"
    "03/16/2020,57.830002,83.559998,57.830002,82.690002\r\n"
    "08/29/2024,16.540000,16.570000,15.190000,15.650000\r\n"
    "08/30/2024,15.670000,16.040000,14.780000,15.000000\r\n"
)

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(body, status, headers)` → the URL of a server that answers with it, once or often."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/VIX_History.csv"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "text",
    [TEXT, TEXT.replace("\r\n", "\n"), "\ufeff" + TEXT, TEXT + "\r\n", TEXT.rstrip()],
    ids=["as it is", "unix lines", "byte order mark", "blank last line", "no last line break"],
)
def test_it_reads_the_file(serve: Serve, text: str) -> None:
    series = CboeVix(serve(text.encode())).history(NOW)
    assert series.value.tolist() == [82.69, 15.65, 15.0]
    assert series.published[-1] == epoch(datetime(2024, 8, 31, tzinfo=UTC))


def test_it_reads_a_compressed_answer(serve: Serve) -> None:
    url = serve(gzip.compress(TEXT.encode()), headers={"Content-Encoding": "gzip"})
    assert CboeVix(url).history(NOW).value.tolist() == [82.69, 15.65, 15.0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not CBOE's file"),
        ("<!DOCTYPE html><html><body>Access denied</body></html>", "not CBOE's file"),
        ('{"error": "not found"}', "not CBOE's file"),
        (TEXT.replace("CLOSE", "LAST"), "not CBOE's file"),
        ("DATE,OPEN,HIGH,LOW,CLOSE", "no value"),
        (TEXT[:-20], "line 4 is not a row"),
        (TEXT[:-5], "breaks off"),
        (TEXT.replace("08/29/2024", "2024-08-29"), "line 3 is not a row"),
        (TEXT.replace("15.650000", "n/a"), "line 3 is not a row"),
        (TEXT.replace("03/16/2020", "13/16/2020"), "line 2 is not a row"),
        (TEXT.replace("2020", "2030").replace("2024", "2030"), "no value published by"),
    ],
    ids=["empty", "HTML", "JSON", "columns", "header", "row cut", "number cut", "dates", "text", "month", "future"],
)
def test_another_content_is_unavailable(serve: Serve, text: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        CboeVix(serve(text.encode())).history(NOW)


def test_a_transfer_that_breaks_off_is_unavailable(serve: Serve) -> None:
    with pytest.raises(Unavailable, match="no answer"):
        CboeVix(serve(TEXT.encode(), headers={"Content-Length": str(len(TEXT) + 1000)}), timeout_s=0.5).history(NOW)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_status_is_unavailable(serve: Serve, status: int) -> None:
    with pytest.raises(Unavailable, match=f"status {status}"):
        CboeVix(serve(TEXT.encode(), status)).history(NOW)


def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/"
        with pytest.raises(Unavailable, match="no answer"):
            CboeVix(url).history(NOW)


def test_silence_is_unavailable_when_the_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Unavailable, match="timed out"):
            CboeVix(url, timeout_s=0.2).history(NOW)
