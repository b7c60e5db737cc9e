"""hourhand check: one table and one object, of every book, with nothing secret in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.flows.check import CHECKS
from core.flows.switches import flip
from core.wiring.clock import SystemClock
from tests.cli.command import Environ, hourhand, settings, state, with_model
from tests.venues.discord import PATH, Discord
from tests.venues.path import VenueClock
from tests.venues.server import serving

ONE = {"HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/USDT"}]'}
TWO = {"HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/USDT"}, {id = "eth", symbol = "ETH/USDT"}]'}
LIVE = {
    "HOURHAND__MARKET__SOURCE": "venue",
    "HOURHAND__EXCHANGE__MODE": "live",
    "HOURHAND__TRAINING__PUBLISH_ANYWAY": "false",
    "HOURHAND__VENUE__URLS": '{public = "http://127.0.0.1:1", private = "http://127.0.0.1:1"}',
    "HOURHAND__VIX__SOURCES": "[]",
    "HOURHAND__TICK__PATIENCE_S": "0",
}
WORDS = {"go": "GO", "conditional": "CONDITIONAL", "no_go": "NO-GO"}
LEAST = ["go", "conditional", "no_go"]


def checked(environ: Environ, *options: str) -> tuple[dict[str, Any], str]:
    """The object, and the table of a second run; the exit code is the verdict's in both."""
    runs = hourhand(environ, "check", *options, "--json"), hourhand(environ, "check", *options)
    document: dict[str, Any] = runs[0].document
    assert [run.code for run in runs] == [int(document["verdict"] == "no_go")] * 2
    return document, runs[1].out


def found(document: dict[str, Any], book: int = 0) -> dict[str, Any]:
    return {one["name"]: one for one in document["books"][book]["findings"]}


def test_the_object_has_every_finding_of_every_book_and_the_worst_verdict(tmp_path: Path) -> None:
    document, _ = checked(with_model(settings(tmp_path, **TWO)))
    assert set(document) == {"verdict", "books"}
    assert [(set(book), book["id"]) for book in document["books"]] == [
        ({"id", "verdict", "findings"}, "btc"),
        ({"id", "verdict", "findings"}, "eth"),
    ]
    for book in document["books"]:
        assert [one["name"] for one in book["findings"]] == [*CHECKS, "alerts", "settings"]
        assert all(set(one) == {"name", "verdict", "said"} and one["said"] for one in book["findings"])
        assert book["verdict"] == max((one["verdict"] for one in book["findings"]), key=LEAST.index)
    assert document["verdict"] == max((book["verdict"] for book in document["books"]), key=LEAST.index)
    assert found(document)["model"]["verdict"] == "go"
    assert found(document, 1)["model"] == {
        "name": "model", "verdict": "no_go", "said": "no model is live for eth: train one",
    }  # fmt: skip


def test_the_table_has_a_line_for_each_finding_and_ends_with_the_verdict_and_what_to_do(tmp_path: Path) -> None:
    document, text = checked(with_model(settings(tmp_path, **ONE)))
    lines = text.splitlines()
    (book,) = document["books"]
    assert lines[0] == f"btc  BTC/USDT  {WORDS[book['verdict']]}"
    heads = [line.split()[:2] for line in lines if line.startswith("  ") and line[2] != " "]
    assert heads == [[WORDS[one["verdict"]], one["name"]] for one in book["findings"]]
    assert lines[-1].startswith(f"{WORDS[document['verdict']]}: ")
    assert all(one["said"] in " ".join(text.split()) for one in book["findings"])
    assert max(map(len, lines)) <= 120


def test_a_book_alone_is_checked_when_it_is_named_and_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    environ = settings(tmp_path, **TWO)
    document, _ = checked(environ, "--book", "eth")
    assert [book["id"] for book in document["books"]] == ["eth"]
    refused = hourhand(environ, "check", "--book", "doge")
    assert (refused.code, "no book 'doge'" in refused.err) == (2, True)


def test_a_deployment_on_paper_that_only_deserves_a_look_may_go(tmp_path: Path) -> None:
    document, text = checked(with_model(settings(tmp_path, **ONE)))
    assert document["verdict"] == "conditional"
    alerts = {"name": "alerts", "verdict": "conditional"}
    assert alerts.items() <= found(document)["alerts"].items()
    assert text.splitlines()[-1].startswith("CONDITIONAL: read each sentence above")


def test_one_message_tries_the_channel_whatever_the_number_of_books(tmp_path: Path) -> None:
    discord = Discord(VenueClock(SystemClock().now()))
    with serving(discord) as url:
        environ = settings(tmp_path, **TWO, HOURHAND__ALERTS__CHANNEL="discord", DISCORD_WEBHOOK_URL=url + PATH)
        ran = hourhand(environ, "check", "--json")
    assert [embed["title"] for embed in discord.embeds] == ["hourhand check"]
    assert [found(ran.document, book)["alerts"]["verdict"] for book in range(2)] == ["go", "go"]


def test_a_channel_without_its_secret_is_a_no_go_that_names_it(tmp_path: Path) -> None:
    environ = settings(tmp_path, **ONE, HOURHAND__ALERTS__CHANNEL="discord", DISCORD_WEBHOOK_URL="")
    alerts = found(checked(environ)[0])["alerts"]
    assert (alerts["verdict"], "DISCORD_WEBHOOK_URL" in alerts["said"]) == ("no_go", True)


def test_nothing_secret_is_shown_and_a_sentence_stays_on_its_line(tmp_path: Path) -> None:
    environ = settings(tmp_path, **ONE)
    flip(state(environ), "btc", "halt", "ada", "password=hunter2hunter2\nand more", SystemClock().now())
    document, text = checked(environ)
    said = "switches/btc says halt by ada: password=[redacted] and more"
    assert found(document)["switch"] == {"name": "switch", "verdict": "no_go", "said": said}
    assert said in text
    assert "hunter2" not in str(document) + text


def test_live_without_keys_is_a_no_go_and_not_the_end_of_the_check(tmp_path: Path) -> None:
    document, text = checked(settings(tmp_path, **LIVE, **TWO, VENUE_API_KEY=""))
    for index in range(2):
        ports = found(document, index)["ports"]
        assert (ports["verdict"], "VENUE_API_KEY" in ports["said"]) == ("no_go", True)
        assert found(document, index)["settings"]["verdict"] == "conditional"
    assert document["verdict"] == "no_go"
    assert text.splitlines()[-1] == "NO-GO: mend what is marked NO-GO, then run hourhand check again."


def test_a_venue_that_cannot_be_reached_is_a_no_go_without_a_word_of_the_keys(tmp_path: Path) -> None:
    keys = {"VENUE_API_KEY": "key-that-is-secret", "VENUE_API_SECRET": "another-that-is-secret"}
    ran = hourhand(with_model(settings(tmp_path, **LIVE, **keys, **ONE)), "check", "--json")
    findings = found(ran.document)
    assert ran.code == 1
    assert {findings[name]["verdict"] for name in ("keys", "clock", "venue", "position")} == {"no_go"}
    assert findings["limits"]["verdict"] == "conditional"
    assert "that-is-secret" not in ran.out + ran.err
