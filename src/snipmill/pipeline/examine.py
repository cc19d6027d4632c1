"""Examinations that need the sandbox: samples against each other's tests, and tests against mutants of their code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Program, Trial, Unit, UnitOutcome
from snipmill.verify.agreement import Agreement, Sample
from snipmill.verify.coverage import coverage
from snipmill.verify.mutants import mutants
from snipmill.verify.programs import join_program

_MUTANT_TIME = 2.0  # seconds for one mutant: one that loops has been noticed


@dataclass(frozen=True)
class TestStrength:
    """What a program's tests notice.

    Attributes:
        mutants: how many changed implementations were tried.
        killed: of how many the tests failed, a run out of time included.
        survives_gutting: whether the tests pass with all function bodies taken out.
        lines: share of the implementation's lines that the tests run.
        branches: share of the ways out of its conditions and loops that they take.
    """

    mutants: int
    killed: int
    survives_gutting: bool
    lines: float
    branches: float

    @property
    def score(self) -> float | None:
        """Mutation score: killed / mutants; None where nothing could be changed."""
        return self.killed / self.mutants if self.mutants else None


async def cross_examine(samples: Sequence[Sample], sandbox: Sandbox) -> Agreement:
    """Every distinct implementation asked every distinct assertion, in one process for each implementation.

    Raises:
        SlotLost: the sandbox failed, which says nothing about the samples.
    """
    agreement = await asyncio.to_thread(Agreement, samples)
    trials = await asyncio.gather(*map(sandbox.try_units, agreement.trials), return_exceptions=True)
    agreement.take([_or_raise(found) for found in trials])
    return agreement


def _or_raise(found: list[UnitOutcome] | BaseException) -> list[UnitOutcome]:
    if isinstance(found, BaseException):
        raise found
    return found


async def examine_tests(implementation: str, program: Program, sandbox: Sandbox) -> TestStrength:
    """Try a program's tests on mutants of its implementation, all in one process.

    Args:
        implementation: what the program begins with.
        program: implementation and tests.
        sandbox: where it runs.

    Raises:
        SlotLost: the sandbox failed, which says nothing about the tests.
    """
    lines = program.source.split("\n")
    tests = "\n".join(lines[(program.tests_line or 1) - 1 :]).rstrip("\n")
    found = await asyncio.to_thread(mutants, implementation)
    units = [Unit(program=program, trace=True)]
    units += [Unit(program=join_program(mutant.source, tests)) for mutant in found]
    traced, *outcomes = await sandbox.try_units(Trial(source="", units=tuple(units), unit_timeout=_MUTANT_TIME))
    if traced.status != "passed":
        return TestStrength(0, 0, False, 0.0, 0.0)  # too slow to be tried often: nothing can be said
    # A mutant that took the process along, or was in it when the time for all was over, says nothing about the tests.
    tried = [(mutant, outcome) for mutant, outcome in zip(found, outcomes, strict=True) if outcome.value != "ended"]
    killed = [outcome.status != "passed" for _, outcome in tried]
    reached = coverage(implementation, traced.lines, traced.jumps)
    return TestStrength(
        mutants=len(tried),
        killed=sum(killed),
        survives_gutting=any(
            mutant.kind == "gutted" and not dead for (mutant, _), dead in zip(tried, killed, strict=True)
        ),
        lines=round(reached.lines, 4),
        branches=round(reached.branches, 4),
    )
