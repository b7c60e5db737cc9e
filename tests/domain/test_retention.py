"""What may go: never what serves, nor what one would go back to, nor the newest; and twice removes nothing more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.domain.retention import LAST_BARS, UNDO, Table, named, orphans, outdated, records_until, thinned, unneeded
from core.ports import Leftover, Stored

NOW = datetime(2026, 11, 1, 17, 0, 5, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)

TABLES = st.builds(
    Table,
    level=st.sampled_from(["safe", "moderate"]),
    record_days=st.integers(7, 400),
    unneeded_days=st.integers(1, 60),
    backup_days=st.integers(1, 40),
    backup_weeks=st.integers(0, 20),
    backup_months=st.integers(0, 20),
    backup_years=st.integers(0, 8),
    images=st.integers(2, 8),
    revisions=st.integers(2, 8),
    source_days=st.integers(1, 60),
)
NUMBERS = sorted(set(Table.__struct_fields__) - {"level"})


@st.composite
def larger(draw: st.DrawFn) -> tuple[Table, Table]:
    """A table, and one of the same level in which no number is smaller."""
    table = draw(TABLES)
    more = {name: getattr(table, name) + draw(st.integers(0, 5)) for name in NUMBERS}
    return table, replace(table, **more)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


# --- records and caches ---------------------------------------------------------------------------------------------


def test_records_go_after_so_many_days() -> None:
    assert records_until(NOW, 3600, Table(record_days=90), NOW) == ago(90)


def test_the_last_bars_of_a_book_that_stopped_long_ago_stay() -> None:
    stopped = ago(200)
    assert records_until(stopped, 3600, Table(), NOW) == stopped - LAST_BARS * HOUR
    assert records_until(NOW, 86400, Table(), NOW) == ago(LAST_BARS)


@given(newest=st.integers(0, 900).map(ago), bar_s=st.sampled_from([60, 3600, 86400]), tables=larger())
def test_a_longer_retention_never_lets_more_records_go(newest: datetime, bar_s: int, tables: Any) -> None:
    short, long = (records_until(newest, bar_s, table, NOW) for table in tables)
    assert long <= short <= min(newest, NOW)


def test_what_is_of_no_use_for_longer_than_the_table_says_is_unneeded() -> None:
    table = Table(unneeded_days=7)
    assert unneeded([ago(7.01)], table, NOW)
    assert not unneeded([ago(7)], table, NOW)
    assert not unneeded([ago(30), ago(1)], table, NOW), "the last use counts"
    assert unneeded([None, ago(30)], table, NOW)


def test_what_was_used_at_no_known_time_stays() -> None:
    assert not unneeded([], Table(), NOW)
    assert not unneeded([None], Table(), NOW)


# --- models ---------------------------------------------------------------------------------------------------------


def file(book: str, version: str, at: datetime, name: str = "manifest.json", size: int = 10) -> Stored:
    return Stored(f"models/{book}/{version}/{name}", size, at)


@pytest.mark.parametrize(
    ("pointer", "versions"),
    [
        ({"version": "a"}, {"a"}),
        ({"version": "a", "previous": None, "challenger": None}, {"a"}),
        ({"version": "b", "previous": "a", "promoted_at": NOW}, {"a", "b"}),
        ({"version": "b", "previous": "a", "challenger": {"version": "c", "since": NOW}}, {"a", "b", "c"}),
    ],
)
def test_a_pointer_names_the_live_model_its_predecessor_and_the_challenger(pointer: Any, versions: Any) -> None:
    assert named(pointer) == versions


@pytest.mark.parametrize(
    "pointer",
    [
        None, {}, {"version": None}, {"version": ""}, {"version": 7}, {"previous": "a"},
        {"version": "a", "previous": 7}, {"version": "a", "previous": ""}, {"version": "a", "challenger": "c"},
        {"version": "a", "challenger": {}}, {"version": "a", "challenger": {"version": None}},
        {"version": "a", "challenger": {"version": ["c"]}},
    ],
)  # fmt: skip
def test_a_pointer_that_cannot_be_told_names_nothing(pointer: Any) -> None:
    assert named(pointer) is None


def test_a_model_that_no_pointer_names_is_an_orphan_with_all_its_files() -> None:
    files = [file("btc", version, ago(30), name, 5) for version in "abcd" for name in ("model.npz", "manifest.json")]
    (orphan,) = orphans(files, {"btc": frozenset("abc")}, Table(), NOW)
    assert orphan == ("btc", "d", ("models/btc/d/manifest.json", "models/btc/d/model.npz"), 10)


def test_a_model_whose_newest_file_is_young_is_being_published() -> None:
    files = [file("btc", "b", ago(30), "model.npz"), file("btc", "b", ago(0.01))]
    assert orphans(files, {"btc": frozenset("a")}, Table(), NOW) == []


def test_of_a_book_whose_pointer_cannot_be_told_or_is_gone_nothing_is_an_orphan() -> None:
    files = [file("btc", "a", ago(90)), file("eth", "a", ago(90))]
    assert orphans(files, {"btc": None}, Table(), NOW) == []


def test_a_model_that_another_books_pointer_names_is_no_orphan() -> None:
    files = [file("btc", "shared", ago(90))]
    assert orphans(files, {"btc": frozenset("a"), "eth": frozenset(["shared"])}, Table(), NOW) == []


@pytest.mark.parametrize("name", ["models/btc/a", "models/btc/a/b/c", "records/btc/a/manifest.json", "x", "bars/a/b/c"])
def test_files_that_are_no_models_are_left_alone(name: str) -> None:
    assert orphans([Stored(name, 1, ago(900))], {"btc": frozenset("z")}, Table(), NOW) == []


BOOKS, VERSIONS = ["btc", "eth"], [*"abcdef"]
FILES = st.lists(
    st.builds(
        file, st.sampled_from(BOOKS), st.sampled_from(VERSIONS), st.floats(-3, 90).map(ago), st.sampled_from(["m", "n"])
    ),
    max_size=24,
    unique_by=lambda one: one.name,
)
POINTERS = st.dictionaries(
    st.sampled_from(BOOKS), st.none() | st.frozensets(st.sampled_from(VERSIONS), min_size=1, max_size=3)
)


@given(FILES, POINTERS, larger())
def test_orphans_are_never_named_and_twice_finds_none_and_more_days_never_find_more(
    files: list[Stored], pointers: Any, tables: Any
) -> None:
    found, fewer = (orphans(files, pointers, table, NOW) for table in tables)
    kept = frozenset[str]().union(*(versions for versions in pointers.values() if versions))
    assert not {orphan.version for orphan in found} & kept
    assert all(pointers.get(orphan.book) for orphan in found)
    gone = {name for orphan in found for name in orphan.files}
    young = {one.name for one in files if NOW - one.at <= timedelta(days=tables[0].unneeded_days)}
    assert not gone & young
    assert orphans([one for one in files if one.name not in gone], pointers, tables[0], NOW) == []
    assert {orphan[:2] for orphan in fewer} <= {orphan[:2] for orphan in found}


# --- backups --------------------------------------------------------------------------------------------------------


def daily(count: int) -> dict[str, datetime]:
    return {f"{ago(days):%Y-%m-%d}": ago(days) for days in range(count)}


def kept(taken: dict[str, datetime], table: Table) -> dict[str, datetime]:
    gone = set(thinned(taken, table))
    return {name: at for name, at in taken.items() if name not in gone}


def test_of_ten_years_of_daily_backups_days_weeks_months_and_years_stay() -> None:
    left = sorted(kept(daily(3650), Table()))
    assert left[-30:] == [f"{ago(days):%Y-%m-%d}" for days in reversed(range(30))]
    weeks = [f"{ago(days):%Y-%m-%d}" for days in range(30, 84) if ago(days).isoweekday() == 7]
    assert set(weeks) <= set(left)
    assert {"2025-12-31", "2026-01-31", "2026-08-31", "2024-12-31", "2020-12-31"} <= set(left)
    assert "2019-12-31" not in left
    assert len(left) == 30 + len(weeks) + 10 + 5  # ten months before October; December's newest is also that of 2025


def test_only_the_newest_of_a_day_stays_when_it_is_two_days_old() -> None:
    taken = {f"{hour:02}": NOW.replace(hour=hour) for hour in range(24)}
    assert list(kept(taken, Table())) == list(taken), "one of them may be what a person went to bed on"
    later = {**taken, "newest": NOW.replace(hour=23) + 3 * DAY}
    assert list(kept(later, Table())) == ["23", "newest"]
    assert thinned(later, Table())[:2] == ["00", "01"]


def test_monthly_backups_alone_are_kept_for_as_many_periods_as_there_are() -> None:
    monthly = {f"{year}-{month:02}": datetime(year, month, 1, tzinfo=UTC) for year in range(2016, 2027) for month in
               range(1, 13)}  # fmt: skip
    left = sorted(kept(monthly, Table(backup_days=1, backup_weeks=1)))
    assert left[-12:] == sorted(monthly)[-12:]
    assert left[:-12] == [f"{year}-12" for year in range(2020, 2026)]


def test_a_week_or_a_month_of_another_year_is_another_one() -> None:
    """Beside those of the two days before the newest, of which October's newest is one that stays anyway."""
    weeks = Table(backup_days=1, backup_weeks=150, backup_months=0, backup_years=0)
    months = Table(backup_days=1, backup_weeks=0, backup_months=30, backup_years=0)
    assert [len(kept(daily(3 * 366), table)) for table in (weeks, months)] == [150 + 2, 30 + 1]


def test_days_are_counted_in_utc() -> None:
    tokyo = datetime.fromisoformat("2026-11-02T08:00:00+09:00")  # still the first, in UTC
    taken = {"tokyo": tokyo, "utc": NOW.replace(hour=22), "newest": NOW + 9 * DAY}
    assert thinned(taken, Table()) == ["utc"]


TAKEN = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 90_000).map(lambda hours: NOW - hours * HOUR))


@given(TAKEN, larger())
def test_the_newest_backup_stays_twice_removes_nothing_and_a_larger_table_keeps_more(taken: Any, tables: Any) -> None:
    table, more = tables
    left = kept(taken, table)
    counts = table.backup_days + table.backup_weeks + table.backup_months + table.backup_years
    recent = sum(1 for at in taken.values() if max(taken.values()) - at <= UNDO)
    assert len(left) <= counts + recent
    assert not taken or max(taken.values()) in left.values()
    assert kept(left, table) == left
    assert left.keys() <= kept(taken, more).keys()
    days = {at.date() for at in taken.values()}
    assert {at.date() for at in left.values()} >= set(sorted(days)[-table.backup_days :])


# --- what deploying leaves behind -----------------------------------------------------------------------------------


def left(kind: Any, *days: float, live: int | None = 0, group: str = "tick") -> list[Leftover]:
    """Versions of one group, given by their ages; `live`: the index of the one that serves."""
    return [Leftover(kind, group, f"{kind}-{number}", ago(age), 100, number == live) for number, age in enumerate(days)]


def gone(found: list[Leftover], table: Table) -> list[str]:
    return [one.name for one, _ in outdated(found, table, NOW)]


SAFE, MODERATE = Table(level="safe"), Table(level="moderate")


def test_source_archives_go_after_so_many_days_but_for_the_live_one_and_the_one_before() -> None:
    assert gone(left("source", 100, 200, 300, 400), SAFE) == ["source-3", "source-2"]
    assert gone(left("source", 1, 20, 29, 31), SAFE) == ["source-3"]


def test_after_a_rollback_the_live_archive_its_predecessor_and_the_newest_stay() -> None:
    assert gone(left("source", 40, 41, 42, 43, 44, 45, live=3), SAFE) == ["source-5", "source-2"]


def test_images_and_revisions_stay_at_level_safe() -> None:
    found = left("image", *range(100, 120)) + left("revision", *range(100, 120))
    assert gone(found, SAFE) == []


def test_at_level_moderate_the_newest_images_and_revisions_of_each_group_stay() -> None:
    found = left("image", *range(8)) + left("image", *range(7), group="guard") + left("revision", *range(5))
    twice = ["image-5", "image-5", "image-6", "image-6"]
    assert sorted(gone(found, MODERATE)) == [*twice, "image-7", "revision-3", "revision-4"]


def test_an_old_revision_that_serves_stays_with_the_one_before_it() -> None:
    assert gone(left("revision", *range(8), live=5), MODERATE) == ["revision-7", "revision-4", "revision-3"]


def test_a_kind_that_is_not_known_stays() -> None:
    assert gone(left("balloon", *range(100, 120)), MODERATE) == []


def test_why_is_said() -> None:
    found = left("source", *range(40, 44)) + left("image", *range(8))
    assert {one.kind: why for one, why in outdated(found, MODERATE, NOW)} == {
        "image": "beyond the newest 5, and not live",
        "source": "older than 30 days, neither live nor the one before",
    }


class Drawn(NamedTuple):
    kind: str
    group: str
    name: str
    at: datetime
    size: int
    live: bool


LEFT = st.lists(
    st.builds(
        Drawn,
        st.sampled_from(["image", "revision", "source", "other"]),
        st.sampled_from(["tick", "guard"]),
        st.text("abcdefgh", min_size=1, max_size=3),
        st.integers(-2, 99).map(ago),
        st.integers(0, 9),
        st.sampled_from([True, False, False]),
    ),
    max_size=40,
    unique_by=lambda one: one.name,
)


def of_group(found: list[Drawn], one: Drawn) -> list[Drawn]:
    its = [other for other in found if (other.kind, other.group) == (one.kind, one.group)]
    return sorted(its, key=lambda other: (other.at, other.name), reverse=True)


@given(LEFT, larger())
def test_what_is_live_its_predecessor_and_the_newest_never_go_twice_is_once_and_more_is_never_less(
    found: list[Drawn], tables: Any
) -> None:
    table, more = tables
    going = [one for one, _ in outdated(found, table, NOW)]
    for one in going:
        group = of_group(found, one)
        index = group.index(one)
        assert not one.live and index >= 2 and not group[index - 1].live
        assert one.kind == "source" or table.level == "moderate"
        assert one.kind != "image" or index >= table.images
        assert one.kind != "revision" or index >= table.revisions
        assert one.kind != "source" or NOW - one.at > timedelta(days=table.source_days)
    assert outdated([one for one in found if one not in going], table, NOW) == []
    assert {one.name for one, _ in outdated(found, more, NOW)} <= {one.name for one in going}
    moderate = replace(table, level="moderate")
    assert {one.name for one in going} <= {one.name for one, _ in outdated(found, moderate, NOW)}
