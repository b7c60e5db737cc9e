"""Alerts: what a person should hear of, and how many of them become few messages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

Severity = Literal["info", "warning", "error", "critical"]
Event = Literal[
    "trade_opened", "trade_closed", "breaker", "switch", "order_unknown", "refusal", "model_promoted", "model_refused",
    "drift", "tick_overdue", "recovery", "trouble", "unprotected", "price_shock", "monitoring",
    "cleanup",
]  # fmt: skip

# News each time that they happen: never held, never joined. All others are conditions, which go on.
EACH: Final = frozenset({"trade_opened", "trade_closed", "switch", "model_promoted"})
MANY: Final = 10  # messages at once; more become one digest
WORST: Final[tuple[Severity, ...]] = ("critical", "error", "warning", "info")
KINDS, IDS, MARK = 200, 4000, 8  # kinds and ids that are remembered, bytes of an id's mark
LISTED, NEWEST, LINE = 6, 4, 200  # rows in a text, and characters of one


class Alert(Struct, frozen=True, kw_only=True):
    """One document of the outbox. `id` says what it tells of, so that the same is told once; `book` is "" when it is of
    none; `at`: when it happened; `text`: plain sentences; `fields`: numbers by name, as text."""

    id: str
    event: Event
    severity: Severity
    at: datetime
    title: str
    text: str = ""
    book: str = ""
    fields: dict[str, str] = {}


class Message(Struct, frozen=True, kw_only=True):
    """What a channel shows: one alert, or several of one kind (`count`), or a digest of many."""

    severity: Severity
    title: str
    text: str
    at: datetime
    fields: dict[str, str] = {}
    count: int = 1


class Told(Struct, frozen=True):
    """A kind of alert, how severe it was and when a person was told of it last."""

    event: str
    book: str
    title: str
    severity: Severity
    at: datetime


class Memory(Struct, frozen=True):
    """What has been told: kinds within `repeat`, and the marks of the newest ids, one after the other."""

    kinds: tuple[Told, ...] = ()
    ids: bytes = b""


class Parcel(NamedTuple):
    """A message and the alerts that it tells of."""

    message: Message
    alerts: tuple[Alert, ...]


class Plan(NamedTuple):
    """What to send now, the most severe first; ids that were told already; what is held back, and until when."""

    parcels: tuple[Parcel, ...] = ()
    known: tuple[str, ...] = ()
    held: int = 0
    due: datetime | None = None


# --- reading the outbox ---------------------------------------------------------------------------------------------


def understood(id: str, document: Mapping[str, Any], now: datetime) -> Alert:
    """The alert of a document. One that is none, or of an older version, is shown as it is; never raises."""
    try:
        alert = msgspec.convert({**document, "id": id}, Alert)
    except (msgspec.ValidationError, TypeError):
        return _as_it_is(id, document, now)
    return msgspec.structs.replace(alert, at=_time(alert.at, now), title=alert.title.strip() or alert.event)


def _as_it_is(id: str, document: Mapping[str, Any], now: datetime) -> Alert:
    severity, text, book = (document.get(name) for name in ("severity", "text", "book"))
    at = _time(document.get("at") or document.get("bar"), now)
    known: Severity = next((level for level in WORST if level == severity), "error")
    whose = book if isinstance(book, str) else ""
    if isinstance(text, str) and text.strip() and severity in WORST and "event" not in document:
        title = short(text.strip().partition("\n")[0], 120)
        return Alert(id=id, event="trouble", severity=known, at=at, title=title, text=text, book=whose)
    title = f"An alert that cannot be read: {short(id, 80)}"
    return Alert(id=id, event="trouble", severity=known, at=at, title=title, text=short(repr(document), 1500))


def _time(value: object, now: datetime) -> datetime:
    if not isinstance(value, datetime):
        return now
    return value.replace(tzinfo=UTC) if value.utcoffset() is None else value


# --- what has been told ---------------------------------------------------------------------------------------------


def mark(id: str) -> bytes:
    """What is remembered of an id: ids may be long, and there may be thousands."""
    return blake2b(id.encode("utf-8", "surrogatepass"), digest_size=MARK).digest()


def marks(packed: bytes) -> set[bytes]:
    return {packed[start : start + MARK] for start in range(0, len(packed), MARK)}


def remember(memory: Memory, parcels: Sequence[Parcel], now: datetime, repeat: timedelta) -> Memory:
    """The memory once `parcels` have been told. Their own ids are all kept, however many, until the next time."""
    kinds = {_kind(told): told for told in memory.kinds if _elapsed(told, now) < repeat}
    told_now = [alert for parcel in parcels for alert in parcel.alerts]
    for group in _groups(told_now):
        event, book, title = _kind(group[0])
        kinds.pop((event, book, title), None)  # the newest come last
        if event not in EACH:
            kinds[event, book, title] = Told(event, book, title, _worst(group), now)
    ids = b"".join(mark(alert.id) for alert in told_now)
    old = memory.ids[-max(IDS * MARK - len(ids), 0) :] if len(ids) < IDS * MARK else b""
    return Memory(tuple(kinds.values())[-KINDS:], old + ids)


def _kind(of: Alert | Told) -> tuple[str, str, str]:
    return of.event, of.book[:100], of.title[:200]


def _elapsed(told: Told, now: datetime) -> timedelta:
    """Since then; for ever, when a clock that was ahead wrote it."""
    return now - told.at if told.at <= now else timedelta.max


# --- planning -------------------------------------------------------------------------------------------------------


def plan(
    pending: Sequence[Alert], memory: Memory, now: datetime, repeat: timedelta, doubt: Collection[bytes] = ()
) -> Plan:
    """What to do with the `pending` alerts. `doubt`: marks of those that may have been shown already.

    A kind (event, book, title) that was told less than `repeat` ago is held, unless it has become more severe.
    """
    told = marks(memory.ids)
    known = tuple(alert.id for alert in pending if mark(alert.id) in told)
    gone, last = set(known), {_kind(told): told for told in memory.kinds}
    send: list[list[Alert]] = []
    held, due = 0, []
    for group in _groups([alert for alert in pending if alert.id not in gone]):
        before = last.get(_kind(group[0]))
        if before is None or not _held(group, before, now, repeat):
            send.append(group)
        else:
            held += len(group)
            due.append(before.at + repeat)
    return Plan(_parcels(send, doubt), known, held, min(due, default=None))


def _groups(alerts: Sequence[Alert]) -> list[list[Alert]]:
    """Alerts of one kind together, each group in order of time."""
    groups: dict[tuple[str, ...], list[Alert]] = {}
    for alert in sorted(alerts, key=lambda alert: (alert.at, alert.id)):
        own = (alert.id,) if alert.event in EACH else ()
        groups.setdefault((*_kind(alert), *own), []).append(alert)
    return list(groups.values())


def _held(group: Sequence[Alert], before: Told, now: datetime, repeat: timedelta) -> bool:
    worse = WORST.index(_worst(group)) < WORST.index(before.severity)
    return group[0].event not in EACH and not worse and _elapsed(before, now) < repeat


def _worst(group: Sequence[Alert]) -> Severity:
    return min((alert.severity for alert in group), key=WORST.index)


def _parcels(groups: Sequence[list[Alert]], doubt: Collection[bytes]) -> tuple[Parcel, ...]:
    ordered = sorted(groups, key=lambda group: (WORST.index(_worst(group)), group[0].at, group[0].id))
    if len(ordered) > MANY:
        alerts = tuple(alert for group in ordered for alert in group)
        return (Parcel(_marked(_digest(ordered), alerts, doubt), alerts),)
    return tuple(Parcel(_marked(_message(group), group, doubt), tuple(group)) for group in ordered)


def _marked(message: Message, alerts: Sequence[Alert], doubt: Collection[bytes]) -> Message:
    """At the front of the text, where no channel cuts."""
    again = [alert for alert in alerts if mark(alert.id) in doubt]
    if not again:
        return message
    what = "This" if len(again) == len(alerts) else "Part of this"
    text = f"{what} may have been shown already.\n{message.text}"
    return msgspec.structs.replace(message, text=text)


# --- wording --------------------------------------------------------------------------------------------------------


def _message(group: Sequence[Alert]) -> Message:
    newest = group[-1]
    joined = len(group) > 1
    return Message(
        severity=_worst(group),
        title=short(_titled(newest), LINE) + (f" (×{len(group):,})" if joined else ""),
        text=_joined(group) if joined else newest.text,
        at=newest.at,
        fields=newest.fields,
        count=len(group),
    )


def _titled(alert: Alert) -> str:
    return f"{alert.book}: {alert.title}" if alert.book and alert.book not in alert.title else alert.title


def _joined(group: Sequence[Alert]) -> str:
    """How often and since when, and the newest of what was said, each once."""
    said = {alert.text: alert for alert in group if alert.text}  # the newest of equal texts
    rows = sorted(said.values(), key=lambda alert: alert.at, reverse=True)
    lines = [f"{len(group)} times since {_stamp(group[0].at)}."]
    if len(rows) == 1:
        return "\n".join([*lines, rows[0].text])
    lines += [f"• {_stamp(alert.at)[5:-4]} {short(alert.text, 2 * LINE)}" for alert in rows[:LISTED]]
    return "\n".join(lines + ([f"… and {len(rows) - LISTED} more"] if len(rows) > LISTED else []))


def _digest(groups: Sequence[Sequence[Alert]]) -> Message:
    """`groups`: the most severe first."""
    alerts = [alert for group in groups for alert in group]
    first, last = min(alert.at for alert in alerts), max(alert.at for alert in alerts)
    severe = sorted(groups, key=lambda group: group[-1].at, reverse=True)
    severe = sorted(severe, key=lambda group: WORST.index(_worst(group)))[:LISTED]
    newest = [g for g in sorted(groups, key=lambda g: g[-1].at, reverse=True) if g not in severe][:NEWEST]
    rows = [f"From {_stamp(first)} to {_stamp(last)}.", "The most severe:", *map(_row, severe)]
    rows += ["The newest of the others:", *map(_row, newest)] if newest else []
    return Message(
        severity=_worst(alerts),
        title=f"{len(alerts):,} alerts at once",
        text="\n".join(rows),
        at=last,
        fields=_counts(alerts),
        count=len(alerts),
    )


def _counts(alerts: Sequence[Alert]) -> dict[str, str]:
    """By severity: how many of each event."""
    counted = Counter((alert.severity, alert.event) for alert in alerts)
    fields: dict[str, str] = {}
    for severity in WORST:
        row = [(count, event) for (level, event), count in counted.most_common() if level == severity]
        if row:
            fields[severity] = ", ".join(f"{count:,} {event.replace('_', ' ')}" for count, event in row)
    return fields


def _row(group: Sequence[Alert]) -> str:
    newest = group[-1]
    times = f" ({len(group):,} times)" if len(group) > 1 else ""
    said = f"{_titled(newest)}{times}" + (f": {newest.text}" if newest.text else "")
    return f"• {_stamp(newest.at)[5:-4]} {short(' '.join(said.split()), LINE)}"


def _stamp(at: datetime) -> str:
    return f"{at.replace(tzinfo=None) - (at.utcoffset() or timedelta()):%Y-%m-%d %H:%M} UTC"


def short(text: str, most: int) -> str:
    """At most `most` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
