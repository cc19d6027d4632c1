"""Which names a piece of Python binds at its top level, and which it needs from elsewhere: the compiler's own answer."""

from __future__ import annotations

import builtins
import symtable
import warnings
from dataclasses import dataclass

MODULE_NAMES = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__", "__path__", "__builtins__"})
BUILTINS = frozenset(dir(builtins)) | MODULE_NAMES | {"__class__", "__annotations__", "__conditional_annotations__"}


@dataclass(frozen=True, slots=True)
class Names:
    """`bound` at the top level of a piece of code; `needed` by it, and neither bound there nor builtin."""

    bound: frozenset[str]
    needed: frozenset[str]


def names_of(code: str) -> Names:
    """The names of a piece of code that stands at the top level of a module.

    Raises:
        SyntaxError: today's Python cannot read it; the message names the line.
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
            # In the body of a class a name may be read from outside before it is bound there.
            before = scope.get_type() == "class" and symbol.is_referenced() and symbol.is_assigned()
            if symbol.is_global() or before:
                needed.add(symbol.get_name())
    return Names(frozenset(bound), frozenset(needed - bound - BUILTINS))
