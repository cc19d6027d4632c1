"""Lines of journals, and journals of other processes, which are read as far as they have come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from snipmill.errors import StoreError
from snipmill.id_index import IdIndex
from snipmill.store.entries import Entry

E = TypeVar("E", bound=Entry)


class OtherJournal(Generic[E]):
    """A journal that another process may be writing, read as far as it has come."""

    def __init__(self, path: Path, decoder: msgspec.json.Decoder[E]) -> None:
        self._path = path
        self._decoder = decoder
        self._offsets = IdIndex()
        self._end = 0
        self._file = -1

    def refresh(self) -> None:
        """Take notice of what was written since.

        Raises:
            StoreError: it is damaged.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        if status.st_size < self._end or status.st_ino != self._file:  # it was written anew
            self._offsets, self._end, self._file = IdIndex(), 0, status.st_ino
        if status.st_size > self._end:
            for entry, offset, end in entries_of(self._path, self._decoder, self._end):
                self._offsets.put(entry.id, offset)
                self._end = end

    def get(self, record_id: str) -> E | None:
        """The newest entry of a record."""
        offset = self._offsets.get(record_id)
        if offset is None:
            return None
        try:
            # Not kept open: a run may have more shards than a process may have files.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return entry_at(descriptor, offset, record_id, self._decoder)
        except msgspec.DecodeError:  # the other process has written the file anew
            return None
        finally:
            os.close(descriptor)


def entry_at(descriptor: int, offset: int, record_id: str, decoder: msgspec.json.Decoder[E]) -> E | None:
    """The entry in the line at an offset, if it is that of the record: hashes may collide."""
    parts: list[bytes] = []
    while True:
        part = os.pread(descriptor, 1 << 16, offset)
        head, newline, _ = part.partition(b"\n")
        parts.append(head)
        if newline or not part:
            entry: E = decoder.decode(b"".join(parts))
            return entry if entry.id == record_id else None
        offset += len(part)


def entries_of(path: Path, decoder: msgspec.json.Decoder[E], offset: int = 0) -> Iterator[tuple[E, int, int]]:
    """Each complete entry with the offsets of its line, from an offset on; an incomplete last line ends the journal.

    Raises:
        StoreError: a line in the middle is damaged.
    """
    with path.open("rb") as handle:
        handle.seek(offset)
        for line in handle:
            if not line.endswith(b"\n"):
                return
            try:
                entry = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise StoreError(
                    f"{path}:{_line_number(path, offset)} is damaged: {error}. Restore the file, or delete this line and "
                    "run again."
                ) from error
            yield entry, offset, offset + len(line)
            offset += len(line)


def _line_number(path: Path, offset: int) -> int:
    with path.open("rb") as handle:
        return handle.read(offset).count(b"\n") + 1
