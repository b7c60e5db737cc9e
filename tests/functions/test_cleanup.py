"""The cleanup function: what its body may be, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from core.flows.sweep import DESK
from core.ports import Leftover, StateStore, Unavailable, Write
from functions import http
from functions.cleanup import cleanup as function
from tests.cli.command import of_files, state, surrounded
from tests.flows.yards import DAY, Deployed, hour, stands, state_of, ticked

NOW = datetime.now(UTC)
SECRET = "kV9-very-secret-31415"


class Desk(NamedTuple):
    state: StateStore
    platform: Deployed
    folder: Path

    def post(self, body: bytes | str = b"", method: str = "POST") -> tuple[int, dict[str, Any]]:
        """The status and the document that a request is answered with."""
        data, status, _ = function(Request(EnvironBuilder(method=method, data=body).get_environ()))
        return status, json.loads(data)

    def records(self) -> int:
        return len(list(self.state.scan("ticks")))

    def files(self) -> set[str]:
        return {path.parent.name for path in (self.folder / "models").rglob("*.gz")}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Two old records and a new one, and images of which three are too many."""
    environ = of_files(tmp_path, VENUE_API_SECRET=SECRET, HOURHAND__CLEANUP__REVISIONS="4")
    platform = Deployed([Leftover("revision", "tick", f"tick-{age}", NOW - age * DAY, 0, not age) for age in range(7)])
    store, at = state(environ), hour(NOW)
    store.commit([stands("btc", state_of(at)), *[ticked("btc", at - age * DAY) for age in (0, 100, 101)]])
    with surrounded(environ):
        vars(http.app())["platform"] = platform
        yield Desk(store, platform, tmp_path)


def test_a_post_cleans_and_says_what_went(desk: Desk) -> None:
    status, said = desk.post()
    assert (status, said["outcome"], said["level"]) == (200, "done", "safe")
    assert said["removed"].keys() == {"record"} and said["removed"]["record"]["count"] == 2
    assert {"book", "bar", "reason"} <= said.keys()
    assert (desk.records(), len(desk.platform.found)) == (1, 7)
    assert {"backups"} < desk.files()


def test_a_dry_run_of_another_level_says_what_would_go_and_changes_nothing(desk: Desk) -> None:
    status, said = desk.post('{"dry_run": true, "level": "moderate"}')
    assert (status, said["dry_run"], said["level"]) == (200, True, "moderate")
    assert {kind: of["count"] for kind, of in said["removed"].items()} == {"record": 2, "revision": 3}
    assert (desk.records(), len(desk.platform.found), desk.files()) == (3, 7, set())


def test_the_level_of_the_body_stands_in_place_of_that_of_the_settings(desk: Desk) -> None:
    assert desk.post('{"level": "moderate"}')[1]["removed"]["revision"]["count"] == 3


@pytest.mark.parametrize(
    "body",
    [
        '{"dry": true}', '{"level": "reckless"}', '{"dry_run": "yes"}', "[]", "nonsense", b"\xff", "true",
        '{"dry_run": true', '{"level": null, "book": "btc"}',
    ],
)  # fmt: skip
def test_a_body_that_is_not_understood_is_refused_and_nothing_goes(desk: Desk, body: str) -> None:
    status, said = desk.post(body)
    assert (status, said["outcome"], "dry_run" in said["reason"]) == (400, "bad_request", True)
    assert (desk.records(), desk.files()) == (3, set())


@pytest.mark.parametrize("body", ["", "  \n", "{}", '{"dry_run": false, "level": null}'])
def test_a_body_that_asks_for_nothing_special_is_none(desk: Desk, body: str) -> None:
    assert desk.post(body)[0] == 200
    assert desk.records() == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_removes_anything(desk: Desk, method: str) -> None:
    assert desk.post(method=method)[0] == 405
    assert desk.records() == 3


def test_while_another_is_at_it_the_answer_is_busy(desk: Desk) -> None:
    desk.state.commit([Write(DESK, {"owner": "x", "until": datetime.now(UTC) + timedelta(minutes=4)})])
    assert (desk.post()[0], desk.records()) == (503, 3)


def test_a_part_that_was_not_done_is_worth_a_retry_and_no_secret_is_told(desk: Desk) -> None:
    class Away(Deployed):
        def leftovers(self) -> Any:
            raise Unavailable(f"no answer from https://example.test/?key={SECRET}")

    vars(http.app())["platform"] = Away()
    assert http.app().secrets.get("VENUE_API_SECRET") == SECRET
    status, said = desk.post()
    assert (status, said["outcome"], "no answer" in said["reason"]) == (500, "failed", True)
    assert SECRET not in json.dumps(said)
    assert (desk.records(), said["removed"]["record"]["count"]) == (1, 2)
