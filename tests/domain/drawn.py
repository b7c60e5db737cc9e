"""What hypothesis draws for the tests of deciding: policies, rules, holdings and views that may well be strange."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from random import Random
from typing import Any

from hypothesis import strategies as st

from core.domain.decide import Decision, View, decide
from core.domain.orders import Holding, Rules
from core.domain.risk import Policy, Result, Room, Trip
from core.domain.switch import MODES
from tests.policies import EAGER

BAR = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = Rules(
    lot=Decimal("0.001"),
    tick=Decimal("0.1"),
    minimum_amount=Decimal("0.001"),
    taker=Decimal("0.001"),
    interest_per_day=Decimal("0.0004"),
)
POLICY = Policy(**EAGER)
CALM = {"price": 40_000.0, "p_up": 0.5, "atr": 400.0, "atr_ratio": 0.01, "volatility_ratio": 1.0}
CALM |= {"vix": 20.0, "vix_change": 0.0, "volatility": 0.004, "fall": 0.0, "adx": 20.0, "shortfall": 0.06}
CALM |= {"var_historical": 0.05, "var_parametric": 0.04, "var_monte_carlo": 0.045}

DUST = Decimal("0.0004")  # less than a lot of RULES

FLAT = Holding(cash=Decimal(10000))
LONG = Holding(
    cash=Decimal(9990),
    position=Decimal("0.1"),
    average_price=Decimal(39000),
    stop=Decimal(38000),
    opened=BAR - 5 * HOUR,
    fees=Decimal("3.9"),
)
SHORT = Holding(
    cash=Decimal(9990),
    position=Decimal("-0.1"),
    average_price=Decimal(41000),
    stop=Decimal(42000),
    opened=BAR - 5 * HOUR,
    fees=Decimal("4.1"),
)


def seen(**changes: Any) -> View:
    """A view at BAR with the VIX at 20, where nothing moves the threshold: it is 0.05."""
    plain: dict[str, Any] = {"book": "btc", "bar": BAR, "mode": "run", "holding": FLAT}
    return View(**plain | CALM | changes)


def _decimal(draw: Random, low: float, high: float, places: int) -> Decimal:
    return Decimal(str(round(draw.uniform(low, high), places)))


def decimals(low: str, high: str, places: int = 4) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(low), Decimal(high), places=places, allow_nan=False)


def _policy(draw: Random) -> Policy:
    return Policy(
        leverage=_decimal(draw, 0.1, 3, 1),
        short=draw.random() < 0.7,
        threshold=draw.uniform(0.0, 0.2),
        threshold_min=draw.uniform(0.0, 0.05),
        threshold_max=draw.uniform(0.05, 0.45),
        exit_fraction=draw.random(),
        minimum_confidence=draw.choice([0.0, 0.0, draw.uniform(0.4, 0.8)]),
        volatility_high_step=draw.uniform(-0.05, 0.05),
        vix_calm_step=draw.uniform(-0.05, 0.05),
        vix_spike_step=draw.uniform(-0.05, 0.05),
        rule=draw.choice(["off", "confirm"]),
        rule_long=draw.uniform(0.5, 0.6),
        rule_short=draw.uniform(0.4, 0.5),
        risk_per_trade=_decimal(draw, 0.0001, 0.1, 4),
        stop_atr=draw.uniform(0.5, 10.0),
    )


def _venue(draw: Random) -> Rules:
    return Rules(
        lot=Decimal(draw.choice(["0.0001", "0.0001", "0.001", "0.1", "1", "100"])),
        tick=Decimal(draw.choice(["0.01", "0.1", "0.5", "1", "5"])),
        minimum_amount=Decimal(draw.choice(["0.0001", "0.0001", "0.003", "0.25"])),
        minimum_notional=Decimal(draw.choice([0, 5, 1000])),
        taker=_decimal(draw, 0, 0.005, 4),
        interest_per_day=_decimal(draw, 0, 0.001, 4),
        leverage=_decimal(draw, 1, 3, 1),
    )


def _holding(draw: Random, price: float, rules: Rules) -> Holding:
    """Nothing, a position in whole lots, now and then one with a part of a lot on top, or dust."""
    cash = _decimal(draw, -100, 10 ** draw.uniform(2, 6), 2)
    least = max(rules.lot, rules.minimum_amount)
    position = draw.choice([0, 0, 0, 1, -1]) * (draw.randint(0, 60) * rules.lot + least)
    if draw.random() < 0.1:
        position += draw.choice([1, -1]) * _decimal(draw, 0.0001, 0.9999, 4) * rules.lot
    if not position:
        return Holding(cash=cash)
    average = _decimal(draw, 0.5, 2, 4) * Decimal(str(price if 0 < price < 1e9 else 100))
    if rules.dust(position):
        return Holding(cash=cash, position=position, average_price=average)
    stop = average * Decimal(draw.choice(["0.5", "0.9"] if position > 0 else ["1.1", "2"]))
    opened = BAR - draw.randint(5001, 5500) * HOUR
    return Holding(cash=cash, position=position, average_price=average, stop=stop, opened=opened, fees=Decimal("1.25"))


STRANGE = [math.nan, math.nan, math.inf, -math.inf, 0.0, -1.0, 5e-324, 1e300]


def _often(draw: Random, usual: float) -> float:
    """Mostly what is usual, and now and then what nobody should send."""
    return draw.choice(STRANGE) if draw.random() < 0.03 else usual


def _view(draw: Random, rules: Rules) -> View:
    price = 10 ** draw.uniform(-0.5, 5)
    return View(
        book=draw.choice(["btc", "eth-usdt-1h"]),
        bar=BAR + draw.randint(-5000, 5000) * HOUR,
        mode=draw.choice(["run", "run", "run", "run", "run", *MODES]),
        holding=_holding(draw, price, rules),
        unsettled=int(draw.random() < 0.05),
        blocked=("needs_a_person", "the venue says otherwise") if draw.random() < 0.05 else None,
        win_rate=draw.choice([None, draw.random()]),
        problem=("window_gap", "bars are missing before noon") if draw.random() < 0.05 else None,
        price=_often(draw, round(price, 2)),
        p_up=_often(draw, draw.choice([draw.random(), draw.uniform(0.4, 0.6), 0.0, 0.5, 1.0])),
        atr=_often(draw, price * draw.uniform(0.0, 0.3)),
        atr_ratio=_often(draw, draw.uniform(0.0, 0.1)),
        volatility_ratio=_often(draw, draw.uniform(0.0, 3.0)),
        rule=_often(draw, draw.choice([-1.0, 0.0, 1.0])),
        vix=_often(draw, draw.choice([draw.uniform(9.0, 45.0), math.nan])),
        vix_change=_often(draw, draw.choice([draw.uniform(-0.5, 1.0), math.nan])),
        volatility=_often(draw, draw.uniform(0.0005, 0.05)),
        fall=_often(draw, draw.uniform(-0.2, 0.2)),
        adx=_often(draw, draw.uniform(0.0, 80.0)),
        var_historical=_often(draw, draw.uniform(0.005, 0.3)),
        var_parametric=_often(draw, draw.uniform(0.005, 0.3)),
        var_monte_carlo=_often(draw, draw.uniform(0.005, 0.3)),
        shortfall=_often(draw, draw.uniform(0.005, 0.4)),
        trips=(_trip(draw),) if draw.random() < 0.05 else (),
        results=tuple(_result(draw) for _ in range(draw.choice([0, 0, 1, 30]))),
        free=draw.choice([None, None, _decimal(draw, 0, 20_000, 2)]),
        margin=draw.choice([None, None, _decimal(draw, 0, 5, 2)]),
        room_long=_room(draw),
        room_short=_room(draw),
    )


def _trip(draw: Random) -> Trip:
    level = draw.choice(["reduce", "halt", "flatten"])
    until = draw.choice([None, BAR + 9999 * HOUR])
    return Trip(breaker="drawdown", level=level, since=BAR, until=until, detail="fell 6 % from the highest")


def _result(draw: Random) -> Result:
    share = draw.uniform(-0.02, 0.02)
    return Result(closed=BAR - draw.randint(1, 3000) * HOUR, pnl=_decimal(draw, share, share, 6), share=share)


def _room(draw: Random) -> Room | None:
    if draw.random() < 0.8:
        return None
    quote = draw.choice([Decimal(0), _decimal(draw, 0, 20_000, 2)])
    return Room(quote=quote, positions_left=2, reason="exposure")


@dataclass(frozen=True)
class Case:
    """What one decision is made from."""

    view: View
    policy: Policy
    rules: Rules

    @cached_property
    def decision(self) -> Decision:
        return decide(self.view, self.policy, self.rules)


def case(seed: int) -> Case:
    """Any case, from a number: a hundred times faster than one strategy for each of its forty values."""
    draw = Random(seed)
    rules = _venue(draw)
    return Case(_view(draw, rules), _policy(draw), rules)


def entry(seed: int) -> Case:
    """Any case in which something is entered: about one of thirteen."""
    made = (case(seed * 1000 + i) for i in range(1000))
    return next(found for found in made if any(intent.leg == "entry" for intent in found.decision.intents))


cases = st.integers(0, 2**32).map(case)
venues = st.integers(0, 2**32).map(lambda seed: _venue(Random(seed)))
policies = st.integers(0, 2**32).map(lambda seed: _policy(Random(seed)))
entries = st.integers(0, 2**32).map(entry)
