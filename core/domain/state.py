"""State: what one book believes between two bars, and how it moves on. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from core.domain.decide import Decision, Mode, View
from core.domain.fills import Account, Costs, apply
from core.domain.orders import Fill, Holding, Intent, Rules, exact
from core.domain.risk import Policy

RESULTS_KEPT = 30  # as many as [policy] performance_trades may ask for
FILLS_KEPT = 32  # twice what an exchange lists of the newest


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


class BookState(Struct, frozen=True, kw_only=True):
    """`bar`: the last one decided on. `equity` and `peak` are marked at its close. `booked`: ids of fills applied.

    `closed`: how many trades have closed; `results`: what the newest of them made, oldest first (the trades themselves
    stand in the ticks' records). `unsettled`: intents written down whose outcome is not known yet.
    """

    holding: Holding
    equity: Decimal
    peak: Decimal
    bar: datetime | None = None
    closed: int = 0
    results: tuple[Decimal, ...] = ()
    booked: tuple[str, ...] = ()
    unsettled: tuple[Intent, ...] = ()


def opening(book: Book) -> BookState:
    capital = book.policy.capital
    return BookState(holding=Holding(cash=capital), equity=capital, peak=capital)


class News(Struct, frozen=True, kw_only=True):
    """What settling brought: fills not booked before, the trades that they closed, and intents that never arrived."""

    fills: tuple[Fill, ...] = ()
    trades: tuple[Trade, ...] = ()
    lost: tuple[Intent, ...] = ()


def settle(state: BookState, account: Account) -> tuple[BookState, News]:
    """The state once the venue's news is booked: each fill once. An intent that the venue does not know was never
    placed, and is dropped."""
    fresh = tuple(fill for fill in account.fills if fill.id not in state.booked)
    lost = tuple(intent for intent in state.unsettled if intent.id not in account.known)
    trades = []
    for fill in fresh:
        state, closed = _book(state, fill)
        trades += closed
    if fresh:  # what the venue still lists is never forgotten, however long its list
        state = replace(state, booked=state.booked[-max(FILLS_KEPT, len(account.fills)) :])
    if state.unsettled:
        state = replace(state, unsettled=())
    return state, News(fills=fresh, trades=tuple(trades), lost=lost)


def _book(state: BookState, fill: Fill) -> tuple[BookState, list[Trade]]:
    before = state.holding
    after, profit = apply(before, fill)
    booked = (*state.booked, fill.id)
    if after.position or before.opened is None:
        return replace(state, holding=after, booked=booked), []
    trade = Trade(
        opened=before.opened,
        closed=fill.bar,
        side="long" if before.position > 0 else "short",
        amount=abs(before.position),
        entry=before.average_price,
        exit=fill.price,
        fees=before.fees + fill.fee + fill.interest,
        pnl=profit - before.fees - fill.fee - fill.interest,
        cause=fill.cause,
    )
    results = (*state.results, trade.pnl)[-RESULTS_KEPT:]
    return replace(state, holding=after, booked=booked, closed=state.closed + 1, results=results), [trade]


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
        unsettled=len(state.unsettled),
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
    """The state after deciding at `bar`, whose close is `price` (no price at all: then the last mark stands)."""
    known = math.isfinite(price) and price > 0
    equity = state.holding.equity(exact(price)) if known else state.equity
    return replace(
        state, bar=bar, equity=equity, peak=max(state.peak, equity), unsettled=decision.intents or state.unsettled
    )
