"""Champion and challenger: both trade on paper, on the same bars at the same costs, until there is evidence. Pure.

At each bar both shadows take the step that a tick takes on the paper exchange, each on its own model's forecast. What
is compared is kept by days: how much more the challenger's equity grew, and by how much its log-loss was the smaller
where labels have become known since. Hours hang together; days do much less, and what is left of it the test allows
for (Newey & West 1987; with the log-losses it is Diebold & Mariano's 1995). Looking often finds something by chance:
there are few looks, at days that are fixed beforehand, and they share the level (Bonferroni) with the two things that
are tested at each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from core.domain.act import Scene, answered, plan, sent
from core.domain.bars import Bars, Floats, close_time, epoch, moment
from core.domain.decide import Foresight, decide
from core.domain.fills import PAPER, Account, accept, advance, sight
from core.domain.labels import direction
from core.domain.metrics import log_loss
from core.domain.orders import Answer, exact
from core.domain.settle import settle
from core.domain.state import Book, BookState, conclude, marked, opening, tripped, trusted, view, warned

AGAINST: Final = 0.1  # chance of so little, below which one thing speaks against a promotion by the other
RESUMED: Final = timedelta(days=7)  # after which a shadow's breaker that waits for a person is taken to be resumed


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it takes to be promoted. The challenge is looked at after `days`, 2 x `days`, ... days with bars, `looks`
    times at most, and not before the challenger has closed `trades`; `level`: the chance, over all looks, that one
    that is no better is promoted."""

    days: Annotated[int, Meta(ge=14, le=365)] = 28
    looks: Annotated[int, Meta(ge=1, le=12)] = 4
    trades: Annotated[int, Meta(ge=0, le=10_000)] = 20
    level: Annotated[float, Meta(gt=0.0, le=0.2)] = 0.05


class Shadow(Struct, frozen=True, kw_only=True):
    """One model's book and its account at the fill model."""

    state: BookState
    account: Account


class Awaited(Struct, frozen=True, kw_only=True):
    """Forecasts of the bar's direction, made before it was known."""

    bar: datetime
    champion: float
    challenger: float


class Day(Struct, frozen=True, kw_only=True):
    """One UTC day. `gained`: the sum over `bars` of the challenger's return less the champion's; `spared`: the sum over
    `scored` forecasts of the champion's log-loss less the challenger's, in nats. Above 0 the challenger is the better.
    """

    day: str
    bars: int = 0
    gained: float = 0.0
    scored: int = 0
    spared: float = 0.0


class Challenge(Struct, frozen=True, kw_only=True):
    """How it stands after `bar`. `since`: when this challenge began, which names it."""

    since: datetime
    champion: Shadow
    challenger: Shadow
    bar: datetime | None = None
    awaited: tuple[Awaited, ...] = ()
    days: tuple[Day, ...] = ()
    looks: int = 0


class Verdict(Struct, frozen=True, kw_only=True):
    """`looked`: whether one of the looks was taken for it. `numbers`: what it rests on."""

    outcome: Literal["promote", "not_yet", "drop"]
    reason: str
    looked: bool = False
    numbers: dict[str, float | None] = {}


# -- one bar


def began(book: Book, since: datetime, bar: datetime) -> Challenge:
    """Both start with the same capital and no position after `bar`; the next one is the first that counts."""
    state = opening(book)
    shadow = Shadow(state=state, account=Account(holding=state.holding, bar=bar))
    return Challenge(since=since, champion=shadow, challenger=shadow)


def folded(
    known: Challenge,
    book: Book,
    bars: Bars,
    bar: datetime,
    champion: Foresight,
    challenger: Foresight,
    label: tuple[int, float] | None,
) -> Challenge:
    """How it stands after `bar`, the last of `bars`; unchanged when that has been folded already.

    `label`: horizon and cost of what both foresee, by which forecasts are scored; None: they foresee different things.
    Where ticks were missed the market moves along, and neither decides.
    """
    if known.bar is not None and bar <= known.bar:
        return known
    one, other = moved(known.champion, book, bars, bar, champion), moved(known.challenger, book, bars, bar, challenger)
    grown = 0.0 if known.bar is None else _growth(known.challenger, other) - _growth(known.champion, one)
    awaited = known.awaited
    if label and math.isfinite(champion.p_up) and math.isfinite(challenger.p_up):
        awaited = (*awaited, Awaited(bar=bar, champion=champion.p_up, challenger=challenger.p_up))
    awaited, scored, spared = _scored(awaited, bars, label)
    day = Day(day=f"{bar:%Y-%m-%d}", bars=int(known.bar is not None), gained=grown, scored=scored, spared=spared)
    return replace(known, champion=one, challenger=other, bar=bar, awaited=awaited, days=_with(known.days, day))


def moved(shadow: Shadow, book: Book, bars: Bars, bar: datetime, seen: Foresight) -> Shadow:
    """The shadow after one bar, as a tick on the paper exchange takes it."""
    now = close_time(bar, book.timeframe)
    price = float(bars.close[-1]) if len(bars) and moment(bars.time[-1]) == bar else math.nan
    account = advance(shadow.account, bars, book.rules, book.costs)
    shown = sight(account, shadow.state.open_orders, exact(price) if 0.0 < price < math.inf else shadow.state.price)
    state, _ = settle(shadow.state, shown, book, PAPER, now)
    state, trips = tripped(_resumed(marked(state, price, now), now), book.policy, now)
    looked = view(book, state, bar, "run", None, seen.problem, price, seen.p_up, seen.context, trips, sight=shown)
    decision = decide(looked, book.policy, book.rules)
    state = conclude(warned(state, trips), bar, decision)
    state, step = plan(state, Scene(book=book, traits=PAPER, mode="run", bar=bar, now=now))
    for order in step.orders:
        account = accept(account, order.intent)
    placed = [Answer(intent=order.intent.id, outcome="placed", order_id=order.intent.id) for order in step.orders]
    state = answered(sent(state, step, shown, PAPER, now), placed)
    return Shadow(state=state, account=replace(account, fills=()))  # they are booked


def _resumed(state: BookState, now: datetime) -> BookState:
    over = [trip for trip in state.tripped if now - trip.since >= RESUMED]
    return trusted(state, over, now) if over else state


def _growth(before: Shadow, after: Shadow) -> float:
    equity = before.state.equity
    return float(after.state.equity / equity) - 1.0 if equity > 0 else 0.0


def _scored(
    awaited: Sequence[Awaited], bars: Bars, label: tuple[int, float] | None
) -> tuple[tuple[Awaited, ...], int, float]:
    """(those that wait on, how many were scored, the sum of what the challenger spared). Forecasts of which the window
    of bars has lost the beginning, or that turned out neither up nor down, are dropped."""
    if not awaited or label is None or not len(bars):
        return (), 0, 0.0
    labels, _ = direction(bars, *label)
    left: list[Awaited] = []
    count, spared = 0, 0.0
    for each in awaited:
        at = int(np.searchsorted(bars.time, epoch(each.bar)))
        if at + label[0] + 1 >= len(bars):
            left.append(each)
        elif bars.time[at] == epoch(each.bar) and math.isfinite(labels[at]):
            count, spared = count + 1, spared + _loss(labels[at], each.champion) - _loss(labels[at], each.challenger)
    return tuple(left), count, spared


def _loss(label: float, p_up: float) -> float:
    return log_loss(np.array([label]), np.array([p_up]))


def _with(days: tuple[Day, ...], new: Day) -> tuple[Day, ...]:
    if not days or days[-1].day != new.day:
        return (*days, new)
    last = days[-1]
    return (
        *days[:-1],
        replace(
            last,
            bars=last.bars + new.bars,
            gained=last.gained + new.gained,
            scored=last.scored + new.scored,
            spared=last.spared + new.spared,
        ),
    )


# -- the verdict


def verdict(known: Challenge, terms: Terms) -> Verdict:
    """Whether the challenger is promoted, dropped, or goes on."""
    days, trades = len(known.days), known.challenger.state.closed
    due, last = (known.looks + 1) * terms.days, terms.looks * terms.days
    if days < due:
        return Verdict(outcome="not_yet", reason=f"look {known.looks + 1} of {terms.looks} is due after {due} days "
                       f"with bars, there are {days}")  # fmt: skip
    if trades < terms.trades:
        few = f"the challenger has closed {trades} trades, {terms.trades} are needed"
        return Verdict(outcome="drop" if days >= last else "not_yet", reason=few)
    numbers = figures(known)
    level = terms.level / terms.looks / 2
    outcome, reason = _judged(numbers, level)
    if outcome == "not_yet" and known.looks + 1 >= terms.looks:
        outcome, reason = "drop", f"it is not shown to be any better after {days} days"
    return Verdict(outcome=outcome, reason=reason, looked=True, numbers=numbers)


def figures(known: Challenge) -> dict[str, float | None]:
    """Means of what the challenger gained per bar and spared per forecast, with the chances of so much (better) and of
    so little (worse) if there is no difference; None where nothing is known."""
    bars, gained = np.array([[day.bars, day.gained] for day in known.days]).reshape(-1, 2).T
    scored, spared = np.array([[day.scored, day.spared] for day in known.days]).reshape(-1, 2).T
    return {
        "days": float(len(known.days)),
        "bars": float(bars.sum()),
        "forecasts": float(scored.sum()),
        "champion_trades": float(known.champion.state.closed),
        "challenger_trades": float(known.challenger.state.closed),
        "champion_equity": float(known.champion.state.equity),
        "challenger_equity": float(known.challenger.state.equity),
        **dict(zip(("gained", "gained_p_better", "gained_p_worse"), paired(gained, bars), strict=True)),
        **dict(zip(("spared", "spared_p_better", "spared_p_worse"), paired(spared, scored), strict=True)),
    }


def _judged(numbers: dict[str, float | None], level: float) -> tuple[Literal["promote", "not_yet", "drop"], str]:
    """Better in one thing beyond chance, and nothing speaks against it; or worse in one beyond chance; or neither."""
    things = {"gained": "return", "spared": "log-loss"}
    for name, other in (("gained", "spared"), ("spared", "gained")):
        better, against = numbers[f"{name}_p_better"], numbers[f"{other}_p_worse"]
        if better is not None and better < level and (against is None or against >= AGAINST):
            return "promote", f"its {things[name]} is better (p = {better:.4f}, below {level:.4f})"
    for name, thing in things.items():
        worse = numbers[f"{name}_p_worse"]
        if worse is not None and worse < level:
            return "drop", f"its {thing} is worse (p = {worse:.4f}, below {level:.4f})"
    return "not_yet", f"no difference is beyond chance (at {level:.4f})"


def paired(sums: Floats, counts: Floats) -> tuple[float | None, float | None, float | None]:
    """(mean per count, one-sided p of a mean above 0, of one below) of daily sums (n,) over counts (n,).

    The mean's variance by Newey and West's estimate over the days; Student's t with as many degrees of freedom as there
    are stretches of days that hang together, since few days would make it look surer than it is.
    """
    days, total = len(sums), float(counts.sum())
    if days < 2 or not total:
        return None, None, None
    mean = float(sums.sum()) / total
    rest = sums - mean * counts
    lag = max(1, int(4 * (days / 100) ** (2 / 9)))
    variance = float(rest @ rest) + sum(
        2 * (1 - k / (lag + 1)) * float(rest[k:] @ rest[:-k]) for k in range(1, lag + 1)
    )
    if variance <= 0.0:
        return mean, None, None
    from scipy.special import stdtr

    t = float(sums.sum()) / math.sqrt(variance)
    below = float(stdtr(max(days / (lag + 1) - 1, 1.0), t))
    return mean, 1.0 - below, below
