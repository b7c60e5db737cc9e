"""drift: told once a day, from what the ticks wrote down; silent at all other times, and never in a tick's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from core.domain.alerts import Alert, understood
from core.domain.bars import Bars, moment, pack
from core.domain.daily import none
from core.domain.drift import WEEK
from core.domain.features import SETS, compute
from core.flows import drift, window
from core.flows.claim import tick_key
from core.flows.tick import tick
from core.ports import Document, Unavailable, Write
from tests.fakes import Call, delayed
from tests.road import HOUR, Road, drawn, road, small_book, trained

LEARNT = 1500
BOOK = small_book()
NAMES = SETS[BOOK.features].names
MIDNIGHT = 1679  # the bar that closes a day, a good week after those that were learnt from
CLOSED = moment(drawn().time[MIDNIGHT]) + HOUR


def made_of(bars: Bars) -> Road:
    """A world of `bars`, with the model of the first of those that were drawn."""
    return road(BOOK, bars, files=trained(BOOK, drawn(), none(), LEARNT))


def written(change: Callable[[Document], None] = lambda row: None) -> Road:
    """A world in which the ticks of the week before MIDNIGHT have written down their rows, changed."""
    made = made_of(drawn())
    rows = compute(SETS[BOOK.features], drawn()[: MIDNIGHT + 3], "1h", none())
    for index in range(MIDNIGHT - WEEK - 5, MIDNIGHT + 3):
        row = dict(zip(NAMES, rows[index].tolist(), strict=True))
        change(row)
        record = {"row": row, "features": {"digest": SETS[BOOK.features].digest}}
        made.world.state.commit([Write(tick_key("btc", moment(drawn().time[index])), record)])
    made.world.state.commit([Write(window.key(BOOK), {"bars": pack(drawn()[MIDNIGHT - 700 : MIDNIGHT])})])
    return made


def in_percent(row: Document) -> None:
    row |= {name: row[name] * 100 for name in NAMES[:6]}


def watch(made: Road, index: int = MIDNIGHT, **world: Any) -> list[Write]:
    bar = moment(drawn().time[index])
    return drift.watch(replace(made.world, **world), made.book, bar, made.model.manifest)


def alert(write: Write) -> Alert:
    return understood(write.key.partition("/")[2], write.data or {}, CLOSED)


def test_what_is_as_in_training_is_not_told() -> None:
    assert watch(written()) == []


def test_rows_in_another_unit_are_told_with_the_features_names() -> None:
    (write,) = watch(written(in_percent))
    told = alert(write)
    assert write.key == f"outbox/btc-drift-{CLOSED:%Y%m%d}"
    assert (told.event, told.severity, told.book, told.at) == ("drift", "warning", "btc", CLOSED)
    assert "return_1" in told.text
    assert told.fields["rows"] == str(WEEK)
    assert "PSI" in told.fields["return_6"]


def test_wrong_units_are_told_though_no_feature_shows_them() -> None:
    made = written()
    loud = louder(drawn()[MIDNIGHT - 700 : MIDNIGHT], 0, 1000.0)
    made.world.state.commit([Write(window.key(BOOK), {"bars": pack(loud)})])
    (write,) = watch(made)
    assert alert(write).text.startswith("The volume is not in the units of training")


def test_nothing_is_asked_but_at_the_end_of_a_day() -> None:
    made, calls = written(in_percent), list[Call]()
    state = delayed(made.world.state, 0, calls)
    days = [index for index in range(MIDNIGHT - 47, MIDNIGHT + 1) if watch(made, index, state=state)]
    assert days == [MIDNIGHT - 24, MIDNIGHT]
    assert [call.name for call in calls] == ["scan", "read"] * 2


class Broken:
    """A state store of which one method fails, when it is called or while it is gone through."""

    def __init__(self, store: Any, name: str, failure: Exception) -> None:
        self._store, self._name, self._failure = store, name, failure

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._name else getattr(self._store, name)

    def _fail(self, *args: Any) -> Iterator[Any]:
        yield from ()
        raise self._failure


@pytest.mark.parametrize("failure", [Unavailable("no answer"), ValueError("nonsense"), KeyError("field")])
@pytest.mark.parametrize("name", ["scan", "read"])
def test_a_store_that_fails_costs_the_alert_and_nothing_else(name: str, failure: Exception) -> None:
    made = written(in_percent)
    assert watch(made, state=Broken(made.world.state, name, failure)) == []


@pytest.mark.parametrize("damage", [{"row": 7}, {"row": {"return_1": "much"}}, {"features": None}])
def test_a_damaged_record_costs_at_most_the_alert(damage: Document) -> None:
    made = written(in_percent)
    key = tick_key("btc", moment(drawn().time[MIDNIGHT - 3]))
    record = made.world.state.read([key])[key].data or {}
    made.world.state.commit([Write(key, {**record, **damage})])
    assert len(watch(made)) <= 1


def test_ticks_that_made_no_row_are_left_out() -> None:
    made = written(in_percent)
    key = tick_key("btc", moment(drawn().time[MIDNIGHT - 3]))
    made.world.state.commit([Write(key, {"row": {}, "features": {"digest": SETS[BOOK.features].digest}})])
    assert alert(*watch(made)).fields["rows"] == str(WEEK - 1)


def test_an_older_model_another_models_rows_or_no_model_is_unknown() -> None:
    made = written(in_percent)
    known = made.model.manifest
    bar = moment(drawn().time[MIDNIGHT])

    def told(manifest: Any) -> int:
        return len(drift.watch(made.world, BOOK, bar, manifest))

    assert told(known) == 1
    assert told(msgspec.structs.replace(known, reference={}, levels={})) == 0
    assert told(msgspec.structs.replace(known, feature_digest="another")) == 0
    assert told(None) == 0


def louder(bars: Bars, since: int, times: float) -> Bars:
    time, opened, high, low, close, volume = bars.columns()
    return Bars(time, opened, high, low, close, np.where(np.arange(len(bars)) < since, volume, volume * times))


def days_told(made: Road, first: int, last: int) -> list[datetime]:
    """The days of which a person is told, ticking and watching bar by bar."""
    told = []
    for index in range(first, last + 1):
        tick(made.world, made.book, made.at(index))
        told += [alert(write).at for write in watch(made, index)]
    return told


def test_on_the_road_a_week_in_other_units_is_told_once_a_day_and_a_usual_one_never() -> None:
    loud, first = made_of(louder(drawn(), MIDNIGHT + 1, 1000.0)), MIDNIGHT - 130
    assert days_told(loud, first, MIDNIGHT + 1) == []
    days = days_told(loud, MIDNIGHT + 2, MIDNIGHT + 7 * 24)
    assert days == [CLOSED + day * 24 * HOUR for day in range(1, 8)]
