"""Wiring: the settings choose the adapters, and what cannot be bound is told before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.ports import Unavailable
from core.settings import SettingsError
from core.wiring import App, BadTime, app
from tests.cli.command import settings
from tests.fakes import FixedClock

NOW = datetime(2024, 5, 1, 13, 0, 5, tzinfo=UTC)
VENUE = {"HOURHAND__MARKET__SOURCE": "venue"}


def wired(folder: Path, **more: str) -> App:
    return app(None, settings(folder, **more))


@pytest.mark.parametrize(
    ("chosen", "market"),
    [
        ({}, "SimulatedMarket"),
        ({"HOURHAND__MARKET__SOURCE": "files", "HOURHAND__MARKET__PATH": "bars.csv"}, "FilesMarket"),
        (VENUE, "BitbankMarket"),
        ({**VENUE, "HOURHAND__VENUE__ID": "bybit"}, "CcxtMarket"),
    ],
)
def test_the_settings_choose_the_market(tmp_path: Path, chosen: dict[str, str], market: str) -> None:
    world = wired(tmp_path, **chosen).world("demo")
    assert type(world.market).__name__ == market
    assert (world.history is not None) == (market in ("BitbankMarket", "CcxtMarket"))


def test_the_settings_choose_where_things_are_kept_and_whom_to_ask_for_the_vix(tmp_path: Path) -> None:
    cloud = {
        "HOURHAND__STATE__BACKEND": "firestore",
        "HOURHAND__STATE__PROJECT": "nobody",
        "HOURHAND__MODELS__BACKEND": "gcs",
        "HOURHAND__MODELS__BUCKET": "nothing",
        "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
    }
    chosen = {"HOURHAND__VIX__SOURCES": '["cboe", "yfinance", "file", "simulated"]', "HOURHAND__VIX__PATH": "vix.csv"}
    here, there = wired(tmp_path, **chosen).world("demo"), wired(tmp_path, **cloud).world("demo")
    assert [type(port).__name__ for port in (here.state, here.models)] == ["SqliteState", "DirModels"]
    assert [type(port).__name__ for port in (there.state, there.models)] == ["FirestoreState", "GcsModels"]
    assert [name for name, _ in here.vix] == ["cboe", "yfinance", "file", "simulated"]
    assert [type(source).__name__ for _, source in here.vix] == ["CboeVix", "YfinanceVix", "FileVix", "SimulatedVix"]


def test_history_and_backups_are_kept_where_the_trading_function_may_not_write(tmp_path: Path) -> None:
    cloud = {"HOURHAND__MODELS__BACKEND": "gcs", "HOURHAND__MODELS__BUCKET": "models", "STORAGE_EMULATOR_HOST": "x:1"}
    apart = wired(tmp_path, **cloud, HOURHAND__MODELS__HISTORY_BUCKET="history")
    together, here = wired(tmp_path, **cloud), wired(tmp_path)
    assert type(apart.archive).__name__ == "GcsModels"
    assert apart.archive is not apart.models
    assert together.archive is together.models
    assert here.archive is here.models
    assert (here.platform, together.platform) == (None, None)


def test_a_books_ports_are_made_once_and_books_share_their_state(tmp_path: Path) -> None:
    made = wired(tmp_path, HOURHAND__BOOKS='[{id = "a", symbol = "BTC/JPY"}, {id = "b", symbol = "ETH/JPY"}]')
    assert made.world("a") is made.world("a")
    assert made.world("a").state is made.world("b").state
    since, until = NOW - timedelta(hours=3), NOW
    first, second = (made.world(book).market.bars(since, until) for book in "ab")
    assert first.close.tolist() != second.close.tolist(), "two symbols have one history"


LIVE = {
    **VENUE,
    "HOURHAND__EXCHANGE__MODE": "live",
    "HOURHAND__TRAINING__PUBLISH_ANYWAY": "false",
    "HOURHAND__VIX__SOURCES": '["cboe"]',
}


KEYS = dict.fromkeys(("VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD"), "not-a-key")


@pytest.mark.parametrize(
    ("venue", "symbol", "exchange"),
    [("bitbank", "BTC/JPY", "BitbankExchange"), ("bybit", "BTC/USDT:USDT", "CcxtExchange")],
)
def test_live_orders_go_to_the_venue(tmp_path: Path, venue: str, symbol: str, exchange: str) -> None:
    books = f'[{{id = "one", symbol = "{symbol}"}}]'
    made = wired(tmp_path, **LIVE, **KEYS, HOURHAND__VENUE__ID=venue, HOURHAND__BOOKS=books)
    assert type(made.world("one").exchange).__name__ == exchange


def test_what_does_not_trade_asks_for_no_key_and_can_do_nothing_at_the_venue(tmp_path: Path) -> None:
    world = wired(tmp_path, **LIVE).world("demo", trading=False)
    assert type(world.market).__name__ == "BitbankMarket"
    for verb in ("traits", "look", "submit", "cancel", "calls", "vet"):
        with pytest.raises(Unavailable, match="does not trade"):
            getattr(world.exchange, verb)


def test_live_without_keys_is_refused_and_says_what_to_set(tmp_path: Path) -> None:
    made = wired(tmp_path, **LIVE, VENUE_API_KEY="", HOURHAND__BOOKS='[{id = "one", symbol = "BTC/JPY"}]')
    with pytest.raises(SettingsError, match="VENUE_API_KEY"):
        made.world("one")


def test_a_book_that_may_go_short_where_the_venue_cannot_is_refused(tmp_path: Path) -> None:
    books = '[{id = "one", symbol = "BTC/JPY"}]'
    made = wired(tmp_path, **LIVE, **KEYS, HOURHAND__EXCHANGE__MARGIN="false", HOURHAND__BOOKS=books)
    with pytest.raises(SettingsError, match="set short = false"):
        made.world("one")


def test_a_market_that_the_venue_cannot_have_is_refused_by_the_book(tmp_path: Path) -> None:
    books = '[{id = "two", symbol = "BTC/JPY", timeframe = "2h"}]'
    with pytest.raises(SettingsError, match=r"book two: bitbank has no 2h candles; it has 1m"):
        wired(tmp_path, **VENUE, HOURHAND__BOOKS=books).world("two")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("STATE", "MODELS"):
        path = str(tmp_path / "file" / "inside" / "x")
        with pytest.raises(SettingsError, match=r"file/inside: cannot be made .*set another path"):
            wired(tmp_path, **{f"HOURHAND__{name}__PATH": path}).world("demo")


def test_a_time_to_run_for_is_now_or_in_the_past(tmp_path: Path) -> None:
    made = App(wired(tmp_path).settings, clock=FixedClock(NOW))
    assert made.time(None) == NOW
    assert made.time(NOW - timedelta(days=400)) == NOW - timedelta(days=400)
    assert made.time(NOW + timedelta(seconds=59)) == NOW + timedelta(seconds=59)
    for wrong in (NOW + timedelta(seconds=61), datetime(2008, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(BadTime, match=r"is no time to run for: give one from 2009-01-03 on"):
            made.time(wrong)


def test_a_function_that_starts_says_what_deserves_a_second_look(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from core.wiring import app_of_function; app_of_function()"]
    said = {
        sources: subprocess.run(
            command,
            env={**os.environ, **settings(tmp_path, HOURHAND__VIX__SOURCES=sources)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for sources in ("[]", '["simulated"]')
    }
    assert "VIX unknown" in said["[]"]
    assert said['["simulated"]'] == ""
