"""The state store of a history: in memory, seen by the checks at every commit; and its port, which fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from core.ports import ANY, Conflict, Document, Versioned, Watch, Write
from tests.simulation.faults import Luck

Watcher = Callable[[Sequence[Write]], None]


class Documents:
    """What is stored, packed, so that nobody shares a value with it. `watcher` is told of each commit, before it is."""

    def __init__(self) -> None:
        self._documents: dict[str, tuple[str, bytes]] = {}
        self._version = 0
        self.watcher: Watcher = lambda writes: None

    def read(self, keys: Sequence[str]) -> dict[str, Versioned]:
        return {key: self.versioned(key) for key in keys}

    def all(self) -> dict[str, Versioned]:
        return self.read(list(self._documents))

    def versioned(self, key: str) -> Versioned:
        found = self._documents.get(key)
        return Versioned(None, None) if found is None else Versioned(msgspec.msgpack.decode(found[1]), found[0])

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> dict[str, str]:
        wanted = [(write.key, write.version) for write in writes if write.version != ANY]
        wanted += [(key, seen.version) for key, seen in watch.items()] if watch else []
        for key, version in wanted:
            if self._documents.get(key, (None,))[0] != version:
                raise Conflict(f"{key} has changed")
        self.watcher(writes)
        return {write.key: version for write in writes if (version := self._put(write)) is not None}

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        start, end = f"{collection}/{since}", f"{collection}/{until}"
        for key in sorted(key for key in self._documents if start <= key < end):
            data = self.versioned(key).data
            if data is not None:
                yield key.partition("/")[2], data

    def packed(self) -> dict[str, bytes]:
        return {key: data for key, (_, data) in self._documents.items()}

    def _put(self, write: Write) -> str | None:
        if write.data is None:
            self._documents.pop(write.key, None)
            return None
        self._version += 1
        self._documents[write.key] = str(self._version), msgspec.msgpack.encode(write.data)
        return str(self._version)


class Store:
    """The StateStore of one invocation. `label` names its calls by what they are for."""

    def __init__(self, documents: Documents, luck: Luck, purpose: str = "") -> None:
        self._documents, self._luck, self._purpose = documents, luck, purpose

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        label = f"{self._purpose}read {'+'.join(sorted({key.partition('/')[0] for key in keys}))}"
        return self._luck.call(label, lambda: self._documents.read(keys))

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        label = f"{self._purpose}commit {purpose(writes)}"
        return self._luck.call(label, lambda: self._documents.commit(writes, watch), ["aborted"])

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        found = self._luck.call(f"scan {collection}", lambda: list(self._documents.scan(collection, since, until)))
        return iter(found)


def purpose(writes: Sequence[Write]) -> str:
    """What a commit is for, told by what it writes."""
    documents = {write.key.partition("/")[0]: write.data or {} for write in writes}
    if "guards" in documents:
        return "guard trips" if "breakers" in documents else "guard"
    if "ticks" in documents:
        return f"tick {documents['ticks'].get('phase')}"
    if "books" in documents:
        held = (documents["books"].get("lease") or {}).get("until")
        return "claim" if held and len(documents) == 1 else "release" if not held else "book"
    return "+".join(sorted(documents))
