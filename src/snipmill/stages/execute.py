"""Execution: a response's program runs in the sandbox, and its verdict decides whether it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from snipmill.records import Execution, Reject, content_hash
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import RULES, Limits, Program
from snipmill.stages.attempts import Candidate
from snipmill.stages.spec import EXECUTE
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import VerdictEntry
from snipmill.verification.programs import apply_verdict


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What a verdict depends on beside its program.

    `environment` names the Python that runs it, with its version, and whether programs may make processes.
    """

    limits: Limits
    tier: str
    environment: str

    def key(self, program: Program) -> str:
        """The journal's key of a program's verdict."""
        limits = msgspec.json.encode(self.limits).decode()
        parts = [program.source, program.tests_line, limits, self.tier, self.environment, RULES]
        if program.modules or program.dialogues:
            parts.append(msgspec.json.encode((program.modules, program.dialogues)).decode())
        return f"x-{content_hash(*parts)}"


@dataclass(frozen=True, slots=True)
class ExecutionJob:
    """A candidate, and the key of its program; none where it has no program."""

    candidate: Candidate
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Execute:
    """The work of the stage (`runner.Work`).

    Attributes:
        context: what verdicts depend on.
        sandbox: where programs run; None where outcomes are only looked up.
    """

    context: ExecutionContext
    sandbox: Sandbox | None = None
    stage: str = EXECUTE

    def prepare(self, task: Candidate) -> ExecutionJob:
        """The candidate with its key."""
        return ExecutionJob(task, () if task.program is None else (self.context.key(task.program),))

    def can_be_reused(self, entry: VerdictEntry) -> bool:
        """Whether the verdict stands. A package that was missing may have been installed since; a look-up cannot know."""
        return self.sandbox is None or entry.outcome != "unsupported"

    async def do(self, job: ExecutionJob, count: StageCount) -> Sequence[VerdictEntry]:
        """Run the program."""
        del count
        assert self.sandbox is not None, "outcomes are only looked up here"
        assert job.candidate.program is not None
        started = time.monotonic()
        verdict = await self.sandbox.run_once(job.candidate.program)
        seconds = round(time.monotonic() - started, 3)
        return [VerdictEntry(id=job.keys[0], outcome=verdict.status, verdict=verdict, seconds=seconds)]

    def replaces(self, entry: VerdictEntry, earlier: VerdictEntry) -> bool:
        """Whether the program came out differently; another sample may have had the same program."""
        return entry.outcome != earlier.outcome

    def is_evidence(self, job: ExecutionJob, entry: VerdictEntry) -> bool:
        """A failure of the sandbox says nothing about the program, which is tried again next time."""
        del job
        return entry.outcome != "sandbox-error"

    def charge(self, entry: VerdictEntry, count: StageCount, *, fresh: bool) -> None:
        """Count the seconds of the execution, and the passes of this session."""
        count.fresh += fresh and entry.outcome == "passed"
        count.seconds += entry.verdict.wall_ms / 1000

    def read(self, job: ExecutionJob, entries: Sequence[VerdictEntry]) -> list[Execution | Reject]:
        """The execution, or the reject that carries the verdict."""
        if job.candidate.settled is not None:
            return [job.candidate.settled]
        return [apply_verdict(job.candidate.response, entry.verdict) for entry in entries]
