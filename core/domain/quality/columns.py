"""Raw columns → one Table: which column is which, text → numbers, any clock → epoch seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from core.domain.bars import PRICES, BadBars, Bars, Floats, Times, empty

Column = Sequence[Any] | NDArray[Any]

TIME_NAMES: Final = ("timestamp", "unix", "open_time", "opentime", "datetime", "date", "time")
EARLIEST: Final = 1_230_940_800  # 2009-01-03, Bitcoin's first block
LATEST: Final = 4_102_444_800  # 2100-01-01; with EARLIEST it makes the ranges of the units disjoint
UNITS_OF_TIME: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
TWELVE_HOURS: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[ T-](\d{1,2})[ -]?([AP])M", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they were, in one unit of time and as numbers; order, duplicates and grid may still be wrong."""

    bars: Bars
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def table(columns: Mapping[str, Column], where: str) -> Table:
    """The six columns of `columns` as numbers. Raises BadBars, naming `where`, row (from 1) and column."""
    if not columns or not max(len(column) for column in columns.values()):
        return Table(empty())
    named = _named(columns, where)
    lengths = {len(column) for column in named.values()}
    if len(lengths) > 1:
        raise BadBars("ragged", f"{where}: its columns have different lengths ({sorted(lengths)}); download it again")
    time, repairs, warnings = _times(named.pop("time"), where)
    return Table(Bars(time, *(_numbers(column, name, where) for name, column in named.items())), repairs, warnings)


def join(tables: Sequence[Table]) -> Table:
    """The rows of all of them, one after the other."""
    joined = [np.concatenate(parts) for parts in zip(*(t.bars.columns() for t in tables), strict=True)]
    said = (dict.fromkeys(t.repairs for t in tables), dict.fromkeys(t.warnings for t in tables))
    repairs, warnings = (tuple(dict.fromkeys(s for group in groups for s in group)) for groups in said)
    return Table(Bars(*joined), repairs, warnings)


def _named(columns: Mapping[str, Column], where: str) -> dict[str, Column]:
    """By 'time', the four prices and 'volume', in that order."""
    found = {name.strip().lower().removeprefix("\ufeff"): column for name, column in columns.items()}
    clock = next((name for name in TIME_NAMES if name in found), None)
    if clock is None:
        _missing("timestamp", columns, where)
    for name in PRICES:
        if name not in found:
            _missing(name, columns, where)
    prices = {name: found[name] for name in PRICES}
    return {"time": found[clock], **prices, "volume": _volume(found, columns, where)}


def _missing(name: str, columns: Mapping[str, Column], where: str) -> NoReturn:
    from difflib import get_close_matches

    near = get_close_matches(name, list(columns), 1, 0.5)
    hint = f" (is {near[0]!r} meant?)" if near else ""
    raise BadBars(
        "missing_column",
        f"{where}: has no column {name!r}{hint}; needed are timestamp, open, high, low, close, volume; "
        f"found {', '.join(columns) or 'none'}",
    )


def _volume(found: Mapping[str, Column], columns: Mapping[str, Column], where: str) -> Column:
    """The volume in base coin. Vendors that give both name the coin; the symbol then says which is the base."""
    coins = {name[7:].upper(): name for name in found if re.match(r"volume[ _].", name)}
    if not coins and "volume" in found:
        return found["volume"]
    symbol = str(found["symbol"][0]).upper() if "symbol" in found else ""
    base = [name for coin, name in coins.items() if symbol.startswith(coin)]
    if len(base) == 1:
        return found[base[0]]
    if coins:
        raise BadBars(
            "ambiguous_volume",
            f"{where}: several volumes ({', '.join(n for n in found if n.startswith('volume'))}) and no symbol that "
            "says which is in base coin; keep that one, as 'volume'",
        )
    _missing("volume", columns, where)


def _numbers(column: Column, name: str, where: str) -> Floats:
    values = _floats(column)
    if values is None:
        row = next(i for i, value in enumerate(column) if _floats([value]) is None)
        shown = str(column[row])[:40]
        raise BadBars(
            "not_numeric", f"{where}: row {row + 1}, column {name!r}: {shown!r} is not a number; mend or drop it"
        )
    lost = np.flatnonzero(np.isnan(values))
    if len(lost):
        raise BadBars(
            "nan",
            f"{where}: row {int(lost[0]) + 1}, column {name!r} holds no value ({len(lost)} such rows); "
            "leave the whole row out instead: an absent bar is honest",
        )
    return values


def _floats(column: Column) -> Floats | None:
    try:
        if isinstance(column, np.ndarray):
            return None if column.dtype.kind in "Mmb" else column.astype(np.float64)
        return np.array(column, np.float64)  # three times as fast on text as asarray, then astype
    except (ValueError, TypeError):
        return None


def _times(column: Column, where: str) -> tuple[Times, tuple[str, ...], tuple[str, ...]]:
    """(epoch seconds, repairs, warnings). A clock that names no zone is taken as UTC, and that is said."""
    kind = column.dtype.kind if isinstance(column, np.ndarray) else ""
    if kind == "M":
        dates = np.asarray(column)
        return _whole(dates.astype("datetime64[us]").astype(np.int64), 10**6, dates, where), (), ()
    numbers = np.asarray(column, np.int64) if kind and kind in "iu" else _floats(column)
    if numbers is not None:
        return *_epochs(numbers, where), ()
    return _from_text(column, where)


def _epochs(numbers: NDArray[Any], where: str) -> tuple[Times, tuple[str, ...]]:
    scale = np.zeros(len(numbers), np.int64)
    for factor in UNITS_OF_TIME.values():
        scale[(numbers >= EARLIEST * factor) & (numbers < LATEST * factor)] = factor
    if not scale.all():
        row = int(np.argmin(scale))
        _bad_time(row, numbers[row], where)
    counts = {unit: int(np.sum(scale == factor)) for unit, factor in UNITS_OF_TIME.items() if np.any(scale == factor)}
    mixed = " and ".join(f"{unit} ({count} rows)" for unit, count in counts.items())
    repairs = (f"timestamps came in {mixed}; each fits one unit only: brought to seconds",) if len(counts) > 1 else ()
    return _whole(numbers, scale, numbers, where), repairs


def _whole(ticks: NDArray[Any], scale: NDArray[np.int64] | int, shown: NDArray[Any], where: str) -> Times:
    seconds = (ticks // scale).astype(np.int64)
    lost = np.flatnonzero((seconds < EARLIEST) | (seconds >= LATEST))
    if len(lost):
        _bad_time(int(lost[0]), shown[lost[0]], where)
    part = np.flatnonzero(ticks % scale)
    if len(part):
        row = int(part[0])
        raise BadBars(
            "off_grid",
            f"{where}: row {row + 1}: the time {shown[row]} is no whole second, so it is not when a bar opened "
            "(close times, perhaps?); give open times in UTC",
        )
    return seconds


def _from_text(column: Column, where: str) -> tuple[Times, tuple[str, ...], tuple[str, ...]]:
    ticks = np.empty(len(column), np.int64)
    naive = 0
    for row, value in enumerate(column):
        time = value if isinstance(value, datetime) else _read(str(value))
        if time is None:
            _bad_time(row, value, where)
        if time.tzinfo is None:
            naive += 1
            time = time.replace(tzinfo=UTC)
        ticks[row] = int(time.timestamp()) * 10**6 + time.microsecond
    warnings = (f"{naive} times name no time zone and are taken as UTC",) if naive else ()
    return _whole(ticks, 10**6, np.asarray(column, dtype=object), where), (), warnings


def _read(text: str) -> datetime | None:
    """ISO 8601, or a 12-hour clock such as '2017-11-20 11-PM'."""
    try:
        return datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        match = TWELVE_HOURS.fullmatch(text.strip())
    if match is None or not 1 <= int(match[2]) <= 12:
        return None
    hour = int(match[2]) % 12 + (12 if match[3].upper() == "P" else 0)
    return datetime.fromisoformat(f"{match[1]}T{hour:02}:00:00")


def _bad_time(row: int, value: Any, where: str) -> NoReturn:
    raise BadBars(
        "bad_time",
        f"{where}: row {row + 1}: {str(value)[:40]!r} is no time of a bar; give open times in UTC, as ISO 8601 "
        "(2024-05-01T13:00:00Z) or epoch seconds or milliseconds, between 2009 and 2100",
    )
