"""Secrets: found by name, told what to do where they are not, and never shown."""

from __future__ import annotations

import traceback
from base64 import b64encode

import pytest

from core.adapters.env_secrets import EnvSecrets
from core.adapters.gcp_secrets import GcpSecrets
from core.ports import Missing, Unavailable
from tests.adapters.scripted import Answer, scripted

VALUE = "s3cr3t-of-the-venue"


def payload(value: bytes) -> Answer:
    return Answer(200, {"name": "projects/1/secrets/N/versions/3", "payload": {"data": b64encode(value).decode()}})


def everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_the_environment_is_asked_by_name() -> None:
    assert EnvSecrets({"VENUE_API_KEY": VALUE}).get("VENUE_API_KEY") == VALUE


@pytest.mark.parametrize("environ", [{}, {"VENUE_API_KEY": ""}, {"OTHER": VALUE}])
def test_a_variable_that_is_not_set_is_missing_and_named(environ: dict[str, str]) -> None:
    with pytest.raises(Missing, match="environment variable VENUE_API_KEY is not set") as raised:
        EnvSecrets(environ).get("VENUE_API_KEY")
    assert VALUE not in everything_said(raised.value)


def test_the_environments_values_are_not_in_its_repr() -> None:
    assert VALUE not in repr(EnvSecrets({"VENUE_API_KEY": VALUE}))


def test_secret_manager_is_asked_for_the_newest_version() -> None:
    with scripted(payload(VALUE.encode())) as server:
        assert GcpSecrets("p", server.host).get("VENUE_API_KEY") == VALUE
    assert server.asked[0].method == "GET"
    assert server.asked[0].path == "/v1/projects/p/secrets/VENUE_API_KEY/versions/latest:access"


def test_two_deployments_in_one_project_have_secrets_of_their_own() -> None:
    with scripted(payload(VALUE.encode()), Answer(404, {})) as server:
        secrets = GcpSecrets("p", server.host, prefix="hourhand-live-")
        assert secrets.get("VENUE_API_KEY") == VALUE
        with pytest.raises(Missing, match="gcloud secrets versions add hourhand-live-VENUE_API_KEY"):
            secrets.get("VENUE_API_KEY")
    assert server.asked[0].path == "/v1/projects/p/secrets/hourhand-live-VENUE_API_KEY/versions/latest:access"


def test_a_line_end_behind_a_secret_is_not_part_of_it() -> None:
    with scripted(payload(f"{VALUE}\r\n".encode())) as server:
        assert GcpSecrets("p", server.host).get("N") == VALUE


@pytest.mark.parametrize("status", [400, 404])
def test_a_secret_without_an_enabled_version_is_missing_and_the_command_is_named(status: int) -> None:
    with scripted(Answer(status, {"error": {"status": "NOT_FOUND"}})) as server, pytest.raises(Missing) as raised:
        GcpSecrets("p", server.host).get("VENUE_API_KEY")
    assert "gcloud secrets versions add VENUE_API_KEY --project=p" in str(raised.value)


def test_what_cannot_be_reached_is_tried_again_and_then_unavailable() -> None:
    with scripted(Answer(503, b""), payload(VALUE.encode())) as server:
        assert GcpSecrets("p", server.host).get("N") == VALUE
    with scripted(None) as server, pytest.raises(Unavailable, match="the secret N"):
        GcpSecrets("p", server.host).get("N")


def test_a_secret_that_may_not_be_read_names_the_role() -> None:
    with scripted(Answer(403, b"denied")) as server, pytest.raises(Unavailable, match="secretAccessor"):
        GcpSecrets("p", server.host).get("N")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, VALUE.encode()),
        Answer(200, {"payload": {"data": f"{VALUE}!"}}),
        Answer(200, {"payload": VALUE}),
        Answer(200, {"payload": {"data": b64encode(b"\xff" + VALUE.encode()).decode()}}),
        Answer(200, {"payload": {"data": ""}}),
        Answer(200, [VALUE]),
    ],
)
def test_an_answer_that_cannot_be_read_is_unavailable_and_not_quoted(answer: Answer) -> None:
    with scripted(answer) as server, pytest.raises(Unavailable, match="without a value") as raised:
        GcpSecrets("p", server.host).get("N")
    said = everything_said(raised.value)
    assert VALUE not in said
    assert b64encode(VALUE.encode()).decode() not in said


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../x", "a?b"])
def test_a_name_that_is_no_name_is_never_asked_for(name: str) -> None:
    with scripted(payload(b"x")) as server, pytest.raises(ValueError, match="not a secret's name"):
        GcpSecrets("p", server.host).get(name)
    assert server.asked == []


def test_a_line_end_behind_a_variable_is_not_part_of_it() -> None:
    assert EnvSecrets({"VENUE_API_KEY": f"{VALUE}\r\n"}).get("VENUE_API_KEY") == VALUE
    with pytest.raises(Missing):
        EnvSecrets({"VENUE_API_KEY": "\n"}).get("VENUE_API_KEY")
