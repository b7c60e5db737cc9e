"""The log: lines that Cloud Logging reads, with everything said but the secrets."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters import json_log

ROOT = Path(__file__).parents[2]
TRACE, SPAN = "105445aa7843bc8bf206b12000100000", "00f067aa0ba902b7"
WEBHOOK = "https://discord.com/api/webhooks/1234567890/AbC-dEf_123"
log = logging.getLogger("hourhand.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    forget()
    yield
    forget()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def alone() -> None:
    """pytest's own handlers raise on what ours bears."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, json_log._Handler)]


def forget() -> None:
    """The secrets of other tests: there is no such thing outside of them."""
    json_log._forms.clear()
    json_log.redact([])


@pytest.fixture
def stream() -> io.StringIO:
    target = io.StringIO()
    json_log.setup("DEBUG", stream=target)
    return target


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_the_names_that_the_cloud_knows(stream: io.StringIO) -> None:
    before = datetime.now(UTC)
    extra = {"book": "btc", "at": before, "price": Decimal("1.50"), "n": {"a": [1.5]}}
    log.warning("two\nlines and %d", 3, extra=extra)
    (line,) = lines(stream)
    assert abs((datetime.fromisoformat(line.pop("time")) - before).total_seconds()) < 60
    assert line == {
        "severity": "WARNING",
        "message": "two\nlines and 3",
        "logger": "hourhand.test",
        "book": "btc",
        "at": before.isoformat(),
        "price": "1.50",
        "n": {"a": [1.5]},
    }


@pytest.mark.parametrize(
    ("level", "severity"),
    [(10, "DEBUG"), (20, "INFO"), (25, "INFO"), (30, "WARNING"), (40, "ERROR"), (50, "CRITICAL"), (60, "CRITICAL")],
)
def test_every_level_has_a_severity(stream: io.StringIO, level: int, severity: str) -> None:
    log.log(level, "x")
    assert lines(stream)[0]["severity"] == severity


def test_what_is_below_the_level_is_not_written() -> None:
    target = io.StringIO()
    json_log.setup("WARNING", stream=target)
    log.info("no")
    log.warning("yes")
    assert [line["message"] for line in lines(target)] == ["yes"]


def test_setting_up_again_takes_the_place_of_the_first_and_of_plain_printers() -> None:
    first, second = io.StringIO(), io.StringIO()
    printer = logging.StreamHandler(first)
    logging.getLogger().addHandler(printer)
    json_log.setup(stream=first)
    json_log.setup(stream=second)
    json_log.setup(stream=second)
    log.info("once")
    assert (len(lines(first)), len(lines(second))) == (0, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Cloud-Trace-Context": f"{TRACE}/{int(SPAN, 16)};o=1"},
        {"x-cloud-trace-context": f"{TRACE}/{int(SPAN, 16)}"},
        {"traceparent": f"00-{TRACE}-{SPAN}-01"},
    ],
)
def test_a_request_s_trace_stands_in_every_line(stream: io.StringIO, headers: dict[str, str]) -> None:
    with json_log.context(headers, "house", book="btc"):
        log.info("in")
    log.info("out")
    inside, outside = lines(stream)
    assert inside["logging.googleapis.com/trace"] == f"projects/house/traces/{TRACE}"
    assert inside["logging.googleapis.com/spanId"] == SPAN
    assert inside["book"] == "btc"
    assert outside.keys() == {"severity", "message", "time", "logger"}


@pytest.mark.parametrize("header", ["", "x", TRACE[:-1], f'{TRACE}"', f"{TRACE}x", f"00-{TRACE}-{SPAN}"])
def test_a_malformed_trace_is_left_out(header: str) -> None:
    assert json_log.trace({"X-Cloud-Trace-Context": header, "traceparent": header}, "house") == {}


def test_no_project_no_trace() -> None:
    assert json_log.trace({"X-Cloud-Trace-Context": TRACE}, "") == {}


def test_contexts_nest_and_threads_carry_them_when_given(stream: io.StringIO) -> None:
    with json_log.context(book="btc"), json_log.context(bar="12:00"):
        copied = contextvars.copy_context()
        thread = threading.Thread(target=lambda: copied.run(log.info, "there"))
        thread.start()
        thread.join()
    (line,) = lines(stream)
    assert (line["book"], line["bar"]) == ("btc", "12:00")


def test_extra_cannot_take_the_place_of_the_line_s_own_fields(stream: io.StringIO) -> None:
    log.info("said", extra={"severity": "NONE", "time": "never"})
    (line,) = lines(stream)
    assert (line["severity"], line["message"], line["time"] != "never") == ("INFO", "said", True)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_what_cannot_be_written_is_still_a_line(stream: io.StringIO) -> None:
    alone()
    ring: list[object] = []
    ring.append(ring)
    log.info("%d of %s", "three", extra={"ring": ring, "nan": float("nan"), "odd": Unprintable(), "half": "\ud800"})
    (line,) = lines(stream)
    assert line["message"] == "%d of %s ('three',)"
    assert (line["nan"], line["odd"]) == ("nan", "<Unprintable that cannot be printed>")


def test_a_closed_stream_says_nothing_and_stops_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    target = io.StringIO()
    json_log.setup(stream=target)
    target.close()
    log.info("token=abcdefgh")
    assert capfd.readouterr() == ("", "")


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    try:
        raise KeyError("where")
    except KeyError:
        log.exception("it failed")
    (line,) = lines(stream)
    assert line["severity"] == "ERROR"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("KeyError: 'where'")


def test_a_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stderr, cloud = sys.stderr, os.environ.pop("K_SERVICE", None)
    sys.stderr = terminal = Terminal()
    try:
        json_log.setup()
        log.info("hello", extra={"book": "btc", "token": "abcdefgh", "n": 3})
        log.error("bad secret=abcdefgh", exc_info=ValueError("signature=abcdefgh"))
    finally:
        sys.stderr = stderr
        if cloud:
            os.environ["K_SERVICE"] = cloud
    first, second, *_, last = terminal.getvalue().splitlines()
    assert first[8:] == " info    hello  book=btc  token=[redacted]  n=3"
    assert second[8:] == " error   bad secret=[redacted]"
    assert last == "ValueError: signature=[redacted]"
    assert capsys.readouterr().out == ""


def test_plain_lines_go_to_stderr_where_they_are_asked_for() -> None:
    code = "import logging; from core.adapters import json_log as j; j.setup(plain=True); logging.warning('token=abcd')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr[8:]) == ("", " warning token=[redacted]\n")


@pytest.mark.parametrize("service", ["tick", None])
def test_without_a_terminal_lines_go_to_stdout(service: str | None) -> None:
    code = "from core.adapters import json_log; import logging; json_log.setup(); logging.warning('%s', 'sesame-open')"
    environ = {**os.environ, "VENUE_API_KEY": "sesame-open"} | ({"K_SERVICE": service} if service else {})
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["message"] == "[redacted]"
    assert run.stderr == ""


# -- secrets

SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=9, max_size=40).filter(
    lambda text: len(text.strip()) >= 9 and len(set(text)) > 4
)
KEYS = st.from_regex(r"\A[A-Za-z0-9+/_-]{12,40}\Z")


def places(secret: str) -> list[tuple[str, tuple[object, ...], dict[str, object]]]:
    """(message, arguments, extra) with the secret wherever a careless line may put it."""
    return [
        (f"a {secret} b".replace("%", "%%"), (1,), {}),
        ("%s", (secret,), {}),
        ("%r", (secret,), {}),
        ("%d", (secret,), {}),
        ("%s", ({"x": [secret]},), {}),
        ("%s", (secret.encode(),), {}),
        ("x", (), {"plain": secret}),
        ("x", (), {"nested": {"a": [secret, {secret: (secret, {secret})}]}}),
        ("x", (), {"url": f"https://a.example/?{urlencode({'x': secret})}&y={quote(secret, safe='')}"}),
        ("x", (), {"error": ValueError(secret), "bytes": secret.encode(), "json": json.dumps({"k": secret})}),
        ("x", (), {"deep": [[[[[[[[[[secret]]]]]]]]]]}),
    ]


def raised(secret: str) -> BaseException:
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ExceptionGroup("several", [ValueError(secret), OSError(5, secret)]) from error
    except ExceptionGroup as group:
        return group


@settings(max_examples=80)
@given(st.one_of(SECRETS, KEYS))
def test_a_secret_never_comes_out_wherever_it_was_put(secret: str) -> None:
    forget()
    target = io.StringIO()
    json_log.setup("DEBUG", [secret], target)
    alone()
    for message, arguments, extra in places(secret):
        log.info(message, *arguments, extra=extra)
    with json_log.context(place=secret):
        log.error("bad", exc_info=raised(secret))
    written = target.getvalue()
    assert written.count("\n") == len(places(secret)) + 1
    decoded = "\n".join(str(line) for line in map(_flat, lines(target)))
    for form in (secret, secret.strip(), json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")):
        assert form not in written
        assert form not in decoded


def _flat(value: object) -> object:
    """Every text in a line as it is, for `in`: what a reader of the log sees."""
    if isinstance(value, dict):
        return "\n".join(f"{_flat(key)}\n{_flat(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "\n".join(str(_flat(inner)) for inner in value)
    return value


def test_a_number_that_is_a_secret_and_a_secret_of_several_lines_stay_hidden() -> None:
    target = io.StringIO()
    json_log.setup("DEBUG", ["8675309", "first-line\nsecond-line"], target)
    log.info("x", extra={"n": 8675309, "m": 8675310, "f": 8675309.0})
    log.error("x", exc_info=ExceptionGroup("g", [ValueError("first-line\nsecond-line")]))
    written = target.getvalue()
    assert "8675309" not in written
    assert "8675310" in written
    assert "-line\\n" not in written.replace("[redacted]", "")


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/user?apikey={}&x=1",
        "ACCESS-KEY: {}",
        "{{'ACCESS-SIGNATURE': '{}'}}",
        '{{"api_secret": "{}"}}',
        '"{{\\"token\\": \\"{}\\"}}"',
        "X-BAPI-SIGN={}",
        "Authorization: Bearer {}",
        "authorization=Basic {}",
        "sent Bearer {} there",
        "password => {}",
        "OK-ACCESS-PASSPHRASE: {}",
        "https://user:{}@example.org/x",
        "https://discord.com/api/webhooks/1/{}",
        "https://ptb.discordapp.com/api/v10/webhooks/1/{}?wait=true",
        "ya29.{}",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n{} cut",
    ],
)
def test_what_looks_like_a_secret_is_hidden_though_nobody_named_it(stream: io.StringIO, text: str) -> None:
    secret = "Zx9-unheard-of_Value"
    log.info("%s", text.format(secret))
    log.info("x", extra={"said": text.format(secret)})
    log.error("x", exc_info=ValueError(text.format(secret)))
    assert secret not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 3


@pytest.mark.parametrize("name", ["token", "api_key", "apiSecret", "Authorization", "X-BAPI-SIGN", "Cookie"])
def test_a_field_with_a_telling_name_is_hidden(stream: io.StringIO, name: str) -> None:
    log.info("x", extra={"headers": {name: ["abc"], "other": "kept"}})
    assert lines(stream)[0]["headers"] == {name: "[redacted]", "other": "kept"}


def test_ordinary_words_are_left_alone(stream: io.StringIO) -> None:
    text = "design: signal=0.61, bar=2024-05-01T12:00:00Z, model 20240501-abc123, http://127.0.0.1:80/a@b key: 3"
    log.info(text)
    assert lines(stream)[0]["message"] == text


def test_short_values_are_no_secrets(stream: io.StringIO) -> None:
    json_log.redact(["", "a", "info"])
    log.info("an information")
    assert lines(stream)[0]["message"] == "an information"
