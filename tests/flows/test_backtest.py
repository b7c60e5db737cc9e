"""Research's way from forecasts to evidence: what is foreseen, by whom, and what would have been made of it."""

from __future__ import annotations

from dataclasses import replace as with_
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from core.domain.bars import Bars, moment
from core.domain.daily import from_closes, none
from core.domain.ensemble import Training
from core.domain.evidence import track
from core.domain.fills import Costs
from core.domain.forecast import MANIFEST, BadModel, Model, digest, load
from core.domain.state import Book
from core.flows.backtest import (
    Forecasts,
    Ground,
    Ran,
    by_model,
    by_signal,
    by_walk,
    costing,
    ground,
    regimes,
    since,
    sure,
    trade,
)
from core.flows.serving import mismatched, unusable
from core.settings import Settings
from tests.fakes import InProcess, MemoryModels
from tests.road import drawn, small_book, trained

RESEARCH = replace(Settings().research, train_days=20, test_days=20, resamples=100, random_runs=20, resume_hours=0.0)
QUICK = Training(model="lightgbm", trees=8, leaf_rows=40, learning_rate=0.1)
LEARNT = 1500  # bars that the stored model knows


@cache
def known(**policy: Any) -> Ground:
    return ground(small_book(**policy), drawn(), none())


@cache
def stored() -> Model:
    files = trained(small_book(), drawn(), none(), LEARNT)
    return load(files, digest(files[MANIFEST]))


@cache
def learning(horizon: int = 6) -> Forecasts:
    return by_walk(known(), replace(QUICK, horizon=horizon), RESEARCH, InProcess(), MemoryModels())


def book_of(found: Ground, **changes: Any) -> Ground:
    return with_(found, book=replace(found.book, **changes))


def test_a_signal_is_certain_of_the_way_of_its_sign_and_silent_where_it_is_missing() -> None:
    found = by_signal(known(), "roc_24")
    change = drawn().close[24:] / drawn().close[:-24] - 1
    assert np.isnan(found.p_up[:24]).all()
    assert (found.p_up[24:] == (change > 0)).all()
    assert trade(known(), found, 0.0).bars[0] == moment(drawn().time[found.need - 1])


def test_a_signal_that_is_missing_at_every_bar_is_refused() -> None:
    with pytest.raises(ValueError, match="vix_level is missing at all of 2600 bars"):
        by_signal(known(), "vix_level")


def test_a_model_is_asked_about_the_bars_that_it_has_not_learnt_from_unless_all_are_wanted() -> None:
    found, whole = by_model(known(), stored(), "v"), by_model(known(), stored(), "v", whole=True)
    assert found.first == whole.first == LEARNT
    assert np.isnan(found.p_up[:LEARNT]).all()
    assert np.isfinite(whole.p_up[LEARNT - 200 : LEARNT]).all()
    assert found.p_up[LEARNT:].tobytes() == whole.p_up[LEARNT:].tobytes()


def test_what_keeps_a_model_from_speaking_is_said_of_each_bar_as_a_tick_says_it() -> None:
    gone = np.zeros(len(drawn()), bool)
    gone[[1600, 1601, 2000]] = True
    columns = [np.where(gone, np.nan, column) if i == 5 else column for i, column in enumerate(drawn().columns())]
    old = ground(small_book(model_max_age_days=20.0), Bars(*columns), none())
    found, rows = by_model(old, stored(), "v"), old.rows(_features(old.book))
    expected = {}
    for i in range(LEARNT, len(drawn())):
        if why := mismatched(stored(), old.book, moment(drawn().time[i])) or unusable(stored(), rows[i]):
            expected[i] = why
    later = {i: why for i, why in found.problems.items() if i >= LEARNT}
    assert later == expected
    assert {reason for reason, _ in later.values()} == {"model_expired", "feature_unknown"}


def test_a_model_that_has_grown_too_old_opens_nothing() -> None:
    old = ground(small_book(model_max_age_days=20.0), drawn(), none())
    reasons = [decision.reason for decision in trade(old, by_model(old, stored(), "v"), 0.0).decisions]
    assert reasons.index("model_expired") == 20 * 24
    assert set(reasons[20 * 24 :]) == {"model_expired"}


def _features(book: Book) -> Any:
    from core.domain.features import SETS

    return SETS[book.features]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": "ETH/USDT"}, "for BTC/USDT 1h: train one for ETH/USDT"),
        ({"timeframe": "4h"}, "for BTC/USDT 1h"),
        ({"features": "vix53"}, "the model was trained on .* train it anew"),
    ],
)
def test_a_model_of_another_market_or_of_other_features_is_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(BadModel, match=words):
        by_model(book_of(known(), **changes), stored(), "v")


def test_a_walk_is_traded_from_the_first_bar_that_it_foresees() -> None:
    found = learning()
    assert found.first == int(np.flatnonzero(np.isfinite(found.p_up))[0])
    assert trade(known(), found, 0.0).bars[0] == moment(drawn().time[found.first])
    assert found.told.endswith("models, each trained on 20 days and used for 20")


def test_what_is_chosen_tells_one_way_of_forecasting_from_another() -> None:
    ways = [learning(), learning(12), by_signal(known(), "roc_24"), by_signal(known(), "roc_12"), stored_way()]
    assert len({(way.kind, way.chosen) for way in ways}) == len(ways)
    threads = by_walk(known(), replace(QUICK, horizon=6, threads=2), RESEARCH, InProcess(), MemoryModels())
    assert threads.chosen == learning().chosen


def stored_way() -> Forecasts:
    return by_model(known(), stored(), "v")


def test_too_short_a_past_for_one_window_is_said_with_its_numbers() -> None:
    with pytest.raises(ValueError, match="800 bars.* hold no window of 20 days"):
        by_walk(known().before(800), QUICK, RESEARCH, InProcess(), MemoryModels())


def test_a_ground_before_a_bar_knows_nothing_of_what_came_after() -> None:
    other = [np.concatenate([column[:2000], column[2000:] * 1.5]) for column in drawn().columns()[1:]]
    daily = from_closes(drawn().time[:-24:24] // 86400 * 86400, np.linspace(10.0, 40.0, 108))
    one, two = (ground(small_book("vix53"), bars, daily) for bars in (drawn(), Bars(drawn().time, *other)))
    rows = [each.before(2000).rows(_features(each.book)) for each in (one, two, one)]
    rows[2] = one.rows(_features(one.book))[:2000]
    assert rows[0].tobytes() == rows[1].tobytes() == np.ascontiguousarray(rows[2]).tobytes()
    assert one.before(2000).context.tobytes() == two.before(2000).context.tobytes()


def test_from_a_later_bar_on_means_no_decision_before_it() -> None:
    later = moment(drawn().time[2000])
    assert trade(known(), since(learning(), known(), later), 0.0).bars[0] == later
    earlier = moment(drawn().time[10])
    assert since(learning(), known(), earlier).first == learning().first


def test_a_forecast_that_comes_a_bar_late_is_the_one_of_the_bar_before() -> None:
    late = trade(known(), learning(), 0.0, late=1)
    p_up = np.concatenate([[np.nan], learning().p_up[:-1]])
    same = trade(known(), with_(learning(), p_up=p_up), 0.0)
    assert list(late.equity) == list(same.equity) != list(trade(known(), learning(), 0.0).equity)


def test_costs_taken_so_many_times_are_all_of_them() -> None:
    costs = Costs(funding_bps=Decimal(1))
    dear = book_of(known(), costs=costs, rules=replace(known().book.rules, interest_per_day=Decimal("0.0004")))
    paid = {n: track(trade(costing(dear, n), learning(), 0.0), drawn(), "1h").paid for n in (0, 1, 2)}
    assert all(paid.values())
    nothing, once, twice = (paid[n] for n in (0, 1, 2))
    assert nothing is not None and once is not None and twice is not None
    assert nothing.total == 0.0
    for name in ("fees", "interest", "slippage"):
        assert 1.5 < getattr(twice, name) / getattr(once, name) < 2.5, name
    assert costing(dear, 0).book.costs.funding_bps == 0


def test_evidence_counts_the_trials_and_runs_again_at_other_costs_and_late() -> None:
    ran = Ran(known(), learning(), trade(known(), learning(), 0.0))
    told = sure(ran, RESEARCH, trials=40, variance=100.0)
    assert (told.certainty.trials, told.certainty.trial_variance) == (40, 100.0)
    assert {again.name for again in told.reruns} == {"costs_0", "costs_2", "costs_3", "delay_1"}
    by_name = {again.name: again.total_return for again in told.reruns}
    assert by_name["costs_0"] > told.figures.total_return > by_name["costs_2"] > by_name["costs_3"]
    alone = sure(ran, RESEARCH).certainty.deflated
    assert told.certainty.deflated is not None
    assert alone is not None
    assert told.certainty.deflated < alone


def test_every_bar_of_a_run_has_a_regime_where_the_vix_is_not_known_either() -> None:
    ran = Ran(known(), learning(), trade(known(), learning(), 0.0))
    told = regimes(known(), ran.rows)
    assert {len(labels) for labels in told.values()} == {len(ran.result.bars)}
    assert len(set(told["vix"])) == 1
