"""bitbank's candles, read from the venue's own files: one per UTC day, or per year for four hours and longer.

ccxt asks for one such file whatever it is asked for, so this venue has its own reader. Format:
https://github.com/bitbankinc/bitbank-api-docs/blob/master/public-api.md
"""

from __future__ import annotations

import random
import re
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import decode

from core.domain.bars import Bars, empty, epoch, moment, seconds
from core.domain.quality import clean
from core.ports import Clock, Unavailable

if TYPE_CHECKING:
    from urllib3 import PoolManager

URL: Final = "https://public.bitbank.cc"
DAILY: Final = {"1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "1hour"}
YEARLY: Final = {"4h": "4hour", "8h": "8hour", "12h": "12hour", "1d": "1day"}
NO_SUCH_FILE: Final = 10000
BUSY: Final = {10005, 10008, 10009}
TRIES: Final = 3
AT_ONCE: Final = 8
PER_SECOND: Final = 10

Number = str | float  # the venue sends text
Row = tuple[Number, Number, Number, Number, Number, int]


class _Series(Struct):
    type: str
    ohlcv: list[Row]


class _Data(Struct):
    candlestick: list[_Series] = []
    code: int = 0


class _Answer(Struct):
    success: int
    data: _Data


class _Again(Exception):
    """Worth another try; its text is what to say when that was the last one."""


class BitbankMarket:
    """ports.Market. `symbol` like 'BTC/JPY'. A file that does not exist (yet) holds no bars.

    Raises ValueError for a symbol of another form or a timeframe that the venue has no files of.
    """

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        clock: Clock,
        url: str = URL,
        pool: PoolManager | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Z0-9]+/[A-Z0-9]+", symbol):
            raise ValueError(f"symbol {symbol!r}: give base and quote coin, such as 'BTC/JPY'")
        self.kind = (DAILY | YEARLY).get(timeframe)
        if self.kind is None:
            raise ValueError(f"bitbank has no {timeframe} candles; it has {', '.join(DAILY | YEARLY)}")
        self.pair = symbol.lower().replace("/", "_")
        self.timeframe, self.clock = timeframe, clock
        self.url = url.rstrip("/")
        self._pool = pool
        self._pace = Pace(PER_SECOND, 1.0, clock)

    def bars(self, since: datetime, until: datetime) -> Bars:
        step = seconds(self.timeframe)
        first = -(-epoch(since) // step) * step
        end = min(epoch(until), epoch(self.clock.now()) - step + 1)  # a bar that closes after now is still forming
        if first >= end:
            return empty()
        files = self._files(first, end)
        rows = [row for part in self._read_all(files) for row in part if first * 1000 <= row[5] < end * 1000]
        if not rows:
            return empty()
        names = ("open", "high", "low", "close", "volume", "timestamp")
        where = f"bitbank {self.pair} {self.kind} {files[0]} to {files[-1]}"
        return clean(dict(zip(names, zip(*rows, strict=True), strict=True)), self.timeframe, where).bars

    def _files(self, first: int, end: int) -> list[str]:
        """Names of the files that hold the bars which open in [first, end)."""
        start, last = moment(first), moment(end - 1)
        if self.timeframe in YEARLY:
            return [str(year) for year in range(start.year, last.year + 1)]
        days = (last.date() - start.date()).days
        return [f"{start.date() + timedelta(day):%Y%m%d}" for day in range(days + 1)]

    def _read_all(self, files: Sequence[str]) -> list[list[Row]]:
        pool = self._connections()
        if len(files) == 1:
            return [self._read(pool, files[0])]
        with ThreadPoolExecutor(min(AT_ONCE, len(files))) as workers:
            return list(workers.map(lambda file: self._read(pool, file), files))

    def _connections(self) -> PoolManager:
        if self._pool is None:
            from urllib3 import PoolManager

            self._pool = PoolManager(maxsize=AT_ONCE)
        return self._pool

    def _read(self, pool: PoolManager, file: str) -> list[Row]:
        url = f"{self.url}/{self.pair}/candlestick/{self.kind}/{file}"
        for attempt in range(1, TRIES + 1):
            self._pace.wait()
            try:
                return self._parse(*_get(pool, url), url)
            except _Again as error:
                if attempt == TRIES:
                    raise Unavailable(f"{url}: {error}, in {TRIES} tries") from error
                self.clock.sleep(2 ** (attempt - 1) * random.uniform(0.25, 0.5))
        raise AssertionError("the loop above returns or raises")

    def _parse(self, status: int, body: bytes, url: str) -> list[Row]:
        try:
            answer = decode(body, type=_Answer, strict=True)
        except (DecodeError, ValidationError) as error:
            if status == 404:
                return []
            raise Unavailable(f"{url}: HTTP {status}, and no candles: {error}; is this bitbank?") from error
        if answer.success != 1:
            return _refused(answer.data.code, url)
        series = [series for series in answer.data.candlestick if series.type == self.kind]
        if status != 200 or len(series) != 1:
            raise Unavailable(f"{url}: HTTP {status}, and not one series of {self.kind} candles; is this bitbank?")
        return series[0].ohlcv


class Pace:
    """At most `count` calls of `wait` return within any `span` seconds, over all threads."""

    def __init__(self, count: int, span: float, clock: Clock) -> None:
        self._last: deque[datetime] = deque(maxlen=count)
        self._span, self._clock = span, clock
        self._turn = threading.Lock()

    def wait(self) -> None:
        with self._turn:
            if len(self._last) == self._last.maxlen:
                rest = self._span - (self._clock.now() - self._last[0]).total_seconds()
                if rest > 0:
                    self._clock.sleep(min(rest, self._span))  # more only if the clock was set back
            self._last.append(self._clock.now())


def _get(pool: PoolManager, url: str) -> tuple[int, bytes]:
    from urllib3 import Timeout
    from urllib3.exceptions import HTTPError

    try:
        answer = pool.request("GET", url, timeout=Timeout(connect=5.0, read=10.0), retries=False, redirect=False)
    except HTTPError as error:
        raise _Again(f"no answer ({type(error).__name__}: {str(error)[:160]})") from error
    if answer.status >= 500 or answer.status == 429:
        raise _Again(f"HTTP {answer.status}")
    return answer.status, answer.data


def _refused(code: int, url: str) -> list[Row]:
    if code == NO_SUCH_FILE:
        return []
    if code in BUSY:
        raise _Again(f"bitbank answered {code}: {_meaning(code)}")
    raise Unavailable(f"{url}: bitbank answered {code}: {_meaning(code)}")


def _meaning(code: int) -> str:
    return {
        10001: "system error",
        10002: "malformed request",
        10003: "system error",
        10005: "time-out inside the venue",
        10007: "system maintenance",
        10008: "the server is busy",
        10009: "too many requests",
    }.get(code, "see the error codes in its API documents")
