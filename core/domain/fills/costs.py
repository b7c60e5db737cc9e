"""Costs: what the market takes beside the venue's fees, and how much a bar gives."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Final

from msgspec import Struct

from core.domain.bars import epoch
from core.domain.orders import ZERO, Holding, exact

BPS: Final = Decimal(10_000)
CENT: Final = Decimal("1e-8")  # interest and funding are charged in whole ones of these: sums of money stay exact
FUNDING_S: Final = 8 * 3600  # a perpetual's funding is settled at 00:00, 08:00 and 16:00 UTC


class Costs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the market takes beside the venue's fees. Slippage in basis points of the price: of market orders, and of
    stops. `volume_share`: of a bar's volume, the most that a book's orders may take together; 0: all that they want.
    `funding_bps`: of the position's worth, paid by longs to shorts (negative: the other way) every eight hours."""

    slippage_bps: Decimal = Decimal(2)
    stop_slippage_bps: Decimal = Decimal(5)
    volume_share: Decimal = ZERO
    funding_bps: Decimal = ZERO


def owing(
    holding: Holding, since: datetime | None, bar: datetime, price: Decimal | None, costs: Costs, rate: float | None
) -> Decimal:
    """What the position that was held into `bar` owes since the bar before; rounded against us."""
    if rate is not None and math.isfinite(rate):
        share = exact(rate)
    elif costs.funding_bps:
        before = since or holding.opened or bar
        share = costs.funding_bps / BPS * (epoch(bar) // FUNDING_S - epoch(before) // FUNDING_S)
    else:
        return ZERO
    worth = holding.position * (holding.average_price if price is None else price)
    return (worth * share).quantize(CENT, ROUND_CEILING) if share else ZERO


def room(volume: float | None, costs: Costs) -> Decimal | None:
    """Base coin that a bar of this volume gives; None: no limit. A volume that is not known gives nothing."""
    if volume is None or not costs.volume_share:
        return None
    return costs.volume_share * exact(volume) if 0.0 < volume < math.inf else ZERO
