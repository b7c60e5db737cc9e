"""Workers by joblib: this machine's cores (loky), or a Dask cluster, for which joblib has a backend.

One thread per worker, so that nobody waits at another's barrier. When a worker dies, what it had not finished is given
out again; what had arrived stays.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

from core.ports import Unavailable

Item = TypeVar("Item")
Made = TypeVar("Made")
Numbered = Sequence[tuple[int, Any]]

log = logging.getLogger("hourhand.workers")
TRIES: Final = 3  # deaths in a row, nothing finished in between, until the work itself is blamed
PATIENCE_S: Final = 30.0  # for a cluster's first worker, or one that is started again
LARGE: Final = 100_000  # bytes, from which an array is handed to each worker once, and not with each piece of work
DEATHS: Final = {"BrokenExecutor", "CancelledError", "KilledWorker", "CommClosedError"}


class JoblibWorkers:
    """`cores` processes of this machine (None: all of them; 1: here, in this process), or those of the Dask scheduler
    at `cluster`, such as 'tcp://10.0.0.5:8786', which need the same code and libraries."""

    def __init__(self, cores: int | None = None, cluster: str = "", patience_s: float = PATIENCE_S) -> None:
        self._cores, self._cluster, self._patience_s = cores, cluster, patience_s

    def run(self, job: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[tuple[int, Made]]:
        """As the port says. Large arrays among the arguments of a `functools.partial` are handed to each worker once.

        Raises Unavailable when there is no such cluster, it has no workers, or they die again and again.
        """
        if not items:
            return
        if not self._cluster:
            yield from _persistent(functools.partial(_local, self._cores), job, items)
            return
        with _connected(self._cluster, self._patience_s) as client:
            yield from _persistent(functools.partial(_clustered, client, self._patience_s), job, items)


def _persistent(
    start: Callable[[Callable[..., Any], Numbered], Any], job: Callable[[Item], Made], items: Sequence[Item]
) -> Iterator[tuple[int, Made]]:
    """Rounds of what is left, until nothing is; a new one is started when a worker's death has ended the last."""
    left, deaths = dict(enumerate(items)), 0
    while left:
        try:
            with closing(start(job, list(left.items()))) as arriving:
                for index, made in arriving:
                    if left.pop(index, None) is None:
                        continue
                    deaths = 0
                    yield index, made
        except Exception as error:
            deaths = _blamed(error, deaths)
            log.warning("a worker died; %d of %d pieces of work are left", len(left), len(items))


def _blamed(error: Exception, deaths: int) -> int:
    """How many deaths there were in a row, with `error`; raises what cannot be cured by trying again."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names & DEATHS:
        raise error
    if deaths + 1 >= TRIES or "KilledWorker" in names:
        raise Unavailable(
            f"workers died again and again over the same work ({type(error).__name__}: {error}): give them more memory,"
            f" or use fewer of them"
        ) from error
    return deaths + 1


def _local(cores: int | None, job: Callable[..., Any], items: Numbered) -> Iterator[tuple[int, Any]]:
    from joblib import parallel_config  # noqa: TID251 — for its workers; it stores nothing

    with parallel_config("loky", n_jobs=-1 if cores is None else cores, inner_max_num_threads=1):
        yield from _given_out(job, items)


def _given_out(job: Callable[..., Any], items: Numbered) -> Iterator[tuple[int, Any]]:
    """As calls whose large arguments joblib can see, and so share: it looks at those of a call, not inside of them."""
    from joblib import Parallel, delayed  # noqa: TID251 — for its workers; it stores nothing

    work, before, named = _parts(job)
    parallel = Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=LARGE)
    yield from parallel(delayed(_numbered)(index, item, work, named, *before) for index, item in items)


def _parts(job: Callable[..., Any]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    if isinstance(job, functools.partial):
        return job.func, job.args, job.keywords
    return job, (), {}


def _numbered(index: int, item: Any, job: Callable[..., Any], named: dict[str, Any], *before: Any) -> tuple[int, Any]:
    return index, job(*before, item, **named)


@contextmanager
def _connected(address: str, patience_s: float) -> Iterator[Any]:
    try:
        from dask.distributed import Client
    except ImportError:
        raise Unavailable("a cluster takes Dask, which is not installed: pip install dask distributed") from None
    try:
        client = Client(address, timeout=patience_s, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the cluster at {address} does not answer ({error}): check the address, and that its scheduler runs"
        ) from error
    with client:
        yield client


def _clustered(client: Any, patience_s: float, job: Callable[..., Any], items: Numbered) -> Iterator[tuple[int, Any]]:
    from joblib import parallel_config  # noqa: TID251 — for its workers; it stores nothing

    try:
        client.wait_for_workers(1, timeout=patience_s)
    except OSError as error:
        raise Unavailable(f"the cluster at {client.scheduler.address} has no worker: start some") from error
    large = [part for part in _parts(job)[1] if getattr(part, "nbytes", 0) >= LARGE]
    with parallel_config(_steady()(client=client, scatter=large), n_jobs=-1):
        yield from _given_out(job, items)


@functools.cache
def _steady() -> Any:
    """joblib's backend for Dask, which leaves three things to wish for (joblib 1.6)."""
    from joblib._dask import DaskDistributedBackend  # noqa: TID251 — for its workers; it stores nothing

    class Steady(DaskDistributedBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int) -> int:
            """At least 2: with one, joblib would do the work in this process."""
            return max(2, int(super().effective_n_jobs(n_jobs)))

        def submit(self, func: Any, callback: Any = None) -> Any:
            """Tells of work that Dask gives up, on which joblib would wait for ever."""
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return Steady
