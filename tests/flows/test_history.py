"""The past of a market: only what is missing is asked of the venue, and an interrupted download goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.domain.bars import Bars, empty, epoch, merge, moment
from core.flows.history import CHUNK, past
from core.ports import Unavailable, World
from tests.fakes import FixedClock, MemoryModels, MemoryState

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Piece = tuple[datetime, datetime]


def hours(count: int) -> Bars:
    time = epoch(START) + 3600 * np.arange(count, dtype=np.int64)
    close = 40_000.0 + np.arange(count)
    return Bars(time, close, close + 1, close - 1, close, np.ones(count))


@dataclass
class Venue:
    """A market that notes what it was asked for, and may fall silent after so many answers."""

    all: Bars
    asked: list[Piece] = field(default_factory=list)
    answers: int = 10**6

    def bars(self, since: datetime, until: datetime) -> Bars:
        self.asked.append((since, until))
        if len(self.asked) > self.answers:
            raise Unavailable("the venue fell silent")
        return self.all.between(since, until)


@dataclass
class Shelf:
    """A History in memory that notes how many bars were saved at a time."""

    bars: Bars = field(default_factory=empty)
    saved: list[int] = field(default_factory=list)

    def load(self, since: datetime, until: datetime) -> Bars:
        return self.bars.between(since, until)

    def save(self, bars: Bars) -> None:
        self.saved.append(len(bars))
        self.bars = merge(self.bars, bars)


def world(venue: Venue, shelf: Shelf | None) -> World:
    state = MemoryState()
    nowhere = None  # nothing is traded here
    return World(FixedClock(START), venue, [], nowhere, state, MemoryModels(), shelf)  # type: ignore[arg-type]


def same(found: Bars, expected: Bars) -> bool:
    return found.digest() == expected.digest()


UNTIL = START + 100 * DAY
ALL = hours(2400)


def test_everything_is_asked_for_once_in_pieces_and_kept() -> None:
    venue, shelf = Venue(ALL), Shelf()
    assert same(past(world(venue, shelf), "1h", START, UNTIL), ALL)
    assert venue.asked == [
        (START, START + 30 * DAY),
        (START + 30 * DAY, START + 60 * DAY),
        (START + 60 * DAY, START + 90 * DAY),
        (START + 90 * DAY, UNTIL),
    ]
    assert shelf.saved == [720, 720, 720, 240]
    assert same(shelf.bars, ALL)


def test_what_is_stored_is_not_asked_for_again() -> None:
    venue = Venue(ALL)
    assert same(past(world(venue, Shelf(ALL)), "1h", START, UNTIL), ALL)
    assert venue.asked == []


def test_a_day_later_only_the_day_is_asked_for() -> None:
    venue, shelf = Venue(hours(2424)), Shelf(ALL)
    assert same(past(world(venue, shelf), "1h", START + DAY, UNTIL + DAY), hours(2424)[24:])
    assert venue.asked == [(UNTIL, UNTIL + DAY)]


def test_an_earlier_start_asks_for_what_lies_before() -> None:
    venue, shelf = Venue(ALL), Shelf(ALL[240:])
    assert same(past(world(venue, shelf), "1h", START, UNTIL), ALL)
    assert venue.asked == [(START, START + 10 * DAY)]


@pytest.mark.parametrize("lost", [1, 5, 800])
def test_a_hole_in_the_middle_is_filled_and_nothing_else(lost: int) -> None:
    keep = np.ones(2400, bool)
    keep[1000 : 1000 + lost] = False
    venue, shelf = Venue(ALL), Shelf(ALL[keep])
    assert same(past(world(venue, shelf), "1h", START, UNTIL), ALL)
    assert venue.asked[0][0] == START + 1000 * HOUR
    assert venue.asked[-1][1] == START + (1000 + lost) * HOUR
    assert sum(((last - first) for first, last in venue.asked), timedelta(0)) == lost * HOUR
    assert all(last - first <= CHUNK for first, last in venue.asked)


def test_an_interrupted_download_goes_on_where_it_was() -> None:
    shelf = Shelf()
    with pytest.raises(Unavailable):
        past(world(Venue(ALL, answers=2), shelf), "1h", START, UNTIL)
    assert same(shelf.bars, ALL[:1440])
    venue = Venue(ALL)
    assert same(past(world(venue, shelf), "1h", START, UNTIL), ALL)
    assert venue.asked == [(START + 60 * DAY, START + 90 * DAY), (START + 90 * DAY, UNTIL)]


def test_a_gap_that_the_venue_itself_has_stays_a_gap() -> None:
    keep = np.ones(2400, bool)
    keep[1000:1010] = False
    venue, shelf = Venue(ALL[keep]), Shelf()
    assert same(past(world(venue, shelf), "1h", START, UNTIL), ALL[keep])
    venue.asked.clear()
    assert same(past(world(venue, shelf), "1h", START, UNTIL), ALL[keep])
    assert venue.asked == [(START + 1000 * HOUR, START + 1010 * HOUR)], "asked once more, in case it has them now"


def test_a_venue_that_answers_in_smaller_pages_is_asked_again_for_the_rest() -> None:
    class Paging(Venue):
        def bars(self, since: datetime, until: datetime) -> Bars:
            return super().bars(since, until)[:500]

    venue, shelf = Paging(ALL), Shelf()
    for _ in range(2):
        found = past(world(venue, shelf), "1h", START, UNTIL)
    assert same(found, ALL)


def test_a_market_that_holds_its_own_past_is_asked_directly() -> None:
    venue, told = Venue(ALL), list[float]()
    assert same(past(world(venue, None), "1h", START, UNTIL, told.append), ALL)
    assert venue.asked == [(START, UNTIL)]
    assert told == [1.0]


@pytest.mark.parametrize("stored", [0, 900, 2400])
def test_progress_rises_to_one(stored: int) -> None:
    told = list[float]()
    past(world(Venue(ALL), Shelf(ALL[:stored])), "1h", START, UNTIL, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize(("timeframe", "step"), [("15m", 900), ("1d", 86400)])
def test_other_timeframes_have_holes_of_their_own(timeframe: str, step: int) -> None:
    time = epoch(START) + step * np.arange(60, dtype=np.int64)
    level = np.full(60, 40_000.0)
    bars = Bars(time, level, level, level, level, level)
    venue = Venue(bars)
    until = START + timedelta(seconds=60 * step)
    assert same(past(world(venue, Shelf(bars[np.r_[0:20, 21:60]])), timeframe, START, until), bars)
    assert venue.asked == [(moment(time[20]), moment(time[21]))]
