"""The bill of a month: from what was measured (measured.toml) and published prices (prices.toml) to lines and tables.

Each line is a quantity, what of it is free, and a price. docs/cost.md says in words what is assumed here.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent
PRICES: Final[dict[str, Any]] = tomllib.loads((HERE / "prices.toml").read_text())
KEPT: Final = HERE / "measured.toml"
COUNTS: Final = (1, 10, 100)  # of books
TARGETS: Final = {1: 0.30, 10: 1.0, 100: 10.0}  # USD a month
DAYS: Final = 30
GIB: Final = 2**30

# As infra/functions.tf has them: GiB, vCPU. And how often a month each is called by infra/schedules.tf.
SIZES: Final = {
    "tick": (0.5, 0.333),
    "guard": (0.25, 0.167),
    "train": (2.0, 1.0),
    "cleanup": (0.5, 0.333),
    "alert": (0.25, 0.167),
    "status": (0.25, 0.167),
}
CALLS: Final = {"tick": 24 * DAYS, "guard": 1440 * DAYS, "train": DAYS / 7, "cleanup": 1.0, "alert": 288 * DAYS}
JOBS: Final = len(CALLS)  # of Cloud Scheduler
BUSY: Final = ("guard", "alert")  # called so often that their instance is mostly there already
SECRETS: Final = 4
CONDITIONS: Final = {"none": 0, "heartbeat": 1, "all": 7}  # of infra/policies.tf, by var.alert_policies
SERIES: Final = {"none": 0, "heartbeat": 1, "all": 2}  # that they see while all is well: ticks, and dead letters
POINTS: Final = 2 * 1440 * DAYS / 1e6  # millions of a series in a month: each is looked at every 30 s
KEPT_IMAGES: Final = 5  # of each function: [cleanup] images
AT_ONCE: Final = 3  # books that may hold something: [account] positions
RECORD_DAYS: Final = 90  # [cleanup] record_days
SHOWN: Final = ("function", "books", "start", "outcome", "cpu_s", "wall_s", "peak_mib", "reads", "writes", "deletes",
                "written_bytes", "class_a", "class_b", "log_bytes", "google_trips", "outside_trips",
                "outside_requests")  # fmt: skip


class Line(NamedTuple):
    """`price`: of one `unit`; `free`: units a month that cost nothing."""

    service: str
    what: str
    quantity: float
    unit: str
    price: float
    free: float = 0.0

    @property
    def full(self) -> float:
        return self.quantity * self.price

    @property
    def due(self) -> float:
        return max(0.0, self.quantity - self.free) * self.price


def kept() -> dict[str, Any]:
    return tomllib.loads(KEPT.read_text())


def billed_s(cpu_s: float, share: float, wait_s: float, step_s: float = 0.1) -> float:
    """Seconds that a request is billed for. With a share of a CPU, computing takes longer by that share; waiting does
    not. Up to the next step."""
    return math.ceil(round((cpu_s / min(1.0, share) + wait_s) / step_s, 6)) * step_s


def row(figures: Mapping[str, Any], function: str, start: str, books: int) -> dict[str, Any]:
    """The measured figures of one call. What was measured with one book only counts for each of several."""
    found = {r["books"]: r for r in figures["calls"] if (r["function"], r["start"]) == (function, start)}
    if books in found:
        return dict(found[books])
    if function == "train":  # one book after the other; `books` models in one call
        return {name: value * books if isinstance(value, int | float) else value for name, value in found[1].items()}
    return dict(found[1])


def wait_s(call: Mapping[str, Any], *, cold: bool) -> float:
    assumed = PRICES["assumed"]
    google: float = call["google_trips"] + (assumed["token_trips"] * call["google_services"] if cold else 0)
    waited: float = google * assumed["google_trip_s"] + call["outside_trips"] * assumed["outside_trip_s"]
    return waited


def call_s(figures: Mapping[str, Any], function: str, start: str, books: int) -> float:
    """Billed seconds of one call."""
    call, cold = row(figures, function, start, books), start != "warm"
    cpu = call["cpu_s"] + (figures["about"]["credentials_cpu_s"] if cold else 0)
    waited = wait_s(call, cold=cold) + (PRICES["assumed"]["start_s"] if cold else 0)
    return billed_s(cpu, SIZES[function][1], waited, PRICES["run"]["step_s"])


def calls(figures: Mapping[str, Any], function: str, books: int) -> dict[str, float]:
    """Calls a month, by how they start. `figures` may say that the guard runs every so many minutes: `guard_every`."""
    assumed = PRICES["assumed"]
    if function == "status":
        return {"cold": assumed["status_calls"], "warm": 0.0}
    events = assumed["alerts_a_day"] * DAYS * books if function == "alert" else 0
    count = CALLS[function] / (figures.get("guard_every", 1) if function == "guard" else 1) + events
    if function not in BUSY:
        return {"cold": count, "warm": 0.0}
    cold = min(count, assumed["cold_an_hour"] * 24.0 * DAYS)
    return {"cold": cold, "warm": count - cold}


def total(figures: Mapping[str, Any], books: int, name: str, functions: Sequence[str] = tuple(SIZES)) -> float:
    """The sum of a measured figure over a month's calls."""
    return sum(
        (
            count * float(row(figures, function, start, books)[name])
            for function in functions
            for start, count in calls(figures, function, books).items()
            if count
        ),
        0.0,
    )


def run_lines(figures: Mapping[str, Any], books: int, functions: Sequence[str] = tuple(SIZES)) -> list[Line]:
    price, cpu, memory, requests = PRICES["run"], 0.0, 0.0, 0.0
    for function in functions:
        gib, share = SIZES[function]
        for start, count in calls(figures, function, books).items():
            seconds = count * call_s(figures, function, start, books) if count else 0.0
            cpu, memory, requests = cpu + seconds * share, memory + seconds * gib, requests + count
    return [
        Line("Cloud Run", "CPU", cpu, "vCPU-s", price["vcpu_second"], price["vcpu_seconds_free"]),
        Line("Cloud Run", "memory", memory, "GiB-s", price["gib_second"], price["gib_seconds_free"]),
        Line("Cloud Run", "requests", requests, "requests", price["million_requests"] / 1e6, price["requests_free"]),
    ]


def in_position(figures: Mapping[str, Any], books: int) -> float:
    """Guards' runs of a month, over all books, in which a live book holds something: each asks the venue and writes."""
    share: float = PRICES["assumed"]["in_position"]
    return sum(calls(figures, "guard", books).values()) * min(share * books, AT_ONCE)


def firestore_lines(figures: Mapping[str, Any], books: int) -> list[Line]:
    price, held = PRICES["firestore"], figures["documents"]
    reads, deletes = total(figures, books, "reads"), total(figures, books, "deletes")
    writes = total(figures, books, "writes") + in_position(figures, books)
    archived = 24 * DAYS * books  # each record is read and deleted once, when it moves to the archive
    records = 24 * RECORD_DAYS * books * held["record_bytes"]
    stored = (records + books * held["other_bytes"]) / GIB
    older = total(figures, books, "written_bytes") * 7 / DAYS / GIB
    copies = PRICES["assumed"]["backup_copies"]
    return [
        Line("Firestore", "reads", reads + archived, "documents", price["hundred_thousand_reads"] / 1e5,
             price["reads_free"]),
        Line("Firestore", "writes", writes, "documents", price["hundred_thousand_writes"] / 1e5, price["writes_free"]),
        Line("Firestore", "deletes", deletes + archived, "documents", price["hundred_thousand_deletes"] / 1e5,
             price["deletes_free"]),
        Line("Firestore", "stored", stored, "GiB", price["stored_gib"], price["stored_gib_free"]),
        Line("Firestore", "versions of 7 days", stored + older, "GiB", price["pitr_gib"]),
        Line("Firestore", "backups", stored * copies, "GiB", price["backup_gib"]),
    ]  # fmt: skip


def image_gb(figures: Mapping[str, Any], *, shared: bool = True) -> float:
    """All functions' images. `shared`: the five kept of a function have their packages in common, as they have while
    no requirement changes; the system below is stored once in any case."""
    held, times = figures["images"], 1 if shared else KEPT_IMAGES
    packages = (len(SIZES) - 1) * held["serve_packed_mb"] + held["train_packed_mb"]
    return float((packages * times + PRICES["assumed"]["base_image_mb"]) / 1000)


def storage_lines(figures: Mapping[str, Any], books: int) -> list[Line]:
    price, assumed, held = PRICES["storage"], PRICES["assumed"], figures["documents"]
    models = books * held["model_bytes"] * (assumed["model_versions_days"] / 7 + 1)
    archive = books * 12 * 24 * DAYS * held["record_bytes"]  # after a year, as if nothing were packed
    gb = (models + archive + books * held["history_bytes"] + held["source_bytes"] * assumed["releases"]) / 1e9
    return [
        Line("Cloud Storage", "models, history, archive, sources", gb, "GB", price["gb"]),
        Line("Cloud Storage", "writing and listing", total(figures, books, "class_a"), "requests",
             price["thousand_class_a"] / 1e3),
        Line("Cloud Storage", "reading", total(figures, books, "class_b"), "requests", price["thousand_class_b"] / 1e3),
    ]  # fmt: skip


def small_lines(figures: Mapping[str, Any], books: int) -> list[Line]:
    """What is there whatever the books do."""
    schedule, secret, registry = PRICES["scheduler"], PRICES["secrets"], PRICES["registry"]
    build, assumed, held = PRICES["build"], PRICES["assumed"], figures["images"]
    started = sum(calls(figures, function, books)["cold"] for function in ("tick", "guard", "alert"))
    seconds = (len(SIZES) - 1) * held["serve_install_s"] + held["train_install_s"]
    minutes = assumed["releases"] * (seconds + len(SIZES) * assumed["build_overhead_s"]) / 60
    return [
        Line("Cloud Scheduler", "jobs", JOBS, "jobs", schedule["job"], schedule["jobs_free"]),
        Line("Secret Manager", "versions", SECRETS, "versions", secret["version"], secret["versions_free"]),
        Line("Secret Manager", "accesses", 2 * started, "accesses", secret["ten_thousand_accesses"] / 1e4,
             secret["accesses_free"]),
        Line("Artifact Registry", "images", image_gb(figures), "GB", registry["gb"], registry["gb_free"]),
        Line("Cloud Build", "builds", minutes, "minutes", build["minute"], build["minutes_free"]),
    ]  # fmt: skip


def told_lines(figures: Mapping[str, Any], books: int) -> list[Line]:
    """Logs, the metrics made of them, their copy in BigQuery, messages, and what goes out to the internet."""
    logging, query, pubsub = PRICES["logging"], PRICES["bigquery"], PRICES["pubsub"]
    assumed, network = PRICES["assumed"], PRICES["network"]
    requests = sum(sum(calls(figures, function, books).values()) for function in SIZES)
    logged = total(figures, books, "log_bytes") + requests * assumed["request_log_bytes"]
    told = [function for function in SIZES if function != "guard"]  # a guard that finds nothing stays out of BigQuery
    rows = [total(figures, books, "log_bytes", told), 1024 * total(figures, books, "log_lines", told)]
    points = CALLS["tick"] * books * (4 * assumed["metric_point_bytes"] + 8)
    points += CALLS["tick"] * assumed["metric_point_bytes"] + requests * assumed["metric_point_bytes"]
    events = assumed["alerts_a_day"] * DAYS * books * 2
    asked = total(figures, books, "outside_requests") + in_position(figures, books) * assumed["position_requests"]
    sent = total(figures, books, "outside_bytes") + asked * assumed["outside_overhead_bytes"]
    inserted = max(rows) / GIB
    return [
        Line("Cloud Logging", "lines of 30 days", logged / GIB, "GiB", logging["gib"], logging["gib_free"]),
        Line("Cloud Monitoring", "metrics made of them", points / 2**20, "MiB", logging["metric_mib"],
             logging["metric_mib_free"]),
        Line("BigQuery", "rows of logs written", inserted, "GiB", query["inserted_gib"]),
        Line("BigQuery", "a year of them stored", inserted * 12, "GiB", query["stored_gib"], query["stored_gib_free"]),
        Line("Pub/Sub", "incidents and events", events * 1e3 / GIB, "GiB", pubsub["tib"] / 1024, pubsub["gib_free"]),
        Line("network", "out to venue and Discord", sent / GIB, "GiB", network["gib"]),
    ]  # fmt: skip


def bill(figures: Mapping[str, Any], books: int) -> list[Line]:
    """All lines of a month but the policies' (they cost nothing yet) and the fixed address (an option)."""
    parts = (run_lines, firestore_lines, small_lines, storage_lines, told_lines)
    return [line for part in parts for line in part(figures, books)]


def due(lines: Sequence[Line]) -> float:
    return sum(line.due for line in lines)


def policies(how: str) -> float:
    """A month of var.alert_policies by the prices announced for September 2027."""
    price = PRICES["alerting"]
    return float(CONDITIONS[how] * price["metric_reference"] + SERIES[how] * POINTS * price["million_points"])


def second_region(figures: Mapping[str, Any], books: int) -> float:
    """What a second region adds: tick and guard run there too, find the book claimed, and have jobs and images of their
    own. As if they did all of the work: the loser of a claim does less."""
    both = run_lines(figures, books), run_lines(figures, books, ("tick", "guard"))
    run = sum(
        max(0.0, one.quantity + more.quantity - one.free) * one.price - one.due for one, more in zip(*both, strict=True)
    )
    reads = Line("", "", total(figures, books, "reads", ("tick", "guard")), "", 0.0)
    first = firestore_lines(figures, books)[0]
    read = first._replace(quantity=first.quantity + reads.quantity).due - first.due
    packages = 2 * figures["images"]["serve_packed_mb"] + PRICES["assumed"]["base_image_mb"]
    return float(run + read + 2 * PRICES["scheduler"]["job"] + packages / 1000 * PRICES["registry"]["gb"])


def keep(figures: Mapping[str, Any]) -> None:
    """Into measured.toml, a line for each call."""
    lines = ["# Written by `python -m benchmarks.bench_cost --write`; read by benchmarks/bill.py."]
    for name, table in figures.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    calls = (", ".join(f"{key} = {json.dumps(value)}" for key, value in call.items()) for call in figures["calls"])
    lines = [lines[0], "", "calls = [", *(f"  {{{call}}}," for call in calls), "]", *lines[1:]]
    KEPT.write_text("\n".join(lines) + "\n")


def reached(figures: Mapping[str, Any]) -> dict[str, float]:
    return {f"cost_{books}": due(bill(figures, books)) for books in COUNTS}


def write_tables(figures: Mapping[str, Any], path: Path) -> None:
    """Puts each table in the place of the one that stands between its marks."""
    from benchmarks.bill_tables import TABLES

    text = path.read_text()
    for name, table in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        made = table(figures)
        text = mark.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)  # type: ignore[misc]
    path.write_text(text)


def tables(figures: Mapping[str, Any]) -> str:
    from benchmarks.bill_tables import TABLES

    return "\n\n".join(f"{name}\n{table(figures)}" for name, table in TABLES.items())
