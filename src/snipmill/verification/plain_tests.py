"""Rewrites `unittest` and `pytest` constructs as plain statements that can be read like any other test.

`self.assertEqual(a, b)` becomes `assert a == b`, a block that expects an exception becomes a `try`, and an attribute
that `setUp` sets on `self` becomes a variable. Covers the common methods. A statement that needs more of `self` is left
out, and so is everything that it may have changed, because assertions on that would differ from the original tests.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Sequence

from snipmill.python_tree import parse_expression
from snipmill.verification.plain_pytest import Fixtures, expand
from snipmill.verification.statements import bound_names, names_in

_COMPARISONS: dict[str, type[ast.cmpop]] = {
    "assertEqual": ast.Eq,
    "assertEquals": ast.Eq,
    "assertSequenceEqual": ast.Eq,
    "assertListEqual": ast.Eq,
    "assertTupleEqual": ast.Eq,
    "assertDictEqual": ast.Eq,
    "assertSetEqual": ast.Eq,
    "assertMultiLineEqual": ast.Eq,
    "assertNotEqual": ast.NotEq,
    "assertIs": ast.Is,
    "assertIsNot": ast.IsNot,
    "assertIn": ast.In,
    "assertNotIn": ast.NotIn,
    "assertGreater": ast.Gt,
    "assertGreaterEqual": ast.GtE,
    "assertLess": ast.Lt,
    "assertLessEqual": ast.LtE,
}
_NEAR = "(lambda _one, _other: _one == _other or {})({}, {})"
_SETUPS = ("setUp", "setup_method", "setup")
_PLACES = "7"  # decimal places that `assertAlmostEqual` compares by default
_RAISES = ("raises", "assertRaises", "assertRaisesRegex")
_ATTRIBUTE = "_of_self_"  # prefix of the variables that replace attributes of `self`


def plain(statement: ast.stmt) -> ast.stmt:
    """A module-level statement with each block that expects an exception rewritten as a `try`; changes the tree.

    The message of the exception is not compared, because samples that agree word it differently. Blocks that bind the
    exception to a name stay as they are.
    """
    try:
        changed: ast.stmt = _Expectations().visit(statement)
        return ast.fix_missing_locations(changed)
    except RecursionError:  # no such block is nested that deeply
        return statement


def is_test_case(definition: ast.ClassDef) -> bool:
    """Whether a class contains tests, judged by its name or by `TestCase` as a base."""
    bases = [ast.unparse(base).rpartition(".")[2] for base in definition.bases]
    return definition.name.lower().startswith("test") or "TestCase" in bases


def plain_methods(definition: ast.ClassDef, fixtures: Fixtures) -> list[tuple[list[ast.stmt], list[ast.stmt]]]:
    """The test methods of a class as plain statements: for each, those of `setUp` without its checks, and its own.

    A method with parameters is there once for each set of their values (`plain_pytest`).
    """
    methods = [node for node in definition.body if isinstance(node, ast.FunctionDef)]
    rewriter = _Methods()
    setups = [method for method in methods if method.name in _SETUPS]
    first = [without_checks(one) for method in setups for one in rewriter.body(method.body)]
    found = []
    for method in methods:
        if not method.name.startswith("test"):
            continue
        for body in expand(method, fixtures, decorators=definition.decorator_list, method=True):
            kept = _without_self([*first, *rewriter.body(body)], rewriter.unknown)
            before = len(_without_self(first, rewriter.unknown))  # what is kept depends only on earlier statements
            found.append((kept[:before], kept[before:]))
    return found


def without_checks(statement: ast.stmt) -> ast.stmt:
    """A copy of a statement that has the same effects but checks no assertions."""
    changed: ast.stmt = _Unchecked().visit(copy.deepcopy(statement))
    return ast.fix_missing_locations(changed)


def _without_self(body: Sequence[ast.stmt], unknown: Iterable[str]) -> list[ast.stmt]:
    """The statements that use only attributes of `self` that earlier ones set, and nothing that was lost."""
    kept: list[ast.stmt] = []
    bound: set[str] = set()
    lost = set(unknown)
    for statement in body:
        used, binds, needed = names_in([statement]), bound_names(statement), _needed_names(statement)
        missing = {name for name in needed - bound if name == "self" or name.startswith(_ATTRIBUTE)}
        if missing or needed & lost:
            lost |= binds | (used & bound)
            if "self" in missing or _calls(statement, missing):  # a method of the class may change any attribute
                lost |= {name for name in bound if name.startswith(_ATTRIBUTE)}
        else:
            kept.append(statement)
            bound |= binds
            lost -= binds
    return kept


def _needed_names(statement: ast.stmt) -> set[str]:
    """The names that must already be bound when a statement runs."""
    added = {node.target for node in ast.walk(statement) if isinstance(node, ast.AugAssign)}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and (not isinstance(node.ctx, ast.Store) or node in added)
    }


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return not names.isdisjoint(names_in(calls))


class _Expectations(ast.NodeTransformer):
    """Rewrites blocks that expect an exception, outside classes."""

    def visit_With(self, node: ast.With) -> ast.stmt | list[ast.stmt]:
        call, name = _context(node)
        found: ast.stmt = node
        if call is not None and _method(call) in _RAISES and call.args and name is None:
            found = _raising(call.args[0], node.body, node)
        self.generic_visit(found)
        return found

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return node


class _Methods(_Expectations):
    """Rewrites statements of methods. Unknown constructs keep their `self`, or a name that is never bound.

    Attributes:
        unknown: names that were bound to expected exceptions; after the rewrite they are unbound.
    """

    def __init__(self) -> None:
        self.unknown: set[str] = set()

    def body(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in statements:
            changed = self.visit(statement)
            found += changed if isinstance(changed, list) else [changed]
        return [ast.fix_missing_locations(statement) for statement in found]

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        call = node.value
        if not isinstance(call, ast.Call) or not _of_self(call.func) or not _method(call).startswith("assert"):
            return self._visited(node)
        asked = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
        if _method(call) == "assertRaises" and len(asked) == len(call.args) > 1:
            inner: ast.expr = ast.Call(asked[1], asked[2:], call.keywords)
            return self._visited(_raising(asked[0], [ast.Expr(inner)], node))
        test = _asserted(call) if len(asked) == len(call.args) else None
        if test is not None:
            return self._visited(ast.copy_location(ast.Assert(test), node))
        # Unknown assertion: keep its arguments, because evaluating them may change something.
        return [self._visited(ast.copy_location(ast.Expr(argument), node)) for argument in asked] or node

    def visit_With(self, node: ast.With) -> ast.stmt | list[ast.stmt]:
        call, name = _context(node)
        if call is not None and _method(call) == "subTest":
            return self.body(node.body)
        if call is not None and _method(call) in _RAISES and isinstance(name, ast.Name):
            self.unknown.add(name.id)
            node.items[0].optional_vars = None
        return super().visit_With(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if _of_self(node):
            return ast.copy_location(ast.Name(f"{_ATTRIBUTE}{node.attr}", node.ctx), node)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return node if _takes_self(node) else self._visited(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        if not _takes_self(node):
            self.generic_visit(node)
        return node

    def visit_Match(self, node: ast.Match) -> ast.stmt:
        return node  # a pattern may compare with an attribute, but a plain name would capture

    def _visited(self, node: ast.stmt) -> ast.stmt:
        self.generic_visit(node)
        return node


class _Unchecked(ast.NodeTransformer):
    """Removes the checks and keeps what they evaluate."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        return ast.Expr(node.test)

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        expects = isinstance(node.orelse[0], ast.Assert) if node.orelse else False  # the form that `_raising` makes
        self.generic_visit(node)
        return _swallowing(ast.Name("Exception", ast.Load()), node.body, []) if expects else node


def _asserted(call: ast.Call) -> ast.expr | None:
    """The condition that a method of `unittest.TestCase` asserts, or None if it is not one of the common methods."""
    name, asked = _method(call), call.args
    if asked and name == "assertTrue":
        return asked[0]
    if asked and name == "assertFalse":
        return ast.UnaryOp(ast.Not(), asked[0])
    if asked and name in ("assertIsNone", "assertIsNotNone"):
        return ast.Compare(asked[0], [ast.Is() if name == "assertIsNone" else ast.IsNot()], [ast.Constant(None)])
    if len(asked) < 2:
        return None
    if name in _COMPARISONS:
        return ast.Compare(asked[0], [_COMPARISONS[name]()], [asked[1]])
    if name == "assertIsInstance":
        return ast.Call(ast.Name("isinstance", ast.Load()), asked[:2], [])
    if name == "assertAlmostEqual" and len(asked) <= 4:
        return _near(asked, {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords})
    return None


def _near(asked: Sequence[ast.expr], given: dict[str | None, str]) -> ast.expr:
    """The condition that `assertAlmostEqual` asserts. Each side is computed once."""
    places = ast.unparse(asked[2]) if len(asked) > 2 else given.get("places", _PLACES)
    near = f"round(abs(_one - _other), {_PLACES if places == 'None' else places}) == 0"
    if given.get("delta", "None") != "None":
        near = f"abs(_one - _other) <= {given['delta']}"
    text = _NEAR.format(near, ast.unparse(asked[0]), ast.unparse(asked[1]))
    return parse_expression(text)


def _raising(error: ast.expr, body: list[ast.stmt], at: ast.stmt) -> ast.stmt:
    """A `try` that passes only if its body raises the given error."""
    return ast.copy_location(_swallowing(error, body, [ast.Assert(ast.Constant(False))]), at)


def _swallowing(error: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> ast.stmt:
    return ast.Try(body, [ast.ExceptHandler(error, None, [ast.Pass()])], orelse, [])


def _context(node: ast.With) -> tuple[ast.Call | None, ast.expr | None]:
    """The call in a `with` and the target bound to it; the call is None if there are several items or no call."""
    call, name = node.items[0].context_expr, node.items[0].optional_vars
    return (call if isinstance(call, ast.Call) and len(node.items) == 1 else None), name


def _takes_self(node: ast.FunctionDef | ast.Lambda) -> bool:
    return any(argument.arg == "self" for argument in node.args.args)


def _method(call: ast.Call) -> str:
    """The last part of a called name."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _of_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
