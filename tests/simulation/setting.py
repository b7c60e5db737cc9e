"""What one history is made of, drawn from its seed: the venue, its manners, how much goes wrong, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any, Final, Literal

from core.domain.orders import Rules, Side, Traits
from core.domain.risk import Level, Policy
from core.domain.state import Book
from tests.policies import plain_policy
from tests.simulation import market
from tests.simulation.turns import HOUR, SECOND
from tests.simulation.venue import Quirks

CLASSES: Final = ("A: asks among open orders", "A: takes an id once", "B: tag", "C: listing", "D: none", "paper")
LOT: Final = Decimal("0.0001")
MODES: Final = ("run", "run", "run", "reduce", "halt", "flatten", "what?")
FIRST: Final = 760  # the first bar of any history: enough of them lie before it


@dataclass(frozen=True)
class Delivery:
    """The scheduler calls for bar `index` at `at`; `also`: a second region does, so much later. `beside`: a guard runs
    at once, so much later, or so much earlier."""

    name: str
    at: int
    index: int
    also: int | None = None
    beside: int | None = None


@dataclass(frozen=True)
class Watch:
    """The guard is called at `at`; `also`: a second one is, so much later. `vanish`: just before, somebody takes back
    the stops that rest."""

    name: str
    at: int
    also: int | None = None
    vanish: bool = False


@dataclass(frozen=True)
class Flip:
    name: str
    at: int
    scope: str
    mode: str


@dataclass(frozen=True)
class Stranger:
    """Somebody trades by hand on the same account at `at`, and turns it back later."""

    name: str
    at: int
    back: int
    side: Side
    amount: Decimal


@dataclass(frozen=True)
class Setting:
    """`rate`: the share of calls that go wrong; `lost`: of orders sent, while nearly all else goes well; `dozes`: of
    commits and orders at which a process sleeps, maybe for longer than it holds the book. `bars`: how many of them the
    history has; `first`: the first."""

    seed: int
    quirks: Quirks
    book: Book
    rate: float
    lost: float
    dozes: float
    first: int
    bars: int
    deliveries: tuple[Delivery, ...]
    flips: tuple[Flip, ...]
    strangers: tuple[Stranger, ...]
    watches: tuple[Watch, ...] = ()


def drawn(seed: int, venue: str = "", bars: int = 0) -> Setting:
    """The setting of `seed`. `venue`: a class that starts so, whatever the seed says; `bars`: fewer of them."""
    draw = Random(seed)
    name = draw.choice(CLASSES)
    name = next((each for each in CLASSES if venue and each.startswith(venue)), name)
    watching = Random(f"{seed} guards")
    first, count = draw.randrange(FIRST, market.BARS - 60), draw.choice([6, 10, 16, 24])
    quirks = _quirks(name, Random(draw.random()), first, count)
    book = _book(Random(draw.random()), name)
    rate, lost = draw.choice(
        [(0.0, 0.0), (0.01, 0.1), (0.03, 0.1), (0.06, 0.2), (0.12, 0.3), (0.003, 0.4), (0.01, 0.6)]
    )
    regions = draw.choice([0.0, 0.0, 0.0, 0.5])
    deliveries = _deliveries(Random(draw.random()), first, count, regions)
    often = watching.choice([0.0, 0.0, 0.4, 1.0])
    deliveries = _beside(watching, deliveries, often)
    watches = _watches(watching, deliveries, often)
    flips = _flips(Random(draw.random()), deliveries)
    strangers = _strangers(Random(draw.random()), deliveries) if quirks.traits.instant else ()
    bars = min(bars or count, count)
    end = market.opens(first + bars + 1)
    return Setting(
        seed,
        quirks,
        book,
        rate,
        lost,
        0.2 if regions and draw.random() < 0.5 else 0.0,
        first,
        bars,
        tuple(each for each in deliveries if each.at < end and each.index < first + bars),
        tuple(each for each in flips if each.at < end),
        tuple(each for each in strangers if each.at < end),
        tuple(each for each in watches if each.at < end),
    )


def _book(draw: Random, name: str) -> Book:
    changes: dict[str, Any] = {
        "capital": Decimal(draw.choice([20_000, 1_000_000])),
        "threshold": 0.0,
        "threshold_min": 0.0,
        "threshold_max": 0.0,
        "exit_fraction": draw.choice([0.2, 0.7]),
        "stop_atr": draw.choice([0.5, 1.0]),
        "leverage": Decimal(draw.choice([1, 2])),
        "short": name != "B: tag",
        "model_max_age_days": 0.0,
    }
    policy = _policy(draw, changes)
    least = draw.choice([1, 3]) * LOT  # where it is more than a lot, what is left over may be dust
    rules = Rules(lot=LOT, tick=Decimal(1), minimum_amount=least)
    return Book(id="btc", symbol="BTC/USDT", policy=policy, rules=rules, max_lateness_s=draw.choice([0, 60, 600, 1800]))


def _policy(draw: Random, changes: dict[str, Any]) -> Policy:
    """Mostly without breakers, which keep a book from trading; else with all of them, one of which trips easily."""
    if draw.random() < 0.75:
        return plain_policy(**changes, daily_loss=1.0, drawdown=1.0)  # without them nobody may begin
    level: Level = draw.choice(["reduce", "halt", "flatten"])
    return Policy(**changes, price_move=draw.choice([0.01, 0.02, 0.1]), price_move_level=level, volatility_target=0.0)


def _beside(draw: Random, deliveries: tuple[Delivery, ...], often: float) -> tuple[Delivery, ...]:
    """Some of them with a guard that runs at the same time."""
    return tuple(
        replace(each, beside=draw.randrange(-4 * SECOND, 12 * SECOND)) if draw.random() < often / 5 else each
        for each in deliveries
    )


def _watches(draw: Random, deliveries: tuple[Delivery, ...], often: float) -> tuple[Watch, ...]:
    """Calls of the guard some minutes after a tick, `often` after each: now and then minute by minute."""
    made: list[Watch] = []
    for number, delivery in enumerate(deliveries):
        start = delivery.at + draw.choice([20, 60, 150, 180, 600, 2400]) * SECOND
        for minute in range(draw.choice([1, 1, 3]) if draw.random() < often / 2 else 0):
            also = draw.randrange(4 * SECOND) if draw.random() < 0.3 else None
            made.append(Watch(f"g{number}m{minute}", start + minute * 60 * SECOND, also, draw.random() < 0.4))
    return tuple(sorted(made, key=lambda watch: watch.at))


def _quirks(name: str, draw: Random, first: int, count: int) -> Quirks:
    kind = name[0]
    identities: dict[str, Literal["id", "tag", "listing", "none"]] = {
        "A": "id",
        "B": "tag",
        "C": "listing",
        "D": "none",
    }
    window = draw.choice([5.0, 20.0, 60.0])
    traits = Traits(
        identity=identities.get(kind, "id"),
        lasting_ids="once" in name,
        window_s=window,
        instant=kind != "p",
        stops="resting" if kind != "p" else "attached",
        short=kind != "B",
    )
    lag = draw.choice([0, 0, SECOND, 2 * SECOND, 2 * SECOND, 90 * SECOND]) if kind != "p" else 0
    manners: dict[str, Any] = {
        "lag_orders": draw.randrange(lag + 1),
        "lag_executions": draw.randrange(lag + 1),
        "lag_position": draw.randrange(lag + 1),
        "sliced": draw.choice([0.0, 0.3]),
        "torn": draw.choice([0.0, 0.3]),
        "jitters": draw.random() < 0.4,
        "refusing": draw.choice([0.0, 0.0, 0.05]),
        "crossed": draw.choice(["refuse", "trigger"]),
        "tells_executed": draw.random() < 0.7,
        "closed": _closed(draw, first, count) if kind != "p" else (),
        "locks": kind == "D" or draw.random() < 0.5,
        "sweeps": kind != "D" and draw.random() < 0.5,
    }
    duplicates: Literal["open", "ever", "none"] = "none" if kind != "A" else "ever" if "once" in name else "open"
    if not manners["tells_executed"] and lag and draw.random() < 0.5:  # an order ends before its executions are told
        manners |= {"lag_orders": 0, "lag_executions": lag, "lag_position": lag, "sliced": 0.3, "torn": 0.3}
        manners["jitters"] = False
    return Quirks(name, traits, duplicates, **manners)


def _strangers(draw: Random, deliveries: tuple[Delivery, ...]) -> tuple[Stranger, ...]:
    """Seldom; of amounts that the book never trades, and just when it does."""
    if draw.random() < 0.85:
        return ()
    made = []
    for number, delivery in enumerate(deliveries):
        if draw.random() < 0.3:
            at = delivery.at + draw.randrange(12 * SECOND)
            back = at + draw.choice([2, 60, 3600]) * SECOND
            made.append(Stranger(f"h{number}", at, back, draw.choice(["buy", "sell"]), LOT * draw.randrange(3, 30)))
    return tuple(made)


def _closed(draw: Random, first: int, count: int) -> tuple[tuple[int, int, Literal["suspended", "restricted"]], ...]:
    if draw.random() < 0.7:
        return ()
    start = market.opens(first) + draw.randrange(count * HOUR)
    why: Literal["suspended", "restricted"] = draw.choice(["suspended", "restricted"])
    return ((start, start + draw.randrange(60 * SECOND, 3 * HOUR), why),)


def _deliveries(draw: Random, first: int, count: int, regions: float) -> tuple[Delivery, ...]:
    """One for each bar, and those that come twice, late, in the wrong order, at once in two regions, or not at all."""
    made: list[Delivery] = []
    for number in range(count):
        index = first + number
        at = market.opens(index + 1) + 5 * SECOND + draw.randrange(SECOND)
        how = draw.random()
        if how < 0.06:
            continue
        if how < 0.14:
            at += draw.randrange(60 * SECOND, 3 * HOUR)
        also = draw.randrange(4 * SECOND) if draw.random() < regions else None
        made.append(Delivery(f"d{number}", at, index, also))
        if how > 0.85:
            made.append(Delivery(f"d{number}b", at + draw.randrange(200 * SECOND), index))
    return tuple(sorted(made, key=lambda delivery: delivery.at))


def _flips(draw: Random, deliveries: tuple[Delivery, ...]) -> tuple[Flip, ...]:
    """Now and then, and most often while a tick runs."""
    often = draw.choice([0.0, 0.05, 0.2])
    flips = []
    for number, delivery in enumerate(deliveries):
        if draw.random() >= often:
            continue
        at = delivery.at + draw.randrange(5 * SECOND) if draw.random() < 0.7 else delivery.at + draw.randrange(HOUR)
        flips.append(Flip(f"s{number}", at, draw.choice(["global", "btc"]), draw.choice(MODES)))
    return tuple(flips)
