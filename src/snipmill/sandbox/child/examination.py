"""Examines a check before it runs: whether it can prove anything, and which functions it is about."""

from __future__ import annotations

import ast

from snipmill.sandbox.child.proof import PATCHED, called_names, compares_with_literal, proves_nothing
from snipmill.sandbox.child.syntax import nodes_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from snipmill.sandbox.child.scope import Scope


def examine(
    test: ast.expr, at: ast.stmt, nodes: Sequence[ast.AST], scope: Scope, replaced: frozenset[str] | None
) -> tuple[str, tuple[str, ...]]:
    """Why a check proves nothing whatever the code does, and the functions that it calls and that the tests may have replaced.

    Args:
        test: the condition, or the call of an assertion method.
        at: the statement in which it stands.
        nodes: all nodes of the test.
        scope: the surroundings of the statement.
        replaced: names that the tests may replace; None for any.
    """
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    if scope.patched & names:
        return PATCHED, ()
    called, why = called_names(nodes), ""
    if not compares_with_literal(test):  # as most checks do: there is nothing to find
        why = proves_nothing(test, nodes)
        resolved = scope.bindings.resolve(test, names, at)
        if resolved is not test:
            nodes = nodes_in(resolved)
            called |= called_names(nodes)
            why = why or proves_nothing(resolved, nodes)
    if replaced is not None:
        called &= replaced
    subjects = (f"={name}" if scope.bindings.defines_function(name) else name for name in called)
    return why, tuple(sorted(subjects))
