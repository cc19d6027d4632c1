"""Reads tables with a column of code: JSONL, CSV, TSV and Parquet files, compressed or not, or any iterable of rows."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from snipmill.errors import UsageError
from snipmill.languages import language_named, language_of
from snipmill.reasons import Reason
from snipmill.records import Reject
from snipmill.seeds.document import MAX_BYTES, Document, reject_document
from snipmill.seeds.licenses.expressions import UNKNOWN, normalize_licenses
from snipmill.seeds.sources.tree import Origin

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_MAX_LINE = 8 * MAX_BYTES
_BATCH = 256

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table, by what they hold; None if there is no such column."""

    code: str
    license: str | None = None
    path: str | None = None
    source: str | None = None
    revision: str | None = None
    language: str | None = None

    def wanted(self) -> list[str]:
        """The names of all columns to read."""
        names = (self.code, self.license, self.path, self.source, self.revision, self.language)
        return list(dict.fromkeys(name for name in names if name is not None))


def format_of(name: str) -> str | None:
    """The format of a table, compressed or not, by its file name; None if it is not a table."""
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    return _FORMATS.get(Path(name).suffix.lower())


def table_documents(path: Path, columns: Columns, origin: Origin) -> Iterator[Document | Reject]:
    """A document for each row of a file.

    Raises:
        UsageError: the file cannot be read, lacks a column, or needs an extra that is not installed.
    """
    origin = Origin(path.name, origin.revision, origin.license, origin.languages)
    kind = format_of(path.name)
    try:
        if kind == "parquet":
            yield from row_documents(_parquet_rows(path, columns), path.name, columns, origin)
            return
        with _opened(path) as handle:
            if kind == "jsonl":
                rows: Iterable[Row | str] = _json_rows(handle)
            else:
                rows = _csv_rows(handle, "\t" if kind == "tsv" else ",")
            yield from row_documents(rows, path.name, columns, origin)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def row_documents(
    rows: Iterable[Row | str], shown: str, columns: Columns, origin: Origin
) -> Iterator[Document | Reject]:
    """A document for each row. A row given as a string is an error message, and becomes a reject.

    Raises:
        UsageError: the first row lacks one of the columns.
    """
    seen = False
    for number, row in enumerate(rows, start=1):
        where = f"{shown}:{number}"
        if isinstance(row, str):
            yield reject_document(where, Reason.NOT_A_ROW, row)
            continue
        if not seen:
            missing = [name for name in columns.wanted() if name not in row]
            if missing:
                there = ", ".join(sorted(map(str, row))[:20]) or "none"
                raise UsageError(f"{shown} has no column {missing[0]!r}; its columns are {there}.")
            seen = True
        yield _document(row, where, columns, origin)


def _document(row: Row, where: str, columns: Columns, origin: Origin) -> Document | Reject:
    code = row.get(columns.code)
    if not isinstance(code, str) or not code.strip():
        return reject_document(where, Reason.NOT_A_ROW, f"has no text in the column {columns.code!r}.")
    path = _text(row, columns.path)
    named = _text(row, columns.language)
    language = language_named(named) if named is not None else language_of(path or "") or "Python"
    if language is None or language not in origin.languages:
        return reject_document(where, Reason.OTHER_LANGUAGE, f"is {named or language}, which is not looked for.")
    license = origin.license
    if columns.license is not None and row.get(columns.license):
        # An unknown licence name is not a missing one: the licence that the user states does not replace it.
        license = normalize_licenses(row[columns.license]) or UNKNOWN
    return Document(
        shown=where,
        content=code,
        language=language,
        source=_text(row, columns.source) or origin.source,
        revision=_text(row, columns.revision) or origin.revision,
        path=path,
        license=license,
    )


def _text(row: Row, column: str | None) -> str | None:
    value = row.get(column) if column is not None else None
    return str(value) if value is not None and value != "" else None


def _opened(path: Path) -> BinaryIO:
    """Open a file, decompressed according to its suffix."""
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if path.suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path))
    if path.suffix == ".xz":
        return cast(BinaryIO, lzma.open(path))
    if path.suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            raise UsageError(f"{path} is compressed; to read it, run `pip install 'snipmill[seeds]'`.") from None
        return cast(BinaryIO, io.BufferedReader(_Zstandard(path, zstandard)))
    return path.open("rb")


class _Zstandard(io.RawIOBase):
    """The decompressed bytes of a .zst file of one or more frames. Raises EOFError if it ends within a frame."""

    def __init__(self, path: Path, library: Any) -> None:
        self._file = path.open("rb")
        self._library = library
        self._frame = library.ZstdDecompressor().decompressobj()
        self._raw = self._waiting = b""
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            self._raw = self._raw or self._file.read(1 << 16)
            if not self._raw:
                if self._begun:
                    raise EOFError("the compressed file ends too early")
                return 0
            try:
                self._waiting, self._begun = self._frame.decompress(self._raw), True
            except self._library.ZstdError as error:
                raise OSError(0, str(error)) from error
            self._raw = b""
            if self._frame.eof:
                self._raw, self._begun = self._frame.unused_data, False
                self._frame = self._library.ZstdDecompressor().decompressobj()
        size = min(len(buffer), len(self._waiting))
        buffer[:size], self._waiting = self._waiting[:size], self._waiting[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _json_rows(handle: BinaryIO) -> Iterator[Row | str]:
    while line := handle.readline(_MAX_LINE):
        if not line.endswith(b"\n") and len(line) == _MAX_LINE:
            while (rest := handle.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            yield f"is longer than {_MAX_LINE:,} bytes."
            continue
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"is no JSON: {error}."
            continue
        yield row if isinstance(row, dict) else f"holds {type(row).__name__}, not an object."


def _csv_rows(handle: BinaryIO, delimiter: str) -> Iterator[Row | str]:
    csv.field_size_limit(_MAX_LINE)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline="")
    reader = csv.DictReader(text, delimiter=delimiter)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield f"is no row: {error}."
            continue
        if row is None:
            return
        yield {name: value for name, value in row.items() if isinstance(name, str)}


def _one_by_one(batch: Any) -> Iterator[Row | str]:
    """The rows of a batch in which at least one row cannot be read."""
    for number in range(batch.num_rows):
        try:
            yield from batch.slice(number, 1).to_pylist()
        except (UnicodeDecodeError, OverflowError) as error:
            yield f"cannot be read: {error}."


def _parquet_rows(path: Path, columns: Columns) -> Iterator[Row | str]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError(f"{path} is Parquet; to read it, run `pip install 'snipmill[parquet]'`.") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in columns.wanted() if name in names]
            if len(wanted) < len(columns.wanted()):
                yield dict.fromkeys(names)  # enough to report which columns there are
                return
            for batch in file.iter_batches(_BATCH, columns=wanted):
                try:
                    yield from batch.to_pylist()
                except (UnicodeDecodeError, OverflowError):
                    yield from _one_by_one(batch)
    except (ArrowException, ValueError) as error:
        raise UsageError(f"{path} is not a valid Parquet file: {error}.") from error
