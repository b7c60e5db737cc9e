#!/usr/bin/env python3
"""Whether what was deployed answers. Reads what `terraform output -json` prints, from a file or from standard input:

    terraform -chdir=infra output -json | infra/deploy/smoke.py

Paper: `status`, then a tick out of turn, then `status` again. Live: `status`, and the guard as the scheduler calls it
each minute; a live tick is never forced. Which of them it is, the outputs say. Where there is a second region, it is
asked as well.

A tick that refuses or is halted is good: it has read market, model, state and switch, judged and written down, and a
new deployment without a model can do no other. What is not good: no answer, an error, a book that nobody can read, or a
status that does not know of the tick. For a bar that was decided before the deployment a tick answers what was decided
then; it is said so, and the new code decides the next bar.

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
from pathlib import Path
from typing import Any

DECIDED = ("traded", "held", "stayed_out", "refused", "halted")
PASSING = (401, 403, 404, 429, 500, 502, 503, 504)  # a right or an instance that is still on its way; a busy book
LONGEST_S = 610  # a function's longest time-out, and a little


class Failed(Exception):
    """What was deployed does not do what it should; the message says what."""


class Deployment:
    """The functions of one environment. `caller`: the account whose token is shown; empty: your own."""

    def __init__(self, outputs: dict[str, Any], as_deployer: bool, attempts: int, pause_s: float) -> None:
        told = {name: output.get("value") for name, output in outputs.items()}
        missing = [name for name in ("environment", "functions") if not told.get(name)]
        if missing:
            raise Failed(f"the outputs do not say {' and '.join(missing)}: was it applied?")
        self.environment = told["environment"]
        self.regions = [told["functions"], told.get("functions_second") or {}]
        self.caller = told.get("deployer") or "" if as_deployer else ""
        self.attempts, self.pause_s = attempts, pause_s

    def ask(self, function: str) -> list[dict[str, Any]]:
        """What a function answers that did its work: of each book where it tells of several, of each region."""
        addresses = [region[function] for region in self.regions if region.get(function)]
        if not addresses:
            raise Failed(f"{function}: the outputs have no such function")
        answers = [self._asked(function, address) for address in addresses]
        return [book for answer in answers for book in of_books(answer)]

    def _asked(self, function: str, address: str) -> dict[str, Any]:
        why = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause_s)
            status, body = post(address, token(address, self.caller))
            if status == 200:
                return understood(function, body)
            why = f"{function}: {status or 'no answer'}: {body[:500]}"
            if status and status not in PASSING:
                break
            print(f"     {why}", flush=True)
        raise Failed(why)


def token(audience: str, caller: str) -> str:
    command = ["gcloud", "auth", "print-identity-token"]
    if caller:
        command += [f"--impersonate-service-account={caller}", f"--audiences={audience}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise Failed(f"gcloud gives no identity token: {run.stderr.strip()[-500:]}")
    return run.stdout.strip()


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


def understood(function: str, body: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or "outcome" not in said:
        raise Failed(f"{function}: this is no answer of ours: {body[:500]}")
    return said


def of_books(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each book, where an answer tells of several; `status` has a form of its own."""
    several = answer.get("books") if answer.get("book") else None
    return several or [answer]


def books(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Every book of the deployment by its id, as `status` shows it."""
    (said,) = deployment.ask("status")
    found = {book["id"]: book for book in said.get("books", [])}
    damaged = [f"{name}: {book.get('reason')}" for name, book in found.items() if book.get("outcome") == "damaged"]
    if said["outcome"] != "done" or not found or damaged:
        raise Failed(f"status: {'; '.join(damaged) or 'it shows no book'}")
    print(f"ok   status: {', '.join(found)}", flush=True)
    return found


def tick(deployment: Deployment) -> None:
    before = books(deployment)
    answers = deployment.ask("tick")
    for answer in answers:
        name, outcome, bar = str(answer.get("book")), answer["outcome"], answer.get("bar")
        if outcome not in DECIDED:
            raise Failed(f"tick: {name}: {outcome}: {answer.get('reason')}")
        old = ", which had been decided before" if before.get(name, {}).get("bar") == bar else ""
        print(f"ok   tick: {name}: {outcome} ({answer.get('reason')}), bar {bar}{old}", flush=True)
    after = books(deployment)
    for answer in answers:
        name, shown = answer["book"], after.get(answer["book"], {}).get("bar")
        if not shown or shown < answer["bar"]:
            raise Failed(f"status: {name}: it shows the bar {shown}, the tick decided {answer['bar']}")


def guard(deployment: Deployment) -> None:
    books(deployment)
    for answer in deployment.ask("guard"):
        if answer["outcome"] != "done":
            raise Failed(f"guard: {answer.get('book')}: {answer['outcome']}: {answer.get('reason')}")
        print(f"ok   guard: {answer.get('book')}: {answer.get('reason') or 'done'}", flush=True)


SMOKE = {"paper": tick, "live": guard}


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether what was deployed answers.")
    parser.add_argument("outputs", nargs="?", metavar="FILE", help="what `terraform output -json` printed (default: -)")
    parser.add_argument("--as-deployer", action="store_true", help="with the deployer's identity instead of your own")
    parser.add_argument("--attempts", type=int, default=8, help="how often a function is asked (default: 8)")
    parser.add_argument("--pause", type=float, default=20.0, metavar="S", help="between two attempts (default: 20)")
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
