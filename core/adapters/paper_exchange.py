"""The paper exchange: the backtest's fill model with a lasting memory in the state store (`paper/{book}`).

A fill is remembered by the look that tells of it: walked again over other bars (fewer, after a long pause; more, when
the venue mends a hole) it would be another fill, and the book would have booked both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from core.domain.bars import Bars
from core.domain.fills import PAPER, Account, Costs, accept, advance, sight
from core.domain.orders import Answer, Holding, Order, Rules, Sight, Traits, exact
from core.ports import Calls, Conflict, StateStore, Unavailable, Vetting, Write

REMEMBER_AFTER = timedelta(days=4)  # until then the bars are walked again: cheap, and one write less each tick


class PaperExchange:
    """Fills at the next open and stops inside the bar, as core.domain.fills says. One account for each book."""

    def __init__(self, state: StateStore, opening: Holding, rules: Rules, costs: Costs) -> None:
        self._state, self._opening, self._rules, self._costs = state, opening, rules, costs
        self._seen: dict[str, tuple[Account, str | None]] = {}

    @property
    def traits(self) -> Traits:
        return PAPER

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        return sight(self._moved(book, bars, orders), orders, _last(bars))

    def _moved(self, book: str, bars: Bars, orders: Sequence[Order]) -> Account:
        stored = self._state.read([_key(book)])[_key(book)]
        known = _read(stored.data) if stored.data else Account(holding=self._opening)
        if known.bar is None and len(bars):  # a new account has seen no market: it starts with the newest bar
            bars = bars[-1:]
        account = advance(known, bars, self._rules, self._costs)
        doubted = any(o.status in ("sent", "unknown") and o.intent.id not in account.known for o in orders)
        if doubted:  # "nothing of it" must stay true, also for a request that is still on its way
            account = replace(account, asked=account.asked + 1)
        self._seen[book] = account, stored.version
        if doubted or account.fills != known.fills or _far(known, account):
            try:
                self._remember(book, account, stored.version)
            except Conflict:
                self._overtaken(book, account)
        return account

    def _overtaken(self, book: str, account: Account) -> None:
        """Another invocation that walked the same bars has remembered the same. What is not remembered is not told."""
        stored = self._state.read([_key(book)])[_key(book)]
        if stored.data is None or _read(stored.data).fills != account.fills:
            raise Unavailable("another invocation moved the paper account: try again")
        self._seen[book] = account, stored.version

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        """Takes the orders into the account as it was last looked at. Raises LookupError when it never was."""
        account, version = self._seen[book]
        for order in orders:
            account = accept(account, order.intent)
        try:
            self._remember(book, account, version)
        except (Conflict, Unavailable) as failure:
            why = str(failure) or "another invocation moved the paper account"
            return [Answer(intent=order.intent.id, outcome="unknown", detail=why) for order in orders]
        names = [order.intent.id for order in orders]
        return [Answer(intent=name, outcome="placed", order_id=name) for name in names]

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        """An order here waits for the next bar's open and no longer: there is nothing to take back."""

    def calls(self) -> Calls:
        """None: there is no venue behind it."""
        return Calls()

    def vet(self) -> Vetting:
        """There is no key, so nothing can be withdrawn, and no clock but ours."""
        return Vetting(withdraw=False, skew_s=0.0)

    def _remember(self, book: str, account: Account, version: str | None) -> None:
        """Raises Conflict."""
        document = msgspec.msgpack.decode(msgspec.msgpack.encode(account))
        written = self._state.commit([Write(_key(book), document, version)])
        self._seen[book] = account, written[_key(book)]


def _last(bars: Bars) -> Decimal | None:
    """The newest price that a market can print."""
    closes = (float(close) for close in reversed(bars.close))
    return next((exact(close) for close in closes if 0.0 < close < math.inf), None)


def _far(known: Account, account: Account) -> bool:
    return known.bar is not None and account.bar is not None and account.bar - known.bar > REMEMBER_AFTER


def _key(book: str) -> str:
    return f"paper/{book}"


def _read(document: dict[str, object]) -> Account:
    try:
        return msgspec.convert(document, Account)
    except msgspec.ValidationError as failure:
        raise Unavailable(f"the stored paper account is damaged: {failure}") from None
