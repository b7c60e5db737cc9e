"""walk: features once, then each window as one piece of work for whoever is at hand; finished windows are kept.

A window's result is kept under a name that is the digest of all that it is made from: the very rows and labels, the
settings, the source code that learns from them, the versions of the libraries. A run that was interrupted goes on from
the windows that were finished, and one that was made before costs next to nothing; whatever changes, what is kept no
longer fits, and is made anew. How features and labels are made need not be in the name: they are, as values.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import zipfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.domain.bars import Floats, Times
from core.domain.ensemble import Training
from core.domain.splits import Bar
from core.domain.walk import Learnt, Walked, Window, learn, stitched, windows
from core.ports import Missing, ModelStore, Workers

log = logging.getLogger("hourhand.walk")
Progress = Callable[[float], None]
CODE: Final = ("core.domain.walk", "core.domain.ensemble.members", "core.domain.forecast.blend")
LIBRARIES: Final = ("lightgbm", "numpy", "scikit-learn", "xgboost", "xgboost-cpu")
KEPT: Final = ("raw", "importance", "facts")


def _quiet(_: float) -> None:
    pass


def forward(
    time: Times,
    values: Floats,
    labels: Floats,
    ends: Bar,
    training: Training,
    workers: Workers,
    store: ModelStore | None = None,
    train_days: int = 180,
    test_days: int = 10,
    progress: Progress = _quiet,
) -> Walked:
    """Every bar that a window foresees, by a model that was trained on the days before it only.

    `time`: open times of bars; `values`: their features (n, k); `labels` and `ends` as labels.direction gives them.
    `store` keeps finished windows; `progress` is told the share done. Raises ValueError when there are too few bars for
    one window, Unavailable when the workers or the store cannot be reached.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        endless = np.isinf(values.astype(np.float32))
    usable: NDArray[np.bool_] = np.logical_or.reduce(~np.isnan(values), axis=1)
    usable &= ~np.logical_or.reduce(endless, axis=1)
    training = msgspec.structs.replace(training, threads=1)  # the windows share the cores, and the last bit is the same
    found = windows(time, usable, labels, ends, training, train_days, test_days)
    if not found:
        raise ValueError(
            f"{len(time)} bars, {int(usable.sum())} of them with features, hold no window of {train_days} days to "
            f"learn from and a day to foresee: give more bars, or fewer train_days"
        )
    made = _made(values, labels, training, found, workers, store, progress)
    return stitched(time, labels, ends, training, found, made)


def _made(
    values: Floats,
    labels: Floats,
    training: Training,
    found: Sequence[Window],
    workers: Workers,
    store: ModelStore | None,
    progress: Progress,
) -> list[Learnt]:
    """What each window makes, from the store where it is there."""
    names = [_name(values, labels, training, window) for window in found] if store else []
    done = {i: kept for i, name in enumerate(names) if store and (kept := _kept(store, name, found[i], values))}
    left = [i for i in range(len(found)) if i not in done]
    log.info("%d windows, %d of them finished before", len(found), len(done))
    progress(len(done) / len(found))
    for index, learnt in workers.run(partial(learn, values, labels, training), [found[i] for i in left]):
        done[left[index]] = learnt
        if store:
            store.put(names[left[index]], _packed(learnt))
        progress(len(done) / len(found))
    return [done[i] for i in range(len(found))]


@cache
def _code() -> bytes:
    """What learns: its source, and the versions of the libraries beneath."""
    made = hashlib.sha256()
    for name in CODE:
        made.update(inspect.getsource(import_module(name)).encode())
    for name in LIBRARIES:
        try:
            made.update(f"{name} {version(name)}\n".encode())
        except PackageNotFoundError:
            continue
    return made.digest()


def _name(values: Floats, labels: Floats, training: Training, window: Window) -> str:
    """Where the result of `window` is kept: the digest of all that it is made from."""
    made = hashlib.sha256(_code() + msgspec.json.encode(training))
    for part in (values[window.learn], labels[window.learn], values[window.foresee]):
        made.update(f"{part.shape}".encode())
        made.update(np.ascontiguousarray(part, "<f8").tobytes())
    return f"walk/{made.hexdigest()}"


def _packed(learnt: Learnt) -> bytes:
    """SHA-256 of the rest, in hexadecimal; then an npz of arrays of floats."""
    file = io.BytesIO()
    facts = np.array([learnt.rows, learnt.base_rate, learnt.train_loss])
    np.savez(file, allow_pickle=False, raw=learnt.raw, importance=learnt.importance, facts=facts)
    return hashlib.sha256(file.getvalue()).hexdigest().encode() + file.getvalue()


def _kept(store: ModelStore, name: str, window: Window, values: Floats) -> Learnt | None:
    """What was kept of `window`; None when there is nothing, or it is damaged."""
    try:
        data = store.get(name)
    except Missing:
        return None
    if hashlib.sha256(data[64:]).hexdigest().encode() != data[:64]:
        log.warning("the kept window %s is damaged and is made anew", name)
        return None
    try:
        with np.load(io.BytesIO(data[64:]), allow_pickle=False) as file:
            raw, importance, facts = (file[key] for key in KEPT)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        return None
    if raw.shape != (len(window.foresee), 3) or importance.shape != (values.shape[1],) or facts.shape != (3,):
        return None
    return Learnt(raw, importance, int(facts[0]), float(facts[1]), float(facts[2]))
