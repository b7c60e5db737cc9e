"""What is free of our money, and where a position would be closed by force, in each venue's own words.

None wherever a venue does not say it: nothing is taken for nothing, and ccxt's own estimates are left alone. No venue
here says what the account is worth over its positions, so there is no Sight.margin of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.adapters.ccxt_exchange.reading import Market, Row, inside
from core.adapters.venue_line import number, stated
from core.domain.orders import ZERO


def free(at: Market, funds: Any) -> Decimal | None:
    """Quote currency that nothing uses, from ccxt's balances; of contracts at bitflyer, from its margin status."""
    name = at.venue.codes.name
    if name == "bybit":
        return _bybit(at, funds)
    if at.spot:
        return _coins(at, funds)
    return {"okx": _okx, "bitget": _bitget, "bitflyer": _bitflyer}[name](at, funds)


def _coins(at: Market, funds: Any) -> Decimal | None:
    return stated(funds[at.quote], "free", at.where) if at.quote in funds else ZERO


def _bybit(at: Market, funds: Any) -> Decimal | None:
    """Of the quote coin what neither orders nor positions use, and no more than the whole account has available.

    wallet-balance: `locked` by spot orders, `totalPositionIM` and `totalOrderIM` by contracts; `equity` is the coin's
    balance and open profit. `totalAvailableBalance` (in USD) is not told in isolated margin mode.
    """
    account = inside(funds.get("info"), "result", "list", 0)
    coins = inside(account, "coin")
    row = _row(coins if isinstance(coins, list) else [], "coin", at.quote)
    if row is None:
        return ZERO
    used = [stated(row, name, at.where) for name in ("locked", "totalPositionIM", "totalOrderIM")]
    have = stated(row, "walletBalance" if at.spot else "equity", at.where)
    if have is None or (None in used and not at.spot):
        return None
    left = have - sum((part for part in used if part is not None), ZERO)
    whole = stated(account, "totalAvailableBalance", at.where)
    return max(left if whole is None else min(left, whole), ZERO)


def _okx(at: Market, funds: Any) -> Decimal | None:
    """balance: `availEq`, "available equity of currency", which futures may use; empty in an account for spot only,
    where it is `availBal`."""
    rows = inside(funds.get("info"), "data", 0, "details")
    row = _row(rows if isinstance(rows, list) else [], "ccy", at.quote)
    if row is None:
        return ZERO
    found = stated(row, "availEq", at.where)
    return stated(row, "availBal", at.where) if found is None else found


def _bitget(at: Market, funds: Any) -> Decimal | None:
    """mix/account/accounts: the "max available balance to open positions" of each margin mode; the lesser one."""
    row = _row(funds.get("info"), "marginCoin", at.quote)
    if row is None:
        return ZERO
    most = [stated(row, name, at.where) for name in ("crossedMaxAvailable", "isolatedMaxAvailable")]
    return min((one for one in most if one is not None), default=None)


def _bitflyer(at: Market, status: Any) -> Decimal | None:
    """getcollateral: deposited yen and open profit, less the margin that positions and orders require now."""
    have = number(status, "collateral", at.where) + number(status, "open_position_pnl", at.where)
    return max(have - number(status, "require_collateral", at.where), ZERO)


def liquidation(at: Market, rows: Any) -> Decimal | None:
    """The price at which the venue itself says that it would close the position; empty or 0: never, or not told.

    bybit: an estimate in cross margin mode. okx and bitget: an estimate.
    """
    if not at.venue.liquidation:
        return None
    told = [stated(row.get("info"), at.venue.liquidation, at.where) for row in rows if _open(row)]
    return next((price for price in told if price is not None and price > 0), None)


def _open(row: Row) -> bool:
    return bool(stated(row, "contracts", "a position"))


def _row(rows: Any, name: str, value: str) -> Mapping[str, Any] | None:
    return next((row for row in rows if isinstance(row, Mapping) and row.get(name) == value), None)
