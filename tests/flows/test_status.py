"""Status: where every book stands, in the contract's words, by what is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from core.domain.orders import Holding, Intent, Order, intent_id
from core.domain.risk import Policy
from core.domain.state import Book, BookState, opening
from core.flows.claim import book_key, plain
from core.flows.record import book_document
from core.flows.serving import pointer_key
from core.flows.status import status
from core.flows.switches import flip
from core.ports import Document, Versioned, Write
from tests.fakes import MemoryState

BAR = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOW = BAR + timedelta(hours=1, seconds=5)
BTC = Book(id="btc", symbol="BTC/JPY", policy=Policy(capital=Decimal("10000.50")))
ETH = Book(id="eth", symbol="ETH/JPY")
INTENT = Intent(
    id=intent_id("btc", BAR, "exit"), book="btc", bar=BAR, leg="exit", side="sell", amount=Decimal("0.0300")
)
STATE = BookState(
    holding=Holding(
        cash=Decimal("9990.123456789012345678"),
        position=Decimal("0.0300"),
        average_price=Decimal("9123456.7"),
        stop=Decimal(9000000),
        opened=BAR,
    ),
    equity=Decimal("10001.10"),
    bar=BAR,
    orders=(Order(intent=INTENT, status="unknown"),),
)
LAST = {"outcome": "traded", "reason": "long_faded", "explanation": "BTC/JPY, bar of noon: close the long."}


def traded() -> MemoryState:
    state = MemoryState()
    state.commit(
        [
            Write(book_key("btc"), book_document(STATE, LAST, {"token": 3, "until": None})),
            Write(pointer_key("btc"), {"version": "20240430T0000-abc", "manifest_sha256": "abc"}),
        ]
    )
    return state


def of(state: MemoryState, book: Book = BTC) -> dict[str, Any]:
    (entry,) = status(state, [book])["books"]
    return dict(entry)


def test_a_book_that_has_traded_in_full() -> None:
    assert of(traded()) == {
        "id": "btc",
        "symbol": "BTC/JPY",
        "bar": "2024-05-01T12:00:00Z",
        "mode": "run",
        "switches": {"global": None, "book": None},
        "position": Decimal("0.03"),
        "average_price": Decimal("9123456.7"),
        "stop": Decimal(9000000),
        "unsettled": [f"exit sell 0.0300 ({INTENT.id})"],
        "orders": [f"exit sell 0.0300 ({INTENT.id}): unknown"],
        "trouble": None,
        "breakers": [],
        "equity": Decimal("10001.1"),
        "cash": Decimal("9990.123456789012345678"),
        "trades": 0,
        "model": "20240430T0000-abc",
        "outcome": "traded",
        "reason": "long_faded",
        "explanation": LAST["explanation"],
    }


def test_money_is_an_exact_number_in_json() -> None:
    text = msgspec.json.Encoder(decimal_format="number").encode(status(traded(), [BTC])).decode()
    assert '"position":0.0300,' in text
    assert '"cash":9990.123456789012345678' in text
    assert '"average_price":9123456.7,' in text
    assert '"stop":9000000,' in text


def test_a_book_before_its_first_tick_has_its_capital_and_nothing_else() -> None:
    entry = of(MemoryState())
    assert (entry["equity"], entry["cash"], entry["position"]) == (Decimal("10000.50"), Decimal("10000.50"), 0)
    assert all(type(entry[name]) is Decimal for name in ("equity", "cash", "position", "average_price"))
    assert [entry[name] for name in ("bar", "stop", "model", "outcome", "reason")] == [None] * 5
    assert (entry["unsettled"], entry["mode"]) == ([], "run")


def test_books_come_in_the_settings_order_each_with_its_own() -> None:
    entries = status(traded(), [ETH, BTC])["books"]
    assert [(entry["id"], entry["symbol"], entry["outcome"]) for entry in entries] == [
        ("eth", "ETH/JPY", None),
        ("btc", "BTC/JPY", "traded"),
    ]


def test_it_costs_one_round_trip_however_many_books() -> None:
    class Counting(MemoryState):
        reads = 0

        def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
            self.reads += 1
            return super().read(keys)

    state = Counting()
    assert len(status(state, [msgspec.structs.replace(BTC, id=f"b{i}") for i in range(5)])["books"]) == 5
    assert state.reads == 1


@pytest.mark.parametrize(
    ("everyone", "own", "mode"),
    [
        (None, None, "run"),
        (None, "reduce", "reduce"),
        ("halt", None, "halt"),
        ("halt", "reduce", "halt"),
        ("run", "halt", "halt"),
        ("reduce", "flatten", "flatten"),
    ],
)
def test_the_mode_is_the_severer_of_the_two_switches(everyone: Any, own: Any, mode: str) -> None:
    state = traded()
    if everyone:
        flip(state, "global", everyone, "ada", "why", NOW)
    if own:
        flip(state, "btc", own, "ada", "why", NOW)
    entry = of(state)
    assert entry["mode"] == mode
    assert [switch and switch["mode"] for switch in entry["switches"].values()] == [everyone, own]


@pytest.mark.parametrize("document", [{}, {"mode": "HALT"}, {"mode": None}])
def test_a_switch_that_nobody_can_read_shows_as_halt(document: Document) -> None:
    state = traded()
    state.commit([Write("switches/global", document)])
    assert of(state)["mode"] == "halt"


def test_one_damaged_book_is_told_and_the_others_are_shown() -> None:
    state = traded()
    broken = {**plain(opening(ETH)), "equity": "much"}
    state.commit([Write(book_key("eth"), {"state": broken})])
    damaged, fine = status(state, [ETH, BTC])["books"]
    assert (damaged["id"], damaged["outcome"], damaged["mode"]) == ("eth", "damaged", "run")
    assert "equity" in damaged["reason"]
    assert fine["outcome"] == "traded"
