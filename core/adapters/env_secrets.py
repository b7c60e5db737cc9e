"""Secrets from environment variables, each under its own name."""

from __future__ import annotations

from collections.abc import Mapping

from core.ports import Missing


class EnvSecrets:
    """`environ`: where to look, as a rule os.environ. Nothing of it is ever shown."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def get(self, name: str) -> str:
        """The secret's value, without line ends behind it. Raises Missing."""
        value = self._environ.get(name, "").rstrip("\r\n")
        if not value:
            raise Missing(f"the environment variable {name} is not set: set it to the secret of that name")
        return value
