"""Decide: from what one bar shows to intents, with the reason and every number that led to it. Pure.

The same function decides in the backtest, in the tick and in the replay of a recorded tick.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from core.domain.bars import YEAR
from core.domain.orders import ZERO, Holding, Intent, Leg, Rules, Side, exact, intent_id
from core.domain.risk import Money, Policy, Result, Room, Trip, certainty, expected, regime, sized, threshold
from core.domain.switch import MODES, Mode

Action = Literal["enter", "exit", "reverse", "hold", "stay_out", "refuse", "halt"]
Number = float | str | None
UNREADABLE = "unreadable"  # the breaker that stands for a document that cannot be read
UNKNOWN = (math.nan,) * 13  # one row of CONTEXT of which nothing is known


class View(Struct, frozen=True, kw_only=True):
    """All that a decision looks at. Prices as the venue printed them; numbers that are not known are NaN.

    `unsettled`: orders of which the outcome is not known. `blocked`: why nothing at all may be sent; `problem`: why no
    new risk may be taken at this bar (each a code and a sentence), found before any forecast was made. `trips`:
    breakers that have tripped. `results`: of the book's newest trades. `free`, `margin`: see Sight.
    `room_long`, `room_short`: what the other books leave of the account's limits; None: there are no others. `cost`: of
    a round trip, as a fraction of the price. `volatility`: per bar, of 168 bars; `fall`: the return of 24 bars; value
    at risk and shortfall: of a day, as shares of a position's worth.
    """

    book: str
    bar: datetime
    mode: Mode
    holding: Holding
    unsettled: int = 0
    blocked: tuple[str, str] | None = None
    win_rate: float | None = None
    problem: tuple[str, str] | None = None
    trips: tuple[Trip, ...] = ()
    results: tuple[Result, ...] = ()
    free: Decimal | None = None
    margin: Decimal | None = None
    room_long: Room | None = None
    room_short: Room | None = None
    bars_per_year: float = 8766.0
    cost: float = 0.0
    price: float = math.nan
    p_up: float = math.nan
    atr: float = math.nan
    atr_ratio: float = math.nan
    volatility_ratio: float = math.nan
    rule: float = 0.0
    vix: float = math.nan
    vix_change: float = math.nan
    volatility: float = math.nan
    fall: float = math.nan
    adx: float = math.nan
    var_historical: float = math.nan
    var_parametric: float = math.nan
    var_monte_carlo: float = math.nan
    shortfall: float = math.nan

    @property
    def value_at_risk(self) -> float:
        """The largest of the three; NaN while any is unknown."""
        ways = (self.var_historical, self.var_parametric, self.var_monte_carlo)
        return math.nan if any(math.isnan(way) for way in ways) else max(ways)


class Foresight(Struct, frozen=True, kw_only=True):
    """What is foreseen at one bar, with the features and members that it comes from, and one row of CONTEXT."""

    problem: tuple[str, str] | None = None
    p_up: float = math.nan
    row: dict[str, float] = {}
    members: dict[str, float] = {}
    context: tuple[float, ...] = UNKNOWN


class Decision(Struct, frozen=True, kw_only=True):
    """What to do at one bar. `target` is the position wanted (signed, base coin); `reason` is a stable code."""

    action: Action
    reason: str
    target: Decimal
    intents: tuple[Intent, ...] = ()
    numbers: dict[str, Number] = {}
    note: str = ""  # a sentence from where the problem was found


def decide(view: View, policy: Policy, rules: Rules) -> Decision:
    """The decision at `view.bar`: gates first, then the exit of what is held, then a new entry."""
    position = view.holding.position
    mode, why, note = _allowed(view)
    if mode == "halt":
        return Decision(action="halt", reason=why, target=position, note=note)
    if view.blocked:
        return Decision(action="refuse", reason=view.blocked[0], target=position, note=view.blocked[1])
    if view.unsettled:
        return Decision(action="refuse", reason="unsettled", target=position, numbers={"unsettled": view.unsettled})
    if mode == "flatten":
        return _flatten(view, rules, why, note)
    problem = view.problem or _nonsense(view)
    if problem:
        return Decision(action="refuse", reason=problem[0], target=position, note=problem[1])
    return _trade(view, policy, rules)


def _allowed(view: View) -> tuple[Mode, str, str]:
    """The mode that switches and breakers give together, which of them says so, and the breaker's sentence."""
    if unknown := next((trip for trip in view.trips if trip.breaker == UNREADABLE), None):
        return "halt", "breaker_unreadable", unknown.detail
    worst = max(view.trips, key=lambda trip: MODES.index(trip.level), default=None)
    if worst is None or MODES.index(worst.level) < MODES.index(view.mode):
        return view.mode, f"switch_{view.mode}", ""
    return worst.level, f"breaker_{worst.breaker}", worst.detail


def _flatten(view: View, rules: Rules, why: str, note: str) -> Decision:
    if not _held(view, rules):
        return Decision(action="halt", reason=why, target=ZERO, note=note)
    return Decision(action="exit", reason=why, target=ZERO, intents=(_exit(view, rules),), note=note)


def _held(view: View, rules: Rules) -> Decimal:
    """The position, as far as it can be traded: dust is none."""
    position = view.holding.position
    return ZERO if rules.dust(position) else position


def _nonsense(view: View) -> tuple[str, str] | None:
    for name in ("p_up", "price", "atr", "atr_ratio", "volatility_ratio", "rule"):
        if not math.isfinite(getattr(view, name)):
            return f"{name}_unknown", f"{name} is not a number"
    if not 0.0 <= view.p_up <= 1.0:
        return "p_up_unknown", f"p(up) is {view.p_up}, which is no probability"
    return None


def _trade(view: View, policy: Policy, rules: Rules) -> Decision:
    steps = threshold(policy, view.volatility_ratio, view.atr_ratio, view.win_rate, view.vix, view.vix_change)
    numbers = _seen(view, policy) | steps
    exit_reason = _exit_reason(view, policy, steps["th"])
    held = _held(view, rules)
    if held and not exit_reason:
        return Decision(action="hold", reason="signal_stands", target=held, numbers=numbers)
    exits = (_exit(view, rules),) if held else ()
    side, why = _entry_side(view, policy, steps["th"])
    if exit_reason == "stop_passed" and side == ("buy" if held > 0 else "sell"):
        side, why = None, "stop_passed"
    entry, size_numbers = (None, {}) if side is None else _entry(view, policy, rules, side)
    if entry:
        target = entry.amount if entry.side == "buy" else -entry.amount
        action: Action = "reverse" if held else "enter"
        return Decision(
            action=action, reason=why, target=target, intents=(*exits, entry), numbers={**numbers, **size_numbers}
        )
    reason = str(size_numbers.get("refused", why))
    if held:
        return Decision(
            action="exit", reason=exit_reason, target=ZERO, intents=exits, numbers=numbers | {"entry": reason}
        )
    note = _allowed(view)[2] if reason.startswith("breaker_") else ""
    return Decision(action="stay_out", reason=reason, target=ZERO, numbers={**numbers, **size_numbers}, note=note)


def _seen(view: View, policy: Policy) -> dict[str, Number]:
    """What the market showed; None where it is not known (NaN would not equal itself)."""
    seen: dict[str, Number] = {
        "p_up": view.p_up,
        "price": view.price,
        "volatility_ratio": view.volatility_ratio,
        "atr_ratio": view.atr_ratio,
        "win_rate": view.win_rate,
        "rule": view.rule,
        "market_regime": regime.market(view.volatility_ratio, view.fall, view.adx, policy),
        "vix_regime": regime.vix(view.vix, policy),
    }
    others = {"expected_move": expected(view.p_up, view.volatility, policy.hold_bars), "cost": view.cost}
    others |= {"vix_level": view.vix, "vix_change": view.vix_change, "value_at_risk": view.value_at_risk}
    others |= {"shortfall": view.shortfall, "volatility_168": view.volatility, "fall": view.fall, "adx": view.adx}
    return seen | {name: None if math.isnan(value) else value for name, value in others.items()}


def _exit_reason(view: View, policy: Policy, th: float) -> str:
    soft = policy.exit_fraction * th
    if _beyond_stop(view):
        return "stop_passed"
    if _age(view) < policy.hold_bars:
        return ""
    if 0 < policy.hold_most_bars <= _age(view) and not _renewed(view, policy, th):
        return "held_long_enough"
    if view.holding.position > 0 and view.p_up < 0.5 - soft:
        return "long_faded"
    if view.holding.position < 0 and view.p_up > 0.5 + soft:
        return "short_faded"
    return ""


def _age(view: View) -> int:
    """Bars that the position has been held, that of its entry included; 0 when it was opened after this bar."""
    opened = view.holding.opened
    if opened is None:
        return 0
    return max(0, round((view.bar - opened).total_seconds() * view.bars_per_year / YEAR) + 1)


def _renewed(view: View, policy: Policy, th: float) -> bool:
    """Whether the position would be entered again on this bar's forecast."""
    return _signal(view, policy, th)[0] == ("buy" if view.holding.position > 0 else "sell")


def _beyond_stop(view: View) -> bool:
    """The market is where the protective stop should have closed the position: the venue holds none, or it failed."""
    held, stop = view.holding.position, view.holding.stop
    return stop is not None and (exact(view.price) <= stop if held > 0 else held < 0 and exact(view.price) >= stop)


def _entry_side(view: View, policy: Policy, th: float) -> tuple[Side | None, str]:
    """Which way to enter and why, or None and which gate said no."""
    side, why = _signal(view, policy, th)
    if side is None:
        return None, why
    mode, why_not, _ = _allowed(view)
    if mode == "reduce":
        return None, why_not
    if view.margin is not None and view.margin < exact(policy.margin_least):
        return None, "margin_low"
    room = _room(view, side)
    if room is not None and room.quote == 0:
        return None, f"account_{room.reason}"
    if view.vix >= policy.vix_panic:
        return None, "vix_panic"
    if side == "sell" and not policy.short:
        return None, "short_not_allowed"
    if max(view.p_up, 1.0 - view.p_up) < policy.minimum_confidence:
        return None, "confidence_low"
    if policy.edge and not expected(view.p_up, view.volatility, policy.hold_bars) >= policy.edge * view.cost:
        return None, "edge_below_costs"
    return side, why


def _signal(view: View, policy: Policy, th: float) -> tuple[Side | None, str]:
    if view.p_up > 0.5 + th:
        return "buy", "long_signal"
    if view.p_up < 0.5 - th:
        return "sell", "short_signal"
    if policy.rule == "confirm" and view.rule > 0 and view.p_up > policy.rule_long:
        return "buy", "long_confirmed_by_rule"
    if policy.rule == "confirm" and view.rule < 0 and view.p_up < policy.rule_short:
        return "sell", "short_confirmed_by_rule"
    return None, "no_signal"


def _exit(view: View, rules: Rules) -> Intent:
    position = view.holding.position
    return _intent(view, "exit", "sell" if position > 0 else "buy", rules.floor(abs(position)), None)


def _entry(view: View, policy: Policy, rules: Rules, side: Side) -> tuple[Intent | None, dict[str, Number]]:
    """The sized entry, or None; with the numbers of the sizing, and `refused` when it came to nothing."""
    price, distance = exact(view.price), exact(view.atr) * exact(policy.stop_atr)
    sizing = sized(_money(view, policy, rules, side, price, distance), policy)
    amount = rules.floor(sizing.amount)
    numbers: dict[str, Number] = {
        "equity": f"{view.holding.equity(price):f}",
        "capital": f"{sizing.capital:f}",
        "atr_14": view.atr,
        "size_wanted": float(sizing.amount),
        "size_limit": sizing.limit,
        "size_scale": sizing.scale,
        **{f"size_by_{name}": value for name, value in sizing.limits.items()},
    }
    if not amount or amount * price < rules.minimum_notional:
        return None, {**numbers, "refused": "size_zero_lots" if sizing.amount else f"size_{sizing.limit}"}
    # Rounded towards the price, so that the stop never risks more than the size was reckoned for.
    stop = rules.worse(price - distance, "buy") if side == "buy" else rules.worse(price + distance, "sell")
    if not (ZERO < stop < price if side == "buy" else stop > price):
        return None, {**numbers, "refused": "stop_impossible"}
    return _intent(view, "entry", side, amount, stop), {**numbers, "amount": f"{amount:f}", "stop": f"{stop:f}"}


def _money(view: View, policy: Policy, rules: Rules, side: Side, price: Decimal, distance: Decimal) -> Money:
    market = regime.market(view.volatility_ratio, view.fall, view.adx, policy)
    held, room = view.holding.position, _room(view, side)
    return Money(
        equity=view.holding.equity(price),
        price=price,
        distance=distance,
        results=view.results,
        now=view.bar,
        volatility=view.volatility,
        bars_per_year=view.bars_per_year,
        value_at_risk=view.value_at_risk,
        leverage=min(policy.leverage, rules.leverage),
        maintenance=rules.maintenance,
        scale=regime.scale(market, regime.vix(view.vix, policy), policy) * certainty(view.p_up, policy.certainty),
        free=None if held else view.free,  # what is held is closed first, and what it uses is free then
        room=room.quote if room else None,
    )


def _room(view: View, side: Side) -> Room | None:
    return view.room_long if side == "buy" else view.room_short


def _intent(view: View, leg: Leg, side: Side, amount: Decimal, stop: Decimal | None) -> Intent:
    return Intent(
        id=intent_id(view.book, view.bar, leg),
        book=view.book,
        bar=view.bar,
        leg=leg,
        side=side,
        amount=amount,
        stop=stop,
    )
