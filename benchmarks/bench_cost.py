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
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import bill
from benchmarks.images import images
from benchmarks.metered import ROOT, Asked, Function, counted, trips, upstream
from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.adapters.simulated_market import SimulatedMarket
from core.adapters.simulated_vix import SimulatedVix
from core.domain.bars import Bars, close_time, moment
from core.domain.drift import levels
from core.domain.ensemble import Training, export, fit
from core.domain.features import SETS, compute
from core.domain.forecast import Meta
from core.domain.labels import direction
from core.domain.state import Book
from core.flows import outbox, vix, window
from core.ports import Write
from tests.adapters.candle_venues import rows
from tests.emulators import firestore, make_bucket, storage
from tests.processes.passage import Reply, Request
from tests.road import go_live

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
DAYS = 760  # of history: two years and a month
COLD = 5  # ticks, each in a new process
WARM = 10  # calls of one process
COUNTS = bill.COUNTS
WEIGHTS = {"firestore": 0.02, "storage": 0.02, "venue": 0.1, "discord": 0.2}  # seconds, to find the longest way


class Venue:
    """bitbank's candle files of every pair, made once."""

    def __init__(self, hours: Bars, minutes: Bars) -> None:
        self.files = {**_files(hours, "1hour"), **_files(minutes, "1min")}

    def answer(self, request: Request) -> Reply:
        _, _, kind, file = request.path.strip("/").split("/")
        body = self.files.get((kind, file))
        if body is None:
            return Reply(404, [], b'{"success": 0, "data": {"code": 10000}}')
        return Reply(200, [("Content-Type", "application/json")], body)


def _files(bars: Bars, kind: str) -> dict[tuple[str, str], bytes]:
    days: dict[str, list[list[Any]]] = {}
    for at, text in rows(bars):
        days.setdefault(f"{moment(at):%Y%m%d}", []).append([*text, at * 1000])
    answers = {day: {"candlestick": [{"type": kind, "ohlcv": found}], "timestamp": 0} for day, found in days.items()}
    return {(kind, day): json.dumps({"success": 1, "data": data}).encode() for day, data in answers.items()}


def _discord(request: Request) -> Reply:
    return Reply(200, [("Content-Type", "application/json")], b'{"id": "1", "type": 0}')


@dataclass
class Cloud:
    """Emulators and servers on loopback, every request to which is put down in `asked`."""

    now: datetime
    hours: Bars
    folder: Path
    addresses: dict[str, str]
    asked: list[Asked] = field(default_factory=list)

    def environ(self, books: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOURHAND")}
        config = self.folder / f"books-{books}.toml"
        tables = [f'[[books]]\nid = "b{n:03}"\nsymbol = "{symbol(n)}"\n' for n in range(books)]
        config.write_text('[venue]\nid = "bitbank"\n[exchange]\nmode = "paper"\n' + "\n".join(tables))
        return {
            **kept,
            "HOURHAND_CONFIG": str(config),
            "GOOGLE_CLOUD_PROJECT": f"books-{books}",
            "FIRESTORE_EMULATOR_HOST": self.addresses["firestore"],
            "STORAGE_EMULATOR_HOST": f"http://{self.addresses['storage']}",
            "HOURHAND__STATE__BACKEND": "firestore",
            "HOURHAND__MODELS__BACKEND": "gcs",
            "HOURHAND__MODELS__BUCKET": "models",
            "HOURHAND__MODELS__HISTORY_BUCKET": "history",
            "HOURHAND__VENUE__URLS": f'{{public = "http://{self.addresses["venue"]}"}}',
            "HOURHAND__VIX__SOURCES": '["simulated"]',
            "HOURHAND__TICK__MAX_LATENESS_S": "0",
            "HOURHAND__TICK__LEASE_S": "300",
            "HOURHAND__TRAINING__PUBLISH_ANYWAY": "true",
            "HOURHAND__ALERTS__CHANNEL": "discord",
            "DISCORD_WEBHOOK_URL": f"http://{self.addresses['discord']}/api/webhooks/1/token-of-a-webhook",
        }

    def at(self, ago: int) -> dict[str, str]:
        """The body of a tick `ago` hours before the newest close."""
        return {"at": (self.now - ago * HOUR + timedelta(seconds=5)).isoformat()}


def symbol(number: int) -> str:
    return "BTC/JPY" if number == 0 else f"C{number:03}/JPY"


@contextmanager
def cloud() -> Iterator[Cloud]:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = SimulatedMarket("1h").bars(now - timedelta(days=DAYS), now)
    minutes = SimulatedMarket("1m").bars(now - timedelta(hours=2), now + timedelta(hours=3))
    venue, asked = Venue(hours, minutes), list[Asked]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database, files = stack.enter_context(firestore()), stack.enter_context(storage())
        for bucket in ("models", "history"):
            make_bucket(files, bucket)
        answers = {
            "firestore": upstream(database),
            "storage": upstream(files.removeprefix("http://")),
            "venue": venue.answer,
            "discord": _discord,
        }
        addresses = {name: stack.enter_context(counted(name, answer, asked)) for name, answer in answers.items()}
        yield Cloud(now, hours, folder, addresses, asked)


def furnish(place: Cloud, books: int, hours_ago: int) -> None:
    """A model, a stored window and the VIX for each book, as they are `hours_ago` hours before the newest close."""
    state = FirestoreState(f"books-{books}", emulator_host=place.addresses["firestore"])
    models = GcsModels("models", f"http://{place.addresses['storage']}")
    daily = vix.refresh([("simulated", SimulatedVix())], None, place.now + timedelta(days=12), 0)
    bars = place.hours.between(place.now - timedelta(days=180), place.now - hours_ago * HOUR)
    book = Book(id="b000", symbol=symbol(0), features="vix53")
    features, training = SETS[book.features], Training()
    values = compute(features, bars, book.timeframe, daily.daily, book.vix_max_age_s)
    labels, ends = direction(bars, training.horizon, training.cost)
    keep = np.flatnonzero(np.isfinite(labels) & ~np.isnan(values).all(axis=1))
    fitted = fit(values[keep], labels[keep], ends[keep], features.names, training, keep.astype(np.int64))
    until = close_time(moment(bars.time[-1]), book.timeframe)
    for number in range(books):
        meta = Meta(
            symbol=symbol(number),
            timeframe=book.timeframe,
            created=until,
            feature_set=features.name,
            feature_digest=features.digest,
            data_from=moment(bars.time[0]),
            data_until=until,
            data_digest=bars.digest(),
            levels=levels(bars),
        )
        own = Book(id=f"b{number:03}", symbol=symbol(number), features="vix53")
        go_live(state, models, own, export(fitted, meta))
        state.commit([window.kept(own, bars)])
    state.commit([Write(vix.KEY, daily.document)])


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
