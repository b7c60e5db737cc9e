"""hourhand serve: the functions on one port, what its scheduler runs when, and that it stops when told."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import urllib3

from core.cli.serve import _call, jobs
from core.domain.state import opening
from core.flows.claim import book_key, plain
from core.ports import Write
from core.wiring import App, app
from tests.adapters.candle_venues import always, loopback
from tests.cli.command import ROOT, closed, hourhand, of_files, settings, with_model
from tests.cli.test_check import LIVE, ONE

# A process that a shell started in its background is born deaf to SIGINT.
CODE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
CODE += "from core.cli import main; raise SystemExit(main())"
AT = closed(1600)


@contextmanager
def serving(environ: dict[str, str], *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "serve", "--port", "0", *more],
        cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        found = re.search(r"http://[\d.]+:\d+", process.stderr.readline())
        assert found, process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.wait()


def test_it_serves_the_functions_and_stops_when_told(tmp_path: Path) -> None:
    with serving(with_model(of_files(tmp_path)), "--json") as (process, url):
        ticked = urllib3.request(
            "POST", f"{url}/tick", json={"at": AT.isoformat()}, redirect=False, retries=False, timeout=60
        )
        assert (ticked.status, ticked.json()["book"]) == (200, "btc")
        assert (
            urllib3.request("POST", f"{url}/train", body=b"{", redirect=False, retries=False, timeout=60).status == 400
        )
        stands = urllib3.request("POST", f"{url}/status", retries=False, timeout=60).json()
        assert [book["id"] for book in stands["books"]] == ["btc"]
        assert urllib3.request("GET", f"{url}/tick", retries=False, timeout=60).status == 405
        nowhere = urllib3.request("POST", f"{url}/nowhere", retries=False, timeout=60)
        assert (nowhere.status, b"/tick, /guard, /train, /cleanup, /alert, /status" in nowhere.data) == (404, True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out) == {"outcome": "done"}, "stdout holds more than the command's own answer"
    assert "Traceback" not in err


def test_its_own_call_reaches_the_function_and_tells_what_it_answered(tmp_path: Path, capfd) -> None:
    with serving(with_model(of_files(tmp_path))) as (_, url):
        _call(f"{url}/tick", "btc", AT)
    assert f"btc: BTC/USDT, bar of {AT - timedelta(hours=1):%Y-%m-%d %H}:00 UTC:" in capfd.readouterr().err


def test_an_answer_that_is_none_and_no_answer_are_told(capfd) -> None:
    with loopback(always(200, b"<html>")) as venue:
        _call(venue.url, "btc", AT)  # that server knows no POST: 501, in HTML
    assert "btc: HTTP 501, and not an answer of ours" in capfd.readouterr().err
    _call("http://127.0.0.1:1/tick", "btc", AT)
    assert "http://127.0.0.1:1/tick" in capfd.readouterr().err


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = hourhand(settings(tmp_path), "serve", "--port", str(taken.getsockname()[1]))
    assert (ran.code, "give another one with --port" in ran.err) == (1, True)


def test_live_does_not_start_on_no_go_but_a_book_that_has_begun_is_never_kept_from_its_exits(tmp_path: Path) -> None:
    keys = {"VENUE_API_KEY": "k" * 12, "VENUE_API_SECRET": "s" * 12}
    environ = {**settings(tmp_path, **ONE, **LIVE), **keys}
    ran = hourhand(environ, "serve", "--port", "0")
    assert ran.code == 1
    assert "NO-GO, so live does not start (btc, keys: " in ran.err
    assert "model: no model is live for btc" in ran.err
    made = app(None, environ)
    begun = msgspec.structs.replace(opening(made.books[0]), bar=AT)
    made.state.commit([Write(book_key("btc"), {"state": plain(begun)})])
    assert made.no_go() == []


BOOKS = '[{id = "h", symbol = "BTC/JPY"}, {id = "q", symbol = "BTC/JPY", timeframe = "15m"}]'


def scheduled(folder: Path, now: datetime, count: int, **more: str) -> list[tuple[datetime, str, str]]:
    """The next ticks and trainings."""
    made: App = app(None, settings(folder, **more))
    return list(islice((job for job in jobs(made, now) if job[1] in ("/tick", "/train")), count))


def test_each_book_ticks_seconds_after_each_of_its_closes(tmp_path: Path) -> None:
    now = datetime(2024, 5, 1, 12, 40, tzinfo=UTC)
    found = [(f"{due:%H:%M:%S}", path, book) for due, path, book in scheduled(tmp_path, now, 5, HOURHAND__BOOKS=BOOKS)]
    quarters = [(time, "/tick", "q") for time in ("12:45:05", "13:00:05", "13:15:05", "13:30:05")]
    assert found == [quarters[0], ("13:00:05", "/tick", "h"), *quarters[1:]]


def test_a_close_whose_seconds_are_not_over_is_still_due(tmp_path: Path) -> None:
    second = datetime(2024, 5, 1, 13, 0, tzinfo=UTC)
    dues = [scheduled(tmp_path, second + timedelta(seconds=s), 1)[0][0] for s in (0, 4, 5, 6)]
    assert [f"{due:%H:%M:%S}" for due in dues] == ["13:00:05", "13:00:05", "14:00:05", "14:00:05"]


def test_guard_and_alerts_run_every_minute_away_from_the_tick(tmp_path: Path) -> None:
    now = datetime(2024, 5, 1, 12, 59, 50, tzinfo=UTC)
    made: App = app(None, settings(tmp_path, HOURHAND__BOOKS=BOOKS))
    found = [(f"{due:%H:%M:%S}", path, book) for due, path, book in islice(jobs(made, now), 6)]
    assert found[:2] == [("13:00:05", "/tick", "h"), ("13:00:05", "/tick", "q")]
    minute = [("13:00:30", "/guard", "h"), ("13:00:30", "/guard", "q"), ("13:00:45", "/alert", "")]
    assert found[2:] == [*minute, ("13:01:30", "/guard", "h")]


def test_every_book_is_trained_on_sunday_morning_and_only_then(tmp_path: Path) -> None:
    found = scheduled(
        tmp_path,
        datetime(2024, 5, 1, 12, 40, tzinfo=UTC),
        24 * 15,
    )
    trainings = [due for due, path, _ in found if path == "/train"]
    assert trainings == [datetime(2024, 5, 5, 9, tzinfo=UTC), datetime(2024, 5, 12, 9, tzinfo=UTC)]
    assert found == sorted(found, key=lambda job: job[0]), "out of order"
    assert len(set(found)) == len(found), "twice"
    exactly = scheduled(tmp_path, datetime(2024, 5, 5, 9, tzinfo=UTC), 24 * 7 + 5)
    assert [due.day for due, path, _ in exactly if path == "/train"] == [12], "at nine itself it is past"


def test_it_cleans_up_on_the_first_sunday_of_a_month_at_two_in_japan(tmp_path: Path) -> None:
    made = app(None, settings(tmp_path))
    sundays = [
        (datetime(2024, 5, 4, 16, 59, tzinfo=UTC), datetime(2024, 5, 4, 17, tzinfo=UTC)),  # Sunday the 5th there
        (datetime(2024, 5, 4, 17, 0, tzinfo=UTC), datetime(2024, 6, 1, 17, tzinfo=UTC)),
        (datetime(2024, 8, 30, tzinfo=UTC), datetime(2024, 8, 31, 17, tzinfo=UTC)),  # Sunday the 1st there
    ]
    for now, due in sundays:
        assert next(job for job in jobs(made, now) if job[1] == "/cleanup") == (due, "/cleanup", ""), now
