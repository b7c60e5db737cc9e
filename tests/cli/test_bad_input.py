"""When the world outside fails a tick: an error or a refusal that names it, nothing half done, and the next goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from core.domain.bars import Bars
from core.flows.tick import tick
from core.wiring import App, app
from tests.adapters.candle_venues import HTML, Answer, Respond, bitbank, loopback
from tests.cli.command import ROOT, closed, of_files, settings, with_model
from tests.road import drawn

VENUE = {"HOURHAND__MARKET__SOURCE": "venue", "HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/JPY"}]'}
SPOILT = {
    "HTML": (200, HTML),
    "an error in HTML": (403, HTML),
    "no JSON": (200, b'{"success": 1, "data": {"candles'),
    "another answer": (200, b'{"success": 1, "data": {"ticker": {"last": "1"}}}'),
    "a code": (200, b'{"success": 0, "data": {"code": 10007}}'),
    "text for a price": (200, None),
}


def served(bars: Bars, spoilt: list[Answer]) -> Respond:
    """bitbank with these bars, or the spoilt answer while there is one."""
    honest = bitbank(bars)
    return lambda path, query: spoilt[0] if spoilt else honest(path, query)


def text_for_a_price(hour: int) -> bytes:
    row = ["about forty", "2", "1", "1.5", "3", hour * 1000]
    data = {"candlestick": [{"type": "1hour", "ohlcv": [row]}], "timestamp": hour * 1000}
    return json.dumps({"success": 1, "data": data}).encode()


def test_a_venue_that_answers_nonsense_is_refused_by_name_and_the_next_tick_goes_on(tmp_path: Path) -> None:
    spoilt: list[Answer] = []
    bars = drawn()
    with loopback(served(bars, spoilt)) as venue:
        environ = settings(tmp_path, **VENUE, HOURHAND__VENUE__URLS=f'{{public = "{venue.url}"}}')
        with_model(environ, symbol="BTC/JPY")
        made: App = app(None, environ)
        for index, kind in enumerate(SPOILT, 1600):
            status, body = SPOILT[kind]
            spoilt[:] = [(status, text_for_a_price(int(bars.time[index])) if body is None else body)]
            said = tick(made.world("btc"), made.book("btc"), closed(index))
            assert (said["outcome"], said["orders"]) == ("refused", []), kind
            assert said["reason"] in ("market_unavailable", "not_numeric"), kind
            assert venue.url in said["explanation"] or "bitbank" in said["explanation"], kind
        spoilt.clear()
        said = tick(made.world("btc"), made.book("btc"), closed(1600 + len(SPOILT)))
    assert said["outcome"] in ("traded", "stayed_out"), said["explanation"]


FULL = """
import os, resource, sys
from datetime import datetime
from core.flows.tick import tick
from core.ports import Unavailable
from core.settings import load
from core.wiring import App
from tests.fakes import FixedClock


app = App(load(None, os.environ), clock=FixedClock(datetime.fromisoformat(sys.argv[1])))
book, at = app.books[0], datetime.fromisoformat(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
failures = []
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        tick(app.world(book.id), book, at)
    except Unavailable as failure:
        failures.append(str(failure))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not list(app.state.scan("ticks")), "half done"
    app.clock.sleep(app.settings.tick.lease_s + 1)  # a book that could not be given back is free by then
print(len(failures), "|".join(failures), tick(app.world(book.id), book, at)["outcome"], sep="|")
"""


def test_on_a_full_disk_nothing_is_half_done_and_the_same_tick_succeeds_afterwards(tmp_path: Path) -> None:
    environ = with_model(of_files(tmp_path))
    limits = ("1", "4200", "12400", "24800", "40000")
    run = subprocess.run(
        [sys.executable, "-c", FULL, closed(1600).isoformat(), closed(1600).isoformat(), *limits],
        cwd=ROOT, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    count, *sentences, outcome = run.stdout.strip().split("|")
    assert int(count) == len(limits) == len(sentences)
    assert all(str(tmp_path / "state.db") in said and "the disk is full" in said for said in sentences), sentences
    assert outcome in ("traded", "stayed_out")
