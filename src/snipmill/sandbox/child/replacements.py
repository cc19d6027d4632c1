"""Notices when tests replace the functions that they are to test."""

from __future__ import annotations

import types

from snipmill.sandbox.child.claims import is_mock
from snipmill.sandbox.child.exceptions import FILENAME
from snipmill.sandbox.child.own_builtins import BUILTINS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins


def is_under_test(function: object, tests_line: int) -> bool:
    """Whether a function was defined in the implementation, above the line where the tests begin."""
    function = getattr(function, "__func__", function)
    code = function.__code__ if isinstance(function, types.FunctionType) else None
    return code is not None and code.co_filename == FILENAME and code.co_firstlineno < tests_line


class Originals:
    """The implementation's functions, classes and methods as they were where the tests began.

    Args:
        names: the names of the implementation's module.
        tests_line: the line where the tests begin.
        own: names of the modules whose types are the program's.
    """

    def __init__(self, names: dict[str, Any], tests_line: int, own: frozenset[str]) -> None:
        self._names = names
        self._tests_line = tests_line
        self._own = own
        kinds = (types.FunctionType, type)
        self._values = {name: value for name, value in names.items() if isinstance(value, kinds)}
        self._methods: dict[str, list[tuple[type, Any]]] = {}
        for value in self._values.values():
            if isinstance(value, type) and value.__module__ in own:
                for name, method in list(vars(value).items()):
                    if isinstance(method, types.FunctionType):
                        self._methods.setdefault(f".{name}", []).append((value, method))

    def why_replaced(self, subjects: Sequence[str]) -> str:
        """Why a check says nothing of the code: the tests have replaced a function that it calls; empty if they have not.

        Args:
            subjects: names of functions, of methods as `.name`, and of functions that the test defines itself as `=name`.
        """
        for name in subjects:
            if name.startswith("=") and name[1:] in self._values:
                return f"the test has its own {name[1:]!r}"
            # Which class a method is called on cannot be seen: it is replaced if it is in all that have it.
            pairs = [(kind.__dict__.get(name[1:], method), method) for kind, method in self._methods.get(name, ())]
            if name in self._values:
                pairs = [(self._names.get(name, self._values[name]), self._values[name])]
            if pairs and all(
                current is not original and self._is_other(current, original) for current, original in pairs
            ):
                return f"the tests have replaced {name.lstrip('.')!r}"
        return ""

    def _is_other(self, current: Any, original: Any) -> bool:
        """Whether something is no wrapper of the original, and not of the implementation."""
        if is_mock(current):
            return True
        if isinstance(current, type):
            is_derived = isinstance(original, type) and issubclass(current, original)
            return current.__module__ in self._own and not is_derived
        if isinstance(current, types.FunctionType):
            held = [cell.cell_contents for cell in current.__closure__ or () if cell != types.CellType()]
            wraps = getattr(current, "__wrapped__", None) is original or any(one is original for one in held)
            return not wraps and not is_under_test(current, self._tests_line)
        if type(current).__name__ == "partial":
            return getattr(current, "func", None) is not original
        return isinstance(current, types.BuiltinFunctionType)
