"""Mines tables with a column of code: files of rows, or rows from the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.languages import language_named, language_of
from snipmill.reasons import Reason
from snipmill.records import Reject
from snipmill.seeds.document import Document, reject_document
from snipmill.seeds.licenses.expressions import UNKNOWN, normalize_licenses
from snipmill.seeds.sources.tree import Origin
from snipmill.tables.table import Table
from snipmill.tables.values import BrokenOff, Row, Unreadable, Value, decode_row


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


def table_documents(path: Path, columns: Columns, origin: Origin) -> Iterator[Document | Reject]:
    """A document for each row of a file.

    Raises:
        UsageError: the file lacks a column, or needs an extra that is not installed.
    """
    origin = Origin(path.name, origin.revision, origin.license, origin.languages)
    table = Table(str(path), shown=path.name, columns=columns.wanted())
    rows = ((table.place(number), value) for number, value in table.rows())
    yield from row_documents(rows, path.name, columns, origin)


def row_documents(
    rows: Iterable[tuple[str, Value]], shown: str, columns: Columns, origin: Origin
) -> Iterator[Document | Reject]:
    """A document for each row, which is given with its place.

    Raises:
        UsageError: the first row lacks one of the columns.
    """
    seen = False
    for where, value in rows:
        row = decode_row(value)
        if isinstance(row, BrokenOff):
            yield reject_document(where, Reason.DAMAGED_FILE, f"breaks off: {row.problem}.")
            continue
        if isinstance(row, Unreadable):
            yield reject_document(where, Reason.NOT_A_ROW, row.problem)
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
