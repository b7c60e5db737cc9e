"""The fold: one bar after the other, each as a tick takes it. What is quicker must give the same as this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.domain.act import Scene, answered, plan, sent
from core.domain.bars import Bars, Floats, Times, close_time, epoch, insane, moment, refusal, seconds, unbroken
from core.domain.decide import Decision, View, decide
from core.domain.fills import PAPER, Account, accept, sight, through
from core.domain.orders import Answer, Fill, Sight, exact
from core.domain.risk import Room, Trip
from core.domain.settle import News, settle
from core.domain.state import Book, BookState, Trade, conclude, marked, opening, tripped, trusted, view, warned
from core.domain.switch import Mode

Problem = tuple[str, str]
Rooms = tuple[Room | None, Room | None]  # for a long and for a short position; None: no other book takes any
ENDLESS: Final[Rooms] = (None, None)
NO_NEWS: Final = News()
NONE: Final[Mapping[int, Problem]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. `bars`, `decisions`, `equity` and `position` (both at each close) run in parallel; `fills` and
    `trades` (closed ones) in order. Each may be made only when it is looked at: over many bars the arrays are cheap,
    the elements are not."""

    bars: Sequence[datetime]
    decisions: Sequence[Decision]
    equity: Sequence[Decimal]
    position: Sequence[Decimal]
    fills: Sequence[Fill]
    trades: Sequence[Trade]
    state: BookState

    @property
    def time(self) -> Times:
        """Epoch seconds of `bars`."""
        made = getattr(self.bars, "numbers", None)
        return np.array([epoch(bar) for bar in self.bars], np.int64) if made is None else made

    @property
    def worth(self) -> Floats:
        """`equity`, to the precision of a float."""
        return np.asarray(self.equity, np.float64)

    @property
    def held(self) -> Floats:
        """`position`, likewise."""
        return np.asarray(self.position, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a run goes over; see `backtest`. `sound`: for each bar, how many bars up to and with it are believable."""

    book: Book
    bars: Bars
    p_up: Floats
    context: Floats
    need: int
    missed: NDArray[np.bool_] | None
    resume_after: timedelta | None
    problems: Mapping[int, Problem]
    funding: Floats | None
    sound: NDArray[np.int64]

    def problem(self, i: int) -> Problem | None:
        """Why bar i may not be traded on."""
        if self.sound[i] >= self.need:
            return self.problems.get(i)
        window = self.bars[max(0, i - self.need + 1) : i + 1]
        return refusal(window, moment(self.bars.time[i]), self.need, self.book.timeframe) or self.problems.get(i)


@dataclass(slots=True)
class Stand:
    """Where a run stands between two bars. `price`: the last known one; `trips`: the breakers that were tripped."""

    state: BookState
    account: Account
    price: Decimal | None = None
    trips: tuple[Trip, ...] = ()


def course(
    book: Book,
    bars: Bars,
    p_up: Floats,
    context: Floats,
    need: int,
    missed: NDArray[np.bool_] | None,
    resume_after: timedelta | None,
    problems: Mapping[int, Problem],
    funding: Floats | None,
) -> Course:
    sound = _sound(bars, book.timeframe)
    return Course(book, bars, p_up, context, need, missed, resume_after, dict(problems), funding, sound)


def start(book: Book) -> Stand:
    state = opening(book)
    return Stand(state, Account(holding=state.holding))


def backtest(
    book: Book,
    bars: Bars,
    p_up: Floats,
    context: Floats,
    need: int,
    first: int = 0,
    missed: NDArray[np.bool_] | None = None,
    resume_after: timedelta | None = None,
    problems: Mapping[int, Problem] = NONE,
    funding: Floats | None = None,
) -> Result:
    """Fold `decide` over bars[first:].

    p_up: shape (n,), NaN where the model gave nothing; context: shape (n, 13), rows of the CONTEXT feature set; `need`:
    sound bars without a gap that a decision takes; `missed[i]`: no tick ran for bar i (orders and stops work on all the
    same). `problems`: by the bar's index, why no forecast was made there, as a tick finds it (the model is too old, a
    feature is missing). `resume_after`: a person is taken to resume breakers that wait for one so long after they
    tripped; None: nobody ever does. `funding`: shape (n,), what a long pays at each bar's open, NaN: as the costs say.
    """
    over = course(book, bars, p_up, context, need, missed, resume_after, problems, funding)
    stand = start(book)
    seen: list[datetime] = []
    decisions: list[Decision] = []
    equity: list[Decimal] = []
    position: list[Decimal] = []
    fills: list[Fill] = []
    trades: list[Trade] = []
    for i in range(first, len(bars)):
        if (made := step(over, stand, i)) is None:
            continue
        decision, news = made
        seen.append(moment(bars.time[i]))
        decisions.append(decision)
        equity.append(stand.state.equity)
        position.append(stand.state.holding.position)
        fills.extend(news.fills)
        trades.extend(news.trades)
    return Result(seen, decisions, equity, position, fills, trades, stand.state)


def step(over: Course, stand: Stand, i: int) -> tuple[Decision, News] | None:
    """Take `stand` through bar i, as a tick does. None: no tick ran."""
    shown = arrive(over, stand, i)
    if shown is None:
        return None
    news = look(over, stand, i, shown)
    return act(over, stand, i, shown), news


def arrive(over: Course, stand: Stand, i: int) -> Sight | None:
    """Bar i passes at the venue, and is over. What the venue then shows; None: no tick ran."""
    bars, book = over.bars, over.book
    stand.account = through(
        stand.account, moment(bars.time[i]), float(bars.open[i]), float(bars.high[i]), float(bars.low[i]),
        book.rules, book.costs, float(bars.volume[i]), None if over.funding is None else float(over.funding[i]),
    )  # fmt: skip
    if over.missed is not None and over.missed[i]:
        return None
    price = float(bars.close[i])
    stand.price = exact(price) if 0.0 < price < math.inf else stand.price
    return sight(stand.account, stand.state.open_orders, stand.price)


def look(over: Course, stand: Stand, i: int, shown: Sight) -> News:
    """What became of the orders, what the equity is worth, and which breakers are tripped."""
    bar, book = moment(over.bars.time[i]), over.book
    now = close_time(bar, book.timeframe)
    state, news = (stand.state, NO_NEWS) if _settled(stand) else settle(stand.state, shown, book, PAPER, now)
    state = _resumed(marked(state, float(over.bars.close[i]), now), over.resume_after, now)
    state, stand.trips = tripped(state, book.policy, now)
    stand.state = warned(state, stand.trips)
    stand.account = replace(stand.account, fills=())  # booked above
    return news


def act(over: Course, stand: Stand, i: int, shown: Sight) -> Decision:
    """What is decided, and its orders as the venue takes them."""
    decision = choose(over, stand, i, shown)
    order(over, stand, i, shown)
    return decision


def choose(over: Course, stand: Stand, i: int, shown: Sight, mode: Mode = "run", rooms: Rooms = ENDLESS) -> Decision:
    """What is decided; its orders are written down."""
    decision = decide(seen(over, i, stand.state, stand.trips, shown, mode, rooms), over.book.policy, over.book.rules)
    stand.state = conclude(stand.state, moment(over.bars.time[i]), decision)
    return decision


def order(over: Course, stand: Stand, i: int, shown: Sight, mode: Mode = "run") -> None:
    """The venue takes what was written down."""
    if not stand.state.open_orders:
        return
    bar, book = moment(over.bars.time[i]), over.book
    now = close_time(bar, book.timeframe)
    state, planned = plan(stand.state, Scene(book=book, traits=PAPER, mode=mode, bar=bar, now=now))
    for each in planned.orders:
        stand.account = accept(stand.account, each.intent)
    answers = [_placed(each.intent.id) for each in planned.orders]
    stand.state = answered(sent(state, planned, shown, PAPER, now), answers)


def _settled(stand: Stand) -> bool:
    """Whether there is nothing to settle: no order is open, nothing was executed, and the positions agree."""
    state, account = stand.state, stand.account
    if account.fills or state.open_orders or state.mismatches or state.looked is not None or state.trouble:
        return False
    return state.outside is not None and state.holding.position + state.outside == account.holding.position


def seen(
    over: Course,
    i: int,
    state: BookState,
    trips: tuple[Trip, ...],
    shown: Sight,
    mode: Mode = "run",
    rooms: Rooms = ENDLESS,
) -> View:
    """What is looked at when bar i is decided on."""
    price, p_up, row = float(over.bars.close[i]), float(over.p_up[i]), over.context[i].tolist()
    bar = moment(over.bars.time[i])
    return view(over.book, state, bar, mode, None, over.problem(i), price, p_up, row, trips, shown, rooms)


def _resumed(state: BookState, after: timedelta | None, now: datetime) -> BookState:
    """As if a person had resumed each of the book's own breakers that has waited for one for so long."""
    over = [t for t in state.tripped if t.scope == "book" and after is not None and now - t.since >= after]
    return trusted(state, over, now) if over else state


def _placed(name: str) -> Answer:
    return Answer(intent=name, outcome="placed", order_id=name)


def _sound(bars: Bars, timeframe: str) -> NDArray[np.int64]:
    """For each bar, how many bars up to and with it `refusal` would have nothing against."""
    index = np.arange(len(bars))
    bad = insane(bars) | (bars.time % seconds(timeframe) != 0)
    return np.minimum(unbroken(bars, timeframe), index - np.maximum.accumulate(np.where(bad, index, -1)))
