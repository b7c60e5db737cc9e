"""Credentials: taken from the metadata server of the place, on loopback here, and never looked for on an emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.adapters.google_http import address
from tests.adapters.scripted import Answer, Request, Script, scripted

ROOT = Path(__file__).parents[2]
CALLS = """
import sys
from core.adapters.google_http import GoogleHttp
from core.ports import Unavailable
http = GoogleHttp("a service", sys.argv[1], emulated=False, timeout=5.0)
try:
    print(*(http.call("GET", "/x", again=False).data.decode() for _ in range(2)))
except Unavailable as error:
    print(error)
"""
EMULATED = """
import sys
from core.adapters.google_http import GoogleHttp
print(GoogleHttp("a service", sys.argv[1], emulated=True, timeout=5.0).call("GET", "/x", again=False).data.decode())
assert not any(name.startswith("google.auth") or name == "requests" for name in sys.modules)
"""


class Metadata(Script):
    """What a cloud function's metadata server answers, with a new token each time."""

    def next(self, request: Request) -> Answer | None:
        self.asked.append(request)
        if "/token" in request.path:
            token = f"token-{sum('/token' in asked.path for asked in self.asked)}"
            return Answer(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
        if "universe" in request.path:
            return Answer(200, b"googleapis.com")
        if "service-accounts" in request.path:
            return Answer(200, {"email": "a@p.iam.gserviceaccount.com", "scopes": [], "aliases": ["default"]})
        return Answer(200, b"p")


def run(code: str, address: str, metadata: str, home: Path) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLOUDSDK_CONFIG": str(home),
        "GCE_METADATA_HOST": metadata,
        "GCE_METADATA_ROOT": metadata,
        "GCE_METADATA_IP": metadata,
        "GCE_METADATA_TIMEOUT": "1",
        "GCE_METADATA_DETECT_RETRIES": "1",
    }
    command = [sys.executable, "-c", code, f"http://{address}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_token_is_fetched_once_and_again_when_it_is_refused(tmp_path: Path) -> None:
    with scripted(Answer(401, b"expired"), Answer(200, b"fine")) as service, scripted(kind=Metadata) as metadata:
        assert run(CALLS, service.host, metadata.host, tmp_path) == "fine fine"
    tokens = [request.headers["authorization"] for request in service.asked]
    assert tokens == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


def test_no_credentials_is_unavailable_and_says_what_to_do(tmp_path: Path) -> None:
    with scripted(Answer(200, b"fine")) as service:
        said = run(CALLS, service.host, "127.0.0.1:1", tmp_path)
    assert "no Google credentials for a service" in said
    assert "gcloud auth application-default login" in said
    assert service.asked == []


def test_an_emulator_needs_no_credentials_and_imports_none(tmp_path: Path) -> None:
    with scripted(Answer(200, b"fine")) as service:
        assert run(EMULATED, service.host, "127.0.0.1:1", tmp_path) == "fine"
    assert service.asked[0].headers["authorization"] == "Bearer owner"


@pytest.mark.parametrize("host", ["127.0.0.1:80", "http://127.0.0.1:80", "http://127.0.0.1:80/"])
def test_an_emulators_host_may_be_written_in_several_ways(host: str) -> None:
    assert address(host) == "http://127.0.0.1:80"
