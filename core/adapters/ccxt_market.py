"""Market data from any venue that ccxt speaks to and that has candles."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from core.domain.bars import Bars, empty, epoch, seconds
from core.domain.quality import clean
from core.ports import Clock, Unavailable

Row = list[Any]

TRIES = 3
PAGE = 200  # bars per request where ccxt does not know the venue's limit
TIMEOUT_MS = 10_000


class CcxtMarket:
    """ports.Market. `urls` is merged into ccxt's `urls['api']`: testnets, mirrors, tests.

    Raises ValueError, at the first question, for a venue or symbol that does not exist, and for a venue without candles
    or without this timeframe.
    """

    def __init__(
        self,
        venue_id: str,
        symbol: str,
        timeframe: str,
        urls: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        self.venue_id, self.symbol, self.timeframe = venue_id, symbol, timeframe
        self.step = seconds(timeframe)
        self.urls, self.clock = urls, clock

    def bars(self, since: datetime, until: datetime) -> Bars:
        closed = epoch(self.clock.now()) - self.step  # the youngest open time of a closed bar
        first, end = epoch(since), min(epoch(until), closed + 1)
        if first >= end:
            return empty()
        rows = self._rows(first, end)
        if not rows:
            return empty()
        names = ("timestamp", "open", "high", "low", "close", "volume")
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        return clean(columns, self.timeframe, f"{self.venue_id} {self.symbol} {self.timeframe}").bars

    @cached_property
    def exchange(self) -> Any:
        exchange = _connect(self.venue_id, self.symbol, self.urls)
        if self.timeframe not in (exchange.timeframes or {}):
            known = ", ".join(exchange.timeframes or ())
            raise ValueError(f"{self.venue_id} has no {self.timeframe} candles; it has {known}")
        self._ask(exchange, exchange.load_markets)
        if not exchange.markets:
            raise Unavailable(f"{self.venue_id} lists no markets at all; is this the venue?")
        if self.symbol not in exchange.markets:
            raise ValueError(f"{self.venue_id} has no market {self.symbol!r}{_near(self.symbol, exchange.markets)}")
        return exchange

    def _rows(self, first: int, end: int) -> list[Row]:
        """Pages from `first` on. An empty page, or one of older bars, is an outage: on to the next page."""
        rows: dict[int, Row] = {}
        limit = self._limit()
        while first < end:
            wanted = min(limit, -(-(end - first) // self.step))
            page = [row for row in self._page(first, wanted) if first * 1000 <= row[0] < end * 1000]
            rows |= {row[0]: row for row in page}
            first = max(row[0] for row in page) // 1000 + self.step if page else first + wanted * self.step
        return [rows[at] for at in sorted(rows)]

    def _limit(self) -> int:
        known = self.exchange.feature_value(self.symbol, "fetchOHLCV", "limit", PAGE)
        return int(known or PAGE)

    def _page(self, first: int, limit: int) -> list[Row]:
        exchange = self.exchange
        rows = self._ask(exchange, lambda: exchange.fetch_ohlcv(self.symbol, self.timeframe, first * 1000, limit))
        if not all(isinstance(row, list) and len(row) >= 6 and isinstance(row[0], int) for row in rows):
            raise Unavailable(f"{self.venue_id}: the answer to a question for candles holds rows that are no candles")
        return [row[:6] for row in rows]

    def _ask(self, exchange: Any, read: Callable[[], Any]) -> Any:
        """`read`, tried up to three times where the network or the venue's load is at fault. Raises Unavailable."""
        import ccxt

        for attempt in range(1, TRIES + 1):
            try:
                return self._answered(exchange, read)
            except ccxt.NetworkError as error:
                if attempt == TRIES:
                    raise Unavailable(f"{self.venue_id} did not answer in {TRIES} tries: {_said(error)}") from error
                self.clock.sleep(2 ** (attempt - 1) * random.uniform(0.5, 1.0))
            except (ccxt.BaseError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                raise Unavailable(f"{self.venue_id} answered nonsense or refused: {_said(error)}") from error
        raise AssertionError("the loop above returns or raises")

    def _answered(self, exchange: Any, read: Callable[[], Any]) -> Any:
        """ccxt reads a page of HTML as an answer without content: an empty list must have come as JSON."""
        exchange.last_json_response = None
        answer = read()
        if exchange.last_json_response is None:
            raise Unavailable(f"{self.venue_id}: its answer is not JSON; is this the venue, or a login page before it?")
        return answer


def _connect(venue_id: str, symbol: str, urls: Mapping[str, Any]) -> Any:
    import ccxt

    if venue_id not in ccxt.exchanges:
        raise ValueError(f"ccxt knows no venue {venue_id!r}{_near(venue_id, ccxt.exchanges)}")
    exchange = getattr(ccxt, venue_id)({"timeout": TIMEOUT_MS, "enableRateLimit": True})
    if exchange.has.get("fetchOHLCV") is not True:
        raise ValueError(f"{venue_id} has no candles: take them from another venue, from files or simulated")
    exchange.enableLastJsonResponse = True
    exchange.has["fetchCurrencies"] = False  # one round trip less; candles need no currencies
    _only_spot(exchange, symbol)
    api = exchange.urls["api"]
    exchange.urls["api"] = {**api, **urls} if isinstance(api, Mapping) else dict(urls) or api
    return exchange


def _only_spot(exchange: Any, symbol: str) -> None:
    """A spot symbol needs no list of every option: on bybit that is one request in place of eight."""
    listed = exchange.options.get("fetchMarkets")
    if ":" not in symbol and isinstance(listed, dict) and "spot" in listed.get("types", ()):
        exchange.options["fetchMarkets"] = {**listed, "types": ["spot"]}


def _near(name: str, known: Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), 1, 0.4)
    return f"; is {near[0]!r} meant?" if near else ""


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
