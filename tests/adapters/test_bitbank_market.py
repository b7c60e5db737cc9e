from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.adapters.bitbank_market import BitbankMarket, Pace
from core.domain.bars import BadBars, moment
from core.ports import Unavailable
from tests.adapters.candle_venues import FixedClock, always, bitbank, inside_next, loopback, walk

FIXTURES = Path(__file__).parents[2] / "../shared/data/fixtures/bitbank"
HOUR = timedelta(hours=1)
BARS = walk(75)
CLOCK = FixedClock(inside_next(BARS))
NEWEST = moment(BARS.time[-1])


def market(url: str, timeframe: str = "1h", clock: FixedClock = CLOCK) -> BitbankMarket:
    return BitbankMarket("BTC/JPY", timeframe, clock, url)


def refusal(code: int) -> bytes:
    return json.dumps({"success": 0, "data": {"code": code}}).encode()


def test_one_recent_bar_takes_exactly_one_request() -> None:
    with loopback(bitbank(BARS)) as venue:
        assert len(market(venue.url).bars(NEWEST, NEWEST + HOUR)) == 1
    assert venue.asked == [f"/btc_jpy/candlestick/1hour/{NEWEST:%Y%m%d}"]


def test_one_request_per_utc_day_over_a_leap_day() -> None:
    with loopback(bitbank(BARS)) as venue:
        got = market(venue.url).bars(moment(BARS.time[0]), NEWEST + HOUR)
    assert sorted(path.rsplit("/", 1)[1] for path in venue.asked) == ["20240228", "20240229", "20240301", "20240302"]
    assert got.digest() == BARS.digest()


def test_midnight_as_end_does_not_ask_for_the_next_day() -> None:
    with loopback(bitbank(BARS)) as venue:
        market(venue.url).bars(datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    assert [path.rsplit("/", 1)[1] for path in venue.asked] == ["20240229"]


def test_bars_not_closed_yet_are_not_asked_for() -> None:
    with loopback(bitbank(BARS)) as venue:
        assert not len(market(venue.url).bars(NEWEST + HOUR, NEWEST + 100 * HOUR))
    assert venue.asked == []


def test_a_bar_counts_from_the_moment_of_its_close() -> None:
    with loopback(bitbank(BARS)) as venue:
        for now, count in ((NEWEST + HOUR - timedelta(seconds=1), 0), (NEWEST + HOUR, 1)):
            assert len(market(venue.url, clock=FixedClock(now)).bars(NEWEST, NEWEST + HOUR)) == count


def test_four_hours_and_longer_come_in_files_of_a_year() -> None:
    bars = walk(60, datetime(2023, 12, 28, tzinfo=UTC), 4 * 3600)
    clock = FixedClock(moment(bars.time[-1]) + 5 * HOUR)
    with loopback(bitbank(bars)) as venue:
        got = market(venue.url, "4h", clock).bars(moment(bars.time[0]), clock.at)
    assert sorted(venue.asked) == [f"/btc_jpy/candlestick/4hour/{year}" for year in (2023, 2024)]
    assert got.digest() == bars.digest()


def test_a_day_without_a_file_holds_no_bars() -> None:
    with loopback(bitbank(BARS)) as venue:
        got = market(venue.url).bars(moment(BARS.time[0]) - timedelta(days=3), NEWEST + HOUR)
    assert got.digest() == BARS.digest()


def test_a_refusal_names_its_code_and_place() -> None:
    with loopback(always(200, refusal(10002))) as venue, pytest.raises(Unavailable, match="10002: malformed request"):
        market(venue.url).bars(NEWEST, NEWEST + HOUR)
    assert len(venue.asked) == 1


@pytest.mark.parametrize("answer", [(500, b""), (502, b"<html>"), (429, b"{}"), (200, refusal(10008))])
def test_a_busy_venue_is_asked_three_times_with_growing_pauses(answer: tuple[int, bytes]) -> None:
    clock = FixedClock(CLOCK.at)
    with loopback(always(*answer)) as venue, pytest.raises(Unavailable, match="in 3 tries"):
        market(venue.url, clock=clock).bars(NEWEST, NEWEST + HOUR)
    assert len(venue.asked) == 3
    assert len(clock.slept) == 2
    assert 0.25 <= clock.slept[0] <= 0.5 <= clock.slept[1] <= 1.0


def test_a_venue_that_recovers_is_believed() -> None:
    answers = iter([(503, b""), (503, b"")])
    honest = bitbank(BARS)
    with loopback(lambda path, query: next(answers, None) or honest(path, query)) as venue:
        assert len(market(venue.url).bars(NEWEST, NEWEST + HOUR)) == 1


def test_nobody_there_is_unavailable() -> None:
    with loopback(bitbank(BARS)) as venue:
        pass
    with pytest.raises(Unavailable, match="no answer"):
        market(venue.url).bars(NEWEST, NEWEST + HOUR)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"success":1}',
        b'{"success":1,"data":{}}',
        b'{"success":1,"data":{"candlestick":[{"type":"1day","ohlcv":[]}]}}',
        b'{"success":1,"data":{"candlestick":[{"type":"1hour","ohlcv":[["1","1","1","1",1709251200000]]}]}}',
        b'{"success":1,"data":{"candlestick":[{"type":"1hour","ohlcv":[["1","1","1","1","1","noon"]]}]}}',
    ],
)
def test_a_wrong_shape_is_unavailable_and_says_where(body: bytes) -> None:
    with loopback(always(200, body)) as venue, pytest.raises(Unavailable, match="/btc_jpy/candlestick/1hour/"):
        market(venue.url).bars(NEWEST, NEWEST + HOUR)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["1", "2", "1", "abc", "1"], "not_numeric"),
        (["1", "2", "1", "NaN", "1"], "nan"),
        (["1", "2", "1", "3", "1"], "insane"),
        (["0", "0", "0", "0", "1"], "insane"),
    ],
)
def test_values_that_no_market_prints_are_bad_bars(values: list[str], reason: str) -> None:
    candle = [*values, int(NEWEST.timestamp()) * 1000]
    body = json.dumps({"success": 1, "data": {"candlestick": [{"type": "1hour", "ohlcv": [candle]}]}}).encode()
    with loopback(always(200, body)) as venue, pytest.raises(BadBars) as refused:
        market(venue.url).bars(NEWEST, NEWEST + HOUR)
    assert refused.value.reason == reason


@pytest.mark.parametrize(("symbol", "timeframe"), [("btc_jpy", "1h"), ("BTC/JPY:JPY", "1h"), ("BTC/JPY", "3h")])
def test_a_wrong_symbol_or_timeframe_is_refused_at_once(symbol: str, timeframe: str) -> None:
    with pytest.raises(ValueError, match=r"such as 'BTC/JPY'|no 3h candles; it has 1m, 5m"):
        BitbankMarket(symbol, timeframe, CLOCK)


@pytest.mark.skipif(not FIXTURES.exists(), reason="../shared/data is absent: bitbank's own candle answers are not read")
@pytest.mark.parametrize(
    ("day", "timeframe", "count"), [("20180116", "1h", 24), ("20180724", "1h", 24), ("20180116", "1m", 1440)]
)
def test_reads_the_venues_own_answers(day: str, timeframe: str, count: int) -> None:
    kind = {"1h": "1hour", "1m": "1min"}[timeframe]
    body = (FIXTURES / f"derived/candlestick_btc_jpy_{kind}_{day}.json").read_bytes()
    since = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    with loopback(always(200, body)) as venue:
        got = market(venue.url, timeframe).bars(since, since + timedelta(days=1))
    first = json.loads(body)["data"]["candlestick"][0]["ohlcv"][0]
    assert len(got) == count
    assert [str(int(got.open[0])), str(int(got.close[0])), got.volume[0]] == [first[0], first[3], float(first[4])]


class WaitingClock(FixedClock):
    """Time passes only by waiting."""

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def test_never_more_than_ten_questions_within_a_second() -> None:
    clock = WaitingClock(CLOCK.at)
    pace = Pace(10, 1.0, clock)
    starts: list[float] = []
    for _ in range(35):
        pace.wait()
        starts.append(clock.at.timestamp())
        clock.sleep(0.01)
    assert np.all(np.array(starts[10:]) - np.array(starts[:-10]) >= 1.0 - 1e-5)


def test_the_eleventh_file_has_to_wait() -> None:
    for days, waits in ((10, 0), (11, 1)):
        clock = FixedClock(CLOCK.at)
        with loopback(bitbank(BARS)) as venue:
            market(venue.url, clock=clock).bars(NEWEST - timedelta(days=days - 1), NEWEST + HOUR)
        assert len(venue.asked) == days
        assert clock.slept == [1.0] * waits


def test_never_more_than_eight_questions_at_once() -> None:
    running, most, gate = 0, 0, threading.Lock()
    eight, ninth = threading.Barrier(8, timeout=60), threading.Event()
    honest = bitbank(walk(24 * 16))

    def respond(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        nonlocal running, most
        with gate:
            running += 1
            most = max(most, running)
        if most > 8:
            ninth.set()
        eight.wait(20)
        ninth.wait(0.2)
        with gate:
            running -= 1
        return honest(path, query)

    since = datetime(2024, 2, 28, tzinfo=UTC)
    clock = FixedClock(since + timedelta(days=16))
    with loopback(respond) as venue:
        got = market(venue.url, clock=clock).bars(since, clock.at)
    assert most == 8
    assert np.all(np.diff(got.time) == 3600)
