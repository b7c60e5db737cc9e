"""bitbank's payloads, field by field, as its documents and recorded answers show them: amounts and money are strings,
ids and times numbers (milliseconds), and what does not apply is left out."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any

from core.domain.orders import ZERO, Rules
from tests.venues.account import Account, Lot
from tests.venues.orders import VenueExecution, VenueOrder
from tests.venues.path import Candle

Json = dict[str, Any]
DAY = timedelta(days=1)
STATUSES = {
    "waiting": "INACTIVE",
    "open": "UNFILLED",
    "partly_filled": "PARTIALLY_FILLED",
    "filled": "FULLY_FILLED",
    "rejected": "REJECTED",
}
FLAGS = (
    "stop_order", "stop_order_and_cancel", "stop_market_order", "stop_stop_order", "stop_stop_limit_order",
    "stop_margin_long_order", "stop_margin_short_order", "stop_buy_order", "stop_sell_order",
)  # fmt: skip


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def text(value: Decimal, places: int = 0) -> str:
    """Plain digits, all of them, and at least `places` behind the point."""
    plain = format(value.normalize() if value else ZERO, "f")
    whole, _, fraction = plain.partition(".")
    fraction = fraction.ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole


def digits(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def order(order: VenueOrder, pair: str, rules: Rules) -> Json:
    places = digits(rules.lot)
    found: Json = {
        "order_id": order.id,
        "pair": pair,
        "side": order.side,
        "type": order.kind,
        "start_amount": text(order.amount, places),
        "remaining_amount": text(order.remaining, places),
        "executed_amount": text(order.executed, places),
        "user_cancelable": True,
        "average_price": text(order.average_price.quantize(rules.tick, ROUND_HALF_EVEN)),
        "ordered_at": milliseconds(order.at),
        "expire_at": milliseconds(order.at + 180 * DAY) if "limit" in order.kind else None,
        "status": _status(order),
    }
    if order.position_side:
        found["position_side"] = order.position_side
    if order.price is not None and "limit" in order.kind:
        found["price"] = text(order.price)
    if order.kind == "limit":
        found["post_only"] = False
    if order.trigger is not None:
        found["trigger_price"] = text(order.trigger)
    if order.triggered is not None:
        found["triggered_at"] = milliseconds(order.triggered)
    if order.cancelled is not None:
        found["canceled_at"] = milliseconds(order.cancelled)
    return found


def _status(order: VenueOrder) -> str:
    if order.status == "cancelled":
        return "CANCELED_PARTIALLY_FILLED" if order.executed else "CANCELED_UNFILLED"
    return STATUSES[order.status]


def trade(done: VenueExecution, pair: str, rules: Rules) -> Json:
    """Of a margin trade `fee_amount_quote` is what is collected with it (nothing when it opens, everything when it
    closes), `fee_occurred_amount_quote` its own fee, and `profit_loss` what is left after fees and interest."""
    found: Json = {
        "trade_id": done.id,
        "pair": pair,
        "order_id": done.order_id,
        "side": done.side,
        "type": done.kind,
        "amount": text(done.amount, digits(rules.lot)),
        "price": text(done.price),
        "maker_taker": "maker" if done.maker else "taker",
        "fee_amount_base": "0.00000000",
        "fee_amount_quote": text(done.charged, 4),
        "fee_occurred_amount_quote": text(done.fee, 4),
        "executed_at": milliseconds(done.at),
    }
    if done.position_side:
        closes = (done.position_side == "long") == (done.side == "sell")
        net = done.profit - done.charged - done.interest
        margin = {"profit_loss": text(net, 4), "interest": text(done.interest, 4)} if closes else {}
        found |= {"position_side": done.position_side, "profit_loss": "0", "interest": "0"} | margin
    return found


def pair_info(pair: str, rules: Rules, stops: set[str], now: datetime) -> Json:
    until = milliseconds(now + DAY)
    base, quote = pair.split("_")
    found: Json = {"name": pair, "base_asset": base, "quote_asset": quote}
    found |= {"maker_fee_rate_base": "0", "taker_fee_rate_base": "0"}
    for name in ("", "margin_open_", "margin_close_"):
        found |= {f"{name}maker_fee_rate_quote": text(rules.maker), f"{name}taker_fee_rate_quote": text(rules.taker)}
    for name in ("long", "short"):
        found[f"margin_{name}_interest"] = text(rules.interest_per_day)
    for name in ("current_individual", "current_company", "next_individual", "next_company"):
        found |= {f"margin_{name}_ratio": text(1 / rules.leverage), f"margin_{name}_until": until}
    found |= {
        "unit_amount": text(rules.minimum_amount),
        "limit_max_amount": "1000",
        "market_max_amount": "10",
        "market_allowance_rate": "0.2",
        "price_digits": digits(rules.tick),
        "amount_digits": digits(rules.lot),
        "is_enabled": True,
    }
    return found | {flag: flag in stops for flag in FLAGS}


def assets(pair: str, account: Account, locked: Decimal, locked_base: Decimal) -> list[Json]:
    base, quote = pair.split("_")
    plain = {"withdrawing_amount": "0", "stop_deposit": False, "stop_withdrawal": False}
    network = {"asset": base, "network": base.upper(), "stop_deposit": False, "stop_withdrawal": False}
    coin = _amounts(base, account.base, locked_base, 8) | plain | {"collateral_ratio": "0.5"}
    coin |= {"withdrawal_fee": {"min": "0.0006", "max": "0.0006"}}
    coin |= {"network_list": [network | {"withdrawal_fee": "0.0006"}]}
    money = _amounts(quote, account.cash, locked, 4) | plain | {"collateral_ratio": "1"}
    return [money | {"withdrawal_fee": {"under": "550", "over": "770", "threshold": "30000"}}, coin]


def _amounts(asset: str, amount: Decimal, locked: Decimal, places: int) -> Json:
    return {
        "asset": asset,
        "free_amount": text(amount - locked, places),
        "amount_precision": places,
        "onhand_amount": text(amount, places),
        "locked_amount": text(locked, places),
    }


def positions(pair: str, account: Account, now: datetime) -> Json:
    rows = [(side, lot) for side, lot in account.lots.items() if lot.amount]
    return {
        "notice": {"what": None, "occurred_at": None, "amount": None, "due_date_at": None},
        "payables": {"amount": "0"},
        "positions": [
            _position(pair, side, lot, lot.interest(account.rules.interest_per_day, now)) for side, lot in rows
        ],
        "losscut_threshold": {"individual": "25", "company": "25"},
    }


def _position(pair: str, side: str, lot: Lot, interest: Decimal) -> Json:
    return {
        "pair": pair,
        "position_side": side,
        "open_amount": text(lot.amount, digits(Decimal("0.0001"))),
        "product": text(lot.cost, 4),
        "average_price": text(lot.average_price),
        "unrealized_fee_amount": text(lot.fees, 4),
        "unrealized_interest_amount": text(interest, 4),
    }


def margin_status(
    pair: str, account: Account, price: Decimal, ordered: Decimal, available: Decimal, at: datetime
) -> Json:
    """`ordered`: quote currency of resting orders that would open a position; `available`: what positions may still be
    worth. The margin balance is with open profit and costs, as bitbank's margin trading rules reckon it."""
    profit = sum((lot.profit(price) for lot in account.lots.values()), ZERO)
    cost = sum((lot.fees for lot in account.lots.values()), ZERO) + account.interest(at)
    product = {side: lot.amount * price for side, lot in account.lots.items()}
    total, half = sum(product.values(), ZERO), 1 / account.rules.leverage
    balance = account.cash + profit - cost
    share = text((balance / total * 100).quantize(Decimal("0.01"), ROUND_DOWN)) if total else None
    return {
        "status": "NORMAL",
        "total_margin_balance_percentage": share,
        "total_margin_balance": text(balance, 4),
        "margin_position_profit_loss": text(profit, 4),
        "unrealized_cost": text(cost, 4),
        "total_margin_position_product": text(total + ordered, 4),
        "open_margin_position_product": text(total, 4),
        "open_margin_order_product": text(ordered, 4),
        "total_position_maintenance_margin": text(total * half, 4),
        "total_long_position_maintenance_margin": text(product.get("long", ZERO) * half, 4),
        "total_short_position_maintenance_margin": text(product.get("short", ZERO) * half, 4),
        "total_open_order_maintenance_margin": text(ordered * half, 4),
        "total_long_open_order_maintenance_margin": text(ordered * half, 4),
        "total_short_open_order_maintenance_margin": "0.0000",
        "margin_call_percentage": "50" if total else None,
        "losscut_percentage": "25" if total else None,
        "buy_credit": "0",
        "sell_credit": "0",
        "available_balances": [{"pair": pair, "long": text(available, 4), "short": text(available, 4)}],
    }


def candle(bar: Candle) -> list[str | int]:
    prices = [text(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    return [*prices, text(bar.volume, 4), milliseconds(bar.at)]


def circuit_break(mode: str, price: Decimal, now: datetime, rules: Rules) -> Json:
    calm = mode == "NONE"
    bounds = [None, None] if not calm else [text(rules.worse(price * share, "buy")) for share in _BOUNDS]
    itayose = [None, None] if calm else [text(rules.worse(price * share, "buy")) for share in _BOUNDS]
    return {
        "mode": mode,
        "estimated_itayose_price": None if calm else text(rules.worse(price, "buy")),
        "estimated_itayose_amount": None if calm else "0",
        "itayose_upper_price": itayose[0],
        "itayose_lower_price": itayose[1],
        "upper_trigger_price": bounds[0],
        "lower_trigger_price": bounds[1],
        "fee_type": "NORMAL",
        "reopen_timestamp": None if calm else milliseconds(now + timedelta(minutes=10)),
        "timestamp": milliseconds(now),
    }


_BOUNDS = (Decimal("1.1"), Decimal("0.9"))
