"""Verification: all samples of an instruction are held against each other, and each that may become a row is tested further.

A sample may become a row if its own program passed. So may one that failed only by assertions that the evidence contradicts,
if it passes like any other once these are removed. Both kinds then run again elsewhere, and their tests are tried on mutants.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec

from snipmill.config import VerifyTable
from snipmill.reasons import Reason
from snipmill.records import Execution, Reject, Verification, content_hash
from snipmill.sandbox.program import Program
from snipmill.sandbox.slot import SlotLost
from snipmill.stages.attempts import ProgramAttempt, SampleSet
from snipmill.stages.evidence_runs import Sandboxes, TestStrength, execute_crosswise, measure_tests
from snipmill.stages.execute import ExecutionContext
from snipmill.stages.spec import VERIFY
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import VerificationEntry
from snipmill.text.sections import render_sections
from snipmill.verification.agreement import Agreement, Support, agreeing_passes, support
from snipmill.verification.calibration import Calibration
from snipmill.verification.confidence import with_confidence
from snipmill.verification.examination import describe
from snipmill.verification.programs import apply_verdict, join_program
from snipmill.verification.questions import SampleIndex
from snipmill.verification.repair import Repair, repair

_OUR_FAULT = "sandbox-error"
_FAILED = "failed"  # the program stays a failure: its reject is that of the execution
_TRUSTED_GROUP = 2  # implementations that must agree before a failing program's tests are changed


@dataclass(frozen=True)
class Verifier:
    """What verification needs.

    Attributes:
        context: what verdicts depend on.
        table: what a sample must withstand.
        calibration: what the evidence is worth.
        sandboxes: where programs run; None where outcomes are only looked up.
    """

    context: ExecutionContext
    table: VerifyTable
    calibration: Calibration
    sandboxes: Sandboxes | None = None

    def sandboxes_here(self) -> Sandboxes:
        """Where programs run."""
        assert self.sandboxes is not None, "outcomes are only looked up here"
        return self.sandboxes

    async def cross(self, samples: SampleSet) -> Agreement:
        """The crosswise evidence, executed once for the same samples."""
        executed = tuple(attempt.sample for attempt in samples.with_programs)
        key = executed, samples.written
        if key not in samples.cache:
            samples.cache[key] = await execute_crosswise(executed, self.sandboxes_here().first, samples.written)
        return samples.cache[key]

    @property
    def asked(self) -> str:
        """What of the configuration decides which evidence there is."""
        table = self.table
        decisive = {
            "agreement": table.agreement,
            "repair": table.repair,
            "mutation": table.mutation,
            "rerun": table.rerun,
        }
        return msgspec.json.encode(decisive).decode()

    def program_keys(self, attempts: Sequence[ProgramAttempt]) -> list[str]:
        """The journal's keys of the attempts' verdicts."""
        return [self.context.key(attempt.program) for attempt in attempts]


@dataclass(frozen=True)
class VerificationJob:
    """Samples, those of them that have a program, and the journal's keys."""

    samples: SampleSet
    attempts: list[ProgramAttempt]
    keys: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether the sandbox did its part. Where it failed, all of this is done again next time."""
        return all(attempt.status != _OUR_FAULT for attempt in self.attempts)


class _FromSamples:
    """What both works over samples have in common: all that an entry depends on is in its key, so it stands."""

    def can_be_reused(self, entry: VerificationEntry) -> bool:
        """Always: all that it depends on is in its key."""
        del entry
        return True

    def replaces(self, entry: VerificationEntry, earlier: VerificationEntry) -> bool:
        """Never: the same key means the same evidence."""
        del entry, earlier
        return False

    def is_evidence(self, job: VerificationJob, entry: VerificationEntry) -> bool:
        """What the sandbox could not do says nothing about the code."""
        return entry.outcome != _OUR_FAULT and job.is_sound

    def charge(self, entry: VerificationEntry, count: StageCount, *, fresh: bool) -> None:
        """Nothing beyond what `do` counts."""


@dataclass(frozen=True)
class Verify(_FromSamples):
    """The work of the stage (`runner.Work`): one entry for each sample that has a program."""

    verifier: Verifier
    stage: str = VERIFY

    def prepare(self, task: SampleSet) -> VerificationJob:
        """The samples with their keys: what was found of one depends on all."""
        attempts = task.with_programs
        context = content_hash(
            self.verifier.asked,
            *task.written,
            *(attempt.status for attempt in attempts),
            *self.verifier.program_keys(attempts),
        )
        return VerificationJob(task, attempts, [f"v-{content_hash(context, one.response.id)}" for one in attempts])

    async def do(self, job: VerificationJob, count: StageCount) -> Sequence[VerificationEntry]:
        """Hold the samples against each other, and test each that may become a row."""
        started = time.monotonic()
        crosswise = self.verifier.table.agreement and job.attempts
        try:
            agreement = await self.verifier.cross(job.samples) if crosswise else None
        except SlotLost as lost:
            return [VerificationEntry(id=key, outcome=_OUR_FAULT, detail=str(lost)) for key in job.keys]
        works = (_verify_one(self.verifier, job, agreement, SampleIndex(number)) for number in range(len(job.attempts)))
        entries = await asyncio.gather(*works)
        if agreement is not None and entries:
            place = next((place for place, entry in enumerate(entries) if entry.verification is not None), 0)
            entries[place] = msgspec.structs.replace(entries[place], examination=describe(agreement))
        count.seconds += time.monotonic() - started
        return entries

    def read(self, job: VerificationJob, entries: Sequence[VerificationEntry]) -> list[Execution | Reject]:
        """Executions with their evidence, and rejects of samples that had passed or could have been repaired.

        Samples whose programs failed and stay as they are have no outcome here.
        """
        unverified: list[Execution | Reject] = [
            attempt.outcome
            for attempt in job.samples.attempts
            if isinstance(attempt.outcome, Execution) and attempt.outcome.is_unverified
        ]
        calibration = self.verifier.calibration
        found = (_read_one(one, entry, calibration) for one, entry in zip(job.attempts, entries, strict=True))
        return unverified + [outcome for outcome in found if outcome is not None]


@dataclass(frozen=True)
class Suffice(_FromSamples):
    """The question whether an instruction needs no further samples (`runner.Work`): its outcome is one bool.

    It needs none where at least `accept` samples have passed and compute the same.
    """

    verifier: Verifier
    accept: int
    stage: str = VERIFY

    def prepare(self, task: SampleSet) -> VerificationJob:
        """The samples with one key; none where the answer is known without asking."""
        attempts = task.with_programs
        if not self.verifier.table.agreement or not self._may_suffice(task):
            return VerificationJob(task, attempts, [])
        key = f"e-{content_hash(self.verifier.asked, self.accept, *self.verifier.program_keys(attempts))}"
        return VerificationJob(task, attempts, [key])

    def _may_suffice(self, samples: SampleSet) -> bool:
        return sum(attempt.passed for attempt in samples.attempts) >= self.accept

    async def do(self, job: VerificationJob, count: StageCount) -> Sequence[VerificationEntry]:
        """Hold the samples against each other."""
        del count
        try:
            agreement = await self.verifier.cross(job.samples)
        except SlotLost as lost:
            return [VerificationEntry(id=job.keys[0], outcome=_OUR_FAULT, detail=str(lost))]
        outcome = "enough" if agreeing_passes(agreement) >= self.accept else "more"
        return [VerificationEntry(id=job.keys[0], outcome=outcome)]

    def read(self, job: VerificationJob, entries: Sequence[VerificationEntry]) -> list[bool]:
        """Whether the samples suffice."""
        if entries:
            return [entries[0].outcome == "enough"]
        return [self._may_suffice(job.samples)]


def _read_one(attempt: ProgramAttempt, entry: VerificationEntry, calibration: Calibration) -> Execution | Reject | None:
    if entry.outcome == _FAILED:
        return None
    if entry.outcome != "kept":
        return Reject(id=attempt.response.id, stage=VERIFY, reason=entry.outcome, detail=entry.detail)
    assert entry.verification is not None
    found = with_confidence(entry.verification, calibration)
    if entry.tests is None:
        assert isinstance(attempt.outcome, Execution)
        return msgspec.structs.replace(attempt.outcome, verification=found)
    assert entry.verdict is not None
    changed = render_sections(attempt.sections.with_tests(entry.tests))
    execution = apply_verdict(msgspec.structs.replace(attempt.response, response=changed), entry.verdict)
    assert isinstance(execution, Execution)
    return msgspec.structs.replace(execution, verification=found)


async def _verify_one(
    verifier: Verifier, job: VerificationJob, agreement: Agreement | None, number: SampleIndex
) -> VerificationEntry:
    """What becomes of one sample."""
    attempt, entry = (
        job.attempts[number],
        partial(VerificationEntry, id=job.keys[number], response=job.attempts[number].response.id),
    )
    sandboxes, mode = verifier.sandboxes_here(), verifier.table.repair
    sample, program, repaired = attempt.sample, attempt.program, None
    evidence = support(agreement, number) if agreement is not None else Support()
    if agreement is not None and mode != "off" and (sample.passed or evidence.group >= _TRUSTED_GROUP):
        repaired = repair(agreement, number, mode)
    if repaired is not None:
        program = join_program(sample.implementation, repaired.tests)
        verdict = await sandboxes.first.run(program)
        if verdict.status != "passed":
            outcome = _OUR_FAULT if verdict.status == _OUR_FAULT else _FAILED
            return entry(outcome=outcome, detail=verdict.detail)
    elif isinstance(attempt.outcome, Execution):
        verdict = attempt.outcome.verdict
        if evidence.contradicted and mode != "off":
            detail = f"{evidence.contradicted} assertions are contradicted by most implementations, and cannot be removed alone."
            return entry(outcome=Reason.CONTRADICTED, detail=detail)
    else:
        return entry(outcome=_FAILED)
    if verdict.tests_never_run:
        return entry(outcome=Reason.VACUOUS_TESTS, detail=f"Never ran: {'; '.join(verdict.tests_never_run)}.")
    strength = await _test_further(verifier.table, program, sample.implementation, sandboxes)
    if isinstance(strength, _Refused):
        return entry(outcome=strength.outcome, detail=strength.detail)
    return entry(
        outcome="kept",
        verification=_verification(job.attempts, evidence, repaired, strength),
        tests=repaired.tests if repaired is not None else None,
        verdict=verdict if repaired is not None else None,
        survivors=list(strength.survivors),
    )


class _Refused(NamedTuple):
    """Why a passing program cannot become a row."""

    outcome: str
    detail: str


async def _test_further(
    table: VerifyTable, program: Program, implementation: str, sandboxes: Sandboxes
) -> TestStrength | _Refused:
    """Run a passing program again, and measure its tests."""
    if table.rerun:
        again = await sandboxes.run_again(program)
        if again.status == _OUR_FAULT:
            return _Refused(_OUR_FAULT, again.detail)
        if again.status != "passed":
            return _Refused(Reason.FLAKY, f"Run again, it came out as {again.status}: {again.detail}")
    if not table.mutation:
        return TestStrength()
    try:
        strength = await measure_tests(implementation, program, sandboxes.first)
    except SlotLost as lost:
        return _Refused(_OUR_FAULT, str(lost))
    if strength.survives_gutting:
        return _Refused(Reason.VACUOUS_TESTS, "Its tests pass with all function bodies removed.")
    return strength


def _verification(
    attempts: Sequence[ProgramAttempt],
    evidence: Support,
    repaired: Repair | None,
    strength: TestStrength,
) -> Verification:
    return Verification(
        samples=len(attempts),
        passed=sum(other.status == "passed" for other in attempts),
        implementations=evidence.implementations,
        group=evidence.group,
        group_share=round(evidence.share, 4),
        agreement=round(evidence.agreement, 4),
        inputs=evidence.inputs,
        values=evidence.values,
        alike=round(evidence.alike, 4),
        likeness=round(evidence.likeness, 4),
        own_assertions=evidence.own_true,
        contradicted=evidence.contradicted if repaired is None else 0,
        changed=repaired.changed if repaired is not None else 0,
        foreign=evidence.foreign,
        foreign_true=evidence.foreign_true,
        mutants=strength.mutants,
        killed=strength.killed,
        lines=strength.lines,
        branches=strength.branches,
    )
