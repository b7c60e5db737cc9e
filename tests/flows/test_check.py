"""check: a go only where all is well, a reason wherever it is not, and nothing of the deployment is changed by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any, NoReturn

import msgspec
import numpy as np
import pytest

from core.adapters.discord_notifier import DiscordNotifier
from core.adapters.log_notifier import LogNotifier
from core.domain.alerts import Message
from core.domain.bars import Bars, moment
from core.domain.daily import Daily, from_closes
from core.domain.decide import Foresight
from core.domain.ensemble import Artefact
from core.domain.features import CONTEXT
from core.domain.forecast import MANIFEST
from core.domain.orders import Answer, Holding, Intent, Listed, Order, Sight, Traits, exact, intent_id
from core.domain.risk import Limits, Marks, Policy, Result, Trip
from core.domain.risk.breakers import Fall
from core.domain.state import Book, BookState, opening
from core.flows import check as checking
from core.flows import findings
from core.flows.check import check
from core.flows.claim import book_key, plain
from core.flows.findings import Finding
from core.flows.serving import pointer_key
from core.flows.switches import trips_document
from core.flows.tick import tick
from core.ports import NO_OTHERS, Calls, Document, Exchange, Notifier, Unavailable, Vetting, World, Write
from tests.fakes import FixedClock, MemoryState
from tests.road import HOUR, RULES, ArrayMarket, ArrayVix, drawn, road, small_book, trained
from tests.venues.discord import PATH, Discord
from tests.venues.engine import VenueClock
from tests.venues.server import serving

D = Decimal
BARS = drawn(2905)
BAR = moment(BARS.time[-1])
NOW = BAR + HOUR + timedelta(seconds=5)
DAY = 86400
PRICE = exact(float(BARS.close[-1]))
NAMES = list(checking.CHECKS)
TRAITS, SPOT = Traits(window_s=10.0), Traits(window_s=10.0, spot=True)
FINE = BookState(holding=Holding(cash=D(10000)), equity=D(10000), bar=BAR, closed=10)
SIGHT = Sight(position=D(0), rules=RULES, free=D(10000))
INTENT = Intent(id=intent_id("btc", BAR, "entry"), book="btc", bar=BAR, leg="entry", side="buy", amount=D("0.1"))
LOW = D(30000)
STOP = Order(
    intent=Intent(
        id=intent_id("btc", BAR, "stop"), book="btc", bar=BAR, leg="stop", side="sell", amount=D("0.1"), stop=LOW
    ),
    status="acknowledged",
    order_id="s1",
)
WORKS = Vetting(withdraw=False, skew_s=0.2)
SENT = Order(intent=INTENT, status="sent", sent=NOW)


@dataclass
class Shown:
    """A venue that shows what it is told to, and to which nothing may be sent. `asked`: how often it was vetted."""

    traits: Traits = TRAITS
    sight: Sight | Exception = SIGHT
    vetting: Vetting | Exception = WORKS
    asked: int = 0
    looked: int = 0

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        self.looked += 1
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


def test_a_model_that_the_gate_refused_may_trade_on_paper_only() -> None:
    world, book = Scene(files=refused).bound()
    on_paper = replace(world, exchange=road(book, BARS, closes(), files=model_of(book)).world.exchange)
    verdicts = [{one.name: one.verdict for one in check(each, book)}["model"] for each in (world, on_paper)]
    assert verdicts == ["no_go", "conditional"]


# -- each way not to be


def holding(position: str, **more: Any) -> BookState:
    held = Holding(cash=D(10000), position=D(position), average_price=PRICE, opened=BAR, stop=LOW)
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
HALTED = msgspec.structs.replace(TRIP, level="halt")
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
    ("clock", NO, "3.50 s ahead", {"exchange": Shown(Traits(window_s=3.0), vetting=Vetting(False, 3.5))}),
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
    ("breakers", NO, "drawdown (flatten, until a person resumes): fell 6 %", {"state": with_state(marks=fell(0.06))}),
    ("breakers", MAYBE, "cooldown (reduce, until", {"state": with_state(marks=fell(0.0), results=(LOST,))}),
    ("breakers", NO, "slippage (reduce, until a person", {"state": with_state(marks=fell(0.0), slippages=(0.01,) * 5)}),
    ("breakers", NO, "price_move (halt, until 2", {"documents": {"breakers/btc": trips_document([HALTED])}}),
    ("breakers", MAYBE, "price_move (reduce, until 2", {"documents": {"breakers/btc": trips_document([TRIP])}}),
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
    ("stage", NO, "must rise from above 0", {"policy": {"capital_stages": (D(0), D(20000)), "stage": 2}}),
    ("stage", NO, "must rise", {"policy": {"capital_stages": (D(20000), D(10000))}}),
    ("stage", NO, "have that many", {"policy": {"stage": 4}}),
    ("stage", MAYBE, "is empty", {"policy": {"capital_stages": ()}}),
    ("stage", MAYBE, "a beginning is made at stage 1", {"policy": {"stage": 2}}),
    # lease
    ("lease", MAYBE, "may take 30 to clear up", {"world": {"lease_s": 29}}),
    ("lease", MAYBE, "past the next bar", {"world": {"lease_s": 3601}}),
    # record
    ("record", MAYBE, "9 trades closed here: let at least 10", {"state": with_state(closed=9)}),
    ("record", MAYBE, "no tick yet", {"state": with_state(bar=None)}),
    ("record", MAYBE, "the last tick was for the bar", {"state": with_state(bar=BAR - 3 * HOUR)}),
]  # fmt: skip
# What else cannot be a go then.
FOLLOWS = {"window": {"forecast", "rules"}, "model": {"forecast", "rules"}}


@pytest.mark.parametrize(("name", "verdict", "words", "changes"), WAYS)
def test_each_way_not_to_be_ready_is_found_and_said_and_the_rest_is_judged_for_itself(
    name: str, verdict: str, words: str, changes: dict[str, Any]
) -> None:
    found = Scene(**changes).check()
    assert found[name].verdict == verdict, found[name]
    assert words in found[name].said
    assert set(wrong(found)) - FOLLOWS.get(name, set()) == {name}


def test_no_forecast_is_made_on_a_window_that_is_not_believed() -> None:
    found = Scene(**with_bars(BARS[:-1])).check()
    assert found["forecast"] == Finding("forecast", "no_go", found["window"].said)


def test_without_a_single_bar_there_is_no_price_for_an_order() -> None:
    found = Scene(**with_bars(BARS[:0])).check()["rules"]
    assert found == Finding("rules", "no_go", "could not be checked: there is no price")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (vetted(skew_s=-1.0), "clock"),
        (with_sight(orders=(stranger("cancelled"),)), "position"),
        ({"state": None, "exchange": Shown(SPOT, msgspec.structs.replace(SIGHT, position=D(3)))}, "position"),
        ({"state": with_state(bar=BAR - 2 * HOUR)}, "record"),
        ({"world": {"lease_s": 30}}, "lease"),
        ({"policy": {"risk_per_trade": D("0.02"), "leverage": D(2)}}, "limits"),
        ({"documents": switched("run")}, "switch"),
        (foreseen(vix_level=math.nan, vix_change=math.nan), "forecast"),
    ],
)
def test_what_is_just_well_enough_is_a_go(changes: dict[str, Any], name: str) -> None:
    assert Scene(**changes).check()[name].verdict == "go"


def test_a_position_that_book_and_venue_agree_on_is_a_go_and_takes_what_it_takes_of_the_balance() -> None:
    stop = Listed(order_id="s1", side="sell", amount=D("0.1"), status="open", tag=STOP.intent.id, stop=LOW, kind="stop")
    sight = with_sight(position=D("0.1"), free=D(6000), orders=(stop,))
    found = Scene(state=holding("0.1", orders=(STOP,)), **sight).check()
    assert wrong(found) == {}
    assert "6000 is free beside the position" in found["balance"].said


def test_breakers_look_at_the_equity_of_the_newest_bar() -> None:
    held = Holding(cash=D(10000), position=D("0.1"), average_price=PRICE + 6000, opened=BAR)
    found = Scene(state=with_state(holding=held), **with_sight(position=D("0.1"))).check()["breakers"]
    assert (found.verdict, "drawdown (flatten" in found.said) == ("no_go", True)


def test_a_position_without_its_stop_is_said() -> None:
    found = Scene(state=holding("0.1"), **with_sight(position=D("0.1"))).check()["position"]
    assert (found.verdict, "0.1 stands without a stop" in found.said) == ("conditional", True)


@pytest.mark.parametrize(("switch", "verdict"), [("halt", "no_go"), ("run", "go")])
def test_a_book_in_trouble_is_none_to_trade_until_a_person_has_resumed_it(switch: str, verdict: str) -> None:
    found = Scene(state=with_state(trouble="two orders too many"), documents=switched(switch)).check()
    assert found["position"].verdict == verdict
    assert ("a person must look, then resume: two orders too many" in found["position"].said) == (switch == "halt")


@pytest.mark.parametrize(("switch", "verdict"), [("flatten", "no_go"), ("run", "go")])
def test_a_breaker_that_waits_for_a_person_is_over_once_a_person_has_resumed(switch: str, verdict: str) -> None:
    trip = Trip(breaker="drawdown", level="flatten", since=NOW - HOUR, detail="fell 6 %")
    state = with_state(tripped=(trip,), marks=fell(0.06))
    assert Scene(state=state, documents=switched(switch)).check()["breakers"].verdict == verdict


def test_coins_that_a_spot_account_had_before_are_no_position_of_the_book() -> None:
    exchange = Shown(SPOT, msgspec.structs.replace(SIGHT, position=D(3), free=D(9999)))
    found = Scene(state=with_state(outside=D(3)), exchange=exchange).check()
    assert wrong(found) == {"balance": "conditional"}


def test_keys_that_show_nothing_of_the_account_do_not_work() -> None:
    found = Scene(exchange=Shown(sight=Unavailable("10004 error sign!"))).check()
    assert found["keys"] == Finding("keys", "no_go", "could not be checked: 10004 error sign!")


def test_several_faults_of_one_kind_are_all_said_the_worst_first() -> None:
    said = Scene(policy={"losses": 0, "drawdown": 0.0}).check()["limits"].said
    assert said == "[policy] drawdown is 0: without that limit no loss is too much; off: losses"


# -- what the smallest order costs


@pytest.mark.parametrize(
    ("rules", "policy", "verdict", "words"),
    [
        ({"minimum_amount": D("0.3")}, {}, "no_go", "a capital of 10000 at leverage 1 may hold"),
        ({"lot": D("0.3"), "minimum_amount": D(0)}, {}, "no_go", "the smallest order is 0.3, worth"),
        ({"minimum_notional": D(10001)}, {}, "no_go", "may hold"),
        ({"minimum_notional": D(4000)}, {"capital_stages": (D(3000),)}, "no_go", "a capital of 3000 at leverage 1"),
        ({"minimum_notional": D(4000)}, {"leverage": D("0.3")}, "no_go", "a capital of 10000 at leverage 0.3"),
        ({"minimum_notional": D(8000), "leverage": D("0.5")}, {}, "no_go", "at leverage 0.5"),
        ({"minimum_notional": D(9000)}, {}, "conditional", "at its stop it would lose"),
        ({"minimum_notional": D(100)}, {}, "go", "may hold it"),
    ],
)
def test_the_smallest_order_must_be_within_what_the_stage_may_hold(
    rules: dict[str, Any], policy: dict[str, Any], verdict: str, words: str
) -> None:
    told = msgspec.structs.replace(SIGHT, rules=msgspec.structs.replace(RULES, **rules))
    found = Scene(policy=policy, exchange=Shown(sight=told)).check()["rules"]
    assert (found.verdict, words in found.said) == (verdict, True), found


# -- several books


def beside_another(limits: Limits = NO_OTHERS, other: BookState | None = None, **changes: Any) -> dict[str, Finding]:
    documents = {book_key("eth"): {"state": plain(other)}} if other else {}
    book = book_of()
    return Scene(documents=documents, world={"books": (book, OTHER), "limits": limits}, **changes).check()


def test_books_that_share_an_account_need_the_money_of_all_of_them() -> None:
    assert "sizes are reckoned from 20000" in beside_another()["balance"].said
    assert beside_another(**with_sight(free=D(19999)))["balance"].verdict == "conditional"
    assert wrong(beside_another(**with_sight(free=D(20000)))) == {}


def test_a_book_in_another_currency_needs_other_money() -> None:
    yen = msgspec.structs.replace(OTHER, symbol="ETH/JPY")
    found = Scene(world={"books": (book_of(), yen)}).check()
    assert (found["balance"].verdict, "reckoned from 10000" in found["balance"].said) == ("go", True)


def test_the_accounts_limits_count_where_there_are_several_books() -> None:
    off = Limits(daily_loss=0.0)
    found = beside_another(off)["limits"]
    assert (found.verdict, "[account] daily_loss is 0" in found.said) == ("conditional", True)
    assert Scene(world={"limits": off}).check()["limits"].verdict == "go"


def test_the_accounts_breakers_are_found() -> None:
    found = beside_another(other=POOR, state=with_state(account=TOGETHER))["breakers"]
    assert (found.verdict, "drawdown (flatten" in found.said) == ("no_go", True)


# -- what cannot be tried


def broken(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a thing that nobody thought of")


class Broken:
    """A port of which nothing works."""

    def __getattr__(self, name: str) -> Any:
        return broken


@dataclass
class BrokenVenue(Shown):
    look = vet = broken


LEANS_ON = {
    "state": set(NAMES) - {"keys", "clock", "venue", "limits", "stage", "lease"},
    "exchange": {"keys", "clock", "venue", "position", "balance", "rules", "breakers"},
    "market": {"window", "forecast", "rules"},
    "models": {"model", "forecast"},
    "vix": {"forecast", "vix"},
}


@pytest.mark.parametrize("port", LEANS_ON)
def test_what_cannot_be_tried_is_a_no_and_everything_else_is_tried(port: str) -> None:
    ports = {"exchange": BrokenVenue(), "vix": [("broken", Broken())]}
    world, book = Scene().bound()
    found = {one.name: one for one in check(replace(world, **{port: ports.get(port, Broken())}), book)}
    assert list(found) == NAMES
    assert {name for name, one in found.items() if one.verdict == "no_go"} == LEANS_ON[port]
    assert any("RuntimeError: a thing that nobody thought of" in one.said for one in found.values())


def test_a_venue_that_does_not_answer_is_said_in_its_words_and_asked_once() -> None:
    exchange = Shown(vetting=Unavailable("bybit: 10004 error sign!"))
    found = Scene(exchange=exchange).check()
    assert found["keys"].said == found["clock"].said == "could not be checked: bybit: 10004 error sign!"
    assert set(wrong(found).values()) == {"no_go"}
    assert set(wrong(found)) == {"keys", "clock"}
    assert (exchange.asked, exchange.looked) == (1, 1)
    exchange = Shown(sight=Unavailable("bybit: no answer"))
    assert Scene(exchange=exchange).check()["venue"].said == "could not be checked: bybit: no answer"
    assert (exchange.asked, exchange.looked) == (1, 1)


def test_a_state_that_is_damaged_is_a_no_that_names_it_and_the_keys_are_still_tried() -> None:
    found = Scene(documents={book_key("btc"): {"state": {"holding": "?"}}}).check()
    assert "books/btc is damaged, a person must mend it" in found["position"].said
    assert {name for name, verdict in wrong(found).items() if verdict == "no_go"} == {
        "position", "balance", "rules", "breakers", "record",
    }  # fmt: skip


# -- nothing is changed


def stored(world: World) -> dict[str, Any]:
    assert isinstance(world.state, MemoryState)
    return dict(world.state._documents)


def test_nothing_is_written_though_bars_have_come_and_the_paper_market_has_an_order_waiting() -> None:
    made = road(small_book(threshold=0.0, threshold_max=0.0), BARS, closes(), files=model_of(book_of()))
    index = len(BARS) - 5
    assert tick(made.world, made.book, made.at(index))["action"] == "enter"
    made.clock.advance(NOW - made.clock.now())
    before, models = stored(made.world), list(made.world.models.names(""))
    found = {one.name: one for one in check(made.world, made.book)}
    assert stored(made.world) == before
    assert list(made.world.models.names("")) == models
    assert found["position"].verdict == "go"
    assert "the last tick was for" in found["record"].said
    assert tick(made.world, made.book, NOW)["outcome"] not in ("busy", "superseded"), (
        "a tick goes on as if none had been"
    )


# -- alerts and settings


@dataclass
class Heard:
    """A Notifier."""

    failure: Exception | None = None
    most: int = 10
    told: list[Message] = field(default_factory=list)

    def send(self, messages: Sequence[Message]) -> None:
        if self.failure:
            raise self.failure
        self.told += messages


def test_one_message_is_sent_to_see_whether_alerts_arrive() -> None:
    heard = Heard()
    found = checking.alerts(lambda: heard, "discord", NOW)
    assert found == Finding("alerts", "go", "a trial message was shown on discord")
    (message,) = heard.told
    assert (message.title, message.severity, message.at) == ("hourhand check", "info", NOW)


def test_alerts_that_only_the_log_hears_are_said_to_be() -> None:
    found = checking.alerts(LogNotifier, "log", NOW)
    assert (found.verdict, "the log only" in found.said) == ("conditional", True)


@pytest.mark.parametrize("failure", [Unavailable("Discord: 404"), RuntimeError("Discord: 404")])
def test_alerts_that_do_not_arrive_are_a_no(failure: Exception) -> None:
    found = checking.alerts(lambda: Heard(failure), "discord", NOW)
    assert (found.verdict, "Discord: 404" in found.said) == ("no_go", True)


def test_a_channel_that_cannot_even_be_made_is_a_no() -> None:
    found = checking.alerts(broken, "discord", NOW)
    assert (found.name, found.verdict) == ("alerts", "no_go")


@pytest.mark.parametrize(("gone", "verdict"), [(False, "go"), (True, "no_go")])
def test_a_webhook_is_tried_over_http_and_never_named(gone: bool, verdict: str) -> None:
    discord = Discord(VenueClock(NOW))
    discord.gone = gone
    with serving(discord) as url:
        notifier: Callable[[], Notifier] = partial(DiscordNotifier, url + PATH, FixedClock(NOW))
        found = checking.alerts(notifier, "discord", NOW)
    assert found.verdict == verdict
    assert [embed["title"] for embed in discord.embeds] == [] if gone else ["hourhand check"]
    assert "secret" not in found.said


def test_cautions_deserve_a_look_and_none_is_a_go() -> None:
    assert checking.settings([]).verdict == "go"
    assert checking.settings(["a", "b"]) == Finding("settings", "conditional", "a; b")


def test_what_is_the_same_for_every_book_stands_with_each() -> None:
    shared = Finding("alerts", "no_go", "nobody hears them")
    assert Scene().check([shared])["alerts"] is shared
