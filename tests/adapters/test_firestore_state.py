"""What Firestore's adapter makes of answers that the emulator does not give."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from core.adapters.firestore_state import FirestoreState
from core.ports import Conflict, Unavailable, Versioned, Write
from tests.adapters.scripted import Answer, scripted

ROOT = "projects/p/databases/(default)/documents"
MISSING = Answer(200, [{"missing": f"{ROOT}/c/x", "readTime": "2024-01-01T00:00:00Z"}])
DONE = Answer(200, {"writeResults": [{"updateTime": "2024-01-01T00:00:00Z"}], "commitTime": "2024-01-01T00:00:00Z"})
BUSY = Answer(503, {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})

Call = Callable[[FirestoreState], object]


def read(store: FirestoreState) -> object:
    return store.read(["c/x"])


def watch(store: FirestoreState) -> object:
    return store.read(["c/x"])


def scan(store: FirestoreState) -> object:
    return list(store.scan("c"))


def commit(store: FirestoreState) -> object:
    return store.commit([Write("c/x", {"a": 1}, version=None)])


def found(fields: dict[str, Any]) -> Answer:
    document = {"name": f"{ROOT}/c/x", "fields": fields, "updateTime": "2024-01-01T00:00:00.000001Z"}
    return Answer(200, [{"found": document, "readTime": "2024-01-01T00:00:00Z"}])


def refused(code: int, status: str, message: str) -> Answer:
    return Answer(code, {"error": {"code": code, "message": message, "status": status}})


@pytest.mark.parametrize(("call", "answer"), [(read, MISSING), (watch, MISSING), (scan, MISSING), (commit, DONE)])
def test_each_call_is_one_request(call: Call, answer: Answer) -> None:
    with scripted(answer) as server:
        call(FirestoreState("p", emulator_host=server.host))
    assert len(server.asked) == 1


@pytest.mark.parametrize("call", [read, watch])
def test_a_read_asks_for_a_snapshot_without_locks(call: Call) -> None:
    with scripted(MISSING) as server:
        call(FirestoreState("p", emulator_host=server.host))
    assert json.loads(server.asked[0].body)["newTransaction"] == {"readOnly": {}}


def test_a_commit_with_a_watch_is_one_request() -> None:
    seen = {"c/switch": Versioned({}, "2024-01-01T00:00:00Z"), "c/gone": Versioned(None, None)}
    with scripted(DONE) as server:
        FirestoreState("p", emulator_host=server.host).commit([Write("c/x", {"a": 1}, None)], seen)
    writes = json.loads(server.asked[0].body)["writes"]
    assert [write["currentDocument"] for write in writes] == [
        {"exists": False},
        {"updateTime": "2024-01-01T00:00:00Z"},
        {"exists": False},
    ]


@pytest.mark.parametrize("trouble", [BUSY, None, Answer(429, b""), Answer(500, b"<html>")])
def test_a_read_is_tried_again_and_a_commit_is_not(trouble: Answer | None) -> None:
    with scripted(trouble, trouble, MISSING) as server:
        assert read(FirestoreState("p", emulator_host=server.host)) == {"c/x": Versioned(None, None)}
    with scripted(trouble) as server, pytest.raises(Unavailable):
        read(FirestoreState("p", emulator_host=server.host))
    assert len(server.asked) == 3
    with scripted(trouble, DONE) as server, pytest.raises(Unavailable):
        commit(FirestoreState("p", emulator_host=server.host))
    assert len(server.asked) == 1


@pytest.mark.parametrize("call", [read, scan, commit])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>welcome to this hotel</html>"),
        Answer(
            404, {"error": {"code": 404, "message": "The database (default) does not exist", "status": "NOT_FOUND"}}
        ),
        refused(400, "FAILED_PRECONDITION", "The API is not available for Firestore in Datastore Mode database p."),
        refused(400, "INVALID_ARGUMENT", "no"),
        Answer(403, {"error": {"code": 403, "message": "missing permission", "status": "PERMISSION_DENIED"}}),
    ],
    ids=["not JSON", "no database", "datastore mode", "invalid", "forbidden"],
)
def test_nonsense_and_refusals_are_unavailable(call: Call, answer: Answer) -> None:
    with scripted(answer) as server, pytest.raises(Unavailable, match=r"check|again|grant"):
        call(FirestoreState("p", emulator_host=server.host))


def test_an_error_in_the_middle_of_an_answer_is_unavailable() -> None:
    answer = Answer(200, [{"missing": f"{ROOT}/c/x"}, {"error": {"status": "INTERNAL", "message": "lost the thread"}}])
    with scripted(answer) as server, pytest.raises(Unavailable, match="lost the thread"):
        FirestoreState("p", emulator_host=server.host).read(["c/x", "c/y"])


@pytest.mark.parametrize(
    ("code", "status"),
    [(409, "ALREADY_EXISTS"), (400, "FAILED_PRECONDITION"), (409, "ABORTED"), (404, "NOT_FOUND")],
)
def test_a_condition_that_failed_is_a_conflict(code: int, status: str) -> None:
    answer = refused(code, status, f"No document to update: {ROOT}/c/x")
    with scripted(answer) as server, pytest.raises(Conflict):
        commit(FirestoreState("p", emulator_host=server.host))


def test_contention_without_a_condition_is_no_conflict() -> None:
    with scripted(refused(409, "ABORTED", "Too much contention")) as server, pytest.raises(Unavailable):
        FirestoreState("p", emulator_host=server.host).commit([Write("c/x", {"a": 1})])


def test_an_answer_that_leaves_a_document_out_is_unavailable() -> None:
    with scripted(MISSING) as server, pytest.raises(Unavailable, match="1 documents instead of 2"):
        FirestoreState("p", emulator_host=server.host).read(["c/x", "c/y"])


def test_what_a_person_writes_in_the_console_is_read() -> None:
    fields = {
        "at": {"timestampValue": "2024-01-01T00:00:00.123456789Z"},
        "where": {"geoPointValue": {"latitude": 1.5, "longitude": 2.5}},
        "other": {"referenceValue": f"{ROOT}/c/y"},
        "whole": {"doubleValue": 1},
        "list": {"arrayValue": {}},
        "map": {"mapValue": {}},
    }
    with scripted(found(fields)) as server:
        seen = FirestoreState("p", emulator_host=server.host).read(["c/x"])["c/x"]
    assert seen.data == {
        "at": datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
        "where": {"latitude": 1.5, "longitude": 2.5},
        "other": f"{ROOT}/c/y",
        "whole": 1.0,
        "list": [],
        "map": {},
    }
    assert type((seen.data or {})["whole"]) is float


def test_a_kind_of_value_from_the_future_is_unavailable() -> None:
    with scripted(found({"a": {"colourValue": "red"}})) as server, pytest.raises(Unavailable, match="colourValue"):
        read(FirestoreState("p", emulator_host=server.host))


def test_a_server_that_keeps_silent_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        for call in (read, commit):
            with pytest.raises(Unavailable, match="did not answer"):
                call(FirestoreState("p", emulator_host=host, timeout=0.1))
