"""From a response's tests to single assertions, each with just the statements that it needs.

Read are plain asserts, at module level and in test functions, and the common methods of `unittest.TestCase`. A statement that
holds asserts inside (a loop, a `with`) is one unit as a whole. Does not cover running them (`sandbox`), or whose function they
are tried on (`interface`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snipmill.sandbox.program import Unit

MOST = 40  # units of one response
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


def assertions(tests: str) -> list[Assertion]:
    """The assertions in tests, in order; none where the tests are no Python."""
    tree = parse(tests)
    if tree is None:
        return []
    found: list[Assertion] = []
    try:
        for assertion in _of_block(tree.body, [], top=True):
            found.append(assertion)
            if len(found) == MOST:
                break
    except (RecursionError, ValueError):  # trees that cannot be written down again, as some f-strings
        pass
    return found


def _of_block(body: Sequence[ast.stmt], before: list[ast.stmt], top: bool) -> Iterator[Assertion]:
    """The assertions of a block; `before` are the statements that may have to run first."""
    setup = list(before)
    for statement in body:
        if isinstance(statement, ast.Assert):
            yield _assertion(statement.test, setup, (statement.lineno, statement.end_lineno or 0) if top else None)
            if _touches_bound(statement, setup):  # `assert stack.pop() == 2` changes what follows
                setup.append(ast.copy_location(ast.Expr(statement.test), statement))
        elif isinstance(statement, ast.FunctionDef) and statement.name.startswith("test") and not statement.args.args:
            yield from _of_block(statement.body, setup, top=False)
        elif isinstance(statement, ast.ClassDef) and statement.name.lower().startswith("test"):
            for method in statement.body:
                if isinstance(method, ast.FunctionDef) and method.name.startswith("test"):
                    yield from _of_method(method, setup)
        elif isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):
            yield from _of_block(statement.body, setup, top=False)
        elif any(isinstance(node, ast.Assert) for node in ast.walk(statement)):
            yield _whole(statement, setup)
            if _touches_bound(statement, setup):
                setup.append(statement)
        elif not _says_nothing(statement):
            setup.append(statement)


def _of_method(method: ast.FunctionDef, before: list[ast.stmt]) -> Iterator[Assertion]:
    setup = list(before)
    for statement in method.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in _METHODS
            and not any(isinstance(node, ast.Name) and node.id == "self" for arg in call.args for node in ast.walk(arg))
        ):
            kind = _METHODS[call.func.attr]
            if kind == "==" and len(call.args) >= 2:
                yield _assertion(ast.Compare(call.args[0], [ast.Eq()], [call.args[1]]), setup, None)
            elif call.args:
                test: ast.expr = call.args[0]
                yield _assertion(test if kind == "true" else ast.UnaryOp(ast.Not(), test), setup, None)
        elif isinstance(statement, ast.Assert):
            yield _assertion(statement.test, setup, None)
        elif "self" not in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}:
            setup.append(statement)


def _touches_bound(statement: ast.stmt, setup: list[ast.stmt]) -> bool:
    """Whether a statement uses something that the tests themselves have made."""
    made = {name for before in setup if not isinstance(before, ast.Import | ast.ImportFrom) for name in _bound(before)}
    return bool(made & _names([statement]))


def _says_nothing(statement: ast.stmt) -> bool:
    """A constant, or a call that only prints or runs tests."""
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    if isinstance(value, ast.Constant):
        return True
    name = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
    return name in ("print", "unittest.main", "doctest.testmod", "pytest.main") or name.startswith("test")


def _assertion(test: ast.expr, setup: list[ast.stmt], span: tuple[int, int] | None) -> Assertion:
    needed = _needed(test, setup)
    before = "\n".join(ast.unparse(statement) for statement in needed)
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
        left, right = test.left, test.comparators[0]
        if _is_constant(left) and not _is_constant(right):
            left, right = right, left
        unit = Unit(setup=before, value=ast.unparse(left), expected=ast.unparse(right))
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, ast.Call):
        unit = Unit(setup=before, value=ast.unparse(test.operand), expected="False")
    elif isinstance(test, ast.Call):
        unit = Unit(setup=before, value=ast.unparse(test), expected="True")
    else:
        unit = Unit(setup=before, check=ast.unparse(test))
    key = f"{before}\n{unit.value}\n{unit.expected}\n{unit.check}"
    return Assertion(unit, key, _names([test, *needed]), span)


def _whole(statement: ast.stmt, setup: list[ast.stmt]) -> Assertion:
    needed = [*_needed(statement, setup), statement]
    text = "\n".join(ast.unparse(part) for part in needed)
    return Assertion(Unit(setup=text), text, _names(needed))


def _is_constant(node: ast.expr) -> bool:
    return not any(isinstance(inner, ast.Call | ast.Name) for inner in ast.walk(node))


def _needed(target: ast.AST, setup: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a set-up that bear on a target: those that bind or touch a name that it needs, and so on."""
    wanted = _names([target])
    made = {name for statement in setup for name in _bound(statement)}
    chosen: list[ast.stmt] = []
    for statement in reversed(setup):
        bound = _bound(statement)
        touched = bound or made & _names([statement])
        if touched & wanted or "*" in bound:
            wanted |= _names([statement])
            chosen.append(statement)
    return chosen[::-1]


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _names(nodes: Sequence[ast.AST]) -> frozenset[str]:
    return frozenset(inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name))
