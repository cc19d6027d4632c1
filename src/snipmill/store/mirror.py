"""A shard's files here and on a store: pulled as they appear, and pushed as they grow.

What is appended here is pushed every few seconds, records before the lines that speak of them, so that what another process reads
is never ahead of itself. While the store is gone, everything stays in the folder.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from snipmill.errors import StoreError
from snipmill.store.lease import LEASE, LEASE_SECONDS, Lease, read_lease, release_lease
from snipmill.store.remote import Store
from snipmill.store.run_directory import RunDirectory
from snipmill.store.segments import FOLDER, Assembled, Segment, SessionStart, parse_segment, valid_segments

_PUSH_EVERY, _PUSH_LATER = 2.0, 10.0  # seconds, in the first minutes and later: stores charge for each object
_YOUNG = 600.0  # seconds
_LAST_PATIENCE = 5.0  # seconds for a store that is gone when a person has stopped the command
GROWN, SESSIONS = "grown.jsonl", "sessions"
_LARGEST = 64 << 20  # bytes of a segment


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
        self._starts: dict[str, dict[int, SessionStart]] = {}

    def pull(self, prefix: str, wanted: Callable[[str], bool] = lambda _name: True) -> None:
        """Bring the files of a shard up to date: the lines that speak of records before the records.

        Args:
            prefix: of the shard, such as `shards/3`.
            wanted: whether a file with a name is pulled.
        """
        if wanted(GROWN):  # listed before the others, so that they are not behind it
            self.pull_some(prefix, (GROWN,))
        by_file: dict[str, list[Segment]] = {}
        for name in self._store.names(f"{prefix}/{FOLDER}"):
            file, _, last = name.removeprefix(f"{prefix}/{FOLDER}/").rpartition("/")
            segment = parse_segment(last)
            if segment is not None and file != GROWN and wanted(file):
                by_file.setdefault(file, []).append(segment)
        self._take(prefix, by_file)

    def pull_some(self, prefix: str, files: Iterable[str]) -> None:
        """Bring a few files of a shard up to date, without a look at the others."""
        by_file: dict[str, list[Segment]] = {}
        for file in files:
            found = (parse_segment(name.rpartition("/")[2]) for name in self._store.names(f"{prefix}/{FOLDER}/{file}"))
            by_file[file] = [segment for segment in found if segment is not None]
        self._take(prefix, by_file)

    def _take(self, prefix: str, by_file: Mapping[str, list[Segment]]) -> None:
        starts = self.starts(prefix)
        for file in sorted(by_file):
            key = f"{prefix}/{file}"
            if key not in self._files:
                self._files[key] = Assembled(self._folder / prefix / file, f"{self._store.url}/{key}")
            assembled = self._files[key]
            for segment in assembled.missing(valid_segments(by_file[file], file, starts)):
                raw = self._store.read(f"{prefix}/{FOLDER}/{file}/{segment.name}")
                if raw is None:
                    raise StoreError(f"{self._store.url}/{key}: segment {segment.name} is gone.")
                assembled.take(segment, raw)

    def starts(self, prefix: str) -> dict[int, SessionStart]:
        """Where the sessions of a shard began, by their numbers."""
        known = self._starts.setdefault(prefix, {})
        for name in self._store.names(f"{prefix}/{SESSIONS}"):
            number = name.rpartition("/")[2].removesuffix(".json")
            if number.isdecimal() and int(number) not in known:
                raw = self._store.read(name)
                if raw is not None:
                    known[int(number)] = msgspec.json.decode(raw, type=SessionStart)
        return known

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
                shard = RunDirectory(self._folder / prefix)
                shard.path.mkdir(parents=True, exist_ok=True)
                shard.write_text(name, raw.decode())


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
        self._start = SessionStart({name: end.last for name, end in ends.items() if end.last != (0, 0)})
        self._appended: dict[str, str] = {}
        self._seen: dict[str, bytes] = {}
        self._lease, self._number = lease, 0
        self._cuts: dict[str, int] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="snipmill-push", daemon=True)
        self._begun = self._renewed = time.monotonic()
        self.failed: StoreError | None = None
        self.on_failure: Callable[[], object] = lambda: None

    def __enter__(self) -> Pusher:
        name = f"{self._prefix}/{SESSIONS}/{self._lease.session:06d}.json"
        if not self._store.create(name, msgspec.json.encode(self._start)):
            raise StoreError(
                f"Another process works on {self._store.url}/{self._prefix}. Stop it, or run another shard."
            )
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:  # whoever has stopped us does not want to wait long
            self._store.patience = _LAST_PATIENCE
            self._store.stopping.set()
        self._ended.set()
        self._thread.join()
        self._store.stopping.clear()
        if self.failed is not None and kind is None:
            raise self.failed
        with contextlib.suppress(StoreError) if kind is not None else contextlib.nullcontext():
            self.push()
            release_lease(self._store, self._prefix, self._lease)

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
        while not self._ended.wait(_PUSH_EVERY if time.monotonic() - self._begun < _YOUNG else _PUSH_LATER):
            try:
                self._renew()
                self.push()
            except StoreError as error:
                self.failed = error
            except Exception as error:  # of this machine, such as a full disk
                self.failed = StoreError(f"{self._folder} cannot be pushed: {error}. Run the same command again.")
            if self.failed is not None:
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
        if found is not None and found.owner != self._lease.owner:
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
        folder, session = f"{self._prefix}/{FOLDER}/{name}", self._lease.session
        if self._store.can_append:
            if name not in self._appended:
                self._appended[name] = Segment(session, self._next(), offset, 0).name
            self._store.append(f"{folder}/{self._appended[name]}", data)
        else:
            segment = Segment(session, self._next(), offset, len(data))
            self._store.write(f"{folder}/{segment.name}", data)
        self._pushed[name] = offset + len(data)
        return True

    def _next(self) -> int:
        self._number += 1
        return self._number
