from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from core.domain import proof as p
from core.domain.bars import Bars, Floats, moment
from core.domain.daily import DAY, Daily, from_closes
from core.domain.labels import direction
from core.domain.splits import purged_folds
from tests.domain.leaks import HONEST, LEAKS, Leak, subject
from tests.road import drawn

HOUR = 3600
by_name = pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)


@cache
def market() -> Bars:
    """1400 hours with a gap in them, and stretches without volume."""
    bars = drawn()[:1400]
    volume = bars.volume.copy()
    for first in range(90, 1400, 130):
        volume[first : first + 6] = 0.0
    keep = np.ones(len(bars), bool)
    keep[700:709] = False
    return Bars(bars.time, bars.open, bars.high, bars.low, bars.close, volume)[keep]


@cache
def around() -> dict[str, Daily | Bars]:
    bars, rng = market(), np.random.default_rng(3)
    days = np.arange(bars.time[0] // DAY - 30, bars.time[-1] // DAY + 9, dtype=np.int64) * DAY
    jobs = from_closes(days[::7], rng.lognormal(3, 0.3, len(days[::7])))
    revised = Daily(jobs.published + 7 * DAY, jobs.value * rng.uniform(0.9, 1.1, len(jobs)))
    vix = from_closes(days, rng.lognormal(3, 0.3, len(days)))
    return {"vix": vix, "jobs": jobs, "jobs_revised": revised, "eth": drawn(1400, 8)}


def proved(*planted: Leak, count: int = 40, whole: int = 5, **changes: object) -> p.Proof:
    return p.proof([p.features(subject(*planted, **changes), market(), around(), count, whole)])


@cache
def beside_honest() -> p.Proof:
    """All planted leaks at once, among honest features."""
    return proved(*HONEST, *LEAKS, count=24, whole=5)


# features


@by_name
def test_a_planted_leak_is_found_by_name_and_kind(leak: Leak) -> None:
    assert leak.kind in {found.kind for found in beside_honest().findings if found.name == leak.name}


@by_name
def test_a_planted_leak_is_found_where_it_is_the_only_one(leak: Leak) -> None:
    few = market()[620:1020]
    found = p.features(subject(HONEST[0], leak), few, around(), count=24, whole=2).findings
    assert [each.name for each in found] == [leak.name]


def test_honest_features_are_not_accused_beside_leaks() -> None:
    assert {found.name for found in beside_honest().findings} == {leak.name for leak in LEAKS}


def test_honest_features_alone_are_clean() -> None:
    proof = proved(*HONEST)
    assert proof.clean
    assert proof.summary.startswith("No leak found in 4 features at 40 points and 5 cuts of all 1391 bars")


@pytest.mark.parametrize("leak", [each for each in LEAKS if each.ahead], ids=lambda leak: leak.name)
def test_it_is_told_how_far_ahead_a_feature_looks(leak: Leak) -> None:
    (found,) = (found for found in beside_honest().findings if found.name == leak.name and found.kind == "future")
    assert leak.ahead is not None and found.ahead is not None
    assert leak.ahead - 1 <= found.ahead <= leak.ahead  # "at least": no chosen bar may lie at the very edge
    assert not found.whole
    assert f"{leak.name} looks at least {found.ahead} bars ahead" in found.said


def test_the_whole_series_is_told_from_a_few_bars() -> None:
    told = {found.name for found in beside_honest().findings if found.whole}
    assert told == {leak.name for leak in LEAKS if leak.whole}


def test_the_series_that_was_known_too_early_is_named() -> None:
    said = {found.name: found.said for found in beside_honest().findings if found.kind == "outside"}
    names = {"vix_nearest": "(vix)", "revised_at_first_date": "(jobs_revised)", "other_market_by_close": "(eth)"}
    assert all(series in said[name] for name, series in names.items())


def test_a_short_lookback_is_told_with_what_is_needed_and_how_far_off_it_is() -> None:
    found = {each.name: each for each in beside_honest().findings if each.kind == "warm_up"}
    assert found["one_bar_more"].needs == 48  # by doubling: 25 would do
    assert found["since_the_start"].needs is None
    assert 0 < (found["seeded_average"].off or 0) < 0.5
    assert "seeded_average declares 50 bars and needs" in found["seeded_average"].said


def test_what_looks_ahead_is_not_said_to_look_back_too_far_as_well() -> None:
    kinds = [(found.name, found.kind) for found in beside_honest().findings]
    assert ("centred_mean", "future") in kinds
    assert ("centred_mean", "warm_up") not in kinds


def test_a_row_made_alone_must_be_that_of_the_batch() -> None:
    def last(bars: Bars, sources: p.Sources) -> Floats:
        row = subject(*HONEST).compute(bars, sources)[-1]
        row[1] = np.float32(row[1])
        return np.array(row)

    (found,) = proved(*HONEST, last=last).findings
    assert (found.name, found.kind) == ("honest_mean", "alone")
    assert 0 < (found.off or 0) < 1e-6


def test_the_deep_past_may_not_matter_even_where_the_row_is_the_same_from_its_lookback() -> None:
    def spoilt(bars: Bars, _: p.Sources) -> Floats:
        return np.array(bars.close / bars.open + np.cumsum(np.isnan(bars.close)))

    (found,) = proved(Leak("spoilt", "", spoilt)).findings
    assert (found.name, found.kind) == ("spoilt", "warm_up")


def test_without_parts_all_features_are_given_the_longest_lookback() -> None:
    assert proved(*HONEST, part=None).clean
    short = [Leak(each.name, "", each.column, 12) for each in HONEST]
    assert {found.name for found in proved(*short, part=None).findings} == {"honest_mean"}


def test_too_few_bars_are_refused_with_the_lookback() -> None:
    with pytest.raises(ValueError, match="25 bars are too few: these features look back 24"):
        p.features(subject(*HONEST), market()[:25], around())


# points


def test_points_are_on_both_sides_of_gaps_and_ends_of_days_weeks_and_months_and_at_the_start() -> None:
    bars = drawn(2600)
    bars = bars[np.flatnonzero((np.arange(2600) < 900) | (np.arange(2600) > 905))]
    chosen = p.points(bars, "1h", 100, 60)
    assert len(chosen) == 60
    assert {0, 1, 98, 99, 100, 899, 900, len(bars) - 2} <= set(chosen)
    times = [moment(bars.time[t]) for t in chosen]
    assert {0, 23} <= {at.hour for at in times}
    assert any(at.weekday() == 0 and at.hour == 0 for at in times)
    assert any(at.weekday() == 6 and at.hour == 23 for at in times)
    assert datetime(2024, 2, 1, tzinfo=UTC) in times or datetime(2024, 1, 31, 23, tzinfo=UTC) in times
    assert all(one < two for one, two in pairwise(chosen))


# decisions


def steady(bars: Bars, sources: p.Sources) -> list[tuple[int, object]]:
    """Long while the price is above its mean of 24."""
    up = honest_mean(bars, sources) > 1.0
    return list(zip(bars.time.tolist(), up.tolist(), strict=True))


def honest_mean(bars: Bars, sources: p.Sources) -> Floats:
    return np.array(HONEST[1].column(bars, sources))


def peeking(bars: Bars, sources: p.Sources) -> list[tuple[int, object]]:
    up = bars.close > np.nanmean(bars.close)
    return list(zip(bars.time.tolist(), up.tolist(), strict=True))


def on_tomorrows_vix(bars: Bars, sources: p.Sources) -> list[tuple[int, object]]:
    vix = sources["vix"]
    assert isinstance(vix, Daily)
    value = np.append(vix.value, np.nan)[np.searchsorted(vix.published, bars.time + HOUR, side="right")]
    return list(zip(bars.time.tolist(), value.tolist(), strict=True))


CUTS: Sequence[int] = (200, 500, 800, 1100)


def test_a_strategy_that_knows_only_the_past_decides_the_same() -> None:
    part = p.decisions(steady, market(), around(), "1h", CUTS)
    assert not part.findings
    assert part.checked == "1391 decisions, cut and with another future at 4 bars"


@pytest.mark.parametrize("strategy", [peeking, on_tomorrows_vix])
def test_a_strategy_that_knows_the_future_is_found_with_the_bar_at_which_it_parts(strategy: p.DecideOn) -> None:
    (found,) = p.decisions(strategy, market(), around(), "1h", CUTS).findings
    assert (found.kind, found.name) == ("decision", "strategy")
    assert found.bar is not None
    assert f"{found.bar:%Y-%m-%dT%H:%MZ}" in found.said


def test_the_first_bar_that_parts_is_the_one_that_is_told() -> None:
    def late(bars: Bars, sources: p.Sources) -> list[tuple[int, object]]:
        """Knows the next close from bar 450 on."""
        following = np.append(bars.close[1:], 0.0)
        return [
            (int(at), float(x) if i >= 450 else 0.0) for i, (at, x) in enumerate(zip(bars.time, following, strict=True))
        ]

    (found,) = p.decisions(late, market(), around(), "1h", CUTS).findings
    assert found.bar == moment(market().time[500])
    assert found.points == 6  # cut and perturbed at 500, 800 and 1100


def test_a_decision_that_is_not_made_on_less_is_a_difference() -> None:
    def hesitant(bars: Bars, sources: p.Sources) -> list[tuple[int, object]]:
        return steady(bars, sources)[:-3]

    (found,) = p.decisions(hesitant, market(), around(), "1h", CUTS).findings
    assert found.bar == moment(market().time[198])
    assert found.said.endswith("and nothing")


def test_numbers_that_are_not_there_are_no_difference() -> None:
    def unknown(bars: Bars, sources: p.Sources) -> list[tuple[int, object]]:
        return [(int(at), float("nan")) for at in bars.time]

    assert not p.decisions(unknown, market(), around(), "1h", CUTS).findings


# labels and windows


def test_the_labels_that_are_learnt_from_are_honest() -> None:
    assert not p.labels(lambda bars: direction(bars, 6, 0.001), market()).findings


def test_an_end_that_is_declared_too_early_is_found_with_how_far_the_label_looks() -> None:
    def early(bars: Bars) -> tuple[Floats, p.Ends]:
        y, end = direction(bars, 6, 0.001)
        return y, end - 2

    (found,) = p.labels(early, market(), count=60).findings
    assert (found.kind, found.name, found.ahead) == ("label", "labels", 7)


def test_labels_that_are_scaled_over_all_bars_are_found() -> None:
    def scaled(bars: Bars) -> tuple[Floats, p.Ends]:
        y, end = direction(bars, 6, 0.0)
        return y - (np.nanmean(y) if np.isfinite(y).any() else 0.0), end

    assert [found.name for found in p.labels(scaled, market()).findings] == ["labels"]


def test_labels_that_are_known_at_their_own_bar_are_no_forecast() -> None:
    def past(bars: Bars) -> tuple[Floats, p.Ends]:
        up = np.append(0.0, bars.close[1:] > bars.close[:-1])
        return up, np.minimum(np.arange(len(bars)) + 7, len(bars) - 1)

    (found,) = p.labels(past, market()).findings
    assert "no forecast" in found.said


STARTS = np.arange(1000)
ENDS = STARTS + 7


def test_windows_that_are_purged_are_clean() -> None:
    folds = purged_folds(STARTS, ENDS, 5, 24)
    part = p.purged(folds, STARTS, ENDS, 24)
    assert not part.findings
    assert part.checked == "5 windows of training"


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (np.arange(0, 700), "window 0 learns from labels that end within its test: they are not purged"),
        (np.arange(0, 693), "window 0 learns from labels that end less than the embargo of 24 bars before its test"),
        (np.arange(0, 710), "window 0 learns from rows that it is tested on"),
        (np.arange(850, 900), "window 0 learns from rows that come after the first one of its test"),
    ],
)
def test_a_window_that_learns_what_it_is_tested_on_is_named(train: np.ndarray, said: str) -> None:
    (found,) = p.purged([(train, np.arange(700, 800))], STARTS, ENDS, 24).findings
    assert (found.kind, found.name, found.said) == ("purge", "windows", said)


def test_the_last_row_that_may_be_learnt_is_not_accused() -> None:
    last = 700 - 24 - 7 - 1  # ends right before the embargo
    assert not p.purged([(np.arange(last + 1), np.arange(700, 800))], STARTS, ENDS, 24).findings
    assert p.purged([(np.arange(last + 2), np.arange(700, 800))], STARTS, ENDS, 24).findings


def test_rows_that_are_tested_twice_are_found() -> None:
    windows = [(np.arange(600), np.arange(700, 800)), (np.arange(600), np.arange(790, 900))]
    (found,) = p.purged(windows, STARTS, ENDS, 24).findings
    assert found.said == "window 1 tests rows that another one has tested"


# shuffled labels


def problem(strength: float, count: int = 3000) -> tuple[Floats, Floats]:
    """(features, overlapping labels): slow features, the first of which foretells the label by `strength`."""
    rng = np.random.default_rng(5)
    smooth = np.ones(24) / np.sqrt(24)
    slow = np.stack([np.convolve(rng.normal(size=count + 23), smooth, "valid") for _ in range(4)], axis=1)
    news = np.convolve(rng.normal(size=count + 5), np.ones(6) / np.sqrt(6), "valid")
    return slow, (strength * slow[:, 0] + news > 0).astype(np.float64)


def nearest(rows: Floats, y: Floats, asked: Floats) -> Floats:
    """The share of ups among the 15 most alike rows."""
    from scipy.spatial import cKDTree

    _, index = cKDTree(rows).query(asked, 15)
    share: Floats = y[index].mean(axis=1)
    return share


def walking(x: Floats, y: Floats) -> Floats:
    p_up, half = np.full(len(y), np.nan), len(y) // 2
    p_up[half:] = nearest(x[: half - 30], y[: half - 30], x[half:])
    return p_up


def among_all(x: Floats, y: Floats) -> Floats:
    """K-fold with shuffled rows: the neighbour in time is nearly the same row, with nearly the same label."""
    p_up, fold = np.empty(len(y)), np.random.default_rng(2).integers(0, 2, len(y))
    for part in (0, 1):
        p_up[fold == part] = nearest(x[fold != part], y[fold != part], x[fold == part])
    return p_up


def on_its_own_rows(x: Floats, y: Floats) -> Floats:
    return nearest(x, y, x)


def encoded(x: Floats, y: Floats) -> Floats:
    """A feature that is the mean label of its cell, over all rows, and a model that learns in order of time from it."""
    cell = np.arange(len(y)) // 12
    return walking(np.repeat((np.bincount(cell, y) / np.bincount(cell))[cell][:, None], 1, axis=1), y)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_walk_in_order_of_time_finds_no_edge_on_shuffled_labels(strength: float) -> None:
    x, y = problem(strength)
    part = p.shuffled(y, lambda labels: walking(x, labels), 100, 6, runs=5)
    assert not part.findings
    assert part.shuffled is not None
    assert abs(part.shuffled.mean - 0.5) < 0.03


def test_a_real_edge_stands_out_of_the_shuffled_runs() -> None:
    x, y = problem(1.0)
    told = p.shuffled(y, lambda labels: walking(x, labels), 100, 6, runs=9).shuffled
    assert told is not None
    assert told.p_value == 0.1
    assert (told.real or 0) > 0.6 > max(told.runs)


def test_without_an_edge_the_real_labels_are_one_draw_among_the_others() -> None:
    x, y = problem(0.0)
    told = p.shuffled(y, lambda labels: walking(x, labels), 100, 6, runs=9).shuffled
    assert told is not None
    assert told.p_value > 0.1


@pytest.mark.parametrize("leaky", [among_all, on_its_own_rows, encoded], ids=lambda leaky: leaky.__name__)
def test_an_evaluation_that_has_seen_its_labels_finds_an_edge_where_there_is_none(leaky) -> None:
    x, y = problem(0.0)
    part = p.shuffled(y, lambda labels: leaky(x, labels), 100, 6, runs=4)
    (found,) = part.findings
    assert (found.kind, found.name) == ("shuffled", "evaluation")


def test_shuffled_labels_are_the_same_values_where_labels_were_and_mostly_in_the_same_order() -> None:
    _, y = problem(0.0)
    y[100:200] = np.nan
    seen: list[Floats] = []

    def keep(labels: Floats) -> Floats:
        seen.append(labels)
        return np.random.default_rng(1).random(len(labels))

    p.shuffled(y, keep, 100, 6, runs=3)
    real, *drawn_ = seen
    assert real.tobytes() == y.tobytes()
    for labels in drawn_:
        assert np.isnan(labels).tolist() == np.isnan(y).tolist()
        assert np.nansum(labels) == np.nansum(y)
        assert labels.tobytes() != y.tobytes()
        stays = [np.nanmean(each[1:] == each[:-1]) for each in (labels, y)]
        assert stays[0] == pytest.approx(stays[1], abs=0.02)


def test_too_few_labels_for_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 blocks of 100 labels"):
        p.shuffled(np.zeros(399), lambda labels: labels, 100, 6)


# the whole


def test_a_proof_is_written_as_json_and_says_in_one_paragraph_what_was_found() -> None:
    proof = beside_honest()
    read = msgspec.json.decode(msgspec.json.encode(proof), type=p.Proof)
    assert read == proof
    assert proof.summary.startswith(f"{len(proof.findings)} leaks found: dice differs from one computation")


def test_one_leak_is_one_leak() -> None:
    assert proved(HONEST[0], LEAKS[0]).summary.startswith("1 leak found: centred_mean looks at least 10 bars ahead")
