"""hourhand cleanup: what would go, what went, in lines that a person reads and in one object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.adapters.dir_models import DirModels
from core.flows.archive import records
from core.flows.sweep import DESK
from core.ports import Write
from tests.cli.command import Environ, closed, hourhand, of_files, state, with_model
from tests.flows.yards import DAY, hour, stands, state_of, ticked

NOW = datetime.now(UTC)


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    """Thirty old records and a new one."""
    made, at = of_files(tmp_path), hour(NOW)
    old = [ticked("btc", at - 100 * DAY - timedelta(hours=number)) for number in range(30)]
    state(made).commit([stands("btc", state_of(at)), ticked("btc", at), *old])
    return made


def hot(environ: Environ) -> int:
    return len(list(state(environ).scan("ticks")))


def cold(environ: Environ) -> int:
    return len(list(records(DirModels(environ["HOURHAND__MODELS__PATH"]), "btc")))


def test_a_dry_run_prints_what_would_go_one_by_one_and_by_kind_and_changes_nothing(environ: Environ) -> None:
    ran = hourhand(environ, "cleanup", "--dry-run")
    lines = ran.out.splitlines()
    assert (ran.code, hot(environ), cold(environ)) == (0, 31, 0)
    assert not Path(environ["HOURHAND__MODELS__PATH"]).exists()
    assert sum("ticks/btc@" in line and "older than 90 days; archived" in line for line in lines) >= 1
    assert any(line.split()[0] == "record" and line.endswith(" 30") for line in lines)
    assert lines[-1].startswith("done, level safe: 30 things, ") and lines[-1].endswith(" would be removed")


def test_it_archives_and_removes_and_the_second_time_there_is_nothing_to_do(environ: Environ) -> None:
    first = hourhand(environ, "cleanup", "--json").document
    assert (first["outcome"], first["removed"]["record"]["count"], first["complete"]) == ("done", 30, True)
    assert (hot(environ), cold(environ)) == (1, 30)
    assert (Path(environ["HOURHAND__MODELS__PATH"]) / first["backup"]).is_file()
    assert "record" not in hourhand(environ, "cleanup", "--json").document["removed"]


def test_a_decision_is_explained_from_the_archive_as_it_was_before(tmp_path: Path) -> None:
    environ = with_model(of_files(tmp_path))
    at = closed(1000).isoformat()
    assert hourhand(environ, "tick", "--at", at).code == 0
    before = hourhand(environ, "explain", "--at", at)
    state(environ).commit([stands("btc", state_of(hour(NOW)))])
    assert hourhand(environ, "cleanup", "--json").document["removed"]["record"]["count"] == 1
    after = hourhand(environ, "explain", "--at", at)
    assert (hot(environ), cold(environ), before.code, "BTC/USDT" in before.out) == (0, 1, 0, True)
    assert (after.code, after.out) == (0, before.out)
    assert hourhand(environ, "explain", "--at", closed(1001).isoformat()).code == 1


def test_the_level_is_that_of_the_settings_unless_it_is_given(environ: Environ) -> None:
    assert hourhand(environ, "cleanup", "--dry-run", "--level", "moderate", "--json").document["level"] == "moderate"
    environ["HOURHAND__CLEANUP__LEVEL"] = "moderate"
    assert hourhand(environ, "cleanup", "--dry-run", "--json").document["level"] == "moderate"
    assert hourhand(environ, "cleanup", "--level", "reckless").code == 2


def test_while_another_is_at_it_the_command_fails_and_says_why(environ: Environ) -> None:
    state(environ).commit([Write(DESK, {"owner": "x", "until": datetime.now(UTC) + timedelta(minutes=4)})])
    ran = hourhand(environ, "cleanup")
    assert (ran.code, "another cleanup is at it" in ran.out) == (1, True)
