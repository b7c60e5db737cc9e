"""Alerts: what is told now, what is held, how many become few, and that none is lost or told twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from core.domain.alerts import (
    EACH,
    IDS,
    MANY,
    WORST,
    Alert,
    Memory,
    Parcel,
    mark,
    plan,
    remember,
    understood,
)

NOW = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
EMPTY = Memory()


def alert(id: str = "1", at: datetime = NOW, **more: Any) -> Alert:
    told = {"event": "refusal", "severity": "warning", "title": "No entry", "text": "A gap.", "book": "btc", **more}
    return Alert(id=id, at=at, **told)


def ids(parcels: tuple[Parcel, ...]) -> list[list[str]]:
    return [[one.id for one in parcel.alerts] for parcel in parcels]


def told(*alerts: Alert, at: datetime = NOW, memory: Memory = EMPTY) -> Memory:
    return remember(memory, plan(alerts, memory, at, HOUR).parcels, at, HOUR)


# --- holding --------------------------------------------------------------------------------------------------------


def test_the_first_is_told_at_once_and_reads_as_it_was_written() -> None:
    (parcel,) = plan([alert(fields={"n": "7"})], Memory(), NOW, HOUR).parcels
    message = parcel.message
    assert (message.severity, message.title, message.text) == ("warning", "btc: No entry", "A gap.")
    assert (message.at, message.fields, message.count) == (NOW, {"n": "7"}, 1)


def test_repeats_within_the_time_are_held_and_then_told_once_with_their_number() -> None:
    memory = told(alert("1"))
    repeats = [alert(str(n), NOW + n * 10 * MINUTE) for n in range(2, 6)]
    held = plan(repeats, memory, NOW + 59 * MINUTE, HOUR)
    assert (held.parcels, held.held, held.due) == ((), 4, NOW + HOUR)
    (parcel,) = plan(repeats, memory, NOW + HOUR, HOUR).parcels
    assert (parcel.message.count, parcel.message.title) == (4, "btc: No entry (×4)")
    assert parcel.message.text == "4 times since 2026-11-21 10:20 UTC.\nA gap."
    assert parcel.message.at == NOW + 50 * MINUTE


def test_after_the_joined_message_the_time_begins_anew() -> None:
    memory = told(alert("2", NOW + HOUR), at=NOW + HOUR, memory=told(alert("1")))
    assert plan([alert("3")], memory, NOW + HOUR + 59 * MINUTE, HOUR).held == 1
    assert plan([alert("3")], memory, NOW + 2 * HOUR, HOUR).held == 0


@pytest.mark.parametrize("other", [{"book": "eth"}, {"event": "breaker"}, {"title": "Another"}])
def test_another_kind_is_not_held(other: dict[str, str]) -> None:
    assert len(plan([alert("2", **other)], told(alert("1")), NOW, HOUR).parcels) == 1


def test_what_becomes_worse_is_not_held_and_what_becomes_better_is() -> None:
    memory = told(alert("1", severity="error"))
    assert len(plan([alert("2", severity="critical")], memory, NOW, HOUR).parcels) == 1
    assert plan([alert("2", severity="error")], memory, NOW, HOUR).held == 1
    assert plan([alert("2", severity="info")], memory, NOW, HOUR).held == 1


def test_the_first_critical_is_told_with_the_milder_ones_that_were_held() -> None:
    memory = told(alert("1"))
    (parcel,) = plan([alert("2"), alert("3", severity="critical")], memory, NOW, HOUR).parcels
    assert (parcel.message.severity, parcel.message.count) == ("critical", 2)


@pytest.mark.parametrize("event", sorted(EACH))
def test_every_trade_and_every_switch_is_told_by_itself(event: str) -> None:
    memory = told(alert("1", event=event))
    later = plan([alert("2", event=event), alert("3", event=event)], memory, NOW, HOUR)
    assert ids(later.parcels) == [["2"], ["3"]]


def test_a_clock_that_was_ahead_silences_nobody() -> None:
    memory = told(alert("1"), at=NOW + timedelta(days=400))
    assert len(plan([alert("2")], memory, NOW, HOUR).parcels) == 1


# --- joining --------------------------------------------------------------------------------------------------------


def test_several_of_one_kind_are_one_message_with_what_was_said_each_time() -> None:
    pending = [alert(str(n), NOW + n * MINUTE, text=f"Reason {n % 3}.") for n in range(5)]
    (parcel,) = plan(pending, Memory(), NOW + HOUR, HOUR).parcels
    assert parcel.message.text.splitlines() == [
        "5 times since 2026-11-21 10:00 UTC.",
        "• 11-21 10:04 Reason 1.",
        "• 11-21 10:03 Reason 0.",
        "• 11-21 10:02 Reason 2.",
    ]


def test_the_most_severe_comes_first_and_then_the_oldest() -> None:
    rows = [("a", "info", 0), ("b", "critical", 3), ("c", "error", 2), ("d", "critical", 1), ("e", "warning", 0)]
    pending = [alert(name, NOW + n * MINUTE, severity=severity, title=name) for name, severity, n in rows]
    assert ids(plan(pending, Memory(), NOW, HOUR).parcels) == [["d"], ["b"], ["c"], ["e"], ["a"]]


# --- a digest -------------------------------------------------------------------------------------------------------


def test_ten_kinds_are_ten_messages_and_eleven_are_one_digest() -> None:
    kinds = [alert(str(n), title=f"Kind {n}") for n in range(MANY + 1)]
    assert len(plan(kinds[:MANY], Memory(), NOW, HOUR).parcels) == MANY
    (parcel,) = plan(kinds, Memory(), NOW, HOUR).parcels
    assert (parcel.message.count, len(parcel.alerts)) == (MANY + 1, MANY + 1)


def outage() -> list[Alert]:
    rows = [alert(f"r{n}", NOW + n * MINUTE, title=f"No entry {n % 9}") for n in range(900)]
    trades = [
        alert(f"t{n}", NOW + n * HOUR, event="trade_closed", severity="info", title=f"Closed {n}") for n in range(20)
    ]
    lost = alert("lost", NOW + HOUR, event="order_unknown", severity="critical", title="Fate unknown", text="x" * 900)
    return [*rows, *trades, lost]


def test_a_digest_tells_the_span_the_numbers_the_worst_and_the_newest() -> None:
    (parcel,) = plan(outage(), Memory(), NOW + 30 * HOUR, HOUR).parcels
    message = parcel.message
    assert (message.severity, message.title, message.count) == ("critical", "921 alerts at once", 921)
    assert message.fields == {
        "critical": "1 order unknown",
        "warning": "900 refusal",
        "info": "20 trade closed",
    }
    rows = message.text.splitlines()
    assert rows[0] == "From 2026-11-21 10:00 UTC to 2026-11-22 05:00 UTC."
    assert rows[2].startswith("• 11-21 11:00 btc: Fate unknown: xxx")
    assert rows[3] == "• 11-22 00:59 btc: No entry 8 (100 times): A gap."
    assert rows[9] == "• 11-22 05:00 btc: Closed 19: A gap."
    assert message.at == NOW + 19 * HOUR


@given(st.lists(st.integers(0, 3000), min_size=11, max_size=20, unique=True), st.sampled_from(WORST))
@settings(max_examples=25)
def test_a_digest_is_short_whatever_is_in_it(numbers: list[int], severity: str) -> None:
    pending = [alert(f"{n}", severity=severity, title=f"{n}" * 400, text="long\n" * 900) for n in numbers]
    (parcel,) = plan(pending, Memory(), NOW, HOUR).parcels
    assert len(parcel.message.text) < 3000


# --- never twice, never lost ----------------------------------------------------------------------------------------


def test_an_id_that_was_told_is_known_and_not_told_again() -> None:
    again = plan([alert("1"), alert("2", title="New")], told(alert("1")), NOW + 5 * HOUR, HOUR)
    assert (again.known, ids(again.parcels)) == (("1",), [["2"]])


def test_the_memory_is_bounded_and_keeps_the_newest_and_all_of_one_digest() -> None:
    memory = Memory()
    for start in range(0, 3 * IDS, 500):
        memory = told(*(alert(f"{n}", title=f"{n}") for n in range(start, start + 500)), memory=memory)
    assert (len(memory.ids) // 8, len(memory.kinds)) == (IDS, 200)
    assert plan([alert(f"{3 * IDS - 1}")], memory, NOW + HOUR, HOUR).known == (f"{3 * IDS - 1}",)
    huge = [alert(f"new{n}") for n in range(IDS + 700)]
    assert len(plan(huge, told(*huge, memory=memory), NOW, HOUR).known) == IDS + 700


def test_kinds_are_forgotten_once_they_hold_nothing_back() -> None:
    later = NOW + 2 * HOUR
    memory = told(alert("2", title="Other"), at=later, memory=told(alert("1")))
    assert [kind.title for kind in memory.kinds] == ["Other"]


@pytest.mark.parametrize(("doubted", "words"), [(("1", "2"), "This may"), (("2",), "Part of this may"), (("9",), "")])
def test_what_may_have_been_shown_already_says_so_first(doubted: tuple[str, ...], words: str) -> None:
    doubt = {mark(name) for name in doubted}
    (parcel,) = plan([alert("1"), alert("2")], Memory(), NOW, HOUR, doubt).parcels
    assert parcel.message.text.startswith(f"{words} have been shown already.\n") if words else True
    assert ("shown already" in parcel.message.text) == bool(words)


ALERTS = st.builds(
    alert,
    st.uuids().map(str),
    st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 22), timezones=st.just(UTC)),
    event=st.sampled_from(["refusal", "trade_opened", "breaker", "trouble"]),
    severity=st.sampled_from(WORST),
    title=st.sampled_from("abcdefgh"),
    text=st.sampled_from("xyz"),
    book=st.sampled_from(["", "btc", "eth"]),
)


@given(st.lists(st.tuples(st.lists(ALERTS, max_size=15), st.integers(1, 90), st.integers(1, 12)), max_size=6))
@settings(max_examples=60)
def test_every_alert_is_told_exactly_once_in_the_end(rounds: list[tuple[list[Alert], int, int]]) -> None:
    """Whatever comes when, and however many messages of a plan can be sent before the channel closes."""
    now, memory, seen = NOW, Memory(), []
    outbox: dict[str, Alert] = {}
    everything = [one.id for fresh, _, _ in rounds for one in fresh]
    for fresh, minutes, most in [*rounds, ([], 61, 99), ([], 61, 99)]:
        outbox |= {one.id: one for one in fresh}
        now += minutes * MINUTE
        planned = plan(list(outbox.values()), memory, now, HOUR)
        sent = planned.parcels[:most]
        counted = planned.held + sum(parcel.message.count for parcel in planned.parcels) + len(planned.known)
        assert (counted, all(parcel.message.count == len(parcel.alerts) for parcel in sent)) == (len(outbox), True)
        seen += [one.id for parcel in sent for one in parcel.alerts]
        memory = remember(memory, sent, now, HOUR)
        outbox = {name: one for name, one in outbox.items() if name not in seen}
    assert sorted(seen) == sorted(everything)


# --- reading the outbox ---------------------------------------------------------------------------------------------


def test_a_document_is_read_back_as_the_alert_that_was_written() -> None:
    written = alert("a/b", fields={"n": "7"})
    document = to_builtins(written, builtin_types=(datetime,))
    assert understood("a/b", {**document, "id": "x", "bar": NOW}, NOW) == written


def test_a_document_of_the_first_version_is_understood() -> None:
    document = {"severity": "info", "book": "btc", "bar": NOW - HOUR, "text": "entry: buy 0.1 at 7\nand more"}
    old = understood("btc-1", document, NOW)
    assert (old.severity, old.book, old.at) == ("info", "btc", NOW - HOUR)
    assert (old.title, old.text) == ("entry: buy 0.1 at 7", "entry: buy 0.1 at 7\nand more")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"text": 7, "severity": "warning"},
        {"severity": "fatal", "book": "btc", "bar": NOW, "text": "read me"},
        {"event": "later_version", "severity": "critical", "at": NOW, "title": "read me", "text": "read me"},
        {"event": "breaker", "severity": "error", "at": "yesterday", "title": "read me"},
        {"event": "breaker", "severity": "error", "at": NOW, "title": "read me", "fields": {"n": 7}},
        {"event": ["breaker"], "severity": ["read me"], "at": None, "title": {"a": b"\xff"}, "book": 7},
    ],
)
def test_a_damaged_document_is_shown_as_it_is(document: dict[str, Any]) -> None:
    shown = understood("the-id", document, NOW)
    assert shown.title == "An alert that cannot be read: the-id"
    assert shown.text == repr(document)
    assert shown.severity == (document["severity"] if document.get("severity") in list(WORST) else "error")
    assert plan([shown, alert()], Memory(), NOW, HOUR).parcels[0].alerts[0].id in ("the-id", "1")


def test_a_time_without_a_zone_is_utc_and_breaks_no_order() -> None:
    bare = understood("1", {**to_builtins(alert("1"), builtin_types=(datetime,)), "at": NOW.replace(tzinfo=None)}, NOW)
    assert bare.at == NOW
    assert len(plan([bare, alert("2")], Memory(), NOW, HOUR).parcels) == 1


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.datetimes() | st.binary(max_size=3)
VALUES = LEAVES | st.sampled_from([*WORST, "breaker", "trade_opened"]) | st.lists(LEAVES, max_size=2)
NAMES = st.sampled_from(["event", "severity", "at", "bar", "title", "text", "book", "fields", "id", "other"])


@given(st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, LEAVES, max_size=2)))
def test_no_document_at_all_keeps_the_others_from_being_told(document: dict[str, Any]) -> None:
    pending = [understood("odd", document, NOW), alert("sound", title="Sound")]
    parcels = plan(pending, Memory(), NOW, HOUR).parcels
    assert {one.id for parcel in parcels for one in parcel.alerts} == {"odd", "sound"}
    remember(Memory(), parcels, NOW, HOUR)
