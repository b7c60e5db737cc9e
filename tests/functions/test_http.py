"""functions: from an HTTP request to a flow and back, through functions-framework as in the cloud."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from functions_framework import create_app

from core.flows.claim import book_key
from core.flows.measures import FIELDS, LOGGER
from core.ports import Write
from tests.cli.command import MAIN, ROOT, Environ, closed, of_files, settings, state, surrounded, with_model
from tests.road import drawn

AT = closed(1600) + timedelta(seconds=5)
HEADER = "X-CloudScheduler-ScheduleTime"
SECRET = "kV9-very-secret-31415"


@contextmanager
def function(environ: Environ, name: str = "tick") -> Iterator[Any]:
    with surrounded(environ):
        yield create_app(name, str(MAIN)).test_client()


@pytest.fixture
def world(tmp_path: Path) -> Environ:
    return with_model(of_files(tmp_path))


@pytest.fixture
def client(world: Environ) -> Iterator[Any]:
    with function(world) as client:
        yield client


def said(reply: Any) -> dict[str, Any]:
    """The answer, which is JSON with the least that every answer holds, whatever happened."""
    assert reply.content_type == "application/json"
    document: dict[str, Any] = json.loads(reply.data)
    assert {"outcome", "book", "bar", "reason"} <= document.keys()
    return document


def bar_of(at: datetime) -> str:
    return f"{at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"book": "btc", "at": AT.isoformat()}, {}),
        ({"at": AT.isoformat()}, {}),
        ({"at": AT.astimezone(tz=None).isoformat()}, {}),
        ({"at": AT.isoformat(), "book": None}, {HEADER: "2020-01-01T00:00:00Z"}),
        ({"book": "btc"}, {HEADER: AT.isoformat()}),
        (None, {HEADER: AT.isoformat().replace("+00:00", "Z")}),
        (None, {HEADER: AT.replace(tzinfo=None).isoformat()}),
    ],
)
def test_a_request_names_the_book_and_the_time(client: Any, body: Any, headers: dict[str, str]) -> None:
    reply = client.post("/", data=json.dumps(body) if body else b"", headers=headers)
    document = said(reply)
    assert reply.status_code == 200
    assert (document["book"], document["bar"]) == ("btc", bar_of(AT))
    assert document["outcome"] in ("traded", "stayed_out"), document


def test_without_any_time_it_is_now(client: Any) -> None:
    before = datetime.now(UTC)
    reply = client.post("/", data=b" \n")
    assert reply.status_code == 200
    assert said(reply)["bar"] in (bar_of(before), bar_of(datetime.now(UTC)))
    assert said(reply)["reason"] == "window_empty"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"book": "eth"}', ("'eth'", "the settings have btc")),
        (b'{"book": ""}', ("''", "btc")),
        (b"{", ("JSON", "give {")),
        (b"null", ("JSON", "give {")),
        (b"[1, 2]", ("JSON", "give {")),
        (b"\xff\xfe", ("JSON", "give {")),
        (b"[" * 5000, ("JSON", "give {")),
        (b'{"bok": "btc"}', ("bok", "give {")),
        (b'{"book": 3}', ("str", "$.book", "give {")),
        (b'{"at": 1714568405}', ("datetime", "$.at", "give {")),
        (b'{"at": "soon"}', ("$.at", "give {")),
        (b'{"at": "2024-05-01T13:00:05"}', ("time zone", "give {")),
        (b'{"at": "2024-13-01T13:00:05Z"}', ("$.at", "give {")),
        (b'{"at": "0001-01-01T00:00:00+05:00"}', ("0001-01-01", "from 2009-01-03")),
        (b'{"at": "9999-12-31T23:59:59-05:00"}', ("9999-12-31", "not ahead of")),
        (b'{"at": "2099-05-01T13:00:05Z"}', ("2099-05-01", "not ahead of")),
    ],
)
def test_a_request_that_can_never_succeed_is_told_what_to_do(client: Any, body: bytes, words: tuple[str, ...]) -> None:
    reply = client.post("/", data=body)
    document = said(reply)
    assert (reply.status_code, document["outcome"]) == (400, "bad_request")
    assert [word for word in words if word not in document["reason"]] == []


@pytest.mark.parametrize("time", ["tomorrow", "12", "2099-01-01T00:00:00+00:00"])
def test_a_header_that_is_no_time_is_a_bad_request(client: Any, time: str) -> None:
    reply = client.post("/", headers={HEADER: time})
    assert (reply.status_code, said(reply)["outcome"]) == (400, "bad_request")
    assert time in said(reply)["reason"]


@pytest.mark.parametrize("ahead", [timedelta(minutes=40), timedelta(days=7)])
def test_a_persons_run_with_the_time_of_the_next_one_is_for_now(client: Any, ahead: timedelta) -> None:
    now = datetime.now(UTC)
    document = said(client.post("/", headers={HEADER: (now + ahead).isoformat()}))
    assert document["bar"] in (bar_of(now), bar_of(datetime.now(UTC)))


def test_after_a_time_ahead_of_now_the_book_still_goes_on(client: Any) -> None:
    client.post("/", json={"at": "2099-05-01T13:00:05Z"})
    assert said(client.post("/", json={"at": AT.isoformat()}))["outcome"] in ("traded", "stayed_out")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_a_post_runs_anything(client: Any, world: Environ, method: str) -> None:
    reply = client.open("/", method=method, headers={HEADER: AT.isoformat()})
    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")
    if method != "HEAD":
        assert "POST" in said(reply)["reason"]
    assert list(state(world).scan("ticks")) == []


def test_a_repeated_request_gets_the_same_answer_and_does_nothing(client: Any, world: Environ) -> None:
    first = client.post("/", json={"at": AT.isoformat()})
    before = state(world).read([book_key("btc")])
    again = client.post("/", json={"at": (AT + timedelta(minutes=20)).isoformat()})
    assert (again.status_code, said(again)) == (200, said(first))
    assert state(world).read([book_key("btc")]) == before


def test_a_book_that_another_invocation_holds_is_busy(client: Any, world: Environ) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    state(world).commit([Write(book_key("btc"), {"lease": {"token": 1, "owner": "x", "bar": AT, "until": until}})])
    reply = client.post("/", json={"at": AT.isoformat()})
    assert (reply.status_code, said(reply)["outcome"]) == (503, "busy")
    assert "holds this book until" in said(reply)["reason"]


def test_a_state_file_that_is_none_is_a_failure_and_the_next_request_goes_on(tmp_path: Path) -> None:
    environ = of_files(tmp_path)
    path = Path(environ["HOURHAND__STATE__PATH"])
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with function(environ) as client:
        reply = client.post("/", json={"at": AT.isoformat()})
        assert (reply.status_code, said(reply)["outcome"], said(reply)["book"]) == (500, "failed", "btc")
        assert str(path) in said(reply)["reason"]
        assert "not a SQLite database: move it away" in said(reply)["reason"]
        path.unlink()
        assert client.post("/", json={"at": AT.isoformat()}).status_code == 200


def test_a_state_store_that_does_not_answer_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        cloud = {
            "HOURHAND__STATE__BACKEND": "firestore",
            "GOOGLE_CLOUD_PROJECT": "nobody",
            "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{taken.getsockname()[1]}",
        }
        with function(of_files(tmp_path, **cloud)) as client:
            reply = client.post("/", json={"at": AT.isoformat()})
    assert (reply.status_code, said(reply)["outcome"]) == (500, "failed")
    assert "Firestore" in said(reply)["reason"]


def test_damaged_state_is_a_failure_that_names_the_document(client: Any, world: Environ) -> None:
    state(world).commit([Write(book_key("btc"), {"state": {"holding": "all of it"}})])
    reply = client.post("/", json={"at": AT.isoformat()})
    assert (reply.status_code, said(reply)["outcome"]) == (500, "failed")
    assert "books/btc" in said(reply)["reason"]


TWO = {"HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/USDT"}, {id = "eth", symbol = "BTC/USDT"}]'}


def test_without_a_book_every_book_ticks_and_the_worst_is_the_answer(tmp_path: Path) -> None:
    environ = with_model(of_files(tmp_path, **TWO))
    until = datetime.now(UTC) + timedelta(minutes=5)
    state(environ).commit([Write(book_key("eth"), {"lease": {"token": 1, "owner": "x", "bar": AT, "until": until}})])
    with function(environ) as client:
        reply = client.post("/", json={"at": AT.isoformat()})
        assert (reply.status_code, said(reply)["outcome"], said(reply)["book"]) == (503, "busy", "eth")
        assert [answer["book"] for answer in said(reply)["books"]] == ["btc", "eth"]
        state(environ).commit([Write(book_key("eth"), {"state": {"holding": 1}})])
        assert client.post("/", json={"at": AT.isoformat()}).status_code == 500
        state(environ).commit([Write(book_key("eth"), None)])
        reply = client.post("/", json={"at": AT.isoformat()})
        assert (reply.status_code, [answer["reason"] for answer in said(reply)["books"]][1]) == (200, "model_missing")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"HOURHAND__POLICY__TRESHOLD": "0.1"}, ("HOURHAND__POLICY__TRESHOLD", "did you mean threshold?")),
        ({"HOURHAND_CONFIG": "/nowhere/x.toml"}, ("/nowhere/x.toml", "HOURHAND_CONFIG")),
        (
            {"HOURHAND__EXCHANGE__MODE": "live", "HOURHAND__TRAINING__PUBLISH_ANYWAY": "false"},
            ("mode = live", "set source = venue"),
        ),
    ],
)
def test_settings_that_cannot_be_used_are_told_and_tried_again(
    tmp_path: Path, wrong: dict[str, str], words: tuple[str, ...]
) -> None:
    with function(of_files(tmp_path) | wrong) as client:
        for _ in range(2):
            reply = client.post("/", json={"at": AT.isoformat()})
            assert (reply.status_code, said(reply)["outcome"]) == (500, "failed")
            assert [word for word in words if word not in said(reply)["reason"]] == []
        os.environ.update(of_files(tmp_path))
        for name in wrong.keys() - of_files(tmp_path).keys():
            del os.environ[name]
        assert client.post("/", json={"at": AT.isoformat()}).status_code == 200


def test_a_state_folder_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with function(of_files(tmp_path, HOURHAND__STATE__PATH=str(tmp_path / "file" / "state.db"))) as client:
        reply = client.post("/", json={"at": AT.isoformat()})
        assert (reply.status_code, said(reply)["outcome"]) == (500, "failed")
        assert "set another path" in said(reply)["reason"]
        (tmp_path / "file").unlink()
        assert client.post("/", json={"at": AT.isoformat()}).status_code == 200


def test_no_answer_and_no_log_holds_a_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    environ = settings(
        tmp_path,
        VENUE_API_SECRET=SECRET,
        HOURHAND__MARKET__SOURCE="venue",
        HOURHAND__VENUE__URLS=f'{{public = "http://127.0.0.1:1/{SECRET}"}}',
    )
    with function(environ) as client:
        reply = client.post("/", json={"at": AT.isoformat()})
        assert said(reply)["reason"] == "market_unavailable"
        for body in (f'{{"book": "{SECRET}"}}', f'{{"{SECRET}": 1}}'):
            assert SECRET not in client.post("/", data=body).text
    log = "".join(capfd.readouterr())
    assert '"severity"' in log
    assert "[redacted]" in reply.text
    assert SECRET not in reply.text + log


def test_train_publishes_and_a_file_with_text_in_a_number_is_refused_by_name(tmp_path: Path) -> None:
    environ = of_files(tmp_path)
    with function(environ, "train") as client:
        reply = client.post("/", json={"at": closed(1500).isoformat()})
        assert (reply.status_code, said(reply)["outcome"]) == (200, "published")
    text = tmp_path / "text.csv"
    text.write_text("timestamp,open,high,low,close,volume\n2024-01-01T00:00:00Z,1,2,1,about two,3\n")
    with function(environ | {"HOURHAND__MARKET__PATH": str(text)}, "train") as client:
        reply = client.post("/", json={"at": closed(1500).isoformat()})
    assert (reply.status_code, said(reply)["outcome"]) == (500, "failed")
    assert "text.csv" in said(reply)["reason"]
    assert "about two" in said(reply)["reason"]


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that metrics are made of, since the last call, as the cloud gets them."""
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == LOGGER]


def test_each_answer_is_one_line_of_the_log_and_a_repeated_one_says_so(
    client: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = said(client.post("/", json={"at": AT.isoformat()}))
    (line,) = told(capfd)
    assert {name: line[name] for name in ("event", "severity", "message")} == {
        "event": "tick", "severity": "INFO", "message": "tick",
    }  # fmt: skip
    assert {name: line[name] for name in ("book", "bar", "outcome", "reason", "action", "mode", "model")} == {
        name: answer[name] for name in ("book", "bar", "outcome", "reason", "action", "mode", "model")
    }
    assert (line["equity"], line["position"]) == (float(answer["equity"]), float(answer["position"]))
    assert 0 < line["seconds"] < line["limit_s"] == 120
    assert set(line) <= {*FIELDS["tick"], "severity", "message", "logger", "time"}
    assert said(client.post("/", json={"at": AT.isoformat()})) == answer
    (line,) = told(capfd)
    assert (line["event"], line["book"], line["bar"], line["outcome"]) == ("tick", "btc", answer["bar"], "repeated")
    assert "equity" not in line


def test_a_call_that_was_not_served_is_a_line_too(
    client: Any, world: Environ, capfd: pytest.CaptureFixture[str]
) -> None:
    client.post("/", json={"at": "2099-05-01T13:00:05Z"})
    (line,) = told(capfd)
    assert (line["outcome"], line["book"], "bar" in line) == ("bad_request", "", False)
    state(world).commit([Write(book_key("btc"), {"state": {"holding": "all of it"}})])
    client.post("/", json={"at": AT.isoformat()})
    (line,) = told(capfd)
    assert (line["outcome"], line["book"], "equity" in line) == ("failed", "btc", False)
    assert "books/btc" in line["reason"]


def test_each_of_several_books_has_its_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with function(with_model(of_files(tmp_path, **TWO))) as client:
        client.post("/", json={"at": AT.isoformat()})
        first, second = told(capfd)
        assert [(line["book"], line["event"]) for line in (first, second)] == [("btc", "tick"), ("eth", "tick")]
        assert "model" in first and "model" not in second
    with function(of_files(tmp_path, **TWO), "guard") as client:
        client.post("/", json={"at": AT.isoformat()})
        assert [(line["book"], line["event"], line["limit_s"]) for line in told(capfd)] == [
            ("btc", "guard", 120),
            ("eth", "guard", 120),
        ]


def test_a_function_of_the_whole_deployment_has_one_line(world: Environ, capfd: pytest.CaptureFixture[str]) -> None:
    with function(world, "status") as client:
        client.post("/")
    (line,) = told(capfd)
    assert (line["event"], line["book"], line["outcome"], "limit_s" in line) == ("status", "", "done", False)


def test_settings_that_cannot_be_used_are_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with function(of_files(tmp_path, HOURHAND__POLICY__TRESHOLD="0.1")) as client:
        client.post("/", json={"at": AT.isoformat()})
    (line,) = told(capfd)
    assert (line["event"], line["outcome"]) == ("tick", "failed")


LIGHT = """
import sys
from functions_framework import create_app
reply = create_app("tick", "main.py").test_client().post("/", json={"at": "2024-05-01T13:00:05Z"})
assert reply.status_code == 200, reply.text
heavy = {"ccxt", "lightgbm", "pandas", "pyarrow", "scipy", "sklearn", "talib", "xgboost", "yfinance"}
sys.exit(", ".join(sorted(heavy & sys.modules.keys())) or 0)
"""


def test_a_whole_tick_imports_no_heavy_library(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=ROOT, env=settings(tmp_path), capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_process_of_the_runtime_serves_ticks_and_logs_for_the_cloud(world: Environ, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "functions_framework", "--source", str(MAIN), "--target", "tick"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=world, stdout=output, stderr=output
        )
    try:
        reply = _patient_post(port, {"book": "btc", "at": AT.isoformat()})
    finally:
        process.terminate()
        process.wait(30)
    assert reply.status == 200
    assert reply.json()["bar"] == bar_of(AT)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["logger"] == LOGGER]
    assert (line["severity"], line["message"], line["event"], line["book"]) == ("INFO", "tick", "tick", "btc")
    assert line["explanation"] == reply.json()["explanation"]


def _patient_post(port: int, body: dict[str, str]) -> urllib3.BaseHTTPResponse:
    for _ in range(600):
        try:
            return urllib3.request("POST", f"http://127.0.0.1:{port}/", json=body, retries=False, timeout=60)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the function did not start")


def test_the_bars_of_these_tests_are_in_the_past() -> None:
    assert drawn().time[-1] < time.time()
