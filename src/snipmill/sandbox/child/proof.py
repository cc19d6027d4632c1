"""Finds checks that hold whatever the code under test does, by their expressions alone."""

from __future__ import annotations

import ast
import copy

from snipmill.sandbox.child.expectations import last_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES_ALONE = frozenset({"isinstance", "issubclass", "callable", "hasattr"})
_TYPE_METHODS = frozenset({"assertIsInstance", "assertIsNotNone", "assertHasAttr"})
_EQUALITIES = frozenset(
    {"assertEqual", "assertSequenceEqual", "assertListEqual", "assertTupleEqual", "assertDictEqual", "assertSetEqual"}
    | {
        "assertAlmostEqual",
        "assertCountEqual",
        "assert_equal",
        "assert_array_equal",
        "assert_allclose",
        "assert_almost_equal",
    }
    | {"assertLessEqual", "assertGreaterEqual", "assertMultiLineEqual", "assert_array_almost_equal"}
)
_TOLERANCES = frozenset({"abs", "rel", "abs_tol", "rel_tol", "delta", "atol", "rtol"})
_DEPTH = 3
SAME = "both sides are the same expression"
EXISTS = "only existence or type is checked"
CONSTANT = "a constant holds always"


class Bindings:
    """What the names of one function are bound to, for those that are bound exactly once, to something computed."""

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        self._body = body
        self._found: dict[str, ast.expr] | None = None

    def resolve(self, test: ast.expr) -> ast.expr:
        """The expression with such names replaced by what they are bound to; the expression itself where there are none."""
        if self._found is None:
            self._found = _bound_once(self._body)
        if not self._found or not any(isinstance(node, ast.Name) and node.id in self._found for node in ast.walk(test)):
            return test
        resolved = copy.deepcopy(test)
        for _ in range(_DEPTH):
            resolved = _Substitution(self._found).visit(resolved)
        return resolved


def _bound_once(body: Sequence[ast.stmt]) -> dict[str, ast.expr]:
    stores: dict[str, int] = {}
    values: dict[str, ast.expr] = {}
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            stores[node.id] = stores.get(node.id, 0) + 1
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name) and _calls(node.value):
            values[target.id] = copy.deepcopy(node.value)
        pending.extend(ast.iter_child_nodes(node))
    return {name: value for name, value in values.items() if stores[name] == 1}


def _calls(node: ast.expr) -> bool:
    return any(isinstance(inner, ast.Call) for inner in ast.walk(node))


class _Substitution(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(self._values[node.id]) if node.id in self._values else node


def called_names(test: ast.expr) -> tuple[str, ...]:
    """The plain names that an expression calls."""
    calls = (node.func for node in ast.walk(test) if isinstance(node, ast.Call))
    return tuple(sorted({func.id for func in calls if isinstance(func, ast.Name)}))


def proves_nothing(test: ast.expr) -> str:
    """Why a check holds whatever the code under test does; empty where it may prove something.

    Args:
        test: the condition of an assert statement, or the call of an assertion method.
    """
    if isinstance(test, ast.Call) and last_name(test).startswith("assert"):
        return _of_method(test)
    if any(
        _is_infinite_tolerance(keyword)
        for node in ast.walk(test)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    ):
        return "its tolerance is infinite"
    return _of_condition(test)


def _of_method(call: ast.Call) -> str:
    name, given = last_name(call), call.args
    if any(map(_is_infinite_tolerance, call.keywords)):
        return "its tolerance is infinite"
    if name in _TYPE_METHODS:
        return EXISTS
    if name in ("assertTrue", "assert_") and given:
        return CONSTANT if _is_true(given[0]) else _of_condition(given[0])
    if name == "assertFalse" and given:
        return CONSTANT if _is_false(given[0]) else _of_condition(ast.UnaryOp(ast.Not(), given[0]))
    if name == "assertIsNot" and len(given) > 1 and _is_none(given[1]):
        return EXISTS
    if name in _EQUALITIES and len(given) > 1:
        if ast.dump(given[0]) == ast.dump(given[1]):
            return SAME if _is_computed(given[0]) else CONSTANT
        if name == "assertGreaterEqual" and _is_length(given[0]) and _is_zero(given[1]):
            return EXISTS
        if not _is_computed(given[0]) and not _is_computed(given[1]):
            return CONSTANT
        return _of_condition(ast.Compare(given[0], [ast.Eq()], [given[1]])) if _is_type(given[0]) else ""
    return ""


def _of_condition(test: ast.expr) -> str:
    if _is_true(test):
        return CONSTANT
    if isinstance(test, ast.BoolOp):
        reasons = list(map(_of_condition, test.values))
        if isinstance(test.op, ast.Or):
            return next((CONSTANT for value in test.values if _is_true(value)), reasons[0] if all(reasons) else "")
        return reasons[0] if all(reasons) else ""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = test.operand
        if _is_false(inner):
            return CONSTANT
        if (
            isinstance(inner, ast.Compare)
            and isinstance(inner.ops[0], ast.Is | ast.Eq)
            and _is_none(inner.comparators[0])
        ):
            return EXISTS
        return EXISTS if isinstance(inner, ast.Call) and last_name(inner) in _TYPES_ALONE else ""
    if isinstance(test, ast.Call) and last_name(test) in _TYPES_ALONE and isinstance(test.func, ast.Name):
        return EXISTS
    return _of_comparison(test) if isinstance(test, ast.Compare) and len(test.ops) == 1 else ""


def _of_comparison(test: ast.Compare) -> str:
    left, operator, right = test.left, test.ops[0], test.comparators[0]
    if isinstance(operator, ast.Eq | ast.LtE | ast.GtE) and ast.dump(left) == ast.dump(right):
        return SAME if _is_computed(left) else CONSTANT
    if isinstance(operator, ast.IsNot | ast.NotEq) and (_is_none(left) or _is_none(right)):
        return EXISTS
    if isinstance(operator, ast.Eq | ast.Is | ast.In) and (_is_type(left) or _is_type(right)):
        return EXISTS
    if isinstance(operator, ast.GtE) and _is_length(left) and _is_zero(right):
        return EXISTS
    return "" if _is_computed(left) or _is_computed(right) else CONSTANT


def _is_true(node: ast.expr) -> bool:
    """Whether an expression is true whatever the code does."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and part.value for part in node.values)
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return bool(node.elts) and not all(isinstance(item, ast.Starred) for item in node.elts)
    return isinstance(node, ast.Lambda | ast.GeneratorExp) or (isinstance(node, ast.Dict) and bool(node.keys))


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _is_computed(node: ast.expr) -> bool:
    return any(isinstance(inner, ast.Name | ast.Call | ast.Attribute | ast.Await) for inner in ast.walk(node))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _is_length(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"


def _is_type(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "__class__"
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "type"
        and len(node.args) == 1
    )


def _is_infinite_tolerance(keyword: ast.keyword) -> bool:
    if keyword.arg not in _TOLERANCES:
        return False
    value = keyword.value
    if isinstance(value, ast.Call) and last_name(value) == "float" and value.args:
        inner = value.args[0]
        return isinstance(inner, ast.Constant) and str(inner.value).strip("+").lower() in ("inf", "infinity")
    return last_name(value) in ("inf", "Infinity", "infty") or (
        isinstance(value, ast.Constant) and value.value == float("inf")
    )
