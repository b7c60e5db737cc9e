"""check and starting: a live process that begins, and both through the real adapters over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from core.adapters.bitbank_exchange import BitbankExchange
from core.adapters.ccxt_exchange import CcxtExchange
from core.domain.orders import Rules
from core.domain.state import Book
from core.flows.check import check, starting
from core.flows.findings import Finding
from core.ports import Exchange, Unavailable, Vetting, World
from tests.adapters.bitbank_bench import OfVenue
from tests.flows.test_check import BARS, LEANS_ON, NOW, OTHER, Scene, Shown, closes, model_of, wrong
from tests.road import road
from tests.venues.bitbank import Bitbank
from tests.venues.bybit import Bybit
from tests.venues.engine import Engine, Kind, VenueClock
from tests.venues.faults import Fault
from tests.venues.server import Served, serving

D = Decimal


# -- when a live process begins


def begun(exchange: Exchange) -> tuple[World, Book]:
    return Scene(exchange=exchange).bound()


def test_a_live_process_that_is_fine_begins_and_is_asked_only_once() -> None:
    exchange = Shown()
    world, book = begun(exchange)
    assert [starting(world, book), starting(world, book)] == [None, None]
    assert exchange.asked == 1


def test_paper_begins_without_a_question() -> None:
    world, book = begun(Shown(vetting=Vetting(withdraw=True)))
    paper = road(book, BARS, closes(), files=model_of(book)).world
    assert starting(paper, book) is None
    assert starting(world, book) is not None


@pytest.mark.parametrize(
    ("vetting", "words"),
    [
        (Vetting(withdraw=True, skew_s=0.0), "the key may withdraw"),
        (Vetting(withdraw=False, skew_s=0.0, said=("the key may not trade: so",)), "may not trade"),
        (Vetting(withdraw=None, skew_s=7.0), "7.00 s ahead"),
    ],
)
def test_a_live_process_that_may_not_begin_takes_no_new_risk_until_that_is_mended(vetting: Vetting, words: str) -> None:
    exchange = Shown(vetting=vetting)
    world, book = begun(exchange)
    for _ in range(2):
        code, said = starting(world, book) or ("", "")
        assert (code, words in said) == ("no_go", True)
    exchange.vetting = Vetting(withdraw=None, skew_s=None)
    assert starting(world, book) is None


@pytest.mark.parametrize("failure", [Unavailable("no answer"), RuntimeError("no answer")])
def test_what_cannot_be_asked_is_no_reason_for_ever_and_never_raised(failure: Exception) -> None:
    exchange = Shown(vetting=failure)
    world, book = begun(exchange)
    for _ in range(2):
        code, said = starting(world, book) or ("", "")
        assert (code, "no answer" in said) == ("no_go_unknown", True)
    exchange.vetting = Vetting(withdraw=False, skew_s=0.0)
    assert starting(world, book) is None


def test_books_begin_one_by_one() -> None:
    exchange = Shown()
    world, book = begun(exchange)
    assert starting(world, book) is None
    exchange.vetting = Vetting(withdraw=True)
    assert (starting(world, OTHER) or ("",))[0] == "no_go"


# -- through the real adapters, over HTTP


KEY, SECRET = "KEYKEYKEY", "SECRETSECRET"
MONEY = D(1_000_000)
AT_VENUE = Rules(lot=D("0.001"), tick=D("0.1"), minimum_amount=D("0.001"), taker=D("0.001"))


@dataclass
class Site:
    """A simulated venue on loopback, with a live deployment beside it."""

    speaker: Any
    url: Served
    exchange: Exchange
    clock: OfVenue

    def check(self, **more: Any) -> dict[str, Finding]:
        world, book = Scene(exchange=self.exchange).bound()
        found = {one.name: one for one in check(replace(world, clock=self.clock, **more), book)}
        assert {request.method for request in self.url.requests} <= {"GET"}
        return found


@contextmanager
def at(name: str, kind: Kind, secret: str = SECRET) -> Iterator[Site]:
    venue_clock = VenueClock(NOW)
    clock, base = OfVenue(venue_clock), D("0.5") if kind == "spot" else D(0)
    engine = Engine(BARS, venue_clock, kind=kind, rules=AT_VENUE, cash=MONEY, base=base)
    speak: Any = Bitbank if name == "bitbank" else Bybit
    speaker = speak(engine, key=KEY, secret=SECRET, request_clock=venue_clock.now)
    with serving(speaker) as url:
        urls = dict.fromkeys(("public", "private"), url)
        exchange: Exchange
        if name == "bitbank":
            urls["markets"] = url
            exchange = BitbankExchange("BTC/JPY", KEY, secret, clock, urls, margin=kind == "margin")
        else:
            symbol = "BTC/USDT" if kind == "spot" else "BTC/USDT:USDT"
            exchange = CcxtExchange("bybit", symbol, KEY, secret, "", clock, urls, rules=Rules())
        yield Site(speaker, url, exchange, clock)


SITES: list[tuple[str, Kind]] = [("bitbank", "margin"), ("bitbank", "spot"), ("bybit", "linear"), ("bybit", "spot")]


@pytest.mark.parametrize(("name", "kind"), SITES)
def test_at_a_venue_all_is_a_go_but_what_it_does_not_tell(name: str, kind: Kind) -> None:
    with at(name, kind) as site:
        found = site.check()
    assert wrong(found) == ({"keys": "conditional"} if name == "bitbank" else {})
    if name == "bitbank":
        assert "does not tell what a key may do" in found["keys"].said
    assert f"{MONEY:f}" in found["balance"].said
    assert "the smallest order is 0.001" in found["rules"].said


@pytest.mark.parametrize(("name", "kind"), SITES)
def test_at_a_venue_keys_that_do_not_work_are_a_no(name: str, kind: Kind) -> None:
    with at(name, kind, secret="ANOTHERSECRET") as site:
        found = site.check()
    assert (found["keys"].verdict, found["position"].verdict) == ("no_go", "no_go")
    assert {"bitbank": "20001", "bybit": "10004"}[name] in found["keys"].said


@pytest.mark.parametrize("kind", ["linear", "spot"])
def test_at_a_venue_a_key_that_may_withdraw_or_may_not_trade_is_a_no(kind: Kind) -> None:
    with at("bybit", kind) as site:
        site.speaker.granted = ["Withdraw"]
        assert "may withdraw" in site.check()["keys"].said
        site.speaker.granted, site.speaker.read_only = [], True
        found = site.check()["keys"]
    assert (found.verdict, "may not trade" in found.said) == ("no_go", True)


@pytest.mark.parametrize(("name", "kind"), SITES)
@pytest.mark.parametrize(("seconds", "verdict"), [(3.0, "conditional"), (-3.0, "no_go"), (20.0, "no_go")])
def test_at_a_venue_a_clock_that_is_off_is_measured(name: str, kind: Kind, seconds: float, verdict: str) -> None:
    with at(name, kind) as site:
        site.speaker.offset_s = seconds
        assert site.check()["clock"].verdict == verdict


@pytest.mark.parametrize(("name", "kind"), SITES)
def test_a_venue_that_cannot_be_reached_is_a_no_in_all_that_it_should_tell(name: str, kind: Kind) -> None:
    with at(name, kind) as site:
        site.url.faults.always("*", Fault("drop_before"))
        found = site.check()
    assert {one for one, verdict in wrong(found).items() if verdict == "no_go"} == LEANS_ON["exchange"]
