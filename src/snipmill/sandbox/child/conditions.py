"""Rewrites the expressions inside checks, so that they report when there is nothing to check or when a comparison cannot fail."""

from __future__ import annotations

import ast

from snipmill.sandbox.child.expectations import EXPECTS, last_name
from snipmill.sandbox.child.hook_calls import call, call_of, constant
from snipmill.sandbox.child.syntax import nodes_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_ARRAY_FUNCTIONS = frozenset({"allclose", "array_equal", "isclose"})
_QUANTIFIERS = frozenset({"all", "any"})
_REWRITTEN = _QUANTIFIERS | _ARRAY_FUNCTIONS
_ARRAYS = frozenset({"np", "numpy"})


def rewrite_condition(test: ast.expr, site: ast.Constant) -> ast.expr:
    """Rewrite the comparisons, the quantifiers, and the loops over `zip` in a condition of a check."""
    changed: ast.expr = _Condition(site).visit(test)
    return changed


def rewrite_exit(exit_call: ast.Call, site: ast.Constant) -> None:
    """`sys.exit(1 if failed else 0)` is a check, and so is `raise SystemExit(not ok)`."""
    code = exit_call.args[0]
    if isinstance(code, ast.IfExp) and isinstance(code.body, ast.Constant):
        fails_when = constant(code, bool(code.body.value))
        code.test = call_of(code, call(code, "only_if", site, fails_when), code.test)
    else:
        exit_call.args[0] = call_of(code, call(code, "only_if", site, constant(code, True)), code)


def may_be_empty(node: ast.AST) -> bool:
    """Whether a part of a condition is to be rewritten: it may have nothing to compare, or compare what always holds."""
    if isinstance(node, ast.Call):
        return last_name(node) in _REWRITTEN
    return isinstance(node, ast.Compare | ast.comprehension)


def rewrite_hidden(node: ast.expr, rewrite: Callable[[ast.Call], ast.expr]) -> ast.expr:
    """Rewrite the checks inside an expression, such as the calls in a list comprehension."""
    if not any(isinstance(one, ast.Call) and is_check(one) for one in nodes_in(node)):
        return node
    changed: ast.expr = _HiddenChecks(rewrite).visit(node)
    return changed


class _Condition(ast.NodeTransformer):
    def __init__(self, site: ast.Constant) -> None:
        self._site = site.value

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        symbol = constant(node, COMPARISONS[type(node.ops[0])])
        return call(node, "nested", constant(node, self._site), symbol, node.left, node.comparators[0])

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        func = node.func
        if isinstance(func, ast.Name) and func.id in _QUANTIFIERS and len(node.args) == 1 and not node.keywords:
            return call(node, func.id, func, node.args[0])
        if isinstance(func, ast.Attribute) and func.attr in _QUANTIFIERS and not node.keywords:
            if not node.args and not _is_array_module(func.value):
                return call(node, func.attr, constant(node, None), func.value)
            if len(node.args) == 1 and _is_array_module(func.value):
                node.func = call(node, "arrays", func)
        if last_name(node) in _ARRAY_FUNCTIONS:
            node.func = call(node, "arrays", func)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.comprehension:
        self.generic_visit(node)
        node.iter = watched_zip(node.iter)
        return node


def _is_array_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in _ARRAYS


def watched_zip(node: ast.expr) -> ast.expr:
    """The iterable of a loop; `zip(...)` in it reports if it leaves something out."""
    if not isinstance(node, ast.Call):
        return node
    if last_name(node) == "enumerate" and node.args:
        node.args[0] = watched_zip(node.args[0])
    is_zip = isinstance(node.func, ast.Name) and node.func.id == "zip" and len(node.args) > 1 and not node.keywords
    # `zip(xs, xs[1:])` pairs neighbours.
    if is_zip and not any(isinstance(part, ast.Subscript | ast.Starred) for part in node.args):
        return call_of(node, call(node, "zip", constant(node, node.lineno), node.func), *node.args)
    return node


class _HiddenChecks(ast.NodeTransformer):
    def __init__(self, rewrite: Callable[[ast.Call], ast.expr]) -> None:
        self._rewrite = rewrite

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        return self._rewrite(node) if is_check(node) else node


def is_check(node: ast.Call) -> bool:
    """Whether a call is an assertion: `self.assertEqual(...)`, `raises(E, f, x)`, or `assert_that(x).is_true()`."""
    name = last_name(node)
    if name in EXPECTS:
        return len(node.args) > 1
    if name.startswith("assert"):
        return True
    inner = node.func.value if isinstance(node.func, ast.Attribute) else None
    return isinstance(inner, ast.Call) and last_name(inner).startswith("assert") and last_name(inner) not in EXPECTS
