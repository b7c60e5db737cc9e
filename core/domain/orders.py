"""Orders: what a venue demands of one (Rules), what we want (Intent), what becomes of it (Order), and what the venue
says (Answer), shows (Sight) and did (Execution, which a book takes in as a Fill).

Money and amounts are exact Decimals from here on.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

Leg = Literal["exit", "entry", "stop"]
Side = Literal["buy", "sell"]
ZERO = Decimal(0)
MARKET: tuple[Leg, ...] = ("exit", "entry")  # the legs that execute at once; a stop rests

# planned: written down, surely not sent · sent: written down as about to be sent, so the venue may have it ·
# unknown: it was sent and not answered · never_placed: the venue has not got it and never will.
Status = Literal[
    "planned", "sent", "acknowledged", "refused", "unknown",
    "partly_filled", "filled", "cancelled", "expired", "never_placed",
]  # fmt: skip
ENDS: frozenset[Status] = frozenset(("refused", "filled", "cancelled", "expired", "never_placed"))
_FOUND: tuple[Status, ...] = ("acknowledged", "partly_filled", "filled", "cancelled", "expired")
MOVES: dict[Status, frozenset[Status]] = {
    "planned": frozenset(("sent", "never_placed")),
    "sent": frozenset((*_FOUND, "refused", "unknown", "never_placed")),
    "unknown": frozenset((*_FOUND, "refused", "sent", "never_placed")),  # sent again: only ever under the same id
    "acknowledged": frozenset(_FOUND[1:]),
    "partly_filled": frozenset(("filled", "cancelled", "expired")),
    **{end: frozenset() for end in ENDS},
}


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a venue demands and charges, as its `spot/pairs` (or markets) answer states it.

    lot and minimum_amount in base coin; tick and minimum_notional in quote currency; fees and interest as fractions.
    maintenance: equity over the worth of the position at which the venue closes it by force.
    """

    lot: Decimal = Decimal("0.0001")
    tick: Decimal = Decimal(1)
    minimum_amount: Decimal = Decimal("0.0001")
    minimum_notional: Decimal = ZERO
    taker: Decimal = Decimal("0.0012")
    maker: Decimal = Decimal("-0.0002")
    interest_per_day: Decimal = Decimal("0.0004")
    leverage: Decimal = Decimal(2)
    maintenance: Decimal = Decimal("0.25")

    def floor(self, amount: Decimal) -> Decimal:
        """The most whole lots that `amount` holds; 0 when that is under the venue's minimum amount."""
        lots = (amount / self.lot).to_integral_value(ROUND_DOWN) * self.lot
        return lots if lots >= self.minimum_amount else ZERO

    def dust(self, position: Decimal) -> bool:
        """Whether `position` is too small to be traded away: neither flat nor a position."""
        return bool(position) and not self.floor(abs(position))

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
    # Of the open position, so far; all of it is in cash already: fees and interest, profit of what was closed of it
    # (before fees), how much that was, and what it was closed for.
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    closed: Decimal = ZERO
    proceeds: Decimal = ZERO

    def equity(self, price: Decimal) -> Decimal:
        return self.cash + self.position * (price - self.average_price)


class Intent(Struct, frozen=True, kw_only=True):
    """An order written down before it is sent: entry and exit at the market, a stop at the market once `stop` trades.

    `stop`: of an entry, where its protective stop shall rest; of a stop, its trigger price. `side` and `amount` are of
    the trade itself; exits and stops only ever close. `attempt` tells the orders of one leg of one bar apart.
    """

    id: str
    book: str
    bar: datetime
    leg: Leg
    side: Side
    amount: Decimal
    stop: Decimal | None = None
    attempt: int = 0


class Before(Struct, frozen=True, kw_only=True):
    """What the venue showed before an order was sent: what came afterwards may be that order.

    `ids`: of every order that it listed or told executions of; `reserved`: see Sight.
    """

    ids: tuple[str, ...] = ()
    reserved: Decimal | None = None


NOTHING: Final = Before()


class Order(Struct, frozen=True, kw_only=True):
    """An intent, and what has become of it. `order_id`: the venue's own name for it, once known. `sent`: the real time
    when it was last about to be sent. `filled`: base coin, from executions. `looks`: how many looks have not told what
    became of it, though it should have been clear by then; `looked`: when the last of them was. `recalled`: when
    the venue was last asked to take it back."""

    intent: Intent
    status: Status = "planned"
    order_id: str = ""
    filled: Decimal = ZERO
    sent: datetime | None = None
    looks: int = 0
    looked: datetime | None = None
    recalled: datetime | None = None
    before: Before = NOTHING
    detail: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDS


class IllegalMove(ValueError):
    """An order cannot go from where it is to where it was told to go."""


def move(order: Order, status: Status, **changes: Any) -> Order:
    """`order` in `status`, with other fields changed. Staying where it is is no move. Raises IllegalMove."""
    if status != order.status and status not in MOVES[order.status]:
        raise IllegalMove(f"order {order.intent.id}: from {order.status} to {status}")
    return replace(order, status=status, **changes)


class Answer(Struct, frozen=True, kw_only=True):
    """What the venue said to one intent: placed (as `order_id`), refused (with a reason from the venue's closed list),
    or unknown: it may or may not have the order; never send it again blind."""

    intent: str
    outcome: Literal["placed", "refused", "unknown"]
    detail: str = ""
    order_id: str = ""


class Traits(Struct, frozen=True, kw_only=True):
    """What a venue can do, as far as the road depends on it.

    identity: how an order that was not answered is found again. "id": by the id that we gave it, of which the venue
    takes only one (`lasting_ids`: also once that order is over, so that even an entry may be sent again); "tag": by a
    text of ours that it keeps, and may take twice; "listing": it lists every order; "none": it lists open orders and
    executions only.
    window_s: a request older than this is not carried out, however late it arrives.
    looks: how many looks after that, without a trace of an order, prove that it never arrived.
    instant: a market order executes when it arrives; if not, at the next bar's open.
    stops: "attached": an entry brings its stop with it; "resting": as orders of their own; "none".
    spot: the position is a balance, part of which may have been there before. short: whether it may be below zero.
    notes: what the venue cannot do, a sentence each.
    """

    identity: Literal["id", "tag", "listing", "none"] = "id"
    lasting_ids: bool = False
    window_s: float = 0.0
    looks: int = 2
    instant: bool = True
    stops: Literal["attached", "resting", "none"] = "resting"
    spot: bool = False
    short: bool = True
    notes: tuple[str, ...] = ()


class Listed(Struct, frozen=True, kw_only=True):
    """An order as the venue lists it. `tag`: the id or text of ours that it kept; `executed`: base coin, None when the
    venue does not say; `stop`: the trigger price of a resting stop."""

    order_id: str
    side: Side
    amount: Decimal
    status: Literal["open", "filled", "cancelled", "expired", "refused"]
    tag: str = ""
    executed: Decimal | None = None
    stop: Decimal | None = None
    kind: Literal["market", "stop", "other"] = "market"


class Execution(Struct, frozen=True, kw_only=True):
    """One trade of ours as the venue tells it: amount in base coin; price, fee and interest in quote currency.

    `cause`: what it was, where the venue itself knows (a stop that came with its entry)."""

    id: str
    order_id: str
    at: datetime
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    interest: Decimal = ZERO
    cause: Leg | None = None


class Sight(Struct, frozen=True, kw_only=True):
    """What the venue shows of one market and our account in it.

    position: signed, base coin. orders: every open one, and each one that was asked about by its id, if it exists.
    executions: the newest, oldest first. reserved: quote currency held back for orders that would open a position; None
    when the venue does not say. rules: as they are today; None: those of the settings stand. barred: why the venue
    takes no new risk now ("": it does).
    free: quote currency of our own that nothing uses, so that a position worth `free` x leverage could be opened.
    margin: the account's equity over what its positions are worth at most against it (1.5 = 150 %), as the venue
    reckons it; liquidation: the price at which the venue would close the position by force. None: the venue does not
    say, or there is nothing to say it of.
    """

    position: Decimal
    orders: tuple[Listed, ...] = ()
    executions: tuple[Execution, ...] = ()
    reserved: Decimal | None = None
    rules: Rules | None = None
    barred: str = ""
    free: Decimal | None = None
    margin: Decimal | None = None
    liquidation: Decimal | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Of every order that is seen here, listed or executed."""
        found = (*(order.order_id for order in self.orders), *(done.order_id for done in self.executions))
        return tuple(dict.fromkeys(found))


class Fill(Struct, frozen=True, kw_only=True):
    """Something that was executed: amount in base coin, price, fee and interest in quote currency.

    `bar` is the bar in which it happened; `cause` is the leg that did it.
    """

    id: str
    bar: datetime
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    interest: Decimal = ZERO
    cause: Leg
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
