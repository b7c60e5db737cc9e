"""The policy scan's exceptions: each says why, and is of a check that exists. `make scan` does the scan itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = ROOT / "infra" / ".checkov.yaml"
ID: Final = re.compile(r"CKV2?_[A-Z]+_\d+")


def inline() -> list[tuple[str, str]]:
    """(check, reason) of every `checkov:skip` in the Terraform files."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "infra").glob("*.tf")))
    return [(line.partition(":")[0], line.partition(":")[2]) for line in re.findall(r"checkov:skip=(.*)", text)]


def listed() -> list[tuple[str, str]]:
    """(check, reason) of the config's `skip-check`: the comment right above it, or above those that it follows."""
    found: list[tuple[str, str]] = []
    reason, fresh = "", False
    for line in CONFIG.read_text().partition("skip-check:")[2].splitlines():
        if comment := re.fullmatch(r"\s*# (.*)", line):
            reason, fresh = (reason + " " if fresh else "") + comment[1], True
        elif item := re.fullmatch(r"\s*- (\S+)", line):
            found, fresh = [*found, (item[1], reason)], False
        elif not line.strip():
            reason, fresh = "", False
    return found


def test_the_list_of_exceptions_is_read() -> None:
    lines = [line for line in CONFIG.read_text().partition("skip-check:")[2].splitlines() if "- CKV" in line]
    assert len(listed()) == len(lines) > 0


def test_every_exception_has_its_reason() -> None:
    assert [check for check, reason in listed() + inline() if len(reason.split()) < 5] == []


def test_every_exception_names_one_check_and_no_check_twice() -> None:
    checks = [check for check, _ in listed()]
    assert [check for check in checks + [check for check, _ in inline()] if not ID.fullmatch(check)] == []
    assert len(checks) == len(set(checks))


def test_every_exception_is_of_a_check_that_the_installed_scan_has() -> None:
    found = sorted((ROOT / ".venv-scan").glob("lib/python*/site-packages/checkov/terraform/checks"))
    if not found:
        pytest.skip("the scan is not installed: `make scan` installs it")
    written = [path for path in found[0].rglob("*") if path.suffix in (".py", ".yaml", ".yml", ".json")]
    text = "\n".join(path.read_text() for path in written)
    assert {check for check, _ in listed() + inline()} - set(ID.findall(text)) == set()
