"""The fold: one bar after the other, each as a tick takes it. What is quicker must give the same as this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_state
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.domain.act import Scene, answered, plan, sent
from core.domain.bars import Bars, Floats, close_time, insane, moment, refusal, seconds, unbroken
from core.domain.decide import Decision, decide
from core.domain.fills import PAPER, Account, accept, sight, through
from core.domain.orders import Answer, Fill, exact
from core.domain.settle import settle
from core.domain.state import Book, BookState, Trade, conclude, marked, opening, tripped, trusted, view, warned

NONE: Mapping[int, tuple[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. `bars`, `decisions`, `equity` and `position` (both at each close) run in parallel; `fills` and
    `trades` (closed ones) in order."""

    bars: list[datetime]
    decisions: Sequence[Decision]
    equity: list[Decimal]
    position: list[Decimal]
    fills: list[Fill]
    trades: list[Trade]
    state: BookState


def backtest(
    book: Book,
    bars: Bars,
    p_up: Floats,
    context: Floats,
    need: int,
    first: int = 0,
    missed: NDArray[np.bool_] | None = None,
    resume_after: timedelta | None = None,
    problems: Mapping[int, tuple[str, str]] = NONE,
) -> Result:
    """Fold `decide` over bars[first:].

    p_up: shape (n,), NaN where the model gave nothing; context: shape (n, 13), rows of the CONTEXT feature set; `need`:
    sound bars without a gap that a decision takes; `missed[i]`: no tick ran for bar i (orders and stops work on all the
    same). `problems`: by the bar's index, why no forecast was made there, as a tick finds it (the model is too old, a
    feature is missing). `resume_after`: a person is taken to resume breakers that wait for one so long after they
    tripped; None: nobody ever does.
    """
    state = opening(book)
    account = Account(holding=state.holding)
    decisions: list[Decision] = []
    result = Result([], decisions, [], [], [], [], state)
    run = _sound(bars, book.timeframe)
    last: Decimal | None = None
    for i in range(first, len(bars)):
        bar = moment(bars.time[i])
        prices = bars.open[i], bars.high[i], bars.low[i]
        account = through(account, bar, *prices, book.rules, book.costs, bars.volume[i])
        if missed is not None and missed[i]:
            continue
        now, price = close_time(bar, book.timeframe), float(bars.close[i])
        last = exact(price) if 0.0 < price < math.inf else last
        shown = sight(account, state.open_orders, last)
        state, news = settle(state, shown, book, PAPER, now)
        problem = None if run[i] >= need else refusal(bars[max(0, i - need + 1) : i + 1], bar, need, book.timeframe)
        problem = problem or problems.get(i)
        state, trips = tripped(_resumed(marked(state, price, now), resume_after, now), book.policy, now)
        seen = view(
            book, state, bar, "run", None, problem, price, float(p_up[i]), context[i].tolist(), trips, sight=shown
        )
        decision = decide(seen, book.policy, book.rules)
        state = conclude(warned(state, trips), bar, decision)
        state, step = plan(state, Scene(book=book, traits=PAPER, mode="run", bar=bar, now=now))
        for order in step.orders:
            account = accept(account, order.intent)
        state = answered(sent(state, step, shown, PAPER, now), [_placed(order.intent.id) for order in step.orders])
        account = replace(account, fills=())  # booked above
        result.bars.append(bar)
        decisions.append(decision)
        result.equity.append(state.equity)
        result.position.append(state.holding.position)
        result.fills.extend(news.fills)
        result.trades.extend(news.trades)
    return with_state(result, state=state)


def _resumed(state: BookState, after: timedelta | None, now: datetime) -> BookState:
    """As if a person had resumed every breaker that has waited for one for so long."""
    over = [trip for trip in state.tripped if after is not None and now - trip.since >= after]
    return trusted(state, over, now) if over else state


def _placed(name: str) -> Answer:
    return Answer(intent=name, outcome="placed", order_id=name)


def _sound(bars: Bars, timeframe: str) -> NDArray[np.int64]:
    """For each bar, how many bars up to and with it `refusal` would have nothing against."""
    index = np.arange(len(bars))
    bad = insane(bars) | (bars.time % seconds(timeframe) != 0)
    return np.minimum(unbroken(bars, timeframe), index - np.maximum.accumulate(np.where(bad, index, -1)))
