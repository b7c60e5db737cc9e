"""train: publishes what it judged, or refuses with the reason; the live model is never half replaced."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.bars import Bars, close_time, moment
from core.domain.ensemble import Gate
from core.domain.forecast import KINDS, MEMBERS, Kind, asked, load
from core.domain.forecast.manifest import encode
from core.flows.claim import tick_key
from core.flows.serving import fetch, pointer_key
from core.flows.tick import tick
from core.flows.train import Plan, train
from core.ports import Document, Unavailable, Write
from tests.road import HOUR, SMALL, ArrayMarket, Road, drawn, road, small_book
from tests.road import vix as real_vix

LAX = Gate(rows=1, auc_margin=0.0, mean_tolerance=10.0)
STRICT = Gate(auc_margin=0.5)
BARS = 2000


@pytest.fixture
def made() -> Road:
    made = road(small_book())
    made.world.state.commit([Write(pointer_key("btc"), None)])
    return made


def plan(gate: Gate = LAX, **more: Any) -> Plan:
    return Plan(SMALL, history_days=80, gate=gate, **more)


def at(made: Road) -> datetime:
    return moment(made.bars.time[BARS]) + timedelta(minutes=1)


def pointer(made: Road) -> Document | None:
    return made.world.state.read([pointer_key("btc")])[pointer_key("btc")].data


def train_once(made: Road, **more: Any) -> Document:
    return train(made.world, made.book, plan(**more), at(made))


def test_what_was_judged_is_published_and_the_next_tick_trades_on_it(made: Road) -> None:
    said = train_once(made)
    assert said["outcome"] == "published"
    live = pointer(made)
    assert live is not None
    assert (live["version"], live["previous"]) == (said["version"], None)
    model = load(fetch(made.world, made.book, said["version"]), live["manifest_sha256"])
    assert model.manifest.metrics == said["metrics"]
    answered = tick(made.world, made.book, made.at(BARS))
    assert (answered["model"], answered["outcome"]) == (said["version"], answered["outcome"])
    assert answered["outcome"] in ("traded", "stayed_out")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_trained_published_and_traded_on(made: Road, kind: Kind) -> None:
    chosen = Plan(msgspec.structs.replace(SMALL, model=kind), history_days=80, gate=LAX)
    said = train(made.world, made.book, chosen, at(made))
    assert said["outcome"] == "published"
    model = load(fetch(made.world, made.book, said["version"]), None)
    assert model.manifest.model == kind
    assert tick(made.world, made.book, made.at(BARS))["model"] == said["version"]
    name = tick_key("btc", moment(made.bars.time[BARS]))
    record = made.world.state.read([name])[name].data or {}
    assert list(record["members"]) == [MEMBERS[place] for place in asked(kind)]
    assert 0.0 <= record["view"]["p_up"] <= 1.0


def test_a_model_knows_how_its_features_and_bars_were_in_training(made: Road) -> None:
    model = load(fetch(made.world, made.book, train_once(made)["version"]), None)
    assert set(model.manifest.reference) == set(model.manifest.names)
    low, high = model.manifest.levels["close"]
    learnt = made.bars[BARS - 80 * 24 : BARS].close
    assert learnt.min() <= low < np.median(learnt) < high <= learnt.max()


def test_a_refused_model_leaves_the_live_one_and_says_why(made: Road) -> None:
    first = train_once(made)
    before, files = pointer(made), made.world.models.names("")
    said = train(made.world, made.book, plan(STRICT), at(made) + HOUR)
    assert said["outcome"] == "refused"
    assert "AUC" in said["reason"]
    assert "version" not in said
    assert pointer(made) == before
    assert made.world.models.names("") == files
    assert first["version"] == (before or {})["version"]


def test_a_paper_book_may_publish_a_refused_model_with_its_warning(made: Road) -> None:
    said = train(made.world, made.book, plan(STRICT, publish_anyway=True), at(made))
    assert said["outcome"] == "published"
    assert any("AUC" in warning for warning in said["warnings"])
    assert (pointer(made) or {})["warnings"] == said["warnings"]
    assert [alert["severity"] for _, alert in made.world.state.scan("outbox")] == ["warning"]


def test_the_one_before_stays_and_is_named(made: Road) -> None:
    first = train_once(made)
    second = train(made.world, made.book, plan(), at(made) + 30 * HOUR)
    assert (pointer(made) or {})["previous"] == first["version"]
    assert second["version"] != first["version"]
    assert fetch(made.world, made.book, first["version"])


def test_training_again_on_the_same_bars_is_the_same_model(made: Road) -> None:
    assert train_once(made)["version"] == train_once(made)["version"]


def test_nothing_after_its_time_is_learnt_from(made: Road) -> None:
    said = train_once(made)
    cut = replace(made.world, market=ArrayMarket(made.bars[:BARS]))
    assert train(cut, made.book, plan(), at(made))["version"] == said["version"]
    model = load(fetch(made.world, made.book, said["version"]), None)
    assert model.manifest.data_until == close_time(moment(made.bars.time[BARS - 1]), "1h")


@pytest.mark.parametrize(("bars", "says"), [(300, "too few"), (730, "")])
def test_too_little_history_is_refused_with_a_sentence(made: Road, bars: int, says: str) -> None:
    short = replace(made.world, market=ArrayMarket(made.bars[BARS - bars : BARS]))
    said = train(short, made.book, plan(), at(made))
    assert said["outcome"] == "refused"
    assert says in said["reason"]
    assert len(said["reason"]) > 20
    assert pointer(made) is None


def test_a_market_that_does_not_answer_fails_and_changes_nothing(made: Road) -> None:
    class Silent:
        def bars(self, since: datetime, until: datetime) -> Bars:
            raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        train(replace(made.world, market=Silent()), made.book, plan(), at(made))
    assert pointer(made) is None


def test_files_come_before_the_pointer(made: Road) -> None:
    class Full:
        """A model store that is full after two files."""

        def __init__(self, files: Any) -> None:
            self._files, self._left = files, 2

        def __getattr__(self, name: str) -> Any:
            return getattr(self._files, name)

        def put(self, name: str, data: bytes) -> None:
            self._left -= 1
            if self._left < 0:
                raise Unavailable("the disk is full")
            self._files.put(name, data)

    with pytest.raises(Unavailable, match="full"):
        train(replace(made.world, models=Full(made.world.models)), made.book, plan(), at(made))
    assert pointer(made) is None
    assert train_once(made)["outcome"] == "published"


def test_a_training_that_was_overtaken_does_not_take_the_newer_model_down(made: Road) -> None:
    class Overtaken:
        """A state store in which another training promotes its model just before ours."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def commit(self, writes: Any, watch: Any = None) -> Any:
            self._store.commit([Write(pointer_key("btc"), {"version": "newer"})])
            return self._store.commit(writes, watch)

    said = train(replace(made.world, state=Overtaken(made.world.state)), made.book, plan(), at(made))
    assert said["outcome"] == "busy"
    assert pointer(made) == {"version": "newer"}


def test_shuffled_outcomes_do_not_pass_the_gate() -> None:
    """On a market in which nothing can be known, the gate refuses, whatever the model has learnt by heart."""
    rng = np.random.default_rng(5)
    steps = np.exp(rng.normal(0, 0.006, len(drawn())))
    close = np.round(40_000 * np.cumprod(steps), 1)
    opened = np.concatenate([[40_000.0], close[:-1]])
    noise = Bars(
        drawn().time, opened, np.maximum(opened, close) + 20, np.minimum(opened, close) - 20, close, drawn().volume
    )
    made = road(small_book(), noise)
    said = train(made.world, made.book, plan(Gate()), at(made))
    assert said["outcome"] == "refused"


def test_the_vix_is_learnt_from_when_there_is_one() -> None:
    bars = drawn()
    made = road(small_book("vix53"), bars, real_vix())
    said = train(made.world, made.book, plan(), at(made))
    assert said["outcome"] == "published"
    model = load(fetch(made.world, made.book, said["version"]), None)
    assert "vix_level" in model.manifest.names
    assert len(encode(model.manifest)) < 40_000  # it is read at every cold start
    blind = train(replace(made.world, vix=[]), made.book, plan(), at(made))
    assert blind["outcome"] == "refused"
    assert "vix" in blind["reason"]
