from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import indicators as ind
from core.domain.bars import Bars, Floats

SERIES: Final = Path(__file__).parents[2] / "../shared/data/bars"
WARM: Final = 2500  # bars after which TA-Lib's seeds are forgotten
NAMES: Final = ("btcusdt_binance_perp_1h", "xrpusdt_binance_perp_1h", "btcusd_kraken_1h")

talib = pytest.importorskip("talib", reason="TA-Lib is not installed: pip install TA-Lib")


def walk(size: int, seed: int = 1) -> Floats:
    steps = np.random.default_rng(seed).normal(0.0, 0.01, size)
    return np.asarray(100.0 * np.cumprod(1.0 + steps))


def slow(x: Floats, n: int, of: Callable[[Floats], float]) -> Floats:
    """The definition, window by window."""
    return np.array([of(x[t - n + 1 : t + 1]) if t >= n - 1 else np.nan for t in range(len(x))])


@pytest.fixture(scope="module", params=NAMES)
def bars(request: pytest.FixtureRequest) -> Bars:
    path = SERIES / f"{request.param}.parquet"
    if not path.exists():
        pytest.skip(f"the real prices are not here: {path.name}")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=["open", "high", "low", "close", "volume"])
    arrays = [table[name].to_numpy().astype(np.float64)[-16_000:] for name in table.column_names]
    return Bars(3600 * np.arange(len(arrays[0]), dtype=np.int64), *arrays)


def agree(ours: Floats, theirs: Floats, scale: float | Floats) -> None:
    """To 1e-9 of the value, or of `scale` where a difference passes through zero."""
    size = np.maximum(np.abs(theirs), scale)[WARM:]
    off = np.abs(ours - theirs)[WARM:] / size
    assert np.isfinite(off).all()
    assert off.max() <= 1e-9, f"bar {WARM + int(off.argmax())}: {off.max():.1e}"


# windows


@given(st.integers(1, 70), st.integers(1, 90), st.sampled_from([1.0, 0.5, 0.9, 25 / 27]), st.integers(0, 5))
def test_weighted_sum_is_the_sum_of_its_window(n: int, size: int, r: float, seed: int) -> None:
    x = walk(size, seed)
    weights = r ** np.arange(n)[::-1]
    np.testing.assert_allclose(ind.weighted_sum(x, n, r), slow(x, n, lambda w: float((w * weights).sum())), rtol=1e-13)


@given(st.integers(1, 70), st.integers(1, 90), st.integers(0, 5))
def test_extremes_are_those_of_their_window(n: int, size: int, seed: int) -> None:
    x = walk(size, seed)
    np.testing.assert_array_equal(ind.rolling_max(x, n), slow(x, n, lambda w: float(w.max())))
    np.testing.assert_array_equal(ind.rolling_min(x, n), slow(x, n, lambda w: float(w.min())))


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 5))
def test_extremes_can_be_made_from_smaller_ones(size: int, factor: int, seed: int) -> None:
    x = walk(200, seed)
    again = ind.rolling_max(ind.rolling_max(x, size), size * factor, size)
    np.testing.assert_array_equal(again, ind.rolling_max(x, size * factor))


@given(st.integers(2, 70), st.integers(1, 90), st.sampled_from([0.0, 1e6, 1e9]))
def test_moments_keep_their_digits_on_top_of_a_large_mean(n: int, size: int, offset: float) -> None:
    x = np.round(walk(size), 2) + offset
    exact = x - offset  # the same deviations, without the large mean
    mean, deviation = ind.moments(x, n)
    np.testing.assert_allclose(mean, slow(x, n, lambda w: float(w.mean())), rtol=1e-14)
    np.testing.assert_allclose(deviation, slow(exact, n, lambda w: float(w.std())), rtol=1e-12 + 1e-15 * offset)


@given(st.integers(2, 200), st.floats(1e-12, 1e12))
def test_equal_values_have_no_deviation_at_all(n: int, value: float) -> None:
    mean, deviation = ind.moments(np.full(n, value), n)
    assert mean[-1] == value
    assert deviation[-1] == 0.0


@pytest.mark.parametrize("period", [9, 12, 20, 26, 50])
def test_ema_is_the_endless_recursion_to_1e_10(period: int) -> None:
    x, alpha = walk(4000), 2.0 / (period + 1)
    endless = np.empty_like(x)
    endless[0] = x[0]
    for t in range(1, len(x)):
        endless[t] = endless[t - 1] + alpha * (x[t] - endless[t - 1])
    np.testing.assert_allclose(ind.ema(x, period)[1500:], endless[1500:], rtol=1e-10)


@pytest.mark.parametrize("terms", [ind.ema_terms(20), ind.ema_terms(50), ind.wilder_terms(14)])
def test_memory_ends_where_the_weight_is_gone_and_is_cheap_to_join(terms: int) -> None:
    assert terms.bit_count() <= 3


@given(st.integers(2, 26), st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rci_is_spearmans_correlation_with_shared_ranks(n: int, prices: list[int]) -> None:
    from scipy.stats import rankdata

    def spearman(window: Floats) -> float:
        age = np.arange(n) - (n - 1) / 2
        return float((age * rankdata(window)).sum() * 12.0 / (n * (n * n - 1)))

    x = np.array(prices, np.float64)
    np.testing.assert_allclose(ind.rci(x, n), slow(x, n, spearman), atol=1e-14)


def test_rci_of_58_values_does_not_overflow() -> None:
    rising = np.arange(1.0, 201.0)
    assert ind.rci(rising, 58)[-1] == pytest.approx(1.0, abs=1e-15)
    assert ind.rci(-rising, 58)[-1] == pytest.approx(-1.0, abs=1e-15)


def test_money_flow_does_not_take_rounding_for_a_move() -> None:
    high, low, close = np.array([0.3, 0.2]), np.array([0.1, 0.1]), np.array([0.2, 0.3])
    typical = (high + low + close) / 3.0
    typical[1] = np.nextafter(typical[0], 1.0)  # the same price, added up in another order
    assert ind.mfi(typical, np.ones(2), 1)[-1] == 50.0


# against TA-Lib


def test_averages_equal_talib(bars: Bars) -> None:
    c = bars.close
    for period in (12, 20, 26, 50):
        agree(ind.ema(c, period), talib.EMA(c, period), 0.0)
    agree(ind.rolling_mean(c, 50), talib.SMA(c, 50), 0.0)
    agree(ind.rolling_mean(c, 168), talib.SMA(c, 168), 0.0)


def test_bands_equal_talib(bars: Bars) -> None:
    """TA-Lib takes the deviation from running sums of squares, so it loses digits where that is small beside the
    price: compared on the scale of a ten-thousandth of the price."""
    upper, middle, lower = talib.BBANDS(bars.close, 20, 2.0, 2.0)
    mean, deviation = ind.moments(bars.close, 20)
    agree(mean, middle, 0.0)
    agree(mean + 2.0 * deviation, upper, 0.0)
    agree(mean - 2.0 * deviation, lower, 0.0)
    agree(deviation, talib.STDDEV(bars.close, 20), bars.close * 1e-4)


def test_rsi_equals_talib(bars: Bars) -> None:
    agree(ind.rsi(bars.close, 14), talib.RSI(bars.close, 14), 0.0)


def test_directional_movement_equals_talib(bars: Bars) -> None:
    h, low, c = bars.high, bars.low, bars.close
    ranges = ind.true_range(h, low, c)
    atr = ind.wilder(ranges, 14)
    plus, minus = ind.directional(h, low, 14, atr)
    agree(ranges, talib.TRANGE(h, low, c), c * 1e-6)
    agree(atr, talib.ATR(h, low, c, 14), 0.0)
    agree(plus, talib.PLUS_DI(h, low, c, 14), 0.0)
    agree(minus, talib.MINUS_DI(h, low, c, 14), 0.0)
    agree(ind.adx(plus, minus, 14), talib.ADX(h, low, c, 14), 0.0)


def test_macd_equals_talib(bars: Bars) -> None:
    """Differences of averages pass through zero: compared on the scale of a hundredth of the price."""
    ours = ind.macd(ind.ema(bars.close, 12), ind.ema(bars.close, 26), 9)
    for mine, theirs in zip(ours, talib.MACD(bars.close, 12, 26, 9), strict=True):
        agree(mine, theirs, bars.close * 1e-2)


def test_stochastic_and_williams_equal_talib(bars: Bars) -> None:
    """But where the range is zero: 50 here, 0 there."""
    h, low, c = bars.high, bars.low, bars.close
    for n in (14, 28, 168):
        top, bottom = ind.rolling_max(h, n), ind.rolling_min(low, n)
        k, some = ind.stochastic(c, top, bottom), top > bottom
        fast, slow_d = talib.STOCHF(h, low, c, n, 3)
        agree(np.where(some, k, 0.0), np.where(some, fast, 0.0), 100.0)
        agree(np.where(some, k - 100.0, 0.0), np.where(some, talib.WILLR(h, low, c, n), 0.0), 100.0)
        three = ind.rolling_min(some.astype(np.float64), 3) == 1.0
        agree(np.where(three, ind.rolling_mean(k, 3), 0.0), np.where(three, slow_d, 0.0), 100.0)


def test_cci_equals_talib(bars: Bars) -> None:
    typical = (bars.high + bars.low + bars.close) / 3.0
    agree(ind.cci(typical, 20), talib.CCI(bars.high, bars.low, bars.close, 20), 100.0)


def test_money_flow_equals_talib(bars: Bars) -> None:
    """But where less than one unit of money flowed: TA-Lib says 0."""
    typical = (bars.high + bars.low + bars.close) / 3.0
    theirs = talib.MFI(bars.high, bars.low, bars.close, bars.volume, 14)
    agree(ind.mfi(typical, bars.volume, 14), theirs, 100.0)


def test_rates_equal_talib(bars: Bars) -> None:
    for n in (1, 6, 12, 24, 72):
        agree(ind.rate(bars.close, n), talib.ROCP(bars.close, n), 1.0)


def test_change_of_on_balance_volume_equals_talib(bars: Bars) -> None:
    """OBV itself has no beginning; its change over 20 bars has, and is compared on the scale of their volume."""
    volume = ind.weighted_sum(bars.volume, 20)
    theirs = ind.change(talib.OBV(bars.close, bars.volume), 20) / np.where(volume > 0, volume, 1.0)
    total = np.cumsum(bars.volume) / np.where(volume > 0, volume, 1.0)  # what TA-Lib's running sum has rounded off
    agree(ind.obv_change(bars.close, bars.volume, 20), theirs, np.maximum(1.0, total * 1e-4))
