"""Fast walks over syntax trees: the compiler's own are generators over generators, and each program pays for them."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    N = TypeVar("N", bound=ast.AST)

_CONTEXTS = frozenset((ast.Load, ast.Store, ast.Del))
_LEAVES = frozenset((ast.Name, ast.Constant))  # most nodes, and nothing is below them
_PLAIN = frozenset((int, str, type(None)))


def nodes_in(*roots: ast.AST) -> list[ast.AST]:
    """The roots and all nodes below them, without contexts and operators of names."""
    found = list(roots)
    for node in found:
        if type(node) in _LEAVES:
            continue
        for value in node.__dict__.values():
            kind = type(value)
            if kind in _PLAIN or kind in _CONTEXTS:
                continue
            if kind is list:
                found += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


def statements_in(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The statements of a function, those in compound statements too, but not those of functions and classes inside it."""
    found = list(body)
    for node in found:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for value in node.__dict__.values():
            if type(value) is list and value:
                for item in value:
                    if isinstance(item, ast.stmt):
                        found.append(item)
                    elif isinstance(item, ast.ExceptHandler | ast.match_case):
                        found += item.body
    return found


def is_same(left: object, right: object) -> bool:
    """Whether two expressions are equal, apart from where they stand."""
    if type(left) is not type(right):
        return False
    if isinstance(left, ast.AST):
        return all(is_same(getattr(left, name, None), getattr(right, name, None)) for name in left._fields)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    return left == right


def copy_of(node: N) -> N:
    """A copy of a tree, which changes of the original do not reach."""
    made = type(node).__new__(type(node))
    fields = made.__dict__
    for name, value in node.__dict__.items():
        kind = type(value)
        if kind is list:
            value = [copy_of(item) if isinstance(item, ast.AST) else item for item in value]
        elif kind not in _PLAIN and kind not in _CONTEXTS and isinstance(value, ast.AST):
            value = copy_of(value)
        fields[name] = value
    return made


def with_values(tree: N, values: Mapping[str, ast.expr]) -> N:
    """The tree with names replaced by copies of their values; changes the tree."""
    changed: N = _Values(values).visit(tree)
    return changed


class _Values(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy_of(self._values[node.id]) if node.id in self._values else node
