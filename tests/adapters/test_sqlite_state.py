"""SQLite's own troubles: disks, permissions, files that are something else, processes that die while they write."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.adapters.sqlite_state import APPLICATION, TABLE, SqliteState
from core.ports import Conflict, StateStore, Unavailable, Write

ROOT = Path(__file__).parents[2]
HEAD = """
import os, resource, sys
from core.adapters.sqlite_state import SqliteState
from core.ports import Conflict, Unavailable, Write
store = SqliteState(sys.argv[1])
"""


def start(code: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + code, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(code: str, path: Path) -> str:
    process = start(code, path)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def put(store: StateStore, **documents: dict[str, int] | None) -> None:
    store.commit([Write(f"c/{name}", data) for name, data in documents.items()])


FILL = """
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
store.commit([Write("c/small", {"n": 1})])
try:
    store.commit([Write("c/small", {"n": 2}), Write("c/a", {"b": bytes(250_000)}), Write("c/b", {"b": bytes(250_000)})])
except Unavailable as error:
    print(error)
print(store.read(["c/small"])["c/small"].data)
store.commit([Write("c/after", {"n": 3})])
"""


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    said = run(FILL, tmp_path / "state.db")
    assert "state.db could not be used" in said
    assert "the disk is full" in said
    assert "{'n': 1}" in said
    assert dict(SqliteState(tmp_path / "state.db").scan("c")) == {"after": {"n": 3}, "small": {"n": 1}}


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that another user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


AS_NOBODY = """
if os.geteuid() == 0:
    os.setuid(65534)
try:
    store.commit([Write("c/x", {"n": 1})])
except Unavailable as error:
    print(error)
"""


def test_a_folder_that_may_not_be_written(public: Path) -> None:
    public.chmod(0o555)
    assert "check that its folder exists and may be written" in run(AS_NOBODY, public / "state.db")
    assert list(public.iterdir()) == []
    public.chmod(0o755)


def test_a_file_that_may_not_be_written(public: Path) -> None:
    store = SqliteState(public / "state.db")
    put(store, x={"n": 0})
    (public / "state.db").chmod(0o444)
    public.chmod(0o555)
    assert "may not be written" in run(AS_NOBODY, public / "state.db")
    public.chmod(0o755)
    assert store.read(["c/x"])["c/x"].data == {"n": 0}


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing/state.db could not be used.*check that its folder exists"):
        SqliteState(tmp_path / "missing" / "state.db").read(["c/x"])
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("content", [b"mode = run\n" * 500, bytes(5000)])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(Unavailable, match="not a SQLite database"):
        put(SqliteState(tmp_path / "notes.txt"), x={"n": 1})
    assert (tmp_path / "notes.txt").read_bytes() == content


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE documents (title TEXT)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(Unavailable, match="belongs to another program"):
        put(SqliteState(tmp_path / "other.db"), x={"n": 1})
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_damaged_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    run('store.commit([Write(f"c/{n}", {"b": bytes(3000)}) for n in range(50)])', path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="damaged"):
        list(SqliteState(path).scan("c"))


def test_a_document_that_is_no_document_is_unavailable(tmp_path: Path) -> None:
    store = SqliteState(tmp_path / "state.db")
    put(store, x={"n": 1})
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as other, other:
        other.execute("UPDATE documents SET data = ?", (b"\x93\x01",))
    with pytest.raises(Unavailable, match=r"c/x.*damaged"):
        store.read(["c/x"])


def test_the_next_call_works_once_the_trouble_is_over(tmp_path: Path) -> None:
    store = SqliteState(tmp_path / "folder" / "state.db")
    with pytest.raises(Unavailable):
        put(store, x={"n": 1})
    (tmp_path / "folder").mkdir()
    put(store, x={"n": 1})
    assert store.read(["c/x"])["c/x"].data == {"n": 1}


def test_a_file_that_was_moved_away_is_not_written_any_more(tmp_path: Path) -> None:
    store = SqliteState(tmp_path / "state.db")
    put(store, x={"n": 1})
    for file in tmp_path.glob("state.db*"):
        file.rename(tmp_path / file.name.replace("state", "old"))
    put(store, y={"n": 2})
    assert dict(SqliteState(tmp_path / "state.db").scan("c")) == {"y": {"n": 2}}
    assert dict(SqliteState(tmp_path / "old.db").scan("c")) == {"x": {"n": 1}}


def test_a_lock_that_is_kept_is_unavailable(tmp_path: Path) -> None:
    store = SqliteState(tmp_path / "state.db", patience=0.05)
    put(store, x={"n": 1})
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process kept it locked"):
            put(store, x={"n": 2})
        assert store.read(["c/x"])["c/x"].data == {"n": 1}


COUNT = """
n = store.read(["c/a"])["c/a"].data
n = n["n"] if n else 0
print("ready", flush=True)
while True:
    n += 1
    store.commit([Write("c/a", {"n": n}), Write("c/b", {"n": n, "bulk": bytes(100_000)})])
"""


def test_a_process_killed_while_it_writes_leaves_all_or_nothing(tmp_path: Path) -> None:
    seen = 0
    for turn in range(4):
        process = start(COUNT, tmp_path / "state.db")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.017 * turn)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        store = SqliteState(tmp_path / "state.db", patience=0.0)
        read = store.read(["c/a", "c/b"])
        a, b = read["c/a"].data, read["c/b"].data
        assert a is not None
        assert b is not None
        assert a["n"] == b["n"] >= seen
        seen = a["n"]
        put(store, c={"n": turn})
    assert seen > 0


INCREMENT = """
done = 0
while done < 10:
    seen = store.read(["c/n"])["c/n"]
    try:
        store.commit([Write("c/n", {"n": (seen.data or {"n": 0})["n"] + 1}, seen.version)])
        done += 1
    except Conflict:
        pass
"""


def test_processes_may_share_a_file_that_none_has_made_yet(tmp_path: Path) -> None:
    processes = [start(INCREMENT, tmp_path / "state.db") for _ in range(4)]
    for process in processes:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert SqliteState(tmp_path / "state.db").read(["c/n"])["c/n"].data == {"n": 40}


def test_a_conflict_does_not_keep_the_lock(tmp_path: Path) -> None:
    first, second = SqliteState(tmp_path / "state.db"), SqliteState(tmp_path / "state.db", patience=0.0)
    put(first, x={"n": 1})
    with pytest.raises(Conflict):
        first.commit([Write("c/x", {"n": 2}, None)])
    put(second, x={"n": 3})
    assert first.read(["c/x"])["c/x"].data == {"n": 3}


def test_a_new_file_that_another_is_still_opening_is_waited_for(tmp_path: Path) -> None:
    """On the way to WAL, SQLite says 'locked' at once, whatever its time-out."""
    path = tmp_path / "state.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute(TABLE)
        other.execute(f"PRAGMA application_id = {APPLICATION}")
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.3, other.execute, ["COMMIT"])
        done.start()
        assert SqliteState(path).read(["c/x"])["c/x"].data is None
        done.join()
