"""Real processes, really killed: no order twice, no position lost. `python -m tests.processes` does it for long."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.processes import market
from tests.processes.deployment import book_of
from tests.processes.places import PLACES
from tests.processes.region import Death
from tests.processes.rounds import Told, Wish, played
from tests.processes.trouble import Manners

NOTHING_ELSE = Manners(
    death=0, again=0, freeze=0, fault=0, faults=0, flip=0, missed=0, twice=0.3, timer=0, lag=0, partial=0
)
PLANS = {  # side by side: most of the time passes in waiting for leases that the dead still hold
    ("bitbank", 1): (Death("order", "after"), Death("read", "before"), Death("decision", "after")),
    ("bitbank", 2): (Death("order", "before", spared=1), Death("claim", "before")),
    ("bybit", 1): (Death("order", "after", spared=1), Death("read", "after"), Death("look", "before")),
    ("bybit", 2): (Death("order", "before"), Death("market", "before")),
}


def wish(venue: str, seed: int) -> Wish:
    plan = PLANS[venue, seed]
    return Wish(venue, seed, len(plan), NOTHING_ELSE, plan, regions=1, lease_s=10)


def test_whatever_is_killed_every_order_is_placed_once_and_nothing_is_lost(firestore_emulator: str) -> None:
    for venue in PLACES:
        market.model(book_of(PLACES[venue]))  # trained before the threads start
    wishes = [wish(venue, seed) for venue, seed in PLANS]
    with ThreadPoolExecutor(len(wishes)) as threads:
        told = list(threads.map(lambda each: played(each, firestore_emulator), wishes))
    died: Counter[tuple[str, str]] = sum((each.died for each in told), Counter())
    assert [story for each in told for story in each.stories] == []
    assert [sentence for each in told for sentence in each.wrong] == []
    assert not any(each.halts for each in told)  # a kill alone leaves nothing that would need a person
    assert died == Counter((death.kind, death.side) for plan in PLANS.values() for death in plan)
    assert all(traded(each) for each in told)


def traded(told: Told) -> bool:
    return told.orders >= 2 and told.executions >= 1
