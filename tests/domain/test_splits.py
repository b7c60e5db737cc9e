from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.domain.splits import Rows, hold_out, purged_folds

Spans = tuple[NDArray[np.int64], NDArray[np.int64]]


@st.composite
def rows(draw: Any) -> Spans:
    """Rows in order of time, some at the same bar and some after a pause, with labels of any length."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    size = draw(st.integers(30, 200))
    starts = np.cumsum(random.integers(0, draw(st.integers(2, 6)), size))
    return starts, starts + random.integers(0, draw(st.integers(1, 20)), size)


def folds_or_none(spans: Spans, folds: int, embargo: int, window: int | None = None) -> list[tuple[Rows, Rows]] | None:
    try:
        return purged_folds(*spans, folds, embargo, window)
    except ValueError as error:
        assert "label ends" in str(error)  # noqa: PT017 - the only honest refusal here
        return None


@settings(max_examples=60)
@given(rows(), st.integers(1, 6), st.integers(0, 30), st.none() | st.integers(20, 100))
def test_every_trained_label_ended_before_the_test_began(
    spans: Spans, folds: int, embargo: int, window: int | None
) -> None:
    starts, ends = spans
    splits = folds_or_none(spans, folds, embargo, window)
    assume(splits)
    assert splits
    assert len(splits) == folds
    for train, test in splits:
        begin = starts[test].min()
        assert (ends[train] < begin - embargo).all()
        assert window is None or (starts[train] >= begin - window).all()
        assert train.max() < test.min()


@settings(max_examples=60)
@given(rows(), st.integers(1, 6))
def test_the_tests_follow_one_another_and_cover_all_but_the_first_share(spans: Spans, folds: int) -> None:
    splits = folds_or_none(spans, folds, 0)
    assume(splits)
    assert splits
    tested = np.concatenate([test for _, test in splits])
    assert tested.tolist() == list(range(len(spans[0]) // (folds + 1), len(spans[0])))


def test_nothing_is_purged_that_need_not_be() -> None:
    starts = np.arange(100, dtype=np.int64)
    train, test = purged_folds(starts, starts + 5, folds=1, embargo=3)[0]
    assert test[0] == 50
    assert train.tolist() == list(range(42))  # row 41's label ends at 46, and 46 < 50 - 3


def test_the_holdout_is_the_newest_share_and_purged() -> None:
    starts = np.arange(1000, dtype=np.int64)
    train, test = hold_out(starts, starts + 7, 0.2, embargo=24)
    assert test.tolist() == list(range(800, 1000))
    assert train.tolist() == list(range(769))  # row 768's label ends at 775, and 775 < 800 - 24


@pytest.mark.parametrize(
    ("starts", "ends", "folds", "embargo", "words"),
    [
        ([0, 2, 1], [1, 3, 2], 1, 0, "order of time"),
        ([0, 1, 2], [1, 0, 3], 1, 0, "before it starts"),
        ([0, 1], [1, 2, 3], 1, 0, "one end per start"),
        ([0, 1, 2], [1, 2, 3], 0, 0, "at least 1"),
        ([0, 1, 2, 3], [1, 2, 3, 4], 1, 50, "label ends 50 bars before bar 2"),
        ([0], [1], 3, 0, "too few"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_reason(
    starts: list[int], ends: list[int], folds: int, embargo: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        purged_folds(np.array(starts, np.int64), np.array(ends, np.int64), folds, embargo)
