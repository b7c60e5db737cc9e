"""What a key may do, as each venue tells it. All raise Unavailable for an answer that is not as its documents say."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from core.adapters.ccxt_exchange.looking import Looking
from core.adapters.ccxt_exchange.reading import EPOCH, Market
from core.adapters.venue_line import Line, item, name_of
from core.adapters.venue_line.vetting import Ask, Questions, Rights, vet
from core.ports import Unavailable, Vetting

# bitget, "permList" of a key: what else it may be allowed, besides to withdraw.
HARMLESS: Final = frozenset(
    ("read", "readonly", "trade", "spot_trade", "contract_trade", "margin_trade", "transfer", "deposit")
)


def vetted(line: Line, at: Market) -> Vetting:
    """Three requests, or four: the venue's time, what is held, and the rights of the key. Raises Unavailable."""
    ccxt, name, rights = line.exchange, at.venue.codes.name, RIGHTS[at.venue.codes.name]
    told = bool(ccxt.has["fetchTime"])
    return vet(
        line,
        name,
        Questions(
            clock=ccxt.fetch_time if told else lambda: ccxt.fetch_ticker(at.symbol),
            proof=Looking(line, at).account,
            rights=lambda ask: rights(ask, ccxt, at),
            time=(lambda found: _time(found, name)) if told else None,
        ),
    )


def _time(found: Any, name: str) -> datetime:
    if not isinstance(found, int):
        raise Unavailable(f"{name}: its answer has no time")
    return EPOCH + timedelta(milliseconds=found)


def _bybit(ask: Ask, ccxt: Any, at: Market) -> Rights:
    """GET /v5/user/query-api: `permissions` by kind, of Wallet "Withdraw" (master accounts); `readOnly` 1: to read."""
    key = item(ask(ccxt.private_get_v5_user_query_api), "result", dict, at.where)
    granted = item(key, "permissions", dict, at.where)
    wanted = {"Spot": "SpotTrade"} if at.spot else {"ContractTrade": "Order", "Derivatives": "DerivativesTrade"}
    trades = any(name in (granted.get(kind) or ()) for kind, name in wanted.items())
    writes = item(key, "readOnly", int, at.where) == 0
    return Rights(withdraw="Withdraw" in item(granted, "Wallet", list, at.where), trade=trades and writes)


def _okx(ask: Ask, ccxt: Any, at: Market) -> Rights:
    """GET /api/v5/account/config: `perm`, some of "read_only,trade,withdraw"."""
    (account, *_) = item(ask(ccxt.private_get_account_config), "data", list, at.where) or [None]
    granted = name_of(account, "perm", at.where).split(",")
    return Rights(withdraw="withdraw" in granted, trade="trade" in granted)


def _bitget(ask: Ask, ccxt: Any, at: Market) -> Rights:
    """GET /api/v2/spot/account/info: `authorities`. Its documents do not list all of their names: one that is not known
    tells nothing."""
    account = item(ask(ccxt.private_spot_get_v2_spot_account_info), "data", dict, at.where)
    granted = {str(name).lower() for name in item(account, "authorities", list, at.where)}
    if any("withdraw" in name for name in granted):
        return Rights(withdraw=True)
    return Rights(withdraw=False) if granted and granted <= HARMLESS else Rights()


def _bittrade(ask: Ask, ccxt: Any, at: Market) -> Rights:
    """GET /v2/user/api-key of the key's own user: `permission`, some of "readOnly,trade,withdraw"."""
    user = _v2(ask(ccxt.v2private_get_user_uid), at.where, int)
    own = {"uid": user, "accessKey": ccxt.apiKey}
    rows = _v2(ask(lambda: ccxt.v2private_get_user_api_key(own)), at.where, list)
    row = next((row for row in rows if isinstance(row, dict) and row.get("accessKey") == ccxt.apiKey), None)
    granted = name_of(row, "permission", at.where).split(",")
    return Rights(withdraw="withdraw" in granted, trade="trade" in granted)


def _v2(answer: Any, where: str, kind: type[Any]) -> Any:
    """The data of an answer of its second interface, which says no by a `code` that ccxt does not look at."""
    if item(answer, "code", int, where) != 200:
        raise Unavailable(f"{where}: {answer.get('code')} {answer.get('message')}")
    return item(answer, "data", kind, where)


def _bitflyer(ask: Ask, ccxt: Any, at: Market) -> Rights:
    """GET /v1/me/getpermissions: the addresses that the key may use."""
    granted = ask(ccxt.private_get_getpermissions)
    if not isinstance(granted, list):
        raise Unavailable(f"{at.where}: its answer is no list of addresses")
    return Rights(withdraw=_any(granted, ("withdraw", "sendcoin")), trade=_any(granted, ("sendchildorder",)))


def _any(granted: Collection[Any], names: Collection[str]) -> bool:
    return any(str(address).rpartition("/")[2] in names for address in granted)


RIGHTS: Final[dict[str, Callable[[Ask, Any, Market], Rights]]] = {
    "bybit": _bybit,
    "okx": _okx,
    "bitget": _bitget,
    "bittrade": _bittrade,
    "bitflyer": _bitflyer,
}
