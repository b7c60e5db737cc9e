"""The archive of trade records: what ticks wrote down, in files that cost next to nothing, and how it gets there.

`records/{book}/{month}/{first}_{digest}.jsonl.gz`: gzip of lines {"key", "data"}, so that zcat and jq can read them; no
file is ever written over with other content, so that two who archive at once cannot harm one another. A record leaves
the state store only when a file that was read back holds the very same, and only while it is still so.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b, sha256
from itertools import groupby, islice
from typing import Any, Final, NamedTuple

import msgspec

from core.flows.backup import plain_of, value_of
from core.flows.claim import tick_key
from core.ports import Conflict, Document, Missing, ModelStore, StateStore, Unavailable, Write

FOLDER: Final = "records"
PART: Final = 800  # records in a file: a month of hours
CHUNK: Final = 400  # documents that leave the state store in one commit
ATTEMPTS: Final = 3
BAR: Final = re.compile(r"(\d{4}-\d\d)-\d\dT\d\d:\d\dZ")
FILE: Final = re.compile(r"[\w-]+_[0-9a-f]{16}\.jsonl\.gz")

log = logging.getLogger("hourhand.archive")
Row = tuple[str, Document]  # a record's key and content
Seals = dict[str, set[bytes]]  # what is known of the archived contents of each key


class Moved(NamedTuple):
    """Records of one book and month that have left the state store. size: bytes, about as many as they took there."""

    first: str
    last: str
    number: int
    size: int


def move(
    state: StateStore,
    archive: ModelStore,
    book: str,
    until: datetime,
    beat: Callable[[], None] = lambda: None,
    dry_run: bool = False,
) -> Iterator[Moved]:
    """Moves the book's records of bars before `until` into the archive; the oldest first, a part at a time.

    Dying anywhere loses nothing, and what was begun is ended by the next run. `beat` is called before each step, and
    may raise to stop. Raises Unavailable. `dry_run`: tells what would be moved.
    """
    rows = _old(state, book, until)
    for month, of_month in groupby(rows, lambda row: _month(row[0])):
        known: Seals | None = None
        while part := list(islice(of_month, PART)):
            beat()
            if not dry_run:
                known = _seals(archive, book, month) if known is None else known
                _archived(archive, book, month, part, known)
                _dropped(state, part, known, beat)
            yield Moved(part[0][0], part[-1][0], len(part), sum(len(_content(data)) for _, data in part))


def records(archive: ModelStore, book: str, month: str = "") -> Iterator[Row]:
    """The archived records, of one month ('2026-05') or all, in order of their bars, each once. Raises Unavailable."""
    for _, parts in groupby(_names(archive, book, month), lambda name: name.split("/")[2]):
        yield from sorted(dict(row for name in parts for row in _read(archive, name)).items())


def record(archive: ModelStore, book: str, bar: datetime) -> Document | None:
    """The archived record of one bar; None: there is none. Raises Unavailable."""
    key = tick_key(book, bar)
    return next((data for found, data in records(archive, book, f"{bar:%Y-%m}") if found == key), None)


def _old(state: StateStore, book: str, until: datetime) -> Iterator[Row]:
    """Keys that are not a bar's are nobody's here, and stay."""
    end = tick_key(book, until).partition("/")[2]
    rows = ((f"ticks/{name}", data) for name, data in state.scan("ticks", f"{book}@", end))
    return (row for row in rows if _month(row[0]))


def _month(key: str) -> str:
    found = BAR.fullmatch(key.partition("@")[2])
    return found[1] if found else ""


# --- files ----------------------------------------------------------------------------------------------------------


def _archived(archive: ModelStore, book: str, month: str, part: list[Row], known: Seals) -> None:
    """Puts what is not archived yet into a file, and takes into `known` what is read back from it."""
    new = [(key, data) for key, data in part if _seal(data) not in known.get(key, ())]
    if not new:
        return
    data = packed(new)
    name = f"{FOLDER}/{book}/{month}/{new[0][0].partition('@')[2].replace(':', '')}_{sha256(data).hexdigest()[:16]}"
    archive.put(f"{name}.jsonl.gz", data)
    _learn(known, _read(archive, f"{name}.jsonl.gz"))
    if any(_seal(content) not in known.get(key, ()) for key, content in new):
        raise Unavailable(f"{name}.jsonl.gz does not hold what was written: its records stay where they are")


def _names(archive: ModelStore, book: str, month: str) -> list[str]:
    return [name for name in archive.names(f"{FOLDER}/{book}/{month}") if FILE.fullmatch(name.rpartition("/")[2])]


def _seals(archive: ModelStore, book: str, month: str) -> Seals:
    """What the archive holds of a month. A file that is damaged counts for nothing, and is told of."""
    known: Seals = {}
    for name in _names(archive, book, month):
        try:
            _learn(known, _read(archive, name))
        except (Unavailable, Missing) as failure:
            log.error("an archived file is left out: %s", failure, extra={"book": book})
    return known


def _learn(known: Seals, rows: Iterator[Row]) -> None:
    for key, data in rows:
        known.setdefault(key, set()).add(_seal(data))


def packed(rows: list[Row]) -> bytes:
    """The same rows are the same bytes at any time; names stay in their order, in which a person reads them."""
    lines = [msgspec.json.encode({"key": key, "data": plain_of(data)}) + b"\n" for key, data in rows]
    return gzip.compress(b"".join(lines), compresslevel=6, mtime=0)


def _read(archive: ModelStore, name: str) -> Iterator[Row]:
    """Raises Missing or Unavailable."""
    data = archive.get(name)
    try:
        for line in gzip.decompress(data).splitlines():
            entry = msgspec.json.decode(line, type=dict[str, Any])
            yield str(entry["key"]), value_of(entry["data"])
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError) as failure:
        raise Unavailable(f"{name} is damaged ({failure}): put an earlier version of it back") from None


def _content(data: Document) -> bytes:
    return msgspec.msgpack.encode(data, order="sorted")


def _seal(data: Document) -> bytes:
    """What tells one content from another: a NaN equals itself here, and 1 is not 1.0."""
    return blake2b(_content(data), digest_size=16).digest()


# --- the state store ------------------------------------------------------------------------------------------------


def _dropped(state: StateStore, part: list[Row], known: Mapping[str, set[bytes]], beat: Callable[[], None]) -> None:
    """Takes archived records out of the state store, each only while it is what was archived."""
    for start in range(0, len(part), CHUNK):
        beat()
        _drop(state, [key for key, _ in part[start : start + CHUNK]], known)


def _drop(state: StateStore, keys: list[str], known: Mapping[str, set[bytes]]) -> None:
    for _ in range(ATTEMPTS):
        found = state.read(keys)
        same = [
            Write(key, None, seen.version)
            for key, seen in found.items()
            if seen.data is not None and _seal(seen.data) in known.get(key, ())
        ]
        try:
            state.commit(same)
        except Conflict:  # another cleanup is at it
            continue
        return
    raise Unavailable(f"the records from {keys[0]} on changed while they were taken out: they stay for the next run")
