"""Files in a folder: the model store of a laptop and of tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from core.adapters.limits import check_name, check_prefix
from core.ports import Missing, Stored, Unavailable


class DirModels:
    """`root` is created by the first put. A file appears under its name when it is whole and on the disk."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).absolute()

    def get(self, name: str) -> bytes:
        check_name(name)
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise Missing(f"there is no file {name} in {self._root}") from None
        except OSError as error:
            raise self._unavailable("read", name, error) from error

    def put(self, name: str, data: bytes) -> None:
        check_name(name)
        path = self._root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data)
        except OSError as error:
            raise self._unavailable("write", name, error) from error

    def names(self, prefix: str) -> Sequence[str]:
        check_prefix(prefix)
        try:
            return sorted(name for name in self._walk(prefix.rpartition("/")[0]) if name.startswith(prefix))
        except OSError as error:
            raise self._unavailable("list", prefix, error) from error

    def stored(self, prefix: str) -> Sequence[Stored]:
        found = []
        for name in self.names(prefix):
            try:
                stat = (self._root / name).stat()
            except FileNotFoundError:  # deleted since
                continue
            except OSError as error:
                raise self._unavailable("list", name, error) from error
            found.append(Stored(name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)))
        return found

    def delete(self, name: str) -> None:
        check_name(name)
        try:
            (self._root / name).unlink()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return
        except OSError as error:
            raise self._unavailable("delete", name, error) from error

    def _walk(self, folder: str) -> Iterator[str]:
        for where, _, files in os.walk(self._root / folder, onerror=_unless_missing):
            for file in files:
                if not file.startswith("."):  # what a killed put has left
                    yield (Path(where) / file).relative_to(self._root).as_posix()

    def _unavailable(self, verb: str, name: str, error: OSError) -> Unavailable:
        return Unavailable(
            f"could not {verb} {name or 'files'} in the folder {self._root} ({error.strerror}): check its space and "
            f"permissions"
        )


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
