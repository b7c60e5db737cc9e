"""What a line to a venue counts: requests, those that failed, and how long they took."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest

from core.adapters.venue_line import Fault, Refused, Unknown
from core.ports import Calls
from tests.adapters.candle_venues import HTML
from tests.adapters.scripted import Answer, Script, scripted
from tests.adapters.test_venue_line import FINE, Waiting, ask, down, line_to, no, place
from tests.fakes import FixedClock


class Slow(Script):
    """Each answer takes as long as the clock is moved while it is made."""

    clock: FixedClock
    seconds: float

    def next(self, request: Any) -> Answer | None:
        self.clock.advance(timedelta(seconds=self.seconds))
        return super().next(request)


def test_the_seconds_of_the_newest_requests_are_kept() -> None:
    clock = Waiting()
    with scripted(FINE, kind=Slow) as server:
        assert isinstance(server, Slow)
        server.clock = clock
        line = line_to(server.host, clock)
        for number in range(70):
            server.seconds = number / 8
            ask(line)
    assert line.calls() == Calls(70, 0, tuple(number / 8 for number in range(6, 70)))


def test_a_clock_that_is_set_back_takes_no_time() -> None:
    clock = Waiting()
    with scripted(FINE, kind=Slow) as server:
        assert isinstance(server, Slow)
        server.clock, server.seconds = clock, -3600.0
        line = line_to(server.host, clock)
        ask(line)
    assert line.calls() == Calls(1, 0, (0.0,))


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (FINE, 0),
        (no(60001), 0),  # a plain refusal
        (no(20001), 1),  # a refusal too, but of the kind "nonce"
        (no(70004), 0),
        (no(10009, 429), 1),
        (no(10001), 1),
        (no(99999), 1),  # it is not in the closed list
        (Answer(502, HTML), 1),
        (Answer(200, HTML), 1),
        (None, 1),
    ],
)
def test_a_request_has_failed_unless_it_was_answered_or_plainly_refused(answer: Answer | None, failed: int) -> None:
    with scripted(answer) as server:
        line = line_to(server.host, tries=1)
        with contextlib.suppress(Fault):
            ask(line)
        with contextlib.suppress(Refused, Unknown):
            place(line)
        assert line.calls()[:2] == (2, 2 * failed)


def test_every_try_is_a_request_and_what_never_left_is_none() -> None:
    with scripted(None, None, FINE) as server:
        line = line_to(server.host, Waiting())
        ask(line)
        with pytest.raises(Refused):
            line.write(lambda: 1 / 0, "nonsense")
        assert line.calls()[:2] == (3, 2)
    with scripted(None) as server:
        line = line_to(server.host, Waiting())
        down(line)
        made = line.calls().made
        with pytest.raises(Refused):
            place(line)
        assert line.calls().made == made == len(server.asked), "while the venue is down nothing is sent"
