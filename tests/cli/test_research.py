"""hourhand download and train: a past that is fetched once, and models that are published or refused aloud."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.adapters.files_market import to_parquet
from tests.adapters.candle_venues import HTML, always, bitbank, loopback, walk, without
from tests.cli.command import Environ, closed, hourhand, of_files, settings, with_model
from tests.road import drawn

DAYS = 3


def venue(folder: Path, url: str) -> Environ:
    return settings(folder, HOURHAND__MARKET__SOURCE="venue", HOURHAND__VENUE__URLS=f'{{public = "{url}"}}')


def test_download_keeps_the_past_and_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    hour = int(datetime.now(UTC).timestamp()) // 3600
    bars = without(walk(24 * (DAYS + 2), datetime.fromtimestamp((hour - 24 * (DAYS + 2)) * 3600, UTC)), 90, 92)
    with loopback(bitbank(bars)) as served:
        ran = hourhand(venue(tmp_path, served.url), "download", "--days", str(DAYS), "--json")
        assert (ran.code, ran.err) == (0, "")
        (told,) = ran.document["books"]
        asked = len(served.asked)
        again = hourhand(venue(tmp_path, served.url), "download", "--days", str(DAYS))
    assert told["book"] == "demo"
    assert (told["bars"], told["gaps"]) in [(24 * DAYS - 2, 1), (24 * DAYS - 3, 1)]  # an hour may end meanwhile
    assert list((tmp_path / "models").rglob("*.parquet"))
    assert len(served.asked) - asked < asked, "everything was asked for again"
    assert re.fullmatch(r"demo: \d+ bars from 2\S+ to 2\S+, 1 gaps\n", again.out)


def test_a_venue_that_answers_nonsense_is_told(tmp_path: Path) -> None:
    with loopback(always(200, HTML)) as served:
        ran = hourhand(venue(tmp_path, served.url), "download", "--days", "2")
        assert (ran.code, ran.out) == (1, "")
        assert served.url in ran.err
    assert "is this bitbank?" in ran.err


def test_training_publishes_or_refuses_aloud(tmp_path: Path) -> None:
    environ, at = of_files(tmp_path), closed(1500).isoformat()
    ran = hourhand(environ, "train", "--at", at)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("btc: published as 20240303T1300-")
    assert "newest rows that it had not seen" in ran.out
    live = hourhand(environ, "status", "--json").document["books"][0]["model"]
    strict = environ | {"HOURHAND__TRAINING__PUBLISH_ANYWAY": "false", "HOURHAND__GATE__ROWS": "5000"}
    refused = hourhand(strict, "train", "--at", at, "--json")
    assert (refused.code, refused.document["outcome"]) == (0, "refused")
    assert "5000 are needed" in refused.document["reason"]
    assert hourhand(environ, "status", "--json").document["books"][0]["model"] == live


def test_too_short_a_past_is_refused_with_its_reason(tmp_path: Path) -> None:
    environ = of_files(tmp_path)
    Path(environ["HOURHAND__MARKET__PATH"]).write_bytes(to_parquet(drawn()[:200]))
    ran = hourhand(environ, "train", "--at", closed(199).isoformat(), "--json")
    assert (ran.code, ran.document["outcome"]) == (0, "refused")
    assert "200 bars of history are too few: one row of core12 takes" in ran.document["reason"]


TEXT = "timestamp,open,high,low,close,volume\n2024-01-01T00:00:00Z,1,2,1,about two,3\n"
FILES = {
    "missing": ("bars.csv", None, "there is no such file; check the path"),
    "with text": ("bars.csv", TEXT.encode(), "about two"),
    "truncated": ("bars.parquet", to_parquet(drawn()[:300])[:-700], "is no whole parquet file"),
    "empty": ("bars.csv", b"", "is empty; download it again"),
    "of another kind": ("bars.xlsx", b"PK", "is none of .parquet, .csv, .csv.gz"),
    "without a column": ("bars.csv", TEXT.replace("close", "shut").encode(), "close"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("command", ["train", "demo"])
def test_a_file_of_bars_that_cannot_be_used_is_told_by_name(tmp_path: Path, command: str, kind: str) -> None:
    name, data, words = FILES[kind]
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    environ = of_files(tmp_path, HOURHAND__MARKET__PATH=str(path))
    if name == "bars.parquet" and data is not None:
        path.write_bytes(data)
    more = ("--bars", path, "--out", tmp_path / "out") if command == "demo" else ("--at", "2024-02-01")
    ran = hourhand(environ, command, *more)
    assert (ran.code, ran.out) == (1, "")
    assert name in ran.err
    assert words in ran.err
    assert len(ran.err) < 600


def test_a_tick_on_such_a_file_is_refused_by_name_and_the_next_one_goes_on(tmp_path: Path) -> None:
    environ = with_model(of_files(tmp_path))
    text = tmp_path / "text.csv"
    text.write_text(TEXT)
    broken = hourhand(environ | {"HOURHAND__MARKET__PATH": str(text)}, "tick", "--at", str(closed(1600)), "--json")
    assert (broken.code, broken.document["outcome"]) == (0, "refused")
    assert "text.csv" in broken.document["explanation"]
    next_one = hourhand(environ, "tick", "--at", str(closed(1601)), "--json").document
    assert next_one["outcome"] in ("traded", "stayed_out")
