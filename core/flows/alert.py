"""alert: the outbox is told to a person, through one channel: nothing lost, nothing twice, many as few.

One deliverer at a time, by a lease in the document `desk/alerts`. Which alerts are about to be shown is written there
before they are sent: should it stay unknown whether they were, the next message says that it may be a repeat. What was
told leaves the outbox in the same commit that remembers it; what is held back stays there until it is due.
"""

from __future__ import annotations

import logging
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from core.domain.alerts import Alert, Memory, Message, Parcel, Plan, Severity, mark, marks, plan, remember, understood
from core.flows.claim import plain
from core.ports import Clock, Conflict, Document, Later, Notifier, StateStore, Unavailable, Versioned, Write

DESK: Final = "desk/alerts"
LEASE: Final = timedelta(seconds=60)  # longer than one message can take
SCANNED: Final = 20_000  # of the outbox at once, which bounds memory
CLEARED: Final = 400  # documents that leave the outbox in one commit
ROUNDS: Final = 50
PATIENCE_S: Final = 5.0  # a channel that asks for no more is waited for
BACKOFF_S: Final = (15.0, 600.0)  # after the first failure, and at most
LONGEST: Final = timedelta(hours=1)  # that a channel's word, or a clock that was wrong, can silence us
SHOWN: Final = {
    "condition": "condition_name",
    "resource": "resource_display_name",
    "value": "observed_value",
    "threshold": "threshold_value",
}

log = logging.getLogger("hourhand.alert")


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """The deliverer's document. `doubt`: marks of the alerts that may have been shown, though nobody said so."""

    owner: str = ""
    until: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0
    why: str = ""
    doubt: bytes = b""
    memory: Memory = Memory()


def deliver(
    state: StateStore,
    notifier: Notifier,
    clock: Clock,
    repeat: timedelta = timedelta(hours=1),
    clean: Callable[[str], str] = str,
) -> Document:
    """Tells what is pending. Outcome `done`; `busy`: another one is at it; `waiting`: the channel asked for patience,
    or failed a moment ago; `failed`: it fails. `clean` takes secrets out of a text. Raises Unavailable (of the state).
    """
    delivery = _Delivery(state, notifier, clock, repeat, clean)
    told = messages = 0
    for _ in range(ROUNDS):
        try:
            step = delivery.round()
        except Conflict:
            step = _said("busy", "another delivery has begun meanwhile")
        if not isinstance(step, _Sent):
            return {**step, "told": told, "messages": messages}
        told, messages = told + step.alerts, messages + step.messages
    return {**_said("waiting", "more came than can be told at once"), "told": told, "messages": messages}


def post(state: StateStore, alert: Alert) -> None:
    """Puts one alert into the outbox, where it may be already. Raises Unavailable."""
    document = plain(alert)
    try:
        state.commit([Write(f"outbox/{document.pop('id')}", document, None)])
    except Conflict:
        log.info("this alert is in the outbox already", extra={"alert": alert.id})


@dataclass(frozen=True, slots=True)
class _Sent:
    alerts: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class _Delivery:
    state: StateStore
    notifier: Notifier
    clock: Clock
    repeat: timedelta
    clean: Callable[[str], str]

    def round(self) -> _Sent | Document:
        """Sends at most one call of messages. An answer ends the delivery. Raises Conflict: another one is at it.

        The last round of each delivery looks into the outbox after the lease has been given back, so that an alert
        whose own wake-up found it taken is seen here.
        """
        found = self.state.read([DESK])[DESK]
        desk, now = _desk(found), self.clock.now()
        if (until := _ahead(desk.until, now, 2 * LEASE)) is not None:
            return _said("busy", f"another delivery is at it until {until.isoformat()} at the latest")
        if (until := _ahead(desk.not_before, now, LONGEST)) is not None:
            return _said("waiting", f"nothing is sent before {until.isoformat()}: {desk.why}")
        pending = [understood(*row, now) for row in islice(self.state.scan("outbox"), SCANNED)]
        planned = plan(pending, desk.memory, now, self.repeat, marks(desk.doubt))
        if planned.known:
            self._clear(planned.known)
        elif planned.parcels:
            return self._tell(desk, found, planned.parcels, pending)
        else:
            return _held(planned)
        return _Sent()

    def _clear(self, known: Sequence[str]) -> None:
        for start in range(0, len(known), CLEARED):
            self.state.commit(_gone(known[start : start + CLEARED]))

    def _tell(
        self, desk: Desk, found: Versioned, parcels: Sequence[Parcel], pending: Sequence[Alert]
    ) -> _Sent | Document:
        batch = parcels[: max(1, self.notifier.most)]
        alerts = [alert for parcel in batch for alert in parcel.alerts]
        still = marks(desk.doubt) & {mark(alert.id) for alert in pending}
        trying = b"".join(sorted(still | {mark(alert.id) for alert in alerts}))
        taken = replace(desk, owner=uuid4().hex, until=self.clock.now() + LEASE, doubt=trying)
        version = self.state.commit([_desk_write(taken, found.version)])[DESK]
        try:
            self._send([self._cleaned(parcel.message) for parcel in batch])
        except Unavailable as failure:
            # Later was certainly not shown: only what was in doubt before stays so.
            doubt = b"".join(sorted(still)) if isinstance(failure, Later) else trying
            return self._failed(replace(taken, doubt=doubt), version, failure, alerts)
        now = self.clock.now()
        left = b"".join(sorted(still - {mark(alert.id) for alert in alerts}))
        rested = Desk(doubt=left, memory=remember(desk.memory, batch, now, self.repeat))
        gone = [alert.id for alert in alerts]
        self.state.commit([_desk_write(rested, version), *_gone(gone[:CLEARED])])
        self._clear(gone[CLEARED:])
        log.info("told", extra={"alerts": len(alerts), "messages": len(batch)})
        return _Sent(len(alerts), len(batch))

    def _cleaned(self, message: Message) -> Message:
        fields = {self.clean(name): self.clean(value) for name, value in message.fields.items()}
        return replace(message, title=self.clean(message.title), text=self.clean(message.text), fields=fields)

    def _send(self, messages: Sequence[Message]) -> None:
        try:
            self.notifier.send(messages)
        except Later as later:
            if not 0 < later.seconds <= PATIENCE_S:
                raise
            self.clock.sleep(later.seconds)
            self.notifier.send(messages)

    def _failed(self, desk: Desk, version: str, failure: Unavailable, alerts: Sequence[Alert]) -> Document:
        """Remembers when to come back, and says in the log what could not be said elsewhere."""
        asked = failure.seconds if isinstance(failure, Later) else 0.0
        failures = desk.failures + (0 if asked > 0 else 1)
        first, most = BACKOFF_S
        pause = min(asked, LONGEST.total_seconds()) if asked > 0 else min(first * 2 ** min(failures - 1, 20), most)
        why = self.clean(str(failure))
        until = self.clock.now() + timedelta(seconds=pause)
        rested = replace(desk, owner="", until=None, not_before=until, failures=failures, why=why[:500])
        log.error(
            "waiting alerts: %d, the channel does not take them: %s", len(alerts), why,
            extra={"waiting": [self.clean(f"{alert.severity}: {alert.title}") for alert in alerts[:10]]},
        )  # fmt: skip
        self.state.commit([_desk_write(rested, version)])
        reason = f"waiting alerts: {len(alerts)}, the next try is not before {until.isoformat()}: {why}"
        return _said("waiting" if asked > 0 else "failed", reason)


def _desk(found: Versioned) -> Desk:
    """One that is damaged is begun anew: a repeat is better than silence."""
    try:
        return msgspec.convert(found.data or {}, Desk)
    except msgspec.ValidationError as failure:
        log.error("the document %s is damaged and begun anew, some alerts may be repeated: %s", DESK, failure)
        return Desk()


def _desk_write(desk: Desk, version: str | None) -> Write:
    return Write(DESK, plain(desk), version)


def _gone(ids: Sequence[str]) -> list[Write]:
    return [Write(f"outbox/{name}", None) for name in ids]


def _ahead(time: datetime | None, now: datetime, most: timedelta) -> datetime | None:
    """`time`, where it lies ahead of now, by no more than it can."""
    if time is None or time.tzinfo is None:
        return None
    return time if now < time <= now + most else None


def _said(outcome: str, reason: str) -> Document:
    return {"outcome": outcome, "book": None, "bar": None, "reason": reason}


def _held(planned: Plan) -> Document:
    if not planned.held:
        return {**_said("done", "nothing is left to tell"), "held": 0, "due": None}
    due = planned.due.isoformat() if planned.due else None
    return {**_said("done", f"{planned.held} repeats are held until {due}"), "held": planned.held, "due": due}


# --- Cloud Monitoring, and the budget -------------------------------------------------------------------------------


def incident(body: bytes, now: datetime) -> Alert | None:
    """The alert of a Cloud Monitoring notification, as Pub/Sub pushes it or by itself, or of a budget's threshold;
    None: the body is none of them, or the budget has nothing to tell.

    A Pub/Sub message that cannot be understood is an alert as well: refused, it would come again for ever.
    https://cloud.google.com/monitoring/support/notification-options#schema-pubsub
    https://cloud.google.com/billing/docs/how-to/budgets-programmatic-notifications#notification_format
    """
    given = _json(body)
    message = given.get("message")
    if not isinstance(message, dict):
        return _incident(given, now)
    data = message.get("data")
    try:
        told = b64decode(data, validate=True) if isinstance(data, str) else b""
    except ValueError:
        told = str(data).encode()
    if not told.strip():
        return None
    document = _json(told)
    if "budgetDisplayName" in document and "costAmount" in document:
        return _budget(document, now)
    return _incident(document, now) or Alert(
        id=_id(str(message.get("messageId") or mark(str(told)).hex()), "unread"),
        event="monitoring", severity="error", at=now, title="A monitoring message that cannot be read",
        text=told[:1500].decode(errors="replace"),
    )  # fmt: skip


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _incident(given: Mapping[str, Any], now: datetime) -> Alert | None:
    told = given.get("incident")
    if not isinstance(told, dict):
        return None
    closed = told.get("state") == "closed"
    name = _text(told, "policy_name") or _text(told, "condition_name") or "an alerting policy"
    at = told.get("ended_at" if closed else "started_at")
    fields = {label: _text(told, key) for label, key in SHOWN.items()}
    url = _text(told, "url")
    return Alert(
        id=_id(_text(told, "incident_id") or mark(str(told)).hex(), _text(told, "state") or "open"),
        event="monitoring",
        severity="info" if closed else _severity(_text(told, "severity")),
        at=datetime.fromtimestamp(at, UTC) if isinstance(at, int) and 0 < at < 2**33 else now,
        title=f"Cloud Monitoring: {name}{' (over)' if closed else ''}",
        text="\n".join(line for line in (_text(told, "summary"), url) if line),
        fields={label: value for label, value in fields.items() if value},
    )


def _budget(told: Mapping[str, Any], now: datetime) -> Alert | None:
    """Google says several times an hour how the budget stands, all month long: one alert for each threshold of a
    month, by its id. Of what is forecast as well, which may be passed before or after what is spent."""
    spent, forecast = _number(told, "alertThresholdExceeded"), _number(told, "forecastThresholdExceeded")
    if spent <= 0 and forecast <= 0:
        return None
    name, currency, month = (_text(told, key) for key in ("budgetDisplayName", "currencyCode", "costIntervalStart"))
    amount = f"{_number(told, 'budgetAmount'):,.2f} {currency}".strip()
    so_far = f"{spent:.0%} of {amount} is spent" if spent > 0 else f"{amount} may not do"
    expected = f"By the end of the month more than {forecast:.0%} is expected."
    return Alert(
        id=_id(f"budget-{name}-{month[:10]}", f"{spent:.2f}-{forecast:.2f}"),
        event="monitoring",
        severity="error" if spent >= 1 else "warning" if spent >= 0.9 or forecast >= 1 else "info",
        at=now,
        title=f"Budget {name}: {so_far}",
        text=expected if forecast > 0 else "",
        fields={"spent": f"{_number(told, 'costAmount'):,.2f} {currency}".strip(), "since": month},
    )


def _number(told: Mapping[str, Any], name: str) -> float:
    """0 when it is not told."""
    value = told.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _severity(said: str) -> Severity:
    levels: dict[str, Severity] = {"critical": "critical", "error": "error", "warning": "warning"}
    return levels.get(said.lower(), "error")


def _id(incident: str, state: str) -> str:
    return re.sub(r"[^\w.-]", "-", f"monitoring-{incident}-{state}")[:200]
