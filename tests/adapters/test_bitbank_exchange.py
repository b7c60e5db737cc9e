from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.adapters.bitbank_exchange import BitbankExchange
from core.adapters.bitbank_exchange.codes import KINDS, OVER, REFUSALS
from core.domain.orders import ZERO, Leg, Side
from core.ports import Exchange, Unavailable
from tests.adapters.bitbank_bench import ORDER, Bench, Edit, OfVenue, RealClock, bench
from tests.road import DATA, real
from tests.venues.bitbank import answer
from tests.venues.faults import KINDS as FAULTS
from tests.venues.faults import Fault, FaultKind

CANCEL = "/v1/user/spot/cancel_order"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def on_margin() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.fixture
def on_spot() -> Iterator[Bench]:
    with bench(margin=False, base="0.5") as made:
        yield made


# What it is


def test_it_is_an_exchange_that_says_what_bitbank_can_do(on_margin: Bench, on_spot: Bench) -> None:
    port: Exchange = on_margin.exchange
    assert (port.traits.identity, port.traits.stops, port.traits.instant) == ("none", "resting", True)
    assert port.traits.short and not on_spot.exchange.traits.short
    assert all(note.endswith(".") for note in port.traits.notes)
    assert on_margin.url.requests == []


@pytest.mark.parametrize("symbol", ["BTCJPY", "BTC/", "/JPY", "", "BTC/JPY:JPY"])
def test_a_symbol_that_cannot_be_is_refused_at_once(symbol: str, on_margin: Bench) -> None:
    with pytest.raises(ValueError, match="symbol"):
        BitbankExchange(symbol, "k", "s", OfVenue(on_margin.engine.clock), {})


@pytest.mark.parametrize("window_ms", [0, -1, 60_001])
def test_a_window_that_bitbank_does_not_allow_is_refused_at_once(window_ms: int, on_margin: Bench) -> None:
    with pytest.raises(ValueError, match="window_ms"):
        BitbankExchange("BTC/JPY", "k", "s", OfVenue(on_margin.engine.clock), {}, window_ms=window_ms)


def test_its_keys_are_not_in_its_name(on_margin: Bench) -> None:
    on_margin.look()
    assert not any(secret in repr(on_margin.exchange) for secret in ("KEYKEYKEY", "SECRETSECRET"))


COLD = """
import sys
from pathlib import Path
from core.wiring import app
live = app(Path("config/live.toml"), {"VENUE_API_KEY": "key", "VENUE_API_SECRET": "secret", **SETTINGS})
world = live.world("btc-jpy-1h")
assert type(world.exchange).__name__ == "BitbankExchange"
assert world.exchange.traits.notes
sys.exit(", ".join(sorted({"ccxt", "requests", "pandas", "scipy"} & sys.modules.keys())) or 0)
"""


def test_wiring_a_live_book_does_not_import_ccxt(tmp_path: Path) -> None:
    models = {"HOURHAND__MODELS__BACKEND": "dir", "HOURHAND__MODELS__PATH": str(tmp_path / "models")}
    state = {"HOURHAND__STATE__BACKEND": "sqlite", "HOURHAND__STATE__PATH": str(tmp_path / "state.db")}
    code = COLD.replace("SETTINGS", repr({**models, **state}))
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


# A life


@pytest.mark.parametrize(("side", "back", "sign"), [("buy", "sell", 1), ("sell", "buy", -1)])
def test_the_life_of_a_position_on_margin(on_margin: Bench, side: Side, back: Side, sign: int) -> None:
    entry = on_margin.place("entry", side, "0.1234")
    stop = on_margin.place("stop", back, "0.1234")
    sight = on_margin.look(entry, stop)
    assert sight.position == sign * Decimal("0.1234") == on_margin.engine.position
    assert {(one.order_id, one.status, one.kind) for one in sight.orders} == {
        (entry.order_id, "filled", "market"),
        (stop.order_id, "open", "stop"),
    }
    assert next(one.stop for one in sight.orders if one.kind == "stop") == stop.intent.stop
    on_margin.exchange.cancel("btc", [stop])
    on_margin.engine.clock.advance(7200)
    leave = on_margin.place("exit", back, "0.1234")
    sight = on_margin.look(entry, stop, leave)
    assert sight.position == 0
    assert {one.order_id: one.status for one in sight.orders} == {
        entry.order_id: "filled", stop.order_id: "cancelled", leave.order_id: "filled",
    }  # fmt: skip
    assert [(one.order_id, one.side) for one in sight.executions] == [(entry.order_id, side), (leave.order_id, back)]
    cost = sum((one.fee + one.interest for one in sight.executions), ZERO)
    profit = sign * (sight.executions[1].price - sight.executions[0].price) * Decimal("0.1234")
    assert on_margin.engine.cash == 1_000_000 + profit - cost
    assert all(one.fee > 0 for one in sight.executions) and sight.executions[1].interest > 0


def test_the_life_of_coins_of_ones_own(on_spot: Bench) -> None:
    entry = on_spot.place("entry", "buy", "0.1")
    stop = on_spot.place("stop", "sell", "0.6")
    sight = on_spot.look(entry, stop)
    assert (sight.position, sight.reserved) == (Decimal("0.6"), ZERO)
    assert sight.rules is not None and (sight.rules.leverage, sight.rules.interest_per_day) == (1, 0)
    on_spot.exchange.cancel("btc", [stop])
    leave = on_spot.place("exit", "sell", "0.6")
    sight = on_spot.look(entry, stop, leave)
    assert (sight.position, [one.interest for one in sight.executions]) == (0, [0, 0])
    assert not any("position_side" in body for body in on_spot.bodies())


def test_a_stop_that_was_hit_is_told_with_its_execution(on_margin: Bench) -> None:
    entry = on_margin.place("entry", "buy")
    stop = on_margin.place("stop", "sell", stop=on_margin.engine.price() - 100)
    on_margin.engine.clock.advance(100 * 3600)
    sight = on_margin.look(entry, stop)
    assert (sight.position, {one.status for one in sight.orders}) == (0, {"filled"})
    assert sight.executions[-1].order_id == stop.order_id
    assert sight.executions[-1].price == stop.intent.stop


def test_a_quiet_look_takes_eight_questions_and_the_next_one_six(on_margin: Bench) -> None:
    on_margin.look()
    assert len(on_margin.url.requests) == 8
    on_margin.look()
    assert len(on_margin.url.requests) == 14
    on_margin.engine.clock.advance(3600)
    on_margin.look()
    assert sum(request.path == "/spot/pairs" for request in on_margin.url.requests) == 2


# What is sent


@pytest.mark.parametrize(
    ("leg", "side", "position_side"),
    [
        ("entry", "buy", "long"), ("entry", "sell", "short"), ("exit", "sell", "long"), ("exit", "buy", "short"),
        ("stop", "sell", "long"), ("stop", "buy", "short"),
    ],
)  # fmt: skip
def test_an_order_on_margin_says_which_position_it_is_about(
    on_margin: Bench, leg: Leg, side: Side, position_side: str
) -> None:
    on_margin.exchange.submit("btc", [on_margin.order(leg, side)])
    (body,) = on_margin.bodies()
    assert (body["side"], body["position_side"]) == (side, position_side)
    assert body["type"] == ("stop" if leg == "stop" else "market")
    assert ("trigger_price" in body) == (leg == "stop")


@given(amount=st.decimals("0.00000001", "99999999", places=8), trigger=st.decimals("0.001", "99999999", places=3))
@settings(max_examples=40, deadline=None)
def test_amounts_and_prices_are_sent_as_they_are_digit_by_digit(amount: Decimal, trigger: Decimal) -> None:
    with bench() as made:
        made.exchange.submit("btc", [made.order("stop", "sell", str(amount), trigger)])
        (body,) = made.bodies()
    for text, value in ((body["amount"], amount), (body["trigger_price"], trigger)):
        assert isinstance(text, str)
        assert Decimal(text) == value
        assert "E" not in text.upper()
        assert "." not in text or not text.endswith("0")


def test_nobody_is_short_with_coins_of_their_own(on_spot: Bench) -> None:
    (told,) = on_spot.exchange.submit("btc", [on_spot.order("entry", "sell")])
    assert told.outcome == "refused"
    assert on_spot.url.requests == []


def test_a_stop_without_a_price_is_not_sent(on_margin: Bench) -> None:
    order = on_margin.order("stop", "sell")
    (told,) = on_margin.exchange.submit("btc", [replace(order, intent=replace(order.intent, stop=None))])
    assert told.outcome == "refused"
    assert on_margin.url.requests == []


@pytest.mark.parametrize("fault", [Fault("drop_after"), answer(60001)])
def test_nothing_follows_an_order_that_was_not_placed(on_margin: Bench, fault: Fault) -> None:
    orders = [on_margin.order(leg, side) for leg, side in (("exit", "sell"), ("entry", "sell"), ("stop", "buy"))]
    on_margin.url.faults.next(f"POST {ORDER}", fault)
    told = on_margin.exchange.submit("btc", orders)
    assert [one.intent for one in told] == [order.intent.id for order in orders]
    assert [one.outcome for one in told[1:]] == ["refused", "refused"]
    assert all("not sent" in one.detail for one in told[1:])
    assert len(on_margin.bodies()) == 1


# What comes back


def test_the_list_of_refusals_is_closed_and_bitbanks_own() -> None:
    documented = json.loads(real(DATA / "fixtures/bitbank/error_codes.json").read_text())
    assert set(documented) >= REFUSALS | OVER | set(KINDS)
    of_system = {code for code, row in documented.items() if row["category"] == "SYSTEM_ERROR"} & REFUSALS
    assert of_system == {"10000", "10002", "10009"} | {code for code in of_system if code.startswith("70")}
    vague = ("System error", "busy", "Timeout", "maintenance", "in process", "Withdraw", "Lending")
    assert [code for code in REFUSALS if any(word in documented[code]["message"] for word in vague)] == []


SYSTEM = ("10001", "10003", "10005", "10007", "10008", "70001", "70002", "70003", "70011", "70012", "70019", "99999")


@pytest.mark.parametrize("status", [200, 400])
def test_every_code_is_told_as_refused_or_unknown_and_nothing_is_sent_twice(on_margin: Bench, status: int) -> None:
    for count, code in enumerate((*sorted(REFUSALS), *SYSTEM), 1):
        on_margin.url.faults.next(f"POST {ORDER}", answer(int(code), status))
        (told,) = on_margin.exchange.submit("btc", [on_margin.order()])
        assert told.outcome == ("refused" if code in REFUSALS else "unknown"), code
        assert code in told.detail
        assert len(on_margin.bodies()) == count
        if code in SYSTEM:
            on_margin.look()  # a venue that answers is not down
    assert on_margin.engine.log == []


def fault(kind: FaultKind) -> Fault:
    return Fault(kind, seconds=1.0 if kind.startswith("delay") else 2.0)


OUTCOMES: dict[FaultKind, str] = {
    "rate_limit": "refused",
    "ban": "refused",  # as this venue says it: too many requests
    "skew": "placed",
    "stale": "placed",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_an_order_is_never_told_as_refused_when_it_was_placed_nor_placed_twice(kind: FaultKind) -> None:
    with bench(timeout_ms=400) as made:
        made.look()
        made.url.faults.next(f"POST {ORDER}", fault(kind))
        (told,) = made.exchange.submit("btc", [made.order()])
        if kind == "late":
            made.engine.clock.advance(made.exchange.traits.window_s)
        assert told.outcome == OUTCOMES.get(kind, "unknown")
        assert len(made.bodies()) == 1
        accepted = made.engine.accepted()
        assert len(accepted) <= 1
        if told.outcome == "placed":
            assert [str(order.id) for order in accepted] == [told.order_id]
        if told.outcome == "refused":
            assert accepted == []


def test_all_kinds_of_faults_are_tried() -> None:
    assert set(FAULTS) == set(get_args(FaultKind))


@pytest.mark.parametrize("late_s", [0.5, 4.0, 5.5, 9.0])
def test_what_was_not_answered_is_on_the_venue_after_the_window_or_never(late_s: float) -> None:
    with bench(own=RealClock()) as made:
        made.url.faults.next(f"POST {ORDER}", Fault("late", seconds=late_s))
        (told,) = made.exchange.submit("btc", [made.order()])
        assert told.outcome == "unknown"
        made.engine.clock.advance(made.exchange.traits.window_s)
        there = len(made.engine.accepted())
        assert there == (late_s < 5)
        made.engine.clock.advance(3600)
        assert len(made.engine.accepted()) == there


@pytest.mark.parametrize(("ahead_s", "outcome"), [(0.9, "placed"), (1.5, "refused"), (-4.5, "placed"), (-6, "refused")])
def test_a_clock_that_is_off_is_refused_by_name(ahead_s: float, outcome: str) -> None:
    with bench(ahead_s=ahead_s) as made:
        (told,) = made.exchange.submit("btc", [made.order()])
        assert told.outcome == outcome
        if outcome == "refused":
            assert "this machine's clock" in told.detail
            with pytest.raises(Unavailable, match="this machine's clock"):
                made.look()


def test_an_order_is_signed_with_the_time_at_which_it_was_written_down(on_margin: Bench) -> None:
    order = on_margin.order()
    assert order.sent is not None
    on_margin.engine.clock.advance(3)
    on_margin.exchange.submit("btc", [order])
    on_margin.look()
    (sent,), later = on_margin.url.asked("POST", ORDER), on_margin.url.requests[-1]
    signed = int(sent.headers["access-request-time"])
    assert signed == round(order.sent.timestamp() * 1000)
    assert int(later.headers["access-request-time"]) == signed + 3000


@pytest.mark.parametrize("window_ms", [1500, 5000, 60_000])
def test_the_window_that_is_counted_with_is_the_one_that_the_venue_is_told(on_margin: Bench, window_ms: int) -> None:
    urls = dict.fromkeys(("public", "private", "markets"), on_margin.url)
    made = BitbankExchange("BTC/JPY", "KEYKEYKEY", "SECRETSECRET", on_margin.clock, urls, window_ms=window_ms)
    assert made.traits.window_s > window_ms / 1000 + 1
    made.submit("btc", [on_margin.order()])
    (sent,) = on_margin.url.asked("POST", ORDER)
    assert (sent.headers["access-time-window"], sent.status) == (str(window_ms), 200)
    assert "access-nonce" not in sent.headers


def test_an_order_that_was_written_down_too_long_ago_is_not_sent(on_margin: Bench) -> None:
    order = on_margin.order()
    on_margin.engine.clock.advance(5.5)
    (told,) = on_margin.exchange.submit("btc", [order])
    assert (told.outcome, "older than 5000 ms" in told.detail) == ("refused", True)
    assert on_margin.bodies() == []


@pytest.mark.parametrize("wait_s", [0.0, 2.0, 4.9])
def test_the_venue_itself_lets_an_order_expire_by_the_time_at_which_it_was_written_down(wait_s: float) -> None:
    with bench() as made:
        order = made.order()
        made.engine.clock.advance(wait_s)
        made.url.faults.next(f"POST {ORDER}", Fault("skew", seconds=5.5 - wait_s))
        (told,) = made.exchange.submit("btc", [order])
        assert told.outcome == "refused"
        assert made.engine.log == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: {**data, "pair": "eth_jpy"},
        lambda data: {**data, "side": "sell"},
        lambda data: {**data, "type": "limit"},
        lambda data: {**data, "start_amount": "0.2"},
        lambda data: {**data, "order_id": None},
        lambda data: {**data, "order_id": "abc"},
        lambda data: {},
        lambda data: [data],
    ],
)
def test_an_answer_that_is_not_about_this_order_leaves_it_unknown(on_margin: Bench, edit: Edit) -> None:
    on_margin.venue.edits[ORDER] = edit
    (told,) = on_margin.exchange.submit("btc", [on_margin.order()])
    assert (told.outcome, told.order_id) == ("unknown", "")


def test_an_order_that_cannot_leave_is_refused(on_margin: Bench) -> None:
    gone = dict.fromkeys(("public", "private", "markets"), "http://127.0.0.1:1")
    lost = BitbankExchange("BTC/JPY", "k", "s", OfVenue(on_margin.engine.clock), gone)
    (told,) = lost.submit("btc", [on_margin.order()])
    assert told.outcome == "refused"
    assert "nothing was sent" in told.detail


# Cancelling


def test_cancelling_what_is_over_is_no_matter(on_margin: Bench, caplog: pytest.LogCaptureFixture) -> None:
    filled = on_margin.place("entry", "buy")
    stop = on_margin.place("stop", "sell")
    with caplog.at_level(logging.WARNING):
        on_margin.exchange.cancel("btc", [filled, stop, stop, replace(stop, order_id="424242")])
    assert caplog.records == []
    assert len(on_margin.bodies(CANCEL)) == 4
    assert on_margin.engine.open_orders() == []


@pytest.mark.parametrize("broken", [Fault("drop_before"), Fault("error_after"), answer(70018), answer(10007)])
def test_cancelling_that_may_have_failed_is_told_and_the_rest_goes_on(
    on_margin: Bench, caplog: pytest.LogCaptureFixture, broken: Fault
) -> None:
    on_margin.place("entry", "buy", "0.2")
    first, second = on_margin.place("stop", "sell"), on_margin.place("stop", "sell")
    on_margin.url.faults.next(f"POST {CANCEL}", broken)
    with caplog.at_level(logging.WARNING):
        on_margin.exchange.cancel("btc", [first, second])
    assert [first.order_id in record.getMessage() for record in caplog.records] == [True]
    assert [body["order_id"] for body in on_margin.bodies(CANCEL)] == [int(first.order_id), int(second.order_id)]
