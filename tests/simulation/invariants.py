"""What always holds. The audit sees every commit just before it is made, every order just before the venue takes it,
and how the book and the venue stand after every invocation. What it finds wrong it notes, as a sentence each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from core.domain.act import ATTEMPTS
from core.domain.fills import Account
from core.domain.orders import ZERO, Execution, Intent, Order
from core.domain.state import Book, BookState, opening
from core.ports import Document, Write
from tests.simulation.store import Documents
from tests.simulation.turns import EPOCH
from tests.simulation.venue import Record, Venue

SEVERITY = ("run", "reduce", "halt", "flatten")
EXACT = Decimal("1e-9")  # averages of prices are rounded at the 28th digit


@dataclass(eq=False)
class Audit:
    """`believed`: the book's state as committed last; `foreseen`: bars whose input was fit for new risk, or not."""

    book: Book
    venue: Venue
    documents: Documents
    violations: list[str] = field(default_factory=list)
    written: dict[str, Intent] = field(default_factory=dict)
    booked: set[str] = field(default_factory=set)
    told: dict[str, Document] = field(default_factory=dict)
    fit: dict[datetime, bool] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    believed: BookState = field(init=False)
    paper: dict[str, Execution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.believed = opening(self.book)

    def wrong(self, sentence: str) -> None:
        if sentence not in self.violations:
            self.violations.append(sentence)

    # -- at every commit

    def committed(self, writes: Sequence[Write]) -> None:
        """Called with what is about to be written, while everything still stands as it did."""
        by_room = {write.key.partition("/")[0]: write.data or {} for write in writes}
        told = {write.key.partition("/")[2]: write.data or {} for write in writes if write.key.startswith("outbox/")}
        self.told |= told
        if "paper" in by_room:
            self._paper(msgspec.convert(by_room["paper"], Account))
        if "books" in by_room and by_room["books"].get("state"):
            after = msgspec.convert(by_room["books"]["state"], BookState)
            if after != self.believed:
                if self.believed.trouble and not after.trouble:  # a person resumed the book, and vouches for it
                    self.booked |= set(after.booked)
                else:
                    self._booked(after, told)
                self._sent(after, by_room.get("books", {}))
                self._lost(after, told)
                self.believed = after

    def _paper(self, account: Account) -> None:
        for fill in account.fills:
            self.paper[fill.id] = Execution(
                id=fill.id, order_id="", at=fill.bar, side=fill.side, amount=fill.amount, price=fill.price,
                fee=fill.fee, interest=fill.interest,
            )  # fmt: skip

    def executions(self) -> dict[str, Execution]:
        return self.paper or {done.id: done for done in self.venue.executions}

    def _booked(self, after: BookState, told: dict[str, Document]) -> None:
        """Money and position follow from what was executed, and each execution counts once, and is told of."""
        before = self.believed
        new = [name for name in after.booked if name not in before.booked]
        twice = [name for name in new if name in self.booked]
        if twice or len(set(after.booked)) < len(after.booked):
            self.wrong(f"a fill was booked twice: {twice or after.booked}")
        real = self.executions() if new else {}
        made_up = [name for name in new if name not in real]
        if made_up:
            self.wrong(f"fills were booked that never happened: {made_up}")
            return
        self.booked |= set(new)
        untold = [name for name in new if not any(key.endswith(f"-{name}") for key in told)]
        if untold:
            self.wrong(f"fills were booked that nobody is told of: {untold}")
        done = [real[name] for name in new]
        position = sum((each.amount if each.side == "buy" else -each.amount for each in done), ZERO)
        if after.holding.position - before.holding.position != position:
            self.wrong(f"the position went to {after.holding.position}, which the fills {new} do not make")
        spent = sum(((e.amount if e.side == "buy" else -e.amount) * e.price + e.fee + e.interest for e in done), ZERO)
        if abs(_money(after) - _money(before) + spent) > EXACT:
            self.wrong(f"money went from {_money(before)} to {_money(after)}, but the fills {new} cost {spent}")

    def _sent(self, after: BookState, document: Document) -> None:
        """What is about to be sent is permitted by the switch as it stands now, and on good input only."""
        known = {(order.intent.id, order.intent.attempt, order.sent) for order in self.believed.orders}
        for order in after.orders:
            if order.status != "sent" or (order.intent.id, order.intent.attempt, order.sent) in known:
                continue
            intent = order.intent
            self.written[intent.id] = intent
            mode = self.mode()
            if mode == "halt" or (mode != "run" and intent.leg == "entry"):
                self.wrong(f"an {intent.leg} was about to be sent while the switch said {mode}")
            if intent.leg == "entry" and not self.fit.get(intent.bar, False):
                self.wrong(f"new risk was taken at {intent.bar:%d %H:%M} on input that is not fit for it")
            if (document.get("lease") or {}).get("until") is None:
                self.wrong(f"an {intent.leg} was written down as sent by who does not hold the book")

    def _lost(self, after: BookState, told: dict[str, Document]) -> None:
        if after.trouble and after.trouble != self.believed.trouble:
            self.troubles["".join(c for c in after.trouble.split(":", 1)[-1] if not c.isdigit())[:90]] += 1
            if not any(document.get("severity") == "critical" for document in told.values()):
                self.wrong("the book halted itself and told nobody")

    def mode(self) -> str:
        """What the switches say, read by another eye than the book's."""
        modes = []
        for key in ("switches/global", "switches/btc"):
            data = self.documents.versioned(key).data
            modes.append("run" if data is None else str(data.get("mode")))
        return max(modes, key=SEVERITY.index) if set(modes) <= set(SEVERITY) else "halt"

    # -- at every order that the venue takes

    def accepting(self, intent: Intent) -> None:
        if intent.id not in self.written:
            self.wrong(f"the venue got an {intent.leg} that was not written down")
        if self.venue.quirks.forgetful:
            return
        strict = self.venue.quirks.honest or intent.leg == "entry"  # what only closes, the venue lets close once
        for record in self.venue.records:
            other = record.intent
            if other.id == intent.id:
                self.wrong(f"the venue has the {intent.leg} {intent.id[:8]} of {intent.bar:%d %H:%M} twice")
            elif (other.bar, other.leg) == (intent.bar, intent.leg) and strict and _counts(record):
                self.wrong(f"the venue has two orders for the {intent.leg} of {intent.bar:%d %H:%M}")
        signed = self.venue.position * (1 if intent.side == "buy" else -1)
        if intent.leg == "entry" and abs(self.venue.position) >= self.book.rules.lot and signed > 0:
            self.wrong(f"an entry of {intent.bar:%d %H:%M} came on top of a position of {self.venue.position}")

    # -- after an invocation that nothing disturbed

    def undisturbed(self, positions: Sequence[Decimal]) -> None:
        """`positions`: what the venue may have shown at the last look. Nothing unusual happened for a while."""
        state, venue = self.believed, self.venue
        if state.trouble or state.working or state.mismatches:
            return
        if state.holding.position not in positions:
            self.wrong(f"the book holds {state.holding.position}, the venue {venue.position}, and nothing is open")
        if self.mode() == "halt" or venue.barred() or not venue.quirks.traits.instant:
            return
        self.protected(state.holding.position)

    def protected(self, position: Decimal) -> None:
        """A position has its stop resting, of its whole size, and without a position none rests."""
        resting = [r for r in self.venue.records[-20:] if r.intent.leg == "stop" and r.status == "open"]
        held = abs(position) if abs(position) >= self.book.rules.lot else ZERO
        if held != abs(self.venue.position):
            return  # a stop has been triggered since
        covered = sum((record.intent.amount - record.executed for record in resting), ZERO)
        if held and covered < held and not self._tried():
            self.wrong(f"a position of {position} has stops of {covered} at the venue")
        if covered > held:
            self.wrong(f"stops of {covered} rest at the venue, for a position of {position}")
        if any(record.intent.side == ("buy" if position > 0 else "sell") for record in resting):
            self.wrong("a stop rests on the wrong side")

    def _tried(self) -> bool:
        """Whether the book has tried in vain, as often as it may in one bar, and said so."""
        bar = self.believed.bar
        failed = [o for o in self.believed.orders if o.intent.bar == bar and o.intent.leg != "entry" and o.ended]
        told = bar is not None and any(key.endswith(f"{bar:%Y%m%dT%H%M}-unprotected") for key in self.told)
        return told and sum(not order.filled for order in failed) >= 2 * ATTEMPTS - 1

    # -- at the end, when all has been quiet for some bars

    def settled(self, answers: Sequence[Document]) -> None:
        """Everything has become known, or the book has halted itself for a reason."""
        state, honest = self.believed, self.venue.quirks.honest
        if state.trouble:
            if honest:
                self.wrong(f"the book halted itself, though the venue told the truth: {state.trouble}")
            return
        if not honest:
            return
        outcomes = [str(answer.get("outcome")) for answer in answers]
        if any(outcome in ("busy", "crashed", "500") for outcome in outcomes):
            self.wrong(f"with nothing failing any more, the answers were {outcomes}")
        if answers and str(answers[-1].get("reason", "")).startswith(("window", "market", "model", "unsettled")):
            self.wrong(f"the book never comes back from {answers[-1]['reason']}")
        if state.unsettled or (state.working and self.venue.quirks.traits.instant):
            self.wrong("orders stay unsettled for ever: " + ", ".join(_order(order) for order in state.working))
        self._agrees(state)

    def flat(self) -> None:
        """After flattening nothing is held that can be traded, and no stop rests."""
        position, lot = self._truth()[0], self.book.rules.lot
        if abs(position) >= lot:
            self.wrong(f"after flattening the venue still holds {position}")
        if any(record.rests for record in self.venue.records[-20:]):
            self.wrong("after flattening a stop rests at the venue")

    def _agrees(self, state: BookState) -> None:
        position, money = self._truth()
        if state.holding.position != position:
            self.wrong(f"in the end the book holds {state.holding.position} and the venue {position}")
        elif abs(_money(state) - money) > EXACT:
            self.wrong(f"in the end the book has {_money(state)} and the venue {money}")
        elif self.venue.quirks.traits.instant and self.mode() != "halt":
            self.protected(position)

    def _truth(self) -> tuple[Decimal, Decimal]:
        """Position, and money as if it had been bought at its average price, as the venue has it."""
        venue: Any = self.venue
        if self.venue.quirks.traits.instant:
            return venue.position, venue.cash - venue.position * venue.average
        stored = self.documents.versioned("paper/btc").data
        holding = msgspec.convert(stored, Account).holding if stored else opening(self.book).holding
        return holding.position, holding.cash - holding.position * holding.average_price


def _money(state: BookState) -> Decimal:
    holding = state.holding
    return holding.cash - holding.position * holding.average_price


def _counts(record: Record) -> bool:
    """Whether this order may still fill, or has: no other of its leg and bar may stand beside it."""
    if record.intent.leg == "entry":
        return record.status == "open" or record.executed > 0
    return record.status == "open"


def _order(order: Order) -> str:
    return f"{order.intent.leg} {order.status} since {order.sent or EPOCH:%d %H:%M:%S}"
