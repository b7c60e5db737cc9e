"""What is the paper exchange's own: what it writes down and when, and that it is the backtest's market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from core.adapters.paper_exchange import PaperExchange
from core.domain.bars import Bars, epoch, moment
from core.domain.fills import Account, Costs, accept, advance
from core.domain.orders import Holding, Intent, Rules, Side, intent_id
from core.ports import Document, Unavailable, Watch, Write
from tests.domain.drawn import BAR, HOUR
from tests.fakes import MemoryState

RULES = Rules(lot=Decimal("0.001"), tick=Decimal("0.1"), minimum_amount=Decimal("0.001"))
OPENING = Holding(cash=Decimal(10000))
KEY = "paper/btc"


class CountingState(MemoryState):
    """Notes each commit's documents."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        self.written += [write.key for write in writes]
        return super().commit(writes, watch)


def exchange(state: MemoryState) -> PaperExchange:
    return PaperExchange(state, OPENING, RULES, Costs())


def market(count: int, step: timedelta = HOUR, dip: int | None = None) -> Bars:
    """Quiet bars about 40,000, but for one that falls to 38,000."""
    level = np.full(count, 40_000.0)
    low = level - 100
    if dip is not None:
        low[dip] = 38_000.0
    time = epoch(BAR) + int(step.total_seconds()) * np.arange(count, dtype=np.int64)
    return Bars(time, level, level + 100, low, level, np.ones(count))


def entry(bars: Bars, side: Side = "buy") -> Intent:
    bar = moment(bars.time[-1])
    return Intent(
        id=intent_id("btc", bar, "entry"),
        book="btc",
        bar=bar,
        leg="entry",
        side=side,
        amount=Decimal("0.1"),
        stop=Decimal(39000),
    )


def entered(state: MemoryState, bars: Bars, at: int) -> Account:
    """The account as it was written down when an order was placed after bar `at`."""
    paper, known = exchange(state), bars[: at + 1]
    paper.look("btc", known)
    paper.submit("btc", [entry(known)])
    return paper.look("btc", known)


def document(state: MemoryState) -> Document:
    found = state.read([KEY])[KEY].data
    assert found is not None
    return found


def test_it_is_the_backtests_market() -> None:
    state, bars = MemoryState(), market(50, dip=30)
    start = entered(state, bars, 10)
    assert start == accept(Account(holding=OPENING, bar=moment(bars.time[10])), entry(bars[:11]))
    assert exchange(state).look("btc", bars) == advance(start, bars, RULES, Costs())


def test_a_new_account_has_no_past() -> None:
    """It begins with the newest bar: an order cannot be filled, or stopped, before it was there."""
    assert exchange(MemoryState()).look("btc", market(30)).bar == BAR + 29 * HOUR


def test_without_bars_it_is_the_account_as_it_was() -> None:
    state, bars = MemoryState(), market(20)
    before = entered(state, bars, 10)
    assert exchange(state).look("btc", bars[:0]) == before
    assert exchange(MemoryState()).look("btc", bars[:0]) == Account(holding=OPENING)


def test_an_order_without_a_look_before_it_is_a_mistake() -> None:
    with pytest.raises(LookupError):
        exchange(MemoryState()).submit("btc", [entry(market(1))])


def test_two_invocations_cannot_both_place() -> None:
    """The second was overtaken after its look: it cannot know any more what it would add to."""
    state, bars = MemoryState(), market(20)
    entered(state, bars, 5)
    first, second = exchange(state), exchange(state)
    for paper in (first, second):
        paper.look("btc", bars)
    other = entry(bars)
    assert [answer.outcome for answer in first.submit("btc", [other])] == ["placed"]
    (answer,) = second.submit("btc", [other])
    assert answer.outcome == "unknown"
    assert answer.detail
    assert [known == other.id for known in document(state)["known"]].count(True) == 1


def test_two_first_orders_cannot_both_be_placed() -> None:
    state, bars = MemoryState(), market(2)
    first, second = exchange(state), exchange(state)
    outcomes = []
    for paper in (first, second):
        paper.look("btc", bars)
    for paper in (first, second):
        outcomes += [answer.outcome for answer in paper.submit("btc", [entry(bars)])]
    assert outcomes == ["placed", "unknown"]


@pytest.mark.parametrize(
    "damage", [{"holding": {"cash": "many"}}, {"holding": None}, {"bar": "yesterday"}, {"fills": [{}]}, {"known": 3}]
)
def test_a_damaged_account_is_said_to_be_so_and_left_alone(damage: Document) -> None:
    state, bars = MemoryState(), market(20)
    entered(state, bars, 5)
    state.commit([Write(KEY, {**document(state), **damage})])
    before = state.read([KEY])
    with pytest.raises(Unavailable, match="paper account is damaged"):
        exchange(state).look("btc", bars)
    assert state.read([KEY]) == before


# --- what it writes, and when ---------------------------------------------------------------------------------------


def test_it_writes_what_was_filled_and_its_progress_after_four_days_and_not_at_each_look() -> None:
    state, bars = CountingState(), market(800)
    entered(state, bars, 600)
    paper, written = exchange(state), []
    for i in range(601, 800):
        state.written.clear()
        paper.look("btc", bars[i - 600 : i + 1])
        written += [i - 600] * len(state.written)
    assert written == [1, 98, 195], "the entry; and 96 hours on, it is not yet more than four days"
    assert document(state)["bar"] == moment(bars.time[795])


def test_an_account_that_never_traded_writes_nothing() -> None:
    state, bars = CountingState(), market(300)
    for i in range(200, 300):
        exchange(state).look("btc", bars[: i + 1])
    assert state.written == []


def test_written_progress_loses_no_fill() -> None:
    state, bars = MemoryState(), market(400, dip=150)
    entered(state, bars, 100)
    paper = exchange(state)
    seen = [paper.look("btc", bars[i - 100 : i + 1]) for i in range(101, 400)]
    assert document(state)["bar"] > moment(bars.time[150])
    assert [fill.cause for fill in seen[-1].fills] == ["entry", "stop"]
    assert exchange(state).look("btc", bars[399:]) == seen[-1]


@pytest.mark.parametrize("minutes", [1, 5, 15, 60, 1440])
def test_what_was_seen_once_stays_seen_when_its_bars_leave_the_window(minutes: int) -> None:
    """On short bars a window is shorter than four days."""
    state, bars = MemoryState(), market(400, timedelta(minutes=minutes), dip=150)
    entered(state, bars, 100)
    paper = exchange(state)
    for i in range(101, 400):
        account = paper.look("btc", bars[i - 100 : i + 1])
        assert [fill.cause for fill in account.fills] == ["entry", "stop"][: 1 + (i >= 150)]
        assert account.fills[0].bar == moment(bars.time[101])


@pytest.mark.parametrize("last", [101, 120, 199], ids=["at the entry", "held", "stopped"])
def test_after_a_pause_longer_than_the_window_every_fill_is_still_the_one_that_was_told(last: int) -> None:
    """The looks that follow get the bars since the last one, and none before."""
    state, bars = MemoryState(), market(400, dip=150)
    entered(state, bars, 100)
    told = [exchange(state).look("btc", bars[i - 50 : i + 1]).fills for i in range(101, last + 1)][-1]
    later = exchange(state).look("btc", bars[last + 1 :])
    assert later.fills[: len(told)] == told
    assert [fill.cause for fill in later.fills] == ["entry", "stop"]


def test_a_hole_that_the_venue_mends_later_moves_no_fill() -> None:
    state, bars = MemoryState(), market(200)
    entered(state, bars, 100)
    holed = bars[np.r_[0:101, 102:104]]
    told = exchange(state).look("btc", holed)
    assert told.fills[0].bar == moment(bars.time[102])
    assert exchange(state).look("btc", bars[:105]).fills == told.fills


def test_a_look_that_is_overtaken_while_it_writes_goes_on() -> None:
    """Another invocation wrote the same walk first: nothing is lost by not writing it."""
    bars = market(400)

    class Overtaken(MemoryState):
        armed = False

        def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
            if self.armed:
                self.armed = False
                exchange(self).look("btc", bars)
            return super().commit(writes, watch)

    state = Overtaken()
    entered(state, bars, 100)
    state.armed = True
    account = exchange(state).look("btc", bars)
    assert not state.armed
    assert account.bar == moment(bars.time[-1])
    assert document(state)["bar"] == account.bar
