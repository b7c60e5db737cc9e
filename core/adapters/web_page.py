"""A page of the web as text: how the sources of daily series are fetched."""

from __future__ import annotations

from core.ports import Unavailable


def page(url: str, timeout_s: float, largest: int, what: str, whose: str) -> str:
    """The text at `url`. Raises Unavailable, which says `what` was asked; more than `largest` bytes are not `whose`."""
    import urllib3

    retries = urllib3.Retry(total=1, connect=0, read=0)
    headers = {"Accept-Encoding": "gzip", "User-Agent": "hourhand"}
    try:
        with urllib3.PoolManager(timeout=timeout_s, retries=retries, headers=headers) as pool:
            response = pool.request("GET", url, preload_content=False)
            data = response.read(largest + 1)
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"{what} from {url}: no answer ({error})") from error
    if response.status != 200:
        raise Unavailable(f"{what} from {url}: answered with status {response.status}")
    if len(data) > largest:
        raise Unavailable(f"{what} from {url}: the answer is larger than {largest} bytes, which is not {whose}")
    return data.decode("utf-8-sig", errors="replace")
