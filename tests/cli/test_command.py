"""hourhand: what every command says on stdout and stderr, with which exit code, when all is well and when not."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core.cli.operate import operator
from core.flows.claim import book_key, tick_key
from core.ports import Write
from tests.cli.command import ROOT, Environ, closed, hourhand, of_files, settings, state, with_model
from tests.road import HOUR

AT = closed(1600).isoformat()
COMMANDS = ["demo", "download", "train", "tick", "guard", "check", "serve", "status"]
KEEPING = ["cleanup", "backup", "restore"]  # of the whole deployment, never of one book
COMMANDS += ["halt", "reduce", "flatten", "resume", "explain", "replay"]
TWO = {"HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/USDT"}, {id = "eth", symbol = "BTC/USDT"}]'}


@pytest.fixture
def world(tmp_path: Path) -> Environ:
    return with_model(of_files(tmp_path))


@pytest.mark.parametrize("command", [*COMMANDS, *KEEPING])
def test_every_command_takes_config_and_json_and_wants_a_file_that_exists(tmp_path: Path, command: str) -> None:
    ran = hourhand(settings(tmp_path), command, "--config", tmp_path / "none.toml", "--json")
    assert ran.code == 2
    assert f"{tmp_path}/none.toml: cannot be read (No such file or directory): correct --config" in ran.err
    assert ran.document == {"outcome": "failed", "reason": ran.err.removeprefix("hourhand: ").strip()}


@pytest.mark.parametrize("command", [*COMMANDS, *KEEPING])
def test_every_command_refuses_a_mistyped_key_and_names_the_nearest(tmp_path: Path, command: str) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("[policy]\ntreshold = 0.04\n")
    ran = hourhand(settings(tmp_path), command, "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"hourhand: {config}: there is no key [policy] treshold; did you mean threshold?\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "required: COMMAND"),
        (("dance",), "invalid choice: 'dance'"),
        (("tick", "--at", "noon"), "'noon' is no time: give one such as 2024-05-01T13:00:05Z"),
        (("tick", "--at", "0001-01-01"), "there are no bars of that year"),
        (("demo", "--days", "0"), "give a number of days, from 1 to 5000"),
        (("demo", "--days", "9" * 12), "give a number of days, from 1 to 5000"),
        (("demo", "--symbol", 'x", id = "y'), "give a symbol as ccxt writes it"),
        (("serve", "--port", "99999"), "give a port"),
        (("serve", "--port", "-1"), "give a port, from 0 (any free one) to 65535"),
        (("status", "--jsn"), "unrecognized arguments: --jsn"),
        (("demo", "--vix", "vix.csv"), "give them with --bars"),
        (("demo", "--symbol", "ETH/USDT"), "give them with --bars"),
        (("demo", "--from", "2024-02-01", "--to", "2024-01-01"), "correct --from or --to"),
        (("tick", "--at", "2099-01-01T00:00:00Z"), "not ahead of now"),
        (("train", "--at", "2099-01-01"), "not ahead of now"),
        *(((name, "--book", "doge"), "no book 'doge': the settings have demo") for name in COMMANDS[1:6]),
        *(((name, "--book", "doge"), "no book 'doge': the settings have demo") for name in COMMANDS[8:]),
    ],
)
def test_wrong_use_is_told_and_does_nothing(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    more = ("--out", str(tmp_path / "out")) if arguments[:1] == ("demo",) else ()
    ran = hourhand(settings(tmp_path), *arguments, *more)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert not (tmp_path / "out").exists()


def test_a_tick_is_told_recorded_explained_and_made_again(world: Environ) -> None:
    first = hourhand(world, "tick", "--at", AT)
    assert first.code == 0
    assert first.err == ""
    again = hourhand(world, "tick", "--at", AT, "--json")
    assert again.document["explanation"] == first.out.strip()
    hourhand(world, "tick", "--at", (closed(1600) + HOUR).isoformat())
    told = hourhand(world, "explain", "--book", "btc", "--at", AT)
    assert told.out.startswith(first.out)
    assert {"p_up", "p(up) by forest", "feature rsi_14"} <= {line[2:24].strip() for line in told.out.splitlines()}
    assert hourhand(world, "explain", "--json").document["bar"] == f"{closed(1600):%Y-%m-%dT%H:%M:%SZ}", "the newest"
    replayed = hourhand(world, "replay", "--json")
    assert (replayed.code, replayed.document) == (0, {"replayed": 2, "different": 0})


def test_a_record_that_does_not_give_its_decision_again_is_named(world: Environ) -> None:
    hourhand(world, "tick", "--at", AT)
    key = tick_key("btc", closed(1600) - HOUR)
    record = state(world).read([key])[key].data
    assert record is not None
    state(world).commit([Write(key, {**record, "decision": {**record["decision"], "reason": "because"}})])
    ran = hourhand(world, "replay")
    assert (ran.code, "1 of 1 decisions came out differently" in ran.err) == (1, True)
    assert f"btc {closed(1599):%Y-%m-%dT%H:%M}Z" in ran.err
    state(world).commit([Write(key, {**record, "view": {"book": "btc"}})])
    ran = hourhand(world, "replay")
    assert ran.code == 1
    assert f"the record of btc at {closed(1599)}" in ran.err


def test_without_a_record_there_is_nothing_to_explain(world: Environ) -> None:
    ran = hourhand(world, "explain", "--json")
    assert (ran.code, ran.document["outcome"]) == (1, "failed")
    assert "there is no record of btc: has it ticked?" in ran.err
    assert "for 2024-01-05T00:00:00+00:00" in hourhand(world, "explain", "--at", "2024-01-05").err
    assert hourhand(world, "replay").out == "nothing is recorded yet\n"


def test_status_has_what_the_contract_names(world: Environ) -> None:
    names = [
        "id",
        "symbol",
        "bar",
        "mode",
        "position",
        "average_price",
        "stop",
        "unsettled",
        "equity",
        "model",
        "outcome",
    ]
    (before,) = hourhand(world, "status", "--json").document["books"]
    hourhand(world, "tick", "--at", AT)
    (after,) = hourhand(world, "status", "--json").document["books"]
    assert {*names, "model", "outcome"} <= before.keys() & after.keys()
    assert (before["bar"], after["bar"]) == (None, f"{closed(1599):%Y-%m-%dT%H:%M:%SZ}")
    assert isinstance(after["position"], int | float)
    assert isinstance(after["equity"], int | float)
    told = hourhand(world, "status").out
    assert "btc  BTC/USDT  RUN" in told
    assert str(after["model"]) in told


@pytest.mark.parametrize(("command", "mode"), [("halt", "halt"), ("reduce", "reduce"), ("flatten", "flatten")])
def test_a_switch_is_flipped_for_all_or_for_one_and_obeyed(tmp_path: Path, command: str, mode: str) -> None:
    world = with_model(of_files(tmp_path, **TWO))
    told = hourhand(world, command, "--book", "eth", "--reason", "a test", "--json").document
    assert {"switch": "eth", "mode": mode, "reason": "a test"}.items() <= told.items()
    modes = {book["id"]: book["mode"] for book in hourhand(world, "status", "--json").document["books"]}
    assert modes == {"btc": "run", "eth": mode}
    ran = hourhand(world, command)
    assert ran.out == f"switches/global says {mode}. btc is now in mode {mode}; eth is now in mode {mode}.\n"
    document = hourhand(world, "tick", "--at", AT, "--book", "btc", "--json").document
    assert (document["mode"], document["orders"]) == (mode, [])
    assert "btc is now in mode run; eth is now in mode" in hourhand(world, "resume").out
    assert "eth is now in mode run" in hourhand(world, "resume", "--book", "eth").out


def test_an_operator_without_a_name_can_halt() -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    assert operator(nameless).startswith("user ")
    assert operator(lambda: "ada") == "ada"


def test_one_books_failure_does_not_keep_the_others_from_their_tick(tmp_path: Path) -> None:
    world = with_model(of_files(tmp_path, **TWO))
    state(world).commit([Write(book_key("btc"), {"state": {"holding": 1}})])
    ran = hourhand(world, "tick", "--at", AT, "--json")
    assert (ran.code, ran.document["outcome"], ran.document["book"]) == (1, "failed", "btc")
    assert [said["outcome"] for said in ran.document["books"]] == ["failed", "refused"]
    assert "books/btc is damaged" in hourhand(world, "tick", "--at", AT).out
    assert "which book? Give --book and one of btc, eth" in hourhand(world, "explain").err


def test_a_busy_book_is_not_a_tick_that_is_done(world: Environ) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    state(world).commit([Write(book_key("btc"), {"lease": {"token": 1, "owner": "x", "bar": until, "until": until}})])
    assert hourhand(world, "tick", "--at", AT).code == 1


BAD_STATE = {
    "no database": (lambda path: path.write_bytes(b"text" * 2000), "not a SQLite database: move it away"),
    "a folder": (lambda path: path.mkdir(), "check that its folder exists and may be written"),
}


@pytest.mark.parametrize("kind", BAD_STATE)
@pytest.mark.parametrize("command", ["tick", "train", "status", "halt", "explain", "replay"])
def test_state_that_cannot_be_used_is_told(tmp_path: Path, command: str, kind: str) -> None:
    make, words = BAD_STATE[kind]
    make(tmp_path / "state.db")
    ran = hourhand(settings(tmp_path), command, "--json")
    assert (ran.code, ran.document["outcome"]) == (1, "failed")
    assert str(tmp_path / "state.db") in ran.err
    assert words in ran.err


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = hourhand(settings(tmp_path, HOURHAND__STATE__PATH=str(tmp_path / "file/x/state.db")), "status")
    assert (ran.code, "set another path" in ran.err) == (2, True)


def test_a_failure_never_prints_a_secret(tmp_path: Path) -> None:
    secret = "kV9-very-secret-31415"
    address = f'{{public = "http://127.0.0.1:1/{secret}"}}'
    environ = settings(tmp_path, HOURHAND__MARKET__SOURCE="venue", HOURHAND__VENUE__URLS=address)
    ran = hourhand(environ | {"VENUE_API_KEY": secret}, "download", "--days", "1", "--json")
    assert (ran.code, "[redacted]" in ran.err, "[redacted]" in ran.out) == (1, True, True)
    assert secret not in ran.err + ran.out


def test_the_command_is_a_process_whose_json_can_be_read_by_another(tmp_path: Path) -> None:
    code = "from core.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "tick", "--at", "2024-05-01T13:00:05Z", "--json"]
    run = subprocess.run(command, cwd=ROOT, env=settings(tmp_path), capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    assert msgspec.json.decode(run.stdout)["reason"] == "model_missing"
