"""Code that reaches for the tests instead of solving the task, as policies learn to do. Found by reading, before it runs.

The sandbox has defences of its own; these are for what they let pass: names that stand for what the tests use, marks that make
pytest skip, and changed parts of other modules. Does not cover what is done by `setattr`, frames or the garbage collector.
"""

from __future__ import annotations

import ast
import builtins

from snipmill.verify.statements import bound_names, names_in, parse

_MARKS = ("pytestmark", "pytest_plugins", "setUpModule", "tearDownModule", "load_tests")
_BUILTINS = frozenset(dir(builtins))


def tampers(code: str, tests: str) -> bool:
    """Whether an answer changes what its tests are made of.

    Args:
        code: of the answer.
        tests: that it will be graded by.
    """
    tree, tested = parse(code), parse(tests)
    if tree is None or tested is None:
        return False
    bound = {name for statement in tree.body for name in bound_names(statement)}
    used = names_in(tested.body)
    # Tests that call what the answer defines under a built-in name are about that name.
    called_first = {name for name in used & _BUILTINS & bound if not _is_helper(tested, name)}
    if bound & used & _BUILTINS - called_first or bound & set(_MARKS):
        return True
    imported = {
        name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for name in bound_names(node)
    }
    return any(_changes_module(node, imported) for node in ast.walk(tree))


def _is_helper(tested: ast.Module, name: str) -> bool:
    """Whether tests use a name around other calls, as in `all(f(x) for x in y)` or `isinstance(f(1), int)`."""
    for node in ast.walk(tested):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            inside = [inner for argument in node.args for inner in ast.walk(argument)]
            if any(isinstance(inner, ast.Call) for inner in inside):
                return True
    return False


def _changes_module(node: ast.AST, imported: set[str]) -> bool:
    """Whether a statement assigns to, or deletes, an attribute of something imported."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    return any(isinstance(target, ast.Attribute) and _root(target) in imported for target in targets)


def _root(target: ast.expr) -> str | None:
    while isinstance(target, ast.Attribute):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None
