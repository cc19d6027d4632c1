"""The runner of executions: a response becomes an execution with its verdict, or a reject with it."""

from __future__ import annotations

import time

import msgspec

from snipmill.languages import PYTHON
from snipmill.pipeline.funnel import StageCount
from snipmill.records import Execution, Reject, Response, Row, Verdict, VerdictStatus, content_hash, derive
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program
from snipmill.store.journal import Executed, Journal
from snipmill.text.sections import Malformed
from snipmill.verify.programs import build_program, judge

STAGE = "execute"
UNVERIFIED: VerdictStatus = "unverified"


def program_id(program: Program, limits: Limits, tier: str, environment: str) -> str:
    """What a verdict depends on: the program, its limits, the tier, and the environment (`settings.environment`)."""
    bounds = msgspec.json.encode(limits).decode()
    return f"x-{content_hash(program.source, program.tests_line, bounds, tier, environment)}"


async def execute(
    record: Response,
    sandbox: Sandbox,
    limits: Limits,
    environment: str,
    journal: Journal[Executed],
    count: StageCount,
) -> Execution | Reject:
    """Run a response's program, unless its verdict is already there."""
    outcome = await _execute(record, sandbox, limits, environment, journal, count)
    count.count(outcome.reason if isinstance(outcome, Reject) else None)
    return outcome


def look_up(
    record: Response, limits: Limits, tier: str, environment: str, journal: Journal[Executed]
) -> Execution | Reject | None:
    """What came of a response's program, None where it has to be run."""
    program = _program(record)
    if not isinstance(program, Program):
        return program
    entry = journal.get(program_id(program, limits, tier, environment))
    return None if entry is None else judge(record, entry.verdict)


def is_unverified(record: Execution | Row) -> bool:
    """Whether nothing was executed, since the language cannot be."""
    return record.verdict is not None and record.verdict.status == UNVERIFIED


def _program(record: Response) -> Program | Execution | Reject:
    """A response's program, or what comes of it without one: in a language that cannot be executed it goes on, and says so."""
    if record.language != PYTHON:
        detail = f"{record.language} is not executed."
        return derive(Execution, record, verdict=Verdict(status=UNVERIFIED, detail=detail))
    program = build_program(record.response)
    if isinstance(program, Malformed):
        return Reject(id=record.id, stage=STAGE, reason=program.reason, detail=program.detail)
    return program


async def _execute(
    record: Response,
    sandbox: Sandbox,
    limits: Limits,
    environment: str,
    journal: Journal[Executed],
    count: StageCount,
) -> Execution | Reject:
    program = _program(record)
    if not isinstance(program, Program):
        return program
    key = program_id(program, limits, sandbox.tier, environment)
    entry = journal.get(key)
    if entry is None or entry.outcome == "unsupported":  # a missing package may have been installed since
        started = time.monotonic()
        verdict = await sandbox.run_once(program)
        count.fresh += verdict.status == "passed"
        entry = journal.get(key)  # of another sample with the same program
        if entry is None or entry.outcome != verdict.status:
            seconds = round(time.monotonic() - started, 3)
            entry = Executed(id=key, outcome=verdict.status, verdict=verdict, seconds=seconds)
            if verdict.status != "sandbox-error":
                journal.append(entry)  # a sandbox error says nothing about the program: it is tried again next time
    else:
        count.reused += 1
    count.seconds += entry.verdict.wall_ms / 1000
    return judge(record, entry.verdict)
