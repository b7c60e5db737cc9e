"""What passes between the functions and Firestore: seen, sometimes the last thing that a process does, and where it
puts a document into the outbox, what Eventarc makes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import urllib3

from tests.processes.passage import Reply, Request, of_firestore

OUTBOX: Final = "/documents/outbox/"
BEARER: Final = {"Authorization": "Bearer owner", "Content-Type": "application/json"}


class Told(NamedTuple):
    """An alert, as it was put into the outbox."""

    id: str
    event: str
    severity: str
    title: str
    book: str


class Doom(NamedTuple):
    """`function` dies before or after the next request of that kind is done."""

    function: str
    kind: str
    after: bool


def kind_of(method: str, path: str, body: bytes) -> str:
    """As of_firestore, and `told`: alerts leave the outbox."""
    if path.endswith(":commit"):
        deleted = [write["delete"] for write in msgspec.json.decode(body)["writes"] if "delete" in write]
        if any(OUTBOX in name for name in deleted):
            return "told"
    return of_firestore(method, path, body)


@dataclass
class Journal:
    """`alerts`: all that were ever put into the outbox, by id; `created`: hears of each document that is new there;
    `dooms`: deaths to come, `died`: those that came."""

    created: Callable[[str], None]
    kill: Callable[[str], None]
    alerts: dict[str, Told] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    dooms: list[Doom] = field(default_factory=list)
    died: list[Doom] = field(default_factory=list)
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def carry(self, function: str, request: Request, send: Callable[[], Reply]) -> Reply | None:
        self.requests += 1
        if self._dies(function, request.kind, after=False):
            return None
        reply = send()
        if reply.status == 200 and request.path.endswith(":commit"):
            for write in msgspec.json.decode(request.body)["writes"]:
                self._written(write)
        if self._dies(function, request.kind, after=True):
            return None
        return reply

    def _written(self, write: dict[str, Any]) -> None:
        name = str(write.get("delete") or write.get("update", {}).get("name") or "")
        if OUTBOX not in name:
            return
        id_ = name.rpartition("/")[2]
        with self._lock:
            new = "delete" not in write and id_ not in self.waiting
            (self.waiting.add if "delete" not in write else self.waiting.discard)(id_)
            if "delete" not in write:
                self.alerts.setdefault(id_, _told(id_, write["update"]["fields"]))
        if new:
            self.created(name)

    def _dies(self, function: str, kind: str, *, after: bool) -> bool:
        doom = Doom(function, kind, after)
        with self._lock:
            if doom not in self.dooms:
                return False
            self.dooms.remove(doom)
            self.died.append(doom)
        self.kill(function)
        return True


def _told(id_: str, fields: dict[str, Any]) -> Told:
    return Told(id_, *(fields[name]["stringValue"] for name in ("event", "severity", "title", "book")))


class Console:
    """What a person does in Firestore's console, over REST."""

    def __init__(self, host: str, project: str, database: str) -> None:
        self.root = f"http://{host}/v1/projects/{project}/databases/{database}/documents"

    def flip(self, scope: str, mode: str, reason: str) -> None:
        """Sets the fields of a switch that a person would: `at` is left out, as it may be."""
        fields = {"mode": mode, "reason": reason, "by": "a person at the console"}
        document = {"fields": {name: {"stringValue": value} for name, value in fields.items()}}
        reply = urllib3.request(
            "PATCH", f"{self.root}/switches/{scope}", body=msgspec.json.encode(document), headers=BEARER
        )
        assert reply.status == 200, reply.data
