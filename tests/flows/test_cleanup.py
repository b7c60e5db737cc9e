"""cleanup: what nobody needs goes, what anybody may need stays, and nothing is lost wherever it dies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core.adapters.dir_models import DirModels
from core.adapters.firestore_state import FirestoreState
from core.adapters.gcs_models import GcsModels
from core.adapters.sqlite_state import SqliteState
from core.domain.orders import Holding
from core.domain.retention import Table
from core.flows.backup import RESTORING
from core.flows.claim import book_key
from core.flows.cleanup import TRIES, cleanup
from core.flows.serving import folder, pointer_key
from core.flows.sweep import DESK, LEASE, sized
from core.ports import Document, ModelStore, Unavailable, Write
from tests.emulators import make_bucket
from tests.fakes import FixedClock, MemoryModels, MemoryState
from tests.flows.yards import (
    DAY,
    HOUR,
    NOW,
    Calls,
    Deployed,
    Died,
    Yard,
    archived,
    bars_until,
    documents,
    files,
    hour,
    leftovers,
    neglected,
    order,
    stands,
    state_of,
    ticked,
    watched,
)

FEW = {"backup_days": 5, "backup_weeks": 1, "backup_months": 1, "backup_years": 1}
SAFE, MODERATE = Table(**FEW), Table(level="moderate", **FEW)
NEVER = ("switches/", "books/", "paper/", "breakers/", "challengers/", "account/", "models/")


@pytest.fixture
def yard() -> Yard:
    return neglected(Yard(platform=Deployed(leftovers())))


@pytest.fixture(params=["memory", "sqlite", "cloud"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Yard:
    """The neglected deployment in each kind of store. What lies in files cannot be made older than it is: so this is
    in a month."""
    if request.param == "memory":
        return neglected(Yard())
    now = datetime.now(UTC).replace(microsecond=0) + 30 * DAY
    if request.param == "sqlite":
        files_ = DirModels(tmp_path / "models")
        made = Yard(SqliteState(tmp_path / "state.db"), files_, files_, clock=FixedClock(now))
    else:
        project, host = f"p{uuid4().hex[:12]}", request.getfixturevalue("storage_emulator")
        at = request.getfixturevalue("firestore_emulator")
        state = FirestoreState(project, emulator_host=at, timeout=60.0)  # it is slow to its first request
        models, history = (GcsModels(make_bucket(host, f"{project}-{name}"), emulator_host=host) for name in "mh")
        made = Yard(state, models, history, clock=FixedClock(now))
    return neglected(made, now)


def everything(yard: Yard) -> tuple[dict[str, bytes], dict[str, int], dict[str, int]]:
    return documents(yard.state), sizes(yard.models), sizes(yard.archive)


def sizes(store: ModelStore) -> dict[str, int]:
    return {file.name: file.size for file in store.stored("")}


def removed(said: Document) -> dict[str, int]:
    return {kind: of["count"] for kind, of in said["removed"].items()}


def names(said: Document, kind: str) -> list[str]:
    return [item["name"] for item in said["items"] if item["kind"] == kind]


def put(yard: Yard, *writes: Write) -> None:
    yard.state.commit(writes)


def told(yard: Yard) -> dict[str, Document]:
    return {name: data for name, data in yard.state.scan("outbox") if data.get("event") == "cleanup"}


# --- the road -------------------------------------------------------------------------------------------------------


def test_what_nobody_needs_goes_and_all_else_stays(anywhere: Yard) -> None:
    """On every kind of store: a dry run that changes nothing and says what will go, the run, and one with nothing to
    do."""
    before = everything(anywhere)
    would = cleanup(anywhere, SAFE, dry_run=True)
    assert everything(anywhere) == before
    said = cleanup(anywhere, SAFE)
    assert (said["outcome"], said["complete"], said["dry_run"], would["dry_run"]) == ("done", True, False, True)
    assert (would["items"], would["removed"]) == (said["items"], said["removed"])
    assert removed(said) == {"record": 35, "model": 1, "document": 5, "backup": 12 - 4}

    now, after = documents(anywhere.state), documents(anywhere.state).keys()
    gone = before[0].keys() - after
    records = {key for key in gone if key.startswith("ticks/")}
    assert {key: before[0][key] for key in records} == archived(anywhere.archive, "btc", "old")
    assert {key.partition("@")[0] for key in records} == {"ticks/btc", "ticks/old"}
    assert len([key for key in after if key.startswith("ticks/btc@")]) == 5
    assert gone - records == {
        "windows/btc.eth-jpy", "windows/old", "windows/old.btc-jpy", "series/funding.old", "guards/old",
    }  # fmt: skip
    assert all(now[key] == data for key, data in before[0].items() if key in after)

    models, history = sizes(anywhere.models), sizes(anywhere.archive)
    gone_files = {name for name in before[1].keys() - models.keys() if not name.startswith("backups/")}
    assert gone_files == {"models/btc/a/manifest.json", "models/btc/a/model.npz"}
    assert {said["backup"], "backups/by-hand.jsonl.gz", "history/bars"} <= history.keys()

    settled = everything(anywhere)
    anywhere.clock.advance(timedelta(seconds=1))
    again = cleanup(anywhere, SAFE)
    assert removed(again) == {}, "the backup of a second ago stays beside the day's newest, for two days"
    assert everything(anywhere)[0] == settled[0]
    assert sizes(anywhere.models).keys() - {again["backup"]} == settled[1].keys()


def test_of_each_thing_it_says_kind_name_bytes_and_why(yard: Yard) -> None:
    said = cleanup(yard, MODERATE)
    assert {item["kind"] for item in said["items"]} == {
        "record", "model", "document", "backup", "source", "image", "revision",
    }  # fmt: skip
    assert all(item["bytes"] > 0 and item["why"] and item["count"] for item in said["items"])
    (model,) = [item for item in said["items"] if item["kind"] == "model"]
    assert (model["name"], model["bytes"]) == ("models/btc/a/", 102)
    assert said["removed"]["model"] == {"count": 1, "bytes": 102}
    first = hour(NOW) - 120 * DAY
    assert names(said, "record")[0] == f"ticks/btc@{first:%Y-%m-%dT%H:%MZ} to {first + 29 * HOUR:%Y-%m-%dT%H:%MZ}"


def test_at_most_two_hundred_things_are_listed_and_all_are_counted() -> None:
    yard = Yard(platform=Deployed([*leftovers(), *many_images(300)]))
    said = cleanup(yard, MODERATE)
    assert (len(said["items"]), said["more"]) == (200, sum(removed(said).values()) - 200)
    assert removed(said)["image"] == 295 + 3


def many_images(count: int) -> list[Any]:
    image = leftovers()[0]
    return [
        image._replace(group="guard", name=f"guard-{number}", at=NOW - number * HOUR, live=False)
        for number in range(count)
    ]


def test_at_level_safe_images_and_revisions_stay(yard: Yard) -> None:
    said = cleanup(yard, SAFE)
    assert removed(said)["source"] == 4
    assert not {"image", "revision"} & said["removed"].keys()


# --- never ----------------------------------------------------------------------------------------------------------

UNSETTLED = {
    "trouble": state_of(NOW - HOUR, trouble="the venue says otherwise"),
    "an unknown order": state_of(NOW - HOUR, orders=(order("unknown"),)),
    "an order under way": state_of(NOW - HOUR, orders=(order("acknowledged"),)),
    "a mismatch": state_of(NOW - HOUR, mismatches=1),
}


@pytest.mark.parametrize("why", UNSETTLED)
def test_the_records_of_a_book_that_is_not_settled_stay_and_that_is_said(yard: Yard, why: str) -> None:
    put(yard, stands("btc", UNSETTLED[why]))
    said = cleanup(yard, SAFE)
    assert [name for name in names(said, "record") if "btc" in name] == []
    assert "The records of btc stay" in said["reason"]


@pytest.mark.parametrize("damage", [{"state": {"holding": 7}}, {"state": "nonsense"}])
def test_the_records_of_a_book_that_cannot_be_read_stay(yard: Yard, damage: Document) -> None:
    put(yard, Write(book_key("btc"), damage))
    said = cleanup(yard, SAFE)
    assert [name for name in names(said, "record") if "btc" in name] == []
    assert "The records of btc stay: its document cannot be read" in said["reason"]


def test_a_position_with_its_resting_stop_is_settled(yard: Yard) -> None:
    held = state_of(
        NOW - HOUR, holding=Holding(cash=Decimal(1), position=Decimal(1)), orders=(order("acknowledged", "stop"),)
    )
    put(yard, stands("btc", held))
    assert [name for name in names(cleanup(yard, SAFE), "record") if "btc" in name]


def test_the_last_records_of_a_book_that_stopped_stay_however_old_they_are() -> None:
    yard = Yard()
    last = hour(NOW) - 200 * DAY
    put(yard, stands("btc", state_of(last)), *[ticked("btc", last - number * HOUR) for number in range(180)])
    assert removed(cleanup(yard, SAFE)) == {"record": 11}
    assert len(list(yard.state.scan("ticks"))) == 169


HELD = {
    "it holds -0.3": state_of(NOW - 60 * DAY, holding=Holding(cash=Decimal(1), position=Decimal("-0.3"))),
    "orders of it are not settled": state_of(NOW - 60 * DAY, orders=(order("unknown"),)),
    "it has open orders": state_of(NOW - 60 * DAY, orders=(order("acknowledged", "stop"),)),
    "it is in trouble": state_of(NOW - 60 * DAY, trouble="who knows"),
    "its document cannot be read": None,
}


@pytest.mark.parametrize("why", HELD)
def test_a_book_that_is_no_more_but_may_hold_something_is_not_touched_and_told_of(yard: Yard, why: str) -> None:
    state = HELD[why]
    put(yard, stands("old", state) if state else Write(book_key("old"), {"state": {"holding": 7}}))
    said = cleanup(yard, SAFE)
    assert [name for name in names(said, "document") if "old" in name] == []
    assert f"The book old is not in the settings, and {why}" in said["reason"]
    (alert,) = told(yard).values()
    assert (alert["severity"], "The book old" in alert["text"]) == ("warning", True)


def test_switches_and_what_is_a_books_own_never_go(yard: Yard) -> None:
    kept = {key: data for key, data in documents(yard.state).items() if key.startswith(NEVER)}
    yard.books = ()
    yard.clock.advance(3000 * DAY)
    for _ in range(2):
        said = cleanup(yard, Table(level="moderate", record_days=7, unneeded_days=1))
        assert said["outcome"] == "done"
    assert {key: data for key, data in documents(yard.state).items() if key.startswith(NEVER)} == kept
    assert "models/btc/c/model.npz" in files(yard.models)


@pytest.mark.parametrize(
    "active",
    [state_of(NOW - 2 * DAY), state_of(NOW - 60 * DAY, looked=NOW - 2 * DAY)],
)
def test_caches_of_a_book_that_has_just_left_the_settings_stay(yard: Yard, active: Any) -> None:
    put(yard, stands("old", active))
    assert [name for name in names(cleanup(yard, SAFE), "document") if "old" in name] == []


def test_a_cache_that_was_used_of_late_stays_and_one_of_no_known_time_goes_with_its_book(yard: Yard) -> None:
    put(yard, Write("windows/old", bars_until(NOW - 2 * DAY)), Write("guards/old", {"ran": None}))
    put(yard, Write("windows/ghost", {"bars": b"damaged"}))
    gone = names(cleanup(yard, SAFE), "document")
    assert ("windows/old" in gone, "guards/old" in gone, "windows/ghost" in gone) == (False, True, False)


# --- models ---------------------------------------------------------------------------------------------------------


def test_a_model_that_is_promoted_while_it_is_cleaned_stays(yard: Yard) -> None:
    """Listed as an orphan, it becomes the live one before it is removed."""
    said = cleanup(Yard(Promoting(yard), yard.models, yard.archive, books=yard.books, clock=yard.clock), SAFE)
    assert "models/btc/a/" not in names(said, "model")
    assert folder("btc", "a") + "model.npz" in files(yard.models)


class Promoting(MemoryState):
    """The state of a yard, in which model `a` is promoted once the pointers have been scanned."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard

    def read(self, keys: Any) -> Any:
        return self.yard.state.read(keys)

    def commit(self, writes: Any, watch: Any = None) -> Any:
        return self.yard.state.commit(writes, watch)

    def scan(self, collection: str, since: str = "", until: str = "\uffff") -> Any:
        yield from list(self.yard.state.scan(collection, since, until))
        if collection == "models":
            put(self.yard, Write(pointer_key("btc"), {"version": "a", "previous": "c"}))


def test_a_model_that_is_being_published_stays(yard: Yard) -> None:
    young = MemoryModels(FixedClock(NOW - HOUR))
    for name, data in files(yard.models).items():
        young.put(name, data)
    yard.models = young
    assert "model" not in cleanup(yard, SAFE)["removed"]


def test_of_a_pointer_that_cannot_be_told_it_is_said_that_its_models_stay(yard: Yard) -> None:
    said = cleanup(yard, SAFE)
    assert "The models of eth stay" in said["reason"]
    assert {f"{folder('eth', version)}model.npz" for version in "ab"} <= files(yard.models).keys()


# --- backups --------------------------------------------------------------------------------------------------------


def test_no_backup_is_thinned_when_none_could_be_taken(yard: Yard) -> None:
    class Full(MemoryModels):
        def put(self, name: str, data: bytes) -> None:
            if name.startswith("backups/") and self.full:
                raise Unavailable("the disk is full")
            super().put(name, data)

        full = False

    store = Full()
    for name, data in files(yard.archive).items():
        store.put(name, data)
    store.full, yard.archive = True, store
    said = cleanup(yard, SAFE)
    assert (said["outcome"], said["backup"]) == ("failed", None)
    assert "backups: the disk is full" in said["reason"]
    assert len(store.names("backups/")) == 13
    assert removed(said)["record"] == 35


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_part_that_fails_keeps_no_other_from_being_done(yard: Yard) -> None:
    wanted = removed(cleanup(yard, MODERATE, dry_run=True))
    parts = {"record": "archive", "model": "models", "image": "platform"}

    class Away:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable(f"{name}: no answer")

    for kind, port in parts.items():
        fresh = neglected(Yard(platform=Deployed(leftovers())))
        setattr(fresh, port, Away())
        said = cleanup(fresh, MODERATE)
        assert (said["outcome"], "no answer" in said["reason"], said["complete"]) == ("failed", True, False)
        missing = {"record", "backup"} if kind == "record" else {kind}
        missing |= {"source", "revision"} if kind == "image" else set()
        assert removed(said) == {name: count for name, count in wanted.items() if name not in missing}
        (alert,) = told(fresh).values()
        assert alert["severity"] == "warning"


def test_a_failure_that_nobody_foresaw_is_told_without_its_text(yard: Yard) -> None:
    class Broken(Deployed):
        def leftovers(self) -> Any:
            raise KeyError("secret")

    yard.platform = Broken()
    said = cleanup(yard, SAFE)
    assert (said["outcome"], "deployed: KeyError, see the log" in said["reason"]) == ("failed", True)
    assert "secret" not in said["reason"]


def test_what_the_platform_refuses_is_left_and_after_some_tries_all_the_rest(yard: Yard) -> None:
    platform = Deployed(leftovers())
    yard.platform = platform
    platform.refuses = {"source-serve-4": Unavailable("it serves")}
    said = cleanup(yard, SAFE)
    assert (said["outcome"], removed(said)["source"]) == ("failed", 3)
    platform.refuses = {one.name: Unavailable("not allowed") for one in platform.found}
    said = cleanup(yard, MODERATE)
    assert said["reason"].count("not allowed") == TRIES


def test_without_a_state_store_nothing_is_begun() -> None:
    class Away(MemoryState):
        def read(self, keys: Any) -> Any:
            raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        cleanup(Yard(state=Away()), SAFE)


# --- dying ----------------------------------------------------------------------------------------------------------


def small() -> Yard:
    return neglected(Yard(platform=Deployed(leftovers())))


def ended(yard: Yard) -> tuple[Any, ...]:
    """All that a cleanup has to do with, but for when backups were taken."""
    assert isinstance(yard.platform, Deployed)
    kept = {key: data for key, data in documents(yard.state).items() if not key.startswith("outbox/")}
    stored = {name: data for name, data in files(yard.archive).items() if not name.startswith("backups/")}
    return kept, files(yard.models), stored, yard.platform.found


def calls_of_a_cleanup() -> int:
    calls = Calls()
    cleanup(watched(small(), calls), MODERATE)
    return calls.count


COUNT = calls_of_a_cleanup()


def dies(calls: Calls, at: int, when: str, failure: Callable[[], BaseException]) -> None:
    def strike(number: int) -> None:
        if number == at:
            raise failure()

    setattr(calls, when, strike)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("failure", [Died, lambda: Unavailable("no answer")])
def test_dying_at_any_call_loses_nothing_and_the_next_run_ends_the_same(when: str, failure: Any) -> None:
    """Before the call, or once it was done but before anybody heard of it; the process, or only the call."""
    undisturbed, originals = small(), documents(small().state)
    cleanup(undisturbed, MODERATE)
    assert COUNT > 60
    for at in range(1, COUNT + 1) if failure is Died else range(1, COUNT + 1, 2):
        yard, calls = small(), Calls()
        dies(calls, at, when, failure)
        try:
            first = cleanup(watched(yard, calls), MODERATE)["outcome"]
        except (Died, Unavailable):
            first = "died"
        assert first in ("died", "failed", "done"), at
        found = {**documents(yard.state), **archived(yard.archive, "btc", "old")}
        assert {key: found.get(key) for key in originals if key.startswith("ticks/")} == {
            key: data for key, data in originals.items() if key.startswith("ticks/")
        }, f"records were lost at call {at}"
        yard.clock.advance(2 * LEASE)
        assert cleanup(yard, MODERATE)["outcome"] == "done"
        assert ended(yard) == ended(undisturbed), at


def test_two_at_once_do_no_harm(yard: Yard) -> None:
    """At each call of one, another runs from beginning to end, as if there were no lease."""
    undisturbed = small()
    cleanup(undisturbed, MODERATE)
    for at in range(1, COUNT + 1, 2):
        yard, calls = small(), Calls()

        def another(number: int, at: int = at, yard: Yard = yard) -> None:
            if number == at:
                yard.clock.advance(timedelta(seconds=1))
                put(yard, Write(DESK, None))
                assert cleanup(yard, MODERATE)["outcome"] == "done"

        calls.before = another
        said = cleanup(watched(yard, calls), MODERATE)
        assert said["outcome"] in ("done", "busy"), (at, said["reason"])
        assert ended(yard) == ended(undisturbed), at


# --- one at a time, in its time -------------------------------------------------------------------------------------


def test_while_another_is_at_it_the_answer_is_busy_and_nothing_is_touched(yard: Yard) -> None:
    put(yard, Write(DESK, {"owner": "x", "until": NOW + LEASE}))
    before = everything(yard)
    said = cleanup(yard, SAFE)
    assert (said["outcome"], said["removed"], said["dry_run"]) == ("busy", {}, False)
    assert everything(yard) == before
    assert cleanup(yard, SAFE, dry_run=True)["outcome"] == "done"


@pytest.mark.parametrize("until", [NOW, NOW + 3 * LEASE, "nonsense", None])
def test_a_lease_that_is_over_or_of_a_wrong_clock_or_damaged_stops_nobody(yard: Yard, until: Any) -> None:
    put(yard, Write(DESK, {"owner": "x", "until": until}))
    assert cleanup(yard, SAFE)["outcome"] == "done"
    assert yard.state.read([DESK])[DESK].data is None, "it is given back"


def test_while_a_backup_is_being_put_back_nothing_is_touched(yard: Yard) -> None:
    put(yard, Write("switches/global", {"mode": RESTORING}))
    before = everything(yard)
    said = cleanup(yard, SAFE)
    assert (said["outcome"], everything(yard) == before) == ("busy", True)
    assert yard.state.read([DESK])[DESK].data is None


def slow(yard: Yard, step: timedelta) -> Yard:
    """Every call takes so long."""
    calls = Calls()
    calls.before = lambda _: yard.clock.advance(step)
    return watched(yard, calls)


def test_a_lease_is_renewed_as_long_as_it_takes(yard: Yard) -> None:
    seen: list[bool] = []
    calls = Calls()

    def look(_: int) -> None:
        yard.clock.advance(timedelta(seconds=10))
        until = (yard.state.read([DESK])[DESK].data or {}).get("until")
        seen.append(until is not None and until > yard.clock.now())

    calls.before = look
    cleanup(watched(yard, calls), MODERATE, budget=timedelta(hours=9))
    assert all(seen[3:-1]) and len(seen) > 30


def test_one_whose_lease_another_has_taken_over_stops(yard: Yard) -> None:
    calls = Calls()

    def robbed(number: int) -> None:
        if number == 12:
            yard.clock.advance(2 * LEASE)
            put(yard, Write(DESK, {"owner": "another", "until": yard.clock.now() + LEASE}))

    calls.before = robbed
    said = cleanup(watched(yard, calls), MODERATE, budget=timedelta(hours=1))
    assert (said["outcome"], told(yard)) == ("busy", {})
    assert (yard.state.read([DESK])[DESK].data or {})["owner"] == "another"


def test_what_there_is_no_time_for_is_left_for_the_next_run_and_said() -> None:
    at, count = hour(NOW) - 1300 * DAY, 1200
    yard = Yard(platform=Deployed(leftovers()))
    for start in range(0, count, 400):
        put(yard, *[ticked("btc", at + number * DAY) for number in range(start, start + 400)])
    put(yard, stands("btc", state_of(hour(NOW) - HOUR)))
    said = cleanup(slow(yard, timedelta(seconds=20)), MODERATE, budget=timedelta(minutes=40))
    assert (said["outcome"], said["complete"]) == ("done", False)
    assert "no time was left for records: the next run goes on" in said["reason"]
    assert 0 < removed(said)["record"] < count
    assert removed(said)["image"] == 3, "records leave time for the rest"
    for _ in range(5):
        said = cleanup(slow(yard, timedelta(seconds=20)), MODERATE, budget=timedelta(minutes=40))
    assert said["complete"]
    assert (len(archived(yard.archive, "btc")), list(yard.state.scan("ticks"))) == (count, [])


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_report_is_one_alert_a_month_and_outcome(yard: Yard) -> None:
    cleanup(yard, SAFE)
    (name,) = told(yard)
    alert = told(yard)[name]
    assert (name, alert["severity"], alert["title"]) == ("cleanup-2026-11-done", "info", "cleanup is done")
    assert alert["fields"]["record"].startswith("35, ")
    yard.clock.advance(HOUR)
    cleanup(yard, SAFE)
    assert told(yard) == {name: alert}
    yard.clock.advance(30 * DAY)
    cleanup(yard, SAFE)
    assert set(told(yard)) == {name, "cleanup-2026-12-done"}


def test_a_dry_run_reports_to_nobody(yard: Yard) -> None:
    said = cleanup(yard, SAFE, dry_run=True)
    assert (told(yard), said["backup"]) == ({}, None)
    assert "would be removed" in said["reason"]


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (3_100_000, "3.1 MB"), (2e9, "2.0 GB")])
def test_sizes_are_told_as_people_say_them(size: int, text: str) -> None:
    assert sized(size) == text
