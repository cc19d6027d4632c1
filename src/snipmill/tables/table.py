"""A table: rows out of one file or many, each with its place."""

from __future__ import annotations

import shutil
import sys
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from snipmill.errors import UsageError
from snipmill.tables.arrow import arrow_rows
from snipmill.tables.compression import COMPRESSIONS, DAMAGE, MAGIC, open_decompressed, what_broke
from snipmill.tables.delimited import delimited_rows
from snipmill.tables.hub import PREFIX, open_hub
from snipmill.tables.json_rows import begins_list, begins_whole_object, json_lines, whole_value
from snipmill.tables.shards import find_shards, format_of
from snipmill.tables.values import BrokenOff, Value

STANDARD_INPUT = "-"
_PARQUET = b"PAR1"
_BEGIN = 1 << 16


class Table:
    """The rows of a file, of the files of a folder or a pattern, of standard input (`-`), or of a data set on the hub.

    Args:
        path: where they are.
        shown: what to call it in messages; None for the path.
        columns: which columns to read, where a format can leave out the others; None for all.

    Raises:
        UsageError: there is no such file.
    """

    def __init__(self, path: str, *, shown: str | None = None, columns: Sequence[str] | None = None) -> None:
        self.shown = shown or ("standard input" if path == STANDARD_INPUT else path)
        self._path = path
        self._columns = columns
        is_file = path != STANDARD_INPUT and not path.startswith(PREFIX)
        self._shards = find_shards(path) if is_file else [Path(path)]
        self._ends: array[int] = array("Q")  # of each shard that was read: the number of its last row
        self._counts_rows: list[bool] = []  # for each shard, whether its numbers count rows; else they count lines

    @property
    def files(self) -> list[Path]:
        """The files that are read; none for standard input and the hub."""
        return [shard for shard in self._shards if shard.is_file()]

    @property
    def is_one_file(self) -> bool:
        """Whether the rows come from a single file."""
        return self._shards == [Path(self._path)]

    def rows(self) -> Iterator[tuple[int, Value]]:
        """Each row with a number by which `place` knows it; after `BrokenOff`, the next file follows.

        Raises:
            UsageError: there is not one row, or an extra is missing.
        """
        self._ends, self._counts_rows = array("Q"), []
        last = 0
        for shard in self._shards:
            first = last
            for number, value in self._rows_of(shard):
                last = first + number
                yield last, value
            self._ends.append(last)
        if not last:
            raise UsageError(f"{self.shown} is empty: it holds no rows.")

    def place(self, number: int) -> str:
        """Where a row stands: `file:line`, or the number of the row in a file without lines."""
        shard = bisect_right(self._ends, number - 1)
        shown = self.shown if self.is_one_file else str(self._shards[shard])
        within = number - (self._ends[shard - 1] if shard else 0)
        return f"{shown}, row {within}" if self._counts_rows[shard] else f"{shown}:{within}"

    def _rows_of(self, shard: Path) -> Iterator[tuple[int, Value]]:
        if self._path == STANDARD_INPUT:
            yield from self._rows_of_standard_input()
            return
        if self._path.startswith(PREFIX):
            self._counts_rows.append(True)
            yield from enumerate(open_hub(self._path).rows, start=1)
            return
        yield from self._rows_of_file(shard)

    def _rows_of_file(self, shard: Path) -> Iterator[tuple[int, Value]]:
        kind = format_of(shard.name)
        if kind in ("parquet", "arrow") and shard.suffix.lower() in COMPRESSIONS:
            self._counts_rows.append(True)
            yield 1, BrokenOff(f"compressed {kind.capitalize()}; decompress it first")
            return
        with open_decompressed(shard) as handle:
            begin = _peek(handle)
            if isinstance(begin, BrokenOff):
                self._counts_rows.append(False)
                yield 1, begin
            elif kind in ("parquet", "arrow") or begin.startswith(_PARQUET):
                self._counts_rows.append(True)
                yield from arrow_rows(shard, kind if kind == "arrow" else "parquet", self._columns)
            elif kind in ("csv", "tsv"):
                self._counts_rows.append(False)
                yield from delimited_rows(handle, "\t" if kind == "tsv" else ",")
            elif begins_list(begin) or (kind == "json" and begins_whole_object(begin)):
                self._counts_rows.append(True)
                yield from whole_value(handle, may_be_lines=kind != "json")
            else:
                self._counts_rows.append(False)
                yield from json_lines(handle)

    def _rows_of_standard_input(self) -> Iterator[tuple[int, Value]]:
        """JSON lines as they come; anything else is written to a temporary file first, and read from there."""
        begin = _peek(sys.stdin.buffer)
        if isinstance(begin, bytes) and not (begins_list(begin) or begin.startswith((_PARQUET, *MAGIC))):
            self._counts_rows.append(False)
            yield from json_lines(sys.stdin.buffer)
            return
        with tempfile.NamedTemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
            yield from self._rows_of_file(Path(copy.name))


def _peek(handle: BinaryIO) -> bytes | BrokenOff:
    """The beginning of a file, which is still read from there."""
    try:
        return handle.peek(_BEGIN)  # type: ignore[attr-defined, no-any-return]
    except DAMAGE as error:
        return BrokenOff(what_broke(error))
