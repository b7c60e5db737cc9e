"""Breakers on the road of a bar: they stop the tick as they stop the backtest, are told once, and wait for a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from core.domain.backtest import Result, backtest
from core.domain.decide import Decision
from core.domain.orders import Fill
from core.domain.risk import Policy, Trip
from core.domain.state import Book, BookState
from core.flows.claim import breakers_key, switch_keys
from core.flows.switches import flip, trips_document
from core.flows.tick import tick
from core.ports import Document
from tests.flows.test_tick import EAGER, run, state
from tests.road import RULES, Road, road

OWN = switch_keys("btc")[1]
LIVELY: dict[str, Any] = {"model_max_age_days": 0.0, "threshold": 0.01, "threshold_min": 0.0, "kelly_trades": 1}


def book(**policy: Any) -> Book:
    """With every breaker and limit as it is by default, unless `policy` says so."""
    return Book(id="btc", symbol="BTC/USDT", policy=Policy(**{**LIVELY, **policy}), rules=RULES)


def folded(made: Road, last: int) -> Result:
    p_up, context = made.forecasts()
    return backtest(made.book, made.bars[:last], p_up[:last], context[:last], made.first, first=made.first)


def alerts(made: Road, event: str) -> list[Document]:
    return [alert for _, alert in made.world.state.scan("outbox") if alert["event"] == event]


def switch(made: Road) -> Document | None:
    return made.world.state.read([OWN])[OWN].data


@pytest.mark.parametrize(
    ("policy", "reasons"),
    [
        ({}, {"breaker_cooldown"}),
        ({"drawdown": 0.004, "drawdown_level": "flatten"}, {"breaker_drawdown"}),
        ({"daily_loss": 0.003, "daily_loss_level": "flatten", "drawdown": 0.0}, {"breaker_daily_loss"}),
        ({"losses": 2, "losses_level": "halt", "drawdown": 0.0, "cooldown_hours": 0.0}, {"breaker_losses"}),
        ({"slippage": 0.0001, "slippage_fills": 1, "slippage_level": "reduce", "drawdown": 0.0}, {"breaker_slippage"}),
    ],
)
def test_ticks_and_backtest_stop_alike(policy: dict[str, Any], reasons: set[str]) -> None:
    """Every decision, fill and mark, with sizing and breakers as they are by default."""
    made, last = road(book(**policy)), 1400
    for index in range(made.first, last):
        tick(made.world, made.book, made.at(index))
    records = [record for _, record in made.world.state.scan("ticks", "btc@", "btc@~")]
    result = folded(made, last)
    assert [msgspec.convert(record["decision"], Decision) for record in records] == result.decisions
    assert [msgspec.convert(fill, Fill) for record in records for fill in record["fills"]] == result.fills
    assert msgspec.structs.replace(state(made), orders=()) == msgspec.structs.replace(result.state, orders=())
    assert reasons <= {decision.reason for decision in result.decisions}
    assert len(result.fills) > 1, "nothing was traded: this run proves nothing"


def fallen() -> tuple[Road, int]:
    """A road on which the drawdown has tripped at the tick before `index`, while a position was held."""
    made = road(book(**{**EAGER, "drawdown": 0.003, "daily_loss": 0.0}))
    for index in range(made.first, made.first + 400):
        run(made, index)
        if state(made).tripped and state(made).holding.position:
            return made, index + 1
    raise AssertionError("it never fell")


def test_a_drawdown_closes_all_halts_the_book_by_its_own_switch_and_says_so_once() -> None:
    made, index = fallen()
    flipped = switch(made)
    assert flipped is not None
    assert (flipped["mode"], flipped["by"]) == ("flatten", "hourhand")
    assert "fell" in flipped["reason"]
    for later in range(index, index + 5):
        said = run(made, later)
    assert not state(made).holding.position
    assert (said["outcome"], said["reason"]) == ("halted", "breaker_drawdown")
    told = [alert["severity"] for alert in alerts(made, "breaker") if "drawdown" in alert["title"]]
    assert told == ["error"]


def test_a_person_who_resumes_begins_anew() -> None:
    made, index = fallen()
    run(made, index)
    flip(made.world.state, "btc", "run", "me", "I looked", made.clock.now())
    said = run(made, index + 1)
    after: BookState = state(made)
    assert said["mode"] == "run"
    assert not said["reason"].startswith("breaker_drawdown")
    assert (after.tripped, after.marks and after.marks.peak) == ((), after.equity)
    for later in range(index + 2, index + 6):
        run(made, later)
    assert switch(made) == {"mode": "run", "reason": "I looked", "by": "me", "at": made.clock.now()}


def guarded(made: Road, **trip: Any) -> None:
    """As if the guard had found it."""
    now = made.clock.now()
    found = Trip(**{"breaker": "price_move", "level": "reduce", "since": now, "detail": "it moved"} | trip)
    made.world.state.commit([_put(trips_document([found]))])


def _put(document: Document) -> Any:
    from core.ports import Write

    return Write(breakers_key("btc"), document)


def test_what_the_guard_found_keeps_the_tick_from_new_risk_while_it_counts() -> None:
    made = road(book(**EAGER))
    guarded(made, until=made.clock.now() + timedelta(hours=1))
    said = run(made, made.first)
    assert (said["outcome"], said["reason"], said["orders"]) == ("stayed_out", "breaker_price_move", [])
    assert "it moved" in said["explanation"]
    made.clock.advance(timedelta(hours=2))
    assert run(made, made.first + 1)["outcome"] == "traded"


@pytest.mark.parametrize("damage", [{"trips": 3}, {"trips": [{"level": "reduce"}]}, {"trips": [{"level": "?"}]}])
def test_breakers_that_cannot_be_read_halt(damage: Document) -> None:
    made = road(book(**EAGER))
    made.world.state.commit([_put(damage)])
    said = run(made, made.first)
    assert (said["outcome"], said["reason"]) == ("halted", "breaker_unreadable")
    assert "breakers/btc" in said["explanation"]


def test_each_result_knows_its_share_of_the_equity_and_its_cause() -> None:
    made = road(book(drawdown=0.0, daily_loss=0.0, cooldown_hours=0.0, stop_atr=0.5))
    for index in range(made.first, made.first + 300):
        run(made, index)
    results = state(made).results
    assert len(results) > 3
    assert all(abs(result.share / float(result.pnl) * 10_000 - 1) < 0.3 for result in results)
    assert {result.stopped for result in results} == {True, False}


def test_a_venue_whose_margin_is_low_or_whose_money_is_used_gets_no_entry() -> None:
    for changes, reason in (({"margin": "0.9"}, "margin_low"), ({"free": "0"}, "size_zero_lots")):
        made = road(book(**EAGER))
        exchange = _Showing(made.world.exchange, {name: msgspec.convert(value, Any) for name, value in changes.items()})
        said = run(made, made.first, replace(made.world, exchange=exchange))
        assert said["orders"] == []
        assert said["reason"] in (reason, "size_free_balance"), said


class _Showing:
    """An exchange that shows what it is told to show beside the rest."""

    def __init__(self, exchange: Any, shown: dict[str, Any]) -> None:
        from decimal import Decimal

        self._exchange, self._shown = exchange, {name: Decimal(value) for name, value in shown.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    def look(self, *arguments: Any) -> Any:
        return msgspec.structs.replace(self._exchange.look(*arguments), **self._shown)
