"""Compiles a program whose checks report to us: an implementation as it is, and tests with rewritten checks."""

from __future__ import annotations
import __future__

import ast
import types

from snipmill.sandbox.child.hook_calls import MARK
from snipmill.sandbox.child.instrument import Rewriter
from snipmill.sandbox.child.sites import Function, Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_FUTURE = __future__.annotations.compiler_flag
# A compiled program: its code parts in the order in which they run (the last one must go through `bind` first), its
# checks, its functions that hold checks, the names that the tests define at module level, and the line of its last statement. All
# of plain types, so that it can be sent to another process.
Compiled = tuple[tuple[types.CodeType, ...], tuple[Site, ...], tuple[Function, ...], tuple[str, ...], int]


def compile_program(source: str, filename: str, tests_line: int | None, *, apart: bool = False) -> Compiled:
    """Compile a program with its checks instrumented.

    The implementation of a program with a tests part usually contains no checks and no test functions; then it is
    compiled unchanged, and only the tests part is rewritten.

    Args:
        source: the whole program.
        filename: the name that tracebacks show.
        tests_line: the line (from 1) where the tests part begins, or None if there is no tests part.
        apart: whether the implementation is a module of its own, which the tests import.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `compile` does.
    """
    head, tail = _split(source, tests_line, apart=apart)
    codes = [compile(head, filename, "exec", dont_inherit=True)] if head or apart else []
    tree = ast.parse(tail, filename)
    rewriter = Rewriter(source.split("\n"), tests_line)
    last_line = tree.body[-1].lineno if tree.body else 0
    tree.body = rewriter.module(tree)
    future = codes[0].co_flags & _FUTURE if codes and not apart else 0
    codes.append(compile(tree, filename, "exec", flags=future, dont_inherit=True))
    return tuple(codes), tuple(rewriter.sites.found), tuple(rewriter.functions), tuple(rewriter.defined), last_line


def _split(source: str, tests_line: int | None, *, apart: bool) -> tuple[str, str]:
    """The part to compile unchanged, and the part to rewrite, with empty lines before it to keep its line numbers."""
    if tests_line is None or ("\r" in source and not apart):
        return "", source
    lines = source.split("\n")
    head = "\n".join(lines[: tests_line - 1])
    if not apart and ("def test" in head or "class Test" in head or "TestCase" in head):
        return "", source
    return head, "\n" * (tests_line - 1) + "\n".join(lines[tests_line - 1 :])


def bind(code: types.CodeType, hooks: Mapping[str, Any]) -> types.CodeType:
    """Replace the marker constants with the hooks themselves, in this code object and all nested ones.

    Args:
        code: the last code object from `compile_program`, which contains the checks.
        hooks: the functions that `Checks.hooks` lists.
    """
    constants = list(code.co_consts)
    changed = False
    for place, constant in enumerate(constants):
        if isinstance(constant, types.CodeType):
            constants[place] = bind(constant, hooks)
        elif isinstance(constant, str) and constant.startswith(MARK):
            constants[place] = hooks[constant[len(MARK) :]]
        changed = changed or constants[place] is not constant
    return code.replace(co_consts=tuple(constants)) if changed else code
