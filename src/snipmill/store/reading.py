"""Reads the records of a table. A bad row never stops reading: it becomes a reject that says where it stands.

Rows of others are read as well: see `foreign`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from snipmill.errors import UsageError
from snipmill.languages import LANGUAGES, PYTHON, language_named
from snipmill.reasons import Reason
from snipmill.records import Record, Reject, encode_json
from snipmill.store.foreign import Columns, columns_of, decoder, record_of
from snipmill.store.jsonl import decode_record
from snipmill.tables.table import Table
from snipmill.tables.values import BrokenOff, Unreadable, Value

R = TypeVar("R", bound=Record)


def read_records(
    path: str, kind: type[R], stage: str, start: int = 0, limit: int | None = None
) -> Iterator[R | Reject]:
    """The records of a file, of the files of a folder or pattern, or of standard input if the path is `-`.

    Args:
        path: where they are (`tables`).
        kind: the record type of its rows.
        stage: the stage that reads, as named in rejects.
        start: number of records to skip.
        limit: maximum number of records; None for all.

    Raises:
        UsageError: there is no such file, or it is empty.
    """
    return (record for _, record in read_table(Table(path), kind, stage, start, limit))


def read_table(
    table: Table, kind: type[R], stage: str, start: int = 0, limit: int | None = None
) -> Iterator[tuple[int, R | Reject]]:
    """As `read_records`, with the number by which the table knows the place of each."""
    if limit == 0:
        return
    count = 0
    strict = decoder(kind)
    for number, value in table.rows():
        try:
            records: Iterable[R | Reject] = (strict.decode(value),)  # type: ignore[arg-type]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            records = _read_value(value, kind, table, number, stage)  # not exactly our format: be lenient
        for candidate in records:
            record = _in_known_language(candidate, table, number, stage)
            if isinstance(record, Reject):
                yield number, record
                continue
            count += 1
            if count > start:
                yield number, record
            if limit is not None and count >= start + limit:
                return


def _in_known_language(record: R | Reject, table: Table, number: int, stage: str) -> R | Reject:
    """A record with its language name normalised, so that Python in any spelling is executed."""
    spelled = getattr(record, "language", PYTHON)
    if spelled in LANGUAGES:
        return record
    language = language_named(spelled)
    if language is None:
        detail = f"is in {spelled!r}; supported are {', '.join(LANGUAGES)}."
        return _bad(table.place(number), stage, Reason.UNKNOWN_LANGUAGE, detail)
    return msgspec.structs.replace(record, language=language)


def _read_value(value: Value, kind: type[R], table: Table, number: int, stage: str) -> Iterable[R | Reject]:
    """The records of a row that is not exactly in our format, or why there are none."""
    if isinstance(value, BrokenOff):
        problem = f"cannot be read on from here: {value.problem}."
        return (_bad(table.place(number), stage, Reason.DAMAGED_FILE, problem),)
    if isinstance(value, Unreadable):
        return (_bad(table.place(number), stage, Reason.NOT_JSON, value.problem),)
    try:
        rows = columns_of(value if isinstance(value, bytes) else encode_json(value))
    except (ValueError, TypeError, RecursionError) as error:
        return (_refused(error, kind, table.place(number), stage),)
    return [
        _record_or_reject(columns, kind, table, number, stage, sample if len(rows) > 1 else None)
        for sample, columns in enumerate(rows)
    ]


def _record_or_reject(
    columns: Columns, kind: type[R], table: Table, number: int, stage: str, sample: int | None
) -> R | Reject:
    try:
        return record_of(columns, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        place = table.place(number)
        return _refused(error, kind, place if sample is None else f"{place}, sample {sample}", stage)


def _refused(error: Exception, kind: type[Record], where: str, stage: str) -> Reject:
    shown = str(error)
    if isinstance(error, RecursionError):
        return _bad(where, stage, Reason.WRONG_TYPE, "has a column that is nested too deeply.")
    if not isinstance(error, msgspec.ValidationError):
        return _bad(where, stage, Reason.NOT_JSON, f"is not valid JSON: {error}.")
    if shown.startswith("Expected `object`, got `") and "at `$" not in shown:
        return _bad(where, stage, Reason.NOT_AN_OBJECT, f"contains {shown.split('`')[3]}, not an object.")
    reason = Reason.MISSING_FIELD if "missing required field" in shown else Reason.WRONG_TYPE
    return _bad(where, stage, reason, f"is not a valid {kind.__name__} record: {shown}.")


def _bad(where: str, stage: str, reason: str, detail: str) -> Reject:
    return Reject(id=where, stage=stage, reason=reason, detail=f"{where} {detail}", where=where)


def own_records(path: Path, kind: type[R]) -> Iterator[tuple[int, R]]:
    """The records of a file that a run wrote, with their offsets in it; none of a file that is not there.

    Raises:
        UsageError: a line is damaged.
    """
    if not path.exists():
        return
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield offset, decode_record(line, kind)
            except (msgspec.DecodeError, ValueError) as error:
                raise UsageError(
                    f"{path}:{number} is damaged: {error}. `snipmill run` writes the file again."
                ) from None
            offset += len(line)
