"""What every adapter of ports.Market promises.

To add one, write a factory that yields a Case (the market, its true closed bars, and the same adapter on something that
is no market, if it can have that) and list it in CASES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.adapters.bitbank_market import BitbankMarket
from core.adapters.ccxt_market import CcxtMarket
from core.adapters.files_market import FilesMarket, to_parquet
from core.adapters.simulated_market import ORIGIN, SimulatedMarket
from core.domain.bars import BadBars, Bars, merge, moment
from core.ports import Market, Unavailable
from tests.adapters.candle_venues import (
    HTML,
    FixedClock,
    always,
    bitbank,
    bybit,
    inside_next,
    loopback,
    rows,
    walk,
    without,
)

DAY = timedelta(days=1)
ALL = walk(80)
TRUTH = without(ALL[:79], 40, 43)  # an outage in the middle; the last bar of ALL has not closed yet
SHOWN = without(ALL, 40, 43)
CLOCK = FixedClock(inside_next(TRUTH))


@dataclass(frozen=True)
class Case:
    market: Market
    truth: Bars
    broken: Market | None = None  # None: it asks nobody, so nobody can answer it with nonsense


def csv_text(bars: Bars) -> str:
    body = [f"{moment(at).isoformat()},{','.join(values)}" for at, values in rows(bars)]
    return "\n".join(["timestamp,open,high,low,close,volume", *body, ""])


@contextmanager
def parquet_file(folder: Path) -> Iterator[Case]:
    whole, broken = folder / "bars.parquet", folder / "broken.parquet"
    whole.write_bytes(to_parquet(TRUTH))
    broken.write_bytes(whole.read_bytes()[:-100])
    yield Case(FilesMarket(whole, "1h"), TRUTH, FilesMarket(broken, "1h"))


@contextmanager
def csv_file(folder: Path) -> Iterator[Case]:
    whole, broken = folder / "bars.csv", folder / "broken.csv"
    whole.write_text(csv_text(TRUTH))
    broken.write_bytes(HTML)
    yield Case(FilesMarket(whole, "1h"), TRUTH, FilesMarket(broken, "1h"))


@contextmanager
def monthly_files(folder: Path) -> Iterator[Case]:
    months = folder / "months"
    months.mkdir()
    (months / "2024-02.parquet").write_bytes(to_parquet(TRUTH[:33]))
    (months / "2024-03.csv").write_text(csv_text(TRUTH[33:]))
    yield Case(FilesMarket(months, "1h"), TRUTH, FilesMarket(folder / "absent", "1h"))


@contextmanager
def bitbank_venue(_: Path) -> Iterator[Case]:
    with loopback(bitbank(SHOWN)) as venue, loopback(always(200, HTML)) as portal:
        yield Case(
            BitbankMarket("BTC/JPY", "1h", CLOCK, venue.url), TRUTH, BitbankMarket("BTC/JPY", "1h", CLOCK, portal.url)
        )


@contextmanager
def bybit_through_ccxt(_: Path) -> Iterator[Case]:
    with loopback(bybit(SHOWN)) as venue, loopback(always(200, HTML)) as portal:
        yield Case(
            CcxtMarket("bybit", "BTC/USDT", "1h", {"public": venue.url}, CLOCK),
            TRUTH,
            CcxtMarket("bybit", "BTC/USDT", "1h", {"public": portal.url}, CLOCK),
        )


@contextmanager
def simulated(_: Path) -> Iterator[Case]:
    path = SimulatedMarket(outage_rate=0.05).bars(ORIGIN, ORIGIN + 3 * DAY)
    yield Case(SimulatedMarket(outage_rate=0.05, clock=FixedClock(inside_next(path))), path)


Factory = Callable[[Path], AbstractContextManager[Case]]
CASES: list[Factory] = [parquet_file, csv_file, monthly_files, bitbank_venue, bybit_through_ccxt, simulated]


@pytest.fixture(params=CASES, ids=lambda factory: factory.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    factory: Factory = request.param
    with factory(tmp_path) as made:
        yield made


@pytest.fixture(params=[factory for factory in CASES if factory is not simulated], ids=lambda factory: factory.__name__)
def misled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    factory: Factory = request.param
    with factory(tmp_path) as made:
        yield made


def ends(bars: Bars) -> tuple[datetime, datetime]:
    return moment(bars.time[0]), moment(bars.time[-1]) + timedelta(hours=1)


def test_gives_the_true_closed_bars_and_never_the_forming_one(case: Case) -> None:
    since, until = ends(case.truth)
    assert case.market.bars(since, until + 2 * DAY).digest() == case.truth.digest()


def test_bars_are_in_order_without_duplicates(case: Case) -> None:
    since, until = ends(case.truth)
    assert np.all(np.diff(case.market.bars(since - DAY, until).time) > 0)


def test_since_is_within_and_until_is_not(case: Case) -> None:
    got = case.market.bars(moment(case.truth.time[5]), moment(case.truth.time[30]))
    assert got.digest() == case.truth[5:30].digest()


def test_same_question_same_answer(case: Case) -> None:
    since, until = ends(case.truth)
    assert case.market.bars(since, until).digest() == case.market.bars(since, until).digest()


def test_no_range_no_bars(case: Case) -> None:
    since, until = ends(case.truth)
    for empty_range in ((since, since), (until, since), (until + DAY, until + 2 * DAY), (since - 9 * DAY, since - DAY)):
        assert len(case.market.bars(*empty_range)) == 0


def test_parts_join_to_the_whole(case: Case) -> None:
    since, until = ends(case.truth)
    for cut in (7, 39, 41, 60):
        at = moment(case.truth.time[cut])
        joined = merge(case.market.bars(since, at), case.market.bars(at, until))
        assert joined.digest() == case.truth.digest()


def test_nonsense_is_refused_and_never_an_empty_answer(misled: Case) -> None:
    assert misled.broken is not None
    since, until = ends(misled.truth)
    with pytest.raises((Unavailable, BadBars)) as refused:
        misled.broken.bars(since, until)
    assert len(str(refused.value)) > 30
