"""What must hold when the day is over. Each check gives a sentence for each thing that is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from core.adapters.discord_notifier import SIGNS
from core.domain.fills import Account
from core.domain.forecast import load
from core.domain.orders import ZERO
from core.domain.state import BookState
from core.flows import archive
from core.flows.claim import book_key, state_of
from core.flows.measures import LOGGER, REPEATED
from core.flows.serving import folder, pointer_key
from tests.day.deployment import BOOK, FUNCTIONS
from tests.day.firestore import Told
from tests.day.instance import ROOT
from tests.day.script import name_of
from tests.day.story import HOUR, Day
from tests.processes.deployment import book_of
from tests.processes.places import PLACES

Wrong = Iterator[str]
STATUS: Final = {"busy": 503, "waiting": 503, "failed": 500}  # every other: 200
OUTCOMES: Final = {
    "tick": {"traded", "held", "stayed_out", "refused", "halted", "busy", "superseded"},
    "guard": {"done", "busy"},
    "train": {"published"},
    "cleanup": {"done"},
    "alert": {"done", "busy", "waiting", "failed"},
    "status": {"done"},
}
UNDECIDED: Final = (REPEATED, "busy", "superseded", "failed")
AGAIN: Final = re.compile(r"(?:This|Part of this) may have been shown already\.")
COUNT: Final = re.compile(r" \(×([\d,]+)\)\Z")
DIGEST: Final = re.compile(r"([\d,]+) alerts at once")
DOCUMENTS: Final = ("books", "ticks", "models", "switches", "guards", "paper", "breakers", "desk", "outbox")
SPAN: Final = (f"{BOOK}@2024-04-07", f"{BOOK}@2024-04-09")
BOUND: Final = book_of(PLACES["bitbank"])


def judged(day: Day) -> list[str]:
    return [f"{name}: {sentence}" for name, check in CHECKS.items() for sentence in check(day)]


def _state(day: Day) -> BookState:
    return state_of(day.at.store.read([book_key(BOOK)])[book_key(BOOK)].data, BOUND)


# -- trading


def _records(day: Day) -> Wrong:
    """Each hour of the day was decided once, by a tick that came to its end."""
    wanted = {f"{BOOK}@{at - HOUR:%Y-%m-%dT%H:%MZ}" for at in day.ticks}
    found = dict(day.at.store.scan("ticks", *SPAN))
    if wanted != found.keys():
        yield f"records {sorted(found.keys() - wanted)} too many, {sorted(wanted - found.keys())} missing"
    for name, record in found.items():
        if record["phase"] != "done":
            yield f"the record {name} is left {record['phase']}"
    tokens = [record["token"] for record in found.values()]
    if len(set(tokens)) < len(tokens):
        yield f"two records were made under one claim: {tokens}"


def _ticks(day: Day) -> Wrong:
    """Every call that was done for an hour told the same; the outcome is what the hour's circumstances ask for."""
    for at, calls in day.ticks.items():
        done = [heard.said for heard in calls if heard.status == 200 and heard.said]
        decided = {(said["outcome"], str(said.get("position"))) for said in done}
        if len(decided) != 1:
            yield f"{at:%H:%M} was answered {sorted(decided)}"
            continue
        outcome = done[0]["outcome"]
        if day.halted(at) != (outcome == "halted"):
            yield f"{at:%H:%M} came to {outcome}, and the switch said {'halt' if day.halted(at) else 'run'}"
        blind = done[0]["reason"] == "market_unavailable"
        if (blind and not day.lost(at)) or (day.lost(at) and outcome != "refused" and not day.halted(at)):
            prices = "lost" if day.lost(at) else "there"
            yield f"{at:%H:%M} came to {outcome}, {done[0]['reason']}, and prices were {prices}"


def _orders(day: Day) -> Wrong:
    """Each order was meant once and sent at most once, none while a switch said halt; and there were some."""
    records = [record for _, record in day.at.store.scan("ticks", *SPAN)]
    intents = Counter(intent["id"] for record in records for intent in record["decision"]["intents"])
    yield from (f"the order {name} stands in {count} records" for name, count in intents.items() if count > 1)
    fills = Counter(fill["id"] for record in records for fill in record["fills"])
    yield from (f"the fill {name} stands in {count} records" for name, count in fills.items() if count > 1)
    for record in records:
        if record["view"]["mode"] == "halt" and record["decision"]["intents"]:
            yield f"the record of {record['bar']:%H:%M} has orders under a halt"
    if not intents or not fills:
        yield f"nothing was traded: {len(intents)} orders, {len(fills)} fills"
    yield from (_at_the_venue if day.at.live else _on_paper)(day)


def _at_the_venue(day: Day) -> Wrong:
    """`tests.processes.ledger` has watched each commit and each order; here is what it found."""
    day.at.ledger.settled()
    yield from day.at.ledger.wrong
    for entry in day.at.ledger.engine.log:
        if entry.what == "place" and any(since <= entry.at < until for since, until in day.halts):
            yield f"the venue was sent the order {entry.order.id} at {entry.at:%H:%M:%S}, under a halt"


def _on_paper(day: Day) -> Wrong:
    document = day.at.store.read([f"paper/{BOOK}"])[f"paper/{BOOK}"].data
    account, state = msgspec.convert(document, Account), _state(day)
    if account.holding.position != state.holding.position:
        yield f"the book holds {state.holding.position}, the paper account {account.holding.position}"
    fills = [fill for _, record in day.at.store.scan("ticks", f"{BOOK}@") for fill in record.get("fills", [])]
    moved = sum(
        (msgspec.convert(fill["amount"], type(ZERO)) * (1 if fill["side"] == "buy" else -1) for fill in fills), ZERO
    )
    if moved != state.holding.position:
        yield f"the fills of all records make {moved}, the book holds {state.holding.position}"


def _settled(day: Day) -> Wrong:
    state = _state(day)
    if state.unsettled or state.trouble:
        yield f"unsettled: {[order.intent.id for order in state.unsettled]}, trouble: {state.trouble!r}"
    if day.at.journal.dooms:
        yield f"deaths that never came: {day.at.journal.dooms}"


# -- alerts


def _outbox(day: Day) -> Wrong:
    left = [name for name, _ in day.at.store.scan("outbox")]
    if left:
        yield f"still in the outbox: {left}"
    arrived = {f"monitoring-{name}-open" for name in day.incidents} - day.at.journal.alerts.keys()
    if arrived:
        yield f"incidents that never arrived: {sorted(arrived)}"
    if waiting := day.at.events.waiting():
        yield f"events that were never delivered: {waiting}"
    letters = [name_of(letter) for letter in day.at.topics.dead()]  # of a busy hour, and told all the same
    if untold := [name for name in letters if f"monitoring-{name}-open" not in day.at.journal.alerts]:
        yield f"dead letters that nobody was told of: {untold}"


def _shown(day: Day) -> Wrong:
    """Each alert stands in the channel; and once, unless it says that it may have been there already."""
    written = Counter(_title(alert) for alert in day.at.journal.alerts.values())
    sure: Counter[str] = Counter()
    maybe: Counter[str] = Counter()
    for embed in day.at.discord.embeds:
        title, count = _read(embed)
        (maybe if AGAIN.match(embed.get("description", "")) else sure)[title] += count
    digests = [found for title in sure.elements() if (found := DIGEST.fullmatch(title))]
    digested = sum(int(found[1].replace(",", "")) for found in digests)
    for title, count in sure.items():
        if not DIGEST.fullmatch(title) and count > written[title]:
            yield f"shown {count} times, and {written[title]} were written: {title}"
    missing = written - sure - maybe
    if sum(missing.values()) > digested:
        yield f"never shown: {dict(missing)}, with {digested} in digests"


def _title(alert: Told) -> str:
    whole = f"{alert.book}: {alert.title}" if alert.book and alert.book not in alert.title else alert.title
    return " ".join(whole.split())


def _read(embed: dict[str, Any]) -> tuple[str, int]:
    """The title of the alert that an embed shows, and of how many."""
    title = embed["title"].replace("\\", "")
    for sign in SIGNS.values():
        title = title.removeprefix(sign)
    found = COUNT.search(title)
    return (title[: found.start()], int(found[1].replace(",", ""))) if found else (title, 1)


# -- answers, logs


def _contract(day: Day) -> Wrong:
    """Every answer of a function is one of the contract's; one that did not come was its instance's death."""
    for heard in day.at.ingress.heard:
        if heard.said is None:
            if heard.status != 503 or heard.body:
                yield f"{heard.function} answered {heard.status} with {heard.body[:200]!r}"
            continue
        if {"outcome", "book", "bar", "reason"} - heard.said.keys():
            yield f"{heard.function} left out a part of its answer: {heard.said}"
        slow = heard.function == "tick" and heard.outcome == "failed" and "time was up" in str(heard.said.get("reason"))
        if not (slow or heard.outcome in OUTCOMES[heard.function]) or heard.status != STATUS.get(heard.outcome, 200):
            yield f"{heard.function} answered {heard.status} {heard.outcome}: {heard.said.get('reason')}"
    yield from (f"given up: {job}" for job in day.at.scheduler.given_up if not job.startswith(("alert", "tick")))


def _logs(day: Day) -> Wrong:
    """Every line is JSON with a severity, none holds a secret, and nothing broke."""
    for name in FUNCTIONS:
        lines = _lines(day, name)
        for line in lines:
            entry = _entry(line)
            if not entry.get("severity") or "message" not in entry:
                yield f"{name} logged what is no entry: {line[:200]}"
            if entry.get("exception"):
                yield f"{name} broke: {entry['exception'][-300:]}"
        errors = (day.at.folder / f"{name}.err").read_text() if lines else ""
        if "Traceback" in errors:
            yield f"{name} broke: {errors[-400:]}"
        for secret in day.at.hidden:
            if secret in errors or any(secret in line for line in lines):
                yield f"the log of {name} holds a secret"


def _lines(day: Day, name: str) -> list[str]:
    path = day.at.folder / f"{name}.out"
    return path.read_text().splitlines() if path.exists() else []


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _secrets(day: Day) -> Wrong:
    """None in a document, a message or an answer."""
    documents = {f"{name}/{id_}": repr(data) for name in DOCUMENTS for id_, data in day.at.store.scan(name)}
    shown = {"the channel": repr(day.at.discord.shown), "an answer": repr([each.body for each in day.at.ingress.heard])}
    for where, text in {**documents, **shown}.items():
        if any(secret in text for secret in day.at.hidden):
            yield f"{where} holds a secret"


def _measured(day: Day) -> Wrong:
    """One line of measures for each answer, and each hour's numbers once."""
    for name in FUNCTIONS:
        entries = [entry for line in _lines(day, name) if (entry := _entry(line)).get("logger") == LOGGER]
        lines = [entry for entry in entries if entry.get("event") == name]
        answers = sum(heard.function == name and heard.said is not None for heard in day.at.ingress.heard)
        if not answers <= len(lines) <= answers + day.at.ingress.instances[name].kills:
            yield f"{name} gave {answers} answers and {len(lines)} lines of measures"
    yield from _measured_hours(day)


def _measured_hours(day: Day) -> Wrong:
    """Numbers of an hour come once; those of a tick that died may be told by the guard, which goes on for it."""
    entries = [entry for line in _lines(day, "tick") if (entry := _entry(line)).get("event") == "tick"]
    bars = Counter(
        entry.get("bar") for entry in entries if entry.get("outcome") not in (REPEATED, "busy", "superseded")
    )
    missing = {f"{at - HOUR:%Y-%m-%dT%H:%M:%SZ}" for at in day.ticks} - bars.keys()
    if max(bars.values(), default=0) > 1:
        yield f"hours that were measured twice: {[bar for bar, count in bars.items() if count > 1]}"
    if len(missing) > len(day.at.journal.died) or len(bars) + len(missing) > len(day.ticks):
        yield f"hours without measures: {missing}; measured were {dict(bars)}"


def _status(day: Day) -> Wrong:
    """The function and the command tell the same."""
    told = day.at.ingress.call("status", "a person")
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from core.cli import main; sys.exit(main())", "status", "--json"],
        env=day.at.mine, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    command = _entry(run.stdout)
    if not told.said or told.said["books"] != command.get("books"):
        yield f"the function says {told.said}, the command {command or run.stderr}"
    elif [(book["mode"], book["unsettled"]) for book in command["books"]] != [("run", [])]:
        yield f"it ends with {command['books']}"


# -- what is kept


def _models(day: Day) -> Wrong:
    """The live model and the one before it are whole, and are those that were trained."""
    pointer = day.at.store.read([pointer_key(BOOK)])[pointer_key(BOOK)].data or {}
    trained = [heard.said["version"] for heard in day.trained if heard.said and "version" in heard.said]
    if [pointer.get("previous"), pointer.get("version")][-len(trained) :] != trained[-2:]:
        yield f"trained were {trained}, live is {pointer.get('version')}, before it {pointer.get('previous')}"
    for version in trained[-2:]:
        prefix = folder(BOOK, version)
        files = {name.removeprefix(prefix): day.at.models.get(name) for name in day.at.models.names(prefix)}
        try:
            load(files, pointer["manifest_sha256"] if version == pointer.get("version") else None)
        except (LookupError, ValueError, TypeError) as failure:
            yield f"the model {version} cannot be loaded: {failure!r}"


def _swept(day: Day) -> Wrong:
    """The dry run told what the real one did; what is old is in the archive and nowhere else, and a backup was made."""
    dry, real = (heard.said or {} for heard in day.swept)
    if day.gone != [set(), set(day.at.old)]:
        yield f"gone are with the dry run {sorted(day.gone[0])}, then {sorted(day.gone[1])}"
    for kind in ("record", "document", "model"):
        if _gone(dry, kind) != _gone(real, kind):
            yield f"of {kind}s the dry run told {_gone(dry, kind)}, and gone are {_gone(real, kind)}"
    archived = {key for key, _ in archive.records(day.at.archive, BOOK)}
    if archived != day.at.old:
        yield f"archived are {sorted(archived)}, and not {sorted(day.at.old)}"
    if left := day.at.old & {f"ticks/{name}" for name, _ in day.at.store.scan("ticks", f"{BOOK}@")}:
        yield f"old records are still there: {sorted(left)}"
    if not day.at.archive.names("backups/"):
        yield "there is no backup"


def _gone(said: dict[str, Any], kind: str) -> int:
    return int(said.get("removed", {}).get(kind, {}).get("count", 0))


def _rights(day: Day) -> Wrong:
    """No function has tried what its account may not do."""
    yield from sorted(set(day.at.refused))


def _dead(day: Day) -> Wrong:
    """Of what alert refused five times, each lies in the dead letters, with the count."""
    for letter in day.dead:
        count = letter["attributes"].get("CloudPubSubDeadLetterSourceDeliveryCount")
        if count != "5":
            yield f"a letter was declared dead after {count} deliveries"
    if day.away and len(day.dead) < 2:
        yield f"while alert was away {len(day.dead)} letters died"


def _late(day: Day) -> Wrong:
    """Nothing is ahead of the day: what was written, was written for a bar of it."""
    state = _state(day)
    last = max(day.ticks) - HOUR
    if state.bar != last:
        yield f"the book stands at {state.bar}, and the last hour was {last}"


CHECKS: Final[dict[str, Callable[[Day], Wrong]]] = {
    "records": _records,
    "ticks": _ticks,
    "orders": _orders,
    "settled": _settled,
    "outbox": _outbox,
    "shown": _shown,
    "dead letters": _dead,
    "models": _models,
    "cleanup": _swept,
    "the last bar": _late,
    "status": _status,
    "contract": _contract,
    "logs": _logs,
    "secrets": _secrets,
    "measures": _measured,
    "rights": _rights,
}
