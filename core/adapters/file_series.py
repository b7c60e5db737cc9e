"""An outside series from a file: parquet or CSV with `timestamp` and one of `close`, `value` and `rate`."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from core.domain.bars import Floats, Times, epoch
from core.domain.daily import DAY, Daily
from core.domain.outside import SERIES
from core.ports import Unavailable

COLUMNS: Final = ("close", "value", "rate")
SUFFIXES: Final = (".parquet", ".csv")


class FileSeries:
    """ports.DailySource of `series` over a file, read anew at each call; or, where `path` is a folder, over the file
    `{series}.parquet` or `{series}.csv` in it."""

    def __init__(self, path: str | Path, series: str) -> None:
        self._path, self._series = Path(path), SERIES[series]

    def history(self, now: datetime) -> Daily:
        """All values that had been published by `now`. Raises Unavailable: no such file, or not such a table."""
        path = self._file()
        said = f"{self._series.name} file {path}"
        try:
            dates, values = (_from_csv if path.suffix.lower() == ".csv" else _from_parquet)(path)
        except FileNotFoundError:
            raise Unavailable(f"{said}: no such file; correct the path in the settings") from None
        except (OSError, KeyError, TypeError, ValueError, NotImplementedError, csv.Error) as error:
            raise Unavailable(f"{said}: not a table of `timestamp` and one of {COLUMNS} ({error})") from error
        if self._series.step == DAY and np.any(dates % DAY):
            raise Unavailable(f"{said}: every `timestamp` must be a day at 00:00 UTC")
        found = self._series.series(dates, values)
        known = found.published <= epoch(now)
        if not known.any():
            raise Unavailable(f"{said}: it holds no value published by {now.isoformat()}")
        return Daily(found.published[known], found.value[known])

    def _file(self) -> Path:
        if not self._path.is_dir():
            return self._path
        named = [self._path / f"{self._series.name}{suffix}" for suffix in SUFFIXES]
        return next((path for path in named if path.exists()), named[0])


def _value(names: list[str]) -> str:
    return next((name for name in COLUMNS if name in names), COLUMNS[0])


def _from_csv(path: Path) -> tuple[Times, Floats]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        column = _value(list(reader.fieldnames or ()))
        rows = [(_seconds(row["timestamp"]), float(row[column])) for row in reader]
    return np.array([time for time, _ in rows], np.int64), np.array([value for _, value in rows], np.float64)


def _seconds(text: str) -> int:
    """Epoch seconds of an ISO date or time; without a time zone it is taken as UTC."""
    time = datetime.fromisoformat(text)
    return epoch(time if time.tzinfo else time.replace(tzinfo=UTC))


def _from_parquet(path: Path) -> tuple[Times, Floats]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    column = _value(file.schema_arrow.names)
    table = file.read(columns=["timestamp", column])
    times = table["timestamp"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    if times.null_count:
        raise ValueError(f"{times.null_count} empty timestamps")
    return times.to_numpy(), table[column].cast(pa.float64()).to_numpy()
