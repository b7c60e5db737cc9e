"""The real emulators of Firestore and Pub/Sub and one of Cloud Storage, each started once per test process, when first
asked for.

Where one cannot be started its tests are skipped, with what to install; under CI=true they fail instead.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NoReturn

import pytest

FIRESTORE: Final = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
PUBSUB: Final = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"
MAIN: Final = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
# 64 MB is enough to start, but old versions of documents are kept: some forty large ones fill it and it falls silent.
HEAP_MB: Final = 256
LEAN: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# Java outlives a test run that is killed, unless somebody sees the run's end of the pipe close.
GUARD: Final = 'exec 3<&0; "$@" & java=$!; { cat <&3 > /dev/null; kill -9 $java; } & wait $java'
PATIENCE_S: Final = 60.0
STARTS: Final = 3  # on a busy machine somebody else may take the port that was free a moment ago


@contextlib.contextmanager
def firestore(heap_mb: int = HEAP_MB) -> Iterator[str]:
    """'127.0.0.1:port' of a running Firestore emulator. Take a project of your own for each test."""
    heap = f"-Xmx{heap_mb}m"
    with _emulator("Firestore", "cloud-firestore-emulator", FIRESTORE, lambda jar: [heap, "-cp", jar, MAIN]) as host:
        yield host


@contextlib.contextmanager
def pubsub() -> Iterator[str]:
    """'127.0.0.1:port' of a running Pub/Sub emulator. Take a project of your own for each test."""
    with _emulator("Pub/Sub", "pubsub-emulator", PUBSUB, lambda jar: [f"-Xmx{HEAP_MB}m", "-jar", jar]) as host:
        yield host


@contextlib.contextmanager
def _emulator(what: str, component: str, pattern: str, run: Callable[[str], list[str]]) -> Iterator[str]:
    """The address of the emulator whose jar `pattern` finds below gcloud's root; `run`: how Java is given it."""
    java, jar = shutil.which("java"), _jar(pattern)
    if java is None or jar is None:
        _missing(f"the {what} emulator needs Java and `gcloud components install {component}`")
    for _ in range(STARTS):
        port = free_port()
        process = _started([java, *LEAN, *run(str(jar)), "--host=127.0.0.1", f"--port={port}"])
        try:
            if _answers(f"http://127.0.0.1:{port}/", process):
                yield f"127.0.0.1:{port}"
                return
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    _missing(f"the {what} emulator did not start: `gcloud emulators {what.lower().replace('/', '')} start` says why")


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", GUARD, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.contextmanager
def storage() -> Iterator[str]:
    """'http://127.0.0.1:port' of a running Cloud Storage emulator, without buckets: see `make_bucket`."""
    try:
        emulator = importlib.import_module("gcp_storage_emulator.server")
    except ImportError:
        _missing("the Cloud Storage emulator is missing: pip install gcp-storage-emulator")
    port = free_port()
    server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    with firestore() as host:
        yield host


@pytest.fixture(scope="session")
def pubsub_emulator() -> Iterator[str]:
    with pubsub() as host:
        yield host


@pytest.fixture(scope="session")
def storage_emulator() -> Iterator[str]:
    with storage() as host:
        yield host


def make_bucket(host: str, name: str) -> str:
    body = b'{"name": "%s"}' % name.encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{host}/storage/v1/b", body, headers)):
        return name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _jar(pattern: str) -> Path | None:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    for root in chain([Path(gcloud).resolve().parents[1]], _asked(gcloud)):
        if found := sorted(root.glob(pattern)):
            return found[-1]
    return None


def _asked(gcloud: str) -> Iterator[Path]:
    """Where gcloud itself says that it is installed: slow, so only when its own path does not tell."""
    command = [gcloud, "info", "--format=value(installation.sdk_root)"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if answer.stdout.strip():
        yield Path(answer.stdout.strip())


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
