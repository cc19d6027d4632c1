"""Builds the program of any answer: four sections, Markdown with Python blocks, or code.

The tests are in the answer or in a column of their own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from snipmill.reasons import Reason
from snipmill.sandbox.program import Program
from snipmill.text.sections import Malformed, parse_sections
from snipmill.verification.answer_code import Block, answer_text, blocks_that_count, code_blocks, split_checks
from snipmill.verification.foreign_tests import ForeignTests, join_foreign
from snipmill.verification.programs import parse_response
from snipmill.verification.script_part import without_script_part

_NAME = re.compile(r"[A-Za-z_]\w*")


class AnyProgram(NamedTuple):
    """An implementation, and the program that tests it."""

    implementation: str
    program: Program


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
    blocks = _blocks(answer, has_tests=tests is not None)
    if not blocks or (tests is None and not any(block.has_checks for block in blocks)):
        return Malformed(Reason.NO_TESTS, "Neither the response nor another column holds a check.")
    return _with_own_tests(blocks) if tests is None else _with_foreign_tests(blocks, tests)


def find_implementation(response: str, used: frozenset[str]) -> str | None:
    """The code of an answer that tests from elsewhere call; None where there is none.

    Args:
        response: Markdown, or code.
        used: the names that the tests use.
    """
    blocks = _blocks(answer_text(response), has_tests=True)
    return _called_code(blocks, used) if blocks else None


def names_used(tests: ForeignTests) -> frozenset[str]:
    """The names that occur in tests, as words."""
    return frozenset(_NAME.findall(f"{tests.text} {tests.entry_point}"))


def _blocks(answer: str, has_tests: bool) -> list[Block]:
    """The blocks of an answer, or all of it."""
    blocks = code_blocks(answer)
    # Code as it is, in which a docstring may show a block; without blocks, whatever it is.
    whole = Block(answer.replace("\r\n", "\n"))
    if (whole.tree is not None and (has_tests or not blocks)) or (not blocks and has_tests and "```" not in answer):
        return [whole]
    return blocks


def _with_foreign_tests(blocks: list[Block], tests: ForeignTests) -> AnyProgram | Malformed:
    built = _with_tests(_code(blocks), tests)
    if not isinstance(built, Malformed) and built.program.dialogues:  # a script, which the tests talk to
        return _with_tests(_script(blocks), tests)
    return _with_tests(_called_code(blocks, names_used(tests)), tests)


def _called_code(blocks: list[Block], used: frozenset[str]) -> str:
    """The code that tests from elsewhere call. Tests in the answer are not needed, and may be wrong where those are right."""
    without_tests = [block for block in blocks if block.has_definitions or not block.has_checks] or blocks
    return without_script_part(_code(blocks_that_count(without_tests, used)))


def _script(blocks: list[Block]) -> str:
    """The script among the blocks of an answer: the last one that reads anything, and what does not read."""
    reading = [block for block in blocks if block.reads]
    drafts = set(map(id, reading[:-1]))
    return _code([block for block in blocks if id(block) not in drafts])


def _with_own_tests(blocks: list[Block]) -> AnyProgram | Malformed:
    counted = blocks_that_count(blocks)
    testing = [block for block in counted if block.has_checks and _is_only_test(block, counted)]
    code = without_script_part(_code([block for block in counted if block not in testing]))
    if testing:
        return _joined(code, _code(testing))
    if len(counted) == 1:
        code, checks = split_checks(Block(code))
        if checks and code.strip():
            return _joined(code, checks)
    whole = without_script_part(_code(counted))
    return AnyProgram(whole, Program(source=f"{whole}\n"))


def _is_only_test(block: Block, blocks: list[Block]) -> bool:
    """Whether a block with checks holds nothing of the answer: what it defines is for its own use, beside the code of others."""
    others = [other for other in blocks if other is not block]
    if not block.has_definitions:
        return True
    return any(one.has_definitions for one in others) and not any(block.defined & one.free for one in others)


def _code(blocks: list[Block]) -> str:
    return "\n\n".join(block.code for block in blocks)


def _joined(implementation: str, tests: str) -> AnyProgram | Malformed:
    return _with_tests(implementation, ForeignTests(tests))


def _with_tests(implementation: str, tests: ForeignTests) -> AnyProgram | Malformed:
    program = join_foreign(implementation, tests)
    return program if isinstance(program, Malformed) else AnyProgram(implementation, program)
