"""State: what one book believes between two bars, and how it moves on. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from core.domain.bars import YEAR, seconds
from core.domain.decide import Decision, View
from core.domain.fills import Costs, apply
from core.domain.orders import ENDS, MARKET, ZERO, Fill, Holding, Order, Rules, Sight, exact
from core.domain.risk import Facts, Limits, Marks, Policy, Result, Room, Trip, breakers
from core.domain.switch import Mode

RESULTS_KEPT = 30  # as many as [policy] performance_trades may ask for
UNKNOWN = Decimal("NaN")
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
    stand in the ticks' records); `slippages`: what the newest market orders lost against `price`, the close at `bar`.
    `marks`, `account`: the equity's highs and lows, of this book and of all. `tripped`: breakers that wait for a
    person; `warned`: names of those that were told of; `resumed`: when a person last resumed.
    `orders`: those still open, and the last that ended, in the order of their making.
    `outside`: base coin on a spot account that is not this book's; None before the first look. `mismatches`: looks in a
    row at which the venue's position was not the recorded one; `looked`: when the last of them was. `trouble`: why the
    book halted itself.
    """

    holding: Holding
    equity: Decimal
    bar: datetime | None = None
    price: Decimal | None = None
    closed: int = 0
    results: tuple[Result, ...] = ()
    slippages: tuple[float, ...] = ()
    marks: Marks | None = None
    account: Marks | None = None
    tripped: tuple[Trip, ...] = ()
    warned: tuple[str, ...] = ()
    resumed: datetime | None = None
    booked: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    outside: Decimal | None = None
    mismatches: int = 0
    looked: datetime | None = None
    trouble: str = ""

    @property
    def open_orders(self) -> tuple[Order, ...]:
        return tuple([order for order in self.orders if order.status not in ENDS])

    @property
    def unsettled(self) -> tuple[Order, ...]:
        """Orders of which it is not known whether the venue has them."""
        return tuple(order for order in self.orders if order.status in ("sent", "unknown"))

    @property
    def working(self) -> tuple[Order, ...]:
        """Orders that may change the position without the market's moving to a stop."""
        return tuple(
            [
                order
                for order in self.orders
                if order.status in ("sent", "unknown")
                or (order.status in ("acknowledged", "partly_filled") and order.intent.leg in MARKET)
            ]
        )

    @property
    def waiting(self) -> bool:
        """Whether something should have been clear at the last look, and was not."""
        return bool(self.mismatches) or any(order.looks for order in self.open_orders)


def opening(book: Book) -> BookState:
    capital = book.policy.capital
    return BookState(holding=Holding(cash=capital), equity=capital)


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
    booked, slippages = (*state.booked, fill.id), _slippages(state, fill)
    reduced = before.position * fill.signed < 0
    turned = before.position * after.position < 0
    if before.opened is None or not reduced or not (turned or not after.position or rules.dust(after.position)):
        return replace(state, holding=after, booked=booked, slippages=slippages), []
    trade = _closed(before, fill, profit)
    if rules.dust(after.position):
        after = Holding(cash=after.cash, position=after.position, average_price=after.average_price)
    share = float(trade.pnl / state.equity) if state.equity > 0 else -1.0
    result = Result(closed=trade.closed, pnl=trade.pnl, share=share, stopped=trade.cause == "stop")
    results = (*state.results, result)[-RESULTS_KEPT:]
    changes: dict[str, Any] = {"holding": after, "booked": booked, "slippages": slippages}
    return replace(state, **changes, closed=state.closed + 1, results=results), [trade]


def _slippages(state: BookState, fill: Fill) -> tuple[float, ...]:
    """With what a market order lost against the price that it was decided on, as a fraction of it."""
    if fill.cause not in MARKET or not state.price:
        return state.slippages
    lost = float((fill.price - state.price) / state.price) * (1 if fill.side == "buy" else -1)
    return (*state.slippages, lost)[-RESULTS_KEPT:]


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


def win_rate(results: Sequence[Result], count: int) -> float | None:
    """The share of the last `count` trades that made money; None while there are fewer."""
    if len(results) < count:
        return None
    return len([result for result in results[-count:] if result.pnl > 0]) / count


def marked(state: BookState, price: float, now: datetime) -> BookState:
    """The state with its equity marked at `price`, the close of the bar that ended at `now`; unchanged without one."""
    if not (math.isfinite(price) and price > 0):
        return state
    known = exact(price)
    equity = state.holding.equity(known)
    marks = breakers.mark(state.marks or breakers.mark(None, state.equity, now), equity, now)
    return replace(state, equity=equity, price=known, marks=marks)


def tripped(state: BookState, policy: Policy, now: datetime) -> tuple[BookState, tuple[Trip, ...]]:
    """Every breaker that is tripped at `now`; and the state, which remembers those that wait for a person."""
    if state.marks is None:
        return state, state.tripped
    since = state.resumed
    results = state.results
    if since is not None and results and results[0].closed <= since:
        results = tuple(result for result in results if result.closed > since)
    facts = Facts(now=now, equity=state.equity, marks=state.marks, results=results, slippages=state.slippages)
    found = breakers.trips(facts, policy)
    if not found:
        return state, state.tripped
    known = {trip.breaker for trip in state.tripped}
    new = [trip for trip in found if trip.breaker not in known]
    lasting = (*state.tripped, *(trip for trip in new if trip.until is None))
    return replace(state, tripped=lasting), (*lasting, *(trip for trip in new if trip.until is not None))


def exposed(state: BookState) -> Decimal:
    """What a book holds, in quote currency and signed; or will hold once its orders are done, if that is more."""
    position = state.holding.position
    coming = [order for order in state.open_orders if order.intent.leg in MARKET]
    after = position + sum(((o.intent.amount - o.filled) * (1 if o.intent.side == "buy" else -1) for o in coming), ZERO)
    price = state.price or state.holding.average_price
    amount = max(position, after, key=abs)
    return amount * price if price or not amount else UNKNOWN


def judged(state: BookState, equity: Decimal, limits: Limits, now: datetime) -> tuple[BookState, tuple[Trip, ...]]:
    """The state with the `equity` of all books marked, and the account's breakers that are tripped."""
    marks = breakers.mark(state.account, equity, now)
    known = {trip.breaker for trip in state.tripped if trip.scope == "account"}
    new = [t for t in breakers.account_trips(marks, equity, limits, now) if t.breaker not in known]
    lasting = tuple(trip for trip in new if trip.until is None)
    return replace(state, account=marks, tripped=(*state.tripped, *lasting)), tuple(new)


def warned(state: BookState, trips: Sequence[Trip]) -> BookState:
    """The state that remembers which of the breakers' trips have been told of."""
    names = tuple(trip_name(trip) for trip in trips)
    return state if names == state.warned else replace(state, warned=names)


def trip_name(trip: Trip) -> str:
    """The same as long as the trip is the same one."""
    return f"{trip.scope}-{trip.breaker}-{'until' if trip.until else 'since'}-{trip.until or trip.since:%Y%m%dT%H%M}"


def trusted(state: BookState, over: Sequence[Trip], now: datetime) -> BookState:
    """The state after a person resumed it at `now`: what the breakers that are `over` look at is counted anew."""
    kept = tuple(trip for trip in state.tripped if trip not in over)
    state = replace(state, tripped=kept)
    if state.account and any(trip.scope == "account" for trip in over):
        state = replace(state, account=None)
    if state.marks and any(trip.scope == "book" for trip in over):
        marks = breakers.resumed(state.marks, state.equity, now)
        state = replace(state, marks=marks, slippages=(), resumed=now)
    return state


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
    trips: tuple[Trip, ...] = (),
    sight: Sight | None = None,
    rooms: tuple[Room | None, Room | None] = (None, None),
) -> View:
    """What the decision looks at. `context`: one row of the CONTEXT feature set."""
    atr, atr_ratio, volatility_ratio, rule, vix, vix_change, volatility, fall, adx, *risk = context
    historical, parametric, monte_carlo, shortfall = risk
    return View(
        book=book.id,
        bar=bar,
        mode=mode,
        holding=state.holding,
        unsettled=len(state.working) or int(state.waiting),
        blocked=blocked,
        win_rate=win_rate(state.results, book.policy.performance_trades),
        problem=problem,
        trips=trips,
        results=state.results,
        free=sight.free if sight else None,
        margin=sight.margin if sight else None,
        room_long=rooms[0],
        room_short=rooms[1],
        bars_per_year=YEAR / seconds(book.timeframe),
        cost=2.0 * (float(book.rules.taker) + float(book.costs.slippage_bps) / 10_000),
        price=price,
        p_up=p_up,
        atr=atr,
        atr_ratio=atr_ratio,
        volatility_ratio=volatility_ratio,
        rule=rule,
        vix=vix,
        vix_change=vix_change,
        volatility=volatility,
        fall=fall,
        adx=adx,
        var_historical=historical,
        var_parametric=parametric,
        var_monte_carlo=monte_carlo,
        shortfall=shortfall,
    )


def conclude(state: BookState, bar: datetime, decision: Decision) -> BookState:
    """The state after deciding at `bar`, with the decision's intents as planned orders."""
    planned = tuple(Order(intent=intent) for intent in decision.intents)
    return replace(state, bar=bar, orders=pruned((*state.orders, *planned)))


def pruned(orders: Sequence[Order]) -> tuple[Order, ...]:
    """The open orders, the last that ended, and every exit and entry of the newest bar, whose attempts count on."""
    if len(orders) <= ENDED_KEPT:
        return tuple(orders)
    over = [order.status in ENDS for order in orders]
    ended, newest = sum(over), max([order.intent.bar for order in orders])
    kept = []
    for order, done in zip(orders, over, strict=True):
        ended -= done
        if not done or ended < ENDED_KEPT or (order.intent.leg in MARKET and order.intent.bar == newest):
            kept.append(order)
    return tuple(kept)
