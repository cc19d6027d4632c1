"""Mutants of an implementation: small changes to its syntax tree that good tests detect (DeMillo et al. 1978).

The first mutant empties all function bodies; tests that pass with it check nothing. Mutants that compile to the same
code as the implementation, or as an earlier mutant, are left out. Other equivalent mutants may remain, so a score of 1
is not always reachable. A main guard is not changed, since what it prints is no concern of the tests. Does not cover running
the mutants.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from snipmill.sandbox.child.statements import is_main_guard
from snipmill.verification.statements import parse

MOST = 24
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    """A changed implementation. `kind` names the change; `line` is where it was made."""

    kind: str
    line: int
    source: str


def mutants(code: str, most: int = MOST) -> list[Mutant]:
    """Mutants of an implementation: one with all function bodies emptied, then one per kind of change in turn."""
    tree = parse(code)
    if tree is None:
        return []
    try:
        seen = {_compiled(ast.unparse(tree))}
        kinds = [_changes(tree, kind) for kind in _KINDS]
        chosen: list[Mutant] = []
        while kinds and len(chosen) < most:
            for changes in list(kinds):
                mutant = next(changes, None)
                if mutant is None:
                    kinds.remove(changes)
                elif len(chosen) < most and (compiled := _compiled(mutant.source)) not in seen and compiled is not None:
                    seen.add(compiled)
                    chosen.append(mutant)
        return chosen
    except (RecursionError, ValueError):  # a tree that cannot be unparsed
        return []


def difference(code: str, mutant: Mutant) -> str:
    """A mutant as a unified difference from its implementation, both as syntax trees are written out; empty without a tree."""
    tree = parse(code)
    if tree is None:
        return ""
    lines = difflib.unified_diff(ast.unparse(tree).splitlines(), mutant.source.splitlines(), n=1, lineterm="")
    return "\n".join(list(lines)[2:])  # without the names of two files


def _compiled(source: str) -> tuple[object, ...] | None:
    """The compiled form of a source, or None if it does not compile. Sources with equal forms do the same."""
    try:
        code = compile(source, "m", "exec", dont_inherit=True, optimize=2)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _essence(code)


def _essence(code: object) -> tuple[object, ...]:
    assert hasattr(code, "co_code")
    constants = tuple(
        _essence(constant) if hasattr(constant, "co_code") else (type(constant).__name__, repr(constant))
        for constant in code.co_consts  # type: ignore[attr-defined]
    )
    return (code.co_code, constants, code.co_names, code.co_varnames)  # type: ignore[attr-defined]


Change = Callable[[ast.AST], Iterator[Callable[[], None]]]


def _changes(tree: ast.Module, kind: str) -> Iterator[Mutant]:
    """All mutants of a kind. A node is found in a copy by its position in the walk, which is the same there."""
    find = _KINDS[kind]
    if kind == "gutted":
        changed = copy.deepcopy(tree)
        functions = [node for node in ast.walk(changed) if _is_function(node)]
        for function in functions:
            function.body = [ast.Pass()]  # type: ignore[attr-defined]
        if functions:
            yield Mutant(kind, functions[0].lineno, _text(changed))  # type: ignore[attr-defined]
        return
    guarded = {id(inner) for node in tree.body if _is_main_guard(node) for inner in ast.walk(node)}
    for place, node in enumerate(ast.walk(tree)):
        if id(node) in guarded:
            continue
        for option in range(sum(1 for _ in find(node))):
            changed = copy.deepcopy(tree)
            twin = next(other for number, other in enumerate(ast.walk(changed)) if number == place)
            list(find(twin))[option]()
            yield Mutant(kind, getattr(node, "lineno", 0), _text(changed))


def _text(tree: ast.Module) -> str:
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and is_main_guard(node)


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _comparison(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Compare):
        for replacement in _COMPARISONS.get(type(node.ops[0]), ()):

            def change(replacement: type[ast.cmpop] = replacement) -> None:
                node.ops[0] = replacement()

            yield change


def _arithmetic(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:

        def change() -> None:
            node.op = _ARITHMETIC[type(node.op)]()

        yield change


def _off_by_one(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Constant) and type(node.value) is int:

        def change() -> None:
            node.value = int(str(node.value)) + 1

        yield change


def _negated(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.If | ast.IfExp | ast.While):

        def change() -> None:
            node.test = ast.UnaryOp(ast.Not(), node.test)

        yield change


def _swapped_logic(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.BoolOp):

        def change() -> None:
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()

        yield change


def _constant_return(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Return) and node.value is not None:
        for value in (None, 0, ""):
            if not (isinstance(node.value, ast.Constant) and node.value.value == value):

                def change(value: object = value) -> None:
                    node.value = ast.Constant(value)  # type: ignore[arg-type]

                yield change
                return


def _dropped(node: ast.AST) -> Iterator[Callable[[], None]]:
    body = getattr(node, "body", None)
    if isinstance(body, list) and not isinstance(node, ast.Module | ast.ClassDef):
        for place, statement in enumerate(body):
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.If | ast.For) and not (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            ):

                def change(place: int = place) -> None:
                    body[place] = ast.Pass()

                yield change


def _nothing(_node: ast.AST) -> Iterator[Callable[[], None]]:
    return iter(())


_KINDS: dict[str, Change] = {
    "gutted": _nothing,
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "off-by-one": _off_by_one,
    "negated condition": _negated,
    "swapped logic": _swapped_logic,
    "constant return": _constant_return,
    "dropped statement": _dropped,
}
