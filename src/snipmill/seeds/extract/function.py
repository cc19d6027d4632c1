"""An extracted function, method or class with a docstring, and the properties that the rules check."""

from __future__ import annotations

from dataclasses import dataclass

from snipmill.config import Kind


@dataclass(frozen=True, slots=True)
class Function:
    """One function as written, with its decorators. Its line numbers count from 1 in its file, both ends inclusive.

    Attributes:
        kind: function, method or class; a method's code is its class, reduced to what the method uses.
        docstring_quotes: the quotation marks of its docstring; empty if the language has no docstrings.
        has_arguments: whether it takes arguments besides `self` and `cls`.
        returns_value: whether it has a `return` with a value, or a `yield`.
        broken: whether it contains a syntax error.
    """

    kind: Kind
    name: str
    code: str
    line_start: int
    line_end: int
    docstring_quotes: str
    has_arguments: bool
    returns_value: bool
    broken: bool = False
    modules: frozenset[str] = frozenset()
