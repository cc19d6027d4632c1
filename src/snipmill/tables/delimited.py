"""Rows of CSV and TSV files, as objects of texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from snipmill.tables.compression import DAMAGE
from snipmill.tables.json_rows import LONGEST_LINE
from snipmill.tables.values import BrokenOff, Unreadable, Value


def delimited_rows(handle: BinaryIO, delimiter: str) -> Iterator[tuple[int, Value]]:
    """Each row with the number of its first line; the first line of the file names the columns."""
    csv.field_size_limit(LONGEST_LINE)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline="")
    reader = csv.DictReader(text, delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        try:
            if line == 1:
                _ = reader.fieldnames
                line = reader.line_num + 1
            row = next(reader, None)
        except csv.Error as error:
            yield line, Unreadable(f"is no row: {error}.")
            continue
        except DAMAGE as error:
            yield line, BrokenOff(str(error).rstrip("."))
            return
        if row is None:
            return
        yield line, {name: value for name, value in row.items() if isinstance(name, str)}
