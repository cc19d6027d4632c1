"""A finished data set, anyone's, executed again: which rows hold, and what is wrong with the others.

Rows with four sections are read as such; in others the Python blocks of the response are the program, and its tests are those in a
column of their own, or the blocks that hold checks. What repeats or is contaminated is found as selection finds it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from snipmill.config import Config
from snipmill.engine.answers import Answer, read_answers
from snipmill.engine.over_records import window
from snipmill.errors import UsageError
from snipmill.parallel.in_order import map_in_order
from snipmill.parallel.once import Once
from snipmill.reasons import Reason
from snipmill.records import Record, Reject, Row
from snipmill.sandbox.slot import SlotLost
from snipmill.stages.evidence_runs import Sandboxes, TestStrength, measure_tests
from snipmill.stages.select_rows import select_rows
from snipmill.stages.settings import resolve_execution
from snipmill.stages.stage_count import StageCount
from snipmill.store.jsonl import Writer, decode_record, encode_line
from snipmill.tables.table import Table
from snipmill.text.sections import Malformed
from snipmill.verification.any_program import AnyProgram, build_any_program
from snipmill.verification.data_sets import Columns

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


@dataclass
class Audit:
    """What was found: how many rows there are, how many are bad, and of each finding its rows and an example.

    `broken_files` break off: what stands behind could not be read.
    """

    rows: int = 0
    broken_files: int = 0
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
    where: str | None = None
    detail: str = ""
    checks_executed: int = 0
    mutants: int = 0
    killed: int = 0
    lines: float = 0.0
    branches: float = 0.0


async def audit_file(
    path: str,
    out: str | None,
    columns: Columns,
    config: Config,
    count: StageCount,
    announce: Callable[[str], None],
    layout: str | None = None,
) -> Audit:
    """Execute a data set again.

    Args:
        path: a file, a folder or a pattern of files, `-`, or hub:OWNER/NAME.
        out: a file for the findings, row by row.
        columns: where instruction, response and tests are, if not where its layout says.
        config: limits, sandbox, benchmarks, and the least mutation score.
        count: counts rows as they are done.
        announce: is told the layout and the sandbox tier.
        layout: its name; None to know it by the columns.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used, or the layout is not known.
    """
    audit, table = Audit(), Table(path)
    if out is not None and _is_among(out, table.files):
        raise UsageError(f"{out} cannot hold the findings: it is the data set. Name another file.")
    answers = read_answers(table, columns, layout, config.seeds.limit, announce)
    async with resolve_execution(config.execute).open() as sandboxes:
        announce(f"sandbox tier {sandboxes.first.tier}")

        async def audit_once(built: AnyProgram) -> Found:
            return await audit_program(built, config.select.min_mutation, sandboxes)

        once = Once(audit_once, keep=lambda found: found.finding not in UNCHECKED)

        async def work(answer: Answer | Reject) -> Found:
            if isinstance(answer, Reject):
                return Found(id=answer.id, finding="unreadable", detail=answer.detail, where=answer.where)
            built = build_any_program(answer.row.response, answer.tests)
            if isinstance(built, Malformed):
                known = built.reason if built.reason in FINDINGS else "unreadable"
                return Found(id=answer.row.id, finding=known, detail=built.detail, where=answer.where)
            return msgspec.structs.replace(await once(built), id=answer.row.id, where=answer.where)

        with contextlib.ExitStack() as stack:
            written = stack.enter_context(Writer[Found](out)) if out else None
            spool = stack.enter_context(tempfile.TemporaryFile())
            async for found in map_in_order(_spooled(answers, spool, audit), work, window(config.execute)):
                audit.rows += 1
                count.count(None if found.finding in ("holds", "weak") else found.finding)
                audit.add(found.finding, found.id, found.detail)
                if found.finding == "weak":
                    audit.add("holds", found.id, "")
                if written is not None:
                    written.write(found)
            spool.seek(0)
            _look_for_duplicates((decode_record(line, Row) for line in spool), config, audit)
    return audit


def _is_among(out: str, files: list[Path]) -> bool:
    return os.path.realpath(out) in map(os.path.realpath, files)


def _spooled(answers: Iterator[Answer | Reject], spool: BinaryIO, audit: Audit) -> Iterator[Answer | Reject]:
    """The answers, whose rows are written down on the way: a data set need not be read twice."""
    for answer in answers:
        if isinstance(answer, Answer):
            spool.write(encode_line(answer.row))
        elif answer.reason == Reason.DAMAGED_FILE:
            audit.broken_files += 1
        yield answer


def _look_for_duplicates(rows: Iterator[Row], config: Config, audit: Audit) -> None:
    def note(reject: Reject) -> None:
        if reject.reason in _DUPLICATES:
            audit.add("duplicate", reject.id, reject.detail)
        elif reject.reason in FINDINGS:
            audit.add(reject.reason, reject.id, reject.detail)

    for _ in select_rows(rows, msgspec.structs.replace(config.select, min_mutation=0.0), config.run.seed, note):
        pass


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
