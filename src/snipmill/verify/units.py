"""From a response's tests to single assertions, each with just the statements that it needs.

Read are plain asserts, at module level and in test functions, and the common methods of `unittest.TestCase`. A statement that
holds asserts inside (a loop, a `with`) is one unit as a whole. Does not cover running them (`sandbox`), or whose function they
are tried on (`interface`).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from snipmill.sandbox.program import Unit

MOST = 40  # units of one response
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_METHODS = {"assertEqual": "==", "assertEquals": "==", "assertTrue": "true", "assertFalse": "false"}


@dataclass(frozen=True)
class Assertion:
    """One assertion of a response's tests.

    Attributes:
        unit: how it is tried.
        key: the same for assertions that ask the same, whatever their layout.
        names: the free names that it uses.
        span: first and last line in the tests (from 1), where it is a plain assert at module level; it can be taken out there.
    """

    unit: Unit
    key: str
    names: frozenset[str]
    span: tuple[int, int] | None = None


def parse(code: str) -> ast.Module | None:
    """The syntax tree of code that a model wrote, None where it has none that can be handled."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def assertions(tests: str, offered: Collection[str]) -> list[Assertion]:
    """The assertions in tests, in order; none where the tests are no Python.

    Args:
        tests: code.
        offered: the names that are tested: of a comparison, the side that uses them is what is computed.
    """
    tree = parse(tests)
    if tree is None:
        return []
    found: list[Assertion] = []
    try:
        for assertion in _Reader(frozenset(offered)).of_block(tree.body, [], top=True):
            found.append(assertion)
            if len(found) == MOST:
                break
    except (RecursionError, ValueError):  # trees that cannot be written down again, as some f-strings
        pass
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads blocks of tests for what an implementation offers under some names."""

    offered: frozenset[str]

    def of_block(self, body: Sequence[ast.stmt], before: list[ast.stmt], top: bool) -> Iterator[Assertion]:
        """The assertions of a block; `before` are the statements that may have to run first."""
        setup = list(before)
        asserting = {name for statement in setup for name in _asserting(statement)}
        for statement in body:
            if isinstance(statement, ast.Assert):
                yield self._assertion(
                    statement.test, setup, (statement.lineno, statement.end_lineno or 0) if top else None
                )
                if _touches_state(statement, setup):  # `assert stack.pop() == 2` changes what follows
                    setup.append(_alone(statement.test))
            elif (
                isinstance(statement, ast.FunctionDef) and statement.name.startswith("test") and not statement.args.args
            ):
                yield from self.of_block(statement.body, setup, top=False)
            elif isinstance(statement, ast.ClassDef) and statement.name.lower().startswith("test"):
                for method in statement.body:
                    if isinstance(method, ast.FunctionDef) and method.name.startswith("test"):
                        yield from self._of_method(method, setup)
            elif isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):
                yield from self.of_block(statement.body, setup, top=False)
            elif isinstance(statement, _DEFINITIONS):
                setup.append(statement)
                asserting |= _asserting(statement)  # where it holds asserts, what calls it is the question
            elif _holds_asserts(statement) or _names([statement]) & asserting:
                yield _whole(statement, setup)
                if _touches_state(statement, setup):
                    setup.append(statement)
            elif not _says_nothing(statement):
                setup.append(statement)

    def _of_method(self, method: ast.FunctionDef, before: list[ast.stmt]) -> Iterator[Assertion]:
        setup = list(before)
        for statement in method.body:
            call = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(statement, ast.Assert):
                yield self._assertion(statement.test, setup, None)
                asked = [statement.test]
            elif isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and "self" in _names([call.func]):
                asked = [argument for argument in call.args if "self" not in _names([argument])]
                test = _test_of(call.func.attr, asked) if len(asked) == len(call.args) else None
                if test is not None:
                    yield self._assertion(test, setup, None)
            else:
                if "self" not in _names([statement]):
                    setup.append(statement)
                continue
            setup += [_alone(expression) for expression in asked if _touches_state(expression, setup)]

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
        return Assertion(unit, key, _names([test, *needed]), span)

    def _is_asked(self, side: ast.expr, setup: list[ast.stmt]) -> bool:
        """Whether one side of a comparison comes from what is offered, by itself or by what was set up for it."""
        names = _names([side])
        return bool(names) and bool(self.offered & (names | _names(needed_for(side, setup))))


def _test_of(method: str, arguments: list[ast.expr]) -> ast.expr | None:
    """What a method of `unittest.TestCase` asserts, where that is one of the common ones."""
    kind = _METHODS.get(method)
    if kind == "==" and len(arguments) >= 2:
        return ast.Compare(arguments[0], [ast.Eq()], [arguments[1]])
    if kind in ("true", "false") and arguments:
        return arguments[0] if kind == "true" else ast.UnaryOp(ast.Not(), arguments[0])
    return None


def _alone(expression: ast.expr) -> ast.stmt:
    return ast.copy_location(ast.Expr(expression), expression)


def _holds_asserts(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(statement))


def _asserting(statement: ast.stmt) -> set[str]:
    """The name of a function or class of the tests' own in which assertions wait for a call."""
    return {statement.name} if isinstance(statement, _DEFINITIONS) and _holds_asserts(statement) else set()


def _states(setup: list[ast.stmt]) -> set[str]:
    """The names that the tests have bound to something which a later statement may change."""
    return {
        name
        for before in setup
        if not isinstance(before, (*_DEFINITIONS, ast.Import, ast.ImportFrom))
        and not (isinstance(before, ast.Assign) and isinstance(before.value, ast.Constant))
        for name in bound_names(before)
    }


def _touches_state(node: ast.AST, setup: list[ast.stmt]) -> bool:
    """Whether a part of the tests uses something that the tests themselves have made."""
    return bool(_states(setup) & _names([node]))


def _says_nothing(statement: ast.stmt) -> bool:
    """A constant, or a call that only prints or runs tests."""
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


def _whole(statement: ast.stmt, setup: list[ast.stmt]) -> Assertion:
    needed = [*needed_for(statement, setup), statement]
    text = "\n".join(ast.unparse(part) for part in needed)
    return Assertion(Unit(setup=text), text, _names(needed))


def needed_for(target: ast.AST, setup: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a set-up that bear on a target: those that bind or touch a name that it needs, and so on."""
    wanted = _names([target])
    made, states = {name for statement in setup for name in bound_names(statement)}, _states(setup)
    chosen: list[ast.stmt] = []
    for statement in reversed(setup):
        bound = bound_names(statement)
        touched = bound
        if not bound:
            touched = made & _names([statement])
        elif not isinstance(statement, _DEFINITIONS):
            touched = bound | (states & _names([statement]))  # `x = stack.pop()` changes the stack
        if touched & wanted or "*" in bound:
            wanted |= _names([statement])
            chosen.append(statement)
    return chosen[::-1]


def bound_names(statement: ast.stmt) -> set[str]:
    """The names that a statement binds."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _names(nodes: Sequence[ast.AST]) -> frozenset[str]:
    return frozenset(inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name))
