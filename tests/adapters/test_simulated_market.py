"""The simulated market: a pure function of settings and time, sane, lively, and as learnable as it says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters import simulated_market
from core.adapters.simulated_market import ORIGIN, STRUCTURE, SimulatedMarket
from core.domain.bars import Bars, bar_before, epoch, insane, moment, refusal, seconds, unbroken

END = datetime(2025, 1, 1, tzinfo=UTC)
HOURS = (END - ORIGIN) // timedelta(hours=1)


@dataclass(frozen=True)
class Stopped:
    """A clock that stands still."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a market that needs no network has nothing to wait for")


@cache
def whole(structure: float = 1.0, seed: int = 7, outage_rate: float = 0.0) -> Bars:
    return SimulatedMarket(seed=seed, structure=structure, outage_rate=outage_rate).bars(ORIGIN, END)


def returns(bars: Bars) -> np.ndarray:
    return np.diff(np.log(bars.close))


@settings(max_examples=60, deadline=None)
@given(
    since=st.integers(-100, HOURS), length=st.integers(0, 9000), rate=st.sampled_from([0.0, 0.1]), fresh=st.booleans()
)
def test_a_bar_is_the_same_however_it_is_asked_for(since: int, length: int, rate: float, fresh: bool) -> None:
    first = ORIGIN + timedelta(hours=since)
    until = min(first + timedelta(hours=length), END)
    expected = whole(outage_rate=rate).between(first, until)
    if fresh:
        simulated_market._path.cache_clear()
    assert SimulatedMarket(outage_rate=rate).bars(first, until).digest() == expected.digest()


def test_bounds_between_bars_mean_the_bars_that_open_inside() -> None:
    since, until = datetime(2024, 5, 1, 11, 30, tzinfo=UTC), datetime(2024, 5, 1, 14, 0, 1, tzinfo=UTC)
    assert [moment(t).hour for t in SimulatedMarket().bars(since, until).time] == [12, 13, 14]


def test_nothing_opens_before_the_origin_or_in_an_empty_span() -> None:
    market = SimulatedMarket()
    assert len(market.bars(ORIGIN - timedelta(days=9), ORIGIN)) == 0
    assert len(market.bars(END, END)) == 0
    assert len(market.bars(END, ORIGIN)) == 0


def test_threads_that_ask_at_once_get_the_same_path() -> None:
    expected = whole().digest()
    simulated_market._path.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(lambda _: SimulatedMarket().bars(ORIGIN, END).digest(), range(8)))
    assert set(digests) == {expected}


def test_each_seed_structure_and_timeframe_has_another_path() -> None:
    markets = [SimulatedMarket(), SimulatedMarket(seed=8), SimulatedMarket(structure=0), SimulatedMarket("30m")]
    assert len({float(market.bars(END, END + timedelta(hours=1)).close[0]) for market in markets}) == 4


@pytest.mark.parametrize("timeframe", ["5m", "1h", "4h", "1d"])
def test_bars_are_sane_gapless_on_the_grid_and_on_whole_ticks(timeframe: str) -> None:
    until = ORIGIN + timedelta(seconds=20_000 * seconds(timeframe))
    bars = SimulatedMarket(timeframe).bars(ORIGIN, until)
    assert len(bars) == 20_000
    assert not insane(bars).any()
    assert refusal(bars, bar_before(until, timeframe), len(bars), timeframe) is None
    for prices in bars.columns()[1:5]:
        assert (prices == np.rint(prices)).all()


def test_a_longer_bar_moves_more() -> None:
    hour, day = (returns(SimulatedMarket(tf, structure=0).bars(ORIGIN, END)) for tf in ("1h", "1d"))
    assert day.std() / hour.std() == pytest.approx(24**0.5, rel=0.15)


def test_with_a_clock_no_bar_is_given_before_it_has_closed() -> None:
    for second, last in [
        (datetime(2024, 5, 1, 13, 0, 0, tzinfo=UTC), 12),
        (datetime(2024, 5, 1, 12, 59, 59, tzinfo=UTC), 11),
    ]:
        bars = SimulatedMarket(clock=Stopped(second)).bars(second - timedelta(days=2), END)
        assert moment(bars.time[-1]).hour == last
    assert SimulatedMarket(clock=Stopped(END)).bars(ORIGIN, END).digest() == whole().digest()


def test_missing_bars_come_in_runs_at_the_stated_rate_and_change_no_other_bar() -> None:
    bars, full = whole(outage_rate=0.05), whole()
    assert 1 - len(bars) / len(full) == pytest.approx(0.05, abs=0.01)
    gaps = np.diff(bars.time) // 3600 - 1
    assert gaps[gaps > 0].mean() > 2
    np.testing.assert_array_equal(bars.close, full.close[np.isin(full.time, bars.time)])
    assert unbroken(full, "1h")[-1] == len(full)


def test_volatility_comes_in_regimes() -> None:
    size = np.abs(returns(whole(structure=0)))
    for lag in (1, 12, 24):
        assert np.corrcoef(size[:-lag], size[lag:])[0, 1] > 0.1


def test_tails_are_fat_and_the_market_jumps() -> None:
    scaled = returns(whole(structure=0)) / returns(whole(structure=0)).std()
    assert (scaled**4).mean() > 6
    assert np.abs(scaled).max() > 10


def test_its_volatility_is_that_of_a_crypto_market() -> None:
    assert 0.4 < returns(whole()).std() * (365.25 * 24) ** 0.5 < 0.7


def test_volume_has_a_daily_and_a_weekly_rhythm() -> None:
    bars = whole()
    hour, weekday = bars.time // 3600 % 24, (bars.time // 86400 + 3) % 7
    assert bars.volume[hour == 15].mean() > 1.5 * bars.volume[hour == 3].mean()
    assert bars.volume[weekday < 5].mean() > 1.2 * bars.volume[weekday >= 5].mean()


def test_a_bar_opens_beside_the_close_before_it() -> None:
    bars = whole()
    gap = np.log(bars.open[1:] / bars.close[:-1])
    assert (gap != 0).mean() > 0.95
    assert 0.02 < gap.std() / returns(bars).std() < 0.15
    assert np.abs(gap).max() < 0.01  # nor between the blocks in which the path is drawn


def skill(bars: Bars, horizon: int = 6) -> float:
    """AUC, on the second half, of a least-squares forecast of the next `horizon` bars' direction, fitted on the
    first half to eight past moves in units of recent volatility."""
    logs = np.log(bars.close)
    start, stop = 200, len(logs) - horizon
    recent = np.sqrt(np.convolve(np.diff(logs, prepend=logs[0]) ** 2, np.ones(100) / 100)[: len(logs)])
    rows = np.arange(start, stop)
    x = np.column_stack([(logs[rows] - logs[rows - k]) / recent[rows] for k in (1, 2, 4, 8, 16, 32, 64, 128)])
    y = (logs[rows + horizon] - logs[rows]) / recent[rows]
    half = len(rows) // 2
    forecast = x[half:] @ np.linalg.lstsq(x[: half - horizon], y[: half - horizon], rcond=None)[0]
    up = y[half:] > 0
    rank = np.empty(len(forecast))
    rank[np.argsort(forecast)] = np.arange(1, len(forecast) + 1)
    return float((rank[up].sum() - up.sum() * (up.sum() + 1) / 2) / (up.sum() * (~up).sum()))


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_there_is_mild_structure_to_learn(seed: int) -> None:
    assert 0.56 < skill(whole(seed=seed)) < 0.62


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_without_structure_there_is_nothing_to_learn(seed: int) -> None:
    assert 0.48 < skill(whole(structure=0, seed=seed)) < 0.52


def test_what_structure_adds_has_the_stated_size_and_half_lives() -> None:
    noise = returns(whole(structure=0))
    planted = (returns(whole()) - noise) / noise.std()
    drift, temporary, fade = 0.12**2, 0.55**2 / (1 - 0.5 ** (2 / 4)), (1 - 0.5 ** (1 / 4)) ** 2
    for lag in (0, 4, 24):
        stated = drift * 0.5 ** (lag / 36) + temporary * fade * 0.5 ** (lag / 4)
        assert (planted[lag:] * planted[: len(planted) - lag]).mean() == pytest.approx(stated, rel=0.2)


def test_the_sentence_states_what_is_planted() -> None:
    planted = (simulated_market.DRIFT, simulated_market.DRIFT_HALF_LIFE)
    fading = (simulated_market.TEMPORARY, simulated_market.FADE_HALF_LIFE)
    for number in (*planted, *fading):
        assert f" {number:g} " in STRUCTURE or f" {number:g}," in STRUCTURE


@pytest.mark.parametrize(
    "setting",
    [
        {"seed": -1},
        {"structure": -0.1},
        {"structure": 9},
        {"start_price": 10},
        {"outage_rate": 1.0},
        {"timeframe": "1x"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting)).replace("_", " ")):
        SimulatedMarket(**setting)  # type: ignore[arg-type]


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        SimulatedMarket().bars(datetime(2024, 1, 1), END)


def test_the_path_begins_near_the_start_price() -> None:
    first = SimulatedMarket(start_price=5_000).bars(ORIGIN, ORIGIN + timedelta(hours=1))
    assert first.time.tolist() == [epoch(ORIGIN)]
    assert 4_700 < first.open[0] < 5_300
