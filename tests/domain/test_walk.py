"""Windows, what one of them learns, and how the scores of all are carried forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain import metrics
from core.domain.bars import Floats, Times
from core.domain.daily import DAY
from core.domain.ensemble import Training
from core.domain.forecast import KINDS, asked, blend, probabilities
from core.domain.splits import Bar
from core.domain.walk import ENOUGH, Learnt, Walked, Window, learn, plain, stitched, windows

SMALL = Training(trees=12, forest_trees=12, leaf_rows=20, forest_leaf_rows=20, horizon=3, embargo=5)
HOUR = 3600
START = 1_600_000_000 // DAY * DAY


def hours(count: int) -> Times:
    return START + HOUR * np.arange(count, dtype=np.int64)


def reaching(count: int, horizon: int) -> Bar:
    return np.minimum(np.arange(count, dtype=np.int64) + horizon + 1, count - 1)


def outcomes(count: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).integers(0, 2, count).astype(float)


def cut(count: int, **changes: Any) -> list[Window]:
    """Windows over `count` usable hourly bars."""
    given: dict[str, Any] = {
        "time": hours(count),
        "usable": np.ones(count, bool),
        "labels": outcomes(count),
        "ends": reaching(count, SMALL.horizon),
        "training": SMALL,
        "train_days": 10,
        "test_days": 2,
    }
    return windows(**{**given, **changes})


def scored(found: list[Window], labels: Floats, seed: int = 5, skill: float = 0.5) -> list[Learnt]:
    """Scores that know a little of the labels, as the members of each window might have given."""
    rng = np.random.default_rng(seed)
    made = []
    for window in found:
        y = np.nan_to_num(labels[window.foresee], nan=0.5)
        odds = skill * (2 * y - 1)[:, None] + rng.normal(size=(len(y), 3))
        odds[:, 2] = 1 / (1 + np.exp(-odds[:, 2]))
        made.append(Learnt(odds, np.array([0.25, 0.75]), len(window.learn), 0.5, 0.68))
    return made


def carried(count: int = 1500, training: Training = SMALL, **changes: Any) -> tuple[list[Window], Walked]:
    labels = outcomes(count)
    found = cut(count, labels=labels)
    made = scored(found, labels, **changes)
    return found, stitched(hours(count), labels, reaching(count, SMALL.horizon), training, found, made)


def test_windows_foresee_every_bar_after_the_first_training_span_once() -> None:
    found = cut(24 * 31)
    assert np.concatenate([window.foresee for window in found]).tolist() == list(range(240, 24 * 31))
    assert [len(window.foresee) for window in found] == [48] * 10 + [24]
    assert [window.number for window in found] == list(range(11))


def test_a_window_learns_from_its_own_span_only_up_to_what_was_known() -> None:
    window = cut(24 * 31)[4]
    begins = int(window.foresee[0])
    assert window.begins == START + HOUR * begins
    assert window.since == window.begins - 10 * DAY
    # a label reaches 4 bars on, and must lie before the first foreseen bar by more than the embargo of 5
    assert window.learn.tolist() == list(range(begins - 240, begins - 9))


@settings(max_examples=30, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 90)), max_size=4),
    horizon=st.integers(1, 30),
    embargo=st.integers(0, 40),
    train_days=st.integers(8, 14),
    test_days=st.integers(1, 7),
)
def test_no_window_learns_from_a_label_that_was_not_known_when_it_began(
    gaps: list[tuple[int, int]], horizon: int, embargo: int, train_days: int, test_days: int
) -> None:
    keep = np.ones(800, bool)
    for first, size in gaps:
        keep[first : first + size] = False
    time = hours(800)[keep]
    count = len(time)
    labels, usable = outcomes(count), np.random.default_rng(2).random(count) < 0.9
    labels[np.random.default_rng(3).random(count) < 0.2] = np.nan
    ends = reaching(count, horizon)
    training = Training(leaf_rows=20, horizon=horizon, embargo=embargo)
    foreseen = []
    for window in windows(time, usable, labels, ends, training, train_days, test_days):
        first = int(np.searchsorted(time, window.begins))
        assert (ends[window.learn] < first - embargo).all()
        assert (time[window.learn] >= window.begins - train_days * DAY).all()
        assert usable[window.learn].all() and np.isfinite(labels[window.learn]).all() and usable[window.foresee].all()
        assert ((time[window.foresee] >= window.begins) & (time[window.foresee] < window.until)).all()
        foreseen.append(window.foresee)
    rows = np.concatenate([*foreseen, np.empty(0, np.intp)])
    assert len(np.unique(rows)) == len(rows)


def test_windows_with_too_few_rows_or_one_outcome_are_left_out() -> None:
    labels = outcomes(24 * 31)
    labels[:400] = 1.0
    assert next(window.number for window in cut(24 * 31, labels=labels)) == 4
    assert cut(24 * 31, training=Training(leaf_rows=120)) == []
    assert cut(24 * 31, usable=np.zeros(24 * 31, bool)) == []


def test_a_span_below_a_day_is_refused() -> None:
    with pytest.raises(ValueError, match="0 days to learn from"):
        cut(100, train_days=0)


def table(count: int = 900) -> tuple[Floats, Floats, Window]:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(count, 6))
    labels = (values[:, 2] + rng.normal(size=count) > 0).astype(float)
    return values, labels, Window(0, 0, 1, 2, np.arange(count - 200), np.arange(count - 200, count))


def test_a_window_finds_what_there_is_to_foresee_and_says_which_feature_told() -> None:
    values, labels, window = table()
    learnt = learn(values, labels, SMALL, window)
    assert metrics.auc(labels[window.foresee], blend(learnt.raw, None)) > 0.7
    assert learnt.importance.argmax() == 2
    assert learnt.importance.sum() == pytest.approx(1.0)
    assert (learnt.rows, learnt.base_rate) == (700, labels[:700].mean())
    assert learnt.train_loss < 0.68


def test_what_a_window_learns_does_not_depend_on_bars_that_are_not_its_own() -> None:
    values, labels, window = table()
    other, theirs = values.copy(), labels.copy()
    theirs[window.foresee] = 1 - theirs[window.foresee]
    whole = learn(values, labels, SMALL, window)
    assert learn(np.asfortranarray(other), theirs, SMALL, window).raw.tobytes() == whole.raw.tobytes()
    some = Window(0, 0, 1, 2, window.learn, window.foresee[:7])
    assert learn(values, labels, SMALL, some).raw.tobytes() == whole.raw[:7].tobytes()


def test_a_feature_that_was_not_there_yet_is_left_out_and_one_that_breaks_off_is_not_guessed() -> None:
    values, labels, window = table()
    values[:, 4] = np.nan
    values[window.learn[::9], 3] = np.nan
    values[window.foresee[0], 3] = np.nan  # as training had it
    values[window.foresee[1], 2] = np.nan  # as training never had it
    values[800:, 4] = 1.0
    learnt = learn(values, labels, SMALL, window)
    assert learnt.importance[4] == 0.0
    assert np.flatnonzero(np.isnan(learnt.raw).any(axis=1)).tolist() == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_model_walks_with_the_members_that_it_asks(kind: Any) -> None:
    values, labels, window = table()
    training = Training(model=kind, trees=5, forest_trees=5, leaf_rows=20, forest_leaf_rows=20)
    learnt = learn(values, labels, training, window)
    assert np.flatnonzero(np.isfinite(learnt.raw).all(axis=0)).tolist() == list(asked(kind))
    walked = stitched(hours(900), labels, reaching(900, 3), training, [window], [learnt])
    expected = probabilities(learnt.raw)[:, asked(kind)].mean(axis=1)
    np.testing.assert_allclose(walked.p_up[700:], expected, rtol=1e-7)  # one window: nothing was known of the scores
    assert walked.steps[0].stacking == plain(training)
    assert np.isnan(walked.p_up[:700]).all() and np.isnan(walked.members[:700]).all()


def test_the_plain_mean_stands_until_there_are_enough_rows() -> None:
    _, walked = carried()
    for step in walked.steps:
        at = step.window.foresee
        assert (step.stacking is None) == (step.pool == 0) == (walked.p_up[at] == walked.mean[at]).all()
    pools = [step.pool for step in walked.steps]
    assert 0 in pools and max(pools) >= ENOUGH and pools == sorted(pools)


def test_the_stacking_of_a_window_is_fitted_on_earlier_scores_whose_labels_were_known() -> None:
    """Whatever is changed in scores and labels that a window could not know, its forecasts keep their bits."""
    count = 1500
    labels, ends = outcomes(count), reaching(count, SMALL.horizon)
    found = cut(count, labels=labels)
    made = scored(found, labels)
    walked = stitched(hours(count), labels, ends, SMALL, found, made)
    for k in (24, 25):
        begins = int(found[k].foresee[0])
        spoilt = labels.copy()
        known = int(np.flatnonzero(ends < begins - SMALL.embargo)[-1])
        spoilt[known + 1 :] = 1 - spoilt[known + 1 :]
        others = [*made[: k + 1], *scored(found, spoilt, seed=9)[k + 1 :]]
        again = stitched(hours(count), spoilt, ends, SMALL, found, others)
        assert again.steps[k].pool == walked.steps[k].pool == known + 1 - 240 > 0
        assert again.p_up[: begins + 48].tobytes() == walked.p_up[: begins + 48].tobytes()
        spoilt[known] = 1 - spoilt[known]  # the newest that it could know does count
        assert stitched(hours(count), spoilt, ends, SMALL, found, made).p_up[begins] != walked.p_up[begins]


def test_a_history_that_ends_earlier_gives_the_same_forecasts_so_far() -> None:
    count, shorter = 1500, 1411
    labels = outcomes(count)
    found, fewer = cut(count, labels=labels), cut(shorter, labels=labels[:shorter])
    made = scored(found, labels)
    few = [Learnt(one.raw[: len(w.foresee)], *rest(one)) for one, w in zip(made, fewer, strict=False)]
    whole = stitched(hours(count), labels, reaching(count, 3), SMALL, found, made)
    part = stitched(hours(shorter), labels[:shorter], reaching(shorter, 3), SMALL, fewer, few)
    assert part.p_up.tobytes() == whole.p_up[:shorter].tobytes()


def rest(one: Learnt) -> tuple[Any, ...]:
    return one.importance, one.rows, one.base_rate, one.train_loss


def test_carried_forward_stacking_calibrates_scores_that_are_too_sure() -> None:
    _, walked = carried(3000, skill=0.0)  # pure noise, far from 0.5
    judged = np.isfinite(walked.p_up) & np.isfinite(walked.labels)
    late = judged & (np.arange(3000) > 1600)
    y = walked.labels[late]
    assert metrics.log_loss(y, walked.mean[late]) > 0.72
    assert metrics.log_loss(y, walked.p_up[late]) < 0.70


def test_each_step_tells_its_own_losses_on_the_rows_that_have_a_label() -> None:
    labels = outcomes(1500)
    labels[::7] = np.nan
    found = cut(1500, labels=labels)
    walked = stitched(hours(1500), labels, reaching(1500, 3), SMALL, found, scored(found, labels))
    step = walked.steps[-1]
    at = step.window.foresee[np.isfinite(labels[step.window.foresee])]
    y = labels[at]
    assert step.judged == len(at) < len(step.window.foresee)
    assert step.log_loss == metrics.log_loss(y, walked.p_up[at])
    assert step.mean_log_loss == metrics.log_loss(y, walked.mean[at])
    assert step.base_log_loss == metrics.log_loss(y, walked.base[at])
    assert step.member_log_loss == tuple(metrics.log_loss(y, walked.members[at, i]) for i in range(3))
    assert step.auc == metrics.auc(y, walked.p_up[at])
