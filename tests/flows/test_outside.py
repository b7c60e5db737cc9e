"""What full101 needs from outside: fetched beside all else, kept, recorded; missing where it cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from core.domain.bars import Bars, bar_before, epoch, moment
from core.domain.daily import DAY, Daily
from core.domain.ensemble import Artefact, export, fit
from core.domain.features import SETS, compute, last_row
from core.domain.features.missing import missing
from core.domain.forecast import Meta, load
from core.domain.labels import direction
from core.domain.outside import NOTHING, SERIES, Outside
from core.flows import outside as flow
from core.flows.serving import fetch, foresee, pointer_key
from core.flows.tick import tick
from core.flows.train import Plan, train
from core.ports import Other, Unavailable, World
from tests import road
from tests.domain.surroundings import market, published

FULL = SETS["full101"]
HOUR = timedelta(hours=1)


@dataclass
class Source:
    """Publishes a series; or fails with a sentence while `down`. Counts how often it is asked."""

    series: Daily
    down: str = ""
    asked: list[datetime] = field(default_factory=list)

    def history(self, now: datetime) -> Daily:
        self.asked.append(now)
        if self.down:
            raise Unavailable(self.down)
        known = self.series.published <= epoch(now)
        return Daily(self.series.published[known], self.series.value[known])


@dataclass
class Counted:
    """A Market that counts the questions, and may be down or not there at all."""

    all: Bars
    failure: Exception | None = None
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def bars(self, since: datetime, until: datetime) -> Bars:
        self.asked.append((since, until))
        if self.failure:
            raise self.failure
        return self.all.between(since, until)


@cache
def bars() -> Bars:
    return road.drawn(2600)


@cache
def beyond() -> Outside:
    first, last = int(bars().time[0]) - 90 * DAY, int(bars().time[-1]) + 2 * DAY
    daily = {name: published(name, first, last, seed) for seed, name in enumerate(SERIES, 21)}
    return Outside(daily, market=market(bars()))


@dataclass
class Ground:
    """A road whose book trades on full101, with everything outside at hand."""

    road: road.Road
    sources: dict[str, Source]
    market: Counted

    @property
    def world(self) -> World:
        return self.road.world


@cache
def vix() -> Daily:
    days = bars().time[0] // DAY * DAY + DAY * np.arange(-60, 120)
    return Daily(days, 20.0 + 5.0 * np.sin(np.arange(180)))


def without(daily: Daily, first: int, last: int) -> Daily:
    """Nothing published between two bars."""
    kept = (daily.published < bars().time[first]) | (daily.published > bars().time[last])
    return Daily(daily.published[kept], daily.value[kept])


@cache
def files() -> Artefact:
    """Of a model that has seen each input missing, as after an outage of each."""
    b, there = bars()[:1500], beyond().market
    assert there is not None
    holes = {name: without(daily, 1000, 1250) for name, daily in beyond().daily.items()}
    gap = there[(there.time < b.time[1000]) | (there.time > b.time[1005])]
    rows = compute(FULL, b, "1h", without(vix(), 1000, 1250), outside=Outside(holes, market=gap))
    labels, ends = direction(b, road.SMALL.horizon, road.SMALL.cost)
    keep = np.flatnonzero(np.isfinite(labels) & ~np.isnan(rows).all(axis=1))
    fitted = fit(rows[keep], labels[keep], ends[keep], FULL.names, road.SMALL, keep.astype(np.int64))
    until = moment(b.time[-1]) + HOUR
    meta = Meta(
        symbol="BTC/USDT", timeframe="1h", created=until, feature_set=FULL.name, feature_digest=FULL.digest,
        data_from=moment(b.time[0]), data_until=until, data_digest=b.digest(),
    )  # fmt: skip
    return export(fitted, meta)


def ground(**down: str) -> Ground:
    made = road.road(book=road.small_book("full101"), bars=bars(), daily=vix(), files=files())
    sources = {name: Source(daily, down.get(name, "")) for name, daily in beyond().daily.items()}
    there = beyond().market
    assert there is not None
    other = Counted(there, Unavailable(down["market"]) if "market" in down else None)
    chains: dict[str, Sequence[tuple[str, Any]]] = {name: [("array", source)] for name, source in sources.items()}
    world = replace(made.world, other=Other("ETH/USDT", other), outside=chains)
    return Ground(replace(made, world=world), sources, other)


def record(made: Ground, index: int) -> dict[str, Any]:
    made.road.clock._now = made.road.at(index)
    answer = tick(made.world, made.road.book, made.road.at(index))
    assert answer["outcome"] not in ("busy", "superseded"), answer
    key = f"ticks/{made.road.book.id}@{moment(made.road.bars.time[index]):%Y-%m-%dT%H:%M:%SZ}"
    found = dict(made.world.state.scan("ticks"))
    return found.get(key.partition("/")[2]) or list(found.values())[-1]


def whole(index: int) -> dict[str, float]:
    row = compute(FULL, bars()[: index + 1], "1h", vix(), outside=beyond())[index]
    return dict(zip(FULL.names, row.tolist(), strict=True))


def equal(left: dict[str, float], right: dict[str, float]) -> bool:
    return np.array(list(left.values())).tobytes() == np.array([right[name] for name in left]).tobytes()


def test_the_row_of_a_tick_is_its_row_in_research() -> None:
    """With what had been published, bar after bar, also over midnights and settlements; and the record holds it."""
    made = ground()
    for index in range(1600, 1626):
        row = record(made, index)["row"]
        assert list(row) == list(FULL.names)
        assert equal({name: float(value) for name, value in row.items()}, whole(index)), index


def test_the_record_tells_where_everything_came_from() -> None:
    made = ground(funding="the venue is down")
    made.market.all = market(bars(), lacks=10_000)
    said = record(made, 1600)["outside"]
    assert set(said) == {*SERIES, "market"}
    assert said["dxy"]["source"] == "array"
    assert said["dxy"]["published"] <= moment(bars().time[1600]) + HOUR
    assert said["market"] == {"source": "ETH/USDT", "published": moment(bars().time[1600]) + HOUR, "failures": []}
    assert said["funding"] == {"source": "", "published": None, "failures": ["array: the venue is down"]}


@pytest.mark.parametrize("down", [*SERIES, "market"])
def test_what_is_down_is_missing_and_the_rest_is_there(down: str) -> None:
    made = ground(**{down: "it is down"})
    row = record(made, 1600)["row"]
    gone = {name for name, value in row.items() if np.isnan(float(value))}
    assert gone == {f.name for f in FULL.features if down in f.needs}


def test_a_market_that_does_not_exist_is_missing_and_said() -> None:
    made = ground()
    made.market.failure = ValueError("there is no market 'ETH/USDT'")
    said = record(made, 1600)["outside"]["market"]
    assert said["failures"] == ["there is no market 'ETH/USDT'"]


def test_a_tick_asks_only_for_what_is_new() -> None:
    made = ground()
    made.market.all = market(bars(), lacks=10_000)
    record(made, 1600)
    first = {name: len(source.asked) for name, source in made.sources.items()}
    assert set(first.values()) == {1}
    made.market.asked.clear()
    asked = replace(made.world, vix_every_s=6 * 3600)
    made.road = replace(made.road, world=asked)
    record(made, 1601)
    assert [until - since for since, until in made.market.asked] == [HOUR]  # the newest bar, and no other


def test_a_set_that_needs_none_of_it_asks_for_nothing() -> None:
    made = ground()
    book = road.small_book("vix53")
    assert flow.keys(made.world, book) == []
    assert flow.refresh(made.world, book, {}, made.road.at(1600), made.road.at(1600)) == flow.Found()
    assert flow.history(made.world, book, made.road.at(0), made.road.at(1600)) is NOTHING
    assert not made.market.asked and not any(source.asked for source in made.sources.values())


def test_without_sources_everything_is_missing_and_nothing_fails() -> None:
    made = ground()
    bare = replace(made.world, other=None, outside={})
    made.road = replace(made.road, world=bare)
    row = record(made, 1600)["row"]
    assert {name for name, value in row.items() if np.isnan(float(value))} == {
        f.name for f in FULL.features if set(f.needs) - {"vix"}
    }


def test_funding_and_windows_are_each_books_own_and_the_rest_is_shared() -> None:
    made, book = ground(), road.small_book("full101")
    assert flow.keys(made.world, book) == [
        "series/dxy", "series/us10y", "series/usdjpy", "series/fear_greed", "series/funding.btc",
        "windows/btc.eth-usdt",
    ]  # fmt: skip


def test_the_stored_window_of_the_other_market_is_what_a_row_needs_and_no_more() -> None:
    made = ground()
    record(made, 1600)
    stored = made.world.state.read(["windows/btc.eth-usdt"])["windows/btc.eth-usdt"].data
    assert stored is not None
    assert len(stored["bars"]) <= 48 * FULL.lookback


def test_training_sees_what_ticks_would_have_seen_and_the_manifest_names_what_was_missing() -> None:
    made = ground()
    yields = made.sources["us10y"].series
    made.sources["us10y"].series = Daily(yields.published[:100], yields.value[:100])
    cut = made.sources["dxy"].series
    start, end = (int(np.searchsorted(cut.published, epoch(made.road.at(index)))) for index in (1200, 1500))
    left = np.r_[0:start, end : len(cut)]
    made.sources["dxy"].series = Daily(cut.published[left], cut.value[left])
    plan = Plan(road.SMALL, history_days=100, publish_anyway=True)
    at = made.road.at(len(bars()) - 1)
    made.road.clock._now = at
    answer = train(made.world, made.road.book, plan, at)
    assert answer["outcome"] == "published", answer
    pointer = made.world.state.read([pointer_key("btc")])[pointer_key("btc")].data
    assert pointer is not None
    model = load(fetch(made.world, made.road.book, pointer["version"]), None)
    gone = model.manifest.missing
    assert set(gone) == {"dxy", "us10y", "market"}
    assert len(gone["us10y"]) == 1 and gone["us10y"][0][1] == moment(bars().time[-1]) + HOUR
    (since, until), *_ = gone["dxy"]
    last = moment(cut.published[start - 1]) + timedelta(days=4)
    assert since == last  # the bar that opens then closes when the value is older than its limit
    assert until == moment(cut.published[end]) - HOUR  # the next bar closes when the next value is published
    assert {"dxy_change", "us10y_level"} <= set(model.manifest.missing_ok)


def test_missing_stretches_are_those_of_the_rows_that_are_there() -> None:
    book = bars()[:1000]
    rows = compute(FULL, book, "1h", vix(), outside=NOTHING)
    found = missing(FULL, rows, book, "1h")
    span = (moment(book.time[FULL.lookback - 1]), moment(book.time[-1]) + HOUR)
    assert found == dict.fromkeys(FULL.needs - {"vix"}, (span,))
    assert missing(FULL, rows[:10], book[:10], "1h") == {}


def test_the_past_of_a_market_that_cannot_be_reached_is_no_past_without_it() -> None:
    made = ground(market="it is down")
    with pytest.raises(Unavailable):
        flow.history(made.world, made.road.book, made.road.at(0), made.road.at(900))


def test_for_the_past_other_sources_may_be_named() -> None:
    made = ground()
    longer = Source(beyond().daily["dxy"])
    world = replace(made.world, outside_past={"dxy": [("longer", longer)]})
    known = flow.history(world, made.road.book, made.road.at(0), made.road.at(900))
    assert longer.asked and not made.sources["dxy"].asked
    assert len(known.daily["dxy"]) and not len(known.daily["us10y"])


def test_the_forecast_of_a_tick_is_made_with_the_outside() -> None:
    made = ground()
    b, index = made.road.bars, 1600
    seen = foresee(made.road.book, b[: index + 1], made.road.model, vix(), None, beyond())
    assert record(made, index)["members"] == seen.members
    row = last_row(FULL, b[: index + 1], "1h", vix(), outside=beyond())
    assert np.array(list((seen.row or {}).values())).tobytes() == row.tobytes()
    assert bar_before(made.road.at(index), "1h") == moment(b.time[index])
