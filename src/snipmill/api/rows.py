"""Records out of files, and the rows that are chosen."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TypeVar

from snipmill.api.outcomes import Keep, OnReject, check_kind, checked, ignore, refused_by
from snipmill.config import Config
from snipmill.engine.record_ids import RecordIds
from snipmill.errors import UsageError
from snipmill.reasons import Reason
from snipmill.records import Execution, Record, Reject, Row
from snipmill.selection.sanitize import sanitize
from snipmill.selection.styles import RAW
from snipmill.stages.sanitize_rows import sanitize_rows
from snipmill.stages.select_rows import select_rows
from snipmill.store.jsonl import decode_record
from snipmill.store.reading import read_records

R = TypeVar("R", bound=Record)


def read(path: str | Path, kind: type[R], on_reject: OnReject = ignore) -> Generator[R, None, None]:
    """The records of a file: JSON lines, CSV, Parquet, Arrow, compressed or not, a folder of them, or hub:OWNER/NAME.

    Args:
        path: of the file.
        kind: of its records, such as `Response`.
        on_reject: called with each row that is no such record.

    Raises:
        UsageError: there is no such file.
    """
    ids = RecordIds()
    for place, found in enumerate(read_records(str(path), kind, "reading")):
        if isinstance(found, Reject):
            on_reject(found)
            continue
        record, earlier = ids.admit(found, place)
        if earlier is None:
            yield record
        else:
            detail = "A record with this id was already read."
            on_reject(Reject(id=record.id, stage="reading", reason=Reason.DUPLICATE_RECORD, detail=detail))


def select(
    candidates: Iterable[Execution | Row],
    config: Config | None = None,
    *,
    keep: Keep[Row] | None = None,
    on_reject: OnReject = ignore,
) -> Generator[Row, None, None]:
    """Choose rows: one for each task, without duplicates, contamination or what lies below a bar.

    Args:
        candidates: verified responses, which become rows in the configured style; or rows, which stay as they are.
        config: bars, benchmarks and style, in `config.select`.
        keep: a filter of your own, asked before rows are compared.
        on_reject: called with everything that is dropped.

    Raises:
        UsageError: verified responses and rows are mixed, or a benchmark cannot be read.
    """
    if not isinstance(candidates, Iterable):
        raise UsageError(f"select takes an iterable of records, and was given {type(candidates).__name__}.")
    return _selected(candidates, checked(config), keep, on_reject)


def _selected(
    candidates: Iterable[Execution | Row], config: Config, keep: Keep[Row] | None, on_reject: OnReject
) -> Generator[Row, None, None]:
    kinds: set[bool] = set()

    def rows() -> Generator[Row, None, None]:
        for place, one in enumerate(candidates):
            check_kind(one, (Execution, Row), "select", place)
            kinds.add(isinstance(one, Row))
            if len(kinds) > 1:
                raise UsageError(f"select: rows and verified responses are mixed; number {place} is {one.id}.")
            row = one if isinstance(one, Row) else sanitize(one, RAW, config.run.seed)
            refused = row if isinstance(row, Reject) else refused_by(row, "select", keep)
            if refused is not None:
                on_reject(refused)
            elif isinstance(row, Row):
                yield row

    chosen = select_rows(rows(), config.select, config.run.seed, on_reject)
    if True in kinds:
        yield from chosen
        return
    for outcome in sanitize_rows(chosen, config.select, config.run.seed):
        if isinstance(outcome, Reject):
            on_reject(outcome)
        else:
            yield decode_record(outcome, Row)
