"""restore: a backup is put back, and nothing is traded before a person has compared it with the venue. docs/restore.md

1 the file is read to its end · 2 the books in the store are compared with it · 3 the switch stops everything ·
4 what is to be replaced is kept · 5 documents are written, in parts · 6 the switch says `halt`, until a person resumes.

From 3 to 6 `switches/global` says `restoring`, which no tick understands: so nothing is sent, not even by a `flatten`.
Whatever dies in between, running it again with the same backup goes on and ends the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from core.domain.switch import MODES, mode_of
from core.flows.backup import COLLECTIONS, GLOBAL, RESTORING, Backup, keep, opened, plain_of
from core.flows.claim import released
from core.ports import Document, ModelStore, StateStore, Unavailable, Write

KEPT: Final = "replaced"  # the folder of what was replaced: not of backups, or it would be the newest of them
# What was told is told, and what waits to be told of then is no news now.
LEFT: Final = ("outbox", "desk")
PART: Final = (100, 1_000_000)  # documents, and bytes of JSON, in one commit


class Refused(ValueError):
    """What stands in the store would be lost."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One restore. `replace`: whether what the backup does not have goes."""

    state: StateStore
    store: ModelStore
    backup: Backup
    now: datetime
    replace: bool


def restore(
    state: StateStore, store: ModelStore, name: str, now: datetime, replace: bool = False, dry_run: bool = False
) -> Document:
    """Puts the backup `name` back, and halts. `now`: the real time. With `dry_run` nothing is written.

    Raises Refused (the store holds books that are not in the backup, or have gone on, and `replace` was not said),
    Damaged, Missing or Unavailable.
    """
    chosen, mark = opened(store, name), state.read([GLOBAL])[GLOBAL].data or {}
    begun = mark if mark.get("mode") == RESTORING and mark.get("backup") == name else None
    lost = [] if begun else _lost(state, chosen)
    if lost and not (replace or dry_run):
        raise Refused(
            f"{'; '.join(lost)}: say --replace to put the backup in place of it, which is kept in a file then"
        )
    work = _Work(state, store, chosen, now, replace or bool(begun and begun.get("replace")))
    if dry_run:
        return _said(work, sum(1 for _ in _writes(work)), len(_extra(work)), "", lost)
    kept = _stopped(work, begun)
    written = sum(_in_parts(state, _writes(work)))
    deleted = sum(_in_parts(state, (Write(key, None) for key in _extra(work))))
    reason = f"restored from {name}: compare with the venue, then resume"
    state.commit([Write(GLOBAL, {"mode": "halt", "reason": reason, "by": "restore", "at": now})])
    return _said(work, written, deleted, kept, lost)


def _said(work: _Work, written: int, deleted: int, kept: str, lost: list[str]) -> Document:
    return {
        "outcome": "done",
        "book": None,
        "bar": None,
        "reason": f"{written} documents of {work.backup.at:%Y-%m-%d %H:%M:%S} UTC",
        "name": work.backup.name,
        "at": work.backup.at,
        "code": work.backup.code,
        "documents": written,
        "deleted": deleted,
        "kept": kept or None,
        "replaces": lost,
        "books": {key.partition("/")[2]: _stands(data) for key, data in work.backup.documents("books")},
    }


# -- before


def _lost(state: StateStore, chosen: Backup) -> list[str]:
    """A sentence for each book that stands in the store otherwise than in the backup."""
    theirs = {key: _calm(key, data) for key, data in chosen.documents("books")}
    found = []
    for name, data in state.scan("books"):
        key = f"books/{name}"
        if key not in theirs:
            found.append(f"book {name} is not in the backup")
        elif _text(_calm(key, data)) != _text(theirs[key]):
            found.append(f"book {name} stands at {_stands(data)}, in the backup at {_stands(theirs[key])}")
    return found


def _stands(data: Document) -> str:
    """Where a book stands, in a few words."""
    stands = data.get("state")
    known = stands if isinstance(stands, dict) else {}
    bar, held = known.get("bar"), known.get("holding")
    position = held.get("position") if isinstance(held, dict) else None
    return f"{bar:%Y-%m-%dT%H:%MZ}, position {position}" if isinstance(bar, datetime) else "no bar"


def _stopped(work: _Work, begun: Document | None) -> str:
    """Stops everything, and keeps what is to be replaced; the name of that file, if any. Raises Unavailable."""
    kept = str((begun or {}).get("kept") or "")
    _mark(work, kept)
    for name, data in work.state.scan("books"):
        lease = data.get("lease")
        until = lease.get("until") if isinstance(lease, dict) else None
        if isinstance(until, datetime) and until > work.now:
            raise Unavailable(
                f"book {name} is held by a tick until {until:%H:%M:%S} UTC; everything is halted: restore again then"
            )
    if work.replace and not kept:
        kept = str(keep(work.state, work.store, work.now, "unknown", KEPT)["name"])
        _mark(work, kept)
    return kept


def _mark(work: _Work, kept: str) -> None:
    name = work.backup.name
    mark = {
        "mode": RESTORING,
        "reason": f"{name} is being put back; if this stays, run hourhand restore --from {name} again",
        "by": "restore",
        "at": work.now,
        "backup": name,
        "replace": work.replace,
        "kept": kept,
    }
    work.state.commit([Write(GLOBAL, mark)])


# -- what is written


def _writes(work: _Work) -> Iterator[Write]:
    """Every document as it shall be: those of the backup, and switches and breakers that stand in the store."""
    standing = {f"switches/{name}": data for name, data in work.state.scan("switches")}
    seen = set()
    for key, data in work.backup.documents():
        seen.add(key)
        if key.partition("/")[0] not in LEFT and key != GLOBAL:
            yield Write(key, _calm(key, _severer(data, standing[key]) if key in standing else data))
    found = {} if work.replace else {f"breakers/{name}": data for name, data in work.state.scan("breakers")}
    for key, data in {**standing, **found}.items():
        if key not in seen and key != GLOBAL and _calm(key, data) != data:
            yield Write(key, _calm(key, data))


def _severer(one: Document, other: Document) -> Document:
    """A restore lets nothing go on that was stopped since."""
    return max(one, other, key=lambda switch: MODES.index(mode_of(switch)))


def _extra(work: _Work) -> list[str]:
    """The keys of what the backup does not have, where it is to be replaced. A switch is never taken away."""
    if not work.replace:
        return []
    kept = {key for key, _ in work.backup.documents()}
    names = [each for each in COLLECTIONS if each not in (*LEFT, "switches")]
    stored = [f"{collection}/{name}" for collection in names for name, _ in work.state.scan(collection)]
    return [key for key in stored if key not in kept]


def _in_parts(state: StateStore, writes: Iterable[Write]) -> Iterator[int]:
    """Commits them a part at a time; how many there were in each."""
    part: list[Write] = []
    size, (most, most_bytes) = 0, PART
    for write in writes:
        weight = len(_text(write.data))
        if part and (len(part) >= most or size + weight > most_bytes):
            state.commit(part)
            yield len(part)
            part, size = [], 0
        part.append(write)
        size += weight
    if part:
        state.commit(part)
        yield len(part)


# -- what must not be put back as it was


def _calm(key: str, data: Any) -> Any:
    """The document without what would act by itself: a flatten becomes a halt, a lease is over, and an order that was
    planned and not sent then is not sent now."""
    if not isinstance(data, dict):
        return data
    if _is(key, "switches") and mode_of(data) == "flatten":
        return {**data, "mode": "halt", "reason": f"said flatten when it was restored: {data.get('reason') or ''}"}
    if _is(key, "breakers"):
        return _each(data, "trips", _softer)
    if not _is(key, "books"):
        return data
    lease, stands = data.get("lease"), data.get("state")
    data = {**data, "lease": released(lease)} if isinstance(lease, dict) else data
    return {**data, "state": _each(_each(stands, "tripped", _softer), "orders", _unsent)} if stands else data


def _each(data: Any, field: str, change: Any) -> Any:
    if not isinstance(data, dict) or not isinstance(data.get(field), list):
        return data
    return {**data, field: [change(item) if isinstance(item, dict) else item for item in data[field]]}


def _softer(trip: Document) -> Document:
    return {**trip, "level": "halt"} if trip.get("level") == "flatten" else trip


def _unsent(order: Document) -> Document:
    return {**order, "status": "never_placed", "detail": "restored"} if order.get("status") == "planned" else order


def _is(key: str, collection: str) -> bool:
    return key.partition("/")[0] == collection


def _text(data: Document | None) -> bytes:
    """The same for equal documents, also where a NaN is in them."""
    return msgspec.json.encode(plain_of(data), order="sorted")
