"""What a person should hear of: documents that wait in the outbox, committed with the state that they tell of.

Delivering them is another function's work (core/flows/alert.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from core.domain.alerts import Event, Severity
from core.domain.bars import close_time
from core.domain.orders import Fill
from core.domain.risk import Trip
from core.domain.settle import News
from core.domain.state import Book, Trade, trip_name
from core.ports import Document, Write

CAUSES = {"stop": "its stop", "exit": "an exit", "entry": "an entry the other way"}


def alert(
    name: str,
    event: Event,
    severity: Severity,
    at: datetime,
    title: str,
    text: str = "",
    book: str = "",
    fields: Mapping[str, str] | None = None,
) -> Write:
    """An alert in the outbox. `name` says what it tells of: the same is told once."""
    document: Document = {"event": event, "severity": severity, "at": at, "title": title, "text": text, "book": book}
    return Write(f"outbox/{f'{book}-' if book else ''}{name}", {**document, "fields": dict(fields or {})})


def news_alerts(book: Book, bar: datetime, news: News) -> list[Write]:
    """Trades that opened and closed, orders that never arrived, and what a person must look at."""
    at = close_time(bar, book.timeframe)
    told = [_opened(book, fill) for fill in news.fills if fill.cause == "entry"]
    told += [_trade_closed(book, trade) for trade in news.trades]
    for order in news.lost:
        intent = order.intent
        text = f"{intent.leg} {intent.side} {intent.amount} never arrived: {order.detail}"
        name = f"{intent.id}-{intent.attempt}-lost"
        told.append(alert(name, "order_unknown", "warning", at, "an order was lost", text, book.id))
    if news.trouble:
        title = "the book is halted, a person must look"
        told.append(alert(f"{bar:%Y%m%dT%H%M}-trouble", "trouble", "critical", at, title, news.trouble, book.id))
    return told


def _opened(book: Book, fill: Fill) -> Write:
    side = "long" if fill.side == "buy" else "short"
    fields = {"amount": f"{fill.amount:f}", "price": f"{fill.price:f}", "fee": _short(fill.fee)}
    if fill.stop is not None:
        fields["stop"] = f"{fill.stop:f}"
    title = f"{side} {fill.amount:f} at {fill.price:f}"
    text = f"{book.symbol}: {fill.side} {fill.amount:f} at {fill.price:f} opened or added to a {side} position."
    return alert(fill.id, "trade_opened", "info", fill.bar, title, text, book.id, fields)


def _trade_closed(book: Book, trade: Trade) -> Write:
    title = f"{trade.side} closed by {CAUSES.get(trade.cause, trade.cause)}, P&L {trade.pnl:+.2f}"
    fields = {
        "amount": f"{trade.amount:f}",
        "entry": _short(trade.entry),
        "exit": _short(trade.exit),
        "fees": _short(trade.fees),
        "P&L": f"{trade.pnl:+.2f}",
        "opened": f"{trade.opened:%Y-%m-%d %H:%M} UTC",
    }
    text = (
        f"{book.symbol}: {trade.amount:f} from {_short(trade.entry)} to {_short(trade.exit)}; all costs are taken off."
    )
    name = f"trade-{trade.opened:%Y%m%dT%H%M}-{trade.closed:%Y%m%dT%H%M}-{trade.side}"
    return alert(name, "trade_closed", "info", trade.closed, title, text, book.id, fields)


def _short(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01')):f}" if abs(amount) >= 1 else f"{amount:.4g}"


def refusal(book: Book, bar: datetime, said: Document) -> list[Write]:
    """A tick that refused to trade, and why."""
    if said["outcome"] != "refused":
        return []
    reason, at = str(said["reason"]), close_time(bar, book.timeframe)
    title = f"no trading, {reason.replace('_', ' ')}"
    text = str(said["explanation"])
    return [alert(f"{bar:%Y%m%dT%H%M}-{reason}", "refusal", "warning", at, title, text, book.id)]


def tripped_alert(book: Book, bar: datetime, trip: Trip) -> Write:
    """A breaker that tripped."""
    until = f"until {trip.until:%Y-%m-%d %H:%M} UTC" if trip.until else "until a person resumes"
    shared = trip.scope == "account"
    title = f"{'account ' if shared else ''}breaker {trip.breaker.replace('_', ' ')}, {trip.level} {until}"
    severity: Severity = "warning" if trip.level == "reduce" else "error"
    severity = "info" if trip.breaker == "cooldown" and trip.level == "reduce" else severity
    at = close_time(bar, book.timeframe)
    return alert(f"breaker-{trip_name(trip)}", "breaker", severity, at, title, trip.detail, "" if shared else book.id)


def unprotected(book: Book, bar: datetime, position: Decimal) -> Write:
    """A position without its stop, when nothing more can be done about it now."""
    at, title = close_time(bar, book.timeframe), "a position has no stop"
    text = f"a position of {position} has no stop at the venue"
    return alert(f"{bar:%Y%m%dT%H%M}-unprotected", "unprotected", "critical", at, title, text, book.id)


def model_alert(book: Book, version: str, at: datetime, reasons: list[str], live: bool) -> Write:
    """A model that went live, or was refused."""
    why = "; ".join(reasons)
    if not live:
        title = "the new model was refused, the old one stays"
        return alert(f"refused-{at:%Y%m%dT%H%M}", "model_refused", "warning", at, title, why, book.id)
    text = f"model {version} is live" + (f", though the gate refused it: {why}" if why else "")
    severity: Severity = "warning" if why else "info"
    return alert(version, "model_promoted", severity, at, "a new model is live", text, book.id)
