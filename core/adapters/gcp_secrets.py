"""Secrets from Secret Manager, through its REST interface: https://cloud.google.com/secret-manager/docs/reference/rest.

A value is asked for when it is needed and not kept; it never gets into a message.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

import msgspec

from core.adapters.google_http import GoogleHttp, Reply, address
from core.ports import Missing, Unavailable

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
ROLE: Final = "roles/secretmanager.secretAccessor"


class GcpSecrets:
    """The newest version of each secret of `project`, whose name there is `prefix` and the name that is asked for.

    `emulator_host`: '127.0.0.1:9090' or the like, for tests."""

    def __init__(self, project: str, emulator_host: str = "", timeout: float = 10.0, prefix: str = "") -> None:
        self._project, self._prefix = project, prefix
        base = address(emulator_host) if emulator_host else "https://secretmanager.googleapis.com"
        self._http = GoogleHttp(
            f"Secret Manager (project {project})", base, emulated=bool(emulator_host), timeout=timeout
        )

    def get(self, name: str) -> str:
        """The secret's value, without line ends behind it. Raises Missing (no such secret, or no version of it that is
        enabled) or Unavailable."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a secret's name: use letters, digits, '_' and '-'")
        name = self._prefix + name
        path = f"/v1/projects/{self._project}/secrets/{name}/versions/latest:access"
        try:
            reply = self._http.call("GET", path, again=True)
        except Unavailable as error:
            raise Unavailable(f"the secret {name}: {error}; its reader needs {ROLE} on it") from error
        return self._value(name, reply)

    def _value(self, name: str, reply: Reply) -> str:
        if reply.status in (400, 404):  # 400: its newest version is disabled or destroyed
            raise Missing(
                f"Secret Manager (project {self._project}) has no enabled version of {name}: add one with "
                f"`gcloud secrets versions add {name} --project={self._project} --data-file=-`"
            )
        value = _decoded(reply.data) if reply.status == 200 else ""
        if not value:
            raise Unavailable(f"the secret {name}: Secret Manager answered {reply.status} without a value: try again")
        return value


def _decoded(data: bytes) -> str:
    """The value in an answer; "" when there is none. An error would quote what it could not read, so none is kept."""
    try:
        return b64decode(msgspec.json.decode(data)["payload"]["data"], validate=True).decode().rstrip("\r\n")
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return ""
