"""Ports for tests: in memory, told the time, or watched while they are called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from core.adapters.limits import check_keys, check_name, check_prefix, check_range, check_writes
from core.ports import ANY, Clock, Conflict, Document, Missing, Stored, Versioned, Watch, Write

Port = TypeVar("Port")


class MemoryState:
    """A StateStore. Documents are kept packed, so that no caller shares a value with the store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, tuple[str, bytes]] = {}
        self._version = 0

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        check_keys(keys)
        with self._lock:
            return {key: self._versioned(key) for key in keys}

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        check_writes(writes)
        packed = {write.key: None if write.data is None else msgspec.msgpack.encode(write.data) for write in writes}
        wanted = [(write.key, write.version) for write in writes if write.version != ANY]
        wanted += [(key, seen.version) for key, seen in watch.items()] if watch else []
        with self._lock:
            for key, version in wanted:
                if self._versioned(key).version != version:
                    raise Conflict(f"{key} has changed")
            return {key: version for key, data in packed.items() if (version := self._put(key, data)) is not None}

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        check_range(collection, since, until)
        start, end = f"{collection}/{since}", f"{collection}/{until}"
        with self._lock:
            found = [(key, self._versioned(key).data) for key in sorted(self._documents) if start <= key < end]
        yield from ((key.partition("/")[2], data) for key, data in found if data is not None)

    def _versioned(self, key: str) -> Versioned:
        if key not in self._documents:
            return Versioned(None, None)
        version, data = self._documents[key]
        return Versioned(msgspec.msgpack.decode(data), version)

    def _put(self, key: str, data: bytes | None) -> str | None:
        if data is None:
            self._documents.pop(key, None)
            return None
        self._version += 1
        self._documents[key] = (str(self._version), data)
        return str(self._version)


class MemoryModels:
    """A ModelStore."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._files: dict[str, bytes] = {}
        self._times: dict[str, datetime] = {}
        self._clock = clock

    def get(self, name: str) -> bytes:
        check_name(name)
        if name not in self._files:
            raise Missing(f"there is no file {name}")
        return self._files[name]

    def put(self, name: str, data: bytes) -> None:
        check_name(name)
        self._files[name] = bytes(data)
        self._times[name] = self._clock.now() if self._clock else datetime.now(UTC)

    def stored(self, prefix: str) -> Sequence[Stored]:
        return [Stored(name, len(self._files[name]), self._times[name]) for name in self.names(prefix)]

    def names(self, prefix: str) -> Sequence[str]:
        check_prefix(prefix)
        return sorted(name for name in self._files if name.startswith(prefix))

    def delete(self, name: str) -> None:
        check_name(name)
        self._files.pop(name, None)


class InProcess:
    """A Workers without any: one piece of work after the other, the last one first."""

    def run(self, job: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for index in reversed(range(len(items))):
            yield index, job(items[index])


class FixedClock:
    """A Clock that stands until it is moved."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, step: timedelta) -> None:
        self._now += step

    def sleep(self, seconds: float) -> None:
        self.advance(timedelta(seconds=seconds))


class Call(NamedTuple):
    name: str
    start: float  # seconds, of a clock that only goes forward
    end: float


class _Delayed:
    def __init__(self, port: object, seconds: float, calls: list[Call]) -> None:
        self._port, self._seconds, self._calls = port, seconds, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._timed(name, found) if callable(found) else found

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                time.sleep(self._seconds)
                answer = method(*args, **kwargs)
                return iter(list(answer)) if isinstance(answer, Iterator) else answer
            finally:
                self._calls.append(Call(name, start, time.perf_counter()))

        return call


def delayed(port: Port, seconds: float, calls: list[Call]) -> Port:
    """The same port, with each call put off by `seconds` and noted in `calls`. What it scans is read at once."""
    return cast(Port, _Delayed(port, seconds, calls))


def in_sequence(calls: Sequence[Call]) -> int:
    """How many of the calls were made one after the other: the most of which no two overlap in time."""
    count, free = 0, float("-inf")
    for call in sorted(calls, key=lambda call: call.end):
        if call.start >= free:
            count, free = count + 1, call.end
    return count
