"""What the house promises about itself, wherever no other tool holds it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "functions")
HEAVY = ("ccxt", "lightgbm", "pandas", "pyarrow", "requests", "scipy", "sklearn", "talib", "xgboost", "yfinance")
MAKEFILE = (ROOT / "Makefile").read_text()


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def calls(path: Path, called: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == called:
            yield node.lineno


def test_only_the_command_prints() -> None:
    quiet = [path for path in [*sources(*ROOMS), ROOT / "main.py"] if "cli" not in path.parts]
    assert [(name(path), line) for path in quiet for line in calls(path, "print")] == []


def test_no_file_outgrows_its_room() -> None:
    limits = [(path, 350) for path in sources(*ROOMS, "benchmarks")] + [(path, 600) for path in sources("tests")]
    lengths = [(name(path), len(path.read_text().splitlines()), most) for path, most in limits]
    assert [entry for entry in lengths if entry[1] > entry[2]] == []


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each, without what stands inside of it as a function of its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name(path)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_functions_are_short() -> None:
    lengths = dict(entry for path in sources(*ROOMS) for entry in functions(path))
    assert {where: length for where, length in lengths.items() if length > 60} == {}
    assert sorted(lengths.values())[len(lengths) // 2] < 10


def test_no_room_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert [name(path) for path in sources(*ROOMS) if empty & {path.stem, *path.relative_to(ROOT).parts}] == []


def test_fakes_not_mocks() -> None:
    banned = re.compile(r"unittest.mock|MagicMock|\bmonkeypatch\s*:|mocker")
    here = Path(__file__)
    assert [name(path) for path in sources("tests") if path != here and banned.search(path.read_text())] == []


@pytest.mark.parametrize("file", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_every_requirement_is_pinned(file: str) -> None:
    rows = [row.partition(" #")[0].strip() for row in (ROOT / file).read_text().splitlines()]
    asked = [row for row in rows if row and not row.startswith("#")]
    pinned = re.compile(r"(-r requirements[\w-]*\.txt|[A-Za-z0-9._-]+(\[[\w,-]+\])?==[\w.]+( ?;.*)?)")
    assert asked
    assert [row for row in asked if not pinned.fullmatch(row)] == []


def test_nothing_is_required_twice() -> None:
    rows = [row for file in ROOT.glob("requirements*.txt") for row in file.read_text().splitlines() if "==" in row]
    names = [row.partition("==")[0].lower() for row in rows]
    assert sorted(names) == sorted(set(names))


LIGHT = """
import importlib, sys
heavy = set({heavy!r})
for name in {modules!r}:
    importlib.import_module(name)
    if heavy & sys.modules.keys():
        sys.exit(f"{{name}} imports {{', '.join(sorted(heavy & sys.modules.keys()))}}")
"""


@pytest.mark.parametrize("room", [*ROOMS, "main"])
def test_nothing_imports_a_heavy_library_before_it_is_needed(room: str) -> None:
    modules = [module(path) for path in sources(room)] or [room]
    code = LIGHT.format(heavy=HEAVY, modules=modules)
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


MAIN = """
import sys, main
before = [name for name in sys.modules if name.split(".")[0] in ("core", "functions")]
assert not before, before
for name in main.FUNCTIONS:
    assert callable(getattr(main, name)), name
    others = [other for other in main.FUNCTIONS if other != name and f"functions.{other}" in sys.modules]
    assert not others, (name, others)
    for module in [module for module in sys.modules if module.split(".")[0] == "functions"]:
        del sys.modules[module]
assert not hasattr(main, "nonsense")
print(*sorted(main.FUNCTIONS))
"""


def test_main_hands_out_each_function_alone_and_only_when_asked() -> None:
    run = subprocess.run([sys.executable, "-c", MAIN], cwd=ROOT, capture_output=True, text=True, check=False)
    files = sorted(path.stem for path in (ROOT / "functions").glob("*.py") if path.stem not in ("__init__", "http"))
    assert (run.stderr, run.stdout.split()) == ("", files)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize(
    "page", sorted(name(path) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"])
)
def test_every_make_command_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"\bmake ([a-z][a-z-]*)\b(?=[`\s]*(?:$|[A-Z`]|  ))", (ROOT / page).read_text(), re.MULTILINE)
    assert set(named) - targets() == set()


def test_make_has_what_the_house_promises() -> None:
    assert {"demo", "test", "check", "bench", "clean"} <= targets()


def test_ci_runs_what_you_run() -> None:
    script = ROOT / ".ci" / "run"
    commands = [row for row in script.read_text().splitlines() if row and not row.startswith("#")]
    assert commands[-1] == "exec make check"
    assert script.stat().st_mode & 0o111


def test_the_cloud_gets_the_code_and_its_settings_and_no_tests() -> None:
    rules = (ROOT / ".gcloudignore").read_text().splitlines()
    assert {"tests/", "docs/", "infra/", "benchmarks/", "requirements-dev.txt"} <= set(rules)
    kept = {"core/", "functions/", "config/", "main.py", "requirements.txt", "requirements-train.txt"}
    ignored = {*rules, *(ROOT / ".gitignore").read_text().splitlines()}
    assert not {f"{slash}{path}" for path in kept for slash in ("", "/")} & ignored
