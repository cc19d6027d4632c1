"""What extraction finds: one function, method or class with a docstring, and what the rules ask about it."""

from __future__ import annotations

from dataclasses import dataclass

from snipmill.config import Kind


@dataclass(frozen=True, slots=True)
class Function:
    """One function as written, decorators included. Lines count from 1 within its file, both ends included.

    Attributes:
        kind: what it is; a method's code is its class, cut down to what the method uses.
        docstring_quotes: the quotation marks of its docstring, empty where the language has none.
        has_arguments: beyond `self` and `cls`.
        returns_value: a `return` with a value, or a `yield`.
        broken: the file's syntax is broken inside it.
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
