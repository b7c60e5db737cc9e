"""The demo: train, walk through days of ticks by the real function over HTTP, and tell what happened."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.cli import Failed, WrongUse
from core.cli.operate import Answer
from core.cli.research import progress
from core.cli.story import summary, written
from core.domain.bars import Bars, moment, seconds
from core.domain.state import Book
from core.flows.train import Progress, train
from core.wiring import App, app

if TYPE_CHECKING:
    from urllib3 import PoolManager

ROOT = Path(__file__).parents[2]
SIMULATED_UNTIL = datetime(2025, 1, 1, tzinfo=UTC)
AFTER_CLOSE = timedelta(seconds=5)
START_S = 60
POSTS = 20  # tries of one tick
LOG = "tick.log"
DEMO = ROOT / "config" / "demo.toml"


def demo(arguments: Namespace) -> Answer:
    out: Path = arguments.out
    if not arguments.bars and (arguments.vix or arguments.symbol):
        raise WrongUse("--vix and --symbol say what belongs to bars of your own: give them with --bars")
    environ = {**os.environ, **_settings(arguments)}
    opened = app(arguments.config or DEMO, environ)
    book = opened.books[0]
    since, until = _span(arguments, opened, book)
    if since >= until:
        raise WrongUse(f"nothing lies between {since.isoformat()} and {until.isoformat()}: correct --from or --to")
    _cleared(out)
    with progress(arguments.json) as show:
        trained = train(opened.world(book.id), book, opened.plan(), since, show)
        if trained["outcome"] != "published":
            raise Failed(f"no model could be trained up to {since:%Y-%m-%d}: {trained['reason']}")
        bars = opened.world(book.id).market.bars(since, until)
        if not len(bars):
            raise Failed(f"there are no bars between {since.isoformat()} and {until.isoformat()}")
        with _function(environ, out / LOG) as url:
            _walk(url, book, bars, show)
    page, document = written(opened, book, bars, trained, out / "report.html")
    return document, summary(document, page)


def _cleared(out: Path) -> None:
    """Removes what an earlier demo left, for the same run again must not go on from its state; and nothing else.

    Raises Failed. Every demo begins with the file `tick.log`: state and models without it are somebody's own.
    """
    state, models, log = out / "state.db", out / "models" / "models", out / LOG
    if (state.exists() or models.exists()) and not log.exists():
        raise Failed(f"{out} holds a state or models that no demo made: give another folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        log.touch()
        for path in (state, out / "state.db-wal", out / "state.db-shm", out / "report.html"):
            path.unlink(missing_ok=True)
        if models.exists():
            shutil.rmtree(models)
    except OSError as failure:
        raise Failed(f"{out}: cannot be written ({failure.strerror}): give another folder with --out") from None


def _settings(arguments: Namespace) -> dict[str, str]:
    """What the demo's options mean, as settings: the function's process reads the same."""
    out = arguments.out.resolve()
    settings = {
        "HOURHAND_CONFIG": str(arguments.config or DEMO),
        "HOURHAND__STATE__BACKEND": "sqlite",  # whatever the environment says: a demo touches nobody's state
        "HOURHAND__STATE__PATH": str(out / "state.db"),
        "HOURHAND__MODELS__BACKEND": "dir",
        "HOURHAND__MODELS__PATH": str(out / "models"),
        "HOURHAND__TICK__MAX_LATENESS_S": "0",  # it walks through the past
    }
    features = arguments.features or ("vix53" if arguments.vix or not arguments.bars else "core12")
    settings["HOURHAND__FEATURES__SET"] = features
    if arguments.bars:
        book = f'[{{ id = "demo", symbol = "{arguments.symbol or "BTC/USDT"}", timeframe = "1h" }}]'
        settings |= {
            "HOURHAND__MARKET__SOURCE": "files",
            "HOURHAND__MARKET__PATH": str(arguments.bars.resolve()),
            "HOURHAND__VIX__SOURCES": '["file"]' if arguments.vix else "[]",
            "HOURHAND__VIX__PATH": str(arguments.vix.resolve()) if arguments.vix else "",
            "HOURHAND__BOOKS": book,
        }
    return settings


def _span(arguments: Namespace, opened: App, book: Book) -> tuple[datetime, datetime]:
    days = timedelta(days=arguments.days)
    if arguments.since:
        return arguments.since, arguments.until or arguments.since + days
    of_files = opened.settings.market.source == "files"
    until = arguments.until or (_end_of_file(opened, book) if of_files else SIMULATED_UNTIL)
    return until - days, until


def _end_of_file(opened: App, book: Book) -> datetime:
    everything = opened.world(book.id).market.bars(datetime(2009, 1, 3, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    if not len(everything):
        raise Failed("the file of bars is empty")
    return moment(everything.time[-1]) + timedelta(seconds=seconds(book.timeframe))


@contextmanager
def _function(environ: Mapping[str, str], log: Path) -> Iterator[str]:
    """The tick function in a process of its own, under functions-framework, as in the cloud."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "functions_framework", "--source", str(ROOT / "main.py"), "--target", "tick"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=dict(environ), stdout=output, stderr=output
        )
        try:
            _await(process, port, log)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"the tick function did not start; its last words are in {log}")


def _walk(url: str, book: Book, bars: Bars, show: Progress) -> None:
    import urllib3

    step = timedelta(seconds=seconds(book.timeframe))
    with urllib3.PoolManager(retries=False, timeout=60.0) as pool:
        for number, opened in enumerate(bars.time):
            at = moment(opened) + step + AFTER_CLOSE
            _post(pool, url, msgspec.json.encode({"book": book.id, "at": at}))
            show("ticks", (number + 1) / len(bars))


def _post(pool: PoolManager, url: str, body: bytes) -> None:
    for _ in range(POSTS):
        reply = pool.request("POST", url, body=body, headers={"Content-Type": "application/json"})
        if reply.status == 200:
            return
        if reply.status != 503:
            break
        time.sleep(0.5)
    raise Failed(
        f"the tick function answered {reply.status} to {body.decode()}: {reply.data.decode(errors='replace')[:500]}"
    )
