"""How much of an implementation its tests reach: lines, and both outcomes of its conditions and loops."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from snipmill.verification.statements import parse


@dataclass(frozen=True)
class Coverage:
    """Shares from 0 to 1; 1 if there is nothing to reach."""

    lines: float
    branches: float


def coverage(code: str, lines: Collection[int], jumps: Collection[tuple[int, int]]) -> Coverage:
    """The coverage of an implementation.

    Args:
        code: the implementation, at the start of the program.
        lines: numbers of the program's lines that ran, from 1.
        jumps: pairs of line numbers that ran in succession within one call; 0 is the start or end of the call.
    """
    tree = parse(code)
    if tree is None:
        return Coverage(0.0, 0.0)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    wanted = {statement.lineno for function in functions for statement in _statements(function)}
    ways = reached = 0
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.If | ast.While | ast.For):
                inside = {statement.lineno for statement in node.body}
                targets = {target for origin, target in jumps if origin == node.lineno}
                ways += 2
                reached += node.body[0].lineno in targets
                reached += bool(targets - inside - {node.lineno})
    return Coverage(
        lines=len(wanted & set(lines)) / len(wanted) if wanted else 1.0, branches=reached / ways if ways else 1.0
    )


def _statements(function: ast.AST) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in ast.walk(function):
        if isinstance(node, ast.stmt) and node is not function:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            if not isinstance(node, ast.Global | ast.Nonlocal | ast.Pass | ast.FunctionDef | ast.ClassDef):
                found.append(node)
    return found
