"""The operator's switch by command: the documents that are flipped by hand, and what a tick makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.adapters.sqlite_state import SqliteState
from core.domain.switch import MODES, Mode, mode_of, severest
from core.flows.claim import switch_keys
from core.flows.switches import flip
from core.ports import StateStore, Unavailable
from tests.fakes import MemoryState

NOW = datetime(2024, 5, 1, 13, 0, 5, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    return MemoryState() if request.param == "memory" else SqliteState(tmp_path / "state.db")


def effective(store: StateStore, book: str) -> Mode:
    found = store.read(list(switch_keys(book)))
    return severest(tuple(mode_of(versioned.data) for versioned in found.values()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scope", ["global", "btc"])
def test_a_flip_writes_mode_reason_by_and_at(store: StateStore, scope: str, mode: Mode) -> None:
    answer = flip(store, scope, mode, "ada", "looks wrong", NOW)
    key = f"switches/{scope}"
    document = store.read([key])[key].data
    assert document == {"mode": mode, "reason": "looks wrong", "by": "ada", "at": NOW}
    assert answer == {"switch": scope, **document}


def test_the_newest_flip_stands(store: StateStore) -> None:
    for mode in (*MODES, *reversed(MODES)):
        flip(store, "btc", mode, "ada", "", NOW)
        assert effective(store, "btc") == mode


def test_the_global_switch_is_every_books_and_a_books_own_is_its_own(store: StateStore) -> None:
    flip(store, "btc", "reduce", "ada", "", NOW)
    assert [effective(store, book) for book in ("btc", "eth")] == ["reduce", "run"]
    flip(store, "global", "halt", "ada", "", NOW)
    assert [effective(store, book) for book in ("btc", "eth")] == ["halt", "halt"]
    flip(store, "global", "run", "ada", "", NOW)
    assert [effective(store, book) for book in ("btc", "eth")] == ["reduce", "run"]


def test_a_switch_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    """Never a quiet 'done' for a halt that is not in force."""
    with pytest.raises(Unavailable):
        flip(SqliteState(tmp_path / "nowhere" / "state.db"), "global", "halt", "ada", "", NOW)
