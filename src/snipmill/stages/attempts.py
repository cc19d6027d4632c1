"""Responses on their way through execution and verification: each is parsed once, and what is known of it stays together."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from snipmill.languages import PYTHON
from snipmill.records import Execution, Reject, Response, Row, Verdict, extend
from snipmill.sandbox.program import Program
from snipmill.selection.sanitize import sanitize
from snipmill.selection.styles import RAW
from snipmill.stages.spec import EXECUTE
from snipmill.text.sections import Malformed, Sections
from snipmill.verification.agreement import Agreement
from snipmill.verification.any_program import build_any_program
from snipmill.verification.data_sets import Columns, foreign_tests
from snipmill.verification.programs import parse_response
from snipmill.verification.questions import Sample


@dataclass(frozen=True)
class Candidate:
    """A response with its sections and its program, or with the outcome that it has without one."""

    response: Response
    sections: Sections | None = None
    program: Program | None = None
    settled: Execution | Reject | None = None


def parse_candidate(response: Response, columns: Columns | None = None) -> Candidate:
    """Parse a response. In a language that cannot be executed it goes on, marked as unverified.

    Args:
        response: what to parse.
        columns: where the tests are, if not in the response; then it need not have four sections.
    """
    if response.language != PYTHON:
        verdict = Verdict(status="unverified", detail=f"{response.language} is not executed.")
        return Candidate(response, settled=extend(Execution, response, verdict=verdict))
    if columns is not None and columns.tests is not None:
        return _parse_foreign(response, columns)
    parsed = parse_response(response.response)
    if isinstance(parsed, Malformed):
        reject = Reject(id=response.id, stage=EXECUTE, reason=parsed.reason, detail=parsed.detail)
        return Candidate(response, settled=reject)
    return Candidate(response, parsed.sections, parsed.program)


def _parse_foreign(response: Response, columns: Columns) -> Candidate:
    raw = response.columns if isinstance(response.columns, dict) else {}
    tests, entry_point, module = (
        msgspec.json.decode(raw[name]) if name is not None and name in raw else None
        for name in (columns.tests, columns.entry_point, columns.module)
    )
    built = build_any_program(response.response, foreign_tests(tests, entry_point, module))
    if isinstance(built, Malformed):
        return Candidate(
            response, settled=Reject(id=response.id, stage=EXECUTE, reason=built.reason, detail=built.detail)
        )
    return Candidate(response, program=built.program)


@dataclass(frozen=True)
class Attempt:
    """A candidate and what came of it."""

    candidate: Candidate
    outcome: Execution | Reject

    @property
    def response(self) -> Response:
        """The response that was executed."""
        return self.candidate.response

    @property
    def status(self) -> str:
        """`passed`, or the reason of the reject."""
        return self.outcome.reason if isinstance(self.outcome, Reject) else "passed"

    @property
    def passed(self) -> bool:
        """Whether its program was executed and passed."""
        return isinstance(self.outcome, Execution) and self.outcome.verdict.status == "passed"

    def as_row(self, seed: int) -> Row | Reject:
        """The row in style `raw`, or why there is none.

        Args:
            seed: the run's seed.
        """
        if isinstance(self.outcome, Reject):
            return self.outcome
        return sanitize(self.outcome, RAW, seed, self.candidate.sections)


@dataclass(frozen=True)
class ProgramAttempt(Attempt):
    """An attempt that has a program, so that it can be held against others."""

    sections: Sections
    program: Program

    @property
    def sample(self) -> Sample:
        """What the crosswise examination needs of it."""
        return Sample(self.response.id, self.sections.code, self.sections.tests, isinstance(self.outcome, Execution))


# Crosswise executions of one instruction, by its samples: what decided when to stop sampling serves verification too.
AgreementCache = dict[tuple[tuple[Sample, ...], tuple[str, ...]], Agreement]


@dataclass(frozen=True)
class SampleSet:
    """The attempts at one instruction, with the agreement that was worked out so far."""

    attempts: list[Attempt]
    cache: AgreementCache = field(default_factory=dict)
    written: tuple[str, ...] = ()  # tests that were written from the instruction alone

    @property
    def with_programs(self) -> list[ProgramAttempt]:
        """The attempts that can be held against each other: those whose code could run here."""
        return [
            ProgramAttempt(attempt.candidate, attempt.outcome, sections, program)
            for attempt in self.attempts
            if attempt.status not in ("syntax-error", "unsupported", "sandbox-error")
            and (program := attempt.candidate.program) is not None
            and (sections := attempt.candidate.sections) is not None
        ]

    def acceptable(self, seed: int) -> SampleSet:
        """Without the passes that would not become rows; they do not count for early stopping."""
        kept = [
            attempt
            for attempt in self.attempts
            if isinstance(attempt.outcome, Reject) or isinstance(attempt.as_row(seed), Row)
        ]
        return SampleSet(kept, self.cache)

    def sections_of(self, execution: Execution) -> Sections | None:
        """The sections of a verified response, where it is still as it was parsed; None where its tests were repaired."""
        for attempt in self.attempts:
            if attempt.response.id == execution.id and attempt.response.response == execution.response:
                return attempt.candidate.sections
        return None
