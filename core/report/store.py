"""A study as files: the page, pictures, tables, and all of it as JSON that can be read back."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from core.report.pictures import months
from core.report.plates import plates
from core.report.sheet import render_study
from core.report.study import COLUMNS, Course, Study, check

STUDY: Final = "study.json"
TRADE: Final = ("opened", "closed", "side", "amount", "entry", "exit", "fees", "pnl", "cause")


def write(folder: Path, study: Study) -> list[Path]:
    """report.html, study.json, *.png and *.csv in `folder`, which is made; each whole or not at all, study.json last.

    What has nothing to show is not written, and what an earlier run wrote of it is removed. Returns the paths. Raises
    ValueError when the study does not fit together, OSError when the folder cannot be written.
    """
    check(study)
    made = dict(_files(study))
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if name not in made:
            (folder / name).unlink(missing_ok=True)
    for name in NAMES:
        if name in made:
            _whole(folder / name, made[name])
    return [folder / name for name in NAMES if name in made]


NAMES: Final = (
    "report.html",
    "equity.png",
    "months.png",
    "calibration.png",
    "equity.csv",
    "monthly.csv",
    "trades.csv",
    STUDY,
)


def read(path: Path) -> Study:
    """The study in `path`, study.json or the folder of it. Raises OSError, or ValueError when it is no study."""
    place = path / STUDY if path.is_dir() else path
    try:
        study = msgspec.json.decode(place.read_bytes(), type=Study)
    except msgspec.DecodeError as failure:
        raise ValueError(f"{place}: not a study ({failure}): give the study.json of a run") from None
    check(study)
    return study


def _files(study: Study) -> Iterator[tuple[str, bytes]]:
    yield "report.html", render_study(study).encode()
    yield from plates(study)
    if study.course is not None:
        yield "equity.csv", _csv(["time", *_given(study.course)], _bars(study.course))
        yield "monthly.csv", _csv(["month", "return"], _months(study.course))
    if study.trades is not None:
        yield "trades.csv", _csv(TRADE, ([_cell(getattr(trade, name)) for name in TRADE] for trade in study.trades))
    yield STUDY, msgspec.json.encode(study)


def _given(course: Course) -> list[str]:
    return [name for name in COLUMNS if getattr(course, name)]


def _bars(course: Course) -> Iterator[Sequence[Any]]:
    for time, *values in zip(course.time, *(getattr(course, name) for name in _given(course)), strict=True):
        yield [_cell(datetime.fromtimestamp(time, UTC)), *map(_cell, values)]


def _months(course: Course) -> Iterator[Sequence[Any]]:
    for year in months(course):
        for month, value in enumerate(year.months, 1):
            if value is not None:
                yield f"{year.year}-{month:02}", _cell(value)


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return "" if value is None or value != value else value


def _csv(names: Sequence[str], lines: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return text.getvalue().encode()


def _whole(path: Path, data: bytes) -> None:
    """Writes beside it and renames, so that `path` is the old file or the whole new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
