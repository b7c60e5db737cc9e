"""The guard's function: from a request to the flow and back, by the settings' overdue time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from functions_framework import create_app

from core.flows.claim import book_key
from core.ports import Write
from tests.cli.command import ROOT, Environ, closed, of_files, state, surrounded, with_model

AT = closed(1600) + timedelta(seconds=5)
SOURCE = ROOT / "functions" / "guard.py"


@contextmanager
def function(environ: Environ) -> Iterator[Any]:
    with surrounded(environ):
        yield create_app("guard", str(SOURCE)).test_client()


@pytest.fixture
def world(tmp_path: Path) -> Environ:
    return with_model(of_files(tmp_path))


def said(reply: Any) -> dict[str, Any]:
    assert reply.content_type == "application/json"
    document: dict[str, Any] = json.loads(reply.data)
    assert {"outcome", "book", "bar", "reason"} <= document.keys()
    return document


def post(client: Any, at: Any = AT) -> Any:
    return client.post("/", data=json.dumps({"at": at.isoformat()}))


def test_a_book_that_never_ticked_is_done_with_nothing(world: Environ) -> None:
    with function(world) as client:
        reply = post(client)
    assert reply.status_code == 200
    assert {"outcome": "done", "book": "btc", "reason": "nothing_found", "looked": False}.items() <= said(reply).items()


def test_an_overdue_tick_is_told_by_the_settings_time(world: Environ) -> None:
    bar = AT - timedelta(hours=1, seconds=5)
    state(world).commit([Write(book_key("btc"), {"state": {"holding": {"cash": "1"}, "equity": "1", "bar": bar}})])
    late = AT + timedelta(hours=1, minutes=5)
    with function(world) as client:
        assert said(post(client, late))["told"] == []
    with function({**world, "HOURHAND__GUARD__OVERDUE_S": "120"}) as client:
        assert said(post(client, late))["told"] == [f"overdue-{bar + timedelta(hours=1):%Y%m%dT%H%M}"]
    assert [name for name, _ in state(world).scan("outbox")] == [f"btc-overdue-{bar + timedelta(hours=1):%Y%m%dT%H%M}"]


def test_another_method_than_post_guards_nothing(world: Environ) -> None:
    with function(world) as client:
        assert client.get("/").status_code == 405


def test_a_state_that_cannot_be_read_is_worth_another_try(world: Environ) -> None:
    state(world).commit([Write(book_key("btc"), {"state": {"holding": "lost"}})])
    with function(world) as client:
        reply = post(client)
    assert (reply.status_code, said(reply)["outcome"]) == (500, "failed")
    assert "damaged" in said(reply)["reason"]
