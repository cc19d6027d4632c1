"""A run directory on a store that fsspec knows: its shards' files as segments, small files as they are, and leases.

A process works on a copy of its shard in a folder of this machine. What is appended there is pushed every few seconds, records
before the lines that speak of them, so that what another process reads is never ahead of itself. A store that is gone is tried
again until it is back or patience ends; meanwhile everything stays in the folder.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from snipmill.errors import StoreError, UsageError
from snipmill.store.segments import FOLDER, Assembled, Segment, parse_segment

T = TypeVar("T")
LEASE = "lease.json"
LEASE_SECONDS = 60.0  # after which a process that does not renew its lease is taken for dead
_PUSH_EVERY = 2.0  # seconds
_PATIENCE = 600.0  # seconds for which a store may be gone
_PAUSES = (0.5, 10.0)  # seconds: the first and the longest pause before another try
_LARGEST = 64 << 20  # bytes of a segment
# Stores that fsspec can append to, byte by byte. Object stores would write the whole object again.
_APPENDING = frozenset({"file", "local", "hdfs", "webhdfs", "sftp", "ssh", "smb", "memory"})


def is_remote(path: str) -> bool:
    """Whether a run directory is on a store, not in a folder."""
    return "://" in path and not path.startswith("file://")


class Lease(msgspec.Struct, frozen=True):
    """Who works on a shard, and until when that holds without being renewed, in seconds since 1970.

    `host` and `process` tell where the owner runs, so that on the same machine its death is seen at once.
    """

    owner: str
    until: float
    session: int
    host: str = ""
    process: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the owner has let go, has been silent, or is dead."""
        return self.until < time.time() or (self.host == socket.gethostname() and not _is_alive(self.process))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


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
        try:
            self._fs, self._root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UsageError(f"run.dir = {url!r}: {str(error).rstrip('.')}.") from error
        self.url = url
        self._patience, self._tell = patience, tell
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self.can_append = self._has_folders = bool(protocols & _APPENDING)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def _try(self, what: str, work: Callable[[], T], patience: float | None = None) -> T:
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
            except PermissionError as error:
                raise StoreError(f"{self.url} refuses: {error}. Check its credentials and rights.") from error
            except Exception as error:  # each store has errors of its own
                waited = time.monotonic() - began
                shown = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                if waited > (self._patience if patience is None else patience):
                    raise StoreError(
                        f"{self.url} cannot be reached to {what} ({shown}). What was pushed before is kept; run the same "
                        "command again once it is back."
                    ) from error
                self._tell(f"waiting for {self.url}: {shown}")
                told = True
                time.sleep(pause)
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

    def read(self, name: str, patience: float | None = None) -> bytes | None:
        """An object; None where it is not there."""
        try:
            raw: bytes = self._try(f"read {name}", lambda: self._fs.cat_file(self._path(name)), patience)
        except FileNotFoundError:
            return None
        return raw

    def write(self, name: str, data: bytes) -> None:
        """Write a whole object."""
        self._try(f"write {name}", lambda: self._put(name, data))

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

        self._try(f"append to {name}", work)

    def upload(self, path: Path, name: str) -> None:
        """Write a whole file."""
        self._try(f"write {name}", lambda: self._upload(path, name))

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


class End(NamedTuple):
    """Where a file ends: its size, and session and number of its last segment."""

    size: int
    last: tuple[int, int]


class Pulled:
    """A copy of some shards' files on this machine, which can be brought up to date.

    Args:
        store: where they are.
        folder: of the copy.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._files: dict[str, Assembled] = {}
        self.sessions: dict[str, int] = {}  # the newest session, by shard's prefix

    def pull(self, prefix: str, wanted: Callable[[str], bool] = lambda _name: True) -> None:
        """Bring the files of a shard up to date: the lines that speak of records before the records.

        Args:
            prefix: of the shard, such as `shards/3`.
            wanted: whether a file with a name is pulled.
        """
        by_file: dict[str, list[Segment]] = {}
        for name in self._store.names(f"{prefix}/{FOLDER}"):
            file, _, last = name.removeprefix(f"{prefix}/{FOLDER}/").rpartition("/")
            segment = parse_segment(last)
            if segment is not None:
                self.sessions[prefix] = max(self.sessions.get(prefix, 0), segment.session)
                if wanted(file):
                    by_file.setdefault(file, []).append(segment)
        for file in sorted(by_file, key=lambda name: (not name.startswith("grown"), name)):
            key = f"{prefix}/{file}"
            if key not in self._files:
                self._files[key] = Assembled(self._folder / prefix / file, f"{self._store.url}/{key}")
            assembled = self._files[key]
            for segment in assembled.missing(by_file[file]):
                raw = self._store.read(f"{prefix}/{FOLDER}/{file}/{segment.name}")
                if raw is None:
                    raise StoreError(f"{self._store.url}/{key}: segment {segment.name} is gone.")
                assembled.take(segment, raw)

    def ends(self, prefix: str) -> dict[str, End]:
        """Where each file of a shard ends, as far as it was pulled."""
        start = f"{prefix}/"
        return {
            name.removeprefix(start): End(one.size, one.last)
            for name, one in self._files.items()
            if name.startswith(start)
        }

    def pull_small(self, prefix: str, names: Iterable[str]) -> None:
        """Copy small files of a shard that are replaced as a whole."""
        for name in names:
            raw = self._store.read(f"{prefix}/{name}")
            if raw is not None:
                target = self._folder / prefix / name
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f".{target.name}.partial")
                partial.write_bytes(raw)
                partial.replace(target)


class Pusher:
    """Pushes what is appended to a shard's files, in a thread of its own; use as a context manager.

    Args:
        store: where to.
        folder: of the shard on this machine.
        prefix: of the shard, such as `shards/3`.
        files: names of the files that grow, records before the lines that speak of them.
        small: names of the files that are replaced as a whole.
        ends: of the files, as they were pulled.
        lease: this process's.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        prefix: str,
        files: Sequence[str],
        small: Sequence[str],
        ends: Mapping[str, End],
        lease: Lease,
    ) -> None:
        self._store, self._folder, self._prefix = store, folder, prefix
        self._names, self._small = files, small
        self._pushed = {name: ends[name].size if name in ends else 0 for name in files}
        self._after = {name: ends[name].last if name in ends else (0, 0) for name in files}
        self._appended: dict[str, str] = {}
        self._seen: dict[str, bytes] = {}
        self._lease, self._number = lease, 0
        self._cuts: dict[str, int] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="snipmill-push", daemon=True)
        self._renewed = time.monotonic()
        self.failed: StoreError | None = None
        self.on_failure: Callable[[], object] = lambda: None

    def __enter__(self) -> Pusher:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._ended.set()
        self._thread.join()
        if self.failed is None:
            self.push()
            self._store.write(f"{self._prefix}/{LEASE}", msgspec.json.encode(Lease("", 0.0, self._lease.session)))
        elif kind is None:
            raise self.failed

    def cut(self, path: Path, size: int) -> None:
        """A file was cut back; what is appended from now on replaces what stood there."""
        name = str(path.relative_to(self._folder))
        with self._lock:
            self._cuts[name] = min(size, self._cuts.get(name, size))

    def _go_back_to_cuts(self) -> None:
        with self._lock:
            for name, size in self._cuts.items():
                if self._pushed[name] > size:
                    self._pushed[name] = size
                    self._appended.pop(name, None)
            self._cuts.clear()

    def _work(self) -> None:
        while not self._ended.wait(_PUSH_EVERY):
            try:
                self._renew()
                self.push()
            except StoreError as error:
                self.failed = error
                self.on_failure()
                return

    def _renew(self) -> None:
        """Renew the lease.

        Raises:
            StoreError: another process has taken the shard over.
        """
        if time.monotonic() - self._renewed < LEASE_SECONDS / 4:
            return
        found = read_lease(self._store, self._prefix)
        if found is not None and found.session > self._lease.session:
            raise StoreError(
                f"Another process has taken over {self._store.url}/{self._prefix}, since this one was silent."
            )
        lease = msgspec.structs.replace(self._lease, until=time.time() + LEASE_SECONDS)
        self._store.write(f"{self._prefix}/{LEASE}", msgspec.json.encode(lease))
        self._renewed = time.monotonic()

    def push(self) -> None:
        """Push everything that is new.

        Raises:
            StoreError: the store refuses, or has been gone for too long.
        """
        ends = {name: self._size(name) for name in reversed(self._names)}  # what speaks of others is looked at first
        for name in self._names:
            self._go_back_to_cuts()
            while self._pushed[name] < ends[name] and self._push_some(name, ends[name]):
                self._go_back_to_cuts()
        for name in self._small:
            path = self._folder / name
            raw = path.read_bytes() if path.exists() else None
            if raw is not None and self._seen.get(name) != raw:
                self._store.write(f"{self._prefix}/{name}", raw)
                self._seen[name] = raw

    def _size(self, name: str) -> int:
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def _push_some(self, name: str, end: int) -> bool:
        """Push some whole lines; whether there were any."""
        offset = self._pushed[name]
        with (self._folder / name).open("rb") as file:
            file.seek(offset)
            data = file.read(min(end - offset, _LARGEST))
            if not data.endswith(b"\n"):
                data += file.readline()
        data = data[: data.rfind(b"\n") + 1]  # the last line may still be being written
        if not data:
            return False
        folder, session, after = f"{self._prefix}/{FOLDER}/{name}", self._lease.session, self._after[name]
        if self._store.can_append:
            if name not in self._appended:
                self._appended[name] = Segment(session, self._next(), offset, 0, after).name
            self._store.append(f"{folder}/{self._appended[name]}", data)
        else:
            segment = Segment(session, self._next(), offset, len(data), after)
            self._store.write(f"{folder}/{segment.name}", data)
        self._pushed[name] = offset + len(data)
        return True

    def _next(self) -> int:
        self._number += 1
        return self._number


def read_lease(store: Store, prefix: str) -> Lease | None:
    """The lease of a shard; None where there is none that can be read."""
    raw = store.read(f"{prefix}/{LEASE}")
    try:
        return None if raw is None else msgspec.json.decode(raw, type=Lease)
    except msgspec.DecodeError:
        return None


def take_lease(
    store: Store, prefix: str, session: int, *, at_once: bool = False, patience: float = LEASE_SECONDS + 5
) -> Lease:
    """Take a shard for this process, when the one before has let go of it or has been silent.

    Args:
        store: where it is.
        prefix: of the shard.
        session: the newest one that is known.
        at_once: do not wait, since the process before is known to be dead.
        patience: seconds to wait for the process before to let go.

    Raises:
        StoreError: another process works on the shard.
    """
    owner, began = uuid.uuid4().hex, time.monotonic()
    while True:
        found = read_lease(store, prefix)
        if found is None or found.is_over or at_once:
            newest = max(session, found.session if found else 0)
            lease = Lease(owner, time.time() + LEASE_SECONDS, newest + 1, socket.gethostname(), os.getpid())
            store.write(f"{prefix}/{LEASE}", msgspec.json.encode(lease))
            time.sleep(0.2)  # of two that take it at the same time, the one whose lease is seen by both goes on
            again = read_lease(store, prefix)
            if again is not None and again.owner == owner:
                return lease
            at_once = False
        if time.monotonic() - began > patience:
            raise StoreError(f"Another process works on {store.url}/{prefix}. Stop it, or run another shard.")
        time.sleep(1)
