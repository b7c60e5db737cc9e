"""infra/ as Terraform itself sees it: its form, its references and types, and the assertions of infra/tests.

The provider comes from where the environment's OFFLINE_TERRAFORM says, or from shared/terraform-mirror in a folder
above, or from its registry; where it cannot be had the tests are skipped. They are also skipped where there is no
Terraform, with what to install; under CI=true they fail then.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).parents[2]
INFRA: Final = ROOT / "infra"
MIRRORS: Final = [above / "shared" / "terraform-mirror" / "offline-terraform" for above in ROOT.parents]
PATIENCE_S: Final = 280.0


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def _run(command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    """With all of its children, it ends within PATIENCE_S, whatever happens."""
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = started.communicate(timeout=PATIENCE_S)
    except BaseException:  # also when pytest's own patience is at its end: Terraform would go on alone
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        raise
    return subprocess.CompletedProcess(command, started.returncode, out, err)


@cache
def _of_registry(data: str) -> str:
    """Why the provider cannot be had from its registry; "" when it is there."""
    ran = _run(["terraform", f"-chdir={INFRA}", "init", "-backend=false", "-input=false"], TF_DATA_DIR=data)
    return "" if ran.returncode == 0 else ran.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"TF_DATA_DIR": str(tmp_path_factory.mktemp("terraform")), "CHECKPOINT_DISABLE": "1"}


def terraform(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`terraform -chdir=infra ...`, with a provider."""
    if shutil.which("terraform") is None:
        _missing("Terraform is missing: https://developer.hashicorp.com/terraform/install, 1.11 or newer")
    given = os.environ.get("OFFLINE_TERRAFORM")
    offline = Path(given) if given else next((mirror for mirror in MIRRORS if mirror.exists()), None)
    if offline:
        return _run([str(offline), f"-chdir={INFRA}", *arguments])
    why = _of_registry(environ["TF_DATA_DIR"])
    if why:
        pytest.skip(f"the provider cannot be had from the registry ({why}): give a network, or OFFLINE_TERRAFORM")
    return _run(["terraform", f"-chdir={INFRA}", *arguments], **environ)


def said(ran: subprocess.CompletedProcess[str]) -> str:
    return (ran.stdout + ran.stderr)[-4000:]


def test_every_file_has_terraforms_own_form() -> None:
    if shutil.which("terraform") is None:
        _missing("Terraform is missing: https://developer.hashicorp.com/terraform/install, 1.11 or newer")
    ran = _run(["terraform", "fmt", "-check", "-diff", "-recursive", str(INFRA)])
    assert ran.returncode == 0, said(ran)


def test_it_is_valid(environ: dict[str, str]) -> None:
    ran = terraform(environ, "validate", "-no-color")
    assert ran.returncode == 0, said(ran)


def test_what_matters_is_asserted_and_holds(environ: dict[str, str]) -> None:
    assert list((INFRA / "tests").glob("*.tftest.hcl")), "infra/tests holds no test"
    ran = terraform(environ, "test", "-no-color")
    assert ran.returncode == 0, said(ran)
    assert " 0 failed" in ran.stdout
