"""cleanup: what nobody needs any more goes; what is old is archived first. docs/cleanup.md.

Five parts, one after the other: records, models, documents, backups, and what deploying leaves behind. What may go is
decided in core/domain/retention.py. One cleanup at a time, by a lease in the document `desk/cleanup`; two at once would
do no harm, and one that dies is ended by the next. A part that fails keeps no other from being done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from core.domain.alerts import Alert
from core.domain.bars import moment, seconds, unpack
from core.domain.orders import ZERO, Holding
from core.domain.retention import Table, named, orphans, outdated, records_until, thinned, unneeded
from core.domain.state import BookState
from core.flows import archive
from core.flows.alert import post
from core.flows.backup import FOLDER, GLOBAL, RESTORING, STAMP, backup, backups, made
from core.flows.serving import folder, pointer_key
from core.flows.sweep import Item, Lease, Lost, Sweep, Yard, sized, taken
from core.ports import Document, Leftover, ModelStore, Platform, StateStore, Write

BUDGET: Final = timedelta(minutes=10)  # no step is begun after it; the function may take 15
RECORDS: Final = 0.6  # of the budget: years of neglected records must not keep the rest from being done
TRIES: Final = 3  # removals on the platform that fail before the others are left
UNBEGUN: Final = BookState(holding=Holding(cash=ZERO), equity=ZERO)
HOUR_S: Final = 3600  # the bar of a book that is no more in the settings


def cleanup(
    yard: Yard, table: Table, *, dry_run: bool = False, budget: timedelta = BUDGET, code: str = "unknown"
) -> Document:
    """What went, or would go, by kind and one by one. Outcome `done`, also when no time was left for some of it;
    `failed`: a part was not done, the others were; `busy`: another cleanup is at it. `code`: its version, for the
    backup. Raises Unavailable when the state store cannot be reached to begin with."""
    now = yard.clock.now()
    lease, why = _begun(yard.state, now, dry_run)
    sweep = Sweep(yard, table, now, dry_run, lease, code, now + budget)
    if why:
        return sweep.answer("busy", why)
    try:
        for name, part in PARTS.items():
            sweep.part(name, part, now + budget * (RECORDS if name == "records" else 1.0))
        if lease:
            sweep.attempt("the report", partial(_report, sweep))
            lease.give_back()
    except Lost:
        return sweep.answer("busy", "another cleanup has taken over; what this one had done stands")
    return sweep.answer(*sweep.verdict())


def _begun(state: StateStore, now: datetime, dry_run: bool) -> tuple[Lease | None, str]:
    """The lease, and why nothing may be begun."""
    if (state.read([GLOBAL])[GLOBAL].data or {}).get("mode") == RESTORING:
        return None, "a backup is being put back: finish that first, then run this again"
    lease = None if dry_run else taken(state, now)
    return lease, "" if dry_run or lease else "another cleanup is at it, or died a few minutes ago: try again later"


# --- records --------------------------------------------------------------------------------------------------------


def _records(sweep: Sweep) -> None:
    for book, document in list(sweep.yard.state.scan("books")):
        sweep.beat()
        sweep.attempt(f"records of {book}", partial(_records_of, sweep, book, document))


def _records_of(sweep: Sweep, book: str, document: Document) -> None:
    state = _state(document)
    if why := unsettled(state):
        sweep.notes.append(f"The records of {book} stay: {why}")
    elif state and state.bar:
        bar_s = next((seconds(each.timeframe) for each in sweep.yard.books if each.id == book), HOUR_S)
        edge = records_until(state.bar, bar_s, sweep.table, sweep.now)
        why = f"older than {sweep.table.record_days} days; archived"
        for moved in archive.move(sweep.yard.state, sweep.yard.archive, book, edge, sweep.beat, sweep.dry_run):
            name = f"{moved.first} to {moved.last.partition('@')[2]}"
            sweep.items.append(Item("record", name, moved.size, why, moved.number))


def _state(document: Document) -> BookState | None:
    """What a book believes; None: it cannot be read."""
    try:
        return msgspec.convert(document["state"], BookState) if document.get("state") else UNBEGUN
    except msgspec.ValidationError:
        return None


def unsettled(state: BookState | None) -> str:
    """Why somebody may still have to look into what the book wrote down; "" when nobody has to."""
    if state is None:
        return "its document cannot be read"
    if state.trouble:
        return f"it is in trouble ({state.trouble})"
    return "orders of it are not settled" if state.working or state.waiting else ""


# --- models ---------------------------------------------------------------------------------------------------------


def _models(sweep: Sweep) -> None:
    store = sweep.yard.models
    files = store.stored("models/")  # before the pointers: what is published meanwhile is not in this list
    pointers = {book: named(pointer) for book, pointer in sweep.yard.state.scan("models")}
    unread = [book for book, versions in pointers.items() if versions is None]
    sweep.notes += [f"The models of {book} stay: models/{book} does not name a live one" for book in unread]
    for orphan in orphans(files, pointers, sweep.table, sweep.now):
        key = pointer_key(orphan.book)
        versions = named(sweep.yard.state.read([key])[key].data)
        if versions is None or orphan.version in versions:
            continue
        why = f"neither live nor previous nor challenger, and older than {sweep.table.unneeded_days} days"
        item = Item("model", folder(orphan.book, orphan.version), orphan.size, why)
        sweep.remove(item, partial(_delete, store, orphan.files))


def _delete(store: ModelStore, names: Sequence[str]) -> None:
    for name in names:
        store.delete(name)


# --- documents ------------------------------------------------------------------------------------------------------


class _Cache(NamedTuple):
    """A document that is only remembered so that it need not be fetched or found out again. used: when last."""

    key: str
    book: str
    used: datetime | None
    size: int

    @property
    def beside(self) -> bool:
        """Whether it is the window of another market than the book's own."""
        return self.key.startswith(f"windows/{self.book}.")


def _documents(sweep: Sweep) -> None:
    """Caches of books that are no more in the settings, and windows beside a book's own that it looks at no more. A
    book's own documents stay, and of one that may still hold something all do."""
    ours = {book.id for book in sweep.yard.books}
    held: set[str] = set()
    last: dict[str, datetime | None] = {}
    for book, document in sweep.yard.state.scan("books"):
        state = _state(document)
        last[book] = _active(state, document)
        if book not in ours and (why := _holding(state)):
            sweep.worries.append(f"The book {book} is not in the settings, and {why}: look after it")
            held.add(book)
    for cache in list(_caches(sweep.yard.state)):
        left = cache.book not in ours and cache.book not in held
        times = [cache.used, last.get(cache.book)] if left else [cache.used]
        if (left or (cache.book in ours and cache.beside)) and unneeded(times, sweep.table, sweep.now):
            why = f"of no use for {sweep.table.unneeded_days} days{', its book is not in the settings' if left else ''}"
            sweep.remove(Item("document", cache.key, cache.size, why), partial(_drop, sweep.yard.state, cache.key))


def _drop(state: StateStore, key: str) -> None:
    """Raises Conflict: somebody is just writing it."""
    state.commit([Write(key, None, state.read([key])[key].version)])


def _holding(state: BookState | None) -> str:
    """Why a book may still hold something; "" when it does not."""
    if state and state.holding.position:
        return f"it holds {state.holding.position}"
    return unsettled(state) or ("it has open orders" if state and state.open_orders else "")


def _active(state: BookState | None, document: Document) -> datetime | None:
    lease = document.get("lease")
    told: list[Any] = [lease.get("bar"), lease.get("until")] if isinstance(lease, dict) else []
    told += [state.bar, state.looked] if state else []
    return max((time for time in told if isinstance(time, datetime)), default=None)


def _caches(state: StateStore) -> Iterator[_Cache]:
    for collection, (owner, used) in CACHES.items():
        for name, data in state.scan(collection):
            if book := owner(name):
                yield _Cache(f"{collection}/{name}", book, used(data), len(msgspec.msgpack.encode(data)))


def _bars_until(data: Document) -> datetime | None:
    try:
        return moment(unpack(data["bars"]).time[-1])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, OSError):
        return None


def _time(data: Document, name: str) -> datetime | None:
    time = data.get(name)
    return time if isinstance(time, datetime) else None


# By collection: the book that a document's id names ("": none), and when the document was last of use.
CACHES: Final[Mapping[str, tuple[Callable[[str], str], Callable[[Document], datetime | None]]]] = {
    "windows": (lambda name: name.partition(".")[0], _bars_until),
    "series": (lambda name: name.partition(".")[2], lambda data: _time(data, "attempted_at")),
    "guards": (lambda name: name, lambda data: _time(data, "ran")),
}


# --- backups --------------------------------------------------------------------------------------------------------


def _backups(sweep: Sweep) -> None:
    """One is taken; then the older ones are thinned."""
    sweep.beat()
    now, store, table = sweep.yard.clock.now(), sweep.yard.archive, sweep.table
    sizes = {file.name: file.size for file in backups(store)}
    if sweep.dry_run:
        sizes[f"{FOLDER}/{now:{STAMP}}.jsonl.gz"] = 0
    else:
        said = backup(sweep.yard.state, store, now, sweep.code)
        sweep.backup, sizes[said["name"]] = said["name"], said["bytes"]
    weeks, months, years = table.backup_weeks, table.backup_months, table.backup_years
    why = f"newest of none of {table.backup_days} days, {weeks} weeks, {months} months, {years} years"
    for name in thinned({name: time for name in sizes if (time := _made(name))}, table):
        sweep.remove(Item("backup", name, sizes[name], why), partial(store.delete, name))


def _made(name: str) -> datetime | None:
    try:
        return made(name)
    except ValueError:
        return None


# --- the platform ---------------------------------------------------------------------------------------------------


def _deployed(sweep: Sweep) -> None:
    platform = sweep.yard.platform
    if platform is None:
        return
    before = len(sweep.failures)
    for one, why in outdated(platform.leftovers(), sweep.table, sweep.now):
        sweep.beat()
        if len(sweep.failures) - before < TRIES:
            sweep.attempt(f"{one.kind} {one.name}", partial(_removed, sweep, platform, one, why))


def _removed(sweep: Sweep, platform: Platform, one: Leftover, why: str) -> None:
    sweep.remove(Item(one.kind, one.name, one.size, why), partial(platform.remove, one))


# --- the report -----------------------------------------------------------------------------------------------------

PARTS: Final[Mapping[str, Callable[[Sweep], None]]] = {
    "records": _records,
    "models": _models,
    "documents": _documents,
    "backups": _backups,
    "deployed": _deployed,
}


def _report(sweep: Sweep) -> None:
    """One alert a month and outcome."""
    outcome, reason = sweep.verdict()
    failed = outcome == "failed"
    post(
        sweep.yard.state,
        Alert(
            id=f"cleanup-{sweep.now:%Y-%m}-{outcome}",
            event="cleanup",
            severity="warning" if failed or sweep.worries else "info",
            at=sweep.now,
            title="cleanup could not do all of its work" if failed else "cleanup is done",
            text=reason,
            fields={kind: f"{of['count']:,}, {sized(of['bytes'])}" for kind, of in sweep.removed().items()},
        ),
    )
