"""The VIX through yfinance, with recorded answers in place of the download."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.adapters.yfinance_vix import YfinanceVix
from core.domain.bars import epoch
from core.ports import Unavailable

NOW = datetime(2024, 8, 30, 13, 0, 5, tzinfo=UTC)
PROGRAM = """
import yfinance
yfinance.set_tz_cache_location({cache!r})
yfinance.config.network.proxy = "http://127.0.0.1:{port}"
from datetime import UTC, datetime
from core.adapters.yfinance_vix import YfinanceVix
from core.ports import Unavailable
try:
    YfinanceVix(timeout_s=1).history(datetime(2024, 8, 30, tzinfo=UTC))
except Unavailable as error:
    print(error)
"""


def recorded() -> pd.DataFrame:
    """An answer of `Ticker("^VIX").history`: the last row is of the day that is still running."""
    days = ["2024-08-26", "2024-08-27", "2024-08-28", "2024-08-29", "2024-08-30"]
    columns = {
        "Open": [16.270000457763672, 16.209999084472656, 15.510000228881836, 16.540000915527344, 15.670000076293945],
        "High": [16.670000076293945, 16.809999465942383, 17.889999389648438, 16.56999969482422, 15.890000343322754],
        "Low": [15.8100004196167, 15.369999885559082, 15.460000038146973, 15.1899995803833, 15.510000228881836],
        "Close": [16.149999618530273, 15.430000305175781, 17.110000610351562, 15.649999618530273, 15.569999694824219],
        "Volume": [0, 0, 0, 0, 0],
    }
    return pd.DataFrame(columns, index=pd.DatetimeIndex(days, tz="America/Chicago", name="Date"))


def answering(answer: Any) -> YfinanceVix:
    return YfinanceVix(fetch=lambda first, until: answer)


def failing(first: date, until: date) -> Any:
    raise ConnectionError("too many requests, rate limited")


def test_the_running_days_row_is_no_close_yet() -> None:
    series = answering(recorded()).history(NOW)
    assert series.value.tolist() == [16.15, 15.43, 17.11, 15.65]
    assert series.published[-1] == epoch(datetime(2024, 8, 30, tzinfo=UTC))


def test_it_asks_for_the_days_before_now_only() -> None:
    asked: list[tuple[date, date]] = []

    def fetch(first: date, until: date) -> pd.DataFrame:
        asked.append((first, until))
        return recorded()

    YfinanceVix(days=10, fetch=fetch).history(NOW)
    assert asked == [(date(2024, 8, 20), date(2024, 8, 31))]


def test_whatever_it_raises_is_unavailable_with_its_reason() -> None:
    with pytest.raises(Unavailable, match="ConnectionError: too many requests"):
        YfinanceVix(fetch=failing).history(NOW)


@pytest.mark.parametrize(
    "answer",
    [
        pd.DataFrame(),
        pd.DataFrame({"Close": []}, index=pd.DatetimeIndex([])),
        recorded().drop(columns="Close"),
        recorded().reset_index(drop=True),
        recorded().assign(Close="n/a"),
        pd.concat([recorded()[["Close"]], recorded()[["Close"]]], axis=1),
        recorded().assign(Close=float("nan")),
        None,
        {"chart": {"error": "Not Found"}},
    ],
    ids=["empty", "no rows", "no close", "no dates", "text", "two closes", "NaN", "None", "a dict"],
)
def test_an_answer_of_another_shape_is_unavailable(answer: Any) -> None:
    with pytest.raises(Unavailable, match="VIX from yfinance"):
        answering(answer).history(NOW)


def test_the_real_download_without_a_way_out_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound and not listening: a proxy that refuses every connection
        closed.bind(("127.0.0.1", 0))
        program = PROGRAM.format(cache=str(tmp_path), port=closed.getsockname()[1])
        root = Path(__file__).parents[2]
        done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("VIX from yfinance: ConnectionError: "), done.stderr
