"""A region: one process that runs the function, which dies and is started again, and sees the outside through its own
passages."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import urllib3

from core.ports import Document
from tests.emulators import GUARD, free_port
from tests.processes.passage import Carry, Reply, Request, of_firestore, of_venue, passage

ROOT: Final = Path(__file__).parents[2]
START_S: Final = 60.0
Side = Literal["before", "after"]
Environ = Callable[[str, str], Mapping[str, str]]  # from the addresses of venue and store


class Death(NamedTuple):
    """The process ends just before a request of this kind is passed on, or just after it was done. `spared`: how many
    of them come first. `frozen_s`: it does not end, but stands still for so long, and before it so does the request."""

    kind: str
    side: Side
    spared: int = 0
    frozen_s: float = 0.0


class Answer(NamedTuple):
    status: int
    said: Document


@dataclass
class Region:
    """`carry`: what to do with its requests besides passing them on. `deaths`: what will be the end of it, one after
    the other; `died`, `froze`: what was. `diary`: a line for each request, of all regions."""

    name: str

    environ: dict[str, str]
    log: Path
    carry: Carry
    diary: list[str]
    deaths: list[Death] = field(default_factory=list)
    died: Counter[tuple[str, str]] = field(default_factory=Counter)
    froze: Counter[tuple[str, str]] = field(default_factory=Counter)
    port: int = field(default_factory=free_port)
    frozen: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "functions_framework", "--source", str(ROOT / "main.py"), "--target", "tick"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", GUARD, "sh", *command],
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self, why: tuple[str, str]) -> None:
        """SIGKILL, to all of it at once; and a new one is started."""
        with self._lock:
            self.stop()
            self.died[why] += 1
            self.start()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def freeze(self, seconds: float, why: tuple[str, str]) -> None:
        process = self._process
        if process is None or self.frozen.is_set():
            return
        self.frozen.set()
        os.killpg(process.pid, signal.SIGSTOP)
        self.froze[why] += 1
        timer = threading.Timer(seconds, self._thaw, [process.pid])
        timer.daemon = True
        timer.start()

    def _thaw(self, group: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)
        self.frozen.clear()

    def post(self, body: Document) -> Answer | None:
        """What it answers; None when it died first."""
        if not self._listens():
            raise AssertionError(f"the function did not start: {self.log.read_text()[-2000:]}")
        try:
            with urllib3.PoolManager(retries=False, timeout=120.0) as pool:
                reply = pool.request("POST", f"http://127.0.0.1:{self.port}/", body=msgspec.json.encode(body))
        except urllib3.exceptions.HTTPError:
            return None
        return Answer(reply.status, msgspec.json.decode(reply.data))

    def _listens(self) -> bool:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.05)
        return False

    def passed(self, request: Request, send: Callable[[], Reply]) -> Reply | None:
        if self._ends(request.kind, "before"):
            self._seen(request, "and killed before it")
            return None
        reply = self.carry(request, send)
        if self._ends(request.kind, "after"):
            self._seen(request, "done, and killed after it")
            return None
        self._seen(request, f"{reply.status} {reply.body[:160]!r}" if reply else "dropped")
        return reply

    def _seen(self, request: Request, end: str) -> None:
        documents = dict.fromkeys(re.findall(rb'documents/([a-z]+/[^"]+)', request.body))
        what = b" ".join(documents) if documents else request.path.encode() + b" " + request.body
        said = f"{request.kind}: {request.method} {what[:250].decode()} -> {end}"
        self.diary.append(f"{datetime.now(UTC):%H:%M:%S.%f} {self.name} {said}")

    def _ends(self, kind: str, side: Side) -> bool:
        with self._lock:
            death = next((each for each in self.deaths if (each.kind, each.side) == (kind, side)), None)
            if death is None:
                return False
            self.deaths.remove(death)
            if death.spared:
                self.deaths.append(death._replace(spared=death.spared - 1))
                return False
        if death.frozen_s:
            self.freeze(death.frozen_s, (kind, side))
            if side == "before":
                time.sleep(death.frozen_s)  # the request is held up as well
            return False
        self.kill((kind, side))
        return True


@contextmanager
def region(venue: str, store: str, environ: Environ, log: Path, carry: Carry, diary: list[str]) -> Iterator[Region]:
    """A running region in front of the venue's and the store's addresses."""
    made = Region(log.stem, {}, log, carry, diary)
    with ExitStack() as stack:
        to_venue = stack.enter_context(passage(venue, of_venue, made.passed))
        to_store = stack.enter_context(passage(store, of_firestore, made.passed))
        made.environ |= environ(to_venue, to_store)
        made.start()
        try:
            yield made
        finally:
            made.stop()
