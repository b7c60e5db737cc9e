"""Retention: what is kept, for how long, and what may go. Pure.

Nothing here deletes. What serves, what one would go back to, and the newest of everything are never among what may go.
Applied again to what was left, nothing more goes; and a larger number in the table never lets more go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct

Level = Literal["safe", "moderate"]
LAST_BARS: Final = 168  # of a book, whose records stay however old they are: the watch for drift looks at as many
UNDO: Final = timedelta(days=2)  # before the newest backup: a person may have taken them for what he was about to do
ROLLBACK: Final = 2  # newest of what is deployed: what serves, and what one would go back to


class Table(Struct, frozen=True, kw_only=True):
    """The part of [cleanup] that cleanup itself goes by; config/default.toml says what each row means."""

    level: Level = "safe"
    record_days: int = 90
    unneeded_days: int = 7
    backup_days: int = 30
    backup_weeks: int = 12
    backup_months: int = 12
    backup_years: int = 7
    images: int = 5
    revisions: int = 3
    source_days: int = 30


class File(Protocol):
    """A file as its store lists it. at: when it was put."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def at(self) -> datetime: ...


class Deployed(File, Protocol):
    """Something that deploying made: one version of its `group`. live: it serves, or what serves was made from it."""

    @property
    def kind(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def live(self) -> bool: ...


D = TypeVar("D", bound=Deployed)


# --- records and documents ------------------------------------------------------------------------------------------


def records_until(newest: datetime, bar_s: int, table: Table, now: datetime) -> datetime:
    """Records of bars before this may go. `newest`: the last bar that the book decided on, `bar_s` seconds long."""
    return min(now - timedelta(days=table.record_days), newest - LAST_BARS * timedelta(seconds=bar_s))


def unneeded(times: Iterable[datetime | None], table: Table, now: datetime) -> bool:
    """Whether something that was last of use at these times is of none any more. No time known: it stays."""
    known = [time for time in times if time is not None]
    return bool(known) and now - max(known) > timedelta(days=table.unneeded_days)


# --- models ---------------------------------------------------------------------------------------------------------


class Orphan(NamedTuple):
    """A model that no pointer names, and its files."""

    book: str
    version: str
    files: tuple[str, ...]
    size: int


def named(pointer: Mapping[str, Any] | None) -> frozenset[str] | None:
    """The versions that a pointer names: the live one, its predecessor, the challenger. None: it cannot be told."""
    if not pointer or not _version(pointer.get("version")):
        return None
    versions = [pointer["version"], *([] if pointer.get("previous") is None else [pointer["previous"]])]
    if pointer.get("challenger") is not None:
        challenger = pointer["challenger"]
        versions.append(challenger.get("version") if isinstance(challenger, dict) else None)
    return frozenset(versions) if all(_version(version) for version in versions) else None


def _version(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def orphans(
    files: Iterable[File], pointers: Mapping[str, frozenset[str] | None], table: Table, now: datetime
) -> list[Orphan]:
    """Of files `models/{book}/{version}/{file}`, the models that no pointer names and that nobody has touched for
    `unneeded_days`: a training puts the files first and the pointer afterwards. A book whose pointer cannot be told
    (None, or absent) has none."""
    kept = {version for versions in pointers.values() for version in versions or ()}
    models: dict[tuple[str, str], list[File]] = {}
    for file in files:
        folder, *parts = file.name.split("/")
        if folder == "models" and len(parts) == 3:
            models.setdefault((parts[0], parts[1]), []).append(file)
    return [
        Orphan(book, version, tuple(sorted(file.name for file in its)), sum(file.size for file in its))
        for (book, version), its in sorted(models.items())
        if pointers.get(book) is not None and version not in kept and unneeded([file.at for file in its], table, now)
    ]


# --- backups --------------------------------------------------------------------------------------------------------


def thinned(taken: Mapping[str, datetime], table: Table) -> list[str]:
    """Of backups by name, those that may go, oldest first: grandfather, father, son. The newest of each of the last so
    many days, weeks (ISO 8601), months and years, all in UTC, stay; only those that have one are counted. So do all of
    the two days before the newest."""
    dated = sorted(((at.astimezone(UTC), name) for name, at in taken.items()), reverse=True)
    periods: list[tuple[int, Callable[[datetime], Hashable]]] = [
        (max(table.backup_days, 1), lambda at: at.date()),
        (table.backup_weeks, lambda at: at.isocalendar()[:2]),
        (table.backup_months, lambda at: (at.year, at.month)),
        (table.backup_years, lambda at: at.year),
    ]
    kept = {name for at, name in dated if dated[0][0] - at <= UNDO}
    for count, period in periods:
        newest: dict[Hashable, str] = {}
        for at, name in dated:
            newest.setdefault(period(at), name)
        kept.update(list(newest.values())[:count])
    return [name for _, name in reversed(dated) if name not in kept]


# --- what deploying leaves behind -----------------------------------------------------------------------------------


def outdated(found: Sequence[D], table: Table, now: datetime) -> list[tuple[D, str]]:
    """What may go, and why, oldest first. Level safe: source archives that are too old. Level moderate: images and
    revisions beyond the newest of their group as well. Of each group the live ones stay, the newest two, and the one
    before each live one: what one would go back to."""
    groups: dict[tuple[str, str], list[D]] = {}
    for one in sorted(found, key=lambda one: (one.at, one.name), reverse=True):
        groups.setdefault((one.kind, one.group), []).append(one)
    going = [pair for (kind, _), its in groups.items() for pair in _beyond(kind, its, table, now)]
    return sorted(going, key=lambda pair: (pair[0].kind, pair[0].at, pair[0].name))


def _beyond(kind: str, its: Sequence[D], table: Table, now: datetime) -> list[tuple[D, str]]:
    """Of the versions of one group, newest first."""
    live = [index for index, one in enumerate(its) if one.live]
    stays = {*range(ROLLBACK), *live, *(index + 1 for index in live)}
    rest = [(index, one) for index, one in enumerate(its) if index not in stays]
    if kind == "source":
        why = f"older than {table.source_days} days, neither live nor the one before"
        return [(one, why) for _, one in rest if now - one.at > timedelta(days=table.source_days)]
    counts = {"image": table.images, "revision": table.revisions}
    if table.level == "safe" or kind not in counts:
        return []
    return [(one, f"beyond the newest {counts[kind]}, and not live") for index, one in rest if index >= counts[kind]]
