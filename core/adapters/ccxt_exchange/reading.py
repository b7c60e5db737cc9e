"""From ccxt's words to ours. Every number comes from text (ccxt is told to make no floats), so none is rounded.

Contracts are counted in base coin here. What cannot be understood raises Unavailable: it is never taken for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from core.adapters.ccxt_exchange.venues import Venue
from core.adapters.venue_line import item, name_of, number
from core.domain.orders import ZERO, Execution, Listed, Rules, Side
from core.ports import Unavailable

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STATES: Final = {
    "open": "open",
    "closed": "filled",
    "canceled": "cancelled",
    "expired": "expired",
    "rejected": "refused",
}
Row = Mapping[str, Any]


class Traded(Struct, frozen=True):
    """An execution, and the amount that was traded before a fee in base coin went off it."""

    done: Execution
    gross: Decimal
    tag: str = ""


class Market(Struct, frozen=True, kw_only=True):
    """What of ccxt's market is needed to read: `size` is one contract in base coin, 1 for spot; `barred`: why the venue
    takes no orders in it, "" if it does."""

    venue: Venue
    symbol: str
    base: str
    quote: str
    spot: bool
    size: Decimal = Decimal(1)
    barred: str = ""

    @property
    def where(self) -> str:
        return f"{self.venue.codes.name} {self.symbol}"


def market(venue: Venue, known: Row) -> Market:
    """From ccxt's entry of a market. Raises Unavailable."""
    symbol = name_of(known, "symbol", venue.codes.name)
    spot = item(known, "spot", bool, symbol)
    sized = not spot and known.get("contractSize") is not None
    return Market(
        venue=venue,
        symbol=symbol,
        base=name_of(known, "base", symbol),
        quote=name_of(known, "quote", symbol),
        spot=spot,
        size=number(known, "contractSize", symbol) if sized else Decimal(1),
        barred=_barred(venue, known),
    )


def _barred(venue: Venue, known: Row) -> str:
    info = known.get("info") or {}
    wrong = [f"{name} is {info[name]}" for name, good in venue.open.items() if info.get(name, good) != good]
    if known.get("active") is False:
        wrong.append("its list says that it is not open")
    return f"{venue.codes.name} takes no orders in this market: {', '.join(wrong)}" if wrong else ""


def closed(at: Market, board: Any) -> str:
    """Why a market whose `board` is this takes no orders (bitflyer), "" if it does. Raises Unavailable."""
    state, health = (name_of(board, name, at.where) for name in ("state", "health"))
    if state == "RUNNING" and health not in ("NO ORDER", "STOP"):
        return ""
    return f"{at.venue.codes.name} takes no orders in this market: its board is {state}, its health is {health}"


def rules(known: Row, size: Decimal, given: Rules) -> Rules:
    """`given` with the lot, tick and minimums that the venue states. What a venue charges depends on the account, which
    its list of markets does not know."""
    limits = known.get("limits") or {}
    lot, tick = _stated(known.get("precision"), "amount"), _stated(known.get("precision"), "price")
    least, money = _stated(limits.get("amount"), "min"), _stated(limits.get("cost"), "min")
    changes = {
        "lot": lot and lot * size,
        "tick": tick,
        "minimum_amount": least and least * size,
        "minimum_notional": money,
    }
    return replace(given, **{name: value for name, value in changes.items() if value})


def _stated(row: Row | None, name: str) -> Decimal | None:
    return number(row, name, "its list of markets") if row and row.get(name) is not None else None


def listed(at: Market, row: Row, told: Sequence[Traded] = ()) -> Listed:
    """An order of ccxt's; `told` are its executions as far as they are known. Raises Unavailable."""
    amount = number(row, "amount", at.where) * at.size
    executed = _executed(at, row, told)
    state = _state(at, row)
    if state == "filled" and executed is not None and executed < amount:
        state = "cancelled"  # ended, and less has come to the position than was asked for
    stop = next((row[name] for name in ("triggerPrice", "stopLossPrice") if row.get(name)), None)
    kind = "stop" if stop is not None else "market" if row.get("type") == "market" else "other"
    return Listed(
        order_id=name_of(row, "id", at.where),
        side=side(row, at.where),
        amount=amount,
        status=cast("Any", state),
        tag=tag(at.venue, row),
        executed=executed,
        stop=None if stop is None else Decimal(str(stop)),
        kind=cast("Any", kind),
    )


def _executed(at: Market, row: Row, told: Sequence[Traded]) -> Decimal | None:
    """As the executions tell it once they are complete; before that, the more that the order itself says."""
    stated = None if row.get("filled") is None else number(row, "filled", at.where) * at.size
    if told and (stated is None or sum((each.gross for each in told), ZERO) >= stated):
        return sum((each.done.amount for each in told), ZERO)
    return stated


def _state(at: Market, row: Row) -> str:
    raw = str((row.get("info") or {}).get(at.venue.state, "")) if at.venue.state else ""
    state = at.venue.states.get(raw) or STATES.get(str(row.get("status")))
    if state is None:
        raise Unavailable(f"{at.where}: order {row.get('id')} is in a state {row.get('status')!r} that nobody knows")
    return state


def side(row: Row, where: str) -> Side:
    found = row.get("side")
    if found not in ("buy", "sell"):
        raise Unavailable(f"{where}: its answer has no side of buy or sell")
    return cast("Side", found)


def tag(venue: Venue, row: Row) -> str:
    """The id of ours that an order or execution carries, "" for none."""
    info = row.get("info") or {}
    return next((str(info[name]) for name in venue.tags if info.get(name)), "")


def child(venue: Venue, row: Row) -> str:
    """The order that a triggered stop has become, "" for none."""
    return str((row.get("info") or {}).get(venue.children) or "") if venue.children else ""


def traded(at: Market, row: Row) -> Traded:
    """An execution of ccxt's. Raises Unavailable.

    A fee in base coin (spot) leaves less of it than was bought, or takes more than was sold: the amount is what the
    position really got, at the price paid. The coins that went are worth fee x price, and that is the fee: so the
    money that was spent or earned is exact as well.
    """
    gross, price = number(row, "amount", at.where) * at.size, number(row, "price", at.where)
    in_base, in_quote = _fees(at, row)
    bought = side(row, at.where) == "buy"
    done = Execution(
        id=name_of(row, "id", at.where),
        order_id=name_of(row, "order", at.where),
        at=EPOCH + timedelta(milliseconds=item(row, "timestamp", int, at.where)),
        side=side(row, at.where),
        amount=gross - in_base if bought else gross + in_base,
        price=price,
        fee=in_quote + in_base * price,
    )
    return Traded(done, gross, tag(at.venue, row))


def _fees(at: Market, row: Row) -> tuple[Decimal, Decimal]:
    """In base coin and in quote currency. A fee that is stated as empty was not charged."""
    if at.venue.commission:
        return number(row.get("info"), at.venue.commission, at.where), ZERO
    sums = {at.base: ZERO, at.quote: ZERO}
    for fee in row.get("fees") or [row.get("fee") or {}]:
        cost = ZERO if fee.get("cost") is None else number(fee, "cost", at.where)
        coin = str(fee.get("currency"))
        if cost and coin not in sums:
            raise Unavailable(
                f"{at.where}: execution {row.get('id')} was charged {cost} {coin}, which is neither {at.base} nor "
                f"{at.quote} and cannot be booked: switch the payment of fees in {coin} off at the venue"
            )
        if cost:
            sums[coin] += cost
    return sums[at.base], sums[at.quote]


def held(at: Market, rows: Any) -> Decimal:
    """The position in contracts, signed, in base coin. Raises Unavailable."""
    if not isinstance(rows, Sequence):
        raise Unavailable(f"{at.where}: its answer is no list of positions")
    return sum((_held(at, row) for row in rows), ZERO)


def _held(at: Market, row: Row) -> Decimal:
    if "contracts" not in row:  # bitflyer's own words: ccxt does not translate them
        amount = number(row, "size", at.where)
        return amount if item(row, "side", str, at.where) == "BUY" else -amount
    amount = abs(number(row, "contracts", at.where)) * at.size
    if amount and row.get("hedged"):
        raise Unavailable(f"{at.where}: the account is in hedge mode: switch it to one-way mode at the venue")
    if amount and row.get("side") not in ("long", "short"):
        raise Unavailable(f"{at.where}: its position has no side")
    return -amount if row.get("side") == "short" else amount


def balance(at: Market, funds: Any) -> Decimal:
    """How much of the base coin there is, free or not. A coin that a venue does not list is not held. Raises
    Unavailable."""
    found = inside(funds.get("info"), *at.venue.funds)
    if not isinstance(found, list):
        raise Unavailable(f"{at.where}: its answer has no list of balances")
    return number(funds[at.base], "total", at.where) if at.base in funds else ZERO


def inside(found: Any, *way: str | int) -> Any:
    """What is at the end of `way`, field by field and entry by entry; None when there is nothing."""
    for step in way:
        if isinstance(step, int):
            found = found[step] if isinstance(found, list) and len(found) > step else None
        else:
            found = found.get(step) if isinstance(found, Mapping) else None
    return found
