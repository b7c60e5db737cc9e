from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.domain.bars import BadBars, Bars, moment, refusal
from core.domain.quality import Cleaned, clean
from tests.adapters.candle_venues import walk, without

DATA = Path(__file__).parents[2] / "../shared/data"
NAMES = ("timestamp", "open", "high", "low", "close", "volume")

needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent: real files are not judged")


def raw(bars: Bars, **other: Any) -> dict[str, Any]:
    return dict(zip(NAMES, bars.columns(), strict=True)) | other


def taken(bars: Bars, rows: Any) -> Bars:
    return bars[np.asarray(rows, np.intp)]


def changed(bars: Bars, **other: NDArray[Any]) -> Bars:
    return replace(bars, **other)


def reason(columns: dict[str, Any], timeframe: str | None = "1h") -> str:
    with pytest.raises(BadBars) as refused:
        clean(columns, timeframe, "here.csv")
    assert str(refused.value).startswith("here.csv")
    return refused.value.reason


def real(name: str) -> dict[str, Any]:
    path = DATA / name
    if path.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(path, use_threads=False)
        return {column: table[column].to_numpy() for column in table.column_names}
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = list(csv.reader(file))
    head = 0 if "close" in ",".join(rows[0]).lower() else 1
    return dict(zip(rows[head], zip(*rows[head + 1 :], strict=True), strict=True))


BARS = walk(400)

# --- what is repaired


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(40)),
    st.lists(st.integers(0, 39), max_size=20),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_order_repetitions_and_mixed_units_are_repaired(order: list[int], twice: list[int], in_ms: list[bool]) -> None:
    bars = BARS[:40]
    messy = taken(bars, order + twice)
    factor = np.where(in_ms[: len(messy)], 1000, 1)
    got = clean(raw(messy, timestamp=messy.time * factor), "1h", "here.csv")
    assert got.bars.digest() == bars.digest()
    assert any("exact repetitions" in s for s in got.repairs) == bool(twice)
    assert any("ms" in s for s in got.repairs) == (0 < sum(in_ms[: len(messy)]) < len(messy))


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_one_unit_throughout_is_no_repair(factor: int) -> None:
    got = clean(raw(BARS, timestamp=BARS.time * factor), None, "here.csv")
    assert (got.bars.digest(), got.timeframe, got.repairs, got.warnings) == (BARS.digest(), "1h", (), ())


@pytest.mark.parametrize(
    "pattern", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %I-%p"]
)
def test_written_times_are_read(pattern: str) -> None:
    got = clean(raw(BARS, timestamp=[moment(at).strftime(pattern) for at in BARS.time]), "1h", "here.csv")
    assert got.bars.digest() == BARS.digest()
    named = pattern.endswith(("Z", "+00:00"))
    assert got.warnings == (() if named else ("400 times name no time zone and are taken as UTC",))


def test_another_offset_is_turned_into_utc() -> None:
    texts = [moment(at + 9 * 3600).strftime("%Y-%m-%dT%H:%M:%S+09:00") for at in BARS.time]
    assert clean(raw(BARS, timestamp=texts), "1h", "here.csv").bars.digest() == BARS.digest()


def test_a_vendors_names_are_understood_and_the_base_coins_volume_is_taken() -> None:
    theirs: dict[str, Any] = {
        "unix": BARS.time,
        "symbol": ["BTC/USDT"] * len(BARS),
        **{name.title(): column for name, column in zip(NAMES[1:5], BARS.columns()[1:5], strict=True)},
        "Volume BTC": BARS.volume,
        "Volume USDT": BARS.volume * BARS.close,
    }
    assert clean(theirs, "1h", "here.csv").bars.digest() == BARS.digest()
    del theirs["symbol"]
    assert reason(theirs) == "ambiguous_volume"


# --- what is said


def test_an_outage_is_kept_as_a_gap_said_and_refused_at_the_window() -> None:
    got = clean(raw(without(BARS, 100, 133)), "1h", "here.csv")
    assert len(got.bars) == 367
    assert got.warnings[0].startswith("33 bars are absent in 1 gaps, at most 33 after")
    refused = refusal(got.bars[:150], moment(got.bars.time[149]), 100, "1h")
    assert refused is not None
    assert refused[0] == "window_gap"


def test_a_crash_is_believed_but_said() -> None:
    low = BARS.low.copy()
    low[200] *= 0.3
    assert "leaps by more than 50%" in clean(raw(changed(BARS, low=low)), "1h", "here.csv").warnings[0]


# --- what is refused


def test_conflicting_duplicates() -> None:
    other = changed(BARS[7:8], close=BARS.open[7:8])
    both = Bars(*(np.concatenate(pair) for pair in zip(BARS.columns(), other.columns(), strict=True)))
    assert reason(raw(both)) == "conflicting_duplicates"


def test_no_rows() -> None:
    assert reason(raw(BARS[:0])) == "empty"
    assert reason({}) == "empty"


def test_a_missing_column_names_the_nearest() -> None:
    columns = raw(BARS)
    columns["clsoe"] = columns.pop("close")
    with pytest.raises(BadBars, match=r"no column 'close' \(is 'clsoe' meant\?\)") as refused:
        clean(columns, "1h", "here.csv")
    assert refused.value.reason == "missing_column"


@pytest.mark.parametrize("name", ["timestamp", "open", "volume"])
def test_each_column_is_needed(name: str) -> None:
    columns = raw(BARS)
    del columns[name]
    assert reason(columns) == "missing_column"


def test_text_in_a_number_names_row_and_column() -> None:
    texts = [str(value) for value in BARS.high]
    texts[16] = "4,200.5"
    with pytest.raises(BadBars, match=r"row 17, column 'high': '4,200\.5' is not a number") as refused:
        clean(raw(BARS, high=texts), "1h", "here.csv")
    assert refused.value.reason == "not_numeric"


@pytest.mark.parametrize(
    ("value", "why"), [(np.nan, "nan"), (np.inf, "insane"), (-1.0, "insane"), (0.0, "insane"), (1e9, "insane")]
)
def test_values_that_no_market_prints(value: float, why: str) -> None:
    low = BARS.low.copy()
    low[3] = value
    assert reason(raw(changed(BARS, low=low))) == why


@pytest.mark.parametrize("time", ["yesterday", "1970-01-01", "2017-11-20 13-PM", "", "12"])
def test_times_that_are_none(time: str) -> None:
    texts = [moment(at).isoformat() for at in BARS.time]
    texts[5] = time
    assert reason(raw(BARS, timestamp=texts)) == "bad_time"
    assert reason(raw(BARS[:1], timestamp=[time])) == "bad_time"


def test_off_the_grid() -> None:
    assert reason(raw(BARS, timestamp=BARS.time + 1800)) == "off_grid"
    assert reason(raw(BARS, timestamp=BARS.time * 1000 + 3_599_999)) == "off_grid"  # close times
    assert reason(raw(BARS, timestamp=BARS.time * 1000 + 1)) == "off_grid"


def test_minutes_where_hours_are_wanted_and_the_reverse() -> None:
    minutes = walk(400, step=60)
    with pytest.raises(BadBars, match="holds 1m bars, 1h bars are wanted") as refused:
        clean(raw(minutes), "1h", "here.csv")
    assert refused.value.reason == "wrong_timeframe"
    assert reason(raw(BARS), "1m") == "wrong_timeframe"


def test_one_bar_shows_no_timeframe() -> None:
    assert reason(raw(BARS[:1]), None) == "no_timeframe"
    assert len(clean(raw(BARS[:1]), "1h", "here.csv").bars) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 40), st.sampled_from([6, 8, 17]))
def test_a_filled_outage_is_refused_however_it_was_rounded(start: int, count: int, decimals: int) -> None:
    known = np.concatenate([np.arange(start), np.arange(start + count, 400)])
    filled = [np.round(np.interp(np.arange(400), known, column[known]), decimals) for column in BARS.columns()[1:]]
    assert reason(raw(Bars(BARS.time, *filled))) == "interpolated"


def test_bars_carried_forward_with_their_volume_are_refused() -> None:
    source = np.concatenate([np.arange(50), [49, 49, 49], np.arange(53, 400)])
    assert reason(raw(changed(taken(BARS, source), time=BARS.time))) == "interpolated"


def test_a_stretch_that_was_copied_is_refused() -> None:
    source = np.concatenate([np.arange(50), np.arange(45, 395)])
    assert reason(raw(changed(taken(BARS, source), time=BARS.time))) == "repeated"


def chained(bars: Bars) -> Bars:
    open_ = np.concatenate([bars.open[:1], bars.close[:-1]])
    return changed(bars, open=open_, high=np.maximum(bars.high, open_), low=np.minimum(bars.low, open_))


def test_a_clock_that_jumps_is_seen_where_bars_chain() -> None:
    bars = chained(walk(1000))
    assert clean(raw(bars), "1h", "here.csv").warnings == ()
    cut = taken(bars, [i for i in range(1000) if not 300 <= i < 304 and not 700 <= i < 701])
    assert np.all(np.abs(cut.open[[300, 696]] / cut.close[[299, 695]] - 1) > 0.002)
    assert reason(raw(changed(cut, time=bars.time[: len(cut)]))) == "false_time_zone"
    once = taken(bars, [i for i in range(1000) if not 300 <= i < 304])
    assert (
        "hours may be cut out" in clean(raw(changed(once, time=bars.time[: len(once)])), "1h", "here.csv").warnings[0]
    )


def still(bars: Bars, rows: Any) -> Bars:
    volume = bars.volume.copy()
    volume[rows] = 0.0
    return changed(bars, volume=volume)


def test_a_market_that_stood_still() -> None:
    assert "3 bars saw no trade" in clean(raw(still(BARS, [7, 8, 9])), "1h", "here.csv").warnings[0]
    assert reason(raw(still(walk(2000), np.arange(500, 524)))) == "zero_volume"
    assert reason(raw(still(BARS, np.arange(0, 400, 15)))) == "zero_volume"


def test_a_market_too_thin_for_its_timeframe() -> None:
    assert reason(raw(BARS[np.arange(400) % 7 > 0])) == "sparse"


# --- real files

VERDICTS = {
    "binance_btcusdt_1h_20180208_interpolated_gap.csv": "interpolated",
    "binance_btcusdt_1h_20180208_true_gap.parquet": "33 bars are absent in 1 gaps",
    "btcjpy_bitbank_1m_20180808_outage_gaps.parquet": "30 bars are absent in 11 gaps",
    "btcjpy_bitbank_1m_zero_volume_week.parquet": "zero_volume",
    "btcusd_kraken_1h_2013_2014_sparse.parquet": "sparse",
    "cdd_binance_btcusdt_1h_raw.csv.gz": "conflicting_duplicates",
    "cdd_binance_ethusdt_1h_raw.csv.gz": "conflicting_duplicates",
    "cdd_coinbase_btcusd_1h_201709_201711_tzshift_raw.csv": "false_time_zone",
    "freqtrade_ADA_BTC-5m.parquet": "40 bars are absent in 5 gaps",
    "freqtrade_TRX_BTC-5m.parquet": "6 bars are absent in 6 gaps",
    "freqtrade_UNITTEST_BTC-1m.parquet": "717 bars are absent in 538 gaps",
    "freqtrade_XRP_ETH-1m.parquet": "sparse",
}


def verdict(columns: dict[str, Any]) -> str:
    try:
        return " | ".join(clean(columns, None, "here").warnings)
    except BadBars as refused:
        return refused.reason


@needs_data
@pytest.mark.parametrize("name", VERDICTS)
def test_each_known_bad_file_is_recognised(name: str) -> None:
    assert verdict(real(f"baddata/{name}")).startswith(VERDICTS[name])


@needs_data
def test_the_list_of_bad_files_is_whole() -> None:
    assert {path.name for path in (DATA / "baddata").iterdir()} == set(VERDICTS)


@needs_data
def test_mixed_units_of_a_real_file_are_repaired_once_its_conflicts_are_out() -> None:
    columns = real("baddata/cdd_binance_btcusdt_1h_raw.csv.gz")
    keep = np.array(columns["tradecount"]) != "NULL"
    at = np.array(columns["unix"], float)
    keep |= (at > 1_519_862_400) & (at < 1_596_322_800)  # after the outage of February 2018, which is filled in too
    got = clean({name: np.array(column)[keep] for name, column in columns.items()}, "1h", "here")
    assert got.repairs == (
        "timestamps came in s (21238 rows) and ms (7478 rows); each fits one unit only: brought to seconds",
        "the newest row came first: sorted by time",
    )


@needs_data
def test_an_invented_stretch_in_a_file_of_crashes_is_found() -> None:
    assert verdict(real("stress/btcperp_202201_1m.parquet")) == "interpolated"


@needs_data
@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "bars").glob("*.parquet")))
def test_no_good_file_is_refused_or_changed(name: str) -> None:
    columns = real(f"bars/{name}")
    got: Cleaned = clean(columns, "1m" if "_1m_" in name else "1h", name)
    assert len(got.bars) == len(columns["close"])
    assert got.repairs == ()
