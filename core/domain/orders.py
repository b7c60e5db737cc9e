"""Orders: what a venue demands of one (Rules), what we want (Intent), what the venue said (Answer) and did (Fill).

Money and amounts are exact Decimals from here on.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Literal

from msgspec import Struct

Leg = Literal["exit", "entry"]
Side = Literal["buy", "sell"]
ZERO = Decimal(0)


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a venue demands and charges, as its `spot/pairs` (or markets) answer states it.

    lot and minimum_amount in base coin; tick and minimum_notional in quote currency; fees and interest as fractions.
    """

    lot: Decimal = Decimal("0.0001")
    tick: Decimal = Decimal(1)
    minimum_amount: Decimal = Decimal("0.0001")
    minimum_notional: Decimal = ZERO
    taker: Decimal = Decimal("0.0012")
    maker: Decimal = Decimal("-0.0002")
    interest_per_day: Decimal = Decimal("0.0004")
    leverage: Decimal = Decimal(2)

    def floor(self, amount: Decimal) -> Decimal:
        """The most whole lots that `amount` holds; 0 when that is under the venue's minimum amount."""
        lots = (amount / self.lot).to_integral_value(ROUND_DOWN) * self.lot
        return lots if lots >= self.minimum_amount else ZERO

    def worse(self, price: Decimal, side: Side) -> Decimal:
        """`price` on the tick grid, rounded against whoever trades on `side`."""
        rounding = ROUND_CEILING if side == "buy" else ROUND_FLOOR
        return (price / self.tick).to_integral_value(rounding) * self.tick


class Holding(Struct, frozen=True, kw_only=True):
    """What one book holds. Margin-style accounts: `cash` is the settled equity in quote currency, `position` is signed
    (base coin), and open profit is position x (price - average_price)."""

    cash: Decimal
    position: Decimal = ZERO
    average_price: Decimal = ZERO
    stop: Decimal | None = None
    opened: datetime | None = None
    fees: Decimal = ZERO  # paid so far for the open position; already taken from cash

    def equity(self, price: Decimal) -> Decimal:
        return self.cash + self.position * (price - self.average_price)


class Intent(Struct, frozen=True, kw_only=True):
    """An order written down before it is sent. `stop`: where the protective stop of this entry shall rest."""

    id: str
    book: str
    bar: datetime
    leg: Leg
    side: Side
    amount: Decimal
    stop: Decimal | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """What the venue said to one intent. `unknown`: it may or may not have the order; never send it again blind."""

    intent: str
    outcome: Literal["placed", "refused", "unknown"]
    detail: str = ""


class Fill(Struct, frozen=True, kw_only=True):
    """Something that was executed: amount in base coin, price, fee and interest in quote currency.

    `bar` is the bar in which it happened; `cause` is the leg that did it, or the protective stop.
    """

    id: str
    bar: datetime
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    interest: Decimal = ZERO
    cause: Literal["entry", "exit", "stop"]
    stop: Decimal | None = None  # of an entry: where its protective stop rests

    @property
    def signed(self) -> Decimal:
        return self.amount if self.side == "buy" else -self.amount


def exact(price: float) -> Decimal:
    """The decimal that a venue printed, from the float that holds it: the shortest that reads back as the same."""
    return Decimal(repr(float(price)))


def intent_id(book: str, bar: datetime, leg: Leg, attempt: int = 0) -> str:
    """A pure function of what the order is for, so that a retry can only ever name the same order.

    30 characters, letters and digits only: inside every venue's limit for client order ids (okx: 32).
    """
    name = f"{book}|{bar.isoformat()}|{leg}|{attempt}"
    return "hh" + hashlib.sha256(name.encode()).hexdigest()[:28]
