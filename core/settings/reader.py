"""From a table to structs: every key known, every value of its type and in its range, every problem collected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from core.settings.layers import Keys, Layers, Table
from core.settings.sections import LIMITS

_REFUSED: Final = object()
NAMES: Final = {bool: "true or false", int: "a whole number", float: "a number", Decimal: "a number", str: "text"}


class Reader:
    """Reads structs out of `layers`. What is wrong is added to `problems`, and left out of what is returned."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.problems: list[str] = []

    def table(self, value: Any, path: Keys) -> Table:
        if isinstance(value, dict):
            return value
        self.refuse(path, value, "a table")
        return {}

    def unknown(self, names: Iterable[str], known: Iterable[str], path: Keys) -> None:
        """A problem for each of `names` that is not among `known`."""
        known = list(known)
        for name in names:
            if name not in known:
                where = self.layers.origin((*path, name)).where
                thing = f"key {spoken((*path, name))}" if path else f"section [{name}]"
                self.problems.append(f"{where}: there is no {thing}; {_advice(name, known)}")

    def fields(self, kind: type[msgspec.Struct], value: Any, path: Keys, also: Iterable[str] = ()) -> dict[str, Any]:
        """The values that `kind` takes and that differ from its defaults; `also`: names that are read elsewhere.

        What is as by default needs no look at its type, which is where the time would go.
        """
        table = self.table(value, path)
        names, defaults = kind.__struct_fields__, _defaults(kind)
        self.unknown(table, [*names, *also], path)
        given = [name for name in names if name in table and not _same(table[name], defaults.get(name))]
        if not given:
            return {}
        types = {field.name: field.type for field in msgspec.structs.fields(kind)}
        read = {name: self._value(kind, name, types[name], table[name], path) for name in given}
        return {name: value for name, value in read.items() if value is not _REFUSED}

    def _value(self, kind: type[msgspec.Struct], name: str, expected: Any, value: Any, path: Keys) -> Any:
        limits = LIMITS.get((kind, name))
        text = self.layers.origin((*path, name)).text
        for candidate in (value,) if text is None or isinstance(value, dict) else (value, text):
            try:
                result = msgspec.convert(candidate, expected)
            except msgspec.ValidationError:
                continue
            if _within(result, limits):
                return result
        self.refuse((*path, name), value, allowed(expected, limits))
        return _REFUSED

    def refuse(self, path: Keys, value: Any, give: str) -> None:
        where = self.layers.origin(path).where
        self.problems.append(f"{where}: {spoken(path)} = {_shown(value)} is refused; give {give}")


def _defaults(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """By name; without those that must be given, or that are made anew for each struct."""
    last = kind.__struct_defaults__
    return dict(zip(kind.__struct_fields__[len(kind.__struct_fields__) - len(last) :], last, strict=True))


def _same(value: Any, default: Any) -> bool:
    """Whether a value out of TOML is the one that stands there anyway."""
    if isinstance(value, bool) or isinstance(default, bool):
        return value is default
    if isinstance(default, float) and isinstance(value, Decimal):
        return float(value) == default
    if isinstance(value, list):
        return isinstance(default, tuple) and tuple(value) == default
    numbers = isinstance(value, int | Decimal) and isinstance(default, float | Decimal)
    return bool(value == default) and (numbers or type(value) is type(default))


def spoken(path: Keys) -> str:
    """('books', 0, 'policy', 'capital') → '[books 1 policy] capital'."""
    parts = [str(part + 1) if isinstance(part, int) else part for part in path]
    if len(parts) == 1:
        return f"[{parts[0]}]"
    return f"[{' '.join(parts)}]" if isinstance(path[-1], int) else f"[{' '.join(parts[:-1])}] {parts[-1]}"


def _advice(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _within(value: Any, limits: tuple[Decimal, Decimal] | None) -> bool:
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    if isinstance(value, float) and value - value != 0:  # NaN and the infinities
        return False
    return limits is None or limits[0] <= value <= limits[1]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def allowed(expected: Any, limits: tuple[Decimal, Decimal] | None = None) -> str:
    """In words, what a value of type `expected` may be."""
    kind, arguments = get_origin(expected), get_args(expected)
    if kind is Annotated:
        return _ranged(arguments[0], arguments[1])
    if kind is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in arguments)
    if kind is tuple:
        return f"a list, each {allowed(arguments[0])}"
    if kind is dict:
        return "a table of texts"
    return NAMES[expected] + (f" from {limits[0]:f} to {limits[1]:f}" if limits else "")


def _ranged(kind: Any, meta: msgspec.Meta) -> str:
    if meta.description:
        return meta.description
    if meta.min_length:
        return f"{NAMES[kind]} that is not empty"
    bounds = ((meta.ge, "at least"), (meta.gt, "above"), (meta.le, "at most"), (meta.lt, "below"))
    return " ".join([NAMES[kind], " and ".join(f"{word} {bound:g}" for bound, word in bounds if bound is not None)])
