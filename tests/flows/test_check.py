"""check: a go only where all is well, a reason wherever it is not, and nothing of the deployment is changed by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any, NoReturn

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.bitbank_exchange import BitbankExchange
from core.adapters.ccxt_exchange import CcxtExchange
from core.adapters.discord_notifier import DiscordNotifier
from core.adapters.log_notifier import LogNotifier
from core.domain.alerts import Message
from core.domain.bars import Bars, moment
from core.domain.daily import Daily, from_closes, none
from core.domain.decide import Foresight
from core.domain.ensemble import Artefact
from core.domain.features import CONTEXT
from core.domain.forecast import MANIFEST
from core.domain.orders import Answer, Holding, Intent, Listed, Order, Rules, Sight, Traits, intent_id
from core.domain.risk import Limits, Marks, Policy, Result, Trip
from core.domain.risk.breakers import Fall
from core.domain.state import Book, BookState, opening
from core.flows import check as checking
from core.flows import findings, vix
from core.flows.check import check, starting
from core.flows.claim import book_key, plain
from core.flows.findings import Finding
from core.flows.serving import pointer_key
from core.flows.switches import trips_document
from core.flows.tick import tick
from core.flows.window import key as window_key
from core.ports import Calls, Document, Exchange, Notifier, Unavailable, Vetting, World, Write
from tests.adapters.bitbank_bench import OfVenue
from tests.fakes import FixedClock, MemoryState
from tests.road import HOUR, RULES, ArrayMarket, ArrayVix, drawn, road, small_book, trained
from tests.venues.bitbank import Bitbank
from tests.venues.bybit import Bybit
from tests.venues.discord import PATH, Discord
from tests.venues.engine import Engine, Kind, VenueClock
from tests.venues.faults import Fault
from tests.venues.server import Served, serving

D = Decimal
BARS = drawn(2905)
BAR = moment(BARS.time[-1])
NOW = BAR + HOUR + timedelta(seconds=5)
DAY = 86400
NAMES = list(checking.CHECKS)
TRAITS = Traits(window_s=10.0)
FINE = BookState(holding=Holding(cash=D(10000)), equity=D(10000), bar=BAR, closed=10)
SIGHT = Sight(position=D(0), rules=RULES, free=D(10000))
INTENT = Intent(id=intent_id("btc", BAR, "entry"), book="btc", bar=BAR, leg="entry", side="buy", amount=D("0.1"))
SENT = Order(intent=INTENT, status="sent", sent=NOW)


@dataclass
class Shown:
    """A venue that shows what it is told to show, and to which nothing may be sent. `asked`: how often it was vetted."""

    traits: Traits = TRAITS
    sight: Sight | Exception = SIGHT
    vetting: Vetting | Exception = Vetting(withdraw=False, skew_s=0.2)
    asked: int = 0

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        if isinstance(self.sight, Exception):
            raise self.sight
        return self.sight

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        raise AssertionError("sent")

    def cancel(self, book: str, orders: Sequence[Order]) -> None:
        raise AssertionError("cancelled")

    def calls(self) -> Calls:
        return Calls()

    def vet(self) -> Vetting:
        self.asked += 1
        if isinstance(self.vetting, Exception):
            raise self.vetting
        return self.vetting


@cache
def closes(last: float = 15.0, until: int = 0) -> Daily:
    """The VIX of every day up to `until` days before the newest bar."""
    days = np.arange(int(BARS.time[0]) // DAY - 90, int(BARS.time[-1]) // DAY - until) * DAY
    return from_closes(days, np.full(len(days), last))


def book_of(**policy: Any) -> Book:
    return Book(id="btc", symbol="BTC/USDT", features="core12", policy=Policy(**policy), rules=RULES)


def model_of(book: Book, count: int = len(BARS)) -> Artefact:
    return trained(book, BARS, closes(), count)


@dataclass
class Scene:
    """A live deployment of which all is well, but for what a test changes. `world`: fields of the World."""

    policy: dict[str, Any] = field(default_factory=dict)
    state: BookState | None = FINE
    exchange: Exchange = field(default_factory=Shown)
    documents: dict[str, Document | None] = field(default_factory=dict)
    files: Callable[[Book], Artefact] = model_of
    world: dict[str, Any] = field(default_factory=dict)

    def bound(self) -> tuple[World, Book]:
        book = book_of(**self.policy)
        made = road(book, BARS, closes(), files=self.files(book))
        documents = {book_key("btc"): self.state and {"state": plain(self.state)}, **self.documents}
        made.world.state.commit([Write(key, document) for key, document in documents.items()])
        return replace(made.world, clock=FixedClock(NOW), exchange=self.exchange, **self.world), book

    def check(self, shared: Sequence[Finding] = ()) -> dict[str, Finding]:
        found = check(*self.bound(), shared)
        assert all(one.said.strip() for one in found)
        return {one.name: one for one in found}


def wrong(found: Mapping[str, Finding]) -> dict[str, str]:
    return {name: one.verdict for name, one in found.items() if one.verdict != "go"}


# -- all is well


def test_where_all_is_well_everything_is_a_go() -> None:
    found = Scene().check()
    assert list(found) == NAMES
    assert wrong(found) == {}


def test_on_paper_nobody_is_asked_for_keys_or_time_and_all_can_be_a_go() -> None:
    world, book = Scene().bound()
    paper = road(book, BARS, closes(), files=model_of(book)).world.exchange
    found = {one.name: one for one in check(replace(world, exchange=paper), book)}
    assert wrong(found) == {}
    assert "filled by a model" in found["keys"].said


# -- each way not to be


def holding(position: str, **more: Any) -> BookState:
    held = Holding(cash=D(10000), position=D(position), average_price=D(40000), opened=BAR)
    return msgspec.structs.replace(FINE, holding=held, **more)


def with_state(**changes: Any) -> BookState:
    return msgspec.structs.replace(FINE, **changes)


def with_sight(**changes: Any) -> dict[str, Any]:
    return {"exchange": Shown(sight=msgspec.structs.replace(SIGHT, **changes))}


def vetted(**changes: Any) -> dict[str, Any]:
    return {"exchange": Shown(vetting=Vetting(**{"withdraw": False, "skew_s": 0.0, **changes}))}


def switched(mode: object, key: str = "switches/btc") -> Document:
    return {key: {"mode": mode, "by": "ada", "reason": "to see", "at": NOW}}


def refused(book: Book) -> Artefact:
    files = dict(model_of(book))
    manifest = {**msgspec.json.decode(files[MANIFEST]), "warnings": ["no better than the base rate"]}
    return {**files, MANIFEST: msgspec.json.encode(manifest)}


def foreseen(p_up: float = 0.5, member: float = 0.5, **context: float) -> dict[str, Any]:
    row = tuple(context.get(name, 1.0) for name in CONTEXT.names)
    seen = Foresight(p_up=p_up, members={"forest": member}, context=row)
    return {"world": {"foresee": lambda *_: seen}}


def with_bars(bars: Bars) -> dict[str, Any]:
    return {"world": {"market": ArrayMarket(bars)}}


def fell(share: float) -> Marks:
    low = D(10000) * (1 - D(repr(share)))
    return Marks(
        day=NOW.replace(hour=0, minute=0, second=0), opened=D(10000), low=D(10000), peak=D(10000),
        deepest=Fall(D(10000), low, NOW),
    )  # fmt: skip


def stranger(status: Any = "open") -> Listed:
    return Listed(order_id="s1", side="buy", amount=D(1), status=status, kind="other")


OTHER = Book(id="eth", symbol="ETH/USDT", features="core12", rules=RULES)
POOR = msgspec.structs.replace(opening(OTHER), equity=D(5000))
TOGETHER = Marks(day=NOW.replace(hour=0, minute=0, second=0), opened=D(15000), low=D(15000), peak=D(20000))
TRIP = Trip(breaker="price_move", level="reduce", since=NOW, until=NOW + HOUR, detail="it fell")
LOST = Result(closed=NOW - HOUR, pnl=D(-10), share=-0.001)

NO, MAYBE = "no_go", "conditional"
WAYS: list[tuple[str, str, str, dict[str, Any]]] = [
    # keys
    ("keys", NO, "may withdraw: make one that may only trade", vetted(withdraw=True)),
    ("keys", NO, "the key may not trade", vetted(said=("the key may not trade: its orders would be refused",))),
    ("keys", MAYBE, "does not tell whether the key may withdraw", vetted(withdraw=None)),
    ("keys", MAYBE, "the page where", vetted(withdraw=None, said=("look at the page where it was made",))),
    ("keys", MAYBE, "a new thing", vetted(said=("a new thing",))),
    # clock
    ("clock", MAYBE, "1.50 s ahead", vetted(skew_s=1.5)),
    ("clock", MAYBE, "1.50 s behind", vetted(skew_s=-1.5)),
    ("clock", MAYBE, "not known", vetted(skew_s=None)),
    ("clock", NO, "5.10 s behind", vetted(skew_s=-5.1)),
    ("clock", NO, "nan s", vetted(skew_s=math.nan)),
    # venue
    ("venue", MAYBE, "in maintenance", with_sight(barred="in maintenance")),
    ("venue", MAYBE, "no stop can rest", {"exchange": Shown(traits=Traits(window_s=9.0, stops="none"))}),
    # position
    ("position", NO, "the book says 0, the venue says 0.1", with_sight(position=D("0.1"))),
    ("position", NO, "the book says 0.1, the venue says 0", {"state": holding("0.1")}),
    ("position", NO, INTENT.id, {"state": with_state(orders=(SENT,))}),
    ("position", NO, "not the book's, cancel them: s1", with_sight(orders=(stranger(),))),
    # balance
    ("balance", MAYBE, "9999 is free, and sizes are reckoned from 10000", with_sight(free=D(9999))),
    ("balance", MAYBE, "does not tell", with_sight(free=None)),
    # rules
    ("rules", MAYBE, "does not tell its rules", with_sight(rules=None)),
    # window
    ("window", NO, "the newest bar is", with_bars(BARS[:-1])),
    ("window", NO, "missing before", with_bars(BARS[np.arange(len(BARS)) != len(BARS) - 30])),
    # vix
    ("vix", MAYBE, "not known", {"world": {"vix": []}}),
    ("vix", MAYBE, "not known", {"world": {"vix": [("old", ArrayVix(closes(until=9)))]}}),
    # model
    ("model", NO, "train one", {"documents": {pointer_key("btc"): None}}),
    ("model", NO, "the limit is 21", {"files": partial(model_of, count=1500)}),
    ("model", NO, "the gate refused it: no better than", {"files": refused}),
    # forecast
    ("forecast", NO, "no probability: p(up)", foreseen(p_up=math.nan)),
    ("forecast", NO, "no probability: p(up) by forest", foreseen(member=1.5)),
    ("forecast", NO, "not known: atr_ratio_14", foreseen(atr_ratio_14=math.inf)),
    ("forecast", MAYBE, "allows nothing: adx_14", foreseen(adx_14=math.nan)),
    # switch
    ("switch", MAYBE, "switches/btc says reduce by ada: to see", {"documents": switched("reduce")}),
    ("switch", NO, "switches/btc says halt", {"documents": switched("halt")}),
    ("switch", NO, "switches/global says flatten", {"documents": switched("flatten", "switches/global")}),
    ("switch", NO, "switches/btc cannot be read", {"documents": switched("Halt!")}),
    ("switch", NO, "switches/btc cannot be read", {"documents": {"switches/btc": {"by": "nobody"}}}),
    # breakers
    ("breakers", NO, "drawdown (flatten, until a person resumes): fell 6 %", {"state": with_state(marks=fell(0.06))}),
    ("breakers", MAYBE, "cooldown (reduce, until", {"state": with_state(marks=fell(0.0), results=(LOST,))}),
    ("breakers", MAYBE, "price_move (reduce, until", {"documents": {"breakers/btc": trips_document([TRIP])}}),
    ("breakers", NO, "cannot be read, mend", {"documents": {"breakers/btc": {"trips": 3}}}),
    # limits
    ("limits", NO, "daily_loss is 0", {"policy": {"daily_loss": 0.0}}),
    ("limits", NO, "drawdown is 0", {"policy": {"drawdown": 0.0}}),
    ("limits", NO, "risk_per_trade 0.021 is above 0.02", {"policy": {"risk_per_trade": D("0.021")}}),
    ("limits", NO, "leverage 3 is above the venue's, 2", {"policy": {"leverage": D(3)}}),
    *(
        ("limits", MAYBE, f"off: {name}", {"policy": {name: 0}})
        for name in (*findings.BREAKERS, *findings.SIZES)
    ),
    # stage
    ("stage", NO, "not above 0", {"policy": {"capital_stages": (D(20000), D(0))}}),
    ("stage", MAYBE, "is empty", {"policy": {"capital_stages": ()}}),
    ("stage", MAYBE, "stage is 4 of 3", {"policy": {"stage": 4}}),
    ("stage", MAYBE, "do not rise", {"policy": {"capital_stages": (D(20000), D(10000))}}),
    ("stage", MAYBE, "a start is made at stage 1", {"policy": {"stage": 2}}),
    # lease
    ("lease", MAYBE, "an unanswered order may take 30", {"world": {"lease_s": 29}}),
    ("lease", MAYBE, "past the next bar", {"world": {"lease_s": 3601}}),
    # record
    ("record", MAYBE, "9 trades closed here: let at least 10", {"state": with_state(closed=9)}),
    ("record", MAYBE, "no tick yet", {"state": with_state(bar=None)}),
    ("record", MAYBE, "the last tick was for the bar", {"state": with_state(bar=BAR - 3 * HOUR)}),
]  # fmt: skip
# What else cannot be a go then.
FOLLOWS = {
    "window": {"forecast": NO},
    "model": {"forecast": NO, "rules": MAYBE},
}


@pytest.mark.parametrize(("name", "verdict", "words", "changes"), WAYS)
def test_each_way_not_to_be_ready_is_found_and_said_and_the_rest_is_judged_for_itself(
    name: str, verdict: str, words: str, changes: dict[str, Any]
) -> None:
    found = Scene(**changes).check()
    assert found[name].verdict == verdict, found[name]
    assert words in found[name].said
    if "gate refused" not in words:
        unready = wrong(found)
        followed = {other: unready.pop(other) for other in FOLLOWS.get(name, {}) if other in unready}
        assert set(followed.values()) <= {NO, MAYBE}
        assert set(unready) == {name}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (vetted(skew_s=-1.0), "clock"),
        (with_sight(orders=(stranger("cancelled"),)), "position"),
        ({"state": None, **with_sight(position=D(3)), "exchange": Shown(replace_traits := Traits(spot=True))}, "position"),
        ({"state": with_state(bar=BAR - 2 * HOUR)}, "record"),
        ({"world": {"lease_s": 30}}, "lease"),
        ({"policy": {"risk_per_trade": D("0.02"), "leverage": D(2)}}, "limits"),
        ({"documents": switched("run")}, "switch"),
        (foreseen(vix_level=math.nan, vix_change=math.nan), "forecast"),
    ],
)
def test_what_is_just_well_enough_is_a_go(changes: dict[str, Any], name: str) -> None:
    assert Scene(**changes).check()[name].verdict == "go"
