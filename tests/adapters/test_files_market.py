from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from core.adapters.files_market import FilesMarket, from_parquet, load, read_table, to_parquet
from core.domain.bars import BadBars, moment
from core.ports import Missing, Unavailable
from tests.adapters.candle_venues import rows, walk

ROOT = Path(__file__).parents[2]
DATA = ROOT / "../shared/data"
BARS = walk(60)
SINCE, END = moment(BARS.time[0]), moment(BARS.time[-1]) + timedelta(hours=1)
HEADER = "timestamp,open,high,low,close,volume"


def lines(header: str = HEADER) -> list[str]:
    return [header, *(f"{at},{','.join(values)}" for at, values in rows(BARS))]


def written(path: Path, text: list[str]) -> Path:
    path.write_text("\n".join(text) + "\n")
    return path


def reason(path: Path, timeframe: str | None = "1h") -> str:
    with pytest.raises(BadBars) as refused:
        load(path, timeframe)
    assert str(path) in str(refused.value)
    return refused.value.reason


def test_parquet_round_trip(tmp_path: Path) -> None:
    data = to_parquet(BARS)
    assert from_parquet(data).digest() == BARS.digest()
    (tmp_path / "bars.parquet").write_bytes(data)
    assert load(tmp_path / "bars.parquet", None).bars.digest() == BARS.digest()


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(BadBars, match="month 3: is no whole parquet file") as refused:
        from_parquet(to_parquet(BARS)[:-20], "month 3")
    assert refused.value.reason == "damaged_file"


def test_csv_plain_packed_and_with_a_banner(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.csv", lines())
    banner = written(tmp_path / "b.csv", ["https://vendor.example", *lines(), ""])
    packed = tmp_path / "c.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, banner, packed):
        assert load(path, "1h").bars.digest() == BARS.digest()


def test_what_is_not_there_is_missing_and_unavailable_as_a_market(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(Missing, match="download bars first"):
            load(path, "1h")
        with pytest.raises(Unavailable):
            FilesMarket(path, "1h").bars(SINCE, END)


def test_damaged_files(tmp_path: Path) -> None:
    cut, binary, packed = tmp_path / "cut.parquet", tmp_path / "binary.csv", tmp_path / "cut.csv.gz"
    cut.write_bytes(to_parquet(BARS)[:1000])
    binary.write_bytes(b"\xff\xfe\x00\x01" * 50)
    packed.write_bytes(gzip.compress("\n".join(lines()).encode())[:-30])
    other = written(tmp_path / "bars.xlsx", lines())
    assert [reason(path) for path in (cut, binary, packed, other)] == ["damaged_file"] * 4


def test_empty_files(tmp_path: Path) -> None:
    assert reason(written(tmp_path / "header.csv", [HEADER])) == "empty"
    (tmp_path / "nothing.csv").touch()
    assert reason(tmp_path / "nothing.csv") == "empty"


def test_a_line_cut_off_is_named(tmp_path: Path) -> None:
    text = lines()
    text[-1] = text[-1][:20]
    with pytest.raises(BadBars, match="line 61 has 3 fields, the header 6") as refused:
        read_table(written(tmp_path / "a.csv", text))
    assert refused.value.reason == "ragged"


def test_text_in_a_number_names_file_row_and_column(tmp_path: Path) -> None:
    text = lines()
    text[5] = text[5].rsplit(",", 1)[0] + ",n/a"
    path = written(tmp_path / "a.csv", text)
    with pytest.raises(BadBars, match=r"a\.csv: row 5, column 'volume': 'n/a' is not a number"):
        load(path, "1h")


def test_a_wrong_column_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadBars, match="is 'volumne' meant"):
        load(written(tmp_path / "a.csv", lines(HEADER.replace("volume", "volumne"))), "1h")


def test_another_timeframe_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(to_parquet(walk(60, step=60)))
    with pytest.raises(BadBars, match="holds 1m bars, 1h bars are wanted") as refused:
        FilesMarket(tmp_path / "a.parquet", "1h").bars(SINCE, END)
    assert refused.value.reason == "wrong_timeframe"


def test_overlapping_months_must_agree(tmp_path: Path) -> None:
    (tmp_path / "1.parquet").write_bytes(to_parquet(BARS[:40]))
    (tmp_path / "2.parquet").write_bytes(to_parquet(BARS[30:]))
    got = load(tmp_path, "1h")
    assert got.bars.digest() == BARS.digest()
    assert got.repairs == ("rows were out of order: sorted by time", "10 rows were exact repetitions: dropped")
    (tmp_path / "2.parquet").write_bytes(to_parquet(walk(60, seed=2)[30:]))
    assert reason(tmp_path) == "conflicting_duplicates"


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet(BARS))
    market = FilesMarket(path, "1h")
    assert len(market.bars(SINCE, END)) == 60
    path.unlink()
    assert len(market.bars(SINCE, SINCE + timedelta(hours=3))) == 3


def test_without_pyarrow_the_way_to_get_it_is_said() -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from core.adapters.files_market import from_parquet\n"
        "from core.ports import Unavailable\n"
        "try: from_parquet(b'')\n"
        "except Unavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pip install -r requirements-train.txt" in done.stdout


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent: vendors' own CSV files are not read")
def test_a_vendors_file_with_a_banner_is_read_up_to_its_real_fault() -> None:
    assert reason(DATA / "baddata/cdd_binance_btcusdt_1h_raw.csv.gz") == "conflicting_duplicates"
