"""A few hours of the whole deployment, live: what `make day` plays for a whole day, on paper and live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.flows.claim import tick_key
from core.ports import Write
from tests.day.callers import event_data
from tests.day.deployment import BOOK, DAY, Emulators, deployed
from tests.day.firestore import Doom, Journal, Told
from tests.day.instance import Heard
from tests.day.rights import forbidden
from tests.day.script import HOURS, SHORT
from tests.day.story import Day
from tests.day.verdict import CHECKS, judged
from tests.processes.passage import Reply, Request

Undo = Callable[[], Any]


@pytest.fixture(scope="module")
def day(
    firestore_emulator: str, storage_emulator: str, pubsub_emulator: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Day]:
    """It has been played, and its deployment still stands."""
    emulators = Emulators(firestore_emulator, storage_emulator, pubsub_emulator)
    with deployed(emulators, tmp_path_factory.mktemp("day"), "live") as made:
        played = Day(made, HOURS, SHORT)
        played.run()
        yield played


def test_some_hours_of_the_whole_deployment_leave_nothing_unsettled_and_nothing_undelivered(day: Day) -> None:
    assert judged(day) == []


def put(day: Day, key: str, data: dict[str, Any]) -> Undo:
    before = day.at.store.read([key])[key].data
    day.at.store.commit([Write(key, data)])
    return lambda: day.at.store.commit([Write(key, before)])


def forgotten(day: Day) -> Undo:
    embeds = day.at.discord.shown[-1]["embeds"]
    gone = embeds.pop()
    return lambda: embeds.append(gone)


def repeated(day: Day) -> Undo:
    day.at.discord.shown.append(day.at.discord.shown[-1])
    return day.at.discord.shown.pop


def unheard_of(day: Day) -> Undo:
    day.at.ingress.heard.append(Heard("tick", "scheduler", 200, {"outcome": "enriched", "book": "btc"}))
    return day.at.ingress.heard.pop


def logged(day: Day, line: str) -> Undo:
    log = day.at.folder / "tick.out"
    before = log.read_text()
    log.write_text(f"{before}{line}\n")
    return lambda: log.write_text(before)


def ordered(day: Day) -> Undo:
    day.halts.append((DAY, DAY + 24 * (day.now - DAY)))
    return day.halts.pop


def undone(day: Day) -> Undo:
    (live,) = (heard.said["version"] for heard in day.trained if heard.said)
    name = next(iter(day.at.models.names(f"models/{BOOK}/{live}/manifest")))
    data = day.at.models.get(name)
    day.at.models.delete(name)
    return lambda: day.at.models.put(name, data)


def another_measure(day: Day) -> Undo:
    return logged(day, '{"severity": "INFO", "message": "tick", "logger": "hourhand.metrics", "event": "tick"}')


def told_secret(day: Day) -> Undo:
    return logged(day, f'{{"severity": "INFO", "message": "signed with {day.at.hidden[1]}"}}')


def another_record(day: Day) -> Undo:
    return put(day, tick_key(BOOK, DAY.replace(hour=23)), {"phase": "done", "token": 0})


SPOILT: dict[str, tuple[str, Callable[[Day], Undo]]] = {
    "an alert that waits": ("outbox", lambda day: put(day, "outbox/x", {"title": "x"})),
    "an alert that nobody saw": ("shown", forgotten),
    "an alert that is shown again": ("shown", repeated),
    "a record too many": ("records", another_record),
    "an order under a halt": ("orders", ordered),
    "a word that is not the contract's": ("contract", unheard_of),
    "a line that is no JSON": ("logs", lambda day: logged(day, "Booting up")),
    "a secret in the log": ("logs", told_secret),
    "a secret in a document": ("secrets", lambda day: put(day, "desk/x", {"text": day.at.hidden[0]})),
    "a measure too many": ("measures", another_measure),
    "a live model that is gone": ("models", undone),
    "an old record that came back": ("cleanup", lambda day: put(day, min(day.at.old), {"phase": "done"})),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_verdict_notices(day: Day, what: str) -> None:
    name, spoil = SPOILT[what]
    undo = spoil(day)
    try:
        assert list(CHECKS[name](day)) != []
    finally:
        undo()
    assert list(CHECKS[name](day)) == []


# -- the parts of it


def commit(*writes: str) -> Request:
    return Request("claim", "POST", "/v1/x:commit", {}, f'{{"writes": [{", ".join(writes)}]}}'.encode())


NEW = """{"update": {"name": "p/documents/outbox/a", "fields": {"event": {"stringValue": "switch"},
"severity": {"stringValue": "info"}, "title": {"stringValue": "t"}, "book": {"stringValue": ""}}}}"""
GONE = '{"delete": "p/documents/outbox/a"}'


def test_an_event_comes_of_each_document_that_is_new_in_the_outbox() -> None:
    created: list[str] = []
    journal = Journal(created.append, lambda _: None)
    for request, status in [(commit(NEW), 409), (commit(NEW), 200), (commit(NEW), 200), (commit(GONE), 200)]:
        journal.carry("tick", request, lambda status=status: Reply(status, [], b"{}"))  # type: ignore[misc]
    assert (created, journal.waiting) == (["p/documents/outbox/a"], set())
    assert journal.alerts == {"a": Told("a", "switch", "info", "t", "")}


@pytest.mark.parametrize(("after", "sent"), [(False, 0), (True, 1)])
def test_a_process_dies_before_or_after_its_request(after: bool, sent: int) -> None:
    killed: list[str] = []
    journal = Journal(lambda _: None, killed.append, dooms=[Doom("tick", "claim", after)])
    replies: list[Reply] = []

    def send() -> Reply:
        replies.append(Reply(200, [], b"{}"))
        return replies[-1]

    assert journal.carry("guard", commit(GONE), send) is not None
    assert journal.carry("tick", commit(GONE), send) is None
    assert (killed, len(replies), journal.dooms) == (["tick"], 1 + sent, [])


def test_a_function_is_refused_what_its_account_may_not_do() -> None:
    put = Request("put", "POST", "/upload/storage/v1/b/p-models/o?name=x", {}, b"")
    get = Request("get", "GET", "/storage/v1/b/p-models/o/x", {}, b"")
    assert [bool(forbidden(name, put)) for name in ("tick", "guard", "train")] == [True, True, False]
    assert [bool(forbidden(name, get)) for name in ("tick", "guard", "train")] == [False, True, False]
    assert [bool(forbidden(name, commit())) for name in ("tick", "status")] == [False, True]


def test_an_event_names_its_document_in_protobuf() -> None:
    name = "projects/p/databases/d/documents/outbox/" + "x" * 200
    assert event_data(name) == b"\x0a\xf3\x01\x0a\xf0\x01" + name.encode()
