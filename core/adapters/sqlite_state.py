"""Documents in one SQLite file: the state store of a laptop, of tests and of anyone without a cloud.

A document is a row, packed with MessagePack. Its version is its row number, which SQLite's AUTOINCREMENT never gives
twice, also not after a deletion.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from core.adapters.limits import check_keys, check_range, check_writes
from core.ports import ANY, Conflict, Document, Unavailable, Versioned, Watch, Write

APPLICATION: Final = 0x486F7572  # 'Hour', in the file's header: https://sqlite.org/pragma.html#pragma_application_id
TABLE: Final = """
CREATE TABLE IF NOT EXISTS documents (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    data BLOB NOT NULL
)"""
PAGE: Final = 100
ADVICE: Final = {
    "SQLITE_FULL": "the disk is full: free some space",
    "SQLITE_CANTOPEN": "check that its folder exists and may be written",
    "SQLITE_READONLY": "it may not be written: change its permissions, or name another file",
    "SQLITE_NOTADB": "it is not a SQLite database: move it away, or name another file",
    "SQLITE_CORRUPT": "it is damaged: put back a copy, or move it away to start anew",
    "SQLITE_BUSY": "another process kept it locked: try again",
    "SQLITE_IOERR": "the disk is full or failing, or a limit on the size of files was reached",
}


class SqliteState:
    """`path` is created when its folder exists; `patience` is how long to wait for another writer, in seconds.

    Any number of threads and processes may share the file, on a local disk, each process with its own SqliteState.
    A commit is on the disk when it returns.
    """

    def __init__(self, path: str | Path, patience: float = 5.0) -> None:
        self._path = Path(path).absolute()
        self._patience = patience
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._opened: tuple[int, ...] = ()

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        check_keys(keys)
        with self._connection() as db:
            found = _select(db, keys)
        return {key: self._versioned(key, *found.get(key, (None, None))) for key in keys}

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        check_writes(writes)
        packed = {write.key: None if write.data is None else msgspec.msgpack.encode(write.data) for write in writes}
        with self._connection() as db, _transaction(db):
            _check_versions(db, writes, watch)
            return {key: version for key, data in packed.items() if (version := _put(db, key, data)) is not None}

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        check_range(collection, since, until)
        start, end = f"{collection}/{since}", f"{collection}/{until}"
        while page := self._page(start, end):
            for key, data in page:
                yield key.partition("/")[2], self._unpacked(key, data)
            start = page[-1][0] + "\0"

    def _page(self, start: str, end: str) -> list[tuple[str, bytes]]:
        with self._connection() as db:
            return db.execute(
                "SELECT key, data FROM documents WHERE key >= ? AND key < ? ORDER BY key LIMIT ?", (start, end, PAGE)
            ).fetchall()

    def _versioned(self, key: str, version: int | None, data: bytes | None) -> Versioned:
        return Versioned(None, None) if data is None else Versioned(self._unpacked(key, data), str(version))

    def _unpacked(self, key: str, data: bytes) -> Document:
        try:
            return msgspec.msgpack.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise self._unavailable("SQLITE_CORRUPT", f"{key}: {error}") from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._current()
            except sqlite3.Error as error:
                self._close()
                raise self._unavailable(getattr(error, "sqlite_errorname", ""), str(error)) from error

    def _current(self) -> sqlite3.Connection:
        """The open connection, unless the file was moved away or replaced since."""
        if self._db is None or self._opened != self._identity():
            self._close()
            self._db = self._open()
            self._opened = self._identity()
        return self._db

    def _identity(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)
        except OSError:
            return ()
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            self._prepared(db)
        except BaseException:
            db.close()
            raise
        return db

    def _prepared(self, db: sqlite3.Connection) -> None:
        """Many that open a new file at once are told SQLITE_BUSY at once: its timeout does not cover the way to WAL."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._prepare(db)
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA synchronous = FULL")
        if _pragma(db, "application_id") != APPLICATION:
            with _transaction(db):
                if _pragma(db, "application_id") == 0 and not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
                    db.execute(TABLE)
                    db.execute(f"PRAGMA application_id = {APPLICATION}")
        if _pragma(db, "application_id") != APPLICATION:
            raise self._unavailable("SQLITE_NOTADB", "it belongs to another program")
        if _pragma(db, "journal_mode") != "wal":
            db.execute("PRAGMA journal_mode = WAL")

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None

    def _unavailable(self, code: str, said: str) -> Unavailable:
        advice = next((advice for start, advice in ADVICE.items() if code.startswith(start)), "see the reason given")
        return Unavailable(f"the state file {self._path} could not be used ({said}): {advice}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, with the file's write lock from the start, so that what is read inside stays true."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _pragma(db: sqlite3.Connection, name: str) -> Any:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def _select(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    marks = ",".join("?" * len(keys))
    rows = db.execute(f"SELECT key, version, data FROM documents WHERE key IN ({marks})", tuple(keys))
    return {key: (version, data) for key, version, data in rows}


def _check_versions(db: sqlite3.Connection, writes: Sequence[Write], watch: Watch | None) -> None:
    wanted = [(write.key, write.version) for write in writes if write.version != ANY]
    wanted += [(key, seen.version) for key, seen in watch.items()] if watch else []
    for key, version in wanted:
        row = db.execute("SELECT version FROM documents WHERE key = ?", (key,)).fetchone()
        if (str(row[0]) if row else None) != version:
            raise Conflict(f"{key} has changed since it was read: read again and decide anew")


def _put(db: sqlite3.Connection, key: str, data: bytes | None) -> str | None:
    if data is None:
        db.execute("DELETE FROM documents WHERE key = ?", (key,))
        return None
    return str(db.execute("INSERT OR REPLACE INTO documents (key, data) VALUES (?, ?)", (key, data)).lastrowid)
