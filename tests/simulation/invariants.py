"""What always holds. The audit sees every commit just before it is made, every order just before the venue takes it,
and how the book and the venue stand after every invocation. What it finds wrong it notes, as a sentence each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from typing import Any

import msgspec

from core.domain.act import ATTEMPTS
from core.domain.bars import close_time
from core.domain.fills import Account
from core.domain.orders import ZERO, Execution, Intent, Order
from core.domain.state import Book, BookState, opening
from core.ports import Document, Write
from tests.simulation.store import Documents
from tests.simulation.turns import EPOCH, SECOND, moment
from tests.simulation.venue import Record, Venue

SEVERITY = ("run", "reduce", "halt", "flatten")
SLOWEST = 203  # seconds
EXACT = Decimal("1e-9")  # averages of prices are rounded at the 28th digit


@dataclass(eq=False)
class Audit:
    """`believed`: the book's state as committed last; `fit`: bars whose input was fit for new risk, or not;
    `strangers`: somebody trades by hand; `vouched`: a person has said go on since the book halted itself last."""

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
    strangers: bool = False
    vouched: bool = False
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
        self._kept(writes)
        self._tripped(by_room, told)
        if "paper" in by_room:
            self._paper(msgspec.convert(by_room["paper"], Account))
        self._operated(writes)
        if "books" in by_room and by_room["books"].get("state"):
            after = msgspec.convert(by_room["books"]["state"], BookState)
            if by_room.get("ticks", {}).get("phase") == "done":
                self._done(after)
            if after != self.believed:
                if self.believed.trouble and not after.trouble:
                    self._resumed(after)
                else:
                    self._booked(after, told)
                if self.believed.bar and after.bar and after.bar < self.believed.bar:
                    self.wrong(f"the book went back from {self.believed.bar:%d %H:%M} to {after.bar:%d %H:%M}")
                self._sent(after, by_room.get("books", {}))
                self._lost(after, told, writes)
                self.believed = after

    def _kept(self, writes: Sequence[Write]) -> None:
        """What was decided stays so, and what was answered, too, once the tick is over."""
        for write in writes:
            before = self.documents.versioned(write.key).data if write.key.startswith("ticks/") else None
            after = write.data or {}
            if before and before["decision"] != after.get("decision"):
                self.wrong("a decision was written over")
            if before and before["phase"] == "done" and before["answer"] != after.get("answer"):
                self.wrong("an answer that had been given was written over")

    def _tripped(self, by_room: dict[str, Document], told: dict[str, Document]) -> None:
        """A breaker that the guard finds is told of in the same breath."""
        if "breakers" not in by_room:
            return
        stored = (self.documents.versioned("breakers/btc").data or {}).get("trips", [])
        now, known = moment(self.venue.time.now), {trip["breaker"] for trip in stored}
        new = {trip["breaker"] for trip in by_room["breakers"].get("trips", [])} - known
        untold = [name for name in new if not any(f"-breaker-book-{name}-" in key for key in told)]
        if untold:
            self.wrong(f"breakers tripped at {now:%d %H:%M} and nobody is told of it: {untold}")

    def _operated(self, writes: Sequence[Write]) -> None:
        for write in writes:
            if write.key == "switches/btc" and self.believed.trouble and (write.data or {}).get("by") == "operator":
                self.vouched = self.vouched or (write.data or {}).get("mode") in ("run", "reduce", "flatten")

    def _done(self, after: BookState) -> None:
        """A tick is over when nothing of it is left to be sent."""
        left = [_order(order) for order in after.orders if order.status in ("planned", "sent")]
        if left and not after.trouble:
            self.wrong(f"a tick was written down as done with orders left: {left}")

    def _resumed(self, after: BookState) -> None:
        """A person has looked, and vouches for what the book takes the venue's word for."""
        if not self.vouched:
            self.wrong("a book that needed a person went on by itself")
        self.booked |= set(after.booked)

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
        if foreign := [name for name in new if real[name].order_id in self.venue.strangers and not self._alike(after)]:
            self.wrong(f"fills were booked that are somebody else's: {foreign}")
        self.booked |= set(new)
        self._told_of(after, new, told)
        done = [real[name] for name in new]
        position = sum((each.amount if each.side == "buy" else -each.amount for each in done), ZERO)
        if after.holding.position - before.holding.position != position:
            self.wrong(f"the position went to {after.holding.position}, which the fills {new} do not make")
        spent = sum(((e.amount if e.side == "buy" else -e.amount) * e.price + e.fee + e.interest for e in done), ZERO)
        if abs(_money(after) - _money(before) + spent) > EXACT:
            self.wrong(f"money went from {_money(before)} to {_money(after)}, but the fills {new} cost {spent}")

    def _told_of(self, after: BookState, new: Sequence[str], told: dict[str, Document]) -> None:
        """Each execution that opens is told of, and each trade that it closes."""
        legs = {order.order_id: order.intent.leg for order in after.orders if order.order_id}
        real = self.executions()
        opening = [name for name in new if (legs.get(real[name].order_id) or _cause(name)) == "entry"]
        untold = [name for name in opening if not any(key.endswith(f"-{name}") for key in told)]
        if untold:
            self.wrong(f"fills were booked that nobody is told of: {untold}")
        if after.closed > self.believed.closed and not any("-trade-" in key for key in told):
            self.wrong(f"{after.closed - self.believed.closed} trades closed, and nobody is told of it")

    def _alike(self, after: BookState) -> bool:
        """Whether a stranger's order that the book took for its own is like it in all that the venue shows."""
        by_number = {record.number: record.intent for record in self.venue.records}
        taken = [order for order in after.orders if order.order_id in self.venue.strangers]
        pairs = [(order.intent, by_number[order.order_id]) for order in taken]
        nameless = self.venue.quirks.traits.identity in ("listing", "none")
        return nameless and bool(pairs) and all((a.side, a.amount) == (b.side, b.amount) for a, b in pairs)

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
            self._timely(intent, after)
            self._sized(intent, after.holding.position)
            if intent.leg == "entry" and self.venue.quirks.traits.instant:
                self._agreed(after.holding.position)
            if after.trouble:
                self.wrong(f"an {intent.leg} was about to be sent by a book that needs a person")
            if (document.get("lease") or {}).get("until") is None:
                self.wrong(f"an {intent.leg} was written down as sent by who does not hold the book")

    def _sized(self, intent: Intent, position: Decimal) -> None:
        """What is sent may be traded; and an exit or a stop closes, of what is held, no more than there is."""
        if not intent.amount or self._tradable(intent.amount) != intent.amount:
            self.wrong(f"an {intent.leg} of {intent.amount} was about to be sent")
        left = position if intent.side == "sell" else -position
        if intent.leg != "entry" and self.venue.quirks.traits.instant and intent.amount > left:
            self.wrong(f"an {intent.leg}, {intent.side} {intent.amount}, would not close a position of {position}")

    def _agreed(self, position: Decimal) -> None:
        """Nothing is opened while the venue has held something else for longer than its lags and a commit take."""
        off = takewhile(lambda held: held[1] != position, reversed(self.venue.positions))
        since = min((at for at, _ in off), default=self.venue.time.now)
        if self.venue.time.now - since > 1.5 * SLOWEST * SECOND:
            self.wrong(
                f"an entry was about to be sent by a book of {position}, long after the venue had another position"
            )

    def _timely(self, intent: Intent, after: BookState) -> None:
        """No order of a bar is sent at a later one, and no entry long after its bar. A commit may take SLOWEST."""
        if intent.leg != "stop" and intent.bar != after.bar:
            self.wrong(f"an {intent.leg} of {intent.bar:%d %H:%M} was about to be sent at the bar {after.bar:%d %H:%M}")
        age = (moment(self.venue.time.now) - close_time(intent.bar, self.book.timeframe)).total_seconds()
        if intent.leg == "entry" and 0 < self.book.max_lateness_s < age - SLOWEST:
            self.wrong(f"an entry was about to be sent {age:.0f} s after its bar {intent.bar:%d %H:%M}")

    def _lost(self, after: BookState, told: dict[str, Document], writes: Sequence[Write]) -> None:
        if after.trouble and not self.believed.trouble:
            self.vouched = False
            halting = any(write.key == "switches/btc" and (write.data or {}).get("mode") == "halt" for write in writes)
            if not halting and self._own() in SEVERITY[:2]:
                self.wrong("the book is in trouble and has not halted itself")
        if after.trouble and after.trouble != self.believed.trouble:
            self.troubles[re.sub(r"order \w+|-?[0-9.]+(, )?|\(.*?\)", "·", after.trouble)[:90]] += 1
            if not any(document.get("severity") == "critical" for document in told.values()):
                self.wrong("the book halted itself and told nobody")

    def mode(self) -> str:
        """What the switches say, read by another eye than the book's."""
        modes = []
        for key in ("switches/global", "switches/btc"):
            data = self.documents.versioned(key).data
            modes.append("run" if data is None else str(data.get("mode")))
        if not set(modes) <= set(SEVERITY):
            return "halt"
        now = moment(self.venue.time.now)
        trips = (self.documents.versioned("breakers/btc").data or {}).get("trips", [])
        modes += [trip["level"] for trip in trips if trip.get("until") is None or trip["until"] > now]
        return max(modes, key=SEVERITY.index)

    def _own(self) -> str:
        data = self.documents.versioned("switches/btc").data
        return "run" if data is None else str(data.get("mode"))

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
        if intent.leg == "entry" and self._tradable(self.venue.position) and not self.strangers:
            self.wrong(f"an entry of {intent.bar:%d %H:%M} came on top of a position of {self.venue.position}")

    def _tradable(self, position: Decimal) -> Decimal:
        """As much of it as may be traded: what is less than that is dust."""
        return self.book.rules.floor(abs(position))

    # -- after an invocation that nothing disturbed

    def undisturbed(self, positions: Sequence[Decimal]) -> None:
        """`positions`: what the venue may have shown at the last look. Nothing unusual happened for a while."""
        state, venue = self.believed, self.venue
        if state.trouble or state.working or state.mismatches or self.strangers:
            return
        if state.holding.position not in positions:
            self.wrong(f"the book holds {state.holding.position}, the venue {venue.position}, and nothing is open")
        if self.mode() == "halt" or venue.barred() or not venue.quirks.traits.instant:
            return
        self.protected(state.holding.position)

    def protected(self, position: Decimal) -> None:
        """A position has its stop resting, of its whole size, and without a position none rests."""
        resting = [r for r in self.venue.records[-20:] if r.intent.leg == "stop" and r.status == "open"]
        held = self._tradable(position)
        if position != self.venue.position:
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
            if honest and not self.strangers:
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
        position = self._truth()[0]
        if self._tradable(position):
            self.wrong(f"after flattening the venue still holds {position}")
        if any(record.rests for record in self.venue.records[-20:]):
            self.wrong("after flattening a stop rests at the venue")

    def _agrees(self, state: BookState) -> None:
        position, money = self._truth()
        if state.holding.position != position:
            self.wrong(f"in the end the book holds {state.holding.position} and the venue {position}")
        elif abs(_money(state) - money) > EXACT and not (self.vouched or self.strangers):
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


def _cause(name: str) -> str:
    """What a fill of the paper exchange was, by its name."""
    return re.sub(r"\d.*", "", name)


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
