"""Discord's webhooks, as its documentation describes them: what it shows, what it refuses, how it asks for patience."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.venues.path import VenueClock

PATH = "/api/webhooks/1234567890/t0ken-of-the-Webhook_that-is-secret"
UNKNOWN = {"message": "Unknown Webhook", "code": 10015}
LIMITS = {"title": 256, "description": 4096}


class Discord:
    """A tests.venues.server.Speaker. `shown`: the bodies of the messages that stand in the channel; `gone`: the webhook
    was deleted; `picky`: a word that no embed may hold, `mute`: none at all may be shown; `told`: headers of the next
    answers; `patience`: what a 429 says."""

    def __init__(self, clock: VenueClock) -> None:
        self.clock = clock
        self.shown: list[dict[str, Any]] = []
        self.gone, self.picky, self.mute = False, "", False
        self.told: deque[Mapping[str, str]] = deque()
        self.patience: tuple[Mapping[str, str], bytes] = (
            {"Retry-After": "2"},
            b'{"retry_after": 1.5, "global": false}',
        )
        self._lock = threading.Lock()

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        if method != "POST" or path != PATH or self.gone:
            return 404, {}, json.dumps(UNKNOWN).encode()
        message = json.loads(body)
        if self.mute or (wrong := list(self.refusals(message))):
            errors = [] if self.mute else wrong
            return 400, {}, json.dumps({"message": "Invalid Form Body", "code": 50035, "errors": errors}).encode()
        with self._lock:
            self.shown.append(message)
            told = self.told.popleft() if self.told else {}
        if query.get("wait") != "true":
            return 204, told, b""
        return 200, told, json.dumps({"id": str(len(self.shown)), "type": 0}).encode()

    def trouble(self, kind: str) -> tuple[int, Mapping[str, str], bytes]:
        return 429, *self.patience

    @property
    def embeds(self) -> list[dict[str, Any]]:
        return [embed for message in self.shown for embed in message.get("embeds", [])]

    def refusals(self, message: Mapping[str, Any]) -> Iterator[str]:
        embeds: Sequence[dict[str, Any]] = message.get("embeds", [])
        if not embeds and not message.get("content", "").strip():
            yield "empty message"
        if long(message.get("content", ""), 2000) or len(embeds) > 10:
            yield "too long"
        if self.picky and self.picky in json.dumps(embeds):
            yield self.picky
        if message.get("allowed_mentions") != {"parse": []}:
            yield "this test's Discord takes no mentions"
        if sum(units(text) for embed in embeds for text in texts(embed)) > 6000:
            yield "embeds exceed 6000 characters"
        for embed in embeds:
            yield from _refused(embed)


def _refused(embed: Mapping[str, Any]) -> Iterator[str]:
    for name, most in LIMITS.items():
        if name in embed and (long(embed[name], most) or not embed[name].strip()):
            yield name
    if not any(name in embed for name in LIMITS):
        yield "an embed of nothing"
    fields = embed.get("fields", [])
    if len(fields) > 25:
        yield "fields"
    for field in fields:
        if not field["name"].strip() or not field["value"].strip():
            yield "a field is required"
        if long(field["name"], 256) or long(field["value"], 1024):
            yield "a field is too long"
    if datetime.fromisoformat(embed["timestamp"]).tzinfo is None or not 0 <= embed["color"] <= 0xFFFFFF:
        yield "timestamp or color"


def texts(embed: Mapping[str, Any]) -> Iterable[str]:
    yield from (embed[name] for name in LIMITS if name in embed)
    for field in embed.get("fields", []):
        yield from (field["name"], field["value"])


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def long(text: str, most: int) -> bool:
    return units(text) > most
