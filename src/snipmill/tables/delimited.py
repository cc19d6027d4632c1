"""Rows of CSV and TSV files, as objects of texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from snipmill.tables.compression import DAMAGE, what_broke
from snipmill.tables.json_rows import LONGEST_LINE
from snipmill.tables.values import BrokenOff, Unreadable, Value


def delimited_rows(handle: BinaryIO, delimiter: str) -> Iterator[tuple[int, Value]]:
    """Each row with the number of its first line; the first line of the file names the columns."""
    csv.field_size_limit(LONGEST_LINE)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "end of data" in str(error):
                yield line, BrokenOff("a quoted value is never closed")
                return
            yield line, Unreadable(f"is no row: {error}.")
            continue
        except DAMAGE as error:
            yield line, BrokenOff(what_broke(error))
            return
        if cells is None:
            return
        if not cells:  # an empty line
            continue
        if names is None:
            names = cells
        elif len(cells) != len(names):
            yield line, Unreadable(f"has {len(cells)} values; the first line names {len(names)} columns.")
        elif any(map(_is_damaged, cells)):
            yield line, Unreadable("is not UTF-8.")
        else:
            yield line, dict(zip(names, cells, strict=True))


def _is_damaged(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= symbol <= "\udcff" for symbol in text)
