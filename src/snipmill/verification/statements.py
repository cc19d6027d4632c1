"""The names that test statements bind, use and change, and therefore which statements another one needs."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from snipmill.python_tree import parse_module

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parse(code: str) -> ast.Module | None:
    """The syntax tree of model-written code, or None if it cannot be parsed."""
    try:
        return parse_module(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def needed_for(target: ast.AST, setup: list[ast.stmt]) -> list[ast.stmt]:
    """The setup statements that affect a target: those that bind or touch a name that it needs, transitively."""
    wanted = names_in([target])
    made, states = {name for statement in setup for name in bound_names(statement)}, _states(setup)
    chosen: list[ast.stmt] = []
    for statement in reversed(setup):
        bound = bound_names(statement)
        touched = bound
        if not bound:
            touched = made & names_in([statement])
        elif not isinstance(statement, DEFINITIONS):
            touched = bound | (states & names_in([statement]))  # `x = stack.pop()` changes the stack
        if touched & wanted or "*" in bound:
            wanted |= names_in([statement])
            chosen.append(statement)
    return chosen[::-1]


def free_names(tree: ast.AST) -> set[str]:
    """The names that code uses, other than parameters and variables of the functions in which they occur."""
    found: set[str] = set()

    def visit(node: ast.AST, local: frozenset[str]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
            if not isinstance(node, ast.Lambda):
                stored = (one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
                inside |= {one.id for one in stored}
            local |= inside
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in local:
            found.add(node.id)
        for child in ast.iter_child_nodes(node):
            visit(child, local)

    visit(tree, frozenset())
    return found


def bound_names(statement: ast.stmt) -> set[str]:
    """The names that a statement binds."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, DEFINITIONS):
        return {statement.name}
    inner = list(ast.walk(statement))
    stored = {node.id for node in inner if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.name for node in inner if isinstance(node, DEFINITIONS)}


def names_in(nodes: Sequence[ast.AST]) -> frozenset[str]:
    """The names that parts of a tree use or bind."""
    return frozenset(inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _states(setup: list[ast.stmt]) -> set[str]:
    """The names that the tests bind to values that a later statement may change."""
    return {
        name
        for before in setup
        if not isinstance(before, (*DEFINITIONS, ast.Import, ast.ImportFrom))
        and not (isinstance(before, ast.Assign) and isinstance(before.value, ast.Constant))
        for name in bound_names(before)
    }


def touches_state(node: ast.AST, setup: list[ast.stmt]) -> bool:
    """Whether a part of the tests uses state that the tests themselves created."""
    return bool(_states(setup) & names_in([node]))
