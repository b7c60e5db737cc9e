"""A sweep: one cleanup under way, what it has done so far, and the lease that keeps another from beginning."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import uuid4

import msgspec

from core.domain.retention import Table
from core.domain.state import Book
from core.ports import Clock, Conflict, Document, Missing, ModelStore, Platform, StateStore, Unavailable, Write

DESK: Final = "desk/cleanup"
LEASE: Final = timedelta(minutes=5)  # renewed before each step
ITEMS: Final = 200  # in the answer; the counts are of all

log = logging.getLogger("hourhand.cleanup")


class Yard(Protocol):
    """What is cleaned, and with what: core.wiring.App is one. Making a port may raise, too."""

    @property
    def state(self) -> StateStore: ...

    @property
    def models(self) -> ModelStore: ...

    @property
    def archive(self) -> ModelStore: ...

    @property
    def platform(self) -> Platform | None: ...

    @property
    def books(self) -> Sequence[Book]: ...

    @property
    def clock(self) -> Clock: ...


class Item(msgspec.Struct, frozen=True):
    """Something that went, or would go. count: how many things it stands for, `bytes` all together."""

    kind: str
    name: str
    bytes: int
    why: str
    count: int = 1


class OutOfTime(Exception):
    """The budget is used up."""


class Lost(Exception):
    """The lease was another's when it was to be renewed."""


@dataclass(slots=True)
class Lease:
    state: StateStore
    until: datetime
    version: str | None
    owner: str = field(default_factory=lambda: uuid4().hex)

    def renew(self, now: datetime) -> None:
        """Raises Lost."""
        if self.until - now < 0.8 * LEASE:
            try:
                self.hold(now)
            except Conflict:
                raise Lost from None

    def hold(self, now: datetime) -> None:
        """Raises Conflict."""
        document = {"owner": self.owner, "until": now + LEASE}
        self.version = self.state.commit([Write(DESK, document, self.version)])[DESK]
        self.until = now + LEASE

    def give_back(self) -> None:
        try:
            self.state.commit([Write(DESK, None, self.version)])
        except (Conflict, Unavailable) as failure:
            log.warning("the lease could not be given back, it ends by itself: %s", failure)


def taken(state: StateStore, now: datetime) -> Lease | None:
    """The lease, held; None: another has it. One that lies further ahead than any of ours can was written by a clock
    that was wrong. Raises Unavailable."""
    found = state.read([DESK])[DESK]
    until = (found.data or {}).get("until")
    if isinstance(until, datetime) and now < until <= now + 2 * LEASE:
        return None
    lease = Lease(state, now, found.version)
    try:
        lease.hold(now)
    except Conflict:
        return None
    return lease


@dataclass(slots=True)
class Sweep:
    """What one cleanup has done so far, and what a person should know. `notes`: what stays, and why; `worries`: what a
    person must look after. `until`: when its part must end. `code`: the version of the code. `backup`: its name."""

    yard: Yard
    table: Table
    now: datetime
    dry_run: bool
    lease: Lease | None
    code: str
    until: datetime
    items: list[Item] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worries: list[str] = field(default_factory=list)
    backup: str = ""

    def part(self, name: str, do: Callable[[Sweep], None], until: datetime) -> None:
        self.until = until
        try:
            self.attempt(name, lambda: do(self))
        except OutOfTime:
            self.left.append(name)

    def attempt(self, what: str, do: Callable[[], None]) -> None:
        """Does it, or remembers why it was not done. Raises OutOfTime or Lost."""
        try:
            do()
        except (OutOfTime, Lost):
            raise
        except (Unavailable, Conflict, Missing) as failure:
            log.error("not done: %s: %s", what, failure)
            self.failures.append(f"{what}: {failure}")
        except Exception as failure:
            log.exception("not done, for a reason that nobody foresaw: %s", what)
            self.failures.append(f"{what}: {type(failure).__name__}, see the log")

    def beat(self) -> None:
        """Before each step. Raises OutOfTime or Lost."""
        now = self.yard.clock.now()
        if now >= self.until:
            raise OutOfTime
        if self.lease:
            self.lease.renew(now)

    def remove(self, item: Item, do: Callable[[], None]) -> None:
        """Has it done, unless this is a dry run, and counts it. What another is just writing or removing is its own."""
        self.beat()
        try:
            if not self.dry_run:
                do()
        except Conflict:
            log.info("%s has changed, and is left alone", item.name)
        else:
            self.items.append(item)

    def removed(self) -> dict[str, Document]:
        told: dict[str, Document] = {}
        for item in self.items:
            of = told.setdefault(item.kind, {"count": 0, "bytes": 0})
            of["count"], of["bytes"] = of["count"] + item.count, of["bytes"] + item.bytes
        return told

    def verdict(self) -> tuple[str, str]:
        count, size = sum(item.count for item in self.items), sum(item.bytes for item in self.items)
        would = "would be " if self.dry_run else ""
        said = [f"{count:,} things, {sized(size)}, {would}removed" if count else f"nothing {would}removed"]
        said += [f"not done: {'; '.join(self.failures)}"] if self.failures else []
        said += [f"no time was left for {', '.join(self.left)}: the next run goes on"] if self.left else []
        return "failed" if self.failures else "done", ". ".join([*said, *self.worries, *self.notes])

    def answer(self, outcome: str, reason: str) -> Document:
        return {
            "outcome": outcome,
            "book": None,
            "bar": None,
            "reason": reason,
            "dry_run": self.dry_run,
            "level": self.table.level,
            "removed": self.removed(),
            "items": [msgspec.structs.asdict(item) for item in self.items[:ITEMS]],
            "more": max(len(self.items) - ITEMS, 0),
            "backup": self.backup or None,
            "complete": outcome == "done" and not self.left,
        }


def sized(size: int) -> str:
    """'3.1 MB'"""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
