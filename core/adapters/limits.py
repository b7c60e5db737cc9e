"""What every store accepts: keys, documents and names. The same on a laptop as in the cloud, so that nothing is first
refused in production. The numbers are Firestore's (https://cloud.google.com/firestore/quotas), kept with a margin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from core.ports import Document, Write

DOCUMENT_BYTES: Final = 1_000_000  # Firestore: 1 MiB
COMMIT_BYTES: Final = 5_000_000  # Firestore: 10 MiB a request, in which bytes travel as base64
COMMIT_WRITES: Final = 500
VALUES: Final = 10_000  # Firestore: 40,000 index entries a document, two for a plain value
DEPTH: Final = 20
NAME_BYTES: Final = 1_500
ALLOWED: Final = "None, bool, int, float, str, bytes, aware datetime, list and dict with str keys"
# Where a value stands: a key, or (where its parent stands, its name or index). Spelt out only for an error.
Place = str | tuple[Any, str | int]
_RESERVED: Final = re.compile(r"__.*__", re.DOTALL)


@dataclass(slots=True)
class _Tally:
    size: int = 0
    values: int = 0


def check_keys(keys: Iterable[str]) -> None:
    """Raise ValueError unless each is 'collection/id', with nothing in either part that Firestore refuses."""
    for key in keys:
        parts = key.split("/")
        if len(parts) != 2 or not all(_fits(part) for part in parts):
            raise ValueError(
                f"{key!r} is not a document's key: write 'collection/id', neither part empty, '.', '..', '__x__' or "
                f"longer than {NAME_BYTES} bytes"
            )


def check_range(collection: str, since: str, until: str) -> None:
    """Raise ValueError unless `collection` is one, and `since` and `until` are ids or empty."""
    check_keys(f"{collection}/{edge or 'x'}" for edge in (since, until))


def check_writes(writes: Sequence[Write]) -> None:
    """Raise ValueError or TypeError for a commit that a store would refuse: its keys, its values, its size."""
    keys = [write.key for write in writes]
    check_keys(keys)
    if len(set(keys)) < len(keys):
        raise ValueError(f"a commit writes {max(keys, key=keys.count)} twice: join the two into one write")
    size = sum(check_document(write.key, write.data) for write in writes if write.data is not None)
    if size > COMMIT_BYTES or len(writes) > COMMIT_WRITES:
        raise ValueError(
            f"a commit of {len(writes)} documents and {size:,} bytes is too large (the limits are {COMMIT_WRITES} and "
            f"{COMMIT_BYTES:,}): write it in parts"
        )


def check_document(key: str, data: Document) -> int:
    """The document's size in bytes, by https://cloud.google.com/firestore/docs/storage-size.

    Raises TypeError (a value of a type that no store keeps) or ValueError (too large, too deep), naming the value.
    """
    tally = _Tally(size=len(key.encode()) + 32)
    _weigh_dict(data, key, tally, 0)
    if tally.size > DOCUMENT_BYTES:
        raise ValueError(
            f"{key} would take {tally.size:,} bytes, and the limit is {DOCUMENT_BYTES:,}: keep less in it, or split it"
        )
    if tally.values > VALUES:
        raise ValueError(f"{key} holds {tally.values:,} values, and the limit is {VALUES:,}: pack numbers into bytes")
    return tally.size


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is a relative path of plain parts: it must mean the same in every store."""
    parts = name.split("/")
    if not all(part and not part.startswith(".") for part in parts) or re.search(r"[\\\0\r\n]", name):
        raise ValueError(f"{name!r} is not a file's name here: write 'a/b/c', no part empty or beginning with a dot")
    if len(name.encode()) > 1024:
        raise ValueError(f"the name {name[:40]!r}… is longer than 1,024 bytes: shorten it")


def check_prefix(prefix: str) -> None:
    """Raise ValueError unless some name could start with `prefix`."""
    check_name(f"{prefix}x")


def _fits(part: str) -> bool:
    if part in ("", ".", "..") or _RESERVED.fullmatch(part):
        return False
    return _length(part, repr(part)) <= NAME_BYTES


def _length(text: str, at: Place) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{_spelt(at)} is not text that can be stored ({error.reason}): remove the lone surrogates"
        ) from None


def _weigh(value: Any, at: Place, tally: _Tally, depth: int) -> None:
    kind = type(value)
    if kind is dict:
        _weigh_dict(value, at, tally, depth)
    elif kind is list:
        _weigh_list(value, at, tally, depth)
    elif kind in _PLAIN:
        tally.size += _PLAIN[kind](value, at)
    else:
        named = f"{_spelt(at)} is of type {kind.__name__}"
        raise TypeError(f"{named}, and a document holds {ALLOWED} only: convert it first")


def _weigh_dict(value: Document, at: Place, tally: _Tally, depth: int) -> None:
    _check_depth(at, depth)
    for name, item in value.items():
        size = _name_size(name) if type(name) is str else 0
        if not size:
            _refuse_name(name, (at, name))
        quick = _quick(item)
        tally.size += size + quick
        if not quick:
            _weigh(item, (at, name), tally, depth + 1)
    tally.values += len(value)


def _quick(item: Any) -> int:
    """The size of what most values are, numbers and ASCII text, whose place need not be kept; 0 for all others."""
    kind = type(item)
    if kind is str:
        return len(item) + 1 if item.isascii() else 0
    return _FIXED.get(kind, 0)


def _refuse_name(name: Any, here: Place) -> None:
    if type(name) is not str:
        raise TypeError(f"{_spelt(here)} has a name of type {type(name).__name__}: names in a document are str")
    _length(name, here)
    raise ValueError(f"{_spelt(here)}: a name in a document is not empty, '__x__' or longer than {NAME_BYTES} bytes")


@lru_cache(maxsize=4096)
def _name_size(name: str) -> int:
    """Bytes that a field's name takes; 0 for a name that is refused. Names repeat in every document of a kind."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return 0
    return 0 if not name or _RESERVED.fullmatch(name) or size > NAME_BYTES else size + 1


def _weigh_list(value: list[Any], at: Place, tally: _Tally, depth: int) -> None:
    _check_depth(at, depth)
    for index, item in enumerate(value):
        if type(item) is list:
            why = "is a list directly inside a list, which Firestore cannot hold: put a dict between"
            raise TypeError(f"{_spelt((at, index))} {why}")
        quick = _quick(item)
        tally.size += quick
        if not quick:
            _weigh(item, (at, index), tally, depth + 1)
    tally.values += len(value)


def _check_depth(at: Place, depth: int) -> None:
    if depth > DEPTH:
        raise ValueError(f"{_spelt(at)} lies deeper than {DEPTH} levels: make the document flatter")


def _weigh_int(value: int, at: Place) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{_spelt(at)} does not fit into 64 bits: write it as str")
    return 8


def _weigh_time(value: datetime, at: Place) -> int:
    if value.utcoffset() is None:
        raise TypeError(f"{_spelt(at)} is a datetime without a time zone: times are aware, in UTC")
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{_spelt(at)} lies outside of the years 1 to 9999 in UTC") from None
    return 8


def _spelt(at: Place) -> str:
    """'books/btc.state.booked[3]'"""
    if isinstance(at, str):
        return at
    parent, step = at
    return _spelt(parent) + (f"[{step}]" if isinstance(step, int) else f".{step}")


_FIXED: Final = {type(None): 1, bool: 1, float: 8}
_PLAIN: Final[dict[type, Callable[[Any, Place], int]]] = {
    int: _weigh_int,
    str: lambda value, at: _length(value, at) + 1,
    bytes: lambda value, _at: len(value),
    datetime: _weigh_time,
}
