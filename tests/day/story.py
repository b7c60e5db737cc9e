"""The day, five minutes after five minutes: what the schedulers call, and what happens besides."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from tests.day.callers import Job
from tests.day.deployment import DAY, Deployment
from tests.day.instance import Heard

HOUR: Final = timedelta(hours=1)
STEP_M, GUARD_M, HOUR_M = 5, 20, 60
AFTER: Final = timedelta(seconds=5)  # that a call takes to arrive
TWICE: Final = 0.25  # of the ticks are fired twice, as by a second region
PATIENCE_S: Final = 120.0
# Seconds before each retry, as infra/schedules.tf has them where [tick] max_lateness_s is 0.
TICK: Final = Job("tick", "tick", retries=(25, 50, 100, 200, 400))
GUARD: Final = Job("guard", "guard")
ALERT: Final = Job("alert", "alert")
TRAIN: Final = Job("train", "train", retries=(300, 600))
CLEANUP: Final = Job("cleanup", "cleanup", retries=(300, 600))
COLLECTIONS: Final = ("books", "ticks", "models", "windows", "switches", "paper", "guards", "series", "accounts")

Happening = Callable[["Day"], str]  # does it, and says so
Span = tuple[datetime, datetime]


@dataclass
class Day:
    """`happens`: what else happens, by the time of day; `ticks`: the answers for each hour; `halts`, `dark`: from when
    to when a switch said halt, and the venue told no prices; `incidents`: ids of what Cloud Monitoring told; `dead`:
    the dead letters that were found; `away`: alert had no instance for a while; `swept`: cleanup's answers, dry and
    for good, `gone`: what was there before each and not after it."""

    at: Deployment
    hours: int
    happens: Mapping[str, Happening]
    say: Callable[[str], None] = lambda _: None
    draw: Random = field(default_factory=lambda: Random(1))
    now: datetime = DAY
    ticks: dict[datetime, list[Heard]] = field(default_factory=lambda: defaultdict(list))
    trained: list[Heard] = field(default_factory=list)
    halts: list[Span] = field(default_factory=list)
    dark: list[Span] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    swept: list[Heard] = field(default_factory=list)
    gone: list[set[str]] = field(default_factory=list)
    twice: int = 0

    def run(self) -> None:
        with ThreadPoolExecutor(8) as threads:
            for minute in range(0, self.hours * HOUR_M + 1, STEP_M):
                self._pass_to(DAY + timedelta(minutes=minute))
                if happening := self.happens.get(f"{self.now:%H:%M}") if minute < 24 * HOUR_M else None:
                    self.tell(happening(self))
                list(threads.map(self._due, self._jobs(minute)))
                if minute and minute % HOUR_M == 0:
                    self._looked_at()
        self._swept()
        self._one_more()

    def tell(self, sentence: str) -> None:
        self.say(f"{self.now:%a %H:%M}  {sentence}")

    def halted(self, at: datetime) -> bool:
        return any(since <= at < until for since, until in self.halts)

    def lost(self, at: datetime) -> bool:
        return any(since <= at < until for since, until in self.dark)

    def _pass_to(self, to: datetime) -> None:
        self.now = to
        self.at.elapsed.jump(to + AFTER)

    def _jobs(self, minute: int) -> list[Job]:
        """What is due at once. There is no tick before the first training: its hour is still the eve's."""
        jobs = [ALERT]
        if minute % GUARD_M == 0:
            jobs.append(GUARD)
        if minute and minute % HOUR_M == 0:
            fired = 2 if self.draw.random() < TWICE else 1
            self.twice += fired - 1
            jobs += [TICK] * fired
        return jobs

    def _due(self, job: Job) -> None:
        heard = self.at.scheduler.run(job, self.now)
        if job is TICK:
            self.ticks[self.now].append(heard)

    def _looked_at(self) -> None:
        """The hour's answer; live, book and venue are compared."""
        said = next((heard.said for heard in self.ticks[self.now] if heard.status == 200), None)
        if said is None:
            self.tell(f"tick: never done, {self.ticks[self.now]}")
            return
        self.tell(f"tick: {said['outcome']}. {str(said.get('explanation') or said['reason']).partition(' p(up)')[0]}")
        if self.at.live:
            self.at.ledger.audit(self.now - HOUR)

    # -- the end

    def _swept(self) -> None:
        """cleanup, dry and for good."""
        self.now += timedelta(minutes=STEP_M)
        self.drained()
        for body in (b'{"dry_run": true}', b""):
            before = self._kept()
            heard = self.at.scheduler.run(CLEANUP._replace(body=body), self.now)
            self.swept.append(heard)
            gone = before - self._kept()
            self.gone.append(gone)
            self.tell(f"cleanup, {'dry run' if body else 'for good'}: {heard.outcome}, {(heard.said or {})['reason']}")

    def _one_more(self) -> None:
        """The next hour finds all that it needs, of a whole day on a new instance; and what still waits is told."""
        if self.hours == 24:
            self.at.ingress.instances["tick"].kill()
        self._pass_to(DAY + (self.hours + 1) * HOUR)
        self._due(TICK)
        self._looked_at()
        self.drained()

    def _kept(self) -> set[str]:
        """Every document that lasts, and every file, by name."""
        documents = {f"{name}/{id_}" for name in COLLECTIONS for id_, _ in self.at.store.scan(name)}
        return documents | {*self.at.models.names(""), *self.at.archive.names("")}

    def drained(self) -> None:
        """Until nothing is on its way to a person any more: what is held back becomes due, what failed is tried again.
        The verdict says what is left when patience ends."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.at.scheduler.run(ALERT, self.now)
            arrived = all(f"monitoring-{name}-open" in self.at.journal.alerts for name in self.incidents)
            if arrived and not self.at.events.waiting() and not list(self.at.store.scan("outbox")):
                return
            time.sleep(1.0)
