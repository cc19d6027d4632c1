"""Rewrites a program's checks so that each reports what came of it.

A check is an assert statement, a call of an `assert...` function or method that stands alone, or a `with` block that
expects an exception. Of a program with a tests part, all checks in that part count; of a program without one, those at
module level and in test functions. The program's own asserts elsewhere keep their plain meaning.

The hooks reach the compiled code as constants, so no name of ours appears in the program's namespace.
"""

from __future__ import annotations

import ast
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MARK = "\0snipmill\0"
_BROAD = frozenset({"Exception", "BaseException", "AssertionError"})
_EXPECTS = ("raises", "assertRaises", "assertRaisesRegex", "assertWarns", "assertWarnsRegex", "assertLogs", "warns")
_COMPARISONS: dict[type[ast.cmpop], str] = {
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


@dataclass(frozen=True)
class Site:
    """One check in the source: its line and text, and whether an exception in it may be expected by the program."""

    line: int
    text: str
    may_raise: bool


@dataclass
class Instrumented:
    """A compiled program, its checks, and the test functions that it defines at module level."""

    code: types.CodeType
    sites: list[Site]
    test_functions: list[str] = field(default_factory=list)


def compile_program(source: str, filename: str, tests_line: int | None, hooks: Mapping[str, Any]) -> Instrumented:
    """Compile a program with its checks instrumented.

    Args:
        source: the whole program.
        filename: the name that tracebacks show.
        tests_line: the line (from 1) where the tests part begins, or None where the program is one text.
        hooks: the functions `enter`, `compare`, `truth`, `fail`, `ok`, `begin`.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `compile` does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source, filename)
        rewriter = _Rewriter(source, tests_line)
        tree = ast.fix_missing_locations(rewriter.visit(tree))
        code = compile(tree, filename, "exec", dont_inherit=True)
    return Instrumented(_bind(code, hooks), rewriter.sites, rewriter.test_functions)


def _bind(code: types.CodeType, hooks: Mapping[str, Any]) -> types.CodeType:
    """Replace the marker constants by the hooks themselves, in this code object and all inside it."""
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constants.append(_bind(constant, hooks))
        elif isinstance(constant, str) and constant.startswith(_MARK):
            constants.append(hooks[constant[len(_MARK) :]])
        else:
            constants.append(constant)
    return code.replace(co_consts=tuple(constants))


def _call(hook: str, *args: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Constant(_MARK + hook), args=list(args), keywords=[])


def _called_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _names(node: ast.expr | None) -> list[str]:
    if node is None:
        return ["BaseException"]
    if isinstance(node, ast.Tuple):
        return [_called_name(item) for item in node.elts]
    return [_called_name(node)]


def _is_test_name(name: str) -> bool:
    return name.startswith(("test", "check", "Test"))


class _Rewriter(ast.NodeTransformer):
    def __init__(self, source: str, tests_line: int | None) -> None:
        self.sites: list[Site] = []
        self.test_functions: list[str] = []
        self._source = source
        self._tests_line = tests_line
        self._depth = 0  # of function and class definitions
        self._in_test = False  # inside a definition that is named like a test
        self._expected: list[bool] = []  # enclosing handlers in this function: does one expect a specific exception?

    # Which checks count -----------------------------------------------------------------------------------------------

    def _counts(self, node: ast.stmt) -> bool:
        if self._tests_line is not None:
            return node.lineno >= self._tests_line
        return self._depth == 0 or self._in_test

    def _site(self, node: ast.stmt) -> ast.Constant:
        text = (ast.get_source_segment(self._source, node) or "") if len(self._source) < 200_000 else ""
        may_raise = bool(self._expected) and all(self._expected)
        self.sites.append(Site(node.lineno, text[:500], may_raise))
        return ast.Constant(len(self.sites) - 1)

    # Scopes -----------------------------------------------------------------------------------------------------------

    def _scope(self, node: Any, is_function: bool) -> Any:
        is_test = _is_test_name(node.name) or (
            isinstance(node, ast.ClassDef) and any(_called_name(base).endswith("TestCase") for base in node.bases)
        )
        outer = (self._depth, self._in_test, self._expected)
        at_module_level = self._depth == 0
        self._depth, self._in_test, self._expected = self._depth + 1, self._in_test or is_test, []
        self.generic_visit(node)
        self._depth, self._in_test, self._expected = outer
        if is_function and at_module_level and node.name.startswith("test"):
            self.test_functions.append(node.name)
            begin = ast.copy_location(ast.Expr(_call("begin", ast.Constant(node.name))), node.body[0])
            has_docstring = ast.get_docstring(node, clean=False) is not None
            node.body.insert(1 if has_docstring else 0, begin)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._scope(node, is_function=True)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self._scope(node, is_function=True)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self._scope(node, is_function=False)

    # Handlers ---------------------------------------------------------------------------------------------------------

    def visit_Try(self, node: ast.Try) -> Any:
        if node.handlers:
            caught = [name for handler in node.handlers for name in _names(handler.type)]
            self._expected.append(not _BROAD.intersection(caught))
        node.body = self._statements(node.body)
        if node.handlers:
            self._expected.pop()
        node.handlers = [self.visit(handler) for handler in node.handlers]
        node.orelse = self._statements(node.orelse)
        node.finalbody = self._statements(node.finalbody)
        return node

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in body:
            visited = self.visit(statement)
            result.extend(visited if isinstance(visited, list) else [visited])
        return result

    def _with(self, node: ast.With | ast.AsyncWith) -> Any:
        names = [_called_name(item.context_expr) for item in node.items]
        expects = any(name in _EXPECTS for name in names)
        counts = expects and self._counts(node)
        site = self._site(node) if counts else None
        if expects:
            self._expected.append(True)
        elif "suppress" in names:
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            self._expected.append(not _BROAD.intersection(_called_name(arg) for call in calls for arg in call.args))
        node.body = self._statements(node.body)
        if expects or "suppress" in names:
            self._expected.pop()
        return self._guard(node, site) if site is not None else node

    def visit_With(self, node: ast.With) -> Any:
        return self._with(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> Any:
        return self._with(node)

    # Checks -----------------------------------------------------------------------------------------------------------

    def visit_Expr(self, node: ast.Expr) -> Any:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call) and _called_name(value).startswith("assert") and self._counts(node):
            return self._guard(node, self._site(node))
        return self.generic_visit(node)

    def _guard(self, node: ast.stmt, site: ast.Constant) -> list[ast.stmt]:
        handler = ast.ExceptHandler(type=None, name=None, body=[ast.Expr(_call("fail", site)), ast.Raise()])
        guarded = ast.Try(body=[node], handlers=[handler], orelse=[ast.Expr(_call("ok", site))], finalbody=[])
        enter = ast.Expr(_call("enter", site))
        return [ast.copy_location(statement, node) for statement in (enter, guarded)]

    def visit_Assert(self, node: ast.Assert) -> Any:
        if not self._counts(node) or _is_constant_truth(node.test):
            return self.generic_visit(node)
        site = self._site(node)
        entered = _call("enter", site)
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            operator = ast.Constant(_COMPARISONS[type(test.ops[0])])
            test = _call("compare", entered, operator, test.left, test.comparators[0])
        else:
            test = _call("truth", entered, test)
        node.test = ast.copy_location(test, node.test)
        return node


def _is_constant_truth(node: ast.expr) -> bool:
    """Whether an assertion holds whatever the program does: `assert True`, `assert (x, "message")`."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    return isinstance(node, ast.Tuple) and bool(node.elts)


Hook = Callable[..., Any]
