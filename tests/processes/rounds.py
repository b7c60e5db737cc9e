"""A round: one deployment that lives for a number of kills, and is then left in peace until all is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.processes import market
from tests.processes.deployment import Deployment, deployment
from tests.processes.play import Play, Tally
from tests.processes.region import Death
from tests.processes.trouble import Manners

BARS = 40  # of one round at most
OPEN_END = 1500  # bars, at any of which a round may begin


class Wish(NamedTuple):
    """What is to be played. `planned`: deaths in place of drawn ones; a round ends when all of them have come."""

    venue: str
    seed: int
    kills: int
    manners: Manners = Manners()
    planned: tuple[Death, ...] = ()
    regions: int = 2
    lease_s: int = 12


@dataclass
class Told:
    """What came of it. `died`: (kind of request, before or after); `wrong`: sentences; `stories`: what led to them."""

    wish: Wish
    died: Counter[tuple[str, str]] = field(default_factory=Counter)
    frozen: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    halts: Counter[str] = field(default_factory=Counter)
    bare: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    orders: int = 0
    executions: int = 0
    wrong: list[str] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)


def played(wish: Wish, emulator: str, killed: Callable[[int], None] = lambda _: None) -> Told:
    """`killed` hears how many processes have been killed so far, after each bar."""
    draw = Random(f"{wish.venue} {wish.seed}")
    first = market.FIRST + draw.randrange(OPEN_END)
    with (
        TemporaryDirectory() as folder,
        deployment(wish.venue, emulator, Path(folder), first=first, regions=wish.regions, lease_s=wish.lease_s) as at,
    ):
        play = Play(at, draw, first, wish.manners, planned=list(wish.planned))
        for _ in range(BARS):
            play.bar()
            count = sum(_died(at).values())
            killed(count)
            if count >= wish.kills or at.ledger.wrong:
                break
        play.settle()
        return _told(wish, at, play)


def _told(wish: Wish, at: Deployment, play: Play) -> Told:
    ledger = at.ledger
    return Told(
        wish,
        died=_died(at),
        frozen=_summed(region.froze for region in at.regions),
        faults=Counter(fault.kind for _, _, fault in at.served.faults.taken),
        halts=ledger.halts,
        bare=ledger.bare,
        tally=play.tally,
        orders=len(ledger.engine.accepted()),
        executions=len(ledger.engine.executions),
        wrong=ledger.wrong,
        stories=play.stories,
    )


def _died(at: Deployment) -> Counter[tuple[str, str]]:
    return _summed(region.died for region in at.regions)


def _summed(counts: Iterable[Counter[tuple[str, str]]]) -> Counter[tuple[str, str]]:
    return sum(counts, Counter())
