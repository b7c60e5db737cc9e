"""How much to hold: every limit, and that the most cautious of them always wins."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.risk.breakers import Result
from core.domain.risk.policy import Policy
from core.domain.risk.sizing import Money, edge, sized, stake

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = {"risk_per_trade", "kelly", "volatility_target", "value_at_risk", "leverage", "liquidation"}


def money(**changes: Any) -> Money:
    """10000 of equity at a price of 40000 and a stop 800 away, in a market that is quiet enough to hold 0.25."""
    plain: dict[str, Any] = {"equity": Decimal(10000), "price": Decimal(40000), "distance": Decimal(800)}
    plain |= {"results": (), "now": NOW, "volatility": 0.005, "bars_per_year": 8760.0, "value_at_risk": 0.04}
    plain |= {"leverage": Decimal(1), "maintenance": Decimal("0.25"), "scale": 1.0}
    return Money(**plain | changes)


def alone(**limit: Any) -> Policy:
    """With every limit that can be off off, or so wide that it never binds, but for `limit`."""
    wide: dict[str, Any] = {
        "risk_per_trade": Decimal(100),
        "kelly": 0.0,
        "volatility_target": 0.0,
        "value_at_risk": 0.0,
    }
    return Policy(**{**wide, "capital_stages": (), **limit})


def traded(*shares: float, ago: float = 1.0) -> tuple[Result, ...]:
    return tuple(Result(closed=NOW - ago * DAY, pnl=Decimal(round(10000 * share)), share=share) for share in shares)


def found(policy: Policy, **changes: Any) -> tuple[Decimal, str]:
    sizing = sized(money(**changes), policy)
    return sizing.amount, sizing.limit


# One limit at a time, in round numbers


def test_at_the_stop_the_stated_risk_is_lost() -> None:
    assert found(Policy()) == (Decimal("0.125"), "risk_per_trade")


def test_the_position_is_worth_at_most_the_leverage() -> None:
    assert found(Policy(), distance=Decimal(80)) == (Decimal("0.25"), "leverage")
    assert found(Policy(), distance=Decimal(80), leverage=Decimal("0.5")) == (Decimal("0.125"), "leverage")


def test_volatility_is_brought_to_its_target() -> None:
    policy, yearly = alone(volatility_target=0.6), {"bars_per_year": 10_000.0}  # 0.01 a bar: 1.0 a year
    assert found(policy, volatility=0.01, **yearly) == (Decimal("0.15"), "volatility_target")
    assert found(policy, volatility=0.02, **yearly) == (Decimal("0.075"), "volatility_target")


def test_a_day_at_99_percent_loses_at_most_the_value_at_risk() -> None:
    assert found(alone(value_at_risk=0.05), value_at_risk=0.2) == (Decimal("0.0625"), "value_at_risk")


def test_what_is_free_at_the_venue_carries_the_leverage() -> None:
    assert found(alone(), free=Decimal(1000), leverage=Decimal(2)) == (Decimal("0.05"), "free_balance")
    assert found(alone(), free=Decimal(-1)) == (0, "free_balance")


def test_the_room_of_the_account_is_kept() -> None:
    assert found(alone(), room=Decimal(4000)) == (Decimal("0.1"), "exposure")
    assert found(alone(), room=Decimal(-4000)) == (0, "exposure")


def test_what_the_venue_and_the_account_do_not_say_is_no_limit() -> None:
    assert sized(money(), Policy()).limits.keys() == ALL
    assert sized(money(free=Decimal(1), room=Decimal(1)), Policy()).limits.keys() == {*ALL, "free_balance", "exposure"}


def test_the_stage_holds_the_capital_below_the_equity() -> None:
    sizing = [sized(money(equity=Decimal(80_000)), Policy(stage=stage)) for stage in (1, 2, 3, 9)]
    assert [each.capital for each in sizing] == [10_000, 50_000, 80_000, 80_000]
    assert [each.staged for each in sizing] == [True, True, False, False]
    assert [each.amount for each in sizing] == [Decimal("0.125"), Decimal("0.625"), 1, 1]


def test_every_limit_reckons_with_the_capital_of_the_stage() -> None:
    rich, poor = (sized(money(equity=Decimal(equity)), Policy()) for equity in (80_000, 10_000))
    assert rich.limits == poor.limits
    assert rich.limits.keys() == ALL


@pytest.mark.parametrize(("stage", "capital"), [(0, 10), (1, 10), (2, 20), (3, 20), (20, 20)])
def test_a_stage_past_either_end_of_the_list_is_the_one_at_that_end(stage: int, capital: int) -> None:
    policy = Policy(stage=stage, capital_stages=(Decimal(10), Decimal(20)))
    assert sized(money(), policy).capital == capital


def test_a_stage_that_gives_nothing_holds_nothing() -> None:
    for nothing in (Decimal(0), Decimal(-1), Decimal("NaN")):
        assert found(Policy(capital_stages=(nothing,))) == (0, "capital_stage")


def test_the_regimes_scale_what_the_limits_allow_and_the_binding_limit_keeps_its_name() -> None:
    sizing = sized(money(scale=0.5), Policy())
    assert (sizing.amount, sizing.limit, sizing.scale) == (Decimal("0.0625"), "risk_per_trade", 0.5)
    assert sizing.limits["risk_per_trade"] == 0.125


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_a_regime_that_leaves_nothing_or_is_not_known_holds_nothing(scale: float) -> None:
    assert found(Policy(), scale=scale) == (0, "regime")


def test_a_scale_never_lifts_a_position_over_its_limits() -> None:
    assert found(Policy(), scale=3.0) == (Decimal("0.125"), "risk_per_trade")


# What is not known


NUMBERS = ("volatility", "bars_per_year", "value_at_risk")
MONEYS = ("equity", "price", "distance", "leverage", "maintenance", "free", "room")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_a_number_that_is_not_known_allows_nothing(name: str, strange: float) -> None:
    sizing = sized(money(**{name: strange}), Policy())
    assert sizing.amount == 0
    assert sizing.limit.removesuffix("_unknown") in {"volatility_target", "value_at_risk"}


@pytest.mark.parametrize("name", MONEYS)
@pytest.mark.parametrize("strange", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_money_that_is_not_known_allows_nothing(name: str, strange: str) -> None:
    assert sized(money(**{name: Decimal(strange)}), Policy()).amount == 0


def test_the_record_says_what_was_not_known() -> None:
    assert found(Policy(), volatility=math.nan) == (0, "volatility_target_unknown")
    assert found(Policy(), value_at_risk=math.nan) == (0, "value_at_risk_unknown")
    assert found(Policy(), leverage=Decimal("NaN")) == (0, "leverage_unknown")
    assert found(Policy(), maintenance=Decimal(-1)) == (0, "liquidation_unknown")


def test_a_limit_that_is_off_needs_to_know_nothing() -> None:
    nothing = {"volatility": math.nan, "bars_per_year": math.nan, "value_at_risk": math.nan}
    assert found(alone(risk_per_trade=Decimal("0.01")), **nothing) == (Decimal("0.125"), "risk_per_trade")


@pytest.mark.parametrize("name", ["equity", "price", "distance"])
@pytest.mark.parametrize("number", [0, -1])
def test_without_equity_price_or_distance_nothing_is_held(name: str, number: int) -> None:
    assert found(Policy(), **{name: Decimal(number)}) == (0, "no_equity")


# Kelly


def test_a_book_without_trades_begins_with_the_risk_per_trade() -> None:
    assert stake((), Policy()) == Decimal("0.01")
    assert sized(money(), Policy()).amount == sized(money(), Policy(kelly=0.0)).amount


def test_kelly_is_off_at_zero() -> None:
    lost = traded(*[-0.01] * 200)
    assert "kelly" not in sized(money(results=lost), Policy(kelly=0.0)).limits
    assert found(Policy(), results=lost)[1] == "kelly"


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((), 0.0),
        ((0.01,), 1.0),  # nothing lost yet: shrinkage and cap hold it
        ((-0.01,), 0.0),
        ((0.02, -0.01), 0.25),  # p = 1/2, b = 2
        ((0.01, 0.01, -0.01), 1 / 3),  # p = 2/3, b = 1
        ((0.01, -0.02), 0.0),
        ((math.nan,), 0.0),
        ((0.02, 0.02, math.nan), 0.0),
        ((math.inf, -0.01), 0.0),
        ((0.01, -math.inf), 0.0),
        ((5e-324, -1.0), 0.0),
    ],
)
def test_the_edge_is_kellys(shares: tuple[float, ...], expected: float) -> None:
    assert edge(shares) == pytest.approx(expected, abs=1e-15)


@given(st.integers(1, 19), st.integers(1, 19), st.integers(1, 40))
def test_no_other_stake_lets_a_book_grow_faster(wins: int, losses: int, tenths: int) -> None:
    b = tenths / 10
    chosen = edge((*[b * 0.01] * wins, *[-0.01] * losses))

    def growth(f: float) -> float:
        return wins * math.log1p(b * f) + losses * math.log1p(-f)

    assert growth(chosen) >= max(growth(i / 200) for i in range(200)) - 1e-12


@pytest.mark.parametrize(
    ("count", "expected"), [(1, "0.00909"), (5, "0.00667"), (20, "0.00333"), (30, "0.00250"), (500, "0.00250")]
)
def test_losing_trades_draw_the_stake_down_to_its_floor(count: int, expected: str) -> None:
    assert round(stake([-0.01] * count, Policy()), 5) == Decimal(expected)


def test_half_kelly_halves_the_evidence_and_not_the_beginning() -> None:
    won = [0.02, -0.01] * 1000
    whole, half = (stake(won, Policy(kelly=kelly, kelly_cap=1.0)) for kelly in (1.0, 0.5))
    assert (float(whole), float(half)) == (pytest.approx(0.25, abs=0.005), pytest.approx(0.125, abs=0.005))
    assert stake((), Policy(kelly=0.01)) == Decimal("0.01")


def test_winning_only_is_held_by_the_cap() -> None:
    assert stake([0.01] * 1000, Policy()) == Decimal("0.25")
    assert stake([0.01] * 1000, Policy(kelly_floor=0.5)) == Decimal("0.25")


def test_a_book_that_lost_recovers_when_its_losses_are_old() -> None:
    lost = [found(Policy(), results=traded(*[-0.01] * 60, ago=days)) for days in (1, 89.9, 90, 400)]
    assert lost == [(Decimal("0.03125"), "kelly")] * 2 + [(Decimal("0.125"), "risk_per_trade")] * 2


def test_what_closes_later_than_now_is_not_known_yet() -> None:
    assert found(Policy(), results=traded(*[-0.01] * 60, ago=-0.01)) == found(Policy())


shares = st.lists(st.floats(-0.2, 0.2), max_size=40)


@given(shares, st.integers(0, 40))
def test_trades_that_came_out_even_say_nothing(some: list[float], even: int) -> None:
    assert stake([0.0] * even + some + [-0.0] * even, Policy()) == stake(some, Policy())


@given(shares, st.floats(-0.2, -1e-6))
def test_one_more_loss_never_raises_the_stake(some: list[float], loss: float) -> None:
    assert stake([*some, loss], Policy()) <= stake(some, Policy()) * (1 + Decimal("1e-12"))


@given(st.lists(st.floats(), max_size=40))
def test_the_stake_stays_between_its_floor_and_its_cap_whatever_comes(some: list[float]) -> None:
    assert Decimal("0.0025") <= stake(some, Policy()) <= Decimal("0.25")


# Whatever comes


def _policy(draw: Random) -> Policy:
    return Policy(
        capital_stages=tuple(Decimal(draw.randint(1, 10**6)) for _ in range(draw.randint(0, 3))),
        stage=draw.randint(1, 4),
        risk_per_trade=Decimal(draw.randint(1, 2000)) / 10000,
        kelly=draw.choice([0.0, 0.5, 1.0, draw.random()]),
        kelly_cap=draw.random(),
        kelly_trades=draw.randint(1, 100),
        kelly_floor=draw.choice([0.0025, draw.random()]),
        volatility_target=draw.choice([0.0, draw.uniform(0.01, 3.0)]),
        value_at_risk=draw.choice([0.0, draw.uniform(0.001, 1.0)]),
        liquidation_buffer=draw.uniform(1.0, 20.0),
    )


def _money(draw: Random) -> Money:
    price = Decimal(repr(10 ** draw.uniform(-3, 7)))
    return money(
        equity=Decimal(repr(10 ** draw.uniform(0, 9))),
        price=price,
        distance=price * Decimal(repr(10 ** draw.uniform(-5, 0.3))),
        results=traded(*[draw.gauss(0.001, 0.02) for _ in range(draw.choice([0, 1, 5, 50]))], ago=draw.uniform(0, 120)),
        volatility=10 ** draw.uniform(-6, 0),
        bars_per_year=draw.choice([365.0, 8760.0, 35040.0]),
        value_at_risk=10 ** draw.uniform(-5, 0),
        leverage=Decimal(draw.randint(1, 1000)) / 10,
        maintenance=Decimal(draw.choice(["0", "0.004", "0.25", "0.5"])),
        scale=draw.choice([1.0, 0.5, draw.random()]),
        free=draw.choice([None, Decimal(draw.randint(-100, 10**6))]),
        room=draw.choice([None, Decimal(draw.randint(-100, 10**6))]),
    )


cases = st.integers(0, 2**32).map(lambda seed: (_money(Random(seed)), _policy(Random(seed + 1))))
Case = tuple[Money, Policy]


def exactly(number: float | Decimal) -> Fraction:
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def staged(equity: Decimal, policy: Policy) -> Fraction:
    stages = policy.capital_stages
    return Fraction(min(equity, stages[min(policy.stage, len(stages)) - 1]) if stages else equity)


@given(cases)
def test_what_is_lost_at_the_stop_is_never_more_than_the_capital_may_lose(case: Case) -> None:
    held, policy = case
    sizing = sized(*case)
    capital, lost = staged(held.equity, policy), Fraction(sizing.amount) * Fraction(held.distance)
    assert sizing.capital == capital
    assert 0 <= lost <= Fraction(policy.risk_per_trade) * capital
    if policy.kelly:
        recent = [result.share for result in held.results if result.closed > NOW - 90 * DAY]
        assert lost <= Fraction(stake(recent, policy)) * capital


@given(cases)
def test_what_the_position_is_worth_never_exceeds_a_limit(case: Case) -> None:
    held, policy = case
    capital, worth = staged(held.equity, policy), Fraction(sized(*case).amount) * Fraction(held.price)
    assert worth <= Fraction(held.leverage) * capital
    if policy.volatility_target:
        annual = held.volatility * math.sqrt(held.bars_per_year)
        assert worth * exactly(annual) <= exactly(policy.volatility_target) * capital
    if policy.value_at_risk:
        assert worth * exactly(held.value_at_risk) <= exactly(policy.value_at_risk) * capital
    if held.free is not None:
        assert worth <= max(Fraction(held.free * held.leverage), Fraction(0))
    if held.room is not None:
        assert worth <= max(Fraction(held.room), Fraction(0))


@given(cases, st.floats(0.01, 3.0))
def test_a_limit_is_used_up_to_the_last_digit_and_no_further(case: Case, target: float) -> None:
    wide = {"leverage": Decimal(10**9), "distance": Decimal("1e-15"), "maintenance": Decimal(0), "scale": 1.0}
    held = replace(case[0], **wide, free=None, room=None)
    sizing = sized(held, alone(volatility_target=target))
    annual = exactly(held.volatility * math.sqrt(held.bars_per_year))
    used = Fraction(sizing.amount) * Fraction(held.price) * annual / (exactly(target) * Fraction(held.equity))
    assert sizing.limit == "volatility_target"
    assert 1 - Fraction(1, 10**27) < used <= 1


@given(cases)
def test_the_binding_limit_times_the_scale_is_the_amount_and_the_least_of_all(case: Case) -> None:
    sizing = sized(*case)
    assert sizing.limits[sizing.limit] == min(sizing.limits.values())
    assert float(sizing.amount) == pytest.approx(sizing.limits[sizing.limit] * sizing.scale, rel=1e-12)


MORE: dict[str, Decimal | float | int] = {
    "risk_per_trade": 2, "kelly": 1.5, "kelly_cap": 2.0, "kelly_floor": 1.5, "volatility_target": 1.1,
    "value_at_risk": 1.3, "stage": 2,
}  # fmt: skip


@given(cases, st.sampled_from(sorted(MORE)))
def test_raising_a_limit_of_the_policy_never_lowers_the_amount(case: Case, name: str) -> None:
    held, policy = case
    policy = replace(policy, capital_stages=tuple(sorted(policy.capital_stages)))
    raised = replace(policy, **{name: getattr(policy, name) * MORE[name]})
    assert sized(held, raised).amount >= sized(held, policy).amount


@given(cases, st.sampled_from(["equity", "leverage", "free", "room"]))
def test_more_money_never_lowers_the_amount(case: Case, name: str) -> None:
    held, policy = case
    before = getattr(held, name)
    more = replace(held, **{name: None if before is None else abs(before) * 2})
    assert sized(more, policy).amount >= sized(held, policy).amount


@given(cases, st.sampled_from(["volatility", "value_at_risk", "distance", "price", "maintenance"]), st.integers(1, 9))
def test_more_danger_never_raises_the_amount(case: Case, name: str, times: int) -> None:
    held, policy = case
    worse = replace(held, **{name: getattr(held, name) * times})
    assert sized(worse, policy).amount <= sized(held, policy).amount


@given(cases, st.floats(1.0, 20.0))
def test_a_larger_buffer_to_liquidation_never_raises_the_amount(case: Case, buffer: float) -> None:
    held, policy = case
    wider = replace(policy, liquidation_buffer=max(buffer, policy.liquidation_buffer))
    assert sized(held, wider).amount <= sized(held, policy).amount


@given(cases, st.floats(0.0, 1.0))
def test_a_smaller_scale_never_raises_the_amount(case: Case, scale: float) -> None:
    held, policy = case
    assert sized(replace(held, scale=scale * held.scale), policy).amount <= sized(*case).amount


# Liquidation, by walking the price


def closed_at(amount: Fraction, held: Money, side: int, until: Fraction) -> Fraction | None:
    """How far the price went against the position, in 200 steps to `until`, when the venue closed it; None: it did
    not. `side`: 1 long, -1 short. The venue closes when equity over the worth of the position is at the maintenance."""
    for step in range(201):
        move = until * step / 200
        price = Fraction(held.price) - side * move
        equity = Fraction(held.equity) - amount * move
        if price > 0 and amount and equity <= Fraction(held.maintenance) * amount * price:
            return move
    return None


@given(cases, st.sampled_from([1, -1]))
def test_the_venue_never_closes_a_position_before_the_buffer_is_used_up(case: Case, side: int) -> None:
    held, policy = case
    until = exactly(policy.liquidation_buffer) * Fraction(held.distance)
    assert closed_at(Fraction(sized(*case).amount), held, side, until) in (None, until)


@given(st.integers(1, 100), st.sampled_from(["0", "0.004", "0.25", "0.5"]), st.integers(10, 50))
def test_a_short_of_any_more_would_be_closed_before(percent: int, maintenance: str, tenths: int) -> None:
    held = money(distance=Decimal(40000) * percent / 100, maintenance=Decimal(maintenance), leverage=Decimal(10**6))
    sizing = sized(held, alone(liquidation_buffer=tenths / 10))
    assert sizing.limit == "liquidation"
    until = Fraction(tenths, 10) * Fraction(held.distance)
    assert closed_at(Fraction(sizing.amount), held, -1, until) in (None, until)
    assert closed_at(Fraction(sizing.amount) * Fraction(102, 100), held, -1, until * Fraction(199, 200))


def test_near_its_liquidation_a_levered_position_is_smaller_than_the_leverage_allows() -> None:
    amount, limit = found(alone(liquidation_buffer=2.0), leverage=Decimal(4), maintenance=Decimal("0.25"))
    assert (round(amount, 6), limit) == (Decimal("0.833333"), "liquidation")  # 10000 / (1600 + 0.25 x 41600)


# Nothing strange gets through


any_decimal = st.decimals() | st.sampled_from([Decimal("1E-400"), Decimal("1E+400"), Decimal("sNaN")])


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(MONEYS, any_decimal)),
    st.fixed_dictionaries({}, optional=dict.fromkeys((*NUMBERS, "scale"), st.floats())),
    st.lists(st.floats(), max_size=5),
)
def test_whatever_comes_a_finite_amount_and_a_record_of_finite_numbers_go_out(
    moneys: dict[str, Decimal], numbers: dict[str, float], some: list[float]
) -> None:
    results = [Result(closed=NOW - DAY, pnl=Decimal(0), share=share) for share in some]
    sizing = sized(money(**moneys, **numbers, results=results), Policy())
    assert sizing.amount.is_finite() and sizing.amount >= 0
    assert all(math.isfinite(number) for number in (*sizing.limits.values(), sizing.scale))
    assert msgspec.json.decode(msgspec.json.encode(sizing.limits)) == sizing.limits


def test_no_lot_is_lost_where_the_amount_comes_out_even() -> None:
    policy, yearly = alone(volatility_target=0.6), {"volatility": 0.01, "bars_per_year": 10_000.0}
    assert found(policy, price=Decimal(30_000), **yearly)[0] == Decimal("0.2")  # 1/3 x 0.6


def test_amounts_are_rounded_down() -> None:
    sizing = sized(money(distance=Decimal(300)), alone(risk_per_trade=Decimal("0.002")))  # 20 / 300
    assert sizing.amount == Decimal("0.06666666666666666666666666666")
