"""A finished data set, anyone's, executed again: which rows hold, and what is wrong with the others.

Rows with four sections are read as such; in others the Python blocks of the response are the program, and its tests are those in a
column of their own, or the blocks that hold checks. What repeats or is contaminated is found as selection finds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.engine.by_hand import window
from snipmill.errors import UsageError
from snipmill.parallel.in_order import map_in_order
from snipmill.parallel.once import Once
from snipmill.reasons import Reason
from snipmill.records import Record, Reject, Row
from snipmill.sandbox.slot import SlotLost
from snipmill.stages.evidence_runs import Sandboxes, TestStrength, measure_tests
from snipmill.stages.funnel import StageCount
from snipmill.stages.select_rows import select_rows
from snipmill.stages.settings import resolve_execution
from snipmill.store.foreign import as_record
from snipmill.store.jsonl import Writer
from snipmill.store.parquet import parquet_values
from snipmill.store.reading import read_records
from snipmill.text.sections import Malformed
from snipmill.verify.any_program import AnyProgram, TestColumns, build_any_program, foreign_tests
from snipmill.verify.layouts import ForeignTests

STAGE = "audit"
# What an audit asks for unless it is told otherwise: tests that notice half of the mutants.
AUDIT_DEFAULTS = {"select.min_mutation": 0.5}
# Findings in the order of the report; those in BAD make a row bad, of those in UNCHECKED nothing is known.
FINDINGS = (
    "holds",
    "weak",
    "failed",
    "timeout",
    "vacuous",
    "flaky",
    "syntax-error",
    "unsupported",
    "sandbox-error",
    "no-tests",
    "unknown-tests",
    "duplicate",
    "near-duplicate",
    "contaminated",
    "unreadable",
)
BAD = ("failed", "timeout", "vacuous", "flaky", "syntax-error", "duplicate", "contaminated", "unreadable")
UNCHECKED = ("unsupported", "sandbox-error", "no-tests", "unknown-tests")
_SAME = {"memory": "failed", "output-limit": "failed", "killed": "failed"}
_DUPLICATES = ("duplicate-instruction", "duplicate-response", "duplicate-record", "not-chosen")


@dataclass(frozen=True)
class Columns:
    """Which columns of a foreign data set hold what.

    Attributes:
        instruction: the task.
        response: the answer.
        tests: the tests; None where the answer holds them.
        entry_point: the function or method that the tests call `candidate`.
        module: the name by which the tests import the answer.
    """

    instruction: str = "instruction"
    response: str = "response"
    tests: str | None = None
    entry_point: str | None = None
    module: str | None = None

    def foreign_tests(self, value: dict[str, Any]) -> ForeignTests | None:
        """The tests of a row, or None where the answer holds them."""
        return foreign_tests(value, TestColumns(self.tests, self.entry_point, self.module))


@dataclass
class Audit:
    """What was found: how many rows there are, how many are bad, and of each finding its rows and an example."""

    rows: int = 0
    findings: dict[str, tuple[int, str]] = field(default_factory=lambda: dict.fromkeys(FINDINGS, (0, "")))
    bad_ids: set[str] = field(default_factory=set)

    @property
    def bad(self) -> int:
        """Rows with at least one bad finding."""
        return len(self.bad_ids)

    @property
    def unchecked(self) -> int:
        """Rows that could not be executed: without tests, in need of a package, or lost by the sandbox."""
        return sum(self.findings[name][0] for name in UNCHECKED)

    def add(self, finding: str, row_id: str, detail: str) -> None:
        """One more row of a finding."""
        number, example = self.findings[finding]
        self.findings[finding] = (number + 1, example or (f"{row_id}: {detail}"[:300] if detail else row_id))
        if finding in BAD:
            self.bad_ids.add(row_id)


class Found(Record, frozen=True, kw_only=True):
    """What was found of one row, as `--out` writes it."""

    finding: str
    detail: str = ""
    checks_executed: int = 0
    mutants: int = 0
    killed: int = 0
    lines: float = 0.0
    branches: float = 0.0


async def audit_file(
    path: str, out: str | None, columns: Columns, config: Config, count: StageCount, announce: Callable[[str], None]
) -> Audit:
    """Execute a data set again.

    Args:
        path: JSON lines or Parquet; read twice.
        out: a file for the findings, row by row.
        columns: where instruction, response and tests are.
        config: limits, sandbox, benchmarks, and the least mutation score.
        count: counts rows as they are done.
        announce: is told the sandbox tier.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used.
    """
    audit = Audit()
    async with resolve_execution(config.execute).open() as sandboxes:
        announce(f"sandbox tier {sandboxes.first.tier}")

        async def audit_once(built: AnyProgram) -> Found:
            return await audit_program(built, config.select.min_mutation, sandboxes)

        once = Once(audit_once, keep=lambda found: found.finding not in UNCHECKED)

        async def work(row: Row | Reject) -> Found:
            if isinstance(row, Reject):
                return Found(id=row.id, finding="unreadable", detail=row.detail)
            built = _program_of(row)
            if isinstance(built, Malformed):
                known = built.reason if built.reason in FINDINGS else "unreadable"
                return Found(id=row.id, finding=known, detail=built.detail)
            return msgspec.structs.replace(await once(built), id=row.id)

        with contextlib.ExitStack() as stack:
            written = stack.enter_context(Writer[Found](out)) if out else None
            rows = read_rows(path, columns, config.seeds.limit)
            async for found in map_in_order(rows, work, window(config.execute)):
                audit.rows += 1
                count.count(None if found.finding in ("holds", "weak") else found.finding)
                audit.add(found.finding, found.id, found.detail)
                if found.finding == "weak":
                    audit.add("holds", found.id, "")
                if written is not None:
                    written.write(found)
    _look_for_duplicates(path, columns, config, audit)
    return audit


def _look_for_duplicates(path: str, columns: Columns, config: Config, audit: Audit) -> None:
    def note(reject: Reject) -> None:
        if reject.reason in _DUPLICATES:
            audit.add("duplicate", reject.id, reject.detail)
        elif reject.reason in FINDINGS:
            audit.add(reject.reason, reject.id, reject.detail)

    table = msgspec.structs.replace(config.select, min_mutation=0.0)
    rows = (row for row in read_rows(path, columns, config.seeds.limit) if isinstance(row, Row))
    for _ in select_rows(rows, table, config.run.seed, note):
        pass


def read_rows(path: str, columns: Columns, limit: int | None) -> Iterator[Row | Reject]:
    """The rows of a data set; each is named by its own id, or by its place in the file where it has none.

    Raises:
        UsageError: there is no such file, or it has no such columns.
    """
    if path == "-":
        raise UsageError("A data set is read twice, so it cannot come from standard input; give a file.")
    values = parquet_values(path) if path.endswith(".parquet") else _lines(path)
    seen: set[str] = set()
    for number, value in enumerate(values, start=1):
        if limit is not None and number > limit:
            return
        if isinstance(value, Reject):
            yield value
            continue
        row = _row(value, columns, f"{path}:{number}")
        if isinstance(row, Row) and row.id in seen:
            row = msgspec.structs.replace(row, id=f"{row.id}@{number}")
        if isinstance(row, Row):
            seen.add(row.id)
        yield row


class _Any(Record, frozen=True, kw_only=True):
    pass


def _lines(path: str) -> Iterator[dict[str, Any] | Reject]:
    for record in read_records(path, _Any, STAGE):
        if isinstance(record, Reject):
            yield record
        else:
            columns = record.columns if isinstance(record.columns, dict) else {}
            yield {"id": record.id, **{key: msgspec.json.decode(value) for key, value in columns.items()}}


def _row(value: dict[str, Any], columns: Columns, where: str) -> Row | Reject:
    texts = (columns.instruction, columns.response, columns.tests, columns.entry_point, columns.module)
    for name in texts:
        may_be_anything = name == columns.tests and name in value  # what is in no known layout is told so
        if name is not None and not may_be_anything and not isinstance(value.get(name), str | list):
            found = ", ".join(sorted(set(value) - {"id"})) or "none"
            detail = f"{where} has no text in column {name!r}; its columns are {found}."
            return Reject(id=where, stage=STAGE, reason=Reason.MISSING_FIELD, detail=detail)
    fields = {
        "id": value.get("id"),
        "instruction": _text(value[columns.instruction]),
        "response": _text(value[columns.response]),
        _TESTS: columns.foreign_tests(value),
    }
    return as_record(fields, Row)


_TESTS = "tests to verify with"


def _text(value: str | list[Any]) -> str:
    return value if isinstance(value, str) else "\n".join(map(str, value))


def _program_of(row: Row) -> AnyProgram | Malformed:
    told = row.columns[_TESTS] if isinstance(row.columns, dict) else msgspec.Raw(b"null")
    return build_any_program(row.response, msgspec.json.decode(told, type=ForeignTests | None))


async def audit_program(built: AnyProgram, min_mutation: float, sandboxes: Sandboxes) -> Found:
    """What is found of a program, without the id of a row."""
    verdict = await sandboxes.first.run(built.program)
    if verdict.status != "passed":
        finding = _SAME.get(verdict.status, verdict.status)
        detail = verdict.failed_check or verdict.detail
        return Found(id="", finding=finding, detail=detail, checks_executed=verdict.checks_executed)
    again = await sandboxes.run_again(built.program)
    if again.status == "sandbox-error":
        return Found(id="", finding="sandbox-error", detail=again.detail)
    if again.status != "passed":
        return Found(id="", finding="flaky", detail=f"Run again, it came out as {again.status}: {again.detail}")
    strength = TestStrength()
    if verdict.tests_never_run:
        detail = f"Never ran: {'; '.join(verdict.tests_never_run)}."
        return Found(id="", finding="vacuous", detail=detail, checks_executed=verdict.checks_executed)
    if built.program.tests_line is not None or built.program.dialogues:
        try:
            strength = await measure_tests(built.implementation, built.program, sandboxes.first)
        except SlotLost as lost:
            return Found(id="", finding="sandbox-error", detail=str(lost))
    finding, detail = _finding_of(strength, min_mutation)
    return Found(
        id="",
        finding=finding,
        detail=detail,
        checks_executed=verdict.checks_executed,
        mutants=strength.mutants,
        killed=strength.killed,
        lines=strength.lines,
        branches=strength.branches,
    )


def _finding_of(strength: TestStrength, min_mutation: float) -> tuple[str, str]:
    """What the tests of a passing row are worth: the finding, and a sentence where there is something to say."""
    if strength.survives_gutting:
        return "vacuous", "Its tests pass with all function bodies removed."
    if strength.score is not None and strength.score < min_mutation:
        return "weak", f"Its tests notice {strength.killed} of {strength.mutants} mutants."
    return "holds", ""
