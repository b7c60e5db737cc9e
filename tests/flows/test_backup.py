"""backup and restore: what is kept is put back exactly, damage is refused whole, and nothing is traded meanwhile."""

from __future__ import annotations

import ast
import gzip
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.adapters.dir_models import DirModels
from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.adapters.sqlite_state import SqliteState
from core.flows.backup import COLLECTIONS, Damaged, backup, backups, made, opened, plain_of, value_of
from core.flows.guard import guard
from core.flows.restore import restore
from core.flows.switches import flip
from core.flows.tick import tick
from core.ports import Document, Missing, ModelStore, StateStore, Unavailable, Write
from tests.emulators import make_bucket
from tests.fakes import MemoryModels, MemoryState
from tests.road import HOUR, road, small_book

NOW = datetime(2024, 5, 1, 13, 0, 7, tzinfo=UTC)
NAME = "backups/2024-05-01T130007Z.jsonl.gz"
LATER = NOW + timedelta(days=3)
FLOWS = Path(__file__).parents[2] / "core/flows"
# What flows name 'x/...' that is a file's name and no document's key.
FILES = {"backups", "replaced", "history", "trials", "untouched", "walk", "records", "archive", "research"}
EAGER: dict[str, Any] = {"threshold": 0.0, "threshold_max": 0.0}


def everything(state: StateStore) -> dict[str, Document]:
    return {f"{each}/{name}": data for each in COLLECTIONS for name, data in state.scan(each)}


def exact(value: Any) -> Any:
    """Equal for values of the same kind and content, NaN included."""
    if isinstance(value, dict):
        return {name: exact(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return type(value), value if isinstance(value, datetime) else repr(value)


# -- round trips

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats().filter(lambda number: number != 0.0 or math.copysign(1, number) > 0)  # Firestore loses its sign
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
)
NAMES = st.sampled_from(["a", "$time", "$dict", "$bytes", "$", "$float", "key", "end", "ä b"]) | st.text(
    st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8
)
DOCUMENTS = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=3),
    lambda inner: st.dictionaries(NAMES, VALUES | inner | st.lists(VALUES | inner, max_size=3), max_size=3),
    max_leaves=10,
)


@given(document=DOCUMENTS)
def test_every_value_survives_json_exactly(document: Document) -> None:
    text = msgspec.json.encode(plain_of(document))
    assert exact(value_of(msgspec.json.decode(text))) == exact(document)


@pytest.fixture(params=["memory", "sqlite", "firestore"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], StateStore]:
    """Makes an empty store."""
    if request.param == "memory":
        return MemoryState
    if request.param == "sqlite":
        return lambda: SqliteState(tmp_path / f"{uuid4().hex}.db")
    host = request.getfixturevalue("firestore_emulator")
    return lambda: FirestoreState(f"p{uuid4().hex[:12]}", emulator_host=host)


@given(
    documents=st.dictionaries(
        st.sampled_from([f"{each}/{name}" for each in ("paper", "guards", "series", "ticks") for name in ("x", "y@2")]),
        DOCUMENTS,
        max_size=6,
    )
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_backed_up_is_restored_exactly(
    fresh: Callable[[], StateStore], documents: dict[str, Document]
) -> None:
    state, store = fresh(), MemoryModels()
    state.commit([Write(key, data) for key, data in documents.items()])
    assert backup(state, store, NOW)["documents"] == len(documents)
    other = fresh()
    restore(other, store, NAME, LATER)
    found = everything(other)
    assert found.pop("switches/global")["mode"] == "halt"
    assert exact(found) == exact(documents)


@pytest.mark.parametrize("sizes", [[10] * 510, [900_000] * 6])
def test_more_than_one_commit_takes_is_restored(sizes: list[int]) -> None:
    """Every store refuses a commit of more than 500 documents, or of 5 MB."""
    state, store = MemoryState(), MemoryModels()
    part = 3 if len(sizes) < 10 else 255
    for start in range(0, len(sizes), part):
        numbered = list(enumerate(sizes))[start : start + part]
        state.commit([Write(f"windows/{number:03}", {"bars": bytes(size)}) for number, size in numbered])
    backup(state, store, NOW)
    other = MemoryState()
    assert restore(other, store, NAME, LATER)["documents"] == len(sizes)
    assert [(name, len(data["bars"])) for name, data in other.scan("windows")] == [
        (f"{number:03}", size) for number, size in enumerate(sizes)
    ]


def test_a_person_can_read_a_backup() -> None:
    state, store = MemoryState(), MemoryModels()
    state.commit([Write("switches/btc", {"mode": "halt", "at": NOW, "odd": math.nan, "raw": b"\x00"})])
    said = backup(state, store, NOW, "abc123")
    lines = gzip.decompress(store.get(NAME)).decode().splitlines()
    assert lines[0] == '{"hourhand":"backup","format":1,"at":"2024-05-01T13:00:07+00:00","code":"abc123"}'
    assert lines[1] == (
        '{"key":"switches/btc","data":{"mode":"halt","at":{"$time":"2024-05-01T13:00:07+00:00"},'
        '"odd":{"$float":"nan"},"raw":{"$bytes":"AA=="}}}'
    )
    assert re.fullmatch(r'\{"end":"[0-9a-f]{64}","documents":1,"collections":\{"switches":1\}\}', lines[2])
    assert (said["outcome"], said["name"], said["documents"], said["collections"]) == ("done", NAME, 1, {"switches": 1})


@pytest.fixture(params=["folder", "bucket"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    if request.param == "folder":
        return DirModels(tmp_path)
    host = request.getfixturevalue("storage_emulator")
    return GcsModels(make_bucket(host, f"b{uuid4().hex[:12]}"), host)


def test_backups_are_listed_oldest_first_and_other_files_are_not(files: ModelStore) -> None:
    store = files
    for at in (NOW, NOW - timedelta(days=400), NOW + timedelta(seconds=1)):
        backup(MemoryState(), store, at)
    store.put("backups/notes.txt", b"x")
    store.put("replaced/2024-05-01T130007Z.jsonl.gz", b"x")
    assert [made(each.name) for each in backups(store)] == [NOW - timedelta(days=400), NOW, NOW + timedelta(seconds=1)]
    assert all(opened(store, each.name).at == made(each.name) for each in backups(store))


# -- which collections there are


def named_in(source: str) -> set[str]:
    """What comes before the slash in texts of the form 'word/...'."""
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    found = [re.match(r"([a-z_]+)/[\w@.{}-]*$", text) for text in texts if isinstance(text, str)]
    return {match[1] for match in found if match}


def test_every_collection_that_the_code_names_is_backed_up() -> None:
    """A new one must be listed in core/flows/backup.py; a new kind of file, in FILES above."""
    paper = FLOWS.parent / "adapters/paper_exchange.py"
    named = {each for file in (*FLOWS.glob("*.py"), paper) for each in named_in(file.read_text())}
    assert named - FILES - set(COLLECTIONS) == set()
    assert {"books", "ticks", "switches", "paper", "desk", "account"} <= named


class Recorded(MemoryState):
    def __init__(self) -> None:
        super().__init__()
        self.collections: set[str] = set()

    def commit(self, writes: Any, watch: Any = None) -> Any:
        self.collections |= {write.key.partition("/")[0] for write in writes}
        return super().commit(writes, watch)


def test_every_collection_that_a_running_book_writes_is_backed_up() -> None:
    state = Recorded()
    made_ = road(small_book(**EAGER), state=state)
    for index in range(made_.first, made_.first + 6):
        tick(made_.world, made_.book, made_.at(index))
        guard(made_.world, made_.book, made_.at(index, 65.0))
    flip(state, "btc", "reduce", "me", "", NOW)
    assert {"books", "ticks", "models", "windows", "paper", "outbox", "switches"} <= state.collections
    assert state.collections <= set(COLLECTIONS)


# -- one moment


class Busy(MemoryState):
    """A book decides its next bar right after each scan of a collection."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = NOW.replace(minute=0, second=0)
        self.decide()

    def decide(self) -> None:
        self.bar += HOUR
        record = {"bar": self.bar, "phase": "done"}
        book = {"state": {"bar": self.bar}, "lease": {"token": 1, "until": None}}
        self.commit([Write("books/btc", book), Write(f"ticks/btc@{self.bar:%Y-%m-%dT%H:%MZ}", record)])

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        yield from super().scan(collection, since, until)
        self.decide()


def test_books_are_kept_with_the_record_of_their_last_bar_though_ticks_go_on() -> None:
    state, store = Busy(), MemoryModels()
    backup(state, store, NOW)
    kept = dict(opened(store, NAME).documents())
    bar = kept["books/btc"]["state"]["bar"]
    assert bar == state.bar
    assert kept[f"ticks/btc@{bar:%Y-%m-%dT%H:%MZ}"] == {"bar": bar, "phase": "done"}


class Finishing(MemoryState):
    """A tick that had decided is done right after the records were scanned."""

    def write(self, phase: str) -> None:
        book = {"state": {"bar": NOW.replace(minute=0, second=0), "phase": phase}}
        self.commit([Write("books/btc", book), Write("ticks/btc@2024-05-01T13:00Z", {"phase": phase})])

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        yield from super().scan(collection, since, until)
        if collection == "ticks":
            self.write("done")


def test_the_last_record_is_kept_as_it_was_when_its_book_was_read() -> None:
    state, store = Finishing(), MemoryModels()
    state.write("decided")
    backup(state, store, NOW)
    kept = dict(opened(store, NAME).documents())
    assert kept["books/btc"]["state"]["phase"] == kept["ticks/btc@2024-05-01T13:00Z"]["phase"] == "done"


class Restless(Busy):
    def read(self, keys: Any) -> Any:
        found = super().read(keys)
        if len(keys) > 1 or "books/btc" in keys:
            self.decide()
        return found


def test_books_that_never_rest_are_not_backed_up() -> None:
    store = MemoryModels()
    with pytest.raises(Unavailable, match="kept deciding"):
        backup(Restless(), store, NOW)
    assert store.names("") == []


# -- damage


@cache
def a_file() -> bytes:
    state, store = MemoryState(), MemoryModels()
    state.commit([Write(f"paper/{n}", {"n": n, "text": f"text {n * 7919}"}) for n in range(12)])
    backup(state, store, NOW)
    return store.get(NAME)


def refused(data: bytes) -> str:
    """What is said of a file of that content, after which nothing has been written."""
    state, store = MemoryState(), MemoryModels()
    state.commit([Write("paper/0", {"n": "before"})])
    store.put(NAME, data)
    with pytest.raises(Damaged) as said:
        restore(state, store, NAME, LATER, replace=True)
    assert everything(state) == {"paper/0": {"n": "before"}}
    assert store.names("") == [NAME]
    assert f"{NAME} is no whole backup (" in str(said.value)
    return str(said.value)


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    for length in range(len(a_file())):
        refused(a_file()[:length])


@given(at=st.integers(0, len(a_file()) * 8 - 1))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_is_refused_or_changes_nothing(at: int) -> None:
    """What gzip's header says of the file's time and maker is no part of the backup."""
    data = bytearray(a_file())
    data[at // 8] ^= 1 << at % 8
    store = MemoryModels()
    store.put("whole", a_file())
    store.put(NAME, bytes(data))
    try:
        found = opened(store, NAME)
    except Damaged:
        return
    assert list(found.documents()) == list(opened(store, "whole").documents())
    assert at // 8 < 10


def lines_of(data: bytes) -> list[bytes]:
    return gzip.decompress(data).splitlines(keepends=True)


def changed(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(lines))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda lines: b"", "another program's|truncated|malformed"),
        (lambda lines: b"backup", "gzip"),
        (lambda lines: gzip.compress(b""), "truncated|malformed"),
        (lambda lines: gzip.compress(b"hello\n"), "malformed"),
        (lambda lines: gzip.compress(b'{"a": 1}\n'), "another program's"),
        (
            lambda lines: changed([lines[0].replace(b":1,", b":2,", 1), *lines[1:]]),
            "its format is 2, and 1 is read here",
        ),
        (lambda lines: changed(lines[:-1]), "its end is missing"),
        (lambda lines: changed([*lines[:3], *lines[4:]]), "its lines are not those"),
        (lambda lines: changed([lines[0], lines[2], lines[1], *lines[3:]]), "its lines are not those"),
        (lambda lines: changed([*lines, lines[1]]), "its lines are not those"),
        (lambda lines: changed([*lines[:2], b'{"key":"a/b"}\n', *lines[2:]]), "data"),
        (lambda lines: changed([*lines[:2], b'{"key":"a/b","data":{"$x":1}}\n', *lines[2:]]), "no kind of value"),
        (lambda lines: changed(lines) + b"more", "gzip"),
    ],
)
def test_what_is_no_whole_backup_is_refused_with_the_reason(spoil: Callable[[list[bytes]], bytes], why: str) -> None:
    assert re.search(why, refused(spoil(lines_of(a_file()))))


def test_a_backup_that_is_not_there_is_missing() -> None:
    with pytest.raises(Missing):
        restore(MemoryState(), MemoryModels(), NAME, LATER)
