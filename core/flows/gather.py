"""Independent calls to the outside go out together: a tick costs as many round trips as it has steps, not calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Each call's result, in order. Waits for all of them; then raises the first exception, if any was raised.

    Threads are made anew: calls may call `together` themselves, and a pool that all share could fill up with waiters.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(len(calls) - 1) as threads:
        others = [threads.submit(copy_context().run, call) for call in calls[1:]]
        first = attempt(calls[0], Exception)
    results = [first, *(other.exception() or other.result() for other in others)]
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise failures[0]
    return results


def attempt(call: Callable[[], Any], *expected: type[Exception]) -> Any:
    """The result of `call`, or the exception itself when it is one of `expected`."""
    try:
        return call()
    except expected as failure:
        return failure
