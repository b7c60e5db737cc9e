"""bitbank's spot and margin trading, over ccxt's signed requests.

Everything goes through ccxt's implicit methods, one per endpoint: they send amounts and prices as the strings that they
are given, and hand out what the venue wrote, digit by digit. ccxt's unified methods know no margin, turn money into
floats and drop the trigger price of a stop.

Where the values here are from: bitbank's own API documents (rest-api.md, public-api.md, errors.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, Final

from msgspec.structs import replace

from core.adapters.bitbank_exchange import answers
from core.adapters.bitbank_exchange.answers import Account, Margin
from core.adapters.bitbank_exchange.codes import CODES, NO_SUCH_ORDER, OVER
from core.adapters.bitbank_exchange.rules import PairRules
from core.adapters.venue_line import Fault, Line, Refused, Unknown, item, vetting
from core.domain.bars import Bars
from core.domain.orders import ZERO, Answer, Execution, Intent, Listed, Order, Rules, Sight, Traits
from core.domain.settle import SKEW
from core.ports import Calls, Clock, Unavailable, Vetting

__all__ = ["BitbankExchange"]

log = logging.getLogger("hourhand.bitbank")

# rest-api.md, "Rate limit": QUERY 10 and UPDATE 6 a second for each user. Some stay for a person at the web page.
READS_PER_S, WRITES_PER_S = 8, 5
AHEAD_S: Final = 1.0  # by which our clock may be ahead of the venue's: by our clock, requests then live longer
SLACK_S: Final = 2.0  # for the venue to carry out a request that it got in time
PAGE, PAGE_LIMIT = 100, 1000  # executions
STRANGERS: Final = 4  # with more than one no order is told by elimination; some more are for a person to read
ROUNDS: Final = 3

NOTES: Final = (
    "It takes no id of ours for an order: one that was not answered is found by elimination.",
    "It lists open orders and executions, but no closed orders; an order by its id for three months.",
    "It tells no price of liquidation: its margin ratio falls to `losscut_percentage`, and then it closes positions.",
    "It has no server time: how old a request is, is measured against this machine's clock.",
    "It has no sandbox.",
    "Its limits are per user, not per key.",
    "An order at the market over its market_max_amount is refused, an exit like any other.",
    "A resting stop holds the amount that it would close, so it is cancelled before an exit is sent.",
)


class BitbankExchange:
    """ports.Exchange for one symbol ('BTC/JPY'). `margin`: margin positions; otherwise coins of one's own. Positions,
    orders and executions of the other kind are not looked at.

    `urls` is merged into ccxt's `urls['api']` (public, private, markets). `window_ms`: how old a request may be when
    the venue gets it, at most 60,000. Raises ValueError for settings that cannot be.
    """

    def __init__(
        self,
        symbol: str,
        key: str,
        secret: str,
        clock: Clock,
        urls: Mapping[str, Any],
        *,
        margin: bool = True,
        window_ms: int = 5000,
        timeout_ms: int = 10_000,
    ) -> None:
        base, _, quote = symbol.lower().partition("/")
        if not (base.isalnum() and quote.isalnum()):
            raise ValueError(f"bitbank: a symbol is like 'BTC/JPY', not {symbol!r}")
        if not 0 < window_ms <= 60_000:
            raise ValueError(f"bitbank: window_ms is {window_ms}, but bitbank allows 1 to 60000")
        self.symbol, self.pair, self.margin = symbol, f"{base}_{quote}", margin
        self._base, self._quote = base, quote
        self._key, self._secret, self._clock, self._urls = key, secret, clock, urls
        self._window_ms, self._timeout_ms = window_ms, timeout_ms
        self._market = PairRules(symbol, self.pair, margin, clock, self._ask)
        self._stamp: datetime | None = None  # what the request at hand is signed with, in place of now

    @cached_property
    def traits(self) -> Traits:
        """identity: "none", for what ended without an execution is on no list; so it takes an unchanged position and
        reserve to prove that an order never arrived. lasting_ids: it takes no ids. window_s: rest-api.md,
        "Authorization": a request is good for ACCESS-TIME-WINDOW after its ACCESS-REQUEST-TIME, which may be AHEAD_S
        ahead of the venue's clock. stops: an order of type `stop` rests as INACTIVE. short: `position_side`, on margin
        only. spot: coins of one's own are a balance."""
        window_s = self._window_ms / 1000 + AHEAD_S + SLACK_S
        spot = not self.margin
        return Traits(identity="none", window_s=window_s, stops="resting", spot=spot, short=self.margin, notes=NOTES)

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:  # noqa: ARG002
        rules, barred = self._market.rules()
        for _ in range(ROUNDS):  # what executes while we look would be in one answer and not in the other
            before = self._account()
            listed = self._orders(orders)
            executions = self._executions(orders, listed)
            listed += self._strangers(orders, listed, executions)
            account = self._account()
            if account.position == before.position:
                return self._seen(account, listed, executions, rules, barred)
        raise Unavailable(f"bitbank: the position in {self.symbol} changed in each of {ROUNDS} looks; look again")

    def _seen(
        self, account: Account, listed: tuple[Listed, ...], executions: tuple[Execution, ...], rules: Rules,
        barred: Sequence[str],
    ) -> Sight:  # fmt: skip
        told = self._margin_status(rules) if self.margin else Margin(account.reserved, free=account.free)
        return Sight(
            position=account.position,
            orders=listed,
            executions=executions,
            reserved=told.reserved,
            rules=rules if told.maintenance is None else replace(rules, maintenance=told.maintenance),
            barred="; ".join(filter(None, (*barred, account.barred, told.barred))),
            free=told.free,
            margin=told.margin,
        )

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:  # noqa: ARG002
        """After the first that is not placed nothing more is sent: no entry may follow an exit that is unknown."""
        told: list[Answer] = []
        for order in orders:
            if all(answer.outcome == "placed" for answer in told):
                told.append(self._place(order))
            else:
                told.append(_refused(order.intent, "not sent: an order before it was not placed"))
        return told

    def cancel(self, book: str, orders: Sequence[Order]) -> None:  # noqa: ARG002
        for order in orders:
            call = partial(self._line.exchange.privatePostUserSpotCancelOrder, self._named(order.order_id))
            try:
                self._line.write(call, f"cancel {order.order_id}")
            except (Refused, Unknown) as failure:
                if failure.code not in OVER:
                    log.warning("order %s may still be there: %s", order.order_id, failure.said)

    def calls(self) -> Calls:
        return self._line.calls()

    def vet(self) -> Vetting:
        """bitbank has no address for what a key may do (rest-api.md), and none for its time."""
        ccxt, margin = self._line.exchange, self.margin
        proof = ccxt.privateGetUserMarginPositions if margin else ccxt.privateGetUserAssets
        clock = partial(ccxt.publicGetPairCircuitBreakInfo, {"pair": self.pair})
        return vetting.vet(self._line, "bitbank", vetting.Questions(clock=clock, proof=proof))

    @cached_property
    def _line(self) -> Line:
        import ccxt

        exchange = ccxt.bitbank({"apiKey": self._key, "secret": self._secret, "timeout": self._timeout_ms})
        exchange.urls["api"] |= {name: str(url) for name, url in self._urls.items()}
        exchange.options["timeWindow"] = str(self._window_ms)
        exchange.milliseconds = lambda: round((self._stamp or self._clock.now()).timestamp() * 1000)
        return Line(exchange, self._clock, CODES, reads_per_s=READS_PER_S, writes_per_s=WRITES_PER_S)

    def _ask(self, method: str, what: str, **params: Any) -> dict[str, Any]:
        """The `data` of an answer. Raises Unavailable; Fault where the venue refused."""
        call = getattr(self._line.exchange, method)
        return item(self._line.read(lambda: call(params), what), "data", dict, f"bitbank, {what}")

    def _rows(self, name: str, method: str, what: str, **params: Any) -> list[Any]:
        return item(self._ask(method, what, **params), name, list, f"bitbank, {what}")

    # Orders

    def _place(self, order: Order) -> Answer:
        intent, unfit = order.intent, self._unfit(order)
        if unfit:
            return _refused(intent, f"not sent: {unfit}")
        try:
            order_id = self._line.write(lambda: self._send(order), intent.leg)
        except Refused as failure:
            return _refused(intent, failure.said)
        except Unknown as failure:
            return Answer(intent=intent.id, outcome="unknown", detail=failure.said)
        return Answer(intent=intent.id, outcome="placed", order_id=order_id)

    def _unfit(self, order: Order) -> str:
        """Why it makes no sense to send this, or ""."""
        intent = order.intent
        if intent.leg == "entry" and intent.side == "sell" and not self.margin:
            return "nobody can be short with coins of their own"
        if intent.leg == "stop" and intent.stop is None:
            return "a stop needs a price"
        if order.sent is not None and self._clock.now() > order.sent + timedelta(milliseconds=self._window_ms):
            return f"bitbank takes no request that is older than {self._window_ms} ms, and this one is by now"
        return ""

    def _send(self, order: Order) -> str:
        """Signed with the time at which it was written down, so that it expires a window after that and not later."""
        request = self._request(order.intent)
        self._stamp = order.sent
        try:
            return answers.placed(self._line.exchange.privatePostUserSpotOrder(request), request)
        finally:
            self._stamp = None

    def _request(self, intent: Intent) -> dict[str, str]:
        """A stop is of type `stop`, which trades at the market: a `stop_limit` whose price the market jumps over would
        stay there unfilled, and protect nothing."""
        request = {"pair": self.pair, "amount": _plain(intent.amount), "side": intent.side, "type": "market"}
        if intent.leg == "stop" and intent.stop is not None:
            request |= {"type": "stop", "trigger_price": _plain(intent.stop)}
        if self.margin:
            is_long = (intent.side == "buy") == (intent.leg == "entry")  # exits and stops are on the other side
            request["position_side"] = "long" if is_long else "short"
        return request

    def _named(self, order_id: str) -> dict[str, Any]:
        return {"pair": self.pair, "order_id": int(order_id) if order_id.isdecimal() else order_id}

    def _orders(self, asked: Sequence[Order]) -> tuple[Listed, ...]:
        """Every open order; and those of `asked` that are not open, if the venue still knows them."""
        what = "open orders"
        rows = self._rows("orders", "privateGetUserSpotActiveOrders", what, pair=self.pair)
        found = [self._listed(row, asked, what) for row in rows if self._ours(row)]
        seen = {order.order_id for order in found}
        ids = dict.fromkeys(order.order_id for order in asked if order.order_id and order.order_id not in seen)
        return (*found, *self._by_id(ids, asked))

    def _strangers(
        self, asked: Sequence[Order], listed: Sequence[Listed], executions: Sequence[Execution]
    ) -> tuple[Listed, ...]:
        """The newest of those orders that only executions tell of, and that may be one of `asked` that has no id yet:
        what they were for, and how they ended, is told by the orders themselves."""
        nameless = [(order.before.ids, order.sent - SKEW) for order in asked if order.sent and not order.order_id]
        known = {order.order_id for order in asked} | {order.order_id for order in listed}
        new = [done for done in reversed(executions) if done.order_id not in known]
        ids = dict.fromkeys(
            done.order_id
            for done in new
            if any(done.order_id not in old and done.at >= since for old, since in nameless)
        )
        return self._by_id(list(ids)[:STRANGERS], asked)

    def _by_id(self, ids: Iterable[str], asked: Sequence[Order]) -> tuple[Listed, ...]:
        """Those that the venue knows."""
        found = []
        for order_id in ids:
            what = f"order {order_id}"
            try:
                found.append(
                    self._listed(self._ask("privateGetUserSpotOrder", what, **self._named(order_id)), asked, what)
                )
            except Fault as fault:
                if fault.code != NO_SUCH_ORDER:
                    raise
        return tuple(found)

    def _listed(self, row: Any, asked: Sequence[Order], what: str) -> Listed:
        """As it is; but one that is about the other position than each of `asked` without an id that trades on its side
        is none of these, and so of another kind."""
        found = answers.listed(row, self.pair, f"bitbank, {what}")
        nameless = [order.intent for order in asked if order.sent and not order.order_id]
        like = [intent for intent in nameless if intent.side == found.side]
        sides = {self._request(intent).get("position_side") for intent in like}
        return replace(found, kind="other") if sides and row.get("position_side") not in sides else found

    def _ours(self, row: Any) -> bool:
        """Whether it belongs to margin trading, or not, as we do."""
        if not isinstance(row, Mapping):
            raise Unavailable(f"bitbank: a list of its answers holds {row!r}, which is no order and no execution")
        return (row.get("position_side") is not None) == self.margin

    # Executions

    def _executions(self, asked: Sequence[Order], listed: Sequence[Listed]) -> tuple[Execution, ...]:
        """The newest, back to the oldest of `asked` that has no id yet; and all of those of `asked` that have one."""
        nameless = [order.sent for order in asked if order.sent is not None and not order.order_id]
        found = self._newest(min(nameless) - timedelta(seconds=2 * AHEAD_S) if nameless else None)
        ours = {order.order_id for order in asked if order.order_id}
        for order in listed:
            told = sum((one.amount for one in found.values() if one.order_id == order.order_id), ZERO)
            if order.order_id in ours and order.executed is not None and told < order.executed:
                found |= self._read(self._trades(PAGE_LIMIT, order_id=order.order_id))
        return tuple(sorted(found.values(), key=lambda one: (one.at, int(one.id))))

    def _newest(self, since: datetime | None) -> dict[str, Execution]:
        """At least back to `since`, and nothing older that an earlier look may not have shown: it would pass for new.

        Not by the venue's parameter of that name: its unit is not told, and a wrong one would hide executions.
        """
        rows = self._trades(PAGE)
        if since is None or len(rows) < PAGE or min(map(_at, rows)) < since:
            return self._read(rows)
        more = self._trades(PAGE_LIMIT)
        if len(more) == PAGE_LIMIT and min(map(_at, more)) >= since:
            raise Unavailable(f"bitbank: over {PAGE_LIMIT} executions in {self.symbol} since {since}: look at its page")
        return self._read([*rows, *(row for row in more if _at(row) >= since)])

    def _trades(self, count: int, **more: str) -> list[Any]:
        what = "executions"
        return self._rows("trades", "privateGetUserSpotTradeHistory", what, pair=self.pair, count=count, **more)

    def _read(self, rows: Sequence[Any]) -> dict[str, Execution]:
        found = (answers.execution(row, self.pair, "bitbank, executions") for row in rows if self._ours(row))
        return {one.id: one for one in found}

    # The account and the rules

    def _account(self) -> Account:
        if self.margin:
            what = "margin positions"
            rows = self._rows("positions", "privateGetUserMarginPositions", what)
            return answers.positions(rows, self.pair, f"bitbank, {what}")
        rows = self._rows("assets", "privateGetUserAssets", "assets")
        return answers.assets(rows, self._base, self._quote, "bitbank, assets")

    def _margin_status(self, rules: Rules) -> Margin:
        what = "margin status"
        data = self._ask("privateGetUserMarginStatus", what)
        return answers.margin_status(data, self.pair, rules.leverage, f"bitbank, {what}")


def _refused(intent: Intent, said: str) -> Answer:
    return Answer(intent=intent.id, outcome="refused", detail=said)


def _at(row: Any) -> datetime:
    return answers.executed_at(row, "bitbank, executions")


def _plain(value: Decimal) -> str:
    """Exactly `value`, without an exponent and without zeros at its end."""
    return f"{value.normalize():f}"
