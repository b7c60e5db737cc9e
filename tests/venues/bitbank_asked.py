"""What bitbank asks of a request: who sends it, when, and that its parameters are well-formed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from core.domain.orders import ZERO
from tests.venues.bitbank_words import Json, milliseconds
from tests.venues.server import SKEW, TARGET


class Refused(Exception):
    """`code`, as in bitbank's errors.md."""

    def __init__(self, code: int, status: int = 200) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class Door:
    """Judges key, signature and time of private requests by the request clock: real time plus `offset_s`, or whatever
    `request_clock` gives."""

    def __init__(
        self, key: str, secret: str, request_clock: Callable[[], datetime] | None = None, offset_s: float = 0.0
    ) -> None:
        self.key, self.secret, self.offset_s = key, secret, offset_s
        self._request_clock = request_clock or (lambda: datetime.now(UTC))
        self._nonce = 0

    def judged(self, headers: Mapping[str, str]) -> datetime:
        """The time by which this request is judged."""
        return self._request_clock() + timedelta(seconds=self.offset_s + float(headers.get(SKEW, 0)))

    def authenticate(self, method: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raises Refused when this request may not be heard."""
        key, signature = headers.get("access-key"), headers.get("access-signature", "")
        if not key:
            raise Refused(20003)
        if key != self.key:
            raise Refused(20002)
        if len(signature) != 64:
            raise Refused(20005)
        told = self._time(headers)
        signed = told.encode() + (headers[TARGET].encode() if method == "GET" else body)
        if not hmac.compare_digest(hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest(), signature):
            raise Refused(20001)

    def _time(self, headers: Mapping[str, str]) -> str:
        """What the signature begins with, once the request's time is found good."""
        requested, window = headers.get("access-request-time"), headers.get("access-time-window")
        if requested is None and window is None:
            return self._counted(headers)
        if requested is None:
            raise Refused(20033)
        if not requested.isdecimal():
            raise Refused(20037)
        if window is not None and not (window.isdecimal() and 0 < int(window) <= 60_000):
            raise Refused(20038)
        now = milliseconds(self.judged(headers))
        if int(requested) > now + 1000:
            raise Refused(20034)
        if now - int(requested) > int(window or 5000):
            raise Refused(20035)
        return requested + (window or "")

    def _counted(self, headers: Mapping[str, str]) -> str:
        nonce = headers.get("access-nonce")
        if nonce is None:
            raise Refused(20036)
        if not nonce.isdecimal():
            raise Refused(20039)
        if int(nonce) <= self._nonce:
            raise Refused(20001)
        self._nonce = int(nonce)
        return nonce


def read(body: bytes) -> Json:
    try:
        asked = json.loads(body)
    except ValueError:
        raise Refused(10002, 400) from None
    if not isinstance(asked, dict):
        raise Refused(10002, 400)
    return asked


def decimal_of(asked: Json, name: str, missing: int, invalid: int) -> Decimal:
    """A positive number in a string, as the documents want it."""
    value: Any = asked.get(name)
    if value is None:
        raise Refused(missing)
    try:
        number = Decimal(value) if isinstance(value, str) else ZERO
    except InvalidOperation:
        raise Refused(invalid) from None
    if not number.is_finite() or number <= 0:
        raise Refused(invalid)
    return number


def order_id(asked: Json) -> int:
    value = str(asked.get("order_id") or "")
    if not value.isdecimal():
        raise Refused(40013 if value else 30006)
    return int(value)


def order_ids(asked: Json) -> list[int]:
    values = asked.get("order_ids")
    if values is None:
        raise Refused(30007)
    if not isinstance(values, list) or not all(str(value).isdecimal() for value in values):
        raise Refused(40014)
    if len(values) > 30:
        raise Refused(40015)
    return [int(value) for value in values]


def count_of(asked: Json, usual: int) -> int:
    value = str(asked.get("count", usual))
    if not value.isdecimal() or not 0 < int(value) <= 1000:
        raise Refused(40006)
    return int(value)


def within(asked: Json, at: int) -> bool:
    """`since` and `end` are milliseconds; seconds, as ccxt sends them, lie in 1970."""
    since, end = str(asked.get("since", 0)), str(asked.get("end", 2**62))
    if not since.isdecimal() or not end.isdecimal():
        raise Refused(40022 if not since.isdecimal() else 40007)
    return int(since) <= at <= int(end)
