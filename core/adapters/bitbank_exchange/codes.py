"""bitbank's error codes: which of them prove that nothing was done, and which mean more than "no".

Source: errors.md of bitbank's own API documentation, 116 codes.
"""

from __future__ import annotations

from typing import Any, Final

from core.adapters.venue_line import Codes, Kind

# A code is a refusal when its words prove that nothing was done: they concern who asks (20...), what is missing (30...)
# or wrong (40...), the account or the order (50...), a value (60...) or a suspension (70...). 10000, 10002 and 10009
# tell of requests that were turned away before they were carried out ("You sent requests too frequently. Retry later
# with decreased requests.").
# Not here, so that an order answered with it stays unknown: system errors (10001 10003 10005 10008 70001 70002 70003
# 70011 70012); codes that are new; an HTTP status without a code, even 429, for it may not be bitbank's; and 10007,
# "System maintenance.", which speaks of the system and not of the order: that may have been taken just before.
_REQUEST = "10000 10002 10009"
_AUTHENTICATION = (
    "20001 20002 20003 20004 20005 20011 20014 20018 20019 20023 20024 20025 20026 "
    "20033 20034 20035 20036 20037 20038 20039"
)
_MISSING = "30001 30006 30007 30009 30012 30013 30015 30016 30101"
_WRONG = "40001 40013 40014 40015 40017 40020 40021 40024 40025 40112 40113 40114 40164 40165 40200"
_DATA = (
    "50003 50004 50005 50006 50008 50009 50010 50011 50026 50027 50058 50059 50060 50061 50062 "
    "50072 50073 50078 50079 50080 50081"
)
_VALUE = "60001 60002 60003 60004 60005 60006 60011 60016 60018 60019"
_SUSPENDED = "70004 70005 70006 70009 70010 70013 70017 70018 70020 70021 70022 70023 70024 70025 70026"
_LISTS = (_REQUEST, _AUTHENTICATION, _MISSING, _WRONG, _DATA, _VALUE, _SUSPENDED)
REFUSALS: Final = frozenset(code for listed in _LISTS for code in listed.split())

KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("10001", "10003", "10008", "70001", "70002", "70003", "70011", "70012"), "server"),
    **dict.fromkeys(("10007", "70004"), "maintenance"),
    **dict.fromkeys(("20001", "20004", "20039"), "nonce"),
    **dict.fromkeys(("20002", "20003", "20005"), "credentials"),
    **dict.fromkeys(("20034", "20035", "20037", "20038"), "clock"),
    **dict.fromkeys(("50003", "50004", "50005", "50006", "50008", "50058"), "ban"),
    "10005": "timeout",
    "10009": "rate_limit",
}

NO_SUCH_ORDER: Final = "50009"
OVER: Final = frozenset((NO_SUCH_ORDER, "50010", "50026", "50027"))  # there is nothing left to cancel


def _of(answer: Any) -> str:
    return "" if answer["success"] else str(answer["data"]["code"])


CODES: Final = Codes(name="bitbank", of=_of, refuses=REFUSALS.__contains__, kinds=KINDS)
