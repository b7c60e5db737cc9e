"""Measures: what every answer comes to, and every failure of a source, as one line of the log each.

Metrics, dashboards and alerts are made of these lines, by the names in FIELDS: nothing is asked of a metrics service,
and a run costs one line more. A flow says what it knows while it works; who called it (functions/http.py) adds how it
ended and prints. Where nobody asked for measures, what a flow says is dropped.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal

import msgspec

from core.domain.orders import Order
from core.domain.risk import Policy, regime
from core.domain.state import BookState
from core.domain.switch import mode_of
from core.ports import Document

LOGGER: Final = "hourhand.metrics"
AUDIT: Final = "hourhand.audit"  # who did what; kept for longer
REPEATED: Final = "repeated"  # the outcome of a call for a bar that was decided already: each bar counts once
ANSWERS: Final = ("tick", "guard", "train", "cleanup", "alert", "status")

log = logging.getLogger(LOGGER)
audit = logging.getLogger(AUDIT)


class Measure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One answer. What is not known is absent, and so is what the flow has not come to.

    seconds: of the book's work; limit_s: when the function is cut off. mode to lateness_s: of the decision. equity,
    price in quote currency; position: signed, in base coin; exposure: its worth over the equity; unsettled: orders of
    which the outcome is not known; trouble: the book has halted itself; lateness_s: from the close to the decision.
    """

    event: str
    book: str
    bar: str | None = None
    outcome: str | None = None
    reason: str | None = None
    seconds: float | None = None
    limit_s: float | None = None
    mode: str | None = None
    action: str | None = None
    equity: float | None = None
    position: float | None = None
    exposure: float | None = None
    price: float | None = None
    p_up: float | None = None
    vix: float | None = None
    vix_regime: str | None = None
    model: str | None = None
    model_age_days: float | None = None
    unsettled: int | None = None
    trouble: bool | None = None
    lateness_s: float | None = None
    explanation: str | None = None


class SourceFailure(msgspec.Struct, kw_only=True):
    """A source of data that failed now; `series`: vix, bars, minutes, look, market, or one of domain.outside."""

    event: Literal["source"] = "source"
    book: str
    series: str
    source: str
    reason: str


class Trouble(msgspec.Struct, kw_only=True):
    """What a person must look at: the book halted itself, or nobody knows what became of an order."""

    event: Literal["trouble"] = "trouble"
    book: str
    kind: Literal["halted", "unknown_order"]
    reason: str


class Flip(msgspec.Struct, kw_only=True):
    """A switch that says something else than before, of one book or `global`; `by`: who flipped it, as it says."""

    event: Literal["switch"] = "switch"
    book: str
    mode: str
    by: str
    reason: str


FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(ANSWERS, Measure.__struct_fields__),
    "source": SourceFailure.__struct_fields__,
    "trouble": Trouble.__struct_fields__,
    "switch": Flip.__struct_fields__,
}

_current: ContextVar[Measure | None] = ContextVar("hourhand_measure", default=None)


# -- for who calls a flow


@contextmanager
def collected(event: str, book: str) -> Iterator[Measure]:
    """Inside, what a flow says is kept in the Measure; also what it says in threads with a copied context."""
    measure = Measure(event=event, book=book)
    token = _current.set(measure)
    try:
        yield measure
    finally:
        _current.reset(token)


def answered(measure: Measure, answer: Document, seconds: float, limit_s: float | None = None) -> None:
    """Prints the line of `answer`."""
    measure.bar, measure.reason = answer.get("bar"), answer.get("reason")
    measure.seconds, measure.limit_s = round(seconds, 3), limit_s
    if measure.outcome != REPEATED:
        measure.outcome, measure.explanation = answer["outcome"], answer.get("explanation")
    log.info(measure.event, extra=msgspec.to_builtins(measure))


# -- for flows: how an answer came about


def repeated() -> None:
    """The answer is one that was given before."""
    if measure := _current.get():
        measure.outcome = REPEATED


def decided(record: Document, policy: Policy, lateness_s: float, model_age_days: float | None = None) -> None:
    """What a tick's record says of its decision; also of one that an earlier invocation had written down."""
    measure = _current.get()
    if measure is None:
        return
    said, seen = record.get("answer") or {}, record.get("view") or {}
    measure.mode, measure.action, measure.model = said.get("mode"), said.get("action"), said.get("model")
    measure.price, measure.p_up, measure.vix = (_number(seen.get(name)) for name in ("price", "p_up", "vix"))
    measure.vix_regime = regime.vix(math.nan if measure.vix is None else measure.vix, policy)
    measure.lateness_s, measure.model_age_days = _number(lateness_s), _number(model_age_days)


def stands(state: BookState) -> None:
    """Where the book stands by what was written down last."""
    measure = _current.get()
    if measure is None:
        return
    equity, position, price = (_number(value) for value in (state.equity, state.holding.position, state.price))
    measure.equity, measure.position = equity, position
    if position is not None and price is not None and equity is not None and equity > 0:
        measure.exposure = _number(abs(position) * price / equity)
    measure.unsettled, measure.trouble = len(state.unsettled), bool(state.trouble)


def _number(value: Any) -> float | None:
    """A number that JSON has; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


# -- for flows: what went wrong


def source_failed(book: str, series: str, source: str, reason: str) -> None:
    _warn(SourceFailure(book=book, series=series, source=source, reason=reason))


def sources_failed(book: str, series: str, failures: Iterable[str]) -> None:
    """`failures` as core.flows.vix tells them: `source: what happened`."""
    for failure in failures:
        source, _, reason = failure.partition(": ")
        source_failed(book, series, source, reason)


def known(state: BookState) -> frozenset[str]:
    """What has been told of a state that is written down: its trouble, and orders that nobody knew of."""
    lost = [order.intent.id for order in state.orders if order.status == "unknown"]
    return frozenset([*lost, *([state.trouble] if state.trouble else [])])


def troubled(book: str, state: BookState, told: frozenset[str], over: bool) -> frozenset[str]:
    """Tells what is new of a state that was just written down, and returns what has been told. `over`: the work at this
    bar ends with it, so that an order of which nothing is known stays unknown for now. A book that has halted itself
    says which order it was."""
    if state.trouble and state.trouble not in told:
        _warn(Trouble(book=book, kind="halted", reason=state.trouble), logging.ERROR)
    new = [order for order in state.unsettled if order.intent.id not in told] if over and not state.trouble else []
    for order in new:
        _warn(Trouble(book=book, kind="unknown_order", reason=_named(order)), logging.ERROR)
    return frozenset([*told, state.trouble, *(order.intent.id for order in new)])


def flipped(scope: str, switch: Any) -> None:
    """Tells that a switch says something else now; its document as it was found, None: it is gone."""
    said = switch if isinstance(switch, dict) else {}
    by, reason = str(said.get("by") or "nobody said"), str(said.get("reason") or "")
    line = Flip(book=scope, mode=mode_of(switch), by=by, reason=reason)
    audit.warning(line.event, extra=msgspec.to_builtins(line))


def _named(order: Order) -> str:
    intent = order.intent
    return f"{intent.leg} {intent.side} {intent.amount} ({intent.id}): {order.detail or 'no answer'}"


def _warn(line: SourceFailure | Trouble, level: int = logging.WARNING) -> None:
    log.log(level, line.event, extra=msgspec.to_builtins(line))
