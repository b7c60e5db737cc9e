"""An hour of the market passes at once. What the venue tells of our orders is in real time, as are their signatures;
bars keep the market's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from core.domain.bars import epoch
from tests.venues.path import VenueClock
from tests.venues.server import Speaker

Said = tuple[int, Mapping[str, str], bytes]
TIMES: Final = {"ordered_at", "executed_at", "triggered_at", "canceled_at", "execTime", "createdTime", "updatedTime"}
PRIVATE: Final = ("/v1/user/", "/v5/order/", "/v5/execution/")


class Elapsed:
    """A Speaker whose market jumps from bar to bar."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._jumps = [(_ms(speaker.clock.now()), _ms(datetime.now(UTC)))]  # the market's time, and the real one

    @property
    def clock(self) -> VenueClock:
        return self._speaker.clock

    def jump(self, to: datetime) -> None:
        self._jumps.append((_ms(to), _ms(datetime.now(UTC))))
        self.clock.set(to)

    def handle(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Said:
        status, told, answer = self._speaker.handle(method, path, query, headers, body)
        if not path.startswith(PRIVATE) or not answer.startswith(b"{"):
            return status, told, answer
        return status, told, json.dumps(self._real(json.loads(answer))).encode()

    def trouble(self, kind: str) -> Said:
        return self._speaker.trouble(kind)

    def _real(self, said: Any, name: str = "") -> Any:
        if isinstance(said, dict):
            return {key: self._real(value, key) for key, value in said.items()}
        if isinstance(said, list):
            return [self._real(each) for each in said]
        if name in TIMES and said:
            return type(said)(self._moment(int(said)))
        return said

    def _moment(self, at: int) -> int:
        """The real time of a time of the market: whatever happened between two bars happened when the hour jumped."""
        last = 2**62
        for market, real in reversed(self._jumps):
            if at >= market:
                return min(real + at - market, last)
            last = real
        return last


def _ms(at: datetime) -> int:
    return epoch(at) * 1000 + at.microsecond // 1000
