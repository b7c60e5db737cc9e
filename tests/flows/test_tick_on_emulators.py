"""The whole tick on the real Firestore and Cloud Storage emulators: what the cloud runs, through the same adapters."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest

from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.adapters.paper_exchange import PaperExchange
from core.domain.backtest import backtest
from core.domain.decide import Decision
from core.domain.orders import Holding
from core.flows.claim import book_key, state_of
from core.flows.gather import together
from core.flows.switches import flip
from core.flows.tick import tick
from core.ports import StateStore
from tests.emulators import make_bucket
from tests.road import Road, drawn, go_live, road, small_book, trained

RACERS = 8


@pytest.fixture
def cloud(firestore_emulator: str, storage_emulator: str) -> Road:
    book = small_book(threshold=0.0, threshold_max=0.0)
    project = f"p{uuid4().hex[:12]}"
    state = FirestoreState(project, emulator_host=firestore_emulator)
    models = GcsModels(make_bucket(storage_emulator, project), emulator_host=storage_emulator)
    made = road(book)
    go_live(state, models, book, trained(book, drawn(), made.daily))
    return replace(
        made, world=replace(made.world, state=state, models=models, exchange=paper(made, state), together=together)
    )


def paper(made: Road, state: StateStore) -> PaperExchange:
    return PaperExchange(state, Holding(cash=made.book.policy.capital), made.book.rules, made.book.costs)


def test_ticks_on_the_emulators_give_the_backtest(cloud: Road) -> None:
    last = cloud.first + 30
    for index in range(cloud.first, last):
        tick(cloud.world, cloud.book, cloud.at(index))
    p_up, context = cloud.forecasts()
    result = backtest(cloud.book, cloud.bars[:last], p_up[:last], context[:last], cloud.first, first=cloud.first)
    records = [record for _, record in cloud.world.state.scan("ticks", "btc@", "btc@~")]
    assert [msgspec.convert(record["decision"], Decision) for record in records] == result.decisions
    assert [record["answer"]["equity"] for record in records] == [str(equity) for equity in result.equity]
    assert len(result.fills) > 4


def test_of_many_invocations_at_once_one_decides_and_one_order_is_placed(cloud: Road) -> None:
    """Each racer is an instance of its own: nothing but the store is shared."""
    for index in range(cloud.first, cloud.first + 6):
        start = threading.Barrier(RACERS, timeout=60)

        def fire(_: int, index: int = index, start: threading.Barrier = start) -> str:
            world = replace(cloud.world, cache={}, exchange=paper(cloud, cloud.world.state))
            start.wait()
            return str(tick(world, cloud.book, cloud.at(index))["outcome"])

        with ThreadPoolExecutor(RACERS) as racers:
            outcomes = Counter(racers.map(fire, range(RACERS)))
        decided = outcomes.keys() - {"busy"}
        assert len(decided) == 1, outcomes
        again = tick(cloud.world, cloud.book, cloud.at(index))
        assert again["outcome"] in decided
    tick(cloud.world, cloud.book, cloud.at(cloud.first + 6))
    records = [record for _, record in cloud.world.state.scan("ticks", "btc@", "btc@~")]
    intents = [intent["id"] for record in records[:-1] for intent in record["decision"]["intents"]]
    filled = [
        fill["id"].rpartition("-")[0] for record in records for fill in record["fills"] if fill["cause"] != "stop"
    ]
    assert sorted(filled) == sorted(intents)
    assert [record["token"] for record in records] == sorted({record["token"] for record in records})


def test_the_operators_flip_is_never_refused_and_obeyed_by_the_next_commit(cloud: Road) -> None:
    tick(cloud.world, cloud.book, cloud.at(cloud.first))
    stop = threading.Event()
    flips: list[str] = []

    def flipping() -> None:
        while not stop.is_set():
            for mode in ("halt", "run"):
                flip(cloud.world.state, "global", mode, "operator", "a race", cloud.clock.now())  # type: ignore[arg-type]
                flips.append(mode)

    operator = threading.Thread(target=flipping)
    operator.start()
    try:
        for index in range(cloud.first + 1, cloud.first + 15):
            tick(cloud.world, cloud.book, cloud.at(index))
            cloud.clock.advance(timedelta(seconds=121))
    finally:
        stop.set()
        operator.join()
    flip(cloud.world.state, "global", "halt", "operator", "the end", cloud.clock.now())
    for record in (record for _, record in cloud.world.state.scan("ticks", "btc@", "btc@~")):
        assert not (record["view"]["mode"] == "halt" and record["decision"]["intents"])
    said = tick(cloud.world, cloud.book, cloud.at(cloud.first + 15))
    assert said["outcome"] == "halted"
    assert len(flips) > 20
    document = cloud.world.state.read([book_key("btc")])[book_key("btc")].data
    assert state_of(document, cloud.book).unsettled == ()
