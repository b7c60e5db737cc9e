"""What every History promises: bars kept month by month, beside the models."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters.dir_models import DirModels
from core.adapters.files_market import from_parquet, to_parquet
from core.adapters.parquet_history import ParquetHistory
from core.domain.bars import BadBars, Bars, empty, epoch, merge
from core.ports import History, ModelStore, Unavailable
from tests.fakes import MemoryModels

START = datetime(2023, 12, 30, tzinfo=UTC)  # two days before a new year, and a leap year at that
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NAME = "bitbank/btc_jpy/1h"

Make = Callable[[Path], ModelStore]


def in_a_folder(folder: Path) -> ModelStore:
    return DirModels(folder / "models")


def in_memory(folder: Path) -> ModelStore:
    return MemoryModels()


@pytest.fixture(params=[in_a_folder, in_memory], ids=lambda make: make.__name__)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    make: Make = request.param
    return make(tmp_path)


@pytest.fixture
def history(files: ModelStore) -> History:
    return parquet(files)


def parquet(files: ModelStore, name: str = NAME) -> History:
    return ParquetHistory(files, name, to_parquet, from_parquet)


def hours(count: int, first: int = 0, level: float = 40_000.0) -> Bars:
    index = np.arange(first, first + count)
    close = level + index + 0.1
    return Bars(epoch(START) + 3600 * index.astype(np.int64), close - 0.3, close + 1, close - 1, close, index + 0.001)


def same(found: Bars, expected: Bars) -> bool:
    return found.digest() == expected.digest()


def at(hour: int) -> datetime:
    return START + hour * HOUR


ALL = hours(24 * 70)  # into March: four months
END = at(24 * 70)


def test_what_was_saved_is_loaded_bit_for_bit(history: History) -> None:
    history.save(ALL)
    assert same(history.load(START, END), ALL)


def test_nothing_is_stored_at_first(history: History) -> None:
    assert len(history.load(START, END)) == 0


def test_nothing_to_save_is_nothing(history: History, files: ModelStore) -> None:
    history.save(empty())
    assert list(files.names("history/")) == []


@pytest.mark.parametrize(("first", "end"), [(0, 1), (47, 49), (48, 48), (100, 1600), (790, 793)])
def test_a_stretch_is_exactly_its_bars(history: History, first: int, end: int) -> None:
    """Since counts, until does not; hour 48 is midnight of the new year, hour 792 of February."""
    history.save(ALL)
    assert same(history.load(at(first), at(end)), ALL[first:end])


def test_a_stretch_beyond_what_is_stored_is_what_is_stored(history: History) -> None:
    history.save(ALL[100:200])
    assert same(history.load(START - 400 * DAY, END + 400 * DAY), ALL[100:200])


def test_each_month_is_a_file_of_its_own(history: History, files: ModelStore) -> None:
    history.save(ALL)
    assert list(files.names("history/")) == [
        f"history/{NAME}/{month}.parquet" for month in ("2023-12", "2024-01", "2024-02", "2024-03")
    ]


def test_later_bars_are_added_to_what_is_there(history: History, files: ModelStore) -> None:
    history.save(ALL[:500])
    history.save(ALL[500:])
    assert same(parquet(files).load(START, END), ALL)


def test_bars_in_between_find_their_place(history: History) -> None:
    history.save(ALL[:100])
    history.save(ALL[300:])
    history.save(ALL[90:310])
    assert same(history.load(START, END), ALL)


def test_where_both_have_a_bar_the_new_one_stands(history: History) -> None:
    history.save(ALL)
    corrected = hours(3, 40, level=50_000.0)
    history.save(corrected)
    assert same(history.load(START, END), merge(ALL, corrected))


def test_a_gap_stays_a_gap(history: History) -> None:
    holed = ALL[np.r_[0:30, 60 : len(ALL)]]
    history.save(holed)
    assert same(history.load(START, END), holed)


def test_only_months_that_changed_are_written(files: ModelStore) -> None:
    written: list[str] = []

    class Noting(MemoryModels):
        def put(self, name: str, data: bytes) -> None:
            written.append(name[-15:-8])
            super().put(name, data)

    history = parquet(Noting())
    history.save(ALL)
    assert written == ["2023-12", "2024-01", "2024-02", "2024-03"]
    written.clear()
    history.save(ALL)
    assert written == []
    history.save(merge(ALL, hours(1, 800, level=1.0)))
    assert written == ["2024-02"]


def test_a_month_without_bars_between_two_with_is_no_file(history: History, files: ModelStore) -> None:
    history.save(merge(ALL[:10], hours(5, 24 * 65)))
    assert [name[-15:-8] for name in files.names("history/")] == ["2023-12", "2024-03"]


def test_markets_do_not_mix(files: ModelStore) -> None:
    one, other = parquet(files), parquet(files, "bitbank/eth_jpy/1h")
    one.save(ALL[:10])
    other.save(ALL[5:20])
    assert same(one.load(START, END), ALL[:10])
    assert same(other.load(START, END), ALL[5:20])


@pytest.mark.parametrize("damage", [b"", b"not parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_damaged_file_is_bad_bars_and_is_not_written_over(history: History, files: ModelStore, damage: bytes) -> None:
    history.save(ALL)
    name = f"history/{NAME}/2024-01.parquet"
    files.put(name, damage)
    with pytest.raises(BadBars):
        history.load(START, END)
    with pytest.raises(BadBars):
        history.save(ALL)
    assert files.get(name) == damage


def test_a_file_that_was_cut_off_is_bad_bars(history: History, files: ModelStore) -> None:
    history.save(ALL)
    name = f"history/{NAME}/2024-01.parquet"
    files.put(name, files.get(name)[:-20])
    with pytest.raises(BadBars):
        history.load(START, END)


def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(Unavailable):
        parquet(DirModels(tmp_path / "models")).save(ALL)


@given(st.lists(st.tuples(st.integers(0, 24 * 69), st.integers(1, 60)), min_size=1, max_size=5))
@settings(max_examples=20)
def test_any_order_of_saving_gives_the_same(pieces: list[tuple[int, int]]) -> None:
    history, expected = parquet(MemoryModels()), empty()
    for first, count in pieces:
        history.save(ALL[first : first + count])
        expected = merge(expected, ALL[first : first + count])
    assert same(history.load(START, END), expected)
