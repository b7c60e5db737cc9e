"""The VIX from a file: parquet or CSV with `timestamp` (the trading day) and `close`."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core.domain.bars import Floats, Times, epoch
from core.domain.daily import DAY, Daily, from_closes
from core.ports import Unavailable


class FileVix:
    """ports.DailySource over a file, read anew at each call. CSV when the name ends in .csv, else parquet."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def history(self, now: datetime) -> Daily:
        """All values that had been published by `now`. Raises Unavailable: no such file, or not such a table."""
        read = _from_csv if self._path.suffix.lower() == ".csv" else _from_parquet
        try:
            dates, closes = read(self._path)
        except FileNotFoundError:
            raise Unavailable(f"VIX file {self._path}: no such file; correct the path in the settings") from None
        except (OSError, KeyError, TypeError, ValueError, NotImplementedError, csv.Error) as error:
            raise Unavailable(f"VIX file {self._path}: not a table of `timestamp` and `close` ({error})") from error
        if np.any(dates % DAY):
            raise Unavailable(f"VIX file {self._path}: every `timestamp` must be a day at 00:00 UTC")
        known = dates + DAY <= epoch(now)
        series = from_closes(dates[known], closes[known])
        if not len(series):
            raise Unavailable(f"VIX file {self._path}: it holds no value published by {now.isoformat()}")
        return series


def _from_csv(path: Path) -> tuple[Times, Floats]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [(_seconds(row["timestamp"]), float(row["close"])) for row in csv.DictReader(file)]
    return np.array([time for time, _ in rows], np.int64), np.array([close for _, close in rows], np.float64)


def _seconds(text: str) -> int:
    """Epoch seconds of an ISO date or time; without a time zone it is taken as UTC."""
    time = datetime.fromisoformat(text)
    return epoch(time if time.tzinfo else time.replace(tzinfo=UTC))


def _from_parquet(path: Path) -> tuple[Times, Floats]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read(columns=["timestamp", "close"])
    times = table["timestamp"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    if times.null_count:
        raise ValueError(f"{times.null_count} empty timestamps")
    return times.to_numpy(), table["close"].cast(pa.float64()).to_numpy()
