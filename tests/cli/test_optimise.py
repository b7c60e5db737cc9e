"""hourhand optimise: what it finds can be set, the search goes on, and the untouched days are opened once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.dir_models import DirModels
from core.adapters.files_market import to_parquet
from core.domain.bars import Bars
from core.flows.trials import tried
from tests.cli.command import Environ, closed, hourhand
from tests.cli.test_backtest import researching
from tests.road import drawn, small_book

BARS, DAYS = 2000, 10  # in all, untouched
SEARCH = ("optimise", "--jobs", "1", "--vary", "edge,threshold,short", "--trials", "4")


@pytest.fixture
def world(tmp_path: Path) -> Environ:
    made = researching(tmp_path, HOURHAND__RESEARCH__UNTOUCHED_DAYS=str(DAYS))
    Path(made["HOURHAND__MARKET__PATH"]).write_bytes(to_parquet(drawn()[:BARS]))
    return made


def found(environ: Environ, *more: str) -> dict[str, Any]:
    ran = hourhand(environ, *SEARCH, "--json", *more)
    assert (ran.code, ran.err) == (0, "")
    document: dict[str, Any] = ran.document
    return document


def counted(environ: Environ) -> int:
    return tried(DirModels(environ["HOURHAND__RESEARCH__PATH"]), small_book()).number


def test_what_is_found_can_be_set_as_it_is_told(world: Environ, tmp_path: Path) -> None:
    told = found(world, "--training", "horizon=3,6")
    assert told["untouched_from"] == f"{closed(BARS - DAYS * 24 - 1):%Y-%m-%dT%H:%M:%SZ}"
    text = hourhand(world, *SEARCH, "--training", "horizon=3,6").out
    lines = text.splitlines()
    config = tmp_path / "found.toml"
    config.write_text("\n".join(line for line in lines if line.startswith("[") or " = " in line))
    chosen = {key: value for key, value in told["chosen"].items() if key != "forecasts"}
    assert tomllib.loads(config.read_text()) == {
        "policy": chosen, "training": {"horizon": int(told["chosen"]["forecasts"].removeprefix("horizon = "))},
    }  # fmt: skip
    assert hourhand(world, "status", "--config", config).code == 0
    assert lines[0].startswith("The best of 4 trials (4 ran to their end) is worth ")


def test_the_same_search_again_is_no_further_trial_and_other_runs_count_all_of_it(world: Environ) -> None:
    first = found(world)
    assert found(world) == first
    assert counted(world) == 4
    longer = found(world, "--trials", "5")
    assert (longer["study"], longer["trials"], counted(world)) == (first["study"], 5, 5)
    assert longer["sharpes"][:4] == first["sharpes"]
    hourhand(world, "backtest", "--quick", "--walk")
    assert counted(world) == 6


def test_untouched_days_are_opened_once_and_each_time_again_is_a_trial_and_is_warned_of(world: Environ) -> None:
    first = found(world, "--open")
    assert (first["opened"], first["warning"], first["untouched"]["trials"]) == (1, None, 4)
    assert first["untouched"]["from"] == first["untouched_from"]
    assert first["untouched"]["bars"] == DAYS * 24
    again = found(world, "--open")
    assert (again["opened"], again["untouched"]["trials"]) == (2, 5)
    assert again["warning"] == "These days were opened 2 times: they are not untouched any more."
    assert counted(world) == 5


def test_the_search_does_not_see_the_untouched_days(world: Environ) -> None:
    first, cut = found(world), BARS - DAYS * 24
    bars, tail = drawn()[:BARS], drawn(seed=8)[:BARS]
    scale = bars.close[cut - 1] / tail.open[cut]
    pairs = zip(bars.columns()[1:], tail.columns()[1:], strict=True)
    other = [np.concatenate([own[:cut], new[cut:] * scale]) for own, new in pairs]
    Path(world["HOURHAND__MARKET__PATH"]).write_bytes(to_parquet(Bars(bars.time, *other)))
    assert found(world) == first


@pytest.mark.parametrize(
    ("arguments", "more", "code", "words"),
    [
        (("--vary", "treshold"), {}, 2, "--vary treshold: cannot be varied; choose among threshold, "),
        (("--vary", ","), {}, 2, "give names with a comma between them"),
        (("--vary", "short"), {"HOURHAND__POLICY__SHORT": "false"}, 2, "--vary short: [policy] short = false"),
        (("--training", "horizons=3"), {}, 2, "--training horizons: cannot be varied; choose among model, horizon"),
        (("--training", "seed=1,2,3"), {}, 2, "--training seed: cannot be varied"),
        (("--training", "horizon=0"), {}, 2, "--training horizon = 0: Expected `int` >= 1"),
        (("--training", "horizon"), {}, 2, "give a key and its values, such as horizon=6,24"),
        (("--trials", "0"), {}, 2, "give a number from 1 to 100000"),
        (("--open",), {"HOURHAND__RESEARCH__UNTOUCHED_DAYS": "0"}, 2, "--open: there are no untouched days"),
        ((), {"HOURHAND__RESEARCH__UNTOUCHED_DAYS": "90"}, 1, "90 untouched days leave none of 2000 bars"),
        ((), {"HOURHAND__RESEARCH__UNTOUCHED_DAYS": "50"}, 1, "hold no window of 20 days"),
        ((), {"HOURHAND__RESEARCH__UNTOUCHED_DAYS": "30"}, 1, "bars with forecasts are too few for 5 folds"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_tried(
    world: Environ, arguments: tuple[str, ...], more: Environ, code: int, words: str
) -> None:
    ran = hourhand(world | more, "optimise", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert counted(world) == 0
