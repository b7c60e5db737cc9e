"""Discord: what an embed reads like, what is cut, and what each answer is taken for."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.discord_notifier import DiscordNotifier, cut, embeds, escaped, units
from core.domain.alerts import Message
from core.ports import Later, Unavailable
from tests.fakes import FixedClock
from tests.venues.discord import PATH, Discord, texts
from tests.venues.faults import Fault
from tests.venues.path import VenueClock
from tests.venues.server import Served, serving

AT = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
TOKEN = PATH.rpartition("/")[2]


def message(**more: Any) -> Message:
    return Message(**{"severity": "warning", "title": "A title", "text": "A text.", "at": AT, **more})


class Desk(NamedTuple):
    notifier: DiscordNotifier
    discord: Discord
    served: Served
    clock: FixedClock


@pytest.fixture
def desk() -> Iterator[Desk]:
    discord, clock = Discord(VenueClock(AT)), FixedClock(AT)
    with serving(discord) as url:
        yield Desk(DiscordNotifier(url + PATH, clock), discord, url, clock)


# --- words ----------------------------------------------------------------------------------------------------------


def test_an_embed_reads_as_a_person_would_want_it() -> None:
    (embed,) = embeds([message(severity="critical", fields={"stop": "14,900,001", "p(up)": "0.612"})])
    assert embed == {
        "title": "CRITICAL: A title",
        "color": 0xC0392B,
        "timestamp": "2026-11-21T10:00:05+00:00",
        "description": "A text.",
        "fields": [
            {"name": "stop", "value": "14,900,001", "inline": True},
            {"name": "p(up)", "value": "0.612", "inline": True},
        ],
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("model_max_age_days and a_b", r"model\_max\_age\_days and a\_b"),
        ("2 * 3 * 4, ~~x~~, `y`, ||z||", r"2 \* 3 \* 4, \~\~x\~\~, \`y\`, \|\|z\|\|"),
        (
            "> 0.5\n# one\n- two\n1. three\n-0.5 and 15,000 - 3",
            "\\> 0.5\n\\# one\n\\- two\n1\\. three\n-0.5 and 15,000 - 3",
        ),
        ("<@12> <t:1700000000> [x](y)", r"\<@12\> \<t:1700000000\> \[x\](y)"),
        ("see https://x.example/a_b*c?d=e_f, now_", r"see https://x.example/a_b*c?d=e_f, now\_"),
    ],
)
def test_prices_and_names_are_shown_to_the_letter(text: str, shown: str) -> None:
    assert escaped(text) == shown


@given(st.text(max_size=60))
def test_nothing_but_backslashes_is_added(text: str) -> None:
    sound = text.encode("utf-8", "replace").decode()
    assert escaped(text).replace("\\", "") == sound.replace("\\", "")


@given(st.text(alphabet="ab\\😀 ", max_size=30), st.integers(1, 20))
def test_a_cut_text_fits_and_does_not_end_in_half_an_escape(text: str, most: int) -> None:
    done = cut(escaped(text), most)
    assert units(done) <= most
    backslashes = re.search(r"\\*(?=…?\Z)", done)
    assert backslashes and len(backslashes[0]) % 2 == 0


def test_short_messages_keep_every_word_beside_a_long_one() -> None:
    brief = [message(title=f"Title {n}", text=f"Short text {n}.", fields={"n": str(n)}) for n in range(9)]
    *kept, long = embeds([*brief, message(text="x" * 9000)])
    assert [embed["description"] for embed in kept] == [one.text for one in brief]
    assert all("fields" in embed for embed in kept)
    assert 3000 < units(long["description"]) <= 4096
    assert long["description"].endswith("…")


def test_ten_long_messages_share_what_there_is() -> None:
    made = embeds([message(text="x" * 4000, fields={"n": "7"}) for _ in range(10)])
    lengths = [sum(map(units, texts(embed))) for embed in made]
    assert sum(lengths) <= 6000
    assert min(lengths) > 590
    assert all(embed["fields"] for embed in made)


def test_a_mention_in_an_alert_calls_nobody(desk: Desk) -> None:
    desk.discord.picky = "everyone"
    desk.notifier.send([message(text="@everyone look")])
    assert desk.discord.shown[-1]["allowed_mentions"] == {"parse": []}
    assert [json.loads(request.body)["allowed_mentions"] for request in desk.served.requests] == [{"parse": []}] * 2


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "2"}, b'{"message": "slow", "retry_after": 3.25, "global": false}', 3.25),
        ({"Retry-After": "7"}, b"<html>error code: 1015</html>", 7.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "4.5"}, b"{}", 4.5),
        ({"Retry-After": "tomorrow"}, b'{"retry_after": null}', 5.0),
        ({"Retry-After": "-3"}, b'{"retry_after": NaN}', 5.0),
        ({"Retry-After": "1e999"}, b"[]", 3600.0),
    ],
)
def test_a_429_says_when_to_come_back(desk: Desk, headers: Mapping[str, str], body: bytes, seconds: float) -> None:
    desk.discord.patience = (headers, body)
    desk.served.faults.next("*", Fault("rate_limit"))
    with pytest.raises(Later) as raised:
        desk.notifier.send([message()])
    assert raised.value.seconds == seconds


def test_the_last_message_that_is_allowed_makes_the_next_one_wait(desk: Desk) -> None:
    desk.discord.told.append({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "2.5"})
    desk.notifier.send([message()])
    desk.clock.advance(timedelta(seconds=1))
    with pytest.raises(Later) as raised:
        desk.notifier.send([message()])
    assert (raised.value.seconds, len(desk.served.requests)) == (1.5, 1)
    desk.clock.advance(timedelta(seconds=2))
    desk.notifier.send([message()])
    assert len(desk.discord.shown) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410, 301, 405])
def test_a_webhook_that_is_gone_is_told_with_what_to_do(desk: Desk, status: int) -> None:
    desk.served.faults.next("*", Fault("error_before", status=status))
    with pytest.raises(Later, match="set DISCORD_WEBHOOK_URL anew") as raised:
        desk.notifier.send([message()])
    assert (str(status) in str(raised.value), raised.value.seconds) == (True, 0.0)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error_before", status=500), Fault("error_before", status=503), Fault("drop_before"), Fault("drop_after"),
        Fault("html"), Fault("error_after", status=502),
    ],
)  # fmt: skip
def test_what_may_have_been_shown_is_no_promise_that_it_was_not(desk: Desk, fault: Fault) -> None:
    desk.served.faults.next("*", fault)
    with pytest.raises(Unavailable) as raised:
        desk.notifier.send([message()])
    assert not isinstance(raised.value, Later)
    assert len(desk.served.requests) == 1


def test_nobody_listening_is_certainly_nothing_shown() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        notifier = DiscordNotifier(f"http://127.0.0.1:{taken.getsockname()[1]}{PATH}", FixedClock(AT))
        with pytest.raises(Later, match="cannot be reached"):
            notifier.send([message()])


def test_no_answer_in_time_leaves_it_open_whether_it_was_shown() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # takes the connection, and never says a word
        notifier = DiscordNotifier(f"http://127.0.0.1:{deaf.getsockname()[1]}{PATH}", FixedClock(AT), timeout_s=0.1)
        with pytest.raises(Unavailable, match="it may have shown") as raised:
            notifier.send([message()])
    assert not isinstance(raised.value, Later)


def test_a_refused_embed_is_shown_as_plain_text(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.discord.picky = "poison"
    desk.notifier.send([message(), message(title="poison", text="what it says", fields={"n": "7"})])
    (shown,) = desk.discord.shown
    assert [part for part in ("A text.", "poison", "what it says", "n 7") if part not in shown["content"]] == []
    assert "plain text: 400, Invalid Form Body" in caplog.text


def test_what_discord_will_never_show_stands_in_the_log_and_blocks_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.discord.mute = True
    desk.notifier.send([message(text="unspeakable")])
    assert desk.discord.shown == []
    (refused, again) = caplog.records
    assert (refused.levelno, again.levelno) == (logging.ERROR, logging.CRITICAL)
    assert "unspeakable" in str(vars(refused)["messages"])


# --- the address ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _noted(said: list[str]) -> Iterator[None]:
    """Adds what a failure would look like in a log, with all that led to it."""
    try:
        yield
    except Unavailable as failure:
        said.append("".join(traceback.format_exception(failure)))
        raise


def test_no_exception_and_no_log_line_tells_the_webhook(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hourhand")
    said: list[str] = []
    desk.discord.picky = "A text"
    faults = [Fault("error_before", status=404), Fault("drop_before"), Fault("rate_limit"), Fault("html"), None]
    for fault in faults:
        desk.served.faults.clear()
        if fault:
            desk.served.faults.next("*", fault)
        with contextlib.suppress(Unavailable), _noted(said):
            desk.notifier.send([message()])
    assert len(said) == 4
    assert TOKEN not in " ".join([*said, caplog.text, repr(desk.notifier)])


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://discord.com/api/webhooks/12/a-B_c\n", "https://discord.com/api/v10/webhooks/12/a-B_c?wait=true"),
        ("https://discordapp.com/api/v9/webhooks/12/abc/", "https://discord.com/api/v10/webhooks/12/abc?wait=true"),
        ("https://ptb.discord.com/api/webhooks/12/abc", "https://discord.com/api/v10/webhooks/12/abc?wait=true"),
        (
            "https://discord.com/api/webhooks/12/abc?thread_id=7&wait=false",
            "https://discord.com/api/v10/webhooks/12/abc?thread_id=7&wait=true",
        ),
        ("https://relay.example/hook", "https://relay.example/hook?wait=true"),
        ("http://127.0.0.1:8080/api/webhooks/1/x", "http://127.0.0.1:8080/api/webhooks/1/x?wait=true"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x?wait=true"),
    ],
)
def test_an_address_is_used_as_it_is_meant(given: str, used: str) -> None:
    assert DiscordNotifier(given, FixedClock(AT))._url == used


@pytest.mark.parametrize(
    "wrong",
    [
        "", "not-an-address-S3CRET", "http://discord.com/api/webhooks/12/S3CRET", "https://discord.com/channels/1/S3CRET",
        "ftp://127.0.0.1/S3CRET", "https://[S3CRET", "https://x.example:S3CRET/", "http://192.168.1.2/S3CRET",
        "https://discord.com/api/webhooks/12/S3CRET/slack",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ValueError, match="set DISCORD_WEBHOOK_URL anew") as raised:
        DiscordNotifier(wrong, FixedClock(AT))
    assert "S3CRET" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
