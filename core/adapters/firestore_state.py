"""Documents in Firestore (native mode), through its REST interface: https://cloud.google.com/firestore/docs/reference/rest.

A watch holds no lock. Its documents' versions are preconditions of the commit, on a write that changes nothing (an
update with an empty mask, or the deletion of what must not exist). A transaction would lock them: whoever wants to
change one, such as the operator who halts, is then refused until it ends, and for a minute when its process has died.

The emulator does not keep Firestore's word on snapshots: beside a busy writer, some of its reads of several documents
mix two commits, also in a read-only transaction. A commit on such a watch is a Conflict there as everywhere.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from core.adapters.google_http import GoogleHttp, Reply, address
from core.adapters.limits import check_keys, check_range, check_writes
from core.ports import ANY, Conflict, Document, Unavailable, Versioned, Watch, Write

PAGE: Final = 100
CHANGED: Final = ("ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND", "ABORTED")
NO_DATABASE: Final = re.compile(r"[Dd]atabase .* does not exist|Datastore Mode")


class FirestoreState:
    """`emulator_host` is '127.0.0.1:8080' or the like; '' is the cloud; None takes FIRESTORE_EMULATOR_HOST.

    A put of exactly what a document already holds changes nothing in Firestore, its version neither. The sign of a
    floating zero is lost.
    """

    def __init__(
        self, project: str, database: str = "(default)", emulator_host: str | None = None, timeout: float = 10.0
    ) -> None:
        host = os.environ.get("FIRESTORE_EMULATOR_HOST", "") if emulator_host is None else emulator_host
        self._root = f"projects/{project}/databases/{database}/documents"
        base = f"{address(host) if host else 'https://firestore.googleapis.com'}/v1/{self._root}"
        self._http = GoogleHttp(
            f"Firestore (project {project}, database {database})", base, emulated=bool(host), timeout=timeout
        )

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        check_keys(keys)
        if not keys:
            return {}
        names = [self._name(key) for key in keys]
        # A read-only transaction takes no locks and need not be ended; it is what makes the documents of one moment.
        answer = self._ask("batchGet", {"documents": names, "newTransaction": {"readOnly": {}}})
        found = {key: versioned for item in answer for key, versioned in self._read_item(item)}
        if found.keys() != set(keys):
            raise Unavailable(f"Firestore answered for {len(found)} documents instead of {len(set(keys))}: try again")
        return found

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        check_writes(writes)
        operations = [self._operation(write) for write in _joined(writes, watch)]
        operations += [self._unchanged(key, seen) for key, seen in _only_watched(writes, watch)]
        if not operations:
            return {}
        reply = self._call("commit", {"writes": operations}, again=False)
        if reply.status != 200:
            raise self._refusal(reply, any("currentDocument" in operation for operation in operations))
        results = self._decoded(reply)["writeResults"]
        return {
            write.key: result["updateTime"]
            for write, result in zip(writes, results, strict=False)
            if write.data is not None
        }

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        check_range(collection, since, until)
        start, before = since, True
        while start < until:
            page = self._page(collection, start, before, until)
            yield from page
            if len(page) < PAGE:
                return
            start, before = page[-1][0], False

    def _page(self, collection: str, start: str, before: bool, until: str) -> list[tuple[str, Document]]:
        query: dict[str, Any] = {
            "from": [{"collectionId": collection}],
            "orderBy": [{"field": {"fieldPath": "__name__"}, "direction": "ASCENDING"}],
            "endAt": {"values": [{"referenceValue": self._name(f"{collection}/{until}")}], "before": True},
            "limit": PAGE,
        }
        if start:
            query["startAt"] = {"values": [{"referenceValue": self._name(f"{collection}/{start}")}], "before": before}
        found = [item["document"] for item in self._ask("runQuery", {"structuredQuery": query}) if "document" in item]
        return [(document["name"].rsplit("/", 1)[1], _fields(document)) for document in found]

    def _ask(self, verb: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """What a reading verb streams: a list of items, any of which may be an error."""
        reply = self._call(verb, body, again=True)
        answer = self._decoded(reply)
        if reply.status != 200 or not isinstance(answer, list) or any("error" in item for item in answer):
            raise self._refusal(reply, conditional=False)
        return answer

    def _call(self, verb: str, body: dict[str, Any], again: bool) -> Reply:
        return self._http.call("POST", f":{verb}", msgspec.json.encode(body), again=again)

    def _decoded(self, reply: Reply) -> Any:
        try:
            return msgspec.json.decode(reply.data)
        except msgspec.DecodeError as error:
            raise Unavailable(f"Firestore answered {reply.status} without JSON ({error}): try again later") from error

    def _refusal(self, reply: Reply, conditional: bool) -> Exception:
        answer = self._decoded(reply)
        items = answer if isinstance(answer, list) else [answer]
        error: dict[str, str] = next((item["error"] for item in items if "error" in item), {})
        status, message = error.get("status", str(reply.status)), error.get("message", "no reason given")
        if conditional and status in CHANGED and not NO_DATABASE.search(message):
            return Conflict(f"a document has changed since it was read ({status}: {message}): read and decide anew")
        return Unavailable(
            f"Firestore refused a request for {self._root} ({status}: {message}): check that the project and its "
            f"database exist, in native mode"
        )

    def _operation(self, write: Write) -> dict[str, Any]:
        name = self._name(write.key)
        if write.data is None:
            operation: dict[str, Any] = {"delete": name}
        else:
            operation = {"update": {"name": name, "fields": _to_map(write.data)}}
        return operation if write.version == ANY else operation | _condition(write.version)

    def _unchanged(self, key: str, seen: Versioned) -> dict[str, Any]:
        name = self._name(key)
        same = {"delete": name} if seen.version is None else {"update": {"name": name}, "updateMask": {}}
        return same | _condition(seen.version)

    def _read_item(self, item: dict[str, Any]) -> Iterator[tuple[str, Versioned]]:
        if "found" in item:
            yield self._key(item["found"]["name"]), Versioned(_fields(item["found"]), item["found"]["updateTime"])
        elif "missing" in item:
            yield self._key(item["missing"]), Versioned(None, None)

    def _name(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _key(self, name: str) -> str:
        return name.rpartition("/documents/")[2]


def _joined(writes: Sequence[Write], watch: Watch | None) -> Iterator[Write]:
    """The writes, each with the condition that the watch puts on its document too."""
    for write in writes:
        seen = watch.get(write.key) if watch else None
        if seen is None or write.version == seen.version:
            yield write
        elif write.version == ANY:
            yield Write(write.key, write.data, seen.version)
        else:
            raise Conflict(f"{write.key} was watched at another version than it is written at: read again")


def _only_watched(writes: Sequence[Write], watch: Watch | None) -> list[tuple[str, Versioned]]:
    written = {write.key for write in writes}
    return [(key, seen) for key, seen in watch.items() if key not in written] if watch else []


def _condition(version: str | None) -> dict[str, Any]:
    return {"currentDocument": {"exists": False} if version is None else {"updateTime": version}}


def _fields(document: dict[str, Any]) -> Document:
    return _from_map(document.get("fields", {}))


def _to_map(data: Document) -> dict[str, Any]:
    return {name: _TO[type(value)](value) for name, value in data.items()}


def _to_float(value: float) -> dict[str, Any]:
    if value - value == 0.0:
        return {"doubleValue": value}
    return {"doubleValue": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}


def _to_time(value: datetime) -> dict[str, Any]:
    return {"timestampValue": value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"}


_TO: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    type(None): lambda _value: {"nullValue": None},
    bool: lambda value: {"booleanValue": value},
    int: lambda value: {"integerValue": str(value)},
    float: _to_float,
    str: lambda value: {"stringValue": value},
    bytes: lambda value: {"bytesValue": b64encode(value).decode()},
    datetime: _to_time,
    list: lambda value: {"arrayValue": {"values": [_TO[type(item)](item) for item in value]}},
    dict: lambda value: {"mapValue": {"fields": _to_map(value)}},
}


def _from_map(fields: dict[str, Any]) -> Document:
    return {name: _from(value) for name, value in fields.items()}


def _from(value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    if kind not in _FROM:
        raise Unavailable(f"Firestore holds a {kind}, which no document here has: correct it in the console")
    return _FROM[kind](content)


_FROM: Final[dict[str, Callable[[Any], Any]]] = {
    "nullValue": lambda _content: None,
    "booleanValue": bool,
    "integerValue": int,
    "doubleValue": float,
    "stringValue": str,
    "bytesValue": b64decode,
    "timestampValue": lambda content: datetime.fromisoformat(content).astimezone(UTC),
    "arrayValue": lambda content: [_from(item) for item in content.get("values", [])],
    "mapValue": lambda content: _from_map(content.get("fields", {})),
    # Not written here, but a person may choose them in the console.
    "referenceValue": str,
    "geoPointValue": dict,
}
