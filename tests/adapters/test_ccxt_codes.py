"""What the venues' codes prove: which of them say that an order was not placed, and which leave that open."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import ccxt
import pytest

from core.adapters.ccxt_exchange import venues
from core.adapters.ccxt_exchange.venues import VENUES
from tests.adapters.ordering import ENTRY, Found, order, told, venue
from tests.adapters.scripted import Answer
from tests.adapters.test_ccxt_times import WIRE

REFUSALS: dict[str, frozenset[str]] = {
    "bybit": venues._BYBIT, "okx": venues._OKX, "bitget": venues._BITGET, "bittrade": venues._BITTRADE,
    "bitflyer": venues._BITFLYER,
}  # fmt: skip
OF_ONE_PAIR = {"41114", "43115"}  # bitget's "the current trading pair is under maintenance", "is opening soon"


def named(table: Any) -> Iterator[tuple[str, type[Exception]]]:
    for name, meaning in table.items():
        if isinstance(meaning, dict):
            yield from named(meaning)
        else:
            yield name, meaning


@pytest.mark.parametrize("venue_id", VENUES)
def test_no_code_that_tells_of_a_venue_in_trouble_is_a_refusal(venue_id: str) -> None:
    known = dict(named(getattr(ccxt, venue_id)().exceptions))
    codes = VENUES[venue_id].codes
    vague = {
        code for code, error in known.items() if issubclass(error, (ccxt.RequestTimeout, ccxt.ExchangeNotAvailable))
    }
    rated = {code for code, error in known.items() if issubclass(error, ccxt.DDoSProtection)}  # these are turned away
    vague = (vague - rated) | {code for code, kind in codes.kinds.items() if kind in ("server", "timeout")}
    assert {code for code in vague - OF_ONE_PAIR if codes.refuses(code)} == set()
    assert not codes.refuses("")
    assert not any(codes.refuses(f"http_{status}") for status in (200, 302, 408, 500, 502, 503, 504))


@pytest.mark.parametrize("venue_id", VENUES)
def test_a_duplicate_is_never_a_refusal_and_is_known_to_ccxt_as_one_order(venue_id: str) -> None:
    known = VENUES[venue_id]
    assert [code for code in known.duplicates if known.codes.refuses(code)] == []
    assert (not known.duplicates) == (venue_id in {"bittrade", "bitflyer"})


SAID: dict[str, tuple[Found, str]] = {
    "bybit": ({"retCode": 10016, "retMsg": "Service is restarting", "result": {}}, "10016"),
    "okx": ({"code": "50001", "msg": "Service temporarily unavailable", "data": []}, "50001"),
    "bitget": (Answer(400, {"code": "40015", "msg": "System is abnormal", "data": None}), "40015"),
    "bittrade": ({"status": "error", "err-code": "system-maintenance", "err-msg": "so", "data": None}, "maintenance"),
    "bitflyer": ({"status": -2, "error_message": "Under maintenance", "data": None}, "maintenance"),
}


@pytest.mark.parametrize("venue_id", VENUES)
def test_an_order_that_meets_maintenance_of_the_whole_venue_is_unknown(venue_id: str) -> None:
    symbol, routes, path, *_ = WIRE[venue_id]
    answer, said = SAID[venue_id]
    with venue(venue_id, symbol, {**routes, f"POST {path}": answer}) as (server, at):
        (placed,) = told(at, ENTRY)
        assert len(server.sent(path)) == 1
    assert (placed.outcome, said in placed.detail) == ("unknown", True)


@pytest.mark.parametrize("venue_id", VENUES)
@pytest.mark.parametrize(
    "page", [Answer(200, b"<html></html>"), Answer(200, b""), Answer(502, b"<html></html>"), Answer(200, [])]
)
def test_an_order_that_meets_something_else_than_the_venue_is_unknown(venue_id: str, page: Answer) -> None:
    symbol, routes, path, *_ = WIRE[venue_id]
    with venue(venue_id, symbol, {**routes, f"POST {path}": page}) as (server, at):
        (placed,) = told(at, ENTRY)
        assert len(server.sent(path)) == 1
    assert placed.outcome == "unknown"


def test_what_cannot_be_taken_back_for_want_of_a_venue_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with venue("okx", WIRE["okx"][0], {}) as (_, at), caplog.at_level(logging.WARNING):
        at.cancel("b", [order("stop", "sell", "0.01", "40000", name="77")])
    assert ["nothing was taken back" in record.getMessage() for record in caplog.records] == [True]
