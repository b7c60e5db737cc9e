"""A folder's own troubles: full disks, permissions, and what a killed process leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.adapters.dir_models import DirModels
from core.ports import Missing, Unavailable

ROOT = Path(__file__).parents[2]
FILL = """
import resource, sys
from core.adapters.dir_models import DirModels
from core.ports import Unavailable
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    DirModels(sys.argv[1]).put("a/b", bytes(20_000))
except Unavailable as error:
    print(error)
"""


def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path: Path) -> None:
    store = DirModels(tmp_path)
    store.put("a/b", b"old")
    command = [sys.executable, "-c", FILL, str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"could not write a/b in the folder {tmp_path}" in said
    assert "check its space" in said
    assert store.get("a/b") == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_what_a_killed_put_has_left_is_no_file(tmp_path: Path) -> None:
    store = DirModels(tmp_path)
    store.put("a/b", b"x")
    (tmp_path / "a" / ".halfwritten").write_bytes(b"y")
    assert store.names("") == ["a/b"]


def test_empty_files_are_files(tmp_path: Path) -> None:
    DirModels(tmp_path).put("a", b"")
    assert DirModels(tmp_path).get("a") == b""


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    store = DirModels(tmp_path)
    store.put("a/b", b"x")
    with pytest.raises(Missing):
        store.get("a")
    with pytest.raises(Unavailable, match="could not write a in"):
        store.put("a", b"y")
    assert store.names("") == ["a/b"]


def test_nothing_is_made_by_reading(tmp_path: Path) -> None:
    store = DirModels(tmp_path / "models")
    assert store.names("a/") == []
    with pytest.raises(Missing):
        store.get("a/b")
    store.delete("a/b")
    assert not (tmp_path / "models").exists()
