"""The challenger: folded once per bar beside the tick's work, never to its harm; promoted on evidence only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.bars import Bars, moment
from core.domain.challenge import Challenge, Day, began
from core.domain.decide import Foresight
from core.domain.ensemble import Artefact, Gate, Training
from core.domain.forecast import MANIFEST, Model, digest, load
from core.flows.challenge import key
from core.flows.claim import plain, tick_key
from core.flows.serving import folder, foresee, pointer_key, version_of
from core.flows.tick import tick
from core.flows.train import Plan, train
from core.ports import Conflict, Document, Unavailable, Write
from tests.road import HOUR, SMALL, Road, artefact, road, small_book

LAX = Gate(rows=1, auc_margin=0.0, mean_tolerance=10.0)
STRICT = Gate(auc_margin=0.5)
ALONE = msgspec.structs.replace(SMALL, model="lightgbm")
SINCE = datetime(2024, 1, 2, tzinfo=UTC)
FIRST = 1600


@cache
def other() -> Artefact:
    """The challenger: LightGBM alone, trained on the same bars."""
    made = road(small_book())
    return artefact(made.book, made.bars[:1500], made.daily, ALONE)


def stored(made: Road) -> Document:
    """The challenger's files in the store; what the pointer says of it."""
    model = load(other(), None)
    version = version_of(model.manifest, model.version)
    for name, data in other().items():
        made.world.models.put(folder("btc", version) + name, data)
    recipe = msgspec.to_builtins(ALONE)
    return {"version": version, "manifest_sha256": digest(other()[MANIFEST]), "metrics": {}, "recipe": recipe}


def challenged(since: datetime = SINCE) -> Road:
    made = road(small_book())
    pointer = read(made, pointer_key("btc")) or {}
    entry = stored(made) | {"since": since}
    made.world.state.commit([Write(pointer_key("btc"), pointer | {"challenger": entry})])
    return made


def read(made: Road, name: str) -> Document | None:
    return made.world.state.read([name])[name].data


def challenge(made: Road) -> Challenge:
    return msgspec.convert(read(made, key("btc")), Challenge)


def ticks(made: Road, count: int, first: int = FIRST) -> list[Document]:
    answers = []
    for i in range(first, first + count):
        made.clock.advance(made.at(i) - made.clock.now())
        answers.append(tick(made.world, made.book, made.at(i)))
    return answers


def documents(made: Road) -> dict[str, bytes]:
    """All that ticks wrote down, packed, but for what is of the challenger, and names that are drawn for each claim."""
    names = ("books", "ticks", "windows", "outbox", "models", "paper", "accounts", "breakers")
    found = {f"{name}/{id_}": document for name in names for id_, document in made.world.state.scan(name)}
    found["models/btc"] = {name: value for name, value in found["models/btc"].items() if name != "challenger"}
    found["books/btc"]["lease"] = None
    return {name: msgspec.msgpack.encode(document) for name, document in found.items()}  # NaN is equal to NaN here


# -- a bar


def test_both_shadows_go_along_with_the_ticks_and_the_champion_s_is_the_paper_book_itself() -> None:
    made = challenged()
    ticks(made, 60)
    known, book = challenge(made), read(made, "books/btc") or {}
    assert known.bar == moment(made.bars.time[FIRST + 59])
    assert str(known.champion.state.equity) == book["state"]["equity"]
    assert str(known.champion.state.holding.position) == book["state"]["holding"]["position"]
    assert known.champion.state.closed == book["state"]["closed"] > 0
    assert known.challenger.state.equity != known.champion.state.equity
    assert sum(day.scored for day in known.days) > 20
    assert sum(day.bars for day in known.days) == 59


def test_it_forecasts_on_the_same_row_as_the_champion() -> None:
    made = challenged()
    (said,) = ticks(made, 1)
    record = read(made, tick_key("btc", moment(made.bars.time[FIRST]))) or {}
    row = np.array(list(record["row"].values()))
    awaited = challenge(made).awaited[0]
    assert awaited.challenger == load(other(), None).score(row)[0]
    assert awaited.champion == record["view"]["p_up"] == made.model.score(row)[0]
    assert said["model"] == version_of(made.model.manifest, made.model.version)


def test_what_ticks_answer_and_write_down_is_the_same_with_and_without_a_challenger() -> None:
    alone, beside = road(small_book()), challenged()
    assert ticks(alone, 30) == ticks(beside, 30)
    assert documents(alone) == documents(beside)
    assert list(alone.world.state.scan("challengers")) == []


def test_the_same_ticks_give_the_same_challenge() -> None:
    one, two = challenged(), challenged()
    ticks(one, 25), ticks(two, 25)
    assert challenge(one) == challenge(two)


def test_a_tick_that_comes_twice_folds_once() -> None:
    made = challenged()
    ticks(made, 5)
    before = made.world.state.read([key("btc")])
    ticks(made, 1, FIRST + 4)
    assert made.world.state.read([key("btc")]) == before


def test_a_tick_that_died_before_the_challenger_loses_one_bar_of_it_and_no_more() -> None:
    made = challenged()
    ticks(made, 3)
    hollow = replace(made, world=replace(made.world, models=Broken(made.world.models), cache={}))
    ticks(hollow, 1, FIRST + 3)
    assert challenge(made).bar == moment(made.bars.time[FIRST + 2])
    made.world.cache.clear()
    ticks(made, 2, FIRST + 4)
    assert challenge(made).bar == moment(made.bars.time[FIRST + 5])
    assert sum(day.bars for day in challenge(made).days) == 4


class Broken:
    """A model store from which the challenger's files cannot be had."""

    def __init__(self, models: Any, failure: Callable[[], Exception] = lambda: Unavailable("no answer")) -> None:
        self._models, self._failure = models, failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)

    def get(self, name: str) -> bytes:
        model = load(other(), None)
        if version_of(model.manifest, model.version) in name:
            raise self._failure()
        return bytes(self._models.get(name))


class Hostile:
    """A state store that fails whoever touches the challenge."""

    def __init__(self, state: Any, failure: Exception, on: str) -> None:
        self._state, self._failure, self._on = state, failure, on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def read(self, keys: Any) -> Any:
        if self._on == "read" and key("btc") in keys:
            raise self._failure
        return self._state.read(keys)

    def commit(self, writes: Any, watch: Any = None) -> Any:
        if self._on == "commit" and any(write.key == key("btc") for write in writes):
            raise self._failure
        return self._state.commit(writes, watch)


def raising(book: Any, bars: Bars, model: Model | None, daily: Any, problem: Any, *more: Any) -> Foresight:
    if model is not None and model.manifest.model == "lightgbm":
        raise ZeroDivisionError("the challenger breaks")
    return foresee(book, bars, model, daily, problem, *more)


HARM: dict[str, Callable[[Road], Road]] = {
    "its files cannot be had": lambda made: replace(made, world=replace(made.world, models=Broken(made.world.models))),
    "the store breaks in another way": lambda made: replace(
        made, world=replace(made.world, models=Broken(made.world.models, lambda: MemoryError("full")))
    ),
    "its forecast raises": lambda made: replace(made, world=replace(made.world, foresee=raising)),
    **{
        f"{type(failure).__name__} on {on}": lambda made, failure=failure, on=on: replace(  # type: ignore[misc]
            made, world=replace(made.world, state=Hostile(made.world.state, failure, on))
        )
        for failure in (Conflict("taken"), Unavailable("no answer"), RuntimeError("odd"))
        for on in ("read", "commit")
    },
}


@pytest.mark.parametrize("harm", HARM)
def test_a_challenger_that_breaks_does_no_harm(harm: str) -> None:
    alone, beside = road(small_book()), challenged()
    assert ticks(alone, 4) == ticks(HARM[harm](beside), 4)
    assert documents(alone) == documents(beside)
    assert read(beside, key("btc")) is None


@pytest.mark.parametrize("entry", [{}, {"since": None}, {"version": 3}, "nonsense", ["x"], 7])
def test_a_pointer_of_which_the_challenger_is_nonsense_does_no_harm(entry: Any) -> None:
    alone, beside = road(small_book()), road(small_book())
    pointer = read(beside, pointer_key("btc")) or {}
    beside.world.state.commit([Write(pointer_key("btc"), pointer | {"challenger": entry})])
    assert ticks(alone, 2) == ticks(beside, 2)
    assert judge(beside)["reason"] == "there is no challenger"
    said = train(beside.world, beside.book, plan(), at(beside))
    assert said["outcome"] == "published"
    assert "challenger" not in (read(beside, pointer_key("btc")) or {})


def test_with_little_time_left_the_challenger_waits_for_another_bar() -> None:
    made = challenged()

    class Slow:
        """A state store at which writing down the decision takes most of the lease."""

        def __getattr__(self, name: str) -> Any:
            return getattr(made.world.state, name)

        def commit(self, writes: Any, watch: Any = None) -> Any:
            if any(write.key.startswith("ticks/") for write in writes):
                made.clock.advance(timedelta(seconds=0.75 * made.world.lease_s))
            return made.world.state.commit(writes, watch)

    said = ticks(replace(made, world=replace(made.world, state=Slow())), 1)[0]
    assert said["outcome"] in ("traded", "stayed_out")
    assert read(made, key("btc")) is None


def test_without_a_challenger_nothing_more_is_read_or_imported(caplog: pytest.LogCaptureFixture) -> None:
    made, reads = road(small_book()), []

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return getattr(made.world.state, name)

        def read(self, keys: Any) -> Any:
            reads.extend(keys)
            return made.world.state.read(keys)

    ticks(replace(made, world=replace(made.world, state=Noting())), 2)
    assert reads
    assert not any(name.startswith("challengers") for name in reads)
    assert "hourhand.challenge" not in {record.name for record in caplog.records}
    code = "import sys, core.flows.tick; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "core.flows.tick" in loaded
    assert not {"core.flows.challenge", "core.domain.challenge", "core.domain.backtest"} & set(loaded)


def test_another_challenge_begins_anew_and_a_damaged_one_too() -> None:
    made = challenged()
    ticks(made, 3)
    pointer = read(made, pointer_key("btc")) or {}
    later = {**pointer["challenger"], "since": SINCE + HOUR}
    made.world.state.commit([Write(pointer_key("btc"), pointer | {"challenger": later})])
    ticks(made, 2, FIRST + 3)
    assert challenge(made).since == SINCE + HOUR
    assert sum(day.bars for day in challenge(made).days) == 1
    made.world.state.commit([Write(key("btc"), {"since": "?"})])
    ticks(made, 1, FIRST + 5)
    assert sum(day.bars for day in challenge(made).days) == 0


def test_a_promotion_in_the_meantime_leaves_nothing_of_the_old_challenge() -> None:
    made = challenged()

    class Promoted(Hostile):
        """A state store in which the challenger is promoted while a tick folds."""

        def read(self, keys: Any) -> Any:
            found = self._state.read(keys)
            if key("btc") in keys:
                self._state.commit([Write(pointer_key("btc"), {"version": "new"})])
            return found

    ticks(replace(made, world=replace(made.world, state=Promoted(made.world.state, Conflict(""), ""))), 1)
    assert read(made, key("btc")) is None


# -- the verdict


def at(made: Road) -> datetime:
    return moment(made.bars.time[2000]) + timedelta(minutes=1)


def plan(training: Training = SMALL, gate: Gate = LAX, **more: Any) -> Plan:
    return Plan(training, history_days=80, gate=gate, **more)


def judge(made: Road) -> Document:
    return train(made.world, made.book, plan(judge_only=True), at(made))


def put(made: Road, gained: float, days: int = 30, trades: int = 40) -> Challenge:
    """A challenge that has gone on for so many days."""
    noise = np.random.default_rng(2).normal(0, 0.001, days)
    known = began(made.book, SINCE, SINCE)
    state = msgspec.structs.replace(known.challenger.state, closed=trades)
    found = msgspec.structs.replace(
        known,
        bar=SINCE,
        days=tuple(Day(day=f"{i}", bars=24, gained=gained + x) for i, x in enumerate(noise.tolist())),
        challenger=msgspec.structs.replace(known.challenger, state=state),
    )
    made.world.state.commit([Write(key("btc"), plain(found))])
    return found


def test_evidence_promotes_by_one_commit_with_the_evidence_and_an_alert() -> None:
    made = challenged()
    before, entry = read(made, pointer_key("btc")) or {}, (read(made, pointer_key("btc")) or {})["challenger"]
    put(made, 0.01)
    said = judge(made)
    assert (said["outcome"], said["version"]) == ("promoted", entry["version"])
    after = read(made, pointer_key("btc")) or {}
    assert (after["version"], after["manifest_sha256"]) == (entry["version"], entry["manifest_sha256"])
    assert (after["previous"], after["promoted_at"]) == (before["version"], at(made))
    assert after["evidence"]["gained_p_better"] < 0.00625
    assert after["evidence"]["days"] == 30.0
    assert "challenger" not in after
    assert read(made, key("btc")) is None
    ((_, alert),) = made.world.state.scan("outbox")
    assert (alert["event"], alert["title"]) == ("model_promoted", "the challenger is live")
    assert ticks(made, 1)[0]["model"] == entry["version"]


def test_without_evidence_nothing_changes_but_the_count_of_looks() -> None:
    made = challenged()
    known, before = put(made, 0.0), read(made, pointer_key("btc"))
    said = judge(made)
    assert (said["outcome"], said["challenge"]["outcome"]) == ("judged", "not_yet")
    assert read(made, pointer_key("btc")) == before
    assert challenge(made) == msgspec.structs.replace(known, looks=1)
    assert "look 2 of 4 is due after 56 days" in judge(made)["reason"]
    assert challenge(made).looks == 1
    assert list(made.world.state.scan("outbox")) == []


def test_a_worse_one_is_dropped_and_the_live_model_stays() -> None:
    made = challenged()
    before = read(made, pointer_key("btc")) or {}
    put(made, -0.01)
    assert judge(made)["challenge"]["outcome"] == "drop"
    assert read(made, pointer_key("btc")) == {name: before[name] for name in before if name != "challenger"}
    assert read(made, key("btc")) is None
    ((_, alert),) = made.world.state.scan("outbox")
    assert (alert["event"], alert["title"]) == ("model_refused", "the challenger was dropped")
    assert judge(made)["reason"] == "there is no challenger"


def test_a_bar_that_is_folded_while_it_is_judged_is_not_lost() -> None:
    made = challenged()
    put(made, 0.0)

    class Overtaken(Hostile):
        """A state store in which a tick folds a bar between the reading and the first commit."""

        moved = False

        def commit(self, writes: Any, watch: Any = None) -> Any:
            if not self.moved:
                self.moved = True
                known = msgspec.structs.replace(challenge(made), bar=SINCE + HOUR)
                made.world.state.commit([Write(key("btc"), plain(known))])
            return self._state.commit(writes, watch)

    judge(replace(made, world=replace(made.world, state=Overtaken(made.world.state, Conflict(""), ""))))
    assert (challenge(made).bar, challenge(made).looks) == (SINCE + HOUR, 1)


# -- training


def test_a_challenger_is_published_beside_the_live_model_and_trades_on_paper_only() -> None:
    made = road(small_book())
    before = read(made, pointer_key("btc")) or {}
    said = train(made.world, made.book, plan(ALONE, challenger=True), at(made))
    assert (said["outcome"], said["role"]) == ("published", "challenger")
    after = read(made, pointer_key("btc")) or {}
    assert {name: after[name] for name in before} == before
    assert (after["challenger"]["version"], after["challenger"]["since"]) == (said["version"], at(made))
    assert after["challenger"]["recipe"]["model"] == "lightgbm"
    assert list(made.world.state.scan("outbox")) == []
    assert ticks(made, 1, 2001)[0]["model"] == before["version"]
    assert challenge(made).since == at(made)


def test_a_challenger_passes_the_same_gate_and_needs_a_live_model() -> None:
    made = road(small_book())
    files = made.world.models.names("")
    said = train(made.world, made.book, plan(gate=STRICT, challenger=True, publish_anyway=True), at(made))
    assert said["outcome"] == "refused"
    assert made.world.models.names("") == files
    made.world.state.commit([Write(pointer_key("btc"), None)])
    said = train(made.world, made.book, plan(challenger=True), at(made))
    assert (said["outcome"], said["reason"]) == ("refused", "there is no live model to challenge: train one first")


def test_trained_anew_with_the_same_settings_it_goes_on_with_others_it_begins_anew() -> None:
    made = challenged()
    known = put(made, 0.0, days=20)
    train(made.world, made.book, plan(ALONE, challenger=True), at(made))
    entry = (read(made, pointer_key("btc")) or {})["challenger"]
    assert entry["since"] == SINCE
    assert entry["version"] != stored(made)["version"]
    assert challenge(made) == known
    forest = msgspec.structs.replace(SMALL, model="forest")
    train(made.world, made.book, plan(forest, challenger=True), at(made))
    assert (read(made, pointer_key("btc")) or {})["challenger"]["since"] == at(made)


def test_training_the_live_model_leaves_the_challenger_on_trial() -> None:
    made = challenged()
    known, entry = put(made, 0.0, days=20), (read(made, pointer_key("btc")) or {})["challenger"]
    said = train(made.world, made.book, plan(), at(made))
    assert (said["outcome"], said["role"], said["challenge"]["outcome"]) == ("published", "live", "not_yet")
    assert (read(made, pointer_key("btc")) or {})["challenger"] == entry
    assert challenge(made) == known


def test_the_weekly_training_promotes_first_and_then_goes_on_with_what_was_promoted() -> None:
    made = challenged()
    put(made, 0.01)
    assert train(made.world, made.book, plan(), at(made))["outcome"] == "promoted"
    said = train(made.world, made.book, plan(), at(made))
    assert said["outcome"] == "published"
    model = load({name: made.world.models.get(folder("btc", said["version"]) + name) for name in other()}, None)
    assert model.manifest.model == "lightgbm"
    assert "evidence" in (read(made, pointer_key("btc")) or {})
    said = train(made.world, made.book, plan(follow=False), at(made))
    assert "recipe" not in (read(made, pointer_key("btc")) or {})
    assert said["outcome"] == "published"
    train(made.world, made.book, plan(), at(made))
    assert train(made.world, made.book, plan(), at(made))["version"] == said["version"]
