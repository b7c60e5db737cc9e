"""Settling and acting together: against a truthful venue over many bars, and against one that says just anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.act import Scene, answered, plan, sent, unprotected
from core.domain.orders import ENDS, MARKET, MOVES, ZERO, Answer, Fill, Leg, Order, Sight, Status, Traits
from core.domain.settle import News, expected, resumed, settle
from core.domain.state import BookState, pruned
from core.domain.switch import MODES
from core.flows.claim import plain
from tests.domain.drawn import BAR, HOUR, RULES
from tests.domain.model_venue import (
    BOOK,
    CLASSES,
    LOT,
    PRICE,
    STOP,
    A,
    D,
    Drive,
    ModelVenue,
    after,
    done,
    holding,
    intent,
    listed,
)
from tests.domain.model_venue import order as order_of

seeds = st.integers(0, 2**32)
EVERY = pytest.mark.parametrize("traits", CLASSES.values(), ids=CLASSES)


def reachable(status: Status) -> set[Status]:
    """Where an order may be after any number of moves."""
    found, left = {status}, [status]
    while left:
        new = MOVES[left.pop()] - found
        found, left = found | new, [*left, *new]
    return found


@dataclass
class Witness:
    """Remembers a book's states as they follow each other, and holds each against the one before."""

    state: BookState
    fills: dict[str, Fill] = field(default_factory=dict)
    begun: Decimal = ZERO

    def __post_init__(self) -> None:
        self.begun = self.state.holding.position

    def see(self, state: BookState, news: News | None = None) -> BookState:
        for fill in news.fills if news else ():
            assert fill.id not in self.fills, "booked twice"
            self.fills[fill.id] = fill
        assert state.holding.position == self.begun + sum((fill.signed for fill in self.fills.values()), ZERO)
        before = {(order.intent.id, order.intent.attempt): order.status for order in self.state.orders}
        for order in state.orders:
            was = before.get((order.intent.id, order.intent.attempt), "planned")
            assert order.status in reachable(was)
        self.state = state
        return state


# --- a truthful venue -----------------------------------------------------------------------------------------------


def decided(draw: Random, state: BookState, bar: datetime) -> tuple[Order, ...]:
    """What a strategy without sense might want: to enter, to exit, to reverse, or nothing."""
    held, wish = state.holding.position, draw.random()
    side = draw.choice(["buy", "sell"]) if not RULES.floor(abs(held)) else "sell" if held > 0 else "buy"
    amount = Decimal(draw.randrange(1, 300)) / 1000
    leave = order_of("exit", side, RULES.floor(abs(held)), "planned", bar=bar)
    enter = order_of("entry", side, amount, "planned", bar=bar)
    if not RULES.floor(abs(held)):
        return (enter,) if wish < 0.8 else ()
    return (leave,) if wish < 0.3 else (leave, enter) if wish < 0.6 else ()


@dataclass
class Life:
    """A book's life with a model venue: what was decided, and at the end of each bar how things stood."""

    venue: ModelVenue
    witness: Witness
    ends: list[BookState] = field(default_factory=list)
    finished: list[bool] = field(default_factory=list)

    def live(self, bars: int) -> None:
        draw = Random(self.venue.draw.random())
        for i in range(bars):
            bar = BAR + i * HOUR
            self.venue.now = max(self.venue.now, after(3600 * i))
            if draw.random() < 0.2:
                self.venue.trigger()
                self.venue.now += timedelta(seconds=draw.choice([0, 0, 5]))
            self._acted(bar)
            state = self.witness.state
            if not (state.working or state.waiting or state.trouble):
                state = replace(state, bar=bar, orders=pruned((*state.orders, *decided(draw, state, bar))))
                self.witness.see(state)
            self._acted(bar)
            self.ends.append(self.witness.state)
        self.venue.now += HOUR  # what the last stop did shows by now
        self._acted(bar)

    def _acted(self, bar: datetime) -> None:
        drive = Drive(self.venue, self.witness.state, each=lambda state, news: (self.witness.see(state, news), None)[1])
        self.finished.append(drive.run(bar))
        self.witness.see(drive.state)


def life(seed: int, traits: Traits, bars: int = 8, **faults: float) -> Life:
    draw = Random(seed)
    lag, latency = draw.choice([0.0, 0.5, 2.0, 3.0]), draw.choice([0.0, 1.0, 3.0])
    venue = ModelVenue(traits, draw, lag=lag, lag_position=latency, **faults)
    made = Life(venue, Witness(holding()))
    made.live(bars)
    return made


def naked(venue: ModelVenue) -> bool:
    """Whether the venue holds a position of ours whose stop does not rest, in full and alone."""
    amount = RULES.floor(abs(venue.position))
    side = "sell" if venue.position > 0 else "buy"
    fits = [(each.intent.side, each.intent.amount - each.life[-1][2]) for each in venue.stops]
    return fits != ([(side, amount)] if amount else [])


def entered(venue: ModelVenue) -> list[datetime]:
    """The bar of each entry that the venue took."""
    return [each.intent.bar for each in venue.orders if each.intent.leg == "entry"]


@EVERY
@given(seeds)
@settings(max_examples=30)
def test_where_nothing_gets_lost_all_is_done_and_protected(traits: Traits, seed: int) -> None:
    lived = life(seed, traits, thin=0.2)
    assert all(lived.finished)
    assert lived.witness.state.trouble == ""
    assert lived.witness.state.holding.position == lived.venue.position
    assert not lived.witness.state.open_orders[1:]
    assert not naked(lived.venue)


@EVERY
@given(seeds)
@settings(max_examples=60)
def test_whatever_is_lost_on_the_way_the_book_is_right_and_nothing_is_entered_twice(traits: Traits, seed: int) -> None:
    lived = life(seed, traits, lost=0.2, mute=0.2, thin=0.1)
    bars = entered(lived.venue)
    assert len(bars) == len(set(bars))
    assert all(lived.finished)
    assert lived.witness.state.trouble == ""
    assert lived.witness.state.holding.position == lived.venue.position
    assert naked(lived.venue) == unprotected(lived.witness.state, BOOK, traits)


@EVERY
@given(seeds)
@settings(max_examples=30)
def test_refusals_end_in_a_stop_an_exit_or_a_word_that_there_is_neither(traits: Traits, seed: int) -> None:
    lived = life(seed, traits, refusing=0.3)
    assert all(lived.finished)
    assert lived.witness.state.trouble == ""
    assert lived.witness.state.holding.position == lived.venue.position
    assert naked(lived.venue) == unprotected(lived.witness.state, BOOK, traits)


class Once(Random):
    """Draws 0.5, but once."""

    def __init__(self, at: int, value: float) -> None:
        super().__init__(0)
        self.left, self.value = at, value

    def random(self) -> float:
        self.left -= 1
        return self.value if self.left == -1 else 0.5


@EVERY
@pytest.mark.parametrize("fault", [0.0, 1.0], ids=["lost", "mute"])
@pytest.mark.parametrize("at", range(8))
def test_one_loss_anywhere_in_a_reversal_leaves_no_position_without_its_stop(
    traits: Traits, fault: float, at: int
) -> None:
    venue = ModelVenue(traits, Once(99, 0.5), lag=1.0, lost=0.1, mute=0.1)
    first = Drive(venue, holding(order_of(status="planned")))
    first.run()
    bar = BAR + HOUR
    wanted = order_of("exit", "sell", status="planned", bar=bar), order_of("entry", "sell", status="planned", bar=bar)
    venue.now, venue.draw = venue.now + HOUR, Once(at, fault)
    second = Drive(venue, replace(first.state, bar=bar, orders=(*first.state.orders, *wanted)))
    assert second.run(bar)
    assert second.state.trouble == ""
    assert not naked(venue)
    dropped = traits.lasting_ids or venue.position == -LOT or fault == 0.0
    assert dropped and venue.position in (-LOT, ZERO), "an entry may be given up where it might be doubled"
    assert venue.position == -LOT or not traits.lasting_ids


@pytest.mark.parametrize("kind", ["lost", "mute", "refusing", "thin"])
def test_these_lives_hold_everything_that_can_happen(kind: str) -> None:
    happened: set[tuple[Leg, Status]] = set()
    for seed in range(30):
        for state in life(seed, A, **{kind: 0.4}).ends:
            happened |= {(order.intent.leg, order.status) for order in state.orders}
    legs: tuple[Leg, ...] = ("entry", "exit", "stop")
    assert {(leg, "filled") for leg in legs} <= happened
    if kind == "refusing":
        assert {(leg, "refused") for leg in legs} <= happened
    if kind == "thin":
        assert {(leg, "cancelled") for leg in MARKET} <= happened


# --- a venue that says just anything --------------------------------------------------------------------------------

NAMES = ["o1", "o2", "o3", "old"]
AMOUNTS = ["0", "0.001", "0.04", "0.06", "0.1", "0.1", "0.1", "0.2", "1E+3"]


def any_orders(draw: Random, bar: datetime) -> list[Order]:
    legs = draw.sample(["entry", "exit", "stop"], draw.choice([0, 1, 1, 2]))
    return [
        order_of(leg, draw.choice(["buy", "sell"]), draw.choice(["0.1", "0.2"]), "planned", bar=bar) for leg in legs
    ]


def any_sight(draw: Random, state: BookState) -> Sight:
    """Whatever fits the types: ids of ours with other sides, fills of orders that never were, anything."""
    tags = ["", "theirs", *(order.intent.id for order in state.orders)]
    orders = [
        listed(
            draw.choice(NAMES),
            draw.choice(["buy", "sell"]),
            draw.choice(AMOUNTS[1:]),
            draw.choice(["open", "open", "filled", "cancelled", "expired", "refused"]),
            tag=draw.choice(tags),
            executed=draw.choice([None, ZERO, LOT]),
            stop=draw.choice([None, STOP]),
            kind=draw.choice(["market", "stop", "other"]),
        )
        for _ in range(draw.randrange(4))
    ]
    executions = [
        done(
            f"e{draw.randrange(12)}",
            draw.choice(NAMES),
            draw.choice(["buy", "sell"]),
            draw.choice(AMOUNTS),
            draw.choice([PRICE, Decimal("0.1")]),
            cause=draw.choice([None, None, None, "stop", "entry"]),
            at=after(draw.uniform(-9000, 9000)),
        )
        for _ in range(draw.randrange(4))
    ]
    position = draw.choice([state.holding.position, state.holding.position, ZERO, LOT, -LOT, Decimal("0.0004")])
    reserved = draw.choice([None, ZERO, Decimal(4000)])
    return Sight(position=position, orders=tuple(orders), executions=tuple(executions), reserved=reserved)


def any_answers(draw: Random, orders: Sequence[Order]) -> list[Answer]:
    outcomes = ["placed", "refused", "unknown"]
    names = [*(order.intent.id for order in orders), "nobody's"]
    return [
        Answer(intent=draw.choice(names), outcome=draw.choice(outcomes), order_id=draw.choice(["", *NAMES]))
        for _ in range(draw.randrange(3))
    ]


def any_traits(draw: Random) -> Traits:
    base = draw.choice(list(CLASSES.values()))
    return replace(base, window_s=draw.choice([0, 10]), looks=draw.choice([1, 2, 3]), spot=draw.random() < 0.3)


@given(seeds)
@settings(max_examples=400)
def test_whatever_the_venue_says_no_tick_stops_and_no_execution_is_booked_twice(seed: int) -> None:
    draw = Random(seed)
    traits, bar, at = any_traits(draw), BAR, 0.0
    witness = Witness(holding(*any_orders(draw, bar)))
    for _ in range(30):
        at += draw.choice([0.0, 0.1, 2.5, 11.0, 3600.0])
        sight = any_sight(draw, witness.state)
        state = witness.see(*settle(witness.state, sight, BOOK, traits, after(at)))
        if state.trouble and draw.random() < 0.5:
            state = resumed(state, sight, traits)
            witness = Witness(state, dict(witness.fills))
            witness.begun -= sum((fill.signed for fill in witness.fills.values()), ZERO)
        if draw.random() < 0.2:
            bar += HOUR
            state = replace(state, orders=pruned((*state.orders, *any_orders(draw, bar))))
        mode = draw.choice(["run", "run", "run", *MODES])
        scene = Scene(book=BOOK, traits=traits, mode=mode, bar=bar, now=after(at), fresh=draw.random() < 0.9)
        state, step = plan(state, scene)
        state = sent(state, step, sight, traits, after(at))
        witness.see(answered(state, any_answers(draw, step.orders)))


@given(seeds)
@settings(max_examples=100)
def test_settling_the_same_sight_again_at_the_same_time_changes_nothing(seed: int) -> None:
    draw = Random(seed)
    venue = ModelVenue(any_traits(draw), draw, lag=draw.choice([0.0, 2.0]), lost=0.2, mute=0.2, thin=0.2)
    state = holding(order_of(status="planned"))
    for _ in range(20):
        venue.now += timedelta(seconds=draw.choice([0.0, 0.5, 2.5, 11.0]))
        sight = venue.look()
        state, _ = settle(state, sight, BOOK, venue.traits, venue.now)
        again, news = settle(state, sight, BOOK, venue.traits, venue.now)
        assert (again, news.fills, news.trades, news.lost) == (state, (), (), ())
        state, step = plan(state, Scene(book=BOOK, traits=venue.traits, mode="run", bar=BAR, now=venue.now))
        state = sent(state, step, sight, venue.traits, venue.now)
        state = answered(state, [venue.submit(order.intent) for order in step.orders if step.act == "send"])


@given(seeds)
@settings(max_examples=30)
def test_a_state_in_the_middle_of_anything_survives_being_written_down(seed: int) -> None:
    for state in life(seed, D, lost=0.3, mute=0.3, thin=0.2).ends:
        assert msgspec.convert(plain(state), BookState) == state


def test_ends_are_never_left_whatever_is_told_of_them() -> None:
    for status in sorted(ENDS):
        ended = order_of(status=status, order_id="o1", looks=2)
        for told in ("open", "filled", "cancelled", "expired", "refused"):
            sight = Sight(position=ZERO, orders=(listed("o1", status=told, tag=intent().id),))
            state, _ = settle(holding(ended), sight, BOOK, A, after(100))
            assert [order.status for order in state.orders] == [status]
            assert expected(state) == 0
