"""What else a finished run is good for: preference pairs and tasks with tests, out of the samples that did not become rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.reasons import Reason
from snipmill.records import Execution, Record, Reject, Response, Row
from snipmill.store.jsonl import Writer, decode_record
from snipmill.store.run_directory import RunDirectory
from snipmill.text.sections import Malformed, parse_sections

R = TypeVar("R", bound=Record)
_NO_FAULT_OF_THE_CODE = (Reason.UNSUPPORTED, Reason.SANDBOX_ERROR)


class Pair(Record, frozen=True, kw_only=True):
    """A preference pair, in the columns that trainers expect. `rejected_for` is the failing assertion with its values."""

    prompt: str
    chosen: str
    rejected: str
    rejected_for: str
    chosen_id: str
    confidence: float | None = None


class CheckedTask(Record, frozen=True, kw_only=True):
    """A task for reinforcement learning: the instruction, and tests that a right answer passed and mutants of it did not."""

    prompt: str
    tests: str
    reference: str
    mutants: int = 0
    killed: int = 0
    passed: int = 0
    samples: int = 0
    confidence: float | None = None


def export(directory: RunDirectory, pairs: str | None, tasks: str | None) -> tuple[int, int]:
    """Write preference pairs and tasks, in the order of the seeds; returns how many of each.

    Args:
        directory: of a finished run.
        pairs: file for one pair for each failed sample of an instruction that has a row; None for none.
        tasks: file for the instructions that have a row, with the row's tests; None for none.

    Raises:
        UsageError: the run has no data set yet.
    """
    if not directory.dataset.exists():
        raise UsageError(f"{directory.path} has no data set yet; finish the run with `snipmill run` first.")
    chosen = IdIndex()
    for _, row in _records(directory.dataset, Row):
        chosen.put(row.id)
    written = [0, 0]
    if pairs is not None:
        with Writer[Pair](pairs) as out:
            for pair in _pairs(directory, chosen):
                out.write(pair)
            written[0] = out.count
    if tasks is not None:
        with Writer[CheckedTask](tasks) as out:
            for execution in (record for _, record in _records(directory.kept("verify"), Execution)):
                if execution.id in chosen and (task := _task(execution)) is not None:
                    out.write(task)
            written[1] = out.count
    return written[0], written[1]


def _pairs(directory: RunDirectory, chosen: IdIndex) -> Iterator[Pair]:
    verified, failed = directory.kept("verify"), directory.rejects("execute")
    verified_at, failed_at = _index(verified, Execution), _index(failed, Reject)
    responses = (record for _, record in _records(directory.kept("responses"), Response))
    for _, group in groupby(responses, lambda response: response.parents.get("instruction")):
        samples = list(group)
        best = next((sample for sample in samples if sample.id in chosen), None)
        if best is None:
            continue
        row = _at(verified, verified_at.get(best.id), Execution)
        for sample in samples:
            reject = _at(failed, failed_at.get(sample.id), Reject) if sample.id not in verified_at else None
            if row is None or reject is None or reject.verdict is None or reject.reason in _NO_FAULT_OF_THE_CODE:
                continue
            yield Pair(
                id=f"p-{sample.id.removeprefix('r-')}",
                prompt=sample.instruction,
                chosen=row.response,
                rejected=sample.response,
                rejected_for=reject.verdict.failed_check or reject.detail,
                chosen_id=row.id,
                confidence=row.verification.confidence if row.verification is not None else None,
            )


def _task(execution: Execution) -> CheckedTask | None:
    sections = parse_sections(execution.response)
    if isinstance(sections, Malformed):
        return None
    found = execution.verification
    return CheckedTask(
        id=execution.id,
        prompt=execution.instruction,
        tests=sections.tests,
        reference=sections.code,
        mutants=found.mutants if found is not None else 0,
        killed=found.killed if found is not None else 0,
        passed=found.passed if found is not None else 0,
        samples=found.samples if found is not None else 0,
        confidence=found.confidence if found is not None else None,
    )


def _records(path: Path, kind: type[R]) -> Iterator[tuple[int, R]]:
    """The records of a file of the run, with their places in it."""
    offset = 0
    with path.open("rb") as handle:
        for line in handle:
            yield offset, decode_record(line, kind)
            offset += len(line)


def _index(path: Path, kind: type[Record]) -> IdIndex:
    places = IdIndex()
    for offset, record in _records(path, kind):
        places.put(record.id, offset)
    return places


def _at(path: Path, offset: int | None, kind: type[R]) -> R | None:
    if offset is None:
        return None
    with path.open("rb") as handle:
        handle.seek(offset)
        return decode_record(handle.readline(), kind)
