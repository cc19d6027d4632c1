"""The files of a stage by hand: records come in with their places, and go out to a file or to the rejects beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snipmill.config import SeedsTable
from snipmill.engine.record_ids import RecordIds
from snipmill.errors import UsageError
from snipmill.reasons import Reason
from snipmill.records import Record, Reject
from snipmill.stages.stage_count import StageCount
from snipmill.store.jsonl import Writer
from snipmill.store.reading import read_table
from snipmill.store.run_directory import journal_path, rejects_path
from snipmill.tables.table import STANDARD_INPUT, Table

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Files:
    """What a command reads and writes; `rejects` None is beside the output."""

    source: str
    out: str
    rejects: str | None = None

    @property
    def journal(self) -> Path | None:
        """The journal beside the output; None where the output is a pipe."""
        return None if self.out == "-" else journal_path(self.out)


class Output:
    """An output file with its rejects beside it; use as a context manager.

    Args:
        files: where they are.
        count: of the stage; `write_and_count` and `write_line` add to it, `write` leaves that to whoever made the record.
    """

    def __init__(self, files: Files, count: StageCount) -> None:
        self._out, self._rejects, self._count = files.out, files.rejects, count
        if self._rejects is None and files.out != "-":
            self._rejects = str(rejects_path(files.out))
        self._stack = contextlib.ExitStack()
        self.place_of: Callable[[str], str | None] = lambda _: None  # where the record with an id stands in the input

        if self._rejects is not None and _is_one_file(self._rejects, files.out, files.source):
            raise UsageError(
                f"{self._rejects} cannot hold the rejects: it is the input or the output. Name another file."
            )

    def __enter__(self) -> Output:
        self._kept: Writer[Record] = self._stack.enter_context(Writer(self._out))
        self._dropped: Writer[Reject] | None = None
        if self._rejects is not None:
            self._dropped = self._stack.enter_context(Writer(self._rejects))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def located(self, outcome: R, record_id: str) -> R:
        """An outcome; a reject with the place of the record of the input that it came from."""
        if not isinstance(outcome, Reject) or outcome.where is not None:
            return outcome
        return msgspec.structs.replace(outcome, where=self.place_of(record_id))

    def write(self, outcome: Record) -> None:
        """A record to the output, or a reject beside it."""
        if not isinstance(outcome, Reject):
            self._kept.write(outcome)
        elif self._dropped is not None:
            self._dropped.write(self.located(outcome, outcome.id))

    def write_and_count(self, outcome: Record) -> None:
        """As `write`, for what nobody else counts."""
        self._count.count(outcome.reason if isinstance(outcome, Reject) else None)
        self.write(outcome)

    def write_line(self, line: bytes) -> None:
        """Count and write a record that is encoded already."""
        self._count.count(None)
        self._kept.write_line(line)


def _is_one_file(rejects: str, *others: str) -> bool:
    """Whether the rejects would be written into another file of the command."""
    if rejects == STANDARD_INPUT:
        return rejects in others[:1]  # two kinds of records in one stream
    return os.path.realpath(rejects) in {os.path.realpath(other) for other in others if other != STANDARD_INPUT}


def read_input(files: Files, kind: type[R], stage: str, output: Output, part: SeedsTable | None = None) -> Iterator[R]:
    """The records of the input; unreadable rows and repeated records go to the rejects.

    Args:
        files: what to read.
        kind: the type of its records.
        stage: as named in rejects.
        output: for the rejects; is told where records stand.
        part: which records are wanted (`start`, `limit`); None for all.
    """
    table, ids = Table(files.source), RecordIds()

    def place_of(record_id: str) -> str | None:
        number = ids.number_of(record_id)
        return table.place(number) if number is not None else None

    output.place_of = place_of
    start, limit = (0, None) if part is None else (part.start, part.limit)
    for number, read in read_table(table, kind, stage, start, limit):
        if isinstance(read, Reject):
            output.write_and_count(read)
            continue
        record, earlier = ids.admit(read, number)
        if earlier is None:
            yield record
            continue
        detail = f"A record with this id was already read: {table.place(earlier)}."
        reject = Reject(
            id=record.id, stage=stage, reason=Reason.DUPLICATE_RECORD, detail=detail, where=table.place(number)
        )
        output.write_and_count(reject)
