"""The operator's switch, by command: the same documents that are flipped by hand in the Firestore console."""

from __future__ import annotations

from datetime import datetime

from core.domain.decide import Mode
from core.ports import Document, StateStore, Write


def flip(state: StateStore, scope: str, mode: Mode, by: str, reason: str, now: datetime) -> Document:
    """Sets the switch of a book, or of all ('global'). The more severe of a book's switch and the global one counts."""
    document: Document = {"mode": mode, "reason": reason, "by": by, "at": now}
    state.commit([Write(f"switches/{scope}", document)])
    return {"switch": scope, **document}
