from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.bars import Bars, Floats
from core.domain.labels import direction


def bars_of(opens: Sequence[float] | Floats, times: list[int] | None = None) -> Bars:
    price = np.array(opens, float)
    time = 3600 * np.arange(len(price)) if times is None else np.array(times)
    return Bars(time.astype(np.int64), price, price, price, price, np.ones(len(price)))


def test_the_label_is_the_return_from_the_next_open_over_the_horizon_beyond_costs() -> None:
    y, end = direction(bars_of([50, 100, 200, 102, 190, 190, 190]), horizon=2, cost=0.01)
    # t=0: 100 → 102 (+2 %); t=1: 200 → 190 (-5 %); t=2: 102 → 190; t=3: 190 → 190, within costs; then past the end
    np.testing.assert_array_equal(y, [1, 0, 1, np.nan, np.nan, np.nan, np.nan])
    assert end[:4].tolist() == [3, 4, 5, 6]


def test_a_move_within_costs_either_way_has_no_label() -> None:
    y, _ = direction(bars_of([100, 100, 100.09, 99.98]), horizon=1, cost=0.001)
    assert np.isnan(y[0]) and y[1] == 0.0


def test_no_label_reaches_across_a_gap() -> None:
    y, _ = direction(bars_of([100, 110, 121, 133, 146, 160], [0, 3600, 7200, 14400, 18000, 21600]), 1, 0.0)
    np.testing.assert_array_equal(y, [1, np.nan, np.nan, 1, np.nan, np.nan])


def test_too_few_bars_give_no_label_and_nonsense_is_refused() -> None:
    assert np.isnan(direction(bars_of([1, 2, 3]), 2, 0.0)[0]).all()
    assert len(direction(bars_of([]), 2, 0.0)[0]) == 0
    with pytest.raises(ValueError, match="horizon 0"):
        direction(bars_of([1, 2, 3]), 0, 0.0)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(3, 40), st.integers(1, 5))
def test_a_label_looks_at_nothing_before_the_next_bar_nor_after_its_end(seed: int, size: int, horizon: int) -> None:
    random = np.random.default_rng(seed)
    opens, t = random.uniform(1, 100, size), random.integers(size)
    y, end = direction(bars_of(opens), horizon, 0.001)
    outside = (np.arange(size) <= t) | (np.arange(size) > end[t])
    other = np.where(outside, random.uniform(1, 100, size), opens)
    np.testing.assert_equal(direction(bars_of(other), horizon, 0.001)[0][t], y[t])
