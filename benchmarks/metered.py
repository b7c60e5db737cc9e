"""One function in a process of its own, as the cloud runs it, and all that it asks of the outside, counted."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import urllib3

from tests.emulators import free_port
from tests.processes.passage import OWN, Reply, Request

ROOT: Final = Path(__file__).parents[1]
START_S: Final = 120.0
PAUSE_S: Final = 0.02  # before each answer, so that what goes out together is seen to overlap


class Asked(NamedTuple):
    """One request to the outside. `sent`: its bytes; `stored`: what the documents in it take, by Firestore's rules."""

    where: str  # firestore, storage, venue, discord
    start: float
    end: float
    sent: int = 0
    reads: int = 0
    writes: int = 0
    deletes: int = 0
    stored: int = 0
    keys: tuple[tuple[str, int], ...] = ()  # (key, bytes) of each document written


Answer = Callable[[Request], Reply]


def upstream(address: str) -> Answer:
    """What stands at `address` answers."""

    def answer(request: Request) -> Reply:
        line = http.client.HTTPConnection(address, timeout=120)
        try:
            headers = {key: value for key, value in request.headers.items() if key not in OWN}
            line.request(request.method, request.path, request.body, headers)
            found = line.getresponse()
            kept = [(key, value) for key, value in found.getheaders() if key.lower() not in OWN]
            return Reply(found.status, kept, found.read())
        finally:
            line.close()

    return answer


@contextmanager
def counted(where: str, answer: Answer, asked: list[Asked]) -> Iterator[str]:
    """'127.0.0.1:port', where each request is answered by `answer` and put down in `asked`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def pass_on(self) -> None:
            start = time.perf_counter()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Request("", self.command, self.path, headers, body)
            time.sleep(PAUSE_S)
            reply = answer(request)
            sent = len(self.path) + len(body) + sum(len(key) + len(value) + 4 for key, value in headers.items()) + 20
            asked.append(_entry(where, start, sent, request, reply))
            self.send_response_only(reply.status)
            for key, value in reply.headers:
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for verb in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        setattr(Handler, f"do_{verb}", Handler.pass_on)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _entry(where: str, start: float, sent: int, request: Request, reply: Reply) -> Asked:
    end = time.perf_counter()
    if where != "firestore":
        return Asked(where, start, end, sent, *_of_storage(request))
    verb = urlsplit(request.path).path.rpartition(":")[2]
    body = json.loads(request.body) if request.body else {}
    if verb == "commit" and reply.status == 200:
        puts = [write["update"] for write in body["writes"] if "update" in write]
        documents = [(put["name"].partition("/documents/")[2], document_bytes(put)) for put in puts if "fields" in put]
        deletes = sum("delete" in write for write in body["writes"])
        stored = sum(size for _, size in documents)
        return Asked(where, start, end, sent, 0, len(puts), deletes, stored, tuple(documents))
    if verb == "batchGet":
        return Asked(where, start, end, sent, len(body["documents"]))
    if verb == "runQuery":
        found = sum("document" in item for item in json.loads(reply.body))
        return Asked(where, start, end, sent, max(1, found))
    return Asked(where, start, end, sent)


def _of_storage(request: Request) -> tuple[int, int, int]:
    """(class B, class A, deletes): a GET of an object is B, whatever lists or writes is A, a DELETE is free."""
    listing = request.method == "GET" and urlsplit(request.path).path.endswith("/o")
    return (
        int(request.method == "GET" and not listing),
        int(listing or request.method in ("POST", "PUT", "PATCH")),
        int(request.method == "DELETE"),
    )


def document_bytes(document: Mapping[str, Any]) -> int:
    """What a document takes: https://firebase.google.com/docs/firestore/storage-size. Without index entries."""
    name = document["name"].partition("/documents/")[2]
    return sum(len(part.encode()) + 1 for part in name.split("/")) + 16 + _map_bytes(document["fields"]) + 32


def _map_bytes(fields: Mapping[str, Any]) -> int:
    return sum(len(key.encode()) + 1 + _value_bytes(value) for key, value in fields.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    kind, content = next(iter(value.items()))
    if kind == "stringValue":
        return len(content.encode()) + 1
    if kind == "bytesValue":
        return len(content) * 3 // 4
    if kind == "arrayValue":
        return sum(_value_bytes(item) for item in content.get("values", []))
    if kind == "mapValue":
        return _map_bytes(content.get("fields", {}))
    return 1 if kind in ("nullValue", "booleanValue") else 8


def trips(asked: Sequence[Asked], weights: Mapping[str, float]) -> dict[str, int]:
    """How many requests of each kind follow one another on the longest way through: the chain, no two of which overlap,
    that takes longest by `weights` (seconds, by where)."""
    best: list[tuple[float, dict[str, int]]] = []
    ordered = sorted(asked, key=lambda entry: entry.end)
    for entry in ordered:
        before = [best[index] for index in range(len(best)) if ordered[index].end <= entry.start]
        took, counts = max(before, key=lambda chain: chain[0], default=(0.0, {}))
        best.append((took + weights[entry.where], {**counts, entry.where: counts.get(entry.where, 0) + 1}))
    return max(best, key=lambda chain: chain[0], default=(0.0, {}))[1]


@dataclass
class Function:
    """A function under functions-framework. CPU and memory are of it and its children, by /proc."""

    target: str
    environ: Mapping[str, str]
    output: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        command = ["-m", "functions_framework", "--source", "main.py", "--target", self.target, "--host", "127.0.0.1"]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command, "--port", str(self.port)],
                env=dict(self.environ),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer; waits until it listens. Raises RuntimeError for any status but 200."""
        until = time.monotonic() + START_S
        while True:
            try:
                address = f"http://127.0.0.1:{self.port}/"
                reply = urllib3.request("POST", address, body=json.dumps(body).encode(), retries=False, timeout=3600.0)
                break
            except urllib3.exceptions.HTTPError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.005)
        if reply.status != 200:
            raise RuntimeError(f"{self.target} answered {reply.status}: {reply.data[:500]!r}")
        said: dict[str, Any] = json.loads(reply.data)
        return said

    def cpu_s(self) -> float:
        ticks = [sum(map(int, _fields(pid)[11:13])) for pid in self._pids()]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """The sum of the processes' peaks: what they share counts more than once."""
        return sum(_peak_kib(pid) for pid in self._pids()) / 1024

    def logged(self) -> tuple[int, int]:
        """(lines, bytes) so far."""
        data = self.output.read_bytes()
        return data.count(b"\n"), len(data)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _pids(self) -> list[int]:
        parents = {int(stat.parent.name): int(_fields(int(stat.parent.name))[1]) for stat in _stats()}
        mine = {self._process.pid}
        for _ in range(3):
            mine |= {pid for pid, parent in parents.items() if parent in mine}
        return [pid for pid in mine if pid in parents]


def _stats() -> list[Path]:
    return [stat for stat in Path("/proc").glob("[0-9]*/stat") if _fields(int(stat.parent.name))[1] != "-1"]


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, those after the name: state, parent, ... A process that is gone has parent -1."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "-1", *(["0"] * 50)]


def _peak_kib(pid: int) -> int:
    try:
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
