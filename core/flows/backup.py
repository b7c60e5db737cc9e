"""backup: every document of the state store in one file, which `restore` (core/flows/restore.py) puts back.

The file is JSON lines, gzipped: a person reads it with zcat. The first line says what it is, the last one counts the
documents and holds the SHA-256 of all lines before it, so that a file that is cut or damaged is refused whole. That is
no signature: who may write to the bucket may write a backup.

What JSON has no word for is an object of one name with a dollar: {"$time": "2024-05-01T13:00:00+00:00"}, {"$bytes":
base64}, {"$float": "nan"}; {"$dict": ...} stands for an object that would be taken for one of these.

It is not one moment's picture: a store is scanned page by page while ticks go on. What must agree does: all that is
small, with the books and the record of the bar that each has decided last, is read together in one read, at the end.
Older records are final, and what else is scanned (windows, series) is fetched anew whenever it is in doubt.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

import msgspec

from core.flows.claim import book_key, tick_key
from core.ports import Document, ModelStore, StateStore, Stored, Unavailable

# Every collection that is written, here or by the paper exchange: small ones, which are read together; and the others.
TOGETHER: Final = ("account", "books", "breakers", "challengers", "desk", "guards", "models", "paper", "switches")
SCANNED: Final = ("outbox", "series", "ticks", "windows")
COLLECTIONS: Final = (*TOGETHER, *SCANNED)
GLOBAL: Final = "switches/global"
RESTORING: Final = "restoring"  # what it says meanwhile; no mode: what cannot be read means halt, beside a flatten too
FOLDER: Final = "backups"
FORMAT: Final = 1
NAME: Final = re.compile(r"backups/(\d{4}-\d{2}-\d{2}T\d{6}Z)\.jsonl\.gz")
STAMP: Final = "%Y-%m-%dT%H%M%SZ"
READS: Final = 5  # a book decides once a bar: that it does twice while it is read again is rare already


class Damaged(ValueError):
    """A file that is no backup, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A file that was read to its end and found whole. `counts`: documents by collection; `code`: what wrote it."""

    name: str
    data: bytes
    at: datetime
    code: str
    counts: Mapping[str, int]

    def documents(self, collection: str = "") -> Iterator[tuple[str, Document]]:
        """(key, data) of every document, or of those of one collection."""
        start = f"{collection}/" if collection else ""
        for line in _lines(self.data):
            entry = msgspec.json.decode(line)
            if "key" in entry and entry["key"].startswith(start):
                yield entry["key"], value_of(entry["data"])


def backup(state: StateStore, store: ModelStore, now: datetime, code: str = "unknown") -> Document:
    """Writes every document to 'backups/{now}.jsonl.gz', and reads the file back. `code`: the version of the code.

    Raises Unavailable: also while a restore is half done.
    """
    if (state.read([GLOBAL])[GLOBAL].data or {}).get("mode") == RESTORING:
        raise Unavailable("what is half restored is no backup: finish the restore first, `hourhand status` names it")
    return keep(state, store, now, code, FOLDER)


def keep(state: StateStore, store: ModelStore, now: datetime, code: str, folder: str) -> Document:
    """The same in any folder, and whatever is going on. Raises Unavailable."""
    name = f"{folder}/{now.astimezone(UTC):{STAMP}}.jsonl.gz"
    data, counts = _packed(state, now, code)
    store.put(name, data)
    if store.get(name) != data:
        raise Unavailable(f"{name} is not what was written: another backup wrote at the same second, try again")
    return {
        "outcome": "done",
        "book": None,
        "bar": None,
        "reason": f"{sum(counts.values())} documents, {len(data):,} bytes",
        "name": name,
        "at": now,
        "documents": sum(counts.values()),
        "bytes": len(data),
        "collections": dict(sorted(counts.items())),
    }


def backups(store: ModelStore) -> list[Stored]:
    """The backups that there are, oldest first. Raises Unavailable."""
    return [each for each in store.stored(f"{FOLDER}/") if NAME.fullmatch(each.name)]


def made(name: str) -> datetime:
    """When the backup of that name was made."""
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is not a backup's name, such as backups/2024-05-01T130000Z.jsonl.gz")
    return datetime.strptime(found[1], STAMP).replace(tzinfo=UTC)


def opened(store: ModelStore, name: str) -> Backup:
    """The backup of that name, read to its end. Raises Damaged, Missing or Unavailable."""
    data = store.get(name)
    try:
        return _checked(name, data)
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError) as failure:
        raise Damaged(
            f"{name} is no whole backup ({str(failure) or type(failure).__name__}): nothing was written, take another"
        ) from None


# -- what is written


def _packed(state: StateStore, now: datetime, code: str) -> tuple[bytes, Counter[str]]:
    """The file, and how many documents of each collection are in it."""
    out, digest, counts = BytesIO(), hashlib.sha256(), Counter[str]()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0) as file:

        def write(entry: Document) -> None:
            line = msgspec.json.encode(entry) + b"\n"
            digest.update(line)
            file.write(line)

        write({"hourhand": "backup", "format": FORMAT, "at": now.astimezone(UTC).isoformat(), "code": code})
        for key, data in _documents(state):
            write({"key": key, "data": plain_of(data)})
            counts[key.partition("/")[0]] += 1
        write({"end": digest.hexdigest(), "documents": sum(counts.values()), "collections": dict(counts)})
    return out.getvalue(), counts


def _documents(state: StateStore) -> Iterator[tuple[str, Document]]:
    """Every document once. The newest record of each book waits for the end: its tick may still be at it."""
    newest: dict[str, tuple[str, Document]] = {}
    for collection in SCANNED:
        for name, data in state.scan(collection):
            entry, book = (f"{collection}/{name}", data), name.partition("@")[0]
            if collection != "ticks":
                yield entry
                continue
            if book in newest:
                yield newest[book]
            newest[book] = entry
    waiting = dict(newest.values())
    yield from sorted({**waiting, **_together(state)}.items())


def _together(state: StateStore) -> dict[str, Document]:
    """What must agree, of one moment: the small collections, and the record of each book's last bar."""
    keys = [f"{collection}/{name}" for collection in TOGETHER for name, _ in state.scan(collection)]
    found = state.read(keys)
    for _ in range(READS):
        records = [key for key in map(_last_record, found.items()) if key]
        if all(key in found for key in records):
            return {key: versioned.data for key, versioned in found.items() if versioned.data is not None}
        found = state.read([*keys, *records])
    raise Unavailable("the books kept deciding while they were read: try again between two bars")


def _last_record(item: tuple[str, Any]) -> str:
    """The key of the record of the bar that a book decided last; '' where there is none."""
    key, document = item[0], item[1].data or {}
    stands = document.get("state")
    bar = stands.get("bar") if isinstance(stands, dict) else None
    book = key.partition("/")[2]
    return tick_key(book, bar) if key == book_key(book) and isinstance(bar, datetime) else ""


# -- what is read


def _checked(name: str, data: bytes) -> Backup:
    digest, counts = hashlib.sha256(), Counter[str]()
    lines = _lines(data)
    first = next(lines, b"")
    header = _header(first)
    digest.update(first)
    for line in lines:
        entry = msgspec.json.decode(line, type=dict[str, Any])
        if "end" in entry:
            return Backup(name, data, *_about(header), _counted(entry, digest.hexdigest(), counts, lines))
        value_of(entry["data"])
        counts[entry["key"].partition("/")[0]] += 1
        digest.update(line)
    raise ValueError("its end is missing")


def _lines(data: bytes) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=BytesIO(data)) as file:
        yield from file


def _header(line: bytes) -> Document:
    header = msgspec.json.decode(line, type=dict[str, Any])
    if header.get("hourhand") != "backup":
        raise ValueError("it is another program's")
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, and {FORMAT} is read here: use the version that wrote it")
    return header


def _about(header: Document) -> tuple[datetime, str]:
    return datetime.fromisoformat(header["at"]), str(header["code"])


def _counted(end: Document, digest: str, counts: Counter[str], rest: Iterator[bytes]) -> Mapping[str, int]:
    if end["end"] != digest or end["collections"] != counts or next(rest, None) is not None:
        raise ValueError("its lines are not those that were written")
    return dict(counts)


# -- values


def plain_of(value: Any) -> Any:
    """A document's value as JSON has it, exactly."""
    kind = type(value)
    if kind is dict:
        plain = {name: plain_of(item) for name, item in value.items()}
        return {"$dict": plain} if _tagged(value) else plain
    if kind is list:
        return [plain_of(item) for item in value]
    return _TO[kind](value) if kind in _TO else value


def value_of(plain: Any) -> Any:
    """The value that `plain_of` was given. Raises ValueError."""
    if isinstance(plain, list):
        return [value_of(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if not _tagged(plain):
        return {name: value_of(item) for name, item in plain.items()}
    ((tag, content),) = plain.items()
    if tag == "$dict":
        return {name: value_of(item) for name, item in content.items()}
    if tag not in _FROM:
        raise ValueError(f"{tag} is no kind of value")
    return _FROM[tag](content)


def _tagged(value: Document) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


_TO: Final[dict[type, Callable[[Any], Any]]] = {
    float: lambda value: value if math.isfinite(value) else {"$float": repr(value)},
    bytes: lambda value: {"$bytes": b64encode(value).decode()},
    datetime: lambda value: {"$time": value.astimezone(UTC).isoformat()},
}
_FROM: Final[dict[str, Callable[[Any], Any]]] = {
    "$float": float,
    "$bytes": lambda content: b64decode(content, validate=True),
    "$time": datetime.fromisoformat,
}
