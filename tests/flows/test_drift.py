"""drift: told once a day, from what the ticks wrote down; silent at all other times, and never in a tick's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.alerts import understood
from core.domain.bars import Bars, moment, pack
from core.domain.drift import WEEK, levels
from core.domain.features import SETS, compute
from core.domain.forecast import Manifest
from core.flows import drift, window
from core.flows.claim import tick_key
from core.flows.tick import tick
from core.ports import Document, Unavailable, World, Write
from tests.fakes import Call, MemoryState, delayed
from tests.road import HOUR, Road, drawn, road, small_book, trained, vix

LEARNT = 1500
BOOK = small_book()


def louder(bars: Bars, since: int, times: float) -> Bars:
    volume = np.where(np.arange(len(bars)) < since, bars.volume, bars.volume * times)
    return Bars(*bars.columns()[:5], volume)


def made_on(bars: Bars) -> Road:
    """The book's world of `bars`, with the model of the first of those that were drawn."""
    return road(BOOK, bars, files=trained(BOOK, drawn(), vix()[:0] if False else _no_vix(), LEARNT))


def _no_vix() -> Any:
    from core.domain.daily import none

    return none()
