"""hourhand demo: from nothing to a report, on the simulated market and on bars of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Environ, hourhand, settings
from tests.road import DATA, PERP, real

SPOILT = {  # what a demo must not listen to: it would write to somebody's state
    "HOURHAND__STATE__BACKEND": "firestore",
    "HOURHAND__MODELS__BACKEND": "gcs",
    "HOURHAND__MODELS__BUCKET": "somebodys",
    "GOOGLE_CLOUD_PROJECT": "somebodys",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
    "HOURHAND__TICK__MAX_LATENESS_S": "900",
}


def test_the_demo_trains_walks_and_reports_and_does_the_same_again(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    first = hourhand(settings(tmp_path, **SPOILT), "demo", "--days", "2", "--out", out, "--json")
    assert (first.code, first.err) == (0, "")
    document = first.document
    assert {"outcome": "done", "book": "demo", "ticks": 48, "refused": 0}.items() <= document.items()
    page = (out / "report.html").read_text()
    assert document["report"] == str(out / "report.html")
    assert "The prices are simulated" in page
    (out / "mine.txt").write_text("kept")
    again = hourhand(settings(tmp_path), "demo", "--days", "2", "--out", out)
    assert again.code == 0
    assert "48 ticks through the function" in again.out
    assert document["last"] in again.out, "the same demo came out differently"
    assert (out / "mine.txt").read_text() == "kept"


def test_the_demo_runs_on_bars_of_ones_own(tmp_path: Path) -> None:
    arguments = ("--bars", real(PERP), "--vix", real(DATA / "macro" / "vix_daily.parquet"), "--out", tmp_path / "own")
    span = ("--from", "2024-01-01", "--to", "2024-01-03")
    environ = settings(tmp_path, HOURHAND__TRAINING__HISTORY_DAYS="90")
    ran = hourhand(environ, "demo", *arguments, *span, "--json")
    assert (ran.code, ran.document["ticks"], ran.document["refused"]) == (0, 48, 0)
    assert "bar of 2024-01-02 23:00 UTC" in ran.document["last"]
    page = (tmp_path / "own" / "report.html").read_text()
    assert "BTC/USDT" in page
    assert "vix53" in page
    assert "The prices are simulated" not in page


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    return settings(tmp_path)


@pytest.mark.parametrize("own", ["state.db", "models/models/btc/v1/manifest.json"])
def test_the_demo_removes_nothing_that_no_demo_made(tmp_path: Path, environ: Environ, own: str) -> None:
    mine = tmp_path / "var" / own
    mine.parent.mkdir(parents=True)
    mine.write_text("months of paper trading")
    ran = hourhand(environ, "demo", "--out", tmp_path / "var")
    assert (ran.code, "give another folder with --out" in ran.err) == (1, True)
    assert mine.read_text() == "months of paper trading"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, environ: Environ) -> None:
    (tmp_path / "file").touch()
    ran = hourhand(environ, "demo", "--out", tmp_path / "file")
    assert (ran.code, ran.out) == (1, "")
    assert f"{tmp_path}/file: cannot be written" in ran.err


def test_without_a_model_the_demo_says_why(tmp_path: Path) -> None:
    ran = hourhand(settings(tmp_path, HOURHAND__TRAINING__PUBLISH_ANYWAY="false"), "demo", "--out", tmp_path / "out")
    assert (ran.code, ran.out) == (1, "")
    assert "no model could be trained up to 2024-12-02: " in ran.err
