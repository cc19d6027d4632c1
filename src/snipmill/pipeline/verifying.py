"""The runner of verification: all samples of an instruction are held against each other, and each that may become a row is tried.

A sample whose own program passed may become a row; so may one that failed only by assertions that the evidence speaks against,
once these are taken out and it passes like any other. Both then run again elsewhere, and their tests are tried on mutants.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from snipmill.config import VerifyTable
from snipmill.languages import PYTHON
from snipmill.pipeline.examine import TestStrength, cross_examine, examine_tests
from snipmill.pipeline.execute import is_unverified, program_id
from snipmill.pipeline.funnel import StageCount
from snipmill.records import Execution, Reject, Response, Verdict, Verification, content_hash
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program
from snipmill.sandbox.slot import SlotLost
from snipmill.store.journal import Journal, Verified
from snipmill.text.sections import Sections, parse_sections, render_sections
from snipmill.verify.agreement import Agreement, Sample, Support
from snipmill.verify.confidence import WEIGHTS, confidence
from snipmill.verify.programs import build_program, join_program, judge
from snipmill.verify.repair import Repair, repair

Tried = Sequence[tuple[Response, Execution | Reject]]
# Crosswise executions of one instruction, by its samples: what was worked out to stop sampling serves the verification too.
Crossed = dict[tuple[Sample, ...], Agreement]

STAGE = "verify"
_OUR_FAULT = "sandbox-error"
_TRUSTED_GROUP = 2  # implementations that must agree before a failing program's tests are touched


@dataclass(frozen=True)
class Verifier:
    """What verification needs: where programs run, where they run again, and what is asked of them."""

    sandbox: Sandbox
    again: Sandbox
    limits: Limits
    environment: str
    table: VerifyTable
    journal: Journal[Verified]
    count: StageCount


@dataclass(frozen=True)
class _Able:
    """A sample that has a program, with what came of it."""

    response: Response
    outcome: Execution | Reject
    program: Program
    sections: Sections

    @property
    def status(self) -> str:
        return self.outcome.reason if isinstance(self.outcome, Reject) else "passed"

    @property
    def sample(self) -> Sample:
        return Sample(self.response.id, self.sections.code, self.sections.tests, isinstance(self.outcome, Execution))


def _able(tried: Tried) -> list[_Able]:
    parts = (
        (response, outcome, build_program(response.response), parse_sections(response.response))
        for response, outcome in tried
        if response.language == PYTHON
    )
    return [
        _Able(response, outcome, program, sections)
        for response, outcome, program, sections in parts
        if isinstance(program, Program) and isinstance(sections, Sections)
    ]


async def verify(verifier: Verifier, tried: Tried, crossed: Crossed | None = None) -> list[Execution | Reject]:
    """Hold all samples of one instruction against each other.

    Args:
        verifier: what is needed for it.
        tried: the instruction's responses, with what came of their programs.
        crossed: crosswise executions that are there already.

    Returns:
        executions with their evidence, and rejects of samples that had passed or could have been repaired; nothing of those
        whose programs failed and stay as they are.
    """
    able = _able(tried)
    context = content_hash(
        msgspec.json.encode(verifier.table).decode(),
        msgspec.json.encode(WEIGHTS).decode(),
        *(one.status for one in able),
        *(_program_id(verifier, one) for one in able),
    )
    keys = [f"v-{content_hash(context, one.response.id)}" for one in able]
    found = [verifier.journal.get(key) for key in keys]
    if any(entry is None for entry in found):
        found = await _examine_all(verifier, able, keys, {} if crossed is None else crossed)
    else:
        verifier.count.reused += len(found)
    outcomes: list[Execution | Reject] = [
        outcome for _, outcome in tried if isinstance(outcome, Execution) and is_unverified(outcome)
    ]
    for _ in outcomes:
        verifier.count.count(None)
    for one, entry in zip(able, found, strict=True):
        assert entry is not None
        result = _result(one, entry)
        if result is not None:
            verifier.count.count(result.reason if isinstance(result, Reject) else None)
            outcomes.append(result)
    return outcomes


def _program_id(verifier: Verifier, one: _Able) -> str:
    return program_id(one.program, verifier.limits, verifier.sandbox.tier, verifier.environment)


def enough_id(verifier_table: VerifyTable, accept: int, programs: Sequence[str]) -> str:
    """The journal's key for the question whether an instruction needs no further samples."""
    return f"e-{content_hash(msgspec.json.encode(verifier_table).decode(), accept, *programs)}"


async def suffices(verifier: Verifier, tried: Tried, accept: int, crossed: Crossed) -> bool:
    """Whether the samples so far are enough: so many of them have passed, and compute the same."""
    if sum(isinstance(outcome, Execution) and outcome.verdict.status == "passed" for _, outcome in tried) < accept:
        return False
    if not verifier.table.agreement:
        return True
    able = _able(tried)
    key = enough_id(verifier.table, accept, [_program_id(verifier, one) for one in able])
    entry = verifier.journal.get(key)
    if entry is None:
        try:
            agreement = await _cross(verifier, able, crossed)
        except SlotLost:
            return False
        entry = Verified(id=key, outcome="enough" if agreement.agreeing_passes() >= accept else "more")
        if all(one.status != _OUR_FAULT for one in able):
            verifier.journal.append(entry)
    return entry.outcome == "enough"


async def _cross(verifier: Verifier, able: Sequence[_Able], crossed: Crossed) -> Agreement:
    samples = tuple(one.sample for one in able)
    if samples not in crossed:
        crossed[samples] = await cross_examine(samples, verifier.sandbox)
    return crossed[samples]


def _result(one: _Able, entry: Verified) -> Execution | Reject | None:
    if entry.outcome == "failed":
        return None
    if entry.outcome != "kept":
        return Reject(id=one.response.id, stage=STAGE, reason=entry.outcome, detail=entry.detail)
    if entry.tests is None:
        assert isinstance(one.outcome, Execution)
        return msgspec.structs.replace(one.outcome, verification=entry.verification)
    assert entry.verdict is not None
    changed = render_sections(dataclasses.replace(one.sections, tests=entry.tests))
    execution = judge(msgspec.structs.replace(one.response, response=changed), entry.verdict)
    assert isinstance(execution, Execution)
    return msgspec.structs.replace(execution, verification=entry.verification)


async def _examine_all(
    verifier: Verifier, able: Sequence[_Able], keys: Sequence[str], crossed: Crossed
) -> list[Verified | None]:
    started = time.monotonic()
    try:
        agreement = await _cross(verifier, able, crossed) if verifier.table.agreement and able else None
    except SlotLost as lost:
        return [Verified(id=key, outcome=_OUR_FAULT, detail=str(lost)) for key in keys]
    works = (_examine(verifier, able, agreement, number) for number in range(len(able)))
    # What the sandbox could not do says nothing about the code: all of this is done again next time.
    ours = any(one.status == _OUR_FAULT for one in able)
    entries: list[Verified | None] = []
    for key, entry in zip(keys, await asyncio.gather(*works), strict=True):
        written = msgspec.structs.replace(entry, id=key)
        if entry.outcome != _OUR_FAULT and not ours:
            verifier.journal.append(written)
        entries.append(written)
    verifier.count.seconds += time.monotonic() - started
    return entries


async def _examine(verifier: Verifier, able: Sequence[_Able], agreement: Agreement | None, number: int) -> Verified:
    """What becomes of one sample; the entry has no id yet."""
    one = able[number]
    sample, program, repaired = one.sample, one.program, None
    support = agreement.weigh(number) if agreement is not None else Support()
    if agreement is not None and verifier.table.repair != "off" and (sample.passed or support.group >= _TRUSTED_GROUP):
        repaired = repair(agreement, number, verifier.table.repair)
    if repaired is not None:
        program = join_program(sample.implementation, repaired.tests)
        verdict = await verifier.sandbox.run(program)
        if verdict.status != "passed":
            outcome = _OUR_FAULT if verdict.status == _OUR_FAULT else "failed"
            return Verified(id="", outcome=outcome, detail=verdict.detail)
    elif isinstance(one.outcome, Execution):
        verdict = one.outcome.verdict
        if support.contradicted and verifier.table.repair != "off":
            detail = f"{support.contradicted} assertions are contradicted by most implementations, and cannot be taken out alone."
            return Verified(id="", outcome="contradicted", detail=detail)
    else:
        return Verified(id="", outcome="failed")
    if verifier.table.rerun and (flaky := await runs_differently(program, verifier.again)) is not None:
        if flaky.status == _OUR_FAULT:
            return Verified(id="", outcome=_OUR_FAULT, detail=flaky.detail)
        return Verified(id="", outcome="flaky", detail=f"Run again, it came out as {flaky.status}: {flaky.detail}")
    strength = TestStrength(0, 0, False, 0.0, 0.0)
    if verifier.table.mutation:
        try:
            strength = await examine_tests(sample.implementation, program, verifier.sandbox)
        except SlotLost as lost:
            return Verified(id="", outcome=_OUR_FAULT, detail=str(lost))
        if strength.survives_gutting:
            return Verified(id="", outcome="vacuous-tests", detail="Its tests pass with all function bodies taken out.")
    return Verified(
        id="",
        outcome="kept",
        verification=_verification(able, sample, support, repaired, strength),
        tests=repaired.tests if repaired is not None else None,
        verdict=verdict if repaired is not None else None,
    )


def _verification(
    able: Sequence[_Able], sample: Sample, support: Support, repaired: Repair | None, strength: TestStrength
) -> Verification:
    return Verification(
        samples=len(able),
        passed=sum(other.status == "passed" for other in able),
        implementations=support.implementations,
        group=support.group,
        group_share=round(support.share, 4),
        agreement=round(support.agreement, 4),
        inputs=support.inputs,
        values=support.values,
        alike=round(support.alike, 4),
        likeness=round(support.likeness, 4),
        own_assertions=support.own_true,
        contradicted=support.contradicted if repaired is None else 0,
        changed=repaired.changed if repaired is not None else 0,
        foreign=support.foreign,
        foreign_true=support.foreign_true,
        mutants=strength.mutants,
        killed=strength.killed,
        lines=strength.lines,
        branches=strength.branches,
        confidence=round(confidence(support, passed=sample.passed, mutation=strength.score), 4),
    )


async def runs_differently(program: Program, again: Sandbox) -> Verdict | None:
    """The verdict of a second run, with another hash seed, in another folder and another second, if it is not a pass."""
    second = int(time.time())
    while int(time.time()) == second:  # noqa: ASYNC110
        await asyncio.sleep(1.0 - time.time() % 1.0 + 0.001)
    verdict = await again.run(program)
    return None if verdict.status == "passed" else verdict
