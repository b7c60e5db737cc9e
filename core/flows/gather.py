"""Independent calls to the outside go out together: a tick costs as many round trips as it has steps, not calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix="gather")


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Each call's result, in order. Waits for all of them; then raises the first exception, if any was raised."""
    others = [_threads().submit(copy_context().run, call) for call in calls[1:]]
    results: list[Any] = []
    failures: list[BaseException] = []
    for wait in (*calls[:1], *(other.result for other in others)):
        try:
            results.append(wait())
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return results


def attempt(call: Callable[[], Any], *expected: type[Exception]) -> Any:
    """The result of `call`, or the exception itself when it is one of `expected`."""
    try:
        return call()
    except expected as failure:
        return failure
