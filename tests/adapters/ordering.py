"""What tests of exchanges through ccxt share: orders, and venues on loopback that answer by path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import replace

from core.adapters.ccxt_exchange import CcxtExchange
from core.domain.orders import Answer as Told
from core.domain.orders import Intent, Leg, Order, Side, intent_id
from tests.adapters.candle_venues import walk
from tests.adapters.scripted import Answer, Request, Script, scripted

D = Decimal
BARS = walk(200)
BAR = datetime(2024, 5, 1, 12, tzinfo=UTC)
SPOT, PERP, YEN, FX = "BTC/USDT", "BTC/USDT:USDT", "BTC/JPY", "BTC/JPY:JPY"


class RealTime:
    """Requests are signed with it; nobody waits."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        pass


def order(leg: Leg, side: Side, amount: str, stop: str | None = None, *, name: str = "", attempt: int = 0) -> Order:
    """`name`: the venue's."""
    intent = Intent(
        id=intent_id("b", BAR, leg, attempt),
        book="b",
        bar=BAR,
        leg=leg,
        side=side,
        amount=D(amount),
        stop=None if stop is None else D(stop),
        attempt=attempt,
    )
    return Order(intent=intent, status="sent", order_id=name, sent=datetime.now(UTC))


ENTRY, EXIT, STOP = order("entry", "buy", "0.01"), order("exit", "sell", "0.01"), order("stop", "sell", "0.01", "40000")


def told(exchange: CcxtExchange, *orders: Order) -> list[Told]:
    """What the exchange answers to `orders`, written down now."""
    return list(exchange.submit("b", [replace(each, sent=datetime.now(UTC)) for each in orders]))


Found = Any  # an Answer, something for JSON, or a function from a Request to one of these


class Routes(Script):
    """Answers by 'METHOD /path'; what has no answer is no JSON and status 404."""

    def next(self, request: Request) -> Answer | None:
        with self._lock:
            self.asked.append(request)
        found: Found = self.found.get(f"{request.method} {urlsplit(request.path).path}", Answer(404, b"no such path"))
        found = found(request) if callable(found) else found
        return found if isinstance(found, Answer) else Answer(200, found)

    found: dict[str, Found]

    def sent(self, path: str) -> list[Any]:
        return [json.loads(asked.body) for asked in self.asked if urlsplit(asked.path).path == path]


def query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


@contextmanager
def venue(
    venue_id: str, symbol: str, routes: Mapping[str, Found], **more: Any
) -> Iterator[tuple[Routes, CcxtExchange]]:
    with scripted(kind=Routes) as server:
        assert isinstance(server, Routes)
        server.found = dict(routes)
        names = {"okx": ["rest"], "bitflyer": ["rest"], "bitget": ["spot", "mix", "margin", "common"]}
        usual = ["market", "public", "private", "v2Private"]
        urls = dict.fromkeys(names.get(venue_id, usual), f"http://{server.host}")
        yield server, CcxtExchange(venue_id, symbol, "key", "secret", "pass", RealTime(), urls, **more)


def look(exchange: CcxtExchange, *orders: Order) -> Any:
    return exchange.look("b", BARS, orders)


def submit(exchange: CcxtExchange, *orders: Order) -> list[tuple[str, str]]:
    return [(each.outcome, each.order_id) for each in told(exchange, *orders)]
