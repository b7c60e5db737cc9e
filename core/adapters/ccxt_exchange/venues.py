"""What ccxt does not know of each venue, as data: how it names our ids, what it refuses, for how long a request lives.

The closed lists of refusals hold codes of which the venue says that nothing was done. Whatever is not in them, such as
a time-out inside of the venue, or maintenance of the whole of it, leaves an order unknown.

Where the values are from, besides ccxt 4.5.90's own source: the venues' documents for their APIs (bybit v5, okx v5,
bitget v2, bittrade v1, bitflyer Lightning), as named beside each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from core.adapters.venue_line import Codes, Kind


@dataclass(frozen=True, kw_only=True)
class Venue:
    """One venue.

    lookup: how an order is asked for by an id of its own or of ours. filtered: in the lists of open and of ended
    orders, each filtered by it; single: by itself, and a stop that has no `stop_id` among the ended stops; client: by
    itself, each kind of id at its own address; listed: in the list of all orders.
    duplicates: codes that say that the venue has an order with this id of ours already. lasting_ids: see Traits.
    id_limit: the longest id of ours that it takes, in characters; 0: it takes none. tags: where it gives it back.
    age_s: no request that is older than this is sent, nor carried out by the venue as far as it goes by its time.
    stops: the parameter that makes a stop at the market for contracts (for spot it is always `triggerPrice`); "": ccxt
    can place none. stop_id: the name of our id in a stop, where it is another one. stop_params: of each stop.
    stop_lists: the parameters that list stops where they are listed apart, of spot and of contracts. stop_cancel:
    whether a cancel must say that it is of a stop, of spot and of contracts. children: where a triggered stop says
    which order it has become.
    by_order: the parameter that asks for one order's executions; "": they have an address of their own.
    funds: the way to the list of balances in an answer. page: how many open orders, and executions, one answer holds.
    sandbox, contracts: whether it has them. closes_only: whether an order can be told to only close.
    buy: the type of order that buys in base coin, where a market order is counted in quote currency (spot).
    margins: whether an order of contracts names its margin mode. accounts: whether an order names its account.
    positions, collateral: ccxt's names for the addresses of both, where its own methods do not work.
    liquidation: the field of a position that holds the price of its liquidation; "": it has none.
    commission: where an execution holds a fee in base coin that ccxt does not read.
    numbers: it takes amounts as numbers, not as text. per_s, per_min: requests that it allows, reads and writes; 0:
    as many as per_s makes. open: what the market's own row must say for orders to be taken, besides what ccxt reads.
    board: ccxt's name for the address that tells whether a market is open, where its list of markets does not.
    state, states: where it says how an order stands, in words that ccxt does not translate, or not exactly.
    options: of ccxt's class. params: of each order. notes: see Traits.
    """

    codes: Codes
    duplicates: frozenset[str] = frozenset()
    lasting_ids: bool = False
    lookup: Literal["filtered", "single", "client", "listed"]
    id_limit: int
    age_s: float
    stops: str = ""
    stop_lists: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
    stop_cancel: tuple[bool, bool] = (False, False)
    stop_id: str = ""
    stop_params: Mapping[str, Any] = field(default_factory=dict)
    children: str = ""
    by_order: str = ""
    tags: tuple[str, ...] = ()
    funds: tuple[str | int, ...]
    page: tuple[int, int]
    sandbox: bool = False
    contracts: bool = True
    closes_only: bool = True
    buy: Literal["", "limit", "ioc"] = ""
    margins: bool = False
    accounts: bool = False
    positions: str = ""
    collateral: str = ""
    liquidation: str = ""
    commission: str = ""
    numbers: bool = False
    per_s: tuple[int, int]
    per_min: tuple[int, int] = (0, 0)
    open: Mapping[str, str] = field(default_factory=dict)
    board: str = ""
    states: Mapping[str, str] = field(default_factory=dict)
    state: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def window_s(self) -> float:
        """By our clock, which may be ahead of the venue's by as much as it lets pass, and time to carry it out."""
        return 2 * self.age_s


def _closed(codes: str) -> frozenset[str]:
    """Nothing that an HTTP server turned away before the venue's own code saw it was done, either."""
    return frozenset((*codes.split(), "http_401", "http_403", "http_404", "http_429"))


def _coded(name: str) -> Any:
    """The code in field `name`, "" when it is nothing but zeros."""
    return lambda answer: str(answer[name]) if str(answer[name]).strip("0") else ""


def _okx_code(answer: Any) -> str:
    """Of the order itself, when the answer tells of one: an algo order is refused inside of an answer of success."""
    rows = answer.get("data") or [{}]
    of_order = str(rows[0].get("sCode") or "") if isinstance(rows[0], dict) else ""
    code = of_order if of_order.strip("0") else str(answer["code"])
    return code if code.strip("0") else ""


def _bitflyer_code(answer: Any) -> str:
    """Lists and plain objects have none; an error is {"status": -500, "error_message": ...}."""
    return str(answer.get("status", "")) if isinstance(answer, dict) and "error_message" in answer else ""


_BYBIT: Final = _closed(
    "10001 10002 10003 10004 10005 10006 10007 10008 10009 10010 10017 10018 10020 10024 10027 10028 10029 "
    "110001 110003 110004 110005 110006 110007 110008 110009 110010 110011 110012 110013 110014 110016 110017 110018 "
    "110019 110020 110021 110022 110023 110029 110031 110032 110034 110037 110039 110040 110041 110042 110044 110045 "
    "110047 110051 110052 110053 110057 110063 110066 110067 110068 110069 110070 110092 110093 110094 "
    "170005 170031 170033 170105 170115 170116 170117 170121 170124 170130 170131 170132 170133 170134 170135 170136 "
    "170137 170139 170140 170142 170143 170145 170148 170151 170157 170159 170192 170193 170194 170197 170198 170201 "
    "170202 170203 170204 170206 170209 170210 170213 170222 170227 170228 170229 170371 170372 170810"
)
_OKX: Final = _closed(
    "50000 50002 50006 50007 50008 50009 50011 50014 50015 50016 50017 50018 50019 50020 50021 50022 50027 50061 "
    "50100 50101 50102 50103 50104 50105 50106 50107 50110 50111 50112 50113 50114 50115 "
    "51000 51001 51003 51004 51005 51006 51007 51008 51009 51010 51012 51015 51020 51021 51022 51023 51024 51025 51027 "
    "51028 51029 51030 51031 51046 51047 51100 51101 51102 51103 51104 51105 51106 51107 51108 51109 51110 51112 51113 "
    "51115 51116 51117 51118 51119 51120 51121 51122 51124 51127 51129 51131 51132 51133 51134 51135 51136 51137 51138 "
    "51139 51155 51162 51163 51174 51185 51201 51202 51203 51205 51250 51252 51261 51275 51277 51278 51279 51280 "
    "51400 51401 51402 51403 51503 51603"
)
_BITGET: Final = _closed(
    "40001 40002 40003 40004 40005 40006 40007 40008 40009 40011 40012 40013 40014 40016 40017 40018 40019 40020 "
    "40037 40085 40108 40109 40301 40309 40706 40711 40712 40762 40768 40774 40808 40917 41103 41114 41117 "
    "43001 43011 43012 43025 43115 45110 45113 45122 429"
)
_BITTRADE: Final = _closed(
    "account-frozen-balance-insufficient-error invalid-amount order-limitorder-amount-min-error "
    "order-limitorder-amount-max-error order-marketorder-amount-min-error order-limitorder-price-min-error "
    "order-limitorder-price-max-error order-holding-limit-failed order-orderprice-precision-error "
    "order-orderstate-error order-queryorder-invalid api-signature-check-failed api-signature-not-valid "
    "base-record-invalid base-symbol-trade-disabled base-symbol-error invalid-parameter"
)
_BITFLYER: Final = _closed("-106 -109 -110 -153 -200 -205 -500 -501")

_RATE: Final[Kind] = "rate_limit"

VENUES: Final[dict[str, Venue]] = {
    "bybit": Venue(
        codes=Codes(
            name="bybit",
            of=_coded("retCode"),
            refuses=_BYBIT.__contains__,
            kinds={
                "10002": "clock", "10003": "credentials", "10004": "credentials", "10005": "ban", "10006": _RATE,
                "10000": "server", "10016": "server", "10018": _RATE, "10009": "ban", "10010": "ban",
                "170001": "server", "170007": "timeout", "170032": "server", "170146": "timeout", "170147": "timeout",
                "170222": _RATE, "170234": "server",
            },
        ),
        duplicates=frozenset(("110072", "170141")),
        lookup="filtered",
        id_limit=36,
        lasting_ids=True,  # "Futures, Perps & Spot: orderLinkId rules: optional param, always unique" (create-order)
        age_s=5.0,  # recvWindow: server_time - recv_window <= timestamp < server_time + 1000 (integration guide)
        stops="stopLossPrice",
        stop_cancel=(True, False),
        by_order="orderId",
        liquidation="liqPrice",
        tags=("orderLinkId",),
        funds=("result", "list", 0, "coin"),
        page=(50, 100),
        sandbox=True,
        per_s=(10, 10),  # the least of its limits per account (create-order, position/list); 600 in 5 s per address
        state="orderStatus",
        states={"PartiallyFilledCanceled": "cancelled"},
        options={
            "recvWindow": 5000,
            # Said outright, so that ccxt does not ask two addresses that a trading key may not see.
            "enableUnifiedMargin": False, "enableUnifiedAccount": True, "unifiedMarginStatus": 6,
        },
        notes=(
            "bybit: only a unified trading account in one-way mode can be used.",
            "bybit: it forgets an order that ended without an execution after a day.",
        ),
    ),
    "okx": Venue(
        codes=Codes(
            name="okx",
            of=_okx_code,
            refuses=_OKX.__contains__,
            kinds={
                "50001": "maintenance", "50004": "timeout", "50005": "server", "50011": _RATE, "50013": "server",
                "50026": "server", "50061": _RATE, "50102": "clock", "50105": "credentials", "50110": "ban",
                "50111": "credentials", "50112": "clock", "50113": "credentials",
            },
        ),
        duplicates=frozenset(("51016", "51065", "51068")),
        lookup="single",
        # Not lasting: "If the clOrdId is associated with multiple orders, only the latest one will be returned."
        id_limit=32,
        age_s=30.0,  # 50102: the time stamp is 30 s away from its clock, either way
        stops="stopLossPrice",
        stop_lists=({"trigger": True, "ordType": "trigger"}, {"trigger": True, "ordType": "conditional"}),
        stop_cancel=(True, True),
        stop_id="algoClOrdId",
        children="ordId",
        by_order="ordId",
        liquidation="liqPx",
        tags=("algoClOrdId", "clOrdId"),
        funds=("data", 0, "details"),
        page=(100, 100),
        sandbox=True,
        margins=True,
        per_s=(10, 10),  # 60 in 2 s of most; 10 in 2 s of fills-history, of which a look asks for one or two
        options={"createOrder": "privatePostTradeOrder", "tgtCcy": "base_ccy"},
        notes=(
            "okx: the account must be in net (one-way) mode.",
            "okx: it forgets an order that was cancelled without an execution after two hours.",
        ),
    ),
    "bitget": Venue(
        codes=Codes(
            name="bitget",
            of=_coded("code"),
            refuses=_BITGET.__contains__,
            kinds={
                "429": _RATE, "40005": "clock", "40006": "credentials", "40008": "clock", "40009": "credentials",
                "40012": "credentials", "40014": "ban", "40018": "ban", "40037": "credentials", "40015": "server",
                "40010": "timeout", "40725": "server", "45001": "server", "41114": "maintenance",
            },
        ),
        duplicates=frozenset(("40786", "43118", "40708", "45034")),  # each is "duplicate" in its table of errors
        lookup="single",
        id_limit=40,  # not lasting: its documents do not say for how long an id is remembered
        age_s=30.0,  # 40008: the time stamp is 30 s away from its clock, either way
        stops="triggerPrice",
        stop_lists=({"trigger": True}, {"trigger": True}),
        stop_cancel=(True, True),
        stop_params={"triggerType": "fill_price"},
        children="executeOrderId",
        by_order="orderId",
        liquidation="liquidationPrice",
        tags=("clientOid",),
        funds=(),
        page=(100, 100),
        sandbox=True,
        buy="limit",
        margins=True,
        per_s=(10, 10),  # per account and address, of nearly all
        open={"symbolStatus": "normal"},  # of contracts, which ccxt does not read
        options={"uta": False},  # else ccxt asks the venue in the middle of placing an order
        notes=("bitget: only a classic account in one-way mode can be used, not a unified one.",),
    ),
    "bittrade": Venue(
        codes=Codes(
            name="bittrade",
            of=lambda answer: str(answer.get("err-code") or "unnamed") if answer.get("status") == "error" else "",
            refuses=_BITTRADE.__contains__,
            kinds={
                "api-signature-not-valid": "credentials", "api-signature-check-failed": "credentials",
                "system-maintenance": "maintenance", "timeout": "timeout", "gateway-internal-error": "server",
            },
        ),
        lookup="client",
        id_limit=64,  # not lasting: unique for 24 hours
        age_s=300.0,  # the time stamp of a signature is good for 5 minutes, either way
        tags=("client-order-id",),
        funds=("data", "list"),
        page=(100, 100),
        contracts=False,
        buy="ioc",
        accounts=True,
        per_s=(5, 2),  # 100 in 10 s, of all together
        open={"api-trading": "enabled"},
        state="state",
        states={
            "created": "open", "pre-submitted": "open", "submitting": "open", "cancelling": "open",
            "partial-canceled": "cancelled",
        },
        options={"fetchOpenOrders": {"method": "fetch_open_orders_v2"}},  # the other one shows two days only
        notes=(
            "bittrade: it has no stop orders at the market, so nothing protects a position between ticks.",
            "bittrade: it remembers our ids for 24 hours; an order that is unclear for longer needs a person.",
        ),
    ),
    "bitflyer": Venue(
        codes=Codes(
            name="bitflyer",
            of=_bitflyer_code,
            refuses=_BITFLYER.__contains__,
            kinds={"-1": _RATE, "-2": "maintenance", "-500": "credentials", "-501": "credentials"},
        ),
        lookup="listed",
        id_limit=0,
        age_s=45.0,  # see notes: it says nothing of this, so it is for us alone to keep to it
        by_order="child_order_acceptance_id",
        funds=(),
        page=(100, 100),
        closes_only=False,
        commission="commission",
        positions="private_get_getpositions",
        collateral="private_get_getcollateral",
        numbers=True,
        per_s=(5, 2),
        per_min=(60, 40),  # 500 in 5 minutes together, 300 of orders; 100 a minute of orders of 0.1 or less
        board="public_get_getboardstate",
        state="child_order_state",
        states={
            "ACTIVE": "open", "COMPLETED": "filled", "CANCELED": "cancelled", "EXPIRED": "expired",
            "REJECTED": "refused",
        },
        params={"minute_to_expire": 1},
        notes=(
            "bitflyer: ccxt places no stop orders there, so nothing protects a position between ticks.",
            "bitflyer: it takes no ids of ours; an order without an answer is known by its like in the last 100.",
            "bitflyer: it does not say for how long a request is good; 90 s and its listing must prove its absence.",
            "bitflyer: it cannot be told that an order may only close a position.",
        ),
    ),
}  # fmt: skip
