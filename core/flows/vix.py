"""The VIX of a tick: the stored values while nothing newer can be known, else the first source that answers.

Any other series of values that are published in their time is kept in the same way (core.flows.outside).

The document is a cache of the last answer: losing it, or moving back in time, costs a fetch and changes no value. The
age limit is not applied here but where the values are used (`daily.as_of`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from core.domain.bars import epoch, moment
from core.domain.daily import DAY, Daily, none
from core.ports import DailySource, Document, Unavailable

KEY: Final = "series/vix"
EVERY_S: Final = 6 * 3600
RETRY_S: Final = 3300  # after a failure: the next hourly tick, also when it comes some minutes early
KEPT: Final = 120  # values stored: twice what a feature may look back on
ENOUGH: Final = 60  # values that a DailySource promises
Newest = Callable[[int], int]  # the newest publication that there can have been at a time, both in epoch seconds


class Damaged(ValueError):
    """A stored series that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class VixAnswer:
    """Of the VIX or another series. `daily`: the values to use, none published after the tick's
    time; empty when nothing is known.

    `source`: who gave them, "" for none; `stored`: they were not fetched now. `failures`: a sentence for each thing
    that did not work, at this attempt or at the last one. `document`: to be stored at `KEY`; None: nothing new.
    """

    daily: Daily
    source: str
    stored: bool
    failures: tuple[str, ...]
    document: Document | None

    @property
    def failed(self) -> tuple[str, ...]:
        """The failures of this attempt: each attempt, and nothing else, makes a document."""
        return self.failures if self.document else ()


@dataclass(frozen=True, slots=True)
class _Stored:
    daily: Daily
    source: str
    fetched_at: int | None  # epoch seconds
    attempted_at: int
    failures: tuple[str, ...]


def refresh(
    sources: Sequence[tuple[str, DailySource]],
    stored: Document | None,
    now: datetime,
    every_s: int = EVERY_S,
    newest: Newest | None = None,
) -> VixAnswer:
    """What the VIX was at `now`, from (name, source) in order of preference and the stored document.

    Asks the sources only when `due`, or when the stored values are of a source that is not among these. What a
    source answers is refused when it ends before the stored values do. Raises nothing for what fails outside. `newest`:
    of a series that is not published when weekdays end.
    """
    known, complaint = _opened(stored, [name for name, _ in sources])
    if known is None and not sources:
        return VixAnswer(none(), "", True, (complaint,) if complaint else (), None)
    if known is not None and not (sources and _due(known, now, every_s, newest or newest_of_weekdays)):
        return VixAnswer(_until(known.daily, now), known.source, True, known.failures, None)
    old = none() if known is None else _until(known.daily, now)
    failures = [complaint] if complaint else []
    for name, source in sources:
        try:
            daily = _fetched(source, now, old)
        except Unavailable as error:
            failures.append(f"{name}: {error}")
            continue
        document = _document(daily, name, now, now, failures)
        return VixAnswer(daily, name, False, tuple(failures), document)
    return _fallback(known, old, now, failures)


def daily_history(sources: Sequence[tuple[str, DailySource]], now: datetime) -> Daily:
    """All that the first source that answers knows, for training; empty when none does."""
    for _, source in sources:
        try:
            return _until(source.history(now), now)
        except Unavailable:
            continue
    return none()


def due(stored: Document | None, now: datetime, every_s: int = EVERY_S) -> bool:
    """Whether `refresh` would ask a source: when a value may have been published that is not stored, and either
    `every_s` have passed since the last answer or a UTC midnight, at which values come; after a failure, an hour later.

    Never when the stored values end with the newest that there can be: at most once on an ordinary day.
    """
    known, _ = _opened(stored, None)
    return known is None or _due(known, now, every_s, newest_of_weekdays)


def _due(known: _Stored, now: datetime, every_s: int, possible: Newest) -> bool:
    at, fetched = epoch(now), known.fetched_at
    held = _until(known.daily, now)
    past = fetched is not None and at < fetched  # a replay, served from what is stored when that reaches back
    newest = len(held) > 0 and held.published[-1] >= possible(at)
    if (len(held) >= ENOUGH) if past else newest:
        return False
    if known.attempted_at != fetched and 0 <= at - known.attempted_at < RETRY_S:
        return False
    if fetched is None or past or at - fetched >= every_s:
        return True
    return at // DAY > fetched // DAY or possible(at) > fetched


def newest_of_weekdays(at: int) -> int:
    """The last 00:00 UTC up to `at` that follows a weekday; holidays are not known here."""
    midnight = at // DAY * DAY
    weekday = (midnight // DAY + 3) % 7  # 0: Monday; 1970-01-01 was a Thursday
    return midnight - {6: 1, 0: 2}.get(weekday, 0) * DAY


def _fetched(source: DailySource, now: datetime, old: Daily) -> Daily:
    """Raises Unavailable, also for an answer that is empty or older than what is known."""
    daily = _until(source.history(now), now)
    if not len(daily):
        raise Unavailable(f"no value published by {now.isoformat()}")
    if len(old) and daily.published[-1] < old.published[-1]:
        last, newest = moment(daily.published[-1] - DAY), moment(old.published[-1] - DAY)
        raise Unavailable(f"ends with {last.date()}, while {newest.date()} is known already")
    return daily


def _fallback(known: _Stored | None, old: Daily, now: datetime, failures: list[str]) -> VixAnswer:
    """The stored values, and a document that remembers that the attempt failed."""
    source, fetched = ("", None) if known is None or known.fetched_at is None else (known.source, known.fetched_at)
    kept = none() if known is None else known.daily
    document = _document(kept, source, None if fetched is None else moment(fetched), now, failures)
    return VixAnswer(old, source, True, tuple(failures), document)


def _until(daily: Daily, now: datetime) -> Daily:
    count = int(np.searchsorted(daily.published, epoch(now), side="right"))
    return Daily(daily.published[:count], daily.value[:count])


def _document(daily: Daily, source: str, fetched: datetime | None, now: datetime, failures: Sequence[str]) -> Document:
    last = Daily(daily.published[-KEPT:], daily.value[-KEPT:])
    times: Document = {"fetched_at": fetched and fetched.astimezone(UTC), "attempted_at": now.astimezone(UTC)}
    return {"series": pack(last), "source": source, **times, "failures": list(failures)}


def _opened(stored: Document | None, names: Sequence[str] | None) -> tuple[_Stored | None, str]:
    """The stored document, and a complaint when there is one that cannot be used. `names`: the sources that count."""
    if stored is None:
        return None, ""
    try:
        known = _Stored(
            unpack(stored["series"]),
            str(stored["source"]),
            None if stored["fetched_at"] is None else epoch(stored["fetched_at"]),
            epoch(stored["attempted_at"]),
            tuple(str(sentence) for sentence in stored["failures"]),
        )
    except (Damaged, KeyError, TypeError, ValueError, AttributeError) as error:
        return None, f"stored values: damaged, taken as absent ({error})"
    if names and known.source and known.source not in names:
        return None, f"stored values: left out, they are from {known.source}, which is no source any more"
    return known, ""


def pack(daily: Daily) -> bytes:
    """A CRC-32, then times and values as little-endian columns: 4 + 16 bytes a value."""
    body = daily.published.astype("<i8").tobytes() + daily.value.astype("<f8").tobytes()
    return zlib.crc32(body).to_bytes(4, "little") + body


def unpack(data: bytes) -> Daily:
    """The inverse of `pack`. Raises Damaged when the data are not what was packed."""
    body = data[4:]
    if len(data) < 4 or len(body) % 16 or zlib.crc32(body).to_bytes(4, "little") != data[:4]:
        raise Damaged(f"{len(data)} bytes that are not a packed series")
    half = len(body) // 2
    return Daily(np.frombuffer(body[:half], "<i8"), np.frombuffer(body[half:], "<f8"))
