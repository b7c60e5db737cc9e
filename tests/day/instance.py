"""The instances of the functions, and the ingress that calls reach them through, as Cloud Run has them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import urllib3

from tests.emulators import GUARD, free_port

ROOT: Final = Path(__file__).parents[2]
START_S, DEADLINE_S = 60.0, 300.0


@dataclass
class Instance:
    """One function: a process that is started by the first call, and may be killed at any time. What it writes stands
    in `name`.out and `name`.err of `folder`."""

    name: str
    environ: Mapping[str, str]
    folder: Path
    starts: int = 0
    kills: int = 0
    _port: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def address(self) -> str:
        """Where it listens; starts it if it does not run."""
        with self._lock:
            if self._process is None:
                self._start()
            return f"http://127.0.0.1:{self._port}/"

    def kill(self) -> None:
        """SIGKILL, to all of it at once."""
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return
            self.kills += 1
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def _start(self) -> None:
        self._port, self.starts = free_port(), self.starts + 1
        command = [sys.executable, "-m", "functions_framework", "--source", str(ROOT / "main.py"), "--target"]
        command += [self.name, "--host", "127.0.0.1", "--port", str(self._port)]
        with (self.folder / f"{self.name}.out").open("ab") as out, (self.folder / f"{self.name}.err").open("ab") as err:
            self._process = subprocess.Popen(
                ["sh", "-c", GUARD, "sh", *command],
                env=dict(self.environ), stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{self.name} did not start: {(self.folder / f'{self.name}.err').read_text()[-2000:]}")


class Heard(NamedTuple):
    """One call and its end. `by`: who called; `said`: None when no instance answered, and the ingress did."""

    function: str
    by: str
    status: int
    said: dict[str, Any] | None
    body: bytes = b""
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        return str(self.said.get("outcome")) if self.said else ""


@dataclass
class Ingress:
    """`closed`: functions that get no instance for now; `heard`: every call."""

    instances: dict[str, Instance]
    closed: set[str] = field(default_factory=set)
    heard: list[Heard] = field(default_factory=list)

    def call(self, function: str, by: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Heard:
        """A call that no instance answers is answered with 503, as Cloud Run does."""
        begun = time.monotonic()
        status, data = self._answer(function, headers or {}, body)
        heard = Heard(function, by, status, _said(data), data, time.monotonic() - begun)
        self.heard.append(heard)
        return heard

    def _answer(self, function: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if function in self.closed:
            return 503, b""
        address = self.instances[function].address()
        try:
            with urllib3.PoolManager(retries=False, timeout=DEADLINE_S) as pool:
                reply = pool.request("POST", address, body=body, headers=dict(headers))
        except urllib3.exceptions.HTTPError:
            return 503, b""
        return reply.status, reply.data

    def kill(self) -> None:
        for instance in self.instances.values():
            instance.kill()


def _said(data: bytes) -> dict[str, Any] | None:
    """None: no answer of ours. What is none and came from an instance is found by its status (see the verdict)."""
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None
