"""What waits in the outbox: each alert says what happened, names what it tells of, and is understood again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.domain.alerts import Alert, understood
from core.domain.orders import Fill, Order
from core.domain.risk import Trip
from core.domain.settle import News
from core.domain.state import Book, Trade
from core.flows import outbox
from core.ports import Write
from tests.domain.drawn import BAR, HOUR
from tests.domain.test_state import ENTRY

BOOK = Book(id="btc", symbol="BTC/JPY")
FILL: dict[str, Any] = {"bar": BAR, "side": "buy", "amount": Decimal("0.1"), "price": Decimal(15_000_000)}
OPENED = Fill(id="e1", fee=Decimal(18), cause="entry", stop=Decimal(14_800_000), **FILL)
TRADE = Trade(
    opened=BAR, closed=BAR + HOUR, side="long", amount=Decimal("0.1"), entry=Decimal(15_000_000),
    exit=Decimal("14799000.5"), fees=Decimal(36), pnl=Decimal("-20135.95"), cause="stop",
)  # fmt: skip


def told(write: Write) -> Alert:
    """As the function that delivers it reads it."""
    room, _, name = write.key.partition("/")
    assert room == "outbox"
    assert write.data is not None
    return understood(name, write.data, BAR)


def test_a_trade_is_told_when_it_opens_and_with_its_pnl_when_it_closes() -> None:
    first, second = map(told, outbox.news_alerts(BOOK, BAR, News(fills=(OPENED,), trades=(TRADE,))))
    assert (first.event, first.severity, first.book) == ("trade_opened", "info", "btc")
    assert (first.title, first.fields["stop"]) == ("long 0.1 at 15000000", "14800000")
    assert (second.event, second.title) == ("trade_closed", "long closed by its stop, P&L -20135.95")
    assert (second.fields["P&L"], second.fields["exit"]) == ("-20135.95", "14799000.50")


def test_an_exits_fill_is_told_by_the_trade_that_it_closed() -> None:
    left = Fill(id="x1", fee=Decimal(18), cause="exit", **FILL)
    assert outbox.news_alerts(BOOK, BAR, News(fills=(left,))) == []


def test_what_was_lost_and_what_needs_a_person_are_told() -> None:
    lost = Order(intent=ENTRY, status="never_placed", detail="the venue showed nothing of it")
    found = [told(each) for each in outbox.news_alerts(BOOK, BAR, News(lost=(lost,), trouble="0.1 too much"))]
    assert [(alert.event, alert.severity) for alert in found] == [("order_unknown", "warning"), ("trouble", "critical")]
    assert "never arrived" in found[0].text
    assert found[1].text == "0.1 too much"


@pytest.mark.parametrize(
    ("trip", "severity", "title"),
    [
        ({"level": "reduce", "until": BAR + HOUR}, "warning", "breaker losses, reduce until 2024-05-01 13:00 UTC"),
        ({"level": "flatten"}, "error", "breaker losses, flatten until a person resumes"),
        ({"level": "reduce", "breaker": "cooldown", "until": BAR}, "info", "breaker cooldown, reduce until"),
        ({"level": "halt", "scope": "account"}, "error", "account breaker losses, halt until a person resumes"),
    ],
)
def test_a_breaker_says_what_it_allows_and_until_when(trip: dict[str, Any], severity: str, title: str) -> None:
    alert = told(outbox.tripped_alert(BOOK, BAR, Trip(**{"breaker": "losses", "since": BAR, "detail": "five"} | trip)))
    assert (alert.severity, alert.text) == (severity, "five")
    assert alert.title.startswith(title)
    assert alert.book == ("" if trip.get("scope") else "btc")


def test_the_same_trip_has_the_same_name_as_long_as_it_lasts() -> None:
    trips = [Trip(breaker="losses", level="reduce", since=BAR + n * HOUR, until=BAR + 24 * HOUR) for n in range(3)]
    assert len({outbox.tripped_alert(BOOK, BAR + n * HOUR, trip).key for n, trip in enumerate(trips)}) == 1
    later = Trip(breaker="losses", level="reduce", since=BAR, until=BAR + 25 * HOUR)
    assert outbox.tripped_alert(BOOK, BAR, later).key != outbox.tripped_alert(BOOK, BAR, trips[0]).key


def test_only_a_refusal_is_told_as_one() -> None:
    said = {"outcome": "refused", "reason": "window_gap", "explanation": "bars are missing"}
    (write,) = outbox.refusal(BOOK, BAR, said)
    assert (told(write).event, told(write).title, told(write).text) == (
        "refusal", "no trading, window gap", "bars are missing",
    )  # fmt: skip
    assert outbox.refusal(BOOK, BAR, {**said, "outcome": "held"}) == []


@pytest.mark.parametrize(
    ("reasons", "live", "event", "severity"),
    [
        ([], True, "model_promoted", "info"),
        (["AUC too low"], True, "model_promoted", "warning"),
        (["AUC too low"], False, "model_refused", "warning"),
    ],
)
def test_a_model_that_went_live_or_was_refused(reasons: list[str], live: bool, event: str, severity: str) -> None:
    alert = told(outbox.model_alert(BOOK, "v1", BAR + timedelta(days=1), reasons, live))
    assert (alert.event, alert.severity) == (event, severity)
    assert all(reason in alert.text for reason in reasons)
