"""Tells exceptions that a test expects from failures that it swallows, by the statements around a check."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXPECTS = frozenset(
    {
        "raises",
        "assertRaises",
        "assertRaisesRegex",
        "assertWarns",
        "assertWarnsRegex",
        "assertLogs",
        "assertNoLogs",
        "warns",
    }
    | {"deprecated_call", "RaisesGroup", "assert_raises", "assert_raises_regex"}
)
_RAISES = frozenset(
    {"raises", "assertRaises", "assertRaisesRegex", "RaisesGroup", "assert_raises", "assert_raises_regex"}
)
_BROAD = frozenset({"Exception", "BaseException", "AssertionError", "failureException"})
_FAILING = frozenset({"AssertionError", "failureException"})
_NO_FAILURE = frozenset({"SystemExit", "SkipTest", "Skipped", "StopIteration", "KeyboardInterrupt"})
# What a handler or a context manager is meant to catch: nothing of a check, exceptions that are no failures, failures too, or
# the exception that it names, which the test's own `if` may raise.
NOTHING, OTHER_EXCEPTIONS, FAILURES_TOO, THE_NAMED = 0, 1, 2, 3


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name, of a called one too; empty for other expressions."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def expects(node: ast.Try | ast.TryStar, handler: ast.ExceptHandler, later: Sequence[ast.stmt]) -> int:
    """What a handler is meant to catch: nothing, exceptions other than failed checks, or failed checks too.

    A specific exception is expected. A broad handler expects one if the test fails where nothing is raised, or if the handler
    checks the exception or notes it in a name that a later statement checks.

    Args:
        node: the statement.
        handler: one of its handlers.
        later: the statements behind it in its function.
    """
    names = set(_caught_names(handler.type))
    if not names & _BROAD:
        return OTHER_EXCEPTIONS
    if (node.orelse and fails(node.orelse[-1])) or _is_noted(handler, later):
        return FAILURES_TOO
    # A failure at the end of the block would be caught as well, so only other exceptions are what it waits for.
    if fails(node.body[-1]) or any(map(_is_assertion, handler.body)) or names - _BROAD:
        return OTHER_EXCEPTIONS
    return NOTHING


def caught_by(call: ast.Call) -> int:
    """What a context manager is meant to catch, as in `expects`."""
    name = last_name(call)
    if name in _RAISES:
        names = {last_name(item) for argument in call.args for item in _items(argument)}
        names |= {last_name(keyword.value) for keyword in call.keywords if keyword.arg == "expected_exception"}
        return FAILURES_TOO if names & _BROAD else THE_NAMED
    if name in ("suppress", "ignored"):
        names = {last_name(argument) for argument in call.args}
        return NOTHING if names & _BROAD or not names else OTHER_EXCEPTIONS
    return NOTHING


def fails(node: ast.stmt, *, any_exception: bool = False) -> bool:
    """Whether a statement only fails a test: `assert False`, `raise AssertionError`, `self.fail()`, `pytest.fail()`.

    Args:
        node: the statement.
        any_exception: whether to count `raise ValueError(...)` and `sys.exit(1)` too.
    """
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    if isinstance(node, ast.Raise):
        name = last_name(node.exc) if node.exc is not None else ""
        return name in _FAILING or (any_exception and name[:1].isupper() and name not in _NO_FAILURE)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        func, name = node.value.func, last_name(node.value)
        if name == "fail":
            owner = func.value if isinstance(func, ast.Attribute) else None
            return owner is None or (isinstance(owner, ast.Name) and owner.id in ("self", "cls", "pytest", "case"))
        code = node.value.args[0] if node.value.args else None
        return any_exception and name in ("exit", "_exit") and isinstance(code, ast.Constant) and bool(code.value)
    return False


def _caught_names(caught: ast.expr | None) -> list[str]:
    if caught is None:
        return ["BaseException"]
    return [last_name(item) for item in _items(caught)]


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _is_noted(handler: ast.ExceptHandler, later: Sequence[ast.stmt]) -> bool:
    """Whether a handler notes what it caught in a name that a later statement checks."""
    noted = set()
    for statement in handler.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                noted.add(node.id)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if isinstance(node.func.value, ast.Name):
                    noted.add(node.func.value.id)
            elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
                noted |= {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
    if not noted:
        return False
    return any(
        isinstance(node, ast.Name) and node.id in noted
        for statement in later
        for check in ast.walk(statement)
        if isinstance(check, ast.stmt) and _is_assertion(check)
        for node in ast.walk(check)
    )


def _is_assertion(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and last_name(node.value).startswith("assert")
    )
