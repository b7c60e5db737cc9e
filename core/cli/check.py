"""check: may this deployment trade real money? Every thing that must be true, with GO, CONDITIONAL or NO-GO.

Exit code 0 for GO and CONDITIONAL, 1 for NO-GO.
"""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Sequence
from typing import Final

from core.adapters import json_log
from core.cli.operate import Answer, chosen, opened
from core.domain.state import Book
from core.flows.check import alerts, settings
from core.flows.check import check as flow
from core.flows.findings import Finding, Verdict, worst
from core.ports import Document
from core.settings import SettingsError, cautions
from core.wiring import App

WIDTH: Final = 120
WORDS: Final[dict[str, str]] = {"go": "GO", "conditional": "CONDITIONAL", "no_go": "NO-GO"}
NEXT: Final[dict[Verdict, str]] = {
    "go": "begin with the smallest stage, and look every day",
    "conditional": "read each sentence above; go only where you accept it",
    "no_go": "mend what is marked NO-GO, then run hourhand check again",
}


def check(arguments: Namespace) -> Answer:
    app_ = opened(arguments)
    books = chosen(app_, arguments)
    channel = app_.settings.alerts.channel
    shared = alerts(lambda: app_.notifier, channel, app_.clock.now()), settings(cautions(app_.settings))
    entries = [_entry(app_, book, shared) for book in books]
    verdict = worst(entry["verdict"] for entry in entries)
    tables = [_table(book, entry) for book, entry in zip(books, entries, strict=True)]
    return {"verdict": verdict, "books": entries}, "\n\n".join([*tables, f"{WORDS[verdict]}: {NEXT[verdict]}."])


def _entry(app_: App, book: Book, shared: Sequence[Finding]) -> Document:
    try:
        found: Sequence[Finding] = flow(app_.world(book.id), book, shared)
    except SettingsError as failure:  # no keys, or a market that the venue cannot have
        found = Finding("ports", "no_go", str(failure)), *shared
    findings = [{"name": one.name, "verdict": one.verdict, "said": _cleaned(one.said)} for one in found]
    return {"id": book.id, "verdict": worst(one.verdict for one in found), "findings": findings}


def _cleaned(said: str) -> str:
    """One line, with nothing secret in it."""
    return json_log.clean(" ".join(said.split()))


def _table(book: Book, entry: Document) -> str:
    names = max(len(one["name"]) for one in entry["findings"])
    lines = [f"{book.id}  {book.symbol}  {WORDS[entry['verdict']]}"]
    for one in entry["findings"]:
        head = f"  {WORDS[one['verdict']]:<11}  {one['name']:<{names}}  "
        wrapped = textwrap.wrap(one["said"], WIDTH - len(head), break_on_hyphens=False)
        lines += [start + line for start, line in zip((head, *[" " * len(head)] * len(wrapped)), wrapped, strict=False)]
    return "\n".join(lines)
