"""What every Exchange promises: orders placed once, whatever is repeated or lost, and an account that tells it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from core.adapters.paper_exchange import PaperExchange
from core.adapters.sqlite_state import SqliteState
from core.domain.bars import Bars, epoch, moment
from core.domain.fills import Account, Costs, apply
from core.domain.orders import Holding, Intent, Leg, Rules, Side, intent_id
from core.ports import Document, Exchange, StateStore, Unavailable, Versioned, Watch, Write
from tests.fakes import MemoryState

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = Rules(lot=Decimal("0.001"), tick=Decimal("0.1"), minimum_amount=Decimal("0.001"))
OPENING = Holding(cash=Decimal(10000))


class Bench(Protocol):
    """A venue to try adapters on: a market that moves when told, and lines that break when told."""

    bars: Bars

    def open(self) -> Exchange:
        """The exchange once more, as another process would open it."""
        ...

    def move(self, opened: float, high: float, low: float, close: float) -> None:
        """The next bar of the market, up to its close."""
        ...

    def cut(self) -> None:
        """From now on the venue cannot be reached."""
        ...

    def lose_answers(self) -> None:
        """From now on orders arrive, and what is said to them is lost."""
        ...

    def mend(self) -> None: ...


class Line:
    """A StateStore behind a line that can be cut."""

    def __init__(self, state: StateStore) -> None:
        self._state, self.down, self.mute = state, False, False

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        self._check()
        return self._state.read(keys)

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        self._check()
        versions = self._state.commit(writes, watch)
        if self.mute:
            raise Unavailable("the answer was lost")
        return versions

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        self._check()
        return self._state.scan(collection, since, until)

    def _check(self) -> None:
        if self.down:
            raise Unavailable("the line is cut")


def one_bar(at: datetime, opened: float, high: float, low: float, close: float) -> Bars:
    columns = [np.array([value]) for value in (opened, high, low, close, 1.0)]
    return Bars(np.array([epoch(at)], np.int64), *columns)


class PaperBench:
    def __init__(self, state: StateStore) -> None:
        self._line = Line(state)
        self.bars = one_bar(START, 40_000.0, 40_100.0, 39_900.0, 40_000.0)

    def open(self) -> Exchange:
        return PaperExchange(self._line, OPENING, RULES, Costs())

    def move(self, opened: float, high: float, low: float, close: float) -> None:
        new = one_bar(moment(self.bars.time[-1]) + HOUR, opened, high, low, close)
        pairs = zip(self.bars.columns(), new.columns(), strict=True)
        self.bars = Bars(*(np.concatenate(pair) for pair in pairs))  # type: ignore[arg-type]

    def cut(self) -> None:
        self._line.down = True

    def lose_answers(self) -> None:
        self._line.mute = True

    def mend(self) -> None:
        self._line.down = self._line.mute = False


def paper_in_memory(folder: Path) -> Bench:
    return PaperBench(MemoryState())


def paper_in_sqlite(folder: Path) -> Bench:
    return PaperBench(SqliteState(folder / "state.db"))


BENCHES: list[Callable[[Path], Bench]] = [paper_in_memory, paper_in_sqlite]


@pytest.fixture(params=BENCHES, ids=lambda factory: factory.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    made: Bench = request.param(tmp_path)
    return made


def order(bench: Bench, leg: Leg, side: Side, amount: str, stop: str | None = None, book: str = "btc") -> Intent:
    """An order decided on the newest bar."""
    bar = moment(bench.bars.time[-1])
    return Intent(
        id=intent_id(book, bar, leg),
        book=book,
        bar=bar,
        leg=leg,
        side=side,
        amount=Decimal(amount),
        stop=None if stop is None else Decimal(stop),
    )


def entry(bench: Bench, side: Side = "buy", book: str = "btc") -> Intent:
    return order(bench, "entry", side, "0.1", "39000" if side == "buy" else "41000", book)


def look(bench: Bench, exchange: Exchange, book: str = "btc") -> Account:
    return exchange.look(book, bench.bars)


def placed(bench: Bench, exchange: Exchange, *intents: Intent) -> None:
    """Submits, as a tick does: after a look, and once."""
    look(bench, exchange, intents[0].book)
    answers = exchange.submit(intents[0].book, intents)
    assert [(answer.intent, answer.outcome) for answer in answers] == [(intent.id, "placed") for intent in intents]


def quiet(bench: Bench) -> None:
    bench.move(40_000.0, 40_100.0, 39_900.0, 40_000.0)


def held(bench: Bench) -> tuple[Exchange, Intent]:
    """An exchange on which a long was entered and filled."""
    exchange, intent = bench.open(), entry(bench)
    placed(bench, exchange, intent)
    quiet(bench)
    return exchange, intent


# --- placing --------------------------------------------------------------------------------------------------------


def test_a_new_account_holds_its_cash_and_nothing_else(bench: Bench) -> None:
    account = look(bench, bench.open())
    assert (account.holding, account.fills, account.pending) == (OPENING, (), ())


def test_an_entry_is_filled_once_the_market_moves_on(bench: Bench) -> None:
    exchange, intent = held(bench)
    account = look(bench, exchange)
    (fill,) = account.fills
    assert fill.id.startswith(intent.id)
    assert fill.bar == moment(bench.bars.time[-1])
    assert (fill.side, fill.amount, fill.cause) == ("buy", Decimal("0.1"), "entry")
    assert (account.holding.position, account.holding.stop) == (Decimal("0.1"), Decimal(39000))
    assert account.pending == ()


def test_an_order_is_known_from_the_moment_it_is_placed(bench: Bench) -> None:
    exchange, intent = bench.open(), entry(bench)
    assert intent.id not in look(bench, exchange).known
    placed(bench, exchange, intent)
    account = look(bench, exchange)
    assert intent.id in account.known
    assert (account.pending, account.fills) == ((intent,), ())


def test_an_exit_leaves_nothing(bench: Bench) -> None:
    exchange, _ = held(bench)
    placed(bench, exchange, order(bench, "exit", "sell", "0.1"))
    quiet(bench)
    account = look(bench, exchange)
    assert (account.holding.position, account.holding.stop) == (0, None)
    assert [fill.cause for fill in account.fills] == ["entry", "exit"]


def test_a_reversal_is_answered_leg_by_leg_and_turns_the_position(bench: Bench) -> None:
    exchange, _ = held(bench)
    placed(bench, exchange, order(bench, "exit", "sell", "0.1"), entry(bench, "sell"))
    quiet(bench)
    account = look(bench, exchange)
    assert account.holding.position == Decimal("-0.1")
    assert [fill.cause for fill in account.fills] == ["entry", "exit", "entry"]


def test_the_stop_rests_at_the_venue_and_needs_no_tick(bench: Bench) -> None:
    exchange, _ = held(bench)
    look(bench, exchange)
    bench.move(39_500.0, 39_600.0, 38_500.0, 38_600.0)
    quiet(bench)
    quiet(bench)
    account = look(bench, exchange)
    assert (account.holding.position, account.holding.stop) == (0, None)
    assert account.fills[-1].cause == "stop"
    assert account.fills[-1].price <= 39_000


def test_an_exit_that_comes_after_the_stop_opens_nothing(bench: Bench) -> None:
    exchange, _ = held(bench)
    leave = order(bench, "exit", "sell", "0.1")
    bench.move(39_500.0, 39_600.0, 38_500.0, 38_600.0)  # the stop fires before the order arrives
    placed(bench, exchange, leave)
    quiet(bench)
    account = look(bench, exchange)
    assert account.holding.position == 0
    assert [fill.cause for fill in account.fills] == ["entry", "stop"]


def test_nothing_to_submit_is_nothing(bench: Bench) -> None:
    exchange = bench.open()
    before = look(bench, exchange)
    assert list(exchange.submit("btc", [])) == []
    assert look(bench, exchange) == before


# --- once -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["same", "other"], ids=["same process", "another process"])
@pytest.mark.parametrize("filled", [False, True], ids=["waiting", "filled"])
def test_an_order_submitted_again_is_placed_and_not_doubled(bench: Bench, again: str, filled: bool) -> None:
    exchange, intent = bench.open(), entry(bench)
    placed(bench, exchange, intent)
    if filled:
        quiet(bench)
    placed(bench, exchange if again == "same" else bench.open(), intent)
    quiet(bench)
    account = look(bench, bench.open())
    assert account.holding.position == Decimal("0.1")
    assert len(account.fills) == 1


def test_the_same_order_twice_in_one_call_is_one(bench: Bench) -> None:
    exchange, intent = bench.open(), entry(bench)
    placed(bench, exchange, intent, intent)
    quiet(bench)
    assert len(look(bench, exchange).fills) == 1


def test_the_account_outlives_the_process(bench: Bench) -> None:
    exchange, _ = held(bench)
    assert look(bench, bench.open()) == look(bench, exchange)


def test_looking_again_shows_the_same(bench: Bench) -> None:
    exchange, _ = held(bench)
    first = look(bench, exchange)
    assert look(bench, exchange) == first == look(bench, exchange)


def test_the_holding_is_what_the_fills_make_of_the_opening(bench: Bench) -> None:
    exchange, _ = held(bench)
    placed(bench, exchange, order(bench, "exit", "sell", "0.1"), entry(bench, "sell"))
    bench.move(40_500.0, 41_500.0, 40_000.0, 41_200.0)
    quiet(bench)
    account = look(bench, exchange)
    assert [fill.cause for fill in account.fills] == ["entry", "exit", "entry", "stop"]
    assert len({fill.id for fill in account.fills}) == 4
    assert reduce(lambda holding, fill: apply(holding, fill)[0], account.fills, OPENING) == account.holding


def test_books_do_not_touch_each_other(bench: Bench) -> None:
    exchange = bench.open()
    placed(bench, exchange, entry(bench))
    placed(bench, exchange, entry(bench, "sell", book="eth"))
    quiet(bench)
    assert look(bench, exchange).holding.position == Decimal("0.1")
    assert look(bench, exchange, "eth").holding.position == Decimal("-0.1")


# --- when it does not answer ----------------------------------------------------------------------------------------


def test_a_venue_that_cannot_be_reached_is_unavailable(bench: Bench) -> None:
    exchange = bench.open()
    bench.cut()
    with pytest.raises(Unavailable):
        look(bench, exchange)


@pytest.mark.parametrize("fault", ["cut", "lose_answers"])
def test_an_order_without_an_answer_is_unknown_and_says_why(bench: Bench, fault: str) -> None:
    exchange = bench.open()
    look(bench, exchange)
    legs = order(bench, "exit", "sell", "0.1"), entry(bench)
    getattr(bench, fault)()
    answers = exchange.submit("btc", legs)
    assert [(answer.intent, answer.outcome) for answer in answers] == [(leg.id, "unknown") for leg in legs]
    assert all(answer.detail for answer in answers)


@pytest.mark.parametrize(("fault", "arrived"), [("cut", False), ("lose_answers", True)])
def test_a_later_look_tells_whether_an_unknown_order_arrived(bench: Bench, fault: str, arrived: bool) -> None:
    exchange, intent = bench.open(), entry(bench)
    look(bench, exchange)
    getattr(bench, fault)()
    exchange.submit("btc", [intent])
    bench.mend()
    assert (intent.id in look(bench, exchange).known) == arrived
    quiet(bench)
    assert len(look(bench, bench.open()).fills) == int(arrived)


@pytest.mark.parametrize("fault", ["cut", "lose_answers"])
@pytest.mark.parametrize("again", ["same", "other"], ids=["same process", "another process"])
def test_an_unknown_order_sent_again_is_there_once(bench: Bench, fault: str, again: str) -> None:
    exchange, intent = bench.open(), entry(bench)
    look(bench, exchange)
    getattr(bench, fault)()
    exchange.submit("btc", [intent])
    bench.mend()
    placed(bench, exchange if again == "same" else bench.open(), intent)
    quiet(bench)
    account = look(bench, exchange)
    assert (account.holding.position, len(account.fills)) == (Decimal("0.1"), 1)
