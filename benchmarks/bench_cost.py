"""What a month costs: every function in its own process, against emulators and loopback servers, and then the bill.

    make bench ARGS=cost                        measure, and print the tables
    python -m benchmarks.bench_cost --write     the same, and keep figures and tables (measured.toml, docs/cost.md)
    python -m benchmarks.bench_cost --tables    compute the tables anew from the figures kept (--write: keep them)

CPU time is what is measured: the wall time of a busy machine says nothing of the cloud's. benchmarks/bill.py computes
that from the CPU, the requests that follow one another, and an assumed round trip.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import bill
from benchmarks.images import images
from benchmarks.loopback_cloud import Cloud, cloud, furnish
from benchmarks.metered import ROOT, Asked, Function, trips
from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.flows import outbox

COLD = 5  # ticks, each in a new process
WARM = 10  # calls of one process
COUNTS = bill.COUNTS
WEIGHTS = {"firestore": 0.02, "storage": 0.02, "venue": 0.1, "discord": 0.2}  # seconds, to find the longest way


@dataclass
class Before:
    """Where a process and the servers stood when a call began."""

    cpu_s: float
    asked: int
    logged: tuple[int, int]
    wall: float


def called(place: Cloud, function: Function, books: int, body: dict[str, Any], *, cold: bool) -> dict[str, Any]:
    """One call, as a row of figures. A cold one counts from the start of its process."""
    before = Before(
        0.0 if cold else function.cpu_s(),
        len(place.asked),
        (0, 0) if cold else function.logged(),
        time.perf_counter(),
    )
    said = function.post(body)
    wall = time.perf_counter() - before.wall
    asked = place.asked[before.asked :]
    by = {where: [entry for entry in asked if entry.where == where] for where in WEIGHTS}
    way = trips(asked, WEIGHTS)
    store, files, outside = by["firestore"], by["storage"], by["venue"] + by["discord"]
    return {
        "function": function.target,
        "books": books,
        "start": "cold" if cold else "warm",
        "outcome": said["outcome"],
        "cpu_s": function.cpu_s() - before.cpu_s,
        "wall_s": wall,
        "peak_mib": function.peak_mib(),
        "reads": sum(entry.reads for entry in store),
        "writes": sum(entry.writes for entry in store),
        "deletes": sum(entry.deletes for entry in store),
        "written_bytes": sum(entry.stored for entry in store),
        "class_a": sum(entry.writes for entry in files),
        "class_b": sum(entry.reads for entry in files),
        "log_lines": function.logged()[0] - before.logged[0],
        "log_bytes": function.logged()[1] - before.logged[1],
        "google_requests": len(store) + len(files),
        "google_trips": way.get("firestore", 0) + way.get("storage", 0),
        "google_services": bool(store) + bool(files),
        "outside_requests": len(outside),
        "outside_trips": way.get("venue", 0) + way.get("discord", 0),
        "outside_bytes": sum(entry.sent for entry in outside),
    }


def median_row(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's median over the rows; `outcome` is the last one's."""
    figures = {
        name: value if isinstance(value, str) else _tidy(statistics.median(row[name] for row in found))
        for name, value in found[-1].items()
    }
    print("   " + " ".join(f"{name}={figures[name]}" for name in bill.SHOWN if name in figures), flush=True)
    return figures


def _tidy(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)


def process(place: Cloud, target: str, books: int) -> Function:
    return Function(target, place.environ(books), place.folder / f"{target}.log")


def once(place: Cloud, target: str, books: int, bodies: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each body: the first cold, the others warm, in one process."""
    function = process(place, target, books)
    try:
        for number, body in enumerate(bodies):
            yield called(place, function, books, body, cold=number == 0)
    finally:
        function.stop()


def measured(place: Cloud, books: int) -> list[dict[str, Any]]:
    """What every book is part of, with so many of them."""
    cold, warm = (COLD, WARM) if books < 100 else (2, 4)
    furnish(place, books, cold)
    ticks = [row for ago in range(cold - 1, -1, -1) for row in once(place, "tick", books, [place.at(ago)])]
    guards = list(once(place, "guard", books, [{}] * (warm + 1)))
    states = list(once(place, "status", books, [{}] * 3))
    groups = [ticks, guards[:1], guards[1:], states[:1], states[1:]]
    return [median_row(group) for group in groups]


def sizes(place: Cloud, asked: Sequence[Asked]) -> dict[str, Any]:
    """Bytes of what is kept of one book: its documents by Firestore's rules, from what its ticks wrote last; its model;
    two years of bars; and of both source archives."""
    last = {key: size for entry in asked for key, size in entry.keys}
    ticks = [size for key, size in last.items() if key.startswith("ticks/")]
    others = sum(size for key, size in last.items() if not key.startswith(("ticks/", "outbox/")))
    address = f"http://{place.addresses['storage']}"
    models, history = GcsModels("models", address), GcsModels("history", address)
    parts = [stored for stored in models.stored("") if "/b000/" in f"/{stored.name}"]
    versions = {stored.name.rpartition("/")[0] for stored in parts}
    return {
        "record_bytes": round(statistics.mean(ticks)),
        "other_bytes": others,
        "model_bytes": round(sum(stored.size for stored in parts) / len(versions)),
        "history_bytes": sum(stored.size for stored in history.stored("")),
        "source_bytes": 2 * _packed(["main.py", "core", "functions", "config"]),
    }


def _packed(names: Sequence[str]) -> int:
    every = [path for name in names for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    return sum(len(zlib.compress(path.read_bytes())) for path in every if path.suffix in (".py", ".toml"))


def alerts(place: Cloud) -> list[dict[str, Any]]:
    """Three alerts that wait, told by a new process; then nothing that waits."""
    state = FirestoreState("books-1", emulator_host=place.addresses["firestore"])
    now = datetime.now(UTC)
    words = [outbox.alert(f"bench-{n}", "trouble", "error", now, "a title", "some words", "b000") for n in range(3)]
    state.commit(words)
    told, *none = once(place, "alert", 1, [{}] * 4)
    return [median_row([told]), median_row(none)]


def trainings(place: Cloud) -> list[dict[str, Any]]:
    """The first one, which fetches two years, and the one of a week later."""
    [first] = once(place, "train", 1, [{"at": (place.now - timedelta(days=7)).isoformat()}])
    [weekly] = once(place, "train", 1, [{"at": place.now.isoformat()}])
    return [{**median_row([first]), "start": "first"}, median_row([weekly])]


def cleanups(place: Cloud) -> list[dict[str, Any]]:
    if find_spec("functions.cleanup") is None:
        return []
    return [median_row(list(once(place, "cleanup", 1, [{}])))]


def credentials_cpu_s() -> float:
    """CPU seconds of importing what real credentials need, which emulators do not ask for."""
    wanted = "import certifi, google.auth, google.auth.transport.urllib3, google.auth.compute_engine"
    found = []
    for _ in range(5):
        spent = [_cpu_of("import urllib3, json, logging"), _cpu_of(f"import urllib3, json, logging\n{wanted}")]
        found.append(spent[1] - spent[0])
    return round(statistics.median(found), 3)


def _cpu_of(code: str) -> float:
    child = subprocess.Popen([sys.executable, "-c", code])
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    return usage.ru_utime + usage.ru_stime


def measure() -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    with cloud() as place:
        documents: dict[str, Any] = {}
        for books in COUNTS:
            print(f"   {books} books", flush=True)
            place.asked.clear()
            found += measured(place, books)
            if books == 1:
                found += [*alerts(place), *trainings(place), *cleanups(place)]
                documents = sizes(place, place.asked)
    return {
        "about": {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": f"{os.cpu_count()} cores of {_processor()}, Python {platform.python_version()}",
            "load": round(os.getloadavg()[0], 1),
            "credentials_cpu_s": credentials_cpu_s(),
        },
        "documents": documents,
        "images": images(),
        "calls": found,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    chosen = sys.argv[1:]
    figures = bill.kept() if "--tables" in chosen else measure()
    if "--write" in chosen:
        bill.keep(figures)
        bill.write_tables(figures, ROOT / "docs" / "cost.md")
    print(bill.tables(figures))
    print(json.dumps(bill.reached(figures)))


if __name__ == "__main__":
    main()
