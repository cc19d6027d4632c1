"""Parses Python into syntax trees, one source at a time.

Python 3.11 keeps the depth of its tree constructor once for all threads: two threads that parse at the same time can end in a
`SystemError` (CPython issue 106905). Verification parses in threads, so everything here parses under one lock.
"""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.Lock()


def parse_module(source: str) -> ast.Module:
    """The syntax tree of a source.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it cannot be parsed.
    """
    with _ONE_AT_A_TIME:
        return ast.parse(source)


def parse_expression(source: str) -> ast.expr:
    """The syntax tree of an expression.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it cannot be parsed.
    """
    with _ONE_AT_A_TIME:
        return ast.parse(source, mode="eval").body
