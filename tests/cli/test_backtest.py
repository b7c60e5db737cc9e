"""hourhand backtest and compare: what is tested is what trades, every look is counted, and what is wrong is said."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.adapters.dir_models import DirModels
from core.adapters.files_market import to_parquet
from core.cli.study import study
from core.domain.bars import Bars
from core.domain.daily import none
from core.domain.state import Trade
from core.flows.backtest import Forecasts, Ran, ground, sure, trade
from core.flows.tick import tick
from core.flows.trials import tried
from core.report import render
from core.wiring import app
from tests.cli.command import Environ, closed, hourhand, of_files, state, with_model
from tests.flows.test_backtest import RESEARCH
from tests.road import HOUR, drawn, small_book

LEARNT = 1500  # bars that the live model has learnt from
TICKS = 300
QUICKLY = {
    "HOURHAND__TRAINING__MODEL": "lightgbm",
    "HOURHAND__TRAINING__TREES": "8",
    "HOURHAND__TRAINING__LEARNING_RATE": "0.1",
    "HOURHAND__RESEARCH__TRAIN_DAYS": "20",
    "HOURHAND__RESEARCH__TEST_DAYS": "30",
    "HOURHAND__RESEARCH__RESAMPLES": "100",
    "HOURHAND__RESEARCH__RANDOM_RUNS": "20",
    "HOURHAND__RESEARCH__RESUME_HOURS": "0",
    "LOKY_MAX_CPU_COUNT": "1",  # in this process
}


def researching(folder: Path, **more: str) -> Environ:
    """The book `btc` on the drawn bars, which a small model and few resamples are enough for."""
    return of_files(folder, **QUICKLY, HOURHAND__RESEARCH__PATH=str(folder / "research"), **more)


@pytest.fixture
def world(tmp_path: Path) -> Environ:
    return researching(tmp_path)


def file_of(folder: Path, bars: Bars) -> Path:
    path = folder / f"{len(bars)}.parquet"
    path.write_bytes(to_parquet(bars))
    return path


def test_ticks_over_the_same_bars_make_the_same_trades_and_the_same_equity(world: Environ) -> None:
    made = app(None, with_model(world))
    book = made.book("btc")
    for index in range(LEARNT, LEARNT + TICKS):
        said = tick(made.world("btc"), book, closed(index) + timedelta(seconds=5))
        assert said["outcome"] in ("traded", "stayed_out", "held"), said["explanation"]
    records = [record for _, record in state(world).scan("ticks", "btc@", "btc@~")]
    assert len(records) == TICKS
    ran = hourhand(
        world, "backtest", "--model", "live", "--bars", world["HOURHAND__MARKET__PATH"],
        "--to", closed(LEARNT + TICKS - 1).isoformat(), "--quick", "--json",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out, parse_float=Decimal)
    assert told["bars"] == TICKS
    assert told["equity"]["last"] == Decimal(records[-1]["answer"]["equity"])
    assert told["fills"] == sum(len(record["fills"]) for record in records)
    trades = msgspec.convert([trade for record in records for trade in record["trades"]], list[Trade])
    assert msgspec.convert(told["trades"], list[Trade], strict=False) == trades
    assert len(trades) > 5, "too little was traded: this run proves nothing"


def test_unasked_the_live_model_speaks_where_it_has_not_learnt_and_else_models_are_trained(world: Environ) -> None:
    def kind(*more: str) -> tuple[str, str]:
        told = hourhand(world, "backtest", "--quick", "--json", *more).document
        return told["forecasts"]["kind"], told["from"]

    first = f"{closed(LEARNT) - HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert kind()[0] == "walk"
    with_model(world)
    assert kind() == ("model", first)
    assert kind("--walk")[0] == "walk"
    assert kind("--to", closed(LEARNT - 1).isoformat())[0] == "walk", "the live model has learnt from all of these"
    later = f"{closed(2000):%Y-%m-%dT%H:%M:%SZ}"
    assert kind("--from", later) == ("model", later)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--walk", "--signal", "roc_24"), 2, "not allowed with argument"),
        (("--model", "live", "--walk"), 2, "not allowed with argument"),
        (("--signal", "magic"), 2, "--signal magic: there is no such feature; there are "),
        (("--signal", "vix_level"), 1, "vix_level is missing at all of 2600 bars"),
        (("--book", "doge"), 2, "there is no book 'doge'"),
        (("--bars", "none.csv"), 1, "none.csv: there is no such file"),
        (("--vix", "none.csv"), 1, "VIX file none.csv: no such file"),
        (("--model", "20240303T1300-000000000000"), 1, "--model 20240303T1300-000000000000: there is no file"),
        (("--model", "../other"), 1, "--model ../other: "),
        (("--model", "live"), 1, "--model live: no model is live for btc: train one"),
        (("--signal", "roc_24", "--from", "2030-01-01"), 1, "leave none to trade on: 703 come before the first"),
        (("--to", "2020-01-01"), 1, "there are no bars to run on: see --bars and --to"),
        (("--to", "2024-01-20"), 1, "456 bars, 0 of them with features, hold no window of 20 days"),
        (("--signal", "roc_24", "--to", "2024-01-20"), 1, "456 bars up to 2024-01-20T00:00Z leave none to trade on"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(world: Environ, arguments: tuple[str, ...], code: int, words: str) -> None:
    ran = hourhand(world, "backtest", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err


def test_bars_of_another_timeframe_are_refused(world: Environ, tmp_path: Path) -> None:
    bars = drawn()
    path = file_of(tmp_path, Bars(bars.time[0] + (bars.time - bars.time[0]) * 4, *bars.columns()[1:]))
    ran = hourhand(world, "backtest", "--signal", "roc_24", "--bars", path)
    assert (ran.code, ran.out) == (1, "")
    assert str(path) in ran.err
    assert "4h" in ran.err


def test_a_model_that_has_learnt_from_all_of_the_bars_is_refused_by_name(world: Environ) -> None:
    ran = hourhand(with_model(world), "backtest", "--model", "live", "--to", closed(LEARNT - 1).isoformat())
    assert ran.code == 1
    assert "leave none to trade on: the model 20240303T" in ran.err
    assert "on bars that it has not learnt from; give later bars, or --walk" in ran.err


def looked(environ: Environ, *more: str) -> int:
    """Trials on the market of the drawn bars, after a quick look."""
    assert hourhand(environ, "backtest", "--quick", "--signal", "roc_24", *more).code == 0
    return tried(DirModels(environ["HOURHAND__RESEARCH__PATH"]), small_book()).number


def test_every_strategy_that_was_looked_at_is_a_trial_and_no_run_of_it_another(world: Environ, tmp_path: Path) -> None:
    assert looked(world) == 1
    assert looked(world) == 1
    assert looked(world, "--to", closed(2500).isoformat()) == 2, "a stretch that was chosen is a choice"
    assert looked(world, "--bars", str(file_of(tmp_path, drawn()[:2550]))) == 2, "fewer bars are not"
    twin = world | {"HOURHAND__BOOKS": '[{id = "twin", symbol = "BTC/USDT"}]'}
    assert looked(twin) == 2
    assert looked(twin | {"HOURHAND__POLICY__THRESHOLD": "0.07"}) == 3
    assert looked(world | {"HOURHAND__BOOKS": '[{id = "btc", symbol = "BTC/EUR"}]'}) == 3, "another market"
    told = hourhand(world, "backtest", "--signal", "roc_12", "--json").document
    assert told["trials"] == told["evidence"]["certainty"]["trials"] == 4, "its verdict does not count the others"


def test_every_way_to_train_is_a_trial_of_its_own(world: Environ) -> None:
    for trees in ("8", "9", "8"):
        hourhand(world | {"HOURHAND__TRAINING__TREES": trees}, "backtest", "--quick", "--walk")
    assert tried(DirModels(world["HOURHAND__RESEARCH__PATH"]), small_book()).number == 2


def test_a_run_leaves_a_report_and_two_of_them_compare(world: Environ, tmp_path: Path) -> None:
    one, two, page = tmp_path / "one", tmp_path / "two", tmp_path / "pages" / "both.html"
    said = hourhand(world, "backtest", "--out", one)
    assert (said.code, said.err) == (0, "")
    assert f"The report is in {one}/report.html" in said.out
    assert "No evidence of an edge" in said.out or "Evidence of an edge" in said.out
    hourhand(world, "backtest", "--signal", "roc_24", "--out", two)
    assert {"report.html", "study.json"} <= {path.name for path in one.iterdir()}
    told = hourhand(world, "compare", one, two, "--out", page, "--json")
    assert told.document == {"comparison": str(page)}
    assert page.read_text().count("<html") == 1
    lost = hourhand(world, "compare", one, tmp_path / "none")
    assert (lost.code, lost.out) == (1, "")
    assert "none" in lost.err


def test_a_proof_is_of_the_forecasts_that_were_asked_for(world: Environ) -> None:
    world |= {"HOURHAND__RESEARCH__TRAIN_DAYS": "30"}
    told = hourhand(world, "backtest", "--quick", "--prove", "--signal", "roc_24", "--json").document
    assert told["proof"]["clean"] is True
    assert "decisions" in json.dumps(told["proof"])


def test_a_run_that_never_traded_is_told_without_a_trade_or_a_vix() -> None:
    made = ground(small_book(), drawn(), none())
    unsure = np.where(np.arange(len(drawn())) < 1000, np.nan, 0.5)
    forecasts = Forecasts(unsure, 704, 703, "signal", "never sure")
    ran = Ran(made, forecasts, trade(made, forecasts, 0.0))
    assert not ran.result.trades
    told = study(ran, sure(ran, RESEARCH), {"bars": "some"})
    assert told.verdict is not None
    assert told.course is not None
    assert (told.verdict.answer, told.calibration, told.importance, told.trades) == ("no", None, None, [])
    assert "it never traded" in render(told)
    assert told.course.time[0] == drawn().time[703]


# --- several books --------------------------------------------------------------------------------------------------

TWO = '[{id = "btc", symbol = "BTC/USDT"}, {id = "eth", symbol = "ETH/USDT"}]'


def two(folder: Path, **more: str) -> tuple[Environ, list[str]]:
    """Two books, each with bars of its own, traded by the sign of a feature."""
    files = {name: folder / f"{name}.parquet" for name in ("btc", "eth")}
    files["btc"].write_bytes(to_parquet(drawn()[:1400]))
    files["eth"].write_bytes(to_parquet(drawn(seed=4)[:1300]))
    given = [part for name, path in files.items() for part in ("--bars", f"{name}={path}")]
    eager = {
        f"HOURHAND__POLICY__{name}": value for name, value in (("EDGE", "0"), ("HOLD_BARS", "0"), ("SHORT", "true"))
    }
    return researching(folder, HOURHAND__BOOKS=TWO, **eager, **more), ["--signal", "roc_24", *given]


def test_several_books_are_tested_on_the_account_that_they_share(tmp_path: Path) -> None:
    world, given = two(tmp_path)
    said = json.loads(hourhand(world, "backtest", *given, "--json").out, parse_float=Decimal)
    last = [Decimal(book["equity"]["last"]) for book in said["books"]]
    assert [book["book"] for book in said["books"]] == ["btc", "eth"]
    assert all(len(book["trades"]) > 3 for book in said["books"])
    assert float(said["account"]["equity"]["last"]) == pytest.approx(float(sum(last)))
    assert said["account"]["equity"]["first"] == 20_000
    narrow, _ = two(tmp_path, HOURHAND__ACCOUNT__POSITIONS="1")
    other = json.loads(hourhand(narrow, "backtest", *given, "--json").out, parse_float=Decimal)
    assert [book["equity"]["last"] for book in other["books"]] != [book["equity"]["last"] for book in said["books"]]


def test_bars_of_several_books_are_named(tmp_path: Path) -> None:
    world, given = two(tmp_path)
    ran = hourhand(world, "backtest", "--signal", "roc_24", "--bars", str(tmp_path / "btc.parquet"))
    assert ran.code == 2
    assert "which book are they of? Give --bars btc=FILE for each, or --book" in ran.err
    assert hourhand(world, "backtest", *given, "--prove").code == 2
    assert hourhand(world, "backtest", *given, "--book", "eth", "--quick").code == 0


def test_a_run_that_never_trades_says_what_kept_it(world: Environ) -> None:
    dear = {
        **world,
        "HOURHAND__POLICY__EDGE": "10",
        "HOURHAND__POLICY__THRESHOLD": "0",
        "HOURHAND__POLICY__THRESHOLD_MIN": "0",
    }
    ran = hourhand(dear, "backtest", "--walk", "--bars", world["HOURHAND__MARKET__PATH"])
    assert "0 trades" in ran.out
    assert "of the bars: the move that the forecast promises does not pay for the costs." in ran.out
