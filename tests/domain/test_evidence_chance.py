"""What evidence says of chance: against the papers' own examples, against scipy, and by how often it is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from core.domain.bars import Floats
from core.domain.evidence.figures import Charges
from core.domain.evidence.resample import block_length, bootstrap, draw, drawdown, interval, rows, running, sums
from core.domain.evidence.rivals import random_entries, regression, segments, shuffled
from core.domain.evidence.sharpe import best_of, deflated, inflation, least_length, moments, probabilistic
from core.domain.evidence.weigh import certainty
from tests.domain.test_evidence import traded


def test_the_deflated_sharpe_ratio_of_the_papers_example() -> None:
    """Bailey & López de Prado (2014): 2.5 a year over 1,250 days, the best of 100 trials whose yearly Sharpe ratios
    have a variance of 1/2; skew -3, kurtosis 10. SR0 is 0.1132, the probability 0.9004; with 46 trials 0.9505; and
    with 88 trials of normal returns 0.9505."""
    sharpe, variance = 2.5 / math.sqrt(250), 0.5 / 250
    assert best_of(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated(sharpe, 100, variance, 1250, -3, 10) == pytest.approx(0.9004, abs=5e-5)
    assert deflated(sharpe, 46, variance, 1250, -3, 10) == pytest.approx(0.9505, abs=5e-4)
    assert deflated(sharpe, 88, variance, 1250) == pytest.approx(0.9505, abs=5e-4)


def test_the_probabilistic_sharpe_ratio_of_the_papers_example() -> None:
    """Bailey & López de Prado (2012): 24 months at 0.458 a month, skew -2.448, kurtosis 10.164: 0.913; 0.982 if the
    returns were normal; the shortest track that would do has 36 months' worth: three years."""
    assert probabilistic(0.458, 0, 24, -2.448, 10.164) == pytest.approx(0.913, abs=1e-3)
    assert probabilistic(0.458, 0, 24) == pytest.approx(0.982, abs=1e-3)
    assert probabilistic(0.458, 0, 36, -2.448, 10.164) == pytest.approx(0.953, abs=1e-3)


@given(st.floats(0.01, 0.5), st.floats(0, 0.009), st.floats(-2, 2), st.floats(3, 20))
def test_at_the_least_length_the_probability_is_what_was_asked_for(
    sharpe: float, benchmark: float, skew: float, kurtosis: float
) -> None:
    bars = least_length(sharpe, benchmark, skew, kurtosis)
    assert bars is not None
    assert probabilistic(sharpe, benchmark, bars, skew, kurtosis) == pytest.approx(0.95)
    assert least_length(benchmark, benchmark) is None


@pytest.mark.parametrize("trials", [2, 10, 100, 1000])
def test_the_best_of_many_by_luck_is_what_simulation_gives(trials: int) -> None:
    best = np.random.default_rng(1).standard_normal((4000, trials)).max(axis=1)
    assert best_of(trials, 1.0) == pytest.approx(best.mean(), rel=0.05 if trials > 2 else 0.2)
    assert best_of(1, 1.0) == 0.0


def test_skew_and_kurtosis_are_scipys() -> None:
    values = np.random.default_rng(2).standard_gamma(2, 500)
    found = moments(values)
    assert found.skew == pytest.approx(stats.skew(values))
    assert found.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False))
    assert found.deviation == pytest.approx(values.std(ddof=1))
    assert moments(np.full(50, 0.1)).sharpe is None


def test_when_the_trials_variance_is_not_known_it_is_what_chance_gives() -> None:
    """So that the best of 20 runs of noise is told to be one time in two above what was to be expected, about."""
    rng = np.random.default_rng(3)
    chances = []
    for _ in range(100):
        tracks = 0.01 * rng.standard_normal((20, 400))
        best = tracks[np.argmax(tracks.mean(axis=1) / tracks.std(axis=1))]
        chances.append(certainty(best, 20).deflated or 0.0)
    assert 0.3 < np.median(chances) < 0.6
    assert np.mean(np.array(chances) >= 0.95) <= 0.05


def test_returns_that_hang_together_are_fewer() -> None:
    noise = np.random.default_rng(4).standard_normal(20_000)
    assert inflation(noise, 20) == pytest.approx(1.0, abs=0.1)
    smooth = autoregressive(0.5, 20_000, 4)
    assert inflation(smooth, 40) == pytest.approx(3.0, rel=0.15)  # (1 + 0.5) / (1 - 0.5)


def autoregressive(weight: float, size: int, seed: int, mean: float = 0.0) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(size + 200)
    found: Floats = signal.lfilter([1.0], [1.0, -weight], noise)
    return found[200:] + mean


# the bootstrap


@given(st.integers(20, 300), st.floats(1, 60), st.integers(0, 10_000))
def test_a_resample_is_as_long_as_the_series_and_made_of_its_blocks(size: int, length: float, seed: int) -> None:
    blocks = draw(np.random.default_rng(seed), size, length)
    index = rows(blocks, size)
    assert blocks.length.sum() == size
    assert (blocks.length > 0).all()
    assert ((index >= 0) & (index < size)).all()
    assert (np.diff(index) % size != 1).sum() <= len(blocks.start) - 1


@given(st.integers(20, 200), st.floats(1, 40), st.integers(0, 10_000))
def test_running_sums_give_what_the_laid_out_resample_sums_to(size: int, length: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns, blocks = rng.standard_normal((size, 2)), draw(rng, size, length)
    np.testing.assert_allclose(sums(running(columns), blocks), columns[rows(blocks, size)].sum(axis=0), atol=1e-9)


def test_blocks_are_as_long_on_the_mean_as_asked_and_every_row_as_likely() -> None:
    rng = np.random.default_rng(6)
    drawn = [draw(rng, 400, 10.0) for _ in range(500)]
    assert np.mean([len(blocks.start) for blocks in drawn]) == pytest.approx(40.9, rel=0.03)
    seen = np.bincount(np.concatenate([rows(blocks, 400) for blocks in drawn]), minlength=400)
    assert seen.min() > 380
    assert seen.max() < 620


def test_the_block_length_is_that_of_politis_and_white() -> None:
    """For AR(1) with 0.5 the best is known: (2 (2ρ/(1-ρ²))² / 2 (…))^(1/3) n^(1/3), that is (2ρ/(1-ρ²))^(2/3) n^(1/3)
    = 1.21 n^(1/3); for noise, near 1."""
    found = [block_length(autoregressive(0.5, 4000, seed)) for seed in range(20)]
    assert np.median(found) == pytest.approx((2 * 0.5 / 0.75) ** (2 / 3) * 4000 ** (1 / 3), rel=0.3)
    noise = [block_length(np.random.default_rng(seed).standard_normal(4000)) for seed in range(20)]
    assert np.median(noise) < 6
    assert block_length(np.ones(100)) == 1.0


def test_the_interval_of_the_mean_covers_it_as_often_as_it_says_though_returns_hang_together() -> None:
    covered = []
    for seed in range(60):
        values = 0.001 * autoregressive(0.4, 400, seed, mean=0.1)
        found = bootstrap(values, values * 0.0, 0.0, 1.0, np.random.default_rng(seed), 100).mean_excess
        assert found is not None
        covered.append(found.low <= 0.0001 <= found.high)
    assert 0.86 <= np.mean(covered) <= 0.99  # of 0.95, as blocks are short in so few rows; single rows cover less


def test_the_interval_of_the_sharpe_ratio_is_that_of_its_known_error() -> None:
    """Of normal returns: √((1 + SR²/2) / n) (Lo 2002)."""
    values = 0.01 * np.random.default_rng(8).standard_normal(3000) + 0.0005
    found = bootstrap(values, values * 0.0, 0.0, 1.0, np.random.default_rng(1), 600).sharpe_ratio
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(3000), rel=0.15)


def test_an_interval_holds_its_share_of_the_resamples() -> None:
    found = interval(np.arange(1001.0))
    assert found is not None
    assert (found.low, found.middle, found.high) == pytest.approx((25.0, 500.0, 975.0))


def test_the_drawdown_of_a_resample_starts_at_its_own_capital() -> None:
    assert drawdown(np.array([-0.1, 0.05, -0.1])) == pytest.approx(1 - 0.9 * 1.05 * 0.9)
    assert drawdown(np.array([0.5, -1.0, 0.0])) == 1.0


# rivals


def test_alpha_and_beta_are_those_of_least_squares_and_the_error_that_of_white_for_noise() -> None:
    rng = np.random.default_rng(9)
    market = rng.standard_normal(5000)
    returns = 0.05 + 0.7 * market + rng.standard_normal(5000)
    found, fitted = regression(returns, market, 1.0), stats.linregress(market, returns)
    assert found.alpha == pytest.approx(fitted.intercept)
    assert found.beta == pytest.approx(fitted.slope)
    assert found.t_alpha == pytest.approx(fitted.intercept / fitted.intercept_stderr, rel=0.15)
    assert found.correlation == pytest.approx(fitted.rvalue)


@given(st.lists(st.sampled_from([0.0, 0.0, 0.5, -0.5, 1.0]), min_size=3, max_size=80), st.integers(0, 1000))
@settings(max_examples=60)
def test_random_entries_hold_the_same_positions_for_as_long(held: list[float], seed: int) -> None:
    exposure = np.array(held)
    found = shuffled(exposure, np.random.default_rng(seed))
    assert sorted(found) == sorted(held)
    own, other = spells(exposure), spells(found)
    assert abs(len(own) - len(other)) <= len(own)  # stretches that touch, or are cut by the end, may join or part
    assert sum(map(abs, other)) == sum(map(abs, own))


def spells(exposure: Floats) -> list[int]:
    start, length, held = segments(exposure)
    return [int(n) if exposure[s] > 0 else -int(n) for s, n, h in zip(start, length, held, strict=True) if h]


def test_the_p_value_of_random_entries_is_uniform_on_noise() -> None:
    found = []
    for seed in range(80):
        told = random_entries(traded(seed, size=600), Charges(), np.random.default_rng(seed), 59)
        assert told is not None
        found.append(told.p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) <= 0.1


def test_random_entries_pay_what_the_run_paid() -> None:
    """On noise, so that neither is better: with costs as without them."""
    costly = [random_entries(traded(s, size=1200, cost=0.004), Charges(0.004), rng(s), 39) for s in range(20)]
    assert 0.3 < np.mean([told.p_value for told in costly if told]) < 0.7
    free = [random_entries(traded(s, size=1200, cost=0.004), Charges(), rng(s), 39) for s in range(20)]
    assert np.mean([told.p_value for told in free if told]) > 0.9


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_there_is_nothing_to_shuffle_in_a_run_that_always_holds_the_same() -> None:
    from dataclasses import replace

    run = traded(1, size=600)
    same = replace(run, position=np.ones(600), equity=run.price.copy(), trades=())
    told = random_entries(same, Charges(), rng(1), 50)
    assert told is None or told.p_value > 0.9
    flat = replace(run, position=np.zeros(600), trades=())
    assert random_entries(flat, Charges(), rng(1), 50) is None
