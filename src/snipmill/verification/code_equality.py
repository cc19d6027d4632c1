"""Equality of implementations up to names, layout, comments, docstrings and annotations."""

from __future__ import annotations

import ast

from snipmill.records import content_hash
from snipmill.verification.statements import parse


def normal_form(code: str) -> str:
    """A hash that is equal for implementations that differ only in ways that cannot change what they do."""
    tree = parse(code)
    if tree is None:
        return content_hash("text", code)
    try:
        for node in ast.walk(tree):
            _strip(node)
        _rename(tree)
        return content_hash("tree", ast.dump(tree))
    except RecursionError:
        return content_hash("text", code)


def _strip(node: ast.AST) -> None:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and _is_docstring(body[0]):
        body[:1] = [ast.Pass()] if len(body) == 1 else []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        node.returns = None
    if isinstance(node, ast.arg):
        node.annotation = None


def _is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _rename(tree: ast.Module) -> None:
    """Replace every name that the code binds by a number, in order of appearance."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name if not node.name.startswith("__") else None
        if name is not None:
            bound.setdefault(name, f"n{len(bound)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.arg = bound[node.arg]
        elif isinstance(node, ast.Name):
            node.id = bound.get(node.id, node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.name = bound.get(node.name, node.name)
        elif isinstance(node, ast.keyword) and node.arg is not None:
            node.arg = bound.get(node.arg, node.arg)
