"""The walk as a whole: the same as its parts, resumed from finished windows, never from damaged or other ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from core.adapters.dir_models import DirModels
from core.domain.bars import Bars, Floats
from core.domain.daily import none
from core.domain.ensemble import Training
from core.domain.features import SETS, compute
from core.domain.labels import direction
from core.domain.walk import Walked
from core.flows.walk import forward
from tests.fakes import InProcess, MemoryModels
from tests.road import drawn

CORE12 = SETS["core12"]
SMALL = Training(model="lightgbm", trees=8, leaf_rows=40, learning_rate=0.1)  # the flow does not look into a model
BARS = 1800


class Counting(InProcess):
    """In this process; counts the pieces of work that it was given, and stops midway when told to."""

    def __init__(self, most: int = 10_000) -> None:
        self.done, self.most = 0, most

    def run(self, job: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for told in super().run(job, items):
            if self.done == self.most:
                raise KeyboardInterrupt
            self.done += 1
            yield told


def went(workers: Any = None, store: Any = None, bars: Bars | None = None, **changes: Any) -> Walked:
    given: dict[str, Any] = {"training": SMALL, "train_days": 20, "test_days": 4, **changes}
    training = given.pop("training")
    bars = drawn(BARS) if bars is None else bars
    values, (labels, ends) = compute(CORE12, bars, "1h", none()), direction(bars, training.horizon, training.cost)
    return forward(bars.time, values, labels, ends, training, workers or InProcess(), store, **given)


@cache
def plainly() -> Walked:
    return went()


def same(one: Walked, two: Walked) -> bool:
    return one.p_up.tobytes() == two.p_up.tobytes() and one.members.tobytes() == two.members.tobytes()


def test_every_bar_after_the_first_training_span_is_foreseen_and_none_before() -> None:
    walked = plainly()
    first = int(walked.steps[0].window.foresee[0])
    assert first == CORE12.lookback - 1 + 20 * 24
    assert np.flatnonzero(np.isfinite(walked.p_up)).tolist() == list(range(first, BARS))
    assert len(walked.time) == len(walked.labels) == BARS


def test_progress_is_told_up_to_the_whole() -> None:
    told: list[float] = []
    walked = went(progress=told.append)
    assert told == [i / len(walked.steps) for i in range(len(walked.steps) + 1)]


def test_an_interrupted_walk_goes_on_from_its_finished_windows() -> None:
    store, count = MemoryModels(), len(plainly().steps)
    with pytest.raises(KeyboardInterrupt):
        went(Counting(most=3), store)
    rest, told = Counting(), list[float]()
    assert same(went(rest, store, progress=told.append), plainly())
    assert rest.done == count - 3
    assert told[0] == 3 / count


def test_a_second_walk_trains_nothing(tmp_path: Any) -> None:
    store = DirModels(tmp_path)
    went(store=store)
    again = Counting()
    assert same(went(again, store), plainly())
    assert again.done == 0


def test_a_longer_history_trains_only_the_windows_that_are_new() -> None:
    store, count = MemoryModels(), len(plainly().steps)
    went(store=store, bars=drawn(BARS)[: BARS - 24 * 9])
    again = Counting()
    assert same(went(again, store), plainly())
    assert 2 <= again.done <= 3 < count  # the last of the shorter one had foreseen fewer bars


@pytest.mark.parametrize("damage", ["cut short", "a bit turned", "empty", "another's"])
def test_a_damaged_window_is_noticed_and_made_anew(damage: str) -> None:
    store = MemoryModels()
    went(store=store)
    one, other = store.names("walk/")[:2]
    data = store.get(one)
    turned = bytearray(data)
    turned[len(data) // 2] ^= 1
    store.put(
        one, {"cut short": data[:-9], "a bit turned": bytes(turned), "empty": b"", "another's": b"x" + data}[damage]
    )
    again = Counting()
    assert same(went(again, store), plainly())
    assert again.done == 1
    assert store.get(one)[64:66] == store.get(other)[64:66] == b"PK"


@pytest.mark.parametrize(
    "changes",
    [
        {"training": msgspec.structs.replace(SMALL, seed=2)},
        {"training": msgspec.structs.replace(SMALL, trees=9)},
        {"training": msgspec.structs.replace(SMALL, model="xgboost")},
        {"training": msgspec.structs.replace(SMALL, horizon=5)},
        {"train_days": 19},
        {"bars": drawn(BARS, seed=4)},
    ],
    ids=["seed", "trees", "model", "labels", "span", "bars"],
)
def test_what_was_kept_of_other_data_or_settings_is_never_taken(changes: dict[str, Any]) -> None:
    store = MemoryModels()
    went(store=store)
    again = Counting()
    assert same(went(again, store, **changes), went(**changes))
    assert again.done == len(went(**changes).steps)


def test_what_was_kept_of_other_labels_is_never_taken() -> None:
    bars, store = drawn(BARS), MemoryModels()
    values = compute(CORE12, bars, "1h", none())
    labels, ends = direction(bars, SMALL.horizon, SMALL.cost)

    def gone(workers: Counting, labels: Floats) -> Walked:
        return forward(bars.time, values, labels, ends, SMALL, workers, store, train_days=20, test_days=4)

    first, again = Counting(), Counting()
    assert not same(gone(first, labels), gone(again, 1 - labels))
    assert again.done == first.done


def test_threads_are_no_part_of_the_result() -> None:
    store = MemoryModels()
    went(store=store)
    again = Counting()
    went(again, store, training=msgspec.structs.replace(SMALL, threads=2))
    assert again.done == 0


def test_what_changes_after_a_bar_does_not_change_what_was_foreseen_at_it() -> None:
    bars, walked = drawn(BARS), plainly()
    for cut in (1300, 1437):
        tail = drawn(BARS, seed=8)
        scale = bars.close[cut - 1] / tail.open[cut]
        columns = [np.concatenate([own[:cut], other[cut:] * scale]) for own, other in columns_of(bars, tail)]
        spoilt = went(bars=Bars(bars.time, *columns))
        assert spoilt.p_up[:cut].tobytes() == walked.p_up[:cut].tobytes()
        assert spoilt.p_up[cut:].tobytes() != walked.p_up[cut:].tobytes()


def columns_of(one: Bars, two: Bars) -> list[tuple[Any, Any]]:
    return list(zip(one.columns()[1:], two.columns()[1:], strict=True))


def test_features_that_are_at_hand_walk_as_those_that_are_computed() -> None:
    bars = drawn(BARS)
    values = np.ascontiguousarray(compute(CORE12, bars, "1h", none()))
    labels, ends = direction(bars, SMALL.horizon, SMALL.cost)
    walked = forward(bars.time, values, labels, ends, SMALL, InProcess(), train_days=20, test_days=4)
    assert same(walked, plainly())


def test_an_infinite_feature_makes_its_bar_unusable_not_the_walk() -> None:
    bars = drawn(BARS)
    values = compute(CORE12, bars, "1h", none())
    labels, ends = direction(bars, SMALL.horizon, SMALL.cost)
    values[1300, 2], values[1700, 2] = np.inf, 1e300  # too large for the members' float32
    walked = forward(bars.time, values, labels, ends, SMALL, InProcess(), train_days=20, test_days=4)
    first = int(walked.steps[0].window.foresee[0])
    assert (first + np.flatnonzero(np.isnan(walked.p_up[first:]))).tolist() == [1300, 1700]


def test_too_short_a_history_is_refused_with_its_numbers() -> None:
    with pytest.raises(ValueError, match="1000 bars, 297 of them with features, hold no window of 20 days"):
        went(bars=drawn(BARS)[:1000])
