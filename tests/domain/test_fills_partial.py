"""The fill model where the market gives little and takes more: partial fills, forced closes, and funding."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.bars import Bars, epoch, moment
from core.domain.fills import Account, Costs, accept, liquidation, through
from core.domain.orders import ZERO, Holding
from tests.domain.drawn import BAR, FLAT, HOUR, LONG, RULES, SHORT
from tests.domain.test_fills import (
    COSTS,
    DUST,
    ENTRY,
    FREE,
    NEXT,
    SHORT_ENTRY,
    account,
    after,
    every_fill,
    intent,
    seeds,
    shown,
    walked,
)

# --- what a bar gives -----------------------------------------------------------------------------------------------

TENTH = Costs(slippage_bps=ZERO, stop_slippage_bps=ZERO, volume_share=Decimal("0.1"))


def test_an_order_takes_its_share_of_the_bars_volume_in_whole_lots_and_the_rest_is_gone() -> None:
    """A tenth of 0.4567 is 0.04567: 0.045 in lots of 0.001. Fee 0.045 x 40,000 / 1000 = 1.8."""
    found = through(account(FLAT, ENTRY), NEXT, 40_000.0, 40_500.0, 39_500.0, RULES, TENTH, volume=0.4567)
    assert [(fill.amount, fill.fee) for fill in found.fills] == [(Decimal("0.045"), Decimal("1.8"))]
    assert (found.pending, found.holding.position, found.holding.stop) == ((), Decimal("0.045"), Decimal(39000))
    listed = shown(found, ENTRY)[ENTRY.id]
    assert (listed.status, listed.executed) == ("cancelled", Decimal("0.045"))
    assert through(found, NEXT + HOUR, 40_000.0, 40_500.0, 39_500.0, RULES, TENTH, volume=99.0).fills == found.fills


@pytest.mark.parametrize("volume", [0.0, 0.0099, math.nan, math.inf, -1.0])
@pytest.mark.parametrize("holding", [FLAT, LONG, SHORT])
def test_a_bar_of_no_volume_or_of_an_unknown_one_fills_nothing(volume: float, holding: Holding) -> None:
    """A tenth of 0.0099 is less than a lot. The orders are gone all the same."""
    orders = intent("exit", "sell", "0.1"), intent("exit", "buy", "0.1"), ENTRY
    found = through(account(holding, *orders), NEXT, 40_000.0, 43_000.0, 37_000.0, RULES, TENTH, volume=volume)
    assert (found.fills, found.pending, found.holding) == ((), (), holding)


@pytest.mark.parametrize("volume", [None, 0.0, math.nan])
def test_where_no_share_is_set_or_no_volume_told_an_order_is_filled_whole(volume: float | None) -> None:
    costs = TENTH if volume is None else FREE
    found = through(account(FLAT, ENTRY), NEXT, 40_000.0, 40_500.0, 39_500.0, RULES, costs, volume)
    assert found.holding.position == Decimal("0.1")


def test_all_that_is_done_in_one_bar_shares_what_it_gives() -> None:
    """A tenth of 2.5 is 0.25: the exit takes 0.1, the entry the 0.15 that are left, and its stop waits."""
    legs = intent("entry", "sell", "0.2", "41000"), intent("exit", "sell", "0.1")
    found = through(account(LONG, *legs), NEXT, 40_000.0, 41_500.0, 39_500.0, RULES, TENTH, volume=2.5)
    assert [(fill.cause, fill.amount) for fill in found.fills] == [("exit", Decimal("0.1")), ("entry", Decimal("0.15"))]
    assert (found.holding.position, found.holding.stop) == (Decimal("-0.15"), Decimal(41000))


@pytest.mark.parametrize(("leaves", "volume"), [("0.1", 0.4), ("0.04", None)])
def test_an_entry_does_not_cross_what_its_exit_left(leaves: str, volume: float | None) -> None:
    """Of 0.1 0.04 is closed, for want of volume or by a smaller order. To sell 0.2 more would close the rest under
    another name."""
    legs = intent("exit", "sell", leaves), intent("entry", "sell", "0.2", "41000")
    found = through(account(LONG, *legs), NEXT, 40_000.0, 40_500.0, 39_500.0, RULES, TENTH, volume)
    assert [(fill.cause, fill.amount) for fill in found.fills] == [("exit", Decimal("0.04"))]
    assert (found.holding.position, found.holding.stop) == (Decimal("0.06"), LONG.stop)
    assert shown(found, legs[1])[legs[1].id].status == "cancelled"


def test_what_a_stop_does_not_get_rid_of_it_protects_on() -> None:
    """0.1 held, stop 38,000. Bar by bar: 0.04 at the stop; the low stays above it; the rest at the open beyond it."""
    found = account(LONG)
    bars = [
        (38_500.0, 39_000.0, 37_500.0, 0.4),
        (38_500.0, 39_000.0, 38_100.0, 9.0),
        (37_000.0, 37_100.0, 36_000.0, 9.0),
    ]
    for hour, (opened, high, low, volume) in enumerate(bars, 1):
        found = through(found, BAR + hour * HOUR, opened, high, low, RULES, TENTH, volume)
    assert [(fill.cause, fill.amount, fill.price) for fill in found.fills] == [
        ("stop", Decimal("0.04"), Decimal(38000)),
        ("stop", Decimal("0.06"), Decimal(37000)),
    ]
    assert len({fill.id for fill in found.fills}) == 2
    assert found.holding.position == 0


def test_no_dust_is_left_that_no_order_could_close() -> None:
    """At least 0.01 may be traded. A tenth of 0.95 is 0.095, which would leave 0.005 of 0.1: 0.09 it is."""
    rules = replace(RULES, minimum_amount=Decimal("0.01"))
    leave = intent("exit", "sell", "0.1")
    found = through(account(LONG, leave), NEXT, 40_000.0, 40_500.0, 39_500.0, rules, TENTH, volume=0.95)
    assert found.holding.position == Decimal("0.01")


# --- what the equity carries ----------------------------------------------------------------------------------------


def test_the_venue_refuses_what_the_equity_does_not_carry_at_the_open() -> None:
    """Without margin 10,000 buy 0.25 at 39,900 and the fee, but not at 40,000: 10,000 and a fee of 10."""
    spot = replace(RULES, leverage=Decimal(1))
    order = intent("entry", "buy", "0.25", "39000")
    bought = through(account(FLAT, order), NEXT, 39_900.0, 40_500.0, 39_500.0, spot, FREE)
    refused = through(account(FLAT, order), NEXT, 40_000.0, 40_500.0, 39_500.0, spot, FREE)
    assert bought.holding.position == Decimal("0.25")
    assert (refused.fills, refused.pending) == ((), ())
    assert shown(refused, order)[order.id].status == "cancelled"


# --- closed by force ------------------------------------------------------------------------------------------------

DEEP = Holding(cash=Decimal(10000), position=Decimal("0.5"), average_price=Decimal(40000), opened=BAR)


def test_the_price_of_a_forced_close_is_where_equity_meets_the_maintenance() -> None:
    """Long 0.5 at 40,000 with 10,000: at 26,666.67 the equity is 3,333.33, a quarter of 13,333.33. Short: at 48,000 it
    is 6,000, a quarter of 24,000."""
    long, short = liquidation(DEEP, RULES), liquidation(replace(DEEP, position=Decimal("-0.5")), RULES)
    assert long is not None and short is not None
    assert abs(long - Decimal("26666.6667")) < Decimal("0.0001")
    assert short == 48000
    assert liquidation(replace(DEEP, position=Decimal("0.25")), RULES) is None, "it is paid in full"
    assert liquidation(FLAT, RULES) is None


@pytest.mark.parametrize("volume", [None, 0.0])
def test_a_position_without_a_stop_is_closed_by_force_at_the_worst_price(volume: float | None) -> None:
    """Whatever the volume. 25,000 x 0.9995 = 24,987.5: the loss is 0.5 x 15,012.5 = 7,506.25; fee 12.49375; interest
    0.5 x 40,000 x 0.0004 / 24 = 0.33333334."""
    costs = replace(COSTS, volume_share=Decimal("0.1"))
    found = through(account(DEEP), NEXT, 30_000.0, 30_500.0, 25_000.0, RULES, costs, volume)
    (fill,) = found.fills
    assert (fill.cause, fill.price, fill.amount) == ("stop", Decimal("24987.5"), Decimal("0.5"))
    assert fill.id.startswith("forced")
    assert found.holding == Holding(
        cash=Decimal(10000) - Decimal("7506.25") - Decimal("12.49375") - Decimal("0.33333334")
    )


def test_a_stop_that_is_nearer_goes_first_and_the_rest_may_still_be_closed_by_force() -> None:
    """The stop gets rid of 0.1 of 0.5; of 0.4 the venue makes short work further down."""
    held = replace(DEEP, stop=Decimal(39000))
    whole = through(account(held), NEXT, 39_500.0, 39_600.0, 20_000.0, RULES, FREE)
    part = through(account(held), NEXT, 39_500.0, 39_600.0, 20_000.0, RULES, TENTH, volume=1.0)
    assert [(fill.amount, fill.price) for fill in whole.fills] == [(Decimal("0.5"), 39_000)]
    assert [(fill.amount, fill.price) for fill in part.fills] == [(Decimal("0.1"), 39_000), (Decimal("0.4"), 20_000)]


def test_a_stop_beyond_the_venues_own_is_none() -> None:
    held = replace(DEEP, position=Decimal("-0.5"), stop=Decimal(50000))
    (fill,) = through(account(held), NEXT, 47_000.0, 52_000.0, 46_000.0, RULES, FREE).fills
    assert (fill.id[:6], fill.side, fill.price) == ("forced", "buy", 52_000)


def test_who_has_lost_it_all_opens_nothing() -> None:
    broke = Holding(cash=Decimal(-5))
    assert after(account(broke, ENTRY), 40_000.0, 40_500.0, 39_500.0).fills == ()
    short = replace(DEEP, cash=Decimal(-30000), position=Decimal("-0.5"))
    assert len(after(account(short), 40_000.0, 40_500.0, 39_500.0).fills) == 1, "and is closed at any price"


# --- funding of perpetuals ------------------------------------------------------------------------------------------

FUNDED = replace(FREE, funding_bps=Decimal(1))
EIGHT = BAR.replace(hour=8)


def test_funding_is_owed_for_what_was_held_at_the_hour_and_charged_with_the_close() -> None:
    """0.1 at 40,000 is worth 4,000: 0.4 at 16:00, before the exit at that same open; interest since 07:00 is 0.585."""
    found = through(account(LONG), BAR + HOUR, 40_000.0, 40_500.0, 39_500.0, RULES, FUNDED)
    assert found.funding == 0, "13:00 is no hour of funding"
    found = accept(found, intent("exit", "sell", "0.1"))
    found = through(found, BAR.replace(hour=16), 40_000.0, 40_500.0, 39_500.0, RULES, FUNDED)
    (fill,) = found.fills
    assert fill.interest == Decimal("0.1") * 39000 * Decimal("0.0004") * 9 / 24 + Decimal("0.4")
    assert (found.funding, found.holding.position) == (0, 0)


def test_a_position_that_is_opened_at_the_hour_owes_none_and_a_short_is_paid() -> None:
    entered = replace(SHORT_ENTRY, bar=EIGHT - HOUR)
    found = through(
        accept(Account(holding=FLAT, bar=EIGHT - HOUR), entered), EIGHT, 40_000.0, 40_500.0, 39_500.0, RULES, FUNDED
    )
    assert (found.holding.position, found.funding) == (Decimal("-0.1"), 0)
    held = through(found, EIGHT + 8 * HOUR, 40_000.0, 40_500.0, 39_500.0, RULES, FUNDED)
    assert held.funding == Decimal("-0.4")


def test_a_long_bar_or_a_hole_owes_for_every_hour_of_funding_in_it() -> None:
    day = through(replace(account(LONG), bar=EIGHT), EIGHT + 24 * HOUR, 40_000.0, 40_500.0, 39_500.0, RULES, FUNDED)
    assert day.funding == Decimal("1.2")
    unprinted = through(replace(account(LONG), bar=EIGHT), EIGHT + 8 * HOUR, 0.0, 0.0, 0.0, RULES, FUNDED)
    assert unprinted.funding == Decimal("0.39"), "at the price of its entry"


def test_a_rate_that_is_known_counts_in_place_of_the_usual_one() -> None:
    def owed(rate: float | None) -> Decimal:
        bar = BAR.replace(hour=16)
        return through(account(LONG), bar, 40_000.0, 40_500.0, 39_500.0, RULES, FUNDED, funding=rate).funding

    assert [owed(rate) for rate in (None, math.nan, 0.0, 0.0005, -0.0005)] == [
        Decimal("0.4"), Decimal("0.4"), 0, Decimal(2), Decimal(-2),
    ]  # fmt: skip


def test_what_is_closed_in_part_is_charged_its_share() -> None:
    """A third of 1 is charged as 0.33333334; the other two thirds stay owed to the last digit."""
    held = replace(
        account(replace(LONG, position=Decimal("0.3"), opened=NEXT), intent("exit", "sell", "0.1")), funding=Decimal(1)
    )
    found = after(held, 40_000.0, 40_500.0, 39_500.0)
    assert found.fills[0].interest == Decimal("0.33333334")
    assert found.funding == Decimal("0.66666666")


# --- money, volume and funding over many bars -----------------------------------------------------------------------


@given(seeds, st.sampled_from(["0.05", "0.3", "1"]), st.sampled_from(["-7", "0", "3"]))
@settings(max_examples=25)
def test_no_money_is_made_or_lost_on_the_way_whatever_is_filled_in_part(seed: int, share: str, bps: str) -> None:
    """Start + what was made - fees - interest - funding is the cash, and what is owed is told until it is charged."""
    costs = replace(COSTS, volume_share=Decimal(share), funding_bps=Decimal(bps))
    bars, states = walked(seed, costs)
    free = walked(seed, replace(costs, funding_bps=ZERO))[1]
    charged = sum((fill.interest for fill in every_fill(states).values()), ZERO)
    without = sum((fill.interest for fill in every_fill(free).values()), ZERO)
    assert charged + states[-1].funding - without == owed_by_hand(bars, states, costs)
    fills = list(every_fill(states).values())
    money = FLAT.cash - sum((fill.signed * fill.price + fill.fee + fill.interest for fill in fills), ZERO)
    held = states[-1].holding
    assert abs(held.cash - (money + held.position * held.average_price)) < DUST


def owed_by_hand(bars: Bars, states: list[Account], costs: Costs) -> Decimal:
    """Funding of each hour of it, from what was held at the end of the bar before."""
    hours = [i for i in range(1, len(bars)) if moment(bars.time[i]).hour % 8 == 0]
    worth = [states[i - 1].holding.position * Decimal(str(bars.open[i])) for i in hours]
    owed = (amount * costs.funding_bps / 10_000 for amount in worth)
    return sum((amount.quantize(Decimal("1e-8"), ROUND_CEILING) for amount in owed), ZERO)


@given(seeds, st.sampled_from(["0.05", "0.3"]))
@settings(max_examples=25)
def test_no_bar_gives_more_than_its_share_but_to_the_venue_itself(seed: int, share: str) -> None:
    bars, states = walked(seed, replace(COSTS, volume_share=Decimal(share)))
    taken: dict[int, Decimal] = {}
    for fill in every_fill(states).values():
        assert fill.amount % RULES.lot == 0
        if not fill.id.startswith("forced"):
            taken[epoch(fill.bar)] = taken.get(epoch(fill.bar), ZERO) + fill.amount
    volumes = dict(zip(bars.time.tolist(), bars.volume.tolist(), strict=True))
    assert all(amount <= Decimal(share) * Decimal(str(volumes[bar])) for bar, amount in taken.items())
