"""Rewrites a program's checks so that each reports its result.

A check is an assert statement, a standalone call of an `assert...` function or method, or a `with` block that expects
an exception. In a program with a tests part, all checks in that part count. In a program without one, the checks at
module level and in test functions count. All other asserts of the program are left unchanged.

The hooks are inserted into the compiled code as constants, so none of our names appear in the program's namespace.
"""

from __future__ import annotations
import __future__

import ast
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MARK = "\0snipmill\0"
_FUTURE = __future__.annotations.compiler_flag
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


# One check in the source: line, text, whether the program may expect an exception in it, and comparison operator.
Site = tuple[int, str, bool, str]
# A compiled program: its code parts in the order in which they run (the last one must go through `bind` first), its
# checks, and its test functions at module level. All of plain types, so that it can be sent to another process.
Compiled = tuple[tuple[types.CodeType, ...], tuple[Site, ...], tuple[str, ...]]


def compile_program(source: str, filename: str, tests_line: int | None) -> Compiled:
    """Compile a program with its checks instrumented.

    The implementation of a program with a tests part usually contains no checks and no test functions; then it is
    compiled unchanged, and only the tests part is rewritten.

    Args:
        source: the whole program.
        filename: the name that tracebacks show.
        tests_line: the line (from 1) where the tests part begins, or None if there is no tests part.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `compile` does.
    """
    head, tail = _split(source, tests_line)
    codes = [compile(head, filename, "exec", dont_inherit=True)] if head else []
    tree = ast.parse(tail, filename)
    rewriter = _Rewriter(source.split("\n"), tests_line)
    tree.body = rewriter.statements(tree.body)
    future = codes[0].co_flags & _FUTURE if codes else 0
    codes.append(compile(tree, filename, "exec", flags=future, dont_inherit=True))
    return tuple(codes), tuple(rewriter.sites), tuple(rewriter.test_functions)


def _split(source: str, tests_line: int | None) -> tuple[str, str]:
    """The part to compile unchanged, and the part to rewrite, with empty lines before it to keep its line numbers."""
    if tests_line is None or "\r" in source:
        return "", source
    lines = source.split("\n")
    head = "\n".join(lines[: tests_line - 1])
    if "def test" in head or "class Test" in head or "TestCase" in head:
        return "", source
    return head, "\n" * (tests_line - 1) + "\n".join(lines[tests_line - 1 :])


def bind(code: types.CodeType, hooks: Mapping[str, Any]) -> types.CodeType:
    """Replace the marker constants with the hooks themselves, in this code object and all nested ones.

    Args:
        code: the last code object from `compile_program`, which contains the checks.
        hooks: the functions `begin`, `compare`, `fail`, `guard`, `ok`, `truth`.
    """
    constants = list(code.co_consts)
    changed = False
    for place, constant in enumerate(constants):
        if isinstance(constant, types.CodeType):
            constants[place] = bind(constant, hooks)
        elif isinstance(constant, str) and constant.startswith(_MARK):
            constants[place] = hooks[constant[len(_MARK) :]]
        changed = changed or constants[place] is not constant
    return code.replace(co_consts=tuple(constants)) if changed else code


def _marker(hook: str) -> ast.expr:
    """The expression `marker or None`, in which `bind` replaces the marker with the hook.

    It is not a plain constant, because the compiler warns about each call of one.
    """
    values: list[ast.expr] = [ast.Constant(_MARK + hook), ast.Constant(None)]
    return ast.fix_missing_locations(ast.BoolOp(ast.Or(), values))


_MARKERS = {hook: _marker(hook) for hook in ("begin", "compare", "fail", "guard", "ok", "truth")}


def _call(at: ast.AST, hook: str, *args: ast.expr) -> ast.Call:
    return ast.Call(func=_MARKERS[hook], args=list(args), keywords=[], **_place(at))


def _place(at: Any) -> dict[str, Any]:
    """The source position of a node, for nodes that replace it."""
    return {
        "lineno": at.lineno,
        "col_offset": at.col_offset,
        "end_lineno": at.end_lineno,
        "end_col_offset": at.end_col_offset,
    }


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


class _Rewriter:
    """Walks statements, never expressions: a check is a statement."""

    def __init__(self, lines: list[str], tests_line: int | None) -> None:
        self.sites: list[Site] = []
        self.test_functions: list[str] = []
        self._lines = lines
        self._tests_line = tests_line
        self._depth = 0  # of function and class definitions
        self._in_test = False  # inside a definition that is named like a test
        self._expected: list[bool] = []  # per enclosing handler in this function: is a specific exception expected?

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The statements with their checks rewritten."""
        result: list[ast.stmt] = []
        for node in body:
            if isinstance(node, ast.Assert):
                result.append(self._assert(node))
            elif isinstance(node, ast.Expr):
                result.extend(self._expression(node))
            elif isinstance(node, ast.With | ast.AsyncWith):
                result.extend(self._with(node))
            else:
                self._descend(node)
                result.append(node)
        return result

    def _descend(self, node: Any) -> None:
        """Rewrite the statements inside a compound statement."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._scope(node)
        elif isinstance(node, ast.Try | ast.TryStar):
            self._try(node)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                case.body = self.statements(case.body)
        else:
            for name in ("body", "orelse"):
                inner = getattr(node, name, None)
                if isinstance(inner, list) and inner:
                    setattr(node, name, self.statements(inner))

    # Which checks count -----------------------------------------------------------------------------------------------

    def _counts(self, node: ast.stmt) -> bool:
        if self._tests_line is not None:
            return node.lineno >= self._tests_line
        return self._depth == 0 or self._in_test

    def _site(self, node: ast.stmt, operator: str = "") -> ast.Constant:
        end = min(node.end_lineno or node.lineno, node.lineno + 10)
        text = "\n".join(self._lines[node.lineno - 1 : end]).strip()
        may_raise = bool(self._expected) and all(self._expected)
        self.sites.append((node.lineno, text[:500], may_raise, operator))
        return ast.Constant(len(self.sites) - 1, **_place(node))

    # Scopes -----------------------------------------------------------------------------------------------------------

    def _scope(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        is_class = isinstance(node, ast.ClassDef)
        is_test = _is_test_name(node.name) or (
            isinstance(node, ast.ClassDef) and any(_called_name(base).endswith("TestCase") for base in node.bases)
        )
        outer = (self._depth, self._in_test, self._expected)
        at_module_level = self._depth == 0
        self._depth, self._in_test, self._expected = self._depth + 1, self._in_test or is_test, []
        node.body = self.statements(node.body)
        self._depth, self._in_test, self._expected = outer
        if not is_class and at_module_level and node.name.startswith("test"):
            self.test_functions.append(node.name)
            first = node.body[0]
            begin = ast.Expr(_call(first, "begin", ast.Constant(node.name, **_place(first))), **_place(first))
            has_docstring = ast.get_docstring(node, clean=False) is not None
            node.body.insert(1 if has_docstring else 0, begin)

    # Handlers ---------------------------------------------------------------------------------------------------------

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        if node.handlers:
            caught = [name for handler in node.handlers for name in _names(handler.type)]
            self._expected.append(not _BROAD.intersection(caught))
        node.body = self.statements(node.body)
        if node.handlers:
            self._expected.pop()
        for handler in node.handlers:
            handler.body = self.statements(handler.body)
        node.orelse = self.statements(node.orelse)
        node.finalbody = self.statements(node.finalbody)

    def _with(self, node: ast.With | ast.AsyncWith) -> list[ast.stmt]:
        names = [_called_name(item.context_expr) for item in node.items]
        expects = any(name in _EXPECTS for name in names)
        site = self._site(node) if expects and self._counts(node) else None
        if expects:
            self._expected.append(True)
        elif "suppress" in names:
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            self._expected.append(not _BROAD.intersection(_called_name(arg) for call in calls for arg in call.args))
        node.body = self.statements(node.body)
        if expects or "suppress" in names:
            self._expected.pop()
        return self._guard(node, site) if site is not None else [node]

    # Checks -----------------------------------------------------------------------------------------------------------

    def _expression(self, node: ast.Expr) -> list[ast.stmt]:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call) and _called_name(value).startswith("assert") and self._counts(node):
            return self._guard(node, self._site(node))
        return [node]

    def _guard(self, node: ast.stmt, site: ast.Constant) -> list[ast.stmt]:
        place = _place(node)
        failed = ast.Expr(_call(node, "fail", site), **place)
        handler = ast.ExceptHandler(type=None, name=None, body=[failed, ast.Raise(**place)], **place)
        held = ast.Expr(_call(node, "ok", site), **place)
        guarded = ast.Try(body=[node], handlers=[handler], orelse=[held], finalbody=[], **place)
        return [ast.Expr(_call(node, "guard", site), **place), guarded]

    def _assert(self, node: ast.Assert) -> ast.stmt:
        if not self._counts(node) or _is_constant_truth(node.test):
            return node
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            hook, values = "compare", [test.left, test.comparators[0]]
            site = self._site(node, _COMPARISONS[type(test.ops[0])])
        else:
            hook, values = "truth", [test]
            site = self._site(node)
        # `compare(site)(left, right)` records that a check has begun before its values are computed.
        node.test = ast.Call(func=_call(test, hook, site), args=values, keywords=[], **_place(test))
        return node


def _is_constant_truth(node: ast.expr) -> bool:
    """Whether an assertion holds whatever the program does: `assert True`, `assert (x, "message")`."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    return isinstance(node, ast.Tuple) and bool(node.elts)
