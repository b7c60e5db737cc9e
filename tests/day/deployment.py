"""The deployment: what infrastructure makes, with emulators in place of Google's services and a venue of our own."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, Literal, NamedTuple
from uuid import uuid4

from core.adapters.files_market import from_parquet, to_parquet
from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.adapters.parquet_history import ParquetHistory
from core.domain.bars import epoch
from tests.day.callers import LEASE_S, Events, Scheduler, Topics
from tests.day.firestore import Console, Journal, kind_of
from tests.day.instance import ROOT, Heard, Ingress, Instance
from tests.emulators import make_bucket
from tests.processes import market
from tests.processes.deployment import POLICY, book_of
from tests.processes.elapsed import Elapsed
from tests.processes.ledger import Ledger
from tests.processes.passage import Reply, Request, of_venue, passage
from tests.processes.places import PLACES
from tests.venues.discord import PATH, Discord
from tests.venues.faults import Faults
from tests.venues.path import VenueClock
from tests.venues.server import Served, serving

Exchange = Literal["paper", "live"]
FUNCTIONS: Final = ("tick", "guard", "train", "cleanup", "alert", "status")
DAY: Final = datetime(2024, 4, 7, tzinfo=UTC)  # a Sunday, on which a training is due
REPEAT_S: Final = 4.0  # an hour of [alerts] repeat_hours
SECRETS: Final = {"VENUE_API_KEY": ("tick", "guard"), "VENUE_API_SECRET": ("tick", "guard"), "DISCORD_WEBHOOK_URL": ("alert",)}
PLACE: Final = PLACES["bitbank"]
BOOK: Final = "btc"
SMALL: Final = {  # a model in seconds
    "TRAINING__HISTORY_DAYS": "95",
    "TRAINING__TREES": "20",
    "TRAINING__FOREST_TREES": "20",
    "TRAINING__FOLDS": "2",
    "TRAINING__LEARNING_RATE": "0.2",
    "GATE__ROWS": "150",
}


class Emulators(NamedTuple):
    firestore: str
    storage: str
    pubsub: str


@dataclass
class Deployment:
    """`ledger`: live only, where a venue holds the account. `secrets`: values that nothing may show."""

    exchange: Exchange
    folder: Path
    environ: dict[str, str]
    store: FirestoreState
    models: GcsModels
    archive: GcsModels
    ingress: Ingress
    journal: Journal
    scheduler: Scheduler
    events: Events
    topics: Topics
    console: Console
    discord: Discord
    webhook: Served
    venue: Served
    elapsed: Elapsed
    ledger: Ledger
    secrets: tuple[str, ...]

    @property
    def live(self) -> bool:
        return self.exchange == "live"


@contextmanager
def deployed(emulators: Emulators, folder: Path, exchange: Exchange, seed: int = 1) -> Iterator[Deployment]:
    """Nothing has run in it yet; the price history is there, up to the day's eve."""
    project, database = f"p{uuid4().hex[:12]}", f"hourhand-{exchange}"
    models, history = (make_bucket(emulators.storage, f"{project}-{name}") for name in ("models", "history"))
    store = FirestoreState(project, database, emulator_host=emulators.firestore)
    archive = GcsModels(history, emulator_host=emulators.storage)
    with ExitStack() as stack:
        stack.callback(_restored, dict(os.environ))
        engine = PLACE.engine(DAY)
        elapsed = Elapsed(PLACE.speaker(engine))
        discord = Discord(VenueClock(DAY, real=True))
        venue = stack.enter_context(serving(elapsed, Faults()))
        webhook = stack.enter_context(serving(discord, Faults()))
        ingress = Ingress({})
        stack.callback(ingress.kill)
        events = Events(ingress, Random(seed))
        stack.callback(events.stop)
        journal = Journal(events.created, lambda name: ingress.instances[name].kill())
        ledger = Ledger(book_of(PLACE), PLACE, engine, venue, store)
        common = _environ(emulators, folder, exchange, project, database, models, history)
        secrets = {**_secrets(venue), "DISCORD_WEBHOOK_URL": f"{webhook}{PATH}"}
        for name in FUNCTIONS:
            to = _passages(stack, emulators, venue, name, journal, ledger if exchange == "live" else None)
            own = {key: value for key, value in secrets.items() if name in SECRETS[key]}
            addresses = {**_addresses(to["venue"]), "FIRESTORE_EMULATOR_HOST": to["store"]}
            ingress.instances[name] = Instance(name, {**common, **addresses, **own, "K_SERVICE": name}, folder)
        topics = Topics(emulators.pubsub, project)
        topics.provision(f"http://{stack.enter_context(_front(ingress))}/alert")
        _history(archive)
        yield Deployment(
            exchange, folder, {**common, **_addresses(str(venue).removeprefix("http://"))}, store,
            GcsModels(models, emulator_host=emulators.storage), archive, ingress, journal, Scheduler(ingress), events,
            topics, Console(emulators.firestore, project, database), discord, webhook, venue, elapsed, ledger,
            (secrets["VENUE_API_KEY"], secrets["VENUE_API_SECRET"], PATH.rpartition("/")[2]),
        )  # fmt: skip
