"""The past of a market, for training: what is stored, completed from the venue by what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np

from core.domain.bars import Bars, merge, moment, seconds
from core.ports import World

CHUNK = timedelta(days=30)  # asked of the venue, and saved, piece by piece: an interrupted download goes on from there


def past(
    world: World, timeframe: str, since: datetime, until: datetime, progress: Callable[[float], None] = lambda _: None
) -> Bars:
    """The closed bars of [since, until), stored on the way. `progress` is told the share that is done.

    Raises Unavailable when the venue gives no answer; what was fetched before that is kept.
    """
    if world.history is None:
        bars = world.market.bars(since, until)
        progress(1.0)
        return bars
    bars = world.history.load(since, until)
    gaps = list(_gaps(bars, since, until, seconds(timeframe)))
    for number, (first, last) in enumerate(gaps):
        fetched = world.market.bars(first, last)
        world.history.save(fetched)
        bars = merge(bars, fetched)
        progress((number + 1) / len(gaps))
    progress(1.0)
    return bars


def _gaps(bars: Bars, since: datetime, until: datetime, step: int) -> Iterator[tuple[datetime, datetime]]:
    """The pieces of [since, until) before, after and between the stored bars, at most CHUNK long each.

    A hole that the venue has no bars for is asked for at each training anew: a few requests, and never a wrong answer.
    """
    edges = np.concatenate([[since.timestamp() - step], bars.time, [until.timestamp()]]).astype(np.int64)
    for hole in np.flatnonzero(np.diff(edges) > step):
        first, end = moment(edges[hole] + step), moment(edges[hole + 1])
        while first < end:
            yield first, min(first + CHUNK, end)
            first += CHUNK
