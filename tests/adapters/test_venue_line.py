from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.venue_line import NOT_SENT, Codes, Fault, Kind, Line, Refused, Unknown
from core.adapters.venue_line.pace import COOL_S, COOLEST_S, FAILURES, Breaker, Bucket
from core.adapters.venue_line.trouble import MEANING
from core.ports import Unavailable
from tests.adapters.candle_venues import HTML
from tests.adapters.scripted import Answer, Script, scripted
from tests.fakes import FixedClock

START = datetime(2024, 5, 1, 12, tzinfo=UTC)
KEY, SECRET = "AKIAKEYKEYKEY", "sEcReT+/sEcReT=="
FINE = Answer(200, {"success": 1, "data": {"order_id": 7}})


def no(code: int, status: int = 200) -> Answer:
    return Answer(status, {"success": 0, "data": {"code": code}})


def code_of(answer: Any) -> str:
    return "" if answer["success"] else str(answer["data"]["code"])


CODES = Codes(
    name="bitbank",
    of=code_of,
    refuses={"60001", "10009", "20001", "70004"}.__contains__,
    kinds={"20001": "nonce", "20034": "clock", "10007": "maintenance", "10009": "rate_limit", "10001": "server"},
)


class Waiting(FixedClock):
    """Moves on while it sleeps; `slept` keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__(START)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


def bitbank(host: str, timeout_ms: int = 2000) -> Any:
    exchange = ccxt.bitbank({"apiKey": KEY, "secret": SECRET, "timeout": timeout_ms})
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], f"http://{host}")
    return exchange


def line_to(host: str, clock: FixedClock | None = None, codes: Codes = CODES, **more: Any) -> Line:
    return Line(bitbank(host), clock or Waiting(), codes, reads_per_s=10, writes_per_s=6, **more)


def ask(line: Line) -> Any:
    return line.read(lambda: line.exchange.privateGetUserSpotOrder({"pair": "btc_jpy", "order_id": 7}), "order 7")


def place(line: Line, **more: Any) -> Any:
    return line.write(lambda: line.exchange.privatePostUserSpotOrder({"pair": "btc_jpy"}), "entry", **more)


TROUBLE: list[tuple[Answer | None, Kind, str]] = [
    (no(60001), "refused", "60001"),
    (no(60001, 400), "refused", "60001"),
    (no(10009, 429), "rate_limit", "10009"),
    (Answer(429, b"slow down"), "rate_limit", "http_429"),
    (Answer(403, HTML), "ban", "http_403"),
    (Answer(401, HTML), "credentials", "http_401"),
    (no(20001), "nonce", "20001"),
    (no(20034), "clock", "20034"),
    (no(20002), "credentials", "20002"),
    (no(50008), "ban", "50008"),
    (no(10007), "maintenance", "10007"),
    (no(10001, 500), "server", "10001"),
    (Answer(502, b"bad gateway"), "server", "http_502"),
    (Answer(404, HTML), "unparsable", "http_404"),
    (Answer(200, HTML), "unparsable", ""),
    (Answer(200, b""), "unparsable", ""),
    (Answer(200, b"null"), "unparsable", ""),
    (Answer(200, {}), "unparsable", ""),
    (Answer(200, []), "unparsable", ""),
    (Answer(200, b'{"success":1,"data":{"order_id":'), "unparsable", ""),
    (None, "network", ""),
]


@pytest.mark.parametrize(("answer", "kind", "code"), TROUBLE)
def test_a_read_that_fails_says_what_kind_of_trouble_it_was_and_what_to_do(
    answer: Answer | None, kind: Kind, code: str
) -> None:
    with scripted(answer) as venue, pytest.raises(Fault) as failure:
        ask(line_to(venue.host))
    assert (failure.value.kind, failure.value.code) == (kind, code)
    assert isinstance(failure.value, Unavailable)
    assert all(part in str(failure.value) for part in ("bitbank", "order 7", MEANING[kind]))


def test_every_kind_of_trouble_has_a_sentence_of_its_own() -> None:
    assert set(MEANING) == set(get_args(Kind))
    assert len(set(MEANING.values())) == len(MEANING)


@pytest.mark.parametrize(("answer", "kind", "code"), TROUBLE)
def test_only_a_code_of_the_closed_list_makes_a_write_refused(answer: Answer | None, kind: Kind, code: str) -> None:
    expected: Any = Refused if code in {"60001", "10009", "20001"} else Unknown
    with scripted(answer) as venue:
        line = line_to(venue.host)
        with pytest.raises(expected) as failure:
            place(line)
        assert (failure.value.kind, failure.value.code) == (kind, code)
        assert len(venue.asked) == 1


def test_a_write_that_is_answered_is_made_once() -> None:
    with scripted(FINE) as venue:
        assert place(line_to(venue.host))["data"] == {"order_id": 7}
        assert len(venue.asked) == 1


def test_ccxts_own_retries_are_off() -> None:
    with scripted(None, FINE) as venue:
        exchange = bitbank(venue.host)
        exchange.options["maxRetriesOnFailure"] = 3
        line = Line(exchange, Waiting(), CODES, reads_per_s=10, writes_per_s=6)
        with pytest.raises(Unknown):
            place(line)
        assert len(venue.asked) == 1


def test_a_read_is_tried_again_until_it_is_answered() -> None:
    clock = Waiting()
    with scripted(None, Answer(502, b""), FINE) as venue:
        assert ask(line_to(venue.host, clock))["data"] == {"order_id": 7}
        assert len(venue.asked) == 3
    assert len(clock.slept) == 2
    assert 0 <= clock.slept[0] <= 0.5 and 0 <= clock.slept[1] <= 1


def test_pauses_between_tries_are_drawn_anew_each_time_and_may_grow() -> None:
    pauses: list[list[float]] = [[], []]
    with scripted(None) as venue:
        for _ in range(20):
            clock = Waiting()
            with pytest.raises(Fault):
                ask(line_to(venue.host, clock))
            for drawn, slept in zip(pauses, clock.slept, strict=True):
                drawn.append(slept)
    assert [len(set(drawn)) for drawn in pauses] == [20, 20]
    assert max(pauses[0]) <= 0.5 < max(pauses[1]) <= 1


def test_a_read_is_tried_no_more_often_than_it_was_said() -> None:
    with scripted(None) as venue, pytest.raises(Fault):
        ask(line_to(venue.host, tries=2))
    assert len(venue.asked) == 2


@pytest.mark.parametrize("answer", [no(60001), no(20034), no(10007), Answer(403, HTML)])
def test_a_read_that_another_try_cannot_help_is_made_once(answer: Answer) -> None:
    with scripted(answer) as venue, pytest.raises(Fault):
        ask(line_to(venue.host))
    assert len(venue.asked) == 1


class Silent(Script):
    """Takes requests and does not answer until the test is over."""

    over = threading.Event()

    def next(self, request: Any) -> Answer | None:
        super().next(request)
        self.over.wait(20)
        return None


def test_a_write_without_an_answer_in_time_is_unknown() -> None:
    Silent.over.clear()
    with scripted(FINE, kind=Silent) as venue:
        line = Line(bitbank(venue.host, 200), Waiting(), CODES, reads_per_s=10, writes_per_s=6)
        with pytest.raises(Unknown) as failure:
            place(line)
        assert failure.value.kind == "timeout"
        assert len(venue.asked) == 1
        Silent.over.set()


def closed_port() -> str:
    with scripted(FINE) as venue:
        return venue.host


@pytest.mark.parametrize("host", ["closed", "no-such-host.invalid"])
def test_a_write_for_which_no_connection_came_about_was_surely_not_sent(host: str) -> None:
    line = line_to(closed_port() if host == "closed" else host)
    with pytest.raises(Refused) as failure:
        place(line)
    assert (failure.value.code, failure.value.kind) == (NOT_SENT, "connect")
    with pytest.raises(Fault) as fault:
        ask(line)
    assert fault.value.kind == "connect"


def test_a_connection_that_fails_after_something_else_was_sent_proves_nothing() -> None:
    with scripted(FINE) as venue:
        line = line_to(venue.host)

        def twice() -> Any:
            line.exchange.privatePostUserSpotOrder({"pair": "btc_jpy"})
            line.exchange.urls["api"] = dict.fromkeys(line.exchange.urls["api"], f"http://{closed_port()}")
            return line.exchange.privatePostUserSpotOrder({"pair": "btc_jpy"})

        with pytest.raises(Unknown):
            line.write(twice, "entry")


def test_what_fails_before_anything_is_sent_is_refused_as_not_sent() -> None:
    with scripted(FINE) as venue:
        line = line_to(venue.host)
        line.exchange.apiKey = ""
        with pytest.raises(Refused) as failure:
            place(line)
        assert (failure.value.code, failure.value.kind, venue.asked) == (NOT_SENT, "local", [])


@pytest.mark.parametrize("nonsense", [KeyError("order"), TypeError("None"), Unavailable("no such field")])
def test_an_answer_that_cannot_be_read_leaves_a_write_unknown(nonsense: Exception) -> None:
    with scripted(FINE) as venue:
        line = line_to(venue.host)

        def misread() -> None:
            line.exchange.privatePostUserSpotOrder({"pair": "btc_jpy"})
            raise nonsense

        with pytest.raises(Unknown) as failure:
            line.write(misread, "entry")
        assert failure.value.kind == "unparsable"


def test_an_earlier_answer_is_never_taken_for_the_answer_to_a_later_question() -> None:
    with scripted(no(60001), None) as venue:
        line = line_to(venue.host)
        with pytest.raises(Refused):
            place(line)
        with pytest.raises(Unknown) as failure:
            place(line)
        assert failure.value.code == ""


@pytest.mark.parametrize(("body", "taken"), [(b"", True), (b"  \n", True), (HTML, False), (b"ok", False)])
def test_an_answer_without_content_is_a_yes_only_where_the_venue_says_yes_so(body: bytes, taken: bool) -> None:
    with scripted(Answer(200, body)) as venue:
        line = line_to(venue.host)
        if taken:
            place(line, blank=True)
        with pytest.raises(Unknown):
            place(line, blank=taken is False)


# The breaker


def down(line: Line) -> None:
    for _ in range(2):
        with pytest.raises(Fault):
            ask(line)


def test_a_venue_that_is_down_is_left_alone_for_a_while() -> None:
    clock = Waiting()
    with scripted(None) as venue:
        line = line_to(venue.host, clock)
        down(line)
        asked = len(venue.asked)
        assert asked == FAILURES
        with pytest.raises(Fault) as failure:
            ask(line)
        assert failure.value.kind == "open"
        assert "since 12:00:00 UTC" in str(failure.value)
        assert f"from {clock.now() + timedelta(seconds=COOL_S):%H:%M:%S} UTC" in str(failure.value)
        with pytest.raises(Refused) as refused:
            place(line)
        assert (refused.value.code, refused.value.kind) == (NOT_SENT, "open")
        assert len(venue.asked) == asked


def test_one_read_finds_out_that_the_venue_is_back_and_no_write_ever_does() -> None:
    clock = Waiting()
    with scripted(*[None] * FAILURES, FINE) as venue:
        line = line_to(venue.host, clock)
        down(line)
        clock.advance(timedelta(seconds=COOL_S + 1))
        with pytest.raises(Refused):
            place(line)
        assert len(venue.asked) == FAILURES
        ask(line)
        assert place(line) is not None
        assert len(venue.asked) == FAILURES + 2


def test_a_first_read_that_fails_again_lengthens_the_pause_up_to_five_minutes() -> None:
    clock = FixedClock(START)
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.note(failed=True)
    pauses = []
    for _ in range(6):
        start = clock.now()
        while breaker.cooling():
            clock.advance(timedelta(seconds=1))
        pauses.append((clock.now() - start).total_seconds())
        breaker.note(failed=True)
    assert pauses == [COOL_S, 60, 120, 240, COOLEST_S, COOLEST_S]
    breaker.note(failed=False)
    assert breaker.closed()
    for _ in range(FAILURES):
        assert not breaker.cooling()
        breaker.note(failed=True)
    clock.advance(timedelta(seconds=COOL_S))
    assert not breaker.cooling()


def test_a_venue_that_says_no_is_not_down() -> None:
    with scripted(None, None, None, None, no(60001), None, None, None, None, no(60001), FINE) as venue:
        line = line_to(venue.host, tries=1)
        for _ in range(10):
            with pytest.raises(Fault) as failure:
                ask(line)
            assert failure.value.kind != "open"
        ask(line)


# The buckets


@given(st.integers(1, 10), st.lists(st.floats(0, 3), max_size=60))
def test_no_second_sees_more_requests_than_are_allowed(per_s: int, pauses: list[float]) -> None:
    clock = FixedClock(START)
    bucket, taken = Bucket(clock, per_s), []
    for pause in pauses:
        clock.advance(timedelta(seconds=pause))
        bucket.take()
        taken.append(clock.now())
    assert all(b - a >= timedelta(seconds=1) for a, b in zip(taken, taken[per_s:], strict=False))


@given(st.integers(1, 5), st.integers(5, 12), st.lists(st.floats(0, 20), max_size=60))
def test_no_minute_sees_more_requests_than_are_allowed(per_s: int, per_min: int, pauses: list[float]) -> None:
    clock = FixedClock(START)
    bucket, taken = Bucket(clock, per_s, per_min), []
    for pause in pauses:
        clock.advance(timedelta(seconds=pause))
        bucket.take()
        taken.append(clock.now())
    for count, span in ((per_s, 1), (per_min, 60)):
        assert all(b - a >= timedelta(seconds=span) for a, b in zip(taken, taken[count:], strict=False))


class Crowded(FixedClock):
    """Somebody else wants a token of `bucket` while the first one sleeps; `until`: to when each wanted to sleep."""

    def __init__(self) -> None:
        super().__init__(START)
        self.bucket = Bucket(self, 1)
        self.other: threading.Thread | None = None
        self.until: list[datetime] = []

    def sleep(self, seconds: float) -> None:
        self.until.append(self.now() + timedelta(seconds=seconds))
        if self.other is None:
            self.other = threading.Thread(target=self.bucket.take, daemon=True)
            self.other.start()
            self.other.join(0.2)
        super().sleep(seconds)


def test_two_that_wait_for_a_token_do_not_get_the_same_one() -> None:
    clock = Crowded()
    clock.bucket.take()
    clock.bucket.take()
    assert clock.other is not None
    clock.other.join(10)
    assert clock.until == [START + timedelta(seconds=1), START + timedelta(seconds=2)]


def test_a_clock_that_is_set_back_costs_a_second_at_most() -> None:
    clock = Waiting()
    bucket = Bucket(clock, 1)
    bucket.take()
    clock.advance(-timedelta(days=1))
    bucket.take()
    assert clock.slept == [1]


def test_reads_do_not_use_up_the_turns_of_writes() -> None:
    clock = Waiting()
    with scripted(FINE) as venue:
        line = line_to(venue.host, clock)
        for _ in range(10):
            ask(line)
        assert clock.slept == []
        place(line)
        assert clock.slept == []
        ask(line)
        assert clock.slept == [1]


def test_a_line_keeps_to_what_is_allowed_in_a_minute() -> None:
    clock = Waiting()
    with scripted(FINE) as venue:
        line = line_to(venue.host, clock, reads_per_min=3, writes_per_min=2)
        for way, count in ((ask, 3), (place, 2)):
            clock.slept.clear()
            for _ in range(count + 1):
                clock.advance(timedelta(seconds=2))
                way(line)
            assert clock.slept == [60 - 2 * count]


class Meanwhile(Waiting):
    """Does something else while somebody sleeps."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__()
        self.do = do

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        other = threading.Thread(target=self.do, daemon=True)
        other.start()
        other.join(10)
        assert not other.is_alive()


def test_a_write_goes_through_while_a_read_waits_for_its_turn() -> None:
    placed: list[Any] = []
    with scripted(FINE) as venue:
        line = line_to(venue.host, Meanwhile(lambda: placed.append(place(line))))
        for _ in range(11):
            ask(line)
    assert len(placed) == 1
    assert [request.method for request in venue.asked] == [*["GET"] * 10, "POST", "GET"]


def test_a_write_goes_through_while_a_read_waits_for_its_next_try() -> None:
    placed: list[Any] = []
    with scripted(None, FINE) as venue:
        line = line_to(venue.host, Meanwhile(lambda: placed.append(place(line))))
        ask(line)
    assert len(placed) == 1
    assert [request.method for request in venue.asked] == ["GET", "POST", "GET"]


# Connections


@contextmanager
def connections(status: int = 200, location: str = "") -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """A server; the method of each request, and the port that it came from."""
    seen: list[tuple[str, int]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((self.command, self.client_address[1]))
            body = b'{"success": 1, "data": {}}'
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_write_is_never_sent_on_to_where_a_redirect_points(status: int) -> None:
    with connections() as (elsewhere, followed), connections(status, f"http://{elsewhere}/") as (here, seen):
        with pytest.raises(Unknown) as failure:
            place(line_to(here))
        assert failure.value.kind == "unparsable"
        assert (len(seen), followed) == (1, [])


def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    clock = Waiting()
    with connections() as (host, seen):
        line = line_to(host, clock)
        ask(line)
        place(line)
        clock.advance(timedelta(seconds=30))
        place(line)
    ports = [port for _, port in seen]
    assert ports[0] == ports[1] != ports[2]


# Secrets


def signed(venue_id: str, host: str) -> Any:
    exchange = getattr(ccxt, venue_id)({"apiKey": KEY, "secret": SECRET, "password": "pAsSwOrD", "timeout": 2000})
    exchange.urls["api"] = _everywhere(exchange.urls["api"], f"http://{host}")
    exchange.hostname = host
    return exchange


def _everywhere(urls: Any, url: str) -> Any:
    return {name: _everywhere(inner, url) for name, inner in urls.items()} if isinstance(urls, dict) else url


SIGNED: list[tuple[str, Callable[[Any], Any]]] = [
    ("bybit", lambda exchange: exchange.privateGetV5OrderRealtime({"category": "spot"})),
    ("okx", lambda exchange: exchange.privateGetTradeOrdersPending({"instType": "SPOT"})),
    ("bittrade", lambda exchange: exchange.privateGetAccountAccounts({})),
    ("bitbank", lambda exchange: exchange.privateGetUserSpotOrder({"order_id": 7})),
]
ECHO = Answer(500, f"key {KEY} secret {SECRET} at /v1/x?AccessKeyId={KEY}&Signature=abc123%3D".encode())


@pytest.mark.parametrize("answer", [ECHO, Answer(200, HTML), None, Answer(404, ECHO.body)])
@pytest.mark.parametrize(("venue_id", "call"), SIGNED, ids=[name for name, _ in SIGNED])
def test_no_message_and_no_traceback_tells_a_key_a_secret_or_a_signature(
    venue_id: str, call: Callable[[Any], Any], answer: Answer | None
) -> None:
    with scripted(answer) as venue:
        line = Line(signed(venue_id, venue.host), Waiting(), CODES, reads_per_s=10, writes_per_s=6)
        for way, kind in ((line.read, Fault), (line.write, Unknown)):
            with pytest.raises(kind) as failure:
                way(lambda: call(line.exchange), "look")
            told = "".join(traceback.format_exception(failure.value)) + repr(failure.value)
            assert (failure.value.__cause__, failure.value.__context__) == (None, None)
            for secret in (KEY, SECRET, "abc123", "Signature=", "pAsSwOrD"):
                assert secret not in told
        assert venue.asked
