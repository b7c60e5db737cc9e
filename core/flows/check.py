"""check: all that must be true before real money is traded, each thing tried by itself (docs/go_no_go.md).

Nothing is written down: no lease is taken, the window is not kept, and the venue is only asked. The paper exchange is
shown no bars, so that its market does not move. What cannot be tried is a no, with the reason, and keeps nothing else
from being tried. `starting` is the quick part of it, for a live process that begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

import numpy as np
from msgspec import ValidationError

from core.domain.act import unprotected
from core.domain.alerts import Message
from core.domain.bars import Bars, bar_before, close_time, empty, epoch
from core.domain.daily import as_of
from core.domain.decide import Foresight
from core.domain.fills import PAPER
from core.domain.forecast import Model
from core.domain.orders import ZERO, Sight, exact
from core.domain.risk import Trip
from core.domain.risk.sizing import staged_capital
from core.domain.state import Book, BookState, marked, tripped
from core.flows import account, findings, outside, vix, window
from core.flows.act import Standing
from core.flows.claim import Tick, book_key, state_of, switch_keys, watched
from core.flows.findings import Finding, Judged
from core.flows.gather import attempt
from core.flows.serving import Problem, foresee, live_model, mismatched, pointer_key
from core.flows.switches import found as found_trips
from core.ports import Notifier, Unavailable, Versioned, World

T = TypeVar("T")
TRIAL: Final = "A trial, sent by hourhand check: alerts arrive here."


def check(world: World, book: Book, shared: Sequence[Finding] = ()) -> tuple[Finding, ...]:
    """Every check of one book, then `shared`: those that are the same for every book. Raises nothing."""
    facts = Facts(world, book)
    return (*(_tried(name, partial(judge, facts)) for name, judge in CHECKS.items()), *shared)


def alerts(notifier: Callable[[], Notifier], channel: str, now: datetime) -> Finding:
    """Whether a message can be shown to a person; sends one. For the whole deployment, once."""
    message = Message(severity="info", title="hourhand check", text=TRIAL, at=now)

    def judge() -> Judged:
        notifier().send([message])
        if channel == "log":
            return "conditional", "they go to the log only: nobody is told unless somebody reads it"
        return "go", f"a trial message was shown on {channel}"

    return _tried("alerts", judge)


def settings(cautions: Sequence[str]) -> Finding:
    """`cautions`: of core.settings."""
    return Finding("settings", *findings.joined([("conditional", said) for said in cautions] or [("go", "no caution")]))


def starting(world: World, book: Book) -> Problem | None:
    """Why a live process may take no new risk, as far as that can be asked quickly; None for paper. Raises nothing.
    That limits are set the settings see to, without which nothing starts.

    A yes is remembered while the process lives; a no is asked for again, since a person may have mended it.
    """
    key = f"starting {book.id}"
    if world.exchange.traits == PAPER or key in world.cache:
        return None
    try:
        vetted = world.exchange.vet()
        ahead = findings.skew(vetted.skew_s, world.exchange.traits.window_s)
        judged = [findings.rights(vetted), ahead]
    except Exception as failure:  # whatever it is, exits must go on
        return "no_go_unknown", f"whether live may begin cannot be told: {_named(failure)}"
    if said := "; ".join(sentence for verdict, sentence in judged if verdict == "no_go"):
        return "no_go", said
    world.cache[key] = True
    return None


def _tried(name: str, judge: Callable[[], Judged]) -> Finding:
    try:
        return Finding(name, *judge())
    except Exception as failure:  # a check that cannot be made is a no, whatever kept it from being made
        return Finding(name, "no_go", f"could not be checked: {_named(failure)}")


def _named(failure: Exception) -> str:
    """What is expected to fail says so in a sentence."""
    return str(failure) if isinstance(failure, Unavailable) else f"{type(failure).__name__}: {failure}"


# -- what is found


def once(call: Callable[[], T]) -> Callable[[], T]:
    """`call`, made at most once: what it gave or raised then it gives or raises again."""
    kept: list[T | Exception] = []

    def again() -> T:
        if not kept:
            kept.append(attempt(call, Exception))
        if isinstance(kept[0], Exception):
            raise kept[0]
        return kept[0]

    return again


class Facts:
    """What the checks look at, each asked for when it is first needed, and once. A method raises what went wrong."""

    def __init__(self, world: World, book: Book) -> None:
        self.world, self.book, self.now = world, book, world.clock.now()
        self.bar = bar_before(self.now, book.timeframe)
        self.paper = world.exchange.traits == PAPER
        self.found = once(self._found)
        self.state = once(self._state)
        self.window = once(self._window)
        self.sight = once(self._sight)
        self.standing = once(self._standing)
        self.vetted = once(world.exchange.vet)
        self.model = once(self._model)
        self.vix = once(lambda: vix.refresh(world.vix, self.found()[vix.KEY].data, self.now, world.vix_every_s))
        self.foresight = once(self._foresight)

    def _found(self) -> Mapping[str, Versioned]:
        book = self.book
        keys = [book_key(book.id), window.key(book), vix.KEY, pointer_key(book.id), *watched(book.id)]
        keys += [*account.keys(self.world, book), *outside.keys(self.world, book)]
        return self.world.state.read(keys)

    def _state(self) -> BookState:
        key = book_key(self.book.id)
        try:
            return state_of(self.found()[key].data, self.book)
        except ValidationError as failure:
            raise Unavailable(f"the stored state {key} is damaged, a person must mend it: {failure}") from None

    def _window(self) -> tuple[Bars, Problem | None]:
        last = window.newest(self.world, self.book, self.bar)
        return window.window(self.world, self.book, self.bar, None, self.found()[window.key(self.book)].data, last)

    def _sight(self) -> Sight:
        """Keys and account are looked at also where the book's state cannot be read."""
        state = attempt(self.state, Exception)
        orders = state.open_orders if isinstance(state, BookState) else ()
        return self.world.exchange.look(self.book.id, empty(), orders)

    def _standing(self) -> Standing:
        """As a tick would stand after its first look."""
        run = Tick(self.world, self.book, self.bar, self.now, {}, "")
        watch = {key: self.found()[key] for key in watched(self.book.id)}
        return Standing.first(run, self.state(), self.sight(), watch, self.now)

    def _model(self) -> Model | Problem:
        found = live_model(self.world, self.book, self.found()[pointer_key(self.book.id)].data)
        return found if not isinstance(found, Model) else mismatched(found, self.book, self.bar) or found

    def _foresight(self) -> Foresight:
        (bars, problem), model = self.window(), self.model()
        problem, usable = (problem, model) if isinstance(model, Model) else (problem or model, None)
        beyond = outside.refresh(self.world, self.book, self.found(), self.bar, self.now).outside
        look = self.world.foresee or partial(foresee, outside=beyond)
        return look(self.book, bars, usable, self.vix().daily, problem)

    def price(self) -> float:
        """The newest close."""
        closes = self.window()[0].close
        if not len(closes):
            raise Unavailable("there is no price")
        return float(closes[-1])

    def capital(self) -> BookState:
        """The book's state, marked at the newest close where there is one."""
        price = attempt(self.price, Exception)
        closed = close_time(self.bar, self.book.timeframe)
        return marked(self.standing().state, math.nan if isinstance(price, Exception) else price, closed)


# -- each check


def _keys(facts: Facts) -> Judged:
    facts.sight()
    if facts.paper:
        return "go", "none are needed: orders are filled by a model, not by a venue"
    return findings.rights(facts.vetted())


def _clock(facts: Facts) -> Judged:
    if facts.paper:
        return "go", "there is no clock but ours"
    return findings.skew(facts.vetted().skew_s, facts.world.exchange.traits.window_s)


def _venue(facts: Facts) -> Judged:
    return findings.venue(facts.sight(), facts.world.exchange.traits)


def _rules(facts: Facts) -> Judged:
    foresight = attempt(facts.foresight, Exception)
    atr = foresight.context[0] if isinstance(foresight, Foresight) else math.nan
    state, price = facts.capital(), exact(facts.price())
    judged = [findings.affordable(facts.standing().book.rules, price, state.equity, facts.book.policy, atr)]
    if not facts.paper and facts.sight().rules is None:
        judged.append(("conditional", "the venue does not tell its rules: compare [rules] with its page"))
    return findings.joined(judged)


def _balance(facts: Facts) -> Judged:
    state, policy, sight = facts.capital(), facts.book.policy, facts.sight()
    if facts.paper:
        return "go", f"the paper account is worth {state.equity:f}"
    own = staged_capital(state.equity, policy)
    return findings.balance(sight.free, own + _others(facts), sight.position - (state.outside or ZERO))


def _others(facts: Facts) -> Decimal:
    """What the other books with the same quote currency begin with, since they share the account."""
    quote = facts.book.symbol.partition("/")[2]
    its = [other.policy for other in account.others(facts.world, facts.book) if other.symbol.partition("/")[2] == quote]
    return sum((staged_capital(policy.capital, policy) for policy in its), ZERO)


def _position(facts: Facts) -> Judged:
    standing = facts.standing()
    bare = unprotected(standing.state, standing.book, facts.world.exchange.traits)
    return findings.position(standing.state, facts.sight(), bare)


def _breakers(facts: Facts) -> Judged:
    closed, standing = close_time(facts.bar, facts.book.timeframe), facts.standing()
    state, own = tripped(facts.capital(), facts.book.policy, closed)
    _, shared = account.judged(state, account.beside(facts.world, facts.book, facts.found()), closed)
    trips: tuple[Trip, ...] = (*own, *shared, *found_trips(facts.book.id, standing.watch, facts.now))
    return findings.breakers(trips)


def _model(facts: Facts) -> Judged:
    return findings.model(facts.model(), facts.paper)


def _forecast(facts: Facts) -> Judged:
    return findings.forecast(facts.foresight())


def _window(facts: Facts) -> Judged:
    bars, problem = facts.window()
    if problem:
        return "no_go", problem[1]
    return "go", f"{len(bars)} bars without a gap, up to the one that opened at {facts.bar:%Y-%m-%d %H:%M} UTC"


def _vix(facts: Facts) -> Judged:
    found, at = facts.vix(), epoch(close_time(facts.bar, facts.book.timeframe))
    index = as_of(found.daily, np.array([at], np.int64), facts.book.vix_max_age_s)[0]
    return findings.vix(math.nan if index < 0 else float(found.daily.value[index]), found.failures)


def _switch(facts: Facts) -> Judged:
    return findings.switch({key: facts.found()[key].data for key in switch_keys(facts.book.id)})


def _limits(facts: Facts) -> Judged:
    sight = attempt(facts.sight, Exception)
    rules = sight.rules if isinstance(sight, Sight) and sight.rules else facts.book.rules
    judged = [findings.limits(facts.book.policy, rules)]
    if account.others(facts.world, facts.book):
        judged += findings.shared(facts.world.limits)
    return findings.joined(judged)


def _stage(facts: Facts) -> Judged:
    return findings.stage(facts.book.policy)


def _record(facts: Facts) -> Judged:
    return findings.record(facts.state(), facts.bar, facts.book.timeframe)


def _lease(facts: Facts) -> Judged:
    return findings.lease(facts.world.lease_s, facts.book.timeframe, facts.world.exchange.traits)


CHECKS: Final[dict[str, Callable[[Facts], Judged]]] = {
    "keys": _keys,
    "clock": _clock,
    "venue": _venue,
    "position": _position,
    "balance": _balance,
    "rules": _rules,
    "window": _window,
    "model": _model,
    "vix": _vix,
    "forecast": _forecast,
    "switch": _switch,
    "breakers": _breakers,
    "limits": _limits,
    "stage": _stage,
    "lease": _lease,
    "record": _record,
}
