"""What Cloud Monitoring, BigQuery and a person at night are told to look for is what the code writes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from core.cli.parser import parser
from core.flows.measures import AUDIT, FIELDS, LOGGER, REPEATED
from core.flows.record import OUTCOMES

ROOT: Final = Path(__file__).parents[2]
INFRA: Final = ROOT / "infra"
RUNBOOKS: Final = ROOT / "docs" / "runbooks.md"
WATCHING: Final = ROOT / "docs" / "watching.md"
QUERIES: Final = sorted((INFRA / "queries").glob("*.sql"))
OTHERS: Final = {"repeated", "busy", "superseded", "failed"}  # outcomes of a tick that decided nothing
TABLES: Final = {"run_googleapis_com_stdout", "cloudaudit_googleapis_com_activity"}
GOOGLES: Final = {
    "run.googleapis.com/request_count",
    "run.googleapis.com/container/billable_instance_time",
    "pubsub.googleapis.com/subscription/num_undelivered_messages",
}


@cache
def text(name: str) -> str:
    return (INFRA / name).read_text(encoding="utf-8")


def block(name: str, opening: str) -> str:
    """What stands between the braces of `opening {` in a Terraform file, by its indentation."""
    found = re.search(rf"^( *){re.escape(opening)} *= *\{{\n(.*?)^\1\}}", text(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no {opening}"
    return found[2]


def entries(body: str) -> dict[str, str]:
    """`key = { ... }` of a block's first level, on one line or several."""
    found = re.findall(r"^ {4}(\w+) *= *\{(.*?)(?:^ {4}\}|\}$)", body, re.MULTILINE | re.DOTALL)
    return dict(found)


COUNTERS: Final = entries(block("metrics.tf", "counters"))
MEASURED: Final = entries(block("metrics.tf", "measured"))
POLICIES: Final = entries(block("policies.tf", "policies"))
TITLES: Final = [title for body in POLICIES.values() for title in re.findall(r'title *= "(.+)"', body)]


def events_in(filter_: str) -> set[str]:
    listed = re.findall(r"jsonPayload\.event=\(?((?:\\\"\w+\\\"(?: OR )?)+)", filter_)
    return {event for found in listed for event in re.findall(r"\w+(?=\\\")", found)}


def headings(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_files_are_read_at_all() -> None:
    assert {"ticks", "refusals", "sources", "trouble", "findings", "overruns"} <= set(COUNTERS)
    assert {"seconds", "equity", "exposure", "position", "vix", "model_age_days"} == set(MEASURED)
    assert len(POLICIES) == len(TITLES) == 7
    assert len(QUERIES) == 7


@pytest.mark.parametrize("name", sorted(COUNTERS))
def test_a_counter_counts_lines_that_are_written_by_labels_that_they_have(name: str) -> None:
    events = events_in(COUNTERS[name])
    labels = re.findall(r'"(\w+)"', COUNTERS[name].rsplit("labels", 1)[1])
    assert events or name == "overruns"
    assert events <= set(FIELDS)
    assert all(set(labels) <= set(FIELDS[event]) for event in events)


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_what_is_measured_is_a_number_that_ticks_write(name: str) -> None:
    by = re.findall(r'by *= "(\w+)"', MEASURED[name])
    assert {name, *by} <= set(FIELDS["tick"])


@pytest.mark.parametrize("page", ["metrics.tf", "policies.tf", "logs.tf", "dashboard.tf", "../docs/runbooks.md"])
def test_every_field_that_is_asked_for_is_written(page: str) -> None:
    asked = set(re.findall(r"jsonPayload\.([a-z_]\w*)", text(page)))
    assert asked <= {"logger", "message"}.union(*FIELDS.values())


@pytest.mark.parametrize("page", ["metrics.tf", "logs.tf", *(f"queries/{query.name}" for query in QUERIES)])
def test_every_logger_and_event_that_is_asked_for_exists(page: str) -> None:
    loggers = set(re.findall(r"hourhand\.\w+", text(page)))
    events = events_in(text(page)) | set(re.findall(r"'\$\.event'\) = '(\w+)'", text(page)))
    assert loggers <= {LOGGER, AUDIT}
    assert events <= set(FIELDS)


def test_a_tick_counts_as_alive_when_it_decided_whatever_it_decided() -> None:
    decided = re.search(r'decided += "one_of\((.+)\)"', text("policies.tf"))
    assert decided
    assert set(re.findall(r"\w+", decided[1])) == set(OUTCOMES.values())


def test_a_repeated_call_is_not_counted_as_a_decision() -> None:
    assert REPEATED in OTHERS
    assert REPEATED not in OUTCOMES.values()


def test_the_guard_still_says_nothing_found_as_the_filters_expect() -> None:
    assert '"nothing_found"' in (ROOT / "core" / "flows" / "guard.py").read_text(encoding="utf-8")
    assert "nothing_found" in text("metrics.tf")
    assert "nothing_found" in text("logs.tf")


@pytest.mark.parametrize("title", TITLES)
def test_a_policys_link_leads_to_a_section_that_says_what_to_do(title: str) -> None:
    assert re.fullmatch(r"[A-Za-z -]+", title), "the address is made of letters, blanks and hyphens"
    section = re.search(rf"^## {re.escape(title)}\n(.+?)(?=^## |\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/runbooks.md has no section {title!r}"
    assert [part for part in ("**Means**", "**Look**", "**Do**", "**Halt**") if part not in section[1]] == []


@pytest.mark.parametrize("page", [RUNBOOKS, WATCHING], ids=lambda page: page.name)
def test_every_heading_that_a_page_links_to_exists(page: Path) -> None:
    for name, anchor in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in headings(page.parent / name if name else page), f"{page.name} links to {name}#{anchor}"


def test_runbooks_name_commands_and_questions_that_exist() -> None:
    page = RUNBOOKS.read_text(encoding="utf-8")
    choices = {name for action in parser()._actions if isinstance(action.choices, dict) for name in action.choices}
    commands = set(re.findall(r"(?:`|^ {4})hourhand ([a-z]+)", page, re.MULTILINE))
    assert commands
    assert commands <= choices
    assert set(re.findall(r"`ask (\w+)", page)) <= {query.stem for query in QUERIES}
    named = set(re.findall(r"`logs (\S+) '", page))
    assert named <= {'""', *(path.stem for path in (ROOT / "functions").glob("*.py"))}


def test_the_dashboard_draws_metrics_that_are_declared_and_all_of_them() -> None:
    drawn = set(re.findall(r'metric_type\["(\w+)"\]', text("dashboard.tf")))
    assert drawn == {*COUNTERS, *MEASURED}
    assert set(re.findall(r"[a-z]+\.googleapis\.com/[\w/]+", text("dashboard.tf"))) <= GOOGLES


def test_policies_look_at_metrics_that_are_declared_or_googles() -> None:
    body = block("policies.tf", "policies")
    assert set(re.findall(r'user_metric\["(\w+)"\]', body)) <= set(COUNTERS)
    assert set(re.findall(r"metric\.type=\\\"([\w./]+)", body)) <= GOOGLES
    for policy in POLICIES.values():
        counter = re.search(r'user_metric\["(\w+)"\]', policy)
        by = set(re.findall(r'"(\w+)"', re.findall(r"by *= \[(.*)\]", policy)[0]))
        assert not by or (counter and by <= set(re.findall(r'"(\w+)"', COUNTERS[counter[1]].rsplit("labels", 1)[1])))


def test_the_page_says_how_many_conditions_there_are() -> None:
    assert f"| `all` | {len(POLICIES)} |" in WATCHING.read_text(encoding="utf-8")
    assert len(re.findall(r"^  conditions \{", text("policies.tf"), re.MULTILINE)) == 1


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_query_is_one_statement_over_the_sinks_tables_and_a_span_of_days(query: Path) -> None:
    whole = query.read_text(encoding="utf-8")
    sql = re.sub(r"^--.*\n", "", whole, flags=re.MULTILINE)
    bare = re.sub(r"'[^']*'", "''", sql)
    made = set(re.findall(r"^(?:WITH )?(\w+) AS \($", sql, re.MULTILINE))
    assert re.match(r"-- [A-Z][^?]+\?", whole), "it begins with the question that it answers"
    assert (bare.count(";"), bare.rstrip()[-1], bare.count("(")) == (1, ";", bare.count(")"))
    assert "'" not in bare.replace("''", "")
    assert not re.search(r",\s*(FROM|\)|WHERE|GROUP|ORDER)", bare), "a comma too many"
    assert set(re.findall(r"\bFROM (\w+)", bare)) - made <= TABLES
    assert "WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)" in bare
    assert [parameter for parameter in re.findall(r"@(\w+)", bare) if parameter != "days"] == []


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_query_asks_for_fields_and_outcomes_that_are_written(query: Path) -> None:
    sql = query.read_text(encoding="utf-8")
    events = set(re.findall(r"'\$\.event'\) = '(\w+)'", sql)) | set(
        re.findall(r"'(\w+)'", "".join(re.findall(r"'\$\.event'\) IN \((.+)\)", sql)))
    )
    fields = {"logger"}.union(*(FIELDS[event] for event in events)) if events else set()
    assert set(re.findall(r"\$\.(\w+)", sql)) <= fields
    outcomes = re.findall(r"outcome'?\)? (?:!?=|IN) \(?((?:'\w+'(?:, )?)+)", sql)
    assert {word for found in outcomes for word in re.findall(r"\w+", found)} <= {*OUTCOMES.values(), *OTHERS}


def test_the_page_lists_every_query_with_its_question() -> None:
    listed = dict(re.findall(r"^\| `(\w+\.sql)` \| (.+\?) \|$", WATCHING.read_text(encoding="utf-8"), re.MULTILINE))
    questions = {query.name: re.match(r"-- ([^?]+\?)", query.read_text(encoding="utf-8")) for query in QUERIES}
    assert listed == {name: found[1] for name, found in questions.items() if found}


def test_the_page_lists_every_metric() -> None:
    rows = re.findall(r"^\| (`[\w`, ]+) \|", WATCHING.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    assert {*COUNTERS, *MEASURED} <= named
