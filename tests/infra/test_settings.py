"""infra/ and config/default.toml say the same where both must."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from core.adapters import gcp_platform
from core.cli import serve
from core.settings.sections import Cleanup, Settings, Tick
from main import FUNCTIONS

ROOT: Final = Path(__file__).parents[2]
INFRA: Final = ROOT / "infra"


def default(variable: str) -> str:
    """What variables.tf gives a variable that nobody sets, as it is written there."""
    text = (INFRA / "variables.tf").read_text()
    found = re.search(rf'^variable "{variable}" {{\n(.*?)^}}', text, re.DOTALL | re.MULTILINE)
    assert found, variable
    return found[1].partition("  default")[2]


def test_what_the_platform_expires_is_what_the_settings_keep() -> None:
    said = {name: int(days) for name, days in re.findall(r"(\w+)\s*= (\d+)", default("retention"))}
    assert said == {name: getattr(Cleanup(), name) for name in said}
    assert {"system_log_days", "debug_log_days", "audit_log_days", "backup_days", "images"} <= set(said)


def test_a_lease_lasts_as_long_here_as_there() -> None:
    assert re.findall(r"\d+", default("lease_s"))[0] == str(Tick().lease_s)


def test_every_function_is_deployed_and_no_other() -> None:
    text = (INFRA / "functions.tf").read_text()
    table = text[text.index("  functions = {") : text.index("\n  }\n", text.index("  functions = {"))]
    assert tuple(re.findall(r"^    (\w+) = {", table, re.MULTILINE)) == FUNCTIONS
    assert gcp_platform.FUNCTIONS == serve.FUNCTIONS == FUNCTIONS


def test_every_setting_that_a_function_is_given_exists() -> None:
    given = re.findall(r"^\s+HOURHAND__([A-Z0-9]+)__([A-Z0-9_]+)\s", (INFRA / "functions.tf").read_text(), re.MULTILINE)
    settings = Settings()
    missing = [pair for pair in given if not hasattr(getattr(settings, pair[0].lower(), None), pair[1].lower())]
    assert (missing, len(given) > 10) == ([], True)
