"""Tells exceptions that a test expects from failures that it swallows, by the statements around a check."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_RAISES = frozenset(
    {"raises", "assertRaises", "assertRaisesRegex", "RaisesGroup", "assert_raises", "assert_raises_regex"}
)
EXPECTS = _RAISES | {
    "assertWarns",
    "assertWarnsRegex",
    "assertLogs",
    "assertNoLogs",
    "warns",
    "deprecated_call",
}
_FAILING = frozenset({"AssertionError", "failureException"})
_BROAD = _FAILING | {"Exception", "BaseException"}
_NO_FAILURE = frozenset({"SystemExit", "SkipTest", "Skipped", "StopIteration", "KeyboardInterrupt"})
_FAILING_OWNERS = frozenset({"self", "cls", "pytest", "case", "tc", "test"})
_SKIPS = frozenset({"skipTest", "skip", "SkipTest", "importorskip"})
# What a handler or a context manager is meant to catch: nothing of a check, exceptions that are no failures, failures too, or
# the exception that it names, which the test's own `if` may raise, or what it notes for a later check.
NOTHING, OTHER_EXCEPTIONS, FAILURES_TOO, THE_NAMED, NOTED = 0, 1, 2, 3, 4
# Where an exception that is caught has prevented checks: nowhere, in the block, or behind it.
NOWHERE, IN_THE_BLOCK, BEHIND_IT = 0, 1, 2


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
    checks the exception, notes it in a name that a later statement checks, or raises what it did not expect.

    Args:
        node: the statement.
        handler: one of its handlers.
        later: the statements behind it in its function.
    """
    names = set(_caught_names(handler.type))
    if (node.orelse and fails(node.orelse[-1])) or (names & _BROAD and _raises(handler)):
        return FAILURES_TOO
    noted = _noted_names(handler) if names & _BROAD else set()
    if any(isinstance(one, ast.Raise) and one.exc is not None and last_name(one.exc) in noted for one in later):
        return FAILURES_TOO
    if noted and _is_checked(noted, later):
        return NOTED
    # A failure at the end of the block would be caught as well, so only other exceptions are what it waits for.
    if names - _BROAD or fails(node.body[-1]) or any(map(_is_assertion, handler.body)):
        return OTHER_EXCEPTIONS
    return NOTHING


def gives_up(handler: ast.ExceptHandler) -> bool:
    """Whether a handler skips the test, or always raises again."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise):
        return True
    calls = (node for statement in handler.body for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(last_name(one) in _SKIPS for one in calls)


def caught_by(manager: ast.expr) -> int:
    """What a context manager is meant to catch, as in `expects`. Of one that is not known, exceptions that are no failures."""
    name = last_name(manager)
    if not isinstance(manager, ast.Call):
        return OTHER_EXCEPTIONS
    if name in _RAISES:
        names = {last_name(item) for argument in manager.args for item in _items(argument)}
        names |= {last_name(keyword.value) for keyword in manager.keywords if keyword.arg == "expected_exception"}
        return FAILURES_TOO if names & _FAILING else THE_NAMED
    if name in ("suppress", "ignored"):
        names = {last_name(argument) for argument in manager.args}
        return NOTHING if names & _BROAD or not names else OTHER_EXCEPTIONS
    return OTHER_EXCEPTIONS


def fails(node: ast.stmt, *, any_exception: bool = False) -> bool:
    """Whether a statement only fails a test: `assert False`, `raise AssertionError`, `self.fail()`, `pytest.fail()`.

    Args:
        node: the statement.
        any_exception: whether to count `raise ValueError(...)` and `sys.exit(1)` too.
    """
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    if isinstance(node, ast.Raise):
        if node.exc is None:
            return False
        name = last_name(node.exc)
        if name == "SystemExit":
            return any_exception and isinstance(node.exc, ast.Call) and _is_nonzero(node.exc)
        return name in _FAILING or (any_exception and name[:1].isupper() and name not in _NO_FAILURE)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        func, name = node.value.func, last_name(node.value)
        if name == "fail":
            owner = func.value if isinstance(func, ast.Attribute) else None
            return owner is None or (isinstance(owner, ast.Name) and owner.id in _FAILING_OWNERS)
        return any_exception and name in ("exit", "_exit") and _is_nonzero(node.value)
    return False


def patched_names(node: ast.With | ast.AsyncWith) -> set[str]:
    """The names that a block binds to what a function returns while the block has patched that function."""
    functions = {_patched_function(item.context_expr) for item in node.items} - {""}
    if not functions:
        return set()
    return {
        target.id
        for statement in node.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
        for target in statement.targets
        if isinstance(target, ast.Name) and last_name(statement.value) in functions
    }


def _patched_function(manager: ast.expr) -> str:
    """The name of the function that `patch("module.name")` or `patch.object(owner, "name")` replaces."""
    if not isinstance(manager, ast.Call) or not manager.args:
        return ""
    target = (
        manager.args[0]
        if last_name(manager) == "patch"
        else manager.args[-1]
        if last_name(manager) == "object"
        else None
    )
    if isinstance(target, ast.JoinedStr) and target.values:
        target = target.values[-1]
    return str(target.value).rpartition(".")[2] if isinstance(target, ast.Constant) else ""


def _is_nonzero(call: ast.Call) -> bool:
    code = call.args[0] if call.args else None
    return isinstance(code, ast.Constant) and bool(code.value)


def _caught_names(caught: ast.expr | None) -> list[str]:
    if caught is None:
        return ["BaseException"]
    return [last_name(item) for item in _items(caught)]


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _raises(handler: ast.ExceptHandler) -> bool:
    """Whether a handler raises something, perhaps under a condition."""
    return any(isinstance(node, ast.Raise) for statement in handler.body for node in ast.walk(statement))


def _noted_names(handler: ast.ExceptHandler) -> set[str]:
    """The names in which a handler notes what it caught."""
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
    return noted


def _is_checked(names: set[str], later: Sequence[ast.stmt]) -> bool:
    """Whether a later statement checks one of these names."""
    return any(
        isinstance(node, ast.Name) and node.id in names
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
