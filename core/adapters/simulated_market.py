"""A market that needs no network: bars drawn from a seed, for demonstrations and tests.

The log-price is a sum of independent symmetric moves, scaled by a volatility that jumps between regimes; `structure`
adds the part that can be learned, described in `STRUCTURE`. The path is drawn in blocks of fixed length, each from its
own random stream and from the state in which the block before it ended, so that a bar depends on the settings and its
time only, never on what was asked for before.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import log
from typing import Final

import numpy as np

from core.domain.bars import Bars, Floats, Times, empty, epoch, seconds
from core.ports import Clock

ORIGIN: Final = datetime(2019, 1, 1, tzinfo=UTC)
STRUCTURE: Final = (
    "Two effects are planted in otherwise unpredictable returns, both counted in bars and in units of the current "
    "volatility: a hidden drift with a standard deviation of 0.12 and a half-life of 36 bars (trends go on), and a "
    "temporary part, 0.55 of each bar's move, that fades with a half-life of 4 bars (sudden moves are partly taken "
    "back). The setting `structure` multiplies both; at 0 nothing in the past says in which direction the price will "
    "go, while volatility and volume still have their regimes and rhythms."
)

BLOCK: Final = 2048  # with the shortest half-life, the weights in `_decayed` reach 2 ** 512, within float64
DRIFT, DRIFT_HALF_LIFE = 0.12, 36.0
TEMPORARY, FADE_HALF_LIFE = 0.55, 4.0
HOURLY_VOLATILITY: Final = 0.0052  # about 50 % a year
REGIMES: Final = np.array([0.6, 1.0, 1.9])  # calm, usual, wild: factors of the volatility
REGIME_SHARE: Final = np.array([0.4, 0.45, 0.15])
REGIME_CHANGE: Final = 1 / 60  # chance per bar that the regime is drawn anew
TAIL: Final = 4.0  # degrees of freedom of the moves
JUMP_CHANCE, JUMP_SIZE = 1 / 500, 5.0  # a jump every three weeks of hours, in units of the current volatility
LARGEST: Final = 12.0  # the largest move, in units of the current volatility
GAP: Final = 0.06  # between a close and the next open, in units of the current volatility
OUTAGE_CHANGE: Final = 1 / 4  # outages last four bars on average
DAY_RHYTHM: Final = 1 + 0.35 * np.sin((np.arange(24) - 9) * np.pi / 12)  # busiest at 15:00 UTC
WEEK_RHYTHM: Final = np.array([1.05, 1.1, 1.1, 1.1, 1.05, 0.75, 0.7])  # Monday to Sunday


@dataclass(frozen=True, slots=True)
class _Settings:
    step: int
    seed: int
    structure: float
    start_price: int
    outage_rate: float


@dataclass(frozen=True, slots=True)
class _State:
    """What one block hands to the next: the log-price and the hidden states."""

    level: float
    drift: float = 0.0
    temporary: float = 0.0
    regime: float = 1.0
    dark: float = 0.0


class SimulatedMarket:
    """ports.Market over a seeded random path that starts in 2019 and never ends; prices are whole numbers.

    `structure` is the strength of what can be learned (see `STRUCTURE`; 0: nothing). `outage_rate` is the share of
    bars that are missing, in runs. Each timeframe and each seed is a market of its own. With a `clock`, bars that have
    not closed yet are not given. Raises ValueError for settings out of range; `bars` raises nothing of its own.
    """

    def __init__(
        self,
        timeframe: str = "1h",
        seed: int = 7,
        structure: float = 1.0,
        start_price: int = 10_000_000,
        outage_rate: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        _check(seed, structure, start_price, outage_rate)
        self._step = seconds(timeframe)
        self._clock = clock
        self._path = _path(_Settings(self._step, seed, float(structure), start_price, float(outage_rate)))

    def bars(self, since: datetime, until: datetime) -> Bars:
        """The bars that open in [since, until); none open before `ORIGIN`."""
        last = epoch(until)
        if self._clock is not None:
            last = min(last, epoch(self._clock.now()) - self._step + 1)
        return self._path.between(epoch(since), last)


def _check(seed: int, structure: float, start_price: int, outage_rate: float) -> None:
    if seed < 0:
        raise ValueError(f"simulated market: seed {seed} is negative; give 0 or more")
    if not 0 <= structure <= 3:
        raise ValueError(f"simulated market: structure {structure} is outside of 0 to 3")
    if start_price < 1000:
        raise ValueError(f"simulated market: start price {start_price} is below 1000, too coarse for whole numbers")
    if not 0 <= outage_rate <= 0.5:
        raise ValueError(f"simulated market: outage rate {outage_rate} is outside of 0 to 0.5")


class _Path:
    """The blocks drawn so far. Shared by all markets of equal settings in this process, also between threads."""

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._first = epoch(ORIGIN) // settings.step * settings.step
        self._blocks: list[Bars] = []
        self._state = _State(level=log(settings.start_price))
        self._lock = threading.Lock()

    def between(self, since: int, until: int) -> Bars:
        """The bars that open in [since, until), both epoch seconds."""
        span = BLOCK * self._settings.step
        begin, end = max(0, (since - self._first) // span), -((self._first - until) // span)
        if end <= begin or until <= since:
            return empty()
        blocks = self._drawn(end)[begin:end]
        joined = [np.concatenate(column) for column in zip(*(block.columns() for block in blocks), strict=True)]
        times: Times = joined[0]
        first, last = np.searchsorted(times, [since, until])
        return Bars(times, *joined[1:])[int(first) : int(last)]

    def _drawn(self, count: int) -> list[Bars]:
        with self._lock:
            while len(self._blocks) < count:
                number = len(self._blocks)
                opens = self._first + (number * BLOCK + np.arange(BLOCK, dtype=np.int64)) * self._settings.step
                block, self._state = _block(self._settings, number, opens, self._state)
                self._blocks.append(block)
            return self._blocks


@lru_cache(maxsize=8)
def _path(settings: _Settings) -> _Path:
    return _Path(settings)


def _block(settings: _Settings, number: int, opens: Times, state: _State) -> tuple[Bars, _State]:
    """One block of bars, and the state in which it ends."""
    rng = np.random.default_rng([settings.seed, number])
    regime = _held(rng, REGIME_CHANGE, rng.choice(REGIMES, BLOCK, p=REGIME_SHARE), state.regime)
    rhythm = _rhythm(opens, settings.step)
    scale = HOURLY_VOLATILITY * (settings.step / 3600) ** 0.5 * regime * np.sqrt(rhythm)
    shocks = _shocks(rng)
    drift, temporary = _hidden(rng, shocks, scale, state)
    gap = GAP * scale * rng.standard_normal(BLOCK)
    body = scale * shocks + settings.structure * _planted(drift, temporary, scale, state)
    after = state.level + np.cumsum(gap + body)
    dark = _held(rng, OUTAGE_CHANGE, (rng.random(BLOCK) < settings.outage_rate).astype(float), state.dark)
    prices = _prices(rng, after - body, after, scale)
    volume = _volume(rng, rhythm, regime, shocks) * settings.step / 3600
    bars = Bars(opens, *prices, volume)[dark == 0]
    ends = (float(column[-1]) for column in (after, drift, temporary, regime, dark))
    return bars, _State(*ends)


def _held(rng: np.random.Generator, chance: float, drawn: Floats, before: float) -> Floats:
    """A Markov chain: at each bar, with `chance`, the state becomes what is drawn, else it stays as it was."""
    change = np.where(rng.random(len(drawn)) < chance, np.arange(1, len(drawn) + 1), 0)
    return np.concatenate([[before], drawn])[np.maximum.accumulate(change)]


def _rhythm(opens: Times, step: int) -> Floats:
    """How busy the hour and the weekday are, around 1; bars of a day and longer have the week's rhythm only."""
    weekday = (opens // 86400 + 3) % 7  # 1970-01-01 was a Thursday
    week: Floats = WEEK_RHYTHM[weekday]
    day: Floats = DAY_RHYTHM[opens // 3600 % 24]
    return week if step >= 86400 else week * day


def _shocks(rng: np.random.Generator) -> Floats:
    """Independent symmetric moves of about unit variance: Student's t, and now and then a jump."""
    moves = rng.standard_t(TAIL, BLOCK) / (TAIL / (TAIL - 2)) ** 0.5
    jumps = np.where(rng.random(BLOCK) < JUMP_CHANCE, JUMP_SIZE * rng.standard_normal(BLOCK), 0.0)
    clipped: Floats = np.clip(moves + jumps, -LARGEST, LARGEST)
    return clipped


def _hidden(rng: np.random.Generator, shocks: Floats, scale: Floats, state: _State) -> tuple[Floats, Floats]:
    """The drift (in units of volatility) and the temporary part of the log-price, after each bar."""
    keep = 0.5 ** (1 / DRIFT_HALF_LIFE)
    drift = _decayed(DRIFT * (1 - keep**2) ** 0.5 * rng.standard_normal(BLOCK), keep, state.drift)
    return drift, _decayed(TEMPORARY * shocks * scale, 0.5 ** (1 / FADE_HALF_LIFE), state.temporary)


def _decayed(shocks: Floats, keep: float, before: float) -> Floats:
    """x[t] = keep · x[t-1] + shocks[t] with x[-1] = before, as a sum of weighted shocks."""
    weight = keep ** -np.arange(1.0, len(shocks) + 1)
    return (before + np.cumsum(shocks * weight)) / weight


def _planted(drift: Floats, temporary: Floats, scale: Floats, state: _State) -> Floats:
    """The part of each bar's move that was decided before the bar opened."""
    drift_before = np.concatenate([[state.drift], drift[:-1]])
    temporary_before = np.concatenate([[state.temporary], temporary[:-1]])
    planted: Floats = drift_before * scale - (1 - 0.5 ** (1 / FADE_HALF_LIFE)) * temporary_before
    return planted


def _prices(
    rng: np.random.Generator, before: Floats, after: Floats, scale: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Open, high, low and close on whole ticks. High and low are drawn like the extremes of a Brownian bridge from
    open to close: P(max > m) = exp(-2 m (m - b) / s²) for a bridge from 0 to b (Karatzas and Shreve, 4.3.40)."""
    move = after - before
    reach = -2 * scale**2 * np.log(1 - rng.random((2, len(move))))
    up = (move + np.sqrt(move**2 + reach[0])) / 2
    down = (move - np.sqrt(move**2 + reach[1])) / 2
    logs = (before, before + up, before + down, after)
    o, high, low, c = (np.maximum(np.rint(np.exp(value)), 1.0) for value in logs)
    # the extremes lie around open and close but for the last bit of the logarithms
    return o, np.maximum(high, np.maximum(o, c)), np.minimum(low, np.minimum(o, c)), c


def _volume(rng: np.random.Generator, rhythm: Floats, regime: Floats, shocks: Floats) -> Floats:
    """Base coin per hour, to four decimals: more in busy hours, wild regimes and large moves."""
    noise = np.exp(0.45 * rng.standard_normal(len(shocks)))
    volume: Floats = np.round(40 * rhythm * regime * (0.6 + np.abs(shocks)) * noise, 4)
    return volume
