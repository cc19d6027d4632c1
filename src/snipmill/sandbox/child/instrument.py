"""Rewrites a program's checks so that each reports its result.

A check is an assert statement, a call of an `assert...` function or method, a `with` block that expects an exception, or an `if`
that does nothing but fail. In a program with a tests part, all checks in that part count. In a program without one, the checks at
module level and in test functions count. All other asserts of the program are left unchanged.

Hooks are called through marker constants, which `compilation.bind` replaces by the hooks themselves, so none of our names appear in
the program's namespace.
"""

from __future__ import annotations

import ast

from snipmill.sandbox.child.expectations import EXPECTS, caught_by, expects, fails, last_name
from snipmill.sandbox.child.proof import Bindings, called_names, proves_nothing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARK = "\0snipmill\0"
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
_HOOKS = (
    "all",
    "arrays",
    "begin",
    "boundary",
    "call",
    "caught",
    "compare",
    "died",
    "fail",
    "fail_now",
    "guard",
    "ok",
    "only_if",
    "truth",
)

# One check in the source: first line, last line, text, comparison operator, why it proves nothing, names of the functions that
# it calls, and whether it can only fail. A check that can only fail, such as `assert False`, is not meant to be reached.
Site = tuple[int, int, str, str, str, tuple[str, ...], bool]
# A function of the tests: its qualified name, its line, and whether it is a test by its name.
Function = tuple[str, int, bool]


def _marker(hook: str) -> ast.expr:
    """The expression `marker or None`, in which `bind` replaces the marker with the hook.

    It is not a plain constant, because the compiler warns about each call of one.
    """
    values: list[ast.expr] = [ast.Constant(MARK + hook), ast.Constant(None)]
    return ast.fix_missing_locations(ast.BoolOp(ast.Or(), values))


_MARKERS = {hook: _marker(hook) for hook in _HOOKS}


def _call(at: ast.AST, hook: str, *args: ast.expr) -> ast.Call:
    return ast.Call(func=_MARKERS[hook], args=list(args), keywords=[], **_place(at))


def _number(at: ast.AST, value: int) -> ast.Constant:
    return ast.Constant(value, **_place(at))


def _place(at: Any) -> dict[str, Any]:
    """The source position of a node, for nodes that replace it."""
    return {
        "lineno": at.lineno,
        "col_offset": at.col_offset,
        "end_lineno": at.end_lineno,
        "end_col_offset": at.end_col_offset,
    }


def _is_test_name(name: str) -> bool:
    return name.startswith(("test", "check", "Test"))


class Rewriter:
    """Walks statements, and of expressions only those in which a check is hidden: a condition, or a call in a list."""

    def __init__(self, lines: list[str], tests_line: int | None) -> None:
        self.sites: list[Site] = []
        self.functions: list[Function] = []
        self.defined: list[str] = []
        self._lines = lines
        self._tests_line = tests_line
        self._path: list[str] = []  # names of the enclosing definitions
        self._in_class = False
        self._in_test = False  # inside a definition that is named like a test
        self._bindings = Bindings([])  # of the innermost function
        self._later: list[ast.stmt] = []  # the statements behind the current one in its function

    def module(self, tree: ast.Module) -> list[ast.stmt]:
        """The statements of a module, with a mark where the tests begin."""
        self._bindings = Bindings(tree.body)
        body: list[ast.stmt] = []
        is_marked = self._tests_line is None
        for place, node in enumerate(tree.body):
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not is_marked and node.lineno >= (self._tests_line or 0) and not is_future:
                body.append(ast.Expr(_call(node, "boundary"), **_place(node)))
                is_marked = True
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and self._is_in_tests(node):
                self.defined.append(node.name)
            self._later = tree.body[place + 1 :]
            body.extend(self._statement(node))
        return body

    def statements(self, nodes: list[ast.stmt]) -> list[ast.stmt]:
        """The statements of a block with their checks rewritten."""
        result: list[ast.stmt] = []
        outer = self._later
        for place, node in enumerate(nodes):
            self._later = nodes[place + 1 :] + outer
            result.extend(self._statement(node))
        self._later = outer
        return result

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.Assert):
            return [self._assert(node)]
        if isinstance(node, ast.Expr):
            return self._expression(node)
        if isinstance(node, ast.Raise):
            return self._raise(node)
        if isinstance(node, ast.With | ast.AsyncWith):
            return self._with(node)
        if not (isinstance(node, ast.If) and self._only_if(node)):
            self._descend(node)
        return [node]

    def _descend(self, node: Any) -> None:
        """Rewrite the statements inside a compound statement."""
        if isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._function(node)
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

    def _is_in_tests(self, node: ast.stmt) -> bool:
        return self._tests_line is None or node.lineno >= self._tests_line

    def _counts(self, node: ast.stmt) -> bool:
        if self._tests_line is not None:
            return node.lineno >= self._tests_line
        return not self._path or self._in_test

    def _site(
        self,
        node: ast.stmt,
        operator: str = "",
        empty: str = "",
        subjects: tuple[str, ...] = (),
        *,
        fails: bool = False,
    ) -> ast.Constant:
        last = node.end_lineno or node.lineno
        text = "\n".join(self._lines[node.lineno - 1 : min(last, node.lineno + 10)]).strip()
        self.sites.append((node.lineno, last, text[:500], operator, empty, subjects, fails))
        return _number(node, len(self.sites) - 1)

    # Definitions ------------------------------------------------------------------------------------------------------

    def _class(self, node: ast.ClassDef) -> None:
        is_test = _is_test_name(node.name) or any(last_name(base).endswith("TestCase") for base in node.bases)
        outer = (self._in_class, self._in_test)
        self._in_class, self._in_test = True, self._in_test or is_test
        self._path.append(node.name)
        node.body = self.statements(node.body)
        self._path.pop()
        self._in_class, self._in_test = outer

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        is_test = node.name.startswith("test") and (self._in_class or not self._path) and self._is_in_tests(node)
        takes_instance = self._in_class and not any(last_name(one) == "staticmethod" for one in node.decorator_list)
        outer = (self._in_class, self._in_test, self._bindings, self._later)
        before = len(self.sites)
        self._path.append(node.name)
        self._in_class, self._in_test = False, self._in_test or _is_test_name(node.name)
        self._bindings, self._later = Bindings(node.body), []
        node.body = self.statements(node.body)
        name = ".".join(self._path)
        self._path.pop()
        self._in_class, self._in_test, self._bindings, self._later = outer
        holds_checks = any(not site[6] for site in self.sites[before:])
        if is_test or holds_checks:
            self.functions.append((name, node.lineno, is_test))
            arguments = [*node.args.posonlyargs, *node.args.args]
            instance = arguments[0].arg if takes_instance and arguments else None
            self._announce(node, len(self.functions) - 1, instance, is_test=is_test)

    def _announce(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, number: int, instance: str | None, *, is_test: bool
    ) -> None:
        """Let a function report that it began and, if it is a test, that it ended with an exception."""
        has_docstring = ast.get_docstring(node, clean=False) is not None
        head, body = node.body[:has_docstring], node.body[has_docstring:]
        place = _place(body[0] if body else node)
        at: Any = body[0] if body else node
        given: list[ast.expr] = [_number(at, number)]
        if instance is not None:
            given.append(ast.Name(instance, ast.Load(), **place))
        begin = ast.Expr(_call(at, "begin", *given), **place)
        if is_test and body:
            died = ast.Expr(_call(at, "died", _number(at, number)), **place)
            handler = ast.ExceptHandler(type=None, name=None, body=[died, ast.Raise(**place)], **place)
            body = [ast.Try(body=body, handlers=[handler], orelse=[], finalbody=[], **place)]
        node.body = [*head, begin, *body]

    # Handlers ---------------------------------------------------------------------------------------------------------

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        counts = self._counts(node)
        expected = [expects(node, handler, self._later) if counts else 0 for handler in node.handlers]
        node.body = self.statements(node.body)
        node.orelse = self.statements(node.orelse)
        node.finalbody = self.statements(node.finalbody)
        for handler, rule in zip(node.handlers, expected, strict=True):
            handler.body = self.statements(handler.body)
            if rule and handler.body:
                at = handler.body[0]
                handler.body.insert(0, ast.Expr(_call(at, "caught", _number(at, rule)), **_place(at)))

    def _with(self, node: ast.With | ast.AsyncWith) -> list[ast.stmt]:
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        counts = self._counts(node)
        is_check = counts and any(last_name(call) in EXPECTS for call in calls)
        site = self._site(node) if is_check else None
        node.body = self.statements(node.body)
        rule = max((caught_by(call) for call in calls), default=0) if counts else 0
        if rule:
            at = node.body[0]
            caught = ast.Expr(_call(at, "caught", _number(at, rule)), **_place(at))
            handler = ast.ExceptHandler(type=None, name=None, body=[caught, ast.Raise(**_place(at))], **_place(at))
            node.body = [ast.Try(body=node.body, handlers=[handler], orelse=[], finalbody=[], **_place(at))]
        return self._guard(node, site) if site is not None else [node]

    # Checks -----------------------------------------------------------------------------------------------------------

    def _expression(self, node: ast.Expr) -> list[ast.stmt]:
        if not self._counts(node):
            return [node]
        awaited = isinstance(node.value, ast.Await)
        value: ast.expr = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call) and fails(node):
            site = self._site(node, fails=True)
            return [ast.Expr(_call(node, "fail_now", site), **_place(node)), node]
        if isinstance(value, ast.Call) and _is_check(value):
            if awaited:
                return self._guard(node, self._site(node))
            node.value = self.checked(value, node)
        elif not awaited:
            node.value = _Hidden(self, node).visit(value)
        return [node]

    def checked(self, call: ast.Call, node: ast.stmt) -> ast.Call:
        """A call of an assertion method that reports its result, and lets its arguments be looked at."""
        empty, subjects = self._look(call)
        site = self._site(node, empty=empty, subjects=subjects)
        call.args = [_quantified(argument) for argument in call.args]
        return ast.Call(
            func=_call_of(call, _call(call, "call", site), call.func),
            args=call.args,
            keywords=call.keywords,
            **_place(call),
        )

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
        if fails(node):
            site = self._site(node, fails=True)
            node.test = ast.Call(func=_call(test, "truth", site), args=[test], keywords=[], **_place(test))
            return node
        empty, subjects = self._look(test)
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            site = self._site(node, _COMPARISONS[type(test.ops[0])], empty, subjects)
            hook, values = "compare", [test.left, test.comparators[0]]
        else:
            site = self._site(node, "", empty, subjects)
            hook, values = "truth", [_quantified(test)]
        # `compare(site)(left, right)` records that a check has begun before its values are computed.
        node.test = ast.Call(func=_call(test, hook, site), args=values, keywords=[], **_place(test))
        return node

    def _look(self, test: ast.expr) -> tuple[str, tuple[str, ...]]:
        """Why a check proves nothing whatever the code does, and the functions that it calls."""
        resolved = self._bindings.resolve(test)
        return proves_nothing(resolved), called_names(resolved)

    def _raise(self, node: ast.Raise) -> list[ast.stmt]:
        if not self._counts(node) or not fails(node):
            return [node]
        site = self._site(node, fails=True)
        return [ast.Expr(_call(node, "fail_now", site), **_place(node)), node]

    def _only_if(self, node: ast.If) -> bool:
        """An `if` that does nothing but fail is a check: `if f(1) != 2: raise AssertionError`. Returns whether this is one."""
        in_test = not self._path or self._in_test
        ends = fails(node.body[-1], any_exception=in_test)
        if node.orelse or not ends or not self._counts(node) or any(map(_is_compound, node.body)):
            return False
        empty, subjects = self._look(ast.UnaryOp(ast.Not(), node.test, **_place(node.test)))
        site = self._site(node, "", empty, subjects)
        node.test = ast.Call(func=_call(node.test, "only_if", site), args=[node.test], keywords=[], **_place(node.test))
        return True


def _quantified(test: ast.expr) -> ast.expr:
    """The condition `all(...)`, `x.all()` or `allclose(...)`, which then reports if there is nothing to check."""
    if not isinstance(test, ast.Call):
        return test
    if last_name(test) in ("allclose", "array_equal"):
        test.func = _call(test, "arrays", test.func)
    elif isinstance(test.func, ast.Name) and test.func.id == "all" and len(test.args) == 1 and not test.keywords:
        return _call(test, "all", test.func, test.args[0])
    elif isinstance(test.func, ast.Attribute) and test.func.attr == "all" and not test.args and not test.keywords:
        return _call(test, "all", ast.Constant(None, **_place(test)), test.func.value)
    return test


class _Hidden(ast.NodeTransformer):
    """Rewrites the checks inside an expression statement, such as the calls in a list comprehension."""

    def __init__(self, rewriter: Rewriter, node: ast.stmt) -> None:
        self._rewriter = rewriter
        self._node = node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        return self._rewriter.checked(node, self._node) if _is_check(node) else node


def _call_of(at: ast.AST, func: ast.expr, *args: ast.expr) -> ast.Call:
    return ast.Call(func=func, args=list(args), keywords=[], **_place(at))


def _is_check(call: ast.Call) -> bool:
    """Whether a call is an assertion: `self.assertEqual(...)`, `raises(E, f, x)`, or `assert_that(x).is_true()`."""
    name = last_name(call)
    if name.startswith("assert") or (name in EXPECTS and len(call.args) > 1):
        return True
    inner = call.func.value if isinstance(call.func, ast.Attribute) else None
    return isinstance(inner, ast.Call) and _is_check(inner)


def _is_compound(node: ast.stmt) -> bool:
    return isinstance(
        node, ast.If | ast.For | ast.While | ast.Try | ast.TryStar | ast.With | ast.FunctionDef | ast.ClassDef
    )


def _is_constant_truth(node: ast.expr) -> bool:
    """Whether an assertion holds whatever the program does: `assert True`, `assert (x, "message")`."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    return isinstance(node, ast.Tuple) and bool(node.elts)
