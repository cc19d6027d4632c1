"""What the names in a test are bound to, so that a check can be read with its values in place of names."""

from __future__ import annotations

import ast

from snipmill.sandbox.child.syntax import copy_of, is_same, nodes_in, statements_in, with_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DEPTH = 3
_HARMLESS = frozenset({"print", "len", "str", "repr", "isinstance", "type", "sorted", "list", "set", "dict", "tuple"})


class Bindings:
    """What the names of one function are bound to, for those that are bound exactly once.

    Args:
        body: the statements of the function.
        outer: the bindings of the scope around it, whose names it sees too.
    """

    def __init__(self, body: Sequence[ast.stmt], outer: Bindings | None = None) -> None:
        self._statements = statements_in(body)
        self._outer = outer
        # Copies, since the rewriter changes the originals: of each assigned name its values, where they are worth knowing.
        self._assigned: dict[str, list[ast.expr]] = {}
        for node in self._statements:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                for name, value in _assigned(node.targets[0], node.value):
                    self._assigned.setdefault(name, []).append(value)
        self._global = {
            name for node in self._statements if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names
        }
        self._functions = {
            *(
                node.name
                for node in self._statements
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list
            ),
            *(name for name, values in self._assigned.items() if isinstance(values[0], ast.Lambda)),
        }
        self._names: dict[str, int] | None = None
        self._calls: list[ast.Call] = []

    def defines_function(self, name: str) -> bool:
        """Whether the function itself defines a function of this name, which hides one of the module."""
        return self._outer is not None and name in self._functions

    def resolve(self, test: ast.expr, names: Iterable[str], at: ast.stmt) -> ast.expr:
        """The expression with names replaced by what they are bound to; the expression itself where there is nothing to replace.

        A name stays where something else was called since it was bound, which may have changed what a second call returns.

        Args:
            test: an expression.
            names: the names in it.
            at: the statement in which it stands.
        """
        resolved = test
        for _ in range(_DEPTH):
            values = {name: value for name in names if (value := self._value(name, at)) is not None}
            if not values:
                break
            resolved = with_values(copy_of(resolved), values)
            names = {node.id for node in nodes_in(resolved) if isinstance(node, ast.Name)}
        return resolved

    def _value(self, name: str, at: ast.stmt) -> ast.expr | None:
        if name not in self._assigned:
            is_bound_here = self._names is not None and name in self._names
            return None if self._outer is None or is_bound_here else self._outer._value(name, at)
        (value, *others) = self._assigned[name]
        if others or self._stores().get(name) != 1 or isinstance(value, ast.Lambda):
            return None
        if isinstance(value, ast.Constant) and self._outer is not None and name not in self._global:
            return value  # nobody else can change it
        last = value.end_lineno or value.lineno
        between = [call for call in self._calls if last < call.lineno < at.lineno]
        if not between:
            return value
        inner = [node for node in nodes_in(value) if isinstance(node, ast.Call)]
        return value if all(any(is_same(call, one) for one in inner) for call in between) else None

    def _stores(self) -> dict[str, int]:
        """How often each name is bound; read once, before the rewriter changes the first check that asks for it."""
        if self._names is None:
            self._names = {}
            pending: list[ast.AST] = []
            calls: list[ast.Call] = []
            for statement in self._statements:
                if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    pending += [part for part in ast.iter_child_nodes(statement) if not isinstance(part, ast.stmt)]
            for node in nodes_in(*pending):
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    self._names[node.id] = self._names.get(node.id, 0) + 1
                elif isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _HARMLESS):
                    calls.append(node)
            # A call before anything is bound cannot lie between a name's value and its use.
            first = min((value.lineno for values in self._assigned.values() for value in values), default=0)
            self._calls = [copy_of(call) for call in calls if call.lineno > first]
        return self._names


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        is_simple = isinstance(value, ast.Name | ast.Constant | ast.Lambda)
        if is_simple or any(isinstance(one, ast.Call) for one in nodes_in(value)):
            yield target.id, copy_of(value)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for part, item in zip(target.elts, value.elts, strict=True):
            yield from _assigned(part, item)
