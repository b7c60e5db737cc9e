"""Right before an order is sent the switches are read once more, and so is the lease: who is too late sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from core.domain.switch import Mode
from core.flows.claim import breakers_key, watched
from core.flows.switches import flip
from core.ports import Document, StateStore, Unavailable, Versioned, Write
from tests.domain.drawn import BAR
from tests.flows.test_guard import Place, place
from tests.flows.test_tick import EAGER, record, run, state
from tests.road import Road, road, small_book


class _Before:
    """A StateStore in which something happens before the switches are read for the nth time: the last reading."""

    def __init__(self, store: StateStore, happens: Callable[[], object], nth: int = 2) -> None:
        self._store, self._happens, self._readings, self._nth = store, happens, 0, nth

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        if tuple(keys) == watched("btc"):
            self._readings += 1
            if self._readings == self._nth:
                self._happens()
        return self._store.read(keys)


def ticked(happens: Callable[[Road], object]) -> tuple[Road, Document]:
    """A tick that enters, with something happening after its order is written down as sent."""
    made = road(small_book(**EAGER))
    world = replace(made.world, state=_Before(made.world.state, lambda: happens(made)))
    return made, run(made, made.first, world)


def flips(mode: Mode, scope: str) -> Callable[[Road], object]:
    return lambda made: flip(made.world.state, scope, mode, "me", "", made.clock.now())


def sent_to_paper(made: Road) -> list[Any]:
    return list((made.world.state.read(["paper/btc"])["paper/btc"].data or {}).get("pending", ()))


@pytest.mark.parametrize("scope", ["global", "btc"])
@pytest.mark.parametrize("mode", ["reduce", "halt", "flatten"])
def test_a_flip_after_the_commit_keeps_the_entry_back(mode: Mode, scope: str) -> None:
    made, said = ticked(flips(mode, scope))
    assert (said["outcome"], said["reason"]) == ("refused", "order_dropped")
    (order,) = state(made).orders
    assert (order.status, order.detail) == ("never_placed", f"the switch says {mode}")
    assert sent_to_paper(made) == []
    assert record(made, made.first)["phase"] == "done"


def test_what_the_guard_finds_after_the_commit_keeps_it_back_as_well() -> None:
    unreadable = Write(breakers_key("btc"), {"trips": "?"})
    made, said = ticked(lambda made: made.world.state.commit([unreadable]))
    assert (said["reason"], sent_to_paper(made)) == ("order_dropped", [])


def test_without_a_flip_it_is_sent() -> None:
    made, said = ticked(lambda _: None)
    assert (said["outcome"], len(sent_to_paper(made))) == ("traded", 1)


def test_who_cannot_read_the_switches_sends_nothing_and_the_next_call_goes_on() -> None:
    def silent(_: Road) -> None:
        raise Unavailable("no answer")

    made = road(small_book(**EAGER))
    with pytest.raises(Unavailable):
        run(made, made.first, replace(made.world, state=_Before(made.world.state, lambda: silent(made))))
    assert sent_to_paper(made) == []
    made.clock.advance(timedelta(seconds=200))
    assert run(made, made.first)["outcome"] == "traded"
    assert len(sent_to_paper(made)) == 1


def test_who_slept_through_the_lease_sends_nothing() -> None:
    made, said = ticked(lambda made: made.clock.advance(timedelta(seconds=200)))
    assert (said["outcome"], sent_to_paper(made)) == ("busy", [])


def resting(made: Place) -> set[str]:
    seen = made.port.look("btc", made.world.market.bars(BAR, BAR))
    return {each.order_id for each in seen.orders if each.kind == "stop" and each.status == "open"}


@pytest.mark.parametrize(("mode", "stays"), [("halt", True), ("flatten", False)])
def test_under_halt_a_position_keeps_the_stop_that_was_about_to_be_taken_back(mode: Mode, stays: bool) -> None:
    """The guard is about to flatten: the stop goes first, and the exit after it."""
    made = place()
    made.flip("flatten")
    before = resting(made)
    assert before
    made.guard(replace(made.world, state=cast(StateStore, _Before(made.store, lambda: made.flip(mode), 1))))
    assert bool(made.venue.look().position) == stays
    assert resting(made) == (before if stays else set())
