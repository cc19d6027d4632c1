"""Finds checks that hold whatever the code under test does, by their expressions alone."""

from __future__ import annotations

import ast

from snipmill.sandbox.child.expectations import last_name
from snipmill.sandbox.child.syntax import is_same, nodes_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES_ALONE = frozenset({"isinstance", "issubclass", "callable", "hasattr"})
_TYPE_METHODS = frozenset({"assertIsInstance", "assertIsNotNone", "assertHasAttr"})
_EQUALITIES = frozenset(
    {"assertEqual", "assertSequenceEqual", "assertListEqual", "assertTupleEqual", "assertDictEqual", "assertSetEqual"}
    | {"assertAlmostEqual", "assertCountEqual", "assert_equal", "assert_array_equal", "assert_allclose"}
    | {"assertMultiLineEqual", "assert_almost_equal", "assert_array_almost_equal", "assertLessEqual"}
)
# The comparison that other methods make.
_COMPARING: dict[str, ast.cmpop] = {
    "assertIsNot": ast.NotEq(),
    "assertNotEqual": ast.NotEq(),
    "assertIs": ast.Is(),
    "assertIn": ast.In(),
    "assertGreaterEqual": ast.GtE(),
    **dict.fromkeys(_EQUALITIES, ast.Eq()),
}
_TOLERANCES = frozenset({"abs", "rel", "abs_tol", "rel_tol", "delta", "atol", "rtol"})
_NEAR = frozenset({"approx", "isclose", "allclose"})
_SPECIAL = _TYPES_ALONE | _NEAR | {"type", "len", "bool", "all", "any"}
_LITERAL = frozenset({ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.USub})
SAME = "both sides are the same expression"
EXISTS = "only existence or type is checked"
CONSTANT = "a constant holds always"
PATCHED = "the tests have replaced what it calls"
RAISED_BY_ITSELF = "the test itself raises the exception"
_INFINITE = "its tolerance is infinite"
_MESSAGE = "the second argument is only a message"


def called_names(nodes: Sequence[ast.AST]) -> set[str]:
    """The names that an expression, given by all its nodes, calls; a method as `.name`."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                names.add(node.func.id)
            elif isinstance(node.func, ast.Attribute):
                names.add(f".{node.func.attr}")
    return names


def compares_with_literal(test: ast.expr) -> bool:
    """Whether a check is `f(...) == literal`, with a plain call on its left side."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    left, right = test.left, test.comparators[0]
    if not isinstance(left, ast.Call) or left.keywords or last_name(left) in _SPECIAL:
        return False
    if isinstance(right, ast.Constant):
        return right.value is not True and right.value is not None
    return all(type(node) in _LITERAL for node in nodes_in(right))


_EQUAL = frozenset(("equals", "array_equal", "array_equiv", "allclose", "isclose"))  # of numpy and pandas


def proves_nothing(test: ast.expr, nodes: Sequence[ast.AST]) -> str:
    """Why a check holds whatever the code under test does; empty where it may prove something.

    Args:
        test: the condition of an assert statement, or the call of an assertion method.
        nodes: all its nodes.
    """
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if any(_is_tolerance(keyword) and _is_infinite(keyword.value) for one in calls for keyword in one.keywords):
        return _INFINITE
    if any(_is_infinite(argument) for one in calls if last_name(one) in _NEAR for argument in one.args[1:]):
        return _INFINITE
    if isinstance(test, ast.Call) and last_name(test).startswith("assert"):
        return _of_method(test)
    return _of_condition(test)


def _of_method(call: ast.Call) -> str:
    name = last_name(call)
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg != "msg")]
    if name in _TYPE_METHODS:
        return EXISTS
    if name in ("assertTrue", "assert_", "assertFalse") and given:
        if len(given) > 1 and isinstance(given[1], ast.Constant) and not isinstance(given[1].value, str | None):
            return _MESSAGE
        return _of_negation(given[0]) if name == "assertFalse" else _of_condition(given[0])
    if name in _COMPARING and len(given) > 1:
        return _of_comparison(given[0], _COMPARING[name], given[1])
    return ""


def _of_condition(test: ast.expr) -> str:
    if _is_true(test):
        return CONSTANT
    if isinstance(test, ast.BoolOp):
        reasons = list(map(_of_condition, test.values))
        if isinstance(test.op, ast.Or):  # no stronger than the weakest of its parts
            return next(filter(None, reasons), "")
        return reasons[0] if all(reasons) else ""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _of_negation(test.operand)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.args:
        name = test.func.id
        if name in _TYPES_ALONE:
            return EXISTS
        if name == "bool":
            return _of_condition(test.args[0])
        if name in ("all", "any") and isinstance(test.args[0], ast.GeneratorExp | ast.ListComp):
            return _of_condition(test.args[0].elt)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute):
        if test.func.attr in ("all", "any") and isinstance(test.func.value, ast.Compare):  # of an array
            return _of_condition(test.func.value)
        sides = [test.func.value, *test.args][-2:] if test.func.attr == "equals" else test.args[:2]
        if test.func.attr in _EQUAL and len(sides) == 2 and is_same(*sides):
            return SAME if _is_computed(sides[0]) else CONSTANT
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _of_comparison(test.left, test.ops[0], test.comparators[0])
    return ""


def _of_negation(inner: ast.expr) -> str:
    """Why `not inner` proves nothing."""
    if isinstance(inner, ast.Constant) and not inner.value:
        return CONSTANT
    if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not):
        return _of_condition(inner.operand)
    if isinstance(inner, ast.Compare) and isinstance(inner.ops[0], ast.Is | ast.Eq) and _is_none(inner.comparators[0]):
        return EXISTS
    return EXISTS if isinstance(inner, ast.Call) and last_name(inner) in _TYPES_ALONE else ""


def _of_comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> str:
    same = is_same(left, right)
    if same and isinstance(operator, ast.Eq | ast.LtE | ast.GtE):
        return SAME if _is_computed(left) else CONSTANT
    if same and isinstance(operator, ast.Is) and isinstance(left, ast.Name):
        return SAME
    if isinstance(operator, ast.In) and _holds_itself(left, right):
        return SAME
    if isinstance(operator, ast.Eq | ast.Is) and isinstance(right, ast.Constant) and right.value is True:
        return _of_condition(left)
    if isinstance(operator, ast.IsNot | ast.NotEq) and (_is_none(left) or _is_none(right)):
        return EXISTS
    if not isinstance(operator, ast.NotIn) and (_is_type(left) or _is_type(right)):
        return EXISTS
    if isinstance(operator, ast.GtE | ast.Gt) and _is_never_negative(left) and _is_below(right, operator):
        return EXISTS
    if isinstance(operator, ast.Lt | ast.LtE) and _is_infinite(right):
        return _INFINITE
    return "" if _is_computed(left) or _is_computed(right) else CONSTANT


def _holds_itself(item: ast.expr, node: ast.expr) -> bool:
    """Whether a literal has an expression among its items."""
    return isinstance(node, ast.List | ast.Tuple | ast.Set) and any(is_same(item, one) for one in node.elts)


def _is_true(node: ast.expr) -> bool:
    """Whether an expression is true whatever the code does."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and part.value for part in node.values)
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return bool(node.elts) and not all(isinstance(item, ast.Starred) for item in node.elts)
    if isinstance(node, ast.NamedExpr):
        return _is_true(node.value)
    if isinstance(node, ast.IfExp):
        parts = (node.body, node.orelse)
        if isinstance(node.test, ast.Constant):
            return _is_true(parts[not node.test.value])
        return all(map(_is_true, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):  # a text with something in it
        return isinstance(node.left, ast.Constant) and isinstance(node.left.value, str) and bool(node.left.value)
    return isinstance(node, ast.Lambda | ast.GeneratorExp) or (isinstance(node, ast.Dict) and bool(node.keys))


def _is_computed(node: ast.expr) -> bool:
    return any(isinstance(inner, ast.Name | ast.Call | ast.Attribute | ast.Await) for inner in nodes_in(node))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_below(node: ast.expr, operator: ast.cmpop) -> bool:
    """Whether what is never negative is above this number, or equal to it where the operator allows that."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant)
    return isinstance(operator, ast.GtE) and isinstance(node, ast.Constant) and node.value == 0


def _is_never_negative(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "abs")


def _is_type(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "__class__" or (node.attr in ("__name__", "__qualname__") and _is_type(node.value))
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return is_call and last_name(node) == "type" and len(node.args) == 1  # type: ignore[attr-defined]


def _is_tolerance(keyword: ast.keyword) -> bool:
    return keyword.arg in _TOLERANCES


def _is_infinite(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and last_name(value) == "float" and value.args:
        inner = value.args[0]
        return isinstance(inner, ast.Constant) and str(inner.value).strip("+").lower() in ("inf", "infinity")
    if isinstance(value, ast.Attribute | ast.Name):
        return last_name(value) in ("inf", "Infinity", "infty")
    return isinstance(value, ast.Constant) and value.value == float("inf")
