"""The deployment: what infrastructure makes, with emulators in place of Google's services and a venue of our own."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
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
from core.flows.window import kept
from core.ports import Document, Write
from tests.day.callers import LEASE_S, Events, Scheduler, Topics
from tests.day.firestore import Console, Journal, kind_of
from tests.day.instance import ROOT, Ingress, Instance
from tests.day.rights import forbidden, of_storage
from tests.emulators import make_bucket
from tests.processes import market
from tests.processes.deployment import POLICY, book_of
from tests.processes.elapsed import Elapsed
from tests.processes.ledger import Ledger
from tests.processes.passage import Reply, Request, of_venue, passage
from tests.processes.places import KEY, PLACES, SECRET
from tests.venues.discord import PATH, Discord
from tests.venues.faults import Faults
from tests.venues.path import VenueClock
from tests.venues.server import Served, serving

Exchange = Literal["paper", "live"]
FUNCTIONS: Final = ("tick", "guard", "train", "cleanup", "alert", "status")
DAY: Final = datetime(2024, 4, 7, tzinfo=UTC)  # a Sunday, on which a training is due
PATIENCE_S: Final = 60.0  # with an emulator that has just started, on a busy machine
REPEAT_S: Final = 4.0  # an hour of [alerts] repeat_hours
READERS: Final = {  # as infra/identities.tf has it
    "VENUE_API_KEY": ("tick", "guard"),
    "VENUE_API_SECRET": ("tick", "guard"),
    "DISCORD_WEBHOOK_URL": ("alert",),
}
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


# What lasts from a trade on: the venue tells of trades in real time, and the day is long ago.
CLOCKED: Final = ("POLICY__COOLDOWN_HOURS", "POLICY__LOSSES", "POLICY__STOPS", "POLICY__LOW_PROFIT")


class Emulators(NamedTuple):
    firestore: str
    storage: str
    pubsub: str


@dataclass
class Deployment:
    """`ledger`: of a live one, where a venue holds the account. `refused`: what a function tried without the right;
    `old`: records of long ago, which are there from the beginning."""

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
    refused: list[str] = field(default_factory=list)
    old: frozenset[str] = frozenset(
        f"ticks/{BOOK}@2024-03-{day}T{hour:02}:00Z" for day in (24, 25) for hour in (1, 2, 3)
    )

    @property
    def live(self) -> bool:
        return self.exchange == "live"

    @property
    def secrets(self) -> dict[str, str]:
        return {"VENUE_API_KEY": KEY, "VENUE_API_SECRET": SECRET, "DISCORD_WEBHOOK_URL": f"{self.webhook}{PATH}"}

    @property
    def mine(self) -> dict[str, str]:
        """The environment of the person whose deployment it is, for the command."""
        place = PLACE.settings(self.venue.removeprefix("http://"))
        return {**self.environ, **{key: value for key, value in place.items() if key not in self.secrets}}

    @property
    def hidden(self) -> tuple[str, ...]:
        """What nothing may show."""
        return KEY, SECRET, PATH.rpartition("/")[2]


@contextmanager
def deployed(
    emulators: Emulators, folder: Path, exchange: Exchange, seed: int = 1, attempts: int = 20
) -> Iterator[Deployment]:
    """Nothing has run in it today; the prices are there, up to the day's eve. `attempts`: deliveries of an incident
    until it is a dead letter."""
    project, database = f"p{uuid4().hex[:12]}", f"hourhand-{exchange}"
    models, history = (make_bucket(emulators.storage, f"{project}-{name}") for name in ("models", "history"))
    store = FirestoreState(project, database, emulators.firestore, PATIENCE_S)
    with ExitStack() as stack:
        engine, discord = PLACE.engine(DAY), Discord(VenueClock(DAY, real=True))
        elapsed = Elapsed(PLACE.speaker(engine))
        venue = stack.enter_context(serving(elapsed, Faults()))
        webhook = stack.enter_context(serving(discord, Faults()))
        ingress = Ingress({})
        stack.callback(ingress.kill)
        events = Events(ingress, Random(seed))
        stack.callback(events.stop)
        journal = Journal(events.created, lambda name: ingress.instances[name].kill())
        ledger = Ledger(book_of(PLACE), PLACE, engine, venue, store)
        made = Deployment(
            exchange, folder, _environ(emulators, folder, exchange, project, database, models, history), store,
            GcsModels(models, emulators.storage), GcsModels(history, emulators.storage), ingress, journal,
            Scheduler(ingress), events, Topics(emulators.pubsub, project),
            Console(emulators.firestore, project, database), discord, webhook, venue, elapsed, ledger,
        )  # fmt: skip
        for name in FUNCTIONS:
            ingress.instances[name] = Instance(name, stack.enter_context(_surrounded(made, emulators, name)), folder)
        made.topics.provision(f"http://{stack.enter_context(_front(ingress))}/alert", attempts)
        _history(made.archive)
        eve = market.bars().between(market.START, DAY)
        store.commit([kept(book_of(PLACE), eve), *(Write(key, _old_record(key)) for key in made.old)])
        yield made


def _environ(
    emulators: Emulators, folder: Path, exchange: Exchange, project: str, database: str, models: str, history: str
) -> dict[str, str]:
    """What infrastructure gives to every function, and what makes a day of it: a lease and an hour of alerts that are
    shorter, a model in seconds, and a policy that trades."""
    vix = folder / "vix.csv"
    _vix(vix)
    own = {
        "STATE__BACKEND": "firestore",
        "STATE__PROJECT": project,
        "STATE__DATABASE": database,
        "MODELS__BACKEND": "gcs",
        "MODELS__BUCKET": models,
        "MODELS__HISTORY_BUCKET": history,
        "TICK__LEASE_S": str(LEASE_S),
        "TICK__MAX_LATENESS_S": "0",
        "ALERTS__CHANNEL": "discord",
        "ALERTS__REPEAT_HOURS": str(REPEAT_S / 3600),
        "LOG__PROJECT": project,
        **dict.fromkeys(CLOCKED, "0"),
        "VIX__SOURCES": '["file"]',
        "VIX__PATH": str(vix),
        **SMALL,
        **{f"POLICY__{name}": value for name, value in POLICY.items()},
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOURHAND")},
        **{f"HOURHAND__{name}": value for name, value in own.items()},
        "HOURHAND_CONFIG": str(ROOT / "config" / f"{exchange}.toml"),
        "GOOGLE_CLOUD_PROJECT": project,
        "FIRESTORE_EMULATOR_HOST": emulators.firestore,
        "STORAGE_EMULATOR_HOST": emulators.storage,
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def _surrounded(made: Deployment, emulators: Emulators, name: str) -> Iterator[Mapping[str, str]]:
    """The environment of one function: its own passages to store and venue, and the secrets that it may read."""
    carry = partial(_carried, made, name)
    secrets = made.secrets
    with ExitStack() as stack:
        store = stack.enter_context(passage(emulators.firestore, kind_of, carry))
        venue = stack.enter_context(passage(made.venue.removeprefix("http://"), of_venue, carry))
        files = emulators.storage.removeprefix("http://")
        if name != "cleanup":  # which may do everything there; a passage carries no DELETE
            files = stack.enter_context(passage(files, of_storage, carry))
        place = {key: value for key, value in PLACE.settings(venue).items() if key not in secrets}
        own = {key: value for key, value in secrets.items() if name in READERS[key]}
        addresses = {
            "FIRESTORE_EMULATOR_HOST": store,
            "STORAGE_EMULATOR_HOST": f"http://{files}",
        }
        yield {**made.environ, **place, **own, **addresses, "K_SERVICE": name}


def _carried(made: Deployment, name: str, request: Request, send: Callable[[], Reply]) -> Reply | None:
    if wrong := forbidden(name, request):
        made.refused.append(f"{name}: {wrong}")
        return Reply(403, [], b"the account of this function may not do that")
    through = partial(made.ledger.carry, request, send) if made.live else send
    return made.journal.carry(name, request, through)


def _front(ingress: Ingress) -> AbstractContextManager[str]:
    """Where Pub/Sub pushes to, as it knows nothing of instances."""

    def answer(request: Request, _: Callable[[], Reply]) -> Reply:
        heard = ingress.call(request.path.strip("/"), "pubsub", {"Content-Type": "application/json"}, request.body)
        return Reply(heard.status, [], heard.body)

    return passage("", lambda *_: "push", answer)


def _old_record(key: str) -> Document:
    bar = datetime.fromisoformat(key.partition("@")[2])
    said = {"outcome": "held", "book": BOOK, "bar": f"{bar:%Y-%m-%dT%H:%M:%SZ}", "reason": "no_reason_to_change"}
    return {"book": BOOK, "bar": bar, "phase": "done", "answer": said, "fills": [], "trades": []}


def _history(archive: GcsModels) -> None:
    """What earlier trainings have kept of the market, up to the day's eve: all else is asked of the venue."""
    files = ParquetHistory(archive, "bitbank/btc_jpy/1h", to_parquet, from_parquet)
    files.save(market.bars().between(market.START, DAY - timedelta(days=1)))


def _vix(path: Path) -> None:
    """A close for every weekday, quiet and up and down."""
    days = [DAY - timedelta(days=back) for back in range(300, 0, -1)]
    rows = [(day, 15 + 2 * math.sin(number)) for number, day in enumerate(days) if day.weekday() < 5]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("timestamp", "close"), *((f"{day:%Y-%m-%d}", f"{vix:.2f}") for day, vix in rows)])
