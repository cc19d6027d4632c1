"""Trials in the sandbox: second runs, samples against each other's tests, and tests against mutants of their code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from snipmill.records import Verdict
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Program, Trial, Unit, UnitOutcome
from snipmill.verification.agreement import Agreement, take_answers
from snipmill.verification.coverage import coverage
from snipmill.verification.mutants import difference, mutants
from snipmill.verification.programs import change_implementation
from snipmill.verification.questions import Sample, gather_questions

_MUTANT_TIME = 2.0  # seconds for one mutant: one that loops has been noticed


Wait = Callable[[], Awaitable[None]]


async def next_second() -> None:
    """Wait until the clock shows another second."""
    second = int(time.time())
    while int(time.time()) == second:  # noqa: ASYNC110
        await asyncio.sleep(1.0 - time.time() % 1.0 + 0.001)


@dataclass(frozen=True)
class Sandboxes:
    """Two sandboxes of one tier.

    Attributes:
        first: where programs run.
        rerun: where they run again, with another hash seed and in other folders.
        wait: awaited before a second run, so that it sees another time.
    """

    first: Sandbox
    rerun: Sandbox
    wait: Wait = next_second

    async def run_again(self, program: Program) -> Verdict:
        """The verdict of a second run of a program that has passed."""
        await self.wait()
        return await self.rerun.run(program)


@dataclass(frozen=True)
class TestStrength:
    """What a program's tests notice.

    Attributes:
        mutants: how many changed implementations were tried.
        killed: for how many of them the tests failed or ran out of time.
        survives_gutting: whether the tests pass with all function bodies removed.
        lines: share of the implementation's lines that the tests run.
        branches: share of the outcomes of its conditions and loops that they take.
        survivors: the mutants that they do not notice, as differences from the implementation.
    """

    mutants: int = 0
    killed: int = 0
    survives_gutting: bool = False
    lines: float = 0.0
    branches: float = 0.0
    survivors: tuple[str, ...] = ()

    @property
    def score(self) -> float | None:
        """Mutation score: killed / mutants; None where nothing could be changed."""
        return self.killed / self.mutants if self.mutants else None


async def execute_crosswise(samples: Sequence[Sample], sandbox: Sandbox, written: Sequence[str] = ()) -> Agreement:
    """Put every distinct assertion to every distinct implementation, in one process for each implementation.

    Args:
        samples: of one instruction.
        sandbox: where they run.
        written: tests that were written from the instruction alone.

    Raises:
        SlotLost: the sandbox failed, which says nothing about the samples.
    """
    questions = await asyncio.to_thread(gather_questions, samples, written)
    return take_answers(questions, await try_all(sandbox, questions.trials))


async def try_all(sandbox: Sandbox, trials: Sequence[Trial]) -> list[list[UnitOutcome]]:
    """The outcomes of several trials, in their order. Where one is lost, the others are still waited for.

    Raises:
        SlotLost: the sandbox failed, which says nothing about the programs.
    """
    found = await asyncio.gather(*map(sandbox.try_units, trials), return_exceptions=True)
    return [_or_raise(one) for one in found]


def _or_raise(found: list[UnitOutcome] | BaseException) -> list[UnitOutcome]:
    if isinstance(found, BaseException):
        raise found
    return found


async def measure_tests(implementation: str, program: Program, sandbox: Sandbox) -> TestStrength:
    """Try a program's tests on mutants of its implementation, all in one process.

    Args:
        implementation: what the program begins with.
        program: implementation and tests.
        sandbox: where it runs.

    Raises:
        SlotLost: the sandbox failed, which says nothing about the tests.
    """
    found = await asyncio.to_thread(mutants, implementation)
    units = [Unit(program=program, trace=True)]
    units += [Unit(program=change_implementation(program, mutant.source)) for mutant in found]
    traced, *outcomes = await sandbox.try_units(Trial(source="", units=tuple(units), unit_timeout=_MUTANT_TIME))
    if traced.status != "passed":
        return TestStrength()  # too slow to be tried often: nothing is known
    # A mutant that took its process along, or ran when the time for all was over, says nothing about the tests.
    tried = [(mutant, outcome) for mutant, outcome in zip(found, outcomes, strict=True) if outcome.status != "ended"]
    killed = [outcome.status != "passed" for _, outcome in tried]
    reached = coverage(implementation, traced.lines, traced.jumps)
    return TestStrength(
        mutants=len(tried),
        killed=sum(killed),
        # A script may do its work outside of functions: then another mutant shows that its output is checked.
        survives_gutting=not (program.dialogues and any(killed))
        and any(mutant.kind == "gutted" and not dead for (mutant, _), dead in zip(tried, killed, strict=True)),
        lines=round(reached.lines, 4),
        branches=round(reached.branches, 4),
        survivors=tuple(
            difference(implementation, mutant) for (mutant, _), dead in zip(tried, killed, strict=True) if not dead
        ),
    )
