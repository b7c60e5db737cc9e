from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from core.adapters.ccxt_market import CcxtMarket
from core.domain.bars import BadBars, moment
from core.ports import Unavailable
from tests.adapters.candle_venues import FixedClock, Respond, always, bybit, inside_next, loopback, walk, without

FIXTURES = Path(__file__).parents[2] / "../shared/data/fixtures/bybit"
HOUR = timedelta(hours=1)
BARS = walk(30)
SINCE, END = moment(BARS.time[0]), moment(BARS.time[-1]) + HOUR


def market(
    url: str, symbol: str = "BTC/USDT", timeframe: str = "1h", clock: FixedClock | None = None, venue: str = "bybit"
) -> CcxtMarket:
    now = clock or FixedClock(inside_next(BARS))
    return CcxtMarket(venue, symbol, timeframe, {"public": url}, now)


def candles_only(respond: Respond) -> Respond:
    """The venue's instruments as they are, and `respond` for candles."""
    honest = bybit(BARS)
    return lambda path, query: (respond if path.endswith("/kline") else honest)(path, query)


def test_one_recent_bar_takes_one_question_for_candles() -> None:
    with loopback(bybit(BARS)) as venue:
        asked = market(venue.url)
        assert len(asked.bars(END - HOUR, END)) == 1
        assert len(asked.bars(END - 2 * HOUR, END)) == 2
    assert [urlsplit(path).path.rsplit("/", 1)[1] for path in venue.asked] == ["instruments-info", "kline", "kline"]
    assert parse_qs(urlsplit(venue.asked[1]).query)["limit"] == ["1"]


def test_more_than_a_page_is_asked_for_page_by_page() -> None:
    bars = walk(2300)
    with loopback(bybit(bars)) as venue:
        got = market(venue.url, clock=FixedClock(inside_next(bars))).bars(SINCE, moment(bars.time[-1]) + HOUR)
    assert got.digest() == bars.digest()
    assert sum("/kline" in path for path in venue.asked) == 3


def test_an_outage_longer_than_a_page_does_not_end_the_walk() -> None:
    bars = without(walk(2300), 100, 2200)

    def windowed(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if "start" not in query:
            return bybit(bars)(path, query)
        start = int(query["start"]) // 1000
        shown = bars[(bars.time >= start) & (bars.time < start + int(query["limit"]) * 3600)]
        return bybit(shown)(path, query)

    with loopback(windowed) as venue:
        got = market(venue.url, clock=FixedClock(inside_next(bars))).bars(SINCE, moment(bars.time[-1]) + HOUR)
    assert got.digest() == bars.digest()


def test_old_bars_in_place_of_the_wanted_ones_are_no_answer() -> None:
    old = walk(30, SINCE - timedelta(days=30))
    stale = candles_only(lambda path, query: bybit(old)(path, query | {"start": "0"}))
    with loopback(stale) as venue:
        assert not len(market(venue.url).bars(SINCE, END))


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_venue_is_asked_three_times(status: int) -> None:
    with loopback(candles_only(always(status, b""))) as venue, pytest.raises(Unavailable, match="in 3 tries"):
        market(venue.url).bars(SINCE, END)
    assert sum("/kline" in path for path in venue.asked) == 3


def test_a_refusal_is_not_asked_again() -> None:
    body = json.dumps({"retCode": 10001, "retMsg": "Not supported symbols", "result": {}}).encode()
    with loopback(candles_only(always(200, body))) as venue, pytest.raises(Unavailable, match="Not supported symbols"):
        market(venue.url).bars(SINCE, END)
    assert sum("/kline" in path for path in venue.asked) == 1


def test_a_login_page_is_no_market() -> None:
    with (
        loopback(candles_only(always(200, b"<html>log in</html>"))) as venue,
        pytest.raises(Unavailable, match="not JSON"),
    ):
        market(venue.url).bars(SINCE, END)


def test_candles_of_text_are_refused() -> None:
    row = [str(int(SINCE.timestamp()) * 1000), "a", "b", "c", "d", "e", "f"]
    body = json.dumps({"retCode": 0, "retMsg": "OK", "result": {"list": [row]}}).encode()
    with loopback(candles_only(always(200, body))) as venue, pytest.raises((BadBars, Unavailable)):
        market(venue.url).bars(SINCE, END)


@pytest.mark.skipif(not FIXTURES.exists(), reason="../shared/data is absent: bybit's own candle answer is not read")
def test_a_candle_off_the_grid_is_refused() -> None:
    body = (FIXTURES / "http_get_klines_linear.json").read_bytes()
    with loopback(candles_only(always(200, body))) as venue, pytest.raises(BadBars) as refused:
        market(venue.url, clock=FixedClock(END + timedelta(days=90))).bars(SINCE, END + timedelta(days=90))
    assert refused.value.reason == "off_grid"


def test_an_unknown_symbol_names_the_nearest() -> None:
    with loopback(bybit(BARS)) as venue, pytest.raises(ValueError, match="is 'BTC/USDT' meant"):
        market(venue.url, "BTC/USDC").bars(SINCE, END)


@pytest.mark.parametrize(
    ("venue", "timeframe", "said"),
    [
        ("bitbnk", "1h", "is 'bitbank' meant"),
        ("bitflyer", "1h", "bitflyer has no candles"),
        ("bybit", "7m", "bybit has no 7m candles; it has 1m, 3m"),
    ],
)
def test_what_the_venue_cannot_give_is_refused_before_any_request(venue: str, timeframe: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        market("http://127.0.0.1:9", venue=venue, timeframe=timeframe).bars(SINCE, END)


def test_nobody_there_is_unavailable() -> None:
    with loopback(bybit(BARS)) as venue:
        pass
    with pytest.raises(Unavailable, match="did not answer in 3 tries"):
        market(venue.url).bars(SINCE, END)
