"""Google's interfaces to what deploying leaves behind, on loopback: Cloud Run, Artifact Registry, Cloud Storage.

As their documents say: lists come in pages (of two here) and every name is a full one; an unknown name is 404; what
Cloud Run may send a request to, and a tagged image without `force`, cannot be deleted: 400.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.adapters.scripted import Answer, Request, Script

PROJECT, NAME, SOURCES = "p-1", "hourhand-paper", "p-1-hourhand-paper-sources"
PAGE = 2


class GooglePlatform(Script):
    """What is there, by full name; `deploy` adds to it as a deployment does. `by_tag`: services name their image by its
    tag instead of its digest; `told`: revisions carry the release that they were built from."""

    def __init__(self, answers: Any = ()) -> None:
        super().__init__(answers)
        self.services: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.archives: dict[str, dict[str, Any]] = {}
        self.by_tag = False
        self.told = True
        self.broken: Callable[[Request], Answer | None] = lambda request: None

    # -- what a deployment does

    def deploy(self, function: str, release: str, at: datetime, region: str = "asia-northeast1") -> None:
        """Uploads the archive, builds an image of it, makes a revision and sends it all requests."""
        self.upload(f"{release}/serve.zip", at)
        parent, short = f"projects/{PROJECT}/locations/{region}", f"{NAME}-{function}"
        service = f"{parent}/services/{short}"
        known = [name for name in self.revisions if name.startswith(f"{service}/")]
        number = 1 + max((int(name[-5:]) for name in known), default=0)
        revision = f"{service}/revisions/{short}-{number:05}"
        image = self.build(function, number, at, region)
        settings = [{"name": "HOURHAND_RELEASE", "value": release}] if self.told else []
        secret = {"name": "TOKEN", "valueSource": {"secretKeyRef": {"secret": "s"}}}
        self.revisions[revision] = {
            "name": revision,
            "createTime": rfc(at),
            "containers": [{"image": image, "env": [secret, *settings]}],
        }
        self.services[service] = {
            "name": service,
            "latestReadyRevision": revision,
            "latestCreatedRevision": revision,
            "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
            "trafficStatuses": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
        }

    def build(self, function: str, number: int, at: datetime, region: str = "asia-northeast1") -> str:
        """Pushes an image; how the service calls it."""
        package = f"p--1__{region.replace('-', '--')}__{function}"
        digest = "sha256:" + hashlib.sha256(f"{package} {number}".encode()).hexdigest()
        where = f"{region}-docker.pkg.dev/{PROJECT}/{NAME}/{package}"
        repository = f"projects/{PROJECT}/locations/{region}/repositories/{NAME}"
        self.images[f"{repository}/packages/{quote(package, safe='')}/versions/{digest}"] = {
            "name": f"{repository}/dockerImages/{package}@{digest}",
            "uri": f"{where}@{digest}",
            "tags": [f"version_{number}", *(["latest"] if number > 1 else [])],
            "imageSizeBytes": str(1000 * number),
            "uploadTime": rfc(at),
        }
        return f"{where}:version_{number}" if self.by_tag else f"{where}@{digest}"

    def upload(self, name: str, at: datetime) -> None:
        self.archives.setdefault(name, {"name": name, "size": "4096", "timeCreated": rfc(at), "updated": rfc(at)})

    def route(self, function: str, number: int, region: str = "asia-northeast1") -> None:
        """Sends all requests to an earlier revision."""
        short = f"{NAME}-{function}"
        service = self.services[f"projects/{PROJECT}/locations/{region}/services/{short}"]
        target = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": f"{short}-{number:05}", "percent": 100}
        service["traffic"] = service["trafficStatuses"] = [target]

    # -- what is asked

    def next(self, request: Request) -> Answer:
        self.asked.append(request)
        broken = self.broken(request)
        if broken is not None:
            return broken
        target = urlsplit(request.path)
        query = dict(parse_qsl(target.query))
        if target.path.startswith("/storage/v1/b/"):
            return self._storage(request.method, target.path, query)
        name = target.path.split("/", 2)[2]
        if request.method == "GET":
            return self._list(name, query)
        return self._delete(name, query)

    def _list(self, name: str, query: dict[str, str]) -> Answer:
        parent, _, kind = name.rpartition("/")
        if kind == "dockerImages":
            found = [image for each, image in self.images.items() if each.startswith(f"{parent}/")]
            return paged(found, kind, query) if parent.endswith(f"/repositories/{NAME}") else NOT_FOUND
        if kind == "services":
            return paged([each for each in self.services.values() if each["name"].startswith(parent)], kind, query)
        if kind == "revisions" and parent in self.services:
            newest_first = [each for key, each in reversed(self.revisions.items()) if key.startswith(f"{parent}/")]
            return paged(newest_first, kind, query)
        return NOT_FOUND

    def _delete(self, name: str, query: dict[str, str]) -> Answer:
        if name in self.images:
            if self.images[name]["tags"] and query.get("force") != "true":
                return failed("tagged versions cannot be deleted without force")
            del self.images[name]
            return Answer(200, {"name": "operations/1", "metadata": {}})
        if name not in self.revisions:
            return NOT_FOUND
        service = self.services[name.partition("/revisions/")[0]]
        short = name.rpartition("/")[2]
        serves = any(target.get("revision") == short for target in service["trafficStatuses"])
        if serves or name in (service["latestReadyRevision"], service["latestCreatedRevision"]):
            return failed(f"Revision {short} cannot be deleted: it is able to receive traffic")
        del self.revisions[name]
        return Answer(200, {"name": "operations/2", "done": False})

    def _storage(self, method: str, path: str, query: dict[str, str]) -> Answer:
        bucket, _, name = path.removeprefix("/storage/v1/b/").partition("/o")
        if bucket != SOURCES:
            return NOT_FOUND
        if method == "GET":
            return paged([self.archives[each] for each in sorted(self.archives)], "items", query)
        if self.archives.pop(unquote(name.removeprefix("/")), None) is None:
            return NOT_FOUND
        return Answer(204, b"")


NOT_FOUND = Answer(404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "Requested entity was not found."}})


def failed(message: str) -> Answer:
    return Answer(400, {"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": message}})


def paged(items: list[dict[str, Any]], field: str, query: dict[str, str]) -> Answer:
    """One page, with a token unless it is the last; an empty list has no field at all."""
    start = int(query.get("pageToken", "0"))
    end = start + min(PAGE, int(query.get("pageSize") or query.get("maxResults") or PAGE))
    page = {field: items[start:end]} if items[start:end] else {}
    return Answer(200, page | ({"nextPageToken": str(end)} if end < len(items) else {}))


def rfc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
