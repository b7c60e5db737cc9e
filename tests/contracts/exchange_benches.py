"""The venues that every Exchange is tried on: paper on two stores, and bitbank and bybit over HTTP on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from core.adapters.bitbank_exchange import BitbankExchange
from core.adapters.ccxt_exchange import CcxtExchange
from core.adapters.paper_exchange import PaperExchange
from core.adapters.sqlite_state import SqliteState
from core.domain.bars import Bars, moment
from core.domain.fills import Costs
from core.domain.orders import ZERO, Holding, Rules, Traits
from core.ports import Clock, Document, Exchange, StateStore, Unavailable, Versioned, Watch, Write
from tests.adapters.bitbank_bench import OfVenue
from tests.fakes import FixedClock, MemoryState
from tests.venues.bitbank import Bitbank
from tests.venues.bybit import Bybit
from tests.venues.engine import Engine, Kind, VenueClock
from tests.venues.faults import Fault
from tests.venues.path import Path as Market
from tests.venues.path import bars_of
from tests.venues.server import Served, Speaker, serving

START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR, AFTER_CLOSE = timedelta(hours=1), timedelta(seconds=5)
PRICE = 40_000.0
RULES = Rules(lot=Decimal("0.001"), tick=Decimal("0.1"), minimum_amount=Decimal("0.001"), taker=Decimal("0.001"))
MONEY = Decimal(1_000_000)
OUTSIDE = Decimal("0.5")  # coins that a spot account has from before
KEY, SECRET = "KEYKEYKEY", "SECRETSECRET"
FIRST = bars_of(START, (PRICE, PRICE, PRICE, PRICE))


class Bench(Protocol):
    """A venue with one account, whose market moves when told, and whose line breaks when told.

    `bars`: up to the newest closed one, which closed some seconds ago. `clock`: ours and the venue's. `outside`: the
    position from before; `money`: the quote currency from before. `judges`: whether it looks at size and means (who
    sends orders to paper has done so already).
    """

    bars: Bars
    clock: Clock
    outside: Decimal
    money: Decimal
    judges: bool

    def open(self, secret: str = SECRET) -> Exchange:
        """The exchange once more, as another process would open it."""
        ...

    def fast(self, seconds: float) -> None:
        """The venue's clock is so much ahead of ours."""
        ...

    def requests(self) -> int:
        """How many there were, by the venue's own books."""
        ...

    def move(self, to: float) -> None:
        """The market goes from where it is to this price within the next bar, and that bar closes."""
        ...

    def taken(self) -> int:
        """How many orders the venue has ever taken, by its own books."""
        ...

    def cut(self) -> None:
        """From now on the venue cannot be reached."""
        ...

    def asked(self) -> list[str]:
        """Where the venue has been asked for something so far, each place once."""
        ...

    def garble(self, where: str) -> None:
        """From now on what is asked there is answered with a page of something else."""
        ...

    def mend(self) -> None: ...

    def lose_request(self) -> None:
        """The next write does not arrive, and nobody says so."""
        ...

    def lose_answer(self) -> None:
        """The next write arrives, and what is said to it is lost."""
        ...

    def delay_request(self, seconds: float) -> None:
        """The next write arrives so much later, and nobody waits for the answer. Only where a request has a window."""
        ...


def _moved(bars: Bars, to: float) -> Bars:
    last = float(bars.close[-1])
    new = bars_of(moment(bars.time[-1]) + HOUR, (last, max(last, to), min(last, to), to))
    pairs = zip(bars.columns(), new.columns(), strict=True)
    return Bars(*(np.concatenate(pair) for pair in pairs))  # type: ignore[arg-type]


# --- paper ----------------------------------------------------------------------------------------------------------


class Line:
    """A StateStore behind a line that can be cut."""

    def __init__(self, state: StateStore) -> None:
        self._state, self.down, self.deaf, self.mute = state, False, False, False

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        self._check(self.down)
        return self._state.read(keys)

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        deaf, mute, self.deaf, self.mute = self.deaf, self.mute, False, False
        self._check(self.down or deaf)
        versions = self._state.commit(writes, watch)
        self._check(mute)
        return versions

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        self._check(self.down)
        return self._state.scan(collection, since, until)

    def _check(self, lost: bool) -> None:
        if lost:
            raise Unavailable("the line is cut")


class PaperBench:
    judges, outside, money = False, ZERO, Decimal(10_000)

    def __init__(self, state: StateStore) -> None:
        self._state, self._line = state, Line(state)
        self.bars = FIRST
        self.clock: Clock = FixedClock(START + HOUR + AFTER_CLOSE)

    def open(self, secret: str = SECRET) -> Exchange:
        return _paper(self._line)

    def fast(self, seconds: float) -> None:
        raise NotImplementedError("paper has no clock of its own")

    def requests(self) -> int:
        return 0

    def move(self, to: float) -> None:
        self.bars = _moved(self.bars, to)
        self.clock.sleep(HOUR.total_seconds())

    def taken(self) -> int:
        return sum(len(document["known"]) for _, document in self._state.scan("paper"))

    def cut(self) -> None:
        self._line.down = True

    def asked(self) -> list[str]:
        return ["the store"]

    def garble(self, where: str) -> None:
        self._line.down = True  # a store tells what is damaged itself

    def mend(self) -> None:
        self._line.down = False

    def lose_request(self) -> None:
        self._line.deaf = True

    def lose_answer(self) -> None:
        self._line.mute = True

    def delay_request(self, seconds: float) -> None:
        raise NotImplementedError("a request to paper has no window")


def _paper(state: StateStore) -> Exchange:
    return PaperExchange(state, Holding(cash=Decimal(10_000)), RULES, Costs())


@contextmanager
def paper_in_memory(folder: Path) -> Iterator[Bench]:
    yield PaperBench(MemoryState())


@contextmanager
def paper_in_sqlite(folder: Path) -> Iterator[Bench]:
    yield PaperBench(SqliteState(folder / "state.db"))


# --- venues over HTTP -----------------------------------------------------------------------------------------------

Make = Callable[[Clock, Mapping[str, str], str], Exchange]
WRITES = "POST *"


class VenueBench:
    """Whatever writes is a POST, here and there."""

    judges, money = True, MONEY

    def __init__(self, speaker: Any, url: Served, make: Make, outside: Decimal) -> None:
        self._speaker, self._url, self._make, self.outside = speaker, url, make, outside
        self._engine: Engine = speaker.engine
        engine = self._engine
        self.bars = FIRST
        self.clock: Clock = OfVenue(engine.clock)

    def open(self, secret: str = SECRET) -> Exchange:
        return self._make(self.clock, dict.fromkeys(("public", "private", "markets"), self._url), secret)

    def fast(self, seconds: float) -> None:
        self._speaker.offset_s = seconds

    def requests(self) -> int:
        return len(self._url.requests)

    def move(self, to: float) -> None:
        self.bars = _moved(self.bars, to)
        with self._engine.lock:
            self._engine.path = Market(self.bars, RULES.tick)
        self._engine.clock.set(moment(self.bars.time[-1]) + HOUR + AFTER_CLOSE)

    def taken(self) -> int:
        return len(self._engine.accepted())

    def cut(self) -> None:
        self._url.faults.always("*", Fault("drop_before"))

    def asked(self) -> list[str]:
        return list(dict.fromkeys(request.path for request in self._url.requests if request.method == "GET"))

    def garble(self, where: str) -> None:
        self._url.faults.always(where, Fault("html"))

    def mend(self) -> None:
        self._url.faults.clear()

    def lose_request(self) -> None:
        self._url.faults.next(WRITES, Fault("drop_before"))

    def lose_answer(self) -> None:
        self._url.faults.next(WRITES, Fault("drop_after"))

    def delay_request(self, seconds: float) -> None:
        self._url.faults.next(WRITES, Fault("late", seconds=seconds))


@contextmanager
def _served(kind: Kind, speak: Callable[..., Speaker], make: Make) -> Iterator[Bench]:
    clock, outside = VenueClock(START + HOUR + AFTER_CLOSE), OUTSIDE if kind == "spot" else ZERO
    engine = Engine(FIRST, clock, kind=kind, rules=RULES, cash=MONEY, base=outside)
    speaker = speak(engine, key=KEY, secret=SECRET, request_clock=clock.now)
    with serving(speaker) as url:
        yield VenueBench(speaker, url, make, outside)


def _bitbank(clock: Clock, urls: Mapping[str, str], secret: str, margin: bool) -> Exchange:
    return BitbankExchange("BTC/JPY", KEY, secret, clock, urls, margin=margin)


def _bybit(clock: Clock, urls: Mapping[str, str], secret: str, symbol: str) -> Exchange:
    urls = {name: url for name, url in urls.items() if name != "markets"}
    return CcxtExchange("bybit", symbol, KEY, secret, "", clock, urls, rules=Rules())


# --- all of them ----------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    name: str
    traits: Traits
    bench: Callable[[Path], AbstractContextManager[Bench]]


def _live(name: str, kind: Kind, speak: Any, make: Make) -> Case:
    return Case(name, make(FixedClock(START), {}, SECRET).traits, lambda folder: _served(kind, speak, make))


CASES = [
    Case("paper in memory", _paper(MemoryState()).traits, paper_in_memory),
    Case("paper in sqlite", _paper(MemoryState()).traits, paper_in_sqlite),
    _live("bitbank margin", "margin", Bitbank, partial(_bitbank, margin=True)),
    _live("bitbank spot", "spot", Bitbank, partial(_bitbank, margin=False)),
    _live("bybit linear", "linear", Bybit, partial(_bybit, symbol="BTC/USDT:USDT")),
    _live("bybit spot", "spot", Bybit, partial(_bybit, symbol="BTC/USDT")),
]
