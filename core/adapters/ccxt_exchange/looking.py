"""What a venue shows: open orders, those that are asked about, our executions, the position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from core.adapters.ccxt_exchange import money, reading
from core.adapters.ccxt_exchange.reading import Market, Row, Traded
from core.adapters.venue_line import Line, number
from core.domain.orders import ZERO, Listed, Order, Rules, Sight
from core.ports import Unavailable

T = TypeVar("T")
ROUNDS: Final = 3
Rows = dict[str, Row]  # orders of ccxt's by the venue's id


class Held(NamedTuple):
    """The position in base coin, and what was told along with it; see Sight."""

    position: Decimal
    free: Decimal | None = None
    liquidation: Decimal | None = None


class Looking:
    """Reads only. All methods raise Unavailable."""

    def __init__(self, line: Line, at: Market) -> None:
        self._line, self._ccxt, self._at, self._venue = line, line.exchange, at, at.venue

    def sight(self, orders: Sequence[Order], rules: Rules | None) -> Sight:
        after = self._held()
        for _ in range(ROUNDS):  # what executes while we look would be in one answer and not in the other
            before, rows = after, self.orders(orders)
            told = self._told(rows, orders)
            after = self._held()
            if after.position == before.position:
                return self._seen(after, rows, told, orders, rules)
        raise Unavailable(f"{self._at.where}: the position changed in each of {ROUNDS} looks; look again")

    def _seen(
        self, held: Held, rows: Rows, told: Sequence[Traded], orders: Sequence[Order], rules: Rules | None
    ) -> Sight:
        listed = {
            name: reading.listed(self._at, row, [each for each in told if each.done.order_id == name])
            for name, row in rows.items()
        }
        executions = sorted((each.done for each in told), key=lambda done: (done.at, done.id))
        return Sight(
            position=held.position,
            orders=(*listed.values(), *_only_told(orders, listed, told)),
            executions=tuple(executions),
            rules=rules,
            barred=self._at.barred or self._closed(),
            free=held.free if self._at.spot else self._free(),
            liquidation=held.liquidation,
        )

    def _free(self) -> Decimal | None:
        """Of an account for contracts: positions do not tell it, so this is one request more."""
        call = getattr(self._ccxt, self._venue.collateral) if self._venue.collateral else self._ccxt.fetch_balance
        return money.free(self._at, self._read(call, "money"))

    def _closed(self) -> str:
        if not self._venue.board:
            return ""
        fetch, product = getattr(self._ccxt, self._venue.board), self._ccxt.market_id(self._at.symbol)
        return reading.closed(self._at, self._read(lambda: fetch({"product_code": product}), "state of the market"))

    def orders(self, orders: Sequence[Order]) -> Rows:
        """Every open order, and each of `orders` that the venue knows; all of them where it lists all."""
        rows = _named(self._open())
        for order in orders:
            if among(self._at, rows, order) is None:
                rows |= {name: row for name, row in _named(self._asked(order)).items() if name not in rows}
        return rows

    def offer(self) -> Decimal:
        """The best offer."""
        ticker = self._read(lambda: self._ccxt.fetch_ticker(self._at.symbol), "best offer")
        return number(ticker, "ask", self._at.where)

    def _open(self) -> list[Row]:
        symbol, page = self._at.symbol, self._venue.page[0]
        if self._venue.lookup == "listed":
            rows: list[Row] = self._read(lambda: self._ccxt.fetch_orders(symbol, None, page), "orders")
            return rows
        apart = self._venue.stop_lists[not self._at.spot]
        rows = self._open_page({})
        return rows + self._open_page(apart) if apart else rows

    def _open_page(self, params: Mapping[str, Any]) -> list[Row]:
        page = self._venue.page[0]
        rows: list[Row] = self._read(
            lambda: self._ccxt.fetch_open_orders(self._at.symbol, None, page, dict(params)), "open orders"
        )
        if len(rows) >= page:
            raise Unavailable(f"{self._at.where}: {page} orders are open, and there may be more: cancel some")
        return rows

    def _asked(self, order: Order) -> list[Row]:
        """The order if the venue knows it, perhaps among others."""
        if self._venue.lookup == "filtered":
            return self._filtered({"orderId": order.order_id} if order.order_id else {"orderLinkId": order.intent.id})
        if self._venue.lookup == "listed":
            return self._listed(order.order_id) if order.order_id else []
        if order.intent.leg == "stop" and not self._venue.stop_id:
            return [row for row in self._ended_stops() if _is(self._at, row, order)]
        row = self._read(lambda: _or_none(lambda: self._single(order)), "an order")
        return [] if row is None else [row]

    def _filtered(self, by: Mapping[str, str]) -> list[Row]:
        ccxt, symbol = self._ccxt, self._at.symbol
        rows: list[Row] = self._read(lambda: ccxt.fetch_open_orders(symbol, None, None, dict(by)), "an order")
        if not rows:
            ended = ccxt.fetch_canceled_and_closed_orders
            rows = self._read(lambda: ended(symbol, None, None, dict(by)), "an ended order")
        return rows

    def _listed(self, order_id: str) -> list[Row]:
        by = {"child_order_acceptance_id": order_id}
        rows: list[Row] = self._read(lambda: self._ccxt.fetch_orders(self._at.symbol, None, 1, dict(by)), "an order")
        return rows

    def _ended_stops(self) -> list[Row]:
        page, fetch = self._venue.page[0], self._ccxt.fetch_canceled_and_closed_orders
        rows: list[Row] = self._read(lambda: fetch(self._at.symbol, None, page, {"trigger": True}), "ended stops")
        return rows

    def _single(self, order: Order) -> Row:
        ccxt, symbol = self._ccxt, self._at.symbol
        if self._venue.lookup == "client" and not order.order_id:
            answer = ccxt.private_get_order_orders_getclientorder({"clientOrderId": order.intent.id})
            row: Row = ccxt.parse_order(answer["data"], ccxt.market(symbol))
            return row
        params: dict[str, Any] = {} if order.order_id else {"clientOrderId": order.intent.id}
        if order.intent.leg == "stop":
            params["trigger"] = True
        found: Row = ccxt.fetch_order(order.order_id, symbol, params)
        return found

    def _told(self, rows: Rows, orders: Sequence[Order]) -> list[Traded]:
        """The newest page of our executions, and those of `orders` that are not on it. A triggered stop's are of the
        order that it has become, and get the stop's own name."""
        page, symbol = self._venue.page[1], self._at.symbol
        told = self._traded(lambda: self._ccxt.fetch_my_trades(symbol, None, page), "executions")
        asked = [row for row in (among(self._at, rows, order) for order in orders) if row is not None]
        for row in asked:
            name = reading.child(self._venue, row) or str(row["id"])
            have = sum((each.gross for each in told.values() if each.done.order_id == name), ZERO)
            if row.get("filled") is not None and have < number(row, "filled", self._at.where) * self._at.size:
                told |= self._traded(lambda name=name: self._executions_of(name), "executions of an order")  # type: ignore[misc]
        names = {reading.child(self._venue, row): name for name, row in rows.items()}
        tags = {tag: name for name, row in rows.items() if (tag := reading.tag(self._venue, row))}
        return [_renamed(each, names.get(each.done.order_id) or tags.get(each.tag)) for each in told.values()]

    def _traded(self, call: Callable[[], Any], what: str) -> dict[str, Traded]:
        found = (reading.traded(self._at, row) for row in self._read(call, what))
        return {each.done.id: each for each in found}

    def _executions_of(self, order_id: str) -> Any:
        symbol, page, by = self._at.symbol, self._venue.page[1], self._venue.by_order
        if not by:
            return self._ccxt.fetch_order_trades(order_id, symbol)
        return self._ccxt.fetch_my_trades(symbol, None, page, {by: order_id})

    def _held(self) -> Held:
        found = self._read(self.account, "balances" if self._at.spot else "positions")
        if self._at.spot:
            return Held(reading.balance(self._at, found), money.free(self._at, found))
        return Held(reading.held(self._at, found), liquidation=money.liquidation(self._at, found))

    def account(self) -> Any:
        """Asks for what is held, once: balances, or positions."""
        if self._at.spot:
            return self._ccxt.fetch_balance()
        if self._venue.positions:
            return getattr(self._ccxt, self._venue.positions)({"product_code": self._ccxt.market_id(self._at.symbol)})
        return self._ccxt.fetch_positions([self._at.symbol])

    def _read(self, call: Callable[[], T], what: str) -> T:
        return self._line.read(call, f"{self._at.symbol} {what}")


def among(at: Market, rows: Rows, order: Order) -> Row | None:
    """`order` as the venue shows it in `rows`."""
    return next((row for row in rows.values() if _is(at, row, order)), None)


def _is(at: Market, row: Row, order: Order) -> bool:
    name, tag = str(row.get("id")), reading.tag(at.venue, row)
    return bool(order.order_id and name == order.order_id) or bool(tag and tag == order.intent.id)


def _named(rows: Sequence[Row]) -> Rows:
    return {str(row.get("id")): row for row in rows}


def _renamed(each: Traded, name: str | None) -> Traded:
    return each if name is None else replace(each, done=replace(each.done, order_id=name))


def _only_told(orders: Sequence[Order], listed: Mapping[str, Listed], told: Sequence[Traded]) -> list[Listed]:
    """Orders that no list shows, while executions carry our id for them."""
    shown = {each.tag for each in listed.values()} | set(listed)
    found = []
    for order in orders:
        intent = order.intent
        of = [each for each in told if each.tag == intent.id]
        if not of or intent.id in shown or of[0].done.order_id in shown:
            continue
        gross = sum((each.gross for each in of), ZERO)
        found.append(
            Listed(
                order_id=of[0].done.order_id,
                side=intent.side,
                amount=intent.amount,
                status="filled" if gross >= intent.amount else "open",
                tag=intent.id,
                executed=sum((each.done.amount for each in of), ZERO),
                kind="stop" if intent.leg == "stop" else "market",
                stop=intent.stop if intent.leg == "stop" else None,
            )
        )
    return found


def _or_none(call: Callable[[], T]) -> T | None:
    """None when the venue says that there is no such order."""
    import ccxt

    try:
        return call()
    except ccxt.OrderNotFound:
        return None
