"""Rewrites a program's checks so that each reports its result.

A check is an assert statement, a call of an `assert...` function or method, a `with` block that expects an exception, a `try`
that fails unless an exception is raised, or an `if` of which one branch does nothing but fail. In a program with a tests part, all
checks in that part count. In a program without one, the checks at module level and in test functions count. All other asserts of
the program are left unchanged.
"""

from __future__ import annotations

import ast

from snipmill.sandbox.child.bindings import Bindings
from snipmill.sandbox.child.conditions import (
    COMPARISONS,
    is_check,
    may_be_empty,
    rewrite_condition,
    rewrite_exit,
    rewrite_hidden,
    watched_zip,
)
from snipmill.sandbox.child.examination import examine
from snipmill.sandbox.child.expectations import (
    BEHIND_IT,
    EXPECTS,
    IN_THE_BLOCK,
    NOTHING,
    NOWHERE,
    caught_by,
    expects,
    fails,
    gives_up,
    last_name,
    patched_names,
)
from snipmill.sandbox.child.hook_calls import call, call_of, constant, place_of, reraising, statement
from snipmill.sandbox.child.proof import RAISED_BY_ITSELF
from snipmill.sandbox.child.scope import Scope
from snipmill.sandbox.child.sites import Function, Sites
from snipmill.sandbox.child.statements import (
    holds_check,
    is_compound,
    is_constant_truth,
    is_discarded,
    is_exit,
    is_gathered,
    is_main_guard,
    is_test_class,
    is_test_name,
    is_verdict,
    looks_at,
    replaced_names,
)
from snipmill.sandbox.child.syntax import nodes_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Rewriter:
    """Walks statements, and of expressions only those in which a check is hidden: a condition, or a call in a list."""

    def __init__(self, lines: list[str], tests_line: int | None) -> None:
        self.sites = Sites(lines)
        self.functions: list[Function] = []
        self.defined: list[str] = []
        self._tests_line = tests_line
        self._lines = lines
        self._replaced: frozenset[str] | None = None  # names that the tests may replace; None for any
        self._scope = Scope(Bindings([]))

    def module(self, tree: ast.Module) -> list[ast.stmt]:
        """The statements of a module, with a mark where the tests begin."""
        self._scope = Scope(Bindings(tree.body))
        first = self._tests_line or 0
        self._replaced = replaced_names(
            [node for node in tree.body if node.lineno >= first], self._lines[max(first - 1, 0) :]
        )
        body: list[ast.stmt] = []
        is_marked, place_of_mark = self._tests_line is None, 0
        for place, node in enumerate(tree.body):
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not is_marked and node.lineno >= first and not is_future:
                place_of_mark, is_marked = len(body), True
            self._scope.later = tree.body[place + 1 :]
            body.extend(self._statement(node))
        if self._tests_line is not None and is_marked and any(site[5] for site in self.sites.found):
            body.insert(place_of_mark, statement(body[place_of_mark], "boundary"))
        return body

    def statements(self, nodes: list[ast.stmt]) -> list[ast.stmt]:
        """The statements of a block with their checks rewritten."""
        result: list[ast.stmt] = []
        outer = self._scope.later
        for place, node in enumerate(nodes):
            self._scope.later = nodes[place + 1 :] + outer
            result.extend(self._statement(node))
        self._scope.later = outer
        return result

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.Assert):
            return self._assert(node)
        if isinstance(node, ast.Expr):
            return self._expression(node)
        if isinstance(node, ast.Raise):
            return self._raise(node)
        if isinstance(node, ast.With | ast.AsyncWith):
            return self._with(node)
        if isinstance(node, ast.If):
            self._only_if(node)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self._for(node)
        elif isinstance(node, ast.Return | ast.Assign | ast.AnnAssign | ast.AugAssign):
            if node.value is not None and self._counts(node):
                if isinstance(node, ast.Assign):
                    self._assign(node)
                node.value = rewrite_hidden(node.value, lambda one: self._checked(one, node))
        else:
            self._descend(node)
        return [node]

    def _descend(self, node: ast.AST) -> None:
        """Rewrite the statements inside a compound statement."""
        if isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._function(node)
        elif isinstance(node, ast.Try | ast.TryStar):
            outer = self._enter_condition(True)
            self._try(node)
            self._leave(outer)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                case.body = self.statements(case.body)
        else:
            outer = self._enter_condition(isinstance(node, ast.If) and not is_main_guard(node))
            for name in ("body", "orelse"):
                inner = getattr(node, name, None)
                if isinstance(inner, list) and inner:
                    setattr(node, name, self.statements(inner))
            self._leave(outer)

    def _enter_condition(self, is_condition: bool) -> Scope:
        """Go into a block, which at module level may be a condition for what is defined in it. Returns the scope around it."""
        outer = self._scope
        self._scope = outer.inside(is_conditional=outer.is_conditional or (is_condition and not outer.path))
        return outer

    def _leave(self, outer: Scope) -> None:
        """Go back to the scope around a block; what it has bound to patched functions stays so."""
        outer.patched |= self._scope.patched
        self._scope = outer

    # Which checks count -----------------------------------------------------------------------------------------------

    def _is_in_tests(self, node: ast.stmt) -> bool:
        return self._tests_line is None or node.lineno >= self._tests_line

    def _counts(self, node: ast.stmt) -> bool:
        if self._tests_line is not None:
            return node.lineno >= self._tests_line
        return not self._scope.path or self._scope.in_test

    def _site(self, node: ast.stmt | ast.ExceptHandler, *what: Any, **more: Any) -> ast.Constant:
        return constant(node, self.sites.add(node, *what, **more))

    def _look(self, test: ast.expr, at: ast.stmt, nodes: Sequence[ast.AST]) -> tuple[str, tuple[str, ...]]:
        return examine(test, at, nodes, self._scope, self._replaced)

    # Definitions ------------------------------------------------------------------------------------------------------

    def _class(self, node: ast.ClassDef) -> None:
        outer = self._scope
        if not outer.path and self._is_in_tests(node):
            self.defined.append(node.name)
        in_test = outer.in_test or is_test_class(node)
        self._scope = outer.inside(node.name, in_class=True, in_test=in_test, is_direct=False)
        node.body = self.statements(node.body)
        self._scope = outer

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer = self._scope
        is_test = node.name.startswith("test") and not outer.is_inner and self._is_in_tests(node)
        is_test = is_test and (outer.in_test or not outer.in_class or holds_check(node))
        if not outer.path and self._is_in_tests(node):
            self.defined.append(node.name)
        before = len(self.sites)
        self._scope = outer.inside(
            node.name,
            in_class=False,
            in_test=outer.in_test or is_test_name(node.name),
            is_direct=is_test,
            is_async=isinstance(node, ast.AsyncFunctionDef),
            bindings=Bindings(node.body, outer.bindings),
            later=outer.later if outer.is_inner else [],  # the outer function may check what the inner one notes
        )
        node.body = self.statements(node.body)
        self._scope = outer
        holds_checks = self.sites.hold_checks(before)
        if is_test or holds_checks:
            is_meant_to_run = holds_checks and outer.expects_to_run(node, is_test=is_test)
            name = ".".join((*outer.path, node.name))
            self.functions.append((name, node.lineno, is_test, is_meant_to_run))
            self._announce(node, len(self.functions) - 1, is_test=is_test)

    def _announce(self, node: ast.FunctionDef | ast.AsyncFunctionDef, number: int, *, is_test: bool) -> None:
        """Let a function report that it began and, if it is a test, that it ended with an exception."""
        has_docstring = ast.get_docstring(node, clean=False) is not None
        head, body = node.body[:has_docstring], node.body[has_docstring:]
        at: ast.AST = body[0] if body else node
        given: list[ast.expr] = [constant(at, number)]
        arguments = [*node.args.posonlyargs, *node.args.args]
        is_static = any(last_name(one) == "staticmethod" for one in node.decorator_list)
        if self._scope.in_class and arguments and not is_static:
            given.append(ast.Name(arguments[0].arg, ast.Load(), **place_of(at)))
        if is_test and body:
            body = [reraising(at, body, statement(at, "died", constant(at, number)))]
        node.body = [*head, statement(at, "begin", *given), *body]

    # Handlers ---------------------------------------------------------------------------------------------------------

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        if not self._counts(node):
            self._try_parts(node)
            return
        rules = [expects(node, handler, self._scope.later) for handler in node.handlers]
        waits = bool(node.handlers) and fails((node.orelse or node.body)[-1])
        site = self._site(node) if waits and not any(map(gives_up, node.handlers)) else None
        before = len(self.sites)
        node.body = self.statements(node.body)
        own = (before, len(self.sites))
        self._try_parts(node, body=False)
        holds = self.sites.hold_checks(*own)
        checks = IN_THE_BLOCK if holds else BEHIND_IT if any(map(holds_check, self._scope.later)) else NOWHERE
        for handler, rule in zip(node.handlers, rules, strict=True):
            at = handler.body[0]
            if rule == NOTHING and gives_up(handler):
                continue
            marks = (rule, *own, checks)
            added = [statement(at, "caught", self._site(handler, fails=True), *(constant(at, one) for one in marks))]
            if site is not None and rule != NOTHING:
                added.append(statement(at, "held", site))
            handler.body[:0] = added

    def _try_parts(self, node: ast.Try | ast.TryStar, *, body: bool = True) -> None:
        if body:
            node.body = self.statements(node.body)
        for handler in node.handlers:
            handler.body = self.statements(handler.body)
        node.orelse = self.statements(node.orelse)
        node.finalbody = self.statements(node.finalbody)

    def _with(self, node: ast.With | ast.AsyncWith) -> list[ast.stmt]:
        if not self._counts(node):
            node.body = self.statements(node.body)
            return [node]
        managers = [item.context_expr for item in node.items]
        site = None
        if any(isinstance(one, ast.Call) and last_name(one) in EXPECTS for one in managers):
            empty = RAISED_BY_ITSELF if all(isinstance(one, ast.Raise) for one in node.body) else ""
            site = self._site(node, empty=empty)
        self._scope.patched |= patched_names(node)  # also behind the block, where what was returned is checked
        at, before = node.body[0], len(self.sites)
        node.body = self.statements(node.body)
        own = (before, len(self.sites))
        rule = max(map(caught_by, managers))
        holds = self.sites.hold_checks(*own)
        if rule != NOTHING or holds:
            marks = (rule, *own, IN_THE_BLOCK if holds else NOWHERE)
            caught = statement(at, "caught", self._site(node, fails=True), *(constant(at, one) for one in marks))
            node.body = [reraising(at, node.body, caught)]
        return self._guard(node, site) if site is not None else [node]

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        before = len(self.sites)
        self._descend(node)
        if self._counts(node) and self.sites.hold_checks(before):
            node.iter = watched_zip(node.iter)

    # Checks -----------------------------------------------------------------------------------------------------------

    def _expression(self, node: ast.Expr) -> list[ast.stmt]:
        if not self._counts(node):
            return [node]
        value = node.value
        if isinstance(value, ast.Call) and fails(node):
            return [statement(node, "fail_now", self._site(node, fails=True)), node]
        if isinstance(value, ast.Await):
            if isinstance(value.value, ast.Call) and is_check(value.value):
                return self._guard(node, self._site(node))
            if is_gathered(value):
                node.value = call(node, "discard", value)
            return [node]
        if isinstance(value, ast.Call) and is_check(value):
            node.value = self._checked(value, node)
        elif isinstance(value, ast.Call) and last_name(value) == "exit":
            self._exit_code(value, node)
        elif isinstance(value, ast.Call) and is_discarded(value):
            node.value = call(node, "discard", value)
        else:
            node.value = rewrite_hidden(value, lambda one: self._checked(one, node))
        return [node]

    def _assign(self, node: ast.Assign) -> None:
        """Watch a value that is checked by its name later, and one that nobody looks at."""
        value, target = node.value, node.targets[0]
        if isinstance(value, ast.Call) and last_name(value) in ("all", "any"):
            node.value = rewrite_condition(value, constant(node, 0))
        inner = value.value if isinstance(value, ast.Await) else value
        is_unread = is_gathered(value) or (isinstance(inner, ast.Call) and is_discarded(inner))
        if (
            is_unread
            and isinstance(target, ast.Name)
            and not any(looks_at(one, target.id) for one in self._scope.later)
        ):
            node.value = call(node, "discard", value)

    def _checked(self, check: ast.Call, node: ast.stmt) -> ast.Call:
        """A call of an assertion method that reports its result, and lets its arguments be looked at."""
        empty, subjects = self._look(check, node, nodes_in(check))
        site = self._site(node, empty=empty, subjects=subjects)
        return ast.Call(
            func=call_of(check, call(check, "call", site), check.func),
            args=[rewrite_condition(argument, site) for argument in check.args],
            keywords=check.keywords,
            **place_of(check),
        )

    def _guard(self, node: ast.stmt, site: ast.Constant) -> list[ast.stmt]:
        """A statement that holds unless it raises, however it is left."""
        failed, ended = statement(node, "fail", site), statement(node, "close", site)
        return [statement(node, "guard", site), reraising(node, [node], failed, ending=[ended])]

    def _assert(self, node: ast.Assert) -> list[ast.stmt]:
        if not self._counts(node) or is_constant_truth(node.test):
            return [node]
        test = node.test
        if fails(node):
            site = self._site(node, fails=True)
            node.test = call_of(test, call(test, "truth", site), test)
            return [node]
        nodes = nodes_in(test)
        may_wait = self._scope.is_async or any(isinstance(one, ast.Yield) for one in nodes)
        empty, subjects = self._look(test, node, nodes)
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            site = self._site(node, COMPARISONS[type(test.ops[0])], empty, subjects)
            hook, values, inner = "compare", [test.left, test.comparators[0]], nodes[1:]
        else:
            site = self._site(node, "", empty, subjects)
            hook, values, inner = "truth", [test], nodes
        if any(map(may_be_empty, inner)):
            values = [rewrite_condition(one, site) for one in values]
        # `compare(site)(left, right)` records that a check has begun before its values are computed.
        node.test = call_of(test, call(test, hook, site), *values)
        # A check that waits may be cancelled: then it has no result.
        return [reraising(node, [node], statement(node, "broke", site))] if may_wait else [node]

    def _raise(self, node: ast.Raise) -> list[ast.stmt]:
        if self._counts(node) and is_exit(node):
            self._exit_code(node.exc, node)
        if not self._counts(node) or not fails(node):
            return [node]
        return [statement(node, "fail_now", self._site(node, fails=True)), node]

    def _exit_code(self, code: ast.expr | None, node: ast.stmt) -> None:
        if isinstance(code, ast.Call) and code.args and is_verdict(code.args[0]):
            rewrite_exit(code, self._site(node))

    def _only_if(self, node: ast.If) -> None:
        """An `if` of which one branch does nothing but fail is a check: `if f(1) != 2: raise AssertionError`."""
        names = {one.id for one in nodes_in(node.test) if isinstance(one, ast.Name)}
        asks = any(isinstance(one, ast.Call) for one in nodes_in(self._scope.bindings.resolve(node.test, names, node)))
        exits = any(isinstance(body[-1], ast.Expr) or is_exit(body[-1]) for body in (node.body, node.orelse) if body)
        any_exception = self._scope.is_direct and (asks or exits)
        is_failing: Callable[[list[ast.stmt]], bool] = lambda body: (  # noqa: E731
            bool(body) and fails(body[-1], any_exception=any_exception) and not any(map(is_compound, body))
        )
        failing = (is_failing(node.body), is_failing(node.orelse))
        if not self._counts(node) or failing[0] == failing[1]:
            self._descend(node)
            return
        holds: ast.expr = ast.UnaryOp(ast.Not(), node.test, **place_of(node.test)) if failing[0] else node.test
        empty, subjects = self._look(holds, node, nodes_in(holds))
        site = self._site(node, "", empty, subjects)
        fails_when = constant(node.test, failing[0])
        node.test = call_of(node.test, call(node.test, "only_if", site, fails_when), rewrite_condition(node.test, site))
        if failing[0]:
            node.orelse = self.statements(node.orelse)
        else:
            node.body = self.statements(node.body)
