"""One deployment: a venue with an account, a Firestore project, a model, and the function in one or two regions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from core.adapters.dir_models import DirModels
from core.adapters.firestore_state import FirestoreState
from core.domain.risk import Policy
from core.domain.state import Book
from core.flows import window
from tests.policies import EAGER
from tests.processes import market
from tests.processes.elapsed import Elapsed
from tests.processes.ledger import Ledger
from tests.processes.places import PLACES, Place
from tests.processes.region import ROOT, Region, region
from tests.road import go_live
from tests.venues.faults import Faults
from tests.venues.server import Served, serving

POLICY = {  # a signal at every bar, and a stop that is often hit before the next
    "THRESHOLD": "0",
    "THRESHOLD_MIN": "0",
    "THRESHOLD_MAX": "0",
    "EXIT_FRACTION": "1",
    "MINIMUM_CONFIDENCE": "0",
    "MODEL_MAX_AGE_DAYS": "0",
    "SHORT": "true",
    "EDGE": "0",
    "HOLD_BARS": "0",
    "HOLD_MOST_BARS": "0",
    "STOP_ATR": "0.5",
    "RISK_PER_TRADE": "0.005",
}


@dataclass
class Deployment:
    ledger: Ledger
    elapsed: Elapsed
    served: Served
    regions: list[Region]
    diary: list[str]


def book_of(place: Place) -> Book:
    return Book(id="btc", symbol=place.symbol, policy=Policy(**EAGER, capital=place.cash), rules=place.rules)


def settings(place: Place, project: str, folder: Path, lease_s: int) -> dict[str, str]:
    """Those of a live deployment, as far as it is not for testing."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HOURHAND")},
        "HOURHAND_CONFIG": str(ROOT / "config" / "live.toml"),
        "HOURHAND__FEATURES__SET": "core12",
        "HOURHAND__MODELS__BACKEND": "dir",
        "HOURHAND__MODELS__PATH": str(folder / "models"),
        "HOURHAND__STATE__PROJECT": project,
        "HOURHAND__TICK__LEASE_S": str(lease_s),
        "HOURHAND__TICK__MAX_LATENESS_S": "0",
        "HOURHAND__VIX__SOURCES": "[]",
        **{f"HOURHAND__POLICY__{name}": value for name, value in POLICY.items()},
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def deployment(
    venue: str, emulator: str, folder: Path, *, first: int, regions: int = 1, lease_s: int = 12
) -> Iterator[Deployment]:
    """Traded from bar `first` on."""
    place, project = PLACES[venue], f"p{uuid4().hex[:12]}"
    store, book = FirestoreState(project, emulator_host=emulator), book_of(place)
    engine = place.engine(market.due(first - 1))
    common = settings(place, project, folder, lease_s)
    go_live(store, DirModels(folder / "models"), book, market.model(book))
    store.commit([window.kept(book, market.bars()[:first])])  # as if it had looked before
    with ExitStack() as stack:
        elapsed = Elapsed(place.speaker(engine))
        served = stack.enter_context(serving(elapsed, Faults()))
        ledger = Ledger(book, place, engine, served, store)

        def environ(to_venue: str, to_store: str) -> dict[str, str]:
            return {**common, **place.settings(to_venue), "FIRESTORE_EMULATOR_HOST": to_store}

        diary: list[str] = []
        address = served.removeprefix("http://")
        made = [
            stack.enter_context(
                region(address, emulator, environ, folder / f"region-{number}.log", ledger.carry, diary)
            )
            for number in range(regions)
        ]
        yield Deployment(ledger, elapsed, served, made, diary)
