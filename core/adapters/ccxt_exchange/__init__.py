"""Orders at the venues that ccxt knows: bybit, okx, bitget and bittrade, which keep an id of ours, and bitflyer, which
lists every order. What each does in its own way is in `venues`; how its answers are read is in `reading`.

Entries and exits go at the market, in base coin. A venue that counts a market order to buy in quote currency (bitget
and bittrade, spot) gets a limit order SLIP above the best offer instead, which is cancelled at once as far as it did
not execute: so exactly the amount is bought, or less, and never at any price.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Final, Literal, cast

from msgspec.structs import replace

from core.adapters.ccxt_exchange import connection, placing, reading, rights
from core.adapters.ccxt_exchange.looking import Looking, among
from core.adapters.ccxt_exchange.reading import Market
from core.adapters.venue_line import NOT_SENT, Line, Refused, Unknown
from core.domain.bars import Bars
from core.domain.orders import Answer, Order, Rules, Sight, Traits
from core.ports import Calls, Clock, Unavailable, Vetting

log = logging.getLogger(__name__)

MARKETS_FOR: Final = timedelta(minutes=10)  # so the list of markets is asked for once a tick


class CcxtExchange:
    """One market at one venue. `symbol` in ccxt's words: 'BTC/USDT' (spot) or 'BTC/USDT:USDT' (perpetual, one-way).

    `urls` is merged into ccxt's `urls.api`. `sandbox`: the venue's testnet or demo account. `margin`: of contracts,
    where an order names it; leverage is what the account is set to at the venue. `rules`: those of the settings; in
    what is seen, lot, tick and minimums are the venue's own. Connects at the first call. Raises ValueError for a venue
    or symbol that cannot be traded.
    """

    def __init__(
        self,
        venue_id: str,
        symbol: str,
        key: str,
        secret: str,
        password: str,
        clock: Clock,
        urls: Mapping[str, Any],
        *,
        sandbox: bool = False,
        margin: Literal["cross", "isolated"] = "cross",
        rules: Rules | None = None,
    ) -> None:
        self._venue = connection.venue(venue_id, symbol, sandbox)
        self._symbol, self._margin, self._given = symbol, margin, rules
        self._connection = partial(
            connection.connect,
            venue_id,
            {"apiKey": key, "secret": secret, "password": password},
            symbol,
            sandbox=sandbox,
            urls=urls,
            known=self._venue,
        )
        self._clock, self._signed = clock, cast("datetime | None", None)
        self._known: tuple[datetime, Market, Rules | None] | None = None

    @property
    def traits(self) -> Traits:
        venue, spot = self._venue, ":" not in self._symbol
        name, notes = venue.codes.name, venue.notes
        if not spot:
            notes += (f"{name}: leverage is what the account is set to at the venue.",)
        elif venue.buy:
            notes += (f"{name}: it buys at {placing.SLIP:.0%} above the best offer at most, and what is left lapses.",)
        return Traits(
            identity="id" if venue.id_limit else "listing",
            lasting_ids=venue.lasting_ids,
            window_s=venue.window_s,
            stops="resting" if venue.stops else "none",
            spot=spot,
            short=not spot,
            notes=notes,
        )

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:  # noqa: ARG002
        at, rules = self._ready(fresh=True)
        return Looking(self._line, at).sight(orders, rules)

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:  # noqa: ARG002
        answers: list[Answer] = []
        for order in orders:
            if answers and answers[-1].outcome != "placed":
                why = "not sent, because the order before it was not placed"
                answers.append(Answer(intent=order.intent.id, outcome="refused", detail=why))
            else:
                answers.append(self._submitted(order))
        return answers

    def cancel(self, book: str, orders: Sequence[Order]) -> None:  # noqa: ARG002
        try:
            at, _ = self._ready()
        except Unavailable as failure:
            log.warning("nothing was taken back: %s", failure)
            return
        for order in orders:
            stop = order.intent.leg == "stop" and self._venue.stop_cancel[not at.spot]
            self._cancelled(order.order_id, {"trigger": True} if stop else {})

    def _cancelled(self, order_id: str, params: Mapping[str, Any]) -> None:
        try:
            self._write(
                lambda: self._ccxt.cancel_order(order_id, self._symbol, dict(params)), f"cancel {order_id}", blank=True
            )
        except (Refused, Unknown) as failure:  # it may have been filled, or be gone already: the next look tells
            log.warning("order %s may still be there: %s", order_id, failure.said)

    def _submitted(self, order: Order) -> Answer:
        intent = order.intent
        try:
            at, _ = self._ready()
            asked = placing.request(self._ccxt, at, intent, self._margin, Looking(self._line, at).offer)
        except (Unavailable, ValueError) as error:
            return Answer(intent=intent.id, outcome="refused", detail=f"{NOT_SENT}: {error}")
        try:
            row = self._write(
                lambda: self._ccxt.create_order(self._symbol, *asked),
                f"{intent.leg} {intent.side} {intent.amount}",
                sent=order.sent,
            )
        except Refused as error:
            return Answer(intent=intent.id, outcome="refused", detail=error.said)
        except Unknown as error:
            return self._unanswered(at, order, error)
        if not row.get("id"):
            return Answer(intent=intent.id, outcome="unknown", detail="its answer names no order")
        return Answer(intent=intent.id, outcome="placed", order_id=str(row["id"]))

    def _unanswered(self, at: Market, order: Order, error: Unknown) -> Answer:
        if error.code not in self._venue.duplicates:
            return Answer(intent=order.intent.id, outcome="unknown", detail=error.said)
        name = self._name_of(at, order)
        return Answer(intent=order.intent.id, outcome="placed", detail=error.said, order_id=name)

    def _name_of(self, at: Market, order: Order) -> str:
        """The venue's name for an order that it says it has; "" when that cannot be learnt now."""
        try:
            found = among(at, Looking(self._line, at).orders([order]), order)
        except Unavailable:
            return ""
        return "" if found is None else str(found["id"])

    def _ready(self, *, fresh: bool = False) -> tuple[Market, Rules | None]:
        """The market and its rules, once the list of markets has been fetched; if `fresh`, not long ago. A list that
        cannot be had anew bars new risk only. Raises Unavailable."""
        now, known = self._clock.now(), self._known
        if known is not None and (not fresh or timedelta() <= now - known[0] <= MARKETS_FOR):
            return known[1:]
        try:
            self._line.read(self._load, "list of markets")
        except Unavailable as failure:
            if known is None:
                raise
            return replace(known[1], barred=str(failure)), known[2]
        row, name = self._ccxt.markets.get(self._symbol), self._venue.codes.name
        if row is None:
            raise Unavailable(f"{name} does not list {self._symbol}: check the symbol, and whether it is traded")
        at = reading.market(self._venue, row)
        self._known = now, at, reading.rules(row, at.size, self._given) if self._given else None
        return self._known[1:]

    def calls(self) -> Calls:
        return self._line.calls()

    def vet(self) -> Vetting:
        at, _ = self._ready(fresh=True)
        return rights.vetted(self._line, at)

    @cached_property
    def _ccxt(self) -> Any:
        exchange = self._connection()
        exchange.milliseconds = self._milliseconds
        exchange.seconds = lambda: self._milliseconds() // 1000  # bitflyer's requests are signed with these
        return exchange

    @cached_property
    def _line(self) -> Line:
        (reads, writes), (reads_per_min, writes_per_min) = self._venue.per_s, self._venue.per_min
        return Line(
            self._ccxt,
            self._clock,
            self._venue.codes,
            reads_per_s=reads,
            writes_per_s=writes,
            reads_per_min=reads_per_min,
            writes_per_min=writes_per_min,
        )

    def _milliseconds(self) -> int:
        """The time that ccxt signs a request with."""
        return round((self._signed or self._clock.now()).timestamp() * 1000)

    def _load(self) -> None:
        """All that ccxt would otherwise fetch in the middle of placing an order."""
        self._ccxt.load_markets(True)
        if self._venue.accounts:
            self._ccxt.load_accounts()  # an order names the first of them
            self._ccxt.accounts.sort(key=lambda account: account.get("type") != "spot")

    def _write(self, call: Callable[[], Any], what: str, *, sent: datetime | None = None, blank: bool = False) -> Any:
        """`sent`: the time that the request is signed with, so that it expires at the venue so long after it; now. One
        that has expired by then is not sent, for not every venue checks."""

        def signed() -> Any:
            if sent is not None and self._clock.now() > sent + timedelta(seconds=self._venue.age_s):
                raise ValueError(f"it was written down over {self._venue.age_s:g} s ago")
            self._signed = sent
            try:
                answer = call()
            finally:
                self._signed = None
            heard = self._ccxt.last_json_response
            if heard and self._venue.codes.of(heard):  # the line reads the code again
                raise ValueError(f"refused inside of an answer of success: {heard}")
            return answer

        return self._line.write(signed, f"{self._symbol} {what}", blank=blank)
