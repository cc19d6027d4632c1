"""Grades the tests of a row: which of its checks notice which wrong programs, tried in the sandbox and written down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from snipmill.records import content_hash
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import RULES, UnitOutcome
from snipmill.sandbox.slot import SlotLost
from snipmill.stages.evidence_runs import try_all
from snipmill.stages.execute import ExecutionContext
from snipmill.store.entries import Entry
from snipmill.store.journal import Journal
from snipmill.verification.programs import join_program
from snipmill.verification.test_matrix import MOST_PROGRAMS, keep_held, own_trial, read_checks, suspects


class MatrixEntry(Entry, frozen=True, kw_only=True):
    """The checks of a row, and the programs that were tried.

    `passes` says whether the row's own program passes. `checks` are those that hold for the row's own code, each as test code.
    `asked` and `failed` hold, for each of `programs`, which checks fitted its interface, and which of these it failed.
    """

    passes: bool
    checks: list[str] = msgspec.field(default_factory=list)
    programs: list[str] = msgspec.field(default_factory=list)
    asked: list[list[int]] = msgspec.field(default_factory=list)
    failed: list[list[int]] = msgspec.field(default_factory=list)

    def fails(self, program: str) -> bool | None:
        """Whether a program fails a check; None where it could be asked none."""
        if program not in self.programs:
            return None
        place = self.programs.index(program)
        return bool(self.failed[place]) if self.asked[place] else None


@dataclass(frozen=True)
class Grader:
    """What grading needs.

    Attributes:
        sandbox: where programs run.
        context: what outcomes depend on beside the programs.
        journal: where they are written down.
    """

    sandbox: Sandbox
    context: ExecutionContext
    journal: Journal[MatrixEntry]

    async def grade(self, code: str, tests: str, samples: Sequence[tuple[str, str, str]]) -> MatrixEntry | None:
        """The matrix of a row, made or looked up; None where the sandbox failed.

        Args:
            code: the row's implementation.
            tests: its tests.
            samples: id, code and tests of the instruction's other samples.
        """
        used = samples[:MOST_PROGRAMS]
        settings = msgspec.json.encode((self.context.limits, self.context.tier, self.context.environment)).decode()
        key = f"m-{content_hash(code, tests, settings, RULES, *(text for sample in used for text in sample))}"
        known = self.journal.get(key)
        if known is not None:
            return known
        try:
            entry = await self._try_all(key, code, tests, used)
        except SlotLost:
            return None
        self.journal.append(entry)
        return entry

    async def _try_all(self, key: str, code: str, tests: str, samples: Sequence[tuple[str, str, str]]) -> MatrixEntry:
        verdict = await self.sandbox.run_once(join_program(code, tests))
        if verdict.status == "sandbox-error":
            raise SlotLost(verdict.detail)
        if verdict.status != "passed":
            return MatrixEntry(id=key, passes=False)
        checks = await asyncio.to_thread(read_checks, code, tests)
        if checks.assertions:
            checks = keep_held(checks, await self.sandbox.try_units(own_trial(checks)))
        if not checks.assertions:
            return MatrixEntry(id=key, passes=True)
        found = await asyncio.to_thread(suspects, checks, samples)
        outcomes = await try_all(self.sandbox, [one.trial for one in found])
        return MatrixEntry(
            id=key,
            passes=True,
            checks=checks.texts,
            programs=[one.name for one in found],
            asked=[list(one.asked) for one in found],
            failed=[_failed(one.asked, tried) for one, tried in zip(found, outcomes, strict=True)],
        )


def _failed(asked: Sequence[int], outcomes: Sequence[UnitOutcome]) -> list[int]:
    """The checks that a program failed."""
    return [check for check, outcome in zip(asked, outcomes, strict=True) if outcome.status != "passed"]
