"""Several books on one account: what the others hold leaves so much room; of two that decide at once one gives way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from core.adapters.paper_exchange import PaperExchange
from core.domain.bars import Bars, moment
from core.domain.orders import Holding, Intent, Order, intent_id
from core.domain.risk import Limits
from core.domain.state import Book, exposed, opening
from core.flows import account
from core.flows.account import TURNSTILE
from core.flows.claim import book_key, plain, state_of, switch_keys
from core.flows.switches import flip
from core.flows.tick import tick
from core.ports import Document, StateStore, Versioned, Watch, World, Write
from tests.flows.test_tick import EAGER
from tests.road import Road, artefact, go_live, road, small_book

FREE = Limits(positions=0, exposure=0.0, correlated_exposure=0.0, daily_loss=0.0, drawdown=0.0)
OTHER = msgspec.structs.replace(small_book(**EAGER), id="eth", symbol="ETH/USDT")


def two(**limits: Any) -> tuple[Road, World, World]:
    """Two books that want to enter at every bar, in one deployment: their road, and the world of each."""
    made = road(small_book(**EAGER))
    files = artefact(OTHER, made.bars[:1500], made.daily)
    go_live(made.world.state, made.world.models, OTHER, files)
    shared = {"books": (made.book, OTHER), "limits": msgspec.structs.replace(FREE, **limits)}
    exchange = PaperExchange(made.world.state, Holding(cash=OTHER.policy.capital), OTHER.rules, OTHER.costs)
    other = replace(made.world, exchange=exchange, cache={}, **shared)
    return made, replace(made.world, **shared), other


def both(made: Road, one: World, other: World, index: int) -> tuple[Document, Document]:
    return tick(one, made.book, made.at(index)), tick(other, OTHER, made.at(index))


def position(made: Road, book: Book) -> Decimal:
    return state_of(made.world.state.read([book_key(book.id)])[book_key(book.id)].data, book).holding.position


def test_without_limits_both_enter() -> None:
    made, one, other = two()
    assert [said["action"] for said in both(made, one, other, made.first)] == ["enter", "enter"]


def test_an_entry_that_was_only_sent_counts_as_a_position() -> None:
    made, one, other = two(positions=1)
    first, second = both(made, one, other, made.first)
    assert (first["action"], second["action"], second["reason"]) == ("enter", "stay_out", "account_positions")


def test_the_exposure_of_the_others_is_what_is_left_to_this_one() -> None:
    made, one, other = two(exposure=0.6)
    both(made, one, other, made.first)
    both(made, one, other, made.first + 1)
    price = Decimal(str(made.bars.close[made.first]))
    held = abs(position(made, made.book)) + abs(position(made, OTHER))
    assert position(made, made.book)
    assert position(made, OTHER), "some room was left"
    assert held * price <= Decimal("0.6") * 20_000 * Decimal("1.02"), "filled at the next open"


def test_what_moves_together_is_added_up_and_a_hedge_makes_no_room() -> None:
    """Both books trade the same bars, so that they move together entirely."""
    made, one, other = two(correlated_exposure=0.02)
    first, second = both(made, one, other, made.first)
    assert (first["action"], second["action"]) == ("enter", "stay_out")
    record = next(record for _, record in made.world.state.scan("ticks", "eth@", "eth@~"))
    assert record["decision"]["numbers"]["size_limit"] == "exposure"


class _Meanwhile:
    """A StateStore in which something happens before the first commit that writes a tick's record."""

    def __init__(self, state: StateStore, happens: Any) -> None:
        self._state, self._happens = state, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        if self._happens and any(write.key.startswith("ticks/") for write in writes):
            happens, self._happens = self._happens, None
            happens()
        return self._state.commit(writes, watch)


def test_of_two_books_that_decide_at_once_the_last_room_goes_to_one() -> None:
    """The other book enters after this one has read the account, and before it commits."""
    made, one, other = two(positions=1)
    racing = replace(one, state=_Meanwhile(one.state, lambda: tick(other, OTHER, made.at(made.first))))
    said = tick(racing, made.book, made.at(made.first))
    assert (said["action"], said["reason"]) == ("stay_out", "account_positions")
    assert one.state.read([TURNSTILE])[TURNSTILE].data == {"book": "eth", "bar": moment(made.bars.time[made.first])}


def test_a_book_that_is_alone_reads_nothing_of_others() -> None:
    made, one, _ = two()
    alone = replace(one, books=(made.book,))
    assert (account.keys(alone, made.book), account.beside(alone, made.book, {})) == ([], None)
    assert tick(alone, made.book, made.at(made.first))["action"] == "enter"
    assert one.state.read([TURNSTILE])[TURNSTILE].data is None


def test_a_damaged_book_leaves_no_room_to_the_others() -> None:
    """What it holds is not known; and its equity is not taken for lost."""
    made, one, _ = two(exposure=1.0, drawdown=0.05)
    one.state.commit([Write(book_key("eth"), {"state": {"holding": 1}})])
    said = tick(one, made.book, made.at(made.first))
    assert (said["action"], said["reason"]) == ("stay_out", "account_exposure")
    assert one.state.read([switch_keys("btc")[0]])[switch_keys("btc")[0]].data is None


def lost(made: Road, amount: int) -> None:
    """The other book has lost so much."""
    state = msgspec.structs.replace(opening(OTHER), equity=Decimal(10_000 - amount))
    made.world.state.commit([Write(book_key("eth"), {"state": plain(state)})])


def test_a_fall_of_the_whole_account_halts_every_book_until_a_person_resumes() -> None:
    made, one, other = two(drawdown=0.05)
    tick(one, made.book, made.at(made.first))
    lost(made, 2000)
    key = switch_keys("btc")[0]
    said = tick(one, made.book, made.at(made.first + 1))
    assert said["reason"] == "breaker_drawdown"
    flipped = one.state.read([key])[key].data
    assert flipped is not None
    assert (flipped["mode"], flipped["by"]) == ("flatten", "hourhand")
    assert tick(other, OTHER, made.at(made.first + 1))["outcome"] == "halted", "the other book as well"
    flip(one.state, "global", "run", "me", "", made.clock.now())
    assert tick(one, made.book, made.at(made.first + 2))["mode"] == "run"
    after = one.state.read([key])[key].data
    assert after is not None
    assert after["mode"] == "run", "it is counted anew"


@pytest.mark.parametrize(
    ("held", "coming", "worth"), [("0", None, 0), ("2", None, 20), ("-2", None, -20), ("0", 3, 30), ("-1", 3, 20)]
)
def test_a_book_is_worth_what_it_holds_or_what_it_will(held: str, coming: int | None, worth: int) -> None:
    bar = moment(0)
    name = intent_id("eth", bar, "entry")
    intent = Intent(id=name, book="eth", bar=bar, leg="entry", side="buy", amount=Decimal(coming or 1))
    orders = (Order(intent=intent, status="sent"),) if coming else ()
    holding = Holding(cash=Decimal(100), position=Decimal(held), average_price=Decimal(9))
    state = msgspec.structs.replace(opening(OTHER), holding=holding, price=Decimal(10), orders=orders)
    assert exposed(state) == worth


def test_bars_that_cannot_be_read_count_as_moving_together() -> None:
    made, one, _ = two(correlated_exposure=0.05)
    holding = Holding(cash=Decimal(10_000), position=Decimal(1), average_price=Decimal(30_000))
    state = msgspec.structs.replace(opening(OTHER), holding=holding, price=Decimal(30_000))
    documents = {book_key("eth"): {"state": plain(state)}, "windows/eth": {"bars": b"123"}}
    one.state.commit([Write(key, data) for key, data in documents.items()])
    found: Mapping[str, Versioned] = one.state.read(account.keys(one, made.book))
    beside = account.beside(one, made.book, found)
    assert beside is not None
    flat = Bars(*(np.ones(3, np.int64 if i == 0 else np.float64) for i in range(6)))
    assert [room.quote for room in beside.rooms(opening(made.book), flat)] == [0, 0]
