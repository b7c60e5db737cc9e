"""Market data in files: one parquet or CSV file, or a folder of them (monthly history, say), joined.

Columns `timestamp` (open time, UTC: a datetime, ISO text, or epoch numbers), `open high low close volume`.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.domain.bars import BadBars, Bars
from core.domain.quality import Cleaned, judge, table
from core.domain.quality.columns import Column, join
from core.ports import Missing, Unavailable

SUFFIXES = (".parquet", ".csv", ".csv.gz")


class FilesMarket:
    """ports.Market over a file or a folder. Read once, at the first question; a changed file needs a new object."""

    def __init__(self, path: Path | str, timeframe: str) -> None:
        self.path = Path(path)
        self.timeframe = timeframe

    @cached_property
    def cleaned(self) -> Cleaned:
        """All bars, with what was repaired and what is suspicious. Raises like `load`."""
        return load(self.path, self.timeframe)

    def bars(self, since: datetime, until: datetime) -> Bars:
        try:
            return self.cleaned.bars.between(since, until)
        except (OSError, Missing) as error:
            raise Unavailable(str(error)) from error


def load(path: Path | str, timeframe: str | None) -> Cleaned:
    """The believable bars of a file or folder. Raises Missing, Unavailable (pyarrow is not there), OSError, BadBars."""
    path = Path(path)
    return judge(join([table(read_table(file), str(file)) for file in _files(path)]), timeframe, str(path))


def read_table(path: Path | str) -> dict[str, Column]:
    """Raw columns by name, CSV cells as text. Raises Missing, Unavailable (pyarrow is not there), OSError, BadBars."""
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise BadBars("damaged_file", f"{path}: is none of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise Missing(f"{path}: there is no such file; check the path, or download bars first")
    if not path.stat().st_size:
        raise BadBars("empty", f"{path}: is empty; download it again")
    return _read_parquet(path, str(path)) if path.suffix == ".parquet" else _read_csv(path)


def to_parquet(bars: Bars) -> bytes:
    """The file form of `bars`: zstd, `timestamp` in UTC milliseconds, else float64. Raises Unavailable: no pyarrow."""
    arrow, parquet = _pyarrow()
    names = ("timestamp", "open", "high", "low", "close", "volume")
    times = arrow.array(bars.time * 1000, arrow.timestamp("ms", tz="UTC"))
    sink = io.BytesIO()
    columns = dict(zip(names, (times, *bars.columns()[1:]), strict=True))
    parquet.write_table(arrow.table(columns), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes, where: str = "stored bars") -> Bars:
    """The inverse of `to_parquet`; rows are taken as they stand. Raises BadBars (damaged), Unavailable (no pyarrow)."""
    return table(_read_parquet(io.BytesIO(data), where), where).bars


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    if not files:
        raise Missing(f"{path}: no {' or '.join(SUFFIXES)} file is in this folder; download bars first")
    return files


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Unavailable(
            "parquet files need pyarrow, which is not installed: pip install -r requirements-train.txt (or give CSV)"
        ) from error
    return pyarrow, parquet


def _read_parquet(source: Path | io.BytesIO, where: str) -> dict[str, Column]:
    arrow, parquet = _pyarrow()
    try:
        read = parquet.ParquetFile(source).read(use_threads=False)
    except (arrow.ArrowException, OSError) as error:
        raise BadBars(
            "damaged_file", f"{where}: is no whole parquet file ({str(error).splitlines()[0]}); download it again"
        ) from error
    return {name: _values(arrow, read[name]) for name in read.column_names}


def _values(arrow: Any, column: Any) -> Column:
    """What column.to_numpy() gives; it imports pandas where that is installed, which takes longer than all the rest."""
    kind, types = column.type, arrow.types
    timed = types.is_timestamp(kind)
    if column.null_count or not column.num_chunks or not (timed or types.is_integer(kind) or types.is_floating(kind)):
        values: Column = column.to_numpy()
        return values
    plain = [np.from_dlpack(chunk.view(arrow.int64()) if timed else chunk) for chunk in column.chunks]
    joined = np.concatenate(plain) if len(plain) > 1 else plain[0]
    return joined.view(f"datetime64[{kind.unit}]") if timed else joined


def _read_csv(path: Path) -> dict[str, Column]:
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile, csv.Error) as error:
        raise BadBars("damaged_file", f"{path}: is no whole CSV file ({error}); download it again") from error
    return _columns(rows, str(path))


def _columns(rows: list[list[str]], where: str) -> dict[str, Column]:
    head = next((i for i, row in enumerate(rows[:2]) if _is_header(row)), 0)  # vendors put a banner above it
    names, body = rows[head], rows[head + 1 :]
    for number, row in enumerate(body, head + 2):
        if row and len(row) != len(names):
            raise BadBars(
                "ragged",
                f"{where}: line {number} has {len(row)} fields, the header {len(names)}; was the file cut off?",
            )
    return dict(zip(names, zip(*filter(None, body), strict=True), strict=True)) if any(body) else {}


def _is_header(row: list[str]) -> bool:
    return "close" in {cell.strip().lower() for cell in row}
