"""An exchange of ccxt's, set up so that what is sent is exactly what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from core.adapters.ccxt_exchange.venues import VENUES, Venue

TIMEOUT_MS: Final = 8_000


def venue(venue_id: str, symbol: str, sandbox: bool) -> Venue:
    """What is known of a venue. Raises ValueError for what cannot be traded there."""
    found = VENUES.get(venue_id)
    if found is None:
        raise ValueError(f"no orders can be placed at {venue_id!r} yet: it is known how at {', '.join(sorted(VENUES))}")
    if sandbox and not found.sandbox:
        raise ValueError(f"{venue_id} has no testnet and no demo account: leave `sandbox` off, or try it on paper")
    settle = symbol.partition(":")[2]
    if settle and (not found.contracts or settle != symbol.partition(":")[0].partition("/")[2]):
        raise ValueError(f"{venue_id} {symbol}: only spot and contracts that settle in their quote currency are traded")
    return found


def connect(
    venue_id: str, credentials: Mapping[str, str], symbol: str, sandbox: bool, urls: Mapping[str, Any], known: Venue
) -> Any:
    """Asks nobody yet."""
    import ccxt

    kind = "swap" if ":" in symbol else "spot"
    exchange = getattr(ccxt, venue_id)({**credentials, "timeout": TIMEOUT_MS, "number": str})
    exchange.options |= {**known.options, "defaultType": kind}
    _only(exchange, "linear" if venue_id == "bybit" and kind == "swap" else kind)
    exchange.has["fetchCurrencies"] = False  # a request less; orders need no currencies
    if sandbox:
        exchange.set_sandbox_mode(True)
    api = exchange.urls["api"]
    exchange.urls["api"] = {**api, **{name: str(url) for name, url in urls.items()}}
    return exchange


def _only(exchange: Any, kind: str) -> None:
    """Of a venue's lists of markets, only the one that is needed."""
    listed = exchange.options.get("fetchMarkets")
    if isinstance(listed, dict) and "types" in listed:
        exchange.options["fetchMarkets"] = {**listed, "types": [kind]}
