"""What Cloud Storage's adapter makes of answers that the emulator does not give."""

from __future__ import annotations

import pytest

from core.adapters.gcs_models import GcsModels
from core.ports import Missing, Unavailable
from tests.adapters.scripted import Answer, scripted

OK = Answer(200, b"data")
NO_BUCKET = Answer(404, b"The specified bucket does not exist.")


def test_names_come_in_pages() -> None:
    pages = [
        Answer(200, {"items": [{"name": "a/2"}], "nextPageToken": "to+ken"}),
        Answer(200, {"nextPageToken": "more"}),
        Answer(200, {"items": [{"name": "a/1"}]}),
    ]
    with scripted(*pages) as server:
        assert GcsModels("b", server.host).names("a/") == ["a/1", "a/2"]
    assert "pageToken=to%2Bken" in server.asked[1].path
    assert "pageToken=more" in server.asked[2].path
    assert all("prefix=a%2F" in request.path for request in server.asked)


@pytest.mark.parametrize("trouble", [Answer(503, b""), Answer(429, b""), None])
def test_every_call_is_tried_again(trouble: Answer | None) -> None:
    with scripted(trouble, trouble, OK) as server:
        assert GcsModels("b", server.host).get("a") == b"data"
    with scripted(trouble, OK) as server:
        GcsModels("b", server.host).put("a", b"data")
    assert [request.body for request in server.asked] == [b"data", b"data"]
    with scripted(trouble) as server, pytest.raises(Unavailable):
        GcsModels("b", server.host).delete("a")
    assert len(server.asked) == 3


def test_a_missing_object_and_a_missing_bucket_are_two_things() -> None:
    with scripted(Answer(404, b"No such object: b/a")) as server, pytest.raises(Missing):
        GcsModels("b", server.host).get("a")
    with scripted(NO_BUCKET) as server:
        models = GcsModels("b", server.host)
        for call in (lambda: models.get("a"), lambda: models.put("a", b"x"), lambda: models.names("")):
            with pytest.raises(Unavailable, match=r"bucket does not exist.*check"):
                call()


def test_a_page_without_json_is_unavailable() -> None:
    with scripted(Answer(200, b"<html>")) as server, pytest.raises(Unavailable, match="JSON"):
        GcsModels("b", server.host).names("")


def test_a_name_is_one_part_of_the_address() -> None:
    with scripted(OK) as server:
        GcsModels("b", server.host).get("a/ü?#")
        GcsModels("b", server.host).put("a/ü?#", b"x")
    assert server.asked[0].path == "/storage/v1/b/b/o/a%2F%C3%BC%3F%23?alt=media"
    assert server.asked[1].path == "/upload/storage/v1/b/b/o?uploadType=media&name=a%2F%C3%BC%3F%23"


def test_forbidden_is_said_at_once() -> None:
    with scripted(Answer(403, b"no")) as server, pytest.raises(Unavailable, match="grant"):
        GcsModels("b", server.host).get("a")
    assert len(server.asked) == 1
