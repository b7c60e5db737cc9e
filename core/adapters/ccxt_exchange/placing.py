"""An intent in the words of ccxt and of a venue."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from core.adapters.ccxt_exchange.reading import Market
from core.domain.orders import Intent

SLIP: Final = Decimal("0.01")


class Request(NamedTuple):
    """What ccxt's create_order takes, after the symbol. `amount` and `price` are text, so that nothing is rounded; a
    number where a venue takes no text."""

    type: str
    side: str
    amount: str | float
    price: str | None
    params: dict[str, Any]


def request(
    ccxt: Any, at: Market, intent: Intent, margin: Literal["cross", "isolated"], offer: Callable[[], Decimal]
) -> Request:
    """Raises ValueError for what cannot be sent; what `offer` raises when the best offer is needed."""
    venue = at.venue
    if venue.id_limit and len(intent.id) > venue.id_limit:
        raise ValueError(f"the id {intent.id} is longer than the {venue.id_limit} characters that it takes")
    amount, params = _amount(ccxt, at, intent), _params(ccxt, at, intent, margin)
    if not (at.spot and venue.buy and intent.side == "buy") or intent.leg == "stop":
        return Request("market", intent.side, amount, None, params)
    price = ccxt.price_to_precision(at.symbol, format(offer() * (1 + SLIP), "f"))
    now = {"timeInForce": "IOC"} if venue.buy == "limit" else {}
    return Request(venue.buy, intent.side, amount, price, {**params, **now})


def _params(ccxt: Any, at: Market, intent: Intent, margin: str) -> dict[str, Any]:
    venue = at.venue
    params = dict(venue.params)
    if venue.id_limit:
        params["clientOrderId"] = intent.id
    if not at.spot and venue.margins:
        params["marginMode"] = margin
    if not at.spot and venue.closes_only and intent.leg != "entry":
        params["reduceOnly"] = True
    return params | _trigger(ccxt, at, intent) if intent.leg == "stop" else params


def _trigger(ccxt: Any, at: Market, intent: Intent) -> dict[str, Any]:
    if not at.venue.stops:
        raise ValueError("this venue has no stop orders that ccxt could place")
    if intent.stop is None:
        raise ValueError("a stop needs the price that triggers it")
    if at.spot and at.venue.buy and intent.side == "buy":
        raise ValueError("a stop that buys is counted in quote currency here")
    ours = {at.venue.stop_id: intent.id} if at.venue.stop_id else {}
    price = _exact(ccxt, at, "price", intent.stop)
    return {"triggerPrice" if at.spot else at.venue.stops: price, **ours, **at.venue.stop_params}


def _amount(ccxt: Any, at: Market, intent: Intent) -> str | float:
    """In contracts, or in base coin for spot."""
    text = _exact(ccxt, at, "amount", intent.amount / at.size)
    if not at.venue.numbers:
        return text
    number = float(text)  # it is written with the shortest digits that read back as the same
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError(f"the amount {text} has more digits than a number can carry")
    return number


def _exact(ccxt: Any, at: Market, what: Literal["amount", "price"], value: Decimal) -> str:
    """`value` as it is sent: ccxt would round it. Raises ValueError when it lies off the venue's grid."""
    step = ccxt.market(at.symbol)["precision"][what]
    if step is not None and value % Decimal(step):
        raise ValueError(f"the {what} {value} is not a whole number of steps of {step}")
    return f"{value.normalize():f}"
