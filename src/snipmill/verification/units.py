"""Splits a response's tests into single assertions, each with only the statements that it needs.

Covers plain asserts at module level and in test functions, `unittest` methods (`plain_tests`), parameters and fixtures of pytest
(`plain_pytest`), and blocks that expect an exception. A statement that contains asserts (a loop, a `with`) is one unit as a whole.
Does not cover running them (`sandbox`), or fitting them to other implementations (`interface`).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from snipmill.sandbox.program import Unit
from snipmill.verification.plain_pytest import Fixtures, expand, fixture_name, plain_fixture, prepares_tests
from snipmill.verification.plain_tests import is_test_case, plain, plain_methods, without_checks
from snipmill.verification.statements import DEFINITIONS, names_in, needed_for, parse, touches_state

MOST = 40  # maximum units per response


@dataclass(frozen=True)
class Assertion:
    """One assertion of a response's tests.

    Attributes:
        unit: what the sandbox runs.
        key: equal for assertions that test the same, whatever their layout.
        names: the free names that it uses.
        span: first and last line in the tests (from 1) if it is at module level, where it can be removed.
        text: it as test code that stands alone, as its author wrote it; empty where it was made from another.
    """

    unit: Unit
    key: str
    names: frozenset[str]
    span: tuple[int, int] | None = None
    text: str = ""


def assertions(tests: str, offered: Collection[str]) -> list[Assertion]:
    """The assertions in tests, in order; none if the tests are not valid Python.

    Args:
        tests: the code of the tests.
        offered: the names under test. The side of a comparison that uses them is the computed value.
    """
    tree = parse(tests)
    if tree is None:
        return []
    found: list[Assertion] = []
    try:
        for assertion in _Reader(frozenset(offered)).of_block([plain(one) for one in tree.body], [], top=True):
            found.append(assertion)
            if len(found) == MOST:
                break
    except (RecursionError, ValueError):  # trees that cannot be unparsed, such as some f-strings
        pass
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads the assertions in blocks of tests, given the names under test."""

    offered: frozenset[str]

    def of_block(self, body: Sequence[ast.stmt], before: list[ast.stmt], top: bool) -> Iterator[Assertion]:
        """The assertions of a block; `before` are the statements that may have to run first."""
        setup = list(before)
        asserting = {name for statement in setup for name in _asserting(statement)}
        fixtures = {name: one for one in body if isinstance(one, ast.FunctionDef) and (name := fixture_name(one))}
        setup += [plain_fixture(one, name) for name, one in fixtures.items()]  # a test may stand above its fixtures
        prepared = any(map(prepares_tests, body))
        for statement in body:
            span = (statement.lineno, statement.end_lineno or 0) if top else None
            if isinstance(statement, ast.Assert):
                yield self._assertion(statement.test, setup, span)
                if touches_state(statement, setup):  # `assert stack.pop() == 2` changes what follows
                    setup.append(without_checks(statement))
            elif isinstance(statement, ast.FunctionDef) and fixture_name(statement):
                pass
            elif isinstance(statement, ast.FunctionDef) and _is_test(statement, fixtures):
                for expanded in expand(statement, fixtures) if not prepared else ():
                    yield from self.of_block(expanded, setup, top=False)
            elif isinstance(statement, ast.ClassDef) and is_test_case(statement):
                for first, method in plain_methods(statement, fixtures):
                    yield from self.of_block(method, [*setup, *first], top=False)
            elif isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):
                yield from self.of_block(statement.body, setup, top=False)
            elif isinstance(statement, DEFINITIONS):
                setup.append(statement)
                asserting |= _asserting(statement)  # if it contains asserts, its calls are the assertions
            elif _holds_asserts(statement) or names_in([statement]) & asserting:
                yield _whole(statement, setup, span)
                if touches_state(statement, setup):
                    setup.append(without_checks(statement))
            elif not _says_nothing(statement):
                setup.append(statement)

    def _assertion(self, test: ast.expr, setup: list[ast.stmt], span: tuple[int, int] | None) -> Assertion:
        needed = needed_for(test, setup)
        before = "\n".join(ast.unparse(statement) for statement in needed)
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
            left, right = test.left, test.comparators[0]
            if self._is_asked(right, setup) and not self._is_asked(left, setup):
                left, right = right, left
            unit = Unit(setup=before, value=ast.unparse(left), expected=ast.unparse(right))
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, ast.Call):
            unit = Unit(setup=before, value=f"bool({ast.unparse(test.operand)})", expected="False")
        elif isinstance(test, ast.Call):
            unit = Unit(setup=before, value=f"bool({ast.unparse(test)})", expected="True")
        else:
            unit = Unit(setup=before, check=ast.unparse(test))
        key = f"{before}\n{unit.value}\n{unit.expected}\n{unit.check}"
        text = f"{before}\nassert {ast.unparse(test)}".lstrip("\n")
        return Assertion(unit, key, names_in([test, *needed]), span, text)

    def _is_asked(self, side: ast.expr, setup: list[ast.stmt]) -> bool:
        """Whether one side of a comparison comes from the offered names, directly or through its setup."""
        names = names_in([side])
        return bool(names) and bool(self.offered & (names | names_in(needed_for(side, setup))))


def _is_test(function: ast.FunctionDef, fixtures: Fixtures) -> bool:
    """Whether a function is a test whose arguments are known; a function `test_case(x, y)` without marks is a helper."""
    if not function.name.startswith("test"):
        return False
    arguments = {argument.arg for argument in function.args.args}
    return arguments <= fixtures.keys() or bool(function.decorator_list)


def _holds_asserts(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(statement))


def _asserting(statement: ast.stmt) -> set[str]:
    """The name of a definition in the tests, as a set, if it contains assertions that run only when it is called."""
    return {statement.name} if isinstance(statement, DEFINITIONS) and _holds_asserts(statement) else set()


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is a constant, or a call that only prints or runs tests."""
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    if isinstance(value, ast.Constant):
        return True
    if not isinstance(value, ast.Call):
        return False
    name = ast.unparse(value.func)
    runs_test = isinstance(value.func, ast.Name) and name.startswith("test")
    return runs_test or name in ("print", "unittest.main", "doctest.testmod", "pytest.main")


def _whole(statement: ast.stmt, setup: list[ast.stmt], span: tuple[int, int] | None) -> Assertion:
    needed = [*needed_for(statement, setup), statement]
    text = "\n".join(ast.unparse(part) for part in needed)
    return Assertion(Unit(setup=text), text, names_in(needed), span, text)
