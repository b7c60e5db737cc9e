"""The archive of records: what is in it is what was, and nothing leaves the store before it is there."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cli.operate import again
from core.domain.decide import Decision
from core.flows.archive import CHUNK, PART, move, record, records
from core.flows.claim import tick_key
from core.flows.tick import tick
from core.ports import Document, StateStore, Unavailable, Write
from tests.contracts.test_state_store import DICTS
from tests.fakes import MemoryModels, MemoryState
from tests.flows.yards import HOUR, archived, documents, files, sealed, ticked
from tests.road import road, small_book

FIRST = datetime.fromisoformat("2026-05-30T00:00:00Z")
DAYS = 4  # over the end of a month


def old(state: StateStore, count: int = 24 * DAYS, book: str = "btc", **more: Any) -> dict[str, bytes]:
    writes = [ticked(book, FIRST + number * HOUR, number=number, **more) for number in range(count)]
    for start in range(0, count, 400):
        state.commit(writes[start : start + 400])
    return documents(state)


def until(count: int) -> datetime:
    return FIRST + count * HOUR


def test_each_month_has_a_file_and_what_comes_back_is_what_was() -> None:
    state, archive = MemoryState(), MemoryModels()
    before = old(state)
    moved = list(move(state, archive, "btc", until(90)))
    assert [(each.number, each.first, each.last) for each in moved] == [
        (48, "ticks/btc@2026-05-30T00:00Z", "ticks/btc@2026-05-31T23:00Z"),
        (42, "ticks/btc@2026-06-01T00:00Z", "ticks/btc@2026-06-02T17:00Z"),
    ]
    assert [name.rpartition("_")[0] for name in archive.names("")] == [
        "records/btc/2026-05/2026-05-30T0000Z", "records/btc/2026-06/2026-06-01T0000Z",
    ]  # fmt: skip
    assert archived(archive, "btc") | documents(state) == before
    assert len(documents(state)) == 6
    assert sum(each.size for each in moved) == sum(len(data) for data in archived(archive, "btc").values())


def test_a_file_is_lines_of_json_that_any_tool_reads() -> None:
    state, archive = MemoryState(), MemoryModels()
    old(state, 3)
    list(move(state, archive, "btc", until(2)))
    (name,) = archive.names("records/")
    lines = [json.loads(line) for line in gzip.decompress(archive.get(name)).splitlines()]
    assert [line["key"] for line in lines] == ["ticks/btc@2026-05-30T00:00Z", "ticks/btc@2026-05-30T01:00Z"]
    assert lines[1]["data"]["number"] == 1


def test_another_books_records_and_what_is_no_bars_are_left_alone() -> None:
    state, archive = MemoryState(), MemoryModels()
    old(state, 5, "btc-eth")
    state.commit([Write("ticks/btc@0000-garbage", {"a": 1}), Write("ticks/btc@2026-05-30T00:00Z-copy", {"a": 1})])
    before = documents(state)
    assert list(move(state, archive, "btc", until(90))) == []
    assert documents(state) == before


def test_one_record_is_found_again_by_its_bar() -> None:
    state, archive = MemoryState(), MemoryModels()
    before = old(state)
    list(move(state, archive, "btc", until(90)))
    bar = FIRST + 50 * HOUR
    found = record(archive, "btc", bar)
    assert found is not None and sealed(found) == before[tick_key("btc", bar)]
    assert record(archive, "btc", bar + 999 * HOUR) is None
    assert record(archive, "eth", bar) is None


def test_a_dry_run_tells_the_same_and_moves_nothing() -> None:
    state, archive = MemoryState(), MemoryModels()
    before = old(state)
    would = list(move(state, archive, "btc", until(90), dry_run=True))
    assert (documents(state), archive.names("")) == (before, [])
    assert would == list(move(state, archive, "btc", until(90)))


def test_many_records_go_in_parts_of_a_size_that_a_commit_and_the_memory_take() -> None:
    class Counted(MemoryState):
        most = 0

        def commit(self, writes: Any, watch: Any = None) -> Any:
            self.most = max(self.most, len(writes))
            return super().commit(writes, watch)

    state, archive = Counted(), MemoryModels()
    count, first = 2 * PART + 50, datetime.fromisoformat("2026-05-01T00:00:00Z")
    minutes = [ticked("btc", first + timedelta(minutes=number)) for number in range(count)]
    for start in range(0, count, 400):
        state.commit(minutes[start : start + 400])
    state.most, before = 0, documents(state)
    assert [each.number for each in move(state, archive, "btc", until(90))] == [PART, PART, 50]
    assert (len(archive.names("")), state.most, CHUNK <= 400) == (3, CHUNK, True)
    assert archived(archive, "btc") == before


# --- nothing is lost ------------------------------------------------------------------------------------------------


def test_what_is_archived_already_is_not_archived_again() -> None:
    """As after a run that died between the archive and the deletion."""
    state, archive = MemoryState(), MemoryModels()
    old(state)
    list(move(state, archive, "btc", until(90)))
    before = files(archive)
    old(state)
    assert sum(each.number for each in move(state, archive, "btc", until(90))) == 90
    assert files(archive) == before
    assert len(documents(state)) == 6


def test_what_is_new_in_a_month_is_put_beside_and_never_over_what_is_there() -> None:
    state, archive = MemoryState(), MemoryModels()
    before = old(state)
    for count in (10, 30, 47):
        kept = files(archive)
        list(move(state, archive, "btc", until(count)))
        assert files(archive).items() > kept.items()
    assert archived(archive, "btc") | documents(state) == before
    assert len(archive.names("records/btc/2026-05/")) == 3


def test_a_record_that_is_another_than_the_archived_one_is_archived_as_well() -> None:
    state, archive = MemoryState(), MemoryModels()
    old(state, 2)
    list(move(state, archive, "btc", until(2)))
    after = old(state, 2, changed=1)
    list(move(state, archive, "btc", until(2)))
    assert (len(archive.names("")), documents(state)) == (2, {})
    contents = [sealed(data) for name in archive.names("") for _, data in rows(archive.get(name))]
    assert len(contents) == 4 and set(after.values()) < set(contents)


def rows(data: bytes) -> list[tuple[str, Document]]:
    single = MemoryModels()
    single.put("records/x/2026-05/a_0123456789abcdef.jsonl.gz", data)
    return list(records(single, "x"))


class Forgetful(MemoryModels):
    """Keeps something else than it was given."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self.kept = kept

    def put(self, name: str, data: bytes) -> None:
        super().put(name, self.kept(data))


@pytest.mark.parametrize(
    "kept",
    [
        lambda data: b"",
        lambda data: data[:-9],
        lambda data: gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1])),
        lambda data: gzip.compress(gzip.decompress(data).replace(b'"number":1', b'"number":2')),
        lambda data: gzip.compress(gzip.decompress(data).replace(b"@", b"#")),
        lambda data: gzip.compress(b"[1]\n"),
        lambda data: gzip.compress(b"\xff\n"),
    ],
)
def test_nothing_leaves_the_store_when_the_archive_holds_something_else(kept: Any) -> None:
    state = MemoryState()
    before = old(state)
    with pytest.raises(Unavailable):
        list(move(state, Forgetful(kept), "btc", until(90)))
    assert documents(state) == before


def test_a_record_that_changes_while_it_is_archived_stays() -> None:
    state, archive = MemoryState(), MemoryModels()
    old(state, 3)
    bar = tick_key("btc", FIRST)
    beats = iter([None, lambda: state.commit([Write(bar, {"mended": "by hand"})])])

    def beat() -> None:
        change = next(beats, None)
        if change:
            change()

    list(move(state, archive, "btc", until(90), beat))
    assert documents(state) == {bar: sealed({"mended": "by hand"})}


def test_a_record_that_changes_between_the_last_look_and_the_deletion_stays_and_the_others_go() -> None:
    bar = tick_key("btc", FIRST)

    class Mended(MemoryState):
        looks = 0

        def read(self, keys: Any) -> Any:
            found = super().read(keys)
            self.looks += 1
            if self.looks == 1:
                self.commit([Write(bar, {"mended": "by hand"})])
            return found

    state, archive = Mended(), MemoryModels()
    old(state, 3)
    list(move(state, archive, "btc", until(90)))
    assert documents(state) == {bar: sealed({"mended": "by hand"})}
    assert len(archived(archive, "btc")) == 3


def test_a_damaged_file_of_the_month_is_told_of_and_stays_and_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    state, archive = MemoryState(), MemoryModels()
    before = old(state)
    list(move(state, archive, "btc", until(10)))
    (name,) = archive.names("")
    archive.put(name, b"damaged")
    list(move(state, archive, "btc", until(90)))
    assert (archive.get(name), name in caplog.text) == (b"damaged", True)
    with pytest.raises(Unavailable, match=name):
        archived(archive, "btc")
    archive.delete(name)
    rest = archived(archive, "btc") | documents(state)
    assert rest.items() <= before.items() and len(rest) == len(before) - 10


@settings(max_examples=40)
@given(st.lists(DICTS, min_size=1, max_size=5))
def test_whatever_a_store_holds_comes_back_from_the_archive_as_it_was(contents: list[Document]) -> None:
    state, archive = MemoryState(), MemoryModels()
    state.commit([Write(tick_key("btc", FIRST + n * HOUR), content) for n, content in enumerate(contents)])
    before = documents(state)
    list(move(state, archive, "btc", until(90)))
    assert (archived(archive, "btc"), documents(state)) == (before, {})


# --- real records ---------------------------------------------------------------------------------------------------


@cache
def walked() -> list[tuple[str, Document]]:
    """The records of real ticks."""
    made = road(small_book(threshold=0.0, threshold_max=0.0))
    for index in range(made.first, made.first + 10):
        tick(made.world, made.book, made.at(index))
    return list(made.world.state.scan("ticks"))


def test_decisions_from_the_archive_are_made_again_the_same_and_so_are_those_that_remain() -> None:
    state, archive = MemoryState(), MemoryModels()
    state.commit([Write(f"ticks/{name}", data) for name, data in walked()])
    middle = walked()[6][1]["bar"]
    moved = sum(each.number for each in move(state, archive, "btc", middle))
    there, here = [data for _, data in records(archive, "btc")], [data for _, data in state.scan("ticks")]
    assert (moved, len(there), len(here)) == (6, 6, 4)
    for found in (*there, *here):
        assert again(found) == msgspec.convert(found["decision"], Decision)
    assert [sealed(data) for data in (*there, *here)] == [sealed(data) for _, data in walked()]
