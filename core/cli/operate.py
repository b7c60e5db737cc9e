"""Commands for running: tick, status, the switch, explain, replay."""

from __future__ import annotations

import getpass
import os
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from core.adapters import json_log
from core.cli import UNDONE, Failed, WrongUse
from core.domain.bars import BadBars, bar_before
from core.domain.decide import Decision, View, decide
from core.domain.orders import Rules
from core.domain.risk import Policy
from core.domain.state import Book
from core.flows import switches
from core.flows.archive import record as archived
from core.flows.claim import tick_key
from core.flows.status import status as status_flow
from core.ports import Conflict, Document, Missing, Unavailable
from core.wiring import App, BadTime, app

Answer = tuple[Document, str]


def opened(arguments: Namespace) -> App:
    return app(arguments.config, os.environ)


def chosen(app_: App, arguments: Namespace) -> list[Book]:
    """The book that --book names, or all. Raises WrongUse."""
    books = app_.books
    if arguments.book is None:
        return books
    found = [book for book in books if book.id == arguments.book]
    if not found:
        raise WrongUse(f"there is no book {arguments.book!r}: the settings have {', '.join(book.id for book in books)}")
    return found


def tick(arguments: Namespace) -> Answer:
    from core.flows.tick import tick as flow

    app_ = opened(arguments)
    at = when(app_, arguments)
    answers = each(chosen(app_, arguments), lambda book: flow(app_.world(book.id), book, at))
    return several(answers), "\n".join(
        said.get("explanation") or f"{said['book']}: {said['outcome']}: {said['reason']}" for said in answers
    )


def when(app_: App, arguments: Namespace) -> datetime:
    """--at, or now. Raises WrongUse."""
    try:
        return app_.time(arguments.at)
    except BadTime as failure:
        raise WrongUse(str(failure)) from None


def each(books: list[Book], run: Callable[[Book], Document]) -> list[Document]:
    """What `run` answers for each book. One book's failure is an answer among several, and raised when it is alone."""
    if len(books) == 1:
        return [run(books[0])]
    return [_attempted(book, run) for book in books]


def _attempted(book: Book, run: Callable[[Book], Document]) -> Document:
    try:
        return run(book)
    except (Unavailable, Conflict, Missing, BadBars) as failure:
        return {"outcome": "failed", "book": book.id, "bar": None, "reason": json_log.clean(str(failure))}


def several(answers: list[Document]) -> Document:
    """The one answer, or the worst of them with all of them in `books`."""
    if len(answers) == 1:
        return answers[0]
    worst = next((said for outcome in UNDONE for said in answers if said["outcome"] == outcome), answers[0])
    return {**worst, "books": answers}


def guard(arguments: Namespace) -> Answer:
    from core.flows.guard import guard as flow

    app_ = opened(arguments)
    at, overdue_s = when(app_, arguments), app_.settings.guard.overdue_s
    answers = each(chosen(app_, arguments), lambda book: flow(app_.world(book.id), book, at, overdue_s))
    return several(answers), "\n".join(f"{said['book']}: {said['outcome']}: {said['reason']}" for said in answers)


def status(arguments: Namespace) -> Answer:
    app_ = opened(arguments)
    document = status_flow(app_.state, app_.books)
    return document, "\n\n".join(_told(book) for book in document["books"])


def _told(book: Document) -> str:
    lines = [f"{book['id']}  {book['symbol']}  {str(book['mode']).upper()}"]
    for scope, switch in book["switches"].items():
        if switch:
            lines.append(
                f"  switch ({scope})  {switch.get('mode')} by {switch.get('by')}: {switch.get('reason') or 'no reason'}"
            )
    if book["position"] is not None:
        lines += [
            f"  bar        {book['bar'] or 'no tick yet'}",
            f"  position   {book['position']} at {book['average_price']}, stop {book['stop'] or 'none'}",
            f"  equity     {book['equity']}, {book['trades']} trades closed",
            f"  unsettled  {'; '.join(book['unsettled']) or 'nothing'}",
            *(f"  order      {order}" for order in book["orders"]),
            *([f"  TROUBLE    {book['trouble']}"] if book["trouble"] else []),
            *([f"  BREAKERS   {', '.join(book['breakers'])}"] if book["breakers"] else []),
        ]
    lines.append(f"  model      {book['model'] or 'none: run hourhand train'}")
    lines.append(f"  last       {book['explanation'] or book['reason'] or 'nothing yet'}")
    return "\n".join(lines)


def halt(arguments: Namespace) -> Answer:
    return _flip(arguments, "halt")


def reduce(arguments: Namespace) -> Answer:
    return _flip(arguments, "reduce")


def flatten(arguments: Namespace) -> Answer:
    return _flip(arguments, "flatten")


def resume(arguments: Namespace) -> Answer:
    return _flip(arguments, "run")


def _flip(arguments: Namespace, mode: Any) -> Answer:
    app_ = opened(arguments)
    scope = "global" if arguments.book is None else chosen(app_, arguments)[0].id
    document = switches.flip(app_.state, scope, mode, operator(), arguments.reason, app_.clock.now())
    modes = "; ".join(
        f"{book['id']} is now in mode {book['mode']}" for book in status_flow(app_.state, app_.books)["books"]
    )
    return document, f"switches/{scope} says {mode}. {modes}."


def operator(name: Callable[[], str] = getpass.getuser) -> str:
    """Who flips the switch. A container's user may have no name: that must not keep it from stopping."""
    try:
        return name()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def explain(arguments: Namespace) -> Answer:
    app_ = opened(arguments)
    book, *others = chosen(app_, arguments)
    if others:
        raise WrongUse(f"which book? Give --book and one of {book.id}, {', '.join(other.id for other in others)}")
    record = _record(app_, book, arguments.at)
    lines = [str(record["answer"].get("explanation") or record["answer"]["reason"]), ""]
    numbers = {**record["decision"]["numbers"], **{f"p(up) by {name}": p for name, p in record["members"].items()}}
    lines += [f"  {name:<22} {value}" for name, value in numbers.items()]
    lines += [f"  {'feature ' + name:<22} {value:.6g}" for name, value in record["row"].items()]
    return record, "\n".join(lines)


def _record(app_: App, book: Book, at: datetime | None) -> Document:
    """The record of the bar that had closed at `at`, which may be in the archive already; or the newest."""
    if at is not None:
        bar = bar_before(at, book.timeframe)
        key = tick_key(book.id, bar)
        found = app_.state.read([key])[key].data or archived(app_.archive, book.id, bar)
    else:
        newest = deque(_records(app_, book), maxlen=1)
        found = newest[0] if newest else None
    if found is None:
        raise Failed(f"there is no record of {book.id}" + (f" for {at.isoformat()}" if at else "") + ": has it ticked?")
    return found


def _records(app_: App, book: Book) -> Iterator[Document]:
    for _, record in app_.state.scan("ticks", f"{book.id}@", f"{book.id}@~"):
        yield record


def replay(arguments: Namespace) -> Answer:
    """Decides every recorded tick again, from its record alone."""
    app_ = opened(arguments)
    replayed, different = 0, []
    for book in chosen(app_, arguments):
        for record in _records(app_, book):
            replayed += 1
            if not _same_again(record):
                different.append(f"{book.id} {record['bar']:%Y-%m-%dT%H:%M}Z")
    if different:
        raise Failed(f"{len(different)} of {replayed} decisions came out differently, the first at {different[0]}")
    told = f"{replayed} recorded decisions, every one the same again" if replayed else "nothing is recorded yet"
    return {"replayed": replayed, "different": 0}, told


def _same_again(record: Document) -> bool:
    try:
        return again(record) == msgspec.convert(record["decision"], Decision)
    except (KeyError, msgspec.ValidationError) as failure:
        which = f"{record.get('book')} at {record.get('bar')}"
        raise Failed(f"the record of {which} is damaged, or of another version: {failure}") from None


def again(record: Document) -> Decision:
    seen = msgspec.convert(record["view"], View)
    return decide(seen, msgspec.convert(record["policy"], Policy), msgspec.convert(record["rules"], Rules))
