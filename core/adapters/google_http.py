"""Google's REST interfaces over one pool of connections, with the credentials of the place that the code runs in.

Not the official clients: importing them costs a cold start some 235 ms and 60 MiB. On an emulator nothing of
google-auth is imported.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final, NamedTuple

from core.ports import Unavailable

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
PAUSES_S: Final = (0.1, 0.4)
CONNECT_S: Final = 3.0
IDLE_S: Final = 60.0
ROLES: Final = "roles/datastore.user (Firestore) or roles/storage.objectUser (the bucket)"


class Reply(NamedTuple):
    status: int
    data: bytes


class GoogleHttp:
    """`service` names the other side in messages, and `roles` what it takes to be let in; `base` is what every path is
    appended to.

    On an emulator no credentials are looked for. Thread-safe; connects at the first call.
    """

    def __init__(self, service: str, base: str, *, emulated: bool, timeout: float, roles: str = ROLES) -> None:
        self._service = service
        self._roles = roles
        self._base = base
        self._emulated = emulated
        self._timeout = timeout
        self._lock = threading.Lock()
        self._http: Any = None
        self._used = 0.0

    def call(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json", *, again: bool
    ) -> Reply:
        """One request; with `again`, up to two more when the service did not answer or was too busy.

        Raises Unavailable for no answer, 401, 403, 429 and 5xx; any other status is the caller's to judge.
        """
        for pause in PAUSES_S if again else ():
            try:
                return self._once(method, path, body, kind)
            except _Refused:
                raise
            except Unavailable:
                time.sleep(pause)
        return self._once(method, path, body, kind)

    def _once(self, method: str, path: str, body: bytes | None, kind: str) -> Reply:
        headers = {"Content-Type": kind} if body is not None else {}
        if self._emulated:
            headers["Authorization"] = "Bearer owner"  # past the emulator's security rules, as the official clients do
        reply = self._send(method, path, body, headers)
        if reply.status in (401, 403):
            raise _Refused(
                f"{self._service} refused these credentials ({reply.status}: {_said(reply)}): grant their account "
                f"{self._roles}"
            )
        if reply.status == 429 or reply.status >= 500:
            raise Unavailable(
                f"{self._service} answered {reply.status} ({_said(reply)}): try again later, a write after a read"
            )
        return reply

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        import urllib3

        try:
            answer = self._pool().request(
                method,
                self._base + path,
                body=body,
                headers=headers,
                retries=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_S, self._timeout), read=self._timeout),
            )
            return Reply(answer.status, answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(
                f"{self._service} did not answer at {self._base} ({type(error).__name__}: {error}): check the network "
                f"and the address; what was sent may have been done, so read before repeating a write"
            ) from error

    def _pool(self) -> Any:
        with self._lock:
            now = time.monotonic()
            if self._http is None:
                self._http = _plain() if self._emulated else _Authorised(self._service)
            elif now - self._used > IDLE_S:  # a function frozen between ticks wakes with dead connections
                self._http.clear()
            self._used = now
            return self._http


class _Refused(Unavailable):
    """Trying again at once cannot help."""


def _plain() -> Any:
    import urllib3

    return urllib3.PoolManager(maxsize=8)


class _Authorised:
    """A pool whose requests carry the place's own credentials; they are looked for once, when it is made."""

    def __init__(self, service: str) -> None:
        import certifi
        import google.auth
        import google.auth.exceptions
        import urllib3
        from google.auth.transport.urllib3 import AuthorizedHttp, Request

        self._service = service
        self._problem: type[Exception] = google.auth.exceptions.GoogleAuthError
        self._pool = urllib3.PoolManager(maxsize=8, cert_reqs="CERT_REQUIRED", ca_certs=certifi.where())
        try:
            credentials, _ = google.auth.default(scopes=SCOPES, request=Request(self._pool))  # type: ignore[no-untyped-call]
        except self._problem as error:
            raise _Refused(self._problem_with(error)) from error
        self._http = AuthorizedHttp(credentials, http=self._pool)  # type: ignore[no-untyped-call]

    def request(self, method: str, url: str, **rest: Any) -> Any:
        try:
            return self._http.request(method, url, **rest)
        except self._problem as error:
            raise Unavailable(self._problem_with(error)) from error

    def clear(self) -> None:
        self._pool.clear()

    def _problem_with(self, error: Exception) -> str:
        return (
            f"no Google credentials for {self._service} ({error}): attach a service account to the function, or run "
            f"`gcloud auth application-default login`"
        )


def _said(reply: Reply) -> str:
    return reply.data[:300].decode(errors="replace").strip() or "no text"


def address(host: str) -> str:
    """An emulator's host as an address: '127.0.0.1:8080' and 'http://127.0.0.1:8080/' are both usual."""
    return (host if "://" in host else f"http://{host}").rstrip("/")
