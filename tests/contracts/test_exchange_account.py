"""What every Exchange tells of the account, of its own requests, and of keys and clock."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from core.domain.orders import Side
from core.ports import Calls, Unavailable, Vetting
from tests.contracts.exchange_benches import CASES, PRICE, RULES, Case
from tests.contracts.exchange_desk import AMOUNT, Desk

WORTH = AMOUNT * Decimal(PRICE)


class Tells(NamedTuple):
    """What a venue says of an account with a position, and of a key that may only trade."""

    margin: bool = False
    liquidation: bool = False
    withdraw: bool | None = False
    rough: bool = False  # its time, to half a second


TELLS = {
    "paper in memory": Tells(),
    "paper in sqlite": Tells(),
    "bitbank margin": Tells(margin=True, withdraw=None, rough=True),
    "bitbank spot": Tells(withdraw=None, rough=True),
    "bybit linear": Tells(liquidation=True),
    "bybit spot": Tells(),
}
VENUES = [case for case in CASES if not case.name.startswith("paper")]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def desk(case: Case, tmp_path: Path) -> Iterator[Desk]:
    with case.bench(tmp_path) as bench:
        yield Desk(bench)


at_venues = pytest.mark.parametrize("case", VENUES, indirect=True, ids=lambda case: case.name)


def of(*cases: str) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if case.name in cases]
    assert len(chosen) == len(cases)
    return pytest.mark.parametrize("case", chosen, indirect=True, ids=lambda case: case.name)


# --- money ----------------------------------------------------------------------------------------------------------


def test_of_a_flat_account_all_money_is_free_and_there_is_nothing_to_close(desk: Desk) -> None:
    sight = desk.look()
    assert (sight.free, sight.margin, sight.liquidation) == (desk.bench.money, None, None)


def test_a_position_takes_of_what_is_free_and_gives_it_back(desk: Desk) -> None:
    desk.trade("entry", "buy")
    entered = free(desk)
    assert WORTH / RULES.leverage <= desk.bench.money - entered <= WORTH * (1 + 2 * RULES.taker)
    desk.trade("exit", "sell", desk.held())
    left = free(desk)
    assert WORTH / 50 > desk.bench.money - left > 0, "all but what it cost"


def free(desk: Desk) -> Decimal:
    found = desk.look().free
    assert found is not None
    return found


def test_each_venue_tells_what_it_does_and_never_makes_up_the_rest(desk: Desk, case: Case) -> None:
    small = desk.traits.spot or not desk.bench.judges
    desk.trade("entry", "buy", AMOUNT if small else "36")  # a position that the money pays is never liquidated
    sight, tells = desk.look(), TELLS[case.name]
    assert (sight.margin is not None, sight.liquidation is not None) == (tells.margin, tells.liquidation)


@of("bybit linear")
@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_the_price_of_liquidation_is_on_the_losing_side_and_nearer_for_more(desk: Desk, side: Side, sign: int) -> None:
    distances = []
    for amount in ("30", "10"):
        desk.trade("entry", side, amount)
        desk.quiet()
        liquidation = desk.look().liquidation
        assert liquidation is not None
        distances.append((Decimal(PRICE) - liquidation) * sign)
    assert distances[0] > distances[1] > 0


@of("bitbank margin")
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_margin_ratio_is_equity_over_worth_and_falls_as_the_position_grows(desk: Desk, side: Side) -> None:
    for amount in ("10", "20", "30", "40"):
        desk.trade("entry", side, "10")
        margin = desk.look().margin
        expected = desk.bench.money / (Decimal(amount) * Decimal(PRICE))
        assert margin is not None and expected - Decimal("0.01") < margin < expected


@of("bitbank margin", "bybit linear")
def test_a_loss_lowers_what_is_free(desk: Desk) -> None:
    desk.trade("entry", "buy")
    before = free(desk)
    desk.bench.move(PRICE - 400)
    assert free(desk) < before


# --- requests -------------------------------------------------------------------------------------------------------


def test_every_request_is_counted_and_a_plain_no_is_no_failure(desk: Desk) -> None:
    desk.look()
    first = desk.exchange.calls()
    desk.outcomes(desk.order(amount="0.0005"))
    desk.look()
    calls = desk.exchange.calls()
    assert (calls.made, calls.failed) == (desk.bench.requests(), 0)
    assert calls.made > first.made > 0 if desk.bench.judges else calls == Calls()
    assert len(calls.took) == min(calls.made, 64)


def test_asking_how_many_requests_there_were_asks_nobody(desk: Desk) -> None:
    desk.look()
    before = desk.bench.requests()
    assert desk.exchange.calls() == desk.exchange.calls()
    desk.bench.open().calls()
    assert desk.bench.requests() == before


@at_venues
def test_a_venue_that_fails_is_counted_as_failing(desk: Desk) -> None:
    desk.look()
    before = desk.exchange.calls()
    desk.bench.cut()
    with pytest.raises(Unavailable):
        desk.look()
    after = desk.exchange.calls()
    assert after.made == desk.bench.requests()
    assert after.failed == after.made - before.made > 0
    desk.bench.mend()


# --- keys and clock -------------------------------------------------------------------------------------------------


def test_keys_that_work_and_what_they_may_do(desk: Desk, case: Case) -> None:
    vetted, tells = desk.exchange.vet(), TELLS[case.name]
    assert vetted.withdraw is tells.withdraw
    assert len(vetted.said) == (tells.withdraw is None) + tells.rough
    assert vetted.skew_s is not None and abs(vetted.skew_s) <= 0.5 * tells.rough
    assert tells.rough or vetted == Vetting(withdraw=False, skew_s=0.0)


@at_venues
def test_keys_that_do_not_work_are_told_in_the_venues_words(desk: Desk, case: Case) -> None:
    code = {"bitbank": "20001", "bybit": "10004"}[case.name.split()[0]]
    with pytest.raises(Unavailable, match=code):
        desk.bench.open(secret="ANOTHERSECRET").vet()


@at_venues
def test_a_venue_that_cannot_be_reached_vets_nothing(desk: Desk) -> None:
    desk.bench.cut()
    with pytest.raises(Unavailable):
        desk.exchange.vet()


@at_venues
@pytest.mark.parametrize("seconds", [3.0, -0.75])
def test_how_far_our_clock_is_ahead_is_measured(desk: Desk, case: Case, seconds: float) -> None:
    desk.bench.fast(seconds)
    skew = desk.exchange.vet().skew_s
    assert skew is not None and abs(skew + seconds) <= 0.5 * TELLS[case.name].rough


@at_venues
@pytest.mark.parametrize(("seconds", "said"), [(20.0, "behind"), (-20.0, "ahead of")])
def test_a_clock_that_is_off_by_more_than_the_venue_bears_is_said_to_be(desk: Desk, seconds: float, said: str) -> None:
    desk.bench.fast(seconds)
    with pytest.raises(Unavailable, match=rf"our clock is (20\.\d|19\.[5-9]) s {said} the venue's"):
        desk.exchange.vet()
