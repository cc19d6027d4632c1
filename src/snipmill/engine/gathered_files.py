"""The files of a run while its shards are joined: what is read from many, and what is written into one."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
from array import array
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.engine.shard_files import file_names, path_of
from snipmill.errors import StoreError
from snipmill.selection.sanitize import STAGE as SANITIZE
from snipmill.stages.select_rows import Reduced
from snipmill.store.jsonl import Writer
from snipmill.store.run_directory import RunDirectory

_COPY = 1 << 20
_MOST_FILES, _OTHER_FILES = 8192, 128


class JoinedFiles:
    """The files of the run while they are written; use as a context manager.

    Attributes:
        offsets: where each row begins in the file of rows, and where the last one ends.
        with_rows: seeds from which a row has come.
        last: the position of the last seed that was written; -1 before the first one.
        gaps: how many positions before it are missing.
        enough: whether there are as many rows as the configuration asks for.
        damaged: the shard of each seed whose bytes are not those that were written.
    """

    def __init__(self, directory: RunDirectory, config: Config) -> None:
        self._writers = {name: Writer[Any](path_of(directory, name)) for name in file_names(config)}
        self._reduced = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the selection
        self._encoder = msgspec.msgpack.Encoder()
        self.offsets = array("Q", [0])
        self.with_rows = 0
        self.last = -1
        self.gaps = 0
        self.enough = False
        self.damaged: list[str] = []

    def __enter__(self) -> JoinedFiles:
        self._stack = contextlib.ExitStack()
        for writer in self._writers.values():
            self._stack.enter_context(writer)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if error[0] is not None:
            self._reduced.close()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.offsets) - 1

    def write(self, name: str, part: bytes) -> None:
        """Append whole lines to a file."""
        self._writers[name].write_line(part)
        if name == SANITIZE:
            place = self.offsets[-1]
            for line in part.splitlines(keepends=True):
                place += len(line)
                self.offsets.append(place)

    def keep(self, reduced: Reduced) -> None:
        """Write down what selection needs of some rows."""
        raw = self._encoder.encode(reduced)
        self._reduced.write(len(raw).to_bytes(4, "big") + raw)

    def reduced(self) -> Generator[Reduced, None, None]:
        """What was written down, in order."""
        decoder = msgspec.msgpack.Decoder(Reduced)
        with self._reduced as file:
            file.seek(0)
            while head := file.read(4):
                yield decoder.decode(file.read(int.from_bytes(head, "big")))


class ShardReader:
    """Reads parts of many files, of which as many stay open as the system lets a process have."""

    def __init__(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(hard, _MOST_FILES) if hard != resource.RLIM_INFINITY else _MOST_FILES
        if most > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        self._most = max(max(most, soft) - _OTHER_FILES, 1)
        self._open: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, begin: int, size: int) -> bytes:
        """A part of a file.

        Raises:
            StoreError: the file is shorter.
        """
        if path in self._open:
            self._open.move_to_end(path)
        else:
            if len(self._open) >= self._most:
                os.close(self._open.popitem(last=False)[1])
            try:
                self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise StoreError(f"{path} cannot be read: {error.strerror}. Run the shard again.") from error
        parts = []
        while size and (part := os.pread(self._open[path], min(size, _COPY), begin)):
            parts.append(part)
            begin, size = begin + len(part), size - len(part)
        if size:
            raise StoreError(f"{path} is shorter than the lines of its shard say. Run the shard again.")
        return b"".join(parts)

    def close(self) -> None:
        """Close all of them."""
        for descriptor in self._open.values():
            os.close(descriptor)
