"""State: what one book believes between two bars, and how it moves on. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from core.domain.decide import Decision, Mode, View
from core.domain.fills import Costs, apply
from core.domain.orders import MARKET, Fill, Holding, Order, Rules, exact
from core.domain.risk import Policy

RESULTS_KEPT = 30  # as many as [policy] performance_trades may ask for
ENDED_KEPT = 8  # orders that have ended: executions of theirs may be told late


class Book(Struct, frozen=True, kw_only=True):
    """One strategy on one symbol at one venue: the unit of state and of locking.

    `features` names the set that its model was trained on; `max_lateness_s` of 0 means that no tick is too late.
    """

    id: str
    symbol: str
    timeframe: str = "1h"
    features: str = "core12"
    policy: Policy = Policy()
    rules: Rules = Rules()
    costs: Costs = Costs()
    vix_max_age_s: int = 4 * 86400
    max_lateness_s: int = 0


class BookState(Struct, frozen=True, kw_only=True):
    """`bar`: the last one decided on. `equity` and `peak` are marked at its close. `booked`: ids of executions booked.

    `closed`: how many trades have closed; `results`: what the newest of them made, oldest first (the trades themselves
    stand in the ticks' records). `orders`: those still open, and the last that ended, in the order of their making.
    `outside`: base coin on a spot account that is not this book's; None before the first look. `mismatches`: looks in a
    row at which the venue's position was not the recorded one; `looked`: when the last of them was. `trouble`: why the
    book halted itself.
    """

    holding: Holding
    equity: Decimal
    peak: Decimal
    bar: datetime | None = None
    closed: int = 0
    results: tuple[Decimal, ...] = ()
    booked: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    outside: Decimal | None = None
    mismatches: int = 0
    looked: datetime | None = None
    trouble: str = ""

    @property
    def open_orders(self) -> tuple[Order, ...]:
        return tuple(order for order in self.orders if not order.ended)

    @property
    def unsettled(self) -> tuple[Order, ...]:
        """Orders of which it is not known whether the venue has them."""
        return tuple(order for order in self.orders if order.status in ("sent", "unknown"))

    @property
    def working(self) -> tuple[Order, ...]:
        """Orders that may change the position without the market's moving to a stop."""
        return tuple(
            order
            for order in self.orders
            if order.status in ("sent", "unknown")
            or (order.status in ("acknowledged", "partly_filled") and order.intent.leg in MARKET)
        )

    @property
    def waiting(self) -> bool:
        """Whether something should have been clear at the last look, and was not."""
        return bool(self.mismatches) or any(order.looks for order in self.open_orders)


def opening(book: Book) -> BookState:
    capital = book.policy.capital
    return BookState(holding=Holding(cash=capital), equity=capital, peak=capital)


class Trade(Struct, frozen=True, kw_only=True):
    """A round trip. `pnl` in quote currency, after fees and interest on both sides; `cause`: what closed it."""

    opened: datetime
    closed: datetime
    side: str
    amount: Decimal
    entry: Decimal
    exit: Decimal
    fees: Decimal
    pnl: Decimal
    cause: str


def book_fill(state: BookState, fill: Fill, rules: Rules) -> tuple[BookState, list[Trade]]:
    """The state with `fill` taken in, and the trade that it closed. What is left as dust closes a trade, too."""
    before = state.holding
    after, profit = apply(before, fill)
    state = replace(state, booked=(*state.booked, fill.id))
    reduced = before.position * fill.signed < 0
    turned = before.position * after.position < 0
    if before.opened is None or not reduced or not (turned or not after.position or rules.dust(after.position)):
        return replace(state, holding=after), []
    trade = _closed(before, fill, profit)
    if rules.dust(after.position):
        after = Holding(cash=after.cash, position=after.position, average_price=after.average_price)
    results = (*state.results, trade.pnl)[-RESULTS_KEPT:]
    return replace(state, holding=after, closed=state.closed + 1, results=results), [trade]


def _closed(before: Holding, fill: Fill, profit: Decimal) -> Trade:
    amount = min(abs(before.position), fill.amount)
    whole = before.closed + amount
    fees = before.fees + fill.fee + fill.interest
    assert before.opened is not None
    return Trade(
        opened=before.opened,
        closed=fill.bar,
        side="long" if before.position > 0 else "short",
        amount=whole,
        entry=before.average_price,
        exit=(before.proceeds + amount * fill.price) / whole,
        fees=fees,
        pnl=before.realised + profit - fees,
        cause=fill.cause,
    )


def win_rate(results: Sequence[Decimal], count: int) -> float | None:
    """The share of the last `count` trades that made money; None while there are fewer."""
    if len(results) < count:
        return None
    return sum(result > 0 for result in results[-count:]) / count


def view(
    book: Book,
    state: BookState,
    bar: datetime,
    mode: Mode,
    blocked: tuple[str, str] | None,
    problem: tuple[str, str] | None,
    price: float,
    p_up: float,
    context: Sequence[float],
) -> View:
    """What the decision looks at. `context`: one row of the CONTEXT feature set."""
    atr, atr_ratio, volatility_ratio, rule, vix, vix_change = context
    return View(
        book=book.id,
        bar=bar,
        mode=mode,
        holding=state.holding,
        unsettled=len(state.working) or int(state.waiting),
        blocked=blocked,
        win_rate=win_rate(state.results, book.policy.performance_trades),
        problem=problem,
        price=price,
        p_up=p_up,
        atr=atr,
        atr_ratio=atr_ratio,
        volatility_ratio=volatility_ratio,
        rule=rule,
        vix=vix,
        vix_change=vix_change,
    )


def conclude(state: BookState, bar: datetime, price: float, decision: Decision) -> BookState:
    """The state after deciding at `bar`, whose close is `price` (no price at all: then the last mark stands), with the
    decision's intents as planned orders."""
    known = math.isfinite(price) and price > 0
    equity = state.holding.equity(exact(price)) if known else state.equity
    planned = tuple(Order(intent=intent) for intent in decision.intents)
    return replace(
        state, bar=bar, equity=equity, peak=max(state.peak, equity), orders=pruned((*state.orders, *planned))
    )


def pruned(orders: Sequence[Order]) -> tuple[Order, ...]:
    """The open orders and the last that ended."""
    ended = sum(order.ended for order in orders)
    kept = []
    for order in orders:
        ended -= order.ended
        if not order.ended or ended < ENDED_KEPT:
            kept.append(order)
    return tuple(kept)
