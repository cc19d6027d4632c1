"""What a run or a data set has to export: its rows, and for each task the samples that passed and those that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.reasons import Reason
from snipmill.records import Execution, Record, Reject, Response, Row
from snipmill.store.jsonl import decode_record
from snipmill.store.reading import own_records, read_records
from snipmill.store.run_directory import RunDirectory

R = TypeVar("R", bound=Record)
STAGE = "export"
_NO_FAULT_OF_THE_CODE = (Reason.UNSUPPORTED, Reason.SANDBOX_ERROR)


@dataclass(frozen=True, slots=True)
class FailedSample:
    """A sample whose program did not pass, and the reject with its verdict."""

    response: Response
    reject: Reject


@dataclass(frozen=True, slots=True)
class SampledTask:
    """One task with a row.

    Attributes:
        row: as it stands in the data set, the first one where there are several.
        verified: the row's response before it was rendered, with repaired tests where they were; the row itself where a data set
            is all that there is.
        passed: the task's other samples that were verified.
        failed: its samples whose program failed.
        more_rows: how many more rows of the data set are of this task.
    """

    row: Row
    verified: Execution | Row
    passed: list[Execution] = field(default_factory=list)
    failed: list[FailedSample] = field(default_factory=list)
    more_rows: int = 0


def read_rows(path: str, on_reject: Callable[[Reject], None]) -> Iterator[Row]:
    """The rows of a data set; what is no row goes to `on_reject`."""
    for row in read_records(path, Row, STAGE):
        if isinstance(row, Reject):
            on_reject(row)
        else:
            yield row


def read_tasks(source: str, on_reject: Callable[[Reject], None]) -> Iterator[SampledTask]:
    """The tasks of a run, in the order of the seeds; of a data set, one for each row.

    Args:
        source: a run directory, or a data set.
        on_reject: called with what is no row.
    """
    directory = RunDirectory(source)
    if directory.is_there and not directory.kept("responses").exists():
        raise UsageError(f"{directory.kept('responses')} is missing; `snipmill run` writes it again.")
    if not directory.dataset.exists():
        yield from (SampledTask(row, row) for row in read_rows(source, on_reject))
        return
    rows, verified, failed = directory.dataset, directory.kept("verify"), directory.rejects("execute")
    row_at, verified_at, failed_at = _index(rows, Row), _index(verified, Execution), _index(failed, Reject)
    responses = (record for _, record in own_records(directory.kept("responses"), Response))
    for _, group in groupby(responses, lambda response: response.parents.get("instruction")):
        samples = list(group)
        chosen = next((sample for sample in samples if sample.id in row_at), None)
        if chosen is None:
            continue
        row, best = _at(rows, row_at.get(chosen.id), Row), _at(verified, verified_at.get(chosen.id), Execution)
        if row is None:
            continue
        rows_here = sum(sample.id in row_at for sample in samples)
        task = SampledTask(row, best or row, more_rows=rows_here - 1)
        for sample in samples:
            if sample.id in verified_at:
                passed = _at(verified, verified_at.get(sample.id), Execution)
                if passed is not None and sample is not chosen:
                    task.passed.append(passed)
                continue
            reject = _at(failed, failed_at.get(sample.id), Reject)
            if reject is not None and reject.verdict is not None and reject.reason not in _NO_FAULT_OF_THE_CODE:
                task.failed.append(FailedSample(sample, reject))
        yield task


def _index(path: Path, kind: type[Record]) -> IdIndex:
    places = IdIndex()
    for offset, record in own_records(path, kind):
        places.put(record.id, offset)
    return places


def _at(path: Path, offset: int | None, kind: type[R]) -> R | None:
    if offset is None:
        return None
    with path.open("rb") as handle:
        handle.seek(offset)
        return decode_record(handle.readline(), kind)
