"""What bybit lists of orders and executions, and how it is asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.venues.bybit_asked import page_of, span_of
from tests.venues.bybit_words import Refused, Row, Words, updated
from tests.venues.engine import Engine, VenueExecution, VenueOrder

Asked = Mapping[str, Any]
DAY = timedelta(days=1)


class Listings:
    """These may be set at any time: `cleared`: closed orders up to then are told by the history only, as after a
    restart of bybit's; `history_lag_s`: how much later than `order/realtime` the history knows of a change.

    `quoted`: of orders by value, what they were to spend or earn; `taken_back`: orders that were cancelled by request.
    """

    def __init__(self, engine: Engine, words: Words) -> None:
        self.engine, self.words, self.history_lag_s = engine, words, 0.0
        self.cleared: datetime | None = None
        self.quoted: dict[int, Decimal] = {}
        self.taken_back: set[int] = set()

    def meant(self, asked: Asked) -> None:
        """Raises Refused unless category and symbol, as far as one is named, are those that are traded here."""
        if asked.get("category") != self.words.category:
            raise Refused(10001, "Illegal category")
        if asked.get("symbol", self.words.symbol) != self.words.symbol:
            raise self.words.refusal("no_symbol")

    def named(self, order: VenueOrder, asked: Asked) -> bool:
        """Whether it is the one that is asked for: by its id, else by ours."""
        if asked.get("orderId"):
            return bool(self.words.order_id(order.id) == asked["orderId"])
        return bool(asked.get("orderLinkId")) and bool(order.client_id == asked["orderLinkId"])

    def filtered(self, order: VenueOrder, kind: str | None) -> bool:
        return kind is None or (kind == "StopOrder") == ("stop" in order.kind)

    def realtime(self, asked: Asked) -> Row:
        """Open orders; with openOnly=1 the last 500 closed ones since the venue was restarted; by an id both."""
        if not (_by_id(asked) or self.words.spot or asked.keys() & {"symbol", "settleCoin", "baseCoin"}):
            raise Refused(10001, "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin")
        listed = self._listed(asked)
        closed = [o for o, at in listed if not o.resting and (self.cleared is None or at > self.cleared)][:500]
        known = {order.id for order in closed}
        if not _by_id(asked) and str(asked.get("openOnly", 0)) != "0":
            return self._rows(asked, closed)
        return self._rows(asked, [o for o, _ in listed if o.resting or (_by_id(asked) and o.id in known)])

    def history(self, asked: Asked) -> Row:
        """Closed orders of a week; those that were closed without an execution are forgotten after a day."""
        now = self.engine.clock.now()
        start, end = span_of(asked, now)
        until = now - timedelta(seconds=self.history_lag_s)
        orders = [
            order
            for order, at in self._listed(asked)
            if not order.resting and at <= until and start <= order.at <= end and (order.executed or at > now - DAY)
        ]
        wanted = asked.get("orderStatus")
        return self._rows(asked, [order for order in orders if wanted in {None, self.words.status(order)}])

    def executions(self, asked: Asked) -> Row:
        """Of a week; by an id all of that order."""
        self.meant(asked)
        start, end = span_of(asked, self.engine.clock.now())
        orders = self.engine.orders
        shown = [
            done
            for done in self.engine.shown_executions()
            if (self.named(orders[done.order_id], asked) if _by_id(asked) else start <= done.at <= end)
        ]
        rows = [self.words.execution(done, orders[done.order_id]) for done in reversed(shown)]
        wanted = asked.get("execType", "Trade") == "Trade"
        return {"category": self.words.category, **page_of(asked, rows if wanted else [], 50, 100)}

    def _listed(self, asked: Asked) -> list[tuple[VenueOrder, datetime]]:
        """The orders that are asked for as they are shown now, newest first, each with when it last changed."""
        self.meant(asked)
        found = [order for order in self.engine.listed_orders() if self.named(order, asked) or not _by_id(asked)]
        found = [order for order in found if self.filtered(order, asked.get("orderFilter"))]
        return [(order, updated(order, self._done(order))) for order in reversed(found)]

    def _done(self, order: VenueOrder) -> list[VenueExecution]:
        """The executions that an order shows."""
        until = self.engine.clock.now() - timedelta(seconds=self.engine.lag_orders_s)
        return [done for done in self.engine.executions if done.order_id == order.id and done.at <= until]

    def _rows(self, asked: Asked, orders: list[VenueOrder]) -> Row:
        rows = [
            self.words.order(o, self._done(o), quoted=self.quoted.get(o.id), taken_back=o.id in self.taken_back)
            for o in orders
        ]
        return {"category": self.words.category, **page_of(asked, rows, 20, 50)}


def _by_id(asked: Asked) -> bool:
    return bool(asked.get("orderId") or asked.get("orderLinkId"))
