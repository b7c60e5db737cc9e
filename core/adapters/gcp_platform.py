"""What deploying leaves behind on Google Cloud: revisions, images and source archives of Cloud Run functions (2nd gen).

https://cloud.google.com/run/docs/reference/rest/v2 · https://cloud.google.com/artifact-registry/docs/reference/rest ·
https://cloud.google.com/storage/docs/json_api/v1. Cloud Run tells which revisions serve; from those follow the images
(each revision names its own) and the source archives (infrastructure writes the release into the functions'
environment: the functions' own interface only tells of a copy that it made). Records of builds are not among them:
Cloud Build's interface cannot delete one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from core.adapters.google_http import GoogleHttp, Reply, address
from core.ports import Leftover, Unavailable

FUNCTIONS: Final = ("tick", "guard", "train", "cleanup", "alert", "status")
RELEASE: Final = "HOURHAND_RELEASE"  # the environment variable that names the folder of a revision's source archive
PAGE: Final = 100
Item = dict[str, Any]


class _Revision(NamedTuple):
    """`images`: as its containers name them. `release`: of its sources; None: it does not say."""

    name: str
    service: str
    at: datetime
    live: bool
    images: tuple[str, ...]
    release: str | None


class GcpPlatform:
    """The functions '{name}-tick' and so on in `regions`, the repositories `name` there, the bucket `sources`.

    `emulator_host` is 'http://127.0.0.1:9030' or the like, for all of the services; '' is the cloud.
    """

    def __init__(
        self,
        project: str,
        name: str,
        regions: Sequence[str],
        sources: str,
        emulator_host: str = "",
        timeout: float = 30.0,
    ) -> None:
        self._project, self._name, self._regions, self._bucket = project, name, tuple(regions), sources

        def service(called: str, host: str, roles: str) -> GoogleHttp:
            base = address(emulator_host) if emulator_host else f"https://{host}.googleapis.com"
            return GoogleHttp(
                f"{called} (project {project})", base, emulated=bool(emulator_host), timeout=timeout, roles=roles
            )

        self._run = service("Cloud Run", "run", "run.services.list, run.revisions.list and run.revisions.delete")
        self._registry = service(
            "Artifact Registry", "artifactregistry", "roles/artifactregistry.repoAdmin on the repository"
        )
        self._storage = service("Cloud Storage", "storage", "roles/storage.objectUser on the bucket of sources")

    def leftovers(self) -> Sequence[Leftover]:
        revisions = [each for region in self._regions for each in self._revisions(region)]
        serving = [each for each in revisions if each.live]
        images = {image for each in serving for image in each.images}
        return [
            *(Leftover("revision", each.service, each.name, each.at, live=each.live) for each in revisions),
            *(image for region in self._regions for image in self._images(region, images)),
            *self._sources({each.release for each in serving}),
        ]

    def remove(self, leftover: Leftover) -> None:
        """What serves is refused: a revision by Cloud Run itself; what it was made from by how it was listed."""
        if leftover.live:
            raise Unavailable(f"the {leftover.kind} {leftover.name} serves, or what serves was made from it: it stays")
        if leftover.kind == "revision":
            reply = self._run.call("DELETE", f"/v2/{leftover.name}", again=True)
        elif leftover.kind == "image":
            reply = self._registry.call("DELETE", f"/v1/{leftover.name}?force=true", again=True)
        else:
            path = f"/storage/v1/b/{quote(self._bucket)}/o/{quote(leftover.name, safe='')}"
            reply = self._storage.call("DELETE", path, again=True)
        if reply.status != 404:
            _check_removed(leftover, reply)

    # -- revisions

    def _revisions(self, region: str) -> Iterator[_Revision]:
        parent = f"projects/{self._project}/locations/{region}"
        names = {f"{self._name}-{function}" for function in FUNCTIONS}
        for service in self._listed(self._run, f"/v2/{parent}/services", "services"):
            name = _last(service["name"])
            if name in names:
                yield from self._of_service(service, f"{region}/{name}")

    def _of_service(self, service: Item, group: str) -> Iterator[_Revision]:
        live = _serving(service)
        for revision in self._listed(self._run, f"/v2/{service['name']}/revisions", "revisions"):
            name, containers = revision["name"], revision.get("containers", ())
            settings = {each["name"]: each.get("value") for part in containers for each in part.get("env", ())}
            images = tuple(part["image"] for part in containers)
            at = _time(revision["createTime"])
            yield _Revision(name, group, at, _last(name) in live, images, settings.get(RELEASE))

    # -- images

    def _images(self, region: str, serving: set[str]) -> Iterator[Leftover]:
        repository = f"projects/{self._project}/locations/{region}/repositories/{self._name}"
        for image in self._listed(self._registry, f"/v1/{repository}/dockerImages", "dockerImages"):
            where, _, digest = image["uri"].partition("@")
            package = where.partition(f"/{self._name}/")[2]
            called = {image["uri"], *(f"{where}:{tag}" for tag in image.get("tags", ()))}
            yield Leftover(
                "image",
                f"{region}/{package}",
                f"{repository}/packages/{quote(package, safe='')}/versions/{digest}",
                _time(image["uploadTime"]),
                int(image.get("imageSizeBytes", 0)),
                live=bool(called & serving),
            )

    # -- source archives

    def _sources(self, serving: set[str | None]) -> list[Leftover]:
        query = {"fields": "items(name,size,timeCreated),nextPageToken"}
        path = f"/storage/v1/b/{quote(self._bucket)}/o"
        found = [
            (item["name"], _time(item["timeCreated"]), int(item["size"]))
            for item in self._listed(self._storage, path, "items", size="maxResults", **query)
        ]
        live = _needed({name.partition("/")[0]: at for name, at, _ in sorted(found, key=lambda each: each[1])}, serving)
        return [
            Leftover("source", _last(name), name, at, size, live=name.partition("/")[0] in live)
            for name, at, size in found
        ]

    # -- pages

    @staticmethod
    def _listed(http: GoogleHttp, path: str, field: str, size: str = "pageSize", **query: str) -> Iterator[Item]:
        """The items of all pages. Raises Unavailable."""
        query = {**query, size: str(PAGE)}
        while True:
            page = _decoded(http.call("GET", f"{path}?{urlencode(query)}", again=True), path)
            yield from page.get(field, ())
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]


def _serving(service: Item) -> set[str]:
    """The short names of a service's revisions that may receive a request; its newest is among them, whatever else."""
    found = {service.get("latestReadyRevision", ""), service.get("latestCreatedRevision", "")}
    for target in (*service.get("traffic", ()), *service.get("trafficStatuses", ())):
        found.add(target.get("revision", ""))
    return {_last(name) for name in found if name}


def _needed(releases: dict[str, datetime], serving: set[str | None]) -> set[str]:
    """The releases whose archives are needed, of all by the time of their newest one: those that serve, the one before
    them, and those that came later, which may be about to serve. Where it is not known what serves, all of them."""
    known = {release for release in serving if release in releases}
    if not known or known != serving:
        return set(releases)
    oldest = min(releases[release] for release in known)
    before = [release for release in releases if releases[release] < oldest and release not in known]
    predecessor = max(before, key=lambda release: releases[release], default=None)
    return set(releases) - (set(before) - {predecessor})


def _decoded(reply: Reply, path: str) -> Item:
    try:
        found = msgspec.json.decode(reply.data)
    except msgspec.MsgspecError as error:
        raise Unavailable(
            f"Google answered {reply.status} without JSON for {path} ({error}): try again later"
        ) from error
    if reply.status != 200 or not isinstance(found, dict):
        raise Unavailable(f"Google answered {reply.status} for {path} ({_why(found)}): check that it exists")
    return found


def _check_removed(leftover: Leftover, reply: Reply) -> None:
    """Raises Unavailable, also when the operation that was begun says at once that it failed."""
    try:
        said = msgspec.json.decode(reply.data) if reply.data else {}
    except msgspec.MsgspecError:
        said = {}
    if reply.status in (200, 204) and not (isinstance(said, dict) and "error" in said):
        return
    raise Unavailable(
        f"the {leftover.kind} {leftover.name} cannot be removed now ({reply.status}: {_why(said)}): it stays"
    )


def _why(said: Any) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    return str(error.get("message", error))[:300] if isinstance(error, dict) else "no reason given"


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _time(text: str) -> datetime:
    """Google's times have up to nine digits of a second, of which Python reads six."""
    return datetime.fromisoformat(text).astimezone(UTC)
