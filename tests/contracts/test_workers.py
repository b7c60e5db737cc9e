"""What every Workers promises, run against each adapter of it: in this process, loky, and a real Dask cluster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.adapters.joblib_workers import JoblibWorkers
from core.domain.bars import Floats
from core.domain.ensemble import Training
from core.domain.walk import Learnt, Window, learn
from core.ports import Unavailable, Workers
from tests.emulators import free_port
from tests.fakes import InProcess

SMALL = Training(trees=12, forest_trees=12, leaf_rows=20, forest_leaf_rows=20)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a scheduler with two workers, each a process of its own."""
    import dask  # here, since every worker imports this file
    from distributed import LocalCluster

    settings = {"distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(settings),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(params=["in_process", "here", "loky", "dask"])
def workers(request: pytest.FixtureRequest) -> Workers:
    if request.param == "dask":
        return JoblibWorkers(cluster=request.getfixturevalue("address"))
    made: dict[str, Workers] = {"in_process": InProcess(), "here": JoblibWorkers(1), "loky": JoblibWorkers(2)}
    return made[request.param]


@pytest.fixture(params=["loky", "dask"])
def processes(request: pytest.FixtureRequest) -> Workers:
    return JoblibWorkers(2) if request.param == "loky" else JoblibWorkers(cluster=request.getfixturevalue("address"))


def doubled(offset: int, item: int) -> int:
    return 2 * item + offset


def failing(item: int) -> int:
    if item == 2:
        raise LookupError("there is no 2")
    return item


def total(large: Floats, item: int) -> tuple[float, bool]:
    return float(large[item:].sum()), bool(large.flags["F_CONTIGUOUS"])


def once_deadly(folder: str, large: Floats, item: int) -> tuple[int, float]:
    """Leaves a mark at each attempt; the first one at item 3 ends its process, as the kernel ends one that takes too
    much memory."""
    Path(folder, f"{item}-{time.monotonic_ns()}").touch()
    if item == 3 and len(list(Path(folder).glob("3-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item, float(large.sum())


def deadly(item: int) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def table() -> tuple[Floats, Floats, Window]:
    rng = np.random.default_rng(7)
    values = np.asfortranarray(rng.normal(size=(900, 6)))
    values[rng.random(900) < 0.1, 5] = np.nan
    labels = (values[:, 0] + rng.normal(size=900) > 0).astype(float)
    return values, labels, Window(0, 0, 1, 2, np.arange(700), np.arange(700, 900))


def same(one: Learnt, two: Learnt) -> bool:
    return (
        one.raw.tobytes() == two.raw.tobytes()
        and one.importance.tobytes() == two.importance.tobytes()
        and (one.rows, one.base_rate, one.train_loss) == (two.rows, two.base_rate, two.train_loss)
    )


def test_every_item_is_done_once_and_told_with_its_index(workers: Workers) -> None:
    told = list(workers.run(partial(doubled, 1), range(10, 30)))
    assert sorted(told) == [(i, 2 * (10 + i) + 1) for i in range(20)]


def test_no_items_are_no_work(workers: Workers) -> None:
    assert list(workers.run(failing, [])) == []


def test_what_the_job_raises_is_raised_here(workers: Workers) -> None:
    with pytest.raises(LookupError, match="there is no 2"):
        list(workers.run(failing, [1, 2, 3]))


def test_large_arguments_arrive_whole_and_in_their_order_of_memory(workers: Workers) -> None:
    large = np.asfortranarray(np.arange(60_000.0).reshape(20_000, 3))
    told = dict(workers.run(partial(total, large), [0, 19_999]))
    assert told == {0: (float(large.sum()), True), 1: (float(large[19_999:].sum()), True)}


def test_a_window_is_learnt_to_the_same_last_bit_wherever_it_is_done(processes: Workers) -> None:
    values, labels, window = table()
    ((_, found),) = processes.run(partial(learn, values, labels, SMALL), [window])
    assert same(found, learn(values, labels, SMALL, window))


def test_a_worker_that_is_killed_midway_loses_nothing_and_doubles_nothing(processes: Workers, tmp_path: Path) -> None:
    large = np.ones(50_000)
    told = list(processes.run(partial(once_deadly, str(tmp_path), large), range(8)))
    assert sorted(told) == [(i, (i, 50_000.0)) for i in range(8)]
    assert len(list(tmp_path.glob("3-*"))) == 2, "the deadly piece of work was not given out a second time"


def test_work_that_kills_every_worker_ends_with_a_sentence(processes: Workers) -> None:
    with pytest.raises(Unavailable, match="workers died again and again"):
        list(processes.run(deadly, [0, 1, 2]))


def test_an_address_where_no_cluster_answers_is_named() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=f"{address} does not answer"):
        list(JoblibWorkers(cluster=address, patience_s=0.5).run(failing, [1]))
