"""Builds the program of any answer: four sections, Markdown with Python blocks, or code.

The tests are in the answer or in a column of their own.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import NamedTuple

from snipmill.reasons import Reason
from snipmill.sandbox.program import Program
from snipmill.text.sections import Malformed, parse_sections
from snipmill.verify.answer_code import (
    answer_text,
    blocks_that_count,
    code_blocks,
    has_checks,
    reads_input,
    without_use,
)
from snipmill.verify.foreign_tests import ForeignTests, join_foreign
from snipmill.verify.programs import parse_response
from snipmill.verify.statements import parse


class AnyProgram(NamedTuple):
    """An implementation, and the program that tests it."""

    implementation: str
    program: Program


@dataclass(frozen=True)
class TestColumns:
    """Which columns hold the tests, the name of what they call `candidate`, and the name by which they import the answer."""

    tests: str | None = None
    entry_point: str | None = None
    module: str | None = None


def build_any_program(response: str, tests: ForeignTests | None) -> AnyProgram | Malformed:
    """Implementation and program of a response, with four sections or with code blocks alone.

    Args:
        response: Markdown, or code.
        tests: tests that stand apart; None where the response holds its own.
    """
    answer = answer_text(response)
    if tests is None and not isinstance(parse_sections(answer), Malformed):
        parsed = parse_response(answer)
        return parsed if isinstance(parsed, Malformed) else _joined(parsed.sections.code, parsed.sections.tests)
    blocks = code_blocks(answer)
    # Code as it is, in which a docstring may show a block; without blocks, whatever it is.
    if (parse(answer) is not None and (tests is not None or (not blocks and has_checks(answer)))) or (
        not blocks and tests is not None and "```" not in answer
    ):
        blocks = [answer]
    if not blocks:
        return Malformed(Reason.NO_TESTS, "The response holds no Python block.")
    return _with_own_tests(blocks) if tests is None else _with_foreign_tests(blocks, tests)


def _with_foreign_tests(blocks: list[str], tests: ForeignTests) -> AnyProgram | Malformed:
    built = _with_tests("\n\n".join(blocks), tests)
    if not isinstance(built, Malformed) and built.program.dialogues:  # a script, which the tests talk to
        return _with_tests(_script(blocks), tests)
    return _with_tests(without_use("\n\n".join(blocks_that_count(blocks))), tests)


def _script(blocks: list[str]) -> str:
    """The script among the blocks of an answer: the last one that reads anything, or all of them."""
    trees = [(block, tree) for block in blocks if (tree := parse(block)) is not None]
    reading = [block for block, tree in trees if any(map(reads_input, ast.walk(tree)))]
    return reading[-1] if reading else "\n\n".join(blocks)


def _with_own_tests(blocks: list[str]) -> AnyProgram | Malformed:
    counted = blocks_that_count(blocks)
    checking = [block for block in counted[1:] if has_checks(block)]
    if checking:
        code = "\n\n".join(block for block in counted if block not in checking)
        return _joined(code, "\n\n".join(checking))
    code = "\n\n".join(counted)
    if has_checks(code):
        return AnyProgram(code, Program(source=f"{code}\n"))
    return Malformed(Reason.NO_TESTS, "Neither the response nor another column holds a check.")


def _joined(implementation: str, tests: str) -> AnyProgram | Malformed:
    return _with_tests(implementation, ForeignTests(tests))


def _with_tests(implementation: str, tests: ForeignTests) -> AnyProgram | Malformed:
    program = join_foreign(implementation, tests)
    return program if isinstance(program, Malformed) else AnyProgram(implementation, program)
