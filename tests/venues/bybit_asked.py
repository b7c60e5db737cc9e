"""What bybit asks of a request: who sends it, when, and that its parameters are well-formed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from tests.venues.bybit_words import EPOCH, MILLISECOND, Refused, Row
from tests.venues.server import SKEW, TARGET

WEEK = timedelta(days=7)


class Door:
    """Judges key, signature and time of private requests by the request clock: real time plus `offset_s`, or whatever
    `request_clock` gives."""

    def __init__(
        self, key: str, secret: str, request_clock: Callable[[], datetime] | None = None, offset_s: float = 0.0
    ) -> None:
        self.key, self.secret, self.offset_s = key, secret, offset_s
        self._request_clock = request_clock or (lambda: datetime.now(UTC))

    def judged(self, headers: Mapping[str, str]) -> datetime:
        """The time by which this request is judged."""
        return self._request_clock() + timedelta(seconds=self.offset_s + float(headers.get(SKEW, 0)))

    def authenticate(self, method: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raises Refused when this request may not be heard."""
        key, at, sign = (headers.get(f"x-bapi-{name}", "") for name in ("api-key", "timestamp", "sign"))
        window = headers.get("x-bapi-recv-window", "5000")
        if not (key and sign and at.isdecimal() and window.isdecimal()):
            words = f"empty value: apiTimestamp[{at}] apiKey[{key}] apiSignature[{sign}]: openapi sign params error!"
            raise Refused(10001, words)
        if key != self.key:
            raise Refused(10003, "API key is invalid.")
        now = (self.judged(headers) - EPOCH) // MILLISECOND
        if not now - int(window) <= int(at) < now + 1000:
            told = f"req_timestamp[{at}],server_timestamp[{now}],recv_window[{window}]"
            words = "invalid request, please check your server timestamp or recv_window param."
            raise Refused(10002, f"{words} {told}")
        signed = f"{at}{key}{window}" + (body.decode() if method == "POST" else urlsplit(headers[TARGET]).query)
        if not hmac.compare_digest(hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).hexdigest(), sign):
            raise Refused(10004, f"error sign! origin_string[{signed}]")  # which tells the key to whoever logs it


def read(body: bytes) -> Row:
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise Refused(10001, "Request parameter error.")
    return asked


def decimal_of(asked: Mapping[str, Any], name: str) -> Decimal | None:
    """A positive number, given as a string; None when it is not given."""
    value = asked.get(name)
    if value in {None, ""}:
        return None
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal(0)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise Refused(10001, f"params error: {name} invalid")
    return number


def moment_of(asked: Mapping[str, Any], name: str) -> datetime | None:
    value = str(asked.get(name, ""))
    if not value:
        return None
    if not value.isdecimal():
        raise Refused(10001, f"params error: {name} invalid")
    return EPOCH + int(value) * MILLISECOND


def limit_of(asked: Mapping[str, Any], usual: int, most: int) -> int:
    value = str(asked.get("limit", usual))
    if not value.isdecimal() or not int(value):
        raise Refused(10001, "params error: limit invalid")
    return min(int(value), most)


def span_of(asked: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """The week that is asked for: the last one, or as `startTime` and `endTime` say. Never more than a week."""
    start, end = moment_of(asked, "startTime"), moment_of(asked, "endTime")
    if start and end and end - start > WEEK:
        raise Refused(10001, "The time range between startTime and endTime cannot exceed 7 days.")
    start = start or (end or now) - WEEK
    return start, end or min(start + WEEK, max(now, start))


def page_of(asked: Mapping[str, Any], rows: list[Row], usual: int, most: int) -> Row:
    """One page of `rows`, and the cursor of the next ("" after the last)."""
    cursor = str(asked.get("cursor", ""))
    first = int(cursor.removeprefix("page:")) if cursor.removeprefix("page:").isdecimal() else 0
    last = first + limit_of(asked, usual, most)
    return {"list": rows[first:last], "nextPageCursor": f"page:{last}" if last < len(rows) else ""}
