"""What is the paper exchange's own: what it writes down and when, and that it is the backtest's market."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from core.adapters.paper_exchange import PaperExchange
from core.domain.bars import Bars, epoch, moment
from core.domain.fills import PAPER, Account, Costs, accept, advance, sight
from core.domain.orders import Holding, Intent, Leg, Order, Rules, Side, Sight, intent_id
from core.ports import Document, Unavailable, Versioned, Watch, Write
from tests.domain.drawn import BAR, HOUR
from tests.fakes import MemoryState

RULES = Rules(lot=Decimal("0.001"), tick=Decimal("0.1"), minimum_amount=Decimal("0.001"))
OPENING = Holding(cash=Decimal(10000))
COSTS = Costs(volume_share=Decimal(0))
KEY = "paper/btc"


class CountingState(MemoryState):
    """Notes each commit's documents."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        self.written += [write.key for write in writes]
        return super().commit(writes, watch)


class Between(MemoryState):
    """Before the next commit, something else happens."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().commit(writes, watch)


class Failing(MemoryState):
    """The named methods do not answer. What is said to a commit is lost, if `mute`, after it was carried out."""

    broken: tuple[str, ...] = ()
    mute = False

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        self._check("read")
        return super().read(keys)

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        if not self.mute:
            self._check("commit")
        versions = super().commit(writes, watch)
        self._check("commit")
        return versions

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise Unavailable("the store does not answer")


def exchange(state: MemoryState) -> PaperExchange:
    return PaperExchange(state, OPENING, RULES, COSTS)


def market(count: int, step: timedelta = HOUR, dip: int | None = None) -> Bars:
    """Quiet bars about 40,000, but for one that falls to 38,000."""
    level = np.full(count, 40_000.0)
    low = level - 100
    if dip is not None:
        low[dip] = 38_000.0
    time = epoch(BAR) + int(step.total_seconds()) * np.arange(count, dtype=np.int64)
    return Bars(time, level, level + 100, low, level, np.ones(count))


def order(bars: Bars, leg: Leg = "entry", side: Side = "buy", amount: str = "0.1", book: str = "btc") -> Order:
    """Decided on the newest bar."""
    bar = moment(bars.time[-1])
    intent = Intent(
        id=intent_id(book, bar, leg),
        book=book,
        bar=bar,
        leg=leg,
        side=side,
        amount=Decimal(amount),
        stop=None if leg == "exit" else Decimal(39000 if side == "buy" else 41000),
    )
    return Order(intent=intent, status="sent", sent=bar + HOUR)


def entered(state: MemoryState, bars: Bars, at: int) -> Order:
    """An entry, placed after bar `at`."""
    paper, known = exchange(state), bars[: at + 1]
    placed = order(known)
    paper.look("btc", known)
    (answer,) = paper.submit("btc", [placed])
    assert answer.outcome == "placed"
    return placed


def document(state: MemoryState) -> Document:
    found = state.read([KEY])[KEY].data
    assert found is not None
    return found


def stored(state: MemoryState) -> Account:
    return msgspec.convert(document(state), Account)


def legs(seen: Sight) -> list[str]:
    """What each execution was: the side of an order's, or the stop."""
    return [done.cause or done.side for done in seen.executions]


# --- whose market it is ---------------------------------------------------------------------------------------------


def test_it_is_the_backtests_market() -> None:
    state, bars = MemoryState(), market(50, dip=30)
    placed = entered(state, bars, 10)
    start = stored(state)
    assert start == accept(Account(holding=OPENING, bar=moment(bars.time[10])), placed.intent)
    told = exchange(state).look("btc", bars, [placed])
    assert told == sight(advance(start, bars, RULES, COSTS), [placed])
    assert legs(told) == ["buy", "stop"]


def test_its_traits_are_those_of_the_fill_model() -> None:
    assert exchange(MemoryState()).traits == PAPER


def test_a_new_account_has_no_past() -> None:
    """It begins with the newest bar: an order cannot be filled, or stopped, before it was there."""
    state, bars = MemoryState(), market(30, dip=20)
    entered(state, bars, 29)
    assert stored(state).bar == moment(bars.time[29])
    assert exchange(state).look("btc", bars).executions == ()


def test_an_order_is_filled_at_the_open_of_the_next_bar_with_slippage() -> None:
    state, bars = MemoryState(), market(12)
    placed = entered(state, bars, 10)
    assert [one.status for one in exchange(state).look("btc", bars[:11], [placed]).orders] == ["open"]
    (done,) = exchange(state).look("btc", bars, [placed]).executions
    assert (done.at, done.price) == (moment(bars.time[11]), Decimal(40_008))
    assert done.order_id == placed.intent.id


def test_an_exit_goes_before_an_entry_whatever_the_order_of_the_orders() -> None:
    state, bars = MemoryState(), market(20)
    entered(state, bars, 5)
    paper, known = exchange(state), bars[:11]
    paper.look("btc", known)
    paper.submit("btc", [order(known, "entry", "sell"), order(known, "exit", "sell")])
    told = exchange(state).look("btc", bars)
    assert [done.order_id for done in told.executions[1:]] == [order(known, leg).intent.id for leg in ("exit", "entry")]
    assert told.position == Decimal("-0.1")


def test_a_stop_closes_what_is_left_and_only_that() -> None:
    state, bars = MemoryState(), market(40, dip=30)
    entered(state, bars, 5)
    paper, known = exchange(state), bars[:11]
    paper.look("btc", known)
    paper.submit("btc", [order(known, "exit", "sell", "0.04")])
    told = exchange(state).look("btc", bars)
    assert [done.amount for done in told.executions] == [Decimal("0.1"), Decimal("0.04"), Decimal("0.06")]
    assert (told.position, legs(told)) == (0, ["buy", "sell", "stop"])


def test_an_order_that_had_nothing_left_to_close_is_cancelled() -> None:
    state, bars = MemoryState(), market(40, dip=11)
    entered(state, bars, 5)
    paper, known = exchange(state), bars[:12]
    late = order(known, "exit", "sell")
    paper.look("btc", known)
    paper.submit("btc", [late])
    told = exchange(state).look("btc", bars, [late])
    assert [(one.status, one.executed) for one in told.orders] == [("cancelled", 0)]


def test_there_is_nothing_to_take_back() -> None:
    state, bars = MemoryState(), market(20)
    placed = entered(state, bars, 10)
    before = document(state)
    exchange(state).cancel("btc", [placed])
    assert document(state) == before
    assert exchange(state).look("btc", bars).position == Decimal("0.1")


def test_books_have_an_account_each() -> None:
    state, bars = MemoryState(), market(20)
    paper, known = exchange(state), bars[:11]
    for book, side in (("btc", "buy"), ("eth", "sell")):
        paper.look(book, known)
        paper.submit(book, [order(known, side=side, book=book)])  # type: ignore[arg-type]
    assert [paper.look(book, bars).position for book in ("btc", "eth")] == [Decimal("0.1"), Decimal("-0.1")]


def test_without_bars_it_is_the_account_as_it_was() -> None:
    state, bars = MemoryState(), market(20)
    placed = entered(state, bars, 10)
    before = exchange(state).look("btc", bars[:11], [placed])
    assert exchange(state).look("btc", bars[:0], [placed]) == before
    assert exchange(MemoryState()).look("btc", bars[:0]) == Sight(position=Decimal(0), free=OPENING.cash)


def test_what_is_free_is_what_the_equity_at_the_last_price_leaves_of_a_position_that_is_paid_in_full() -> None:
    state, bars = MemoryState(), market(20)
    entered(state, bars, 10)
    seen, price = exchange(state).look("btc", bars[:13]), Decimal(str(bars.close[12]))
    held = stored(state).holding
    assert seen.position == held.position > 0
    assert seen.free == held.cash + held.position * (price - held.average_price) - held.position * price
    assert exchange(state).look("btc", bars[:0]).free is None, "without a price nobody knows"


def test_of_a_position_that_is_worth_more_than_the_equity_nothing_is_free() -> None:
    held = Holding(cash=Decimal(100), position=Decimal(-3), average_price=Decimal(50))
    assert sight(Account(holding=held), price=Decimal(50)).free == 0
    assert sight(Account(holding=held), price=Decimal(20)).free == 100 + 3 * 30 - 3 * 20


# --- once -----------------------------------------------------------------------------------------------------------


def test_an_order_without_a_look_before_it_is_a_mistake() -> None:
    with pytest.raises(LookupError):
        exchange(MemoryState()).submit("btc", [order(market(1))])


@pytest.mark.parametrize("later", [0, 1, 5, 60, 90], ids=["waiting", "filled", "held", "stopped", "long over"])
def test_an_id_is_taken_once_and_for_good(later: int) -> None:
    state, bars = MemoryState(), market(200, dip=60)
    placed = entered(state, bars, 10)
    paper, known = exchange(state), bars[: 11 + later]
    before = paper.look("btc", known, [placed])
    (again,) = paper.submit("btc", [placed])
    assert (again.outcome, again.order_id) == ("placed", placed.intent.id)
    assert paper.look("btc", known, [placed]) == before
    assert len([done for done in paper.look("btc", bars).executions if done.order_id == placed.intent.id]) == 1


def test_two_invocations_cannot_both_place() -> None:
    """The second was overtaken after its look: it cannot know any more what it would add to."""
    state, bars = MemoryState(), market(20)
    entered(state, bars, 5)
    first, second = exchange(state), exchange(state)
    for paper in (first, second):
        paper.look("btc", bars)
    other = order(bars)
    assert [answer.outcome for answer in first.submit("btc", [other])] == ["placed"]
    (answer,) = second.submit("btc", [other])
    assert (answer.outcome, bool(answer.detail)) == ("unknown", True)
    assert stored(state).known.count(other.intent.id) == 1


def test_two_first_orders_cannot_both_be_placed() -> None:
    state, bars = MemoryState(), market(2)
    first, second = exchange(state), exchange(state)
    outcomes = []
    for paper in (first, second):
        paper.look("btc", bars)
    for paper in (first, second):
        outcomes += [answer.outcome for answer in paper.submit("btc", [order(bars)])]
    assert outcomes == ["placed", "unknown"]


def test_who_was_overtaken_looks_again_and_is_told_what_the_other_did() -> None:
    state, bars = MemoryState(), market(20)
    first, second = exchange(state), exchange(state)
    for paper in (first, second):
        paper.look("btc", bars[:11])
    ours, theirs = order(bars[:11]), order(bars[:10], "entry", "sell")
    first.submit("btc", [theirs])
    second.submit("btc", [ours])
    assert [one.tag for one in second.look("btc", bars[:11], [ours, theirs]).orders] == [theirs.intent.id]
    assert [answer.outcome for answer in second.submit("btc", [ours])] == ["placed"]
    assert stored(state).pending == (theirs.intent, ours.intent)


def test_all_orders_of_a_call_are_taken_or_none() -> None:
    state, bars = Failing(), market(20)
    paper = exchange(state)
    paper.look("btc", bars)
    state.broken = ("commit",)
    both = [order(bars, "exit", "sell"), order(bars)]
    assert [answer.outcome for answer in paper.submit("btc", both)] == ["unknown", "unknown"]
    state.broken = ()
    assert paper.look("btc", bars, both).orders == ()
    assert [answer.outcome for answer in paper.submit("btc", both)] == ["placed", "placed"]


# --- a store that fails ---------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("mute", [False, True], ids=["request lost", "answer lost"])
def test_a_fill_that_cannot_be_written_down_is_not_told_and_is_the_same_later(mute: bool) -> None:
    state, bars = Failing(), market(20)
    entered(state, bars, 10)
    state.broken, state.mute = ("commit",), mute
    with pytest.raises(Unavailable):
        exchange(state).look("btc", bars[:13])
    state.broken = ()
    (done,) = (
        exchange(state).look("btc", bars[12:]).executions if mute else exchange(state).look("btc", bars).executions
    )
    assert done.at == moment(bars.time[11])


def test_an_account_that_cannot_be_read_is_not_a_new_one() -> None:
    state, bars = Failing(), market(20)
    entered(state, bars, 10)
    state.broken = ("read",)
    with pytest.raises(Unavailable):
        exchange(state).look("btc", bars)


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
    assert stored(state).bar == moment(bars.time[795])


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
    written = stored(state).bar
    assert written is not None and written > moment(bars.time[150])
    assert legs(seen[-1]) == ["buy", "stop"]
    assert exchange(state).look("btc", bars[399:]) == seen[-1]


@pytest.mark.parametrize("minutes", [1, 5, 15, 60, 1440])
def test_what_was_seen_once_stays_seen_when_its_bars_leave_the_window(minutes: int) -> None:
    """On short bars a window is shorter than four days."""
    state, bars = MemoryState(), market(400, timedelta(minutes=minutes), dip=150)
    entered(state, bars, 100)
    paper = exchange(state)
    for i in range(101, 400):
        told = paper.look("btc", bars[i - 100 : i + 1])
        assert legs(told) == ["buy", "stop"][: 1 + (i >= 150)]
        assert told.executions[0].at == moment(bars.time[101])


@pytest.mark.parametrize("last", [101, 120, 199], ids=["at the entry", "held", "stopped"])
def test_after_a_pause_longer_than_the_window_every_fill_is_still_the_one_that_was_told(last: int) -> None:
    """The looks that follow get the bars since the last one, and none before."""
    state, bars = MemoryState(), market(400, dip=150)
    entered(state, bars, 100)
    told = [exchange(state).look("btc", bars[i - 50 : i + 1]).executions for i in range(101, last + 1)][-1]
    later = exchange(state).look("btc", bars[last + 1 :])
    assert later.executions[: len(told)] == told
    assert legs(later) == ["buy", "stop"]


def test_a_hole_that_the_venue_mends_later_moves_no_fill() -> None:
    state, bars = MemoryState(), market(200)
    entered(state, bars, 100)
    holed = bars[np.r_[0:101, 102:104]]
    told = exchange(state).look("btc", holed)
    assert told.executions[0].at == moment(bars.time[102])
    assert exchange(state).look("btc", bars[:105]).executions == told.executions


def test_a_look_that_is_overtaken_while_it_writes_goes_on() -> None:
    """Another invocation wrote the same walk first: nothing is lost by not writing it."""
    state, bars = Between(), market(400)
    entered(state, bars, 100)
    state.meanwhile.append(lambda: exchange(state).look("btc", bars))
    told = exchange(state).look("btc", bars)
    assert state.meanwhile == []
    assert legs(told) == ["buy"]
    assert stored(state).bar == moment(bars.time[-1])


def test_after_a_look_that_was_overtaken_orders_are_still_taken() -> None:
    state, bars = Between(), market(400)
    entered(state, bars, 100)
    paper = exchange(state)
    state.meanwhile.append(lambda: exchange(state).look("btc", bars))
    paper.look("btc", bars)
    assert [answer.outcome for answer in paper.submit("btc", [order(bars, "exit", "sell")])] == ["placed"]


def test_a_look_that_is_overtaken_by_another_walk_tells_nothing() -> None:
    """It went along other bars, and filled elsewhere: what is remembered is what is told."""
    state, bars = Between(), market(200)
    entered(state, bars, 100)
    holed = bars[np.r_[0:101, 102:104]]
    state.meanwhile.append(lambda: exchange(state).look("btc", holed))
    paper = exchange(state)
    with pytest.raises(Unavailable, match="another invocation"):
        paper.look("btc", bars[:104])
    (done,) = paper.look("btc", bars).executions
    assert done.at == moment(bars.time[102])


# --- what it was asked about in vain --------------------------------------------------------------------------------


def test_an_order_that_was_asked_about_in_vain_is_not_taken_on_an_older_sight() -> None:
    """Whoever was told that there is nothing of it has drawn conclusions: it must stay true."""
    state, bars = MemoryState(), market(5)
    slow, next_one = exchange(state), exchange(state)
    coming = msgspec.structs.replace(order(bars), status="sent")
    slow.look("btc", bars)
    assert not next_one.look("btc", bars, [coming]).orders
    (said,) = slow.submit("btc", [coming])
    assert said.outcome == "unknown"
    assert not next_one.look("btc", bars, [coming]).orders
    (said,) = next_one.submit("btc", [coming])
    assert said.outcome == "placed", "who looked last may send it"


def test_a_look_that_asks_about_nothing_unclear_writes_nothing() -> None:
    state, bars = CountingState(), market(5)
    entered(state, bars, 3)
    written = len(state.written)
    paper = exchange(state)
    paper.look("btc", bars[:4])
    planned = msgspec.structs.replace(order(bars), status="planned")
    paper.look("btc", bars[:4], [planned])
    assert len(state.written) == written
