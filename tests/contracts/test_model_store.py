"""What every ModelStore promises, asked of each of them: in memory, a folder, and a Cloud Storage emulator."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters.dir_models import DirModels
from core.adapters.gcs_models import GcsModels
from core.ports import Missing, ModelStore, Unavailable
from tests.emulators import free_port, make_bucket
from tests.fakes import MemoryModels


@pytest.fixture(params=["memory", "dir", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    if request.param == "memory":
        return MemoryModels()
    if request.param == "dir":
        return DirModels(tmp_path / "not" / "yet")
    host = request.getfixturevalue("storage_emulator")
    return GcsModels(make_bucket(host, f"test-{uuid.uuid4().hex[:12]}"), host)


@given(data=st.binary(min_size=1, max_size=2_000))
@settings(max_examples=40)
def test_what_is_put_is_got(store: ModelStore, data: bytes) -> None:
    store.put("a/b/c", data)
    assert store.get("a/b/c") == data


def test_a_large_file(store: ModelStore) -> None:
    data = bytes(range(256)) * 20_000
    store.put("model.npz", data)
    assert store.get("model.npz") == data


def test_what_is_put_again_replaces(store: ModelStore) -> None:
    store.put("a", b"long before")
    store.put("a", b"new")
    assert store.get("a") == b"new"
    assert store.names("") == ["a"]


def test_what_is_stored_is_listed_with_its_size_and_time(store: ModelStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    for name, size in (("b/2", 20), ("b/1", 1), ("a", 3)):
        store.put(name, b"x" * size)
    found = store.stored("b/")
    assert [(each.name, each.size) for each in found] == [("b/1", 1), ("b/2", 20)]
    assert all(before < each.at < datetime.now(UTC) + timedelta(seconds=5) for each in found)
    assert store.stored("none/") == []


@pytest.mark.parametrize("name", ["gone", "a/gone", "a", "a/b/gone", "ab"])
def test_what_is_missing(store: ModelStore, name: str) -> None:
    store.put("a/b", b"x")
    with pytest.raises(Missing, match=name):
        store.get(name)
    store.delete(name)
    assert store.names("") == ["a/b"]


def test_names_start_with_the_prefix_and_are_in_order(store: ModelStore) -> None:
    names = ["b", "a/2", "a/10", "a/b/c", "ab", "a-b", "B", "a/é"]
    for name in names:
        store.put(name, b"x")
    assert store.names("") == sorted(names)
    assert store.names("a") == ["a-b", "a/10", "a/2", "a/b/c", "a/é", "ab"]
    assert store.names("a/") == ["a/10", "a/2", "a/b/c", "a/é"]
    assert store.names("a/b") == ["a/b/c"]
    assert store.names("c/") == store.names("a/b/c/d") == []


def test_names_of_an_empty_store(store: ModelStore) -> None:
    assert store.names("") == []


def test_delete(store: ModelStore) -> None:
    store.put("a/b", b"x")
    store.put("a/c", b"x")
    store.delete("a/b")
    store.delete("a/b")
    with pytest.raises(Missing):
        store.get("a/b")
    assert store.names("a/") == ["a/c"]


@pytest.mark.parametrize("name", ["models/btc-1h@2024/part 1+2.npz", "ü?#%&=/ä", "a.b/c..d", "x/acl", "o/b/o"])
def test_names_may_hold_what_names_hold(store: ModelStore, name: str) -> None:
    store.put(name, b"x")
    assert store.get(name) == b"x"
    assert store.names(name[:3]) == [name]
    store.delete(name)
    assert store.names("") == []


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "..", "../a", "a/../../b", "./a", ".a", "a\\b", "a\0b", "é" * 513]
)
def test_a_name_that_leads_elsewhere_is_refused(store: ModelStore, name: str) -> None:
    for call in (store.get, store.delete, lambda name: store.put(name, b"x")):
        with pytest.raises(ValueError, match="name"):
            call(name)
    assert store.names("") == []


@pytest.mark.parametrize("prefix", ["/", "..", "../a", "a/../b"])
def test_a_prefix_that_leads_elsewhere_is_refused(store: ModelStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="name"):
        store.names(prefix)


def test_a_file_is_read_whole_while_it_is_replaced(store: ModelStore) -> None:
    versions = [bytes([number]) * 200_000 for number in range(8)]
    store.put("a", versions[0])
    with ThreadPoolExecutor(3) as pool:
        puts = [pool.submit(store.put, "a", data) for data in versions]
        seen = [store.get("a") for _ in range(20)]
        for done in puts:
            done.result()
    assert set(seen) <= set(versions)
    assert store.get("a") in versions
    assert store.names("") == ["a"]


@pytest.fixture(params=["dir", "gcs", "gcs without bucket"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    if request.param == "dir":
        (tmp_path / "file").write_bytes(b"not a folder")
        return DirModels(tmp_path / "file" / "models")
    if request.param == "gcs":
        return GcsModels("bucket", f"http://127.0.0.1:{free_port()}")
    return GcsModels("no-such-bucket", request.getfixturevalue("storage_emulator"))


def test_a_store_that_is_not_there_is_unavailable(nowhere: ModelStore) -> None:
    with pytest.raises(Unavailable, match="check"):
        nowhere.put("a/b", b"x")
    with pytest.raises((Missing, Unavailable)):
        nowhere.get("a/b")
