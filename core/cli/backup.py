"""Commands for the record: backup, restore."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime

from core.cli import Failed
from core.cli.operate import opened
from core.flows.backup import backup as backup_flow
from core.flows.backup import backups, made
from core.flows.restore import restore as restore_flow
from core.ports import Document, ModelStore

Answer = tuple[Document, str]


def backup(arguments: Namespace) -> Answer:
    app = opened(arguments)
    document = backup_flow(app.state, app.archive, app.clock.now(), app.settings.deployment.commit)
    lines = [f"{document['name']}: {document['reason']}"]
    lines += [f"  {name:<12} {count}" for name, count in document["collections"].items()]
    return document, "\n".join(lines)


def restore(arguments: Namespace) -> Answer:
    app = opened(arguments)
    if arguments.list:
        return _listed(app.archive)
    name = arguments.name or _newest(app.archive, arguments.at)
    document = restore_flow(
        app.state, app.archive, name, app.clock.now(), replace=arguments.replace, dry_run=arguments.dry_run
    )
    return document, _would(document) if arguments.dry_run else _done(document)


def _listed(store: ModelStore) -> Answer:
    found = backups(store)
    document = {
        "outcome": "done",
        "backups": [{"name": each.name, "at": made(each.name), "bytes": each.size} for each in found],
    }
    lines = [f"{each.name}  {each.size:>12,} bytes" for each in found]
    return document, "\n".join(lines) or "there is no backup yet: run hourhand backup"


def _newest(store: ModelStore, at: datetime | None) -> str:
    """The name of the newest backup, of those made by `at`. Raises Failed."""
    found = [each.name for each in backups(store) if at is None or made(each.name) <= at]
    if not found:
        by = f" of {at:%Y-%m-%d %H:%M:%S} UTC or before" if at else ""
        raise Failed(f"there is no backup{by}: `hourhand restore --list` tells which there are")
    return found[-1]


def _would(document: Document) -> str:
    lines = [
        f"{document['name']} is whole. Restoring it would write {document['documents']} documents"
        f"{' and delete ' + str(document['deleted']) if document['deleted'] else ''}. Nothing was written.",
        *_books(document),
    ]
    if document["replaces"]:
        lines += ["", "These would be lost, so it takes --replace:", *(f"  {each}" for each in document["replaces"])]
    return "\n".join(lines)


def _done(document: Document) -> str:
    lines = [f"{document['documents']} documents of {document['name']} are back.", *_books(document)]
    if document["kept"]:
        lines.append(f"What stood there before is kept in {document['kept']}; {document['deleted']} documents went.")
    lines.append("Everything is halted. Compare `hourhand status` with the venue's own page, then `hourhand resume`.")
    return "\n".join(lines)


def _books(document: Document) -> list[str]:
    return [f"  {name:<20} {stands}" for name, stands in document["books"].items()]
