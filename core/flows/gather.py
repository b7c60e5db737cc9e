"""Independent calls to the outside go out together: a tick costs as many round trips as it has steps, not calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from threading import local
from typing import Any

_here = local()  # `inside`: this thread carries out a call of some `together`


def _enter() -> None:
    _here.inside = True


@cache
def _shared() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16, thread_name_prefix="gather", initializer=_enter)


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Each call's result, in order. Waits for all of them; then raises the first exception, if any was raised.

    A call may call `together` itself. It then gets threads of its own: threads that wait for others of the same pool
    could fill it up, and wait for ever.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    if getattr(_here, "inside", False):
        with ThreadPoolExecutor(len(calls) - 1, initializer=_enter) as own:
            return _gathered(own, calls)
    return _gathered(_shared(), calls)


def _gathered(threads: ThreadPoolExecutor, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    others = [threads.submit(copy_context().run, call) for call in calls[1:]]
    results: list[Any] = []
    failures: list[Exception] = []
    for wait in (calls[0], *(other.result for other in others)):
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
