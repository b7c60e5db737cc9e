"""The search for a policy: what it sees, what it counts, and that it goes on where it was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as with_
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from core.adapters.joblib_workers import JoblibWorkers
from core.domain.bars import Bars
from core.domain.daily import none
from core.domain.risk import Policy
from core.flows import optimise as flow
from core.flows.backtest import Forecasts, Ground, by_signal, by_walk, ground
from core.flows.optimise import (
    FOLDS,
    SPACE,
    STARTUP,
    VARIED,
    Found,
    Search,
    folds,
    keys,
    opened,
    optimise,
    policy,
    split,
)
from core.ports import Unavailable
from tests.fakes import InProcess, MemoryModels
from tests.flows.test_backtest import QUICK, RESEARCH
from tests.road import drawn, small_book

ROOT = Path(__file__).parents[2]
MEMORY = "sqlite://"
VARY = ("edge", "short", "threshold")
BARS, DAYS = 1800, 10  # in all, untouched


@cache
def whole() -> Ground:
    return ground(small_book(), drawn()[:BARS], none())


def seen(made: Ground) -> Ground:
    return made.before(split(made, DAYS))


@cache
def search(**changes: Any) -> Search:
    known = seen(whole())
    forecasts = {"fast": by_signal(known, "roc_12"), "slow": by_signal(known, "roc_24")}
    return with_(Search(known, forecasts, VARY), **changes)


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'studies.db'}"


class Counting(InProcess):
    """In this process; keeps what was tried, and what came of each trial."""

    def __init__(self) -> None:
        self.made: list[list[float]] = []
        self.asked: list[Any] = []

    def run(self, job: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        self.asked.extend(items)
        for index, made in super().run(job, items):
            self.made.append(made)
            yield index, made


@pytest.fixture(scope="module")
def ended() -> tuple[Found, Counting, list[float]]:
    """A search of 20 trials, two at a time: what was found, what was tried, and the progress told."""
    workers, told = Counting(), list[float]()
    return optimise(search(), MEMORY, 20, workers, 2, told.append), workers, told


def test_the_best_of_all_trials_is_found_and_every_trial_is_counted(ended: Any) -> None:
    found, workers, told = ended
    made = workers.made
    whole = [each for each in made if len(each) == FOLDS]
    assert found.worth == max(flow.worth(each) for each in whole)
    assert (found.trials, found.finished) == (20, len(whole))
    assert sorted(found.sharpes) == sorted(float(np.mean(each)) for each in made)
    assert STARTUP <= len(whole) < 20, "nothing was given up: this run proves little"
    assert told == [i / 10 for i in range(11)]
    assert flow.worth(flow.tried(search(), [], found.chosen)) == found.worth, "what is told is not what was tried"


def test_no_two_trials_at_the_start_are_the_same(ended: Any) -> None:
    points = [tuple(sorted(chosen.items())) for chosen in ended[1].asked[:STARTUP]]
    assert len(set(points)) == STARTUP


def test_another_seed_finds_something_else(ended: Any) -> None:
    found, other = optimise(search(), MEMORY, 2, InProcess(), 2), optimise(search(seed=2), MEMORY, 2, InProcess(), 2)
    assert found.sharpes == ended[0].sharpes[:2]
    assert (other.study, other.sharpes) != (found.study, found.sharpes)
    assert set(other.sharpes) != set(found.sharpes)


def test_workers_elsewhere_find_the_same(ended: Any) -> None:
    assert optimise(search(), MEMORY, 4, JoblibWorkers(2), 2).sharpes == ended[0].sharpes[:4]


KILLED = """
import os, signal, sys
from core.flows.optimise import optimise
from tests.flows.test_optimise import Counting, search

class Deadly(Counting):
    def run(self, job, items):
        for told in super().run(job, items):
            if len(self.made) == 12:
                os.kill(os.getpid(), signal.SIGKILL)
            yield told

optimise(search(), sys.argv[1], 14, Deadly(), 2)
"""


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(ended: Any, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", KILLED, storage(tmp_path)], env=environ, cwd=ROOT, check=False)
    assert run.returncode == -signal.SIGKILL
    workers = Counting()
    assert optimise(search(), storage(tmp_path), 14, workers, 2).sharpes == ended[0].sharpes[:14]
    assert len(workers.made) == 4, "five pairs of trials had been written down; the sixth was under way"


def test_a_search_that_is_done_tries_nothing_more_and_a_longer_one_only_the_rest(tmp_path: Path) -> None:
    found, again, longer = optimise(search(), storage(tmp_path), 4, InProcess()), Counting(), Counting()
    assert optimise(search(), storage(tmp_path), 4, again) == found
    assert optimise(search(), storage(tmp_path), 6, longer).trials == 6
    assert (len(again.made), len(longer.made)) == (0, 2)


def test_another_question_is_another_study() -> None:
    others = [
        {"varied": ("edge",)},
        {"resume_hours": 24.0},
        {"seed": 2},
        {"ground": with_(search().ground, book=small_book(leverage=Decimal(2)))},
        {"ground": search().ground.before(1400)},
        {"forecasts": {"fast": search().forecasts["fast"]}},
        {"forecasts": {**search().forecasts, "slow": search().forecasts["fast"]}},
    ]
    names = [with_(search(), **changes).name() for changes in others]
    assert len({*names, search().name()}) == len(others) + 1
    assert with_(search()).name() == search().name()


def test_untouched_days_are_the_newest_and_as_many_as_asked_for() -> None:
    assert split(whole(), DAYS) == BARS - DAYS * 24
    assert split(whole(), 0) == BARS
    with pytest.raises(ValueError, match="2000 untouched days leave none of 1800 bars"):
        split(whole(), 2000)


def walked(bars: Bars) -> tuple[Ground, Forecasts]:
    made = ground(small_book(), bars, none())
    return made, by_walk(seen(made), QUICK, RESEARCH, InProcess(), MemoryModels())


def test_nothing_of_the_untouched_days_reaches_the_search() -> None:
    """Neither through prices nor through labels, which look ahead."""
    until = split(whole(), DAYS)
    other = [np.concatenate([own[:until], own[until:] * 0.5]) for own in drawn().columns()[1:]]
    found = []
    for bars in (drawn()[:BARS], Bars(drawn().time, *other)[:BARS]):
        made, forecasts = walked(bars)
        assert forecasts.walked is not None
        assert np.isnan(forecasts.walked.labels[-QUICK.horizon :]).all()
        found.append(optimise(Search(seen(made), {"as set": forecasts}, VARY), MEMORY, 3, InProcess(), 3))
    assert found[0] == found[1]
    assert found[0].study == found[1].study


def test_folds_follow_one_another_and_leave_no_bar_out() -> None:
    made = folds(703, 2600)
    assert [703, *(end for _, end in made)] == [*(first for first, _ in made), 2600]
    assert len(made) == FOLDS


def test_a_fold_is_traded_without_knowing_the_next() -> None:
    chosen = {"forecasts": "slow", "edge": 0.0, "short": True, "threshold": 0.02}
    made = flow.tried(search(), [], chosen)
    (_, end), *_ = folds(search().first, len(search().ground.bars))
    other = [np.concatenate([own[:end], own[end:] * 2]) for own in search().ground.bars.columns()[1:]]
    later = ground(small_book(), Bars(search().ground.bars.time, *other), none())
    forecasts = {"slow": by_signal(later, "roc_24")}
    again = flow.tried(Search(later, forecasts, VARY), [], chosen)
    assert again[0] == made[0]
    assert again[1:] != made[1:]


def test_what_falls_behind_the_median_is_given_up_but_never_on_its_first_fold() -> None:
    chosen = {"forecasts": "slow", "edge": 0.0, "short": True, "threshold": 0.02}
    whole_run = flow.tried(search(), [], chosen)
    assert flow.tried(search(), [-np.inf, 1e9, 1e9, 1e9, -np.inf], chosen) == whole_run[:2]
    assert flow.tried(search(), [-np.inf] * FOLDS, chosen) == whole_run


def test_every_corner_of_the_space_is_a_policy_that_settings_take() -> None:
    for corner in (0, 1):
        chosen = {key: bounds[corner] for key, bounds in SPACE.items()}
        made = policy(Policy(), {key: flow._bounds(key, Policy())[corner] for key in chosen})
        assert msgspec.convert(msgspec.to_builtins(made, str_keys=True), Policy, strict=False) == made
        assert made.threshold_min <= made.threshold <= made.threshold_max
        assert isinstance(made.risk_per_trade, Decimal)


def test_what_is_varied_is_named_and_a_book_that_may_not_go_short_is_not_tried_short() -> None:
    assert set(keys(small_book(), None)) == set(VARIED)
    assert keys(small_book(), ["edge", "threshold", "edge"]) == ("edge", "threshold")
    assert set(keys(small_book(short=False), None)) == set(VARIED) - {"short"}
    with pytest.raises(ValueError, match="short = false keeps this book from it"):
        keys(small_book(short=False), ["short"])
    with pytest.raises(ValueError, match="capital, treshold: cannot be varied; choose among threshold, "):
        keys(small_book(), ["capital", "edge", "treshold"])


def test_too_few_bars_for_folds_are_refused_with_their_number() -> None:
    known = whole().before(800)
    with pytest.raises(ValueError, match="97 bars with forecasts are too few for 5 folds"):
        Search(known, {"as set": by_signal(known, "roc_12")})


def test_a_storage_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_bytes(b"no database" * 100)
    with pytest.raises(Unavailable, match="studies.db cannot be used .*not a database"):
        optimise(search(), storage(tmp_path), 1, InProcess())


def test_two_runs_of_one_search_at_a_time_are_told_apart(tmp_path: Path) -> None:
    class Twice(InProcess):
        def run(self, job: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
            optimise(search(), storage(tmp_path), 2, InProcess(), 2)
            yield from super().run(job, items)

    with pytest.raises(Unavailable, match="another run goes on with this search"):
        optimise(search(), storage(tmp_path), 4, Twice(), 2)


def test_days_are_opened_once_and_every_further_look_at_some_of_them_is_counted() -> None:
    store = MemoryModels()
    assert opened(store, whole(), 1600) == 1
    assert opened(store, whole(), 1600) == 2
    longer = ground(replace(small_book(), id="another"), drawn(), none())
    assert opened(store, longer, 1700) == 3, "another book on the same market opened a part of the same days"
    assert opened(store, whole().before(1590), 1500) == 1, "no day of these was opened before"
    assert opened(store, with_(whole(), book=replace(small_book(), symbol="ETH/USDT")), 1600) == 1
    with pytest.raises(ValueError, match="no untouched days"):
        opened(store, whole(), BARS)
