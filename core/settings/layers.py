"""Where settings come from: files and environment, laid over one another, with the origin of every value kept."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "HOURHAND__"
ROOT: Final = Path(__file__).parents[2]
DEFAULT: Final = ROOT / "config" / "default.toml"

Keys = tuple[str | int, ...]
Table = dict[str, Any]


class SettingsError(ValueError):
    """Settings that cannot be used. `problems`: one sentence each, with key, origin, and what is allowed."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Origin:
    """`where` a value was given; `text`: as it stood in the environment, where quotes may be left out."""

    where: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers as one table, the later over the earlier: tables are joined, anything else is replaced."""

    values: Table = field(default_factory=dict)
    origins: dict[Keys, Origin] = field(default_factory=dict)

    def lay(self, table: Mapping[str, Any], where: str) -> None:
        self._lay(self.values, table, (), Origin(where))

    def put(self, keys: tuple[str, ...], value: Any, origin: Origin) -> None:
        """One value; the tables around it are made where they are missing."""
        for key in reversed(keys[1:]):
            value = {key: value}
        self._lay(self.values, {keys[0]: value}, (), origin)

    def _lay(self, under: Table, over: Mapping[str, Any], path: Keys, origin: Origin) -> None:
        for key, value in over.items():
            here = (*path, key)
            self.origins[here] = origin
            if isinstance(value, dict):
                if not isinstance(under.get(key), dict):
                    under[key] = {}
                self._lay(under[key], value, here, origin)
            else:
                under[key] = value

    def origin(self, path: Keys) -> Origin:
        """Of the value at `path`, or of what it is a part of."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, Origin("settings"))


def gathered(path: Path | None, environ: Mapping[str, str]) -> Layers:
    """default.toml, then the cloud's project, then the chosen file, then the environment. Raises SettingsError."""
    layers = Layers()
    layers.lay(_read(DEFAULT, "it belongs beside the code: the installation is incomplete"), str(DEFAULT))
    project = environ.get("GOOGLE_CLOUD_PROJECT", "")
    if project:
        both = {"state": {"project": project}, "log": {"project": project}}
        layers.lay(both, "environment variable GOOGLE_CLOUD_PROJECT")
    file, advice = _chosen(path, environ)
    layers.lay(_read(file, advice), str(file))
    for keys, value, origin in _overrides(environ):
        layers.put(keys, value, origin)
    return layers


def _chosen(path: Path | None, environ: Mapping[str, str]) -> tuple[Path, str]:
    """The file to read, and what to do when it cannot be read."""
    if path is not None:
        return path, "correct --config"
    if environ.get("HOURHAND_CONFIG"):
        return Path(environ["HOURHAND_CONFIG"]), "correct the environment variable HOURHAND_CONFIG"
    here = Path("config", "paper.toml")
    return (here if here.exists() else ROOT / here), "give another file with --config"


def _read(path: Path, advice: str) -> Table:
    try:
        return tomllib.loads(path.read_bytes().decode(), parse_float=Decimal)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error}): {advice}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Any, Origin]]:
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        keys = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if not all(keys):
            raise SettingsError(f"environment variable {name}: write {PREFIX}SECTION__KEY")
        yield keys, _value(environ[name]), Origin(f"environment variable {name}", environ[name])


def _value(text: str) -> Any:
    """`text` as a TOML value, else as plain text."""
    try:
        table = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if table.keys() == {"value"} else text
