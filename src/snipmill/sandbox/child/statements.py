"""Questions about single statements of tests: whether one is a test, an exit, or throws away what it should look at."""

from __future__ import annotations

import ast

from snipmill.sandbox.child.expectations import last_name
from snipmill.sandbox.child.syntax import nodes_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    pass

# Functions that return the exit status of a process.
_REPLACING = ("patch", "mock", "Mock", "setattr", "globals(", "vars(", "__dict__", "__code__")
_DISCARDED = {"os": ("system", "waitpid"), "subprocess": ("run", "call")}


def is_gathered(value: ast.expr) -> bool:
    """Whether an expression awaits `gather(..., return_exceptions=True)`."""
    inner = value.value if isinstance(value, ast.Await) else None
    return (
        isinstance(inner, ast.Call)
        and last_name(inner) == "gather"
        and any(keyword.arg == "return_exceptions" for keyword in inner.keywords)
    )


def looks_at(statement: ast.stmt, name: str) -> bool:
    """Whether a statement uses a name for more than its length."""
    lengths = {
        id(node.args[0])
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and last_name(node) == "len" and node.args
    }
    return any(
        isinstance(node, ast.Name) and node.id == name and id(node) not in lengths for node in ast.walk(statement)
    )


def is_test_class(node: ast.ClassDef) -> bool:
    """Whether a class holds tests, by its name or by a test case as its base."""
    name = node.name
    is_named = name.startswith(("Test", "Check", "test", "check")) or name.endswith(("Test", "Tests", "Checks"))
    return is_named or any(last_name(base).endswith("TestCase") for base in node.bases)


def is_main_guard(node: ast.If) -> bool:
    """Whether a statement is `if __name__ == "__main__"`."""
    return any(isinstance(one, ast.Name) and one.id == "__name__" for one in ast.walk(node.test))


def needs_no_argument(node: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> bool:
    """Whether a function can be called as it is, and is not one that Python calls, such as `__eq__`."""
    required = len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
    return required <= method and not node.args.kwonlyargs and not node.name.startswith("__")


def replaced_names(body: Sequence[ast.stmt], lines: Sequence[str]) -> frozenset[str] | None:
    """The names that tests bind anew, attributes as `.name`; None if they may replace anything, such as by `patch`.

    Args:
        body: the statements of the tests.
        lines: of the tests.
    """
    if any(word in line for line in lines for word in _REPLACING):
        return None
    found = set()
    for node in nodes_in(*body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(f".{node.attr}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return frozenset(found)


def holds_check(statement: ast.stmt) -> bool:
    """Whether there is an assert in a statement."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and last_name(node).startswith("assert"))
        for node in ast.walk(statement)
    )


def is_verdict(code: ast.expr) -> bool:
    """Whether an exit code is chosen between success and failure: `1 if failed else 0`, or `not ok`."""
    if isinstance(code, ast.UnaryOp) and isinstance(code.op, ast.Not):
        return True
    if not isinstance(code, ast.IfExp):
        return False
    parts = (code.body, code.orelse)
    return all(isinstance(part, ast.Constant) for part in parts) and parts[0].value != parts[1].value  # type: ignore[attr-defined]


def is_test_name(name: str) -> bool:
    """Whether a name is that of a test, or of a function that checks something."""
    return name.startswith(("test", "check", "Test"))


def is_discarded(value: ast.Call) -> bool:
    """Whether a statement starts a process and throws its exit status away."""
    func = value.func
    if not isinstance(func, ast.Attribute) or not isinstance(func.value, ast.Name):
        return False
    return func.attr in _DISCARDED.get(func.value.id, ())


def is_exit(node: ast.stmt) -> bool:
    """Whether a statement raises SystemExit."""
    return isinstance(node, ast.Raise) and node.exc is not None and last_name(node.exc) == "SystemExit"


def is_compound(node: ast.stmt) -> bool:
    """Whether a statement holds other statements."""
    return isinstance(
        node, ast.If | ast.For | ast.While | ast.Try | ast.TryStar | ast.With | ast.FunctionDef | ast.ClassDef
    )


def is_constant_truth(node: ast.expr) -> bool:
    """Whether an assertion holds whatever the program does: `assert True`, `assert (x, "message")`."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    return isinstance(node, ast.Tuple) and bool(node.elts)
