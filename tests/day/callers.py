"""Who calls the functions in the cloud: Cloud Scheduler, Eventarc and Pub/Sub. Waiting is as much shorter here as the
lease is."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
import urllib3

from tests.day.instance import Heard, Ingress

LEASE_S: Final = 10  # of the day's functions; 120 in the cloud
SHORTER: Final = LEASE_S / 120
AGAIN: Final = (500, 503)
LATE_S, LONGEST_S = 1.5, 4.0
JSON: Final = {"Content-Type": "application/json"}


class Job(NamedTuple):
    """A job of Cloud Scheduler. `retries`: seconds before each, in the cloud."""

    name: str
    function: str
    retries: tuple[float, ...] = ()
    body: bytes = b""


@dataclass
class Scheduler:
    """`retried`: how often, by function; `given_up`: jobs whose last try failed as well."""

    ingress: Ingress
    retried: Counter[str] = field(default_factory=Counter)
    given_up: list[str] = field(default_factory=list)

    def run(self, job: Job, at: datetime) -> Heard:
        headers = {
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": job.name,
            "X-CloudScheduler-ScheduleTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "Content-Type": "application/json" if job.body else "application/octet-stream",
        }
        heard = self.ingress.call(job.function, "scheduler", headers, job.body)
        for pause in job.retries:
            if heard.status not in AGAIN:
                return heard
            time.sleep(pause * SHORTER)
            self.retried[job.function] += 1
            heard = self.ingress.call(job.function, "scheduler", headers, job.body)
        if heard.status != 200 and job.retries:
            self.given_up.append(f"{job.name} at {at:%H:%M}: {heard.status} {heard.outcome}")
        return heard


@dataclass
class Events:
    """Eventarc, which has no emulator: each document that is new in the outbox wakes `alert` once, sometimes twice,
    sometimes late, and again until it hears 200."""

    ingress: Ingress
    draw: Random
    delivered: int = 0
    retried: int = 0
    twice: int = 0
    late: int = 0
    _running: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def created(self, document: str) -> None:
        with self._lock:
            lot = self.draw.random()
            self.twice, self.late = self.twice + (lot < 0.15), self.late + (lot > 0.85)
            for _ in range(2 if lot < 0.15 else 1):
                pause = LATE_S if lot > 0.85 else 0.0
                thread = threading.Thread(target=self._deliver, args=(document, pause), daemon=True)
                self._running = [*(each for each in self._running if each.is_alive()), thread]
                thread.start()

    def _deliver(self, document: str, pause: float) -> None:
        headers = {
            "Content-Type": "application/protobuf",
            "ce-specversion": "1.0",
            "ce-id": f"{document}-{time.monotonic_ns()}",
            "ce-type": "google.cloud.firestore.document.v1.created",
            "ce-source": f"//firestore.googleapis.com/{document.partition('/documents/')[0]}",
            "ce-document": document.partition("/documents/")[2],
        }
        while not self._over.wait(pause):
            heard = self.ingress.call("alert", "eventarc", headers, event_data(document))
            if heard.status == 200:
                self.delivered += 1
                return
            self.retried += 1
            pause = min(max(2 * pause, 0.5), LONGEST_S)

    def waiting(self) -> int:
        with self._lock:
            return sum(thread.is_alive() for thread in self._running)

    def stop(self) -> None:
        self._over.set()


def event_data(document: str) -> bytes:
    """google.events.cloud.firestore.v1.DocumentEventData with the name of its value, in protobuf."""
    name = document.encode()
    value = b"\x0a" + _length(len(name)) + name
    return b"\x0a" + _length(len(value)) + value


def _length(count: int) -> bytes:
    return bytes([count]) if count < 128 else bytes([count % 128 + 128]) + _length(count // 128)


class Topics:
    """Pub/Sub of one project, over REST."""

    def __init__(self, host: str, project: str) -> None:
        self._root, self._project = f"http://{host}/v1/projects/{project}", f"projects/{project}"

    def provision(self, endpoint: str, attempts: int) -> None:
        """As infrastructure does: `incidents` is pushed to `endpoint`; what is refused so many times goes to `dead`,
        where a subscription keeps it."""
        for topic in ("incidents", "dead"):
            self._ask("PUT", f"topics/{topic}")
        self._ask("PUT", "subscriptions/dead", {"topic": f"{self._project}/topics/dead"})
        pushed = {
            "topic": f"{self._project}/topics/incidents",
            "pushConfig": {"pushEndpoint": endpoint},
            "ackDeadlineSeconds": 60,
            "deadLetterPolicy": {"deadLetterTopic": f"{self._project}/topics/dead", "maxDeliveryAttempts": attempts},
        }
        self._ask("PUT", "subscriptions/incidents", pushed)

    def publish(self, data: bytes) -> None:
        self._ask("POST", "topics/incidents:publish", {"messages": [{"data": b64encode(data).decode()}]})

    def dead(self) -> list[dict[str, Any]]:
        """The dead letters that nobody has taken yet, which are taken herewith."""
        asked = {"maxMessages": 10, "returnImmediately": True}
        found = self._ask("POST", "subscriptions/dead:pull", asked).get("receivedMessages", [])
        if found:
            self._ask("POST", "subscriptions/dead:acknowledge", {"ackIds": [each["ackId"] for each in found]})
        return [each["message"] for each in found]

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = msgspec.json.encode(body or {})
        reply = urllib3.request(method, f"{self._root}/{path}", body=data, headers=JSON)
        # What was done and not answered is sent again by urllib3: what is there already was made a moment ago.
        assert reply.status == 200 or (method, reply.status) == ("PUT", 409), reply.data
        return msgspec.json.decode(reply.data, type=dict[str, Any])
