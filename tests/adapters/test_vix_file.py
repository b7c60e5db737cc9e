"""The VIX from a file: the real one, and files of another shape."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.adapters.file_vix import FileVix
from core.domain.bars import epoch
from core.ports import Unavailable

REAL = Path(__file__).parents[2] / "../shared/data/macro/vix_daily.parquet"
NOW = datetime(2024, 8, 31, tzinfo=UTC)


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/macro/vix_daily.parquet")
def test_it_reads_the_real_file() -> None:
    series = FileVix(REAL).history(NOW)
    assert len(series) == 8747
    assert series.value[-3:].tolist() == [17.11, 15.65, 15.0]
    assert series.published[-1] == epoch(NOW)


@pytest.mark.parametrize(
    "stamp", ["2024-08-30", "2024-08-30 00:00:00", "2024-08-30T00:00:00Z", "2024-08-30 00:00:00+00:00"]
)
def test_csv_dates_come_in_several_spellings(tmp_path: Path, stamp: str) -> None:
    path = tmp_path / "vix.CSV"
    path.write_text(f"timestamp,open,close\n{stamp},14,15.0\n")
    series = FileVix(path).history(NOW)
    assert (series.published.tolist(), series.value.tolist()) == ([epoch(NOW)], [15.0])


def test_parquet_dates_may_be_dates(tmp_path: Path) -> None:
    path = tmp_path / "vix.parquet"
    pq.write_table(pa.table({"timestamp": [date(2024, 8, 29), date(2024, 8, 30)], "close": [15.65, 15.0]}), path)
    assert FileVix(path).history(NOW).value.tolist() == [15.65, 15.0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no value"),
        ("timestamp,close\n", "no value"),
        ("date,close\n2024-08-30,15\n", "timestamp"),
        ("timestamp,value\n2024-08-30,15\n", "close"),
        ("timestamp,close\n2024-08-30\n", "not a table"),
        ("timestamp,close\n08/30/2024,15\n", "08/30/2024"),
        ("timestamp,close\n2024-08-30,high\n", "high"),
        ("timestamp,close\n2024-08-30T15:15:00,15\n", "00:00 UTC"),
        ("timestamp,close\n2024-08-30T00:00:00+09:00,15\n", "00:00 UTC"),
    ],
)
def test_a_csv_file_of_another_shape_is_unavailable(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "vix.csv"
    path.write_text(text)
    with pytest.raises(Unavailable, match=reason):
        FileVix(path).history(NOW)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"date": [date(2024, 8, 30)], "close": [15.0]}),
        pa.table({"timestamp": [date(2024, 8, 30)], "value": [15.0]}),
        pa.table({"timestamp": ["yesterday"], "close": [15.0]}),
        pa.table({"timestamp": [None, date(2024, 8, 30)], "close": [15.0, 15.0]}),
        pa.table({"timestamp": [[1]], "close": [15.0]}),
        pa.table({"timestamp": [date(2024, 8, 30)], "close": ["high"]}),
        pa.table({"timestamp": [date(2024, 8, 30)], "close": pa.array([None], pa.float64())}),
    ],
    ids=["no timestamp", "no close", "text", "a null", "a list", "text close", "null close"],
)
def test_a_parquet_file_of_another_shape_is_unavailable(tmp_path: Path, table: pa.Table) -> None:
    path = tmp_path / "vix.parquet"
    pq.write_table(table, path)
    with pytest.raises(Unavailable, match="VIX file"):
        FileVix(path).history(NOW)


def test_damage_and_absence_are_unavailable(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"timestamp": [date(2024, 8, 30)], "close": [15.0]}), whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-30])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80" * 9)
    for path in (cut, tmp_path / "binary.csv", tmp_path):
        with pytest.raises(Unavailable, match="not a table"):
            FileVix(path).history(NOW)
    with pytest.raises(Unavailable, match="no such file"):
        FileVix(tmp_path / "absent.parquet").history(NOW)
