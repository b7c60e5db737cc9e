"""bitbank's adapter beside a simulated bitbank on loopback, whose answers can be changed on their way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from msgspec.structs import replace

from core.adapters.bitbank_exchange import BitbankExchange
from core.domain.bars import moment
from core.domain.orders import Intent, Leg, Order, Rules, Side, Sight
from core.ports import Clock
from tests.adapters.candle_venues import walk
from tests.venues.bitbank import Bitbank
from tests.venues.engine import Engine, Kind, VenueClock
from tests.venues.server import Served, serving

BARS = walk(200)
RULES = Rules(tick=Decimal("0.1"))
ORDER = "/v1/user/spot/order"
Edit = Callable[[Any], Any]


class Edited(Bitbank):
    """Its answers to a path are changed on their way out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edits: dict[str, Edit] = {}

    def _data(self, method: str, path: str, *rest: Any) -> Any:
        data = json.loads(json.dumps(super()._data(method, path, *rest)))
        edit = next((edit for end, edit in self.edits.items() if path.endswith(end)), None)
        return edit(data) if edit else data


class OfVenue:
    """A Clock that shows the venue's time, and moves it on while it sleeps."""

    def __init__(self, clock: VenueClock, ahead_s: float = 0.0) -> None:
        self._clock, self._ahead = clock, timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class Bench:
    engine: Engine
    venue: Edited
    url: Served
    exchange: BitbankExchange
    clock: Clock  # ours
    count: Iterator[int] = field(default_factory=count)

    def look(self, *orders: Order) -> Sight:
        return self.exchange.look("btc", BARS, orders)

    def place(self, leg: Leg = "entry", side: Side = "buy", amount: str = "0.1", stop: Decimal | None = None) -> Order:
        """Placed, or the test ends here."""
        order = self.order(leg, side, amount, stop)
        (told,) = self.exchange.submit("btc", [order])
        assert (told.outcome, told.intent) == ("placed", order.intent.id), told.detail
        return replace(order, status="acknowledged", order_id=told.order_id)

    def order(self, leg: Leg = "entry", side: Side = "buy", amount: str = "0.1", stop: Decimal | None = None) -> Order:
        """Written down now, with a price for a stop; not sent yet."""
        trigger = stop or (self.engine.price() + (1000 if side == "buy" else -1000) if leg == "stop" else None)
        now, name = self.engine.clock.now(), f"hh{next(self.count)}"
        intent = Intent(id=name, book="btc", bar=now, leg=leg, side=side, amount=Decimal(amount), stop=trigger)
        return Order(intent=intent, status="sent", sent=self.clock.now())

    def bodies(self, path: str = ORDER) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.url.asked("POST", path)]


@contextmanager
def bench(
    *, margin: bool = True, timeout_ms: int = 2000, base: str = "0", ahead_s: float = 0.0, own: RealClock | None = None
) -> Iterator[Bench]:
    """`own`: our clock; without it we and the venue go by the simulated one, ours `ahead_s` ahead."""
    clock = VenueClock(moment(BARS.time[50]))
    kind: Kind = "margin" if margin else "spot"
    engine = Engine(BARS, clock, kind=kind, rules=RULES, cash=Decimal(1_000_000), base=Decimal(base))
    venue = Edited(engine, key="KEYKEYKEY", secret="SECRETSECRET", request_clock=None if own else clock.now)
    with serving(venue) as url:
        urls = dict.fromkeys(("public", "private", "markets"), url)
        ours: Clock = own or OfVenue(clock, ahead_s)
        made = BitbankExchange("BTC/JPY", "KEYKEYKEY", "SECRETSECRET", ours, urls, margin=margin, timeout_ms=timeout_ms)
        yield Bench(engine, venue, url, made, ours)
