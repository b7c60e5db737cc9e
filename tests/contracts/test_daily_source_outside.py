"""What every DailySource promises, run against each adapter of an outside series other than the VIX."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.alternative_fear_greed import AlternativeFearGreed
from core.adapters.ccxt_funding import CcxtFunding
from core.adapters.file_series import FileSeries
from core.adapters.fred_us10y import FredUs10y
from core.adapters.yfinance_macro import YfinanceMacro
from core.domain.bars import epoch, moment
from core.domain.daily import DAY, Daily
from core.domain.outside import SERIES
from core.ports import DailySource, Unavailable

FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 9, 2, tzinfo=UTC)
NOW = datetime(2024, 8, 31, 7, 0, 5, tzinfo=UTC)


def dates(name: str) -> list[datetime]:
    """Every date that the series has, also some after NOW, as a file may hold."""
    step, weekends = timedelta(seconds=SERIES[name].step), SERIES[name].weekends
    all_of_them = [FIRST + i * step for i in range((LAST - FIRST) // step + 1)]
    return [at for at in all_of_them if weekends or at.weekday() < 5]


def values(name: str) -> list[float]:
    low, high, digits = {
        "dxy": (99, 106, 3), "us10y": (3.6, 4.7, 2), "usdjpy": (140, 161, 3), "fear_greed": (10, 90, 0),
        "funding": (-1e-4, 3e-4, 8),
    }[name]  # fmt: skip
    drawn: list[float] = np.random.default_rng(5).uniform(low, high, len(dates(name))).round(int(digits)).tolist()
    return drawn


def published(name: str) -> Daily:
    return SERIES[name].series(np.array([epoch(at) for at in dates(name)], np.int64), np.array(values(name)))


@dataclass
class Bench:
    """A folder, and the text that a loopback server answers with; `asked`: what for."""

    folder: Path
    url: str
    text: str = ""
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            body = here.text.encode()
            self.send_response(here.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Bench(tmp_path, f"http://127.0.0.1:{server.server_port}/answer")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


def yahoo(name: str) -> Callable[[Bench], DailySource]:
    def fetch(ticker: str, first: date, until: date) -> Any:
        """What yfinance gives: midnights of the market's own zone, single-precision closes."""
        import pandas as pd

        zone = {"dxy": "America/New_York", "us10y": "America/Chicago", "usdjpy": "Europe/London"}[name]
        rows = [(at, v) for at, v in zip(dates(name), values(name), strict=True) if first <= at.date() < until]
        index = pd.DatetimeIndex([f"{at:%Y-%m-%d}" for at, _ in rows], tz=zone, name="Date")
        return pd.DataFrame({"Close": np.array([v for _, v in rows], np.float32).astype(np.float64)}, index=index)

    return lambda bench: YfinanceMacro(name, days=400, fetch=fetch)


def fred_text() -> str:
    rows = zip(dates("us10y"), values("us10y"), strict=True)
    lines = ["observation_date,DGS10", *(f"{at:%Y-%m-%d},{v}" for at, v in rows)]
    return "\n".join([*lines[:40], "2024-02-24,.", "2024-02-25,", *lines[40:], ""])


def fred(bench: Bench) -> DailySource:
    bench.text = fred_text()
    return FredUs10y(url=bench.url)


def alternative_text() -> str:
    """As alternative.me answers: newest first, numbers as text."""
    data = [
        {"value": f"{v:.0f}", "value_classification": "Fear", "timestamp": str(epoch(at))}
        for at, v in zip(dates("fear_greed"), values("fear_greed"), strict=True)
    ]
    data[-1]["time_until_update"] = "25675"
    return json.dumps({"name": "Fear and Greed Index", "data": data[::-1], "metadata": {"error": None}})


def alternative(bench: Bench) -> DailySource:
    bench.text = alternative_text()
    return AlternativeFearGreed(url=bench.url)


class Venue:
    """What ccxt gives of a venue with funding: at most a hundred rows from `since` on, stamped milliseconds late."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def fetch_funding_rate_history(self, symbol: str, since: int, limit: int) -> list[dict[str, Any]]:
        self.asked.append(since)
        rows: list[dict[str, Any]] = [
            {"symbol": symbol, "timestamp": epoch(at) * 1000 + 3, "fundingRate": v}
            for at, v in zip(dates("funding"), values("funding"), strict=True)
        ]
        return [row for row in rows if row["timestamp"] >= since][:limit]


def funding(bench: Bench) -> DailySource:
    return CcxtFunding("bybit", "BTC/USDT:USDT", days=120, exchange=Venue())


def of_file(name: str, suffix: str) -> Callable[[Bench], DailySource]:
    def made(bench: Bench) -> DailySource:
        column = {"fear_greed": "value", "funding": "rate"}.get(name, "close")
        if suffix == "csv":
            rows = (f"{at.isoformat()},{v}" for at, v in zip(dates(name), values(name), strict=True))
            (bench.folder / f"{name}.csv").write_text("\n".join([f"timestamp,{column}", *rows, ""]))
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            times = pa.array(dates(name), pa.timestamp("us", tz="UTC"))
            pq.write_table(pa.table({"timestamp": times, column: values(name)}), bench.folder / f"{name}.parquet")
        return FileSeries(bench.folder, name)

    return made


SOURCES: dict[str, tuple[str, Callable[[Bench], DailySource]]] = {
    **{f"yfinance {name}": (name, yahoo(name)) for name in ("dxy", "us10y", "usdjpy")},
    "fred": ("us10y", fred),
    "alternative": ("fear_greed", alternative),
    "ccxt": ("funding", funding),
    **{f"{suffix} {name}": (name, of_file(name, suffix)) for name in SERIES for suffix in ("csv", "parquet")},
}


@pytest.fixture(params=list(SOURCES))
def chosen(request: pytest.FixtureRequest, bench: Bench) -> tuple[str, DailySource]:
    name, factory = SOURCES[request.param]
    return name, factory(bench)


def test_it_gives_what_was_published_by_now_and_nothing_later(chosen: tuple[str, DailySource]) -> None:
    """The same values at the same moments, whichever source is asked."""
    name, source = chosen
    whole = published(name)
    for now in (NOW, NOW - timedelta(days=3, hours=6), datetime(2024, 8, 31, tzinfo=UTC)):
        found, known = source.history(now), whole.published <= epoch(now)
        count = min(len(found), 60)
        assert count == 60
        assert found.published[-60:].tolist() == whole.published[known][-60:].tolist()
        assert found.value[-60:].tolist() == whole.value[known][-60:].tolist()
        assert found.published.dtype == np.int64
        assert (np.diff(found.published) > 0).all()


def test_a_value_is_there_from_its_publication_and_not_before(chosen: tuple[str, DailySource]) -> None:
    name, source = chosen
    last = int(published(name).published[published(name).published <= epoch(NOW)][-1])
    assert source.history(moment(last)).published[-1] == last
    assert source.history(moment(last - 1)).published[-1] < last


def test_before_the_first_value_it_is_unavailable(chosen: tuple[str, DailySource]) -> None:
    with pytest.raises(Unavailable, match=r"1985|2019"):
        chosen[1].history(datetime(1985 if chosen[0] != "funding" else 2019, 1, 1, tzinfo=UTC))


def test_importing_the_adapters_loads_nothing_heavy() -> None:
    names = "yfinance_macro, fred_us10y, alternative_fear_greed, ccxt_funding, file_series"
    program = (
        f"from core.adapters import {names}; import sys; "
        "print({'yfinance', 'pandas', 'urllib3', 'pyarrow', 'ccxt'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# what goes wrong outside


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not FRED's file"),
        ("<html>Sign in</html>\n", "not FRED's file"),
        ("observation_date,DGS10\n2024-08-28,3.8", "breaks off"),
        ("observation_date,DGS10\n2024-08-28,three\n", "line 2 is not a row"),
        ("observation_date,DGS10\n", "no value published"),
    ],
)
def test_what_is_not_freds_file_is_unavailable(bench: Bench, text: str, said: str) -> None:
    bench.text = text
    with pytest.raises(Unavailable, match=said):
        FredUs10y(url=bench.url).history(NOW)


@pytest.mark.parametrize(
    "text",
    [
        "", "<html>", "[]", "{}", '{"data": [{"value": "x", "timestamp": "1"}]}', '{"data": null}',
        '{"data": [{"value": "101", "timestamp": "1724889600"}]}', '{"data": []}',
    ],
)  # fmt: skip
def test_what_is_not_the_index_is_unavailable(bench: Bench, text: str) -> None:
    bench.text = text
    with pytest.raises(Unavailable, match="fear_greed from"):
        AlternativeFearGreed(url=bench.url).history(NOW)


@pytest.mark.parametrize("made", [FredUs10y, AlternativeFearGreed])
def test_an_answer_with_another_status_or_none_is_unavailable(bench: Bench, made: Any) -> None:
    bench.status, bench.text = 503, fred_text()
    with pytest.raises(Unavailable, match="status 503"):
        made(url=bench.url).history(NOW)
    with pytest.raises(Unavailable, match="no answer"):
        made(url="http://127.0.0.1:9/nobody", timeout_s=0.5).history(NOW)


def test_fred_is_asked_for_the_days_that_are_wanted(bench: Bench) -> None:
    bench.text = fred_text()
    FredUs10y(days=30, url=bench.url).history(NOW)
    assert bench.asked == ["/answer?id=DGS10&cosd=2024-08-01"]


def test_yahoo_is_asked_for_the_right_ticker_and_its_failures_are_said() -> None:
    asked = []

    def fetch(ticker: str, first: date, until: date) -> Any:
        asked.append((ticker, first, until))
        raise ConnectionError("429 Too Many Requests")

    for name in ("dxy", "us10y", "usdjpy"):
        with pytest.raises(Unavailable, match=f"{name} from yfinance: ConnectionError: 429"):
            YfinanceMacro(name, days=10, fetch=fetch).history(NOW)
    assert [ticker for ticker, _, _ in asked] == ["DX-Y.NYB", "^TNX", "JPY=X"]
    assert {(first, until) for _, first, until in asked} == {(date(2024, 8, 21), date(2024, 9, 1))}
    with pytest.raises(Unavailable, match="not a table"):
        YfinanceMacro("dxy", fetch=lambda *_: {"Close": []}).history(NOW)


def test_funding_is_read_page_by_page_and_only_of_the_days_that_are_wanted() -> None:
    venue = Venue()
    found = CcxtFunding("bybit", "BTC/USDT:USDT", days=60, exchange=venue).history(NOW)
    assert len(found) == 180
    assert len(venue.asked) <= 4
    assert venue.asked[0] == (epoch(NOW) - 60 * DAY) * 1000


@pytest.mark.parametrize(("venue", "said"), [("nowhere", "no venue"), ("bitbank", "no history of funding")])
def test_a_venue_without_funding_is_unavailable(venue: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        CcxtFunding(venue, "BTC/JPY").history(NOW)


def test_a_file_that_is_not_there_or_not_such_a_table_is_unavailable(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="no such file"):
        FileSeries(bench.folder, "dxy").history(NOW)
    (bench.folder / "dxy.csv").write_text("day,price\n2024-01-01,1\n")
    with pytest.raises(Unavailable, match="not a table"):
        FileSeries(bench.folder, "dxy").history(NOW)
    (bench.folder / "dxy.csv").write_text("timestamp,close\n2024-01-01T05:00:00Z,1\n")
    with pytest.raises(Unavailable, match="00:00 UTC"):
        FileSeries(bench.folder, "dxy").history(NOW)
