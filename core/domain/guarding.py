"""Guarding: what cannot wait for the next bar, found among what the venue, the minutes and the switches show. Pure.

Two kinds of things are found: trips of breakers, which hold entries back or flatten while they last, and what must be
done at the venue at once. A person's `resume` that is younger than a trip ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from core.domain.act import Scene, plan, unprotected
from core.domain.alerts import Alert, Severity
from core.domain.bars import Bars, bar_before, close_time
from core.domain.orders import Intent, Order, Rules, Sight, exact, intent_id
from core.domain.risk import Policy, Trip, breakers
from core.domain.risk.breakers import Asked
from core.domain.settle import News
from core.domain.state import Book, BookState, tripped
from core.domain.switch import Mode, mode_of, severest

REACH: Final = timedelta(hours=2)  # of the calls that are remembered: what the breakers ask for
HOLDS: Final = timedelta(hours=1)  # how long a margin that is too low holds entries back
BLIND: Final = 3  # runs in a row without an answer of the venue, until a person is told
EXITS: Final = 12  # that one bar may take when everything must go
BEFORE_S, AFTER_S = 15.0, 45.0  # around a close the book is the tick's: what is not urgent waits for it
HOURHAND: Final = "hourhand"


class Memory(Struct, frozen=True, kw_only=True):
    """What a guard remembers from run to run. `ran`: when it last had something to remember; `asked`: requests to the
    venue, of two hours; `switches`: each as it was seen last; `failing`: runs in a row in which the venue did not
    answer; `overdue`: the newest bar of which the tick was told to be overdue; `stuck`: the last bar of which it was
    told that everything had to go and did not."""

    ran: datetime | None = None
    asked: tuple[Asked, ...] = ()
    switches: dict[str, str] = {}
    failing: int = 0
    overdue: datetime | None = None
    stuck: datetime | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What a run has found. `at`: when it was meant to run; `now`: the real time before the look. `state`: with what
    the look showed taken in. `switches`: documents by scope, "global" first. `known`: trips that are written down.
    `minutes`: the newest one-minute bars. `sight`: None when nothing was looked at; `failure`: why the venue did not
    answer. `asked`: the requests since the last run. `overdue_s`: how long after a close its tick may take."""

    book: Book
    at: datetime
    now: datetime
    state: BookState
    switches: Mapping[str, Any]
    known: tuple[Trip, ...] = ()
    minutes: Bars | None = None
    sight: Sight | None = None
    failure: str = ""
    asked: Asked | None = None
    overdue_s: int = 900


class Findings(Struct, frozen=True, kw_only=True):
    """`trips`: those that hold now; `new`: those of them that were not known. `told`: what a person should hear of; the
    ids name the thing, so that it is told once. `memory`: what the next run shall know."""

    trips: tuple[Trip, ...]
    new: tuple[Trip, ...]
    told: tuple[Alert, ...]
    memory: Memory


def find(facts: Facts, memory: Memory) -> Findings:
    window = remembered(memory.asked, facts.asked, facts.now)
    holding = trips(facts, window)
    before = {trip.breaker for trip in breakers.active(facts.known, facts.now)}
    flips, switches = _flips(facts, memory)
    venue, failing = _venue(facts, memory)
    late, overdue = _overdue(facts, memory)
    left, bar = _stuck(facts, memory)
    after = replace(memory, asked=window, switches=switches, failing=failing, overdue=overdue, stuck=bar)
    return Findings(
        trips=holding,
        new=tuple(trip for trip in holding if trip.breaker not in before),
        told=(*flips, *venue, *late, *left),
        memory=replace(after, ran=facts.now) if after != memory else memory,
    )


# -- what trips


def remembered(window: Sequence[Asked], asked: Asked | None, now: datetime) -> tuple[Asked, ...]:
    """The calls of the last two hours; as they are while there are no new ones."""
    if asked is None or not asked.made:
        return tuple(window)
    return (*(each for each in window if each.at > now - REACH), asked)


def trips(facts: Facts, window: Sequence[Asked]) -> tuple[Trip, ...]:
    """Those that hold now, each breaker's once: what is known, and what is found anew, whichever holds longer."""
    policy, now = facts.book.policy, facts.now
    moved = breakers.price_move(facts.minutes, policy, now) if facts.minutes is not None else None
    found = [*facts.known, *breakers.calls(window, policy, now), *([moved] if moved else []), *_forced(facts)]
    since = _resumed(facts.switches)
    kept: dict[str, Trip] = {}
    for trip in found:
        if since is None or trip.since > since:
            kept[trip.breaker] = _longer(kept.get(trip.breaker), trip)
    return breakers.active(kept.values(), now)


def _longer(known: Trip | None, trip: Trip) -> Trip:
    if known is None or (known.until is not None and (trip.until is None or trip.until > known.until)):
        return trip
    return known


def _resumed(switches: Mapping[str, Any]) -> datetime | None:
    """When a person last said go on."""
    said = [data for data in switches.values() if data and mode_of(data) == "run" and data.get("by") != HOURHAND]
    times = [data["at"] for data in said if isinstance(data.get("at"), datetime) and data["at"].tzinfo]
    return max(times, default=None)


def _forced(facts: Facts) -> Iterator[Trip]:
    """The venue is about to close the position by force.

    An entry is sized so that it would do so `liquidation_buffer` stop distances away (sizing.liquidation): measured
    from the average price, so that a position in profit is not taken for one in danger. Fills slip, and interest adds
    up; so it is half of the buffer beyond the stop that must be left.
    """
    held, sight, policy, now = facts.state.holding, facts.sight, facts.book.policy, facts.now
    if sight is None or not _rules(facts).floor(abs(held.position)):
        return
    least = exact(1 + (policy.liquidation_buffer - 1) / 2)
    if sight.liquidation is not None and held.stop is not None:
        sign = 1 if held.position > 0 else -1
        away, stop = sign * (held.average_price - sight.liquidation), abs(held.average_price - held.stop)
        if away < least * stop:
            detail = (
                f"the venue would close the position at {sight.liquidation:f}, {away:f} from its price; the stop is "
                f"{stop:f} away, and it should be {least:f} times as far"
            )
            yield Trip(breaker="liquidation", level="flatten", since=now, detail=detail)
    if sight.margin is not None:
        yield from _margin(sight, policy, _rules(facts), now)


def _margin(sight: Sight, policy: Policy, rules: Rules, now: datetime) -> Iterator[Trip]:
    assert sight.margin is not None
    least = rules.maintenance * exact(1 + (policy.liquidation_buffer - 1) / 2)
    if sight.margin < least:
        detail = f"the margin is {sight.margin:.3f}, and the venue closes by force at {rules.maintenance:f}"
        yield Trip(breaker="liquidation", level="flatten", since=now, detail=detail)
    elif sight.margin < exact(policy.margin_least):
        detail = f"the margin is {sight.margin:.3f}; the limit is {policy.margin_least:g}"
        yield Trip(breaker="margin", level="reduce", since=now, until=now + HOLDS, detail=detail)


def _rules(facts: Facts) -> Rules:
    return facts.sight.rules if facts.sight and facts.sight.rules else facts.book.rules


# -- what is told


def _flips(facts: Facts, memory: Memory) -> tuple[list[Alert], dict[str, str]]:
    """Switches that say something else than the last run saw, and how each stands now. What the book flipped by itself
    is told of already."""
    seen = {scope: _fingerprint(data) for scope, data in facts.switches.items() if data is not None}
    told = []
    for scope, data in facts.switches.items():
        if seen.get(scope, "") != memory.switches.get(scope, "") and _by(data) != HOURHAND:
            told.append(_flipped(facts, scope, data))
    return told, seen


def _fingerprint(data: Any) -> str:
    at = data.get("at") if isinstance(data, dict) else None
    when = f"{at:%Y%m%dT%H%M%S}" if isinstance(at, datetime) else "at no time"
    return f"{mode_of(data)} {when} {_by(data)}"


def _by(data: Any) -> str:
    return str(data.get("by") or "nobody said") if isinstance(data, dict) else "nobody said"


def _flipped(facts: Facts, scope: str, data: Any) -> Alert:
    mode, book = mode_of(data), facts.book
    at = data.get("at") if isinstance(data, dict) else None
    at = at if isinstance(at, datetime) and at.tzinfo else facts.now
    whose = "every book" if scope == "global" else book.symbol
    severity: Severity = "info" if mode == "run" else "warning"
    return Alert(
        id=f"switch-{scope}-{at:%Y%m%dT%H%M%S}-{mode}",
        event="switch",
        severity=severity,
        at=at,
        title=f"{whose}: {'resumed' if mode == 'run' else mode}, by {_by(data)}",
        text=str(data.get("reason") or "") if isinstance(data, dict) else "",
        book="" if scope == "global" else book.id,
    )


def _venue(facts: Facts, memory: Memory) -> tuple[list[Alert], int]:
    """A venue that has not answered for some runs while there was something to look at, and that it answers again."""
    book = facts.book
    if facts.failure:
        failing = memory.failing + 1
        if failing != BLIND:
            return [], min(failing, BLIND)
        title = f"{book.symbol}: the venue does not answer"
        return [_alert(facts, "blind", "monitoring", "error", title, facts.failure)], failing
    if facts.sight is None:
        return [], memory.failing
    if memory.failing < BLIND:
        return [], 0
    return [_alert(facts, "sees", "recovery", "info", f"{book.symbol}: the venue answers again", "")], 0


def _overdue(facts: Facts, memory: Memory) -> tuple[list[Alert], datetime | None]:
    """The tick of a bar that has not run, told once for each bar; and that it runs again."""
    book, last = facts.book, facts.state.bar
    if last is None:
        return [], None
    due = bar_before(facts.at - timedelta(seconds=facts.overdue_s), book.timeframe)
    if last < due and memory.overdue != due:
        closed = close_time(due, book.timeframe)
        text = (
            f"the bar {due:%Y-%m-%d %H:%M} closed at {closed:%H:%M} UTC; the last that was decided is {last:%d %H:%M}"
        )
        title = f"{book.symbol}: the tick is overdue"
        return [_alert(facts, f"overdue-{due:%Y%m%dT%H%M}", "tick_overdue", "error", title, text)], due
    if last < due or memory.overdue is None:
        return [], memory.overdue
    name = f"back-{memory.overdue:%Y%m%dT%H%M}"
    return [_alert(facts, name, "recovery", "info", f"{book.symbol}: the tick runs again", "")], None


def _alert(facts: Facts, name: str, event: Any, severity: Severity, title: str, text: str) -> Alert:
    name = name if "-" in name else f"{name}-{facts.now:%Y%m%dT%H%M}"
    return Alert(id=name, event=event, severity=severity, at=facts.now, title=title, text=text, book=facts.book.id)


def _stuck(facts: Facts, memory: Memory) -> tuple[list[Alert], datetime | None]:
    """Everything had to go, and as often as it was tried the venue did not take it."""
    book, bar = facts.book, facts.state.bar
    held = _rules(facts).floor(abs(facts.state.holding.position))
    if bar is None or not held or exits(facts.state, bar) < EXITS or memory.stuck == bar:
        return [], memory.stuck
    text = f"{EXITS} exits of the bar {bar:%Y-%m-%d %H:%M} did not close {held:f}: close it at the venue by hand"
    title = f"{book.symbol}: the position could not be closed"
    return [_alert(facts, f"stuck-{bar:%Y%m%dT%H%M}", "trouble", "critical", title, text)], bar


# -- what must be done


class Needs(Struct, frozen=True, kw_only=True):
    """Why the book must be acted on now, a few words each; `urgent`: also where the tick of a new bar is due."""

    why: tuple[str, ...] = ()
    urgent: bool = False


def mode(book: Book, state: BookState, allowed: Mode, now: datetime) -> Mode:
    """What switches and breakers say together: `allowed`, and what the book's own breakers say that last for a time."""
    _, own = tripped(state, book.policy, now)
    return severest((allowed, *(trip.level for trip in own)))


def needs(state: BookState, news: News, scene: Scene, before: BookState, wanted: Mode) -> Needs:
    """What must be done at the venue. `state`, `news`: as the look left them; `before`: as they are written down."""
    why = []
    if state.trouble != before.trouble:
        why.append("trouble")
    if news.fills:
        why.append(f"{len(news.fills)} fills to be booked")
    if news.lost or before.unsettled:
        why.append("orders of which the outcome is not known")
    leaving = wanted == "flatten" and _stands(state, scene)
    if leaving:
        why.append("the position must go")
    if state.trouble:
        return Needs(why=tuple(why))
    step = plan(state, scene)[1]
    bare = unprotected(state, scene.book, scene.traits) and step.act != "none"
    if step.act != "none":
        why.append(" ".join(dict.fromkeys([step.act, *(order.intent.leg for order in step.orders)])))
    return Needs(why=tuple(why), urgent=leaving or bare)


def _stands(state: BookState, scene: Scene) -> bool:
    """Whether there is a position that an exit could still be sent for."""
    held = scene.book.rules.floor(abs(state.holding.position))
    return bool(held) and not state.trouble and scene.traits.instant and exits(state, scene.bar) < EXITS


def exits(state: BookState, bar: datetime) -> int:
    """How many exits of the bar there have been."""
    made = [order.intent.attempt for order in state.orders if (order.intent.leg, order.intent.bar) == ("exit", bar)]
    return max(made, default=-1) + 1


def leaving(state: BookState, scene: Scene) -> BookState:
    """The state with an exit planned for all that is held, where it is clear what that is and none is under way."""
    under_way = any(order.intent.leg == "exit" and not order.ended for order in state.orders)
    if under_way or state.working or state.mismatches or not _stands(state, scene):
        return state
    book, bar, held, attempt = scene.book, scene.bar, state.holding.position, exits(state, scene.bar)
    exit_ = Intent(
        id=intent_id(book.id, bar, "exit", attempt),
        book=book.id,
        bar=bar,
        leg="exit",
        side="sell" if held > 0 else "buy",
        amount=book.rules.floor(abs(held)),
        attempt=attempt,
    )
    return replace(state, orders=(*state.orders, Order(intent=exit_)))


def ticks_turn(book: Book, last: datetime, now: datetime) -> bool:
    """Whether the tick of a bar that is not decided yet is due within seconds, or was a moment ago."""
    soon = bar_before(now + timedelta(seconds=BEFORE_S), book.timeframe)
    since = (now - close_time(soon, book.timeframe)).total_seconds()
    return soon > last and since < AFTER_S
