"""The table of mutants moves with the code, and the runner tells a mutant that is noticed from one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.mutant import SETTLE, Mutant
from tests.mutants.runner import ROOT, Limits, Moved, broken, play, seen
from tests.mutants.table import MUTANTS
from tests.mutants.unseen import UNSEEN

ALL = (*MUTANTS, *UNSEEN)
FEW = Limits(histories=25, seconds=120)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_each_mutant_changes_one_place_of_the_code_and_still_compiles(mutant: Mutant) -> None:
    before = (ROOT / mutant.file).read_text()
    after = broken(before, mutant)
    assert after != before
    compile(after, mutant.file, "exec")


def test_there_are_enough_of_them_and_each_has_a_name_and_a_bug_of_its_own() -> None:
    assert len(MUTANTS) >= 24
    for texts in ([mutant.name for mutant in ALL], [mutant.bug for mutant in ALL]):
        assert len(set(texts)) == len(texts)
    assert all(mutant.bug.endswith(".") for mutant in ALL)
    changes = [(mutant.file, mutant.old, mutant.new) for mutant in ALL]
    assert len(set(changes)) == len(changes)


def test_a_text_that_is_not_there_once_is_said_so_loudly() -> None:
    for old in ("no such text", "return "):
        with pytest.raises(Moved, match="not once"):
            broken((ROOT / SETTLE).read_text(), Mutant("moved", "", SETTLE, old, ""))


@pytest.mark.parametrize("name", ["fills counted twice", "no write-ahead"])
def test_a_mutant_is_caught_end_to_end(name: str) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    found = seen(mutant, 0, FEW)
    assert found.caught
    assert found.wrong[0][1] in found.verdict


def test_a_change_that_does_nothing_is_not_caught() -> None:
    found = seen(Mutant("nothing", "", SETTLE, "LOOKS = 6", "LOOKS = 5 + 1"), 0, Limits(histories=3, seconds=120))
    assert (found.caught, found.histories) == (False, 3)
    assert found.verdict.startswith("NOT CAUGHT")


def test_a_change_that_raises_proves_nothing() -> None:
    found = seen(Mutant("loud", "", SETTLE, "LOOKS = 6", 'LOOKS = "six"'), 0, FEW)
    assert found.wrong
    assert not found.caught
    assert "not silent" in found.verdict


def test_histories_are_played_of_the_copy_and_of_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"not that of this folder|No module named"):
        play(tmp_path, {})
