"""The runner of verification: all samples of an instruction are held against each other, and each that may become a row is tried.

A sample whose own program passed may become a row; so may one that failed only by assertions that the evidence speaks against,
once these are taken out and it passes like any other. Both then run again elsewhere, and their tests are tried on mutants.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from snipmill.config import VerifyTable
from snipmill.pipeline.examine import TestStrength, cross_examine, examine_tests
from snipmill.pipeline.execute import program_id
from snipmill.pipeline.funnel import StageCount
from snipmill.records import Execution, Reject, Response, Verdict, Verification, content_hash
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program
from snipmill.store.journal import Journal, Verified
from snipmill.text.sections import Malformed, Sections, parse_sections, render_sections
from snipmill.verify.agreement import Agreement, Sample, Support
from snipmill.verify.confidence import confidence
from snipmill.verify.programs import build_program, judge
from snipmill.verify.repair import repair

STAGE = "verify"
_OUR_FAULT = "sandbox-error"
_TRUSTED_GROUP = 2  # implementations that must agree before a failing program's tests are touched


@dataclass(frozen=True)
class Verifier:
    """What verification needs: where programs run, where they run again, and what is asked of them."""

    sandbox: Sandbox
    again: Sandbox
    limits: Limits
    interpreter: str
    table: VerifyTable
    journal: Journal[Verified]
    count: StageCount


async def verify(verifier: Verifier, tried: Sequence[tuple[Response, Execution | Reject]]) -> list[Execution | Reject]:
    """Hold all samples of one instruction against each other.

    Args:
        verifier: what is needed for it.
        tried: the instruction's responses, with what came of their programs.

    Returns:
        executions with their evidence, and rejects of samples that had passed or could have been repaired; nothing of those
        whose programs failed and stay as they are.
    """
    programs = [(response, outcome, build_program(response.response)) for response, outcome in tried]
    able = [
        (response, outcome, program, sections)
        for response, outcome, program in programs
        if isinstance(program, Program) and isinstance(sections := parse_sections(response.response), Sections)
    ]
    context = content_hash(
        msgspec.json.encode(verifier.table).decode(),
        *(_status(outcome) for _, outcome, _, _ in able),
        *(
            program_id(program, verifier.limits, verifier.sandbox.tier, verifier.interpreter)
            for _, _, program, _ in able
        ),
    )
    keys = [f"v-{content_hash(context, response.id)}" for response, _, _, _ in able]
    found = [verifier.journal.get(key) for key in keys]
    if any(entry is None for entry in found):
        found = await _examine_all(verifier, able, keys)
    else:
        verifier.count.reused += len(found)
    outcomes = []
    for (response, outcome, _, _), entry in zip(able, found, strict=True):
        assert entry is not None
        result = _result(response, outcome, entry)
        if result is not None:
            verifier.count.count(result.reason if isinstance(result, Reject) else None)
            outcomes.append(result)
    return outcomes


def _status(outcome: Execution | Reject) -> str:
    return outcome.reason if isinstance(outcome, Reject) else "passed"


def enough_id(verifier_table: VerifyTable, accept: int, programs: Sequence[str]) -> str:
    """The journal's key for the question whether an instruction needs no further samples."""
    return f"e-{content_hash(msgspec.json.encode(verifier_table).decode(), accept, *programs)}"


async def suffices(verifier: Verifier, tried: Sequence[tuple[Response, Execution | Reject]], accept: int) -> bool:
    """Whether the samples so far are enough: so many of them have passed, and compute the same."""
    if sum(isinstance(outcome, Execution) for _, outcome in tried) < accept:
        return False
    if not verifier.table.agreement:
        return True
    samples, programs = [], []
    for response, outcome in tried:
        program, sections = build_program(response.response), parse_sections(response.response)
        if isinstance(program, Program) and isinstance(sections, Sections):
            samples.append(Sample(response.id, sections.code, sections.tests, isinstance(outcome, Execution)))
            programs.append(program_id(program, verifier.limits, verifier.sandbox.tier, verifier.interpreter))
    key = enough_id(verifier.table, accept, programs)
    entry = verifier.journal.get(key)
    if entry is None:
        agreement = await cross_examine(samples, verifier.sandbox)
        entry = Verified(id=key, outcome="enough" if agreement.agreeing_passes() >= accept else "more")
        if all(_status(outcome) != _OUR_FAULT for _, outcome in tried):
            verifier.journal.append(entry)
    return entry.outcome == "enough"


def _result(response: Response, outcome: Execution | Reject, entry: Verified) -> Execution | Reject | None:
    if entry.outcome == "failed":
        return None
    if entry.outcome != "kept":
        return Reject(id=response.id, stage=STAGE, reason=entry.outcome, detail=entry.detail)
    if entry.tests is None:
        assert isinstance(outcome, Execution)
        return msgspec.structs.replace(outcome, verification=entry.verification)
    sections = parse_sections(response.response)
    assert not isinstance(sections, Malformed) and entry.verdict is not None
    changed = Sections(sections.reasoning, sections.implementation, sections.explanation, entry.tests)
    execution = judge(msgspec.structs.replace(response, response=render_sections(changed)), entry.verdict)
    assert isinstance(execution, Execution)
    return msgspec.structs.replace(execution, verification=entry.verification)


async def _examine_all(
    verifier: Verifier,
    able: Sequence[tuple[Response, Execution | Reject, Program, Sections]],
    keys: Sequence[str],
) -> list[Verified | None]:
    started = time.monotonic()
    samples = [
        Sample(response.id, sections.code, sections.tests, isinstance(outcome, Execution))
        for response, outcome, _, sections in able
    ]
    agreement = None
    if verifier.table.agreement and samples:
        agreement = await cross_examine(samples, verifier.sandbox)
    works = (
        _examine(verifier, samples, agreement, number, program, outcome)
        for number, (_, outcome, program, _) in enumerate(able)
    )
    # What the sandbox could not do says nothing about the code: all of this is done again next time.
    ours = any(_status(outcome) == _OUR_FAULT for _, outcome, _, _ in able)
    entries: list[Verified | None] = []
    for key, entry in zip(keys, await asyncio.gather(*works), strict=True):
        written = msgspec.structs.replace(entry, id=key)
        if entry.outcome != _OUR_FAULT and not ours:
            verifier.journal.append(written)
        entries.append(written)
    verifier.count.seconds += time.monotonic() - started
    return entries


async def _examine(
    verifier: Verifier,
    samples: Sequence[Sample],
    agreement: Agreement | None,
    number: int,
    program: Program,
    outcome: Execution | Reject,
) -> Verified:
    """What becomes of one sample; the entry has no id yet."""
    sample = samples[number]
    support = agreement.weigh(number) if agreement is not None else Support()
    repaired = None
    if agreement is not None and verifier.table.repair != "off" and (sample.passed or support.group >= _TRUSTED_GROUP):
        repaired = repair(agreement, number, verifier.table.repair)
    if repaired is not None:
        program = _with_tests(sample.implementation, repaired.tests)
        verdict = await verifier.sandbox.run(program)
        if verdict.status != "passed":
            return Verified(
                id="", outcome=_OUR_FAULT if verdict.status == _OUR_FAULT else "failed", detail=verdict.detail
            )
    elif isinstance(outcome, Execution):
        verdict = outcome.verdict
        if support.contradicted and verifier.table.repair != "off":
            detail = (
                f"{support.contradicted} assertions are contradicted by most implementations, and none would remain."
            )
            return Verified(id="", outcome="contradicted", detail=detail)
    else:
        return Verified(id="", outcome="failed")
    if verifier.table.rerun and (flaky := await runs_differently(program, verifier.again)) is not None:
        if flaky.status == _OUR_FAULT:
            return Verified(id="", outcome=_OUR_FAULT, detail=flaky.detail)
        return Verified(id="", outcome="flaky", detail=f"Run again, it came out as {flaky.status}: {flaky.detail}")
    strength = TestStrength(0, 0, False, 0.0, 0.0)
    if verifier.table.mutation:
        strength = await examine_tests(sample.implementation, program, verifier.sandbox)
        if strength.survives_gutting:
            return Verified(id="", outcome="vacuous-tests", detail="Its tests pass with all function bodies taken out.")
    verification = Verification(
        samples=len(samples),
        passed=sum(other.passed for other in samples),
        implementations=support.implementations,
        group=support.group,
        group_share=round(support.share, 4),
        agreement=round(support.agreement, 4),
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
    return Verified(
        id="",
        outcome="kept",
        verification=verification,
        tests=repaired.tests if repaired is not None else None,
        verdict=verdict if repaired is not None else None,
    )


def _with_tests(implementation: str, tests: str) -> Program:
    return Program(source=f"{implementation}\n\n\n{tests}\n", tests_line=implementation.count("\n") + 4)


async def runs_differently(program: Program, again: Sandbox) -> Verdict | None:
    """The verdict of a second run, with another hash seed, in another folder and another second, if it is not a pass."""
    second = int(time.time())
    while int(time.time()) == second:  # noqa: ASYNC110
        await asyncio.sleep(1.0 - time.time() % 1.0 + 0.001)
    verdict = await again.run(program)
    return None if verdict.status == "passed" else verdict
