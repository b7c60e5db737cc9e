"""Planted leaks: features and pipelines that know what they could not, as people write them by mistake.

Each is (bars, sources) → one column, under the name by which a proof must call it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from core.domain.bars import Bars
from core.domain.daily import DAY, Daily, as_of
from core.domain.proof import Sources, Subject

HOUR = 3600
Floats: TypeAlias = Any  # arrays; numpy's own types of what it returns are no matter here
Column = Callable[[Bars, Sources], Floats]


@dataclass(frozen=True)
class Leak:
    """`kind`: of the finding; `ahead`: bars that it truly looks ahead (None: the whole series, or none at all)."""

    name: str
    kind: str
    column: Column
    lookback: int = 1
    ahead: int | None = None
    whole: bool = False


def rolled(values: Floats, n: int) -> Floats:
    """The mean of n values up to each; NaN while there are fewer. Each mean is of its own n values only."""
    if len(values) < n:
        return np.full(len(values), np.nan)
    means = np.lib.stride_tricks.sliding_window_view(values, n).mean(axis=1)
    return np.concatenate([np.full(n - 1, np.nan), means])


def ahead(values: Floats, n: int) -> Floats:
    """shift(-n)"""
    return np.concatenate([values[n:], np.full(min(n, len(values)), np.nan)])


def averaged(values: Floats, alpha: float) -> Floats:
    """An exponential average that starts with the first value there is."""
    return np.array(list(accumulate(values.tolist(), lambda level, value: level + alpha * (value - level))))


def centred_mean(bars: Bars, _: Sources) -> Floats:
    return bars.close / ahead(rolled(bars.close, 21), 10)


def off_by_one_low(bars: Bars, _: Sources) -> Floats:
    return np.minimum(bars.low, np.append(bars.low[1:], np.inf)) / bars.close


def whole_zscore(bars: Bars, _: Sources) -> Floats:
    return (bars.volume - np.nanmean(bars.volume)) / np.nanstd(bars.volume)


def whole_minmax(bars: Bars, _: Sources) -> Floats:
    return (bars.close - np.nanmin(bars.close)) / (np.nanmax(bars.close) - np.nanmin(bars.close))


def whole_rank(bars: Bars, _: Sources) -> Floats:
    return np.searchsorted(np.sort(bars.volume), bars.volume) / len(bars)


def whole_bins(bars: Bars, _: Sources) -> Floats:
    edges = np.nanquantile(bars.volume, [0.2, 0.4, 0.6, 0.8])
    return np.searchsorted(edges, bars.volume).astype(np.float64)


def whole_component(bars: Bars, _: Sources) -> Floats:
    """The first principal component of candle and volume, of all rows."""
    part = np.nan_to_num(np.stack([bars.close / bars.open, bars.high / bars.low, np.log1p(bars.volume)], axis=1))
    return part @ np.linalg.eigh(part.T @ part)[1][:, -1]


def by_last_value(bars: Bars, _: Sources) -> Floats:
    return bars.close / bars.close[-1]


def low_pass(bars: Bars, _: Sources) -> Floats:
    """A Fourier transform of everything, without its high frequencies."""
    waves = np.fft.rfft(np.nan_to_num(bars.close, nan=1.0))
    waves[len(waves) // 20 :] = 0
    return np.fft.irfft(waves, len(bars)) / bars.close


def two_sided(bars: Bars, _: Sources) -> Floats:
    """Smoothed forwards, then backwards: filtfilt, or a Kalman smoother in place of the filter."""
    return bars.close / averaged(averaged(bars.close, 0.2)[::-1], 0.2)[::-1]


def next_row_joined(bars: Bars, _: Sources) -> Floats:
    """merge_asof(direction="forward") with a table that was stamped at the end of its hour."""
    return ahead(bars.volume, 1) / bars.volume


def forward_return(bars: Bars, _: Sources) -> Floats:
    return ahead(bars.close, 6) / bars.close - 1


def forming(bars: Bars, span: int) -> Floats:
    """The close of the slower bar within which each bar lies: resample().last(), joined on its beginning."""
    slower = bars.time // span
    last = np.searchsorted(slower, slower, side="right") - 1
    return bars.close[last] / bars.close


def forming_4h(bars: Bars, _: Sources) -> Floats:
    return forming(bars, 4 * HOUR)


def forming_day(bars: Bars, _: Sources) -> Floats:
    return forming(bars, DAY)


def traded(bars: Bars) -> np.ndarray:
    return np.flatnonzero(bars.volume > 0)


def filled_backward(bars: Bars, _: Sources) -> Floats:
    there = traded(bars)
    behind = np.searchsorted(there, np.arange(len(bars)))
    return np.append(bars.volume[there], np.nan)[behind]


def interpolated(bars: Bars, _: Sources) -> Floats:
    there = traded(bars)
    if not len(there):
        return np.full(len(bars), np.nan)
    return np.interp(np.arange(len(bars)), there, bars.close[there]) / bars.open


def filled_at_the_start(bars: Bars, _: Sources) -> Floats:
    change = np.concatenate([np.full(min(12, len(bars)), np.nan), bars.close[12:] / bars.close[:-12] - 1])
    first = change[12] if len(bars) > 12 else np.nan
    return np.where(np.isnan(change) & (np.arange(len(bars)) < 12), first, change)


def encoded_target(bars: Bars, _: Sources) -> Floats:
    """How often the hour of the day was followed by a rise, over all rows."""
    hour, up = bars.time // HOUR % 24, np.append(bars.close[1:] > bars.close[:-1], False)
    return np.bincount(hour, up, 24)[hour] / np.bincount(hour, minlength=24)[hour]


def pivot(bars: Bars, _: Sources) -> Floats:
    """1 at a high that no bar within 5 on either side exceeds: known 5 bars later."""
    padded = np.concatenate([np.full(5, -np.inf), bars.high, np.full(5, -np.inf)])
    return (bars.high >= np.lib.stride_tricks.sliding_window_view(padded, 11).max(axis=1)).astype(np.float64)


def gap_behind(bars: Bars, _: Sources) -> Floats:
    return (np.diff(bars.time, append=bars.time[-1:] + HOUR) != HOUR).astype(np.float64)


def daily(sources: Sources, name: str) -> Daily:
    series = sources[name]
    assert isinstance(series, Daily)
    return series


def joined(series: Daily, times: np.ndarray) -> Floats:
    return np.append(series.value, np.nan)[as_of(series, times, 8 * DAY)]


def vix_on_its_own_date(bars: Bars, sources: Sources) -> Floats:
    vix = daily(sources, "vix")
    return joined(Daily(vix.published - DAY, vix.value), bars.time + HOUR)


def vix_nearest(bars: Bars, sources: Sources) -> Floats:
    vix = daily(sources, "vix")
    right = np.searchsorted(vix.published, bars.time + HOUR)
    value, published = np.append(vix.value, np.nan), np.append(vix.published, 2**60)
    near = published[right] - (bars.time + HOUR) < (bars.time + HOUR) - published[np.maximum(right - 1, 0)]
    return np.where(near, value[right], value[np.maximum(right - 1, 0)])


def revised_at_first_date(bars: Bars, sources: Sources) -> Floats:
    """The value as it was revised a week later, from the date of its first publication on."""
    first, revised = daily(sources, "jobs"), daily(sources, "jobs_revised")
    known = Daily(first.published[: len(revised)], revised.value)
    return joined(known, bars.time + HOUR)


def other_market_by_close(bars: Bars, sources: Sources) -> Floats:
    """The other market's bar that opens when this one closes."""
    other = sources["eth"]
    assert isinstance(other, Bars)
    index = np.searchsorted(other.time, bars.time + HOUR)
    found = np.append(other.time, -1)[np.minimum(index, len(other))] == bars.time + HOUR
    return np.where(found, np.append(other.close, np.nan)[np.minimum(index, len(other))], np.nan)


def seeded_average(bars: Bars, _: Sources) -> Floats:
    return bars.close / averaged(bars.close, 2 / 51)


def since_the_start(bars: Bars, _: Sources) -> Floats:
    return bars.close / bars.close[0]


def counter(bars: Bars, _: Sources) -> Floats:
    return np.arange(len(bars), dtype=np.float64)


def balance_volume(bars: Bars, _: Sources) -> Floats:
    return np.cumsum(np.sign(np.diff(bars.close, prepend=bars.close[:1])) * bars.volume)


def highest_ever(bars: Bars, _: Sources) -> Floats:
    return bars.close / np.maximum.accumulate(bars.high)


def one_bar_more(bars: Bars, _: Sources) -> Floats:
    return bars.close / rolled(bars.close, 25)


class Dice:
    """Another number at every call."""

    def __init__(self) -> None:
        self.drawn = np.random.default_rng(1)

    def __call__(self, bars: Bars, _: Sources) -> Floats:
        return self.drawn.random(len(bars))


LEAKS = [
    Leak("centred_mean", "future", centred_mean, 21, ahead=10),
    Leak("off_by_one_low", "future", off_by_one_low, 1, ahead=1),
    Leak("whole_zscore", "future", whole_zscore, whole=True),
    Leak("whole_minmax", "future", whole_minmax, whole=True),
    Leak("whole_rank", "future", whole_rank, whole=True),
    Leak("whole_bins", "future", whole_bins, whole=True),
    Leak("whole_component", "future", whole_component, whole=True),
    Leak("by_last_value", "future", by_last_value, whole=True),
    Leak("low_pass", "future", low_pass, whole=True),
    Leak("two_sided", "future", two_sided, 50, whole=True),
    Leak("next_row_joined", "future", next_row_joined, ahead=1),
    Leak("forward_return", "future", forward_return, ahead=6),
    Leak("forming_4h", "future", forming_4h, 4, ahead=3),
    Leak("forming_day", "future", forming_day, 24, ahead=23),
    Leak("filled_backward", "future", filled_backward),
    Leak("interpolated", "future", interpolated),
    Leak("filled_at_the_start", "future", filled_at_the_start, 13),
    Leak("encoded_target", "future", encoded_target, whole=True),
    Leak("pivot", "future", pivot, 6, ahead=5),
    Leak("gap_behind", "future", gap_behind, ahead=1),
    Leak("vix_on_its_own_date", "outside", vix_on_its_own_date),
    Leak("vix_nearest", "outside", vix_nearest),
    Leak("revised_at_first_date", "outside", revised_at_first_date),
    Leak("other_market_by_close", "outside", other_market_by_close),
    Leak("seeded_average", "warm_up", seeded_average, 50),
    Leak("since_the_start", "warm_up", since_the_start),
    Leak("counter", "warm_up", counter),
    Leak("balance_volume", "warm_up", balance_volume, 2),
    Leak("highest_ever", "warm_up", highest_ever, 200),
    Leak("one_bar_more", "warm_up", one_bar_more, 24),
    Leak("dice", "unsteady", Dice()),
]


def honest_change(bars: Bars, _: Sources) -> Floats:
    return np.concatenate([np.full(min(6, len(bars)), np.nan), bars.close[6:] / bars.close[:-6] - 1])


def honest_mean(bars: Bars, _: Sources) -> Floats:
    return bars.close / rolled(bars.close, 24)


def honest_vix(bars: Bars, sources: Sources) -> Floats:
    return joined(daily(sources, "vix"), bars.time + HOUR)


def honest_other(bars: Bars, sources: Sources) -> Floats:
    """The other market's bar that closes with this one, if there is one."""
    other = sources["eth"]
    assert isinstance(other, Bars)
    index = np.minimum(np.searchsorted(other.time, bars.time), len(other))
    found = np.append(other.time, -1)[index] == bars.time
    return np.where(found, np.append(other.close, np.nan)[index], np.nan)


HONEST = [
    Leak("honest_change", "", honest_change, 7),
    Leak("honest_mean", "", honest_mean, 24),
    Leak("honest_vix", "", honest_vix),
    Leak("honest_other", "", honest_other),
]


def subject(*planted: Leak, **changes: Any) -> Subject:
    """A pipeline of these columns and no others, as anyone may write one: nothing in it hides rows."""
    known = {each.name: each for each in planted}

    def part(names: tuple[str, ...]) -> Callable[[Bars, Sources], Floats]:
        return lambda bars, sources: np.stack([known[name].column(bars, sources) for name in names], axis=1)

    names = tuple(known)
    plain: dict[str, Any] = {"timeframe": "1h", "names": names, "lookbacks": tuple(e.lookback for e in planted)}
    return Subject(**plain | {"compute": part(names), "part": part} | changes)
