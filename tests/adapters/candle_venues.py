"""Venues on loopback that hand out given bars in the venue's own words, and bars to hand out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from core.domain.bars import Bars, moment

Answer = tuple[int, bytes]
Respond = Callable[[str, dict[str, str]], Answer]

HTML = b"<html><body>Please log in to this wireless network</body></html>"


class FixedClock:
    """Stands still; `slept` records what it was asked to wait for."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Loopback:
    """`asked`: the paths that were asked for, in order of arrival."""

    def __init__(self, url: str, asked: list[str]) -> None:
        self.url, self.asked = url, asked


@contextmanager
def loopback(respond: Respond) -> Iterator[Loopback]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked.append(self.path)
            status, body = respond(parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Loopback(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def walk(count: int, since: datetime = datetime(2024, 2, 28, 15, tzinfo=UTC), step: int = 3600, seed: int = 1) -> Bars:
    """An unbroken random walk in whole tenths, with volumes in four decimals."""
    rng = np.random.default_rng(seed)
    close = np.round(50_000 * np.exp(np.cumsum(rng.normal(0, 0.005, count))), 1)
    open_ = np.round(np.concatenate([[50_000.0], close[:-1]]) * (1 + rng.normal(0, 0.0005, count)), 1)
    high = np.round(np.maximum(open_, close) * (1 + rng.random(count) * 0.003), 1)
    low = np.round(np.minimum(open_, close) * (1 - rng.random(count) * 0.003), 1)
    time = int(since.timestamp()) + step * np.arange(count, dtype=np.int64)
    return Bars(time, open_, high, low, close, np.round(rng.random(count) * 40 + 0.001, 4))


def without(bars: Bars, first: int, last: int) -> Bars:
    """An outage: the bars first … last - 1 are absent."""
    index = np.arange(len(bars))
    return bars[(index < first) | (index >= last)]


def rows(bars: Bars) -> list[tuple[int, list[str]]]:
    """(open time, the five values as text) of each bar."""
    values = zip(*(column.tolist() for column in bars.columns()[1:]), strict=True)
    return [(int(at), [repr(v) for v in row]) for at, row in zip(bars.time, values, strict=True)]


def bitbank(bars: Bars) -> Respond:
    """The public candle files of btc_jpy: one per UTC day, or per year for four hours and longer."""

    def respond(path: str, _: dict[str, str]) -> Answer:
        pair, _candlestick, kind, file = path.strip("/").split("/")
        pattern = "%Y%m%d" if kind.endswith("min") or kind == "1hour" else "%Y"
        found = [[*text, at * 1000] for at, text in rows(bars) if moment(at).strftime(pattern) == file]
        if pair != "btc_jpy" or not found:
            return 404, json.dumps({"success": 0, "data": {"code": 10000}}).encode()
        data = {"candlestick": [{"type": kind, "ohlcv": found}], "timestamp": found[-1][5]}
        return 200, json.dumps({"success": 1, "data": data}).encode()

    return respond


def bybit(bars: Bars, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> Respond:
    """Public v5 of bybit: the instruments that ccxt loads first, and candles, newest first."""

    def respond(path: str, query: dict[str, str]) -> Answer:
        if path == "/v5/market/instruments-info":
            spot = query.get("category") == "spot"
            return 200, _bybit({"category": query["category"], "list": [_spot(s) for s in symbols if spot]})
        start, limit = int(query.get("start", "0")), int(query.get("limit", "200"))
        found = [[str(at * 1000), *text, "1"] for at, text in rows(bars) if at * 1000 >= start][:limit]
        return 200, _bybit({"category": "spot", "symbol": query["symbol"], "list": found[::-1]})

    return respond


def _bybit(result: dict[str, Any]) -> bytes:
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}).encode()


def _spot(symbol: str) -> dict[str, Any]:
    lots = {"basePrecision": "0.0001", "quotePrecision": "0.01", "minOrderQty": "0.001", "maxOrderQty": "100.0"}
    return {
        "symbol": symbol,
        "baseCoin": symbol[:3],
        "quoteCoin": symbol[3:],
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "lotSizeFilter": lots | {"minOrderAmt": "10", "maxOrderAmt": "1000000"},
        "priceFilter": {"tickSize": "0.1"},
    }


def always(status: int, body: bytes) -> Respond:
    return lambda path, query: (status, body)


def inside_next(bars: Bars, step: int = 3600) -> datetime:
    """A moment within the bar that follows the last of `bars`."""
    return moment(bars.time[-1]) + timedelta(seconds=step * 1.5)
