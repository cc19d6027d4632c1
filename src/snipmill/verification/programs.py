"""Builds the program that the sandbox runs from a response: the implementation, followed by the tests.

Does not cover running it (`sandbox`) or what several samples prove together.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from snipmill.reasons import Reason
from snipmill.records import Execution, Reject, Response, Verdict, extend
from snipmill.sandbox.program import Program
from snipmill.text.code import syntax_error
from snipmill.text.fences import python_fences
from snipmill.text.sections import Malformed, Sections, parse_sections

_OF_A_PROGRAM = 2  # blocks: an implementation and its tests


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A four-section response, parsed once, and its program."""

    sections: Sections
    program: Program


def parse_response(response: str) -> ParsedResponse | Malformed:
    """The sections and the program of a four-section response in Python, or why it has none.

    A syntax error counts in any Python block, executed or not: the row would teach it. Where there are no blocks but those of the
    program, the sandbox will tell.
    """
    sections = parse_sections(response)
    if isinstance(sections, Malformed):
        return sections
    fences = python_fences(response)
    for number, fence in enumerate(fences if len(fences) > _OF_A_PROGRAM else (), start=1):
        error = syntax_error(fence.code)
        if error is not None:
            return Malformed(Reason.SYNTAX_ERROR, f"Python block {number}: {error}")
    return ParsedResponse(sections, join_program(sections.code, sections.tests))


def join_program(implementation: str, tests: str) -> Program:
    """The program of an implementation and its tests."""
    # Count lines as the compiler does: \r\n and \r end a line, form feeds do not.
    lines = implementation.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    return Program(source=f"{implementation}\n\n\n{tests}\n", tests_line=lines + 3)


def change_implementation(program: Program, implementation: str) -> Program:
    """The program with another implementation under the same tests."""
    if program.tests_line is None:
        return msgspec.structs.replace(program, source=implementation)
    lines = program.source.split("\n")
    tests = "\n".join(lines[program.tests_line - 1 :]).rstrip("\n")
    joined = join_program(implementation, tests)
    return msgspec.structs.replace(program, source=joined.source, tests_line=joined.tests_line)


def apply_verdict(record: Response, verdict: Verdict) -> Execution | Reject:
    """The response with its verdict if its program passed, else a reject with the verdict."""
    if verdict.status != "passed":
        detail = verdict.failed_check or verdict.detail
        return Reject(id=record.id, stage="execute", reason=Reason(verdict.status), detail=detail, verdict=verdict)
    return extend(Execution, record, verdict=verdict)
