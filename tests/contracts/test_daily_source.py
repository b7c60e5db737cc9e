"""What every DailySource promises, run against each adapter of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from core.adapters.cboe_vix import CboeVix
from core.adapters.file_vix import FileVix
from core.adapters.simulated_vix import SimulatedVix
from core.adapters.yfinance_vix import YfinanceVix
from core.domain.bars import epoch
from core.ports import DailySource, Unavailable

FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 8, 30, tzinfo=UTC)  # a Monday and a Friday
NOW = datetime(2024, 8, 31, 7, 0, 5, tzinfo=UTC)


def weekdays() -> list[datetime]:
    days = [FIRST + timedelta(days=i) for i in range((LAST - FIRST).days + 1)]
    return [day for day in days if day.weekday() < 5]


def closes() -> list[float]:
    values: list[float] = np.random.default_rng(5).uniform(12, 30, len(weekdays())).round(2).tolist()
    return values


def rows() -> list[tuple[datetime, float]]:
    return list(zip(weekdays(), closes(), strict=True))


def frame() -> object:
    """What yfinance gives: midnights in Chicago, single-precision closes."""
    import pandas as pd

    index = pd.DatetimeIndex([f"{day:%Y-%m-%d}" for day in weekdays()], tz="America/Chicago", name="Date")
    return pd.DataFrame({"Close": np.array(closes(), np.float32).astype(np.float64)}, index=index)


def cboe_text() -> str:
    lines = [f"{day:%m/%d/%Y},1.000000,1.000000,1.000000,{close:.6f}" for day, close in rows()]
    return "\r\n".join(["DATE,OPEN,HIGH,LOW,CLOSE", *lines, ""])


def csv_text() -> str:
    return "\n".join(["timestamp,close", *(f"{day:%Y-%m-%d},{close}" for day, close in rows()), ""])


def write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = pa.array(weekdays(), pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"timestamp": days, "close": closes()}), path)


@dataclass
class Bench:
    """Where the adapters find their data: a folder, and the text that a loopback server answers with."""

    folder: Path
    url: str
    text: str = ""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = here.text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Bench(tmp_path, f"http://127.0.0.1:{server.server_port}/VIX_History.csv")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


def yahoo(bench: Bench) -> DailySource:
    return YfinanceVix(days=300, fetch=lambda first, until: frame())


def cboe(bench: Bench) -> DailySource:
    bench.text = cboe_text()
    return CboeVix(url=bench.url)


def parquet_file(bench: Bench) -> DailySource:
    write_parquet(bench.folder / "vix.parquet")
    return FileVix(bench.folder / "vix.parquet")


def csv_file(bench: Bench) -> DailySource:
    (bench.folder / "vix.csv").write_text(csv_text())
    return FileVix(bench.folder / "vix.csv")


def simulated(bench: Bench) -> DailySource:
    return SimulatedVix(seed=3)


Factory = Callable[[Bench], DailySource]
SOURCES: list[Factory] = [yahoo, cboe, parquet_file, csv_file, simulated]
REAL_VALUES: list[Factory] = [yahoo, cboe, parquet_file, csv_file]


@pytest.fixture(params=SOURCES, ids=lambda factory: factory.__name__)
def source(request: pytest.FixtureRequest, bench: Bench) -> DailySource:
    factory: Factory = request.param
    return factory(bench)


def test_publications_increase_strictly_and_none_is_after_now(source: DailySource) -> None:
    for now in (NOW, datetime(2024, 8, 30, 23, 59, 59, tzinfo=UTC), datetime(2024, 6, 3, 12, tzinfo=UTC)):
        published = source.history(now).published
        assert (np.diff(published) > 0).all()
        assert published[-1] <= epoch(now)
        assert published.dtype == np.int64


def test_values_are_positive_and_finite(source: DailySource) -> None:
    series = source.history(NOW)
    assert len(series.value) == len(series.published)
    assert np.isfinite(series.value).all()
    assert (series.value > 0).all()


def test_it_gives_at_least_the_last_sixty(source: DailySource) -> None:
    series = source.history(NOW)
    assert len(series) >= 60
    assert series.published[-60] >= epoch(NOW) - 90 * 86400


def test_fridays_value_is_there_at_saturday_midnight_and_not_before(source: DailySource) -> None:
    midnight = datetime(2024, 8, 31, tzinfo=UTC)
    assert source.history(midnight).published[-1] == epoch(midnight)
    assert source.history(midnight - timedelta(seconds=1)).published[-1] == epoch(midnight) - 86400


def test_an_earlier_now_sees_the_same_values_and_no_later_ones(source: DailySource) -> None:
    whole = source.history(NOW)
    for day in range(0, 60, 7):
        then = source.history(NOW - timedelta(days=day))
        kept = whole.published <= epoch(NOW - timedelta(days=day))
        assert then.published[-60:].tolist() == whole.published[kept][-60:].tolist()
        assert then.value[-60:].tolist() == whole.value[kept][-60:].tolist()


def test_before_the_first_value_it_is_unavailable(source: DailySource) -> None:
    with pytest.raises(Unavailable, match="1985"):
        source.history(datetime(1985, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("factory", REAL_VALUES, ids=lambda factory: factory.__name__)
def test_the_values_are_those_of_the_answer_to_two_decimals(factory: Factory, bench: Bench) -> None:
    series = factory(bench).history(NOW)
    assert series.value.tolist() == closes()
    assert series.published.tolist() == [epoch(day) + 86400 for day in weekdays()]


def test_importing_the_adapters_loads_nothing_heavy() -> None:
    names = ", ".join(f"core.adapters.{name}_vix" for name in ("yfinance", "cboe", "file", "simulated"))
    program = f"import {names}, sys; print({{'yfinance', 'pandas', 'urllib3', 'pyarrow'}} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
