"""What was seen in one race, and what it says: who knew of the flip, and what was done all the same. Pure.

Firestore itself gives the order of things: a reading either returned the flipped document or it did not, and of two
commits the one with the later commit time came later (the emulator never gives a time twice).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from core.domain.orders import Leg
from core.domain.switch import Mode

# Said once more, so that the code under test is not its own judge.
ALLOWED: Final[dict[Mode, tuple[Leg, ...]]] = {
    "run": ("entry", "exit", "stop"), "reduce": ("exit", "stop"), "halt": (), "flatten": ("exit", "stop")
}  # fmt: skip
FAILED: Final = "the reading failed"  # in place of a version
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")


class Named(NamedTuple):
    """One sending of an order: an id of ours, which attempt at it, and what it is for."""

    id: str
    attempt: int
    leg: Leg


class Flipped(NamedTuple):
    """The flip has been acknowledged. `version`: the document's since then; FAILED: it can be read no more."""

    version: str


class Reading(NamedTuple):
    """`version`: of the document that is flipped, as it was read. `began`: how much had been seen before it."""

    version: str | None
    began: int


class Committed(NamedTuple):
    """Orders were written down as about to be sent, at `version`'s time; None: the commit was refused."""

    orders: tuple[Named, ...]
    version: str | None


class Submitted(NamedTuple):
    """`at`: the time of Firestore's clock, as a version."""

    orders: tuple[Named, ...]
    at: str


class Cancelled(NamedTuple):
    """`stops`: how many of the orders that were taken back were stops of a position that stood."""

    stops: int


Event = Flipped | Reading | Committed | Submitted | Cancelled


@dataclass(frozen=True)
class Verdict:
    """`wrong`: sentences. `counts`: orders by what became of them. `close`: the flip came between the reading that an
    order was decided on and the moment when the order was sent, or would have been."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    close: bool = False


def order_of(version: str) -> tuple[str, str]:
    """What sorts versions by time: they end in three, six or nine digits of a second, or none."""
    found = _TIME.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is no time of Firestore's")
    return found[1], (found[2] or "").ljust(9, "0")


def judged(seen: Sequence[Event], mode: Mode) -> Verdict:
    """`mode`: what the flipped document means, also where it cannot be read."""
    verdict = Verdict()
    for index, event in enumerate(seen):
        if isinstance(event, Committed):
            _commit(seen, index, event, mode, verdict)
        elif isinstance(event, Submitted):
            _submit(seen, index, event, mode, verdict)
        elif isinstance(event, Cancelled) and event.stops and mode == "halt" and _knew(seen, index):
            verdict.wrong.append(f"{event.stops} resting stops taken back after a reading that said {mode}")
        elif isinstance(event, Reading) and _stale(seen, event):
            verdict.wrong.append("a reading that began after the flip did not return it")
    verdict.counts["caught by the last reading"] += len(list(withheld(seen)))
    caught = ("caught by the commit", "caught by the last reading", "on the wire")
    return Verdict(verdict.wrong, verdict.counts, any(verdict.counts[name] for name in caught))


def _commit(seen: Sequence[Event], index: int, event: Committed, mode: Mode, verdict: Verdict) -> None:
    flip, knew = _flip(seen), _knew(seen, index)
    if event.version is None:
        verdict.counts["caught by the commit"] += 0 if knew else len(event.orders)
        return
    verdict.counts["intents committed"] += len(event.orders)
    after = flip not in (None, FAILED) and order_of(event.version) > order_of(str(flip))
    for order in event.orders:
        if knew and order.leg not in ALLOWED[mode]:
            verdict.wrong.append(f"intent: {order.leg} decided on a reading that said {mode}")
        elif after and not knew:
            verdict.wrong.append(f"intent: {order.leg} committed after the flip, on a reading from before it")


def _submit(seen: Sequence[Event], index: int, event: Submitted, mode: Mode, verdict: Verdict) -> None:
    flip, knew = _flip(seen), _knew(seen, index)
    for order in event.orders:
        verdict.counts["orders sent"] += 1
        if not _read_since(seen, index, order):
            verdict.wrong.append(f"order: {order.leg} sent without a reading since it was written down")
        if knew and order.leg not in ALLOWED[mode]:
            verdict.wrong.append(f"order: {order.leg} sent though its last reading said {mode}")
        elif flip not in (None, FAILED) and not knew and order_of(event.at) > order_of(str(flip)):
            verdict.counts["on the wire"] += 1


def withheld(seen: Sequence[Event]) -> Iterator[Named]:
    """Orders that were written down as about to be sent, and that a last reading kept back."""
    sent = {order for event in seen if isinstance(event, Submitted) for order in event.orders}
    for index, event in enumerate(seen):
        if isinstance(event, Committed) and event.version is not None and not _knew(seen, index):
            after = range(index + 1, len(seen))
            learnt = any(isinstance(seen[each - 1], Reading) and _knew(seen, each) for each in (*after, len(seen)))
            yield from (order for order in event.orders if learnt and order not in sent)


def _flip(seen: Sequence[Event]) -> str | None:
    return next((event.version for event in seen if isinstance(event, Flipped)), None)


def _knew(seen: Sequence[Event], index: int) -> bool:
    """Whether the last reading before `index` returned the flipped document, or failed."""
    last = _last(seen, index, lambda event: isinstance(event, Reading))
    reading = seen[last] if last is not None else None
    return isinstance(reading, Reading) and reading.version is not None and reading.version in (_flip(seen), FAILED)


def _read_since(seen: Sequence[Event], index: int, order: Named) -> bool:
    """Whether the switch was read between the commit that wrote `order` down and its sending."""
    written = _last(seen, index, lambda event: isinstance(event, Committed) and order in event.orders)
    read = _last(seen, index, lambda event: isinstance(event, Reading))
    if written is None or read is None:
        return False
    reading = seen[read]
    return isinstance(reading, Reading) and reading.began > written


def _stale(seen: Sequence[Event], reading: Reading) -> bool:
    flip = _flip(seen)
    return any(isinstance(event, Flipped) for event in seen[: reading.began]) and reading.version not in (flip, FAILED)


def _last(seen: Sequence[Event], index: int, wanted: Callable[[Event], bool]) -> int | None:
    return next((each for each in range(index - 1, -1, -1) if wanted(seen[each])), None)
