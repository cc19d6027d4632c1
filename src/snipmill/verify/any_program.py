"""Builds the program of any answer: four sections, Markdown with Python blocks, or code.

The tests are in the answer or in a column of their own.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from snipmill.reasons import Reason
from snipmill.sandbox.program import Program
from snipmill.text.code import has_assert
from snipmill.text.fences import find_fences, python_fences
from snipmill.text.sections import Malformed, parse_sections
from snipmill.verify.layouts import ForeignTests, join_foreign
from snipmill.verify.programs import parse_response
from snipmill.verify.statements import parse

_CHECKING = ("unittest", "pytest", "def test", "def check(")


class AnyProgram(NamedTuple):
    """An implementation, and the program that tests it."""

    implementation: str
    program: Program


@dataclass(frozen=True)
class TestColumns:
    """Which columns hold the tests, the name of what `check(candidate)` tests, and the name by which tests import the answer."""

    tests: str | None = None
    entry_point: str | None = None
    module: str | None = None


def foreign_tests(value: Mapping[str, Any], columns: TestColumns) -> ForeignTests | None:
    """The tests of a row; None where no column holds any, or where the row's is empty."""
    tests = value.get(columns.tests) if columns.tests is not None else None
    if tests is None or tests in ("", [], {}):
        return None
    return ForeignTests(
        text=tests if isinstance(tests, str) else json.dumps(tests),
        entry_point=str(value.get(columns.entry_point) or "") if columns.entry_point is not None else "",
        module=str(value.get(columns.module) or "") if columns.module is not None else "",
    )


def build_any_program(response: str, tests: ForeignTests | None) -> AnyProgram | Malformed:
    """Implementation and program of a response, with four sections or with code blocks alone.

    Args:
        response: Markdown, or code.
        tests: tests that stand apart; None where the response holds its own.
    """
    if tests is None and not isinstance(parse_sections(response), Malformed):
        parsed = parse_response(response)
        return parsed if isinstance(parsed, Malformed) else _joined(parsed.sections.code, parsed.sections.tests)
    blocks = [fence.code.rstrip() for fence in python_fences(response)]
    if tests is not None and parse(response) is not None:
        blocks = [response]  # code, in which a docstring may show a block
    elif not blocks:
        blocks = [fence.code.rstrip() for fence in find_fences(response) if not fence.info.strip()]
        if not blocks and tests is not None and "```" not in response:
            blocks = [response]
    if not blocks:
        return Malformed(Reason.NO_TESTS, "The response holds no Python block.")
    code = "\n\n".join(blocks)
    if tests is not None:
        built = _with_tests(code, tests)
        is_script = isinstance(built, Malformed) or bool(built.program.dialogues)
        quiet = code if is_script else without_main_guard(code)
        return _with_tests(quiet, tests) if quiet != code else built
    checking = [block for block in blocks[1:] if _has_checks(block)]
    if checking:
        return _joined("\n\n".join(block for block in blocks if block not in checking), "\n\n".join(checking))
    if any(map(_has_checks, blocks)):
        return AnyProgram(code, Program(source=f"{code}\n"))
    return Malformed(Reason.NO_TESTS, "Neither the response nor another column holds a check.")


def _has_checks(block: str) -> bool:
    return has_assert(block) or any(word in block for word in _CHECKING)


def _joined(implementation: str, tests: str) -> AnyProgram | Malformed:
    return _with_tests(implementation, ForeignTests(tests))


def _with_tests(implementation: str, tests: ForeignTests) -> AnyProgram | Malformed:
    program = join_foreign(implementation, tests)
    return program if isinstance(program, Malformed) else AnyProgram(implementation, program)


def without_main_guard(code: str) -> str:
    """An answer without its `if __name__ == "__main__"`, with as many lines: who imports it does not run that part."""
    tree = parse(code)
    lines = code.split("\n")
    for node in tree.body if tree is not None else ():
        is_guard = isinstance(node, ast.If) and not node.orelse and "'__main__'" in ast.dump(node.test)
        if is_guard and "\r" not in code:
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n".join(lines)
