"""What the names in a test are bound to, so that a check can be read with its values in place of names."""

from __future__ import annotations

import ast
import copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DEPTH = 3
_HARMLESS = frozenset({"print", "len", "str", "repr", "isinstance", "type", "sorted", "list", "set", "dict", "tuple"})


class Bindings:
    """What the names of one function are bound to, for those that are bound exactly once.

    Args:
        body: the statements of the function.
        outer: the bindings of the scope around it, whose names it sees too.
    """

    def __init__(self, body: Sequence[ast.stmt], outer: Bindings | None = None) -> None:
        self._body = body
        self._outer = outer
        self._values: dict[str, ast.expr] | None = None
        self._bound: set[str] = set()
        self._global: set[str] = set()
        self._calls: list[tuple[int, str]] = []  # the calls in the function: line, and which

    def resolve(self, test: ast.expr, at: ast.stmt) -> ast.expr:
        """The expression with names replaced by what they are bound to; the expression itself where there is nothing to replace.

        A name stays where something else was called since it was bound, which may have changed what a second call returns.

        Args:
            test: an expression.
            at: the statement in which it stands.
        """
        resolved = test
        for _ in range(_DEPTH):
            names = {node.id for node in ast.walk(resolved) if isinstance(node, ast.Name)}
            values = {name: value for name in names if (value := self._value(name, at)) is not None}
            if not values:
                break
            resolved = _Substitution(values).visit(copy.deepcopy(resolved))
        return resolved

    def defines_function(self, name: str) -> bool:
        """Whether the function itself defines a function of this name, which hides one of the module."""
        return self._outer is not None and any(
            (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name)
            or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda) and _is_named(node.targets, name))
            for node in self._body
        )

    def _value(self, name: str, at: ast.stmt) -> ast.expr | None:
        if self._values is None:
            self._values = self._read()
        if name not in self._bound:
            return self._outer._value(name, at) if self._outer is not None else None
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, ast.Constant) and self._outer is not None and name not in self._global:
            return value  # nobody else can change it
        last, same = value.end_lineno or value.lineno, ast.dump(value)
        between = (called for line, called in self._calls if last < line < at.lineno)
        return value if all(called in same for called in between) else None

    def _read(self) -> dict[str, ast.expr]:
        stores: dict[str, int] = {}
        values: dict[str, ast.expr] = {}
        pending: list[ast.AST] = list(self._body)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                continue
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                stores[node.id] = stores.get(node.id, 0) + 1
            elif isinstance(node, ast.Global | ast.Nonlocal):
                self._global.update(node.names)
            elif isinstance(node, ast.Call):
                if not (isinstance(node.func, ast.Name) and node.func.id in _HARMLESS):
                    self._calls.append((node.lineno, ast.dump(node)))
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                values.update(_assigned(node.targets[0], node.value))
            pending.extend(ast.iter_child_nodes(node))
        self._bound = set(stores)
        return {name: value for name, value in values.items() if stores.get(name) == 1}


def _is_named(targets: Sequence[ast.expr], name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        if isinstance(value, ast.Name | ast.Constant) or any(isinstance(one, ast.Call) for one in ast.walk(value)):
            yield target.id, copy.deepcopy(value)  # the rewriter changes the original
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for part, item in zip(target.elts, value.elts, strict=True):
            yield from _assigned(part, item)


class _Substitution(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(self._values[node.id]) if node.id in self._values else node
