"""A Discord channel, through its webhook: https://docs.discord.com/developers/resources/webhook#execute-webhook.

The webhook's address is a secret: whoever knows it can write there. It stands in no message of any exception here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from core.domain.alerts import Message
from core.ports import Clock, Later, Unavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

# https://docs.discord.com/developers/resources/message#embed-object-embed-limits; all of an answer's embeds together
EMBEDS, TOTAL, TITLE, TEXT, FIELDS, NAME, VALUE, CONTENT = 10, 6000, 256, 4096, 25, 256, 1024, 2000
COLOURS: Final = {"info": 0x3498DB, "warning": 0xF1C40F, "error": 0xE67E22, "critical": 0xC0392B}
SIGNS: Final = {"info": "", "warning": "", "error": "ERROR: ", "critical": "CRITICAL: "}
GONE: Final = (401, 403, 404, 410)
PAUSE_S: Final = (0.5, 3600.0)  # the least and the most that an answer can ask for
UNSAID_S: Final = 5.0  # when it does not say how long
API: Final = "v10"  # in older ones, and without one, Retry-After is in milliseconds
NEW: Final = "set DISCORD_WEBHOOK_URL anew (Discord: channel settings, Integrations, Webhooks, Copy Webhook URL)"

_MARKS: Final = re.compile(r"https?://\S+|[\\*_~`|\[\]<>]|^(?:#{1,3}|-#|[-+]|\d+[.)])(?=\s)", re.MULTILINE)

log = logging.getLogger("hourhand.discord")


class DiscordNotifier:
    """`url`: the webhook's, over https, or over http on this machine. Raises ValueError: it is none."""

    most = EMBEDS

    def __init__(self, url: str, clock: Clock, timeout_s: float = 10.0) -> None:
        self._url = _address(url)
        self._clock = clock
        self._timeout_s = timeout_s
        self._free_at: datetime | None = None

    def send(self, messages: Sequence[Message]) -> None:
        """Later with 0 seconds: it was certainly not shown, and nobody said when to come back."""
        if not messages:
            return
        if self._free_at is not None and (left := (self._free_at - self._clock.now()).total_seconds()) > 0:
            raise Later("Discord takes no more messages for now", min(left, PAUSE_S[1]))
        reply = self._post({"embeds": embeds(messages)})
        if _unfit(reply.status):
            log.error(
                "Discord refused these messages and is sent them as plain text: %s", _reason(reply),
                extra={"messages": [msgspec.to_builtins(message) for message in messages]},
            )  # fmt: skip
            reply = self._post({"content": plain(messages)})
            if _unfit(reply.status):  # tried again for ever, they would keep all others waiting; the log has them
                log.critical("Discord refused the plain text as well: %s", _reason(reply))
                return
        self._judge(reply)

    def _post(self, body: dict[str, Any]) -> BaseHTTPResponse:
        import urllib3

        data = msgspec.json.encode({**body, "allowed_mentions": {"parse": []}})
        timeout = urllib3.Timeout(connect=min(3.0, self._timeout_s), read=self._timeout_s)
        headers = {"Content-Type": "application/json", "User-Agent": "hourhand"}
        try:  # a new connection: one kept from the last wake-up would be dead, and nobody could tell what it did
            with urllib3.PoolManager(retries=False, timeout=timeout, headers=headers) as pool:
                return pool.request("POST", self._url, body=data)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise Later(f"Discord cannot be reached ({type(error).__name__}): check the network", 0.0) from None
        except urllib3.exceptions.HTTPError as error:  # its text may hold the address
            said = type(error).__name__
            raise Unavailable(f"Discord did not answer ({said}): it may have shown what was sent") from None

    def _judge(self, reply: BaseHTTPResponse) -> None:
        """Raises Later or Unavailable, unless it was shown."""
        status, headers = reply.status, reply.headers
        self._free_at = None
        if status == 429:
            seconds = _pause(_member(reply.data, "retry_after"), headers.get("Retry-After"), *_reset(headers))
            raise Later("Discord asks to be left alone for a while (429)", seconds)
        if status in GONE:
            raise Later(f"Discord does not know this webhook ({status}), it may have been deleted: {NEW}", 0.0)
        if 300 <= status < 500:
            raise Later(f"Discord's address answered {status}, as no webhook does: {NEW}", 0.0)
        shown = status == 204 or (200 <= status < 300 and _member(reply.data, "id") is not None)
        if not shown:
            raise Unavailable(f"Discord answered {status}, which says nothing of whether it was shown: try again later")
        if reset := _reset(headers):
            self._free_at = self._clock.now() + timedelta(seconds=_pause(*reset))


# --- words ----------------------------------------------------------------------------------------------------------


def embeds(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """At most ten, within Discord's limits alone and together: what is too long is cut, the longest first."""
    whole = [_embed(message, TOTAL) for message in messages[:EMBEDS]]
    shares = _shares([_size(embed) for embed in whole], TOTAL)
    return [_embed(message, share) for message, share in zip(messages[:EMBEDS], shares, strict=True)]


def plain(messages: Sequence[Message]) -> str:
    """For when the embeds are refused: all of them in one text."""
    share = CONTENT // len(messages) - 1
    return "\n".join(cut(escaped(f"{message.severity}: {_said(message)}"), share) for message in messages)


def escaped(text: str) -> str:
    """Shown to the letter: nothing in it is markup, a mention or a list. Addresses stay as they are, to be clicked."""
    text = text.encode("utf-8", "replace").decode()

    def literal(found: re.Match[str]) -> str:
        mark = found[0]
        if mark.startswith("http"):
            return mark
        return f"\\{mark}" if not mark[0].isdigit() else f"{mark[:-1]}\\{mark[-1]}"

    return _MARKS.sub(literal, text)


def cut(text: str, most: int) -> str:
    """At most `most` UTF-16 units, the last one an ellipsis where something was cut."""
    if units(text) <= most:
        return text
    kept = text.encode("utf-16-le", "replace")[: 2 * (most - 1)].decode("utf-16-le", "ignore")
    kept = kept[:-1] if (len(kept) - len(kept.rstrip("\\"))) % 2 else kept  # half of an escape
    return f"{kept.rstrip()}…" if most > 0 else ""


def units(text: str) -> int:
    """Its length as the strictest reader of the limits counts."""
    return len(text.encode("utf-16-le", "replace")) // 2


def _embed(message: Message, share: int) -> dict[str, Any]:
    """One embed of at most `share` units: the title, half of the rest at most for fields, and the text."""
    sign = SIGNS[message.severity]
    title = sign + cut(escaped(" ".join(message.title.split())) or "Alert", min(TITLE, share) - units(sign))
    rest = share - units(title)
    fields = _fields(message, rest - min(units(_text(message)), TEXT, rest // 2))
    rest -= sum(units(field["name"] + field["value"]) for field in fields)
    embed: dict[str, Any] = {
        "title": title,
        "color": COLOURS[message.severity],
        "timestamp": message.at.isoformat(),
    }
    text = cut(_text(message), min(TEXT, rest))
    return {**embed, **({"description": text} if text else {}), **({"fields": fields} if fields else {})}


def _text(message: Message) -> str:
    return escaped(message.text.strip())


def _fields(message: Message, room: int) -> list[dict[str, Any]]:
    """As many as fit into `room`, in order; none is empty, which Discord refuses."""
    found: list[dict[str, Any]] = []
    for name, value in list(message.fields.items())[:FIELDS]:
        label = cut(escaped(name.strip()) or "–", NAME)
        told = cut(escaped(value.strip()) or "–", VALUE)
        room -= units(label + told)
        if room < 0:
            break
        found.append({"name": label, "value": told, "inline": units(told) <= 40})
    return found


def _size(embed: dict[str, Any]) -> int:
    texts = [embed["title"], embed.get("description", "")]
    return sum(map(units, texts)) + sum(units(field["name"] + field["value"]) for field in embed.get("fields", []))


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """How much of `total` each may take: all that it needs, or as much as the others that do not get all."""
    shares = [0] * len(sizes)
    by_size = sorted(range(len(sizes)), key=sizes.__getitem__)
    for done, index in enumerate(by_size):
        shares[index] = min(sizes[index], total // (len(sizes) - done))
        total -= shares[index]
    return shares


def _said(message: Message) -> str:
    numbers = ", ".join(f"{name} {value}" for name, value in message.fields.items())
    return ". ".join(part for part in (message.title, message.text, numbers) if part)


# --- answers --------------------------------------------------------------------------------------------------------


def _unfit(status: int) -> bool:
    """Whether it is the message that is refused, which no later try can change."""
    return status in (400, 413, 422)


def _reset(headers: Any) -> tuple[object, ...]:
    return (headers.get("X-RateLimit-Reset-After"),) if headers.get("X-RateLimit-Remaining") == "0" else ()


def _pause(*said: object) -> float:
    """The longest of what was said in seconds, within reason."""
    least, most = PAUSE_S
    longest = max((_seconds(one) for one in said), default=0.0)
    return min(max(longest or UNSAID_S, least), most)


def _seconds(said: object) -> float:
    try:
        found = float(str(said))
    except ValueError:
        return 0.0
    return found if found == found else 0.0


def _member(data: bytes, name: str) -> object:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.get(name) if isinstance(found, dict) else None


def _reason(reply: BaseHTTPResponse) -> str:
    return f"{reply.status}, {str(_member(reply.data, 'message'))[:200]}"


def _address(url: str) -> str:
    """The address to post to. Raises ValueError, without a word of it."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        scheme = parts.scheme if parts.port != 0 else ""
    except ValueError:
        raise ValueError(f"the webhook's address is none: {NEW}") from None
    if not host or not (scheme == "https" or (scheme == "http" and _loopback(host))):
        raise ValueError(f"the webhook's address must be an https one: {NEW}")
    if re.fullmatch(r"(?:\w+\.)?discord(?:app)?\.com", host):
        path = re.sub(r"\A/api/(?:v\d+/)?", f"/api/{API}/", parts.path.rstrip("/"))
        if not re.fullmatch(rf"/api/{API}/webhooks/\d+/[\w-]+", path):
            raise ValueError(f"the webhook's address is not https://discord.com/api/webhooks/…: {NEW}")
        parts = parts._replace(netloc="discord.com", path=path)
    kept = [part for part in parts.query.split("&") if part and not part.startswith("wait=")]
    query = "&".join([*kept, "wait=true"])
    return parts._replace(query=query, fragment="").geturl()


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
