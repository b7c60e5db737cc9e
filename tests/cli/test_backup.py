"""hourhand backup and restore: on a laptop's own files, from the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from core.adapters.dir_models import DirModels
from core.cli.parser import parser
from core.flows.claim import book_key
from tests.cli.command import ROOT, Environ, closed, hourhand, of_files, state, with_model
from tests.flows.test_backup import everything, exact

AT = closed(1600).isoformat()
NEXT = closed(1601).isoformat()


@pytest.fixture
def world(tmp_path: Path) -> Environ:
    """A book that has ticked once, and a backup of it."""
    environ = with_model(of_files(tmp_path))
    assert hourhand(environ, "tick", "--at", AT).code == 0
    return environ


def test_a_backup_is_written_listed_and_put_back_where_nothing_was(world: Environ, tmp_path: Path) -> None:
    ran = hourhand(world, "backup", "--json")
    name = ran.document["name"]
    assert (ran.code, ran.document["outcome"]) == (0, "done")
    assert ran.document["collections"]["ticks"] == ran.document["collections"]["books"] == 1
    assert hourhand(world, "restore", "--list").out.startswith(f"{name}  ")
    assert [each["name"] for each in hourhand(world, "restore", "--list", "--json").document["backups"]] == [name]

    new = {**world, "HOURHAND__STATE__PATH": str(tmp_path / "new.db")}
    ran = hourhand(new, "restore")
    assert ran.code == 0
    assert f"of {name} are back" in ran.out and "Everything is halted" in ran.out
    before, after = everything(state(world)), everything(state(new))
    assert after.pop("switches/global")["reason"] == f"restored from {name}: compare with the venue, then resume"
    outside = {key for key in before if key.startswith(("outbox/", "desk/"))}
    assert exact(after) == exact({key: before[key] for key in before.keys() - outside})
    assert hourhand(new, "tick", "--at", NEXT, "--json").document["outcome"] == "halted"
    assert hourhand(new, "resume").code == 0


def test_a_book_that_has_gone_on_is_replaced_only_when_that_is_said(world: Environ) -> None:
    name = hourhand(world, "backup", "--json").document["name"]
    assert hourhand(world, "tick", "--at", NEXT).code == 0
    book = everything(state(world))[book_key("btc")]
    ran = hourhand(world, "restore")
    assert ran.code == 1 and "book btc stands at" in ran.err and "--replace" in ran.err
    ran = hourhand(world, "restore", "--dry-run")
    assert ran.code == 0 and f"{name} is whole" in ran.out and "it takes --replace" in ran.out
    assert everything(state(world))[book_key("btc")] == book
    ran = hourhand(world, "restore", "--replace")
    assert ran.code == 0 and "is kept in replaced/" in ran.out
    assert everything(state(world))[book_key("btc")] != book


def test_the_newest_of_a_time_is_taken_or_it_is_said_that_there_is_none(world: Environ) -> None:
    store = DirModels(world["HOURHAND__MODELS__PATH"])
    name = hourhand(world, "backup", "--json").document["name"]
    old = "backups/2024-01-31T000000Z.jsonl.gz"
    store.put(old, store.get(name))
    dry = ("restore", "--dry-run", "--json")
    assert hourhand(world, *dry).document["name"] == name
    assert hourhand(world, *dry, "--at", "2024-02-01").document["name"] == old
    assert hourhand(world, *dry, "--from", old).document["name"] == old
    ran = hourhand(world, *dry, "--at", "2024-01-30")
    assert ran.code == 1 and "there is no backup of 2024-01-30 00:00:00 UTC or before" in ran.err


def test_without_a_backup_there_is_nothing_to_restore(world: Environ) -> None:
    assert "there is no backup yet" in hourhand(world, "restore", "--list").out
    ran = hourhand(world, "restore")
    assert ran.code == 1 and "there is no backup: `hourhand restore --list`" in ran.err
    ran = hourhand(world, "restore", "--from", "backups/x")
    assert ran.code == 1 and "there is no file backups/x" in ran.err


@pytest.mark.parametrize("option", ["--list", "--at=2024-01-01"])
def test_ways_to_choose_do_not_go_together(world: Environ, option: str) -> None:
    ran = hourhand(world, "restore", "--from", "backups/x", option)
    assert ran.code == 2 and "not allowed with argument" in ran.err


def test_a_damaged_backup_is_refused_and_nothing_is_halted(world: Environ) -> None:
    store = DirModels(world["HOURHAND__MODELS__PATH"])
    name = hourhand(world, "backup", "--json").document["name"]
    store.put(name, store.get(name)[:-20])
    ran = hourhand(world, "restore", "--replace")
    assert ran.code == 1 and f"{name} is no whole backup (" in ran.err
    assert "switches/global" not in everything(state(world))


def test_every_command_in_the_document_is_understood() -> None:
    text = (ROOT / "docs/restore.md").read_text()
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    typed = re.findall(r"^(?:HOURHAND\S+ )*hourhand (.*)$", blocks, re.MULTILINE)
    assert len(typed) > 12
    for line in typed:
        parser().parse_args(shlex.split(line))
