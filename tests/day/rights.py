"""What the account of each function may do, as infra/identities.tf has it: who tries more is refused."""

from __future__ import annotations

from typing import Final

from tests.processes.passage import Request

# Buckets, by the end of their names.
READS: Final = {"tick": ("models",), "train": ("models", "history"), "cleanup": ("models", "history")}
WRITES: Final = {"train": ("models", "history"), "cleanup": ("models", "history")}
VIEWERS: Final = ("status",)  # of Firestore


def of_storage(method: str, path: str, body: bytes) -> str:
    return "get" if method == "GET" else "put"


def forbidden(function: str, request: Request) -> str:
    """What is tried beyond the right to it; "": nothing."""
    if request.kind in ("get", "put"):
        bucket = request.path.partition("/b/")[2].partition("/")[0]
        allowed = (READS if request.kind == "get" else WRITES).get(function, ())
        return "" if bucket.endswith(allowed) and allowed else f"{request.method} {request.path}"
    if request.path.endswith(":commit") and function in VIEWERS:
        return f"{request.method} {request.path}"
    return ""
