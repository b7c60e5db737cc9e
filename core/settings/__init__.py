"""Settings: TOML and environment in, one typed and frozen `Settings` out, or a SettingsError that says what is wrong.

Layers, the later over the earlier: config/default.toml beside the code; the chosen file; the environment, where
`HOURHAND__SECTION__KEY` holds a TOML value or plain text (HOURHAND__VENUE__ID=bybit), and deeper keys or whole tables
go as well (HOURHAND__VENUE__URLS='{public = "http://127.0.0.1:8000"}'). GOOGLE_CLOUD_PROJECT stands in for a project
that no file and no HOURHAND__ variable names.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from core.domain.fills import Costs
from core.domain.orders import Rules
from core.domain.risk import Limits, Policy
from core.domain.state import Book
from core.settings.checks import cautions, contradictions
from core.settings.layers import DEFAULT, Layers, SettingsError, gathered
from core.settings.reader import Reader, spoken
from core.settings.sections import (
    Alerts,
    BookKeys,
    Cleanup,
    Deployment,
    ExchangeMode,
    Features,
    Guard,
    Log,
    MarketData,
    Models,
    OutsideData,
    Research,
    Secrets,
    Serve,
    Settings,
    State,
    Tick,
    TrainingPlan,
    Venue,
    Vix,
)

if TYPE_CHECKING:
    from core.domain.ensemble import Gate, Training

__all__ = ["DEFAULT", "Settings", "SettingsError", "cautions", "load"]

SECTIONS: dict[str, type[Any]] = {
    "venue": Venue,
    "market": MarketData,
    "vix": Vix,
    "outside": OutsideData,
    "exchange": ExchangeMode,
    "paper": Costs,
    "rules": Rules,
    "policy": Policy,
    "account": Limits,
    "features": Features,
    "state": State,
    "models": Models,
    "secrets": Secrets,
    "tick": Tick,
    "guard": Guard,
    "alerts": Alerts,
    "cleanup": Cleanup,
    "deployment": Deployment,
    "research": Research,
    "log": Log,
    "serve": Serve,
}
PLAN = ("history_days", "publish_anyway")  # the keys of [training] that a tick may be asked for
LEARNT = ("training", "gate")


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file `path` (None: HOURHAND_CONFIG, else config/paper.toml here or beside the code).

    Relative paths inside of it (state, models, price files) count from the current directory. Raises SettingsError
    with every problem found, each naming the key, where it was given, and what is allowed.
    """
    layers = gathered(path, environ)
    reader = Reader(layers)
    reader.unknown(layers.values, [*SECTIONS, *LEARNT, "books"], ())
    sections: dict[str, Any] = {
        name: kind(**reader.fields(kind, layers.values.get(name, {}), (name,))) for name, kind in SECTIONS.items()
    }
    sections["training"] = _training(reader)
    rows = _rows(reader)
    if _touched(layers):
        reader.problems += _learn(layers)[1]
    _raise(reader.problems)
    settings = Settings(**sections, books=tuple(_book(keys, own, sections) for keys, own in rows))
    _raise(contradictions(settings))
    return settings


def _raise(problems: list[str]) -> None:
    if problems:
        raise SettingsError(*dict.fromkeys(problems))


def _rows(reader: Reader) -> list[tuple[BookKeys, dict[str, Any]]]:
    """Of each row of [[books]] its keys, and what it lays over [policy]."""
    rows = reader.layers.values.get("books", [])
    if not isinstance(rows, list):
        reader.refuse(("books",), rows, "a list of tables, [[books]]")
        return []
    read = [_row(reader, row, number) for number, row in enumerate(rows)]
    return [row for row in read if row]


def _row(reader: Reader, row: Any, number: int) -> tuple[BookKeys, dict[str, Any]] | None:
    path = ("books", number)
    table = reader.table(row, path)
    own = reader.fields(Policy, table.get("policy", {}), (*path, "policy"))
    keys = reader.fields(BookKeys, table, path, also=["policy"])
    absent = [key for key in ("id", "symbol") if key not in table]
    if absent:
        reader.problems.append(f"{reader.layers.origin(path).where}: {spoken(path)} needs {' and '.join(absent)}")
    return (BookKeys(**keys), own) if {"id", "symbol"} <= keys.keys() else None


def _book(keys: BookKeys, own: dict[str, Any], sections: Mapping[str, Any]) -> Book:
    return Book(
        id=keys.id,
        symbol=keys.symbol,
        timeframe=keys.timeframe,
        features=sections["features"].set,
        policy=replace(sections["policy"], **own),
        rules=sections["rules"],
        costs=sections["paper"],
        vix_max_age_s=round(sections["vix"].max_age_days * 86400),
        max_lateness_s=sections["tick"].max_lateness_s,
    )


def _training(reader: Reader) -> TrainingPlan:
    layers = reader.layers
    table = reader.table(layers.values.get("training", {}), ("training",))
    plan = reader.fields(TrainingPlan, {key: table[key] for key in PLAN if key in table}, ("training",))
    return TrainingPlan(**plan, learnt=cache(lambda: _learnt(layers)))


def _touched(layers: Layers) -> bool:
    """Whether anything but the defaults speaks of learning: only then is it worth its import to check at once."""
    keys = [keys for keys, origin in layers.origins.items() if origin.where != str(DEFAULT)]
    return any(path[0] in LEARNT and path[1:] and path[1] not in PLAN for path in keys) or not all(
        isinstance(layers.values.get(name), dict) for name in LEARNT
    )


def _learnt(layers: Layers) -> tuple[Training, Gate]:
    learnt, problems = _learn(layers)
    _raise(problems)
    return learnt


def _learn(layers: Layers) -> tuple[tuple[Training, Gate], list[str]]:
    from core.domain.ensemble import Gate, Training

    reader = Reader(layers)
    training = reader.fields(Training, layers.values.get("training", {}), ("training",), also=PLAN)
    gate = reader.fields(Gate, layers.values.get("gate", {}), ("gate",))
    return (Training(**training), Gate(**gate)), reader.problems
