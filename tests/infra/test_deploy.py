"""How it is deployed: the steps and their order as data, the scripts by running them, with Google Cloud played."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import yaml

from core.cli.parser import parser

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "infra" / "deploy"
RELEASE: Final = "5e" * 32
JOB: Final = "projects/my-hourhand/locations/asia-northeast1/jobs/hourhand-{}"

# --- what stands in for Google Cloud: gcloud and terraform on the PATH, status on loopback ---------------------------

GCLOUD: Final = """#!{python} -IS
import json, sys, pathlib, time
here = pathlib.Path({folder!r})
words = sys.argv[1:]
with (here / "gcloud.log").open("a") as log:
    log.write(" ".join(words) + chr(10))
job = json.loads((here / "job.json").read_text())
ends = {{"code": job["outcome"]}} if job["outcome"] else {{}}
if words[:2] == ["auth", "print-identity-token"]:
    print("a-token")
elif words[:3] == ["scheduler", "jobs", "run"]:
    job["lastAttemptTime"], job["over"] = "2026-11-21T13:20:00Z", time.time() + job["takes_s"]
elif words[:3] == ["scheduler", "jobs", "describe"]:
    job["described"] = job.get("described", 0) + 1
    if "over" in job and time.time() >= job["over"]:
        job["status"] = ends
    if job["described"] == job.get("calls_itself_at"):
        job["lastAttemptTime"], job["status"] = "2026-11-21T13:21:00Z", ends
    print(json.dumps({{name: job[name] for name in ("state", "attemptDeadline", "lastAttemptTime", "status")}}))
elif words[:2] == ["builds", "list"]:
    print(job["builds"])
(here / "job.json").write_text(json.dumps(job))
"""
TERRAFORM: Final = """#!/bin/sh
echo "$*" >> {folder}/terraform.log
case "$*" in
*"output -json"*) cat {folder}/outputs.json ;;
*" -auto-approve"*) exit {way_back} ;;
*"apply"*) exit {apply} ;;
esac
"""


def book(**more: Any) -> dict[str, Any]:
    shown = {"id": "btc-jpy-1h", "outcome": "stayed_out", "reason": "no_edge", "bar": "2026-11-21T12:00:00Z"}
    return {**shown, **more}


@dataclass
class Google:
    """One environment as its functions and schedules answer. `answers`: what status says, the last one for ever."""

    folder: Path
    answers: list[tuple[int, Any]]
    job: dict[str, Any] = field(default_factory=dict)
    environment: str = "paper"
    terraform: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def laid_out(self) -> None:
        job = {"state": "ENABLED", "attemptDeadline": "0s", "lastAttemptTime": "2026-11-21T13:00:05Z", "status": {}}
        self._write("job.json", json.dumps({**job, "outcome": 0, "takes_s": 0, "builds": "", **self.job}))
        self._write("outputs.json", json.dumps(self.outputs(), indent=2))
        self._command("gcloud", GCLOUD.format(python=sys.executable, folder=str(self.folder)))
        ends = {"apply": 0, "way_back": 0, **self.terraform}
        self._command("terraform", TERRAFORM.format(folder=self.folder, **ends))

    def outputs(self) -> dict[str, Any]:
        watched = {"paper": "paper-tick", "live": "live-guard"}[self.environment]
        told = {
            "environment": self.environment, "release": RELEASE, "deployer": "deployer@my-hourhand.example",
            "functions": {"status": self.address}, "smoke_jobs": [JOB.format(watched)],
        }  # fmt: skip
        return {name: {"sensitive": False, "type": "string", "value": value} for name, value in told.items()}

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def _command(self, name: str, text: str) -> None:
        (self.folder / "bin").mkdir(exist_ok=True)
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def log(self, of: str) -> list[str]:
        path = self.folder / f"{of}.log"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, *command: str, given: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        known = {**os.environ, "PATH": path, "PROJECT_ID": "my-hourhand", **env}
        return subprocess.run(command, input=given, env=known, capture_output=True, text=True, cwd=self.folder)

    def smoke(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-IS", str(DEPLOY / "smoke.py"), "--attempts", "3", "--pause", "0.01", *options]
        return self.run(*command, given=json.dumps(self.outputs()))


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Google]:
    made = Google(tmp_path, [(200, {"outcome": "done", "books": [book()]})])

    class Status(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.asked.append(self.headers["Authorization"])
            status, said = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            data = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Status)
    made.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def shows(*books: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"outcome": "done", "books": list(books)}


# --- the smoke test -------------------------------------------------------------------------------------------------


def test_on_paper_a_tick_is_run_out_of_turn_and_then_status_knows_of_it(google: Google) -> None:
    google.answers = [shows(book(bar="2026-11-21T11:00:00Z")), shows(book(outcome="traded"))]
    google.laid_out()
    run = google.smoke("--as-deployer")
    assert (run.returncode, run.stderr) == (0, "")
    assert "tick: btc-jpy-1h: traded (no_edge), bar 2026-11-21T12:00:00Z\n" in run.stdout
    assert f"scheduler jobs run {JOB.format('paper-tick')}" in google.log("gcloud")
    assert set(google.asked) == {"Bearer a-token"}
    token = f"--impersonate-service-account=deployer@my-hourhand.example --audiences={google.address}"
    assert f"auth print-identity-token {token}" in google.log("gcloud")


def test_a_person_shows_a_token_of_their_own(google: Google) -> None:
    google.laid_out()
    assert google.smoke().returncode == 0
    assert "auth print-identity-token" in google.log("gcloud")


@pytest.mark.parametrize("outcome", ["traded", "held", "stayed_out", "refused", "halted"])
def test_whatever_was_decided_is_good(google: Google, outcome: str) -> None:
    google.answers = [shows(book(outcome=outcome))]
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, ", which had been decided before" in run.stdout) == (0, True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, {"outcome": "failed", "reason": "Firestore does not answer"}), "Firestore does not answer"),
        ((403, "<html>Forbidden</html>"), "403"),
        ((400, "nothing that will pass"), "400"),
        ((200, "<html>hello</html>"), "no answer of ours"),
        ((200, {"outcome": "done", "books": []}), "it shows no book"),
        (shows(book(outcome="damaged", reason="the stored state cannot be read")), "the stored state cannot be read"),
        (shows(book(outcome=None, bar=None)), "nothing was decided"),
        (shows(book(outcome="done")), "tick: btc-jpy-1h: done"),
    ],
)
def test_a_status_that_is_not_well_fails_it(google: Google, answer: tuple[int, Any], said: str) -> None:
    google.answers = [answer]
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, said in run.stderr) == (1, True)


def test_a_right_that_is_still_on_its_way_is_waited_for(google: Google) -> None:
    google.answers = [(403, "not yet"), (503, "starting"), shows(book())]
    google.laid_out()
    assert google.smoke().returncode == 0


def test_nobody_who_answers_fails_it(google: Google) -> None:
    google.address = "http://127.0.0.1:9"
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, "no answer" in run.stderr) == (1, True)


@pytest.mark.parametrize("code", [13, 14, 4])
def test_a_tick_that_fails_fails_it(google: Google, code: int) -> None:
    google.job = {"outcome": code}
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, "is called, and fails" in run.stderr) == (1, True)


def test_a_tick_that_is_still_running_is_waited_for_before_it_is_believed(google: Google) -> None:
    google.job = {"outcome": 13, "takes_s": 2.0, "attemptDeadline": "2.5s"}
    google.laid_out()
    assert google.smoke().returncode == 1


def test_a_tick_that_failed_before_the_deployment_does_not(google: Google) -> None:
    google.job = {"status": {"code": 13}}
    google.laid_out()
    assert google.smoke().returncode == 0


def test_a_paused_schedule_fails_it_and_says_what_to_do(google: Google) -> None:
    google.job = {"state": "PAUSED"}
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, "gcloud scheduler jobs resume" in run.stderr) == (1, True)


def test_live_is_watched_and_nothing_is_run_out_of_turn(google: Google) -> None:
    google.environment, google.job = "live", {"calls_itself_at": 3}
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, run.stderr) == (0, "")
    assert [line for line in google.log("gcloud") if "jobs run" in line] == []


@pytest.mark.parametrize(
    ("job", "said"),
    [({"calls_itself_at": 2, "outcome": 13}, "is called, and fails"), ({}, "is not called")],
)
def test_a_live_guard_that_fails_or_is_not_called_fails_it(google: Google, job: dict[str, Any], said: str) -> None:
    google.environment, google.job = "live", job
    google.laid_out()
    run = google.smoke()
    assert (run.returncode, said in run.stderr) == (1, True)
    assert [line for line in google.log("gcloud") if "jobs run" in line] == []


@pytest.mark.parametrize("given", ["", "[no JSON", "{}"])
def test_outputs_that_say_nothing_are_refused(google: Google, given: str) -> None:
    google.laid_out()
    run = google.run(sys.executable, "-IS", str(DEPLOY / "smoke.py"), given=given)
    assert run.returncode == (1 if given == "{}" else 2)


# --- the steps ------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(google: Google) -> Google:
    """The script in a checkout of its own, so that what it leaves in build/ is nobody else's."""
    (google.folder / "infra" / "deploy").mkdir(parents=True)
    for name in ("deploy.sh", "smoke.py"):
        script = (DEPLOY / name).read_text().replace("default=15.0", "default=0.01").replace("default=40", "default=3")
        (google.folder / "infra" / "deploy" / name).write_text(script)
    google.laid_out()
    return google


def step(google: Google, name: str, environment: str = "paper") -> subprocess.CompletedProcess[str]:
    return google.run("sh", "infra/deploy/deploy.sh", name, environment)


def deployed(google: Google, environment: str = "paper") -> dict[str, int]:
    """Exit codes of the steps; like Cloud Build, the last one runs whatever became of apply and smoke."""
    return {name: step(google, name, environment).returncode for name in ("plan", "apply", "smoke", "back")}


def test_a_deployment_that_passes_goes_nowhere_back(checkout: Google) -> None:
    assert deployed(checkout) == {"plan": 0, "apply": 0, "smoke": 0, "back": 0}
    calls = checkout.log("terraform")
    assert [line.split()[1] for line in calls] == ["init", "output", "plan", "apply", "output"]
    assert "-backend-config=bucket=my-hourhand-hourhand-tfstate -backend-config=prefix=paper" in calls[0]
    assert "-var-file=environments/paper.tfvars -var=project_id=my-hourhand" in calls[2]
    assert calls[3].endswith("../build/deploy-paper/plan")


def test_a_smoke_test_that_fails_takes_it_back_to_the_release_before(checkout: Google) -> None:
    checkout.answers = [(500, "broken")]
    assert deployed(checkout) == {"plan": 0, "apply": 0, "smoke": 1, "back": 1}
    assert f"-var=release={RELEASE}" in checkout.log("terraform")[-1]
    assert "-var-file=environments/paper.tfvars" in checkout.log("terraform")[-1]


def test_half_an_apply_is_taken_back_as_well(checkout: Google) -> None:
    checkout.terraform = {"apply": 1}
    checkout.laid_out()
    assert deployed(checkout) == {"plan": 0, "apply": 1, "smoke": 2, "back": 1}
    assert f"-var=release={RELEASE}" in checkout.log("terraform")[-1]


def test_the_first_deployment_has_nothing_to_go_back_to_and_says_so(checkout: Google) -> None:
    (checkout.folder / "outputs.json").write_text("{}\n")
    assert step(checkout, "plan").returncode == 0
    run = step(checkout, "back")
    assert (run.returncode, "no release before" in run.stderr) == (1, True)
    assert not any("-auto-approve" in line for line in checkout.log("terraform"))


def test_a_way_back_that_fails_says_what_to_type(checkout: Google) -> None:
    checkout.terraform = {"way_back": 1}
    checkout.laid_out()
    assert step(checkout, "plan").returncode == 0
    run = step(checkout, "back")
    assert (run.returncode, f"terraform apply -var release={RELEASE}" in run.stderr) == (1, True)


def test_a_smoke_test_of_before_does_not_count_for_the_next_deployment(checkout: Google) -> None:
    assert deployed(checkout)["back"] == 0
    checkout.answers = [(500, "broken")]
    assert deployed(checkout)["back"] == 1


@pytest.mark.parametrize("words", [[], ["plan"], ["plan", "test"], ["destroy", "paper"]])
def test_a_step_that_is_none_is_refused(checkout: Google, words: list[str]) -> None:
    run = checkout.run("sh", "infra/deploy/deploy.sh", *words)
    assert (run.returncode, "usage:" in run.stderr, checkout.log("terraform")) == (2, True, [])


# --- cloudbuild.yaml and its twin -----------------------------------------------------------------------------------

BUILD: Final[dict[str, Any]] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
STEPS: Final[dict[str, dict[str, Any]]] = {step["id"]: step for step in BUILD["steps"]}
TWIN: Final[dict[Any, Any]] = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())
MADE: Final = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(of: Mapping[str, Any]) -> str:
    return str(of.get("script", of.get("run", "")))


def test_the_steps_are_install_check_plan_apply_smoke_and_the_way_back_in_this_order() -> None:
    assert list(STEPS) == ["install", "check", "check-infra", "paper-first", "plan", "apply", "smoke", "back"]
    twin = [commands(step) for step in TWIN["jobs"]["paper"]["steps"] if "run" in step]
    mine = [commands(STEPS[name]) for name in ("plan", "apply", "smoke", "back")]
    assert (
        twin == mine == [f'infra/deploy/deploy.sh {name} "$ENVIRONMENT"' for name in ("plan", "apply", "smoke", "back")]
    )


def test_every_step_runs_what_there_is() -> None:
    for name, one in [*STEPS.items(), *enumerate(TWIN["jobs"]["check"]["steps"])]:
        for script in re.findall(r"infra/deploy/[\w.]+", commands(one)):
            assert os.access(ROOT / script, os.X_OK), (name, script)
        assert set(re.findall(r"^make ([\w-]+)$", commands(one), re.MULTILINE)) <= MADE, name
    assert 'make check ARGS="--ignore=tests/infra/test_terraform.py"' in commands(STEPS["check"]).splitlines()
    assert STEPS["check"]["env"] == ["CI=true"]


def test_the_scripts_run_under_any_shell_that_is_one() -> None:
    for name, one in STEPS.items():
        assert subprocess.run(["sh", "-n"], input=commands(one), text=True).returncode == 0, name
    assert subprocess.run(["sh", "-n", str(DEPLOY / "deploy.sh")]).returncode == 0


def test_only_what_the_way_back_mends_may_fail() -> None:
    assert [name for name, one in STEPS.items() if one.get("allowFailure")] == ["apply", "smoke"]
    mends = TWIN["jobs"]["paper"]["steps"][-1]
    assert commands(mends).startswith("infra/deploy/deploy.sh back")
    assert "failure()" in mends["if"] and "steps.apply.outcome != 'skipped'" in mends["if"]


def test_live_comes_after_paper_and_after_a_person() -> None:
    live = TWIN["jobs"]["live"]
    assert (live["needs"], live["environment"], live["if"]) == ("paper", "live", "inputs.live")
    assert TWIN[True]["workflow_dispatch"]["inputs"]["live"]["default"] is False  # YAML 1.1 reads `on` as true
    assert (TWIN["jobs"]["paper"]["needs"], TWIN["jobs"]["check"]["if"]) == ("check", "vars.PROJECT_ID != ''")
    assert live["steps"] == TWIN["jobs"]["paper"]["steps"]


@pytest.mark.parametrize(
    ("environment", "builds", "code"),
    [
        ("paper", "", 0),
        ("live", "SUCCESS\thourhand-paper;commit-c0ffee", 0),
        ("live", "FAILURE\thourhand-paper;commit-c0ffee", 1),
        ("live", "WORKING\thourhand-live;commit-c0ffee\nSUCCESS\thourhand-live;commit-c0ffee", 1),
        ("live", "", 1),
    ],
)
def test_live_wants_paper_s_build_of_the_same_commit(google: Google, environment: str, builds: str, code: int) -> None:
    google.job = {"builds": builds}
    google.laid_out()
    run = google.run("sh", "-c", commands(STEPS["paper-first"]), ENVIRONMENT=environment, COMMIT_SHA="c0ffee")
    assert run.returncode == code
    assert BUILD["tags"] == ["hourhand-$_ENVIRONMENT", "commit-$COMMIT_SHA"]
    assert all("tags:commit-c0ffee" in line for line in google.log("gcloud"))


def test_each_step_is_told_what_its_script_reads() -> None:
    told = [f"{name}=${value}" for name, value in {
        "ENVIRONMENT": "_ENVIRONMENT", "PROJECT_ID": "PROJECT_ID", "COMMIT_SHA": "COMMIT_SHA",
        "TF_VAR_real_money": "_REAL_MONEY",
    }.items()]  # fmt: skip
    assert [STEPS[name]["env"] for name in ("plan", "apply", "smoke", "back")] == [told] * 4
    assert BUILD["substitutions"] == {"_ENVIRONMENT": "paper", "_REAL_MONEY": ""}
    assert BUILD["options"]["logging"] == "CLOUD_LOGGING_ONLY"  # an account of one's own demands it


def test_no_step_and_no_job_is_given_a_secret() -> None:
    assert "availableSecrets" not in BUILD and all("secretEnv" not in one for one in BUILD["steps"])
    assert "${{ secrets" not in (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    assert TWIN["permissions"] == {}
    for name in ("paper", "live"):
        assert TWIN["jobs"][name]["permissions"] == {"contents": "read", "id-token": "write"}


# --- docs/go_live.md ------------------------------------------------------------------------------------------------

GUIDE: Final = (ROOT / "docs" / "go_live.md").read_text()
INFRA: Final = "\n".join(path.read_text() for path in sorted((ROOT / "infra").glob("*.tf")))
SHOWN: Final = [line.strip() for line in GUIDE.splitlines() if line.startswith("    ")]


def typed(program: str) -> list[list[str]]:
    """The words after `program` in each command of the guide: whole lines, parts of a pipe, what stands in `ticks`."""
    told = [*SHOWN, *re.findall(r"`([^`]+)`", GUIDE.replace("\n", " "))]
    parts = [part.strip() for line in told for part in re.split(r" \| | && ", line)]
    return [shlex.split(part)[1:] for part in parts if part.split(" ")[0] == program and " " in part]


def environments(text: str) -> set[str]:
    return set(re.findall(r"^variable \"(\w+)\"", text, re.MULTILINE))


@pytest.mark.parametrize("words", typed("hourhand"), ids=" ".join)
def test_every_command_of_the_guide_is_one(words: list[str]) -> None:
    assert parser().parse_args(words).run


def test_every_terraform_command_of_the_guide_sets_what_there_is() -> None:
    known = environments(INFRA)
    commands = typed("terraform")
    assert len(commands) > 10
    for words in commands:
        assert words[0] == "-chdir=infra" and words[1] in {"init", "plan", "apply", "output", "destroy", "import"}, (
            words
        )
        for one, following in zip(words, [*words[1:], ""], strict=True):
            if one == "-var":
                assert following.partition("=")[0] in known, words
            if one.startswith("-var-file="):
                assert (ROOT / "infra" / one.partition("=")[2]).is_file(), words
        if words[1] == "output" and "-raw" in words:
            assert f'output "{words[-1]}"' in INFRA, words
        if words[1] == "import":
            kind, name = words[-2].removesuffix("[0]").split(".")
            assert f'resource "{kind}" "{name}"' in INFRA, words


def test_every_setting_of_the_guide_is_a_variable() -> None:
    shown = [line.partition("=")[0].strip() for line in SHOWN if re.match(r"\w+ +=", line)]
    named = re.findall(r"`(\w+) = [^`]+`", GUIDE)
    assert {"project_id", "alert_email", "billing_account"} <= set(shown)
    assert set(shown) | set(named) <= environments(INFRA)


def test_every_resource_of_the_guide_is_made_by_that_name() -> None:
    secrets = set(re.findall(r"hourhand-(?:paper|live)-([A-Z_]+)", GUIDE))
    assert secrets == {"DISCORD_WEBHOOK_URL", "VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD"}
    assert all(f'"{name}"' in (ROOT / "infra" / "secrets.tf").read_text() for name in secrets)
    schedules = (ROOT / "infra" / "schedules.tf").read_text()
    for _, name in re.findall(r"jobs run hourhand-(paper|live)-(\w+)", GUIDE):
        assert re.search(rf"^\s+{name}\s+= \{{", schedules, re.MULTILINE), name
    for name in re.findall(r"my-hourhand-hourhand-live-(\w+)", GUIDE):
        assert f'"${{local.unique}}-{name}"' in INFRA, name
    assert "my-hourhand-hourhand-tfstate" in GUIDE and '"${var.project_id}-hourhand-tfstate"' in INFRA


def test_every_environment_variable_of_the_guide_is_a_setting() -> None:
    defaults = tomllib.loads((ROOT / "config" / "default.toml").read_text())
    names = re.findall(r"HOURHAND__(\w+?)__(\w+)=", GUIDE)
    assert len(names) >= 6
    assert all(key.lower() in defaults[section.lower()] for section, key in names)


def test_every_page_and_script_that_the_guide_names_is_there() -> None:
    pages = re.findall(r"\]\((?!https?:)([\w./]+)\)", GUIDE)
    assert [page for page in pages if not (ROOT / "docs" / page).is_file()] == []
    paths = re.findall(r"\b(?:infra|config|tests)/[\w./]+\w", GUIDE)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert set(re.findall(r"`make ([\w-]+)`", GUIDE)) <= MADE


def known_to_gcloud() -> dict[str, Any] | None:
    """The tree of commands and flags that gcloud completes words from; None: it is not here."""
    found = shutil.which("gcloud")
    roots = [Path(found).resolve().parents[1]] if found else []
    path = next((one for root in roots if (one := root / "data" / "cli" / "gcloud_completions.py").is_file()), None)
    if path is None:
        return None
    names: dict[str, Any] = {}
    exec(path.read_text(), names)
    tree: dict[str, Any] = names["STATIC_COMPLETION_CLI_TREE"]
    return tree


def test_every_gcloud_command_of_the_guide_and_of_the_scripts_is_one() -> None:
    tree = known_to_gcloud()
    if tree is None:
        pytest.skip("gcloud is not here: https://cloud.google.com/sdk/docs/install")
    commands = [
        *typed("gcloud"),
        ["scheduler", "jobs", "describe", "J", "--format=json"],
        ["auth", "print-identity-token"],
    ]
    commands.append(["auth", "print-identity-token", "--impersonate-service-account=A", "--audiences=B"])
    commands.append(["builds", "list", "--project=P", "--filter=F", "--format=G"])
    assert len(commands) > 20
    for words in commands:
        node, rest = tree, list(words)
        while rest and rest[0] in node["commands"]:
            node = node["commands"][rest.pop(0)]
        assert not node["commands"], f"{words}: stops at a group"
        flags = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert set(flags) <= {*node["flags"], *tree["flags"]}, words
