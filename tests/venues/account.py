"""The money and the positions of one account: spot (coins), margin (long and short apart, fees and interest paid when a
position closes, as bitbank does), linear (one net position, fees paid at once)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal, NamedTuple, Protocol

from core.domain.orders import ZERO, Rules, Side

Kind = Literal["margin", "spot", "linear"]
PositionSide = Literal["", "long", "short"]
CENT = Decimal("1e-8")
DAY = Decimal(86400)
SECOND = timedelta(seconds=1)


class Resting(Protocol):
    """What an account needs to know of an order that rests."""

    @property
    def side(self) -> Side: ...
    @property
    def remaining(self) -> Decimal: ...
    @property
    def price(self) -> Decimal | None: ...
    @property
    def trigger(self) -> Decimal | None: ...
    @property
    def position_side(self) -> PositionSide: ...
    @property
    def closing(self) -> bool: ...


class Booked(NamedTuple):
    fee: Decimal
    charged: Decimal
    interest: Decimal
    profit: Decimal


@dataclass
class Lot:
    """A position of one direction. `cost`: amount x average price; `fees`: of its entries, not yet paid; `accrued`:
    interest up to `since`, in quote currency x seconds."""

    sign: int
    amount: Decimal = ZERO
    cost: Decimal = ZERO
    fees: Decimal = ZERO
    accrued: Decimal = ZERO
    since: datetime | None = None

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.amount if self.amount else ZERO

    def profit(self, price: Decimal) -> Decimal:
        return (self.amount * price - self.cost) * self.sign

    def interest(self, per_day: Decimal, at: datetime) -> Decimal:
        """What is owed at `at`."""
        return ((self.accrued + self.cost * per_day * self._held(at)) / DAY).quantize(CENT, ROUND_CEILING)

    def accrue(self, per_day: Decimal, at: datetime) -> None:
        self.accrued += self.cost * per_day * self._held(at)
        self.since = at

    def take(self, amount: Decimal) -> Lot:
        """Splits off `amount` with its share of everything."""
        if amount == self.amount:
            part = Lot(self.sign, self.amount, self.cost, self.fees, self.accrued, self.since)
        else:
            share = amount / self.amount
            fees = (self.fees * share).quantize(CENT)
            part = Lot(self.sign, amount, self.average_price * amount, fees, self.accrued * share, self.since)
        self.amount -= part.amount
        self.cost -= part.cost
        self.fees -= part.fees
        self.accrued -= part.accrued
        return part

    def _held(self, at: datetime) -> Decimal:
        return Decimal((at - self.since) // timedelta(microseconds=1)) / 1_000_000 if self.since else ZERO


@dataclass
class Account:
    kind: Kind
    rules: Rules
    cash: Decimal
    base: Decimal = ZERO
    lots: dict[PositionSide, Lot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind == "margin":
            self.lots = {"long": Lot(1), "short": Lot(-1)}
        elif self.kind == "linear":
            self.lots = {"": Lot(1)}

    def copy(self) -> Account:
        return deepcopy(self)

    @property
    def position(self) -> Decimal:
        return self.base if self.kind == "spot" else sum((lot.sign * lot.amount for lot in self.lots.values()), ZERO)

    @property
    def average_price(self) -> Decimal:
        """Of the position; when it is both long and short, of the larger side."""
        lots = sorted(self.lots.values(), key=lambda lot: lot.amount)
        return lots[-1].average_price if lots else ZERO

    def interest(self, at: datetime) -> Decimal:
        return sum((lot.interest(self._per_day, at) for lot in self.lots.values()), ZERO)

    def equity(self, price: Decimal, at: datetime) -> Decimal:
        profit = sum((lot.profit(price) - lot.fees for lot in self.lots.values()), ZERO)
        return self.cash + self.base * price + profit - self.interest(at)

    def exposure(self, price: Decimal) -> Decimal:
        return sum((lot.amount for lot in self.lots.values()), ZERO) * price

    def reserved(self, resting: Sequence[Resting], now: Decimal) -> Decimal:
        """Quote currency: of a spot account what its buy orders hold back with their fee, else the size of every order
        that would open something."""
        held = ZERO
        for order in resting:
            size = order.remaining * (order.price or order.trigger or now)
            if self._coins(order.position_side):
                held += size * (1 + self.rules.taker) if order.side == "buy" else ZERO
            else:
                held += ZERO if order.closing else size
        return held

    def locked_base(self, resting: Sequence[Resting]) -> Decimal:
        mine = (o for o in resting if self._coins(o.position_side) and o.side == "sell")
        return sum((order.remaining for order in mine), ZERO)

    def available(self, now: Decimal, resting: Sequence[Resting]) -> Decimal:
        """Quote currency for which positions may still be opened."""
        profit = sum((lot.profit(now) - lot.fees for lot in self.lots.values()), ZERO)
        room = (self.cash + profit) * self.rules.leverage - self.exposure(now) - self.reserved(resting, now)
        return max(room, ZERO)

    def can_open(self, order: Resting, price: Decimal, now: Decimal, resting: Sequence[Resting]) -> bool:
        """Whether there is money, or are coins, for `order`, which is not among `resting` yet."""
        amount = order.remaining
        if self._coins(order.position_side):
            if order.side == "sell":
                return amount <= self.base - self.locked_base(resting)
            return amount * price * (1 + self.rules.taker) <= self.cash - self.reserved(resting, now)
        if self.kind == "linear" and self.position * (1 if order.side == "buy" else -1) < 0:
            amount = max(amount - abs(self.position), ZERO)
        return amount * price <= self.available(now, resting)

    def closes(self, side: Side, position_side: PositionSide) -> Decimal:
        """How much an order of this side can close."""
        lot = self.lots.get(position_side)
        if lot is None or lot.sign == (1 if side == "buy" else -1):
            return ZERO
        return lot.amount

    def book(
        self, side: Side, position_side: PositionSide, amount: Decimal, price: Decimal, maker: bool, at: datetime
    ) -> Booked:
        """Takes an execution in, and says what it cost and earned."""
        rate = self.rules.maker if maker else self.rules.taker
        fee = (amount * price * rate).quantize(CENT)
        sign = 1 if side == "buy" else -1
        if self._coins(position_side):
            self.base += sign * amount
            self.cash -= sign * amount * price + fee
            return Booked(fee, fee, ZERO, ZERO)
        lot = self.lots[position_side]
        lot.accrue(self._per_day, at)
        if lot.sign == sign or not (lot.amount or position_side):
            return self._opened(lot, sign, amount, price, fee)
        return self._closed(lot, sign, amount, price, fee, at)

    def _opened(self, lot: Lot, sign: int, amount: Decimal, price: Decimal, fee: Decimal) -> Booked:
        charged = ZERO if self.kind == "margin" else fee
        lot.sign, lot.amount, lot.cost = sign, lot.amount + amount, lot.cost + amount * price
        lot.fees += fee - charged
        self.cash -= charged
        return Booked(fee, charged, ZERO, ZERO)

    def _closed(self, lot: Lot, sign: int, amount: Decimal, price: Decimal, fee: Decimal, at: datetime) -> Booked:
        part = lot.take(min(amount, lot.amount))
        profit = part.profit(price)
        interest, charged = part.interest(self._per_day, at), part.fees + fee
        self.cash += profit - interest - charged
        if amount > part.amount:  # a net position turns round
            self._opened(lot, sign, amount - part.amount, price, ZERO)
        return Booked(fee, charged, interest, profit)

    def _coins(self, position_side: PositionSide) -> bool:
        return self.kind == "spot" or (self.kind == "margin" and not position_side)

    @property
    def _per_day(self) -> Decimal:
        return self.rules.interest_per_day if self.kind == "margin" else ZERO
