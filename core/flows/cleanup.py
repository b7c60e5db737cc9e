"""cleanup: what nobody needs any more goes; what is old is archived first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.domain.retention import Table
from core.domain.state import Book
from core.ports import Clock, Document, ModelStore, Platform, StateStore


class Yard(Protocol):
    """What is cleaned, and with what: core.wiring.App is one."""

    @property
    def state(self) -> StateStore: ...

    @property
    def models(self) -> ModelStore: ...

    @property
    def archive(self) -> ModelStore: ...

    @property
    def platform(self) -> Platform | None: ...

    @property
    def books(self) -> Sequence[Book]: ...

    @property
    def clock(self) -> Clock: ...


def cleanup(yard: Yard, table: Table, *, dry_run: bool = False) -> Document:
    """What was removed, or would be."""
    raise NotImplementedError
