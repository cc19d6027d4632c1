"""Builds calls of hooks in syntax trees: marker constants stand for the hooks until `compilation.bind` puts them in."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARK = "\0snipmill\0"
# What `Checks.hooks` provides.
HOOKS = (
    *("all", "any", "arrays", "begin", "boundary", "broke", "call", "caught", "close", "compare", "died", "discard"),
    *("fail", "fail_now", "guard", "held", "nested", "only_if", "truth", "zip"),
)


def _marker(hook: str) -> ast.expr:
    """The expression `marker or None`, in which `bind` replaces the marker with the hook.

    It is not a plain constant, because the compiler warns about each call of one.
    """
    values: list[ast.expr] = [ast.Constant(MARK + hook), ast.Constant(None)]
    return ast.fix_missing_locations(ast.BoolOp(ast.Or(), values))


_MARKERS = {hook: _marker(hook) for hook in HOOKS}


def place_of(at: Any) -> dict[str, Any]:
    """The source position of a node, for nodes that replace it."""
    return {
        "lineno": at.lineno,
        "col_offset": at.col_offset,
        "end_lineno": at.end_lineno,
        "end_col_offset": at.end_col_offset,
    }


def call(at: ast.AST, hook: str, *args: ast.expr) -> ast.Call:
    """A call of a hook, at the position of a node."""
    return ast.Call(func=_MARKERS[hook], args=list(args), keywords=[], **place_of(at))


def call_of(at: ast.AST, func: ast.expr, *args: ast.expr) -> ast.Call:
    """A call of an expression, at the position of a node."""
    return ast.Call(func=func, args=list(args), keywords=[], **place_of(at))


def statement(at: ast.AST, hook: str, *args: ast.expr) -> ast.Expr:
    """A statement that calls a hook, at the position of a node."""
    return ast.Expr(call(at, hook, *args), **place_of(at))


def constant(at: ast.AST, value: object) -> ast.Constant:
    """A constant, at the position of a node."""
    return ast.Constant(value, **place_of(at))  # type: ignore[arg-type]


def reraising(at: ast.AST, body: list[ast.stmt], *handling: ast.stmt, ending: list[ast.stmt] | None = None) -> ast.Try:
    """A `try` that does something about any exception and raises it again."""
    place = place_of(at)
    handler = ast.ExceptHandler(type=None, name=None, body=[*handling, ast.Raise(**place)], **place)
    return ast.Try(body=body, handlers=[handler], orelse=[], finalbody=ending or [], **place)
