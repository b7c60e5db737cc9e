"""Workers by joblib: this machine's cores (loky), or a Dask cluster, which joblib has a backend for.

One thread per worker, so that nobody waits on another's barrier. When a worker dies, what it had not finished is given
out again; what had arrived stays.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, Final, TypeVar

from core.ports import Unavailable

Item = TypeVar("Item")
Made = TypeVar("Made")

log = logging.getLogger("hourhand.workers")
TRIES: Final = 5  # deaths in a row, nothing finished in between, until the work itself is blamed


class JoblibWorkers:
    """`cores` processes of this machine (None: all of them; 1: here, in this process), or those of the Dask scheduler
    at `cluster`, such as 'tcp://10.0.0.5:8786'."""

    def __init__(self, cores: int | None = None, cluster: str = "") -> None:
        self._cores, self._cluster = cores, cluster

    def run(self, job: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[tuple[int, Made]]:
        """As the port says. Large arrays among the arguments of a `functools.partial` are handed to each worker once.

        Raises Unavailable when there is no such cluster, it has no workers, or they die again and again.
        """
        if not items:
            return
        if not self._cluster:
            yield from _persistent(functools.partial(_local, self._cores), job, items)
            return
        with _connected(self._cluster) as client:
            yield from _persistent(functools.partial(_clustered, client), job, items)


Round = Callable[[Callable[..., Any], Sequence[tuple[int, Any]]], Iterator[tuple[int, Any]]]


def _persistent(start: Round, job: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[tuple[int, Made]]:
    """Rounds of what is left, until nothing is; a new one is started when a worker's death has ended the last."""
    left, deaths = dict(enumerate(items)), 0
    while left:
        try:
            with closing(start(job, list(left.items()))) as arriving:  # type: ignore[type-var]
                for index, made in arriving:
                    del left[index]
                    deaths = 0
                    yield index, made
        except Exception as error:
            if not _died(error):
                raise
            deaths += 1
            log.warning("a worker died (%s); %d of %d pieces of work are left", error, len(left), len(items))
            if deaths == TRIES:
                raise Unavailable(
                    f"workers died {deaths} times and finished nothing in between ({error}): give them more memory, or "
                    f"use fewer cores"
                ) from error


def _died(error: Exception) -> bool:
    """Whether the worker, not the work, failed."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"BrokenProcessPool", "BrokenExecutor", "KilledWorker", "FutureCancelledError", "CommClosedError"})


def _local(
    cores: int | None, job: Callable[..., Any], items: Sequence[tuple[int, Any]]
) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, parallel_config  # noqa: TID251 — workers, not files: what it pickles stays here

    with parallel_config("loky", n_jobs=-1 if cores is None else cores, inner_max_num_threads=1):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    yield from _given_out(parallel, job, items)


def _given_out(parallel: Any, job: Callable[..., Any], items: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Work as calls of a function whose large arguments joblib can see, and so share."""
    from joblib import delayed  # noqa: TID251 — as above

    whole, before, named = job, (), {}
    if isinstance(job, functools.partial):
        whole, before, named = job.func, job.args, job.keywords
    yield from parallel(delayed(_numbered)(index, whole, named, item, *before) for index, item in items)


def _numbered(index: int, job: Callable[..., Any], named: dict[str, Any], item: Any, *before: Any) -> tuple[int, Any]:
    return index, job(*before, item, **named)


def _connected(address: str) -> Any:
    from dask.distributed import Client

    try:
        return Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unavailable(
            f"the cluster at {address} does not answer ({error}): check the address, and that its scheduler runs"
        ) from error


def _clustered(client: Any, job: Callable[..., Any], items: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, parallel_config  # noqa: TID251 — as above

    with parallel_config("dask", client=client, scatter=[], n_jobs=-1):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    yield from _given_out(parallel, job, items)
