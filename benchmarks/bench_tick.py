"""A whole tick against local emulators: cold process, cold function, warm compute. Ratios to the naive way, in one run.

CPU time is what a function pays for, so that is what is compared; wall time is shown for the function's start.
"""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 — for the naive way only
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import urllib3
from msgspec import structs

from core.adapters.simulated_market import SimulatedMarket
from core.adapters.simulated_vix import SimulatedVix
from core.domain.bars import Bars, pack
from core.domain.ensemble import Training
from core.flows import vix, window
from core.flows.tick import tick
from core.flows.train import Plan, train
from core.ports import Write
from core.wiring import App, app
from tests.adapters.candle_venues import bitbank, loopback
from tests.emulators import firestore, free_port, make_bucket, storage
from tests.fakes import Call, delayed, in_sequence

ROOT = Path(__file__).parents[1]
RUNS = 10
NOW = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = 180  # of history: one training window
PORTS = ("GOOGLE_CLOUD_PROJECT", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "HOURHAND__MODELS__BUCKET")


@dataclass(frozen=True)
class Place:
    """Emulators with a live model, a stored window and a pickled ensemble in them."""

    environ: dict[str, str]
    app: App
    bars: Bars


@contextmanager
def place() -> Iterator[Place]:
    bars = SimulatedMarket().bars(NOW - timedelta(days=DAYS), NOW + timedelta(days=10))
    with firestore() as database, storage() as files, loopback(bitbank(bars)) as venue:
        environ = {
            **os.environ,
            "HOURHAND_CONFIG": str(ROOT / "config" / "paper.toml"),
            "GOOGLE_CLOUD_PROJECT": "bench",
            "FIRESTORE_EMULATOR_HOST": database,
            "STORAGE_EMULATOR_HOST": files,
            "HOURHAND__STATE__BACKEND": "firestore",
            "HOURHAND__MODELS__BACKEND": "gcs",
            "HOURHAND__MODELS__BUCKET": make_bucket(files, "bench"),
            "HOURHAND__VENUE__URLS": f'{{public = "{venue.url}"}}',
            "HOURHAND__VIX__SOURCES": '["cboe"]',
            "HOURHAND__TICK__MAX_LATENESS_S": "0",
            "HOURHAND__TRAINING__PUBLISH_ANYWAY": "true",
        }
        os.environ.update({name: environ[name] for name in PORTS})
        made = app(None, environ)
        _furnish(made, bars)
        yield Place(environ, made, bars)


def _furnish(made: App, bars: Bars) -> None:
    """A trained model, the VIX, and a window that lacks only the first tick's bar; and what the naive way needs."""
    book = made.books[0]
    world = made.world(book.id)
    daily = vix.refresh([("cboe", SimulatedVix())], None, NOW + timedelta(days=12), 0)
    learning = replace(world, market=_Bars(bars), history=None, vix=[("cboe", SimulatedVix())])
    said = train(learning, book, Plan(Training(), DAYS, publish_anyway=True), NOW)
    print(f"model: {said['outcome']}, AUC {said['metrics']['auc']:.3f}", file=sys.stderr)
    stored = bars.between(NOW - window.needed(book) * HOUR, NOW)
    writes = [Write(window.key(book), {"bars": pack(stored)}), Write("naive/window", {"bars": pack(stored)})]
    world.state.commit([*writes, Write(vix.KEY, daily.document)])
    world.models.put("naive.pickle", pickle.dumps(_pickled()))


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    def bars(self, since: datetime, until: datetime) -> Bars:
        return self._bars.between(since, until)


def _pickled() -> list[Any]:
    """Three models of 300 trees each, as large as the served ones."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(1)
    rows, ups = rng.normal(size=(4000, 53)), rng.random(4000) < 0.5
    return [
        lightgbm.LGBMClassifier(n_estimators=300, num_leaves=12, n_jobs=1, verbose=-1).fit(rows, ups),
        xgboost.XGBClassifier(n_estimators=300, max_depth=4, n_jobs=1).fit(rows, ups),
        RandomForestClassifier(300, max_depth=8, n_jobs=1).fit(rows, ups),
    ]


def _process(command: list[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """(CPU seconds, peak MiB) of one process from its start to its end. The peak is its own word: what the system
    counts for a child begins with the memory of the parent that it was forked from."""
    child = subprocess.Popen([sys.executable, *command], env=dict(environ), cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    last = child.stdout.read().split()[-1:]
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or not last:
        raise RuntimeError(f"{command} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, int(last[0]) / 1024


def _function(source: str, target: str, body: bytes, environ: Mapping[str, str]) -> tuple[float, float]:
    """(wall seconds from spawn to the first 200, CPU seconds until then) under functions-framework."""
    port = free_port()
    command = ["-m", "functions_framework", "--source", source, "--target", target, "--host", "127.0.0.1"]
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)], env=dict(environ), cwd=ROOT, stdout=-3, stderr=-3
    )
    try:
        status = 0
        while status != 200:
            try:
                status = urllib3.request("POST", f"http://127.0.0.1:{port}/", body=body, retries=False).status
            except urllib3.exceptions.HTTPError:
                time.sleep(0.005)
                if time.perf_counter() - start > 60:
                    raise
        wall = time.perf_counter() - start
        return wall, _cpu_of_tree(child.pid)
    finally:
        child.terminate()
        child.wait()


def _cpu_of_tree(pid: int) -> float:
    """CPU seconds of a process and its children so far, from /proc."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid or stat.parent.name == str(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _at(number: int) -> str:
    return (NOW + (number + 1) * HOUR + timedelta(seconds=5)).isoformat()


def _medians(measure: Callable[[int], tuple[float, float]], runs: int) -> tuple[float, float]:
    measured = [measure(number) for number in range(runs)]
    return statistics.median(first for first, _ in measured), statistics.median(second for _, second in measured)


def warm(made: Place, first: int, count: int = 100) -> float:
    """Milliseconds of CPU of a warm tick whose store is in memory: features, forecast, decide, record."""
    from core.adapters.paper_exchange import PaperExchange
    from core.domain.orders import Holding
    from tests.fakes import MemoryState

    book = made.app.books[0]
    world = made.app.world(book.id)
    state = MemoryState()
    documents = world.state.read([f"models/{book.id}", window.key(book), vix.KEY])
    state.commit([Write(key, found.data) for key, found in documents.items()])
    exchange = PaperExchange(state, Holding(cash=book.policy.capital), book.rules, book.costs)
    local = replace(world, state=state, exchange=exchange, market=_Bars(made.bars))
    spent = []
    for number in range(first, first + count):
        start = time.process_time()
        tick(local, book, datetime.fromisoformat(_at(number)))
        spent.append(time.process_time() - start)
    return statistics.median(spent) * 1000


def round_trips(made: Place, number: int) -> tuple[bool, int]:
    """Whether one cold tick sent an order, and how many of its calls to the outside followed one another, with 50 ms
    before each of them. The book enters and leaves at the slightest reason."""
    world, book = made.app.world(made.app.books[0].id), made.app.books[0]
    eager = structs.replace(book.policy, threshold=0.0, threshold_min=0.0, threshold_max=0.0)
    book = structs.replace(book, policy=eager)
    calls: list[Call] = []
    slow = replace(
        world,
        cache={},
        state=delayed(world.state, 0.05, calls),
        models=delayed(world.models, 0.05, calls),
        market=delayed(world.market, 0.05, calls),
        exchange=delayed(world.exchange, 0.05, calls),
        vix=[(name, delayed(source, 0.05, calls)) for name, source in world.vix],
    )
    answer = tick(slow, book, datetime.fromisoformat(_at(number)))
    print(f"round trips    {in_sequence(calls)} of {len(calls)} calls in sequence, {answer['action']}")
    return bool(answer["orders"]), in_sequence(calls)


def main() -> dict[str, float]:
    with place() as made:
        environ = made.environ
        ours = _medians(lambda n: _process(["-m", "benchmarks.cold_tick", _at(n)], environ), RUNS)
        naive = _medians(lambda n: _process(["-m", "benchmarks.naive_tick"], environ), RUNS)
        print(f"cold tick      {ours[0]:6.3f} s CPU, {ours[1]:4.0f} MiB   naive {naive[0]:6.3f} s, {naive[1]:4.0f} MiB")
        book = made.app.books[0].id

        def body(number: int) -> bytes:
            return json.dumps({"book": book, "at": _at(RUNS + number)}).encode()

        served = _medians(lambda n: _function("main.py", "tick", body(n), environ), RUNS // 2)
        clumsy = _medians(lambda n: _function("benchmarks/naive_tick.py", "naive", b"", environ), RUNS // 2)
        print(f"spawn to 200   {served[0]:6.3f} s wall             naive {clumsy[0]:6.3f} s wall")
        milliseconds = warm(made, 3 * RUNS)
        first = RUNS + RUNS // 2
        trips = [round_trips(made, number) for number in range(first, first + RUNS)]
    return {
        "cold_cpu_ratio": ours[0] / naive[0],
        "cold_memory_ratio": ours[1] / naive[1],
        "function_start_ratio": served[0] / clumsy[0],
        "function_start_cpu_ratio": served[1] / clumsy[1],
        "warm_tick_ms": milliseconds,
        "round_trips": max(most for ordered, most in trips if not ordered),
        "round_trips_with_order": max(most for ordered, most in trips if ordered),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
