"""Google's own ways: pages, names, tags, two regions, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core.adapters.gcp_platform import GcpPlatform
from core.ports import Leftover, Unavailable
from tests.adapters.google_platform import NAME, PROJECT, SOURCES, GooglePlatform
from tests.adapters.scripted import Answer, Request, scripted

START = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
REGIONS = ["asia-northeast1", "asia-northeast2"]


@pytest.fixture
def google() -> Iterator[GooglePlatform]:
    with scripted(kind=GooglePlatform) as made:
        assert isinstance(made, GooglePlatform)
        yield made


def platform(google: GooglePlatform, regions: list[str] = REGIONS[:1], name: str = NAME) -> GcpPlatform:
    return GcpPlatform(PROJECT, name, regions, SOURCES, emulator_host=google.host)


def of(google: GooglePlatform, kind: str, regions: list[str] = REGIONS[:1]) -> list[Leftover]:
    return sorted(each for each in platform(google, regions).leftovers() if each.kind == kind)


def test_every_page_is_read(google: GooglePlatform) -> None:
    for index in range(7):
        google.deploy("tick", f"r{index}", START + index * DAY)
    assert [len(of(google, kind)) for kind in ("revision", "image", "source")] == [7, 7, 7]
    assert sum("pageToken" in request.path for request in google.asked) == 3 * 9


def test_names_are_those_that_google_takes(google: GooglePlatform) -> None:
    google.deploy("tick", "aaa", START)
    (revision,), (image,), (source,) = (of(google, kind) for kind in ("revision", "image", "source"))
    where = "projects/p-1/locations/asia-northeast1"
    assert revision.name == f"{where}/services/hourhand-paper-tick/revisions/hourhand-paper-tick-00001"
    assert revision.group == "asia-northeast1/hourhand-paper-tick"
    assert image.group == "asia-northeast1/p--1__asia--northeast1__tick"
    assert image.name.startswith(f"{where}/repositories/hourhand-paper/packages/{image.group[16:]}/versions/sha256:")
    assert (source.group, source.name) == ("serve.zip", "aaa/serve.zip")


def test_an_image_whose_name_has_slashes_is_removed(google: GooglePlatform) -> None:
    google.build("tick/cache", 1, START)
    (image,) = of(google, "image")
    assert image.group == "asia-northeast1/p--1__asia--northeast1__tick/cache"
    platform(google).remove(image)
    assert google.images == {}


def test_an_image_that_a_service_calls_by_its_tag_is_live(google: GooglePlatform) -> None:
    google.by_tag = True
    for index in range(3):
        google.deploy("tick", f"r{index}", START + index * DAY)
    assert [each.live for each in sorted(of(google, "image"), key=lambda each: each.at)] == [False, False, True]


def test_a_newest_revision_that_never_came_up_is_live_beside_the_one_that_serves(google: GooglePlatform) -> None:
    for index in range(3):
        google.deploy("tick", f"r{index}", START + index * DAY)
    (service,) = google.services.values()
    service["latestReadyRevision"] = service["latestReadyRevision"].replace("00003", "00002")
    assert [each.live for each in of(google, "revision")] == [False, True, True]


def test_regions_are_counted_apart(google: GooglePlatform) -> None:
    for region in REGIONS:
        google.deploy("tick", "aaa", START, region)
    assert len({each.group for each in of(google, "revision", REGIONS)}) == 2
    assert len({each.group for each in of(google, "image", REGIONS)}) == 2
    assert len(of(google, "source", REGIONS)) == 1


def test_what_belongs_to_another_deployment_is_not_told_of(google: GooglePlatform) -> None:
    google.deploy("tick", "aaa", START)
    google.deploy("other-tick", "aaa", START)  # of a deployment named hourhand-paper-other
    assert {each.group for each in of(google, "revision")} == {"asia-northeast1/hourhand-paper-tick"}


def test_archives_that_are_newer_than_what_serves_are_kept_and_of_the_older_ones_the_newest(
    google: GooglePlatform,
) -> None:
    for index, release in enumerate(("old", "before", "serving")):
        google.deploy("tick", release, START + index * DAY)
    google.upload("next/serve.zip", START + 9 * DAY)
    google.upload("next/train.zip", START + 9 * DAY)
    google.upload("before/train.zip", START + DAY)
    live = {each.name: each.live for each in of(google, "source")}
    assert [name for name, serves in live.items() if not serves] == ["old/serve.zip"]
    assert len(live) == 6


def test_while_a_deployment_is_under_way_both_releases_serve(google: GooglePlatform) -> None:
    for index, release in enumerate(("oldest", "older", "old")):
        google.deploy("tick", release, START + index * DAY)
    google.deploy("guard", "new", START + 9 * DAY)
    live = {each.name: each.live for each in of(google, "source")}
    assert [name for name, serves in live.items() if not serves] == ["oldest/serve.zip"]


def test_where_it_is_not_known_what_serves_every_archive_is_kept(google: GooglePlatform) -> None:
    google.told = False
    for index in range(4):
        google.deploy("tick", f"r{index}", START + index * DAY)
    assert all(each.live for each in of(google, "source"))
    google.told = True
    google.deploy("guard", "r3", START + 4 * DAY)
    assert all(each.live for each in of(google, "source"))  # tick's revision still does not say


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/v2/", "run.revisions.delete"),
        ("/v1/", "roles/artifactregistry.repoAdmin on the repository"),
        ("/storage/", "roles/storage.objectUser on the bucket of sources"),
    ],
)
def test_a_refusal_names_the_role_that_is_missing(google: GooglePlatform, path: str, role: str) -> None:
    google.deploy("tick", "aaa", START)
    google.broken = lambda request: Answer(403, b"denied") if request.path.startswith(path) else None
    with pytest.raises(Unavailable, match=role):
        platform(google).leftovers()


def test_a_name_that_does_not_exist_is_told(google: GooglePlatform) -> None:
    with pytest.raises(Unavailable, match=r"404 for .*/repositories/other/dockerImages"):
        platform(google, name="other").leftovers()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_an_answer_that_is_no_list_is_unavailable(google: GooglePlatform, body: bytes) -> None:
    google.broken = lambda request: Answer(200, body)
    with pytest.raises(Unavailable, match="Google answered 200"):
        platform(google).leftovers()


def test_an_operation_that_has_failed_at_once_is_no_removal(google: GooglePlatform) -> None:
    google.deploy("tick", "aaa", START)
    google.deploy("tick", "bbb", START + DAY)
    old = next(each for each in of(google, "revision") if not each.live)
    operation = {"name": "operations/3", "done": True, "error": {"code": 9, "message": "it is being used"}}

    def broken(request: Request) -> Answer | None:
        return Answer(200, operation) if request.method == "DELETE" else None

    google.broken = broken
    with pytest.raises(Unavailable, match="it is being used"):
        platform(google).remove(old)
