"""What happens on the day beside what is scheduled. Each does it, and says so in a sentence."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tests.day.firestore import Doom
from tests.day.story import PATIENCE_S, TRAIN, Day, Happening
from tests.venues.faults import Fault

CANDLES: Final = "GET /*candlestick*"
ATTEMPTS: Final = 5  # to deliver an incident, while alert gets no instance; infrastructure allows 20
TOLD: Final = Doom("alert", "told", after=False)
OPEN_END: Final = datetime.max.replace(tzinfo=UTC)


def trains(day: Day) -> str:
    heard = day.at.scheduler.run(TRAIN, day.now)
    day.trained.append(heard)
    said = heard.said or {}
    return f"training: {heard.outcome}, {said.get('reason')}, version {said.get('version')}"


def halts(day: Day) -> str:
    day.at.console.flip("global", "halt", "a quiet word with the venue")
    day.halts.append((day.now, OPEN_END))
    return "a person writes halt into switches/global"


def resumes(day: Day) -> str:
    day.at.console.flip("global", "run", "all is well")
    day.halts[-1] = (day.halts[-1][0], day.now)
    return "a person writes run into switches/global"


def goes_dark(day: Day) -> str:
    day.at.venue.faults.always(CANDLES, Fault("error_before", status=502))
    day.dark.append((day.now, OPEN_END))
    return "the venue's candles fail with 502"


def clears(day: Day) -> str:
    day.at.venue.faults.clear()
    day.dark[-1] = (day.dark[-1][0], day.now)
    return "the venue's candles are back"


def doomed(day: Day) -> str:
    """At the next order; on paper, where an order is a commit like others, at the next decision."""
    if not day.at.live:
        return doomed_deciding(day)
    day.at.journal.dooms.append(Doom("tick", "order", after=True))
    return "tick is going to be killed just after its next order"


def doomed_deciding(day: Day) -> str:
    day.at.journal.dooms.append(Doom("tick", "decision", after=True))
    return "tick is going to be killed just after its next decision"


def unheard(day: Day) -> str:
    day.at.webhook.faults.next("POST *", Fault("drop_after"))
    return "the channel is going to show a message and break off before it says so"


def incident(day: Day) -> str:
    """As Cloud Monitoring tells of one."""
    name = f"0.day{len(day.incidents)}"
    day.incidents.append(name)
    given = {"incident_id": name, "state": "open", "policy_name": f"Policy {name}", "summary": "It was seen."}
    day.at.topics.publish(msgspec.json.encode({"incident": given, "version": "1.2"}))
    return f"Cloud Monitoring publishes the incident {name}"


def alert_dies(day: Day) -> str:
    """Between showing an incident and writing that down; and then it gets no instance for some hours."""
    day.away = True
    day.at.journal.dooms.append(TOLD)
    day.tell(incident(day))
    _wait(lambda: TOLD in day.at.journal.died)
    day.at.ingress.closed.add("alert")
    day.at.ingress.instances["alert"].kill()
    return f"alert was killed before it wrote down what it had shown, and gets no instance. {incident(day)}"


def alert_lives(day: Day) -> str:
    """What was refused five times lies in the dead letters, whence a person publishes it again."""
    wanted = {f"0.day{number}" for number in (len(day.incidents) - 2, len(day.incidents) - 1)}

    def arrived() -> bool:
        day.dead += day.at.topics.dead()
        return wanted <= {name_of(letter) for letter in day.dead}

    _wait(arrived)
    day.at.ingress.closed.discard("alert")
    for letter in day.dead:
        day.at.topics.publish(b64decode(letter["data"]))
    return f"alert has instances again; {len(day.dead)} dead letters are published anew"


def name_of(letter: dict[str, Any]) -> str:
    """The id of the incident that a dead letter tells of."""
    return str(msgspec.json.decode(b64decode(letter["data"]))["incident"]["incident_id"])


def _wait(for_: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not for_():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.1)


WHOLE: Final[dict[str, Happening]] = {
    "00:05": trains,
    "01:30": unheard,
    "02:30": doomed,
    "05:55": goes_dark,
    "06:55": clears,
    "09:00": trains,
    "10:30": halts,
    "14:30": resumes,
    "16:10": alert_dies,
    "19:10": alert_lives,
    "20:10": incident,
    "21:30": doomed_deciding,
}
HOURS: Final = 4  # of the short one
SHORT: Final[dict[str, Happening]] = {
    "00:00": unheard,
    "00:05": trains,
    "00:30": doomed,
    "01:30": halts,
    "02:30": resumes,
    "02:55": goes_dark,
    "03:10": incident,
    "03:55": clears,
}
