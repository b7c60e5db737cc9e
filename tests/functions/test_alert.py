"""The alert function: what it answers, what its body may be, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from core.domain.alerts import Alert, Message
from core.flows.alert import DESK, incident, post
from core.ports import Later, StateStore, Unavailable, Write
from functions import http
from functions.alert import alert as function
from tests.cli.command import ROOT, settings, state, surrounded

NOW = datetime.now(UTC)
SECRET = "kV9-very-secret-31415"


class Channel:
    """A Notifier."""

    most = 10

    def __init__(self) -> None:
        self.shown: list[Message] = []
        self.wrong: Exception | None = None

    def send(self, messages: Sequence[Message]) -> None:
        if self.wrong:
            raise self.wrong
        self.shown += messages


class Desk(NamedTuple):
    channel: Channel
    state: StateStore

    def post(self, body: bytes = b"", method: str = "POST", **headers: str) -> tuple[int, dict[str, Any]]:
        """The status and the document that a request is answered with."""
        builder = EnvironBuilder(method=method, data=body, headers=headers)
        data, status, _ = function(Request(builder.get_environ()))
        return status, json.loads(data)


@contextmanager
def serving(folder: Path) -> Iterator[Desk]:
    environ = settings(folder, VENUE_API_SECRET=SECRET)
    with surrounded(environ):
        channel = Channel()
        vars(http.app())["notifier"] = channel
        yield Desk(channel, state(environ))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with serving(tmp_path) as made:
        yield made


def trade(number: int = 1, text: str = "Bought 0.1.") -> Alert:
    return Alert(id=f"btc-{number}", event="trade_opened", severity="info", at=NOW, title="Long", text=text, book="btc")


def pushed(payload: bytes) -> bytes:
    message = {"data": b64encode(payload).decode(), "messageId": "77/1", "publishTime": "2026-11-21T10:00:00Z"}
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def test_a_post_tells_what_waits(desk: Desk) -> None:
    post(desk.state, trade())
    status, said = desk.post()
    assert (status, said["outcome"], said["told"]) == (200, "done", 1)
    assert {"book", "bar", "reason"} <= said.keys()
    assert [message.title for message in desk.channel.shown] == ["btc: Long"]
    assert desk.post()[1]["told"] == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_tells_anything(desk: Desk, method: str) -> None:
    post(desk.state, trade())
    status, said = desk.post(method=method)
    assert (status, said["outcome"], desk.channel.shown) == (405, "not_allowed", [])


@pytest.mark.parametrize(
    ("failure", "status", "outcome"),
    [(Unavailable("no answer"), 500, "failed"), (Later("slow down", 300.0), 503, "waiting")],
)
def test_a_channel_that_fails_is_worth_a_retry(desk: Desk, failure: Exception, status: int, outcome: str) -> None:
    post(desk.state, trade())
    desk.channel.wrong = failure
    answer = desk.post()
    assert (answer[0], answer[1]["outcome"]) == (status, outcome)
    assert str(failure) in answer[1]["reason"]
    assert desk.post()[0] == 503  # too early
    assert [name for name, _ in desk.state.scan("outbox")] == ["btc-1"]


def test_while_another_delivers_it_is_busy(desk: Desk) -> None:
    desk.state.commit([Write(DESK, {"owner": "x", "until": datetime.now(UTC) + timedelta(seconds=50)})])
    assert desk.post()[0] == 503


def test_a_failure_that_nobody_foresaw_is_an_answer(desk: Desk) -> None:
    post(desk.state, trade())
    desk.channel.wrong = RuntimeError(SECRET)
    status, said = desk.post()
    assert (status, said["outcome"], said["reason"]) == (500, "failed", "RuntimeError: see the log")


def test_settings_that_cannot_be_used_are_a_failure(tmp_path: Path) -> None:
    with surrounded(settings(tmp_path, HOURHAND__POLICY__TRESHOLD="1")):
        data, status, _ = function(Request(EnvironBuilder(method="POST").get_environ()))
    assert (status, "TRESHOLD" in json.loads(data)["reason"]) == (500, True)


PUSHED = {"incident": {"incident_id": "0.abc", "state": "open", "policy_name": "No tick", "summary": "None came."}}


def test_an_incident_is_put_into_the_outbox_and_told_once(desk: Desk) -> None:
    body = pushed(json.dumps(PUSHED).encode())
    assert [desk.post(body)[1]["told"] for _ in range(2)] == [1, 0]
    assert [message.title for message in desk.channel.shown] == ["Cloud Monitoring: No tick"]


def test_an_incident_stays_in_the_outbox_while_the_channel_is_away(desk: Desk) -> None:
    desk.channel.wrong = Unavailable("no answer")
    assert desk.post(json.dumps(PUSHED).encode())[0] == 500
    assert [name for name, _ in desk.state.scan("outbox")] == ["monitoring-0.abc-open"]


def test_an_event_of_firestore_tells_what_waits_whatever_its_body(desk: Desk) -> None:
    post(desk.state, trade())
    headers = {"Content-Type": "application/protobuf", "ce-type": "google.cloud.firestore.document.v1.created"}
    status, said = desk.post(b"\x0a\x99\x01outbox/\xff\x00", **headers)
    assert (status, said["told"]) == (200, 1)


def test_no_answer_no_log_and_no_message_holds_a_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as desk:
        post(desk.state, trade(text=f"signed with {SECRET}"))
        desk.channel.wrong = Unavailable(f"no answer from https://discord.com/api/webhooks/1/{SECRET}")
        failed = json.dumps(desk.post())
        desk.channel.wrong = None
        desk.state.commit([Write(DESK, None)])
        desk.post()
    log = "".join(capfd.readouterr())
    assert ("waiting alerts: 1" in log, "waiting alerts: 1" in failed) == (True, True)
    assert SECRET not in failed + log + repr(desk.channel.shown)
    assert "[redacted]" in desk.channel.shown[0].text


# --- Cloud Monitoring -----------------------------------------------------------------------------------------------

INCIDENT = {
    "incident": {
        "incident_id": "0.opqiw61fsv7p", "scoping_project_id": "p", "state": "open", "severity": "Warning",
        "url": "https://console.cloud.google.com/monitoring/alerting/incidents/0.opqiw61fsv7p?project=p",
        "started_at": 1795255000, "ended_at": None, "policy_name": "No tick for an hour",
        "condition_name": "absent tick", "summary": "No tick was finished.", "resource_display_name": "tick",
        "observed_value": "0.000", "threshold_value": "1",
    },
    "version": "1.2",
}  # fmt: skip


def test_an_incident_becomes_an_alert_once(desk: Desk) -> None:
    for _ in range(2):
        found = incident(pushed(json.dumps(INCIDENT).encode()), NOW)
        assert found is not None
        post(desk.state, found)
    desk.post()
    (message,) = desk.channel.shown
    assert (message.severity, message.title) == ("warning", "Cloud Monitoring: No tick for an hour")
    assert message.text.splitlines() == ["No tick was finished.", INCIDENT["incident"]["url"]]  # type: ignore[index]
    assert message.fields == {"condition": "absent tick", "resource": "tick", "value": "0.000", "threshold": "1"}
    assert message.at == datetime.fromtimestamp(1795255000, UTC)


def test_the_end_of_an_incident_is_told_at_once_as_well() -> None:
    begun = incident(json.dumps(INCIDENT).encode(), NOW)
    over = {"incident": {**INCIDENT["incident"], "state": "closed", "ended_at": 1795256000}}  # type: ignore[dict-item]
    ended = incident(pushed(json.dumps(over).encode()), NOW)
    assert begun is not None and ended is not None
    assert (ended.severity, ended.title) == ("info", "Cloud Monitoring: No tick for an hour (over)")
    assert ended.at == datetime.fromtimestamp(1795256000, UTC)
    assert begun.id != ended.id


@pytest.mark.parametrize("payload", [b'{"incident": {}}', b'{"incident": {"policy_name": null, "started_at": "now"}}'])
def test_an_incident_of_which_little_is_known_is_told_all_the_same(desk: Desk, payload: bytes) -> None:
    found = incident(pushed(payload), NOW)
    assert found is not None
    post(desk.state, found)
    assert (desk.post()[1]["told"], found.severity, found.at) == (1, "error", NOW)


@pytest.mark.parametrize("payload", [b"no JSON, but /words/", b'{"incidents": 7}', b"\xff\xfe", b"[1]"])
def test_a_pubsub_message_that_is_no_incident_is_shown_as_it_is(desk: Desk, payload: bytes) -> None:
    found = incident(pushed(payload), NOW)
    assert found is not None
    post(desk.state, found)
    desk.post()
    assert desk.channel.shown[0].text == payload.decode(errors="replace")


@pytest.mark.parametrize(
    "body", [b"", b"\x0a\x99binary\xff", b"[]", b'{"value": {"name": "x"}}', pushed(b""), b'"incident"']
)
def test_another_body_is_no_incident(body: bytes) -> None:
    assert incident(body, NOW) is None


# --- cold start -----------------------------------------------------------------------------------------------------

LIGHT = """
import sys
import functions.alert
heavy = {"ccxt", "core.adapters.ccxt_exchange", "core.domain.features", "core.flows.tick", "functions.tick", "urllib3"}
sys.exit(", ".join(sorted(heavy & sys.modules.keys())) or 0)
"""


def test_it_imports_nothing_of_what_a_tick_needs() -> None:
    run = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
