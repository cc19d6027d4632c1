"""The names that Python code binds at top level, and those it needs from elsewhere, by the compiler's symbol table."""

from __future__ import annotations

import builtins
import symtable
import warnings
from dataclasses import dataclass

MODULE_NAMES = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__", "__path__", "__builtins__"})
BUILTINS = frozenset(dir(builtins)) | MODULE_NAMES | {"__class__", "__annotations__", "__conditional_annotations__"}


@dataclass(frozen=True, slots=True)
class Names:
    """Names `bound` at the top level of some code, and names `needed` by it but neither bound there nor built in."""

    bound: frozenset[str]
    needed: frozenset[str]


def names_of(code: str) -> Names:
    """The names that module-level code binds and needs.

    Raises:
        SyntaxError: the running Python cannot parse it; the message gives the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = symtable.symtable(code, "<seed>", "exec")
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(f"{type(error).__name__}: {error}") from error
    bound: set[str] = set()
    needed: set[str] = set()
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            bound.add(symbol.get_name())
        elif symbol.is_referenced():
            needed.add(symbol.get_name())
    inner = list(table.get_children())
    while inner:
        scope = inner.pop()
        inner.extend(scope.get_children())
        for symbol in scope.get_symbols():
            # A class body may read a name from an outer scope before it binds it.
            before = scope.get_type() == "class" and symbol.is_referenced() and symbol.is_assigned()
            if symbol.is_global() or before:
                needed.add(symbol.get_name())
    return Names(frozenset(bound), frozenset(needed - bound - BUILTINS))
