"""Price history as monthly parquet files beside the models: `history/{market}/{YYYY-MM}.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from core.domain.bars import Bars, empty, merge, moment
from core.ports import Missing, ModelStore


class ParquetHistory:
    """`market` names the series, such as 'bitbank/btc_jpy/1h'. The two functions turn bars into parquet and back."""

    def __init__(
        self, files: ModelStore, market: str, encode: Callable[[Bars], bytes], decode: Callable[[bytes], Bars]
    ) -> None:
        self._files, self._folder, self._encode, self._decode = files, f"history/{market}", encode, decode

    def load(self, since: datetime, until: datetime) -> Bars:
        bars = empty()
        for month in _months(since, until):
            bars = merge(bars, self._month(month))
        return bars.between(since, until)

    def save(self, bars: Bars) -> None:
        if not len(bars):
            return
        for month in _months(moment(bars.time[0]), moment(bars.time[-1]) + timedelta(seconds=1)):
            new = bars.between(month, _next(month))
            old = self._month(month)
            both = merge(old, new)
            if len(new) and not _same(old, both):
                self._files.put(self._name(month), self._encode(both))

    def _month(self, month: datetime) -> Bars:
        try:
            return self._decode(self._files.get(self._name(month)))
        except Missing:
            return empty()

    def _name(self, month: datetime) -> str:
        return f"{self._folder}/{month:%Y-%m}.parquet"


def _same(old: Bars, new: Bars) -> bool:
    return all(np.array_equal(*pair) for pair in zip(old.columns(), new.columns(), strict=True))


def _months(since: datetime, until: datetime) -> Iterator[datetime]:
    month = since.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month < until:
        yield month
        month = _next(month)


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=32)).replace(day=1)
