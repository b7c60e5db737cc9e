"""What bitbank's answers mean: rows of its JSON in, the domain's structs out. All raise Unavailable for a row that is
not as bitbank's documentation says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from core.adapters.venue_line import item, name_of, number, stated
from core.domain.bars import moment
from core.domain.orders import ZERO, Execution, Listed, Rules, Side
from core.ports import Unavailable

LEVERAGE: Final = Decimal(2)  # the law's limit in Japan

STATUSES: Final[dict[str, Literal["open", "filled", "cancelled", "refused"]]] = {
    "INACTIVE": "open",
    "UNFILLED": "open",
    "PARTIALLY_FILLED": "open",
    "FULLY_FILLED": "filled",
    "CANCELED_UNFILLED": "cancelled",
    "CANCELED_PARTIALLY_FILLED": "cancelled",
    "REJECTED": "refused",
}
SUSPENDED: Final = {
    "stop_order": "orders are suspended",
    "stop_order_and_cancel": "orders and cancelling are suspended",
    "stop_market_order": "market orders are suspended",
    "stop_stop_order": "stop orders are suspended, so a position could not be protected",
    "stop_buy_order": "buying is suspended",
    "stop_sell_order": "selling is suspended",
}
SUSPENDED_MARGIN: Final = {
    "stop_margin_long_order": "new long positions are suspended",
    "stop_margin_short_order": "new short positions are suspended",
}
MARGIN_STATUS: Final = {
    "CALL": "a margin call is open: pay in, or reduce by hand",
    "LOSSCUT": "bitbank is liquidating positions",
    "DEBT": "the account owes money: pay in",
    "SETTLED": "a debt was written off: ask bitbank",
}


class Account(NamedTuple):
    """Position in base coin, signed; quote currency held back for orders and free, None where another answer has it."""

    position: Decimal
    reserved: Decimal | None = None
    barred: str = ""
    free: Decimal | None = None


class Margin(NamedTuple):
    """The margin account: quote currency that the open orders of all pairs together hold back; why there can be no new
    position, or ""; see Sight and Rules for the rest."""

    reserved: Decimal | None
    barred: str = ""
    free: Decimal | None = None
    margin: Decimal | None = None
    maintenance: Decimal | None = None


def listed(row: Any, pair: str, where: str) -> Listed:
    """An order, open or asked for by its id."""
    check_pair(row, pair, where)
    kind, status = name_of(row, "type", where), STATUSES.get(name_of(row, "status", where))
    if status is None:
        raise Unavailable(f"{where}: a status that is not known, {row['status']!r}")
    # These two may close all that is held, without an amount. Hourhand sends none of them.
    all_of_it = kind in ("take_profit", "stop_loss") and row.get("start_amount") is None
    return Listed(
        order_id=_whole(row, "order_id", where),
        side=_side(row, where),
        amount=ZERO if all_of_it else number(row, "start_amount", where),
        status=status,
        executed=number(row, "executed_amount", where),
        stop=number(row, "trigger_price", where) if kind == "stop" else None,
        kind="market" if kind == "market" else "stop" if kind == "stop" else "other",
    )


def execution(row: Any, pair: str, where: str) -> Execution:
    """bitbank takes the fees of a margin position when it is closed (`fee_amount_quote`); they are told here when they
    arise (`fee_occurred_amount_quote`). Over a position both come to the same; on spot they are equal."""
    check_pair(row, pair, where)
    price, amount = number(row, "price", where), number(row, "amount", where)
    fee = number(row, "fee_occurred_amount_quote" if "fee_occurred_amount_quote" in row else "fee_amount_quote", where)
    in_coins = number(row, "fee_amount_base", where)  # 0 on every pair there is; see `suspensions`
    return Execution(
        id=_whole(row, "trade_id", where),
        order_id=_whole(row, "order_id", where),
        at=executed_at(row, where),
        side=_side(row, where),
        amount=amount,
        price=price,
        fee=fee + in_coins * price if in_coins else fee,
        # "string | undefined"
        interest=number(row, "interest", where) if row.get("interest") is not None else ZERO,
    )


def executed_at(row: Any, where: str) -> datetime:
    return moment(0) + timedelta(milliseconds=int(_whole(row, "executed_at", where)))


def positions(rows: list[Any], pair: str, where: str) -> Account:
    held = {"long": ZERO, "short": ZERO}
    for row in rows:
        if name_of(row, "pair", where) == pair:
            side = name_of(row, "position_side", where)
            if side not in held:
                raise Unavailable(f"{where}: neither long nor short but {side!r}")
            held[side] += number(row, "open_amount", where)
    both = "the account is both long and short here: close one of the two by hand" if all(held.values()) else ""
    return Account(held["long"] - held["short"], barred=both)


def assets(rows: list[Any], base: str, quote: str, where: str) -> Account:
    named = {name_of(row, "asset", where): row for row in rows}
    money = named.get(quote)
    return Account(
        number(named.get(base), "onhand_amount", f"{where}, {base}"),
        number(money, "locked_amount", f"{where}, {quote}"),
        free=stated(money, "free_amount", f"{where}, {quote}"),
    )


def margin_status(data: dict[str, Any], pair: str, leverage: Decimal, where: str) -> Margin:
    """The percentages are null without a position. bitbank tells no price of liquidation."""
    status = name_of(data, "status", where)
    barred = "" if status == "NORMAL" else MARGIN_STATUS.get(status, f"the margin account is in state {status}")
    reserved = number(data, "open_margin_order_product", where)
    percent = [stated(data, name, where) for name in ("total_margin_balance_percentage", "losscut_percentage")]
    margin, maintenance = (None if one is None else one / 100 for one in percent)
    return Margin(reserved, barred, _free(data, pair, reserved / leverage, where), margin, maintenance)


def _free(data: dict[str, Any], pair: str, ordered: Decimal, where: str) -> Decimal | None:
    """Of the margin balance, which holds open profit and costs and half the worth of coins, what neither positions
    (`total_position_maintenance_margin`) nor `ordered`, what open orders will need, uses.

    Never more than what is available to open positions in the pair, long or short: whether that is told before or after
    leverage, the documents do not say.
    """
    total, used = (stated(data, f"total_{name}", where) for name in ("margin_balance", "position_maintenance_margin"))
    rows = item(data, "available_balances", list, where)
    row = next((row for row in rows if isinstance(row, Mapping) and row.get("pair") == pair), None)
    most = [stated(row, side, where) for side in ("long", "short")]
    if total is None or used is None:
        return None
    return max(min([total - used - ordered, *(one for one in most if one is not None)]), ZERO)


def suspensions(row: dict[str, Any], mode: str, where: str, *, margin: bool) -> list[str]:
    """Why bitbank takes no new orders in this pair; `mode` is its circuit breaker's."""
    flags = SUSPENDED | (SUSPENDED_MARGIN if margin else {})
    found = [said for flag, said in flags.items() if item(row, flag, bool, where)]
    if not item(row, "is_enabled", bool, where):
        found.append("this pair is not traded")
    if number(row, "taker_fee_rate_base", where) or number(row, "maker_fee_rate_base", where):
        found.append("fees are taken in coins here, so that no position would come out even")
    if mode != "NONE":
        found.append(f"the circuit breaker is on ({mode}), so market orders are refused")
    return found


def halted(row: dict[str, Any], least: Decimal, where: str) -> list[str]:
    """Why new orders make no sense now, from the pair's row of the exchange's state; `least`: the usual minimum."""
    state, now = name_of(row, "status", where), number(row, "min_amount", where)
    found = ["the exchange has halted this pair"] if state == "HALT" else []
    if now > least:
        found.append(f"the exchange is {state} and takes no orders under {now}, which are usually {least}")
    return found


def rules(row: dict[str, Any], where: str, *, margin: bool) -> Rules:
    """Of the rates for opening and closing, and for long and short, the dearer."""
    least = number(row, "unit_amount", where)
    takers, maker, interests, leverage = ["taker_fee_rate_quote"], "maker_fee_rate_quote", [], Decimal(1)
    if margin:
        if row.get("margin_current_individual_ratio") is None:
            raise Unavailable(f"{where}: there is no margin trading in this pair; take another one, or trade spot")
        takers = ["margin_open_taker_fee_rate_quote", "margin_close_taker_fee_rate_quote"]
        maker, interests = "margin_open_maker_fee_rate_quote", ["margin_long_interest", "margin_short_interest"]
        leverage = _leverage(number(row, "margin_current_individual_ratio", where))
    return Rules(
        lot=max(least, _digits(row, "amount_digits", where)),
        tick=_digits(row, "price_digits", where),
        minimum_amount=least,
        taker=max(number(row, name, where) for name in takers),
        maker=number(row, maker, where),
        interest_per_day=max((number(row, name, where) for name in interests), default=ZERO),
        leverage=leverage,
    )


def _leverage(ratio: Decimal) -> Decimal:
    return min(LEVERAGE, 1 / ratio) if ratio > 0 else Decimal(1)


def placed(answer: Any, request: Mapping[str, str]) -> str:
    """The new order's id. An answer that is not about this very order leaves it unknown."""
    where = "bitbank, a new order"
    data = item(answer, "data", dict, where)
    for name in ("pair", "side", "type"):
        if name_of(data, name, where) != request[name]:
            raise Unavailable(f"{where}: {name} is {data[name]!r}, not {request[name]!r}")
    if number(data, "start_amount", where) != Decimal(request["amount"]):
        raise Unavailable(f"{where}: start_amount is {data['start_amount']!r}, not {request['amount']!r}")
    return _whole(data, "order_id", where)


def check_pair(row: Any, pair: str, where: str) -> None:
    if name_of(row, "pair", where) != pair:
        raise Unavailable(f"{where}: asked for {pair}, answered {row['pair']!r}")


def _side(row: Any, where: str) -> Side:
    side = name_of(row, "side", where)
    if side not in ("buy", "sell"):
        raise Unavailable(f"{where}: neither buy nor sell but {side!r}")
    return "buy" if side == "buy" else "sell"


def _whole(row: Any, name: str, where: str) -> str:
    """bitbank's ids and times are whole numbers."""
    found = name_of(row, name, where)
    if not (found.isascii() and found.isdecimal()):
        raise Unavailable(f"{where}: {name} is no whole number but {found!r}")
    return found


def _digits(row: Any, name: str, where: str) -> Decimal:
    return Decimal(1).scaleb(-item(row, name, int, where))
