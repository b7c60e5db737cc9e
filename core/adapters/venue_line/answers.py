"""Reading what a venue answered: a field that is not there, or not what it should be, is no answer. Never a default,
and never a float: from the venue's text to Decimal every digit stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from core.ports import Unavailable

T = TypeVar("T")


def exact(text: str) -> Any:
    """JSON whose fractions stay as they were written. Raises ValueError."""
    return json.loads(text, parse_float=str)


def item(row: Any, name: str, kind: type[T], where: str) -> T:
    """Field `name` of `row`, which must be of `kind`. Raises Unavailable."""
    value = row.get(name) if isinstance(row, Mapping) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Unavailable(f"{where}: its answer has no {name} of type {kind.__name__}")
    return value


def number(row: Any, name: str, where: str) -> Decimal:
    """Field `name` of `row`, a finite number, as it was written. Raises Unavailable."""
    value = row.get(name) if isinstance(row, Mapping) else None
    try:
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            found = Decimal(str(value))
            if found.is_finite():
                return found
    except InvalidOperation:
        pass
    raise Unavailable(f"{where}: its answer has no number {name}")


def stated(row: Any, name: str, where: str) -> Decimal | None:
    """As `number`; None where the venue says nothing: no such field, null, or an empty text. Raises Unavailable."""
    value = row.get(name) if isinstance(row, Mapping) else None
    return None if value is None or value == "" else number(row, name, where)


def name_of(row: Any, name: str, where: str) -> str:
    """Field `name` of `row`, a name or a whole number that serves as one; never empty. Raises Unavailable."""
    value = row.get(name) if isinstance(row, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise Unavailable(f"{where}: its answer has no {name}")
    return str(value)
