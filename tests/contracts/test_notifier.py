"""What every Notifier promises, asked of each: Discord and the log. A further channel is one more bench here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.adapters.discord_notifier import DiscordNotifier
from core.adapters.log_notifier import LogNotifier
from core.domain.alerts import Message
from core.ports import Notifier
from tests.fakes import FixedClock
from tests.venues.discord import PATH, Discord, texts
from tests.venues.path import VenueClock
from tests.venues.server import serving

AT = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)


@dataclass
class Bench:
    """`shown`: all the texts that a reader has before them, one list for each message; `clear` takes them away."""

    notifier: Notifier
    shown: Callable[[], list[list[str]]]
    clear: Callable[[], None]


@contextmanager
def discord_bench() -> Iterator[Bench]:
    discord = Discord(VenueClock(AT))
    with serving(discord) as url:
        notifier = DiscordNotifier(url + PATH, FixedClock(AT))
        yield Bench(notifier, lambda: [list(texts(embed)) for embed in discord.embeds], discord.shown.clear)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self) -> list[list[str]]:
        return [[one.getMessage(), *one.alert["fields"], *one.alert["fields"].values()] for one in self.records]


@contextmanager
def log_bench() -> Iterator[Bench]:
    lines, log = _Lines(), logging.getLogger("hourhand.told")
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield Bench(LogNotifier(), lines.texts, lines.records.clear)
    finally:
        log.removeHandler(lines)
        log.setLevel(before)


@pytest.fixture(params=[discord_bench, log_bench], ids=["discord", "log"], scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with request.param() as made:
        yield made


def message(number: int = 1, **more: Any) -> Message:
    told = {"severity": "warning", "title": f"Title {number}", "text": f"Text {number}.", "at": AT}
    return Message(**{**told, **more})


def whole(bench: Bench) -> list[str]:
    return [" ".join(texts) for texts in bench.shown()]


def test_a_message_is_shown_once_with_its_title_text_and_numbers(bench: Bench) -> None:
    bench.clear()
    bench.notifier.send([message(fields={"equity": "10,000 JPY"})])
    (shown,) = whole(bench)
    assert [part for part in ("Title 1", "Text 1.", "equity", "10,000 JPY") if part not in shown] == []


def test_as_many_as_it_takes_are_shown_in_order(bench: Bench) -> None:
    bench.clear()
    bench.notifier.send([message(number) for number in range(bench.notifier.most)])
    assert [f"Title {number}" in shown for number, shown in enumerate(whole(bench))] == [True] * bench.notifier.most


def test_nothing_to_say_shows_nothing(bench: Bench) -> None:
    bench.clear()
    bench.notifier.send([])
    assert bench.shown() == []


@pytest.mark.parametrize("severity", ["info", "warning", "error", "critical"])
def test_every_severity_is_shown(bench: Bench, severity: str) -> None:
    bench.clear()
    bench.notifier.send([message(severity=severity)])
    assert len(bench.shown()) == 1


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\n", "@everyone <@1>", "\ud800", "x" * 7000, "😀" * 4000, "\\" * 999]
)
MESSAGES = st.builds(
    Message,
    severity=st.sampled_from(["info", "warning", "error", "critical"]),
    title=TEXTS,
    text=TEXTS,
    at=st.datetimes(timezones=st.just(UTC)),
    fields=st.dictionaries(TEXTS, TEXTS, max_size=4) | st.just({f"name {n}": "v" * 100 for n in range(60)}),
    count=st.integers(1, 10**6),
)


@given(messages=st.lists(MESSAGES, min_size=1, max_size=10))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_words_are_each_message_is_shown(bench: Bench, messages: list[Message]) -> None:
    bench.clear()
    bench.notifier.send(messages)
    assert len(bench.shown()) == len(messages)
