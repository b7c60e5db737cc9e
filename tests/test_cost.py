"""The monthly bill: its arithmetic on cases computed by hand, its numbers as infra/ has them, and docs/cost.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import bill
from benchmarks.bench_cost import main  # noqa: F401 — it must import where the tests run
from benchmarks.bill import PRICES, Line, billed_s, due
from benchmarks.bill_tables import TABLES
from benchmarks.metered import Asked, document_bytes, trips
from core.settings import load

ROOT: Final = Path(__file__).parents[1]
DOC: Final = (ROOT / "docs" / "cost.md").read_text()
FIGURES: Final = bill.kept()


def terraform(name: str) -> str:
    return (ROOT / "infra" / name).read_text()


# -- arithmetic


@pytest.mark.parametrize(
    ("cpu_s", "share", "wait_s", "seconds"),
    [
        (0.01, 1.0, 0.0, 0.1),  # the least that there is
        (0.05, 0.5, 0.0, 0.1),  # 0.1 exactly is not 0.2
        (0.05, 0.5, 0.001, 0.2),
        (1.0, 0.25, 0.0, 4.0),  # a quarter of a CPU takes four times as long
        (1.0, 0.25, 1.0, 5.0),  # waiting is not stretched
        (1.0, 2.0, 0.0, 1.0),  # a second CPU does not help what uses one
        (0.3, 1.0, 0.0, 0.3),  # 0.1 + 0.1 + 0.1 is more than 0.3 in binary
    ],
)
def test_a_request_is_billed_up_to_the_next_100_ms(cpu_s: float, share: float, wait_s: float, seconds: float) -> None:
    assert billed_s(cpu_s, share, wait_s) == pytest.approx(seconds)


@given(st.floats(0, 100), st.sampled_from([0.083, 0.167, 0.333, 0.583, 1.0]), st.floats(0, 100))
def test_no_request_is_billed_less_than_it_takes_nor_a_step_more(cpu_s: float, share: float, wait_s: float) -> None:
    took = cpu_s / share + wait_s
    assert took - 1e-6 <= billed_s(cpu_s, share, wait_s) < took + 0.1 + 1e-6


def test_what_is_free_is_taken_off_the_quantity_and_never_gives_money_back() -> None:
    assert Line("", "", 250_000, "vCPU-s", 0.000024, 180_000).due == pytest.approx(1.68)
    assert Line("", "", 250_000, "vCPU-s", 0.000024, 180_000).full == pytest.approx(6.0)
    assert due([Line("", "", 1, "jobs", 0.10, 3), Line("", "", 5, "jobs", 0.10, 3)]) == pytest.approx(0.20)


def made(**more: Any) -> dict[str, Any]:
    """Figures of a deployment whose every call takes 0.1 CPU seconds and asks for nothing but what `more` says."""
    nothing: dict[str, Any] = {
        "google_trips": 0,
        "google_services": 0,
        "outside_trips": 0,
        "reads": 0,
        "writes": 0,
        "deletes": 0,
    }
    nothing |= {"written_bytes": 0, "class_a": 0, "class_b": 0, "log_lines": 0, "log_bytes": 0}
    nothing |= {"outside_requests": 0, "outside_bytes": 0, "deletes": 0, "cpu_s": 0.1, **more}
    calls = [{"function": name, "books": 1, "start": how, **nothing} for name in bill.SIZES for how in ("cold", "warm")]
    documents = {"record_bytes": 0, "other_bytes": 0, "model_bytes": 0, "history_bytes": 0, "source_bytes": 0}
    images = {"serve_packed_mb": 40, "train_packed_mb": 120, "serve_install_s": 60, "train_install_s": 60}
    return {"about": {"credentials_cpu_s": 0.0}, "documents": documents, "images": images, "calls": calls}


def test_a_ticks_month_on_a_third_of_a_cpu() -> None:
    """0.1 CPU s on 0.333 is 0.3003 s, and 0.5 s of start: billed 0.9 s, 720 times, at 0.333 vCPU and 0.5 GiB."""
    cpu, memory, requests = bill.run_lines(made(), 1, ("tick",))
    assert (cpu.quantity, memory.quantity) == (pytest.approx(720 * 0.9 * 0.333), pytest.approx(720 * 0.9 * 0.5))
    assert requests.quantity == 720
    assert cpu.full == pytest.approx(0.005179, rel=1e-3)


def test_the_guard_is_cold_once_an_hour_and_warm_otherwise() -> None:
    """0.1 CPU s on 0.167 is 0.5988 s: 0.6 s warm; with 0.5 s of start 1.1 s cold."""
    assert bill.calls(made(), "guard", 1) == {"cold": 720.0, "warm": 43_200.0 - 720.0}
    [cpu, *_] = bill.run_lines(made(), 1, ("guard",))
    assert cpu.quantity == pytest.approx((42_480 * 0.6 + 720 * 1.1) * 0.167)


def test_an_alert_is_called_by_schedule_and_by_each_event() -> None:
    """Every five minutes, and twice a day for each of ten books."""
    assert sum(bill.calls(made(), "alert", 10).values()) == 8_640 + 600


def test_firestore_is_paid_beyond_its_free_days() -> None:
    """Ten reads by each guard, 43,200 a month, and one for each record that is archived: 720. Status: 60 calls."""
    lines = {line.what: line for line in bill.firestore_lines(made(reads=10), 1)}
    others = 720 + 30 / 7 + 1 + 8_640 + 60 + 60
    assert lines["reads"].quantity == pytest.approx(10 * (43_200 + others) + 720)
    assert lines["reads"].due == 0
    many = {line.what: line for line in bill.firestore_lines(made(reads=100), 1)}["reads"]
    assert many.due == pytest.approx((100 * (43_200 + others) + 720 - 1_500_000) * 0.038 / 100_000)


def test_jobs_beyond_three_are_paid_and_images_beyond_half_a_gigabyte() -> None:
    """Five jobs: 0.20 USD. Five functions of 40 MB, training's 120 and the system's 180: 0.5 GB, which is free."""
    lines = {line.what: line for line in bill.small_lines(made(), 1)}
    assert lines["jobs"].due == pytest.approx(0.20)
    assert (lines["images"].quantity, lines["images"].due) == (pytest.approx(0.5), pytest.approx(0.0))
    assert bill.image_gb(made(), shared=False) == pytest.approx((5 * 320 + 180) / 1000)


def test_policies_will_cost_by_metric_and_by_point() -> None:
    """One condition looks at one series every 30 s: 86,400 points in 30 days."""
    assert bill.policies("heartbeat") == pytest.approx(0.35 + 0.0864 * 0.5)
    assert bill.policies("none") == 0


def test_requests_that_overlap_are_waited_for_once() -> None:
    way = [
        Asked("firestore", 0.0, 1.0),
        Asked("venue", 0.0, 2.0),
        Asked("firestore", 1.5, 2.5),
        Asked("venue", 2.1, 3.0),
    ]
    assert trips(way, {"firestore": 0.02, "venue": 0.1}) == {"venue": 2}
    assert trips(way[:1] + way[2:3], {"firestore": 0.02, "venue": 0.1}) == {"firestore": 2}
    assert trips([], {}) == {}


def test_a_document_takes_what_firestores_rules_say() -> None:
    """The example of https://firebase.google.com/docs/firestore/storage-size: 147 bytes."""
    fields = {
        "type": {"stringValue": "Personal"},
        "done": {"booleanValue": False},
        "priority": {"integerValue": "1"},
        "description": {"stringValue": "Learn Cloud Firestore"},
    }
    name = "projects/p/databases/(default)/documents/users/jeff/tasks/my_task_id"
    assert document_bytes({"name": name, "fields": fields}) == 147


# -- the same numbers everywhere


def test_sizes_are_those_of_the_functions() -> None:
    units = {"Mi": 1 / 1024, "Gi": 1.0}
    found = re.findall(r'(\w+)\s*= \{\s*memory\s*= "(\d+)(Mi|Gi)", cpu\s*= "([\d.]+)"', terraform("functions.tf"))
    assert {name: (int(count) * units[unit], float(cpu)) for name, count, unit, cpu in found} == bill.SIZES


def test_calls_are_those_of_the_schedules() -> None:
    text = terraform("schedules.tf")
    for name, cron in {"train": "0 18 * * 0", "cleanup": "1st sunday of month 02:00", "alert": "*/5 * * * *"}.items():
        assert re.search(rf'{name}\s*= \{{\s*cron\s*= "{re.escape(cron)}"', text), name
    defaults = terraform("variables.tf")
    assert 'default     = "0 * * * *"' in defaults
    assert 'default     = "* * * * *"' in defaults


def test_secrets_and_conditions_are_those_of_infra() -> None:
    secrets = {"VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD", "DISCORD_WEBHOOK_URL"}
    assert set(re.findall(r"(?:VENUE|DISCORD)_\w+", terraform("secrets.tf"))) == secrets
    assert len(secrets) == bill.SECRETS
    assert len(re.findall(r"^ {6}title\s+=", terraform("policies.tf"), re.MULTILINE)) == bill.CONDITIONS["all"]


def test_limits_are_those_of_the_settings() -> None:
    settings = load(ROOT / "config" / "paper.toml", {})
    assert settings.account.positions == bill.AT_ONCE
    assert (settings.cleanup.record_days, settings.cleanup.images) == (bill.RECORD_DAYS, bill.KEPT_IMAGES)
    assert settings.cleanup.backup_days + settings.cleanup.backup_weeks == PRICES["assumed"]["backup_copies"]


def test_every_function_was_measured_with_each_number_of_books() -> None:
    found = {(call["function"], call["start"], call["books"]) for call in FIGURES["calls"]}
    for books in bill.COUNTS:
        assert {("tick", "cold", books), ("guard", "cold", books), ("guard", "warm", books)} <= found
    assert {(name, "cold", 1) for name in bill.SIZES} <= found


def test_no_function_needs_more_memory_than_it_has() -> None:
    for call in FIGURES["calls"]:
        assert call["peak_mib"] < bill.SIZES[call["function"]][0] * 1024, call


# -- docs/cost.md


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_program_computes(name: str) -> None:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", DOC, re.DOTALL)
    assert found is not None
    assert found[1] == TABLES[name](FIGURES), "python -m benchmarks.bench_cost --tables --write"


@pytest.mark.parametrize("books", [1, 10, 100])
def test_the_bill_is_within_what_was_aimed_at(books: int) -> None:
    assert due(bill.bill(FIGURES, books)) <= bill.TARGETS[books]


def test_every_price_has_its_page() -> None:
    text = (ROOT / "benchmarks" / "prices.toml").read_text()
    tables = [name for name in PRICES if name not in ("instead", "assumed")]
    assert [name for name in tables if not re.search(rf"\[{name}\][^\n]*https://", text)] == []
