"""tick: what it does when all is well, and that it takes no new risk when anything is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.bars import Bars, moment
from core.domain.decide import Decision
from core.domain.fills import PAPER
from core.domain.orders import Answer, Order, Sight
from core.flows.claim import book_key, state_of, tick_key
from core.flows.gather import together
from core.flows.serving import pointer_key
from core.flows.tick import tick
from core.ports import Calls, Document, StateStore, Unavailable, Vetting, Watch, World, Write
from tests.fakes import Call, delayed, in_sequence
from tests.road import HOUR, ArrayMarket, Road, artefact, drawn, go_live, road, small_book

EAGER = {"threshold": 0.0, "threshold_max": 0.0}  # enters at once, whatever the forecast


def state(made: Road) -> Any:
    return state_of(made.world.state.read([book_key(made.book.id)])[book_key(made.book.id)].data, made.book)


def record(made: Road, index: int) -> Document:
    key = tick_key(made.book.id, moment(made.bars.time[index]))
    found = made.world.state.read([key])[key].data
    assert found is not None
    return found


def run(made: Road, index: int, world: World | None = None) -> Document:
    return tick(world or made.world, made.book, made.at(index))


def entered(**policy: Any) -> tuple[Road, int]:
    """A road on which the tick before `index` has sent an entry."""
    made = road(small_book(**EAGER, **policy))
    said = run(made, made.first)
    assert said["action"] == "enter", said
    return made, made.first + 1


# -- the road when all is well


def test_a_tick_decides_writes_everything_down_and_answers() -> None:
    made = road(small_book(**EAGER))
    said = run(made, made.first)
    assert {"outcome": "traded", "book": "btc", "action": "enter", "mode": "run"}.items() <= said.items()
    assert said["bar"] == f"{moment(made.bars.time[made.first]):%Y-%m-%dT%H:%M:%SZ}"
    assert said["reason"] in ("long_signal", "short_signal")
    written = record(made, made.first)
    assert written["phase"] == "done"
    assert written["answer"] == said
    assert len(written["row"]) == 12
    assert set(written["members"]) == {"lightgbm", "xgboost", "forest"}


def test_the_order_is_filled_at_the_next_bars_open_with_its_stop_resting() -> None:
    made, index = entered()
    run(made, index)
    (fill, *_) = record(made, index)["fills"]
    opened = made.bars.open[index]
    assert abs(float(fill["price"]) / opened - 1) < 0.0003
    holding = state(made).holding
    assert holding.position and holding.stop is not None


def test_a_repeated_tick_answers_with_the_record_and_does_nothing_else() -> None:
    made, index = entered()
    before = made.world.state.read([book_key("btc"), "paper/btc"])
    again = run(made, index - 1)
    assert again == record(made, index - 1)["answer"]
    assert made.world.state.read([book_key("btc"), "paper/btc"]) == before


def test_a_tick_for_a_bar_that_the_book_has_passed_is_superseded() -> None:
    made, index = entered()
    run(made, index + 3)
    assert run(made, index)["outcome"] == "superseded"


def test_while_another_invocation_holds_the_book_a_tick_is_busy() -> None:
    made = road()
    lease = {"token": 4, "bar": made.at(0), "until": made.clock.now() + timedelta(seconds=60)}
    made.world.state.commit([Write(book_key("btc"), {"lease": lease})])
    assert run(made, made.first)["outcome"] == "busy"
    made.clock.advance(timedelta(seconds=61))
    assert run(made, made.first)["outcome"] != "busy"
    assert record(made, made.first)["token"] == 5


def test_the_venue_is_asked_only_for_what_is_not_stored() -> None:
    asked: list[tuple[datetime, datetime]] = []

    class Asked(ArrayMarket):
        def bars(self, since: datetime, until: datetime) -> Bars:
            asked.append((since, until))
            return super().bars(since, until)

    made = road()
    made = replace(made, world=replace(made.world, market=Asked(made.bars)))
    run(made, made.first)
    asked.clear()
    run(made, made.first + 1)
    bar = moment(made.bars.time[made.first + 1])
    assert asked == [(bar, bar + HOUR)]
    asked.clear()
    run(made, made.first + 4)
    assert sum((until - since) / HOUR for since, until in asked) == 3


@pytest.mark.parametrize("stored", [{}, {"bars": b"12345"}, {"bars": "text"}])
def test_a_stored_window_that_is_damaged_is_asked_for_anew(stored: Document) -> None:
    made = road(small_book(**EAGER))
    made.world.state.commit([Write(f"windows/{made.book.id}", stored)])
    assert run(made, made.first)["outcome"] == "traded"


# -- round trips


class Steps:
    """Counts sequential round trips by putting 50 ms before each call to the outside."""

    def __init__(self, made: Road) -> None:
        self.calls: list[Call] = []
        world = made.world
        self.world = replace(
            world,
            together=together,
            market=delayed(world.market, 0.05, self.calls),
            state=delayed(world.state, 0.05, self.calls),
            models=delayed(world.models, 0.05, self.calls),
            exchange=delayed(world.exchange, 0.05, self.calls),
            vix=[(name, delayed(source, 0.05, self.calls)) for name, source in world.vix],
        )


@pytest.mark.parametrize(("policy", "most"), [({"threshold": 0.45, "threshold_max": 0.45}, 3), (EAGER, 6)])
def test_round_trips_in_sequence(policy: dict[str, Any], most: int) -> None:
    made = road(small_book(**policy))
    run(made, made.first - 1) if most == 3 else None
    made.world.cache.clear()  # a cold instance: the model is fetched as well
    warm_window(made)
    steps = Steps(made)
    said = run(made, made.first, steps.world)
    assert bool(said["orders"]) == (most == 6)
    assert in_sequence(steps.calls) <= most


def warm_window(made: Road) -> None:
    """The window as an earlier tick would have stored it."""
    from core.domain.bars import pack
    from core.flows.window import key

    bars = made.bars[: made.first]
    made.world.state.commit([Write(key(made.book), {"bars": pack(bars)})])


# -- the switch


@pytest.mark.parametrize("key", ["switches/global", "switches/btc"])
@pytest.mark.parametrize("document", [{"mode": "halt"}, {"mode": "HALT"}, {"mode": 3}, {}, {"mode": "stop"}])
def test_a_switch_that_halts_or_cannot_be_read_forbids_every_order(key: str, document: Document) -> None:
    made = road(small_book(**EAGER))
    made.world.state.commit([Write(key, document)])
    said = run(made, made.first)
    assert (said["outcome"], said["mode"], said["orders"]) == ("halted", "halt", [])


def test_reduce_opens_nothing_and_flatten_closes_everything() -> None:
    made, index = entered()
    run(made, index)
    position = state(made).holding.position
    assert position
    made.world.state.commit([Write("switches/btc", {"mode": "flatten"})])
    said = run(made, index + 1)
    assert said["orders"] == [f"exit {'sell' if position > 0 else 'buy'} {abs(position)}"]
    made.world.state.commit([Write("switches/btc", {"mode": "reduce"})])
    said = run(made, index + 2)
    assert state(made).holding.position == 0
    assert (said["reason"], said["orders"]) == ("switch_reduce", [])


class Flips:
    """A state store on which the operator flips the switch after it was read and before the commit."""

    def __init__(self, store: StateStore, times: int) -> None:
        self._store, self._left = store, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        if watch is not None and self._left:
            self._left -= 1
            self._store.commit([Write("switches/global", {"mode": "halt", "reason": f"flip {self._left}"})])
        return self._store.commit(writes, watch)


def test_a_switch_flipped_while_deciding_is_obeyed() -> None:
    made = road(small_book(**EAGER))
    said = run(made, made.first, replace(made.world, state=Flips(made.world.state, 1)))
    assert (said["outcome"], said["orders"]) == ("halted", [])


def test_a_tick_that_lost_its_lease_on_the_way_writes_nothing_more() -> None:
    made = road(small_book(**EAGER))
    other = {"token": 9, "owner": "another", "bar": made.at(made.first), "until": made.clock.now() + HOUR}

    class Overtaken(Flips):
        def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
            if watch is not None:
                self._store.commit([Write(book_key("btc"), {"lease": other})])
            return self._store.commit(writes, watch)

    said = run(made, made.first, replace(made.world, state=Overtaken(made.world.state, 0)))
    assert said["outcome"] == "busy"
    documents = made.world.state.read([book_key("btc"), tick_key("btc", moment(made.bars.time[made.first]))])
    assert [found.data for found in documents.values()] == [{"lease": other}, None]


def test_a_tick_that_lost_its_lease_while_sending_does_not_finish() -> None:
    made = road(small_book(**EAGER))
    other = {"token": 9, "owner": "another", "bar": made.at(made.first), "until": made.clock.now() + HOUR}

    class Slow(Vague):
        def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
            found = made.world.state.read([book_key("btc")])[book_key("btc")].data
            made.world.state.commit([Write(book_key("btc"), {**(found or {}), "lease": other})])
            return [Answer(intent=order.intent.id, outcome="placed") for order in orders]

    assert run(made, made.first, replace(made.world, exchange=Slow(made.world.exchange)))["outcome"] == "busy"
    assert record(made, made.first)["phase"] == "decided"


def test_a_switch_that_never_rests_leaves_nothing_half_done() -> None:
    made = road(small_book(**EAGER))
    said = run(made, made.first, replace(made.world, state=Flips(made.world.state, 9)))
    assert said["outcome"] == "busy"
    assert state(made).bar is None
    assert run(made, made.first)["outcome"] == "halted", "the next call found the book free"


# -- bad input: no new risk, a named reason, and the next tick goes on


def spoilt(change: Callable[[Bars], Bars]) -> Document:
    made = road(small_book(**EAGER))
    upto = made.bars[: made.first + 1]
    said = run(made, made.first, replace(made.world, market=ArrayMarket(change(upto))))
    assert (said["outcome"], said["orders"]) == ("refused", [])
    assert run(made, made.first + 1)["outcome"] in ("traded", "refused")
    return said


def without(bars: Bars, index: int) -> Bars:
    return bars[np.arange(len(bars)) != index % len(bars)]


def changed(bars: Bars, index: int, **values: float) -> Bars:
    columns = {name: getattr(bars, name).copy() for name in ("time", "open", "high", "low", "close", "volume")}
    for name, value in values.items():
        columns[name][index] = value
    return Bars(**columns)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda bars: without(bars, -1), "window_stale"),
        (lambda bars: without(bars, -40), "window_gap"),
        (lambda bars: bars[-100:], "window_short"),
        (lambda bars: changed(bars, -1, close=float("nan")), "window_insane"),
        (lambda bars: changed(bars, -5, high=1.0), "window_insane"),
        (lambda bars: changed(bars, -2, time=float(bars.time[-2] + 60)), "window_off_grid"),
    ],
)
def test_a_window_that_cannot_be_believed_is_refused_by_name(change: Callable[[Bars], Bars], reason: str) -> None:
    said = spoilt(change)
    assert said["reason"] == reason
    assert len(said["explanation"]) > 40


def test_a_market_that_does_not_answer_is_refused_by_name() -> None:
    class Silent:
        def bars(self, since: datetime, until: datetime) -> Bars:
            raise Unavailable("the venue answered 503")

    made = road(small_book(**EAGER))
    said = run(made, made.first, replace(made.world, market=Silent()))
    assert said["reason"] == "market_unavailable"
    assert "503" in said["explanation"]


def test_a_bar_that_comes_a_little_late_is_waited_for() -> None:
    made = road(small_book(**EAGER))
    bar = moment(made.bars.time[made.first])

    class Late(ArrayMarket):
        def bars(self, since: datetime, until: datetime) -> Bars:
            known = made.clock.now() >= bar + HOUR + timedelta(seconds=6)
            return super().bars(since, until if known else min(until, bar))

    made.clock.advance(bar + HOUR + timedelta(seconds=2) - made.clock.now())
    world = replace(made.world, market=Late(made.bars), patience_s=20)
    assert run(made, made.first, world)["outcome"] == "traded"


def test_a_late_tick_takes_no_new_risk() -> None:
    made = road(small_book(**EAGER))
    made = replace(made, book=msgspec.structs.replace(made.book, max_lateness_s=900))
    assert run(made, made.first)["reason"] == "too_late"


def live_files(made: Road) -> tuple[str, Document]:
    found = made.world.state.read([pointer_key("btc")])[pointer_key("btc")].data
    assert found is not None
    return f"models/btc/{found['version']}/", found


def spoil_model(made: Road, what: str) -> None:
    place, pointer = live_files(made)
    models = made.world.models
    match what:
        case "none":
            made.world.state.commit([Write(pointer_key("btc"), None)])
        case "absent":
            models.delete(place + "forest.npz")
        case "truncated":
            models.put(place + "forest.npz", models.get(place + "forest.npz")[:-9])
        case "tampered":
            data = bytearray(models.get(place + "manifest.json"))
            data[-40] ^= 1
            models.put(place + "manifest.json", bytes(data))
        case "pointer":
            made.world.state.commit([Write(pointer_key("btc"), {**pointer, "manifest_sha256": "0" * 64})])
        case "features":
            other = small_book("vix53")
            go_live(made.world.state, models, made.book, artefact(other, drawn()[:1500], vix_of(drawn())))
        case "symbol":
            other = msgspec.structs.replace(made.book, symbol="ETH/USDT")
            go_live(made.world.state, models, made.book, artefact(other, drawn()[:1500], made.daily))


def vix_of(bars: Bars) -> Any:
    from core.domain.daily import from_closes

    days = np.arange(bars.time[0] - 90 * 86400, bars.time[-1], 86400)
    return from_closes(days, 20 + np.sin(np.arange(len(days))))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("none", "model_missing"),
        ("absent", "model_missing"),
        ("truncated", "model_tampered"),
        ("tampered", "model_tampered"),
        ("pointer", "model_tampered"),
        ("features", "model_features"),
        ("symbol", "model_mismatched"),
    ],
)
def test_a_model_that_is_not_the_one_that_was_published_is_refused_by_name(what: str, reason: str) -> None:
    made = road(small_book(**EAGER))
    spoil_model(made, what)
    said = run(made, made.first)
    assert (said["outcome"], said["reason"], said["orders"]) == ("refused", reason, [])


def test_an_expired_model_is_refused() -> None:
    made = road(small_book(**EAGER, model_max_age_days=3.0))
    assert run(made, 1500 + 24)["outcome"] == "traded"
    assert run(made, 1500 + 24 * 3 + 1)["reason"] == "model_expired"


def test_an_unknown_vix_is_refused_by_a_model_that_never_learnt_without() -> None:
    bars = drawn()
    daily = vix_of(bars)
    made = road(small_book("vix53", **EAGER), bars, daily)
    assert run(made, made.first)["outcome"] == "traded"
    blind = replace(made.world, vix=[])
    made.world.state.commit([Write("series/vix", None)])
    assert run(made, made.first + 1, blind)["reason"] == "feature_unknown"


def test_a_refusal_alerts_and_a_fill_is_told() -> None:
    made, index = entered()
    run(made, index)
    spoil_model(made, "none")
    made.world.cache.clear()
    run(made, index + 1)
    told = {alert["event"]: alert for _, alert in made.world.state.scan("outbox")}
    assert told["trade_opened"]["title"].startswith(("long", "short"))
    assert "no model is live" in told["refusal"]["text"]


def test_a_damaged_state_document_fails_and_says_where() -> None:
    made = road()
    made.world.state.commit([Write(book_key("btc"), {"state": {"holding": 3}})])
    with pytest.raises(Unavailable, match="books/btc"):
        run(made, made.first)


# -- dying on the way


class Dies(BaseException):
    """The process ends here."""


class Mortal:
    """A port that ends the process at one of its calls, before or after the call was carried out."""

    def __init__(self, port: Any, name: str, after: bool, skip: int = 0) -> None:
        self._port, self._name, self._after, self._skip = port, name, after, skip

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name != self._name:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._skip:
                self._skip -= 1
                return method(*args, **kwargs)
            if self._after:
                method(*args, **kwargs)
            raise Dies

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("port", "call", "skip"), [("state", "commit", 1), ("exchange", "submit", 0), ("state", "commit", 2)]
)
def test_a_tick_that_died_is_carried_out_once_by_the_next_call(port: str, call: str, skip: int, after: bool) -> None:
    whole, index = entered()
    made = road(small_book(**EAGER))
    dying = replace(made.world, **{port: Mortal(getattr(made.world, port), call, after, skip)})
    with pytest.raises(Dies):
        run(made, made.first, dying)
    made.clock.advance(timedelta(seconds=121))
    run(made, made.first)
    run(made, index)
    run(whole, index)
    later, once = state(made), state(whole)
    assert [order.status for order in later.orders] == [order.status for order in once.orders]
    assert msgspec.structs.replace(later, orders=()) == msgspec.structs.replace(once, orders=())
    assert record(made, index)["fills"] == record(whole, index)["fills"]


def test_an_intent_that_never_reached_the_venue_is_dropped_and_told() -> None:
    made = road(small_book(**EAGER))
    with pytest.raises(Dies):
        run(made, made.first, replace(made.world, exchange=Mortal(made.world.exchange, "submit", after=False)))
    made.clock.advance(timedelta(seconds=121))
    made.world.state.commit([Write("switches/global", {"mode": "halt"})])
    run(made, made.first + 1)
    assert state(made).unsettled == ()
    assert state(made).holding.position == 0
    assert any("never arrived" in alert["text"] for _, alert in made.world.state.scan("outbox"))


@pytest.mark.parametrize(("mode", "lateness"), [("halt", 0), ("reduce", 0), ("flatten", 0), ("run", 900)])
def test_an_entry_that_was_written_down_is_not_sent_once_the_switch_or_the_clock_forbids(
    mode: str, lateness: int
) -> None:
    made = road(small_book(**EAGER))
    with pytest.raises(Dies):
        run(made, made.first, replace(made.world, exchange=Mortal(made.world.exchange, "submit", after=False)))
    made.clock.advance(timedelta(seconds=121))
    made.world.state.commit([Write("switches/btc", {"mode": mode})])
    made = replace(made, book=msgspec.structs.replace(made.book, max_lateness_s=lateness))
    said = run(made, made.first)
    assert (said["outcome"], said["reason"]) == ("refused", "order_dropped")
    assert state(made).unsettled == ()
    run(made, made.first + 1)
    assert state(made).holding.position == 0


def test_an_exit_that_was_written_down_is_sent_even_while_reducing() -> None:
    made, index = entered()
    run(made, index)
    made.world.state.commit([Write("switches/btc", {"mode": "flatten"})])
    with pytest.raises(Dies):
        run(made, index + 1, replace(made.world, exchange=Mortal(made.world.exchange, "submit", after=False)))
    made.clock.advance(timedelta(seconds=121))
    made.world.state.commit([Write("switches/btc", {"mode": "reduce"})])
    assert run(made, index + 1)["outcome"] == "traded"
    run(made, index + 2)
    assert state(made).holding.position == 0


def test_a_hole_that_the_venue_mends_is_mended_here() -> None:
    made = road(small_book(**EAGER))
    holed = without(made.bars[: made.first + 1], -40)
    assert run(made, made.first, replace(made.world, market=ArrayMarket(holed)))["reason"] == "window_gap"
    assert run(made, made.first + 1)["outcome"] == "traded"


class Vague:
    """An exchange that loses its answer to every order."""

    traits = PAPER

    def __init__(self, port: Any) -> None:
        self._port = port

    def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
        found: Sight = self._port.look(book, bars, orders)
        return found

    def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
        self._port.submit(book, orders)
        return [Answer(intent=order.intent.id, outcome="unknown", detail="time-out") for order in orders]

    def cancel(self, book: str, orders: Sequence[Order]) -> None: ...

    def calls(self) -> Calls:
        return Calls()

    def vet(self) -> Vetting:
        return Vetting()


def test_an_order_without_an_answer_stays_unsettled_until_the_venue_tells() -> None:
    made = road(small_book(**EAGER))
    said = run(made, made.first, replace(made.world, exchange=Vague(made.world.exchange)))
    assert said["reason"] == "order_unknown"
    assert len(state(made).unsettled) == 1
    run(made, made.first + 1)
    assert state(made).unsettled == ()
    assert state(made).holding.position != 0


def test_an_exchange_that_disagrees_on_the_position_stops_new_risk() -> None:
    made, index = entered()

    class Other(Vague):
        def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
            return msgspec.structs.replace(super().look(book, bars, orders), position=Decimal(7))

    said = run(made, index, replace(made.world, exchange=Other(made.world.exchange)))
    assert (said["outcome"], said["reason"], said["orders"]) == ("refused", "position_mismatch", [])


def test_an_unreachable_exchange_fails_and_gives_the_book_back() -> None:
    class Down:
        traits = PAPER

        def look(self, book: str, bars: Bars, orders: Sequence[Order] = ()) -> Sight:
            raise Unavailable("the venue is down")

        def submit(self, book: str, orders: Sequence[Order]) -> Sequence[Answer]:
            raise AssertionError

        def cancel(self, book: str, orders: Sequence[Order]) -> None:
            raise AssertionError

        def calls(self) -> Calls:
            return Calls()

        def vet(self) -> Vetting:
            raise AssertionError

    made = road(small_book(**EAGER))
    with pytest.raises(Unavailable, match="down"):
        run(made, made.first, replace(made.world, exchange=Down()))
    assert run(made, made.first)["outcome"] == "traded"


# -- replay


def test_a_recorded_tick_can_be_decided_again_from_its_record() -> None:
    from core.cli.operate import again

    made, index = entered()
    for step in range(30):
        run(made, index + step)
    actions = set()
    for _, written in made.world.state.scan("ticks"):
        assert again(written) == msgspec.convert(written["decision"], Decision)
        actions.add(written["decision"]["action"])
    assert len(actions) > 1
