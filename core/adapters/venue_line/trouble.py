"""The kinds of trouble on a line to a venue, told apart by what was sent, what was heard and what ccxt raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from core.adapters.venue_line.answers import exact

Kind = Literal[
    "refused", "rate_limit", "ban", "nonce", "clock", "maintenance", "credentials",
    "unparsable", "timeout", "connect", "network", "server", "local", "open",
]  # fmt: skip

# What happened, and what to do.
MEANING: Final[dict[Kind, str]] = {
    "refused": "the venue said no; see its code",
    "rate_limit": "too many requests; send fewer, or let fewer books share this account",
    "ban": "the venue bars this key, account or address; look at the key's permissions and its list of addresses",
    "nonce": "two requests with one key crossed, or the signature is wrong; give each function a key of its own",
    "clock": "the request reached the venue outside of its time window; check this machine's clock",
    "maintenance": "the venue is under maintenance; wait for its end",
    "credentials": "the venue does not accept the key or the secret; check both",
    "unparsable": "the answer is not one of this venue; a login page, a proxy or a new interface may be before it",
    "timeout": "no answer in time; what was sent may have been done",
    "connect": "no connection could be made, so nothing was sent; check the network and the address",
    "network": "the connection broke; what was sent may have been done",
    "server": "the venue has trouble of its own; wait, what was sent may have been done",
    "local": "the request could not be made, so nothing was sent",
    "open": "the venue was down a moment ago, so nothing was sent",
}
# The venue is not there: these count against it.
DOWN: Final[frozenset[Kind]] = frozenset(("timeout", "connect", "network", "server", "unparsable"))
AGAIN: Final[frozenset[Kind]] = DOWN | {"rate_limit", "nonce"}  # worth another try of a read
UNSENT: Final[frozenset[Kind]] = frozenset(("connect", "local"))  # surely never left


@dataclass(frozen=True, kw_only=True)
class Codes:
    """How one venue, called `name`, says no.

    of: its code in an answer as JSON, "" when there is none or all is well. refuses: whether a code proves that what
    was asked for was not done; an HTTP status without a code is asked about as `http_429`. kinds: codes that mean
    something more particular than "refused".
    """

    name: str
    of: Callable[[Any], str]
    refuses: Callable[[str], bool]
    kinds: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True)
class Trouble:
    """`code`: the venue's, or the HTTP status as `http_502`, or "". `said`: in its own words, without secrets."""

    kind: Kind
    code: str = ""
    said: str = ""


class NotJson(Exception):
    """The venue's answer is not JSON. ccxt takes a page of HTML for an answer without content."""


@dataclass
class Heard:
    """What was sent and heard during one call: requests `begun`; `status` and `text` of the last answer, 0 and "" when
    none came, and its `date` header, "" for none; `blank`: an answer without content will do."""

    begun: int = 0
    status: int = 0
    text: str = ""
    date: str = ""
    blank: bool = False

    def start(self, blank: bool) -> None:
        self.begun, self.status, self.text, self.date, self.blank = 0, 0, "", "", blank


def listen(exchange: Any) -> Heard:
    """Sees every request and answer of `exchange`, and sets it up to send each once, at once, to this address only."""
    now = Heard()
    fetch, hear = exchange.fetch, exchange.on_rest_response

    def fetched(*args: Any, **kwargs: Any) -> Any:
        now.begun += 1
        now.status, now.text, now.date, exchange.last_json_response = 0, "", "", None
        answer = fetch(*args, **kwargs)
        if exchange.last_json_response is None and not (now.blank and not now.text.strip()):
            raise NotJson(f"HTTP {now.status}, {len(now.text)} characters that are not JSON")
        return answer

    def heard(code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any) -> Any:
        now.status, now.text, now.date = code, body, str((headers or {}).get("Date") or "")
        return hear(code, reason, url, method, headers, body, *rest)

    exchange.fetch, exchange.on_rest_response = fetched, heard
    exchange.on_json_response = exact  # ccxt's own would make floats of numbers
    exchange.enableLastJsonResponse = True
    exchange.enableRateLimit = False
    exchange.options["maxRetriesOnFailure"] = 0
    exchange.session.max_redirects = 0  # a redirected write would be sent again, and elsewhere
    return now


def judge(error: Exception, heard: Heard, exchange: Any, codes: Codes) -> Trouble:
    """What `error`, raised while `exchange` was called, means."""
    code = _code(codes, exchange.last_json_response) if heard.begun else ""
    if not code and heard.status >= 400:
        code = f"http_{heard.status}"
    kind = codes.kinds.get(code) or _kind(error, heard, code)
    return Trouble(kind, code, _scrub(f"{type(error).__name__}: {error}", exchange))


def _code(codes: Codes, answer: Any) -> str:
    try:
        return codes.of(answer) if answer is not None else ""
    except (AttributeError, IndexError, KeyError, TypeError):
        return ""


def _kind(error: Exception, heard: Heard, code: str) -> Kind:
    if not heard.begun:
        return "local"
    if heard.begun == 1 and not heard.status and _unconnected(error):
        return "connect"
    return _kind_of_status(heard.status) or _kind_of_class(error) or _kind_otherwise(error, heard, code)


def _kind_of_status(status: int) -> Kind | None:
    if status in (418, 429):
        return "rate_limit"
    if status in (403, 451):
        return "ban"
    if status == 401:
        return "credentials"
    return "server" if status >= 500 else None


def _kind_of_class(error: Exception) -> Kind | None:
    import ccxt

    classes: tuple[tuple[type[Exception], Kind], ...] = (
        (ccxt.RateLimitExceeded, "rate_limit"),
        (ccxt.DDoSProtection, "rate_limit"),
        (ccxt.OnMaintenance, "maintenance"),
        (ccxt.InvalidNonce, "clock"),
        (ccxt.PermissionDenied, "ban"),
        (ccxt.AccountSuspended, "ban"),
        (ccxt.AuthenticationError, "credentials"),
        (ccxt.RequestTimeout, "timeout"),
    )
    return next((kind for cls, kind in classes if isinstance(error, cls)), None)


def _kind_otherwise(error: Exception, heard: Heard, code: str) -> Kind:
    from requests.exceptions import TooManyRedirects

    if not heard.status and not isinstance(error.__cause__, TooManyRedirects):
        return "network"
    return "refused" if code and not code.startswith("http_") else "unparsable"


def _unconnected(error: BaseException | None) -> bool:
    """Whether no connection came about at all, so that not one byte of the request left: the name was not found, or
    the other side, be it a proxy, refused the connection or did not answer to it.

    urllib3 tells this from a connection that broke later; and as redirects and retries are off, there was no other.
    """
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError

    while error is not None:
        inner = error.args[0] if error.args and isinstance(error.args[0], HTTPError) else error
        reason = getattr(inner, "reason", inner)
        if isinstance(reason, ProxyError):
            reason = reason.original_error
        if isinstance(reason, (NewConnectionError, ConnectTimeoutError)):
            return True
        error = error.__cause__
    return False


def _scrub(text: str, exchange: Any) -> str:
    """`text` without queries, which some venues have signed, and without our secrets; at most 200 characters."""
    for name in ("apiKey", "secret", "password", "token"):
        value = str(getattr(exchange, name, None) or "")
        if len(value) > 3:
            text = text.replace(value, "***")
    return re.sub(r"\?\S*", "?...", text)[:200]
