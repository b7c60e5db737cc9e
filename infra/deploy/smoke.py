#!/usr/bin/env python3
"""Whether what was deployed answers. Reads what `terraform output -json` prints, from a file or from standard input:

    terraform -chdir=infra output -json | infra/deploy/smoke.py

All functions but `status` are called from inside the project only, so the others are watched through their schedules.
Paper: `status`; a tick out of turn, by its schedule; `status` again. Live: `status`; then the next call of the guard,
as its schedule makes it. Nothing is called out of turn there. Which of them it is, the outputs say.

A tick that refuses or is halted is good: it has read market, model, state and switch, judged and written down, and a
new deployment without a model can do no other. What is not good: no answer, an error, a book that nobody can read or
that shows no decision. For a bar that was decided before the deployment a tick answers what was decided then; it is
said so, and the new code decides the next bar.

Exit codes: 0 it answers, 1 it does not, 2 wrong use. Needs Python 3.9 and gcloud, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

DECIDED = ("traded", "held", "stayed_out", "refused", "halted")
PASSING = (401, 403, 404, 429, 500, 502, 503, 504)  # a right or an instance that is still on its way
LONGEST_S = 70  # the time-out of `status`, and a little


class Failed(Exception):
    """What was deployed does not do what it should; the message says what."""


class Deployment:
    """One environment, as its outputs describe it. `caller`: the account whose token is shown; empty: your own."""

    def __init__(self, outputs: dict[str, Any], as_deployer: bool, attempts: int, pause_s: float) -> None:
        told = {name: output.get("value") for name, output in outputs.items()}
        missing = [name for name in ("environment", "functions", "smoke_jobs") if not told.get(name)]
        if missing:
            raise Failed(f"the outputs do not say {', '.join(missing)}: was it applied?")
        self.environment, self.functions, self.jobs = told["environment"], told["functions"], told["smoke_jobs"]
        self.caller = told.get("deployer") or "" if as_deployer else ""
        self.attempts, self.pause_s = attempts, pause_s

    def books(self) -> dict[str, dict[str, Any]]:
        """Every book by its id, as `status` shows it."""
        said = self._status()
        found = {book["id"]: book for book in said.get("books", [])}
        damaged = [f"{name}: {book.get('reason')}" for name, book in found.items() if book.get("outcome") == "damaged"]
        if said.get("outcome") != "done" or not found or damaged:
            raise Failed(f"status: {'; '.join(damaged) or said.get('reason') or 'it shows no book'}")
        print(f"ok   status: {', '.join(found)}", flush=True)
        return found

    def _status(self) -> dict[str, Any]:
        address, why = self.functions["status"], ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause_s)
            status, body = post(address, token(address, self.caller))
            if status == 200:
                return understood(body)
            why = f"status: {status or 'no answer'}: {body[:500]}"
            if status and status not in PASSING:
                break
            print(f"     {why}", flush=True)
        raise Failed(why)

    def called(self, job: str, out_of_turn: bool) -> None:
        """Waits for one call that began after this and is over; Failed when it, and what was tried again, failed."""
        before = described(job)
        if before.get("state") == "PAUSED":
            raise Failed(f"{job} is paused: gcloud scheduler jobs resume {job}")
        if out_of_turn:
            gcloud("scheduler", "jobs", "run", job)
        self._until(job, lambda now: now.get("lastAttemptTime") != before.get("lastAttemptTime"), "is not called")
        # What it shows may still be the outcome of the call before, until this one is over.
        time.sleep(float(described(job).get("attemptDeadline", "180s").rstrip("s")))
        self._until(job, lambda now: not now.get("status", {}).get("code"), "is called, and fails: its log says why")
        print(f"ok   {job}", flush=True)

    def _until(self, job: str, good: Callable[[dict[str, Any]], bool], complaint: str) -> None:
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause_s)
            if good(described(job)):
                return
        raise Failed(f"{job} {complaint}")


def described(job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gcloud("scheduler", "jobs", "describe", job, "--format=json"))
    return found


def token(audience: str, caller: str) -> str:
    whose = [f"--impersonate-service-account={caller}", f"--audiences={audience}"] if caller else []
    return gcloud("auth", "print-identity-token", *whose).strip()


def gcloud(*words: str) -> str:
    run = subprocess.run(["gcloud", *words], capture_output=True, text=True, check=False)
    if run.returncode:
        raise Failed(f"gcloud {' '.join(words[:3])}: {run.stderr.strip()[-500:]}")
    return run.stdout


def post(address: str, bearer: str) -> tuple[int, str]:
    """Status and body; status 0: nobody answered, and why."""
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, data=b"{}", headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=LONGEST_S) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as failure:
        return failure.code, failure.read().decode(errors="replace")
    except (OSError, ValueError) as failure:
        return 0, str(failure)


def understood(body: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Failed(f"status: this is no answer of ours: {body[:500]}")
    return said


def paper(deployment: Deployment) -> None:
    before = deployment.books()
    for job in deployment.jobs:
        deployment.called(job, out_of_turn=True)
    for name, book in deployment.books().items():
        outcome, bar = book.get("outcome"), book.get("bar")
        if outcome not in DECIDED or not bar:
            raise Failed(f"tick: {name}: {outcome or 'nothing was decided'}: {book.get('reason')}")
        old = ", which had been decided before" if before.get(name, {}).get("bar") == bar else ""
        print(f"ok   tick: {name}: {outcome} ({book.get('reason')}), bar {bar}{old}", flush=True)


def live(deployment: Deployment) -> None:
    deployment.books()
    for job in deployment.jobs:
        deployment.called(job, out_of_turn=False)


SMOKE = {"paper": paper, "live": live}


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether what was deployed answers.")
    parser.add_argument("outputs", nargs="?", metavar="FILE", help="what `terraform output -json` printed (default: -)")
    parser.add_argument("--as-deployer", action="store_true", help="with the deployer's identity instead of your own")
    parser.add_argument("--attempts", type=int, default=40, help="how often to look (default: 40)")
    parser.add_argument("--pause", type=float, default=15.0, metavar="S", help="between two looks (default: 15)")
    asked = parser.parse_args()
    try:
        outputs = json.loads(Path(asked.outputs).read_text() if asked.outputs else sys.stdin.read())
    except (OSError, ValueError) as failure:
        print(f"smoke: give what `terraform output -json` prints: {failure}", file=sys.stderr)
        return 2
    try:
        deployment = Deployment(outputs, asked.as_deployer, asked.attempts, asked.pause)
        SMOKE[deployment.environment](deployment)
    except Failed as failure:
        print(f"FAILED {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
