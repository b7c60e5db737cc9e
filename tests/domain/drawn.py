"""What hypothesis draws for the tests of deciding: policies, rules, holdings and views that may well be strange."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from core.domain.decide import MODES, View
from core.domain.orders import ZERO, Holding, Rules
from core.domain.risk import Policy

BAR = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = Rules(
    lot=Decimal("0.001"),
    tick=Decimal("0.1"),
    minimum_amount=Decimal("0.001"),
    taker=Decimal("0.001"),
    interest_per_day=Decimal("0.0004"),
)
POLICY = Policy()
CALM = {"price": 40_000.0, "p_up": 0.5, "atr": 400.0, "atr_ratio": 0.01, "volatility_ratio": 1.0}

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
    return View(**{"book": "btc", "bar": BAR, "mode": "run", "holding": FLAT, "vix": 20.0, "vix_change": 0.0} | CALM | changes)


def decimals(low: str, high: str, places: int = 4) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(low), Decimal(high), places=places, allow_nan=False)


SHARES = st.floats(0.0, 1.0)
STEPS = st.floats(-0.05, 0.05)

policies = st.builds(
    Policy,
    leverage=decimals("0.1", "3", 1),
    short=st.booleans(),
    threshold=st.floats(0.0, 0.2),
    threshold_min=st.floats(0.0, 0.05),
    threshold_max=st.floats(0.05, 0.45),
    exit_fraction=SHARES,
    minimum_confidence=st.just(0.0) | st.floats(0.4, 0.8),
    volatility_high_step=STEPS,
    vix_calm_step=STEPS,
    vix_spike_step=STEPS,
    rule=st.sampled_from(["off", "confirm"]),
    rule_long=st.floats(0.5, 0.6),
    rule_short=st.floats(0.4, 0.5),
    risk_per_trade=decimals("0.0001", "0.1"),
    stop_atr=st.floats(0.5, 10.0),
)

venues = st.builds(
    Rules,
    lot=st.sampled_from([Decimal("0.0001"), Decimal("0.001"), Decimal("0.1"), Decimal(1), Decimal(100)]),
    tick=st.sampled_from([Decimal("0.01"), Decimal("0.1"), Decimal("0.5"), Decimal(1), Decimal(5)]),
    minimum_amount=st.sampled_from([Decimal("0.0001"), Decimal("0.003"), Decimal("0.25")]),
    minimum_notional=st.sampled_from([ZERO, Decimal(5), Decimal(1000)]),
    taker=decimals("0", "0.005"),
    interest_per_day=decimals("0", "0.001"),
    leverage=decimals("1", "3", 1),
)


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    cash = draw(decimals("-100", "100000", 2))
    position = draw(st.sampled_from([0, 0, 1, -1])) * draw(decimals("0.0001", "5"))
    if not position:
        return Holding(cash=cash)
    average = draw(decimals("1", "90000", 2))
    stop = average * (Decimal("0.9") if position > 0 else Decimal("1.1"))
    opened = BAR - draw(st.integers(1, 500)) * HOUR
    return Holding(cash=cash, position=position, average_price=average, stop=stop, opened=opened, fees=Decimal("1.25"))


STRANGE = st.sampled_from([math.nan, math.nan, math.inf, -math.inf, 0.0, -1.0, 5e-324, 1e300])


def often(usual: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    """Mostly what is usual, and now and then what nobody should send."""
    return st.integers(0, 19).flatmap(lambda i: STRANGE if i == 0 else usual)


views = st.builds(
    View,
    book=st.sampled_from(["btc", "eth-usdt-1h"]),
    bar=st.integers(-5000, 5000).map(lambda i: BAR + i * HOUR),
    mode=st.sampled_from(["run", "run", "run", *MODES]),
    holding=holdings(),
    unsettled=st.sampled_from([0] * 9 + [1]),
    win_rate=st.none() | SHARES,
    problem=st.sampled_from([None] * 9 + [("window_gap", "bars are missing before noon")]),
    price=often(st.floats(0.5, 90_000.0)),
    p_up=often(SHARES),
    atr=often(st.floats(0.0, 5000.0)),
    atr_ratio=often(st.floats(0.0, 0.1)),
    volatility_ratio=often(st.floats(0.0, 3.0)),
    rule=often(st.sampled_from([-1.0, 0.0, 1.0])),
    vix=often(st.floats(9.0, 80.0)) | st.just(math.nan),
    vix_change=often(st.floats(-0.5, 1.0)) | st.just(math.nan),
)
