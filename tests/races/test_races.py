"""The switch stops. `python -m tests.races` runs the same for long."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest

from core.domain.switch import Mode
from tests.races.__main__ import raced, report
from tests.races.race import MANY, Race, Told, Track, Wish, wish
from tests.races.recorder import Aim
from tests.races.verdict import (
    FAILED,
    Cancelled,
    Committed,
    Event,
    Flipped,
    Named,
    Reading,
    Submitted,
    judged,
    order_of,
)

NUMBER = count(1_000_000)  # a project of its own for each race
BEFORE_COMMIT, BEFORE_READING, BEFORE_SUBMIT = (
    Aim("intent", 0, "before"),
    Aim("intent", 0, "after"),
    Aim("submit", 0, "before"),
)


def aimed(emulator: str, aim: Aim, **changes: object) -> Race:
    plain = Wish(next(NUMBER), "flat", "global", "halt", aim, 0.0, prior=True)
    return Race(plain._replace(**changes), Track(emulator))  # type: ignore[arg-type]


def careless(emulator: str, of: str, aim: Aim) -> Told:
    plain = Wish(next(NUMBER), "flat", "global", "halt", aim, 0.0, prior=True)
    return Race(plain, Track(emulator, careless=of)).run()  # type: ignore[arg-type]


def test_whenever_the_switch_is_flipped_nothing_is_planned_or_sent_after_it(firestore_emulator: str) -> None:
    all_of_them = raced([wish(seed) for seed in range(40)], Track(firestore_emulator), workers=3)
    told = [each for each in all_of_them if each]
    assert len(told) >= 35
    assert [(each.wish, each.verdict.wrong) for each in told if each.verdict.wrong] == []
    assert sum(each.verdict.close for each in told) >= 10
    counts: Counter[str] = sum((each.verdict.counts for each in told), Counter())
    assert min(counts[name] for name in ("caught by the commit", "caught by the last reading", "orders sent")) > 0
    assert f"{len(told)} races" in report(all_of_them, 1.0)


@pytest.mark.parametrize("scope", ["global", "book", "breakers"])
@pytest.mark.parametrize("prior", [True, False])
def test_each_moment_has_who_catches_it(firestore_emulator: str, scope: str, prior: bool) -> None:
    """Before the commit: the commit; after it: the last reading; after that the order is on its way, and no other."""
    moments = {BEFORE_COMMIT: "caught by the commit", BEFORE_READING: "caught by the last reading"}
    for aim, name in (moments | {BEFORE_SUBMIT: "on the wire"}).items():
        race = aimed(firestore_emulator, aim, scope=scope, prior=prior)
        told = race.run()
        assert (told.verdict.wrong, told.verdict.counts[name], told.verdict.close) == ([], 1, True)
        assert len(race.desk.venue.submitted) == (1 if aim == BEFORE_SUBMIT else 0)


def test_a_switch_that_cannot_be_read_sends_nothing(firestore_emulator: str) -> None:
    for what in ("unreadable", "unreachable"):
        for scope in ("global", "book", "breakers"):
            race = aimed(firestore_emulator, BEFORE_READING, what=what, scope=scope)
            told = race.run()
            assert (told.verdict.wrong, race.desk.venue.submitted) == ([], [])


def test_stops_that_rest_stay_through_halt(firestore_emulator: str) -> None:
    race = aimed(firestore_emulator, Aim("reading", 0, "before"), start="held")
    told = race.run()
    assert told.answers == ("switch_halt", "switch_halt")
    assert [stop.intent.amount for stop in race.desk.venue.stops] == [race.desk.venue.position]
    assert not any(isinstance(event, Cancelled) for event in told.seen)


def test_reduce_lets_the_exit_go_and_keeps_the_entry_back(firestore_emulator: str) -> None:
    race = aimed(firestore_emulator, BEFORE_READING, start="held", what="reduce")
    told = race.run()
    assert told.verdict.wrong == []
    assert [intent.leg for intent in race.desk.venue.submitted] == ["entry", "stop", "exit"]
    assert not race.desk.venue.position


def test_a_flow_that_drops_the_watch_is_caught(firestore_emulator: str) -> None:
    wrong = careless(firestore_emulator, "commit", BEFORE_COMMIT).verdict.wrong
    assert wrong == ["intent: entry committed after the flip, on a reading from before it"]


def test_a_flow_that_does_not_believe_its_last_reading_is_caught(firestore_emulator: str) -> None:
    wrong = careless(firestore_emulator, "reading", BEFORE_READING).verdict.wrong
    assert wrong == ["order: entry sent though its last reading said halt"]


# -- the verdict itself, on what was never seen

ENTRY, EXIT = Named("a", 0, "entry"), Named("b", 0, "exit")
AT = [f"2024-05-01T13:00:0{second}Z" for second in range(9)]


def read(version: str | None, began: int) -> Reading:
    return Reading(version, began)


def wrong(*seen: Event, mode: Mode = "halt") -> list[str]:
    return judged(seen, mode).wrong


GOOD: list[Event] = [read(None, 0), Committed((ENTRY,), AT[1]), read(None, 2), Submitted((ENTRY,), AT[3])]


def test_nothing_is_wrong_where_the_flip_comes_last_or_is_obeyed() -> None:
    assert wrong(*GOOD, Flipped(AT[4])) == []
    assert wrong(Flipped(AT[0]), read(AT[0], 1)) == []
    assert wrong(read(None, 0), Flipped(AT[1]), Committed((ENTRY,), None), read(AT[1], 3)) == []
    assert wrong(*GOOD[:2], Flipped(AT[2]), read(AT[2], 3)) == []


def test_an_order_on_the_wire_is_counted_and_not_wrong() -> None:
    verdict = judged([*GOOD[:3], Flipped(AT[2]), GOOD[3]], "halt")
    assert (verdict.wrong, verdict.counts["on the wire"], verdict.close) == ([], 1, True)


@pytest.mark.parametrize(
    ("seen", "mode", "words"),
    [
        ([read(None, 0), Flipped(AT[1]), Committed((ENTRY,), AT[2])], "halt", "committed after the flip"),
        ([read(None, 0), Flipped(AT[1]), Committed((EXIT,), AT[2])], "reduce", "committed after the flip"),
        ([Flipped(AT[1]), read(AT[1], 1), Committed((ENTRY,), AT[2])], "reduce", "decided on a reading that said"),
        ([*GOOD[:2], Flipped(AT[2]), read(AT[2], 3), GOOD[3]], "halt", "though its last reading said"),
        ([*GOOD[:2], Flipped(FAILED), read(FAILED, 3), GOOD[3]], "halt", "though its last reading said"),
        ([*GOOD[:2], GOOD[3]], "halt", "without a reading since"),
        ([*GOOD[:2], read(None, 1), GOOD[3]], "halt", "without a reading since"),
        ([Flipped(AT[1]), read(AT[1], 1), Cancelled(1)], "halt", "resting stops taken back"),
        ([Flipped(AT[1]), read(None, 1)], "halt", "did not return it"),
    ],
)
def test_each_kind_of_wrong_is_seen(seen: list[Event], mode: Mode, words: str) -> None:
    (sentence,) = wrong(*seen, mode=mode)
    assert words in sentence


def test_exits_may_go_where_only_new_risk_is_forbidden() -> None:
    knew = [Flipped(AT[0]), read(AT[0], 1), Committed((EXIT,), AT[1]), read(AT[0], 3), Submitted((EXIT,), AT[2])]
    assert [wrong(*knew, mode=mode) for mode in ("reduce", "flatten")] == [[], []]  # type: ignore[arg-type]
    assert len(wrong(*knew, mode="halt")) == 2


def test_times_of_firestore_are_sorted_by_what_they_mean() -> None:
    times = ["2024-05-01T13:00:00Z", "2024-05-01T13:00:00.000000001Z", "2024-05-01T13:00:00.5Z"]
    times += ["2024-05-01T13:00:00.500001Z", "2024-05-01T13:00:01.000Z"]
    assert sorted(set(times), key=order_of) == times
    with pytest.raises(ValueError, match="no time"):
        order_of("yesterday")


def test_every_start_mode_and_moment_is_drawn() -> None:
    wishes = [wish(seed) for seed in range(5000)]
    assert len({(each.start, each.scope, each.what) for each in wishes}) == 2 * 3 * 5
    moments = {(each.start, *each.aim) for each in wishes if each.aim}
    assert len(moments) == 3 * sum(sum(each.values()) for each in MANY.values())
