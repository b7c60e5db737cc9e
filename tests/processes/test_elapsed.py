"""Times of orders go by real time, times of bars by the market's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.processes.elapsed import Elapsed
from tests.venues.path import VenueClock

START = datetime(2024, 1, 1, tzinfo=UTC)


class Echo:
    """A Speaker that tells what it is asked to."""

    def __init__(self) -> None:
        self.clock = VenueClock(START)

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, {}, body

    def trouble(self, kind: str) -> tuple[int, Mapping[str, str], bytes]:
        return 500, {}, b""


def told(elapsed: Elapsed, path: str, *times: datetime) -> list[Any]:
    body = json.dumps({"trades": [{"executed_at": int(at.timestamp() * 1000)} for at in times]}).encode()
    _, _, answer = elapsed.handle("GET", path, {}, {}, body)
    return [trade["executed_at"] / 1000 for trade in json.loads(answer)["trades"]]


def test_what_happens_after_a_jump_is_told_in_real_time_and_what_was_jumped_over_at_that_moment() -> None:
    elapsed, before = Elapsed(Echo()), datetime.now(UTC).timestamp()
    elapsed.jump(START + timedelta(hours=1))
    jumped = datetime.now(UTC).timestamp()
    stopped, sold = told(
        elapsed, "/v1/user/spot/trade_history", START + timedelta(minutes=40), START + timedelta(hours=1, seconds=90)
    )
    assert before - 0.001 <= stopped <= jumped
    assert stopped + 90 <= sold <= jumped + 90


def test_bars_keep_the_time_of_the_market() -> None:
    elapsed = Elapsed(Echo())
    elapsed.jump(START + timedelta(hours=1))
    assert told(elapsed, "/btc_jpy/candlestick/1hour/20240101", START) == [START.timestamp()]
