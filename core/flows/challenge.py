"""The challenger: trades on paper beside the live model, and is promoted only on evidence (docs/models.md).

`models/{book}` names it as `challenger`; `challengers/{book}` holds how the challenge stands. A tick folds its bar into
that document once its own work is done, in no way able to harm it. `train` reads it and decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec

from core.domain.bars import Bars, bar_before
from core.domain.challenge import Challenge, Terms, Verdict, began, folded, verdict
from core.domain.decide import Foresight
from core.domain.forecast import Model
from core.domain.state import Book
from core.flows.claim import Tick, plain
from core.flows.outbox import alert
from core.flows.serving import Problem, mismatched, pointer_key, stored_model
from core.ports import Conflict, Document, Unavailable, Versioned, World, Write

log = logging.getLogger("hourhand.challenge")
ATTEMPTS = 3
SPARE = 0.3  # of the lease must be left: a challenger has no part in making a tick late

Ask = Callable[[Model | None, Problem | None], Foresight]


class Seen(NamedTuple):
    """What a tick saw at its bar. `problem`: why no model at all may speak; `champion`: what the live one, if any,
    foresaw; `ask`: what another foresees of the same bars."""

    bars: Bars
    problem: Problem | None
    live: Model | None
    champion: Foresight
    ask: Ask


def key(book: str) -> str:
    return f"challengers/{book}"


def entry_of(pointer: Document | None) -> Document | None:
    """What the pointer says of a challenger; None when there is none, or nonsense."""
    entry = (pointer or {}).get("challenger")
    sound = (
        isinstance(entry, dict) and isinstance(entry.get("since"), datetime) and isinstance(entry.get("version"), str)
    )
    return entry if sound else None


# -- a bar


def shadow(run: Tick, book: Book, pointer: Versioned, seen: Seen) -> None:
    """Folds the tick's bar into the challenge, once. Raises nothing: no challenge is worth a tick."""
    try:
        if run.time_left() < SPARE * run.world.lease_s:
            log.warning("too little time is left for the challenger at this bar", extra={"book": book.id})
            return
        _shadow(run, book, pointer, seen)
    except Conflict:
        log.info("another invocation has gone on with the challenge", extra={"book": book.id})
    except Exception as failure:
        log.warning("the challenger missed this bar: %r", failure, extra={"book": book.id})


def _shadow(run: Tick, book: Book, pointer: Versioned, seen: Seen) -> None:
    world, entry = run.world, entry_of(pointer.data)
    if entry is None:
        log.warning("models/%s names a challenger that cannot be understood", book.id)
        return
    stored = world.state.read([key(book.id)])[key(book.id)]
    known = _known(stored.data, entry) or began(book, entry["since"], run.bar)
    if known.bar is not None and known.bar >= run.bar:
        return
    model = stored_model(world, book, entry, "challenger")
    if not isinstance(model, Model):
        log.warning("the challenger missed this bar: %s", model[1], extra={"book": book.id})
        return
    problem = seen.problem or mismatched(model, book, run.bar)
    new = folded(known, book, seen.bars, run.bar, seen.champion, seen.ask(model, problem), _label(seen.live, model))
    world.state.commit([Write(key(book.id), plain(new), stored.version)], {pointer_key(book.id): pointer})


def _known(document: Document | None, entry: Document) -> Challenge | None:
    """The challenge so far; None when it is another's, or cannot be understood."""
    try:
        known = msgspec.convert(document, Challenge) if document else None
    except msgspec.ValidationError as failure:
        log.warning("the challenge is damaged, and begins anew: %s", failure)
        return None
    return known if known and known.since == entry["since"] else None


def _label(live: Model | None, challenger: Model) -> tuple[int, float] | None:
    """Horizon and cost, when both models foresee the same."""
    made = challenger.manifest
    if live is None or (live.manifest.horizon, live.manifest.cost) != (made.horizon, made.cost):
        return None
    return made.horizon, made.cost


# -- the end


def decided(world: World, book: Book, terms: Terms, at: datetime) -> tuple[Verdict, Document] | None:
    """What becomes of the challenger, written down: the verdict, and the pointer as it is then. None: there is none.

    A promotion is one commit: the pointer names the new live model with the evidence, the challenge is over, a person
    is told. Raises Unavailable.
    """
    for _ in range(ATTEMPTS):
        names = [pointer_key(book.id), key(book.id)]
        found = world.state.read(names)
        pointer, stored = found[names[0]], found[names[1]]
        entry = entry_of(pointer.data)
        if entry is None:
            return None
        known = _known(stored.data, entry) or began(book, entry["since"], bar_before(at, book.timeframe))
        said = verdict(known, terms)
        after, writes = _writes(book, pointer, stored, entry, known, said, at)
        try:
            written = {write.key for write in writes}
            watch = {name: read for name, read in found.items() if name not in written}
            world.state.commit(writes, watch) if writes else None
        except Conflict:
            continue
        log.info("challenger: %s: %s", said.outcome, said.reason, extra={"book": book.id})
        return said, after
    raise Unavailable(f"the challenge of {book.id} moved on {ATTEMPTS} times while it was judged: try again")


def _writes(
    book: Book, pointer: Versioned, stored: Versioned, entry: Document, known: Challenge, said: Verdict, at: datetime
) -> tuple[Document, list[Write]]:
    """(the pointer as it will be, what is to be written)."""
    old = pointer.data or {}
    if said.outcome == "not_yet":
        looked = msgspec.structs.replace(known, looks=known.looks + 1)
        return old, [Write(key(book.id), plain(looked), stored.version)] if said.looked else []
    kept = {name: value for name, value in old.items() if name != "challenger"}
    if said.outcome == "promote":
        kept |= {name: entry[name] for name in ("version", "manifest_sha256", "metrics", "recipe") if name in entry}
        kept |= {"previous": old.get("version"), "promoted_at": at, "warnings": []}
        kept |= {"evidence": {"reason": said.reason, "since": entry["since"], **said.numbers}}
    over = [Write(key(book.id), None, stored.version)] if stored.data else []
    return kept, [Write(pointer_key(book.id), kept, pointer.version), *over, _told(book, entry, said, at)]


def _told(book: Book, entry: Document, said: Verdict, at: datetime) -> Write:
    version = str(entry["version"])
    fields = {name: f"{value:.6g}" for name, value in said.numbers.items() if value is not None}
    if said.outcome == "promote":
        text = (
            f"{version} traded on paper beside the live model since {entry['since']:%Y-%m-%d}: {said.reason}. "
            "It is live now, and training goes on with its settings."
        )
        return alert(
            f"{version}-promoted", "model_promoted", "info", at, "the challenger is live", text, book.id, fields
        )
    text = f"{version}: {said.reason}. The live model stays."
    return alert(f"{version}-dropped", "model_refused", "info", at, "the challenger was dropped", text, book.id, fields)
