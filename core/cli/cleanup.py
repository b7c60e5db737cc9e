"""cleanup: archive old records, take a backup, remove what nobody needs; or only say what would go."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from core.cli.operate import Answer, opened
from core.flows.cleanup import cleanup as flow
from core.flows.sweep import sized
from core.ports import Document

NAME: Final = 70  # characters of a name, of which the end tells more than the middle


def cleanup(arguments: Namespace) -> Answer:
    app_ = opened(arguments)
    table, commit = app_.settings.cleanup.table(arguments.level), app_.settings.deployment.commit
    document = flow(app_, table, dry_run=arguments.dry_run, code=commit)
    return document, "\n".join(_lines(document))


def _lines(document: Document) -> Iterator[str]:
    """What went, one by one, then by kind, then the sentence."""
    items = document["items"]
    for item in items:
        number = f" ({item['count']:,})" if item["count"] > 1 else ""
        yield f"  {item['kind']:<9} {sized(item['bytes']):>10}  {_short(item['name'])}{number}: {item['why']}"
    if document["more"]:
        yield f"  … and {document['more']:,} more"
    for kind, of in document["removed"].items():
        yield f"{kind:<11} {sized(of['bytes']):>10}  {of['count']:,}"
    yield f"{document['outcome']}, level {document['level']}: {document['reason']}"


def _short(name: str) -> str:
    half = NAME // 2
    return name if len(name) <= NAME else f"{name[:half]}…{name[-half:]}"
