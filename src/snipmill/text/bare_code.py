"""Code as a reviewer sees it: without comments, docstrings, example calls, or names that tell what it is for."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from snipmill.python_tree import parse_module

_FUNCTIONS = ("f", "g", "h", "helper")
_CLASSES = ("C", "D", "E", "Helper")
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def bare_code(code: str, entry: str | None = None) -> tuple[str, str]:
    """A program's code without what gives its purpose away, and what is left of it without its bodies.

    The definition under test is called `f` (a class `C`), others at module level `g`, `h` and so on. A name that the code uses for
    something else, too, stays, and so do annotations.

    Args:
        code: Python.
        entry: the name under test; None, or a name that is not defined, is the last definition.

    Returns:
        the code, and its signatures alone. Code without definitions has the signature `...`.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it cannot be parsed or written again.
    """
    tree = parse_module(code)
    for node in ast.walk(tree):
        _drop_docstring(node)
    tree.body = [statement for statement in tree.body if not _is_example(statement)] or tree.body
    names = _new_names(tree, entry)
    whole = ast.unparse(ast.fix_missing_locations(_Rename(names).visit(tree)))
    shown = next(iter(names.values()), None)  # the entry comes first
    signatures = [_signature(node) for node in tree.body if isinstance(node, _Definition) and node.name == shown]
    return whole, ast.unparse(signatures[-1]) if signatures else "..."


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, (*_Definition, ast.Module)) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])


def _is_example(statement: ast.stmt) -> bool:
    """Whether a statement shows the code at work: a call, or what runs as a script."""
    if isinstance(statement, ast.Expr):
        return True
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def _new_names(tree: ast.Module, entry: str | None) -> dict[str, str]:
    """The new name of each definition at module level, the entry's first. A name that is bound elsewhere, too, is left as it is."""
    defined = {node.name: isinstance(node, ast.ClassDef) for node in tree.body if isinstance(node, _Definition)}
    if not defined:
        return {}
    if entry not in defined:
        entry = list(defined)[-1]
    bound = Counter(_bound_names(tree))
    names = {False: _free(_FUNCTIONS, set(bound)), True: _free(_CLASSES, set(bound))}
    ordered = [entry, *(name for name in defined if name != entry)]
    return {name: name if bound[name] > 1 else next(names[defined[name]]) for name in ordered}


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Each name that is bound or declared somewhere, and names that are only used."""
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, _Definition):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Name):
            used.add(node.id)
    yield from used - {node.name for node in tree.body if isinstance(node, _Definition)}


def _free(wanted: tuple[str, ...], taken: set[str]) -> Iterator[str]:
    """Names that nothing else has."""
    yield from (name for name in wanted[:-1] if name not in taken)
    number = 1
    while True:
        if f"{wanted[-1]}_{number}" not in taken:
            yield f"{wanted[-1]}_{number}"
        number += 1


class _Rename(ast.NodeTransformer):
    """Renames definitions at module level, and where they are used, also in quoted annotations."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self._depth = 0

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = self._annotation(node.annotation)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = self._annotation(node.returns)
        return self._definition(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = self._annotation(node.returns)
        return self._definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._definition(node)

    def _annotation(self, node: ast.expr | None) -> ast.expr | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = self._names.get(node.value, node.value)
        return None if node is None else self.visit(node)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        if self._depth == 0:
            node.name = self._names.get(node.name, node.name)
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node


def _signature(node: ast.stmt) -> ast.stmt:
    """A definition without its bodies: of a class, with the signatures of its methods."""
    if isinstance(node, ast.ClassDef):
        node.decorator_list = []
        node.body = [_signature(part) for part in node.body if isinstance(part, _Definition)] or [_nothing()]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        node.decorator_list, node.body = [], [_nothing()]
    return node


def _nothing() -> ast.stmt:
    return ast.Expr(ast.Constant(...))
