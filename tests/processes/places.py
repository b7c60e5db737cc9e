"""The two venues that are traded at: what each is called, how its server is made, and how a request of its says which
order it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from core.domain.orders import Intent, Rules
from tests.processes import market
from tests.processes.passage import Request as Passing
from tests.venues.bitbank import Bitbank
from tests.venues.bybit import Bybit
from tests.venues.engine import Engine, Kind, VenueClock
from tests.venues.server import Request, Speaker

KEY, SECRET = "key-of-a-test", "secret-of-a-test"
D = Decimal
RULES: Final = ("LOT", "TICK", "MINIMUM_AMOUNT", "MINIMUM_NOTIONAL", "TAKER", "MAKER", "INTEREST_PER_DAY", "LEVERAGE")


class Place(NamedTuple):
    """`order`: the path that orders are posted to; `signed`: the header with a request's time, in milliseconds."""

    id: str
    symbol: str
    kind: Kind
    rules: Rules
    cash: Decimal
    order: str
    signed: str
    urls: tuple[str, ...]

    def engine(self, start: datetime) -> Engine:
        clock = VenueClock(start, real=True)
        return Engine(market.bars(), clock, kind=self.kind, rules=self.rules, cash=self.cash)

    def speaker(self, engine: Engine) -> Speaker:
        if self.id == "bitbank":
            return Bitbank(engine, key=KEY, secret=SECRET)
        return Bybit(engine, key=KEY, secret=SECRET)

    def settings(self, url: str) -> dict[str, str]:
        addresses = ", ".join(f'{name} = "http://{url}"' for name in self.urls)
        return {
            "HOURHAND__VENUE__ID": self.id,
            "HOURHAND__VENUE__URLS": f"{{{addresses}}}",
            "HOURHAND__BOOKS": f'[{{id = "btc", symbol = "{self.symbol}"}}]',
            "HOURHAND__POLICY__CAPITAL": str(self.cash),
            **{f"HOURHAND__RULES__{name}": str(getattr(self.rules, name.lower())) for name in RULES},
            "VENUE_API_KEY": KEY,
            "VENUE_API_SECRET": SECRET,
        }

    def sent_at(self, headers: Mapping[str, str]) -> int:
        """The time that a request was signed with."""
        return int(headers.get(self.signed, 0))

    def says(self, request: Passing, intent: Intent) -> bool:
        """Whether the order that is asked for is `intent`, as far as the venue lets one say so."""
        asked: dict[str, Any] = json.loads(request.body)
        amount = Decimal(asked.get("amount") or asked.get("qty") or 0)
        same = (asked["side"].lower(), amount) == (intent.side, intent.amount)
        return same and asked.get("orderLinkId", intent.id) == intent.id

    def placed(self, request: Request) -> int | None:
        """The venue's number of the order that this request placed, whether or not anyone heard of it."""
        if (
            (request.method, request.path) != ("POST", self.order)
            or not request.processed
            or not request.answer.startswith(b"{")
        ):
            return None
        answer = json.loads(request.answer)
        if self.id == "bitbank":
            return int(answer["data"]["order_id"]) if answer["success"] else None
        return self.number(answer["result"]["orderId"]) if answer["retCode"] == 0 else None

    def number(self, name: str) -> int:
        """What the engine calls an order or an execution that the venue calls `name`."""
        return int(name) if self.id == "bitbank" else int(name[:8], 16)


PLACES: Final = {
    "bitbank": Place(
        "bitbank",
        "BTC/JPY",
        "margin",
        Rules(tick=D("0.1")),
        D(1_000_000),
        "/v1/user/spot/order",
        "access-request-time",
        ("public", "private", "markets"),
    ),
    "bybit": Place(
        "bybit",
        "BTC/USDT:USDT",
        "linear",
        Rules(lot=D("0.001"), tick=D("0.1"), minimum_amount=D("0.001"), minimum_notional=D(5), interest_per_day=D(0)),
        D(1_000_000),
        "/v5/order/create",
        "x-bapi-timestamp",
        ("public", "private"),
    ),
}
