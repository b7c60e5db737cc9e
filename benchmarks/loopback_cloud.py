"""A cloud on loopback for the benchmark of costs: emulators and servers, every request to which is put down."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.metered import Asked, counted, upstream
from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.adapters.simulated_market import SimulatedMarket
from core.adapters.simulated_vix import SimulatedVix
from core.domain.bars import Bars, close_time, moment
from core.domain.drift import levels
from core.domain.ensemble import Training, export, fit
from core.domain.features import SETS, compute
from core.domain.forecast import Meta
from core.domain.labels import direction
from core.domain.state import Book
from core.flows import vix, window
from core.ports import Write
from tests.adapters.candle_venues import rows
from tests.emulators import firestore, make_bucket, storage
from tests.processes.passage import Reply, Request
from tests.road import go_live

HOUR = timedelta(hours=1)
DAYS = 760  # of history: two years and a month


class Venue:
    """bitbank's candle files of every pair, made once."""

    def __init__(self, hours: Bars, minutes: Bars) -> None:
        self.files = {**_files(hours, "1hour"), **_files(minutes, "1min")}

    def answer(self, request: Request) -> Reply:
        _, _, kind, file = request.path.strip("/").split("/")
        body = self.files.get((kind, file))
        if body is None:
            return Reply(404, [], b'{"success": 0, "data": {"code": 10000}}')
        return Reply(200, [("Content-Type", "application/json")], body)


def _files(bars: Bars, kind: str) -> dict[tuple[str, str], bytes]:
    days: dict[str, list[list[Any]]] = {}
    for at, text in rows(bars):
        days.setdefault(f"{moment(at):%Y%m%d}", []).append([*text, at * 1000])
    answers = {day: {"candlestick": [{"type": kind, "ohlcv": found}], "timestamp": 0} for day, found in days.items()}
    return {(kind, day): json.dumps({"success": 1, "data": data}).encode() for day, data in answers.items()}


def _discord(request: Request) -> Reply:
    return Reply(200, [("Content-Type", "application/json")], b'{"id": "1", "type": 0}')


@dataclass
class Cloud:
    """Emulators and servers on loopback, every request to which is put down in `asked`."""

    now: datetime
    hours: Bars
    folder: Path
    addresses: dict[str, str]
    asked: list[Asked] = field(default_factory=list)

    def environ(self, books: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOURHAND")}
        config = self.folder / f"books-{books}.toml"
        tables = [f'[[books]]\nid = "b{n:03}"\nsymbol = "{symbol(n)}"\n' for n in range(books)]
        config.write_text('[venue]\nid = "bitbank"\n[exchange]\nmode = "paper"\n' + "\n".join(tables))
        return {
            **kept,
            "HOURHAND_CONFIG": str(config),
            "GOOGLE_CLOUD_PROJECT": f"books-{books}",
            "FIRESTORE_EMULATOR_HOST": self.addresses["firestore"],
            "STORAGE_EMULATOR_HOST": f"http://{self.addresses['storage']}",
            "HOURHAND__STATE__BACKEND": "firestore",
            "HOURHAND__MODELS__BACKEND": "gcs",
            "HOURHAND__MODELS__BUCKET": "models",
            "HOURHAND__MODELS__HISTORY_BUCKET": "history",
            "HOURHAND__VENUE__URLS": f'{{public = "http://{self.addresses["venue"]}"}}',
            "HOURHAND__VIX__SOURCES": '["simulated"]',
            "HOURHAND__TICK__MAX_LATENESS_S": "0",
            "HOURHAND__TICK__LEASE_S": "300",
            "HOURHAND__TRAINING__PUBLISH_ANYWAY": "true",
            "HOURHAND__ALERTS__CHANNEL": "discord",
            "DISCORD_WEBHOOK_URL": f"http://{self.addresses['discord']}/api/webhooks/1/token-of-a-webhook",
        }

    def at(self, ago: int) -> dict[str, str]:
        """The body of a tick `ago` hours before the newest close."""
        return {"at": (self.now - ago * HOUR + timedelta(seconds=5)).isoformat()}


def symbol(number: int) -> str:
    return "BTC/JPY" if number == 0 else f"C{number:03}/JPY"


@contextmanager
def cloud() -> Iterator[Cloud]:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = SimulatedMarket("1h").bars(now - timedelta(days=DAYS), now)
    minutes = SimulatedMarket("1m").bars(now - timedelta(hours=2), now + timedelta(hours=3))
    venue, asked = Venue(hours, minutes), list[Asked]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database, files = stack.enter_context(firestore()), stack.enter_context(storage())
        for bucket in ("models", "history"):
            make_bucket(files, bucket)
        answers = {
            "firestore": upstream(database),
            "storage": upstream(files.removeprefix("http://")),
            "venue": venue.answer,
            "discord": _discord,
        }
        addresses = {name: stack.enter_context(counted(name, answer, asked)) for name, answer in answers.items()}
        yield Cloud(now, hours, folder, addresses, asked)


def furnish(place: Cloud, books: int, hours_ago: int) -> None:
    """A model, a stored window and the VIX for each book, as they are `hours_ago` hours before the newest close."""
    state = FirestoreState(f"books-{books}", emulator_host=place.addresses["firestore"])
    models = GcsModels("models", f"http://{place.addresses['storage']}")
    daily = vix.refresh([("simulated", SimulatedVix())], None, place.now + timedelta(days=12), 0)
    bars = place.hours.between(place.now - timedelta(days=180), place.now - hours_ago * HOUR)
    book = Book(id="b000", symbol=symbol(0), features="vix53")
    features, training = SETS[book.features], Training()
    values = compute(features, bars, book.timeframe, daily.daily, book.vix_max_age_s)
    labels, ends = direction(bars, training.horizon, training.cost)
    keep = np.flatnonzero(np.isfinite(labels) & ~np.isnan(values).all(axis=1))
    fitted = fit(values[keep], labels[keep], ends[keep], features.names, training, keep.astype(np.int64))
    until = close_time(moment(bars.time[-1]), book.timeframe)
    for number in range(books):
        meta = Meta(
            symbol=symbol(number),
            timeframe=book.timeframe,
            created=until,
            feature_set=features.name,
            feature_digest=features.digest,
            data_from=moment(bars.time[0]),
            data_until=until,
            data_digest=bars.digest(),
            levels=levels(bars),
        )
        own = Book(id=f"b{number:03}", symbol=symbol(number), features="vix53")
        go_live(state, models, own, export(fitted, meta))
        state.commit([window.kept(own, bars)])
    state.commit([Write(vix.KEY, daily.document)])
