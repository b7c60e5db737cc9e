"""alert: one deliverer at a time, nothing lost, nothing told twice unless it says so, whatever fails."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from core.adapters.discord_notifier import DiscordNotifier
from core.adapters.log_notifier import LogNotifier
from core.adapters.sqlite_state import SqliteState
from core.domain.alerts import Alert, Message
from core.flows.alert import BACKOFF_S, CLEARED, DESK, LEASE, deliver, incident, post
from core.ports import Document, Later, Notifier, StateStore, Unavailable, Versioned, Watch, Write
from tests.fakes import FixedClock, MemoryState
from tests.venues.discord import PATH, Discord
from tests.venues.faults import Fault
from tests.venues.path import VenueClock
from tests.venues.server import serving

NOW = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
REPEAT = "may have been shown already"
NUMBER = re.compile(r"#(\d+)#")


@pytest.fixture(params=["memory", "sqlite"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    return MemoryState() if request.param == "memory" else SqliteState(tmp_path / "state.db")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


class Channel:
    """A Notifier. `wrong`: gives, before each call, what goes wrong with it; `during`: runs while it is sent."""

    def __init__(self, wrong: Callable[[], Exception | None] = lambda: None, most: int = 10) -> None:
        self.wrong, self.most = wrong, most
        self.shown: list[Message] = []
        self.calls = 0
        self.during: Callable[[], None] = lambda: None

    def send(self, messages: Sequence[Message]) -> None:
        assert 0 < len(messages) <= self.most
        self.calls += 1
        failure = self.wrong()
        self.during()
        if failure is None or isinstance(failure, ShownAndLost):
            self.shown += messages
        if failure is not None:
            raise failure

    def numbers(self) -> list[int]:
        return [int(number) for message in self.shown for number in NUMBER.findall(message.text)]


class ShownAndLost(Unavailable):
    """It was shown, and then the connection was lost."""


class Died(BaseException):
    """The process is no more."""


def alert(number: int, **more: Any) -> Alert:
    """A trade: news each time, so that each has a message of its own."""
    told = {"event": "trade_opened", "severity": "info", "title": "Long", "book": "btc", "text": f"Entry #{number}#."}
    return Alert(**{"id": f"btc-{number:05}", "at": NOW, **told, **more})


def pending(state: StateStore) -> list[str]:
    return [name for name, _ in state.scan("outbox")]


def put(state: StateStore, *alerts: Alert) -> None:
    for one in alerts:
        post(state, one)


def desk(state: StateStore) -> Document:
    return state.read([DESK])[DESK].data or {}


def until_empty(state: StateStore, notifier: Notifier, clock: FixedClock) -> int:
    """Delivers every eleven minutes until nothing waits; the number of deliveries."""
    for count in range(1, 500):
        deliver(state, notifier, clock)
        if not pending(state):
            return count
        clock.advance(11 * MINUTE)
    raise AssertionError(f"{len(pending(state))} alerts are never told")


# --- the usual road -------------------------------------------------------------------------------------------------


def test_what_waits_is_told_and_leaves_the_outbox(state: StateStore, clock: FixedClock) -> None:
    channel = Channel()
    put(state, alert(1), alert(2))
    said = deliver(state, channel, clock)
    assert (said["outcome"], said["told"], said["messages"], channel.calls) == ("done", 2, 2, 1)
    assert (sorted(channel.numbers()), pending(state)) == ([1, 2], [])


def test_an_empty_outbox_writes_nothing(state: StateStore, clock: FixedClock) -> None:
    assert deliver(state, Channel(), clock)["outcome"] == "done"
    assert state.read([DESK])[DESK] == Versioned(None, None)


def test_a_channel_that_takes_one_at_a_time_is_told_one_at_a_time(state: StateStore, clock: FixedClock) -> None:
    channel = Channel(most=1)
    put(state, *(alert(number) for number in range(7)))
    assert deliver(state, channel, clock)["messages"] == channel.calls == 7
    assert (sorted(channel.numbers()), pending(state)) == ([*range(7)], [])


def test_repeats_stay_in_the_outbox_until_they_are_due(state: StateStore, clock: FixedClock) -> None:
    channel = Channel()
    put(state, alert(1, event="refusal"))
    deliver(state, channel, clock)
    put(state, alert(2, event="refusal"), alert(3, event="refusal"))
    clock.advance(30 * MINUTE)
    said = deliver(state, channel, clock)
    assert (said["outcome"], said["told"], said["held"], said["due"]) == ("done", 0, 2, (NOW + HOUR).isoformat())
    clock.advance(30 * MINUTE)
    assert deliver(state, channel, clock)["told"] == 2
    assert (channel.shown[-1].title, pending(state)) == ("btc: Long (×2)", [])


def test_an_alert_that_is_written_once_more_is_not_told_again(state: StateStore, clock: FixedClock) -> None:
    channel = Channel()
    put(state, alert(1))
    deliver(state, channel, clock)
    put(state, alert(1))
    assert (deliver(state, channel, clock)["told"], channel.numbers(), pending(state)) == (0, [1], [])


def test_old_and_damaged_documents_are_told_with_the_others(state: StateStore, clock: FixedClock) -> None:
    channel = Channel()
    old = {"severity": "info", "book": "btc", "bar": NOW, "text": "entry: buy 0.1 at 7"}
    state.commit([Write("outbox/old", old), Write("outbox/bad", {"event": [1, b"\xff", None], "at": "now"})])
    put(state, alert(1))
    assert (deliver(state, channel, clock)["told"], pending(state)) == (3, [])
    texts = [message.text for message in channel.shown]
    assert "entry: buy 0.1 at 7" in texts
    assert any("xff" in text for text in texts)


def test_secrets_do_not_leave_with_an_alert(state: StateStore, clock: FixedClock) -> None:
    channel = Channel()
    put(state, alert(1, title="a S3CRET", text="S3CRET", fields={"S3CRET": "S3CRET"}))
    deliver(state, channel, clock, clean=lambda text: text.replace("S3CRET", "…"))
    (message,) = channel.shown
    assert (message.title, message.text, message.fields) == ("btc: a …", "…", {"…": "…"})


# --- one at a time --------------------------------------------------------------------------------------------------


def test_while_one_is_at_it_another_is_busy_and_what_came_meanwhile_is_told(
    state: StateStore, clock: FixedClock
) -> None:
    channel, answers = Channel(), []
    put(state, alert(1))

    def meanwhile() -> None:
        channel.during = lambda: None
        put(state, alert(2))
        answers.append(deliver(state, channel, clock))

    channel.during = meanwhile
    assert deliver(state, channel, clock)["told"] == 2
    assert ([answer["outcome"] for answer in answers], channel.numbers()) == (["busy"], [1, 2])


def test_of_many_at_once_each_alert_is_told_by_exactly_one(tmp_path: Path, clock: FixedClock) -> None:
    channel, count, stop = Channel(), 60, threading.Event()

    def write(first: int) -> None:
        own = SqliteState(tmp_path / "state.db")
        for number in range(first, count, 2):
            put(own, alert(number))

    def tell() -> None:
        own = SqliteState(tmp_path / "state.db")
        while not stop.is_set():
            deliver(own, channel, clock)

    writers = [threading.Thread(target=write, args=(first,)) for first in range(2)]
    tellers = [threading.Thread(target=tell) for _ in range(3)]
    for thread in [*writers, *tellers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in tellers:
        thread.join()
    deliver(SqliteState(tmp_path / "state.db"), channel, clock)
    assert sum(message.count for message in channel.shown) == count
    assert max(Counter(channel.numbers()).values()) == 1
    assert not any(REPEAT in message.text for message in channel.shown)


def test_one_that_was_so_slow_that_another_took_over_says_busy(state: StateStore, clock: FixedClock) -> None:
    channel = Channel()
    put(state, alert(1))

    def slow() -> None:
        channel.during = lambda: None
        clock.advance(LEASE)
        assert deliver(state, channel, clock)["told"] == 1

    channel.during = slow
    assert deliver(state, channel, clock)["outcome"] == "busy"
    assert [REPEAT in message.text for message in channel.shown] == [True, False]  # the taker-over's is marked
    assert (pending(state), deliver(state, channel, clock)["told"]) == ([], 0)


@pytest.mark.parametrize("wrong", [{"until": NOW + 400 * HOUR}, {"not_before": NOW + 400 * HOUR}])
def test_a_clock_that_was_far_ahead_blocks_nobody(state: StateStore, clock: FixedClock, wrong: Document) -> None:
    state.commit([Write(DESK, wrong)])
    put(state, alert(1))
    assert deliver(state, Channel(), clock)["told"] == 1


def test_a_damaged_desk_is_begun_anew(state: StateStore, clock: FixedClock, caplog: pytest.LogCaptureFixture) -> None:
    state.commit([Write(DESK, {"memory": "all of it", "until": 7})])
    put(state, alert(1))
    assert deliver(state, Channel(), clock)["told"] == 1
    assert "begun anew" in caplog.text


# --- when the channel fails -----------------------------------------------------------------------------------------


def failing(*failures: Exception | None) -> Callable[[], Exception | None]:
    """These, one for each call; then nothing."""
    left = list(failures)
    return lambda: left.pop(0) if left else None


def test_nothing_is_sent_before_the_time_that_the_channel_gave(state: StateStore, clock: FixedClock) -> None:
    channel = Channel(failing(Later("slow down", 300.0)))
    put(state, alert(1))
    assert deliver(state, channel, clock)["outcome"] == "waiting"
    for _ in range(2):
        clock.advance(timedelta(seconds=149))
        said = deliver(state, channel, clock)
        assert (said["outcome"], "slow down" in said["reason"], channel.calls) == ("waiting", True, 1)
    clock.advance(timedelta(seconds=2))
    assert deliver(state, channel, clock)["told"] == 1
    assert REPEAT not in channel.shown[0].text


def test_a_moment_is_waited_for(state: StateStore, clock: FixedClock) -> None:
    channel = Channel(failing(Later("slow down", 1.25)))
    put(state, alert(1))
    assert deliver(state, channel, clock)["told"] == 1
    assert (channel.calls, clock.now()) == (2, NOW + timedelta(seconds=1.25))


def test_a_channel_that_fails_is_asked_again_less_and_less_often(
    state: StateStore, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    channel = Channel(lambda: Unavailable("no answer"))
    put(state, alert(1, severity="critical"))
    pauses = []
    for _ in range(9):
        said = deliver(state, channel, clock)
        assert (said["outcome"], "no answer" in said["reason"]) == ("failed", True)
        pauses.append((desk(state)["not_before"] - clock.now()).total_seconds())
        clock.advance(timedelta(seconds=pauses[-1] - 1))
        assert deliver(state, channel, clock)["outcome"] == "waiting"
        clock.advance(timedelta(seconds=1))
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600, BACKOFF_S[1]]
    assert channel.calls == len(caplog.records) == 9
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    channel.wrong = failing()
    assert deliver(state, channel, clock)["told"] == 1
    assert (desk(state)["failures"], desk(state)["not_before"]) == (0, None)


def test_what_was_certainly_not_shown_is_not_marked_as_a_repeat(state: StateStore, clock: FixedClock) -> None:
    channel = Channel(failing(Later("nobody there", 0.0), Later("nobody there", 0.0)))
    put(state, alert(1))
    assert deliver(state, channel, clock)["outcome"] == "failed"
    until_empty(state, channel, clock)
    assert [REPEAT in message.text for message in channel.shown] == [False]


def test_what_may_have_been_shown_is_marked_even_after_a_certain_failure(state: StateStore, clock: FixedClock) -> None:
    channel = Channel(failing(ShownAndLost("lost"), Later("nobody there", 0.0)))
    put(state, alert(1))
    until_empty(state, channel, clock)
    assert [REPEAT in message.text for message in channel.shown] == [False, True]
    assert desk(state)["doubt"] == b""


def test_a_message_beside_a_doubtful_one_is_not_marked(state: StateStore, clock: FixedClock) -> None:
    channel = Channel(failing(Unavailable("lost")))
    put(state, alert(1))
    deliver(state, channel, clock)
    put(state, alert(2))
    until_empty(state, channel, clock)
    assert {NUMBER.findall(one.text)[0]: REPEAT in one.text for one in channel.shown} == {"1": True, "2": False}


# --- when the process dies, or the store --------------------------------------------------------------------------


class Breaking:
    """A StateStore that fails at call number `at`, before it was done or after."""

    def __init__(self, state: StateStore, at: int, after: bool, failure: BaseException) -> None:
        self.state, self.at, self.after, self.failure, self.calls = state, at, after, failure, 0

    def _call(self, method: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls != self.at:
            return method()
        if self.after:
            method()
        raise self.failure

    def read(self, keys: Sequence[str]) -> Mapping[str, Versioned]:
        return dict(self._call(lambda: self.state.read(keys)))

    def commit(self, writes: Sequence[Write], watch: Watch | None = None) -> Mapping[str, str]:
        return dict(self._call(lambda: self.state.commit(writes, watch)))

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Iterator[tuple[str, Document]]:
        return iter(self._call(lambda: list(self.state.scan(collection, since, until))))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failure", [Died(), Unavailable("the store is away")])
@pytest.mark.parametrize("at", range(1, 11))
def test_wherever_it_ends_each_alert_is_told_and_a_repeat_is_marked(
    at: int, failure: BaseException, after: bool, clock: FixedClock
) -> None:
    state, channel = MemoryState(), Channel(most=2)
    put(state, *(alert(number) for number in range(3)))
    breaking = Breaking(state, at, after, failure)
    with suppress(Died, Unavailable):
        deliver(breaking, channel, clock)
    assert breaking.calls >= at
    clock.advance(LEASE)
    until_empty(state, channel, clock)
    seen: Counter[int] = Counter()
    for message in channel.shown:
        (number,) = map(int, NUMBER.findall(message.text))
        assert (REPEAT in message.text) or not seen[number]
        seen[number] += 1
    assert (sorted(seen), max(seen.values()) <= 2) == ([0, 1, 2], True)


def test_one_that_died_while_sending_holds_the_others_up_for_its_lease_only(
    state: StateStore, clock: FixedClock
) -> None:
    channel = Channel()

    def die() -> None:
        channel.during = lambda: None
        raise Died

    channel.during = die
    put(state, alert(1))
    with pytest.raises(Died):
        deliver(state, channel, clock)
    assert deliver(state, channel, clock)["outcome"] == "busy"
    clock.advance(LEASE)
    assert (deliver(state, channel, clock)["told"], REPEAT in channel.shown[0].text) == (1, True)


# --- the run --------------------------------------------------------------------------------------------------------


def half(rng: Random, failures: Sequence[Callable[[], Exception]]) -> Callable[[], Exception | None]:
    return lambda: rng.choice(failures)() if rng.random() < 0.5 else None


SILENT = [
    lambda: Unavailable("500"),
    lambda: Unavailable("the connection was dropped"),
    lambda: Unavailable("no answer in time"),
    lambda: Later("429", 2.0),
    lambda: Later("429", 90.0),
    lambda: Later("nobody there", 0.0),
]


@pytest.mark.parametrize("seed", range(3))
def test_with_half_of_the_calls_failing_each_is_told_exactly_once(
    state: StateStore, clock: FixedClock, seed: int
) -> None:
    """Hundreds, put there while others are being sent, and never so many at once that they become a digest."""
    rng, count = Random(seed), 300 if isinstance(state, MemoryState) else 120
    channel, left = Channel(half(rng, SILENT), most=rng.choice([1, 3, 10])), iter(range(count))

    def more(most: int) -> None:
        room = max(min(most, 10 - len(pending(state))), 0)
        put(state, *map(alert, islice(left, room)))

    def meanwhile() -> None:
        more(rng.randrange(4))
        if rng.random() < 0.3:
            assert deliver(state, Channel(), clock)["outcome"] == "busy"

    channel.during = meanwhile
    for _ in range(count):
        more(10)
        deliver(state, channel, clock)
        clock.advance(11 * MINUTE)
        if len(channel.shown) >= count and not pending(state):
            break
    assert sorted(channel.numbers()) == [*range(count)]
    assert pending(state) == []


@pytest.mark.parametrize("seed", range(4))
def test_what_was_shown_before_the_connection_was_lost_is_shown_again_with_a_mark(clock: FixedClock, seed: int) -> None:
    state, rng, seen = MemoryState(), Random(seed), set()
    channel = Channel(half(rng, [*SILENT, lambda: ShownAndLost("lost")]), most=rng.choice([1, 3, 10]))
    for number in range(0, 200, 5):
        put(state, *(alert(number + one) for one in range(5)))
        deliver(state, channel, clock)
        clock.advance(11 * MINUTE)
        until_empty(state, channel, clock)
    for message in channel.shown:
        (number,) = map(int, NUMBER.findall(message.text))
        assert (REPEAT in message.text) or number not in seen
        seen.add(number)
    assert seen == {*range(200)}
    assert len(channel.shown) > 200


def test_an_outage_of_a_day_ends_in_one_digest(state: StateStore, clock: FixedClock) -> None:
    channel, count = Channel(lambda: Later("nobody there", 0.0)), 0
    for hour in range(24):
        fresh = [
            Write(f"outbox/{hour}-{n}", {
                "event": ("refusal", "trade_closed", "tick_overdue")[n % 3], "severity": "warning", "at": clock.now(),
                "title": f"Kind {n % 20}", "text": f"It is {hour}.", "book": f"book-{n % 2}", "fields": {},
            })
            for n in range(100)
        ]  # fmt: skip
        state.commit(fresh)
        count += len(fresh)
        assert deliver(state, channel, clock)["outcome"] == "failed"
        clock.advance(HOUR)
    channel.wrong = lambda: None
    said = deliver(state, channel, clock)
    (digest,) = channel.shown
    assert (said["outcome"], said["told"], digest.count, digest.title) == ("done", count, count, "2,400 alerts at once")
    assert digest.text.startswith("From 2026-11-21 10:00 UTC to 2026-11-22 09:00 UTC.")
    assert (pending(state), deliver(state, channel, clock)["told"], count > 2 * CLEARED) == ([], 0, True)


def test_dying_while_thousands_leave_the_outbox_tells_none_of_them_twice(clock: FixedClock) -> None:
    state, channel = MemoryState(), Channel()
    for start in range(0, 5 * CLEARED, CLEARED):
        one = {"event": "refusal", "severity": "info", "at": NOW, "title": "A gap"}
        state.commit([Write(f"outbox/{n:05}", one) for n in range(start, start + CLEARED)])
    breaking = Breaking(state, 6, False, Died())  # read, scan, claim, told, and the second of the clearings
    with pytest.raises(Died):
        deliver(breaking, channel, clock)
    assert len(pending(state)) == 3 * CLEARED
    assert (deliver(state, channel, clock)["told"], pending(state), len(channel.shown)) == (0, [], 1)


def counted(embed: Mapping[str, Any]) -> int:
    """How many alerts an embed tells of."""
    found = re.fullmatch(r"(?:ERROR: |CRITICAL: )?([\d,]+) alerts at once", embed["title"])
    found = found or re.search(r"\(×([\d,]+)\)\Z", embed["title"])
    return int(found[1].replace(",", "")) if found else 1


@pytest.mark.parametrize("seed", range(2))
def test_through_a_discord_that_fails_half_of_the_time_hundreds_arrive_once_each(
    tmp_path: Path, clock: FixedClock, seed: int
) -> None:
    discord, path, count = Discord(VenueClock(NOW)), tmp_path / "state.db", 300
    allowed = threading.Semaphore(0)

    def write(first: int) -> None:
        own, rng = SqliteState(path), Random(first)
        for number in range(first, count, 2):
            event = rng.choice(["refusal", "breaker", "trade_opened"])
            allowed.acquire()
            put(own, alert(number, event=event, severity=rng.choice(["info", "error"]), title=rng.choice("abcdef")))

    writers = [threading.Thread(target=write, args=(first,)) for first in range(2)]
    with serving(discord) as url:
        faults = [Fault("error_before", status=500), Fault("error_before", status=503), Fault("drop_before")]
        url.faults.next("*", faults[0])  # one at least, however few requests the threads make of it
        url.faults.draw(Random(seed), 0.5, [*faults, Fault("rate_limit")])
        channel, state = DiscordNotifier(url + PATH, clock), SqliteState(path)
        for thread in writers:
            thread.start()
        for _ in range(count // 5):
            allowed.release(5)
            deliver(state, channel, clock)
            clock.advance(11 * MINUTE)
        for thread in writers:
            thread.join()
        until_empty(state, channel, clock)
        assert url.faults.taken, "nothing failed: this run proves nothing"
    assert sum(map(counted, discord.embeds)) == count
    single = [NUMBER.findall(embed["description"]) for embed in discord.embeds if counted(embed) == 1]
    assert max(Counter(number for numbers in single for number in numbers).values(), default=1) == 1


def test_a_discord_that_shows_it_and_then_hangs_up_is_told_again_with_a_mark(tmp_path: Path, clock: FixedClock) -> None:
    discord, state = Discord(VenueClock(NOW)), SqliteState(tmp_path / "state.db")
    with serving(discord) as url:
        url.faults.next("*", Fault("drop_after"), Fault("error_after", status=502))
        put(state, alert(1))
        until_empty(state, DiscordNotifier(url + PATH, clock), clock)
    assert [REPEAT in embed["description"] for embed in discord.embeds] == [False, True, True]


def test_the_log_takes_what_waits_as_well(
    state: StateStore, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hourhand.told")
    put(state, alert(1, severity="critical"), alert(2))
    assert deliver(state, LogNotifier(), clock)["told"] == 2
    told = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "hourhand.told"]
    assert told == [("CRITICAL", "btc: Long: Entry #1#."), ("INFO", "btc: Long: Entry #2#.")]


# --- the budget -----------------------------------------------------------------------------------------------------


def budget(**more: Any) -> bytes:
    """What Google publishes about a budget several times an hour, as Pub/Sub pushes it."""
    told = {
        "budgetDisplayName": "hourhand-paper", "costAmount": 12.5, "costIntervalStart": "2026-11-01T08:00:00Z",
        "budgetAmount": 2000.0, "budgetAmountType": "SPECIFIED_AMOUNT", "currencyCode": "JPY", **more,
    }  # fmt: skip
    data = b64encode(json.dumps(told).encode()).decode()
    return json.dumps({"message": {"attributes": {"budgetId": "b1"}, "data": data, "messageId": "1"}}).encode()


def told_of(state: StateStore, channel: Channel, clock: FixedClock, bodies: Sequence[bytes]) -> list[tuple[str, str]]:
    """Severity and title of what a person is told, when these come half an hour after one another."""
    for body in bodies:
        found = incident(body, clock.now())
        if found is not None:
            post(state, found)
        deliver(state, channel, clock)
        clock.advance(30 * MINUTE)
    return [(message.severity, message.title) for message in channel.shown]


def test_a_budget_below_its_thresholds_tells_nobody() -> None:
    assert incident(budget(), NOW) is None


def test_a_threshold_of_the_budget_is_told_once_a_month(state: StateStore, clock: FixedClock) -> None:
    half, most, all_ = ([budget(alertThresholdExceeded=part, costAmount=2000 * part)] for part in (0.5, 0.9, 1.0))
    next_month = [budget(alertThresholdExceeded=0.5, costIntervalStart="2026-12-01T08:00:00Z")]
    assert told_of(state, Channel(), clock, [budget(), *half * 50, *most * 50, *all_ * 50, *half, *next_month * 9]) == [
        ("info", "Budget hourhand-paper: 50% of 2,000.00 JPY is spent"),
        ("warning", "Budget hourhand-paper: 90% of 2,000.00 JPY is spent"),
        ("error", "Budget hourhand-paper: 100% of 2,000.00 JPY is spent"),
        ("info", "Budget hourhand-paper: 50% of 2,000.00 JPY is spent"),
    ]
    assert pending(state) == []


def test_what_is_forecast_is_told_before_and_after_a_threshold(state: StateStore, clock: FixedClock) -> None:
    forecast = budget(forecastThresholdExceeded=1.0)
    both = budget(alertThresholdExceeded=0.5, forecastThresholdExceeded=1.0)
    channel = Channel()
    assert told_of(state, channel, clock, [forecast, forecast, both, both]) == [
        ("warning", "Budget hourhand-paper: 2,000.00 JPY may not do"),
        ("warning", "Budget hourhand-paper: 50% of 2,000.00 JPY is spent"),
    ]
    assert channel.shown[0].text == "By the end of the month more than 100% is expected."
    assert channel.shown[0].fields == {"spent": "12.50 JPY", "since": "2026-11-01T08:00:00Z"}


@pytest.mark.parametrize("wrong", [{"alertThresholdExceeded": "0.5"}, {"alertThresholdExceeded": None}])
def test_a_threshold_that_is_no_number_is_none(wrong: Document) -> None:
    assert incident(budget(**wrong), NOW) is None
