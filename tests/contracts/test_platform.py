"""What every Platform promises, asked of one in memory and of Google's interfaces on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from core.adapters.gcp_platform import GcpPlatform
from core.ports import Leftover, Platform, Unavailable
from tests.adapters.google_platform import NAME, PROJECT, SOURCES, GooglePlatform
from tests.adapters.scripted import scripted
from tests.emulators import free_port

START = datetime(2024, 5, 1, 12, 0, 7, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
REGIONS = ["asia-northeast1", "asia-northeast2"]


class Deployer(Protocol):
    def deploy(self, function: str, release: str, at: datetime, region: str = "asia-northeast1") -> None: ...

    def route(self, function: str, number: int, region: str = "asia-northeast1") -> None: ...


class MemoryPlatform:
    """A Platform, and its Deployer."""

    def __init__(self) -> None:
        self._found: dict[str, Leftover] = {}
        self._serving: dict[str, str] = {}
        self._released: dict[str, str] = {}  # revision -> release
        self._counts: dict[str, int] = {}

    def deploy(self, function: str, release: str, at: datetime, region: str = "asia-northeast1") -> None:
        group = f"{region}/{function}"
        number = self._counts[group] = self._counts.get(group, 0) + 1
        for kind, name, size in (("revision", f"{group}-{number}", 0), ("image", f"{group}:{number}", 1000 * number)):
            self._found[name] = Leftover(kind, group, name, at, size)  # type: ignore[arg-type]
        self._found.setdefault(release, Leftover("source", "serve.zip", release, at, 4096))
        self._serving[group], self._released[f"{group}-{number}"] = f"{group}-{number}", release

    def route(self, function: str, number: int, region: str = "asia-northeast1") -> None:
        group = f"{region}/{function}"
        self._serving[group] = f"{group}-{number}"

    def leftovers(self) -> list[Leftover]:
        return [each._replace(live=each.name in self._live()) for each in self._found.values()]

    def remove(self, leftover: Leftover) -> None:
        if leftover.live or leftover.name in self._live():
            raise Unavailable(f"the {leftover.kind} {leftover.name} serves")
        self._found.pop(leftover.name, None)

    def _live(self) -> set[str]:
        newest = {f"{group}-{count}" for group, count in self._counts.items()}
        revisions = {*newest, *self._serving.values()}
        releases = {self._released[each] for each in revisions}
        others = [e for e in self._found.values() if e.kind == "source" and e.name not in releases]
        before = max(others, key=lambda each: each.at, default=None)
        images = {f"{each.rpartition('-')[0]}:{each.rpartition('-')[2]}" for each in revisions}
        return {*revisions, *releases, *images, *([before.name] if before else [])}


class Bench:
    """A platform, and who deploys to it."""

    def __init__(self, platform: Platform, deployer: Deployer) -> None:
        self.platform, self.deployer = platform, deployer

    def three_releases(self) -> None:
        for index, release in enumerate(("aaa", "bbb", "ccc")):
            for function in ("tick", "guard"):
                self.deployer.deploy(function, release, START + index * DAY)

    def found(self, kind: str) -> list[Leftover]:
        return sorted((e for e in self.platform.leftovers() if e.kind == kind), key=lambda each: (each.group, each.at))


@pytest.fixture(params=["memory", "google"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        memory = MemoryPlatform()
        yield Bench(memory, memory)
        return
    with scripted(kind=GooglePlatform) as google:
        assert isinstance(google, GooglePlatform)
        yield Bench(GcpPlatform(PROJECT, NAME, REGIONS[:1], SOURCES, emulator_host=google.host), google)


def test_before_anything_was_deployed_there_is_nothing(bench: Bench) -> None:
    assert list(bench.platform.leftovers()) == []


def test_everything_is_told_of_by_kind_and_group_with_its_time_and_size(bench: Bench) -> None:
    bench.three_releases()
    for kind, sizes in (("revision", [0, 0, 0]), ("image", [1000, 2000, 3000])):
        found = bench.found(kind)
        assert len({each.group for each in found}) == 2
        assert len({each.name for each in found}) == 6
        assert [each.size for each in found] == sizes * 2
        assert [each.at for each in found] == [START + index * DAY for index in range(3)] * 2
    assert [(each.size, each.at) for each in bench.found("source")] == [(4096, START + n * DAY) for n in range(3)]
    assert all(each.at.tzinfo is UTC for each in bench.platform.leftovers())


def test_what_serves_is_live_and_what_it_was_made_from_and_the_release_before_it(bench: Bench) -> None:
    bench.three_releases()
    assert [each.live for each in bench.found("revision")] == [False, False, True] * 2
    assert [each.live for each in bench.found("image")] == [False, False, True] * 2
    assert [each.live for each in bench.found("source")] == [False, True, True]


def test_a_revision_that_requests_are_sent_to_by_name_is_live_with_its_image_and_source(bench: Bench) -> None:
    bench.three_releases()
    bench.deployer.route("guard", 1)
    guard, tick = bench.found("revision")[:3], bench.found("revision")[3:]
    assert [each.live for each in guard] == [True, False, True]  # the newest one stays live, too
    assert [each.live for each in bench.found("image")[:3]] == [True, False, True]
    assert [each.live for each in tick] == [False, False, True]
    assert bench.found("source")[0].live


def test_what_is_removed_is_gone_and_nothing_else(bench: Bench) -> None:
    bench.three_releases()
    before = list(bench.platform.leftovers())
    gone = [bench.found(kind)[0] for kind in ("revision", "image", "source")]
    for each in gone:
        bench.platform.remove(each)
    assert set(bench.platform.leftovers()) == set(before) - set(gone)


def test_what_is_absent_may_be_removed_again(bench: Bench) -> None:
    bench.three_releases()
    for kind in ("revision", "image", "source"):
        first = bench.found(kind)[0]
        bench.platform.remove(first)
        bench.platform.remove(first)
        assert first not in bench.found(kind)


@pytest.mark.parametrize("kind", ["revision", "image", "source"])
def test_what_is_live_is_not_removed(bench: Bench, kind: str) -> None:
    bench.three_releases()
    before = list(bench.platform.leftovers())
    live = next(each for each in bench.found(kind) if each.live)
    with pytest.raises(Unavailable, match=f"the {kind} .* serves"):
        bench.platform.remove(live)
    assert list(bench.platform.leftovers()) == before


def test_a_revision_that_has_begun_to_serve_since_it_was_listed_is_not_removed(bench: Bench) -> None:
    bench.three_releases()
    old = bench.found("revision")[0]
    bench.deployer.route("guard", 1)
    with pytest.raises(Unavailable, match="revision"):
        bench.platform.remove(old)
    assert old.name in {each.name for each in bench.found("revision")}


def test_a_platform_that_is_not_there_is_unavailable() -> None:
    nowhere = GcpPlatform(PROJECT, NAME, REGIONS, SOURCES, emulator_host=f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="did not answer"):
        nowhere.leftovers()
    with pytest.raises(Unavailable, match="did not answer"):
        nowhere.remove(Leftover("source", "serve.zip", "a/serve.zip", START))
