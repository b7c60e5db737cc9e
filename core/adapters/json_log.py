"""Logs: one JSON object a line, as Cloud Logging reads them; plain lines on a terminal; secrets in neither.

Field names: https://cloud.google.com/logging/docs/structured-logging. `extra` fields stand beside the message.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Protocol, TextIO

SECRET_NAMES: Final = ("VENUE_API_KEY", "VENUE_API_SECRET", "DISCORD_WEBHOOK_URL")
HIDDEN: Final = "[redacted]"
SHORTEST: Final = 6  # of a secret: shorter ones would tear ordinary words apart
DEPTH: Final = 8  # of nested values, so that one that holds itself comes to an end

_ORDINARY: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "taskName"}
_OWN: Final = frozenset({"severity", "message", "time", "logger", "exception"})
_NAME: Final = (
    r"[\w-]*(?:api[_-]?key|access[_-]?key|private[_-]?key|secret|signature|token|password|passphrase|authorization"
    r"|credential|cookie)[\w-]*|(?:[\w-]*[_-])?sign"
)
_QUOTED: Final = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_NAMED: Final = re.compile(
    rf"""(?i)(?<![\w-])((?:{_NAME})\\?["']?\s*(?:=>|[:=])\s*)"""
    rf"""b?(\[redacted\]|{_QUOTED}|\\"[^"]*\\"|(?:(?:bearer|basic)\s+)?[^\s"'&,;)}}\]]+)"""
)
_RISKY: Final = re.compile(r"[\s:=]|ya29\.")  # without one of these, no shape and no name with its value can be there
_SECRET_NAME: Final = re.compile(rf"(?i)\A(?:{_NAME})\Z")
_SHAPES: Final = (
    (re.compile(r"(?i)(https?://[\w.-]*discord(?:app)?\.com/api/(?:v\d+/)?webhooks/)[^\s\"'<>]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\bya29\.[\w.-]+"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
)

_forms: set[str] = set()
_known: re.Pattern[str] | None = None
_context: ContextVar[Mapping[str, object] | None] = ContextVar("hourhand_log", default=None)


class Headers(Protocol):
    """A request's headers: a mapping, or what a web framework has instead of one."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def setup(
    level: str = "INFO", secrets: Iterable[str] = (), stream: TextIO | None = None, plain: bool | None = None
) -> None:
    """Log through the root logger from `level` on, and never print any of `secrets`, nor what SECRET_NAMES hold in the
    environment. A second call takes the first one's place.

    JSON goes to `stream`, by default stdout; on a terminal outside of the cloud plain lines go to stderr, and so they
    do wherever `plain` says so.
    """
    redact([*secrets, *(os.environ.get(name, "") for name in SECRET_NAMES)])
    if plain is None:
        plain = stream is None and sys.stderr.isatty() and "K_SERVICE" not in os.environ
    handler = _Handler(stream or (sys.stderr if plain else sys.stdout))
    handler.setFormatter(_Plain() if plain else _Json())
    root = logging.getLogger()
    for old in [*root.handlers]:
        if type(old) in (_Handler, logging.StreamHandler):  # another printer would print the same, unredacted
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("urllib3", "werkzeug", "yfinance", "ccxt"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


def redact(values: Iterable[str]) -> None:
    """Never print any of `values` from now on: as they are, escaped, or encoded for a URL. Under 6 characters each is
    ignored."""
    global _known
    for value in values:
        for part in {value, value.strip(), *value.splitlines()}:
            if len(part) >= SHORTEST:
                _forms.update(form for form in _spellings(part) if len(form) >= SHORTEST)
    ordered = sorted(_forms, key=len, reverse=True)
    _known = re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _spellings(secret: str) -> set[str]:
    from base64 import b64encode
    from urllib.parse import quote, quote_plus

    data = secret.encode("utf-8", "surrogatepass")
    bare = repr(secret)[1:-1].replace("\\'", "'")
    escaped = {bare, bare.replace("'", "\\'"), repr(data)[2:-1], ascii(secret)[1:-1]}
    coded = {quote(data, safe=""), quote(data), quote_plus(data), b64encode(data).decode().rstrip("=")}
    return {secret, *escaped, *coded, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}


def clean(text: str) -> str:
    """`text` without the secrets that are known, and without what looks like one."""
    if _known:
        text = _known.sub(HIDDEN, text)
    if not _RISKY.search(text):
        return text
    for shape, left in _SHAPES:
        text = shape.sub(left, text)
    return _NAMED.sub(lambda found: found[1] + HIDDEN, text)


@contextmanager
def context(headers: Headers | None = None, project: str = "", **fields: object) -> Iterator[None]:
    """Inside, every line carries the request's trace and `fields`; so do threads that run in a copied context."""
    traced = trace(headers, project or os.environ.get("GOOGLE_CLOUD_PROJECT", ""))
    token = _context.set({**(_context.get() or {}), **traced, **fields})
    try:
        yield
    finally:
        _context.reset(token)


def trace(headers: Headers | None, project: str) -> dict[str, object]:
    """Cloud Logging's trace fields, from `traceparent` (W3C) or `X-Cloud-Trace-Context`; empty without a project or
    a well-formed header."""
    given = {name.lower(): value for name, value in (headers.items() if headers else ())}
    found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", given.get("traceparent", ""))
    if found and project:
        return _trace(project, found[1], found[2])
    found = re.match(r"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;|\Z)", given.get("x-cloud-trace-context", ""))
    if found and project:
        return _trace(project, found[1], f"{int(found[2]):016x}" if found[2] else "")
    return {}


def _trace(project: str, trace_id: str, span: str) -> dict[str, object]:
    fields: dict[str, object] = {"logging.googleapis.com/trace": f"projects/{project}/traces/{trace_id}"}
    return {**fields, "logging.googleapis.com/spanId": span} if span else fields


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A line that cannot be written is lost: the usual report would print its arguments as they are."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "severity": _severity(record.levelno),
            "message": clean(_message(record)),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "logger": record.name,
        }
        line |= {name: value for name, value in _fields(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[0]:
            line["exception"] = clean(_traceback(record.exc_info))
        return json.dumps(line, allow_nan=False)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        fields = {name: value for name, value in _fields(record).items() if "/" not in name}
        more = "".join(f"  {name}={_brief(value)}" for name, value in fields.items())
        line = f"{time:%H:%M:%S} {record.levelname.lower():8}{clean(_message(record))}{more}"
        if record.exc_info and record.exc_info[0]:
            line += "\n" + clean(_traceback(record.exc_info))
        return clean(line)


def _severity(level: int) -> str:
    names = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"))
    return next((name for least, name in names if level >= least), "DEBUG")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit their message: say both rather than nothing
        return f"{record.msg} {_text(record.args)}"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the context and `extra` add, ready for JSON and redacted."""
    given = {**(_context.get() or {}), **{k: v for k, v in vars(record).items() if k not in _ORDINARY}}
    return {clean(name): _plain(name, value, DEPTH) for name, value in given.items()}


def _plain(name: str, value: object, depth: int) -> Any:
    """`value` as JSON has it. A number stays one, unless its digits are a secret's."""
    if _SECRET_NAME.match(name) and value is not None:
        return HIDDEN
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**63:  # not NaN, which compares with nothing
        text = repr(value)
        return value if clean(text) == text else HIDDEN
    if depth and isinstance(value, Mapping):
        return {clean(_text(key)): _plain(_text(key), inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain("", inner, depth - 1) for inner in value]
    return clean(_text(value))


def _text(value: object) -> str:
    try:
        return value.isoformat() if isinstance(value, datetime) else str(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be printed>"


def _brief(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _traceback(info: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> str:
    try:
        return logging.Formatter().formatException((info[0], info[1], info[2]))  # type: ignore[arg-type]
    except Exception:
        return f"{info[0].__name__ if info[0] else 'exception'} whose traceback cannot be printed"
