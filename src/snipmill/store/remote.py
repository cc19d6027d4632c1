"""Reads and writes what is on a store that fsspec knows, and tries again while it is gone."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from snipmill.errors import StoreError, UsageError

T = TypeVar("T")
_PATIENCE = 600.0  # seconds for which a store may be gone
_PAUSES = (0.5, 10.0)  # seconds: the first and the longest pause before another try
# Stores that fsspec can append to, byte by byte. Object stores would write the whole object again.
_HOPELESS = frozenset({"NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "InvalidAccessKeyId"})
_APPENDING = frozenset({"file", "local", "hdfs", "webhdfs", "sftp", "ssh", "smb", "memory"})


def is_remote(path: str) -> bool:
    """Whether a run directory is on a store, not in a folder."""
    return "://" in path


class Store:
    """Reads and writes objects under an address, and tries again while the store is gone.

    Args:
        url: of the run directory.
        patience: seconds for which the store may be gone.
        tell: is told what is wrong, and an empty text once it is over.

    Raises:
        UsageError: fsspec does not know such a store, or what it needs is not installed.
    """

    def __init__(self, url: str, patience: float = _PATIENCE, tell: Callable[[str], None] = lambda _text: None) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise UsageError(
                f"run.dir = {url!r} is on a store, which needs fsspec. Install it with: pip install 'snipmill[store]'"
            ) from None
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise UsageError(
                f"run.dir: the address {url.partition('://')[0]}://...@... contains a user name or a password, which would be "
                "saved in the run. Remove it, and give it as the library of the store wants it."
            )
        try:
            self._fs, self._root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UsageError(f"run.dir = {url!r}: {str(error).rstrip('.')}.") from error
        self.url = url
        self.patience, self._tell = patience, tell
        self.stopping = threading.Event()  # set by who does not want to wait any longer
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self.can_append = self._has_folders = bool(protocols & _APPENDING)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def _try(self, what: str, work: Callable[[], T]) -> T:
        """Do something, again and again while the store is gone.

        Raises:
            FileNotFoundError: the object is not there.
            StoreError: the store refuses, or has been gone for too long.
        """
        began, pause, told = time.monotonic(), _PAUSES[0], False
        while True:
            try:
                done = work()
                if told:
                    self._tell("")
                return done
            except FileNotFoundError:
                raise
            except FileExistsError:
                raise
            except (PermissionError, ValueError, TypeError, NotImplementedError) as error:
                raise StoreError(f"{self.url} refuses to {what}: {error}. Check its credentials and rights.") from error
            except Exception as error:  # each store has errors of its own
                waited = time.monotonic() - began
                shown = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                if type(error).__name__ in _HOPELESS:
                    raise StoreError(
                        f"{self.url} refuses to {what}: {shown}. Check its credentials and rights."
                    ) from error
                if self.stopping.is_set() or waited > self.patience:
                    raise StoreError(
                        f"{self.url} cannot be reached to {what} ({shown}). What was pushed before is kept; run the same "
                        "command again once it is back."
                    ) from error
                self._tell(f"waiting for {self.url}: {shown}")
                told = True
                self.stopping.wait(pause)
                pause = min(2 * pause, _PAUSES[1])

    def names(self, prefix: str) -> list[str]:
        """The names of all objects under a prefix, relative to the run directory."""
        start = len(self._path("x")) - 1

        def find() -> list[str]:
            self._fs.invalidate_cache()
            return sorted(str(path)[start:] for path in self._fs.find(self._path(prefix)))

        try:
            return self._try(f"list {prefix}", find)
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        """An object; None where it is not there."""
        try:
            raw: bytes = self._try(f"read {name}", lambda: self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            return None
        return raw

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object."""
        self._write(f"write {name}", lambda: self._put(name, data))

    def _write(self, what: str, work: Callable[[], None]) -> None:
        try:
            self._try(what, work)
        except FileNotFoundError as error:
            raise StoreError(f"{self.url} refuses to {what}: {error}. Is there such a bucket or folder?") from error

    def create(self, name: str, data: bytes) -> bool:
        """Write a whole object that nobody else has written; whether that is so."""
        path = self._path(name)

        def work() -> None:
            if self._has_folders:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                with self._fs.open(path, "xb") as file:
                    file.write(data)
            elif "mode" in inspect.signature(self._fs._pipe_file).parameters:
                self._fs.pipe_file(path, data, mode="create")
            else:
                self._fs.pipe_file(path, data)

        try:
            self._write(f"write {name}", work)
        except FileExistsError:
            return False
        return True

    def _put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        if self._has_folders:  # in which a file would be seen half-written
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(f"{path}.partial", data)
            self._fs.mv(f"{path}.partial", path)
        else:
            self._fs.pipe_file(path, data)

    def append(self, name: str, data: bytes) -> None:
        """Append to a file, on a store that can."""

        def work() -> None:
            path = self._path(name)
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self._fs.open(path, "ab") as file:
                file.write(data)

        self._write(f"append to {name}", work)

    def upload(self, path: Path, name: str) -> None:
        """Write a whole file."""
        self._write(f"write {name}", lambda: self._upload(path, name))

    def _upload(self, path: Path, name: str) -> None:
        if self._has_folders:
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        self._fs.put_file(str(path), self._path(name))

    def download(self, name: str, path: Path) -> bool:
        """Read a whole object into a file; whether it is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._try(f"read {name}", lambda: self._fs.get_file(self._path(name), str(path)))
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._try(f"remove {name}", lambda: self._fs.rm_file(self._path(name)))

    def shards(self) -> list[int]:
        """The numbers of the shards that were begun."""
        prefix = "shards/"
        numbers = {name.removeprefix(prefix).partition("/")[0] for name in self.names(prefix.rstrip("/"))}
        return sorted(int(number) for number in numbers if number.isdecimal())
