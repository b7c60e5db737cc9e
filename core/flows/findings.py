"""Findings: what `hourhand check` makes of what it found (docs/go_no_go.md). Pure, no port is asked here.

Each judgement is a verdict with its sentence. A number that is not known, or not a number, is never a "go".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Final, Literal, NamedTuple

from core.domain.bars import close_time, seconds
from core.domain.decide import Foresight
from core.domain.features import CONTEXT
from core.domain.forecast import Model
from core.domain.orders import Rules, Sight, Traits, exact
from core.domain.risk import Limits, Policy, Trip
from core.domain.risk.sizing import staged_capital
from core.domain.settle import expected
from core.domain.state import BookState
from core.domain.switch import effective, mode_of
from core.flows.serving import Problem, version_of
from core.ports import Vetting

Verdict = Literal["go", "conditional", "no_go"]
Judged = tuple[Verdict, str]
WORST: Final[tuple[Verdict, ...]] = ("no_go", "conditional", "go")

SKEW_S: Final = (1.0, 5.0)  # of our clock: what deserves a look, and what is too much whatever the venue bears
MOST_RISK: Final = Decimal("0.02")  # of a trade: the 2 % rule (Elder, Come Into My Trading Room, 2002)
TRADES: Final = 10  # on paper, before real money
BARS_OLD: Final = 2
LOOK_S: Final = 2.5  # between two looks, as a tick takes them
FALLS: Final = ("daily_loss", "drawdown")
BREAKERS: Final = (
    "losses",
    "stops",
    "low_profit",
    "low_profit_trades",
    "slippage",
    "price_move",
    "error_rate",
    "latency_s",
)
SIZES: Final = ("kelly", "volatility_target", "value_at_risk", "margin_least", "model_max_age_days")
NEEDED: Final = CONTEXT.names[:4]  # without these nothing is decided
VIX: Final = ("vix_level", "vix_change")  # a decision can do without
NO_TRADE: Final = "the key may not trade"  # as venue_line.vetting says it


class Finding(NamedTuple):
    """What one check found, in a sentence or several."""

    name: str
    verdict: Verdict
    said: str


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most cautious of them; where nothing was judged nothing is a go."""
    return min(verdicts, key=WORST.index, default="no_go")


def joined(judged: Sequence[Judged]) -> Judged:
    """The worst verdict. What is well is said only where all is."""
    verdict = worst(found for found, _ in judged)
    told = sorted((one for one in judged if verdict == "go" or one[0] != "go"), key=lambda one: WORST.index(one[0]))
    return verdict, "; ".join(said for _, said in told)


def rights(found: Vetting) -> Judged:
    told = "; ".join(found.said)
    if found.withdraw:
        return "no_go", "the key may withdraw: make one that may only trade, and delete this one"
    if NO_TRADE in told:
        return "no_go", told
    if found.withdraw is None:
        return "conditional", told or "the venue does not tell whether the key may withdraw: look where it was made"
    return ("conditional", told) if told else ("go", "the key works, and may not withdraw")


def skew(ahead_s: float | None, window_s: float) -> Judged:
    """`ahead_s`: of our clock; `window_s`: after which the venue takes a request no more, 0: it always does."""
    if ahead_s is None:
        return "conditional", "how far our clock and the venue's are apart is not known: see that this machine uses NTP"
    least, most = SKEW_S[0], min(SKEW_S[1], window_s or SKEW_S[1])
    said = f"our clock is {abs(ahead_s):.2f} s {'behind' if ahead_s < 0 else 'ahead of'} the venue's"
    if not abs(ahead_s) <= most:
        return "no_go", f"{said}, and orders would be refused for their time: set this machine's clock (NTP)"
    return ("go", said) if abs(ahead_s) <= least else ("conditional", f"{said}: more than {least:g} s, see to NTP")


def venue(sight: Sight, traits: Traits) -> Judged:
    judged: list[Judged] = []
    if sight.barred:
        judged.append(("conditional", f"it takes no new risk now: {sight.barred}"))
    if traits.stops == "none":
        judged.append(("conditional", "no stop can rest there: between two ticks nothing protects a position"))
    return joined(judged or [("go", " ".join(traits.notes) or "it takes orders")])


def smallest(rules: Rules, price: Decimal) -> Decimal:
    """Base coin of the smallest order that the venue takes, in whole lots."""
    least = max(rules.lot, rules.minimum_amount, rules.minimum_notional / price)
    return (least / rules.lot).to_integral_value(ROUND_CEILING) * rules.lot


def affordable(rules: Rules, price: Decimal, equity: Decimal, policy: Policy, atr: float) -> Judged:
    """Whether the smallest order is within leverage and risk_per_trade of the stage's capital. `atr` NaN: not known."""
    least, capital = smallest(rules, price), staged_capital(equity, policy)
    leverage = min(policy.leverage, rules.leverage)
    said = f"the smallest order is {least:f}, worth {least * price:.2f}"
    if not least * price <= capital * leverage:
        return "no_go", f"{said}: more than a capital of {capital:f} at leverage {leverage:f} may hold"
    if not math.isfinite(atr):
        return "conditional", f"{said}; what it would lose at its stop is not known"
    lost, allowed = least * exact(atr) * exact(policy.stop_atr), capital * policy.risk_per_trade
    if not lost <= allowed:
        return "conditional", f"{said}: at its stop it would lose {lost:.2f}, and risk_per_trade allows {allowed:.2f}"
    return "go", f"{said}; a capital of {capital:f} at leverage {leverage:f} may hold it"


def balance(free: Decimal | None, capital: Decimal, position: Decimal) -> Judged:
    """`capital`: what all books that share the account reckon their sizes from."""
    if free is None:
        return "conditional", "the venue does not tell what is free: compare its page with [policy] capital"
    if position:
        return "go", f"{free:f} is free beside the position"
    if not free >= capital:
        return "conditional", f"{free:f} is free, and sizes are reckoned from {capital:f}: entries come out smaller"
    return "go", f"{free:f} is free, and sizes are reckoned from {capital:f}"


def position(state: BookState, sight: Sight, bare: bool) -> Judged:
    """`state`: once what the venue shows has been taken in; `bare`: a position stands without its stop."""
    ours, known = expected(state), {order.order_id for order in state.orders if order.order_id}
    judged: list[Judged] = []
    if state.trouble:
        judged.append(("no_go", f"a person must look, then resume: {state.trouble}"))
    if state.unsettled:
        names = ", ".join(order.intent.id for order in state.unsettled)
        judged.append(("no_go", f"it is not known what became of {names}: the next tick looks, check again after it"))
    if ours != sight.position:
        judged.append(("no_go", f"the book says {ours:f}, the venue says {sight.position:f}"))
    strange = [order.order_id for order in sight.orders if order.status == "open" and order.order_id not in known]
    if strange:
        judged.append(("no_go", f"open orders that are not the book's, cancel them: {', '.join(strange[:5])}"))
    if bare:
        judged.append(("conditional", f"a position of {ours:f} stands without a stop: the next tick places one"))
    return joined(judged or [("go", f"book and venue both say {ours:f}, and no order is in doubt")])


def breakers(trips: Sequence[Trip]) -> Judged:
    return joined([_breaker(trip) for trip in trips] or [("go", "none is tripped")])


def _breaker(trip: Trip) -> Judged:
    until = f"until {trip.until:%Y-%m-%d %H:%M} UTC" if trip.until else "until a person resumes"
    lasting = trip.until is None or trip.level != "reduce"
    return "no_go" if lasting else "conditional", f"{trip.breaker} ({trip.level}, {until}): {trip.detail}"


def model(found: Model | Problem, paper: bool) -> Judged:
    if not isinstance(found, Model):
        return "no_go", found[1]
    made = found.manifest
    if made.warnings:
        return "conditional" if paper else "no_go", f"the gate refused it: {'; '.join(made.warnings)}"
    return "go", f"{version_of(made, found.version)} is live, and knows prices up to {made.data_until:%Y-%m-%d %H:%M}"


def forecast(seen: Foresight) -> Judged:
    if seen.problem:
        return "no_go", seen.problem[1]
    numbers = {"p(up)": seen.p_up, **{f"p(up) by {name}": p_up for name, p_up in seen.members.items()}}
    if wrong := [name for name, number in numbers.items() if not 0.0 <= number <= 1.0]:
        return "no_go", f"no probability: {', '.join(wrong)}"
    context = dict(zip(CONTEXT.names, seen.context, strict=True))
    unknown = [name for name, value in context.items() if not math.isfinite(value) and name not in VIX]
    if missing := [name for name in unknown if name in NEEDED]:
        return "no_go", f"not known: {', '.join(missing)}"
    if unknown:
        return "conditional", f"not known, and a limit that needs it allows nothing: {', '.join(unknown)}"
    return "go", ", ".join(f"{name} {number:.3f}" for name, number in numbers.items())


def vix(level: float, failures: Sequence[str]) -> Judged:
    """`level` NaN: not known, or too old."""
    told = "".join(f"; {failure}" for failure in failures)
    if not math.isfinite(level):
        return "conditional", f"not known, so entries are rarer and smaller{told}"
    return "go", f"{level:.2f}{told}"


def switch(documents: Mapping[str, object]) -> Judged:
    """`documents`: of the switches by key."""
    mode = effective(documents.values())
    if mode == "run":
        return "go", "no switch is flipped"
    told = "; ".join(_flipped(key, document) for key, document in documents.items() if mode_of(document) != "run")
    return "conditional" if mode == "reduce" else "no_go", told


def _flipped(key: str, document: object) -> str:
    mode = mode_of(document)
    if not isinstance(document, Mapping) or document.get("mode") != mode:
        return f"{key} cannot be read, which means halt"
    return f"{key} says {mode} by {document.get('by')}: {document.get('reason') or 'no reason'}"


def unlimited(policy: Policy) -> Iterator[Judged]:
    for name in FALLS:
        if not getattr(policy, name) > 0:
            yield "no_go", f"[policy] {name} is 0: without that limit no loss is too much"


def shared(limits: Limits) -> Iterator[Judged]:
    """Limits over several books, each of which has its own as well."""
    for name in FALLS:
        if not getattr(limits, name) > 0:
            yield "conditional", f"[account] {name} is 0: each book may lose its own limit on the same day"


def limits(policy: Policy, rules: Rules) -> Judged:
    judged: list[Judged] = [*unlimited(policy)]
    if not policy.leverage <= rules.leverage:
        judged.append(("no_go", f"[policy] leverage {policy.leverage:f} is above the venue's, {rules.leverage:f}"))
    if not policy.risk_per_trade <= MOST_RISK:
        judged.append(("no_go", f"[policy] risk_per_trade {policy.risk_per_trade:f} is above {MOST_RISK:f}"))
    if off := [name for name in (*BREAKERS, *SIZES) if not getattr(policy, name)]:
        judged.append(("conditional", f"off: {', '.join(off)}"))
    lost = f"{policy.daily_loss:.2%} a day, {policy.drawdown:.2%} from the top, {policy.risk_per_trade:.2%} a trade"
    return joined(judged or [("go", f"at most {lost}, leverage {policy.leverage:f}")])


def stage(policy: Policy) -> Judged:
    stages, now = policy.capital_stages, policy.stage
    told = ", ".join(f"{capital:f}" for capital in stages)
    if not stages:
        return "conditional", "[policy] capital_stages is empty: sizes grow with the equity, whatever it becomes"
    if now > len(stages) or list(stages) != sorted(set(stages)) or stages[0] <= 0:
        return (
            "no_go",
            f"[policy] stage {now} of capital_stages {told}: they must rise from above 0, and have that many",
        )
    said = f"stage {now} of {len(stages)}: sizes are reckoned from at most {stages[now - 1]:f}"
    return ("go", said) if now == 1 else ("conditional", f"{said}; a beginning is made at stage 1")


def record(state: BookState, bar: datetime, timeframe: str) -> Judged:
    """`bar`: the newest that has closed."""
    judged: list[Judged] = []
    if state.closed < TRADES:
        judged.append(("conditional", f"{state.closed} trades closed here: let at least {TRADES} close on paper first"))
    if state.bar is None:
        judged.append(("conditional", "no tick yet"))
    elif bar - state.bar > BARS_OLD * timedelta(seconds=seconds(timeframe)):
        closed = close_time(state.bar, timeframe)
        judged.append(("conditional", f"the last tick was for the bar that closed at {closed:%Y-%m-%d %H:%M} UTC"))
    return joined(judged or [("go", f"{state.closed} trades closed here, the last tick is recent")])


def lease(lease_s: int, timeframe: str, traits: Traits) -> Judged:
    """Whether one lease is long enough to clear up an order that was not answered, and shorter than a bar."""
    needed = 2 * (traits.window_s + LOOK_S * traits.looks)
    if lease_s < needed:
        return (
            "conditional",
            f"[tick] lease_s is {lease_s}: an order without an answer may take {needed:.0f} to clear up",
        )
    if lease_s > seconds(timeframe):
        return "conditional", f"[tick] lease_s is {lease_s}: a tick that died would hold the book past the next bar"
    return "go", f"{lease_s} s"
