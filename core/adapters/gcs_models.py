"""Objects in a Cloud Storage bucket, through its JSON interface: https://cloud.google.com/storage/docs/json_api/v1."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from core.adapters.google_http import GoogleHttp, Reply, address
from core.adapters.limits import check_name, check_prefix
from core.ports import Missing, Stored, Unavailable


class GcsModels:
    """`emulator_host` is 'http://127.0.0.1:9023' or the like; '' is the cloud; None takes STORAGE_EMULATOR_HOST."""

    def __init__(self, bucket: str, emulator_host: str | None = None, timeout: float = 30.0) -> None:
        host = os.environ.get("STORAGE_EMULATOR_HOST", "") if emulator_host is None else emulator_host
        self._bucket = bucket
        self._http = GoogleHttp(
            f"Cloud Storage (bucket {bucket})",
            address(host) if host else "https://storage.googleapis.com",
            emulated=bool(host),
            timeout=timeout,
        )

    def get(self, name: str) -> bytes:
        check_name(name)
        reply = self._http.call("GET", f"{self._object(name)}?alt=media", again=True)
        if reply.status == 404 and b"bucket does not exist" not in reply.data:
            raise Missing(f"there is no object {name} in the bucket {self._bucket}")
        return self._checked(reply).data

    def put(self, name: str, data: bytes) -> None:
        check_name(name)
        path = f"/upload/storage/v1/b/{quote(self._bucket)}/o?" + urlencode({"uploadType": "media", "name": name})
        self._checked(self._http.call("POST", path, data, "application/octet-stream", again=True))

    def names(self, prefix: str) -> Sequence[str]:
        return sorted(item["name"] for item in self._items(prefix, "name"))

    def stored(self, prefix: str) -> Sequence[Stored]:
        items = self._items(prefix, "name,size,updated")
        return sorted(Stored(item["name"], int(item["size"]), _time(item["updated"])) for item in items)

    def _items(self, prefix: str, fields: str) -> Iterator[dict[str, str]]:
        check_prefix(prefix)
        query = {"prefix": prefix, "fields": f"items({fields}),nextPageToken"}
        while True:
            page = self._page(query)
            yield from page.get("items", ())
            if "nextPageToken" not in page:
                return
            query["pageToken"] = page["nextPageToken"]

    def delete(self, name: str) -> None:
        check_name(name)
        reply = self._http.call("DELETE", self._object(name), again=True)
        if reply.status != 404:
            self._checked(reply)

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        path = f"/storage/v1/b/{quote(self._bucket)}/o?{urlencode(query)}"
        reply = self._checked(self._http.call("GET", path, again=True))
        try:
            return msgspec.json.decode(reply.data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise Unavailable(f"Cloud Storage listed {self._bucket} without JSON ({error}): try again later") from error

    def _object(self, name: str) -> str:
        return f"/storage/v1/b/{quote(self._bucket)}/o/{quote(name, safe='')}"

    def _checked(self, reply: Reply) -> Reply:
        if reply.status in (200, 204):
            return reply
        said = reply.data[:300].decode(errors="replace").strip() or "no text"
        raise Unavailable(
            f"Cloud Storage answered {reply.status} for the bucket {self._bucket} ({said}): check that it exists"
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
