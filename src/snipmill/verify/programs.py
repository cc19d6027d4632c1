"""From a response to the program that the sandbox runs: the implementation, and after it the tests.

Does not cover running it (`sandbox`) or what several samples prove together.
"""

from __future__ import annotations

from snipmill.records import Execution, Reject, Response, Verdict, derive
from snipmill.sandbox.program import Program
from snipmill.text.code import syntax_error
from snipmill.text.fences import python_fences
from snipmill.text.sections import Malformed, parse_sections


def build_program(response: str) -> Program | Malformed:
    """The program of a four-section response, or why it has none.

    A syntax error in any Python block counts, in those that are not executed too: the row would teach it.
    """
    sections = parse_sections(response)
    if isinstance(sections, Malformed):
        return sections
    for number, fence in enumerate(python_fences(response), start=1):
        error = syntax_error(fence.code)
        if error is not None:
            return Malformed("syntax-error", f"Python block {number}: {error}")
    return join_program(sections.code, sections.tests)


def join_program(implementation: str, tests: str) -> Program:
    """The program of an implementation and its tests."""
    # Lines as the compiler counts them: \r\n and \r end one, form feeds do not.
    lines = implementation.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    return Program(source=f"{implementation}\n\n\n{tests}\n", tests_line=lines + 3)


def judge(record: Response, verdict: Verdict) -> Execution | Reject:
    """A response whose program passed, with its evidence, or a reject that carries the verdict's."""
    if verdict.status != "passed":
        detail = verdict.failed_check or verdict.detail
        return Reject(id=record.id, stage="execute", reason=verdict.status, detail=detail, verdict=verdict)
    return derive(Execution, record, verdict=verdict)
