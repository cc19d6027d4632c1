"""Append-only journals of costly results: completions and verdicts. All other files of a run are derived from them.

One line per task, written with a single call, so that a killed process loses at most the tasks in flight. An incomplete
last line is cut off when the journal is opened again. Only the offsets of lines are held in memory, not the lines.

A journal may look into others, of other shards of the same run, which other processes may be writing: what they paid for is found.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from snipmill.errors import StoreError
from snipmill.id_index import IdIndex
from snipmill.records import Usage
from snipmill.store.entries import CompletionEntry, Entry, VerificationEntry
from snipmill.store.journal_lines import OtherJournal, entries_of, entry_at
from snipmill.store.jsonl import Writer, encode_line

E = TypeVar("E", bound=Entry)
_BEGIN = b'{"id":"'  # of each line
_LOOKS = (0.02, 0.05, 0.1, 0.2, 0.4)  # seconds between tries to lock


class Journal(Generic[E]):
    """A journal of one stage; use as a context manager.

    Args:
        path: of the file; None keeps it nowhere, for output to a pipe.
        kind: of its entries.
        read_only: read it as far as it has come, while another process may be writing; what is appended is written nowhere.
        others: journals of the same kind to look into for what this one does not hold. They need not exist yet.
    """

    def __init__(
        self, path: Path | None, kind: type[E], *, read_only: bool = False, others: Sequence[Path] = ()
    ) -> None:
        self._path = path
        self._decoder: msgspec.json.Decoder[E] = msgspec.json.Decoder(kind)
        self._offsets = IdIndex()
        self._descriptor = -1
        self._end = 0
        self._read_only = read_only
        self._others = [OtherJournal(other, self._decoder) for other in others]
        self.used: IdIndex | None = None  # where it is an index, the entries that were found or made since

    def __enter__(self) -> Journal[E]:
        self.refresh()
        if self._path is None:
            return self
        if self._read_only:
            if self._path.exists():
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._read_index()
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(
                f"The journal {self._path} cannot be opened: {error.strerror}. Fix this, or choose another output."
            ) from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreError(
                    f"{self._path} cannot be locked: {error.strerror}. Use a file system with locks; NFS has them where lockd runs."
                ) from error
            raise StoreError(
                f"Another snipmill process, or another stage of this program, is writing {self._path}. Wait for it, stop it, or "
                "choose another output."
            ) from None
        try:
            self._refuse_other_files()
            self._read_index()
        except BaseException:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, self._end)
        return self

    def _refuse_other_files(self) -> None:
        """Write into nothing but a journal of this kind: what comes after its last whole line is cut off.

        Raises:
            StoreError: the file is something else.
        """
        with open(self._descriptor, "rb", closefd=False) as file:
            first = file.readline()
        try:
            names = msgspec.json.decode(first, type=dict[str, msgspec.Raw]).keys()
        except msgspec.DecodeError:
            # A damaged line is told with its number; one that was cut off by a crash is taken away, and nothing else.
            if not first.endswith(b"\n") and not (_BEGIN.startswith(first) or first.startswith(_BEGIN)):
                raise StoreError(f"{self._path} is no journal. Give another file.") from None
            return
        kind = self._decoder.type
        is_verdict = "verdict" in names and "verification" not in names
        if not names <= set(kind.__struct_encode_fields__) or (kind is VerificationEntry and is_verdict):
            raise StoreError(f"{self._path} is no journal of this stage. Give another file.")

    def _read_index(self) -> None:
        assert self._path is not None
        for entry, offset, end in entries_of(self._path, self._decoder):
            self._offsets.put(entry.id, offset)
            self._end = end

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def refresh(self) -> None:
        """Take notice of what was written into the others since.

        Raises:
            StoreError: one of them is damaged.
        """
        for other in self._others:
            other.refresh()

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, record_id: str) -> E | None:
        """The newest entry of a record."""
        offset = self._offsets.get(record_id)
        if offset is None:
            found = (other.get(record_id) for other in self._others)
            return next((entry for entry in found if entry is not None), None)
        if self.used is not None:
            self.used.put(record_id, offset)
        return entry_at(self._descriptor, offset, record_id, self._decoder)

    def find(self, record_id: str, is_usable: Callable[[E], bool]) -> E | None:
        """An entry of a record that is usable: the newest one, or one in another journal where that is not."""
        entry = self.get(record_id)
        if entry is None or is_usable(entry):
            return entry  # it was not in any other either
        found = (other.get(record_id) for other in self._others)
        return next((other for other in found if other is not None and is_usable(other)), None)

    def append(self, entry: E) -> None:
        """Append an entry to the file, so that it survives a crash of this process.

        Raises:
            StoreError: the disk is full, or the file cannot be written.
        """
        if self._path is not None and not self._read_only:
            self.append_line(entry.id, encode_line(entry))

    def is_worse_than(self, line: bytes, record_id: str) -> bool:
        """Whether the file itself has no entry of a record, or one that is worth less than the one in a line."""
        offset = self._offsets.get(record_id)
        if offset is None:
            return True
        own = entry_at(self._descriptor, offset, record_id, self._decoder)
        return own is None or _worth(own) < _worth(self._decoder.decode(line))

    def append_line(self, record_id: str, line: bytes) -> None:
        """Append an entry that is already encoded.

        Raises:
            StoreError: as `append`.
        """
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written: {error.strerror}. Earlier entries are kept; fix this and run again."
            ) from error
        if written < len(line):
            os.ftruncate(self._descriptor, self._end)
            raise StoreError(
                f"{self._path} cannot be written: the disk is full. Earlier entries are kept; free space and run again."
            )
        self._offsets.put(record_id, self._end)
        if self.used is not None:
            self.used.put(record_id, self._end)
        self._end += len(line)


def join_journal(journal: Journal[Any], other: Path) -> int:
    """Append what another journal holds, and this one does not, or only as something worse. Returns how many entries that were.

    Raises:
        StoreError: a line of the other is damaged, or the journal cannot be written.
    """
    if not other.exists():
        return 0
    newest = IdIndex()
    decoder = msgspec.json.Decoder(Entry)
    for entry, offset, _ in entries_of(other, decoder):
        newest.put(entry.id, offset)
    joined = 0
    with other.open("rb") as handle:
        for entry, offset, end in entries_of(other, decoder):
            if newest.get(entry.id) == offset:
                handle.seek(offset)
                line = handle.read(end - offset)
                if journal.is_worse_than(line, entry.id):
                    journal.append_line(entry.id, line)
                    joined += 1
    return joined


def _worth(entry: Entry) -> tuple[bool, bool, int]:
    """What a completion is worth: one that ended by itself, then one at all, then one that had more room."""
    if not isinstance(entry, CompletionEntry):
        return (True, True, 0)
    completion = entry.completion
    ended = completion is not None and completion.stopped_by_itself
    return ended, completion is not None, entry.max_tokens + entry.max_thinking_tokens


def keep_entries(path: Path, out: Path, kind: type[E], kept: Callable[[E, int], E | None]) -> int:
    """Copy a journal without some of its entries; the copy appears when it is complete, also in place of the journal itself.

    Args:
        path: of the journal.
        out: of the copy.
        kind: of its entries.
        kept: the entry to write for an entry and the offset of its line; None for none.

    Returns:
        how many entries were left out.
    """
    left_out = 0
    with Writer[Any](out) as writer:
        for entry, offset, _ in entries_of(path, msgspec.json.Decoder(kind)) if path.exists() else ():
            stays = kept(entry, offset)
            if stays is None:
                left_out += 1
            else:
                writer.write_line(encode_line(stays))
    return left_out


def _lock(descriptor: int) -> None:
    """Lock a file for this process. Who only looks whether it is locked holds it for a moment, too.

    Raises:
        OSError: another process holds it.
    """
    for wait in _LOOKS:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(wait)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_in_use(path: Path) -> bool:
    """Whether a process is writing a journal at this moment."""
    if not path.exists():
        return False
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def read_journal(path: Path, kind: type[E]) -> Iterator[E]:
    """The entries of a journal that another process may be writing; only the newest entry of a record counts."""
    if path.exists():
        for entry, _, _ in entries_of(path, msgspec.json.Decoder(kind)):
            yield entry


def usages_in(path: Path) -> Iterator[Usage]:
    """The tokens of every completion in a journal, also of those that were asked for again."""
    for entry in read_journal(path, CompletionEntry):
        if entry.completion is not None:
            yield entry.completion.usage


def usages_elsewhere(paths: Sequence[Path], own: Sequence[Path]) -> Iterator[Usage]:
    """The tokens of completions in some journals that are in none of one's own, each once."""
    seen = IdIndex()
    for path in own:
        for entry in read_journal(path, Entry):
            seen.put(entry.id)
    for path in paths:
        for entry in read_journal(path, CompletionEntry):
            if entry.completion is not None and seen.add(entry.id, 0) is None:
                yield entry.completion.usage
