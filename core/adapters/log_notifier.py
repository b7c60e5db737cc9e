"""A channel that is the log: one line for each message, with the severity that Cloud Logging knows it by.

So nothing is lost where no other channel is set, and a log-based alert can send it on by e-mail.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from core.domain.alerts import Message

LEVELS: Final = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

log = logging.getLogger("hourhand.told")


class LogNotifier:
    """Always there."""

    most = 100

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            told = {"title": message.title, "at": message.at, "count": message.count, "fields": message.fields}
            said = ": ".join(part for part in (message.title, message.text) if part)
            said = said.encode("utf-8", "replace").decode()  # half a character would break whoever reads the log
            log.log(LEVELS[message.severity], "%s", said, extra={"alert": told})
