from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.domain import proof as p
from core.domain.backtest import Result, backtest
from core.domain.bars import Bars, Floats
from core.domain.daily import DAY, Daily, from_closes
from core.domain.ensemble import Training
from core.domain.features import CONTEXT, SETS, compute
from core.domain.outside import NOTHING, SERIES, Outside
from core.flows.prove import Effort, prove, sources, subject
from tests.road import drawn, perp, small_book, vix

SMALL = Training(trees=8, forest_trees=8, learning_rate=0.2, leaf_rows=40)
QUICK = Effort(points=8, cuts=1, decided=2, stretch=40, runs=2, judged_days=16)
EVERY = [*SETS.values(), CONTEXT]
each_set = pytest.mark.parametrize("features", EVERY, ids=lambda features: features.name)


def fear(bars: Bars) -> Daily:
    days = np.arange(bars.time[0] // DAY - 40, bars.time[-1] // DAY + 9, dtype=np.int64) * DAY
    return from_closes(days, np.random.default_rng(2).lognormal(3, 0.3, len(days)))


def world(bars: Bars) -> Outside:
    """Every outside series, and another market."""
    rng = np.random.default_rng(4)
    days = np.arange(bars.time[0] // DAY - 90, bars.time[-1] // DAY + 9, dtype=np.int64) * DAY
    daily = {name: series.series(days, rng.lognormal(1, 0.2, len(days))) for name, series in SERIES.items()}
    other = drawn(len(bars), 9)
    return Outside(daily=daily, market=Bars(bars.time, *other.columns()[1:]))


# no false alarms


@each_set
def test_no_feature_of_ours_leaks_on_drawn_bars(features) -> None:
    bars = drawn(features.lookback + 500)
    keep = np.ones(len(bars), bool)
    keep[100:103] = False
    bars = bars[keep]
    outside = world(bars)
    part = p.features(subject(features, "1h", outside=outside), bars, sources(fear(bars), outside), 12, 1)
    assert part.findings == ()


@each_set
def test_no_feature_of_ours_leaks_on_real_bars(features) -> None:
    bars = perp()[-features.lookback - 1500 :]
    part = p.features(subject(features, "1h"), bars, sources(vix()), 9, 1)
    assert part.findings == ()


# a leak in the midst of our own features


def test_a_feature_of_ours_that_declares_too_few_bars_is_named() -> None:
    core12 = SETS["core12"]
    short = tuple(replace(each, lookback=100) if each.name == "rsi_14" else each for each in core12.features)
    bars = drawn(1200)
    part = p.features(subject(replace(core12, features=short), "1h"), bars, sources(fear(bars)), 12, 2)
    assert [(found.name, found.kind) for found in part.findings] == [("rsi_14", "warm_up")]


def test_a_vix_that_is_joined_on_its_own_date_is_named_among_our_own_features() -> None:
    def early(bars: Bars, known: p.Sources) -> Floats:
        daily = known["vix"]
        assert isinstance(daily, Daily)
        return compute(SETS["vix53"], bars, "1h", Daily(daily.published - DAY, daily.value))

    vix53, bars = SETS["vix53"], drawn(1200)
    part = p.features(
        replace(subject(vix53, "1h"), compute=early, part=None, last=None), bars, sources(fear(bars)), 16, 1
    )
    assert {found.kind for found in part.findings} == {"outside"}
    assert {found.name for found in part.findings} <= {each.name for each in vix53.features if each.category == "vix"}
    assert {"vix_level", "vix_change", "vix_zscore"} <= {found.name for found in part.findings}


# the whole


def momentum(bars: Bars, daily: Daily, outside: Outside, ahead: int = 0) -> Result:
    """The real fold on the sign of the last change, or of one that is still to come."""
    book = small_book()
    change = np.append(np.nan, bars.close[1:] / bars.close[:-1] - 1)
    p_up = np.append(change[ahead:], np.full(ahead, np.nan))
    p_up = np.where(np.isnan(p_up), np.nan, np.where(p_up > 0, 0.8, 0.2))
    return backtest(book, bars, p_up, compute(CONTEXT, bars, "1h", daily), CONTEXT.lookback, CONTEXT.lookback - 1)


def whole(**changes) -> p.Proof:
    bars = drawn(2600)
    return prove(small_book(), bars, fear(bars), SMALL, train_days=40, effort=QUICK, **changes)


def test_a_book_without_leaks_is_proved_in_all_its_parts() -> None:
    told: list[float] = []
    proof = whole(run=momentum, progress=told.append)
    assert proof.clean
    assert [said.split(" at ")[0].split(" (")[0].split(",")[0] for said in proof.checked] == [
        "23 features", "labels of 2600 bars", "4 windows of training", "2 runs on shuffled labels", "41 decisions",
    ]  # fmt: skip
    assert proof.shuffled is not None
    assert told == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_strategy_that_trades_on_the_next_change_is_found_through_the_real_fold() -> None:
    def peeks(bars: Bars, daily: Daily, outside: Outside) -> Result:
        return momentum(bars, daily, outside, ahead=1)

    proof = whole(run=peeks)
    assert [(found.kind, found.name) for found in proof.findings] == [("decision", "strategy")]


def test_too_few_bars_for_a_window_of_training_are_refused() -> None:
    bars = drawn(900)
    with pytest.raises(ValueError, match="900 bars hold no window of 180 days"):
        prove(small_book(), bars, fear(bars), SMALL)


def test_sources_carry_the_vix_each_series_and_the_other_market_by_name() -> None:
    bars = drawn(100)
    assert set(sources(fear(bars), world(bars))) == {"vix", "market", *SERIES}
    assert set(sources(fear(bars), NOTHING)) == {"vix"}
