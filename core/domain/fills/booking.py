"""Booking: what a fill makes of a holding, and where the venue would close it by force."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from core.domain.orders import ZERO, Fill, Holding, Rules


def apply(holding: Holding, fill: Fill) -> tuple[Holding, Decimal]:
    """The holding after `fill`, and the profit that it realised before fees and interest (0 for an entry)."""
    charged = fill.fee + fill.interest
    before, after = holding.position, holding.position + fill.signed
    if before * fill.signed >= 0:
        price = (abs(before) * holding.average_price + fill.amount * fill.price) / abs(after)
        return replace(
            holding,
            cash=holding.cash - charged,
            position=after,
            average_price=price,
            stop=fill.stop if fill.stop is not None else holding.stop,
            opened=holding.opened or fill.bar,
            fees=holding.fees + charged,
        ), ZERO
    closed = min(abs(before), fill.amount)
    profit = closed * (fill.price - holding.average_price) * (1 if before > 0 else -1)
    cash = holding.cash + profit - charged
    if not after:
        return Holding(cash=cash), profit
    if before * after > 0:
        return replace(
            holding,
            cash=cash,
            position=after,
            fees=holding.fees + charged,
            realised=holding.realised + profit,
            closed=holding.closed + closed,
            proceeds=holding.proceeds + closed * fill.price,
        ), profit
    return Holding(cash=cash, position=after, average_price=fill.price, stop=fill.stop, opened=fill.bar), profit


def liquidation(holding: Holding, rules: Rules, owed: Decimal = ZERO) -> Decimal | None:
    """The price at which the venue closes the position by force: equity less `owed` is `maintenance` times its worth.
    None: there is no such price, without a position or for a long one that is paid in full."""
    position = holding.position
    if not position:
        return None
    missing = position * holding.average_price - holding.cash + owed
    price = missing / (position - abs(position) * rules.maintenance)
    return None if position > 0 and price <= 0 else price
